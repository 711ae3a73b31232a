"""Deadlines: nobody is forgotten. Every open incident has a next one; what happens when it passes is here."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from gateway.core import chain, ladder, policy
from gateway.core.chattering import cried_on
from gateway.core.incident import ASKED, COMING, Action, Flag, Incident, LegState, Role, Shelf, State, apply, apply_leg
from gateway.core.loop import AGAIN_S, is_due, missed, with_nodes
from gateway.core.orders import is_asked, is_somebody_open, machine_orders, order_nearest, order_next, order_team, repeat
from gateway.core.register import ResponderKind
from gateway.core.service_need import is_request, out_of_quiet
from gateway.core.shelving import off_shelf, quiet, taken_back
from gateway.core.stages import GIVEN_BACK, complained_at, passed
from gateway.core.state import Draft
from gateway.event import Kind, Severity


def rearm(draft: Draft, incident: Incident, now: datetime) -> Incident:
    """The incident with exactly the deadlines its state asks for (invariant 4). Running ones are never moved back."""
    if incident.shelf is not None and incident.state in (State.RAISED, State.ACKNOWLEDGED):
        return _put_aside(draft, incident, incident.shelf)
    incident = taken_back(incident)
    incident = policy.rung(draft, incident, now)
    presses = draft.policy_of(incident)
    is_taken = incident.state is State.ACKNOWLEDGED  # then the desk has answered, and is not asked again
    legs = {leg.delivery: leg.state for leg in incident.legs if not (is_taken and leg.responder == draft.router.desk.id)}
    rung = f"ladder:{incident.ladder}" if incident.watch and ladder.is_climbing(draft, incident) else ""
    kept = {name: at for name, at in incident.deadlines.items() if _still_due(draft, name, incident, legs, rung)}
    if rung:  # taken and given back, it is climbed on
        kept.setdefault(rung, now + timedelta(seconds=ladder.step_s(draft, incident)))
    with_nodes(draft, incident, kept, now)
    if incident.state is State.RAISED:
        at = (incident.rung_at or now) + timedelta(seconds=presses.acknowledge_s)
        if incident.rung_at is None or at > now:  # once passed, its chain presses on in its place
            kept.setdefault("acknowledge", at)
    elif incident.state is State.ACKNOWLEDGED and not (kept.keys() - {"complaint"} if _has_cried_since(incident) else kept):
        kept["idle"] = now + timedelta(seconds=presses.repeat_s if is_request(incident) else draft.policy.idle_remind_s)
    elif incident.state is State.RESOLVED:
        kept.setdefault("call_back", now + timedelta(seconds=draft.policy.close_call_back_s))
    if is_request(incident):
        kept = {name: out_of_quiet(at, draft.policy.service_quiet) for name, at in kept.items()}
    return incident if kept == incident.deadlines else msgspec.structs.replace(incident, deadlines=kept)


def _put_aside(draft: Draft, incident: Incident, shelf: Shelf) -> Incident:
    """On the shelf: whatever is still due waits behind its end, and nothing begins."""
    legs = {leg.delivery: leg.state for leg in incident.legs}
    kept = {name: at for name, at in quiet(incident, shelf).items() if _still_due(draft, name, incident, legs, "")}
    return incident if kept == incident.deadlines else msgspec.structs.replace(incident, deadlines=kept)


def _still_due(draft: Draft, name: str, incident: Incident, legs: Mapping[str, LegState], rung: str) -> bool:
    word, _, delivery = name.partition(":")
    match word:
        case "ladder":
            return name == rung
        case "policy":
            return incident.rung_at is not None and name == f"{policy.PREFIX}{incident.step}"
        case "agree" | "finish" | "complaint" | "hold":
            return is_due(draft, name, incident)
        case "shelf":
            return incident.shelf is not None
        case "acknowledge":
            return incident.state is State.RAISED
        case "order":
            return incident.state is State.RAISED and not is_somebody_open(incident)
        case "call":
            return incident.is_open and incident.state is not State.RESOLVED
        case "again":
            return incident.is_open and Flag.CHATTERING in incident.flags  # also of a resolved one: who cried just before the click is not swallowed
        case "overdue":
            return incident.kind is Kind.OFFLINE and Flag.ENDED not in incident.flags and incident.state in (State.RAISED, State.ACKNOWLEDGED)
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
    presses = draft.policy_of(incident)
    word, _, delivery = name.partition(":")
    planned = incident.deadlines[name]
    incident = msgspec.structs.replace(incident, deadlines={other: at for other, at in incident.deadlines.items() if other != name})
    match word:
        case "ladder":
            incident = ladder.climb(draft, incident, planned, now)
        case "policy":
            incident = _step(draft, incident, planned, now)
        case "acknowledge":
            incident = missed(draft, incident, word, now)
            if policy.chain_of(draft, incident) is None:
                incident = _again(incident, name, now, presses.repeat_s)
            if is_request(incident) and not is_somebody_open(incident):
                incident = order_nearest(draft, incident, now)
            if machine_orders(draft, incident, "at_once", "unacknowledged") and not _is_served(incident):
                incident = order_team(draft, incident, now)
        case "call":
            incident = missed(draft, incident, word, now)
            if not is_asked(incident):
                incident = order_nearest(draft, incident, now)
        case "overdue":
            incident = missed(draft, msgspec.structs.replace(incident, severity=Severity.MAJOR), word, now)
        case "order":
            incident = order_nearest(draft, incident, now)
        case "hand_over":
            incident = _again(missed(draft, incident, word, now), name, now, presses.repeat_s)
        case "reply":
            incident = _no_reply(draft, incident, delivery, now)
        case "arrive":
            incident = _again(missed(draft, incident, word, now), name, now, presses.arrive_s)
        case "agree" | "finish":
            incident = _again(missed(draft, incident, word, now), name, now, _node_s(draft, incident, word))
        case "complaint":
            incident = _again(missed(draft, incident, word, now), name, now, min(AGAIN_S, draft.policy.complaint_s))
        case "again":
            incident = cried_on(draft, incident, now)
        case "hold":
            incident = msgspec.structs.replace(incident, held_until=None, version=incident.version + 1, changed_at=now)
            draft.record(Kind.RESUME, now, incident, reason="until")
        case "shelf":
            incident = off_shelf(draft, incident, now, "until")
        case "idle":
            draft.record(Kind.REMIND, now, incident, to=incident.owner, reason="untouched")
            later = presses.repeat_s if is_request(incident) else draft.policy.idle_escalate_s - draft.policy.idle_remind_s
            incident = _again(incident, "idle_escalate", now, later)
        case "idle_escalate":
            incident = missed(draft, incident, word, now)
            incident = _given_back(draft, incident, now) if _is_left_alone(draft, incident) else _again(incident, name, now, presses.repeat_s)
        case "call_back":
            incident = missed(draft, incident, word, now)
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
    return incident if is_asked(incident, leg.role) else order_next(draft, incident, leg, now)


def _is_served(incident: Incident) -> bool:
    """Is a station asked or coming, or was this very cry seen to by one? Then the desk rings on, and no other is sent."""
    return is_asked(incident) or any(leg.role is Role.SOCIAL and leg.state is LegState.DONE and leg.ts == incident.ts for leg in incident.legs)


def _step(draft: Draft, incident: Incident, planned: datetime, now: datetime) -> Incident:
    """The next time of its chain of escalation; at the end of the chain it is the desk's, for ever."""
    if policy.chain_of(draft, incident) is None:
        return incident
    time = policy.due_time(draft, incident)
    after = policy.taken(draft, incident, planned, now)
    if time is not None:
        return chain.take(draft, after, time, now)
    after = missed(draft, after, "acknowledge", now)
    if machine_orders(draft, after, "at_once", "unacknowledged") and not _is_served(after):
        after = order_team(draft, after, now)
    return after


