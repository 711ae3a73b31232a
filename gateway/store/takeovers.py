"""How many take-overs a journal has been through: the gateway of the later one goes on where two have come from the same (gateway.spare_guard)."""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Engine, select

from gateway.store.schema import meta

NAME = "takeovers"  # of the row in `meta`; none = 0


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
