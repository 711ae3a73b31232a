"""An elder far from home (scenario 6), and one matter that reaches us by several ways (scenario 4)."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gateway.config import CallsConfig, HotlineConfig
from gateway.core.hand_over import event_of
from gateway.core.incident import Action, Incident, State
from gateway.core.register import Area, AreaKind, Device, Person, Register, Responder, ResponderKind
from gateway.core.visiting import whereabouts
from gateway.event import Kind, Position
from tests.core.room import Room

# Two invented districts of one city, 60 km apart; east has polygons in one of the tests.
AREAS = [
    Area(id="city", name="City", kind=AreaKind.CITY),
    Area(id="west", name="West", kind=AreaKind.DISTRICT, parent="city", lat=36.0, lon=103.0),
    Area(id="west-1", name="West one", kind=AreaKind.COMMUNITY, parent="west", lat=36.0, lon=103.0),
    Area(id="east", name="East", kind=AreaKind.DISTRICT, parent="city", lat=36.0, lon=103.7),
    Area(id="east-1", name="East one", kind=AreaKind.COMMUNITY, parent="east", lat=36.0, lon=103.7),
]
RESPONDERS = [
    Responder(id="station-west", name="SW", kind=ResponderKind.STATION, parent="centre-west", areas=("west-1",), lat=36.001, lon=103.001, capacity=9),
    Responder(id="station-east", name="SE", kind=ResponderKind.STATION, parent="centre-east", areas=("east-1",), lat=36.001, lon=103.701, capacity=9),
    Responder(
        id="centre-west", name="CW", kind=ResponderKind.DISTRICT_CENTRE, parent="desk", areas=("west",), lat=36.0, lon=103.0, channel="webhook"
    ),
    Responder(id="centre-east", name="CE", kind=ResponderKind.DISTRICT_CENTRE, parent="desk", areas=("east",), lat=36.0, lon=103.7),
    Responder(id="desk", name="Desk", kind=ResponderKind.DESK, channel="console", capacity=1_000_000),
]
ZHOU = Person(id="zhou", name="Invented Zhou", area="west-1", address="Invented Road 5", lat=36.0, lon=103.0, phones=("+8617400000301",))
DEVICES = [Device(id="w-zhou", person="zhou"), Device(id="button-zhou", person="zhou", lat=36.0, lon=103.0)]
AT_HOME, IN_TOWN, IN_EAST, FAR_AWAY = (36.0001, 103.0001), (36.05, 103.02), (36.0, 103.69), (18.25, 109.5)
SQUARE_EAST = {"east": ((((35.9, 103.6), (35.9, 103.8), (36.1, 103.8), (36.1, 103.6), (35.9, 103.6)),),)}
SQUARE_WEST = {"west": ((((35.9, 102.9), (35.9, 103.1), (36.1, 103.1), (36.1, 102.9), (35.9, 102.9)),),)}


def register_with(polygons: dict[str, Any] | None = None) -> Register:
    return Register(district="city", persons=[ZHOU], devices=DEVICES, responders=RESPONDERS, areas=AREAS, version="two", polygons=polygons)


@pytest.fixture
def room() -> Room:
    return Room(register=register_with())


def fix(room: Room, place: tuple[float, float], **more: Any) -> Position:
    return Position(lat=place[0], lon=place[1], source="gnss", accuracy_m=10, **{"fixed_at": room.now, **more})


def districts_told(incident: Incident) -> list[str]:
    return [f"{one.to} {one.moment} {one.channel}" for one in incident.notices]


# --- the visiting elder ------------------------------------------------------------------------------------------------------


def test_help_goes_by_where_she_is_and_the_home_district_is_told(room: Room) -> None:
    """A supervisor sees: the station of the east was sent, the west was told, one record under the one name."""
    room.press("w-zhou", position=fix(room, IN_EAST))
    assert (room.only.person, room.only.key) == ("zhou", "person:zhou")
    assert (room.only.area, room.only.visiting) == ("east-1", "west-1")
    assert room.orders[0]["to"] == "station-east"
    assert districts_told(room.only) == ["district:west-1 alarm webhook"]
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.do(Action.RESOLVE, room.only.id, outcome="helped")
    assert [one.moment for one in room.only.notices] == ["alarm", "over"]


def test_silence_of_the_station_there_climbs_the_tree_there(room: Room) -> None:
    room.press("w-zhou", position=fix(room, IN_EAST))
    room.advance(seconds=61)
    assert room.orders[-1]["to"] == "centre-east"


@pytest.mark.parametrize("place", [AT_HOME, IN_TOWN])
def test_a_walk_in_town_is_no_visit(room: Room, place: tuple[float, float]) -> None:
    room.press("w-zhou", position=fix(room, place))
    assert (room.only.area, room.only.visiting, room.only.notices) == ("west-1", "", ())
    assert room.orders[0]["to"] == "station-west"


def test_far_from_everything_that_we_know_is_elsewhere_all_the_same(room: Room) -> None:
    room.press("w-zhou", position=fix(room, FAR_AWAY))
    assert (room.only.area, room.only.visiting) == ("west-1", "west-1")
    assert districts_told(room.only) == ["district:west-1 alarm webhook"]
    assert "beyond_circle" in room.only.flags


def test_a_second_cry_finds_her_at_home_again(room: Room) -> None:
    room.press("w-zhou", position=fix(room, IN_EAST))
    room.advance(seconds=5)
    room.press("w-zhou", position=fix(room, AT_HOME))
    assert (room.only.area, room.only.visiting) == ("west-1", "")


def test_a_position_that_follows_the_cry_says_that_she_is_away(room: Room) -> None:
    room.press("w-zhou")
    assert room.only.visiting == ""
    room.event(Kind.LOCATION, "w-zhou", position=fix(room, IN_EAST))
    assert (room.only.area, room.only.visiting) == ("east-1", "west-1")


def test_a_cry_without_a_fix_is_where_the_watch_was_yesterday_if_that_was_another_district(room: Room) -> None:
    room.event(Kind.LOCATION, "w-zhou", position=fix(room, IN_EAST))
    room.advance(minutes=20 * 60)
    room.press("w-zhou")
    assert room.only.visiting == "west-1"
    assert room.orders[0]["to"] == "station-east"


def test_an_old_fix_in_town_does_not_send_anybody_away_from_the_home(room: Room) -> None:
    room.event(Kind.LOCATION, "w-zhou", position=fix(room, IN_TOWN))
    room.advance(minutes=60)
    room.press("w-zhou")
    assert room.only.position is not None
    assert room.only.position.source == "home"


def test_a_button_on_the_wall_is_at_home_wherever_the_watch_is(room: Room) -> None:
    room.event(Kind.LOCATION, "w-zhou", position=fix(room, IN_EAST))
    room.advance(minutes=20)
    room.press("button-zhou")
    assert room.only.visiting == ""
    assert room.orders[0]["to"] == "station-west"


@pytest.mark.parametrize(
    ("polygons", "place", "expected"),
    [
        (SQUARE_EAST, IN_EAST, "east"),
        (SQUARE_EAST, (36.0, 103.5), "east-1"),  # in no polygon: by the nearest middle
        (SQUARE_WEST, (36.09, 103.09), None),  # 13 km from home and within its border
        (SQUARE_EAST | SQUARE_WEST, (36.0, 103.61), "east"),
        (None, FAR_AWAY, ""),
        (None, IN_EAST, "east-1"),
        (None, (36.0, 103.2), None),  # 18 km
        (None, (36.0, 103.3), ""),  # 27 km from home, and from any place that we know
    ],
)
def test_by_border_or_by_distance(polygons: dict[str, Any] | None, place: tuple[float, float], expected: str | None) -> None:
    position = Position(lat=place[0], lon=place[1], source="gnss")
    assert whereabouts(register_with(polygons), ZHOU, position, 20.0) == expected


@pytest.mark.parametrize("source", ["home", "device", "area"])
def test_what_only_stands_in_the_register_is_no_fix(source: str) -> None:
    assert whereabouts(register_with(), ZHOU, Position(lat=36.0, lon=103.7, source=source), 20.0) is None


def test_a_duress_far_away_tells_nobody(room: Room) -> None:
    room.event(Kind.DURESS, "w-zhou", position=fix(room, IN_EAST))
    assert room.only.visiting == "west-1"
    assert room.only.notices == ()


# --- three numbers, one elder --------------------------------------------------------------------------------------------------

TWELVE_345 = HotlineConfig(number="12345", hand_over="https://neighbour.example/api/v1/hand-overs", secret_file="neighbour.secret")


def receive(room: Room, caller: str = "", **component: Any) -> None:
    """12345 hands the neighbour's words over."""
    record = {
        "eidoMessageIdentifier": f"m-{room.now.timestamp()}",
        "lastUpdateTimeStamp": room.now,
        "incidentComponent": {"incidentTrackingIdentifier": "urn:emergency:uid:1", "incidentTypeInternalText": "fall", "internalIncidentId": "WO-7"},
        "callComponent": [{"calledNumber": "12345", "callerNumber": caller}],
        **component,
    }
    event = event_of(msgspec.json.encode(record), "12345", room.now)
    fields = {name: getattr(event, name) for name in ("dedup", "integrity", "detail", "raw")}
    room.event(Kind.HAND_OVER, "12345", line="hand_overs", phase=event.phase, **fields)


