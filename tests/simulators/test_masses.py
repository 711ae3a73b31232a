"""What many do at once: days that leave nobody unheard for too long, a register that is what it says, judges that can say no."""

import asyncio
import csv
import itertools
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from servers import Mosquitto, Outsider, mosquitto, until  # noqa: F401

from simulators.ecosystems.bridge import Bridge
from simulators.masses import firmware, gongshu
from simulators.masses.command import main
from simulators.masses.firmware import FirmwareBug, latencies_ms
from simulators.masses.gongshu import LEAST_WITHIN_H, Gongshu, who_falls_silent
from simulators.masses.register import homes, write_district
from simulators.masses.rhythm import LONGEST_GAP_H, SIGNS, Rhythm
from simulators.masses.street import StreetGateway
from simulators.mqtt_link import BrokerAddress
from simulators.stations import Order
from simulators.wearables import Fleet, Message


def test_nobody_is_unheard_for_longer_than_said() -> None:
    longest, counts = 0.0, Counter[str]()
    for number in range(2000):
        signs = list(itertools.takewhile(lambda sign: sign[0] < 72, Rhythm(number).from_hour(gongshu.BEGIN_H)))
        hours = [0.0, *(at for at, _ in signs)]
        assert hours == sorted(hours)
        longest = max(longest, *(later - earlier for earlier, later in itertools.pairwise(hours)))
        counts.update(kind for _, kind in signs)
        assert len(signs) > 3 * 15
    assert 8 < longest <= LONGEST_GAP_H < LEAST_WITHIN_H
    assert set(counts) == set(SIGNS)
    assert counts["contact_open"] == counts["contact_closed"]


def test_days_differ_between_people_and_from_day_to_day_and_not_from_run_to_run() -> None:
    one, same, other = Rhythm("a"), Rhythm("a"), Rhythm("b")
    first = one.day()
    assert first == same.day()
    assert first != other.day()
    assert first != one.day()


def test_the_register_has_the_numbers_of_gongshu(tmp_path: Path) -> None:
    write_district(tmp_path, homes(22_000, device_class="pendant", via="hub"), hubs=[("hub", "hub")])

    def rows(name: str) -> list[dict[str, str]]:
        with (tmp_path / f"{name}.csv").open(encoding="utf-8") as file:
            return list(csv.DictReader(file))

    persons, devices, responders = rows("persons"), rows("devices"), rows("responders")
    ability = Counter(row["ability"] for row in persons)
    assert len(persons) == len(devices) - 1 == 22_000
    assert abs(ability["semi_disabled"] - 2_055) < 150
    assert abs(ability["disabled"] - 787) < 100
    assert {row["watch"] for row in persons} == {"alone"}
    assert len({row["phones"] for row in persons}) == 22_000
    assert all(row["phones"].startswith("+8617400") for row in persons)
    assert Counter(row["kind"] for row in responders) == {"desk": 1, "district_centre": 1, "street_centre": 8, "station": 40}
    assert {row["via"] for row in devices if row["person"]} == {"hub"}


class Unhurried:
    """A clock that goes on by a twentieth of a second at most between two looks: a machine that stands still takes no time from anybody."""

    def __init__(self) -> None:
        self.now, self.seen = 0.0, time.monotonic()

    def monotonic(self) -> float:
        seen = time.monotonic()
        self.now, self.seen = self.now + min(seen - self.seen, 0.05), seen
        return self.now


