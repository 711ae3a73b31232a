"""Dialling from the console: by reference and by whom it may be done, what the journal has before and after, hanging up, sending on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry
from waiting import wait_until

from drivers.telephone import Dial, HangUp, Transfer
from gateway.config import LineConfig, TelephoneConfig
from gateway.console.dialling import contacts_of
from gateway.console.http import make_app
from gateway.core.incident import Action
from gateway.core.register import Register
from gateway.event import Kind
from gateway.telephone import Telephone
from tests.console.fake_exchange import Pbx, dialling_house
from tests.console.fake_house import STATIC

BASE = "http://127.0.0.1:12349"
PERSON = "+8619900000003"  # of p003, in the invented register
DAUGHTER = "+8619800000003"


class Room:
    """A house, its exchange, and operators' browsers."""

    def __init__(self, **limits: Any) -> None:
        self.pbx = Pbx()
        self.house = dialling_house(self.pbx, **limits)
        self.app = make_app(self.house, static_dir=STATIC, metrics_registry=CollectorRegistry())
        self.clients: list[httpx.AsyncClient] = []

    async def operator(self, name: str, extension: str | None = None) -> httpx.AsyncClient:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=BASE)
        self.clients.append(client)
        client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
        assert (await client.post("/api/v1/duty", json={"name": name, "extension": extension})).status_code == 200
        return client

    async def incident(self, client: httpx.AsyncClient, person: int = 3) -> str:
        """An alarm of somebody, taken by this operator."""
        name = (await self.house.cries(person)).id
        assert (await client.post(f"/api/v1/incidents/{name}/acknowledge")).status_code == 200
        return name

    def told(self, kind: Kind = Kind.DIAL) -> list[dict[str, object]]:
        """What the journal says of telephoning, without the ids of ours."""
        return [{key: value for key, value in row.facts.items() if key != "dial"} for _, row in self.house.journal if row.kind == kind]


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    room = Room()
    yield room
    for client in room.clients:
        await client.aclose()


async def dial(client: httpx.AsyncClient, incident: str, contact: str, **more: object) -> tuple[int, dict[str, Any]]:
    reply = await client.post(f"/api/v1/incidents/{incident}/dial", json={"contact": contact, **more})
    return reply.status_code, reply.json()


async def test_a_dial_is_journalled_first_and_its_outcome_after_never_the_number(room: Room) -> None:
    client = await room.operator("李娜", "8001")
    incident = await room.incident(client)
    version = room.house.incidents[incident].version
    status, answer = await dial(client, incident, "person")
    assert (status, answer["ref"], answer["state"]) == (202, "person", "ringing")
    assert room.told() == [{"ref": "person"}]
    await wait_until(lambda: room.pbx.wishes, "it rings")
    [wish] = room.pbx.wishes
    assert isinstance(wish, Dial)
    assert (wish.id, wish.agent, wish.number, wish.shown) == (answer["dial"], "8001", "19900000003", "12349")
    detail = (await client.get(f"/api/v1/incidents/{incident}")).json()
    assert detail["dialling"] == [{"dial": answer["dial"], "ref": "person", "by": "李娜"}]
    room.pbx.ends("no_answer")
    await wait_until(lambda: len(room.told()) == 2, "the outcome is on disk")
    assert room.told()[1] == {"ref": "person", "outcome": "no_answer"}
    assert room.house.incidents[incident].version == version + 2  # so that every page looks again
    after = (await client.get(f"/api/v1/incidents/{incident}")).json()
    assert after["dialling"] == []
    assert [(one["kind"], one["actor"], one["detail"]["dial"]) for one in after["timeline"] if one["kind"] == "dial"] == [
        ("dial", "李娜", answer["dial"])
    ] * 2
    assert "1990000" not in str(detail["timeline"]) + str(room.house.journal[-2:])


