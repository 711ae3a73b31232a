"""What was joined by mistake is taken apart again: mergers undone, devices and calls split off; the books balance whatever is done."""

import random
from datetime import timedelta

import msgspec
import pytest

from gateway.core.incident import Flag, Incident, State
from gateway.errors import Refused
from gateway.event import Kind, Severity
from tests.core.room import Room

ELSEWHERE = "+8613900000009"


@pytest.fixture
def room() -> Room:
    return Room()


def get(room: Room, name: str) -> Incident:
    return room.working.incidents[name]


def a_call(room: Room, caller: str | None = ELSEWHERE, key: str = "c1") -> str:
    """A call that is going on; gives its incident."""
    room.call(Kind.CALL_OFFERED, caller, key)
    room.call(Kind.CALL_ANSWERED, caller, key)
    call = next(call for call in room.working.calls.values() if call.key == f"pbx|{key}" or call.key.endswith(key))
    assert call.incident is not None
    return call.incident


def test_a_wrong_merger_is_undone_with_its_call(room: Room) -> None:
    room.event(Kind.BED_EXIT, "w-wang")
    alarm = room.only.id
    before = get(room, alarm)
    call = a_call(room)
    was = get(room, call)
    room.do("merge", call, into=alarm)
    assert get(room, alarm).entries == 2
    room.advance(seconds=50)
    assert {one.incident for one in room.working.calls.values()} == {alarm}
    back = room.do("unmerge", call)
    assert (back.state, back.merged_into, back.entries, back.key) == (was.state, None, was.entries, was.key)
    assert {one.incident for one in room.working.calls.values()} == {call}, "who is on the telephone is in the incident of the call again"
    now = get(room, alarm)
    assert (now.entries, now.caller, now.call, now.mixed, now.voice) == (before.entries, before.caller, before.call, before.mixed, before.voice)
    assert room.kinds(alarm)[-1] == room.kinds(call)[-1] == "unmerge", "both ends have it"


def test_what_came_after_the_merger_stays(room: Room) -> None:
    room.event(Kind.BED_EXIT, "w-wang")
    alarm = room.only.id
    call = a_call(room)
    room.do("merge", call, into=alarm)
    room.press("w-wang")
    room.do("acknowledge", alarm)
    room.do("unmerge", call)
    after = get(room, alarm)
    assert (after.kind, after.severity, after.state, after.entries) == (Kind.SOS, Severity.CRITICAL, State.ACKNOWLEDGED, 2)


def test_the_task_to_ring_back_goes_back_with_its_deadline(room: Room) -> None:
    room.event(Kind.BED_EXIT, "w-wang")
    alarm = room.only.id
    room.calls_in_vain(ELSEWHERE, key="c7")
    call = next(one.id for one in room.working.open_incidents if one.id != alarm)
    due = get(room, call).deadlines["call"]
    room.do("merge", call, into=alarm)
    assert Flag.CALL_DUE in get(room, alarm).flags
    room.do("unmerge", call)
    assert Flag.CALL_DUE not in get(room, alarm).flags
    assert "call" not in get(room, alarm).deadlines
    assert (get(room, call).deadlines["call"], Flag.CALL_DUE in get(room, call).flags) == (due, True)


def test_a_wrong_person_leaves_with_the_merger(room: Room) -> None:
    stranger = a_call(room)
    room.call(Kind.CALL_ENDED, ELSEWHERE, "c1")
    room.event(Kind.BED_EXIT, "w-wang")
    alarm = next(one.id for one in room.working.open_incidents if one.id != stranger)
    room.do("merge", alarm, into=stranger)
    assert get(room, stranger).person == "wang"
    room.do("unmerge", alarm)
    assert (get(room, stranger).person, get(room, alarm).person) == (None, "wang")
    assert get(room, stranger).kind is Kind.CALL_ANSWERED, "it was a call, and is one again"
    room.event(Kind.BED_EXIT, "w-wang")
    assert get(room, alarm).cries == 2, "what the device cries from now on is its own again"


def test_it_can_be_undone_for_an_hour_and_only_the_last_first(room: Room) -> None:
    room.event(Kind.BED_EXIT, "w-wang")
    alarm = room.only.id
    first = a_call(room)
    second = a_call(room, "+8613900000010", "c2")
    room.do("merge", first, into=second)
    room.do("merge", second, into=alarm)
    with pytest.raises(Refused, match="merged_further"):
        room.do("unmerge", first)
    room.do("unmerge", second)
    room.do("unmerge", first)
    assert {one.id for one in room.working.open_incidents} == {alarm, first, second}
    room.do("merge", first, into=second)
    room.advance(seconds=3601)
    with pytest.raises(Refused, match="undo_too_late"):
        room.do("unmerge", first)


def test_what_was_not_merged_cannot_be_undone(room: Room) -> None:
    room.press("w-wang")
    with pytest.raises(Refused, match="not_merged"):
        room.do("unmerge", room.only.id)


def test_a_device_gets_an_incident_of_its_own_and_keeps_it(room: Room) -> None:
    """Two wearables registered for one person, but the neighbour wears the second: from now on what it cries is theirs."""
    room.event(Kind.BED_EXIT, "w-wang")
    room.press("w-wang-2")
    name = room.only.id
    room.do("acknowledge", name)
    left = room.do("split", name, device="wearables|w-wang-2", person="li")
    own = next(one for one in room.working.open_incidents if one.id != name)
    assert (left.entries, own.entries, own.person, own.state, own.device) == (1, 1, "li", State.RAISED, "w-wang-2")
    assert own.legs, "an alarm that rings alone is ordered for"
    room.press("w-wang-2")
    assert (get(room, own.id).cries, get(room, name).cries) == (2, left.cries)
    room.press("w-wang")
    assert get(room, name).cries == left.cries + 1
    assert room.kinds(own.id)[0] == "unmerge"
    room.do("acknowledge", own.id)


