"""Calls on the console: who waits to be rung back, whose desk a call is at, what a restricted number may not show, matters of other hotlines."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from gateway.config import HotlineConfig
from gateway.console.http import make_app
from gateway.core.incident import Action
from gateway.event import Kind, Phase
from tests.console.fake_house import CONFIG, STATIC, FakeHouse

SECRET = b"an invented secret of two hotlines"
STRANGER, SECOND = "+8617400000011", "+8617400000012"


@pytest.fixture
def house(tmp_path: Path) -> FakeHouse:
    (tmp_path / "neighbour.secret").write_bytes(SECRET + b"\n")
    hotline = HotlineConfig(number="12345", name="市民热线", secret_file=str(tmp_path / "neighbour.secret"))
    return FakeHouse(config=msgspec.structs.replace(CONFIG, hotline=(hotline,)))


@pytest.fixture
async def client(house: FakeHouse) -> AsyncIterator[httpx.AsyncClient]:
    app: Starlette = make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        yield client


async def on_duty(client: httpx.AsyncClient, name: str, **more: object) -> httpx.Response:
    client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
    return await client.post("/api/v1/duty", json={"name": name, **more})


async def lost(house: FakeHouse, caller: str, key: str, **detail: object) -> None:
    facts = {"call": key, "hotline": "12349", "caller_e164": caller, "caller": caller, **detail}
    await house.receive([house.event(Kind.CALL_ABANDONED, caller, line="hotline", phase=Phase.STATE, detail=facts)])


async def test_call_backs_are_listed_in_the_order_in_which_they_are_to_be_rung(house: FakeHouse, client: httpx.AsyncClient) -> None:
    for caller, key in [(STRANGER, "a"), (SECOND, "b"), (SECOND, "c"), (SECOND, "d")]:
        await lost(house, caller, key)
    found = (await client.get("/api/v1/call-backs")).json()["call_backs"]
    assert [(one["caller"], one["attempts"], one["severity"]) for one in found] == [("174****0012", 3, "critical"), ("174****0011", 1, "major")]
    assert found[0]["call_by"] < found[1]["call_by"]
    assert STRANGER[3:] not in json.dumps(found)


async def test_a_call_says_at_whose_desk_it_was_answered(house: FakeHouse, client: httpx.AsyncClient) -> None:
    assert (await on_duty(client, "李娜", extension="8001")).json()["extension"] == "8001"
    await house.calls_in(STRANGER, Kind.CALL_ANSWERED, agent="8001")
    await house.calls_in(SECOND, Kind.CALL_ANSWERED, call="c2", agent="8002")
    items = (await client.get("/api/v1/changes", params={"since": 0})).json()["items"]
    assert {one["id"]: one["operator"] for one in items if one["type"] == "call"} == {"hotline|c1": "李娜", "hotline|c2": None}
    assert {one["incident"] for one in items if one["type"] == "call"} == set(house.incidents)
    await on_duty(client, "李娜", extension="8002")
    items = (await client.get("/api/v1/changes", params={"since": 0})).json()["items"]
    assert {one["id"]: one["operator"] for one in items if one["type"] == "call"} == {"hotline|c1": None, "hotline|c2": "李娜"}


async def test_a_desk_has_one_console(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await on_duty(client, "李娜", extension="8001")
    other = httpx.AsyncClient(transport=client._transport, base_url="http://127.0.0.1")
    await on_duty(other, "王强", extension="8001")
    assert (await client.get("/api/v1/session")).json()["extension"] is None


@pytest.mark.parametrize("extension", ["8001 ", "<b>", "1" * 17, 8001])
async def test_what_is_no_extension_is_refused(client: httpx.AsyncClient, extension: object) -> None:
    answer = await on_duty(client, "李娜", extension=extension)
    assert (answer.status_code, answer.json()["reason"]) == (400, "bad_extension")


async def test_a_restricted_number_finds_the_person_and_is_shown_nowhere(house: FakeHouse, client: httpx.AsyncClient) -> None:
    person = house.register.persons["p001"]
    number = person.phones[0]
    hidden = {"presentation": "restricted", "caller_name": number, "call_id": f"{number[3:]}@10.0.0.1", "legs": [{"user": number[1:]}]}
    facts = {"call": "c1", "hotline": "12349", "caller_e164": number, "caller": number[1:], "agent": "8001", **hidden}
    await house.receive([house.event(Kind.CALL_ANSWERED, number, line="hotline", phase=Phase.STATE, detail=facts)])
    (incident,) = house.incidents.values()
    assert incident.person == "p001"
    await on_duty(client, "李娜")
    await client.post(f"/api/v1/incidents/{incident.id}/acknowledge", json={})
    shown = [await client.get("/api/v1/changes", params={"since": 0}), await client.get("/api/v1/call-backs")]
    detail = await client.get(f"/api/v1/incidents/{incident.id}")
    assert detail.json()["incident"]["caller"] == "restricted"
    (event,) = [one for one in detail.json()["timeline"] if one["kind"] == "call_answered"]
    assert (event["detail"]["device"], event["detail"]["detail"]["caller"], event["detail"]["detail"]["agent"]) == (
        "restricted",
        "restricted",
        "8001",
    )
    for answer in (*shown, detail):
        assert number[3:] not in answer.text
    revealed = await client.post(f"/api/v1/incidents/{incident.id}/reveal", json={"reason": "call_back"})
    assert revealed.json()["caller"] is None, "the register's own numbers may be shown, the call's not"


async def test_the_number_of_a_call_is_masked_in_the_timeline(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await house.calls_in(STRANGER, Kind.CALL_ANSWERED)
    (incident,) = house.incidents
    assert STRANGER[3:] not in (await client.get(f"/api/v1/incidents/{incident}")).text


async def test_hints_are_shown_masked(house: FakeHouse, client: httpx.AsyncClient) -> None:
    facts = {"call": "c1", "hotline": "12349", "caller_e164": STRANGER, "redirecting": house.register.persons["p001"].phones[0]}
    await house.receive([house.event(Kind.CALL_ANSWERED, STRANGER, line="hotline", phase=Phase.STATE, detail=facts)])
    (incident,) = house.incidents
    (hint,) = (await client.get(f"/api/v1/incidents/{incident}")).json()["incident"]["hints"]
    assert (hint["why"], hint["id"], hint["name"][1:]) == ("redirecting", "p001", "**")


# --- matters of other hotlines ----------------------------------------------------------------------------------------------

RECORD = {
    "eidoMessageIdentifier": "d-1",
    "lastUpdateTimeStamp": "2026-03-14T03:00:00Z",
    "incidentComponent": {"incidentTrackingIdentifier": "urn:emergency:uid:incidentid:1:neighbour", "internalIncidentId": "WO-7"},
    "callComponent": [{"calledNumber": "12345", "callerNumber": STRANGER}],
    "notesComponent": [{"noteText": "asks for the elder-care hotline"}],
    "12349": {"from": "12345", "to": "12349", "severity": "minor"},
}


async def give(client: httpx.AsyncClient, record: dict[str, object], secret: bytes = SECRET) -> httpx.Response:
    body = json.dumps(record).encode()
    signature = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    return await client.post("/api/v1/hand-overs", content=body, headers={"X-Signature": signature})


async def test_a_matter_given_to_us_is_an_incident_with_their_numbers(house: FakeHouse, client: httpx.AsyncClient) -> None:
    answer = await give(client, RECORD)
    (incident,) = house.incidents.values()
    assert answer.json() == {"tracking": "urn:emergency:uid:incidentid:1:neighbour", "incident": incident.id, "outcome": "accepted"}
    assert (incident.hotline, incident.severity, incident.caller, incident.handed.theirs) == ("12349", "minor", STRANGER, "WO-7")
    again = await give(client, RECORD)
    assert (again.json()["incident"], again.json()["outcome"], len(house.incidents)) == (incident.id, "known", 1)
    assert house.incidents[incident.id] == incident


async def test_a_matter_of_somebody_who_has_an_incident_joins_it(house: FakeHouse, client: httpx.AsyncClient) -> None:
    alarm = await house.cries(1)
    record = {**RECORD, "callComponent": [{"calledNumber": "12345", "callerNumber": house.register.persons["p001"].phones[0]}]}
    assert (await give(client, record)).json()["incident"] == alarm.id
    assert house.incidents[alarm.id].kind is Kind.SOS


@pytest.mark.parametrize(
    ("record", "secret", "status", "reason"),
    [
        (RECORD, b"somebody else's secret", 401, "bad_signature"),
        ({"eidoMessageIdentifier": "x"}, SECRET, 400, "bad_record"),
        ({**RECORD, "eidoMessageIdentifier": ""}, SECRET, 400, "bad_record"),
        ({**RECORD, "notesComponent": [{"noteText": "x" * 2001}]}, SECRET, 400, "bad_record"),
    ],
)
async def test_what_is_not_signed_or_no_record_changes_nothing(
    house: FakeHouse, client: httpx.AsyncClient, record: dict[str, object], secret: bytes, status: int, reason: str
) -> None:
    answer = await give(client, record, secret)
    assert (answer.status_code, answer.json()["reason"], len(house.incidents)) == (status, reason, 0)


async def test_a_full_disk_asks_the_neighbour_to_come_again(house: FakeHouse, client: httpx.AsyncClient) -> None:
    house.store_down = True
    assert (await give(client, RECORD)).status_code == 503


async def test_a_matter_is_moved_to_another_queue_of_the_house(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await house.calls_in(STRANGER, Kind.CALL_ANSWERED)
    (incident,) = house.incidents
    await on_duty(client, "李娜")
    await client.post(f"/api/v1/incidents/{incident}/{Action.ACKNOWLEDGE}", json={})
    for to, reason in [("12349", "same_hotline"), ("12", "unknown_hotline")]:
        answer = await client.post(f"/api/v1/incidents/{incident}/hand_over", json={"to": to})
        assert (answer.status_code, answer.json()["reason"]) == (400, reason)
    answer = await client.post(f"/api/v1/incidents/{incident}/hand_over", json={"to": "6212345", "note": "gas bill"})
    row = answer.json()["incident"]
    assert (row["hotline"], row["state"], row["owner"]) == ("6212345", "raised", None)
