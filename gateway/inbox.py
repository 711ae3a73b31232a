"""What can enter the pipeline, each with its own way to be decided and to hear how it ended.

Field events come in a submission (what a line read in one go); commands, deadlines, channels' reports and facts of the
machine come singly.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from drivers.contract import DUPLICATE, STORED, TESTED, Rejected, Verdict
from gateway.clock import monotonic, utc_now
from gateway.core import decide
from gateway.core.account import AccessWrite
from gateway.core.corrections import CorrectionWrite
from gateway.core.escalation import on_deadline, shifted
from gateway.core.hand_over import Taken, told
from gateway.core.orders import delivered, informed
from gateway.core.orders import told as device_told
from gateway.core.reported import ReportWrite
from gateway.core.state import Draft, Record, Refusal
from gateway.dispatch.outbox import Key, Outbox
from gateway.errors import Refused, StoreDown
from gateway.event import KINDS, Event, Group, Kind
from gateway.metrics import Books, Metrics

log = structlog.get_logger("pipeline")

# A cancel keeps its place among the cries: processed after a later one it would seem to cancel that.
URGENT_GROUPS = frozenset((Group.PERSON, Group.ENVIRONMENT, Group.TELEPHONE, Group.PEOPLE, Group.SUBJECTLESS))
# Deadlines of one incident that are handled in one go after downtime; each moves itself on, so this is never reached.
DUE_AT_ONCE = 16


class Timekeeper(Protocol):
    """What items ask of the pipeline when they are settled, or have to come again."""

    metrics: Metrics
    outbox: Outbox

    def arm(self, name: str) -> None:
        """Set the timer of this incident to its next deadline."""

    def look_again(self, incident: str) -> None:
        """Its deadline could not be handled now."""

    def due_again(self, names: Sequence[str]) -> None:
        """They could not be looked at now."""

    def due_singly(self, names: Sequence[str]) -> None:
        """One of them cannot be looked at: each by itself."""

    def report_again(self, key: Key, failed: str | None) -> None:
        """The report could not be written now."""

    def step_again(self, step: timedelta) -> None:
        """The deadlines could not be shifted now."""

    def telling_written(self, telling: str) -> None:
        """What became of it is on disk."""

    def telling_again(self, incident: str, telling: str, reason: str) -> None:
        """It could not be written now."""

    def notice_written(self, notice: str) -> None:
        """What became of it is on disk."""

    def notice_again(self, incident: str, notice: str, reason: str) -> None:
        """It could not be written now."""

    def hand_over_written(self, delivery: str) -> None:
        """What another hotline said is on disk."""

    def hand_over_again(self, incident: str, delivery: str, taken: Taken | None, reason: str) -> None:
        """It could not be written now."""


class Item:
    """One thing to decide. After the commit `settled`; if nothing can be stored now `handed_back`."""

    __slots__ = ()

    def decide(self, draft: Draft, now: datetime) -> None:
        """Put what follows from it into the draft."""
        raise NotImplementedError

    def settled(self) -> None:
        """The commit is done: tell whoever waits."""

    def handed_back(self) -> None:
        """The store is down: tell whoever waits to come again."""

    def condemned(self, reason: str) -> bool:
        """It can never be decided or stored. True: decide it again, it will only leave a trace among the rejected."""
        log.error("dropped", item=type(self).__name__, reason=reason)
        return False


class Submission:
    """What a line handed over in one call: one verdict an event, one answer for all."""

    __slots__ = ("answer", "left", "received", "verdicts")

    def __init__(self, count: int, answer: "asyncio.Future[list[Verdict]]") -> None:
        self.verdicts = [STORED] * count
        self.left = count
        self.answer = answer
        self.received = monotonic()

    def settle(self, index: int, verdict: Verdict) -> None:
        """One event's verdict; with the last one the line hears."""
        self.verdicts[index] = verdict
        self.left -= 1
        if self.left == 0 and not self.answer.done():
            self.answer.set_result(self.verdicts)


