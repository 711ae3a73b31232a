"""Devices and silence → what one reader may see, as plain JSON values. Pure: persons are masked here, as in every list.

A device's state: alive, overdue, never (not heard yet), path_out (what it speaks through is out), returning (its path is back, it has one
window to say so), unsupervised (no class says when it is due).
"""

import hashlib
import heapq
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gateway.console.reader import Reader
from gateway.console.seam import ProfileState
from gateway.console.views import Json, mask_name, mask_numbers, place_of_device, shown_device
from gateway.core.account import AccountRole
from gateway.core.incident import Incident, Telling
from gateway.core.register import Device, Register
from gateway.core.state import Seen, WorkingSet
from gateway.core.supervised import Supervised
from gateway.core.supervision import BATTERY
from gateway.event import KINDS, Group, Kind

STATES = ("overdue", "never", "low_battery", "unknown", "path_out")  # what may be asked for
COUNTED = ("alive", "overdue", "never", "path_out", "low_battery", "unsupervised")
PAGE = 100  # rows of one answer, about 25 KB
VERSIONS = 100  # of firmware in one answer, 8 KB: a district has some 20 models, of which two or three versions run
SCAN = 20_000  # devices looked at for one answer, 10 to 40 ms of a thread; with fewer rows than PAGE the reader goes on by the cursor
AFFECTED_SHOWN = 100  # devices named of an outage in the detail of its incident, 12 KB; the page shows fewer still until asked
ANY_LINE = "*"  # stands in a URL for a device that may come on any line and was never heard
LAST = 10_000  # order of what is not supervised: after everything that is
HANDFUL = 2_000  # places sorted in one go, 2 ms
EVERYBODY = Reader(name=None, role=AccountRole.LOCAL)
PHONE = re.compile(r"\+\d{8,15}")


class Place(NamedTuple):
    """One device in the list, at its place: worst first."""

    device: Device
    one: Supervised | None


class Troubles(NamedTuple):
    """Open incidents of single devices, by line and address: which says they are low, and which is any of them."""

    low: Mapping[tuple[str, str], str]
    any: Mapping[tuple[str, str], str]


def in_order(working: WorkingSet) -> list[Place]:
    """All devices, those at risk first. 0.1 s for 100,000: once for each register, in a thread.

    Sorted by handfuls and merged: one sort of all would hold the interpreter, and with it the loop, all the while.
    """
    supervision = working.supervision
    places = [Place(device, supervision.of(device)) for device in working.register.devices]
    return list(heapq.merge(*(sorted(places[start : start + HANDFUL], key=_risk) for start in range(0, len(places), HANDFUL)), key=_risk))


def _risk(place: Place) -> tuple[int, str, str]:
    return (place.one.order if place.one is not None else LAST, place.device.line or "", place.device.id)


def troubles_of(incidents: Iterable[Incident]) -> Troubles:
    """Look through the open incidents once."""
    low: dict[tuple[str, str], str] = {}
    found: dict[tuple[str, str], str] = {}
    for incident in incidents:
        if incident.is_open and incident.device is not None and KINDS[incident.kind].group is Group.DEVICE:
            found[incident.line, incident.device] = incident.id
            if incident.kind is Kind.LOW_BATTERY:
                low[incident.line, incident.device] = incident.id
    return Troubles(low, found)


def line_of(device: Device, one: Supervised | None) -> str:
    """The line on which it is, or was last heard; "" when that is not known."""
    return device.line or (one.line if one is not None else None) or ""


def state_of(working: WorkingSet, one: Supervised | None) -> str:
    """How a device does."""
    if one is None:
        return "unsupervised"
    silence = working.silent.get(one.name)
    if silence is not None and silence.state in ("path", "grace"):
        return "path_out" if silence.state == "path" else "returning"
    if one.at is None:
        return "never"
    return "alive" if silence is None else "overdue"


def seen_of(working: WorkingSet, device: Device, one: Supervised | None) -> Seen | None:
    """What is known of it since it last spoke."""
    return working.seen.get(f"{line_of(device, one)}|{device.id}")


def is_low(place: Place, seen: Seen | None, troubles: Troubles) -> bool:
    """Is its battery a task: by its charge, or because it says so itself?"""
    if (line_of(*place), place.device.id) in troubles.low:
        return True
    if seen is None or seen.battery_pct is None or place.one is None:
        return False
    was_low = any(edge.name == BATTERY and edge.is_set for edge in seen.edges)
    return was_low or seen.battery_pct <= place.one.rules.battery_low_pct


def is_wanted(state: str, wanted: str, low: bool) -> bool:
    """Does a device in this state belong to what is asked for?"""
    if wanted == "low_battery":
        return low
    return not wanted or state == wanted or (wanted == "path_out" and state == "returning")


