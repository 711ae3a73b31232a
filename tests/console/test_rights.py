"""Every route against every role, a foreign area, a locked screen, another page and nobody at all. A route that is not in the table fails.

The table says it a second time, by hand and by letter, so that a row of `gateway.console.rights` that is changed by mistake is seen:
o operator, s supervisor, t ops, a admin, u auditor, w wall, c citizen; then, each after a space: duty (only on duty), incident (of one's own area),
locked (also while the screen is), near (from this machine without a log-in). `open`: nobody is asked; `signed`: it proves itself.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry
from starlette.routing import Route, WebSocketRoute

from gateway.console.guard import Guard
from gateway.console.http import make_app
from gateway.console.rights import RULES
from gateway.core.account import AccountRole
from gateway.core.register import Contact, Register
from gateway.event import Kind
from tests.console.accounts_house import BY_ROLE, with_accounts
from tests.console.fake_house import STATIC, invented_register

LETTERS = dict(zip("ostauwc", [role for role in AccountRole if role is not AccountRole.LOCAL], strict=True))
EXPECTED = {
    "GET /": "open",
    "GET /healthz": "open",
    "GET /readyz": "ta locked near",
    "GET /metrics": "ta locked near",
    "GET /api/v1/openapi.json": "open",
    "GET /api/v1/session": "open",
    "GET /api/v1/oidc/start": "open",
    "GET /api/v1/oidc/return": "open",
    "POST /api/v1/duty": "ostauwc",
    "POST /api/v1/login": "open",
    "POST /api/v1/logout": "ostauwc locked",
    "POST /api/v1/lock": "ostauwc locked",
    "POST /api/v1/unlock": "ostauwc locked",
    "POST /api/v1/password": "ostauwc locked",
    "POST /api/v1/pin": "ostauwc",
    "GET /api/v1/accounts": "a",
    "POST /api/v1/accounts": "a",
    "POST /api/v1/accounts/change": "a",
    "POST /api/v1/accounts/disable": "a",
    "POST /api/v1/accounts/enable": "a",
    "POST /api/v1/accounts/reset_password": "a",
    "POST /api/v1/accounts/set_password": "a",
    "POST /api/v1/accounts/reset_totp": "a",
    "POST /api/v1/accounts/unlock": "a",
    "POST /api/v1/accounts/sessions": "a",
    "POST /api/v1/accounts/end_session": "a",
    "POST /api/v1/totp": "ostauwc",
    "GET /api/v1/changes": "ostauwc locked",
    "GET /api/v1/lines": "ost",
    "GET /api/v1/devices": "ost",
    "GET /api/v1/devices/{line}/{address:path}": "ost",
    "GET /api/v1/providers": "os",
    "GET /api/v1/providers/{id}": "os",
    "POST /api/v1/providers/{id}/state": "s duty",
    "POST /api/v1/providers/{id}/freeze": "s duty",
    "POST /api/v1/providers/{id}/unfreeze": "s duty",
    "POST /api/v1/providers/{id}/block": "s duty",
    "POST /api/v1/providers/{id}/unblock": "s duty",
    "POST /api/v1/providers/{id}/grade": "s duty",
    "POST /api/v1/providers/{id}/proposal": "s duty",
    "GET /api/v1/requests": "os",
    "POST /api/v1/requests": "os duty",
    "GET /api/v1/services": "os",
    "GET /api/v1/watch": "os",
    "POST /api/v1/watch/{person}/absence": "os duty",
    "POST /api/v1/watch/{person}/absence_over": "os duty",
    "POST /api/v1/watch/{person}/family_link": "os duty",
    "POST /api/v1/persons": "os duty",
    "POST /api/v1/register/search": "os duty",
    "GET /api/v1/register/list/{kind}": "os",
    "GET /api/v1/register/records/{kind}/{key:path}": "os",
    "POST /api/v1/register/records/{kind}/{key:path}": "os duty",  # an operator only of whom they have in hand (test_review_access)
    "GET /api/v1/register/history/{kind}/{key:path}": "os",
    "POST /api/v1/register/correct": "os duty",
    "POST /api/v1/register/confirm": "os duty",
    "POST /api/v1/register/take_back": "os duty",
    "POST /api/v1/register/new": "s duty",
    "POST /api/v1/register/remove": "s duty",
    "POST /api/v1/register/decide": "s duty",
    "POST /api/v1/register/import": "s duty",
    "POST /api/v1/register/import/take": "s duty",
    "POST /api/v1/register/export": "s duty",
    "GET /api/v1/register/conflicts": "os",
    "GET /api/v1/register/quality": "os",
    "GET /api/v1/register/quality/{what}": "os",
    "GET /api/v1/register/facets": "os",
    "GET /api/v1/incidents/{id}/decisions": "os incident",
    "GET /api/v1/service-levels": "ostuwc",
    "GET /api/v1/map": "os",
    "GET /api/v1/map/incidents": "os",
    "GET /api/v1/incidents/{id}/map": "os incident",
    "GET /tiles/{layer}/{z}/{x}/{y}": "os",
    "POST /api/v1/platforms/{platform}/incidents": "signed",
    "GET /api/v1/platforms/{platform}/incidents/{external}": "signed",
    "PUT /api/v1/platforms/{platform}/persons/{external}": "signed",
    "GET /api/v1/upward": "st",
    "GET /api/v1/journal-feed": "t",
    "GET /api/v1/aid": "os",
    "POST /api/v1/aid/{matter}/{subject:path}": "s duty",
    "POST /api/v1/purge": "a duty",
    "GET /api/v1/call-backs": "os",
    "POST /api/v1/hand-overs": "signed",
    "POST /api/v1/search": "os",
    "POST /api/v1/history": "os",
    "GET /api/v1/incidents/{id}/history": "os incident",
    "POST /api/v1/incidents/{id}/print": "os incident",
    "GET /api/v1/incidents/{id}/recordings": "os incident",
    "POST /api/v1/incidents/{id}/listen": "os incident",
    "GET /api/v1/recordings/{ticket}": "os",
    "GET /api/v1/exports": "su",
    "POST /api/v1/exports": "su",
    "GET /api/v1/exports/{ticket}": "su",
    "GET /api/v1/audit": "u",
    "POST /api/v1/audit": "u",
    "GET /api/v1/audit/verify": "u",
    "POST /api/v1/audit/verify": "u",
    "GET /api/v1/desk": "s",
    "POST /api/v1/incidents/bulk": "os duty",
    "POST /api/v1/flood": "s duty",
    "GET /api/v1/maintenance": "ost",
    "POST /api/v1/maintenance": "st",
    "GET /api/v1/shift": "os",
    "POST /api/v1/shift": "os duty",
    "POST /api/v1/shift/{id}/confirm": "os duty",
    "POST /api/v1/shift/{id}/cancel": "os duty",
    "GET /api/v1/notices": "os",
    "POST /api/v1/notices": "s duty",
    "POST /api/v1/notices/{id}/acknowledge": "os duty",
    "GET /api/v1/kpi": "su",
    "GET /api/v1/outcomes": "ostuwc",
    "POST /api/v1/complaints": "sc",
    "POST /api/v1/complaints/{id}/handle": "s duty",
    "GET /api/v1/ops": "st",
    "GET /api/v1/shards": "st",
    "GET /api/v1/risks": "st",
    "POST /api/v1/risks/seen": "st",
    "GET /api/v1/self-test": "st",
    "POST /api/v1/self-test": "st",
    "GET /api/v1/incidents/{id}": "os incident",
    "GET /api/v1/incidents/{id}/cap": "os incident",
    "POST /api/v1/incidents/{id}/reveal": "os duty incident",
    "POST /api/v1/incidents/{id}/dial": "os duty incident",
    "POST /api/v1/calls/{key}/answer": "os duty",
    "POST /api/v1/calls/{key}/hang_up": "os duty",
    "POST /api/v1/calls/{key}/transfer": "os duty",
    "POST /api/v1/incidents/{id}/{action}": "os duty incident",
    "POST /api/v1/replies": "signed",
    "POST /api/v1/texts": "signed",
    "GET /api/v1/spare/{what}": "signed",
}
BASE = "http://127.0.0.1:12349"
FILLED = {"key": "c1", "line": "wearables", "address": "w003", "layer": "0", "z": "1", "x": "0", "y": "0", "action": "note"}
OF_REGISTER = {"key": "p001", "kind": "persons", "what": "confirmed"}
FAR = ("192.0.2.7", 40_000)  # a browser elsewhere
PINGAN, HAISHIWAN = "p001", "p002"  # persons of the two towns


# What no answer may hold for whoever is not in charge: each is found in nobody else's record.
SECRETS = ("秘密甲", "77号", "13912345678", "密密肝", "密闺女", "13787654321")


def told_apart(register: Register) -> Register:
    """Two people whose record cannot be mistaken for anything else in an answer."""
    persons = {
        name: msgspec.structs.replace(
            register.persons[name],
            name="秘密甲",
            address=f"{town}红古路77号9单元901室",
            phones=("+8613912345678",),
            health_note="密密肝",
            conditions="密密肝",
            contacts=(Contact(name="密闺女", relation="女儿", phone="+8613787654321"),),
        )
        for name, town in ((PINGAN, "平安镇"), (HAISHIWAN, "海石湾镇"))
    }
    parts = {name: getattr(register, name).values() for name in ("areas", "responders")}
    return Register(district="honggu", name="红古区", persons={**register.persons, **persons}.values(), devices=register.devices, **parts)


class Desk:
    """A house with accounts, an incident in each of two towns, and browsers of its people."""

    def __init__(self) -> None:
        self.house = with_accounts(told_apart(invented_register()))
        self.app = make_app(self.house, static_dir=STATIC, metrics_registry=CollectorRegistry())
        self.console = self.app.state.console
        self.incidents: dict[str, str] = {}
        self.last = ""

    async def cries(self) -> None:
        for number in (1, 2):
            incident = await self.house.cries(number)
            self.incidents[f"p{number:03}"] = incident.id

    @asynccontextmanager
    async def browser(self, login: str = "", *, duty: bool = True, locked: bool = False, near: bool = False) -> AsyncIterator[httpx.AsyncClient]:
        """Somebody's, logged in without the way through the log-in, which test_access has."""
        client = ("127.0.0.1", 40_000) if near else FAR
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app, client=client, raise_app_exceptions=False), base_url=BASE) as browser:
            session = self.console.sessions.open()
            if login:
                session = self.console.sessions.log_in(session, login, 3600.0, self.house.now(), FAR[0])
                session.name = self.house.accounts.known(login).name if duty else None
                session.locked = locked
            browser.cookies.set("session", session.token, domain="127.0.0.1")
            browser.headers["X-CSRF"] = session.csrf
            yield browser

    async def answer(self, browser: httpx.AsyncClient, route: str, incident: str = "") -> str:
        """The whole text of what is answered."""
        self.last = ""
        await self.asks(browser, route, incident)
        return self.last

    async def asks(
        self, browser: httpx.AsyncClient, route: str, incident: str = "", body: dict[str, object] | None = None, **headers: str
    ) -> tuple[int, str]:
        """Status and reason of an answer to this route, with a body that says nothing, or with this one."""
        method, path = route.split(" ")
        known = {**FILLED, **(OF_REGISTER if "/register/" in path else {}), "id": incident or self.incidents[PINGAN], "person": PINGAN}
        for name in [part.strip("{}").partition(":")[0] for part in path.split("/") if part.startswith("{")]:
            path = path.replace(f"{{{name}}}", known.get(name, "x")).replace(f"{{{name}:path}}", known.get(name, "x"))
        answer = await browser.request(method, path, content=msgspec.json.encode(body or {}) if method != "GET" else None, headers=headers)
        self.last = answer.text
        told = answer.json() if answer.headers.get("content-type", "").startswith("application/json") else {}
        return answer.status_code, str(told.get("reason", "")) if isinstance(told, dict) else ""


