"""The score of providers: each measure counted by hand, few orders drawn to the mean, places and the last ones; with properties."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.providers import ProvidersConfig, WeightsConfig
from gateway.core.incident import Flag, Incident, Leg, LegState, Role, Stage, State
from gateway.core.register import Area, AreaKind, Register, Responder, ResponderKind
from gateway.core.score import Tally, Work, WorkLeg, counted, ranked, scored
from gateway.core.territory import Provider, ProviderState, Standing
from gateway.event import Kind, Severity

NOW = datetime(2026, 3, 14, 3, 0, tzinfo=UTC)
SINCE = NOW - timedelta(days=90)
AT = NOW - timedelta(days=1)
PLAIN = ProvidersConfig(prior=0, weights=WeightsConfig(accept=1, punctual=1, satisfaction=1, complaints=1, grade=0))


def register_of(*rows: Provider, areas: tuple[str, ...] = ()) -> Register:
    responders = [Responder(id=row.id, name=row.id, kind=ResponderKind.PROVIDER, areas=areas) for row in rows]
    return Register(district="d", areas=[Area(id="d", name="d", kind=AreaKind.DISTRICT)], responders=responders, providers=rows)


def nothing(_: str) -> Standing | None:
    return None


def leg(state: LegState, responder: str = "a", *, after_min: float | None = None, **more: object) -> WorkLeg:
    arrived = AT + timedelta(minutes=after_min) if after_min is not None else None
    return WorkLeg(responder=responder, state=state, ordered_at=AT, arrived_at=arrived, **more)  # type: ignore[arg-type]


def count(*works: Work, rows: tuple[Provider, ...] = (Provider(id="a"),)) -> Tally:
    return counted(works, register_of(*rows), SINCE, NOW)["a"]


STATES = LegState


def test_accepted_of_what_was_decided() -> None:
    decided = [STATES.ACCEPTED, STATES.DONE, STATES.DECLINED, STATES.EXPIRED, STATES.ARRIVED]
    neither = [STATES.QUEUED, STATES.SENT, STATES.FAILED, STATES.WITHDRAWN]
    tally = count(*(Work(legs=(leg(state),)) for state in (*decided, *neither)))
    assert (tally.count["accept"], tally.good["accept"]) == (5, 3)
    tally = count(Work(legs=(leg(STATES.WITHDRAWN, answered_at=AT),)))  # they had said yes, then we took it back
    assert (tally.count["accept"], tally.good["accept"]) == (1, 1)


@pytest.mark.parametrize(("reason", "counted_as"), [("no_answer", 1), ("busy", 1), ("no_key", 1), ("no_number", 0), ("http_410", 0), ("", 0)])
def test_a_telephone_that_nobody_picks_up_is_no_yes(reason: str, counted_as: int) -> None:
    tally = count(Work(legs=(leg(STATES.FAILED, reason=reason),)))
    assert (tally.count["accept"], tally.good["accept"]) == (counted_as, 0)


@pytest.mark.parametrize(("minutes", "promise", "good"), [(15, None, 1), (15.1, None, 0), (20, 20, 1), (20.1, 20, 0), (9, 8, 0)])
def test_an_alarm_is_in_time_within_what_was_agreed(minutes: float, promise: float | None, good: int) -> None:
    tally = count(Work(legs=(leg(STATES.DONE, after_min=minutes),)), rows=(Provider(id="a", response_min=promise),))
    assert (tally.count["punctual"], tally.good["punctual"]) == (1, good)


def test_a_service_is_in_time_a_quarter_of_an_hour_after_the_time_promised() -> None:
    promised = AT + timedelta(hours=3)
    for minutes, good in ((100, 1), (195, 1), (196, 0)):
        tally = count(Work(legs=(leg(STATES.DONE, after_min=minutes, promised_at=promised, role=Role.SERVICE),)))
        assert (tally.count["punctual"], tally.good["punctual"]) == (1, good)
    assert count(Work(legs=(leg(STATES.DONE, after_min=500, role=Role.SERVICE),))).count["punctual"] == 0  # nothing was promised


def test_who_said_yes_and_never_came_is_late() -> None:
    assert count(Work(legs=(leg(STATES.EN_ROUTE),))).count["punctual"] == 1
    assert count(Work(legs=(leg(STATES.EN_ROUTE),))).good["punctual"] == 0
    fresh = WorkLeg(responder="a", state=STATES.EN_ROUTE, ordered_at=NOW - timedelta(minutes=14))
    assert count(Work(legs=(fresh,))).count["punctual"] == 0


def test_marks_and_complaints_are_theirs_who_served() -> None:
    served, asked = leg(STATES.DONE, "a", after_min=5), leg(STATES.DECLINED, "b")
    rows = (Provider(id="a"), Provider(id="b"))
    works = [
        Work(legs=(served, asked), satisfaction=5),
        Work(legs=(served,), satisfaction=2, flags=(Flag.COMPLAINT,)),
        Work(legs=(served,), stages=(Stage(name="complain", at=AT),)),
    ]
    found = counted(works, register_of(*rows), SINCE, NOW)
    assert (found["a"].count["satisfaction"], found["a"].good["satisfaction"]) == (2, 1.25)
    assert (found["a"].count["complaints"], found["a"].good["complaints"]) == (3, 1)
    assert (found["b"].count["satisfaction"], found["b"].count["complaints"]) == (0, 0)


def test_what_is_older_than_the_window_or_of_somebody_else_does_not_count() -> None:
    old = msgspec.structs.replace(leg(STATES.DONE), ordered_at=SINCE - timedelta(seconds=1))
    assert count(Work(legs=(old, leg(STATES.DONE, "stranger")))).count["accept"] == 0


def test_it_reads_what_the_store_writes() -> None:
    full = Leg(
        **{"delivery": "d1", "responder": "a", "channel": "mqtt", "state": LegState.DONE, "ordered_at": AT, "reply_by": AT, "ts": 1},
        **{"arrived_at": AT, "promised_at": AT, "role": Role.SERVICE},  # type: ignore[arg-type]
    )
    incident = Incident(
        id="I100001",
        key="request:1",
        kind=Kind.SERVICE_REQUEST,
        severity=Severity.WARNING,
        state=State.CLOSED,
        **dict.fromkeys(("opened_at", "changed_at", "last_event_at"), AT),
        ts=1,
        legs=(full,),
        satisfaction=4,
        flags=(Flag.COMPLAINT,),
        stages=(Stage(name="complain", at=AT),),
    )
    work = msgspec.json.decode(msgspec.json.encode(incident), type=Work)
    assert (work.legs[0].responder, work.legs[0].role, work.legs[0].promised_at, work.satisfaction) == ("a", Role.SERVICE, AT, 4)
    assert (work.flags, work.stages[0].name) == ((Flag.COMPLAINT,), "complain")


def test_the_formula_by_hand() -> None:
    """a: 3 of 4 accepted, b: 1 of 4; the mean is one half. With a prior of 4 average orders: (3+2)/8 and (1+2)/8. Grade 4 of 5 weighs as much."""
    rows = (Provider(id="a", grade=4, scale=5), Provider(id="b"))
    register = register_of(*rows)
    works = [Work(legs=(leg(state, name),)) for name, yes in (("a", 3), ("b", 1)) for state in [STATES.DONE] * yes + [STATES.DECLINED] * (4 - yes)]
    weights = WeightsConfig(accept=1, punctual=0, satisfaction=0, complaints=0, grade=1)
    config = ProvidersConfig(prior=4, weights=weights)
    a, b = scored(counted(works, register, SINCE, NOW), register, nothing, config, NOW)
    assert (a.provider, a.value, a.sample) == ("a", pytest.approx((0.625 + 0.8) / 2), 4)
    assert (b.provider, b.value) == ("b", pytest.approx(0.375))  # who has no stars is measured by the rest
    assert (a.measures["accept"].raw, a.measures["accept"].value, a.measures["accept"].count) == (0.75, 0.625, 4)


def test_points_count_as_configured() -> None:
    rows = (Provider(id="a", points=50), Provider(id="b", points=500), Provider(id="c"))
    register = register_of(*rows)
    weights = WeightsConfig(accept=0, punctual=0, satisfaction=0, complaints=0, grade=0, points=1)
    found = scored(counted([], register, SINCE, NOW), register, nothing, ProvidersConfig(weights=weights, points_full=200), NOW)
    assert [(score.provider, score.value) for score in found] == [("b", 1.0), ("a", 0.25), ("c", 0.0)]


def test_where_nothing_is_known_there_is_no_score() -> None:
    register = register_of(Provider(id="a"))
    (score,) = scored(counted([], register, SINCE, NOW), register, nothing, ProvidersConfig(), NOW)
    assert (score.value, score.measures) == (None, {})
    ranking = ranked([score], register, nothing, ProvidersConfig(), NOW)
    assert (ranking.ranked, ranking.scores[0].why) == (0, "least_sample")


@given(
    hits=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=8),
    prior=st.floats(0, 100),
)
def test_a_score_lies_between_worst_and_best_and_few_orders_nearer_to_the_mean(hits: list[tuple[int, int]], prior: float) -> None:
    rows = tuple(Provider(id=f"p{number}") for number in range(len(hits)))
    register = register_of(*rows)
    tallies = {row.id: Tally() for row in rows}
    for row, (good, bad) in zip(rows, hits, strict=True):
        for _ in range(good):
            tallies[row.id].add("accept", 1.0)
        for _ in range(bad):
            tallies[row.id].add("accept", 0.0)
    weights = WeightsConfig(accept=1, punctual=0, satisfaction=0, complaints=0, grade=0)
    found = scored(tallies, register, nothing, ProvidersConfig(prior=prior, weights=weights), NOW)
    total = sum(good + bad for good, bad in hits)
    mean = sum(good for good, _ in hits) / total if total else None
    for score in found:
        assert score.value is None or 0 <= score.value <= 1
        measure = score.measures.get("accept")
        if measure is not None and measure.raw is not None and mean is not None:
            assert abs(measure.value - mean) <= abs(measure.raw - mean) + 1e-9
    values = [score.value for score in found if score.value is not None]
    assert values == sorted(values, reverse=True)


def crowd(count: int, *, sample: int = 30, **more: object) -> tuple[Register, dict[str, Tally]]:
    """p00 is the best, each next one a little worse; all sell the same everywhere, so that nobody leaves anything bare."""
    rows = tuple(Provider(id=f"p{number:02}", services=("meals",), **more) for number in range(count))  # type: ignore[arg-type]
    tallies = {}
    for number, row in enumerate(rows):
        tallies[row.id] = tally = Tally()
        for order in range(sample):
            tally.add("accept", float(order >= number))
    return register_of(*rows), tallies


def ranking_of(register: Register, tallies: dict[str, Tally], **config: object):  # type: ignore[no-untyped-def]
    rules = msgspec.structs.replace(PLAIN, **config)
    return ranked(scored(tallies, register, nothing, rules, NOW), register, nothing, rules, NOW)


def test_the_last_share_is_proposed_and_of_few_nobody() -> None:
    found = ranking_of(*crowd(10))
    assert (found.ranked, found.proposed, [score.place for score in found.scores]) == (10, ("p09",), list(range(1, 11)))
    assert ranking_of(*crowd(9)).proposed == ()
    assert ranking_of(*crowd(20), last_share=0.15).proposed == ("p19", "p18", "p17")
    assert ranking_of(*crowd(20), last_share=0.0).proposed == ()


def test_small_samples_are_not_ranked() -> None:
    register, tallies = crowd(12)
    tallies["p11"] = Tally()
    tallies["p11"].add("accept", 0.0)  # one order, declined: no record of anything
    found = ranking_of(register, tallies)
    assert (found.ranked, found.proposed) == (11, ("p10",))
    assert (found.scores[-1].provider, found.scores[-1].place, found.scores[-1].why) == ("p11", None, "least_sample")


def test_who_does_not_work_is_neither_ranked_nor_proposed() -> None:
    register, tallies = crowd(11)
    rows = [msgspec.structs.replace(row, state=ProviderState.SUSPENDED) if row.id == "p10" else row for row in register.providers.values()]
    register = register_of(*rows)
    found = ranking_of(register, tallies)
    assert (found.proposed, found.scores[-1].why) == (("p09",), "suspended")


def test_nobody_is_proposed_who_would_leave_something_bare() -> None:
    register, tallies = crowd(20)
    rows = [msgspec.structs.replace(row, services=("meals", "nursing")) if row.id in ("p18", "p19") else row for row in register.providers.values()]
    register = register_of(*rows)
    found = ranking_of(register, tallies, last_share=0.1)
    assert found.proposed == ("p19",)  # the last of two who nurse; then the other one is needed
    assert found.spared == {"p18": ("d", "nursing")}
