"""Orders to responders: who is asked, side by side by their roles, and what an answer changes. A leg's `pending` is the outbox."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.config import Policy
from gateway.core import notices, teams, visiting
from gateway.core.incident import (
    ASKED,
    COMING,
    INFORMED,
    OPEN_LEG,
    Action,
    Flag,
    Incident,
    Leg,
    LegState,
    Role,
    State,
    apply,
    apply_leg,
    awake,
    with_flags,
    with_leg,
)
from gateway.core.register import ResponderKind
from gateway.core.routing import Decision
from gateway.core.service_need import in_the_morning, is_quiet, is_request, promise_of, providers_for, unmatched
from gateway.core.state import Draft
from gateway.core.telling import PROMPT, is_asked_in_vain, settled
from gateway.errors import Refused
from gateway.event import KINDS, Event, Group, Kind

NEIGHBOURS = frozenset((ResponderKind.NEIGHBOUR, ResponderKind.PROPERTY))  # mutual help: no rung of the tree of stations and centres
ACKNOWLEDGES = frozenset((Role.SOCIAL, Role.SERVICE))  # whose accept ends the ringing, where policy says so
ANSWERS = frozenset((Kind.ACCEPT, Kind.DECLINE, Kind.EN_ROUTE, Kind.ARRIVED, Kind.DONE))


def order_nearest(
    draft: Draft, incident: Incident, now: datetime, actor: str | None = None, choices: int = 1, identity: str | None = None
) -> Incident:
    """Order the nearest that fits and has not been asked yet; with nobody left, the desk. `identity`: of the command, if any."""
    asked = teams.asked_of(incident, Role.SERVICE if is_request(incident) else Role.SOCIAL)
    if is_request(incident):
        if actor is None and is_quiet(now, draft.policy.service_quiet):
            return in_the_morning(draft, incident, now)
        decision = providers_for(draft, incident, now, asked, choices)
        if decision.responder == draft.router.desk.id:
            return unmatched(draft, incident, decision, now)
        return order(draft, incident, decision, now, actor, identity)
    need = teams.need_of(draft, incident, Role.SOCIAL, now, asked)
    return order(draft, incident, draft.router.choose(need, teams.around(draft, now), choices), now, actor, identity)


def order_skilled(draft: Draft, incident: Incident, skill: str, now: datetime, actor: str, choices: int, identity: str | None) -> Incident:
    """Order the nearest that has a skill: of those who go to alarms, else of neighbours and property companies, who look and open the door.

    Raises Refused: nobody_with_skill.
    """
    for role in (Role.SOCIAL, Role.NEIGHBOUR):
        need = teams.need_of(draft, incident, role, now, teams.asked_of(incident, role), skill)
        decision = draft.router.choose(need, teams.around(draft, now), choices)
        if decision.responder != draft.router.desk.id:
            return order(draft, incident, decision, now, actor, identity, role)
    raise Refused("nobody_with_skill", skill=skill)


def order_team(draft: Draft, incident: Incident, now: datetime) -> Incident:
    """What the machine does for an alarm: the station is ordered, then, beside it, whom the teams name."""
    return order_beside(draft, order_nearest(draft, incident, now), now)


def order_beside(draft: Draft, incident: Incident, now: datetime) -> Incident:
    """Order or tell whom the teams name and who is not asked yet. The station has its order already, and waits for none of them."""
    wanted, tasks = teams.team_of(draft, incident)
    new = tuple(task for task in tasks if task not in incident.tasks)
    for task in new:
        draft.record(Kind.REMIND, now, incident, reason=task, to=draft.router.desk.id)
    if new:
        incident = msgspec.structs.replace(incident, tasks=(*incident.tasks, *new))
    for who in wanted:
        if not is_asked(incident, who.role):
            incident = order_role(draft, incident, who, now)
    return incident


def order_role(
    draft: Draft,
    incident: Incident,
    who: Role | teams.Who,
    now: datetime,
    actor: str | None = None,
    choices: int = 1,
    identity: str | None = None,
) -> Incident:
    """Order the nearest that fits for a role that is not the station's. Nobody: the desk is told, and the incident goes on as it was.

    What an operator asks for raises Refused then: nobody_fits.
    """
    role = who.role if isinstance(who, teams.Who) else who
    decision = teams.choose(draft, incident, who, now, choices)
    if decision.responder != draft.router.desk.id:
        return order(draft, incident, decision, now, actor, identity, role)
    if actor is not None:
        raise Refused("nobody_fits", role=role.value)
    return _nobody(draft, incident, role, decision, now)


def _nobody(draft: Draft, incident: Incident, role: Role, decision: Decision, now: datetime) -> Incident:
    """Nobody is to be had for a role: on record with the reasons, once, and a task where an operator has to arrange it."""
    if role is Role.MEDICAL and any(leg.state in OPEN_LEG and teams.is_medical(draft.router.responder(leg.responder)) for leg in incident.legs):
        return incident  # who goes can do it
    task = f"{'arrange' if role in teams.MUST_BE_ARRANGED else 'no'}_{role}"
    if task in incident.tasks:
        return incident
    draft.record(Kind.REMIND, now, incident, reason=f"no_{role}", to=draft.router.desk.id, role=role, decision=decision)
    return msgspec.structs.replace(incident, tasks=(*incident.tasks, task))


def order_next(draft: Draft, incident: Incident, leg: Leg, now: datetime, actor: str | None = None) -> Incident:
    """Whom to ask when this one was silent, declined or could not be reached: of its own role alone. The station's goes up the tree to the desk;
    from a neighbour on a ladder its next step is taken, now; of an ordinary service there is no tree: the next provider that can."""
    if leg.role is Role.SOCIAL:
        return _treated_by_another(draft, order_above(draft, incident, leg, now, actor), leg, now)
    if is_request(incident):
        return order_nearest(draft, incident, now, actor)
    if leg.role is Role.NEIGHBOUR and f"ladder:{incident.ladder}" in incident.deadlines:
        return next_step(incident, now)
    return order_role(draft, incident, leg.role, now)


def _treated_by_another(draft: Draft, incident: Incident, leg: Leg, now: datetime) -> Incident:
    """Who could have treated as well does not go: somebody else is asked to treat, or the operator is told to arrange it."""
    if not teams.is_medical(draft.router.responder(leg.responder)) or any(other.role is Role.MEDICAL for other in incident.legs):
        return incident
    if not machine_orders(draft, incident, "at_once", "unacknowledged") or teams.Who.MEDICAL not in teams.team_of(draft, incident)[0]:
        return incident
    return order_role(draft, incident, teams.Who.MEDICAL, now)


def order_above(draft: Draft, incident: Incident, leg: Leg, now: datetime, actor: str | None = None) -> Incident:
    """Up the tree from this responder, in the end the desk. An ordinary service has no tree."""
    if is_request(incident):
        return order_nearest(draft, incident, now, actor)
    need = teams.need_of(draft, incident, Role.SOCIAL, now, teams.asked_of(incident, Role.SOCIAL))
    return order(draft, incident, draft.router.above(leg.responder, need, teams.around(draft, now)), now, actor)


def next_step(incident: Incident, now: datetime) -> Incident:
    """The next step of its ladder is due now: what the last one asked for is not to be had."""
    name = f"ladder:{incident.ladder}"
    due = incident.deadlines.get(name)
    return incident if due is None else msgspec.structs.replace(incident, deadlines={**incident.deadlines, name: min(due, now)})


def order(
    draft: Draft,
    incident: Incident,
    decision: Decision,
    now: datetime,
    actor: str | None = None,
    identity: str | None = None,
    role: Role = Role.SOCIAL,
) -> Incident:
    """Put one order on the incident, with the decision that explains it. The desk, asked before, is asked again."""
    responder = draft.router.responder(decision.responder) or draft.router.desk
    role = Role.SERVICE if is_request(incident) else role
    policy = orders_policy(draft, incident)
    is_desk = responder.kind is ResponderKind.DESK  # whatever else it was given to do, it stands for the station
    mine = (leg for leg in incident.legs if leg.responder == responder.id and leg.state in OPEN_LEG)
    standing = next((leg for leg in mine if leg.role is role or not is_desk), None)
    if standing is not None:
        said = {"delivery": standing.delivery, "responder": standing.responder, "repeat": standing.repeat + 1, "decision": decision}
        draft.record(Kind.DISPATCH, now, incident, actor, identity, **said)
        return repeat(draft, incident, standing, now)
    reply_by = now + timedelta(seconds=policy.repeat_s if is_desk else policy.reply_s)
    # What a person says is not read again from the bus: an order of theirs is a new one, whatever the station knows of one before a restore.
    same = (incident.id, incident.version, incident.key, incident.ts, responder.id) if actor is None else ()
    leg = Leg(
        delivery=draft.base.shard.new_delivery(*same),
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
        role=role,
    )
    is_first = role is Role.SOCIAL and not any(other.role is Role.SOCIAL for other in incident.legs)
    beyond = is_first and decision.beyond
    changes: dict[str, Any] = {
        "legs": (*incident.legs, leg),
        "flags": with_flags(incident.flags, add=(Flag.BEYOND_CIRCLE,)) if beyond else _matched(incident.flags),
    }
    incident = awake(incident)
    if role is not Role.DOCTOR:  # is told, and owes no answer
        changes["deadlines"] = {**incident.deadlines, f"reply:{leg.delivery}": reply_by}
    incident = apply(incident, Action.DISPATCH, now, **changes)
    facts: dict[str, Any] = {"delivery": leg.delivery, "responder": leg.responder, "channel": leg.channel, "decision": decision}
    if role is not Role.SOCIAL:
        facts["role"] = role
    draft.record(Kind.DISPATCH, now, incident, actor, identity, **facts)
    return incident


def orders_policy(draft: Draft, incident: Incident) -> Policy:
    """How its orders are pressed: as its severity asks; an ordinary service has hours."""
    return draft.policy.service if is_request(incident) else draft.policy_for(incident.severity)


def _matched(flags: tuple[Flag, ...]) -> tuple[Flag, ...]:
    return with_flags(flags, drop=(Flag.UNMATCHED,)) if Flag.UNMATCHED in flags else flags


def repeat(draft: Draft, incident: Incident, leg: Leg, now: datetime) -> Incident:
    """Send an open order once more: same delivery id, the newest cry's ts, `repeat` + 1."""
    again = msgspec.structs.replace(leg, pending="order", ts=incident.ts, repeat=leg.repeat + 1)
    deadlines = incident.deadlines
    if leg.state in ASKED and leg.role is not Role.DOCTOR:
        deadlines = {**deadlines, f"reply:{leg.delivery}": now + timedelta(seconds=orders_policy(draft, incident).repeat_s)}
    return msgspec.structs.replace(with_leg(incident, again, now), deadlines=deadlines)


