"""Risk warnings over HTTP: of one's own areas, of persons only to those who handle incidents; who has seen to one, and who may not."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from gateway.console.http import make_app
from tests.console.accounts_house import log_in, with_accounts
from tests.console.fake_house import STATIC, FakeHouse
from tests.console.screen_houses import WARNINGS, risks

Come = Callable[..., Awaitable[httpx.AsyncClient]]
ABOUT_PERSONS = {subject for rule, subject, *_ in WARNINGS if rule in ("repeat_faller", "near_falls", "calls_often")}


@pytest.fixture
async def house() -> FakeHouse:
    house = with_accounts()
    await risks(house)
    return house


@pytest.fixture
async def come(house: FakeHouse) -> AsyncIterator[Come]:
    """come(login): a browser of theirs, logged in."""
    app = make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry())
    async with AsyncExitStack() as stack:

        async def one(login: str, *, duty: bool = True) -> httpx.AsyncClient:
            client = await stack.enter_async_context(httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:12349"))
            await log_in(client, login, duty=duty)
            return client

        yield one


async def got(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    reply = await client.get(path)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def done(client: httpx.AsyncClient, path: str, status: int = 200, **body: object) -> dict[str, Any]:
    reply = await client.post(path, json=body)
    assert reply.status_code == status, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def test_supervisors_see_their_areas_technicians_see_no_person(come: Come, house: FakeHouse) -> None:
    rows = {login: (await got(await come(login), "/api/v1/risks"))["risks"] for login in ("sunli", "zhoujie", "hefan")}
    assert len(rows["sunli"]) == len(WARNINGS)
    assert {row["id"] for row in rows["zhoujie"] if row["concern"] == "person"} == {"p003"}, "odd ones live in pingan"
    assert {(row["line"], row["id"]) for row in rows["zhoujie"] if row["concern"] == "device"} == {("wearables", "w011")}
    assert {row["concern"] for row in rows["hefan"]} == {"device", "model", "line"}
    assert not [word for word in ABOUT_PERSONS if word in str(rows["hefan"])]
    assert [bool(row["seen_by"]) for row in rows["sunli"]] == [False] * (len(WARNINGS) - 1) + [True]
    about = [row for row in rows["sunli"] if row["concern"] == "person"]
    assert not [row for row in about if house.register.persons[row["id"]].name in str(row)], "ids only"


async def test_who_may_see_to_what(come: Come, house: FakeHouse) -> None:
    zhoujie, hefan = await come("zhoujie"), await come("hefan")
    told = (await done(zhoujie, "/api/v1/risks/seen", rule="repeat_faller", id="p003", note="visit"))["risk"]
    assert (told["seen_by"], told["note"]) == ("周洁", "visit")
    assert house.standings["risk_seen:repeat_faller:p003"].detail == {"person": "p003"}
    for who, rule, name in ((zhoujie, "repeat_faller", "p014"), (hefan, "near_falls", "p020"), (zhoujie, "refuses", "p003"), (hefan, "", "")):
        assert (await done(who, "/api/v1/risks/seen", 404, rule=rule, id=name))["reason"] == "unknown_risk"
    assert (await done(hefan, "/api/v1/risks/seen", rule="battery_dying", id="w011", line="wearables"))["risk"]["seen_by"]
    assert (await done(zhoujie, "/api/v1/risks/seen", 400, rule="model_flood", id="invented-2", note="x" * 501))["reason"] == "reason_too_long"
    for login in ("lina", "wall"):
        reply = await (await come(login, duty=False)).get("/api/v1/risks")
        assert reply.status_code == 403


async def test_the_handover_counts_what_nobody_has_looked_at(come: Come) -> None:
    assert (await got(await come("sunli"), "/api/v1/shift"))["risks"] == len(WARNINGS) - 1
