"""Stories in which calls and alarms meet badly: an alarm hidden by a call, a cry swallowed, a caller forgotten, a wrong person's record."""

import msgspec
import pytest

from gateway.config import CallsConfig, HotlineConfig
from gateway.core import decide
from gateway.core.hand_over import event_of
from gateway.core.incident import Action, Flag, Hint, Incident, State
from gateway.core.register import Contact, Person, Register
from gateway.core.state import Draft
from gateway.errors import Refused
from gateway.event import Kind, Phase, Severity
from tests.core.room import AREAS, DEVICES, PERSONS, RESPONDERS, Room
from tests.core.test_hand_over import handing, receive

WANG, COUPLE, STRANGER = "+8613800000001", "+8613800000003", "+8613900000009"
SWITCHBOARD, CARER = "+869316200001", "+8617400000077"
MANY = [Person(id=f"home-{n}", name="Invented", phones=(SWITCHBOARD,), contacts=(Contact(name="Carer", phone=CARER),)) for n in range(6)]
NEIGHBOUR = HotlineConfig(number="12345", hand_over="https://neighbour.example/api/v1/hand-overs", secret_file="neighbour.secret")


@pytest.fixture
def room() -> Room:
    room = Room(hotlines=(NEIGHBOUR,), calls=CallsConfig(area_code="0931"))
    room.working.use(Register(district="honggu", persons=[*PERSONS, *MANY], devices=DEVICES, responders=RESPONDERS, areas=AREAS, version="test"))
    return room


def served(room: Room, key: str = "a") -> Incident:
    """A call that was answered, taken, ended and resolved."""
    room.call(Kind.CALL_OFFERED, WANG, key)
    room.call(Kind.CALL_ANSWERED, WANG, key, agent="8001")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.call(Kind.CALL_ENDED, WANG, key)
    room.do(Action.RESOLVE, room.only.id, outcome="helped")
    room.advance(minutes=1)
    return room.only


def other_than(room: Room, incident: Incident) -> Incident:
    (other,) = (one for one in room.working.open_incidents if one.id != incident.id)
    return other


# --- an alarm is never hidden by a call


@pytest.mark.parametrize("phase", [Phase.RAISE, Phase.REPEAT])
def test_a_button_after_three_calls_in_vain_is_an_alarm_and_ordered_at_once(room: Room, phase: Phase) -> None:
    for key in "abc":
        room.calls_in_vain(WANG, key)
    assert room.only.severity is Severity.CRITICAL
    room.press("w-wang", phase=phase)
    assert (room.only.kind, room.only.attempts) == (Kind.SOS, 3)
    assert [order["to"] for order in room.orders] == ["station-7"]


def test_an_alarm_no_worse_than_the_lost_call_is_pressed_like_an_alarm(room: Room) -> None:
    room.calls_in_vain(WANG, "a")
    room.event(Kind.INACTIVITY, "w-wang")
    assert (room.only.kind, room.only.severity) == (Kind.INACTIVITY, Severity.MAJOR)
    room.advance(seconds=61)
    assert [order["to"] for order in room.orders] == ["station-7"], "nobody took it: the machine orders, as it does for alarms"


def test_a_button_is_ordered_although_the_visit_for_a_lost_call_ended_at_the_desk(room: Room) -> None:
    room.unreachable = {"station-7", "station-8", "health-1", "town", "district"}
    room.calls_in_vain(WANG, "a")
    room.advance(minutes=60)
    asked = [leg.responder for leg in room.only.legs]
    assert asked[-1] == "desk"
    room.press("w-wang")
    assert room.only.legs[-1].responder != "desk"
    assert len(room.only.legs) == len(asked) + 1


