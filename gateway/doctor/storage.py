"""The store: reachable, writable, fast, with room, of our schema, not held by somebody else."""

import os
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.doctor.finding import Finding, bad, good, note
from gateway.doctor.machine import lock_owners, program_of
from gateway.doctor.patient import POSTGRES_WAITS, Patient
from gateway.store.ownership import POSTGRES_LOCK
from gateway.store.schema import SCHEMA_VERSION, meta
from gateway.store.store import FAST_S, reason_of

TOPIC, DISK = "store", "disk"
# A commit waits for the disk about once. Above 5 ms every receipt is late; the bench (--sync-delay-us 5000) shows what that does.
SLOW_COMMIT_MS = 5.0
COMMITS = 50
ENOUGH_S = 2.0  # of commits on a disk so slow that the rest would tell nothing new
RECORD = "x" * 500  # an alarm's journal entry is about so long
# Writes to PostgreSQL's log and must be flushed like any commit, and leaves nothing behind: no table is needed for it.
POSTGRES_WRITE = "SELECT pg_logical_emit_message(true, 'gateway doctor', :record)"
POSTGRES_WRITERS = """SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = :key AND objsubid = 1 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
LOW_SPACE = 2 * 2**30  # a year of a district's journal is under this; a full disk stops every receipt …
LOW_SHARE = 0.1  # … on a disk of less than 20 GiB so large a share of it
LOW_INODES = 1000
LOCK_S = 1.0  # a commit of the gateway takes milliseconds: who holds the lock for longer is in its way


def look(patient: Patient) -> Iterator[Finding]:
    """The database of the configuration."""
    if patient.is_sqlite:
        yield from _sqlite(patient)
    else:
        yield from _postgresql(patient)


def look_disk(patient: Patient) -> Iterator[Finding]:
    """The disk below the data folder: room, and how long a commit takes."""
    folder = existing(patient.data)
    usage = shutil.disk_usage(folder)
    enough = min(LOW_SPACE, LOW_SHARE * usage.total)
    inodes = os.statvfs(folder)
    facts = {"folder": folder, "free": _size(usage.free), "total": _size(usage.total), "enough": _size(enough)}
    if usage.free < enough:
        yield bad(DISK, "free space", "disk_full", **facts)
    elif inodes.f_files and inodes.f_favail < LOW_INODES:
        yield bad(DISK, "free space", "disk_inodes", folder=folder, left=inodes.f_favail)
    else:
        yield good(DISK, "free space", "disk_free", **facts)
    if patient.is_sqlite:
        with suppress(OSError, sqlite3.Error):  # that nothing can be written there is told of the store
            yield _speed(commit_ms(folder), folder)


def existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there: the data folder itself is made by the first start."""
    return next(one for one in (folder, *folder.parents) if one.is_dir())


def _sqlite(patient: Patient) -> Iterator[Finding]:
    file, user = Path(patient.store.where), patient.user
    folder = existing(file.parent)
    if file.exists() and not (file.is_file() and user.may(file, 6)):
        yield bad(TOPIC, TOPIC, "store_not_writable", file=file, user=user.name)
        return
    if not user.may(folder, 3):
        yield bad(TOPIC, TOPIC, "store_folder_not_writable", folder=folder, user=user.name)
        return
    if patient.engine is None:
        yield good(TOPIC, TOPIC, "store_to_be_made", file=file, version=sqlite3.sqlite_version)
        return
    schema = _schema(patient)
    if isinstance(schema, Finding):
        yield schema
        return
    if os.access(file, os.W_OK) and (holder := _locked_by(file, patient.lock_pid)) is not None:
        yield bad(TOPIC, TOPIC, "store_locked", file=file, holder=holder)
        return
    yield good(TOPIC, TOPIC, "store_sqlite", file=file, version=sqlite3.sqlite_version, schema=schema)


