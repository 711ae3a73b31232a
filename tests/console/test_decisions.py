"""Why who was sent, over HTTP: every decision of an incident, everybody looked at with a reason that has words in both languages."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from prometheus_client import CollectorRegistry

from gateway.console.http import make_app
from gateway.core.routing import RULES, VERDICTS
from gateway.event import Position
from tests.console.fake_house import STATIC, FakeHouse

LANGUAGES = {name: json.loads((STATIC / "lang" / f"{name}.json").read_text()) for name in ("zh-CN", "en")}
EXACT = Position(lat=36.345678, lon=102.867891)


@pytest.fixture
def house() -> FakeHouse:
    return FakeHouse()


@pytest.fixture
async def client(house: FakeHouse) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:12349") as client:
        yield client


async def test_a_supervisor_reads_why_this_station_was_sent(house: FakeHouse, client: httpx.AsyncClient) -> None:
    incident = await house.cries(3, position=EXACT)
    reply = await client.get(f"/api/v1/incidents/{incident.id}/decisions", params={"language": "en"})
    assert reply.status_code == 200
    first = reply.json()["decisions"][0]
    assert (first["event"], first["rule"], first["asked"]["role"]) == ("dispatch", "nearest", "social")
    chosen = next(one for one in first["candidates"] if one["verdict"] == "chosen")
    assert chosen["responder"] == first["responder"] == incident.legs[0].responder
    assert f"{chosen['travel_min']:g} min (estimate)" in first["words"][0]
    assert chosen["name"] in first["words"][0]
    assert first["words"][-1].startswith("Register ")
    assert first["travel"] == "straight_line"


async def test_it_says_where_the_person_is_to_about_a_kilometre_only(house: FakeHouse, client: httpx.AsyncClient) -> None:
    incident = await house.cries(3, position=EXACT)
    said = (await client.get(f"/api/v1/incidents/{incident.id}/decisions")).text
    assert '"lat":36.35,"lon":102.87' in said
    assert "36.345" not in said
    assert "102.867" not in said


async def test_unknown_incidents_and_languages_are_refused(house: FakeHouse, client: httpx.AsyncClient) -> None:
    incident = await house.cries(3)
    assert (await client.get("/api/v1/incidents/I9/decisions")).json()["reason"] == "unknown_incident"
    reply = await client.get(f"/api/v1/incidents/{incident.id}/decisions", params={"language": "fr"})
    assert (reply.status_code, reply.json()["reason"]) == (400, "bad_language")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_of_a_decision_has_a_label(language: str) -> None:
    wanted = {f"{group}.{word}" for group in ("verdict", "verdict_now") for word in VERDICTS} | {f"rule.{rule}" for rule in RULES}
    assert not wanted - set(LANGUAGES[language])
