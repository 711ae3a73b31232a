"""The border of what a responder reaches in so many minutes: rings around the cells of its table, for a picture. Decides nothing."""

from collections.abc import Iterable
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from gateway.core.register import Responder
from gateway.roads.times import RoadTimes

Ring = tuple[tuple[float, float], ...]
Corner = tuple[int, int]
DIGITS = 5  # of a degree: a metre; cells have two hundred


def outline(times: RoadTimes, responder: Responder, minutes: float, at: datetime) -> tuple[Ring, ...] | None:
    """Closed rings of (latitude, longitude), WGS-84, to be filled by the even-odd rule; None where the table does not know this responder."""
    found = times.within(responder, minutes, at)
    if found is None:
        return None
    box, reached = found
    lattice = times.sets.head.lattice
    rings = []
    for ring in _rings(reached):
        rings.append(
            tuple(
                (round((box.row + row) * lattice.lat_step, DIGITS), round((box.column + column) * lattice.lon_step, DIGITS)) for row, column in ring
            )
        )
    return tuple(rings)


def _rings(reached: NDArray[np.bool_]) -> Iterable[list[Corner]]:
    """Walk around the cells, the inside always on the same hand; straight stretches have no corners but at their ends."""
    ways: dict[Corner, list[Corner]] = {}
    for a, b in _edges(np.pad(reached, 1)):
        ways.setdefault(a, []).append(b)
    while ways:
        start = next(iter(ways))
        ring, here, came = [start], start, (0, 0)
        while True:
            step = _next(ways, here, came)
            turned = (step[0] - here[0], step[1] - here[1])
            if turned == came:
                ring[-1] = step
            else:
                ring.append(step)
            here, came = step, turned
            if here == start:
                break
        yield ring


def _next(ways: dict[Corner, list[Corner]], here: Corner, came: Corner) -> Corner:
    """The edge to go on by, used up. Where two cells touch at a corner there are two: the one that turns off, so that no ring crosses itself."""
    there = ways[here]
    left = (here[0] + came[1], here[1] - came[0])
    step = left if left in there else there[0]
    there.remove(step)
    if not there:
        del ways[here]
    return step


def _edges(cells: NDArray[np.bool_]) -> Iterable[tuple[Corner, Corner]]:
    """Edges between a cell that is reached and one that is not, the reached one on the left (rows go up). Corners count from the table's own."""
    for row, column in np.argwhere(cells[1:, :] & ~cells[:-1, :]).tolist():  # reached above the edge: eastward
        yield (row, column - 1), (row, column)
    for row, column in np.argwhere(cells[:-1, :] & ~cells[1:, :]).tolist():  # below it: westward
        yield (row, column), (row, column - 1)
    for row, column in np.argwhere(cells[:, 1:] & ~cells[:, :-1]).tolist():  # east of it: southward
        yield (row, column), (row - 1, column)
    for row, column in np.argwhere(cells[:, :-1] & ~cells[:, 1:]).tolist():  # west of it: northward
        yield (row - 1, column), (row, column)
