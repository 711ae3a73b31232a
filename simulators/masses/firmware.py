"""A firmware bug: one model sends a fall every few seconds, all night, while other people cry as people do."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from simulators.stations import Order
from simulators.wearables import Fleet, Message


@dataclass(slots=True)
class FirmwareBug:
    """falls: of each faulty device, all that left it; cries: of everybody else."""

    fleet: Fleet
    faulty: Sequence[str]
    others: Sequence[str]
    every_s: float
    seed: object = 0
    falls: Counter[str] = field(default_factory=Counter)
    cries: list[Message] = field(default_factory=list)

    async def play(self, seconds: float) -> None:
        """The others cry once each, evenly over the time; the faulty ones do not stop before it is over."""
        async with asyncio.TaskGroup() as group:
            for device in self.faulty:
                group.create_task(self._fall(device, seconds))
            group.create_task(self.cry(self.others, seconds))

    async def cry(self, devices: Sequence[str], seconds: float) -> None:
        """These press once each, evenly over the time."""
        begin = time.monotonic()
        for number, device in enumerate(devices):
            await asyncio.sleep(max(0.0, begin + number * seconds / len(devices) - time.monotonic()))
            self.cries.append(self.fleet.send(device, "sos"))

    async def _fall(self, device: str, seconds: float) -> None:
        begin = time.monotonic()
        at = random.Random(f"{self.seed}:{device}").uniform(0, self.every_s)
        while at < seconds:
            await asyncio.sleep(max(0.0, begin + at - time.monotonic()))
            self.fleet.send(device, "fall")
            self.falls[device] += 1
            at += self.every_s


def latencies_ms(cries: Sequence[Message], orders: Sequence[Order]) -> list[float]:
    """From publish to order at a station, of those that were ordered."""
    arrived: dict[tuple[str | None, int | None], float] = {}
    for order in orders:
        arrived.setdefault((order.device, order.ts), order.arrived)
    return [1000 * (arrived[cry.device, cry.ts] - cry.sent) for cry in cries if cry.sent is not None and (cry.device, cry.ts) in arrived]


def judge(bug: FirmwareBug, orders: Sequence[Order]) -> list[str]:
    """At the stations, in words: one incident for each faulty device, and no cry of others swallowed. Falls are counted at the console."""
    incidents: dict[str, set[str]] = {}
    heard: set[tuple[str | None, int | None]] = set()
    for order in orders:
        incidents.setdefault(str(order.device), set()).add(order.incident)
        heard.add((order.device, order.ts))
    faults = [f"{device}: {len(incidents.get(device, ()))} incidents" for device in bug.falls if len(incidents.get(device, ())) != 1]
    return faults + [f"{cry.device}: its cry was not ordered" for cry in bug.cries if (cry.device, cry.ts) not in heard]
