"""Coverage as one HTML page without script: a map of squares with the stations, a table of areas, the targets; both languages; made to be printed."""

from collections.abc import Sequence
from html import escape
from math import cos, radians

from gateway.config.coverage import CoverageConfig
from gateway.core.register import Register, Responder
from gateway.core.travel import STRAIGHT_LINE
from gateway.report.charts import share
from gateway.report.coverage_figures import AreaReach, Cell, Coverage
from gateway.report.month_page import STYLE
from gateway.report.words import label, say

MAP_WIDTH = 760  # of the drawing, in its own units
GOOD, FAIR = 0.9, 0.5  # shares from which a square is green, or amber
MORE = """
svg.map { border: 1px solid var(--line); background: #f6f8fa }
svg.map rect.good { fill: #2e9e5b }
svg.map rect.fair { fill: #e6a117 }
svg.map rect.bad { fill: #cf3b30 }
svg.map rect.few { fill: #c9d1db }
svg.map path { fill: none; stroke: #8796a8; stroke-width: 1 }
svg.map circle { fill: #123a7a; stroke: #fff; stroke-width: 1 }
.legend { display: flex; gap: 18px; flex-wrap: wrap; font-size: 13px; color: var(--soft) }
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 2px; margin-right: 5px; vertical-align: -1px }
svg.share { width: 70px }
td small { white-space: nowrap }
"""
COLOURS = (("good", "#2e9e5b"), ("fair", "#e6a117"), ("bad", "#cf3b30"), ("few", "#c9d1db"), ("station", "#123a7a"))


class _Plane:
    """Degrees onto the drawing: north is up, a degree of longitude as wide as it is in the middle of the map."""

    def __init__(self, points: Sequence[tuple[float, float]], side: float) -> None:
        lats, lons = [lat for lat, _ in points], [lon for _, lon in points]
        self.south, self.west = min(lats) - side, min(lons) - side
        self.north, east = max(lats) + 2 * side, max(lons) + 2 * side
        self._narrow = cos(radians((self.south + self.north) / 2))
        self._scale = MAP_WIDTH / max((east - self.west) * self._narrow, 1e-9)
        self.height = (self.north - self.south) * self._scale

    def at(self, lat: float, lon: float) -> tuple[float, float]:
        return (lon - self.west) * self._narrow * self._scale, (self.north - lat) * self._scale

    def size(self, side: float) -> tuple[float, float]:
        return side * self._narrow * self._scale, side * self._scale


def page(coverage: Coverage, register: Register, going: Sequence[Sequence[Responder]], config: CoverageConfig, language: str) -> str:
    """The whole page. going: who is on duty at each moment."""

    def word(name: str, **values: object) -> str:
        return escape(say(language, name, **values))

    hours = [f"{at:%H:%M}" for at in coverage.times]
    name = register.names.get(language) or register.name
    maps = ""
    for place, hour in enumerate(hours):
        drawn = _map(coverage.cells, place, going[place], register, config, f"{say(language, 'coverage.map')} {hour}")
        maps += f"<h3>{hour} · {word('coverage.open', count=len(going[place]))}</h3>{drawn}"
    legend = "".join(f'<span><i style="background:{colour}"></i>{word(f"coverage.{kind}")}</span>' for kind, colour in COLOURS)
    head = "".join(f'<th class=n scope="col">{text}</th>' for hour in hours for text in (hour, ""))
    rows = []
    below = [one for one in coverage.areas if (one.name, one.persons) != (coverage.whole.name, coverage.whole.persons)]  # the district once
    for one in (coverage.whole, *sorted(below, key=_least)):
        shares = "".join(
            f"<td class=n>{_percent(reach.share)}<br><small>"
            f"{'' if reach.farthest_min is None else word('coverage.farthest', n=reach.farthest_min)}</small></td>"
            f"<td>{share(_said(hour, reach.share), reach.share)}</td>"
            for hour, reach in zip(hours, one.reach, strict=True)
        )
        kind = label(language, "area_kind", one.kind) if one.kind else ""
        shown = escape(one.name) if one.id else word("unknown_area")
        rows.append(
            f"<tr><td>{shown} <small>{escape(kind)}</small></td><td class=n>{one.persons:,}</td><td class=n>{one.without_place:,}</td>{shares}</tr>"
        )
    targets = "".join(
        f"<tr><td>{_target(one.name, language)}</td><td class=n>{one.share:.0%}</td><td class=n>{one.served}/{one.areas}</td>"
        f"<td class=n>{_verdict(one.met, language)}</td></tr>"
        for one in coverage.targets
    )
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{word("coverage.title")} {escape(name)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}{MORE}</style></head><body><header><h1>{word("coverage.title")}</h1>'
        f"<p>{escape(name)} · {coverage.times[0]:%Y-%m-%d}</p>"
        f'<p class="how">{word("coverage.how", minutes=coverage.circle_min, travel=_travel(coverage.travel, language))}</p></header><main>'
        f"<section><h2>{word('coverage.map')}</h2><p class=legend>{legend}</p>{maps}</section>"
        f"<section><h2>{word('coverage.targets')}</h2><table><thead><tr><th>{word('coverage.target')}</th><th class=n>{word('asked')}</th>"
        f"<th class=n>{word('coverage.served')}</th><th class=n></th></tr></thead><tbody>{targets}</tbody></table></section>"
        f"<section><h2>{word('coverage.areas')}</h2><table><thead><tr><th>{word('area')}</th><th class=n>{word('coverage.persons')}</th>"
        f"<th class=n>{word('coverage.without_place')}</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></section></main>"
        f"<footer>gateway report coverage · {escape(register.version)}</footer></body></html>\n"
    )