def ways(incident: Incident) -> list[str]:
    return [f"{one.way} {one.of}" for one in incident.sources]


@pytest.mark.parametrize("words", ["name and address", "an operator identifies"])
def test_three_numbers_one_elder(words: str) -> None:
    """A supervisor sees one incident with three sources: the watch, 12345 and 12349, within a minute and a half."""
    room = Room(hotlines=(TWELVE_345,), calls=CallsConfig(hotlines=("12349", "12345")), register=register_with())
    began = room.now
    room.event(Kind.FALL, "w-zhou")
    room.advance(seconds=40)
    who = {"personComponent": [{"name": ZHOU.name, "address": ZHOU.address}]} if words == "name and address" else {}
    receive(room, "+8617400000399", **who)
    if words == "an operator identifies":
        filed = max(room.working.open_incidents, key=lambda one: one.id)
        assert filed.person is None
        room.do(Action.IDENTIFY, filed.id, person="zhou")
        assert room.working.incidents[filed.id].state is State.CLOSED
    room.advance(seconds=40)
    room.call(Kind.CALL_OFFERED, "+8617400000301", "c9", hotline="12349")
    room.call(Kind.CALL_ANSWERED, "+8617400000301", "c9", hotline="12349")
    assert room.now - began <= timedelta(seconds=90)
    assert ways(room.only) == ["device wearables", "hand_over 12345", "call 12349"]
    assert room.only.tracking == "urn:emergency:uid:1", "so that 12345 finds it under its own number"


