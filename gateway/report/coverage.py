"""`gateway report coverage`: whom help can reach within the circle, by day and by night: a table, CSV, JSON, and a page with a map."""

import argparse
import csv
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from gateway import register_files
from gateway.clock import utc_now
from gateway.config import Config
from gateway.core.duty import CHINA
from gateway.core.register import Register
from gateway.core.territory import DayKind
from gateway.errors import GatewayError
from gateway.report.coverage_figures import Coverage, cover, rows, who_goes
from gateway.report.coverage_page import page
from gateway.report.words import LANGUAGES
from gateway.roads.in_use import travel_of


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `coverage` to the reports."""
    parser = subparsers.add_parser("coverage", help="whom help can reach within fifteen minutes: table, map, CSV")
    parser.add_argument("--on", type=_day, metavar="DATE", help="as of this day; default: the next day that is worked")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the page with the map there")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write one line an area there")
    parser.add_argument("--outside", type=Path, metavar="FILE", help="write the ids of the persons outside the circle there, farthest first")
    parser.add_argument("--json", action="store_true", help="one JSON object in place of the table")
    parser.add_argument("--language", choices=LANGUAGES, help="of the page; default: gateway.language")
    parser.add_argument("--config", default="config/gateway.toml", help="default: config/gateway.toml")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Work it out and write it. Raises GatewayError for a file that cannot be written."""
    config, register = register_files.read_all(args.config)
    times = moments(config, args.on or worked_day(register, utc_now()))
    found = cover(register, travel_of(config, register), times, config.routing.circle_min, config.coverage)
    try:
        if args.html:
            going = [who_goes(register, at) for at in times]
            args.html.write_text(page(found, register, going, config.coverage, args.language or config.gateway.language), encoding="utf-8")
        if args.csv:
            with args.csv.open("w", encoding="utf-8-sig", newline="") as file:
                csv.writer(file).writerows(rows(found))
        if args.outside:
            with args.outside.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows((("person", "minutes"), *((person, f"{minutes:.1f}") for minutes, person in found.worst)))
    except OSError as error:
        raise GatewayError(f"{error.filename}: {error.strerror}; choose another file") from error
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n" if args.json else "".join(f"{line}\n" for line in _as_text(found)))
    return 0


def moments(config: Config, day: datetime) -> list[datetime]:
    """The hours looked at on a day."""
    return [day.replace(hour=int(clock[:2]), minute=int(clock[3:])) for clock in config.coverage.times]


def worked_day(register: Register, now: datetime) -> datetime:
    """The beginning of the next day that is worked."""
    day = now.astimezone(CHINA).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    while register.calendar.get(day.date(), DayKind.WORKDAY if day.weekday() < 5 else DayKind.HOLIDAY) is not DayKind.WORKDAY:
        day += timedelta(days=1)
    return day


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=CHINA)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write 2026-11-23") from None


def _as_text(found: Coverage) -> Iterator[str]:
    hours = [f"{at:%H:%M}" for at in found.times]
    yield f"within {found.circle_min:g} min ({found.travel}, an estimate), {found.times[0]:%Y-%m-%d}"
    yield f"{'area':24} {'persons':>8} {'no place':>8}" + "".join(f" {hour:>7} {'farthest':>9}" for hour in hours)
    for one in (found.whole, *found.areas):
        figures = "".join(
            f" {'-' if reach.share is None else f'{reach.share:.1%}':>7} {'-' if reach.farthest_min is None else f'{reach.farthest_min:.0f} min':>9}"
            for reach in one.reach
        )
        yield f"{one.id or '-':24} {one.persons:>8,} {one.without_place:>8,}{figures}"
    yield ""
    for target in found.targets:
        verdict = {True: "met", False: "MISSED", None: "no such areas"}[target.met]
        yield f"target {target.name}: {target.served} of {target.areas} areas served, {target.share:.0%} asked: {verdict}"
