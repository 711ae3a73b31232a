"""The live feed: every object the list shows, with the number of its last change. No queue per client: a connection is one number.

While nobody listens a commit costs noting ids; rows are made when somebody asks, at most once per tick.
"""

import asyncio
import heapq
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from itertools import islice

import msgspec
import structlog

from gateway.console import views
from gateway.console.seam import House
from gateway.core.incident import State
from gateway.event import Kind, Severity
from gateway.pipeline import Changes

log = structlog.get_logger()

RENDER_LIMIT = 1_000  # rows made at one go, about 12 ms of the loop that also takes alarms; the rest in the next tick
TICK_S = 0.2  # at most one frame per 200 ms: the eye needs no more, and ten changes of one row become one (console design, 6)
HEARTBEAT_S = 5.0
FADE = timedelta(minutes=15)  # a closed incident stays in the list this long
CHANGED_LIMIT = 20_000  # ids remembered while nobody listens; past it the next reader compares everything instead
FRAMES_LIMIT = 64  # different numbers that readers may stand at within one tick and still share a frame; all sockets together need one or two
GONE_LIMIT = 10_000  # remembered removals (2 MB); a reader who was away for more of them gets a snapshot

Json = views.Json


class Entry(msgspec.Struct):
    """One object: its last change, and its JSON, or None when it is gone."""

    rev: int
    body: bytes | None


