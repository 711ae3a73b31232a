"""NATS servers that answer and serve nothing, streams that are taken away, streams that are put back: noticed while everything runs."""

import asyncio
import json
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cluster.cluster import Cluster, Plan, Server
from cluster.test_review_cluster import Reading, cry
from cluster.wires import Wires
from servers import Outsider, free_port, program, until

from gateway.bus.contract import BusDown, packed
from gateway.bus.nats_bus import NatsBus
from gateway.bus.nats_serving import Serving
from gateway.bus.together import end
from gateway.config.bus import BusConfig

NAMES = ("nats0", "nats1", "nats2")
ROUTE = 6222  # at each server's own place
FOUND_S = 120.0  # the servers elect, ours looks: some ten seconds on a machine that has nothing else to do


@asynccontextmanager
async def three(folder: Path) -> AsyncIterator[tuple[Wires, dict[str, Server]]]:
    """Servers each at a place of its own, reached by us through windows that no cut closes."""
    wires = Wires(NAMES)
    with wires.until_left():
        servers: dict[str, Server] = {}
        routes = ", ".join(f'"nats://{wires.address(name)}:{ROUTE}"' for name in NAMES)
        try:
            for name in NAMES:
                port = free_port()
                conf = folder / f"{name}.conf"
                conf.write_text(
                    f"server_name: {name}\nlisten: 127.0.0.1:{port}\nclient_advertise: 127.0.0.1:{port}\n"
                    f'jetstream {{ store_dir: "{folder / name}", max_file: 256M, max_mem: 64M }}\n'
                    f"cluster {{ name: c, listen: {wires.address(name)}:{ROUTE}, routes: [{routes}] }}\n"
                )
                servers[name] = Server(name, wires.inside(name, [program("nats-server"), "-c", str(conf)]), folder / f"{name}.log", port)
                servers[name].start()
                wires.window(name, port)
            yield wires, servers
        finally:
            for server in servers.values():
                server.kill()
            wires.remove()


async def bus_at(server: Server, folder: Path) -> NatsBus:
    """Told of this one alone, which tells it of the others."""
    bus = NatsBus(BusConfig(servers=(f"nats://127.0.0.1:{server.port}",), shards=1, replicas=3, max_mib=16), folder, "test")
    async with asyncio.timeout(FOUND_S):
        while True:
            try:
                await bus.connect()
                await bus.see_to_streams()
                return bus
            except BusDown:
                await bus.close()
                await asyncio.sleep(0.2)


async def kept(bus: NatsBus, number: int) -> None:
    """As a lane of an edge does: again and again, with the same identity."""
    async with asyncio.timeout(FOUND_S):
        while True:
            try:
                return await bus.keep(0, f"m{number}", packed("edge", 0.0, [cry(number)]))
            except BusDown:
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("leads", [True, False], ids=["it led the stream", "it followed"])
async def test_a_server_that_answers_and_is_cut_off_from_the_others_is_left(tmp_path: Path, leads: bool) -> None:
    """Who led goes on to tell of its stream, as its leader at first and then without any: that is no proof that it is served."""
    async with three(tmp_path) as (wires, servers):
        first = await bus_at(servers["nats0"], tmp_path)
        leader = (await first._js.stream_info("gateway-0")).cluster.leader
        await first.close()
        cut = leader if leads else next(name for name in NAMES if name != leader)
        other, third = (name for name in NAMES if name != cut)
        here, there = await bus_at(servers[cut], tmp_path), await bus_at(servers[other], tmp_path)
        reading = Reading(here)
        try:
            await kept(here, 1)
            await until(lambda: reading.devices == ["w-1"], "the first is read", FOUND_S)
            wires.part(cut, [other, third])
            await kept(there, 2)
            await kept(here, 3)  # nobody has mended or ended anything
            await until(lambda: reading.devices == ["w-1", "w-2", "w-3"], "who is at another server now hears all", FOUND_S)
            assert here.servers_left >= 1
            assert str(servers[cut].port) not in here._server
            assert here.is_connected
        finally:
            await reading.end()
            await here.close()
            await there.close()


class Servers:
    """Three, each of which answers and none of which serves."""

    is_connected = True
    servers = ("a", "b", "c")

    def __init__(self) -> None:
        self.left = 0

    async def force_reconnect(self) -> None:
        self.left += 1


