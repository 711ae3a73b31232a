"""Edges, cores and their bus as real processes: an alarm arrives once, by whatever way it must."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cluster.cluster import Cluster, Plan
from servers import Outsider, free_port, until

PEOPLE = 24


def cry(seq: int) -> str:
    return json.dumps({"kind": "sos", "ts": int(time.time() * 1000), "seq": seq})


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path, Plan(servers=1, shards=3, wearables=PEOPLE)) as found:
        await found.start_all()
        yield found


@pytest.fixture
async def witness(cluster: Cluster) -> AsyncIterator[Outsider]:
    found = Outsider(cluster.broker.port, "stations/+/dispatch")
    yield await found.ready()
    found.close()


def orders(witness: Outsider) -> list[dict[str, object]]:
    return [json.loads(body) | {"responder": topic.split("/")[1]} for topic, body in witness.received]


async def test_a_press_at_an_edge_is_an_order_at_a_station_and_its_answer_finds_the_way_back(cluster: Cluster, witness: Outsider) -> None:
    for number in range(PEOPLE):
        await witness.publish(cluster.plan.topic(number), cry(1))
    await until(lambda: len(witness.received) >= PEOPLE, "every cry is an order at a station")
    found = orders(witness)
    assert sorted(str(order["device"]) for order in found) == sorted(cluster.plan.device(number) for number in range(PEOPLE))
    assert len({order["delivery"] for order in found}) == len({order["incident"] for order in found}) == PEOPLE
    for order in found:
        answer = json.dumps({"delivery": order["delivery"], "answer": "accept", "by": "station"})
        await witness.publish(f"stations/{order['responder']}/reply", answer)

    async def accepted() -> bool:
        sql = " UNION ALL ".join(f"SELECT incident FROM shard_{n}.journal WHERE kind = 'accept'" for n in range(3))
        return {row[0] for row in cluster.postgres.rows(sql)} == {order["incident"] for order in found}

    await cluster.sees(accepted, "every answer is written at its incident")
    refused = " UNION ALL ".join(f"SELECT reason FROM shard_{n}.rejected" for n in range(3))
    assert cluster.postgres.rows(refused) == []


async def test_an_unknown_device_is_somebodys_too(cluster: Cluster, witness: Outsider) -> None:
    await witness.publish("e1/wearables/nobody-knows/event", cry(1))
    await until(lambda: witness.received, "the cry of a stranger is an order")
    assert orders(witness)[0]["device"] == "nobody-knows"


async def test_a_core_that_hangs_loses_its_shards_and_writes_nothing_when_it_wakes(cluster: Cluster, witness: Outsider) -> None:
    hanging = next(owners[0] for owners in (await cluster.owners()).values() if owners)
    other = next(name for name in cluster.cores if name != hanging)
    process = cluster.servers[hanging].process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:

        async def moved() -> bool:
            metrics = await cluster.metrics(other)
            return all(metrics.get(f'gateway_shard_owned{{shard="{shard}"}}') == 1 for shard in range(3))

        for number in range(PEOPLE):
            await witness.publish(cluster.plan.topic(number), cry(1))
        await cluster.sees(moved, "the other core has all shards")
        await until(lambda: len(witness.received) >= PEOPLE, "every cry is an order at a station")
    finally:
        process.send_signal(signal.SIGCONT)
    await cluster.stands()
    for number in range(PEOPLE):
        await witness.publish(cluster.plan.topic(number), cry(2))
    await until(lambda: len(witness.received) >= 2 * PEOPLE, "every second cry is told too")
    assert len({order["delivery"] for order in orders(witness)}) == PEOPLE
    journal = [ts for cries in cluster.journal().values() for ts in cries]
    assert len(journal) == len(set(journal)) == 2 * PEOPLE


async def test_without_the_bus_an_edge_says_so_and_what_it_held_arrives_once(cluster: Cluster, witness: Outsider) -> None:
    cluster.kill("nats0")
    for number in range(PEOPLE):
        await witness.publish(cluster.plan.topic(number), cry(1))

    async def not_ready() -> bool:
        answers = [await cluster.http.get(f"{cluster.pages[name]}/readyz") for name in cluster.edges]
        return all(answer.status_code == 503 for answer in answers)

    await cluster.sees(not_ready, "the edges say that they cannot keep anything")
    cluster.start("nats0")
    await until(lambda: len(witness.received) >= PEOPLE, "every cry is an order at a station")
    await cluster.stands()
    assert len({order["delivery"] for order in orders(witness)}) == PEOPLE
    assert sum(len(cries) for cries in cluster.journal().values()) == PEOPLE


async def test_an_edge_that_was_away_says_since_when(cluster: Cluster) -> None:
    cluster.kill("e1")
    cluster.start("e1")
    await cluster.stands()

    async def told() -> bool:
        return bool(cluster.postgres.rows("SELECT 1 FROM shard_0.journal WHERE kind = 'gap' AND line = 'wearables-e1'"))

    await cluster.sees(told, "the journal says from when to when nobody listened")


async def test_a_register_that_is_read_again_counts_on_every_part(cluster: Cluster, witness: Outsider) -> None:
    folder = cluster.folder / "districts" / "province"
    persons, devices = folder / "persons.csv", folder / "devices.csv"
    persons.write_text(persons.read_text() + "p-new,某人,1940,street-7,home-new,,36.37,102.87,,self_caring,general,,,\n")
    devices.write_text(devices.read_text() + "w-new,wearables-e0,p-new,,,,,,invented\n")
    for name in (*cluster.edges, *cluster.cores):
        process = cluster.servers[name].process
        assert process is not None
        process.send_signal(signal.SIGHUP)
    for name in (*cluster.edges, *cluster.cores):
        await until(lambda name=name: "configuration in force" in cluster.servers[name].log.read_text(), f"{name} has read it")  # type: ignore[misc]
    await witness.publish("e0/wearables/w-new/event", cry(1))
    await until(lambda: witness.received, "an order")
    incident = str(orders(witness)[0]["incident"])
    rows = " UNION ALL ".join(f"SELECT person FROM shard_{n}.journal WHERE incident = '{incident}' AND kind = 'sos'" for n in range(3))
    assert cluster.postgres.rows(rows) == [("p-new",)]


async def test_a_core_cut_off_from_the_bus_leaves_its_shards_to_one_that_is_not(tmp_path: Path) -> None:
    async with Cluster(tmp_path, Plan(servers=1, shards=2, wearables=PEOPLE)) as cluster:
        wire = Wire(cluster.servers["nats0"].port)
        await wire.start()
        config = cluster.folder / "c0.toml"
        config.write_text(config.read_text().replace(f"nats://127.0.0.1:{cluster.servers['nats0'].port}", f"nats://127.0.0.1:{wire.port}"))
        cluster.start("c0")
        await cluster.sees(lambda: owns(cluster, "c0", 2), "c0 owns both shards")
        cluster.start("c1")
        await cluster.sees(lambda: is_ready(cluster, "c1"), "c1 is there")
        await wire.cut()
        await cluster.sees(lambda: owns(cluster, "c1", 2), "c1 has them, as it hears what c0 cannot")
        await wire.start()
        await cluster.sees(lambda: owns(cluster, "c0", 1), "c0 sees the bus again and gets one back")
        await wire.cut()


async def test_another_number_of_shards_is_refused(cluster: Cluster) -> None:
    for name in cluster.cores:
        cluster.kill(name, signal.SIGTERM)
    config = cluster.folder / "c0.toml"
    config.write_text(config.read_text().replace("shards = 3", "shards = 4"))
    cluster.start("c0")
    await until(lambda: "write bus.shards = 3" in cluster.servers["c0"].log.read_text(), "it says how many there are")


async def owns(cluster: Cluster, name: str, count: int) -> bool:
    return list((await cluster.owners()).values()).count([name]) == count


async def is_ready(cluster: Cluster, name: str) -> bool:
    return "gateway_shard_owned" in "".join(await cluster.metrics(name))


class Wire:
    """A wire to a server that can be cut: what goes in comes out at the other end, until nothing does."""

    def __init__(self, to: int) -> None:
        self.port = free_port()
        self._to = to
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._talks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Both directions, at once."""
        assert self._server is not None
        self._server.close()
        for end in self._ends:
            end.transport.abort()
        await asyncio.gather(*self._talks, return_exceptions=True)
        self._ends.clear()
        self._talks.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._ends |= {writer, far_writer}
        self._talks |= {asyncio.create_task(_copy(reader, far_writer)), asyncio.create_task(_copy(far_reader, writer))}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.transport.abort()


async def test_a_whole_gateway_does_not_start_beside_the_others(cluster: Cluster) -> None:
    command = [sys.executable, "-m", "gateway.cli", "run", "--config", str(cluster.folder / "c0.toml")]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "say --role edge, core or console" in ended.stderr
