"""Waking time: local time without the quiet hours of a watch, in whole microseconds. Exact over midnight and over any number of days."""

from datetime import UTC, datetime, timedelta

from gateway.core.routing import CHINA  # one zone, no summer time: a day has 24 hours

DAY = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=CHINA)
_MICROSECOND = timedelta(microseconds=1)


class WakingClock:
    """Counts waking time. quiet: local HH:MM-HH:MM that does not count, past midnight allowed; "" = everything counts.

    The waking time since 1970 is a sum of whole days and a part of one, so that a stretch is one subtraction, and the end of a stretch one division.
    """

    __slots__ = ("_begins", "_ends", "_is_over_midnight", "a_day")

    def __init__(self, quiet: str = "") -> None:
        begins, ends = ((int(part[:2]) * 60 + int(part[3:5])) * 60_000_000 for part in quiet.split("-")) if quiet else (0, 0)
        self._begins, self._ends = begins, ends
        self._is_over_midnight = begins > ends
        self.a_day = begins - ends if self._is_over_midnight else DAY - (ends - begins)

    def between(self, start: datetime, end: datetime) -> timedelta:
        """Waking time from start to end; nothing if end is not later."""
        return timedelta(microseconds=self._until(end) - self._until(start)) if end > start else timedelta(0)

    def after(self, start: datetime, waking: timedelta) -> datetime:
        """The first moment at which so much waking time has passed since start; start itself if there is nothing to wait for. Aware UTC."""
        wanted = waking // _MICROSECOND
        if wanted <= 0:
            return start
        days, rest = divmod(self._until(start) + wanted - 1, self.a_day)
        return (_EPOCH + timedelta(microseconds=days * DAY + self._moment(rest + 1))).astimezone(UTC)

    def _until(self, at: datetime) -> int:
        """Waking microseconds from 1970 until then."""
        days, time = divmod((at - _EPOCH) // _MICROSECOND, DAY)
        if self._is_over_midnight:
            return days * self.a_day + min(max(time - self._ends, 0), self.a_day)
        return days * self.a_day + min(time, self._begins) + max(time - self._ends, 0)

    def _moment(self, waking: int) -> int:
        """The first time of day at which so much of it (more than nothing) was waking."""
        if self._is_over_midnight:
            return self._ends + waking
        return waking if waking <= self._begins else waking + self._ends - self._begins
