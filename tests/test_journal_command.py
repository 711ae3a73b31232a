"""`gateway journal`: the proof of one incident; before the first start and for what is not in it one line with the remedy, never a traceback."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.cli import main
from gateway.store.chain import erased
from gateway.store.store import Batch, Store
from tests.core.room import Room


def configured(folder: Path, data: str = "var") -> str:
    """A configuration on an empty district whose data lie in `data`."""
    (folder / "districts" / "honggu").mkdir(parents=True)
    file = folder / "gateway.toml"
    file.write_text(f'[gateway]\ndata = "{data}"\n', encoding="utf-8")
    return str(file)


@pytest.mark.parametrize("what", ["verify", "show"])
def test_a_journal_that_is_not_there_is_told_and_not_made(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", what, "--config", configured(tmp_path)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"gateway: no journal at {tmp_path}/var/gateway.db; start the gateway first")
    assert said.err.count("\n") == 1
    assert not (tmp_path / "var").exists()


def test_an_empty_file_is_no_journal_and_stays_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path)
    file = tmp_path / "var" / "gateway.db"
    file.parent.mkdir()
    file.touch()
    assert main(["journal", "verify", "--config", config]) == 1
    assert "no journal at" in capsys.readouterr().err
    assert [(one.name, one.stat().st_size) for one in file.parent.iterdir()] == [("gateway.db", 0)]


def test_a_file_that_is_no_database_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path)
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "gateway.db").write_text("something else, and long enough to be looked at " * 20, encoding="utf-8")
    assert main(["journal", "verify", "--config", config]) == 1
    assert "cannot be read (file is not a database)" in capsys.readouterr().err


def test_an_unknown_incident_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path)
    store = Store("sqlite:///gateway.db", tmp_path / "var")
    store.open()
    store.close()
    assert main(["journal", "show", "R-9", "--config", config]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("gateway: no incident 'R-9' in the journal at ")
    assert main(["journal", "show", "--config", config]) == 0, "an empty journal is no fault"


def spoken_of(folder: Path) -> Store:
    """A journal of two incidents, open."""
    room = Room()
    room.press("w-wang")
    room.press("w-li")
    room.advance(minutes=3)
    store = Store("sqlite:///gateway.db", folder / "var")
    store.open()
    store.write(Batch(records=room.records, incidents=list(room.working.incidents.values())))
    return store


def test_any_incident_can_be_proven_unedited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A spot check (domain 6.11): the entries of one incident, each link worked out again from its digest; one edit, and there is no proof."""
    config = configured(tmp_path)
    store = spoken_of(tmp_path)
    name = next(row.incident for row in store.journal() if row.incident)
    assert main(["journal", "proof", str(name), "--config", config]) == 0
    *entries, end = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    mine = [row for row in store.journal() if row.incident == name]
    assert [one["seq"] for one in entries] == [row.seq for row in mine]
    assert end == {"incident": name, "entries": len(mine), "of": len(list(store.journal())), "chain": "whole", "head": store.head()}
    before = {row.seq + 1: row.chain for row in store.journal()}
    for one in entries:
        link = before.get(one["seq"], bytes(32)) + one["seq"].to_bytes(8, "big") + bytes.fromhex(one["digest"])
        assert sha256(link).hexdigest() == one["chain"]
        assert "facts" not in one
    assert main(["journal", "proof", str(name), "--facts", "--config", config]) == 0
    assert any("decision" in json.loads(line).get("facts", {}) for line in capsys.readouterr().out.splitlines())
    other = next(row.seq for row in store.journal() if row.incident not in (None, name))
    with store.engine.begin() as connection:
        connection.execute(text(f"update journal set actor = 'somebody' where seq = {other}"))
    assert main(["journal", "proof", str(name), "--config", config]) == 1, "whoever edits anything has edited the proof of everything after it"
    assert f"broken: entry {other} was changed" in capsys.readouterr().err
    store.close()


def test_an_entry_erased_in_secret_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path)
    store = spoken_of(tmp_path)
    row = erased(next(row for row in store.journal() if row.kind == "sos"))
    with store.engine.begin() as connection:
        gone = text("update journal set device = null, dedup = null, person = null, actor = null, facts = :facts, raw = :raw where seq = :seq")
        connection.execute(gone, {"facts": row.facts, "raw": row.raw, "seq": row.seq})
    assert main(["journal", "verify", "--config", config]) == 1
    assert f"entry {row.seq} was erased, and no entry says that it was" in capsys.readouterr().err
    store.close()
