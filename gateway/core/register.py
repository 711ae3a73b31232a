"""The register: who may call for help, with what, from where, and who can be sent. Frozen; swapped whole on reload.

Read model of the district (domain 4.1): the alarm path never asks a remote database. `version` names the data a
decision was made with.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from datetime import date
from enum import StrEnum
from typing import Any

import msgspec

from gateway.core.territory import AidAgreement, DayKind, Loan, Provider, Shift

# Rings of (latitude, longitude) in WGS-84, each closed; the first of a polygon is its border, the others are holes (RFC 7946, 3.1.6).
Ring = tuple[tuple[float, float], ...]
Polygons = tuple[tuple[Ring, ...], ...]

# gc=False below: frozen data of strings, numbers and tuples cannot form a cycle, and the collector has 300,000 objects fewer to walk.


class ResponderKind(StrEnum):
    """Who can be sent. `desk` is the console itself: always there, first to see and last to be asked."""

    STATION = "station"
    STREET_CENTRE = "street_centre"
    DISTRICT_CENTRE = "district_centre"
    CITY_CENTRE = "city_centre"
    CARE_CENTRE = "care_centre"
    HOSPITAL = "hospital"
    HEALTH_CENTRE = "health_centre"
    PROVIDER = "provider"
    HEALTH_STATION = "health_station"
    DOCTOR = "doctor"
    NEIGHBOUR = "neighbour"
    PROPERTY = "property"
    EMERGENCY = "emergency"
    DESK = "desk"


class Ability(StrEnum):
    """自理, 半失能, 失能 (domain 4.4). A person has exactly one."""

    SELF_CARING = "self_caring"
    SEMI_DISABLED = "semi_disabled"
    DISABLED = "disabled"


class Category(StrEnum):
    """Social categories (domain 4.4); any number each. `three_nos` is 三无, `five_guarantees` 五保, `minimum_living` 低保."""

    GENERAL = "general"
    THREE_NOS = "three_nos"
    FIVE_GUARANTEES = "five_guarantees"
    MINIMUM_LIVING = "minimum_living"
    FAMILY_PLANNING = "family_planning"
    LOW_INCOME = "low_income"


class Risk(StrEnum):
    """Risk tags (domain 4.7). They may raise an incident's severity; nothing lowers an emergency."""

    ADVANCED_AGE = "advanced_age"
    LIVING_ALONE = "living_alone"
    EMPTY_NEST = "empty_nest"
    NO_KIN = "no_kin"


class AreaKind(StrEnum):
    CITY = "city"
    DISTRICT = "district"
    STREET = "street"
    TOWN = "town"
    COMMUNITY = "community"
    VILLAGE = "village"
    GRID = "grid"


