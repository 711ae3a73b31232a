"""One destination: from the journal to receipts. Numbers have no gaps, a number always has the same content, the cursor moves after the receipt.

A step (`turn`) reads a page of the journal in a thread, writes down what will leave under which numbers, sends it, and writes down the receipt.
Whatever happens in between (a kill, a dead counterpart, a full disk) the same step is done again with the same numbers. Only one batch is in
memory. Nothing here is awaited by the work itself.
"""

import asyncio
import hashlib
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from datetime import date, datetime, time
from typing import Any, TypeVar

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError

from gateway.clock import from_micros, micros
from gateway.config.upward import CounterpartConfig, SubscriberConfig
from gateway.core.duty import CHINA
from gateway.core.reported import Cursor, Outgoing, ReportWrite
from gateway.errors import StoreDown
from gateway.store.reports import Entry, ReportBooks
from gateway.upward.adapters import Adapter, line_of
from gateway.upward.link import Failed, Link

log = structlog.get_logger("upward")

PAGE = 200  # journal entries read in one go: about 2 ms of the interpreter, so that the loop is not kept waiting for it
PAGES = 25  # … and so many pages in one turn, if nothing in them concerns this destination
FIRST_RETRY_S = 1.0
LAST_RETRY_S = 60.0  # of one that answers badly; one that could not be reached is looked for every LOOK_S
LOOK_S = 5.0  # how often we look whether somebody who was gone takes connections again, and for news that nobody told us of
LINGER_S = 0.25  # what happens together leaves together
STORE_RETRY_S = 1.0

Write = Callable[[ReportWrite], Awaitable[None]]
T = TypeVar("T")


