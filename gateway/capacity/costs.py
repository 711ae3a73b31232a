"""What each thing costs, as bench/capacity.py has measured it: costs.json, with date and machine. CPU in µs of one core, memory in bytes."""

import math
from pathlib import Path

import msgspec

FILE = Path(__file__).with_name("costs.json")


class Curve(msgspec.Struct, frozen=True):
    """What comes together shares wake-ups, messages and commits, so an event costs the less the more there are.

    points: (events a second of one process, µs CPU of each), slow first; more_us: of each that comes on top of the fastest, as measured when all
    came at once: wake-ups are as many as there can be then.
    """

    points: tuple[tuple[float, float], ...]
    more_us: float

    def share(self, rate: float) -> float:
        """Of a core, at so many a second. Between two points in proportion of the logarithms."""
        slow, fast = self.points[0], self.points[-1]
        if rate >= fast[0]:
            return (fast[0] * fast[1] + (rate - fast[0]) * self.more_us) / 1e6
        if rate <= slow[0]:
            return rate * slow[1] / 1e6
        above = next(place for place, point in enumerate(self.points) if point[0] > rate)
        (slow_s, slow_us), (fast_s, fast_us) = self.points[above - 1 : above + 1]
        if min(slow_us, fast_us) <= 0:
            return rate * max(slow_us, fast_us) / 1e6
        each: float = slow_us * (fast_us / slow_us) ** (math.log(rate / slow_s) / math.log(fast_s / slow_s))
        return rate * each / 1e6


class Part(msgspec.Struct, frozen=True):
    """One part of a cluster: all its processes together, as many as `Cluster.measured_with` says. alarm: with its order and a station's four answers.

    idle_us_per_s: of all of them while nothing comes; elder_bytes, base_bytes: of one process; the rest where it has a meaning.
    """

    idle_us_per_s: float
    heartbeat: Curve
    alarm: Curve
    elder_bytes: float = 0.0
    base_bytes: float = 0.0
    heartbeat_bytes: float = 0.0
    alarm_bytes: float = 0.0
    bytes_per_entry: float = 0.0
    sessions: int = 0


class MeasuredWith(msgspec.Struct, frozen=True):
    """How many of each there were."""

    edges: int
    cores: int
    servers: int
    shards: int


class Cluster(msgspec.Struct, frozen=True):
    """Several machines."""

    measured_on: str
    on: str
    again: str
    broker: Part
    edge: Part
    bus: Part
    core: Part
    database: Part
    console: Part
    measured_with: MeasuredWith


class Gateway(msgspec.Struct, frozen=True):
    """One process that does everything, with SQLite."""

    idle_us_per_s: float
    base_bytes: float
    heartbeat: Curve
    alarm: Curve
    call_us: float


class Elder(msgspec.Struct, frozen=True):
    """One person with a device in the register: memory, and CPU of the start."""

    memory_bytes: float
    start_us: float


class Journal(msgspec.Struct, frozen=True):
    """entries_per_alarm: cry, decision, order and the station's four answers; bytes with every table and index."""

    entries_per_alarm: float
    sqlite_bytes_per_entry: float


class OpenIncident(msgspec.Struct, frozen=True):
    """One that waits: memory, and CPU of its clocks."""

    memory_bytes: float
    timers_us_per_s: float


class Console(msgspec.Struct, frozen=True):
    """One page that looks on: at its opening for each open incident, then for each change that it is told; bytes as compressed."""

    memory_bytes: float
    opening_us_per_incident: float
    opening_bytes_per_incident: float
    change_us: float
    change_bytes: float


class Machine(msgspec.Struct, frozen=True):
    """One machine."""

    measured_on: str
    on: str
    again: str
    gateway: Gateway
    elder: Elder
    journal: Journal
    open_incident: OpenIncident
    console: Console


class Costs(msgspec.Struct, frozen=True):
    """All of it."""

    machine: Machine
    cluster: Cluster


def measured() -> Costs:
    """The table that comes with this version."""
    return msgspec.json.decode(FILE.read_bytes(), type=Costs)
