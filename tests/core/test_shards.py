"""Whose matter is whose: shards follow the streets, numbers tell their shard, and no event of a person goes anywhere else."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from gateway.config import CallsConfig
from gateway.core.register import Area, AreaKind, Device, Person, Register
from gateway.core.shards import CATCH_ALL, Shards, spread
from gateway.core.state import FIRST_NUMBER, Shard
from gateway.event import Event, Kind, Phase
from tests.core.room import Room

NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)
STREETS = 40


def register() -> Register:
    areas = [Area(id="d", name="d", kind=AreaKind.DISTRICT)]
    areas += [Area(id=f"s{n}", name="s", kind=AreaKind.STREET, parent="d") for n in range(STREETS)]
    areas += [Area(id=f"c{n}", name="c", kind=AreaKind.COMMUNITY, parent=f"s{n}") for n in range(STREETS)]
    persons = [Person(id=f"p{n}", name="某人", area=f"{'cs'[n % 2]}{n % STREETS}", home=f"h{n}", phones=(f"+861740000{n:04}",)) for n in range(200)]
    devices = [Device(id=f"w{n}", line="wearables", person=f"p{n}") for n in range(200)]
    devices += [Device(id="hall", line="wearables", home="h7"), Device(id="gate", line="wearables", area="c9"), Device(id="lost", line="wearables")]
    devices += [Device(id="1234:05", line="panel", person="p11")]
    return Register(areas=areas, persons=persons, devices=devices)


def event(kind: Kind = Kind.SOS, device: str | None = None, line: str = "wearables", **more: object) -> Event:
    return Event(kind=kind, line=line, device=device, received_at=NOW, occurred_at=NOW, **more)  # type: ignore[arg-type]


def test_all_who_live_in_a_street_share_a_shard_and_the_streets_spread() -> None:
    shards = Shards(register(), 8, CallsConfig())
    assert {shards.of_area(f"c{n}") == shards.of_area(f"s{n}") for n in range(STREETS)} == {True}
    counts = spread(shards)
    assert sum(counts.values()) == 200
    assert len([count for count in counts.values() if count]) >= 6


def test_devices_go_where_their_people_are() -> None:
    found = register()
    shards = Shards(found, 8, CallsConfig())
    for n in range(200):
        assert shards.of_event(event(device=f"w{n}")) == shards.of_person(found.persons[f"p{n}"])
    assert shards.of_event(event(device="hall")) == shards.of_person(found.persons["p7"])
    assert shards.of_event(event(device="gate")) == shards.of_area("s9")
    assert shards.of_event(event(device="1234", line="panel", detail={"zone": "05"})) == shards.of_person(found.persons["p11"])
    assert shards.of_event(event(device="nobody")) == shards.of_event(event(device="lost")) == CATCH_ALL
    assert shards.of_event(event(kind=Kind.LINE_LOST)) == CATCH_ALL


def test_all_steps_of_a_call_go_to_one_shard() -> None:
    found = register()
    shards = Shards(found, 8, CallsConfig())
    first = shards.of_event(event(kind=Kind.CALL_OFFERED, line="pbx", detail={"call": "a", "caller_e164": "+8617400000013"}))
    assert first == shards.of_person(found.persons["p13"])
    assert shards.of_event(event(kind=Kind.CALL_ENDED, line="pbx", detail={"call": "a"})) == first
    again = Shards(register(), 8, CallsConfig(), shards)  # the register is read again in the middle of it
    assert again.of_event(event(kind=Kind.CALL_ENDED, line="pbx", detail={"call": "a"})) == first


def test_the_parts_are_the_whole_and_nothing_is_in_two() -> None:
    found = register()
    shards = Shards(found, 8, CallsConfig())
    parts = [shards.part(number) for number in range(8)]
    mine = [[name for name, person in part.persons.items() if shards.of_person(person) == number] for number, part in enumerate(parts)]
    assert sorted(name for names in mine for name in names) == sorted(found.persons)
    assert sorted(one.id for part in parts for one in part.devices) == sorted(one.id for one in found.devices)
    for number, part in enumerate(parts):
        assert list(part.persons) == (list(found.persons) if number == CATCH_ALL else mine[number])
        for person in part.persons.values():
            assert part.persons_with_phone(person.phones[0]) == (person,)
        assert part.areas == found.areas


def test_an_unknown_caller_may_be_anybody_and_is_watched_over_at_home_only() -> None:
    persons = [Person(id=f"p{n}", name="某人", area=f"s{n % STREETS}", watch="daily") for n in range(80)]
    shards = Shards(Register(areas=[Area(id=f"s{n}", name="s", kind=AreaKind.STREET) for n in range(STREETS)], persons=persons), 8, CallsConfig())
    assert {person.id for person in shards.part(CATCH_ALL).persons.values()} == {person.id for person in persons}
    watched = sorted(person.id for number in range(8) for person in shards.part(number).persons.values() if person.watch)
    assert watched == sorted(person.id for person in persons)


@given(st.integers(1, 256), st.data())
def test_numbers_and_deliveries_tell_their_shard(count: int, data: st.DataObject) -> None:
    shards = Shards(Register(), count, CallsConfig())
    shard = Shard(data.draw(st.integers(0, count - 1)), count)
    least = data.draw(st.integers(FIRST_NUMBER, FIRST_NUMBER + 10_000))
    number = shard.next_number(least)
    assert least <= number < least + count
    assert shards.of_incident(f"I{number}") == shard.number
    assert shards.of_incident(f"I{number + 3 * count}") == shard.number
    assert shards.of_delivery(shard.new_delivery()) == shard.number
    answer = event(kind=Kind.ACCEPT, phase=Phase.STATE, line="replies", device="station-1", detail={"delivery": shard.new_delivery()})
    assert shards.of_event(answer) == shard.number


def test_what_is_no_delivery_of_ours_goes_to_the_catch_all() -> None:
    shards = Shards(Register(), 8, CallsConfig())
    for odd in ("", "zz", None, 7.5, "ü"):
        assert shards.of_delivery(odd) in range(8)
    assert shards.of_delivery("not-hex!") == CATCH_ALL
    assert shards.of_incident("nonsense") == CATCH_ALL


def test_alone_everything_is_ours() -> None:
    found = register()
    shards = Shards(found, 1, CallsConfig())
    assert shards.part(0) is found
    assert shards.of_event(event(device="w3")) == 0
    assert len({Shard().new_delivery() for _ in range(100)}) == 100


def test_an_order_that_is_made_again_has_the_id_it_had() -> None:
    """The bus read again from an earlier place: the station folds the order, and its answer finds it."""
    shard = Shard(3, 8)
    made = shard.new_delivery("I100004", 1, "person:p", 17, "station-1")
    assert made == shard.new_delivery("I100004", 1, "person:p", 17, "station-1")
    others = [("I100012", 1, "person:p", 17, "station-1"), ("I100004", 2, "person:p", 17, "station-1"), ("I100004", 1, "person:p", 17, "station-2")]
    assert len({made, *(shard.new_delivery(*one) for one in others)}) == 4
    assert len(made) == 32
    assert int(made[-2:], 16) == 3
    assert Shards(Register(), 8, CallsConfig()).of_delivery(made) == 3


def of_a_shard() -> Room:
    room = Room()
    room.working.shard = Shard(3, 8)
    return room


def given_again(room: Room) -> tuple[str, str]:
    """(the machine's order, the one that an operator gave in its place); the operator has withdrawn both."""
    room.press("w-wang", dedup="1", detail={"ts": 17})
    incident = room.only.id
    (machine,) = room.only.legs
    room.do("withdraw", incident, delivery=machine.delivery)
    given = room.do("dispatch", incident, responder="station-8").legs[-1]
    room.do("withdraw", incident, delivery=given.delivery)
    return machine.delivery, given.delivery


def test_every_order_of_an_incident_has_an_id_of_its_own() -> None:
    """To the same responder again after a withdrawal, a decline, the whole tree in vain, and when it was opened again."""
    room = of_a_shard()
    given_again(room)
    incident = room.only.id
    for _ in range(2):
        room.do("dispatch", incident, responder="station-8")
        room.answer("station-8", "decline")
    room.press("w-wang", dedup="2", detail={"ts": 17})  # a second cry, at the same moment as its device has it
    room.advance(minutes=30)
    room.do("acknowledge", incident)
    room.do("resolve", incident, outcome="helped")
    room.do("complain", incident, note="nobody came")
    room.do("escalate", incident)
    room.press("w-wang", dedup="3", detail={"ts": 17})
    legs = [leg for one in room.working.incidents.values() for leg in one.legs]
    assert len(legs) >= 8
    assert len({leg.delivery for leg in legs}) == len(legs)


def test_what_a_person_orders_after_a_restore_is_no_order_of_before() -> None:
    """Operators' commands are not on the bus: who orders anew is heard, though the station knows an order of the same moment as withdrawn."""
    before, after = given_again(of_a_shard()), given_again(of_a_shard())
    assert before[0] == after[0]
    assert before[1] != after[1]
