"""The fifteen-minute circle of a register: who is reached in time, at which hour, area by area (domain 2.5, 6.10). Estimates, and said so."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache
from math import floor

import msgspec
import numpy as np

from gateway.config.coverage import CoverageConfig
from gateway.core.duty import duty_of
from gateway.core.incident import Role
from gateway.core.register import AreaKind, Register, Responder
from gateway.core.routing.ground import Sort, prepare
from gateway.core.travel import Starts, TravelTimes

NOWHERE = ""  # area of who has none
WORST_KEPT = 1000  # persons named who are farthest from help; the page shows a few, the CSV these


class Reach(msgspec.Struct):
    """Of one area (or all) at one hour: people whose place is known, how many are reached in time, the farthest."""

    located: int = 0
    reached: int = 0
    farthest_min: float | None = None

    @property
    def share(self) -> float | None:
        return self.reached / self.located if self.located else None

    def add(self, minutes: float, circle_min: float) -> None:
        self.located += 1
        self.reached += minutes <= circle_min
        if np.isfinite(minutes) and (self.farthest_min is None or minutes > self.farthest_min):
            self.farthest_min = minutes


class AreaReach(msgspec.Struct):
    """One area with all below it. `reach`: one an hour that is looked at, in their order."""

    id: str
    name: str
    kind: str
    persons: int
    without_place: int
    reach: tuple[Reach, ...]


class Cell(msgspec.Struct):
    """A square of the map: its south-west corner in degrees, people in it, how many are reached at each hour."""

    lat: float
    lon: float
    persons: int
    reached: list[int]


class Target(msgspec.Struct, frozen=True):
    """How many areas of the kinds are served, of how many, and whether that is what was asked."""

    name: str
    share: float
    areas: int
    served: int

    @property
    def met(self) -> bool | None:
        return self.served / self.areas >= self.share if self.areas else None


class Coverage(msgspec.Struct):
    """All of it. times: the moments looked at; open: responders on duty at each; worst: (minutes at the first hour, person), farthest first."""

    times: tuple[datetime, ...]
    circle_min: float
    travel: str
    open: tuple[int, ...]
    whole: AreaReach
    areas: list[AreaReach]
    cells: list[Cell]
    targets: list[Target]
    worst: list[tuple[float, str]]


def cover(register: Register, travel: TravelTimes, times: Sequence[datetime], circle_min: float, config: CoverageConfig) -> Coverage:
    """Work it out. One pass over the persons; nothing is asked of anybody's load: the circle is what could be, not who is free."""
    starts = [Starts(who_goes(register, at)) for at in times]
    found = {name: _empty(name, area.name, area.kind.value, len(times)) for name, area in register.areas.items()}
    nobody = _empty(NOWHERE, "", "", len(times))
    whole = _empty("*", register.name, "", len(times))
    cells: dict[tuple[int, int], Cell] = {}
    worst: list[tuple[float, str]] = []
    areas_above = cache(register.areas_above)  # of a few hundred areas, asked for by every person
    for person in register.persons.values():
        areas = [found[name] for name in areas_above(person.area)] or [nobody]
        for one in (whole, *areas):
            one.persons += 1
        if person.lat is None or person.lon is None:
            for one in (whole, *areas):
                one.without_place += 1
            continue
        minutes = [_soonest(start, travel, person.lat, person.lon, at) for start, at in zip(starts, times, strict=True)]
        for one in (whole, *areas):
            for reach, took in zip(one.reach, minutes, strict=True):
                reach.add(took, circle_min)
        _into_cell(cells, config.cell_deg, person.lat, person.lon, [took <= circle_min for took in minutes])
        if minutes[0] > circle_min:
            worst.append((minutes[0], person.id))
    worst.sort(key=lambda one: (-one[0], one[1]))
    rows = [one for one in (*found.values(), *([nobody] if nobody.persons else [])) if one.persons]
    return Coverage(
        tuple(times),
        circle_min,
        travel.name,
        tuple(len(start) for start in starts),
        whole,
        rows,
        sorted(cells.values(), key=lambda one: (one.lat, one.lon)),
        list(_targets(register, found, config)),
        worst[:WORST_KEPT],
    )


def who_goes(register: Register, at: datetime) -> list[Responder]:
    """Those who are sent to an alarm by themselves and are on duty at that moment: stations, urgent providers, care centres at night."""
    ground = prepare(register)
    sort = Sort(Role.SOCIAL, False, "", ())
    who = ground.who(sort, None)
    field = ground.field_for(Role.SOCIAL).responders
    rows = sorted({*who.first.tolist(), *who.second.tolist()})
    return [field[row] for row in rows if duty_of(register, field[row], at).is_open]


def _soonest(starts: Starts, travel: TravelTimes, lat: float, lon: float, at: datetime) -> float:
    if not len(starts):
        return float("inf")
    minutes = travel.minutes(starts, starts.km(lat, lon), lat, lon, at)
    known = minutes[~np.isnan(minutes)]
    return float(known.min()) if known.size else float("inf")


def _into_cell(cells: dict[tuple[int, int], Cell], side: float, lat: float, lon: float, reached: Sequence[bool]) -> None:
    key = floor(lat / side), floor(lon / side)
    cell = cells.get(key)
    if cell is None:
        cell = cells[key] = Cell(round(key[0] * side, 6), round(key[1] * side, 6), 0, [0] * len(reached))
    cell.persons += 1
    for place, is_reached in enumerate(reached):
        cell.reached[place] += is_reached


def _targets(register: Register, found: dict[str, AreaReach], config: CoverageConfig) -> Iterator[Target]:
    """An area is served when enough of its people are in the circle by day; one in which nobody is registered, when somebody serves it."""
    serving = {area for responder in register.responders.values() for area in responder.areas}
    for target in config.target:
        kinds = {kind for kind in AreaKind if kind.value in target.area_kinds}
        areas = [found[name] for name, area in register.areas.items() if area.kind in kinds]
        served = sum(_is_served(one, config.area_share) if one.reach[0].located else one.id in serving for one in areas)
        yield Target(target.name, target.share, len(areas), served)


def _is_served(area: AreaReach, share: float) -> bool:
    return (area.reach[0].share or 0.0) >= share


def _empty(name: str, shown: str, kind: str, hours: int) -> AreaReach:
    return AreaReach(name, shown, kind, 0, 0, tuple(Reach() for _ in range(hours)))


def rows(coverage: Coverage) -> Iterable[tuple[str, ...]]:
    """For CSV: one line an area, then the targets."""
    hours = [f"{at:%H:%M}" for at in coverage.times]
    yield (
        "area",
        "name",
        "kind",
        "persons",
        "without_place",
        *(f"{what}_{hour}" for hour in hours for what in ("located", "reached", "farthest_min")),
    )
    for one in (coverage.whole, *coverage.areas):
        figures = [
            text
            for reach in one.reach
            for text in (str(reach.located), str(reach.reached), "" if reach.farthest_min is None else f"{reach.farthest_min:.1f}")
        ]
        yield (one.id, one.name, one.kind, str(one.persons), str(one.without_place), *figures)
