"""What an operator may do to an incident, and what each command changes. A command that cannot be done raises Refused."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.core import hand_over, orders, parting
from gateway.core.calls import called_back
from gateway.core.escalation import rearm
from gateway.core.incident import COMING, OPEN_LEG, Action, Flag, Incident, Outcome, State, apply, apply_leg, with_flags
from gateway.core.joining import is_call, is_mergeable, merge
from gateway.core.routing import SHOWN, Decision
from gateway.core.state import Draft
from gateway.errors import Refused
from gateway.event import Kind, Position

NOTE_LIMIT = 2000  # characters; a screen of text, far above what is typed during a call
RELEASE_WITHIN = timedelta(seconds=30)  # Z takes an acknowledgement back (console design, 4)


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One wish of an operator. `facts` by action: see `on_command`; `key` is the idempotency key, `expected` the state seen."""

    action: Action
    actor: str
    incident: str
    facts: dict[str, object] = {}
    key: str | None = None


def on_command(draft: Draft, command: Command, now: datetime) -> Incident:
    """Do it in the draft and give the incident after it.

    acknowledge, release, assign{to}, note{text}, step{step}, dispatch{responder?}, withdraw{delivery}, escalate{reason?},
    identify{person}, merge{into}, hand_over{to, note?}, resolve{outcome, note?}, call_back{satisfaction?, note?, complaint?}, complain{note},
    dial{dial, ref, outcome?}, hang_up{call | dial, outcome?}, transfer{call, to, outcome?}: asked before, told after (gateway.console.dialling).
    """
    incident = draft.incidents.get(command.incident)
    if incident is None:
        raise Refused("unknown_incident", 404)
    identity = _identity(command)
    if identity is not None and draft.is_known(identity):
        return incident
    done = _DO[command.action](draft, incident, command, now)
    if done is incident:
        return incident
    if identity is not None:
        draft.known[identity] = None
    if command.action not in (Action.DISPATCH, Action.MERGE):  # they write their own records: the decision, both ends
        draft.record(Kind(command.action.value), now, done, command.actor, identity, **command.facts, **_more(command.action, incident, done))
    if command.action is not Action.RELEASE:
        untouched = {name: at for name, at in done.deadlines.items() if not name.startswith("idle")}
        flags = with_flags(done.flags, drop=(Flag.STALLED,))
        done = msgspec.structs.replace(done, deadlines=untouched, flags=flags)
    done = rearm(draft, done, now)
    draft.put(done)
    return done


def _more(action: Action, before: Incident, after: Incident) -> dict[str, object]:
    """What the journal needs beyond the facts of the command: whose it was before, and under which ids it leaves."""
    if action is Action.IDENTIFY and before.person is not None:
        return {"previous": before.person}
    if action is Action.HAND_OVER and after.handed is not None and after.handed.state == "pending":
        return {"tracking": after.tracking, "delivery": after.handed.delivery}
    return {}


def _identity(command: Command) -> str | None:
    return f"command|{command.key}" if command.key else None


