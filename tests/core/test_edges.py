"""A state that is told again and again is news when it changes, and only then: also when commits fail, and over a restart."""

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import decide
from gateway.core.edges import EDGES_LIMIT
from gateway.core.incident import Flag
from gateway.core.state import Draft, WorkingSet
from gateway.event import Event, Kind, Phase
from tests.core.room import Room


def tell(room: Room, kind: Kind = Kind.SMOKE, phase: Phase = Phase.RAISE, device: str = "w-wang", **fields: object) -> list[str]:
    """One telling; gives what it wrote into the journal."""
    before = len(room.records)
    fields.setdefault("edge", kind.value)
    assert room.event(kind, device, phase=phase, **fields) == "stored"
    return [f"{record.kind.value} {record.phase.value}" for record in room.records[before:] if record.line == "wearables"]


def test_only_a_change_is_news() -> None:
    room = Room()
    assert tell(room, Kind.WATER_LEAK, phase=Phase.CLEAR) == []  # the first one seeds
    assert tell(room, Kind.WATER_LEAK) == ["water_leak raise"]
    assert tell(room, Kind.WATER_LEAK) == tell(room, Kind.WATER_LEAK) == []
    assert room.only.cries == 1
    assert tell(room, Kind.WATER_LEAK, phase=Phase.CLEAR) == ["water_leak clear"]
    assert Flag.ENDED in room.only.flags
    assert tell(room, Kind.WATER_LEAK, phase=Phase.CLEAR) == []
    assert tell(room, Kind.WATER_LEAK) == ["water_leak raise"]
    assert room.only.cries == 2


def test_the_same_state_is_a_sign_of_life() -> None:
    room = Room()
    tell(room)
    room.advance(minutes=5)
    assert tell(room, battery_pct=80.0) == []
    seen = room.working.seen["wearables|w-wang"]
    assert (seen.at, seen.battery_pct) == (room.now, 80.0)


def test_a_state_that_is_true_when_first_heard_is_news() -> None:
    assert tell(Room()) == ["smoke raise"]
    assert tell(Room(), phase=Phase.REPEAT) == ["smoke raise"]


def test_a_state_told_for_long_is_repeated() -> None:
    room = Room()
    tell(room, edge_s=600.0)
    room.advance(seconds=599)
    assert tell(room, edge_s=600.0) == []
    room.advance(seconds=1)
    assert tell(room, edge_s=600.0) == ["smoke repeat"]
    room.advance(seconds=599)
    assert tell(room, edge_s=600.0) == []
    assert (room.only.cries, room.only.entries) == (1, 2)


def test_a_clock_that_was_set_back_swallows_nothing() -> None:
    room = Room()
    tell(room, edge_s=600.0)
    room.now -= timedelta(days=1)
    assert tell(room, edge_s=600.0) == ["smoke repeat"]
    assert tell(room, edge_s=600.0) == []


def test_a_press_that_is_over_is_on_disk_like_the_press() -> None:
    """A bit goes out, and we are killed: the next press is none of the old one."""
    room = Room()
    tell(room, Kind.SOS, edge="bit 0")
    draft = Draft(room.working)
    gone = Event(kind=Kind.TELEMETRY, phase=Phase.CLEAR, line="wearables", device="w-wang", received_at=room.now, occurred_at=room.now, edge="bit 0")
    assert decide.on_event(draft, gone, room.now) == "stored"
    assert draft.changed == {"wearables|w-wang"}


def test_states_of_several_things_of_one_device_do_not_mix() -> None:
    room = Room()
    assert tell(room, Kind.SMOKE, edge="1") == ["smoke raise"]
    assert tell(room, Kind.SMOKE, edge="2") == ["smoke raise"]
    assert tell(room, Kind.SMOKE, edge="1", detail={"zone": "005"}) == ["smoke raise"]
    assert tell(room, Kind.SMOKE, edge="1", detail={"zone": "006"}) == ["smoke raise"]
    assert tell(room, Kind.SMOKE, edge="1", device="w-li") == ["smoke raise"]
    assert tell(room, Kind.SMOKE, edge="1", phase=Phase.CLEAR) == ["smoke clear"]
    assert tell(room, Kind.SMOKE, edge="2") == []


def test_the_opposite_kind_ends_a_state() -> None:
    room = Room()
    assert tell(room, Kind.ONLINE, edge="online") == []
    assert tell(room, Kind.OFFLINE, edge="online") == ["offline raise"]
    assert tell(room, Kind.OFFLINE, edge="online") == []
    assert tell(room, Kind.ONLINE, Phase.STATE, edge="online") == ["online state"]
    assert Flag.ENDED in room.only.flags
    assert tell(room, Kind.ONLINE, Phase.CLEAR, edge="online") == ["offline raise"]  # not online


def test_a_contact_that_is_told_again_is_no_news_and_never_journalled() -> None:
    room = Room()
    for kind in (Kind.CONTACT_CLOSED, Kind.CONTACT_OPEN, Kind.CONTACT_OPEN, Kind.CONTACT_CLOSED):
        assert tell(room, kind, edge="contact") == []
    assert [edge.is_set for edge in room.working.seen["wearables|w-wang"].edges] == [False]


