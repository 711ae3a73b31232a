"""What a line does whose peers only tell, in packets, and are never answered (HEP): one codec for all peers, its signals to the pipeline
in order. `datagram.py` hears them over UDP, `packet_stream.py` over TCP and TLS.

Nobody repeats a lost packet, so nothing that was read is given up for a passing fault of ours: what could not be stored is held and
emitted again, up to a bound.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Protocol

import structlog

from drivers.contract import Emit, Rejected, Report, Signal
from drivers.lines.hold import Delivery
from drivers.lines.silence import SilenceWatch
from gateway import clock
from gateway.config import LineConfig

log = structlog.get_logger()


class PacketCodec(Protocol):
    """What a codec of packets does; there are no receipts. Bytes never make it raise."""

    def receive_message(self, source: tuple[str, int], data: bytes, now: float, received_at: datetime) -> list[Signal | Rejected]: ...

    def deadline(self) -> float | None: ...

    def handle_deadline(self, now: float, received_at: datetime) -> list[Signal | Rejected]: ...

    def restore(self, records: Iterable[Mapping[str, object]], now: float) -> int: ...


class PacketLine(ABC):
    """One codec for all peers, one emit at a time; what arrives meanwhile collects. The codec keeps its calls over runs and connections.

    restore: gives the details of the calls that were live when the gateway stopped; asked once, before anything is listened to.
    counts: datagrams or packets, dropped (hold was full), and what the way of listening adds.
    """

    received = "packets"  # what one piece is called in `counts`

    def __init__(self, config: LineConfig, codec: PacketCodec, restore: Callable[[], Iterable[Mapping[str, object]]] | None = None) -> None:
        self.name = config.name
        self.codec_name = config.codec
        self.mandatory = config.mandatory
        self.codec = codec
        self.port: int | None = None  # where it listens, once it does
        self.counts: Counter[str] = Counter()
        self._silence_s = config.silence_s
        self._restore = restore
        self._delivery = Delivery(config.name, codec, self.counts)
        self._watch: SilenceWatch | None = None

    @abstractmethod
    async def _open(self) -> Callable[[], Awaitable[None]]:
        """Start to listen and set `port`; gives what ends it. Raises LineError."""

    async def run(self, emit: Emit, report: Report) -> None:
        """Listen until cancelled; what is held then is kept for the next run of this object.

        Raises LineError when the port is not to be had, and whatever the codec raised (our bug).
        """
        if self._restore is not None:
            restore, self._restore = self._restore, None
            restored = self.codec.restore(restore(), clock.monotonic())
            log.info("calls_restored", line=self.name, calls=restored)
        self._watch = SilenceWatch(report, self._silence_s)
        self._delivery.begin()
        close = await self._open()
        report.live()
        silence = asyncio.create_task(self._watch.run(), name=f"{self.name} silence")
        try:
            await self._delivery.run(emit)
        finally:
            silence.cancel()
            await close()

    @property
    def held(self) -> int:
        """Events read and not yet stored."""
        return len(self._delivery)

    def lost(self) -> int:
        """What was told and never became an event, for want of room."""
        return self.counts["dropped"]

    def _receive(self, data: bytes, source: tuple[str, int]) -> None:
        """One packet. Decoding takes microseconds; the rest is the delivery's."""
        self.counts[self.received] += 1
        received_at = clock.utc_now()
        try:
            found = self.codec.receive_message(source, data, clock.monotonic(), received_at)
        except Exception as error:  # a codec never raises: this is our bug, and the supervisor's to report
            self._delivery.fail(error)
            return
        if self._watch is not None and not (found and all(isinstance(item, Rejected) for item in found)):
            self._watch.heard()  # rubbish is no proof that the exchange lives
        self._delivery.keep(found, received_at)
