"""Travel times by road in a town with a river: what Valhalla says, what is prepared from it, and who is sent because of it."""

import os
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest

from gateway.config import Config
from gateway.config.routing import RoadsConfig, RoutingConfig
from gateway.core.incident import Role
from gateway.core.need import Around, Need
from gateway.core.register import Register, Responder, ResponderKind
from gateway.core.routing import Decision, Router
from gateway.core.travel import Starts, StraightLine
from gateway.event import Kind, Position, Severity
from gateway.roads import reach
from gateway.roads.in_use import look, roads_folder
from gateway.roads.lattice import Box
from gateway.roads.network import CUTOFF_M, Network
from gateway.roads.prepare import Prepared, missing, prepare
from gateway.roads.reach import UNKNOWN, ReachSets
from gateway.roads.times import RoadTimes
from gateway.roads.ways import Way, way_of
from gateway.routing_words import explained
from tests.roads.town import at

NOON = datetime(2026, 3, 14, 4, 0, tzinfo=UTC)  # a Saturday, 12:00 local: no rush, no night
RUSH = datetime(2026, 3, 13, 0, 0, tzinfo=UTC)  # a Friday, 08:00 local
RULES = RoutingConfig(roads=RoadsConfig(tiles="tiles", cell_m=100, reach_min=30))


def station(name: str, x: float, y: float, mode: str = "car", **more: object) -> Responder:
    lat, lon = at(x, y)
    return Responder(id=name, name="", kind=ResponderKind.STATION, lat=lat, lon=lon, mode=mode, **more)  # type: ignore[arg-type]


SOUTH_CAR = station("south-car", 0, -600)
NORTH_CAR = station("north-car", 1400, 1000)
SOUTH_FOOT = station("south-foot", 0, -600, "foot")
SOUTH_BICYCLE = station("south-bicycle", 0, -600, "", speed_kmh=15)
EVERYBODY = (SOUTH_CAR, NORTH_CAR, SOUTH_FOOT, SOUTH_BICYCLE)
ACROSS = (0, 600)  # 1.2 km north of the southern station, over the river


def register_of(*responders: Responder) -> Register:
    return Register(responders=responders, areas=(), version="v")


