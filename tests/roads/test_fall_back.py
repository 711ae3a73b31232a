"""Whatever is wrong with the prepared files, help is sent by the straight line, and check, doctor and the command say what to do."""

import os
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

from gateway import doctor
from gateway.cli import main
from gateway.config import Config, read_config
from gateway.config.routing import RoutingConfig
from gateway.core.register import Register
from gateway.core.travel import StraightLine
from gateway.register_files import read_register
from gateway.roads import in_use, network, reach
from gateway.roads.in_use import look, roads_folder, travel_of
from gateway.roads.lattice import Box, box_of, lattice_at
from gateway.roads.reach import Head, ReachSets
from gateway.roads.times import RoadTimes
from gateway.roads.ways import Way, way_of, ways_of
from tests.roads.test_by_road import station

LAT, LON = 36.34, 102.86


class Place:
    """A district with two stations, its configuration, and reach sets made by hand: one minute to everywhere."""

    decided = by_road = 0  # decisions in its journal

    def __init__(self, folder: Path, tiles: str = "tiles") -> None:
        self.folder = folder
        district = folder / "districts" / "honggu"
        district.mkdir(parents=True)
        tables = {
            "areas": "id,name,kind,parent,lat,lon\nhonggu,honggu,district,,36.34,102.86\n",
            "persons": "id,name,born,area,home,address,lat,lon,phones,ability,categories,risks,health_note,confirmed_on\n",
            "contacts": "person,name,relation,phone\n",
            "devices": "id,line,person,home,area,place,lat,lon,model\n",
            "responders": (
                "id,name,kind,parent,areas,lat,lon,skills,hours,capacity,channel,address,phone,speed_kmh\n"
                "desk,desk,desk,,,,,,,1000,console,,,\n"
                f"one,one,station,desk,,{LAT},{LON},,,5,console,,,15\n"
                f"two,two,station,desk,,{LAT},{LON + 0.05},,,5,console,,,15\n"
            ),
        }
        (district / "district.toml").write_text('name = "honggu"\nlat = 36.34\nlon = 102.86\n', encoding="utf-8")
        for name, text in tables.items():
            (district / f"{name}.csv").write_text(text, encoding="utf-8")
        self.path = str(folder / "gateway.toml")
        Path(self.path).write_text(f'[gateway]\ndata = "var"\n[routing.roads]\ntiles = "{tiles}"\n', encoding="utf-8")

    @property
    def config(self) -> Config:
        return read_config(self.path)

    @property
    def register(self) -> Register:
        return read_register(self.config.district_folder)

    def tile(self, content: bytes = b"a tile") -> str:
        """Put tiles there that nobody can read; gives their fingerprint."""
        (self.folder / "tiles" / "2").mkdir(parents=True, exist_ok=True)
        (self.folder / "tiles" / "2" / "1.gph").write_bytes(content)
        return network.fingerprint(self.folder / "tiles")

    def sets(self, tiles: str = "t", ways: int = 2) -> ReachSets:
        lattice = lattice_at(LAT, 200)
        head = Head(tiles=tiles, made_by="v", cell_m=200, reach_min=30, lat_step=lattice.lat_step, lon_step=lattice.lon_step)
        tables = {}
        for way in ways_of(self.register.responders.values(), self.config.routing)[:ways]:
            box = box_of(way, lattice, 200, 30)
            tables[way] = (box, np.full((box.rows, box.columns), 10, dtype=np.uint16))
        return ReachSets(head, tables)

    @property
    def state(self) -> str:
        """The state; and what holds is what it says, never an error."""
        found = look(self.config, self.register)
        travel = travel_of(self.config, self.register)
        assert isinstance(travel, StraightLine if found.sets is None else RoadTimes)
        return found.state


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_off_is_the_straight_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    off = Place(tmp_path, tiles="")
    assert off.state == "off"
    assert main(["roads", "show", "--config", off.path]) == 0
    assert main(["roads", "prepare", "--config", off.path]) == 1
    assert "routing.roads.tiles is not set" in capsys.readouterr().err
    assert "travel times" not in {finding.what for finding in doctor.examine(off.config)}