async def test_who_has_stopped_gives_no_sign_but_has_a_heartbeat(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(gongshu, "time", Unhurried())
    residents = homes(30)
    fleet = Fleet(BrokerAddress.parse(mosquitto.url))
    silent = who_falls_silent(residents, 3, (0.0, 0.1))
    assert silent == who_falls_silent(residents, 3, (0.0, 0.1))
    witness = await Outsider(mosquitto.port, "wearables/#").ready()
    running = asyncio.create_task(fleet.run())
    try:
        await until(lambda: all(link.up.is_set() for link in fleet.links), "connected")
        play = Gongshu(residents, fleet, 2.0, silent)
        await play.play(1.0)
        await until(lambda: len(witness.received) == fleet.sent, "all have arrived")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        witness.close()
    said = Counter((topic.split("/")[1], json.loads(body)["kind"] == "heartbeat") for topic, body in witness.received)
    for home in residents:
        assert said[home.device, True] == 2
        assert (said[home.device, False] == 0) == (home.device in silent)
    assert play.signs == sum(count for (_, is_beat), count in said.items() if not is_beat)
    assert 0 < play.longest_s < LEAST_WITHIN_H * play.hour_s


def test_the_judge_of_gongshu_names_both_mistakes() -> None:
    residents = homes(3)
    assert gongshu.judge({"pg-00001"}, residents, {"home-00001": 1.0}) == []
    assert gongshu.judge({"pg-00002"}, residents, {"home-00001": 1.0}) == [
        "pg-00001 gave no sign any more, and is not missed",
        "pg-00002 is missed, and gave signs",
    ]


async def test_a_street_gateway_dies_with_and_without_a_word(mosquitto: Mosquitto) -> None:  # noqa: F811
    hub = StreetGateway({"home-1": "pendant"}, "hub", has_will=True)
    bridge = Bridge(hub, BrokerAddress.parse(mosquitto.url))
    witness = await Outsider(mosquitto.port, "wearables/#").ready()
    running = asyncio.create_task(bridge.run())

    def said(device: str) -> list[str]:
        return [json.loads(body)["kind"] for topic, body in witness.received if topic == f"wearables/{device}/event"]

    try:
        await until(lambda: said("hub") == ["online"], "the greeting")
        bridge.chatter("home-1")
        bridge.press("home-1", "fall")
        await until(lambda: said("home-1") == ["heartbeat", "fall"], "both")
        hub.frozen = True
        bridge.chatter("home-1")
        assert hub.press("home-1", "sos", time.time()) == []
        bridge.cut()
        await until(lambda: said("hub") == ["online", "offline"], "the will")
        assert said("home-1") == ["heartbeat", "fall"]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        witness.close()


def order(device: str, ts: int, incident: str, arrived: float = 0.0) -> Order:
    return Order("station-1", f"d-{incident}", incident, "fall", device, ts, 0, None, "critical", None, arrived)


async def test_the_judge_of_the_firmware_bug_names_what_was_swallowed() -> None:
    bug = FirmwareBug(Fleet(BrokerAddress("127.0.0.1", 1)), ["f-1"], ["o-1", "o-2"], 0.02)
    await bug.play(0.1)
    assert (bug.falls["f-1"], len(bug.cries)) == (5, 2)
    first, second = bug.cries
    first.sent = 1.0
    told = [order("f-1", 1, "i-1"), order(first.device, first.ts, "i-2", 1.25), order(second.device, second.ts, "i-3")]
    assert firmware.judge(bug, told) == []
    assert firmware.judge(bug, told[:2]) == ["o-2: its cry was not ordered"]
    assert firmware.judge(bug, [*told, order("f-1", 2, "i-9")]) == ["f-1: 2 incidents"]
    assert firmware.judge(bug, told[1:]) == ["f-1: 0 incidents"]
    assert latencies_ms([first, Message("x", "sos", 0, b"")], told) == [250.0]


def test_the_command_writes_its_register(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gongshu", "--write", str(tmp_path / "gongshu"), "--people", "20", "--day", "240"]) == 0
    assert 'name = "alone"' in capsys.readouterr().out
    assert len((tmp_path / "gongshu" / "persons.csv").read_text("utf-8").splitlines()) == 21
    assert main(["street", "--write", str(tmp_path / "street")]) == 0
    assert 'name = "hub"' in capsys.readouterr().out
    assert main(["falls"]) == 2
    assert "--broker" in capsys.readouterr().err


def test_the_command_plays_falls_that_nobody_orders(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.masses.command.HEARD_S", 0.1)

    async def serve(*given: str) -> int:
        server = Mosquitto(tmp_path)
        await server.start()
        try:
            return await asyncio.to_thread(main, [*given, "--broker", server.url])
        finally:
            await server.stop()

    assert asyncio.run(serve("falls", "--people", "2", "--seconds", "0.5", "--every", "0.25")) == 1
    record: dict[str, Any] = json.loads(capfd.readouterr().out)
    assert (record["falls"], record["cries"]) == (80, 2)
    assert len(record["faults"]) == 42
    assert asyncio.run(serve("gongshu", "--people", "5", "--day", "1", "--days", "0.5")) == 0
    assert json.loads(capfd.readouterr().out)["signs"] > 0
