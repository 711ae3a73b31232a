"""Following SQLite's write-ahead log: what SQLite wrote is taken transaction by transaction, what is torn or altered never."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.store import wal
from gateway.store.wal import HEADER, Position, accept, begin


@pytest.fixture
def log(tmp_path: Path) -> Iterator[tuple[sqlite3.Connection, Path]]:
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, x BLOB)")
        yield connection, tmp_path / "a.db-wal"


def start(data: bytes) -> Position:
    found = begin(data)
    assert found is not None
    return found


def test_every_commit_of_sqlite_is_taken(log: tuple[sqlite3.Connection, Path]) -> None:
    connection, file = log
    at = start(file.read_bytes())
    for number in range(20):
        connection.execute("INSERT INTO t VALUES (?, zeroblob(3000))", (number,))
        data = file.read_bytes()
        at = accept(at, data[at.offset :])
        assert at.offset == len(data)
    assert accept(start(data), data[HEADER:]) == at


def test_what_was_rolled_back_is_not_taken(log: tuple[sqlite3.Connection, Path]) -> None:
    """Pages of a long transaction are in the log before it ends; without its end they count for nothing."""
    connection, file = log
    at = accept(start(file.read_bytes()), file.read_bytes()[HEADER:])
    connection.execute("PRAGMA cache_size=2")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO t VALUES (?, zeroblob(3000))", ((number,) for number in range(200)))
    spilled = file.read_bytes()
    assert len(spilled) > at.offset
    assert accept(at, spilled[at.offset :]) == at
    connection.execute("ROLLBACK")
    connection.execute("INSERT INTO t VALUES (1, NULL)")
    data = file.read_bytes()
    after = accept(at, data[at.offset :])
    assert at.offset < after.offset < len(spilled)


def test_cut_anywhere_only_whole_transactions_remain(log: tuple[sqlite3.Connection, Path], tmp_path: Path) -> None:
    connection, file = log
    ends = [len(file.read_bytes())]
    for number in range(5):
        connection.execute("INSERT INTO t VALUES (?, zeroblob(5000))", (number,))
        ends.append(file.stat().st_size)
    data = file.read_bytes()
    first = start(data)
    for cut in [*range(HEADER, len(data), 997), *(end + step for end in ends for step in (-1, 0, 1))]:
        taken = accept(first, data[HEADER:cut])
        assert taken.offset == max([end for end in ends if end <= cut], default=HEADER)


def test_no_flipped_bit_is_taken(log: tuple[sqlite3.Connection, Path]) -> None:
    connection, file = log
    connection.execute("INSERT INTO t VALUES (1, zeroblob(100))")
    data = file.read_bytes()
    first = start(data)
    whole = accept(first, data[HEADER:])
    for place in [*range(HEADER, HEADER + 24), *range(HEADER + 24, len(data), 211)]:
        flipped = bytearray(data)
        flipped[place] ^= 4
        assert accept(first, bytes(flipped[HEADER:])) != whole
    for place in range(HEADER):
        flipped = bytearray(data)
        flipped[place] ^= 4
        assert begin(bytes(flipped)) is None, place
    assert begin(data[: HEADER - 1]) is None
    assert begin(b"") is None


def test_a_new_generation_follows_the_old_one(log: tuple[sqlite3.Connection, Path]) -> None:
    connection, file = log
    connection.execute("INSERT INTO t VALUES (1, zeroblob(20000))")
    data = file.read_bytes()
    old = accept(start(data), data[HEADER:])
    assert connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[0] == 0
    connection.execute("INSERT INTO t VALUES (2, NULL)")
    data = file.read_bytes()
    new = start(data)
    assert wal.is_next(old.salts, new.salts)
    assert not wal.is_next(new.salts, old.salts)
    assert not wal.is_next(old.salts, old.salts)
    assert accept(new, data[HEADER:]).offset < len(data), "behind it stands what is left of the old one"
    assert accept(old, data[old.offset :]) == old
