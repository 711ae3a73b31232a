"""Databases that earlier releases really wrote (tests/store/releases): brought up with a backup of before, the chain whole, every incident as it
was; and back again, until the tables are those of the release that is to read them."""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, text

from gateway.clock import utc_now
from gateway.core.account import AccessWrite, Account, AccountRole
from gateway.core.state import Record
from gateway.errors import StoreBroken
from gateway.event import Kind, Phase
from gateway.store import before, migrations
from gateway.store.backup_file import read_manifest
from gateway.store.schema import SCHEMA_VERSION, metadata
from gateway.store.store import Batch, Store

RELEASES = Path(__file__).with_name("releases")
OLD = [version for version in (2, 3) if version < SCHEMA_VERSION]
# Not last_seen: a start forgets devices that were silent for 90 days, and one day these are.
KEPT_TABLES = ("journal", "incident", "call", "rejected", "standing", "report_cursor", "report_outbox", "report_day", "routing_data")


def lay(version: int, folder: Path) -> Path:
    """The database of that release."""
    file = folder / "gateway.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript((RELEASES / f"schema-{version}.sql").read_text("utf-8"))
    return file


def content(file: Path, tables: tuple[str, ...] = KEPT_TABLES) -> dict[str, list[Any]]:
    """Every row of these tables."""
    with closing(sqlite3.connect(file)) as connection:
        return {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in tables}


def tables(file: Path) -> dict[str, str]:
    """Tables and indexes with what made them."""
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
    return {name: re.sub(r"\s+", " ", sql).replace(", ", ",").replace("IF NOT EXISTS ", "") for name, sql in rows}


@contextmanager
def opened(folder: Path, url: str = "sqlite:///gateway.db") -> Iterator[Store]:
    store = Store(url, folder)
    try:
        store.open()
        yield store
    finally:
        store.close()


def an_entry() -> Batch:
    return Batch(records=[Record(kind=Kind.STARTED, phase=Phase.STATE, at=utc_now(), facts=b"{}")])


@pytest.mark.parametrize("version", OLD)
def test_an_older_database_is_brought_up_after_a_backup(version: int, tmp_path: Path) -> None:
    file = lay(version, tmp_path)
    was = content(file)
    with opened(tmp_path) as store:
        assert migrations.version_of(store.engine) == SCHEMA_VERSION
        assert store.verify() == (len(was["journal"]), None)
        assert set(inspect(store.engine).get_table_names()) == set(metadata.tables)
        assert [one.id for one in store.load().incidents] == [f"I{row[0]}" for row in was["incident"] if row[1] != "closed"]
        store.write(an_entry())
        assert store.verify() == (len(was["journal"]) + 1, None)
    assert {name: rows for name, rows in content(file).items() if name != "journal"} == {n: r for n, r in was.items() if n != "journal"}
    (kept,) = (tmp_path / before.FOLDER).iterdir()
    manifest = read_manifest(kept)
    assert (manifest.schema, manifest.head.seq, manifest.counts["incident"]) == (version, len(was["journal"]), len(was["incident"]))
    assert kept.stat().st_mode & 0o777 == 0o600
    with opened(tmp_path):  # a second start finds it as it is, and makes no more backups
        assert list((tmp_path / before.FOLDER).iterdir()) == [kept]


def test_closed_incidents_of_before_are_found_after_it(tmp_path: Path) -> None:
    lay(2, tmp_path)
    with opened(tmp_path) as store, store.engine.connect() as connection:
        closed = connection.scalar(text("SELECT count(*) FROM incident WHERE state = 'closed'"))
        assert closed
        assert connection.scalar(text("SELECT count(*) FROM history")) == closed


@pytest.mark.parametrize("version", OLD)
def test_going_back_leaves_the_tables_of_that_release(version: int, tmp_path: Path) -> None:
    """Whatever the newer release journalled stays: the older one goes on from there."""
    (tmp_path / "old").mkdir()
    wanted = tables(lay(version, tmp_path / "old"))
    file = lay(version, tmp_path)
    with opened(tmp_path) as store:
        store.write(an_entry())
        head = store.head()
    was = content(file)
    engine = create_engine(f"sqlite:///{file}")
    migrations.downgrade(engine, version)
    assert migrations.version_of(engine) == version
    engine.dispose()
    assert tables(file) == wanted
    assert content(file) == was
    with opened(tmp_path) as store:  # and up again: what was taken away is filled anew from what stayed
        assert store.head() == head
        assert store.verify()[1] is None
        with store.engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM history")) == 2


