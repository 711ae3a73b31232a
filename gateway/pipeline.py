"""The one path: whatever comes in is decided in memory, written in one transaction, and only then has effects.

Field events, operators' commands, passed deadlines and reports of channels enter by the same door (gateway.inbox). While
one batch is being written the next collects. This is the only writer of state.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import datetime, timedelta
from itertools import islice

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError

from drivers.contract import Rejected, Verdict
from gateway.clock import monotonic, utc_now
from gateway.core.absence import Wish, on_wish
from gateway.core.account import AccessWrite
from gateway.core.command import Command, on_command
from gateway.core.corrections import CorrectionWrite
from gateway.core.hand_over import Taken
from gateway.core.incident import Incident, Leg, Notice, State, Telling
from gateway.core.matters import on_ruling
from gateway.core.register import Register
from gateway.core.reported import ReportWrite
from gateway.core.standing import Ruling
from gateway.core.state import Draft, Record, Seen, WorkingSet, is_news
from gateway.core.territory import Standing
from gateway.dispatch.contract import Channel
from gateway.dispatch.hand_over import HandOvers
from gateway.dispatch.notices import Notices
from gateway.dispatch.outbox import Key, Outbox
from gateway.dispatch.tellings import Tellings
from gateway.errors import StoreDown
from gateway.event import Event, Kind, Phase
from gateway.inbox import (
    ClockStep,
    Corrected,
    Delivered,
    Due,
    Fact,
    HandedOver,
    Incoming,
    Informed,
    Item,
    Lapsed,
    Reported,
    Submission,
    Told,
    Wanted,
)
from gateway.metrics import Metrics
from gateway.store.erase import Eraser
from gateway.store.store import Batch, KnownAlready, Store
from gateway.store.writer import Writer
from gateway.tracing import Tracing

log = structlog.get_logger("pipeline")

BATCH_LIMIT = 1000  # events in one transaction: 6 ms of writing (performance page), so the next batch never waits long
DUE_LIMIT = BATCH_LIMIT // 2  # deadlines queued in one turn: a hundred thousand that passed while we were down leave room for alarms
# Of events that nobody waits for so many are decided before urgent ones are looked for again: 3 ms of heartbeats. Beside urgent ones fewer.
ROUTINE_LIMIT, ROUTINE_BESIDE = 100, 20
LAPSED_LIMIT = 200  # names that have come due, looked at in one turn: 20 ms when each becomes an incident
CHECKPOINT_S = 30.0  # what devices told of themselves goes to disk this often (architecture, section 6)
# … and when they last spoke, if that is all that is new, this often: 100,000 rows every 30 s would be most of what the disk does, for times that
# decide nothing: after a start everybody has a full window. What is lost by a kill is only how old the last sign on a card is.
SPOKE_S = 600.0
CLOCK_STEP_S = 2.0  # a step of the wall clock beyond this is journalled and open deadlines are shifted
LINGER_S = 0.02  # channels' reports are written together, so long after the first: alarms need not share their commits with them
REPORTS_AT_ONCE = 16  # 0.6 ms of work, then alarms are looked for again
REPORTS_LIMIT = 200  # under a load that never ends they travel with the alarms, so that they cannot pile up
RING_EARLY_S = 0.001  # what waits until a time may wait so much longer
TICK_S = 1.0  # the timer looks at the clocks at least this often
STORE_RETRY_S = 1.0  # while the store is down, deadlines and reports try again after this
TIMERS_SPARE = 1_000  # deadlines that were moved stay in the heap until their time; with so many beyond twice those in force it is made anew
CLOSED_KEPT = timedelta(minutes=15)  # closed incidents stay in memory, so that consoles see them go (console design, 6)

# What a database says when this very batch is at fault, or when it is itself: `probe` tells the two apart.
UNSTORABLE = (SQLAlchemyError, UnicodeError, ValueError, OverflowError)


class Changes(msgspec.Struct, frozen=True):
    """What one commit (or one line's edge) has changed, by id. No content: whoever listens reads the latest state."""

    incidents: Set[str] = frozenset()
    calls: Set[str] = frozenset()
    lines: Set[str] = frozenset()


class Pipeline:
    """Owns the working set, the writer thread and the one timer."""

    def __init__(self, store: Store, working: WorkingSet, metrics: Metrics, channels: Mapping[str, Channel] | None = None) -> None:
        self.store = store
        self.working = working
        self.metrics = metrics
        self.outbox = Outbox(channels or {}, self, lambda: self.working.register, metrics)
        self.hand_overs: HandOvers | None = None  # given by the app, as it needs the configuration
        self.tellings: Tellings | None = None  # … and this, as it needs the lines
        self.notices: Notices | None = None
        self.mirror: Callable[[Draft], None] | None = None  # hears each batch that is on disk, for consoles elsewhere
        self.tracing: Tracing | None = None  # … and this, when [tracing] is on
        self.holds = False  # while the store is down events wait here; else they are handed back, and their devices say them again
        self.is_store_down = False
        self.beat = monotonic()
        self._urgent: deque[Item] = deque()
        self._routine: deque[Item] = deque()
        self._reports: list[Item] = []
        self._wake = asyncio.Event()
        self._finishing = False
        self._writer = Writer()
        self._timers: list[tuple[datetime, str]] = []
        self._armed: dict[str, datetime] = {}
        self._watchers: list[Callable[[Changes], None]] = []
        self._unsaved: dict[str, Seen] = {}
        self._saving: dict[str, Seen] = {}
        self._spoke: dict[str, Seen] = {}  # nothing new of them but the time
        self._saved_at = self._spoke_at = monotonic()
        self._reports_due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at: float | None = None
        self._offset = utc_now() - timedelta(seconds=monotonic())
        self._leaving: deque[tuple[datetime, str]] = deque()

    # --- the doors ---------------------------------------------------------------------------------------------------

    async def receive(self, events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        """Take what a line read; answer after the commit, one verdict an event. Cancelling: it may or may not be stored."""
        if not events:
            return []
        answer: asyncio.Future[list[Verdict]] = asyncio.get_running_loop().create_future()
        submission = Submission(len(events), answer)
        for index, event in enumerate(events):
            books = self.metrics.books(event.line)
            books.receive()
            item = Incoming(submission, index, event, books)
            (self._urgent if item.is_urgent else self._routine).append(item)
        self._wake.set()
        return await answer

    async def command(self, command: Command) -> Incident:
        """Do what an operator wants; answers when it is on disk. Raises Refused, StoreDown."""
        answer: asyncio.Future[Incident] = asyncio.get_running_loop().create_future()
        self._put(Wanted(lambda draft, now: on_command(draft, command, now), answer))
        return await answer

    async def absence(self, wish: Wish) -> None:
        """Announce that a watched person is away, or back; answers when it is on disk. Raises Refused, StoreDown."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(Wanted(lambda draft, now: on_wish(draft, wish, now), answer))
        await answer

    async def rule(self, ruling: Ruling) -> Standing:
        """Decide about something that is no incident (gateway.core.standing); answers when it is on disk. Raises Refused, StoreDown."""
        answer: asyncio.Future[Standing] = asyncio.get_running_loop().create_future()
        self._put(Wanted(lambda draft, now: on_ruling(draft, ruling, now), answer))
        return await answer

    async def recall(self, name: str) -> None:
        """Bring a closed incident back into memory for a while, to be read or complained about. Raises StoreDown."""
        if name in self.working.incidents:
            return
        try:
            found = await asyncio.to_thread(self.store.incident, name)
        except SQLAlchemyError as error:
            raise StoreDown("the store cannot be read at the moment; try again") from error
        if found is not None and name not in self.working.incidents:
            self.working.adopt(found)
            self._leaving.append((utc_now() + CLOSED_KEPT, name))
            self.outbox.offer(found)

    async def note(self, kind: Kind, actor: str | None = None, **facts: object) -> None:
        """Journal a fact that concerns no incident (start, duty). Raises StoreDown."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(Fact(Record(kind=kind, phase=Phase.STATE, at=utc_now(), facts=msgspec.json.encode(facts), actor=actor), answer))
        await answer

    async def access(self, kind: Kind, actor: str | None, facts: dict[str, object], write: AccessWrite) -> None:
        """Journal what was done with an account or a session, and write their rows in the same transaction. Raises StoreDown."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(Fact(Record(kind=kind, phase=Phase.STATE, at=utc_now(), facts=msgspec.json.encode(facts), actor=actor), answer, write))
        await answer

    async def corrected(self, record: Record, write: CorrectionWrite) -> None:
        """Write down a correction of the register together with its journal entry. Raises StoreDown."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(Corrected(record, write, answer))
        await answer

    async def reported(self, write: ReportWrite) -> None:
        """Write down how far somebody outside was told; never before an alarm. Raises StoreDown."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._routine.append(Reported(write, answer))
        self._wake.set()
        await answer

    def delivered(self, key: Key, failed: str | None) -> None:
        """A channel's report (see Outbox). Reports wait LINGER_S and are written together; lost in a crash, the order leaves again, same id."""
        if not self._reports:
            self._reports_due = monotonic() + LINGER_S
            self._wake.set()
        self._reports.append(Delivered(key, failed, self))

    def still_pending(self, incident: str, key: Key) -> Leg | None:
        """The leg, while exactly this sending of it is still wanted."""
        known = self.working.incidents.get(incident)
        leg = known.leg(key[0]) if known else None
        return leg if leg is not None and (leg.delivery, leg.repeat, leg.pending) == key else None

    def handed_over(self, incident: str, delivery: str, taken: Taken | None, reason: str) -> None:
        """What another hotline said of a matter (see HandOvers). Lost in a crash, the record leaves again, same id."""
        self._put(HandedOver(incident, delivery, taken, reason, self))

    def still_handing(self, incident: str, delivery: str) -> Incident | None:
        """The incident, while exactly this handing over of it still has to leave."""
        known = self.working.incidents.get(incident)
        handed = known.handed if known is not None and known.is_open else None
        return known if handed is not None and handed.state == "pending" and handed.delivery == delivery else None

    def hand_over_written(self, delivery: str) -> None:
        """What another hotline said is on disk."""
        if self.hand_overs is not None:
            self.hand_overs.reported(delivery)

    def hand_over_again(self, incident: str, delivery: str, taken: Taken | None, reason: str) -> None:
        """It could not be written now: soon again."""
        asyncio.get_running_loop().call_later(STORE_RETRY_S, self.handed_over, incident, delivery, taken, reason)

    def told(self, incident: str, telling: str, reason: str) -> None:
        """What became of telling a device (see Tellings). Lost in a crash, it is told again, same id."""
        self._put(Told(incident, telling, reason, self))

    def still_telling(self, incident: str, telling: str) -> Telling | None:
        """The telling, while it still has to leave."""
        known = self.working.incidents.get(incident)
        return next((one for one in known.tellings if one.id == telling and one.state == "pending"), None) if known is not None else None

    def telling_written(self, telling: str) -> None:
        """What became of it is on disk."""
        if self.tellings is not None:
            self.tellings.reported(telling)

    def informed(self, incident: str, notice: str, reason: str) -> None:
        """What became of a notice (see Notices). Lost in a crash, it leaves again, same id. Alarms go before it."""
        self._routine.append(Informed(incident, notice, reason, self))
        self._wake.set()

    def still_informing(self, incident: str, notice: str) -> tuple[Incident, Notice] | None:
        """The incident and the notice, while it still has to leave."""
        known = self.working.incidents.get(incident)
        found = next((one for one in known.notices if one.id == notice and one.state == "pending"), None) if known is not None else None
        return (known, found) if known is not None and found is not None else None

    def notice_written(self, notice: str) -> None:
        """What became of it is on disk."""
        if self.notices is not None:
            self.notices.reported(notice)

    def notice_again(self, incident: str, notice: str, reason: str) -> None:
        """It could not be written now: soon again."""
        asyncio.get_running_loop().call_later(STORE_RETRY_S, self.informed, incident, notice, reason)

    def telling_again(self, incident: str, telling: str, reason: str) -> None:
        """It could not be written now: soon again."""
        asyncio.get_running_loop().call_later(STORE_RETRY_S, self.told, incident, telling, reason)

    def use(self, register: Register) -> None:
        """Swap the register in, whole. Decisions run in this same loop, so none sees half of it."""
        self.working.use(register, utc_now())

    def amend(self, register: Register, persons: Iterable[str], devices: Iterable[tuple[str | None, str]]) -> None:
        """As `use`, for a register in which only these persons and devices are otherwise."""
        self.working.amend(register, persons, devices, utc_now())

    def watch(self, callback: Callable[[Changes], None]) -> None:
        """Be told after each commit what it changed."""
        self._watchers.append(callback)

    # --- start and stop ----------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """After the working set was restored: arm every deadline, offer every pending order."""
        for incident in list(self.working.incidents.values()):
            self._arm(incident)
            self._offer(incident)
            if not incident.is_open:  # closed with a message that had not left: who was ordered must hear that nobody waits
                self._leaving.append((utc_now() + CLOSED_KEPT, incident.id))

    async def run(self) -> None:
        """Batch after batch, until `finish`. Cancelling between batches loses nothing that was receipted."""
        while True:
            if self._saving or monotonic() - self._saved_at >= CHECKPOINT_S:
                await self._save_seen()
            self._tick()
            items = self._take()
            if items:
                await self._commit(items)
                if self._urgent or self._routine:
                    await asyncio.sleep(0)  # a fast disk lets us commit without waiting: let the others have their turn
            elif self._finishing:
                return
            elif not self._saving:
                await self._sleep()

    async def keep_position(self, *, is_new: bool) -> bool:
        """Write down how far the bus is read, though nothing else is to be written; or only tell the store that we live. False: no answer."""
        try:
            await self._writer.run(self.store.probe if is_new else self.store.touch)
        except StoreDown as down:
            log.warning("the store does not answer", reason=str(down))
            return False
        return True

    def finish(self) -> None:
        """Let `run` return once everything handed over is on disk."""
        self._finishing = True
        self._wake.set()

    async def close(self) -> None:
        """Stop deliveries (they go on after the next start), write the signs of life, let the writer go."""
        await self.outbox.close()
        if self.hand_overs is not None:
            await self.hand_overs.close()
        if self.tellings is not None:
            await self.tellings.close()
        if self.notices is not None:
            await self.notices.close()
        if self._timer is not None:
            self._timer.cancel()
        self._unsaved = {**self._spoke, **self._unsaved}
        self._spoke = {}
        try:
            while (self._saving or self._unsaved) and await self._save_seen():
                pass
        finally:
            await asyncio.to_thread(self._writer.close)

    @property
    def waiting(self) -> int:
        """What has come in and is not yet being written."""
        return len(self._urgent) + len(self._routine) + len(self._reports)

    # --- what waits --------------------------------------------------------------------------------------------------

    def _put(self, item: Item) -> None:
        self._urgent.append(item)
        self._wake.set()

    def _take(self) -> list[Item]:
        """Alarms, people and deadlines first; of telemetry so little that none of them waits for it (invariant 8)."""
        items: list[Item] = []
        for lane, limit in ((self._urgent, BATCH_LIMIT), (self._routine, ROUTINE_BESIDE if self._urgent else ROUTINE_LIMIT)):
            while lane and limit:
                items.append(lane.popleft())
                limit -= 1
        if self._reports and (self._finishing or monotonic() >= self._reports_due):
            waiting = len(self._reports)
            count = waiting if self._finishing or waiting >= REPORTS_LIMIT else 0 if items else REPORTS_AT_ONCE
            items += self._reports[:count]
            del self._reports[:count]
        return items

    async def _sleep(self) -> None:
        self._wake.clear()
        wait = TICK_S
        if self._timers:
            wait = min(wait, max(0.0, (self._timers[0][0] - utc_now()).total_seconds()))
        if self._reports:
            wait = min(wait, max(0.0, self._reports_due - monotonic()))
        due = self.working.due.next()
        if due is not None and due <= utc_now():
            wait = 0.0  # only a part was looked at; else silence is looked at once a tick
        self._ring_in(wait)
        await self._wake.wait()

    def _ring_in(self, wait: float) -> None:
        """Wake up by then at the latest. A timer that rings sooner does: one wake-up too many costs less than a timer for each turn."""
        at = monotonic() + wait
        if self._rings_at is None or at < self._rings_at - RING_EARLY_S:
            if self._timer is not None:
                self._timer.cancel()
            self._rings_at, self._timer = at, asyncio.get_running_loop().call_later(wait, self._ring)

    def _ring(self) -> None:
        self._rings_at = None
        self._wake.set()

    def _tick(self) -> None:
        """Look at the clocks: queue what is due, notice a step of the wall clock."""
        now = utc_now()
        self.beat = monotonic()
        step = now - (self._offset + timedelta(seconds=self.beat))
        if abs(step.total_seconds()) > CLOCK_STEP_S:
            self._offset += step
            self.metrics.clock_steps.inc()
            log.warning("the wall clock stepped; deadlines move with it", step_s=round(step.total_seconds(), 3))
            self._timers = [(at + step, name) for at, name in self._timers]
            self._armed = {name: at + step for name, at in self._armed.items()}
            self.working.shift(step)
            self.step_again(step)
        room = DUE_LIMIT
        while room and self._timers and self._timers[0][0] <= now:
            at, name = heapq.heappop(self._timers)
            if self._armed.get(name) == at:
                del self._armed[name]
                known = self.working.incidents.get(name)  # what is due of an ordinary service waits behind alarms
                (self._routine if known is not None and known.service else self._urgent).append(Due(name, self))
                room -= 1
        lapsed = self.working.due.take(now, LAPSED_LIMIT)
        if lapsed:
            self._routine.append(Lapsed(lapsed, self))
        while self._leaving and self._leaving[0][0] <= now:
            name = self._leaving.popleft()[1]
            self.working.forget(name)
            if name not in self.working.incidents:
                self._armed.pop(name, None)
        if len(self._timers) > TIMERS_SPARE + 2 * len(self._armed):
            self._timers = [(at, name) for name, at in self._armed.items()]
            heapq.heapify(self._timers)

    def _arm(self, incident: Incident) -> None:
        due = incident.next_deadline
        if due is not None and incident.is_open and self._armed.get(incident.id) != due[1]:
            self._armed[incident.id] = due[1]
            heapq.heappush(self._timers, (due[1], incident.id))

    def arm(self, incident: str) -> None:
        """Make sure that its next deadline will be looked at."""
        known = self.working.incidents.get(incident)
        if known is not None:
            self._arm(known)

    def look_again(self, incident: str) -> None:
        """A deadline could not be handled now: soon again."""
        at = utc_now() + timedelta(seconds=STORE_RETRY_S)
        self._armed[incident] = at
        heapq.heappush(self._timers, (at, incident))

    def due_again(self, names: Sequence[str]) -> None:
        """They could not be looked at now: soon again."""
        at = utc_now() + timedelta(seconds=STORE_RETRY_S)
        for name in names:
            if name not in self.working.due:
                self.working.due.put(name, at)

    def due_singly(self, names: Sequence[str]) -> None:
        """One of them cannot be looked at: each by itself."""
        self._routine.extend(Lapsed((name,), self) for name in names)

    def report_again(self, key: Key, failed: str | None) -> None:
        """A report could not be written now: soon again."""
        asyncio.get_running_loop().call_later(STORE_RETRY_S, self.delivered, key, failed)

    def step_again(self, step: timedelta) -> None:
        """Shift the stored deadlines before anything else is decided."""
        self._urgent.appendleft(ClockStep(step, self))

    # --- the path ----------------------------------------------------------------------------------------------------

    async def _commit(self, items: list[Item]) -> None:
        parts = deque((items,))  # one, but for a batch that cannot be stored: what came later must not overtake what came first
        try:
            while parts:
                instead = await self._write(parts[0])
                parts.popleft()
                parts.extendleft(reversed(instead))
        except StoreDown as down:
            items = [item for part in parts for item in part]
            if not self.is_store_down:
                log.error("the store takes nothing; receipts are held back until it does", reason=str(down))
            self._mark_store(down=True)
            if self.holds:  # in front of all that came later, as their order counts, and nobody sends them again
                self._urgent.extendleft(item for item in reversed(items) if isinstance(item, Incoming))
                items = [item for item in items if not isinstance(item, Incoming)]
            for item in items:
                item.handed_back()
            await asyncio.sleep(STORE_RETRY_S / 10)  # what is handed back at once must not spin

    async def _write(self, items: list[Item]) -> Sequence[list[Item]]:
        """Decide, write, swap, act. Gives what must be written in its place, if it cannot be stored in one. Raises StoreDown."""
        now = utc_now()
        began = deciding = monotonic()
        draft, items = self._decide(items, now)
        decided = monotonic()
        self.metrics.decide_seconds.observe(decided - began)
        incidents = [incident for incident in draft.incidents.written.values() if incident is not None]
        calls = list(draft.calls.written.items())
        if draft.records or incidents or calls or draft.refusals or draft.changed or draft.reports:
            seen = [(device, draft.seen[device]) for device in draft.changed]
            standings = [standing for standing in draft.standings.written.values() if standing is not None]
            batch = Batch(
                records=draft.records,
                incidents=incidents,
                calls=calls,
                refusals=draft.refusals,
                seen=seen,
                standings=standings,
                reports=draft.reports,
                corrections=draft.corrections,
                access=draft.access,
            )
            began = monotonic()
            try:
                if self.store.is_fast:
                    self.store.write(batch)
                else:
                    await self._writer.run(self.store.write, batch)
            except KnownAlready as known:
                self.working.known.update(dict.fromkeys(known.identities))
                return await self._write(items)
            except UNSTORABLE as error:
                return await self._divide(items, error)
            self.metrics.commit_seconds.observe(monotonic() - began)
            self.metrics.batch_size.observe(len(items))
            self._mark_store(down=False)
        if self.tracing is not None and draft.records:
            self.tracing.committed(draft, deciding, decided, monotonic())
        self._settle(draft, incidents, items, now)
        return ()

    def _decide(self, items: list[Item], now: datetime) -> tuple[Draft, list[Item]]:
        """The draft of all items. One that cannot be decided is our bug: it is rejected, and the rest decided anew without it."""
        while True:
            draft = Draft(self.working)
            for item in items:
                try:
                    item.decide(draft, now)
                except Exception:
                    log.exception("cannot decide; the message is kept among the rejected", item=type(item).__name__)
                    if not item.condemned("undecidable"):
                        items = [other for other in items if other is not item]
                    break
            else:
                return draft, items

    async def _divide(self, items: list[Item], error: Exception) -> Sequence[list[Item]]:
        """The batch cannot be stored. Is it the store? Then StoreDown; else halves, until the culprit stands alone and is rejected."""
        await self._writer.run(self.store.probe)
        if len(items) > 1:
            half = len(items) // 2
            return items[:half], items[half:]
        log.error("cannot be stored; kept among the rejected", reason=type(error).__name__)
        return (items,) if items[0].condemned("unstorable") else ()

    def _settle(self, draft: Draft, incidents: list[Incident], items: list[Item], now: datetime) -> None:
        """After the commit: the draft is the truth; orders leave, consoles hear, receipts go last."""
        for device, seen in draft.seen.items():
            if device in draft.strangers:
                continue  # on disk only with an event that tells a state of it: unknown addresses must not fill the table
            if device in self._unsaved or is_news(self.working.seen.get(device), seen):
                self._unsaved[device] = seen
            else:
                self._spoke[device] = seen
        draft.settle()
        if self.mirror is not None:
            self.mirror(draft)
        for device in draft.changed:
            self._saving.pop(device, None)  # its row is newer than what waits to be checkpointed
        for incident in incidents:
            self._offer(incident)
            self._arm(incident)
            if incident.state is State.CLOSED:
                self._leaving.append((now + CLOSED_KEPT, incident.id))
        if incidents or draft.calls.written:
            changes = Changes(incidents=frozenset(draft.incidents.written), calls=frozenset(draft.calls.written))
            for watcher in self._watchers:
                try:
                    watcher(changes)
                except Exception:  # a console must not be able to stop the core (invariant 9)
                    log.exception("a watcher failed")
        oldest: dict[str, Incoming] = {}
        for item in items:
            item.settled()
            if isinstance(item, Incoming):
                oldest.setdefault(item.books.line, item)
                if (step := item.step) is not None:
                    self.metrics.calls.see(step)
        ended = monotonic()
        for item in oldest.values():
            item.books.accept_seconds.observe(ended - item.submission.received)

    def _offer(self, incident: Incident) -> None:
        """Whatever of it still has to leave, leaves."""
        self.outbox.offer(incident)
        if self.hand_overs is not None:
            self.hand_overs.offer(incident)
        if self.tellings is not None and incident.tellings:
            self.tellings.offer(incident)
        if self.notices is not None and incident.notices:
            self.notices.offer(incident)

    def _mark_store(self, *, down: bool) -> None:
        if self.is_store_down != down:
            self.is_store_down = down
            self.metrics.store_down.set(down)
            if not down:
                log.info("the store takes again")

    async def unsee(self, names: Sequence[str]) -> int:
        """Forget these last signs, in memory and then on the disk, behind a checkpoint that is just being written. Gives how many rows went."""
        for kept in (self.working.seen, self.working.strangers, self._unsaved, self._saving, self._spoke):
            for name in names:
                kept.pop(name, None)
        count: int = await self._writer.run(Eraser(self.store.engine).erase_seen, names)
        return count

    async def _save_seen(self) -> bool:
        """Checkpoint a part of the signs of life, so that no alarm waits for all; False: the store is down, they wait for the next time."""
        if not self._saving:
            self._saved_at = monotonic()
            if self._saved_at - self._spoke_at >= SPOKE_S:
                self._spoke_at, self._unsaved, self._spoke = self._saved_at, {**self._spoke, **self._unsaved}, {}
            self._saving, self._unsaved = self._unsaved, {}
        part = list(islice(self._saving.items(), BATCH_LIMIT))
        if not part:
            return True
        try:
            await self._writer.run(self.store.checkpoint, part)
        except (SQLAlchemyError, StoreDown) as error:
            self._unsaved, self._saving = {**self._saving, **self._unsaved}, {}
            log.warning("signs of life not saved; trying again", reason=type(error).__name__)
            return False
        for device, _ in part:
            self._saving.pop(device, None)
        return True
