"""What each thing costs, for the capacity model: `python bench/capacity.py [machine] [cluster]`; writes gateway/capacity/costs.json.

machine: one whole gateway with SQLite, as bench/heartbeats.py has it. cluster: three NATS servers, PostgreSQL with fsync, Mosquitto, two edges, two
cores. Each takes about two minutes. Everything is CPU time and bytes, nothing a duration, so others on the machine disturb little. What comes
together costs less (one wake-up, one message, one commit), so each cost is a curve: measured one by one, at two rates between, and all at once.
"""

import asyncio
import json
import multiprocessing
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nats
from websockets.asyncio.client import ClientConnection, connect

ROOT = Path(__file__).parents[1]
sys.path[:1] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "house")]  # not bench/ itself, whose cluster.py would hide tests/cluster

from cluster.cluster import Cluster, Plan  # noqa: E402
from house import District, House  # noqa: E402

from bench.loads import cpu_s, database_bytes, rss, sender  # noqa: E402
from simulators.mqtt_link import BrokerAddress  # noqa: E402
from simulators.pbx import Outcome, Pbx  # noqa: E402
from simulators.stations import Behaviour, Order, Stations  # noqa: E402

COSTS = ROOT / "gateway" / "capacity" / "costs.json"
WATCH = '\n[[device_class]]\nname = "watch"\ninterval_s = 14400\ngrace_s = 3600\n'
FEW, MANY = 1_000, 40_000
IDLE_S = 8.0
BEATS = ((100, 8.0), (800, 8.0), (3_000, 8.0), (0, 0.0))  # a second, seconds; 0: all at once
CRIES = ((10, 10.0), (60, 6.0), (0, 0.0))
BURST = 1_500
OPEN = 4_000
CONSOLES, CHANGES_PER_S, LOOK_S = 40, 40, 8.0
CALLS = 60
QUIET_S = 1.5  # nothing more has come of it for so long: it is over
WITHIN_S = 120.0
LIFE = Behaviour("helpful", answer_after=(0.1, 0.5), travel=(0.1, 0.5), work=(0.1, 0.5))  # all four answers, soon
SILENT = Behaviour("silent")

PROCESSES = {"edge": 2, "core": 2}  # that share what comes; of the other parts all processes together
ROLES = {"e0": "edge", "page0": "console"}  # one process of each; what a core has depends on how many shards it owns

Point = tuple[int, float, float]  # of one phase: events, of them a second, CPU seconds


class SupervisedHouse(House):
    """Every wearable is of a class, so each heartbeat moves a deadline."""

    def write_config(self) -> None:
        super().write_config()
        text = self.config.read_text().replace('name = "wearables"\n', 'name = "wearables"\ndevice_class = "watch"\n')
        self.config.write_text(text + WATCH)


class SupervisedCluster(Cluster):
    """The same, on several machines."""

    def configuration(self, page: int, console: int) -> str:
        text = super().configuration(page, console)
        for edge in self.edges:
            text = text.replace(f'name = "wearables-{edge}"\n', f'name = "wearables-{edge}"\ndevice_class = "watch"\n')
        return text + WATCH


class Answering:
    """Stations that do all they are told, or nothing."""

    def __init__(self, address: BrokerAddress) -> None:
        self.behaviour = LIFE
        self.stations = Stations(address, choose=self._choose, identifier="stations-of-the-bench")
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Answering":
        self._task = asyncio.create_task(self.stations.run())
        await self.stations.ready.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _choose(self, _order: Order, _before: int) -> Behaviour:
        return self.behaviour


def curve(points: list[Point], processes: int = 1) -> dict[str, Any]:
    """Points are [events a second of one process, µs CPU of each], slow first; more_us: of each event of those that came all at once."""
    each = [(rate / processes, used / count * 1e6) for count, rate, used in points]
    return {"points": [[round(rate, 1), round(us, 1)] for rate, us in each if rate], "more_us": round(each[-1][1], 1)}


async def until_quiet(count: Any) -> None:
    """Wait until a figure has not changed for QUIET_S."""
    last, since, give_up = await count(), time.monotonic(), time.monotonic() + WITHIN_S
    while time.monotonic() - since < QUIET_S and time.monotonic() < give_up:
        await asyncio.sleep(0.2)
        now = await count()
        if now != last:
            last, since = now, time.monotonic()


async def over(process: Any) -> None:
    """A process tells no loop that it has ended."""
    while process.is_alive():  # noqa: ASYNC110
        await asyncio.sleep(0.05)


# --- one machine ------------------------------------------------------------------------------------------------------


