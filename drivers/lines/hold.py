"""What a line does whose peers never repeat: signals are held in order, emitted, and emitted again until they are stored, up to a bound.

Used by the lines that listen to telephone exchanges (HEP over UDP and streams, AMI, ESL), whose codec keeps state of its own over connections.
"""

import asyncio
import contextlib
from collections import Counter, deque
from datetime import datetime
from typing import Protocol

import msgspec
import structlog

from drivers.contract import Emit, Rejected, Signal, to_event
from gateway import clock
from gateway.event import Event

# What may wait while the store is away. A call is four events: 20,000 are 5,000 calls, a day of a busy hotline.
HOLD_EVENTS = 20_000
HOLD_BYTES = 64 * 1024 * 1024  # ... and rejected floods of full-size datagrams must not fill the memory
REJECTED_SHARE = 4  # rejected bytes may fill a quarter of either: a flood of rubbish, while the store is away, must not push out a call
BATCH = 1_000  # one emit: enough to share a commit, small enough to be quick
RETRY_S = (0.2, 5.0)  # pause before the same events are emitted again, doubling from first to last

Item = Event | Rejected

log = structlog.get_logger()


class Timed(Protocol):
    """The part of a codec that has timers of its own."""

    def deadline(self) -> float | None: ...

    def handle_deadline(self, now: float, received_at: datetime) -> list[Signal | Rejected]: ...


class NoTimers:
    """For a line that runs its codec's timers itself, beside the delivery: they must not wait for a slow store."""

    def deadline(self) -> float | None:
        return None

    def handle_deadline(self, now: float, received_at: datetime) -> list[Signal | Rejected]:  # noqa: ARG002 - the seam is the same for all
        return []


class Delivery:
    """Between a codec without receipts and the pipeline: one emit at a time; what arrives meanwhile collects.

    counts: `dropped` grows when the hold was full. The object outlives connections and runs of its line, and so does what it holds.
    """

    def __init__(self, name: str, codec: Timed, counts: Counter[str]) -> None:
        self._name = name
        self._codec = codec
        self._counts = counts
        self._hold = _Hold()
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._bug: Exception | None = None

    def __len__(self) -> int:
        """Events read and not yet stored."""
        return len(self._hold)

    @property
    def fullness(self) -> float:
        """How much of the room is taken, 0 to 1: by number or by size, whichever is more."""
        return self._hold.fullness

    def begin(self) -> None:
        """A new run of the line, perhaps in a new loop."""
        self._bug = None
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()

    def keep(self, found: list[Signal | Rejected], received_at: datetime) -> None:
        """Take what the codec found; also call it (with nothing) when the codec's deadline may have moved."""
        for item in found:
            kept = msgspec.structs.replace(item, line=self._name) if isinstance(item, Rejected) else to_event(item, self._name, received_at)
            dropped = self._hold.add(kept)
            if dropped:
                if not self._counts["dropped"]:
                    log.error("hold_full", line=self._name, limit=HOLD_EVENTS)
                self._counts["dropped"] += dropped
        self._wake.set()

    def fail(self, bug: Exception) -> None:
        """A codec never raises: this is our bug, and the supervisor's to report. `run` raises it."""
        self._bug = bug
        self._wake.set()

    async def run(self, emit: Emit) -> None:
        """Emit what waits, oldest first, until cancelled; cancelling loses nothing that is not also still held."""
        pause_s = RETRY_S[0]
        while True:
            if self._bug is not None:
                raise self._bug
            self._run_deadline()
            batch = self._hold.first(BATCH)
            if not batch:
                self._empty.set()
                await self._wait()
                continue
            self._empty.clear()
            verdicts = await emit(batch)
            again = [item for item, verdict in zip(batch, verdicts, strict=True) if verdict.retry]
            self._hold.done(len(batch), again)
            if again:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_S[1])
            else:
                pause_s = RETRY_S[0]

    async def emptied(self) -> None:
        """Wait until everything that was kept is stored; `run` must be running."""
        while self._hold:
            self._empty.clear()
            await self._empty.wait()

    def _run_deadline(self) -> None:
        deadline = self._codec.deadline()
        if deadline is not None and deadline <= clock.monotonic():
            received_at = clock.utc_now()
            self.keep(self._codec.handle_deadline(clock.monotonic(), received_at), received_at)

    async def _wait(self) -> None:
        """Until something was kept or the codec wants its turn."""
        deadline = self._codec.deadline()
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if deadline is None else max(0.0, deadline - clock.monotonic())):  # wait_for may swallow a cancellation
                await self._wake.wait()


class _Hold:
    """Events in order of arrival, bounded by number and by size. Rejected bytes have bounds of their own; events drop the oldest."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._rejected = 0  # how many of the items are rejected bytes, and their size
        self._rejected_bytes = 0
        self._taken = 0  # in the pipeline's hands at this moment: not to be dropped under them

    def __len__(self) -> int:
        return len(self._items)

    @property
    def fullness(self) -> float:
        return max(len(self._items) / HOLD_EVENTS, self._bytes / HOLD_BYTES)

    def add(self, item: Item) -> int:
        """Keep it at the end; gives how many were dropped for it."""
        size = len(item.raw)
        if isinstance(item, Rejected) and self._is_full_of_rejected(size):
            return 1
        dropped = 0
        while self._is_full(size) and len(self._items) > self._taken:
            oldest = self._items[self._taken]
            del self._items[self._taken]
            self._count(oldest, -1)
            dropped += 1
        self._items.append(item)
        self._count(item, 1)
        return dropped

    def first(self, count: int) -> list[Item]:
        """The oldest ones, still held until `done`."""
        self._taken = min(count, len(self._items))
        return [self._items[at] for at in range(self._taken)]

    def done(self, count: int, again: list[Item]) -> None:
        """The first `count` have their verdicts; those to be emitted again stay at the front, in order."""
        for _ in range(count):
            self._count(self._items.popleft(), -1)
        for item in reversed(again):
            self._items.appendleft(item)
            self._count(item, 1)
        self._taken = 0

    def _count(self, item: Item, sign: int) -> None:
        size = sign * len(item.raw)
        self._bytes += size
        if isinstance(item, Rejected):
            self._rejected += sign
            self._rejected_bytes += size

    def _is_full_of_rejected(self, size: int) -> bool:
        is_many = REJECTED_SHARE * self._rejected >= HOLD_EVENTS or REJECTED_SHARE * (self._rejected_bytes + size) > HOLD_BYTES
        return is_many or self._is_full(size)

    def _is_full(self, size: int) -> bool:
        return len(self._items) >= HOLD_EVENTS or (bool(self._items) and self._bytes + size > HOLD_BYTES)
