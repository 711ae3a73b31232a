"""How an incident begins, is joined by what comes later, and is raised again: the moves that alarms, faults and calls share."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.core import orders, policy
from gateway.core.chattering import AGAIN, AGAIN_AFTER
from gateway.core.correlation import Subject, position_of, voices_of, zone_of
from gateway.core.escalation import rearm
from gateway.core.incident import Action, Flag, Incident, Merger, Outcome, State, apply, awake, with_flags
from gateway.core.missed import is_missed
from gateway.core.notices import unsaid
from gateway.core.shelving import off_shelf, taken_back
from gateway.core.sources import SOURCES, with_source
from gateway.core.stages import KEPT, complaints
from gateway.core.state import Draft
from gateway.core.telling import untold
from gateway.core.visiting import placed
from gateway.errors import Refused
from gateway.event import ALARM_KINDS, KINDS, Event, Group, Kind, Phase, Position, Severity

VAGUE = 10  # times less exact: a cell of 2 km against a fix of 10 m (coordinates sheet, section 4)
ROUGH = timedelta(minutes=5)
ALSO = 8  # kinds of alarm named beside the first: with them an order is still one text of 800 octets
VOICES = 8  # numbers kept of one incident; a household has two or three telephones


def open_incident(draft: Draft, event: Event, subject: Subject, severity: Severity, now: datetime, **more: Any) -> Incident:
    """A new incident, not yet in the draft."""
    telephone = KINDS[event.kind].group is Group.TELEPHONE
    incident = Incident(
        id=draft.new_incident_id(),
        key=subject.key,
        kind=event.kind,
        severity=severity,
        state=State.RAISED,
        opened_at=now,
        changed_at=now,
        last_event_at=event.received_at,
        ts=ts_of(event),
        person=subject.person.id if subject.person else None,
        candidates=subject.candidates,
        area=subject.area,
        device=None if telephone else event.device,
        zone=zone_of(event),
        line=event.line,
        voice=voices_of(subject, event),
        position=None if KINDS[event.kind].group is Group.LINE else position_of(draft, subject, event, now),
        **more,
    )
    incident = with_source(placed(draft.register, incident, draft.base.visiting_km), event)
    incident = msgspec.structs.replace(incident, deadlines={"acknowledge": now + timedelta(seconds=draft.policy_of(incident).acknowledge_s)})
    if draft.base.chains or policy.is_deaf(incident):
        incident = policy.rung(draft, incident, now)
    draft.opened += 1
    return incident


def joined(incident: Incident, event: Event, now: datetime, **changes: object) -> Incident:
    """One entry more; nothing else changes, but what cries, and where the one who cried is when the device repeats its cry."""
    if event.is_alarm:
        changes["also"] = also_of(incident, incident.kind, event.kind)
    if event.is_alarm and event.phase is Phase.REPEAT and is_better(event.position, incident.position):
        changes["position"] = event.position
    incident = with_source(awake(incident) if event.is_alarm else incident, event)
    return apply(incident, Action.JOIN, now, entries=incident.entries + 1, last_event_at=event.received_at, **changes)


def is_better(new: Position | None, known: Position | None) -> bool:
    """Is it a later fix than the one known, or the first? A place known exactly is not given up for a vague one within ROUGH."""
    if new is None or known is None or known.fixed_at is None or new.fixed_at is None:
        return new is not None
    is_vague = (new.accuracy_m or 0.0) > VAGUE * max(known.accuracy_m or 0.0, 10.0)
    return new.fixed_at >= known.fixed_at + (ROUGH if is_vague else timedelta(0))


def second_cry(draft: Draft, incident: Incident, event: Event, subject: Subject, severity: Severity, now: datetime) -> Incident:
    """Back to raised, sounding again, open orders repeated (invariant 3). A worse kind becomes the incident's kind; a better one changes nothing.

    An alarm is worse than any call, however urgent the call has become: only for alarms does the machine order, and say who and where.
    """
    worse = severity.rank < incident.severity.rank
    incident = off_shelf(draft, incident, now, "worse" if worse else "cried_again")
    telephone = KINDS[event.kind].group is Group.TELEPHONE
    changes: dict[str, Any] = {
        "flags": with_flags(incident.flags, add=(Flag.SECOND_CRY,), drop=(Flag.ENDED, Flag.CANCELLED, Flag.STALLED, Flag.MAINTENANCE)),
        "mixed": is_mixed(incident, event),
        "deadlines": pressed(draft, incident, severity if worse else incident.severity, now),
        "cries": incident.cries + 1,
        "entries": incident.entries + 1,
        "last_event_at": event.received_at,
        "ts": ts_of(event),
        "position": incident.position if telephone and incident.position else position_of(draft, subject, event, now) or incident.position,
        "owner": None,
        "outcome": None,
        "resolved_at": None,
        "held_until": None,
    }
    if event.is_alarm:
        changes |= {"watch": "", "missed": _is_silent(draft, incident, now)}  # a missed check-in with an alarm in it is pressed as any alarm
    if worse:
        changes |= {"severity": severity, **policy.anew()}
    is_tried = Flag.MAINTENANCE in incident.flags  # what somebody tried is not what somebody cried
    is_worse_kind = is_call(incident) or is_tried or KINDS[event.kind].severity.rank < KINDS[incident.kind].severity.rank
    if (event.is_alarm and is_worse_kind) or (worse and (not telephone or is_call(incident))):
        changes |= {"kind": event.kind, **policy.anew()}  # an alarm stays what it is, however often somebody rings about it
    changes["also"] = also_of(incident, changes.get("kind", incident.kind), *((event.kind,) if event.is_alarm else ()))
    if event.device is not None and not telephone:
        changes |= {"device": event.device, "zone": zone_of(event), "line": event.line, "voice": with_voices(incident, voices_of(subject, event))}
    incident = apply(with_source(incident, event), Action.SECOND_CRY, now, **changes)
    return orders.repeat_all(placed(draft.register, incident, draft.base.visiting_km), now)


def also_of(incident: Incident, kind: Kind, *more: Kind) -> tuple[Kind, ...]:
    """What else cries in it, with these, when `kind` is what it is called; the oldest give way."""
    kinds = dict.fromkeys((*incident.also, incident.kind, *more))
    return tuple(one for one in kinds if one in ALARM_KINDS and one is not kind)[-ALSO:]


def _is_silent(draft: Draft, incident: Incident, now: datetime) -> bool:
    """Is its person missed, and this alarm no sign of life either (smoke, a leak)?"""
    one = draft.watch.by_person.get(incident.person or "")
    return is_missed(incident) and one is not None and one.due(draft.watching_of(one)) <= now


def is_call(incident: Incident) -> bool:
    """Is nothing but calls in it?"""
    return KINDS[incident.kind].group is Group.TELEPHONE


def pressed(draft: Draft, incident: Incident, severity: Severity, now: datetime) -> dict[str, datetime]:
    """The deadlines after news of this severity: the one to acknowledge may come nearer by it, never go further away."""
    at = now + timedelta(seconds=draft.policy_of(msgspec.structs.replace(incident, severity=severity)).acknowledge_s)
    waits = {name: due for name, due in incident.deadlines.items() if name != "hold"}  # news ends a hold
    return {**waits, "acknowledge": min(at, waits.get("acknowledge", at))}


def is_mixed(incident: Incident, event: Event) -> bool:
    """With this event, are there alarms of several kinds, devices or zones in it? Then the end of one is not the end of all."""
    return incident.mixed or (event.kind, event.device, zone_of(event)) != (incident.kind, incident.device, incident.zone)


def ts_of(event: Event) -> int:
    """The cry's own time in ms since 1970, unchanged if the device gave one."""
    given = event.detail.get("ts")
    return given if isinstance(given, int) else int(event.occurred_at.timestamp() * 1000)


