"""The outline of what is reached: every cell lies on the side of the rings on which the table has it."""

from datetime import UTC, datetime
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.routing import RoutingConfig
from gateway.console.map_views import circle
from gateway.core.incident import Flag
from gateway.core.register import Register, Responder, ResponderKind
from gateway.core.travel import StraightLine
from gateway.event import Kind
from gateway.roads.lattice import Box
from gateway.roads.outline import Ring, outline
from gateway.roads.reach import UNKNOWN, Cells, Head, ReachSets
from gateway.roads.times import RoadTimes
from gateway.roads.ways import way_of
from tests.console.fake_house import CONFIG, FakeHouse

NOON = datetime(2026, 3, 14, 4, 0, tzinfo=UTC)  # a Saturday, 12:00 local: no rush, no night
RULES = RoutingConfig()
HEAD = Head(tiles="invented", made_by="a test", cell_m=200, reach_min=30, lat_step=0.002, lon_step=0.0025)
STATION = Responder(id="station-1", name="驿站", kind=ResponderKind.STATION, lat=36.3451, lon=102.8601, speed_kmh=15)


def times_of(cells: Cells, station: Responder = STATION) -> tuple[RoadTimes, Box]:
    way = way_of(station, RULES)
    assert way
    row, column = HEAD.lattice.cell(way.lat, way.lon)
    box = Box(row - cells.shape[0] // 2, column - cells.shape[1] // 2, *cells.shape)
    return RoadTimes(ReachSets(HEAD, {way: (box, cells)}), RULES), box


def is_inside(rings: tuple[Ring, ...], lat: float, lon: float) -> bool:
    """Even-odd over all rings, as the page fills them."""
    crossings = 0
    for ring in rings:
        for (a_lat, a_lon), (b_lat, b_lon) in pairwise(ring):
            if (a_lat > lat) != (b_lat > lat) and lon < a_lon + (lat - a_lat) * (b_lon - a_lon) / (b_lat - a_lat):
                crossings += 1
    return crossings % 2 == 1


@given(st.lists(st.lists(st.sampled_from([10, 149, 150, 151, 400, UNKNOWN]), min_size=5, max_size=5), min_size=1, max_size=6))
def test_every_cell_is_on_its_side(rows: list[list[int]]) -> None:
    cells = np.array(rows, dtype=np.uint16)
    times, box = times_of(cells)
    rings = outline(times, STATION, 15, NOON)
    assert rings is not None
    for ring in rings:
        assert ring[0] == ring[-1]
        assert len(ring) >= 5
        for (a_lat, a_lon), (b_lat, b_lon), (c_lat, c_lon) in zip(ring, ring[1:], ring[2:], strict=False):
            assert (a_lat == b_lat) != (a_lon == b_lon), "along the lattice"
            assert not a_lat == b_lat == c_lat, "corners alone"
            assert not a_lon == b_lon == c_lon, "corners alone"
    for row in range(box.rows):
        for column in range(box.columns):
            middle = HEAD.lattice.middle(box.row + row, box.column + column)
            assert is_inside(rings, *middle) == (cells[row, column] <= 150)


def test_a_hole_stays_one() -> None:
    cells = np.full((5, 5), 100, dtype=np.uint16)
    cells[2, 2] = UNKNOWN
    times, _ = times_of(cells)
    rings = outline(times, STATION, 15, NOON)
    assert rings is not None
    assert sorted(len(ring) for ring in rings) == [5, 5]


def test_a_car_is_slower_in_the_rush() -> None:
    car = msgspec.structs.replace(STATION, mode="car")
    times, _ = times_of(np.array([[90, 100, 140]], dtype=np.uint16), car)
    rush = datetime(2026, 3, 13, 0, 0, tzinfo=UTC)  # a Friday, 08:00 local
    assert times.within(car, 15, NOON)[1].tolist() == [[True, True, True]]  # type: ignore[index]
    assert times.within(car, 15, rush)[1].tolist() == [[True, False, False]]  # type: ignore[index]


def test_who_has_no_table_has_no_outline() -> None:
    times, _ = times_of(np.array([[90]], dtype=np.uint16))
    assert outline(times, msgspec.structs.replace(STATION, lat=36.0), 15, NOON) is None
    assert outline(times, msgspec.structs.replace(STATION, lat=None), 15, NOON) is None


@pytest.mark.parametrize("beyond", [False, True])
async def test_the_map_takes_the_roads_where_it_has_them(beyond: bool) -> None:
    times, _ = times_of(np.full((3, 3), 100, dtype=np.uint16))
    house = FakeHouse(register=Register(responders=[STATION], areas=(), version="v"))
    await house.receive([house.event(Kind.SOS, "unknown", "corridor")])
    (incident,) = house.incidents.values()
    incident = msgspec.structs.replace(incident, flags=(Flag.BEYOND_CIRCLE,) if beyond else ())
    decision = msgspec.structs.replace(house.candidates(incident), responder="station-1")
    config = msgspec.structs.replace(CONFIG, routing=RULES)
    drawn = circle(house.register, incident, decision, times, config, NOON)
    assert drawn is not None
    assert (drawn["source"], drawn["km"], drawn["beyond"]) == (times.name, None, beyond)
    assert len(drawn["rings"][0]) == 5  # type: ignore[index]
    drawn = circle(house.register, incident, decision, StraightLine(RULES), config, NOON)
    assert drawn is not None
    assert (drawn["source"], drawn["rings"], drawn["km"]) == ("straight_line", None, pytest.approx(15 / 4 / 1.3, abs=0.001))
