"""Into which share of the persons something belongs, when several cores do the work (architecture, section 7).

A shard is a share of the streets with all who live there: so the stations of a street are nearly always asked by one shard alone, and know
what they carry. The numbers of incidents and of deliveries tell their shard: no table of them is needed anywhere. What nobody can place
(unknown devices and callers, our own lines) belongs to the shard CATCH_ALL.
"""

from binascii import crc32
from collections import OrderedDict
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from gateway.config import CallsConfig
from gateway.core.correlation import callers_of, device_of
from gateway.core.orders import ANSWERS
from gateway.core.register import AreaKind, Device, Person, Register
from gateway.core.state import FIRST_NUMBER, SHARD_DIGITS, number_of
from gateway.event import KINDS, Event, Group

CATCH_ALL = 0
DeviceKey = tuple[str | None, str]  # line, address
STREETS = frozenset((AreaKind.STREET, AreaKind.TOWN))
CALLS_KEPT = 100_000  # calls whose shard an edge remembers: an hour of a province's hotline


class Shards:
    """Where things belong, by one register. Not changed; made anew with a new register, but for the calls it remembers."""

    def __init__(self, register: Register, count: int, calls: CallsConfig, before: "Shards | None" = None) -> None:
        self.register = register
        self.call_rules = calls
        self.count = count
        self._by_area: dict[str | None, int] = {}
        self._homes: dict[str, int] | None = None
        self._calls: OrderedDict[tuple[str, object], int] = before._calls if before is not None else OrderedDict()

    def of_area(self, area: str | None) -> int:
        """By the street an area lies in, or by itself above the streets."""
        known = self._by_area.get(area)
        if known is None:
            above = self.register.areas_above(area)
            street = next((one for one in above if self.register.areas[one].kind in STREETS), above[0] if above else None)
            known = self._by_area[area] = CATCH_ALL if street is None else crc32(street.encode()) % self.count
        return known

    def of_person(self, person: Person | None) -> int:
        """By their home's area."""
        return self.of_area(person.area) if person is not None else CATCH_ALL

    def of_device(self, device: Device | None) -> int:
        """By its person, else its home's, else its own area."""
        if device is None:
            return CATCH_ALL
        person = self.register.persons.get(device.person or "")
        if person is not None:
            return self.of_person(person)
        if device.home:
            if self._homes is None:
                self._homes = {one.home: self.of_person(one) for one in self.register.persons.values() if one.home}
            if device.home in self._homes:
                return self._homes[device.home]
        return self.of_area(device.area)

    def of_incident(self, name: str) -> int:
        """By its number."""
        number = number_of(name)
        return (number - FIRST_NUMBER) % self.count if number else CATCH_ALL

    def of_delivery(self, delivery: object) -> int:
        """By its last digits; of what is no delivery id of ours, CATCH_ALL."""
        try:
            return int(str(delivery)[-SHARD_DIGITS:], 16) % self.count
        except ValueError:
            return CATCH_ALL

    def of_event(self, event: Event) -> int:
        """Who decides about it."""
        if self.count == 1:
            return CATCH_ALL
        group = KINDS[event.kind].group
        if event.kind in ANSWERS or (group is Group.PEOPLE and "delivery" in event.detail):
            return self.of_delivery(event.detail.get("delivery"))
        if group is Group.LINE:
            return CATCH_ALL
        if event.person is not None:
            return self.of_person(self.register.persons.get(event.person))
        if group is Group.TELEPHONE:
            return self._of_call(event)
        return self.of_device(device_of(self.register, event))

    def _of_call(self, event: Event) -> int:
        """All that is told of a call goes where its first step went."""
        key = event.line, event.detail.get("call")
        known = self._calls.get(key)
        if known is None:
            persons, devices = callers_of(self.register, self.call_rules, event)
            first = min(persons) if persons else None
            known = self.of_person(self.register.persons[first]) if first else self.of_device(devices[0] if devices else None)
            self._calls[key] = known
            while len(self._calls) > CALLS_KEPT:
                self._calls.popitem(last=False)
        return known

    def amended(self, register: Register, persons: Iterable[str]) -> "Shards":
        """By a register in which only these persons are otherwise, and devices: areas are where they were."""
        new = Shards(register, self.count, self.call_rules, self)
        new._by_area = self._by_area
        homes = ((self.register.persons.get(name), register.persons.get(name)) for name in persons)
        if all(was is not None and now_is is not None and (was.home, was.area) == (now_is.home, now_is.area) for was, now_is in homes):
            new._homes = self._homes
        return new

    def touched(self, before: "Shards", persons: Iterable[str], devices: Iterable[DeviceKey]) -> list[DeviceKey]:
        """These devices, and those that go where these persons go. Takes a look at all devices if one has moved: in a thread."""
        moved, homes = set(), set()
        for name in persons:
            was, now_is = before.register.persons.get(name), self.register.persons.get(name)
            if (was and (was.home, before.of_person(was))) != (now_is and (now_is.home, self.of_person(now_is))):
                moved.add(name)
                homes |= {one.home for one in (was, now_is) if one is not None and one.home}
        theirs = ((one.line, one.id) for one in self.register.devices if one.person in moved or one.home in homes) if moved else ()
        return list(dict.fromkeys((*devices, *theirs)))

    def part_amended(
        self, number: int, part: Register, persons: Iterable[str], devices: Iterable[DeviceKey]
    ) -> tuple[Register, list[str], list[DeviceKey]]:
        """The part of a shard as it is to be now, and what of it is otherwise. part: as it was; devices: `touched`."""
        theirs: dict[str, Person | None] = {}
        for name in persons:
            person = self.register.persons.get(name)
            owner = self.of_person(person)
            if person is not None and number not in (owner, CATCH_ALL):
                person = None
            elif person is not None and person.watch and owner != number:
                person = replace(person, watch="")
            if person != part.persons.get(name):
                theirs[name] = person
        on: dict[DeviceKey, Device | None] = {}
        for key in devices:
            device = self.register.device_of(*key)
            device = device if device is not None and self.of_device(device) == number else None
            if device != part.device_of(*key):
                on[key] = device
        return part.amended(theirs, on, self.register.version), list(theirs), list(on)

    def part(self, number: int) -> Register:
        """The register of one shard: its own persons and devices, and every area and responder.

        The shard of unknown callers knows everybody, as whoever has rung may turn out to be anybody; it expects signs of life of its own only.
        """
        if self.count == 1:
            return self.register
        known = self.register.persons.items()
        persons = {name: person for name, person in known if number == CATCH_ALL or self.of_person(person) == number}
        for name, person in persons.items():
            if person.watch and self.of_person(person) != number:
                persons[name] = replace(person, watch="")
        return self.register.only(persons, [device for device in self.register.devices if self.of_device(device) == number])


def spread(shards: Shards) -> Mapping[int, int]:
    """How many persons each shard has."""
    counts = dict.fromkeys(range(shards.count), 0)
    for person in shards.register.persons.values():
        counts[shards.of_person(person)] += 1
    return counts
