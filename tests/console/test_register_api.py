"""Correcting the register over HTTP: where each field comes from, who may correct what, conflicts, files; all journalled, nothing shown unasked."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from gateway.console.guard import Guard
from gateway.console.http import make_app
from gateway.console.reader import Reader
from gateway.console.register_figures import facets
from gateway.core.account import AccountRole
from gateway.core.register import Area, AreaKind, Person, Register
from gateway.event import Kind
from gateway.register_files import file_rows
from tests.console.fake_house import STATIC, FakeHouse

NOBODY = "+8617400000099"


@pytest.fixture
def house() -> FakeHouse:
    house = FakeHouse()
    assert house.corrections.standing == []
    return house


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Who asks: role and areas may be changed by the test."""
    given: dict[str, Any] = {"role": AccountRole.SUPERVISOR, "areas": frozenset()}

    def reader_of(_: Guard, session: object, address: str = "") -> Reader:
        return Reader(name="李娜", is_on_duty=True, is_verified=True, **given)

    monkeypatch.setattr(Guard, "reader_of", reader_of)
    return given


@pytest.fixture
async def client(house: FakeHouse, reader: dict[str, Any]) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:12349") as client:
        client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
        yield client


async def say(client: httpx.AsyncClient, what: str, **body: object) -> httpx.Response:
    return await client.post(f"/api/v1/register/{what}", json={"reason": "来电说明", **body})


async def field(client: httpx.AsyncClient, key: str, name: str) -> dict[str, Any]:
    record = (await client.get(f"/api/v1/register/records/persons/{key}")).json()["record"]
    found: dict[str, Any] = next(one for one in record["fields"] if one["name"] == name)
    return found


async def test_a_record_says_where_each_field_comes_from_and_shows_nobody(house: FakeHouse, client: httpx.AsyncClient) -> None:
    reply = await client.get("/api/v1/register/records/persons/p001")
    person = house.register.persons["p001"]
    for secret in (person.name, person.phones[0], person.phones[0][3:], person.address, person.health_note, person.contacts[0].name):
        assert secret not in reply.text
    body = reply.json()
    assert {one["source"]["from"] for one in body["record"]["fields"]} == {"file"}
    assert [row["relation"] for row in body["contacts"]["rows"]] == ["女儿", "邻居"]
    assert [row["key"] for row in body["devices"]] == ["wearables|w001"]
    assert house.notes == []  # nothing was opened


async def test_it_is_opened_for_a_reason_that_is_journalled_first(house: FakeHouse, client: httpx.AsyncClient) -> None:
    assert (await client.post("/api/v1/register/records/persons/p001", json={})).json() == {"reason": "missing_reason"}
    house.store_down = True
    assert (await client.post("/api/v1/register/records/persons/p001", json={"reason": "回拨"})).status_code == 503
    house.store_down = False
    reply = await client.post("/api/v1/register/records/persons/p001", json={"reason": "回拨"})
    assert house.register.persons["p001"].phones[0] in reply.text
    (note,) = house.notes
    assert note[0] is Kind.VIEWED
    assert (note[2]["person"], note[2]["reason"]) == ("p001", "回拨")


async def test_a_number_is_corrected_and_the_caller_is_known_by_it(house: FakeHouse, client: httpx.AsyncClient) -> None:
    was = house.register.persons["p001"].phones[0]
    reply = await say(client, "correct", kind="persons", key="p001", cells={"phones": "174 0000 0099"}, source="caller")
    assert reply.status_code == 200, reply.text
    assert [one.id for one in house.register.persons_with_phone(NOBODY)] == ["p001"]
    assert house.register.persons_with_phone(was) == ()
    source = (await field(client, "p001", "phones"))["source"]
    assert (source["from"], source["by"], source["reason"], source["source"]) == ("person", "李娜", "来电说明", "caller")
    assert (await field(client, "p001", "name"))["source"]["from"] == "file"
    kind, actor, facts = house.notes[-1]
    assert (kind, actor, facts["record"], facts["fields"]) == (Kind.CORRECTED, "李娜", "persons", ["phones"])
    assert (facts["before"], facts["after"]) == ({"phones": was}, {"phones": "174 0000 0099"})


