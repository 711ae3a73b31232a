"""Rosters, calendar, loans, providers, agreements, borders and the newer columns: what is read of them, and every fault with its place and remedy."""

import contextlib
import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.check_territory import territory_doubts
from gateway.core.geometry import area_of
from gateway.core.register import Register
from gateway.core.territory import DayKind, ProviderState
from gateway.errors import ConfigError
from gateway.register_files import read_register

SQUARE = [[102.0, 36.0], [103.0, 36.0], [103.0, 37.0], [102.0, 37.0], [102.0, 36.0]]
HOLE = [[102.4, 36.4], [102.6, 36.4], [102.6, 36.6], [102.4, 36.6], [102.4, 36.4]]


def geojson(*features: object, **more: object) -> str:
    return json.dumps({"type": "FeatureCollection", "features": features, **more})


def feature(area: object, coordinates: object, kind: str = "Polygon", **properties: object) -> dict[str, object]:
    return {"type": "Feature", "properties": {"area": area, **properties}, "geometry": {"type": kind, "coordinates": coordinates}}


GOOD = {
    "district.toml": 'name = "small"\narea_code = "0931"\n[kind_names.station]\nzh-CN = "养老服务站"\nen = "Service stations"\n',
    "areas.csv": "id,name,kind,parent,lat,lon,elder_share\nsmall,小区,district,,36.3,102.8,\nwest,西街道,street,small,,,0.2\n",
    "responders.csv": "id,name,kind,parent,areas,capacity,channel,mode,beds,elders,label\ndesk,坐席,desk,,,,console,,,,\n"
    "one,驿站,station,centre,west,2,console,foot,,120,互助幸福院\ntwo,照料中心,care_centre,desk,,,console,car,101,,\n"
    "centre,中心,street_centre,desk,west,,console,,,,\n",
    "persons.csv": "id,name,area,doctor,hospital,language,entitled,conditions,medicines,allergies,blood\n"
    "p-1,张三,west,two,two,tibetan,yes,高血压,氨氯地平,青霉素,AB\n",
    "contacts.csv": "person,name,relation,phone,tell,channel,address,consent_on\np-1,王五,女儿,17400000009,alarm;over,,,2026-01-02\n",
    "devices.csv": "id\nw-1\n",
    "rosters.csv": "responder,days,hours,since,until,staff,people\n"
    "one,1-5;workday,08:00-20:00,,,2,s-1;s-2\none,,20:00-08:00,2026-01-01,2026-12-31,,\n",
    "calendar.csv": "date,kind,name\n2026-10-01,holiday,国庆节\n2026-10-10,workday,\n",
    "loans.csv": "id,lender,borrower,since,until,staff,skills\nl-1,one,two,2026-03-01,2026-03-31,1,lift\n",
    "providers.csv": "id,state,since,until,services,urgent,response_min,grade,scale,assessor,graded_on,grade_until,points,blocked\n"
    "two,probation,2026-01-01,2026-12-31,meals;care,yes,20,4,5,评估所,2026-01-15,2026-12-31,12.5,预付款用尽\n",
    "agreements.csv": "id,helper,helped,since,until,kinds,duties,response_min,both,model\n"
    "a-1,one,west,2026-01-01,2026-12-31,fall;service,派员支援,30,yes,no\n",
    "areas.geojson": geojson(feature("small", [SQUARE, HOLE]), feature("west", [[SQUARE]], "MultiPolygon")),
}


