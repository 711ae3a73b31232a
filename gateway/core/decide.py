"""What each input changes: field events, operators' commands, passed deadlines, reports of channels. Pure: all goes into the draft."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.core import orders
from gateway.core.correlation import Subject, position_of, subject_of
from gateway.core.escalation import on_deadline, rearm
from gateway.core.incident import Action, Flag, Incident, State, apply, with_flags
from gateway.core.state import Call, Draft, Seen
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
    incident = _joinable(draft, subject, event)
    if facts.group is Group.TELEPHONE:
        _call(draft, event, subject, incident, now)
    elif event.is_alarm:
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


def _joinable(draft: Draft, subject: Subject, event: Event) -> Incident | None:
    """The open incident of this subject; a resolved one only for ten minutes after its last event."""
    incident = draft.incident_of_key(subject.key)
    if incident is None or not incident.is_open:
        return None
    if incident.state is State.RESOLVED and event.received_at - incident.last_event_at > timedelta(seconds=draft.policy.join_after_resolved_s):
        return None
    return incident


def _cry(draft: Draft, event: Event, subject: Subject, incident: Incident | None, now: datetime) -> None:
    """An alarm of a person or a home: opens, or is a second cry, or (repeated by the device itself) joins."""
    severity = KINDS[event.kind].severity
    if incident is None:
        incident = _open(draft, event, subject, severity, now)
        draft.record_event(event, incident.id)
        if orders.machine_orders(draft, incident, "at_once"):
            incident = orders.order_nearest(draft, incident, now)
        draft.put(incident)
        return
    draft.record_event(event, incident.id)
    again = event.phase is Phase.RAISE or severity.rank < incident.severity.rank or incident.state is State.RESOLVED
    if not again:
        draft.put(_joined(incident, event, now, mixed=_is_mixed(incident, event)))
        return
    incident = _second_cry(draft, incident, event, subject, severity, now)
    draft.put(rearm(draft, orders.order_anew(draft, incident, now), now))


def _second_cry(draft: Draft, incident: Incident, event: Event, subject: Subject, severity: Severity, now: datetime) -> Incident:
    """Back to raised, sounding again, open orders repeated (invariant 3). A worse kind becomes the incident's kind; a better one changes nothing."""
    worse = severity.rank < incident.severity.rank
    changes: dict[str, Any] = {
        "flags": with_flags(incident.flags, add=(Flag.SECOND_CRY,), drop=(Flag.ENDED, Flag.CANCELLED, Flag.STALLED)),
        "mixed": _is_mixed(incident, event),
        "deadlines": _pressed(draft, incident, severity if worse else incident.severity, now),
        "cries": incident.cries + 1,
        "entries": incident.entries + 1,
        "last_event_at": event.received_at,
        "ts": _ts(event),
        "position": position_of(draft, subject, event, now) or incident.position,
        "owner": None,
        "outcome": None,
        "resolved_at": None,
    }
    if worse:
        changes |= {"severity": severity, "kind": event.kind}
    if event.device is not None and KINDS[event.kind].group is not Group.TELEPHONE:
        changes |= {"device": event.device, "line": event.line}
    return orders.repeat_all(apply(incident, Action.SECOND_CRY, now, **changes), now)


def _pressed(draft: Draft, incident: Incident, severity: Severity, now: datetime) -> dict[str, datetime]:
    """The deadlines after news of this severity: the one to acknowledge may come nearer by it, never go further away."""
    at = now + timedelta(seconds=draft.policy_for(severity).acknowledge_s)
    return {**incident.deadlines, "acknowledge": min(at, incident.deadlines.get("acknowledge", at))}


def _is_mixed(incident: Incident, event: Event) -> bool:
    """With this event, are there alarms of several kinds or devices in it? Then the end of one is not the end of all."""
    return incident.mixed or (event.kind, event.device) != (incident.kind, incident.device)


def _joined(incident: Incident, event: Event, now: datetime, **changes: object) -> Incident:
    return apply(incident, Action.JOIN, now, entries=incident.entries + 1, last_event_at=event.received_at, **changes)


def _open(draft: Draft, event: Event, subject: Subject, severity: Severity, now: datetime, **more: Any) -> Incident:
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
        ts=_ts(event),
        person=subject.person.id if subject.person else None,
        candidates=subject.candidates,
        area=subject.area,
        device=None if telephone else event.device,
        line=event.line,
        position=None if KINDS[event.kind].group is Group.LINE else position_of(draft, subject, event, now),
        deadlines={"acknowledge": now + timedelta(seconds=draft.policy_for(severity).acknowledge_s)},
        **more,
    )
    draft.opened += 1
    return incident


