"""The lattice: the earth in cells of some two hundred metres, the same for every station, so that each cell is looked for on the roads once."""

import math
from typing import NamedTuple

from gateway.core.travel import EARTH_KM
from gateway.roads.ways import BICYCLE, CAR, FOOT, Way

METRES_PER_DEGREE = EARTH_KM * 1000 * math.pi / 180
CAR_KMH = 40.0  # how far the table of a car goes: faster on the average nobody is in a town
MOST = 100  # cells to each side of a station: 20 km at 200 m; a table of 80 kB, and four seconds to prepare


class Lattice(NamedTuple):
    """Degrees of one cell. Rows go north, columns east."""

    lat_step: float
    lon_step: float

    def cell(self, lat: float, lon: float) -> tuple[int, int]:
        """(row, column) of a place; numbers may be negative."""
        return math.floor(lat / self.lat_step), math.floor(lon / self.lon_step)

    def middle(self, row: int, column: int) -> tuple[float, float]:
        """Latitude and longitude."""
        return (row + 0.5) * self.lat_step, (column + 0.5) * self.lon_step


class Box(NamedTuple):
    """Cells around a station: first row and column, how many of each."""

    row: int
    column: int
    rows: int
    columns: int


NOTHING = Box(0, 0, 0, 0)  # of a station from which no road leads


def lattice_at(lat: float, cell_m: float) -> Lattice:
    """Cells that are about square near this latitude; by whole degrees, so that one more station does not shift them."""
    lat_step = cell_m / METRES_PER_DEGREE
    return Lattice(lat_step, lat_step / max(0.1, math.cos(math.radians(round(lat)))))


def box_of(way: Way, lattice: Lattice, cell_m: float, reach_min: float) -> Box:
    """As far as this one comes in so many minutes if all roads were straight, at most MOST cells to each side."""
    kmh = {FOOT: way.kmh, BICYCLE: way.kmh, CAR: CAR_KMH}[way.wheels]
    half = min(MOST, math.ceil(kmh * reach_min / 60 * 1000 / cell_m))
    row, column = lattice.cell(way.lat, way.lon)
    return Box(row - half, column - half, 2 * half + 1, 2 * half + 1)
