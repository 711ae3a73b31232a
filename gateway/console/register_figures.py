"""Figures of the register: how good its data are (domain 4.3), and the four facets of a region, counted and never listed (domain 4.6)."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from gateway.console.views import Json, age_of
from gateway.core.corrections import CHINA
from gateway.core.register import Ability, AreaKind, Category, Person, Register, Risk

LEAST = 5  # persons in a cell that is told; as of the exports (gateway.core.cells)
CONFIRMED_FOR = timedelta(days=366)  # a year, also a leap year
AGES = (60, 70, 80, 90)


def faulty(register: Register, persons: Iterable[Person], now: datetime) -> dict[str, list[str]]:
    """Word → ids of persons whom it is true of, in order."""
    some = list(persons)
    since = (now - CONFIRMED_FOR).astimezone(CHINA).date().isoformat()
    today = now.astimezone(CHINA).date()
    twins: Counter[tuple[str, int | None, str | None]] = Counter((one.name, one.born, one.area) for one in some if one.born)
    owners = {device.person for device in register.devices if device.person}
    homes = {device.home for device in register.devices if device.home}
    of: dict[str, Callable[[Person], bool]] = {
        "no_coordinates": lambda one: one.lat is None,
        "no_contact": lambda one: not one.contacts,
        "no_phone": lambda one: not one.phones,
        "no_device": lambda one: not one.phones and one.id not in owners and one.home not in homes,
        "duplicate": lambda one: bool(one.born) and twins[one.name, one.born, one.area] > 1,
        "not_confirmed": lambda one: one.confirmed_on < since,
        "assessment_ended": lambda one: one.assessed is not None and one.assessed.until is not None and one.assessed.until < today,
    }
    return {word: sorted(one.id for one in some if is_so(one)) for word, is_so in of.items()}


def unowned(register: Register) -> list[tuple[str | None, str]]:
    """Devices that are nobody's: neither a person's, nor of a home, nor what others speak through."""
    homes = {person.home for person in register.persons.values() if person.home is not None}
    vias = {device.via for device in register.devices}
    return [
        (one.line, one.id) for one in register.devices if one.person is None and one.area is None and one.home not in homes and one.id not in vias
    ]


def facets(register: Register, persons: Iterable[Person], now: datetime) -> Json:
    """Counts by street: where, health, family, needs. A cell of 1 to 4 is null, and one more with it, so that no total gives it away."""
    by_street: dict[str, Counter[str]] = {}
    streets: dict[str, str] = {}
    for person in persons:
        area = person.area or ""
        if area not in streets:
            streets[area] = _street(register, area)
        counts = by_street.setdefault(streets[area], Counter())
        counts.update(_words(person, now))
    columns = {
        "where": ("persons", *(f"age_{age}" for age in AGES), "age_unknown"),
        "health": (*Ability, "health_known"),
        "family": (*Risk, "no_contact"),
        "needs": (*Category, "entitled", "watched"),
    }
    names = [str(name) for some in columns.values() for name in some]
    cells: dict[str, dict[str, int | None]] = {street: {name: counts[name] for name in names} for street, counts in by_street.items()}
    _suppress(cells, names)
    rows = [
        {"area": street, "name": register.areas[street].name if street in register.areas else "", "counts": cells[street]} for street in sorted(cells)
    ]
    return {"facets": {name: [str(one) for one in some] for name, some in columns.items()}, "rows": rows, "least": LEAST}


def _words(person: Person, now: datetime) -> Iterable[str]:
    yield "persons"
    age = age_of(person, now)
    yield "age_unknown" if age is None else f"age_{max((least for least in AGES if age >= least), default=AGES[0])}"
    yield person.ability.value
    yield from person.risks
    yield from person.categories
    if person.health_note or person.conditions or person.medicines or person.allergies:
        yield "health_known"
    if not person.contacts:
        yield "no_contact"
    if person.entitled:
        yield "entitled"
    if person.watch:
        yield "watched"


def _street(register: Register, area: str) -> str:
    above = register.areas_above(area)
    return next((name for name in above if register.areas[name].kind in (AreaKind.STREET, AreaKind.TOWN)), area)


def _suppress(cells: dict[str, dict[str, int | None]], names: list[str]) -> None:
    """Small cells go; where one alone would be missing in a column or among the abilities of a street, the next smallest goes with it."""
    for row in cells.values():
        if 0 < (row["persons"] or 0) < LEAST:
            row.update(dict.fromkeys(names))
        for name in names:
            if 0 < (row[name] or 0) < LEAST:
                row[name] = None
    groups = [[(street, name) for street in cells] for name in names]
    groups += [[(street, str(name)) for name in Ability] for street in cells]
    groups += [[(street, name) for name in (*(f"age_{age}" for age in AGES), "age_unknown")] for street in cells]
    changed = True
    while changed:
        changed = False
        for group in groups:
            gone = [at for at in group if cells[at[0]][at[1]] is None]
            left = sorted((count, at) for at in group if (count := cells[at[0]][at[1]]))
            if len(gone) == 1 and left:
                street, name = left[0][1]
                cells[street][name] = None
                changed = True
