"""Test devices: what they say is a test, whatever it says. Decided before anything else, so that no order, figure or list hears of it.

A probe of our own writes one row, always the same (its device's last sign), in the transaction of its batch: it proves the disk, and the journal
does not grow. A press by a person is journalled, with the phase `test`. Pure; docs/decisions/0029.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from gateway.core.register import Register
from gateway.core.state import Draft, Edge, Seen, TestMark
from gateway.event import KINDS, Event, Group, Kind, Phase

LINE = "self_test"  # books of ours; of one point: self_test:<name>
TESTED = "tested"  # what became of a probe's event: written, counted, and nothing else
NEVER = "never_pressed"  # the edge in the row of a device of which we only wait
ROW = "test:"  # begins the rows of last signs that are test devices'


Marks = Mapping[tuple[str, str], TestMark]
"""By line and address."""


def row_of(line: str, device: str) -> str:
    """The name of a test device's row."""
    return f"{ROW}{line}:{device}"


def mark_of(draft: Draft, event: Event) -> TestMark | None:
    """Is it a test device's? One that the register gives to a person is never: a real cry must not be taken for a test."""
    if event.device is None:
        return None
    mark = draft.base.test_devices.get((event.line, event.device))
    return mark if mark is not None and not _is_somebodys(draft.register, event.line, event.device) else None


def is_marked(marks: Marks, register: Register, line: str, device: str) -> bool:
    """Is what this device says a test?"""
    return (line, device) in marks and not _is_somebodys(register, line, device)


def _is_somebodys(register: Register, line: str, address: str) -> bool:
    device = register.device(line, address)
    return device is not None and bool(device.person or device.home)


def probed(draft: Draft, event: Event) -> str:
    """One event of a probe, of any kind."""
    _saw(draft, event)
    return TESTED


def is_press(event: Event) -> bool:
    """Does the device cry, or say that somebody pressed it?"""
    group = KINDS[event.kind].group
    if event.phase is Phase.CLEAR or event.late is not None:
        return False
    return group in (Group.PERSON, Group.ENVIRONMENT) or event.kind in (Kind.TEST, Kind.BUTTON, Kind.CHECKIN)


def pressed(draft: Draft, event: Event) -> Event:
    """What a device that people press for a test says: its cries are tests, the rest (batteries, faults, signs of life) is as of any device."""
    if KINDS[event.kind].group not in (Group.PERSON, Group.ENVIRONMENT) and not is_press(event):
        return event
    if is_press(event):
        _saw(draft, event)
    kind = event.kind if KINDS[event.kind].journalled else Kind.TEST
    return msgspec.structs.replace(event, kind=kind, phase=Phase.TEST, edge=None)


def _saw(draft: Draft, event: Event) -> None:
    key = row_of(event.line, event.device or "")
    draft.see(key, Seen(at=event.received_at))
    draft.changed.add(key)


def never_pressed(known: Mapping[str, Seen], marks: Marks, now: datetime) -> list[tuple[str, Seen]]:
    """Rows of devices that somebody is to press and of which nothing is known: their time runs from now on."""
    names = [row_of(*device) for device, mark in marks.items() if mark is TestMark.PRESS]
    return [(name, Seen(at=now, edges=(Edge(NEVER, False, now),))) for name in names if name not in known]


def told_lines(lines: Iterable[str]) -> set[str]:
    """The points behind these lines of open incidents."""
    return {line.partition(":")[2] for line in lines if line.partition(":")[0] == LINE}
