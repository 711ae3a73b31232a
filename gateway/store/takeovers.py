"""How many take-overs a journal has been through: the gateway of the later one goes on where two have come from the same (gateway.spare_guard).

Of SQLite `gateway takeover` counts them. A PostgreSQL server that is promoted, or recovered to a point in time, begins a new timeline: whoever writes
there notes the timeline beside the journal, and counts one more when it has become a later one of the same system.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.store.schema import meta

NAME = "takeovers"  # of the row in `meta`; none = 0
TIMELINE = "timeline"  # … and of the one that says under which a PostgreSQL server was written last: SYSTEM TIMELINE
_NOW = "SELECT system_identifier::text, ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int FROM pg_control_system()"
_PUT = "INSERT INTO meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


def takeovers(engine: Engine) -> int:
    """Of this database. Any thread. Raises SQLAlchemyError."""
    with engine.connect() as connection:
        found = connection.scalar(select(meta.c.value).where(meta.c.name == NAME))
    return int(found) if found is not None and found.isdigit() else 0


def count_takeover(database: Path) -> int:
    """One more, in a SQLite database that nobody else has open; gives the number. Raises sqlite3.Error."""
    with closing(sqlite3.connect(database)) as connection, connection:
        found = connection.execute("SELECT value FROM meta WHERE name = ?", (NAME,)).fetchone()
        number = 1 + (int(found[0]) if found is not None and found[0].isdigit() else 0)
        connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (NAME, str(number)))
    return number


def see_promotion(connection: Connection) -> int | None:
    """By who writes to a PostgreSQL server, when it has connected: one more if it was promoted since; gives the number then, else None.

    The writing thread. Raises SQLAlchemyError; a server that does not say its timeline counts nothing.
    """
    try:
        with connection.begin():
            system, timeline = connection.execute(text(_NOW)).one()
    except SQLAlchemyError:
        if connection.invalidated:
            raise
        return None
    with connection.begin():
        known = {row.name: row.value for row in connection.execute(select(meta).where(meta.c.name.in_((NAME, TIMELINE))))}
        before, _, last = known.get(TIMELINE, "").partition(" ")
        if (before, last) == (system, str(timeline)):
            return None
        connection.execute(text(_PUT), {"name": TIMELINE, "value": f"{system} {timeline}"})
        if before != system or int(last) >= timeline:
            return None
        number = 1 + int(known.get(NAME, "0"))
        connection.execute(text(_PUT), {"name": NAME, "value": str(number)})
        return number
