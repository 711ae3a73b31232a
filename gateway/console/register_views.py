"""A record of the register as the page shows it: field by field with where it comes from and how old it is; masked unless it was opened."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime

from gateway.console.reader import Reader
from gateway.console.views import Json, age_of, mask_name, mask_phone, street_of, town_of
from gateway.core.account import AccountRole
from gateway.core.corrections import (
    CHINA,
    CONFIRMED,
    LISTS,
    ROWS,
    Correction,
    Finding,
    Level,
    RecordKind,
    key_cells,
    statement_of,
)
from gateway.core.corrections import Statement as FileStatement
from gateway.core.register import Person, Register
from gateway.correcting import Corrections, Sight
from gateway.register_tables import shown_fields

HEALTH = frozenset(("health_note", "conditions", "medicines", "allergies", "blood"))
NAMES = frozenset(("name",))
NUMBERS = frozenset(("phone", "phones"))
PLACES = frozenset(("lat", "lon"))
RESPONDERS = frozenset(("doctor", "hospital", "parent", "lender", "borrower", "helper", "helped"))
HIDDEN = "***"
OF_PEOPLE = frozenset((RecordKind.PERSONS, RecordKind.CONTACTS))
LEVELS = {AccountRole.SUPERVISOR: Level.DISTRICT}  # a supervisor speaks for the centre; anybody else hands on what they were told
# What an operator may correct while somebody is on the telephone; everything else is a supervisor's.
OPERATORS: Mapping[RecordKind, frozenset[str]] = {
    RecordKind.PERSONS: frozenset(("phones", "health_note", *CONFIRMED)),
    RecordKind.CONTACTS: frozenset((ROWS,)),
}


def level_of(role: AccountRole) -> Level:
    """Who speaks when somebody of this role corrects something."""
    return LEVELS.get(role, Level.COMMUNITY)


def may_correct(role: AccountRole, kind: RecordKind) -> frozenset[str] | None:
    """The fields that this role may correct; None: all of them, and records as a whole."""
    return OPERATORS.get(kind, frozenset()) if role is AccountRole.OPERATOR else None


def areas_of(register: Register, kind: RecordKind, key: str, cells: Mapping[str, str] | None = None) -> list[str | None]:
    """Where a record belongs to; whoever looks after one of these areas may see it. cells: of one that is not there yet."""
    match kind:
        case RecordKind.PERSONS | RecordKind.CONTACTS:
            person = register.persons.get(key)
            return [person.area if person is not None else (cells or {}).get("area")]
        case RecordKind.DEVICES:
            on = key_cells(kind, key)
            device = register.device_of(on["line"] or None, on.get("id", ""))
            owner = register.persons.get((device.person if device is not None else (cells or {}).get("person")) or "")
            return [(device.area if device is not None else (cells or {}).get("area")) or (owner.area if owner is not None else None)]
        case RecordKind.RESPONDERS | RecordKind.ROSTERS | RecordKind.PROVIDERS:
            return _areas_of_responder(register, key, cells)
        case RecordKind.LOANS:
            loan = next((one for one in register.loans if one.id == key), None)
            sides = (loan.lender, loan.borrower) if loan is not None else ((cells or {}).get("lender", ""), (cells or {}).get("borrower", ""))
        case RecordKind.AGREEMENTS:
            agreement = register.agreements.get(key)
            sides = (
                (agreement.helper, agreement.helped) if agreement is not None else ((cells or {}).get("helper", ""), (cells or {}).get("helped", ""))
            )
    return [area for side in sides for area in ([side] if side in register.areas else _areas_of_responder(register, side, cells))]


def _areas_of_responder(register: Register, key: str, cells: Mapping[str, str] | None) -> list[str | None]:
    one = register.responders.get(key)
    areas = one.areas if one is not None else tuple(filter(None, (cells or {}).get("areas", "").split(";")))
    return list(areas) or [None]


def covers(reader: Reader, register: Register, kind: RecordKind, key: str, cells: Mapping[str, str] | None = None) -> bool:
    """May this reader see the record?"""
    return any(reader.covers(register, area) for area in areas_of(register, kind, key, cells))


def title_of(register: Register, kind: RecordKind, key: str, *, full: bool = False) -> str:
    """What it is called on a list."""
    if kind in OF_PEOPLE:
        person = register.persons.get(key)
        return (person.name if full else mask_name(person.name)) if person is not None else key
    if kind in (RecordKind.RESPONDERS, RecordKind.ROSTERS, RecordKind.PROVIDERS):
        one = register.responders.get(key)
        return one.name if one is not None else key
    return key_cells(kind, key).get("id", key)


def shown(kind: RecordKind, field: str, text: str, *, full: bool, town: str = "") -> str:
    """One cell as it may be shown: "***" stands for what opening the record would show."""
    if full or not text:
        return text
    if field in NUMBERS or (field == "address" and kind is RecordKind.CONTACTS):
        return ";".join(mask_phone(one) or "" for one in text.split(";")) if field in NUMBERS else HIDDEN
    if kind in OF_PEOPLE:
        if field in NAMES:
            return mask_name(text)
        if field == "address":
            return street_of(text, town) or HIDDEN
        if field in HEALTH or field in PLACES:
            return HIDDEN
    return text


def record_view(
    corrections: Corrections, register: Register, reader: Reader, kind: RecordKind, key: str, sight: Sight, now: datetime, *, full: bool
) -> Json:
    """A record; `newest` goes back with a correction, so that nobody corrects what they have not seen."""
    may = may_correct(reader.role, kind)
    person = register.persons.get(key) if kind in OF_PEOPLE else None
    town = town_of(register, person.area) if person is not None else ""
    view: Json = {
        "kind": kind,
        "key": key,
        "title": title_of(register, kind, key, full=full),
        "opened": full,
        "newest": sight.newest,
        "may_remove": may is None and kind not in LISTS,
        "file": {"at": sight.file_at, "level": sight.level},
        "findings": [finding_view(corrections, register, one, full=full) for one in sight.findings],
    }
    if kind in LISTS:
        by = sight.by_field.get(ROWS)
        view["rows"] = [{name: shown(kind, name, text, full=full) for name, text in row.items()} for row in sight.rows]
        view["source"] = _source(sight, kind, by, now)
        view["editable"] = may is None or ROWS in may
        view["columns"] = [name for name in corrections.tables.columns[kind] if name not in ("person", "responder")]
        return view
    row = sight.rows[0]
    view["fields"] = [
        {
            "name": name,
            "value": shown(kind, name, row.get(name, ""), full=full, town=town),
            "source": _source(sight, kind, sight.by_field.get(name), now),
            "editable": name not in ("id", "line") and (may is None or name in may),
        }
        | _named(register, name, row.get(name, ""))
        for name in shown_fields(kind, corrections.tables)
    ]
    if kind is RecordKind.PERSONS and person is not None:
        view["confirmed"] = _confirmed(person, now)
        view["age"] = age_of(person, now)
    return view


def _named(register: Register, field: str, text: str) -> Json:
    """What an id is called; nothing of a person."""
    if field in ("area", "areas"):
        names = [register.areas[one].name for one in text.split(";") if one in register.areas]
    elif field in RESPONDERS and (text in register.responders or text in register.areas):
        names = [register.responders[text].name if text in register.responders else register.areas[text].name]
    else:
        return {}
    return {"text": " · ".join(names)} if names else {}


def _source(sight: Sight, kind: RecordKind, one: Correction | None, now: datetime) -> Json:
    """Where a value comes from: somebody's correction, or the file and the day on which it was said."""
    if one is not None:
        days = (now - one.at).days
        return {"from": "person", "correction": one.number, "by": one.by, "at": one.at, "days": days, "level": one.level, "reason": one.reason} | (
            {"source": one.source} if one.source else {}
        )
    row = sight.rows[0] if sight.rows and kind not in LISTS else {}
    day = statement_of(row, FileStatement(sight.level, sight.file_at))
    return {"from": "file", "day": day.isoformat(), "days": (now.astimezone(CHINA).date() - day).days, "level": sight.level}


