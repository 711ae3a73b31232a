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
from typing import NamedTuple

import msgspec
import structlog

from gateway.console import views
from gateway.console.notice_views import SUPERVISORS, notice_items, shift_items
from gateway.console.reader import area_of
from gateway.console.seam import House
from gateway.core.incident import Flag, Incident, State
from gateway.core.maintenance import key_of
from gateway.core.service_need import is_request
from gateway.core.territory import Standing
from gateway.event import Kind, Severity
from gateway.pipeline import Changes

log = structlog.get_logger()

RENDER_LIMIT = 1_000  # rows made at one go, about 12 ms of the loop that also takes alarms; the rest in the next tick
TICK_S = 0.2  # at most one frame per 200 ms: the eye needs no more, and ten changes of one row become one (console design, 6)
HEARTBEAT_S = 5.0
LOOK = timedelta(seconds=5)  # modes, notices and counts of senders are that old at most
FADE = timedelta(minutes=15)  # a closed incident stays in the list this long
CHANGED_LIMIT = 20_000  # ids remembered while nobody listens; past it the next reader compares everything instead
FRAMES_LIMIT = 64  # different numbers that readers may stand at within one tick and still share a frame; all sockets together need one or two
GONE_LIMIT = 10_000  # remembered removals (2 MB); a reader who was away for more of them gets a snapshot

Json = views.Json


class Entry(msgspec.Struct):
    """One object: its last change, and its JSON, None when it is gone. areas: those it lies in, None: everybody's; leads: for supervisors alone."""

    rev: int
    body: bytes | None
    areas: tuple[str, ...] | None = None
    leads: bool = False


class Scope(NamedTuple):
    """What one reader may see: areas (empty: everywhere), or of all that only counts (a wallboard, a locked screen). Frames are shared by scope."""

    areas: frozenset[str] = frozenset()
    counts_only: bool = False
    leads: bool = True

    def shows(self, ref: str, areas: tuple[str, ...] | None, *, leads: bool = False) -> bool:
        """Is an object in it?"""
        if leads and not self.leads:
            return False
        if self.counts_only and not ref.startswith(COUNTED):
            return False
        return not self.areas or areas is None or not self.areas.isdisjoint(areas)


EVERYTHING = Scope()
SAID = ("notice:", "shift:")  # what people said to each other
COUNTED = ("counter:", "line:", "state:")  # objects without anybody's name