@pytest.fixture(scope="module")
def prepared(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(register_of(*EVERYBODY), RULES, tiles, tmp_path_factory.mktemp("roads"))


def minutes(prepared: Prepared, responder: Responder, x: float, y: float, when: datetime = NOON) -> float:
    return float(took(RoadTimes(prepared.sets, RULES), responder, x, y, when))


def straight(responder: Responder, x: float, y: float, when: datetime = NOON) -> float:
    return float(took(StraightLine(RULES), responder, x, y, when))


def took(travel: RoadTimes | StraightLine, responder: Responder, x: float, y: float, when: datetime) -> float:
    starts = Starts((responder,))
    lat, lon = at(x, y)
    return float(travel.minutes(starts, starts.km(lat, lon), lat, lon, when)[0])


def test_a_car_goes_round_by_the_bridge_and_the_straight_line_knows_nothing_of_it(prepared: Prepared) -> None:
    assert straight(SOUTH_CAR, *ACROSS) == pytest.approx(1.2 * 1.3 / 30 * 60, abs=0.05), "three minutes, through the water"
    by_road = minutes(prepared, SOUTH_CAR, *ACROSS)
    assert by_road > 7.2 / 60 * 60, "3 km east, the bridge, 3 km west: no car does 7.2 km in less at 60 km/h"
    assert by_road > 2 * straight(SOUTH_CAR, *ACROSS)


def test_who_walks_takes_the_footbridge(prepared: Prepared) -> None:
    assert minutes(prepared, SOUTH_FOOT, *ACROSS) == pytest.approx(1.2 / RULES.foot_kmh * 60, rel=0.15)


def test_a_one_way_street_is_one_way(tiles: Path) -> None:
    network = Network(tiles)
    end, mill = at(-2000, 400), at(-2800, 400)
    there = network.seconds(Way(*end, "car", 0.0), [mill])[0]
    back = network.seconds(Way(*mill, "car", 0.0), [end])[0]
    assert there is not None
    assert back is not None
    assert back > 4 * there, "back it is 800 m west of the ramp's foot by 3 km north and 3 km south"


def test_a_car_is_slower_in_the_rush_and_a_bicycle_of_ones_own_is_not(prepared: Prepared) -> None:
    assert minutes(prepared, SOUTH_CAR, 0, -1200, RUSH) == pytest.approx(minutes(prepared, SOUTH_CAR, 0, -1200) / RULES.rush_factor)
    assert minutes(prepared, SOUTH_BICYCLE, 0, -1200, RUSH) == minutes(prepared, SOUTH_BICYCLE, 0, -1200)


def test_every_cell_is_what_valhalla_itself_says_within_the_rounding(prepared: Prepared, tiles: Path) -> None:
    import valhalla

    config = valhalla.get_config(tile_extract="", tile_dir=str(tiles))
    config["thor"]["source_to_target_algorithm"] = "timedistancematrix"
    config["service_limits"]["auto"]["max_matrix_location_pairs"] = 100_000
    actor = valhalla.Actor(config)
    way = way_of(SOUTH_CAR, RULES)
    assert way is not None
    box, table = prepared.sets.table(way)
    lattice = prepared.sets.head.lattice
    cells = [(int(row), int(column)) for row, column in np.argwhere(table != UNKNOWN)][::37]
    assert len(cells) > 50
    targets = [dict(zip(("lat", "lon"), lattice.middle(box.row + r, box.column + c), strict=True), search_cutoff=CUTOFF_M) for r, c in cells]
    source = {"lat": way.lat, "lon": way.lon}
    asked = actor.matrix({"sources": [source], "targets": targets, "costing": "auto"})["sources_to_targets"][0]
    for (row, column), told in zip(cells, asked, strict=True):
        assert abs(table[row, column] / 10 - told["time"] / 60) <= 0.051, (row, column)


def test_every_route_of_valhalla_is_about_what_the_table_says(prepared: Prepared, tiles: Path) -> None:
    """By another of its algorithms, and to where the house is, not to the middle of the cell: within the way through a cell."""
    import valhalla

    actor = valhalla.Actor(valhalla.get_config(tile_extract="", tile_dir=str(tiles)))
    for place in (ACROSS, (2000, 800), (-1000, 1000), (1000, -1000), (2800, -400)):
        lat, lon = at(*place)
        locations = [{"lat": SOUTH_CAR.lat, "lon": SOUTH_CAR.lon}, {"lat": lat, "lon": lon}]
        told = actor.route({"locations": locations, "costing": "auto", "directions_type": "none"})["trip"]["summary"]["time"] / 60
        assert minutes(prepared, SOUTH_CAR, *place) == pytest.approx(told, abs=1.0), place


def test_where_no_road_is_the_straight_line_holds(prepared: Prepared) -> None:
    far_from_roads = (0, 3000)
    assert minutes(prepared, SOUTH_CAR, *far_from_roads) == straight(SOUTH_CAR, *far_from_roads)
    beyond_the_table = (40_000, 0)
    assert minutes(prepared, SOUTH_CAR, *beyond_the_table) == straight(SOUTH_CAR, *beyond_the_table)
    stranger = station("stranger", 200, -600)
    assert minutes(prepared, stranger, *ACROSS) == straight(stranger, *ACROSS)


def test_a_place_that_is_no_place_is_no_error(prepared: Prepared) -> None:
    travel = RoadTimes(prepared.sets, RULES)
    starts = Starts((SOUTH_CAR, Responder(id="somewhere", name="", kind=ResponderKind.STATION)))
    for lat, lon in ((float("nan"), 1.0), (float("inf"), 1.0), (1e300, 1.0), (36.3, -1e300), (-90.0, -180.0)):
        assert len(travel.minutes(starts, starts.km(36.3, 102.9), lat, lon, NOON)) == 2
        assert travel.source(SOUTH_CAR, lat, lon) == "straight_line"


def test_table_and_word_agree_everywhere(prepared: Prepared) -> None:
    """`source` and `minutes` look at the same cells: nothing is marked wrongly."""
    travel = RoadTimes(prepared.sets, RULES)
    starts = Starts(EVERYBODY)
    for x in range(-9000, 9001, 450):
        for y in (-9000, -1000, 100, 700, 5000):
            lat, lon = at(x, y)
            km = starts.km(lat, lon)
            differs = travel.minutes(starts, km, lat, lon, NOON) != StraightLine(RULES).minutes(starts, km, lat, lon, NOON)
            assert [travel.source(one, lat, lon) == "" for one in EVERYBODY] == differs.tolist(), (x, y)


# --- who is sent -------------------------------------------------------------------------------------------------------


def ask(router: Router, x: float, y: float) -> Decision:
    lat, lon = at(x, y)
    need = Need(kind=Kind.FALL, severity=Severity.CRITICAL, at=NOON, role=Role.SOCIAL, position=Position(lat=lat, lon=lon, source="home"))
    return router.choose(need, Around(lambda _name, _pool: 0, lambda _key: None), 2)


def test_the_station_on_this_bank_is_sent_and_not_the_nearer_one_beyond_the_river(prepared: Prepared) -> None:
    register = register_of(SOUTH_CAR, NORTH_CAR)
    assert ask(Router(register, RULES), *ACROSS).responder == "south-car", "the straight line sends a car into the river"
    decision = ask(Router(register, RULES, RoadTimes(prepared.sets, RULES)), *ACROSS)
    assert decision.responder == "north-car"
    assert decision.travel == f"roads:{prepared.sets.digest}"
    assert {one.responder: one.travel for one in decision.candidates} == {"north-car": "", "south-car": ""}


def test_a_decision_says_of_each_candidate_where_its_time_comes_from_and_is_made_again(prepared: Prepared) -> None:
    stranger = station("stranger", 1600, 600)
    register = register_of(SOUTH_CAR, NORTH_CAR, stranger)
    travel = RoadTimes(prepared.sets, RULES)
    decision = ask(Router(register, RULES, travel), *ACROSS)
    assert {one.responder: one.travel for one in decision.candidates}["stranger"] == "straight_line"
    assert travel.fallen_back == 1
    for language, word in (("en", "by the straight line, as no road is known"), ("zh-CN", "按直线距离")):
        lines = explained(decision, str, language)
        assert [word in line for line in lines if line.startswith(("- stranger", "- north-car"))].count(True) == 1, lines
    read = msgspec.json.decode(msgspec.json.encode(decision), type=Decision)
    assert Router(register, RULES, RoadTimes(prepared.sets, RULES)).again(read) == decision


# --- preparing ---------------------------------------------------------------------------------------------------------


def test_what_is_there_is_taken_over_and_the_rest_computed(tiles: Path, tmp_path: Path) -> None:
    one = prepare(register_of(SOUTH_FOOT), RULES, tiles, tmp_path)
    assert (one.computed, one.cut_off) == (1, 0)
    register = register_of(SOUTH_FOOT, NORTH_CAR)
    assert [way.wheels for way in missing(one.sets, register, RULES)] == ["car"]
    both = prepare(register, RULES, tiles, tmp_path)
    assert both.computed == 1
    assert missing(both.sets, register, RULES) == []
    assert {file.stem for file in tmp_path.glob("*.npz")} == {one.sets.digest, both.sets.digest}, "the old one stays: old decisions name it"
    again = prepare(register, RULES, tiles, tmp_path)
    assert (again.computed, again.sets.digest) == (0, both.sets.digest)
    fresh = prepare(register, RULES, tiles, tmp_path / "other")
    assert fresh.sets.digest == both.sets.digest, "the same tiles give the same tables"
    faster = prepare(register, msgspec.structs.replace(RULES, foot_kmh=5.0), tiles, tmp_path)
    assert faster.computed == 1, "who walks faster is another way, the car is not"


def test_a_station_far_from_every_road_is_cut_off_and_stays_so(tiles: Path, tmp_path: Path) -> None:
    island = station("island", 0, 20_000)
    register = register_of(island, SOUTH_FOOT)
    made = prepare(register, RULES, tiles, tmp_path)
    assert made.cut_off == 1
    assert missing(made.sets, register, RULES) == [], "it need not be asked again"
    assert minutes(made, island, *ACROSS) == straight(island, *ACROSS)
    (tmp_path / "config").mkdir()
    config = Config(
        routing=msgspec.structs.replace(RULES, roads=msgspec.structs.replace(RULES.roads, tiles=str(tiles))), path=str(tmp_path / "config" / "c")
    )
    made.sets.write(roads_folder(config))
    assert ", 1 of them without a road near them" in look(config, register).text


def test_only_so_many_files_are_kept_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "KEPT", 3)
    head = reach.Head(tiles="t", made_by="v", cell_m=100, reach_min=30, lat_step=0.001, lon_step=0.001)
    written = []
    (tmp_path / ".0123456789ab.77").write_bytes(b"half a file of somebody who was killed")
    os.utime(tmp_path / ".0123456789ab.77", (0, 0))
    for number in range(5):
        table = np.full((1, 1), number, dtype=np.uint16)
        written.append(ReachSets(head, {Way(36.0, 103.0, "car", 0.0): (Box(0, 0, 1, 1), table)}).write(tmp_path))
        os.utime(written[-1], (number, number))
    assert all(one != other for one, other in pairwise(written))
    assert sorted(tmp_path.glob("*.npz")) == sorted(written[-3:])
    assert list(tmp_path.glob(".*")) == []
    found = reach.current(tmp_path)
    assert found is not None
    assert found.digest == written[-1].stem