async def test_whoever_can_be_rung_is_listed_masked_and_to_the_owner_only(room: Room) -> None:
    client = await room.operator("李娜", "8001")
    other = await room.operator("赵敏", "8002")
    incident = await room.incident(client)
    assert [leg.responder for leg in room.house.incidents[incident].legs] == ["station-1"]  # ordered by the machine
    reply = await client.get(f"/api/v1/incidents/{incident}")
    listed = reply.json()["dial"]
    assert [(one["ref"], one["relation"], one["phone"]) for one in listed] == [
        ("person", "", "199****0003"),
        ("device", "", "174****0099"),
        ("contact:0", "女儿", "198****0003"),
        ("contact:1", "邻居", "0931***0000"),
        ("responder:station-1", "", "174****0777"),
    ]
    assert not any(number in reply.text for number in (PERSON[3:], DAUGHTER[3:], "17400000099", "17400000777"))
    assert (await other.get(f"/api/v1/incidents/{incident}")).json()["dial"] == []


async def test_the_desk_is_not_offered_to_itself_once_it_has_the_order(room: Room) -> None:
    client = await room.operator("李娜", "8001")
    incident = room.house.incidents[await room.incident(client)]
    known = room.house.register.responders
    desk = msgspec.structs.replace(known["desk"], phone="+8617400000012")
    register = Register(district="honggu", responders=[{**known, "desk": desk}[name] for name in known])
    asked = (*incident.legs, msgspec.structs.replace(incident.legs[0], delivery="d-desk", responder="desk"))
    listed = contacts_of(register, msgspec.structs.replace(incident, legs=asked))
    assert [one.ref for one in listed if one.ref.startswith("responder:")] == ["responder:station-1"]


@pytest.mark.parametrize(
    ("ref", "number"),
    [
        ("person", "19900000003"),
        ("contact:0", "19800000003"),
        ("contact:1", "09315550000"),
        ("device", "17400000099"),
        ("responder:station-1", "17400000777"),
    ],
)
async def test_a_reference_is_rung_at_its_number(room: Room, ref: str, number: str) -> None:
    client = await room.operator("李娜", "8001")
    incident = await room.incident(client)
    assert (await dial(client, incident, ref))[0] == 202
    await wait_until(lambda: room.pbx.wishes, "it rings")
    assert isinstance(room.pbx.wishes[0], Dial)
    assert room.pbx.wishes[0].number == number


async def test_a_caller_who_hides_the_number_can_be_called_back_unseen(room: Room) -> None:
    client = await room.operator("李娜", "8001")
    detail = {"call": "c9", "hotline": "12349", "caller_e164": "+8617400000055", "presentation": "restricted"}
    await room.house.receive([room.house.event(Kind.CALL_ABANDONED, line="hotline", detail=detail)])
    incident = next(one for one in room.house.incidents.values() if one.caller == "+8617400000055").id
    await client.post(f"/api/v1/incidents/{incident}/acknowledge")
    reply = await client.get(f"/api/v1/incidents/{incident}")
    assert [(one["ref"], one["phone"]) for one in reply.json()["dial"]] == [("caller", "restricted")]
    assert "00000055" not in reply.text  # fewer digits may stand in a time
    assert (await dial(client, incident, "caller"))[0] == 202
    await wait_until(lambda: room.pbx.wishes, "it rings")
    assert room.pbx.wishes[0].number == "17400000055"  # type: ignore[union-attr]


async def test_an_earlier_caller_who_hides_the_number_is_neither_shown_nor_taken_for_a_device(room: Room) -> None:
    client = await room.operator("李娜", "8001")
    hidden = {"call": "c9", "hotline": "12349", "caller_e164": "+8617400000055", "presentation": "restricted"}
    await room.house.receive([room.house.event(Kind.CALL_ABANDONED, line="hotline", detail=hidden)])
    incident = next(one for one in room.house.incidents.values() if one.caller == "+8617400000055").id
    open_one = {"call": "c10", "hotline": "12349", "caller_e164": "+8617400000066"}
    await room.house.receive([room.house.event(Kind.CALL_ABANDONED, line="hotline", detail=open_one)])
    await client.post(f"/api/v1/incidents/{incident}/acknowledge")
    other = next(one for one in room.house.incidents.values() if one.caller == "+8617400000066").id
    await client.post(f"/api/v1/incidents/{other}/acknowledge")
    await client.post(f"/api/v1/incidents/{incident}/merge", json={"into": other})
    reply = await client.get(f"/api/v1/incidents/{other}")
    assert [(one["ref"], one["phone"]) for one in reply.json()["dial"]] == [("caller", "174****0066")]
    assert "00000055" not in reply.text  # fewer digits may stand in a time


