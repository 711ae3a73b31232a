"""Incidents and their legs: two state machines, each one table.

`TRANSITIONS` is the whole life of an incident, `LEG_TRANSITIONS` that of an order. `apply` and `apply_leg` return new
frozen values and perform nothing: a leg whose `pending` is set is the outbox.

gc=False: frozen values of values can be in no cycle, so Python's collector need not walk tens of thousands of incidents, each time for 0.3 s.
"""

from datetime import datetime
from enum import StrEnum
from operator import itemgetter

import msgspec

from gateway.errors import Refused
from gateway.event import Kind, Position, Severity


class State(StrEnum):
    RAISED = "raised"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    CLOSED = "closed"


class Flag(StrEnum):
    """Facts beside the state. `ended`: the field ended it before anyone took it; it stays in the queue until taken."""

    ENDED = "ended"
    CANCELLED = "cancelled_by_wearer"
    SECOND_CRY = "second_cry"
    ESCALATED = "escalated"
    STALLED = "stalled"
    COMPLAINT = "complaint"
    CALL_DUE = "call_due"
    BEYOND_CIRCLE = "beyond_circle"  # nobody suitable within fifteen minutes
    UNMATCHED = "unmatched"  # an ordinary service that nobody can give at present
    LATE = "late"  # cried earlier than it was heard: out of a device's store
    CHATTERING = "chattering"  # its device cries on and on: counted, and rung again a little later (gateway.core.chattering)
    MAINTENANCE = "maintenance"  # of a device that somebody works on or tries (gateway.core.maintenance)

    @classmethod
    def _missing_(cls, value: object) -> "Flag | None":
        """What a database of before calls by another name: an open incident with it must not keep the gateway from starting."""
        return cls.CHATTERING if value == "folded" else None


class Outcome(StrEnum):
    HELPED = "helped"
    HOSPITAL = "hospital"
    FALSE_ALARM = "false_alarm"
    TEST = "test"
    REFUSED = "refused"
    NOT_FOUND = "not_found"
    HANDED_OVER = "handed_over"
    MERGED = "merged"
    CANCELLED = "cancelled"  # of an ordinary service request: not wanted any more


class Action(StrEnum):
    """What can happen to an incident. Field actions are legal in every open state; operator actions only where the table has them."""

    JOIN = "join"
    SECOND_CRY = "second_cry"
    END = "end"
    ACKNOWLEDGE = "acknowledge"
    RELEASE = "release"
    ASSIGN = "assign"
    RESOLVE = "resolve"
    CALL_BACK = "call_back"
    COMPLAIN = "complain"
    # those below change no state and are legal while the incident is open
    NOTE = "note"
    STEP = "step"
    DISPATCH = "dispatch"
    WITHDRAW = "withdraw"
    ESCALATE = "escalate"
    IDENTIFY = "identify"
    DIAL = "dial"  # what was asked of the telephone, and what came of it: also of an incident that was closed meanwhile
    HANG_UP = "hang_up"
    TRANSFER = "transfer"
    ANSWER = "answer"
    RECORD = "record"  # of a caller whom the register does not have
    HAND_OVER = "hand_over"
    MERGE = "merge"  # into another one: this one is closed by it
    UNMERGE = "unmerge"  # … and stands by itself again
    SPLIT = "split"  # a device or a call of it gets an incident of its own
    HOLD = "hold"
    RESUME = "resume"
    WAIVE = "waive"  # closed without a call-back, for a reason
    HANDLE = "handle"  # a complaint is answered
    SHELVE = "shelve"  # out of sight and silent until a time, for a reason; never an SOS or a person's call (gateway.core.shelving)
    UNSHELVE = "unshelve"
    CANCEL = "cancel"  # an ordinary service is not wanted any more; an alarm cannot be cancelled by us (gateway.core.requests)


FIELD_ACTIONS = (Action.JOIN, Action.SECOND_CRY, Action.END)
_TELEPHONE = (Action.DIAL, Action.HANG_UP, Action.TRANSFER, Action.ANSWER)
_WORK = dict.fromkeys((Action.NOTE, Action.STEP, Action.DISPATCH, Action.WITHDRAW, Action.ESCALATE, Action.IDENTIFY, Action.RECORD, *_TELEPHONE))


def _row(here: State, **moves: State) -> dict[Action, State]:
    return {**dict.fromkeys(_WORK, here), **{Action(name): there for name, there in moves.items()}}