class Feed:
    """All objects, newest change last. `operators` gives the rows of the people on duty at this moment."""

    def __init__(self, house: House, operators: Callable[[], Iterable[Json]] = tuple) -> None:
        self.epoch = secrets.token_hex(4)
        self.rev = 0
        self.floor = 0  # below it removals are forgotten: reset
        self._house = house
        self._register = house.register
        self._operators = operators
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._changed: dict[str, None] = {}
        self._all_changed = True
        self._people: set[str] = set()
        self._desks: dict[str, str] = {}  # extension → who is on duty there
        self._buckets: dict[str, tuple[Severity, State]] = {}
        self._tally: Counter[tuple[Severity, State]] = Counter()
        self._fading: list[tuple[datetime, str]] = []
        self._frames: dict[int, bytes] = {}
        self._now = house.now()
        self._listeners = 0
        self._ticker: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        house.watch(self.note)

    def note(self, changes: Changes) -> None:
        """Something was committed. Cheap on purpose: ids only."""
        if self._all_changed:
            return
        changed = self._changed
        for kind, names in (("incident", changes.incidents), ("call", changes.calls), ("line", changes.lines)):
            for name in names:
                changed[f"{kind}:{name}"] = None
        if len(changed) > CHANGED_LIMIT:
            changed.clear()
            self._all_changed = True

    def refresh(self) -> None:
        """Bring the objects up to what is true now."""
        house = self._house
        self._now = now = house.now()
        self._frames.clear()  # a frame says what time it is
        if self._register is not house.register:
            self._register = house.register
            self._all_changed = True
        if self._all_changed:
            self._all_changed = False
            self._changed.update(dict.fromkeys(self._everything()))
        while self._fading and self._fading[0][0] <= now:
            self._changed[heapq.heappop(self._fading)[1]] = None
        before = self.rev
        people = {f"operator:{row['id']}": row for row in self._operators()}
        desks = {str(row["extension"]): str(row["name"]) for row in people.values() if row.get("extension")}
        if desks != self._desks:
            self._desks = desks
            self._changed.update(dict.fromkeys(f"call:{name}" for name in house.calls))
        for ref in list(islice(self._changed, RENDER_LIMIT)):
            del self._changed[ref]
            try:
                self._put(ref, self._render(ref))
            except Exception:  # one row that cannot be shown must not take the others away
                log.exception("console_row_failed", ref=ref)
        for ref in self._people - people.keys():
            self._put(ref, None)
        for ref, row in people.items():
            self._put(ref, row)
        self._people = set(people)
        if self.rev != before or before == 0:
            self._put("counter:queue", views.counter_item(self._tally))
            self._news.set()
            self._news = asyncio.Event()

    def _everything(self) -> set[str]:
        house = self._house
        known = {ref for ref, entry in self._entries.items() if entry.body is not None and ref.partition(":")[0] in ("incident", "call", "line")}
        found = (("incident", house.incidents), ("call", house.calls), ("line", house.lines))
        return known | {f"{kind}:{name}" for kind, names in found for name in names}

    def _render(self, ref: str) -> Json | None:
        kind, _, name = ref.partition(":")
        house = self._house
        if kind == "incident":
            return self._incident(name)
        if kind == "call":
            call = house.calls.get(name)
            if call is None or call.state is Kind.CALL_ENDED:
                return None
            return views.call_item(house.register, call, house.config.calls.agents, self._desks)
        status = house.lines.get(name)
        return views.line_item(name, status) if status is not None else None

    def _incident(self, name: str) -> Json | None:
        incident = self._house.incidents.get(name)
        if incident is None or (not incident.is_open and (incident.closed_at or incident.changed_at) + FADE <= self._now):
            self._count(name, None)
            return None
        if not incident.is_open:
            heapq.heappush(self._fading, ((incident.closed_at or incident.changed_at) + FADE, f"incident:{name}"))
        self._count(name, (incident.severity, incident.state))
        return views.incident_row(self._house.register, incident, self._now)

    def _count(self, name: str, bucket: tuple[Severity, State] | None) -> None:
        before = self._buckets.pop(name, None)
        if before is not None:
            self._tally[before] -= 1
        if bucket is not None:
            self._buckets[name] = bucket
            self._tally[bucket] += 1

    def _put(self, ref: str, row: Json | None) -> None:
        body = None if row is None else msgspec.json.encode(row)
        entry = self._entries.get(ref)
        if body is None if entry is None else entry.body == body:
            return
        self.rev += 1
        self._entries[ref] = Entry(self.rev, body)
        self._entries.move_to_end(ref)
        if body is not None:
            self._gone.pop(ref, None)
            return
        self._gone[ref] = None
        self._gone.move_to_end(ref)
        while len(self._gone) > GONE_LIMIT:
            self.floor = self._entries.pop(self._gone.popitem(last=False)[0]).rev

    def frame(self, since: int, epoch: str) -> bytes:
        """What has changed since `since`, or everything (reset) when that number says nothing to us. Encoded once per tick and number."""
        start = since if epoch == self.epoch and max(1, self.floor) <= since <= self.rev else 0
        made = self._frames.get(start)
        if made is None:
            if len(self._frames) >= FRAMES_LIMIT:
                self._frames.clear()
            made = self._frames[start] = self._encode(start)
        return made

    def _encode(self, start: int) -> bytes:
        items: list[bytes] = []
        gone: list[str] = []
        for ref in reversed(self._entries):
            entry = self._entries[ref]
            if entry.rev <= start:
                break
            if entry.body is not None:
                items.append(entry.body)
            elif start:
                gone.append(ref)
        head = msgspec.json.encode({"epoch": self.epoch, "rev": self.rev, "now": self._now} | ({} if start else {"reset": True}))
        return b'%b,"items":[%b],"gone":%b}' % (head[:-1], b",".join(items), msgspec.json.encode(gone))

    def heartbeat(self) -> bytes:
        """Nothing has changed, and the link works."""
        return msgspec.json.encode({"hb": self.rev, "now": self._house.now()})

    def is_current(self, since: int, epoch: str) -> bool:
        """Has a reader at this number seen everything?"""
        return epoch == self.epoch and since == self.rev and since > 0

    async def wait(self, since: int, epoch: str, timeout_s: float) -> bool:
        """Wait until there is news for a reader at this number; False when the time is over. Cancelling loses nothing."""
        if not self.is_current(since, epoch):
            return True
        news = self._news
        try:
            async with asyncio.timeout(timeout_s):
                await news.wait()
        except TimeoutError:
            return False
        return True

    def __enter__(self) -> "Feed":
        """Somebody listens: keep the objects fresh until the last one has left."""
        self._listeners += 1
        self.refresh()
        if self._ticker is None or self._ticker.done():
            self._ticker = asyncio.get_running_loop().create_task(self._tick(), name="console-feed")
        return self

    def __exit__(self, *_: object) -> None:
        self._listeners -= 1
        if self._listeners == 0 and self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.refresh()

    @property
    def listeners(self) -> int:
        """Sockets and long polls at this moment."""
        return self._listeners

    def snapshot(self) -> Mapping[str, bytes]:
        """Every object there is, by reference (for tests)."""
        return {ref: entry.body for ref, entry in self._entries.items() if entry.body is not None}
