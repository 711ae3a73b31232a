"""Alarm receivers with a Sur-Gard automation output: one record an event, one octet in answer, and only one record under way.

Wire: printable characters up to DC4 (Ademco 685: from LF to CR), no checksum, no number, no time. ACK within 4 s, or the receiver repeats
up to three times, then keeps the event, prints it and reports a computer fault: silence is the safe answer when we cannot keep it.
Source: automation output sections of the MLR2, MLR2000 and System III manuals; tests/vectors/panel/surgard.toml.
"""

import hashlib
from typing import NamedTuple

import msgspec

from drivers.contract import Rejected, Signal, Surroundings
from drivers.panel.surgard_options import SurgardOptions
from drivers.panel.surgard_record import read_records
from drivers.panel.surgard_signals import SignalMaker, unread
from gateway.event import Kind, Phase

__all__ = ["SurgardMemory", "SurgardOptions", "SurgardReceiver"]

REASONS = ("no_terminator", "too_long", "unreadable", "noise")
DC4, LF, CR, ACK, NAK = 0x14, 0x0A, 0x0D, 0x06, 0x15
END_S = 5.0  # so long after the last character no terminator comes any more: the receiver repeats after 4
MAX_RECORD = 256  # characters; the longest known record has fewer than 100
MAX_SEEN = 1000  # records remembered as said before: one receiver says far fewer within `repeat_s`
NAKS = 2  # an unreadable record is asked for again twice; then it must not block every alarm behind it
LOST_INTERVALS = 3  # heartbeats that may be missing

Found = list[Signal | Rejected]


class Token(msgspec.Struct, frozen=True):
    """Which record a signal belongs to, and what answers it once all its signals are kept."""

    record: int
    answer: bytes


class Said(msgspec.Struct):
    """A record on this line: when last, how often in a row."""

    at: float
    count: int = 1


class Unanswered(NamedTuple):
    """The record that the receiver has heard nothing about: within `repeat_s` the same again is this very message."""

    text: str
    identity: str
    times: int
    at: float


class SurgardMemory:
    """What the connections of one line remember together: records said a short time ago, so that a dialled-anew receiver's repeat is one."""

    def __init__(self) -> None:
        self.said: dict[str, Said] = {}

    def count(self, text: str, now: float, within_s: float) -> int:
        """How often this record was said, each within `within_s` of the one before."""
        said = self.said.pop(text, None)
        count = said.count + 1 if said is not None and now - said.at <= within_s else 1
        self.said[text] = Said(now, count)
        if len(self.said) > MAX_SEEN:
            del self.said[next(iter(self.said))]
        return count


