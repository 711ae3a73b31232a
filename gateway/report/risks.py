"""`gateway report risks`: the risk warnings that stand, from the store: a table, CSV or JSON."""

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from gateway import register_files
from gateway.core.duty import CHINA
from gateway.core.register import Register
from gateway.core.risk import Concern
from gateway.core.risk_edges import Warned, area_of, warned
from gateway.errors import GatewayError
from gateway.journal_command import journals_of
from gateway.store.provider_work import standings

COLUMNS = ("rule", "concern", "subject", "area", "since", "value", "facts", "seen_by", "note")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `risks` to the reports."""
    parser = subparsers.add_parser("risks", help="risk warnings that stand: repeat fallers, batteries, who refuses, floods of a model …")
    parser.add_argument("--unseen", action="store_true", help="only those that nobody has looked at")
    parser.add_argument("--without-persons", action="store_true", help="leave out those about persons")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write one line a warning there")
    parser.add_argument("--json", action="store_true", help="one JSON object a line in place of the table")
    parser.add_argument("--config", default="config/gateway.toml", help="default: config/gateway.toml")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print them. Raises GatewayError for a file that cannot be written."""
    config, register = register_files.read_all(args.config)
    with journals_of(config) as stores:
        ruled = standings(*(store.engine for store in stores))
        found = sorted(warned(ruled), key=lambda one: (bool(one.seen_by), one.rule.name, -one.value, one.subject))
    rows = [
        as_row(register, one)
        for one in found
        if not (args.unseen and one.seen_by) and not (args.without_persons and one.rule.concern is Concern.PERSON)
    ]
    if args.csv:
        try:
            with args.csv.open("w", encoding="utf-8-sig", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(COLUMNS)
                writer.writerows([row[name] for name in COLUMNS] for row in rows)
        except OSError as error:
            raise GatewayError(f"{error.filename}: {error.strerror}; choose another file") from error
    lines = (msgspec.json.encode(row).decode() for row in rows) if args.json else _as_text(rows)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def as_row(register: Register, one: Warned) -> dict[str, str]:
    """One warning in words that can stand in a cell."""
    facts = " ".join(f"{name}={value:g}" for name, value in one.facts.items())
    since = one.at.astimezone(CHINA).strftime("%Y-%m-%d %H:%M")
    values = (
        one.rule.name,
        one.rule.concern.value,
        one.subject,
        area_of(register, one) or "",
        since,
        f"{one.value:.2f}",
        facts,
        one.seen_by,
        one.note,
    )
    return dict(zip(COLUMNS, values, strict=True))


def _as_text(rows: Iterable[dict[str, str]]) -> Iterator[str]:
    some = list(rows)
    if not some:
        yield "no risk warning stands"
        return
    shown = COLUMNS[:1] + COLUMNS[2:8]
    widths = {name: max(len(name), *(len(row[name]) for row in some)) for name in shown}
    for cells in (dict(zip(shown, shown, strict=True)), *some):
        yield "  ".join((cells[name] or "-").ljust(widths[name]) for name in shown).rstrip()
