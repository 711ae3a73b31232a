"""What an order says to whom: least data by role and by class of responder (domain 4.5, 4.12). One table, and the JSON made from it."""

import msgspec

from gateway.core.incident import OPEN_LEG, Flag, Incident, Leg, LegState, Role
from gateway.core.register import Person, Register, ResponderKind
from gateway.event import KINDS, Group

LOOK = frozenset(("name", "address"))
KNOWN = frozenset(("id", "name", "address", "risks", "age"))
TREATED = KNOWN | {"health"}

# Which parts of a person's record the holder of a role is told.
SHOWN: dict[Role, frozenset[str]] = {
    Role.SOCIAL: KNOWN,
    Role.MEDICAL: TREATED,
    Role.NEIGHBOUR: LOOK,
    Role.DOCTOR: TREATED,
    Role.HOSPITAL: TREATED | {"summary"},
    Role.EMERGENCY: TREATED,
    Role.SERVICE: LOOK | {"service"},
}
# Whatever role they are given by mistake, these learn no more: they have no duty of confidence.
AT_MOST: dict[ResponderKind, frozenset[str]] = {ResponderKind.NEIGHBOUR: LOOK, ResponderKind.PROPERTY: LOOK}
PLEASE_LOOK = "please_look"  # in place of the kind of an alarm that would say something about somebody's health
WENT = OPEN_LEG | {LegState.DONE}


def shown_to(leg: Leg, register: Register) -> frozenset[str]:
    """The parts of the record that this order may hold."""
    responder = register.responders.get(leg.responder)
    most = AT_MOST.get(responder.kind) if responder is not None else None
    return SHOWN[leg.role] if most is None else SHOWN[leg.role] & most


def order_body(incident: Incident, leg: Leg, register: Register) -> bytes:
    """The JSON that leaves: the order, or the notice that it is withdrawn or taken."""
    if leg.pending.startswith("taken_by:"):
        return msgspec.json.encode({"delivery": leg.delivery, "incident": incident.id, "taken_by": leg.pending.partition(":")[2]})
    if leg.pending == "withdrawn":
        return msgspec.json.encode({"delivery": leg.delivery, "incident": incident.id, "withdrawn": True, "reason": leg.reason})
    shown = shown_to(leg, register)
    person = register.persons.get(incident.person) if incident.person else None
    position = incident.position
    is_look = "id" not in shown
    body: dict[str, object] = {
        "delivery": leg.delivery,
        "incident": incident.id,
        "kind": _kind(incident, is_look=is_look and leg.role is not Role.SERVICE),
        "severity": incident.severity,
        "device": incident.device if not is_look else None,
        "ts": leg.ts,
        "repeat": leg.repeat,
        "person": _person(person, shown, leg) if person is not None else _caller(incident, shown),
        "position": {"lat": position.lat, "lon": position.lon, "source": position.source} if position else None,
        "travel_min": leg.travel_min,
        "reply_by": leg.reply_by,
    }
    also = tuple(kind for kind in incident.also if not is_look or KINDS[kind].group is Group.ENVIRONMENT)
    if also:
        body["also"] = also
    if Flag.ENDED in incident.flags:
        body["ended"] = True
    if leg.role is not Role.SOCIAL:
        body["role"] = leg.role
    if "service" in shown:
        body |= {"service": incident.service, "wanted_at": incident.wanted_at}
        if incident.wish:
            body["wish"] = incident.wish  # filed with the promise that nothing about health is in it
    if "summary" in shown:
        body["summary"] = _summary(incident, person, register)
    return msgspec.json.encode(body)


def _kind(incident: Incident, *, is_look: bool) -> str:
    """A neighbour must know that it burns, and need not know what ails somebody."""
    return PLEASE_LOOK if is_look and KINDS[incident.kind].group is not Group.ENVIRONMENT else incident.kind.value


def _person(person: Person, shown: frozenset[str], leg: Leg) -> dict[str, object]:
    facts: dict[str, object] = {"id": person.id, "name": person.name, "address": person.address, "risks": person.risks}
    if person.born is not None:
        facts["age"] = leg.ordered_at.year - person.born
    health = health_of(person)
    if health:
        facts["health"] = health
    return {name: fact for name, fact in facts.items() if name in shown}


def _caller(incident: Incident, shown: frozenset[str]) -> dict[str, object] | None:
    """Who and where, as a caller said whom the register does not have; what it is about stays with the desk."""
    record = incident.record
    if record is None:
        return None
    return {name: fact for name, fact in {"name": record.name, "address": record.address}.items() if fact and name in shown} or None


def health_of(person: Person) -> dict[str, str]:
    """The short health summary (domain 4.12): what is known of it."""
    facts = {"conditions": person.conditions, "medicines": person.medicines, "allergies": person.allergies, "blood": person.blood}
    return {name: fact for name, fact in (facts | {"note": person.health_note}).items() if fact}


def _summary(incident: Incident, person: Person | None, register: Register) -> dict[str, object]:
    """For a hospital: what happened, when, who is with the person, which relatives there are. No number of anybody."""
    went = [leg for leg in incident.legs if leg.state in WENT and leg.role not in (Role.HOSPITAL, Role.DOCTOR) and leg.answered_at is not None]
    return {
        "what": (incident.kind, *incident.also),
        "since": incident.opened_at,
        "cries": incident.cries,
        "there": [
            {"name": known.name if (known := register.responders.get(leg.responder)) else leg.responder, "role": leg.role, "state": leg.state}
            | ({"arrived_at": leg.arrived_at} if leg.arrived_at else {})
            for leg in went
        ],
        "relatives": [contact.relation for contact in person.contacts if contact.relation] if person is not None else [],
    }
