"""SIP for `gateway decode`: MESSAGE through the user agent of a sip line, calls through the tracker of a hep line, SCAIP also as bare XML.

A message that is sound but no alarm and no news of a call gives its facts, so that nothing pasted goes unanswered.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import msgspec

from drivers.bodies.handler import Received
from drivers.bodies.table import build_handlers
from drivers.contract import Rejected, Signal
from drivers.registry import codec_for
from drivers.sip.message import MalformedMessage, Message, check_strictly, parse_message
from drivers.user_agent.options import SipOptions
from drivers.user_agent.sip_reader import SipReader
from gateway.capture_file import Packet
from gateway.clock import utc_now
from gateway.config import CallsConfig
from gateway.decode_calls import as_hep, split_sip

_ASKED_OF_US = ("MESSAGE", "OPTIONS")  # what a sip line answers on its own account; the rest it would only see in passing
_ROOT_END = re.compile(rb"</\s*(?:mrq|mrs|scaip)\s*>", re.IGNORECASE)


class Result(msgspec.Struct, frozen=True, eq=False):
    """What one message gave. facts: of one that is neither signal nor rejection. replies: what would leave for it, in order."""

    found: Signal | Rejected | None
    at: datetime
    replies: list[bytes]
    facts: dict[str, object] = {}


class SipDesk:
    """One line on paper. only_texts: nothing but MESSAGE counts (`decode scaip`)."""

    def __init__(self, options: dict[str, object], calls: CallsConfig, fixed: datetime | None, *, only_texts: bool = False) -> None:
        """options: of a sip line. Raises ConfigError."""
        if only_texts:
            options = {**options, "bodies": ("scaip",)}
        self._reader: SipReader = codec_for("sip", options, calls)
        self._tracker = codec_for("hep", {}, calls)
        self._scaip = build_handlers(("scaip",), msgspec.convert(options, SipOptions).body_options)[0] if only_texts else None
        self._fixed = fixed

    def read(self, packets: Iterable[Packet]) -> Iterator[Result]:
        """Everything in order."""
        for packet in packets:
            if self._scaip is not None and packet.payload.lstrip()[:1] == b"<":
                for document in split_xml(packet.payload):
                    yield from self._read_xml(document, self._at(packet))
            else:
                yield from self._read_sip(packet)

    def _at(self, packet: Packet) -> datetime:
        return self._fixed or (datetime.fromtimestamp(packet.time, UTC) if packet.time else utc_now())

    def _read_sip(self, packet: Packet) -> Iterator[Result]:
        at = self._at(packet)
        try:
            message = parse_message(packet.payload)
            check_strictly(message)
        except MalformedMessage as fault:
            if fault.reason != "keepalive":
                self._reader.receive_message(packet.source, packet.payload, packet.time, at)
                yield Result(Rejected(reason=fault.reason, raw=packet.payload), at, self._replies())
            return
        if message.method in _ASKED_OF_US:
            found: list[Signal | Rejected] = self._reader.receive_message(packet.source, packet.payload, packet.time, at)
            for one in found:
                self._reader.confirm(one)
        elif self._scaip is not None:
            return
        else:
            found = self._tracker.receive_message(packet.source, as_hep(packet), packet.time, at)
        replies = self._replies()
        if not found:
            yield Result(None, at, replies, _facts(message, at))
        for number, one in enumerate(found, 1):  # the answer follows on the last
            yield Result(one, at, replies if number == len(found) else [])

    def _replies(self) -> list[bytes]:
        return [sending.data for sending in self._reader.agent.sendings()]

    def _read_xml(self, body: bytes, at: datetime) -> Iterator[Result]:
        """A body without its message: who sent it is not known, and the answer is the status message alone."""
        assert self._scaip is not None
        received = Received(
            from_user="", from_uri="", to_user="", contact="", call_id="", cseq=0, source=("", 0), transport="udp", user="",
            integrity="unverified", content_type=self._scaip.media_types[0], body=body, raw=body, now=0.0, received_at=at,
            message=Message("MESSAGE", "", 0, "", {}, body),
        )  # fmt: skip
        reading = self._scaip.read(received)
        self._scaip.settled(reading, True, 0.0)
        replies = [part.body for part in (reading.reply, reading.follow_up) if part is not None]
        if not reading.signals:
            yield Result(None, at, replies, {"kind_raw": "mrq", "detail": {"repeated": True}})
        for one in reading.signals:
            yield Result(one, at, replies)


def split_xml(data: bytes) -> Iterator[bytes]:
    """Documents written one after the other; what stands behind the last end is one more."""
    start = 0
    for end in _ROOT_END.finditer(data):
        yield data[start : end.end()].strip()
        start = end.end()
    if data[start:].strip():
        yield data[start:].strip()


def split_text(data: bytes) -> Iterator[bytes]:
    """Pasted text: XML as it stands, SIP message by message."""
    if data.lstrip()[:1] == b"<":
        yield data
    else:
        yield from split_sip(data)


def _facts(message: Message, at: datetime) -> dict[str, object]:
    """The names of decode.md, without a kind: it is no signal."""
    what = message.method or f"{message.code} {message.reason}".strip()
    detail: dict[str, object] = {
        "method": message.method or message.cseq_method,
        "code": message.code or None,
        "call_id": message.call_id,
        "cseq": message.cseq,
        "from": message.from_.user,
        "to": message.to.user,
        "content_type": message.header("content-type"),
    }
    return {
        "kind_raw": what,
        "device": message.from_.user or None,
        "occurred_at": at.isoformat().replace("+00:00", "Z"),
        "time_source": "received",
        "detail": {name: value for name, value in detail.items() if value not in (None, "")},
    }
