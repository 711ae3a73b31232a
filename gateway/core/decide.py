"""What each input changes: field events, operators' commands, passed deadlines, reports of channels. Pure: all goes into the draft."""

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from gateway.core import maintenance, orders, requests, self_test, supervision, watch
from gateway.core.afterwards import ORDERED_AT_ONCE, follow, is_unheard, note_cry
from gateway.core.calls import on_call
from gateway.core.chattering import chatters, counted
from gateway.core.correlation import Subject, call_about, joinable, subject_of, voices_of
from gateway.core.edges import is_edge, news_of
from gateway.core.escalation import on_deadline, rearm
from gateway.core.faults import fact, fault
from gateway.core.hand_over import is_hand_over, on_hand_over
from gateway.core.incident import Flag, Incident, State
from gateway.core.joining import identified, is_better, is_call, is_mixed, joined, open_incident, second_cry, ts_of, with_voices
from gateway.core.opening import on_opened
from gateway.core.platforms import is_filed, on_filed
from gateway.core.shelving import off_shelf
from gateway.core.state import Draft, Seen, TestMark
from gateway.core.telling import silenced
from gateway.event import KINDS, Event, Group, Kind, Phase, Position, Severity

STORED, DUPLICATE, TESTED = "stored", "duplicate", self_test.TESTED

# Of these a device speaks for itself; the rest comes from lines, exchanges and people.
FROM_DEVICES = frozenset((Group.PERSON, Group.ENVIRONMENT, Group.DEVICE, Group.LIFE, Group.SUBJECTLESS))
SIGNS = (None, "backfill")  # what a device has stored it sends now
OTHER_LINE = "address_on_other_line"  # the edge of a clash of addresses
ENDS_OUTAGES = frozenset((Kind.LINE_RESTORED, Kind.ONLINE, Kind.OFFLINE))  # the last one as CLEAR
DAY_S = 86_400.0


def on_event(draft: Draft, event: Event, now: datetime) -> str:
    """Take one field event: "stored", "duplicate", "tested" (a probe's), or the lower_snake reason for which it is refused."""
    if draft.base.test_devices:
        mark = self_test.mark_of(draft, event)
        if mark is TestMark.PROBE:
            return self_test.probed(draft, event)
        if mark is not None:
            event = self_test.pressed(draft, event)
    identity = None
    if event.dedup is not None and KINDS[event.kind].journalled:  # a sign of life heard twice does no harm, and would only crowd the memory
        identity = f"{event.line}|{event.dedup}"
        if draft.is_known(identity):
            return DUPLICATE
    if event.edge is not None and is_edge(event):
        news = news_of(draft, event)
        if news is None:
            if event.kind is Kind.ONLINE and event.phase is not Phase.CLEAR:  # known already, so it ends nothing by itself, but it is a sign of life
                event = msgspec.structs.replace(event, kind=Kind.HEARTBEAT, phase=Phase.STATE)
            _heard(draft, event, subject_of(draft, event), now)
            return STORED
        event = news
    facts = KINDS[event.kind]
    if identity is not None:
        draft.known[identity] = None
    if is_hand_over(event):
        return on_hand_over(draft, event, now)
    if is_filed(event):
        return on_filed(draft, event, now, _cry)
    if facts.group is Group.PEOPLE:
        if event.kind is Kind.VIEWED and event.line == "replies":  # only the responder page has this door, no line of this name can exist
            return on_opened(draft, event, now) or STORED
        if event.kind not in orders.ANSWERS:
            return "not_from_the_field"
        return _answered(draft, event, now)
    if facts.group is Group.SERVICE:
        return requests.on_request(draft, event, now)
    subject = subject_of(draft, event)
    if event.device is not None and event.phase is Phase.RAISE and facts.severity is not Severity.NONE and event.late is None:
        draft.sent.append(((event.line, event.device, event.kind.value), event.received_at))
    if facts.group in FROM_DEVICES:
        _heard(draft, event, subject, now)
    watch.on_sign(draft, event, subject, now)
    if not facts.journalled:
        if event.position is not None:
            follow(draft, event, subject, now)
        return STORED
    if subject.person is not None:
        event = msgspec.structs.replace(event, person=subject.person.id)
    if facts.group is Group.TELEPHONE:
        on_call(draft, event, subject, now)
        return STORED
    incident = joinable(draft, subject, event)
    if event.is_alarm or is_unheard(draft, event, incident):
        _cry(draft, event, subject, incident, now)
        note_cry(draft, event)
    elif event.phase in (Phase.RAISE, Phase.REPEAT) and facts.severity is not Severity.NONE and event.late is None:
        (supervision.offline if event.kind is Kind.OFFLINE else fault)(draft, event, subject, incident, now)
    else:
        fact(draft, event, incident, now)
        if event.kind in ENDS_OUTAGES:
            supervision.restored(draft, incident, now)
    return STORED


def _answered(draft: Draft, event: Event, now: datetime) -> str:
    refused = orders.answer(draft, event, now)
    if refused is not None:
        return refused
    name = draft.by_delivery.get(str(event.detail["delivery"]))
    incident = draft.incidents.get(name) if name else None
    if incident is not None:
        draft.put(rearm(draft, requests.answered(draft, incident, event, now), now))
    return STORED


