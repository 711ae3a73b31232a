"""A line that listens for TCP or TLS connections (`tcp:9060:interface=…`, `ssl:…`) whose bytes are packets to a codec that answers nothing.

Legs of one call may be told over different connections, so all share the line's one codec. Reading is never paused: a peer that could not
write to us might stop to think, and it may be the exchange itself.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import structlog
from twisted.internet import protocol
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure

from drivers.contract import Rejected
from drivers.lines.certificates import ServerCertificate
from drivers.lines.packets import PacketCodec, PacketLine
from gateway import clock
from gateway.config import LineConfig
from gateway.errors import LineError

# A capture agent holds one connection, some a handful; behind one address there may be several of them.
MAX_CONNECTIONS = 64
MAX_PER_ADDRESS = 16
FIRST_S = 30.0  # from the connection to its first packet; an agent connects because it has something to tell
PACKET_S = 10.0  # from a packet's first octet to its last
IDLE_S = 3600.0  # a quiet night at the hotline; dead peers are found by TCP keepalive long before
KEPT_OCTETS = 64  # of what made us close a connection: enough to see what it was

log = structlog.get_logger()


class Frames(Protocol):
    """Cuts one connection's bytes into packets. fault: why the connection must be closed, "" to go on."""

    fault: str

    def receive_data(self, data: bytes) -> list[bytes]: ...

    @property
    def is_between(self) -> bool: ...


class PacketStreamLine(PacketLine):
    """One listening socket.

    counts: beside those of all packet lines connections, connections_refused (too many, or not allowed), connections_broken (no packets
    came), connections_idle.
    """

    def __init__(
        self,
        config: LineConfig,
        codec: PacketCodec,
        new_frames: Callable[[], Frames],
        restore: Callable[[], Iterable[Mapping[str, object]]] | None = None,
        allows: Callable[[str], bool] = lambda _address: True,
    ) -> None:
        super().__init__(config, codec, restore)
        self._listen = config.listen or ""
        self._new_frames = new_frames
        self._allows = allows
        self._connections: set[_Connection] = set()
        self._from: Counter[str] = Counter()

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def _open(self) -> Callable[[], Awaitable[None]]:
        from twisted.internet import reactor

        loop = asyncio.get_running_loop()
        try:
            listening = await self._endpoint(reactor).listen(_Factory(self._welcome)).asFuture(loop)
        except (CannotListenError, OSError, ValueError) as error:
            raise LineError(f"cannot listen on {self._listen}: {error}") from error
        self.port = getattr(listening.getHost(), "port", None)

        async def close() -> None:
            await maybeDeferred(listening.stopListening).asFuture(loop)
            for connection in list(self._connections):
                connection.drop()
                self._forget(connection)

        return close

    def _endpoint(self, reactor: Any) -> Any:
        word, port, given = parse_listen(self._listen)
        if word == "tcp":
            return TCP4ServerEndpoint(reactor, port, interface=given.get("interface", ""))  # type: ignore[no-untyped-call]
        certificate = ServerCertificate(given["privateKey"], given["certKey"])
        return SSL4ServerEndpoint(reactor, port, certificate, interface=given.get("interface", ""))  # type: ignore[no-untyped-call]

    def _welcome(self, address: Any) -> "_Connection | None":
        """Twisted asks for each connection; None closes it at once."""
        host, port = getattr(address, "host", ""), getattr(address, "port", 0)
        if not self._allows(host) or len(self._connections) >= MAX_CONNECTIONS or self._from[host] >= MAX_PER_ADDRESS:
            if not self.counts["connections_refused"]:
                log.warning("connection_refused", line=self.name, limit=MAX_CONNECTIONS, limit_per_address=MAX_PER_ADDRESS)
            self.counts["connections_refused"] += 1
            return None
        self.counts["connections"] += 1
        self._from[host] += 1
        connection = _Connection((host, port), self._new_frames(), self)
        self._connections.add(connection)
        return connection

    def _forget(self, connection: "_Connection") -> None:
        if connection in self._connections:
            self._connections.discard(connection)
            host = connection.source[0]
            self._from[host] -= 1
            if self._from[host] <= 0:
                del self._from[host]

    def _broken(self, connection: "_Connection", data: bytes) -> None:
        self.counts["connections_broken"] += 1
        self._delivery.keep([Rejected(reason=connection.frames.fault, raw=data[:KEPT_OCTETS])], clock.utc_now())


