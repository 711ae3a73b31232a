"""Routing, first form: the nearest suitable responder on duty with capacity; when nobody fits, up the tree; always an answer.

Every decision names each candidate it looked at and why it was taken or passed over, and the version of the data it
used. For an emergency time and capability alone decide (domain 5.3).
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta, timezone
from math import acos, cos, radians, sin

import msgspec
import numpy as np
from numpy.typing import NDArray

from gateway.core.register import Register, Responder, ResponderKind
from gateway.event import Kind, Position

CHINA = timezone(timedelta(hours=8), "Asia/Shanghai")  # one zone, no summer time since 1991
EARTH_KM = 6371.0088  # mean radius, IUGG
DETOUR = 1.3  # road over straight line, an estimate until a router is configured (console design, 11)
CIRCLE_MIN = 15.0  # the fifteen-minute circle (domain 2.5)
LOOKED_AT = 8  # nearest candidates examined first; all of them only when none of these fits
NAMED = 50  # candidates that a decision names one by one; of those farther away it counts how many were passed over for which reason
SHOWN = 3  # fitting candidates kept in a decision (console design, rule 7)

FIRST_TO_GO = frozenset((ResponderKind.STATION,))
ALSO_FOR_ILLNESS = FIRST_TO_GO | {ResponderKind.HEALTH_STATION}
ILLNESS = frozenset((Kind.MEDICAL, Kind.HEART_RATE_ABNORMAL, Kind.BREATHING_ABNORMAL, Kind.TEMP_ABNORMAL))

DESK = Responder(id="desk", name="desk", kind=ResponderKind.DESK, channel="console", capacity=1_000_000)


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """One responder looked at. verdict: chosen, fits, off_duty, at_capacity, already_asked."""

    responder: str
    verdict: str
    km: float | None = None
    travel_min: float | None = None
    load: int = 0
    capacity: int = 0


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who is sent and why. rule: nearest, parent (up the tree), desk, operator. register: version of the data used."""

    responder: str
    rule: str
    register: str
    at: datetime
    position: Position | None = None
    travel_min: float | None = None
    candidates: tuple[Candidate, ...] = ()
    farther: dict[str, int] = {}


def is_on_duty(hours: str, now: datetime) -> bool:
    """Is `now` within local HH:MM-HH:MM? Past midnight is allowed; "" means always."""
    if not hours:
        return True
    start, end = (int(part[:2]) * 60 + int(part[3:5]) for part in hours.split("-"))
    local = now.astimezone(CHINA)
    minute = local.hour * 60 + local.minute
    return start <= minute < end if start < end else minute >= start or minute < end


