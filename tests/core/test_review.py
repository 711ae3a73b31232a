"""What a second pair of eyes found: each story once ended badly. Alarms, orders, deadlines and flags at the edges of their tables."""

from datetime import timedelta

import msgspec
import pytest

from gateway.config import CallsConfig
from gateway.core.command import Command, on_command
from gateway.core.incident import OPEN_LEG, Action, Flag, Incident, LegState, State
from gateway.core.orders import delivered
from gateway.core.register import Register
from gateway.core.state import Draft, Seen, WorkingSet
from gateway.errors import Refused
from gateway.event import Kind, Phase, Position, Severity
from tests.core.room import AREAS, DEVICES, PERSONS, POLICY, RESPONDERS, Room


@pytest.fixture
def room() -> Room:
    return Room()


def report(room: Room, delivery: str, failed: str | None, repeat: int = 0, notice: str = "order") -> None:
    """A channel's report, decided and committed."""
    draft = Draft(room.working)
    delivered(draft, delivery, repeat, notice, failed, room.now)
    room._settle(draft)


def due_in(incident: Incident, name: str, room: Room) -> float:
    return (incident.deadlines[name] - room.now).total_seconds()


# --- answers that come when all is over ---------------------------------------------------------------------------------


def test_a_late_accept_after_resolving_is_told_so_and_sends_nobody(room: Room) -> None:
    room.press("w-wang")
    room.advance(seconds=61)  # station-7 expired, the town is asked
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.do(Action.RESOLVE, room.only.id, outcome="helped")
    room.answer("station-7", "accept")
    assert not [leg for leg in room.only.legs if leg.state in OPEN_LEG]
    assert room.sent_to("station-7")[-1]["withdrawn"] is True
    room.do(Action.CALL_BACK, room.only.id)
    assert set(room.working.load.values()) == {0}


def test_a_leg_that_is_done_stays_done_whatever_is_said_later(room: Room) -> None:
    room.press("w-wang")
    name = room.only.id
    room.do(Action.ACKNOWLEDGE, name)
    room.answer("station-7", "done")
    room.do(Action.RESOLVE, name, outcome="helped")
    room.do(Action.CALL_BACK, name)
    room.answer("station-7", "done", by="the other one")
    assert room.working.incidents[name].legs[0].state is LegState.DONE
    assert len(room.sent_to("station-7")) == 1


def test_an_order_given_after_resolving_is_taken_back_at_the_close(room: Room) -> None:
    room.press("w-wang")
    name = room.only.id
    room.do(Action.ACKNOWLEDGE, name)
    room.do(Action.RESOLVE, name, outcome="helped")
    room.do(Action.DISPATCH, name, responder="health-1")
    room.do(Action.CALL_BACK, name)
    assert room.sent_to("health-1")[-1]["withdrawn"] is True
    assert set(room.working.load.values()) == {0}


# --- deadlines ----------------------------------------------------------------------------------------------------------


def test_a_worse_cry_is_pressed_with_its_own_patience(room: Room) -> None:
    room.event(Kind.HELP, "w-wang")  # 180 s
    room.press("w-wang")  # 60 s
    assert due_in(room.only, "acknowledge", room) == 60


def test_a_leak_that_comes_back_does_not_wait_an_hour(room: Room) -> None:
    room.event(Kind.WATER_LEAK, "lobby")
    room.event(Kind.WATER_LEAK, "lobby", phase=Phase.CLEAR)
    assert due_in(room.only, "acknowledge", room) == 3600
    room.event(Kind.WATER_LEAK, "lobby")
    assert due_in(room.only, "acknowledge", room) == 60
    room.advance(seconds=61)
    assert len(room.orders) == 1


def test_a_line_lost_again_does_not_wait_an_hour(room: Room) -> None:
    room.event(Kind.LINE_LOST, line="panel", detail={"mandatory": True})
    room.event(Kind.LINE_RESTORED, line="panel", phase=Phase.STATE)
    room.event(Kind.LINE_LOST, line="panel", detail={"mandatory": True})
    assert room.only.flags == ()
    assert due_in(room.only, "acknowledge", room) == 60


def test_a_line_lost_again_after_resolving_is_raised_again(room: Room) -> None:
    room.event(Kind.LINE_LOST, line="panel")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.do(Action.RESOLVE, room.only.id, outcome="helped")
    room.advance(minutes=5)
    room.event(Kind.LINE_LOST, line="panel")
    assert room.only.state is State.RAISED


def test_a_fault_whose_beginning_nobody_heard_is_a_fault(room: Room) -> None:
    room.event(Kind.POWER_CUT, "w-wang", phase=Phase.REPEAT)
    assert room.only.kind is Kind.POWER_CUT


