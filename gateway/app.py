"""How the parts are put together, started in order and stopped in order.

Start: store, working set, pipeline, channels, lines, console, then READY. Stop: lines (no new events), pipeline (what was handed
over is on disk), channels, store.
"""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from drivers.contract import Emit, Line, Rejected, Verdict, to_event
from drivers.lines.measures import measures
from drivers.mqtt.station_reply import TOPICS, StationReply
from drivers.registry import build_line, check_line
from drivers.supervisor import LineStatus, keep_running
from drivers.telephone import Exchange, Texter
from gateway import register_files
from gateway.clock import from_micros, monotonic, utc_now
from gateway.config import Config
from gateway.console.http import make_app
from gateway.console.server import listen_address, serve
from gateway.core.command import Command
from gateway.core.incident import Flag, Incident, State
from gateway.core.register import Register
from gateway.core.routing import SHOWN, Decision
from gateway.core.state import Call, Draft, WorkingSet
from gateway.dispatch.contract import Channel
from gateway.dispatch.hand_over import HandOvers
from gateway.dispatch.registry import build_channels, check_channels
from gateway.dispatch.sip import MEDIA_TYPE
from gateway.dispatch.text_answers import TextAnswers
from gateway.errors import ConfigError, GatewayError, StoreDown
from gateway.event import Event, Kind, Phase
from gateway.metrics import Metrics
from gateway.pipeline import Changes, Pipeline
from gateway.service_level import ServiceLevels, steps_of
from gateway.store.chain import Row
from gateway.store.store import Store
from gateway.systemd import Notifier
from gateway.telephone import Telephone

log = structlog.get_logger("gateway")

STATIC = Path(__file__).parent / "console" / "static"
SWITCH_S = 0.0005  # loop and writer thread take turns: with Python's 5 ms a commit that has ended waits up to 5 ms to say so
# Incidents stay for hours, so Python's own thresholds (700, 10, 10) walk all of them again and again: pauses of 20 ms under load.
GARBAGE = (20_000, 20, 50)
HANGING_S = 20.0  # no turn of the pipeline for so long: the watchdog is not fed any more, systemd starts us again


class Entry(msgspec.Struct, frozen=True):
    """One journal entry as the console shows it."""

    seq: int
    at: datetime
    kind: str
    phase: str
    actor: str | None
    facts: Mapping[str, object]