def _acknowledge(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    if incident.state is State.ACKNOWLEDGED:
        if incident.owner == command.actor:
            return incident
        raise Refused("already_acknowledged", by=incident.owner, at=incident.acknowledged_at)
    return apply(incident, Action.ACKNOWLEDGE, now, owner=command.actor, acknowledged_at=now)


def _release(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    if incident.owner != command.actor:
        raise Refused("not_yours", by=incident.owner)
    if incident.acknowledged_at is None or now - incident.acknowledged_at > RELEASE_WITHIN:
        raise Refused("too_late", within_s=RELEASE_WITHIN.total_seconds())
    return apply(incident, Action.RELEASE, now, owner=None, acknowledged_at=None)


def _assign(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    return apply(incident, Action.ASSIGN, now, owner=_required(command, "to"), acknowledged_at=now)


def _note(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    _required(command, "text")
    return apply(incident, Action.NOTE, now)


def _telephone(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    """Somebody is rung about it, hung up or sent on; the facts say whom and what came of it, never a number."""
    return apply(incident, command.action, now)


def _step(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    step = _required(command, "step")
    return incident if step in incident.steps else apply(incident, Action.STEP, now, steps=(*incident.steps, step))


def _dispatch(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    if not incident.is_open:
        raise Refused(f"not_when_{incident.state}")
    wanted = command.facts.get("responder")
    if wanted is None:
        return orders.order_nearest(draft, incident, now, command.actor, SHOWN, _identity(command))
    responder = draft.router.responder(str(wanted))
    if responder is None:
        raise Refused("unknown_responder", 400, responder=wanted)
    if any(leg.responder == responder.id and leg.state in OPEN_LEG for leg in incident.legs):
        raise Refused("already_ordered", responder=responder.id)
    looked_at = draft.router.nearest(incident.kind, incident.position, incident.area, now, draft.load, choices=SHOWN)
    mine = draft.router.look_at(responder, incident.position, now, draft.load)
    others = [msgspec.structs.replace(c, verdict="fits" if c.verdict == "chosen" else c.verdict) for c in looked_at.candidates]
    chosen = msgspec.structs.replace(mine, verdict="chosen")
    decision = Decision(
        responder=responder.id,
        rule="operator",
        register=looked_at.register,
        at=now,
        position=incident.position,
        travel_min=mine.travel_min,
        candidates=(chosen, *(other for other in others if other.responder != responder.id)),
    )
    return orders.order(draft, incident, decision, now, command.actor, _identity(command))


def _withdraw(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    leg = incident.leg(_required(command, "delivery"))
    if leg is None:
        raise Refused("unknown_delivery", 404)
    withdrawn = apply_leg(incident, leg, "withdraw", now, pending="withdrawn", reason=str(command.facts.get("reason") or "operator"))
    return apply(withdrawn, Action.WITHDRAW, now)


def _escalate(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    incident = apply(incident, Action.ESCALATE, now, flags=with_flags(incident.flags, add=(Flag.ESCALATED,)))
    asked = [leg for leg in incident.legs if leg.state in OPEN_LEG]
    if asked:  # while somebody is coming it is an order beside theirs, else its accept would be answered "taken"
        is_coming = any(leg.state in COMING for leg in asked)
        return orders.order_above(draft, incident, asked[-1], now, command.actor if is_coming else None)
    return orders.order_nearest(draft, incident, now)


def _identify(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    person = draft.register.persons.get(_required(command, "person"))
    if person is None:
        raise Refused("unknown_person", 404)
    if person.id == incident.person:
        return incident
    if parting.is_of_own_device(draft, incident):  # the alarm stays whose it is; it is the call that somebody else made
        return parting.part_call(draft, incident, person, command.actor, now)
    changes: dict[str, Any] = {"person": person.id, "candidates": (), "area": person.area or incident.area}
    if incident.position is None or incident.position.source in ("area", "home"):  # the home of whoever it was taken for
        middle = draft.register.area_position(changes["area"])
        if person.lat is not None and person.lon is not None:
            changes["position"] = Position(lat=person.lat, lon=person.lon, source="home")
        elif middle is not None:
            changes["position"] = Position(lat=middle[0], lon=middle[1], source="area")
    key = f"person:{person.id}"
    other = draft.incident_of_key(key)
    if other is None or other.id == incident.id or other.state in (State.RESOLVED, State.CLOSED):
        return orders.repeat_all(apply(incident, Action.IDENTIFY, now, key=key, **changes), now)
    identified = orders.repeat_all(
        apply(incident, Action.IDENTIFY, now, **changes), now
    )  # who is on the way goes to somebody else, or learns to whom
    if is_call(incident) and is_mergeable(incident):  # one situation, one incident: the call goes up in what is known of the person
        return merge(draft, identified, other, now, command.actor)
    if is_call(other) and is_mergeable(other) and incident.state in (State.RAISED, State.ACKNOWLEDGED):
        draft.put(identified)
        merge(draft, other, identified, now, command.actor)
        return msgspec.structs.replace(draft.incidents.get(incident.id) or identified, key=key)
    if identified.key.startswith("person:"):  # else the next cry of whom it was taken for would join it, under the wrong name
        return msgspec.structs.replace(identified, key=key)
    return identified


def _merge(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    into = draft.incidents.get(_required(command, "into"))
    if into is None:
        raise Refused("unknown_incident", 404)
    return merge(draft, incident, into, now, command.actor, _identity(command))


def _hand_over(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    return hand_over.start(draft, incident, _required(command, "to"), str(command.facts.get("note") or ""), command.actor, now)


def _resolve(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    outcome = _word(command, "outcome", Outcome)
    incident = apply(incident, Action.RESOLVE, now, outcome=outcome, resolved_at=now, owner=command.actor)
    incident = orders.withdraw_open(incident, now, reason="resolved")
    flags = with_flags(incident.flags, drop=(Flag.CALL_DUE, Flag.STALLED))
    return msgspec.structs.replace(incident, flags=flags, attempts=0, first_attempt_at=None)


def _call_back(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    satisfaction = command.facts.get("satisfaction")
    if satisfaction is not None and not (isinstance(satisfaction, int) and 1 <= satisfaction <= 5):
        raise Refused("bad_satisfaction", 400, allowed="1..5")
    if incident.state is not State.RESOLVED:  # a lost call is called back: the task is done, the incident goes on
        return called_back(apply(incident, Action.CALL_BACK, now))
    if command.facts.get("complaint"):
        return _complain(draft, incident, command, now)
    incident = orders.withdraw_open(incident, now, reason="closed")
    return apply(incident, Action.CALL_BACK, now, satisfaction=satisfaction, closed_at=now)


def _complain(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    _required(command, "note")
    flags = with_flags(incident.flags, add=(Flag.COMPLAINT,))
    open_again: dict[str, Any] = {"resolved_at": None, "closed_at": None, "merged_into": None}  # it stands by itself again
    return apply(incident, Action.COMPLAIN, now, flags=flags, owner=command.actor, acknowledged_at=now, **open_again)


def _required(command: Command, name: str) -> str:
    value = command.facts.get(name)
    if not isinstance(value, str) or not value.strip():
        raise Refused(f"missing_{name}", 400)
    if len(value) > NOTE_LIMIT:
        raise Refused(f"{name}_too_long", 400, limit=NOTE_LIMIT)
    return value


def _word(command: Command, name: str, words: type[Outcome]) -> Outcome:
    try:
        return words(_required(command, name))
    except ValueError:
        raise Refused(f"bad_{name}", 400, allowed=[word.value for word in words]) from None


_DO = {
    Action.ACKNOWLEDGE: _acknowledge,
    Action.RELEASE: _release,
    Action.ASSIGN: _assign,
    Action.NOTE: _note,
    Action.STEP: _step,
    Action.DIAL: _telephone,
    Action.HANG_UP: _telephone,
    Action.TRANSFER: _telephone,
    Action.DISPATCH: _dispatch,
    Action.WITHDRAW: _withdraw,
    Action.ESCALATE: _escalate,
    Action.IDENTIFY: _identify,
    Action.MERGE: _merge,
    Action.HAND_OVER: _hand_over,
    Action.RESOLVE: _resolve,
    Action.CALL_BACK: _call_back,
    Action.COMPLAIN: _complain,
}
