"""Calls out of captured telephony: HEP datagrams or bare SIP through the call tracker, AMI and ESL through their codecs; added up call by call."""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from drivers.calls.hep3 import SIP, MalformedPacket, parse_packet
from drivers.contract import Rejected, Signal
from drivers.registry import codec_for
from gateway.capture_file import Packet
from gateway.clock import utc_now
from gateway.config import CallsConfig
from gateway.event import Kind
from gateway.recording import CODECS, Told, read_conversation

_START_LINE = re.compile(rb"(?:[A-Z]{3,12} [^\r\n ]+ SIP/2\.0|SIP/2\.0 \d{3}[^\r\n]*)\r?\n")
_OUTCOMES = {
    Kind.CALL_ANSWERED: "answered",
    Kind.CALL_TRANSFERRED: "transferred",
    Kind.CALL_ABANDONED: "abandoned",
    Kind.CALL_MISSED: "missed",
    Kind.CALL_FAILED: "failed",
}
MAX_SIP = 65_000  # what fits beside the addresses into one HEP packet, whose length has 16 bits


class Summary(msgspec.Struct):
    """`calls` in the order of their first message, `rejected` counted by reason."""

    calls: list[dict[str, object]]
    rejected: Counter[str]


def split_sip(data: bytes) -> Iterator[bytes]:
    """Messages written one after the other as text, each from its start line to the next one; where there is no CRLF, line ends become it."""
    starts = [match.start() for match in _START_LINE.finditer(data) if match.start() == 0 or data[match.start() - 1 : match.start()] == b"\n"]
    if not starts:
        yield data
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True) if starts else ():
        message = data[start:end]
        if b"\r\n\r\n" in message:
            yield message
            continue
        message = message.replace(b"\r\n", b"\n")
        yield message.rstrip(b"\n").replace(b"\n", b"\r\n") + (b"\r\n\r\n" if b"\n\n" not in message.rstrip(b"\n") else b"\r\n")


def as_hep(packet: Packet) -> bytes:
    """Bare SIP in the envelope that the `hep` codec opens, so that the very same code reads it (hep3, packet layout)."""

    def chunk(kind: int, value: bytes) -> bytes:
        return bytes(2) + kind.to_bytes(2) + (6 + len(value)).to_bytes(2) + value

    chunks = b""
    for (host, port), kinds in ((packet.source, (3, 5, 7)), (packet.destination, (4, 6, 8))):
        address = ipaddress.ip_address(host or "0.0.0.0").packed
        chunks += chunk(kinds[0] if len(address) == 4 else kinds[1], address) + chunk(kinds[2], port.to_bytes(2))
    seconds = int(packet.time)
    chunks += chunk(2, b"\x11") + chunk(9, seconds.to_bytes(4)) + chunk(10, int((packet.time - seconds) * 1e6).to_bytes(4))
    chunks += chunk(11, bytes([SIP])) + chunk(15, packet.payload[:MAX_SIP])
    return b"HEP3" + (6 + len(chunks)).to_bytes(2) + chunks


def read_calls(codec: str, packets: Iterable[Packet], options: dict[str, object], calls: CallsConfig, fixed: datetime | None) -> Summary:
    """All calls of the packets; at the end every timer runs out, so that each call has its outcome (`inferred` where nobody said it)."""
    told: dict[str, _Told] = {}
    rejected: Counter[str] = Counter()
    if codec in CODECS:
        found = read_conversation(codec, packets, options, calls, fixed)
    else:
        found = _read_sip(codec, packets, options, calls, fixed)
    for one in found:
        if isinstance(one.found, Rejected):
            rejected[one.found.reason] += 1
        else:
            told.setdefault(str(one.found.detail.get("call")), _Told(one.began_s)).add(one.found, one.at_s)
    return Summary([one.summary(name) for name, one in told.items()], rejected)


def _read_sip(codec: str, packets: Iterable[Packet], options: dict[str, object], calls: CallsConfig, fixed: datetime | None) -> Iterator[Told]:
    reader = codec_for("hep", options, calls)
    now = 0.0

    def told(found: Iterable[Signal | Rejected]) -> Iterator[Told]:
        for one in found:
            yield Told(one, now, now, fixed or utc_now())

    for packet in packets:
        time = packet.time or (hep_time(packet.payload) if codec == "hep" else 0.0)
        now = max(now, time)
        yield from told(_expired(reader, now))
        at = fixed or (datetime.fromtimestamp(time, UTC) if time else utc_now())
        payload = as_hep(packet) if codec == "sip" else packet.payload
        yield from told(reader.receive_message(packet.source, payload, now, at))
    while (deadline := reader.deadline()) is not None:
        now = max(now, deadline)
        yield from told(reader.handle_deadline(now, fixed or utc_now()))


def hep_time(payload: bytes) -> float:
    """When the capture agent says it saw the message, seconds since 1970; 0 when nobody says."""
    try:
        return parse_packet(payload).time or 0.0
    except MalformedPacket:
        return 0.0


def _expired(reader: Any, now: float) -> Iterator[Signal | Rejected]:
    deadline = reader.deadline()
    while deadline is not None and deadline <= now:
        yield from reader.handle_deadline(deadline, utc_now())
        deadline = reader.deadline()


class _Told:
    """One call as its signals told it. Seconds count from its first message."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._events: list[tuple[str, float]] = []
        self._outcome: str | None = None
        self._last: dict[str, object] = {}

    def add(self, signal: Signal, at_s: float) -> None:
        self._last |= signal.detail
        if signal.detail.get("correction"):  # nothing has happened; somebody knows better
            return
        self._events.append((str(signal.kind).removeprefix("call_"), round(at_s - self._began, 6)))
        self._outcome = _OUTCOMES.get(signal.kind, self._outcome)

    def summary(self, name: str) -> dict[str, object]:
        """The names of decode.md; None where nobody said it."""
        facts = {key: self._last.get(key) for key in ("caller", "caller_e164", "called", "agent")}
        return {
            "call": name,
            **facts,
            "outcome": self._outcome,
            "reason": self._last.get("reason"),
            "by": self._last.get("by"),
            "inferred": bool(self._last.get("inferred", False)),
            "events": self._events,
        }
