"""A device that cries on and on: no cry is lost or unheard for long, nobody else waits for it, and a person decides."""

from datetime import timedelta

import msgspec
import pytest

from gateway.core.chattering import AGAIN_AFTER
from gateway.core.command import Action
from gateway.core.incident import Flag, LegState, State
from gateway.core.matters import on_ruling
from gateway.core.standing import Ruling
from gateway.core.state import Draft
from gateway.event import Kind, Position
from tests.core.room import Room

MOST = 10


@pytest.fixture
def room() -> Room:
    return Room()


def cry(room: Room, times: int, device: str = "w-wang", *, every_s: float = 0.5, first: int = 0) -> None:
    for number in range(times):
        room.advance(seconds=every_s)
        assert room.press(device, dedup=f"{device}-{first + number}") == "stored"


def test_up_to_ten_a_minute_each_rings(room: Room) -> None:
    cry(room, MOST)
    assert room.only.cries == MOST
    assert Flag.CHATTERING not in room.only.flags
    assert len(room.sent_to("station-7")) == MOST


def test_beyond_that_each_is_counted_and_kept_and_the_station_is_spared(room: Room) -> None:
    cry(room, MOST + 30)
    assert (room.only.cries, room.only.entries) == (MOST + 30, MOST + 30)
    assert room.kinds(room.only.id).count("sos") == MOST + 30
    assert Flag.CHATTERING in room.only.flags, "it is seen at the desk"
    assert len(room.sent_to("station-7")) == MOST


def test_a_counted_cry_rings_within_a_minute_even_if_it_was_the_last(room: Room) -> None:
    """Invariant 3: somebody took the matter in the middle of it, then the person pressed once more."""
    cry(room, MOST + 1)
    room.do(Action.ACKNOWLEDGE, room.only.id)
    cry(room, 1, first=100)
    assert (room.only.state, room.only.owner) == (State.ACKNOWLEDGED, "Li Na"), "not taken away by each of ten cries a second"
    orders = len(room.orders)
    room.advance(AGAIN_AFTER.total_seconds() + 1)
    assert (room.only.state, room.only.owner) == (State.RAISED, None)
    assert Flag.CHATTERING not in room.only.flags
    assert len(room.orders) > orders
    assert "remind" in room.kinds(room.only.id)


def test_who_cries_without_end_rings_once_a_minute(room: Room) -> None:
    cry(room, 600)
    assert room.only.cries == 600
    assert room.kinds(room.only.id).count("remind") == 4  # 300 s, the first time 65 s after the beginning


def test_something_worse_or_else_rings_at_once(room: Room) -> None:
    for number in range(MOST + 5):
        room.event(Kind.GENERAL, "w-wang", dedup=f"g{number}")
    orders = len(room.orders)
    room.press("w-wang", dedup="sos")
    assert len(room.orders) > orders
    room.event(Kind.SMOKE, "w-wang", dedup="smoke")
    assert room.only.state is State.RAISED


def test_after_it_was_resolved_one_cry_is_a_cry(room: Room) -> None:
    cry(room, MOST + 5)
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.do(Action.RESOLVE, room.only.id, outcome="false_alarm", reason="checked")
    assert room.only.state is State.RESOLVED
    cry(room, 1, first=100)
    assert room.only.state is State.RAISED


def test_a_counted_cry_just_before_the_click_rings_though_the_matter_is_resolved(room: Room) -> None:
    """Invariant 3: whoever resolves it has not seen the last cry; within a minute it is raised again."""
    cry(room, MOST + 1)
    room.do(Action.ACKNOWLEDGE, room.only.id)
    cry(room, 1, first=100)
    room.do(Action.RESOLVE, room.only.id, outcome="helped")
    assert room.only.state is State.RESOLVED
    room.advance(AGAIN_AFTER.total_seconds() + 1)
    assert (room.only.state, room.only.owner, room.only.outcome) == (State.RAISED, None, None)
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.do(Action.RESOLVE, room.only.id, outcome="helped")
    room.advance(AGAIN_AFTER.total_seconds() + 1)
    assert room.only.state is State.RESOLVED, "once: nobody has cried since"


def test_another_device_of_the_same_person_is_heard_at_once(room: Room) -> None:
    cry(room, MOST + 5)
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.press("w-wang-2", dedup="other")
    assert room.only.state is State.RAISED


def test_another_person_is_ordered_for_as_if_nothing_were(room: Room) -> None:
    cry(room, MOST + 50)
    before = len(room.orders)
    room.press("w-li", dedup="li")
    assert len(room.orders) == before + 1


def test_slow_cries_never_chatter(room: Room) -> None:
    for number in range(40):
        cry(room, 1, every_s=7, first=number)
        assert Flag.CHATTERING not in room.only.flags
    assert "remind" not in room.kinds(room.only.id)


