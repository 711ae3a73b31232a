"""The store: one transaction a batch in, the working set out. Calls block.

The pipeline makes them in its writer thread, or in the loop while the disk is fast. Statements are SQLAlchemy Core, compiled once
and run on the driver's own cursor: what that costs is little more than the bare driver (docs/decisions/0003).
"""

import fcntl
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import structlog
from msgspec.structs import astuple
from sqlalchemy import Connection, Engine, Table, bindparam, create_engine, event, func, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError

from gateway.clock import from_micros, micros, monotonic, utc_now
from gateway.core.account import AccessWrite
from gateway.core.corrections import CorrectionWrite
from gateway.core.incident import Incident, State
from gateway.core.reported import ReportWrite
from gateway.core.state import FIRST_NUMBER, Call, Record, Refusal, Seen, number_of
from gateway.core.territory import Standing
from gateway.errors import GatewayError, StoreBroken, StoreDown
from gateway.event import KINDS, Event, Group, Phase
from gateway.secrets import database_url
from gateway.store import audit, before, history, migrations
from gateway.store.accounts import account, session
from gateway.store.chain import ERASED_FACTS, GENESIS, Broken, Row, digest_of, link, verify
from gateway.store.corrections import correction, row_of_correction
from gateway.store.ownership import Ownership, alone
from gateway.store.reports import report_cursor, report_day, report_outbox
from gateway.store.schema import SCHEMA_VERSION, call, incident, journal, last_seen, meta, metadata, rejected, standing
from gateway.store.takeovers import see_promotion

log = structlog.get_logger("store")

# Identities read back at start, so that a redelivery after a crash is folded without asking the index; older ones are asked.
KNOWN_AT_START = 50_000
# Presses read back at start, so that one which a device goes on repeating is no second cry: a minute of a city's worst; 0.15 s, for a moment 20 MB.
TOLD_AT_MOST = 10_000
TOLD = (Phase.RAISE.value, Phase.REPEAT.value, Phase.CLEAR.value)
# Rejected messages kept for inspection; at 1 KiB each about 100 MB. Older ones give way, and are still counted.
REJECTED_KEPT = 100_000
# The disk counts as fast while most of the last small commits took less than this. A hand-over to the writer thread and back costs about
# 0.2 ms, and the two threads then fight for the interpreter; a pause of 2 ms in the loop is one that nobody notices.
FAST_S = 0.002
SMALL = 64
SYNCS_WATCHED = 15
STALL_S = 0.05  # one commit like this, and the thread takes over until the disk has shown otherwise
CLOSED_LATELY_S = (
    900  # before the newest that is closed: so long after its end what an incident has to say still leaves (gateway.pipeline.CLOSED_KEPT)
)
CLOSED_AT_MOST = 20_000  # read at a start for the service levels: half a day of a province; a second of work
BUSY_MS = 250  # another program holds SQLite's lock: what waits is handed back and comes again, the loop does not stand still for it
# Pages in the write-ahead log before it is folded into the database: 32 MB. SQLite's own 1000 are folded ten times a second at a thousand
# alarms a second, and each time an alarm waits; this is once in two seconds, and a start after a crash still reads it in no time.
WAL_PAGES = 8000
CACHE_KIB = 32_768  # of who writes: the index of identities is hit at random, with SQLite's 2 MB its pages are read again and again
# … and of each that only reads. Whatever is committed by another connection empties such a cache, so more would only be memory that one long
# reading fills (the daily erasing) and nobody uses again. Four at most wait in the pool: 8 MB.
READING_CACHE_KIB = 2_000
SEEN_KEPT = timedelta(days=90)  # devices that gave no sign of life for so long are gone; unknown addresses must not fill the table
READ_AT_ONCE = 1000  # journal entries in memory while it is read from end to end
PROGRAM_LIMIT = "54"  # SQLSTATE class: PostgreSQL's word for a value it can never take, told as OperationalError


