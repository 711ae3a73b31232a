"""Coverage: every figure equals what plain SQL finds in the district's own files; the page has its map and tables in both languages."""

import csv
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli import main

HEADS = {
    "areas": "id,name,kind,parent,lat,lon",
    "responders": "id,name,kind,parent,areas,lat,lon,skills,hours,capacity,channel,address,phone,speed_kmh",
    "persons": "id,name,born,area,home,address,lat,lon,phones,ability,categories,risks,health_note,confirmed_on",
    "devices": "id,line,person,home,area,place,lat,lon,model",
}
ROWS = {
    "areas": [
        "d,区,district,,36.34,102.86",
        "t1,东镇,town,d,36.34,102.86",
        "t2,西镇,town,d,36.34,102.60",
        "c1,社区,community,t1,36.34,102.86",
        "v1,村,village,t2,,",
    ],
    "responders": [
        "desk,坐席,desk,,,,,,,1000,console,,,",
        "centre,中心,district_centre,desk,,36.40,102.90,,,4,console,,,40",
        "day,日间站,station,centre,c1,36.341,102.861,,08:00-20:00,2,console,,,15",
        "always,全天站,station,centre,t2,36.345,102.70,,,2,console,,,30",
        "helper,邻居,neighbour,,,36.34,102.60,,,1,console,,,60",
    ],
    "devices": [],
}
HOMES = [*((f"p{n}", "c1", 36.34 + n / 500, 102.86 + n / 300) for n in range(12)), *((f"q{n}", "v1", 36.33, 102.58 + n / 100) for n in range(9))]


@pytest.fixture
def district(tmp_path: Path) -> Path:
    """Two towns, one station open by day and one always; everybody and everything invented. Two persons without a place, one of no area."""
    folder = tmp_path / "districts" / "d"
    folder.mkdir(parents=True)
    (folder / "district.toml").write_text('name = "d"\nlat = 36.34\nlon = 102.86\n[names]\nzh-CN = "虚构区"\nen = "Invented"\n', encoding="utf-8")
    persons = [f"{name},某人,1940,{area},,,{lat:.5f},{lon:.5f},,self_caring,,,," for name, area, lat, lon in HOMES]
    persons += ["x1,某人,1940,c1,,,,,,self_caring,,,,", "x2,某人,1940,v1,,,,,,self_caring,,,,", "y1,某人,1940,,,,36.34000,102.86000,,self_caring,,,,"]
    for name, head in HEADS.items():
        rows = persons if name == "persons" else ROWS[name]
        (folder / f"{name}.csv").write_text("\n".join([head, *rows, ""]), encoding="utf-8")
    config = tmp_path / "gateway.toml"
    config.write_text('[gateway]\ndistrict = "d"\ndata = "var"\n', encoding="utf-8")
    return config


@pytest.fixture
def tables(district: Path) -> Iterator[sqlite3.Connection]:
    """The same files as tables of a database."""
    connection = sqlite3.connect(":memory:")
    for name in HEADS:
        with (district.parent / "districts" / "d" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            head, *rows = csv.reader(file)
        connection.execute(f"create table {name} ({','.join(head)})")
        connection.executemany(f"insert into {name} values ({','.join('?' * len(head))})", [[cell or None for cell in row] for row in rows])
    yield connection
    connection.close()


MINUTES = """
    select p.id as person, p.area as area, min(
        6371.0088 * acos(min(1.0, sin(radians(p.lat)) * sin(radians(r.lat))
            + cos(radians(p.lat)) * cos(radians(r.lat)) * cos(radians(p.lon - r.lon))))
        * 1.3 / r.speed_kmh * 60) as minutes
    from persons p join responders r on r.kind = 'station'
        and (r.hours is null or (substr(r.hours, 1, 5) <= :clock and :clock < substr(r.hours, 7, 5)))
    where p.lat is not null group by p.id
"""
BELOW = "with recursive below(id) as (select :area union select areas.id from areas join below on areas.parent = below.id)"


def found(district: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert main(["report", "coverage", "--json", "--on", "2026-11-23", "--config", str(district)]) == 0
    answer: dict[str, object] = json.loads(capsys.readouterr().out)
    return answer


def test_every_figure_is_what_sql_finds(district: Path, tables: sqlite3.Connection, capsys: pytest.CaptureFixture[str]) -> None:
    coverage = found(district, capsys)
    areas = {one["id"]: one for one in coverage["areas"]}  # type: ignore[attr-defined]
    assert set(areas) == {"d", "t1", "t2", "c1", "v1", ""}
    for place, clock in enumerate(("10:00", "03:00")):
        for name in ("d", "t1", "t2", "c1", "v1"):
            sql = f"{BELOW} select count(*), sum(minutes <= 15), max(minutes) from ({MINUTES}) where area in below"
            located, reached, farthest = tables.execute(sql, {"clock": clock, "area": name}).fetchone()
            mine = areas[name]["reach"][place]
            assert (mine["located"], mine["reached"]) == (located, reached), (name, clock)
            assert mine["farthest_min"] == pytest.approx(farthest, abs=0.01)
        located, reached = tables.execute(f"select count(*), sum(minutes <= 15) from ({MINUTES})", {"clock": clock}).fetchone()
        whole = coverage["whole"]["reach"][place]  # type: ignore[index]
        assert (whole["located"], whole["reached"]) == (located, reached)
    assert coverage["whole"]["reach"][0]["reached"] > coverage["whole"]["reach"][1]["reached"] > 0  # type: ignore[index]
    for name in ("d", "c1", "v1"):
        sql = f"{BELOW} select count(*), sum(lat is null) from persons where area in below"
        assert (areas[name]["persons"], areas[name]["without_place"]) == tables.execute(sql, {"area": name}).fetchone()
    assert areas[""]["persons"] == 1


def test_who_is_outside_and_the_targets(district: Path, tables: sqlite3.Connection, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    assert main(["report", "coverage", "--outside", str(outside), "--on", "2026-11-23", "--config", str(district)]) == 0
    said = capsys.readouterr().out
    with outside.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    wanted = tables.execute(f"select person from ({MINUTES}) where minutes > 15 order by minutes desc, person", {"clock": "10:00"}).fetchall()
    assert [row[0] for row in rows] == [row[0] for row in wanted]
    assert rows
    assert "target goals_communities: 1 of 1 areas served, 100% asked: met" in said
    share = tables.execute(f"select avg(minutes <= 15) from ({MINUTES}) where area = 'v1'", {"clock": "10:00"}).fetchone()[0]
    assert f"target goals_villages: {int(share >= 0.5)} of 1 areas served" in said


def test_the_neighbour_and_the_centre_are_nobody_s_circle(district: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside every home of the west lives a neighbour; the circle is drawn round stations."""
    coverage = found(district, capsys)
    west = next(one for one in coverage["areas"] if one["id"] == "v1")  # type: ignore[attr-defined]
    assert west["reach"][0]["reached"] < west["reach"][0]["located"]


def test_the_page(district: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "coverage.html"
    for language, words in (
        ("zh-CN", ("十五分钟服务圈覆盖", "虚构区", "无坐标", "覆盖目标")),
        ("en", ("Coverage of the fifteen-minute circle", "Invented")),
    ):
        assert main(["report", "coverage", "--html", str(page), "--language", language, "--config", str(district)]) == 0
        text = page.read_text("utf-8")
        for word in (*words, '<svg class="map"', "<circle", "</html>"):
            assert word in text
        assert "<script" not in text
        assert "p11" not in text, "nobody is named"
    capsys.readouterr()
