"""Stories of who calls: numbers, devices that call, hints, late corrections; one matter is one incident, and nobody is picked silently."""

import msgspec
import pytest

from gateway.core.incident import Action, Flag, Hint, Incident, Outcome, State
from gateway.core.register import Contact, Register
from gateway.event import Kind
from tests.core.room import AREAS, DEVICES, PERSONS, RESPONDERS, Room

WANG, LI, COUPLE, STRANGER, NEIGHBOUR = "+8613800000001", "+8613800000002", "+8613800000003", "+8613900000009", "+8617400000007"
UNIT = "+8617400000005"


@pytest.fixture
def room() -> Room:
    room = Room()
    wang = msgspec.structs.replace(PERSONS[0], contacts=(Contact(name="Invented Neighbour", phone=NEIGHBOUR),))
    room.working.use(Register(district="honggu", persons=[wang, *PERSONS[1:]], devices=DEVICES, responders=RESPONDERS, areas=AREAS))
    return room


def closed(room: Room) -> list[Incident]:
    return [incident for incident in room.working.incidents.values() if not incident.is_open]


# --- devices that call ----------------------------------------------------------------------------------------------------


def test_a_home_units_registered_number_finds_its_person(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, UNIT)
    assert room.only.person == "li"


def test_a_unit_that_says_from_where_it_will_call_is_known_when_it_does(room: Room) -> None:
    room.event(Kind.SOS, "99", line="units", detail={"voice": "sip:unit-99@units.example.net", "cid": "99"})
    alarm = room.only
    room.advance(seconds=40)
    room.call(Kind.CALL_OFFERED, None, raw="x", state="offered")
    room.event(Kind.CALL_ANSWERED, None, line="pbx", detail={"call": "u", "caller": "unit-99", "hotline": "12349"})
    assert (room.only.id, room.only.entries, room.only.call) == (alarm.id, 2, "pbx|u")


@pytest.mark.parametrize("told", ["tel:+86-174-0000-0099", "17400000099", "sip:+8617400000099@10.0.0.9;transport=tcp"])
def test_the_number_of_a_unit_is_known_in_every_form(room: Room, told: str) -> None:
    room.event(Kind.SOS, "99", line="units", detail={"voice": told})
    room.call(Kind.CALL_ANSWERED, "+8617400000099")
    assert room.only.kind is Kind.SOS


def test_the_call_of_a_unit_may_come_before_its_alarm(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, "+8617400000099")
    assert room.only.person is None
    room.event(Kind.SOS, "w-wang", detail={"voice": "17400000099"})
    assert (room.only.kind, room.only.person, room.only.key, room.only.cries) == (Kind.SOS, "wang", "person:wang", 2)
    assert "identify" in room.kinds(room.only.id)


def test_after_the_joining_time_the_number_is_a_strangers_again(room: Room) -> None:
    room.event(Kind.SOS, "99", line="units", detail={"voice": "17400000099"})
    room.advance(seconds=601)
    room.call(Kind.CALL_ANSWERED, "+8617400000099")
    assert len(list(room.working.open_incidents)) == 2


@pytest.mark.parametrize("device_first", [True, False])
def test_button_and_telephone_of_one_person_are_one_incident_both_ways_round(room: Room, device_first: bool) -> None:
    steps = [lambda: room.press("w-wang"), lambda: room.call(Kind.CALL_ANSWERED, WANG)]
    for step in steps if device_first else reversed(steps):
        step()
        room.advance(seconds=30)
    assert (room.only.kind, room.only.person, room.only.entries) == (Kind.SOS, "wang", 2)


# --- several people, one number ---------------------------------------------------------------------------------------------


def test_of_a_couple_the_one_whose_button_was_just_pressed_is_meant(room: Room) -> None:
    room.press("w-zhao")
    room.call(Kind.CALL_ANSWERED, COUPLE)
    assert (room.only.person, room.only.entries) == ("zhao", 2)


def test_a_couples_call_becomes_the_matter_of_the_one_whose_button_follows(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, COUPLE)
    assert room.only.candidates == ("sun", "zhao")
    room.press("w-zhao")
    assert (room.only.person, room.only.candidates, room.only.kind) == ("zhao", (), Kind.SOS)


def test_a_couples_call_much_later_is_not_the_old_alarms(room: Room) -> None:
    room.press("w-zhao")
    room.advance(seconds=601)
    room.call(Kind.CALL_ANSWERED, COUPLE)
    assert sorted(len(one.candidates) for one in room.working.open_incidents) == [0, 2]


# --- hints ------------------------------------------------------------------------------------------------------------------


