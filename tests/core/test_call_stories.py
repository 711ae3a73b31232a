"""Stories of telephone calls: who calls, who is told, who is called back."""

import pytest

from gateway.core.incident import Action, Flag, State
from gateway.event import Kind, Severity
from tests.core.room import Room

WANG, COUPLE, STRANGER = "+8613800000001", "+8613800000003", "+8613900000009"


@pytest.fixture
def room() -> Room:
    return Room()


def test_a_ringing_call_is_shown_and_opens_nothing_yet(room: Room) -> None:
    room.call(Kind.CALL_OFFERED, WANG)
    assert list(room.working.open_incidents) == []
    (call,) = room.working.calls.values()
    assert call.persons == ("wang",)


def test_an_answered_call_is_an_incident_of_the_person(room: Room) -> None:
    room.call(Kind.CALL_OFFERED, WANG)
    room.call(Kind.CALL_ANSWERED, WANG, agent="8001")
    assert (room.only.person, room.only.severity, room.only.agent) == ("wang", Severity.MINOR, "8001")
    assert room.orders == []
    room.call(Kind.CALL_ENDED, WANG)
    assert room.working.calls == {}


def test_unknown_and_anonymous_callers_still_open_an_incident(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, STRANGER, key="a")
    room.call(Kind.CALL_ABANDONED, None, key="b")
    assert [incident.person for incident in room.working.open_incidents] == [None, None]


def test_several_people_on_one_number_are_all_offered_until_one_is_identified(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, COUPLE)
    assert room.only.candidates == ("sun", "zhao")
    assert room.only.person is None
    done = room.do(Action.IDENTIFY, room.only.id, person="sun")
    assert (done.person, done.candidates, done.key) == ("sun", (), "person:sun")


def test_an_abandoned_call_is_a_task_and_becomes_a_visit(room: Room) -> None:
    room.call(Kind.CALL_OFFERED, WANG)
    room.call(Kind.CALL_ABANDONED, WANG)
    assert (room.only.severity, room.only.flags) == (Severity.MAJOR, (Flag.CALL_DUE,))
    room.advance(seconds=299)
    assert room.orders == []
    room.advance(seconds=2)
    assert [order["to"] for order in room.orders] == ["station-7"]


def test_called_back_in_time_orders_nothing(room: Room) -> None:
    room.call(Kind.CALL_ABANDONED, WANG)
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.do(Action.CALL_BACK, room.only.id, note="wrong button")
    assert Flag.CALL_DUE not in room.only.flags
    assert room.only.state is State.ACKNOWLEDGED
    room.advance(minutes=4)
    assert room.orders == []


def test_a_call_of_somebody_with_an_open_alarm_joins_it(room: Room) -> None:
    room.press("w-wang")
    room.call(Kind.CALL_OFFERED, WANG)
    room.call(Kind.CALL_ANSWERED, WANG)
    assert room.only.kind is Kind.SOS
    assert room.only.entries == 3
    assert room.only.cries == 1
    assert len(room.orders) == 1


def test_a_press_during_a_call_is_one_incident_with_the_worse_kind(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, WANG)
    room.press("w-wang")
    assert (room.only.kind, room.only.severity, room.only.device) == (Kind.SOS, Severity.CRITICAL, "w-wang")
    assert [order["to"] for order in room.orders] == ["station-7"]


def test_a_call_whose_end_nobody_saw_is_called_back(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, WANG)
    room.call(Kind.CALL_ENDED, WANG, inferred=True)
    assert Flag.CALL_DUE in room.only.flags
    assert room.only.severity is Severity.MAJOR
