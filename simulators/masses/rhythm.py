"""The day of one person living alone: when they rise, wash, cook, go out, rest and sleep, and what a home hears of it. Pure; by the person's seed."""

import random
from collections.abc import Iterator

DAY_H = 24.0
LONGEST_GAP_H = 11.4  # between two signs, from an early night to a late morning: nobody whose day this is stays unheard for longer
SIGNS = ("motion", "contact_open", "contact_closed", "vibration", "button")  # vibration: water that runs in the pipe


class Rhythm:
    """One person's habits, drawn once; each day differs from them a little. Hours are local time, 0 to 24."""

    def __init__(self, seed: object) -> None:
        self._chance = random.Random(f"rhythm:{seed}")
        self.rises = clamp(self._chance.gauss(6.2, 0.6), 5.2, 7.2)
        self.sleeps = clamp(self._chance.gauss(21.2, 0.5), 20.4, 22.4)
        self.goes_out = self._chance.random() < 0.7
        self.naps = self._chance.random() < 0.8
        self.wakes_at_night = self._chance.random() < 0.6

    def day(self) -> list[tuple[float, str]]:
        """(hour, kind) of one day, in order."""
        about = self._about
        rises = about(self.rises)
        said = [(rises, "motion"), (rises + 0.1, "vibration"), (about(7.4, rises + 0.2), "vibration"), (about(8.0), "motion")]
        if self.goes_out:
            leaves = about(8.8)
            said += [(leaves, "contact_open"), (leaves + 0.01, "contact_closed")]
            returns = leaves + self._chance.uniform(0.7, 2.0)
            said += [(returns, "contact_open"), (returns + 0.01, "contact_closed"), (returns + 0.1, "motion")]
        else:
            said += [(about(9.5), "motion"), (about(10.4), "motion")]
        said += [(about(11.4), "vibration"), (about(11.8), "motion"), (about(12.3), "vibration")]
        if not self.naps:
            said.append((about(13.4), "motion"))
        said += [(about(14.6), "motion"), (about(15.8), "motion"), (about(17.2), "vibration"), (about(17.7), "motion"), (about(18.2), "vibration")]
        said += [(about(19.3), "motion"), (about(20.0), "button"), (about(self.sleeps - 0.3), "vibration"), (about(self.sleeps), "motion")]
        if self.wakes_at_night and self._chance.random() < 0.8:
            night = self._chance.uniform(1.0, 4.0)
            said += [(night, "motion"), (night + 0.1, "vibration")]
        return sorted(said)

    def from_hour(self, hour: float) -> Iterator[tuple[float, str]]:
        """(hours from that hour on, kind), day after day without end."""
        passed = -hour
        while True:
            for at, kind in self.day():
                if passed + at >= 0:
                    yield passed + at, kind
            passed += DAY_H

    def _about(self, hour: float, least: float = 0.0) -> float:
        return max(least, hour + self._chance.uniform(-0.25, 0.25))


def clamp(value: float, low: float, high: float) -> float:
    """The nearest value between the two."""
    return max(low, min(high, value))
