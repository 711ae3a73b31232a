"""Recorded conversations with an exchange (AMI, ESL): which side said what when, and what the line's own codec makes of it."""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import msgspec

from drivers.contract import Rejected, Signal
from drivers.pbx.ami_message import Framer, Message
from drivers.registry import codec_for
from gateway.capture_file import Packet
from gateway.clock import utc_now
from gateway.config import CallsConfig
from gateway.errors import GatewayError

CODECS = ("ami", "esl")
# What only the exchange says. Streams of a capture and sides of a recording are told apart by it, not by a port or by a word for the side.
_SERVER = {
    "ami": re.compile(rb"(?:\A|\n)(?:Event|Response): \w+\r?\n|Asterisk Call Manager/"),
    "esl": re.compile(rb"(?:\A|\n)Content-Type: (?:auth/request|command/reply|api/response|text/(?:event-|disconnect-|rude-))"),
}
# Where a message begins, for who comes in the middle or has lost some bytes.
_START = {
    "ami": re.compile(rb"(?:\A|\r?\n\r?\n)(?=(?:Event|Response): )|\A(?=Asterisk Call Manager/)"),
    "esl": re.compile(
        rb"(?=(?:Content-Length: \d+\r?\n)?Content-Type: (?:auth/request|command/reply|api/response|text/(?:event-|disconnect-|rude-)))"
    ),
}
_SIP = re.compile(rb"(?:\A|\n)SIP/2\.0 | SIP/2\.0\r\n")  # its NOTIFY has a header Event too
_TAIL = 256  # octets of the piece before, in case a mark is cut
LONG_AGO = 1e8  # seconds since 1970; smaller ones count from the beginning of the recording


class Told(msgspec.Struct, frozen=True, eq=False):
    """One signal or rejection. at_s: when it was said; began_s: when the exchange first spoke of the call, in the same seconds."""

    found: Signal | Rejected
    at_s: float
    began_s: float
    at: datetime


def read_recording(data: bytes) -> Iterator[Packet]:
    """JSON lines {"t", "dir", "data"}, or the bytes themselves. `t` is seconds or ISO 8601; the side stands in place of the source's address.

    Raises GatewayError naming the line that is neither.
    """
    if data.lstrip()[:1] != b"{":
        yield Packet(0.0, ("", 0), ("", 0), _without_head(data), is_stream=True)
        return
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip() and not line.startswith(b"#"):
            try:
                record = json.loads(line)
                said, time = record["data"].encode("utf-8", "surrogateescape"), _seconds(record.get("t", 0))
                side = str(record.get("dir", ""))
            except (ValueError, LookupError, AttributeError, TypeError) as error:
                raise GatewayError(f'line {number} is no JSON object {{"t", "dir", "data"}}; correct it, or give the bytes alone') from error
            yield Packet(time, (side, 0), ("", 0), said, is_stream=True)


def read_conversation(
    codec: str, packets: Iterable[Packet], options: dict[str, object], calls: CallsConfig, fixed: datetime | None
) -> Iterator[Told]:
    """What the exchange said, through one codec for each exchange. At the end every timer runs out. fixed: the time on our clock."""
    readers: dict[tuple[str, int], _Exchange] = {}
    for packet in _said_by_server(codec, list(packets)):
        reader = readers.get(packet.source)
        if reader is None:
            reader = readers[packet.source] = _Exchange(codec, options, calls, fixed, is_lost=packet.gap)
        elif packet.gap:
            yield from reader.interrupt(packet.time)
        yield from reader.take(packet.payload, packet.time)
    for reader in readers.values():
        yield from reader.finish()


class _Exchange:
    """The codec only listens: it was never told that it is connected."""

    def __init__(self, codec: str, options: dict[str, object], calls: CallsConfig, fixed: datetime | None, *, is_lost: bool) -> None:
        self._name = codec
        self._codec = codec_for(codec, options, calls)
        self._is_lost = is_lost  # until the next message begins
        self._fixed = fixed
        self._now = 0.0
        self._channels = Framer(frozenset({"Newchannel"})) if codec == "ami" else None
        self._born: dict[str, float] = {}

    def interrupt(self, time: float) -> Iterator[Told]:
        """Bytes are missing, or this is another connection: what was begun must not swallow what comes."""
        if self._name == "ami":
            yield from self.take(b"\r\n\r\n", time)
        else:
            self._codec.connected(time)
        self._is_lost = True

    def take(self, data: bytes, time: float) -> Iterator[Told]:
        if self._is_lost:
            start = _START[self._name].search(data)
            if start is None:
                return
            data, self._is_lost = data[start.end() :], False
        self._now = max(self._now, time)
        at = self._fixed or (datetime.fromtimestamp(time, UTC) if time > LONG_AGO else utc_now())
        for one in self._channels.feed(data) if self._channels is not None else ():
            if isinstance(one, Message) and one.name == "Newchannel":
                self._born.setdefault(one["Uniqueid"], time or _number(one["Timestamp"]))
        while (deadline := self._codec.deadline()) is not None and deadline <= self._now:
            yield from self._told(self._codec.handle_deadline(deadline, at), time, at)
        yield from self._told(self._codec.receive_data(data, self._now, at), time, at)
        self._codec.data_to_send()  # nobody is there to hear it

    def finish(self) -> Iterator[Told]:
        while (deadline := self._codec.deadline()) is not None:
            self._now = max(self._now, deadline)
            at = self._fixed or (datetime.fromtimestamp(self._now, UTC) if self._now > LONG_AGO else utc_now())
            yield from self._told(self._codec.handle_deadline(self._now, at), self._now, at)

    def _told(self, found: Iterable[Signal | Rejected], time: float, at: datetime) -> Iterator[Told]:
        for one in found:
            at_s = time or (one.time.timestamp() if isinstance(one, Signal) and one.time is not None else 0.0)
            if isinstance(one, Signal) and one.time is not None and self._fixed is None and time <= LONG_AGO:
                at = one.time  # nobody but the exchange knows when it was
            born = self._born.get(str(one.detail.get("exchange_call")), at_s) if isinstance(one, Signal) else at_s
            yield Told(one, at_s, born, at)


def _said_by_server(codec: str, packets: list[Packet]) -> list[Packet]:
    """The streams in which the exchange speaks; all of a recording in which nobody can be told apart."""
    mark = _SERVER[codec]
    servers, strangers = set(), set()
    tails: dict[object, bytes] = {}
    for packet in packets:
        side = (packet.source, packet.destination)
        text = tails.get(side, b"") + packet.payload
        tails[side] = packet.payload[-_TAIL:]
        if packet.is_stream and mark.search(text):
            servers.add(side)
        if _SIP.search(text) and packet.source[1]:
            strangers.add(side)
    is_recording = not any(packet.source[1] for packet in packets)
    if not servers and is_recording:
        return packets
    return [packet for packet in packets if (packet.source, packet.destination) in servers - strangers]


def _without_head(data: bytes) -> bytes:
    """Recordings begin with what their maker notes in lines that begin with #."""
    lines = data.splitlines(keepends=True)
    start = next((number for number, line in enumerate(lines) if line.strip() and not line.startswith(b"#")), len(lines))
    return b"".join(lines[start:])


def _seconds(told: object) -> float:
    if isinstance(told, str):
        at = datetime.fromisoformat(told)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if isinstance(told, bool) or not isinstance(told, int | float) or not 0 <= told < 1e11:
        raise ValueError(told)
    return float(told)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
