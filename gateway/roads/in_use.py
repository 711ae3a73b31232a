"""Which travel times hold with a configuration: the reach sets that were prepared, or the straight line and why."""

from pathlib import Path
from typing import NamedTuple

from gateway.config import Config
from gateway.core.register import Register
from gateway.core.travel import StraightLine, TravelTimes
from gateway.roads import reach
from gateway.roads.network import fingerprint, has_library
from gateway.roads.prepare import missing
from gateway.roads.reach import ReachSets
from gateway.roads.times import RoadTimes

OFF, IN_USE, PARTLY, NOT_PREPARED, STALE, DAMAGED = "off", "in_use", "partly", "not_prepared", "stale", "damaged"
REMEDY = "run gateway roads prepare"


class Found(NamedTuple):
    """state: one of the above. unknown: places of responders that the sets do not know; `ways` of all. text: in words, with the remedy."""

    state: str
    text: str
    sets: ReachSets | None = None
    unknown: int = 0
    ways: int = 0

    @property
    def wants_preparing(self) -> bool:
        """Would `gateway roads prepare` change that?"""
        return self.state not in (OFF, IN_USE)


def roads_folder(config: Config) -> Path:
    """Where reach sets lie."""
    return config.data_folder / "roads"


def tiles_folder(config: Config) -> Path:
    """Where the tiles lie, if roads are on."""
    return config.folder / config.routing.roads.tiles


def look(config: Config, register: Register | None) -> Found:
    """What is there. register None: nobody asks whether all responders are known. Never raises."""
    roads = config.routing.roads
    if not roads.tiles:
        return Found(OFF, "straight line")
    tiles = tiles_folder(config)
    try:
        sets = reach.current(roads_folder(config))
    except ValueError as error:
        return Found(DAMAGED, f"straight line: {error}")
    if sets is None:
        return Found(NOT_PREPARED, f"straight line: no reach sets in {roads_folder(config)}; {_remedy(tiles)}")
    try:
        here = fingerprint(tiles) if tiles.is_dir() else ""
    except OSError as error:
        return Found(STALE, f"straight line: {tiles} cannot be read ({error.strerror or error})")
    if here and here != sets.head.tiles:
        return Found(STALE, f"straight line: the reach sets were made from tiles {sets.head.tiles}, here are {here}; {REMEDY}")
    if (sets.head.cell_m, sets.head.reach_min) != (roads.cell_m, roads.reach_min):
        return Found(STALE, f"straight line: routing.roads.cell_m or reach_min are not those of the reach sets; {REMEDY}")
    text = f"roads:{sets.digest}, {len(sets.ways)} places, {sets.cells.nbytes / 1e6:.1f} MB"
    if cut_off := int((sets.boxes[:, 2] == 0).sum()):
        text += f", {cut_off} of them without a road near them"
    if not here:
        text += f"; the tiles ({tiles}) are not here"
    if register is not None and (unknown := len(missing(sets, register, config.routing))):
        return Found(PARTLY, f"{text}; straight line for {unknown} places of responders; {_remedy(tiles)}", sets, unknown, len(sets.ways))
    return Found(IN_USE, text, sets, 0, len(sets.ways))


def travel_from(found: Found, config: Config, register: Register) -> TravelTimes:
    """Travel times of what was found."""
    if found.sets is None:
        return StraightLine(config.routing, register.calendar)
    return RoadTimes(found.sets, config.routing, register.calendar)


def travel_of(config: Config, register: Register) -> TravelTimes:
    """Where travel times come from with this configuration. Never raises."""
    return travel_from(look(config, register), config, register)


def _remedy(tiles: Path) -> str:
    if not tiles.is_dir():
        return f"there is no folder {tiles}: correct routing.roads.tiles, or prepare where the tiles are and copy the folder roads here"
    return REMEDY if has_library() else "install the extra `roads` and run gateway roads prepare, or prepare elsewhere and copy the folder roads here"