class Area(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A node of the tree of places. lat, lon: the middle of where people live, WGS-84 degrees.

    elder_share: part (0 to 1) of the registered population aged 60 and more; from it the staff of a street follows (domain 2.13).
    """

    id: str
    name: str
    kind: AreaKind
    parent: str | None = None
    lat: float | None = None
    lon: float | None = None
    elder_share: float | None = None


class Contact(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Somebody to ring about a person; first in the list is rung first.

    tell: moments at which they are told by themselves: alarm, coming, over; only with consent_on, the day on which that was agreed
    channel, address: by which way; "" = sms to the phone
    """

    name: str
    relation: str = ""
    phone: str = ""
    tell: tuple[str, ...] = ()
    channel: str = ""
    address: str = ""
    consent_on: str = ""


class Assessment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """By whom and when a person's ability was assessed, and until when that counts (domain 4.13); None: no end."""

    assessor: str
    on: date
    until: date | None = None


class Person(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An elder. `phones` in E.164; `home` names the dwelling (two people of one home share it); lat, lon of the home, WGS-84.

    confirmed_on, confirmed_by: the day on which somebody last checked all of this, and who (domain 4.2); "" = not known.
    assessed: where `ability` comes from, if a third party gave it.
    watch: the [[watch]] that looks after them; "" for none.
    doctor, hospital: responders: the signed family doctor, and the hospital of the green channel (domain 4.10, 4.11).
    language: spoken, as a skill word (e.g. "tibetan"); entitled: services are bought by the government (domain 4.14), never asked before an alarm.
    blood, medicines, allergies, conditions: the short health summary, for the medical leg alone (domain 4.12); health_note is free text.
    """

    id: str
    name: str
    born: int | None = None
    area: str | None = None
    home: str | None = None
    address: str = ""
    lat: float | None = None
    lon: float | None = None
    phones: tuple[str, ...] = ()
    ability: Ability = Ability.SELF_CARING
    categories: tuple[Category, ...] = ()
    risks: tuple[Risk, ...] = ()
    contacts: tuple[Contact, ...] = ()
    health_note: str = ""
    confirmed_on: str = ""
    confirmed_by: str = ""
    assessed: Assessment | None = None
    watch: str = ""
    doctor: str = ""
    hospital: str = ""
    language: str = ""
    entitled: bool = False
    conditions: str = ""
    medicines: str = ""
    allergies: str = ""
    blood: str = ""


class Device(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One addressed thing that can call for help. `id` is the address as the protocol has it; `line` None = on any line.

    phone: the number (E.164) it calls from when it opens a voice call; "" for none.
    device_class: the [[device_class]] by which it is supervised; "" = that of its line. via: id of the device (street gateway, hub, bridge)
    through which it speaks; "" = it speaks itself.
    A zone of a panel is a device of its own, `ACCOUNT:ZONE`; without one the panel's account stands for it.
    """

    id: str
    line: str | None = None
    person: str | None = None
    home: str | None = None
    area: str | None = None
    place: str = ""
    lat: float | None = None
    lon: float | None = None
    model: str = ""
    phone: str = ""
    device_class: str = ""
    via: str = ""


class Responder(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who can be sent. `hours` is local time HH:MM-HH:MM (past midnight allowed), "" = always on duty.

    channel: mqtt (stations/<id>/dispatch), webhook (address = URL), phone (rung at address, or else phone), sip (address = sip:…, which
    gets a text), console (an operator tells them). capacity: open orders at one time.
    parent: whom to ask when this one does not answer; areas: those it serves ("" empty = no limit).
    mode: foot, bicycle, car or "" (then speed_kmh counts at every hour); beds: of an institution, from which its medical capability follows
    (domain 2.17); elders: with purchased services, from which its least staff follows (2.13, 2.14); label: what the place calls this kind.
    """

    id: str
    name: str
    kind: ResponderKind
    parent: str | None = None
    areas: tuple[str, ...] = ()
    lat: float | None = None
    lon: float | None = None
    skills: tuple[str, ...] = ()
    hours: str = ""
    capacity: int = 1
    channel: str = "mqtt"
    address: str = ""
    phone: str = ""
    speed_kmh: float = 15.0
    mode: str = ""
    beds: int | None = None
    elders: int | None = None
    label: str = ""


class Doubt(msgspec.Struct, frozen=True):
    """Something in the data that does not keep it from being used and that somebody should look at. Ids only, never personal data.

    what: a word of `gateway.check_words.DOUBTS`; of: the channel or the line concerned, "" for none.
    """

    what: str
    file: str
    ids: tuple[str, ...]
    of: str = ""


class Register:
    """All of it, with the look-ups that the path needs. Build once, never change."""

    def __init__(
        self,
        *,
        district: str = "",
        name: str = "",
        persons: Iterable[Person] = (),
        devices: Iterable[Device] = (),
        responders: Iterable[Responder] = (),
        areas: Iterable[Area] = (),
        version: str = "",
        names: Mapping[str, str] | None = None,
        area_code: str = "",
        centre: tuple[float, float] | None = None,
        warnings: tuple[Doubt, ...] = (),
        shifts: Iterable[Shift] = (),
        calendar: Mapping[date, DayKind] | None = None,
        loans: Iterable[Loan] = (),
        providers: Iterable[Provider] = (),
        agreements: Iterable[AidAgreement] = (),
        polygons: Mapping[str, Polygons] | None = None,
        kind_names: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.district = district
        self.name = name or district
        self.names = dict(names or {})  # language tag → the district's name
        self.area_code = area_code  # as dialled, with its 0
        self.centre = centre  # latitude, longitude
        self.warnings = warnings  # what is doubtful in the data but does not keep it from being used
        self.persons = {person.id: person for person in persons}
        self.areas = {area.id: area for area in areas}
        self.responders = {responder.id: responder for responder in responders}
        self.shifts: dict[str, tuple[Shift, ...]] = {}
        for shift in shifts:
            self.shifts[shift.responder] = (*self.shifts.get(shift.responder, ()), shift)
        self.calendar = dict(calendar or {})
        self.loans = tuple(loans)
        self.providers = {provider.id: provider for provider in providers}
        self.agreements = {agreement.id: agreement for agreement in agreements}
        self.polygons = dict(polygons or {})  # area → where it is
        self.kind_names = {kind: dict(names) for kind, names in (kind_names or {}).items()}  # responder kind → language tag → local name
        self.prepared: dict[str, Any] = {}  # what gateway.core.duty and .geometry worked out once; each asks only for its own
        self._index(devices)
        self.version = version or hashlib.sha256(repr(sorted(self.responders.items())).encode()).hexdigest()[:12]

    def _index(self, devices: Iterable[Device]) -> None:
        self._devices = {(device.line, device.id): device for device in devices}
        self._lines = {device.line for device in self._devices.values() if device.line is not None}
        self._by_phone: dict[str, tuple[str, ...]] = {}
        for person in self.persons.values():
            for phone in person.phones:
                self._by_phone[phone] = (*self._by_phone.get(phone, ()), person.id)
        self._by_contact: dict[str, tuple[str, ...]] = {}
        for person in self.persons.values():
            for contact in person.contacts:
                if contact.phone:
                    self._by_contact[contact.phone] = (*self._by_contact.get(contact.phone, ()), person.id)
        self._calling: dict[str, tuple[Device, ...]] = {}
        for device in self._devices.values():
            if device.phone:
                self._calling[device.phone] = (*self._calling.get(device.phone, ()), device)

    def amended(self, persons: Mapping[str, Person | None], devices: Mapping[tuple[str | None, str], Device | None], version: str) -> "Register":
        """The same register but for these (None: it is no more). What follows from responders and areas is shared, not worked out again."""
        new = copy(self)
        new.version = version
        if persons:
            new.persons, new._by_phone, new._by_contact = dict(self.persons), dict(self._by_phone), dict(self._by_contact)
        for name, person in persons.items():
            before = self.persons.get(name)
            _move(new._by_phone, name, before.phones if before else (), person.phones if person else ())
            _move(new._by_contact, name, _numbers(before), _numbers(person))
            if person is None:
                new.persons.pop(name, None)
            else:
                new.persons[name] = person
        if devices:
            new._devices, new._calling = dict(self._devices), dict(self._calling)
            for key, device in devices.items():
                was = new._devices.pop(key, None) if device is None else new._devices.get(key)
                if was is not None and was.phone:
                    new._calling[was.phone] = tuple(one for one in new._calling[was.phone] if one is not was)
                if device is not None:
                    new._devices[key] = device
                    if device.phone:
                        new._calling[device.phone] = (*new._calling.get(device.phone, ()), device)
            new._lines = {device.line for device in new._devices.values() if device.line is not None}
        return new

    def only(self, persons: Mapping[str, Person], devices: Iterable[Device]) -> "Register":
        """The same register with no other persons and devices than these: one shard's (gateway.core.shards)."""
        new = copy(self)
        new.persons = dict(persons)
        new._index(devices)
        return new

    @property
    def devices(self) -> Iterator[Device]:
        return iter(self._devices.values())

    def device_of(self, line: str | None, address: str) -> Device | None:
        """The device registered just so: on this line, or (None) on any."""
        return self._devices.get((line, address))

    def device(self, line: str, address: str | None) -> Device | None:
        """The device with this address on this line, else the one registered for any line."""
        if address is None:
            return None
        return self._devices.get((line, address)) or self._devices.get((None, address))

    def lines_of(self, address: str | None) -> tuple[str, ...]:
        """On which lines this address is registered."""
        return tuple(sorted(line for line in self._lines if (line, address) in self._devices)) if address is not None else ()

    def persons_with_phone(self, e164: str | None) -> tuple[Person, ...]:
        """Everybody registered under a number, sorted by id: couples and homes share one. Never picks one silently."""
        if not e164:
            return ()
        return tuple(self.persons[person] for person in sorted(self._by_phone.get(e164, ())))

    def persons_with_contact(self, e164: str) -> tuple[Person, ...]:
        """Everybody for whom this number is a contact's, sorted by id."""
        return tuple(self.persons[person] for person in sorted(set(self._by_contact.get(e164, ()))))

    def devices_with_phone(self, e164: str) -> tuple[Device, ...]:
        """The devices that call from this number."""
        return self._calling.get(e164, ())

    def areas_above(self, area: str | None) -> list[str]:
        """That area and those above it, nearest first; a tree that bites its tail ends."""
        found: list[str] = []
        while area is not None and area not in found and area in self.areas:
            found.append(area)
            area = self.areas[area].parent
        return found

    def area_position(self, area: str | None) -> tuple[float, float] | None:
        """Latitude and longitude of the area or of the nearest area above it that has one."""
        for name in self.areas_above(area):
            node = self.areas[name]
            if node.lat is not None and node.lon is not None:
                return node.lat, node.lon
        return None


def _numbers(person: Person | None) -> tuple[str, ...]:
    return tuple(contact.phone for contact in person.contacts if contact.phone) if person is not None else ()


def _move(index: dict[str, tuple[str, ...]], name: str, before: Iterable[str], after: Iterable[str]) -> None:
    """Let somebody stand under the numbers of now instead of those of before."""
    for number in before:
        index[number] = tuple(one for one in index.get(number, ()) if one != name)
        if not index[number]:
            del index[number]
    for number in after:
        index[number] = (*index.get(number, ()), name)
