"""Schema versions: what each one added, going up at a start, going back by hand (docs/decisions/0028).

Until now a version only ever added whole tables, so going up is making them and going back is dropping them. A version that changes a
table gets its two functions in CHANGED. Everything happens in one transaction, the version number with it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, func, inspect, select

from gateway.errors import StoreBroken
from gateway.store import accounts, audit, corrections, history, reports, routing_data  # noqa: F401 - so that `metadata` has every table
from gateway.store.schema import SCHEMA_VERSION, meta, metadata

OLDEST = 2  # schema 1 was never run outside its makers' rooms
# Tables that came with a version, and the marks in `meta` that say they were filled from what was there before.
ADDED: Mapping[int, tuple[str, ...]] = {3: ("account", "session", "audit", "history", "history_of", "correction")}
MARKS: Mapping[int, tuple[str, ...]] = {3: ("audit", "history")}
# version → (up from the one before, back to the one before)
CHANGED: Mapping[int, tuple[Callable[[Connection], None], Callable[[Connection], None]]] = {}


def version_of(engine: Engine) -> int | None:
    """The schema that a database has; None: it is empty. Raises StoreBroken for a number that is none."""
    with engine.connect() as connection:
        if not inspect(connection).has_table(meta.name):
            return None
        found = connection.scalar(select(meta.c.value).where(meta.c.name == "schema"))
    try:
        return None if found is None else int(found)
    except ValueError:
        raise StoreBroken(f"the database says that it has schema {found!r}, which is no number: restore a backup") from None


def check(version: int) -> bool:
    """Must this database be brought up first? Raises StoreBroken, with the remedy, for one that this gateway cannot use."""
    if version > SCHEMA_VERSION:
        raise StoreBroken(
            f"the database has schema {version}, this gateway knows {SCHEMA_VERSION}: start the gateway version that wrote it; or go back with"
            f" that version's `gateway downgrade --to-schema {SCHEMA_VERSION}`, which keeps what was journalled since; or `gateway restore`"
            " a backup of before"
        )
    if version < OLDEST:
        raise StoreBroken(f"the database has schema {version}, this gateway can bring up {OLDEST} and later: start a version between them first")
    return version < SCHEMA_VERSION


def upgrade(engine: Engine, version: int) -> None:
    """Bring a database from this version to that of this gateway. Whoever calls has made a backup."""
    with _one_transaction(engine) as connection:
        metadata.create_all(connection)
        for number in range(version + 1, SCHEMA_VERSION + 1):
            if number in CHANGED:
                CHANGED[number][0](connection)
        _tell(connection, SCHEMA_VERSION)


def lost_by_downgrade(engine: Engine, to: int) -> dict[str, int]:
    """table → rows that schema `to` does not know and that would go."""
    with engine.connect() as connection:
        there = set(inspect(connection).get_table_names())
        gone = [name for number in range(to + 1, SCHEMA_VERSION + 1) for name in ADDED.get(number, ()) if name in there]
        return {name: connection.scalar(select(func.count()).select_from(metadata.tables[name])) or 0 for name in gone}


def downgrade(engine: Engine, to: int) -> None:
    """Take away what schema `to` does not know; the journal, the incidents and all else stay. Raises StoreBroken for a version that cannot be."""
    version = version_of(engine)
    if version != SCHEMA_VERSION:
        raise StoreBroken(
            f"the database has schema {version or 'none'}, this gateway knows {SCHEMA_VERSION}: the version that wrote it goes back from there"
        )
    if not OLDEST <= to < version:
        raise StoreBroken(f"there is no way from schema {version} to {to}: give one from {OLDEST} to {version - 1}")
    gone = lost_by_downgrade(engine, to)
    with _one_transaction(engine) as connection:
        for number in range(SCHEMA_VERSION, to, -1):
            if number in CHANGED:
                CHANGED[number][1](connection)
            connection.execute(meta.delete().where(meta.c.name.in_(MARKS.get(number, ()))))
        for name in gone:
            metadata.tables[name].drop(connection)
        _tell(connection, to)


def _tell(connection: Connection, version: int) -> None:
    connection.execute(meta.update().where(meta.c.name == "schema").values(value=str(version)))


@contextmanager
def _one_transaction(engine: Engine) -> Iterator[Connection]:
    """All of it or nothing. SQLite's driver begins none by itself before a table is made or dropped."""
    with engine.connect() as connection:  # what was not committed is rolled back
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection
        connection.commit()