def test_what_is_prepared_is_in_use_with_and_without_the_tiles_beside_it(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.sets(place.tile()).write(roads_folder(place.config))
    assert place.state == "in_use"
    assert main(["roads", "show", "--config", place.path]) == 0
    assert "2 places" in capsys.readouterr().out
    main(["check", "--config", place.path, "--lang", "en"])
    assert f"Travel times (estimates): roads:{place.sets(place.tile()).digest}" in capsys.readouterr().out
    finding = next(one for one in doctor.examine(place.config) if one.what == "travel times")
    assert finding.good
    (place.folder / "tiles" / "2" / "1.gph").unlink()
    (place.folder / "tiles" / "2").rmdir()
    (place.folder / "tiles").rmdir()
    assert place.state == "in_use", "prepared on another machine"


def test_missing_files_are_told_everywhere(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.state == "not_prepared"
    assert main(["roads", "show", "--config", place.path]) == 1
    assert "there is no folder" in capsys.readouterr().out
    assert main(["check", "--config", place.path, "--lang", "en"]) == 0
    out = capsys.readouterr().out
    assert "Travel times (estimates): straight line" in out
    assert "configured and not in use, the straight line holds: see gateway roads show: not_prepared" in out
    finding = next(one for one in doctor.examine(place.config) if one.what == "travel times")
    assert not finding.good


def test_other_tiles_or_other_cells_make_the_files_stale(place: Place) -> None:
    place.sets(place.tile()).write(roads_folder(place.config))
    place.tile(b"tiles of next month")
    assert place.state == "stale"
    place.tile()
    assert place.state == "in_use"
    with Path(place.path).open("a") as file:
        file.write("cell_m = 100\n")
    assert place.state == "stale"


def test_a_new_station_alone_goes_by_the_straight_line(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.sets(place.tile(), ways=1).write(roads_folder(place.config))
    assert place.state == "partly"
    found = look(place.config, place.register)
    assert (found.unknown, found.ways) == (1, 1)
    assert main(["check", "--config", place.path, "--lang", "en"]) == 0
    assert "1 responder for which no travel times by road are prepared, so that the straight line holds: run gateway roads prepare: two" in (
        capsys.readouterr().out
    )


def test_every_damaged_file_is_refused_with_its_name_and_nothing_is_raised(place: Place) -> None:
    sets = place.sets(place.tile())
    file = sets.write(roads_folder(place.config))
    whole = file.read_bytes()
    assert place.state == "in_use"
    refused = 0
    for damage in (b"", b"not a zip", whole[: len(whole) // 2], whole[:-10], b"\0" * len(whole)):
        file.write_bytes(damage)
        assert place.state == "damaged", damage[:20]
        assert str(file) in look(place.config, None).text
    for offset in range(0, len(whole), 29):  # one byte wrong anywhere: refused, or what is read is what was written
        file.write_bytes(whole[:offset] + bytes((whole[offset] ^ 0x5A,)) + whole[offset + 1 :])
        found = look(place.config, None)
        assert found.state in ("damaged", "in_use"), offset
        assert found.sets is None or found.sets.digest == sets.digest
        refused += found.state == "damaged"
    assert refused > 10
    file.unlink()
    assert place.state == "damaged", "the pointer leads nowhere"
    (file.parent / "current").write_bytes(b"\xff\xfe ../../etc/passwd\n")
    assert place.state == "damaged"
    (file.parent / "current").write_text("../../gateway")
    assert place.state == "damaged"


def test_a_file_whose_tables_do_not_fit_is_refused(place: Place) -> None:
    sets = place.sets()
    file = sets.write(roads_folder(place.config))
    with np.load(file) as parts:
        good = {name: parts[name] for name in parts.files}
    assert set(good) == {"head", "lat", "lon", "wheels", "kmh", "boxes", "cells"}
    other_head = np.frombuffer(msgspec.json.encode(msgspec.structs.replace(sets.head, format=2)), dtype=np.uint8)
    bad: list[dict[str, object]] = [
        {"cells": good["cells"][:-1]},
        {"cells": good["cells"].astype(np.int64)},
        {"boxes": good["boxes"] * -1},
        {"boxes": good["boxes"] * 1_000_000},
        {"boxes": good["boxes"][:, :3]},
        {"lat": good["lat"][:1]},
        {"wheels": np.array([7, 7], dtype=np.uint8)},
        {"head": other_head},
        {"head": np.frombuffer(b"{}", dtype=np.uint8)},
        {"kmh": good["kmh"] + 1},  # all in order but its name
        {"lat": np.array([object(), object()])},  # a pickle is never opened
    ]
    for change in bad:
        np.savez(file, **{**good, **change})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=file.name):
            reach.read(file.parent, sets.digest)
    np.savez(file, **good)  # type: ignore[arg-type]
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("something.npy", b"more")
    assert reach.read(file.parent, sets.digest) is not None


def test_a_folder_that_may_not_be_read_is_no_error(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.sets(place.tile()).write(roads_folder(place.config))

    def refused(_tiles: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(in_use, "fingerprint", refused)
    assert place.state == "stale"
    assert "Permission denied" in look(place.config, None).text


def test_without_the_library_preparing_says_how_to_get_it(place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    place.tile()
    monkeypatch.setitem(__import__("sys").modules, "valhalla", None)
    monkeypatch.setattr(os, "nice", lambda _by: 0)
    assert main(["roads", "prepare", "--config", place.path]) == 1
    assert "pip install 'gateway-12349[roads]'" in capsys.readouterr().err
    assert place.state == "not_prepared"


def test_a_way_is_how_somebody_moves() -> None:
    rules = RoutingConfig()
    lat, lon = station("s", 0, 0).lat or 0.0, station("s", 0, 0).lon or 0.0
    moves = {
        ("foot", 15.0): Way(lat, lon, "foot", 4.5),
        ("bicycle", 15.0): Way(lat, lon, "bicycle", 14.0),
        ("car", 15.0): Way(lat, lon, "car", 0.0),
        ("", 5.0): Way(lat, lon, "foot", 5.0),
        ("", 15.0): Way(lat, lon, "bicycle", 15.0),
        ("", 40.0): Way(lat, lon, "car", 0.0),
    }
    for (mode, kmh), way in moves.items():
        assert way_of(station("s", 0, 0, mode, speed_kmh=kmh), rules) == way
    lattice = lattice_at(36.3, 200)
    assert box_of(moves["foot", 15.0], lattice, 200, 30)[2:] == (25, 25), "2.25 km to each side"
    assert box_of(moves["car", 15.0], lattice, 200, 60)[2:] == (201, 201), "20 km and no farther"
    assert Box(*lattice.cell(lat, lon), 1, 1) == Box(*lattice.cell(*lattice.middle(*lattice.cell(lat, lon))), 1, 1)
