"""Devices on networks in a scenario: who of the register has one, a street that falls silent, and judges that are not fooled."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from servers import Mosquitto, mosquitto, until  # noqa: F401

from simulators.cli import main
from simulators.district import Member, read_district
from simulators.expectations import Pending, World, judge
from simulators.mqtt_link import BrokerAddress, Client
from simulators.neighbourhood import CRIES, PORTS, Neighbourhood
from simulators.operator import Habits, Operator
from simulators.scenario import Scenario, find_scenario, load_scenario
from simulators.stations import Order
from simulators.witnesses import MissingTarget, Targets, check_targets

HONGGU = Path(__file__).parents[2] / "config/districts/honggu"


def test_honggu_has_devices_of_every_family() -> None:
    district = read_district(HONGGU)
    assert {means: len(models) for means, models in district.models.items()} == {
        "ip_panel": 12, "watch": 16, "terminal": 12, "zigbee": 12, "hub": 1, "street_pendant": 12,
    }  # fmt: skip
    assert [device for device, model in district.models["ip_panel"].items() if model.endswith("AES")] == ["7101:001"]
    alone = [member for member in district.members if member.watch and member.wearable]
    assert len(alone) == 4
    assert not any(member.wearable in district.models["street_pendant"] for member in district.members)
    owners = [member for member in district.members if any(member.has(means) for means in CRIES if means != "hub")]
    assert len(owners) == 12 * 4 + 4
    assert all(member.person for member in owners)


def test_the_ports_that_are_missing_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evening = load_scenario(find_scenario("evening_in_honggu"))
    given = Targets(HONGGU, "mqtt://127.0.0.1:1", None, tmp_path, None, ami_port=1, sip=None, ports={"watches": 1})
    with pytest.raises(MissingTarget, match="--port alarm-panels=PORT, --port terminals=PORT") as missing:
        check_targets(evening, given)
    assert "watches" not in str(missing.value)
    assert main(["silent_station", "--port", "doors=1"]) == 2
    assert "lines are alarm-panels, watches, terminals" in capsys.readouterr().err


async def test_a_street_gateway_stands_still_with_all_behind_it(mosquitto: Mosquitto) -> None:  # noqa: F811
    street = Neighbourhood(read_district(HONGGU), {"hub"}, BrokerAddress("127.0.0.1", mosquitto.port), {})
    heard: list[str] = []

    async def listen() -> None:
        async with Client("127.0.0.1", mosquitto.port) as client:
            await client.subscribe("wearables/+/event")
            async for message in client.messages:
                heard.append(str(message.topic).split("/")[1])

    tasks = [asyncio.create_task(part) for part in (listen(), street.run())]
    try:
        await until(lambda: len(set(heard)) == 13, "the gateway and twelve pendants")
        assert street.is_ready
        assert street.street is not None
        gateway = street.street.ecosystem
        assert street.act("hub", "gw-hualong", "falls_silent") == "gw-hualong"
        assert [gateway.routine(device, 0) for device in ("gw-hualong", "hualong-01")] == [[], []]
        street.act("hub", "gw-hualong", "returns")
        heard.clear()
        await until(lambda: len(set(heard)) == 13, "all of them again")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# --- the judges ------------------------------------------------------------------------------------------------------


class Console:
    """What an operator sees, written by hand."""

    def __init__(self, **details: dict[str, Any]) -> None:
        self.details = details
        self.rows = {name: {"id": name, "name": "王某", **detail["row"]} for name, detail in details.items()}
        self.first_seen = dict.fromkeys(details, 10.0)

    async def detail(self, incident: str) -> dict[str, Any]:
        return self.details[incident]


def seen(*orders: Order, **details: dict[str, Any]) -> World:
    return World(SimpleNamespace(orders=orders), Console(**details), {})  # type: ignore[arg-type]


def pending(rule: str, device: str, lacks: str = "") -> Pending:
    member = Member("p-1", "王某")
    return Pending("x", rule, "hub", "x", member, device, 1000, False, 5.0, 1e12, 5.0, lacks=lambda: lacks)


async def verdict(world: World, one: Pending) -> str:
    await judge(one, world)
    return one.state


def outage(path: str, count: int, kinds: Iterable[str] = ("offline",)) -> dict[str, Any]:
    return {"row": {"kind": "offline"}, "affected": {"path": path, "count": count}, "timeline": [{"kind": kind} for kind in kinds]}


async def test_an_outage_is_one_incident_of_that_gateway_with_a_list() -> None:
    assert await verdict(seen(i1=outage("wearables|gw-a", 12)), pending("out", "gw-a")) == "held"
    for other in (outage("wearables|gw-b", 12), outage("wearables|gw-a", 1), {"row": {"kind": "offline"}, "affected": None}):
        assert await verdict(seen(i1=other), pending("out", "gw-a")) == "waiting"
    early = pending("out", "gw-a")
    early.sent = 11.0  # the console had it before anything fell silent
    assert await verdict(seen(i1=outage("wearables|gw-a", 12)), early) == "waiting"


async def test_its_end_is_told_in_the_same_incident() -> None:
    world = seen(i1=outage("wearables|gw-a", 12), i2=outage("wearables|gw-b", 12, ("offline", "online")))
    assert await verdict(world, pending("back", "gw-a")) == "waiting"  # nobody saw that it was out
    assert await verdict(world, pending("out", "gw-a")) == "held"
    assert await verdict(world, pending("back", "gw-a")) == "waiting"
    world.operator.details["i1"]["timeline"].append({"kind": "online"})  # type: ignore[union-attr]
    world._details.clear()
    assert await verdict(world, pending("back", "gw-a")) == "held"


@pytest.mark.parametrize(
    ("telling", "lacks", "expected"),
    [
        ({"word": "coming", "state": "told"}, "", "held"),
        ({"word": "coming", "state": "failed"}, "", "waiting"),
        ({"word": "taken", "state": "told"}, "", "waiting"),
        ({"word": "coming", "state": "told"}, "the watch was told nothing", "waiting"),
    ],
)
async def test_told_is_what_console_and_watch_both_say(telling: dict[str, str], lacks: str, expected: str) -> None:
    order = Order("s-1", "d", "i1", "sos", "88", 2000, 0, "p-1", "critical", None, 6.0)
    world = seen(order, i1={"row": {"kind": "sos"}, "tellings": [telling]})
    assert await verdict(world, pending("told", "88", lacks)) == expected


@pytest.mark.parametrize(
    ("person", "states", "expected"),
    [
        ("p-1", ["done", "done"], "held"),
        ("p-1", ["done", "later"], "waiting"),
        ("p-1", ["skipped", "done"], "waiting"),
        ("p-1", [], "waiting"),
        ("p-2", ["done", "done"], "waiting"),
    ],
)
async def test_a_ladder_is_climbed_when_every_step_was_taken_for_this_person(person: str, states: list[str], expected: str) -> None:
    ladder = {"steps": [{"step": "x", "state": state} for state in states]}
    detail = {"row": {"kind": "missed_checkin"}, "incident": {"id": "i1"}, "person": {"id": person}, "watch": {"ladder": ladder}}
    assert await verdict(seen(i1=detail), pending("ladder", "w-1")) == expected


# --- the operator ----------------------------------------------------------------------------------------------------


def test_an_outage_is_resolved_when_the_devices_are_back() -> None:
    operator = Operator("http://127.0.0.1:1", Habits())
    row: dict[str, Any] = {"id": "i", "kind": "offline", "state": "acknowledged", "leg": None, "flags": []}
    assert operator._next_step(row) is None
    assert operator._next_step(row | {"flags": ["ended"]}) == "resolve"
    assert operator._next_step(row | {"kind": "low_battery"}) == "resolve"


def test_a_missed_check_in_is_left_to_the_ladder_until_somebody_takes_it() -> None:
    operator = Operator("http://127.0.0.1:1", Habits(lets_climb=8))
    operator.rows["i"] = {"kind": "missed_checkin", "state": "raised"}
    operator.rows["j"] = {"kind": "missed_checkin", "state": "acknowledged"}
    operator.rows["k"] = {"kind": "sos", "state": "raised"}
    assert [operator._is_left_alone(incident) for incident in "ijk"] == [True, False, False]
    operator.habits = Habits()
    assert not operator._is_left_alone("i")


def test_every_cry_of_a_family_can_be_played() -> None:
    evening: Scenario = load_scenario(find_scenario("evening_in_honggu"))
    assert CRIES.keys() <= {do.via for do in evening.do}
    assert PORTS.keys() <= CRIES.keys()
