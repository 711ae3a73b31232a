"""Orders to responders: who is asked, what the order says, what an answer changes. A leg's `pending` is the outbox."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.core.incident import ASKED, COMING, OPEN_LEG, Action, Flag, Incident, Leg, LegState, State, apply, apply_leg, with_flags, with_leg
from gateway.core.register import Register, ResponderKind
from gateway.core.routing import CIRCLE_MIN, Decision
from gateway.core.state import Draft
from gateway.errors import Refused
from gateway.event import KINDS, Event, Group, Kind, new_id

ANSWERS = frozenset((Kind.ACCEPT, Kind.DECLINE, Kind.EN_ROUTE, Kind.ARRIVED, Kind.DONE))


def order_nearest(
    draft: Draft, incident: Incident, now: datetime, actor: str | None = None, choices: int = 1, identity: str | None = None
) -> Incident:
    """Order the nearest that fits and has not been asked yet; with nobody left, the desk. `identity`: of the command, if any."""
    asked = {leg.responder for leg in incident.legs}
    decision = draft.router.nearest(incident.kind, incident.position, incident.area, now, draft.load, asked, choices)
    return order(draft, incident, decision, now, actor, identity)


def order_above(draft: Draft, incident: Incident, leg: Leg, now: datetime, actor: str | None = None) -> Incident:
    """Up the tree from a responder that was silent, declined or could not be reached."""
    asked = {other.responder for other in incident.legs}
    return order(draft, incident, draft.router.above(leg.responder, incident.position, now, draft.load, asked), now, actor)


def order(draft: Draft, incident: Incident, decision: Decision, now: datetime, actor: str | None = None, identity: str | None = None) -> Incident:
    """Put one order on the incident, with the decision that explains it. The desk, asked before, is asked again."""
    responder = draft.router.responder(decision.responder) or draft.router.desk
    policy = draft.policy_for(incident.severity)
    standing = next((leg for leg in incident.legs if leg.responder == responder.id and leg.state in OPEN_LEG), None)
    if standing is not None:
        said = {"delivery": standing.delivery, "responder": standing.responder, "repeat": standing.repeat + 1, "decision": decision}
        draft.record(Kind.DISPATCH, now, incident, actor, identity, **said)
        return repeat(draft, incident, standing, now)
    reply_by = now + timedelta(seconds=policy.repeat_s if responder.kind is ResponderKind.DESK else policy.reply_s)
    leg = Leg(
        delivery=new_id(),
        responder=responder.id,
        channel=responder.channel,
        state=LegState.QUEUED,
        ordered_at=now,
        reply_by=reply_by,
        ts=incident.ts,
        pending="order",
        exclusive=actor is None,
        travel_min=decision.travel_min,
        actor=actor or "",
    )
    beyond = incident.position is not None and (decision.travel_min is None or decision.travel_min > CIRCLE_MIN)
    changes: dict[str, Any] = {
        "legs": (*incident.legs, leg),
        "deadlines": {**incident.deadlines, f"reply:{leg.delivery}": reply_by},
        "flags": with_flags(incident.flags, add=(Flag.BEYOND_CIRCLE,)) if beyond and not incident.legs else incident.flags,
    }
    incident = apply(incident, Action.DISPATCH, now, **changes)
    draft.record(
        Kind.DISPATCH, now, incident, actor, identity, delivery=leg.delivery, responder=leg.responder, channel=leg.channel, decision=decision
    )
    return incident


def repeat(draft: Draft, incident: Incident, leg: Leg, now: datetime) -> Incident:
    """Send an open order once more: same delivery id, the newest cry's ts, `repeat` + 1."""
    again = msgspec.structs.replace(leg, pending="order", ts=incident.ts, repeat=leg.repeat + 1)
    deadlines = incident.deadlines
    if leg.state in ASKED:
        deadlines = {**deadlines, f"reply:{leg.delivery}": now + timedelta(seconds=draft.policy_for(incident.severity).repeat_s)}
    return msgspec.structs.replace(with_leg(incident, again, now), deadlines=deadlines)


def repeat_all(incident: Incident, now: datetime) -> Incident:
    """A second cry: every open leg hears it."""
    for leg in incident.legs:
        if leg.state in OPEN_LEG:
            incident = with_leg(incident, msgspec.structs.replace(leg, pending="order", ts=incident.ts, repeat=leg.repeat + 1), now)
    return incident


