"""A register amended for one record is the register read whole; what is expected of devices and people follows, and nothing else moves."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import DeviceClassConfig, SupervisionConfig
from gateway.core.corrections import Correction, Level, RecordKind, Statement, What, file_wins, superseded
from gateway.core.register import Contact, Device, Person, Register
from gateway.core.state import WorkingSet
from gateway.core.supervised import Supervision

NOW = datetime(2026, 3, 1, 2, tzinfo=UTC)
CLASS = DeviceClassConfig(name="pendant", interval_s=3600, grace_s=60)
numbers = st.lists(st.sampled_from([f"+8617400000{n:03}" for n in range(4)]), max_size=3, unique=True).map(tuple)
people = st.builds(
    Person,
    id=st.sampled_from(["a", "b", "c"]),
    name=st.just("甲"),
    phones=numbers,
    contacts=numbers.map(lambda some: tuple(Contact(name="乙", phone=one) for one in some)),
)
things = st.builds(
    Device,
    id=st.sampled_from(["1", "2", "3"]),
    line=st.sampled_from([None, "x", "y"]),
    phone=st.sampled_from(["", "+8617400000009"]),
    device_class=st.sampled_from(["", "pendant"]),
)


def unique(register: Register) -> Mapping[str, object]:
    """Everything that can be asked of it, without an order that nobody promised."""
    return {
        "persons": register.persons,
        "devices": {(one.line, one.id): one for one in register.devices},
        "by_phone": {number: [one.id for one in register.persons_with_phone(number)] for number in (f"+8617400000{n:03}" for n in range(4))},
        "by_contact": {number: [one.id for one in register.persons_with_contact(number)] for number in (f"+8617400000{n:03}" for n in range(4))},
        "calling": {(one.line, one.id) for one in register.devices_with_phone("+8617400000009")},
        "lines": {address: register.lines_of(address) for address in ("1", "2", "3")},
    }


@given(st.lists(people, max_size=3), st.lists(people, max_size=3), st.lists(things, max_size=4), st.lists(things, max_size=4), st.booleans())
def test_amended_is_as_built_anew(before: list[Person], after: list[Person], devices: list[Device], others: list[Device], goes: bool) -> None:
    first = Register(persons=before, devices=devices)
    persons: dict[str, Person | None] = {one.id: one for one in after}
    changed: dict[tuple[str | None, str], Device | None] = {(one.line, one.id): one for one in others}
    if goes:
        persons |= {one.id: None for one in before[:1]}
        changed |= {(one.line, one.id): None for one in devices[:1]}
    was = unique(first)
    amended = first.amended(persons, changed, "v2")
    merged = {**first.persons, **persons}
    all_devices = {(one.line, one.id): one for one in devices} | changed
    anew = Register(persons=filter(None, merged.values()), devices=filter(None, all_devices.values()))
    assert unique(amended) == unique(anew)
    assert unique(first) == was  # whoever still decides by the old one is not disturbed


@given(st.lists(things, min_size=1, max_size=4), things)
def test_supervision_amended_is_as_built_anew(devices: list[Device], other: Device) -> None:
    working = WorkingSet(Register(devices=devices))
    working.supervise([CLASS], {}, SupervisionConfig(), NOW)
    for one in working.supervision.by_name.values():
        working.supervision.heard(one, NOW, one.line or "x")
    key = (other.line, other.id)
    register = working.register.amended({}, {key: other}, "v2")
    working.amend(register, (), [key], NOW + timedelta(minutes=1))
    anew = Supervision(register, [CLASS], {})
    assert working.supervision.by_name.keys() == anew.by_name.keys()
    assert all(name in working.due for name in anew.by_name)
    for name, path in working.supervision.paths.items():
        assert path.heard == sum(one.at is not None for one in path.members.values()), name
    assert working.register is register


def correction(number: int, **more: object) -> Correction:
    given_: dict[str, object] = {"kind": RecordKind.PERSONS, "key": "a", "what": What.CHANGED, "by": "李娜", "role": "operator"}
    given_ |= {"level": Level.COMMUNITY, "at": NOW, "reason": "x", "cells": {"phones": "1"}} | more
    return Correction(number=number, **given_)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ours", "level", "file_at", "confirmed", "wins"),
    [
        (Level.COMMUNITY, Level.DISTRICT, NOW + timedelta(days=1), "", True),
        (Level.COMMUNITY, Level.DISTRICT, NOW - timedelta(days=1), "", False),
        (Level.DISTRICT, Level.DISTRICT, NOW + timedelta(days=1), "", False),
        (Level.CITY, Level.DISTRICT, NOW + timedelta(days=1), "", False),
        (Level.COMMUNITY, Level.DISTRICT, NOW + timedelta(days=1), "2026-02-01", False),
        (Level.COMMUNITY, Level.DISTRICT, NOW - timedelta(days=1), "2026-03-02", True),
    ],
)
def test_level_and_time_say_who_gives_way(ours: Level, level: Level, file_at: datetime, confirmed: str, wins: bool) -> None:
    assert file_wins(correction(1, level=ours), {"confirmed_on": confirmed}, Statement(level, file_at)) is wins


def test_a_later_word_on_the_same_field_goes_before_an_earlier_one() -> None:
    first, second = correction(1), correction(2, cells={"phones": "2", "address": "3"})
    assert superseded([first, second]) == [first]
    assert superseded([correction(1, cells={"name": "x"}), second]) == []
    assert superseded([first, msgspec.structs.replace(second, gone=("phones",))]) == []
