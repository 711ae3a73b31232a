"""Answering a ringing call from the page: sent to one's own telephone, journalled before and after; who was slower is told."""

from collections.abc import AsyncIterator

import httpx
import pytest

from drivers.telephone import Answer
from gateway.event import Kind
from tests.console.test_dial import PERSON, Room


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    room = Room()
    yield room
    for client in room.clients:
        await client.aclose()


async def answer(client: httpx.AsyncClient, key: str) -> tuple[int, dict[str, object]]:
    reply = await client.post(f"/api/v1/calls/{key}/answer", json={})
    return reply.status_code, reply.json()


async def test_a_ringing_call_is_sent_to_ones_own_telephone(room: Room) -> None:
    client = await room.operator("李娜", "8001")
    await room.house.calls_in(PERSON, Kind.CALL_RINGING)
    assert await answer(client, "hotline|c1") == (200, {"outcome": "done"})
    assert room.pbx.wishes == [Answer(call="c1", agent="8001")]
    said = [facts for kind, actor, facts in room.house.notes if kind is Kind.ANSWER and actor == "李娜"]
    assert said == [
        {"incident": None, "call": "hotline|c1", "to": "8001"},
        {"incident": None, "call": "hotline|c1", "to": "8001", "outcome": "done"},
    ]


async def test_of_a_call_about_an_alarm_the_alarm_says_who_answered(room: Room) -> None:
    client = await room.operator("李娜", "8001")
    incident = await room.house.cries(3)
    await room.house.calls_in(PERSON, Kind.CALL_RINGING)
    assert (await answer(client, "hotline|c1"))[0] == 200
    assert [(name, row.actor) for name, row in room.house.journal if row.kind == "answer"] == [(incident.id, "李娜")] * 2


async def test_who_is_slower_is_told(room: Room) -> None:
    client = await room.operator("李娜", "8001")
    await room.house.calls_in(PERSON, Kind.CALL_RINGING)
    await room.house.calls_in(PERSON, Kind.CALL_ANSWERED, agent="8002")
    assert await answer(client, "hotline|c1") == (409, {"reason": "call_answered"})
    await room.house.calls_in(PERSON, Kind.CALL_ENDED)
    assert (await answer(client, "hotline|c1"))[0] == 404
    assert not room.pbx.wishes


async def test_who_has_no_telephone_cannot(room: Room) -> None:
    client = await room.operator("李娜")
    await room.house.calls_in(PERSON, Kind.CALL_RINGING)
    assert await answer(client, "hotline|c1") == (400, {"reason": "missing_extension"})


async def test_an_exchange_that_is_away_is_said_to_be(room: Room) -> None:
    client = await room.operator("李娜", "8001")
    await room.house.calls_in(PERSON, Kind.CALL_RINGING)
    room.pbx.is_live = False
    assert await answer(client, "hotline|c1") == (503, {"reason": "telephone_lost"})
    assert not [kind for kind, _, _ in room.house.notes if kind is Kind.ANSWER], "nothing was begun"
