"""What each input changes: field events, operators' commands, passed deadlines, reports of channels. Pure: all goes into the draft."""

from datetime import datetime, timedelta

import msgspec

from gateway.core import orders
from gateway.core.calls import on_call
from gateway.core.correlation import Subject, call_about, joinable, subject_of, voices_of
from gateway.core.escalation import on_deadline, rearm
from gateway.core.hand_over import is_hand_over, on_hand_over
from gateway.core.incident import Action, Flag, Incident, State, apply, with_flags
from gateway.core.joining import identified, is_call, is_mixed, joined, open_incident, pressed, second_cry, with_voices
from gateway.core.state import Draft, Seen
from gateway.event import KINDS, Event, Group, Kind, Phase, Position, Severity

STORED, DUPLICATE = "stored", "duplicate"

# Facts of the field that end a technical incident of the same device or line.
ENDS = {Kind.POWER_BACK: Kind.POWER_CUT, Kind.ONLINE: Kind.OFFLINE, Kind.LINE_RESTORED: Kind.LINE_LOST}
# A suspected fall may be taken back by the device itself for this long (event model, table of kinds).
TAKE_BACK = timedelta(seconds=30)


def on_event(draft: Draft, event: Event, now: datetime) -> str:
    """Take one field event: "stored", "duplicate", or the lower_snake reason for which it is refused."""
    facts = KINDS[event.kind]
    if event.dedup is not None and facts.journalled:  # a sign of life heard twice does no harm, and would only crowd the memory
        identity = f"{event.line}|{event.dedup}"
        if draft.is_known(identity):
            return DUPLICATE
        draft.known[identity] = None
    if is_hand_over(event):
        return on_hand_over(draft, event, now)
    if facts.group is Group.PEOPLE:
        if event.kind not in orders.ANSWERS:
            return "not_from_the_field"
        return _answered(draft, event, now)
    subject = subject_of(draft, event)
    if event.position is not None or not facts.journalled:
        _note_seen(draft, event, subject)
    if not facts.journalled:
        return STORED
    if subject.person is not None:
        event = msgspec.structs.replace(event, person=subject.person.id)
    if facts.group is Group.TELEPHONE:
        on_call(draft, event, subject, now)
        return STORED
    incident = joinable(draft, subject, event)
    if event.is_alarm:
        _cry(draft, event, subject, incident, now)
    elif event.phase in (Phase.RAISE, Phase.REPEAT) and facts.severity is not Severity.NONE and event.late is None:
        _fault(draft, event, subject, incident, now)
    else:
        _fact(draft, event, incident, now)
    return STORED


def _answered(draft: Draft, event: Event, now: datetime) -> str:
    refused = orders.answer(draft, event, now)
    if refused is not None:
        return refused
    name = draft.by_delivery.get(str(event.detail["delivery"]))
    incident = draft.incidents.get(name) if name else None
    if incident is not None:
        draft.put(rearm(draft, incident, now))
    return STORED


def _note_seen(draft: Draft, event: Event, subject: Subject) -> None:
    if event.device is None:
        return
    before = draft.last_seen(f"{event.line}|{event.device}")
    battery = event.battery_pct if event.battery_pct is not None else before.battery_pct if before else None
    draft.seen[f"{event.line}|{event.device}"] = Seen(at=event.received_at, position=_newest_position(before, event), battery_pct=battery)
    if event.position is not None and subject.person is not None:
        name = f"person:{subject.person.id}"
        draft.seen[name] = Seen(at=event.received_at, position=_newest_position(draft.last_seen(name), event))


def _newest_position(before: Seen | None, event: Event) -> Position | None:
    """Of the one known and the one just heard: history may arrive after what is newer."""
    known = before.position if before else None
    if before is None or known is None or event.position is None:
        return event.position or known
    return known if (event.position.fixed_at or event.received_at) < (known.fixed_at or before.at) else event.position


def _cry(draft: Draft, event: Event, subject: Subject, incident: Incident | None, now: datetime) -> None:
    """An alarm of a person or a home: opens, or is a second cry, or (repeated by the device itself) joins."""
    severity = KINDS[event.kind].severity
    if incident is None and (call := call_about(draft, subject, event)) is not None:
        incident = identified(draft, call, subject, "device", now)
    if incident is None:
        incident = open_incident(draft, event, subject, severity, now)
        draft.record_event(event, incident.id)
        if orders.machine_orders(draft, incident, "at_once"):
            incident = orders.order_nearest(draft, incident, now)
        draft.put(incident)
        return
    draft.record_event(event, incident.id)
    again = event.phase is Phase.RAISE or severity.rank < incident.severity.rank or incident.state is State.RESOLVED or is_call(incident)
    if not again:
        voice = with_voices(incident, voices_of(subject, event))
        draft.put(joined(incident, event, now, mixed=is_mixed(incident, event), voice=voice))
        return
    incident = second_cry(draft, incident, event, subject, severity, now)
    draft.put(rearm(draft, orders.order_anew(draft, incident, now), now))


def _fault(draft: Draft, event: Event, subject: Subject, incident: Incident | None, now: datetime) -> None:
    """A device or line is in trouble: a technical incident, which people order, not the machine."""
    severity = KINDS[event.kind].severity
    if event.kind is Kind.LINE_LOST and event.detail.get("mandatory"):
        severity = Severity.CRITICAL
    if incident is None:
        incident = open_incident(draft, event, subject, severity, now)
    elif severity.rank < incident.severity.rank or incident.state is State.RESOLVED:
        incident = rearm(draft, second_cry(draft, incident, event, subject, severity, now), now)
    else:
        deadlines = pressed(draft, incident, incident.severity, now) if Flag.ENDED in incident.flags else incident.deadlines
        flags = with_flags(incident.flags, drop=(Flag.ENDED,))
        incident = rearm(draft, joined(incident, event, now, flags=flags, deadlines=deadlines, mixed=is_mixed(incident, event)), now)
    draft.record_event(event, incident.id)
    draft.put(incident)


def _fact(draft: Draft, event: Event, incident: Incident | None, now: datetime) -> None:
    """A clear, a cancel, a test, a gap, history: noted where it belongs; raises nothing."""
    draft.record_event(event, incident.id if incident else None)
    if incident is None:
        return
    kind = KINDS[incident.kind]
    is_its_end = ENDS.get(event.kind, event.kind if event.phase is Phase.CLEAR else None) is incident.kind and event.device == incident.device
    in_time = event.kind is not Kind.FALL_SUSPECTED or event.received_at - incident.opened_at <= TAKE_BACK
    if event.late is not None:
        incident = joined(incident, event, now)
    elif is_its_end and kind.ends and in_time and not incident.mixed:
        later = {"acknowledge": now + timedelta(seconds=draft.policy.warning.acknowledge_s)} if incident.state is State.RAISED else {}
        incident = apply(
            incident,
            Action.END,
            now,
            flags=with_flags(incident.flags, add=(Flag.ENDED,)),
            entries=incident.entries + 1,
            last_event_at=event.received_at,
            deadlines={**incident.deadlines, **later},
        )
    elif event.kind is Kind.CANCEL or (is_its_end and kind.group is Group.PERSON):
        incident = joined(incident, event, now, flags=with_flags(incident.flags, add=(Flag.CANCELLED,)))
    else:
        incident = joined(incident, event, now)
    draft.put(rearm(draft, incident, now))


__all__ = ["DUPLICATE", "STORED", "on_deadline", "on_event"]
