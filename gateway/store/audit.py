"""Who saw and did what: the entries of the journal that an auditor reads, found without walking all of it, and the proof of the chain.

`audit` names the entries of these kinds; what they say stays in the journal, where it is chained, and erased when its time has come.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Engine, Index, Integer, Table, Text, select

from gateway.clock import micros
from gateway.event import Kind
from gateway.store.chain import Broken, Row, verify
from gateway.store.reports import Entry
from gateway.store.schema import journal, meta, metadata

audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Index("audit_kind", "kind", "seq"),
)
AUDITED = frozenset(
    (
        Kind.ACCESS,
        Kind.ACCOUNT,
        Kind.VIEWED,
        Kind.REVEAL,
        Kind.SEARCHED,
        Kind.EXPORTED,
        Kind.LISTENED,
        Kind.CORRECTED,
        Kind.RULING,
        Kind.SHIFT,
        Kind.DUTY,
        Kind.NOTE,
        Kind.BROADCAST,
        Kind.PURGED,
    )
)
FILLED = "audit"  # row of `meta`: the table has the entries of a journal that was written before there was one
LOOKED_AT = 2000  # entries read at once, 1 MB
TOLD_EVERY = 5000  # entries proven between two words about it, a tenth of a second


class AuditWanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for: kinds (none: all), the name of who did it, since <= at < until, and a word of the facts (an incident, a person's id)."""

    kinds: tuple[str, ...] = ()
    actor: str = ""
    about: str = ""
    since: datetime | None = None
    until: datetime | None = None


def is_audited(kind: Kind, incident: str | None) -> bool:
    """Does an entry go on the list? A note about an incident is of its timeline; one about nothing says who came on duty."""
    return kind in AUDITED and (kind is not Kind.NOTE or incident is None)


def fill(engine: Engine) -> None:
    """Put the entries of an older journal on the list, once: one walk over it."""
    is_duty = (journal.c.kind == Kind.NOTE.value) & journal.c.incident.is_(None)
    kinds = journal.c.kind.in_([kind.value for kind in AUDITED - {Kind.NOTE}]) | is_duty
    with engine.begin() as connection:
        if connection.scalar(select(meta.c.value).where(meta.c.name == FILLED)) is not None:
            return
        connection.execute(audit.delete())
        connection.execute(audit.insert().from_select(["seq", "kind"], select(journal.c.seq, journal.c.kind).where(kinds)))
        connection.execute(meta.insert(), [{"name": FILLED, "value": "all"}])


def audited(engine: Engine, wanted: AuditWanted, before: int | None, limit: int) -> tuple[list[Entry], int | None]:
    """(up to `limit` entries newest first, where to go on or None): of the next LOOKED_AT, so a rare word may find none of them yet."""
    chosen = (
        select(audit.c.seq, journal.c.at, journal.c.kind, journal.c.phase, journal.c.person, journal.c.incident, journal.c.actor, journal.c.facts)
        .join(journal, journal.c.seq == audit.c.seq)
        .order_by(audit.c.seq.desc())
    )
    if before is not None:
        chosen = chosen.where(audit.c.seq < before)
    if len(wanted.kinds) == 1:
        chosen = chosen.where(audit.c.kind == wanted.kinds[0])
    with engine.connect() as connection:
        if wanted.until is not None:
            chosen = chosen.where(audit.c.seq < _first_at(connection, wanted.until))
        rows = [Entry(**row._mapping) for row in connection.execute(chosen.limit(LOOKED_AT)).all()]
    since = micros(wanted.since) if wanted.since is not None else 0
    found: list[Entry] = []
    for row in rows:
        if row.at < since:
            return found, None
        if _fits(row, wanted):
            found.append(row)
            if len(found) == limit:
                return found, row.seq
    return found, rows[-1].seq if len(rows) == LOOKED_AT else None


def _fits(row: Entry, wanted: AuditWanted) -> bool:
    return (
        (not wanted.kinds or row.kind in wanted.kinds)
        and (not wanted.actor or (row.actor or "").casefold().startswith(wanted.actor.casefold()))
        and (not wanted.about or f'"{wanted.about}"' in row.facts or wanted.about in (row.incident, row.person))
    )


def _first_at(connection: Connection, until: datetime) -> int:
    """The first entry of a time or later, or the one to come; found by halving, as the journal is in order of time."""
    wanted = micros(until)
    low, high = 1, (connection.scalar(select(journal.c.seq).order_by(journal.c.seq.desc()).limit(1)) or 0) + 1
    while low < high:
        middle = (low + high) // 2
        at = connection.scalar(select(journal.c.at).where(journal.c.seq >= middle).order_by(journal.c.seq).limit(1))
        low, high = (middle + 1, high) if at is not None and at < wanted else (low, middle)
    return low


def entries_of(engine: Engine, since: datetime, until: datetime, kinds: Sequence[str] = ()) -> Iterator[Entry]:
    """The journal of since <= at < until in order, a page at a time; each page on a connection of its own."""
    with engine.connect() as connection:
        low, high = _first_at(connection, since), _first_at(connection, until)
    columns = (journal.c.seq, journal.c.at, journal.c.kind, journal.c.phase, journal.c.person, journal.c.incident, journal.c.actor, journal.c.facts)
    while True:
        chosen = select(*columns).where(journal.c.seq >= low, journal.c.seq < high)
        if kinds:
            chosen = chosen.where(journal.c.kind.in_(kinds))
        with engine.connect() as connection:
            rows = connection.execute(chosen.order_by(journal.c.seq).limit(LOOKED_AT)).all()
        yield from (Entry(**row._mapping) for row in rows)
        if len(rows) < LOOKED_AT:
            return
        low = rows[-1].seq + 1


def prove(rows: Iterable[Row], told: Callable[[int], bool]) -> tuple[int, Broken | None]:
    """(entries proven, the first break or None). `told` hears how many so far; False from it: stop here."""
    proven = 0
    for step in verify(rows):
        if isinstance(step, Broken):
            return proven, step
        proven += 1
        if proven % TOLD_EVERY == 0 and not told(proven):
            break
    return proven, None
