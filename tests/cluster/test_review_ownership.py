"""What could keep the owner of a database from writing there, or let two write: dumps that take long, sessions that nobody ends, lost locks."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cluster.cluster import Cluster, Plan, Postgres
from servers import until
from sqlalchemy import make_url, text

from gateway import cores, register_files
from gateway.bus.contract import BusDown, Handler
from gateway.bus.together import end
from gateway.store import backup_postgres, before, ownership
from gateway.store.schema import SCHEMA_VERSION
from gateway.store.store import Store


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[Postgres]:
    found = Postgres(tmp_path)
    found.start()
    await until(found.answers, "PostgreSQL answers")
    yield found
    found.kill(signal.SIGINT)


async def test_an_upgrade_waits_for_a_dump_that_takes_longer_than_an_owner_may_be_silent(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dump of a shard's year takes minutes: neither its snapshot nor the lock may be ended meanwhile, or no core comes up after an upgrade."""
    store = Store(postgres.url, tmp_path, 0, 1)
    store.open()
    with store.engine.begin() as connection:
        connection.execute(text(f"UPDATE meta SET value = '{SCHEMA_VERSION - 1}' WHERE name = 'schema'"))
    store.close()
    monkeypatch.setitem(ownership.VANISHED, "idle_in_transaction_session_timeout", "200")
    monkeypatch.setattr(ownership, "SILENT_AT_FIRST_S", 1)
    dump = backup_postgres._run

    def slow(*args: object) -> None:
        time.sleep(2.0)  # it is the server's clock that must run
        dump(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(backup_postgres, "_run", slow)
    upgraded = Store(postgres.url, tmp_path, 0, 1)
    upgraded.open()
    upgraded.restored()
    upgraded.touch()
    assert upgraded.ownership.epoch == 2, "its lock was never lost"
    assert len(list((tmp_path / before.FOLDER).glob(f"{before.UPGRADE}*"))) == 1
    upgraded.close()


@pytest.mark.parametrize("shard", [None, 0])
async def test_a_session_that_fell_unseen_comes_back_with_the_lock(postgres: Postgres, tmp_path: Path, shard: int | None) -> None:
    """However it was found to be broken: without the lock another gateway could begin to write."""
    store = Store(postgres.url, tmp_path, shard)
    store.open()
    store._writing().invalidate()
    store.checkpoint([])
    assert postgres.rows("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(1,)]
    store.close()


async def test_the_server_notices_when_the_machine_of_the_one_gateway_vanishes(postgres: Postgres, tmp_path: Path) -> None:
    """Else it keeps the lock of a machine that lost its power for two hours, and no gateway can start."""
    store = Store(f"{postgres.url}?options=-c%20lock_timeout%3D7000", tmp_path)
    store.open()
    asked = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout", "idle_session_timeout", "lock_timeout")
    found = [store._writing().exec_driver_sql(f"SHOW {name}").scalar() for name in asked]
    assert found == ["2", "1", "3", "5000", "0", "7s"], "what the address says counts as well; who writes nothing all night is not ended"
    store.close()


def test_what_the_address_of_the_database_says_counts_more() -> None:
    assert ownership.alone(make_url("postgresql://a/b?connect_timeout=60"))["keepalives_idle"] == 2
    assert "connect_timeout" not in ownership.alone(make_url("postgresql://a/b?connect_timeout=60"))


class NoBus:
    """Its servers are all away."""

    is_connected = False

    async def keep(self, shard: int, identity: str, data: bytes) -> None:
        raise BusDown(f"stream {shard}")

    async def ask(self, subject: str, body: bytes, timeout_s: float) -> bytes:
        raise BusDown(subject)

    async def made(self, shard: int) -> int:
        raise BusDown(f"stream {shard}")

    async def tell(self, subject: str, body: bytes) -> None:
        raise BusDown(subject)

    async def listen(self, subject: str, heard: Callable[[str, bytes], None]) -> Callable[[], Awaitable[None]]:
        return self._over

    async def answer(self, subject: str, handler: Handler) -> Callable[[], Awaitable[None]]:
        return self._over

    async def _over(self) -> None: ...


async def test_an_owner_that_waits_for_the_bus_keeps_its_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines and escalations go on in it. A silent session would be ended, and cores took the shard from one another while the bus is away."""
    monkeypatch.setitem(ownership.VANISHED, "idle_session_timeout", "3000")
    monkeypatch.setattr(cores, "KEEP_S", 0.2)
    cluster = Cluster(tmp_path, Plan(edges=1, cores=1, servers=1, shards=1))
    server = cluster.postgres
    server.start()
    await until(server.answers, "PostgreSQL answers")
    lock = "pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.objsubid = 2"
    bus: Any = NoBus()
    core = cores.Core(*register_files.read_all(str(tmp_path / "c0.toml")), "c0", bus)

    async def own() -> None:
        """As a core does, which begins again when the server was too busy to let it begin."""
        while True:
            await core.keepers[0].own()

    owning = asyncio.create_task(own())
    try:
        await until(lambda: core.keepers[0].is_owned, "it is owned")
        [(first,)] = server.rows(f"SELECT pid FROM {lock}")
        sql = f"SELECT pid, a.backend_start < clock_timestamp() - interval '9 s' FROM {lock}"
        await until(lambda: server.rows(sql) != [(first, False)], "nine seconds have passed for the server, or it has ended the session")
        assert server.rows(sql) == [(first, True)]
    finally:
        await end([owning])
        await cluster.http.aclose()
        server.kill(signal.SIGINT)