def test_an_alarm_put_into_a_call_makes_it_that_alarm_with_its_person(room: Room) -> None:
    room.event(Kind.FALL_SUSPECTED, "w-wang")
    alarm = room.only
    room.call(Kind.CALL_ANSWERED, STRANGER)
    call = other_than(room, alarm)
    room.do(Action.ACKNOWLEDGE, call.id)
    room.do(Action.MERGE, alarm.id, into=call.id)
    assert (room.only.id, room.only.kind, room.only.severity) == (call.id, Kind.FALL_SUSPECTED, Severity.MAJOR)
    assert (room.only.person, room.only.key, room.only.device) == ("wang", "person:wang", "w-wang")
    room.press("w-wang")
    assert room.only.cries == 2, "the next cry finds it"


def test_a_merge_never_lowers_severity_and_tells_who_has_the_other_in_hand(room: Room) -> None:
    room.event(Kind.HELP, "w-wang")
    minor = room.only
    room.do(Action.ACKNOWLEDGE, minor.id, actor="Zhang")
    for key in "abc":
        room.calls_in_vain(STRANGER, key)
    worse = other_than(room, minor)
    room.do(Action.MERGE, worse.id, into=minor.id, actor="Li Na")
    assert (room.only.severity, room.only.state, room.only.owner) == (Severity.CRITICAL, State.RAISED, None)
    assert [order["to"] for order in room.orders] == ["station-7"], "an alarm that became critical is ordered"


# --- a second cry is never swallowed


def test_who_rings_again_after_it_was_resolved_is_heard(room: Room) -> None:
    incident = served(room)
    room.call(Kind.CALL_OFFERED, WANG, "b")
    assert room.only.state is State.RESOLVED, "it only rings"
    room.call(Kind.CALL_ANSWERED, WANG, "b", agent="8002")
    assert (room.only.id, room.only.state, room.only.agent) == (incident.id, State.RAISED, "8002")
    room.do(Action.ACKNOWLEDGE, incident.id)
    room.do(Action.RESOLVE, incident.id, outcome="helped")
    room.call(Kind.CALL_ANSWERED, WANG, "b", agent="8003", correction=True)
    assert room.only.state is State.RESOLVED, "who answered is corrected, nobody rings again"


def test_a_new_call_lost_from_sight_after_it_was_resolved_is_a_task(room: Room) -> None:
    served(room)
    room.call(Kind.CALL_OFFERED, WANG, "b")
    room.call(Kind.CALL_ENDED, WANG, "b", inferred=True)
    assert (room.only.state, Flag.CALL_DUE in room.only.flags) == (State.RAISED, True)


def test_a_call_whose_matter_was_closed_needs_no_call_back_when_its_end_is_guessed(room: Room) -> None:
    room.call(Kind.CALL_OFFERED, WANG, "a")
    room.call(Kind.CALL_ANSWERED, WANG, "a")
    incident = room.only
    room.do(Action.ACKNOWLEDGE, incident.id)
    room.do(Action.RESOLVE, incident.id, outcome="helped")
    room.do(Action.CALL_BACK, incident.id)
    room.working.forget(incident.id)
    room.advance(minutes=240)
    room.call(Kind.CALL_ENDED, WANG, "a", inferred=True)
    assert list(room.working.open_incidents) == []


def test_the_end_of_a_lost_call_told_twice_is_one_attempt_and_what_corrects_it_revives_nothing(room: Room) -> None:
    room.calls_in_vain(WANG, "a")
    room.call(Kind.CALL_ENDED, WANG, "a", inferred=True)
    assert room.only.attempts == 1
    room.call(Kind.CALL_ANSWERED, WANG, "a", correction=True)
    assert room.working.calls == {}


# --- nobody is forgotten


def test_every_call_of_a_merged_incident_goes_with_it_however_long_its_caller_waits(room: Room) -> None:
    room.call(Kind.CALL_OFFERED, STRANGER, "a")
    room.call(Kind.CALL_ANSWERED, STRANGER, "a")
    room.call(Kind.CALL_OFFERED, STRANGER, "b")
    call = room.only
    room.event(Kind.HELP, "w-wang")
    room.do(Action.IDENTIFY, call.id, person="wang")
    room.working.forget(call.id)
    assert {one.incident for one in room.working.calls.values()} == {room.only.id}
    room.advance(minutes=30)
    room.call(Kind.CALL_ABANDONED, STRANGER, "b")
    assert Flag.CALL_DUE in room.only.flags