class House:
    """The running gateway: what the console sees (gateway.console.seam.House) and what `run` keeps going."""

    def __init__(self, config: Config, register: Register) -> None:
        problems = [fault for line in config.line for fault in check_line(line)] + check_channels(config.dispatch, config.folder)
        if problems:
            raise ConfigError([f"{config.path}: {problem}" for problem in problems])
        self.config = config
        self.metrics = Metrics()
        self.store = Store(config.store.url, config.data_folder)
        self.working = WorkingSet(register, config.policy, config.calls, config.hotline)
        self.telephone = Telephone(config.telephone, next(iter(config.calls.hotlines), ""), self._exchange)
        self.channels: dict[str, Channel] = build_channels(config.dispatch, config.folder, self._answered, lambda: self.telephone, self._texter)
        self.pipeline = Pipeline(self.store, self.working, self.metrics, self.channels)
        self.lines = {
            line.name: LineStatus(line.name, line.codec, line.mandatory, since=utc_now(), on_change=self._line_changed) for line in config.line
        }
        self.built: dict[str, Line] = {}
        self._stopped_at: datetime | None = None
        self._callbacks: list[Callable[[Changes], None]] = []
        self._web_replies = StationReply(TOPICS)
        self._text_answers = TextAnswers(lambda: self.working.register, lambda: self.working.incidents.values(), self._say)
        self._aside: set[asyncio.Task[Any]] = set()
        self.pipeline.watch(self._tell)
        self.metrics.registry.register(_IncidentCollector(self))
        self.metrics.config_version(register.version)
        self.hand_overs = HandOvers(config.hotline, config.folder, self.pipeline, lambda: self.working.register, self.metrics)
        self.pipeline.hand_overs = self.hand_overs
        levels = ServiceLevels(config.calls.hotlines, config.hotline, config.profile)
        self.metrics.calls.measure(levels, lambda: map(_waiting, self.working.calls.values()))

    # --- what the console sees ---------------------------------------------------------------------------------------

    @property
    def incidents(self) -> Mapping[str, Incident]:
        return self.working.incidents

    @property
    def calls(self) -> Mapping[str, Call]:
        return self.working.calls

    @property
    def register(self) -> Register:
        return self.working.register

    def now(self) -> datetime:
        """Aware UTC."""
        return utc_now()

    def candidates(self, incident: Incident) -> Decision:
        """What routing would do at this moment; responders already asked are named as such."""
        asked = {leg.responder for leg in incident.legs}
        load = Draft(self.working).load
        return self.working.router.nearest(incident.kind, incident.position, incident.area, utc_now(), load, asked, SHOWN)

    async def command(self, command: Command) -> Incident | None:
        """Do it; answers when it is on disk. Raises Refused, StoreDown."""
        return await self.pipeline.command(command)

    async def recall(self, incident_id: str) -> None:
        """See to it that a closed incident is among `incidents`, if there is one of this id. Raises StoreDown."""
        await self.pipeline.recall(incident_id)

    async def note(self, kind: Kind, actor: str, **facts: object) -> None:
        """Journal what concerns no incident, such as coming on duty."""
        await self.pipeline.note(kind, actor, **facts)

    async def timeline(self, incident_id: str) -> Sequence[Entry]:
        """Journal entries of the incident, oldest first."""
        try:
            return [_entry(row) for row in await asyncio.to_thread(self.store.timeline, incident_id)]
        except SQLAlchemyError as error:
            raise StoreDown("the journal cannot be read at the moment; try again") from error

    def watch(self, callback: Callable[[Changes], None]) -> None:
        """Call back in the loop after each commit, and when a line changes."""
        self._callbacks.append(callback)

    def receive(self, events: Sequence[Event | Rejected]) -> Awaitable[Sequence[Verdict]]:
        """Give events to the pipeline, as a line does."""
        return self.pipeline.receive(events)

    # --- run ---------------------------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Open the store and rebuild the working set. Raises StoreBroken: the house does not start on a broken journal."""
        self.store.open()
        found = self.store.load()
        self.working.restore(found.incidents, found.calls, found.known, found.seen)
        self.working.next_number = found.next_number
        self.working.opened, self.working.closed = found.opened, found.closed
        self._stopped_at = found.last_at
        now, levels = utc_now(), self.metrics.calls.levels
        for step in steps_of(self.store.call_steps(now - timedelta(seconds=levels.longest_window_s))):
            levels.see(step, now)

    async def run(self, stop: asyncio.Event) -> None:
        """Restore, run until `stop`, stop in order. An exception from pipeline or console ends the house."""
        began = monotonic()
        await asyncio.to_thread(self.restore)
        gc.collect()
        gc.set_threshold(*GARBAGE)
        gc.freeze()  # register and working set live for ever: the collector need not walk them (up to 80 ms with 100,000 persons)
        notifier = Notifier()
        try:
            async with asyncio.TaskGroup() as house:
                core = house.create_task(self.pipeline.run(), name="core")
                self.pipeline.resume()
                await self.pipeline.note(Kind.STARTED, register=self.register.version, district=self.register.district)
                await self._tell_gaps()
                ways = [house.create_task(channel.run(), name=f"channel {name}") for name, channel in self.channels.items()]
                ways.append(house.create_task(self.hand_overs.run(), name="hand_overs"))
                lines = [house.create_task(self._line(index), name=line.name) for index, line in enumerate(self.config.line)]
                rest = ways + lines
                if self.config.console.enabled:
                    rest.append(house.create_task(self._console(), name="console"))
                rest.append(house.create_task(notifier.watch(self._is_well), name="watchdog"))
                log.info("ready", took_s=round(monotonic() - began, 2), lines=len(lines), persons=len(self.register.persons))
                notifier.ready(f"{len(lines)} lines, {len(self.register.persons)} persons")
                await _first(stop.wait(), core)
                notifier.stopping()
                await _finish(lines)  # 1. no new events
                self.pipeline.finish()
                try:
                    async with asyncio.timeout(self.config.gateway.drain_s):
                        await core  # 2. what was handed over is on disk
                except TimeoutError:  # caught in here: out of the group it would come as a group
                    log.warning("stopped before everything was handled; the devices repeat it", drain_s=self.config.gateway.drain_s)
                await _finish(rest)
        finally:
            await self.pipeline.close()
            self.store.close()

    async def _tell_gaps(self) -> None:
        """We were away: what a line without a memory of its own sent meanwhile is lost, and the journal says from when to when."""
        now = utc_now()
        for name, status in self.lines.items():
            incident = Draft(self.working).incident_of_key(f"line:{name}")
            if incident is not None and incident.is_open and Flag.ENDED not in incident.flags:
                status.lost_since = incident.last_event_at
        ended = [call for call in self.working.calls.values() if call.line not in self.lines]
        facts: dict[str, object] = {"inferred": True, "reason": "line_removed"}
        await self.pipeline.receive(
            [Event(kind=Kind.CALL_ENDED, line=c.line, received_at=now, occurred_at=now, detail={**c.detail, **facts}) for c in ended]
        )
        if self._stopped_at is not None:
            detail: dict[str, object] = {"from": self._stopped_at.isoformat(), "to": now.isoformat(), "reason": "gateway_down"}
            gaps = [Event(kind=Kind.GAP, phase=Phase.STATE, line=name, received_at=now, occurred_at=now, detail=detail) for name in self.lines]
            await self.pipeline.receive(gaps)

    def reload(self) -> None:
        """SIGHUP: read everything again, in a thread, as a large register takes seconds."""
        self._keep(self._reload())

    async def _reload(self) -> None:
        """Registers, calls and policy anew. A bad file leaves the old configuration in force and says so in a metric."""
        try:
            config, register = await asyncio.to_thread(register_files.reload, self.config.path, self.config)
        except ConfigError as error:
            self.metrics.config_reload.labels("failed").inc()
            for problem in error.problems:
                log.error("configuration refused; the old one stays in force", problem=problem)
            return
        self.metrics.config_version(register.version)
        self.config = config
        self.working.policy, self.working.call_rules = config.policy, config.calls
        self.pipeline.use(register)
        self.metrics.config_reload.labels("ok").inc()
        log.info("configuration in force", register=register.version, waiting_for_restart=list(config.waiting))

    async def _line(self, index: int) -> None:
        config = self.config.line[index]
        live = [call.detail for call in self.working.calls.values() if call.line == config.name]
        line = self.built[config.name] = build_line(config, self.config.calls, live)
        await keep_running(line, self._emit_of(config.name), self.lines[config.name])

    def _emit_of(self, name: str) -> Emit:
        """Where a line's events go: straight into the pipeline, or past the one who knows texts that are answers to orders."""
        if self.config.dispatch.sip is None or self.config.dispatch.sip.line != name:
            return self.pipeline.receive
        return lambda events: self._text_answers.receive(events, self.pipeline.receive)

    def _exchange(self) -> Exchange | None:
        """The line that can dial, while it is live."""
        name = self.config.telephone.line
        line = self.built.get(name)
        return line if isinstance(line, Exchange) and self.lines[name].is_live else None

    def _texter(self) -> Texter | None:
        line = self.built.get(self.config.dispatch.sip.line) if self.config.dispatch.sip is not None else None
        return line if isinstance(line, Texter) else None

    def _say(self, address: str, text: str) -> None:
        """A short text to a responder; whether it arrives decides nothing."""
        texter = self._texter()
        if texter is not None:
            self._keep(texter.send_text(address, text.encode(), MEDIA_TYPE))

    async def _console(self) -> None:
        host, port = listen_address(self.config.console.listen)
        app = make_app(self, static_dir=STATIC, metrics_registry=self.metrics.registry, count_consoles=self.metrics.consoles.set)
        try:
            await serve(app, host, port)
        except ConfigError as error:  # the port is taken: serve knows the key, we know the file
            raise ConfigError([f"{self.config.path}: {problem}" for problem in error.problems]) from error

    def _is_well(self) -> bool:
        return monotonic() - self.pipeline.beat < HANGING_S or self.pipeline.is_store_down

    def _line_changed(self, status: LineStatus) -> None:
        self.metrics.books(status.name).state = status.state.value
        self._tell(Changes(lines=frozenset((status.name,))))

    def _tell(self, changes: Changes) -> None:
        for callback in self._callbacks:
            callback(changes)

    def _answered(self, responder: str, body: bytes) -> None:
        """A web station answered in the body of its 2xx, or somebody pressed a key: the same as a message on its reply topic."""
        now = utc_now()
        signals = self._web_replies.receive_message(f"stations/{responder}/reply", body, False, False, monotonic(), now)
        self._keep(_until_stored(self.pipeline, [_to_incoming(signal, now) for signal in signals]))

    def _keep(self, work: Coroutine[Any, Any, object]) -> None:
        """Do it beside everything else."""
        task = asyncio.get_running_loop().create_task(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)