@pytest.mark.parametrize(
    ("ref", "status", "reason"),
    [
        ("contact:7", 404, "unknown_contact"),
        ("caller", 404, "unknown_contact"),
        ("responder:nobody", 404, "unknown_contact"),
        ("responder:station-2", 404, "unknown_contact"),  # has no number
        ("+8617400000001", 404, "unknown_contact"),
        ("13812345678", 404, "unknown_contact"),
        ("", 400, "missing_contact"),
        (7, 400, "bad_contact"),
        ("x" * 200, 400, "bad_contact"),
    ],
)
async def test_no_number_can_be_dialled_that_is_no_reference(room: Room, ref: Any, status: int, reason: str) -> None:
    client = await room.operator("李娜", "8001")
    incident = await room.incident(client)
    assert await dial(client, incident, ref) == (status, {"reason": reason})
    assert room.pbx.wishes == []
    assert room.told() == []


async def test_only_the_one_in_charge_may_dial(room: Room) -> None:
    client = await room.operator("李娜", "8001")
    other = await room.operator("赵敏", "8002")
    incident = await room.incident(client)
    assert await dial(other, incident, "person") == (403, {"reason": "not_owner"})
    assert await dial(client, "I1", "person") == (404, {"reason": "unknown_incident"})
    waiting = (await room.house.cries(5)).id
    assert await dial(client, waiting, "person") == (403, {"reason": "not_owner"})
    await other.post("/api/v1/duty", json={"name": None})
    assert await dial(other, incident, "person") == (403, {"reason": "not_on_duty"})
    del client.headers["X-CSRF"]
    assert await dial(client, incident, "person") == (403, {"reason": "csrf"})
    assert room.pbx.wishes == []


async def test_the_extension_is_the_desks_or_the_bodys_and_one_of_ours(room: Room) -> None:
    client = await room.operator("李娜")
    incident = await room.incident(client)
    assert await dial(client, incident, "person") == (400, {"reason": "missing_extension"})
    assert await dial(client, incident, "person", extension="8002\r\nAction: Hangup") == (400, {"reason": "bad_extension"})
    assert await dial(client, incident, "person", extension="17400000001") == (400, {"reason": "unknown_extension"})
    assert await dial(client, incident, "person", number="17400000001") == (400, {"reason": "unknown_field", "field": "number"})
    assert (await dial(client, incident, "person", extension="8002"))[0] == 202


@pytest.mark.parametrize("extension", ["17400000001", "09316212345", "6212345", "1", "desk-1", "12349", "120", "8001\n"])
async def test_without_a_list_of_agents_no_telephone_number_passes_for_an_extension(room: Room, extension: str) -> None:
    room.house.config = msgspec.structs.replace(room.house.config, calls=msgspec.structs.replace(room.house.config.calls, agents={}))
    client = await room.operator("李娜")
    incident = await room.incident(client)
    status, answer = await dial(client, incident, "person", extension=extension)
    assert (status, answer["reason"]) == (400, "bad_extension" if "\n" in extension else "unknown_extension")
    assert room.pbx.wishes == []
    assert room.told() == []
    for known in ("21", "801234"):
        assert (await dial(client, incident, "person", extension=known))[0] == 202


async def test_without_a_telephone_nothing_is_offered(room: Room) -> None:
    room.house.telephone = Telephone(TelephoneConfig(), "12349", lambda: None)
    client = await room.operator("李娜", "8001")
    incident = await room.incident(client)
    assert (await client.get("/api/v1/session")).json()["telephone"] is False
    assert (await client.get(f"/api/v1/incidents/{incident}")).json()["dial"] == []
    assert await dial(client, incident, "person") == (409, {"reason": "no_telephone"})


async def test_a_lost_exchange_is_said_at_once(room: Room) -> None:
    client = await room.operator("李娜", "8001")
    incident = await room.incident(client)
    room.pbx.is_live = False
    assert await dial(client, incident, "person") == (503, {"reason": "telephone_lost"})
    assert room.told() == []