def repeat_all(incident: Incident, now: datetime, *, is_news: bool = False) -> Incident:
    """A second cry: every open leg hears it; who is only informed hears no more than what is news, such as whose it is."""
    for leg in incident.legs:
        if leg.state in OPEN_LEG and (is_news or leg.role not in INFORMED):
            incident = with_leg(incident, msgspec.structs.replace(leg, pending="order", ts=incident.ts, repeat=leg.repeat + 1), now)
    return incident


def readdress(draft: Draft, incident: Incident, previous: str | None, now: datetime) -> Incident:
    """It is known, or known better, whose it is: who goes hears to whom. The doctor and the hospital of somebody else hear nothing of this one."""
    if previous is not None and previous != incident.person:
        for leg in incident.legs:
            if leg.role in INFORMED and leg.state in OPEN_LEG:
                incident = apply_leg(incident, leg, "withdraw", now, pending="withdrawn", reason="identified")
    incident = repeat_all(visiting.placed(draft.register, incident, draft.base.visiting_km), now, is_news=True)
    return order_beside(draft, incident, now) if is_asked(incident) and machine_orders(draft, incident, "at_once", "unacknowledged") else incident


def order_anew(draft: Draft, incident: Incident, now: datetime) -> Incident:
    """A second cry that nobody hears who could go: the nearest is ordered, asked before or not, where policy lets the machine order at once;
    then whom the teams name beside it, as far as nobody of that role is asked."""
    if not machine_orders(draft, incident, "at_once"):
        return incident
    stations = [leg for leg in incident.legs if leg.role is Role.SOCIAL and leg.state in OPEN_LEG]
    if not any(leg.responder != draft.router.desk.id for leg in stations):
        beside = {leg.responder for leg in incident.legs if leg.role is not Role.SOCIAL and leg.state in OPEN_LEG}
        decision = draft.router.choose(teams.need_of(draft, incident, Role.SOCIAL, now, beside), teams.around(draft, now))
        if decision.responder != draft.router.desk.id or not stations:  # else nobody but the desk, which hears it already
            incident = order(draft, incident, decision, now)
    return order_beside(draft, incident, now)


