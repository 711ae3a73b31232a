"""The store: one transaction a batch in, the working set out. Calls block.

The pipeline makes them in its writer thread, or in the loop while the disk is fast. Statements are SQLAlchemy Core, compiled once
and run on the driver's own cursor: what that costs is little more than the bare driver (docs/decisions/0003).
"""

import fcntl
import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Table, bindparam, create_engine, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError

from gateway.clock import from_micros, micros, monotonic, utc_now
from gateway.core.incident import Incident, State
from gateway.core.state import FIRST_NUMBER, Call, Record, Refusal, Seen, number_of
from gateway.errors import StoreBroken, StoreDown
from gateway.event import KINDS, Group
from gateway.store.chain import GENESIS, Broken, Row, digest_of, link, verify
from gateway.store.schema import SCHEMA_VERSION, call, incident, journal, last_seen, meta, metadata, rejected

# Identities read back at start, so that a redelivery after a crash is folded without asking the index; older ones are asked.
KNOWN_AT_START = 50_000
# Rejected messages kept for inspection; at 1 KiB each about 100 MB. Older ones give way, and are still counted.
REJECTED_KEPT = 100_000
# The disk counts as fast while most of the last small commits took less than this. A hand-over to the writer thread and back costs about
# 0.2 ms, and the two threads then fight for the interpreter; a pause of 2 ms in the loop is one that nobody notices.
FAST_S = 0.002
SMALL = 64
SYNCS_WATCHED = 15
STALL_S = 0.05  # one commit like this, and the thread takes over until the disk has shown otherwise
BUSY_MS = 250  # another program holds SQLite's lock: what waits is handed back and comes again, the loop does not stand still for it
# Pages in the write-ahead log before it is folded into the database: 32 MB. SQLite's own 1000 are folded ten times a second at a thousand
# alarms a second, and each time an alarm waits; this is once in two seconds, and a start after a crash still reads it in no time.
WAL_PAGES = 8000
CACHE_KIB = 32_768  # the index of identities is hit at random: with SQLite's 2 MB its pages are read again and again
SEEN_KEPT = timedelta(days=90)  # devices that gave no sign of life for so long are gone; unknown addresses must not fill the table
READ_AT_ONCE = 1000  # journal entries in memory while it is read from end to end
PROGRAM_LIMIT = "54"  # SQLSTATE class: PostgreSQL's word for a value it can never take, told as OperationalError
POSTGRES_LOCK = 12349  # advisory lock: one writer a database


class Batch(msgspec.Struct, kw_only=True):
    """What one transaction writes. A call of None is over."""

    records: Sequence[Record] = ()
    incidents: Iterable[Incident] = ()
    calls: Iterable[tuple[str, Call | None]] = ()
    refusals: Sequence[Refusal] = ()


class Restored(msgspec.Struct, kw_only=True):
    """What a start finds."""

    incidents: list[Incident]
    calls: list[Call]
    known: list[str]
    seen: list[tuple[str, Seen]]
    next_number: int
    opened: int
    closed: int
    last_at: datetime | None = None


class KnownAlready(Exception):
    """Some messages of the batch are on disk already (older than memory reaches): `identities` says which."""

    def __init__(self, identities: set[str]) -> None:
        super().__init__(f"{len(identities)} known already")
        self.identities = identities


