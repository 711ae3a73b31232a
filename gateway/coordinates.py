"""WGS-84, GCJ-02 and BD-09: a Place knows its datum, so that nothing is converted twice; mainland China alone is shifted.

Satellites say WGS-84, Amap and Tencent GCJ-02, Baidu BD-09: three names of one spot, 20 to 700 m apart, for Baidu up to 1.5 km.
"""

import math
from collections.abc import Callable
from enum import StrEnum

import msgspec

UNKNOWN_M = 700.0  # the largest shift of GCJ-02: so far off may be a point of which nobody says in which datum it is

_AXIS, _ECCENTRICITY = 6_378_245.0, 0.00669342162296594323  # Krasovsky 1940, metres and e²
_BAIDU = math.pi * 3000 / 180
_EXACT = 1e-9  # degrees, a tenth of a millimetre
_ROUNDS = 10  # two or three are enough

# The rectangle of the public formula, a little wider: outside it nothing is computed.
_SOUTH, _NORTH, _WEST, _EAST = 0.8, 55.9, 72.0, 137.9

# Mainland China, (lat, lon): drawn after the public-domain map of Natural Earth, 0.2 degrees outward and simplified. It decides about
# a shift and draws no border: a town at the frontier counts as mainland, and so may a village across it.
_OUTLINE = (
    (22.76, 116.59), (21.15, 111.42), (20.55, 111.08), (19.54, 111.21), (18.54, 110.56), (17.97, 109.59), (18.48, 108.48), (20.84, 108.65),
    (21.79, 106.55), (22.67, 106.39), (23.08, 105.31), (22.31, 104.01), (22.5, 102.54), (22.19, 101.78), (20.96, 101.83), (21.01, 101.16),
    (21.49, 100.97), (21.26, 100.08), (21.84, 99.72), (22.05, 98.97), (22.87, 99.15), (23.07, 98.69), (23.91, 98.46), (23.89, 97.32),
    (24.82, 97.35), (26.65, 98.54), (27.37, 98.48), (28.14, 97.8), (28.25, 96.39), (29.15, 95.98), (29.05, 94.61), (27.64, 92.51),
    (27.56, 91.6), (28.14, 90.08), (27.12, 88.88), (27.87, 88.62), (27.69, 85.93), (30.14, 81.91), (29.84, 81.01), (31.18, 78.59),
    (32.62, 78.2), (32.73, 79.26), (33.42, 78.61), (34.27, 78.66), (35.24, 77.8), (35.63, 76.07), (36.49, 75.72), (36.98, 74.24),
    (37.5, 74.72), (38.36, 74.58), (38.46, 73.66), (39.53, 73.45), (40.7, 74.76), (40.62, 76.35), (41.19, 76.77), (41.25, 78.03),
    (42.22, 80.01), (43.45, 80.49), (45.04, 79.71), (45.41, 82.13), (47.4, 82.96), (47.25, 85.36), (48.48, 85.56), (48.69, 86.43),
    (49.31, 86.84), (49.35, 87.9), (48.36, 88.77), (47.8, 90.49), (46.61, 91.24), (45.42, 90.99), (45.14, 93.57), (44.46, 95.49),
    (42.94, 96.53), (42.73, 101.57), (41.83, 104.98), (42.48, 106.73), (42.94, 110.28), (43.83, 111.64), (44.42, 111.2), (45.27, 111.89),
    (44.95, 113.58), (45.57, 114.46), (45.64, 115.58), (46.76, 117.34), (46.81, 119.66), (47.79, 118.44), (47.49, 115.89), (48.17, 115.32),
    (50.0, 116.59), (49.72, 117.79), (50.19, 119.07), (50.52, 118.98), (52.15, 120.52), (52.85, 119.86), (53.47, 120.83), (53.76, 123.63),
    (53.24, 125.71), (52.24, 126.73), (49.81, 127.87), (49.05, 130.77), (47.89, 131.13), (48.42, 134.85), (47.62, 134.95), (47.22, 134.4),
    (44.98, 133.26), (45.06, 131.85), (44.72, 131.26), (42.76, 131.24), (42.33, 130.52), (42.76, 129.99), (42.27, 129.81), (41.81, 128.38),
    (41.19, 128.21), (41.49, 126.76), (40.74, 126.13), (39.34, 123.6), (38.34, 122.81), (36.75, 122.65), (36.46, 121.34), (35.64, 120.39),
    (34.9, 120.21), (33.72, 120.73), (30.78, 122.72), (29.76, 122.58), (27.34, 121.27), (26.37, 120.18), (25.03, 119.69),
)  # fmt: skip
# What lies within the outline and is not shifted. Here a kilometre counts: the Shenzhen river parts two cities.
_EXCEPT = (
    (  # Hong Kong
        (22.14, 113.83), (22.33, 113.83), (22.42, 113.88), (22.46, 113.94), (22.485, 113.985), (22.497, 114.028), (22.505, 114.058),
        (22.516, 114.063), (22.522, 114.086), (22.529, 114.083), (22.535, 114.091), (22.535, 114.108), (22.529, 114.116), (22.538, 114.13),
        (22.539, 114.148), (22.552, 114.155), (22.5635, 114.173), (22.557, 114.19), (22.556, 114.23), (22.56, 114.245), (22.56, 114.31),
        (22.57, 114.36), (22.57, 114.44), (22.5, 114.46), (22.14, 114.5),
    ),
    (  # Macau
        (22.2165, 113.537), (22.2155, 113.552), (22.2, 113.575), (22.1, 113.6), (22.1, 113.54), (22.14, 113.543), (22.152, 113.532),
        (22.163, 113.54), (22.172, 113.541), (22.178, 113.526), (22.19, 113.522), (22.2, 113.529), (22.212, 113.533),
    ),
    ((24.36, 118.2), (24.47, 118.21), (24.535, 118.3), (24.535, 118.5), (24.36, 118.5)),  # Kinmen
    ((25.93, 119.88), (26.27, 119.9), (26.27, 120.05), (25.93, 120.0)),  # Matsu
)  # fmt: skip


