"""The sockets of one SIP line: UDP ports, listeners for TCP and TLS, and connections of either making, each with a number."""

import asyncio
import socket
from collections import Counter
from functools import lru_cache
from typing import Any, Protocol

import msgspec
import structlog
from twisted.internet import protocol
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure

from drivers.lines.certificates import ServerCertificate, client_certificates
from drivers.lines.datagram import MAX_DATAGRAM, RECEIVE_BUFFER
from drivers.lines.sip_ways import address_towards
from drivers.sip.hop import PORTS, Hop
from drivers.sip.stream_frames import StreamFrames
from drivers.user_agent.answering import Sending
from gateway import clock
from gateway.errors import LineError

CONNECT_S = 5.0  # a peer in the same network answers in milliseconds; then the next hop is tried
LINGER_S = 5.0  # for a last answer to be read, before a faulty connection is cut
MAX_QUEUED = 256 * 1024  # octets that wait for a connection to stand, or that a peer sends without reading: 500 requests
WORDS = {"udp": "udp", "tcp": "tcp", "ssl": "tls"}
_WILDCARDS = ("", "0.0.0.0", "::")

log = structlog.get_logger()


class Endpoint(msgspec.Struct, frozen=True):
    """One thing to listen on. transport: udp, tcp or tls; interface "" = all of IPv4."""

    transport: str
    port: int
    interface: str = ""
    key_file: str = ""
    certificate_file: str = ""


class Owner(Protocol):
    """Whom the sockets tell. `heard`: a datagram, or one frame of a stream (too_long: without its body)."""

    def admits(self, address: str) -> bool: ...

    def heard(self, hop: Hop, data: bytes, too_long: bool) -> None: ...

    def undeliverable(self, branch: str, reason: str) -> None: ...

    def connection_lost(self, number: int) -> None: ...