class SurgardReceiver:
    """One receiver on one connection."""

    peer_repeats = True

    def __init__(self, options: SurgardOptions | None = None, place: Surroundings | None = None) -> None:
        self._options = options or SurgardOptions()
        self._place = place = place or Surroundings()
        self._session = place.session
        self._is_placed = bool(place.line)
        self._maker = SignalMaker(self._options, place.knows)
        self._memory: SurgardMemory = place.memory or SurgardMemory()
        self._is_685 = self._options.format == "ademco685"
        self._ends = {CR} if self._is_685 else {DC4} if place.line else {DC4, LF}  # pasted text has no DC4: its end of line stands for it
        self._record = bytearray()
        self._until: float | None = None
        self._skipping = False  # the rest of a record that was too long
        self._outgoing = bytearray()
        self._records = 0
        self._due: int | None = None  # the record whose answer the receiver waits for
        self._missing = 0  # of its signals, not yet confirmed
        self._last: Unanswered | None = None
        self._bad = ("", 0, 0)  # unreadable records: the last text, how often, and how many of whatever text in a row
        self._heard_at: float | None = None
        # Heartbeats to answer until what comes is fresh: the first one sets the receiver's memory free, the next says that it is empty.
        self._stale = 2 if place.line else 0
        self._parity_told = False

    def receive_data(self, data: bytes, now: float) -> Found:
        """Take any fragment; give the records it completed."""
        found = self.handle_deadline(now)
        silence_s = LOST_INTERVALS * self._options.heartbeat_s
        if self._heard_at is not None and silence_s and now - self._heard_at > silence_s:
            self._stale = 2
        self._heard_at = now if data else self._heard_at
        for byte in data:
            found += self._take(byte, now)
        if data and (self._record or self._skipping):
            self._until = now + END_S
        return found

    def confirm(self, signal: Signal | Rejected) -> None:
        """It is kept: queue the answer, once everything of this record is. A late one must not answer the record after it."""
        token = signal.token
        if not isinstance(token, Token) or token.record != self._due:
            return
        self._missing -= 1
        if self._missing:
            return
        self._outgoing += token.answer
        self._due = None
        if token.answer == bytes([ACK]):
            self._last = None
        if isinstance(signal, Signal) and signal.kind is Kind.HEARTBEAT:
            self._stale = max(0, self._stale - 1)

    def refuse(self, signal: Signal | Rejected, reason: str) -> None:  # noqa: ARG002 - no answer has no reason
        """No answer: the receiver repeats, then prints and keeps it. What comes then may come out of its memory."""
        if isinstance(signal.token, Token):
            self._stale = 2
            if signal.token.record == self._due:
                self._due = None
        elif isinstance(signal, Signal) and signal.kind_raw == "parity_bits":
            self._parity_told = False

    def data_to_send(self) -> bytes:
        out = bytes(self._outgoing)
        self._outgoing.clear()
        return out

    def deadline(self) -> float | None:
        return self._until

    def handle_deadline(self, now: float) -> Found:
        """The rest of a record did not come: no answer, the receiver repeats."""
        if self._until is None or now < self._until:
            return []
        raw, skipped = bytes(self._record), self._skipping
        self._clear()
        return [] if skipped or not _text(raw) else [Rejected(reason="no_terminator", raw=raw)]

    def _take(self, byte: int, now: float) -> Found:
        character = byte & 0x7F
        if character in self._ends:
            raw, skipped = bytes(self._record), self._skipping
            self._clear()
            return [] if skipped else self._end(raw, bytes([byte]), now)
        if self._is_685 and character == LF:  # a record begins, whatever came before
            raw = bytes(self._record)
            self._clear()
            self._record.append(byte)
            return [Rejected(reason="no_terminator", raw=raw)] if _text(raw) else []
        if self._skipping:
            return []
        self._record.append(byte)
        if len(self._record) <= MAX_RECORD:
            return []
        raw = bytes(self._record)
        self._clear()
        self._skipping = True
        return [Rejected(reason="too_long", raw=raw), _notice("too_long", raw)]

    def _clear(self) -> None:
        self._record.clear()
        self._until = None
        self._skipping = False

    def _end(self, record: bytes, terminator: bytes, now: float) -> Found:
        """A terminator was read."""
        text, raw = _text(record), record + terminator
        if not text.strip():
            return [Rejected(reason="noise", raw=raw)] if record.strip(b"\r\n ") else []
        records = read_records(text, self._options.format)
        signals = [signal for one in records for signal in self._maker.signals(one, raw)]
        self._records += 1
        self._due = None
        if not signals:
            return self._unreadable(text, raw)
        if signals[-1].kind is not Kind.HEARTBEAT:
            self._bad = ("", 0, 0)
        found: Found = list(self._told("\n".join(one.text for one in records), signals, now))
        if not self._parity_told and any(0xA0 <= byte < 0xFF for byte in raw):
            self._parity_told = True
            found.append(_notice("parity_bits", raw))
        return found

    def _told(self, text: str, signals: list[Signal], now: float) -> list[Signal]:
        """The signals with their identities: again the same while the record is unanswered, for then it can only be the same message."""
        if signals[-1].kind is Kind.HEARTBEAT and len(signals) == 1:
            self._missing, self._due = 1, self._records
            return [msgspec.structs.replace(signals[0], token=Token(self._records, bytes([ACK])))]
        last = self._last
        if last is None or last.text != text or now - last.at > self._options.repeat_s:
            last = self._last = self._said(text, now)
        self._missing, self._due = len(signals), self._records
        return [self._finished(signal, f"{index}:{last.identity}", last.times) for index, signal in enumerate(signals)]

    def _said(self, text: str, now: float) -> Unanswered:
        """How often it was said, over a restart too: stored and not answered when the gateway died, it comes again, and is no second cry."""
        count, at = self._memory.count(text, now, self._options.repeat_s), self._place.utc_now()
        key = self._place.recent.key(f"0:{hashlib.sha256(text.encode()).hexdigest()[:16]}", self._options.repeat_s, at)
        is_new = key.endswith(f"@{int(at.timestamp() * 1000)}")
        if count == 1 and is_new:
            return Unanswered(text, key.removeprefix("0:"), count, now)
        return Unanswered(text, self._identity(), max(2, count), now)

    def _finished(self, signal: Signal, identity: str, count: int) -> Signal:
        detail = dict(signal.detail)
        if count > 1:
            detail["count"] = count
        if self._stale:
            detail["possibly_buffered"] = True  # it has no time of its own: as alarming as any, but perhaps not of this minute
        phase = Phase.REPEAT if count > 1 and signal.phase is Phase.RAISE else signal.phase
        return msgspec.structs.replace(signal, phase=phase, dedup=identity, detail=detail, token=Token(self._records, bytes([ACK])))

    def _identity(self) -> str:
        return f"{self._session}-{self._records}" if self._session else str(self._records)

    def _unreadable(self, text: str, raw: bytes) -> Found:
        """NAK twice at most. The same a third time is no noise: people get it as it stands, and the alarms behind it may come."""
        last, same, in_a_row = self._bad
        same, in_a_row = (same + 1 if text == last else 1), in_a_row + 1
        self._bad = (text, same, in_a_row)
        self._missing, self._due = 1, self._records
        if same > NAKS:
            self._bad = ("", 0, 0)
            signal = unread("unreadable_record", text, raw)
            return [msgspec.structs.replace(signal, dedup=self._identity(), token=Token(self._records, bytes([ACK])))]
        if in_a_row <= NAKS:
            self._outgoing.append(NAK)
        self._due = None
        found: Found = [Rejected(reason="unreadable", raw=raw)]
        if in_a_row == NAKS + 1 and self._is_placed:  # another each time: once for all of them, until a good one comes
            found.append(msgspec.structs.replace(unread("unreadable_records", text, raw), dedup=self._identity()))
        return found


def _text(raw: bytes) -> str:
    """The characters without the parity bit, from the first printable one on; what is not printable inside is a question mark."""
    plain = bytes(byte & 0x7F for byte in raw)
    start = next((at for at, byte in enumerate(plain) if 0x20 <= byte < 0x7F), len(plain))
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in plain[start:]).rstrip("?")


def _notice(what: str, raw: bytes) -> Signal:
    """Something is wrong with the line, not with a home."""
    return Signal(kind=Kind.FAULT, kind_raw=what, detail={"notice": what}, raw=raw)