def test_a_forwarded_call_hints_at_whose_line_forwarded_it(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, STRANGER, redirecting="13800000001")
    assert (room.only.person, room.only.candidates, room.only.hints) == (None, (), (Hint("redirecting", "wang"),))


def test_three_sources_of_one_fall_end_as_one_incident(room: Room) -> None:
    """Domain, scenario 4: wearable, neighbour on 12345, elder on 12349, within 90 seconds."""
    room.event(Kind.FALL, "w-wang")
    fall = room.only.id
    room.advance(seconds=30)
    room.call(Kind.CALL_ANSWERED, NEIGHBOUR, key="n", hotline="12345", agent="8001")
    theirs = next(one for one in room.working.open_incidents if one.id != fall)
    assert theirs.hints == (Hint("contact", "wang"),), "a neighbour is not the elder"
    room.advance(seconds=30)
    room.call(Kind.CALL_ANSWERED, WANG, key="w", hotline="12349", agent="8002")
    done = room.do(Action.IDENTIFY, theirs.id, person="wang")
    assert (done.state, done.outcome, done.merged_into) == (State.CLOSED, Outcome.MERGED, fall)
    assert (room.only.id, room.only.entries, room.only.kind) == (fall, 3, Kind.FALL)
    room.call(Kind.CALL_ENDED, NEIGHBOUR, key="n")
    assert room.only.entries == 4, "the rest of a merged call belongs there"


# --- late corrections -------------------------------------------------------------------------------------------------------


def test_a_caller_learnt_late_makes_it_that_persons_incident(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, None)
    room.call(Kind.CALL_ANSWERED, WANG, correction=True)
    assert (room.only.person, room.only.key, room.only.caller) == ("wang", "person:wang", WANG)
    assert "identify" in room.kinds(room.only.id)


def test_a_caller_learnt_late_offers_candidates(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, None)
    room.call(Kind.CALL_ANSWERED, COUPLE, correction=True)
    assert (room.only.person, room.only.candidates) == (None, ("sun", "zhao"))


def test_a_caller_learnt_late_who_has_an_alarm_already_goes_up_in_it(room: Room) -> None:
    room.press("w-wang")
    alarm = room.only.id
    room.call(Kind.CALL_ANSWERED, None)
    room.call(Kind.CALL_ANSWERED, WANG, correction=True)
    assert (room.only.id, [one.outcome for one in closed(room)]) == (alarm, [Outcome.MERGED])


def test_what_the_agent_has_found_out_stands_above_what_the_exchange_learns(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, None)
    room.do(Action.IDENTIFY, room.only.id, person="li")
    room.call(Kind.CALL_ANSWERED, WANG, correction=True)
    assert (room.only.person, room.only.hints) == ("li", (Hint("number", "wang"),))


def test_the_wrong_person_is_corrected_and_both_stand_in_the_journal(room: Room) -> None:
    room.call(Kind.CALL_ABANDONED, WANG)
    done = room.do(Action.IDENTIFY, room.only.id, person="li")
    assert (done.person, done.key) == ("li", "person:li")
    assert done.position is not None
    assert (done.position.lat, done.position.lon) == (36.3402, 102.8803), "not the home of the other one"
    facts = msgspec.json.decode(next(record.facts for record in room.records if record.kind is Kind.IDENTIFY))
    assert facts == {"person": "li", "previous": "wang"}


def test_a_person_identified_twice_changes_nothing(room: Room) -> None:
    room.call(Kind.CALL_ABANDONED, WANG)
    before = room.only
    assert room.do(Action.IDENTIFY, before.id, person="wang") == before


def test_an_alarm_of_an_unknown_device_takes_the_persons_call_with_it(room: Room) -> None:
    room.event(Kind.SOS, "unknown")
    alarm = room.only.id
    room.calls_in_vain(WANG, "a")
    room.do(Action.IDENTIFY, alarm, person="wang")
    assert (room.only.id, room.only.attempts) == (alarm, 1)
    assert Flag.CALL_DUE in room.only.flags


def test_incidents_that_somebody_is_on_the_way_for_are_not_merged_by_a_name(room: Room) -> None:
    room.press("w-wang")
    room.event(Kind.SOS, "unknown")
    other = next(one for one in room.working.open_incidents if one.person is None)
    room.do(Action.IDENTIFY, other.id, person="wang")
    assert len(list(room.working.open_incidents)) == 2


def test_a_restricted_number_finds_its_person_and_is_marked(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, WANG, presentation="restricted")
    assert (room.only.person, room.only.presentation) == ("wang", "restricted")
