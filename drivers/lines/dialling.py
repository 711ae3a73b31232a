"""A connection that we open, over TCP or TLS: `tcp:HOST:PORT`, `tls:HOST:PORT`, to the end of the handshake."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet import protocol
from twisted.internet.endpoints import clientFromString, wrapClientTLS
from twisted.internet.interfaces import IHandshakeListener
from twisted.python.failure import Failure
from zope.interface import implementer  # type: ignore[import-untyped]

from drivers.lines.certificates import client_certificates
from gateway.errors import LineError

# A server that vanished without a word, when nobody has anything to say, is found within 90 s; the system's own limit is over two hours.
KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
CONNECT_S = 10.0  # from the first SYN to the end of the TLS handshake; a host that is up answers within one second


async def dial(address: str, ca_file: str = "", server_name: str = "", prepare: Callable[[], None] | None = None) -> "Dialled":
    """The connection, standing and secured. Raises LineError saying where and why there is none.

    ca_file: who signed the server's certificate, "" for the system's list; server_name: the name in it when it is not the host's.
    prepare: called before, for instance to read a secret; may raise OSError or ValueError.
    """
    loop = asyncio.get_running_loop()
    try:
        if prepare is not None:
            prepare()
        async with asyncio.timeout(CONNECT_S):
            factory = _Factory(is_tls=address.startswith("tls:"))
            connection: Dialled = await _endpoint(address, ca_file, server_name).connect(factory).asFuture(loop)
            try:
                await connection.secured
            except BaseException:  # cancelled, too late, or not secured: nobody else would close it
                connection.drop()
                raise
    except TimeoutError as error:
        raise LineError(f"{address}: no connection within {CONNECT_S:g} s") from error
    except LineError:
        raise
    except Exception as error:  # Twisted has a type of its own for each way a connection fails
        raise LineError(f"{address}: {error or type(error).__name__}") from error
    return connection


def _endpoint(address: str, ca_file: str, server_name: str) -> Any:
    from twisted.internet import reactor

    word, _, rest = address.partition(":")
    endpoint = clientFromString(reactor, f"tcp:{rest}")  # type: ignore[no-untyped-call]
    if word != "tls":
        return endpoint
    host = rest.rpartition(":")[0].replace("\\:", ":")
    return wrapClientTLS(client_certificates(server_name or host, ca_file), endpoint)


@implementer(IHandshakeListener)
class Dialled(protocol.Protocol):
    """Bytes in, the end told once. `secured` is done when bytes may flow: at once over TCP, after the handshake over TLS."""

    def __init__(self, is_tls: bool) -> None:
        self.host = ""
        self.transport: Any = None
        self._is_tls = is_tls
        self.secured: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_paused = False
        self._early = bytearray()
        self._receive: Callable[[bytes], None] | None = None
        self._lost: Callable[[str], None] | None = None
        self._reason = ""

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        beneath = getattr(self.transport, "transport", self.transport)  # TLS stands on a connection
        for option, value in KEEPALIVE:
            beneath.getHandle().setsockopt(socket.IPPROTO_TCP, option, value)
        if not self._is_tls:
            self.secured.set_result(None)

    def handshakeCompleted(self) -> None:
        """Twisted says so of TLS connections, certificate and name being right."""
        if not self.secured.done():
            self.secured.set_result(None)

    def dataReceived(self, data: bytes) -> None:
        if self._receive is None:
            self._early += data
        elif not self._reason:
            self._receive(data)

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self._reason = _words(reason)
        if not self.secured.done():
            self.secured.set_exception(LineError(self._reason))
        if self._lost is not None:
            self._lost(self._reason)

    def begin(self, receive: Callable[[bytes], None], lost: Callable[[str], None]) -> None:
        """From now on; what came before is handed over first."""
        self._receive, self._lost = receive, lost
        if self._early:
            receive(bytes(self._early))
            self._early.clear()
        if self._reason:
            lost(self._reason)

    def pause(self) -> None:
        if not self.is_paused and self.transport is not None:
            self.is_paused = True
            self.transport.pauseProducing()

    def resume(self) -> None:
        self.is_paused = False
        if not self._reason and self.transport is not None:
            self.transport.resumeProducing()

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def close(self) -> None:
        """After what was written."""
        self.transport.loseConnection()

    def abort(self) -> None:
        """Close it now; the end is told."""
        self.transport.abortConnection()

    def drop(self) -> None:
        """Close it now, said or unsaid; nothing is heard of it any more."""
        self._receive = self._lost = None
        if not self._reason:
            self._reason = "closed"
            if self.transport is not None:
                self.transport.abortConnection()


class _Factory(protocol.Factory):
    noisy = False

    def __init__(self, is_tls: bool) -> None:
        self._is_tls = is_tls

    def buildProtocol(self, _address: object) -> Dialled:
        """Twisted asks for it once."""
        return Dialled(self._is_tls)


def _words(reason: Failure) -> str:
    """Why a connection ended, for the log: OpenSSL's own errors are lists of lists."""
    error = reason.value
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list):
        return "TLS: " + ("; ".join(str(part[-1]) for part in error.args[0]) or "failed")
    return f"connection lost: {error}"