def write(folder: Path, **changed: str) -> Path:
    """The good folder with some files changed; keys as file names with _ for the dot. "" removes the file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {**GOOD, **{key.replace("_", "."): text for key, text in changed.items()}}.items():
        (folder / name).unlink(missing_ok=True)
        if text:
            (folder / name).write_text(text, encoding="utf-8")
    return folder


def problems_of(folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        read_register(folder)
    return refused.value.problems


@pytest.fixture
def register(tmp_path: Path) -> Register:
    return read_register(write(tmp_path))


def test_rosters_and_calendar_are_read(register):
    first, second = register.shifts["one"]
    assert (first.days, first.hours, first.staff, first.people) == ("1-5;workday", "08:00-20:00", 2, ("s-1", "s-2"))
    assert (second.days, second.since, second.until, second.staff) == ("", date(2026, 1, 1), date(2026, 12, 31), None)
    assert register.calendar == {date(2026, 10, 1): DayKind.HOLIDAY, date(2026, 10, 10): DayKind.WORKDAY}


def test_loans_providers_and_agreements_are_read(register):
    [loan] = register.loans
    assert (loan.lender, loan.borrower, loan.since, loan.until, loan.staff, loan.skills) == (
        "one",
        "two",
        date(2026, 3, 1),
        date(2026, 3, 31),
        1,
        ("lift",),
    )
    provider = register.providers["two"]
    assert (provider.state, provider.services, provider.urgent, provider.response_min) == (ProviderState.PROBATION, ("meals", "care"), True, 20)
    assert (provider.grade, provider.scale, provider.assessor, provider.graded_on) == (4, 5, "评估所", date(2026, 1, 15))
    assert (provider.grade_until, provider.points, provider.blocked) == (date(2026, 12, 31), 12.5, "预付款用尽")
    agreement = register.agreements["a-1"]
    assert (agreement.helper, agreement.helped, agreement.kinds, agreement.duties) == ("one", "west", ("fall", "service"), "派员支援")
    assert (agreement.response_min, agreement.both, agreement.model) == (30, True, False)


def test_the_newer_columns_are_read(register):
    one, two = register.responders["one"], register.responders["two"]
    assert (one.mode, one.elders, one.label, two.mode, two.beds) == ("foot", 120, "互助幸福院", "car", 101)
    assert register.responders["centre"].capacity == 2  # nothing is written, and 20 % of its street are elders
    person = register.persons["p-1"]
    assert (person.doctor, person.hospital, person.language, person.entitled) == ("two", "two", "tibetan", True)
    assert (person.conditions, person.medicines, person.allergies, person.blood) == ("高血压", "氨氯地平", "青霉素", "AB")
    [contact] = person.contacts
    assert (contact.tell, contact.channel, contact.consent_on) == (("alarm", "over"), "", "2026-01-02")
    assert register.kind_names == {"station": {"zh-CN": "养老服务站", "en": "Service stations"}}


def test_borders_are_read_with_their_holes(register):
    assert area_of(register, 36.1, 102.1) == "west"
    assert set(register.polygons) == {"small", "west"}
    only = Register(areas=[register.areas["small"]], polygons=register.polygons)
    assert area_of(only, 36.5, 102.5) is None  # in the hole
    assert area_of(only, 36.2, 102.5) == "small"


def test_every_file_may_be_absent(tmp_path):
    optional = ("rosters.csv", "calendar.csv", "loans.csv", "providers.csv", "agreements.csv", "areas.geojson")
    register = read_register(write(tmp_path, **{name.replace(".", "_"): "" for name in optional}))
    read = (register.shifts, register.calendar, register.loans, register.providers, register.agreements, register.polygons)
    assert not any(read)


@pytest.mark.parametrize("where", ["file", "feature"])
@pytest.mark.parametrize(("datum", "lon", "lat"), [("gcj02", 116.403724, 39.910123), ("bd09", 116.410097, 39.916463)])
def test_borders_of_any_datum_become_wgs84(tmp_path, datum, lon, lat, where):
    """The spot is Tian'anmen: 116.39748, 39.90872 in WGS-84. A square of 100 m round it contains it in its own datum, in another not."""
    size = 0.0005
    ring = [[lon + x * size, lat + y * size] for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1))]
    told = {"datum": datum}
    text = geojson(feature("small", [ring]), **told) if where == "file" else geojson(feature("small", [ring], **told))
    assert area_of(read_register(write(tmp_path / "right", areas_geojson=text)), 39.90872, 116.39748) == "small"
    text = geojson(feature("small", [ring]))
    assert area_of(read_register(write(tmp_path / "wrong", areas_geojson=text)), 39.90872, 116.39748) is None


def test_each_file_changes_the_version(tmp_path):
    versions = {read_register(write(tmp_path)).version}
    for name in ("rosters.csv", "calendar.csv", "loans.csv", "providers.csv", "agreements.csv", "areas.geojson"):
        write(tmp_path)
        (tmp_path / name).write_text((tmp_path / name).read_text() + "\n")
        versions.add(read_register(tmp_path).version)
    assert len(versions) == 7


def test_a_middle_outside_its_border_is_a_doubt(tmp_path):
    far = [[lon + 1, lat] for lon, lat in SQUARE]
    register = read_register(write(tmp_path, areas_geojson=geojson(feature("small", [far]))))
    assert [(doubt.what, doubt.ids) for doubt in register.warnings if doubt.file.endswith("areas.geojson")] == [("middle_outside", ("small",))]


