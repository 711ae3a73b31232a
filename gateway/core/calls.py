"""Telephone calls: whose they are, what an answered and a lost one mean, and the task to call back that nobody may forget.

A lost call (abandoned, missed, failed, or ended unseen) is a task on its incident: the flag `call_due`, a deadline, and how often
it was tried. The task ends when the caller is called back, gets through, or the incident is resolved (docs/decisions/0009).
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.config import HotlineConfig
from gateway.core import orders
from gateway.core.correlation import HINTS, HOUSEHOLD, Subject, hints_of, incident_of_call
from gateway.core.escalation import rearm
from gateway.core.incident import Flag, Hint, Incident, State, awake, with_flags
from gateway.core.joining import identified, is_mergeable, is_mixed, joined, merge, open_incident, second_cry, with_voices
from gateway.core.shelving import off_shelf
from gateway.core.state import Call, Draft
from gateway.event import KINDS, Event, Group, Kind, Severity

WAITING = frozenset((Kind.CALL_OFFERED, Kind.CALL_RINGING))
LOST = frozenset((Kind.CALL_ABANDONED, Kind.CALL_MISSED, Kind.CALL_FAILED))
# The third attempt in vain is pressed one step harder: twice may be chance, three times is somebody who does not give up.
URGENT_ATTEMPTS = 3
STEP_UP = {Severity.WARNING: Severity.MINOR, Severity.MINOR: Severity.MAJOR, Severity.MAJOR: Severity.CRITICAL}


def on_call(draft: Draft, event: Event, subject: Subject, now: datetime) -> None:
    """A step in the life of a call. Answered and lost calls are incidents; a lost one is a task with a deadline."""
    key = f"{event.line}|{event.detail.get('call')}"
    call = draft.calls.get(key)
    carried = _carried(draft, call)
    if carried is not None:
        incident: Incident | None = _whose(draft, carried, subject, event, now)
    else:
        incident = incident_of_call(draft, subject, event)
    lost = event.kind in LOST
    if event.kind is Kind.CALL_ENDED and event.detail.get("inferred"):  # nobody knows how it ended: somebody must ring back …
        lost = not _is_served(call, carried, incident, key)  # … unless they were served already
    answered = event.kind is Kind.CALL_ANSWERED
    is_first_answer = answered and (call.state in WAITING if call is not None else incident is None or incident.call != key)
    hotline = draft.hotline(_text(event.detail.get("hotline")))
    severity = _severity(event, hotline, incident, lost)
    is_worse = False
    if incident is None and (answered or lost):
        incident = open_incident(draft, event, subject, severity, now, hints=hints_of(draft, subject, event), **_facts(event, key, None))
    elif incident is not None:
        again = (lost or is_first_answer) and incident.state is State.RESOLVED
        facts = _facts(event, key, incident)
        is_worse = severity.rank < incident.severity.rank
        if is_worse or again:
            incident = second_cry(draft, incident, event, subject, severity, now)
        else:
            incident = joined(off_shelf(draft, incident, now, "another_kind"), event, now, mixed=is_mixed(incident, event))
        incident = msgspec.structs.replace(incident, hints=_hints(draft, incident, subject, event), **facts)
    draft.record_event(event, incident.id if incident else None)
    if incident is not None:
        incident = orders.order_anew(draft, incident, now) if is_worse else incident  # an alarm may have become critical by it
        if lost:
            incident = _due(draft, incident, hotline, now)
        elif answered and Flag.CALL_DUE in incident.flags and len(subject.candidates) <= HOUSEHOLD:  # of a switchboard it may be another caller
            draft.record(Kind.CALL_BACK, now, incident, reason="caller_got_through", attempts=incident.attempts)
            incident = called_back(incident)
        draft.put(rearm(draft, incident, now))
    if lost or event.kind is Kind.CALL_ENDED or (call is None and event.detail.get("correction")):  # over; what corrects it does not revive it
        del draft.calls[key]
        return
    draft.calls[key] = Call(
        key=key,
        line=event.line,
        state=event.kind,
        at=call.at if call else now,
        detail=event.detail,
        persons=subject.candidates or ((subject.person.id,) if subject.person else ()),
        incident=incident.id if incident else None,
    )


def called_back(incident: Incident) -> Incident:
    """Without its task to call back."""
    deadlines = {name: at for name, at in incident.deadlines.items() if name != "call"}
    flags = with_flags(incident.flags, drop=(Flag.CALL_DUE,))
    return msgspec.structs.replace(incident, flags=flags, deadlines=deadlines, attempts=0, first_attempt_at=None)


def call_backs(incidents: Iterable[Incident]) -> list[Incident]:
    """Every open incident whose caller waits for a call, in the order in which they are to be rung: urgent first, then who tried first."""
    due = [incident for incident in incidents if incident.is_open and Flag.CALL_DUE in incident.flags]
    return sorted(due, key=lambda incident: (incident.severity.rank, incident.first_attempt_at or incident.opened_at, incident.id))


def _carried(draft: Draft, call: Call | None) -> Incident | None:
    """The open incident that this call is in already, followed through mergers."""
    name = call.incident if call else None
    incident = draft.incidents.get(name) if name else None
    while incident is not None and not incident.is_open and incident.merged_into is not None:
        incident = draft.incidents.get(incident.merged_into)
    return incident if incident is not None and incident.is_open else None


def _is_served(call: Call | None, carried: Incident | None, incident: Incident | None, key: str) -> bool:
    """Was the matter of this call resolved or closed since the call began, or its end told before?"""
    if call is None:
        return incident is not None and incident.call == key
    if carried is None:
        return call.incident is not None
    return carried.state is State.RESOLVED and carried.resolved_at is not None and carried.resolved_at >= call.at


def _whose(draft: Draft, incident: Incident, subject: Subject, event: Event, now: datetime) -> Incident:
    """The exchange may learn the caller late: an incident of nobody becomes that person's, or goes up in the one they have."""
    if incident.person is not None or KINDS[incident.kind].group is not Group.TELEPHONE:
        return incident
    if subject.person is None:
        if subject.key == incident.key or not (subject.candidates or incident.key.startswith("call:")):
            return incident
        return msgspec.structs.replace(incident, key=subject.key, candidates=subject.candidates, area=subject.area or incident.area)
    other = incident_of_call(draft, subject, event)
    if other is not None and other.id != incident.id and other.state in (State.RAISED, State.ACKNOWLEDGED) and is_mergeable(incident):
        merge(draft, incident, other, now)
        return draft.incidents.get(other.id) or other
    return orders.repeat_all(identified(draft, incident, subject, "caller_learnt", now), now)