def order_anew(draft: Draft, incident: Incident, now: datetime) -> Incident:
    """A second cry that nobody hears who could go: the nearest is ordered, asked before or not, where policy lets the machine order at once."""
    hears = any(leg.state in OPEN_LEG and leg.responder != draft.router.desk.id for leg in incident.legs)
    if hears or not machine_orders(draft, incident, "at_once"):
        return incident
    decision = draft.router.nearest(incident.kind, incident.position, incident.area, now, draft.load)
    if decision.responder == draft.router.desk.id and is_somebody_open(incident):
        return incident  # nobody but the desk, which hears it already
    return order(draft, incident, decision, now)


def is_somebody_open(incident: Incident) -> bool:
    """Is anybody asked or coming?"""
    return any(leg.state in OPEN_LEG for leg in incident.legs)


def machine_orders(draft: Draft, incident: Incident, *words: str) -> bool:
    """May the machine order by itself (event model, "Who orders")? Only for alarms of people and homes."""
    alarm = KINDS[incident.kind].group in (Group.PERSON, Group.ENVIRONMENT)
    return alarm and draft.policy_for(incident.severity).order in words


def answer(draft: Draft, event: Event, now: datetime) -> str | None:
    """A responder answers. Gives a reason when the answer cannot be taken (it is then kept among the rejected)."""
    delivery = str(event.detail.get("delivery") or "")
    name = draft.by_delivery.get(delivery)
    incident = draft.incidents.get(name) if name else None
    leg = incident.leg(delivery) if incident else None
    if incident is None or leg is None:
        return "unknown_delivery"
    if leg.responder != event.device:
        return "not_your_delivery"
    by = str(event.detail.get("by") or "")
    event = msgspec.structs.replace(event, person=incident.person)
    draft.record_event(event, incident.id)
    if leg.state is LegState.DONE:
        return None  # said before: it stands in the timeline
    winner = next((other for other in incident.legs if other.delivery != delivery and other.exclusive and other.state in COMING), None)
    is_over = incident.state in (State.RESOLVED, State.CLOSED) and leg.state not in OPEN_LEG
    if is_over or leg.state is LegState.WITHDRAWN or (leg.exclusive and winner is not None and leg.state not in COMING):
        if event.kind is not Kind.DECLINE:
            notice = f"taken_by:{winner.responder}" if winner else "withdrawn"
            draft.put(with_leg(incident, msgspec.structs.replace(leg, state=LegState.WITHDRAWN, pending=notice), now))
        return None
    try:
        incident = _moved(draft, incident, leg, event, by, now)
    except Refused:
        return None  # said before, or too late to matter: it stands in the timeline, nothing changes
    draft.put(incident)
    return None


def _moved(draft: Draft, incident: Incident, leg: Leg, event: Event, by: str, now: datetime) -> Incident:
    policy = draft.policy_for(incident.severity)
    changes: dict[str, Any] = {"answered_at": leg.answered_at or now, "by": by or leg.by}
    if event.kind is Kind.ARRIVED:
        changes["arrived_at"] = now
    incident = apply_leg(incident, leg, event.kind.value, now, **changes)
    deadlines = dict(incident.deadlines)
    deadlines.pop(f"reply:{leg.delivery}", None)
    if event.kind in (Kind.ARRIVED, Kind.DONE, Kind.DECLINE):
        deadlines.pop(f"arrive:{leg.delivery}", None)
    elif f"arrive:{leg.delivery}" not in deadlines:
        deadlines[f"arrive:{leg.delivery}"] = now + timedelta(seconds=policy.arrive_s)
    incident = msgspec.structs.replace(incident, deadlines=deadlines)
    if event.kind is Kind.DECLINE:
        return incident if is_somebody_open(incident) else order_above(draft, incident, leg, now)
    if leg.state not in COMING and leg.exclusive:
        incident = _withdraw_rivals(incident, leg, now)
        if policy.accept_acknowledges and incident.state is State.RAISED:
            incident = apply(incident, Action.ACKNOWLEDGE, now, owner=by or leg.responder, acknowledged_at=now)
    return incident


