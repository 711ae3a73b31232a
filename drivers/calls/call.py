"""One call at the hotline: its states as one table, its legs, and what is kept of it across a restart.

Source: sip-call-state, sections 2 and 3. Knows nothing of messages; `call_tracker` reads those and asks for actions here.
"""

import hashlib
from datetime import datetime
from enum import StrEnum

import msgspec

from drivers.bodies.pidf import Place
from drivers.sip.caller import Caller
from gateway.event import Kind

# A hotline call rings perhaps a dozen phones, one after the other or at once; beyond this more legs change nothing for the caller.
MAX_LEGS = 32
MAX_FORKS = 64
MAX_BRANCHES = 16
MAX_TAGS = 16
ANEW_S = 40.0  # as long as a call that is over is remembered: the same dialog later is another call


class State(StrEnum):
    OFFERED = "offered"
    RINGING = "ringing"
    ANSWERED = "answered"
    ENDED = "ended"
    ABANDONED = "abandoned"
    MISSED = "missed"


class Action(StrEnum):
    RING = "ring"
    ANSWER = "answer"
    TRANSFER = "transfer"
    REOPEN = "reopen"  # what looked like an answer was a queue: the agent's own leg has only just begun
    ABANDON = "abandon"
    MISS = "miss"
    FAIL = "fail"  # refused by a trunk or exchange before anybody's telephone rang
    END = "end"


TRANSITIONS: dict[State, dict[Action, State]] = {
    State.OFFERED: {
        Action.RING: State.RINGING,
        Action.ANSWER: State.ANSWERED,
        Action.ABANDON: State.ABANDONED,
        Action.MISS: State.MISSED,
        Action.FAIL: State.MISSED,
        Action.END: State.ENDED,
    },
    State.RINGING: {
        Action.ANSWER: State.ANSWERED,
        Action.ABANDON: State.ABANDONED,
        Action.MISS: State.MISSED,
        Action.END: State.ENDED,
    },
    State.ANSWERED: {
        Action.TRANSFER: State.ANSWERED,
        Action.REOPEN: State.OFFERED,
        Action.ABANDON: State.ABANDONED,  # CANCEL crossed the 200: answered for an instant
        Action.END: State.ENDED,
    },
    State.ENDED: {},
    State.ABANDONED: {},
    State.MISSED: {},
}
FINAL = frozenset(state for state, actions in TRANSITIONS.items() if not actions)
KIND: dict[Action, Kind | None] = {
    Action.RING: Kind.CALL_RINGING,
    Action.ANSWER: Kind.CALL_ANSWERED,
    Action.TRANSFER: Kind.CALL_TRANSFERRED,
    Action.REOPEN: None,
    Action.ABANDON: Kind.CALL_ABANDONED,
    Action.MISS: Kind.CALL_MISSED,
    Action.FAIL: Kind.CALL_FAILED,
    Action.END: Kind.CALL_ENDED,
}


class Role(StrEnum):
    """caller: the leg that offered the call. relay: the same call sent on to the hotline of a next exchange. agent: an exchange
    rings somebody. transfer: continues the caller's own dialog after REFER or Replaces."""

    CALLER = "caller"
    RELAY = "relay"
    AGENT = "agent"
    TRANSFER = "transfer"


CARRIERS = (Role.CALLER, Role.TRANSFER)  # while one of them stands, the caller is on the line


class Timer(StrEnum):
    """What a call is waiting for; its end decides what is reported."""

    RING = "ring"
    QUEUE = "queue"
    AUTH = "auth"
    REDIRECT = "redirect"
    CANCEL = "cancel"
    HOLD = "hold"  # CANCEL and 200 crossed: is it an answer?
    TALK = "talk"
    PROOF = "proof"  # caller or agent have begun another call: does this one still live?
    TRANSFER = "transfer"
    RESTART = "restart"
    FORGET = "forget"


class Leg:
    """One INVITE dialog set (Call-ID + From tag): its near transaction (`branches`), the copies a proxy sent on (`forks`)."""

    __slots__ = (
        "branches",
        "call",
        "call_id",
        "cancelled",
        "confirmed",
        "cseq",
        "destinations",
        "forks",
        "from_tag",
        "rival",
        "role",
        "source",
        "user",
        "vias",
    )

    def __init__(self, call: "Call", role: Role, call_id: str, from_tag: str, source: tuple[str, int], destination: tuple[str, int]) -> None:
        self.call = call
        self.role = role
        self.call_id = call_id
        self.from_tag = from_tag
        self.source = source
        self.destinations: list[tuple[str, int]] = [destination]
        self.vias = 1
        self.cseq = 0
        self.user = ""  # whom this leg's INVITE asks for
        self.branches: set[str] = set()
        self.forks: dict[str, str] = {}  # branch of a proxied copy -> user of its Request-URI
        self.confirmed: set[str] = set()  # To tags that were answered and not yet ended
        self.cancelled = False
        self.rival = False  # was ringing beside the leg that answered: its late answer is no transfer


