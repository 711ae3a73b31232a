"""Who serves the streets of several shards is full in none of them alone: what they carry is told, and counts everywhere."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cluster.cluster import Cluster, Plan
from waiting import wait_until

from gateway.bus.nats_bus import NatsBus
from gateway.bus.together import end
from gateway.config import BusConfig
from gateway.core.register import Register, Responder, ResponderKind
from gateway.core.state import Draft, WorkingSet
from gateway.cores import Loads

HOSPITAL = Responder(id="hospital", name="医院", kind=ResponderKind.HOSPITAL, capacity=2)


@pytest.fixture
async def buses(tmp_path: Path) -> AsyncIterator[list[NatsBus]]:
    cluster = Cluster(tmp_path, Plan(servers=1, shards=2))
    cluster.servers["nats0"].start()
    found = []
    try:
        config = BusConfig(servers=(f"nats://127.0.0.1:{cluster.servers['nats0'].port}",), shards=3, replicas=1)
        for name in ("one", "two"):
            bus = NatsBus(config, tmp_path, name)
            await wait_until(cluster.nats_listens, "the server listens")
            await bus.connect()
            found.append(bus)
        yield found
    finally:
        for bus in found:
            await bus.close()
        cluster.kill("nats0")
        await cluster.http.aclose()


def house(load: int) -> Any:
    working = WorkingSet(Register(responders=[HOSPITAL]))
    working.load["hospital"] = load
    return SimpleNamespace(working=working)


async def test_a_hospital_of_two_cores_is_full_in_both(buses: list[NatsBus]) -> None:
    mine, beside, far = house(1), house(0), house(1)
    cores: list[Any] = [SimpleNamespace(bus=buses[0], houses=[(0, mine), (1, beside)]), SimpleNamespace(bus=buses[1], houses=[(2, far)])]
    telling = [asyncio.create_task(Loads(core).run()) for core in cores]
    try:
        await wait_until(lambda: Draft(beside.working).carries("hospital") == 2, "what two other shards gave it counts")
        await wait_until(lambda: Draft(mine.working).carries("hospital") == Draft(far.working).carries("hospital") == 2, "in each of them")
        assert Draft(mine.working).load("hospital") == 1, "its own books stay its own"
        far.working.load["hospital"] = 0
        await wait_until(lambda: Draft(beside.working).carries("hospital") == 1, "an order that is over is over everywhere")
    finally:
        await end(telling)
