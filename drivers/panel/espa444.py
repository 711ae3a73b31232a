"""ESPA 4.4.4 (1984) as paging equipment: a nurse-call system or PABX calls us over a serial link and waits for our receipt.

This is the station role: we are polled and selected, by default as address 2. The only trap: `2 ENQ` alone is a poll, `1 ENQ 2 ENQ` is a
selection. What we have to tell we tell when polled, as temporary master. The control-station role stands in `espa_control`.
"""

from enum import Enum

from drivers.contract import Surroundings
from drivers.downlink import Word
from drivers.panel.espa_control import EspaControl
from drivers.panel.espa_end import EspaEnd, Found, Hearing
from drivers.panel.espa_link import ACK, EOT, SELECTED_S, SELECTION_S
from drivers.panel.espa_options import EspaOptions
from drivers.panel.espa_supervision import CONTROL

__all__ = ["EspaControl", "EspaOptions", "EspaStation", "espa_end", "selection_before"]


class State(Enum):
    IDLE = "idle"
    SELECTED = "selected"


class EspaStation(EspaEnd):
    """One station on one link."""

    def __init__(self, options: EspaOptions | None = None, place: Surroundings | None = None) -> None:
        super().__init__(options or EspaOptions(), place or Surroundings(), b"")
        self._state = State.IDLE
        self._selected_until = 0.0
        self._pair_until: float | None = None  # an address other than ours was followed by ENQ
        self._pair_from: int | None = None
        self._elsewhere = False  # somebody else is selected: blocks are not for us
        self._is_supervised = self._is_placed and self._options.poll_silence_s > 0
        self._lost_at: float | None = None  # when nobody will have asked us for too long
        self._settled_at: float | None = None  # from then on it is known that we are polled

    def receive_data(self, data: bytes, now: float) -> Found:
        found = super().receive_data(data, now)
        if self._state is State.SELECTED and data:
            self._selected_until = now + SELECTED_S
        return found

    def can_tell(self, device: str, word: Word) -> bool:
        """A lenient link has no polls, so the line is never ours."""
        return not self._options.lenient and super().can_tell(device, word)

    def _hearing(self) -> Hearing:
        if self._elsewhere:
            return Hearing.ELSEWHERE
        if self._state is State.SELECTED:
            return Hearing.SELECTED
        return Hearing.ANYWAY if self._options.lenient else Hearing.NOT_SELECTED

    def _enquiry(self, digit: int | None, now: float) -> None:
        """`2 ENQ` alone is a poll; after `x ENQ` with no EOT between it is a selection."""
        if digit is None and not self._options.lenient:
            return
        paired = self._pair_until is not None and now <= self._pair_until
        if digit is not None and digit != self._address:
            self._elsewhere = paired and not self._options.lenient
            self._state = State.IDLE
            self._pair_until, self._pair_from = now + SELECTION_S, digit
            return
        self._heard(now)
        if paired or self._options.lenient or self._state is State.SELECTED:
            caller = self._pair_from if paired else self._caller
            self._forget(now)
            self._caller = caller
            self._state = State.SELECTED
            self._selected_until = now + SELECTED_S
            self._outgoing.append(ACK)
        elif self._sender.has_errands:
            self._sender.start(now)
        else:
            self._outgoing.append(EOT)

    def _idle(self, now: float) -> None:  # noqa: ARG002 - the control station needs the time
        self._state = State.IDLE
        self._pair_until = self._pair_from = None
        self._elsewhere = False

    def _role_deadline(self) -> float | None:
        times = []
        if self._state is State.SELECTED and not self._reader.is_open:
            times.append(self._selected_until)
        if self._is_supervised:
            times.append(0.0 if self._lost_at is None else self._lost_at)
            if self._settled_at is not None:
                times.append(self._settled_at)
        return min(times, default=None)

    def _handle_role_deadline(self, now: float) -> None:
        if self._state is State.SELECTED and not self._reader.is_open and now >= self._selected_until:
            self._forget(now)
        if not self._is_supervised:
            return
        silence_s = self._options.poll_silence_s
        if self._lost_at is None:
            self._lost_at = self._settled_at = now + silence_s
        elif now >= self._lost_at:
            self._lost_at = now + silence_s
            self._presence.note(CONTROL, lost=True)
        if self._settled_at is not None and now >= self._settled_at:
            self._settled_at = None
            self._presence.note(CONTROL, lost=self._presence.is_lost(CONTROL))

    def _heard(self, now: float) -> None:
        """A poll, a selection or a block for us: the control station is there."""
        if self._is_supervised:
            self._lost_at = now + self._options.poll_silence_s
            if self._presence.is_lost(CONTROL):
                self._presence.note(CONTROL, lost=False)


def espa_end(options: EspaOptions, place: Surroundings) -> EspaEnd:
    """The end of the link that the options ask for."""
    return EspaControl(options, place) if options.role == "control" else EspaStation(options, place)


def selection_before(message: bytes) -> bytes:
    """A block pasted alone was sent within a selection of whichever station: select us as the default address."""
    return b"\x041\x052\x05" if message[:1] == b"\x01" else b""
