"""The rows of an export, one by one out of the archive, and how they are written: CSV that no spreadsheet calculates, or JSON lines."""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice

import msgspec

from gateway.clock import from_micros
from gateway.console.audit_routes import AuditRow, entry_view, facts_of
from gateway.console.reader import Reader, area_of
from gateway.console.seam import House
from gateway.console.views import Json, age_of, caller_of, mask_name, mask_numbers, mask_phone, place_of, responder_name, shown_device, timeline_entry
from gateway.core.incident import Incident
from gateway.core.register import Register
from gateway.core.routing import CHINA
from gateway.event import Kind
from gateway.store.audit import AUDITED
from gateway.store.history import is_complained
from gateway.store.reports import Entry

FORMATS = frozenset(("csv", "jsonl"))
AT_ONCE = 500  # entries whose incidents are looked up together
CALLS = tuple(kind.value for kind in (Kind.CALL_ENDED, Kind.CALL_ABANDONED, Kind.CALL_MISSED, Kind.CALL_FAILED))
# How a spreadsheet knows a formula (OWASP, "CSV Injection").
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """What is taken out, by whom and why."""

    what: str
    format: str
    since: datetime
    until: datetime
    masked: bool
    reason: str
    reader: Reader


def rows_of(house: House, wanted: Rows) -> Iterator[Json]:
    """Every row the reader may have, oldest first. Blocks; for a thread."""
    match wanted.what:
        case "incidents":
            yield from _incidents(house, wanted)
        case "calls":
            yield from _calls(house, wanted)
        case "audit":
            yield from _audit(house, wanted)
        case _:
            yield from _journal(house, wanted)


def written(wanted: Rows, rows: Iterable[Json]) -> Iterator[bytes]:
    """The file in parts, a row each; the first part is what stands before them."""
    if wanted.format == "jsonl":
        yield b""
        for row in rows:
            yield msgspec.json.encode(row) + b"\n"
        return
    header = HEADERS[wanted.what]
    yield b"\xef\xbb\xbf" + _line(header)  # with its mark a spreadsheet reads Chinese
    for row in rows:
        yield _line([_cell(row.get(name)) for name in header])