class Sockets:
    """counts: connections, connections_refused (of ours, too many), connections_evicted, pings, stream faults by word, unsendable."""

    def __init__(self, owner: Owner, counts: Counter[str], advertise: str, max_body: int, max_connections: int, ca_file: str) -> None:
        self._owner = owner
        self._counts = counts
        self._advertise = advertise
        self._max_body = max_body
        self._max_connections = max_connections
        self._ca_file = ca_file
        self._number = 0
        self._datagram: dict[int, _Datagrams] = {}
        self._streams: dict[int, _Stream] = {}
        self._opened: dict[tuple[str, tuple[str, int], str], _Stream | _Connecting] = {}  # connections of ours, by where to
        self._listening: list[Any] = []
        self._ports: list[tuple[str, str, int]] = []  # transport, interface, port
        self._towards = lru_cache(4096)(address_towards)

    @property
    def ports(self) -> list[tuple[str, str, int]]:
        """(transport, interface, port) of everything that listens, in the order of the configuration."""
        return list(self._ports)

    @property
    def connections(self) -> int:
        """Streams that stand, of either making."""
        return len(self._streams)

    def listen(self, endpoint: Endpoint) -> None:
        """Raises LineError when the port or the certificate is not to be had."""
        reactor = _reactor()
        try:
            if endpoint.transport == "udp":
                self._listen_udp(endpoint)
                return
            factory = _Accepting(self, endpoint)
            if endpoint.transport == "tcp":
                listening = reactor.listenTCP(endpoint.port, factory, interface=endpoint.interface)
            else:
                certificate = ServerCertificate(endpoint.key_file, endpoint.certificate_file)
                listening = reactor.listenSSL(endpoint.port, factory, certificate, interface=endpoint.interface)
        except (CannotListenError, OSError, ValueError) as error:
            raise LineError(f"cannot listen on {endpoint.transport} port {endpoint.port}: {error}") from error
        self._listening.append(listening)
        factory.port = listening.getHost().port
        self._ports.append((endpoint.transport, endpoint.interface, factory.port))

    def local(self, transport: str, peer: str) -> tuple[str, int] | None:
        """Our address towards a peer, for Via and Contact; None when UDP of that family is not open."""
        is_v6 = ":" in peer
        fitting = [(interface, port) for kind, interface, port in self._ports if kind == transport and (":" in interface) is is_v6]
        if not fitting and transport == "udp":
            return None
        interface, port = fitting[0] if fitting else ("", PORTS[transport])
        return self._shown(interface, peer), port

    def send(self, sending: Sending) -> None:
        """Never raises: what cannot leave is told to the owner, if somebody waits for its answer."""
        hop = sending.hop
        if not hop.is_stream:
            self._send_datagram(sending)
            return
        stream = self._streams.get(hop.socket) if hop.socket is not None else None
        if stream is not None:
            stream.write(sending.data)
        elif hop.socket is None:
            self._send_stream(sending)
        elif sending.otherwise is not None:
            self._send_stream(msgspec.structs.replace(sending, hop=sending.otherwise, otherwise=None))
        else:
            self._fail(sending, "connection_lost")

    async def close(self) -> None:
        """Stop listening, hang up."""
        for stream in list(self._streams.values()):
            stream.hang_up()
        for opened in list(self._opened.values()):
            if isinstance(opened, _Connecting):
                opened.give_up()
        for listening in [*self._listening, *(one.transport for one in self._datagram.values())]:
            await maybeDeferred(listening.stopListening).asFuture(asyncio.get_running_loop())
        self._datagram.clear()

    # ---- UDP

    def _listen_udp(self, endpoint: Endpoint) -> None:
        # a bound socket of ours: Twisted's own would leak when the port is taken
        with socket.socket(socket.AF_INET6 if ":" in endpoint.interface else socket.AF_INET, socket.SOCK_DGRAM) as opened:
            opened.setblocking(False)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            opened.bind((endpoint.interface, endpoint.port))
            port = int(opened.getsockname()[1])
            self._number += 1
            receiver = _Datagrams(self, self._number, endpoint.interface, port)
            _reactor().adoptDatagramPort(opened.fileno(), opened.family, receiver, maxPacketSize=MAX_DATAGRAM)
        self._datagram[self._number] = receiver
        self._ports.append(("udp", endpoint.interface, port))

    def datagram(self, port: "_Datagrams", data: bytes, peer: tuple[str, int]) -> None:
        """One has come."""
        hop = Hop("udp", peer, (self._shown(port.interface, peer[0]), port.port), port.number)
        self._owner.heard(hop, data, False)

    def _send_datagram(self, sending: Sending) -> None:
        hop = sending.hop
        port = self._datagram.get(hop.socket) if hop.socket is not None else None
        if port is None:
            is_v6 = ":" in hop.peer[0]
            port = next((one for one in self._datagram.values() if (":" in one.interface) is is_v6), None)
        try:
            if port is None:
                raise OSError("no socket of that family")
            port.transport.write(sending.data, hop.peer)
        except Exception as error:  # Twisted has errors of its own for lengths and addresses
            self._counts["unsendable"] += 1
            log.debug("unsendable", transport="udp", problem=type(error).__name__)
            self._fail(sending, "unreachable")

    # ---- streams

    def accept(self, endpoint: Endpoint, port: int, address: Any) -> "_Stream | None":
        """A peer has connected; None closes it at once."""
        if not self._owner.admits(address.host):
            self._counts["unknown_source"] += 1
            return None
        if len(self._streams) >= self._max_connections:
            self._evict()
        self._counts["connections"] += 1
        peer = (address.host, address.port)
        return self._new_stream(Hop(endpoint.transport, peer, (self._shown(endpoint.interface, peer[0]), port)))

    def _evict(self) -> None:
        """The quietest of whoever has most connections goes: one address that opens many must not cost others theirs."""
        crowd = Counter(stream.hop.peer[0] for stream in self._streams.values())
        quietest = min(self._streams.values(), key=lambda stream: (-crowd[stream.hop.peer[0]], stream.heard_at))
        self._counts["connections_evicted"] += 1
        quietest.hang_up()
        self.gone(quietest)  # Twisted says so only after it has accepted everybody who waits

    def _new_stream(self, hop: Hop) -> "_Stream":
        self._number += 1
        stream = _Stream(self, msgspec.structs.replace(hop, socket=self._number), self._max_body)
        self._streams[self._number] = stream
        return stream

    def frame(self, stream: "_Stream", data: bytes, too_long: bool) -> None:
        """One message of a stream."""
        self._owner.heard(stream.hop, data, too_long)

    def count(self, word: str, number: int = 1) -> None:
        self._counts[word] += number

    def gone(self, stream: "_Stream") -> None:
        """A connection has ended."""
        number = stream.hop.socket
        if number is not None and self._streams.pop(number, None) is not None:
            for key in [key for key, one in self._opened.items() if one is stream]:
                del self._opened[key]
            self._owner.connection_lost(number)

    def _send_stream(self, sending: Sending) -> None:
        """Over a connection of ours, which is opened when there is none."""
        hop = sending.hop
        key = (hop.transport, hop.peer, hop.name)
        opened = self._opened.get(key)
        if isinstance(opened, _Stream):
            opened.write(sending.data)
            opened.asked(sending.branch)
            return
        if opened is None:
            # Answers may need no more than half: whoever asks and hangs up, each time from another port, must not stop our own requests.
            if len(self._opened) >= (self._max_connections if sending.branch else self._max_connections // 2):
                self._counts["connections_refused"] += 1
                self._fail(sending, "too_many_connections")
                return
            opened = self._opened[key] = _Connecting(self, hop)
            opened.start(self._ca_file)
        opened.add(sending)

    def connected(self, connecting: "_Connecting") -> "_Stream":
        """A connection of ours stands."""
        hop = connecting.hop
        self._counts["connections"] += 1
        stream = self._opened[hop.transport, hop.peer, hop.name] = self._new_stream(hop)
        return stream

    def unconnected(self, connecting: "_Connecting") -> None:
        """It does not, and will not."""
        hop = connecting.hop
        self._opened.pop((hop.transport, hop.peer, hop.name), None)
        for sending in connecting.waiting:
            self._fail(sending, "unreachable")

    def lost_branches(self, branches: list[str]) -> None:
        """What was asked over a connection of ours that is gone."""
        for branch in branches:
            self._owner.undeliverable(branch, "connection_lost")

    def _fail(self, sending: Sending, reason: str) -> None:
        if sending.branch:
            # not now: the user agent is in the middle of its own sendings
            asyncio.get_running_loop().call_soon(self._owner.undeliverable, sending.branch, reason)

    def _shown(self, interface: str, peer: str) -> str:
        if self._advertise and (":" in self._advertise) is (":" in peer):
            return self._advertise
        return self._towards(peer) if interface in _WILDCARDS else interface


class _Datagrams(protocol.DatagramProtocol):
    noisy = False
    transport: Any

    def __init__(self, sockets: Sockets, number: int, interface: str, port: int) -> None:
        self._sockets = sockets
        self.number = number
        self.interface = interface
        self.port = port

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Twisted calls it for every datagram; IPv6 addresses come with more than host and port."""
        self._sockets.datagram(self, datagram, (addr[0], addr[1]))


class _Accepting(protocol.Factory):
    noisy = False

    def __init__(self, sockets: Sockets, endpoint: Endpoint) -> None:
        self._sockets = sockets
        self._endpoint = endpoint
        self.port = endpoint.port

    def buildProtocol(self, addr: Any) -> "_Stream | None":
        """Twisted asks for each connection."""
        return self._sockets.accept(self._endpoint, self.port, addr)


class _Connecting(protocol.ClientFactory):
    """A connection of ours that does not stand yet, and what waits for it."""

    noisy = False

    def __init__(self, sockets: Sockets, hop: Hop) -> None:
        self._sockets = sockets
        self.hop = hop
        self.waiting: list[Sending] = []
        self._size = 0
        self._connector: Any = None

    def start(self, ca_file: str) -> None:
        """Connect. A name that is no numeric address never gets here: they are looked up before."""
        reactor = _reactor()
        host, port = self.hop.peer
        try:
            if self.hop.transport == "tls":
                certificates = client_certificates(self.hop.name or host, ca_file)
                self._connector = reactor.connectSSL(host, port, self, certificates, timeout=CONNECT_S)
            else:
                self._connector = reactor.connectTCP(host, port, self, timeout=CONNECT_S)
        except (OSError, ValueError) as error:
            log.warning("cannot_connect", transport=self.hop.transport, problem=str(error))
            asyncio.get_running_loop().call_soon(self._sockets.unconnected, self)

    def give_up(self) -> None:
        if self._connector is not None:
            self._connector.disconnect()

    def add(self, sending: Sending) -> None:
        """Wait with it; the oldest goes when it is too much."""
        self.waiting.append(sending)
        self._size += len(sending.data)
        while self._size > MAX_QUEUED and len(self.waiting) > 1:
            self._size -= len(self.waiting.pop(0).data)

    def buildProtocol(self, addr: Any) -> "_Stream":  # noqa: ARG002 - Twisted's
        """TCP stands. Over TLS the first octets also wait for the handshake, in Twisted."""
        stream = self._sockets.connected(self)
        stream.first = self.waiting
        return stream

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:  # noqa: ARG002 - Twisted's
        """Refused, or nobody there."""
        self._sockets.unconnected(self)


class _Stream(protocol.Protocol):
    """One connection. A peer that goes on asking but does not read its answers is hung up on.

    Not to read from it would be milder, but over TLS a handshake must be read before anything can be written.
    """

    transport: Any

    def __init__(self, sockets: Sockets, hop: Hop, max_body: int) -> None:
        self._sockets = sockets
        self.hop = hop
        self._frames = StreamFrames(clock.monotonic(), max_body)
        self._timer: asyncio.TimerHandle | None = None
        self.heard_at = clock.monotonic()
        self.first: list[Sending] = []
        self._branches: list[str] = []
        self._unread: int | None = None  # octets that came since too much waits to be written

    def connectionMade(self) -> None:
        """What waited for it leaves."""
        self.transport.setTcpKeepAlive(True)
        self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)
        for sending in self.first:
            self.write(sending.data)
            self.asked(sending.branch)
        self.first = []
        self._set_timer()

    def dataReceived(self, data: bytes) -> None:
        """Twisted calls this with any fragment."""
        self.heard_at = clock.monotonic()
        if self._unread is not None:
            self._unread += len(data)
            if self._unread > MAX_QUEUED:
                self._sockets.count("reads_no_answers")
                self.hang_up()
                return
        found = self._frames.receive_data(data, self.heard_at)
        if self._frames.pings:
            self._sockets.count("pings", self._frames.pings)
            self.write(b"\r\n" * self._frames.pings)
            self._frames.pings = 0
        for frame in found:
            self._sockets.frame(self, frame.data, frame.too_long)
        self._after()

    def asked(self, branch: str) -> None:
        """A request of ours left over it: if it ends, the answer will not come. Only the last ones matter, Timer F has the rest."""
        if branch:
            self._branches = [*self._branches[-63:], branch]

    def write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def hang_up(self) -> None:
        """Now, whatever is still to be written."""
        if self.transport is not None:
            self.transport.abortConnection()

    def pauseProducing(self) -> None:
        """Twisted: too much is waiting to be written. It says so with every further write."""
        if self._unread is None:
            self._unread = 0

    def resumeProducing(self) -> None:
        """Twisted: it has been written."""
        self._unread = None

    def stopProducing(self) -> None:
        """Twisted: the connection is gone; connectionLost says so too."""

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:  # noqa: ARG002 - Twisted's
        """Twisted calls this once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._sockets.gone(self)
        self._sockets.lost_branches(self._branches)
        self._branches = []

    def _after(self) -> None:
        self._set_timer()
        if self._frames.fault and self._timer is None:
            self._sockets.count(self._frames.fault)
            self.transport.unregisterProducer()
            self.transport.loseConnection()  # after what has been written
            self._timer = asyncio.get_running_loop().call_later(LINGER_S, self.hang_up)  # ... if the peer reads it at all

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._frames.deadline()
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, deadline - clock.monotonic()), self._on_deadline)

    def _on_deadline(self) -> None:
        self._timer = None
        self._frames.handle_deadline(clock.monotonic())
        self._after()


