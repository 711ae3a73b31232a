"""Scenario files: those that come with the simulators, faults in files, and the same plan for the same seed."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from simulators.amend import prepare
from simulators.district import e164, read_district
from simulators.plan import make_plan
from simulators.scenario import SCENARIOS, Scenario, ScenarioError, find_scenario, load_scenario
from tests.simulators.stand_in import district  # noqa: F401

HONGGU = Path(__file__).parents[2] / "config/districts/honggu"
SHIPPED = sorted(SCENARIOS.glob("*.toml"))
CAST = '[[cast]]\nname = "a"\nhas = ["wearable"]\n'


def test_there_are_the_promised_ones() -> None:
    promised = {
        "evening_in_honggu",
        "three_sources_one_elder",
        "abandoned_callers",
        "line_noise",
        "broker_restart",
        "unplugged_port",
        "silent_station",
        "hotline_hour",
        "gongshu_night",
        "honggu_rural",
        "beijing_city",
        "mutual_aid",
        "visiting_elder",
        "last_place_provider",
        "closed_loop_broken",
        "municipal_down",
        "bad_register",
    }
    assert promised <= {path.stem for path in SHIPPED}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenarios_fit_the_district(path: Path, tmp_path: Path) -> None:
    scenario = load_scenario(path)
    prepare(scenario, HONGGU.parent / scenario.district, tmp_path, datetime.now(UTC))
    plan = make_plan(scenario, read_district(tmp_path), seed=scenario.seed)
    assert plan.steps
    expected = [step for step in plan.steps if step.do.expect]
    assert expected
    assert all(step.at <= scenario.seconds * scenario.plan_share for step in expected)


def test_same_seed_same_plan_other_seed_other_plan() -> None:
    scenario = load_scenario(find_scenario("evening_in_honggu"))
    plans = [make_plan(scenario, read_district(HONGGU), seed=seed) for seed in (1, 1, 2)]
    assert plans[0] == plans[1]
    assert plans[0] != plans[2]


def test_longer_runs_stretch_the_times() -> None:
    scenario = load_scenario(find_scenario("silent_station"))
    once, twice = (make_plan(scenario, read_district(HONGGU), seed=1, scale=scale) for scale in (1.0, 2.0))
    assert [step.at * 2 for step in once.steps] == [step.at for step in twice.steps]


def test_turns_choose_other_people(district: Path) -> None:  # noqa: F811
    scenario = Scenario(name="x", cast=load(CAST + '[[do]]\nwho = "a"\nvia = "wearable"\nwhat = "sos"\nat = 1', district).cast)
    used: dict[int, None] = {}
    first = make_plan(scenario, read_district(district), seed=1, turn=0, used=used)
    second = make_plan(scenario, read_district(district), seed=1, turn=1, used=used)
    assert not {member.person for member in first.parts["a"]} & {member.person for member in second.parts["a"]}


def test_whoever_played_longest_ago_plays_again_first(district: Path) -> None:  # noqa: F811
    cast = '[[cast]]\nname = "a"\nhas = ["panel"]\ncount = 1\n[[do]]\nwho = "a"\nvia = "panel"\nwhat = "call"\nat = 1'
    scenario = Scenario(name="x", cast=load(cast, district).cast)
    used: dict[int, None] = {}
    plans = [make_plan(scenario, read_district(district), seed=1, turn=turn, used=used) for turn in range(8)]
    rooms = [plan.parts["a"][0].panel for plan in plans]
    assert rooms[:2] in (["201", "202"], ["202", "201"])
    assert rooms == rooms[:2] * 4


def load(text: str, folder: Path) -> Scenario:
    path = folder / "scenario.toml"
    path.write_text(f'name = "x"\n{text}', encoding="utf-8")
    return load_scenario(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("secnds = 3", "scenario.toml: secnds: unknown key. Did you mean seconds?"),
        (CAST + '[[do]]\nwho = "a"\nvia = "wearable"\nwhat = "sos"\nwen = 1', "do[1].wen: unknown key"),
        (CAST + '[[do]]\nwho = "a"\nvia = "wearable"\nwhat = "sos"', "do[1]: needs exactly one of at, every, mean, between"),
        (CAST + '[[do]]\nwho = "b"\nvia = "wearable"\nwhat = "sos"\nat = 1', "nobody in the cast is called 'b'"),
        (CAST + '[[do]]\nwho = "a"\nvia = "phone"\nwhat = "answered"\nat = 1', "the part 'a' has no phone"),
        (CAST + '[[do]]\nwho = "a"\nvia = "wearable"\nwhat = "sos"\nat = 90', "after the end"),
        (CAST + '[[do]]\nwho = "a"\nvia = "wearable"\nwhat = "sos"\nat = 1\nexpect = "miracle"', "'miracle' is none of order"),
        ('[[do]]\nwho = "stranger"\nvia = "phone"\nwhat = "shouting"\nat = 1', "'shouting' is none of answered"),
        ('[[do]]\nwho = "stranger"\nvia = "phone"\nwhat = "busy"\nat = 1\nvoice = true', "only a home unit calls after its alarm"),
        ('[[fault]]\nwhat = "unplug"', "'' is neither panel nor buttons"),
        ('[[fault]]\nwhat = "flood"', "'flood' is none of"),
        ('[[behaviour]]\nmanner = "rude"', "'rude' is none of"),
        ('[[rule]]\nat = 1\nmatter = "weather"\nsubject = "x"\nreason = "y"', "rule[1].matter: 'weather' is none of lost"),
        ('[[rule]]\nat = 1\nmater = "lost"\nsubject = "x"\nreason = "y"', "rule[1].mater: unknown key. Did you mean matter?"),
        ('[[amend]]\nfile = "../persons.csv"\nset = {}', "amend[1].file: '../persons.csv' is no table of a district"),
        ('clock = "midnight"', "clock: 'midnight' is not like 23:59:30"),
        (CAST + '[[do]]\nwho = "a"\nvia = "desk"\nwhat = "sing"\nat = 1', "'sing' is none of complain"),
        (CAST + '[[do]]\nwho = "a"\nvia = "wearable"\nwhat = "sos"\nat = 1\nexpect = "seen"', 'expect = "seen" goes with a table `see`'),
        (CAST + '[[do]]\nwho = "a"\nvia = "wearable"\nwhat = "sos"\nat = 1\nexpect = "refused"', 'expect = "refused" with a `reason`'),
        (CAST + '[[do]]\nwho = "a"\nvia = "wearable"\nwhat = "sos"\nat = 1\nexpect = "seen"\nsee = { rul = "city" }', "do[1].see.rul: unknown key"),
        ('seconds = "long"', "seconds"),
        ("seconds = ", "not TOML"),
    ],
)
def test_faults_name_file_key_and_remedy(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as error:
        load(text, tmp_path)
    assert said in str(error.value)
    assert str(error.value).startswith("scenario.toml: ")


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as error:
        load('sed = 1\n[expect]\nwonder = true\n[[behaviour]]\nmaner = "silent"', tmp_path)
    assert len(error.value.faults) == 3


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(ScenarioError, match="evening_in_honggu"):
        find_scenario("morning")


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("17400000060", "+8617400000060"),
        ("0931-8412345", "+869318412345"),
        ("0931-0000999", ""),
        ("+86 138 9311 2345", "+8613893112345"),
        ("120", ""),
    ],
)
def test_numbers_of_the_register(number: str, expected: str) -> None:
    assert e164(number) == expected


def test_too_few_people_is_said(district: Path) -> None:  # noqa: F811
    scenario = load(CAST + 'count = 9\n[[do]]\nwho = "a"\nvia = "wearable"\nwhat = "sos"\nat = 1', district)
    with pytest.raises(ScenarioError, match=r"has 4 with wearable, 9 are needed|has 3 with wearable, 9 are needed"):
        make_plan(scenario, read_district(district), seed=1)
