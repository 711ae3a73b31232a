"""Lines of text out of a stream, and what all codecs of such lines share: bounds, identities, and the quality of the line.

Wire: CR LF or LF alone ends a line; NUL bytes are padding and not counted in. Nobody acknowledges anything in these protocols, so nothing
can be refused: what cannot be stored, the line holds. Source: common rules of the simple serial protocols.
"""

from collections import Counter, deque
from collections.abc import Iterator
from typing import NamedTuple

from drivers.contract import Rejected, Signal
from drivers.panel.one_way import OneWay
from gateway.event import Kind, Phase

MAX_LINE = 512  # bytes, with CR; the longest line of these protocols has 220 characters
BAD_LINES = 3  # so many lines with a wrong check ...
BAD_LINES_S = 60.0  # ... in a minute are a notice about the line; a minute without one ends it
FOLD_S = 2.0  # radio transmitters send one press several times
MAX_HEARD = 1024  # transmitters remembered for folding; a neighbourhood has fewer
ASK_AGAIN_S = 5.0  # a noisy line must not make us talk all the time: the state is asked for at most this often


class TextLine(NamedTuple):
    """One line without its end; of a line that was too long only the beginning."""

    text: bytes
    is_cut: bool = False


class LineSplitter:
    """Fragments in, lines out. A line that is too long is told once, as soon as it is; the rest of it is skipped."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._is_skipping = False

    def feed(self, data: bytes) -> Iterator[TextLine]:
        """The lines that `data` completed, empty ones left out."""
        *ends, rest = data.split(b"\n")
        for end in ends:
            yield from self._collect(end)
            line = bytes(self._line).rstrip(b"\r")
            self._line.clear()
            if line.strip() and not self._is_skipping:
                yield TextLine(line)
            self._is_skipping = False
        yield from self._collect(rest)

    def _collect(self, part: bytes) -> Iterator[TextLine]:
        if self._is_skipping:
            return
        self._line += part.replace(b"\0", b"")
        if len(self._line) > MAX_LINE:
            line = bytes(self._line[:MAX_LINE])
            self._line.clear()
            self._is_skipping = True
            yield TextLine(line, is_cut=True)


class LineListener(OneWay):
    """A codec that listens to lines; what a line says stands in `read_line` of each protocol.

    counts: lines that were understood and left alone, by name; the names are from a closed list.
    """

    def __init__(self, session: str = "") -> None:
        """`session` makes message identities unique over restarts; any text."""
        super().__init__()
        self.counts: Counter[str] = Counter()
        self._lines = LineSplitter()
        self._session = session
        self._numbered = 0
        self._heard: dict[str, float] = {}

    def receive_data(self, data: bytes, now: float) -> list[Signal | Rejected]:
        """Take any fragment; give what its lines say."""
        found = self.handle_deadline(now)
        for line in self._lines.feed(data):
            found += self.bad_line("too_long", line.text, now) if line.is_cut else self.read_line(line.text, now)
        return found

    def read_line(self, line: bytes, now: float) -> list[Signal | Rejected]:
        """What one whole line says."""
        raise NotImplementedError

    def bad_line(self, reason: str, raw: bytes, now: float) -> list[Signal | Rejected]:  # noqa: ARG002 - those that watch the line want the time
        """A line that says nothing we could use."""
        return [Rejected(reason=reason, raw=raw)]

    def identity(self) -> str:
        """A number for each signal: a later one is a new cry, never a duplicate."""
        self._numbered += 1
        return f"{self._session}-{self._numbered}" if self._session else str(self._numbered)

    def is_repeat(self, what: str, now: float) -> bool:
        """Was the same heard less than FOLD_S after its first? Counted from the first, so that a held button cries on."""
        first = self._heard.get(what)
        if first is not None and now - first < FOLD_S:
            return True
        self._heard.pop(what, None)
        self._heard[what] = now
        if len(self._heard) > MAX_HEARD:
            del self._heard[next(iter(self._heard))]
        return False

    def deadline(self) -> float | None:
        return None

    def handle_deadline(self, now: float) -> list[Signal | Rejected]:  # noqa: ARG002 - the contract's name
        return []


class CheckedLines(LineListener):
    """A listener whose lines carry a check, and whose panel can be asked for its state: a lost line may have been an alarm.

    questions: what asks for the state, sent when a connection stands, after each line that was lost, and every `ask_s` (0: never).
    """

    def __init__(self, session: str, questions: bytes, ask_s: float) -> None:
        super().__init__(session)
        self._questions = questions if ask_s else b""
        self._ask_s = ask_s
        self._bad_at: deque[float] = deque(maxlen=BAD_LINES)
        self._is_noisy = False
        self._asked_at: float | None = None
        self._ask_at: float | None = None  # next; None: nobody told us of a connection, so only lost lines are a reason
        self._is_connected = False

    def connected(self, now: float) -> None:
        """The panel may have raised an alarm while nobody listened."""
        self._is_connected = True
        self.ask(now)

    def bad_line(self, reason: str, raw: bytes, now: float) -> list[Signal | Rejected]:
        self.ask(now)
        self._bad_at.append(now)
        found: list[Signal | Rejected] = [Rejected(reason=reason, raw=raw)]
        if len(self._bad_at) == BAD_LINES and now - self._bad_at[0] <= BAD_LINES_S and not self._is_noisy:
            self._is_noisy = True
            found.append(self._quality(Phase.RAISE, raw))
        return found

    def deadline(self) -> float | None:
        noisy_until = [self._bad_at[-1] + BAD_LINES_S] if self._is_noisy else []
        return min(noisy_until + ([self._ask_at] if self._ask_at is not None else []), default=None)

    def handle_deadline(self, now: float) -> list[Signal | Rejected]:
        """Ask again; tell that the line has been good for a minute."""
        if self._ask_at is not None and now >= self._ask_at:
            self.ask(now)
        if self._is_noisy and now >= self._bad_at[-1] + BAD_LINES_S:
            self._is_noisy = False
            return [self._quality(Phase.CLEAR, b"")]
        return []

    def ask(self, now: float) -> None:
        """Ask now, or as soon as it is decent."""
        if not self._questions:
            return
        if self._asked_at is not None and now < self._asked_at + ASK_AGAIN_S:
            self._ask_at = self._asked_at + ASK_AGAIN_S
            return
        self._asked_at = now
        self._ask_at = now + self._ask_s if self._is_connected else None
        self._outgoing += self._questions

    def _quality(self, phase: Phase, raw: bytes) -> Signal:
        return Signal(
            kind=Kind.FAULT, phase=phase, kind_raw="line_quality", dedup=self.identity(), detail={"bad_lines_in_a_minute": BAD_LINES}, raw=raw
        )