class Datum(StrEnum):
    """In which system a pair of degrees is meant."""

    WGS84 = "wgs84"
    GCJ02 = "gcj02"
    BD09 = "bd09"
    UNKNOWN = "unknown"


class Place(msgspec.Struct, frozen=True):
    """A point as its datum has it, degrees. Only `into` makes another datum of it: a Place that is converted cannot be converted again."""

    lat: float
    lon: float
    datum: Datum = Datum.WGS84

    def into(self, datum: Datum) -> "Place":
        """The same spot in another datum; outside mainland China all are the same. Unknown stays unknown, and nothing becomes unknown.

        Exact to a millimetre both ways; within 700 m of Hong Kong and Macau a shifted point counts as one of the mainland.
        """
        if datum is self.datum or Datum.UNKNOWN in (datum, self.datum):
            return self
        true = self._true()
        if not is_mainland(*true):
            return Place(self.lat, self.lon, datum)
        if datum is not Datum.WGS84:
            true = _gcj(*true)
        if datum is Datum.BD09:
            true = _bd(*true)
        return Place(*true, datum)

    def _true(self) -> tuple[float, float]:
        """WGS-84, if it lies in the mainland."""
        point = (self.lat, self.lon)
        if self.datum is Datum.WGS84 or not _is_near(*point):
            return point
        if self.datum is Datum.BD09:
            point = _before(_bd, *point)
        return _before(_gcj, *point)


def is_mainland(lat: float, lon: float) -> bool:
    """Does this WGS-84 point lie in mainland China (without Hong Kong, Macau and Taiwan)? Rough at the frontier and at sea."""
    return _is_near(lat, lon) and _is_inside(_OUTLINE, lat, lon) and not any(_is_inside(ring, lat, lon) for ring in _EXCEPT)


def is_reversed(lat: float, lon: float) -> bool:
    """Do these look like longitude and latitude exchanged? In China latitude is 3 to 54 and longitude 73 to 136; elsewhere this knows nothing.

    To be told to a person: exchanging them silently would hide the fault.
    """
    return 73 <= lat <= 136 and 3 <= lon <= 54


def _is_near(lat: float, lon: float) -> bool:
    return _SOUTH <= lat <= _NORTH and _WEST <= lon <= _EAST  # False for NaN too


def _is_inside(ring: tuple[tuple[float, float], ...], lat: float, lon: float) -> bool:
    """Even-odd rule: a ray to the east crosses the ring an odd number of times."""
    inside = False
    before_lat, before_lon = ring[-1]
    for to_lat, to_lon in ring:
        if (to_lat > lat) != (before_lat > lat) and lon < to_lon + (lat - to_lat) * (before_lon - to_lon) / (before_lat - to_lat):
            inside = not inside
        before_lat, before_lon = to_lat, to_lon
    return inside


def _gcj(lat: float, lon: float) -> tuple[float, float]:
    """GCJ-02 of WGS-84: the formula as published by several projects."""
    x, y = lon - 105.0, lat - 35.0
    pi, sin = math.pi, math.sin
    common = 20 * sin(6 * pi * x) + 20 * sin(2 * pi * x)
    north = -100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * math.sqrt(abs(x))
    north += 2 / 3 * (common + 20 * sin(pi * y) + 40 * sin(pi * y / 3) + 160 * sin(pi * y / 12) + 320 * sin(pi * y / 30))
    east = 300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * math.sqrt(abs(x))
    east += 2 / 3 * (common + 20 * sin(pi * x) + 40 * sin(pi * x / 3) + 150 * sin(pi * x / 12) + 300 * sin(pi * x / 30))
    m = 1 - _ECCENTRICITY * sin(math.radians(lat)) ** 2
    s = math.sqrt(m)
    north *= 180 * m * s / (_AXIS * (1 - _ECCENTRICITY) * pi)
    east *= 180 * s / (_AXIS * math.cos(math.radians(lat)) * pi)
    return lat + north, lon + east


def _bd(lat: float, lon: float) -> tuple[float, float]:
    """BD-09 of GCJ-02."""
    r = math.hypot(lon, lat) + 0.00002 * math.sin(lat * _BAIDU)
    t = math.atan2(lat, lon) + 0.000003 * math.cos(lon * _BAIDU)
    return r * math.sin(t) + 0.006, r * math.cos(t) + 0.0065


def _before(shift: Callable[[float, float], tuple[float, float]], lat: float, lon: float) -> tuple[float, float]:
    """The point that `shift` moves to this one. There is no closed form: it is approached until nothing changes any more."""
    at_lat, at_lon = lat, lon
    for _ in range(_ROUNDS):
        shifted_lat, shifted_lon = shift(at_lat, at_lon)
        off_lat, off_lon = shifted_lat - lat, shifted_lon - lon
        at_lat, at_lon = at_lat - off_lat, at_lon - off_lon
        if abs(off_lat) < _EXACT and abs(off_lon) < _EXACT:
            break
    return at_lat, at_lon