async def test_when_none_serves_each_is_tried_once_and_then_we_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions that need no stream go on over whichever it is."""
    monkeypatch.setattr("gateway.bus.nats_serving.LOOK_S", 0.001)
    monkeypatch.setattr("gateway.bus.nats_serving.LATE_S", 60.0)
    monkeypatch.setattr("gateway.bus.nats_serving.DEAF_S", 0.01)
    client, looks, serves = Servers(), 0, False

    async def look(_: int) -> bool:
        nonlocal looks
        looks += 1
        return serves

    serving = Serving(client, 4, look, 2.0)
    running = asyncio.create_task(serving.run())
    try:
        await until(lambda: serving.is_deaf and looks > 100, "it has looked often", 30)
        assert (client.left, serving.left) == (3, 3)
        serves = True
        await until(lambda: not serving.is_deaf, "one serves again", 30)
        assert client.left == 3
    finally:
        await end([running])


@pytest.mark.parametrize("patience_s", [0.01, 600.0], ids=["no proof for long", "busy just now"])
async def test_who_is_always_late_leaves_a_deaf_server_later(monkeypatch: pytest.MonkeyPatch, patience_s: float) -> None:
    """A look that comes late says little about the server; but nobody stays with a deaf one for ever because of it."""
    monkeypatch.setattr("gateway.bus.nats_serving.LOOK_S", 0.001)
    monkeypatch.setattr("gateway.bus.nats_serving.LATE_S", -1.0)  # always late
    monkeypatch.setattr("gateway.bus.nats_serving.DEAF_S", 0.01)
    monkeypatch.setattr("gateway.bus.nats_serving.LATE_DEAF_S", patience_s)
    client, looks = Servers(), 0

    async def look(_: int) -> bool:
        nonlocal looks
        looks += 1
        return False

    serving = Serving(client, 4, look, 2.0)
    running = asyncio.create_task(serving.run())
    try:
        await until(lambda: looks > 200, "it has looked often", 30)
        assert (serving.is_deaf, client.left) == ((True, 3) if patience_s < 1 else (False, 0))
    finally:
        await end([running])


def journalled(cluster: Cluster, what: str) -> int:
    return int(str(cluster.postgres.rows(f"SELECT count(*) FROM shard_0.journal WHERE {what}")[0][0]))


async def test_streams_taken_away_or_put_back_at_run_time_are_noticed_and_on_record(tmp_path: Path) -> None:
    """No part is started again, and the shard keeps its owner."""
    async with Cluster(tmp_path, Plan(edges=1, cores=1, servers=1, shards=1, wearables=24)) as cluster:
        await cluster.start_all()
        witness = await Outsider(cluster.broker.port, "stations/+/dispatch").ready()
        seq = 0

        async def cry_and_see(what: str) -> None:
            nonlocal seq
            seq += 1
            before = journalled(cluster, "kind = 'sos'")
            await witness.publish(cluster.plan.topic(seq), json.dumps({"kind": "sos", "seq": seq}))
            await until(lambda: journalled(cluster, "kind = 'sos'") == before + 1, what, FOUND_S)

        nats = cluster.servers["nats0"]
        bus = NatsBus(BusConfig(servers=(f"nats://127.0.0.1:{nats.port}",), shards=1, replicas=1), tmp_path, "test")
        await bus.connect()
        try:
            await cry_and_see("the first is written")
            await bus._js.delete_stream(bus._stream(0))
            await cry_and_see("one that came when there was no stream is written")
            await until(lambda: journalled(cluster, "kind = 'gap' AND facts LIKE '%bus_forgot%'") == 1, "the gap is on record", FOUND_S)
            made = [(await cluster.metrics(name)).get("gateway_bus_streams_made_total", 0.0) for name in ("e0", "c0")]
            assert sum(made) + bus.streams_made >= 1
        finally:
            await bus.close()

        cluster.kill("nats0", signal.SIGTERM)
        shutil.copytree(tmp_path / "nats0", tmp_path / "then")
        cluster.start("nats0")
        for _ in range(4):
            await cry_and_see("of what was put back nobody knows")
        cluster.kill("nats0", signal.SIGTERM)
        shutil.rmtree(tmp_path / "nats0")
        shutil.move(tmp_path / "then", tmp_path / "nats0")
        cluster.start("nats0")
        for _ in range(6):  # under the numbers that were read already, and beyond
            await cry_and_see("a cry of after it is written")
        await until(lambda: journalled(cluster, "kind = 'gap' AND facts LIKE '%bus_forgot%'") == 2, "the second gap is on record", FOUND_S)
        assert journalled(cluster, "kind = 'sos'") == seq
        metrics = await cluster.metrics("c0")
        assert metrics['gateway_shard_epoch{shard="0"}'] == 1, "no shard was lost over it"
        witness.close()
