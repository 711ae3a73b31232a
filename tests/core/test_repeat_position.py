"""A device that repeats its cry says where it is now: the open incident follows, without sounding again."""

from datetime import timedelta

import pytest

from gateway.event import Kind, Phase, Position
from tests.core.room import Room

HERE = {"lat": 36.3701, "lon": 102.9201}
THERE = {"lat": 36.3702, "lon": 102.9202}


@pytest.fixture
def room() -> Room:
    return Room()


def repeat(room: Room, **position: object) -> None:
    room.advance(seconds=20)
    where = Position(fixed_at=room.now, **position) if position else None  # type: ignore[arg-type]
    room.press("w-wang", phase=Phase.REPEAT, position=where)


def test_home_then_a_fix_then_a_newer_one(room: Room) -> None:
    room.press("w-wang")
    assert room.only.position is not None
    assert room.only.position.source == "home"
    for place in (HERE, THERE):
        repeat(room, **place)
        assert room.only.position is not None
        assert (room.only.position.lat, room.only.position.lon) == (place["lat"], place["lon"])
    assert (room.only.cries, room.only.entries) == (1, 3)


def test_a_repeat_without_a_fix_forgets_nothing(room: Room) -> None:
    room.press("w-wang", position=Position(fixed_at=room.now, **HERE))
    repeat(room)
    assert room.only.position is not None
    assert room.only.position.lat == HERE["lat"]


def test_an_older_fix_and_for_five_minutes_a_vague_one_change_nothing(room: Room) -> None:
    room.press("w-wang", position=Position(fixed_at=room.now, accuracy_m=10, **HERE))
    first = room.only.position
    room.press("w-wang", phase=Phase.REPEAT, position=Position(fixed_at=room.now - timedelta(seconds=5), accuracy_m=10, **THERE))
    repeat(room, accuracy_m=2000.0, **THERE)
    assert room.only.position == first
    room.advance(minutes=5)
    repeat(room, accuracy_m=2000.0, **THERE)
    assert room.only.position is not None
    assert room.only.position.lat == THERE["lat"]


def test_what_is_no_repeat_of_an_alarm_moves_nobody(room: Room) -> None:
    room.press("w-wang", position=Position(fixed_at=room.now, **HERE))
    room.advance(seconds=20)
    room.press("w-wang", phase=Phase.CLEAR, position=Position(fixed_at=room.now, **THERE))
    room.event(Kind.SOS, "w-wang", late="backfill", position=Position(fixed_at=room.now, **THERE))
    assert room.only.position is not None
    assert room.only.position.lat == HERE["lat"]
