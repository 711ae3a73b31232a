"""Tells the consoles what a shard has committed: gathered for a moment, numbered, and forgotten once it has left.

Whoever misses a number reads the shard's tables again, so nothing is kept here for a bus that is away, and no console can hold the core up.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

import structlog

from gateway.bus.contract import Bus, BusDown
from gateway.bus.shard_words import BEAT_S, Beat, Told, packed
from gateway.clock import monotonic
from gateway.core.state import Draft
from gateway.event import KINDS, Group

log = structlog.get_logger("core")

GATHER_S = 0.02  # a console draws every 200 ms: what commits within this becomes one message
INCIDENTS_AT_ONCE = 100  # a message must stay below the 1 MiB that a NATS server takes; an incident is 1 to 8 KiB
SEEN_AT_ONCE = 2_000  # of 100 to 300 bytes
LARGEST = 1_000_000
GATHERED_LIMIT = 50_000  # devices and incidents between two messages; past it consoles read the shard again

V = TypeVar("V")


class Teller:
    """`note` is the pipeline's; `tell` leaves at once; `run` beats."""

    def __init__(self, bus: Bus, shard: int, epoch: int, beat: Callable[[], Beat]) -> None:
        self.epoch = epoch
        self.number = 0
        self._bus = bus
        self._subject = f"changes.{shard}"
        self._beat = beat
        self._wake = asyncio.Event()
        self._leaving = asyncio.Lock()
        self._spoke: dict[str, Any] = {}  # signs of life may wait for the next beat
        self._strangers: set[str] = set()
        self._begin()

    def _begin(self) -> None:
        self._incidents: dict[str, Any] = {}
        self._parts: dict[str, dict[str, Any]] = {"calls": {}, "standings": {}, "silent": {}, "seen": {}}
        self._lists: dict[str, list[Any]] = {"sent": [], "steps": [], "access": []}
        self._is_waiting = False

    def note(self, draft: Draft) -> None:
        """A batch is on disk. Cheap on purpose: references only."""
        parts, lists = self._parts, self._lists
        if draft.seen:
            self._spoke.update(draft.seen)
            self._strangers |= draft.strangers
            if draft.changed:
                parts["seen"].update((key, draft.seen[key]) for key in draft.changed)
                self._is_waiting = True
        if draft.incidents.written:
            self._incidents.update(draft.incidents.written)
            self._is_waiting = True
        for name, written in (("calls", draft.calls.written), ("standings", draft.standings.written), ("silent", draft.silent.written)):
            if written:
                parts[name].update(written)
                self._is_waiting = True
        if draft.sent:
            lists["sent"] += draft.sent
        if draft.access:
            lists["access"] += draft.access
            self._is_waiting = True
        lists["steps"] += [one.facts for one in draft.records if KINDS[one.kind].group is Group.TELEPHONE]
        if self._is_waiting:
            self._wake.set()

    def skip(self) -> None:
        """Consoles shall read the tables again: a number that is never told."""
        self.number += 1
        self._is_waiting = True
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        beat_at = monotonic()
        while True:
            try:
                async with asyncio.timeout(max(0.0, beat_at - monotonic())):
                    await self._wake.wait()
                    await asyncio.sleep(GATHER_S)
            except TimeoutError:
                pass
            if monotonic() >= beat_at:
                beat_at = monotonic() + BEAT_S
                self._parts["seen"] = {**self._spoke, **self._parts["seen"]}
                self._spoke = {}
                await self.tell(self._beat())
            else:
                await self.tell()

    async def tell(self, beat: Beat | None = None) -> int:
        """Everything noted so far leaves now; gives the number by which it is told."""
        async with self._leaving:
            self._wake.clear()
            messages = list(self._messages())
            self._begin()
            for number, changes in messages:
                await self._leave(Told(self.epoch, number, time.time(), **changes))
            if beat is not None:
                await self._leave(Told(self.epoch, self.number, time.time(), beat))
            return self.number

    def _messages(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """What was noted, in pieces, each with a number of its own."""
        parts = self._parts
        if len(self._incidents) + len(parts["seen"]) > GATHERED_LIMIT:
            self.number += 1  # never told: whoever listens notices
            self._strangers.clear()
            return
        pieces: list[dict[str, Any]] = [{"incidents": some} for some in _slices(self._incidents, INCIDENTS_AT_ONCE)]
        for some in _slices(parts.pop("seen"), SEEN_AT_ONCE):
            pieces.append({"seen": some, "strangers": tuple(self._strangers.intersection(some))})
        if not self._spoke:
            self._strangers.clear()
        rest = {name: part for name, part in parts.items() if part} | {name: tuple(one) for name, one in self._lists.items() if one}
        if rest:
            pieces.append(rest)
        for piece in pieces:
            self.number += 1
            yield self.number, piece

    async def _leave(self, told: Told) -> None:
        data = packed(told)
        if len(data) > LARGEST:
            log.info("too_large_to_tell", subject=self._subject, bytes=len(data))  # the gap in the numbers tells it
            return
        try:
            await self._bus.tell(self._subject, data)
        except BusDown:
            pass  # as above


def beat_of(core: str, since: datetime, lag_s: float, machinery: Mapping[str, Any]) -> Beat:
    """A beat with what the ops page counts."""
    rejected = tuple((row["line"], row["reason"], row["count"]) for row in machinery["rejected"])
    return Beat(core, since, lag_s, rejected, dict(machinery["queues"]))


def _slices(things: Mapping[str, V], size: int) -> Iterable[dict[str, V]]:
    rest = iter(things.items())
    while some := dict(islice(rest, size)):
        yield some