@pytest.mark.parametrize(("kind", "told"), [(Kind.SMOKE, ["smoke raise"]), (Kind.SOS, ["sos raise"]), (Kind.LOW_BATTERY, []), (Kind.OFFLINE, [])])
def test_a_retained_state_seeds_but_a_danger_that_is_true_and_not_known_is_told_once(kind: Kind, told: list[str]) -> None:
    room = Room()
    assert tell(room, kind, late="replayed") == told
    for record in room.records:
        if record.kind is kind:
            event = msgspec.json.decode(record.facts, type=Event)
            assert event.detail["replayed"] is True
            assert event.late is None
    assert tell(room, kind, late="replayed") == []
    assert tell(room, kind) == []
    assert tell(room, kind, Phase.CLEAR) == [f"{kind.value} clear"]


def test_a_retained_state_that_changed_while_nobody_listened_is_news() -> None:
    room = Room()
    tell(room, Kind.TAMPER)
    assert tell(room, Kind.TAMPER, Phase.CLEAR, late="replayed") == ["tamper clear"]
    assert tell(room, Kind.TAMPER, late="replayed") == ["tamper raise"]
    assert tell(Room(), Kind.SMOKE, Phase.CLEAR, late="replayed") == []


def test_a_retained_state_is_never_repeated() -> None:
    room = Room()
    tell(room, edge_s=60.0)
    room.advance(minutes=5)
    assert tell(room, edge_s=60.0, late="replayed") == []


def test_other_history_changes_no_state() -> None:
    room = Room()
    tell(room)
    assert tell(room, late="queued") == []
    assert tell(room, phase=Phase.CLEAR, late="queued") == ["smoke clear"]  # how it was: noted, ends nothing
    assert Flag.ENDED not in room.only.flags
    assert tell(room) == []


def test_a_message_that_comes_twice_is_one_whatever_the_state() -> None:
    room = Room()
    tell(room, dedup="1")
    tell(room, phase=Phase.CLEAR, dedup="2")
    assert room.event(Kind.SMOKE, "w-wang", edge="smoke", dedup="1") == "duplicate"


def test_states_are_bounded_and_the_clear_ones_give_way_first() -> None:
    room = Room()
    tell(room, edge="burning")
    for number in range(EDGES_LIMIT + 5):
        tell(room, phase=Phase.CLEAR, edge=f"e{number}")
        room.advance(seconds=1)
    edges = room.working.seen["wearables|w-wang"].edges
    assert len(edges) == EDGES_LIMIT
    assert edges[0].name == "burning"
    assert tell(room, edge="burning") == []


def test_a_test_that_names_a_state_changes_none() -> None:
    room = Room()
    assert tell(room, phase=Phase.TEST) == ["smoke test"]
    assert tell(room) == ["smoke raise"]


tellings = st.lists(
    st.tuples(st.sampled_from(("a", "b")), st.booleans(), st.sampled_from(("", "", "lost", "restart")), st.integers(0, 40)), min_size=1, max_size=40
)


@settings(max_examples=300, deadline=None)
@given(tellings)
def test_news_comes_exactly_at_changes_however_commits_fail(told: list[tuple[str, bool, str, int]]) -> None:
    """lost: the batch cannot be written, and the same message comes again; restart: the working set is rebuilt from what was on disk."""
    room = Room()
    edge_s = timedelta(seconds=60)
    state: dict[str, bool] = {}
    news_at = {"a": room.now, "b": room.now}
    disk: dict[str, object] = {}
    for name, is_set, fate, passes in told:
        room.now += timedelta(seconds=passes)
        event = Event(
            kind=Kind.GAS,
            phase=Phase.RAISE if is_set else Phase.CLEAR,
            line="wearables",
            device="w-wang",
            received_at=room.now,
            occurred_at=room.now,
            edge=name,
            edge_s=60.0,
        )
        if fate == "lost":
            decide.on_event(Draft(room.working), event, room.now)
        elif fate == "restart":
            working = WorkingSet(room.working.register, room.working.policy)
            working.restore(room.working.open_incidents, (), room.working.known, disk.items())  # type: ignore[arg-type]
            working.next_number, working.opened, working.closed = room.working.next_number, room.working.opened, room.working.closed
            room.working = working
        draft = Draft(room.working)
        decide.on_event(draft, event, room.now)
        draft.settle()
        was = state.get(name)
        expected = []
        if is_set:
            expected = ["raise"] if not was else ["repeat"] if room.now - news_at[name] >= edge_s else []
        elif was:
            expected = ["clear"]
        assert [record.phase.value for record in draft.records if record.line == "wearables"] == expected
        assert bool(draft.changed) is bool(expected)
        disk |= {key: draft.seen[key] for key in draft.changed}  # only what the batch itself wrote: a kill loses the rest
        if expected:
            state[name], news_at[name] = is_set, room.now