def with_voices(incident: Incident, more: tuple[str, ...]) -> tuple[str, ...]:
    """The numbers that may call about it, with these; the oldest give way."""
    return tuple(dict.fromkeys((*incident.voice, *more)))[-VOICES:] if more else incident.voice


def identified(draft: Draft, incident: Incident, subject: Subject, reason: str, now: datetime) -> Incident:
    """What came later says whose matter it is: the incident moves to that person, noted as done by the machine."""
    person = subject.person
    if person is None or incident.person is not None:
        return incident
    draft.record(Kind.IDENTIFY, now, incident, person=person.id, reason=reason)
    position = incident.position if incident.position and incident.position.source not in ("home", "area") else position_of(draft, subject, None, now)
    mine: dict[str, Any] = {"person": person.id, "key": subject.key, "candidates": (), "area": subject.area or incident.area, "position": position}
    return placed(draft.register, msgspec.structs.replace(incident, **mine), draft.base.visiting_km)


def is_mergeable(incident: Incident) -> bool:
    """May it go up in another one? While somebody is ordered for it, or it is on its way to another hotline, it stands by itself."""
    is_leaving = incident.handed is not None and incident.handed.state == "pending"
    if incident.service:
        return False  # what is ordered for somebody is no part of anything else
    return incident.state in (State.RAISED, State.ACKNOWLEDGED) and not is_leaving and not orders.is_somebody_open(incident)


