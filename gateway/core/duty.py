"""Who is on duty at a moment: capacity and skills of a responder, from its roster, the calendar and what is lent.

`duty_of` is asked for hundreds of candidates a decision. So schedules are prepared once a register, and answers kept for the minute.
China has one zone and no summer time: a local day is 1,440 minutes.
"""

from collections import defaultdict
from datetime import date, datetime, timedelta, timezone
from typing import NamedTuple

import msgspec

from gateway.core.capability import never, skills_of
from gateway.core.register import Register, Responder
from gateway.core.territory import DayKind, Loan, Shift

CHINA_S = 8 * 3600  # Asia/Shanghai, without summer time since 1991
CHINA = timezone(timedelta(seconds=CHINA_S), "Asia/Shanghai")
DAY_MIN = 1440
SUNDAY, MONDAY = 7, 1
_EPOCH = date(1970, 1, 1).toordinal()
_FOREVER = 10_000_000  # days; wider than any roster
_PREPARED = "duty"


class Duty(msgspec.Struct, frozen=True, gc=False):
    """What there is of a responder at a moment.

    is_open   is anybody on duty?
    capacity  open orders at one time, staff lent and borrowed counted; 0 while nobody is on duty
    skills    written, derived and borrowed, without what is lent
    people    ids of who is on duty, as the roster names them
    """

    is_open: bool
    capacity: int
    skills: frozenset[str]
    people: tuple[str, ...] = ()


class Moment(NamedTuple):
    """A local minute: the ordinal of its day, minutes since midnight, and what kind of day this one and the one before are."""

    day: int
    minute: int
    weekday: int
    kind: DayKind | None
    before: int
    kind_before: DayKind | None


class _Row(NamedTuple):
    """A Shift made ready. since, until: ordinals of days; weekdays: a bit for each, 1 << 1 for Monday; days_long: how wide its dates are."""

    start: int
    end: int
    since: int
    until: int
    weekdays: int
    weekday_count: int
    on_holiday: bool
    on_workday: bool
    every_day: bool
    days_long: int
    staff: int | None
    people: tuple[str, ...]


class _Lent(NamedTuple):
    """One loan as one side sees it. staff: added, or taken if negative."""

    since: int
    until: int
    staff: int
    skills: frozenset[str]


class Plan:
    """One responder's schedule. `always`: the answer if it never changes."""

    __slots__ = ("_forbidden", "_hours", "_last", "_lent", "_rows", "_skills", "always", "capacity")

    def __init__(self, responder: Responder, shifts: tuple[Shift, ...], lent: tuple[_Lent, ...]) -> None:
        self.capacity = responder.capacity
        self._skills = skills_of(responder)
        self._forbidden = never(responder.kind)
        self._rows = tuple(_row(shift) for shift in shifts)
        self._lent = lent
        self._hours = None if shifts else hours_of(responder.hours)
        self.always = Duty(True, self.capacity, self._skills) if not (shifts or lent or responder.hours) else None
        self._last = (-1, Duty(False, 0, self._skills))  # one tuple: reports ask from threads of their own

    def at(self, minute: int, moment: Moment) -> Duty:
        """minute: any number that names the moment; the same one gets the same answer."""
        known, answer = self._last
        if known != minute:
            answer = self._work_out(moment)
            self._last = (minute, answer)
        return answer

    def _work_out(self, moment: Moment) -> Duty:
        capacity = self.capacity
        people: tuple[str, ...] = ()
        if self._rows:
            row = _narrowest(self._rows, moment)
            if row is None or row.staff == 0:
                return Duty(False, 0, self._skills)
            capacity, people = self.capacity if row.staff is None else row.staff, row.people
        elif self._hours is not None and not _covers(*self._hours, moment.minute):
            return Duty(False, 0, self._skills)
        skills, anyone_left = self._skills, True
        for loan in self._lent:
            if loan.since <= moment.day <= loan.until:
                capacity += loan.staff
                skills = skills | loan.skills if loan.staff > 0 else skills - loan.skills
                anyone_left = capacity > 0
        return Duty(anyone_left, max(0, capacity), skills - self._forbidden, people) if anyone_left else Duty(False, 0, skills)


