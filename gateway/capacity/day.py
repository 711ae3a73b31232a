"""A day of an installation, simulated: how full each part is, minute by minute, and how long an alarm waits where in the storm.

Deterministic: the same load, costs and seed give the same figures. The day is reckoned by rates; the minutes about the storm are played event by
event through a network of queues: broker, edge (signs of life wait for each other), a lane of the bus for each edge and shard (one message at a time,
what waits meanwhile is the next), core, commits of the shard's database. A server takes all that waits, up to a limit, and is busy for what a group
costs and what each event in it costs. Every process has a core of its own.
"""

from bisect import bisect_right
from collections.abc import Sequence

import msgspec
import numpy
from numpy.typing import NDArray

from gateway.capacity.costs import Costs, Part
from gateway.capacity.load import HOURS, Load
from gateway.capacity.model import EVENTS_OF_ALARM, LINGER_S, Needs, cluster_use

MINUTES = HOURS * 60
BUS_WAIT_S = 0.002  # until two of three servers have a message: 0.2 ms on one machine (bench/results/micro.md), and the way there and back twice
COMMIT_WAIT_S = 0.002  # a flush of the database's disk
GROUP_LIMIT = 500  # events of one message of the bus
BATCH_LIMIT = 1000  # events of one commit
CALM_S, STORM_S, AFTER_S = 10.0, 40.0, 10.0  # what is played of it event by event
STORM_BEGINS = 20  # minute of its hour
NEVER = float("inf")

Times = NDArray[numpy.float64]
Flags = NDArray[numpy.bool_]


class Service(msgspec.Struct, frozen=True):
    """Seconds of a server: for a group, and for each sign of life, and each alarm or answer, in it."""

    group: float = 0.0
    beat: float = 0.0
    alarm: float = 0.0


class Waits(msgspec.Struct, frozen=True):
    """Milliseconds, of alarms: in each part, to the receipt at the device, to the order at the channel."""

    at: dict[str, tuple[float, float]]
    receipt: tuple[float, float]
    order: tuple[float, float]


class Day(msgspec.Struct, frozen=True):
    """shares: part → of the busiest process's core, for each minute; behind_s: part → most work left over at the end of a minute, seconds;
    calm, storm: (p50, p99) of what was played; alarms: how many of them."""

    shares: dict[str, list[float]]
    behind_s: dict[str, float]
    calm: Waits
    storm: Waits
    alarms: int
    heartbeats: int


def alarms_s(load: Load, minute: int) -> float:
    """In this minute of the day."""
    hour, at = divmod(minute, 60)
    is_storm = hour == load.storm_at and STORM_BEGINS <= at < STORM_BEGINS + load.storm_minutes
    return load.storm_s if is_storm else load.alarms_s(hour)


def day(load: Load, found: Needs, costs: Costs, seed: int = 12349) -> Day:
    """The whole day with the processes that were found."""
    working = {need.part: max(1, need.processes - need.spare) for need in found.parts}
    cores = {need.part: working[need.part] * need.threads for need in found.parts}
    shares: dict[str, list[float]] = {need.part: [] for need in found.parts}
    behind: dict[str, float] = dict.fromkeys(shares, 0.0)
    most = dict(behind)
    known: dict[float, dict[str, float]] = {}
    for minute in range(MINUTES):
        rate = alarms_s(load, minute)
        if rate not in known:
            use = cluster_use(costs, load, working["edge"], working["core"], working["console"], load.heartbeats_s, rate)
            known[rate] = {part: cpu / cores[part] for part, cpu in use.items()}
        for part, share in known[rate].items():
            shares[part].append(share)
            behind[part] = max(0.0, behind[part] + (share - 1) * 60)
            most[part] = max(most[part], behind[part])
    calm, storm, alarms, beats = _played(load, working, costs, seed)
    return Day(shares, most, calm, storm, alarms, beats)


# --- event by event ---------------------------------------------------------------------------------------------------


def serve(
    arrivals: Times, is_alarm: Flags, service: Service, *, wait_s: float = 0.0, linger_s: float = 0.0, limit: int = GROUP_LIMIT
) -> tuple[Times, Times]:
    """One server that takes all that waits. Gives for each event when its service began and when it was done.

    wait_s: on top of a group's cost, waiting for others and no work; linger_s: signs of life wait so long, unless an alarm comes.
    """
    at = arrivals.tolist()
    each = numpy.where(is_alarm, service.alarm, service.beat)
    work = numpy.concatenate(([0.0], numpy.cumsum(each))).tolist()
    pressing = numpy.flatnonzero(is_alarm).tolist()
    began, done = numpy.empty(len(at)), numpy.empty(len(at))
    first, free, count, cry = 0, 0.0, len(at), 0
    while first < count:
        while cry < len(pressing) and pressing[cry] < first:
            cry += 1
        start = at[first]
        if linger_s:
            start = min(start + linger_s, at[pressing[cry]] if cry < len(pressing) else NEVER)
        start = max(start, free)
        last = min(bisect_right(at, start, first), first + limit)
        free = start + service.group + work[last] - work[first] + wait_s
        began[first:last] = start
        done[first:last] = free
        first = last
    return began, done


