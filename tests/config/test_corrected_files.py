"""Corrections laid over files: what is laid over, exported and read again is the same register; conflicts, levels, and what no longer applies."""

import csv
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.corrections import LISTS, Correction, Level, RecordKind, State, What
from gateway.core.register import Register
from gateway.correcting import Corrections
from gateway.errors import Refused
from gateway.register_files import export_rows, read_overlaid, read_register
from gateway.register_import import preview

NOW = datetime.now(UTC)
FILES = {
    "district.toml": 'name = "invented"\narea_code = "0931"\n',
    "areas.csv": "id,name,kind,parent,lat,lon\nd,区,district,,36.34,102.86\nt,镇,town,d,36.34,102.86\n",
    "responders.csv": (
        "id,name,kind,parent,areas,lat,lon,channel,phone\ndesk,desk,desk,,,,,console,\ns1,站一,station,desk,t,36.34,102.86,console,\n"
        "s2,站二,station,desk,t,36.35,102.87,console,\n"
    ),
    "persons.csv": (
        "id,name,born,area,address,lat,lon,datum,phones,health_note,confirmed_on,confirmed_by\n"
        "p1,王秀兰,1940,t,红古路1号,36.34,102.86,gcj02,17400000001,高血压,2026-01-05,村\n"
        "p2,李建国,1938,t,红古路2号,,,,17400000002,,,\n"
        "p3,张桂珍,1945,t,红古路3号,36.35,102.87,,0931-5550003,,,\n"
    ),
    "contacts.csv": "person,name,relation,phone\np1,王红,女儿,17400000101\np1,赵邻居,邻居,17400000102\np2,李强,儿子,17400000103\n",
    "devices.csv": "id,line,person,place\nw1,wearables,p1,\nw2,wearables,p2,\ngw,,,\n",
    "rosters.csv": "responder,days,hours,staff\ns1,1-5,08:00-18:00,2\n",
    "loans.csv": "id,lender,borrower,since,until,staff\nl1,s1,s2,2026-01-01,2026-12-31,1\n",
    "providers.csv": "id,since,until,services\ns1,2026-01-01,2027-01-01,meal\n",
    "agreements.csv": "id,helper,helped,since,until,kinds,duties,response_min\na1,s1,s2,2026-01-01,2026-12-31,all,夜间,20\n",
}