TRANSITIONS: dict[State, dict[Action, State]] = {
    State.RAISED: _row(
        State.RAISED,
        join=State.RAISED,
        second_cry=State.RAISED,
        end=State.RAISED,
        acknowledge=State.ACKNOWLEDGED,
        assign=State.ACKNOWLEDGED,
        call_back=State.RAISED,
        merge=State.CLOSED,
        cancel=State.CLOSED,
        split=State.RAISED,
        shelve=State.RAISED,
        unshelve=State.RAISED,
    ),
    State.ACKNOWLEDGED: _row(
        State.ACKNOWLEDGED,
        join=State.ACKNOWLEDGED,
        second_cry=State.RAISED,
        end=State.ACKNOWLEDGED,
        release=State.RAISED,
        assign=State.ACKNOWLEDGED,
        resolve=State.RESOLVED,
        call_back=State.ACKNOWLEDGED,
        hand_over=State.ACKNOWLEDGED,
        merge=State.CLOSED,
        cancel=State.CLOSED,
        split=State.ACKNOWLEDGED,
        hold=State.ACKNOWLEDGED,
        resume=State.ACKNOWLEDGED,
        handle=State.ACKNOWLEDGED,
        shelve=State.ACKNOWLEDGED,
        unshelve=State.ACKNOWLEDGED,
    ),
    State.RESOLVED: _row(
        State.RESOLVED,
        join=State.RESOLVED,
        second_cry=State.RAISED,
        end=State.RESOLVED,
        call_back=State.CLOSED,
        waive=State.CLOSED,
        complain=State.ACKNOWLEDGED,
        hold=State.RESOLVED,
        resume=State.RESOLVED,
        handle=State.RESOLVED,
    ),
    State.CLOSED: {Action.COMPLAIN: State.ACKNOWLEDGED, Action.UNMERGE: State.RAISED, **dict.fromkeys((Action.NOTE, *_TELEPHONE), State.CLOSED)},
}


class LegState(StrEnum):
    QUEUED = "queued"
    SENT = "sent"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    EXPIRED = "expired"
    FAILED = "failed"
    EN_ROUTE = "en_route"
    ARRIVED = "arrived"
    DONE = "done"
    WITHDRAWN = "withdrawn"


_ASKED = {
    "accept": LegState.ACCEPTED,
    "decline": LegState.DECLINED,
    "en_route": LegState.EN_ROUTE,
    "arrived": LegState.ARRIVED,
    "done": LegState.DONE,
    "expire": LegState.EXPIRED,
    "fail": LegState.FAILED,
    "withdraw": LegState.WITHDRAWN,
}
_COMING = {
    "decline": LegState.DECLINED,
    "en_route": LegState.EN_ROUTE,
    "arrived": LegState.ARRIVED,
    "done": LegState.DONE,
    "withdraw": LegState.WITHDRAWN,
}
_LATE = {"accept": LegState.ACCEPTED, "en_route": LegState.EN_ROUTE, "arrived": LegState.ARRIVED, "done": LegState.DONE}

LEG_TRANSITIONS: dict[LegState, dict[str, LegState]] = {
    LegState.QUEUED: {**_ASKED, "sent": LegState.SENT},
    LegState.SENT: {**_ASKED, "sent": LegState.SENT},
    LegState.ACCEPTED: _COMING,
    LegState.EN_ROUTE: _COMING,
    LegState.ARRIVED: {"done": LegState.DONE, "withdraw": LegState.WITHDRAWN},
    LegState.DECLINED: _LATE,  # changed their mind
    LegState.EXPIRED: _LATE,  # a late accept is taken if nobody else has accepted
    LegState.FAILED: _LATE,
    LegState.DONE: {},
    LegState.WITHDRAWN: {},
}

ASKED = frozenset((LegState.QUEUED, LegState.SENT))
COMING = frozenset((LegState.ACCEPTED, LegState.EN_ROUTE, LegState.ARRIVED))
OPEN_LEG = ASKED | COMING
_TIME = itemgetter(1)
_ADVANCE = (
    LegState.WITHDRAWN,
    LegState.FAILED,
    LegState.EXPIRED,
    LegState.DECLINED,
    LegState.QUEUED,
    LegState.SENT,
    LegState.ACCEPTED,
    LegState.EN_ROUTE,
    LegState.ARRIVED,
    LegState.DONE,
)


class Role(StrEnum):
    """Which kind of help an order asks for (domain 1.10, 3.10, 4.10, 4.11). Least data follows from it."""

    SOCIAL = "social"  # station, centre, provider: goes, looks, helps
    MEDICAL = "medical"  # health station, care centre with medical capability
    NEIGHBOUR = "neighbour"  # neighbour or property company: looks, opens the door; beside the station, never instead of it
    DOCTOR = "doctor"  # family doctor: informed, with the short health note
    HOSPITAL = "hospital"  # green channel: receives, with the hand-over summary
    EMERGENCY = "emergency"  # 120, 110, 119
    SERVICE = "service"  # an ordinary service, from its own pool of capacity


