"""`gateway doctor` on several machines: faults planted in a real NATS, PostgreSQL and cluster, each found, and cured as its advice says."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec
import pytest
from cluster.cluster import Cluster, Plan
from cluster.nats import NatsServer
from security.authority import Authority
from servers import free_port, until

from gateway.bus.nats_bus import NatsBus
from gateway.config import BusConfig, Config, StoreConfig, examine_config
from gateway.doctor import Finding, examine

TOPICS = ("gateway", "cluster", "self-test")


def of_bus(config: Config, **changes: object) -> Config:
    return msgspec.structs.replace(config, bus=msgspec.structs.replace(config.bus, **changes))


async def look(config: Config, *topics: str) -> dict[str, Finding]:
    """What → its last finding."""
    found = await asyncio.to_thread(lambda: list(examine(config, only=topics or TOPICS)))
    assert "check_failed" not in {one.word for one in found}, [one.text() for one in found]
    return {one.what: one for one in found}


def faults(found: Mapping[str, Finding]) -> dict[str, str]:
    return {what: one.word for what, one in found.items() if one.level == "bad"}


# --- the servers of the bus ----------------------------------------------------------------------------------------------


def config_of(folder: Path, server: NatsServer, **bus: object) -> Config:
    """Without a database: what it says is another test's."""
    store = StoreConfig(url=f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    common = {"servers": (server.url,), "shards": 1, "replicas": 1, "max_mib": 64, "listen": ""} | bus
    return Config(store=store, bus=BusConfig(**common), path=str(folder / "gateway.toml"))  # type: ignore[arg-type]


async def test_a_refused_password(tmp_path: Path) -> None:
    async with NatsServer(tmp_path, 'authorization { users: [{ user: "gateway", password: "right" }] }') as server:
        (tmp_path / "bus.password").write_text("wrong\n")
        config = config_of(tmp_path, server, user="gateway", password_file="bus.password")
        told = (await look(config, "cluster"))[server.url]
        assert told.word == "bus_refused"
        assert "bus.password_file (bus.password)" in told.remedy()
        (tmp_path / "bus.password").write_text("right\n")
        assert (await look(config, "cluster"))[server.url].good


async def test_a_server_that_is_away_and_one_whose_certificate_is_not_trusted(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    issued = authority.issue("nats", hosts=("localhost",))
    server = NatsServer(tmp_path, f'tls {{ cert_file: "{issued.certificate}", key_file: "{issued.key}" }}')
    url = f"tls://localhost:{server.port}"
    config = config_of(tmp_path, server, servers=(url,), ca_file=other.certificate.name)
    assert (await look(config, "cluster"))[url].word == "bus_away"
    async with server:
        assert (await look(config, "cluster"))[url].word == "bus_untrusted"
        good = of_bus(config, ca_file=authority.certificate.name)
        assert (await look(good, "cluster"))[url].good
    server.write()  # without TLS
    async with server:
        assert (await look(good, "cluster"))[url].word == "bus_tls"
        assert (await look(of_bus(config, servers=(server.url,), ca_file=""), "cluster"))[server.url].good


async def test_a_server_without_jetstream(tmp_path: Path) -> None:
    server = NatsServer(tmp_path, jetstream=False)
    async with server:
        told = (await look(config_of(tmp_path, server), "cluster"))["shard 0"]
        assert told.word == "stream_away"
        assert "jetstream { store_dir: … }" in told.remedy()
    server.write()
    async with server:
        assert not faults(await look(config_of(tmp_path, server), "cluster")).keys() - {"edge"}


async def test_a_stream_that_is_nearly_full(tmp_path: Path) -> None:
    async with NatsServer(tmp_path) as server:
        config = config_of(tmp_path, server, max_mib=16)
        bus = NatsBus(config.bus, tmp_path, "test")
        await bus.connect()
        await bus.see_to_streams()
        for number in range(15):
            await bus.keep(0, f"m{number}", bytes(950_000))
        await bus.close()
        assert (await look(config, "cluster"))["shard 0"].word == "stream_full"
        config = of_bus(config, max_mib=64)  # and a part that starts
        bus = NatsBus(config.bus, tmp_path, "test")
        await bus.connect()
        await bus.see_to_streams()
        await bus.close()
        assert (await look(config, "cluster"))["streams"].word == "streams_good"


# --- three servers, and the database --------------------------------------------------------------------------------------


async def test_replicas_copies_connections_and_the_number_of_shards(tmp_path: Path) -> None:
    async with Cluster(tmp_path, Plan(edges=1, cores=1, servers=3, shards=2, wearables=2)) as cluster:
        config = examine_config(tmp_path / "e0.toml")[0]

        async def made(replicas: int) -> None:
            async def once() -> bool:
                bus = NatsBus(of_bus(config, replicas=replicas).bus, tmp_path, "test")
                await bus.connect()
                try:
                    await bus.see_to_streams()
                except Exception:  # the servers have not found one another yet
                    return False
                finally:
                    await bus.close()
                return True

            await cluster.sees(once, "the streams are there")

        await made(1)
        assert faults(await look(config))["shard 0"] in ("stream_few_replicas", "shard_unowned")
        words = {one.word for one in await asyncio.to_thread(lambda: list(examine(config, only=("cluster",))))}
        assert "stream_few_replicas" in words

        async def whole() -> bool:
            return (await look(config, "cluster")).get("streams", Finding("", "", "bad", "none")).word == "streams_good"  # type: ignore[arg-type]

        await made(3)  # a part that starts
        await cluster.sees(whole, "the streams have their replicas")
        cluster.kill("nats2")
        words = {one.what: one.word for one in await asyncio.to_thread(lambda: list(examine(config, only=("cluster",))))}
        assert words[f"nats://127.0.0.1:{cluster.servers['nats2'].port}"] == "bus_away"

        async def seen_behind() -> bool:
            found = await asyncio.to_thread(lambda: list(examine(config, only=("cluster",))))
            return any(one.word == "stream_behind" and "nats2" in one.text() for one in found)

        await cluster.sees(seen_behind, "a copy that is away")
        cluster.start("nats2")
        await cluster.sees(whole, "the copies are current again")

        many = of_bus(config, shards=20)
        told = (await look(many))["PostgreSQL"]
        assert told.word == "postgres_few_connections"
        sql = told.remedy().partition(";")[0]
        command = ["psql", "-h", "127.0.0.1", "-p", str(cluster.postgres.port), "-U", "postgres", "-qc", sql]
        asked = await asyncio.create_subprocess_exec(*command)
        assert await asked.wait() == 0
        cluster.postgres.kill(2)
        cluster.postgres.start()
        await until(cluster.postgres.answers, "PostgreSQL answers")
        assert (await look(many))["PostgreSQL"].word == "postgres_connections"

        for shard in range(3):
            asked = await asyncio.create_subprocess_exec(*command[:-1], f"CREATE SCHEMA shard_{shard}")
            assert await asked.wait() == 0
        told = (await look(config))["shards"]
        assert told.word == "shards_other_number"
        assert "write shards = 3" in told.remedy()
        assert (await look(of_bus(config, shards=3))).get("shards") is None or (await look(of_bus(config, shards=3)))["shards"].good


# --- the parts ------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path, Plan(edges=1, cores=1, servers=1, shards=2, wearables=2)) as found:
        yield found


async def test_parts_that_do_not_run_and_a_line_that_is_lost(cluster: Cluster) -> None:
    config = examine_config(cluster.folder / "e0.toml")[0]
    found = await look(config)
    assert faults(found) == {"gateway": "part_none", "shard 0": "shard_unowned", "shard 1": "shard_unowned", "edge e0": "edge_silent"}
    assert "systemctl start gateway-edge@e0" in found["edge e0"].remedy()
    assert "systemctl start gateway-core" in found["shard 0"].remedy()
    await cluster.start_all()

    async def well() -> bool:
        return not faults(await look(config))

    await cluster.sees(well, "all parts run, and have said so")
    found = await look(config)
    assert found["gateway"].facts["role"] == "edge"
    assert (await look(examine_config(cluster.folder / "c0.toml")[0]))["gateway"].facts["role"] == "core"

    await cluster.broker.stop()

    async def lost() -> bool:
        words = faults(await look(config))
        return words == {"gateway": "part_not_ready", "line wearables-e0": "edge_line_lost", "line station-replies": "edge_line_lost"}

    await cluster.sees(lost, "the lines of the edge are lost, and it is not ready")
    await cluster.broker.start()
    await cluster.sees(well, "they are back")
    whole = {one.what: one for one in await asyncio.to_thread(lambda: list(examine(config, only=("journal", "store", "brokers", "lines"))))}
    assert {what: one.word for what, one in whole.items() if what.startswith("shard")} == {"shard 0": "journal_whole", "shard 1": "journal_whole"}
    assert set(faults(whole).values()) <= {"commit_slow"}, "a slow disk is said rightly"
