"""The tables of reporting (gateway.upward), and reading them and the journal for it: a page at a time, any thread, on a connection of its own."""

from collections.abc import Collection, Iterator

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Engine, Index, Integer, LargeBinary, Table, Text, func, select

from gateway.core.incident import Incident
from gateway.core.reported import Cursor, DayFound, Outgoing
from gateway.core.state import number_of
from gateway.store.schema import incident, journal, metadata

report_cursor = Table(
    "report_cursor",
    metadata,
    Column("name", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)
report_outbox = Table(
    "report_outbox",
    metadata,
    Column("name", Text, primary_key=True),
    Column("first", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("day", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("at_from", BigInteger, nullable=False),
    Column("at_to", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
    Column("lines", LargeBinary, nullable=False),
    Index("report_outbox_day", "name", "day"),
)
report_day = Table(
    "report_day",
    metadata,
    Column("name", Text, primary_key=True),
    Column("day", Text, primary_key=True),
    Column("body", Text, nullable=False),
)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """As much of a journal entry as a report may be made of. `at` in microseconds since 1970."""

    seq: int
    at: int
    kind: str
    phase: str
    person: str | None
    incident: str | None
    actor: str | None
    facts: str


_ENTRY = select(journal.c.seq, journal.c.at, journal.c.kind, journal.c.phase, journal.c.person, journal.c.incident, journal.c.actor, journal.c.facts)


class ReportBooks:
    """Read-only. Each call takes a connection and gives it back, so that no long reading keeps the write-ahead log from being folded in."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(self, after: int, limit: int) -> list[Entry]:
        """The next entries of the journal."""
        with self._engine.connect() as connection:
            rows = connection.execute(_ENTRY.where(journal.c.seq > after).order_by(journal.c.seq).limit(limit))
            return [Entry(**row._mapping) for row in rows]

    def incidents(self, names: Collection[str]) -> dict[str, Incident]:
        """Those incidents, as they stand."""
        numbers = [number_of(name) for name in names]
        with self._engine.connect() as connection:
            bodies = connection.execute(select(incident.c.body).where(incident.c.number.in_(numbers))).scalars()
            return {one.id: one for one in (msgspec.json.decode(body, type=Incident) for body in bodies)}

    def head(self) -> int:
        """The last entry of the journal; 0 of an empty one."""
        with self._engine.connect() as connection:
            return connection.scalar(select(func.max(journal.c.seq))) or 0

    def before(self, at: int) -> int:
        """The last entry before a time."""
        with self._engine.connect() as connection:
            first = connection.scalar(select(journal.c.seq).where(journal.c.at >= at).order_by(journal.c.seq).limit(1))
        return self.head() if first is None else first - 1

    def cursor(self, name: str) -> Cursor | None:
        """How far this destination is; None: it was never told anything."""
        with self._engine.connect() as connection:
            row = connection.execute(select(report_cursor).where(report_cursor.c.name == name)).first()
            return Cursor(**row._mapping) if row is not None else None

    def under_way(self, name: str) -> Outgoing | None:
        """What was prepared and has no receipt yet; at most one."""
        with self._engine.connect() as connection:
            chosen = select(report_outbox).where(report_outbox.c.name == name, report_outbox.c.sent_at.is_(None))
            return _outgoing(connection.execute(chosen.order_by(report_outbox.c.first).limit(1)).first())

    def newest(self, name: str, limit: int) -> list[Outgoing]:
        """What was prepared last, with or without a receipt, newest first."""
        with self._engine.connect() as connection:
            chosen = select(report_outbox).where(report_outbox.c.name == name).order_by(report_outbox.c.first.desc()).limit(limit)
            return [found for row in connection.execute(chosen) if (found := _outgoing(row)) is not None]

    def of_day(self, name: str, day: str) -> Iterator[Outgoing]:
        """What was sent for one local day, with its receipt, in order; a batch at a time in memory."""
        yield from self._several(name, report_outbox.c.day == day)

    def of_time(self, name: str, since: int, until: int) -> Iterator[Outgoing]:
        """What was sent about entries of since <= at < until (microseconds), with its receipt; whole batches."""
        yield from self._several(name, (report_outbox.c.at_to >= since) & (report_outbox.c.at_from < until))

    def days(self, name: str, limit: int = 7) -> list[DayFound]:
        """What the last comparisons found, newest day first."""
        with self._engine.connect() as connection:
            chosen = select(report_day.c.body).where(report_day.c.name == name).order_by(report_day.c.day.desc()).limit(limit)
            return [msgspec.json.decode(body, type=DayFound) for body in connection.execute(chosen).scalars()]

    def incident_of_identity(self, begins: str) -> str | None:
        """The incident of the newest entry whose message identity begins like this."""
        with self._engine.connect() as connection:
            mine = (journal.c.dedup >= begins) & (journal.c.dedup < begins + "\U0010ffff") & journal.c.incident.is_not(None)
            return connection.scalar(select(journal.c.incident).where(mine).order_by(journal.c.seq.desc()).limit(1))

    def _several(self, name: str, which: object) -> Iterator[Outgoing]:
        first = 0
        while True:
            with self._engine.connect() as connection:
                found = _outgoing(_next(connection, name, which, first))
            if found is None:
                return
            yield found
            first = found.last


def _next(connection: Connection, name: str, which: object, after: int) -> object:
    chosen = select(report_outbox).where(report_outbox.c.name == name, report_outbox.c.first > after, report_outbox.c.sent_at.is_not(None))
    return connection.execute(chosen.where(which).order_by(report_outbox.c.first).limit(1)).first()  # type: ignore[arg-type]


def _outgoing(row: object) -> Outgoing | None:
    if row is None:
        return None
    values = dict(row._mapping)  # type: ignore[attr-defined]
    return Outgoing(**{**values, "lines": bytes(values["lines"])})
