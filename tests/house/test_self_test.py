"""The self-test on whole gateways: real broker, sockets and serial ports; what comes back, what is missed, and whom it never reaches."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from self_test_house import LISTENING, Cable, TestedHouse
from servers import Outsider, until

from gateway.app import House as Gateway
from gateway.cli import main
from gateway.errors import ConfigError
from gateway.register_files import read_all

WITHIN_S = 5.0  # what comes later is a fault: tenths of a second are usual, a machine that does five things at once is given time
SELDOM = f"every_s = {WITHIN_S}\nwithin_s = {WITHIN_S}\n"
HAS_RECEIPT = {"wearables", "station-replies", *LISTENING}


async def test_every_line_is_seen_back_and_nothing_else_knows_of_it(tmp_path: Path) -> None:
    cable = Cable(tmp_path)
    more = f"""
[[line]]
name = "corridor"
codec = "surgard"
listen = "serial:{cable.near}"
[[self_test.point]]
name = "corridor"
line = "corridor"
how = "wire"
port = "{cable.far}"
"""
    async with TestedHouse(tmp_path, lines=tuple(LISTENING), more=more, self_test=SELDOM + 'station = "self-test"') as house:
        stations = await Outsider(house.broker.port, "stations/+/dispatch").ready()
        house.start()
        await house.ready()
        wanted = {"wearables", "station-replies", "pbx", "corridor", *LISTENING}
        for name in wanted:
            row = await house.comes_to(name, "good")
            assert row["how"] == "wire", name
            assert set(row["stages"]) == {"connect", "committed", "station"} | ({"receipt"} if name in HAS_RECEIPT | {"corridor"} else set()), name
            assert 0 < row["seconds"] < WITHIN_S
        points = await house.points()
        assert {name: points[name]["why"] for name in ("panel", "buttons")} == {"panel": "serial", "buttons": "serial"}, "said honestly"
        # counted as received and accepted, and nothing else came of it
        await house.sees(lambda: _balanced(house), "the books balance")
        found = await house.metrics()
        for name in wanted:
            assert found[f'gateway_events_total{{line="{name}",outcome="accepted"}}'] >= 1
            assert found[f'gateway_self_test_up{{line="{name}",point="{name}"}}'] == 1
        assert await house.metric("gateway_self_test_seconds_count", line="receiver", stage="committed") >= 1
        assert await house.metric("gateway_strangers") == 0, "a test device is no stranger"
        assert await house.metric("gateway_orders_pending") == 0
        assert await house.incidents() == []
        levels = (await house.get("/api/v1/service-levels")).json()  # type: ignore[union-attr]
        assert not _counted(levels), "no call and no alarm was measured"
        ops = (await house.get("/api/v1/ops")).json()  # type: ignore[union-attr]
        assert (ops["self_test"]["state"], ops["senders"]) == ("good", [])
        assert {row["kind"] for row in house.journal()} == {"started"}, "the journal does not grow by probes"
        orders = [(topic, json.loads(body)) for topic, body in stations.received]
        assert orders
        assert all(topic == "stations/self-test/dispatch" and body["test"] is True for topic, body in orders), "no real station hears of it"
        stations.close()
    cable.close()


async def _balanced(house: TestedHouse) -> bool:
    return await house.unbalanced() == {}


def _counted(levels: Any) -> list[Any]:
    """Every count above zero, wherever it stands."""
    if isinstance(levels, dict):
        mine = [(key, value) for key, value in levels.items() if key in ("count", "offered", "answered", "lost", "measured", "n") and value]
        return mine + [one for value in levels.values() for one in _counted(value)]
    return [one for value in levels for one in _counted(value)] if isinstance(levels, list) else []


async def test_a_broker_that_stops_raises_an_incident_withholds_the_heartbeat_and_both_end(tmp_path: Path) -> None:
    async with TestedHouse(tmp_path) as house:
        house.start()
        await house.ready()
        await house.comes_to("wearables", "good")
        await house.sees(lambda: _beats(house), "the heartbeat is given")
        await house.broker.stop()
        row = await house.comes_to("wearables", "failing", "no_connection")
        assert row["in_a_row"] >= 2
        assert row["withholds"]

        async def raised() -> bool:
            return any(one["kind"] == "self_test_missed" and one["line"] == "self_test:wearables" for one in await house.incidents())

        await house.sees(raised, "an incident says so")
        (mine,) = [one for one in await house.incidents() if one.get("line") == "self_test:wearables"]
        assert (mine["severity"], mine["state"]) == ("major", "raised")
        before = await house.metric("gateway_heartbeats_withheld_total", reason="self_test")
        file = tmp_path / "data" / "alive"

        async def withheld() -> bool:
            return await house.metric("gateway_heartbeats_withheld_total", reason="self_test") >= before + 2

        await house.sees(withheld, "the heartbeat is withheld")
        silent = file.read_text()
        await house.broker.start()
        await house.comes_to("wearables", "good")

        async def ended() -> bool:
            return all("ended" in one["flags"] for one in await house.incidents() if one["kind"] == "self_test_missed")

        await house.sees(ended, "the incident has ended by itself")
        await until(lambda: file.read_text() != silent, "the heartbeat is given again")
        kinds = [(row["kind"], row["line"]) for row in house.journal() if row["line"] == "self_test:wearables"]
        assert kinds == [("self_test_missed", "self_test:wearables")] * 2, "the edges are journalled, not the probes"


async def _beats(house: TestedHouse) -> bool:
    return await house.metric("gateway_heartbeats_total", way="file", outcome="sent") > 0


async def test_a_gateway_that_is_deaf_at_its_topic_is_found_though_broker_and_line_are_well(tmp_path: Path) -> None:
    point = '[[self_test.point]]\nname = "wearables"\nline = "wearables"\ntopic = "wearables/$device/event"\n'
    async with TestedHouse(tmp_path, topics="wearable/+/event", more=point) as house:
        house.start()
        await house.ready()
        row = await house.comes_to("wearables", "failing", "not_seen")
        assert "receipt" in row["stages"], "the broker took it"
        assert await house.line("wearables") == "live", "nothing else complains"


async def test_a_cable_that_is_cut_is_found_and_a_path_raises_nothing_of_its_own(tmp_path: Path) -> None:
    cable = Cable(tmp_path)
    more = f"""