class Call:
    """What is known of one call. `announced` holds the kinds told, so that each is told once."""

    __slots__ = (
        "agent",
        "agent_heard",
        "announced",
        "answer_leg",
        "by",
        "called",
        "caller",
        "carried",
        "cause",
        "code",
        "deadline",
        "doubt",
        "held",
        "hotline",
        "joins",
        "key",
        "legs",
        "place",
        "queued",
        "reason",
        "restored",
        "scheduled",
        "session_s",
        "source_host",
        "state",
        "talking",
        "timer",
        "transfer_role",
        "transfer_target",
        "transfer_until",
        "waiting",
    )

    def __init__(self, key: str, caller: Caller, called: str, hotline: str) -> None:
        self.key = key
        self.state = State.OFFERED
        self.caller = caller
        self.called = called
        self.hotline = hotline
        self.legs: list[Leg] = []
        self.agent: str | None = None
        self.agent_heard = False  # has an agent's own leg answered?
        self.answer_leg: Leg | None = None
        self.announced: set[Kind] = set()
        self.queued = False  # the exchange took the call, no agent has yet
        self.waiting = False
        self.by: str | None = None
        self.reason: str | None = None
        self.code: int | None = None
        self.cause: int | None = None
        self.session_s: float | None = None
        self.transfer_until = 0.0
        self.transfer_target = ""
        self.transfer_role = Role.AGENT
        self.carried = False  # a transfer was reported done whose new leg we cannot see
        self.restored = False
        self.source_host = ""
        self.place: Place | None = None
        self.held = False  # the caller hears music: one side has put the call on hold
        self.doubt = ""  # why we think that its end was lost on the way to us
        self.talking: list[str] = []  # by what others may find that it is being talked in
        self.deadline = 0.0
        self.timer = Timer.RING
        self.scheduled = float("inf")
        self.joins: list[tuple[str, str]] = []

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @property
    def has_agent_leg(self) -> bool:
        return any(leg.role is Role.AGENT for leg in self.legs)

    def apply(self, action: Action) -> bool:
        """Take the transition if the table has it; False when the action means nothing in this state."""
        target = TRANSITIONS[self.state].get(action)
        if target is None:
            return False
        self.state = target
        return True


class LegRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A leg as kept in the detail of the call's last event."""

    call_id: str
    from_tag: str
    role: str
    source: tuple[str, int]
    destinations: list[tuple[str, int]]
    vias: int = 1
    cseq: int = 0
    user: str = ""
    branches: list[str] = []
    confirmed: list[str] = []
    cancelled: bool = False


class CallRecord(msgspec.Struct, frozen=True):
    """What `restore` needs out of a detail; everything else in it is for people."""

    call: str
    state: str
    caller: str = ""
    caller_e164: str | None = None
    caller_name: str = ""
    identity_source: str = "none"
    presentation: str = "allowed"
    redirecting: str = ""
    called: str = ""
    hotline: str = ""
    agent: str | None = None
    queued: bool = False
    agent_heard: bool = False
    verified: bool = False
    location: Place | None = None
    rings_agents: list[str] = []
    legs: list[LegRecord] = []


def call_key(call_id: str, from_tag: str, attempt: int = 0, began_at: datetime | None = None) -> str:
    """The call's name everywhere else: short, and free of the numbers that Call-IDs sometimes carry.

    began_at: a telephone started anew may take the Call-ID and tag of an earlier call: this one must not pass for that.
    """
    began = "" if began_at is None else int(began_at.timestamp() // ANEW_S)
    text = f"{call_id}\0{from_tag}\0{attempt or ''}\0{began}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def leg_record(leg: Leg) -> dict[str, object]:
    """JSON values only; the few most telling branches and tags, so that a detail stays small."""
    record = LegRecord(
        call_id=leg.call_id,
        from_tag=leg.from_tag,
        role=leg.role.value,
        source=leg.source,
        destinations=leg.destinations,
        vias=leg.vias,
        cseq=leg.cseq,
        user=leg.user,
        branches=sorted(leg.branches)[:4],
        confirmed=sorted(leg.confirmed)[:8],
        cancelled=leg.cancelled,
    )
    built: dict[str, object] = msgspec.to_builtins(record)
    return built


def restored_call(record: CallRecord) -> Call:
    """The call as it was when its last event was stored. Unknown words raise ValueError: the record is then not ours."""
    caller = Caller(
        raw=record.caller,
        e164=record.caller_e164,
        name=record.caller_name,
        source=record.identity_source,
        verified=record.verified,
        presentation=record.presentation,
        redirecting=record.redirecting,
    )
    call = Call(record.call, caller, record.called, record.hotline)
    call.state = State(record.state)
    call.agent = record.agent
    call.queued = record.queued
    call.agent_heard = record.agent_heard
    call.place = record.location
    call.restored = True
    call.announced.add(Kind.CALL_OFFERED)
    if call.state is not State.OFFERED:
        call.announced.add(Kind.CALL_RINGING)
    if call.state is State.ANSWERED:
        call.announced.add(Kind.CALL_ANSWERED)
    for kept in record.legs[:MAX_LEGS]:
        leg = Leg(call, Role(kept.role), kept.call_id, kept.from_tag, kept.source, kept.destinations[0] if kept.destinations else ("", 0))
        leg.destinations = list(kept.destinations)
        leg.vias, leg.cseq, leg.user, leg.cancelled = kept.vias, kept.cseq, kept.user, kept.cancelled
        leg.branches, leg.confirmed = set(kept.branches), set(kept.confirmed)
        call.legs.append(leg)
    if not call.legs:
        raise ValueError("no_legs")
    return call
