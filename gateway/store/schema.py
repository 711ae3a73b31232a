"""The tables, the same on SQLite and PostgreSQL. Times are microseconds since 1970 UTC, JSON is text.

`incident` holds the whole incident (legs and deadlines included) in `body`; the other columns are there to be asked for.
I100001 has the number 100001: a number needs no index of its own. `next_at` is the deadline row of invariant 4. The timeline
of an incident is its journal entries.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text

SCHEMA_VERSION = 3  # what each version added: gateway.store.migrations

metadata = MetaData()

meta = Table("meta", metadata, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))

journal = Table(
    "journal",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("line", Text),
    Column("device", Text),
    Column("dedup", Text),
    Column("person", Text),
    Column("incident", Text),
    Column("actor", Text),
    Column("facts", Text, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    Index("journal_incident", "incident", "seq"),
)
# The same message is never stored twice (invariant 3). Only entries that have an identity are in it: a page less to write for each alarm.
_has_identity = journal.c.dedup.is_not(None)
Index("journal_dedup", journal.c.dedup, unique=True, sqlite_where=_has_identity, postgresql_where=_has_identity)

incident = Table(
    "incident",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("person", Text),
    Column("opened_at", BigInteger, nullable=False),
    Column("closed_at", BigInteger),
    Column("next_at", BigInteger),
    Column("body", Text, nullable=False),
)
call = Table(
    "call",
    metadata,
    Column("key", Text, primary_key=True),
    Column("line", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)

last_seen = Table(
    "last_seen",
    metadata,
    Column("device", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)

rejected = Table(
    "rejected",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("line", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("device", Text),
    Column("detail", Text, nullable=False),
    Column("raw", LargeBinary, nullable=False),
)

standing = Table(
    "standing", metadata, Column("key", Text, primary_key=True), Column("at", BigInteger, nullable=False), Column("body", Text, nullable=False)
)