def test_of_a_switchboard_one_who_gets_through_is_not_the_one_who_did_not(room: Room) -> None:
    room.calls_in_vain(SWITCHBOARD, "a")
    room.call(Kind.CALL_ANSWERED, SWITCHBOARD, "b")
    assert Flag.CALL_DUE in room.only.flags


@pytest.mark.parametrize("number", [SWITCHBOARD, CARER])
def test_a_number_that_speaks_for_many_is_not_taken_for_the_one_it_spoke_for_last(room: Room, number: str) -> None:
    room.call(Kind.CALL_ANSWERED, number, "a")
    first = room.only
    room.do(Action.IDENTIFY, first.id, person="home-1")
    room.call(Kind.CALL_ENDED, number, "a")
    room.call(Kind.CALL_ANSWERED, number, "b")
    assert other_than(room, first).person is None


@pytest.mark.parametrize("number", ["12345", "+8612345", "093112345", "+8693112345", "008612345"])
def test_a_hotline_that_passes_calls_on_is_many_people_in_every_form_of_its_number(room: Room, number: str) -> None:
    for key in "ab":
        room.calls_in_vain(number, key)
    assert [one.attempts for one in room.working.open_incidents] == [1, 1]


def test_two_incidents_put_into_each_other_after_a_complaint_hold_nothing_up(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, STRANGER, "a")
    first = room.only
    room.call(Kind.CALL_ANSWERED, WANG, "b")
    second = other_than(room, first)
    room.do(Action.MERGE, first.id, into=second.id)
    room.do(Action.COMPLAIN, first.id, note="nobody came")
    room.do(Action.MERGE, second.id, into=first.id)
    room.call(Kind.CALL_ENDED, STRANGER, "a")
    assert room.only.id == first.id


# --- the right person


def test_who_is_on_the_way_hears_whom_it_is_about(room: Room) -> None:
    room.calls_in_vain(COUPLE, "a")
    room.advance(seconds=301)
    (order,) = room.orders
    assert order["person"] is None
    room.do(Action.IDENTIFY, room.only.id, person="zhao")
    again = room.orders[-1]
    assert (again["delivery"], again["repeat"], again["person"]["id"]) == (order["delivery"], 1, "zhao")  # type: ignore[index]
    room.do(Action.IDENTIFY, room.only.id, person="sun")
    assert room.orders[-1]["person"]["id"] == "sun"  # type: ignore[index]


def test_the_owner_of_the_number_that_an_unknown_device_named_is_a_hint(room: Room) -> None:
    room.press("unheard-of", detail={"voice": WANG})
    room.call(Kind.CALL_ANSWERED, WANG)
    assert (room.only.person, room.only.hints) == (None, (Hint("number", "wang"),))


# --- hand-over


def test_what_is_on_its_way_to_a_neighbour_is_not_merged_away(room: Room) -> None:
    leaving = handing(room)
    room.press("w-wang")
    with pytest.raises(Refused, match="cannot_be_merged"):
        room.do(Action.MERGE, leaving.id, into=other_than(room, leaving).id)


def record(tracking: str, to: str = "12349", **more: object) -> bytes:
    return msgspec.json.encode(
        {
            "eidoMessageIdentifier": f"message-{tracking}",
            "lastUpdateTimeStamp": "2026-03-14T03:00:00Z",
            "incidentComponent": {"incidentTrackingIdentifier": tracking, **more},
            "callComponent": [{"callerNumber": STRANGER}],
            "12349": {"from": "12345", "to": to},
        }
    )


def test_another_matter_of_the_same_caller_does_not_undo_a_hand_over(room: Room) -> None:
    incident = handing(room)
    receive(room, record("theirs"))
    assert room.only.handed == incident.handed
    assert (room.only.tracking, "hand_over" in room.only.deadlines) == (incident.tracking, True)


