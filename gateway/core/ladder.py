"""The ladder after a missed check-in: device prompt, telephone call, neighbour, station, emergency (domain 4.8, 4.9). One step a deadline.

The ladder is how such an incident is pressed: no other policy orders anybody for it. It is climbed while nobody has taken the incident, and ends
with a sign of life. The machine never calls 120 or 110: the last step tells the operator, as loudly as it can be told.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from gateway.core import orders, teams
from gateway.core.incident import COMING, INFORMED, Action, Flag, Incident, LegState, Role, Sounded, State, apply, with_flags
from gateway.core.register import Device, Person
from gateway.core.routing import Decision
from gateway.core.state import Draft
from gateway.core.telling import asking_of, prompted
from gateway.event import Kind, Severity

CATCH_UP = timedelta(seconds=30)  # after downtime steps that are late follow each other no faster (architecture, section 6)
ORDERING = ("neighbour", "station")  # steps by which the machine sends somebody


def is_climbing(draft: Draft, incident: Incident) -> bool:
    """Is there a step that the machine will take by itself?"""
    rules = draft.watch.rules.get(incident.watch) if incident.watch else None
    if rules is None or incident.kind is not Kind.MISSED_CHECKIN or incident.ladder >= len(rules.steps):
        return False
    return incident.state is State.RAISED and Flag.ENDED not in incident.flags


def step_s(draft: Draft, incident: Incident) -> float:
    """The wait between two steps, seconds."""
    return draft.watch.rules[incident.watch].step_s


def climb(draft: Draft, incident: Incident, planned: datetime, now: datetime) -> Incident:
    """Take the step that was planned for then; one that cannot be taken is noted, and the next one taken in its place. Not yet in the draft."""
    while is_climbing(draft, incident):
        rules = draft.watch.rules[incident.watch]
        step = rules.steps[incident.ladder]
        wait = timedelta(seconds=rules.step_s)
        why = _holds(draft, incident, step)
        if why:
            if why == "path_out" and "call" in rules.steps[incident.ladder :]:
                incident = msgspec.structs.replace(incident, flags=with_flags(incident.flags, add=(Flag.CALL_DUE,)))
            draft.record(Kind.REMIND, now, incident, reason="ladder_waits", step=step, why=why, to=draft.router.desk.id)
            draft.steps.append((step, "held"))
            return _next(incident, now + wait)
        person = draft.register.persons.get(incident.person or "")
        number, responders = incident.ladder, {leg.delivery for leg in incident.legs}
        incident, result = _STEPS[step](draft, msgspec.structs.replace(incident, ladder=number + 1), person, now)
        is_taken = not result.startswith("no_")
        to = [leg.responder for leg in incident.legs if leg.delivery not in responders]
        facts = {"to": to[0] if to else draft.router.desk.id} if is_taken else {}
        draft.record(Kind.ESCALATE, now, incident, reason=f"ladder_{step}", step=number + 1, result=result, **facts)
        draft.steps.append((step, result))
        if is_taken:
            return _next(incident, max(planned + wait, now + min(wait, CATCH_UP)))
    return incident


def path_out(draft: Draft, devices: tuple[Device, ...]) -> Incident | None:
    """The outage that explains the silence of all these devices: of a street gateway, a hub, a line. None: there is none, or no device."""
    found: Incident | None = None
    for device in devices:
        found = _outage_of(draft, device)
        if found is None:
            return None
    return found


def devices_of(draft: Draft, incident: Incident) -> tuple[Device, ...]:
    """The devices of the person whom it is about."""
    one = draft.watch.by_person.get(incident.person or "")
    return one.devices if one is not None else ()


def _next(incident: Incident, at: datetime) -> Incident:
    """The next step is due then."""
    others = {name: due for name, due in incident.deadlines.items() if not name.startswith("ladder:")}
    return msgspec.structs.replace(incident, deadlines={**others, f"ladder:{incident.ladder}": at})


def _holds(draft: Draft, incident: Incident, step: str) -> str:
    """Why the machine takes this step later; "" = it takes it now.

    Somebody is on the way already, or was there. Or the path of all the person's devices is out: hundreds may be silent with them, and a machine
    that sends every station of a street somewhere leaves none for the alarm that comes next. Then the desk rings on, and decides.
    """
    if step in (*ORDERING, "emergency") and any(
        leg.role not in INFORMED and (leg.state in COMING or (leg.state is LegState.DONE and leg.ts == incident.ts)) for leg in incident.legs
    ):
        return "somebody_coming"
    if step in (*ORDERING, "emergency") and path_out(draft, devices_of(draft, incident)) is not None:
        return "path_out"
    return ""


def _outage_of(draft: Draft, device: Device) -> Incident | None:
    one = draft.supervision.of(device)
    silence = draft.silent.get(one.name) if one is not None else None
    line = one.line if one is not None else device.line
    outage = draft.incidents.get(silence.incident) if silence is not None and silence.state == "path" else draft.incident_of_key(f"line:{line}")
    if outage is None or Flag.ENDED in outage.flags or outage.state not in (State.RAISED, State.ACKNOWLEDGED):
        return None
    return outage if outage.kind in (Kind.OFFLINE, Kind.LINE_LOST) else None


# --- the steps: each gives the incident after it, and what it did; "no_…": it could not be done ----------------------


def _prompt(draft: Draft, incident: Incident, person: Person | None, now: datetime) -> tuple[Incident, str]:
    """The person's devices ask: are you well?"""
    del person
    devices = devices_of(draft, incident)
    sounded = tuple(Sounded(line, device.id) for device in devices if (line := _line_of(draft, device)) in draft.base.tell_lines)
    if not sounded:
        return incident, "no_device"
    if path_out(draft, devices) is not None:
        return incident, "no_path"
    asked = prompted(incident, sounded, asking_of(incident), now)
    return (asked, "asked") if asked is not incident else (incident, "no_sound")  # duress: nothing may light up