async def test_what_is_wrong_or_nothing_is_refused_with_the_field(house: FakeHouse, client: httpx.AsyncClient) -> None:
    before = house.register
    reply = await say(client, "correct", kind="persons", key="p001", cells={"phones": "12", "born": "soon"})
    assert reply.status_code == 400
    assert {fault["field"] for fault in reply.json()["faults"]} == {"phones", "born"}
    assert (await say(client, "correct", kind="persons", key="p001", cells={"area": "nowhere"})).json()["reason"] == "bad_cells"
    assert (await say(client, "correct", kind="persons", key="p001", cells={"nonsense": "x"})).json()["reason"] == "bad_field"
    assert (await say(client, "correct", kind="persons", key="p001", cells={})).json()["reason"] == "nothing_changed"
    assert (await say(client, "correct", kind="persons", key="nobody", cells={"phones": NOBODY})).status_code == 404
    assert (await say(client, "correct", kind="persons", key="p001", cells={"phones": NOBODY}, reason=" ")).json()["reason"] == "missing_reason"
    assert house.register is before
    assert house.notes == []


async def test_contacts_change_their_order(house: FakeHouse, client: httpx.AsyncClient) -> None:
    rows = [{"name": "赵邻居", "relation": "邻居", "phone": "+869315550000"}, {"name": "王小红", "relation": "女儿", "phone": "17400000101"}]
    seen = (await client.get("/api/v1/register/records/persons/p001")).json()["contacts"]["newest"]
    assert (await say(client, "correct", kind="contacts", key="p001", rows=rows, seen=seen)).status_code == 200
    assert [one.name for one in house.register.persons["p001"].contacts] == ["赵邻居", "王小红"]
    late = await say(client, "correct", kind="contacts", key="p001", rows=[], seen=seen)
    assert (late.status_code, late.json()["reason"], late.json()["by"]) == (409, "changed_meanwhile", "李娜")


async def test_taken_back_what_was_said_before_counts_again(house: FakeHouse, client: httpx.AsyncClient) -> None:
    was = house.register.persons["p001"].phones
    first = (await say(client, "correct", kind="persons", key="p001", cells={"phones": "17400000098"})).json()["correction"]
    second = (await say(client, "correct", kind="persons", key="p001", cells={"phones": "17400000099"})).json()["correction"]
    history = (await client.get("/api/v1/register/history/persons/p001")).json()["corrections"]
    assert [(one["number"], one["state"]) for one in history] == [(second, "stands"), (first, "superseded")]
    assert "17400000099" not in str(history)
    assert (await say(client, "take_back", correction=second)).status_code == 200
    assert house.register.persons["p001"].phones == ("+8617400000098",)
    assert (await say(client, "take_back", correction=first)).status_code == 200
    assert house.register.persons["p001"].phones == was
    assert (await say(client, "take_back", correction=first)).json()["reason"] == "ended"


async def test_confirmed_today_makes_the_card_young(house: FakeHouse, client: httpx.AsyncClient) -> None:
    assert (await client.post("/api/v1/register/confirm", json={"kind": "persons", "key": "p001", "source": "caller"})).status_code == 200
    body = (await client.get("/api/v1/register/records/persons/p001")).json()["record"]
    assert (body["confirmed"]["by"], body["confirmed"]["days"]) == ("李娜", 0)


