"""Finding a person to do something for: by number, id, or the beginning of the name; masked, on duty, nothing of it in an address."""

from collections.abc import AsyncIterator

import httpx
import pytest
from prometheus_client import CollectorRegistry

from gateway.console.http import make_app
from tests.console.fake_house import STATIC, FakeHouse


@pytest.fixture
def house() -> FakeHouse:
    return FakeHouse()


@pytest.fixture
async def client(house: FakeHouse) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:12349") as client:
        client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
        yield client


async def test_only_on_duty_and_only_what_makes_sense(client: httpx.AsyncClient) -> None:
    assert (await client.post("/api/v1/persons", json={"wanted": "p001"})).json() == {"reason": "not_on_duty"}
    await client.post("/api/v1/duty", json={"name": "李娜"})
    assert (await client.post("/api/v1/persons", json={"wanted": " x "})).json()["reason"] == "bad_wanted"
    assert (await client.post("/api/v1/persons", json={"wanted": "x" * 41})).json()["reason"] == "bad_wanted"
    assert (await client.post("/api/v1/persons", json={"wanted": "p001", "more": 1})).json()["reason"] == "unknown_field"


async def test_found_by_number_id_and_name_and_masked(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await client.post("/api/v1/duty", json={"name": "李娜"})

    async def found(wanted: str) -> list[str]:
        reply = await client.post("/api/v1/persons", json={"wanted": wanted})
        for person in house.register.persons.values():
            assert person.name not in reply.text
            assert person.phones[0] not in reply.text
        return [one["id"] for one in reply.json()["persons"]]

    assert await found("19900000001") == ["p001"]
    assert await found("+86 199 0000 0001") == ["p001"]
    assert await found("199-0000-0003") == ["p003", "p006", "p007"]
    assert await found("p002") == ["p002"]
    assert await found("no such") == []
    name = house.register.persons["p005"].name
    assert "p005" in await found(name)
    assert "p005" in await found(name[:2])
