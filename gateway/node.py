"""One process of several machines: `gateway run --role edge · core · console`. Its bus, its signals, and a small page for Prometheus."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import msgspec
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from drivers.supervisor import begun
from gateway import register_files
from gateway.app import run_loop
from gateway.beside import beside
from gateway.bus.contract import BusDown
from gateway.bus.nats_bus import NatsBus
from gateway.config import Config
from gateway.console.server import listen_address, serve
from gateway.core.register import Register
from gateway.cores import Core, CoreCollector
from gateway.edge import Edge
from gateway.edge_past import read_past
from gateway.errors import ConfigError
from gateway.mirror import Mirror
from gateway.self_test.points import point_problems
from gateway.systemd import Notifier
from gateway.tidying import tidy

log = structlog.get_logger("node")

AGAIN_S = 1.0


def run(role: str, path: str, name: str) -> None:
    """One part of several machines, until SIGTERM or SIGINT. Raises ConfigError."""
    {"edge": run_edge, "core": run_core, "console": run_console}[role](path, name)


def run_edge(path: str, name: str) -> None:
    """`gateway run --role edge`: until SIGTERM or SIGINT; what was read has its receipt then. Raises ConfigError."""
    config, register = register_files.read_all(path)
    _check(config, register)
    if not any(line.edge == name for line in config.line):
        of = f"edge = {name!r}" if name else "no edge"
        raise ConfigError([f"{path}: there is no [[line]] with {of}: give lines to this edge, or correct --name"])

    async def main() -> None:
        bus = await _connected(config, f"edge {name}")
        edge = Edge(config, register, name, bus, await asyncio.to_thread(read_past, config, name))
        edge.metrics.registry.register(BusCollector(bus))

        async def begin() -> None:
            await begun(edge.lines.values())

        await _Node(config, edge.metrics.registry, lambda: edge.is_ready, edge.reload).run(edge.run, drains=True, until=begin)
        await bus.close()

    run_loop(main)


def run_core(path: str, name: str) -> None:
    """`gateway run --role core`: until SIGTERM or SIGINT; its shards are then given up in order. Raises ConfigError."""
    config, register = register_files.read_all(path)
    _check(config, register)
    name = name or _own_name()

    async def main() -> None:
        bus = await _connected(config, f"core {name}")
        core = Core(config, register, name, bus)
        registry = CollectorRegistry()
        registry.register(CoreCollector(core))
        registry.register(BusCollector(bus))

        await _Node(config, registry, lambda: core.is_well, core.reload).run(core.run, drains=True)
        await bus.close()

    run_loop(main)


def run_console(path: str, name: str) -> None:
    """`gateway run --role console`: until SIGTERM or SIGINT. Its page has the metrics, too. Raises ConfigError."""
    config, register = register_files.read_all(path)
    _check(config, register)
    name = name or _own_name()

    async def main() -> None:
        bus = await _connected(config, f"console {name}")
        mirror = Mirror(config, register, name, bus)
        mirror.metrics.registry.register(BusCollector(bus))
        alone = msgspec.structs.replace(config, bus=msgspec.structs.replace(config.bus, listen=""))
        listens = asyncio.Event()
        node = _Node(alone, mirror.metrics.registry, lambda: True, mirror.reload)
        await node.run(lambda _stop: mirror.run(listens.set), drains=False, until=listens.wait)
        await bus.close()

    run_loop(main)


def _own_name() -> str:
    """Of a process that was given none."""
    return f"{socket.gethostname().partition('.')[0]}-{os.getpid()}"


def _check(config: Config, register: Register) -> None:
    if problems := point_problems(config, register):
        raise ConfigError(problems)
    if not config.bus.servers:
        raise ConfigError([f"{config.path}: bus.servers: is missing, and this role hears of others by the bus alone: name the NATS servers"])


async def _connected(config: Config, who: str) -> NatsBus:
    """Waits for the servers: whatever starts first, the rest finds it."""
    is_told = False
    while True:
        bus = NatsBus(config.bus, config.folder, who)
        try:
            await bus.connect()
            await bus.see_to_streams()
            return bus
        except BusDown as down:
            await bus.close()
            if not is_told:
                log.warning("waiting for the bus", reason=str(down))
            is_told = True
            await asyncio.sleep(AGAIN_S)


class BusCollector(Collector):
    """What this process has gone through with its servers."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("gateway_bus_serves", "1 while a server of the bus serves this process the streams", float(self._bus.is_connected))
        left = "Servers of the bus that were left, as they answered and served no stream"
        yield CounterMetricFamily("gateway_bus_servers_left", left, self._bus.servers_left)
        made = "Streams of the bus that were gone, and that this process made anew"
        yield CounterMetricFamily("gateway_bus_streams_made", made, self._bus.streams_made)


async def _tell_ready(notifier: Notifier, listens: asyncio.Event, until: Callable[[], Awaitable[object]] | None) -> None:
    """Whoever waits for us finds a page that answers."""
    await listens.wait()
    if until is not None:
        await until()
    notifier.ready()
    log.info("ready")


class _Node:
    """Runs a part until a signal, beside a page with its metrics."""

    def __init__(self, config: Config, registry: CollectorRegistry, is_well: Callable[[], bool], reload: Callable[[], Awaitable[None]]) -> None:
        self._config = config
        self._registry = registry
        self._is_well = is_well
        self._reload = reload
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(
        self, part: Callable[[asyncio.Event], Coroutine[Any, Any, None]], *, drains: bool, until: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        """drains: the part ends by itself once it was told to stop; else it is cancelled. until: returns when it does what others wait for."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._begin_reload)
        notifier = Notifier()
        async with asyncio.TaskGroup() as group:
            working = group.create_task(part(stop))
            rest = [group.create_task(notifier.watch(lambda: True)), group.create_task(beside("tidying", tidy))]
            listens = asyncio.Event()
            if self._config.bus.listen:
                page = serve(self._page(), *listen_address(self._config.bus.listen), key="bus.listen", listens=listens.set)
                rest.append(group.create_task(page))
            else:
                listens.set()
            rest.append(group.create_task(_tell_ready(notifier, listens, until)))
            stopping = group.create_task(stop.wait())
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            notifier.stopping()
            if not drains:
                working.cancel()
            await asyncio.wait((working,))
            for task in (*rest, stopping):
                task.cancel()

    def _begin_reload(self) -> None:
        task = asyncio.get_running_loop().create_task(self._read_again())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read_again(self) -> None:
        try:
            await self._reload()
        except ConfigError as error:
            for problem in error.problems:
                log.error("configuration refused; the old one stays in force", problem=problem)
        else:
            log.info("configuration in force")

    def _page(self) -> Starlette:
        async def metrics(request: Request) -> Response:
            encode, media_type = choose_encoder(request.headers.get("accept", ""))
            try:
                return Response(encode(self._registry), media_type=media_type)
            except Exception:  # the server under us says it to nobody
                log.exception("metrics_bug")
                return PlainTextResponse("the log says why", 500)

        async def health(_: Request) -> Response:
            return PlainTextResponse("ok")

        async def ready(_: Request) -> Response:
            return PlainTextResponse("ready") if self._is_well() else PlainTextResponse("not ready", 503)

        return Starlette(routes=[Route("/metrics", metrics), Route("/healthz", health), Route("/readyz", ready)])