def _heard(draft: Draft, event: Event, subject: Subject, now: datetime) -> None:
    """Whatever a device says is a sign of its life, unless it is old: kept by a broker, or queued while nobody listened."""
    if event.device is None:
        return
    is_gone = event.kind in (Kind.OFFLINE, Kind.ONLINE) and (event.kind is Kind.ONLINE) is (event.phase is Phase.CLEAR)  # a last will
    is_sign = event.late in SIGNS and not is_gone
    _note_seen(draft, event, subject, is_sign)
    if subject.device is None:
        _strange(draft, event, now)
    elif is_sign:
        device = subject.device if subject.device.id == event.device else draft.register.device(event.line, event.device)
        supervision.on_sign(draft, event, device, now)
        if event.battery_pct is not None and event.edge != supervision.BATTERY:
            charge = supervision.battery_event(draft, event, device)
            if charge is not None:
                on_event(draft, charge, now)


def _strange(draft: Draft, event: Event, now: datetime) -> None:
    """An address on no register is remembered; one registered on another line is told once a day: a clash, or a device moved."""
    draft.strangers.add(f"{event.line}|{event.device}")
    elsewhere = draft.register.lines_of(event.device)
    if elsewhere and event.edge != OTHER_LINE:
        detail: dict[str, object] = {"by": "gateway", "reason": OTHER_LINE, "registered_on": ", ".join(elsewhere)}
        at = event.received_at
        clash = Event(
            kind=Kind.FAULT, line=event.line, device=event.device, received_at=at, occurred_at=at, edge=OTHER_LINE, edge_s=DAY_S, detail=detail
        )
        on_event(draft, clash, now)


def _note_seen(draft: Draft, event: Event, subject: Subject, is_sign: bool) -> None:
    key = f"{event.line}|{event.device}"
    before = draft.last_seen(key)
    if before is None:
        draft.see(key, Seen(at=event.received_at, position=event.position, battery_pct=event.battery_pct, firmware=event.firmware))
    else:
        draft.see(
            key,
            Seen(
                at=max(before.at, event.received_at) if is_sign else before.at,
                position=before.position if event.position is None else _newest_position(before, event),
                battery_pct=event.battery_pct if event.battery_pct is not None else before.battery_pct,
                firmware=event.firmware if event.firmware is not None and event.late != "backfill" else before.firmware,
                edges=before.edges,
            ),
        )
    if event.position is not None and subject.person is not None:
        name = f"person:{subject.person.id}"
        draft.see(name, Seen(at=event.received_at, position=_newest_position(draft.last_seen(name), event)))


def _newest_position(before: Seen | None, event: Event) -> Position | None:
    """Of the one known and the one just heard: history may arrive after what is newer."""
    known = before.position if before else None
    if before is None or known is None or event.position is None:
        return event.position or known
    return known if (event.position.fixed_at or event.received_at) < (known.fixed_at or before.at) else event.position


def _cry(draft: Draft, event: Event, subject: Subject, incident: Incident | None, now: datetime) -> None:
    """An alarm of a person or a home: opens, or is a second cry, or (repeated by the device itself) joins."""
    severity = KINDS[event.kind].severity
    if event.kind is Kind.GENERAL and event.severity is not None:
        severity = event.severity
    if incident is None and (call := call_about(draft, subject, event)) is not None:
        incident = identified(draft, call, subject, "device", now)
    aside = maintenance.holds(draft, event, now)
    if aside is not None and incident is not None:  # also of an incident that is about something else: it counts, and presses nobody
        draft.record_event(event, incident.id)
        draft.put(rearm(draft, maintenance.counted(incident, event, now), now))
        return
    if aside is not None:
        incident = maintenance.put_aside(open_incident(draft, event, subject, severity, now), aside, now)
        draft.record_event(event, incident.id)
        draft.put(incident)
        return
    if incident is None:
        incident = silenced(open_incident(draft, event, subject, severity, now), event.kind)
        if event.late is not None:
            incident = msgspec.structs.replace(incident, flags=(Flag.LATE,))
        draft.record_event(event, incident.id)
        is_old = event.late is not None and now - event.occurred_at > ORDERED_AT_ONCE
        if not is_old and orders.machine_orders(draft, incident, "at_once"):
            incident = orders.order_team(draft, incident, now)
        draft.put(incident)
        return
    draft.record_event(event, incident.id)
    incident = silenced(incident, event.kind)
    again = event.phase is Phase.RAISE or severity.rank < incident.severity.rank or incident.state is State.RESOLVED or is_call(incident)
    if not again:
        voice, waits = with_voices(incident, voices_of(subject, event)), incident.held_until is not None or incident.shelf is not None
        incident = off_shelf(draft, incident, now, "another_kind")  # an alarm in it: it is no mere thing any more
        after = joined(incident, event, now, mixed=is_mixed(incident, event), voice=voice)
        draft.put(rearm(draft, after, now) if waits else after)
        return
    if chatters(draft, incident, event, severity, now):
        place = event.position if is_better(event.position, incident.position) else incident.position  # whoever cries on may be on the way
        draft.put(rearm(draft, joined(incident, event, now, ts=ts_of(event), position=place, **counted(incident, now)), now))
        return
    incident = second_cry(draft, incident, event, subject, severity, now)
    draft.put(rearm(draft, orders.order_anew(draft, incident, now), now))


def on_due(draft: Draft, names: Sequence[str], now: datetime) -> None:
    """These names have come due (WorkingSet.due). The first word says whose business they are."""
    by_word: dict[str, list[str]] = {}
    for name in names:
        by_word.setdefault(name.partition(":")[0], []).append(name)
    for word, several in by_word.items():
        WHEN_DUE[word](draft, several, now)


WHEN_DUE: dict[str, Callable[[Draft, Sequence[str], datetime], None]] = {
    supervision.DEVICE: supervision.on_silence,
    supervision.HELD: supervision.on_silence,
    "watch": watch.on_due,
}

__all__ = ["DUPLICATE", "STORED", "TESTED", "on_deadline", "on_due", "on_event"]