class _Connection(protocol.Protocol):
    """One peer: bytes in, packets to the line, the clock of its patience."""

    def __init__(self, source: tuple[str, int], frames: Frames, line: PacketStreamLine) -> None:
        self.source = source
        self.frames = frames
        self.transport: Any = None
        self._line = line
        self._patience: asyncio.TimerHandle | None = None
        self._waits_for = "first"
        self._heard_at = 0.0  # monotonic

    def connectionMade(self) -> None:
        self.transport.setTcpKeepAlive(True)
        self._wait("first", FIRST_S)

    def dataReceived(self, data: bytes) -> None:
        packets = self.frames.receive_data(data)
        for packet in packets:
            self._line._receive(packet, self.source)
        if self.frames.fault:
            self._line._broken(self, data)
            self.drop()
        elif self.frames.is_between:
            if packets and self._waits_for != "idle":
                self._wait("idle", IDLE_S)
            self._heard_at = clock.monotonic()
        elif packets or self._waits_for == "idle":
            self._wait("packet", PACKET_S)

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:  # noqa: ARG002 - Twisted's own signature
        self._stop_waiting()
        self._line._forget(self)

    def drop(self) -> None:
        """Close at once: nobody waits for an answer of ours."""
        self._stop_waiting()
        if self.transport is not None:
            self.transport.abortConnection()

    def _wait(self, what: str, seconds: float) -> None:
        self._stop_waiting()
        self._waits_for = what
        self._heard_at = clock.monotonic()
        self._patience = asyncio.get_running_loop().call_later(seconds, self._run_out)

    def _run_out(self) -> None:
        """An idle timer is not set anew with every packet, but looked at when it ends."""
        left_s = self._heard_at + IDLE_S - clock.monotonic() if self._waits_for == "idle" else 0.0
        if left_s > 0:
            self._patience = asyncio.get_running_loop().call_later(left_s, self._run_out)
            return
        self._line.counts["connections_idle"] += 1
        self.drop()

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class _Factory(protocol.Factory):
    noisy = False

    def __init__(self, welcome: Callable[[Any], _Connection | None]) -> None:
        self._welcome = welcome

    def buildProtocol(self, address: IAddress | None) -> _Connection | None:
        """Twisted asks for each connection."""
        return self._welcome(address)


def parse_listen(listen: str) -> tuple[str, int, dict[str, str]]:
    """(tcp or ssl, port, the rest) of `tcp:PORT[:interface=ADDRESS]` or `ssl:PORT[:interface=ADDRESS]:privateKey=FILE:certKey=FILE`.

    The colons of an IPv6 address are escaped, as in Twisted's strings. Raises ValueError saying what is wrong.
    """
    word, port, *others = [*listen.replace("\\:", "\0").split(":"), ""]
    given = {name: value.replace("\0", ":") for name, _, value in (other.partition("=") for other in others if other)}
    if word not in ("tcp", "ssl") or not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        raise ValueError(f"{listen!r} is no TCP or TLS endpoint; write tcp:PORT:interface=ADDRESS or ssl:PORT:privateKey=FILE:certKey=FILE")
    known = ("interface", "privateKey", "certKey") if word == "ssl" else ("interface",)
    for name in given:
        if name not in known:
            raise ValueError(f"{name!r} is not known behind {word}:; use {', '.join(known)}")
    for name in known[1:]:
        if not Path(given.get(name, "")).is_file():
            raise ValueError(f"{name}={given.get(name, '')}: there is no such file; write {name}=FILE (PEM)")
    return word, int(port), given
