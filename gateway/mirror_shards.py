"""Follows one shard: reads its tables once, then what its owner tells, number by number; a gap or a new owner and it is read again.

What is told is on disk already. So whatever is read after a number was heard has all up to that number, and what comes later is laid over it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gateway.bus.shard_words import Beat, Told
from gateway.clock import from_micros, monotonic, utc_now
from gateway.mirror_model import Found
from gateway.store.store import reason_of

log = structlog.get_logger("console")

SILENT_S = 3.0  # three beats: a shard that says nothing for so long has no core
WAITING_LIMIT = 1_000  # messages kept while the tables are read, a minute of the fastest storm; past it they are read again
FIRST_S = 1.5  # a shard that has an owner speaks within a beat; what is read before that would be read again
AGAIN_S = 1.0  # between two readings, also when the database does not answer


class Takes(Protocol):
    """The house: what it does with what was read or told."""

    def read(self, shard: int) -> Found: ...

    def take(self, shard: int, found: Found) -> None: ...

    def apply(self, shard: int, told: Told) -> None: ...


class Replica:
    """One shard as this console knows it. `as_of`: when it was surely true; None: never read."""

    def __init__(self, shard: int, house: Takes, changed: Callable[[int], None]) -> None:
        self.shard = shard
        self.epoch = 0
        self.number = 0
        self.as_of: datetime | None = None
        self.lag_s = 0.0
        self.reads = 0
        self.beat: Beat | None = None
        self.is_read = asyncio.Event()
        self._house = house
        self._changed = changed
        self._heard_at: float | None = None
        self._was_missing = False
        self._waiting: deque[Told] = deque()
        self._wanted = asyncio.Event()
        self._is_true = False  # read, and no number missing since
        self._moved = asyncio.Event()

    @property
    def is_missing(self) -> bool:
        """Nobody owns it, or nobody hears of it."""
        return self._heard_at is None or monotonic() - self._heard_at > SILENT_S

    def heard(self, told: Told) -> None:
        """Its owner has spoken."""
        if told.epoch < self.epoch and not self.is_missing:
            return  # of an owner that is none any more
        self._heard_at = monotonic()
        if told.beat is not None:
            self.beat = told.beat
        if not self._is_true:
            if self.epoch == 0 or len(self._waiting) >= WAITING_LIMIT:
                self._waiting.clear()
                self._begin_at(told)
            self._waiting.append(told)
            return
        if not self._follows(told):
            self._is_true = False
            self._begin_at(told)
        self.look()

    def look(self) -> None:
        """Once a second: has it fallen silent, does it speak again?"""
        if self.is_missing != self._was_missing:
            self._was_missing = self.is_missing
            if self.is_missing:
                log.warning("shard_without_core", shard=self.shard)
            else:
                log.info("shard_has_core", shard=self.shard)
            self._changed(self.shard)

    async def run(self) -> None:
        """Read whenever that is wanted, until cancelled."""
        await self._is_wanted(FIRST_S)
        while True:
            self._wanted.clear()
            began = monotonic()
            try:
                self._house.take(self.shard, await asyncio.to_thread(self._house.read, self.shard))
            except SQLAlchemyError as error:
                log.warning("shard_not_read", shard=self.shard, reason=reason_of(error))
                await asyncio.sleep(AGAIN_S)
                continue
            except Exception:  # one shard that cannot be shown must not take the others away (invariant 9)
                log.exception("shard_read_bug", shard=self.shard)
                await asyncio.sleep(AGAIN_S)
                continue
            self.reads += 1
            self.as_of = utc_now()
            self.is_read.set()
            if not self._wanted.is_set():  # else it began before what must be in it
                self._is_true = True
                self._catch_up()
                self._moved.set()
            await self._wanted.wait()
            await asyncio.sleep(max(0.0, began + AGAIN_S - monotonic()))

    async def _is_wanted(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._wanted.wait()
        except TimeoutError:
            pass

    def _catch_up(self) -> None:
        """What was told while the tables were read."""
        waiting, self._waiting = self._waiting, deque()
        while waiting:
            told = waiting.popleft()
            if not self._follows(told):
                self._is_true = False
                self._begin_at(told)
                self._waiting = waiting
                return

    async def reached(self, epoch: int, number: int, timeout_s: float) -> None:
        """Returns when that is known here, or the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self._is_true or (self.epoch, self.number) < (epoch, number):
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            pass

    def _follows(self, told: Told) -> bool:
        """Lay it over what is known, unless it is in there. False: something between is missing."""
        has_changes = told.beat is None
        if told.epoch != self.epoch or told.number > self.number + has_changes:
            return False
        if told.number == self.number + 1:
            self._house.apply(self.shard, told)
            self.number = told.number
            self.lag_s = max(0.0, utc_now().timestamp() - told.at)
        if told.number == self.number:
            self.as_of = from_micros(int(told.at * 1_000_000))
        self._moved.set()
        return True

    def _begin_at(self, told: Told) -> None:
        """Read again: what is on disk from now on has everything up to here."""
        self.epoch, self.number = told.epoch, told.number
        self._wanted.set()
