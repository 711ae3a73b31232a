"""Key nodes of the closed loop (domain 6.2): what must have happened by when, and what is said, and to whom, when it has not.

Each node is a deadline of the incident, so none is forgotten and each surfaces by itself. `NODES` is the table.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from gateway.core.incident import ASKED, COMING, HELPS, Action, Flag, Incident, LegState, State, apply, with_flags
from gateway.core.policy import is_alarm
from gateway.core.stages import SERVE, has_passed
from gateway.core.state import Draft
from gateway.event import Kind

SUPERVISOR = "supervisor"  # whom the console shows a complaint that nobody answers; roles come with accounts
AGAIN_S = 86_400.0  # a complaint that stays unanswered is told once a day
HOLD_LONGEST = timedelta(days=31)  # a matter that waits longer is a new one


class Finding(StrEnum):
    """What looking into a complaint has shown."""

    JUSTIFIED = "justified"
    PARTLY = "partly"
    UNJUSTIFIED = "unjustified"


class Node(msgspec.Struct, frozen=True):
    """One key node. reason: the word when its deadline passes; stalled: is it then marked so; to: who is pressed, "" = the desk."""

    reason: str
    stalled: bool = False
    to: str = ""


NODES: dict[str, Node] = {  # by the first word of the deadline
    "acknowledge": Node("not_acknowledged"),
    "call": Node("not_called_back"),
    "agree": Node("not_accepted", stalled=True),
    "arrive": Node("not_arrived", stalled=True),
    "finish": Node("not_finished", stalled=True),
    "call_back": Node("no_call_back", stalled=True),
    "complaint": Node("complaint_unanswered", stalled=True, to=SUPERVISOR),
    "hand_over": Node("hand_over_not_taken", stalled=True),
    "idle_escalate": Node("untouched", stalled=True),
    "overdue": Node("silent_for_a_day"),
}


def missed(draft: Draft, incident: Incident, word: str, now: datetime) -> Incident:
    """The deadline of this node has passed: the incident shows it, the journal says so, the books count it."""
    node = NODES[word]
    draft.nodes.append(node.reason)
    return press(draft, incident, now, node.reason, *((Flag.STALLED,) if node.stalled else ()), to=node.to)


def press(draft: Draft, incident: Incident, now: datetime, reason: str, *flags: Flag, to: str = "", **facts: Any) -> Incident:
    """Ring the desk again, louder: the flag, the record, a new version for every console."""
    draft.record(Kind.ESCALATE, now, incident, reason=reason, to=to or draft.router.desk.id, **facts)
    wanted = with_flags(incident.flags, add=(Flag.ESCALATED, *flags))
    if incident.state is State.RESOLVED or not incident.is_open:
        return msgspec.structs.replace(incident, flags=wanted, version=incident.version + 1, changed_at=now)
    return apply(incident, Action.ESCALATE, now, flags=wanted)


def with_nodes(draft: Draft, incident: Incident, kept: dict[str, datetime], now: datetime) -> None:
    """Add the deadlines of nodes that begin with what the incident now is, to those that are kept. Running ones are never moved."""
    policy = draft.policy
    is_service = incident.kind is Kind.SERVICE_REQUEST
    if Flag.COMPLAINT in incident.flags and incident.is_open:
        kept.setdefault("complaint", now + timedelta(seconds=policy.complaint_s))
    if incident.state not in (State.RAISED, State.ACKNOWLEDGED):
        return
    asked = is_asked(draft, incident)
    if asked is not None and "agree" not in kept:
        kept["agree"] = max(now, asked + timedelta(seconds=policy.service_agree_s if is_service else policy.agree_s))
    for leg in incident.legs:
        if leg.state is LegState.ARRIVED:
            there = leg.arrived_at or now
            kept.setdefault(f"finish:{leg.delivery}", there + timedelta(seconds=policy.service_finish_s if is_service else policy.finish_s))


def is_asked(draft: Draft, incident: Incident) -> datetime | None:
    """Since when are responders asked for it of whom none has accepted? None: nobody is asked, or somebody comes or was there.

    Who declined or was silent counts as long as nobody was there since, and nobody was called off: a later cry is asked for anew.
    """
    if _is_somebody_coming(incident):
        return None
    asked = [leg for leg in incident.legs if leg.responder != draft.router.desk.id and leg.role in HELPS]
    if not any(leg.state in ASKED for leg in asked):
        return None
    over = max((leg.ordered_at for leg in asked if leg.state in (LegState.DONE, LegState.WITHDRAWN)), default=None)
    return min(leg.ordered_at for leg in asked if leg.state in ASKED or over is None or leg.ordered_at > over)


def _is_somebody_coming(incident: Incident) -> bool:
    """Does help come, or was it there for this cry? A neighbour who looks in is not the help that was ordered."""
    return any(leg.role in HELPS and (leg.state in COMING or (leg.state is LegState.DONE and leg.ts == incident.ts)) for leg in incident.legs)


def is_due(draft: Draft, name: str, incident: Incident) -> bool:
    """Does this node still press, as the incident now is?"""
    word, _, delivery = name.partition(":")
    leg = incident.leg(delivery) if delivery else None
    match word:
        case "agree":
            return incident.state in (State.RAISED, State.ACKNOWLEDGED) and is_asked(draft, incident) is not None
        case "finish":
            return incident.is_open and leg is not None and leg.state is LegState.ARRIVED
        case "complaint":
            return incident.is_open and Flag.COMPLAINT in incident.flags
        case "hold":
            return incident.held_until is not None and incident.state in (State.ACKNOWLEDGED, State.RESOLVED)
    return False


def may_wait(incident: Incident) -> bool:
    """May it be put on hold? A cry of a person or a home not before somebody was there, or it is resolved."""
    return incident.state is State.RESOLVED or not (is_alarm(incident) or incident.also) or has_passed(incident, SERVE)
