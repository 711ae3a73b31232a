"""ESPA 4.4.4 as control station: we poll the stations in turn, take their blocks, and take the line back when nothing valid is said.

FREE ── time for a poll: EOT `2 ENQ` ──▶ POLLED ── EOT, or nothing for 2 s ──▶ FREE
POLLED ── `1 ENQ`: we answer ACK ──▶ SELECTED ── EOT, or 10 s without anything valid: we send EOT ──▶ FREE
POLLED ── `3 ENQ`: two others talk ──▶ ELSEWHERE ── the same ──▶ FREE
FREE ── something to tell: EOT `1 ENQ` `2 ENQ`, as if we had polled ourselves ──▶ the sender's turn ──▶ FREE
"""

from enum import Enum

from drivers.contract import Surroundings
from drivers.panel.espa_end import EspaEnd, Found, Hearing
from drivers.panel.espa_link import ACK, ANSWER_S, ENQ, EOT, TAKE_BACK_S
from drivers.panel.espa_options import EspaOptions

POLLS_TO_LOSE = 3  # no answer to so many polls: the station is lost


class Turn(Enum):
    FREE = "free"
    POLLED = "polled"
    SELECTED = "selected"
    ELSEWHERE = "elsewhere"


class EspaControl(EspaEnd):
    """The permanent master of one link. It polls only within a line: outside, in `gateway decode`, there is nobody."""

    def __init__(self, options: EspaOptions | None = None, place: Surroundings | None = None) -> None:
        options = options or EspaOptions(role="control")
        super().__init__(options, place or Surroundings(), bytes([EOT, options.own_address, ENQ]))
        self._stations = tuple(ord(station) for station in options.stations)
        self._turn = Turn.FREE
        self._until = 0.0  # of the present turn
        self._polled: int | None = None
        self._next = 0  # whose turn to be polled
        self._poll_at = 0.0
        self._unanswered = dict.fromkeys(self._stations, 0)

    def receive_data(self, data: bytes, now: float) -> Found:
        found = super().receive_data(data, now)
        if self._reader.is_open and data:  # a long block at a low speed; it has an end of its own
            self._until = now + TAKE_BACK_S
        return found

    def _hearing(self) -> Hearing:
        if self._turn is Turn.ELSEWHERE:
            return Hearing.ELSEWHERE
        if self._turn is Turn.SELECTED:
            return Hearing.SELECTED
        return Hearing.ANYWAY if self._options.lenient else Hearing.NOT_SELECTED

    def _enquiry(self, digit: int | None, now: float) -> None:
        """The polled station selects us, or another. A late one, after we gave up waiting, is heard too: it may be an alarm."""
        if digit is None and not self._options.lenient:
            return
        caller = self._polled
        self._answered()
        if digit in (None, self._address):
            self._forget(now)
            self._caller = caller
            self._turn, self._until = Turn.SELECTED, now + TAKE_BACK_S
            self._outgoing.append(ACK)
        elif self._turn is not Turn.SELECTED:
            self._turn, self._until = Turn.ELSEWHERE, now + TAKE_BACK_S

    def _take_control(self, byte: int, now: float) -> Found:
        if byte == EOT and self._turn is Turn.POLLED:
            self._answered()
        return super()._take_control(byte, now)

    def _heard(self, now: float) -> None:
        self._until = now + TAKE_BACK_S

    def _answered(self) -> None:
        if self._polled is not None:
            self._unanswered[self._polled] = 0
            self._presence.note(chr(self._polled), lost=False)
        self._polled = None

    def _idle(self, now: float) -> None:  # noqa: ARG002 - polls keep their own pace
        self._turn, self._polled = Turn.FREE, None

    def _role_deadline(self) -> float | None:
        if self._sender.is_busy:
            return None
        if self._turn is not Turn.FREE:
            return self._until
        return self._poll_at if self._is_placed and not self._reader.is_open else None

    def _handle_role_deadline(self, now: float) -> None:
        if self._sender.is_busy:
            return
        if self._turn is not Turn.FREE and now >= self._until:
            self._give_up(now)
        if self._turn is not Turn.FREE or self._reader.is_open or not self._is_placed:
            return
        if self._sender.has_errands:
            self._sender.start(now)
        elif now >= self._poll_at:
            self._poll(now)

    def _give_up(self, now: float) -> None:
        """Nobody answered the poll; or nothing valid was said: the line is taken back."""
        if self._turn is Turn.POLLED and self._polled is not None:
            self._unanswered[self._polled] += 1
            if self._unanswered[self._polled] >= POLLS_TO_LOSE:
                self._presence.note(chr(self._polled), lost=True)
        else:
            self._outgoing.append(EOT)
        self._forget(now)

    def _poll(self, now: float) -> None:
        self._polled = self._stations[self._next]
        self._next = (self._next + 1) % len(self._stations)
        self._turn, self._until = Turn.POLLED, now + ANSWER_S
        self._poll_at = now + self._options.poll_s
        self._outgoing += bytes([EOT, self._polled, ENQ])
