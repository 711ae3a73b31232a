"""`gateway journal verify | show`: prove the journal, or read it."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from gateway.clock import from_micros
from gateway.config import Config, read_config
from gateway.errors import GatewayError, StoreBroken
from gateway.store.store import Store, reason_of

UNDEFINED_TABLE = "42P01"  # SQLSTATE of PostgreSQL


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `journal` to the commands."""
    parser = subparsers.add_parser("journal", help="prove that nothing in the journal was changed, or read it")
    parser.add_argument("what", choices=["verify", "show"])
    parser.add_argument("incident", nargs="?", help="show: only this incident's entries")
    parser.add_argument("--config", default="config/gateway.toml", help="default: config/gateway.toml")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit 0 when the chain holds, 1 when it is broken (the first broken entry is named)."""
    with journal_of(read_config(args.config)) as store:
        return _verify(store) if args.what == "verify" else _show(store, args.incident)


@contextmanager
def journal_of(config: Config) -> Iterator[Store]:
    """The store of this configuration, to be read beside a running gateway. Raises StoreBroken with the remedy."""
    store = Store(config.store.url, config.data_folder)
    absent = StoreBroken(f"no journal at {store.where}; start the gateway first, or correct store.url")
    if store.engine.dialect.name == "sqlite" and not _has_content(Path(store.where)):  # SQLite would make the file on the first look at it
        raise absent
    try:
        yield store
    except SQLAlchemyError as error:
        reason = reason_of(error)
        if "no such table" in reason or getattr(getattr(error, "orig", None), "sqlstate", None) == UNDEFINED_TABLE:
            raise absent from error
        raise StoreBroken(f"the journal at {store.where} cannot be read ({reason}); correct store.url, or the rights of the file") from error


def _has_content(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except OSError:
        return False


def _verify(store: Store) -> int:
    proven, broken = store.verify()
    if broken is None:
        print(f"{proven} entries, chain whole; head {store.head()}")
        return 0
    words = {"gap": "is missing", "digest": "was changed", "chain": "does not follow from the one before it"}
    print(f"broken: entry {broken.seq} {words[broken.reason]} ({broken.reason}); {proven} entries before it hold", file=sys.stderr)
    return 1


def _show(store: Store, incident: str | None) -> int:
    rows = store.timeline(incident) if incident else store.journal()
    if not rows:
        raise GatewayError(f"no incident {incident!r} in the journal at {store.where}; `gateway journal show` lists all")
    for row in rows:
        entry = {"seq": row.seq, "at": from_micros(row.at), "kind": row.kind, "incident": row.incident, "actor": row.actor, "line": row.line}
        print(msgspec.json.encode({key: value for key, value in entry.items() if value is not None}).decode())
    return 0
