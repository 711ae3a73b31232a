"""The shelf and maintenance as stories: what is put aside is silent, comes back by itself, and a cry is never on it."""

from datetime import timedelta

import msgspec
import pytest

from gateway.config.desk import DeskConfig, ShelvingConfig
from gateway.core.incident import Flag, Incident, State
from gateway.core.matters import on_ruling
from gateway.core.register import Register
from gateway.core.senders import TIMES_LIMIT, Senders
from gateway.core.standing import Ruling
from gateway.core.state import Draft
from gateway.errors import Refused
from gateway.event import Kind, Phase, Severity
from tests.core.room import AREAS, DEVICES, PERSONS, RESPONDERS, START, Room
from tests.core.test_notices import DAUGHTER
from tests.core.test_teams import WANG


def the(room: Room) -> Incident:
    (incident,) = room.working.open_incidents
    return incident


def shelve(room: Room, hours: float = 2) -> Incident:
    return room.do("shelve", the(room).id, until=(room.now + timedelta(hours=hours)).isoformat(), reason="battery ordered")


def rule(room: Room, value: str, hours: float = 2, device: str = "w-wang", line: str = "wearables") -> None:
    draft = Draft(room.working)
    until = room.now + timedelta(hours=hours) if value else None
    on_ruling(draft, Ruling(key=f"maintenance:{line}|{device}", value=value, actor="Ma Jun", reason="new strap", until=until), room.now)
    draft.settle()


def pressed(room: Room) -> list[str]:
    return [str(record.kind) for record in room.records if record.kind in (Kind.ESCALATE, Kind.REMIND)]


def test_on_the_shelf_nothing_presses_and_it_comes_back_by_itself_and_rings_anew() -> None:
    room = Room()
    room.event(Kind.LOW_BATTERY, "w-wang")
    shelve(room)
    assert the(room).next_deadline == ("shelf", room.now + timedelta(hours=2))
    room.advance(minutes=119)
    assert pressed(room) == []
    room.advance(minutes=2)
    assert the(room).shelf is None
    assert pressed(room) == []
    assert [record.kind for record in room.records][-1] is Kind.UNSHELVE
    room.advance(minutes=61)  # what nobody takes is pressed after an hour, from when it came back
    assert pressed(room) == ["escalate"]


def test_whoever_takes_it_takes_it_from_the_shelf() -> None:
    room = Room()
    room.event(Kind.LOW_BATTERY, "w-wang")
    shelve(room)
    room.do("acknowledge", the(room).id)
    assert the(room).shelf is None
    assert "shelf" not in the(room).deadlines
    shelve(room)
    room.do("note", the(room).id, text="the technician has rung")
    assert the(room).shelf is not None, "a note takes nothing back"
    room.do("unshelve", the(room).id)
    assert the(room).next_deadline is not None
    assert the(room).next_deadline[0] == "idle"
    assert the(room).shelf is None


def test_another_kind_of_trouble_brings_it_back_and_the_same_again_does_not() -> None:
    room = Room()
    room.event(Kind.LOW_BATTERY, "w-wang")
    shelve(room)
    room.event(Kind.LOW_BATTERY, "w-wang")
    assert the(room).shelf is not None
    assert the(room).entries == 2
    room.event(Kind.FAULT, "w-wang")
    assert the(room).shelf is None
    assert "acknowledge" in the(room).deadlines


def test_worse_than_before_brings_it_back() -> None:
    room = Room()
    room.event(Kind.LINE_LOST, None, line="panel", phase=Phase.RAISE)
    shelve(room)
    room.event(Kind.LINE_LOST, None, line="panel", phase=Phase.RAISE, detail={"mandatory": True})
    assert the(room).severity is Severity.CRITICAL
    assert the(room).shelf is None


@pytest.mark.parametrize("kind", [Kind.SOS, Kind.FALL_SUSPECTED, Kind.WATER_LEAK, Kind.HELP])
def test_no_cry_is_ever_put_aside(kind: Kind) -> None:
    room = Room()
    room.event(kind, "w-wang")
    with pytest.raises(Refused, match="not_shelvable"):
        shelve(room)


def test_a_call_is_never_put_aside() -> None:
    room = Room()
    room.call(Kind.CALL_OFFERED, "+8613800000001")
    room.call(Kind.CALL_ANSWERED, "+8613800000001")
    with pytest.raises(Refused, match="not_shelvable"):
        shelve(room)


def test_policy_names_the_kinds_and_the_longest_time() -> None:
    room = Room()
    room.working.shelving = ShelvingConfig(kinds=("fault",), longest_s=3600)
    room.event(Kind.LOW_BATTERY, "w-wang")
    with pytest.raises(Refused, match="not_shelvable"):
        shelve(room)
    room = Room()
    room.working.shelving = ShelvingConfig(longest_s=3600)
    room.event(Kind.LOW_BATTERY, "w-wang")
    with pytest.raises(Refused, match="bad_until"):
        shelve(room, hours=1.1)
    shelve(room, hours=1)


@pytest.mark.parametrize("until", ["tomorrow", "2026-03-14T05:00:00", "0001-01-01T00:00+08:00", "9999-12-31T23:59-08:00"])
def test_until_is_a_time_with_its_zone_that_utc_can_say(until: str) -> None:
    room = Room()
    room.event(Kind.LOW_BATTERY, "w-wang")
    with pytest.raises(Refused, match="bad_until"):
        room.do("shelve", the(room).id, until=until, reason="battery ordered")