class Batch(msgspec.Struct, kw_only=True):
    """What one transaction writes. A call of None is over; seen: devices with a state that is told by one of the records."""

    records: Sequence[Record] = ()
    incidents: Iterable[Incident] = ()
    calls: Iterable[tuple[str, Call | None]] = ()
    refusals: Sequence[Refusal] = ()
    seen: Iterable[tuple[str, Seen]] = ()
    standings: Iterable[Standing] = ()
    reports: Sequence[ReportWrite] = ()
    corrections: Sequence[CorrectionWrite] = ()
    access: Sequence[AccessWrite] = ()


class Restored(msgspec.Struct, kw_only=True):
    """What a start finds. incidents: the open ones, and those closed lately of which a message still has to leave."""

    incidents: list[Incident]
    calls: list[Call]
    known: list[str]
    seen: list[tuple[str, Seen]]
    standings: list[Standing]
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

    def __init__(self, url: str, folder: Path, shard: int | None = None, shards: int = 1, *, writes: bool = True) -> None:
        self.ownership = Ownership(shard, shards)
        if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
            url = f"sqlite:///{folder / url.removeprefix('sqlite:///')}"
        elif url.startswith("postgresql://"):
            url = url.replace("postgresql://", "postgresql+psycopg://", 1)
        url = database_url(url)
        self.engine = _engine(url) if shard is None else self.ownership.engine(url, writes=writes)
        self._lock_path = folder / "gateway.lock"
        self._lock: Any = None
        self._connection: Connection | None = None
        self._seq = 0
        self._chain = GENESIS
        self._sql: dict[str, _Statement] = {}
        self._syncs: deque[float] = deque((math.inf,), SYNCS_WATCHED)
        self.taken_over: Callable[[int], object] = int  # by the writing thread: the server was promoted, so many times

    def open(self) -> None:
        """Create or check the tables and become the one writer. Raises StoreBroken with the remedy."""
        self._take_lock()
        try:
            connection = self._writing()  # first: nobody else may write while the schema changes
            version = migrations.version_of(self.engine)
            if version is not None and migrations.check(version):
                self._bring_up(version)
            metadata.create_all(self.engine)
            with connection.begin():
                if version is None:
                    connection.execute(meta.insert(), [{"name": "schema", "value": str(SCHEMA_VERSION)}])
                connection.execute(session.delete().where(session.c.until < micros(utc_now())))
                connection.execute(last_seen.delete().where(last_seen.c.at < micros(utc_now() - SEEN_KEPT)))
                last = connection.execute(select(journal.c.seq, journal.c.chain).order_by(journal.c.seq.desc()).limit(1)).first()
                if last is not None:
                    self._seq, self._chain = last.seq, bytes(last.chain)
            self._see_promotion(connection)
            self._fill_lists()
        except SQLAlchemyError as error:
            raise StoreBroken(f"cannot open {self.where} ({reason_of(error)}): start the database, or correct store.url") from error
        self._sql = _statements(self.engine)

    def restored(self) -> None:
        """The working set is there: from now on the owner must speak (gateway.store.ownership). Raises StoreDown, StoreBroken."""
        connection = self._writing()
        try:
            self.ownership.begin_to_speak(connection)
        except SQLAlchemyError as error:
            self._drop_connection()
            raise StoreDown(f"{error.__class__.__name__}: {reason_of(error)}") from error

    def _bring_up(self, version: int) -> None:
        """A database of an earlier release: kept as it is, then brought to this one's schema."""
        try:
            mine = () if self.ownership.shard is None else (self.ownership.shard,)
            with self.ownership.long_silence(self._writing()):
                kept = str(before.keep(self.engine, self._lock_path.parent, before.UPGRADE, mine))
        except StoreBroken:
            raise
        except GatewayError as error:  # PostgreSQL changes its schema whole or not at all, and its server is backed up by others
            if self.engine.dialect.name == "sqlite":
                raise
            log.warning("the schema changes without a dump of before", reason=str(error))
            kept = ""
        migrations.upgrade(self.engine, version)
        log.info("schema brought up", before=version, now=SCHEMA_VERSION, kept=kept)

    def _fill_lists(self) -> None:
        """A database of before there were lists to search in: what it holds is put on them, once."""
        audit.fill(self.engine)
        taken = history.fill(self.engine, lambda count: log.info("closed incidents are put on the list for searching", so_far=count))
        if taken:
            log.info("closed incidents can be searched", count=taken)

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
    def last_seq(self) -> int:
        """The last entry of the journal, as written."""
        return self._seq

    @property
    def is_fast(self) -> bool:
        """Do small commits mostly come back so quickly that a thread for them would cost more than waiting? Never over a network."""
        return self.engine.dialect.name == "sqlite" and sorted(self._syncs)[len(self._syncs) // 2] < FAST_S

    def write(self, batch: Batch) -> None:
        """One transaction. Raises KnownAlready, StoreDown, or SQLAlchemyError when the batch is at fault; then nothing of it is there."""
        connection = self._writing()
        seq, chain = self._seq, self._chain
        rows = []
        heard: list[tuple[int, str]] = []  # for who asks later who saw and did what
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
            if audit.is_audited(record.kind, record.incident):
                heard.append((seq, record.kind.value))
        incidents = list(batch.incidents)
        closed, words = history.rows_of(incidents)
        try:
            with connection.begin() as transaction:
                self._run("journal", rows)
                self._run("audit", heard)
                self._run("incident", [_incident_row(item) for item in incidents])
                self._run("history", closed)
                self._run("history_of", words)
                calls = list(batch.calls)
                self._run("call", [(c.key, c.line, c.state.value, micros(c.at), _text(c)) for _, c in calls if c is not None])
                self._run("call_over", [(key,) for key, c in calls if c is None])
                self._run("last_seen", [_seen_row(device, item) for device, item in batch.seen])
                self._run("standing", [(_plain(s.key), micros(s.at), _text(s)) for s in batch.standings])
                self._run_reports(batch.reports)
                self._run("correction", [row_of_correction(one) for write in batch.corrections for one in write.written])
                self._run("correction_forget", [(number,) for write in batch.corrections for number in write.forgotten])
                self._run_access(batch.access)
                if batch.refusals:
                    self._run(
                        "rejected", [(micros(r.at), r.line, r.reason, r.device and _plain(r.device), _plain(r.detail), r.raw) for r in batch.refusals]
                    )
                    connection.exec_driver_sql(f"DELETE FROM rejected WHERE id <= (SELECT max(id) FROM rejected) - {REJECTED_KEPT}")
                self.ownership.check(connection)
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

    def _run_reports(self, reports: Sequence[ReportWrite]) -> None:
        for one in reports:
            self._run("report_outbox", [astuple(batch) for batch in one.batches])
            self._run("report_cursor", [astuple(cursor) for cursor in one.cursors])
            self._run("report_day", [(day.name, day.day, _text(day)) for day in one.days])
            self._run("report_outbox_forget", list(one.forget))
            self._run("report_day_forget", list(one.forget))

    def _run_access(self, writes: Sequence[AccessWrite]) -> None:
        for one in writes:
            self._run("account", [(item.login, item.name, _text(item)) for item in one.accounts])
            self._run("session", [(item.id, item.login, micros(item.until), _text(item)) for item in one.sessions])
            self._run("session_over", [(name,) for name in one.ended])

    def _slow(self) -> None:
        self._syncs.extend([math.inf] * SYNCS_WATCHED)

    def checkpoint(self, seen: Iterable[tuple[str, Seen]]) -> None:
        """Signs of life in bulk (architecture, section 6). Raises StoreDown; SQLAlchemyError when they are at fault."""
        connection = self._writing()
        try:
            with connection.begin():
                self._run("last_seen", [_seen_row(device, item) for device, item in seen])
                self.ownership.check(connection)
        except OperationalError as error:  # left as it is, the connection would come back by itself, in a session without the lock
            self._drop_connection()
            raise StoreDown(f"{error.__class__.__name__}: {reason_of(error)}") from error

    def probe(self) -> None:
        """Write one row that always fits: is it the batch that cannot be stored, or is the store down? Raises StoreDown."""
        try:
            with self._writing().begin():
                self._run("meta", [("probe", str(self._seq))])
                self.ownership.check(self._writing())
        except SQLAlchemyError as error:
            self._drop_connection()
            raise StoreDown(f"{error.__class__.__name__}: {reason_of(error)}") from error

    def touch(self) -> None:
        """Say to the server that we live (gateway.store.ownership). Raises StoreDown, StoreBroken."""
        try:
            connection = self._writing()
            connection.scalar(select(1))
            connection.rollback()
        except SQLAlchemyError as error:
            self._drop_connection()
            raise StoreDown(f"{error.__class__.__name__}: {reason_of(error)}") from error

    def load(self, known_limit: int = KNOWN_AT_START) -> Restored:
        """The working set as the tables have it. known_limit: of identities; who only looks on needs none."""
        with self.engine.connect() as connection:
            is_closed = incident.c.state == State.CLOSED.value
            bodies = connection.execute(select(incident.c.body).where(~is_closed)).scalars()
            newest_first = select(journal.c.dedup).where(journal.c.dedup.is_not(None)).order_by(journal.c.seq.desc())
            known = connection.execute(newest_first.limit(known_limit))
            seen = connection.execute(select(last_seen.c.device, last_seen.c.body).order_by(last_seen.c.at))
            newest = connection.scalar(select(func.max(incident.c.closed_at))) or 0
            lately = select(incident.c.body).where(is_closed, incident.c.closed_at >= newest - CLOSED_LATELY_S * 1_000_000).limit(CLOSED_AT_MOST)
            ended = [msgspec.json.decode(body, type=Incident) for body in connection.execute(lately).scalars()]
            total = connection.scalar(select(func.count()).select_from(incident)) or 0
            closed = connection.scalar(select(func.count()).select_from(incident).where(is_closed)) or 0
            number = connection.scalar(select(func.max(incident.c.number)))
            last_at = connection.scalar(select(journal.c.at).order_by(journal.c.seq.desc()).limit(1))
            return Restored(
                incidents=[*(msgspec.json.decode(body, type=Incident) for body in bodies), *(one for one in ended if one.is_leaving)],
                calls=[msgspec.json.decode(body, type=Call) for body in connection.execute(select(call.c.body)).scalars()],
                known=[dedup for dedup in reversed(known.scalars().all()) if dedup is not None],
                seen=[(row.device, msgspec.json.decode(row.body, type=Seen)) for row in seen],
                standings=[msgspec.json.decode(body, type=Standing) for body in connection.execute(select(standing.c.body)).scalars()],
                next_number=(number or FIRST_NUMBER - 1) + 1,
                opened=total,
                closed=closed,
                last_at=from_micros(last_at) if last_at is not None else None,
            )

    def timeline(self, name: str, limit: int = 500) -> list[Row]:
        """The newest `limit` journal entries of one incident, oldest first. Any thread."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(journal).where(journal.c.incident == name).order_by(journal.c.seq.desc()).limit(limit))
            return [row_of(row) for row in reversed(rows.all())]

    def incident(self, name: str) -> Incident | None:
        """One incident, also a closed one. Any thread."""
        with self.engine.connect() as connection:
            body = connection.scalar(select(incident.c.body).where(incident.c.number == number_of(name)))
            return msgspec.json.decode(body, type=Incident) if body else None

    def closed_since(self, since: datetime) -> Iterator[Incident]:
        """Incidents closed since a time, the newest CLOSED_AT_MOST of them. Any thread."""
        with self.engine.connect() as connection:
            chosen = select(incident.c.body).where(incident.c.closed_at >= micros(since)).order_by(incident.c.number.desc()).limit(CLOSED_AT_MOST)
            for body in connection.execute(chosen).scalars():
                yield msgspec.json.decode(body, type=Incident)

    def journal(self, start: int = 1) -> Iterator[Row]:
        """The journal from `start`, in order, without loading it whole."""
        with self.engine.connect() as connection:
            while rows := connection.execute(select(journal).where(journal.c.seq >= start).order_by(journal.c.seq).limit(READ_AT_ONCE)).all():
                yield from map(row_of, rows)
                start = rows[-1].seq + 1

    def call_steps(self, since: datetime) -> Iterator[str]:
        """The facts of all telephone entries since a time, in order. Any thread."""
        with self.engine.connect() as connection:
            low = _first_since(connection, since)
            kinds = [kind.value for kind, facts in KINDS.items() if facts.group is Group.TELEPHONE]
            chosen = select(journal.c.seq, journal.c.facts).where(journal.c.kind.in_(kinds)).order_by(journal.c.seq).limit(READ_AT_ONCE)
            while rows := connection.execute(chosen.where(journal.c.seq >= low)).all():
                yield from (row.facts for row in rows)
                low = rows[-1].seq + 1

    def told(self, since: datetime) -> list[Event]:
        """What devices raised, repeated and took back since a time, the newest TOLD_AT_MOST of it, oldest first. Any thread."""
        kinds = [kind.value for kind, facts in KINDS.items() if facts.group not in (Group.TELEPHONE, Group.PEOPLE, Group.LINE)]
        is_told = (
            journal.c.line.is_not(None)
            & ~journal.c.facts.startswith(ERASED_FACTS, autoescape=True)
            & journal.c.kind.in_(kinds)
            & journal.c.phase.in_(TOLD)
        )
        with self.engine.connect() as connection:
            chosen = select(journal.c.facts, journal.c.raw).where(journal.c.seq >= _first_since(connection, since), is_told)
            rows = connection.execute(chosen.order_by(journal.c.seq.desc()).limit(TOLD_AT_MOST)).all()
        return [msgspec.structs.replace(msgspec.json.decode(facts, type=Event), raw=bytes(raw)) for facts, raw in reversed(rows)]

    def head(self) -> str:
        """The last link of the chain, hex: noted elsewhere, it shows later whether a tail was cut off."""
        with self.engine.connect() as connection:
            chain = connection.scalar(select(journal.c.chain).order_by(journal.c.seq.desc()).limit(1))
            return (bytes(chain) if chain else GENESIS).hex()

    def has_link(self, link: bytes) -> bool:
        """Is this link in the chain?"""
        with self.engine.connect() as connection:
            return connection.scalar(select(journal.c.seq).where(journal.c.chain == link).limit(1)) is not None

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
        if self._connection is not None and self._connection.invalidated and not self._connection.in_transaction():
            self._drop_connection()  # it would come back by itself, in a session without the lock
        if self._connection is None:
            try:
                connection = self.engine.connect()
                try:
                    self._take(connection)
                except BaseException:
                    connection.invalidate()  # a session in the pool would keep the lock
                    connection.close()
                    raise
            except SQLAlchemyError as error:
                if not self._sql:  # `open` says what to do
                    raise
                raise StoreDown(f"{error.__class__.__name__}: {reason_of(error)}") from error
            self._connection = connection
        return self._connection

    def _take(self, connection: Connection) -> None:
        if self.engine.dialect.name == "postgresql":
            self.ownership.take(connection)
        else:
            connection.exec_driver_sql(f"PRAGMA cache_size=-{CACHE_KIB}")
        if self._sql and (connection.scalar(select(func.max(journal.c.seq))) or 0) != self._seq:
            # a commit whose end we did not hear was one: memory lacks what it wrote
            raise StoreBroken("the journal is ahead of this gateway's memory: start it again, it then reads what is on disk")
        connection.rollback()
        if self._sql:
            self._see_promotion(connection)

    def _see_promotion(self, connection: Connection) -> None:
        number = see_promotion(connection) if self.engine.dialect.name == "postgresql" else None
        if number is not None:
            log.warning("database_taken_over: its server was promoted since it was written last", takeovers=number)
            self.taken_over(number)

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


def _first_since(connection: Connection, since: datetime) -> int:
    """The first entry since a time, or the one to come, found by halving: the journal is in order of time."""
    low, high = 1, (connection.scalar(select(func.max(journal.c.seq))) or 0) + 1
    wanted = micros(since)
    while low < high:
        middle = (low + high) // 2
        at = connection.scalar(select(journal.c.at).where(journal.c.seq >= middle).order_by(journal.c.seq).limit(1))
        low, high = (middle + 1, high) if at is not None and at < wanted else (low, middle)
    return low


def _statements(engine: Engine) -> dict[str, _Statement]:
    insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert

    def names_of(table: Table) -> tuple[str, ...]:
        return tuple(column.name for column in table.columns if column.autoincrement is not True)

    def upsert(table: Table) -> _Statement:
        key = [column.name for column in table.primary_key]
        statement = insert(table)
        changed = {name: statement.excluded[name] for name in names_of(table) if name not in key}
        return _Statement(engine, statement.on_conflict_do_update(index_elements=key, set_=changed), names_of(table))

    def before_day(table: Table) -> _Statement:
        mine = (table.c.name == bindparam("of")) & (table.c.day < bindparam("before"))
        return _Statement(engine, table.delete().where(mine), ("of", "before"))

    return {
        "journal": _Statement(engine, insert(journal), names_of(journal)),
        "audit": _Statement(engine, insert(audit.audit), names_of(audit.audit)),
        "rejected": _Statement(engine, insert(rejected).inline(), names_of(rejected)),
        "history": upsert(history.history),
        "history_of": _Statement(engine, insert(history.history_of).on_conflict_do_nothing(), names_of(history.history_of)),
        "incident": upsert(incident),
        "call": upsert(call),
        "last_seen": upsert(last_seen),
        "standing": upsert(standing),
        "meta": upsert(meta),
        "correction": upsert(correction),
        "correction_forget": _Statement(engine, correction.delete().where(correction.c.number == bindparam("gone")), ("gone",)),
        "report_cursor": upsert(report_cursor),
        "report_outbox": upsert(report_outbox),
        "report_day": upsert(report_day),
        "account": upsert(account),
        "session": upsert(session),
        "session_over": _Statement(engine, session.delete().where(session.c.id == bindparam("of")), ("of",)),
        "report_outbox_forget": before_day(report_outbox),
        "report_day_forget": before_day(report_day),
        "call_over": _Statement(engine, call.delete().where(call.c.key == bindparam("key")), ("key",)),
    }


def _engine(url: str) -> Engine:
    address = make_url(url)
    if address.get_backend_name() == "postgresql":
        return create_engine(address, connect_args=alone(address))
    engine = create_engine(address)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def pragmas(connection: Any, _: object) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
            connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
            connection.execute(f"PRAGMA cache_size=-{READING_CACHE_KIB}")

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


def _seen_row(device: str, item: Seen) -> tuple[Any, ...]:
    return _plain(device), micros(item.at), _text(item)


def _plain(text: str) -> str:
    """Text that any database takes: field bytes may have left lone surrogates or NUL in it."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def _text(item: msgspec.Struct) -> str:
    return msgspec.json.encode(item).decode()


def row_of(row: Any) -> Row:
    """A row of the journal table."""
    values = dict(row._mapping)
    for name in ("raw", "digest", "chain"):
        values[name] = bytes(values[name])
    return Row(**values)
