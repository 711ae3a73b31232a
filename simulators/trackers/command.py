"""`simulate tracker FAMILY --to HOST:PORT`: as many watches, pendants or terminals as wanted, which press, and tell what was confirmed to them.

    simulate tracker gt06 --to 127.0.0.1:9101 --devices 1000 --presses 1

Standard output has one JSON object a press, then one line for the fleet.
Standard error says when all are logged in. Exit 0: every alarm was confirmed; 1: not all; 2: wrong use.
"""

import argparse
import asyncio
import json
import random
import sys
import time

from simulators.trackers import gt06, jt808, watch3g
from simulators.trackers.fleet import EDITIONS, FAMILIES, TrackerFleet, build, identity_of
from simulators.trackers.jt808 import Terminal
from simulators.trackers.tracker import Patience
from simulators.wire import TcpWire, UdpWire

QUIRKS = {"watch3g": watch3g.QUIRKS, "gt06": gt06.QUIRKS, "jt808": jt808.QUIRKS}
ALIVE_S = {"watch3g": 60.0, "gt06": 180.0, "jt808": 60.0}
MISSES = {"watch3g": 5, "gt06": 3, "jt808": 3}
KINDS = ("sos", "fall", "low_battery")


def parser() -> argparse.ArgumentParser:
    """The command line of `simulate tracker`."""
    quirks = "; ".join(f"{family}: {', '.join(words)}" for family, words in QUIRKS.items())
    found = argparse.ArgumentParser(prog="simulate tracker", description="Watches, pendants and terminals that dial the gateway.")
    found.add_argument("family", choices=sorted(FAMILIES))
    found.add_argument("--to", required=True, metavar="HOST:PORT")
    found.add_argument("--udp", action="store_true", help="jt808: datagrams in place of a connection")
    found.add_argument("--devices", type=int, default=1, metavar="N")
    found.add_argument("--id", default="", help="of the first device; the next ones count up (default: an invented one)")
    found.add_argument("--presses", type=int, default=1, metavar="N", help="of each device")
    found.add_argument("--kind", choices=KINDS, default="sos")
    found.add_argument("--every", type=float, default=1.0, metavar="S", help="presses of a device lie so far apart (default %(default)g)")
    found.add_argument("--stay", type=float, default=0.0, metavar="S", help="stay connected so long after everything was confirmed")
    found.add_argument("--seconds", type=float, default=120.0, metavar="S", help="give up after so long (default %(default)g)")
    found.add_argument("--alive", type=float, metavar="S", help="keep-alive interval (default: the family's)")
    found.add_argument("--answer", type=float, default=5.0, metavar="S", help="until an alarm is said again (default %(default)g)")
    found.add_argument("--quirk", action="append", default=[], metavar="NAME", help=f"may be given more than once. {quirks}")
    found.add_argument("--dialect", choices=gt06.DIALECTS, default="", help="gt06: the default has all of them in turn")
    found.add_argument("--edition", type=int, choices=EDITIONS, default=0, help="jt808: the default has all of them in turn")
    found.add_argument("--stored", type=int, default=0, metavar="N", help="jt808: each has so many stored locations, sent first")
    found.add_argument("--twins", type=int, default=0, metavar="N", help="so many devices have a second link under their id")
    found.add_argument("--storms", type=int, default=0, metavar="N", help="all links are cut at once so often, between presses")
    return found


def main(arguments: list[str]) -> int:
    """Exit 0: every alarm was confirmed; 1: not all; 2: wrong use."""
    options = parser().parse_args(arguments)
    host, _, port = options.to.rpartition(":")
    strange = [quirk for quirk in options.quirk if quirk not in QUIRKS[options.family]]
    fault = ""
    if not host or not port.isdigit():
        fault = f"--to {options.to!r} is not like 127.0.0.1:9100"
    elif strange:
        fault = f"{options.family} has no quirk {strange[0]!r}; it has: {', '.join(QUIRKS[options.family])}"
    elif options.udp and options.family != "jt808":
        fault = f"--udp: {options.family} knows only TCP"
    if fault:
        print(f"simulate tracker: {fault}", file=sys.stderr)
        return 2
    try:
        return asyncio.run(_play(options, host.strip("[]"), int(port)))
    except KeyboardInterrupt:
        return 1


def fleet_of(options: argparse.Namespace, host: str, port: int) -> TrackerFleet:
    """The devices, and the twins behind them."""
    family = options.family
    patience = Patience(options.answer, alive_s=options.alive or ALIVE_S[family], misses=MISSES[family], is_growing=family == "jt808")
    first = options.id or identity_of(family, 0)
    names = [f"{int(first) + number:0{len(first)}}" for number in range(options.devices)]
    devices = [
        build(
            family, name, (UdpWire if options.udp else TcpWire)(host, port), patience,
            quirks=frozenset(options.quirk), dialect=options.dialect, edition=options.edition,
        )
        for name in (*names, *names[: options.twins])
    ]  # fmt: skip
    for device in devices:
        if isinstance(device, Terminal):
            for number in range(options.stored):
                device.store(ago_s=600.0 + 60 * number)
    return TrackerFleet(devices)


async def _tell_logged_in(fleet: TrackerFleet) -> None:
    """On standard error: standard output has nothing but JSON."""
    for device in fleet.devices:
        await device.is_greeted.wait()
    print(f"simulate tracker: logged in: {len(fleet.devices)}", file=sys.stderr, flush=True)


async def _play(options: argparse.Namespace, host: str, port: int) -> int:
    fleet = fleet_of(options, host, port)
    give_up = time.monotonic() + options.seconds
    chance = random.Random(0)
    async with fleet.running(), asyncio.TaskGroup() as around:
        telling = around.create_task(_tell_logged_in(fleet))
        for number in range(options.presses):
            if number:
                await asyncio.sleep(options.every)
            for device in fleet.devices[: options.devices]:
                device.press(options.kind)
            if number < options.storms:
                await asyncio.sleep(chance.uniform(0, options.answer))
                fleet.storm()
        while time.monotonic() < give_up and not all(sent.over for sent in fleet.sent):  # noqa: ASYNC110 - about all devices at once
            await asyncio.sleep(0.05)
        await asyncio.sleep(options.stay)
        on_line = fleet.on_line
        telling.cancel()
    for sent in fleet.sent:
        print(sent.to_json())
    confirmed = sum(sent.confirmed is not None for sent in fleet.sent)
    print(
        json.dumps(
            {
                "devices": len(fleet.devices), "on_line": on_line, "links": sum(device.links for device in fleet.devices),
                "reboots": sum(device.reboots for device in fleet.devices), "sent": len(fleet.sent), "confirmed": confirmed,
            }
        ),
        flush=True,
    )  # fmt: skip
    return 0 if confirmed == len(fleet.sent) else 1