def some_of(
    working: WorkingSet,
    places: Sequence[Place],
    start: int,
    troubles: Troubles,
    reader: Reader = EVERYBODY,
    *,
    state: str = "",
    line: str = "",
    device_class: str = "",
    model: str = "",
    firmware: str = "",
) -> tuple[list[Json], int | None]:
    """(rows, where to go on; None: that was all). Never more than PAGE rows, nor SCAN devices looked at. Only reads: may run in a thread."""
    rows: list[Json] = []
    position = start
    end = min(len(places), start + SCAN)
    while position < end and len(rows) < PAGE:
        place = places[position]
        position += 1
        device, one = place
        if device_class and (one is None or one.rules.name != device_class):
            continue
        if (line and line_of(device, one) != line) or (model and device.model != model):
            continue
        if not is_shown(working.register, device, reader):
            continue
        now_is = state_of(working, one)
        if state and state != "low_battery" and not is_wanted(now_is, state, False):
            continue
        seen = seen_of(working, device, one)
        if firmware and (seen is None or seen.firmware != firmware):
            continue
        low = is_low(place, seen, troubles)
        if is_wanted(now_is, state, low):
            rows.append(device_row(working, place, now_is, seen, low, troubles, reader))
    return rows, position if position < len(places) else None


def is_shown(register: Register, device: Device, reader: Reader) -> bool:
    """Does a device, or whoever has it, live in the reader's areas?"""
    if not reader.areas:
        return True
    person = register.persons.get(device.person or "")
    return reader.covers(register, device.area or (person.area if person is not None else None))


def device_row(working: WorkingSet, place: Place, state: str, seen: Seen | None, low: bool, troubles: Troubles, reader: Reader = EVERYBODY) -> Json:
    """One row of the list. Who keeps the machinery running sees neither whose device it is nor where that person lives."""
    device, one = place
    person = working.register.persons.get(device.person or "") if reader.sees_people else None
    line = line_of(device, one)
    silence = working.silent.get(one.name) if one is not None else None
    heard_at = seen.at if seen is not None else one.at if one is not None else None
    return {
        "line": line or None,
        "address": shown_device(device.id),
        "ref": ref_of(line, device.id),
        "class": one.rules.name if one is not None else None,
        "via": shown_device(device.via) or None,
        "person": {"id": person.id, "name": mask_name(person.name)} if person is not None else None,
        "place": place_of_device(working.register, device, person),
        "heard_at": heard_at,
        "battery_pct": seen.battery_pct if seen is not None else None,
        "low_battery": low,
        "state": state,
        "incident": silence.incident if silence is not None else troubles.any.get((line, device.id)),
    }


def stranger_row(key: str, seen: Seen) -> Json:
    """An address on no register: only when and where it was heard."""
    line, _, address = key.partition("|")
    return {
        "line": line,
        "address": shown_device(address),
        "ref": ref_of(line, address),
        "class": None,
        "via": None,
        "person": None,
        "place": None,
        "heard_at": seen.at,
        "battery_pct": seen.battery_pct,
        "low_battery": False,
        "state": "unknown",
        "incident": None,
    }


def counts_of(working: WorkingSet, places: Iterable[Place], troubles: Troubles) -> list[Json]:
    """Devices per class and state; "" are those without a class. 0.1 s for 100,000: in a thread."""
    found: dict[str, dict[str, int]] = {}
    for place in places:
        device, one = place
        counted = found.setdefault(one.rules.name if one is not None else "", dict.fromkeys(COUNTED, 0))
        state = state_of(working, one)
        counted["path_out" if state == "returning" else state] += 1
        counted["low_battery"] += is_low(place, seen_of(working, device, one), troubles)
    return [{"class": name, **found[name]} for name in sorted(found, key=lambda name: (not name, name))]


def device_detail(working: WorkingSet, place: Place, troubles: Troubles, reader: Reader = EVERYBODY) -> Json:
    """All that is known of one device."""
    device, one = place
    seen = seen_of(working, device, one)
    row = device_row(working, place, state_of(working, one), seen, is_low(place, seen, troubles), troubles, reader)
    path = working.supervision.led_by(device)
    due_at = one.at + one.window if one is not None and one.at is not None else None
    return {
        "device": row
        | {
            "registered": True,
            "model": device.model or None,
            "firmware": seen.firmware if seen is not None else None,
            "interval_s": one.rules.interval_s if one is not None else None,
            "grace_s": one.rules.grace_s if one is not None else None,
            "battery_low_pct": one.rules.battery_low_pct if one is not None else None,
            "due_at": due_at,
            "states": edges_of(seen),
            "behind": len(path.members) if path is not None else 0,
            "behind_silent": working.silent_behind.get(path.key, 0) if path is not None else 0,
        }
    }


