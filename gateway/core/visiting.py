"""Somebody is far from where they are registered (异地, 候鸟式养老: domain 3.6, 3.7): help goes by where they are, the home district is told.

One person stays one record: the key of the incident is the person's, wherever they cry.
"""

import msgspec

from gateway.core.geometry import FINENESS, area_of
from gateway.core.incident import Incident
from gateway.core.notices import district_of
from gateway.core.register import Person, Register
from gateway.core.travel import distance_km
from gateway.event import Position

FIXES = frozenset(("gnss", "network", "reported"))  # sources of a position that say where the person is, and not where they live
AT_HOME_KM = 1.0  # nobody is visiting so near to home: the cheap answer for nearly everybody
_MIDDLES = "middles"


def placed(register: Register, incident: Incident, visiting_km: float) -> Incident:
    """The incident with the area where its person is, and that of registration if they are in another district."""
    person = register.persons.get(incident.person) if incident.person else None
    if person is None or person.area is None:
        return incident
    area = whereabouts(register, person, incident.position, visiting_km)
    if area is None:
        if not incident.visiting:
            return incident
        return msgspec.structs.replace(incident, area=person.area, visiting="")  # at home again
    return msgspec.structs.replace(incident, area=area or incident.area, visiting=person.area)


def whereabouts(register: Register, person: Person, position: Position | None, visiting_km: float) -> str | None:
    """The area of another district in which they are; "" = elsewhere, and nobody of ours knows the place; None = in their own, as far as known."""
    if position is None or position.source not in FIXES or person.area is None:
        return None
    far = _km_from_home(register, person, position)
    if far is not None and far <= AT_HOME_KM:
        return None
    found = area_of(register, position.lat, position.lon)
    if found is None:
        if far is None or far <= visiting_km:
            return None
        found = _nearest_area(register, position, visiting_km)
        if found is None:
            return ""
    return found if district_of(register, found) != district_of(register, person.area) else None


def _km_from_home(register: Register, person: Person, position: Position) -> float | None:
    if person.lat is not None and person.lon is not None:
        return distance_km(person.lat, person.lon, position.lat, position.lon)
    middle = register.area_position(person.area)
    return distance_km(*middle, position.lat, position.lon) if middle is not None else None


def _nearest_area(register: Register, position: Position, within_km: float) -> str | None:
    """The area whose middle is nearest, if it is near at all. Asked only of somebody far from home."""
    middles: list[tuple[int, str, float, float]] | None = register.prepared.get(_MIDDLES)
    if middles is None:
        known = (one for one in register.areas.values() if one.lat is not None and one.lon is not None)
        middles = [(FINENESS[one.kind], one.id, one.lat or 0.0, one.lon or 0.0) for one in known]
        register.prepared[_MIDDLES] = middles
    found = min(((distance_km(lat, lon, position.lat, position.lon), fine, name) for fine, name, lat, lon in middles), default=None)
    return found[2] if found is not None and found[0] <= within_km else None
