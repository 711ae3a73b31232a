"""Travel times looked up in reach sets; the straight line wherever these do not know. One lookup for hundreds of starts is a few array operations."""

import math
from datetime import date, datetime

import numpy as np
from numpy.typing import NDArray

from gateway.config.routing import RoutingConfig
from gateway.core.register import Responder
from gateway.core.territory import DayKind
from gateway.core.travel import STRAIGHT_LINE, Floats, Starts, StraightLine
from gateway.roads.lattice import Box
from gateway.roads.reach import UNKNOWN, ReachSets
from gateway.roads.ways import CAR, way_of

PREFIX = "roads:"
_PREPARED = "roads"
FARTHEST = 1e6  # degrees; whatever a position says, a cell's number stays a number


class _Rows:
    """Of some starts, in their order: where each table lies. Who has none has one of no rows."""

    def __init__(self, owner: "RoadTimes", rules: RoutingConfig, starts: Starts) -> None:
        self.owner, sets = owner, owner.sets
        ways = [way_of(one, rules) for one in starts.responders]
        rows = np.array([sets.rows.get(way, -1) if way is not None else -1 for way in ways], dtype=np.int64)
        known = rows >= 0
        boxes = np.where(known[:, None], sets.boxes[rows], 0) if len(sets.ways) else np.zeros((len(rows), 4), dtype=np.int64)
        self.row, self.column = boxes[:, 0].copy(), boxes[:, 1].copy()
        self.rows, self.columns = boxes[:, 2].astype(np.uint64), boxes[:, 3].astype(np.uint64)
        self.width = boxes[:, 3].copy()
        self.start = np.where(known, sets.starts[rows], 0)
        # The hours change how fast cars are; who has a speed of its own has it at every hour, as by the straight line.
        is_car = np.array([one.mode == CAR for one in starts.responders], dtype=bool)
        self.scale = {band: np.where(is_car, 0.1 / factor, 0.1) for band, factor in _factors(rules).items()}


class RoadTimes:
    """gateway.core.travel.TravelTimes by a road network. Never raises.

    fallen_back  how often a candidate was named whose time is a straight line all the same
    """

    is_estimate = True

    def __init__(self, sets: ReachSets, rules: RoutingConfig, calendar: dict[date, DayKind] | None = None) -> None:
        self.sets = sets
        self.name = PREFIX + sets.digest
        self.fallen_back = 0
        self._rules = rules
        self._line = StraightLine(rules, calendar)
        self._lattice = sets.head.lattice

    def minutes(self, starts: Starts, km: Floats, lat: float, lon: float, at: datetime) -> Floats:
        """As in TravelTimes."""
        straight = self._line.minutes(starts, km, lat, lon, at)
        if not (abs(lat) < FARTHEST and abs(lon) < FARTHEST):
            return straight
        rows = starts.prepared.get(_PREPARED)
        if not isinstance(rows, _Rows) or rows.owner is not self:
            rows = starts.prepared[_PREPARED] = _Rows(self, self._rules, starts)
        row, column = self._lattice.cell(lat, lon)
        down, right = row - rows.row, column - rows.column
        # Unsigned, what lies before the box is far behind it: one comparison in place of two.
        is_inside = (down.view(np.uint64) < rows.rows) & (right.view(np.uint64) < rows.columns)
        found = self.sets.cells.take(np.where(is_inside, rows.start + down * rows.width + right, -1))
        made: Floats = np.where(found == UNKNOWN, straight, found * rows.scale[self._line.band(at)])
        return made

    def source(self, responder: Responder, lat: float, lon: float) -> str:
        """As in TravelTimes."""
        if self._knows(responder, lat, lon):
            return ""
        self.fallen_back += 1
        return STRAIGHT_LINE

    def within(self, responder: Responder, minutes: float, at: datetime) -> tuple[Box, NDArray[np.bool_]] | None:
        """Which cells this one reaches in so many minutes, [row, column] of its table; None: it has none, or no road leads from there."""
        way = way_of(responder, self._rules)
        if way is None or way not in self.sets.rows:
            return None
        box, cells = self.sets.table(way)
        if not cells.size:
            return None
        factor = _factors(self._rules)[self._line.band(at)] if responder.mode == CAR else 1.0
        return box, (cells != UNKNOWN) & (cells <= minutes * 10 * factor)

    def _knows(self, responder: Responder, lat: float, lon: float) -> bool:
        way = way_of(responder, self._rules)
        row_of_way = self.sets.rows.get(way) if way is not None else None
        if row_of_way is None or not (math.isfinite(lat) and math.isfinite(lon)):
            return False
        box = Box(*(int(one) for one in self.sets.boxes[row_of_way]))
        row, column = self._lattice.cell(lat, lon)
        if not (0 <= row - box.row < box.rows and 0 <= column - box.column < box.columns):
            return False
        place = int(self.sets.starts[row_of_way]) + (row - box.row) * box.columns + column - box.column
        return bool(self.sets.cells[place] != UNKNOWN)


def _factors(rules: RoutingConfig) -> dict[str, float]:
    return {"": 1.0, "rush": rules.rush_factor, "night": rules.night_factor}
