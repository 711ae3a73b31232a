"""Reads what a district writes down about its responders: rosters.csv, calendar.csv, loans.csv, providers.csv and agreements.csv.

All may be absent. What gateway.core.territory says of each row holds here; the columns are described in config/districts/README.md.
"""

from collections.abc import Collection, Iterator
from datetime import date
from typing import Any

import msgspec

from gateway import register_cells as cells
from gateway.core.territory import AidAgreement, DayKind, Loan, Provider, ProviderState, Shift
from gateway.csv_file import CellFault, Column, FileFaults
from gateway.event import Kind
from gateway.register_reading import Reading, Share

FOR_ALL = ("urgent", "service", "all")  # kinds of an agreement that are no kinds of incident
KINDS = frozenset((*FOR_ALL, *Kind))
DATED = {"since": Column(cells.date_of, True), "until": Column(cells.date_of, True)}
NEVER, ALWAYS = date.min, date.max  # in place of a faulty date, which is a fault already


class Territory(msgspec.Struct, frozen=True):
    """What the five files say."""

    shifts: tuple[Shift, ...]
    calendar: dict[date, DayKind]
    loans: tuple[Loan, ...]
    providers: tuple[Provider, ...]
    agreements: tuple[AidAgreement, ...]


def roster_columns(share: Share) -> dict[str, Column]:
    """rosters.csv."""
    ident = share(cells.identifier)
    return {
        "responder": Column(ident, True),
        "days": Column(share(cells.days)),
        "hours": Column(share(cells.hours)),
        "since": Column(cells.date_of),
        "until": Column(cells.date_of),
        "staff": Column(cells.whole(0, 100_000)),
        "people": Column(cells.several(ident)),
    }


def loan_columns(share: Share) -> dict[str, Column]:
    """loans.csv."""
    ident = share(cells.identifier)
    return {
        "id": Column(ident, True),
        "lender": Column(ident, True),
        "borrower": Column(ident, True),
        **DATED,
        "staff": Column(cells.whole(1, 1000)),
        "skills": Column(cells.several(ident)),
    }


def provider_columns(share: Share) -> dict[str, Column]:
    """providers.csv."""
    ident = share(cells.identifier)
    return {
        "id": Column(ident, True),
        "state": Column(cells.word(ProviderState)),
        "since": Column(cells.date_of),
        "until": Column(cells.date_of),
        "services": Column(cells.several(ident)),
        "urgent": Column(cells.yes_or_no),
        "response_min": Column(cells.number(1, 100_000)),
        "grade": Column(cells.number(0, 100)),
        "scale": Column(cells.whole(1, 100)),
        "assessor": Column(share(cells.plain)),
        "graded_on": Column(cells.date_of),
        "grade_until": Column(cells.date_of),
        "points": Column(cells.number(0, 1_000_000)),
        "blocked": Column(share(cells.plain)),
    }


def agreement_columns(share: Share) -> dict[str, Column]:
    """agreements.csv."""
    ident = share(cells.identifier)
    return {
        "id": Column(ident, True),
        "helper": Column(ident, True),
        "helped": Column(ident, True),
        **DATED,
        "kinds": Column(cells.several(_kind), True),
        "duties": Column(cells.plain, True),
        "response_min": Column(cells.number(1, 100_000), True),
        "both": Column(cells.yes_or_no),
        "model": Column(cells.yes_or_no),
    }


def read_territory(reading: Reading, responders: Collection[str], areas: Collection[str]) -> Territory:
    """All five; faults stand in the reading."""
    return Territory(
        shifts=tuple(_shifts(reading, responders)),
        calendar=_calendar(reading),
        loans=tuple(_loans(reading, responders)),
        providers=tuple(_providers(reading, responders)),
        agreements=tuple(_agreements(reading, responders, areas)),
    )


def _shifts(reading: Reading, responders: Collection[str]) -> Iterator[Shift]:
    faults, rows = reading.rows("rosters.csv", roster_columns(reading.share), required=False)
    lines: dict[object, int] = {}
    for line, row in rows:
        shift = Shift(**{"responder": "", **row})
        _known(reading, faults, line, "responder", shift.responder, responders)
        _in_order(faults, line, shift.since, shift.until)
        if shift.staff is not None and len(shift.people) > shift.staff:
            faults.add(line, "people", f"names {len(shift.people)}, more than the staff of {shift.staff}", "correct staff or people")
        first = lines.setdefault(msgspec.structs.replace(shift, staff=None, people=()), line)
        if first != line and shift.responder:
            faults.add(line, "hours", f"has the days and hours of line {first}", "make one row of both: staff is how many are on duty together")
        yield shift


