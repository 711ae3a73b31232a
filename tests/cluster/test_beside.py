"""What goes wrong beside the alarms ends no edge: its lines go on."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from cluster.cluster import Cluster, Plan
from cluster.test_review_ownership import NoBus
from waiting import wait_until

from gateway import beside, register_files
from gateway.bus.together import end
from gateway.edge import Edge


async def test_a_bug_in_the_self_test_ends_no_edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "BEGIN_AGAIN_S", 0.01)
    cluster = Cluster(tmp_path, Plan(edges=1, cores=1, servers=1, shards=1))
    await cluster.http.aclose()
    bus: Any = NoBus()
    edge = Edge(*register_files.read_all(str(tmp_path / "e0.toml")), "e0", bus)
    begun = 0

    async def fails() -> None:
        nonlocal begun
        begun += 1
        raise ZeroDivisionError

    monkeypatch.setattr(edge.watch, "run", fails)
    running = asyncio.create_task(edge.run(asyncio.Event()))
    try:
        await wait_until(lambda: begun > 2 or running.done(), "it begins again")
        assert not running.done(), running.exception()
        assert set(edge.built) == {"wearables-e0", "station-replies"}
    finally:
        await end([running])
