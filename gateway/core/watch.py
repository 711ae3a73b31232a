"""The watch over people: signs of life, the check-in that is missed, the incident that follows from it, and what ends it.

Pure: decided in the draft. Silence of a device is somebody else's business (gateway.core.supervision): a path that is out explains a silent device,
never a silent person. It is only told with the missed check-in, and keeps the machine from ordering (gateway.core.ladder).
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from gateway.core import absence, ladder
from gateway.core.correlation import Subject, joinable
from gateway.core.edges import REPLAYED
from gateway.core.escalation import rearm
from gateway.core.incident import Flag, Incident, State
from gateway.core.joining import is_call, is_mixed, joined, open_incident, second_cry
from gateway.core.missed import end, gateway_event, missed_of
from gateway.core.state import Draft
from gateway.core.watched import Watched, Watching
from gateway.event import KINDS, Event, Group, Kind, Phase, Severity

# Conditions of which the return is the sign: the person moves again, is back in bed, is back home.
RETURNS = frozenset((Kind.INACTIVITY, Kind.MISSED_CHECKIN, Kind.BED_EXIT, Kind.WANDERING))
STILL = frozenset((Kind.INACTIVITY, Kind.MISSED_CHECKIN))  # of these nothing else is


def is_sign(event: Event, kinds: frozenset[Kind]) -> bool:
    """Is this a sign that the person lives? A repetition or test by the device itself is none, nor a clear that only says that something is over."""
    if event.kind not in kinds or event.detail.get("worn") is False:
        return False
    group = KINDS[event.kind].group
    if group is Group.TELEPHONE:
        return not event.detail.get("inferred") and not event.detail.get("correction")
    if event.phase is Phase.CLEAR:
        return event.kind in RETURNS
    return event.phase in (Phase.RAISE, Phase.STATE) and event.kind not in STILL


def on_sign(draft: Draft, event: Event, subject: Subject, now: datetime) -> None:
    """A device or telephone spoke: is it a sign of life of a watched person? History counts when it was."""
    person = subject.person
    one = draft.watch.by_person.get(person.id) if person is not None else draft.watch.of(subject.device)
    if one is None or not is_sign(event, one.signs):
        return
    at = _time_of(event)
    state = draft.watching_of(one)
    if at is None or (state.sign_at is not None and at <= state.sign_at):
        return
    after = _with_sign(one, state, at, event.kind)
    incident = missed_of(draft, one)
    draft.keep_watching(one, after, now, is_changed=incident is not None)  # else a kill would miss again what the journal says is over
    is_pressed = incident is not None and event.is_alarm and bool(incident.watch)  # the alarm joins, and is pressed as any alarm
    if incident is not None and one.due(after) > now:
        draft.due[one.name] = one.due(after)  # history may be so old that the next one is missed sooner than a full interval from the last
    if incident is not None and not is_pressed and one.due(after) > now:
        end(draft, incident, now, "sign_of_life", sign=event.kind.value, device=event.device, at=at)


def on_due(draft: Draft, names: Sequence[str], now: datetime) -> None:
    """These were due, "watch:PERSON": who gave a sign meanwhile is due later."""
    for name in names:
        one = draft.watch.by_person.get(name.partition(":")[2])
        if one is None:
            continue
        state = draft.watching_of(one)
        if draft.base.seen.get(name) is None:
            draft.keep_watching(one, state, now)
        due = one.due(state)
        if due > now:
            draft.due[name] = due
        elif state.absence is None:
            _missed(draft, one, state, now)
        elif state.absence.until is not None:
            absence.is_over(draft, one, state, now, reason="until")
        else:
            state = msgspec.structs.replace(state, since=now)
            draft.keep_watching(one, state, now)
            draft.due[name] = one.due(state)


def anew(draft: Draft, incident: Incident, now: datetime) -> None:
    """An operator has seen to it that the person is well or looked after: a full interval begins."""
    one = draft.watch.by_person.get(incident.person or "")
    if one is not None and (incident.watch or incident.missed or one.due(draft.watching_of(one)) <= now):
        state = msgspec.structs.replace(draft.watching_of(one), since=now, counted_s=0.0)
        draft.keep_watching(one, state, now, is_changed=True)
        draft.due[one.name] = one.due(state)


def not_taken(draft: Draft, person: str, now: datetime) -> None:
    """A meal stands before the door and nobody took it in (domain 5.12): of who is watched and not known to be away it is a missed check-in, now."""
    one = draft.watch.by_person.get(person)
    if one is not None and draft.watching_of(one).absence is None:
        _missed(draft, one, draft.watching_of(one), now)


def _missed(draft: Draft, one: Watched, state: Watching, now: datetime) -> None:
    """No sign for too long. It joins what is open of the person already, and is pressed as that is; an incident of its own climbs the ladder."""
    draft.due[one.name] = one.clock.after(now, one.interval)  # however the incident ends
    if missed_of(draft, one) is not None:
        return
    outage = ladder.path_out(draft, one.devices)
    event = gateway_event(
        Phase.RAISE,
        one.person.id,
        now,
        watch=one.rules.name,
        last_sign=state.sign,
        last_sign_at=state.sign_at,
        silent_s=round((now - state.sign_at).total_seconds()) if state.sign_at is not None else None,
        path_out=outage.id if outage is not None else None,
    )
    subject = Subject(f"person:{one.person.id}", one.person, (), None, one.person.area)
    incident = joinable(draft, subject, event)
    draft.missed += 1
    if incident is not None and not is_call(incident) and not incident.watch:
        draft.record_event(event, incident.id)
        is_over = Flag.ENDED in incident.flags or incident.state is State.RESOLVED
        is_worse = is_over or Severity.MAJOR.rank < incident.severity.rank
        if is_worse:
            incident = second_cry(draft, incident, event, subject, Severity.MAJOR, now)
        else:  # the end of the alarm is not the end of the silence
            incident = joined(incident, event, now, mixed=is_mixed(incident, event))
        draft.put(rearm(draft, msgspec.structs.replace(incident, missed=True), now))
        return
    if incident is None:
        incident = open_incident(draft, event, subject, Severity.MAJOR, now)
    else:
        incident = second_cry(draft, incident, event, subject, Severity.MAJOR, now)
    incident = msgspec.structs.replace(incident, watch=one.rules.name, ladder=0)
    draft.record_event(event, incident.id)
    draft.put(incident)
    draft.put(rearm(draft, ladder.climb(draft, incident, now, now), now))


def _with_sign(one: Watched, state: Watching, at: datetime, kind: Kind) -> Watching:
    if state.absence is not None or at <= state.since:  # before a restart: what counted since then at the most
        counted_s = min(state.counted_s, one.clock.between(at, state.since).total_seconds())
        return msgspec.structs.replace(state, counted_s=counted_s, sign_at=at, sign=kind.value)
    return Watching(since=at, sign_at=at, sign=kind.value)


def _time_of(event: Event) -> datetime | None:
    """When it was a sign. Of history only what the device's own clock says; None: nobody knows."""
    if event.late is None and not event.detail.get(REPLAYED):
        return event.received_at
    return min(event.occurred_at, event.received_at) if event.time_source == "device" else None
