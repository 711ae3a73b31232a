"""Reads persons.csv, contacts.csv and devices.csv: who may call for help, with what, and whom to ask about them."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec

from gateway import register_cells as cells
from gateway.core.register import Ability, Assessment, Category, Contact, Device, Person, Risk
from gateway.csv_file import CellFault, Column, FileFaults
from gateway.register_reading import HOME, Reading, Rows, Share, build, check_position, in_wgs84

MOMENTS = ("alarm", "coming", "over")  # at which a contact may be told
TOLD_BY = ("sms", "email", "robot", "webhook")


def contact_columns(share: Share, phone: Any) -> dict[str, Column]:
    """contacts.csv."""
    return {
        "person": Column(share(cells.identifier), True),
        "name": Column(cells.plain, True),
        "relation": Column(share(cells.plain)),
        "phone": Column(phone),
        "tell": Column(cells.several(_moment)),
        "channel": Column(_told_by),
        "address": Column(cells.plain),
        "consent_on": Column(share(cells.day)),
    }


def person_columns(share: Share, phone: Any) -> dict[str, Column]:
    """persons.csv."""
    ident, text = share(cells.identifier), share(cells.plain)
    return {
        "id": Column(ident, True),
        "name": Column(cells.plain, True),
        "born": Column(cells.whole(1900, 2100)),
        "area": Column(ident),
        "home": Column(ident),
        "address": Column(cells.plain),
        **HOME,
        "phones": Column(cells.several(phone)),
        "ability": Column(cells.word(Ability)),
        "categories": Column(cells.several(cells.word(Category))),
        "risks": Column(cells.several(cells.word(Risk))),
        "health_note": Column(cells.plain),
        "confirmed_on": Column(share(_calendar_day)),
        "confirmed_by": Column(text),
        "assessor": Column(text),
        "assessed_on": Column(cells.date_of),
        "assessed_until": Column(cells.date_of),
        "watch": Column(share(cells.section)),
        "doctor": Column(ident),
        "hospital": Column(ident),
        "language": Column(ident),
        "entitled": Column(cells.yes_or_no),
        "conditions": Column(text),
        "medicines": Column(text),
        "allergies": Column(text),
        "blood": Column(text),
    }


def device_columns(share: Share, phone: Any) -> dict[str, Column]:
    """devices.csv."""
    ident, text = share(cells.identifier), share(cells.plain)
    return {
        "id": Column(share(cells.address), True),
        "line": Column(ident),
        "person": Column(ident),
        "home": Column(ident),
        "area": Column(ident),
        "place": Column(text),
        **HOME,
        "model": Column(text),
        "phone": Column(phone),
        "class": Column(share(cells.section)),
        "via": Column(share(cells.address)),
    }


def _read_contacts(reading: Reading, phone: Any) -> tuple[FileFaults, dict[str, list[tuple[int, Contact]]]]:
    faults, rows = reading.rows("contacts.csv", contact_columns(reading.share, phone), required=False)
    contacts: dict[str, list[tuple[int, Contact]]] = {}
    for line, row in rows:
        person = row.pop("person", None)
        contact = Contact(**{"name": "", **row})
        _check_telling(line, contact, faults)
        if person is not None:
            contacts.setdefault(person, []).append((line, contact))
    return faults, contacts


def _check_telling(line: int, contact: Contact, faults: FileFaults) -> None:
    """Nobody is told anything about a person unless it was agreed, and only by a way that leads to them."""
    if contact.tell and not contact.consent_on:
        faults.add(line, "consent_on", "is empty while tell is not", "write the day on which it was agreed that they are told, or empty tell")
    if contact.tell and contact.channel in ("", "sms") and not (contact.phone or contact.address):
        faults.add(line, "phone", "is empty while tell is not", "write the number that gets the message, or another channel")
    if contact.channel not in ("", "sms") and not contact.address:
        faults.add(line, "address", "is empty", "write where the channel leads: an e-mail or web address")


def _moment(text: str) -> str:
    return _word(text, MOMENTS)


def _told_by(text: str) -> str:
    return _word(text, TOLD_BY)


def _word(text: str, words: tuple[str, ...]) -> str:
    if text not in words:
        raise CellFault("is not a word of the list", f"write one of {', '.join(words)}")
    return words[words.index(text)]


def read_persons(reading: Reading, phone: Any, areas: Collection[str], responders: Collection[str]) -> "Rows[Person]":
    """persons.csv and contacts.csv: who may call for help, and whom to ask about them."""
    contact_faults, contacts = _read_contacts(reading, phone)
    faults, rows = reading.rows("persons.csv", person_columns(reading.share, phone))
    assessments: dict[Assessment, Assessment] = {}  # an assessor comes to many on one day

    def with_contacts() -> Iterable[tuple[int, dict[str, Any]]]:
        for line, row in rows:
            own = contacts.pop(row.get("id", ""), None)
            if own:
                row["contacts"] = tuple(contact for _, contact in own)
            found = _assessed(line, row, faults)
            if found is not None:
                row["assessed"] = assessments.setdefault(found, found)
            yield line, in_wgs84(row)

    persons = build(Person, with_contacts(), faults, {"id": "", "name": ""})
    for line, person in persons:
        if person.area is not None and reading.lacks("areas.csv", areas, person.area):
            faults.add(line, "area", "there is no area with this id", "add it to areas.csv or correct the id")
        for column, responder in (("doctor", person.doctor), ("hospital", person.hospital)):
            if responder and reading.lacks("responders.csv", responders, responder):
                faults.add(line, column, "there is no responder with this id", "add it to responders.csv or correct the id")
    for left in contacts.values() if not faults.is_unread else ():
        for line, _ in left:
            contact_faults.add(line, "person", "there is no person with this id", "add the person to persons.csv or correct the id")
    everyone = [person for _, person in persons]
    reading.warn("no_coordinates", faults, (one.id for one in everyone if one.lat is None))
    reading.warn("no_contact", faults, (one.id for one in everyone if not one.contacts))
    reading.warn("damaged_names", faults, (one.id for one in everyone if cells.is_name_damaged(one.name)))
    return persons


def _calendar_day(text: str) -> str:
    return cells.date_of(text).isoformat()


def _assessed(line: int, row: dict[str, Any], faults: FileFaults) -> Assessment | None:
    """Of the row, which loses these columns. An ability that was assessed says by whom and when (domain 4.13)."""
    assessor, on, until = (row.pop(name, None) for name in ("assessor", "assessed_on", "assessed_until"))
    if not assessor and on is None and until is None:
        return None
    if not assessor:
        faults.add(line, "assessor", "is empty while there is an assessment", "write who assessed the person")
    if on is None:
        faults.add(line, "assessed_on", "is empty while there is an assessment", "write the day on which the person was assessed")
        return None
    if until is not None and until < on:
        faults.add(line, "assessed_until", "is before the day of the assessment", "write the last day on which it counts")
    return Assessment(assessor=assessor or "", on=on, until=until)


def read_devices(
    reading: Reading, phone: Callable[[str], str], persons: Mapping[str, Person], areas: Collection[str], others: Collection[str] = ()
) -> list[Device]:
    """devices.csv: one row for an address; what two rows for one address disagree about is not known. others: addresses known without a row."""
    faults, rows = reading.rows("devices.csv", device_columns(reading.share, phone))
    homes = {person.home for person in persons.values() if person.home is not None}
    devices: dict[tuple[str | None, str], Device] = {}
    twice = []
    behind: list[tuple[int, Device]] = []
    for line, row in rows:
        row["device_class"] = row.pop("class", "")
        device = Device(**{"id": "", **in_wgs84(row)})
        check_position(line, device, faults)
        if device.person is not None and reading.lacks("persons.csv", persons, device.person):
            faults.add(line, "person", "there is no person with this id", "add it to persons.csv or correct the id")
        if device.area is not None and reading.lacks("areas.csv", areas, device.area):
            faults.add(line, "area", "there is no area with this id", "add it to areas.csv or correct the id")
        known = devices.get((device.line, device.id))
        if known is not None:
            twice.append(device.id)
            device = _without_contradiction(known, device)
        devices[device.line, device.id] = device
        if device.via:
            behind.append((line, device))
    addresses = {address for _, address in devices}
    for line, device in behind:
        if device.via not in addresses and device.via not in others:
            faults.add(line, "via", "there is no device with this id", "add the gateway as a device of its own, or correct the id")
        elif device.via == device.id:
            faults.add(line, "via", "is the device itself", "leave it empty: it speaks for itself")
    any_line = {address for line_name, address in devices if line_name is None}
    twice += [address for line_name, address in devices if line_name is not None and address in any_line]
    reading.warn("registered_twice", faults, twice)
    vias = {device.via for _, device in behind}  # a gateway in the street is nobody's
    unowned = (one for one in devices.values() if one.person is None and one.home not in homes and one.id not in vias)
    reading.warn("unowned", faults, (one.id for one in unowned))
    return list(devices.values())


def _without_contradiction(first: Device, second: Device) -> Device:
    """Two rows for one address: what they agree on. Never one of two persons silently."""
    differing = {name: None for name in ("person", "home", "area", "lat", "lon") if getattr(first, name) != getattr(second, name)}
    unsure = {name: "" for name in ("phone", "device_class", "via") if getattr(first, name) != getattr(second, name)}
    return msgspec.structs.replace(first, **unsure, **differing)
