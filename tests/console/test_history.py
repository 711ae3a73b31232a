"""What was, over HTTP: searching by every field, pages, areas, masks, what the journal says of it; stories of a person and a device."""

import asyncio
from datetime import timedelta

import httpx
import msgspec
import pytest
from waiting import wait_until

from gateway.console import history_routes
from gateway.core.incident import Action, Incident
from gateway.event import Kind
from tests.console.fake_house import FakeHouse
from tests.console.past import a_past, client_of, closes, does, house_with


async def found(client: httpx.AsyncClient, **fields: object) -> list[str]:
    reply = await client.post("/api/v1/history", json=fields)
    assert reply.status_code == 200, reply.text
    return [row["id"] for row in reply.json()["incidents"]]


def ids(*incidents: Incident) -> list[str]:
    return [one.id for one in incidents]


def notes_of(house: FakeHouse, kind: Kind) -> list[dict[str, object]]:
    return [facts for noted, _, facts in house.notes if noted is kind]


async def test_every_field_open_and_closed() -> None:
    house = house_with()
    one, two, three, four, five, six, seven = await a_past(house)
    still = await house.cries(0, Kind.SOS)
    await does(house, Action.NOTE, still, text="备用钥匙")
    await does(house, Action.COMPLAIN, house.incidents[two.id], note="来得太慢")
    house.register.persons["p000"]
    async with client_of(house) as client:
        assert await found(client) == ids(still, seven, six, five, four, three, two, one)
        for fields, expected in (
            ({"incident": one.id}, [one]),
            ({"incident": one.id[1:]}, [one]),
            ({"person": "p000"}, [still, five, three, one]),
            ({"person": "19900000000"}, [still, five, three, one]),
            ({"person": house.register.persons["p000"].name, "kind": "fall"}, [one]),
            ({"device": "w001"}, [two]),
            ({"area": "pingan"}, [six, two]),
            ({"area": "平安镇"}, [six, two]),
            ({"area": "honggu", "kind": "sos"}, [still, six, three, two]),
            ({"severity": "critical"}, [still, six, three, two, one]),
            ({"owner": "周敏"}, [seven]),  # the complaint has opened the other again, and it is in nobody's hands
            ({"responder": "station-2", "kind": "help"}, [four]),
            ({"responder": "红古路", "kind": "help"}, [four]),
            ({"outcome": "hospital"}, [six]),
            ({"hotline": "12345"}, []),
            ({"complaint": True}, [two]),
            ({"text": "钥匙"}, [still, one]),
            ({"text": "钥匙", "kind": "fall"}, [one]),
            ({"since": (house.now() - timedelta(days=25)).isoformat(), "until": (house.now() - timedelta(days=7)).isoformat()}, [six, five]),
            ({"person": "p039"}, []),
        ):
            assert await found(client, **fields) == ids(*expected), fields  # type: ignore[arg-type]


async def test_the_box_for_everything_says_what_it_was_taken_for() -> None:
    house = house_with()
    one, *_ = await a_past(house)
    async with client_of(house) as client:
        for wanted, taken_for in (
            (one.id.lower(), "incident"),
            ("p000", "person"),
            ("199-0000-0000", "person"),
            (house.register.persons["p000"].name[:2], "person"),
            ("w000", "device"),
            ("12349", "hotline"),
            ("station-2", "responder"),
            ("红古路驿站", "responder"),
            ("钥匙", "text"),
        ):
            body = (await client.post("/api/v1/search", json={"wanted": wanted})).json()
            assert body["as"] == taken_for, wanted
            assert one.id in [row["id"] for row in body["incidents"]] or taken_for == "hotline"
        assert (await client.post("/api/v1/search", json={"wanted": "x"})).json()["reason"] == "bad_wanted"
        assert (await client.post("/api/v1/search", json={"wanted": "w000", "more": 1})).json()["reason"] == "unknown_field"


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "no such"},
        {"severity": "bad"},
        {"outcome": "1"},
        {"incident": "x"},
        {"person": "王"},
        {"text": "x"},
        {"complaint": "yes"},
        {"since": "yesterday"},
        {"until": "2026-01-01"},
        {"after": -1},
        {"after": True},
        {"after": "5"},
        {"area": "nowhere"},
        {"owner": "x" * 41},
        {"owner": ["x"]},
        {"owner": "a\nb"},
        {"more": 1},
    ],
)
async def test_what_makes_no_sense_is_refused(fields: dict[str, object]) -> None:
    house = house_with()
    async with client_of(house) as client:
        reply = await client.post("/api/v1/history", json=fields)
        assert reply.status_code in (400, 404), reply.text
    assert not notes_of(house, Kind.SEARCHED)


async def test_pages_end_and_hold_everything_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_routes, "PAGE", 3)
    house = house_with()
    closed = [await closes(house, n % 3, Kind.HELP) for n in range(4)]
    open_ones = [await house.cries(n, Kind.SOS) for n in range(6, 9)]
    closed += [await closes(house, n % 3, Kind.HELP) for n in range(4)]
    async with client_of(house) as client:
        seen: list[str] = []
        after = None
        for _ in range(5):
            body = (await client.post("/api/v1/history", json={"after": after})).json()
            seen += [row["id"] for row in body["incidents"]]
            after = body["after"]
            if after is None:
                break
        assert seen == sorted(ids(*closed, *open_ones), reverse=True)