def _schema(patient: Patient) -> int | Finding:
    """The schema's version, 0 where there are no tables yet; or why the gateway would not start on it."""
    assert patient.engine is not None
    where = patient.store.where
    try:
        with patient.engine.connect() as connection:
            version = int(connection.scalar(select(meta.c.value).where(meta.c.name == "schema")) or 0)
    except (SQLAlchemyError, ValueError) as error:
        why = reason_of(error) if isinstance(error, SQLAlchemyError) else str(error)
        if "no such table" in why or "does not exist" in why:
            return 0
        return bad(TOPIC, TOPIC, "store_damaged", file=where, reason=why)
    if version > SCHEMA_VERSION:
        return bad(TOPIC, TOPIC, "store_newer", file=where, found=version, known=SCHEMA_VERSION)
    return version


def _locked_by(file: Path, gateway: int | None) -> str | None:
    """Who keeps everybody from writing, None when nobody does. Takes the lock for a moment that the gateway's own patience covers."""
    try:
        with closing(sqlite3.connect(file, timeout=LOCK_S, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
        return None
    except sqlite3.Error as error:
        if "locked" not in str(error):
            return None
    owners = [pid for name in (f"{file}-shm", str(file)) for pid in lock_owners(Path(name)) if pid != gateway]
    return ", ".join(f"{program_of(pid)} ({pid})" for pid in dict.fromkeys(owners)) or "?"


def _postgresql(patient: Patient) -> Iterator[Finding]:
    where = patient.store.where
    engine = create_engine(patient.store.engine.url, connect_args=POSTGRES_WAITS)
    try:
        with engine.connect() as connection:
            version = connection.scalar(text("SHOW server_version"))
            writers = connection.scalar(text(POSTGRES_WRITERS), {"key": POSTGRES_LOCK})
            connection.commit()

            def commit() -> None:
                connection.execute(text(POSTGRES_WRITE), {"record": RECORD})
                connection.commit()

            schema = _schema(patient) if patient.engine is not None else 0
            if isinstance(schema, Finding):
                yield schema
            elif writers and not patient.is_answering and patient.config.console.enabled:
                yield bad(TOPIC, TOPIC, "store_other_writer", where=where)
            else:
                yield good(TOPIC, TOPIC, "store_postgresql", version=version, where=where)
            yield _speed(_timed(commit, COMMITS), existing(patient.data))
    except SQLAlchemyError as error:
        why = reason_of(error)
        word = "store_refuses" if "authentication" in why or "password" in why else "store_away"
        if "database" in why and "does not exist" in why:
            word = "store_no_database"
        yield bad(TOPIC, TOPIC, word, where=where, reason=why)
    finally:
        engine.dispose()


def commit_ms(folder: Path, commits: int = COMMITS) -> list[float]:
    """How long each of so many small commits to a scratch database in this folder took, milliseconds. OSError or sqlite3.Error."""
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=folder) as scratch, closing(sqlite3.connect(Path(scratch) / "scratch.db")) as database:
        database.execute("PRAGMA journal_mode=WAL")  # and FULL: as the store itself commits
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE scratch (record TEXT)")

        def commit() -> None:
            database.execute("INSERT INTO scratch VALUES (?)", (RECORD,))
            database.commit()

        return _timed(commit, commits)


def _timed(commit: Callable[[], None], commits: int) -> list[float]:
    took: list[float] = []
    for _ in range(commits):
        began = time.perf_counter()
        commit()
        took.append((time.perf_counter() - began) * 1000)
        if sum(took) > ENOUGH_S * 1000:
            break
    return took


def _speed(took: Sequence[float], folder: Path) -> Finding:
    middle, fast_ms = statistics.median(took), FAST_S * 1000
    facts = {"median": f"{middle:.2f}", "slowest": f"{max(took):.2f}", "count": len(took), "fast": f"{fast_ms:g}", "folder": folder}
    if middle > SLOW_COMMIT_MS:
        return bad(DISK, "commit", "commit_slow", **facts)
    if middle >= fast_ms:
        return note(DISK, "commit", "commit_in_thread", **facts)
    return good(DISK, "commit", "commit_fast", **facts)


def _size(octets: float) -> str:
    return f"{octets / 2**30:.1f} GiB" if octets >= 2**30 else f"{octets / 2**20:.0f} MiB"
