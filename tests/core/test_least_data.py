"""Least data to each class of responder: every role × every part of a person's record (domain 4.5, 4.12)."""

from typing import Any

import msgspec
import pytest

from gateway.core.incident import Incident, Leg, LegState, Role, State
from gateway.core.least_data import AT_MOST, PLEASE_LOOK, SHOWN, order_body
from gateway.core.register import Contact, Person, Register, Responder, ResponderKind, Risk
from gateway.event import Kind, Position, Severity
from tests.core.room import START

# Each part of the record has a value that occurs nowhere else, so that it is found wherever it stands in the order.
PERSON = Person(
    id="id-of-her",
    name="name-of-her",
    born=1926,
    address="address-of-her",
    phones=("+8617400000777",),
    categories=(),
    risks=(Risk.LIVING_ALONE,),
    contacts=(Contact(name="name-of-daughter", relation="relation-daughter", phone="+8617400000778", address="mail-of-daughter"),),
    health_note="note-on-health",
    conditions="conditions-of-her",
    medicines="medicines-of-her",
    allergies="allergies-of-her",
    blood="blood-of-her",
    doctor="doctor-of-her",
    hospital="hospital-of-her",
    language="language-of-her",
)
PARTS = {
    "id": "id-of-her",
    "name": "name-of-her",
    "age": '"age":100',
    "address": "address-of-her",
    "risks": "living_alone",
    "conditions": "conditions-of-her",
    "medicines": "medicines-of-her",
    "allergies": "allergies-of-her",
    "blood": "blood-of-her",
    "health note": "note-on-health",
    "relation": "relation-daughter",
    "contact's name": "name-of-daughter",
    "contact's number": "+8617400000778",
    "contact's address": "mail-of-daughter",
    "own number": "+8617400000777",
    "doctor": "doctor-of-her",
    "hospital": "hospital-of-her",
    "language": "language-of-her",
    "service": "service-wanted",
    "device": "device-of-her",
    "illness": "heart_rate_abnormal",
}
LOOK = {"name", "address"}
STATION = LOOK | {"id", "age", "risks", "device", "illness"}
HEALTH = STATION | {"conditions", "medicines", "allergies", "blood", "health note"}
# Written out once more, by hand, from domain 4.5: the table under test must not be its own judge.
MAY_KNOW: dict[Role, set[str]] = {
    Role.SOCIAL: STATION,
    Role.MEDICAL: HEALTH,
    Role.NEIGHBOUR: LOOK,
    Role.DOCTOR: HEALTH,
    Role.HOSPITAL: HEALTH | {"relation"},
    Role.EMERGENCY: HEALTH,
    Role.SERVICE: LOOK | {"service"},
}
HELPERS = [Responder(id=kind.value, name=f"the {kind.value}", kind=kind) for kind in ResponderKind]
REGISTER = Register(district="honggu", persons=[PERSON], responders=HELPERS)


def leg_of(role: Role, responder: str = "station", **more: Any) -> Leg:
    facts: dict[str, Any] = {"state": LegState.QUEUED, "pending": "order", **more}
    return Leg(delivery=f"d-{role}", responder=responder, channel="mqtt", ordered_at=START, reply_by=START, ts=1, role=role, **facts)


def incident_of(leg: Leg, *others: Leg, kind: Kind = Kind.HEART_RATE_ABNORMAL, **more: Any) -> Incident:
    at: dict[str, Any] = {"opened_at": START, "changed_at": START, "last_event_at": START, "ts": 1, "state": State.RAISED}
    facts: dict[str, Any] = {"key": "person:id-of-her", "person": "id-of-her", "device": "device-of-her", "service": "service-wanted", **more}
    return Incident(id="I100001", kind=kind, severity=Severity.MAJOR, position=Position(lat=36.34, lon=102.88), legs=(leg, *others), **at, **facts)


def text_of(incident: Incident, leg: Leg) -> str:
    return order_body(incident, leg, REGISTER).decode()


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("part", PARTS)
def test_every_role_and_every_part(role: Role, part: str) -> None:
    leg = leg_of(role)
    kind = Kind.SERVICE_REQUEST if role is Role.SERVICE else Kind.HEART_RATE_ABNORMAL
    assert (PARTS[part] in text_of(incident_of(leg, kind=kind), leg)) is (part in MAY_KNOW[role])


def test_no_role_is_left_out() -> None:
    assert set(SHOWN) == set(MAY_KNOW) == set(Role)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("kind", sorted(AT_MOST))
@pytest.mark.parametrize("part", sorted(set(PARTS) - LOOK - {"service"}))
def test_a_neighbour_or_property_company_learns_no_more_whatever_role_it_is_given(role: Role, kind: ResponderKind, part: str) -> None:
    leg = leg_of(role, kind.value)
    request = Kind.SERVICE_REQUEST if role is Role.SERVICE else Kind.HEART_RATE_ABNORMAL
    assert PARTS[part] not in text_of(incident_of(leg, kind=request), leg)


def test_a_neighbour_is_asked_to_look_and_is_told_that_it_burns() -> None:
    leg = leg_of(Role.NEIGHBOUR, "neighbour")
    body = msgspec.json.decode(order_body(incident_of(leg, also=(Kind.FALL, Kind.SMOKE)), leg, REGISTER))
    assert (body["kind"], body["also"]) == (PLEASE_LOOK, ["smoke"])
    assert body["position"], "where to look"
    fire = msgspec.json.decode(order_body(incident_of(leg, kind=Kind.FIRE), leg, REGISTER))
    assert fire["kind"] == "fire"


def test_a_station_reads_what_it_always_read() -> None:
    """The outside face: other people's scripts read these names."""
    leg = leg_of(Role.SOCIAL)
    body = msgspec.json.decode(order_body(incident_of(leg), leg, REGISTER))
    names = {"delivery", "incident", "kind", "severity", "device", "ts", "repeat", "person", "position", "travel_min", "reply_by"}
    assert body.keys() == names
    assert body["person"] == {
        "id": "id-of-her", "name": "name-of-her", "address": "address-of-her", "risks": ["living_alone"], "age": 100,
    }  # fmt: skip


def test_the_summary_says_what_happened_when_and_who_is_there_and_no_number() -> None:
    there = leg_of(Role.SOCIAL, "station", state=LegState.ARRIVED, answered_at=START, arrived_at=START)
    asked = leg_of(Role.MEDICAL, "health_station", state=LegState.SENT)
    leg = leg_of(Role.HOSPITAL, "hospital")
    body = msgspec.json.decode(order_body(incident_of(leg, there, asked, also=(Kind.FALL,)), leg, REGISTER))
    assert body["summary"] == {
        "what": ["heart_rate_abnormal", "fall"],
        "since": "2026-03-14T03:00:00Z",
        "cries": 1,
        "there": [{"name": "the station", "role": "social", "state": "arrived", "arrived_at": "2026-03-14T03:00:00Z"}],
        "relatives": ["relation-daughter"],
    }


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("pending", ["withdrawn", "taken_by:station"])
def test_what_is_taken_back_names_nobody(role: Role, pending: str) -> None:
    leg = leg_of(role, pending=pending)
    text = text_of(incident_of(leg), leg)
    assert not [part for part in PARTS.values() if part in text]


@pytest.mark.parametrize("role", Role)
def test_an_unknown_person_is_no_obstacle(role: Role) -> None:
    leg = leg_of(role)
    body = msgspec.json.decode(order_body(incident_of(leg, person=None), leg, REGISTER))
    assert body["person"] is None
