"""What the map shows, as plain JSON values: pure. Who may not see a person's record gets a place of about a kilometre, never a door.

Everything is WGS-84; the page moves it where the base map wants it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np

from gateway.config import Config
from gateway.console.reader import Reader
from gateway.console.seam import JournalRow
from gateway.console.views import Json, coarse, kind_name
from gateway.core.duty import duty_of
from gateway.core.incident import OPEN_LEG, Flag, Incident, Role
from gateway.core.register import Register, Responder, ResponderKind
from gateway.core.routing import Candidate, Decision
from gateway.core.travel import Starts, StraightLine, TravelTimes, distance_km
from gateway.event import Position
from gateway.maps.boundary import Boundary
from gateway.roads.outline import outline
from gateway.roads.times import RoadTimes

COARSE_M = 1000  # metres: so far at most is a place from what `coarse` shows of it
FIXES = frozenset(("gnss", "network", "reported"))  # sources that say where the person is, and not where they live
LEAD = timedelta(minutes=2)  # the fix that came with the cry was taken shortly before it
TRACK_LIMIT = 500  # points, the newest
RESPONDERS_LIMIT = 2000  # on one map; a large district has five hundred
SPOTS_LIMIT = 2000  # squares with incidents
NAMED_LIMIT = 20  # incidents of one square that are named, the most urgent
# Whose place is somebody's home: not shown to everybody at a desk.
AT_HOME = frozenset((ResponderKind.NEIGHBOUR, ResponderKind.DOCTOR))


def responder_view(register: Register, responder: Responder, now: datetime) -> Json:
    """One that stands somewhere."""
    return {
        "id": responder.id,
        "name": responder.name,
        "kind": responder.kind,
        "kind_name": kind_name(register, responder.id),
        "lat": responder.lat,
        "lon": responder.lon,
        "on_duty": duty_of(register, responder, now).is_open,
    }


def responders_view(register: Register, reader: Reader, now: datetime) -> list[Json]:
    """Those who serve the reader's areas and work where they stand; people who help from their homes are shown with their incident alone."""
    shown = [
        responder_view(register, one, now)
        for one in register.responders.values()
        if one.lat is not None and one.lon is not None and one.kind not in AT_HOME and _serves(register, one, reader)
    ]
    return shown[:RESPONDERS_LIMIT]


def _serves(register: Register, responder: Responder, reader: Reader) -> bool:
    if not responder.areas or any(reader.covers(register, area) for area in responder.areas):
        return True
    return any(not set(responder.areas).isdisjoint(register.areas_above(area)) for area in reader.areas)


def boundary_view(found: Boundary | None, has: str) -> Json | None:
    """The boundary; its points are left out when the page has them already."""
    if found is None:
        return None
    said: Json = {"digest": found.digest, "source": found.source, "licence": found.licence, "imported_on": found.imported_on}
    return said if found.digest == has else said | {"polygons": found.polygons}


def center_of(config: Config, register: Register) -> tuple[float, float] | None:
    """Where the map begins."""
    if len(config.map.center) == 2:
        return config.map.center[0], config.map.center[1]
    if register.centre is not None:
        return register.centre
    known = [(one.lat, one.lon) for one in register.areas.values() if one.lat is not None and one.lon is not None]
    if not known:
        known = [(one.lat, one.lon) for one in register.responders.values() if one.lat is not None and one.lon is not None]
    return known[0] if known else None


