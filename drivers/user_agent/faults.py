"""What an operator must hear of the user agent itself, once when it begins and once when it is over."""

from collections import OrderedDict

from drivers.contract import Signal
from gateway.event import Kind, Phase

MAX_FAULTS = 10_000  # one per device or source; beyond it the oldest counts as told


class Faults:
    """begin() and end() may be called as often as one likes; `signals` gives the edges.

    Reasons (kind_raw): follow_up_failed, authentication_failed, rate_limited, registration_failed, subscription_failed.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._signals: list[Signal] = []

    def begin(self, reason: str, device: str, **detail: object) -> None:
        """device: whose fault it is; an address where no device is known."""
        if (reason, device) in self._open:
            return
        self._open[reason, device] = None
        if len(self._open) > MAX_FAULTS:
            self._open.popitem(last=False)
        self._signals.append(self._signal(reason, device, Phase.RAISE, detail))

    def end(self, reason: str, device: str) -> None:
        if (reason, device) in self._open:
            del self._open[reason, device]
            self._signals.append(self._signal(reason, device, Phase.CLEAR, {}))

    def signals(self) -> list[Signal]:
        """Drain."""
        signals, self._signals = self._signals, []
        return signals

    @staticmethod
    def _signal(reason: str, device: str, phase: Phase, detail: dict[str, object]) -> Signal:
        return Signal(kind=Kind.FAULT, phase=phase, kind_raw=reason, device=device, detail={"reason": reason, **detail})
