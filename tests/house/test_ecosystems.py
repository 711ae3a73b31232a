"""Devices that people own, on a whole gateway: a press is one entry of one incident, and what a broker kept or a device says again is none."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mapped_house import MappedHouse
from servers import until

from simulators.ecosystems import ECOSYSTEMS
from simulators.ecosystems.bridge import Bridge
from simulators.ecosystems.chirpstack import ChirpStack
from simulators.ecosystems.g616 import G616
from simulators.ecosystems.judge import judge_console, judge_orders
from simulators.ecosystems.owntracks import OwnTracks
from simulators.ecosystems.said import Ecosystem
from simulators.ecosystems.zigbee2mqtt import Zigbee2Mqtt
from simulators.stations import Behaviour, Stations


@contextlib.asynccontextmanager
async def playing(house: MappedHouse, *bridges: Bridge) -> AsyncIterator[Stations]:
    """The gateway is ready, its stations listen, the bridges are connected."""
    stations = Stations(house.address, choose=lambda _order, _before: Behaviour("silent"))
    async with house:
        house.start()
        await house.ready()
        await house.lines_live("mapped", "station-replies")
        tasks = [asyncio.create_task(part.run()) for part in (stations, *bridges)]
        try:
            await until(lambda: stations.ready.is_set() and all(bridge.link.up.is_set() for bridge in bridges), "the witnesses stand")
            yield stations
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def judged(house: MappedHouse, stations: Stations, *bridges: Bridge) -> list[str]:
    """Wait until the witnesses agree with the console, then once more until whatever else was said has been read. Gives what is wrong."""
    presses = [press for bridge in bridges for press in bridge.presses]
    said: list[str] = ["nothing was looked at"]

    async def agree() -> bool:
        said[:] = judge_orders(presses, stations.orders) + judge_console(presses, house.persons(), await house.details())
        return not said

    with contextlib.suppress(AssertionError):
        await house.sees(agree, "presses and incidents agree")
    return said


async def quiet(house: MappedHouse, *bridges: Bridge) -> None:
    """Wait until the bridges have said everything and the gateway has read it: what its line took does not grow any more."""
    await until(lambda: all(bridge.is_done for bridge in bridges), "everything is said")
    before = -1.0
    while (now := await house.metric("gateway_events_total", line="mapped")) != before:
        before = now
        await asyncio.sleep(0.3)


async def play_family(house: MappedHouse, *ecosystems: Ecosystem) -> list[str]:
    """Chatter, one press of each device, chatter, a restart of the bridge, of the gateway, chatter. Gives what is wrong."""
    bridges = [Bridge(ecosystem, house.address, f"{ecosystem.name}-{number}") for number, ecosystem in enumerate(ecosystems)]

    def chatter(times: int) -> None:
        for _ in range(times):
            for bridge in bridges:
                bridge.chatter()

    async with playing(house, *bridges) as stations:
        chatter(3)
        await quiet(house, *bridges)
        for bridge in bridges:
            for device in bridge.ecosystem.devices:
                bridge.press(device, bridge.ecosystem.kinds(device)[-1])
        wrong = await judged(house, stations, *bridges)
        assert not wrong, wrong
        chatter(3)
        await quiet(house, *bridges)
        for bridge in bridges:
            bridge.cut()
            await until(lambda bridge=bridge: not bridge.link.up.is_set(), "the cable is pulled")  # type: ignore[misc]
            bridge.plug()
            await until(bridge.link.up.is_set, "it is back")
        chatter(1)
        await quiet(house, *bridges)
        house.kill()
        house.start()
        await house.ready()
        await house.lines_live("mapped")
        chatter(1)
        await quiet(house, *bridges)
        wrong = await judged(house, stations, *bridges)
        assert await house.unbalanced() == {}
        return wrong


class Family(NamedTuple):
    """What is played of one ecosystem. Those that are nodes by themselves have a connection each."""

    profile: str
    devices: Mapping[str, str]
    parameters: Mapping[str, str] = {}
    are_nodes: bool = False


FAMILIES = {
    "zigbee2mqtt": Family(
        "zigbee2mqtt",
        {
            "0x847127fffe0542eb": "TS0215A_sos",
            "floor 2/room 7/cord": "ZG-101Z",
            "keyfob": "SEB01ZB",
            "radar": "MIR-HE200-TY",
            "厨房漏水": "SJCGQ11LM",
        },
    ),
    "chirpstack": Family(
        "chirpstack", {"24e124535b000001": "WS101", "24e124535b000002": "WS101", "24e124535b000003": "VS373", "a84041ffff000001": "TrackerD"}
    ),
    "things_stack": Family("the-things-stack", {"a84041ffff000002": "LGT-92", "a84041ffff000003": "LGT-92"}),
    "tasmota": Family("tasmota", {"bedside": "button", "bathroom": "button"}, {"single": "help", "hold": "sos"}, are_nodes=True),
    "esphome": Family("esphome", {"cord-1": "pull_cord", "cord-2": "pull_cord"}, {"sos": "sos_cord"}, are_nodes=True),
    "shelly": Family("shelly", {"shellybutton1-a1": "gen1", "shellyplus1-a8032abc7158": "gen2"}, {"single": "help", "long": "sos"}, are_nodes=True),
    "theengs": Family("theengs", {"BC026EAABBCC": "SBBT-002C", "BC026EAABBCD": "SBBT-002C"}, {"single": "help", "long": "sos"}),
    "minew": Family("minew", {"10C005091CD5": "tag", "10C005091CD6": "tag"}, {"pressed_minor": "1"}),
    "g616": Family("g616", {"359710040000001": "G616", "359710040000002": "G616"}),
}


def house_of(name: str, folder: Path, **more: Any) -> MappedHouse:
    family = FAMILIES[name]
    parameters = {family.profile: family.parameters} if family.parameters else {}
    return MappedHouse(folder, (family.profile,), tuple(family.devices), parameters=parameters, **more)


def ecosystems_of(name: str) -> list[Any]:
    family, made = FAMILIES[name], ECOSYSTEMS[name]
    return [made({device: model}) for device, model in family.devices.items()] if family.are_nodes else [made(family.devices)]


@pytest.mark.parametrize("name", FAMILIES)
async def test_a_press_is_one_entry_of_one_incident_and_nothing_else_is_any(tmp_path: Path, name: str) -> None:
    house = house_of(name, tmp_path)
    assert await play_family(house, *ecosystems_of(name)) == []


@pytest.mark.parametrize("name", ["chirpstack", "theengs", "g616", "shelly"])
async def test_a_second_press_is_a_second_cry_of_the_same_incident(tmp_path: Path, name: str) -> None:
    """Also if the device has joined anew, and its frames count from 0 again; also if only the release was told between."""
    house = house_of(name, tmp_path)
    bridges = [Bridge(ecosystem, house.address, f"bridge-{number}") for number, ecosystem in enumerate(ecosystems_of(name))]
    async with playing(house, *bridges) as stations:
        for turn in range(3):
            for bridge in bridges:
                for device in bridge.ecosystem.devices:
                    if isinstance(bridge.ecosystem, ChirpStack) and turn == 2:
                        bridge.say(bridge.ecosystem.join(device, time.time()))
                    bridge.press(device, bridge.ecosystem.kinds(device)[-1])
            assert await judged(house, stations, *bridges) == []
            for bridge in bridges:
                if isinstance(bridge.ecosystem, G616):
                    for device in bridge.ecosystem.devices:
                        bridge.say(bridge.ecosystem.release(device))
                bridge.chatter()
            await quiet(house, *bridges)
        assert await judged(house, stations, *bridges) == []


@pytest.mark.parametrize("name", ["tasmota", "esphome"])
async def test_the_last_will_of_a_node_is_that_it_is_offline(tmp_path: Path, name: str) -> None:
    house = house_of(name, tmp_path)
    bridges = [Bridge(ecosystem, house.address, f"bridge-{number}") for number, ecosystem in enumerate(ecosystems_of(name))]
    (gone,) = bridges[0].ecosystem.devices
    async with playing(house, *bridges):
        await quiet(house, *bridges)
        bridges[0].cut()
        await until(lambda: [device for _, device, _ in house.told("offline")] == [gone], "it is offline")
        (_, _, incident) = house.told("offline")[0]
        house.kill()
        house.start()
        await house.ready()
        await house.lines_live("mapped")
        await quiet(house, *bridges[1:])
        assert house.told("offline") == [("offline", gone, incident)]  # the broker has kept the will, and an OFF that is no sign of life
        bridges[0].plug()
        await until(lambda: ("online", gone, incident) in house.told("online"), "it is back")
        assert len(house.told("offline")) == 1
        assert await house.unbalanced() == {}


async def test_a_bridge_that_dies_is_one_incident_with_a_list(tmp_path: Path) -> None:
    devices = {f"room-{number:02}/leak": "SJCGQ11LM" for number in range(25)}
    house = MappedHouse(tmp_path, ("zigbee2mqtt",), tuple(devices), hubs=("zigbee2mqtt",), via=tuple((device, "zigbee2mqtt") for device in devices))
    bridge = Bridge(Zigbee2Mqtt(devices), house.address)
    async with playing(house, bridge):
        await quiet(house, bridge)
        bridge.cut()
        await until(lambda: house.told("offline"), "the bridge is offline")
        ((_, device, incident),) = house.told("offline")
        assert device == "zigbee2mqtt"
        (shown,) = await house.details()
        assert shown["affected"]["count"] == len(devices)
        bridge.plug()
        await until(lambda: ("online", "zigbee2mqtt", incident) in house.told("online"), "and back")
        await quiet(house, bridge)
        assert len(house.told("offline")) == 1
        assert [device for _, device, one in house.told("online") if one] == ["zigbee2mqtt"]
        assert await house.unbalanced() == {}


async def test_a_button_that_presses_itself_with_a_dead_cell_is_a_cry_and_a_task(tmp_path: Path) -> None:
    """Nobody can know that nobody pressed; but the technician is told of the cell."""
    house = MappedHouse(tmp_path, ("zigbee2mqtt",), ("button",))
    ecosystem = Zigbee2Mqtt({"button": "TS0601_sos"}, caches=False)
    bridge = Bridge(ecosystem, house.address)
    async with playing(house, bridge) as stations:
        bridge.say(ecosystem.press_itself("button"))
        await until(lambda: stations.orders, "somebody is sent")
        await quiet(house, bridge)
        assert [device for _, device, _ in house.told("sos")] == ["button"]
        assert {device for _, device, _ in house.told("low_battery")} == {"button"}
        assert len(stations.orders) == 1


async def test_phones_that_tell_hours_of_old_places_cry_for_nothing(tmp_path: Path) -> None:
    house = MappedHouse(tmp_path, ("owntracks",), ("jane/phone",))
    ecosystem = OwnTracks({"jane/phone": "phone"})
    bridge = Bridge(ecosystem, house.address)
    async with playing(house, bridge) as stations:
        bridge.say(ecosystem.burst("jane/phone", 6, time.time()))
        bridge.say(ecosystem.press("jane/phone", "", time.time()))
        bridge.chatter()
        await quiet(house, bridge)
        bridge.cut()
        await until(lambda: house.told("offline"), "its last will")
        bridge.plug()
        await until(bridge.link.up.is_set, "back")
        bridge.chatter()
        await until(lambda: [one for one in house.told("online") if one[2]], "and its end")
        assert await judged(house, stations, bridge) == []
        assert [detail["incident"]["kind"] for detail in await house.details()] == ["offline"]
        assert await house.unbalanced() == {}
