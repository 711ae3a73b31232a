"""The closed loop at the API: hold, resume, waive, handle, split, unmerge; what the page is told of nodes passed and awaited."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from gateway.console.http import make_app
from gateway.console.openapi import document
from gateway.event import Kind
from tests.console.fake_house import FakeHouse

REASON = "住院中，家属请求不再回访"


@pytest.fixture
def house(tmp_path: Path) -> FakeHouse:
    secret = tmp_path / "webhook.secret"
    secret.write_text("shared secret\n")
    return FakeHouse(secret_file=secret)


@pytest.fixture
async def client(house: FakeHouse, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    (tmp_path / "index.html").write_text("<!doctype html>")
    app = make_app(house, static_dir=tmp_path, metrics_registry=CollectorRegistry())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:12349") as client:
        client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
        assert (await client.post("/api/v1/duty", json={"name": "李娜"})).status_code == 200
        yield client


async def do(client: httpx.AsyncClient, incident: str, action: str, **body: object) -> tuple[int, dict]:
    reply = await client.post(f"/api/v1/incidents/{incident}/{action}", json=body)
    return reply.status_code, reply.json()


async def test_from_the_order_to_the_answered_complaint(house: FakeHouse, client: httpx.AsyncClient) -> None:
    name = (await house.cries(0, Kind.HELP)).id
    for action, body in (("acknowledge", {}), ("resolve", {"outcome": "helped"})):
        assert (await do(client, name, action, **body))[0] == 200
    status, answer = await do(client, name, "waive", reason="ok")
    assert (status, answer["reason"], answer["least"]) == (400, "reason_too_short", 8)
    assert (await do(client, name, "call_back", satisfaction=1, complaint=True, note="没人来", about="station-1"))[0] == 200
    assert (await do(client, name, "resolve", outcome="helped"))[0] == 200
    assert (await do(client, name, "waive", reason=REASON))[1]["reason"] == "complaint_not_handled"
    assert (await do(client, name, "handle", finding="maybe", note="x"))[1] == {
        "reason": "bad_finding",
        "allowed": ["justified", "partly", "unjustified"],
    }
    assert (await do(client, name, "handle", finding="justified", note="已约谈驿站"))[0] == 200
    until = (house.now() + timedelta(days=2)).isoformat()
    assert (await do(client, name, "hold", until=until, reason="家属外出"))[0] == 200
    detail = (await client.get(f"/api/v1/incidents/{name}")).json()["incident"]
    assert detail["due"]["name"] == "hold"
    assert detail["held_until"] is not None
    assert [one["name"] for one in detail["loop"]["passed"]] == ["order", "serve", "call_back", "complain", "serve", "handle"]
    assert [one["name"] for one in detail["loop"]["waits"]] == ["call_back"]
    assert (await do(client, name, "resume"))[0] == 200
    assert (await do(client, name, "waive", reason=f"{REASON} 13812341204"))[1]["incident"]["state"] == "closed"
    detail = (await client.get(f"/api/v1/incidents/{name}")).json()
    assert detail["incident"]["waived"] == f"李娜: {REASON} 138****1204"
    assert [entry["kind"] for entry in detail["timeline"]][-5:] == ["resolve", "handle", "hold", "resume", "waive"]


async def test_a_merger_is_undone(house: FakeHouse, client: httpx.AsyncClient) -> None:
    one, other = (await house.cries(0, Kind.HELP)).id, (await house.cries(1, Kind.HELP)).id
    assert (await do(client, one, "merge", into=other, different=True))[0] == 200
    assert (await client.get(f"/api/v1/incidents/{one}")).json()["incident"]["merged_at"] is not None
    status, answer = await do(client, one, "unmerge")
    assert (status, answer["incident"]["state"], answer["incident"]["merged_into"]) == (200, "raised", None)
    assert (await do(client, one, "unmerge"))[1]["reason"] == "not_merged"


async def test_a_split_names_what_leaves(house: FakeHouse, client: httpx.AsyncClient) -> None:
    name = (await house.cries(0, Kind.HELP)).id
    assert (await do(client, name, "split"))[1]["reason"] == "missing_device"
    assert (await do(client, name, "split", device="wearables|nobody"))[1]["reason"] == "unknown_device"


def test_the_document_has_them_with_their_fields() -> None:
    paths = document()["paths"]
    assert isinstance(paths, dict)

    def fields(action: str) -> tuple[set[str], list[str]]:
        schema = paths[f"/api/v1/incidents/{{id}}/{action}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        return set(schema["properties"]) - {"state", "version"}, schema.get("required", [])

    assert fields("hold") == ({"until", "reason"}, ["until", "reason"])
    assert fields("waive") == ({"reason"}, ["reason"])
    assert fields("handle") == ({"finding", "note"}, ["finding", "note"])
    assert fields("split") == ({"device", "call", "person"}, [])
    assert fields("unmerge") == fields("resume") == (set(), [])
    assert fields("complain") == ({"note", "about"}, ["note"])