[[line]]
name = "corridor"
codec = "surgard"
listen = "serial:{cable.near}"
[[self_test.point]]
name = "corridor"
line = "corridor"
port = "{cable.far}"
withhold = false
"""
    async with TestedHouse(tmp_path, more=more) as house:
        house.start()
        await house.ready()
        await house.comes_to("corridor", "good")
        cable.cut()
        row = await house.comes_to("corridor", "failing", "not_taken")
        assert not row["withholds"], "asked not to"
        house.panel.unplug()
        await house.comes_to("panel", "failing", "line_down")
        lines = {one["line"] for one in await house.incidents()}
        assert "self_test:panel" not in lines, "the loss of its line is an incident already"
        assert "self_test:corridor" in lines
    cable.close()


async def test_killed_between_press_and_commit_it_raises_nothing_afterwards(tmp_path: Path) -> None:
    async with TestedHouse(tmp_path) as house:
        house.start()
        await house.ready()
        await house.comes_to("wearables", "good")
        house.kill()
        device = await Outsider(house.broker.port).ready()  # what the gateway had sent, and the broker has kept for it: even a cry for help
        await device.publish("wearables/self-test/event", *(json.dumps({"kind": "sos", "ts": _ms() + n}) for n in range(5)))
        await device.publish(f"wearables/{house.district.wearable(1)}/event", json.dumps({"kind": "sos", "ts": _ms()}))
        house.start()
        await house.ready()

        async def cried() -> bool:
            return any(one["kind"] == "sos" for one in await house.incidents())

        await house.sees(cried, "the real cry of the same minute is there")
        await house.comes_to("wearables", "good")
        assert [one["kind"] for one in await house.incidents()] == ["sos"], "one: of the person"
        await house.sees(lambda: _balanced(house), "the books balance")
        assert await house.metric("gateway_events_total", line="wearables", outcome="accepted") >= 6
        device.close()


def _ms() -> int:
    return time.time_ns() // 1_000_000


async def test_an_open_incident_of_it_goes_on_over_a_restart_and_ends(tmp_path: Path) -> None:
    point = '[[self_test.point]]\nname = "wearables"\nline = "wearables"\ntopic = "{topic}/$device/event"\n'
    async with TestedHouse(tmp_path, more=point.format(topic="nowhere")) as house:
        house.start()
        await house.ready()
        await house.comes_to("wearables", "failing", "not_seen")
        await house.sees(lambda: _has(house, 1), "an incident says so")
        await house.stop()
        house.more = point.format(topic="wearables")
        house.write_config()
        house.start()
        await house.ready()
        await house.sees(lambda: _has(house, 0), "it has ended")
        assert [row["kind"] for row in house.journal() if row["line"] == "self_test:wearables"] == ["self_test_missed"] * 2


async def _has(house: TestedHouse, count: int) -> bool:
    return sum(one["kind"] == "self_test_missed" and "ended" not in one["flags"] for one in await house.incidents()) == count


async def test_the_command_shows_each_stage_and_says_what_failed(tmp_path: Path) -> None:
    point = '[[self_test.point]]\nname = "deaf"\nline = "wearables"\ndevice = "deaf"\ntopic = "nowhere/$device"\nsentinel = true\nplace = "幸福里"\n'
    async with TestedHouse(tmp_path, lines=("receiver",), more=point, self_test='every_s = 3600\nwithin_s = 5.0\nstation = "self-test"') as house:
        house.start()
        await house.ready()
        good = await asyncio.to_thread(house.run, "self-test", "--line", "receiver", "--lang", "en")
        assert good.returncode == 0, good.stderr
        assert "receiver (receiver, surgard): works" in good.stdout
        assert [line.split()[0] for line in good.stdout.splitlines()[1:]] == ["connected", "receipt", "on", "at"]
        assert good.stdout.count(" ms") == 4
        bad = await asyncio.to_thread(house.run, "self-test", "--point", "deaf")
        assert bad.returncode == 1
        assert "deaf (wearables, generic · 幸福里): 漏检一次" in bad.stdout
        assert "途中已被接收，网关却没有见到" in bad.stdout
        path = await asyncio.to_thread(house.run, "self-test", "--line", "panel", "--lang", "en")
        assert "connection only" in path.stdout, "a path is not called more than it is"
        strange = await asyncio.to_thread(house.run, "self-test", "--line", "nothing")
        assert strange.returncode == 1
        assert "nothing to test of that name; lines: " in strange.stderr
        assert "receiver" in strange.stderr


async def test_off_nothing_is_sent_and_the_test_device_stays_one(tmp_path: Path) -> None:
    async with TestedHouse(tmp_path, self_test="enabled = false") as house:
        witness = await Outsider(house.broker.port, "wearables/+/event").ready()
        house.start()
        await house.ready()
        ops = (await house.get("/api/v1/ops")).json()  # type: ignore[union-attr]
        assert ops["self_test"]["state"] == "off"
        await witness.publish("wearables/self-test/event", json.dumps({"kind": "sos", "ts": _ms()}))

        async def taken() -> bool:
            return await house.metric("gateway_events_total", line="wearables", outcome="accepted") == 1

        await house.sees(taken, "it was taken")
        assert await house.incidents() == []
        assert len(witness.received) == 1, "only ours"
        witness.close()


@pytest.mark.parametrize(
    ("more", "self_test", "words"),
    [
        ('[[self_test.point]]\nname = "a"\nline = "wearables"\ndevice = "w-000001"\n', "", "is somebody's in the register"),
        ("", 'station = "station-1"', "is a real responder"),
        ('[[self_test.point]]\nname = "a"\nline = "panel"\nhow = "wire"\n', "", "a serial line needs a second port"),
        ('[[self_test.point]]\nname = "a"\nline = "wearables"\nframe = "$colour"\ndevice = "d"\n', "", "$colour is not known"),
        ('[[self_test.point]]\nname = "a"\nline = "wearable"\n', "", "there is no line 'wearable'"),
        ('[[self_test.point]]\nname = "a"\nline = "wearables"\nhow = "press"\n', "", "name the device that people press"),
        ('[[self_test.point]]\nname = "a"\nline = "wearables"\narea = "nowhere"\n', "", "there is no area 'nowhere'"),
        ("", "every_s = 1\nwithin_s = 2", "is longer than every_s"),
        ("", 'station = "t"\nchannel = "webhook"\naddress = "https://x"', "there is no [dispatch.webhook]"),
    ],
)
async def test_a_test_that_could_swallow_a_real_cry_or_reach_a_real_station_does_not_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str, self_test: str, words: str
) -> None:
    house = TestedHouse(tmp_path, more=more, self_test=self_test)
    house.district.write(tmp_path / "districts" / "chaos")
    house.write_config()
    with pytest.raises(ConfigError) as refused:
        Gateway(*read_all(house.config))
    assert words in "\n".join(refused.value.problems)
    assert all(str(house.config) in problem for problem in refused.value.problems), "the file is named"
    assert main(["check", "--config", str(house.config)]) == 1
    assert words in capsys.readouterr().out


async def test_the_api_probes_one_line_and_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    async with (
        TestedHouse(tmp_path, lines=("receiver",), self_test="every_s = 3600\nwithin_s = 1") as house,
        httpx.AsyncClient(base_url=house.console, trust_env=False) as browser,
    ):
        house.start()
        await house.ready()
        csrf = (await browser.get("/api/v1/session")).json()["csrf"]

        async def post(body: dict[str, object]) -> httpx.Response:
            return await browser.post("/api/v1/self-test", json=body, headers={"x-csrf": csrf})

        found = await post({"line": "receiver"})
        assert (found.status_code, [one["state"] for one in found.json()["points"]]) == (200, ["good"])
        assert (await post({"point": "nobody"})).json()["reason"] == "unknown_point"
        assert (await post({"line": "nobody"})).json()["reason"] == "unknown_line"
        assert (await post({"colour": "red"})).json()["reason"] == "unknown_field"