def is_asked(incident: Incident, role: Role = Role.SOCIAL) -> bool:
    """Is anybody asked for this role, or coming? A neighbour who comes is no station, a doctor who knows is nobody who comes."""
    return any(leg.role is role and leg.state in OPEN_LEG for leg in incident.legs)


def is_somebody_open(incident: Incident) -> bool:
    """Is anybody asked or coming, for whatever role?"""
    return any(leg.state in OPEN_LEG for leg in incident.legs)


def machine_orders(draft: Draft, incident: Incident, *words: str) -> bool:
    """May the machine order by itself (event model, "Who orders")? Only for alarms of people and homes; a ladder orders in its own time."""
    if incident.watch:
        return False
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
    winner = next((other for other in incident.legs if other.state in COMING and _is_rival(leg, other)), None)
    is_over = incident.state in (State.RESOLVED, State.CLOSED) and leg.state not in OPEN_LEG
    if is_over or leg.state is LegState.WITHDRAWN or (winner is not None and leg.state not in COMING):
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


def _is_rival(leg: Leg, other: Leg) -> bool:
    """Of one role only one of these can come: those that the machine ordered, and two orders to the same responder."""
    is_one = other.delivery != leg.delivery and other.role is leg.role
    return is_one and ((leg.exclusive and other.exclusive) or leg.responder == other.responder)


