"""Where a point lies: inside, outside, on a border, in a hole, in the finest of several areas; and rings that cross themselves."""

import itertools
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.core.geometry import area_of, contains, crossing
from gateway.core.register import Area, AreaKind, Register, Ring


def square(south: float, west: float, size: float) -> Ring:
    return ((south, west), (south, west + size), (south + size, west + size), (south + size, west), (south, west))


OUTER, HOLE = square(0, 0, 10), square(4, 4, 2)


@pytest.mark.parametrize(
    ("lat", "lon", "inside"),
    [(1, 1, True), (5, 5, False), (4, 5, True), (0, 0, True), (0, 5, True), (10, 10, True), (10.001, 5, False), (-1, 0, False), (5, 11, False)],
)
def test_a_hole_is_outside_and_a_border_inside(lat, lon, inside):
    assert contains(((OUTER, HOLE),), lat, lon) is inside


def test_any_polygon_of_several_counts():
    shape = ((square(0, 0, 1),), (square(5, 5, 1),))
    assert [contains(shape, *point) for point in ((0.5, 0.5), (5.5, 5.5), (3, 3))] == [True, True, False]


def test_a_ray_through_a_corner_is_counted_once():
    diamond = ((0.0, 5.0), (5.0, 0.0), (10.0, 5.0), (5.0, 10.0), (0.0, 5.0))
    assert contains(((diamond,),), 5, 5)
    assert not contains(((diamond,),), 5, -1)
    assert not contains(((diamond,),), 0, 4)
    assert not contains(((diamond,),), 10, 4)


AREAS = [
    Area(id="city", name="市", kind=AreaKind.CITY),
    Area(id="district", name="区", kind=AreaKind.DISTRICT, parent="city"),
    Area(id="street", name="街道", kind=AreaKind.STREET, parent="district"),
    Area(id="village", name="村", kind=AreaKind.VILLAGE, parent="street"),
    Area(id="small", name="小区", kind=AreaKind.COMMUNITY, parent="street"),
    Area(id="grid", name="网格", kind=AreaKind.GRID, parent="village"),
]
SHAPES = {
    "city": ((square(0, 0, 100),),),
    "district": ((square(0, 0, 50),),),
    "street": ((square(0, 0, 20),),),
    "village": ((square(0, 0, 10),),),
    "small": ((square(8, 8, 4),),),
    "grid": ((square(1, 1, 1),),),
}


@pytest.mark.parametrize(
    ("point", "area"),
    [
        ((1.5, 1.5), "grid"),
        ((5, 5), "village"),
        ((9, 9), "small"),  # of two communities that overlap the smaller
        ((15, 15), "street"),
        ((30, 30), "district"),
        ((90, 90), "city"),
        ((101, 0), None),
    ],
)
def test_the_finest_area_is_named(point, area):
    assert area_of(Register(areas=AREAS, polygons=SHAPES), *point) == area


def test_without_polygons_nobody_knows():
    assert area_of(Register(areas=AREAS), 1, 1) is None


@pytest.mark.parametrize(
    ("ring", "crosses"),
    [
        (OUTER, False),
        (((0, 0), (10, 10), (10, 0), (0, 10), (0, 0)), True),  # a bow
        (((0, 0), (0, 10), (5, 5), (10, 10), (10, 0), (5, 5), (0, 0)), True),  # touches itself in a corner
        (((0, 0), (0, 10), (0, 5), (10, 5), (0, 0)), True),  # goes back upon itself
        (((0, 0), (0, 10), (10, 10), (0, 5), (0, 0)), True),  # a corner upon an edge
        (((0, 0), (0, 10), (1, 5), (10, 5), (0, 0)), False),  # a dent
        (((0, 0), (0, 5), (0, 10), (10, 10), (10, 0), (0, 0)), False),  # a corner that is none
    ],
)
def test_a_ring_that_crosses_itself_is_found(ring, crosses):
    assert (crossing(ring) is not None) is crosses
    assert (crossing(ring[::-1]) is not None) is crosses


COORDINATES = st.integers(-50, 50).map(float)
CORNERS = st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=9, unique=True)


@given(CORNERS, COORDINATES, COORDINATES)
def test_inside_is_where_the_border_winds_round(corners, lat, lon):
    """Against another method: the angles under which the edges of a simple ring are seen add up to a full turn, or to nothing."""
    ring = (*corners, corners[0])
    assume(crossing(ring) is None)
    turn = 0.0
    for (a_lat, a_lon), (b_lat, b_lon) in itertools.pairwise(ring):
        a, b = (a_lat - lat, a_lon - lon), (b_lat - lat, b_lon - lon)
        cross, dot = a[0] * b[1] - a[1] * b[0], a[0] * b[0] + a[1] * b[1]
        if cross == 0 and dot <= 0:
            assert contains(((ring,),), lat, lon)  # on the border
            return
        turn += math.atan2(cross, dot)
    assert contains(((ring,),), lat, lon) is (abs(turn) > math.pi)


@given(CORNERS)
def test_crossing_agrees_with_every_pair_of_edges(corners):
    """Brute force in whole numbers: no two edges have a point in common, but neighbours their corner."""
    ring = (*corners, corners[0])
    edges = list(itertools.pairwise(ring))

    def side(a, b, c):
        turn = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        return (turn > 0) - (turn < 0)

    def on(a, b, c):
        return side(a, b, c) == 0 and min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])

    def meet(first, second):
        (a, b), (c, d) = first, second
        if len({a, b, c, d}) == 3:  # neighbours: more than the corner in common?
            shared = next(iter({a, b} & {c, d}))
            far, near = next(iter({c, d} - {shared})), next(iter({a, b} - {shared}))
            return on(a, b, far) or on(c, d, near)
        proper = side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
        return proper or on(a, b, c) or on(a, b, d) or on(c, d, a) or on(c, d, b)

    simple = not any(meet(first, second) for number, first in enumerate(edges) for second in edges[:number])
    assert (crossing(ring) is None) is simple
