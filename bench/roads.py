"""What a lookup of travel times by road costs, beside the straight line: invented reach sets for 400 and 4,500 responders of a city.

    .venv/bin/python bench/roads.py

How long preparing takes depends on the streets: `gateway roads prepare` says it (figures in docs/decisions/0024-travel-times-by-road.md).
"""

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import numpy as np

from gateway.config.routing import RoutingConfig
from gateway.core.register import Responder, ResponderKind
from gateway.core.travel import Starts, StraightLine, TravelTimes
from gateway.roads.lattice import box_of, lattice_at
from gateway.roads.reach import Head, ReachSets, read
from gateway.roads.times import RoadTimes
from gateway.roads.ways import ways_of

BUDGET_US = 20.0  # for 400 starts
LAT, LON = 39.9, 116.4
NOON = datetime(2026, 3, 14, 4, tzinfo=UTC)
ROUNDS, LOOKUPS = 30, 100


def main() -> None:
    rules, lattice, chance = RoutingConfig(), lattice_at(LAT, 200), np.random.default_rng(1)
    for number in (400, 4_500):
        places = chance.uniform(-0.2, 0.2, (number, 2)).tolist()
        responders = [Responder(id=f"s{n}", name="", kind=ResponderKind.STATION, lat=LAT + lat, lon=LON + lon) for n, (lat, lon) in enumerate(places)]
        tables = {}
        for way in ways_of(responders, rules):
            box = box_of(way, lattice, 200, 30)
            rows, columns = np.mgrid[: box.rows, : box.columns]
            away = np.hypot(rows - box.rows / 2, columns - box.columns / 2)  # cells; a road is longer by some
            tables[way] = (box, (away * 0.2 * 1.4 / 15 * 600 + chance.uniform(0, 15, away.shape)).astype(np.uint16))
        sets = ReachSets(Head(tiles="none", made_by="bench", cell_m=200, reach_min=30, lat_step=lattice.lat_step, lon_step=lattice.lon_step), tables)
        with tempfile.TemporaryDirectory() as folder:
            file = sets.write(Path(folder))
            began = perf_counter()
            read(Path(folder), sets.digest)
            took, size = perf_counter() - began, file.stat().st_size
        print(f"{number} responders: file {size / 1e6:.1f} MB, in memory {sets.cells.nbytes / 1e6:.1f} MB, read in {took:.2f} s")
        starts = Starts(responders)
        for travel in (StraightLine(rules), RoadTimes(sets, rules)):
            us = lookup_us(travel, starts)
            print(f"  {travel.name:20} {us:5.1f} µs for all" + (f", budget {BUDGET_US:g}" if number == 400 and us > BUDGET_US else ""))


def lookup_us(travel: TravelTimes, starts: Starts) -> float:
    """The quickest of some rounds: others share the machine."""
    km = starts.km(LAT, LON)
    rounds = []
    for _ in range(ROUNDS):
        began = perf_counter()
        for number in range(LOOKUPS):
            travel.minutes(starts, km, LAT + number * 0.001, LON, NOON)
        rounds.append((perf_counter() - began) / LOOKUPS)
    return min(rounds) * 1e6


if __name__ == "__main__":
    main()