def _played(load: Load, working: dict[str, int], costs: Costs, seed: int) -> tuple[Waits, Waits, int, int]:
    """The minutes about the storm, through all edges and cores."""
    chance = numpy.random.default_rng(seed)
    cluster, edges, cores = costs.cluster, working["edge"], working["core"]
    servers = cluster.measured_with.servers
    arrivals, is_alarm, is_cry = _arrivals(load, chance)
    edge = chance.integers(edges, size=len(arrivals))
    shard = chance.integers(load.shards, size=len(arrivals))
    waited: dict[str, Times] = {}
    beats_s, storm_s = load.heartbeats_s, load.storm_s
    edge_service = _service(cluster.edge, beats_s / edges, storm_s / edges, LINGER_S)
    core_service = _service(cluster.core, beats_s / cores, storm_s / cores, BUS_WAIT_S)
    at, waited["broker"] = _through(arrivals, is_alarm, edge, edges, _service(cluster.broker, beats_s / edges, storm_s / edges))
    at, waited["edge"] = _through(at, is_alarm, edge, edges, edge_service, linger_s=LINGER_S)
    lanes = _service(cluster.bus, beats_s, storm_s, BUS_WAIT_S, share=1 / servers)
    at, waited["bus"] = _through(at, is_alarm, edge * load.shards + shard, edges * load.shards, lanes, wait_s=BUS_WAIT_S)
    received = at - arrivals
    at, waited["core"] = _through(at, is_alarm, shard % cores, cores, core_service, limit=BATCH_LIMIT)
    commits = _service(cluster.database, 0.0, storm_s)
    order = at.copy()
    order[is_alarm], wait = _through(at[is_alarm], is_alarm[is_alarm], shard[is_alarm], load.shards, commits, wait_s=COMMIT_WAIT_S, limit=BATCH_LIMIT)
    waited["database"] = numpy.zeros(len(at))
    waited["database"][is_alarm] = wait
    ordered = order - arrivals

    def of(chosen: Flags) -> Waits:
        return Waits(
            {part: _middle_and_end(times[chosen]) for part, times in waited.items()},
            _middle_and_end(received[chosen]),
            _middle_and_end(ordered[chosen]),
        )

    in_storm = (arrivals >= CALM_S) & (arrivals < CALM_S + STORM_S)
    return of(is_cry & ~in_storm), of(is_cry & in_storm), int(is_cry.sum()), int((~is_alarm).sum())


def _service(part: Part, beats_s: float, alarms_s: float, shared_s: float = 0.0, share: float = 1.0) -> Service:
    """What a server of a part takes at these rates. A sign of life among many costs the least that was measured; what it costs more at this rate is
    the group's, in which those of shared_s come together. share: of the part's processes, one."""
    own = part.heartbeat.more_us / 1e6
    group = max(0.0, part.heartbeat.share(beats_s) / beats_s - own) * (1 + beats_s * shared_s) if beats_s else 0.0
    alarm = part.alarm.share(alarms_s) / alarms_s / EVENTS_OF_ALARM if alarms_s else 0.0
    return Service(group * share, own * share, alarm * share)


def _arrivals(load: Load, chance: numpy.random.Generator) -> tuple[Times, Flags, Flags]:
    """(when, alarm or an answer to one, a cry itself), in order of time. Each cry has its answers, spread like the cries as they come much later."""
    whole = CALM_S + STORM_S + AFTER_S
    calm_s = load.alarms_s(load.storm_at)
    parts = [chance.uniform(0, whole, chance.poisson(load.heartbeats_s * whole))]
    kinds = [0]
    for begin, length, rate in ((0.0, CALM_S, calm_s), (CALM_S, STORM_S, load.storm_s), (CALM_S + STORM_S, AFTER_S, calm_s)):
        for kind, share in ((2, 1.0), (1, EVENTS_OF_ALARM - 1)):
            parts.append(begin + chance.uniform(0, length, chance.poisson(rate * share * length)))
            kinds.append(kind)
    times = numpy.concatenate(parts)
    of_kind = numpy.repeat(kinds, [len(part) for part in parts])
    order = numpy.argsort(times, kind="stable")
    return times[order], of_kind[order] > 0, of_kind[order] == 2


def _through(
    at: Times,
    is_alarm: Flags,
    server: NDArray[numpy.int64],
    count: int,
    service: Service,
    *,
    wait_s: float = 0.0,
    linger_s: float = 0.0,
    limit: int = GROUP_LIMIT,
) -> tuple[Times, Times]:
    """All servers of one part. Gives when each event was done, and how long it waited for its turn."""
    left, waited = numpy.empty(len(at)), numpy.empty(len(at))
    for number in range(count):
        mine = numpy.flatnonzero(server == number)
        mine = mine[numpy.argsort(at[mine], kind="stable")]
        began, done = serve(at[mine], is_alarm[mine], service, wait_s=wait_s, linger_s=linger_s, limit=limit)
        left[mine] = done
        waited[mine] = began - at[mine]
    return left, waited


def _middle_and_end(times: Times) -> tuple[float, float]:
    """p50 and p99, milliseconds."""
    if not len(times):
        return 0.0, 0.0
    middle, end = numpy.quantile(times, (0.5, 0.99)) * 1000
    return float(middle), float(end)


def saturates(load: Load, found: Needs, costs: Costs, factors: Sequence[float]) -> dict[str, list[float]]:
    """Part → share of its busiest process's core at the worst moment, when everything comes so many times as often."""
    working = {need.part: max(1, need.processes - need.spare) for need in found.parts}
    cores = {need.part: working[need.part] * need.threads for need in found.parts}
    shares: dict[str, list[float]] = {}
    for factor in factors:
        use = cluster_use(costs, load, working["edge"], working["core"], working["console"], load.heartbeats_s * factor, load.worst_alarms_s * factor)
        for part, cpu in use.items():
            shares.setdefault(part, []).append(cpu / cores[part])
    return shares
