"""Who is told that is not asked to come: the family, at the moments they agreed to; the home district of somebody who is elsewhere.

A notice whose state is pending is the outbox (gateway.dispatch.notices delivers it). It decides nothing: help comes whether a daughter could
be told or not. Under duress nobody is told: nothing may ring beside whoever threatens the person (event model, kinds).
"""

import msgspec

from gateway.core.incident import COMING, INFORMED, Flag, Incident, Notice, State
from gateway.core.providers import local_day
from gateway.core.register import AreaKind, Contact, Register, Responder, ResponderKind
from gateway.event import ALARM_KINDS, Kind, Severity

ALARM, COMES, OVER = "alarm", "coming", "over"
MOMENTS = ("", ALARM, COMES, OVER)  # what is told only ever advances; after it was over, a new cry begins anew
DISTRICT_IS_TOLD = frozenset((ALARM, OVER))
FAMILY_CHANNEL = "sms"  # of contacts that name none
LIMIT = 64  # notices of one incident; re-opened again and again it tells no more
CENTRES = frozenset((ResponderKind.DISTRICT_CENTRE, ResponderKind.CITY_CENTRE))


def with_notices(incident: Incident, register: Register) -> Incident:
    """The incident with whatever is now to be told. Costs next to nothing where nobody is to be told."""
    if incident.silent:
        return unsaid(incident)
    person = register.persons.get(incident.person) if incident.person else None
    if person is None or incident.kind not in ALARM_KINDS or incident.severity.rank > Severity.MAJOR.rank:
        return incident
    if incident.kind is Kind.DURESS:
        return unsaid(incident)
    family = [(place, one) for place, one in enumerate(person.contacts) if one.tell]
    if not family and not incident.visiting:
        return incident
    moment = _moment(incident)
    today = local_day(incident.changed_at).isoformat()
    wanted = [
        (f"contact:{person.id}:{place}", one.channel or FAMILY_CHANNEL) for place, one in family if moment in one.tell and has_agreed(one, today)
    ]
    if incident.visiting and moment in DISTRICT_IS_TOLD:
        centre = centre_of(register, incident.visiting)
        if centre is not None:
            wanted.append((f"district:{incident.visiting}", centre.channel))
    if not moment or not wanted:
        return incident
    new = tuple(
        Notice(id=f"{incident.id}.{to}.{moment}.{_rounds(incident, to)}", to=to, moment=moment, channel=channel, at=incident.changed_at)
        for to, channel in wanted
        if MOMENTS.index(_last(incident, to, moment)) < MOMENTS.index(moment)
    )
    if not new or sum(not one.to.startswith("responder:") for one in incident.notices) + len(new) > LIMIT:
        return incident  # what a chain of escalation tells responders has a bound of its own (gateway.core.chain)
    again = {one.to for one in new}
    kept = tuple(msgspec.structs.replace(one, state="overtaken") if one.state == "pending" and one.to in again else one for one in incident.notices)
    return msgspec.structs.replace(incident, notices=(*kept, *new))


def has_agreed(contact: Contact, day: str) -> bool:
    """Is the consent of this contact on record, and not of a day to come?"""
    return bool(contact.consent_on) and contact.consent_on <= day


def settled(incident: Incident, name: str, reason: str) -> tuple[Incident, Notice | None]:
    """What became of one notice: "" = sent, else why not. (incident after it, the notice as it is now; None: known already, or gone)."""
    notice = next((one for one in incident.notices if one.id == name and one.state == "pending"), None)
    if notice is None:
        return incident, None
    done = msgspec.structs.replace(notice, state="failed" if reason else "sent", reason=reason)
    kept = tuple(done if one.id == name else one for one in incident.notices)
    return msgspec.structs.replace(incident, notices=kept, version=incident.version + 1), done


def contact_of(register: Register, notice: Notice) -> Contact | None:
    """The contact whom it is for, if the register still has them in that place, agreed to this moment, by this channel."""
    _, _, rest = notice.to.partition(":")
    name, _, place = rest.rpartition(":")
    person = register.persons.get(name)
    if person is None or not place.isdecimal() or int(place) >= len(person.contacts):
        return None
    contact = person.contacts[int(place)]
    is_same = notice.moment in contact.tell and (contact.channel or FAMILY_CHANNEL) == notice.channel
    return contact if is_same and has_agreed(contact, local_day(notice.at).isoformat()) else None


def centre_of(register: Register, area: str) -> Responder | None:
    """The district centre that serves this area, or what lies above it."""
    centres = _centres(register)
    seen: set[str] = set()
    name: str | None = area
    while name is not None and name not in seen:
        seen.add(name)
        if name in centres:
            return centres[name]
        node = register.areas.get(name)
        name = node.parent if node is not None else None
    return centres.get("")


def district_of(register: Register, area: str | None) -> str:
    """The district, or what stands for it, that this area lies in; "" = not known."""
    found, seen = "", set[str]()
    while area is not None and area not in seen:
        seen.add(area)
        node = register.areas.get(area)
        if node is None:
            break
        found = area
        if node.kind is AreaKind.DISTRICT:
            return area
        area = node.parent
    return found


def _centres(register: Register) -> dict[str, Responder]:
    """Area → its district centre; "" → the only one there is."""
    known: dict[str, Responder] | None = register.prepared.get("centres")
    if known is None:
        mine = [one for one in register.responders.values() if one.kind in CENTRES]
        known = {area: one for one in sorted(mine, key=lambda one: one.kind is ResponderKind.DISTRICT_CENTRE) for area in one.areas}
        districts = [one for one in mine if one.kind is ResponderKind.DISTRICT_CENTRE]
        if len(districts) == 1:
            known.setdefault("", districts[0])
        register.prepared["centres"] = known
    return known


def _moment(incident: Incident) -> str:
    if Flag.MAINTENANCE in incident.flags:
        return ""  # somebody tries a device: no family is frightened by it
    if incident.state in (State.RESOLVED, State.CLOSED):
        return OVER if incident.merged_into is None else ""  # merged: the other one goes on
    return COMES if any(leg.state in COMING and leg.role not in INFORMED for leg in incident.legs) else ALARM


def _last(incident: Incident, to: str, moment: str) -> str:
    """The furthest that they were told in this round; what comes after it was over begins a new one."""
    words = [one.moment for one in incident.notices if one.to == to]
    if not words or (words[-1] == OVER and moment != OVER):
        return ""
    return words[-1]


def _rounds(incident: Incident, to: str) -> int:
    return sum(one.moment == OVER for one in incident.notices if one.to == to)


def unsaid(incident: Incident) -> Incident:
    """There was a cry under duress: what has not left yet stays unsaid."""
    if not any(one.state == "pending" for one in incident.notices):
        return incident
    kept = tuple(msgspec.structs.replace(one, state="overtaken") if one.state == "pending" else one for one in incident.notices)
    return msgspec.structs.replace(incident, notices=kept)
