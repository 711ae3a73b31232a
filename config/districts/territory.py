"""What generate.py writes about responders beyond who they are: rosters, a calendar, loans, providers, agreements, polygons. All invented.

The calendar alone is real: 2026 as the State Council announced it, of 2027 only the days that the law fixes. Check it against the notice of the year.
"""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

Row = dict[str, object]
Point = tuple[float, float]

ROSTERS = ("responder", "days", "hours", "since", "until", "staff", "people")
CALENDAR = ("date", "kind", "name")
LOANS = ("id", "lender", "borrower", "since", "until", "staff", "skills")
PROVIDERS = (
    "id",
    "state",
    "since",
    "until",
    "services",
    "urgent",
    "response_min",
    "grade",
    "scale",
    "assessor",
    "graded_on",
    "grade_until",
    "points",
)
AGREEMENTS = ("id", "helper", "helped", "since", "until", "kinds", "duties", "response_min", "both", "model")

SINCE, UNTIL = "2026-01-01", "2035-12-31"  # so far away that an example does not expire under its readers

_HOLIDAYS = (  # month-day of the first and the last
    (2026, "01-01", "01-03", "元旦"), (2026, "02-15", "02-23", "春节"), (2026, "04-04", "04-06", "清明节"), (2026, "05-01", "05-05", "劳动节"),
    (2026, "06-19", "06-21", "端午节"), (2026, "09-25", "09-27", "中秋节"), (2026, "10-01", "10-07", "国庆节"),
    (2027, "01-01", "01-01", "元旦"), (2027, "02-05", "02-08", "春节"), (2027, "04-05", "04-05", "清明节"), (2027, "05-01", "05-02", "劳动节"),
    (2027, "06-09", "06-09", "端午节"), (2027, "09-15", "09-15", "中秋节"), (2027, "10-01", "10-03", "国庆节"),
)  # fmt: skip
_WORKED = ("2026-01-04", "2026-02-14", "2026-02-28", "2026-05-09", "2026-09-20", "2026-10-10")


def calendar() -> list[Row]:
    """Holidays and worked weekend days."""
    rows: list[Row] = []
    for year, first, last, name in _HOLIDAYS:
        month, begin, end = int(first[:2]), int(first[3:]), int(last[3:])
        rows += ({"date": f"{year}-{month:02d}-{day:02d}", "kind": "holiday", "name": name} for day in range(begin, end + 1))
    rows += ({"date": day, "kind": "workday", "name": "调休上班"} for day in _WORKED)
    return sorted(rows, key=lambda row: str(row["date"]))


def rosters(responders: Iterable[Row], fewer_at_night: bool) -> list[Row]:
    """Stations and care centres: by day as many as their capacity, one on weekends and at night; or the same at all hours, by name."""
    rows: list[Row] = []
    for number, one in enumerate((one for one in responders if one["kind"] in ("station", "care_centre")), 1):
        name, hours = one["id"], one["hours"]
        if not fewer_at_night:
            if not hours:  # the capacity of responders.csv; here stands who it is
                rows.append({"responder": name, "hours": "08:00-20:00", "people": f"staff-{number:03d}a"})
                rows.append({"responder": name, "hours": "20:00-08:00", "people": f"staff-{number:03d}b"})
            continue
        day = hours or "08:00-20:00"
        two = one["capacity"] == 2
        people = f"staff-{number:03d}a;staff-{number:03d}b" if two else f"staff-{number:03d}a"
        rows.append({"responder": name, "days": "1-5", "hours": day, "staff": one["capacity"], "people": people})
        rows.append({"responder": name, "days": "6-7", "hours": day, "staff": 1, "people": f"staff-{number:03d}b"})
        if not hours:
            rows.append({"responder": name, "hours": "20:00-08:00", "staff": 1, "people": f"staff-{number:03d}c"})
        if number == 1:  # closed at the turn of the year, whatever else stands here
            rows.append({"responder": name, "since": "2026-12-31", "until": "2027-01-01", "staff": 0})
    return rows


def loans(responders: Sequence[Row]) -> list[Row]:
    """One neighbour helps another out for a month."""
    stations = [one for one in responders if one["kind"] == "station" and one["capacity"] == 2]
    if len(stations) < 2:
        return []
    lender, borrower = stations[0]["id"], stations[1]["id"]
    return [
        {"id": "loan-1", "lender": lender, "borrower": borrower, "since": "2026-03-01", "until": "2026-03-31", "staff": 1, "skills": "rehabilitation"}
    ]


SERVICES = ("life_care;housekeeping", "meals", "health;rehabilitation", "life_care;comfort", "housekeeping;meals")
ASSESSOR = "虚构第三方评估中心"


def providers(responders: Iterable[Row], points: bool) -> list[Row]:
    """A row for every provider and care centre, with stars of two scales; the last provider on probation."""
    rows: list[Row] = []
    hired = [one for one in responders if one["kind"] in ("provider", "care_centre")]
    for number, one in enumerate(hired, 1):
        scale = 3 if number % 8 == 0 else 5  # 三星、二星级 exist beside five stars (domain 5.8)
        row: Row = {
            "id": one["id"], "state": "probation" if number == len(hired) and number > 3 else "admitted", "since": SINCE, "until": UNTIL,
            "services": SERVICES[number % len(SERVICES)], "urgent": "yes", "response_min": 15 + 5 * (number % 4),
            "grade": 1 + number % scale if number % 9 else "", "scale": scale,
        }  # fmt: skip
        if row["grade"]:
            row.update(assessor=ASSESSOR, graded_on="2026-01-15", grade_until=UNTIL)
        if points:
            row["points"] = 10 * (number * 7 % 13)
        rows.append(row)
    return rows


