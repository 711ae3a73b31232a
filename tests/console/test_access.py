"""Logging in, the lock screen, one's own secrets: over HTTP, with invented accounts."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from argon2 import PasswordHasher
from msgspec.structs import replace
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from gateway import passwords, totp
from gateway.config import ConsoleConfig
from gateway.console import lock_out
from gateway.console.http import make_app
from gateway.event import Kind
from tests.console.accounts_house import PASSWORD, PEOPLE, REAL_HASHER, REAL_NOBODY, log_in, with_accounts
from tests.console.fake_house import STATIC, Clock, FakeHouse

BASE = "http://127.0.0.1:12349"


@pytest.fixture
def house() -> FakeHouse:
    return with_accounts()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def app_of(house: FakeHouse, clock: Clock, **more: str) -> Starlette:
    return make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry(), clock=clock, **more)


@pytest.fixture
def app(house: FakeHouse, clock: Clock) -> Starlette:
    return app_of(house, clock)


def client_of(app: Starlette, base: str = BASE, **more: object) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, **more), base_url=base)


@pytest.fixture
async def client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


async def tries(client: httpx.AsyncClient, login: str, password: str, **more: str) -> httpx.Response:
    client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
    return await client.post("/api/v1/login", json={"login": login, "password": password, **more})


def told(house: FakeHouse, kind: Kind) -> list[dict[str, object]]:
    return [facts for one, _, facts in house.notes if one is kind]


async def test_nobody_sees_anything_before_the_log_in(client: httpx.AsyncClient) -> None:
    session = (await client.get("/api/v1/session")).json()
    assert (session["log_in"], session["account"], session["no_accounts"]) == (True, None, False)
    assert [(await client.get(path)).status_code for path in ("/api/v1/changes", "/api/v1/lines", "/api/v1/call-backs")] == [401] * 3


@pytest.mark.parametrize("login", PEOPLE)
async def test_everybody_logs_in(house: FakeHouse, client: httpx.AsyncClient, login: str) -> None:
    session = await log_in(client, login, duty=False)
    name, role, areas = PEOPLE[login]
    assert session["account"] == {"login": login, "name": name, "role": role, "areas": list(areas)}
    assert (session["log_in"], session["verified"], session["locked"]) == (False, True, False)
    facts = {"what": "log_in", "login": login, "role": role, "address": "127.0.0.1", "result": "ok", "way": "password"}
    assert told(house, Kind.ACCESS) == [facts]
    assert (await client.get("/api/v1/changes")).status_code == 200


async def test_wrong_ones_are_refused_alike(house: FakeHouse, client: httpx.AsyncClient) -> None:
    house.accounts.take([replace(house.accounts.known("hefan"), disabled=True)])
    answers = [await tries(client, login, password) for login, password in (("lina", "x" * 12), ("nobody", "x" * 12), ("hefan", PASSWORD))]
    assert [(one.status_code, one.json()) for one in answers] == [(401, {"reason": "wrong_log_in"})] * 3
    facts = told(house, Kind.ACCESS)
    assert [(one["login"], one["result"], one["reason"]) for one in facts] == [
        ("lina", "refused", "wrong_log_in"),
        ("", "refused", "wrong_log_in"),  # what was typed may have been a password
        ("hefan", "refused", "wrong_log_in"),
    ]
    assert "x" * 12 not in str(house.notes)
    assert PASSWORD not in str(house.notes)


@pytest.mark.parametrize("login", ["lina", "nobody"])
async def test_an_unknown_login_costs_the_same_work(house: FakeHouse, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, login: str) -> None:
    hashes: list[str] = []
    real = passwords._hasher.verify
    monkeypatch.setattr(passwords, "_hasher", type("Counting", (), {"verify": staticmethod(lambda h, p: hashes.append(h) or real(h, p))}))
    assert (await tries(client, login, "x" * 12)).status_code == 401
    assert len(hashes) == 1


def test_hashes_are_made_as_the_library_proposes() -> None:
    default = PasswordHasher()
    assert all(getattr(REAL_HASHER, name) == getattr(default, name) for name in ("time_cost", "memory_cost", "parallelism", "hash_len", "salt_len"))
    assert not default.check_needs_rehash(REAL_NOBODY), "an unknown login costs as much as a known one"


async def test_five_wrong_tries_lock_an_account_out(house: FakeHouse, client: httpx.AsyncClient, app: Starlette, clock: Clock) -> None:
    for _ in range(5):
        assert (await tries(client, "lina", "x" * 12)).json() == {"reason": "wrong_log_in"}
    assert [one.get("locked_out") for one in told(house, Kind.ACCESS)] == [None] * 4 + [True]
    for login in ("lina", "LINA "):
        reply = await tries(client, login, PASSWORD)  # the right one, too late
        assert (reply.status_code, reply.json()["reason"]) == (429, "locked_out")
        assert 0 < reply.json()["retry_s"] <= lock_out.WINDOW_S
    assert len(told(house, Kind.ACCESS)) == 5, "what is refused without a look is not journalled: nobody can fill the disk with it"
    async with client_of(app, client=("127.0.0.1", 2)) as other:
        assert (await tries(other, "zhaomin", PASSWORD)).status_code == 200, "others are not locked out with it"
    clock.now = lock_out.WINDOW_S + 1
    assert (await tries(client, "lina", PASSWORD)).status_code == 200
    assert (await tries(client, "lina", "x" * 12)).status_code == 401, "all is forgiven: it counts from one again"


async def test_many_guesses_at_once_do_not_slip_through(client: httpx.AsyncClient) -> None:
    client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
    body = {"login": "lina", "password": "x" * 12}
    replies = await asyncio.gather(*(client.post("/api/v1/login", json=body) for _ in range(20)))
    assert sorted(one.status_code for one in replies) == [401] * 5 + [429] * 15


async def test_one_address_may_not_try_everybody(app: Starlette) -> None:
    async with client_of(app, client=("192.0.2.7", 1)) as client:
        answers = [(await tries(client, f"nobody{i}", "x" * 12)).status_code for i in range(lock_out.TRIES_OF_ADDRESS + 2)]
    assert answers == [401] * lock_out.TRIES_OF_ADDRESS + [429] * 2
    async with client_of(app, client=("192.0.2.8", 1)) as client:
        assert (await tries(client, "lina", PASSWORD)).status_code == 200


def test_the_table_of_tries_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_out, "TABLE_LIMIT", 10)
    table = lock_out.LockOut(Clock())
    for i in range(50):
        table.begin(f"address:{i}")
    assert len(table._tries) == 10


async def test_a_log_in_gives_a_new_token(client: httpx.AsyncClient) -> None:
    client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
    before, csrf = client.cookies["session"], client.headers["X-CSRF"]
    reply = await client.post("/api/v1/login", json={"login": "lina", "password": PASSWORD})
    assert client.cookies["session"] != before
    assert reply.json()["csrf"] != csrf
    client.cookies.set("session", before, domain="127.0.0.1", path="/")
    client.cookies = httpx.Cookies({"session": before})
    assert (await client.get("/api/v1/session")).json()["log_in"], "the token that somebody may have planted is worth nothing"


async def test_who_asks_again_is_given_no_cookie_again(app: Starlette) -> None:
    """The answer may be slow, and somebody may have logged in meanwhile, under another token."""
    async with client_of(app) as client:
        assert "set-cookie" in (await client.get("/api/v1/session")).headers
        assert "set-cookie" not in (await client.get("/api/v1/session")).headers
        await log_in(client, "lina")
        assert "set-cookie" not in (await client.get("/api/v1/session")).headers


async def test_cookies_as_the_scheme_allows(app: Starlette) -> None:
    async with client_of(app) as client:
        plain = (await client.get("/api/v1/session")).headers["set-cookie"]
        assert plain.startswith("session=")
        assert "Secure" not in plain
        assert (await client.get("/api/v1/session")).headers.get("strict-transport-security") is None
    async with client_of(app, "https://127.0.0.1:12349") as client:
        reply = await client.get("/api/v1/session")
        safe = reply.headers["set-cookie"]
        assert safe.startswith("__Host-session=")
        assert all(word in safe for word in ("Secure", "HttpOnly", "SameSite=strict", "Path=/"))
        assert "Domain" not in safe
        assert reply.headers["strict-transport-security"] == "max-age=31536000"
        assert reply.json()["secure"] is True
        assert (await log_in(client, "lina"))["name"] == "李娜"


async def test_plain_http_from_elsewhere_is_told(house: FakeHouse, clock: Clock) -> None:
    house.config = replace(house.config, console=ConsoleConfig(names=("desk.example",), idle_lock_s=0))
    async with client_of(app_of(house, clock), "http://desk.example:12349") as client:
        assert (await client.get("/api/v1/session")).json()["secure"] is False
    async with client_of(app_of(house, clock), "http://evil.example:12349") as client:
        assert (await client.get("/api/v1/session")).json() == {"reason": "host"}


@pytest.mark.parametrize(("login", "hours"), [("lina", 12), ("wall", 24 * 90)])
async def test_a_log_in_ends(client: httpx.AsyncClient, clock: Clock, login: str, hours: float) -> None:
    await log_in(client, login, duty=False)
    clock.now = hours * 3600 - 1
    assert (await client.get("/api/v1/changes")).status_code == 200
    clock.now = hours * 3600 + 1
    assert (await client.get("/api/v1/changes")).status_code == 401


async def test_logging_in_again_goes_on_with_the_duty(client: httpx.AsyncClient, clock: Clock) -> None:
    await log_in(client, "lina")
    clock.now = 11 * 3600
    reply = await client.post("/api/v1/login", json={"login": "lina", "password": PASSWORD})
    assert reply.json()["name"] == "李娜"
    clock.now = 22 * 3600
    assert (await client.get("/api/v1/changes")).status_code == 200


async def test_a_log_in_outlives_a_restart(house: FakeHouse, client: httpx.AsyncClient, clock: Clock) -> None:
    session = await log_in(client, "lina")
    await client.post("/api/v1/duty", json={"name": "李娜", "extension": "8001"})
    (kept,) = house.kept.values()
    assert (kept.name, kept.extension) == ("李娜", "8001")
    await client.post("/api/v1/lock", json={})
    token = client.cookies["session"]
    assert token not in str(house.kept), "only its hash is kept"
    async with client_of(app_of(house, clock)) as again:
        again.cookies.set("session", token)
        found = (await again.get("/api/v1/session")).json()
        assert (found["name"], found["extension"], found["screen_locked"], found["csrf"]) == ("李娜", "8001", True, session["csrf"])
        again.headers["X-CSRF"] = session["csrf"]
        assert (await again.post("/api/v1/unlock", json={"secret": PASSWORD})).status_code == 200
    house.offset = timedelta(hours=13)
    async with client_of(app_of(house, clock)) as late:
        late.cookies.set("session", token)
        assert (await late.get("/api/v1/session")).json()["log_in"]


async def test_logging_out_ends_duty_and_session(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await log_in(client, "lina")
    assert (await client.post("/api/v1/logout", json={})).status_code == 200
    assert (await client.get("/api/v1/changes")).status_code == 401
    assert house.kept == {}
    assert [facts for kind, _, facts in house.notes if kind is Kind.NOTE][-1]["duty"] is False
    assert told(house, Kind.ACCESS)[-1]["what"] == "log_out"


async def test_a_locked_screen_shows_counts_and_comes_back(house: FakeHouse, client: httpx.AsyncClient) -> None:
    incident = await house.cries(0)
    await log_in(client, "lina")
    assert (await client.post("/api/v1/lock", json={})).json()["screen_locked"]
    items = (await client.get("/api/v1/changes")).json()["items"]
    assert {item["type"] for item in items} <= {"counter", "line", "state"}
    (queue,) = (item for item in items if item["type"] == "counter" and item["id"] == "queue")
    assert queue["raised"]["critical"]["count"] == 1
    for path in (f"/api/v1/incidents/{incident.id}/acknowledge", "/api/v1/pin", "/api/v1/password"):
        body = {"old": PASSWORD, "new": "y" * 12} if path.endswith("password") else {}
        assert (await client.post(path, json=body)).status_code == 423
    assert (await client.post("/api/v1/unlock", json={"secret": "x"})).json() == {"reason": "wrong_secret"}
    assert (await client.post("/api/v1/unlock", json={"secret": PASSWORD})).json()["screen_locked"] is False
    assert (await client.post(f"/api/v1/incidents/{incident.id}/acknowledge")).status_code == 200
    assert [(one["what"], one["result"]) for one in told(house, Kind.ACCESS)] == [
        ("log_in", "ok"),
        ("lock", "ok"),
        ("unlock", "refused"),
        ("unlock", "ok"),
    ]


async def test_the_screen_locks_also_when_the_disk_is_full(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await log_in(client, "lina")
    house.store_down = True
    assert (await client.post("/api/v1/lock", json={})).status_code == 503
    assert (await client.get("/api/v1/call-backs")).status_code == 423
    assert (await client.post("/api/v1/unlock", json={"secret": PASSWORD})).status_code == 503
    assert (await client.get("/api/v1/call-backs")).status_code == 423, "not on record, so not unlocked"


async def test_no_log_in_that_is_not_on_record(house: FakeHouse, client: httpx.AsyncClient) -> None:
    house.store_down = True
    assert (await tries(client, "lina", PASSWORD)).status_code == 503
    assert (await client.get("/api/v1/changes")).status_code == 401
    house.store_down = False
    assert (await tries(client, "lina", PASSWORD)).status_code == 200


async def test_a_pin_opens_the_screen_and_nothing_else(house: FakeHouse, client: httpx.AsyncClient, clock: Clock) -> None:
    await log_in(client, "lina")
    for pin in ("123", "123456789", "12a4", "1111", "1234", "4321"):
        assert (await client.post("/api/v1/pin", json={"password": PASSWORD, "pin": pin})).json()["reason"] == "bad_pin"
    assert (await client.post("/api/v1/pin", json={"password": "x" * 12, "pin": "2580"})).json()["reason"] == "wrong_secret"
    assert (await client.post("/api/v1/pin", json={"password": PASSWORD, "pin": "2580"})).json()["pin"] is True
    await client.post("/api/v1/lock", json={})
    assert (await tries(client, "lina", "2580")).status_code == 401
    for _ in range(5):
        assert (await client.post("/api/v1/unlock", json={"secret": "0000"})).json()["reason"] == "wrong_secret"
    assert (await client.post("/api/v1/unlock", json={"secret": "2580"})).status_code == 429
    clock.now = lock_out.WINDOW_S + 1
    assert (await client.post("/api/v1/unlock", json={"secret": "2580"})).status_code == 200
    assert (await client.post("/api/v1/pin", json={"password": PASSWORD})).json()["pin"] is False
    assert "2580" not in str(house.notes)


async def test_the_first_password_must_be_changed(house: FakeHouse, client: httpx.AsyncClient) -> None:
    house.accounts.take([replace(house.accounts.known("lina"), must_change=True)])
    session = await log_in(client, "lina", duty=False)
    assert (session["must_change"], session["locked"]) == (True, True)
    assert (await client.get("/api/v1/call-backs")).status_code == 423
    assert (await client.post("/api/v1/duty", json={"name": "李娜"})).status_code == 423
    for new, reason in (
        ("short", "password_short"),
        ("lina1234567", "password_login"),
        ("1234567890", "password_common"),
        ("x" * 201, "password_long"),
    ):
        reply = await client.post("/api/v1/password", json={"old": PASSWORD, "new": new})
        assert (reply.status_code, reply.json()["reason"]) == (400, reason)
    token = client.cookies["session"]
    reply = await client.post("/api/v1/password", json={"old": PASSWORD, "new": "four-words-of-her-own"})
    assert (reply.status_code, reply.json()["must_change"]) == (200, False)
    assert client.cookies["session"] != token
    client.headers["X-CSRF"] = reply.json()["csrf"]
    assert (await client.post("/api/v1/duty", json={"name": "李娜"})).status_code == 200
    assert told(house, Kind.ACCOUNT) == [
        {"what": "password", "login": "lina", "role": "operator", "areas": (), "by": "lina", "address": "127.0.0.1"},
    ]


async def test_a_new_password_ends_the_other_browsers(app: Starlette, client: httpx.AsyncClient) -> None:
    await log_in(client, "lina")
    async with client_of(app) as other:
        await log_in(other, "lina")
        assert (await other.post("/api/v1/password", json={"old": PASSWORD, "new": "four-words-of-her-own"})).status_code == 200
        assert (await client.get("/api/v1/changes")).status_code == 401
        assert (await other.get("/api/v1/changes")).status_code == 200


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("seven-lamps-at-dusk", None),
        ("一盏两盏三盏四盏灯笼", None),
        ("abcdefghij", "password_common"),
        ("9876543210", "password_common"),
        ("aaaaaaaaaaab", "password_common"),
        ("PassWord123", "password_common"),
        ("lina2024lina", "password_login"),
        ("李娜1234567890", "password_login"),
        ("nine-char", "password_short"),
    ],
)
def test_rules_of_passwords(password: str, fault: str | None) -> None:
    assert passwords.fault_of_password(password, "lina", "李娜") == fault


def test_one_time_passwords_pass_the_rules_and_differ() -> None:
    made = {passwords.one_time_password() for _ in range(50)}
    assert len(made) == 50
    assert all(passwords.fault_of_password(one, "lina", "李娜") is None for one in made)


# --- the second factor -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_codes_of_rfc_6238(seconds: int, code: str) -> None:
    """Appendix B, SHA-1: eight digits of a secret of twenty ASCII digits."""
    assert totp.code_at(b"12345678901234567890", seconds // totp.STEP_S, 8) == code


def test_a_code_counts_once_and_for_a_step_around_now() -> None:
    secret, now = totp.new_secret(), datetime(2026, 1, 1, tzinfo=UTC)
    step = int(now.timestamp()) // totp.STEP_S

    def code(ahead: int) -> str:
        return totp.code_at(base64.b32decode(secret), step + ahead)

    assert [totp.step_of(secret, code(i), now) for i in (-2, -1, 0, 1, 2)] == [None, step - 1, step, step + 1, None]
    assert totp.step_of(secret, f" {code(0)[:3]} {code(0)[3:]}", now) == step
    assert totp.step_of(secret, code(0), now, used=step) is None
    assert totp.step_of(secret, code(1), now, used=step) == step + 1
    assert totp.step_of(secret, "", now) is None


def code_of(house: FakeHouse, secret: str, ahead: int = 0) -> str:
    return totp.code_at(base64.b32decode(secret), int(house.now().timestamp()) // totp.STEP_S + ahead)


async def test_enrolling_a_second_factor(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await log_in(client, "lina")
    assert (await client.post("/api/v1/totp", json={"what": "confirm", "code": "000000"})).json()["reason"] == "not_enrolling"
    assert (await client.post("/api/v1/totp", json={"what": "enrol", "password": "x" * 12})).json()["reason"] == "wrong_secret"
    fresh = (await client.post("/api/v1/totp", json={"what": "enrol", "password": PASSWORD})).json()
    assert fresh["address"] == f"otpauth://totp/12349%3Alina?secret={fresh['secret']}&issuer=12349"
    assert house.accounts.known("lina").totp == "", "it counts once a code of it was seen"
    wrong = code_of(house, totp.new_secret())
    assert (await client.post("/api/v1/totp", json={"what": "confirm", "code": wrong})).json()["reason"] == "wrong_code"
    code = code_of(house, fresh["secret"])
    assert (await client.post("/api/v1/totp", json={"what": "confirm", "code": code})).json()["totp"] is True
    assert fresh["secret"] not in str(house.notes)
    assert (await tries(client, "lina", PASSWORD)).json() == {"reason": "code_wanted"}
    assert (await tries(client, "lina", PASSWORD, code=code)).json() == {"reason": "wrong_code"}, "the one that enrolled was used"
    house.offset = timedelta(seconds=60)
    late = code_of(house, fresh["secret"])
    assert (await tries(client, "lina", "x" * 12, code=late)).json() == {"reason": "wrong_log_in"}
    assert (await tries(client, "lina", PASSWORD, code=late)).status_code == 200
    assert (await tries(client, "lina", PASSWORD, code=late)).json() == {"reason": "wrong_code"}
    house.offset = timedelta(seconds=120)
    reply = await tries(client, "lina", PASSWORD, code=code_of(house, fresh["secret"]))
    client.headers["X-CSRF"] = reply.json()["csrf"]
    assert (await client.post("/api/v1/totp", json={"what": "drop", "password": PASSWORD})).json()["totp"] is False


async def test_asking_for_the_code_locks_nobody_out(house: FakeHouse, client: httpx.AsyncClient) -> None:
    secret = totp.new_secret()
    house.accounts.take([replace(house.accounts.known("lina"), totp=secret)])
    for _ in range(8):
        assert (await tries(client, "lina", PASSWORD)).json() == {"reason": "code_wanted"}
    assert (await tries(client, "lina", PASSWORD, code=code_of(house, secret))).status_code == 200


# --- what machines use ---------------------------------------------------------------------------------------------------


async def test_a_command_of_this_machine_shows_its_token(house: FakeHouse, clock: Clock) -> None:
    app = app_of(house, clock, own_token="token-of-ours")
    headers = {"Authorization": "Bearer token-of-ours"}
    async with client_of(app) as client:
        client.headers.update(headers)
        assert (await client.get("/api/v1/lines")).status_code == 200
        client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
        reply = await client.post("/api/v1/duty", json={"name": "root"})
        assert (reply.json()["name"], reply.json()["account"]["role"]) == ("root", "local")
        assert [item for item in (await client.get("/api/v1/changes")).json()["items"] if item["type"] == "operator"] == []
    for wrong in ("token-of-others", ""):
        async with client_of(app) as client:
            client.headers["Authorization"] = f"Bearer {wrong}"
            assert (await client.get("/api/v1/lines")).status_code == 401
    async with client_of(app, client=("192.0.2.7", 1)) as client:
        client.headers.update(headers)
        assert (await client.get("/api/v1/lines")).status_code == 401, "from this machine alone"
    async with client_of(app) as client:
        client.headers.update(headers | {"X-Forwarded-For": "192.0.2.7"})
        assert (await client.get("/api/v1/lines")).status_code == 401, "through a proxy it is not this machine"


async def test_without_a_token_nobody_is_a_command(app: Starlette) -> None:
    async with client_of(app) as client:
        client.headers["Authorization"] = "Bearer "
        assert (await client.get("/api/v1/lines")).status_code == 401


async def test_a_first_start_names_the_command(house: FakeHouse, clock: Clock) -> None:
    house.accounts = type(house.accounts)()
    async with client_of(app_of(house, clock)) as client:
        assert (await client.get("/api/v1/session")).json()["no_accounts"] is True
