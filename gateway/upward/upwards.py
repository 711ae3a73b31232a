"""All destinations of one house: started and stopped with it, compared once a day, seen in metrics and in `GET /api/v1/upward`."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway.clock import from_micros, utc_now
from gateway.config import MIN_SECRET, Config
from gateway.config.upward import CounterpartConfig, SubscriberConfig
from gateway.core.duty import CHINA
from gateway.core.reported import DayFound, ReportWrite
from gateway.errors import ConfigError, StoreDown
from gateway.secrets import read_secret
from gateway.store.reports import ReportBooks
from gateway.upward.adapters import adapter_of, event_body, line_of
from gateway.upward.feed import Feed, Write, day_of
from gateway.upward.link import Failed, Link
from gateway.upward.pseudonyms import is_other_key, key_of
from gateway.upward.reconcile import compare, mend

log = structlog.get_logger("upward")

KEPT_DAYS = 400  # what was sent can be sent again for a year and a month; about 2 MB a day for a district, compressed
LOOK_BACK = 7  # days that are compared again until they are equal
LOOK_S = 60.0
RETRY_S = 3600.0  # a day that could not be compared
FEED_PAGE = 200  # entries read for one page of the event stream


class Upwards:
    """The feeds, and who looks after them. `head`: the last entry of the journal; `shard`: whose it is, of several. Raises ConfigError for a
    secret that cannot be read."""

    def __init__(
        self,
        config: Config,
        engine: Engine,
        write: Write,
        head: Callable[[], int],
        now: Callable[[], datetime] = utc_now,
        shard: int | None = None,
    ) -> None:
        self.books = ReportBooks(engine)
        self._write = write
        self._head = head
        self._now = now
        self._shard = shard
        self._threads = ThreadPoolExecutor(1, "upward")
        self._tried: dict[tuple[str, str], datetime] = {}
        self._found: dict[str, DayFound] = {}  # the last comparison of each
        told: tuple[CounterpartConfig | SubscriberConfig, ...] = (*config.counterpart, *config.subscriber)
        self._keys = {one.name: key_of(one, config) for one in told}
        self.feeds = [
            Feed(
                one,
                self.books,
                write,
                link_of(one, config, lambda: now().timestamp()),
                adapter_of(one, self._keys[one.name]),
                now,
                self._threads,
                shard,
            )
            for one in told
        ]

    def changed(self, _: object) -> None:
        """A commit has changed something: whoever is idle looks again."""
        for feed in self.feeds:
            feed.news.set()

    async def run(self) -> None:
        """Until cancelled. Every destination has a task of its own, so that none waits for another."""
        try:
            await self._prove_keys()
            async with asyncio.TaskGroup() as tasks:
                for feed in self.feeds:
                    tasks.create_task(feed.run(), name=f"upward {feed.name}")
                tasks.create_task(self._look_after(), name="upward reconciliation")
        finally:
            for feed in self.feeds:
                await feed.link.close()
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _prove_keys(self) -> None:
        """Say so when known persons will be told as new ones: what was told before tells another key. Nobody waits for it."""
        for feed in self.feeds:
            if not (key := self._keys[feed.name]):
                continue
            try:
                is_other = await asyncio.get_running_loop().run_in_executor(self._threads, is_other_key, self.books, feed.name, key)
            except SQLAlchemyError as error:
                log.warning("the key of pseudonyms is not proven", to=feed.name, reason=type(error).__name__)
                continue
            if is_other:
                feed.failures["other_key"] += 1
                log.error("other_key: persons that they know are told as new ones; put the key of before back", to=feed.name)

    # --- the comparing of days ---------------------------------------------------------------------------------------

    async def _look_after(self) -> None:
        while True:
            try:
                await self.reconcile_due()
            except Exception:
                log.exception("upward_bug", to="reconciliation")
            await asyncio.sleep(LOOK_S)

    async def reconcile_due(self) -> None:
        """Compare the days that are due: yesterday from `reconcile_at` on, and earlier ones that were not equal, of who has been told all."""
        now = self._now()
        local = now.astimezone(CHINA)
        for feed in self.feeds:
            if not isinstance(feed.config, CounterpartConfig) or not feed.is_idle or local.strftime("%H:%M") < feed.config.reconcile_at:
                continue
            known = {one.day: one for one in await asyncio.to_thread(self.books.days, feed.name, LOOK_BACK)}
            due = [day for day in _days_before(local) if self._is_due(feed.name, day, known.get(day), now)]
            for day in due:
                self._tried[feed.name, day] = now
                await self.reconcile(feed, day)
            if due:
                await self._keep(ReportWrite(forget=((feed.name, (local.date() - timedelta(days=KEPT_DAYS)).isoformat()),)))
        oldest = (local.date() - timedelta(days=LOOK_BACK)).isoformat()
        self._tried = {key: at for key, at in self._tried.items() if key[1] >= oldest}

    def _is_due(self, name: str, day: str, known: DayFound | None, now: datetime) -> bool:
        """Was it never found equal, and not tried a moment ago?"""
        tried = self._tried.get((name, day))
        is_done = known is not None and known.outcome in ("equal", "mended")
        return not is_done and (tried is None or (now - tried).total_seconds() >= RETRY_S)

    async def reconcile(self, feed: Feed, day: str) -> DayFound:
        """Compare one day, send again what is lost, and write down what was found."""
        try:
            found, wanted = await compare(self.books, feed.link, feed.name, day)
            if found.outcome != "equal":
                log.warning(
                    "reports differ", to=feed.name, day=day, sent=found.sent, received=found.received,
                    lost=list(found.lost), twice=list(found.twice), altered=list(found.altered), unknown=list(found.unknown),
                )  # fmt: skip
                found = await mend(self.books, feed.link, found, wanted)
        except Failed as failed:
            log.warning("cannot compare reports", to=feed.name, day=day, reason=failed.reason)
            feed.failures[f"reconcile_{failed.reason}"] += 1
            return DayFound(name=feed.name, day=day, at=0, outcome=failed.reason)
        self._found[feed.name] = found
        await self._keep(ReportWrite(days=(found,)))
        return found

    async def _keep(self, write: ReportWrite) -> None:
        try:
            await self._write(write)
        except StoreDown:
            log.warning("what was compared could not be written down; it is compared again")

    # --- what can be seen --------------------------------------------------------------------------------------------

    async def view(self) -> list[dict[str, Any]]:
        """How far everybody has been told, and what the last days' comparisons found."""
        head, found = self._head(), []
        for feed in self.feeds:
            cursor, batch = feed.cursor, feed.batch
            days = await asyncio.to_thread(self.books.days, feed.name) if isinstance(feed.config, CounterpartConfig) else []
            found.append(
                {
                    "name": feed.name,
                    "kind": feed.config.kind if isinstance(feed.config, CounterpartConfig) else "subscriber",
                    "received": cursor.number if cursor is not None else None,
                    "under_way": [batch.first, batch.last] if batch is not None else None,
                    "lag_entries": feed.lag_entries(head),
                    "lag_s": round(feed.lag_s(), 1),
                    "failing": feed.failing or None,
                    "failures": dict(feed.failures),
                    "days": days,
                }
            )
        return found

    async def event_stream(self, after: int) -> tuple[bytes, int]:
        """(lines of JSON, the entry up to which they tell) after a journal entry: what supervision would be told, to be read at leisure."""
        return await asyncio.to_thread(event_stream, self.books, after, self._shard)

    def collector(self) -> Collector:
        """For the metrics."""
        return _Seen(self)

    def metrics(self) -> Iterator[Metric]:
        """Lag, reports, failures and what the last comparison found, by destination."""
        head = self._head()
        behind = GaugeMetricFamily("gateway_upward_lag_entries", "Journal entries that a destination was not told of yet", labels=["to"])
        late = GaugeMetricFamily("gateway_upward_lag_seconds", "How old the oldest report without a receipt is", labels=["to"])
        sent = CounterMetricFamily("gateway_upward_reports", "Reports with a receipt", labels=["to"])
        failures = CounterMetricFamily("gateway_upward_failures", "Attempts to report or to compare that failed, by reason", labels=["to", "reason"])
        unequal = GaugeMetricFamily("gateway_upward_unequal", "Reports that differ in the last day compared", labels=["to", "what"])
        for feed in self.feeds:
            behind.add_metric([feed.name], feed.lag_entries(head))
            late.add_metric([feed.name], feed.lag_s())
            sent.add_metric([feed.name], feed.sent)
            for reason, count in list(feed.failures.items()):
                failures.add_metric([feed.name, reason], count)
            day = self._found.get(feed.name)
            if day is not None:
                for what in ("lost", "twice", "altered", "unknown"):
                    unequal.add_metric([feed.name, what], len(getattr(day, what)))
        yield from (behind, late, sent, failures, unequal)


