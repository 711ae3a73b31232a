"""A UDP line (`udp:10501:interface=192.0.2.5`) for a stream codec: one codec for each peer, its answers from the port that the peer wrote to.

On a machine with several addresses write `interface`: without it the system chooses the address that an answer leaves from.
"""

import asyncio
import itertools
import socket
from collections.abc import Callable
from typing import Any

import structlog
from twisted.internet import protocol
from twisted.internet.defer import maybeDeferred

from drivers.contract import Codec, Emit, Rejected, Report
from drivers.lines.conversation import MAX_WAITING, Conversation
from drivers.lines.conversing import LOOK_AT, SOURCE_BURST, SOURCE_PER_S, ConversingLine
from drivers.lines.datagram import MAX_DATAGRAM, bound, drops_of, parse_listen
from drivers.token_bucket import TokenBuckets
from gateway.clock import monotonic
from gateway.config import LineConfig

# A codec is 10 KB with its conversation. Of a peer that was forgotten nothing is lost but half a message: what a line must remember of
# its devices its codecs keep together. So the table need hold only those that wait for something, or repeat within seconds.
MAX_PEERS = 4096
KEPT_OCTETS = 64  # of a flood: enough to see what it was

Address = tuple[Any, ...]  # as the socket has it: host and port; IPv6 adds flow and scope

log = structlog.get_logger()


class DatagramPeersLine(ConversingLine):
    """One UDP socket, one conversation for each (host, port).

    counts: beside those of all conversing lines datagrams, dropped (the store is slow and too much waits, or every peer in the table waits),
    flooding (dropped beyond what one host may send), forgotten (peers silent longest, made room), unsendable.
    """

    def __init__(self, config: LineConfig, new_codec: Callable[[], Codec]) -> None:
        super().__init__(config, new_codec)
        self._config_port, self._interface = parse_listen(config.listen or "")
        self._peers: dict[tuple[str, int], _Peer] = {}
        self._limits = TokenBuckets(SOURCE_PER_S, SOURCE_BURST)
        self._socket: socket.socket | None = None
        self._port: Any = None
        self.port: int | None = None  # where it listens, once it does

    async def run(self, emit: Emit, report: Report) -> None:
        """Listen until cancelled. Raises LineError when the port is not to be had, and whatever a codec raised (our bug)."""
        from twisted.internet import reactor

        with bound(self.name, self._config_port, self._interface) as opened:  # the port keeps a descriptor of its own
            self._port = reactor.adoptDatagramPort(opened.fileno(), opened.family, _Receiver(self._receive), maxPacketSize=MAX_DATAGRAM)
        self._begin(emit, report)
        self._socket = self._port.getHandle()
        self.port = self._port.getHost().port
        report.live()
        try:
            await self._serve()
        finally:
            self._socket = None
            await maybeDeferred(self._port.stopListening).asFuture(asyncio.get_running_loop())
            await self._close()

    def lost(self) -> int:
        """Datagrams that were never read, for want of room here or in the kernel."""
        return self.counts["dropped"] + (0 if self._socket is None else drops_of(self._socket))

    def _receive(self, datagram: bytes, address: Address) -> None:
        """One datagram. There is no holding back over UDP: what is too much is dropped, and peers send again what got no receipt."""
        self.counts["datagrams"] += 1
        host, port = address[0], address[1]
        now = monotonic()
        if not self._limits.admits(host, now):
            self._flooded(host, datagram, now)
            return
        peer = self._peers.get((host, port)) or self._welcome(address)
        if peer is None or peer.conversation.is_paused or self.waiting >= MAX_WAITING:
            self.counts["dropped"] += 1
        else:
            peer.conversation.receive(datagram)

    def _welcome(self, address: Address) -> "_Peer | None":
        if len(self._conversations) >= MAX_PEERS and not self._make_room(itertools.islice(self._conversations, LOOK_AT), 0.0):
            return None
        key = (address[0], address[1])
        peer = self._peers[key] = _Peer(self, address)
        peer.conversation = self._converse(peer, is_stream=False)
        return peer

    def _flooded(self, host: str, datagram: bytes, now: float) -> None:
        """Count it; for inspection keep one a minute and source, as a flood must not reach the disk."""
        self.flooded(host)
        if self._news.admits(host, now):
            detail = f"more than {SOURCE_PER_S:g} datagrams a second from {host}"
            self._deliver_apart([(None, Rejected(reason="flooding", raw=datagram[:KEPT_OCTETS], line=self.name, detail=detail))])

    def _send(self, data: bytes, address: Address) -> None:
        try:
            self._port.write(data, address)
        except Exception as error:  # no route, too long for a datagram, port closed: the peer asks again
            if not self.counts["unsendable"]:
                log.warning("answer_not_sent", line=self.name, problem=str(error) or type(error).__name__)
            self.counts["unsendable"] += 1

    def _gone(self, address: Address) -> None:
        self._peers.pop((address[0], address[1]), None)


class _Peer:
    """The wire of one peer. Pausing has nothing to stop: the line drops what comes meanwhile."""

    conversation: Conversation

    def __init__(self, line: DatagramPeersLine, address: Address) -> None:
        self.host = address[0]
        self._line = line
        self._address = address

    def write(self, data: bytes) -> None:
        self._line._send(data, self._address)

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        """Forget it; its next datagram makes it a new peer."""
        self._line._gone(self._address)
        self.conversation.end("forgotten")


class _Receiver(protocol.DatagramProtocol):
    noisy = False

    def __init__(self, receive: Callable[[bytes, Address], None]) -> None:
        self._receive = receive

    def datagramReceived(self, datagram: bytes, addr: Address) -> None:
        """Twisted calls it for every datagram."""
        self._receive(datagram, addr)
