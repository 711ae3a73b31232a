"""The incident of a missed check-in: which it is, and how the field or an absence ends it."""

from datetime import datetime, timedelta

from gateway.core import orders
from gateway.core.escalation import rearm
from gateway.core.incident import Action, Flag, Incident, State, apply, with_flags
from gateway.core.state import Draft, WorkingSet
from gateway.core.telling import unasked
from gateway.core.watched import Watched
from gateway.event import Event, Kind, Phase

WELL, AWAY = "person_is_well", "person_is_away"  # why an order is taken back
ABSENCE = "absence"  # why a missed check-in is over: somebody knows that the person is away


def missed_of(draft: Draft, one: Watched) -> Incident | None:
    """The open incident that a missed check-in opened or joined, and nothing has ended since."""
    for name in draft.by_key.get(f"person:{one.person.id}") or ():
        incident = draft.incidents.get(name)
        if incident is not None and is_missed(incident):
            return incident
    return None


def is_missed(incident: Incident) -> bool:
    """Does a person give no sign of life, as far as this incident knows?"""
    if incident.state not in (State.RAISED, State.ACKNOWLEDGED):
        return False
    return incident.missed or (bool(incident.watch) and incident.kind is Kind.MISSED_CHECKIN and Flag.ENDED not in incident.flags)


def watch_counts(working: WorkingSet) -> dict[str, int]:
    """How many persons are watched, absent, missed. For metrics, when somebody scrapes."""
    missed = {incident.person for incident in working.open_incidents if is_missed(incident)}
    absent = sum(one.state.absence is not None for one in working.watch.by_person.values())
    return {"watched": len(working.watch.by_person) - absent - len(missed), "absent": absent, "missed": len(missed)}


def end(draft: Draft, incident: Incident, now: datetime, reason: str, **detail: object) -> None:
    """The person is well, or away: the incident stays in the queue until somebody takes it. Who was only asked to go is told that all is well;
    who is on the way learns it and decides. Another alarm that the missed check-in had joined goes on."""
    facts = {name: value for name, value in detail.items() if value is not None}
    event = gateway_event(Phase.CLEAR, incident.person, now, reason=reason, **facts)
    draft.record_event(event, incident.id)
    if not incident.watch:
        incident = apply(incident, Action.JOIN, now, entries=incident.entries + 1, last_event_at=now, missed=False)
        draft.put(rearm(draft, incident, now))
        return
    is_raised = incident.state is State.RAISED
    later = {"acknowledge": now + timedelta(seconds=draft.policy.warning.acknowledge_s)} if is_raised else {}
    own_task = () if "call" in incident.deadlines else (Flag.CALL_DUE,)  # the task of the ladder, not that of a lost call
    incident = apply(
        incident,
        Action.END,
        now,
        flags=with_flags(incident.flags, add=(Flag.ENDED,), drop=own_task),
        entries=incident.entries + 1,
        last_event_at=now,
        missed=False,
        deadlines={**incident.deadlines, **later},
    )
    if is_raised:
        incident = orders.call_off(incident, now, AWAY if reason == ABSENCE else WELL)
    draft.put(rearm(draft, unasked(incident), now))


def gateway_event(phase: Phase, person: str | None, now: datetime, **detail: object) -> Event:
    """A fact that the gateway itself decided."""
    known = {name: value for name, value in detail.items() if value not in (None, "")}
    return Event(kind=Kind.MISSED_CHECKIN, phase=phase, line="", person=person, received_at=now, occurred_at=now, detail={"by": "gateway", **known})
