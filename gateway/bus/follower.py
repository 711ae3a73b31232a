"""Reads the stream of one shard into its pipeline, in order, and knows up to where everything is on disk.

Up to WINDOW events are under way at once, so that a batch finds many waiting; while the store is down they wait in the pipeline. The position moves
on only over what is on disk whole; it is committed with whatever is committed next. What comes again after a kill is folded by its identity. Where a
message is missing that an edge must have handed over (gateway.bus.heard), all is read again by another reader until one gives it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any

import structlog

from drivers.contract import Rejected, Verdict
from gateway.bus.contract import Bus, BusDown, Envelope, MadeAnew, Message, Shorter
from gateway.bus.heard import Heard
from gateway.bus.together import end, together
from gateway.clock import monotonic
from gateway.event import Event

log = structlog.get_logger("bus")

WINDOW = 2000  # events under way: two batches of the pipeline
KEEP_S = 2.0  # so often the position is written when nothing else is, and the database hears of us: thrice within ownership.IDLE_S
HALF_FULL = 0.5  # of the stream
FORGET_S = 60.0  # so often the stream is told what is not needed any more
ELSEWHERE = (
    6  # readers that are tried for what is missing: each lives on one of three servers by chance, so all on the one without it once in 700 times
)
AGAIN_S = 0.5

Receive = Callable[[Sequence[Event | Rejected]], Coroutine[Any, Any, Sequence[Verdict]]]


class _UnderWay:
    """One message of the bus on its way to the disk."""

    __slots__ = ("count", "envelope", "sequence", "task")

    def __init__(self, message: Message, content: list[Event | Rejected], receive: Receive) -> None:
        self.sequence = message.sequence
        self.envelope = message.envelope
        self.count = len(content)
        self.task = asyncio.create_task(receive(content))


class Follower:
    """One shard's reader. `position`, `heard` and `lag_s` are for commits and for metrics; reread: how often something was missing."""

    def __init__(
        self,
        shard: int,
        bus: Bus,
        receive: Receive,
        note: Callable[[int], None],
        keep: Callable[[bool], Awaitable[bool]],
        keep_s: float,
        lost: Callable[[int, int], Awaitable[None]] | None = None,
        heard: Heard | None = None,
    ) -> None:
        """lost: is told behind which position how many messages are missing that the stream once had; before what follows them is read.

        heard: what is on disk. It moves on with the position.
        """
        self.shard = shard
        self.heard = heard or Heard()
        self.reread = 0
        self._taken = self.heard.copy()  # and what is under way
        self._lost = lost
        self.position = 0
        self._bus = bus
        self._receive = receive
        self._note = note
        self._keep = keep
        self._keep_s = keep_s
        self._under_way: deque[_UnderWay] = deque()
        self._events = 0
        self._room = asyncio.Event()
        self._arrived = asyncio.Event()

    @property
    def under_way(self) -> int:
        """Events read and not yet on disk."""
        return self._events

    @property
    def lag_s(self) -> float:
        """How long ago an edge had the oldest message that is not on disk yet; 0 when all that was read is."""
        return max(0.0, time.time() - self._under_way[0].envelope.at) if self._under_way else 0.0

    async def run(self, after: int, made: int) -> None:
        """From behind this position of the stream made then, until cancelled. Raises MadeAnew, Shorter: all that was read is on disk then."""
        self.position = after
        self._taken = self.heard.copy()
        self._note(after)
        try:
            await together(self._settle(), self._housekeeping(), self._read(after, made))
        finally:
            await end([one.task for one in self._under_way])

    async def _read(self, after: int, made: int) -> None:
        try:
            await self._take(after, made)
        except (MadeAnew, Shorter):
            while self._under_way:  # nobody else has it any more
                self._room.clear()
                await self._room.wait()
            raise

    async def _take(self, after: int, made: int) -> None:
        """By one reader, and where something is missing by others."""
        in_vain, seen = 0, ("", 0)
        while True:
            before, gap = await self._take_until_gap(after, made, seen if in_vain >= ELSEWHERE else None)
            in_vain = in_vain + 1 if (gap.life, gap.number) == seen else 1
            seen = gap.life, gap.number
            self.reread += 1
            log.error(
                "bus_skipped: messages of this edge are confirmed and not given; read again by another reader",
                shard=self.shard,
                edge=gap.edge,
                messages=self._taken.missing(gap),
                position=before,
                tried=in_vain,
            )
            await asyncio.sleep(AGAIN_S * in_vain)
            after = await self._begin(after)

    async def _begin(self, after: int) -> int:
        """The place before the first message that the stream has."""
        try:
            return max(0, (await self._bus.span(self.shard))[0] - 1)
        except BusDown:
            return after

    async def _take_until_gap(self, after: int, made: int, given_up: tuple[str, int] | None) -> tuple[int, Envelope]:
        """Until something is missing before a message, other than the one given up (its life and number): the place before it, and itself."""
        async with aclosing(self._bus.follow(self.shard, after, made)) as messages:  # type: ignore[type-var]
            async for message in messages:
                envelope = message.envelope
                missing = self._taken.missing(envelope)
                if missing > 0 and (envelope.life, envelope.number) != given_up:
                    return message.sequence - 1, envelope
                if missing > 0:
                    log.error("bus_lost_messages: no reader gives them", shard=self.shard, edge=envelope.edge, messages=missing)
                    await self._tell_lost(message.sequence - 1, missing)
                elif message.sequence > after + 1:  # a server that led it next did not have them
                    log.error("bus_forgot: messages between are not there any more", shard=self.shard, position=after, first=message.sequence)
                    await self._tell_lost(after, message.sequence - 1 - after)
                after = message.sequence
                if missing >= 0:
                    await self._under_way_with(message)
        raise AssertionError("a stream ended")

    async def _tell_lost(self, position: int, messages: int) -> None:
        if self._lost is not None:
            await self._lost(position, messages)

    async def _under_way_with(self, message: Message) -> None:
        content = message.envelope.content
        while self._events and self._events + len(content) > WINDOW:
            self._room.clear()
            await self._room.wait()
        self._taken.take(message.envelope)
        self._under_way.append(_UnderWay(message, content, self._receive))
        self._events += len(content)
        self._arrived.set()

    async def _settle(self) -> None:
        """Take what is on disk off the front, in order."""
        while True:
            if not self._under_way:
                self._arrived.clear()
                await self._arrived.wait()
            first = self._under_way[0]
            await first.task
            self._under_way.popleft()
            self._events -= first.count
            self.heard.take(first.envelope)
            self.position = first.sequence
            self._note(first.sequence)
            self._room.set()

    async def _housekeeping(self) -> None:
        """The position goes to disk though nothing happens, and the stream forgets what is older than it must be kept."""
        kept = self.position
        marks: deque[tuple[float, int]] = deque()
        forgotten = forget_at = 0.0
        while True:
            await asyncio.sleep(KEEP_S)
            position, now = self.position, monotonic()
            if await self._keep(position != kept):
                kept = position
            if now < forget_at:
                continue
            forget_at = now + FORGET_S
            marks.append((now, kept))
            old = 0
            while marks and marks[0][0] <= now - self._keep_s:
                old = marks.popleft()[1]
            try:
                if await self._bus.fill(self.shard) > HALF_FULL:  # room for what comes counts more than a spare copy of what is on disk
                    old = kept
                if old > forgotten:
                    await self._bus.forget(self.shard, old)
                    forgotten = old
            except BusDown as down:
                log.info("nothing_forgotten", shard=self.shard, reason=str(down))
