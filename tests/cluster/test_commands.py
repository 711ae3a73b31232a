"""Commands at the prompt on several machines: all shards are proven and counted, or it is said which way leads out."""

import subprocess
import time
from pathlib import Path

from cluster.cluster import Cluster, Plan
from cluster.prompt import command, done

from gateway.config import examine_config
from gateway.store.store import Store

SHARDS = 2


async def test_every_chain_is_proven_and_one_that_was_changed_is_named(tmp_path: Path) -> None:
    async with Cluster(tmp_path, Plan(edges=1, cores=1, servers=1, shards=SHARDS, wearables=2)) as cluster:
        file = tmp_path / "e0.toml"
        code, _, why = await command(file, "journal", "verify")
        assert (code, "start the cores first" in why) == (1, True), why
        for shard in range(SHARDS):
            config = examine_config(file)[0]
            store = Store(config.store.url, config.data_folder, shard)
            store.open()
            store.close()
        told = await done(file, "journal", "verify")
        assert [line.partition(":")[0] for line in told.splitlines()] == ["shard 0", "shard 1"]
        for words in (("journal", "show"), ("report", "calls"), ("report", "month"), ("report", "risks"), ("replay",), ("verify",)):
            await done(file, *words)
        code, _, why = await command(file, "self-test")
        assert (code, "grep gateway_self_test" in why) == (1, True), why
        columns = "seq, at, kind, phase, facts, raw, digest, chain"
        _planted(cluster, f"INSERT INTO shard_1.journal ({columns}) VALUES (1, {time.time_ns() // 1000}, 'sos', 'raise', '{{}}', '', 'x', 'y')")
        code, told, why = await command(file, "journal", "verify")
        assert (code, "shard 1: broken: entry 1" in why) == (1, True), why
        assert told.startswith("shard 0: 0 entries, chain whole")
        code, _, why = await command(file, "backup", "--to", str(tmp_path / "b.tar"))
        assert (code, "shard 1: journal entry 1 does not hold" in why, (tmp_path / "b.tar").exists()) == (1, True, False), why


def _planted(cluster: Cluster, sql: str) -> None:
    done = ["psql", "-h", "127.0.0.1", "-p", str(cluster.postgres.port), "-U", "postgres", "-qc", sql]
    subprocess.run(done, check=True, capture_output=True)
