"""Whole runs on a real broker, where a small echo stands in for the gateway: what holds, what fails, and the exit codes."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from servers import Mosquitto, mosquitto, until  # noqa: F401
from waiting import WAIT_S

from simulators.cli import main, parser, play, targets_of
from simulators.mqtt_link import BrokerAddress
from simulators.runner import MissingTarget, Targets, run_scenario
from simulators.scenario import Behaves, Cast, Do, Expect, Fault, Scenario
from simulators.stations import Behaviour, Order, Stations
from simulators.wearables import Fleet
from tests.simulators.stand_in import EchoGateway, PagingStation, district  # noqa: F401

WEARABLE = Cast(name="a", has=("wearable",))
QUICK = {"answer_after": (0.0, 0.05), "travel": (0.0, 0.05), "work": (0.0, 0.05)}


@contextlib.asynccontextmanager
async def background(*parts: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def echo(mosquitto: Mosquitto) -> AsyncIterator[EchoGateway]:  # noqa: F811
    gateway = EchoGateway(mosquitto.port, silent_s=1.5)
    async with background(gateway.run()):
        await until(gateway.ready.is_set, "the echo listens")
        yield gateway


def cry(at: float, expect: str, what: str = "sos", **more: Any) -> Do:
    return Do(who="a", via="wearable", what=what, at=at, expect=expect, **{"within": 20, **more})


async def test_fleet_and_stations(mosquitto: Mosquitto, echo: EchoGateway) -> None:  # noqa: F811
    broker = BrokerAddress.parse(mosquitto.url)
    fleet = Fleet(broker)
    quick = Behaviour("helpful", (0, 0.01), (0, 0.01), (0, 0.01))

    def choose(order: Order, before: int) -> Behaviour:
        return quick if order.device == "w-1" else Behaviour("declines", (0, 0.01))

    stations = Stations(broker, choose=choose)
    async with background(fleet.run(), stations.run()):
        await until(stations.ready.is_set, "subscribed")
        first, second = fleet.send("w-1", "sos", lat=36.3, lon=102.8, copies=3), fleet.send("w-2", "fall")
        lost, beat = fleet.send("w-3", "sos", lost=True), fleet.send("w-3", "heartbeat")
        await until(lambda: first.confirmed and second.confirmed and beat.confirmed, "PUBACKs")
        await until(lambda: [reply["answer"] for reply in echo.replies if reply["delivery"] == "d-w-1"][-1:] == ["done"], "all answers of w-1")
        await until(lambda: [reply["answer"] for reply in echo.replies if reply["delivery"] == "d-w-2"] == ["decline"], "w-2 is declined")
        assert [reply["answer"] for reply in echo.replies if reply["delivery"] == "d-w-1"] == ["accept", "en_route", "arrived", "done"]
        assert (fleet.sent, fleet.lost, fleet.duplicates, first.tries) == (3, 1, 2, 3)
        assert lost.confirmed is None
        assert {(order.device, order.ts) for order in stations.orders} == {("w-1", first.ts), ("w-2", second.ts)}
        again = fleet.send("w-1", "sos")
        await until(lambda: stations.counts.repeats == 1, "the second cry")
        assert (stations.orders[-1].delivery, stations.orders[-1].repeat, stations.orders[-1].ts) == ("d-w-1", 1, again.ts)
        assert stations.counts.orders == 2


async def test_duplicates_withdrawals_and_nonsense_are_counted() -> None:
    stations = Stations(BrokerAddress("127.0.0.1", 1), choose=lambda order, before: Behaviour("silent"))
    order = json.dumps({"delivery": "d", "incident": "i", "kind": "sos", "device": "w", "ts": 1, "repeat": 0, "person": {"id": "p"}}).encode()
    for payload in (
        order,
        order,
        b"{",
        b'{"delivery":"x"}',
        b'{"delivery":"d","incident":"i","withdrawn":true}',
        b'{"delivery":"d","taken_by":"s-2"}',
    ):
        stations.receive("stations/s-1/dispatch", payload)
    await asyncio.sleep(0)
    counts = stations.counts
    assert (counts.orders, counts.duplicates, counts.unreadable, counts.withdrawn, counts.taken_by_other) == (1, 1, 2, 1, 1)
    assert counts.per_responder == {"s-1": 1}


async def test_unconfirmed_messages_survive_a_broker_restart(mosquitto: Mosquitto) -> None:  # noqa: F811
    fleet = Fleet(BrokerAddress.parse(mosquitto.url), connections=1)
    async with background(fleet.run()):
        before = fleet.send("w-1", "sos")
        await until(lambda: before.confirmed, "confirmed")
        await mosquitto.stop()
        meanwhile = [fleet.send(f"w-{number}", "sos") for number in range(5)]
        await mosquitto.start()
        await until(lambda: all(message.confirmed for message in meanwhile), "all confirmed after the restart")
        assert fleet.outages == 1


async def test_expectations_hold(mosquitto: Mosquitto, echo: EchoGateway, district: Path) -> None:  # noqa: F811
    scenario = Scenario(
        name="all kinds",
        seconds=4,
        cast=(WEARABLE, Cast(name="b", has=("wearable",)), Cast(name="c", has=("wearable",))),
        do=(
            cry(0.1, "order"),
            cry(0.6, "repeat"),
            Do(who="b", via="wearable", what="fall", at=0.2, expect="once", within=1.5, copies=3),
            Do(who="b", via="wearable", what="sos", at=0.3, expect="nothing", within=0.3, lost=True),
            Do(who="c", via="wearable", what="sos", at=0.2, expect="escalated", within=20),
            Do(who="c", via="wearable", what="low_battery", at=0.3, expect="incident"),
        ),
        behaviour=(Behaves(who="c", nth=1, manner="silent"), Behaves(**QUICK)),
    )
    told: list[dict[str, Any]] = []
    report = await run_scenario(scenario, Targets(district, mosquitto.url), told.append)
    assert report.held, report.to_text()
    assert report.counts() == {"held": 7, "not_checked": 1}
    assert report.sources["wearables"]["sent"] == report.sources["wearables"]["confirmed"] == 5
    assert report.sources["wearables"] | {"never_sent": 1, "copies": 2} == report.sources["wearables"]
    assert report.stations["per_responder"] == {"s-1": 3, "centre": 1}
    assert report.latency_ms["wearable"]["n"] == 4
    assert report.latency_ms["wearable"]["p50"] > 0
    assert told
    assert told[0]["expectations"]["failed"] == 0
    assert "every expectation held" in report.to_text()
    assert json.loads(report.to_json())["held"] is True


async def test_what_does_not_come_is_named(mosquitto: Mosquitto, district: Path) -> None:  # noqa: F811
    gateway = EchoGateway(mosquitto.port, deaf_to="w-1")
    people = tuple(Cast(name=name, has=("wearable",), person=person) for name, person in (("a", "p1"), ("b", "p2")))
    scenario = Scenario(
        name="deaf",
        seconds=3,
        cast=people,
        do=(cry(0.1, "order", within=0.5), Do(who="b", via="wearable", what="sos", at=0.1, expect="repeat", within=0.5)),
    )
    async with background(gateway.run()):
        report = await run_scenario(scenario, Targets(district, mosquitto.url))
    assert not report.held
    failed = {judged.label.split()[0]: judged.reason for judged in report.expectations if judged.state == "failed"}
    assert failed["a"] == "nothing within 0.5 s"
    assert "no earlier order" in failed["b"]
    assert "✗ order" in report.to_text()


async def test_panel_and_broker_faults_by_hooks(mosquitto: Mosquitto, district: Path, tmp_path: Path) -> None:  # noqa: F811
    scenario = Scenario(
        name="faults",
        seconds=5,
        cast=(WEARABLE, Cast(name="room", has=("panel",))),
        do=(cry(2.0, "", "low_battery"), Do(who="room", via="panel", what="call", at=0.2), Do(who="room", via="panel", what="call", at=1.0)),
        fault=(Fault(what="broker_restart", at=0.3, lasts=0.2), Fault(what="unplug", line="panel", at=0.6, lasts=0.6)),
        expect=Expect(outages=1),
    )
    targets = Targets(district, mosquitto.url, serial_dir=tmp_path / "serial", stop_broker=mosquitto.stop, start_broker=mosquitto.start)
    stations: list[PagingStation] = []

    async def keep_station() -> None:
        while True:
            link = tmp_path / "serial" / "panel0"
            if link.exists() and (not stations or stations[-1].gone(link)):
                stations.append(PagingStation(link))
            await asyncio.sleep(0.01)

    async with background(keep_station()):
        report = await run_scenario(scenario, targets)
    assert report.held, report.to_text()
    assert report.sources["panel"]["confirmed"] == 2
    assert len(stations) == 2
    for station in stations:
        station.close()


async def test_without_an_end_it_goes_round_with_other_people_until_stopped(mosquitto: Mosquitto, echo: EchoGateway, district: Path) -> None:  # noqa: F811
    scenario = Scenario(name="round", seconds=0.6, endless=True, cast=(WEARABLE,), do=(cry(0.1, "order"),), behaviour=(Behaves(**QUICK),))
    stop = asyncio.Event()
    seen: list[int] = []

    def enough(progress: dict[str, Any]) -> None:
        seen.append(progress["stations"]["orders"])
        if progress["expectations"]["held"] >= 2:
            stop.set()

    async with asyncio.timeout(WAIT_S):
        report = await run_scenario(scenario, Targets(district, mosquitto.url), enough, stop=stop)
    assert report.held, report.to_text()
    assert report.stations["orders"] >= 2
    assert len({judged.label.split()[-1] for judged in report.expectations if judged.rule == "order"}) >= 2


async def test_a_longer_time_is_several_rounds(mosquitto: Mosquitto, echo: EchoGateway, district: Path) -> None:  # noqa: F811
    scenario = Scenario(name="round", seconds=0.7, endless=True, cast=(WEARABLE,), do=(cry(0.1, "order"),), behaviour=(Behaves(**QUICK),))
    report = await run_scenario(scenario, Targets(district, mosquitto.url), seconds=1.5)
    assert report.held, report.to_text()
    assert report.sources["wearables"]["alarms"] == 2


async def test_missing_targets_are_named_before_anything_is_sent(district: Path) -> None:  # noqa: F811
    scenario = Scenario(name="x", do=(Do(who="stranger", via="phone", what="busy", at=1), Do(who="r", via="panel", what="call", at=1)))
    with pytest.raises(MissingTarget, match=r"--broker.*--hep.*--serial-dir"):
        await run_scenario(scenario, Targets(district))


async def test_command_prints_progress_and_writes_the_report(
    mosquitto: Mosquitto,  # noqa: F811
    echo: EchoGateway,
    district: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "report.json"
    options = parser().parse_args(
        ["x", "--broker", mosquitto.url, "--district", str(district), "--report", str(file), "--progress", "json", "--hep", "127.0.0.1:9"]
    )
    scenario = Scenario(name="short", seconds=2, cast=(WEARABLE,), do=(cry(0.1, "order"),), behaviour=(Behaves(**QUICK),))
    assert await play(scenario, targets_of(options), options) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["done"] is True
    assert "every expectation held" in lines[-1]["text"]
    assert lines[-1]["report"]["counts"]["held"] == 3
    assert json.loads(file.read_text())["held"] is True


@pytest.mark.parametrize(
    "arguments", [["morning"], ["evening_in_honggu"], ["evening_in_honggu", "--hep", "here"], ["evening_in_honggu", "--broker", "x"]]
)
def test_wrong_use_is_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert "silent_station" in capsys.readouterr().out
