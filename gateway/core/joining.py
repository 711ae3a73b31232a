"""How an incident begins, is joined by what comes later, and is raised again: the moves that alarms, faults and calls share."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.core import orders
from gateway.core.correlation import Subject, position_of, voices_of
from gateway.core.escalation import rearm
from gateway.core.incident import Action, Flag, Incident, Outcome, State, apply, with_flags
from gateway.core.state import Draft
from gateway.errors import Refused
from gateway.event import KINDS, Event, Group, Kind, Severity

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
        line=event.line,
        voice=voices_of(subject, event),
        position=None if KINDS[event.kind].group is Group.LINE else position_of(draft, subject, event, now),
        deadlines={"acknowledge": now + timedelta(seconds=draft.policy_for(severity).acknowledge_s)},
        **more,
    )
    draft.opened += 1
    return incident


def joined(incident: Incident, event: Event, now: datetime, **changes: object) -> Incident:
    """One entry more; nothing else changes."""
    return apply(incident, Action.JOIN, now, entries=incident.entries + 1, last_event_at=event.received_at, **changes)


def second_cry(draft: Draft, incident: Incident, event: Event, subject: Subject, severity: Severity, now: datetime) -> Incident:
    """Back to raised, sounding again, open orders repeated (invariant 3). A worse kind becomes the incident's kind; a better one changes nothing.

    An alarm is worse than any call, however urgent the call has become: only for alarms does the machine order, and say who and where.
    """
    worse = severity.rank < incident.severity.rank
    telephone = KINDS[event.kind].group is Group.TELEPHONE
    changes: dict[str, Any] = {
        "flags": with_flags(incident.flags, add=(Flag.SECOND_CRY,), drop=(Flag.ENDED, Flag.CANCELLED, Flag.STALLED)),
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
    }
    if worse:
        changes["severity"] = severity
    is_worse_kind = is_call(incident) or KINDS[event.kind].severity.rank < KINDS[incident.kind].severity.rank
    if (event.is_alarm and is_worse_kind) or (worse and (not telephone or is_call(incident))):
        changes["kind"] = event.kind  # an alarm stays what it is, however often somebody rings about it
    if event.device is not None and not telephone:
        changes |= {"device": event.device, "line": event.line, "voice": with_voices(incident, voices_of(subject, event))}
    return orders.repeat_all(apply(incident, Action.SECOND_CRY, now, **changes), now)


def is_call(incident: Incident) -> bool:
    """Is nothing but calls in it?"""
    return KINDS[incident.kind].group is Group.TELEPHONE


def pressed(draft: Draft, incident: Incident, severity: Severity, now: datetime) -> dict[str, datetime]:
    """The deadlines after news of this severity: the one to acknowledge may come nearer by it, never go further away."""
    at = now + timedelta(seconds=draft.policy_for(severity).acknowledge_s)
    return {**incident.deadlines, "acknowledge": min(at, incident.deadlines.get("acknowledge", at))}


def is_mixed(incident: Incident, event: Event) -> bool:
    """With this event, are there alarms of several kinds or devices in it? Then the end of one is not the end of all."""
    return incident.mixed or (event.kind, event.device) != (incident.kind, incident.device)


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
    return msgspec.structs.replace(incident, person=person.id, key=subject.key, candidates=(), area=subject.area or incident.area, position=position)


def is_mergeable(incident: Incident) -> bool:
    """May it go up in another one? While somebody is ordered for it, or it is on its way to another hotline, it stands by itself."""
    is_leaving = incident.handed is not None and incident.handed.state == "pending"
    return incident.state in (State.RAISED, State.ACKNOWLEDGED) and not is_leaving and not orders.is_somebody_open(incident)


def merge(draft: Draft, incident: Incident, into: Incident, now: datetime, actor: str | None = None, identity: str | None = None) -> Incident:
    """Put `incident` into another one and give it, closed; both are in the draft. Raises Refused and changes nothing.

    Nothing of it is lost: its entries count there, its task to call back goes on there with the nearer deadline, its calls belong there.
    What is worse about it becomes true of the other one: the severity, and that it is an alarm; then whoever else has that in hand hears it.
    """
    if incident.id == into.id or not is_mergeable(incident) or into.state not in (State.RAISED, State.ACKNOWLEDGED):
        raise Refused("cannot_be_merged", into=into.id)
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
        "mixed": True,
    }
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
    if into.person is None and incident.person is not None:
        changes |= {"person": incident.person, "key": incident.key, "candidates": (), "area": incident.area or into.area}
    if is_call(into) and not is_call(incident):
        changes |= {name: getattr(incident, name) for name in ("kind", "device", "line", "ts")}
        changes["position"] = incident.position or into.position
    worse = incident.severity.rank < into.severity.rank
    if worse:
        changes["severity"] = incident.severity
    if worse and (actor is None or actor != into.owner):  # who has it in hand has seen nothing so bad
        flags = with_flags(changes.get("flags", into.flags), add=(Flag.SECOND_CRY,))
        deadlines = pressed(draft, msgspec.structs.replace(into, deadlines=changes["deadlines"]), incident.severity, now)
        into = orders.repeat_all(apply(into, Action.SECOND_CRY, now, **changes | {"owner": None, "flags": flags, "deadlines": deadlines}), now)
    else:
        into = apply(into, Action.JOIN, now, **changes)
    into = rearm(draft, orders.order_anew(draft, into, now) if into.state is State.RAISED else into, now)
    draft.put(into)
    draft.record(Kind.MERGE, now, into, actor, merged=incident.id)
    merged = apply(incident, Action.MERGE, now, outcome=Outcome.MERGED, merged_into=into.id, closed_at=now, deadlines={}, flags=())
    draft.record(Kind.MERGE, now, merged, actor, identity, into=into.id)
    draft.put(merged)
    for key in {**draft.base.calls, **draft.calls.written}:  # all of them: a closed incident is forgotten long before a caller in a queue hangs up
        call = draft.calls.get(key)
        if call is not None and call.incident == incident.id:
            draft.calls[key] = msgspec.structs.replace(call, incident=into.id)
    return merged