BAD = [
    ("unknown responder", "rosters.csv", ("\none,1", "\nnine,1"), "line 2: responder:", "add it to responders.csv"),
    ("days", "rosters.csv", ("1-5;workday", "1-8"), "line 2: days:", "1 to 7 (Monday first)"),
    ("days backwards", "rosters.csv", ("1-5;workday", "5-1"), "line 2: days:", "1 to 7 (Monday first)"),
    ("hours", "rosters.csv", ("08:00-20:00", "8-20"), "line 2: hours:", "HH:MM-HH:MM"),
    ("no such day", "rosters.csv", ("2026-12-31", "2026-02-30"), "line 3: until:", "YYYY-MM-DD"),
    ("dates backwards", "rosters.csv", ("2026-12-31", "2025-12-31"), "line 3: until:", "the last day"),
    ("more people than staff", "rosters.csv", (",2,s-1", ",1,s-1"), "line 2: people:", "correct staff or people"),
    ("one shift twice", "rosters.csv", ("\none,,", "\none,1-5;workday,08:00-20:00,,,1,\none,,"), "line 3: hours:", "one row of both"),
    ("day twice", "calendar.csv", ("2026-10-10,workday", "2026-10-01,holiday"), "line 3: date:", "remove one"),
    ("kind of day", "calendar.csv", ("holiday", "feast"), "line 2: kind:", "holiday, workday"),
    ("worked Wednesday", "calendar.csv", ("2026-10-10", "2026-10-14"), "line 3: kind:", "only worked weekends"),
    ("unknown lender", "loans.csv", ("l-1,one", "l-1,nine"), "line 2: lender:", "add it to responders.csv"),
    ("lent to oneself", "loans.csv", ("one,two", "one,one"), "line 2: borrower:", "who gets the staff"),
    ("loan without end", "loans.csv", ("2026-03-31", ""), "line 2: until:", "write it"),
    ("loan doubled", "loans.csv", ("1,lift\n", "1,lift\nl-2,one,two,2026-03-01,2026-03-31,1,lift\n"), "line 3: id:", "remove one"),
    ("nobody lent", "loans.csv", (",1,lift", ",0,lift"), "line 2: staff:", "from 1 to"),
    ("unknown provider", "providers.csv", ("\ntwo", "\nnine"), "line 2: id:", "add it to responders.csv"),
    ("state", "providers.csv", ("probation", "trial"), "line 2: state:", "applied, admitted"),
    ("grade above its scale", "providers.csv", (",4,5,", ",4,3,"), "line 2: grade:", "correct grade or scale"),
    ("grade of nobody", "providers.csv", ("评估所", ""), "line 2: assessor:", "who gave it"),
    ("grade of no day", "providers.csv", ("2026-01-15", ""), "line 2: graded_on:", "the day"),
    ("urgent", "providers.csv", (",yes,", ",1,"), "line 2: urgent:", "write yes or no"),
    ("agreement without content", "agreements.csv", ("派员支援", ""), "line 2: duties:", "write it"),
    ("agreement without kinds", "agreements.csv", ("fall;service", ""), "line 2: kinds:", "write it"),
    ("agreement without dates", "agreements.csv", ("2026-01-01", ""), "line 2: since:", "write it"),
    ("agreement without a measure", "agreements.csv", (",30,", ",,"), "line 2: response_min:", "write it"),
    ("kind of agreement", "agreements.csv", ("fall;service", "falls"), "line 2: kinds:", "urgent, service, all"),
    ("unknown helper", "agreements.csv", ("one,west", "nine,west"), "line 2: helper:", "responders.csv or areas.csv"),
    ("helps itself", "agreements.csv", ("one,west", "one,one"), "line 2: helped:", "write who is helped"),
    ("agreement twice", "agreements.csv", ("a-1,", "a-1,one,west,2026-01-01,2026-12-31,all,x,3,,\na-1,"), "line 3: id:", "an id of its own"),
    ("told without consent", "contacts.csv", ("2026-01-02", ""), "line 2: consent_on:", "empty tell"),
    ("told without a number", "contacts.csv", ("17400000009", ""), "line 2: phone:", "the number that gets the message"),
    ("told by no way", "contacts.csv", (",,,2026", ",email,,2026"), "line 2: address:", "an e-mail or web address"),
    ("moment", "contacts.csv", ("alarm;over", "always"), "line 2: tell:", "alarm, coming, over"),
    ("unknown doctor", "persons.csv", ("west,two", "west,nine"), "line 2: doctor:", "add it to responders.csv"),
    ("entitled", "persons.csv", (",yes,", ",maybe,"), "line 2: entitled:", "write yes or no"),
    ("mode", "responders.csv", ("foot", "horse"), "line 3: mode:", "foot, bicycle, car"),
    ("share", "areas.csv", ("0.2\n", "20\n"), "line 3: elder_share:", "from 0 to 1"),
    ("kind of a name", "district.toml", ("kind_names.station", "kind_names.stations"), "kind_names.stations:", "write one of station"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "change", "where", "remedy"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_each_fault_names_file_place_and_remedy(tmp_path, file, change, where, remedy):
    text = GOOD[file].replace(change[0], change[1], 1)
    assert text != GOOD[file]
    problems = problems_of(write(tmp_path / "small", **{file.replace(".", "_"): text}))
    assert len(problems) == 1, problems
    assert file in problems[0]
    assert where in problems[0]
    assert remedy in problems[0]


BOW = [[102.0, 36.0], [103.0, 37.0], [103.0, 36.0], [102.0, 37.0], [102.0, 36.0]]
FAR = [[112.0, 36.0], [112.1, 36.0], [112.1, 36.1], [112.0, 36.0]]
BAD_BORDERS = [
    ("not closed", geojson(feature("small", [SQUARE[:-1]])), "feature 1: ring 1: is not closed", "the first again"),
    (
        "crosses itself",
        geojson(feature("west", [SQUARE]), feature("small", [BOW])),
        "feature 2: ring 1: crosses or touches itself",
        "without the loop",
    ),
    (
        "latitude first",
        geojson(feature("small", [[point[::-1] for point in SQUARE]])),
        "feature 1: ring 1: point 1: latitude and longitude",
        "[longitude,",
    ),
    ("unknown area", geojson(feature("nowhere", [SQUARE])), "feature 1: area: there is no area", "add it to areas.csv"),
    ("no area", geojson(feature(None, [SQUARE])), "feature 1: has no property area", "write the id"),
    ("twice", geojson(feature("small", [SQUARE]), feature("small", [SQUARE])), "feature 2: area: stands in feature 1 too", "MultiPolygon"),
    ("a point", geojson(feature("small", [102, 36], "Point")), "feature 1: geometry: is neither Polygon", "closed polygon"),
    ("too few points", geojson(feature("small", [SQUARE[:3]])), "feature 1: ring 1: has fewer than four points", "three corners"),
    ("one spot", geojson(feature("small", [[SQUARE[0]] * 5])), "feature 1: ring 1: has fewer than three", "closed polygon"),
    ("no numbers", geojson(feature("small", [[["a", "b"]] * 4])), "feature 1: ring 1: point 1 is no pair", "[longitude, latitude]"),
    ("off the earth", geojson(feature("small", [[[500, 36], *SQUARE]])), "feature 1: ring 1: point 1 is no place", "in degrees"),
    ("second polygon", geojson(feature("small", [[SQUARE], [BOW]], "MultiPolygon")), "feature 1: polygon 2: ring 1: crosses", "without the loop"),
    ("hole elsewhere", geojson(feature("small", [SQUARE, FAR])), "feature 1: ring 2: lies outside", "a polygon of its own"),
    ("datum", geojson(feature("small", [SQUARE]), datum="gcj"), "datum: is not a word", "wgs84, gcj02"),
    ("datum of a feature", geojson(feature("small", [SQUARE], datum="gcj")), "feature 1: datum: is not a word", "wgs84, gcj02"),
    ("no finite number", geojson(feature("small", [[[10**400, 36], *SQUARE]])), "feature 1: ring 1: point 1 is no place", "in degrees"),
    ("no collection", json.dumps(feature("small", [SQUARE])), "is no FeatureCollection", "RFC 7946"),
    ("no JSON", "{", "is no JSON", "GeoJSON"),
]


@pytest.mark.parametrize(("text", "what", "remedy"), [row[1:] for row in BAD_BORDERS], ids=[row[0] for row in BAD_BORDERS])
def test_each_fault_of_a_border_names_feature_and_ring(tmp_path, text, what, remedy):
    problems = problems_of(write(tmp_path, areas_geojson=text))
    assert len(problems) == 1, problems
    assert f"areas.geojson: {what}" in problems[0]
    assert remedy in problems[0]


@pytest.mark.parametrize("text", ["[]", "null", "3", '{"type": "FeatureCollection", "features": [1, null, [], {}]}', "\x00", "[" * 100_000])
def test_nothing_but_config_error_whatever_the_borders_hold(tmp_path, text):
    assert problems_of(write(tmp_path, areas_geojson=text))


@given(st.sampled_from(sorted(GOOD)), st.data())
def test_nothing_but_config_error_whatever_a_file_holds(tmp_path_factory, file, data):
    """Good files with a few bytes changed, taken out or put in."""
    folder = write(tmp_path_factory.getbasetemp() / "any")
    text = bytearray(GOOD[file].encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    (folder / file).write_bytes(text)
    with contextlib.suppress(ConfigError):
        register = read_register(folder)
        list(territory_doubts(register, folder, datetime(2026, 11, 18, tzinfo=UTC)))


def test_faults_of_all_files_are_told_at_once(tmp_path):
    broken = {
        "rosters_csv": "responder\nnine\n",
        "loans_csv": "id\nl\n",
        "agreements_csv": "id\na\n",
        "areas_geojson": "{",
        "calendar_csv": "date\nx\n",
    }
    told = {problem.partition(": ")[0].rpartition("/")[2] for problem in problems_of(write(tmp_path, **broken))}
    assert told == {"rosters.csv", "loans.csv", "agreements.csv", "areas.geojson", "calendar.csv"}
