"""Reads a district's folder (`config/districts/<name>/`) into a Register: every fault at once, doubts as warnings, and the reload.

The columns are described in config/districts/README.md. Faults refuse the folder; warnings (ids only, never personal data) do not.
"""

import gc
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from gateway import register_cells as cells
from gateway.config import Config, read_config
from gateway.core.register import (
    Ability,
    Area,
    AreaKind,
    Category,
    Contact,
    Device,
    Doubt,
    Person,
    Register,
    Responder,
    ResponderKind,
    Risk,
)
from gateway.csv_file import CellFault, Column, FileFaults, read_bytes, read_rows
from gateway.errors import ConfigError
from gateway.toml_file import TomlReader

NAMED = 10  # ids named in one line of a fault or a warning; nobody reads a longer one

CHANNELS = ("mqtt", "webhook", "phone", "sip", "console")

T = TypeVar("T", bound=msgspec.Struct)
Rows = list[tuple[int, T]]
Node = TypeVar("Node", Area, Responder)


class DistrictFile(msgspec.Struct, frozen=True, kw_only=True):
    """`district.toml`. lat, lon: the middle of the district, WGS-84 degrees."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9_-]{0,63}$", examples=["honggu"])]
    names: dict[str, str] = {}
    area_code: Annotated[str, msgspec.Meta(pattern=r"^(0\d{2,3})?$", examples=["0931"])] = ""
    lat: Annotated[float, msgspec.Meta(ge=-90, le=90)] | None = None
    lon: Annotated[float, msgspec.Meta(ge=-180, le=180)] | None = None


def read_all(path: str | Path) -> tuple[Config, Register]:
    """The configuration and the register it names, without the responders that no configured channel reaches. Raises ConfigError."""
    config = read_config(path)
    return config, read_register(config.district_folder, config.channels)


def reload(path: str | Path, current: Config) -> tuple[Config, Register]:
    """What is in force after SIGHUP: the new registers, [policy] and calls.call_back_s; everything else as in `current`.

    The rest was built into lines, channels and store at the start; keys of it that differ in the file stand in `waiting` of
    the Config. Raises ConfigError: then nothing has changed.
    """
    read = read_config(path)
    calls = msgspec.structs.replace(current.calls, call_back_s=read.calls.call_back_s)
    config = msgspec.structs.replace(current, policy=read.policy, calls=calls, waiting=())
    waiting = tuple(
        f"{section}.{key}" if key else section
        for section in Config.__struct_fields__
        if section not in ("path", "waiting")
        for key in _different(getattr(config, section), getattr(read, section))
    )
    return msgspec.structs.replace(config, waiting=waiting), read_register(config.district_folder, config.channels)


def _different(old: object, new: object) -> list[str]:
    if old == new:
        return []
    if isinstance(old, msgspec.Struct) and isinstance(new, msgspec.Struct):
        return [name for name in old.__struct_fields__ if getattr(old, name) != getattr(new, name)]
    return [""]


def read_register(folder: str | Path, channels: Collection[str] | None = None) -> Register:
    """The register of one folder. Raises ConfigError with every fault (fifty a file in words).

    channels: the ways out that are configured; responders reached by another are left out with a warning. None: all are kept.
    """
    # Two hundred thousand objects that all stay: the collector would walk them again and again and find nothing.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _Reading(Path(folder), channels).register()
    finally:
        if collecting:
            gc.enable()


class _Reading:
    """One pass over the folder; lives no longer than read_register."""

    def __init__(self, folder: Path, channels: Collection[str] | None) -> None:
        self.folder = folder
        self.channels = channels
        self.faults: list[FileFaults] = []
        self.warnings: list[Doubt] = []
        self._digest = hashlib.sha256()
        self._strings: dict[str, str] = {}

    def register(self) -> Register:
        reader = TomlReader(self.folder / "district.toml")
        tables = reader.load()
        self._digest.update(repr(sorted(tables.items())).encode())
        if not reader.problems:
            head = reader.table(DistrictFile, tables)
            if (head.lat is None) != (head.lon is None):
                reader.add("lat", "lat and lon stand alone", "write both")
        else:
            head = DistrictFile(name="unknown")
        # with a faulty head the area code is unknown, and local numbers would all be told as faults of their own
        phone = cells.plain if reader.problems else cells.phone(head.area_code)

        areas = self._areas()
        responders = self._responders(phone, {area.id for _, area in areas})
        contacts = self._contacts(phone)
        persons = self._persons(phone, contacts, {area.id for _, area in areas})
        devices = self._devices(phone, {person.id: person for _, person in persons}, {area.id for _, area in areas})

        problems = reader.problems + [problem for file in self.faults for problem in file.problems]
        if problems:
            raise ConfigError(problems)
        return Register(
            district=head.name,
            name=head.names.get("zh-CN", ""),
            names=head.names,
            area_code=head.area_code,
            centre=None if head.lat is None or head.lon is None else (head.lat, head.lon),
            persons=(person for _, person in persons),
            devices=devices,
            responders=self._reachable([responder for _, responder in responders]),
            areas=(area for _, area in areas),
            version=self._digest.hexdigest()[:12],
            warnings=tuple(self.warnings),
        )

    def _rows(self, name: str, columns: Mapping[str, Column], required: bool = True) -> tuple[FileFaults, Iterable[tuple[int, dict[str, Any]]]]:
        faults = FileFaults(self.folder / name)
        self.faults.append(faults)
        if not required and not faults.path.exists():
            return faults, ()
        data = read_bytes(faults.path, faults)
        self._digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
        return faults, read_rows(data, columns, faults)

    def _lacks(self, file: str, known: Collection[str], name: str) -> bool:
        """Is there no such id? While the file itself cannot be read nobody knows, and its own fault is the one to correct."""
        return name not in known and not any(one.is_unread for one in self.faults if one.path == self.folder / file)

    def _share(self, parse: Any) -> Any:
        """A parser whose equal results are one object: a person's id stands in three files."""
        strings = self._strings

        def shared(text: str) -> str:
            value: str = parse(text)
            return strings.setdefault(value, value)

        return shared

    def _areas(self) -> "Rows[Area]":
        ident = self._share(cells.identifier)
        faults, rows = self._rows(
            "areas.csv",
            {
                "id": Column(ident, True),
                "name": Column(cells.plain, True),
                "kind": Column(cells.word(AreaKind), True),
                "parent": Column(ident),
                **_POSITION,
            },
        )
        areas = _build(Area, rows, faults, {"id": "", "name": "", "kind": AreaKind.GRID})
        _check_parents(areas, faults, "area")
        self._warn("damaged_names", faults, (area.id for _, area in areas if cells.is_name_damaged(area.name)))
        return areas

    def _responders(self, phone: Any, areas: Collection[str]) -> "Rows[Responder]":
        ident = self._share(cells.identifier)
        faults, rows = self._rows(
            "responders.csv",
            {
                "id": Column(ident, True),
                "name": Column(cells.plain, True),
                "kind": Column(cells.word(ResponderKind), True),
                "parent": Column(ident),
                "areas": Column(cells.several(ident)),
                **_POSITION,
                "skills": Column(cells.several(ident)),
                "hours": Column(cells.hours),
                "capacity": Column(cells.whole(0, 100_000)),
                "channel": Column(_channel),
                "address": Column(lambda text: phone(text) if cells.NUMBER_LIKE.fullmatch(text) else cells.web_or_sip(text)),
                "phone": Column(lambda text: text if cells.EMERGENCY.fullmatch(text) else phone(text)),
                "speed_kmh": Column(cells.number(1, 200)),
            },
        )
        responders = []
        silent = []
        for line, responder in _build(Responder, rows, faults, {"id": "", "name": "", "kind": ResponderKind.STATION, "channel": ""}):
            if not responder.channel:
                if responder.kind is ResponderKind.STATION:
                    silent.append(responder.id)
                responder = msgspec.structs.replace(responder, channel="console")
            self._check_way(line, responder, faults)
            if cells.EMERGENCY.fullmatch(responder.phone) and responder.kind is not ResponderKind.EMERGENCY:
                faults.add(line, "phone", "is an emergency number", "only a responder of kind emergency may have it")
            for area in responder.areas:
                if self._lacks("areas.csv", areas, area):
                    faults.add(line, "areas", "there is no area with this id", "add it to areas.csv or correct the id")
            responders.append((line, responder))
        _check_parents(responders, faults, "responder")
        if not faults.count and not any(responder.kind is ResponderKind.DESK for _, responder in responders):
            faults.add(0, "kind", "no responder is the desk", "add a row of kind desk and channel console: every chain of escalation ends there")
        self._warn("damaged_names", faults, (one.id for _, one in responders if cells.is_name_damaged(one.name)))
        self._warn("no_channel", faults, silent)
        return responders

    def _check_way(self, line: int, responder: Responder, faults: FileFaults) -> None:
        """Can an order reach it by its channel?"""
        address = responder.address
        if responder.channel == "webhook" and not address.startswith("http"):
            what = "is no web address" if address else "is empty"
            faults.add(line, "address", what, "write the web address that takes orders, or another channel")
        elif responder.channel == "sip" and not address.startswith("sip"):
            what = "is no SIP address" if address else "is empty"
            faults.add(line, "address", what, "write sip:USER@HOST, to which the order is sent as a text, or another channel")
        elif responder.channel == "phone" and not (responder.phone or address):
            faults.add(line, "phone", "is empty", "write the number that is rung with orders, or another channel")
        elif responder.channel == "phone" and address and not cells.NUMBER_LIKE.fullmatch(address):
            faults.add(line, "address", "is no telephone number", "write the number that is rung with orders, or leave it empty for that under phone")

    def _reachable(self, responders: list[Responder]) -> list[Responder]:
        """Without those that no configured channel reaches; who has one of them above them is moved up to the next."""
        if self.channels is None:
            return responders
        left_out = {one.id: one for one in responders if one.channel not in self.channels}
        path = self.folder / "responders.csv"
        for channel in sorted({one.channel for one in left_out.values()}):
            ids = (one.id for one in left_out.values() if one.channel == channel)
            self._warn("left_out", FileFaults(path), ids, channel)
        kept = []
        for one in responders:
            if one.id not in left_out:
                parent = one.parent
                while parent in left_out:
                    parent = left_out[parent].parent
                kept.append(one if parent == one.parent else msgspec.structs.replace(one, parent=parent))
        return kept

    def _contacts(self, phone: Any) -> dict[str, list[tuple[int, Contact]]]:
        faults, rows = self._rows(
            "contacts.csv",
            {
                "person": Column(self._share(cells.identifier), True),
                "name": Column(cells.plain, True),
                "relation": Column(self._share(cells.plain)),
                "phone": Column(phone),
            },
            required=False,
        )
        self._contact_faults = faults
        contacts: dict[str, list[tuple[int, Contact]]] = {}
        for line, row in rows:
            person = row.pop("person", None)
            if person is not None:
                contacts.setdefault(person, []).append((line, Contact(**{"name": "", **row})))
        return contacts

    def _persons(self, phone: Any, contacts: dict[str, list[tuple[int, Contact]]], areas: Collection[str]) -> "Rows[Person]":
        ident = self._share(cells.identifier)
        faults, rows = self._rows(
            "persons.csv",
            {
                "id": Column(ident, True),
                "name": Column(cells.plain, True),
                "born": Column(cells.whole(1900, 2100)),
                "area": Column(ident),
                "home": Column(ident),
                "address": Column(cells.plain),
                **_POSITION,
                "phones": Column(cells.several(phone)),
                "ability": Column(cells.word(Ability)),
                "categories": Column(cells.several(cells.word(Category))),
                "risks": Column(cells.several(cells.word(Risk))),
                "health_note": Column(cells.plain),
                "confirmed_on": Column(self._share(cells.day)),
            },
        )

        def with_contacts() -> Iterable[tuple[int, dict[str, Any]]]:
            for line, row in rows:
                own = contacts.pop(row.get("id", ""), None)
                if own:
                    row["contacts"] = tuple(contact for _, contact in own)
                yield line, row

        persons = _build(Person, with_contacts(), faults, {"id": "", "name": ""})
        for line, person in persons:
            if person.area is not None and self._lacks("areas.csv", areas, person.area):
                faults.add(line, "area", "there is no area with this id", "add it to areas.csv or correct the id")
        for left in contacts.values() if not faults.is_unread else ():
            for line, _ in left:
                self._contact_faults.add(line, "person", "there is no person with this id", "add the person to persons.csv or correct the id")
        everyone = [person for _, person in persons]
        self._warn("no_coordinates", faults, (one.id for one in everyone if one.lat is None))
        self._warn("no_contact", faults, (one.id for one in everyone if not one.contacts))
        self._warn("damaged_names", faults, (one.id for one in everyone if cells.is_name_damaged(one.name)))
        return persons

    def _devices(self, phone: Callable[[str], str], persons: Mapping[str, Person], areas: Collection[str]) -> list[Device]:
        ident = self._share(cells.identifier)
        faults, rows = self._rows(
            "devices.csv",
            {
                "id": Column(self._share(cells.address), True),
                "line": Column(ident),
                "person": Column(ident),
                "home": Column(ident),
                "area": Column(ident),
                "place": Column(self._share(cells.plain)),
                **_POSITION,
                "model": Column(self._share(cells.plain)),
                "phone": Column(phone),
            },
        )
        homes = {person.home for person in persons.values() if person.home is not None}
        devices: dict[tuple[str | None, str], Device] = {}
        twice = []
        for line, row in rows:
            device = Device(**{"id": "", **row})
            _check_position(line, device, faults)
            if device.person is not None and self._lacks("persons.csv", persons, device.person):
                faults.add(line, "person", "there is no person with this id", "add it to persons.csv or correct the id")
            if device.area is not None and self._lacks("areas.csv", areas, device.area):
                faults.add(line, "area", "there is no area with this id", "add it to areas.csv or correct the id")
            known = devices.get((device.line, device.id))
            if known is not None:
                twice.append(device.id)
                device = _without_contradiction(known, device)
            devices[device.line, device.id] = device
        any_line = {address for line_name, address in devices if line_name is None}
        twice += [address for line_name, address in devices if line_name is not None and address in any_line]
        self._warn("registered_twice", faults, twice)
        owned = (one for one in devices.values() if one.person is None and one.home not in homes)
        self._warn("unowned", faults, (one.id for one in owned))
        return list(devices.values())

    def _warn(self, what: str, faults: FileFaults, ids: Iterable[str], of: str = "") -> None:
        """One warning a subject."""
        named = tuple(ids)
        if named:
            self.warnings.append(Doubt(what, str(faults.path), named, of))