def _to_incoming(signal: Any, now: datetime) -> Event | Rejected:
    """What the pipeline takes for one signal of such an answer."""
    if isinstance(signal, Rejected):
        return msgspec.structs.replace(signal, line="replies")
    return to_event(signal, "replies", now)


async def _until_stored(pipeline: Pipeline, events: list[Event | Rejected]) -> None:
    verdicts = await pipeline.receive(events)
    while any(verdict.retry for verdict in verdicts):  # the store is down: hold the answer until it is not
        await asyncio.sleep(1)
        verdicts = await pipeline.receive(events)


class _IncidentCollector(Collector):
    """Counts incidents when somebody scrapes (invariant 2: opened = open + closed)."""

    def __init__(self, house: House) -> None:
        self._house = house

    def collect(self) -> Any:
        working = self._house.working
        counts = dict.fromkeys(State, 0)
        for incident in working.incidents.values():
            counts[incident.state] += 1
        family = GaugeMetricFamily("gateway_incidents", "Incidents not closed, by state", labels=["state"])
        for state in (State.RAISED, State.ACKNOWLEDGED, State.RESOLVED):
            family.add_metric([state.value], counts[state])
        yield family
        opened = sum(counts.values()) - counts[State.CLOSED]
        yield _gauge("gateway_incidents_unaccounted", "Opened less open and closed: always 0", working.opened - opened - working.closed)
        yield _gauge("gateway_orders_pending", "Orders that no channel has confirmed yet", self._house.pipeline.outbox.under_way)
        restarts = CounterMetricFamily("gateway_line_restarts", "How often a line was started again", labels=["line"])
        for name, status in self._house.lines.items():
            restarts.add_metric([name], status.restarts)
        families: dict[str, Any] = {}
        for line_name, line in self._house.built.items():
            for measure in measures(line):
                name = f"gateway_line_{measure.name}"
                if name not in families:
                    family_of = CounterMetricFamily if measure.is_counter else GaugeMetricFamily
                    families[name] = family_of(name, measure.text, labels=["line", *measure.labels])
                families[name].add_metric([line_name, *measure.labels.values()], measure.value)
        dials = CounterMetricFamily("gateway_dials", "What was asked of the telephone exchange, by what became of it", labels=["what", "outcome"])
        for (what, outcome), count in self._house.telephone.counts.items():
            dials.add_metric([what, outcome], count)
        yield _gauge("gateway_dials_running", "Calls of ours under way", self._house.telephone.running)
        yield from (restarts, dials, *families.values())