class Feed:
    """Cursor, batch under way and counts of one destination. shard: whose journal it is, of several."""

    def __init__(
        self,
        config: CounterpartConfig | SubscriberConfig,
        books: ReportBooks,
        write: Write,
        link: Link,
        adapter: Adapter,
        now: Callable[[], datetime],
        threads: Executor,
        shard: int | None = None,
    ) -> None:
        self.config = config
        self.name = config.name
        self.link = link
        self.books = books
        self.write = write
        self.now = now
        self.cursor: Cursor | None = None
        self.batch: Outgoing | None = None  # under way
        self.sent = 0
        self.failures: Counter[str] = Counter()
        self.failing = ""  # the reason of the last attempt, "" = it went well
        self.news = asyncio.Event()
        self.is_idle = False  # everything that there is has been told
        self._adapter = adapter
        self._threads = threads
        self._shard = shard
        self._retry_s = FIRST_RETRY_S
        self._saved_seq = 0

    async def run(self) -> None:
        """Turn after turn until cancelled. A bug of ours is logged and tried again, far apart: it must not spin, nor stop the house."""
        while True:
            self.news.clear()
            try:
                wait_s = await self.turn()
            except Exception:
                log.exception("upward_bug", to=self.name)
                self.failures["internal"] += 1
                wait_s = LAST_RETRY_S
            if wait_s:
                await self._pause(wait_s)

    async def turn(self) -> float:
        """One step; gives the seconds until the next, 0 for at once."""
        try:
            self.is_idle = False
            await self._begin()
            if self.batch is None and not await self._prepare():
                self.is_idle = not self.news.is_set()
                return LOOK_S
            return await self._deliver()
        except StoreDown:
            return STORE_RETRY_S
        except SQLAlchemyError as error:
            if self.failing != "store":
                log.warning("the journal cannot be read for reporting; trying again", to=self.name, reason=type(error).__name__)
            self._failed("store")
            return self._later()

    async def _in_thread(self, do: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, do, *args)

    # --- from the journal to a batch ---------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """Find out how far it was told; at the very first start that is written down, so that `since` counts once."""
        if self.cursor is not None:
            return
        cursor, batch = await self._in_thread(self._found)
        if cursor is None:
            seq = await self._in_thread(self._first_seq)
            cursor = Cursor(name=self.name, seq=seq, number=0, at=micros(self.now()))
            await self.write(ReportWrite(cursors=(cursor,)))
        self.cursor, self.batch = cursor, batch
        self._saved_seq = cursor.seq

    def _found(self) -> tuple[Cursor | None, Outgoing | None]:
        return self.books.cursor(self.name), self.books.under_way(self.name)

    def _first_seq(self) -> int:
        since = self.config.since
        if since in ("now", "all"):
            return self.books.head() if since == "now" else 0
        return self.books.before(micros(datetime.combine(date.fromisoformat(since), time(), CHINA)))

    async def _prepare(self) -> bool:
        """Make the next batch and write it down; False when there is nothing to tell."""
        assert self.cursor is not None
        for _ in range(PAGES):
            seq, read, batch = await self._in_thread(self._read, self.cursor)
            if batch is not None:
                await self.write(ReportWrite(batches=(batch,)))
                self.batch = batch
                return True
            self.cursor = msgspec.structs.replace(self.cursor, seq=seq, at=micros(self.now()))
            if seq - self._saved_seq >= PAGE:  # lost in a crash, these entries are looked through once more
                await self.write(ReportWrite(cursors=(self.cursor,)))
                self._saved_seq = seq
            if read < PAGE:
                return False
        self.news.set()  # there is more: no waiting for it
        return False

    def _read(self, cursor: Cursor) -> tuple[int, int, Outgoing | None]:
        """(the entry up to which it is read, how many were read, what is to be told of them). In a thread."""
        entries = self.books.page(cursor.seq, PAGE)
        incidents = self.books.incidents({entry.incident for entry in entries if entry.incident})
        newest = {entry.incident: entry.seq for entry in entries} if self._adapter.once else {}
        lines: list[bytes] = []
        told: list[int] = []
        seq, day = cursor.seq, ""
        for entry in entries:
            of_day = day_of(entry)
            body = None
            if not newest or newest[entry.incident] == entry.seq:
                body = self._adapter.body(entry, incidents.get(entry.incident or ""))
            if body is not None:
                if lines and (of_day != day or len(lines) == self.config.batch):
                    break
                day = of_day
                lines.append(line_of(cursor.number + len(lines) + 1, day, entry, body, self._shard))
                told.append(entry.at)
            seq = entry.seq
        if not lines:
            return seq, len(entries), None
        batch = Outgoing(
            name=self.name,
            first=cursor.number + 1,
            last=cursor.number + len(lines),
            day=day,
            seq=seq,
            at_from=min(told),
            at_to=max(told),
            sent_at=None,
            lines=zlib.compress(b"\n".join(lines)),
        )
        return seq, len(entries), batch

    # --- from a batch to a receipt -----------------------------------------------------------------------------------

    async def _deliver(self) -> float:
        batch, needs_receipt = self.batch, isinstance(self.config, CounterpartConfig)
        assert batch is not None
        try:
            await self.link.post(self.name, batch.first, batch.last, zlib.decompress(batch.lines), needs_receipt=needs_receipt)
        except Failed as failed:
            if self.failing != failed.reason:
                log.warning("cannot report; everything waits in the journal", to=self.name, reason=failed.reason, from_number=batch.first)
            self._failed(failed.reason)
            return self._later()
        now = micros(self.now())
        cursor = Cursor(name=self.name, seq=batch.seq, number=batch.last, at=now)
        await self.write(ReportWrite(cursors=(cursor,), batches=(msgspec.structs.replace(batch, sent_at=now),)))
        if self.failing:
            log.info("reports are taken again", to=self.name, from_number=batch.first)
        self.cursor, self.batch, self.failing, self._retry_s, self._saved_seq = cursor, None, "", FIRST_RETRY_S, batch.seq
        count = batch.last - batch.first + 1
        self.sent += count
        return count / self.config.per_second

    def _failed(self, reason: str) -> None:
        self.failures[reason] += 1
        self.failing = reason

    def _later(self) -> float:
        wait_s = self._retry_s
        self._retry_s = min(LAST_RETRY_S, wait_s * 2)
        return wait_s

    async def _pause(self, wait_s: float) -> None:
        """Wait; shorter when there is something new, or when one that was gone takes connections again."""
        if not self.failing:
            if self.is_idle:
                await _within(self.news.wait(), wait_s)
                wait_s = LINGER_S
            await asyncio.sleep(wait_s)
            return
        ends = asyncio.get_running_loop().time() + wait_s
        while (left := ends - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(min(LOOK_S, left))
            if self.failing == "unreachable" and await self.link.is_reachable():
                return

    # --- what can be seen of it --------------------------------------------------------------------------------------

    def lag_s(self) -> float:
        """How old the oldest report is that has no receipt; 0 when nothing waits."""
        return max(0.0, (self.now() - from_micros(self.batch.at_from)).total_seconds()) if self.batch is not None else 0.0

    def lag_entries(self, head: int) -> int:
        """How many entries of the journal it is behind."""
        return max(0, head - self.cursor.seq) if self.cursor is not None else head


async def _within(waiting: Awaitable[object], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await waiting
    except TimeoutError:
        pass


def day_of(entry: Entry) -> str:
    """The local day of an entry: the day under which its report is counted, on both sides."""
    return from_micros(entry.at).astimezone(CHINA).date().isoformat()


def lines_of(batch: Outgoing) -> list[tuple[int, bytes]]:
    """The reports of a batch by number."""
    return list(enumerate(zlib.decompress(batch.lines).split(b"\n"), batch.first))


def digest_of(line: bytes) -> str:
    """What both sides compare: SHA-256 of the line, hex."""
    return hashlib.sha256(line).hexdigest()
