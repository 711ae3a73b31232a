"""What a reviewer has tried against log-in, sessions and rights: two things at once, codes that come twice, people and calls of other areas."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from gateway import totp
from gateway.console.http import make_app
from gateway.core.standing import Ruling
from gateway.core.territory import Standing
from gateway.event import Kind
from tests.console.accounts_house import PASSWORD, log_in, with_accounts
from tests.console.fake_house import STATIC, FakeHouse
from tests.waiting import wait_until

BASE = "http://127.0.0.1:12349"
HAI, PING = 0, 1  # persons with even numbers live in haishiwan, odd ones in pingan


@pytest.fixture
def house() -> FakeHouse:
    return with_accounts()


@pytest.fixture
def app(house: FakeHouse) -> Starlette:
    return make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry())


@pytest.fixture
async def clients(app: Starlette) -> AsyncIterator[list[httpx.AsyncClient]]:
    made = [httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) for _ in range(2)]
    yield made
    for one in made:
        await one.aclose()


async def begin(client: httpx.AsyncClient, login: str, **more: str) -> httpx.Response:
    client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
    return await client.post("/api/v1/login", json={"login": login, "password": PASSWORD, **more})


@pytest.mark.parametrize("change", ["disable", "set_password"])
async def test_who_is_shut_out_while_the_password_is_looked_at_stays_out(
    house: FakeHouse, app: Starlette, clients: list[httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """A log-in under way must not write back the account as it was before."""
    admin, other = clients
    await log_in(admin, "admin")
    hashing = app.state.console.access.hashing
    run, looked, go_on = hashing.run, asyncio.Event(), asyncio.Event()

    async def slowly(call: object, *args: object) -> object:
        found = await run(call, *args)
        if call.__name__ == "is_right":  # type: ignore[attr-defined]
            looked.set()
            await go_on.wait()
        return found

    monkeypatch.setattr(hashing, "run", slowly)
    house.accounts.take([replace(house.accounts.known("lina"), totp=totp.new_secret())])
    code = totp.code_at(_key(house), int(house.now().timestamp()) // totp.STEP_S)
    trying = asyncio.create_task(begin(other, "lina", code=code))
    await looked.wait()
    more = {"password": "another-lamp-at-dawn"} if change == "set_password" else {}
    assert (await admin.post(f"/api/v1/accounts/{change}", json={"login": "lina", **more})).status_code == 200
    after = house.accounts.known("lina")
    go_on.set()
    assert (await trying).json()["reason"] == "wrong_log_in"
    assert house.accounts.known("lina") == after


def _key(house: FakeHouse) -> bytes:
    import base64

    return base64.b32decode(house.accounts.known("lina").totp)


async def test_one_code_opens_one_browser(house: FakeHouse, clients: list[httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while the first log-in is still being written."""
    house.accounts.take([replace(house.accounts.known("lina"), totp=totp.new_secret())])
    code = totp.code_at(_key(house), int(house.now().timestamp()) // totp.STEP_S)
    write, go_on, waiting = house.access, asyncio.Event(), []

    async def slowly(*args: object, **facts: object) -> None:
        waiting.append(facts)
        await go_on.wait()
        await write(*args, **facts)  # type: ignore[arg-type]

    monkeypatch.setattr(house, "access", slowly)
    both = [asyncio.create_task(begin(one, "lina", code=code)) for one in clients]
    await wait_until(lambda: len(waiting) == 2)
    go_on.set()
    assert sorted(answer.status_code for answer in await asyncio.gather(*both)) == [200, 401]


async def test_two_administrators_cannot_shut_each_other_out(
    house: FakeHouse, clients: list[httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = clients
    await log_in(one, "admin")
    house.accounts.take([replace(house.accounts.known("gaoyan"), role=house.accounts.known("admin").role)])
    await log_in(other, "gaoyan")
    write = house.access

    async def slowly(*args: object, **facts: object) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await write(*args, **facts)  # type: ignore[arg-type]

    monkeypatch.setattr(house, "access", slowly)
    answers = await asyncio.gather(
        one.post("/api/v1/accounts/disable", json={"login": "gaoyan"}), other.post("/api/v1/accounts/disable", json={"login": "admin"})
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert any(not account.disabled and account.role == "admin" for account in house.accounts.all())


@pytest.mark.parametrize("what", ["lock", "logout"])
async def test_a_long_poll_that_began_before_the_lock_tells_no_rows_after_it(
    house: FakeHouse, app: Starlette, clients: list[httpx.AsyncClient], what: str
) -> None:
    client, _ = clients
    await log_in(client, "lina")
    now = (await client.get("/api/v1/changes")).json()
    asked = asyncio.create_task(client.get("/api/v1/changes", params={"since": now["rev"], "epoch": now["epoch"], "wait": 20}))
    await wait_until(lambda: app.state.console.feed.listeners == 1)
    await client.post(f"/api/v1/{what}", json={})
    await house.cries(1)
    answer = await asyncio.wait_for(asked, 10)
    assert "incident:" not in answer.text
    assert '"type":"incident"' not in answer.text
    assert answer.status_code == (200 if what == "lock" else 401)


async def test_one_s_own_incident_is_no_key_to_the_records_of_other_areas(house: FakeHouse, clients: list[httpx.AsyncClient]) -> None:
    """Whoever is named as the person of an incident is seen whole by who has it in hand."""
    client, _ = clients
    await log_in(client, "zhaomin")
    mine, foreign = await house.cries(HAI), await house.cries(PING)
    await client.post(f"/api/v1/incidents/{mine.id}/acknowledge", json={})
    for action, facts in (
        ("identify", {"person": "p003"}),
        ("split", {"person": "p003", "device": "w002"}),
        ("merge", {"into": foreign.id, "different": True}),
    ):
        answer = await client.post(f"/api/v1/incidents/{mine.id}/{action}", json=facts)
        assert (answer.status_code, answer.json()["reason"]) == (403, "foreign_area"), action
        (told,) = (await client.post("/api/v1/incidents/bulk", json={"ids": [mine.id], "action": action, "facts": facts})).json()["results"]
        assert (told["status"], told["reason"]) == (403, "foreign_area"), action
    assert house.incidents[mine.id].person == "p000"
    other = await house.cries(2)
    answer = await client.post(f"/api/v1/incidents/{mine.id}/merge", json={"into": other.id, "different": True})
    assert answer.json().get("reason") != "foreign_area", "within the area it is only a question of the incidents"


async def test_a_caller_of_two_areas_is_who_the_gateway_says_it_may_be(house: FakeHouse, clients: list[httpx.AsyncClient]) -> None:
    client, _ = clients
    await log_in(client, "zhaomin")
    mine = await house.cries(HAI)
    await client.post(f"/api/v1/incidents/{mine.id}/acknowledge", json={})
    house.working_set.incidents[mine.id] = replace(house.incidents[mine.id], candidates=("p000", "p003"))
    answer = await client.post(f"/api/v1/incidents/{mine.id}/identify", json={"person": "p003"})
    assert answer.json().get("reason") != "foreign_area"


async def test_a_call_from_another_area_is_not_taken(house: FakeHouse, clients: list[httpx.AsyncClient]) -> None:
    client, other = clients
    await log_in(client, "zhaomin")
    await log_in(other, "wangqiang")
    for one, extension in ((client, "8001"), (other, "8002")):
        await one.post("/api/v1/duty", json={"name": "x", "extension": extension})
    await house.calls_in(house.register.persons["p001"].phones[0], Kind.CALL_RINGING, call="far")
    (key,) = house.calls
    answer = await client.post(f"/api/v1/calls/{key}/answer", json={})
    assert (answer.status_code, answer.json()["reason"]) == (403, "foreign_area")
    assert (await other.post(f"/api/v1/calls/{key}/answer", json={})).json().get("reason") != "foreign_area"


async def test_what_is_said_to_supervisors_is_not_read_by_acknowledging_it(clients: list[httpx.AsyncClient], house: FakeHouse) -> None:
    lina, sunli = clients
    await log_in(lina, "lina")
    await log_in(sunli, "sunli")
    incident = await house.cries(PING)
    body = {"reason": "call_back", "emergency": True, "text": "ambulance asks for the door"}
    assert (await lina.post(f"/api/v1/incidents/{incident.id}/reveal", json=body)).status_code == 200
    ((number,),) = [[one["id"] for one in (await sunli.get("/api/v1/notices")).json()["notices"]]]
    answer = await lina.post(f"/api/v1/notices/{number}/acknowledge", json={})
    assert (answer.status_code, answer.json()) == (404, {"reason": "unknown_notice"})
    assert (await sunli.post(f"/api/v1/notices/{number}/acknowledge", json={})).status_code == 200


async def test_every_emergency_look_is_told_also_when_several_look_at_once(
    clients: list[httpx.AsyncClient], house: FakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = house.rule

    async def slowly(ruling: Ruling) -> Standing:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return await rule(ruling)

    monkeypatch.setattr(house, "rule", slowly)
    zhaomin, sunli = clients
    await log_in(zhaomin, "zhaomin")
    await log_in(sunli, "sunli")
    incidents = [await house.cries(number) for number in (1, 3, 5)]
    body = {"reason": "call_back", "emergency": True, "text": "ambulance asks for the door"}
    answers = await asyncio.gather(*(zhaomin.post(f"/api/v1/incidents/{one.id}/reveal", json=body) for one in incidents))
    assert [answer.status_code for answer in answers] == [200] * 3
    said = " ".join(one["text"] for one in (await sunli.get("/api/v1/notices")).json()["notices"])
    assert [one.id for one in incidents if one.id not in said] == []


async def test_a_handover_of_another_area_is_not_read(clients: list[httpx.AsyncClient], house: FakeHouse, app: Starlette) -> None:
    zhaomin, lina = clients
    await log_in(zhaomin, "zhaomin")
    await log_in(lina, "lina")
    made = await zhaomin.post("/api/v1/shift", json={"text": "the lift of number 7 is broken"})
    zhoujie = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE)
    async with zhoujie:
        await log_in(zhoujie, "zhoujie")
        assert (await zhoujie.get("/api/v1/desk")).json()["shifts"] == []
        answer = await lina.post(f"/api/v1/shift/{made.json()['shift']['id']}/confirm", json={"ticked": []})
        assert answer.status_code == 200, answer.text
        assert (await zhoujie.get("/api/v1/shift")).json()["last"] is None
    assert (await zhaomin.get("/api/v1/shift")).json()["last"]["text"] == "the lift of number 7 is broken"


async def test_an_operator_opens_records_of_their_own_open_incidents_only(house: FakeHouse, clients: list[httpx.AsyncClient]) -> None:
    lina, sunli = clients
    await log_in(lina, "lina")
    await log_in(sunli, "sunli")
    for kind, key in (("persons", "p001"), ("contacts", "p001"), ("devices", "wearables|w001"), ("responders", "station-1")):
        path = f"/api/v1/register/records/{kind}/{key}"
        answer = await lina.post(path, json={"reason": "to see"})
        assert (answer.status_code, answer.json()["reason"]) == (403, "not_owner"), kind
        assert (await lina.get(path)).json()["may_open"] is False
        assert (await sunli.post(path, json={"reason": "to see"})).status_code == 200, kind
    incident = await house.cries(PING)
    await lina.post(f"/api/v1/incidents/{incident.id}/acknowledge", json={})
    for kind, key in (("persons", "p001"), ("devices", "wearables|w001")):
        assert (await lina.post(f"/api/v1/register/records/{kind}/{key}", json={"reason": "to see"})).status_code == 200, kind
    assert (await lina.post("/api/v1/register/records/persons/p003", json={"reason": "to see"})).status_code == 403


async def test_who_looks_for_persons_is_on_record_without_what_was_looked_for(house: FakeHouse, clients: list[httpx.AsyncClient]) -> None:
    lina, _ = clients
    await log_in(lina, "lina")
    name = house.register.persons["p001"].name
    await lina.post("/api/v1/persons", json={"wanted": name})
    (told,) = [(actor, facts) for kind, actor, facts in house.notes if kind is Kind.SEARCHED]
    assert told[0] == "李娜"
    assert name not in str(told)


async def test_before_the_log_in_nothing_of_the_lines_is_told(clients: list[httpx.AsyncClient]) -> None:
    client, _ = clients
    assert (await client.get("/api/v1/session")).json()["lines"] == []
    assert (await log_in(client, "lina"))["lines"] != []


@pytest.mark.parametrize("header", ["X-Real-IP", "X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "Via"])
async def test_what_came_through_a_proxy_is_not_near(clients: list[httpx.AsyncClient], header: str) -> None:
    client, _ = clients
    assert (await client.get("/metrics")).status_code == 200
    assert (await client.get("/metrics", headers={header: "192.0.2.7"})).status_code == 401


@pytest.mark.parametrize("route", ["login", "history", "register/import", "incidents/bulk"])
@pytest.mark.parametrize("body", [b'{"login":' + b"[" * 60_000, b'{"login":' + b"[" * 30_000 + b"]" * 30_000 + b"}"], ids=["open", "closed"])
async def test_a_body_as_deep_as_it_is_long_is_no_fault_of_ours(clients: list[httpx.AsyncClient], route: str, body: bytes) -> None:
    """Also of one that has not logged in."""
    client, other = clients
    await log_in(client, "sunli")
    other.headers["X-CSRF"] = (await other.get("/api/v1/session")).json()["csrf"]
    answer = await (other if route == "login" else client).post(f"/api/v1/{route}", content=body)
    assert (answer.status_code, answer.json()["reason"]) == (400, "bad_json")