async def test_nobody_is_rung_when_it_cannot_be_written_down(room: Room) -> None:
    client = await room.operator("李娜", "8001")
    incident = await room.incident(client)
    room.house.store_down = True
    assert await dial(client, incident, "person") == (503, {"reason": "store_down"})
    assert room.pbx.wishes == []
    room.house.store_down = False
    assert (await dial(client, incident, "person"))[0] == 202  # nothing is left behind that would say "dialling already"


async def test_too_many_dials_are_refused_with_when_to_try_again() -> None:
    room = Room(dials_per_minute=1)
    client = await room.operator("李娜", "8001")
    incident = await room.incident(client)
    assert (await dial(client, incident, "person"))[0] == 202
    await wait_until(lambda: room.pbx.ringing, "it rings")
    assert await dial(client, incident, "contact:0") == (409, {"reason": "dialling_already"})  # the desk's telephone is in use
    room.pbx.ends("busy")
    await wait_until(lambda: len(room.told()) == 2, "it has ended")
    status, answer = await dial(client, incident, "contact:0")
    assert (status, answer["reason"], answer["per_minute"]) == (429, "dial_limit", 1)
    assert 0 < answer["retry_s"] <= 60
    assert len(room.told()) == 2
    await client.aclose()


async def test_all_places_taken_is_a_limit_too() -> None:
    room = Room(at_once=1)
    client = await room.operator("李娜", "8001")
    other = await room.operator("赵敏", "8002")
    incident, second = await room.incident(client), await room.incident(other, 5)
    assert (await dial(client, incident, "person"))[0] == 202
    await wait_until(lambda: room.pbx.ringing, "it rings")
    status, answer = await dial(other, second, "person")
    assert (status, answer["reason"], answer["at_once"]) == (429, "dial_limit", 1)
    assert answer["retry_s"] > 0
    for one in room.clients:
        await one.aclose()


async def test_the_same_key_dials_once(room: Room) -> None:
    client = await room.operator("李娜", "8001")
    incident = await room.incident(client)
    client.headers["Idempotency-Key"] = "k1"
    first, second = await asyncio.gather(dial(client, incident, "person"), dial(client, incident, "person"))
    assert first == second
    assert first[0] == 202
    await wait_until(lambda: room.pbx.wishes, "it rings")
    room.pbx.ends("done")
    await wait_until(lambda: len(room.told()) == 2, "the outcome is on disk")
    assert await dial(client, incident, "person") == first
    assert len(room.pbx.wishes) == 1


async def test_the_outcome_is_written_though_the_incident_was_closed_meanwhile(room: Room) -> None:
    client = await room.operator("李娜", "8001")
    incident = await room.incident(client)
    await dial(client, incident, "person")
    await wait_until(lambda: room.pbx.ringing, "it rings")
    assert (await client.post(f"/api/v1/incidents/{incident}/resolve", json={"outcome": "false_alarm"})).status_code == 200
    assert (await client.post(f"/api/v1/incidents/{incident}/call_back", json={"satisfaction": 5})).status_code == 200
    room.pbx.ends("done")
    await wait_until(lambda: len(room.told()) == 2, "the outcome is on disk")
    assert room.told()[1]["outcome"] == "done"
    assert (await dial(client, incident, "person"))[0] == 403  # closed: nobody is in charge


async def test_reaching_the_caller_does_not_close_the_task_to_call_back(room: Room) -> None:
    """That they were called back is said by a person, with one command."""
    client = await room.operator("李娜", "8001")
    await room.house.calls_in("+8617400000055", Kind.CALL_ABANDONED)
    incident = next(one for one in room.house.incidents.values() if one.caller == "+8617400000055").id
    await client.post(f"/api/v1/incidents/{incident}/acknowledge")
    await dial(client, incident, "caller")
    await wait_until(lambda: room.pbx.ringing, "it rings")
    room.pbx.ends("done")
    await wait_until(lambda: len(room.told()) == 2, "the outcome is on disk")
    assert "call_due" in room.house.incidents[incident].flags
    assert (await client.post(f"/api/v1/incidents/{incident}/call_back")).status_code == 200
    assert "call_due" not in room.house.incidents[incident].flags


