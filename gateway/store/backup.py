"""A copy of the database beside the gateway that writes it, and proof of what a copy holds.

SQLite: one read transaction for the whole copy, so that the copy is of one moment and what is written meanwhile does not make it begin
again; pages in small steps with pauses as long as the step took, written out every few megabytes, so that no commit waits long for the disk.
While it runs the write-ahead log is not begun anew: it grows by what is written. PostgreSQL: gateway.store.backup_postgres.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from gateway.errors import GatewayError, StoreBroken
from gateway.store.chain import GENESIS, Broken, Row, verify

PAGES = 256  # in one step: 1 MiB, 1 to 5 ms of a disk
PAUSE_S = 0.002  # after each, at least; else as long as the step took: half of the disk is the gateway's
SYNC_EVERY = 8  # steps; what a file system holds back longer than that, the gateway's next commit would wait for
BUSY_S = 5.0
READ_AT_ONCE = 1000  # journal entries in memory while they are proven
COMPLAINTS = 5  # of SQLite's own check; one is enough to be worried


class Head(msgspec.Struct, frozen=True):
    """The end of the journal: its last entry, and the chain's last link in hex."""

    seq: int
    chain: str


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the tables of one journal hold: its head, rows of each table, incidents that are open.

    shard: whose it is, where there are several; position, stream: up to where it had read which stream of the bus (gateway.store.ownership)
    """

    head: Head
    counts: dict[str, int]
    open_incidents: int
    shard: int | None = None
    position: int = 0
    stream: int = 0


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in a database: faults in words (none: it is whole), entries proven, its head, rows of each table."""

    faults: tuple[str, ...]
    proven: int
    head: Head
    counts: dict[str, int]
    open_incidents: int
    schema: int | None

    @property
    def part(self) -> Part:
        """What a backup says of it."""
        return Part(head=self.head, counts=self.counts, open_incidents=self.open_incidents)


def copy(source: Path, target: Path, rest: Callable[[float], None] = time.sleep, tell: Callable[[int, int], None] = lambda _done, _all: None) -> None:
    """Copy a SQLite database that others are writing to. The target is new, readable by its owner alone and on the disk when this returns.

    rest: called with the seconds to pause after a step; tell: with (pages copied, pages in all). Raises StoreBroken with the remedy.
    """
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise GatewayError(f"cannot write {target} ({error.strerror}): choose another place, or remove what is there") from error
    began, steps = time.monotonic(), 0

    def step(_status: int, remaining: int, total: int) -> None:
        nonlocal began, steps
        steps += 1
        if steps % SYNC_EVERY == 0:
            os.fsync(handle)
        tell(total - remaining, total)
        rest(max(PAUSE_S, time.monotonic() - began))
        began = time.monotonic()

    try:
        with closing(_reading(source)) as reading, closing(sqlite3.connect(target, isolation_level=None)) as writing:
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on it sees this moment
            writing.execute("PRAGMA synchronous=OFF")  # it is not a backup before the last fsync below
            writing.execute("PRAGMA journal_mode=OFF")
            reading.backup(writing, pages=PAGES, progress=step)
            writing.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        os.fsync(handle)
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise StoreBroken(f"{source} cannot be copied to {target} ({error}): look for free space, and at `gateway verify`") from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


def prove(file: Path, *, quick: bool = False) -> Proof:
    """Open a SQLite database that nobody writes to, check its pages and indexes, and walk the chain from end to end. Raises StoreBroken.

    quick: leave out whether indexes fit their tables, which takes most of the time.
    """
    try:
        with closing(_reading(file)) as connection:
            faults = _complaints(connection, quick=quick)
            head, proven, broken = Head(0, GENESIS.hex()), 0, None
            for step in verify(_entries(connection)):
                if isinstance(step, Broken):
                    broken = step
                    break
                proven += 1
            if broken is not None:
                faults.append(f"journal entry {broken.seq} does not hold ({broken.reason}); {proven} entries before it do")
            head = head_of(connection)
            tables = [
                name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite_%' ORDER BY 1")
            ]
            counts = {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}
            still_open = connection.execute("SELECT count(*) FROM incident WHERE state <> 'closed'").fetchone()[0]
            schema = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
    except sqlite3.Error as error:
        raise StoreBroken(f"{file} cannot be read as a gateway's database ({error}): it is damaged, or something else") from error
    return Proof(faults=tuple(faults), proven=proven, head=head, counts=counts, open_incidents=still_open, schema=int(schema[0]) if schema else None)


def head_of(connection: sqlite3.Connection) -> Head:
    """The last entry and link."""
    last = connection.execute("SELECT seq, chain FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
    return Head(last[0], bytes(last[1]).hex()) if last else Head(0, GENESIS.hex())


def link_at(connection: sqlite3.Connection, seq: int) -> str | None:
    """The chain's link at an entry, hex; None: there is no such entry."""
    if seq == 0:
        return GENESIS.hex()
    found = connection.execute("SELECT chain FROM journal WHERE seq = ?", (seq,)).fetchone()
    return bytes(found[0]).hex() if found else None


@contextmanager
def reading(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection that only reads. Raises StoreBroken."""
    try:
        with closing(_reading(file)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise StoreBroken(f"{file} cannot be read ({error}): it is damaged, or not a gateway's database") from error


def _reading(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=BUSY_S)
    connection.execute("PRAGMA query_only=ON")
    return connection


def _complaints(connection: sqlite3.Connection, *, quick: bool) -> list[str]:
    found = connection.execute(f"PRAGMA {'quick' if quick else 'integrity'}_check({COMPLAINTS})").fetchall()
    return [] if found == [("ok",)] else [f"SQLite says: {' '.join(str(line).split())}" for (line,) in found]


def _entries(connection: sqlite3.Connection) -> Iterator[Row]:
    names = Row.__struct_fields__
    chosen = f"SELECT {', '.join(names)} FROM journal WHERE seq >= ? ORDER BY seq LIMIT {READ_AT_ONCE}"
    start = -(2**62)
    while rows := connection.execute(chosen, (start,)).fetchall():
        yield from (Row(**dict(zip(names, row, strict=True))) for row in rows)
        start = rows[-1][0] + 1