async def start(house: House) -> tuple[int, float]:
    """Resident bytes, and CPU seconds that the start took."""
    house.start()
    await house.ready()
    await house.lines_live("wearables", "station-replies")
    assert house.process is not None
    await asyncio.sleep(1)
    return rss(house.process.pid), cpu_s(house.process.pid)


class Meter:
    """One gateway under load."""

    def __init__(self, house: House, answering: Answering) -> None:
        self.house, self.answering = house, answering
        assert house.process is not None
        self.pid = house.process.pid
        self.idle = 0.0  # CPU seconds a second

    async def events(self) -> float:
        """All that has come to an end, and the orders that left."""
        return await self.house.metric("gateway_events_total") + await self.house.metric("gateway_orders_total")

    async def rest(self) -> float:
        """CPU a second while nothing happens."""
        await until_quiet(self.events)
        used = cpu_s(self.pid)
        await asyncio.sleep(IDLE_S)
        return (cpu_s(self.pid) - used) / IDLE_S

    async def point(self, kind: str, first: int, count: int, rate: float, seconds: float) -> Point:
        """One phase. What it costs to look on is the idle share's."""
        topics = [f"wearables/{self.house.district.wearable(first + n)}/event" for n in range(count)]
        await until_quiet(self.events)
        used, began = cpu_s(self.pid), time.monotonic()
        await over(sender(self.house.broker.port, topics, kind, rate, seconds))
        await until_quiet(self.events)
        took = time.monotonic() - began
        sent = round(rate * seconds) if rate else count
        return sent, rate, max(0.0, cpu_s(self.pid) - used - took * self.idle)


class Counting(ClientConnection):
    """Counts what comes over the wire, as compressed as it comes."""

    arrived = 0

    def data_received(self, data: bytes) -> None:
        Counting.arrived += len(data)
        super().data_received(data)


def audience(address: str, consoles: int, started: Any, stop: Any, arrived: Any) -> None:
    """So many consoles that read what the feed sends. arrived: bytes of the snapshots, and of what came after `started`."""

    async def read(fresh: asyncio.Semaphore) -> None:
        url = f"{address.replace('http', 'ws')}/api/v1/feed?since=0&epoch="
        async with connect(url, max_size=None, compression="deflate", create_connection=Counting) as socket:
            await socket.recv()
            fresh.release()
            async for _ in socket:
                pass

    async def all_of_them() -> None:
        fresh = asyncio.Semaphore(0)
        readers = [asyncio.create_task(read(fresh)) for _ in range(consoles)]
        for _ in readers:
            await fresh.acquire()
        await asyncio.sleep(1)
        arrived[0] = Counting.arrived
        started.set()
        while not stop.is_set():  # noqa: ASYNC110 an event of another process
            await asyncio.sleep(0.05)
        arrived[1] = Counting.arrived - arrived[0]
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    asyncio.run(all_of_them())


async def measure_consoles(meter: Meter, first: int) -> dict[str, float]:
    """Changes of open incidents, without and with consoles that look on."""
    count = CHANGES_PER_S * int(LOOK_S)
    _, _, alone = await meter.point("sos", first, OPEN, CHANGES_PER_S, LOOK_S)
    spawn = multiprocessing.get_context("spawn")
    started, stop, arrived = spawn.Event(), spawn.Event(), spawn.Array("q", 2)
    before, used = rss(meter.pid), cpu_s(meter.pid)
    process = spawn.Process(target=audience, args=(meter.house.console, CONSOLES, started, stop, arrived))
    process.start()
    while not started.is_set():  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    opened = cpu_s(meter.pid) - used
    _, _, watched = await meter.point("sos", first, OPEN, CHANGES_PER_S, LOOK_S)
    after = rss(meter.pid)
    stop.set()
    await over(process)
    return {
        "memory_bytes": round(max(0, after - before) / CONSOLES),
        "opening_us_per_incident": round(opened / CONSOLES / OPEN * 1e6, 2),
        "opening_bytes_per_incident": round(arrived[0] / CONSOLES / OPEN, 1),
        "change_us": round(max(0.0, watched - alone) / CONSOLES / count * 1e6, 2),
        "change_bytes": round(arrived[1] / CONSOLES / count, 1),
    }


async def measure_calls(meter: Meter) -> float:
    """µs CPU a call by HEP, from ringing to its end."""
    async with Pbx(meter.house.hep, seed=1, area_code="0931") as pbx:
        await until_quiet(meter.events)
        used, began = cpu_s(meter.pid), time.monotonic()
        calls = []
        for number in range(CALLS):
            caller = meter.house.district.caller(number)
            calls.append(asyncio.create_task(pbx.call(f"call {number}", caller, Outcome.ANSWERED, ring_s=0.2, talk_s=0.5)))
            await asyncio.sleep(0.1)
        await asyncio.gather(*calls)
        await until_quiet(meter.events)
        return (cpu_s(meter.pid) - used - (time.monotonic() - began) * meter.idle) / CALLS * 1e6


