"""Stories of matters that go to another hotline and come back: one tracking id, one incident, theirs only when they have it."""

import json

import msgspec
import pytest

from gateway.config import HotlineConfig
from gateway.core import decide
from gateway.core.hand_over import Taken, event_of, record_of, told
from gateway.core.incident import Action, Flag, Incident, Outcome, State
from gateway.core.state import Draft
from gateway.errors import Refused
from gateway.event import Kind
from tests.core.room import Room

WANG, STRANGER = "+8613800000001", "+8613900000009"
NEIGHBOUR = HotlineConfig(number="12345", hand_over="https://neighbour.example/api/v1/hand-overs", secret_file="neighbour.secret")


@pytest.fixture
def room() -> Room:
    return Room(hotlines=(NEIGHBOUR,))


def handing(room: Room, **facts: object) -> Incident:
    """A call is answered, taken, and handed over."""
    room.call(Kind.CALL_ANSWERED, STRANGER)
    room.do(Action.ACKNOWLEDGE, room.only.id)
    return room.do(Action.HAND_OVER, room.only.id, to="12345", note="a hole in the road", **facts)


def hear(room: Room, incident: Incident, taken: Taken | None, reason: str = "") -> None:
    assert incident.handed is not None
    draft = Draft(room.working)
    told(draft, incident.id, incident.handed.delivery, taken, reason, room.now)
    room.records += draft.records
    draft.settle()


def receive(room: Room, body: bytes) -> str:
    draft = Draft(room.working)
    verdict = decide.on_event(draft, event_of(body, "12345", room.now), room.now)
    room.records += draft.records
    draft.settle()
    return verdict


def test_it_is_theirs_when_they_have_it_and_stays_to_be_called_back(room: Room) -> None:
    incident = handing(room)
    assert (incident.state, incident.handed.state) == (State.ACKNOWLEDGED, "pending")
    hear(room, incident, Taken(incident="WO-7"))
    assert (room.only.state, room.only.outcome, room.only.handed.theirs) == (State.RESOLVED, Outcome.HANDED_OVER, "WO-7")
    assert room.only.deadlines.keys() == {"call_back"}, "who took the call first stays responsible for what becomes of it"
    states = [msgspec.json.decode(record.facts).get("state") for record in room.records if record.kind is Kind.HAND_OVER]
    assert states == [None, "accepted"]


def test_until_they_have_it_the_desk_is_reminded(room: Room) -> None:
    handing(room)
    room.advance(minutes=5, seconds=1)
    assert Flag.ESCALATED in room.only.flags
    assert b"hand_over_not_taken" in room.records[-1].facts
    assert room.only.deadlines["hand_over"] > room.now


def test_what_they_refuse_stays_ours(room: Room) -> None:
    incident = handing(room)
    hear(room, incident, None, "http_409")
    assert (room.only.state, room.only.handed.state, room.only.handed.reason) == (State.ACKNOWLEDGED, "failed", "http_409")
    again = room.do(Action.HAND_OVER, incident.id, to="12345")
    assert again.tracking == incident.tracking
    assert again.handed.delivery != incident.handed.delivery


def test_a_cry_in_between_keeps_it_here_as_well(room: Room) -> None:
    room.press("w-wang")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    incident = room.do(Action.HAND_OVER, room.only.id, to="12345")
    room.press("w-wang")
    hear(room, incident, Taken(incident="WO-7"))
    assert (room.only.state, room.only.handed.state) == (State.RAISED, "accepted")


def test_asked_twice_it_leaves_once(room: Room) -> None:
    incident = handing(room)
    assert room.do(Action.HAND_OVER, incident.id, to="12345") == incident


def test_an_answer_to_an_earlier_delivery_changes_nothing(room: Room) -> None:
    incident = handing(room)
    hear(room, incident, None, "http_409")
    before = room.only
    hear(room, incident, Taken(incident="WO-7"))
    assert room.only == before


@pytest.mark.parametrize(("to", "reason"), [("12349", "same_hotline"), ("110", "unknown_hotline")])
def test_where_it_cannot_go_is_refused(room: Room, to: str, reason: str) -> None:
    room.call(Kind.CALL_ANSWERED, STRANGER)
    room.do(Action.ACKNOWLEDGE, room.only.id)
    with pytest.raises(Refused, match=reason):
        room.do(Action.HAND_OVER, room.only.id, to=to)


def test_a_matter_moved_to_another_queue_stays_there_while_its_call_goes_on(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, STRANGER)
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.do(Action.HAND_OVER, room.only.id, to="6212345")
    room.call(Kind.CALL_ENDED, STRANGER)
    assert (room.only.hotline, room.only.state) == ("6212345", State.RAISED)


@pytest.mark.parametrize(
    ("line", "fields"), [("wearables", {"integrity": "verified"}), ("hand_overs", {}), ("hand_overs", {"integrity": "verified", "detail": {}})]
)
def test_no_device_can_give_us_a_matter(room: Room, line: str, fields: dict[str, object]) -> None:
    detail = {"tracking": "urn:x", "from": "12345", "delivery": "d"}
    assert room.event(Kind.HAND_OVER, "w-wang", line=line, **{"detail": detail, **fields}) == "not_from_the_field"
    assert room.working.incidents == {}