class Incoming(Item):
    """One event, or one rejected message, of a submission."""

    __slots__ = ("books", "event", "in_place", "index", "submission", "unfit", "verdict")

    def __init__(self, submission: Submission, index: int, event: Event | Rejected, books: Books) -> None:
        self.submission = submission
        self.index = index
        self.event = event
        self.books = books
        self.verdict = STORED
        self.unfit = event.reason if isinstance(event, Rejected) else ""
        self.in_place: Event | None = None

    @property
    def is_urgent(self) -> bool:
        """Does it go before telemetry (invariant 8)?"""
        return isinstance(self.event, Event) and KINDS[self.event.kind].group in URGENT_GROUPS

    @property
    def step(self) -> Event | None:
        """A step of a call that was stored and is news, for the service levels."""
        event = self.event
        is_step = self.verdict is STORED and isinstance(event, Event) and KINDS[event.kind].group is Group.TELEPHONE
        return event if is_step and isinstance(event, Event) else None

    def decide(self, draft: Draft, now: datetime) -> None:
        event = self.event
        reason = self.unfit
        if not reason and isinstance(event, Event):
            outcome = decide.on_event(draft, event, now)
            if outcome == decide.STORED:
                self.verdict = STORED
                return
            if outcome == decide.DUPLICATE:
                self.verdict = DUPLICATE
                return
            if outcome == decide.TESTED:
                self.verdict = TESTED
                return
            reason = outcome
        self.verdict = Verdict("refused", reason)
        detail = event.detail if isinstance(event, Rejected) else ""
        draft.refusals.append(Refusal(at=now, line=event.line, reason=reason, device=event.device, detail=detail, raw=event.raw))
        if self.in_place is not None:
            decide.on_event(draft, self.in_place, now)

    def settled(self) -> None:
        if self.verdict is STORED or self.verdict is TESTED:
            self.books.accept()
            self.books.tested += self.verdict is TESTED
        elif self.verdict is DUPLICATE:
            self.books.fold()
        else:
            self.books.reject(self.verdict.reason)
        self.submission.settle(self.index, self.verdict)

    def handed_back(self) -> None:
        self.books.give_back()
        self.submission.settle(self.index, Verdict("refused", "store_down", retry=True))

    def condemned(self, reason: str) -> bool:
        if self.in_place is not None:
            self.in_place = None
            return True
        if self.unfit in ("undecidable", "unstorable"):  # not even among the rejected: its line must hear all the same, and go on
            self.verdict = Verdict("refused", self.unfit)
            self.settled()
            return super().condemned(reason)
        self.unfit = reason
        if isinstance(self.event, Event) and self.event.is_alarm:
            self.in_place = _bare(self.event, reason)
        return True


def _bare(event: Event, reason: str) -> Event:
    """What is certain of an alarm that our own fault keeps from being stored: somebody cries, on this line. A person must look."""
    device = event.device if event.device is not None and event.device.isprintable() else None
    detail: dict[str, object] = {"reason": reason, "kind": event.kind.value}
    known = event.dedup.encode("utf-8", "replace") if event.dedup is not None else None
    return Event(
        kind=Kind.GENERAL,
        line=event.line,
        device=device,
        dedup=f"bare:{hashlib.sha256(known).hexdigest()[:32]}" if known is not None else None,  # what comes again is no second cry
        received_at=event.received_at,
        occurred_at=event.received_at,
        detail=detail,
    )


class Asked(Item):
    """Somebody waits for the answer: what came of it, or why nothing did."""

    __slots__ = ("answer",)

    def __init__(self, answer: "asyncio.Future[Any]") -> None:
        self.answer = answer

    def handed_back(self) -> None:
        self.fail(StoreDown("the store takes nothing at the moment; try again"))

    def condemned(self, reason: str) -> bool:
        self.fail(Refused(reason, 500))
        return super().condemned(reason)

    def succeed(self, result: object = None) -> None:
        """Whoever has given up waiting hears nothing."""
        if not self.answer.done():
            self.answer.set_result(result)

    def fail(self, error: Exception) -> None:
        """As `succeed`."""
        if not self.answer.done():
            self.answer.set_exception(error)


