"""PIDF-LO: where somebody is, as a telephone network or a device reports it in a SIP body. `read_pidf` never raises.

Source: RFC 4119 and 5491 (shapes, which location counts), RFC 5139 (civic addresses), RFC 6442 (in SIP); sip-call-state, section 6.
Coordinates are WGS-84, latitude first (EPSG 4326, 4979). Other systems are not read: a wrong place is worse than none.
"""

import math
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from drivers.sip.xml_body import Element, MalformedXml, read_xml

MAX_CIVIC = 200  # an address is a line on a screen
MAX_METHOD = 32
METRES_PER_DEGREE = 111_195.0  # of latitude, on a sphere of 6 371 km

# Largest part first, as addresses are written in China; RFC 5139 table, the elements that help to find a door.
_CIVIC = ("A1", "A2", "A3", "A4", "A5", "A6", "PRD", "RD", "STS", "POD", "HNO", "HNS", "LMK", "NAM", "BLD", "UNIT", "FLR", "ROOM", "LOC")
_SYSTEMS = ("4326", "4979")  # two and three dimensions of WGS-84
_METRE = ("", "9001")
_SOURCES = {"gps": "gnss", "gnss": "gnss", "agps": "gnss", "a-gps": "gnss", "cell": "network", "otdoa": "network", "wiremap": "network"}


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """WGS-84 degrees, or only an address in words. lat and lon are both there or both absent; timestamp is aware UTC."""

    lat: float | None = None
    lon: float | None = None
    accuracy_m: float | None = None
    civic: str = ""
    method: str = ""
    timestamp: datetime | None = None

    @property
    def source(self) -> str:
        """The method as an event's position has it: gnss, network or reported (RFC 4119, 6.1; IANA method tokens)."""
        return _SOURCES.get(self.method.lower(), "reported")


def read_pidf(body: bytes) -> Place | None:
    """The place that counts (RFC 5491, rule 8: of a device, else of the first tuple, else of a person); None when there is none."""
    try:
        return place_in(read_xml(body))
    except MalformedXml:
        return None


def place_in(root: Element) -> Place | None:
    """`read_pidf` on XML that was read already (a CAP alert may carry one)."""
    holders = [root] if root.name in ("geopriv", "location-info") else [child for name in ("device", "tuple", "person") for child in root.all(name)]
    for holder in holders:
        place = _place_of(holder)
        if place is not None:
            return place
    return None


def _place_of(holder: Element) -> Place | None:
    infos = [holder] if holder.name == "location-info" else list(holder.all("location-info"))
    if not infos:
        return None
    shape: tuple[float, float, float | None] | None = None
    civic = ""
    for info in infos:
        for child in info.children:
            if child.name == "civicAddress":
                civic = civic or _civic(child)
            elif shape is None:
                shape = _shape(child)
    if shape is None and not civic:
        return None
    lat, lon, accuracy = shape or (None, None, None)
    return Place(
        lat=lat,
        lon=lon,
        accuracy_m=accuracy,
        civic=civic,
        method=_first(holder, "method")[:MAX_METHOD],
        timestamp=read_time(_first(holder, "timestamp")),
    )


def _first(holder: Element, name: str) -> str:
    return next((found.text for found in holder.all(name)), "")


def _civic(address: Element) -> str:
    parts = [address.value(name) for name in _CIVIC]
    return " ".join(part for part in parts if part)[:MAX_CIVIC]


def _shape(shape: Element) -> tuple[float, float, float | None] | None:
    """(lat, lon, accuracy in metres). A shape around a centre is its centre; a polygon its centroid and the farthest corner."""
    system = shape.attributes.get("srsName", "")
    if system and not system.endswith(_SYSTEMS):
        return None
    width = 3 if system.endswith("4979") else 2
    if shape.name in ("Polygon", "Prism"):
        return _polygon(_corners(shape, width))
    centre = _pair(shape.value("pos"))
    if centre is None:
        return None
    return *centre, next((size for name in ("radius", "semiMajorAxis", "outerRadius") if (size := _metres(shape.child(name))) is not None), None)


def _corners(shape: Element, width: int) -> list[tuple[float, float]]:
    """The outer ring: `pos` elements, or one `posList`; holes do not matter to who goes there."""
    ring = next(shape.all("exterior"), shape)
    listed = next(ring.all("posList"), None)
    if listed is None:
        pairs = [_pair(position.text) for position in ring.all("pos")]
        return [pair for pair in pairs if pair is not None]
    words = listed.text.split()
    return [pair for at in range(0, len(words) - 1, width) if (pair := _pair(" ".join(words[at : at + 2]))) is not None]


def _polygon(corners: list[tuple[float, float]]) -> tuple[float, float, float | None] | None:
    """Centroid by the shoelace formula, on longitudes shrunk to the latitude; corners in a line (no area) give their mean."""
    if len(corners) > 1 and corners[0] == corners[-1]:
        corners = corners[:-1]
    if len(corners) < 3:
        return None
    lat0, lon0 = corners[0]
    shrink = math.cos(math.radians(lat0))
    points = [(lat - lat0, (lon - lon0) * shrink) for lat, lon in corners]
    area = y = x = 0.0
    for (y1, x1), (y2, x2) in zip(points, [*points[1:], points[0]], strict=True):
        cross = x1 * y2 - x2 * y1
        area += cross
        y += (y1 + y2) * cross
        x += (x1 + x2) * cross
    if abs(area) < 1e-14:
        y, x = _mean(point[0] for point in points), _mean(point[1] for point in points)
    else:
        y, x = y / (3 * area), x / (3 * area)
    reach = max(math.hypot(point[0] - y, point[1] - x) for point in points) * METRES_PER_DEGREE
    centre = _checked(lat0 + y, lon0 + (x / shrink if shrink else 0.0))
    return None if centre is None else (*centre, round(reach, 1))


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def _metres(element: Element | None) -> float | None:
    if element is None or element.attributes.get("uom", "").rpartition(":")[2] not in _METRE:
        return None
    size = _number(element.text)
    return size if size is not None and 0 <= size < 1e8 else None


def _pair(text: str) -> tuple[float, float] | None:
    """`lat lon` or `lat lon altitude` (RFC 5491; some write commas)."""
    words = text.replace(",", " ").split()
    if len(words) < 2:
        return None
    lat, lon = _number(words[0]), _number(words[1])
    return None if lat is None or lon is None else _checked(lat, lon)


def _checked(lat: float, lon: float) -> tuple[float, float] | None:
    """In range, and not 0, 0 which is sent while there is no fix."""
    return (lat, lon) if -90 <= lat <= 90 and -180 <= lon <= 180 and (lat or lon) else None


def _number(text: str) -> float | None:
    try:
        value = float(text) if len(text) <= 40 else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def read_time(text: str) -> datetime | None:
    """xs:dateTime as aware UTC; without a zone it says nothing that we could use."""
    try:
        time = datetime.fromisoformat(text) if len(text) <= 40 else None
        return time.astimezone(UTC) if time is not None and time.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
