"""A whole cluster as processes of their own: three NATS servers, PostgreSQL, Mosquitto, edges, cores and consoles, on free loopback ports.

Everything can be killed and started again by its name, by process id. Invented: every person, number and place.
"""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
from servers import Mosquitto, end, free_port, postgres_command, program, until
from sqlalchemy import create_engine, text
from waiting import BEFORE_THE_SERVER

START_S = 180.0  # an edge or a core starts in a second or two; a machine on which everything is busy at once has needed more than a minute
POLITE_S = 60.0
LOOK_S = 0.1  # how often a condition at another process is looked at
HALF_A_DAY_S = 36_000
STREETS = 12
STATIONS = 6


@dataclass(slots=True)
class Server:
    """One process. `command` may be started again after a kill."""

    name: str
    command: Sequence[str]
    log: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None
    cwd: Path | None = None

    def start(self) -> None:
        assert self.process is None, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(list(self.command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.cwd)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it and wait for its end. Who does not end by `number` is killed."""
        if self.process is not None:
            end(self.process, number, POLITE_S)
            self.process = None

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def tail(self, lines: int = 20) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""


class Postgres(Server):
    """A real PostgreSQL with fsync, as the user postgres when we are root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "postgres"
        port = free_port()
        command = postgres_command(self.folder, port)
        super().__init__("postgres", command, folder / "postgres.log", port, cwd=Path("/"))

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def answers(self) -> bool:
        engine = create_engine(self.url.replace("postgresql:", "postgresql+psycopg:"), connect_args={"connect_timeout": 2})
        try:
            with engine.connect() as connection:
                connection.execute(text("select 1"))
            return True
        except Exception:
            return False
        finally:
            engine.dispose()

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """What the database itself says."""
        engine = create_engine(self.url.replace("postgresql:", "postgresql+psycopg:"))
        try:
            with engine.connect() as connection:
                return [tuple(row) for row in connection.execute(text(sql))]
        finally:
            engine.dispose()


@dataclass(slots=True)
class Plan:
    """How large it is."""

    edges: int = 2
    cores: int = 2
    consoles: int = 0
    servers: int = 3
    shards: int = 4
    wearables: int = 60
    names: list[str] = field(default_factory=list)

    def device(self, number: int) -> str:
        return f"w-{number:06}"

    def topic(self, number: int) -> str:
        return f"e{number % self.edges}/wearables/{self.device(number)}/event"


class Cluster:
    """All processes. An async context manager: servers are up inside; `start_all` starts the gateway's own parts."""

    def __init__(self, folder: Path, plan: Plan | None = None) -> None:
        self.folder = folder
        self.plan = plan or Plan()
        self.postgres = Postgres(folder)
        self.broker = Mosquitto(folder)
        self.servers: dict[str, Server] = {"postgres": self.postgres}
        self.http = httpx.AsyncClient(timeout=30, trust_env=False, limits=BEFORE_THE_SERVER)
        self._nats()
        self.write_district(folder / "districts" / "province")
        self.consoles: dict[str, str] = {}
        self.pages: dict[str, str] = {}
        for role, count in (("edge", self.plan.edges), ("core", self.plan.cores), ("console", self.plan.consoles)):
            for number in range(count):
                self._part(role, f"{role[0] if role != 'console' else 'page'}{number}")

    async def __aenter__(self) -> "Cluster":
        try:
            self.postgres.start()
            for name in self.nats:
                self.servers[name].start()
            await self.broker.start()
            await until(lambda: self.postgres.answers(), "PostgreSQL answers", START_S)
        except BaseException:  # nobody calls __aexit__ then
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def _end(self) -> None:
        """Every process, whatever becomes of another."""
        async with AsyncExitStack() as rest:
            rest.push_async_callback(self.http.aclose)
            rest.push_async_callback(self.broker.stop)
            for name, server in self.servers.items():
                rest.callback(server.kill, signal.SIGTERM if name == "postgres" else signal.SIGKILL)

    @property
    def nats(self) -> list[str]:
        return [name for name in self.servers if name.startswith("nats")]

    @property
    def edges(self) -> list[str]:
        return [f"e{number}" for number in range(self.plan.edges)]

    @property
    def cores(self) -> list[str]:
        return [f"c{number}" for number in range(self.plan.cores)]

    def nats_listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.servers["nats0"].port)) == 0

    def start(self, name: str) -> None:
        self.servers[name].start()

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        self.servers[name].kill(number)

    async def start_all(self) -> None:
        """Edges, cores, consoles; returns when every edge is ready and every shard has an owner."""
        for name in self.cores:
            self.start(name)
        await self.start_rest()

    async def start_rest(self) -> None:
        """All but the cores."""
        for name in (*self.edges, *self.consoles):
            self.start(name)
        await self.stands()

    async def stands(self) -> None:
        """The database answers, every edge is ready, every shard has exactly one owner."""
        await self.sees(partial(asyncio.to_thread, self.postgres.answers), "PostgreSQL answers")
        for name in self.edges:
            await self.sees(partial(self._is_ready, name), f"{name} is ready")
        await self.sees(self._all_owned, "every shard has an owner")

    async def sees(self, condition: Callable[[], Awaitable[object]], what: str, timeout_s: float = START_S) -> None:
        """Ask until it is true. AssertionError with the ends of all logs."""
        give_up = asyncio.get_running_loop().time() + timeout_s
        while not await condition():
            if asyncio.get_running_loop().time() > give_up:
                raise AssertionError(f"never came true: {what}\n" + "\n".join(f"== {name}\n{one.tail(8)}" for name, one in self.servers.items()))
            await asyncio.sleep(LOOK_S)

    async def _is_ready(self, name: str) -> bool:
        assert self.servers[name].is_running, f"{name} ended by itself: {self.servers[name].tail()}"
        try:
            return (await self.http.get(f"{self.pages[name]}/readyz")).status_code == 200
        except httpx.HTTPError:
            return False

    async def metrics(self, name: str) -> dict[str, float]:
        """Series → value of one part; empty while it does not answer."""
        try:
            page = (await self.http.get(f"{self.pages[name]}/metrics")).text
        except (httpx.HTTPError, KeyError):
            return {}
        rows = (line.rpartition(" ") for line in page.splitlines() if line and not line.startswith("#"))
        return {series: float(value) for series, _, value in rows}

    async def owners(self) -> dict[int, list[str]]:
        """Shard → the cores that say that it is theirs."""
        found: dict[int, list[str]] = {shard: [] for shard in range(self.plan.shards)}
        for name in self.cores:
            if self.servers[name].is_running:
                metrics = await self.metrics(name)
                for shard in found:
                    if metrics.get(f'gateway_shard_owned{{shard="{shard}"}}') == 1:
                        found[shard].append(name)
        return found

    async def _all_owned(self) -> bool:
        return all(len(names) == 1 for names in (await self.owners()).values())

    def journal(self) -> dict[int, list[tuple[str, int]]]:
        """Shard → (device, ts) of every cry in its journal, in order."""
        found: dict[int, list[tuple[str, int]]] = {}
        for shard in range(self.plan.shards):
            sql = f"SELECT device, facts::json->'detail'->>'ts' FROM shard_{shard}.journal WHERE kind = 'sos' ORDER BY seq"
            found[shard] = [(str(device), int(str(ts))) for device, ts in self.postgres.rows(sql)]
        return found

    def acknowledged(self) -> dict[str, list[str]]:
        """Incident → its journal, in order: who acknowledged it, "" for a cry."""
        found: dict[str, list[str]] = {}
        for shard in range(self.plan.shards):
            sql = f"SELECT incident, actor FROM shard_{shard}.journal WHERE kind IN ('acknowledge', 'sos') ORDER BY seq"
            for incident, actor in self.postgres.rows(sql):
                found.setdefault(str(incident), []).append(str(actor or ""))
        return found

    def incidents(self) -> dict[str, str | None]:
        """Incident → whose it is, by the tables of the shards."""
        sql = " UNION ALL ".join(f"SELECT 'I' || number, body::json->>'owner' FROM shard_{n}.incident" for n in range(self.plan.shards))
        return {str(incident): owner if owner is None else str(owner) for incident, owner in self.postgres.rows(sql)}

    # --- how it is made ----------------------------------------------------------------------------------------------

    def _nats(self) -> None:
        path = program("nats-server")
        count = self.plan.servers
        ports, routes = [free_port() for _ in range(count)], [free_port() for _ in range(count)]
        self.routes = routes  # of the servers to one another
        for number in range(count):
            name = f"nats{number}"
            store = self.folder / name
            store.mkdir()
            lines = [
                f"server_name: {name}",
                f"listen: 127.0.0.1:{ports[number]}",
                f'jetstream {{ store_dir: "{store}", max_file: 4G, max_mem: 256M }}',
            ]
            if count > 1:
                peers = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
                lines.append(f"cluster {{ name: c, listen: 127.0.0.1:{routes[number]}, routes: [{peers}] }}")
            config = self.folder / f"{name}.conf"
            config.write_text("\n".join(lines) + "\n")
            self.servers[name] = Server(name, [path, "-c", str(config)], self.folder / f"{name}.log", ports[number])

    def _part(self, role: str, name: str) -> None:
        page, console = free_port(), free_port()
        config = self.folder / f"{name}.toml"
        config.write_text(self.configuration(page, console))
        self.pages[name] = f"http://127.0.0.1:{page}"
        if role == "console":
            self.consoles[name] = self.pages[name] = f"http://127.0.0.1:{console}"
        command = [sys.executable, "-m", "gateway.cli", "run", "--role", role, "--name", name, "--config", str(config)]
        self.servers[name] = Server(name, command, self.folder / f"{name}.log", page)

    def configuration(self, page: int, console: int) -> str:
        """gateway.toml of one process."""
        servers = ", ".join(f'"nats://127.0.0.1:{self.servers[name].port}"' for name in self.nats)
        patience = "\n".join(
            f'[policy.{severity}]\nacknowledge_s = {HALF_A_DAY_S}\nreply_s = {HALF_A_DAY_S}\nrepeat_s = {HALF_A_DAY_S}\norder = "{order}"'
            for severity, order in (("critical", "at_once"), ("major", "operator"), ("minor", "operator"))
        )
        lines = "\n".join(
            f'[[line]]\nname = "wearables-{edge}"\ncodec = "generic"\nbroker = "{self.broker.url}"\nedge = "{edge}"\nmandatory = true\n'
            f'[line.options]\ntopics = ["{edge}/wearables/+/event"]'
            for edge in self.edges
        )
        return f"""
[gateway]
district = "province"
data = "data"
[store]
url = "{self.postgres.url}"
[bus]
servers = [{servers}]
shards = {self.plan.shards}
max_mib = 128
replicas = {min(3, self.plan.servers)}
listen = "127.0.0.1:{page}"
[console]
accounts = false
listen = "127.0.0.1:{console}"
[log]
format = "json"
[dispatch.mqtt]
broker = "{self.broker.url}"
[self_test]
enabled = false
[desk]
chatter_over = 50
[policy]
idle_remind_s = {HALF_A_DAY_S}
idle_escalate_s = {HALF_A_DAY_S}
{patience}
{lines}
[[line]]
name = "station-replies"
codec = "station_reply"
broker = "{self.broker.url}"
edge = "e0"
"""

    def write_district(self, folder: Path) -> None:
        """A province in small: streets, a station in every second one, a wearable a person."""
        folder.mkdir(parents=True)
        (folder / "district.toml").write_text(
            'name = "province"\narea_code = "0931"\nlat = 36.36\nlon = 102.88\n\n[names]\nzh-CN = "省"\nen = "province"\n'
        )
        areas = ["province,province,district,,36.36,102.88"]
        areas += [f"street-{n},street {n},street,province,{36.30 + n / 100:.2f},102.88" for n in range(STREETS)]
        persons = [
            f"p-{n},某人,1940,street-{n % STREETS},home-{n},,{36.30 + n % STREETS / 100:.3f},{102.86 + n % 37 / 1000:.3f},,self_caring,general,,,"
            for n in range(self.plan.wearables)
        ]
        devices = [f"{self.plan.device(n)},wearables-e{n % self.plan.edges},p-{n},,,,,,invented" for n in range(self.plan.wearables)]
        responders = [
            "desk,desk,desk,,,,,,,100000,console,,,",
            "centre,centre,district_centre,desk,,36.36,102.88,,,100000,mqtt,,,40",
            *(f"station-{n},station {n},station,centre,,{36.30 + 2 * n / 100:.2f},102.87,,,100000,mqtt,,,15" for n in range(STATIONS)),
        ]
        tables = {
            "areas": ("id,name,kind,parent,lat,lon", areas),
            "contacts": ("person,name,relation,phone", []),
            "persons": ("id,name,born,area,home,address,lat,lon,phones,ability,categories,risks,health_note,confirmed_on", persons),
            "devices": ("id,line,person,home,area,place,lat,lon,model", devices),
            "responders": ("id,name,kind,parent,areas,lat,lon,skills,hours,capacity,channel,address,phone,speed_kmh", responders),
        }
        for name, (header, rows) in tables.items():
            (folder / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
