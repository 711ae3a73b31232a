"""The spare's way through a log that begins anew behind its back: the rest read from its end, and a first copy again only when it must be."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from gateway import cli, takeover_command
from gateway.clock import utc_now
from gateway.config import read_config
from gateway.core.state import Record
from gateway.event import Kind, Phase
from gateway.spare_copy import DATABASE, SpareCopy
from gateway.spare_source import HOLD_S, SpareSource
from gateway.store import backup
from gateway.store.store import Batch, Store
from gateway.store.takeovers import takeovers

TOKEN = "a long random word"


class Wire:
    """The source's answers as the spare's client gets them, without a network."""

    def __init__(self, source: SpareSource, runner: asyncio.Runner) -> None:
        self._source, self._runner = source, runner
        self.asked: list[str] = []
        self.body: bytes | None = None  # what the log is said to be instead

    def get(self, path: str, params: dict[str, str]) -> httpx.Response:
        what = path.rpartition("/")[2]
        self.asked.append(what)
        answer = self._runner.run(self._source.answer(what, params))
        body = self.body if what == "log" and self.body is not None else answer.body
        return httpx.Response(answer.status, content=body, headers=answer.headers)

    def close(self) -> None:
        pass


class Two:
    """A store that is written, and its spare."""

    def __init__(self, folder: Path, runner: asyncio.Runner) -> None:
        (folder / "districts" / "honggu").mkdir(parents=True)
        (folder / "spare.token").write_text(TOKEN)
        (folder / "gateway.toml").write_text('[gateway]\ndata = "data"\n[spare]\ntoken_file = "spare.token"\n')
        self.store = Store("sqlite:///gateway.db", folder / "data")
        self.store.open()
        self.source = SpareSource(read_config(folder / "gateway.toml"), CollectorRegistry())
        self.wire = Wire(self.source, runner)
        self.copy = SpareCopy(folder / "spare", "http://first", TOKEN)
        self.copy.close()
        self.copy._client = self.wire  # type: ignore[assignment]
        (folder / "spare").mkdir()
        self.copy.begin()
        self.folder = folder

    def write(self, count: int, size: int = 1500) -> None:
        facts = b'{"words":"' + b"x" * size + b'"}'
        for start in range(0, count, 50):
            entries = [Record(kind=Kind.STARTED, phase=Phase.STATE, at=utc_now(), facts=facts) for _ in range(min(50, count - start))]
            self.store.write(Batch(records=entries))

    def fold(self) -> int:
        """Let the log begin anew with the next commit; 1: somebody's reading kept it from it."""
        with self.store.engine.connect() as connection:
            return int(connection.exec_driver_sql("PRAGMA wal_checkpoint(RESTART)").fetchone()[0])  # type: ignore[index]

    def follow(self) -> None:
        for _ in range(100):
            if not self.copy.step():
                return
        raise AssertionError("it never has everything")

    def same(self) -> bool:
        proof = backup.prove(self.folder / "spare" / "copy" / DATABASE)
        (self.folder / "spare" / "copy" / f"{DATABASE}-shm").unlink(missing_ok=True)
        return proof.faults == () and (proof.head.seq, proof.head.chain) == (self.store.last_seq, self.store.head())


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    with asyncio.Runner() as runner:
        pair = Two(tmp_path, runner)
        yield pair
        pair.store.close()


def test_followed_commit_by_commit(two: Two) -> None:
    for _ in range(5):
        two.write(7)
        two.follow()
        assert two.same()
    assert two.source.books.bases == 1
    assert two.source.books.lag_s < 60


def test_the_rest_of_a_log_that_began_anew_is_read_from_its_end(two: Two) -> None:
    two.write(50)
    two.follow()
    two.write(30)
    assert two.fold() == 0
    two.write(5)
    two.follow()
    assert two.same()
    assert two.source.books.bases == 1
    assert two.wire.asked.count("base") < 5


