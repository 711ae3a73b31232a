"""The capacity model: from a load and the measured costs to processes, cores, memory and disk, and what is full first. Pure."""

import math
from collections.abc import Sequence

import msgspec

from gateway.capacity.costs import Costs, Part
from gateway.capacity.load import Load

FULL = 0.6  # of a core at the worst moment: beyond it waiting grows faster than load, and nothing is left to catch up with after a fault
LINGER_S = 0.005  # signs of life wait so long for each other (drivers.lines.broker)
KEPT_S = 3600.0  # [bus] keep_s: what was read stays in the streams so long
MAX_MIB = 4096  # [bus] max_mib, of each stream
BY_OPERATORS = 6.0  # entries that people add to an alarm: taken, noted, resolved, rung back, closed, and one more. Counted in the scenarios
EVENTS_OF_ALARM = 5  # over the bus: its cry and the four answers of a station
CHANGES = 8.0  # of an incident's row from its cry to its end, each told to the consoles
# What fills to its bound in the first hours or days, of one house, which each shard is: 200,000 identities and as many last signs of life, 200 B
# each (gateway.core.state), 40,000 cases of risk warnings of 640 B, 100,000 incidents whose clocks stopped of 200 B, 10,000 removals told to consoles
# of 450 B; and SQLite's pages, 32 MiB of who writes, 2 MB of each of four that read (gateway.store.store).
HOUSE_FILLS_BYTES = 130e6
SQLITE_FILLS_BYTES = (32_768 + 4 * 2_000) * 1024
ONE_MACHINE_BYTES = 8 * 1024**3  # "one small machine"
REGISTER_OF_ONE = 1_000_000  # persons for whom routing is measured in one process (docs/performance.md)
YEAR_S = 365.25 * 86400
PARTS = ("broker", "edge", "bus", "core", "database", "console")
GROWS_WITH = {
    "broker": "another broker and its edge, with a share of the topics",
    "edge": "another edge with a share of the topics",
    "bus": "cores for the three servers; then two more, so that leaders spread",
    "core": "another core process",
    "database": "cores and memory for its machine",
    "console": "another console process",
    "gateway": "several machines (docs/guide/cluster.md)",
}


class Need(msgspec.Struct, frozen=True):
    """One part. busy: of each core at the worst moment; memory_bytes of one process; carries: so many times this load until a core is FULL.

    spare: of these processes only there so that one may die; threads: cores of each.
    """

    part: str
    processes: int
    spare: int
    threads: int
    cpu: float
    busy: float
    memory_bytes: float
    carries: float

    @property
    def grows_with(self) -> str:
        return GROWS_WITH[self.part]


class Needs(msgspec.Struct, frozen=True):
    """The answer. one_machine: the single process instead, and whether it is enough; parts: the cluster, in the order of the way of an alarm."""

    load: Load
    one_machine: Need
    is_enough: bool
    parts: tuple[Need, ...]
    messages_s: float
    start_s: float
    journal_bytes_year: float
    journal_bytes_kept: float
    bus_bytes: float
    bus_full_h: float
    sessions: int
    console_bytes_s: float

    def part(self, name: str) -> Need:
        """One of them."""
        return next(need for need in self.parts if need.part == name)

    @property
    def cores(self) -> int:
        """Processor cores of all machines together."""
        return sum(need.processes * need.threads for need in self.parts)

    @property
    def first(self) -> Need:
        """What is full first, of what is wanted here."""
        return min(self.parts, key=lambda need: need.carries)


def messages(load: Load, edges: int, heartbeats_s: float, alarms_s: float) -> float:
    """Messages that all edges hand to the bus a second: groups of a line, each divided among the shards.

    Heartbeats wait LINGER_S for each other, and a cry takes those that wait along.
    """
    each = heartbeats_s / edges
    groups = each / (1 + each * LINGER_S)
    if not groups:
        return alarms_s * EVENTS_OF_ALARM
    in_group = each / groups
    of_group = load.shards * (1 - (1 - 1 / load.shards) ** in_group)
    of_beats: float = edges * groups * max(1.0, of_group)
    return of_beats + alarms_s * EVENTS_OF_ALARM


def used(part: Part, processes: int, heartbeats_s: float, alarms_s: float) -> float:
    """Cores that so many processes of a part take together, beside what they take idle."""
    return processes * (part.heartbeat.share(heartbeats_s / processes) + part.alarm.share(alarms_s / processes))


def cluster_use(costs: Costs, load: Load, edges: int, cores: int, consoles: int, heartbeats_s: float, alarms_s: float) -> dict[str, float]:
    """Cores taken by each part at these rates."""
    measured, with_ = costs.cluster, costs.cluster.measured_with
    found = {}
    for name, processes, units in (
        ("broker", edges, edges),
        ("edge", edges, edges / with_.edges),
        ("bus", 1, 1),
        ("core", cores, cores / with_.cores),
        ("database", 1, 1),
        ("console", 1, 1),
    ):
        part: Part = getattr(measured, name)
        found[name] = units * part.idle_us_per_s / 1e6 + used(part, processes, heartbeats_s, alarms_s)
    found["core"] += load.open_at_once * costs.machine.open_incident.timers_us_per_s / 1e6
    found["edge"] += (
        load.calls_day / 86400 * 3 * costs.machine.gateway.call_us / 1e6 / 2
    )  # hearing is half of a call, deciding the other; thrice at noon
    found["core"] += load.calls_day / 86400 * 3 * costs.machine.gateway.call_us / 1e6 / 2
    looking = load.consoles * alarms_s * CHANGES * costs.machine.console.change_us / 1e6
    found["console"] = consoles * found["console"] + looking  # each console process follows every shard
    return found


