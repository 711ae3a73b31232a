"""What the connections of one gt06 line remember together: presses, alarms and stuck bits of devices that dial anew all the time."""

from collections.abc import Iterable
from typing import TypeVar

from drivers.contract import Before
from gateway.event import Kind, Phase

K = TypeVar("K")
V = TypeVar("V")

MAX_DEVICES = 100_000  # a district's; the ones least lately heard are forgotten, which is a cry too many and never one too few
ONE_PRESS_S = 120.0  # a device repeats an alarm until it is answered, and again when a fix arrives


class Gt06Memory:
    """Bounded. Times are monotonic seconds."""

    def __init__(self, most: int = MAX_DEVICES) -> None:
        self._most = most
        self._presses: dict[tuple[str, Kind], float] = {}
        self._alarms: dict[str, float] = {}
        self._bits: dict[str, bool] = {}

    def is_repeat(self, imei: str, kind: Kind, now: float) -> bool:
        """Is this the same press as before? If not, it is a new one from now on; the window is not moved by repeats."""
        at = self._presses.get((imei, kind))
        if at is not None and 0 <= now - at <= ONE_PRESS_S:
            return True
        _put(self._presses, (imei, kind), now, self._most)
        return False

    def restore(self, before: Iterable[Before]) -> None:
        """Take up the presses of before a restart. What a heartbeat told (an edge) was no alarm frame, nor was what the gateway found itself."""
        for at, event in before:
            if event.device is not None and event.edge is None and event.raw:
                self.note_alarm(event.device, at)
                if event.phase is Phase.RAISE:
                    self.is_repeat(event.device, event.kind, at)

    def forget_press(self, imei: str, kind: Kind) -> None:
        """It could not be stored: when it comes again it is still news."""
        self._presses.pop((imei, kind), None)

    def note_alarm(self, imei: str, now: float) -> None:
        """An alarm frame came from this device."""
        _put(self._alarms, imei, now, self._most)

    def has_alarmed(self, imei: str, now: float) -> bool:
        """Did one come within the last two minutes?"""
        at = self._alarms.get(imei)
        return at is not None and 0 <= now - at <= ONE_PRESS_S

    def bits(self, imei: str) -> bool | None:
        """Were the sos bits of its heartbeats raised? None: no heartbeat of it is known."""
        return self._bits.get(imei)

    def note_bits(self, imei: str, are_set: bool) -> None:
        _put(self._bits, imei, are_set, self._most)

    def forget_bits(self, imei: str) -> None:
        """What was said of them could not be stored: say it again."""
        self._bits.pop(imei, None)


def _put(table: dict[K, V], key: K, value: V, most: int) -> None:
    table.pop(key, None)  # so that it becomes the youngest
    if len(table) >= most:
        del table[next(iter(table))]
    table[key] = value