def _moved(draft: Draft, incident: Incident, leg: Leg, event: Event, by: str, now: datetime) -> Incident:
    is_service = is_request(incident)
    policy = orders_policy(draft, incident)
    changes: dict[str, Any] = {"answered_at": leg.answered_at or now, "by": by or leg.by}
    if event.kind is Kind.ARRIVED:
        changes["arrived_at"] = now
    promised = None
    if is_service and event.kind in (Kind.ACCEPT, Kind.EN_ROUTE):
        said = event.detail.get("promised_at")
        promised = changes["promised_at"] = promise_of(incident, said, now) if event.kind is Kind.ACCEPT else leg.promised_at
    if leg.state not in COMING and event.kind is not Kind.DECLINE:
        newer = next((other for other in incident.legs if other.responder == leg.responder and other.state in ASKED and _is_rival(leg, other)), None)
        if newer is not None:  # answered late, and ordered anew meanwhile: they come once, for the newest cry they were told of
            changes["ts"] = max(leg.ts, newer.ts)
            incident = apply_leg(incident, newer, "withdraw", now, pending="withdrawn", reason="answered")
    incident = apply_leg(incident, leg, event.kind.value, now, **changes)
    deadlines = dict(incident.deadlines)
    deadlines.pop(f"reply:{leg.delivery}", None)
    if event.kind in (Kind.ARRIVED, Kind.DONE, Kind.DECLINE):
        deadlines.pop(f"arrive:{leg.delivery}", None)
    elif f"arrive:{leg.delivery}" not in deadlines and leg.role not in INFORMED:
        deadlines[f"arrive:{leg.delivery}"] = max(now, promised or now) + timedelta(seconds=policy.arrive_s)
    incident = msgspec.structs.replace(incident, deadlines=deadlines)
    if event.kind is Kind.DECLINE:
        return incident if is_asked(incident, leg.role) else order_next(draft, incident, leg, now)
    if leg.state not in COMING and (leg.exclusive or is_service):
        incident = _withdraw_rivals(incident, leg, now)
        if policy.accept_acknowledges and leg.role in ACKNOWLEDGES and incident.state is State.RAISED:
            incident = apply(incident, Action.ACKNOWLEDGE, now, owner=by or leg.responder, acknowledged_at=now)
    return incident