@pytest.fixture
async def desk() -> Desk:
    desk = Desk()
    await desk.cries()
    return desk


def routes_of(desk: Desk) -> Iterator[str]:
    for route in desk.app.routes:
        if isinstance(route, Route):
            for method in sorted((route.methods or set()) - {"HEAD"}):
                yield f"{method} {route.path}"


def told(route: str) -> tuple[set[AccountRole], set[str]]:
    """Roles and marks of a route in the table."""
    letters, *marks = EXPECTED[route].split(" ")
    if letters in ("open", "signed"):
        return set(AccountRole), {letters}
    return {LETTERS[letter] for letter in letters}, set(marks)


def asking() -> list[str]:
    """Routes that ask who comes."""
    return [route for route in EXPECTED if EXPECTED[route] not in ("open", "signed")]


def test_every_route_is_in_the_table_and_every_row_is_a_route(desk: Desk) -> None:
    assert set(routes_of(desk)) == set(EXPECTED)
    sockets = {f"WS {route.path}" for route in desk.app.routes if isinstance(route, WebSocketRoute)}
    assert set(RULES) == set(EXPECTED) | sockets


async def test_a_route_without_a_row_keeps_the_console_from_starting(desk: Desk) -> None:
    async def secret(_: object) -> None: ...

    with pytest.raises(LookupError, match=r"GET /api/v1/secret has no row"):
        Guard(desk.house, desk.console.sessions).before([Route("/api/v1/secret", secret)])


