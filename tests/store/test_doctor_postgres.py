"""`gateway doctor` on a real PostgreSQL: there, away, with a wrong password, held by another gateway; each remedy cures it."""

import re
import time
from pathlib import Path

from servers import free_port
from sqlalchemy import create_engine, func, select, text

from gateway.config import Config, ConsoleConfig, StoreConfig
from gateway.doctor import Finding, examine
from gateway.store.ownership import POSTGRES_LOCK


def look(url: str, folder: Path, **console: object) -> dict[str, Finding]:
    seen = ConsoleConfig(**({"enabled": False} | console))  # type: ignore[arg-type]
    config = Config(store=StoreConfig(url=url), console=seen, path=str(folder / "gateway.toml"))
    return {one.what: one for one in examine(config, only=("store",))}


def test_a_server_that_answers_is_named_with_its_version_and_timed(postgres: str, tmp_path: Path) -> None:
    engine = create_engine(f"{postgres}/postgres")
    with engine.connect() as connection:
        version = connection.scalar(text("SHOW server_version"))
        tables = connection.scalar(text("SELECT count(*) FROM pg_class"))
        found = look(f"{postgres}/postgres", tmp_path)
        assert connection.scalar(text("SELECT count(*) FROM pg_class")) == tables, "nothing is left behind"
    engine.dispose()
    assert found["store"].good
    assert found["store"].text().startswith(f"PostgreSQL {version} at postgresql://")
    assert "of 50" in found["commit"].text()


def test_15_a_server_that_is_away_and_is_found_at_the_corrected_address(postgres: str, tmp_path: Path) -> None:
    wrong = re.sub(r":\d+$", f":{free_port()}", postgres)
    told = look(f"{wrong.replace('postgres@', 'somebody:secret@')}/postgres", tmp_path)["store"]
    assert told.word == "store_away"
    assert told.remedy().endswith("or correct store.url")
    assert "secret" not in told.text() + told.remedy()
    assert "\n" not in told.text()
    assert list(tmp_path.iterdir()) == []
    assert look(f"{postgres}/postgres", tmp_path)["store"].good


def test_15_a_wrong_password_and_a_database_that_is_not_there(postgres: str, tmp_path: Path) -> None:
    name = f"role{time.monotonic_ns()}"
    engine = create_engine(f"{postgres}/postgres", isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'right'"))
            rules = Path(str(connection.scalar(text("SHOW hba_file"))))
            before = rules.read_text()
            rules.write_text(f"host all {name} 127.0.0.1/32 scram-sha-256\n{before}")
            connection.execute(text("SELECT pg_reload_conf()"))
            try:
                wrong = postgres.replace("postgres@", f"{name}:wrong@")
                give_up = time.monotonic() + 10
                while (told := look(f"{wrong}/postgres", tmp_path)["store"]).good and time.monotonic() < give_up:
                    pass  # the server reads its rules a moment later
                assert told.word == "store_refuses"
                assert "ALTER ROLE" in told.remedy()
                connection.execute(text(f"ALTER ROLE {name} PASSWORD 'wrong'"))  # as the remedy says
                assert look(f"{wrong}/postgres", tmp_path)["store"].good
                assert look(f"{wrong}/nowhere", tmp_path)["store"].word == "store_no_database"
            finally:
                rules.write_text(before)
                connection.execute(text("SELECT pg_reload_conf()"))
                connection.execute(text(f"DROP ROLE {name}"))
    finally:
        engine.dispose()


def test_13_another_gateway_writes_to_it(postgres: str, tmp_path: Path) -> None:
    engine = create_engine(f"{postgres}/postgres")
    listen = {"enabled": True, "listen": f"127.0.0.1:{free_port()}"}
    with engine.connect() as connection:
        connection.scalar(select(func.pg_try_advisory_lock(POSTGRES_LOCK)))
        told = look(f"{postgres}/postgres", tmp_path, **listen)["store"]
        assert told.word == "store_other_writer"
        assert told.remedy().startswith("stop that one")
        connection.scalar(select(func.pg_advisory_unlock(POSTGRES_LOCK)))
    engine.dispose()
    assert look(f"{postgres}/postgres", tmp_path, **listen)["store"].good