def incident_map(
    register: Register,
    incident: Incident,
    rows: Iterable[JournalRow],
    decision: Decision | None,
    entitled: bool,
    travel: TravelTimes | None,
    config: Config,
    now: datetime,
) -> Json:
    """Where the person of one incident is, who could come from where, and the fifteen minutes around whoever is meant to."""
    person = register.persons.get(incident.person or "")
    home = (person.lat, person.lon) if person is not None and person.lat is not None and person.lon is not None else None
    position = incident.position
    fix = position if position is not None and position.source in FIXES else None
    known_km = {one.responder: one.km for one in decision.candidates} if decision is not None and entitled else {}
    origin = (position.lat, position.lon) if position is not None else home
    shown = None if origin is None else origin if entitled else coarse(*origin)
    return {
        "incident": incident.id,
        "now": now,
        "severity": incident.severity,
        "masked": not entitled,
        "coarse_m": None if entitled else COARSE_M,
        "home": _point(home, entitled) if home is not None else None,
        "fix": _fix(fix, entitled),
        "origin": None if shown is None else _point(shown, True) | {"of": "fix" if fix is not None else position.source if position else "home"},
        "track": track(incident, rows, now) if entitled else [],
        "candidates": [
            _candidate(register, one, decision, shown, known_km) for one in decision.candidates if _may_stand(register, one.responder, entitled)
        ]
        if decision is not None
        else [],
        "legs": [
            {"delivery": leg.delivery, "role": leg.role, "state": leg.state, "travel_min": leg.travel_min, "ordered_at": leg.ordered_at}
            | _where(register, leg.responder, shown, known_km)
            for leg in incident.legs
            if _may_stand(register, leg.responder, entitled)
        ],
        "circle": circle(register, incident, decision, travel, config, now),
    }


def _point(place: tuple[float, float], entitled: bool) -> Json:
    lat, lon = place if entitled else coarse(*place)
    return {"lat": round(lat, 6), "lon": round(lon, 6)}


def _fix(fix: Position | None, entitled: bool) -> Json | None:
    if fix is None:
        return None
    said: Json = {"source": fix.source, "accuracy_m": fix.accuracy_m, "fixed_at": fix.fixed_at, "datum": fix.datum}
    return _point((fix.lat, fix.lon), entitled) | said


def track(incident: Incident, rows: Iterable[JournalRow], now: datetime) -> list[Json]:
    """Where the person was while the incident was open, oldest first: nothing from before it, nothing from after."""
    until = incident.closed_at or now
    found: list[tuple[datetime, Json]] = []
    for row in rows:
        position = row.facts.get("position")
        if not isinstance(position, dict) or position.get("source", "gnss") not in FIXES:
            continue
        lat, lon, at = position.get("lat"), position.get("lon"), _time(position.get("fixed_at")) or row.at
        if isinstance(lat, float | int) and isinstance(lon, float | int) and incident.opened_at - LEAD <= at <= until:
            found.append((at, {"lat": round(lat, 6), "lon": round(lon, 6), "at": at, "accuracy_m": position.get("accuracy_m")}))
    return [point for _, point in sorted(found, key=lambda pair: pair[0])][-TRACK_LIMIT:]


def _time(value: object) -> datetime | None:
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None


def _may_stand(register: Register, name: str, entitled: bool) -> bool:
    known = register.responders.get(name)
    return known is not None and known.lat is not None and known.lon is not None and (entitled or known.kind not in AT_HOME)


def _candidate(
    register: Register, one: Candidate, decision: Decision, shown: tuple[float, float] | None, known_km: Mapping[str, float | None]
) -> Json:
    said: Json = {"verdict": one.verdict, "travel_min": one.travel_min, "travel": one.travel or decision.travel}
    return said | _where(register, one.responder, shown, known_km)


def _where(register: Register, name: str, shown: tuple[float, float] | None, known_km: Mapping[str, float | None]) -> Json:
    """Of one that stands somewhere: where, and how it lies as seen from the place that is shown, so that a masked place stays one.

    known_km: what the decision says, so that the map and the list of responders never differ.
    """
    known = register.responders[name]
    said: Json = {
        "responder": name,
        "name": known.name,
        "kind": known.kind,
        "kind_name": kind_name(register, name),
        "lat": known.lat,
        "lon": known.lon,
    }
    if shown is None or known.lat is None or known.lon is None:
        return said | {"km": None, "bearing": None}
    km = known_km.get(name)
    return said | {
        "km": round(distance_km(*shown, known.lat, known.lon), 1) if km is None else km,
        "bearing": round(bearing(*shown, known.lat, known.lon)) % 360,
    }


