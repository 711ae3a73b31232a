"""Waking time against the simplest thing that can be right: looking at every minute."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.routing import CHINA
from gateway.core.watch_clock import DAY, WakingClock

MINUTE = timedelta(minutes=1)
times = st.datetimes(datetime(1999, 1, 1), datetime(2040, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))
minutes_of_day = st.integers(0, 1439)


@st.composite
def quiets(draw: st.DrawFn) -> str:
    begins, ends = draw(minutes_of_day), draw(minutes_of_day)
    if begins == ends:
        return ""
    return f"{begins // 60:02}:{begins % 60:02}-{ends // 60:02}:{ends % 60:02}"


def is_quiet(quiet: str, at: datetime) -> bool:
    if not quiet:
        return False
    local = at.astimezone(CHINA).strftime("%H:%M")
    begins, ends = quiet.split("-")
    return begins <= local < ends if begins < ends else local >= begins or local < ends


@given(quiet=quiets(), start=times, count=st.integers(0, 4000))
def test_minute_by_minute_it_is_the_same(quiet: str, start: datetime, count: int) -> None:
    start = start.replace(second=0, microsecond=0)
    waking = sum(not is_quiet(quiet, start + number * MINUTE) for number in range(count))
    assert WakingClock(quiet).between(start, start + count * MINUTE) == waking * MINUTE


@given(quiet=quiets(), start=times, waking=st.timedeltas(timedelta(microseconds=1), timedelta(days=40)))
def test_the_end_of_a_stretch_is_the_first_moment_at_which_it_has_passed(quiet: str, start: datetime, waking: timedelta) -> None:
    clock = WakingClock(quiet)
    end = clock.after(start, waking)
    assert end > start
    assert end.tzinfo is UTC
    assert clock.between(start, end) == waking
    assert clock.between(start, end - timedelta(microseconds=1)) == waking - timedelta(microseconds=1)


@given(quiet=quiets(), moments=st.lists(times, min_size=3, max_size=3).map(sorted))
def test_stretches_add_up(quiet: str, moments: list[datetime]) -> None:
    clock = WakingClock(quiet)
    first, second, third = moments
    assert clock.between(first, second) + clock.between(second, third) == clock.between(first, third)
    assert clock.between(third, first) == timedelta(0) or first == third


@given(quiet=quiets(), start=times, first=st.timedeltas(timedelta(0), timedelta(days=3)), second=st.timedeltas(timedelta(0), timedelta(days=3)))
def test_one_stretch_after_another_is_both_together(quiet: str, start: datetime, first: timedelta, second: timedelta) -> None:
    clock = WakingClock(quiet)
    assert clock.after(clock.after(start, first), second) == clock.after(start, first + second)


def local(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=CHINA)


@pytest.mark.parametrize(
    ("quiet", "start", "hours", "due"),
    [
        ("22:00-07:00", local(14, 8), 13, local(14, 21)),
        ("22:00-07:00", local(14, 8), 14, local(14, 22)),  # the last waking moment
        ("22:00-07:00", local(14, 11), 13, local(15, 9)),  # over the night
        ("22:00-07:00", local(14, 23), 13, local(15, 20)),  # a sign in the night counts from the morning
        ("22:00-07:00", local(14, 11), 45, local(17, 11)),  # three nights
        ("13:00-15:00", local(14, 12), 2, local(14, 16)),  # the rest at noon
        ("", local(14, 11), 13, local(15, 0)),
    ],
)
def test_in_words(quiet: str, start: datetime, hours: int, due: datetime) -> None:
    assert WakingClock(quiet).after(start, timedelta(hours=hours)) == due


def test_nothing_to_wait_for_is_now() -> None:
    clock = WakingClock("22:00-07:00")
    assert clock.after(local(14, 23), timedelta(0)) == local(14, 23)
    assert clock.after(local(14, 23), timedelta(seconds=-5)) == local(14, 23)
    assert (clock.a_day, WakingClock().a_day) == (15 * 3_600_000_000, DAY)