async def test_one_may_hang_up_what_one_has_dialled(room: Room) -> None:
    client = await room.operator("李娜", "8001")
    other = await room.operator("赵敏", "8002")
    incident = await room.incident(client)
    _, answer = await dial(client, incident, "person")
    await wait_until(lambda: room.pbx.ringing, "it rings")
    path = f"/api/v1/calls/{answer['dial']}/hang_up"
    assert (await other.post(path)).json() == {"reason": "not_your_call"}
    reply = await client.post(path)
    assert (reply.status_code, reply.json()) == (200, {"outcome": "done"})
    assert [one.get("outcome") for one in room.told(Kind.HANG_UP)] == [None, "done"]
    await wait_until(lambda: len(room.told()) == 2, "the dial's own outcome too")
    assert room.told()[1] == {"ref": "person", "outcome": "failed", "reason": "hung_up"}
    again = await client.post(path)
    assert (again.status_code, again.json()) == (409, {"reason": "call_over"})


async def talking(room: Room, line: str = "hotline", agent: str = "8001") -> str:
    """A caller talks to an agent; gives the key of the call."""
    detail = {"call": "c1", "hotline": "12349", "caller_e164": "+8617400000055", "agent": agent}
    await room.house.receive([room.house.event(Kind.CALL_ANSWERED, line=line, detail=detail)])
    return f"{line}|c1"


async def test_a_call_is_hung_up_by_who_talks_in_it_or_has_its_incident(room: Room) -> None:
    agent, other = await room.operator("李娜", "8001"), await room.operator("赵敏", "8002")
    path = f"/api/v1/calls/{await talking(room)}/hang_up"
    assert (await other.post(path)).json() == {"reason": "not_your_call"}
    assert room.pbx.wishes == []
    assert (await agent.post(path)).json() == {"outcome": "done"}
    assert room.pbx.wishes == [HangUp(call="c1")]
    assert room.told(Kind.HANG_UP) == [{"call": "hotline|c1"}, {"call": "hotline|c1", "outcome": "done"}]
    incident = next(iter(room.house.incidents.values()))
    assert incident.is_open  # a call ends, no incident does
    await other.post(f"/api/v1/incidents/{incident.id}/assign", json={"to": "赵敏"})
    assert (await other.post(path)).status_code == 200
    assert (await agent.post("/api/v1/calls/nothing/hang_up")).json() == {"reason": "unknown_call"}


async def test_a_caller_is_sent_on_to_agents_only(room: Room) -> None:
    agent = await room.operator("李娜", "8001")
    path = f"/api/v1/calls/{await talking(room)}/transfer"
    assert (await agent.post(path, json={"to": "17400000001"})).json() == {"reason": "unknown_extension"}
    assert (await agent.post(path)).json() == {"reason": "missing_to"}
    assert (await agent.post(path, json={"to": "8002"})).json() == {"outcome": "done"}
    assert room.pbx.wishes == [Transfer(call="c1", to="8002")]
    assert room.told(Kind.TRANSFER)[-1] == {"call": "hotline|c1", "to": "8002", "outcome": "done"}


async def test_a_call_heard_on_another_line_is_not_ours_to_end(room: Room) -> None:
    agent = await room.operator("李娜", "8001")
    other_line = LineConfig(name="mirror", codec="hep", listen="udp:9061")
    assert other_line.name not in room.house.lines
    reply = await agent.post(f"/api/v1/calls/{await talking(room, 'mirror')}/hang_up")
    assert (reply.status_code, reply.json()) == (409, {"reason": "other_line", "line": "mirror"})
    room.pbx.is_live = False
    reply = await agent.post(f"/api/v1/calls/{await talking(room)}/hang_up")
    assert (reply.status_code, reply.json()) == (503, {"reason": "telephone_lost"})


def test_telephoning_changes_no_state() -> None:
    from gateway.core.incident import TRANSITIONS

    for state, row in TRANSITIONS.items():
        assert all(row[action] is state for action in (Action.DIAL, Action.HANG_UP, Action.TRANSFER))