def test_who_was_helped_already_is_not_sent_a_second_station(room: Room) -> None:
    room.press("w-wang")
    room.answer("station-7", "accept")
    room.answer("station-7", "done")
    room.advance(minutes=10)  # nobody at the desk: it rings on
    assert [order["to"] for order in room.orders] == ["station-7"]
    assert room.kinds(room.only.id).count("escalate") >= 4
    room.press("w-wang", detail={"ts": 7})
    assert [order["to"] for order in room.orders] == ["station-7", "station-7"]


def test_the_desk_that_took_charge_is_not_asked_for_ever(room: Room) -> None:
    room.press("w-wang")
    room.advance(minutes=5)
    assert room.orders[-1]["to"] == "desk"
    room.do(Action.ACKNOWLEDGE, room.only.id)
    asked = len(room.sent_to("desk"))
    room.advance(minutes=20)
    assert len(room.sent_to("desk")) == asked
    assert "remind" in room.kinds(room.only.id)


def test_a_responder_taken_out_of_the_register_is_climbed_past(room: Room) -> None:
    room.press("w-wang")
    left = [responder for responder in RESPONDERS if responder.id != "station-7"]
    room.working.use(Register(district="honggu", persons=PERSONS, devices=DEVICES, responders=left, areas=AREAS, version="later"))
    room.advance(seconds=61)
    assert room.only.legs[0].state is LegState.EXPIRED
    assert room.orders[-1]["to"] == "desk"


# --- flags --------------------------------------------------------------------------------------------------------------


def test_the_end_of_something_else_is_no_cancel_by_the_wearer(room: Room) -> None:
    room.press("w-wang")
    room.event(Kind.BED_EXIT, "w-wang-2", phase=Phase.CLEAR)
    room.event(Kind.SMOKE, "w-wang-2", phase=Phase.CLEAR)
    assert room.only.flags == ()
    room.event(Kind.SOS, "w-wang", phase=Phase.CLEAR)
    assert room.only.flags == (Flag.CANCELLED,)


def test_a_cleared_smoke_alarm_is_noted_and_nobody_cancelled_it(room: Room) -> None:
    room.event(Kind.SMOKE, "lobby")
    room.event(Kind.SMOKE, "lobby", phase=Phase.CLEAR)
    assert room.only.flags == ()
    assert room.only.entries == 2


def test_a_cry_after_a_cancel_is_not_cancelled(room: Room) -> None:
    room.press("w-wang")
    room.event(Kind.CANCEL, "w-wang")
    room.press("w-wang")
    assert room.only.flags == (Flag.SECOND_CRY,)


def test_the_end_of_the_first_of_two_alarms_does_not_end_the_second(room: Room) -> None:
    room.event(Kind.BED_EXIT, "w-wang")
    room.event(Kind.HELP, "w-wang-2")
    room.event(Kind.BED_EXIT, "w-wang", phase=Phase.CLEAR)
    assert Flag.ENDED not in room.only.flags
    assert due_in(room.only, "acknowledge", room) == 60


def test_one_sensor_does_not_end_the_alarm_of_another(room: Room) -> None:
    room.event(Kind.BED_EXIT, "w-wang")
    room.event(Kind.BED_EXIT, "w-wang-2", phase=Phase.CLEAR)
    assert Flag.ENDED not in room.only.flags


def test_history_ends_and_cancels_nothing(room: Room) -> None:
    room.event(Kind.BED_EXIT, "w-wang")
    room.event(Kind.BED_EXIT, "w-wang", phase=Phase.CLEAR, late="backfill")
    room.event(Kind.CANCEL, "w-wang", late="replayed")
    assert room.only.flags == ()
    assert due_in(room.only, "acknowledge", room) == 60


# --- orders -------------------------------------------------------------------------------------------------------------


def test_an_order_above_by_an_operator_stands_beside_help_that_is_coming(room: Room) -> None:
    room.press("w-wang")
    room.answer("station-7", "accept")
    room.do(Action.ESCALATE, room.only.id)
    room.answer("town", "accept")
    assert {leg.responder: leg.state for leg in room.only.legs} == {"station-7": LegState.ACCEPTED, "town": LegState.ACCEPTED}


def test_an_order_that_fails_beside_another_goes_no_further(room: Room) -> None:
    room.press("w-wang")
    room.answer("station-7", "accept")
    room.unreachable.add("health-1")
    room.do(Action.DISPATCH, room.only.id, responder="health-1")
    report(room, room.only.legs[1].delivery, "http_404")
    assert room.only.legs[1].state is LegState.FAILED
    assert [order["to"] for order in room.orders] == ["station-7"]


def test_an_order_that_fails_beside_the_desk_that_took_charge_leaves_a_deadline(room: Room) -> None:
    room.press("w-wang")
    room.advance(minutes=5)
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.unreachable.add("health-1")
    room.do(Action.DISPATCH, room.only.id, responder="health-1")
    report(room, room.only.legs[-1].delivery, "http_404")  # the room asserts that a deadline is left
    room.advance(minutes=10)
    assert "remind" in room.kinds(room.only.id)