class Store:
    """One database. Open it once; `write` from one thread only. To read what is there it need not be opened: nothing is then made."""

    def __init__(self, url: str, folder: Path) -> None:
        if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
            url = f"sqlite:///{folder / url.removeprefix('sqlite:///')}"
        elif url.startswith("postgresql://"):
            url = url.replace("postgresql://", "postgresql+psycopg://", 1)
        self.engine = _engine(url)
        self._lock_path = folder / "gateway.lock"
        self._lock: Any = None
        self._connection: Connection | None = None
        self._seq = 0
        self._chain = GENESIS
        self._sql: dict[str, _Statement] = {}
        self._syncs: deque[float] = deque((math.inf,), SYNCS_WATCHED)

    def open(self) -> None:
        """Create or check the tables and become the one writer. Raises StoreBroken with the remedy."""
        self._take_lock()
        try:
            metadata.create_all(self.engine)
            connection = self._writing()
            with connection.begin():
                version = connection.scalar(select(meta.c.value).where(meta.c.name == "schema"))
                if version is None:
                    connection.execute(meta.insert(), [{"name": "schema", "value": str(SCHEMA_VERSION)}])
                elif int(version) != SCHEMA_VERSION:
                    raise StoreBroken(
                        f"the database has schema {version}, this gateway knows {SCHEMA_VERSION}:"
                        " start the gateway version that wrote it, or restore a backup"
                    )
                connection.execute(last_seen.delete().where(last_seen.c.at < micros(utc_now() - SEEN_KEPT)))
                last = connection.execute(select(journal.c.seq, journal.c.chain).order_by(journal.c.seq.desc()).limit(1)).first()
                if last is not None:
                    self._seq, self._chain = last.seq, bytes(last.chain)
        except SQLAlchemyError as error:
            raise StoreBroken(f"cannot open {self.where} ({reason_of(error)}): start the database, or correct store.url") from error
        self._sql = _statements(self.engine)

    def close(self) -> None:
        """Let go of the database and of the lock."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self.engine.dispose()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def where(self) -> str:
        """The file of a SQLite database, the address of another one; without a password."""
        url = self.engine.url
        if url.get_backend_name() == "sqlite":
            return str(Path(url.database or "").resolve())
        return url.set(drivername=url.get_backend_name()).render_as_string()

    @property
    def is_fast(self) -> bool:
        """Do small commits mostly come back so quickly that a thread for them would cost more than waiting? Never over a network."""
        return self.engine.dialect.name == "sqlite" and sorted(self._syncs)[len(self._syncs) // 2] < FAST_S

    def write(self, batch: Batch) -> None:
        """One transaction. Raises KnownAlready, StoreDown, or SQLAlchemyError when the batch is at fault; then nothing of it is there."""
        connection = self._writing()
        seq, chain = self._seq, self._chain
        rows = []
        for record in batch.records:
            seq += 1
            at = micros(record.at)
            columns = (
                at,
                record.kind.value,
                record.phase.value,
                record.line,
                record.device,
                record.dedup,
                record.person,
                record.incident,
                record.actor,
            )
            digest = digest_of(*columns, record.facts, record.raw)
            chain = link(chain, seq, digest)
            rows.append((seq, *columns, record.facts.decode(), record.raw, digest, chain))
        try:
            with connection.begin() as transaction:
                self._run("journal", rows)
                self._run("incident", [_incident_row(item) for item in batch.incidents])
                calls = list(batch.calls)
                self._run("call", [(c.key, c.line, c.state.value, micros(c.at), _text(c)) for _, c in calls if c is not None])
                self._run("call_over", [(key,) for key, c in calls if c is None])
                if batch.refusals:
                    self._run(
                        "rejected", [(micros(r.at), r.line, r.reason, r.device and _plain(r.device), _plain(r.detail), r.raw) for r in batch.refusals]
                    )
                    connection.exec_driver_sql(f"DELETE FROM rejected WHERE id <= (SELECT max(id) FROM rejected) - {REJECTED_KEPT}")
                began = monotonic()
                transaction.commit()
                took = monotonic() - began
                if took >= STALL_S:
                    self._slow()
                elif len(rows) <= SMALL:
                    self._syncs.append(took)
        except IntegrityError:
            known = self._known([record.dedup for record in batch.records if record.dedup is not None])
            if not known:
                raise
            raise KnownAlready(known) from None
        except OperationalError as error:  # no room, no server: never the batch's fault, even while a smaller one would still fit
            if (getattr(error.orig, "sqlstate", None) or "").startswith(PROGRAM_LIMIT):
                raise
            self._drop_connection()
            self._slow()
            raise StoreDown(f"{error.__class__.__name__}: {reason_of(error)}") from error
        self._seq, self._chain = seq, chain

    def _slow(self) -> None:
        self._syncs.extend([math.inf] * SYNCS_WATCHED)

    def checkpoint(self, seen: Iterable[tuple[str, Seen]]) -> None:
        """Signs of life in bulk (architecture, section 6)."""
        with self._writing().begin():
            self._run("last_seen", [(_plain(device), micros(item.at), _text(item)) for device, item in seen])

    def probe(self) -> None:
        """Write one row that always fits: is it the batch that cannot be stored, or is the store down? Raises StoreDown."""
        try:
            with self._writing().begin():
                self._run("meta", [("probe", str(self._seq))])
        except SQLAlchemyError as error:
            self._drop_connection()
            raise StoreDown(f"{error.__class__.__name__}: {reason_of(error)}") from error

    def load(self) -> Restored:
        """The working set as the tables have it."""
        with self.engine.connect() as connection:
            is_closed = incident.c.state == State.CLOSED.value
            bodies = connection.execute(select(incident.c.body).where(~is_closed)).scalars()
            newest_first = select(journal.c.dedup).where(journal.c.dedup.is_not(None)).order_by(journal.c.seq.desc())
            known = connection.execute(newest_first.limit(KNOWN_AT_START))
            seen = connection.execute(select(last_seen.c.device, last_seen.c.body).order_by(last_seen.c.at))
            total = connection.scalar(select(func.count()).select_from(incident)) or 0
            closed = connection.scalar(select(func.count()).select_from(incident).where(is_closed)) or 0
            number = connection.scalar(select(func.max(incident.c.number)))
            last_at = connection.scalar(select(journal.c.at).order_by(journal.c.seq.desc()).limit(1))
            return Restored(
                incidents=[msgspec.json.decode(body, type=Incident) for body in bodies],
                calls=[msgspec.json.decode(body, type=Call) for body in connection.execute(select(call.c.body)).scalars()],
                known=[dedup for dedup in reversed(known.scalars().all()) if dedup is not None],
                seen=[(row.device, msgspec.json.decode(row.body, type=Seen)) for row in seen],
                next_number=(number or FIRST_NUMBER - 1) + 1,
                opened=total,
                closed=closed,
                last_at=from_micros(last_at) if last_at is not None else None,
            )

    def timeline(self, name: str, limit: int = 500) -> list[Row]:
        """The newest `limit` journal entries of one incident, oldest first. Any thread."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(journal).where(journal.c.incident == name).order_by(journal.c.seq.desc()).limit(limit))
            return [_row(row) for row in reversed(rows.all())]

    def incident(self, name: str) -> Incident | None:
        """One incident, also a closed one. Any thread."""
        with self.engine.connect() as connection:
            body = connection.scalar(select(incident.c.body).where(incident.c.number == number_of(name)))
            return msgspec.json.decode(body, type=Incident) if body else None

    def journal(self, start: int = 1) -> Iterator[Row]:
        """The journal from `start`, in order, without loading it whole."""
        with self.engine.connect() as connection:
            while rows := connection.execute(select(journal).where(journal.c.seq >= start).order_by(journal.c.seq).limit(READ_AT_ONCE)).all():
                yield from map(_row, rows)
                start = rows[-1].seq + 1

    def call_steps(self, since: datetime) -> Iterator[str]:
        """The facts of all telephone entries since a time, in order. Any thread. Their place is found by halving: the journal is in order of time."""
        with self.engine.connect() as connection:
            low, high = 1, (connection.scalar(select(func.max(journal.c.seq))) or 0) + 1
            wanted = micros(since)
            while low < high:
                middle = (low + high) // 2
                at = connection.scalar(select(journal.c.at).where(journal.c.seq >= middle).order_by(journal.c.seq).limit(1))
                low, high = (middle + 1, high) if at is not None and at < wanted else (low, middle)
            kinds = [kind.value for kind, facts in KINDS.items() if facts.group is Group.TELEPHONE]
            chosen = select(journal.c.seq, journal.c.facts).where(journal.c.kind.in_(kinds)).order_by(journal.c.seq).limit(READ_AT_ONCE)
            while rows := connection.execute(chosen.where(journal.c.seq >= low)).all():
                yield from (row.facts for row in rows)
                low = rows[-1].seq + 1

    def head(self) -> str:
        """The last link of the chain, hex: noted elsewhere, it shows later whether a tail was cut off."""
        with self.engine.connect() as connection:
            chain = connection.scalar(select(journal.c.chain).order_by(journal.c.seq.desc()).limit(1))
            return (bytes(chain) if chain else GENESIS).hex()

    def verify(self) -> tuple[int, Broken | None]:
        """(entries proven, the first break or None)."""
        proven = 0
        for step in verify(self.journal()):
            if isinstance(step, Broken):
                return proven, step
            proven += 1
        return proven, None

    def _run(self, name: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            self._sql[name].run(self._writing(), rows)

    def _writing(self) -> Connection:
        if self._connection is None:
            connection = self.engine.connect()
            if self.engine.dialect.name == "postgresql":
                with connection.begin():
                    mine = connection.scalar(select(func.pg_try_advisory_lock(POSTGRES_LOCK)))
                if not mine:
                    connection.close()
                    raise StoreBroken("another gateway is writing to this database: stop it, or set store.url to another one")
            if self._sql and (connection.scalar(select(func.max(journal.c.seq))) or 0) != self._seq:
                connection.close()  # a commit whose end we did not hear was one: memory lacks what it wrote
                raise StoreBroken("the journal is ahead of this gateway's memory: start it again, it then reads what is on disk")
            connection.rollback()
            self._connection = connection
        return self._connection

    def _drop_connection(self) -> None:
        """A broken connection is replaced by the next call."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

    def _known(self, identities: list[str]) -> set[str]:
        with self._writing().begin():
            known: set[str] = set()
            for start in range(0, len(identities), 500):  # SQLite's oldest bound on variables in a statement is 999
                part = identities[start : start + 500]
                known.update(d for d in self._writing().execute(select(journal.c.dedup).where(journal.c.dedup.in_(part))).scalars() if d)
            return known

    def _take_lock(self) -> None:
        """One writer: two processes on one journal would break its chain."""
        if self.engine.dialect.name == "postgresql":
            return  # an advisory lock, taken with the writing connection
        folder = self._lock_path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = self._lock_path.open("w")
        except OSError as error:
            raise StoreBroken(f"cannot write in the folder {folder} ({error.strerror}): correct gateway.data, or the rights of it") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            self._lock = None
            raise StoreBroken(f"another gateway is using {folder}: stop it, or set gateway.data to another folder") from None


def reason_of(error: SQLAlchemyError) -> str:
    """What the database itself said, on one line: without the statement and SQLAlchemy's link."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


class _Statement:
    """A statement compiled once and run on the driver's own cursor, with positional or named parameters as the driver wants them."""

    def __init__(self, engine: Engine, statement: Any, names: tuple[str, ...]) -> None:
        compiled = statement.compile(dialect=engine.dialect, column_keys=list(names))
        self._sql = str(compiled)
        self._dialect = engine.dialect
        self._error: type[Exception] = engine.dialect.loaded_dbapi.Error
        self._names = None if compiled.positional else names
        order = compiled.positiontup if compiled.positional else names
        self._order = None if tuple(order) == names else [names.index(name) for name in order]

    def run(self, connection: Connection, rows: list[tuple[Any, ...]]) -> None:
        """Once for each row. Raises what SQLAlchemy would raise."""
        given: list[Any] = rows
        if self._names is not None:
            given = [dict(zip(self._names, row, strict=True)) for row in rows]
        elif self._order is not None:
            given = [tuple(row[i] for i in self._order) for row in rows]
        try:
            cursor = connection.connection.cursor()
            cursor.executemany(self._sql, given)
            cursor.close()
        except self._error as error:
            raise DBAPIError.instance(self._sql, None, error, self._error, dialect=self._dialect) from error


def _statements(engine: Engine) -> dict[str, _Statement]:
    insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert

    def names_of(table: Table) -> tuple[str, ...]:
        return tuple(column.name for column in table.columns if column.autoincrement is not True)

    def upsert(table: Table) -> _Statement:
        key = [column.name for column in table.primary_key]
        statement = insert(table)
        changed = {name: statement.excluded[name] for name in names_of(table) if name not in key}
        return _Statement(engine, statement.on_conflict_do_update(index_elements=key, set_=changed), names_of(table))

    return {
        "journal": _Statement(engine, insert(journal), names_of(journal)),
        "rejected": _Statement(engine, insert(rejected).inline(), names_of(rejected)),
        "incident": upsert(incident),
        "call": upsert(call),
        "last_seen": upsert(last_seen),
        "meta": upsert(meta),
        "call_over": _Statement(engine, call.delete().where(call.c.key == bindparam("key")), ("key",)),
    }


def _engine(url: str) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def pragmas(connection: Any, _: object) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
            connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
            connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")

    return engine


def _incident_row(item: Incident) -> tuple[Any, ...]:
    due = item.next_deadline
    return (
        number_of(item.id),
        item.state.value,
        item.severity.value,
        item.kind.value,
        item.person,
        micros(item.opened_at),
        micros(item.closed_at) if item.closed_at else None,
        micros(due[1]) if due else None,
        _text(item),
    )


def _plain(text: str) -> str:
    """Text that any database takes: field bytes may have left lone surrogates or NUL in it."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def _text(item: msgspec.Struct) -> str:
    return msgspec.json.encode(item).decode()


def _row(row: Any) -> Row:
    values = dict(row._mapping)
    for name in ("raw", "digest", "chain"):
        values[name] = bytes(values[name])
    return Row(**values)
