"""The watch over HTTP: the list masked and by state, announcing and cancelling an absence, the ladder in the incident; who may not."""

from collections.abc import AsyncIterator
from datetime import timedelta, timezone

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry

from gateway.console.http import make_app
from tests.console import street
from tests.console.fake_house import STATIC, FakeHouse

BASE = "http://127.0.0.1:12349"


@pytest.fixture
def house() -> FakeHouse:
    return street.supervised_house()


@pytest.fixture
async def client(house: FakeHouse) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        yield client


async def on_duty(client: httpx.AsyncClient, name: str = "李娜") -> None:
    client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
    await client.post("/api/v1/duty", json={"name": name})


async def test_the_list_is_masked_and_who_is_missed_stands_first(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await street.miss_check_in(house)
    await on_duty(client)
    until = (house.now() + timedelta(days=2)).isoformat()
    reply = await client.post("/api/v1/watch/p018/absence", json={"by": "family", "name": "王小红", "note": "电话 13812341204", "until": until})
    assert reply.status_code == 200
    answer = (await client.get("/api/v1/watch")).json()
    assert [(row["person"]["id"], row["incident"] is not None, row["absent"] is not None) for row in answer["watched"][:2]] == [
        ("p017", True, False),
        ("p018", False, True),
    ]
    assert answer["counts"] == {"watched": 2, "absent": 1, "missed": 1}
    assert answer["after"] is None
    assert answer["watched"][1]["absent"]["name"] == "王**"
    text = msgspec.json.encode([answer, reply.json()]).decode()
    for person in house.register.persons.values():
        for secret in (person.name, person.address, *person.phones, person.health_note):
            assert secret not in text
    assert "王小红" not in text
    assert "13812341204" not in text
    for state, count in (("missed", 1), ("absent", 1), ("well", 2)):
        assert len((await client.get("/api/v1/watch", params={"state": state})).json()["watched"]) == count


async def test_the_incident_has_the_ladder_the_last_sign_and_the_absence(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await street.give_sign(house, 17)
    await street.miss_check_in(house)
    incident = street.missed(house)
    watch = (await client.get(f"/api/v1/incidents/{incident.id}")).json()["watch"]
    assert (watch["rules"], watch["last_sign"], watch["absent"]) == ("alone", "button", None)
    states = [step["state"] for step in watch["ladder"]["steps"]]
    assert states[incident.ladder] == "next"
    assert set(states[: incident.ladder]) <= {"done", "skipped"}
    assert set(states[incident.ladder + 1 :]) <= {"later"}
    assert watch["ladder"]["steps"][incident.ladder]["due_at"] is not None
    other = await house.cries(2)
    assert (await client.get(f"/api/v1/incidents/{other.id}")).json()["watch"] is None


async def test_who_may_not_and_what_makes_no_sense(house: FakeHouse, client: httpx.AsyncClient) -> None:
    path = "/api/v1/watch/p018/absence"
    assert (await client.post(path, json={})).json() == {"reason": "csrf"}
    client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
    assert (await client.post(path, json={})).json() == {"reason": "not_on_duty"}
    await on_duty(client)
    past = (house.now() - timedelta(minutes=1)).isoformat()
    for body, reason in (
        ({"until": past}, "bad_until"),
        ({"until": "tomorrow"}, "bad_until"),
        ({"until": "2026-01-01T08:00"}, "bad_until"),
        ({"until": "0001-01-01T00:00+08:00"}, "bad_until"),
        ({"by": "neighbour"}, "bad_by"),
        ({"name": 7}, "bad_name"),
        ({"colour": "red"}, "unknown_field"),
    ):
        reply = await client.post(path, json=body)
        assert (reply.status_code, reply.json()["reason"]) == (400, reason), body
    assert (await client.post("/api/v1/watch/p001/absence", json={})).json()["reason"] == "not_watched"
    assert (await client.post("/api/v1/watch/nobody/absence", json={})).json()["reason"] == "unknown_person"
    assert (await client.post("/api/v1/watch/p018/absence_over", json={})).json()["reason"] == "not_absent"
    assert house.working.watch.by_person["p018"].state.absence is None


async def test_until_comes_back_in_utc_whatever_zone_it_was_said_in(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await on_duty(client)
    until = (house.now() + timedelta(days=2)).replace(microsecond=0)
    said = until.astimezone(timezone(timedelta(hours=8))).isoformat()
    reply = await client.post("/api/v1/watch/p018/absence", json={"until": said})
    wanted = until.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert reply.json()["watch"]["absent"]["until"] == wanted
    (row,) = (await client.get("/api/v1/watch", params={"state": "absent"})).json()["watched"]
    assert row["absent"]["until"] == wanted


async def test_an_absence_that_cannot_be_written_is_not_announced(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await on_duty(client)
    house.store_down = True
    reply = await client.post("/api/v1/watch/p018/absence", json={})
    assert (reply.status_code, reply.json()) == (503, {"reason": "store_down"})
    assert house.working.watch.by_person["p018"].state.absence is None


async def test_a_family_link_is_for_who_consented_and_where_there_is_a_page(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await on_duty(client)
    person = next(one for one in house.register.persons.values() if one.contacts and not one.contacts[0].consent_on)
    path = f"/api/v1/watch/{person.id}/family_link"
    for number, status, reason in (
        (0, 400, "bad_contact"),
        (99, 400, "bad_contact"),
        ("1", 400, "bad_contact"),
        (True, 400, "bad_contact"),
        (1, 409, "no_consent"),
    ):
        reply = await client.post(path, json={"contact": number})
        assert (reply.status_code, reply.json()["reason"]) == (status, reason), number
    assert (await client.post("/api/v1/watch/nobody/family_link", json={"contact": 1})).json()["reason"] == "unknown_person"
    agreed = msgspec.structs.replace(person, contacts=(msgspec.structs.replace(person.contacts[0], consent_on="2026-01-01"), *person.contacts[1:]))
    house.register.persons[person.id] = agreed
    reply = await client.post(path, json={"contact": 1})
    assert (reply.status_code, reply.json()["reason"]) == (404, "no_page")
