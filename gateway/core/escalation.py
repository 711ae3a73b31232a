"""Deadlines: nobody is forgotten. Every open incident has a next one; what happens when it passes is here."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from gateway.core.incident import ASKED, COMING, Action, Flag, Incident, LegState, State, apply, apply_leg, with_flags
from gateway.core.orders import is_somebody_open, machine_orders, order_above, order_nearest, repeat
from gateway.core.register import ResponderKind
from gateway.core.state import Draft
from gateway.event import Kind


def rearm(draft: Draft, incident: Incident, now: datetime) -> Incident:
    """The incident with exactly the deadlines its state asks for (invariant 4). Running ones are never moved back."""
    policy = draft.policy_for(incident.severity)
    is_taken = incident.state is State.ACKNOWLEDGED  # then the desk has answered, and is not asked again
    legs = {leg.delivery: leg.state for leg in incident.legs if not (is_taken and leg.responder == draft.router.desk.id)}
    kept = {name: at for name, at in incident.deadlines.items() if _still_due(name, incident, legs)}
    if incident.state is State.RAISED:
        kept.setdefault("acknowledge", now + timedelta(seconds=policy.acknowledge_s))
    elif incident.state is State.ACKNOWLEDGED and not kept:
        kept["idle"] = now + timedelta(seconds=draft.policy.idle_remind_s)
    elif incident.state is State.RESOLVED:
        kept.setdefault("call_back", now + timedelta(seconds=draft.policy.close_call_back_s))
    return incident if kept == incident.deadlines else msgspec.structs.replace(incident, deadlines=kept)


def _still_due(name: str, incident: Incident, legs: Mapping[str, LegState]) -> bool:
    word, _, delivery = name.partition(":")
    match word:
        case "acknowledge":
            return incident.state is State.RAISED
        case "call":
            return incident.is_open and incident.state is not State.RESOLVED
        case "hand_over":
            return incident.is_open and incident.handed is not None and incident.handed.state == "pending"
        case "idle" | "idle_escalate":
            return incident.state is State.ACKNOWLEDGED
        case "call_back":
            return incident.state is State.RESOLVED
        case "reply":
            return incident.is_open and legs.get(delivery) in ASKED
        case "arrive":
            return incident.is_open and legs.get(delivery) in COMING
    return False


def on_deadline(draft: Draft, incident: Incident, name: str, now: datetime) -> None:
    """One deadline has passed. The incident always comes out with another one, as long as it is open."""
    draft.put(rearm(draft, _passed(draft, incident, name, now), now))


def _passed(draft: Draft, incident: Incident, name: str, now: datetime) -> Incident:
    policy = draft.policy_for(incident.severity)
    word, _, delivery = name.partition(":")
    incident = msgspec.structs.replace(incident, deadlines={other: at for other, at in incident.deadlines.items() if other != name})
    match word:
        case "acknowledge":
            incident = _escalate(draft, incident, now, "not_acknowledged")
            incident = _again(incident, name, now, policy.repeat_s)
            if machine_orders(draft, incident, "at_once", "unacknowledged") and not _is_served(incident):
                incident = order_nearest(draft, incident, now)
        case "call":
            incident = _escalate(draft, incident, now, "not_called_back")
            if not is_somebody_open(incident):
                incident = order_nearest(draft, incident, now)
        case "hand_over":
            incident = _again(_escalate(draft, incident, now, "hand_over_not_taken"), name, now, policy.repeat_s)
        case "reply":
            incident = _no_reply(draft, incident, delivery, now)
        case "arrive":
            incident = _again(_escalate(draft, incident, now, "not_arrived", Flag.STALLED), name, now, policy.arrive_s)
        case "idle":
            draft.record(Kind.REMIND, now, incident, to=incident.owner, reason="untouched")
            later = draft.policy.idle_escalate_s - draft.policy.idle_remind_s
            incident = _again(incident, "idle_escalate", now, later)
        case "idle_escalate":
            incident = _again(_escalate(draft, incident, now, "untouched", Flag.STALLED), name, now, policy.repeat_s)
        case "call_back":
            incident = _escalate(draft, incident, now, "no_call_back", Flag.STALLED)
            incident = _again(incident, name, now, draft.policy.close_call_back_s)
    return incident


def _no_reply(draft: Draft, incident: Incident, delivery: str, now: datetime) -> Incident:
    leg = incident.leg(delivery)
    if leg is None or leg.state not in ASKED:
        return incident
    responder = draft.router.responder(leg.responder)
    if responder is not None and responder.kind is ResponderKind.DESK:
        draft.record(Kind.ESCALATE, now, incident, reason="not_answered", to=leg.responder, repeat=leg.repeat + 1)
        return repeat(draft, incident, leg, now)  # the desk is asked for ever
    draft.record(Kind.EXPIRED, now, incident, delivery=delivery, responder=leg.responder)
    incident = apply_leg(incident, leg, "expire", now)
    return incident if is_somebody_open(incident) else order_above(draft, incident, leg, now)


def _is_served(incident: Incident) -> bool:
    """Is somebody asked or coming, or was this very cry seen to? Then the desk rings on, and no other responder is sent."""
    return is_somebody_open(incident) or any(leg.state is LegState.DONE and leg.ts == incident.ts for leg in incident.legs)


def _escalate(draft: Draft, incident: Incident, now: datetime, reason: str, *flags: Flag) -> Incident:
    """Ring the desk again, louder: the flag, the record, a new version for every console."""
    draft.record(Kind.ESCALATE, now, incident, reason=reason, to=draft.router.desk.id)
    wanted = with_flags(incident.flags, add=(Flag.ESCALATED, *flags))
    if incident.state is State.RESOLVED or not incident.is_open:
        return msgspec.structs.replace(incident, flags=wanted, version=incident.version + 1, changed_at=now)
    return apply(incident, Action.ESCALATE, now, flags=wanted)


def _again(incident: Incident, name: str, now: datetime, delay_s: float) -> Incident:
    return msgspec.structs.replace(incident, deadlines={**incident.deadlines, name: now + timedelta(seconds=delay_s)})
