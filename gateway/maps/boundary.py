"""The boundary on the operators' map: imported once from somebody's GeoJSON, with where it comes from written into it. For orientation only.

Whose area a point is, areas.geojson says (gateway.register_areas). This is a line on a picture: nothing is decided by it.
"""

import hashlib
import math
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from gateway.coordinates import Datum, Place, is_reversed
from gateway.errors import GatewayError

FILE_LIMIT = 20 * 1024 * 1024  # bytes of what is imported: a province at ten metres
POINTS_LIMIT = 20_000  # of a boundary: 400 KB for every page that shows it; a district at 20 m has a few thousand
SPAN_LIMIT_DEG = 12.0  # wider is no city of China (Bayingolin, Nagqu and Hulunbuir are about 11 degrees of longitude)
WORDS_LIMIT = 300  # characters of source and licence
DATUMS = {"wgs84": Datum.WGS84, "gcj02": Datum.GCJ02, "bd09": Datum.BD09}
DIGITS = 6  # of a degree: a decimetre

# Signs that somebody's file has the border of a state in it: that is nobody's business here, and the law wants it drawn by others.
NATIONAL_KEYS = frozenset(("iso_a2", "iso_a3", "adm0_a3", "adm0_name", "iso3166-1", "iso3166-1:alpha2", "sov_a3", "sovereignt"))
NATIONAL_WORDS = re.compile(r"国界|國界|国境|國境|中华人民共和国|national border|international boundary|country border", re.IGNORECASE)
NATION_CODES = frozenset(("100000", "156100000"))  # the code of the whole country in Chinese data sets

Ring = tuple[tuple[float, float], ...]


class Boundary(msgspec.Struct, frozen=True, kw_only=True):
    """polygons: of rings of (latitude, longitude), WGS-84. source, licence, imported_on, from_crs: where it comes from. digest: names its content."""

    polygons: tuple[tuple[Ring, ...], ...]
    source: str
    licence: str
    imported_on: str
    from_crs: str
    digest: str

    @property
    def points(self) -> int:
        return sum(len(ring) for rings in self.polygons for ring in rings)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """South, west, north, east."""
        return _bounds(self.polygons)


def convert(data: bytes, crs: str, source: str, licence: str, on: date) -> bytes:
    """What is imported (GeoJSON, RFC 7946, in `crs`) → the file that the gateway shows, WGS-84. Raises GatewayError with the remedy."""
    for name, value in (("--source", source), ("--licence", licence)):
        if not value.strip() or len(value) > WORDS_LIMIT or not value.isprintable():
            raise GatewayError(f"{name} is missing: say in at most {WORDS_LIMIT} characters whose data these are and what may be done with them")
    if len(data) > FILE_LIMIT:
        raise GatewayError(f"the file has more than {FILE_LIMIT // 1024 // 1024} MB; simplify the border, 20 m are exact enough for orientation")
    polygons = [[_ring(ring, DATUMS[crs]) for ring in rings] for rings in _polygons(_decoded(data))]
    if not polygons:
        raise GatewayError("the file has no polygon; draw the border as a closed polygon")
    points = sum(len(ring) for rings in polygons for ring in rings)
    if points > POINTS_LIMIT:
        raise GatewayError(f"the border has {points} points, more than {POINTS_LIMIT}; simplify it, 20 m are exact enough for orientation")
    south, west, north, east = _bounds(polygons)
    if max(north - south, east - west) > SPAN_LIMIT_DEG:
        raise GatewayError(f"the border is wider than {SPAN_LIMIT_DEG:g} degrees: import that of a district or city, never that of a state")
    made = {
        "type": "FeatureCollection",
        "datum": "wgs84",
        "provenance": {"source": source.strip(), "licence": licence.strip(), "imported_on": on.isoformat(), "from_crs": crs},
        "features": [
            {
                "type": "Feature",
                "properties": {},
                "geometry": {"type": "MultiPolygon", "coordinates": [[[[lon, lat] for lat, lon in ring] for ring in rings] for rings in polygons]},
            }
        ],
    }
    return msgspec.json.encode(made) + b"\n"


