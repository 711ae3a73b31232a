"""Providers and ordinary requests over HTTP: who may not, what is shown, every ruling with its reason; requests are no part of the alarms' list."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry

from gateway.config import PolicyConfig
from gateway.console.http import make_app
from gateway.core.incident import State
from gateway.core.register import Register, Responder, ResponderKind
from gateway.core.standing import Ruling
from gateway.core.state import WorkingSet
from gateway.core.territory import Provider, ProviderState
from gateway.event import Kind
from tests.console.fake_house import STATIC, FakeHouse, invented_register

BASE = "http://127.0.0.1:12349"
PROVIDERS = [
    Provider(id="clean-home", services=("housekeeping", "meals"), grade=4, assessor="third-party-1"),
    Provider(id="good-care", services=("housekeeping",), state=ProviderState.APPLIED),
]


@pytest.fixture
def house() -> FakeHouse:
    house = FakeHouse()
    plain = invented_register()
    people = [msgspec.structs.replace(one, entitled=one.id == "p001") for one in plain.persons.values()]
    more = [Responder(id=row.id, name=row.id, kind=ResponderKind.PROVIDER, lat=36.345, lon=102.86, capacity=2) for row in PROVIDERS]
    responders = [*plain.responders.values(), *more]
    house.register = Register(
        district="honggu",
        name=plain.name,
        persons=people,
        devices=plain.devices,
        areas=plain.areas.values(),
        responders=responders,
        providers=PROVIDERS,
        version="with-providers",
    )
    house.working_set = WorkingSet(house.register, PolicyConfig(service_quiet=""))
    return house


@pytest.fixture
async def client(house: FakeHouse) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        yield client


async def on_duty(client: httpx.AsyncClient, name: str = "李娜") -> None:
    client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
    await client.post("/api/v1/duty", json={"name": name})


async def test_who_may_not_rule_or_file(client: httpx.AsyncClient) -> None:
    for path in ("/api/v1/providers/clean-home/state", "/api/v1/requests"):
        assert (await client.post(path, json={})).json() == {"reason": "csrf"}
        client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
        assert (await client.post(path, json={})).json() == {"reason": "not_on_duty"}
        del client.headers["X-CSRF"]


async def test_the_life_of_a_provider(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await on_duty(client)

    async def rules(what: str, name: str = "good-care", **body: object) -> tuple[int, Any]:
        reply = await client.post(f"/api/v1/providers/{name}/{what}", json=body)
        return reply.status_code, reply.json().get("provider") or reply.json()["reason"]

    answer = (await client.get("/api/v1/providers")).json()
    assert [(row["id"], row["state"], row["why_not"]) for row in answer["providers"]] == [
        ("clean-home", "admitted", ""),
        ("good-care", "applied", "applied"),
    ]
    assert answer["counts"] == {"applied": 1, "admitted": 1, "probation": 0, "suspended": 0, "exited": 0}
    assert answer["providers"][0]["grade"] == {
        **{"stars": 4.0, "scale": 5, "assessor": "third-party-1", "on": None, "until": None},
        "share": 0.8,
    }
    assert await rules("state", state="admitted") == (400, "missing_reason")
    assert await rules("state", state="suspended", reason="late") == (409, "not_from_applied")
    assert await rules("state", state="probation", reason="papers are complete", colour="red") == (400, "unknown_field")
    status, row = await rules("state", state="probation", reason="papers are complete")
    assert (status, row["state"], row["why_not"], row["ruled"]["by"], row["ruled"]["reason"]) == (200, "probation", "", "李娜", "papers are complete")
    until = (house.now() + timedelta(days=2)).isoformat()
    assert (await rules("freeze", until=until, reason="prepaid funds"))[1]["why_not"] == "frozen"
    assert (await rules("unfreeze", reason="they paid back"))[1]["why_not"] == ""
    assert (await rules("block", why="credit", reason="told by the bank"))[1]["blocked"]["value"] == "credit"
    assert await rules("state", state="admitted", reason="a year without complaint") == (409, "blocked")
    assert (await rules("unblock", reason="told by the bank"))[1]["blocked"] is None
    status, row = await rules("grade", stars=3, scale=3, assessor="third-party-2", on="2026-01-05")
    assert (status, row["grade"]["share"], row["grade"]["assessor"]) == (200, 1.0, "third-party-2")
    assert await rules("proposal", decision="confirm", reason="last") == (409, "no_proposal")
    assert await rules("state", name="stranger", state="admitted", reason="x") == (404, "unknown_provider")
    rulings = [row for _, row in house.journal if row.kind == Kind.RULING]
    assert [row.actor for row in rulings] == ["李娜"] * len(rulings)
    assert [str(row.facts["key"]).partition(":")[0] for row in rulings] == ["provider", "frozen", "frozen", "blocked", "blocked", "grade"]
    suspended = (await client.get("/api/v1/providers", params={"state": "suspended"})).json()
    assert suspended["providers"] == []
    assert (await client.get("/api/v1/providers", params={"state": "gone"})).status_code == 400


async def test_the_same_ruling_again_is_made_once(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await on_duty(client)
    for _ in range(2):
        reply = await client.post(
            "/api/v1/providers/clean-home/state", json={"state": "probation", "reason": "two complaints"}, headers={"Idempotency-Key": "k1"}
        )
        assert reply.status_code == 200
    assert sum(row.kind == Kind.RULING for _, row in house.journal) == 1


async def test_a_proposal_is_decided_by_a_person_and_leaves_nobody_bare(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await on_duty(client)
    detail: dict[str, object] = {"scores": {"clean-home": [0.31, 40]}, "proposed": {"clean-home": {"place": 2, "of": 2}}}
    await house.rule(Ruling(key="ranking:1", value="ranked", actor="gateway", detail=detail))
    (row,) = (await client.get("/api/v1/providers", params={"state": "proposal"})).json()["providers"]
    assert (row["id"], row["state"], row["score"], row["sample"], row["proposal"]["detail"]["place"]) == ("clean-home", "admitted", 0.31, 40, 2)
    one = (await client.get("/api/v1/providers/clean-home")).json()["provider"]
    assert one["leaves_bare"]["what"] in ("housekeeping", "meals")
    reply = await client.post("/api/v1/providers/clean-home/proposal", json={"decision": "confirm", "reason": "worst of all"})
    assert (reply.status_code, reply.json()["reason"]) == (409, "leaves_bare")
    reply = await client.post("/api/v1/providers/clean-home/proposal", json={"decision": "reject", "reason": "the only one"})
    assert (reply.json()["provider"]["proposal"], reply.json()["provider"]["state"]) == (None, "admitted")


async def test_a_request_is_filed_listed_and_no_alarm(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await on_duty(client)
    wanted = (house.now() + timedelta(days=1)).isoformat()
    body = {"person": "p001", "service": "家政", "wanted_at": wanted, "wish": "ring 13812341204 first"}
    for _ in range(2):
        reply = await client.post("/api/v1/requests", json=body, headers={"Idempotency-Key": "r1"})
        assert (reply.status_code, reply.json()["outcome"]) == (200, "filed")
    await house.cries(2)
    answer = (await client.get("/api/v1/requests")).json()
    (row,) = answer["requests"]
    assert (row["service"], row["service_name"], row["entitled"], row["provider"]["responder"]) == ("housekeeping", "家政服务", True, "clean-home")
    assert row["wish"] == "ring 138****1204 first"
    person = house.register.persons["p001"]
    for secret in (person.name, person.address, *person.phones, person.health_note):
        assert secret not in msgspec.json.encode(answer).decode()
    assert answer["counts"] == {"raised": 1, "acknowledged": 0, "resolved": 0, "unmatched": []}
    frame = (await client.get("/api/v1/changes")).json()
    shown = [item for item in frame["items"] if item["type"] == "incident"]
    assert [item["kind"] for item in shown] == ["sos"]
    counters = {item["id"]: item for item in frame["items"] if item["type"] == "counter"}
    assert (counters["queue"]["open"], counters["queue"]["warning"]) == (1, 0)
    assert (counters["requests"]["raised"], counters["requests"]["unmatched"]) == (1, 0)
    detail = (await client.get(f"/api/v1/incidents/{row['id']}")).json()
    assert (detail["request"]["service"], [step["id"] for step in detail["plan"]]) == ("housekeeping", ["dispatch"])
    reply = await client.post(f"/api/v1/incidents/{row['id']}/cancel", json={"reason": "the daughter came"})
    assert reply.status_code == 200
    assert house.incidents[row["id"]].state is State.CLOSED
    frame = (await client.get("/api/v1/changes")).json()
    (counter,) = [item for item in frame["items"] if item["id"] == "requests"]
    assert (counter["raised"], counter["told"] > counters["requests"]["told"]) == (0, True)
    assert (await client.get("/api/v1/requests")).json()["requests"] == []


async def test_demand_that_nobody_meets_is_counted_by_service_and_place(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await on_duty(client)
    for person, service in (("p000", "康"), ("p002", "rehabilitation"), ("p001", "康復"), ("p001", "meals")):
        assert (await client.post("/api/v1/requests", json={"person": person, "service": service})).status_code == 200
    answer = (await client.get("/api/v1/requests", params={"state": "unmatched"})).json()
    assert len(answer["requests"]) == 3
    assert answer["counts"]["unmatched"] == [
        {"service": "rehabilitation", "place": "平安镇", "count": 1},
        {"service": "rehabilitation", "place": "海石湾镇", "count": 2},
    ]
    assert len((await client.get("/api/v1/requests", params={"service": "膳养"})).json()["requests"]) == 1


async def test_what_makes_no_sense_is_refused_with_the_remedy(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await on_duty(client)

    async def asks(**body: object) -> tuple[int, str]:
        reply = await client.post("/api/v1/requests", json=body)
        return reply.status_code, reply.json()["reason"]

    assert await asks(service="meals") == (400, "missing_person")
    assert await asks(person="p001") == (400, "missing_service")
    assert await asks(person="nobody", service="meals") == (404, "unknown_person")
    assert await asks(person="p001", service="应急救援") == (400, "unknown_service")
    assert await asks(person="p001", service="meals", wanted_at="tomorrow") == (400, "bad_wanted_at")
    assert await asks(person="p001", service="meals", health="frail") == (400, "unknown_field")
    house.store_down = True
    assert await asks(person="p001", service="meals") == (503, "store_down")
    assert (await client.get("/api/v1/requests", params={"state": "lost"})).status_code == 400
    services = (await client.get("/api/v1/services")).json()["services"]
    assert {"code": "meals", "name": "餐饮服务", "name_en": "meals"}.items() <= next(one for one in services if one["code"] == "meals").items()