@pytest.mark.parametrize("route", EXPECTED)
async def test_a_role_without_the_right_is_refused_and_one_with_it_is_let_in(desk: Desk, route: str) -> None:
    roles, marks = told(route)
    for role, login in BY_ROLE.items():
        async with desk.browser(login) as browser:
            status, reason = await desk.asks(browser, route)
        if role in roles:
            assert (status, reason) != (403, "no_right"), role
            assert status != 423, (role, reason)
            assert marks & {"open", "signed"} or status != 401, (role, reason)
        else:
            assert (status, reason) == (403, "no_right"), role


@pytest.mark.parametrize("route", asking())
async def test_nobody_who_has_not_logged_in_is_answered(desk: Desk, route: str) -> None:
    async with desk.browser() as browser:
        assert await desk.asks(browser, route) == (401, "log_in")
    _, marks = told(route)
    if "near" in marks:
        async with desk.browser(near=True) as browser:
            assert (await desk.asks(browser, route))[0] in (200, 503)
            assert await desk.asks(browser, route, **{"X-Forwarded-For": "192.0.2.9"}) == (401, "log_in")  # through a proxy: from elsewhere


@pytest.mark.parametrize("route", asking())
async def test_a_locked_screen_is_told_no_more_than_counts(desk: Desk, route: str) -> None:
    roles, marks = told(route)
    for login in (login for role, login in BY_ROLE.items() if role in roles):
        async with desk.browser(login, locked=True) as browser:
            status, reason = await desk.asks(browser, route)
        assert ((status, reason) == (423, "locked")) is ("locked" not in marks) or route == "POST /api/v1/password", login


