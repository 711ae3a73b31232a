"""TLS to a broker: whom we believe, and the certificate by which the broker knows us. TLS 1.2 or newer, and the broker's name is checked.

The files are read at each connection, so a renewed certificate needs no restart: what stands goes on, the next connection shows the new one.
"""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography import x509

from gateway.errors import LineError


class TlsFiles(msgspec.Struct, frozen=True):
    """PEM files, as the configuration names them. ca_file "": the system's list. certificate_file holds our certificate, with its chain."""

    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""


def faults(files: TlsFiles, *, is_tls: bool) -> Iterator[tuple[str, str]]:
    """(key, what is wrong and the remedy) of what can be seen without connecting."""
    for key in files.__struct_fields__:
        path = getattr(files, key)
        if path and not is_tls:
            yield key, "is for mqtts:// only; change the broker's scheme or remove it"
        elif path and not _is_file(path):
            yield key, f"{path} does not exist; write it or correct the path"
    if bool(files.certificate_file) != bool(files.key_file):
        there, missing = ("certificate_file", "key_file") if files.certificate_file else ("key_file", "certificate_file")
        yield missing, f"is missing beside {there}; write both, or neither"


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """What we connect with. LineError names key, file and remedy when a file cannot be used; never a byte of it."""
    try:
        context = ssl.create_default_context(cafile=files.ca_file or None)
    except (OSError, ValueError) as error:
        raise _unusable("ca_file", files.ca_file, error, "holds no certificates in PEM; write who signed the broker's certificate into it") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if files.certificate_file:
        try:
            # No password: a key that wants one would stop the gateway at a prompt. It is refused instead.
            context.load_cert_chain(files.certificate_file, files.key_file or None, password=lambda: b"")
        except (OSError, ValueError) as error:
            what = f"is no certificate for the key in {files.key_file}; give both in PEM, the key unencrypted and readable by the gateway alone"
            raise _unusable("certificate_file", files.certificate_file, error, what) from error
    return context


def refusal(error: Exception, files: TlsFiles, host: str, now: datetime | None = None) -> str:
    """Why TLS failed, in words: whose certificate, which key of the configuration, what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message or str(error)
        if "mismatch" in why.lower() or "not valid for" in why.lower():
            remedy = f"write a name that stands in the broker's certificate in place of {host!r} under broker, or renew that certificate with it"
        elif "expired" in why.lower() or "not yet valid" in why.lower():
            remedy = "renew the broker's certificate, or set this machine's clock"
        else:
            remedy = f"write who signed it into ca_file ({files.ca_file or 'now: the system’s list'})"
        return f"the broker's certificate is not believed: CERTIFICATE_VERIFY_FAILED, {why}; {remedy}"
    return f"{error}{_of_ours(files, now)}"


def _of_ours(files: TlsFiles, now: datetime | None = None) -> str:
    """A hint for an error text where our own certificate may be why the broker hung up; "" where it cannot be."""
    if not files.certificate_file:
        return "; if the broker wants a client certificate, name it under certificate_file and key_file" if files.ca_file else ""
    ends = expires_at(files.certificate_file)
    if ends is not None and ends < (now or datetime.now(UTC)):
        return f"; our certificate has expired on {ends.date()}: renew certificate_file {files.certificate_file}"
    return f"; the broker may not know who signed certificate_file {files.certificate_file}: look into its log"


def expires_at(certificate: str) -> datetime | None:
    """Until when the first certificate of a PEM file is good, aware UTC; None when it cannot be read."""
    try:
        return x509.load_pem_x509_certificate(Path(certificate).read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return None


def _unusable(key: str, path: str, error: Exception, what: str) -> LineError:
    # ssl.SSLError is an OSError with texts of OpenSSL's own in place of strerror
    plain = error.strerror if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else None
    return LineError(f"{key}: {path}: {f'{plain}; write it, or let the gateway read it' if plain else what}")


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False
