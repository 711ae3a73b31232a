"""The wire of a conversation that Twisted brings: a TCP or TLS connection that somebody opened to us, or a serial port."""

from collections.abc import Callable
from typing import Any

from twisted.internet import protocol
from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure

from drivers.lines.conversation import Conversation


class Connection(protocol.Protocol):
    """Twisted on one side, a conversation on the other."""

    transport: Any  # a socket or a serial port; Twisted's interfaces do not name what both can do

    def __init__(self, converse: Callable[["Connection"], Conversation], host: str = "") -> None:
        """`converse` makes the conversation once the connection stands."""
        self.host = host
        self._converse = converse
        self.conversation: Conversation | None = None

    def connectionMade(self) -> None:
        if hasattr(self.transport, "setTcpNoDelay"):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        self.conversation = self._converse(self)
        self.conversation.begin()

    def dataReceived(self, data: bytes) -> None:
        if self.conversation is not None:
            self.conversation.receive(data)

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """Twisted calls this once; the port or socket is closed by then."""
        if self.conversation is not None:
            self.conversation.end(reason.getErrorMessage())

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def pause(self) -> None:
        self.transport.pauseProducing()

    def resume(self) -> None:
        self.transport.resumeProducing()

    def close(self) -> None:
        self.transport.loseConnection()

    def abort(self) -> None:
        if hasattr(self.transport, "abortConnection"):
            self.transport.abortConnection()
        else:  # a serial port
            self.transport.connectionLost(Failure(ConnectionAborted()))  # type: ignore[no-untyped-call]