_POSITION = {"lat": Column(cells.number(-90, 180)), "lon": Column(cells.number(-180, 180))}  # lat: beyond 90 is told as "exchanged"


def _channel(text: str) -> str:
    if text not in CHANNELS:
        raise CellFault("is not a word of the list", f"write one of {', '.join(CHANNELS)}")
    return CHANNELS[CHANNELS.index(text)]


def _build(kind: type[T], rows: Iterable[tuple[int, dict[str, Any]]], faults: FileFaults, fallback: Mapping[str, object]) -> "Rows[T]":
    """Rows as structs with unique ids; a row with faults still becomes one, so that references to it are not faults too."""
    built: Rows[T] = []
    lines: dict[str, int] = {}
    for line, row in rows:
        for name, value in fallback.items():
            row.setdefault(name, value)
        one: Any = kind(**row)
        _check_position(line, one, faults)
        first = lines.setdefault(one.id, line)
        if first != line and one.id:
            faults.add(line, "id", f"stands in line {first} too", "give each an id of its own, or remove one")
        built.append((line, one))
    return built


def _check_position(line: int, one: Any, faults: FileFaults) -> None:
    """Both or neither; and not exchanged, which in China (latitude 3 to 54, longitude 73 to 136) is plain to see."""
    lat, lon = one.lat, one.lon
    if lat is None and lon is None:
        return
    if lat is None or lon is None:
        missing = "lat" if lat is None else "lon"
        faults.add(line, missing, "is empty or faulty while the other coordinate is there", "write both or neither")
    elif 73 <= lat <= 136 and 3 <= lon <= 54:
        faults.add(line, "lat", "latitude and longitude are exchanged", "write the latitude (3 to 54 in China) under lat")
    elif lat > 90:
        faults.add(line, "lat", "is no number in range", "write a number from -90 to 90")


