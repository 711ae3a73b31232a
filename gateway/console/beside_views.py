"""What stands beside the orders of an incident, as plain JSON values: who was told, by which ways it reached us, where else its person is at home."""

from collections.abc import Callable

from gateway.core.incident import Incident, Notice, State
from gateway.core.register import Register

Json = dict[str, object]


def beside_view(register: Register, incident: Incident) -> Json:
    """sources, notices and visiting of the middle pane. Relations and districts, never a name or a number."""
    home = register.areas.get(incident.visiting)
    return {
        "sources": [{"way": one.way, "of": one.of, "at": one.at} for one in incident.sources],
        "notices": [_notice(register, one) for one in incident.notices],
        "visiting": (home.name if home else incident.visiting) or None,
        "visiting_id": incident.visiting or None,
    }


def parts_view(incident: Incident, may_be_named: Callable[[str], bool]) -> list[Json]:
    """What can get an incident of its own: devices that cried in it ("line|address") and its call. None where nothing would be left."""
    if incident.service or incident.state not in (State.RAISED, State.ACKNOWLEDGED):
        return []
    own = [(incident.line, incident.device)] if incident.device else []
    cried = dict.fromkeys([*((one.line, one.device) for one in incident.sounded), *own])
    is_several = incident.entries > 1
    devices = cried if len(cried) > 1 or incident.call is not None or is_several else {}
    parts: list[Json] = [{"what": "device", "id": f"{line}|{device}", "name": device} for line, device in devices if may_be_named(device)]
    return [*parts, {"what": "call", "id": incident.call, "name": ""}] if incident.call is not None and is_several else parts


def _notice(register: Register, notice: Notice) -> Json:
    who, _, name = notice.to.partition(":")
    return {
        "who": "family" if who == "contact" else who,
        "name": _name(register, who, name),
        "moment": notice.moment,
        "channel": notice.channel,
        "state": notice.state,
        "reason": notice.reason,
        "at": notice.at,
    }


def _name(register: Register, who: str, name: str) -> str:
    if who == "contact":
        person, _, place = name.rpartition(":")
        known = register.persons.get(person)
        contacts = known.contacts if known is not None else ()
        return contacts[int(place)].relation if place.isdecimal() and int(place) < len(contacts) else ""
    if who == "district":
        area = register.areas.get(name)
        return area.name if area is not None else name
    responder = register.responders.get(name)
    return responder.name if responder is not None else name