def pairs(responders: Iterable[Row]) -> list[Row]:
    """Every rural house has a partner in town (domain 3.3); the first two of these are models and support two and one."""
    stations = [str(one["id"]) for one in responders if one["kind"] == "station"]
    urban, rural = ([one for one in stations if one.startswith(f"station-{letter}")] for letter in "ur")
    rows = []
    for number, helped in enumerate(rural):
        helper = urban[number % len(urban)]
        rows.append(aid(f"aid-{number + 1:02d}", helper, helped, "农村站点人手不足时，城区结对站点派员支援", 45, model=helper in urban[:2]))
    return rows


def aid(name: str, helper: str, helped: str, duties: str, minutes: int, both: bool = False, model: bool = False) -> Row:
    """One agreement about everything."""
    row: Row = {
        "id": name,
        "helper": helper,
        "helped": helped,
        "since": SINCE,
        "until": UNTIL,
        "kinds": "all",
        "duties": duties,
        "response_min": minutes,
    }
    return row | {"both": "yes" if both else "no", "model": "yes" if model else "no"}


def write_areas(path: Path, areas: Sequence[Row], streets: bool) -> None:
    """areas.geojson: for each place that people live in whatever is nearer to it than to any other (no real border); streets of these."""
    middles = ("street", "town") if streets else ()  # the middle of a street is nobody's community, and still in the street
    leaves = [area for area in areas if area["kind"] in ("community", "village", *middles)]
    lats, lons = [float(str(one["lat"])) for one in leaves], [float(str(one["lon"])) for one in leaves]
    margin = 0.05  # degrees, five kilometres
    south, north, west, east = min(lats) - margin, max(lats) + margin, min(lons) - margin, max(lons) + margin
    frame = [(south, west), (south, east), (north, east), (north, west)]
    cells = dict(zip((str(one["id"]) for one in leaves), _nearest(list(zip(lats, lons, strict=True)), frame), strict=True))
    features = [_feature(str(areas[0]["id"]), "Polygon", [_ring(frame)])]
    for area in areas:
        if streets and area["kind"] in ("street", "town"):
            features.append(
                _feature(
                    str(area["id"]), "MultiPolygon", [[_ring(cells[str(one["id"])])] for one in leaves if area["id"] in (one["parent"], one["id"])]
                )
            )
    features += [_feature(str(one["id"]), "Polygon", [_ring(cells[str(one["id"])])]) for one in leaves if one["kind"] not in middles]
    for grid in (area for area in areas if area["kind"] == "grid"):  # half of its community, on its side
        near, far = (next(area for area in areas if area["id"] == name) for name in (grid["id"], _other_half(str(grid["id"]))))
        half = _cut(cells[str(grid["parent"])], _point(near), _point(far))
        features.append(_feature(str(grid["id"]), "Polygon", [_ring(half)]))
    head = '{"type": "FeatureCollection", "datum": "wgs84", "features": ['
    path.write_text(head + "\n" + ",\n".join(features) + "\n]}\n", encoding="utf-8")


def _other_half(name: str) -> str:
    return name[:-1] + ("2" if name.endswith("1") else "1")


def _point(area: Row) -> Point:
    return float(str(area["lat"])), float(str(area["lon"]))


def _feature(area: str, kind: str, coordinates: object) -> str:
    return json.dumps({"type": "Feature", "properties": {"area": area}, "geometry": {"type": kind, "coordinates": coordinates}}, ensure_ascii=False)


def _ring(corners: Sequence[Point]) -> list[list[float]]:
    """Closed, [longitude, latitude], without corners that rounding makes one."""
    rounded = [[round(lon, 5), round(lat, 5)] for lat, lon in corners]
    ring = [point for number, point in enumerate(rounded) if point != rounded[number - 1]]
    return [*ring, ring[0]]


def _nearest(points: Sequence[Point], frame: Sequence[Point]) -> list[list[Point]]:
    """For each point the part of the frame that is nearer to it than to the others: cut by the middle line to every other."""
    cosine = math.cos(math.radians(points[0][0]))
    flat = [(lat, lon * cosine) for lat, lon in points]
    cells = []
    for number, own in enumerate(flat):
        cell = [(lat, lon * cosine) for lat, lon in frame]
        others = sorted((other for place, other in enumerate(flat) if place != number), key=lambda other: math.dist(own, other))
        for other in others:
            if math.dist(own, other) > 2 * max(math.dist(own, corner) for corner in cell):
                break  # farther ones cut nothing off
            cell = _cut(cell, own, other)
        cells.append([(lat, lon / cosine) for lat, lon in cell])
    return cells


def _cut(cell: list[Point], own: Point, other: Point) -> list[Point]:
    """The part of a convex cell that is nearer to `own`."""

    def nearer(point: Point) -> float:
        return math.dist(point, other) ** 2 - math.dist(point, own) ** 2

    kept = []
    for before, corner in zip([cell[-1], *cell], cell, strict=False):
        a, b = nearer(before), nearer(corner)
        if (a < 0) != (b < 0):
            part = a / (a - b)
            kept.append((before[0] + part * (corner[0] - before[0]), before[1] + part * (corner[1] - before[1])))
        if b >= 0:
            kept.append(corner)
    return kept
