"""An invented town for Valhalla: two banks of a river with streets every 200 m, one bridge far in the east, one footbridge in the middle, a
one-way ramp in the west. Its tiles are built by Valhalla's own program from OpenStreetMap's format.

Metres from the middle of the river: x east, y north.

    y 400 … 1400   north bank, x -2000 … 3000
    river          bridge for everything at x 3000; footbridge at x 0
    y -400 … -1400 south bank
    y 400, x -2800 the mill: reached from the north bank's end by a one-way ramp, left by a long road around the north
"""

import json
import os
import subprocess
from math import cos, radians
from pathlib import Path

import pytest

from tests.roads.osm_pbf import Road, pbf

LAT, LON = 36.345, 102.88
METRES = 111_195.0
NORTH, SOUTH = range(400, 1401, 200), range(-1400, -399, 200)
WEST_EAST = range(-2000, 3001, 200)


def at(x: float, y: float) -> tuple[float, float]:
    """Latitude and longitude."""
    return LAT + y / METRES, LON + x / METRES / cos(radians(LAT))


def write_town(file: Path) -> None:
    """As OpenStreetMap's PBF."""
    places = {f"{x},{y}": at(x, y) for x in WEST_EAST for y in (*SOUTH, *NORTH)}
    for x, y in ((-2800, 400), (-2800, 3400), (-2000, 3400)):
        places[f"{x},{y}"] = at(x, y)
    street = {"highway": "residential"}
    roads = [Road([f"{x},{y}" for x in WEST_EAST], street) for y in (*SOUTH, *NORTH)]
    roads += [Road([f"{x},{y}" for y in bank], street) for x in WEST_EAST for bank in (SOUTH, NORTH)]
    roads.append(Road(["3000,-400", "3000,400"], {"highway": "secondary", "bridge": "yes"}))
    roads.append(Road(["0,-400", "0,400"], {"highway": "footway", "bridge": "yes"}))
    roads.append(Road(["-2000,400", "-2800,400"], {"highway": "residential", "oneway": "yes"}))
    roads.append(Road(["-2800,400", "-2800,3400", "-2000,3400", "-2000,1400"], street))
    file.write_bytes(pbf(places, roads))


def build_tiles(folder: Path) -> Path:
    """The tiles of the town. Skips where Valhalla has no wheel; fails in CI on a machine for which it is pinned."""
    try:
        import valhalla
    except ImportError:
        missing = "Valhalla is not installed: the extra `roads` has no wheel for this machine, or make was not run"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    tiles = folder / "tiles"
    tiles.mkdir()
    write_town(folder / "town.osm.pbf")
    config = valhalla.get_config(tile_extract="", tile_dir=str(tiles))
    config["mjolnir"]["concurrency"] = 1
    (folder / "valhalla.json").write_text(json.dumps(config))
    program = Path(valhalla.__file__).parent / "bin" / "valhalla_build_tiles"
    built = subprocess.run(
        [program, "-c", folder / "valhalla.json", folder / "town.osm.pbf"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert built.returncode == 0, built.stderr[-2000:]
    return tiles