class Duties:
    """The schedules of one register."""

    __slots__ = ("_calendar", "_last", "plans")

    def __init__(self, register: Register) -> None:
        lent: dict[str, list[_Lent]] = defaultdict(list)
        for loan in register.loans:
            lent[loan.lender].append(_lent(loan, -loan.staff))
            lent[loan.borrower].append(_lent(loan, loan.staff))
        self._calendar = {day.toordinal(): kind for day, kind in register.calendar.items()}
        # what comes is counted before what goes: a responder that lends one and borrows one has never been empty
        self.plans = {
            name: Plan(one, register.shifts.get(name, ()), tuple(sorted(lent.get(name, ()), key=lambda side: -side.staff)))
            for name, one in register.responders.items()
        }
        self._last = (0, self.moment(0))

    def of(self, responder: Responder, now: datetime) -> Duty:
        """Who is on duty; a responder that the register does not have (the built-in desk) goes by its own row alone."""
        plan = self.plans.get(responder.id)
        if plan is None:
            plan = Plan(responder, (), ())
        if plan.always is not None:
            return plan.always
        minute = int(now.timestamp() + CHINA_S) // 60
        known, moment = self._last
        if known != minute:
            moment = self.moment(minute)
            self._last = (minute, moment)
        return plan.at(minute, moment)

    def moment(self, minute: int) -> Moment:
        """minute: local minutes since 1970."""
        days, of_day = divmod(minute, DAY_MIN)
        day = days + _EPOCH
        kind, kind_before = self._calendar.get(day), self._calendar.get(day - 1)
        return Moment(day, of_day, _weekday(day, kind), kind, _weekday(day - 1, kind_before), kind_before)


def prepare(register: Register) -> Duties:
    """The schedules of this register, made at the first call: where it is read, not while somebody waits for help."""
    duties = register.prepared.get(_PREPARED)
    if duties is None:
        duties = register.prepared[_PREPARED] = Duties(register)
    made: Duties = duties
    return made


def duty_of(register: Register, responder: Responder, now: datetime) -> Duty:
    """Who is on duty at this responder now (aware). Whoever has rows in rosters.csv goes by them alone, else by its `hours`.

    Of the rows that hold for one moment the narrowest counts: dated (the shorter first) before undated, holiday before weekdays (fewer
    first) before workday before every day, shorter hours before longer, and of equals the first in the file. A shift past midnight belongs
    to the day on which it begins. A holiday counts as a Sunday and a worked weekend day as a Monday.
    """
    return prepare(register).of(responder, now)


def hours_of(hours: str) -> tuple[int, int] | None:
    """Minutes since midnight of HH:MM-HH:MM; an end before the start lies on the next day. None for "": all day."""
    if not hours:
        return None
    start, end = (int(part[:2]) * 60 + int(part[3:5]) for part in hours.split("-"))
    return start, end


def _covers(start: int, end: int, minute: int) -> bool:
    return start <= minute < end if start < end else minute >= start or minute < end


def _weekday(day: int, kind: DayKind | None) -> int:
    if kind is DayKind.HOLIDAY:
        return SUNDAY
    weekday = (day - 1) % 7 + 1  # day 1 of the calendar was a Monday
    return MONDAY if kind is DayKind.WORKDAY and weekday > 5 else weekday


def _lent(loan: Loan, staff: int) -> _Lent:
    return _Lent(loan.since.toordinal(), loan.until.toordinal(), staff, frozenset(loan.skills))


def _row(shift: Shift) -> _Row:
    start, end = hours_of(shift.hours) or (0, DAY_MIN)
    words = shift.days.split(";") if shift.days else []
    weekdays = 0
    for word in words:
        if word[0].isdigit():
            for day in range(int(word[0]), int(word[-1]) + 1):
                weekdays |= 1 << day
    since = shift.since.toordinal() if shift.since else 0
    until = shift.until.toordinal() if shift.until else _FOREVER
    return _Row(
        start=start,
        end=end,
        since=since,
        until=until,
        weekdays=weekdays,
        weekday_count=weekdays.bit_count(),
        on_holiday="holiday" in words,
        on_workday="workday" in words,
        every_day=not words,
        # a row with one bound is dated too, and any with two is narrower
        days_long=until - since if shift.since and shift.until else _FOREVER - bool(shift.since or shift.until),
        staff=shift.staff,
        people=shift.people,
    )


def _narrowest(rows: tuple[_Row, ...], moment: Moment) -> _Row | None:
    best, best_width = None, (0, 0, 0)
    for row in rows:
        minute = moment.minute
        if row.start < row.end:
            if not row.start <= minute < row.end:
                continue
            day, weekday, kind = moment.day, moment.weekday, moment.kind
        elif minute >= row.start:
            day, weekday, kind = moment.day, moment.weekday, moment.kind
        elif minute < row.end:  # it began yesterday
            day, weekday, kind = moment.day - 1, moment.before, moment.kind_before
        else:
            continue
        if not row.since <= day <= row.until:
            continue
        days_wide = _days_wide(row, weekday, kind)
        if days_wide is None:
            continue
        width = (row.days_long, days_wide, (row.end - row.start) % DAY_MIN or DAY_MIN)
        if best is None or width < best_width:
            best, best_width = row, width
    return best


def _days_wide(row: _Row, weekday: int, kind: DayKind | None) -> int | None:
    """How wide the word is by which this row speaks of such a day; None when it does not."""
    if row.on_holiday and kind is DayKind.HOLIDAY:
        return 0
    if row.weekdays >> weekday & 1:
        return row.weekday_count
    if row.on_workday and weekday <= 5:  # a holiday counts as Sunday, a worked weekend as Monday
        return 8
    return 9 if row.every_day else None
