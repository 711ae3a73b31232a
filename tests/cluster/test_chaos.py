"""Any process of a cluster dies at any moment under load: nothing confirmed is lost, nothing is ordered under two ids, order per person is kept.

Killed with SIGKILL: NATS servers, PostgreSQL, edges, cores. Stopped in their tracks with SIGSTOP, as behind a cut wire: cores. Mosquitto is ended
with SIGTERM, as it writes down what it has confirmed only then: what it loses when killed was never ours. A console dies, too, while two operators
work at it: what was confirmed to one of them is hers in the journal. As root, wires are cut as well (`wired`): a core and an edge live on and hear
nobody, a NATS server is heard by all but the other two. What the kills do not show is a machine that loses its power: Debian's NATS 2.9 cannot flush
each message, so a receipt there stands on three machines (docs/guide/cluster.md).
"""

import asyncio
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from cluster.cluster import Cluster, Plan
from cluster.operators import Operator, differences, disagreements
from cluster.wired import Wired
from cluster.witness import Broker, Stations, Wearables, contradictions
from servers import until

from gateway.bus.together import end

MOVES_WITHIN_S = 10.0  # a shard whose owner died has another by then (architecture, section 7)
CAUGHT_UP_S = 120.0
DOWN_S = 3.0  # at most, between a kill and the next start
FROZEN_S = 12.0  # longer than the database waits for a core that hangs
CUT_S = 6.0  # at most, of an edge or of a NATS server from everybody; the stream's leader has given up before
PARTED_S = 20.0  # at most, of a NATS server from the other two: who hangs on it has noticed and left it by then
OPERATORS = ("Li Na", "Wang Fang")


@dataclass(frozen=True)
class Play:
    """How long, how fast, how often somebody dies."""

    seconds: float
    rate: float
    every_s: float
    wearables: int
    seed: int = 12349
    freezes: bool = False
    cuts: bool = False  # as often as they die; takes root
    judges_moves: bool = False  # on a machine that does nothing else


async def play(folder: Path, told: Play) -> str:
    """The whole of it; gives the line with the figures."""
    chance = random.Random(f"chaos:{told.seed}")
    async with (Wired if told.cuts else Cluster)(folder, Plan(wearables=told.wearables, shards=4, consoles=1)) as cluster:
        await cluster.start_all()
        stations = Stations(cluster.broker.port)
        onlooker = Broker(cluster.broker.port)
        crowd = [Wearables(cluster.broker.port, cluster.plan, edge, told.seed) for edge in range(cluster.plan.edges)]
        operators = [Operator(name, url) for url in cluster.consoles.values() for name in OPERATORS]
        tasks = [asyncio.create_task(operator.work()) for operator in operators]
        try:
            await until(lambda: stations.ready.is_set() and onlooker.ready.is_set(), "the witnesses listen")
            crying = asyncio.create_task(_cry(crowd, told))
            tasks.append(crying)
            moves, deaths = await _kill(cluster, told, chance, crying)
            await crying
            await cluster.stands()
            await until(lambda: not any(one.unconfirmed for one in crowd), "everything sent is confirmed", CAUGHT_UP_S)
            confirmed = {cry for one in crowd for cry in one.confirmed}
            await cluster.sees(lambda: _all_written(cluster, confirmed), "everything confirmed is written", CAUGHT_UP_S)
            faults = contradictions(await asyncio.to_thread(cluster.journal), confirmed, onlooker)
            assert faults == [], f"{len(faults)}: {faults[:10]}"
            await cluster.sees(lambda: _all_told(stations, confirmed), "the newest cry of every device is with a station", CAUGHT_UP_S)
            assert stations.under_two_ids() == []
            hers = await _acknowledged(cluster, operators, tasks)
            assert all(move <= MOVES_WITHIN_S for move in moves) or not told.judges_moves, moves
        finally:
            await end(tasks)
            for one in (*crowd, stations, onlooker):
                one.close()
        return (
            f"seed {told.seed}: {told.seconds:g} s, {len(confirmed)} cries confirmed ({len(confirmed) / told.seconds:.0f}/s), 0 lost, 0 doubled, "
            f"0 out of order, {len(stations.orders)} orders, 0 under two ids; {hers}; died or were cut: {deaths}; "
            f"a shard moved within {max(moves, default=0.0):.1f} s"
        )


async def _acknowledged(cluster: Cluster, operators: list[Operator], tasks: "list[asyncio.Task[None]]") -> str:
    """What the operators were told is what is written, and what their pages show; gives the figures."""
    await cluster.sees(lambda: _is_shown(cluster, operators), "the pages show what the tables have", CAUGHT_UP_S)
    await end(tasks)
    faults = disagreements(operators, await asyncio.to_thread(cluster.acknowledged), await asyncio.to_thread(cluster.incidents))
    assert faults == [], f"{len(faults)}: {faults[:10]}"
    count, refused, breaks = (sum(what) for what in zip(*((len(one.confirmed), one.refused, one.breaks) for one in operators), strict=True))
    assert count, "nobody could acknowledge anything"
    return f"{count} acknowledgements confirmed, 0 lost, {refused} times another was first, {breaks} breaks"


async def _is_shown(cluster: Cluster, operators: list[Operator]) -> bool:
    owners = await asyncio.to_thread(cluster.incidents)
    return all(one.shown and owners.keys() >= one.shown.keys() and not differences(one, owners) for one in operators)


async def _all_written(cluster: Cluster, confirmed: set[tuple[str, int]]) -> bool:
    written = {cry for cries in (await asyncio.to_thread(cluster.journal)).values() for cry in cries}
    return confirmed <= written


