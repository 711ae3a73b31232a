"""The offline job: reach sets for every responder that has a place. What was computed before from the same tiles is taken over."""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from gateway.config.routing import RoutingConfig
from gateway.core.register import Register
from gateway.errors import GatewayError
from gateway.roads import reach
from gateway.roads.lattice import NOTHING, Box, box_of, lattice_at
from gateway.roads.network import Network
from gateway.roads.reach import NO_CELLS, Cells, Head, ReachSets
from gateway.roads.ways import Way, ways_of


class Prepared(NamedTuple):
    """What came of it. computed: ways asked of Valhalla, the others were taken over; cut_off: ways from which no road leads."""

    sets: ReachSets
    file: Path
    computed: int
    cut_off: int
    took_s: float


def prepare(
    register: Register, rules: RoutingConfig, tiles: Path, folder: Path, tell: Callable[[int, int], None] = lambda _done, _all: None
) -> Prepared:
    """Compute and write them. tell: (done, of how many), after each. Raises GatewayError with the remedy."""
    began = perf_counter()
    ways = ways_of(register.responders.values(), rules)
    if not ways:
        raise GatewayError("no responder of this register has coordinates: write lat and lon in responders.csv")
    if len(ways) > reach.WAYS_LIMIT:
        raise GatewayError(f"{len(ways)} responders at different places; {reach.WAYS_LIMIT} are the limit")
    network = Network(tiles)
    lattice = lattice_at(sorted(way.lat for way in ways)[len(ways) // 2], rules.roads.cell_m)
    head = Head(
        tiles=network.tiles,
        made_by=network.version,
        cell_m=rules.roads.cell_m,
        reach_min=rules.roads.reach_min,
        lat_step=lattice.lat_step,
        lon_step=lattice.lon_step,
    )
    old = _before(folder, head)
    tables: dict[Way, tuple[Box, Cells]] = {}
    computed = 0
    faults: list[GatewayError] = []
    for number, way in enumerate(ways, 1):
        if old is not None and way in old.rows:
            tables[way] = old.table(way)
        else:
            computed += 1
            try:
                tables[way] = network.table(way, lattice, box_of(way, lattice, head.cell_m, head.reach_min))
            except GatewayError as fault:  # one place must not keep all the others from theirs
                faults.append(fault)
                tables[way] = (NOTHING, NO_CELLS)
        tell(number, len(ways))
    if faults and len(faults) == computed:
        raise faults[0]
    sets = ReachSets(head, tables)
    try:
        file = sets.write(folder)
    except OSError as error:
        raise GatewayError(f"{folder}: {error.strerror or error}; let the gateway's user write there") from error
    cut_off = sum(1 for box, _ in tables.values() if not box.rows)
    return Prepared(sets, file, computed, cut_off, perf_counter() - began)


def missing(sets: ReachSets, register: Register, rules: RoutingConfig) -> list[Way]:
    """Ways of this register that the sets do not know."""
    return [way for way in ways_of(register.responders.values(), rules) if way not in sets.rows]


def _before(folder: Path, head: Head) -> ReachSets | None:
    """The sets in force, if they were made from the same."""
    try:
        old = reach.current(folder)
    except ValueError:
        return None
    return old if old is not None and old.head == head else None