def _fault(draft: Draft, event: Event, subject: Subject, incident: Incident | None, now: datetime) -> None:
    """A device or line is in trouble: a technical incident, which people order, not the machine."""
    severity = KINDS[event.kind].severity
    if event.kind is Kind.LINE_LOST and event.detail.get("mandatory"):
        severity = Severity.CRITICAL
    if incident is None:
        incident = _open(draft, event, subject, severity, now)
    elif severity.rank < incident.severity.rank or incident.state is State.RESOLVED:
        incident = rearm(draft, _second_cry(draft, incident, event, subject, severity, now), now)
    else:
        deadlines = _pressed(draft, incident, incident.severity, now) if Flag.ENDED in incident.flags else incident.deadlines
        flags = with_flags(incident.flags, drop=(Flag.ENDED,))
        incident = rearm(draft, _joined(incident, event, now, flags=flags, deadlines=deadlines, mixed=_is_mixed(incident, event)), now)
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
        incident = _joined(incident, event, now)
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
        incident = _joined(incident, event, now, flags=with_flags(incident.flags, add=(Flag.CANCELLED,)))
    else:
        incident = _joined(incident, event, now)
    draft.put(rearm(draft, incident, now))


_LOST_CALLS = (Kind.CALL_ABANDONED, Kind.CALL_MISSED, Kind.CALL_FAILED)


def _call(draft: Draft, event: Event, subject: Subject, incident: Incident | None, now: datetime) -> None:
    """A step in the life of a call. Answered and lost calls are incidents; a lost one is a task with a deadline."""
    key = f"{event.line}|{event.detail.get('call')}"
    call = draft.calls.get(key)
    if incident is None and call is not None and call.incident is not None:
        incident = draft.incidents.get(call.incident)
        incident = incident if incident is not None and incident.is_open else None
    lost = event.kind in _LOST_CALLS
    if event.detail.get("inferred") and event.kind is Kind.CALL_ENDED:
        lost = True  # nobody knows how it ended: somebody must ring back
    severity = KINDS[Kind.CALL_MISSED if lost and event.kind is Kind.CALL_ENDED else event.kind].severity
    if incident is None and (event.kind is Kind.CALL_ANSWERED or lost):
        incident = _open(draft, event, subject, severity, now, **_call_facts(event, key))
    elif incident is not None:
        worse = severity.rank < incident.severity.rank or (lost and incident.state is State.RESOLVED)
        if worse:
            incident = _second_cry(draft, incident, event, subject, severity, now)
        else:
            incident = _joined(incident, event, now, mixed=_is_mixed(incident, event))
        incident = msgspec.structs.replace(incident, **_call_facts(event, key))
    if incident is not None and lost:
        due = incident.deadlines.get("call") or now + timedelta(seconds=draft.call_rules.call_back_s)
        incident = msgspec.structs.replace(
            incident, flags=with_flags(incident.flags, add=(Flag.CALL_DUE,)), deadlines={**incident.deadlines, "call": due}
        )
    draft.record_event(event, incident.id if incident else None)
    if incident is not None:
        draft.put(rearm(draft, incident, now))
    if lost or event.kind is Kind.CALL_ENDED:
        del draft.calls[key]
        return
    persons = subject.candidates or ((subject.person.id,) if subject.person else ())
    name = incident.id if incident else None
    draft.calls[key] = Call(
        key=key, line=event.line, state=event.kind, at=call.at if call else now, detail=event.detail, persons=persons, incident=name
    )


def _call_facts(event: Event, key: str) -> dict[str, Any]:
    detail = event.detail
    facts: dict[str, Any] = {"call": key, "hotline": _text(detail.get("hotline")), "caller": _text(detail.get("caller_e164") or detail.get("caller"))}
    if detail.get("agent"):
        facts["agent"] = _text(detail["agent"])
    return facts


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _ts(event: Event) -> int:
    """The cry's own time in ms since 1970, unchanged if the device gave one."""
    given = event.detail.get("ts")
    return given if isinstance(given, int) else int(event.occurred_at.timestamp() * 1000)


__all__ = ["DUPLICATE", "STORED", "Position", "on_deadline", "on_event"]
