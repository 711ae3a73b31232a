"""Valhalla's road network, asked offline: how long from a station to the cells around it. Only `prepare` comes here, never an alarm.

The library is PyPI's pyvalhalla (extra `roads`); the tiles are files made by `valhalla_build_tiles` (docs/guide/routing.md).
"""

import hashlib
import json
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.errors import GatewayError
from gateway.roads.lattice import NOTHING, Box, Lattice
from gateway.roads.reach import LONGEST, NO_CELLS, UNKNOWN, Cells
from gateway.roads.ways import BICYCLE, FOOT, Way

COSTING = {FOOT: "pedestrian", BICYCLE: "bicycle"}  # and auto
CUTOFF_M = 500  # a cell whose middle is farther from every road is nowhere: what lies there is not reached by road
AT_ONCE = 2_000  # cells located in one question
WALKING_KMH, CYCLING_KMH = (0.5, 25.0), (5.0, 60.0)  # what Valhalla takes (its documentation of turn-by-turn costing)
MATRIX_KM = 1_000.0  # Valhalla's own limits are those of a public server
TILE_HEAD = 4096  # bytes of each tile by which it is known: its header names data, time and size


def fingerprint(tiles: Path) -> str:
    """12 hex digits of which tiles these are; "" = there are none. OSError."""
    files = sorted(tiles.rglob("*.gph"))
    if not files:
        return ""
    made = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            head = content.read(TILE_HEAD)
        made.update(f"{file.relative_to(tiles).as_posix()} {file.stat().st_size}\n".encode() + head)
    return made.hexdigest()[:12]


def has_library() -> bool:
    """Is pyvalhalla installed?"""
    return find_spec("valhalla") is not None


class Network:
    """Tiles that are open. Raises GatewayError with the remedy."""

    def __init__(self, tiles: Path) -> None:
        try:
            import valhalla
        except ImportError as error:
            raise GatewayError(f"Valhalla cannot be loaded ({error}); install the extra: pip install 'gateway-12349[roads]'") from error
        self.version = str(valhalla.__version__)
        self.tiles = fingerprint(tiles) if tiles.is_dir() else ""
        if not self.tiles:
            raise GatewayError(f"routing.roads.tiles: {tiles} holds no tiles (*.gph); build them with valhalla_build_tiles (docs/guide/routing.md)")
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(_settings(valhalla.get_config(tile_extract="", tile_dir=str(tiles))), file)
            file.flush()
            try:
                self._actor = valhalla.Actor(file.name)
            except RuntimeError as error:
                raise GatewayError(f"routing.roads.tiles: Valhalla does not open {tiles} ({error}); build the tiles anew") from error
        self._on_road: dict[tuple[str, int, int], bool] = {}

    def table(self, way: Way, lattice: Lattice, box: Box) -> tuple[Box, Cells]:
        """Tenths of a minute from there to the middle of every cell, UNKNOWN where no road leads; NOTHING when none leads away from it."""
        start = {"lat": way.lat, "lon": way.lon, "search_cutoff": CUTOFF_M}
        if not self._located([start], way)[0]:
            return NOTHING, NO_CELLS
        cells = [(row, column) for row in range(box.row, box.row + box.rows) for column in range(box.column, box.column + box.columns)]
        self._locate(cells, way, lattice)
        reached = [place for place, cell in enumerate(cells) if self._on_road[(way.wheels, *cell)]]
        found = np.full(len(cells), UNKNOWN, dtype=np.uint16)
        if reached:
            found[reached] = tenths_of(self.seconds(way, [lattice.middle(*cells[place]) for place in reached]))
        return box, found.reshape(box.rows, box.columns)

    def seconds(self, way: Way, targets: Iterable[tuple[float, float]]) -> list[float | None]:
        """From there to each (latitude, longitude), in that direction; None: no way. Raises GatewayError when one is far from any road."""
        asked = {
            "sources": [{"lat": way.lat, "lon": way.lon, "search_cutoff": CUTOFF_M}],
            "targets": [{"lat": lat, "lon": lon, "search_cutoff": CUTOFF_M} for lat, lon in targets],
            "verbose": False,
            **_costing(way),
        }
        try:
            answer = self._actor.matrix(asked)
        except RuntimeError as error:
            raise GatewayError(f"Valhalla finds no times from {way.lat:.4f},{way.lon:.4f} by {way.wheels}: {error}") from error
        seconds: list[float | None] = answer["sources_to_targets"]["durations"][0]
        return seconds

    def _locate(self, cells: Iterable[tuple[int, int]], way: Way, lattice: Lattice) -> None:
        """Which cells have a road near their middle: one that has none would spoil the whole matrix."""
        new = [cell for cell in cells if (way.wheels, *cell) not in self._on_road]
        for first in range(0, len(new), AT_ONCE):
            part = new[first : first + AT_ONCE]
            places = [dict(zip(("lat", "lon"), lattice.middle(*cell), strict=True), search_cutoff=CUTOFF_M) for cell in part]
            for cell, is_there in zip(part, self._located(places, way), strict=True):
                self._on_road[(way.wheels, *cell)] = is_there

    def _located(self, places: list[dict[str, float]], way: Way) -> list[bool]:
        try:
            answer = self._actor.locate({"locations": places, "verbose": False, **_costing(way)})
        except RuntimeError as error:
            raise GatewayError(f"Valhalla finds no roads near {way.lat:.4f},{way.lon:.4f}: {error}; are these tiles of this place?") from error
        return [bool(one["edges"]) for one in answer]


def tenths_of(seconds: Iterable[float | None]) -> NDArray[np.uint16]:
    """Whole tenths of a minute; UNKNOWN for None."""
    return np.array([UNKNOWN if one is None else min(LONGEST, round(one / 6)) for one in seconds], dtype=np.uint16)


def _costing(way: Way) -> dict[str, Any]:
    costing = COSTING.get(way.wheels, "auto")
    if way.wheels == FOOT:
        return {"costing": costing, "costing_options": {costing: {"walking_speed": min(max(way.kmh, WALKING_KMH[0]), WALKING_KMH[1])}}}
    if way.wheels == BICYCLE:
        return {"costing": costing, "costing_options": {costing: {"cycling_speed": min(max(way.kmh, CYCLING_KMH[0]), CYCLING_KMH[1])}}}
    return {"costing": costing}


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """Quiet, tiles from the folder, limits of one's own machine, and the one-to-many search: the other takes a minute for a town."""
    config["mjolnir"]["tile_extract"] = ""
    for part in ("mjolnir", "loki", "thor", "odin", "meili"):
        config[part].setdefault("logging", {})["type"] = ""
    config["thor"]["source_to_target_algorithm"] = "timedistancematrix"
    for limits in config["service_limits"].values():
        if isinstance(limits, dict) and "max_matrix_location_pairs" in limits:
            limits.update(max_matrix_location_pairs=10_000_000, max_matrix_distance=MATRIX_KM * 1000)
    return config