def _calendar(reading: Reading) -> dict[date, DayKind]:
    faults, rows = reading.rows(
        "calendar.csv",
        {"date": Column(cells.date_of, True), "kind": Column(cells.word(DayKind), True), "name": Column(cells.plain)},
        required=False,
    )
    calendar: dict[date, DayKind] = {}
    lines: dict[date, int] = {}
    for line, row in rows:
        day, kind = row.get("date"), row.get("kind")
        if day is None or kind is None:
            continue
        if lines.setdefault(day, line) != line:
            faults.add(line, "date", f"stands in line {lines[day]} too", "remove one")
        if kind is DayKind.WORKDAY and day.isoweekday() <= 5:
            faults.add(line, "kind", "is workday for a day from Monday to Friday", "only worked weekends are written; leave the day out")
        calendar[day] = kind
    return calendar


def _loans(reading: Reading, responders: Collection[str]) -> Iterator[Loan]:
    faults, rows = reading.rows("loans.csv", loan_columns(reading.share), required=False)
    same: dict[msgspec.Struct, int] = {}
    for line, row in _unique(rows, faults):
        loan = Loan(**{"id": "", "lender": "", "borrower": "", "since": NEVER, "until": ALWAYS, **row})
        _known(reading, faults, line, "lender", loan.lender, responders)
        _known(reading, faults, line, "borrower", loan.borrower, responders)
        if loan.lender and loan.lender == loan.borrower:
            faults.add(line, "borrower", "is the lender", "write who gets the staff")
        _in_order(faults, line, loan.since, loan.until)
        _check_doubled(faults, line, msgspec.structs.replace(loan, id=""), same)
        yield loan


def _providers(reading: Reading, responders: Collection[str]) -> Iterator[Provider]:
    faults, rows = reading.rows("providers.csv", provider_columns(reading.share), required=False)
    for line, row in _unique(rows, faults):
        provider = Provider(**{"id": "", **row})
        _known(reading, faults, line, "id", provider.id, responders)
        _in_order(faults, line, provider.since, provider.until)
        _check_grade(faults, line, provider)
        yield provider


def _check_grade(faults: FileFaults, line: int, provider: Provider) -> None:
    """Stars mean nothing without their scale, without who gave them and when (domain 5.5, 5.8)."""
    if provider.grade is None:
        return
    if provider.grade > provider.scale:
        faults.add(line, "grade", f"is more than the scale of {provider.scale}", "correct grade or scale")
    if not provider.assessor:
        faults.add(line, "assessor", "is empty while there is a grade", "write who gave it")
    if provider.graded_on is None:
        faults.add(line, "graded_on", "is empty while there is a grade", "write the day on which it was given")
    _in_order(faults, line, provider.graded_on, provider.grade_until, "grade_until")


def _agreements(reading: Reading, responders: Collection[str], areas: Collection[str]) -> Iterator[AidAgreement]:
    faults, rows = reading.rows("agreements.csv", agreement_columns(reading.share), required=False)
    fallback = {"id": "", "helper": "", "helped": "", "since": NEVER, "until": ALWAYS, "kinds": (), "duties": "", "response_min": 0.0}
    same: dict[msgspec.Struct, int] = {}
    for line, row in _unique(rows, faults):
        agreement = AidAgreement(**{**fallback, **row})
        for column, name in (("helper", agreement.helper), ("helped", agreement.helped)):
            if name and name not in areas and reading.lacks("responders.csv", responders, name) and reading.lacks("areas.csv", areas, name):
                faults.add(line, column, "there is no responder and no area with this id", "add it to responders.csv or areas.csv, or correct the id")
        if agreement.helper and agreement.helper == agreement.helped:
            faults.add(line, "helped", "is the helper", "write who is helped")
        _in_order(faults, line, agreement.since, agreement.until)
        _check_doubled(faults, line, msgspec.structs.replace(agreement, id=""), same)
        yield agreement


def _check_doubled(faults: FileFaults, line: int, without_id: msgspec.Struct, same: dict[msgspec.Struct, int]) -> None:
    """Documents come with whole blocks doubled (domain 8): under two ids the same staff would be lent twice."""
    first = same.setdefault(without_id, line)
    if first != line:
        faults.add(line, "id", f"says the same as line {first}", "remove one")


def _kind(text: str) -> str:
    if text not in KINDS:
        raise CellFault("is no kind of incident", f"write {', '.join(FOR_ALL)}, or kinds as {Kind.SOS}, {Kind.FALL}; several are separated by ;")
    return text


def _unique(rows: Any, faults: FileFaults) -> Iterator[tuple[int, dict[str, Any]]]:
    lines: dict[str, int] = {}
    for line, row in rows:
        name = row.get("id")
        if name and lines.setdefault(name, line) != line:
            faults.add(line, "id", f"stands in line {lines[name]} too", "give each an id of its own, or remove one")
        yield line, row


def _known(reading: Reading, faults: FileFaults, line: int, column: str, name: str, responders: Collection[str]) -> None:
    if name and reading.lacks("responders.csv", responders, name):
        faults.add(line, column, "there is no responder with this id", "add it to responders.csv or correct the id")


def _in_order(faults: FileFaults, line: int, since: date | None, until: date | None, column: str = "until") -> None:
    if since is not None and until is not None and until < since:
        faults.add(line, column, "is before the day on which it begins", "write the last day on which it holds")
