"""Both databases for the same suite: a SQLite file of the test's own, and a real PostgreSQL on a free port."""

import getpass
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import free_port
from sqlalchemy import create_engine, text

from gateway.store.store import Store

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def _as_postgres(*command: str) -> list[str]:
    """PostgreSQL refuses to run as root."""
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command] if getpass.getuser() == "root" else list(command)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an empty server, fsync on, ended by its process id."""
    if not BINARIES:
        missing = "postgresql is not installed (apt-get install postgresql)"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    folder = tmp_path_factory.mktemp("postgres")
    for above in (folder, *folder.parents[:2]):
        above.chmod(0o755)
    data = folder / "data"
    data.mkdir()
    if getpass.getuser() == "root":
        import pwd

        os.chown(data, pwd.getpwnam("postgres").pw_uid, -1)
    subprocess.run(
        _as_postgres(str(BINARIES[-1] / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres", "-E", "UTF8"), check=True, capture_output=True
    )
    port = free_port()
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            _as_postgres(str(BINARIES[-1] / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(data)), stderr=log, stdout=log
        )
    url = f"postgresql+psycopg://postgres@127.0.0.1:{port}"
    engine = create_engine(f"{url}/postgres")
    try:
        for _ in range(200):
            try:
                with engine.connect() as connection:
                    connection.execute(text("select 1"))
                break
            except Exception:
                assert server.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
        else:
            raise AssertionError((folder / "log").read_text())
        yield url
    finally:
        engine.dispose()
        server.send_signal(signal.SIGINT)  # fast shutdown: does not wait for clients
        server.wait(10)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/gateway.db"
    server: str = request.getfixturevalue("postgres")
    name = f"t{time.monotonic_ns()}"
    engine = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"create database {name}"))
    engine.dispose()
    return f"{server}/{name}"


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:
    """An open store."""
    opened = Store(url, tmp_path)
    opened.open()
    yield opened
    opened.close()