def test_a_neighbours_call_on_12345_is_a_source_once_the_operator_says_about_whom(room: Room) -> None:
    room.event(Kind.FALL, "w-zhou")
    room.call(Kind.CALL_ANSWERED, "+8617400000399", "c1", hotline="12345")
    call = max(room.working.open_incidents, key=lambda one: one.id)
    room.do(Action.IDENTIFY, call.id, person="zhou")
    assert ways(room.only) == ["device wearables", "call 12345"]


def test_a_report_for_which_somebody_is_on_the_way_already_stands_by_itself(room: Room) -> None:
    room.event(Kind.FALL, "w-zhou")
    receive(room, "+8617400000399")
    filed = max(room.working.open_incidents, key=lambda one: one.id)
    (order,) = filed.legs
    room.answer(order.responder, "accept", order.delivery)
    room.do(Action.IDENTIFY, filed.id, person="zhou")
    assert len(list(room.working.open_incidents)) == 2, "who comes is not sent home by a name"


def test_redialling_is_no_further_source_and_another_watch_is(room: Room) -> None:
    room.press("w-zhou")
    room.press("w-zhou")
    for key in ("c1", "c2", "c3"):
        room.call(Kind.CALL_ANSWERED, "+8617400000301", key, hotline="12349")
    room.press("button-zhou")
    assert ways(room.only) == ["device wearables", "call 12349", "device wearables"]
    assert [one.ref for one in room.only.sources] == ["w-zhou", "c1", "button-zhou"]


def test_a_name_that_two_of_those_who_cry_share_is_nobody() -> None:
    twin = msgspec.structs.replace(ZHOU, id="zhou-2", phones=())
    devices = [*DEVICES, Device(id="w-twin", person="zhou-2")]
    register = Register(district="city", persons=[ZHOU, twin], devices=devices, responders=RESPONDERS, areas=AREAS, version="twins")
    room = Room(hotlines=(TWELVE_345,), register=register)
    room.event(Kind.FALL, "w-zhou")
    room.event(Kind.FALL, "w-twin")
    receive(room, personComponent=[{"name": ZHOU.name, "address": ZHOU.address}])
    assert len(list(room.working.open_incidents)) == 3, "a person must look"
