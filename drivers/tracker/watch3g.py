"""3G / SeTracker / Beesure watches over TCP: text frames, exact answers after the commit, one press one incident, words to the wearer.

Source: watch protocol of the Beesure / 4P-Touch family (2025), ReachFar's gateway manual, public captures; tests/vectors/tracker/watch3g.toml.
There is no password: identity is the id field alone, so an id that is not on the register is answered but marked.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import msgspec

from drivers.contract import Before, Rejected, Signal, Surroundings, believed_time
from drivers.downlink import Tell, Word
from drivers.tracker.watch3g_commands import MAX_WATCHES, Command, Commands
from drivers.tracker.watch3g_content import BadContent, Meaning, WatchOptions, is_whole, read_content
from drivers.tracker.watch3g_frames import MAX_DROPS, Dropped, Frame, Frames, write_frame
from gateway.event import KINDS, Kind, Phase

__all__ = ["Presses", "WatchOptions", "Watches"]

REASONS = ("bad_escape", "bad_header", "garbage", "half_frame", "too_long")
"""Every reason for which bytes are rejected."""

PRESS_S = 120.0  # the same alarms of the same watch within this time of the last are one press (sheet, "One press, one incident")
PLAIN_S = 2.0  # without a time of its own the same frame is the same message for so long (invariant 3)
MAX_PRESSES = 10_000  # watches of one line that cried within two minutes; far beyond a city's worst minute
IDLE_S = 600.0  # a link that says nothing for so long is dead: the longest normal gap of LK is 8 min (sheet, section 4)
LOCATE_AFTER_S = 1.0  # the answer to an alarm comes first and stands alone
MAX_MESSAGE = 100  # characters; a watch shows a few lines
_TOLD = (Word.TAKEN, Word.COMING, Word.PROMPT)


class Presses:
    """When each watch last cried with which alarms: shared by the connections of a line, for a watch dials anew in the middle of a press."""

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, frozenset[str]], float] = OrderedDict()

    def is_repeat(self, device: str, bits: frozenset[str], now: float) -> bool:
        """Were these very alarms heard of it within PRESS_S? Remembers them."""
        last = self._last.pop((device, bits), None)
        self._last[device, bits] = now
        if len(self._last) > MAX_PRESSES:
            self._last.popitem(last=False)
        return last is not None and 0 <= now - last <= PRESS_S

    def restore(self, before: Iterable[Before]) -> None:
        """Take up the presses of before a restart. The alarms of one frame share its bytes, and each names its bit: "AL bit 16"."""
        frames: dict[tuple[float, str, bytes], set[str]] = {}
        for at, event in before:
            _, names_bit, bit = (event.kind_raw or "").partition(" bit ")
            if event.device is not None and (names_bit or event.kind is Kind.GENERAL):
                frames.setdefault((at, event.device, event.raw), set()).update([bit] if names_bit else [])
        for (at, device, _), bits in frames.items():
            self.is_repeat(device, frozenset(bits), at)

    def forget(self, device: str, bits: frozenset[str]) -> None:
        """It could not be stored: what comes next is not a repeat of anything."""
        self._last.pop((device, bits), None)


class _Watch(msgspec.Struct):
    """A watch on this link, and how to write to it."""

    vendor: str
    index: str | None = None
    is_known: bool = True


class _Receipt(msgspec.Struct, eq=False):
    """The answers of one frame; they leave when all its signals are kept."""

    frame: Frame
    answers: list[bytes]
    waiting: int
    press: frozenset[str] | None = None  # to be forgotten if it cannot be stored
    locate: bool = False
    failed: bool = False


class Watches:
    """One link, usually with one watch; a gateway may bring several. A watch repeats an alarm until it is answered."""

    peer_repeats = True

    def __init__(self, options: WatchOptions | None = None, place: Surroundings | None = None) -> None:
        self._options = options or WatchOptions()
        self._place = place or Surroundings()
        self._presses: Presses = self._place.memory if isinstance(self._place.memory, Presses) else Presses()
        self._frames = Frames(is_whole)
        self._commands = Commands()
        self._watches: OrderedDict[str, _Watch] = OrderedDict()
        self._outgoing = bytearray()
        self._now = 0.0
        self._idle_at: float | None = None
        self._is_dead = False

    @property
    def addresses(self) -> tuple[str, ...]:
        """The watch of this link, if it is one and known: a newer link of the same watch means that this one is dead."""
        known = [device for device, watch in self._watches.items() if watch.is_known]
        return tuple(known) if len(self._watches) == 1 else ()

    @property
    def hang_up(self) -> bool:
        """Twice it sent what never became a frame, or it has said nothing for too long."""
        return self._is_dead or self._frames.drops >= MAX_DROPS

    def connected(self, now: float) -> None:
        """It stands; somebody must speak on it."""
        self._idle_at = now + IDLE_S

    def receive_data(self, data: bytes, now: float) -> list[Signal | Rejected]:
        """Take any fragment; give what its frames say, in order."""
        self._now = now
        self._idle_at = now + IDLE_S
        return [one for frame in self._frames.feed(data, now) for one in self._take(frame)]

    def confirm(self, signal: Signal | Rejected) -> None:
        """It is kept; with the last of its frame's signals the answers leave."""
        receipt = signal.token
        if not isinstance(receipt, _Receipt):
            return
        receipt.waiting -= 1
        if receipt.waiting or receipt.failed:
            return
        to = receipt.frame
        for answer in receipt.answers:
            self._outgoing += write_frame(to.vendor, to.id, to.index, answer)
        if receipt.locate:
            self._commands.ask(to.id, Command(b"CR", not_before=self._now + LOCATE_AFTER_S))

    def refuse(self, signal: Signal | Rejected, reason: str) -> None:
        """It could not be kept, whatever the `reason`: no answer, the watch sends an alarm again."""
        del reason
        receipt = signal.token
        if isinstance(receipt, _Receipt):
            receipt.failed = True
            receipt.waiting -= 1
            if receipt.press is not None:
                self._presses.forget(receipt.frame.id, receipt.press)

    def data_to_send(self) -> bytes:
        out = bytes(self._outgoing)
        self._outgoing.clear()
        return out

    def deadline(self) -> float | None:
        return min((at for at in (self._frames.deadline(), self._commands.deadline(), self._idle_at) if at is not None), default=None)

    def handle_deadline(self, now: float) -> list[Signal | Rejected]:
        """Send what may be sent now, and give up half frames and commands that nobody answered."""
        self._now = now
        self._send_commands()
        if self._idle_at is not None and now >= self._idle_at:
            self._is_dead, self._idle_at = True, None
        return [one for frame in self._frames.handle_deadline(now) for one in self._take(frame)]

    def can_tell(self, device: str, word: Word) -> bool:
        """Only a text can be shown, and it cannot be taken back."""
        return device in self._watches and word in _TOLD

    def tell(self, tell: Tell, token: int, now: float) -> None:
        """Show a text on the watch; told when it echoes the word."""
        self._now = now
        if not tell.text or not self.can_tell(tell.device, tell.word):
            self._commands.told.append((token, "refused"))
            return
        content = b"MESSAGE," + tell.text[:MAX_MESSAGE].encode("utf-16-be", "replace").hex().upper().encode()
        if not self._commands.ask(tell.device, Command(content, token)):
            self._commands.told.append((token, "busy"))
        self._send_commands()

    def told(self) -> list[tuple[int, str]]:
        out, self._commands.told = self._commands.told, []
        return out

    def _take(self, frame: Frame | Dropped) -> list[Signal | Rejected]:
        if isinstance(frame, Dropped):
            return [Rejected(reason=frame.reason, raw=frame.raw)]
        try:
            meaning = read_content(frame.content, self._options)
        except BadContent:
            return [Rejected(reason="bad_escape", raw=frame.raw, device=frame.id)]
        extra = self._meet(frame)
        if self._commands.heard(frame.id, meaning.word):
            meaning = _echo(meaning)
            self._send_commands()
        if meaning.is_position and self._commands.heard(frame.id, "CR"):  # what it asked for has come
            self._send_commands()
        return list(self._signals(frame, meaning, extra))

    def _meet(self, frame: Frame) -> dict[str, Any]:
        """Remember who speaks and how; facts worth showing about it."""
        extra: dict[str, Any] = {"skipped": frame.skipped} if frame.skipped else {}
        is_new = self._watches.pop(frame.id, None) is None
        watch = self._watches[frame.id] = _Watch(frame.vendor, frame.index, self._place.knows(frame.id))
        if len(self._watches) > MAX_WATCHES:
            self._watches.popitem(last=False)
        if not watch.is_known:
            extra["unknown_device"] = True
        if is_new and len(self._watches) > 1:
            extra["ids_on_link"] = len(self._watches)
        return extra

    def _signals(self, frame: Frame, meaning: Meaning, extra: dict[str, Any]) -> list[Signal]:
        is_repeat = meaning.bits is not None and self._presses.is_repeat(frame.id, meaning.bits, self._now)
        is_first = meaning.bits is not None and not is_repeat
        answers = [meaning.answer] if meaning.answer is not None else []
        if is_repeat and answers and self._options.alarm_answer == "both" and meaning.word.upper() != "AL":
            answers.append(meaning.word.encode())
        is_sos = any(one.kind is Kind.SOS for one in meaning.signals)
        locate = is_first and is_sos and self._options.locate_on_sos
        receipt = _Receipt(frame, answers, len(meaning.signals), meaning.bits if is_first else None, locate)
        return [
            msgspec.structs.replace(
                one,
                phase=Phase.REPEAT if is_repeat and one.phase is Phase.RAISE else one.phase,
                device=frame.id,
                dedup=self._identity(frame, one),
                integrity="unauthenticated" if "unknown_device" in extra else "unverified",
                detail={**one.detail, **extra},
                raw=frame.raw,
                token=receipt,
            )
            for one in meaning.signals
        ]

    def _identity(self, frame: Frame, signal: Signal) -> str | None:
        """The same frame with the same believable time is the same message; other content is a repeat with news in it."""
        if not KINDS[signal.kind].journalled:
            return None
        at = self._place.utc_now()
        message = f"{frame.id}:{signal.kind}:{hashlib.sha256(frame.content).hexdigest()[:16]}"
        if signal.time is not None and believed_time(signal.time, at)[1] == "device":
            return f"{message}:{signal.time:%Y%m%dT%H%M%SZ}"
        return self._place.recent.key(message, PLAIN_S if signal.time is None else PRESS_S, at)

    def _send_commands(self) -> None:
        for device, content in self._commands.due(self._now):
            if (watch := self._watches.get(device)) is not None:
                self._outgoing += write_frame(watch.vendor, device, watch.index, content)


def _echo(meaning: Meaning) -> Meaning:
    """The watch confirms a command of ours: a sign of life, and nothing to be answered."""
    return Meaning(meaning.word, [Signal(kind=Kind.HEARTBEAT, phase=Phase.STATE, kind_raw=meaning.word)])