def _is_left_alone(draft: Draft, incident: Incident) -> bool:
    """Does a person still cry while who took it does nothing: nobody asked or coming, nobody was there, nobody is on the telephone?"""
    is_complaint = Flag.COMPLAINT in incident.flags and not _has_cried_since(incident)
    if not policy.is_alarm(incident) or incident.watch or is_complaint or _is_served(incident):
        return False
    calls = (draft.calls.get(key) for key in {**draft.base.calls, **draft.calls.written})
    return not any(call is not None and call.incident == incident.id for call in calls)


def _has_cried_since(incident: Incident) -> bool:
    """Did its person cry after the newest complaint? Then it is an alarm again, and not only a matter that is looked into for days."""
    at = complained_at(incident)
    return Flag.SECOND_CRY in incident.flags and at is not None and incident.last_event_at > at


def _given_back(draft: Draft, incident: Incident, now: datetime) -> Incident:
    """It rings for everybody again. Who had it is told, and is whom a chain's `owner` means from now on: who receives first stays responsible."""
    draft.record(Kind.RELEASE, now, incident, reason="untouched", previous=incident.owner)
    draft.record(Kind.REMIND, now, incident, to=incident.owner, reason="given_back")
    incident = passed(incident, GIVEN_BACK, now, incident.owner or "")
    return apply(incident, Action.RELEASE, now, owner=None, acknowledged_at=None)


def _node_s(draft: Draft, incident: Incident, word: str) -> float:
    """After how many seconds a key node of the loop presses again."""
    rules = draft.policy
    if word == "agree":
        return rules.service_agree_s if is_request(incident) else rules.agree_s
    return rules.service_finish_s if is_request(incident) else rules.finish_s


def shifted(incident: Incident, step: timedelta) -> Incident:
    """The wall clock stepped: what waits goes on waiting as long as it would have. What was said in wall clock, the end of a hold or shelf, stays."""
    deadlines = {name: at if name in ("hold", "shelf") else at + step for name, at in incident.deadlines.items()}
    return msgspec.structs.replace(incident, deadlines=deadlines, rung_at=incident.rung_at + step if incident.rung_at is not None else None)


def _again(incident: Incident, name: str, now: datetime, delay_s: float) -> Incident:
    return msgspec.structs.replace(incident, deadlines={**incident.deadlines, name: now + timedelta(seconds=delay_s)})