@pytest.mark.parametrize("route", [route for route in asking() if "duty" in EXPECTED[route]])
async def test_who_is_not_on_duty_does_nothing(desk: Desk, route: str) -> None:
    roles, _ = told(route)
    for login in (login for role, login in BY_ROLE.items() if role in roles):
        async with desk.browser(login, duty=False) as browser:
            assert await desk.asks(browser, route) == (403, "not_on_duty")


@pytest.mark.parametrize("route", [route for route in asking() if "incident" in EXPECTED[route].split(" ")])
async def test_an_incident_of_a_foreign_area_is_not_theirs(desk: Desk, route: str) -> None:
    for login, mine, foreign in (("zhaomin", HAISHIWAN, PINGAN), ("wangqiang", PINGAN, HAISHIWAN), ("zhoujie", PINGAN, HAISHIWAN)):
        if LETTERS["s" if login == "zhoujie" else "o"] not in told(route)[0]:
            continue
        async with desk.browser(login) as browser:
            assert await desk.asks(browser, route, desk.incidents[foreign]) == (403, "foreign_area")
            assert (await desk.asks(browser, route, desk.incidents[mine]))[1] != "foreign_area"


@pytest.mark.parametrize("route", [route for route in EXPECTED if not route.startswith("GET ") and EXPECTED[route] != "signed"])
async def test_another_page_cannot_let_anything_be_done(desk: Desk, route: str) -> None:
    roles, _ = told(route)
    login = next(login for role, login in BY_ROLE.items() if role in roles)
    async with desk.browser(login) as browser:
        assert await desk.asks(browser, route, Origin="https://evil.example") == (403, "origin")
        assert await desk.asks(browser, route, **{"X-CSRF": "forged"}) == (403, "csrf")
        assert await desk.asks(browser, route, **{"X-CSRF": ""}) == (403, "csrf")
        browser.cookies.clear()
        assert await desk.asks(browser, route) == (403, "csrf")


