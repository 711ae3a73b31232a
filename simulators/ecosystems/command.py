"""`simulate ecosystem NAME`: devices of one family on a broker, pressed by the minute; with a district, what came of it is judged.

Exit 0: all presses came through once, and nothing else; 1: not; 2: wrong use. The last line of standard output is the record as JSON.
"""

import argparse
import asyncio
import contextlib
import json
import random
import sys
import time
from typing import Any

from simulators.ecosystems import ECOSYSTEMS
from simulators.ecosystems.bridge import Bridge
from simulators.ecosystems.judge import judge_orders
from simulators.mqtt_link import BrokerAddress
from simulators.stations import Behaviour, Stations

SETTLE_S = 12.0  # after the last press: a tag is pressed for ten seconds; an order takes milliseconds


def main(arguments: list[str]) -> int:
    """The command; gives the exit code."""
    options = parser().parse_args(arguments)
    try:
        devices = dict(word.partition("=")[::2] for word in options.device)
        ecosystem = ECOSYSTEMS[options.name](devices)
        for device in devices:
            ecosystem.kinds(device)
        broker = BrokerAddress.parse(options.broker)
    except (KeyError, ValueError) as error:
        print(f"simulate ecosystem: {error}; a device is ADDRESS=MODEL, models stand in simulators/ecosystems/{options.name}.py", file=sys.stderr)
        return 2
    record = asyncio.run(play(Bridge(ecosystem, broker), options))
    print(json.dumps(record, ensure_ascii=False))
    return 0 if not record["faults"] else 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(prog="simulate ecosystem", description="Play the MQTT devices of one family, with their quirks.")
    found.add_argument("name", choices=sorted(ECOSYSTEMS))
    found.add_argument("--broker", required=True, metavar="mqtt://HOST:PORT")
    found.add_argument("--device", action="append", required=True, metavar="ADDRESS=MODEL", help="as a register names it; may stand several times")
    found.add_argument("--presses", type=int, default=1, help="of each device, evenly over the time (default %(default)s)")
    found.add_argument("--seconds", type=float, default=10.0, help="how long (default %(default)g)")
    found.add_argument(
        "--every", type=float, default=2.0, metavar="S", help="seconds between two routine messages of each device (default %(default)g)"
    )
    found.add_argument("--cut", type=float, default=0.0, metavar="S", help="pull the cable half way, for so long")
    found.add_argument("--judge", action="store_true", help="listen at the stations, and tell which presses did not become exactly one order")
    found.add_argument("--settle", type=float, default=SETTLE_S, metavar="S", help="wait after the last press (default %(default)g)")
    found.add_argument("--seed", type=int, default=0)
    return found


async def play(bridge: Bridge, options: argparse.Namespace) -> dict[str, Any]:
    """The whole run; gives its record."""
    stations = Stations(bridge.link.broker, choose=lambda _order, _before: Behaviour("silent"), identifier="simulated-stations-of-ecosystem")
    parts = [bridge.run(), *([stations.run()] if options.judge else [])]
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        await bridge.link.up.wait()
        if options.judge:
            await stations.ready.wait()
        await _live(bridge, options)
        await asyncio.sleep(options.settle)
        faults = judge_orders(bridge.presses, stations.orders) if options.judge else []
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if options.judge:
        await stations.link.forget_session()
    presses = [{"device": press.device, "kind": press.kind, "at": round(press.at, 3), "lost": press.lost} for press in bridge.presses]
    return {"ecosystem": bridge.ecosystem.name, "messages": bridge.sent, "lost": bridge.lost, "presses": presses, "faults": faults}


async def _live(bridge: Bridge, options: argparse.Namespace) -> None:
    """Chatter without end, presses spread over the time, and perhaps an outage."""
    chance = random.Random(options.seed)
    begin = time.monotonic()
    steps: list[tuple[float, str, str]] = []
    for device in bridge.ecosystem.devices:
        kinds = bridge.ecosystem.kinds(device)
        steps += [
            (options.seconds * (number + chance.random()) / max(1, options.presses), device, chance.choice(kinds))
            for number in range(options.presses if kinds else 0)
        ]
        steps += [(moment * options.every, device, "") for moment in range(1, int(options.seconds / options.every))]
    if options.cut:
        steps += [(options.seconds / 2, "", "cut"), (options.seconds / 2 + options.cut, "", "plug")]
    for at, device, kind in sorted(steps):
        await asyncio.sleep(max(0.0, begin + at - time.monotonic()))
        if not device:
            getattr(bridge, kind)()
        elif kind:
            bridge.press(device, kind)
        else:
            bridge.chatter(device)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(options.settle):
            while not bridge.is_done:  # noqa: ASYNC110 a queue that empties tells nobody
                await asyncio.sleep(0.05)
