"""How long what tells of people is kept, and how one person is forgotten: first the journal says that it is to be erased, then it is.

Killed in between, the next run erases what was told: `gateway journal verify` wants the entry, not the order.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import wait
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError

from gateway.clock import monotonic, utc_now
from gateway.config.retention import RetentionConfig
from gateway.core.register import Register
from gateway.core.routing import CHINA
from gateway.errors import GatewayError, Refused
from gateway.event import Kind
from gateway.store.chain import CONTENT, RAW, Range
from gateway.store.erase import Eraser, pieces
from gateway.store.store import Store

log = structlog.get_logger("retention")

RANGES_AT_ONCE = 1000  # in one `purged` entry: 20 kB
PAUSE_S = 0.02  # between two pieces of 5 ms: the alarm path has the disk four fifths of the time
JUMP = timedelta(days=1)  # of the clock while we run: more than any correction
AWAY = timedelta(days=31)  # without an entry before the start: a dead clock battery looks like it, and a month on a shelf may wait for a person
RETRY_S = 3600.0  # the store was down at the hour of the daily run: once more, then tomorrow

# Journals one `purged` entry: (actor, facts). Returns when it is on disk.
Tell = Callable[[str, Mapping[str, object]], None]
# Forgets last signs by their names ("<line>|<address>", "person:…", "watch:…"), wherever they are kept; gives how many rows it erased.
Unsee = Callable[[Sequence[str]], int]


class Counts(msgspec.Struct):
    """What was erased: journal entries (whole, or their raw bytes), incidents, messages refused, last signs."""

    entries: int = 0
    raw: int = 0
    incidents: int = 0
    rejected: int = 0
    seen: int = 0


class Purge:
    """One run, in a thread of its own."""

    def __init__(
        self, store: Store, config: RetentionConfig, tell: Tell, pause: Callable[[], None] = lambda: time.sleep(PAUSE_S), unsee: Unsee | None = None
    ) -> None:
        self._eraser = Eraser(store.engine, pause)
        self._config = config
        self._tell = tell
        self._unsee = unsee or self._eraser.erase_seen

    def old(self, now: datetime, actor: str = "gateway") -> Counts:
        """Erase what is older than the periods say."""
        config, eraser, counts = self._config, self._eraser, Counts()
        content = eraser.entries_until(now - timedelta(days=config.journal_days), raw_only=False)
        self._told(actor, CONTENT, "period", content)
        counts.entries = eraser.erase_entries(content)
        raw = eraser.entries_until(now - timedelta(days=config.raw_days), raw_only=True)
        self._told(actor, RAW, "period", raw)
        counts.raw = eraser.erase_entries(raw, raw_only=True)
        counts.incidents = eraser.erase_incidents(eraser.incidents_until(now - timedelta(days=config.incident_days)))
        counts.rejected = eraser.erase_rejected(now - timedelta(days=config.rejected_days))
        eraser.erase_reports(now - timedelta(days=config.journal_days))
        eraser.erase_corrections_until(now - timedelta(days=config.journal_days))
        counts.seen = eraser.erase_seen_until(now - timedelta(days=config.seen_days))
        eraser.fold()
        return counts

    def look(self, person: str, register: Register) -> list[int] | None:
        """The closed incidents of who may be forgotten; None: nobody of this id was ever here. Raises Refused: still_open, still_registered.

        The register must have let go of them first: while their devices are registered, the next press would be theirs again.
        """
        eraser = self._eraser
        is_known = eraser.is_known(person)
        closed, still_open = eraser.incidents_of(person) if is_known else ([], [])
        if still_open:
            raise Refused("still_open", 409, incidents=[f"I{number}" for number in still_open])
        if person in register.persons or any(device.person == person for device in register.devices):
            raise Refused("still_registered", 409, person=person)
        return closed if is_known else None

    def person(self, person: str, register: Register, actor: str, reason: str) -> Counts:
        """Forget one person. Raises Refused as `look`, and missing_reason."""
        if not reason.strip():
            raise Refused("missing_reason", 400)
        eraser, counts = self._eraser, Counts()
        closed = self.look(person, register)
        if closed is None:
            return counts
        ranges = eraser.entries_of(person, closed)
        devices = [(line, device) for line, device in eraser.devices_of(person) if register.device(line, device) is None]  # else it is another's now
        self._told(actor, CONTENT, "person", ranges, reason=reason.strip())
        counts.seen = self._unsee([f"person:{person}", f"watch:{person}", *(f"{line}|{device}" for line, device in devices)])
        counts.entries = eraser.erase_entries(ranges)
        eraser.erase_mentions(person)
        eraser.erase_standings(person)
        eraser.erase_corrections(person)
        counts.incidents = eraser.erase_incidents(closed)  # last: killed before, they are still known and the next run goes on
        eraser.fold()
        return counts

    def _told(self, actor: str, what: str, why: str, ranges: Sequence[Range], **more: object) -> None:
        for some in pieces(ranges, RANGES_AT_ONCE):
            self._tell(actor, {"what": what, "why": why, "ranges": some, **more})


class Retention:
    """The daily run of the running gateway, and what an operator asks for.

    note: journals one entry (pipeline.note); unsee: pipeline.unsee, as what memory has of last signs would be written anew
    """

    def __init__(
        self,
        store: Store,
        config: RetentionConfig,
        note: Callable[..., Coroutine[Any, Any, None]],
        forget: Callable[[str], None],
        unsee: Callable[[Sequence[str]], Coroutine[Any, Any, int]],
    ) -> None:
        self._store = store
        self.config = config
        self._note = note
        self._forget = forget
        self._unsee = unsee
        self._one = asyncio.Lock()
        self.stopped_at: datetime | None = None  # the last entry of the journal when the gateway started; given by the app
        self.began = utc_now(), monotonic()

    async def run(self) -> None:
        """Once a day at the hour of the configuration, until cancelled."""
        self.began = utc_now(), monotonic()
        while self.config.at:
            await asyncio.sleep((next_run(self.config.at, utc_now()) - utc_now()).total_seconds())
            if not self.trusts_clock():
                log.warning(
                    "nothing was erased: the clock has jumped; if it is right now, `gateway purge` or a restart goes on",
                    began=self.began[0].isoformat(),
                )
            elif not await self._tried():
                await asyncio.sleep(RETRY_S)
                await self._tried()

    def trusts_clock(self) -> bool:
        """A clock that was set wrong makes everything old, and what is erased does not come back with the right time."""
        began, ticks = self.began
        away = self.stopped_at is not None and began - self.stopped_at > AWAY
        return not away and abs(utc_now() - began - timedelta(seconds=monotonic() - ticks)) <= JUMP

    async def old(self, actor: str) -> Counts:
        """Erase what is older than the periods say."""
        return await self._do(lambda purge: purge.old(utc_now(), actor))

    async def person(self, person: str, register: Register, actor: str, reason: str) -> Counts:
        """Forget one person. Raises Refused as Purge.person."""
        counts = await self._do(lambda purge: purge.person(person, register, actor, reason))
        self._forget(person)
        return counts

    async def look(self, person: str, register: Register) -> None:
        """May this person be forgotten? Raises Refused as Purge.look."""
        await asyncio.to_thread(Purge(self._store, self.config, lambda _actor, _facts: None).look, person, register)

    async def _tried(self) -> bool:
        try:
            counts = await self.old("gateway")
        except (GatewayError, SQLAlchemyError) as error:
            log.warning("nothing was erased; once more in an hour, then tomorrow", reason=type(error).__name__)
            return False
        log.info("erased what was kept long enough", **msgspec.to_builtins(counts))
        return True

    async def _do(self, work: Callable[[Purge], Counts]) -> Counts:
        loop, ended = asyncio.get_running_loop(), threading.Event()

        def pause() -> None:
            if ended.wait(PAUSE_S):
                raise _Ended

        def in_loop(asked: Coroutine[Any, Any, Any]) -> Any:
            found = asyncio.run_coroutine_threadsafe(asked, loop)
            while not wait((found,), timeout=1.0).done:
                if ended.is_set():
                    raise _Ended
            return found.result()

        def tell(actor: str, facts: Mapping[str, object]) -> None:
            if ended.is_set():
                raise _Ended
            in_loop(self._note(Kind.PURGED, actor, **facts))

        def unsee(names: Sequence[str]) -> int:
            if ended.is_set():
                raise _Ended
            count: int = in_loop(self._unsee(names))
            return count

        async with self._one:
            try:
                return await asyncio.to_thread(lambda: work(Purge(self._store, self.config, tell, pause, unsee)))
            finally:
                ended.set()  # cancelled: the thread must not outlive the gateway by the hours that a first run takes


class _Ended(Exception):
    """The gateway stops: what is left to erase the next run erases."""


def next_run(at: str, now: datetime) -> datetime:
    """The next time that the clock of the place shows HH:MM."""
    local = now.astimezone(CHINA)
    today = local.replace(hour=int(at[:2]), minute=int(at[3:]), second=0, microsecond=0)
    return today if today > local else today + timedelta(days=1)