def test_an_alarm_from_a_neighbour_about_a_caller_we_know_is_ordered(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, STRANGER)
    receive(room, record("theirs", incidentTypeInternalText="sos", incidentCommonPriorityNumber=1))
    assert (room.only.kind, room.only.severity) == (Kind.SOS, Severity.CRITICAL)
    assert len(room.only.legs) == 1


def test_our_own_record_played_back_to_us_is_refused(room: Room) -> None:
    with pytest.raises(Refused, match="not_for_us"):
        decide.on_event(Draft(room.working), event_of(record("ours", to="12345"), "12345", room.now), room.now)


# --- a wrong name, taken back


def test_a_call_put_into_somebodys_alarm_by_a_wrong_name_comes_out_and_the_alarm_stays(room: Room) -> None:
    room.event(Kind.FALL_SUSPECTED, "w-li")
    alarm = room.only
    room.call(Kind.CALL_ANSWERED, STRANGER, agent="8001")
    room.do(Action.IDENTIFY, other_than(room, alarm).id, person="li")
    assert room.only.id == alarm.id
    parted = room.do(Action.IDENTIFY, alarm.id, person="wang")
    left = room.working.incidents[alarm.id]
    assert (left.person, left.kind, left.state, left.call, left.caller) == ("li", Kind.FALL_SUSPECTED, State.RAISED, None, None)
    assert (parted.person, parted.owner, parted.caller, parted.agent) == ("wang", "Li Na", STRANGER, "8001")
    assert room.kinds(alarm.id)[-1] == "unmerge"
    assert room.kinds(parted.id) == ["identify"]
    room.call(Kind.CALL_ENDED, STRANGER, inferred=True)
    assert Flag.CALL_DUE in room.working.incidents[parted.id].flags
    assert room.working.calls == {}


def test_it_goes_up_in_the_alarm_of_the_right_one(room: Room) -> None:
    room.event(Kind.FALL_SUSPECTED, "w-li")
    wrong = room.only
    room.calls_in_vain(STRANGER, "a")
    room.do(Action.IDENTIFY, other_than(room, wrong).id, person="li")
    room.event(Kind.HELP, "w-wang")
    right = other_than(room, wrong)
    room.do(Action.IDENTIFY, wrong.id, person="wang")
    assert {one.id for one in room.working.open_incidents} == {wrong.id, right.id}
    for one in room.working.open_incidents:
        assert (Flag.CALL_DUE in one.flags, "call" in one.deadlines) == (True, True), "whose task it was nobody knows"


def test_the_next_cry_of_whom_an_alarm_was_taken_for_is_not_shown_as_anothers(room: Room) -> None:
    room.press("w-zhao")
    room.press("w-wang")
    zhao = next(one for one in room.working.open_incidents if one.person == "zhao")
    room.do(Action.IDENTIFY, zhao.id, person="wang")
    room.press("w-zhao")
    assert sorted((one.person or "", one.key, one.cries) for one in room.working.open_incidents) == [
        ("wang", "person:wang", 1),
        ("wang", "person:wang", 1),
        ("zhao", "person:zhao", 1),
    ]


def test_a_button_makes_it_an_sos_although_calls_in_vain_had_made_a_lesser_alarm_critical(room: Room) -> None:
    room.event(Kind.FALL_SUSPECTED, "w-wang")
    for key in "abc":
        room.calls_in_vain(WANG, key)
    assert (room.only.kind, room.only.severity) == (Kind.FALL_SUSPECTED, Severity.CRITICAL)
    room.press("w-wang")
    assert room.only.kind is Kind.SOS
    assert [order["kind"] for order in room.orders] == ["fall_suspected", "sos"]


def test_what_waited_longest_is_asked_for_first_after_a_merge_too(room: Room) -> None:
    room.calls_in_vain(STRANGER, "a")
    first = room.only
    room.advance(seconds=50)
    room.event(Kind.FALL_SUSPECTED, "w-wang")
    room.do(Action.IDENTIFY, first.id, person="wang")
    assert room.only.deadlines["acknowledge"] == first.deadlines["acknowledge"]
