"""[map]: what may be written there, and every fault with its key and remedy."""

from pathlib import Path

import pytest

from gateway.config import examine_config, read_config

BASE = '[map]\nattribution = "天地图"\napproval = "GS(2026)0001号"\n'
XYZ = '[[map.layer]]\nname = "streets"\nkind = "xyz"\nurl = "https://tiles.example/{z}/{x}/{y}.png?tk={key}"\nkey_file = "key"\ncrs = "cgcs2000"\n'
MBTILES = '[[map.layer]]\nname = "own"\nkind = "mbtiles"\nfile = "own.mbtiles"\n'

BAD = [
    ("one number", "[map]\ncenter = [36.3]", "map.center", "[latitude, longitude]"),
    ("exchanged", "[map]\ncenter = [102.86, 36.345]", "map.center", "looks exchanged"),
    ("no picture without a name", MBTILES, "map.attribution", "as the licence of the map asks"),
    ("no address", BASE + '[[map.layer]]\nname = "a"\nkind = "xyz"\n', "map.layer[1].url", "write url"),
    ("no file", BASE + '[[map.layer]]\nname = "a"\nkind = "mbtiles"\n', "map.layer[1].file", "write file"),
    ("both", BASE + MBTILES + 'url = "http://h/{z}/{x}/{y}"\n', "map.layer[1].url", "kind = 'xyz'"),
    ("half a square", BASE + '[[map.layer]]\nname = "a"\nkind = "xyz"\nurl = "http://h/{z}/{x}.png"\n', "map.layer[1].url", "lacks {y}"),
    ("a file", BASE + '[[map.layer]]\nname = "a"\nkind = "xyz"\nurl = "file:///{z}/{x}/{y}"\n', "map.layer[1].url", "is no web address"),
    ("whatever host", BASE + '[[map.layer]]\nname = "a"\nkind = "xyz"\nurl = "http://t{x}.h/{z}/{x}/{y}"\n', "map.layer[1].url", "in full"),
    (
        "a key from nowhere",
        BASE + '[[map.layer]]\nname = "a"\nkind = "xyz"\nurl = "http://h/{z}/{x}/{y}/{key}"\n',
        "map.layer[1].key_file",
        "write both",
    ),
    ("a key that is not there", BASE + XYZ, "map.layer[1].key_file", "there is no file 'key'"),
    ("zooms", BASE + MBTILES + "min_zoom = 9\nmax_zoom = 3\n", "map.layer[1].min_zoom", "exchange them"),
    ("two of one name", BASE + MBTILES + MBTILES, "map.layer", "a name of its own"),
    ("five", BASE + "".join(MBTILES.replace("own", f"own{n}") for n in range(5)), "map.layer", "more than 4"),
    ("two systems", BASE + MBTILES + MBTILES.replace("own", "amap") + 'crs = "gcj02"\n', "map.layer", "mixes gcj02"),
    ("unknown system", BASE + MBTILES + 'crs = "bd09"\n', "map.layer[1].crs", "gcj02"),
]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.toml"
    (tmp_path / "districts" / "honggu").mkdir(parents=True)
    file.write_text("")
    return file


@pytest.mark.parametrize(("text", "key", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_faults_name_key_and_remedy(house: Path, text: str, key: str, words: str) -> None:
    house.write_text(text, encoding="utf-8")
    _, problems = examine_config(house)
    assert any(problem.startswith(f"{house}: {key}: ") and words in problem for problem in problems), problems


def test_two_layers_and_a_key(house: Path) -> None:
    (house.parent / "key").write_text("secret")
    house.write_text(BASE + "center = [36.345, 102.86]\n" + XYZ + XYZ.replace("streets", "names"), encoding="utf-8")
    given = read_config(house).map
    assert (given.center, given.approval, [layer.name for layer in given.layer]) == ((36.345, 102.86), "GS(2026)0001号", ["streets", "names"])


def test_what_is_not_there_keeps_nobody_from_starting(house: Path) -> None:
    house.write_text(BASE + 'boundary = "nowhere.geojson"\n' + MBTILES, encoding="utf-8")
    assert read_config(house).map.layer[0].file == "own.mbtiles"
