"""Who sends how much: alarms and faults per device and kind, so that one that runs away is seen. In memory; a restart begins anew."""

from collections import OrderedDict, deque
from datetime import datetime, timedelta

import msgspec

from gateway.config.desk import DeskConfig

KEYS_LIMIT = 5_000  # devices and kinds remembered, the latest; with TIMES_LIMIT each 10 MB at the very worst
TIMES_LIMIT = 60  # times kept of one: "60 in ten minutes" says enough

Key = tuple[str, str, str]  # line, device, kind


class Sender(msgspec.Struct, frozen=True, order=True):
    """One device and kind. count: within the window; streak: how many follow each other without a pause."""

    line: str
    device: str
    kind: str
    count: int
    streak: int


class Senders:
    """Told of each alarm and fault that a device raises; asked only for what is shown."""

    def __init__(self) -> None:
        self._known: OrderedDict[Key, tuple[deque[float], int]] = OrderedDict()

    def note(self, key: Key, at: datetime, rules: DeskConfig) -> None:
        """It has sent."""
        moment = at.timestamp()
        known = self._known.get(key)
        if known is None:
            self._known[key] = deque((moment,), TIMES_LIMIT), 1
            if len(self._known) > KEYS_LIMIT:
                self._known.popitem(last=False)
            return
        times, streak = known
        streak = streak + 1 if 0 <= moment - times[-1] < rules.runaway_gap_s else 1
        times.append(moment)
        self._known[key] = times, streak
        self._known.move_to_end(key)

    def within(self, key: Key, now: datetime, seconds: float) -> int:
        """How often it has sent in so many seconds, up to TIMES_LIMIT."""
        times, _ = self._known.get(key, ((), 0))
        moment = now.timestamp()
        return sum(0 <= moment - at <= seconds for at in times)

    def of(self, key: Key, now: datetime, rules: DeskConfig) -> Sender:
        """How much it sends at this moment."""
        times, streak = self._known.get(key, ((), 0))
        moment = now.timestamp()
        count = sum(0 <= moment - at <= rules.flood_s for at in times)
        return Sender(*key, count, streak if times and moment - times[-1] < rules.runaway_gap_s else 0)

    def worst(self, now: datetime, rules: DeskConfig, most: int = 10) -> list[Sender]:
        """Who sends most, in the window and in its streak. At most KEYS_LIMIT are looked at: 10 ms."""
        since = now - timedelta(seconds=max(rules.flood_s, rules.runaway_gap_s))
        lately: list[Key] = []
        for key in reversed(self._known):
            if self._known[key][0][-1] < since.timestamp():
                break
            lately.append(key)
        found = [self.of(key, now, rules) for key in lately]
        return sorted((one for one in found if one.count or one.streak > 1), key=lambda one: (-one.count, -one.streak, one))[:most]
