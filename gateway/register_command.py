"""`gateway register import | corrections | export`: what a new file would change and taking it, what people corrected, and the files with it in them.

A running gateway takes a file itself; else this command is the one writer.
"""

import argparse
import csv
import getpass
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import msgspec

from gateway.clock import utc_now
from gateway.config import Config, read_config
from gateway.core.corrections import Correction, Finding, RecordKind, State
from gateway.core.shards import CATCH_ALL
from gateway.core.state import Record
from gateway.errors import GatewayError, Refused, StoreBroken
from gateway.event import Kind, Phase
from gateway.journal_command import journal_of
from gateway.own_api import OwnApi
from gateway.register_files import export_rows, read_overlaid, replace_file
from gateway.register_import import UPLOAD_LIMIT, Preview, preview
from gateway.store import corrections as table
from gateway.store.store import Batch, Store

TIMEOUT_S = 300.0  # of the running gateway's answer: a city is read in 20 s, three times over
SHOWN = 20  # lines of each sort


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `register` to the commands."""
    parser = subparsers.add_parser("register", help="take a new file of the register, list what people corrected, export the files with it")
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    importing = what.add_parser("import", help="say what a new file would change; with --take, take it")
    importing.add_argument("file", type=Path, metavar="FILE", help="CSV in UTF-8, columns as in config/districts/README.md")
    importing.add_argument("--take", action="store_true", help="write it in the place of the old file (which is kept) and bring it into force")
    importing.add_argument("--reason", default="", help="with --take: why, for the record (no personal data)")
    importing.set_defaults(run=_import)
    listing = what.add_parser("corrections", help="what stands, what the files contradict, what no longer applies; ids only")
    listing.set_defaults(run=_corrections)
    exporting = what.add_parser("export", help="a file of the register with the corrections in it")
    exporting.add_argument("--csv", type=Path, metavar="FILE", help="default: standard output")
    exporting.set_defaults(run=_export)
    for one in (importing, exporting):
        one.add_argument("--kind", required=True, choices=[kind.value for kind in RecordKind], help="which file")
    for one in (importing, listing, exporting):
        one.add_argument("--config", default="config/gateway.toml", help="default: config/gateway.toml")


def stored(config: Config) -> list[Correction]:
    """What people corrected; nothing where there is no journal yet."""
    try:
        with journal_of(config, CATCH_ALL) as store:
            return table.load(store.engine)
    except StoreBroken:
        return []


def _import(args: argparse.Namespace) -> int:
    config, kind = read_config(args.config), RecordKind(args.kind)
    try:
        if args.file.stat().st_size > UPLOAD_LIMIT:
            raise GatewayError(f"{args.file}: is larger than {UPLOAD_LIMIT} bytes; copy it into {config.district_folder} and reload")
        data = args.file.read_bytes()
    except OSError as error:
        raise GatewayError(f"{args.file}: {error.strerror}: name another file") from error
    seen = preview(config.district_folder, config.channels, stored(config), kind, data)
    _tell(seen, kind)
    if seen.faults:
        return 1
    if not args.take:
        return 0
    if config.bus.servers:
        where = config.district_folder
        raise GatewayError(
            f"with [bus] the register's files lie on every machine: put the file into {where} of each, then systemctl reload each part"
        )
    if not args.reason.strip():
        raise GatewayError("--take needs --reason: the journal says why a file was taken")
    _take(config, kind, data, seen, args.reason.strip())
    print(f"taken: {kind.file}")
    return 0


def _tell(seen: Preview, kind: RecordKind) -> None:
    print(f"{kind.file}: {seen.records} records, {seen.same} the same, {seen.new} new, {seen.changed} changed, {seen.missing} missing")
    print(f"corrections: {len(seen.conflicts)} in conflict, {seen.agreed} taken over, {seen.lost} without their record")
    for fault in seen.faults:
        print(fault)
    for change in seen.changed_shown[:SHOWN]:
        what = ", ".join(change.fields) if change.rows is None else f"{change.rows[0]} → {change.rows[1]} rows"
        print(f"  changed {change.key}: {what}")
    for word, keys in (("new", seen.new_shown), ("missing", seen.missing_shown)):
        for key in keys[:SHOWN]:
            print(f"  {word} {key}")
    for finding in seen.conflicts[:SHOWN]:
        print(f"  {_said(finding)}")


def _take(config: Config, kind: RecordKind, data: bytes, seen: Preview, reason: str) -> None:
    store = Store(config.store.url, config.data_folder)
    try:
        store.open()
    except StoreBroken:
        store.close()
        _ask(config, kind, data, reason)
        return
    try:
        counts = {name: getattr(seen, name) for name in ("records", "new", "changed", "missing")}
        facts = {"what": "import", "record": kind, "digest": seen.digest, "reason": reason, **counts}
        entry = Record(kind=Kind.CORRECTED, phase=Phase.STATE, at=utc_now(), facts=msgspec.json.encode(facts), actor=getpass.getuser())
        store.write(Batch(records=[entry]))
        replace_file(config.district_folder, kind, data, utc_now())
    except OSError as error:
        raise GatewayError(f"cannot write {config.district_folder / kind.file} ({error.strerror}): correct its rights") from error
    finally:
        store.close()


def _ask(config: Config, kind: RecordKind, data: bytes, reason: str) -> None:
    """The gateway runs: it writes the file, and it is in force at once."""
    api = OwnApi(config.console.listen, config.data_folder, config.console_certificate, timeout_s=TIMEOUT_S)
    body: dict[str, Any] = {"kind": kind, "csv": data.decode("utf-8-sig"), "reason": reason}
    try:
        body["digest"] = api.post("/api/v1/register/import", {name: body[name] for name in ("kind", "csv")})["digest"]
        api.post("/api/v1/register/import/take", body)
    except Refused as refused:
        problems = refused.facts.get("problems")
        more = "; ".join(map(str, problems)) if isinstance(problems, Sequence) else ""
        raise GatewayError(f"refused: {refused.reason} {more}".rstrip()) from refused


def _corrections(args: argparse.Namespace) -> int:
    config = read_config(args.config)
    standing = [one for one in stored(config) if one.ended is None]
    counts = Counter(one.kind.value for one in standing)
    print(f"corrections: {len(standing)}" + (f" ({', '.join(f'{kind} {count}' for kind, count in sorted(counts.items()))})" if standing else ""))
    findings = read_overlaid(config.district_folder, config.channels, standing).findings
    for state in (State.CONFLICT, State.LOST, State.INVALID, State.AGREED):
        some = [one for one in findings if one.state is state]
        print(f"{state.value}: {len(some)}")
        if state is not State.AGREED:
            print(*(f"  {_said(one)}" for one in some[:SHOWN]), sep="\n", end="\n" if some else "")
    return 0


def _said(one: Finding) -> str:
    """One line; ids and names of fields, never values."""
    counts = "the correction counts" if one.in_force else "the file counts"
    return f"{one.state.value} {one.kind} {one.key} {one.field} (correction {one.number}): {one.why or counts}".replace("  ", " ")


def _export(args: argparse.Namespace) -> int:
    config = read_config(args.config)
    columns, rows = export_rows(config.district_folder, RecordKind(args.kind), [one for one in stored(config) if one.ended is None])

    def write(out: TextIO) -> None:
        writer = csv.DictWriter(out, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)

    if args.csv is None:
        write(sys.stdout)
        return 0
    try:
        with args.csv.open("w", encoding="utf-8-sig", newline="") as out:  # with its mark spreadsheets read Chinese
            write(out)
    except OSError as error:
        raise GatewayError(f"{args.csv}: {error.strerror}: name another file") from error
    return 0