def event_stream(books: ReportBooks, after: int, shard: int | None = None) -> tuple[bytes, int]:
    """As Upwards.event_stream, of any journal. Blocks; raises SQLAlchemyError."""
    entries = books.page(after, FEED_PAGE)
    incidents = books.incidents({entry.incident for entry in entries if entry.incident})
    lines = []
    for entry in entries:
        body = event_body(entry, incidents.get(entry.incident or ""))
        if body is not None:
            lines.append(line_of(entry.seq, day_of(entry), entry, body, shard) + b"\n")
    return b"".join(lines), entries[-1].seq if entries else after


def told_so_far(books: ReportBooks, one: CounterpartConfig | SubscriberConfig) -> dict[str, Any]:
    """How far one destination has been told of one journal, by its tables alone. Blocks; raises SQLAlchemyError."""
    cursor, batch = books.cursor(one.name), books.under_way(one.name)
    return {
        "name": one.name,
        "kind": one.kind if isinstance(one, CounterpartConfig) else "subscriber",
        "received": cursor.number if cursor else 0,
        "received_at": from_micros(cursor.at) if cursor and cursor.number else None,
        "under_way": [batch.first, batch.last] if batch else None,
        "waiting_since": from_micros(batch.at_from) if batch else None,
        "lag_entries": books.head() - cursor.seq if cursor else None,
        "days": [msgspec.to_builtins(day) | {"at": from_micros(day.at)} for day in books.days(one.name)],
    }