async def _all_told(stations: Stations, confirmed: set[tuple[str, int]]) -> bool:
    """A station was told of the newest cry of every device."""
    newest = stations.newest()
    last: dict[str, int] = {}
    for device, ts in confirmed:
        last[device] = max(ts, last.get(device, 0))
    return all(newest.get(device, 0) >= ts for device, ts in last.items())


async def _cry(crowd: list[Wearables], told: Play) -> None:
    """As many a second as told, whatever happens to the others."""
    began, count = time.monotonic(), 0
    while (now := time.monotonic()) - began < told.seconds:
        for _ in range(int((now - began) * told.rate) - count):
            crowd[count % len(crowd)].cry()
            count += 1
        await asyncio.sleep(0.01)  # a pace, no waiting for anything


async def _kill(cluster: Cluster, told: Play, chance: random.Random, crying: "asyncio.Task[None]") -> tuple[list[float], str]:
    """One after the other, while they cry; gives how long each shard that lost its owner was without, and who died how often."""
    names = [*cluster.nats, "postgres", "mosquitto", *cluster.edges, *cluster.cores, *cluster.cores, *cluster.consoles]
    first = [chance.choice(cluster.cores), chance.choice(cluster.nats), chance.choice(cluster.edges), "postgres", chance.choice([*cluster.consoles])]
    wires = [chance.choice(cluster.cores), chance.choice(cluster.edges), chance.choice(cluster.nats)]
    deaths: Counter[str] = Counter()
    moves: list[float] = []
    while not crying.done():
        await asyncio.sleep(chance.uniform(0.5, told.every_s))  # the random instant itself
        if isinstance(cluster, Wired) and deaths.total() % 2:
            name = wires.pop(0) if wires else chance.choice([*cluster.cores, *cluster.edges, *cluster.nats])
            deaths[f"{name} cut off"] += 1
            await _cut(cluster, name, chance)
            continue
        name = first.pop(0) if first else chance.choice(names)
        deaths[name] += 1
        if name == "mosquitto":
            await cluster.broker.stop()
            await asyncio.sleep(chance.uniform(0, DOWN_S))
            await cluster.broker.start()
            continue
        if name in cluster.cores:
            if told.freezes and chance.random() < 0.3:
                deaths[f"{name} frozen"] += 1
                await _freeze(cluster, name)
            else:
                moves.append(await _core_dies(cluster, name))
            continue
        cluster.kill(name)
        await asyncio.sleep(chance.uniform(0, DOWN_S))
        cluster.start(name)
        await cluster.stands()  # one at a time: two of three NATS servers are a majority, one is none
    return moves, ", ".join(f"{name} {count}" for name, count in sorted(deaths.items()))


async def _cut(cluster: Wired, name: str, chance: random.Random) -> None:
    """A core until others have its shards; an edge; a NATS server, from the other two alone or from everybody."""
    if name in cluster.cores:
        mine = [shard for shard, owners in (await cluster.owners()).items() if owners == [name]]

        async def moved() -> bool:
            owners = await cluster.owners()
            return all(set(owners[shard]) - {name} for shard in mine)

        cluster.wires.cut(name)
        await cluster.sees(moved, f"the shards {mine} of {name}, cut off, have another owner")
        assert cluster.servers[name].is_running
        cluster.wires.mend(name)
    elif name in cluster.nats and chance.random() < 0.5:
        others = [other for other in cluster.nats if other != name]
        cluster.wires.part(name, others)
        await asyncio.sleep(chance.uniform(1, PARTED_S))
        cluster.wires.join(name, others)
    else:
        cluster.wires.cut(name)
        await asyncio.sleep(chance.uniform(1, CUT_S))
        cluster.wires.mend(name)
    await cluster.stands()


async def _core_dies(cluster: Cluster, name: str) -> float:
    """Its shards have another owner within MOVES_WITHIN_S. Gives how long it took."""
    mine = [shard for shard, owners in (await cluster.owners()).items() if owners == [name]]
    began = time.monotonic()
    cluster.kill(name)

    async def moved() -> bool:
        owners = await cluster.owners()
        return all(owners[shard] for shard in mine)

    await cluster.sees(moved, f"the shards {mine} of {name} have another owner")
    took = time.monotonic() - began if mine else 0.0
    cluster.start(name)
    await cluster.stands()
    return took


async def _freeze(cluster: Cluster, name: str) -> None:
    """It hangs, with all its connections open, and wakes again when its shards are others'."""
    process = cluster.servers[name].process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(FROZEN_S)  # the hang itself
    finally:
        process.send_signal(signal.SIGCONT)
    await cluster.stands()


async def test_half_a_minute_of_deaths(tmp_path: Path) -> None:
    print(await play(tmp_path, Play(seconds=30, rate=60, every_s=4, wearables=200)))


@pytest.mark.campaign
@pytest.mark.parametrize("seed", [1, 2])
async def test_five_minutes_of_deaths(tmp_path: Path, seed: int) -> None:
    print(await play(tmp_path, Play(seconds=300, rate=300, every_s=8, wearables=3000, seed=seed, freezes=True, judges_moves=True)))


@pytest.mark.campaign
@pytest.mark.parametrize("seed", [1, 2])
async def test_five_minutes_of_deaths_and_cut_wires(tmp_path: Path, seed: int) -> None:
    print(await play(tmp_path, Play(seconds=300, rate=300, every_s=8, wearables=3000, seed=seed, freezes=True, cuts=True)))