def _waiting(call: Call) -> tuple[str, str, datetime | None]:
    """Line, hotline, and since when it waits for a person (None: it does not)."""
    return call.line, str(call.detail.get("hotline") or ""), call.at if call.state in (Kind.CALL_OFFERED, Kind.CALL_RINGING) else None


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _entry(row: Row) -> Entry:
    return Entry(row.seq, from_micros(row.at), row.kind, row.phase, row.actor, msgspec.json.decode(row.facts, type=dict[str, Any]))


async def _first(*waiting: Awaitable[object]) -> None:
    tasks = [asyncio.ensure_future(one) for one in waiting]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


async def _finish(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel and wait; what they raise while ending is the task group's to tell."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def run_loop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run on uvloop, with Twisted's reactor on the same loop. Must come before anything imports twisted.internet.reactor."""
    import uvloop
    from twisted.internet import asyncioreactor

    sys.setswitchinterval(SWITCH_S)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    asyncioreactor.install(loop)  # type: ignore[no-untyped-call]
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())


def run(config_path: str) -> None:
    """`gateway run`: until SIGTERM or SIGINT; SIGHUP reloads. Raises ConfigError, StoreBroken."""
    config, register = register_files.read_all(config_path)

    async def main() -> None:
        house = House(config, register)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, house.reload)
        await house.run(stop)

    try:
        run_loop(main)
    except ExceptionGroup as group:
        ours, others = group.split(GatewayError)  # ours: a part could not start, such as the console whose port is taken
        if ours is None or others is not None:
            raise
        raise ours.exceptions[0] from None
