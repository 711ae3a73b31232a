"""What opens with an answered call beside the person's own record: devices, the hotline that was dialled, a record of who is in no register."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache

from gateway.config import HotlineConfig
from gateway.console.device_views import line_of, seen_of, state_of
from gateway.console.reader import Reader
from gateway.console.views import Json, mask_name, mask_numbers, place_of_device, short_person, shown_device, street_of
from gateway.core.capability import skills_of
from gateway.core.incident import Incident
from gateway.core.plans import SPOKE
from gateway.core.register import AreaKind, Device, Register
from gateway.core.state import WorkingSet

DEVICES = 12  # of one person; who has more is an institution
DEVICES_TO_TELL_APART = 3
AREAS = 400  # areas that a caller may be in: of a district all of them
PLACES = (AreaKind.TOWN, AreaKind.STREET, AreaKind.COMMUNITY, AreaKind.VILLAGE)


@lru_cache(maxsize=2)
def _devices_of(register: Register) -> dict[str, list[Device]]:
    """person → devices. Once for each register: 30 ms for 100,000 devices."""
    found: dict[str, list[Device]] = {}
    for device in register.devices:
        if device.person:
            found.setdefault(device.person, []).append(device)
    return found


@lru_cache(maxsize=2)
def _skills(register: Register) -> list[str]:
    """Everything that somebody who can be sent can do."""
    return sorted({word for one in register.responders.values() for word in skills_of(one)})


def card_part(working: WorkingSet, hotlines: Iterable[HotlineConfig], incident: Incident, reader: Reader, entitled: bool, now: datetime) -> Json:
    """Part of an incident's detail. areas: where a caller of whom nothing is known may be, only while that is so."""
    register = working.register
    hotline = next((one for one in hotlines if one.number == incident.hotline), None)
    is_nobody = incident.person is None and not incident.service
    return {
        "record": record_view(incident, entitled),
        "devices": [_device(working, one) for one in _devices_of(register).get(incident.person or "", [])[:DEVICES]],
        "hotline": {"number": incident.hotline, "name": hotline.name, "supplementary": hotline.supplementary, "profiles": hotline.profiles}
        if hotline is not None
        else None,
        "areas": list(_areas(register, reader)) if is_nobody and incident.is_open else [],
        "persons": [_candidate(working, one, now) for one in incident.candidates if one in register.persons],
        "skills": _skills(register),
        "circle_min": working.routing.circle_min,
        "spoken": [step.removeprefix(SPOKE) for step in incident.steps if step.startswith(SPOKE)],
    }


def record_view(incident: Incident, entitled: bool) -> Json | None:
    """What a caller said who is in no register: name and door for who is in charge alone."""
    record = incident.record
    if record is None:
        return None
    return {
        "masked": not entitled,
        "name": record.name if entitled else mask_name(record.name),
        "address": record.address if entitled else street_of(record.address),
        "what": record.what if entitled else mask_numbers(record.what),
        "area": incident.area,
        "by": record.by,
        "at": record.at,
    }


def _device(working: WorkingSet, device: Device) -> Json:
    one = working.supervision.of(device)
    seen = seen_of(working, device, one)
    return {
        "device": shown_device(device.id),
        "line": line_of(device, one),
        "model": device.model,
        "place": place_of_device(working.register, device, None) if device.place else None,
        "state": state_of(working, one),
        "seen_at": seen.at if seen is not None else None,
        "battery_pct": seen.battery_pct if seen is not None else None,
    }


def _candidate(working: WorkingSet, name: str, now: datetime) -> Json:
    """One of several persons under one number: what tells them apart, nothing more."""
    register = working.register
    devices = [shown_device(one.id) for one in _devices_of(register).get(name, [])[:DEVICES_TO_TELL_APART]]
    return short_person(register, register.persons[name], now) | {"devices": devices}


def _areas(register: Register, reader: Reader) -> Iterator[Json]:
    found = [area for area in register.areas.values() if area.kind in PLACES and reader.covers(register, area.id)]
    for area in sorted(found, key=lambda one: (one.kind not in (AreaKind.TOWN, AreaKind.STREET), one.name))[:AREAS]:
        above = register.areas.get(area.parent or "")
        yield {"id": area.id, "name": area.name, "of": above.name if above is not None and above.kind in PLACES else ""}