def _call(draft: Draft, incident: Incident, person: Person | None, now: datetime) -> tuple[Incident, str]:
    """A task for the operator: ring the person. The machine does not ring elderly people by itself."""
    has_phone = person is not None and (person.phones or any(contact.phone for contact in person.contacts))
    if not has_phone and not any(device.phone for device in devices_of(draft, incident)):
        return incident, "no_telephone"
    return apply(incident, Action.ESCALATE, now, flags=with_flags(incident.flags, add=(Flag.CALL_DUE,))), "task"


def _neighbour(draft: Draft, incident: Incident, person: Person | None, now: datetime) -> tuple[Incident, str]:
    """Mutual help: who serves the place and lives nearest, neighbours before the property company."""
    del person
    decision = _nearest_neighbour(draft, incident, now)
    return (incident, "no_neighbour") if decision is None else (orders.order(draft, incident, decision, now, role=Role.NEIGHBOUR), "ordered")


def _station(draft: Draft, incident: Incident, person: Person | None, now: datetime) -> tuple[Incident, str]:
    """The nearest that fits, as for any alarm."""
    del person
    return orders.order_nearest(draft, incident, now), "ordered"


def _emergency(draft: Draft, incident: Incident, person: Person | None, now: datetime) -> tuple[Incident, str]:
    """The desk, as loudly as it goes: an operator calls 120 or 110, never the machine."""
    del person
    at = now + timedelta(seconds=draft.policy_for(Severity.CRITICAL).acknowledge_s)
    deadlines = {**incident.deadlines, "acknowledge": min(at, incident.deadlines.get("acknowledge", at))}
    flags = with_flags(incident.flags, add=(Flag.ESCALATED,))
    return apply(incident, Action.ESCALATE, now, flags=flags, severity=Severity.CRITICAL, deadlines=deadlines), "desk"


_STEPS: dict[str, Callable[[Draft, Incident, Person | None, datetime], tuple[Incident, str]]] = {
    "prompt": _prompt,
    "call": _call,
    "neighbour": _neighbour,
    "station": _station,
    "emergency": _emergency,
}


def _line_of(draft: Draft, device: Device) -> str:
    """The line over which a device can be told something: its own, or where one registered for any line was heard."""
    if device.line is not None:
        return device.line
    return next((line for line in sorted(draft.base.tell_lines) if draft.last_seen(f"{line}|{device.id}") is not None), "")


def _nearest_neighbour(draft: Draft, incident: Incident, now: datetime) -> Decision | None:
    asked = {leg.responder for leg in incident.legs}
    decision = draft.router.choose(teams.need_of(draft, incident, Role.NEIGHBOUR, now, asked), teams.around(draft, now))
    return decision if decision.responder != draft.router.desk.id else None
