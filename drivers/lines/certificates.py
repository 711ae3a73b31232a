"""TLS for lines: server certificates that are read again when their files change, and whom we believe as a client. TLS 1.2 or newer."""

from pathlib import Path
from typing import Any

import structlog
from OpenSSL import SSL, crypto
from twisted.internet import ssl
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer  # type: ignore[import-untyped]

log = structlog.get_logger()


@implementer(IOpenSSLServerConnectionCreator)
class ServerCertificate:
    """One certificate with its chain. A renewed one counts from the next connection on; a broken one leaves the old in force."""

    def __init__(self, key_file: str, certificate_file: str) -> None:
        """Raises OSError or ValueError when the files cannot be used."""
        self._files = (Path(key_file), Path(certificate_file))
        self._seen = self._stamp()
        self._context = _server_context(*self._files)

    def serverConnectionForTLS(self, _protocol: Any) -> SSL.Connection:
        """Twisted asks for each connection."""
        try:
            stamp = self._stamp()
            if stamp != self._seen:
                self._seen = stamp
                self._context = _server_context(*self._files)
                log.info("certificate_read_again", file=self._files[1].name)
        except (OSError, ValueError) as error:  # half written: the next connection looks again
            self._seen = ()
            log.warning("certificate_unusable", file=self._files[1].name, problem=str(error))
        return SSL.Connection(self._context, None)

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        return tuple((found.st_mtime_ns, found.st_size) for found in (file.stat() for file in self._files))


def client_certificates(host: str, ca_file: str) -> Any:
    """For a connection of ours to `host`, whose certificate must name it. ca_file "": whom the system believes."""
    trust = None
    if ca_file:
        trust = ssl.trustRootFromCertificates(_certificates(Path(ca_file).read_bytes()))  # type: ignore[no-untyped-call]
    return ssl.optionsForClientTLS(host, trustRoot=trust)


def _server_context(key_file: Path, certificate_file: Path) -> SSL.Context:
    try:
        key = crypto.load_privatekey(crypto.FILETYPE_PEM, key_file.read_bytes())
        own, *chain = [certificate.original for certificate in _certificates(certificate_file.read_bytes())]
        options = ssl.CertificateOptions(privateKey=key, certificate=own, extraCertChain=chain, insecurelyLowerMinimumTo=ssl.TLSVersion.TLSv1_2)
        context: SSL.Context = options.getContext()
    except (crypto.Error, SSL.Error) as error:
        raise ValueError(f"{certificate_file.name}, {key_file.name}: no certificate with its key ({type(error).__name__})") from None
    return context


def _certificates(pem: bytes) -> list[Any]:
    end = b"-----END CERTIFICATE-----"
    found = [ssl.Certificate.loadPEM(part + end) for part in pem.split(end)[:-1]]
    if not found:
        raise ValueError("no certificate in it")
    return found
