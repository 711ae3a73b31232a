"""Backups of both stores: whole while others write, small steps, damage named, nothing overwritten, old ones give way."""

import json
import os
import sqlite3
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from gateway import backup_files
from gateway.backup_age import BackupAge, last
from gateway.backup_command import examine, make
from gateway.backup_files import files_of
from gateway.cli import main
from gateway.clock import utc_now
from gateway.config import read_config
from gateway.core.state import Record
from gateway.errors import GatewayError, StoreBroken
from gateway.event import Kind, Phase
from gateway.journal_command import journals_of
from gateway.store import backup
from gateway.store.backup_file import MANIFEST, read_manifest, write
from gateway.store.store import Batch, Store


def entries(count: int, facts: bytes = b'{"words":"a\\ttab, a \\\\ and \xe4\xba\xba"}') -> Batch:
    return Batch(records=[Record(kind=Kind.STARTED, phase=Phase.STATE, at=utc_now(), facts=facts, raw=b"\x00\\x\t\n") for _ in range(count)])


@pytest.fixture(autouse=True)
def _as_urgent_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command steps back behind alarms; the tests after it need not."""
    monkeypatch.setattr(os, "setpriority", lambda *_: None)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """An installation: gateway.toml, an empty district, a secret, data outside."""
    folder = tmp_path / "etc"
    (folder / "districts" / "honggu").mkdir(parents=True)
    (folder / "districts" / "honggu" / "persons.csv").write_text("id\n")
    (folder / "mappings").mkdir()
    (folder / "mappings" / "own.toml").write_text("# ours\n")
    (folder / "broker.password").write_text("never to be read")
    chain = "-----BEGIN CERTIFICATE-----\n" + "MIIB" * 500 + "\n-----END CERTIFICATE-----\n"
    (folder / "tls.pem").write_text(chain * 4 + "-----BEGIN PRIVATE KEY-----\n")  # in one file, behind its chain
    (folder / "gateway.toml").write_text('[gateway]\ndata = "../var"\n')
    return folder / "gateway.toml"


@contextmanager
def written(config: Path, count: int = 50, url: str = "sqlite:///gateway.db") -> Iterator[Store]:
    store = Store(url, config.parent.parent / "var")
    store.open()
    store.write(entries(count))
    try:
        yield store
    finally:
        store.close()


def test_a_copy_is_of_one_moment_while_others_write(tmp_path: Path) -> None:
    """The writer goes on through every step, and none of what it writes is in the copy: one moment, the one of its begin."""
    store = Store("sqlite:///gateway.db", tmp_path)
    store.open()
    store.write(entries(2000, b'{"text":"' + b"x" * 2000 + b'"}'))
    steps = []

    def rest(_: float) -> None:
        store.write(entries(3))
        steps.append(store.last_seq)

    backup.copy(tmp_path / "gateway.db", tmp_path / "copy.db", rest=rest)
    assert len(steps) > 3
    proof = backup.prove(tmp_path / "copy.db")
    assert (proof.faults, proof.proven, proof.head.seq) == ((), 2000, 2000)
    assert store.verify() == (2000 + 3 * len(steps), None)
    store.close()
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "copy.db-wal").exists()


def test_a_copy_does_not_hold_the_writer(tmp_path: Path) -> None:
    """Commits go on beside it: never once is the database found locked, and the copy rests at least as long as it works."""
    store = Store("sqlite:///gateway.db", tmp_path)
    store.open()
    store.write(entries(4000, b'{"text":"' + b"x" * 2000 + b'"}'))
    done, commits, rested = threading.Event(), 0, []

    def rest(seconds: float) -> None:
        rested.append(seconds)
        time.sleep(seconds)

    def copying() -> None:
        backup.copy(tmp_path / "gateway.db", tmp_path / "copy.db", rest=rest)
        done.set()

    thread = threading.Thread(target=copying)
    thread.start()
    while not done.is_set():
        store.write(entries(1))  # raises StoreDown when it finds it locked for BUSY_MS
        commits += 1
    thread.join()
    store.close()
    assert commits > len(rested)
    assert min(rested) >= backup.PAUSE_S


def test_backup_verify_restore(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with written(config) as store:
        head = store.head()
        assert main(["backup", "--config", str(config)]) == 0
    said = capsys.readouterr().out
    assert f"50 journal entries, chain whole; head {head}" in said
    assert "not in it, and needed for a start (2):" in said
    assert "copy it to another machine" in said
    noted = last(tmp_path / "var")
    assert noted is not None
    assert noted.seq == 50
    (age,) = BackupAge(tmp_path / "var").collect()
    assert 0 <= age.samples[0].value < 60
    assert list(BackupAge(tmp_path).collect()) == []
    (file,) = (tmp_path / "var" / "backups").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"never to be read" not in file.read_bytes()
    assert main(["verify", str(file), "--head", head]) == 0
    new = tmp_path / "new"
    assert main(["restore", str(file), "--to", str(new)]) == 0
    assert f"put back {new}/config/broker.password" in capsys.readouterr().out
    assert (new / "config" / "mappings" / "own.toml").read_text() == "# ours\n"
    assert main(["verify", "--config", str(new / "config" / "gateway.toml"), "--head", head]) == 0
    assert main(["restore", str(file), "--to", str(new)]) == 1
    assert "there is a journal" in capsys.readouterr().err
    assert main(["restore", str(file), "--to", str(new), "--replace"]) == 0
    assert [one.name for one in (new / "var").glob("set-aside-*/*")] == ["gateway.db"]


def test_with_secrets(config: Path, tmp_path: Path) -> None:
    with written(config):
        assert main(["backup", "--config", str(config), "--with-secrets", "--to", str(tmp_path / "b.tar")]) == 0
    assert main(["restore", str(tmp_path / "b.tar"), "--to", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new" / "config" / "broker.password").read_text() == "never to be read"
    assert read_manifest(tmp_path / "b.tar").left_out == {}


def test_a_log_beside_the_database_does_not_outlive_it(config: Path, tmp_path: Path) -> None:
    """What is set aside takes its write-ahead log with it: else SQLite would lay the old one over the restored pages."""
    file, data = tmp_path / "b.tar", tmp_path / "var"
    with written(config, 5):
        assert main(["backup", "--config", str(config), "--to", str(file)]) == 0
    with written(config, 7):
        kept = {name: (data / name).read_bytes() for name in ("gateway.db", "gateway.db-wal")}
    for name, content in kept.items():
        (data / name).write_bytes(content)
    assert main(["restore", str(file), "--config", str(config), "--replace"]) == 0
    assert backup.prove(data / "gateway.db").head.seq == 5
    assert {one.name for one in data.glob("set-aside-*/*")} == set(kept)


def test_data_only_leaves_the_configuration(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with written(config):
        assert main(["backup", "--config", str(config), "--to", str(tmp_path / "b.tar")]) == 0
    (tmp_path / "var" / "gateway.db").unlink()
    config.write_text('[gateway]\ndata = "../var"\n# changed since\n')
    assert main(["restore", str(tmp_path / "b.tar"), "--config", str(config)]) == 1
    assert "1 files are there already and differ" in capsys.readouterr().err
    assert not (tmp_path / "var" / "gateway.db").exists()
    assert main(["restore", str(tmp_path / "b.tar"), "--config", str(config), "--data-only"]) == 0
    assert config.read_text().endswith("# changed since\n")
    assert backup.prove(tmp_path / "var" / "gateway.db").head.seq == 50


def test_an_absolute_data_folder_is_not_touched_by_a_drill(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(f'[gateway]\ndata = "{tmp_path}/var"   # as the unit has it\n')
    with written(config) as store:
        assert main(["backup", "--config", str(config), "--to", str(tmp_path / "b.tar")]) == 0
        was = (tmp_path / "var" / "gateway.db").stat().st_mtime_ns
        assert main(["restore", str(tmp_path / "b.tar"), "--to", str(tmp_path / "drill")]) == 0
        assert (tmp_path / "var" / "gateway.db").stat().st_mtime_ns == was
        assert store.verify() == (50, None)
    assert "it is ../data here" in capsys.readouterr().out
    assert main(["verify", "--config", str(tmp_path / "drill" / "config" / "gateway.toml")]) == 0


def test_files_that_others_change_or_remove_meanwhile_damage_nothing(config: Path, tmp_path: Path) -> None:
    """At every rest of the copying all of them are written to, in place, and one more is removed: what is in the backup is what its manifest says."""
    doomed = [tmp_path / "var" / f"{number}.call" for number in range(50)]  # the last ones go first
    growing, replaced = config.parent / "growing.csv", config.parent / "replaced.csv"
    with written(config):
        for file in (*doomed, growing, replaced):
            file.write_text("a,b\n" * 1000)
        config_read = read_config(config)
        found = files_of(config_read, secrets=False, maps=False)

        def rest(_: float) -> None:
            if doomed:
                doomed.pop().unlink()
            with growing.open("a") as more:
                more.write("c,d\n" * 1000)
            replaced.write_text(replaced.read_text()[:-4])

        with journals_of(config_read) as stores, pytest.MonkeyPatch.context() as patch:
            patch.setattr(write, "__defaults__", (rest,))
            manifest = make(config_read, stores, tmp_path / "b.tar", found, secrets=False)
    assert examine(tmp_path / "b.tar")[1] == []
    names = {member.name for member in manifest.members}
    assert {"config/growing.csv", "config/replaced.csv", "database/gateway.db"} <= names
    assert 0 < sum(name.endswith(".call") for name in names) < 50
    assert sorted(one.name for one in tmp_path.iterdir()) == ["b.tar", "etc", "var"]
    assert main(["restore", str(tmp_path / "b.tar"), "--to", str(tmp_path / "new")]) == 0


def test_what_is_removed_while_it_is_listed_is_not_in_it(config: Path, tmp_path: Path) -> None:
    gone = config.parent / "mappings" / "gone.toml"
    gone.symlink_to("own.toml")

    def left(file: Path) -> bool:
        gone.unlink(missing_ok=True)
        return is_secret(file)

    with written(config), pytest.MonkeyPatch.context() as patch:
        is_secret = backup_files._is_secret
        patch.setattr(backup_files, "_is_secret", left)
        assert main(["backup", "--config", str(config), "--to", str(tmp_path / "b.tar")]) == 0
    assert main(["verify", str(tmp_path / "b.tar")]) == 0
    assert "config/mappings/gone.toml" not in {member.name for member in read_manifest(tmp_path / "b.tar").members}


DAMAGES = {
    "a byte of the database": lambda data: data.replace(b"a\\ttab", b"a\\ttub", 1),
    "cut off": lambda data: data[: len(data) * 2 // 3],
    "a file of the configuration": lambda data: data.replace(b"# ours", b"# mine"),
    "no manifest": lambda data: data.replace(b"manifest.json", b"manifast.json", 1),
    "nothing": lambda _: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_and_nothing_restored(config: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "b.tar"
    with written(config):
        assert main(["backup", "--config", str(config), "--to", str(file)]) == 0
    data = file.read_bytes()
    file.write_bytes(DAMAGES[damage](data))
    assert file.read_bytes() != data
    assert main(["verify", str(file)]) == 1
    assert str(file) in (said := "".join(capsys.readouterr())) or "broken:" in said
    assert main(["restore", str(file), "--to", str(tmp_path / "new")]) == 1
    assert str(file) in capsys.readouterr().err
    assert not (tmp_path / "new" / "var").exists()
    assert list((tmp_path / "new").rglob("*")) == []


def rewritten(file: Path, change: dict[str, bytes], name: str = "", more: tarfile.TarInfo | None = None) -> None:
    """The archive with other contents under the same names, as a forger would write it."""
    with tarfile.open(file) as tar:
        members = [(item, tar.extractfile(item).read()) for item in tar]  # type: ignore[union-attr]
    with tarfile.open(file, "w") as tar:
        for item, content in members:
            new = change.get(item.name, content)
            item.size = len(new)
            item.name = name if name and item.name.endswith("own.toml") else item.name
            tar.addfile(item, BytesIO(new))
        if more is not None:
            tar.addfile(more)


def test_names_that_lead_elsewhere_are_laid_nowhere(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "b.tar"
    with written(config):
        assert main(["backup", "--config", str(config), "--to", str(file)]) == 0
    whole = file.read_bytes()
    for name in ("../../evil", "/tmp/evil"):
        file.write_bytes(whole)
        rewritten(file, {}, name)
        _, faults = examine(file)
        assert f"{name!r} is not in the manifest" in faults
        with tarfile.open(file) as tar:
            manifest = tar.extractfile(MANIFEST).read()  # type: ignore[union-attr]
        rewritten(file, {MANIFEST: manifest.replace(b"config/mappings/own.toml", name.encode())}, name)
        with pytest.raises(GatewayError, match="names files that cannot be"):
            examine(file)
    file.write_bytes(whole)
    link = tarfile.TarInfo("config/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    rewritten(file, {}, more=link)
    assert examine(file)[1] == ["'config/link' is not in the manifest"]


def test_a_manifest_that_claims_more_is_caught(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "b.tar"
    with written(config):
        assert main(["backup", "--config", str(config), "--to", str(file)]) == 0
    with tarfile.open(file) as tar:
        manifest = json.loads(tar.extractfile(MANIFEST).read())  # type: ignore[union-attr]
    manifest["head"]["seq"] = 51
    manifest["counts"]["incident"] = 3
    rewritten(file, {MANIFEST: json.dumps(manifest).encode()})
    faults = " ".join(examine(file)[1])
    assert "the journal ends with entry 50, the manifest says 51" in faults
    assert "table incident has 0 rows, the manifest says 3" in faults


def test_a_tail_cut_off_is_noticed_by_a_head_noted_elsewhere(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with written(config) as store:
        head = store.head()
    with closing(sqlite3.connect(tmp_path / "var" / "gateway.db")) as connection, connection:
        connection.execute("DELETE FROM journal WHERE seq > 48")
    assert main(["verify", "--config", str(config)]) == 0
    assert main(["verify", "--config", str(config), "--head", head]) == 1
    assert "has been cut off" in capsys.readouterr().err
    assert main(["verify", "--config", str(config), "--head", "xyz"]) == 1


def test_of_a_damaged_database_no_backup_is_made(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with written(config) as store, store.engine.begin() as connection:
        connection.execute(text("UPDATE journal SET facts = '{}' WHERE seq = 7"))
    assert main(["backup", "--config", str(config)]) == 1
    said = capsys.readouterr().err
    assert "nothing was backed up" in said
    assert "entry 7 does not hold (digest)" in said
    assert list((tmp_path / "var" / "backups").iterdir()) == []


def test_old_ones_give_way(config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other-disk"
    folder.mkdir()
    for day in range(10, 20):
        (folder / f"gateway-202601{day}T033000Z.backup.tar").write_text("old")
    (folder / "somebody-elses.tar").write_text("stays")
    with written(config):
        assert main(["backup", "--config", str(config), "--to", str(folder), "--keep", "3"]) == 0
    names = sorted(one.name for one in folder.iterdir())
    assert names[:2] == ["gateway-20260118T033000Z.backup.tar", "gateway-20260119T033000Z.backup.tar"]
    assert len(names) == 4
    assert "somebody-elses.tar" in names


def test_no_room_is_told_before_anything_is_written(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.backup_command.FREE", 1 << 60)
    with written(config):
        assert main(["backup", "--config", str(config), "--to", str(tmp_path / "b.tar")]) == 1
    assert not (tmp_path / "b.tar").exists()


def test_a_newer_backup_is_refused(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "b.tar"
    with written(config):
        assert main(["backup", "--config", str(config), "--to", str(file)]) == 0
    with tarfile.open(file) as tar:
        manifest = json.loads(tar.extractfile(MANIFEST).read())  # type: ignore[union-attr]
    rewritten(file, {MANIFEST: json.dumps({**manifest, "schema": 99}).encode()})
    assert main(["restore", str(file), "--to", str(tmp_path / "new")]) == 1
    assert "has schema 99" in capsys.readouterr().err


def test_copy_of_what_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "gateway.db").write_text("this is no database, whatever its name says" * 100)
    with pytest.raises(StoreBroken, match="cannot be copied"):
        backup.copy(tmp_path / "gateway.db", tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def test_postgres_dump_and_restore(config: Path, tmp_path: Path, postgres: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A dump in a snapshot, proven without a server, restored into an empty database; into one with a journal never."""
    plain = postgres.replace("+psycopg", "")
    names = [f"b{os.getpid()}{letter}" for letter in "ab"]
    server = create_engine(f"{postgres}/postgres", isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        for name in names:
            connection.execute(text(f"create database {name}"))
    server.dispose()
    config.write_text(f'[gateway]\ndata = "../var"\n[store]\nurl = "{plain}/{names[0]}"\n')
    file = tmp_path / "b.tar"
    with written(config, url=f"{postgres}/{names[0]}") as store:
        head = store.head()
        with store.engine.begin() as connection:  # as erasing does: what is written anew lies behind the others, in a dump too
            connection.execute(text("update journal set person = null where seq in (1, 7, 8)"))
        assert main(["backup", "--config", str(config), "--to", str(file)]) == 0
        store.write(entries(1))
    assert read_manifest(file).head == backup.Head(50, head)
    assert main(["verify", str(file), "--head", head]) == 0
    assert main(["verify", str(file), "--head", "00" + head[2:]]) == 1
    capsys.readouterr()
    assert main(["restore", str(file), "--to", str(tmp_path / "drill")]) == 1
    assert "--database" in capsys.readouterr().err
    assert main(["restore", str(file), "--config", str(config)]) == 1
    assert "has a journal already" in capsys.readouterr().err
    config.write_text(f'[gateway]\ndata = "../var"\n[store]\nurl = "{plain}/{names[1]}"\n')
    assert main(["restore", str(file), "--config", str(config), "--data-only"]) == 0
    with written(config, 1, url=f"{postgres}/{names[1]}") as store:
        assert store.verify() == (51, None)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert main(["verify", str(file)]) == 1