class Bucket(NamedTuple):
    """As much of an incident as the counters need. areas: those it lies in, None: nobody knows."""

    severity: Severity
    state: State
    opened_at: datetime
    cries: int
    areas: tuple[str, ...] | None
    shelved: bool = False
    owner: str | None = None
    touched_at: datetime | None = None


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
        self._owned: dict[str, dict[str, datetime]] = {}  # owner → open incidents in their hands, last touched when
        self._runaways: dict[str, None] = {}  # rows that say so, and must say when it is over
        self._looked_at: datetime | None = None
        self._covered: dict[tuple[str, ...], tuple[str, ...] | None] = {}
        self._desks: dict[str, str] = {}  # extension → who is on duty there
        self._buckets: dict[str, Bucket] = {}
        self._recounted = False
        self._tally: Counter[tuple[Severity, State]] = Counter()
        self._raised: dict[str, Bucket] = {}  # those that nobody has taken
        self._requests: dict[str, tuple[State, bool]] = {}  # open requests for services: state, and is there nobody who can give it
        self._counted = 0
        self._told = 0  # changes of requests seen: who looks at their list reads it again
        self._fading: list[tuple[datetime, str]] = []
        self._frames: dict[tuple[int, Scope], bytes] = {}
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
            self._covered.clear()
            self._all_changed = True
        if self._all_changed:
            self._all_changed = False
            self._requests.clear()  # those that were closed and forgotten meanwhile
            self._changed.update(dict.fromkeys(self._everything()))
        while self._fading and self._fading[0][0] <= now:
            self._changed[heapq.heappop(self._fading)[1]] = None
        before = self.rev
        if self._looked_at is None or not timedelta(0) <= now - self._looked_at < LOOK:
            self._looked_at = now
            self._changed.update(self._runaways)
            self._say()
        people = {f"operator:{row['id']}": row for row in self._operators()}
        desks = {str(row["extension"]): str(row["name"]) for row in people.values() if row.get("extension")}
        if desks != self._desks:
            self._desks = desks
            self._changed.update(dict.fromkeys(f"call:{name}" for name in house.calls))
        for ref in list(islice(self._changed, RENDER_LIMIT)):
            del self._changed[ref]
            try:
                self._put(ref, self._render(ref), self._areas_of(ref))
            except Exception:  # one row that cannot be shown must not take the others away
                log.exception("console_row_failed", ref=ref)
        for ref in self._people - people.keys():
            self._put(ref, None)
        for ref, row in people.items():
            self._put(ref, self._with_load(row), self._overlapping(row.get("areas")))
        self._people = set(people)
        self._put("counter:board", views.board_item(people.values(), house.calls.values()))
        if self._told != self._counted:
            self._counted = self._told
            self._put("counter:requests", views.request_counter(self._requests.values(), self._told))
        if self.rev != before or before == 0:
            counter = views.counter_item(self._tally, self._raised.values(), self._shelved(self._buckets.values()))
            self._put("counter:queue", counter, anew=self._recounted)  # of all areas together it may be as before, and of one of them not
            self._recounted = False
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
        if incident is not None and is_request(incident):
            self._told += 1
            self._requests.pop(name, None)
            if incident.is_open:
                self._requests[name] = incident.state, Flag.UNMATCHED in incident.flags
            return None  # ordinary services are a queue of their own, never among the alarms (gateway.console.request_routes)
        if incident is None or (not incident.is_open and (incident.closed_at or incident.changed_at) + FADE <= self._now):
            self._count(name, None)
            return None
        if not incident.is_open:
            heapq.heappush(self._fading, ((incident.closed_at or incident.changed_at) + FADE, f"incident:{name}"))
        areas, is_shelved = self._areas(incident), incident.shelf is not None
        bucket = Bucket(incident.severity, incident.state, incident.opened_at, incident.cries, areas, is_shelved, incident.owner, incident.changed_at)
        self._count(name, bucket)
        return views.incident_row(self._house.register, incident, self._now) | self._runaway(incident)

    def _runaway(self, incident: Incident) -> Json:
        """Does its device send the same again and again? Looked up for what is shown only."""
        ref, working = f"incident:{incident.id}", self._house.working
        if incident.is_open and incident.device is not None:
            kinds = (incident.kind, *incident.also)
            senders = [working.senders.of((incident.line, incident.device, kind.value), self._now, working.desk) for kind in kinds]
            worst = max(senders, key=lambda one: (one.count, one.streak))
            if worst.count >= working.desk.runaway:
                self._runaways[ref] = None
                offer = worst.streak >= working.desk.runaway_streak and not _is_ruled(working.standings, incident, self._now)
                told: Json = {"runaway": worst.count}
                return told | ({"offer_maintenance": True} if offer else {})
        self._runaways.pop(ref, None)
        return {}

    def ruled(self) -> None:
        """Somebody has ruled about the desk: the next refresh shows it."""
        self._looked_at = None

    def _say(self) -> None:
        """Modes and notices anew: what is no object of the house."""
        house = self._house
        flood = house.flood.look(self._now)
        self._put("state:flood", {"type": "state", "id": "flood", **msgspec.to_builtins(flood)})
        self._put("state:ears", {"type": "state", "id": "ears", "areas": house.ears.heard()})
        said = {f"{row['type']}:{row['id']}": row for row in (*notice_items(house.standings, self._now), *shift_items(house.standings))}
        for ref in [ref for ref, entry in self._entries.items() if ref.startswith(SAID) and entry.body is not None and ref not in said]:
            self._put(ref, None)
        for ref, row in said.items():
            self._put(ref, row, self._overlapping(row["areas"]), leads=row.get("to") == SUPERVISORS)

    def _with_load(self, row: Json) -> Json:
        """A row of somebody on duty, with what is in their hands."""
        mine = self._owned.get(str(row["name"]), {})
        return row | {"load": len(mine), "oldest": views.to_second(min(mine.values())) if mine else None}

    def _overlapping(self, areas: object) -> tuple[str, ...] | None:
        """To whose eyes somebody or something of these areas lies: all above them and all below; None: everybody's."""
        named = tuple(str(one) for one in areas) if isinstance(areas, list | tuple) else ()
        if not named:
            return None
        if named not in self._covered:
            register = self._register
            wanted = set(named)
            below = [area for area in register.areas if not wanted.isdisjoint(register.areas_above(area))]
            above = [one for area in named for one in register.areas_above(area)]
            self._covered[named] = tuple(dict.fromkeys((*above, *below)))
        return self._covered[named]

    def _areas_of(self, ref: str) -> tuple[str, ...] | None:
        """In which areas an object lies; None: everybody's."""
        kind, _, name = ref.partition(":")
        house = self._house
        if kind == "incident":
            bucket = self._buckets.get(name)
            return bucket.areas if bucket is not None else None
        call = house.calls.get(name) if kind == "call" else None
        if call is None:
            return None
        incident = house.incidents.get(call.incident or "")
        if incident is not None:
            return self._areas(incident)
        known = [house.register.persons[one].area for one in call.persons if one in house.register.persons]
        return tuple(area for one in known for area in house.register.areas_above(one)) or None

    def is_call_of(self, scope: Scope, name: str) -> bool:
        """Is a call shown to this reader?"""
        return scope.shows(f"call:{name}", self._areas_of(f"call:{name}"))

    def _areas(self, incident: Incident) -> tuple[str, ...] | None:
        return tuple(self._house.register.areas_above(area_of(self._house.register, incident))) or None

    def _count(self, name: str, bucket: Bucket | None) -> None:
        before = self._buckets.pop(name, None)
        self._recounted |= _counted(before) != _counted(bucket)
        self._raised.pop(name, None)
        if before is not None:
            if not before.shelved:
                self._tally[before.severity, before.state] -= 1
            if before.owner is not None:
                self._owned.get(before.owner, {}).pop(name, None)
        if bucket is not None:
            self._buckets[name] = bucket
            if not bucket.shelved:  # it leaves the counters, as on the page
                self._tally[bucket.severity, bucket.state] += 1
            if bucket.state is State.RAISED and not bucket.shelved:  # what is put aside does not sound
                self._raised[name] = bucket
            if bucket.owner is not None and bucket.state is not State.CLOSED and bucket.touched_at is not None:
                self._owned.setdefault(bucket.owner, {})[name] = bucket.touched_at

    @staticmethod
    def _shelved(buckets: Iterable[Bucket]) -> int:
        return sum(bucket.shelved for bucket in buckets)

    def _counter_of(self, scope: Scope) -> bytes:
        """The counters of the queue as they are for one scope."""
        mine = [bucket for bucket in self._buckets.values() if scope.shows("counter:", bucket.areas)]
        tally = Counter((bucket.severity, bucket.state) for bucket in mine if not bucket.shelved)
        raised = [bucket for bucket in mine if bucket.state is State.RAISED and not bucket.shelved]
        return msgspec.json.encode(views.counter_item(tally, raised, self._shelved(mine)))

    def _put(self, ref: str, row: Json | None, areas: tuple[str, ...] | None = None, *, leads: bool = False, anew: bool = False) -> None:
        body = None if row is None else msgspec.json.encode(row)
        entry = self._entries.get(ref)
        if not anew and (body is None if entry is None else (entry.body == body and entry.areas == areas)):
            return
        self.rev += 1
        self._entries[ref] = Entry(self.rev, body, areas, leads)
        self._entries.move_to_end(ref)
        if body is not None:
            self._gone.pop(ref, None)
            return
        self._gone[ref] = None
        self._gone.move_to_end(ref)
        while len(self._gone) > GONE_LIMIT:
            self.floor = self._entries.pop(self._gone.popitem(last=False)[0]).rev

    def frame(self, since: int, epoch: str, scope: Scope = EVERYTHING) -> bytes:
        """What has changed since `since`, or everything (reset) when that number says nothing to us. Encoded once per tick, number and scope."""
        start = since if epoch == self.epoch and max(1, self.floor) <= since <= self.rev else 0
        made = self._frames.get((start, scope))
        if made is None:
            if len(self._frames) >= FRAMES_LIMIT:
                self._frames.clear()
            made = self._frames[start, scope] = self._encode(start, scope)
        return made

    def _encode(self, start: int, scope: Scope) -> bytes:
        items: list[bytes] = []
        gone: list[str] = []
        for ref in reversed(self._entries):
            entry = self._entries[ref]
            if entry.rev <= start:
                break
            if entry.body is not None and scope.shows(ref, entry.areas, leads=entry.leads):
                items.append(self._counter_of(scope) if ref == "counter:queue" and scope.areas else entry.body)
            elif start and scope.shows(ref, None):
                gone.append(ref)  # also what has left the areas of this reader
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


def _counted(bucket: Bucket | None) -> tuple[object, ...] | None:
    """What of it the counters are made of."""
    return None if bucket is None else bucket[: Bucket._fields.index("owner")]


def _is_ruled(standings: Mapping[str, Standing], incident: Incident, now: datetime) -> bool:
    """Is its device in maintenance already?"""
    standing = standings.get(key_of(incident.line, incident.device))
    return standing is not None and standing.holds(now)
