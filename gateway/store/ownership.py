"""Who may write: one process a database, or one a shard when several cores share a PostgreSQL server.

A shard has a schema of its own there (`shard_3`) with all the tables, and its journal is a chain of its own. Its owner holds an advisory lock in
the very session that commits: a session that is gone has neither lock nor commit. The row of `ownership` says the rest: the epoch, one more with
each owner and looked at by every commit, and the position: up to which message of the bus everything is on disk.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, BigInteger, Column, Connection, Engine, Integer, MetaData, Table, Text, create_engine, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateSchema

from gateway.errors import StoreBroken

POSTGRES_LOCK = 12349  # advisory lock: one writer a database; with the shard as its second number, one a shard
SIGHT_LOCK = POSTGRES_LOCK + 1  # shared, of every core that sees the bus
# A machine that vanishes leaves its session behind: the server looks after 2 s of silence, asks three times, and ends it within 6 s. One that hangs
# keeps the connection and says nothing: so the owner must speak every IDLE_S, or the server ends its session (PostgreSQL 14 and later).
IDLE_S = 7
# While it reads the working set, or brings up the tables of an earlier release, it has nothing to say: for so long it may.
SILENT_AT_FIRST_S = 600
LEFT_BEHIND = {"tcp_keepalives_idle": "2", "tcp_keepalives_interval": "1", "tcp_keepalives_count": "3", "tcp_user_timeout": "5000"}
VANISHED = {**LEFT_BEHIND, "idle_session_timeout": str(IDLE_S * 1000), "idle_in_transaction_session_timeout": "5000"}
# … and the other way round: a server that vanished is no server after 5 s.
ANSWERS = {"connect_timeout": 5, "keepalives_idle": 2, "keepalives_interval": 1, "keepalives_count": 3, "tcp_user_timeout": 5000}

ownership = Table(
    "ownership",
    MetaData(),
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("stream", BigInteger, nullable=False),
    Column("shards", Integer, nullable=False),
    Column("heard", Text, nullable=False, server_default=""),
)
_WITH_HEARD = "ALTER TABLE ownership ADD COLUMN IF NOT EXISTS heard text NOT NULL DEFAULT ''"  # written first on 2026-11-23
# Advisory locks that somebody holds in this very database; with one number as their name, or with two.
_HELD = "pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
_SEEN_BY = f"SELECT count(*) FROM {_HELD} AND objsubid = 1 AND objid = :lock"
_OWNED = f"SELECT objid FROM {_HELD} AND objsubid = 2 AND classid = :lock"
_COMMIT = "UPDATE ownership SET position = %s, stream = %s, heard = %s WHERE one = 1 AND epoch = %s RETURNING 1"


def schema_of(shard: int) -> str:
    """The PostgreSQL schema of a shard."""
    return f"shard_{shard}"


class InUse(StoreBroken):
    """Somebody else writes there."""


class Ownership:
    """The right to write, and up to where the bus is read.

    shards: how many there are; numbers of incidents say by it whose they are, so it never changes
    position: set by who reads the bus, written with the next commit; stream: when the stream that it counts was made (gateway.bus.contract)
    heard: up to which message of each edge (gateway.bus.heard), as text; written with the position
    """

    def __init__(self, shard: int | None = None, shards: int = 1) -> None:
        self.shard = shard
        self.shards = shards
        self.epoch = 0
        self.position = 0
        self.stream = 0
        self.heard = ""

    def engine(self, url: str, *, writes: bool = True) -> Engine:
        """The engine of a PostgreSQL shard. Raises nothing: it dials when it is first used. writes: who only looks on need not say that it lives."""
        settings = {"search_path": self.schema, **(VANISHED if writes else {})}
        return create_engine(url, connect_args={"options": _options(settings), **ANSWERS}, pool_pre_ping=True)

    @property
    def schema(self) -> str:
        """The PostgreSQL schema that holds the tables."""
        return schema_of(self.shard) if self.shard is not None else "public"

    def take(self, connection: Connection) -> None:
        """Become the one writer of this session. Raises InUse when another is."""
        with connection.begin():
            key = (POSTGRES_LOCK,) if self.shard is None else (POSTGRES_LOCK, self.shard)
            if not connection.scalar(select(func.pg_try_advisory_lock(*key))):
                raise InUse(
                    "another gateway is writing to this database: stop it, or set store.url to another one; a session that this gateway, or one"
                    " that lost its machine, has left behind is ended by the server within ten seconds"
                )
        if self.shard is not None:
            if not self.epoch:
                self._allow(connection, f"SET idle_session_timeout = '{SILENT_AT_FIRST_S}s'")
            self._begin_epoch(connection)

    def begin_to_speak(self, connection: Connection) -> None:
        """The first owner's silence is over: as in VANISHED from now on."""
        if self.shard is not None:
            self._allow(connection, "RESET idle_session_timeout")

    @contextmanager
    def long_silence(self, connection: Connection) -> Iterator[None]:
        """While a dump is made before the schema changes: of a province's year that takes hours. A machine that vanishes is noticed all the same."""
        if self.shard is None:
            yield
            return
        self._allow(connection, "SET idle_session_timeout = 0")
        yield
        self._allow(connection, f"SET idle_session_timeout = '{SILENT_AT_FIRST_S}s'")

    @staticmethod
    def _allow(connection: Connection, how: str) -> None:
        with connection.begin():
            connection.exec_driver_sql(how)

    def _begin_epoch(self, connection: Connection) -> None:
        with connection.begin():
            connection.execute(CreateSchema(self.schema, if_not_exists=True))
            ownership.create(connection, checkfirst=True)
            connection.exec_driver_sql(_WITH_HEARD)
            mine = insert(ownership).values(one=1, epoch=1, position=0, stream=0, shards=self.shards)
            later = mine.on_conflict_do_update(index_elements=["one"], set_={"epoch": ownership.c.epoch + 1})
            row = connection.execute(later.returning(*ownership.c)).one()
            if row.shards != self.shards:
                raise StoreBroken(
                    f"this installation has {row.shards} shards, and its incidents are numbered by that: write bus.shards = {row.shards}"
                )
            if self.epoch and row.epoch != self.epoch + 1:
                raise StoreBroken(f"shard {self.shard} had another owner meanwhile: this one begins again")
        if not self.epoch:  # else the connection broke, and we know better than what we could still write
            self.position, self.stream, self.heard = row.position, row.stream, row.heard
        self.epoch = row.epoch

    def check(self, connection: Connection) -> None:
        """In the transaction of every commit: still ours? Writes the position. Raises StoreBroken when another has become the owner."""
        if self.shard is not None and connection.exec_driver_sql(_COMMIT, (self.position, self.stream, self.heard, self.epoch)).first() is None:
            raise StoreBroken(f"shard {self.shard} has another owner by now: this one stops")