def needs(load: Load, costs: Costs) -> Needs:
    """What is wanted for a load."""
    beats, alarms = load.heartbeats_s, load.worst_alarms_s
    one = _one_machine(load, costs)
    edges = cores = consoles = 1
    use: dict[str, float] = {}
    for _ in range(256):
        use = cluster_use(costs, load, edges, cores, consoles, beats, alarms)
        if use["broker"] / edges > FULL or use["edge"] / edges > FULL:
            edges += 1
        elif use["core"] / cores > FULL and cores < load.shards:
            cores += 1
        elif use["console"] / consoles > FULL and consoles < load.consoles:
            consoles += 1
        else:
            break
    open_bytes = load.open_at_once * costs.machine.open_incident.memory_bytes
    servers = costs.cluster.measured_with.servers
    # A core that is left alone has every shard, with clocks for each device as one machine has.
    core_bytes = costs.machine.gateway.base_bytes + load.registered * costs.machine.elder.memory_bytes + open_bytes
    core_bytes += load.shards * HOUSE_FILLS_BYTES
    cluster = costs.cluster
    parts = (
        _need("broker", edges, 0, use["broker"], 0.0),
        _need("edge", edges, 0, use["edge"], cluster.edge.base_bytes + load.registered * cluster.edge.elder_bytes),
        _need("bus", servers, 1, use["bus"], 256e6, of_machine=True),
        _need("core", cores + 1, 1, use["core"], core_bytes),
        _need("database", 1, 0, use["database"], max(1e9, 0.25 * load.open_at_once * 20_000), of_machine=True),
        _need(
            "console",
            consoles + 1,
            1,
            use["console"],
            cluster.console.base_bytes
            + load.registered * cluster.console.elder_bytes
            + open_bytes
            + load.consoles * costs.machine.console.memory_bytes,
        ),
    )
    entries_year = load.alarms_day * 365.25 * (costs.machine.journal.entries_per_alarm + BY_OPERATORS) + load.calls_day * 365.25 * 3
    of_entry = costs.machine.journal.sqlite_bytes_per_entry if _fits(one, load) else cluster.database.bytes_per_entry
    bus_s = beats * cluster.bus.heartbeat_bytes + alarms * cluster.bus.alarm_bytes
    return Needs(
        load=load,
        one_machine=one,
        is_enough=_fits(one, load),
        parts=parts,
        messages_s=messages(load, edges, beats, alarms),
        start_s=load.registered * costs.machine.elder.start_us / 1e6,
        journal_bytes_year=entries_year * of_entry,
        journal_bytes_kept=entries_year * of_entry * load.retention_years,
        bus_bytes=bus_s * KEPT_S,
        bus_full_h=load.shards * MAX_MIB * 1024**2 / bus_s / 3600 if bus_s else math.inf,
        sessions=load.shards * max(1, math.ceil(cluster.database.sessions / cluster.measured_with.shards)) + 5 * (consoles + 1),
        console_bytes_s=load.consoles * alarms * CHANGES * costs.machine.console.change_bytes,
    )


def _need(part: str, processes: int, spare: int, cpu: float, memory: float, *, of_machine: bool = False) -> Need:
    """of_machine: its processes use as many cores as they are given."""
    at_work = max(1, processes - spare)
    threads = max(1, math.ceil(cpu / at_work / FULL)) if of_machine else 1
    busy = cpu / at_work / threads
    return Need(part, processes, spare, threads, cpu, busy, memory, FULL / busy if busy else math.inf)


def _one_machine(load: Load, costs: Costs) -> Need:
    """Everything in one process."""
    gateway, console = costs.machine.gateway, costs.machine.console
    beats, alarms = load.heartbeats_s, load.worst_alarms_s
    cpu = gateway.idle_us_per_s / 1e6 + gateway.heartbeat.share(beats) + gateway.alarm.share(alarms)
    cpu += load.calls_day / 86400 * 3 * gateway.call_us / 1e6 + load.open_at_once * costs.machine.open_incident.timers_us_per_s / 1e6
    cpu += load.consoles * alarms * CHANGES * console.change_us / 1e6
    memory = gateway.base_bytes + HOUSE_FILLS_BYTES + SQLITE_FILLS_BYTES + load.registered * costs.machine.elder.memory_bytes
    memory += load.open_at_once * costs.machine.open_incident.memory_bytes + load.consoles * console.memory_bytes
    return _need("gateway", 1, 0, cpu, memory)


def _fits(one: Need, load: Load) -> bool:
    return one.busy <= FULL and one.memory_bytes <= ONE_MACHINE_BYTES and load.elders <= REGISTER_OF_ONE


def times(load: Load, factor: float) -> Load:
    """The same installation, so many times as busy."""
    return msgspec.structs.replace(
        load,
        heartbeats_h=round(load.heartbeats_h * factor),
        alarms_day=round(load.alarms_day * factor),
        storm_min=round(load.storm_min * factor),
        calls_day=round(load.calls_day * factor),
    )


def busiest(parts: Sequence[Need]) -> list[Need]:
    """What is full first, first."""
    return sorted(parts, key=lambda need: need.carries)