@pytest.mark.parametrize("twice", [False, True])
def test_what_was_written_over_is_fetched_again_piece_by_piece(two: Two, twice: bool) -> None:
    two.write(4000)
    two.follow()
    two.fold()
    two.write(3)
    two.follow()
    two.write(40)  # unread …
    two.fold()
    two.write(5 if twice else 60)  # … and written over
    if twice:
        two.fold()
        two.write(1)
    before = two.source.books.sent
    two.follow()
    assert two.same()
    assert two.source.books.bases == 2
    size = (two.folder / "data" / DATABASE).stat().st_size
    assert two.source.books.sent - before < size / 2, "what it had already was fetched again"


def test_while_a_first_copy_is_taken_the_log_does_not_begin_anew(two: Two) -> None:
    two.write(20)
    assert two.wire.get("/begin", {}).status_code == 200
    two.write(20)
    assert two.fold() == 1
    two.source._held_at -= HOLD_S + 1
    two.source._look()  # the spare is gone: nobody is waited for
    assert two.fold() == 0
    assert two.wire.get("/base", {"offset": "0", "known": ""}).status_code == 409
    two.follow()
    assert two.same()
    two.write(1)
    assert two.fold() == 0, "once it has the log it is not held any more"


def test_a_log_that_never_makes_sense_is_not_taken(two: Two) -> None:
    two.write(5)
    two.follow()
    two.wire.body = b"\x00" * 10_000
    two.write(1)
    for _ in range(10):
        assert two.copy.step()
    two.wire.body = None
    two.follow()
    assert two.same()


def test_taken_up_again_after_a_crash_in_the_middle_of_a_write(two: Two) -> None:
    two.write(20)
    two.follow()
    log = two.folder / "spare" / "copy" / f"{DATABASE}-wal"
    with log.open("ab") as torn:
        torn.write(b"half a page that was being written when the power went")
    assert two.copy.begin()
    two.write(5)
    two.follow()
    assert two.same()
    assert two.source.books.bases == 1


def test_another_gateway_at_that_address_does_not_go_unseen(two: Two) -> None:
    """Same length, another chain: the copy is not mixed, it is taken anew."""
    two.write(5)
    two.follow()
    with two.store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE journal SET chain = zeroblob(32) WHERE seq = 5")
    (two.folder / "spare" / "state.json").unlink()
    two.copy._proved = float("-inf")
    two.wire.body = b""
    assert two.copy.step()  # the links differ: begin again
    two.wire.body = None
    two.follow()
    assert two.source.books.bases == 2


def test_without_its_token_nobody_may_follow(two: Two) -> None:
    source = two.source
    assert source.allows(f"Bearer {TOKEN}")
    for wrong in ("", "Bearer", f"Basic {TOKEN}", "Bearer a long random wor", TOKEN):
        assert not source.allows(wrong)
    assert source.books.refused == 5
    for what, asked in (("log", {"offset": "x"}), ("base", {}), ("head", {}), ("log", {"generation": "zz", "offset": "32", "check": ""})):
        assert two.wire.get(f"/{what}", asked).status_code in (400, 409)
    assert two.wire.get("/else", {}).status_code == 404


def test_a_take_over_that_is_cut_short_has_been_counted(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two gateways of an equal count both go on: from the moment in which it could be started it must be the later one."""
    two.write(3)
    two.follow()
    place, put = two.folder / "second", takeover_command.put

    class PowerCut(BaseException):
        pass

    def cut_short(*args: object) -> None:
        put(*args)  # type: ignore[arg-type]
        raise PowerCut

    monkeypatch.setattr(takeover_command, "put", cut_short)
    monkeypatch.setattr(takeover_command, "runs", lambda _: False)
    command = ["takeover", "--old-is-off", "--folder", str(two.folder / "spare"), "--config", str(place / "gateway.toml")]
    with pytest.raises(PowerCut):
        cli.main(command)
    taken = Store("sqlite:///gateway.db", place / "data")
    assert takeovers(taken.engine) == 1
    taken.close()