def _line(cells: Iterable[object]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue().encode()


def _cell(value: object) -> object:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    if isinstance(value, list | tuple | dict):
        return _cell(" ".join(map(str, value)) if not isinstance(value, dict) else msgspec.json.encode(value).decode())
    return "" if value is None else value


def _local(at: datetime | None) -> str | None:
    """As a spreadsheet takes it: local time of the district."""
    return f"{at.astimezone(CHINA):%Y-%m-%d %H:%M:%S}" if at is not None else None


_PLAIN = (
    "id opened_at closed_at kind also severity state outcome flags cries area area_name hotline person name age risks address caller device owner"
    " acknowledged_at ordered_at arrived_at resolved_at responders satisfaction complaint waived"
)
HEADERS: dict[str, tuple[str, ...]] = {
    "incidents": tuple(_PLAIN.split()),
    "journal": ("seq", "at", "kind", "phase", "incident", "person", "actor", "detail"),
    "calls": ("seq", "at", "kind", "call", "hotline", "caller", "agent", "agent_name", "waiting", "reason", "incident"),
    "audit": ("seq", "at", "kind", "actor", "role", "address", "what", "object", "field", "reason", "result", "detail"),
}


def _incidents(house: House, wanted: Rows) -> Iterator[Json]:
    for one in house.archive.opened_between(wanted.since, wanted.until):
        if wanted.reader.sees(house.register, one):
            yield _incident(house, one, wanted.masked)


def _incident(house: House, one: Incident, masked: bool) -> Json:
    register, hotlines = house.register, house.config.calls.hotlines
    person = register.persons.get(one.person or "")
    area = area_of(register, one)
    node = register.areas.get(area or "")
    legs = one.legs
    return {
        "id": one.id,
        "opened_at": _local(one.opened_at),
        "closed_at": _local(one.closed_at),
        "kind": one.kind,
        "also": list(one.also),
        "severity": one.severity,
        "state": one.state,
        "outcome": one.outcome,
        "flags": list(one.flags),
        "cries": one.cries,
        "area": area,
        "area_name": node.name if node else None,
        "hotline": one.hotline,
        "person": one.person,
        "name": (mask_name(person.name) if masked else person.name) if person else None,
        "age": age_of(person, house.now()) if person else None,
        "risks": list(person.risks) if person else [],
        "address": place_of(register, one) if masked or person is None else person.address,
        "caller": caller_of(one) if masked or one.presentation == "restricted" else one.caller,
        "device": shown_device(one.device) if masked else one.device,
        "owner": one.owner,
        "acknowledged_at": _local(one.acknowledged_at),
        "ordered_at": _local(min((leg.ordered_at for leg in legs), default=None)),
        "arrived_at": _local(min((leg.arrived_at for leg in legs if leg.arrived_at), default=None)),
        "resolved_at": _local(one.resolved_at),
        "responders": [responder_name(register, leg.responder) for leg in legs],
        "satisfaction": one.satisfaction,
        "complaint": int(is_complained(one)),
        "waived": (mask_numbers(one.waived, hotlines) if masked else one.waived) or None,
    }


def _journal(house: House, wanted: Rows) -> Iterator[Json]:
    hotlines = house.config.calls.hotlines
    hidden = {kind.value for kind in AUDITED}  # that is the auditor's, and taken out by him
    for entry, _ in _mine(house, wanted, house.archive.entries(wanted.since, wanted.until), loose=not wanted.reader.areas):
        if entry.incident is None and entry.kind in hidden:
            continue
        facts = facts_of(entry)
        if wanted.masked:
            row = AuditRow(entry.seq, from_micros(entry.at), entry.kind, entry.phase, entry.actor, facts)
            detail = timeline_entry(row, False, hotlines)["detail"]
        else:
            detail = facts
        yield {
            "seq": entry.seq,
            "at": _local(from_micros(entry.at)),
            "kind": entry.kind,
            "phase": entry.phase,
            "incident": entry.incident,
            "person": entry.person,
            "actor": entry.actor,
            "detail": detail,
        }


def _calls(house: House, wanted: Rows) -> Iterator[Json]:
    for entry, _ in _mine(house, wanted, house.archive.entries(wanted.since, wanted.until, CALLS), loose=True):
        detail = facts_of(entry).get("detail")
        told = detail if isinstance(detail, dict) else {}
        caller = told.get("caller_e164") or told.get("caller")
        if entry.incident is None and caller and not _is_of(wanted.reader, house.register, str(caller)):
            continue
        is_hidden = told.get("presentation") == "restricted"
        yield {
            "seq": entry.seq,
            "at": _local(from_micros(entry.at)),
            "kind": entry.kind,
            "call": told.get("call"),
            "hotline": told.get("hotline"),
            "caller": "restricted" if is_hidden else mask_phone(str(caller)) if caller and wanted.masked else caller,
            "agent": told.get("agent"),
            "agent_name": told.get("agent_name"),
            "waiting": told.get("waiting"),
            "reason": told.get("reason"),
            "incident": entry.incident,
        }


def _is_of(reader: Reader, register: Register, caller: str) -> bool:
    """May a call of no incident be the reader's? Not if everybody who has that number lives elsewhere."""
    known = register.persons_with_phone(caller)
    return not known or any(reader.covers(register, person.area) for person in known)


def _audit(house: House, wanted: Rows) -> Iterator[Json]:
    kinds = tuple(kind.value for kind in AUDITED)
    for entry in house.archive.entries(wanted.since, wanted.until, kinds):
        if entry.kind == Kind.NOTE and entry.incident is not None:
            continue
        shown = entry_view(entry, house.config.calls.hotlines)
        yield shown | {"at": _local(from_micros(entry.at))}


def _mine(house: House, wanted: Rows, entries: Iterator[Entry], *, loose: bool) -> Iterator[tuple[Entry, Incident | None]]:
    """Entries of incidents in the reader's areas; loose: those of no incident, too."""
    register, reader = house.register, wanted.reader
    while part := list(islice(entries, AT_ONCE)):
        names = sorted({entry.incident for entry in part if entry.incident is not None})
        known = house.archive.incidents(names) if names else {}
        for entry in part:
            one = known.get(entry.incident or "")
            if (loose and entry.incident is None) or (one is not None and reader.sees(register, one)):
                yield entry, one