def _confirmed(person: Person, now: datetime) -> Json | None:
    try:
        day = date.fromisoformat(person.confirmed_on)
    except ValueError:
        return None
    return {"on": person.confirmed_on, "by": person.confirmed_by, "days": (now.astimezone(CHINA).date() - day).days}


def correction_view(corrections: Corrections, register: Register, one: Correction, *, full: bool) -> Json:
    """One statement of a record's history."""

    def values(cells: Mapping[str, str]) -> Json:
        return {name: shown(one.kind, name, text, full=full) for name, text in cells.items()}

    state = one.ended or ("superseded" if corrections.is_superseded(one) else "stands")
    view: Json = {
        "number": one.number,
        "kind": one.kind,
        "key": one.key,
        "title": title_of(register, one.kind, one.key, full=full),
        "what": one.what,
        "fields": one.fields,
        "by": one.by,
        "role": one.role,
        "level": one.level,
        "at": one.at,
        "reason": one.reason,
        "source": one.source,
        "state": state,
    }
    if one.kind in LISTS:
        view |= {"rows": [values(row) for row in one.rows], "rows_before": [values(row) for row in one.rows_before]}
    else:
        view |= {"cells": values(one.cells), "before": values(one.before)}
    if one.ended is not None:
        view["ended"] = {"by": one.ended_by, "at": one.ended_at, "reason": one.ended_reason}
    return view