def test_another_zone_of_a_panel_is_heard_at_once() -> None:
    """Behind one account many people may live: what the panel cried for one of them says nothing about another."""
    room = Room()
    for number in range(MOST + 5):
        room.press("4711", line="panel", dedup=f"z3-{number}", detail={"zone": "003"})
    assert Flag.CHATTERING in room.only.flags
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.press("4711", line="panel", dedup="z7", detail={"zone": "007"})
    assert (room.only.state, room.only.zone, room.only.mixed) == (State.RAISED, "007", True)


def test_who_cries_on_while_walking_is_looked_for_where_they_cried_last(room: Room) -> None:
    cry(room, MOST)
    room.advance(seconds=1)
    there = Position(lat=36.3555, lon=102.8555, fixed_at=room.now)
    room.press("w-wang", dedup="far", position=there, detail={"ts": 1_773_457_200_123})
    assert (room.only.position, room.only.ts, Flag.CHATTERING in room.only.flags) == (there, 1_773_457_200_123, True)
    room.advance(AGAIN_AFTER.total_seconds() + 1)
    order = room.orders[-1]
    assert order["ts"] == 1_773_457_200_123
    assert "36.3555" in str(order["position"])


@pytest.mark.parametrize(("kind", "rings"), [(Kind.SOS, True), (Kind.FALL, False)])
def test_of_a_device_that_was_put_aside_what_was_counted_rings_if_it_was_a_press(room: Room, kind: Kind, rings: bool) -> None:
    """Maintenance never puts a press for help aside (gateway.core.maintenance): neither does chattering in its name."""
    for number in range(MOST + 1):
        room.advance(seconds=0.5)
        room.event(kind, "w-wang", dedup=f"w-{number}")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    draft = Draft(room.working)
    until = room.now + timedelta(hours=1)
    on_ruling(draft, Ruling(key="maintenance:wearables|w-wang", value="maintenance", actor="Ma Jun", reason="strap", until=until), room.now)
    draft.settle()
    room.event(kind, "w-wang", dedup="again")
    room.advance(AGAIN_AFTER.total_seconds() + 1)
    assert (room.only.state is State.RAISED) is rings


def test_a_counted_cry_rings_at_the_incident_into_which_its_own_was_merged(room: Room) -> None:
    """Invariant 3: whoever merged the two had not heard it, and holds the other one."""
    other = _two_of_one_situation(room)
    room.advance(AGAIN_AFTER.total_seconds() + 1)
    into = room.working.incidents[other]
    assert (into.state, into.owner, Flag.CHATTERING in into.flags) == (State.RAISED, None, False)
    assert _rings(room, other) == 1, "once"
    room.do(Action.ACKNOWLEDGE, other)
    room.advance(AGAIN_AFTER.total_seconds() + 1)
    assert room.working.incidents[other].state is State.ACKNOWLEDGED


def test_a_counted_cry_of_a_merged_incident_rings_though_the_other_is_of_a_device_put_aside(room: Room) -> None:
    other = _two_of_one_situation(room, Kind.FALL)
    draft = Draft(room.working)
    until = room.now + timedelta(hours=1)
    on_ruling(draft, Ruling(key="maintenance:wearables|w-li", value="maintenance", actor="Ma Jun", reason="strap", until=until), room.now)
    draft.settle()
    room.advance(AGAIN_AFTER.total_seconds() + 1)
    assert room.working.incidents[other].state is State.RAISED


def test_a_merger_undone_takes_the_counted_cry_back_to_where_it_was_cried(room: Room) -> None:
    other = _two_of_one_situation(room)
    [mine] = [one.id for one in room.working.incidents.values() if one.merged_into == other]
    room.do(Action.UNMERGE, mine)
    room.advance(AGAIN_AFTER.total_seconds() + 1)
    assert room.working.incidents[mine].state is State.RAISED
    assert (_rings(room, mine), _rings(room, other)) == (1, 0)


def _rings(room: Room, incident: str) -> int:
    return sum(1 for one in room.records if one.incident == incident and b"cries_on" in one.facts)


def _two_of_one_situation(room: Room, kind: Kind = Kind.SOS) -> str:
    """w-wang cries on and on, which an operator merges into the incident of w-li that she has taken; gives the id of that one."""
    room.unreachable |= {"station-7", "station-8"}
    room.event(Kind.FALL, "w-li", dedup="li")
    other = room.only.id
    for number in range(MOST + 3):
        room.advance(seconds=0.5)
        room.event(kind, "w-wang", dedup=f"w-{number}")
    [mine] = [one for one in room.working.incidents.values() if one.id != other]
    for one in (other, mine.id):
        for leg in room.working.incidents[one].legs:
            if leg.state in (LegState.QUEUED, LegState.SENT):
                room.do(Action.WITHDRAW, one, delivery=leg.delivery)
        room.do(Action.ACKNOWLEDGE, one)
    assert Flag.CHATTERING in room.working.incidents[mine.id].flags
    room.do(Action.MERGE, mine.id, into=other, different=True)
    assert room.working.incidents[other].state is State.ACKNOWLEDGED
    return other


def test_a_database_of_before_calls_the_flag_by_another_name() -> None:
    assert msgspec.json.decode(b'["folded", "chattering"]', type=list[Flag]) == [Flag.CHATTERING, Flag.CHATTERING]
