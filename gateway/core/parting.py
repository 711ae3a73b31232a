"""Taking a call out of an alarm that it does not belong to: what was joined by a wrong name is two people, and both need somebody."""

from datetime import datetime

import msgspec

from gateway.core.correlation import Subject, position_of
from gateway.core.incident import Action, Flag, Incident, State, apply
from gateway.core.joining import is_call, merge
from gateway.core.register import Person
from gateway.core.state import Call, Draft
from gateway.event import Kind, Severity


def is_of_own_device(draft: Draft, incident: Incident) -> bool:
    """Is it the alarm of a device that is registered for its person, with a call in it? Then another name can only be the caller's."""
    if is_call(incident) or incident.call is None or incident.person is None:
        return False
    device = draft.register.device(incident.line, incident.device)
    return device is not None and device.person == incident.person


def part_call(draft: Draft, incident: Incident, person: Person, actor: str, now: datetime) -> Incident:
    """The newest call of this alarm is about `person`: it gets an incident of its own, in the hands of who says so, or goes up in theirs.

    A task to call back is then both people's: nobody can tell whose it was. Gives the incident that the call came from or opened.
    """
    live = _newest_call(draft, incident)
    subject = Subject(f"person:{person.id}", person, (), None, person.area)
    is_due = Flag.CALL_DUE in incident.flags
    parted = Incident(
        id=draft.new_incident_id(),
        key=subject.key,
        kind=Kind.CALL_ANSWERED,
        severity=Severity.MAJOR if is_due else Severity.MINOR,
        state=State.ACKNOWLEDGED,
        opened_at=now,
        changed_at=now,
        last_event_at=now,
        ts=int(now.timestamp() * 1000),
        person=person.id,
        area=person.area,
        line=live.line if live is not None else incident.line,
        hotline=incident.hotline,
        call=live.key if live is not None else incident.call,
        caller=incident.caller,
        presentation=incident.presentation,
        agent=incident.agent,
        position=position_of(draft, subject, None, now),
        flags=(Flag.CALL_DUE,) if is_due else (),
        attempts=incident.attempts,
        first_attempt_at=incident.first_attempt_at,
        owner=actor,
        acknowledged_at=now,
        deadlines={name: at for name, at in incident.deadlines.items() if name == "call"},
    )
    draft.opened += 1
    voice = tuple(name for name in incident.voice if name != incident.caller)
    left = apply(incident, Action.IDENTIFY, now, call=None, caller=None, presentation="allowed", agent=None, voice=voice)
    draft.put(left)
    draft.record(Kind.UNMERGE, now, left, actor, into=parted.id)
    other = draft.incident_of_key(subject.key)
    draft.put(parted)
    if live is not None:
        draft.calls[live.key] = msgspec.structs.replace(live, incident=parted.id)
    if other is not None and other.state in (State.RAISED, State.ACKNOWLEDGED):
        return merge(draft, parted, other, now, actor)
    return parted


def _newest_call(draft: Draft, incident: Incident) -> Call | None:
    found = (draft.calls.get(key) for key in {**draft.base.calls, **draft.calls.written})
    return max((call for call in found if call is not None and call.incident == incident.id), key=lambda call: (call.at, call.key), default=None)