def alone(url: URL) -> dict[str, Any]:
    """How the one gateway of a PostgreSQL database connects: what its address says counts more.

    The session of a machine that lost its power would else hold the lock until the server looks after it, two hours later if not said otherwise,
    and no gateway could start; and a server that vanished would hold up a commit for a quarter of an hour.
    """
    given = url.query.get("options", "")
    options = " ".join((_options(LEFT_BEHIND), given if isinstance(given, str) else " ".join(given))).strip()
    return {"options": options, **{name: value for name, value in ANSWERS.items() if name not in url.query}}


def _options(settings: dict[str, str]) -> str:
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def owned(engine: Engine) -> frozenset[int]:
    """The shards that have an owner at this moment. Any thread."""
    with engine.connect() as connection:
        return frozenset(connection.execute(text(_OWNED), {"lock": POSTGRES_LOCK}).scalars())


class Sight:
    """Which processes see the bus, told by a shared lock: whoever is cut off from it learns by the database whether others are not."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._sees = False

    def tell(self, *, sees: bool) -> int:
        """Say whether we see it, at least every IDLE_S; gives how many others do. Any thread, one at a time. Raises SQLAlchemyError."""
        connection = self._connection
        try:
            if connection is None:
                connection = self._connection = self._engine.connect()
            lock, unlock = func.pg_advisory_lock_shared(SIGHT_LOCK), func.pg_advisory_unlock_shared(SIGHT_LOCK)
            if sees is not self._sees:
                connection.execute(select(lock if sees else unlock))
                self._sees = sees
            seen_by = int(connection.scalar(text(_SEEN_BY), {"lock": SIGHT_LOCK}) or 0)
            connection.commit()
        except SQLAlchemyError:
            self.close()
            raise
        return seen_by - sees

    def close(self) -> None:
        """We see nothing any more."""
        if self._connection is not None:
            self._connection.invalidate()  # the session ends, and its lock with it
            self._connection.close()
        self._connection, self._sees = None, False


def positions(engine: Engine, shards: int) -> dict[int, tuple[int, int]]:
    """Shard → (epoch, position), of those that were ever owned. Any thread; for who looks from outside."""
    found: dict[int, tuple[int, int]] = {}
    with engine.connect() as connection:
        for shard in range(shards):
            try:
                row: Any = connection.execute(text(f"SELECT epoch, position FROM shard_{shard}.ownership")).first()
            except SQLAlchemyError:
                connection.rollback()
                continue
            if row is not None:
                found[shard] = (row.epoch, row.position)
    return found