def _without_unsent(incident: Incident, now: datetime) -> Incident:
    """An order that expired before it could leave is still sent when its channel is back, but not once somebody else goes."""
    for leg in incident.legs:
        if leg.state is LegState.EXPIRED and leg.pending == "order":
            incident = with_leg(incident, msgspec.structs.replace(leg, pending=""), now)
    return incident


def _withdraw_rivals(incident: Incident, winner: Leg, now: datetime) -> Incident:
    incident = _without_unsent(incident, now)
    for other in incident.legs:
        if other.exclusive and other.delivery != winner.delivery and other.state in ASKED:
            incident = apply_leg(incident, other, "withdraw", now, pending=f"taken_by:{winner.responder}")
    return incident


def withdraw_open(incident: Incident, now: datetime, reason: str) -> Incident:
    """Take back every order that is still open; who has arrived is done."""
    incident = _without_unsent(incident, now)
    for leg in incident.legs:
        if leg.state is LegState.ARRIVED:
            incident = apply_leg(incident, leg, "done", now)
        elif leg.state in OPEN_LEG:
            incident = apply_leg(incident, leg, "withdraw", now, pending="withdrawn", reason=reason)
    return incident


def delivered(draft: Draft, delivery: str, repeat_no: int, notice: str, failed: str | None, now: datetime) -> None:
    """A channel reports: this sending of this leg has left, or cannot (`failed` = reason, permanent)."""
    name = draft.by_delivery.get(delivery)
    incident = draft.incidents.get(name) if name else None
    leg = incident.leg(delivery) if incident else None
    if incident is None or leg is None:
        return
    still = leg.pending if (leg.pending != notice or leg.repeat != repeat_no) else ""
    if notice != "order":
        draft.put(with_leg(incident, msgspec.structs.replace(leg, pending=still), now))
        why = {"reason": failed} if failed is not None else {}
        draft.record(Kind.FAILED if failed else Kind.SENT, now, incident, delivery=delivery, responder=leg.responder, notice=notice, **why)
        return
    if failed is None:
        state = LegState.SENT if leg.state is LegState.QUEUED else leg.state
        draft.put(with_leg(incident, msgspec.structs.replace(leg, pending=still, state=state, sent_at=leg.sent_at or now), now))
        draft.record(Kind.SENT, now, incident, delivery=delivery, responder=leg.responder, repeat=repeat_no)
        return
    draft.record(Kind.FAILED, now, incident, delivery=delivery, responder=leg.responder, reason=failed)
    if leg.state in ASKED:
        incident = apply_leg(incident, leg, "fail", now, pending="", reason=failed)
        # its deadline stays: where nothing else is due it is the one that brings the incident back to somebody's mind
        draft.put(incident if is_somebody_open(incident) else order_above(draft, incident, leg, now))
    else:
        draft.put(with_leg(incident, msgspec.structs.replace(leg, pending=still), now))


def order_body(incident: Incident, leg: Leg, register: Register) -> bytes:
    """The JSON that leaves: the order, or the notice that it is withdrawn or taken. Least data (invariant 10)."""
    if leg.pending.startswith("taken_by:"):
        return msgspec.json.encode({"delivery": leg.delivery, "incident": incident.id, "taken_by": leg.pending.partition(":")[2]})
    if leg.pending == "withdrawn":
        return msgspec.json.encode({"delivery": leg.delivery, "incident": incident.id, "withdrawn": True, "reason": leg.reason})
    person = register.persons.get(incident.person) if incident.person else None
    who: dict[str, object] | None = None
    if person is not None:
        who = {"id": person.id, "name": person.name, "address": person.address, "risks": person.risks}
        if person.born is not None:
            who["age"] = leg.ordered_at.year - person.born
    position = incident.position
    return msgspec.json.encode(
        {
            "delivery": leg.delivery,
            "incident": incident.id,
            "kind": incident.kind,
            "severity": incident.severity,
            "device": incident.device,
            "ts": leg.ts,
            "repeat": leg.repeat,
            "person": who,
            "position": {"lat": position.lat, "lon": position.lon, "source": position.source} if position else None,
            "travel_min": leg.travel_min,
            "reply_by": leg.reply_by,
        }
    )