def test_what_goes_is_counted_before(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        someone = Account(login="zhangmin", name="张敏", role=AccountRole.OPERATOR, password="invented")
        store.write(Batch(access=[AccessWrite(accounts=(someone,))]))
        lost = migrations.lost_by_downgrade(store.engine, 2)
        assert lost["account"] == 1
        assert lost["session"] == 0


def test_no_way_to_what_never_was(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for to in (1, SCHEMA_VERSION, SCHEMA_VERSION + 1):
            with pytest.raises(StoreBroken, match=rf"no way from schema {SCHEMA_VERSION} to {to}: give one from 2 to"):
                migrations.downgrade(store.engine, to)
        assert store.verify() == (0, None)


@pytest.mark.parametrize(("version", "words"), [("99", "gateway downgrade --to-schema"), ("1", "start a version between"), ("x", "no number")])
def test_what_cannot_be_used_is_refused_with_the_remedy(version: str, words: str, tmp_path: Path) -> None:
    file = lay(3, tmp_path)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'schema'", (version,))
    was = tables(file)
    with pytest.raises(StoreBroken, match=words), opened(tmp_path):
        pass
    assert tables(file) == was
    assert not (tmp_path / before.FOLDER).exists()


def test_nothing_is_changed_without_a_backup(tmp_path: Path) -> None:
    file = lay(2, tmp_path)
    was = tables(file)
    (tmp_path / before.FOLDER).write_text("a file where the folder should be")
    with pytest.raises(StoreBroken, match="correct the rights of"), opened(tmp_path):
        pass
    assert tables(file) == was


def test_a_damaged_database_is_not_brought_up(tmp_path: Path) -> None:
    file = lay(2, tmp_path)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE journal SET facts = '{}' WHERE seq = 3")
    with pytest.raises(StoreBroken, match="entry 3 does not hold"), opened(tmp_path):
        pass
    assert list((tmp_path / before.FOLDER).iterdir()) == []


def test_old_backups_give_way(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        folder = tmp_path / before.FOLDER
        folder.mkdir()
        for number in range(5):
            (folder / f"{before.UPGRADE}2026010{number}T000000Z.backup.tar").write_text("old")
        made = before.keep(store.engine, tmp_path, before.UPGRADE)
        assert sorted(folder.iterdir())[-1] == made
        assert len(list(folder.iterdir())) == before.KEPT


def test_every_table_belongs_to_a_version(tmp_path: Path) -> None:
    """A table that no version names would stay behind after going back."""
    added = [name for names in migrations.ADDED.values() for name in names]
    assert set(added) | set(tables_of(lay(2, tmp_path))) == set(metadata.tables)
    assert max(migrations.ADDED) == SCHEMA_VERSION
    assert {int(re.findall(r"\d+", file.name)[0]) for file in RELEASES.glob("*.sql")} == set(range(migrations.OLDEST, SCHEMA_VERSION)) | {3}


def tables_of(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


def test_postgres_is_brought_up_and_back(postgres: str, tmp_path: Path) -> None:
    name = f"up{os.getpid()}"
    server = create_engine(f"{postgres}/postgres", isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"create database {name}"))
    server.dispose()
    url = f"{postgres}/{name}"
    with opened(tmp_path, url) as store:
        store.write(an_entry())
        migrations.downgrade(store.engine, 2)
        assert not set(inspect(store.engine).get_table_names()) & {"account", "history"}
    with opened(tmp_path, url) as store:
        assert migrations.version_of(store.engine) == SCHEMA_VERSION
        assert store.verify() == (1, None)
    (kept,) = (tmp_path / before.FOLDER).iterdir()
    assert (read_manifest(kept).store, read_manifest(kept).schema, read_manifest(kept).head.seq) == ("postgresql", 2, 1)