def test_who_has_not_taken_it_cannot_give_it_away(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, STRANGER)
    with pytest.raises(Refused, match="not_when_raised"):
        room.do(Action.HAND_OVER, room.only.id, to="12345")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    for to in ("12345", "6212345"):  # by web hook, and to another queue of this house
        with pytest.raises(Refused, match="not_owner") as refused:
            room.do(Action.HAND_OVER, room.only.id, actor="Zhou", to=to)
        assert refused.value.status == 403
    assert (room.only.owner, room.only.handed) == ("Li Na", None)


def test_the_record_of_a_call_holds_the_number_and_no_person(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, WANG)
    room.do(Action.ACKNOWLEDGE, room.only.id)
    incident = room.do(Action.HAND_OVER, room.only.id, to="12345", note="a hole in the road")
    record = json.loads(record_of(incident, room.working.register))
    assert record["callComponent"] == [{"calledNumber": "12349", "callerNumber": WANG}]
    assert "personComponent" not in record
    assert record["notesComponent"] == [{"noteText": "a hole in the road"}]
    assert record["12349"] == {"from": "12349", "to": "12345", "severity": "minor"}
    assert record["incidentComponent"]["incidentTrackingIdentifier"] == incident.tracking
    assert record.keys() == {
        *("eidoMessageIdentifier", "lastUpdateTimeStamp", "sendingSystemIdentifier"),
        *("incidentComponent", "callComponent", "locationComponent", "notesComponent", "12349"),
    }


def test_the_record_of_an_alarm_says_who_and_where(room: Room) -> None:
    room.press("w-wang")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    incident = room.do(Action.HAND_OVER, room.only.id, to="12345")
    record = json.loads(record_of(incident, room.working.register))
    assert record["personComponent"] == [{"name": "Invented Wang"}]
    assert record["locationComponent"] == [{"area": "Haishiwan", "latitude": 36.3401, "longitude": 102.8801}]


def test_a_restricted_number_is_not_handed_on(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, STRANGER, presentation="restricted")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    assert STRANGER.encode()[3:] not in record_of(room.do(Action.HAND_OVER, room.only.id, to="12345"), room.working.register)


def returned(incident: Incident, delivery: str = "back-1") -> bytes:
    part = {"incidentTrackingIdentifier": incident.tracking, "internalIncidentId": "WO-7"}
    record = {"eidoMessageIdentifier": delivery, "lastUpdateTimeStamp": "2026-03-14T04:00:00Z", "incidentComponent": part}
    return json.dumps({**record, "12349": {"from": "12345", "to": "12349", "severity": "minor", "workOrder": incident.id}}).encode()


def test_what_comes_back_is_the_same_incident_and_keeps_the_work_order(room: Room) -> None:
    incident = handing(room)
    hear(room, incident, Taken(incident="WO-7"))
    assert receive(room, returned(incident)) == "stored"
    assert (room.only.id, room.only.state, room.only.handed.theirs) == (incident.id, State.RAISED, "WO-7")
    assert receive(room, returned(incident)) == "duplicate"
    assert room.only.entries == 2
    room.do(Action.ACKNOWLEDGE, incident.id)
    again = room.do(Action.HAND_OVER, incident.id, to="12345")
    assert (again.tracking, json.loads(record_of(again, room.working.register))["12349"]["workOrder"]) == (incident.tracking, "WO-7")


def test_what_comes_back_after_it_was_closed_is_a_new_incident_under_the_same_id(room: Room) -> None:
    incident = handing(room)
    hear(room, incident, Taken(incident="WO-7"))
    room.do(Action.CALL_BACK, incident.id)
    receive(room, returned(incident))
    assert room.only.id != incident.id
    assert room.only.tracking == incident.tracking


def test_a_critical_matter_from_a_neighbour_is_ordered_like_any_other(room: Room) -> None:
    part = {"incidentTrackingIdentifier": "urn:x", "internalIncidentId": "WO-8", "incidentTypeInternalText": "fall"}
    record = {"eidoMessageIdentifier": "d-8", "lastUpdateTimeStamp": "2026-03-14T04:00:00Z", "incidentComponent": part}
    receive(room, json.dumps({**record, "callComponent": [{"callerNumber": WANG}]}).encode())
    assert (room.only.kind, room.only.person, room.only.state) == (Kind.FALL, "wang", State.RAISED)
    assert [leg.responder for leg in room.only.legs] == ["station-7", "health-1"]


@pytest.mark.parametrize(
    "change",
    [
        {"incidentComponent": {}},
        {"incidentComponent": {"incidentTrackingIdentifier": "with blank"}},
        {"lastUpdateTimeStamp": "yesterday"},
        {"notesComponent": [{"noteText": "x" * 2001}]},
        {"callComponent": [{}] * 11},
    ],
)
def test_what_is_no_record_is_refused_with_a_reason(room: Room, change: dict[str, object]) -> None:
    good = json.loads(returned(handing(room)))
    with pytest.raises(Refused, match="bad_record"):
        event_of(json.dumps({**good, **change}).encode(), "12345", room.now)


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"a":' * 5000])
def test_garbage_is_refused_too(room: Room, body: bytes) -> None:
    with pytest.raises(Refused, match="bad_record"):
        event_of(body, "12345", room.now)