async def test_rows_are_masked_and_the_journal_has_fields_and_count_but_no_name() -> None:
    house = house_with()
    await a_past(house)
    person = house.register.persons["p000"]
    async with client_of(house) as client:
        reply = await client.post("/api/v1/history", json={"person": person.name, "kind": "sos", "text": "老人"})
        for secret in (person.name, person.address, person.phones[0], "13800001111"):
            assert secret not in reply.text
        assert len(reply.json()["incidents"]) == 1
    [facts] = notes_of(house, Kind.SEARCHED)
    assert (facts["fields"], facts["wanted"], facts["count"]) == (["kind", "person", "text"], {"kind": "sos"}, 1)
    assert person.name not in str(house.notes)
    assert "老人" not in str(notes_of(house, Kind.SEARCHED))


async def test_a_search_that_cannot_be_journalled_shows_nothing() -> None:
    house = house_with()
    [one, *_] = await a_past(house)
    async with client_of(house) as client:
        house.store_down = True
        reply = await client.post("/api/v1/history", json={"person": "p000"})
        assert reply.status_code == 503
        assert one.id not in reply.text


async def test_only_what_lies_in_ones_areas() -> None:
    house = house_with(accounts=True)
    one, two, three, four, five, _, seven = await a_past(house)
    async with client_of(house, "lina") as client:
        assert await found(client) == ids(seven, five, four, three, one)
        assert await found(client, incident=two.id) == []
        assert await found(client, person="p001") == []
        assert (await client.post("/api/v1/history", json={"area": "pingan"})).json()["reason"] == "foreign_area"
        assert (await client.get(f"/api/v1/incidents/{two.id}/history")).json() == {"reason": "foreign_area"}
    async with client_of(house, "chief") as client:
        assert two.id in await found(client)
    for login in ("audit", "tech"):
        async with client_of(house, login) as client:
            assert (await client.post("/api/v1/history", json={})).json() == {"reason": "no_right"}


async def test_what_was_with_a_person_and_a_device() -> None:
    house = house_with()
    one, _, three, _, five, *_ = await a_past(house)
    old = await closes(house, 0, Kind.FALL, days=200)
    now = await house.cries(0, Kind.SOS)
    async with client_of(house) as client:
        body = (await client.get(f"/api/v1/incidents/{now.id}/history")).json()
        story = body["person"]
        assert [row["id"] for row in story["latest"]] == sorted(ids(old, five, three, one), reverse=True)
        assert (story["incidents"], story["falls"], story["false_alarms"], story["arrival_min"], story["arrivals"]) == (3, 2, 1, 9.0, 3)
        assert body["device"]["of"] == "device"
        assert body["device"]["falls"] == 2
        assert house.register.persons["p000"].name not in str(body)
        assert (await client.get("/api/v1/incidents/I999999/history")).status_code == 404
        searched = (await client.post("/api/v1/history", json={"person": "p000"})).json()
        assert searched["story"]["falls"] == 2
        unknown = await house.receive([house.event(Kind.SOS, "unknown-7", "corridor")])
        assert unknown
        stranger = next(one for one in house.incidents.values() if one.device == "unknown-7")
        assert (await client.get(f"/api/v1/incidents/{stranger.id}/history")).json()["person"] is None


async def test_a_long_search_says_how_far_it_has_looked_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    house = house_with()
    needle = await closes(house, 0, note="唯一的针")
    for n in range(6):
        await closes(house, n)
    monkeypatch.setattr(history_routes, "PIECE", 2)
    times = iter(range(0, 1000, 2))
    monkeypatch.setattr(history_routes, "monotonic", lambda: next(times))  # two seconds a look: two pieces fit into an answer
    async with client_of(house) as client:
        rounds, after, seen = 0, None, []
        while rounds < 10:
            body = (await client.post("/api/v1/history", json={"text": "唯一的针", "after": after})).json()
            rounds, after = rounds + 1, body["after"]
            seen += [row["id"] for row in body["incidents"]]
            if after is None:
                break
            assert body["looked_to"] is not None or body["incidents"]
        assert seen == [needle.id]
        assert rounds > 2


async def test_who_asks_again_has_given_up_the_question_before(monkeypatch: pytest.MonkeyPatch) -> None:
    house = house_with()
    await a_past(house)
    real, looks = history_routes._look, []

    def slow(*arguments: object) -> object:
        stop = arguments[-1]
        looks.append(stop)
        if len(looks) == 1:
            stop.wait(5)  # type: ignore[attr-defined]
            assert stop.is_set(), "nobody told it to stop"  # type: ignore[attr-defined]
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(history_routes, "_look", slow)
    async with client_of(house) as client:
        first = asyncio.create_task(client.post("/api/v1/history", json={"text": "钥匙"}))
        await wait_until(lambda: bool(looks))
        second = await client.post("/api/v1/history", json={"text": "钥匙"})
        assert len(second.json()["incidents"]) == 1
        assert (await first).json()["incidents"] == []


async def test_a_closed_incident_is_masked_for_who_had_it_in_hand() -> None:
    house = house_with()
    one, *_ = await a_past(house)
    async with client_of(house) as client:
        body = (await client.get(f"/api/v1/incidents/{one.id}")).json()
        assert body["person"]["masked"] is True
        assert house.register.persons["p000"].name not in msgspec.json.encode(body).decode()
        assert (await client.post(f"/api/v1/incidents/{one.id}/reveal", json={"reason": "call_back"})).status_code in (400, 403)
