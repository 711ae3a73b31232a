"""`gateway journal verify | show | proof | decisions`: prove the journal, read it, prove one incident, or say why who was sent.

With [bus] every shard has a journal and a chain of its own: all are proven, and an incident's entries stand in the one that its number tells.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from heapq import merge
from pathlib import Path

import msgspec
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from gateway.clock import from_micros
from gateway.config import Config, read_config
from gateway.core.state import FIRST_NUMBER, number_of
from gateway.errors import GatewayError, StoreBroken
from gateway.register_files import read_register
from gateway.routing_words import LANGUAGES, explained, none_found
from gateway.store.chain import Broken, Row, verify
from gateway.store.decisions import decisions
from gateway.store.store import Store, reason_of

UNDEFINED_TABLE = "42P01"  # SQLSTATE of PostgreSQL
SHARDS_THERE = r"SELECT count(*) FROM information_schema.schemata WHERE schema_name ~ '^shard_[0-9]+$'"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `journal` to the commands."""
    parser = subparsers.add_parser("journal", help="prove that nothing in the journal was changed, or read it")
    parser.add_argument("what", choices=["verify", "show", "proof", "decisions"])
    parser.add_argument("incident", nargs="?", help="show: only this incident's entries; proof, decisions: of this incident")
    parser.add_argument("--facts", action="store_true", help="of proof: with what each entry says; personal data, for who may see them")
    parser.add_argument("--config", default="config/gateway.toml", help="default: config/gateway.toml")
    parser.add_argument("--language", choices=LANGUAGES, help="of decisions; default: gateway.language")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit 0 when the chain holds, 1 when it is broken (the first broken entry is named)."""
    config = read_config(args.config)
    if args.what == "verify":
        with journals_of(config) as stores:
            return max([_verify(store) for store in stores])
    if args.what == "show" and not args.incident:
        with journals_of(config) as stores:
            return _show_all(stores)
    with journal_of(config, shard_of(config, args.incident)) as store:
        if args.what == "decisions":
            return _decisions(store, config, args.incident, args.language or config.gateway.language)
        if args.what == "proof":
            return _proof(store, args.incident, facts=args.facts)
        return _show(store, args.incident)


class NoJournal(StoreBroken):
    """There is none yet: no gateway has run here."""


def shard_of(config: Config, incident: str | None) -> int | None:
    """In whose journal an incident stands; None: there is only one."""
    if not config.bus.servers:
        return None
    number = number_of(incident or "")
    return (number - FIRST_NUMBER) % config.bus.shards if number else 0


@contextmanager
def journal_of(config: Config, shard: int | None = None) -> Iterator[Store]:
    """The store of this configuration, to be read beside a running gateway. Raises StoreBroken with the remedy.

    shard: whose, with [bus]; without one whoever can only look at one journal is refused there.
    """
    if config.bus.servers and shard is None:
        raise StoreBroken(
            f"with [bus] each of the {config.bus.shards} shards has a journal of its own, and this looks at one: see docs/guide/cluster.md"
        )
    store = Store(config.store.url, config.data_folder, shard if config.bus.servers else None, writes=False)
    whose = f"of shard {shard} " if config.bus.servers else ""
    absent = NoJournal(f"no journal {whose}at {store.where}; start the gateway first, or correct store.url{' or bus.shards' if whose else ''}")
    if store.engine.dialect.name == "sqlite" and not _has_content(Path(store.where)):  # SQLite would make the file on the first look at it
        raise absent
    try:
        yield store
    except SQLAlchemyError as error:
        reason = reason_of(error)
        if "no such table" in reason or getattr(getattr(error, "orig", None), "sqlstate", None) == UNDEFINED_TABLE:
            raise absent from error
        raise StoreBroken(f"the journal {whose}at {store.where} cannot be read ({reason}); correct store.url, or the rights of the file") from error


@contextmanager
def journals_of(config: Config) -> Iterator[Sequence[Store]]:
    """All stores of this configuration: of every shard with [bus], else the one. Raises StoreBroken; so where there are other shards than it says."""
    if not config.bus.servers:
        with journal_of(config) as store, closing(store):
            yield (store,)
        return
    with ExitStack() as opened:
        stores = [opened.enter_context(journal_of(config, shard)) for shard in range(config.bus.shards)]
        for store in stores:
            opened.enter_context(closing(store))
        with stores[0].engine.connect() as connection:
            there = int(connection.scalar(text(SHARDS_THERE)) or 0)
        if there != config.bus.shards:
            remedy = "correct bus.shards" if there > config.bus.shards else "start the cores first, or correct bus.shards or store.url"
            raise StoreBroken(f"there are {there} shards at {stores[0].where}, and bus.shards is {config.bus.shards}: {remedy}")
        yield stores


def _has_content(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:  # it may be there: nobody may take it for a beginning
        raise StoreBroken(f"the journal at {file} cannot be read ({error.strerror}): run this as who may read it, or correct store.url") from error


def _verify(store: Store) -> int:
    proven, broken = store.verify()
    if broken is None:
        print(f"{whose(store)}{proven} entries, chain whole; head {store.head()}")
        return 0
    return _tell_broken(broken, proven, whose(store))


def whose(store: Store) -> str:
    """`shard 3: `, or nothing where there is only one journal."""
    return f"shard {store.ownership.shard}: " if store.ownership.shard is not None else ""


def _tell_broken(broken: Broken, proven: int, which: str = "") -> int:
    words = {
        "gap": "is missing",
        "digest": "was changed",
        "chain": "does not follow from the one before it",
        "erased": "was erased, and no entry says that it was",
    }
    print(f"{which}broken: entry {broken.seq} {words[broken.reason]} ({broken.reason}); {proven} entries before it hold", file=sys.stderr)
    return 1


def _proof(store: Store, incident: str | None, *, facts: bool) -> int:
    """A spot check (domain 6.11): every entry of an incident with its digest and link, and that the whole chain holds. One pass over the journal."""
    mine: list[Row] = []
    head = ""

    def noted(rows: Iterator[Row]) -> Iterator[Row]:
        nonlocal head
        for row in rows:
            head = row.chain.hex()
            if row.incident == incident:
                mine.append(row)
            yield row

    proven, broken = 0, None
    for step in verify(noted(store.journal())):
        if isinstance(step, Broken):
            broken = step
            break
        proven += 1
    if broken is not None:
        return _tell_broken(broken, proven)
    if incident is None or not mine:
        raise GatewayError(f"no incident {incident!r} in the journal at {store.where}; `gateway journal show` lists all")
    for row in mine:
        said = {"facts": msgspec.json.decode(row.facts)} if facts else {}
        proof = {"digest": row.digest.hex(), "chain": row.chain.hex(), "erased": row.is_erased or None}
        print(_line({**_entry(row), **said, **proof}))
    print(_line({"incident": incident, "entries": len(mine), "of": proven, "chain": "whole", "head": head}))
    return 0


def _decisions(store: Store, config: Config, incident: str | None, language: str) -> int:
    """Every decision of an incident in words; names as the register has them now."""
    if incident is None or not store.timeline(incident, limit=1):
        raise GatewayError(f"no incident {incident!r} in the journal at {store.where}; `gateway journal show` lists all")
    responders = read_register(config.district_folder).responders
    found = [one for one in decisions(store.engine, incident=incident) if one.decision is not None]
    for one in found:
        if one.decision is not None:
            print("\n".join(explained(one.decision, lambda name: responders[name].name if name in responders else name, language)), end="\n\n")
    if not found:
        print(none_found(language))
    return 0


def _show_all(stores: Sequence[Store]) -> int:
    """Of several shards in the order of time."""

    def of(store: Store) -> Iterator[tuple[int, dict[str, object]]]:
        shard = {"shard": store.ownership.shard} if store.ownership.shard is not None else {}
        return ((row.at, {**shard, **_entry(row)}) for row in store.journal())

    for _, entry in merge(*map(of, stores), key=lambda one: one[0]) if len(stores) > 1 else of(stores[0]):
        print(_line(entry))
    return 0


def _show(store: Store, incident: str) -> int:
    rows = store.timeline(incident)
    if not rows:
        raise GatewayError(f"no incident {incident!r} in the journal at {store.where}; `gateway journal show` lists all")
    for row in rows:
        print(_line(_entry(row)))
    return 0


def _entry(row: Row) -> dict[str, object]:
    return {"seq": row.seq, "at": from_micros(row.at), "kind": row.kind, "incident": row.incident, "actor": row.actor, "line": row.line}


def _line(entry: dict[str, object]) -> str:
    return msgspec.json.encode({key: value for key, value in entry.items() if value is not None}).decode()