def _travel(name: str, language: str) -> str:
    """Where the times come from: the straight line in words, a road network by its name."""
    return say(language, "coverage.straight_line") if name == STRAIGHT_LINE else name


def _percent(part: float | None) -> str:
    return "–" if part is None else f"{part:.0%}"


def _said(hour: str, part: float | None) -> str:
    """What a bar shows, for who does not see it."""
    return f"{hour} {_percent(part)}"


def _least(area: AreaReach) -> tuple[bool, float, str]:
    """Order of the table: the worst hour of each area counts."""
    shares = [reach.share for reach in area.reach if reach.share is not None]
    return not shares, min(shares, default=0.0), area.id


_KNOWN = {f"target.{side}_{kind}" for side in ("goals", "tasks") for kind in ("communities", "streets", "villages")}


def _target(name: str, language: str) -> str:
    return escape(say(language, f"target.{name}") if f"target.{name}" in _KNOWN else name)


def _verdict(met: bool | None, language: str) -> str:
    if met is None:
        return "–"
    return escape(say(language, "met")) if met else f"<span class=missed>{escape(say(language, 'missed'))}</span>"


def _map(cells: Sequence[Cell], place: int, going: Sequence[Responder], register: Register, config: CoverageConfig, title: str) -> str:
    stations = [(one.lat, one.lon) for one in going if one.lat is not None and one.lon is not None]
    points = [*((cell.lat, cell.lon) for cell in cells), *stations]
    if not points:
        return ""
    points += [point for polygons in register.polygons.values() for polygon in polygons for ring in polygon for point in ring]  # no border is cut
    plane = _Plane(points, config.cell_deg)
    width, height = plane.size(config.cell_deg)
    drawn = []
    for polygons in register.polygons.values():
        for ring in (ring for polygon in polygons for ring in polygon):
            drawn.append('<path d="M' + "L".join("{:.1f} {:.1f}".format(*plane.at(lat, lon)) for lat, lon in ring) + 'Z"/>')
    for cell in cells:
        left, bottom = plane.at(cell.lat, cell.lon)
        part = cell.reached[place] / cell.persons
        kind = "few" if cell.persons < config.cell_least else "good" if part >= GOOD else "fair" if part >= FAIR else "bad"
        drawn.append(f'<rect class="{kind}" x="{left:.1f}" y="{bottom - height:.1f}" width="{width:.1f}" height="{height:.1f}" rx="1"/>')
    drawn += ['<circle cx="{:.1f}" cy="{:.1f}" r="4"/>'.format(*plane.at(lat, lon)) for lat, lon in stations]
    return f'<svg class="map" role="img" aria-label="{escape(title)}" viewBox="0 0 {MAP_WIDTH} {plane.height:.0f}">{"".join(drawn)}</svg>'