class Wanted(Asked):
    """What a person wants done, and may be refused: a command, an absence, a ruling."""

    __slots__ = ("_do", "_done", "_refused")

    def __init__(self, do: Callable[[Draft, datetime], object], answer: "asyncio.Future[Any]") -> None:
        super().__init__(answer)
        self._do = do
        self._done: object = None
        self._refused: Refused | None = None

    def decide(self, draft: Draft, now: datetime) -> None:
        self._refused = None
        try:
            self._done = self._do(draft, now)
        except Refused as refused:
            self._refused = refused

    def settled(self) -> None:
        if self._refused is not None:
            self.fail(self._refused)
        else:
            self.succeed(self._done)


class Fact(Asked):
    """Something that concerns no incident: start, duty, log-in. access: rows of accounts and sessions that go with it."""

    __slots__ = ("access", "record")

    def __init__(self, record: Record, answer: "asyncio.Future[None]", access: AccessWrite | None = None) -> None:
        super().__init__(answer)
        self.record = record
        self.access = access

    def decide(self, draft: Draft, now: datetime) -> None:  # noqa: ARG002  one signature for all
        draft.records.append(self.record)
        if self.access is not None:
            draft.access.append(self.access)

    def settled(self) -> None:
        self.succeed()


class Corrected(Fact):
    """Somebody corrected the register: the statement and what the journal says of it go to disk together."""

    __slots__ = ("write",)

    def __init__(self, record: Record, write: CorrectionWrite, answer: "asyncio.Future[None]") -> None:
        super().__init__(record, answer)
        self.write = write

    def decide(self, draft: Draft, now: datetime) -> None:
        super().decide(draft, now)
        draft.corrections.append(self.write)


class Reported(Asked):
    """How far somebody outside was told (gateway.upward). It changes nothing here, so it is not journalled."""

    __slots__ = ("write",)

    def __init__(self, write: ReportWrite, answer: "asyncio.Future[None]") -> None:
        super().__init__(answer)
        self.write = write

    def decide(self, draft: Draft, now: datetime) -> None:  # noqa: ARG002  one signature for all
        draft.reports.append(self.write)

    def settled(self) -> None:
        self.succeed()


class Due(Item):
    """Deadlines of one incident have passed."""

    __slots__ = ("incident", "pipeline")

    def __init__(self, incident: str, pipeline: Timekeeper) -> None:
        self.incident = incident
        self.pipeline = pipeline

    def decide(self, draft: Draft, now: datetime) -> None:
        for _ in range(DUE_AT_ONCE):
            incident = draft.incidents.get(self.incident)
            due = incident.next_deadline if incident is not None and incident.is_open else None
            if incident is None or due is None or due[1] > now:
                return
            self.pipeline.metrics.deadline_late_seconds.observe((now - due[1]).total_seconds())
            on_deadline(draft, incident, due[0], now)

    def settled(self) -> None:
        self.pipeline.arm(self.incident)  # found not yet due (the clock went back a little), it would never be looked at again

    def handed_back(self) -> None:
        self.pipeline.look_again(self.incident)

    def condemned(self, reason: str) -> bool:
        self.pipeline.look_again(self.incident)
        return super().condemned(reason)


class Lapsed(Item):
    """Names have come due that are no incidents': devices that should have spoken, people who should have."""

    __slots__ = ("names", "pipeline")

    def __init__(self, names: Sequence[str], pipeline: Timekeeper) -> None:
        self.names = names
        self.pipeline = pipeline

    def decide(self, draft: Draft, now: datetime) -> None:
        decide.on_due(draft, self.names, now)

    def handed_back(self) -> None:
        self.pipeline.due_again(self.names)

    def condemned(self, reason: str) -> bool:
        if len(self.names) > 1:  # the others must not go unnoticed for the sake of one
            self.pipeline.due_singly(self.names)
        return super().condemned(reason)


