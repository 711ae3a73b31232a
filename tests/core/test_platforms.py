"""What platforms file, in the pure core: whatever they send is an event or a refusal with a word; one cry is one incident."""

import re
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import decide
from gateway.core.phone_hashes import PhoneHashes
from gateway.core.platforms import event_of, known_as, read_filing
from gateway.core.sources import SOURCES
from gateway.core.state import Draft
from gateway.errors import Refused
from gateway.event import ALARM_KINDS, Event, Kind
from tests.core.room import START, Room

WORD = re.compile(r"[a-z][a-z_]*")


def filed(room: Room, platform: str = "province", **record: Any) -> str:
    body = msgspec.json.encode(record)
    event = event_of(read_filing(body), body, platform, room.working.register, room.working.standings, lambda _: None, room.now)
    draft = Draft(room.working)
    verdict = decide.on_event(draft, event, room.now)
    room._settle(draft)
    return verdict


def test_two_platforms_and_a_wearable_tell_of_one_cry() -> None:
    room = Room()
    filed(room, "province", id="1", kind="fall", person={"register": "wang"})
    room.advance(seconds=20)
    room.press("w-wang")
    room.advance(seconds=20)
    filed(room, "city-app", id="1", kind="sos", person={"device": "w-wang"})
    assert room.only.externals == ("province:1", "city-app:1")
    assert (room.only.cries, room.only.person) == (3, "wang")
    sent = {(order["to"], order["delivery"]) for order in room.orders}
    assert len(sent) == len({to for to, _ in sent}), "an order is sent again under its id: nobody gets two"


def test_the_same_id_finds_its_incident_whatever_is_known_of_the_person() -> None:
    room = Room()
    filed(room, id="7", kind="sos", note="a neighbour heard her")
    assert (room.only.person, room.only.key) == (None, "platform:province:7")
    filed(room, id="7", kind="sos", note="third floor")
    assert (room.only.cries, room.only.entries) == (1, 2)
    filed(room, "other", id="7", kind="sos")
    assert len(list(room.working.open_incidents)) == 2, "an id counts only for the platform that gave it"


def test_a_worse_kind_under_the_same_id_sounds() -> None:
    room = Room()
    filed(room, id="7", kind="inactivity", person={"register": "wang"})
    room.do("acknowledge", room.only.id)
    filed(room, id="7", kind="fall", person={"register": "wang"})
    assert (room.only.kind, room.only.state, room.only.owner) == (Kind.FALL, "raised", None)


def test_a_closed_matter_that_is_told_of_again_is_a_new_one() -> None:
    room = Room()
    filed(room, id="7", kind="sos", person={"register": "wang"})
    name = room.only.id
    room.do("acknowledge", name)
    room.do("resolve", name, outcome="helped")
    room.do("call_back", name, satisfaction=5)
    assert filed(room, id="7", kind="sos", person={"register": "wang"}) == "duplicate"
    assert filed(room, id="7", kind="sos", person={"register": "wang"}, again=True) == "stored"
    assert room.only.id != name


def test_ids_and_sources_are_bounded() -> None:
    room = Room()
    filed(room, id="0", kind="sos", person={"register": "wang"})
    incident = room.only
    for number in range(100):
        incident = known_as(incident, "province", str(number), START)
    assert (len(incident.sources), len(incident.externals)) == (SOURCES, SOURCES)
    assert incident.externals[-1] == "province:99", "the newest are found"


def test_no_device_can_pretend_to_be_a_platform() -> None:
    room = Room()
    room.event(Kind.SOS, "w-wang", line="wearables", detail={"platform": "province", "external": "7"}, integrity="verified")
    assert room.only.externals == ()


def test_a_time_that_cannot_be_is_not_believed() -> None:
    room = Room()
    for minutes, source in ((-1, "device"), (4, "device"), (6, "received"), (-1500, "received")):
        body = msgspec.json.encode({"id": "7", "kind": "sos", "at": (START + timedelta(minutes=minutes)).isoformat()})
        event = event_of(read_filing(body), body, "province", room.working.register, {}, lambda _: None, START)
        assert event.time_source == source
        assert event.occurred_at <= START


def read(room: Room, body: bytes) -> Event | str:
    try:
        return event_of(read_filing(body), body, "province", room.working.register, {}, lambda _: None, room.now)
    except Refused as refused:
        return refused.reason


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["register", "device", "lat", "lon", "x"]), inner, max_size=3),
    max_leaves=6,
)
NAMES = ["id", "kind", "person", "at", "place", "area", "note", "severity", "again", "service", "wanted_at", "strange"]
records = st.dictionaries(st.sampled_from(NAMES), values, max_size=8)
likely = st.fixed_dictionaries(
    {"id": st.text(max_size=5) | st.just("7"), "kind": st.sampled_from([*ALARM_KINDS, Kind.SERVICE_REQUEST, Kind.NOTE])},
    optional={
        "person": st.fixed_dictionaries({}, optional={name: st.text(max_size=8) for name in ("register", "device", "phone", "phone_hmac", "line")}),
        "at": st.datetimes().map(lambda at: at.isoformat()) | st.just("9999-12-31T23:59:59+00:00") | st.just("0001-01-01T00:00:00+14:00"),
        "place": st.fixed_dictionaries({"lat": st.floats(-90, 90), "lon": st.floats(-180, 180)}, optional={"datum": st.sampled_from(["gcj02", "x"])}),
        "note": st.text(max_size=50),
        "wanted_at": st.just("9999-12-31T23:59:59-12:00") | st.text(max_size=10),
    },
)


@given(st.binary(max_size=60) | (records | likely).map(msgspec.json.encode))
def test_whatever_is_posted_is_an_event_or_a_refusal_with_a_word(body: bytes) -> None:
    room = Room()
    event = read(room, body)
    word = event if isinstance(event, str) else decide.on_event(Draft(room.working), event, room.now)
    assert WORD.fullmatch(word)


@pytest.mark.parametrize(
    "record", [{"id": "7\n"}, {"id": "7", "person": {"phone": "+8617400000001\n"}}, {"id": "7", "person": {"phone": "+٣٤٥٦٧٨٩٠"}}]
)
def test_a_line_feed_belongs_to_no_id_and_no_number(record: dict[str, Any]) -> None:
    assert read(Room(), msgspec.json.encode({"kind": "sos", **record})) == "bad_record"


@pytest.mark.parametrize("count", [0, 1, 2, 500])
def test_a_number_is_found_by_its_hmac_alone(count: int) -> None:
    import hashlib
    import hmac

    phones = [f"+8617400{number:06}" for number in range(count)]
    hashes = PhoneHashes(b"an invented secret", [*phones, *phones])
    for phone in phones:
        assert hashes.number_of(hmac.new(b"an invented secret", phone.encode(), hashlib.sha256).hexdigest()) == phone
    assert hashes.number_of("00" * 32) is None
    assert hashes.number_of("ff" * 32) is None