@pytest.mark.parametrize("route", [route for route in EXPECTED if EXPECTED[route] == "signed"])
async def test_what_proves_itself_is_refused_without_proof(desk: Desk, route: str) -> None:
    async with desk.browser() as browser:
        assert (await desk.asks(browser, route))[0] in (401, 404)


async def test_rows_of_a_foreign_area_are_never_sent(desk: Desk) -> None:
    everything = {"incident:" + name for name in desk.incidents.values()}
    for login, sees in (("lina", everything), ("zhaomin", {f"incident:{desk.incidents[HAISHIWAN]}"}), ("hefan", set()), ("wall", set())):
        async with desk.browser(login) as browser:
            items = (await browser.get("/api/v1/changes")).json()["items"]
        assert {f"incident:{item['id']}" for item in items if item["type"] == "incident"} == sees, login


@pytest.mark.parametrize("route", EXPECTED)
async def test_no_answer_holds_what_its_reader_may_not_see(desk: Desk, route: str) -> None:
    """Nobody has taken the incident yet, so nobody is entitled to more than the masked record."""
    for login in BY_ROLE.values():
        async with desk.browser(login) as browser:
            text = await desk.answer(browser, route)
        assert not [secret for secret in SECRETS if secret in text], login


# What people send by day: (route, body, status that somebody gets, who may see all of it: letters as above).
IN_AN_HOUR = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
YEAR = {"from": (datetime.now(UTC) - timedelta(days=300)).isoformat(), "to": IN_AN_HOUR, "reason": "for the yearly report"}
BODIES: list[tuple[str, dict[str, object], int, str]] = [
    ("POST /api/v1/search", {"wanted": "秘密甲"}, 200, ""),
    ("POST /api/v1/search", {"wanted": "13912345678"}, 200, ""),
    ("POST /api/v1/search", {"wanted": "p001"}, 200, ""),
    ("POST /api/v1/history", {}, 200, ""),
    ("POST /api/v1/history", {"person": "p001"}, 200, ""),
    ("POST /api/v1/history", {"text": "密密肝"}, 200, ""),
    ("POST /api/v1/persons", {"wanted": "秘密甲"}, 200, ""),
    ("POST /api/v1/persons", {"wanted": "+8613912345678"}, 200, ""),
    ("POST /api/v1/register/search", {"wanted": "秘密甲"}, 200, ""),
    ("POST /api/v1/register/search", {"wanted": "p001", "kind": "persons"}, 200, ""),
    ("POST /api/v1/register/search", {"wanted": "w001", "kind": "devices"}, 200, ""),
    ("POST /api/v1/register/records/{kind}/{key:path}", {"reason": "the family asks"}, 200, "s"),
    ("POST /api/v1/register/correct", {"kind": "persons", "key": "p001", "cells": {"health_note": "well"}, "reason": "said so"}, 200, ""),
    ("POST /api/v1/register/confirm", {"kind": "persons", "key": "p001"}, 200, ""),
    ("POST /api/v1/register/remove", {"kind": "devices", "key": "wearables|w001", "reason": "lost"}, 200, ""),
    ("POST /api/v1/register/export", {"kind": "persons", "reason": "to be corrected"}, 200, "s"),
    ("POST /api/v1/register/import", {"kind": "persons", "csv": "id,name\np009,Somebody\n"}, 200, ""),
    *(
        ("POST /api/v1/exports", {**YEAR, "what": what, "format": form}, 200, "")
        for what in ("incidents", "journal", "calls", "audit")
        for form in ("csv", "jsonl")
    ),
    ("POST /api/v1/exports", {**YEAR, "what": "incidents", "masked": False}, 200, "s"),
    ("POST /api/v1/audit", {}, 200, ""),
    ("POST /api/v1/incidents/{id}/print", {}, 200, ""),
    ("POST /api/v1/incidents/{id}/print", {"full": True, "reason": "for the court"}, 200, "s"),
    ("POST /api/v1/incidents/{id}/reveal", {"reason": "call_back"}, 200, "s"),
    ("POST /api/v1/incidents/{id}/{action}", {"text": "looked at"}, 200, ""),
    ("POST /api/v1/incidents/bulk", {"ids": ["I100001", "I100002"], "action": "note", "facts": {"text": "looked at"}}, 200, ""),
    ("POST /api/v1/requests", {"person": "p001", "service": "meals"}, 200, ""),
    ("POST /api/v1/maintenance", {"incident": "I100001", "value": "test", "until": IN_AN_HOUR, "reason": "new battery"}, 200, ""),
    ("POST /api/v1/shift", {"text": "quiet", "notes": {"I100001": "ask again"}}, 200, ""),
    ("POST /api/v1/notices", {"text": "snow"}, 200, ""),
    ("POST /api/v1/complaints", {"area": "pingan", "note": "nobody came"}, 200, ""),
    ("POST /api/v1/flood", {"switch": "on", "reason": "drill"}, 200, ""),
]