def read(file: Path) -> Boundary:
    """A boundary that `convert` made. Raises GatewayError with the remedy."""
    try:
        size = file.stat().st_size
        data = file.read_bytes() if size <= FILE_LIMIT else b""
    except OSError as error:
        raise GatewayError(f"{file} cannot be read ({error.strerror}); correct map.boundary, or run gateway map import") from error
    try:
        given = _decoded(data)
        provenance = given.get("provenance")
        said = {key: provenance[key] for key in ("source", "licence", "imported_on", "from_crs")} if isinstance(provenance, dict) else {}
        if not (said and all(isinstance(value, str) and value for value in said.values())):
            raise GatewayError("nobody says where it comes from; run gateway map import")
        polygons = tuple(tuple(_ring(ring, Datum.WGS84) for ring in rings) for rings in _polygons(given))
        boundary = Boundary(polygons=polygons, digest=hashlib.sha256(data).hexdigest()[:12], **said)
        if not polygons or boundary.points > POINTS_LIMIT:
            raise GatewayError(f"has no polygon, or more than {POINTS_LIMIT} points; run gateway map import")
    except (GatewayError, KeyError) as error:
        raise GatewayError(f"{file}: {error}") from error
    return boundary


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        given = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise GatewayError(f"is no JSON ({str(error)[:100]}); save it again as GeoJSON, in UTF-8") from error
    if not isinstance(given, dict):
        raise GatewayError("is no GeoJSON; save it again as a FeatureCollection")
    return given


def _polygons(given: dict[str, Any]) -> Iterator[list[Any]]:
    """The rings of each polygon, as they stand."""
    kind = given.get("type")
    if kind == "FeatureCollection" and isinstance(given.get("features"), list):
        features = given["features"]
    elif kind in ("Feature", "Polygon", "MultiPolygon"):
        features = [given]
    else:
        raise GatewayError("is no FeatureCollection; save it again as GeoJSON (RFC 7946)")
    for number, feature in enumerate(features, 1):
        if not isinstance(feature, dict):
            raise GatewayError(f"feature {number} is none; save it again as GeoJSON")
        _refuse_states(feature.get("properties"), number)
        geometry = feature.get("geometry") if feature.get("type") == "Feature" else feature
        shape = geometry.get("type") if isinstance(geometry, dict) else None
        rings = geometry.get("coordinates") if isinstance(geometry, dict) else None
        if shape not in ("Polygon", "MultiPolygon") or not isinstance(rings, list):
            raise GatewayError(f"feature {number} is neither Polygon nor MultiPolygon; import the closed border of the district alone")
        for one in [rings] if shape == "Polygon" else rings:
            if not isinstance(one, list) or not one:
                raise GatewayError(f"feature {number} has no ring; draw the border as a closed polygon")
            yield one


def _refuse_states(properties: Any, number: int) -> None:
    """Raises GatewayError when a feature looks like a state or its border."""
    for key, value in properties.items() if isinstance(properties, dict) else ():
        name = str(key).lower()
        is_state = (
            (name in NATIONAL_KEYS and value) or (name == "admin_level" and str(value) == "2") or (name == "adcode" and str(value) in NATION_CODES)
        )
        if is_state or (isinstance(value, str) and NATIONAL_WORDS.search(value)):
            raise GatewayError(
                f"feature {number} looks like the border of a state (its property {key}); this map never draws one: import the district alone"
            )


def _ring(given: Any, datum: Datum) -> Ring:
    if not isinstance(given, list) or len(given) < 4:
        raise GatewayError("a ring has fewer than four points; a ring has three corners and ends where it began")
    points = []
    for pair in given:
        if not (isinstance(pair, list | tuple) and len(pair) >= 2 and all(type(value) in (int, float) for value in pair[:2])):
            raise GatewayError("a point is no pair of numbers; write [longitude, latitude]")
        lon, lat = float(pair[0]), float(pair[1])
        if is_reversed(lat, lon):
            raise GatewayError("latitude and longitude are exchanged; GeoJSON has [longitude, latitude]")
        if not (math.isfinite(lat) and math.isfinite(lon) and -85 <= lat <= 85 and -180 <= lon <= 180):
            raise GatewayError(f"{lon:g}, {lat:g} is no place on a map; coordinates are degrees, not metres")
        place = Place(lat, lon, datum).into(Datum.WGS84)
        points.append((round(place.lat, DIGITS), round(place.lon, DIGITS)))
    if points[0] != points[-1]:
        raise GatewayError("a ring is not closed; let its last point be the first again")
    return tuple(points)


def _bounds(polygons: Any) -> tuple[float, float, float, float]:
    points = [point for rings in polygons for ring in rings for point in ring]
    lats, lons = [lat for lat, _ in points], [lon for _, lon in points]
    return min(lats), min(lons), max(lats), max(lons)
