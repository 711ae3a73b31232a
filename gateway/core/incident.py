"""Incidents and their legs: two state machines, each one table.

`TRANSITIONS` is the whole life of an incident, `LEG_TRANSITIONS` that of an order. `apply` and `apply_leg` return new
frozen values and perform nothing: a leg whose `pending` is set is the outbox.
"""

from datetime import datetime
from enum import StrEnum

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


class Outcome(StrEnum):
    HELPED = "helped"
    HOSPITAL = "hospital"
    FALSE_ALARM = "false_alarm"
    TEST = "test"
    REFUSED = "refused"
    NOT_FOUND = "not_found"
    HANDED_OVER = "handed_over"
    MERGED = "merged"


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
    HAND_OVER = "hand_over"
    MERGE = "merge"  # into another one: this one is closed by it


FIELD_ACTIONS = (Action.JOIN, Action.SECOND_CRY, Action.END)
_TELEPHONE = (Action.DIAL, Action.HANG_UP, Action.TRANSFER)
_WORK = dict.fromkeys((Action.NOTE, Action.STEP, Action.DISPATCH, Action.WITHDRAW, Action.ESCALATE, Action.IDENTIFY, *_TELEPHONE))


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
    ),
    State.RESOLVED: _row(
        State.RESOLVED,
        join=State.RESOLVED,
        second_cry=State.RAISED,
        end=State.RESOLVED,
        call_back=State.CLOSED,
        complain=State.ACKNOWLEDGED,
    ),
    State.CLOSED: {Action.COMPLAIN: State.ACKNOWLEDGED, **dict.fromkeys((Action.NOTE, *_TELEPHONE), State.CLOSED)},
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


class Leg(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One order to one responder.

    delivery  id under which it is sent, always the same, however often (invariant 7)
    pending   what must still leave: "order", "withdrawn" or "taken_by:<responder>"; "" = nothing. This is the outbox
    exclusive the first accept among exclusive legs wins; what an operator orders stands beside them
    ts        ms since 1970 of the cry it stands for; repeat counts re-sendings after a second cry
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
    by: str = ""
    reason: str = ""


class Hint(msgspec.Struct, frozen=True):
    """Somebody whom a call may be about, and why: never a match, only shown.

    why: redirecting (the call was forwarded from their line), contact (one of their contacts is calling), number (the caller's number
    is theirs, while the incident is somebody else's).
    """

    why: str
    person: str


class HandOver(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
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


class Incident(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One situation of one person that people must handle. Stored whole, one row.

    key        what joins events: person:…, home:…, device:…, caller:…, line:…
    candidates several persons registered under the caller's number; empty once somebody is identified
    cries      presses and alarms that raised or re-raised it; entries counts everything joined
    mixed      alarms of several kinds or devices are in it, so that the end of one is not the end of all
    caller     the number of the newest call in it; presentation "restricted": the caller forbids that it be shown
    voice      numbers and SIP users from which its devices, and callers whose call was merged into it, may call
    attempts   calls lost since the task to call back began, at first_attempt_at
    tracking   one id for the matter at every hotline that has had it; handed: the newest handing over
    deadlines  name → aware UTC: acknowledge, call, idle, call_back, hand_over, reply:<delivery>, arrive:<delivery>
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
    owner: str | None = None
    acknowledged_at: datetime | None = None
    resolved_at: datetime | None = None
    closed_at: datetime | None = None
    outcome: Outcome | None = None
    satisfaction: int | None = None
    tracking: str | None = None
    handed: HandOver | None = None
    merged_into: str | None = None
    steps: tuple[str, ...] = ()
    legs: tuple[Leg, ...] = ()
    deadlines: dict[str, datetime] = {}

    @property
    def is_open(self) -> bool:
        return self.state is not State.CLOSED

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other names than its key by which what comes later finds it: numbers that may call about it, its tracking id."""
        if not (self.caller or self.voice or self.tracking):
            return ()
        names = [*self.voice, *([self.caller] if self.caller else []), *([f"tracking:{self.tracking}"] if self.tracking else [])]
        return tuple(dict.fromkeys(names))

    @property
    def next_deadline(self) -> tuple[str, datetime] | None:
        """The nearest deadline, name and time."""
        if not self.deadlines:
            return None
        name = min(self.deadlines, key=self.deadlines.__getitem__)
        return name, self.deadlines[name]

    @property
    def leading_leg(self) -> Leg | None:
        """The most advanced leg: what the page shows as sent, on the way, on site."""
        return max(self.legs, key=lambda leg: _ADVANCE.index(leg.state), default=None)

    def leg(self, delivery: str) -> Leg | None:
        """The leg with this delivery id."""
        return next((leg for leg in self.legs if leg.delivery == delivery), None)


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
