"""What risk warnings remember of batteries and lines: three readings a device, twenty-four numbers a line. Pure; in memory, bounded."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from math import inf

from gateway.core.duty import CHINA

BATTERIES_LIMIT = 100_000  # devices whose readings are kept, about 40 MB; those that have told nothing for longest are let go first
CHARGED = 5.0  # points that a reading is higher: charged or changed, not the weather
LEAST_SPAN = 3 * 86400.0  # s of readings without charging, before anything is foretold
LEAST_DROP = 6.0  # points: some devices tell in steps of five
HALF_SPAN = 4 * 86400.0  # the past that counts is 4 to 8 days: a new firmware shows within the week
HOURS = 24
LEAST_DAYS = 3  # so often an hour of the day was heard before anything is usual in it
NEWEST = 0.3  # how much the newest day counts in what is usual
HOUR_S = 3600.0


class Batteries:
    """(line, address) → readings: where its straight line begins, what it begins with next, and the last one."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str | None, str], tuple[float, float, float, float, float, float, bool]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def note(self, device: tuple[str | None, str], at: datetime, percent: float) -> None:
        """One reading; the same again, or an older one, changes nothing."""
        now = at.timestamp()
        known = self._known.get(device)
        if known is None or percent >= known[5] + CHARGED:
            self._known[device] = (now, percent, now, percent, now, percent, known is not None)
        elif now > known[4]:
            first_at, first, next_at, following, _, _, charged = known
            if now - next_at > HALF_SPAN:
                first_at, first, next_at, following = next_at, following, now, percent
            self._known[device] = (first_at, first, next_at, following, now, percent, charged)
        else:
            return
        self._known.move_to_end(device)
        if len(self._known) > BATTERIES_LIMIT:
            self._known.popitem(last=False)

    def days_left(self, device: tuple[str | None, str]) -> float | None:
        """Days from its last reading until it is empty. None: too little is known; infinite: it was charged, or does not fall."""
        known = self._known.get(device)
        if known is None:
            return None
        first_at, first, _, _, last_at, last, charged = known
        span, drop = last_at - first_at, first - last
        if span < LEAST_SPAN:
            return inf if charged else None
        return last / drop * span / 86400 if drop >= LEAST_DROP else inf


class Habits:
    """How many messages a line usually brings in each hour of the local day, learned from its books."""

    def __init__(self) -> None:
        self._usual: dict[str, list[float]] = {}
        self._days: dict[str, list[int]] = {}
        self._count: dict[str, int] = {}  # of its books, as last seen
        self._heard: dict[str, datetime] = {}
        self._hour: tuple[datetime, dict[str, int]] | None = None  # the hour that runs, and what came in it

    def note(self, counts: Mapping[str, int], now: datetime) -> None:
        """The books of each line that is connected, as they stand. An hour is learned when it was heard whole."""
        hour = now.astimezone(CHINA).replace(minute=0, second=0, microsecond=0)
        if self._hour is None:
            self._hour = (hour, {})  # the first is not whole
        elif hour != self._hour[0]:
            if hour - self._hour[0] == timedelta(hours=1):
                self._learn(self._hour[0].hour, self._hour[1])
            self._hour = (hour, dict.fromkeys(counts, 0))
        came_in = self._hour[1]
        for line, count in counts.items():
            came = count - self._count.get(line, count)
            self._count[line] = count
            if came or line not in self._heard:
                self._heard[line] = now
            if line in came_in:
                came_in[line] += max(0, came)
        for line in self._count.keys() - counts.keys():  # lost, or taken out: begins anew, and this hour is no measure
            del self._count[line]
            self._heard.pop(line, None)
            came_in.pop(line, None)

    def silence(self, line: str, now: datetime) -> tuple[float, float] | None:
        """(messages that usually would have come since its last one, seconds silent). None: what is usual is not known for all of that time."""
        heard, usual, days = self._heard.get(line), self._usual.get(line), self._days.get(line)
        if heard is None or usual is None or days is None:
            return None
        missing, at = 0.0, heard
        while at < now and now - at <= timedelta(hours=HOURS):
            local = at.astimezone(CHINA)
            end = min(now, at + timedelta(seconds=HOUR_S - (local.minute * 60 + local.second)))
            if days[local.hour] < LEAST_DAYS:
                return None
            missing += usual[local.hour] * max(1.0, (end - at).total_seconds()) / HOUR_S
            at = max(end, at + timedelta(seconds=1))
        return missing, (now - heard).total_seconds()

    @property
    def learned(self) -> dict[str, list[list[float]]]:
        """Line → [messages, days heard] of each hour: what is kept over a restart."""
        return {line: [[round(count, 2), self._days[line][hour]] for hour, count in enumerate(usual)] for line, usual in self._usual.items()}

    def restore(self, learned: Mapping[str, object], lines: Iterable[str]) -> None:
        """What was learned before the start, of lines that there still are."""
        for line in lines:
            hours = learned.get(line)
            if isinstance(hours, list) and len(hours) == HOURS:
                self._usual[line] = [float(count) for count, _ in hours]
                self._days[line] = [int(days) for _, days in hours]

    def _learn(self, hour: int, came_in: Mapping[str, int]) -> None:
        for line, count in came_in.items():
            usual, days = self._usual.setdefault(line, [0.0] * HOURS), self._days.setdefault(line, [0] * HOURS)
            usual[hour] = count if days[hour] == 0 else usual[hour] + NEWEST * (count - usual[hour])
            days[hour] = min(days[hour] + 1, 1000)
