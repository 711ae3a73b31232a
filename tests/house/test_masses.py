"""What many do at once, on a whole gateway: thousands who live alone, a street gateway that dies, a model that falls all night."""

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from house import District, House
from servers import until

from simulators.ecosystems.bridge import Bridge
from simulators.masses import command, gongshu
from simulators.masses.firmware import FirmwareBug, judge, latencies_ms
from simulators.masses.gongshu import LEAST_WITHIN_H, Gongshu, who_falls_silent
from simulators.masses.register import Home, homes, write_district
from simulators.masses.rhythm import DAY_H
from simulators.masses.street import StreetGateway
from simulators.stations import Behaviour, Stations
from simulators.wearables import Fleet

# The gateway misses nobody in the first ten minutes after a start. That is tested elsewhere; here days last seconds.
AT_ONCE = "import datetime, gateway.core.state as state; state.START_GRACE = datetime.timedelta(0); from gateway.cli import main; main()"
STREET = tuple(f"home-{number:05}" for number in range(300))
HUB = "street-gateway-1"


@dataclass(frozen=True, slots=True)
class Residents(District):
    """The register of simulators.masses in place of the house's own."""

    homes: tuple[Home, ...] = ()
    hubs: tuple[tuple[str, str], ...] = ()

    def write(self, folder: Path) -> None:
        write_district(folder, self.homes, name="chaos", hubs=self.hubs)