async def test_people_and_things_come_and_go(house: FakeHouse, client: httpx.AsyncClient) -> None:
    new = await say(client, "new", kind="persons", cells={"name": "新人", "area": "pingan", "phones": "17400000099"})
    key = new.json()["key"]
    assert house.register.persons[key].name == "新人"
    assert (await say(client, "new", kind="devices", cells={"line": "wearables", "id": "w900", "person": key})).status_code == 200
    device = house.register.device("wearables", "w900")
    assert device is not None
    assert device.person == key
    refused = await say(client, "remove", kind="persons", key=key)
    assert (refused.json()["reason"], refused.json()["by"]) == ("still_used", ["w900"])
    assert (await say(client, "remove", kind="devices", key="wearables|w900")).status_code == 200
    assert (await say(client, "remove", kind="persons", key=key)).status_code == 200
    assert key not in house.register.persons
    assert house.register.persons_with_phone(NOBODY) == ()


async def test_rosters_agreements_and_loans_are_read_anew_whole(house: FakeHouse, client: httpx.AsyncClient) -> None:
    rows = [{"days": "1-5", "hours": "08:00-18:00", "staff": "2"}, {"days": "6;7", "staff": "0"}]
    assert (await say(client, "correct", kind="rosters", key="station-1", rows=rows)).status_code == 200
    assert [one.hours for one in house.register.shifts["station-1"]] == ["08:00-18:00", ""]
    loan = {"id": "l1", "lender": "station-1", "borrower": "station-2", "since": "2026-01-01", "until": "2036-01-01"}
    assert (await say(client, "new", kind="loans", cells=loan)).status_code == 200
    assert [one.id for one in house.register.loans] == ["l1"]
    provider = {"id": "station-1", "since": "2026-01-01", "until": "2027-01-01", "services": "meal"}
    assert (await say(client, "new", kind="providers", cells=provider)).status_code == 200
    assert (
        await say(client, "correct", kind="providers", key="station-1", cells={"until": "2028-01-01", "services": "meal;bath"})
    ).status_code == 200
    assert house.register.providers["station-1"].services == ("meal", "bath")
    reply = await say(client, "correct", kind="responders", key="station-1", cells={"parent": "nobody"})
    assert reply.json()["reason"] == "bad_cells"
    assert house.register.responders["station-1"].parent == "street-haishiwan"
    assert (await say(client, "remove", kind="responders", key="street-haishiwan")).json()["reason"] == "bad_cells"  # stations are under it


async def test_an_operator_corrects_what_is_said_on_the_telephone_in_their_area(reader: dict[str, Any], client: httpx.AsyncClient) -> None:
    reader |= {"role": AccountRole.OPERATOR, "areas": frozenset(("pingan",))}
    assert (await say(client, "correct", kind="persons", key="p001", cells={"phones": "17400000099"})).status_code == 200
    assert (await say(client, "correct", kind="persons", key="p001", cells={"health_note": "摔伤"})).status_code == 200
    assert (await client.post("/api/v1/register/confirm", json={"kind": "persons", "key": "p001"})).status_code == 200
    for body in (
        {"kind": "persons", "key": "p001", "cells": {"name": "别人"}},
        {"kind": "devices", "key": "wearables|w001", "cells": {"person": "p003"}},
        {"kind": "rosters", "key": "street-haishiwan", "rows": []},
    ):
        assert (await say(client, "correct", **body)).status_code == 403
    assert (await say(client, "correct", kind="persons", key="p000", cells={"phones": "17400000099"})).json()["reason"] == "foreign_area"
    assert (await client.get("/api/v1/register/records/persons/p000")).json()["reason"] == "foreign_area"
    assert (await client.post("/api/v1/register/records/persons/p000", json={"reason": "x"})).json()["reason"] == "foreign_area"
    for what in ("new", "remove", "decide", "import", "import/take", "export"):
        assert (await say(client, what)).json()["reason"] == "no_right"
    found = await say(client, "search", wanted="p000", kind="persons")
    assert found.json()["reason"] == "unknown_field"  # no reason is asked for
    assert (await client.post("/api/v1/register/search", json={"wanted": "p000"})).json()["rows"] == []
    assert [one["key"] for one in (await client.post("/api/v1/register/search", json={"wanted": "p001"})).json()["rows"]] == ["p001"]


