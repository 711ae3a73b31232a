"""Accounts over HTTP, and showing what is masked: by whom, on record before it leaves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import httpx
import msgspec
import pytest
import uvicorn
from msgspec.structs import replace
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from waiting import free_port, wait_until

from gateway.console.http import make_app
from gateway.event import Kind
from tests.console.accounts_house import PASSWORD, PEOPLE, log_in, with_accounts
from tests.console.fake_house import STATIC, FakeHouse

BASE = "http://127.0.0.1:12349"
PINGAN, HAISHIWAN = 1, 2  # numbers of people of the two towns
LOOK = {"reason": "verify_identity"}
EMERGENCY = {"reason": "emergency_service", "emergency": True, "text": "120 在线等地址"}


@pytest.fixture
def house() -> FakeHouse:
    return with_accounts()


@pytest.fixture
def app(house: FakeHouse) -> Starlette:
    return make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry(), own_token="ours")


Come = Callable[..., "asyncio.Future[httpx.AsyncClient]"]


@pytest.fixture
async def come(app: Starlette) -> AsyncIterator[Callable[..., object]]:
    """come(login): a client that has logged in and come on duty."""
    async with contextlib.AsyncExitStack() as stack:

        async def one(login: str, **more: object) -> httpx.AsyncClient:
            client = await stack.enter_async_context(httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE))
            await log_in(client, login, duty=PEOPLE[login][1] in ("operator", "supervisor"), **more)  # type: ignore[arg-type]
            return client

        yield one


def told(house: FakeHouse, kind: Kind) -> list[tuple[str, dict[str, object]]]:
    return [(actor, facts) for one, actor, facts in house.notes if one is kind]


async def ask(client: httpx.AsyncClient, what: str, **body: object) -> tuple[int, dict]:
    reply = await client.post(f"/api/v1/accounts/{what}".rstrip("/"), json=body)
    return reply.status_code, reply.json()


async def test_an_account_is_made_and_its_one_time_password_told_once(house: FakeHouse, come: Come) -> None:
    admin = await come("admin")
    status, body = await ask(admin, "", login="Chenjing", name="陈静", role="operator", areas=["pingan"])
    assert status == 201
    one_time = body["one_time_password"]
    assert (body["account"]["login"], body["account"]["must_change"], body["account"]["areas"]) == ("chenjing", True, ["pingan"])
    listed = (await admin.get("/api/v1/accounts")).text
    assert "chenjing" in listed
    assert [word for word in (one_time, "argon2", house.accounts.known("chenjing").password) if word in listed] == []
    assert one_time not in str(house.notes)
    assert "argon2" not in str(house.notes)
    facts = {"what": "created", "login": "chenjing", "name": "陈静", "role": "operator", "areas": ("pingan",), "by": "admin", "address": "127.0.0.1"}
    assert told(house, Kind.ACCOUNT) == [("管理员", facts)]
    fresh = httpx.AsyncClient(transport=admin._transport, base_url=BASE)
    assert (await log_in(fresh, "chenjing", one_time, duty=False))["must_change"] is True


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"login": "lina"}, 409, "login_taken"),
        ({"name": "李娜"}, 409, "name_taken"),
        ({"login": "Ünal"}, 400, "bad_login"),
        ({"login": ""}, 400, "bad_login"),
        ({"name": ""}, 400, "bad_name"),
        ({"name": "x" * 33}, 400, "bad_name"),
        ({"role": "local"}, 400, "bad_role"),
        ({"role": "king"}, 400, "bad_role"),
        ({"areas": ["nowhere"]}, 400, "unknown_area"),
        ({"areas": "pingan"}, 400, "bad_areas"),
        ({"password": "short"}, 400, "password_short"),
        ({"password": 7}, 400, "bad_password"),
        ({"totp": "x"}, 400, "unknown_field"),
    ],
)
async def test_accounts_that_are_none(come: Come, body: dict, status: int, reason: str) -> None:
    admin = await come("admin")
    found, told_why = await ask(admin, "", **{"login": "new", "name": "新人", "role": "operator", **body})
    assert (found, told_why["reason"]) == (status, reason)


async def test_two_of_the_same_name_at_once(come: Come) -> None:
    admin = await come("admin")
    both = await asyncio.gather(*(ask(admin, "", login="new", name="新人", role="ops") for _ in range(2)))
    assert sorted(status for status, _ in both) == [201, 409]


async def test_a_disabled_account_is_out_at_once(house: FakeHouse, come: Come) -> None:
    lina, admin = await come("lina"), await come("admin")
    assert (await ask(admin, "disable", login="lina"))[0] == 200
    assert (await lina.get("/api/v1/changes")).status_code == 401
    assert (await lina.post("/api/v1/lock", json={})).status_code in (401, 403)
    assert [row.login for row in house.kept.values()] == ["admin"]
    assert (await ask(admin, "enable", login="lina"))[1]["account"]["disabled"] is False
    assert (await lina.get("/api/v1/changes")).status_code == 401, "its old session stays dead"


async def test_another_role_begins_with_a_new_log_in_and_other_areas_at_once(house: FakeHouse, come: Come) -> None:
    incident = await house.cries(HAISHIWAN)
    lina, admin = await come("lina"), await come("admin")
    assert (await ask(admin, "change", login="lina", areas=["pingan"]))[0] == 200
    assert (await lina.get(f"/api/v1/incidents/{incident.id}")).json() == {"reason": "foreign_area"}
    assert (await ask(admin, "change", login="lina", name="李娜娜"))[1]["reason"] == "on_duty"
    assert (await ask(admin, "change", login="lina", role="supervisor"))[1]["account"]["role"] == "supervisor"
    assert (await lina.get("/api/v1/changes")).status_code == 401


async def test_the_last_admin_stays(come: Come) -> None:
    admin = await come("admin")
    assert (await ask(admin, "disable", login="admin"))[1]["reason"] == "last_admin"
    assert (await ask(admin, "change", login="admin", role="ops"))[1]["reason"] == "last_admin"
    await ask(admin, "", login="second", name="第二管理员", role="admin")
    assert (await ask(admin, "disable", login="second"))[0] == 200
    assert (await ask(admin, "disable", login="admin"))[1]["reason"] == "last_admin", "a disabled one is no admin"


async def test_a_new_password_ends_sessions_and_forgives(house: FakeHouse, come: Come) -> None:
    lina, admin = await come("lina"), await come("admin")
    for _ in range(5):
        await admin.post("/api/v1/login", json={"login": "lina", "password": "x" * 12})
    assert {one["login"]: one["locked_out"] for one in (await admin.get("/api/v1/accounts")).json()["accounts"]}["lina"] is True
    one_time = (await ask(admin, "reset_password", login="lina"))[1]["one_time_password"]
    assert (await lina.get("/api/v1/changes")).status_code == 401
    fresh = httpx.AsyncClient(transport=admin._transport, base_url=BASE)
    assert (await log_in(fresh, "lina", one_time, duty=False))["must_change"] is True


async def test_unlocking_and_a_lost_telephone(house: FakeHouse, come: Come) -> None:
    admin = await come("admin")
    for _ in range(5):
        await admin.post("/api/v1/login", json={"login": "lina", "password": "x" * 12})
    assert (await ask(admin, "unlock", login="lina"))[1]["account"]["locked_out"] is False
    house.accounts.take([replace(house.accounts.known("lina"), totp="JBSWY3DPEHPK3PXP")])
    assert (await ask(admin, "reset_totp", login="lina"))[1]["account"]["totp"] is False
    await come("lina")


async def test_sessions_of_somebody_are_listed_and_ended(come: Come) -> None:
    lina, admin = await come("lina"), await come("admin")
    (one,) = (await ask(admin, "sessions", login="lina"))[1]["sessions"]
    assert (one["duty"], one["address"]) == (True, "127.0.0.1")
    assert (await ask(admin, "end_session", login="lina", session="0" * 16))[0] == 404
    assert (await ask(admin, "end_session", login="lina", session=one["session"]))[1]["sessions"] == []
    assert (await lina.get("/api/v1/changes")).status_code == 401


async def test_whoever_may_not(come: Come) -> None:
    for login in ("lina", "sunli", "hefan", "gaoyan", "wall", "citizen"):
        client = await come(login)
        assert (await ask(client, "", login="mine", name="我", role="admin"))[1] == {"reason": "no_right"}
        assert (await client.get("/api/v1/accounts")).json() == {"reason": "no_right"}


# --- what is masked ------------------------------------------------------------------------------------------------------


async def reveal(client: httpx.AsyncClient, incident: str, **body: object) -> tuple[int, dict]:
    reply = await client.post(f"/api/v1/incidents/{incident}/reveal", json=body)
    return reply.status_code, reply.json()


async def test_the_owner_sees_numbers_and_a_supervisor_the_record(house: FakeHouse, come: Come) -> None:
    lina, sunli = await come("lina"), await come("sunli")
    incident = await house.cries(HAISHIWAN)
    person = house.register.persons["p002"]
    assert (await reveal(lina, incident.id, **LOOK)) == (403, {"reason": "not_owner"})
    await lina.post(f"/api/v1/incidents/{incident.id}/acknowledge")
    status, body = await reveal(lina, incident.id, **LOOK)
    assert (status, body["phones"], "person" in body) == (200, list(person.phones), False)
    assert (await reveal(sunli, incident.id))[1]["reason"] == "missing_reason"
    status, body = await reveal(sunli, incident.id, **LOOK)
    assert (status, body["person"]["name"], body["person"]["address"]) == (200, person.name, person.address)
    assert told(house, Kind.REVEAL) == [
        ("李娜", {"incident": incident.id, "person": "p002", "field": "phones", "reason": "verify_identity"}),
        ("孙丽", {"incident": incident.id, "person": "p002", "field": "record", "reason": "verify_identity"}),
    ]


async def test_outside_ones_area_only_in_an_emergency_and_supervisors_hear_at_once(house: FakeHouse, come: Come) -> None:
    zhaomin, wangqiang, zhoujie = await come("zhaomin"), await come("wangqiang"), await come("zhoujie")  # Haishiwan; Ping'an; supervisor of Ping'an
    incident = await house.cries(PINGAN)
    assert (await reveal(zhaomin, incident.id, **LOOK)) == (403, {"reason": "foreign_area"})
    assert (await reveal(zhaomin, incident.id, **(EMERGENCY | {"text": " "})))[1]["reason"] == "missing_text"
    assert (await reveal(zhaomin, incident.id, **(EMERGENCY | {"emergency": "yes"})))[1]["reason"] == "bad_emergency"
    assert told(house, Kind.REVEAL) == []
    status, body = await reveal(zhaomin, incident.id, **EMERGENCY)
    assert (status, body["person"]["name"]) == (200, house.register.persons["p001"].name)
    facts = {
        "incident": incident.id,
        "person": "p001",
        "field": "record",
        "reason": "emergency_service",
        "emergency": True,
        "text": EMERGENCY["text"],
    }
    assert told(house, Kind.REVEAL) == [("赵敏", facts)]

    async def notices(client: httpx.AsyncClient) -> list[str]:
        items = (await client.get("/api/v1/changes")).json()["items"]
        listed = (await client.get("/api/v1/notices")).json()["notices"]
        found = [item["text"] for item in items if item["type"] == "notice"]
        assert [one["text"] for one in listed] == found
        return found

    assert await notices(zhoujie) == [f"紧急查看 {incident.id} 的完整信息：{EMERGENCY['text']}"]
    assert await notices(wangqiang) == [], "a supervisor's affair"
    assert await notices(zhaomin) == []


async def test_nothing_is_shown_that_is_not_on_record(house: FakeHouse, come: Come) -> None:
    sunli = await come("sunli")
    incident = await house.cries(HAISHIWAN)
    house.store_down = True
    assert (await reveal(sunli, incident.id, **LOOK)) == (503, {"reason": "store_down"})
    assert (await reveal(sunli, incident.id, **EMERGENCY)) == (503, {"reason": "store_down"})


async def test_a_reveal_is_on_record_also_when_the_client_vanishes(house: FakeHouse) -> None:
    """The wish is written, the answer finds nobody: somebody may have seen the value on the wire, so the journal has it."""
    incident = await house.cries(HAISHIWAN)
    port = free_port()
    app = make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry())
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="off"))
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    serving = asyncio.create_task(server.serve())
    base = f"http://127.0.0.1:{port}"
    reached, go_on = asyncio.Event(), asyncio.Event()
    real = house.note

    async def slow(kind: Kind, actor: str, **facts: object) -> None:
        if kind is Kind.REVEAL:
            reached.set()
            await go_on.wait()
        await real(kind, actor, **facts)

    house.note = slow  # type: ignore[method-assign]
    try:
        await wait_until(lambda: server.started, "it serves")
        async with httpx.AsyncClient(base_url=base, trust_env=False) as client:
            await log_in(client, "sunli")
            cookie, csrf = client.cookies["session"], client.headers["X-CSRF"]
        body = msgspec.json.encode(LOOK)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /api/v1/incidents/{incident.id}/reveal HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: session={cookie}\r\nX-CSRF: {csrf}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await asyncio.wait_for(reached.wait(), 5)
        writer.transport.abort()
        assert told(house, Kind.REVEAL) == []
        go_on.set()
        await wait_until(lambda: told(house, Kind.REVEAL), "it is on record")
        assert [actor for actor, _ in told(house, Kind.REVEAL)] == ["孙丽"]
    finally:
        server.should_exit = True
        await serving


async def test_a_command_makes_accounts_before_there_is_any(house: FakeHouse, app: Starlette) -> None:
    house.accounts = type(house.accounts)()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        client.headers["Authorization"] = "Bearer ours"
        status, _ = await ask(client, "", login="first", name="第一管理员", role="admin", password=PASSWORD, own=True)
        assert status == 201
        del client.headers["Authorization"]
        assert (await log_in(client, "first", duty=False))["must_change"] is False
