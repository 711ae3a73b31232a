"""`gateway journal` before the first start, and for what is not in it: one line with the remedy, nothing made, never a traceback."""

from pathlib import Path

import pytest

from gateway.cli import main
from gateway.store.store import Store


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
