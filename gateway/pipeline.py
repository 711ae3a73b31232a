"""The one path: whatever comes in is decided in memory, written in one transaction, and only then has effects.

Field events, operators' commands, passed deadlines and reports of channels enter by the same door (gateway.inbox). While
one batch is being written the next collects. This is the only writer of state.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import datetime, timedelta
from itertools import islice

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError

from drivers.contract import Rejected, Verdict
from gateway.clock import monotonic, utc_now
from gateway.core.command import Command
from gateway.core.hand_over import Taken
from gateway.core.incident import Incident, Leg, State
from gateway.core.register import Register
from gateway.core.state import Draft, Record, Seen, WorkingSet
from gateway.dispatch.contract import Channel
from gateway.dispatch.hand_over import HandOvers
from gateway.dispatch.outbox import Key, Outbox
from gateway.errors import StoreDown
from gateway.event import Event, Kind, Phase
from gateway.inbox import ClockStep, Commanded, Delivered, Due, Fact, HandedOver, Incoming, Item, Submission
from gateway.metrics import Metrics
from gateway.store.store import Batch, KnownAlready, Store
from gateway.store.writer import Writer

log = structlog.get_logger("pipeline")

BATCH_LIMIT = 1000  # events in one transaction: 6 ms of writing (performance page), so the next batch never waits long
DUE_LIMIT = BATCH_LIMIT // 2  # deadlines queued in one turn: a hundred thousand that passed while we were down leave room for alarms
CHECKPOINT_S = 30.0  # signs of life go to disk this often (architecture, section 6)
CLOCK_STEP_S = 2.0  # a step of the wall clock beyond this is journalled and open deadlines are shifted
LINGER_S = 0.02  # channels' reports are written together, so long after the first: alarms need not share their commits with them
REPORTS_AT_ONCE = 8  # half a millisecond of work, then alarms are looked for again
REPORTS_LIMIT = 200  # under a load that never ends they travel with the alarms, so that they cannot pile up
TICK_S = 1.0  # the timer looks at the clocks at least this often
STORE_RETRY_S = 1.0  # while the store is down, deadlines and reports try again after this
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
        self._saved_at = monotonic()
        self._reports_due = 0.0
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
        self._put(Commanded(command, answer))
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

    def use(self, register: Register) -> None:
        """Swap the register in, whole. Decisions run in this same loop, so none sees half of it."""
        self.working.use(register)

    def watch(self, callback: Callable[[Changes], None]) -> None:
        """Be told after each commit what it changed."""
        self._watchers.append(callback)

    # --- start and stop ----------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """After the working set was restored: arm every deadline, offer every pending order."""
        for incident in list(self.working.open_incidents):
            self._arm(incident)
            self._offer(incident)

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

    def finish(self) -> None:
        """Let `run` return once everything handed over is on disk."""
        self._finishing = True
        self._wake.set()

    async def close(self) -> None:
        """Stop deliveries (they go on after the next start), write the signs of life, let the writer go."""
        await self.outbox.close()
        if self.hand_overs is not None:
            await self.hand_overs.close()
        while (self._saving or self._unsaved) and await self._save_seen():
            pass
        self._writer.close()

    # --- what waits --------------------------------------------------------------------------------------------------

    def _put(self, item: Item) -> None:
        self._urgent.append(item)
        self._wake.set()

    def _take(self) -> list[Item]:
        """Alarms, people and deadlines first; telemetry gets what is left of the batch (invariant 8)."""
        items: list[Item] = []
        for lane in (self._urgent, self._routine):
            while lane and len(items) < BATCH_LIMIT:
                items.append(lane.popleft())
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
        timer = asyncio.get_running_loop().call_later(wait, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    def _tick(self) -> None:
        """Look at the clocks: queue what is due, notice a step of the wall clock."""
        now = utc_now()
        self.beat = monotonic()
        step = now - (self._offset + timedelta(seconds=self.beat))
        if abs(step.total_seconds()) > CLOCK_STEP_S:
            self._offset += step
            log.warning("the wall clock stepped; deadlines move with it", step_s=round(step.total_seconds(), 3))
            self._timers = [(at + step, name) for at, name in self._timers]
            self._armed = {name: at + step for name, at in self._armed.items()}
            self.step_again(step)
        room = DUE_LIMIT
        while room and self._timers and self._timers[0][0] <= now:
            at, name = heapq.heappop(self._timers)
            if self._armed.get(name) == at:
                del self._armed[name]
                self._urgent.append(Due(name, self))
                room -= 1
        while self._leaving and self._leaving[0][0] <= now:
            self.working.forget(self._leaving.popleft()[1])

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

    def report_again(self, key: Key, failed: str | None) -> None:
        """A report could not be written now: soon again."""
        asyncio.get_running_loop().call_later(STORE_RETRY_S, self.delivered, key, failed)

    def step_again(self, step: timedelta) -> None:
        """Shift the stored deadlines before anything else is decided."""
        self._urgent.appendleft(ClockStep(step, self))

    # --- the path ----------------------------------------------------------------------------------------------------

    async def _commit(self, items: list[Item]) -> None:
        try:
            await self._write(items)
        except StoreDown as down:
            if not self.is_store_down:
                log.error("the store takes nothing; receipts are held back until it does", reason=str(down))
            self._mark_store(down=True)
            for item in items:
                item.handed_back()
            await asyncio.sleep(STORE_RETRY_S / 10)  # what is handed back at once must not spin

    async def _write(self, items: list[Item]) -> None:
        """Decide, write, swap, act. Raises StoreDown."""
        now = utc_now()
        began = monotonic()
        draft, items = self._decide(items, now)
        self.metrics.decide_seconds.observe(monotonic() - began)
        incidents = [incident for incident in draft.incidents.written.values() if incident is not None]
        calls = list(draft.calls.written.items())
        if draft.records or incidents or calls or draft.refusals:
            batch = Batch(records=draft.records, incidents=incidents, calls=calls, refusals=draft.refusals)
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
        self._settle(draft, incidents, items, now)
        return None

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

    async def _divide(self, items: list[Item], error: Exception) -> None:
        """The batch cannot be stored. Is it the store? Then StoreDown; else halves, until the culprit stands alone and is rejected."""
        await self._writer.run(self.store.probe)
        if len(items) > 1:
            half = len(items) // 2
            await self._commit(items[:half])
            await self._commit(items[half:])
            return
        log.error("cannot be stored; kept among the rejected", reason=type(error).__name__)
        if items[0].condemned("unstorable"):
            await self._write(items)

    def _settle(self, draft: Draft, incidents: list[Incident], items: list[Item], now: datetime) -> None:
        """After the commit: the draft is the truth; orders leave, consoles hear, receipts go last."""
        draft.settle()
        self._unsaved.update(draft.seen)
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

    def _mark_store(self, *, down: bool) -> None:
        if self.is_store_down != down:
            self.is_store_down = down
            self.metrics.store_down.set(down)
            if not down:
                log.info("the store takes again")

    async def _save_seen(self) -> bool:
        """Checkpoint a part of the signs of life, so that no alarm waits for all; False: the store is down, they wait for the next time."""
        if not self._saving:
            self._saving, self._unsaved = self._unsaved, {}
            self._saved_at = monotonic()
        part = list(islice(self._saving.items(), BATCH_LIMIT))
        if not part:
            return True
        try:
            await self._writer.run(self.store.checkpoint, part)
        except SQLAlchemyError as error:
            self._unsaved, self._saving = {**self._saving, **self._unsaved}, {}
            log.warning("signs of life not saved; trying again", reason=type(error).__name__)
            return False
        for device, _ in part:
            del self._saving[device]
        return True