async def imported(house: FakeHouse, client: httpx.AsyncClient, text: str) -> dict[str, Any]:
    """Preview, then take."""
    seen: dict[str, Any] = (await client.post("/api/v1/register/import", json={"kind": "persons", "csv": text})).json()
    taken = await client.post("/api/v1/register/import/take", json={"kind": "persons", "csv": text, "digest": seen["digest"], "reason": "月度导入"})
    assert taken.status_code == 200, taken.text
    return seen


def persons_csv(house: FakeHouse) -> str:
    folder = house.corrections._folder()
    return (folder / "persons.csv").read_text(encoding="utf-8")


async def test_an_import_is_looked_at_before_it_is_taken_and_contradictions_are_decided(
    house: FakeHouse, reader: dict[str, Any], client: httpx.AsyncClient
) -> None:
    reader["role"] = AccountRole.OPERATOR
    was = house.register.persons["p001"].phones[0]
    for key in ("p001", "p002"):
        assert (await say(client, "correct", kind="persons", key=key, cells={"phones": f"1740000{key[1:]}9"})).status_code == 200
    reader["role"] = AccountRole.SUPERVISOR
    assert (await say(client, "correct", kind="persons", key="p004", cells={"phones": "17400000039"})).status_code == 200
    text = persons_csv(house)
    for key in ("p001", "p002", "p004"):  # the municipality says something else of all three
        text = text.replace(f"+86199{int(key[1:]):08}", f"+8617400555{key[1:]}")
    seen = await imported(house, client, text)
    assert (seen["changed"], seen["new"], seen["missing"], seen["faults"]) == (3, 0, 0, [])
    assert sorted(one["key"] for one in seen["conflicts"]) == ["p001", "p002", "p004"]
    assert was not in str(seen)
    phones = {key: house.register.persons[key].phones[0] for key in ("p001", "p002", "p004")}
    # newer and of a higher level than what an operator was told; what a supervisor has said stays
    assert phones == {"p001": "+8617400555001", "p002": "+8617400555002", "p004": "+8617400000039"}
    conflicts = (await client.get("/api/v1/register/conflicts")).json()["rows"]
    by_key = {one["key"]: one for one in conflicts}
    assert {key: one["in_force"] for key, one in by_key.items()} == {"p001": False, "p002": False, "p004": True}
    keep = await say(client, "decide", correction=by_key["p001"]["number"], decision="keep")
    assert keep.status_code == 200, keep.text
    assert (await say(client, "decide", correction=by_key["p002"]["number"], decision="file")).status_code == 200
    assert (await say(client, "decide", correction=by_key["p004"]["number"], decision="file")).status_code == 200
    assert {key: house.register.persons[key].phones[0] for key in phones} == {
        "p001": "+8617400000019",
        "p002": "+8617400555002",
        "p004": "+8617400555004",
    }
    assert (await client.get("/api/v1/register/conflicts")).json()["rows"] == []
    folder = house.corrections._folder()
    assert len(list((folder / "before").glob("persons-*.csv"))) == 1


async def test_a_faulty_file_is_told_line_by_line_and_never_taken(house: FakeHouse, client: httpx.AsyncClient) -> None:
    text, before = persons_csv(house).replace("honggu", "honggu").replace(",pingan,", ",nowhere,", 1), house.register
    seen = (await client.post("/api/v1/register/import", json={"kind": "persons", "csv": text})).json()
    assert seen["may_take"] is False
    assert "line 3: area: there is no area with this id" in seen["faults"][0]
    taken = await client.post("/api/v1/register/import/take", json={"kind": "persons", "csv": text, "digest": seen["digest"], "reason": "x"})
    assert (taken.status_code, taken.json()["reason"]) == (409, "files_faulty")
    stale = await client.post("/api/v1/register/import/take", json={"kind": "persons", "csv": text, "digest": "x", "reason": "x"})
    assert stale.json()["reason"] == "changed_meanwhile"
    assert house.register is before
    assert persons_csv(house) != text


