"""What a device sends after its cry: where it is now, and cries that it could not send when they were made."""

from datetime import datetime, timedelta

from gateway.core.correlation import Subject
from gateway.core.edges import edge_of, remember
from gateway.core.incident import Action, Incident, State, apply
from gateway.core.joining import is_better
from gateway.core.state import MOVED, Draft
from gateway.core.visiting import placed
from gateway.event import KINDS, Event, Group, Position, Severity

CRIED = "cried"  # the edge that remembers when a device last cried
COVERS = timedelta(minutes=10)  # a cry so long after one that was heard is the same need (core policy, join_after_resolved_s)
ORDERED_AT_ONCE = timedelta(hours=1)  # an older cry rings the desk; the machine orders when nobody takes it, as for any unacknowledged one


def is_critical(event: Event) -> bool:
    """Does a person cry for help, whatever else is going on?"""
    facts = KINDS[event.kind]
    return facts.group is Group.PERSON and facts.severity is Severity.CRITICAL


def note_cry(draft: Draft, event: Event) -> None:
    """Remember that this device was heard crying."""
    if event.device is not None and is_critical(event):
        key = f"{event.line}|{event.device}"
        remember(draft, key, draft.last_seen(key), event, CRIED, is_set=True)


def is_unheard(draft: Draft, event: Event, incident: Incident | None) -> bool:
    """Is it a cry out of a device's store that nobody has heard yet (808 sheet, section 3)? Then it raises, marked late, once.

    Not if an incident of its subject is open, which it joins, nor if the device was heard crying since; nor without a time that can be believed,
    which is a day at most: what is older is noted.
    """
    if event.late != "backfill" or incident is not None or event.phase.value != "raise" or not is_critical(event) or event.time_source != "device":
        return False
    heard = edge_of(draft.last_seen(f"{event.line}|{event.device}"), CRIED)
    return heard is None or heard.at < event.occurred_at - COVERS or heard.at > event.received_at  # heard before the clock was set back


def follow(draft: Draft, event: Event, subject: Subject, now: datetime) -> None:
    """A person who cried is somewhere else now, or it is known better where: the open incident follows, noted in its timeline."""
    incident = draft.incident_of_key(subject.key)
    if incident is None or incident.state not in (State.RAISED, State.ACKNOWLEDGED) or event.late is not None:
        return
    if KINDS[incident.kind].group is not Group.PERSON or not is_better(event.position, incident.position):
        return
    if _is_elsewhere(event.position, incident.position):
        draft.record_event(event, incident.id)
        incident = apply(incident, Action.JOIN, now, entries=incident.entries + 1, position=event.position)
        draft.put(placed(draft.register, incident, draft.base.visiting_km))


def _is_elsewhere(new: Position | None, known: Position | None) -> bool:
    """Farther than a fix is wrong, or twice as exact, or in place of a home."""
    if new is None or known is None or known.fixed_at is None:
        return True
    is_exact = new.accuracy_m is not None and known.accuracy_m is not None and new.accuracy_m * 2 <= known.accuracy_m
    return is_exact or abs(new.lat - known.lat) > MOVED or abs(new.lon - known.lon) > MOVED
