"""Both databases for the same suite: a SQLite file of the test's own, and a real PostgreSQL on a free port."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import START_S, end, free_port, postgres_command
from sqlalchemy import create_engine, text

from gateway.store.store import Store


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an empty server, fsync on, ended by its process id."""
    folder = tmp_path_factory.mktemp("postgres")
    port = free_port()
    command = postgres_command(folder / "data", port)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stderr=log, stdout=log, cwd="/")
    url = f"postgresql+psycopg://postgres@127.0.0.1:{port}"
    engine = create_engine(f"{url}/postgres")
    try:
        give_up = time.monotonic() + START_S
        while True:
            try:
                with engine.connect() as connection:
                    connection.execute(text("select 1"))
                break
            except Exception:
                said = (folder / "log").read_text()
                assert server.poll() is None, said
                assert time.monotonic() < give_up, f"PostgreSQL never answered: {said}"
                time.sleep(0.05)
        yield url
    finally:
        engine.dispose()
        end(server, signal.SIGINT)  # fast shutdown: does not wait for clients; a slow disk has its last checkpoint to take


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