class Delivered(Item):
    """A channel reports that an order has left, or never will."""

    __slots__ = ("at", "failed", "key", "pipeline")

    def __init__(self, key: Key, failed: str | None, pipeline: Timekeeper) -> None:
        self.key = key
        self.failed = failed
        self.pipeline = pipeline
        self.at = utc_now()

    def decide(self, draft: Draft, now: datetime) -> None:  # noqa: ARG002  it counts when it was, not when it is written
        delivery, repeat, notice = self.key
        delivered(draft, delivery, repeat, notice, self.failed, self.at)

    def settled(self) -> None:
        self.pipeline.outbox.reported(self.key)

    def handed_back(self) -> None:
        self.pipeline.report_again(self.key, self.failed)


class Told(Item):
    """A line reports that a device was told something, or will not be."""

    __slots__ = ("at", "incident", "pipeline", "reason", "telling")

    def __init__(self, incident: str, telling: str, reason: str, pipeline: Timekeeper) -> None:
        self.incident = incident
        self.telling = telling
        self.reason = reason
        self.pipeline = pipeline
        self.at = utc_now()

    def decide(self, draft: Draft, now: datetime) -> None:  # noqa: ARG002  it counts when it was, not when it is written
        device_told(draft, self.incident, self.telling, self.reason, self.at)

    def settled(self) -> None:
        self.pipeline.telling_written(self.telling)

    def handed_back(self) -> None:
        self.pipeline.telling_again(self.incident, self.telling, self.reason)


class Informed(Item):
    """A channel reports that somebody was told who is not asked to come, or will not be."""

    __slots__ = ("at", "incident", "notice", "pipeline", "reason")

    def __init__(self, incident: str, notice: str, reason: str, pipeline: Timekeeper) -> None:
        self.incident = incident
        self.notice = notice
        self.reason = reason
        self.pipeline = pipeline
        self.at = utc_now()

    def decide(self, draft: Draft, now: datetime) -> None:  # noqa: ARG002  it counts when it was, not when it is written
        informed(draft, self.incident, self.notice, self.reason, self.at)

    def settled(self) -> None:
        self.pipeline.notice_written(self.notice)

    def handed_back(self) -> None:
        self.pipeline.notice_again(self.incident, self.notice, self.reason)


class HandedOver(Item):
    """Another hotline has taken a matter, or refuses it."""

    __slots__ = ("delivery", "incident", "pipeline", "reason", "taken")

    def __init__(self, incident: str, delivery: str, taken: Taken | None, reason: str, pipeline: Timekeeper) -> None:
        self.incident = incident
        self.delivery = delivery
        self.taken = taken
        self.reason = reason
        self.pipeline = pipeline

    def decide(self, draft: Draft, now: datetime) -> None:
        told(draft, self.incident, self.delivery, self.taken, self.reason, now)

    def settled(self) -> None:
        self.pipeline.hand_over_written(self.delivery)

    def handed_back(self) -> None:
        self.pipeline.hand_over_again(self.incident, self.delivery, self.taken, self.reason)


class ClockStep(Item):
    """The wall clock stepped: every open deadline moves with it, so that waiting times stay what they were."""

    __slots__ = ("pipeline", "step")

    def __init__(self, step: timedelta, pipeline: Timekeeper) -> None:
        self.step = step
        self.pipeline = pipeline

    def decide(self, draft: Draft, now: datetime) -> None:
        draft.record(Kind.CLOCK_STEP, now, step_s=self.step.total_seconds())
        for incident in draft.base.open_incidents:
            current = draft.incidents.get(incident.id) or incident
            draft.put(shifted(current, self.step))

    def handed_back(self) -> None:
        self.pipeline.step_again(self.step)
