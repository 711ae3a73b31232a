"""`simulate mass gongshu | street | falls`: what many do at once, against a gateway that has the district which `--write` makes.

    simulate mass gongshu --write DIR                      writes the register of an invented district; the gateway reads it
    simulate mass gongshu --broker mqtt://… --console http://…

Exit 0: exactly those were missed, cut off or ordered who should have been; 1: not so; 2: wrong use. The last line of standard output is the record.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import httpx

from simulators.ecosystems.bridge import Bridge
from simulators.masses import firmware, gongshu
from simulators.masses.register import PEOPLE, Home, homes, write_district
from simulators.masses.rhythm import DAY_H
from simulators.masses.street import StreetGateway
from simulators.mqtt_link import BrokerAddress
from simulators.stations import Behaviour, Stations
from simulators.wearables import Fleet

HUB = "street-gateway-1"
BEHIND = 300
FAULTY = 40
BEAT_S = 20.0  # of a device behind the street gateway: its class wants a minute or more
HEARD_S = 60.0  # how long the gateway may take to have told what it was sent
CLASSES = '[[device_class]]\nname = "pendant"\ninterval_s = 60\ngrace_s = 30\n[[device_class]]\nname = "hub"\ninterval_s = 60\ngrace_s = 15\n'

Record = dict[str, Any]


def main(arguments: list[str]) -> int:
    """The command; gives the exit code."""
    options = parser().parse_args(arguments)
    play, residents, hubs = PLAYS[options.what](options)
    if options.write:
        write_district(options.write, residents, hubs=hubs)
        print(settings(options))
        return 0
    try:
        if not options.broker:
            raise ValueError("--broker mqtt://HOST:PORT is missing; with --write DIR the register is written")
        record = asyncio.run(play(options, residents, BrokerAddress.parse(options.broker)))
    except (OSError, ValueError, httpx.HTTPError) as error:
        print(f"simulate mass: {error}", file=sys.stderr)
        return 2
    print(json.dumps(record, ensure_ascii=False))
    return 0 if not record["faults"] else 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(prog="simulate mass", description="Play what many do at once.")
    found.add_argument(
        "what", choices=sorted(PLAYS), help="a district of people living alone, a street gateway that dies, a model that falls all night"
    )
    found.add_argument("--write", type=Path, metavar="DIR", help="write the register for it, print the sections of gateway.toml, and end")
    found.add_argument("--broker", metavar="mqtt://HOST:PORT")
    found.add_argument("--console", metavar="http://HOST:PORT", help="the gateway's, to compare; without it nothing is judged but orders")
    found.add_argument("--people", type=int, default=PEOPLE, help="who live alone (default %(default)s)")
    found.add_argument("--day", type=float, default=3600.0, metavar="S", help="how long a day takes (default %(default)g)")
    found.add_argument("--days", type=float, default=1.2, help="how many (default %(default)g)")
    found.add_argument("--silent", type=int, default=20, help="of them, who fall silent (default %(default)s)")
    found.add_argument(
        "--seconds", type=float, default=300.0, metavar="S", help="how long falls are sent, or the gateway is dead (default %(default)g)"
    )
    found.add_argument("--every", type=float, default=5.0, metavar="S", help="between two falls of a device (default %(default)g)")
    found.add_argument("--seed", type=int, default=0)
    return found


def settings(options: argparse.Namespace) -> str:
    """What gateway.toml must have for it, beside a line `wearables` with codec generic."""
    if options.what == "street":
        return CLASSES
    if options.what == "falls":
        return ""
    hour_s = options.day / DAY_H
    return f'[[watch]]\nname = "alone"\nquiet = ""\nwithin_s = {(gongshu.LEAST_WITHIN_H - 1) * hour_s:.1f}\ngrace_s = {hour_s:.1f}\nstep_s = 900'


# --- the plays -------------------------------------------------------------------------------------------------------


async def play_gongshu(options: argparse.Namespace, residents: Sequence[Home], broker: BrokerAddress) -> Record:
    """Whoever falls silent in the first half must be missed until the end, and nobody else. A gateway misses nobody in its first ten minutes."""
    fleet = Fleet(broker)
    silent = gongshu.who_falls_silent(residents, min(options.silent, len(residents)), (2.0, options.days * DAY_H / 2), options.seed)
    play = gongshu.Gongshu(residents, fleet, options.day, silent, options.seed)
    async with _running(fleet):
        await _connected(fleet)
        await play.play(options.days)
        faults: list[str] = []
        if options.console:
            limit = gongshu.LEAST_WITHIN_H * play.hour_s
            await _settled(lambda: _judged(options.console, residents, silent, faults), limit + HEARD_S)
            if play.longest_s > limit:
                faults.append(f"this machine is too slow for such short days: {play.longest_s:.1f} s between two signs")
    return {
        "what": "gongshu",
        "people": len(residents),
        "signs": play.signs,
        "heartbeats": play.heartbeats,
        "silent": sorted(silent),
        "faults": faults,
    }


async def play_street(options: argparse.Namespace, residents: Sequence[Home], broker: BrokerAddress) -> Record:
    """All behind the gateway beat, are dead for so long, and beat again: one incident that names their number, and its end."""
    hub = StreetGateway({home.device: "pendant" for home in residents}, HUB)
    bridge = Bridge(hub, broker, HUB)
    faults: list[str] = []
    async with _running(bridge):
        await bridge.link.up.wait()
        await _beat(bridge, 3 * BEAT_S)
        hub.frozen = True
        await asyncio.sleep(options.seconds)
        if options.console:
            rows = await incidents(options.console, "offline")
            counts = [(row.get("affected") or {}).get("count") for row in [await detail(options.console, row["id"]) for row in rows]]
            if counts.count(len(residents)) != 1:
                faults.append(f"{len(rows)} incident(s) of silence with {counts} devices, not one with {len(residents)}")
        hub.frozen = False
        await _beat(bridge, 2 * BEAT_S)
    return {"what": "street", "devices": len(residents), "messages": bridge.sent, "faults": faults}


async def play_falls(options: argparse.Namespace, residents: Sequence[Home], broker: BrokerAddress) -> Record:
    """The first forty fall without end, the others cry once each."""
    fleet, stations = Fleet(broker), Stations(broker, choose=lambda _order, _before: Behaviour("silent"), identifier="simulated-stations-of-mass")
    devices = [home.device for home in residents]
    bug = firmware.FirmwareBug(fleet, devices[:FAULTY], devices[FAULTY:], options.every, options.seed)
    async with _running(fleet, stations):
        await _connected(fleet)
        await stations.ready.wait()
        await bug.play(options.seconds)
        faults: list[str] = []

        async def judged() -> bool:
            faults[:] = firmware.judge(bug, stations.orders)
            if options.console:
                joined = sum(row["entries"] for row in await incidents(options.console, "fall"))
                faults.extend([f"{sum(bug.falls.values())} falls sent, {joined} on the console"] if joined != sum(bug.falls.values()) else [])
            return not faults

        await _settled(judged, HEARD_S)
    await stations.link.forget_session()
    times = sorted(firmware.latencies_ms(bug.cries, stations.orders))
    middle = round(times[len(times) // 2], 1) if times else None
    return {"what": "falls", "falls": sum(bug.falls.values()), "cries": len(bug.cries), "cry_to_order_ms": middle, "faults": faults[:50]}


PLAYS: dict[str, Callable[[argparse.Namespace], tuple[Callable[..., Coroutine[Any, Any, Record]], list[Home], list[tuple[str, str]]]]] = {
    "gongshu": lambda options: (play_gongshu, homes(options.people), []),
    "street": lambda _: (play_street, homes(BEHIND, watch="", device_class="pendant", via=HUB), [(HUB, "hub")]),
    "falls": lambda options: (play_falls, homes(FAULTY + min(options.people, 1000), watch=""), []),
}


# --- what the console shows ------------------------------------------------------------------------------------------


async def incidents(console: str, kind: str) -> list[dict[str, Any]]:
    """Rows of the list of this kind."""
    async with httpx.AsyncClient(base_url=console, timeout=10, trust_env=False) as client:
        frame = (await client.get("/api/v1/changes", params={"since": 0, "epoch": ""})).raise_for_status().json()
    return [item for item in frame["items"] if item.get("type") == "incident" and item.get("kind") == kind]


async def detail(console: str, incident: str) -> dict[str, Any]:
    """A whole incident."""
    async with httpx.AsyncClient(base_url=console, timeout=10, trust_env=False) as client:
        found: dict[str, Any] = (await client.get(f"/api/v1/incidents/{incident}")).raise_for_status().json()
        return found


async def _judged(console: str, residents: Sequence[Home], silent: dict[str, float], faults: list[str]) -> bool:
    rows = await incidents(console, "missed_checkin")
    persons = [(await detail(console, row["id"])).get("person") or {} for row in rows] if len(rows) >= len(silent) else []
    faults[:] = gongshu.judge({str(person.get("id")) for person in persons}, residents, silent)
    return not faults


# --- small parts -----------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _running(*parts: Any) -> AsyncIterator[None]:
    """The parts run while the block does."""
    tasks = [asyncio.create_task(part.run()) for part in parts]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _connected(fleet: Fleet) -> None:
    for link in fleet.links:
        await link.up.wait()


async def _beat(bridge: Bridge, seconds: float) -> None:
    begin = time.monotonic()
    while time.monotonic() < begin + seconds:
        bridge.chatter(HUB, *bridge.ecosystem.devices)
        await asyncio.sleep(BEAT_S)


async def _settled(judged: Callable[[], Coroutine[Any, Any, bool]], seconds: float) -> None:
    """Look once a second until nothing is wrong, at most for so long."""
    begin = time.monotonic()
    while True:
        if await judged() or time.monotonic() > begin + seconds:
            return
        await asyncio.sleep(1.0)
