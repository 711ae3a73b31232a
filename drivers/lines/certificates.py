"""TLS for lines: server certificates that are read again when their files change, and whom we believe as a client. TLS 1.2 or newer."""

from pathlib import Path
from typing import Any

import structlog
from OpenSSL import SSL
from twisted.internet import ssl
from twisted.internet._sslverify import IOpenSSLTrustRoot  # its public module hands out only makers of trust roots
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import platformTrust
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
                self._context = _server_context(*self._files)
                self._seen = stamp
                log.info("certificate_read_again", file=self._files[1].name)
        except (OSError, ValueError) as error:  # half written: the next connection looks again
            log.warning("certificate_unusable", file=self._files[1].name, problem=str(error))
        return SSL.Connection(self._context, None)

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        return tuple((found.st_mtime_ns, found.st_size) for found in (file.stat() for file in self._files))


@implementer(IOpenSSLTrustRoot)
class _Believed:
    """What Twisted calls a trust root: the certificates of one file."""

    def __init__(self, ca_file: str) -> None:
        self._ca_file = ca_file

    def _addCACertsToContext(self, context: SSL.Context) -> None:
        context.load_verify_locations(self._ca_file)


def client_certificates(host: str, ca_file: str) -> Any:
    """For a connection of ours to `host`, whose certificate must name it. ca_file "": whom the system believes. Raises ValueError."""
    if ca_file:
        try:
            SSL.Context(SSL.TLS_CLIENT_METHOD).load_verify_locations(ca_file)
        except SSL.Error:
            raise ValueError("cannot be read, or holds no certificates") from None
    trust: Any = _Believed(ca_file) if ca_file else platformTrust()  # type: ignore[no-untyped-call]
    return ssl.optionsForClientTLS(host, trustRoot=trust, extraCertificateOptions={"raiseMinimumTo": ssl.TLSVersion.TLSv1_2})


def _server_context(key_file: Path, certificate_file: Path) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    for file in (key_file, certificate_file):
        file.open("rb").close()  # OpenSSL says of a file that is not there only that it cannot be read
    try:
        context.use_certificate_chain_file(str(certificate_file))
        context.use_privatekey_file(str(key_file))
        context.check_privatekey()
    except SSL.Error:
        raise ValueError(f"{certificate_file.name} and {key_file.name} are no certificate with its key") from None
    return context