def write(folder: Path, **files: str) -> Path:
    """The district; names of files with _ for the dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {**FILES, **{name.replace("_csv", ".csv").replace("_toml", ".toml"): text for name, text in files.items()}}.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def correction(number: int, kind: RecordKind, key: str, what: What = What.CHANGED, **more: object) -> Correction:
    given: dict[str, object] = {"by": "李娜", "role": "operator", "level": Level.COMMUNITY, "at": NOW, "reason": "来电说明"} | more
    return Correction(number=number, kind=kind, key=key, what=what, **given)  # type: ignore[arg-type]


def contents(register: Register) -> dict[str, object]:
    return {
        "persons": register.persons,
        "devices": {(one.line, one.id): one for one in register.devices},
        "responders": register.responders,
        "shifts": register.shifts,
        "loans": {one.id: one for one in register.loans},
        "providers": register.providers,
        "agreements": register.agreements,
    }


def export(folder: Path, corrections: list[Correction], into: Path) -> Path:
    write(into)
    for kind in RecordKind:
        columns, rows = export_rows(folder, kind, corrections)
        with (into / kind.file).open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return into


text = st.text(alphabet="王李张 a1,;\"'-", max_size=12).map(str.strip)
phones = st.lists(st.integers(0, 999).map(lambda n: f"17400{n:06}"), max_size=3, unique=True).map(";".join)
person_cells = st.fixed_dictionaries(
    {},
    optional={
        "name": text.filter(bool),
        "phones": phones,
        "health_note": text,
        "address": text,
        "ability": st.sampled_from(("", "disabled")),
        "risks": st.sampled_from(("", "living_alone", "living_alone;no_kin")),
        "born": st.sampled_from(("", "1931")),
        "confirmed_on": st.sampled_from(("2026-11-01", "2027-01-01")),
        "doctor": st.sampled_from(("", "s1")),
    },
).filter(bool)
rows = st.lists(st.fixed_dictionaries({"name": text.filter(bool)}, optional={"phone": phones.filter(lambda p: p and ";" not in p)}), max_size=3)


@st.composite
def corrected(draw: st.DrawFn) -> list[Correction]:
    """Any mixture of corrections that a desk could make one after the other."""
    found: list[Correction] = []
    for number in range(1, draw(st.integers(1, 6)) + 1):
        person = draw(st.sampled_from(("p1", "p2", "p3")))
        choice = draw(st.sampled_from(("person", "contacts", "new", "removed", "device", "roster", "loan")))
        if choice == "person":
            found.append(correction(number, RecordKind.PERSONS, person, cells=draw(person_cells)))
        elif choice == "contacts":
            list_rows = tuple({"person": person, **row} for row in draw(rows))
            found.append(correction(number, RecordKind.CONTACTS, person, rows=list_rows))
        elif choice == "new":
            found.append(correction(number, RecordKind.PERSONS, f"n{number}", What.NEW, cells={"name": "新人", "area": "t", **draw(person_cells)}))
        elif choice == "removed":
            found.append(correction(number, RecordKind.PERSONS, "p3", What.REMOVED))
        elif choice == "device":
            found.append(
                correction(number, RecordKind.DEVICES, "wearables|w1", cells={"place": draw(text), "person": draw(st.sampled_from(("p2", "")))})
            )
        elif choice == "roster":
            shifts = draw(st.lists(st.sampled_from(("08:00-12:00", "12:00-18:00", "20:00-06:00")), max_size=3, unique=True))
            found.append(
                correction(number, RecordKind.ROSTERS, "s2", rows=tuple({"responder": "s2", "hours": hours, "staff": "1"} for hours in shifts))
            )
        else:
            found.append(correction(number, RecordKind.LOANS, "l1", cells={"staff": draw(st.sampled_from(("2", "3")))}))
    folder_rows = {RecordKind.CONTACTS: FILES["contacts.csv"], RecordKind.ROSTERS: FILES["rosters.csv"]}
    return [before_of(one, folder_rows) for one in found]


def before_of(one: Correction, lists: dict[RecordKind, str]) -> Correction:
    """With what the file says, as the gateway writes it down."""
    if one.kind in LISTS:
        key = "person" if one.kind is RecordKind.CONTACTS else "responder"
        return msgspec.structs.replace(one, rows_before=tuple(row for row in csv.DictReader(lists[one.kind].splitlines()) if row[key] == one.key))
    file = list(csv.DictReader(FILES[one.kind.file].splitlines()))
    row = next((row for row in file if row["id"] == one.key.rpartition("|")[2]), {})
    return msgspec.structs.replace(one, before=row if one.what is What.REMOVED else {name: row.get(name, "") for name in one.cells})


@given(corrections=corrected())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_laid_over_exported_and_read_again_is_the_same(tmp_path: Path, corrections: list[Correction]) -> None:
    folder = write(tmp_path / "district")
    laid = read_overlaid(folder, None, corrections)
    assert not [one for one in laid.findings if one.state in (State.INVALID, State.CONFLICT)]
    assert contents(read_register(export(folder, corrections, tmp_path / "exported"))) == contents(laid.register)


def test_a_correction_is_in_the_register_and_the_rest_is_as_it_was(tmp_path: Path) -> None:
    folder = write(tmp_path)
    plain = read_register(folder)
    laid = read_overlaid(folder, None, [correction(1, RecordKind.PERSONS, "p1", cells={"phones": "17400000009"}, before={"phones": "17400000001"})])
    assert laid.register.persons["p1"].phones == ("+8617400000009",)
    assert msgspec.structs.replace(laid.register.persons["p1"], phones=("+8617400000001",)) == plain.persons["p1"]
    assert laid.findings == ()
    assert laid.register.version != plain.version
    assert laid.bases[RecordKind.PERSONS, "p1"][0]["phones"] == "17400000001"


def test_a_place_is_corrected_as_one_whatever_datum_the_file_has(tmp_path: Path) -> None:
    folder = write(tmp_path)
    was = read_register(folder).persons["p1"]
    before = {"lat": repr(round(was.lat or 0, 6)), "lon": repr(round(was.lon or 0, 6))}
    laid = read_overlaid(folder, None, [correction(1, RecordKind.PERSONS, "p1", cells={"lat": "36.3", "lon": "102.9"}, before=before)])
    assert (laid.register.persons["p1"].lat, laid.register.persons["p1"].lon) == (36.3, 102.9)
    assert laid.findings == ()  # the file says in gcj02 what we wrote down in wgs84


PHONE = {"phones": "17400000009"}
AGED = {"at": NOW - timedelta(days=30), "before": {"phones": "17400000001"}}


def test_a_newer_statement_of_a_higher_level_goes_before_and_says_so(tmp_path: Path) -> None:
    folder = write(tmp_path, persons_csv=FILES["persons.csv"].replace("17400000001", "17400000555").replace("2026-01-05", ""))
    (laid,) = [read_overlaid(folder, None, [correction(1, RecordKind.PERSONS, "p1", cells=PHONE, **AGED)])]
    assert laid.register.persons["p1"].phones == ("+8617400000555",)
    (found,) = laid.findings
    assert (found.state, found.in_force, found.file, found.ours) == (State.CONFLICT, False, "17400000555", "17400000009")


@pytest.mark.parametrize(
    ("more", "files"),
    [
        ({"level": Level.DISTRICT}, {}),  # who says it is as high as the file
        ({"at": NOW + timedelta(days=1)}, {}),  # it is newer than the file
        ({}, {"confirmed": "2026-01-05"}),  # the row itself was said before it
        ({}, {"level": "community"}),  # the file is not above who says it
    ],
)
def test_else_the_correction_stays_until_somebody_decides(tmp_path: Path, more: dict[str, object], files: dict[str, str]) -> None:
    persons = FILES["persons.csv"].replace("17400000001", "17400000555").replace("2026-01-05", files.get("confirmed", ""))
    folder = write(tmp_path, persons_csv=persons, district_toml=FILES["district.toml"] + f'level = "{files.get("level", "district")}"\n')
    laid = read_overlaid(folder, None, [correction(1, RecordKind.PERSONS, "p1", cells=PHONE, **{**AGED, **more})])
    assert laid.register.persons["p1"].phones == ("+8617400000009",)
    (found,) = laid.findings
    assert (found.state, found.in_force) == (State.CONFLICT, True)


def test_a_file_that_has_taken_it_over_agrees_however_it_writes_it(tmp_path: Path) -> None:
    folder = write(tmp_path, persons_csv=FILES["persons.csv"].replace("17400000001", "174 0000 0009"))
    laid = read_overlaid(folder, None, [correction(1, RecordKind.PERSONS, "p1", cells={"phones": "+8617400000009"}, **AGED)])
    assert [one.state for one in laid.findings] == [State.AGREED]


def test_a_later_confirmation_in_the_file_is_no_conflict(tmp_path: Path) -> None:
    folder = write(tmp_path, persons_csv=FILES["persons.csv"].replace("2026-01-05", "2026-12-01"))
    cells = {"confirmed_on": "2026-11-01", "confirmed_by": "李娜"}
    laid = read_overlaid(
        folder, None, [correction(1, RecordKind.PERSONS, "p1", cells=cells, before={"confirmed_on": "2026-01-05", "confirmed_by": "村"})]
    )
    assert (laid.register.persons["p1"].confirmed_on, laid.register.persons["p1"].confirmed_by) == ("2026-12-01", "村")
    assert laid.findings == ()


def test_whose_record_is_gone_is_lost_and_what_became_wrong_is_left_out(tmp_path: Path) -> None:
    folder = write(tmp_path)
    row = list(csv.DictReader(FILES["persons.csv"].splitlines()))[1]
    corrections = [
        correction(1, RecordKind.PERSONS, "p9", cells=PHONE),
        correction(2, RecordKind.PERSONS, "p1", cells={"area": "no-such-area"}, before={"area": "t"}),
        correction(3, RecordKind.PERSONS, "p2", cells={"health_note": "摔伤"}, before={"health_note": ""}),
        correction(4, RecordKind.PERSONS, "p2", What.REMOVED, before=row),  # whose wearable is still registered
    ]
    laid = read_overlaid(folder, None, corrections)
    states = {one.number: one.state for one in laid.findings}
    assert states == {1: State.LOST, 2: State.INVALID, 4: State.INVALID}
    assert laid.register.persons["p2"].health_note == "摔伤"
    assert laid.register.persons["p1"] == read_register(folder).persons["p1"]
    assert "no area with this id" in next(one.why for one in laid.findings if one.number == 2)


def test_contacts_of_a_removed_person_go_with_them(tmp_path: Path) -> None:
    folder = write(tmp_path, devices_csv="id,line,person\nw1,wearables,\n")
    row = next(csv.DictReader(FILES["persons.csv"].splitlines()))
    laid = read_overlaid(folder, None, [correction(1, RecordKind.PERSONS, "p1", What.REMOVED, before=row)])
    assert set(laid.register.persons) == {"p2", "p3"}
    assert laid.findings == ()


def test_a_preview_says_what_would_change_and_takes_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path)
    os.utime(folder / "persons.csv", (0, 0))
    new = FILES["persons.csv"].replace("17400000001", "17400000555").replace("2026-01-05", "").replace("p3,", "p4,")
    kept = correction(1, RecordKind.PERSONS, "p1", cells=PHONE, **AGED)
    seen = preview(folder, None, [kept], RecordKind.PERSONS, new.encode())
    assert (seen.records, seen.same, seen.new, seen.changed, seen.missing) == (3, 1, 1, 1, 1)
    assert (seen.new_shown, seen.missing_shown) == (("p4",), ("p3",))
    (change,) = seen.changed_shown
    assert change.fields == {"phones": ("17400000001", "17400000555"), "confirmed_on": ("2026-01-05", "")}
    assert [(one.number, one.in_force) for one in seen.conflicts] == [(1, False)]
    faulty = preview(folder, None, [], RecordKind.PERSONS, FILES["persons.csv"].replace("1940", "soon").encode())
    assert "persons.csv: line 2: born" in faulty.faults[0]
    assert read_register(folder).persons["p1"].phones == ("+8617400000001",)


async def test_who_inherits_corrections_over_faulty_files_decides_by_what_is_in_force(tmp_path: Path) -> None:
    """A shard that moves here has its alarms decided at once, and the numbering of its corrections; a reload lays them over what was mended."""
    folder = write(tmp_path)
    register, taken = read_register(folder, None), []

    async def nothing(*_: object) -> None:
        raise AssertionError

    async def take(whole: Register) -> None:
        taken.append(whole)

    known = Corrections(lambda: folder, lambda: None, lambda: register, nothing, nothing, take)
    known.take_plain(register.version)
    (folder / "areas.csv").write_text("id,name\nd,", encoding="utf-8")  # somebody is at it
    one = correction(7, RecordKind.PERSONS, "p1", cells={"address": "红古路9号"})
    with pytest.raises(Refused):
        await known.renew([one])
    assert not await known.inherit([one])
    assert (taken, list(known.all)) == ([], [7])
    write(folder)
    assert read_overlaid(folder, None, known.standing).register.persons["p1"].address == "红古路9号"
