"""`gateway replay` of decisions by road: equal while the reach sets of then are kept, and told when they are gone or are not those of then."""

from pathlib import Path

import pytest

from gateway.cli import main
from gateway.core.register import ResponderKind
from gateway.roads.in_use import roads_folder
from gateway.roads.times import RoadTimes
from gateway.store import routing_data
from gateway.store.store import Batch, Store
from tests.core.room import RESPONDERS, Room
from tests.roads.test_fall_back import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A journal with decisions by the straight line, and then by road, of which the sets do not know everybody."""
    place = Place(tmp_path)
    room = Room()
    room.press("w-wang")
    rows = (f"{one.id},{one.name},{one.kind},,,{one.lat},{one.lon},,,5,console,,,15" for one in RESPONDERS if one.kind is ResponderKind.STATION)
    file = tmp_path / "districts" / "honggu" / "responders.csv"
    file.write_text("\n".join([*file.read_text().splitlines()[:2], *rows]) + "\n", encoding="utf-8")
    sets = place.sets(ways=2)
    sets.write(roads_folder(place.config))
    room.working.travel_by(RoadTimes(sets, room.working.routing))
    room.press("w-li")
    room.press("lobby")
    store = Store("sqlite:///gateway.db", place.config.data_folder)
    store.open()
    store.write(Batch(records=room.records))
    routing_data.keep(store.engine, room.working.router, room.working.register, room.now)
    store.close()
    decided = [record.facts for record in room.records if b'"decision":{' in record.facts]
    by_road = [facts for facts in decided if b'"travel":"roads:' in facts]
    assert any(b'"travel":"straight_line"' in facts for facts in by_road), "somebody whom the sets do not know"
    place.decided, place.by_road = len(decided), len(by_road)
    assert place.decided > place.by_road >= 2
    return place


def test_the_past_by_road_comes_out_equal(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--config", place.path]) == 0
    assert capsys.readouterr().out == f"{place.decided} decisions made again: {place.decided} equal, 0 differ\n"


def test_other_sets_since_then_change_nothing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.sets("tiles of next month", ways=1).write(roads_folder(place.config))
    assert main(["replay", "--config", place.path]) == 0
    assert capsys.readouterr().out == f"{place.decided} decisions made again: {place.decided} equal, 0 differ\n"


def test_a_rehearsal_measures_by_the_road_of_then(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    rules = place.folder / "rules.toml"
    rules.write_text("[routing]\ndetour = 1.3\n", encoding="utf-8")
    assert main(["replay", "--config", place.path, "--rules", str(rules)]) == 0
    assert capsys.readouterr().out.startswith(f"{place.decided} decisions asked again: 0 would send somebody else; 0.0 minutes gained, 0.0 lost")


@pytest.mark.parametrize("damage", [None, b"damaged"])
def test_when_the_sets_are_gone_it_says_so(place: Place, damage: bytes | None, capsys: pytest.CaptureFixture[str]) -> None:
    (file,) = roads_folder(place.config).glob("*.npz")
    file.unlink()
    if damage is not None:
        file.write_bytes(damage)
    assert main(["replay", "--config", place.path]) == 0
    told = capsys.readouterr()
    alike = place.decided - place.by_road
    assert told.out.endswith(f"{alike} decisions made again: {alike} equal, 0 differ\n")
    assert (
        f"{place.by_road} cannot be made again (other_travel): made with travel times of a road network whose file is not here any more" in told.err
    )
