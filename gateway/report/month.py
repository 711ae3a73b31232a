"""`gateway report month 2026-10`: the month as a page to print and as CSV, counted anew from the journal at any later time."""

import argparse
import csv
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from heapq import merge
from pathlib import Path
from typing import TextIO

from gateway import register_files
from gateway.clock import utc_now
from gateway.config import ProfileConfig
from gateway.core.duty import CHINA
from gateway.core.register import Register
from gateway.errors import GatewayError
from gateway.incident_clocks import IncidentClocks
from gateway.journal_command import journals_of
from gateway.report.calls import BEFORE
from gateway.report.figures import KINDS_BEFORE, Month, count, rows
from gateway.report.month_page import page
from gateway.report.words import LANGUAGES
from gateway.service_level import Report, ServiceLevels, report, steps_of
from gateway.store.months import opened, steps, steps_before
from gateway.store.store import Store


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `month` to the reports."""
    parser = subparsers.add_parser("month", help="a month as a page with charts (HTML) and as CSV")
    parser.add_argument("month", nargs="?", type=_month, metavar="YYYY-MM", help="default: the month before this one")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the page there")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write section, key, value there; without --html and --csv: to standard output")
    parser.add_argument("--area", default="", metavar="ID", help="only of this street, town or other area and all below it; without calls")
    parser.add_argument("--language", choices=LANGUAGES, help="default: gateway.language")
    parser.add_argument("--config", default="config/gateway.toml", help="default: config/gateway.toml")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Count and write. Raises GatewayError for a month that has not begun, or a file that cannot be written."""
    since, until = args.month or last_month(utc_now())
    if since > utc_now():
        raise GatewayError(f"the month {since.astimezone(CHINA):%Y-%m} has not begun")
    config, register = register_files.read_all(args.config)
    if args.area and args.area not in register.areas:
        raise GatewayError(f"--area {args.area}: {config.district_folder / 'areas.csv'} has no such area")
    profiles = IncidentClocks(config.profile).profiles
    levels = ServiceLevels(config.calls.hotlines, config.hotline, config.profile)
    with journals_of(config) as stores:
        month = month_of(stores, register, since, until, config.routing.circle_min * 60, args.area)
        told = (step for store in stores for step in store.call_steps(since - BEFORE))
        calls = report(steps_of(told), since, until, levels) if not args.area else None
    try:
        if args.html:
            names = {one.number: one.name for one in config.hotline}
            args.html.write_text(page(month, calls, register, profiles, names, args.language or config.gateway.language), encoding="utf-8")
        if args.csv:
            with args.csv.open("w", encoding="utf-8-sig", newline="") as file:  # the mark without which spreadsheets in China show no Chinese
                _write(file, month, calls, profiles)
        elif not args.html:
            _write(sys.stdout, month, calls, profiles)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise GatewayError(f"{error.filename}: {error.strerror}; choose another file") from error
    return 0


def month_of(stores: Sequence[Store], register: Register, since: datetime, until: datetime, circle_s: float, area: str = "") -> Month:
    """The figures of a period, of all shards together; area: only of what happened there, and in all below it."""
    incidents = {name: one for store in stores for name, one in opened(store.engine, since, until).items()}
    if area:
        incidents = {name: one for name, one in incidents.items() if area in register.areas_above(one.area)}
    older = [name for name, one in incidents.items() if one.opened_at < since]
    before = (step for store in stores for step in steps_before(store.engine, older, KINDS_BEFORE, since))
    told = (
        merge(*(steps(store.engine, since, until) for store in stores), key=lambda step: step.at)
        if len(stores) > 1
        else steps(stores[0].engine, since, until)
    )
    return count(told, incidents, before, register, Month(since, until, circle_s, area))


def last_month(now: datetime) -> tuple[datetime, datetime]:
    """(begin, end) of the local month before this one."""
    first = now.astimezone(CHINA).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first - timedelta(days=1)).replace(day=1), first


def _month(text: str) -> tuple[datetime, datetime]:
    try:
        first = datetime.strptime(text, "%Y-%m").replace(tzinfo=CHINA)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no month; write 2026-10") from None
    return first, (first + timedelta(days=32)).replace(day=1)


def _write(file: TextIO, month: Month, calls: Report | None, profiles: Sequence[ProfileConfig]) -> None:
    writer = csv.writer(file)
    writer.writerow(("section", "key", "value"))
    writer.writerows(rows(month, profiles))
    for hotline, tally in calls.hotlines.items() if calls is not None else ():
        writer.writerows((f"calls_{hotline}", outcome.value, number) for outcome, number in tally.outcomes.items())
