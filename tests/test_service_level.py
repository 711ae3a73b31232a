"""Answering measured as the standards have it: each figure from calls whose times are known, live, after a restart and in the report."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import cli
from gateway.clock import utc_now
from gateway.config import BUILT_IN_PROFILES, AnswerTarget, HotlineConfig, ProfileConfig, examine_config
from gateway.core.state import Record
from gateway.event import Event, Kind, Phase
from gateway.metrics import Metrics
from gateway.service_level import BUILT_IN, Fate, Fates, Outcome, ServiceLevels, Step, Tally, Window, steps_of
from gateway.store.store import Batch, Store

NOW = datetime(2026, 3, 14, 3, 0, tzinfo=UTC)
ALL = HotlineConfig(number="12349", profiles=("gbt33358", "tsa", "nena"))


def call(name: str, end: Kind, waited_s: float, at: datetime = NOW, hotline: str = "12349", **detail: object) -> list[Step]:
    """Offered, rung, and after so many seconds this end; `at` is when that was."""
    facts = {"call": name, "hotline": hotline}
    began = at - timedelta(seconds=waited_s)
    steps = [Step(Kind.CALL_OFFERED, "pbx", began, began, facts), Step(Kind.CALL_RINGING, "pbx", began, began, facts)]
    steps.append(Step(end, "pbx", at, at, {**facts, **detail}))
    if end is Kind.CALL_ANSWERED:
        steps.append(Step(Kind.CALL_ENDED, "pbx", at + timedelta(minutes=2), at + timedelta(minutes=2), facts))
    return steps


def seen(levels: ServiceLevels, *calls: list[Step], now: datetime = NOW) -> list[Fate]:
    return [fate for steps in calls for step in steps if (fate := levels.see(step, now)) is not None]


def share(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


# --- one call --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "waited_s", "outcome"),
    [
        (Kind.CALL_ANSWERED, 12.0, Outcome.ANSWERED),
        (Kind.CALL_ABANDONED, 5.0, Outcome.ABANDONED),
        (Kind.CALL_ABANDONED, 4.9, Outcome.ABANDONED_SHORT),
        (Kind.CALL_MISSED, 30.0, Outcome.MISSED),
        (Kind.CALL_MISSED, 1.0, Outcome.MISSED),
        (Kind.CALL_FAILED, 0.1, Outcome.FAILED),
        (Kind.CALL_ENDED, 180.0, Outcome.UNSEEN),
    ],
)
def test_every_call_has_one_fate(end: Kind, waited_s: float, outcome: Outcome) -> None:
    (fate,) = seen(ServiceLevels(["12349"]), call("a", end, waited_s))
    assert (fate.outcome, round(fate.waited_s, 3), fate.hotline) == (outcome, waited_s, "12349")


def test_ringing_elsewhere_or_being_transferred_is_no_second_answer() -> None:
    levels = ServiceLevels(["12349"])
    steps = call("a", Kind.CALL_ANSWERED, 3)
    again = Step(Kind.CALL_ANSWERED, "pbx", NOW, NOW, {"call": "a", "hotline": "12349", "correction": True})
    (fate,) = seen(levels, [*steps[:3], again, steps[3]])
    assert fate.outcome is Outcome.ANSWERED


def test_an_answer_of_a_queue_is_corrected_by_the_answer_of_a_person() -> None:
    levels = ServiceLevels(["12349"], [ALL])
    began = NOW - timedelta(seconds=40)
    facts = {"call": "a", "hotline": "12349"}
    seen(levels, [Step(Kind.CALL_OFFERED, "pbx", began, began, facts), Step(Kind.CALL_ANSWERED, "pbx", began, began, facts)])
    assert levels.day("12349", NOW).share_within(15) == 1.0
    seen(levels, [Step(Kind.CALL_ANSWERED, "pbx", NOW, NOW, {**facts, "correction": True})])
    day = levels.day("12349", NOW)
    assert (day.share_within(15), day.share_within(60), day.outcomes[Outcome.ANSWERED]) == (0.0, 1.0, 1)


def test_cancel_and_answer_that_cross_are_one_abandoned_call() -> None:
    levels = ServiceLevels(["12349"])
    steps = call("a", Kind.CALL_ANSWERED, 20)[:3]
    seen(levels, steps, [Step(Kind.CALL_ABANDONED, "pbx", NOW, NOW, {"call": "a", "hotline": "12349"})])
    day = levels.day("12349", NOW)
    assert (day.outcomes[Outcome.ANSWERED], day.outcomes[Outcome.ABANDONED], day.counted) == (0, 1, 1)


def test_what_was_answered_before_we_listened_is_not_counted_and_what_was_lost_is() -> None:
    levels = ServiceLevels(["12349"])
    facts = {"call": "x", "hotline": "12349"}
    assert levels.see(Step(Kind.CALL_ANSWERED, "pbx", NOW, NOW, facts), NOW) is None
    fate = levels.see(Step(Kind.CALL_ABANDONED, "pbx", NOW, NOW, facts), NOW)
    assert fate is not None
    assert fate.outcome is Outcome.ABANDONED


def test_waiting_is_measured_by_the_clock_that_both_times_are_from() -> None:
    fates = Fates()
    facts = {"call": "a", "hotline": "12349"}
    fates.see(Step(Kind.CALL_OFFERED, "pbx", NOW, NOW + timedelta(hours=1), facts))
    fate = fates.see(Step(Kind.CALL_ANSWERED, "pbx", NOW + timedelta(seconds=9), NOW + timedelta(seconds=9), facts))
    assert fate is not None
    assert fate.waited_s == 9


# --- shares ----------------------------------------------------------------------------------------------------------------


def test_gbt_wants_95_percent_within_15_seconds_and_as_many_connected() -> None:
    levels = ServiceLevels(["12349"], [ALL])
    seen(levels, *(call(f"a{n}", Kind.CALL_ANSWERED, 15) for n in range(19)))
    gbt = levels.profiles["gbt33358"]
    assert levels.day("12349", NOW).meets(gbt)
    seen(levels, call("late", Kind.CALL_ANSWERED, 15.01))
    assert levels.day("12349", NOW).share_within(15) == 19 / 20
    assert levels.day("12349", NOW).meets(gbt), "exactly 95 % is enough"
    seen(levels, call("lost", Kind.CALL_MISSED, 40))
    day = levels.day("12349", NOW)
    assert (day.share_within(15), day.connect_share, day.meets(gbt)) == (19 / 21, 20 / 21, False)


def test_tsa_has_two_bounds_and_counts_each_call_beyond_the_second() -> None:
    levels = ServiceLevels(["12349"], [ALL])
    seen(levels, *(call(f"a{n}", Kind.CALL_ANSWERED, 59) for n in range(39)), call("slow", Kind.CALL_ANSWERED, 200))
    tally = next(tally for _, profile, tally in levels.levels(NOW) if profile.name == "tsa")
    assert (tally.share_within(60), tally.share_within(180), tally.beyond[180]) == (0.975, 0.975, 1)
    assert tally.meets(levels.profiles["tsa"]) is False, "60 s is reached, 180 s is not"


def test_short_abandons_enter_no_share() -> None:
    levels = ServiceLevels(["12349"])
    seen(levels, call("a", Kind.CALL_ANSWERED, 5), *(call(f"s{n}", Kind.CALL_ABANDONED, 2) for n in range(9)))
    day = levels.day("12349", NOW)
    assert (day.share_within(15), day.connect_share, day.abandoned_share, day.outcomes[Outcome.ABANDONED_SHORT]) == (1.0, 1.0, 0.0, 9)


def test_no_calls_is_no_figure() -> None:
    day = ServiceLevels(["12349"]).day("12349", NOW)
    assert (day.share_within(15), day.connect_share, day.meets(BUILT_IN[0])) == (None, None, None)


def test_the_window_slides() -> None:
    levels = ServiceLevels(["12349"])
    seen(levels, call("a", Kind.CALL_MISSED, 30))
    seen(levels, call("b", Kind.CALL_ANSWERED, 3, NOW + timedelta(hours=23)), now=NOW + timedelta(hours=23))
    assert levels.day("12349", NOW + timedelta(hours=23)).connect_share == 0.5
    assert levels.day("12349", NOW + timedelta(hours=24, minutes=1)).connect_share == 1.0


def test_what_was_counted_while_the_clock_was_a_year_ahead_does_not_stay_for_a_year() -> None:
    window = Window(86400.0, (15.0,))
    ahead = NOW + timedelta(days=365)
    window.add(Fate("x", "12349", Outcome.ANSWERED, ahead, 3.0), ahead)
    assert window.sum(NOW).counted == 0
    hour = NOW + timedelta(hours=1)
    window.add(Fate("y", "12349", Outcome.ANSWERED, hour, 3.0), hour)
    assert window.sum(NOW).counted == 1, "an hour is nothing: it leaves an hour later"


def test_hotlines_are_counted_apart() -> None:
    levels = ServiceLevels(["12349", "12345"])
    seen(levels, call("a", Kind.CALL_ANSWERED, 3), call("b", Kind.CALL_MISSED, 3, hotline="12345"), call("c", Kind.CALL_MISSED, 3, hotline="999"))
    assert (levels.day("12349", NOW).connect_share, levels.day("12345", NOW).connect_share) == (1.0, 0.0)


def test_a_profile_of_ones_own_has_its_own_window() -> None:
    ours = ProfileConfig(name="ours", target=(AnswerTarget(within_s=7, share=0.5),), window_s=600)
    levels = ServiceLevels(["12349"], [HotlineConfig(number="12349", profiles=("ours",))], [ours])
    seen(levels, call("a", Kind.CALL_ANSWERED, 6), call("b", Kind.CALL_ANSWERED, 8))
    ((hotline, profile, tally),) = levels.levels(NOW)
    assert (hotline, profile.name, tally.share_within(7)) == ("12349", "ours", 0.5)
    ((_, _, later),) = levels.levels(NOW + timedelta(minutes=11))
    assert later.counted == 0


@given(st.lists(st.tuples(st.integers(0, 30 * 3600), st.sampled_from(Outcome), st.floats(0, 300)), max_size=60), st.integers(0, 40 * 3600))
def test_a_window_holds_exactly_what_is_in_its_minutes(fates: list[tuple[int, Outcome, float]], later_s: int) -> None:
    start = datetime(2026, 3, 14, tzinfo=UTC)
    now = start + timedelta(seconds=later_s)
    window = Window(86400, (15.0, 60.0))
    wanted = Tally()
    clock = start
    first_minute = int(now.timestamp() // 60) - 1439
    for seconds, outcome, waited_s in fates:
        fate = Fate("c", "12349", outcome, start + timedelta(seconds=seconds), waited_s)
        clock = max(clock, fate.at)  # fates may be told late; the clock does not go back
        window.add(fate, clock)
        if int(fate.at.timestamp() // 60) >= first_minute:
            wanted.add(fate, (15.0, 60.0))
    newest = max([now, *(start + timedelta(seconds=seconds) for seconds, _, _ in fates)])
    if newest == now:
        found = window.sum(now)
        assert (found.outcomes, found.share_within(15), found.share_within(60)) == (wanted.outcomes, wanted.share_within(15), wanted.share_within(60))


# --- metrics ---------------------------------------------------------------------------------------------------------------


def test_every_figure_is_a_live_metric_per_hotline_and_profile() -> None:
    metrics = Metrics()
    since = utc_now() - timedelta(seconds=42)
    metrics.calls.measure(ServiceLevels(["12349", "12345"], [ALL]), lambda: [("pbx", "12349", since), ("pbx", "12349", None)])
    now = utc_now()
    for steps in (call("a", Kind.CALL_ANSWERED, 10, now), call("b", Kind.CALL_ANSWERED, 18, now), call("c", Kind.CALL_ABANDONED, 30, now)):
        for step in steps:
            metrics.calls.see(step)
    third = pytest.approx(1 / 3)
    for profile, within, wanted in [("gbt33358", "15", 1), ("nena", "15", 1), ("nena", "20", 2), ("tsa", "60", 2), ("tsa", "180", 2)]:
        value = share(metrics, "gateway_call_answered_share", hotline="12349", profile=profile, within=within)
        assert value == pytest.approx(wanted / 3), (profile, within)
    assert share(metrics, "gateway_call_connect_share", hotline="12349") == pytest.approx(2 / 3)
    assert share(metrics, "gateway_call_abandoned_share", hotline="12349") == third
    assert share(metrics, "gateway_call_profile_met", hotline="12349", profile="tsa") == 0.0
    assert share(metrics, "gateway_call_profile_met", hotline="12345", profile="gbt33358") is None, "no calls"
    assert share(metrics, "gateway_calls_beyond", hotline="12349", profile="tsa") == 0
    assert share(metrics, "gateway_calls_total", hotline="12349", outcome="answered") == 2
    assert share(metrics, "gateway_calls_total", hotline="12345", outcome="missed") == 0, "there from the start"
    assert share(metrics, "gateway_call_answer_seconds_bucket", hotline="12349", le="15.0") == 1
    assert share(metrics, "gateway_call_answer_seconds_count", hotline="12349") == 2
    assert share(metrics, "gateway_calls_waiting", hotline="12349") == 1
    longest = share(metrics, "gateway_call_longest_waiting_seconds", hotline="12349")
    assert longest is not None
    assert 42 <= longest <= (utc_now() - since).total_seconds()
    assert share(metrics, "gateway_calls_live", line="pbx") == 2


# --- the journal -----------------------------------------------------------------------------------------------------------


def written(store: Store, steps: list[Step]) -> None:
    rows = []
    for number, step in enumerate(steps):
        event = Event(
            kind=step.kind, line=step.line, received_at=step.received_at, occurred_at=step.occurred_at, detail=step.detail, phase=Phase.STATE
        )
        rows.append(
            Record(kind=step.kind, phase=Phase.STATE, at=step.received_at, facts=msgspec.json.encode(event), line="pbx", dedup=f"pbx|{number}")
        )
        rows.append(Record(kind=Kind.NOTE, at=step.received_at, facts=b"{}"))
    store.write(Batch(records=rows))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "var").mkdir()
    store = Store("sqlite:///gateway.db", tmp_path / "var")
    store.open()
    return store


def test_a_start_counts_the_same_from_the_journal(store: Store) -> None:
    calls = [call(f"c{n}", (Kind.CALL_ANSWERED, Kind.CALL_ABANDONED)[n % 2], n, NOW + timedelta(minutes=20 * n)) for n in range(100)]
    steps = sorted((step for steps in calls for step in steps), key=lambda step: step.received_at)
    written(store, steps)
    now = NOW + timedelta(minutes=2000)
    lived, born = ServiceLevels(["12349"], [ALL]), ServiceLevels(["12349"], [ALL])
    seen(lived, steps, now=now)
    read = list(steps_of(store.call_steps(now - timedelta(seconds=born.longest_window_s))))
    seen(born, read, now=now)
    store.close()
    assert 0 < len(read) < len(steps), "no further back than needed"
    mine, theirs = lived.day("12349", now), born.day("12349", now)
    assert (mine.outcomes, mine.within, mine.beyond) == (theirs.outcomes, theirs.within, theirs.beyond)
    assert mine.counted > 60


def test_the_journal_is_searched_from_the_right_place(store: Store) -> None:
    written(store, [step for n in range(50) for step in call(f"c{n}", Kind.CALL_MISSED, 0, NOW + timedelta(seconds=n))])
    for n in (0, 1, 25, 49, 50):
        assert len(list(store.call_steps(NOW + timedelta(seconds=n)))) == 3 * (50 - n)
    store.close()


def test_the_report_of_a_period(tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "districts" / "honggu").mkdir(parents=True)
    config = tmp_path / "gateway.toml"
    config.write_text('[gateway]\ndata = "var"\n[calls]\nhotlines = ["12349"]\n[[hotline]]\nnumber = "12349"\nprofiles = ["tsa"]\n')
    steps = [
        *call("before", Kind.CALL_MISSED, 9, NOW - timedelta(hours=2)),
        *call("a", Kind.CALL_ANSWERED, 10),
        *call("slow", Kind.CALL_ANSWERED, 200),
    ]
    written(store, sorted(steps, key=lambda step: step.received_at))
    store.close()
    period = ["--since", (NOW - timedelta(hours=1)).isoformat(), "--until", (NOW + timedelta(hours=1)).isoformat(), "--config", str(config)]
    assert cli.main(["report", "calls", *period]) == 0
    text = capsys.readouterr().out
    assert "tsa: MISSED (60 s 50.00 % of 97.50 %, 180 s 50.00 % of 99.00 %)" in text
    assert "200 s  call pbx|slow" in text
    assert cli.main(["report", "calls", *period, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["hotlines"]["12349"]["outcomes"]["answered"] == 2
    assert found["hotlines"]["12349"]["outcomes"]["missed"] == 0, "before the period"
    assert [one["waited_s"] for one in found["beyond"]] == [200.0]


def test_a_report_of_a_period_that_ends_before_it_begins_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", "calls", "--since", "2026-03-15", "--until", "2026-03-14"]) == 1
    assert "is not before" in capsys.readouterr().err


def test_the_built_in_profiles_are_those_that_the_configuration_knows() -> None:
    assert tuple(profile.name for profile in BUILT_IN) == BUILT_IN_PROFILES


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[hotline]]\nnumber = "12340"', "hotline[1].number: '12340' is none of calls.hotlines"),
        ('[[hotline]]\nnumber = "12349"\n[[hotline]]\nnumber = "12349"', "hotline[2].number: '12349' is hotline[1] too"),
        ('[[hotline]]\nnumber = "12349"\nprofiles = ["fast"]', "hotline[1].profiles: there is no profile 'fast'"),
        ('[[hotline]]\nnumber = "12345"\nhand_over = "https://neighbour.example/api/v1/hand-overs"', "hotline[1].secret_file: is missing beside"),
        ('[[hotline]]\nnumber = "12345"\nhand_over = "neighbour"\nsecret_file = "x"', "hotline[1].hand_over: is no web address"),
        ('[[hotline]]\nnumber = "12345"\nsecret_file = "nowhere"', "hotline[1].secret_file: "),
        ('[[profile]]\nname = "tsa"\ntarget = [{within_s = 1, share = 0.5}]', "profile[1].name: there is a profile 'tsa' already"),
    ],
)
def test_faults_of_hotlines_are_told_with_key_and_remedy(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "districts" / "honggu").mkdir(parents=True)
    (tmp_path / "gateway.toml").write_text(text + "\n")
    _, problems = examine_config(tmp_path / "gateway.toml")
    assert len([problem for problem in problems if said in problem]) == 1, problems  # told once, too
