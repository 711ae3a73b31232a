"""An edge that is told to stop parts politely: nothing is lost, and nothing that the bus has is sent to it a second time."""

import asyncio
import json
import signal
import time
from pathlib import Path

from cluster.cluster import Cluster, Plan
from servers import Outsider

PEOPLE = 400
AT_ONCE = 40


async def test_told_to_stop_under_load_it_loses_nothing_and_is_sent_nothing_twice(tmp_path: Path) -> None:
    async with Cluster(tmp_path, Plan(edges=1, cores=1, servers=1, shards=2, wearables=PEOPLE)) as cluster:
        await cluster.start_all()
        street = Outsider(cluster.broker.port)
        try:
            pressed: list[tuple[str, int]] = []
            enough = asyncio.Event()
            pressing = asyncio.create_task(_press(cluster, await street.ready(), pressed, enough))
            await cluster.sees(lambda: _has_heard(cluster, AT_ONCE * 5), "the edge is at work")
            _signal(cluster, "nats0", signal.SIGSTOP)  # what it reads now waits for its receipt
            await cluster.sees(lambda: _waits(cluster), "cries have been read, and are on their way to the bus")
            _signal(cluster, "e0", signal.SIGTERM)
            _signal(cluster, "nats0", signal.SIGCONT)
            await asyncio.to_thread(cluster.kill, "e0", signal.SIGTERM)  # until it has ended
            log = cluster.servers["e0"].log.read_text()
            assert "parted: what was read has its receipt" in log, log[-2000:]
            enough.set()
            await pressing
            cluster.start("e0")
            await cluster.stands()

            async def all_there() -> bool:
                return len(_cries(cluster)) >= len(pressed)

            await cluster.sees(all_there, "every cry is in a journal")
            assert sorted(_cries(cluster)) == sorted(pressed), "each of them once"
            assert await _folded(cluster) == 0, "what had its receipt was not sent again"
        finally:
            _signal(cluster, "nats0", signal.SIGCONT)
            street.close()


async def _press(cluster: Cluster, street: Outsider, pressed: list[tuple[str, int]], enough: asyncio.Event) -> None:
    """Round after round until that is enough. pressed: (device, ts) of each cry that the broker has taken; seq tells a device's cries apart."""
    seq = 0
    while not enough.is_set():
        seq += 1
        for first in range(0, PEOPLE, AT_ONCE):
            ts = int(time.time() * 1000)
            some = range(first, first + AT_ONCE)
            body = json.dumps({"kind": "sos", "ts": ts, "seq": seq})
            await asyncio.gather(*(street.publish(cluster.plan.topic(number), body) for number in some))
            pressed += [(cluster.plan.device(number), ts) for number in some]


def _cries(cluster: Cluster) -> list[tuple[str, int]]:
    return [cry for cries in cluster.journal().values() for cry in cries]


def _signal(cluster: Cluster, name: str, number: int) -> None:
    process = cluster.servers[name].process
    assert process is not None
    process.send_signal(number)


async def _waits(cluster: Cluster) -> bool:
    return (await cluster.metrics("e0")).get('gateway_in_flight{line="wearables-e0"}', 0) > 0


async def _has_heard(cluster: Cluster, count: int) -> bool:
    return (await cluster.metrics("e0")).get('gateway_events_total{line="wearables-e0",outcome="accepted"}', 0) >= count


async def _folded(cluster: Cluster) -> float:
    """What the core knew already when it came."""
    metrics = await cluster.metrics("c0")
    found = [value for series, value in metrics.items() if series.startswith("gateway_events_total{") and 'outcome="duplicate"' in series]
    assert found, "the core counts them"
    return sum(found)
