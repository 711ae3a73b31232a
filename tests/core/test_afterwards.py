"""What a device sends after its cry: its place, which the open incident follows, and cries out of its store, raised once if nobody heard them."""

from datetime import timedelta

import pytest

from gateway.core.incident import Flag
from gateway.event import Kind, Phase, Position, Severity
from tests.core.room import Room

HOME, PARK, ROAD = (36.3401, 102.8801), (36.3501, 102.8901), (36.3531, 102.8931)


@pytest.fixture
def room() -> Room:
    return Room()


def stored(room: Room, ago: timedelta, device: str = "w-wang", kind: Kind = Kind.SOS, **more: object) -> str:
    """A cry made some time ago arrives now."""
    return room.event(kind, device, late="backfill", occurred_at=room.now - ago, time_source="device", **more)


def at(place: tuple[float, float], room: Room, **more: object) -> Position:
    return Position(lat=place[0], lon=place[1], fixed_at=room.now, **more)  # type: ignore[arg-type]


class TestPlaces:
    def test_the_open_incident_follows_who_cried(self, room: Room) -> None:
        room.press("w-wang")
        for place in (PARK, ROAD):
            room.advance(seconds=30)
            room.event(Kind.LOCATION, "w-wang", position=at(place, room))
            assert room.only.position is not None
            assert (room.only.position.lat, room.only.position.lon) == place
        assert (room.only.cries, room.only.entries) == (1, 3)
        assert room.kinds(room.only.id).count("location") == 2

    def test_standing_still_writes_nothing(self, room: Room) -> None:
        room.press("w-wang", position=at(PARK, room))
        written = len(room.records)
        for step in range(10):
            room.advance(seconds=5)
            room.event(Kind.LOCATION, "w-wang", position=at((PARK[0] + step / 100_000, PARK[1]), room))
        assert len([record for record in room.records[written:] if record.kind is Kind.LOCATION]) == 0

    def test_a_fix_twice_as_exact_is_worth_it(self, room: Room) -> None:
        room.press("w-wang", position=at(PARK, room, accuracy_m=800))
        room.advance(seconds=20)
        room.event(Kind.LOCATION, "w-wang", position=at(PARK, room, accuracy_m=12))
        assert room.only.position is not None
        assert room.only.position.accuracy_m == 12

    def test_old_points_and_other_people_move_nobody(self, room: Room) -> None:
        room.press("w-wang", position=at(PARK, room))
        before = room.only.position
        room.advance(seconds=30)
        room.event(Kind.LOCATION, "w-wang", position=at(ROAD, room), late="backfill")
        room.event(Kind.LOCATION, "w-li", position=at(ROAD, room))
        assert room.only.position == before


class TestStoredCries:
    def test_nobody_heard_it_so_it_raises_once_marked_late(self, room: Room) -> None:
        assert stored(room, timedelta(minutes=20)) == "stored"
        assert Flag.LATE in room.only.flags
        assert room.only.severity == "critical"
        assert len(room.sent_to("station-7")) == 1
        stored(room, timedelta(minutes=19))  # the next point of the same batch, the bit still set
        assert (room.only.cries, room.only.entries) == (1, 2)
        assert len(room.sent_to("station-7")) == 1

    def test_hours_old_it_rings_the_desk_and_the_machine_orders_when_nobody_takes_it(self, room: Room) -> None:
        stored(room, timedelta(hours=5))
        assert room.orders == []
        room.advance(seconds=61)
        assert len(room.sent_to("station-7")) == 1

    def test_a_press_that_was_heard_is_not_told_again_out_of_the_store(self, room: Room) -> None:
        room.press("w-wang")
        room.do("acknowledge", room.only.id)
        room.do("resolve", room.only.id, outcome="helped")
        room.do("call_back", room.only.id)
        room.advance(minutes=60)
        stored(room, timedelta(minutes=60))
        stored(room, timedelta(minutes=55))
        assert list(room.working.open_incidents) == []

    def test_a_later_press_of_long_after_is_another_need(self, room: Room) -> None:
        room.press("w-wang")
        room.do("acknowledge", room.only.id)
        room.do("resolve", room.only.id, outcome="helped")
        room.do("call_back", room.only.id)
        room.advance(minutes=120)
        stored(room, timedelta(minutes=30))
        assert Flag.LATE in room.only.flags

    def test_an_open_incident_covers_it(self, room: Room) -> None:
        room.press("w-wang")
        stored(room, timedelta(minutes=30))
        assert room.only.cries == 1
        assert Flag.LATE not in room.only.flags

    def test_a_cry_heard_before_the_clock_was_set_back_covers_nothing(self, room: Room) -> None:
        room.press("w-wang")
        room.do("acknowledge", room.only.id)
        room.do("resolve", room.only.id, outcome="helped")
        room.do("call_back", room.only.id)
        room.now -= timedelta(hours=5)
        stored(room, timedelta(minutes=30))
        assert Flag.LATE in room.only.flags

    @pytest.mark.parametrize(
        ("kind", "more"),
        [(Kind.LOW_BATTERY, {}), (Kind.BED_EXIT, {}), (Kind.SOS, {"phase": Phase.CLEAR}), (Kind.SOS, {"time_source": "received"})],
        ids=["a battery", "no critical kind", "a clear", "a time that nobody can believe"],
    )
    def test_other_history_stays_history(self, room: Room, kind: Kind, more: dict[str, object]) -> None:
        fields = {"time_source": "device", **more}
        room.event(kind, "w-wang", late="backfill", occurred_at=room.now - timedelta(minutes=30), **fields)
        assert list(room.working.open_incidents) == []

    def test_a_broker_that_replays_is_no_store_of_a_device(self, room: Room) -> None:
        room.event(Kind.SOS, "w-wang", late="replayed", occurred_at=room.now - timedelta(minutes=30), time_source="device")
        assert list(room.working.open_incidents) == []


class TestSeverityOfTheUnknown:
    def test_a_code_that_nobody_knows_presses_nobody(self, room: Room) -> None:
        room.event(Kind.GENERAL, "w-wang", severity=Severity.WARNING)
        assert room.only.severity is Severity.WARNING
        room.advance(minutes=10)
        assert room.orders == []

    def test_it_lowers_nothing_else(self, room: Room) -> None:
        room.press("w-wang", severity=Severity.WARNING)
        assert room.only.severity is Severity.CRITICAL