AFTERWARDS = (
    "GET /api/v1/register/records/{kind}/{key:path}",
    "GET /api/v1/register/history/{kind}/{key:path}",
    "GET /api/v1/incidents/{id}",
    "GET /api/v1/incidents/{id}/history",
    "GET /api/v1/changes",
    "GET /api/v1/audit",
    "GET /api/v1/shift",
    "GET /api/v1/desk",
)


@pytest.mark.parametrize(("route", "body", "status", "whole"), BODIES)
async def test_no_answer_to_what_people_send_holds_what_they_may_not_see(
    desk: Desk, route: str, body: dict[str, object], status: int, whole: str
) -> None:
    """Nor does what can be read afterwards: the file of a ticket, the record, its history, the incident, the feed."""
    found = dict[str, bool]()
    for role, login in BY_ROLE.items():
        async with desk.browser(login) as browser:
            got = (await desk.asks(browser, route, body=body))[0]
            text = desk.last
            if got == status and route.endswith("/exports"):
                text += (await browser.get(f"/api/v1/exports/{msgspec.json.decode(text)['ticket']}")).text
            shown = any(secret in text for secret in SECRETS)
            if role not in [LETTERS[letter] for letter in whole]:
                assert not shown, login
            if got == status:
                found[login] = shown
    for login in ("lina", "sunli", "gaoyan", "wall"):
        async with desk.browser(login) as browser:
            for after in AFTERWARDS:
                assert not [secret for secret in SECRETS if secret in await desk.answer(browser, after)], (login, after)
    assert found, "a body that nobody may send, or that is none, proves nothing"
    assert any(found.values()) is bool(whole), "who may see it does"


async def test_who_searches_for_a_person_finds_them_masked(desk: Desk) -> None:
    async with desk.browser("zhaomin") as browser:
        found = await browser.post("/api/v1/persons", json={"wanted": "秘密甲"})
    assert found.status_code == 200
    assert [one["name"] for one in found.json()["persons"]] == ["秘**"]  # and the other one lives elsewhere
    assert not [secret for secret in SECRETS if secret in found.text]


async def test_counters_are_of_the_readers_area(desk: Desk) -> None:
    await desk.house.cries(4, Kind.HELP)
    for login, opened in (("lina", 3), ("zhaomin", 2), ("wangqiang", 1), ("wall", 3)):
        async with desk.browser(login) as browser:
            items = (await browser.get("/api/v1/changes")).json()["items"]
        queue = next(item for item in items if item["type"] == "counter" and item["id"] == "queue")
        assert queue["open"] == opened, login
        assert sum(one["count"] for one in queue["raised"].values()) == opened, login