def stranger_detail(key: str, seen: Seen, lines: Sequence[str]) -> Json:
    """An address on no register. lines: on which it is registered, if not on this one."""
    told = {"firmware": seen.firmware, "states": edges_of(seen)}
    return {"device": stranger_row(key, seen) | {"registered": False, "registered_on": list(lines)} | told}


def edges_of(seen: Seen | None) -> list[Json]:
    """The states that it tells: only those that hold."""
    return [{"name": edge.name, "since": edge.at} for edge in (seen.edges if seen is not None else ()) if edge.is_set]


_secret = secrets.token_bytes(16)  # of this process: a ref leads nowhere after a restart


def ref_of(line: str, address: str) -> str:
    """By what a device is asked for in a URL: its address; of one that is a telephone number, something that says nothing (no such data in URLs)."""
    if not PHONE.fullmatch(address):
        return address
    return "~" + hashlib.blake2b(f"{line}|{address}".encode(), key=_secret, digest_size=8).hexdigest()


def address_of(working: WorkingSet, line: str, ref: str) -> str | None:
    """The address that a ref stands for; None: of no device that is known. Looks at all whose address is a number: in a thread."""
    if not ref.startswith("~"):
        return ref
    for device in working.register.devices:
        if device.id.startswith("+") and ref_of(line, device.id) == ref:
            return device.id
    known = (key.partition("|")[2] for key in list(working.strangers) if key.startswith(f"{line}|+"))
    return next((address for address in known if ref_of(line, address) == ref), None)


def versions_of(working: WorkingSet, reader: Reader = EVERYBODY) -> list[Json]:
    """What the devices of the reader's areas say they run: the VERSIONS that most have, by model. 0.1 s for 100,000: in a thread."""
    found: Counter[tuple[str, str]] = Counter()
    for device in working.register.devices:
        seen = seen_of(working, device, working.supervision.of(device))
        if seen is not None and seen.firmware is not None and is_shown(working.register, device, reader):
            found[device.model, seen.firmware] += 1
    most = sorted(found.most_common(VERSIONS), key=lambda row: (not row[0][0], row[0][0], -row[1], row[0][1]))
    return [{"model": model or None, "version": version, "count": count} for (model, version), count in most]


def troubled(working: WorkingSet, troubles: Troubles, reader: Reader = EVERYBODY) -> Json:
    """How many devices of the reader's areas are in which state, all classes together. 0.1 s for 100,000: in a thread."""
    counted: dict[str, int] = dict.fromkeys(COUNTED, 0)
    for device in working.register.devices:
        if is_shown(working.register, device, reader):
            place = Place(device, working.supervision.of(device))
            state = state_of(working, place.one)
            counted["path_out" if state == "returning" else state] += 1
            counted["low_battery"] += is_low(place, seen_of(working, device, place.one), troubles)
    return dict(counted)


# --- in the detail of an incident ------------------------------------------------------------------------------------


def parts_of(register: Register, incident: Incident) -> Json:
    """What the detail of an incident says of devices. dark: they are told nothing, there was a cry under duress."""
    return {
        "tellings": [told_view(one) for one in incident.tellings],
        "dark": incident.silent,
        "affected": affected_view(register, incident),
    }


def told_view(telling: Telling) -> Json:
    """One thing told to a device, and what became of it."""
    return {
        "word": telling.word,
        "line": telling.line,
        "device": shown_device(telling.device),
        "state": telling.state,
        "reason": telling.reason,
        "at": telling.at,
    }


def affected_view(register: Register, incident: Incident) -> Json | None:
    """Who is silent by an outage, worst first; None when it is none."""
    if not incident.affected_count and not incident.path:
        return None
    return {
        "path": incident.path.partition(":")[2],
        "count": incident.affected_count,
        "items": list(_affected(register, incident)),
    }


def _affected(register: Register, incident: Incident) -> Iterator[Json]:
    for item in incident.affected[:AFFECTED_SHOWN]:
        person = register.persons.get(item.person or "")
        yield {
            "line": item.line,
            "device": shown_device(item.device),
            "ref": ref_of(item.line, item.device),
            "person": mask_name(person.name) if person is not None else None,
            "since": item.since,
        }


def profile_view(profile: ProfileState) -> Json:
    """A mapping profile and how it does. Its fault is the file's or a message's: numbers in it are masked."""
    return {"name": profile.name, "state": profile.state, "fault": mask_numbers(profile.fault) or None}
