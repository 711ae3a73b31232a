"""Taking apart what was joined: a call by a wrong name, a device that is somebody else's, a merger that was a mistake. Both need somebody."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.core import orders, policy
from gateway.core.chattering import AGAIN
from gateway.core.correlation import Subject, apart_key, position_of
from gateway.core.escalation import rearm
from gateway.core.incident import Action, Flag, Incident, Merger, State, apply, with_flags
from gateway.core.joining import is_call, merge
from gateway.core.register import Person
from gateway.core.stages import complaints
from gateway.core.state import Call, Draft
from gateway.errors import Refused
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


# What a merger may have changed of the other incident and is put back if nothing has changed it since.
_PUT_BACK = (
    *("person", "key", "candidates", "area", "call", "caller", "presentation", "hotline", "agent"),
    *("missed", "mixed", "silent", "tracking", "handed", "first_attempt_at", "held_until"),
)
# … and these only if nothing has cried since.
_OF_A_CRY = ("kind", "severity", "device", "line", "ts", "position", "watch")
_LISTS = ("voice", "hints", "sounded", "also", "sources", "externals")


def unmerge(draft: Draft, incident: Incident, now: datetime, actor: str, identity: str | None = None) -> Incident:
    """A wrong merger is undone: the incident stands by itself again, as it was; what came after the merger stays with the other one.

    Its calls and what its devices cry from now on are its own again. Raises Refused: not_merged, undo_too_late, merged_further.
    """
    undo = incident.merger
    if incident.merged_into is None or undo is None:
        raise Refused("not_merged")
    if now - undo.at > timedelta(seconds=draft.policy.undo_s):
        raise Refused("undo_too_late", within_s=draft.policy.undo_s)
    target = draft.incidents.get(incident.merged_into)
    if target is None:
        raise Refused("unknown_incident", 404, into=incident.merged_into)
    if target.merged_into is not None:
        raise Refused("merged_further", into=target.merged_into)
    draft.put(rearm(draft, _without(target, incident, undo, now), now))
    back = apply(
        incident, Action.UNMERGE, now, outcome=None, merged_into=None, closed_at=None, merger=None, flags=undo.flags, deadlines=undo.deadlines
    )
    if undo.state is State.ACKNOWLEDGED:
        back = msgspec.structs.replace(back, state=State.ACKNOWLEDGED)
    back = rearm(draft, back, now)
    for key in undo.calls:
        call = draft.calls.get(key)
        if call is not None and call.incident == target.id:
            draft.calls[key] = msgspec.structs.replace(call, incident=back.id)
    draft.record(Kind.UNMERGE, now, target, actor, into=back.id)
    draft.record(Kind.UNMERGE, now, back, actor, identity, of=target.id)
    return back


def _without(target: Incident, merged: Incident, undo: Merger, now: datetime) -> Incident:
    """The other incident without what the merger brought it."""
    before, after = undo.before, undo.after
    is_quiet = target.cries == after.cries
    changes: dict[str, Any] = {
        "entries": max(1, target.entries - merged.entries),
        "attempts": max(0, target.attempts - (after.attempts - before.attempts)),
    }
    for name in (*_PUT_BACK, *(_OF_A_CRY if is_quiet else ())):
        was, became = getattr(before, name), getattr(after, name)
        if was != became and getattr(target, name) == became:
            changes[name] = was
    for name in _LISTS:
        brought = set(getattr(after, name)) - set(getattr(before, name))
        lost = tuple(one for one in getattr(before, name) if one not in getattr(after, name))
        if brought or lost:
            changes[name] = (*lost, *(one for one in getattr(target, name) if one not in brought))
    flags: set[Flag] = {flag for flag in (Flag.CALL_DUE, Flag.COMPLAINT) if flag in after.flags and flag not in before.flags}
    if Flag.CALL_DUE in flags and target.attempts != after.attempts:
        flags.discard(Flag.CALL_DUE)  # somebody else was lost since
    if is_quiet and Flag.CHATTERING in after.flags and Flag.CHATTERING not in before.flags:
        flags.add(Flag.CHATTERING)  # rings where it was cried
    if theirs := complaints(merged):
        changes["stages"] = tuple(stage for stage in target.stages if stage not in theirs)
    if not target.is_open:
        return msgspec.structs.replace(target, **changes, version=target.version + 1, changed_at=now)
    changes["flags"] = with_flags(target.flags, drop=tuple(flags))
    deadlines = dict(target.deadlines)
    for name in ("call", "complaint", "acknowledge", *((AGAIN,) if is_quiet else ())):
        if name in after.deadlines and after.deadlines[name] != before.deadlines.get(name) and deadlines.get(name) == after.deadlines[name]:
            if name in before.deadlines:
                deadlines[name] = before.deadlines[name]
            elif name != "acknowledge":
                del deadlines[name]
    changes["deadlines"] = deadlines
    if "severity" in changes or "kind" in changes:
        changes |= policy.anew()
    return msgspec.structs.replace(target, **changes, version=target.version + 1, changed_at=now)


def split(
    draft: Draft,
    incident: Incident,
    now: datetime,
    actor: str,
    *,
    device: str = "",
    call: str = "",
    person: Person | None = None,
    identity: str | None,
) -> Incident:
    """A device ("line|address") or a call of this incident gets an incident of its own, and rings. Gives the one that it left.

    What the device cries from now on joins the new one for as long as that is open, whoever it is registered for. Raises Refused: missing_device,
    unknown_device, unknown_call, nothing_left. To undo it the new one is merged back.
    """
    apply(incident, Action.SPLIT, now)  # refuses what the table refuses, before anything is begun
    if bool(device) is bool(call):
        raise Refused("missing_device", 400)
    if incident.service:
        raise Refused("not_for_requests")
    if call:
        return _split_call(draft, incident, now, actor, call, person, identity)
    line, _, address = device.partition("|")
    cried = [(one.line, one.device) for one in incident.sounded] or [(incident.line, incident.device or "")]
    if (line, address) not in cried and (line, address) != (incident.line, incident.device):
        raise Refused("unknown_device", 404)
    others = [one for one in cried if one != (line, address)]
    if not others and incident.call is None and incident.entries < 2:
        raise Refused("nothing_left")
    registered = draft.register.device(line, address)
    owner = person or (draft.register.persons.get(registered.person) if registered is not None and registered.person else None)
    subject = Subject(apart_key(line, address), owner, (), registered, (owner.area if owner else None) or incident.area)
    sounded = tuple(one for one in incident.sounded if (one.line, one.device) == (line, address))
    is_own = (incident.line, incident.device) == (line, address)
    parted = _apart(draft, incident, subject, now, kind=incident.kind, severity=incident.severity, device=address, line=line, sounded=sounded)
    left: dict[str, Any] = {"sounded": tuple(one for one in incident.sounded if one not in sounded), "entries": max(1, incident.entries - 1)}
    if is_own and others:
        left |= {"line": others[-1][0], "device": others[-1][1], "zone": ""}
    return _parted(draft, incident, parted, now, actor, identity, left, device=address, line=line)


def _split_call(draft: Draft, incident: Incident, now: datetime, actor: str, key: str, person: Person | None, identity: str | None) -> Incident:
    call = draft.calls.get(key)
    if incident.call != key and (call is None or call.incident != incident.id):
        raise Refused("unknown_call", 404)
    if incident.entries < 2:
        raise Refused("nothing_left")
    is_newest = incident.call == key
    caller = incident.caller if is_newest else None
    name = f"person:{person.id}" if person is not None else f"caller:{caller}" if caller else f"call:{incident.line}:{key}"
    subject = Subject(name, person, (), None, (person.area if person else None) or incident.area)
    line = call.line if call is not None else incident.line
    more: dict[str, Any] = {"caller": caller, "presentation": incident.presentation, "hotline": incident.hotline, "agent": incident.agent}
    more |= {"call": key, "line": line}
    due = Flag.CALL_DUE in incident.flags and is_newest
    if due:
        more |= {"flags": (Flag.CALL_DUE,), "attempts": incident.attempts, "first_attempt_at": incident.first_attempt_at}
    severity = Severity.MAJOR if due else Severity.MINOR
    parted = _apart(draft, incident, subject, now, kind=Kind.CALL_ANSWERED, severity=severity, **more)
    left: dict[str, Any] = {"entries": max(1, incident.entries - 1)}
    if is_newest and not is_call(incident):  # else it would be a call without one
        left |= {"call": None, "caller": None, "presentation": "allowed", "agent": None}
        left["voice"] = tuple(one for one in incident.voice if one != caller)
        if due:
            left |= {"flags": with_flags(incident.flags, drop=(Flag.CALL_DUE,)), "attempts": 0, "first_attempt_at": None}
            left["deadlines"] = {word: at for word, at in incident.deadlines.items() if word != "call"}
            parted = msgspec.structs.replace(parted, deadlines={word: at for word, at in incident.deadlines.items() if word == "call"})
    if call is not None:
        draft.calls[key] = msgspec.structs.replace(call, incident=parted.id)
    return _parted(draft, incident, parted, now, actor, identity, left, call=key)


def _apart(draft: Draft, incident: Incident, subject: Subject, now: datetime, *, kind: Kind, severity: Severity, **more: Any) -> Incident:
    """The new incident, raised: nobody has looked at it by itself yet."""
    draft.opened += 1
    ends = position_of(draft, subject, None, now) if subject.person is not None or subject.device is not None else incident.position
    return Incident(
        id=draft.new_incident_id(),
        key=subject.key,
        kind=kind,
        severity=severity,
        state=State.RAISED,
        opened_at=now,
        changed_at=now,
        last_event_at=now,
        ts=incident.ts,
        person=subject.person.id if subject.person is not None else None,
        area=subject.area,
        position=ends,
        silent=incident.silent,
        **more,
    )


def _parted(
    draft: Draft, incident: Incident, parted: Incident, now: datetime, actor: str, identity: str | None, left: dict[str, Any], **facts: Any
) -> Incident:
    """Both ends in the draft and in the journal. An alarm that now stands alone is ordered for, as any alarm that rings."""
    remaining = apply(incident, Action.SPLIT, now, **left)
    draft.put(parted)
    draft.record(Kind.UNMERGE, now, remaining, actor, identity, into=parted.id, **facts)
    draft.record(Kind.UNMERGE, now, parted, actor, of=incident.id, **facts)
    parted = orders.order_anew(draft, parted, now)
    draft.put(rearm(draft, parted, now))
    return remaining