def distance_km(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Great-circle distance between two WGS-84 points, on a sphere."""
    return float(EARTH_KM * 2 * np.arcsin(np.linalg.norm(_unit(lat, lon) - _unit(other_lat, other_lon)) / 2))


def travel_min(km: float, responder: Responder) -> float:
    """Minutes on the way: an estimate, distance × detour ÷ speed."""
    return round(km * DETOUR / responder.speed_kmh * 60, 1)


class Router:
    """The responders of one register, indexed. Unit vectors on the sphere: one dot product finds the nearest, exactly."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._index = {kinds: _Index(register, kinds) for kinds in (FIRST_TO_GO, ALSO_FOR_ILLNESS)}
        self._serving = _serving(register)
        self.desk = next((r for r in register.responders.values() if r.kind is ResponderKind.DESK), DESK)

    def responder(self, name: str) -> Responder | None:
        """The responder with this id; the desk always exists."""
        return self._register.responders.get(name) or (self.desk if name == self.desk.id else None)

    def nearest(
        self,
        kind: Kind,
        position: Position | None,
        area: str | None,
        now: datetime,
        load: Callable[[str], int],
        asked: Collection[str] = (),
        choices: int = 1,
    ) -> Decision:
        """The nearest that fits; with no position or nobody fitting, up the tree from the area's own responder.

        choices: how many fitting candidates to name (the first is chosen).
        """
        seen: list[Candidate] = []
        chosen: Candidate | None = None
        first: Responder | None = None
        if position is not None:
            index = self._index[ALSO_FOR_ILLNESS if kind in ILLNESS else FIRST_TO_GO]
            fitting = 0
            for responder, km in index.by_distance(position.lat, position.lon):
                first = first or responder
                candidate = _judge(responder, km, now, load, asked)
                if candidate.verdict == "fits":
                    fitting += 1
                    if chosen is None:
                        candidate = chosen = msgspec.structs.replace(candidate, verdict="chosen")
                seen.append(candidate)
                if fitting >= choices:
                    break
        if chosen is not None:
            return self._decision(chosen, "nearest", now, position, seen)
        start = first.parent if first is not None else self._centre_of(area)
        return self._climb(start, now, position, load, asked, seen)

    def above(self, responder: str, position: Position | None, now: datetime, load: Callable[[str], int], asked: Collection[str]) -> Decision:
        """Whom to ask when this responder was silent or declined: up the tree, in the end the desk."""
        known = self.responder(responder)
        return self._climb(known.parent if known else None, now, position, load, asked, [])

    def look_at(self, responder: Responder, position: Position | None, now: datetime, load: Callable[[str], int]) -> Candidate:
        """What there is to say about one responder."""
        return _judge(responder, _km(responder, position), now, load, ())

    def _climb(
        self, start: str | None, now: datetime, position: Position | None, load: Callable[[str], int], asked: Collection[str], seen: list[Candidate]
    ) -> Decision:
        passed: set[str] = set()
        name = start
        while name is not None and name not in passed:
            passed.add(name)
            responder = self.responder(name)
            if responder is None or responder.kind is ResponderKind.DESK:
                break
            candidate = _judge(responder, _km(responder, position), now, load, asked)
            if candidate.verdict == "fits":
                chosen = msgspec.structs.replace(candidate, verdict="chosen")
                return self._decision(chosen, "parent", now, position, [*seen, chosen])
            seen.append(candidate)
            name = responder.parent
        chosen = Candidate(self.desk.id, "chosen")
        return self._decision(chosen, "desk", now, position, [*seen, chosen])

    def _centre_of(self, area: str | None) -> str | None:
        """The responder that serves the area, or the nearest area above it."""
        seen: set[str] = set()
        while area is not None and area not in seen:
            seen.add(area)
            serving = self._serving.get(area)
            if serving is not None:
                return serving
            node = self._register.areas.get(area)
            area = node.parent if node else None
        return next((r.id for r in self._register.responders.values() if r.kind is ResponderKind.DISTRICT_CENTRE), None)

    def _decision(self, chosen: Candidate, rule: str, now: datetime, position: Position | None, seen: list[Candidate]) -> Decision:
        named, rest = seen[:NAMED], seen[NAMED:]
        if chosen in rest:
            rest.remove(chosen)
            named.append(chosen)
        return Decision(
            responder=chosen.responder,
            rule=rule,
            register=self._register.version,
            at=now,
            position=position,
            travel_min=chosen.travel_min,
            candidates=tuple(named),
            farther=dict(Counter(candidate.verdict for candidate in rest)),
        )


def _serving(register: Register) -> dict[str, str]:
    """Area → the responder that serves it, stations before centres."""
    serving: dict[str, str] = {}
    for kind in (ResponderKind.STATION, ResponderKind.STREET_CENTRE, ResponderKind.DISTRICT_CENTRE):
        for responder in register.responders.values():
            if responder.kind is kind:
                for area in responder.areas:
                    serving.setdefault(area, responder.id)
    return serving


class _Index:
    """Responders of some kinds that have coordinates, as a matrix of unit vectors."""

    def __init__(self, register: Register, kinds: frozenset[ResponderKind]) -> None:
        self.responders = [r for r in register.responders.values() if r.kind in kinds and r.lat is not None and r.lon is not None]
        points = [_unit(r.lat or 0.0, r.lon or 0.0) for r in self.responders]
        self.vectors: NDArray[np.float64] = np.array(points) if points else np.empty((0, 3))

    def by_distance(self, lat: float, lon: float) -> Iterator[tuple[Responder, float]]:
        """(responder, km), nearest first: the nearest by one pass, then the few next, then the rest, each only if somebody asks."""
        responders = self.responders
        if not responders:
            return
        cosines = self.vectors @ _unit(lat, lon)
        nearest = int(cosines.argmax())  # mostly it fits and nobody asks for more
        yield responders[nearest], _km_of_cosine(cosines[nearest])
        few = min(LOOKED_AT, len(responders))
        head = np.argpartition(cosines, -few)[-few:]
        head = head[np.argsort(-cosines[head], kind="stable")]
        told = {nearest}
        for i in head.tolist():
            if i not in told:
                told.add(i)
                yield responders[i], _km_of_cosine(cosines[i])
        for i in np.argsort(-cosines, kind="stable").tolist():
            if i not in told:
                yield responders[i], _km_of_cosine(cosines[i])


def _judge(responder: Responder, km: float | None, now: datetime, load: Callable[[str], int], asked: Collection[str]) -> Candidate:
    carrying = load(responder.id)
    if responder.id in asked:
        verdict = "already_asked"
    elif not is_on_duty(responder.hours, now):
        verdict = "off_duty"
    elif carrying >= responder.capacity:
        verdict = "at_capacity"
    else:
        verdict = "fits"
    minutes = travel_min(km, responder) if km is not None else None
    return Candidate(responder.id, verdict, None if km is None else round(km, 3), minutes, carrying, responder.capacity)


def _km(responder: Responder, position: Position | None) -> float | None:
    if position is None or responder.lat is None or responder.lon is None:
        return None
    return distance_km(position.lat, position.lon, responder.lat, responder.lon)


def _km_of_cosine(cosine: float) -> float:
    return EARTH_KM * acos(min(1.0, max(-1.0, float(cosine))))


def _unit(lat: float, lon: float) -> NDArray[np.float64]:
    phi, lam = radians(lat), radians(lon)
    return np.array((cos(phi) * cos(lam), cos(phi) * sin(lam), sin(phi)))
