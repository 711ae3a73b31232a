"""What we send over ESPA 4.4.4 when the line is ours for a while: select a station, hand over one block, give the line back.

The temporary master's half of the dialogue: `B ENQ`, ACK, block, ACK or NAK with its prefix, EOT. Two repeats after NAK or no answer.
"""

from collections import deque
from enum import Enum

import msgspec

from drivers.panel.espa_link import ACK, ANSWER_S, ENQ, EOT, NAK, REPEATS, SOH

MAX_WAITING = 20  # a house tells a few words at a time; a courtesy that comes later than TELL_S says nothing anyway
TELL_S = 25.0  # to be polled and heard; whoever asked waits 30 s
BUSY_PREFIX = ord("2")


class Errand(msgspec.Struct, frozen=True):
    """One block for one station. `token` of a tell, or None: nobody asks what became of it."""

    station: int  # the address digit
    block: bytes
    token: int | None
    until: float


class Step(Enum):
    QUIET = "quiet"
    SELECTING = "selecting"
    SENT = "sent"


class Sender:
    """A queue of errands, one at a time. `before`: what goes before each enquiry (the control station polls itself first)."""

    def __init__(self, before: bytes) -> None:
        self._before = before
        self._waiting: deque[Errand] = deque()
        self._step = Step.QUIET
        self._errand: Errand | None = None
        self._tries = 0
        self._answer_until = 0.0
        self._failed = "timeout"
        self._out = bytearray()
        self._told: list[tuple[int, str]] = []

    @property
    def is_busy(self) -> bool:
        """Are we temporary master now?"""
        return self._step is not Step.QUIET

    @property
    def has_errands(self) -> bool:
        return bool(self._waiting)

    def add(self, station: int, block: bytes, token: int | None, now: float) -> None:
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(Errand(station, block, token, now + TELL_S))
        elif token is not None:
            self._told.append((token, "busy"))

    def start(self, now: float) -> None:
        """The line is ours: select the station of the first errand."""
        self._errand = self._waiting.popleft()
        self._failed = "timeout"
        self._next(Step.SELECTING, now)

    def take(self, byte: int, digit: int | None, now: float) -> bool:
        """A byte of an answer; `digit` came just before it. False: this is no answer, the line was taken from us (the errand waits again)."""
        assert self._errand is not None
        if byte == ACK:
            if self._step is Step.SELECTING:
                self._next(Step.SENT, now)
            else:
                self._finish("")
        elif byte == NAK:
            self._failed = "busy" if digit == BUSY_PREFIX else "refused"
            self._again(now)
        elif byte == EOT and self._step is Step.SELECTING:  # refused
            self._failed = "refused"
            self._finish(self._failed)
        elif byte in (EOT, ENQ, SOH):
            self.abandon()
            return False
        return True

    def abandon(self) -> None:
        """Somebody else has the line: try again when it is ours the next time, as long as it is worth saying."""
        if self._errand is not None:
            self._waiting.appendleft(self._errand)
        self._errand, self._step = None, Step.QUIET

    def deadline(self) -> float | None:
        times = [errand.until for errand in self._waiting]
        if self.is_busy:
            times.append(self._answer_until)
        return min(times, default=None)

    def expire(self, now: float) -> None:
        """Repeat what was not answered, drop what was never polled for."""
        if self.is_busy and now >= self._answer_until:
            self._failed = "timeout"
            self._again(now)
        late = [errand for errand in self._waiting if now >= errand.until]
        for errand in late:
            self._waiting.remove(errand)
            self._tell(errand, "timeout")

    def data_to_send(self) -> bytes:
        out = bytes(self._out)
        self._out.clear()
        return out

    def told(self) -> list[tuple[int, str]]:
        told, self._told = self._told, []
        return told

    def _next(self, step: Step, now: float) -> None:
        self._step, self._tries = step, 0
        self._say(now)

    def _again(self, now: float) -> None:
        if self._tries < REPEATS:
            self._tries += 1
            self._say(now)
        else:
            self._finish(self._failed)

    def _say(self, now: float) -> None:
        assert self._errand is not None
        if self._step is Step.SELECTING:
            self._out += self._before + bytes([self._errand.station, ENQ])
        else:
            self._out += self._errand.block
        self._answer_until = now + ANSWER_S

    def _finish(self, reason: str) -> None:
        assert self._errand is not None
        self._out.append(EOT)
        self._tell(self._errand, reason)
        self._errand, self._step = None, Step.QUIET

    def _tell(self, errand: Errand, reason: str) -> None:
        if errand.token is not None:
            self._told.append((errand.token, reason))