def test_a_call_gets_an_incident_of_its_own(room: Room) -> None:
    room.event(Kind.BED_EXIT, "w-wang")
    name = room.only.id
    call = a_call(room, "+8613800000001")
    assert call == name
    key = get(room, name).call
    room.do("split", name, call=key, person="li")
    own = next(one for one in room.working.open_incidents if one.id != name)
    assert (own.person, own.call, own.kind) == ("li", key, Kind.CALL_ANSWERED)
    assert get(room, name).call is None
    assert {one.incident for one in room.working.calls.values()} == {own.id}
    room.do("merge", own.id, into=name, different=True)
    assert {one.incident for one in room.working.calls.values()} == {name}, "merged back: the split is undone"


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({}, "missing_device"),
        ({"device": "wearables|w-li"}, "unknown_device"),
        ({"call": "c9"}, "unknown_call"),
        ({"person": "nobody"}, "unknown_person"),
    ],
    ids=["nothing named", "not of it", "no such call", "no such person"],
)
def test_what_cannot_be_split_changes_nothing(room: Room, facts: dict[str, object], why: str) -> None:
    room.press("w-wang")
    before = room.only
    with pytest.raises(Refused, match=why):
        room.do("split", room.only.id, **facts)
    assert room.only == before


def test_the_only_thing_in_it_cannot_leave_it(room: Room) -> None:
    room.press("w-wang")
    with pytest.raises(Refused, match="nothing_left"):
        room.do("split", room.only.id, device="wearables|w-wang")


@pytest.mark.parametrize("seed", range(60))
def test_the_books_balance_through_mergers_and_partings(seed: int) -> None:
    """Sixty shifts of wrong merges, undone and not: incidents = open + closed, each entry in one of them, each call in one that is there."""
    room, pick, calls = Room(), random.Random(seed), 0
    refused = done = 0
    for _ in range(60):
        names = list(room.working.incidents)
        match pick.randrange(7):
            case 0 | 1:
                room.event(pick.choice([Kind.HELP, Kind.BED_EXIT, Kind.SOS]), pick.choice(["w-wang", "w-wang-2", "w-li", "lobby", "w-zhao"]))
            case 2:
                calls += 1
                caller = pick.choice(["+8613800000001", ELSEWHERE, "+8613800000003"])
                room.call(Kind.CALL_OFFERED, caller, f"c{calls}")
                room.call(pick.choice([Kind.CALL_ANSWERED, Kind.CALL_ABANDONED]), caller, f"c{calls}")
            case 3:
                room.advance(seconds=pick.choice([1, 30, 400]))
            case _ if names:
                one = get(room, pick.choice(names))
                wishes: list[tuple[str, dict[str, object]]] = [
                    ("merge", {"into": pick.choice(names), "different": True}),
                    ("unmerge", {}),
                    ("split", {"device": f"{one.line}|{one.device}"}),
                    ("split", {"call": one.call or "none"}),
                    ("acknowledge", {}),
                ]
                wish, facts = pick.choice(wishes)
                try:
                    room.do(wish, one.id, **facts)
                    done += wish in ("unmerge", "split")
                except Refused:
                    refused += 1
        working = room.working
        states = [one.state for one in working.incidents.values()]
        assert working.opened == len(states)
        assert working.closed == states.count(State.CLOSED)
        merged = [one for one in working.incidents.values() if one.merged_into is not None]
        assert all(one.state is State.CLOSED and one.merger is not None for one in merged)
        entries = sum(one.entries for one in working.incidents.values() if one.merged_into is None)
        lost = sum(one.entries for one in merged)
        assert entries >= len([record for record in room.records if record.kind in (Kind.HELP, Kind.BED_EXIT, Kind.SOS)]), lost
        assert all(one.incident in working.incidents for one in working.calls.values() if one.incident is not None)
        assert all(one.next_deadline is not None for one in working.open_incidents)
    room.advance(minutes=5)


def test_what_undoes_a_merger_survives_a_restart(room: Room) -> None:
    room.event(Kind.BED_EXIT, "w-wang")
    alarm = room.only.id
    call = a_call(room)
    room.do("merge", call, into=alarm)
    again = msgspec.json.decode(msgspec.json.encode(get(room, call)), type=Incident)
    assert again == get(room, call)
    assert again.merger is not None
    assert again.merger.at + timedelta(seconds=3600) > room.now


def test_whom_a_complaint_is_about_goes_with_the_merger_and_comes_back(room: Room) -> None:
    """Nobody answers the complaint about themselves, also not where it was put."""
    room.press("w-wang")
    wang = room.only.id
    for action, facts in (("acknowledge", {}), ("resolve", {"outcome": "helped"}), ("call_back", {})):
        room.do(action, wang, **facts)
    room.do("complain", wang, note="nobody came", about="Li Na")
    room.press("w-li")
    li = next(one.id for one in room.working.open_incidents if one.id != wang)
    room.do("acknowledge", li)
    stages = get(room, li).stages
    room.do("merge", wang, into=li, different=True)
    with pytest.raises(Refused, match="complained_about"):
        room.do("handle", li, actor="Li Na", finding="unjustified", note="I was there")
    room.do("unmerge", wang)
    assert get(room, li).stages == stages
    with pytest.raises(Refused, match="complained_about"):
        room.do("handle", wang, actor="Li Na", finding="unjustified", note="I was there")