def _reactor() -> Any:
    """The running one; its interfaces describe bound methods in a way that mypy cannot follow."""
    from twisted.internet import reactor

    return reactor


def parse_endpoint(text: str, key_file: str = "", certificate_file: str = "") -> Endpoint:
    """`udp:PORT`, `tcp:PORT` or `ssl:PORT:privateKey=FILE:certKey=FILE`, each with `interface=ADDRESS`, colons escaped as in Twisted's strings.

    Raises ValueError saying what is wrong.
    """
    word, _, rest = text.replace("\\:", "\0").partition(":")
    port, *others = rest.split(":")
    if word not in WORDS or not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        raise ValueError(f"{text!r} is no endpoint; write udp:PORT, tcp:PORT or ssl:PORT, then :interface=ADDRESS")
    told = {"privateKey": key_file, "certKey": certificate_file, "interface": ""}
    for other in others:
        name, _, value = other.partition("=")
        if name not in told or not value or (word != "ssl" and name != "interface"):
            raise ValueError(f"{text!r}: {name!r} does not belong there; write interface=ADDRESS, and for ssl privateKey=FILE and certKey=FILE")
        told[name] = value.replace("\0", ":")
    if word == "ssl" and not (told["privateKey"] and told["certKey"]):
        raise ValueError(f"{text!r}: has no certificate; write privateKey=FILE and certKey=FILE, or options.key_file and options.certificate_file")
    return Endpoint(WORDS[word], int(port), told["interface"], told["privateKey"], told["certKey"])
