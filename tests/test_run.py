"""`gateway run` that cannot start: one line that names the file and the key, or the database; never a traceback."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from servers import free_port

DISTRICTS = Path(__file__).parents[1] / "config" / "districts"


def refused(folder: Path, tables: str) -> tuple[int, list[str]]:
    """Exit code, and what was said besides the log."""
    config = folder / "gateway.toml"
    config.write_text(f'[gateway]\ndata = "var"\ndistricts = "{DISTRICTS}"\n{tables}', encoding="utf-8")
    command = [sys.executable, "-m", "gateway.cli", "run", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "NO_COLOR": "1"})
    return done.returncode, [line for line in done.stderr.splitlines() if not line.startswith("[info")]


def test_a_taken_console_port_names_file_and_key(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        code, said = refused(tmp_path, f'[console]\naccounts = false\nlisten = "{listen}"\n')
    assert code == 2
    assert said == [f"{tmp_path}/gateway.toml: console.listen: cannot listen on {listen} (Address already in use); choose another port"]


def test_a_database_that_is_away_is_one_line(tmp_path: Path) -> None:
    port = free_port()
    code, said = refused(tmp_path, f'[store]\nurl = "postgresql://somebody:secret@127.0.0.1:{port}/gateway"\n')
    assert code == 1
    [line] = said
    assert line.startswith(f"gateway: cannot open postgresql://somebody:***@127.0.0.1:{port}/gateway (")
    assert line.endswith("start the database, or correct store.url")
    assert "sqlalche.me" not in line


@pytest.mark.parametrize("line", ['codec = "espa444"\nlisten = "serial:/dev/x:baud=9600"', 'codec = "telepathy"\nlisten = "tcp:1"'])
def test_a_line_that_its_driver_refuses_names_the_file(tmp_path: Path, line: str) -> None:
    code, [said] = refused(tmp_path, f'[[line]]\nname = "hall"\n{line}\n')
    assert code == 2
    assert said.startswith(f"{tmp_path}/gateway.toml: line 'hall': ")
