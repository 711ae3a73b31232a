"""`gateway export analytics | volunteers`: CSV for others: figures in which nobody can be found again, and the hours that volunteers gave."""

import argparse
import csv
import sys
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TextIO

import msgspec
from sqlalchemy import Engine

from gateway import register_files
from gateway.core.cells import Cell, Fact, K, cells
from gateway.core.duty import CHINA
from gateway.core.incident import Incident, LegState, Role
from gateway.core.register import Register
from gateway.errors import GatewayError
from gateway.event import ALARM_KINDS, Kind
from gateway.incident_clocks import street_of
from gateway.journal_command import journals_of
from gateway.store.exports import done_of, incidents_of

VISIT_AT_MOST = timedelta(hours=12)  # an order that nobody closed for longer was forgotten, not worked on
VOLUNTEERS = ("volunteer", "incident", "day", "from", "until", "minutes")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `export` to the commands."""
    parser = subparsers.add_parser("export", help="CSV for others: de-identified figures, volunteers' hours")
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    analytics = what.add_parser("analytics", help="counts by month, street and kind, without persons; small cells are put together")
    analytics.add_argument("--by", choices=("day", "week", "month"), default="month", help="length of a period (default %(default)s)")
    analytics.add_argument("-k", type=int, default=K, help="persons a cell at least, 3 or more (default %(default)s)")
    analytics.set_defaults(run=_analytics)
    volunteers = what.add_parser("volunteers", help="what neighbours did and how long, for a volunteers' platform")
    volunteers.set_defaults(run=_volunteers)
    for one in (analytics, volunteers):
        one.add_argument("--since", type=_day, required=True, metavar="DAY", help="first local day, YYYY-MM-DD")
        one.add_argument("--until", type=_day, required=True, metavar="DAY", help="last local day")
        one.add_argument("--csv", type=Path, metavar="FILE", help="default: standard output")
        one.add_argument("--config", default="config/gateway.toml", help="default: config/gateway.toml")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day: write YYYY-MM-DD") from None


def _analytics(args: argparse.Namespace) -> int:
    if args.k < 3:
        raise GatewayError(f"-k {args.k}: with fewer than 3 persons in a cell one of two knows who the other is; write 3 or more")
    since, until = _period(args)
    config, register = register_files.read_all(args.config)
    with journals_of(config) as stores:
        incidents = (one for store in stores for one in incidents_of(store.engine, since, until))
        found = list(cells(facts_of(incidents, register, args.by), args.k))
    _write(args.csv, Cell.__struct_fields__, (msgspec.structs.astuple(cell) for cell in found))
    return 0


def _volunteers(args: argparse.Namespace) -> int:
    since, until = _period(args)
    config, _ = register_files.read_all(args.config)
    with journals_of(config) as stores:
        rows = (row for store in stores for row in hours_of(store.engine, incidents_of(store.engine, since, until)))
        _write(args.csv, VOLUNTEERS, rows)
    return 0


def facts_of(incidents: Iterator[Incident], register: Register, by: str) -> Iterator[Fact]:
    """Alarms and service requests as facts; what was merged counts in the one it went up in."""
    for one in incidents:
        if one.merged_into is not None or (one.kind not in ALARM_KINDS and one.kind is not Kind.SERVICE_REQUEST):
            continue
        there = min((leg.arrived_at for leg in one.legs if leg.arrived_at is not None), default=None)
        yield Fact(
            period=period_of(one.opened_at, by),
            area=street_of(register, one.area),
            kind=f"{one.kind}:{one.service}" if one.service else one.kind.value,
            who=one.person or one.id,
            minutes=(there - one.opened_at).total_seconds() / 60 if there is not None and one.kind in ALARM_KINDS else None,
            outcome=one.outcome or "",
            satisfaction=one.satisfaction,
        )


def period_of(at: datetime, by: str) -> str:
    """The local day, ISO week (2026-W47) or month of a time."""
    local = at.astimezone(CHINA)
    if by == "week":
        year, week, _ = local.isocalendar()
        return f"{year}-W{week:02}"
    return local.strftime("%Y-%m-%d" if by == "day" else "%Y-%m")


def hours_of(engine: Engine, incidents: Iterator[Incident]) -> Iterator[tuple[object, ...]]:
    """One line a visit: from the answer to "done". Of the person visited nothing."""
    for one in incidents:
        legs = [leg for leg in one.legs if leg.role is Role.NEIGHBOUR and leg.state is LegState.DONE and leg.answered_at is not None]
        done = done_of(engine, one.id) if legs else {}
        for leg in legs:
            until = done.get(leg.delivery)
            if until is None or leg.answered_at is None or not timedelta(0) <= until - leg.answered_at <= VISIT_AT_MOST:
                continue
            begun, ended = leg.answered_at.astimezone(CHINA), until.astimezone(CHINA)
            minutes = round((ended - begun).total_seconds() / 60)
            yield leg.responder, one.id, begun.date().isoformat(), begun.strftime("%H:%M"), ended.strftime("%H:%M"), minutes


def _period(args: argparse.Namespace) -> tuple[datetime, datetime]:
    if args.until < args.since:
        raise GatewayError(f"--until {args.until} is before --since {args.since}: exchange them")
    return datetime.combine(args.since, time(), CHINA), datetime.combine(args.until + timedelta(days=1), time(), CHINA)


def _write(file: Path | None, header: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> None:
    def write(out: TextIO) -> None:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)

    if file is None:
        write(sys.stdout)
        return
    try:
        with file.open("w", encoding="utf-8-sig", newline="") as out:  # with its mark spreadsheets read Chinese
            write(out)
    except OSError as error:
        raise GatewayError(f"{file}: {error.strerror}: name another file") from error