async def test_an_export_has_the_corrections_in_it(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await say(client, "correct", kind="persons", key="p001", cells={"phones": "17400000099"})
    reply = await say(client, "export", kind="persons")
    folder, tables = house.corrections._folder(), house.corrections.tables
    kind = next(one for one in tables.columns if one == "persons")
    rows = {row["id"]: row for _, row in file_rows(folder, kind, tables, data=reply.content)}
    assert rows["p001"]["phones"] == "17400000099"
    assert len(rows) == len(house.register.persons)
    assert house.notes[-1][0] is Kind.EXPORTED


async def test_nothing_changes_while_nothing_can_be_written(house: FakeHouse, client: httpx.AsyncClient) -> None:
    before = house.register
    house.store_down = True
    assert (await say(client, "correct", kind="persons", key="p001", cells={"phones": "17400000099"})).status_code == 503
    assert house.register is before
    assert house.corrections.all == {}


async def test_quality_counts_lead_to_records(house: FakeHouse, client: httpx.AsyncClient) -> None:
    counts = (await client.get("/api/v1/register/quality")).json()["counts"]
    assert counts["not_confirmed"] == len(house.register.persons)
    await say(client, "correct", kind="contacts", key="p001", rows=[])
    assert (await client.get("/api/v1/register/quality")).json()["counts"]["no_contact"] == counts["no_contact"] + 1
    rows = (await client.get("/api/v1/register/quality/no_contact")).json()["rows"]
    assert "p001" in [one["key"] for one in rows]
    assert house.register.persons["p001"].name not in str(rows)
    assert (await client.get("/api/v1/register/quality/nonsense")).status_code == 400


def test_no_cell_of_the_facets_lets_one_of_a_few_be_found() -> None:
    areas = [Area(id=f"s{n}", name=f"街{n}", kind=AreaKind.STREET) for n in range(3)]
    people = [Person(id=f"p{n}", name="甲", born=1950, area=f"s{n % 2}", contacts=()) for n in range(40)]
    people += [Person(id=f"q{n}", name="乙", born=1930, area="s0", watch="alone") for n in range(3)]
    people += [Person(id=f"r{n}", name="丙", born=1935, area="s2") for n in range(2)]
    view = facets(Register(persons=people, areas=areas), people, datetime(2026, 3, 1, tzinfo=UTC) + timedelta())
    rows = {row["area"]: row["counts"] for row in view["rows"]}
    assert set(rows["s2"].values()) == {None}  # two people live there
    for name in rows["s0"]:
        told = [rows[street][name] for street in rows]
        assert all(count is None or count == 0 or count >= view["least"] for count in told)
        assert told.count(None) != 1 or sum(count or 0 for count in told) == 0  # else a total gives it away


@pytest.mark.parametrize("text", ['=HYPERLINK("http://x")', "@SUM(A1)", "+cmd|' /C calc'!A0", "-1+1", "\uff1d1"])
async def test_nobody_writes_a_formula_into_a_file_of_the_register(client: httpx.AsyncClient, text: str) -> None:
    """What an operator types a supervisor opens in a spreadsheet."""
    reply = await say(client, "correct", kind="persons", key="p001", cells={"health_note": text})
    assert (reply.status_code, reply.json()["faults"][0]["field"]) == (400, "health_note")
    rows = [{"name": text, "relation": "邻居", "phone": NOBODY}]
    assert (await say(client, "correct", kind="contacts", key="p001", rows=rows)).status_code == 400
    for fine in ("+8617400000099", "17400000099;+8617400000098", "-"):
        known = "phones" if fine != "-" else "health_note"
        assert (await say(client, "correct", kind="persons", key="p001", cells={known: fine})).status_code == 200, fine
