"""A district of people living alone, their days compressed: each gives signs of life by an own rhythm, and some stop.

Who has stopped is still told of by their device: its heartbeats go on, as a machine's do. The witness knows who they are.
"""

import asyncio
import heapq
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from simulators.masses.register import Home
from simulators.masses.rhythm import DAY_H, LONGEST_GAP_H, Rhythm
from simulators.wearables import Fleet

BEGIN_H = 5.0  # the play begins when the first rise
STEP_S = 0.02
HEARTBEATS_A_DAY = 2
LEAST_WITHIN_H = LONGEST_GAP_H + 1.5  # what a watch must allow at least, so that nobody who lives is missed


@dataclass(slots=True)
class Gongshu:
    """The whole play. day_s: seconds that a day takes; silent: home → after how many hours its person gives no sign any more.

    last: home → monotonic time of the last sign that left us; longest_s: the longest time between two signs of somebody who lives. A machine
    that is too slow shows there, and not as a fault of the gateway.
    """

    homes: Sequence[Home]
    fleet: Fleet
    day_s: float
    silent: Mapping[str, float] = field(default_factory=dict)
    seed: object = 0
    last: dict[str, float] = field(default_factory=dict)
    longest_s: float = 0.0
    signs: int = 0
    heartbeats: int = 0

    @property
    def hour_s(self) -> float:
        return self.day_s / DAY_H

    async def play(self, days: float) -> None:
        """So many days, from BEGIN_H on."""
        begin = time.monotonic()
        self.last = dict.fromkeys((home.device for home in self.homes), begin)
        chance = random.Random(f"heartbeats:{self.seed}")
        lives: list[Iterator[tuple[float, str]]] = []
        due: list[tuple[float, int, str]] = []
        for number, home in enumerate(self.homes):
            lives.append(Rhythm(f"{self.seed}:{home.person}").from_hour(BEGIN_H))
            heapq.heappush(due, self._next(lives, number))
            heapq.heappush(due, (chance.uniform(0, DAY_H / HEARTBEATS_A_DAY), number, "heartbeat"))
        end_h = math.nextafter(days * DAY_H, 0)
        while due and due[0][0] <= end_h:
            now_h = min((time.monotonic() - begin) / self.hour_s, end_h)
            while due and due[0][0] <= now_h:
                at, number, kind = heapq.heappop(due)
                if kind == "heartbeat":
                    self.heartbeats += 1
                    self.fleet.send(self.homes[number].device, kind)
                    heapq.heappush(due, (at + DAY_H / HEARTBEATS_A_DAY, number, kind))
                elif at < self.silent.get(self.homes[number].device, float("inf")):
                    self._sign(self.homes[number].device, kind)
                    heapq.heappush(due, self._next(lives, number))
            await asyncio.sleep(STEP_S)

    def _next(self, lives: list[Iterator[tuple[float, str]]], number: int) -> tuple[float, int, str]:
        at, kind = next(lives[number])
        return at, number, kind

    def _sign(self, device: str, kind: str) -> None:
        self.fleet.send(device, kind)
        self.signs += 1
        now = time.monotonic()
        if device not in self.silent:
            self.longest_s = max(self.longest_s, now - self.last[device])
        self.last[device] = now


def who_falls_silent(homes: Sequence[Home], count: int, hours: tuple[float, float], seed: object = 0) -> dict[str, float]:
    """So many of them, each at an hour between these two, counted from the begin of the play."""
    chance = random.Random(f"silent:{seed}")
    return {home.device: chance.uniform(*hours) for home in chance.sample(list(homes), count)}


def judge(missed: set[str], homes: Sequence[Home], silent: Mapping[str, float]) -> list[str]:
    """missed: persons of whom the console says so. In words: who should have been missed and was not, and the other way round."""
    wanted = {home.person for home in homes if home.device in silent}
    faults = [f"{person} gave no sign any more, and is not missed" for person in sorted(wanted - missed)]
    return faults + [f"{person} is missed, and gave signs" for person in sorted(missed - wanted)]