def _severity(event: Event, hotline: HotlineConfig, incident: Incident | None, lost: bool) -> Severity:
    if not lost:
        return KINDS[event.kind].severity
    severity = KINDS[event.kind].severity if event.kind is Kind.CALL_FAILED else Severity(hotline.severity)
    attempts = 1 + (incident.attempts if incident is not None and Flag.CALL_DUE in incident.flags else 0)
    return STEP_UP.get(severity, severity) if attempts >= URGENT_ATTEMPTS else severity


def _due(draft: Draft, incident: Incident, hotline: HotlineConfig, now: datetime) -> Incident:
    """One attempt more in vain: the first opens the task, each further one halves what is left of its time."""
    attempts = 1 + (incident.attempts if Flag.CALL_DUE in incident.flags else 0)
    wait = timedelta(seconds=hotline.call_back_s or draft.call_rules.call_back_s)
    due = incident.deadlines.get("call")
    if due is None:  # the first, or a visit was ordered already and the caller tries again
        due = now + (wait if attempts == 1 else wait / 2)
    elif attempts > 1 and due > now:
        due = now + (due - now) / 2
    incident = awake(incident)
    return msgspec.structs.replace(
        incident,
        flags=with_flags(incident.flags, add=(Flag.CALL_DUE,)),
        deadlines={**incident.deadlines, "call": due},
        attempts=attempts,
        first_attempt_at=incident.first_attempt_at if attempts > 1 else now,
    )


def _hints(draft: Draft, incident: Incident, subject: Subject, event: Event) -> tuple[Hint, ...]:
    hints = incident.hints
    if subject.person is not None and subject.person.id != incident.person:
        hints += (Hint("number", subject.person.id),)
    elif incident.person is None:
        hints += hints_of(draft, subject, event)
    return tuple(dict.fromkeys(hints))[:HINTS]


def _facts(event: Event, key: str, incident: Incident | None) -> dict[str, Any]:
    """What the incident shows of its newest call. Who called before may call again: that number goes among its voices."""
    detail = event.detail
    facts: dict[str, Any] = {"call": key}
    if detail.get("hotline") and (incident is None or incident.call != key):  # a call going on does not undo that it was handed over
        facts["hotline"] = _text(detail["hotline"])
    if detail.get("agent"):
        facts["agent"] = _text(detail["agent"])
    caller = _text(detail.get("caller_e164") or detail.get("caller") or None)
    if caller is not None:
        facts |= {"caller": caller, "presentation": "restricted" if detail.get("presentation") == "restricted" else "allowed"}
        if incident is not None and incident.caller not in (None, caller):
            facts["voice"] = with_voices(incident, (str(incident.caller),))
    return facts


def _text(value: object) -> str | None:
    return None if value is None else str(value)
