"""A UDP line (`udp:9060:interface=127.0.0.1`): datagrams to a codec that answers nothing, its signals to the pipeline in order.

Nobody repeats a lost datagram, so nothing that was read is given up for a passing fault of ours: what could not be stored is held and
emitted again, up to a bound.
"""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Protocol

import structlog
from twisted.internet import protocol
from twisted.internet.defer import maybeDeferred

from drivers.contract import Emit, Rejected, Report, Signal
from drivers.lines.hold import Delivery
from drivers.lines.silence import SilenceWatch
from gateway import clock
from gateway.config import LineConfig
from gateway.errors import LineError

MAX_DATAGRAM = 65_535
# Five seconds of 1,000 full-size SIP copies a second; the kernel caps it at net.core.rmem_max and tells nobody.
RECEIVE_BUFFER = 8 * 1024 * 1024
SO_MEMINFO = 55  # Linux: nine counters of a socket; the last is the datagrams it had no room for
_MEMINFO = struct.Struct("9I")

log = structlog.get_logger()


class DatagramCodec(Protocol):
    """What a codec over datagrams does; there are no receipts. Bytes never make it raise."""

    def receive_message(self, source: tuple[str, int], data: bytes, now: float, received_at: datetime) -> list[Signal | Rejected]: ...

    def deadline(self) -> float | None: ...

    def handle_deadline(self, now: float, received_at: datetime) -> list[Signal | Rejected]: ...

    def restore(self, records: Iterable[Mapping[str, object]], now: float) -> int: ...


class DatagramLine:
    """One UDP socket, one codec for all peers, one emit at a time; what arrives meanwhile collects.

    restore: gives the details of the calls that were live when the gateway stopped; asked once, before the socket opens.
    """

    def __init__(self, config: LineConfig, codec: DatagramCodec, restore: Callable[[], Iterable[Mapping[str, object]]] | None = None) -> None:
        self.name = config.name
        self.codec_name = config.codec
        self.mandatory = config.mandatory
        self.codec = codec
        self.port: int | None = None  # where it listens, once it does
        self.counts: Counter[str] = Counter()  # datagrams, dropped (hold was full)
        self._config_port, self._interface = parse_listen(config.listen or "")
        self._silence_s = config.silence_s
        self._restore = restore
        self._delivery = Delivery(config.name, codec, self.counts)
        self._watch: SilenceWatch | None = None
        self._socket: socket.socket | None = None

    async def run(self, emit: Emit, report: Report) -> None:
        """Listen until cancelled; what is held then is kept for the next run of this object.

        Raises LineError when the port is not to be had, and whatever the codec raised (our bug).
        """
        from twisted.internet import reactor

        if self._restore is not None:
            restore, self._restore = self._restore, None
            restored = self.codec.restore(restore(), clock.monotonic())
            log.info("calls_restored", line=self.name, calls=restored)
        self._watch = SilenceWatch(report, self._silence_s)
        self._delivery.begin()
        opened = self._open()
        with opened:  # the port keeps a descriptor of its own
            listening = reactor.adoptDatagramPort(opened.fileno(), opened.family, _Receiver(self._receive), maxPacketSize=MAX_DATAGRAM)
        self._socket = listening.getHandle()
        self.port = listening.getHost().port
        report.live()
        silence = asyncio.create_task(self._watch.run(), name=f"{self.name} silence")
        try:
            await self._delivery.run(emit)
        finally:
            silence.cancel()
            self._socket = None
            await maybeDeferred(listening.stopListening).asFuture(asyncio.get_running_loop())

    @property
    def held(self) -> int:
        """Events read and not yet stored."""
        return len(self._delivery)

    def kernel_drops(self) -> int:
        """Datagrams the kernel had no room for on the present socket; 0 where it does not say."""
        if self._socket is None:
            return 0
        try:
            told = self._socket.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO.size)
        except OSError:
            return 0
        return int(_MEMINFO.unpack(told)[-1]) if len(told) == _MEMINFO.size else 0

    def _receive(self, data: bytes, source: tuple[str, int]) -> None:
        """Twisted hands over one datagram. Decoding takes microseconds; the rest is `_deliver`'s."""
        self.counts["datagrams"] += 1
        received_at = clock.utc_now()
        try:
            found = self.codec.receive_message((source[0], source[1]), data, clock.monotonic(), received_at)
        except Exception as error:  # a codec never raises: this is our bug, and the supervisor's to report
            self._delivery.fail(error)
            return
        if self._watch is not None and not (found and all(isinstance(item, Rejected) for item in found)):
            self._watch.heard()  # rubbish is no proof that the exchange lives
        self._delivery.keep(found, received_at)

    def _open(self) -> socket.socket:
        """A bound socket of ours: Twisted's own would leak when the port is taken."""
        opened = socket.socket(socket.AF_INET6 if ":" in self._interface else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            opened.setblocking(False)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            opened.bind((self._interface, self._config_port))
        except OSError as error:
            opened.close()
            raise LineError(f"cannot listen on udp port {self._config_port}: {error}") from error
        return opened


class _Receiver(protocol.DatagramProtocol):
    noisy = False

    def __init__(self, receive: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._receive = receive

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Twisted calls it for every datagram."""
        self._receive(datagram, addr)


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