async def machine() -> dict[str, Any]:
    """One whole gateway."""
    with tempfile.TemporaryDirectory(prefix="capacity-") as name:
        (Path(name) / "few").mkdir()
        (Path(name) / "many").mkdir()
        async with SupervisedHouse(Path(name) / "few", District(wearables=FEW, rooms=1, buttons=1, callers=1)) as house:
            small, short = await start(house)
        async with SupervisedHouse(Path(name) / "many", District(wearables=MANY, rooms=1, buttons=1, callers=CALLS)) as house:
            large, long = await start(house)
            elder, starting = (large - small) / (MANY - FEW), (long - short) / (MANY - FEW)
            async with Answering(house.address) as answering:
                meter = Meter(house, answering)
                meter.idle = idle = await meter.rest()
                beats = [await meter.point("heartbeat", 0, MANY, *told) for told in BEATS]
                print("heartbeats", beats, flush=True)
                file = house.folder / house.setting.data / "gateway.db"
                size, entries = database_bytes(file), len(house.journal())
                cries = [await meter.point("sos", number * BURST, BURST, *told) for number, told in enumerate(CRIES)]
                print("cries", cries, flush=True)
                alarms = sum(sent for sent, _, _ in cries)
                grown, written = database_bytes(file) - size, len(house.journal()) - entries
                call = await measure_calls(meter)
                print("call", call, flush=True)
                answering.behaviour = SILENT
                before = rss(meter.pid)
                await meter.point("sos", 5000, OPEN, 0, 0)
                incident = (rss(meter.pid) - before) / OPEN
                timers = max(0.0, await meter.rest() - idle) / OPEN
                print("open incident", incident, timers, flush=True)
                consoles = await measure_consoles(meter, 5000)
                print("console", consoles, flush=True)
            assert await house.unbalanced() == {}
            return {
                "gateway": {
                    "idle_us_per_s": round(idle * 1e6),
                    "base_bytes": round(small - FEW * elder),
                    "heartbeat": curve(beats),
                    "alarm": curve(cries),
                    "call_us": round(call),
                },
                "elder": {"memory_bytes": round(elder), "start_us": round(starting * 1e6, 1)},
                "journal": {
                    "entries_per_alarm": round(written / alarms, 2),
                    "sqlite_bytes_per_entry": round(grown / written),
                },
                "open_incident": {"memory_bytes": round(incident), "timers_us_per_s": round(timers * 1e6, 2)},
                "console": consoles,
            }


# --- a cluster --------------------------------------------------------------------------------------------------------


