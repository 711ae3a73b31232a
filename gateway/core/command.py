"""What an operator may do to an incident, and what each command changes. A command that cannot be done raises Refused."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from gateway.core import caller_record, hand_over, orders, parting, plans, requests, shelving, watch
from gateway.core.aid_matters import is_elsewhere, is_shut_out
from gateway.core.calls import called_back
from gateway.core.capability import skills_of
from gateway.core.escalation import rearm
from gateway.core.incident import COMING, HELPS, OPEN_LEG, Action, Flag, Incident, Outcome, Role, State, apply, apply_leg, with_flags
from gateway.core.joining import is_call, is_mergeable, merge
from gateway.core.loop import HOLD_LONGEST, Finding, may_wait
from gateway.core.providers import may_work
from gateway.core.resolving import REASON_LEAST, corrected, walked
from gateway.core.routing import SHOWN
from gateway.core.service_need import is_request
from gateway.core.sources import is_told_by_others
from gateway.core.stages import CALL_BACK, COMPLAIN, HANDLE, SERVE, WAIVE, complained_about, has_passed, passed
from gateway.core.state import Draft
from gateway.core.teams import around, need_of, usual_role
from gateway.errors import Refused
from gateway.event import Kind, Position

NOTE_LIMIT = 2000  # characters; a screen of text, far above what is typed during a call
NAME_LIMIT = 64  # characters of whom a complaint is about: a responder's id or a name on duty
RELEASE_WITHIN = timedelta(seconds=30)  # Z takes an acknowledgement back (console design, 4)
# Roles for which an operator may have the nearest looked for; of the others the station is the answer, or a responder is named.
ROLES_OF_THEIR_OWN = (Role.MEDICAL, Role.NEIGHBOUR, Role.DOCTOR, Role.HOSPITAL)

W = TypeVar("W", bound=StrEnum)


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One wish of an operator. `facts` by action: see `on_command`; `key` is the idempotency key, `expected` the state seen."""

    action: Action
    actor: str
    incident: str
    facts: dict[str, object] = {}
    key: str | None = None


def on_command(draft: Draft, command: Command, now: datetime) -> Incident:
    """Do it in the draft and give the incident after it.

    acknowledge, release, assign{to}, note{text}, step{step}, dispatch{responder?, role?, skill?}, withdraw{delivery}, escalate{reason?},
    identify{person}, record{name?, address?, what?, area?}, merge{into, different?}, unmerge, split{device | call, person?}, hand_over{to, note?},
    resolve{outcome, note?, override?, arrived?, arrived_why?}, hold{until, reason}, resume,
    shelve{until, reason}, unshelve,
    call_back{satisfaction?, note?, complaint?, about?}, waive{reason}, complain{note, about?}, handle{finding, note},
    dial{dial, ref, outcome?}, hang_up{call | dial, outcome?}, transfer{call, to, outcome?}, answer{call, to, outcome?}: asked before, told after
    (gateway.console.dialling).
    """
    incident = draft.incidents.get(command.incident)
    if incident is None:
        raise Refused("unknown_incident", 404)
    if is_shut_out(draft.standings, command.actor, now):
        raise Refused("guest_no_more", 403)
    if is_elsewhere(draft, command.actor, incident, now):
        raise Refused("guest_elsewhere", 403)
    identity = _identity(command)
    if identity is not None and draft.is_known(identity):
        return incident
    seen = shelving.taken_back(incident) if command.action in shelving.TAKES else incident  # whoever wants it takes it from the shelf
    done = _DO[command.action](draft, seen, command, now)
    if done is seen:
        return incident
    if identity is not None:
        draft.known[identity] = None
    if command.action not in (Action.DISPATCH, Action.MERGE, Action.UNMERGE, Action.SPLIT):  # they write their own records: the decision, both ends
        draft.record(
            Kind(command.action.value), now, done, command.actor, identity, **command.facts, **_more(command.action, command.facts, incident, done)
        )
    if command.action is not Action.RELEASE:
        untouched = {name: at for name, at in done.deadlines.items() if not name.startswith("idle")}
        flags = with_flags(done.flags, drop=(Flag.STALLED,))
        done = msgspec.structs.replace(done, deadlines=untouched, flags=flags)
    done = rearm(draft, done, now)
    draft.put(done)
    return done


