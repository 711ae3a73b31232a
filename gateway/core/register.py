"""The register: who may call for help, with what, from where, and who can be sent. Frozen; swapped whole on reload.

Read model of the district (domain 4.1): the alarm path never asks a remote database. `version` names the data a
decision was made with.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

import msgspec

# gc=False below: frozen data of strings, numbers and tuples cannot form a cycle, and the collector has 300,000 objects fewer to walk.


class ResponderKind(StrEnum):
    """Who can be sent. `desk` is the console itself: always there, first to see and last to be asked."""

    STATION = "station"
    STREET_CENTRE = "street_centre"
    DISTRICT_CENTRE = "district_centre"
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
    """A node of the tree of places. lat, lon: the middle of where people live, WGS-84 degrees."""

    id: str
    name: str
    kind: AreaKind
    parent: str | None = None
    lat: float | None = None
    lon: float | None = None


class Contact(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Somebody to ring about a person; first in the list is rung first."""

    name: str
    relation: str = ""
    phone: str = ""


class Person(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An elder. `phones` in E.164; `home` names the dwelling (two people of one home share it); lat, lon of the home, WGS-84."""

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


class Device(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One addressed thing that can call for help. `id` is the address as the protocol has it; `line` None = on any line.

    phone: the number (E.164) it calls from when it opens a voice call; "" for none.
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


class Responder(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who can be sent. `hours` is local time HH:MM-HH:MM (past midnight allowed), "" = always on duty.

    channel: mqtt (stations/<id>/dispatch), webhook (address = URL), phone (rung at address, or else phone), sip (address = sip:…, which
    gets a text), console (an operator tells them). capacity: open orders at one time.
    parent: whom to ask when this one does not answer; areas: those it serves ("" empty = no limit).
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
        self._devices = {(device.line, device.id): device for device in devices}
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
        self.version = version or hashlib.sha256(repr(sorted(self.responders.items())).encode()).hexdigest()[:12]

    @property
    def devices(self) -> Iterator[Device]:
        return iter(self._devices.values())

    def device(self, line: str, address: str | None) -> Device | None:
        """The device with this address on this line, else the one registered for any line."""
        if address is None:
            return None
        return self._devices.get((line, address)) or self._devices.get((None, address))

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

    def area_position(self, area: str | None) -> tuple[float, float] | None:
        """Latitude and longitude of the area or of the nearest area above it that has one."""
        seen: set[str] = set()
        while area is not None and area not in seen:
            seen.add(area)
            node = self.areas.get(area)
            if node is None:
                return None
            if node.lat is not None and node.lon is not None:
                return node.lat, node.lon
            area = node.parent
        return None