# Doctor and hospital are told, and wait: that they have taken note does not mean that anybody comes.
INFORMED = frozenset((Role.DOCTOR, Role.HOSPITAL))
# Whose coming is the help that was asked for. A neighbour looks in beside them, never instead of them.
HELPS = frozenset((Role.SOCIAL, Role.MEDICAL, Role.EMERGENCY, Role.SERVICE))


UNANSWERED = frozenset(("busy", "no_answer", "no_key"))
"""Reasons of a leg that failed because whoever was rung did not pick up or pressed no key: the way out works, its responder did not answer."""


class Leg(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One order to one responder.

    role      which kind of help it is (Role). Legs of one role are rivals, legs of several roles go side by side
    delivery  id under which it is sent, always the same, however often (invariant 7)
    pending   what must still leave: "order", "withdrawn" or "taken_by:<responder>"; "" = nothing. This is the outbox
    exclusive the first accept among exclusive legs wins; what an operator orders stands beside them
    ts        ms since 1970 of the cry it stands for; repeat counts re-sendings after a second cry
    opened    fingerprint of the device to which the link of the responder page belongs (gateway.core.opening)
    promised_at  of an ordinary service: when they said that they will come
    """

    delivery: str
    responder: str
    channel: str
    state: LegState
    ordered_at: datetime
    reply_by: datetime
    ts: int
    pending: str = ""
    exclusive: bool = True
    repeat: int = 0
    travel_min: float | None = None
    actor: str = ""
    sent_at: datetime | None = None
    answered_at: datetime | None = None
    arrived_at: datetime | None = None
    promised_at: datetime | None = None
    by: str = ""
    reason: str = ""
    role: Role = Role.SOCIAL
    opened: str = ""


class Shelf(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An incident put aside: neither sounded nor escalated until then (console design, 5). It comes back by itself, or when it cries again."""

    until: datetime
    by: str
    at: datetime
    reason: str


class CallerRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a caller whom the register does not have says: who and where, and what it is about. It stays with the incident, and goes nowhere else.

    address: in words, as responders are told it; by: who wrote it down
    """

    name: str = ""
    address: str = ""
    what: str = ""
    by: str
    at: datetime


class Hint(msgspec.Struct, frozen=True, gc=False):
    """Somebody whom a call may be about, and why: never a match, only shown.

    why: redirecting (the call was forwarded from their line), contact (one of their contacts is calling), number (the caller's number
    is theirs, while the incident is somebody else's).
    """

    why: str
    person: str


class HandOver(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The newest handing over of an incident to another hotline. While `state` is pending the record still has to leave: the outbox.

    delivery  id under which it is sent, always the same, however often
    state     pending, accepted (they have it), failed (they will not take it: `reason`), received (they gave it to us)
    theirs    the number it has there: their work order
    """

    delivery: str
    hotline: str
    state: str
    at: datetime
    by: str = ""
    note: str = ""
    theirs: str = ""
    reason: str = ""


class Sounded(msgspec.Struct, frozen=True, gc=False):
    """A device that cried in an incident, by its line and address."""

    line: str
    device: str


class Telling(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One thing told to one device (gateway.core.telling). While `state` is pending it still has to leave: the outbox.

    word   taken, coming, over or prompt; cries: how many the incident had when it was decided
    state  pending, told (the device has it, or its protocol cannot say), failed (`reason`), overtaken (a later word leaves in its place)
    """

    id: str
    line: str
    device: str
    word: str
    at: datetime
    cries: int
    state: str = "pending"
    reason: str = ""


class Affected(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A silent device on the list of an outage. since: its last sign, None: never heard; order: smaller is worse; path: behind which it is."""

    line: str
    device: str
    person: str | None
    since: datetime | None
    order: int
    path: str


class Source(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One way by which a matter reached us. way: device, call, hand_over, platform, operator; of: line, hotline or platform; ref: the id there."""

    way: str
    of: str
    ref: str = ""
    at: datetime | None = None


class Stage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A key node of the closed loop that was passed (domain 6.1): order, agree, serve, call_back, complain, handle.

    due: its deadline as it was then; evidence: what proves it (call id, delivery id, document number), never personal data
    """

    name: str
    at: datetime
    actor: str = ""
    due: datetime | None = None
    evidence: str = ""


class Notice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One thing that somebody is told who is not asked to come: family, home district. While `state` is pending it must leave: the outbox.

    to      contact:<person>:<place in the list>, district:<area>, responder:<id>
    moment  alarm, coming, over
    state   pending, sent, failed (`reason`), overtaken
    """

    id: str
    to: str
    moment: str
    channel: str
    at: datetime
    state: str = "pending"
    reason: str = ""


class Merger(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What an incident was when it was put into another one, so that the merger can be undone.

    state, flags, deadlines, calls  its own; calls: keys of those that went over with it
    before, after                   the other one, without legs and lists
    """

    at: datetime
    state: State
    flags: tuple[Flag, ...] = ()
    deadlines: dict[str, datetime] = {}
    calls: tuple[str, ...] = ()
    before: "Incident"
    after: "Incident"


class Incident(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One situation of one person that people must handle. Stored whole, one row.

    key        what joins events: person:…, home:…, device:…, caller:…, line:…
    zone       of the panel that is its device
    candidates several persons registered under the caller's number; empty once somebody is identified
    cries      presses and alarms that raised or re-raised it; entries counts everything joined
    mixed      alarms of several kinds or devices are in it, so that the end of one is not the end of all
    also       other kinds of alarm than `kind` that joined it, oldest first, a few
    caller     the number of the newest call in it; presentation "restricted": the caller forbids that it be shown
    voice      numbers and SIP users from which its devices, and callers whose call was merged into it, may call
    attempts   calls lost since the task to call back began, at first_attempt_at
    tracking   one id for the matter at every hotline that has had it; handed: the newest handing over
    sounded    devices that cried in it and may be told something; tellings: what they were told; silent: nothing may be (duress)
    path       of an outage, or of a list after one: what all of `affected` speak through ("path:…", see gateway.core.supervised)
    affected   devices silent by it, worst first, of affected_count; the rest is only counted
    watch      of a missed check-in: the [[watch]] whose ladder is walked (gateway.core.ladder); ladder: how many of its steps were taken
    missed     a check-in of its person was missed and joined another alarm, and no sign of life came since
    service    of a service request: the code of what is wanted (gateway.core.services); wanted_at: when; wish: in words, nothing about health
    sources    ways by which it reached us, oldest first, a few; externals: "<platform>:<their id>" of each platform that knows it
    visiting   the area of registration of a person who is somewhere else (domain 3.6)
    stages     key nodes of the closed loop that were passed; waived: why there was no call-back, by whom
    record     of a caller whom the register does not have
    shelf      put aside until a time (deadline `shelf`)
    held_until on hold until then: no key node presses, alarms are never held; holds again with `hold`
    rung_at    when the escalation policy began, and step: how many of its steps were done (gateway.core.policy)
    notices    who else is told (family, home district)
    tasks      what an operator must do by hand because of what it is: call_119, arrange_medical; done when it stands in `steps`
    steps      of the action plan that were ticked, and "spoke:person", "spoke:family": whom somebody of ours has spoken to (gateway.core.plans)
    merger     of one that was merged: what undoes it (gateway.core.parting)
    deadlines  name → aware UTC: acknowledge, call, idle, call_back, hand_over, overdue, ladder:<step>, reply:<delivery>, arrive:<delivery>,
               agree, finish:<delivery>, complaint, hold, shelf, policy:<step>
    """

    id: str
    key: str
    kind: Kind
    severity: Severity
    state: State
    opened_at: datetime
    changed_at: datetime
    last_event_at: datetime
    ts: int
    version: int = 1
    person: str | None = None
    candidates: tuple[str, ...] = ()
    area: str | None = None
    device: str | None = None
    zone: str = ""
    line: str = ""
    hotline: str | None = None
    call: str | None = None
    caller: str | None = None
    presentation: str = "allowed"
    voice: tuple[str, ...] = ()
    hints: tuple[Hint, ...] = ()
    attempts: int = 0
    first_attempt_at: datetime | None = None
    agent: str | None = None
    position: Position | None = None
    flags: tuple[Flag, ...] = ()
    cries: int = 1
    entries: int = 1
    mixed: bool = False
    also: tuple[Kind, ...] = ()
    owner: str | None = None
    acknowledged_at: datetime | None = None
    resolved_at: datetime | None = None
    closed_at: datetime | None = None
    outcome: Outcome | None = None
    satisfaction: int | None = None
    tracking: str | None = None
    handed: HandOver | None = None
    sounded: tuple[Sounded, ...] = ()
    tellings: tuple[Telling, ...] = ()
    silent: bool = False
    path: str = ""
    affected: tuple[Affected, ...] = ()
    affected_count: int = 0
    watch: str = ""
    ladder: int = 0
    missed: bool = False
    service: str = ""
    wanted_at: datetime | None = None
    wish: str = ""
    sources: tuple[Source, ...] = ()
    externals: tuple[str, ...] = ()
    visiting: str = ""
    stages: tuple[Stage, ...] = ()
    waived: str = ""
    held_until: datetime | None = None
    record: CallerRecord | None = None
    shelf: Shelf | None = None
    rung_at: datetime | None = None
    step: int = 0
    notices: tuple[Notice, ...] = ()
    tasks: tuple[str, ...] = ()
    merged_into: str | None = None
    merger: Merger | None = None
    steps: tuple[str, ...] = ()
    legs: tuple[Leg, ...] = ()
    deadlines: dict[str, datetime] = {}

    @property
    def is_open(self) -> bool:
        return self.state is not State.CLOSED

    @property
    def is_leaving(self) -> bool:
        """Is there a message that still has to leave, whatever its state: an order taken back, a word to the family or to a device?"""
        if any(leg.pending for leg in self.legs):
            return True
        return any(one.state == "pending" for one in self.notices) or any(one.state == "pending" for one in self.tellings)

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other names than its key by which what comes later finds it: numbers that may call about it, its tracking id."""
        if not (self.caller or self.voice or self.tracking or self.externals):
            return ()
        names = [*self.voice, *([self.caller] if self.caller else []), *([f"tracking:{self.tracking}"] if self.tracking else [])]
        names += [f"external:{name}" for name in self.externals]
        return tuple(dict.fromkeys(names))

    @property
    def next_deadline(self) -> tuple[str, datetime] | None:
        """The nearest deadline, name and time. On hold or on the shelf none presses before that is over."""
        if not self.deadlines:
            return None
        if "hold" in self.deadlines or "shelf" in self.deadlines:
            until, waiting = min((self.deadlines[name], name) for name in ("hold", "shelf") if name in self.deadlines)
            return waiting, until
        return min(self.deadlines.items(), key=_TIME)

    @property
    def leading_leg(self) -> Leg | None:
        """The most advanced leg: what the page shows as sent, on the way, on site. Who is only informed comes last: nobody goes by it."""
        return max(self.legs, key=lambda leg: (leg.role not in INFORMED, _ADVANCE.index(leg.state)), default=None)

    def leg(self, delivery: str) -> Leg | None:
        """The leg with this delivery id."""
        return next((leg for leg in self.legs if leg.delivery == delivery), None)


def awake(incident: Incident) -> Incident:
    """The incident, no longer on hold: there is news, which presses from now on."""
    if incident.held_until is None:
        return incident
    deadlines = {name: at for name, at in incident.deadlines.items() if name != "hold"}
    return msgspec.structs.replace(incident, held_until=None, deadlines=deadlines)


def with_flags(flags: tuple[Flag, ...], add: tuple[Flag, ...] = (), drop: tuple[Flag, ...] = ()) -> tuple[Flag, ...]:
    """Flags with some added and some dropped, in a stable order."""
    if not flags and not add:
        return ()
    wanted = (set(flags) | set(add)) - set(drop)
    return tuple(flag for flag in Flag if flag in wanted)


def apply(incident: Incident, action: Action, now: datetime, **changes: object) -> Incident:
    """The incident after `action`. An action that the table does not have raises Refused and changes nothing."""
    there = TRANSITIONS[incident.state].get(action)
    if there is None:
        raise Refused(f"not_when_{incident.state}", action=str(action), state=str(incident.state))
    return msgspec.structs.replace(incident, state=there, changed_at=now, version=incident.version + 1, **changes)


def apply_leg(incident: Incident, leg: Leg, action: str, now: datetime, **changes: object) -> Incident:
    """The incident with one leg moved. An answer that its state does not allow raises Refused."""
    there = LEG_TRANSITIONS[leg.state].get(action)
    if there is None:
        raise Refused(f"leg_{leg.state}", delivery=leg.delivery, answer=action)
    moved = msgspec.structs.replace(leg, state=there, **changes)
    return with_leg(incident, moved, now)


def with_leg(incident: Incident, moved: Leg, now: datetime) -> Incident:
    """The incident with this leg in place of the one with the same delivery id, or added."""
    legs = tuple(moved if leg.delivery == moved.delivery else leg for leg in incident.legs)
    if moved not in legs:
        legs = (*legs, moved)
    return msgspec.structs.replace(incident, legs=legs, changed_at=now, version=incident.version + 1)
