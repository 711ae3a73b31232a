"""The capacity model and the simulated day: known formulas of queues, what must grow with what, and the command."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import msgspec
import numpy
import pytest

from gateway.capacity.costs import Curve, measured
from gateway.capacity.day import MINUTES, STORM_BEGINS, Service, day, serve
from gateway.capacity.load import HOURS, Load
from gateway.capacity.model import FULL, MAX_MIB, PARTS, cluster_use, messages, needs, times
from gateway.cli import main
from gateway.config.bus import BusConfig

COSTS = measured()
DISTRICT = Load(elders=20_000, heartbeats_h=100_000, alarms_day=200, storm_min=60, calls_day=300, consoles=12)


# --- costs ------------------------------------------------------------------------------------------------------------


def test_the_table_says_when_where_and_how_to_measure_again() -> None:
    for one in (COSTS.machine, COSTS.cluster):
        assert one.measured_on.startswith("20")
        assert "core" in one.on
        assert one.again.startswith("python bench/capacity.py ")


@pytest.mark.parametrize("part", PARTS)
def test_curves_go_from_slow_to_fast(part: str) -> None:
    for curve in (getattr(COSTS.cluster, part).heartbeat, getattr(COSTS.cluster, part).alarm, COSTS.machine.gateway.alarm):
        rates = [rate for rate, _ in curve.points]
        assert rates == sorted(rates)
        assert len(rates) >= 2
        shares = [curve.share(rate) for rate in (1, 5, 20, 100, 400, 1000, 3000, 10_000, 100_000)]
        assert shares == sorted(shares), "more never costs less in all"


def test_between_two_points_a_cost_lies_between_them() -> None:
    curve = Curve(points=((10.0, 400.0), (1000.0, 100.0)), more_us=20.0)
    assert curve.share(1.0) * 1e6 == pytest.approx(400)
    assert curve.share(10.0) * 1e6 == pytest.approx(10 * 400)
    assert curve.share(100.0) * 1e6 == pytest.approx(100 * 200)  # the middle of the logarithms
    assert curve.share(1000.0) * 1e6 == pytest.approx(1000 * 100)
    assert curve.share(3000.0) * 1e6 == pytest.approx(1000 * 100 + 2000 * 20)


# --- model ------------------------------------------------------------------------------------------------------------


def test_a_district_fits_on_one_machine_and_a_province_does_not() -> None:
    assert needs(DISTRICT, COSTS).is_enough
    assert not needs(Load(), COSTS).is_enough


@pytest.mark.parametrize("factor", [0.1, 1, 3, 8])
def test_no_process_is_fuller_than_it_may_be(factor: float) -> None:
    found = needs(times(Load(), factor), COSTS)
    assert {need.part: need.busy for need in found.parts if need.busy > FULL} == {}
    assert [need.part for need in found.parts] == list(PARTS)
    assert found.first.carries == min(need.carries for need in found.parts)


def test_more_of_anything_never_wants_less() -> None:
    before = needs(Load(), COSTS)
    for name in ("elders", "heartbeats_h", "alarms_day", "storm_min", "consoles", "calls_day"):
        after = needs(msgspec.structs.replace(Load(), **{name: getattr(Load(), name) * 3}), COSTS)
        for was, now in zip(before.parts, after.parts, strict=True):
            assert now.processes >= was.processes, (name, was.part)
            assert now.cpu >= was.cpu * 0.999 or now.processes > was.processes, (name, was.part)
        assert after.cores >= before.cores
    assert needs(Load(elders=8_000_000), COSTS).part("edge").memory_bytes > 1.8 * before.part("edge").memory_bytes


def test_a_core_may_die() -> None:
    for need in needs(Load(), COSTS).parts:
        if need.part in ("core", "console", "bus"):
            assert need.spare == 1


def test_groups_are_divided_among_the_shards() -> None:
    one = msgspec.structs.replace(Load(), shards=1)
    assert messages(one, 1, 1000.0, 0.0) == pytest.approx(1000 / 6)  # 5 ms at 1,000/s: six in a group
    assert messages(one, 1, 1000.0, 0.0) < messages(Load(shards=8), 1, 1000.0, 0.0) < 1000
    assert messages(Load(shards=256), 1, 10.0, 0.0) <= 10.1


def test_idle_processes_take_what_was_measured() -> None:
    quiet = Load(calls_day=0, consoles=0, open_incidents=1)
    use = cluster_use(COSTS, quiet, 2, 2, 1, 0.0, 0.0)
    assert use["edge"] == pytest.approx(COSTS.cluster.edge.idle_us_per_s / 1e6)


def test_the_bound_of_the_streams_is_the_configurations() -> None:
    assert BusConfig().max_mib == MAX_MIB
    assert BusConfig().shards == Load().shards


# --- the day ----------------------------------------------------------------------------------------------------------


def served(arrivals: list[float], cries: list[int], service: Service, **how: float) -> list[float]:
    is_alarm = numpy.zeros(len(arrivals), dtype=bool)
    is_alarm[cries] = True
    _, done = serve(numpy.array(arrivals), is_alarm, service, **how)  # type: ignore[arg-type]
    return [round(float(at), 6) for at in done]


SERVICE = Service(group=0.002, beat=0.001, alarm=0.001)


def test_what_waits_is_taken_together() -> None:
    assert served([0.0, 0.001, 0.002, 0.010], [], SERVICE) == [0.003, 0.007, 0.007, 0.013]
    assert served([0.0, 0.001, 0.002], [], SERVICE, limit=1) == [0.003, 0.006, 0.009]


def test_signs_of_life_wait_for_each_other_and_go_with_a_cry() -> None:
    assert served([0.0, 0.001, 0.010], [], SERVICE, linger_s=0.005) == [0.009, 0.009, 0.018]
    assert served([0.0, 0.001, 0.010], [1], SERVICE, linger_s=0.005) == [0.005, 0.005, 0.018]


def test_one_by_one_it_is_the_queue_of_the_textbook() -> None:
    """M/D/1: the mean wait is rho s / 2 (1 - rho) (Pollaczek and Khinchine)."""
    chance, busy, takes = numpy.random.default_rng(7), 0.6, 0.001
    arrivals = numpy.cumsum(chance.exponential(takes / busy, 200_000))
    began, _ = serve(arrivals, numpy.zeros(len(arrivals), dtype=bool), Service(beat=takes), limit=1)
    assert float((began - arrivals).mean()) == pytest.approx(busy * takes / (2 * (1 - busy)), rel=0.05)


def test_a_day_is_the_same_each_time() -> None:
    load = times(Load(), 0.05)
    found = needs(load, COSTS)
    first, again = day(load, found, COSTS), day(load, found, COSTS)
    assert first == again
    assert all(len(shares) == MINUTES for shares in first.shares.values())
    storm = load.storm_at * 60 + STORM_BEGINS
    assert first.shares["core"][storm] > first.shares["core"][storm - 1]
    assert first.calm.order[0] > first.calm.receipt[0] > 2.0  # at least the way to two servers


def test_processes_that_are_too_few_fall_behind() -> None:
    found = needs(Load(), COSTS)
    load = msgspec.structs.replace(times(Load(), 0.05), storm_min=60_000)
    played = day(load, found, COSTS)
    assert played.behind_s["core"] > 0
    assert played.storm.order[1] > 10 * played.calm.order[1]


def test_alarms_follow_the_hours() -> None:
    assert sum(Load().alarms_s(hour) for hour in range(HOURS)) * 3600 == pytest.approx(Load().alarms_day)
    assert Load().alarms_s(8) > 2 * Load().alarms_s(3)


# --- the command ------------------------------------------------------------------------------------------------------


def test_a_file_and_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "district.toml"
    file.write_text("elders = 20_000\nheartbeats_h = 100_000\nalarms_day = 200\nstorm_min = 60\ncalls_day = 300\nconsoles = 12\n")
    assert main(["capacity", str(file)]) == 0
    assert "One machine with one process is enough" in capsys.readouterr().out
    assert main(["capacity", str(file), "--set", "elders=4_000_000"]) == 0
    said = capsys.readouterr().out
    assert "4,000,000 elders" in said
    assert "One machine with one process is not enough" in said


def test_for_programs_and_as_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "day.svg"
    small = [word for key in ("heartbeats_h=1000000", "alarms_day=2000", "storm_min=100") for word in ("--set", key)]
    assert main(["capacity", *small, "--json", "--plot", str(picture)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["full_first"] in PARTS
    assert set(told["day"]["shares"]) == set(PARTS)
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
    assert main(["capacity", *small, "--day"]) == 0
    assert "order leaves" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--set", "elder=5"], "did you mean elders?"),
        (["--set", "elders=many"], "is no number"),
        (["--set", "elders=0"], "write how many persons"),
        (["--set", "shards=0"], "shards"),
        (["nowhere.toml"], "nowhere.toml: cannot be read"),
        (["--plot", "/nowhere/at/all.svg", "--set", "heartbeats_h=0"], "cannot be written"),
    ],
)
def test_what_cannot_be_used_is_told(given: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["capacity", *given]) == 2
    assert told in capsys.readouterr().err