def _more(action: Action, facts: dict[str, object], before: Incident, after: Incident) -> dict[str, object]:
    """What the journal needs beyond the facts of the command: whose it was before, and under which ids it leaves."""
    if action is Action.IDENTIFY and before.person is not None:
        return {"previous": before.person}
    if action is Action.RESOLVE and "arrived" in facts:
        told = max((leg.arrived_at for leg in before.legs if leg.role in HELPS and leg.arrived_at is not None), default=None)
        return {"arrived_told": told} if told is not None else {}
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
    return apply(incident, Action.RELEASE, now, owner=None, acknowledged_at=None, held_until=None)


def _assign(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    return apply(incident, Action.ASSIGN, now, owner=_required(command, "to"), acknowledged_at=now)


def _note(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    _required(command, "text")
    return apply(incident, Action.NOTE, now)


def _telephone(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    """Somebody is rung about it, hung up or sent on; the facts say whom and what came of it, never a number."""
    is_reached = command.action is Action.DIAL and command.facts.get("outcome") == "done"
    steps = plans.spoken_to(incident, str(command.facts.get("ref"))) if is_reached else incident.steps
    return apply(incident, command.action, now, steps=steps)


def _step(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    step = _required(command, "step")
    if draft.base.plans is not None:
        known = [one.id for one in plans.steps_of(draft.base.plans, incident, draft.register)]
        if step not in known and step not in incident.steps:
            raise Refused("unknown_step", 400, allowed=known)
    return incident if step in incident.steps else apply(incident, Action.STEP, now, steps=(*incident.steps, step))


def _dispatch(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    if not incident.is_open:
        raise Refused(f"not_when_{incident.state}")
    role = _word(command, "role", Role) if command.facts.get("role") is not None else None
    wanted = command.facts.get("responder")
    skill = str(command.facts.get("skill") or "")
    if skill:
        _check_skill(draft, incident, skill, is_alone=wanted is None and role is None)
        return orders.order_skilled(draft, incident, skill, now, command.actor, SHOWN, _identity(command))
    if wanted is None and role in ROLES_OF_THEIR_OWN:
        return orders.order_role(draft, incident, role, now, command.actor, SHOWN, _identity(command))
    if wanted is None:
        return orders.order_nearest(draft, incident, now, command.actor, SHOWN, _identity(command))
    responder = draft.router.responder(str(wanted))
    if responder is None:
        raise Refused("unknown_responder", 400, responder=wanted)
    if any(leg.responder == responder.id and leg.state in OPEN_LEG for leg in incident.legs):
        raise Refused("already_ordered", responder=responder.id)
    if is_request(incident):  # an alarm may be given to anybody by a person who answers for it; an ordinary service may not
        role = Role.SERVICE
        why = may_work(draft.register, lambda key: draft.standing(key, now), responder, now, incident.service)
        if why:
            raise Refused("may_not_work", responder=responder.id, why=why)
    role = role or usual_role(responder)
    decision = draft.router.wanted(responder.id, need_of(draft, incident, role, now), around(draft, now))
    return orders.order(draft, incident, decision, now, command.actor, _identity(command), role)


def _check_skill(draft: Draft, incident: Incident, skill: str, *, is_alone: bool) -> None:
    """A skill chooses among those who go to an alarm; whoever is named or has a role of their own goes for what they are."""
    if not is_alone or is_request(incident):
        raise Refused("skill_alone", 400)
    known = {word for one in draft.register.responders.values() for word in skills_of(one)}
    if skill not in known:
        raise Refused("unknown_skill", 400, allowed=sorted(known))


def _withdraw(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    leg = incident.leg(_required(command, "delivery"))
    if leg is None:
        raise Refused("unknown_delivery", 404)
    withdrawn = apply_leg(incident, leg, "withdraw", now, pending="withdrawn", reason=str(command.facts.get("reason") or "operator"))
    return apply(withdrawn, Action.WITHDRAW, now)


def _escalate(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    incident = apply(incident, Action.ESCALATE, now, flags=with_flags(incident.flags, add=(Flag.ESCALATED,)))
    asked = [leg for leg in incident.legs if leg.state in OPEN_LEG and leg.role is Role.SOCIAL]
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
    if is_request(incident):
        raise Refused("not_for_requests")
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
        return orders.readdress(draft, apply(incident, Action.IDENTIFY, now, key=key, **changes), incident.person, now)
    identified = apply(incident, Action.IDENTIFY, now, **changes)
    if is_told_by_others(incident):  # the same cry, told by another hotline or platform: who was only asked need not go twice
        stood_down = orders.stand_down(identified, now)
        if is_mergeable(stood_down):
            return merge(draft, stood_down, other, now, command.actor)
    identified = orders.readdress(draft, identified, incident.person, now)  # who is on the way goes to somebody else, or learns to whom
    if is_call(incident) and is_mergeable(incident):  # one situation, one incident: the call goes up in what is known of the person
        return merge(draft, identified, other, now, command.actor)
    if is_call(other) and is_mergeable(other) and incident.state in (State.RAISED, State.ACKNOWLEDGED):
        draft.put(identified)
        merge(draft, other, identified, now, command.actor)
        return msgspec.structs.replace(draft.incidents.get(incident.id) or identified, key=key)
    if identified.key.startswith("person:"):  # else the next cry of whom it was taken for would join it, under the wrong name
        return msgspec.structs.replace(identified, key=key)
    return identified


def _record(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    said = {word: str(command.facts.get(word) or "").strip() for word in ("name", "address", "what", "area")}
    return caller_record.recorded(draft, incident, command.actor, now, **said)


def _merge(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    into = draft.incidents.get(_required(command, "into"))
    if into is None:
        raise Refused("unknown_incident", 404)
    if incident.person is not None and into.person is not None and incident.person != into.person and command.facts.get("different") is not True:
        raise Refused("different_person", into=into.id)  # one situation of two people, if somebody says so
    return merge(draft, incident, into, now, command.actor, _identity(command))


def _unmerge(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    return parting.unmerge(draft, incident, now, command.actor, _identity(command))


def _split(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    name = command.facts.get("person")
    person = draft.register.persons.get(str(name)) if name is not None else None
    if name is not None and person is None:
        raise Refused("unknown_person", 404)
    what = {word: str(command.facts.get(word) or "") for word in ("device", "call")}
    return parting.split(draft, incident, now, command.actor, **what, person=person, identity=_identity(command))


def _hold(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    _required(command, "reason")
    try:
        until = datetime.fromisoformat(_required(command, "until"))
    except ValueError:
        raise Refused("bad_hold", 400, days=HOLD_LONGEST.days) from None
    if until.tzinfo is None or not now < until <= now + HOLD_LONGEST:
        raise Refused("bad_hold", 400, days=HOLD_LONGEST.days)
    until = until.astimezone(UTC)
    held = apply(incident, Action.HOLD, now, held_until=until, deadlines={**incident.deadlines, "hold": until})
    if not may_wait(incident):
        raise Refused("alarm_not_served")
    return held


def _resume(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    return apply(incident, Action.RESUME, now, held_until=None) if incident.held_until is not None else incident


def _shelve(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    until, reason = _time(command, "until"), _required(command, "reason")
    return apply(shelving.shelved(incident, until, reason, command.actor, now, draft.base.shelving), Action.SHELVE, now)


def _unshelve(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    return apply(shelving.taken_back(incident), Action.UNSHELVE, now) if incident.shelf is not None else incident


def _cancel(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    return requests.cancel(incident, now)


def _hand_over(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    return hand_over.start(draft, incident, _required(command, "to"), str(command.facts.get("note") or ""), command.actor, now)


def _resolve(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    outcome = _word(command, "outcome", Outcome)
    apply(incident, Action.RESOLVE, now)  # refuses what the table refuses, before anything is asked for
    walked(draft, incident, command.facts.get("override"))
    if command.facts.get("arrived") is not None:
        incident = corrected(incident, _time(command, "arrived"), str(command.facts.get("arrived_why") or ""), now)
    incident = apply(incident, Action.RESOLVE, now, outcome=outcome, resolved_at=now, owner=command.actor, held_until=None)
    if not has_passed(incident, SERVE):
        incident = passed(incident, SERVE, now, command.actor, evidence=f"outcome:{outcome}")
    incident = orders.withdraw_open(incident, now, reason="resolved")
    watch.anew(draft, incident, now)
    flags = with_flags(incident.flags, drop=(Flag.CALL_DUE, Flag.STALLED))
    return msgspec.structs.replace(incident, flags=flags, attempts=0, first_attempt_at=None, missed=False)


def _call_back(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    satisfaction = command.facts.get("satisfaction")
    if satisfaction is not None and not (isinstance(satisfaction, int) and 1 <= satisfaction <= 5):
        raise Refused("bad_satisfaction", 400, allowed="1..5")
    if incident.state is not State.RESOLVED:  # a lost call is called back: the task is done, the incident goes on
        return called_back(apply(incident, Action.CALL_BACK, now, steps=plans.spoken_to(incident, "person")))
    evidence = f"satisfaction:{satisfaction}" if satisfaction is not None else ""
    spoken = passed(incident, CALL_BACK, now, command.actor, incident.deadlines.get("call_back"), evidence)
    if command.facts.get("complaint"):
        return _complain(draft, spoken, command, now)
    _must_be_handled(incident)
    incident = orders.withdraw_open(spoken, now, reason="closed")
    return apply(incident, Action.CALL_BACK, now, satisfaction=satisfaction, closed_at=now, held_until=None)


def _waive(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    """Closed without a call-back: a supervisor answers for it with a reason. Nobody does so about whom was complained."""
    reason = _required(command, "reason").strip()
    if len(reason) < REASON_LEAST:
        raise Refused("reason_too_short", 400, least=REASON_LEAST)
    apply(incident, Action.WAIVE, now)  # refuses what the table refuses
    _must_be_handled(incident)
    _not_about(incident, command)
    incident = passed(incident, WAIVE, now, command.actor, incident.deadlines.get("call_back"))
    incident = orders.withdraw_open(incident, now, reason="closed")
    return apply(incident, Action.WAIVE, now, waived=f"{command.actor}: {reason}", closed_at=now, held_until=None)


def _handle(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    """A complaint is answered: what was found, and what is done about it."""
    finding, _ = _word(command, "finding", Finding), _required(command, "note")
    done = apply(incident, Action.HANDLE, now, flags=with_flags(incident.flags, drop=(Flag.COMPLAINT,)))
    if Flag.COMPLAINT not in incident.flags:
        raise Refused("no_complaint")
    _not_about(incident, command)
    return passed(done, HANDLE, now, command.actor, incident.deadlines.get("complaint"), f"finding:{finding}")


def _must_be_handled(incident: Incident) -> None:
    if Flag.COMPLAINT in incident.flags:
        raise Refused("complaint_not_handled")


def _not_about(incident: Incident, command: Command) -> None:
    if command.actor in complained_about(incident):
        raise Refused("complained_about", 403)


def _complain(draft: Draft, incident: Incident, command: Command, now: datetime) -> Incident:
    _required(command, "note")
    about = str(command.facts.get("about") or "")
    flags = with_flags(incident.flags, add=(Flag.COMPLAINT,))
    open_again: dict[str, Any] = {"resolved_at": None, "closed_at": None, "merged_into": None, "merger": None}  # it stands by itself again
    open_again |= {"held_until": None, "waived": ""}
    incident = passed(incident, COMPLAIN, now, command.actor, evidence=f"about:{about[:NAME_LIMIT]}" if about else "")
    return apply(incident, Action.COMPLAIN, now, flags=flags, owner=command.actor, acknowledged_at=now, **open_again)


def _required(command: Command, name: str) -> str:
    value = command.facts.get(name)
    if not isinstance(value, str) or not value.strip():
        raise Refused(f"missing_{name}", 400)
    if len(value) > NOTE_LIMIT:
        raise Refused(f"{name}_too_long", 400, limit=NOTE_LIMIT)
    return value


def _time(command: Command, name: str) -> datetime:
    try:
        at = datetime.fromisoformat(_required(command, name))
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):  # no time, or one that UTC puts before year 1
        pass
    raise Refused(f"bad_{name}", 400)


def _word(command: Command, name: str, words: type[W]) -> W:
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
    Action.ANSWER: _telephone,
    Action.DISPATCH: _dispatch,
    Action.WITHDRAW: _withdraw,
    Action.ESCALATE: _escalate,
    Action.IDENTIFY: _identify,
    Action.RECORD: _record,
    Action.MERGE: _merge,
    Action.UNMERGE: _unmerge,
    Action.SPLIT: _split,
    Action.HOLD: _hold,
    Action.RESUME: _resume,
    Action.SHELVE: _shelve,
    Action.UNSHELVE: _unshelve,
    Action.CANCEL: _cancel,
    Action.HAND_OVER: _hand_over,
    Action.RESOLVE: _resolve,
    Action.CALL_BACK: _call_back,
    Action.COMPLAIN: _complain,
    Action.WAIVE: _waive,
    Action.HANDLE: _handle,
}
