"""A whole gateway whose stations have web servers: answers in the body of the 2xx and by /api/v1/replies; refused, garbage, silent, replayed."""

import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from prometheus_client import CollectorRegistry
from waiting import wait_until

from gateway.app import STATIC, House
from gateway.console.http import make_app
from tests.dispatch.text_house import Web, cries, elders, gateway, legs, web

SECRET = b"a secret of sixteen and more"


@contextlib.asynccontextmanager
async def web_house(folder: Path, server: Web) -> AsyncIterator[tuple[House, httpx.AsyncClient]]:
    (folder / "webhook.secret").write_bytes(SECRET)
    settings = '[dispatch.webhook]\nsecret_file = "webhook.secret"\ntimeout_s = 1\n'
    async with gateway(folder, "webhook", settings, f"{server.url}/station", f"{server.url}/centre") as house:
        app = make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry())
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            yield house, client


def signed(body: bytes, at: float | None = None) -> dict[str, str]:
    content = body if at is None else str(int(at)).encode() + b"." + body
    headers = {"x-signature": "sha256=" + hmac.new(SECRET, content, hashlib.sha256).hexdigest()}
    return headers if at is None else headers | {"x-timestamp": str(int(at))}


async def test_accept_in_the_body_and_the_rest_later(tmp_path: Path) -> None:
    with web() as server:

        def answer(_path: str, headers: dict[str, str], _body: bytes) -> tuple[int, bytes]:
            return 200, json.dumps({"delivery": headers["x-delivery"], "answer": "accept"}).encode()

        server.answer = answer
        async with web_house(tmp_path, server) as (house, client):
            await cries(house)
            await wait_until(lambda: legs(house) == [("station", "accepted")], "accepted at once")
            delivery = elders(house).legs[0].delivery
            for word in ("arrived", "done"):
                body = json.dumps({"delivery": delivery, "answer": word, "by": "李娜"}).encode()
                assert (await client.post("/api/v1/replies", content=body, headers=signed(body, house.now().timestamp()))).status_code == 200
                assert legs(house) == [("station", word)]


async def test_replayed_and_stale_signatures(tmp_path: Path) -> None:
    """Accepted, then declined. The accept is sent again as it was: known. An hour later: refused. With another time: not its signature."""
    with web() as server:
        async with web_house(tmp_path, server) as (house, client):
            await cries(house)
            await wait_until(lambda: legs(house) == [("station", "sent")], "the station has the order")
            now = house.now().timestamp()
            accept, decline = (json.dumps({"delivery": elders(house).legs[0].delivery, "answer": word}).encode() for word in ("accept", "decline"))
            assert (await client.post("/api/v1/replies", content=accept, headers=signed(accept, now))).json() == {"outcome": "stored"}
            assert (await client.post("/api/v1/replies", content=decline, headers=signed(decline, now))).status_code == 200
            before = legs(house)
            assert before[0] == ("station", "declined")
            assert (await client.post("/api/v1/replies", content=accept, headers=signed(accept, now))).json() == {"outcome": "duplicate"}
            for age_s in (-3600, 3600):
                stale = await client.post("/api/v1/replies", content=accept, headers=signed(accept, now + age_s))
                assert (stale.status_code, stale.json()["reason"]) == (401, "stale_signature")
            moved = signed(accept, now) | {"x-timestamp": str(int(now) + 1)}
            for headers in (moved, {}, {"x-signature": "sha256="}, signed(decline)):
                refused = await client.post("/api/v1/replies", content=accept, headers=headers)
                assert (refused.status_code, refused.json()["reason"]) == (401, "bad_signature")
            assert legs(house) == before


async def test_refused_silent_and_garbage(tmp_path: Path) -> None:
    with web() as server:
        server.answer = lambda path, _headers, _body: (410, b"") if path == "/station" else (200, b"\xff<html>")
        async with web_house(tmp_path, server) as (house, _):
            await cries(house)
            await wait_until(lambda: legs(house) == [("station", "failed"), ("centre", "sent")], "gone for good: the next one up is asked")
            await wait_until(
                lambda: house.metrics.books("replies").rejected == {"bad_json": 1}, "garbage is kept for inspection, and changes nothing"
            )
            assert legs(house)[1] == ("centre", "sent")


async def test_no_answer_is_tried_again_under_the_same_id(tmp_path: Path) -> None:
    with web() as server:
        server.may_answer.clear()
        async with web_house(tmp_path, server) as (house, _):
            await cries(house)
            await wait_until(lambda: house.metrics.orders.labels("webhook", "retried")._value.get() >= 1, "no answer")
            assert legs(house) == [("station", "queued")]
            server.may_answer.set()
            await wait_until(lambda: legs(house) == [("station", "sent")], "it has answered")
            assert {headers["x-delivery"] for _, headers, _ in server.requests} == {elders(house).legs[0].delivery}