class ClusterMeter:
    """All parts of a cluster under load."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.idle: dict[str, float] = {}
        self.bytes_per_event = 0.0

    def used(self) -> dict[str, float]:
        """CPU seconds since the start, by part: all its processes."""
        cluster = self.cluster

        def of(names: list[str]) -> float:
            return sum(cpu_s(process.pid) for name in names if (process := cluster.servers[name].process) is not None)

        broker = cluster.broker._process
        assert broker is not None
        parts = {"edge": of(cluster.edges), "bus": of(cluster.nats), "core": of(cluster.cores), "database": of(["postgres"])}
        return parts | {"console": of(list(cluster.consoles)), "broker": cpu_s(broker.pid)}

    async def kept(self) -> tuple[int, int]:
        """Messages and bytes of all streams."""
        connection = await nats.connect(f"nats://127.0.0.1:{self.cluster.servers['nats0'].port}")
        try:
            streams = await connection.jetstream().streams_info()
            return sum(one.state.messages for one in streams), sum(one.state.bytes for one in streams)
        finally:
            await connection.close()

    async def events(self) -> float:
        """All that has come to an end in the shards, and the orders that left."""
        names = ("gateway_events_total", "gateway_orders_total")
        pages = [await self.cluster.metrics(name) for name in self.cluster.cores]
        return sum(value for page in pages for key, value in page.items() if key.partition("{")[0] in names)

    async def rest(self) -> dict[str, float]:
        """CPU a second while nothing happens."""
        await until_quiet(self.events)
        before = self.used()
        await asyncio.sleep(IDLE_S)
        return {part: (value - before[part]) / IDLE_S for part, value in self.used().items()}

    async def point(self, kind: str, first: int, count: int, rate: float, seconds: float) -> dict[str, Point]:
        """One phase, by part."""
        plan = self.cluster.plan
        topics = [[plan.topic(n) for n in range(first, first + count) if n % plan.edges == edge] for edge in range(plan.edges)]
        await until_quiet(self.events)
        (messages, size), used, began = await self.kept(), self.used(), time.monotonic()
        for process in [sender(self.cluster.broker.port, some, kind, rate / plan.edges, seconds) for some in topics]:
            await over(process)
        await until_quiet(self.events)
        took, now = time.monotonic() - began, self.used()
        more, larger = await self.kept()
        sent = round(rate * seconds) if rate else count
        self.bytes_per_event = max(self.bytes_per_event, (larger - size) / sent)  # most of all when each comes alone
        print(kind, rate, "messages", more - messages, "of", sent, flush=True)
        return {part: (sent, rate, max(0.0, now[part] - used[part] - took * self.idle[part])) for part in now}


async def cluster() -> dict[str, Any]:
    """Two edges, two cores, one console."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="capacity-") as name:
        memory = []
        (Path(name) / "few").mkdir()
        (Path(name) / "many").mkdir()
        async with SupervisedCluster(Path(name) / "few", Plan(wearables=FEW, consoles=1)) as small:
            await small.start_all()
            await asyncio.sleep(1)
            memory.append({part: rss(process.pid) for part in ROLES if (process := small.servers[part].process) is not None})
        async with SupervisedCluster(Path(name) / "many", Plan(wearables=MANY, consoles=1)) as large:
            await large.start_all()
            await asyncio.sleep(1)
            memory.append({part: rss(process.pid) for part in ROLES if (process := large.servers[part].process) is not None})
            async with Answering(BrokerAddress.parse(large.broker.url)):
                meter = ClusterMeter(large)
                meter.idle = idle = await meter.rest()
                print("idle", idle, flush=True)
                beats = [await meter.point("heartbeat", 0, MANY, *told) for told in BEATS]
                beat_bytes, meter.bytes_per_event = meter.bytes_per_event, 0.0
                print("heartbeats", beats, flush=True)
                sql = "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
                sql += "WHERE relkind = 'r' AND nspname LIKE 'shard_%'"
                entries = " UNION ALL ".join(f"SELECT count(*) FROM shard_{n}.journal" for n in range(large.plan.shards))
                size = int(str(large.postgres.rows(sql)[0][0]))
                written = sum(int(str(row[0])) for row in large.postgres.rows(entries))
                cries = [await meter.point("sos", number * BURST, BURST, *told) for number, told in enumerate(CRIES)]
                cry_bytes = meter.bytes_per_event
                print("cries", cries, flush=True)
                size = int(str(large.postgres.rows(sql)[0][0])) - size
                written = sum(int(str(row[0])) for row in large.postgres.rows(entries)) - written
                sessions = int(str(large.postgres.rows("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")[0][0])) - 1
    for part in ("broker", "edge", "bus", "core", "database", "console"):
        found[part] = {
            "idle_us_per_s": round(idle[part] * 1e6),
            "heartbeat": curve([point[part] for point in beats], PROCESSES.get(part, 1)),
            "alarm": curve([point[part] for point in cries], PROCESSES.get(part, 1)),
        }
    for who, part in ROLES.items():
        each = (memory[1][who] - memory[0][who]) / (MANY - FEW)
        found[part] |= {"elder_bytes": round(each), "base_bytes": round(memory[0][who] - FEW * each)}
    found["bus"] |= {"heartbeat_bytes": round(beat_bytes), "alarm_bytes": round(cry_bytes)}
    found["database"] |= {"bytes_per_entry": round(size / written), "sessions": sessions}
    found["measured_with"] = {"edges": large.plan.edges, "cores": large.plan.cores, "servers": large.plan.servers, "shards": large.plan.shards}
    return found


def main() -> None:
    wanted = sys.argv[1:] or ["machine", "cluster"]
    known = json.loads(COSTS.read_text()) if COSTS.exists() else {}
    for name, measure in (("machine", machine), ("cluster", cluster)):
        if name in wanted:
            known[name] = {
                "measured_on": datetime.now(UTC).date().isoformat(),
                "on": f"{_processor()}, {multiprocessing.cpu_count()} shared cores, Python {platform.python_version()}",
                "again": f"python bench/capacity.py {name}",
            } | asyncio.run(measure())
            COSTS.parent.mkdir(exist_ok=True)
            COSTS.write_text(json.dumps(known, indent=1) + "\n")
    print(json.dumps(known, indent=1))


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