def _without_unsent(incident: Incident, now: datetime, role: Role | None = None) -> Incident:
    """An order that expired before it could leave is still sent when its channel is back, but not once somebody else goes. role: None = all."""
    for leg in incident.legs:
        if leg.state is LegState.EXPIRED and leg.pending == "order" and role in (None, leg.role):
            incident = with_leg(incident, msgspec.structs.replace(leg, pending=""), now)
    return incident


def _withdraw_rivals(incident: Incident, winner: Leg, now: datetime) -> Incident:
    """Who was asked for the same role need not go."""
    incident = _without_unsent(incident, now, winner.role)
    for other in incident.legs:
        if other.exclusive and other.role is winner.role and other.delivery != winner.delivery and other.state in ASKED:
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


def stand_down(incident: Incident, now: datetime) -> Incident:
    """Another incident is the same matter: who was only asked for this one need not go. Not if somebody comes for it already."""
    if any(leg.state in COMING for leg in incident.legs):
        return incident
    return withdraw_open(incident, now, reason="merged")


def call_off(incident: Incident, now: datetime, reason: str) -> Incident:
    """What the machine ordered is not needed any more: who was only asked is told so, who is on the way gets the order as it is now."""
    incident = _without_unsent(incident, now)
    for leg in incident.legs:
        if leg.exclusive and leg.state in ASKED:
            incident = apply_leg(incident, leg, "withdraw", now, pending="withdrawn", reason=reason)
        elif leg.state in COMING:
            incident = with_leg(incident, msgspec.structs.replace(leg, pending="order", repeat=leg.repeat + 1), now)
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
        draft.put(incident if is_asked(incident, leg.role) else order_next(draft, incident, leg, now))
    else:
        draft.put(with_leg(incident, msgspec.structs.replace(leg, pending=still), now))


def told(draft: Draft, name: str, telling: str, reason: str, now: datetime) -> None:
    """A line reports: this device was told ("" = done), or will not be. A protocol that has no word for it is no event."""
    incident = draft.incidents.get(name)
    if incident is None:
        return
    incident, done = settled(incident, telling, reason)
    if done is None:
        return
    if done.word == PROMPT and reason and is_asked_in_vain(incident, done):
        incident = next_step(incident, now)
    draft.put(incident)
    if reason != "cannot":
        why = {"reason": reason} if reason else {}
        draft.record(Kind.FAILED if reason else Kind.SENT, now, incident, told=done.word, device=done.device, line=done.line, **why)


def informed(draft: Draft, name: str, notice: str, reason: str, now: datetime) -> None:
    """A channel reports: this notice has left ("" = sent), or will not."""
    incident = draft.incidents.get(name)
    if incident is None:
        return
    incident, done = notices.settled(incident, notice, reason)
    if done is None:
        return
    draft.put(incident)
    why = {"reason": reason} if reason else {}
    draft.record(Kind.INFORMED, now, incident, to=done.to, moment=done.moment, channel=done.channel, state=done.state, **why)