def test_a_step_of_the_wall_clock_leaves_the_end_of_the_shelf_where_it_was_said() -> None:
    from gateway.core.escalation import shifted

    room = Room()
    room.event(Kind.LOW_BATTERY, "w-wang")
    until = shelve(room).deadlines["shelf"]
    assert shifted(the(room), timedelta(hours=1)).deadlines["shelf"] == until


def test_in_maintenance_a_fall_is_marked_put_aside_and_orders_nobody_but_an_sos_raises_as_ever() -> None:
    room = Room()
    rule(room, "maintenance")
    room.event(Kind.FALL, "w-wang")
    fallen = the(room)
    assert fallen.shelf is not None
    assert fallen.shelf.until == room.now + timedelta(hours=2)
    assert Flag.MAINTENANCE in fallen.flags
    assert fallen.legs == ()
    room.event(Kind.FALL, "w-wang")
    assert the(room).entries == 2
    assert the(room).shelf is not None
    room.press("w-wang")
    assert the(room).shelf is None
    assert the(room).kind is Kind.SOS
    assert Flag.MAINTENANCE not in the(room).flags
    assert the(room).legs, "somebody is sent"
    room.event(Kind.FALL, "w-wang")
    assert the(room).cries == 2, "what it sends beside a true cry only counts"


def test_another_device_of_the_same_person_is_not_in_maintenance() -> None:
    room = Room()
    rule(room, "test", hours=20)
    room.event(Kind.FALL, "w-wang")
    assert the(room).shelf is not None
    assert the(room).shelf.until == room.now + timedelta(hours=8), "somebody looks at it once a shift"
    room.event(Kind.FALL, "w-wang-2")
    assert the(room).shelf is None
    assert the(room).state is State.RAISED
    assert the(room).legs


def test_maintenance_ends_and_can_be_lifted() -> None:
    room = Room()
    rule(room, "maintenance", hours=1)
    room.advance(minutes=61)
    room.event(Kind.FALL, "w-wang")
    assert the(room).shelf is None
    room = Room()
    rule(room, "maintenance")
    rule(room, "")
    room.event(Kind.FALL, "w-wang")
    assert the(room).shelf is None


@pytest.mark.parametrize(("value", "hours", "why"), [("maintenance", 8.1, "bad_until"), ("test", 24.1, "bad_until"), ("off", 1, "bad_value")])
def test_maintenance_has_its_bounds(value: str, hours: float, why: str) -> None:
    with pytest.raises(Refused, match=why):
        rule(Room(), value, hours)
    with pytest.raises(Refused, match="unknown_device"):
        rule(Room(), "maintenance", device="nobody")


def test_a_sender_that_runs_away_is_counted_exactly_up_to_a_bound() -> None:
    senders, rules, key = Senders(), DeskConfig(), ("wearables", "w-1", "fall")
    for minute in range(0, 20, 2):
        senders.note(key, START + timedelta(minutes=minute), rules)
    assert senders.of(key, START + timedelta(minutes=18), rules).count == 6, "of the last ten minutes: 8 to 18"
    assert senders.of(key, START + timedelta(minutes=18), rules).streak == 10
    senders.note(key, START + timedelta(minutes=48), rules)
    assert senders.of(key, START + timedelta(minutes=48), rules).streak == 1, "half an hour of silence is a pause"
    for second in range(100):
        senders.note(key, START + timedelta(minutes=60, seconds=second), rules)
    found = senders.of(key, START + timedelta(minutes=62), rules)
    assert (found.count, found.streak) == (TIMES_LIMIT, 101)
    assert senders.worst(START + timedelta(minutes=62), rules) == [found]
    assert senders.worst(START + timedelta(hours=4), rules) == []
    assert senders.of(("wearables", "w-2", "fall"), START, rules).count == 0


def test_only_what_devices_raise_is_counted() -> None:
    room = Room()
    key = ("wearables", "w-wang", "fall")
    room.event(Kind.FALL, "w-wang")
    room.event(Kind.FALL, "w-wang", phase=Phase.REPEAT)
    room.event(Kind.HEARTBEAT, "w-wang")
    room.event(Kind.FALL, "w-wang")
    assert room.working.senders.of(key, room.now, room.working.desk).count == 2


def test_no_family_is_told_of_a_trial_and_a_true_cry_reaches_them() -> None:
    told = Register(
        district="honggu",
        persons=[msgspec.structs.replace(WANG, contacts=(DAUGHTER,)), *PERSONS[1:]],
        devices=DEVICES,
        responders=RESPONDERS,
        areas=AREAS,
        version="with a daughter",
    )
    room = Room(register=told)
    rule(room, "maintenance")
    room.event(Kind.FALL, "w-wang")
    assert the(room).notices == ()
    room.press("w-wang")
    assert [notice.moment for notice in the(room).notices] == ["alarm"]


def test_who_is_given_it_finds_it_on_the_shelf() -> None:
    room = Room()
    room.event(Kind.LOW_BATTERY, "w-wang")
    shelve(room)
    room.do("assign", the(room).id, to="Wang Qiang")
    assert the(room).shelf is not None
    assert the(room).state is State.ACKNOWLEDGED
    room.advance(minutes=119)
    assert pressed(room) == []
    room.advance(minutes=5)
    assert pressed(room) == ["remind"], "back from the shelf, its owner is reminded"
