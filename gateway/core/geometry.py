"""Where a point lies: in which area, by the polygons of areas.geojson. Plane geometry in degrees: right for areas of a few hundred kilometres.

Bounding boxes first, all at once; only the few whose box contains the point are looked at ring by ring.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from gateway.core.register import Area, AreaKind, Polygons, Register, Ring

# The finest first: a grid lies in a community, that in a street.
FINENESS = {
    AreaKind.GRID: 0,
    AreaKind.COMMUNITY: 1,
    AreaKind.VILLAGE: 1,
    AreaKind.STREET: 2,
    AreaKind.TOWN: 2,
    AreaKind.DISTRICT: 3,
    AreaKind.CITY: 4,
}
_PREPARED = "geometry"

Point = tuple[float, float]


class AreaMap:
    """The polygons of one register, finest area first, of equal kinds the smaller first."""

    __slots__ = ("_boxes", "_names", "_polygons")

    def __init__(self, polygons: dict[str, Polygons], areas: dict[str, Area]) -> None:
        known = [(FINENESS[areas[name].kind], _size(shape), name) for name, shape in polygons.items() if name in areas and shape]
        self._names = [name for _, _, name in sorted(known)]
        self._polygons = [polygons[name] for name in self._names]
        boxes = [bounds(shape) for shape in self._polygons]
        self._boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4).T.copy()

    def areas_at(self, lat: float, lon: float) -> Iterator[str]:
        """Every area that contains the point, the finest first. A point on a border belongs to both sides."""
        south, west, north, east = self._boxes
        for index in np.flatnonzero((south <= lat) & (lat <= north) & (west <= lon) & (lon <= east)).tolist():
            if contains(self._polygons[index], lat, lon):
                yield self._names[index]


def prepare(register: Register) -> AreaMap:
    """The map of this register, made at the first call."""
    areas = register.prepared.get(_PREPARED)
    if areas is None:
        areas = register.prepared[_PREPARED] = AreaMap(register.polygons, register.areas)
    made: AreaMap = areas
    return made


def area_of(register: Register, lat: float, lon: float) -> str | None:
    """Id of the finest area that contains this point (WGS-84); None where no polygon does."""
    return next(prepare(register).areas_at(lat, lon), None) if register.polygons else None


def contains(polygons: Polygons, lat: float, lon: float) -> bool:
    """Does one of the polygons contain the point? Holes do not, their borders and the outer ones do."""
    return any(_in_polygon(rings, lat, lon) for rings in polygons)


def bounds(polygons: Polygons) -> tuple[float, float, float, float]:
    """South, west, north, east of all border rings."""
    points = [point for rings in polygons for point in rings[0]]
    lats, lons = [lat for lat, _ in points], [lon for _, lon in points]
    return min(lats), min(lons), max(lats), max(lons)


def crossing(ring: Ring) -> Point | None:
    """A point where a closed ring touches or crosses itself; None for a simple one. Edges are compared only where their boxes overlap."""
    edges = list(pairwise(ring))
    count = len(edges)
    order = sorted(range(count), key=lambda index: min(edges[index][0][0], edges[index][1][0]))
    for place, index in enumerate(order):
        a, b = edges[index]
        north, west, east = max(a[0], b[0]), min(a[1], b[1]), max(a[1], b[1])
        for other in order[place + 1 :]:
            c, d = edges[other]
            if min(c[0], d[0]) > north:
                break
            if min(c[1], d[1]) > east or max(c[1], d[1]) < west:
                continue
            apart = (index - other) % count
            if apart in (1, count - 1):
                first, second = (edges[other], edges[index]) if apart == 1 else (edges[index], edges[other])
                if _turns_back(*first, second[1]):
                    return second[0]
            elif _meet(a, b, c, d):
                return c
    return None


def _size(polygons: Polygons) -> float:
    south, west, north, east = bounds(polygons)
    return (north - south) * (east - west)


def _in_polygon(rings: tuple[Ring, ...], lat: float, lon: float) -> bool:
    where = _side(rings[0], lat, lon)
    if where <= 0:
        return where == 0
    return all(_side(hole, lat, lon) <= 0 for hole in rings[1:])


def _side(ring: Ring, lat: float, lon: float) -> int:
    """1 inside, 0 on the ring, -1 outside: the even-odd rule with a ray to the east."""
    inside = False
    for (a_lat, a_lon), (b_lat, b_lon) in pairwise(ring):
        if a_lat == b_lat:
            if lat == a_lat and min(a_lon, b_lon) <= lon <= max(a_lon, b_lon):
                return 0
            continue
        if min(a_lat, b_lat) <= lat <= max(a_lat, b_lat):
            turn = (lon - a_lon) * (b_lat - a_lat) - (lat - a_lat) * (b_lon - a_lon)
            if turn == 0:
                return 0
            if (a_lat > lat) != (b_lat > lat) and (turn < 0) == (b_lat > a_lat):
                inside = not inside
    return 1 if inside else -1


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _turns_back(a: Point, b: Point, c: Point) -> bool:
    """Does the way a, b, c come back upon itself?"""
    return _turn(a, b, c) == 0 and (b[0] - a[0]) * (c[0] - b[0]) + (b[1] - a[1]) * (c[1] - b[1]) < 0


def _meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Have the edges a-b and c-d a point in common? Their boxes overlap."""
    first, second, third, fourth = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if (first > 0) == (second > 0) and first and second:
        return False
    return not ((third > 0) == (fourth > 0) and third and fourth)
