"""The console's HTTP face: sessions, commands, one winner, conflicts, long polls, machines' faces; and the feed over a real server."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import re
import socket
import tracemalloc
from collections.abc import AsyncIterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import httpx
import msgspec
import pytest
import websockets
from prometheus_client import CollectorRegistry, Gauge
from starlette.applications import Starlette
from starlette.routing import Route
from waiting import free_port, wait_until

from gateway.config import Config, ConsoleConfig
from gateway.console import http, idempotency, sessions
from gateway.console.http import listen_address, make_app, serve
from gateway.errors import ConfigError, StoreDown
from gateway.event import Kind
from tests.console.fake_house import STATIC, FakeHouse

BASE = "http://127.0.0.1:12349"
PAGE = """<!doctype html>
<script type="importmap">{"imports":{"preact":"/static/vendor/preact.js"}}</script>
<script type="module" src="/static/app.js"></script>
"""


@pytest.fixture
def house(tmp_path: Path) -> FakeHouse:
    secret = tmp_path / "webhook.secret"
    secret.write_text("shared secret\n")
    return FakeHouse(secret_file=secret)


@pytest.fixture
def app(house: FakeHouse, tmp_path: Path) -> Starlette:
    static = tmp_path / "static"
    static.mkdir()
    (static / "index.html").write_text(PAGE)
    (static / "app.js").write_text("export {};")
    return make_app(house, static_dir=static, metrics_registry=CollectorRegistry())


def client_of(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE)


@pytest.fixture
async def client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


async def on_duty(client: httpx.AsyncClient, name: str) -> dict:
    """Come on duty; the client then sends its CSRF token by itself."""
    client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
    reply = await client.post("/api/v1/duty", json={"name": name})
    assert reply.status_code == 200
    return reply.json()


async def changes(client: httpx.AsyncClient, since: int = 0, epoch: str = "", **more: int) -> dict:
    return (await client.get("/api/v1/changes", params={"since": since, "epoch": epoch, **more})).json()


async def test_coming_on_duty_and_leaving(house: FakeHouse, client: httpx.AsyncClient) -> None:
    first = await client.get("/api/v1/session")
    cookie = first.headers["set-cookie"]
    assert all(word in cookie for word in ("session=", "HttpOnly", "SameSite=strict"))
    assert "Secure" not in cookie  # dropped silently on plain http
    session = first.json()
    assert (session["name"], session["verified"], session["language"]) == (None, False, "zh-CN")
    assert session["district"] == {"id": "honggu", "name": "红古区", "name_en": "Honggu"}
    assert [line["id"] for line in session["lines"]] == ["hotline", "corridor", "wearables"]
    assert datetime.fromisoformat(session["now"]).tzinfo is not None
    assert (await on_duty(client, " 李娜 "))["name"] == "李娜"
    assert (await client.get("/api/v1/session")).json()["name"] == "李娜"
    items = (await changes(client))["items"]
    (mine,) = [item for item in items if item["type"] == "operator"]
    assert (mine["id"], mine["name"], mine["sound"], mine["extension"]) == ("李娜", "李娜", False, None)
    assert (mine["role"], mine["areas"], mine["view"], mine["load"], mine["oldest"]) == ("local", [], None, 0, None)
    assert (await client.post("/api/v1/duty", json={"name": None})).json()["name"] is None
    assert [(kind, actor, facts["duty"]) for kind, actor, facts in house.notes] == [("note", "李娜", True), ("note", "李娜", False)]
    assert "operator" not in [item["type"] for item in (await changes(client))["items"]]


@pytest.mark.parametrize("name", ["", "  ", "x" * 33, 7, "李\n娜"])
async def test_a_name_that_is_none_is_refused(client: httpx.AsyncClient, name: object) -> None:
    await on_duty(client, "李娜")
    reply = await client.post("/api/v1/duty", json={"name": name})
    assert (reply.status_code, reply.json()["reason"]) == (400, "bad_name")


async def test_thirty_press_at_once_and_one_wins(house: FakeHouse, app: Starlette) -> None:
    incident = await house.cries(0)
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_of(app)) for _ in range(30)]
        await asyncio.gather(*(on_duty(client, f"席位{i}") for i, client in enumerate(clients)))
        replies = await asyncio.gather(*(client.post(f"/api/v1/incidents/{incident.id}/acknowledge") for client in clients))
    winners = [i for i, reply in enumerate(replies) if reply.status_code == 200]
    assert len(winners) == 1
    owner = f"席位{winners[0]}"
    assert house.incidents[incident.id].owner == owner
    for i, reply in enumerate(replies):
        if i not in winners:
            body = reply.json()
            assert (reply.status_code, body["reason"], body["by"], body["incident"]["owner"]) == (409, "already_acknowledged", owner, owner)
            assert datetime.fromisoformat(body["at"])


async def test_acknowledging_ones_own_again_is_fine(house: FakeHouse, client: httpx.AsyncClient) -> None:
    incident = await house.cries(0)
    await on_duty(client, "李娜")
    for _ in range(2):
        reply = await client.post(f"/api/v1/incidents/{incident.id}/acknowledge")
        assert (reply.status_code, reply.json()["incident"]["state"]) == (200, "acknowledged")


async def test_only_our_own_page_may_command(house: FakeHouse, app: Starlette, client: httpx.AsyncClient) -> None:
    incident = await house.cries(0)
    path = f"/api/v1/incidents/{incident.id}/acknowledge"
    assert (await client.post(path)).json() == {"reason": "csrf"}  # no session at all
    csrf = (await client.get("/api/v1/session")).json()["csrf"]
    for headers, reason in (
        ({}, "csrf"),
        ({"X-CSRF": "guessed"}, "csrf"),
        ({"X-CSRF": "错"}, "csrf"),
        ({"X-CSRF": csrf, "Origin": "http://evil.example"}, "origin"),
        ({"X-CSRF": csrf, "Origin": "http://127.0.0.1:8000"}, "origin"),
        ({"X-CSRF": csrf, "Origin": "null"}, "origin"),
        ({"X-CSRF": csrf, "Origin": BASE}, "not_on_duty"),
        ({"X-CSRF": csrf}, "not_on_duty"),
    ):
        reply = await client.post(path, headers={name: value.encode() for name, value in headers.items()})
        assert (reply.status_code, reply.json()) == (403, {"reason": reason}), headers
    assert (await client.post("/api/v1/duty", json={"name": "李娜"})).status_code == 403
    async with client_of(app) as other:
        await on_duty(other, "赵敏")
        stolen = other.headers["X-CSRF"]
    assert (await client.post(path, headers={"X-CSRF": stolen})).json() == {"reason": "csrf"}
    assert house.incidents[incident.id].state == "raised"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:12349", "", "127.0.0.1.evil.example"])
async def test_under_a_foreign_name_nothing_is_said(app: Starlette, client: httpx.AsyncClient, host: str) -> None:
    for path in ("/", "/api/v1/changes", "/api/v1/session"):
        reply = await client.get(path, headers={"Host": host})
        assert (reply.status_code, reply.json()) == (403, {"reason": "host"})


async def test_the_same_key_again_gets_the_first_answer(house: FakeHouse, client: httpx.AsyncClient, app: Starlette) -> None:
    incident = await house.cries(0)
    await on_duty(client, "李娜")
    path, key = f"/api/v1/incidents/{incident.id}/note", {"Idempotency-Key": "k1"}
    first, *others = await asyncio.gather(*(client.post(path, json={"text": "女儿 15:00 到"}, headers=key) for _ in range(5)))
    assert first.status_code == 200
    assert {reply.content for reply in others} == {first.content}
    assert len(house.commands) == 1
    await client.post(f"/api/v1/incidents/{incident.id}/acknowledge")
    assert (await client.post(path, json={"text": "女儿 15:00 到"}, headers=key)).content == first.content
    await client.post(path, json={"text": "又一条"}, headers={"Idempotency-Key": "k2"})
    assert [command.facts["text"] for command in house.commands if "text" in command.facts] == ["女儿 15:00 到", "又一条"]
    keys = [command.key for command in house.commands if command.key is not None]
    assert [len(key.encode()) for key in keys] == [32, 32]  # 200,000 are remembered, and stand in the journal: short, and nobody's name in them
    async with client_of(app) as other:  # a key is one operator's, for one command
        await on_duty(other, "赵敏")
        version = house.incidents[incident.id].version
        assert (await other.post(path, json={"text": "赵敏的"}, headers=key)).json()["incident"]["version"] == version + 1
    for bad in ("", "x" * 65):
        assert (await client.post(path, json={"text": "x"}, headers={"Idempotency-Key": bad})).json()["reason"] == "bad_idempotency_key"


async def test_our_own_fault_is_not_remembered(house: FakeHouse, client: httpx.AsyncClient) -> None:
    incident = await house.cries(0)
    await on_duty(client, "李娜")
    path, key = f"/api/v1/incidents/{incident.id}/acknowledge", {"Idempotency-Key": "k1"}
    house.store_down = True
    reply = await client.post(path, headers=key)
    assert (reply.status_code, reply.json()) == (503, {"reason": "store_down"})
    assert (await client.get(f"/api/v1/incidents/{incident.id}")).json() == {"reason": "store_down"}
    house.store_down = False
    assert (await client.post(path, headers=key)).status_code == 200


async def test_answers_are_forgotten_by_age_and_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    now, done = 0.0, 0

    async def work() -> idempotency.Answer:
        nonlocal done
        done += 1
        return idempotency.Answer(200, b"%d" % done)

    answers = idempotency.Answers(lambda: now)
    assert [(await answers.once("a", work)).body for _ in range(2)] == [b"1", b"1"]
    now = idempotency.MEMORY_S + 1
    assert (await answers.once("a", work)).body == b"2"
    monkeypatch.setattr(idempotency, "MEMORY_LIMIT", 3)
    for key in "bcd":
        await answers.once(key, work)
    assert (await answers.once("a", work)).body == b"6"


async def test_a_command_given_up_half_way_can_be_sent_again() -> None:
    answers, never = idempotency.Answers(lambda: 0.0), asyncio.Event()

    async def hang() -> idempotency.Answer:
        await never.wait()
        raise AssertionError

    async def work() -> idempotency.Answer:
        return idempotency.Answer(200, b"done")

    first = asyncio.create_task(answers.once("a", hang))
    await asyncio.sleep(0)
    second = asyncio.create_task(answers.once("a", work))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).body == b"done"
    with pytest.raises(asyncio.CancelledError):
        await first


def test_sessions_end_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    memory = sessions.Sessions(lambda: now)
    kept = memory.open()
    kept.name = "李娜"
    assert memory.find(kept.token) is kept
    monkeypatch.setattr(sessions, "SESSIONS_LIMIT", 3)
    tokens = [memory.open().token for _ in range(5)]
    assert [memory.find(token) is not None for token in tokens] == [False, False, False, True, True]
    assert memory.find(kept.token) is kept  # people on duty go last
    assert memory.present() == [kept]
    now = sessions.PRESENCE_S + 1
    assert memory.present() == []
    now = sessions.LIFE_S + 1
    assert memory.find(kept.token) is None
    assert memory.find("invented") is None
    assert memory.find(None) is None


def test_a_session_remembers_so_many_opened_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """A console that is never closed must not grow; the oldest is journalled anew when it is opened again."""
    monkeypatch.setattr(sessions, "VIEWED_LIMIT", 3)
    session = sessions.Sessions(lambda: 0.0).open()
    for number in range(5):
        session.view(f"I{number} p{number}")
    assert [session.has_viewed(f"I{number} p{number}") for number in range(5)] == [False, False, True, True, True]


@pytest.mark.parametrize(
    ("action", "body", "status", "reason"),
    [
        ("resolve", {}, 400, "missing_outcome"),
        ("resolve", {"outcome": "  "}, 400, "missing_outcome"),
        ("resolve", {"outcome": "fine"}, 400, "bad_outcome"),
        ("resolve", {"outcome": "helped"}, 409, "not_when_raised"),
        ("call_back", {"satisfaction": True}, 400, "bad_satisfaction"),
        ("call_back", {"satisfaction": 6}, 400, "bad_satisfaction"),
        ("note", {"text": "x" * 2001}, 400, "text_too_long"),
        ("note", {"text": "x", "actor": "somebody else"}, 400, "unknown_field"),
        ("note", {"text": ["x"]}, 400, "bad_text"),
        ("dispatch", {"responder": "nowhere"}, 400, "unknown_responder"),
        ("withdraw", {"delivery": "nothing"}, 404, "unknown_delivery"),
        ("identify", {"person": "nobody"}, 404, "unknown_person"),
        ("release", {}, 409, "not_yours"),
        ("complain", {"note": "太慢"}, 409, "not_when_raised"),
        ("join", {}, 404, "unknown_action"),
        ("explode", {}, 404, "unknown_action"),
    ],
)
async def test_what_cannot_be_done_is_named(house: FakeHouse, client: httpx.AsyncClient, action: str, body: dict, status: int, reason: str) -> None:
    incident = await house.cries(0)
    await on_duty(client, "李娜")
    reply = await client.post(f"/api/v1/incidents/{incident.id}/{action}", json=body)
    assert (reply.status_code, reply.json()["reason"]) == (status, reason)
    assert house.commands == []


async def test_bodies_are_bounded_and_must_be_objects(house: FakeHouse, client: httpx.AsyncClient) -> None:
    incident = await house.cries(0)
    await on_duty(client, "李娜")
    path = f"/api/v1/incidents/{incident.id}/note"
    reply = await client.post(path, content=b'{"text":"' + b"x" * 70_000 + b'"}')
    assert (reply.status_code, reply.json()["reason"]) == (413, "body_too_large")
    for body in (b"[]", b"{", b"\xff", b"null"):
        assert (await client.post(path, content=body)).json() == {"reason": "bad_json"}
    reply = await client.post("/api/v1/incidents/I999999/note", json={"text": "x"})
    assert (reply.status_code, reply.json()) == (404, {"reason": "unknown_incident"})
    assert (await client.get("/api/v1/incidents/I999999")).json() == {"reason": "unknown_incident"}
    assert (await client.get("/api/v1/nothing")).json() == {"reason": "not_found"}
    assert (await client.get("/api/v1/duty")).json() == {"reason": "method_not_allowed"}
    assert (await client.get("/api/v1/changes", params={"since": "-1"})).json() == {"reason": "bad_since"}


async def test_a_page_that_is_behind_is_told(house: FakeHouse, client: httpx.AsyncClient) -> None:
    incident = await house.cries(0)
    await on_duty(client, "李娜")
    path = f"/api/v1/incidents/{incident.id}"
    reply = await client.post(f"{path}/dispatch", json={"state": "acknowledged"})
    assert (reply.status_code, reply.json()["reason"], reply.json()["incident"]["state"]) == (409, "state_changed", "raised")
    reply = await client.post(f"{path}/note", json={"text": "x"}, headers={"If-Match": '"1"'})
    assert (reply.status_code, reply.json()["reason"]) == (409, "version_changed")
    version = house.incidents[incident.id].version
    assert (await client.post(f"{path}/note", json={"text": "x"}, headers={"If-Match": str(version)})).status_code == 200
    assert (await client.post(f"{path}/note", json={"text": "x", "version": version})).json()["version"] == version + 1
    assert (await client.post(f"{path}/acknowledge", json={"state": "raised", "version": 1})).status_code == 200


async def test_from_acknowledgement_to_call_back(house: FakeHouse, client: httpx.AsyncClient) -> None:
    incident = await house.cries(0, Kind.HELP)
    await on_duty(client, "李娜")
    start = await changes(client)

    async def do(action: str, **body: object) -> dict:
        reply = await client.post(f"/api/v1/incidents/{incident.id}/{action}", json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()["incident"]

    assert (await do("acknowledge"))["owner"] == "李娜"
    assert (await do("step", step="call_person"))["state"] == "acknowledged"
    assert (await do("dispatch"))["leg"] == "queued"
    await house.deliver()
    delivery = house.incidents[incident.id].legs[0].delivery
    await house.answers(delivery, Kind.ACCEPT)
    await house.answers(delivery, Kind.ARRIVED)
    assert (await do("note", text="到场, 老人已起身"))["leg"] == "arrived"
    assert (await do("escalate", reason="再派一队"))["flags"] == ["escalated"]
    assert (await do("resolve", outcome="helped", note="已扶起"))["state"] == "resolved"
    assert [item["call_back"] for item in (await changes(client))["items"] if item["id"] == "queue"] == [1]
    assert (await do("call_back", satisfaction=5))["state"] == "closed"
    assert (await do("complain", note="来得太慢"))["flags"][-1] == "complaint"
    after = await changes(client, start["rev"], start["epoch"])
    assert "reset" not in after
    (row,) = [item for item in after["items"] if item["type"] == "incident"]
    assert (row["state"], row["owner"]) == ("acknowledged", "李娜")
    detail = (await client.get(f"/api/v1/incidents/{incident.id}")).json()
    kinds = [entry["kind"] for entry in detail["timeline"]]
    story = ["help", "acknowledge", "dispatch", "sent", "accept", "arrived", "note", "escalate", "resolve", "call_back", "complain"]
    assert [kind for kind in dict.fromkeys(kinds) if kind in story] == story
    assert detail["person"]["name"] == house.register.persons["p000"].name


async def test_detail_is_masked_for_those_who_are_not_the_owner(house: FakeHouse, client: httpx.AsyncClient, app: Starlette) -> None:
    incident = await house.cries(0)
    person = house.register.persons["p000"]
    await on_duty(client, "李娜")
    path = f"/api/v1/incidents/{incident.id}"
    assert (await client.get(path)).json()["person"]["masked"]
    await client.post(f"{path}/acknowledge")
    own, _ = [(await client.get(path)).text for _ in range(2)]
    assert [(actor, facts["incident"]) for kind, actor, facts in house.notes if kind == "viewed"] == [("李娜", incident.id)]  # first, and once
    assert all(fact in own for fact in (person.name, person.address, person.health_note))
    async with client_of(app) as other:
        await on_duty(other, "赵敏")
        strange = (await other.get(path)).text + (await other.get("/api/v1/changes")).text
    secrets = (person.name, person.address, person.health_note, person.phones[0], *(contact.phone for contact in person.contacts))
    assert not [fact for fact in secrets if fact in strange]
    assert not [fact for fact in secrets[3:] if fact in own]


async def test_a_record_that_cannot_be_put_on_record_stays_masked(
    house: FakeHouse, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    incident = await house.cries(0)
    await on_duty(client, "李娜")
    await client.post(f"/api/v1/incidents/{incident.id}/acknowledge")

    async def refuse(*_: object, **__: object) -> None:
        raise StoreDown("no space left on device")

    monkeypatch.setattr(house, "note", refuse)
    assert (await client.get(f"/api/v1/incidents/{incident.id}")).json()["person"]["masked"]
    monkeypatch.undo()
    assert not (await client.get(f"/api/v1/incidents/{incident.id}")).json()["person"]["masked"]


async def test_a_poll_waits_for_news(house: FakeHouse, client: httpx.AsyncClient) -> None:
    start = await changes(client)
    assert start["reset"]
    waiting = asyncio.create_task(changes(client, start["rev"], start["epoch"], wait=20))
    console = client._transport.app.state.console  # type: ignore[attr-defined]
    await wait_until(lambda: console.feed.listeners == 1)
    incident = await house.cries(0)
    frame = await waiting
    assert [item["id"] for item in frame["items"] if item["type"] == "incident"] == [incident.id]
    assert "reset" not in frame
    for since, epoch in ((0, start["epoch"]), (frame["rev"], "another"), (frame["rev"] + 9, start["epoch"])):
        assert (await changes(client, since, epoch, wait=20))["reset"]  # at once
    assert console.feed.listeners == 0


async def test_an_answer_from_the_web_is_taken_when_it_is_signed(house: FakeHouse, client: httpx.AsyncClient) -> None:
    incident = await house.cries(0)
    await house.deliver()
    leg = house.incidents[incident.id].legs[0]

    async def reply(answer: str, delivery: str = leg.delivery, secret: bytes = b"shared secret", **more: object) -> tuple[int, dict]:
        body = msgspec.json.encode({"delivery": delivery, "answer": answer, "by": "张站长", **more})
        signature = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
        response = await client.post("/api/v1/replies", content=body, headers={"X-Signature": signature})
        return response.status_code, response.json()

    assert await reply("accept", secret=b"guessed") == (401, {"reason": "bad_signature"})
    assert (await client.post("/api/v1/replies", json={})).status_code == 401
    assert await reply("acknowledge") == (400, {"reason": "unknown_answer"})
    assert await reply("accept", note=7) == (400, {"reason": "bad_field"})
    assert await reply("accept", delivery="nothing") == (404, {"reason": "unknown_delivery"})
    assert await reply("accept", note="五分钟到") == (200, {"outcome": "stored"})
    assert await reply("accept", note="五分钟到") == (200, {"outcome": "duplicate"})
    taken = house.incidents[incident.id].leg(leg.delivery)
    assert taken is not None
    assert (taken.state, taken.by) == ("accepted", "张站长")
    house.store_down = True
    assert await reply("arrived") == (503, {"reason": "store_down"})


async def test_without_a_webhook_secret_no_answer_is_taken() -> None:
    app = make_app(FakeHouse(), static_dir=STATIC, metrics_registry=CollectorRegistry())
    async with client_of(app) as client:
        assert (await client.post("/api/v1/replies", json={}, headers={"X-Signature": "sha256="})).status_code == 401


async def test_the_page_may_run_its_own_scripts_and_no_others(client: httpx.AsyncClient) -> None:
    reply = await client.get("/")
    inline = re.search(r'importmap">(.*?)</script>', PAGE)
    assert inline is not None
    digest = base64.b64encode(hashlib.sha256(inline[1].encode()).digest()).decode()
    policy = reply.headers["content-security-policy"]
    assert f"script-src 'self' 'sha256-{digest}';" in policy
    assert "unsafe" not in policy
    assert reply.headers["cache-control"] == "no-store"
    script = await client.get("/static/app.js")
    assert (script.status_code, script.headers["cache-control"], script.headers["x-content-type-options"]) == (200, "no-cache", "nosniff")
    assert script.headers["content-security-policy"] == policy
    assert (await client.get("/static/../webhook.secret")).status_code == 404


async def test_machines_are_told_whether_we_are_ready(house: FakeHouse, tmp_path: Path) -> None:
    registry = CollectorRegistry()
    store_down = Gauge("gateway_store_down", "1 while nothing can be written", registry=registry)
    async with client_of(make_app(house, static_dir=tmp_path, metrics_registry=registry)) as client:
        assert (await client.get("/healthz")).text == "ok"
        assert (await client.get("/readyz")).json() == {"ready": True, "reasons": []}
        house.change_line("corridor", "lost", "port_closed")
        store_down.set(1)
        reply = await client.get("/readyz")
        assert reply.status_code == 503
        assert reply.json()["reasons"] == [{"reason": "line_not_live", "line": "corridor", "state": "lost"}, {"reason": "store_down"}]
        metrics = await client.get("/metrics")
        assert "gateway_store_down 1.0" in metrics.text
        assert metrics.headers["content-type"].startswith("text/plain")
        assert (await client.get("/")).json() == {"reason": "no_page"}
        assert [line["state"] for line in (await client.get("/api/v1/lines")).json()["lines"]] == ["live", "lost", "live"]


async def test_openapi_names_every_route_and_no_other(app: Starlette, client: httpx.AsyncClient) -> None:
    described = (await client.get("/api/v1/openapi.json")).json()["paths"]
    routes: dict[str, set[str]] = {}
    for route in app.routes:
        if isinstance(route, Route) and route.path != "/":
            routes.setdefault(route.path.replace(":path", ""), set()).update(route.methods or ())
    commands = {path for path in described if re.fullmatch(r"/api/v1/incidents/\{id\}/[a-z_]+", path) and "post" in described[path]}
    assert set(described) - commands == set(routes) - commands - {"/api/v1/incidents/{id}/{action}"}
    for path, methods in routes.items():
        for described_path in commands if "{action}" in path else [path]:
            assert {method.upper() for method in described[described_path]} == methods - {"HEAD"}
    for path in commands:  # each is a command we know: it is refused for its person, not for its name
        reply = await client.post(path.replace("{id}", "I1"))
        assert reply.json() == {"reason": "csrf"}
    await on_duty(client, "李娜")
    for path in commands:
        schema = described[path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        body = {name: schema["properties"][name].get("enum", ["x"])[0] for name in schema.get("required", [])}
        assert (await client.post(path.replace("{id}", "I1"), json=body)).json() == {"reason": "unknown_incident"}


async def test_full_numbers_for_the_owner_who_says_why_journalled_first(house: FakeHouse, client: httpx.AsyncClient) -> None:
    incident = await house.cries(3)
    person = house.register.persons["p003"]
    path = f"/api/v1/incidents/{incident.id}/reveal"

    async def asks(**body: object) -> tuple[int, dict]:
        reply = await client.post(path, json=body)
        return reply.status_code, reply.json()

    assert await asks(reason="call_back") == (403, {"reason": "csrf"})
    client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
    assert await asks(reason="call_back") == (403, {"reason": "not_on_duty"})
    await on_duty(client, "李娜")
    assert await asks(reason="call_back") == (403, {"reason": "not_owner"})  # nobody's
    await client.post(f"/api/v1/incidents/{incident.id}/acknowledge")
    house.notes.clear()
    assert await asks() == (400, {"reason": "missing_reason"})
    assert (await asks(reason="curious"))[1]["reason"] == "bad_reason"
    assert (await asks(reason=["call_back"]))[1]["reason"] == "bad_reason"
    assert (await asks(reason="call_back", field="address"))[1]["reason"] == "unknown_field"
    house.store_down = True
    assert await asks(reason="call_back") == (503, {"reason": "store_down"})
    assert house.notes == []
    house.store_down = False
    status, shown = await asks(reason="call_back")
    assert (status, shown["phones"], shown["caller"]) == (200, list(person.phones), None)
    assert [(one["relation"], one["phone"]) for one in shown["contacts"]] == [(one.relation, one.phone) for one in person.contacts]
    facts = {"incident": incident.id, "person": "p003", "field": "phones", "reason": "call_back"}
    assert house.notes == [(Kind.REVEAL, "李娜", facts)]
    assert person.phones[0] not in (await client.get(f"/api/v1/incidents/{incident.id}")).text  # elsewhere it stays masked
    await on_duty(client, "周敏")
    assert await asks(reason="emergency_service") == (403, {"reason": "not_owner"})
    assert (await client.post("/api/v1/incidents/I9/reveal", json={"reason": "call_back"})).status_code == 404


async def test_a_caller_nobody_knows_can_be_rung_back(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await house.calls_in("+8619912345678", Kind.CALL_ABANDONED)
    incident = next(iter(house.incidents.values()))
    await on_duty(client, "李娜")
    await client.post(f"/api/v1/incidents/{incident.id}/acknowledge")
    reply = await client.post(f"/api/v1/incidents/{incident.id}/reveal", json={"reason": "call_back"})
    assert reply.json() == {"phones": [], "contacts": [], "caller": "+8619912345678"}
    await client.post(f"/api/v1/incidents/{incident.id}/resolve", json={"outcome": "helped"})
    await client.post(f"/api/v1/incidents/{incident.id}/call_back", json={"satisfaction": 5})
    if not house.incidents[incident.id].is_open:
        reply = await client.post(f"/api/v1/incidents/{incident.id}/reveal", json={"reason": "call_back"})
        assert (reply.status_code, reply.json()["reason"]) == (403, "not_owner")


@pytest.mark.parametrize("listen", ["0.0.0.0:12349", "192.0.2.7:12349", "[::]:12349", "console.lan:12349", ":12349"])
def test_without_accounts_only_the_loopback_interface_is_served(listen: str) -> None:
    with pytest.raises(ConfigError, match=r"console\.listen.*127\.0\.0\.1:12349"):
        listen_address(listen)
    assert listen_address(listen, accounts=True)[1] == 12349


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000", ""])
def test_an_address_that_is_none_is_refused(listen: str) -> None:
    with pytest.raises(ConfigError, match=r"console\.listen"):
        listen_address(listen)


def test_the_default_address_is_fine() -> None:
    assert listen_address(Config(console=ConsoleConfig()).console.listen) == ("127.0.0.1", 12349)
    assert listen_address("[::1]:80") == ("::1", 80)


async def test_a_taken_port_is_named(app: Starlette) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"console.listen: cannot listen on 127.0.0.1:{port}"):
            await serve(app, "127.0.0.1", port)


@contextlib.asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[str]:
    """The app on a real port; gives host:port."""
    port = free_port()
    task = asyncio.create_task(serve(app, "127.0.0.1", port))
    try:
        await wait_until(lambda: task.done() or can_connect(port))
        assert not task.done(), task.exception()
        yield f"127.0.0.1:{port}"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def can_connect(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def take(link: websockets.ClientConnection) -> dict:
    async with asyncio.timeout(10):
        return msgspec.json.decode(await link.recv())


async def test_the_feed_over_a_real_socket(house: FakeHouse, app: Starlette, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEARTBEAT_S", 0.5)
    console = app.state.console
    async with served(app) as address:
        async with httpx.AsyncClient(base_url=f"http://{address}") as client:
            await on_duty(client, "李娜")
            cookie = f"session={client.cookies['session']}"
        async with websockets.connect(f"ws://{address}/api/v1/feed", origin=f"http://{address}", additional_headers={"Cookie": cookie}) as link:  # type: ignore[arg-type]
            first = await take(link)
            assert first["reset"]
            beat = await take(link)
            assert beat["hb"] == first["rev"]
            incident = await house.cries(0)
            await house.cries(0)
            frame = await take(link)
            while "hb" in frame:
                frame = await take(link)
            assert [item["cries"] for item in frame["items"] if item["type"] == "incident"] == [2]
            await link.send("not JSON")
            await link.send('{"view":"I100001","mode":"look"}')
            await link.send('{"ears":true}')
            while not any(item.get("sound") and item.get("view") == "I100001" for item in frame.get("items", ())):
                frame = await take(link)
            number, epoch = frame["rev"], frame["epoch"]
        await wait_until(lambda: console.feed.listeners == 0)
        await house.cries(1)
        async with websockets.connect(f"ws://{address}/api/v1/feed?since={number}&epoch={epoch}") as link:
            frame = await take(link)
            assert "reset" not in frame
            assert [item["id"] for item in frame["items"] if item["type"] == "incident"] == [f"I{int(incident.id[1:]) + 1}"]
        async with websockets.connect(f"ws://{address}/api/v1/feed?since={number}&epoch=another") as link:
            assert (await take(link))["reset"]


async def test_stopping_tells_the_pages_and_is_quick(app: Starlette, caplog: pytest.LogCaptureFixture) -> None:
    async with served(app) as address:
        link = await websockets.connect(f"ws://{address}/api/v1/feed")
        await take(link)
    with pytest.raises(websockets.ConnectionClosed):
        await take(link)
    assert link.close_code == 1012
    assert not caplog.records


async def test_a_foreign_page_gets_no_feed(app: Starlette) -> None:
    async with served(app) as address, websockets.connect(f"ws://{address}/api/v1/feed", origin="http://evil.example") as link:  # type: ignore[arg-type]
        with pytest.raises(websockets.ConnectionClosed):
            await take(link)
        assert link.close_code == 4403


async def test_consoles_are_counted_and_bounded(house: FakeHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SOCKETS_LIMIT", 2)
    counted: list[int] = []
    app = make_app(house, static_dir=tmp_path, metrics_registry=CollectorRegistry(), count_consoles=counted.append)
    async with served(app) as address:
        url = f"ws://{address}/api/v1/feed"
        async with websockets.connect(url) as one, websockets.connect(url) as two:
            await take(one)
            await take(two)
            async with websockets.connect(url) as three:
                with pytest.raises(websockets.ConnectionClosed):
                    await take(three)
                assert three.close_code == 1013
        await wait_until(lambda: counted[-1] == 0)
        assert max(counted) == 2


async def test_frames_come_at_most_every_fifth_of_a_second(house: FakeHouse, app: Starlette, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the end of one to the beginning of the next, where they are sent: on a busy machine two may be read at once."""
    loop, send = asyncio.get_running_loop(), http.WebSocket.send_text
    sent: list[tuple[float, float]] = []

    async def noted(socket: http.WebSocket, text: str) -> None:
        begun = loop.time()
        await send(socket, text)
        sent.append((begun, loop.time()))

    monkeypatch.setattr(http.WebSocket, "send_text", noted)
    async with (
        served(app) as address,
        websockets.connect(f"ws://{address}/api/v1/feed") as link,
        httpx.AsyncClient(base_url=f"http://{address}") as poller,
    ):
        for _ in range(5):
            receiving = asyncio.create_task(take(link))
            while not receiving.done():
                await house.cries(0)
                await poller.get("/api/v1/changes")  # pollers keep the feed fresh all the time
            await receiving
    gaps = [begun - ended for (_, ended), (begun, _) in pairwise(sent)]
    assert len(gaps) >= 4
    assert min(gaps) > http.TICK_S * 0.99


async def test_a_slow_reader_makes_nothing_grow_and_is_cut_off(house: FakeHouse, app: Starlette, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TICK_S", 0.001)
    monkeypatch.setattr(http, "SLOW_S", 0.5)
    monkeypatch.setattr("gateway.console.live.TICK_S", 0.001)
    console = app.state.console
    async with served(app) as address:
        host, _, port = address.partition(":")
        with contextlib.closing(socket.socket()) as stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(stuck, (host, int(port)))
            hello = f"GET /api/v1/feed HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            await loop.sock_sendall(stuck, (hello + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
            await wait_until(lambda: console.feed.listeners == 1)
            tracemalloc.start()
            try:
                offered, memory = 0, [tracemalloc.get_traced_memory()[0]]
                while console.feed.listeners:
                    house.change_line("corridor", "lost", f"{offered:0{BIG}}")  # each frame is this large
                    offered += 1
                    await asyncio.sleep(0.001)
                    memory.append(tracemalloc.get_traced_memory()[0])
            finally:
                tracemalloc.stop()
    assert offered * BIG > 20_000_000
    assert max(memory) - memory[0] < 3_000_000  # one frame in the socket's buffer, one made, one in the cache, and their copies


BIG = 200_000  # bytes