def _check_parents(rows: "Sequence[tuple[int, Node]]", faults: FileFaults, what: str) -> None:
    """Every parent exists and no chain of parents comes back to itself; a circle is told once, at its first row."""
    parents = {node.id: node.parent for _, node in rows}
    ends: set[str] = set()  # nodes whose chain is known to end, or whose circle has been told
    for line, node in rows:
        if node.parent is not None and node.parent not in parents and not faults.is_unread:
            faults.add(line, "parent", f"there is no {what} with this id", "add it or correct the id")
        chain: dict[str, None] = {}
        name: str | None = node.id
        while name is not None and name not in ends and name not in chain:
            chain[name] = None
            name = parents.get(name)
        if name in chain:
            faults.add(line, "parent", f"goes round in a circle: {_circle(list(chain), str(name))}", "let one of them have no parent or another one")
        ends.update(chain)


def _circle(chain: list[str], name: str) -> str:
    return " → ".join([*chain[chain.index(name) :][:NAMED], name])


def _without_contradiction(first: Device, second: Device) -> Device:
    """Two rows for one address: what they agree on. Never one of two persons silently."""
    differing = {name: None for name in ("person", "home", "area", "lat", "lon") if getattr(first, name) != getattr(second, name)}
    phone = first.phone if first.phone == second.phone else ""
    return msgspec.structs.replace(first, phone=phone, **differing)
