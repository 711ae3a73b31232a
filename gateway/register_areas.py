"""Reads areas.geojson (RFC 7946): where the areas of areas.csv lie. Every fault names the feature and the ring.

A FeatureCollection of Polygons and MultiPolygons. `area` of a feature's properties is the area's id; `datum`, there or beside "features", says in
which system the coordinates are written (wgs84, as the standard has it, if nothing is said); all become WGS-84 here.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.coordinates import Datum, Place, is_reversed
from gateway.core.geometry import contains, crossing
from gateway.core.register import Area, Polygons, Ring
from gateway.csv_file import FileFaults, read_bytes
from gateway.register_reading import Reading

FILE = "areas.geojson"
RING_LIMIT = 20_000  # points of one ring: ten times the border of a province at 100 m; more is a map, not an area
DATUMS = (Datum.WGS84, Datum.GCJ02, Datum.BD09)


class _Fault(Exception):
    """One thing wrong with a feature; whatever is read next belongs to another."""

    def __init__(self, what: str, remedy: str, where: str = "") -> None:
        super().__init__(what)
        self.what, self.remedy, self.where = what, remedy, where


def read_polygons(reading: Reading, areas: Mapping[str, Area]) -> dict[str, Polygons]:
    """Area id → its polygons; {} without a file. Faults stand in the reading, doubts too (a middle that lies outside its area)."""
    faults = FileFaults(reading.folder / FILE)
    reading.faults.append(faults)
    if not faults.path.exists():
        return {}
    data = read_bytes(faults.path, faults)
    reading.digest.update(FILE.encode() + b"\0" + hashlib.sha256(data).digest())
    features, datum = _features(data, faults)
    found: dict[str, Polygons] = {}
    first: dict[str, int] = {}
    for number, feature in enumerate(features, 1):
        try:
            name = _area_of(feature)
            if reading.lacks("areas.csv", areas, name):
                raise _Fault("there is no area with this id", "add it to areas.csv or correct the id", ": area")
            if name in first:
                raise _Fault(f"stands in feature {first[name]} too", "make one MultiPolygon of both", ": area")
            first[name] = number
            found[name] = _polygons(feature, datum)
        except _Fault as fault:
            faults.add(0, f"feature {number}{fault.where}", fault.what, fault.remedy)
    outside = [name for name, shape in found.items() if name in areas and _is_outside(areas[name], shape)]
    reading.warn("middle_outside", faults, outside)
    return found


def _features(data: bytes, faults: FileFaults) -> tuple[list[Any], str]:
    """The features as they stand and the datum of the whole file."""
    if faults.count:
        return [], ""
    try:
        given = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        faults.add(0, "", f"is no JSON ({str(error)[:100]})", "save it again as GeoJSON, in UTF-8")
        return [], ""
    if not isinstance(given, dict) or given.get("type") != "FeatureCollection" or not isinstance(given.get("features"), list):
        faults.add(0, "", "is no FeatureCollection", 'begin with {"type": "FeatureCollection", "features": […]} (RFC 7946, 3.3)')
        return [], ""
    datum = given.get("datum", "wgs84")
    if datum not in DATUMS:
        faults.add(0, "datum", "is not a word of the list", "write wgs84, gcj02 (Amap, Tencent) or bd09 (Baidu)")
        datum = "wgs84"
    return given["features"], datum


def _area_of(feature: Any) -> str:
    properties = feature.get("properties") if isinstance(feature, dict) else None
    name = properties.get("area") if isinstance(properties, dict) else None
    if not isinstance(name, str) or not name:
        raise _Fault("has no property area", 'write the id of areas.csv, as in "properties": {"area": "east-street"}')
    return name


def _polygons(feature: dict[str, Any], datum: str) -> Polygons:
    datum = feature["properties"].get("datum", datum)
    if datum not in DATUMS:
        raise _Fault("is not a word of the list", "write wgs84, gcj02 (Amap, Tencent) or bd09 (Baidu)", ": datum")
    geometry: Any = feature.get("geometry")
    if not isinstance(geometry, dict):
        geometry = {}
    kind = geometry.get("type")
    if kind not in ("Polygon", "MultiPolygon"):
        raise _Fault("is neither Polygon nor MultiPolygon", "draw the border as a closed polygon", ": geometry")
    given = geometry.get("coordinates")
    polygons = [given] if kind == "Polygon" else given
    if not isinstance(polygons, list) or not polygons:
        raise _Fault("has no coordinates", "draw the border as a closed polygon", ": geometry")
    return tuple(_polygon(rings, Datum(datum), f": polygon {number}" if kind == "MultiPolygon" else "") for number, rings in enumerate(polygons, 1))


def _polygon(rings: Any, datum: Datum, where: str) -> tuple[Ring, ...]:
    if not isinstance(rings, list) or not rings:
        raise _Fault("has no ring", "draw the border as a closed polygon", where)
    read = tuple(_ring(ring, datum, f"{where}: ring {number}") for number, ring in enumerate(rings, 1))
    for number, hole in enumerate(read[1:], 2):
        if not all(contains(((read[0],),), *point) for point in hole):
            raise _Fault("lies outside the border, of which it should be a hole", "make it a polygon of its own", f"{where}: ring {number}")
    return read


def _ring(given: Any, datum: Datum, where: str) -> Ring:
    if not isinstance(given, list) or len(given) < 4:
        raise _Fault("has fewer than four points", "a ring has three corners and ends where it began", where)
    if len(given) > RING_LIMIT:
        raise _Fault(f"has more than {RING_LIMIT} points", "simplify the border", where)
    points = []
    for number, pair in enumerate(given, 1):
        if not (isinstance(pair, list) and len(pair) >= 2 and all(type(value) in (int, float) for value in pair[:2])):
            raise _Fault(f"point {number} is no pair of numbers", "write [longitude, latitude]", where)
        lon, lat = pair[:2]
        if is_reversed(lat, lon):
            raise _Fault(f"point {number}: latitude and longitude are exchanged", "GeoJSON has [longitude, latitude]", where)
        if not (-90 <= lat <= 90 and -180 <= lon <= 180):  # of a number too large for a float too
            raise _Fault(f"point {number} is no place on earth", "write [longitude, latitude] in degrees", where)
        points.append((float(lat), float(lon)))
    if points[0] != points[-1]:
        raise _Fault("is not closed", "let its last point be the first again", where)
    if datum is not Datum.WGS84:
        points = [(place.lat, place.lon) for place in (Place(lat, lon, datum).into(Datum.WGS84) for lat, lon in points)]
    ring = tuple(point for point, before in zip(points, (None, *points), strict=False) if point != before)
    if len(ring) < 4:
        raise _Fault("has fewer than three different corners", "draw the border as a closed polygon", where)
    at = crossing(ring)
    if at is not None:
        raise _Fault(f"crosses or touches itself near {at[1]:.5f}, {at[0]:.5f}", "draw the border again without the loop", where)
    return ring


def _is_outside(area: Area, shape: Polygons) -> bool:
    return area.lat is not None and area.lon is not None and not contains(shape, area.lat, area.lon)
