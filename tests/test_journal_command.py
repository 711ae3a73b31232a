"""`gateway journal` before the first start, and on a folder that cannot be: one line with the remedy, never a traceback."""

from pathlib import Path

import pytest

from gateway.cli import main


def configured(folder: Path, data: str) -> str:
    """A configuration on an empty district whose data lie in `data`."""
    (folder / "districts" / "honggu").mkdir(parents=True)
    file = folder / "gateway.toml"
    file.write_text(f'[gateway]\ndata = "{data}"\n', encoding="utf-8")
    return str(file)


@pytest.mark.parametrize("what", ["verify", "show"])
def test_a_journal_that_is_not_there_is_told_with_the_remedy(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", what, "--config", configured(tmp_path, "var")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("gateway: there is no journal to be read in sqlite:///gateway.db (no such table: journal); start the gateway once")
    assert said.err.count("\n") == 1


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    assert main(["journal", "verify", "--config", configured(tmp_path, "file/var")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("gateway: cannot make the folder ")
    assert "gateway.data" in said