def merge(draft: Draft, incident: Incident, into: Incident, now: datetime, actor: str | None = None, identity: str | None = None) -> Incident:
    """Put `incident` into another one and give it, closed; both are in the draft. Raises Refused and changes nothing.

    Nothing of it is lost: its entries count there, its task to call back goes on there with the nearer deadline, its calls belong there.
    What is worse about it becomes true of the other one: the severity, and that it is an alarm; then whoever else has that in hand hears it.
    """
    if incident.id == into.id or not is_mergeable(incident) or into.service or into.state not in (State.RAISED, State.ACKNOWLEDGED):
        raise Refused("cannot_be_merged", into=into.id)
    into = off_shelf(draft, into, now, "another_kind")
    incident = taken_back(incident)
    before = into
    callers = (incident.caller,) if incident.caller else ()
    waits = {name: min(at, into.deadlines.get(name, at)) for name, at in incident.deadlines.items() if name == "acknowledge"}
    changes: dict[str, Any] = {
        "deadlines": {**into.deadlines, **waits},  # if that one is taken already, rearm drops it
        "entries": into.entries + incident.entries,
        "last_event_at": max(into.last_event_at, incident.last_event_at),
        "voice": with_voices(into, (*incident.voice, *callers)),
        "hints": tuple(dict.fromkeys((*into.hints, *incident.hints))),
        "tracking": into.tracking or incident.tracking,
        "handed": into.handed or incident.handed,
        "sounded": tuple(dict.fromkeys((*into.sounded, *incident.sounded))),
        "silent": into.silent or incident.silent,
        "mixed": True,
        "watch": into.watch if is_call(incident) else "",
        "missed": any(is_missed(one) and one.person == (into.person or incident.person) for one in (incident, into)),
        "sources": tuple(dict.fromkeys((*into.sources, *incident.sources)))[:SOURCES],
        "externals": tuple(dict.fromkeys((*into.externals, *incident.externals)))[:SOURCES],
    }
    if not is_call(incident) or Flag.CALL_DUE in incident.flags:
        changes["held_until"] = None  # somebody cries, or waits for a call
    if into.call is None:
        changes |= {name: getattr(incident, name) for name in ("call", "caller", "presentation", "hotline")}
    if incident.agent is not None:
        changes["agent"] = incident.agent
    if Flag.CALL_DUE in incident.flags:
        due = min(at for at in (incident.deadlines.get("call"), into.deadlines.get("call"), now + timedelta(days=1)) if at is not None)
        changes |= {
            "flags": with_flags(into.flags, add=(Flag.CALL_DUE,)),
            "deadlines": {**changes["deadlines"], "call": due},
            "attempts": into.attempts + incident.attempts,
            "first_attempt_at": min(at for at in (into.first_attempt_at, incident.first_attempt_at, now) if at is not None),
        }
    if Flag.CHATTERING in incident.flags:  # what was only counted there rings here
        changes["flags"] = with_flags(changes.get("flags", into.flags), add=(Flag.CHATTERING,))
        due = min(at for at in (incident.deadlines.get(AGAIN), into.deadlines.get(AGAIN), now + AGAIN_AFTER) if at is not None)
        changes["deadlines"] = {**changes["deadlines"], AGAIN: due}
    if Flag.COMPLAINT in incident.flags:
        changes["flags"] = with_flags(changes.get("flags", into.flags), add=(Flag.COMPLAINT,))
        changes["stages"] = (*into.stages, *complaints(incident))[-KEPT:]  # it says about whom
        due = min(at for at in (incident.deadlines.get("complaint"), into.deadlines.get("complaint"), now + timedelta(days=31)) if at is not None)
        changes["deadlines"] = {**changes["deadlines"], "complaint": due}
    if into.person is None and incident.person is not None:
        changes |= {"person": incident.person, "key": incident.key, "candidates": (), "area": incident.area or into.area}
    if is_call(into) and not is_call(incident):
        changes |= {name: getattr(incident, name) for name in ("kind", "device", "line", "ts")}
        changes["position"] = incident.position or into.position
    changes["also"] = also_of(into, changes.get("kind", into.kind), *incident.also, incident.kind)
    worse = incident.severity.rank < into.severity.rank
    if worse:
        changes |= {"severity": incident.severity, **policy.anew()}
    if worse and (actor is None or actor != into.owner):  # who has it in hand has seen nothing so bad
        flags = with_flags(changes.get("flags", into.flags), add=(Flag.SECOND_CRY,))
        deadlines = pressed(draft, msgspec.structs.replace(into, deadlines=changes["deadlines"]), incident.severity, now)
        into = orders.repeat_all(apply(into, Action.SECOND_CRY, now, **changes | {"owner": None, "flags": flags, "deadlines": deadlines}), now)
    else:
        into = apply(into, Action.JOIN, now, **changes)
    into = rearm(draft, orders.order_anew(draft, into, now) if into.state is State.RAISED else into, now)
    draft.put(into)
    draft.record(Kind.MERGE, now, into, actor, merged=incident.id)
    calls = {key: call for key in {**draft.base.calls, **draft.calls.written} if (call := draft.calls.get(key)) and call.incident == incident.id}
    undo = Merger(
        at=now,
        state=incident.state,
        flags=incident.flags,
        deadlines=incident.deadlines,
        calls=tuple(calls),
        before=_outline(before),
        after=_outline(into),
    )
    over: dict[str, Any] = {"outcome": Outcome.MERGED, "merged_into": into.id, "closed_at": now, "deadlines": {}, "flags": (), "merger": undo}
    merged = apply(incident, Action.MERGE, now, **over)
    if into.silent:  # nothing that belongs to this one may light up or ring beside whoever threatens the person, either
        merged = untold(unsaid(merged))
    draft.record(Kind.MERGE, now, merged, actor, identity, into=into.id)
    draft.put(merged)
    for key, call in calls.items():  # all of them: a closed incident is forgotten long before a caller in a queue hangs up
        draft.calls[key] = msgspec.structs.replace(call, incident=into.id)
    return merged


def _outline(incident: Incident) -> Incident:
    """What a merger changes of an incident, without what may be long and is not changed by it."""
    return msgspec.structs.replace(incident, legs=(), tellings=(), affected=(), stages=(), notices=(), steps=(), merger=None)