def test_a_worse_call_and_a_worse_fault_tell_who_is_on_the_way(room: Room) -> None:
    room.event(Kind.HELP, "w-wang")
    room.do(Action.DISPATCH, room.only.id, responder="station-7")
    room.call(Kind.CALL_ABANDONED, "+8613800000001")
    assert [order["repeat"] for order in room.sent_to("station-7")] == [0, 1]


def test_every_notice_that_left_or_could_not_is_in_the_journal(room: Room) -> None:
    room.press("w-wang")
    room.unreachable.add("station-7")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.do(Action.RESOLVE, room.only.id, outcome="false_alarm")
    report(room, room.only.legs[0].delivery, "http_410", notice="withdrawn")
    assert room.kinds(room.only.id)[-1] == "failed"
    assert b'"notice":"withdrawn"' in room.records[-1].facts


def test_asking_the_desk_once_more_is_in_the_journal_with_its_command(room: Room) -> None:
    room.press("w-wang")
    room.advance(minutes=5)
    for responder in ("station-8", "health-1"):
        room.do(Action.DISPATCH, room.only.id, responder=responder)
    before = len(room.records)
    room.do(Action.DISPATCH, room.only.id, key="k1")
    assert "dispatch" in [record.kind.value for record in room.records[before:]]
    assert "command|k1" in [record.dedup for record in room.records[before:]]


# --- what a refused command, a restart, a flood leave behind ------------------------------------------------------------


def test_a_refused_command_leaves_no_trace_in_the_indexes(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, "+8613900000009")
    name = room.only.id
    room.do(Action.ACKNOWLEDGE, name)
    room.do(Action.RESOLVE, name, outcome="helped")
    room.do(Action.CALL_BACK, name)
    draft = Draft(room.working)
    with pytest.raises(Refused):
        on_command(draft, Command(action=Action.IDENTIFY, actor="Li Na", incident=name, facts={"person": "wang"}), room.now)
    assert draft.by_key.written == {}


def test_who_is_identified_has_one_open_incident_even_when_an_old_one_awaits_its_call_back(room: Room) -> None:
    room.press("w-wang")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.do(Action.RESOLVE, room.only.id, outcome="helped")
    room.advance(minutes=30)
    room.call(Kind.CALL_ANSWERED, "+8613900000009")
    mine = next(incident for incident in room.working.open_incidents if incident.person is None)
    room.do(Action.IDENTIFY, mine.id, person="wang")
    room.press("w-wang")
    assert room.working.incidents[mine.id].cries == 2


def test_after_a_restart_a_cry_joins_the_same_incident_in_whatever_order_rows_are_read(room: Room) -> None:
    room.press("w-wang")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.do(Action.RESOLVE, room.only.id, outcome="helped")
    room.advance(minutes=11)
    room.press("w-wang")
    joined = Draft(room.working).incident_of_key("person:wang")
    assert joined is not None
    assert joined.state is State.RAISED
    for rows in (list(room.working.incidents.values()), list(room.working.incidents.values())[::-1]):
        again = WorkingSet(room.working.register, POLICY, CallsConfig())
        again.restore(rows, [], [], [])
        assert Draft(again).incident_of_key("person:wang") == joined
        assert again.load == {name: load for name, load in room.working.load.items() if load}


def test_the_device_heard_last_is_forgotten_last(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.core.state.STRANGERS_LIMIT", 3)
    for device in ("a", "b", "c", "a", "d"):
        room.event(Kind.HEARTBEAT, device, phase=Phase.STATE)
    assert list(room.working.strangers) == ["wearables|c", "wearables|a", "wearables|d"]


def test_an_older_position_never_takes_the_place_of_a_newer_one(room: Room) -> None:
    fresh = Position(lat=36.3701, lon=102.9201, fixed_at=room.now)
    stale = Position(lat=36.1, lon=102.1, fixed_at=room.now - timedelta(hours=1))
    room.event(Kind.LOCATION, "w-wang", phase=Phase.STATE, position=fresh)
    room.event(Kind.LOCATION, "w-wang", phase=Phase.STATE, position=stale, late="backfill")
    room.press("w-wang")
    assert room.orders[0]["to"] == "station-8"
    assert room.working.seen["person:wang"] == Seen(at=room.now, position=fresh)


def test_severity_and_kind_follow_the_worst(room: Room) -> None:
    room.event(Kind.HELP, "w-wang")
    room.event(Kind.FIRE, "w-wang-2")
    assert (room.only.severity, room.only.kind) == (Severity.CRITICAL, Kind.FIRE)
    assert msgspec.json.decode(msgspec.json.encode(room.only), type=Incident) == room.only
