"""Who is on duty: rosters over midnight, holidays and worked weekends, the narrowest row, staff that is lent. Local days of 2026."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.duty import CHINA, Duty, duty_of, hours_of
from gateway.core.register import Register, Responder, ResponderKind
from gateway.core.territory import DayKind, Loan, Shift

WEDNESDAY = date(2026, 11, 18)
SATURDAY = date(2026, 11, 21)
NATIONAL_DAY = date(2026, 10, 1)  # a Thursday
WORKED_SATURDAY = date(2026, 10, 10)
CALENDAR = {NATIONAL_DAY: DayKind.HOLIDAY, WORKED_SATURDAY: DayKind.WORKDAY}


def at(day: date, clock: str) -> datetime:
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=CHINA)


def station(**more: object) -> Responder:
    return Responder(**{"id": "one", "name": "一", "kind": ResponderKind.STATION, "capacity": 3, **more})


def duty(now: datetime, *shifts: Shift, loans: tuple[Loan, ...] = (), other: Responder | None = None, **more: object) -> Duty:
    responder = station(**more)
    register = Register(responders=[responder, *([other] if other else [])], shifts=shifts, calendar=CALENDAR, loans=loans)
    return duty_of(register, responder, now)


def staff(now: datetime, *shifts: Shift, **more: object) -> int:
    """How many are on duty; 0 also while closed."""
    found = duty(now, *shifts, **more)
    assert found.is_open or found.capacity == 0
    return found.capacity


def row(staff: int | None = None, **more: object) -> Shift:
    return Shift(**{"responder": "one", "staff": staff, **more})


def test_without_rows_the_hours_of_the_register_count():
    assert staff(at(WEDNESDAY, "03:00")) == 3
    assert staff(at(WEDNESDAY, "07:59"), hours="08:00-20:00") == 0
    assert staff(at(WEDNESDAY, "08:00"), hours="08:00-20:00") == 3
    assert staff(at(WEDNESDAY, "20:00"), hours="08:00-20:00") == 0
    assert staff(at(WEDNESDAY, "02:00"), hours="20:00-08:00") == 3


def test_who_has_rows_goes_by_them_alone():
    day = row(2, hours="08:00-20:00")
    assert staff(at(WEDNESDAY, "09:00"), day, hours="00:00-24:00") == 2
    assert staff(at(WEDNESDAY, "21:00"), day, hours="00:00-24:00") == 0
    assert staff(at(WEDNESDAY, "21:00"), day, row(1, hours="20:00-08:00")) == 1


def test_a_row_without_staff_has_the_capacity_of_the_register_and_names_people():
    found = duty(at(WEDNESDAY, "09:00"), row(people=("s-1", "s-2")))
    assert (found.is_open, found.capacity, found.people) == (True, 3, ("s-1", "s-2"))


def test_a_night_belongs_to_the_day_on_which_it_begins():
    friday_night = row(1, days="5", hours="20:00-08:00")
    assert [staff(at(SATURDAY, clock), friday_night) for clock in ("00:00", "07:59", "08:00", "20:00")] == [1, 1, 0, 0]
    assert staff(at(SATURDAY - timedelta(days=1), "07:00"), friday_night) == 0
    last = row(1, hours="20:00-08:00", until=WEDNESDAY)
    assert staff(at(WEDNESDAY + timedelta(days=1), "07:00"), last) == 1
    assert staff(at(WEDNESDAY + timedelta(days=1), "21:00"), last) == 0


def test_until_midnight_ends_at_midnight():
    late = row(1, days="3", hours="16:00-24:00")
    assert staff(at(WEDNESDAY, "23:59"), late) == 1
    assert staff(at(WEDNESDAY + timedelta(days=1), "00:00"), late) == 0


def test_a_holiday_counts_as_sunday_and_a_worked_saturday_as_monday():
    week, end = row(3, days="1-5"), row(1, days="6-7")
    assert staff(at(NATIONAL_DAY, "10:00"), week, end) == 1
    assert staff(at(WORKED_SATURDAY, "10:00"), week, end) == 3
    assert staff(at(SATURDAY, "10:00"), week, end) == 1
    assert [staff(at(day, "10:00"), row(2, days="workday")) for day in (WEDNESDAY, SATURDAY, WORKED_SATURDAY, NATIONAL_DAY)] == [2, 0, 2, 0]


def test_the_night_before_a_holiday_is_no_holiday():
    night, holiday = row(1, hours="20:00-08:00"), row(0, days="holiday")
    assert staff(at(NATIONAL_DAY, "03:00"), night, row(5, days="holiday", hours="20:00-08:00")) == 1
    assert staff(at(NATIONAL_DAY + timedelta(days=1), "03:00"), night, row(5, days="holiday", hours="20:00-08:00")) == 5
    assert staff(at(NATIONAL_DAY, "10:00"), row(2), holiday) == 0


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(
    ("wider", "narrower"),
    [
        (row(1), row(2, days="workday")),
        (row(1, days="workday"), row(2, days="1-5")),
        (row(1, days="1-5"), row(2, days="3")),
        (row(1, hours="00:00-24:00"), row(2, hours="08:00-20:00")),
        (row(1, days="3", hours="08:00-20:00"), row(2, since=date(2026, 11, 1))),
        (row(1, since=date(2026, 11, 1)), row(2, since=date(2026, 11, 1), until=date(2026, 11, 30))),
        (row(1, since=date(2026, 11, 1), until=date(2026, 11, 30)), row(2, since=WEDNESDAY, until=WEDNESDAY)),
        (row(1), row(0, since=WEDNESDAY, until=WEDNESDAY)),
    ],
)
def test_the_narrowest_row_counts_wherever_it_stands(wider, narrower, backwards):
    rows = (narrower, wider) if backwards else (wider, narrower)
    assert staff(at(WEDNESDAY, "10:00"), *rows) == narrower.staff


def test_holiday_goes_before_weekday():
    assert staff(at(NATIONAL_DAY, "10:00"), row(2, days="7"), row(1, days="holiday")) == 1


LENT = Loan(id="loan", lender="one", borrower="two", since=WEDNESDAY, until=SATURDAY, staff=1, skills=("lift",))


@pytest.mark.parametrize(("day", "within"), [(-1, False), (0, True), (3, True), (4, False)])
def test_staff_and_skills_move_with_a_loan_for_its_days(day, within):
    lender, borrower = station(skills=("lift", "care")), station(id="two", capacity=1)
    register = Register(responders=[lender, borrower], loans=[LENT])
    now = at(WEDNESDAY + timedelta(days=day), "00:00")
    gives, gets = duty_of(register, lender, now), duty_of(register, borrower, now)
    assert (gives.capacity, "lift" in gives.skills) == ((2, False) if within else (3, True))
    assert (gets.capacity, "lift" in gets.skills) == ((2, True) if within else (1, False))
    assert "care" in gives.skills


def test_who_lends_everybody_is_closed_and_who_is_closed_stays_so():
    lender, borrower = station(capacity=1), station(id="two", hours="08:00-20:00")
    register = Register(responders=[lender, borrower], loans=[LENT])
    assert duty_of(register, lender, at(WEDNESDAY, "10:00")).is_open is False
    assert duty_of(register, borrower, at(WEDNESDAY, "21:00")) == Duty(False, 0, frozenset())


def test_a_property_company_borrows_no_care():
    keeper, home = station(id="two", kind=ResponderKind.PROPERTY), station()
    loan = Loan(id="loan", lender="one", borrower="two", since=WEDNESDAY, until=WEDNESDAY, skills=("care",))
    assert "care" not in duty_of(Register(responders=[home, keeper], loans=[loan]), keeper, at(WEDNESDAY, "10:00")).skills


def test_a_responder_beside_the_register_goes_by_its_own_row():
    assert duty_of(Register(), station(hours="08:00-20:00"), at(WEDNESDAY, "09:00")).capacity == 3


CLOCKS = st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.sampled_from((0, 15, 30, 59)))
HOURS = st.just("") | st.builds("{}-{}".format, CLOCKS, CLOCKS).filter(lambda text: text[:5] != text[6:])
DAYS = st.lists(st.sampled_from(("1", "3", "7", "1-5", "6-7", "2-4", "holiday", "workday")), max_size=3, unique=True).map(";".join)
DATES = st.none() | st.dates(date(2026, 9, 1), date(2026, 12, 31))
SHIFTS = st.lists(st.builds(row, st.none() | st.integers(0, 4), days=DAYS, hours=HOURS, since=DATES, until=DATES), min_size=1, max_size=6)
MOMENTS = st.datetimes(datetime(2026, 9, 1), datetime(2026, 12, 31)).map(lambda moment: moment.replace(tzinfo=CHINA))


def begins(shift: Shift, now: datetime) -> date | None:
    """The day on which the shift began that covers this moment: the plain meaning, minute by minute nothing prepared."""
    local = now.astimezone(CHINA)
    for day in (local.date(), local.date() - timedelta(days=1)):
        start, end = hours_of(shift.hours) or (0, 1440)
        midnight = datetime(day.year, day.month, day.day, tzinfo=CHINA)
        begin, over = midnight + timedelta(minutes=start), midnight + timedelta(minutes=end if end > start else end + 1440)
        if begin <= local < over and (shift.since or day) <= day <= (shift.until or day) and speaks_of(shift.days, day):
            return day
    return None


def speaks_of(days: str, day: date) -> bool:
    kind = CALENDAR.get(day)
    weekday = {DayKind.HOLIDAY: 7, DayKind.WORKDAY: 1, None: day.isoweekday()}[kind]
    for word in days.split(";") if days else ():
        if word == "holiday":
            if kind is DayKind.HOLIDAY:
                return True
        elif word == "workday":
            if weekday <= 5:
                return True
        elif int(word[0]) <= weekday <= int(word[-1]):
            return True
    return not days


@given(SHIFTS, MOMENTS)
def test_nobody_is_on_duty_outside_the_rows_and_one_of_those_that_cover_counts(shifts, now):
    covering = [shift for shift in shifts if begins(shift, now) is not None]
    found = duty(now, *shifts, capacity=9)
    allowed = {9 if shift.staff is None else shift.staff for shift in covering}
    assert found.is_open is (found.capacity > 0)
    assert found.capacity in (allowed or {0})
    bounded = [(shift.until - shift.since).days for shift in covering if shift.since and shift.until]
    if bounded:  # of dated rows the shortest, whatever else they say
        shortest = {9 if s.staff is None else s.staff for s in covering if s.since and s.until and (s.until - s.since).days == min(bounded)}
        assert found.capacity in shortest


@given(SHIFTS, st.lists(MOMENTS, min_size=2, max_size=5))
def test_what_was_asked_before_changes_no_answer(shifts, moments):
    responder = station()
    register = Register(responders=[responder], shifts=shifts, calendar=CALENDAR)
    for now in (*moments, *moments):
        assert duty_of(register, responder, now.astimezone(UTC)) == duty(now, *shifts)