def finding_view(corrections: Corrections, register: Register, finding: Finding, *, full: bool = False) -> Json:
    """What is to be said of a correction, with who said it."""
    one = corrections.all.get(finding.number)
    return {
        "number": finding.number,
        "kind": finding.kind,
        "key": finding.key,
        "title": title_of(register, finding.kind, finding.key, full=full),
        "state": finding.state,
        "field": finding.field,
        "in_force": finding.in_force,
        "file": shown(finding.kind, finding.field, finding.file, full=full) if finding.field else finding.file,
        "ours": shown(finding.kind, finding.field, finding.ours, full=full),
        "why": finding.why.rpartition("/")[2],
        **({"by": one.by, "at": one.at, "reason": one.reason, "level": one.level, "what": one.what} if one is not None else {}),
    }


def named_rows(register: Register, kind: RecordKind, keys: Iterable[str]) -> Iterator[Json]:
    """Records on a list."""
    for key in keys:
        row: Json = {"kind": kind, "key": key, "title": title_of(register, kind, key)}
        if kind is RecordKind.DEVICES:
            on = key_cells(kind, key)
            device = register.device_of(on["line"] or None, on["id"])
            owner = register.persons.get(device.person or "") if device is not None else None
            row |= {"line": on["line"], "owner": mask_name(owner.name) if owner is not None else None, "place": device.place if device else ""}
        elif kind is RecordKind.RESPONDERS and key in register.responders:
            row |= {"responder_kind": register.responders[key].kind, "areas": [register.areas[a].name for a in register.responders[key].areas]}
        elif kind is RecordKind.PROVIDERS and key in register.providers:
            provider = register.providers[key]
            row |= {"since": provider.since, "until": provider.until}
        elif kind is RecordKind.AGREEMENTS and key in register.agreements:
            agreement = register.agreements[key]
            row |= {"between": [agreement.helper, agreement.helped], "since": agreement.since, "until": agreement.until}
        elif kind is RecordKind.LOANS:
            loan = next(one for one in register.loans if one.id == key)
            row |= {"between": [loan.lender, loan.borrower], "since": loan.since, "until": loan.until}
        yield row