def without_core(config: Config, books: ReportBooks, now: datetime) -> list[dict[str, Any]]:
    """As Upwards.view, of a shard that nobody owns at the moment: what waits there waits for a core. Blocks; raises SQLAlchemyError."""
    rows = []
    told: tuple[CounterpartConfig | SubscriberConfig, ...] = (*config.counterpart, *config.subscriber)
    for one in told:
        row = told_so_far(books, one)
        since = row.pop("waiting_since")
        lag_s = round((now - since).total_seconds(), 1) if since is not None else 0.0
        rows.append(row | {"lag_s": max(0.0, lag_s), "lag_entries": row["lag_entries"] or 0, "failing": "no_core", "failures": {}})
    return rows


def _days_before(local: datetime) -> list[str]:
    return [(local.date() - timedelta(days=back)).isoformat() for back in range(1, LOOK_BACK + 1)]


class _Seen(Collector):
    def __init__(self, upwards: Upwards) -> None:
        self._upwards = upwards

    def collect(self) -> Iterator[Metric]:
        yield from self._upwards.metrics()


def link_of(one: CounterpartConfig | SubscriberConfig, config: Config, clock: Callable[[], float]) -> Link:
    """The wire to one destination. Raises ConfigError for a secret that cannot be read."""
    section = "counterpart" if isinstance(one, CounterpartConfig) else "subscriber"
    try:
        secret = read_secret(config.folder / one.secret_file, MIN_SECRET)
    except ValueError as error:
        raise ConfigError([f"{config.path}: {section} {one.name}: secret_file: {error}"]) from error
    reconciliation = one.reconciliation if isinstance(one, CounterpartConfig) else ""
    return Link(one.url, secret, one.timeout_s, clock, reconciliation, config.gateway.district)
