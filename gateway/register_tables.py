"""The tables of the register by kind of record: their columns, whether two cells say the same, and a record of memory as cells again."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import Any

from gateway import register_cells as cells
from gateway.coordinates import Datum, Place
from gateway.core.corrections import LISTS, ROWS, Cells, RecordKind, key_cells
from gateway.core.register import Person, Register
from gateway.core.territory import Shift
from gateway.csv_file import CellFault, Column
from gateway.register_people import contact_columns, device_columns, person_columns
from gateway.register_places import responder_columns
from gateway.register_territory import agreement_columns, loan_columns, provider_columns, roster_columns

METRE = 0.00001  # degrees: a place that was converted and written again is the same place
PLACE_DIGITS = 6


def _plainly(parse: Any) -> Any:
    return parse


def columns_of(kind: RecordKind, phone: Callable[[str], str]) -> dict[str, Column]:
    """The columns of its file."""
    match kind:
        case RecordKind.PERSONS:
            return person_columns(_plainly, phone)
        case RecordKind.CONTACTS:
            return contact_columns(_plainly, phone)
        case RecordKind.DEVICES:
            return device_columns(_plainly, phone)
        case RecordKind.RESPONDERS:
            return responder_columns(_plainly, phone)
        case RecordKind.ROSTERS:
            return roster_columns(_plainly)
        case RecordKind.LOANS:
            return loan_columns(_plainly)
        case RecordKind.PROVIDERS:
            return provider_columns(_plainly)
        case RecordKind.AGREEMENTS:
            return agreement_columns(_plainly)


class Tables:
    """Columns of all kinds for one district; its area code completes local numbers."""

    def __init__(self, area_code: str = "") -> None:
        phone = cells.phone(area_code)
        self.phone = phone
        self.columns = {kind: columns_of(kind, phone) for kind in RecordKind}
        self.parse = lru_cache(maxsize=4096)(self._parse)

    def _parse(self, kind: RecordKind, column: str, text: str) -> object:
        """What a cell says; of a faulty one its text."""
        known = self.columns[kind].get(column)
        if known is None or not text.strip():
            return text.strip()
        try:
            return known.parse(text.strip())
        except CellFault:
            return text.strip()

    def same(self, kind: RecordKind, column: str, one: str, other: str) -> bool:
        """Do two cells say the same, however they are written? Places within a metre do."""
        if one == other:
            return True
        first, second = self.parse(kind, column, one), self.parse(kind, column, other)
        if column in ("lat", "lon") and isinstance(first, float) and isinstance(second, float):
            return abs(first - second) < METRE
        return first == second

    def fault(self, kind: RecordKind, column: str, text: str) -> CellFault | None:
        """What is wrong with one cell."""
        known = self.columns[kind].get(column)
        if known is None:
            return CellFault("is no column we know", f"write one of {', '.join(self.columns[kind])}")
        if not text:
            return CellFault("is empty", "write it") if known.required else None
        if FORMULA.match(text):
            return CellFault("is a formula to a spreadsheet, to which files of the register go", "begin it with a letter or a figure")
        try:
            known.parse(text)
        except CellFault as fault:
            return fault
        return None


# OWASP, "CSV Injection"; numbers with their sign (+86…, -3.5, -) are none.
FORMULA = re.compile(r"[=@\t\r\uff1d\uff20]|[-+\uff0b\uff0d](?![\d. -]*(;|$))")


def normal(row: Cells) -> dict[str, str]:
    """The row with its place in WGS-84 and without a datum; as it is where the place cannot be read."""
    given = dict(row)
    datum = given.pop("datum", "")
    if datum in (Datum.GCJ02, Datum.BD09):
        try:
            place = Place(float(given.get("lat", "")), float(given.get("lon", "")), Datum(datum)).into(Datum.WGS84)
        except ValueError:
            return dict(row)
        given |= {"lat": _number(round(place.lat, PLACE_DIGITS)), "lon": _number(round(place.lon, PLACE_DIGITS))}
    return given


def text_of(value: object) -> str:
    """One value as a cell has it."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, tuple | frozenset):
        return cells.SEPARATOR.join(text_of(one) for one in value)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return _number(value)
    return str(value)


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _cells(one: object, columns: Iterable[str], renamed: Mapping[str, str] = {}) -> dict[str, str]:
    found = {name: text_of(getattr(one, renamed.get(name, name), None)) for name in columns}
    return {name: text for name, text in found.items() if text}


def person_cells(one: Person, columns: Iterable[str]) -> dict[str, str]:
    """A person as a row, without contacts."""
    found = _cells(one, columns)
    if one.assessed is not None:
        assessed = {"assessor": one.assessed.assessor, "assessed_on": text_of(one.assessed.on), "assessed_until": text_of(one.assessed.until)}
        found |= {name: text for name, text in assessed.items() if text}
    return found


def record_of(register: Register, tables: Tables, kind: RecordKind, key: str) -> tuple[dict[str, str], ...] | None:
    """A record of the register as rows of its file: one, or all of a list (none of them: ()). None: there is no such record."""
    columns = tables.columns[kind]
    match kind:
        case RecordKind.PERSONS:
            person = register.persons.get(key)
            return (person_cells(person, columns),) if person is not None else None
        case RecordKind.CONTACTS:
            person = register.persons.get(key)
            return tuple({"person": key} | _cells(one, columns) for one in person.contacts) if person is not None else None
        case RecordKind.DEVICES:
            found = key_cells(kind, key)
            device = register.device_of(found["line"] or None, found.get("id", ""))
            return (_cells(device, columns, {"class": "device_class"}),) if device is not None else None
        case RecordKind.ROSTERS:
            return tuple(_shift_cells(one, columns) for one in register.shifts.get(key, ())) if key in register.responders else None
        case RecordKind.LOANS:
            return next(((_cells(one, columns),) for one in register.loans if one.id == key), None)
        case RecordKind.RESPONDERS:
            return (_cells(register.responders[key], columns),) if key in register.responders else None
        case RecordKind.PROVIDERS:
            return (_cells(register.providers[key], columns),) if key in register.providers else None
        case RecordKind.AGREEMENTS:
            return (_cells(register.agreements[key], columns),) if key in register.agreements else None


def _shift_cells(one: Shift, columns: Iterable[str]) -> dict[str, str]:
    """A staff of 0 is a closed day, an empty one is not."""
    return _cells(one, columns) | ({"staff": "0"} if one.staff == 0 else {})


def fields_that_differ(tables: Tables, kind: RecordKind, one: Cells, other: Cells) -> list[str]:
    """The columns of two rows that do not say the same, in the order of the file."""
    first, second = normal(one), normal(other)
    return [name for name in tables.columns[kind] if not tables.same(kind, name, first.get(name, ""), second.get(name, ""))]


def shown_fields(kind: RecordKind, tables: Tables) -> tuple[str, ...]:
    """What a correction of this kind may speak of."""
    return (ROWS,) if kind in LISTS else tuple(name for name in tables.columns[kind] if name != "datum")
