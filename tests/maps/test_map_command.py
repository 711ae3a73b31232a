"""gateway map: a boundary is taken over with its origin or refused with the remedy; what cannot be used is said."""

import json
from pathlib import Path

import pytest

from gateway.cli import main
from tests.maps.tiles import mbtiles, png

ORIGIN = ["--source", "Invented for a test", "--licence", "CC0"]
# From the fact sheet (docs of coordtransform and eviltransform): the same spot in three systems, (lon, lat).
BEIJING_BD, BEIJING_GCJ, BEIJING_WGS = (116.410097, 39.916463), (116.403724, 39.910123), (116.39748, 39.90872)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "districts" / "honggu").mkdir(parents=True)
    file = tmp_path / "gateway.toml"
    file.write_text('[gateway]\ndata = "var"\n')
    return file


def square(lon: float, lat: float, side: float = 0.02, **properties: object) -> dict[str, object]:
    ring = [[lon, lat], [lon + side, lat], [lon + side, lat + side], [lon, lat + side], [lon, lat]]
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}


def geojson(folder: Path, *features: object) -> Path:
    file = folder / "given.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return file


def run(config: Path, *words: str) -> int:
    return main(["map", *words, "--config", str(config)])


@pytest.mark.parametrize(("crs", "place"), [("wgs84", BEIJING_WGS), ("gcj02", BEIJING_GCJ), ("bd09", BEIJING_BD)])
def test_whatever_the_system_the_boundary_is_wgs84(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], crs: str, place: tuple[float, float]
) -> None:
    assert run(config, "import", str(geojson(tmp_path, square(*place))), "--crs", crs, *ORIGIN) == 0
    said = capsys.readouterr().out
    assert 'boundary = "var/map/honggu.geojson"' in said
    made = json.loads((tmp_path / "var" / "map" / "honggu.geojson").read_text())
    assert made["provenance"]["source"] == "Invented for a test"
    assert made["provenance"]["licence"] == "CC0"
    assert made["provenance"]["from_crs"] == crs
    lon, lat = made["features"][0]["geometry"]["coordinates"][0][0][0]
    assert (lon, lat) == pytest.approx(BEIJING_WGS, abs=4e-6)  # a third of a metre: the fact sheet has six digits


def test_what_is_imported_is_shown(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text('[map]\nboundary = "own.geojson"\n')
    assert run(config, "import", str(geojson(tmp_path, square(102.8, 36.3))), "--crs", "wgs84", *ORIGIN) == 0
    assert (tmp_path / "own.geojson").exists()
    assert "write into" not in capsys.readouterr().out
    assert run(config, "show") == 0
    assert "1 polygons, 5 points, 36.3000, 102.8000 to 36.3200, 102.8200; from wgs84" in capsys.readouterr().out


REFUSED = [
    ("a state by its code", [square(102.8, 36.3, adcode=100000)], ORIGIN, "border of a state"),
    ("a state by its level", [square(102.8, 36.3, admin_level="2")], ORIGIN, "border of a state"),
    ("a state by ISO", [square(102.8, 36.3, ISO_A3="CHN")], ORIGIN, "border of a state"),
    ("a border by its name", [square(102.8, 36.3, name="国界线")], ORIGIN, "border of a state"),
    ("a state by its size", [square(75.0, 20.0, 30.0)], ORIGIN, "wider than 12 degrees"),
    ("no source", [square(102.8, 36.3)], ["--licence", "CC0"], "--source is missing"),
    ("no licence", [square(102.8, 36.3)], ["--source", "me", "--licence", " "], "--licence is missing"),
    ("a line", [{"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[1, 2], [3, 4]]}}], ORIGIN, "neither Polygon"),
    ("exchanged", [square(36.3, 102.8)], ORIGIN, "exchanged"),
    ("metres", [square(450000.0, 4020000.0)], ORIGIN, "no place on a map"),
    ("open", [{"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [5, 6], [7, 8]]]}], ORIGIN, "not closed"),
    ("nothing", [], ORIGIN, "no polygon"),
]


@pytest.mark.parametrize(("features", "words", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], features: list[object], words: list[str], reason: str) -> None:
    given = geojson(tmp_path, *features)
    assert run(config, "import", str(given), "--crs", "gcj02", *words) == 1
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "var").exists()


def test_too_many_points_and_no_geojson_at_all(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ring = [[102 + n / 100_000, 36.0] for n in range(20_000)] + [[102.0, 36.0]]
    given = geojson(tmp_path, {"type": "Polygon", "coordinates": [ring]})
    assert run(config, "import", str(given), "--crs", "wgs84", *ORIGIN) == 1
    assert "20001 points" in capsys.readouterr().err
    given.write_bytes(b"PK\x03\x04")
    assert run(config, "import", str(given), "--crs", "wgs84", *ORIGIN) == 1
    assert "is no JSON" in capsys.readouterr().err
    with given.open("wb") as huge:
        huge.truncate(21 * 1024 * 1024)
    assert run(config, "import", str(given), "--crs", "wgs84", *ORIGIN) == 1
    assert "more than 20 MB" in capsys.readouterr().err


def test_show_says_what_cannot_be_used(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "show") == 0
    assert "no base map" in capsys.readouterr().out
    mbtiles(tmp_path / "good.mbtiles", {(12, 3217, 2486): png()})
    mbtiles(tmp_path / "vector.mbtiles", {(0, 0, 0): b"\x1f\x8b\x08 whatever"}, format="pbf")
    (tmp_path / "text.mbtiles").write_text("no database")
    (tmp_path / "own.geojson").write_text("{}")
    names = ("good", "vector", "text", "absent")
    layers = "".join(f'[[map.layer]]\nname = "{name}"\nkind = "mbtiles"\nfile = "{name}.mbtiles"\n' for name in names)
    config.write_text(f'[map]\nattribution = "x"\nboundary = "own.geojson"\n{layers}')
    assert run(config, "show") == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "good: mbtiles, wgs84, png, zoom 12 to 12"
    assert "holds vector tiles (format pbf); this map draws pictures" in said[1]
    assert "NOT USED" in said[2]
    assert "NOT USED" in said[3]
    assert "nobody says where it comes from" in said[4]
    assert "no approval number" in said[5]
    assert main(["check", "--config", str(config), "--lang", "en"]) in (0, 1)  # the district is empty here; the map alone stops nothing


def test_a_key_is_never_shown(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "key").write_text("tk-secret\n")
    config.write_text('[map]\nattribution = "x"\n[[map.layer]]\nname = "a"\nkind = "xyz"\nurl = "http://h/{z}/{x}/{y}?tk={key}"\nkey_file = "key"\n')
    assert run(config, "show") == 0
    said = capsys.readouterr().out
    assert "?tk={key}" in said
    assert "tk-secret" not in said
