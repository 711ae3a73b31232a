"""Risk warnings: each rule fires on what it is for, keeps still for few cases, does not flap, and never grows without a bound."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf

import msgspec
import pytest

from gateway.config.risk import RiskConfig
from gateway.core import matters
from gateway.core.incident import Flag, Incident, LegState, Outcome, Role
from gateway.core.register import Device, Person, Register, Responder, ResponderKind
from gateway.core.risk import Case, Concern, Measured, Rule, Scene, at_least, case_of
from gateway.core.risk_edges import MOST_AT_ONCE, RAISED, area_of, edges, gone, lifted, person_of, warned
from gateway.core.risk_rules import BY_NAME, RULES
from gateway.core.risk_trends import Batteries, Habits
from gateway.core.score import WorkLeg
from gateway.core.standing import Ruling
from gateway.core.state import Draft, WorkingSet
from gateway.core.territory import Standing
from gateway.errors import Refused
from gateway.event import Kind, Severity

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)  # noon in China
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MODEL, OTHER = "invented-1", "invented-2"

REGISTER = Register(
    persons=[Person(id="p1", name="invented", area="north"), Person(id="p2", name="invented")],
    devices=[Device(id=f"w{n}", line="wearables", person="p1" if n == 0 else None, model=MODEL) for n in range(20)]
    + [Device(id=f"x{n}", line="wearables", model=OTHER) for n in range(20)],
    responders=[
        Responder(id="station", name="invented", kind=ResponderKind.STATION, capacity=2),
        Responder(id="desk", name="invented", kind=ResponderKind.DESK),
    ],
)


def case(ago: timedelta, kind: Kind = Kind.FALL, person: str | None = "p1", **more: object) -> Case:
    facts: dict[str, object] = {"id": "I1", "severity": Severity.CRITICAL, "line": "wearables", "device": "w0"}
    return Case(kind=kind, opened_at=NOW - ago, person=person, **{**facts, **more})  # type: ignore[arg-type]


def leg(ago: timedelta, state: LegState, arrived_after: timedelta | None = None, role: Role = Role.SOCIAL, responder: str = "station") -> WorkLeg:
    ordered = NOW - ago
    return WorkLeg(responder, state, ordered, arrived_at=ordered + arrived_after if arrived_after is not None else None, role=role)


def failed(hours: float, reason: str) -> WorkLeg:
    return WorkLeg("station", LegState.FAILED, NOW - timedelta(hours=hours), reason=reason)


def orders(*legs: WorkLeg) -> list[Case]:
    return [case(NOW - one.ordered_at, legs=(one,)) for one in legs]


def scene(cases: list[Case] | None = None, **more: object) -> Scene:
    found = sorted(cases or [], key=lambda one: one.opened_at)
    return replace(Scene(now=NOW, config=RiskConfig(), register=REGISTER, cases=tuple(found)), **more)  # type: ignore[arg-type]


def values(name: str, where: Scene) -> dict[str, float]:
    return {one.subject: one.value for one in BY_NAME[name].measure(where)}


def days(*ago: float) -> list[timedelta]:
    return [timedelta(days=one) for one in ago]


def falls(*ago: float, **more: object) -> list[Case]:
    return [case(one, **more) for one in days(*ago)]  # type: ignore[arg-type]


def decided(declined: int, accepted: int) -> list[Case]:
    return orders(
        *(leg(timedelta(hours=n), LegState.DECLINED if n % 2 else LegState.EXPIRED) for n in range(declined)),
        *(leg(timedelta(hours=40 + n), LegState.DONE, timedelta(minutes=5)) for n in range(accepted)),
    )


def arrived(late: int, good: int, role: Role = Role.SOCIAL) -> list[Case]:
    return orders(
        *(leg(timedelta(hours=2 + n), LegState.DONE, timedelta(minutes=16), role) for n in range(late)),
        *(leg(timedelta(hours=60 + n), LegState.DONE, timedelta(minutes=15), role) for n in range(good)),
    )


def cry(devices: int, each: int, ago: timedelta = HOUR, model: str = "w", **more: object) -> list[Case]:
    return [case(ago, person=None, device=f"{model}{n}", cries=each, **more) for n in range(devices)]


def closed(false: int, real: int) -> list[Case]:
    return [case(timedelta(days=1 + n / 10), person=None, outcome=Outcome.FALSE_ALARM if n < false else Outcome.HELPED) for n in range(false + real)]


def taken(lately_s: float, before_s: float, lately: int = 20, before: int = 50) -> list[Case]:
    found = []
    for n in range(lately + before):
        ago, took = (timedelta(hours=1 + n / 10), lately_s) if n < lately else (timedelta(days=2 + n / 10), before_s)
        found.append(case(ago, acknowledged_at=NOW - ago + timedelta(seconds=took)))
    return found


FULL = orders(leg(timedelta(minutes=70), LegState.SENT), leg(timedelta(minutes=31), LegState.EN_ROUTE))
USUAL_DAYS = [one for n in range(10) for one in cry(10, 1, timedelta(days=2 + n))]  # ten cries a day

SIX_OF_TWELVE = {("wearables", f"w{n}"): (10.0 if n < 6 else 80.0, 20.0, None) for n in range(12)}

# what · rule · where · whom it warns about
FIRES: list[tuple[str, str, Scene, set[str]]] = [
    ("two falls in a week", "repeat_faller", scene(falls(1, 6)), {"p1"}),
    ("three in a month", "repeat_faller", scene(falls(1, 12, 29)), {"p1"}),
    ("a fall that joined another cry", "repeat_faller", scene([*falls(1, kind=Kind.SOS, also=(Kind.FALL,)), *falls(3)]), {"p1"}),
    ("one fall", "repeat_faller", scene(falls(1)), set()),
    ("two in a month", "repeat_faller", scene(falls(1, 20)), set()),
    ("one fall told twice within the hour", "repeat_faller", scene(falls(1, 1.02)), set()),
    ("false alarms", "repeat_faller", scene(falls(1, 2, 3, outcome=Outcome.FALSE_ALARM)), set()),
    ("merged ones", "repeat_faller", scene(falls(1, 2, 3, merged_into="I2")), set()),
    ("somebody works on the device", "repeat_faller", scene(falls(1, 2, 3, flags=(Flag.MAINTENANCE,))), set()),
    ("nobody knows whose", "repeat_faller", scene(falls(1, 2, 3, person=None)), set()),
    ("two persons, one fall each", "repeat_faller", scene([*falls(1), *falls(2, person="p2")]), set()),
    ("five suspected falls", "near_falls", scene(falls(1, 2, 3, 4, 5, kind=Kind.FALL_SUSPECTED)), {"p1"}),
    ("four", "near_falls", scene(falls(1, 2, 3, 4, kind=Kind.FALL_SUSPECTED)), set()),
    ("ten calls", "calls_often", scene(falls(*(n / 2 for n in range(1, 11)), kind=Kind.SOS)), {"p1"}),
    ("nine", "calls_often", scene(falls(*(n / 2 for n in range(1, 10)), kind=Kind.HELP)), set()),
    ("ten as ever", "calls_often", scene(falls(*(n / 2 for n in range(1, 50)), kind=Kind.CALL_ANSWERED)), set()),
    ("ten services asked for", "calls_often", scene(falls(*(n / 2 for n in range(1, 11)), kind=Kind.SERVICE_REQUEST, service="meals")), set()),
    ("empty in six days", "battery_dying", scene(batteries={("wearables", "w1"): (40.0, 20.0, 6.0)}), {"wearables|w1"}),
    ("in eight", "battery_dying", scene(batteries={("wearables", "w1"): (40.0, 20.0, 8.0)}), set()),
    ("low: a task already", "battery_dying", scene(batteries={("wearables", "w1"): (20.0, 20.0, 2.0)}), set()),
    ("charged", "battery_dying", scene(batteries={("wearables", "w1"): (90.0, 20.0, inf)}), set()),
    ("six of twelve low", "batteries_low", scene(batteries=SIX_OF_TWELVE), {MODEL}),
    ("four of four", "batteries_low", scene(batteries={("wearables", f"w{n}"): (10.0, 20.0, None) for n in range(4)}), set()),
    ("five of twenty", "batteries_low", scene(batteries={("wearables", f"w{n}"): (9.0 if n < 5 else 80, 20, None) for n in range(20)}), set()),
    ("five of five refused", "refuses", scene(decided(5, 0)), {"station"}),
    ("six of ten", "refuses", scene(decided(6, 4)), {"station"}),
    ("five of ten: not surely", "refuses", scene(decided(5, 5)), set()),
    ("four of four", "refuses", scene(decided(4, 0)), set()),
    ("it was long ago", "refuses", scene([*orders(*(leg(timedelta(hours=n), LegState.DONE) for n in range(20))), *(
        case(timedelta(days=9), legs=(leg(timedelta(days=9), LegState.DECLINED),)) for _ in range(9))]), set()),
    ("taken back before they said anything", "refuses", scene(orders(*(leg(HOUR, LegState.WITHDRAWN) for _ in range(9)))), set()),
    ("nobody picks up the telephone", "refuses", scene(orders(*(failed(n, "no_answer") for n in range(5)))), {"station"}),
    ("its number is wrong", "refuses", scene(orders(*(failed(n, "no_number") for n in range(9)))), set()),
    ("the desk has nobody to send", "refuses", scene(orders(*(leg(HOUR, LegState.EXPIRED, responder="desk") for _ in range(9)))), set()),
    ("who is only told", "refuses", scene(orders(*(leg(HOUR, LegState.EXPIRED, role=Role.DOCTOR) for _ in range(9)))), set()),
    ("five of five late", "arrives_late", scene(arrived(5, 0)), {"station"}),
    ("still not there", "arrives_late", scene(orders(*(leg(timedelta(minutes=20 + n), LegState.EN_ROUTE) for n in range(5)))), {"station"}),
    ("fifteen minutes are in time", "arrives_late", scene(arrived(0, 9)), set()),
    ("five of fifteen", "arrives_late", scene(arrived(5, 10)), set()),
    ("appointments", "arrives_late", scene(arrived(9, 0, Role.SERVICE)), set()),
    ("full for half an hour", "station_full", scene(FULL, places={"station": 2}), {"station"}),
    ("room for one more", "station_full", scene(FULL, places={"station": 3}), set()),
    ("closed", "station_full", scene(FULL, places={"station": 0}), set()),
    ("full since just now", "station_full", scene([*FULL[:1], *orders(leg(timedelta(minutes=5), LegState.SENT))], places={"station": 2}), set()),
    ("twenty messages missing", "silent_line", scene(silences={"pbx": (20.0, 900.0), "panel": (19.9, 900.0)}), {"pbx"}),
    ("nineteen", "silent_line", scene(silences={"pbx": (19.0, 900.0)}), set()),
    ("falls all night, nothing usual yet", "model_flood", scene(cry(3, 20), covers=HOUR), {MODEL}),
    ("from two devices", "model_flood", scene(cry(2, 900), covers=HOUR), set()),
    ("nine cries", "model_flood", scene(cry(3, 3), covers=HOUR), set()),
    ("another model beside it", "model_flood", scene([*cry(9, 20), *cry(2, 1, model="x")], covers=HOUR), {MODEL}),
    ("five times what is usual", "model_flood", scene([*USUAL_DAYS, *cry(10, 6)], covers=timedelta(days=12)), {MODEL}),
    ("thrice", "model_flood", scene([*USUAL_DAYS, *cry(10, 3)], covers=timedelta(days=12)), set()),
    ("ten of ten false", "model_false", scene(closed(10, 0)), {MODEL}),
    ("fifteen of twenty", "model_false", scene(closed(15, 5)), {MODEL}),
    ("ten of twenty: not surely", "model_false", scene(closed(10, 10)), set()),
    ("nine of nine", "model_false", scene(closed(9, 0)), set()),
    ("taken twice as late", "desk_slow", scene(taken(60, 30)), {"desk"}),
    ("a little later", "desk_slow", scene(taken(50, 30)), set()),
    ("5 s in place of 2 s", "desk_slow", scene(taken(5, 2)), set()),
    ("nineteen alarms", "desk_slow", scene(taken(600, 30, lately=19)), set()),
    ("nothing usual yet", "desk_slow", scene(taken(600, 30, before=49)), set()),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "where", "subjects"), [row[1:] for row in FIRES], ids=[f"{rule}: {what}" for what, rule, _, _ in FIRES])
def test_a_rule_fires_on_what_it_is_for_and_on_nothing_less(rule: str, where: Scene, subjects: set[str]) -> None:
    assert {subject for subject, value in values(rule, where).items() if value >= 1} == subjects


def test_every_rule_is_seen_to_fire_and_not_to() -> None:
    assert {rule for _, rule, _, whom in FIRES if whom} == set(BY_NAME)
    assert {rule for _, rule, _, whom in FIRES if not whom} == set(BY_NAME)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_nothing_of_an_empty_district(rule: Rule) -> None:
    assert list(rule.measure(Scene(now=NOW, config=RiskConfig(), register=Register()))) == []


def test_nought_switches_a_rule_off() -> None:
    off = RiskConfig(**{name: 0 for name in RiskConfig.__struct_fields__ if name not in ("enabled", "look_s")})  # type: ignore[arg-type]
    for what, rule, where, _ in FIRES:
        assert all(value < 1 for value in values(rule, replace(where, config=off)).values()), what


def test_the_sure_share_of_few_is_small() -> None:
    assert at_least(0, 0) == 0
    assert at_least(3, 3) == pytest.approx(0.4385, abs=1e-4)  # Wilson 1927, as scipy's binomtest(3, 3).proportion_ci(method="wilson") has it
    assert at_least(5, 10) == pytest.approx(0.2366, abs=1e-4)
    assert at_least(0, 9) == pytest.approx(0, abs=1e-9)


def test_a_case_is_read_from_an_incident_in_memory_and_on_disk_alike() -> None:
    incident = Incident(
        id="I100001",
        key="person:p1",
        kind=Kind.FALL,
        severity=Severity.CRITICAL,
        state="raised",  # type: ignore[arg-type]
        opened_at=NOW,
        changed_at=NOW,
        last_event_at=NOW,
        ts=1,
        person="p1",
        flags=(Flag.SECOND_CRY,),
        cries=3,
    )
    assert msgspec.json.decode(msgspec.json.encode(incident), type=Case) == case_of(incident)


# --- edges -----------------------------------------------------------------------------------------------------------


class Books:
    """What stands, as rulings leave it."""

    def __init__(self) -> None:
        self.standings: dict[str, Standing] = {}
        self.draft = Draft(WorkingSet(REGISTER))

    def rule(self, ruling: Ruling, at: datetime = NOW) -> str:
        self.standings[ruling.key] = matters.on_ruling(self.draft, ruling, at)
        return ruling.reason

    def look(self, name: str, found: Mapping[str, float], at: datetime = NOW) -> list[str]:
        measured = [Measured(subject, value) for subject, value in found.items()]
        return [self.rule(one, at) for one in edges(BY_NAME[name], measured, self.standings)]

    @property
    def names(self) -> list[str]:
        return sorted(one.subject for one in warned(self.standings))


def test_raised_at_one_and_over_only_well_below() -> None:
    books = Books()
    told = [books.look("repeat_faller", {"p1": value}) for value in (0.9, 1.0, 0.9, 0.6, 1.0, 0.5, 0.49, 0.9)]
    assert told == [[], ["begins"], [], [], [], [], ["over"], []]
    assert books.names == []


def test_a_value_to_and_fro_about_its_limit_tells_once() -> None:
    books = Books()
    assert [one for n in range(100) for one in books.look("refuses", {"station": 1.02 if n % 2 else 0.98})] == ["begins"]


def test_growing_worse_is_told_again_and_is_unseen_again() -> None:
    books = Books()
    books.look("repeat_faller", {"p1": 1.0})
    books.rule(Ruling(key="risk_seen:repeat_faller:p1", value="seen", actor="Sun Li", reason="visit on Monday"), NOW + HOUR)
    (one,) = warned(books.standings)
    assert (one.seen_by, one.note) == ("Sun Li", "visit on Monday")
    assert books.look("repeat_faller", {"p1": 1.4}, NOW + 2 * HOUR) == []
    assert books.look("repeat_faller", {"p1": 1.5}, NOW + 2 * HOUR) == ["worse"]
    (one,) = warned(books.standings)
    assert (one.seen_by, one.value, one.at) == ("", 1.5, NOW + 2 * HOUR)


def test_what_is_not_known_any_more_is_over_unless_it_lives_in_memory_only() -> None:
    books = Books()
    for name, subject in (("refuses", "station"), ("battery_dying", "wearables|w1")):
        books.look(name, {subject: 2.0})
    assert books.look("refuses", {}) == ["over"]
    assert books.look("battery_dying", {}) == []  # just started: no trend yet
    assert books.look("battery_dying", {"wearables|w1": 0.0}) == ["over"]


def test_never_more_than_somebody_reads_and_the_worst_of_them() -> None:
    books = Books()
    told = books.look("repeat_faller", {f"p{n}": 1 + n for n in range(MOST_AT_ONCE + 50)})
    assert len(told) == MOST_AT_ONCE
    assert "p249" in books.names
    assert "p0" not in books.names
    assert books.look("repeat_faller", {f"q{n}": 999 for n in range(50)} | {f"p{n}": 1 + n for n in range(MOST_AT_ONCE + 50)}) == []


def test_who_is_no_more_is_not_warned_of() -> None:
    books = Books()
    books.look("repeat_faller", {"p1": 2.0, "erased": 2.0})
    for name, subject in (("silent_line", "old"), ("battery_dying", "wearables|w0")):
        books.look(name, {subject: 2.0})
    assert {one.key: one.reason for one in gone(books.standings, REGISTER, ["pbx"])} == {
        "risk:repeat_faller:erased": "gone",
        "risk:silent_line:old": "gone",
    }
    assert len(list(lifted(books.standings))) == 4


def test_only_the_machine_warns_and_only_people_have_seen() -> None:
    books = Books()
    for key, actor, reason in (
        ("risk:repeat_faller:p1", "Sun Li", "no_right"),
        ("risk_seen:repeat_faller:p1", "gateway", "no_right"),
        ("risk_usual:lines", "Sun Li", "no_right"),
        ("risk:nonsense:p1", "gateway", "unknown_matter"),
        ("risk:repeat_faller:", "gateway", "unknown_matter"),
        (f"risk:repeat_faller:{'x' * 300}", "gateway", "unknown_matter"),
    ):
        with pytest.raises(Refused, match=reason):
            books.rule(Ruling(key=key, value=RAISED, actor=actor))


def test_whose_a_warning_is_and_where() -> None:
    books = Books()
    for name, subject in (("repeat_faller", "p1"), ("battery_dying", "wearables|w0"), ("model_flood", MODEL)):
        books.look(name, {subject: 2.0})
    assert {one.subject: area_of(REGISTER, one) for one in warned(books.standings)} == {"p1": "north", "wearables|w0": "north", MODEL: None}
    assert [person_of(key) for key in ("risk:repeat_faller:p1", "risk_seen:calls_often:p1", "risk:refuses:p1", "shift:p1")] == ["p1", "p1", "", ""]
    assert {rule.name for rule in RULES if rule.concern is Concern.PERSON} == {"repeat_faller", "near_falls", "calls_often"}


# --- trends ----------------------------------------------------------------------------------------------------------


def days_left(readings: Iterator[tuple[float, float]]) -> float | None:
    """readings: (day, percent)."""
    batteries = Batteries()
    for day, percent in readings:
        batteries.note(("wearables", "w1"), NOW + timedelta(days=day), percent)
    return batteries.days_left(("wearables", "w1"))


@pytest.mark.parametrize(
    ("what", "percent", "last_day", "wanted"),
    [
        ("a straight line, ten points a day", lambda day: 90 - 10 * day, 4, 5.0),
        ("two days only", lambda day: 90 - 10 * day, 2, None),
        ("hardly falls", lambda day: 90 - day, 4, inf),
        ("slow for a year, fast for ten days", lambda day: 90.0 if day < 20 else 90 - 8 * (day - 20), 30, 1.25),
        ("charged every night", lambda day: 90 - 60 * (day % 1), 9.9, inf),
    ],
)
def test_when_a_battery_is_empty(what: str, percent: Callable[[float], float], last_day: float, wanted: float | None) -> None:
    found = days_left((hour / 24, percent(hour / 24)) for hour in range(round(last_day * 24) + 1))
    assert found == (wanted if wanted is None or wanted == inf else pytest.approx(wanted, rel=0.05)), what


def test_readings_are_few_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.core.risk_trends.BATTERIES_LIMIT", 10)
    batteries = Batteries()
    for n in range(30):
        batteries.note((None, f"w{n}"), NOW + n * HOUR, 50)
        batteries.note((None, "w0"), NOW + n * HOUR + timedelta(minutes=1), 50 - n / 10)
    assert len(batteries) == 10
    assert batteries.days_left((None, "w0")) is None  # known, but of one day
    assert batteries.days_left((None, "w5")) is None


def lived(habits: Habits, days: int, an_hour: Callable[[int], int]) -> tuple[datetime, int]:
    """So many days, looked at every ten minutes; an_hour: messages in each local hour."""
    at, count = NOW.replace(minute=0), 0
    for _ in range(days * 24 * 6):
        at += timedelta(minutes=10)
        count += an_hour((at.hour + 8) % 24)
        habits.note({"pbx": count}, at)
    return at, count


def test_a_line_is_silent_by_its_own_hour_of_the_day() -> None:
    habits = Habits()
    at, count = lived(habits, 5, lambda hour: 10 if 8 <= hour < 20 else 0)
    noon, night = at, at + timedelta(hours=11)
    missing, seconds = habits.silence("pbx", noon + timedelta(minutes=30)) or (0, 0)
    assert (round(missing), seconds) == (30, 1800)
    habits.note({"pbx": count + 1}, night)
    assert habits.silence("pbx", night + timedelta(hours=3)) == (0.0, 10800)


def test_a_young_line_is_not_judged_and_a_lost_one_begins_anew() -> None:
    habits = Habits()
    at, count = lived(habits, 2, lambda _: 10)
    assert habits.silence("pbx", at + HOUR) is None
    lived(habits, 5, lambda _: 10)
    habits.note({}, at)
    assert habits.silence("pbx", at + HOUR) is None
    assert habits.silence("nowhere", at) is None
    assert count


def test_what_is_usual_is_kept_over_a_restart() -> None:
    habits, again = Habits(), Habits()
    at, _ = lived(habits, 5, lambda _: 10)
    again.restore(msgspec.json.decode(msgspec.json.encode(habits.learned)), ["pbx"])
    again.note({"pbx": 0}, at)
    assert (again.silence("pbx", at + HOUR) or (0, 0))[0] == pytest.approx(60, rel=0.05)
    empty = Habits()
    empty.restore({"pbx": [1, 2], "panel": []}, ["pbx", "panel"])
    assert empty.learned == {}