class Masses(House):
    """A gateway whose wearables are the homes of a district. more: of gateway.toml, device classes and watches."""

    def __init__(self, folder: Path, residents: Sequence[Home], more: str = "", hubs: tuple[tuple[str, str], ...] = ()) -> None:
        self.more = more
        super().__init__(folder, Residents(wearables=1, rooms=1, buttons=1, callers=1, homes=tuple(residents), hubs=hubs))

    def write_config(self) -> None:
        super().write_config()
        self.config.write_text(self.config.read_text() + self.more)

    def start(self) -> None:
        assert self.process is None
        with self.log.open("ab") as log:
            command = [sys.executable, "-c", AT_ONCE, "run", "--config", str(self.config)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(os.environ))

    async def rows(self, kind: str) -> list[dict[str, Any]]:
        """The console's list, of one kind."""
        answer = await self.get("/api/v1/changes", since=0, epoch="")
        if answer is None or answer.status_code != 200:
            return []
        return [item for item in answer.json()["items"] if item["type"] == "incident" and item["kind"] == kind]

    async def detail(self, incident: str) -> dict[str, Any]:
        answer = await self.get(f"/api/v1/incidents/{incident}")
        assert answer is not None
        found: dict[str, Any] = answer.json()
        return found

    async def persons_of(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        return [str((await self.detail(row["id"]))["person"]["id"]) for row in rows]


@contextlib.asynccontextmanager
async def playing(house: Masses, *parts: Any) -> AsyncIterator[None]:
    """The gateway is ready and the parts run."""
    async with house:
        house.start()
        await house.ready()
        await house.lines_live("wearables", "station-replies")
        tasks = [asyncio.create_task(part.run()) for part in parts]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def watch(day_s: float, *, grace_h: float = 1.0) -> str:
    within_s = (LEAST_WITHIN_H - grace_h) * day_s / DAY_H
    return f'[[watch]]\nname = "alone"\nquiet = ""\nwithin_s = {within_s}\ngrace_s = {grace_h * day_s / DAY_H}\nstep_s = 3600\n'


# --- a district of people living alone -------------------------------------------------------------------------------


async def live(folder: Path, people: int, day_s: float, days: float, silent: int, hours: tuple[float, float]) -> Gongshu:
    """Play it; whoever falls silent is missed, and nobody else."""
    residents = homes(people)
    house = Masses(folder, residents, watch(day_s))
    fleet = Fleet(house.address)
    play = Gongshu(residents, fleet, day_s, who_falls_silent(residents, silent, hours))
    async with playing(house, fleet):
        await play.play(days)
        await until(lambda: fleet.confirmed == fleet.sent, "the broker has everything")

        missed: list[str] = []

        async def all_missed() -> bool:
            rows = await house.rows("missed_checkin")
            if len(rows) >= silent:
                missed[:] = await house.persons_of(rows)
            return len(rows) >= silent

        await house.sees(all_missed, f"{silent} are missed", day_s)
        assert play.longest_s < LEAST_WITHIN_H * play.hour_s, "this machine is too slow for such short days"
        assert gongshu.judge(set(missed), residents, play.silent) == []
        assert len(missed) == len(set(missed)) == silent
        assert await house.unbalanced() == {}
    return play


async def test_who_falls_silent_is_missed_and_nobody_else(tmp_path: Path) -> None:
    play = await live(tmp_path, people=300, day_s=14, days=1.1, silent=12, hours=(2, 12))
    assert play.signs > 300 * 15
    assert play.heartbeats > 300


@pytest.mark.campaign
async def test_gongshu_22000_people(tmp_path: Path) -> None:
    play = await live(tmp_path, people=22_000, day_s=600, days=1.0, silent=220, hours=(2, 10))
    assert play.signs > 22_000 * 20


# --- a street gateway dies -------------------------------------------------------------------------------------------

CLASSES = """
[[device_class]]
name = "pendant"
interval_s = 1.5
grace_s = 1.5
[[device_class]]
name = "hub"
interval_s = 1
grace_s = 1
[[watch]]
name = "alone"
quiet = ""
within_s = 6
grace_s = 1
step_s = 1
steps = ["call", "station"]
"""


@pytest.mark.parametrize("has_will", [True, False])
async def test_a_dead_street_gateway_is_one_incident_and_a_silent_person_has_an_own_ladder(tmp_path: Path, has_will: bool) -> None:
    """300 pendants behind one gateway and one that is not; by its plug or by itself. Number 7 lives alone, is watched over, and moved only once."""
    residents = [Home(f"pg-{number:05}", device, "pendant", HUB, "alone" if number == 7 else "") for number, device in enumerate(STREET)]
    house = Masses(tmp_path, [*residents, Home("pg-direct", "home-direct", "pendant")], CLASSES, ((HUB, "hub"),))
    hub = StreetGateway(dict.fromkeys(STREET, "pendant"), HUB, has_will=has_will)
    bridge, fleet = Bridge(hub, house.address), Fleet(house.address)
    stations = Stations(house.address, choose=lambda _order, _before: Behaviour("silent"))

    async def beat() -> None:
        while True:
            bridge.chatter(HUB, *STREET)
            fleet.send("home-direct", "heartbeat")
            await asyncio.sleep(0.5)

    async def alive(count: int) -> bool:
        return await house.metric("gateway_devices", **{"class": "pendant", "state": "alive"}) == count

    async def is_out() -> bool:
        return await alive(1) and len(await house.rows("offline")) == 1

    async def is_missed() -> bool:
        return len(await house.rows("missed_checkin")) == 1

    async def steps(incident: str) -> list[str]:
        reasons = [str(entry["detail"].get("reason")) for entry in (await house.detail(incident))["timeline"]]
        return [reason for reason in dict.fromkeys(reasons) if reason.startswith("ladder_")]

    async def has_waited(incident: str) -> bool:
        return "ladder_waits" in await steps(incident)

    async with playing(house, fleet, bridge, stations):
        await until(lambda: bridge.link.up.is_set() and stations.ready.is_set(), "the witnesses stand")
        bridge.say(hub.sign(STREET[7]))
        heart = asyncio.create_task(beat())
        try:
            await house.sees(lambda: alive(301), "all are alive")
            if has_will:
                bridge.cut()
            hub.frozen = not has_will
            await house.sees(is_out, "one incident for all that fell silent")
            (outage,) = await house.rows("offline")
            affected = (await house.detail(outage["id"]))["affected"]
            assert (affected["count"], affected["path"].rpartition("|")[2]) == (300, HUB)
            await house.sees(is_missed, "who lives alone is missed, whatever became of the device")
            missed = await house.rows("missed_checkin")
            assert await house.persons_of(missed) == ["pg-00007"]
            await house.sees(lambda: has_waited(missed[0]["id"]), "nobody is sent for what the outage may explain")
            assert not stations.orders
            bridge.plug()
            hub.frozen = False
            await house.sees(lambda: alive(301), "all are back")
            await until(lambda: stations.orders, "the machine sends somebody, now that the silence is the person's own")
        finally:
            heart.cancel()
            await asyncio.gather(heart, return_exceptions=True)
        told = [(str(row["kind"]), row["incident"]) for row in house.journal() if row["kind"] in ("offline", "online") and row["incident"]]
        assert told == [("offline", outage["id"]), ("online", outage["id"])]
        assert {(order.incident, order.person) for order in stations.orders} == {(missed[0]["id"], "pg-00007")}
        assert await steps(missed[0]["id"]) == ["ladder_call", "ladder_waits", "ladder_station"]
        assert await house.unbalanced() == {}


# --- a firmware bug --------------------------------------------------------------------------------------------------


async def fall_all_night(folder: Path, seconds: float, every_s: float, others: int, *, is_timed: bool = False) -> None:
    """40 devices fall without end while others cry: nothing is lost and, on a machine that does nothing else, nothing is slow."""
    residents = homes(40 + 2 * others, watch="")
    devices = [home.device for home in residents]
    house = Masses(folder, residents)
    fleet, stations = Fleet(house.address), Stations(house.address, choose=lambda _order, _before: Behaviour("silent"))
    bug = FirmwareBug(fleet, devices[:40], devices[40 : 40 + others], every_s)
    async with playing(house, fleet, stations):
        await until(stations.ready.is_set, "the stations listen")
        await bug.cry(devices[40 + others :], seconds / 2)
        await until(lambda: len(stations.orders) == others, "all are ordered")
        alone, bug.cries = latencies_ms(bug.cries, stations.orders), []
        await bug.play(seconds)
        await until(lambda: fleet.confirmed == fleet.sent, "the broker has everything")
        wanted = sum(bug.falls.values())

        async def all_joined() -> bool:
            return sum(row["entries"] for row in await house.rows("fall")) == wanted

        await house.sees(all_joined, f"{wanted} falls have joined their incidents")
        await until(lambda: not judge(bug, stations.orders), "every cry is ordered")
        rows = await house.rows("fall")
        counted = dict(zip(await house.persons_of(rows), [row["entries"] for row in rows], strict=True))
        assert counted == {f"pg-{int(device[-5:]):05}": count for device, count in bug.falls.items()}
        assert sum(row["kind"] == "fall" for row in house.journal()) == wanted
        beside = latencies_ms(bug.cries, stations.orders)
        assert len(beside) == others
        assert not is_timed or statistics.median(beside) < 2 * statistics.median(alone) + 50, (alone, beside)
        assert await house.unbalanced() == {}


async def test_a_model_that_falls_without_end_swallows_nothing(tmp_path: Path) -> None:
    await fall_all_night(tmp_path, seconds=5, every_s=0.5, others=30)


@pytest.mark.campaign
async def test_a_model_that_falls_all_night(tmp_path: Path) -> None:
    await fall_all_night(tmp_path, seconds=600, every_s=2, others=600, is_timed=True)


# --- the commands ----------------------------------------------------------------------------------------------------


async def test_the_commands_judge_a_whole_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "BEAT_S", 0.3)
    monkeypatch.setattr(command, "HEARD_S", 10.0)
    behind = [Home(home.person, home.device, "pendant", HUB) for home in homes(300)]
    house = Masses(tmp_path, behind, CLASSES, ((HUB, "hub"),))
    async with playing(house):
        where = ["--broker", house.broker.url, "--console", house.console]
        falls = ["falls", *where, "--people", "10", "--seconds", "2", "--every", "0.5"]
        assert await asyncio.to_thread(command.main, falls) == 0, capfd.readouterr().out
        assert await asyncio.to_thread(command.main, ["street", *where, "--seconds", "5"]) == 0, capfd.readouterr().out
        monkeypatch.setattr(command, "HEARD_S", 0.2)
        assert await asyncio.to_thread(command.main, falls) == 1  # the falls of before are on the console too
