"""`gateway doctor` on a real PostgreSQL: its version and commit time while it is there, one line with the remedy when it is away."""

from pathlib import Path

from servers import free_port
from sqlalchemy import create_engine, text

from gateway.config import Config, ConsoleConfig, StoreConfig
from gateway.doctor import Finding, examine


def look(url: str, folder: Path) -> list[Finding]:
    return list(examine(Config(store=StoreConfig(url=url), console=ConsoleConfig(enabled=False), path=str(folder / "gateway.toml"))))


def test_a_server_that_answers_is_named_with_its_version_and_timed(postgres: str, tmp_path: Path) -> None:
    engine = create_engine(f"{postgres}/postgres")
    with engine.connect() as connection:
        version = connection.scalar(text("SHOW server_version"))
        tables = connection.scalar(text("SELECT count(*) FROM pg_class"))
        store, commit = look(f"{postgres}/postgres", tmp_path)
        assert connection.scalar(text("SELECT count(*) FROM pg_class")) == tables, "nothing is left behind"
    engine.dispose()
    assert store.good
    assert f"PostgreSQL {version} at postgresql://" in store.text
    assert commit.what == "store, commit"
    assert "of 50 (" in commit.text
    assert "below 2 ms" in commit.text


def test_a_server_that_is_away_is_told_in_one_line(tmp_path: Path) -> None:
    [store] = look(f"postgresql://somebody:secret@127.0.0.1:{free_port()}/gateway", tmp_path)
    assert not store.good
    assert "refused" in store.text
    assert store.text.endswith("start PostgreSQL, or correct store.url")
    assert "secret" not in store.text
    assert "\n" not in store.text
    assert list(tmp_path.iterdir()) == []
