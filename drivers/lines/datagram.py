"""A UDP line (`udp:9060:interface=127.0.0.1`): each datagram is a packet to a codec that answers nothing."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping

import structlog
from twisted.internet import protocol
from twisted.internet.defer import maybeDeferred

from drivers.lines.packets import PacketCodec, PacketLine
from gateway.config import LineConfig
from gateway.errors import LineError

MAX_DATAGRAM = 65_535
# Five seconds of 1,000 full-size SIP copies a second; the kernel gives at most net.core.rmem_max.
RECEIVE_BUFFER = 8 * 1024 * 1024
SMALL_BUFFER = 1024 * 1024  # below it a pause of a tenth of a second, with the store busy, loses datagrams in a flood
SO_RCVBUFFORCE = 33  # Linux, socket(7)
SO_MEMINFO = 55  # Linux: nine counters of a socket; the last is the datagrams it had no room for
_MEMINFO = struct.Struct("9I")

log = structlog.get_logger()


class DatagramLine(PacketLine):
    """One UDP socket for all peers."""

    received = "datagrams"

    def __init__(self, config: LineConfig, codec: PacketCodec, restore: Callable[[], Iterable[Mapping[str, object]]] | None = None) -> None:
        super().__init__(config, codec, restore)
        self._config_port, self._interface = parse_listen(config.listen or "")
        self._socket: socket.socket | None = None

    async def _open(self) -> Callable[[], Awaitable[None]]:
        from twisted.internet import reactor

        with bound(self.name, self._config_port, self._interface) as opened:  # the port keeps a descriptor of its own
            listening = reactor.adoptDatagramPort(opened.fileno(), opened.family, _Receiver(self._receive), maxPacketSize=MAX_DATAGRAM)
        self._socket = listening.getHandle()
        self.port = listening.getHost().port

        async def close() -> None:
            self._socket = None
            await maybeDeferred(listening.stopListening).asFuture(asyncio.get_running_loop())

        return close

    def lost(self) -> int:
        return super().lost() + self.kernel_drops()

    def kernel_drops(self) -> int:
        return 0 if self._socket is None else drops_of(self._socket)


def bound(line: str, port: int, interface: str) -> socket.socket:
    """A bound UDP socket of ours: Twisted's own would leak when the port is taken. Raises LineError."""
    opened = socket.socket(socket.AF_INET6 if ":" in interface else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        granted = ask_for_room(opened)
        if granted < SMALL_BUFFER:
            log.warning("receive_buffer_small", line=line, octets=granted, remedy=f"sysctl net.core.rmem_max={RECEIVE_BUFFER}")
        opened.bind((interface, port))
    except OSError as error:
        opened.close()
        raise LineError(f"cannot listen on udp port {port}: {error}") from error
    return opened


def drops_of(opened: socket.socket) -> int:
    """Datagrams the kernel had no room for on this socket; 0 where it does not say."""
    try:
        told = opened.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO.size)
    except OSError:
        return 0
    return int(_MEMINFO.unpack(told)[-1]) if len(told) == _MEMINFO.size else 0


def ask_for_room(opened: socket.socket) -> int:
    """The largest receive buffer that the kernel gives us, in octets: with CAP_NET_ADMIN all of it, else up to net.core.rmem_max."""
    try:
        opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except OSError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    return opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2  # Linux tells the double, its own keeping included


class _Receiver(protocol.DatagramProtocol):
    noisy = False

    def __init__(self, receive: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._receive = receive

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Twisted calls it for every datagram; IPv6 addresses have four parts."""
        self._receive(datagram, (addr[0], addr[1]))


def parse_listen(listen: str) -> tuple[int, str]:
    """(port, interface) of `udp:PORT[:interface=ADDRESS]`; an IPv6 address has its colons escaped, as in Twisted's strings.

    Raises ValueError saying what is wrong.
    """
    word, _, rest = listen.replace("\\:", "\0").partition(":")
    port, *others = rest.split(":")
    if word != "udp" or not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        raise ValueError(f"{listen!r} is no UDP endpoint; write udp:PORT or udp:PORT:interface=ADDRESS")
    interface = ""
    for other in others:
        name, _, value = other.partition("=")
        if name != "interface" or not value:
            raise ValueError(f"{listen!r}: only interface=ADDRESS may follow the port")
        interface = value.replace("\0", ":")
    return int(port), interface
