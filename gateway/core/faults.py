"""Troubles of devices and lines, and facts that raise nothing: what they open, join and end."""

from datetime import datetime, timedelta

import msgspec

from gateway.core import maintenance
from gateway.core.correlation import Subject, zone_of
from gateway.core.escalation import rearm
from gateway.core.incident import Action, Flag, Incident, State, apply, with_flags
from gateway.core.joining import is_mixed, joined, open_incident, pressed, second_cry
from gateway.core.shelving import off_shelf
from gateway.core.state import Draft
from gateway.event import KINDS, Event, Group, Kind, Phase, Severity

# Facts of the field that end a technical incident of the same device or line.
ENDS = {Kind.POWER_BACK: Kind.POWER_CUT, Kind.ONLINE: Kind.OFFLINE, Kind.LINE_RESTORED: Kind.LINE_LOST}
# A suspected fall may be taken back by the device itself for this long (event model, table of kinds).
TAKE_BACK = timedelta(seconds=30)
WORSE_AFTER = timedelta(hours=24)  # an alarm device that is silent for so long is major (event model, table of kinds)


def fault(draft: Draft, event: Event, subject: Subject, incident: Incident | None, now: datetime, severity: Severity | None = None) -> Incident:
    """A device or line is in trouble: a technical incident, which people order, not the machine."""
    severity = severity or KINDS[event.kind].severity
    if event.kind in (Kind.LINE_LOST, Kind.SELF_TEST_MISSED) and event.detail.get("mandatory"):
        severity = Severity.CRITICAL
    aside = maintenance.holds(draft, event, now)
    if incident is None:
        incident = open_incident(draft, event, subject, severity, now)
        incident = maintenance.put_aside(incident, aside, now) if aside is not None else incident
    elif aside is not None:
        incident = rearm(draft, maintenance.counted(incident, event, now), now)
    elif severity.rank < incident.severity.rank or incident.state is State.RESOLVED:
        incident = rearm(draft, second_cry(draft, incident, event, subject, severity, now), now)
    else:
        deadlines = pressed(draft, incident, incident.severity, now) if Flag.ENDED in incident.flags else incident.deadlines
        flags = with_flags(incident.flags, drop=(Flag.ENDED,))
        if event.kind is not incident.kind:  # what is on the shelf was put there for what it was
            incident = off_shelf(draft, incident, now, "another_kind")
            deadlines = incident.deadlines
        incident = rearm(draft, joined(incident, event, now, flags=flags, deadlines=deadlines, mixed=is_mixed(incident, event)), now)
    if event.kind is Kind.OFFLINE and severity is Severity.MINOR and incident.severity.rank >= Severity.MINOR.rank:
        at = incident.deadlines.get("overdue", now + WORSE_AFTER)
        incident = msgspec.structs.replace(incident, deadlines={**incident.deadlines, "overdue": at})
    draft.record_event(event, incident.id)
    draft.put(incident)
    return incident


def fact(draft: Draft, event: Event, incident: Incident | None, now: datetime) -> None:
    """A clear, a cancel, a test, a gap, history: noted where it belongs; raises nothing."""
    draft.record_event(event, incident.id if incident else None)
    if incident is None:
        return
    kind = KINDS[incident.kind]
    is_its_end = ENDS.get(event.kind, event.kind if event.phase is Phase.CLEAR else None) is incident.kind
    is_its_end = is_its_end and (event.device, zone_of(event)) == (incident.device, incident.zone)
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