def bearing(lat: float, lon: float, to_lat: float, to_lon: float) -> float:
    """Initial course on the great circle, degrees from the north through the east."""
    a, b, east = math.radians(lat), math.radians(to_lat), math.radians(to_lon - lon)
    return math.degrees(math.atan2(math.sin(east) * math.cos(b), math.cos(a) * math.sin(b) - math.sin(a) * math.cos(b) * math.cos(east))) % 360


def circle(
    register: Register, incident: Incident, decision: Decision | None, travel: TravelTimes | None, config: Config, now: datetime
) -> Json | None:
    """How far whoever is meant to go comes in fifteen minutes: along roads that were prepared, else a circle. An estimate either way."""
    chosen = _chosen(register, incident, decision)
    if chosen is None or chosen.lat is None or chosen.lon is None:
        return None
    minutes = config.routing.circle_min
    said: Json = {
        "minutes": minutes,
        "responder": chosen.id,
        "name": chosen.name,
        "lat": chosen.lat,
        "lon": chosen.lon,
        "beyond": Flag.BEYOND_CIRCLE in incident.flags,
    }
    rings = outline(travel, chosen, minutes, now) if isinstance(travel, RoadTimes) else None
    if rings:
        return said | {"source": travel.name if travel else "", "km": None, "rings": rings}
    line = StraightLine(config.routing, register.calendar)
    per_km = float(line.minutes(Starts([chosen]), np.array([1.0]), chosen.lat, chosen.lon, now)[0])
    return said | {"source": line.name, "km": round(minutes / per_km, 3), "rings": None}


def _chosen(register: Register, incident: Incident, decision: Decision | None) -> Responder | None:
    """Who was ordered and has not refused; else who would be now; else the nearest that is named."""
    ordered = [leg.responder for leg in incident.legs if leg.role is Role.SOCIAL and leg.state in OPEN_LEG]
    now = [decision.responder or "", *(one.responder for one in decision.candidates)] if decision is not None else []
    names: Sequence[str] = [*ordered, *now]
    known = (register.responders.get(name) for name in names)
    return next((one for one in known if one is not None and one.lat is not None and one.kind not in AT_HOME), None)


def place_of(register: Register, incident: Incident) -> tuple[float, float] | None:
    """The best that is known of where an incident is."""
    if incident.position is not None:
        return incident.position.lat, incident.position.lon
    person = register.persons.get(incident.person or "")
    if person is not None and person.lat is not None and person.lon is not None:
        return person.lat, person.lon
    device = register.device(incident.line, incident.device)
    if device is not None and device.lat is not None and device.lon is not None:
        return device.lat, device.lon
    return register.area_position(incident.area or (person.area if person else None) or (device.area if device else None))


def overview(register: Register, incidents: Iterable[Incident]) -> Json:
    """Open incidents by squares of about a kilometre: nobody's door, and few points however many there are. `nowhere` counts the rest."""
    squares: dict[tuple[float, float], list[Incident]] = {}
    nowhere = 0
    for incident in incidents:
        place = place_of(register, incident)
        if place is None:
            nowhere += 1
        else:
            squares.setdefault(coarse(*place), []).append(incident)
    worst = sorted(squares.items(), key=lambda pair: min(one.severity.rank for one in pair[1]))
    spots = [_spot(lat, lon, sorted(here, key=lambda one: (one.severity.rank, one.id))) for (lat, lon), here in worst[:SPOTS_LIMIT]]
    return {"spots": spots, "nowhere": nowhere, "coarse_m": COARSE_M, "more": max(0, len(worst) - SPOTS_LIMIT)}


def _spot(lat: float, lon: float, here: list[Incident]) -> Json:
    return {"lat": lat, "lon": lon, "count": len(here), "severity": here[0].severity, "incidents": [one.id for one in here[:NAMED_LIMIT]]}
