"""How the parts are put together, started in order and stopped in order.

Start: store, working set, pipeline, channels, lines, console, then READY. Stop: lines (no new events), pipeline (what was handed
over is on disk), channels, store.
"""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from drivers.contract import Before, Emit, Line, Rejected, Surroundings, Verdict
from drivers.downlink import Downlink
from drivers.lines.measures import measures
from drivers.mqtt.mapping import profiles_of
from drivers.recent import RecentKeys
from drivers.registry import build_line, check_line, driver_for
from drivers.supervisor import LineStatus, begun, keep_running
from drivers.telephone import Exchange, ShortTexter, Texter
from gateway import register_files
from gateway.accounts import Accounts
from gateway.auditor import Auditor
from gateway.backup_age import BackupAge
from gateway.believed import Believed
from gateway.beside import beside
from gateway.clock import from_micros, monotonic, utc_now
from gateway.config import Config
from gateway.console.http import make_app
from gateway.console.seam import ProfileState
from gateway.console.server import Certificate, listen_address, serve
from gateway.core import platforms, requests
from gateway.core.absence import Wish
from gateway.core.account import NO_ROWS, AccessWrite, AccountSession
from gateway.core.command import Command
from gateway.core.incident import Flag, Incident, Role, State
from gateway.core.loop import NODES
from gateway.core.missed import watch_counts
from gateway.core.register import Register, Responder
from gateway.core.risk_edges import person_of
from gateway.core.routing import SHOWN, Decision, Router
from gateway.core.self_test import is_marked, never_pressed
from gateway.core.service_need import is_request, providers_for
from gateway.core.services import Services
from gateway.core.standing import Ruling
from gateway.core.state import Call, Draft, Shard, WorkingSet
from gateway.core.supervision import still_silent
from gateway.core.teams import around, asked_of, need_of
from gateway.core.territory import Standing
from gateway.correcting import Corrections
from gateway.dispatch import broadcast
from gateway.dispatch.contract import Channel, Order
from gateway.dispatch.hand_over import HandOvers
from gateway.dispatch.modem import ModemChannel
from gateway.dispatch.notices import Notices
from gateway.dispatch.registry import build_channels, check_channels
from gateway.dispatch.replies import read_reply, until_stored
from gateway.dispatch.sip import MEDIA_TYPE
from gateway.dispatch.sms import Report, SmsChannel
from gateway.dispatch.tellings import Tellings
from gateway.dispatch.text_answers import TextAnswers
from gateway.dispatch.text_callback import take_text
from gateway.ears import LINE as EARS_LINE
from gateway.ears import Ears
from gateway.errors import ConfigError, GatewayError, GaveWay, Refused, StoreDown
from gateway.event import Event, Kind, Phase, Severity
from gateway.flood import Flood
from gateway.incident_clocks import ClockCollector, IncidentClocks
from gateway.machine import MachineCollector
from gateway.metrics import Metrics
from gateway.own_api import make_token
from gateway.pipeline import Changes, Pipeline
from gateway.provider_metrics import ServiceCollector
from gateway.ranking import Ranker
from gateway.responder_page.service import ResponderPage
from gateway.retention import Retention
from gateway.risks import Risks
from gateway.roads.keeper import Roads
from gateway.saturation import Saturation
from gateway.self_test.points import marks_of
from gateway.self_test.points import point_problems as self_test_problems
from gateway.self_test.self_test import SelfTest
from gateway.service_level import ServiceLevels, steps_of
from gateway.spare_guard import SpareGuard
from gateway.store import accounts, corrections, routing_data
from gateway.store.archive import Archive
from gateway.store.chain import Row
from gateway.store.store import Store, reason_of
from gateway.store.takeovers import takeovers
from gateway.systemd import Notifier
from gateway.telephone import Telephone, dial_metrics
from gateway.tidying import tidy
from gateway.tracing import Tracing
from gateway.upward.upwards import Upwards

log = structlog.get_logger("gateway")

STATIC = Path(__file__).parent / "console" / "static"
SWITCH_S = 0.0005  # loop and writer thread take turns: with Python's 5 ms a commit that has ended waits up to 5 ms to say so
# Incidents stay for hours, so Python's own thresholds (700, 10, 10) walk all of them again and again: pauses of 20 ms under load.
GARBAGE = (20_000, 20, 50)
# A device that repeats a press does so for minutes (the longest is ESPA's repeat_within_s, 600 s if not said otherwise); a call may stay open longer.
BEFORE = timedelta(hours=1)
HANGING_S = 20.0  # no turn of the pipeline for so long: the watchdog is not fed any more, systemd starts us again


class Entry(msgspec.Struct, frozen=True):
    """One journal entry as the console shows it."""

    seq: int
    at: datetime
    kind: str
    phase: str
    actor: str | None
    facts: Mapping[str, object]


@dataclass(frozen=True)
class Part:
    """How much of the gateway a House is: all of it, or one shard of several (gateway.cores), whose lines run on edges.

    narrow: what of a register concerns it; downlink: the way to tell the devices of a line something; corrections: of the process, whose
    register they are laid over before a shard has its part of it; channels: those whose lines run on edges.
    """

    shard: Shard = Shard()
    is_alone: bool = True
    narrow: Callable[[Register], Register] = lambda register: register
    downlink: Callable[[str], Downlink | None] = lambda _line: None
    corrections: Corrections | None = None
    channels: Mapping[str, Channel] = field(default_factory=dict)


class House:
    """The running gateway: what the console sees (gateway.console.seam.House) and what `run` keeps going."""

    def __init__(self, config: Config, register: Register, part: Part | None = None) -> None:
        self.part = part = part or Part()
        problems = [fault for line in config.line for fault in check_line(line)] + check_channels(config.dispatch, config.folder)
        if problems:
            raise ConfigError([f"{config.path}: {problem}" for problem in problems])
        if problems := self_test_problems(config, register):
            raise ConfigError(problems)
        self.config = config
        self.metrics = Metrics()
        self.store = Store(config.store.url, config.data_folder, None if part.is_alone else part.shard.number, part.shard.count)
        self.roads = Roads(lambda: (self.config, self.working.register), lambda travel: self.working.travel_by(travel))
        travel = self.roads.take(*self.roads.of(config, register))
        self.working = WorkingSet(register, config.policy, config.calls, config.hotline, config.routing, travel)
        self.working.shard = part.shard
        self.metrics.registry.register(self.roads)
        self.telephone = Telephone(config.telephone, next(iter(config.calls.hotlines), ""), self._exchange)
        self.channels: dict[str, Channel] = build_channels(
            config.dispatch,
            config.folder,
            self._answered,
            lambda: self.telephone,
            self._texter,
            short_texter=self._short_texter,
            language=lambda: self.config.gateway.language,
            undelivered=self._undelivered,
            area=self._area_of,
        ) | dict(part.channels)
        self.pipeline = Pipeline(self.store, self.working, self.metrics, self.channels)
        self.pipeline.holds = not part.is_alone
        self.lines = {
            line.name: LineStatus(line.name, line.codec, line.mandatory, since=utc_now(), on_change=self._line_changed)
            for line in config.line
            if part.is_alone
        }
        self.built: dict[str, Line] = {}
        self.believed = Believed(config.data_folder, self.built)
        self._stopped_at: datetime | None = None
        self._before: dict[str, list[Before]] = {}  # what devices of each line said before the start, until the line has taken it up
        self._callbacks: list[Callable[[Changes], None]] = []
        self._text_answers: dict[str, TextAnswers] = {
            channel: self._answers_over(channel) for channel in ("sip", "sms", "modem") if channel in self.channels
        }
        self._aside: set[asyncio.Task[Any]] = set()
        self.is_ready = asyncio.Event()
        self.tracing = Tracing(config.tracing, config.folder, self.metrics.registry) if config.tracing.endpoint else None
        self.pipeline.tracing = self.pipeline.outbox.tracing = self.tracing
        self.pipeline.watch(self._tell)
        self.metrics.registry.register(_IncidentCollector(self))
        self.metrics.registry.register(MachineCollector(lambda: self.config))
        self.metrics.config_version(register.version)
        self.metrics.registry.register(BackupAge(config.data_folder))
        self.accounts = Accounts()
        self._sessions_kept: Sequence[AccountSession] = ()
        self.hand_overs = HandOvers(config.hotline, config.folder, self.pipeline, lambda: self.working.register, self.metrics)
        self.pipeline.hand_overs = self.hand_overs
        self.upwards = Upwards(config, self.store.engine, self.pipeline.reported, lambda: self.store.last_seq, shard=self.store.ownership.shard)
        self.pipeline.watch(self.upwards.changed)
        self.metrics.registry.register(self.upwards.collector())
        self.pipeline.notices = Notices(
            self.channels, self.pipeline, lambda: self.working.register, self.metrics, lambda: self.config.gateway.language
        )
        follow(self.working, config)
        self.pipeline.tellings = Tellings(self._downlink, self.pipeline, self.metrics, lambda: self.config.gateway.language)
        self.retention = Retention(self.store, config.retention, self.pipeline.note, self._forget_person, self.pipeline.unsee)
        self.page = ResponderPage(self, config, self.metrics.registry) if config.responder_page.is_on else None
        if self.page is not None:
            self.pipeline.outbox.links = self.page.link
        self.working.tell_lines = frozenset(line.name for line in config.line if driver_for(line.codec).tells)
        self.clocks = IncidentClocks(config.profile)
        self.metrics.registry.register(ClockCollector(self.clocks))
        self.working.services = Services(config.service)
        self.ranker = Ranker(self.store.engine, config.providers, lambda: self.working.register, lambda: self.working.standings, self.pipeline.rule)
        self.metrics.registry.register(ServiceCollector(self.working, config.providers))
        self.corrections = part.corrections or Corrections(
            lambda: self.config.district_folder,
            lambda: self.config.channels,
            lambda: self.working.register,
            self.pipeline.corrected,
            self._amend,
            self.take,
        )
        self.auditor = Auditor(config.heartbeat, self.working, self.pipeline, self.lines, config.data_folder, self.metrics.registry)
        self.working.test_devices = marks_of(config)
        self.self_test = SelfTest(
            config,
            self.working,
            self.lines,
            lambda: self.channels,
            self.pipeline.receive,
            self.pipeline.note,
            self.metrics.registry,
            is_test=self._is_test,
        )
        self.auditor.missed = self.self_test.withholding
        self.spare_guard = SpareGuard(config, self.pipeline.receive, self.pipeline.note, self.metrics.registry)
        self.store.taken_over = self.spare_guard.counted
        self.flood = Flood(lambda: self.working, self.pipeline.note, self.metrics.registry)
        self.risks = Risks(
            self.store.engine, lambda: self.working, lambda: self.config, self.lines, self.metrics, self.pipeline.rule, self.metrics.registry
        )
        self.pipeline.watch(self.risks.changed)
        self.ears = Ears(config.console, lambda: self.accounts, lambda: self.working.register, self.pipeline.receive)
        self.call_levels = levels = ServiceLevels(config.calls.hotlines, config.hotline, config.profile)
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

    def profiles(self, line: str) -> Sequence[ProfileState]:
        """The mapping profiles of a line; none of one that has no such thing."""
        return profiles_of(self.built.get(line), monotonic())

    def now(self) -> datetime:
        """Aware UTC."""
        return utc_now()

    def candidates(self, incident: Incident) -> Decision:
        """What routing would do at this moment; responders already asked are named as such."""
        return candidates(self.working, incident)

    async def command(self, command: Command) -> Incident | None:
        """Do it; answers when it is on disk. Raises Refused, StoreDown."""
        return await self.pipeline.command(command)

    async def absence(self, wish: Wish) -> None:
        """Announce that a watched person is away, or back; answers when it is on disk. Raises Refused, StoreDown."""
        await self.pipeline.absence(wish)

    async def rule(self, ruling: Ruling) -> Standing:
        """Decide about something that is no incident (gateway.core.standing); answers when it is on disk. Raises Refused, StoreDown."""
        return await self.pipeline.rule(ruling)

    @property
    def standings(self) -> Mapping[str, Standing]:
        """What is ruled at present, by "<matter>:<subject>"."""
        return self.working.standings

    async def incident_filed(self, platform: str, external: str) -> str | None:
        """The newest incident that this platform filed under this id, also a closed one. Raises StoreDown."""
        find, name = self.upwards.books.incident_of_identity, f"{platform}:{external}"
        try:
            found = await asyncio.to_thread(find, f"{platforms.LINE}|{name}:")
            return found or await asyncio.to_thread(find, f"{requests.LINE}|{name}")
        except SQLAlchemyError as error:
            raise StoreDown("the journal cannot be read at the moment; try again") from error

    async def upward(self) -> list[dict[str, object]]:
        """How far each destination of reports has been told. Raises StoreDown."""
        try:
            return await self.upwards.view()
        except SQLAlchemyError as error:
            raise StoreDown("the books of reporting cannot be read at the moment; try again") from error

    async def journal_feed(self, after: int, shard: int | None = None) -> tuple[bytes, int]:
        """Lines of JSON about what came after an entry of the journal, and the entry from which to go on. Raises Refused, StoreDown."""
        if shard:  # 0 is the one that there is
            raise Refused("unknown_shard", 404, shards=[0])
        try:
            return await self.upwards.event_stream(after)
        except SQLAlchemyError as error:
            raise StoreDown("the journal cannot be read at the moment; try again") from error

    async def recall(self, incident_id: str) -> None:
        """See to it that a closed incident is among `incidents`, if there is one of this id. Raises StoreDown."""
        await self.pipeline.recall(incident_id)

    async def note(self, kind: Kind, actor: str, **facts: object) -> None:
        """Journal what concerns no incident, such as coming on duty."""
        await self.pipeline.note(kind, actor, **facts)

    async def access(self, kind: Kind, actor: str | None, write: AccessWrite = NO_ROWS, **facts: object) -> None:
        """Journal what was done with accounts and sessions and write their rows, in one transaction; `accounts` follows. Raises StoreDown."""
        await self.pipeline.access(kind, actor, facts, write)
        self.accounts.take(write.accounts)

    def sessions_kept(self) -> Sequence[AccountSession]:
        """Sessions that outlived the restart."""
        return self._sessions_kept

    @property
    def archive(self) -> Archive:
        """What was: to be read in a thread."""
        return Archive(self.store.engine, self.store.journal)

    async def timeline(self, incident_id: str) -> Sequence[Entry]:
        """Journal entries of the incident, oldest first."""
        try:
            return [entry_of(row) for row in await asyncio.to_thread(self.store.timeline, incident_id)]
        except SQLAlchemyError as error:
            raise StoreDown("the journal cannot be read at the moment; try again") from error

    def machinery(self) -> dict[str, object]:
        """rejected: [{line, reason, count}] since the start; queues: name → how much waits to leave or to be written."""
        books = self.metrics.all_books
        rejected = [{"line": one.line, "reason": reason, "count": count} for one in books for reason, count in sorted(one.rejected.items())]
        pipeline = self.pipeline
        beside = {"hand_overs": pipeline.hand_overs, "tellings": pipeline.tellings, "notices": pipeline.notices}
        queues = {"orders": pipeline.outbox.under_way, "waiting": pipeline.waiting} | {
            name: part.under_way for name, part in beside.items() if part is not None
        }
        return {"rejected": rejected, "queues": queues}

    def shard_states(self) -> list[dict[str, object]]:
        """One process has no shards to show."""
        return []

    async def tell_stations(self, notice: str, text: str, responders: Sequence[Responder]) -> dict[str, int]:
        """A notice to stations by their own channels: told, failed, silent."""
        return await broadcast.tell(self.channels, notice, text, responders)

    def watch(self, callback: Callable[[Changes], None]) -> None:
        """Call back in the loop after each commit, and when a line changes."""
        self._callbacks.append(callback)

    def receive(self, events: Sequence[Event | Rejected]) -> Awaitable[Sequence[Verdict]]:
        """Give events to the pipeline, as a line does."""
        return self.pipeline.receive(events)

    # --- run ---------------------------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Open the store and rebuild the working set. Raises StoreBroken: the house does not start on a broken journal."""
        self.config.data_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.store.open()
        if self.part.corrections is None:
            self._lay_corrections()
        self._keep_routing_data(self.working.router, self.working.register)
        self.accounts.take(accounts.accounts(self.store.engine))
        self._sessions_kept = accounts.sessions(self.store.engine)
        found = self.store.load()
        self.working.restore(found.incidents, found.calls, found.known, found.seen, found.standings)
        self.working.next_number = self.part.shard.next_number(found.next_number)
        self.working.opened, self.working.closed = found.opened, found.closed
        self._stopped_at = self.retention.stopped_at = found.last_at
        self._before = self._told_before()
        now, levels = utc_now(), self.metrics.calls.levels
        self.working.supervise(self.config.device_class, {line.name: line.device_class for line in self.config.line}, self.config.supervision, now)
        heard_at = [found.last_at, *(seen.at for _, seen in found.seen)]  # somebody speaks every few minutes: then we still listened
        alive_until = max((at for at in heard_at if at is not None and at <= now), default=None)
        self.store.checkpoint(self.working.watch_over(self.config.watch, alive_until, now))
        self.ears.restore(one.line for one in self.working.open_incidents if one.line.partition(":")[0] == EARS_LINE and Flag.ENDED not in one.flags)
        unpressed = never_pressed(self.working.seen, self.working.test_devices, now)
        self.store.checkpoint(unpressed)
        self.working.seen.update(unpressed)
        self.self_test.restore(self.working.open_incidents)
        draft = Draft(self.working)
        still_silent(draft, self.working.open_incidents)
        draft.settle()
        for step in steps_of(self.store.call_steps(now - timedelta(seconds=levels.longest_window_s))):
            levels.see(step, now)
        for incident in (*self.store.closed_since(now - timedelta(seconds=self.clocks.longest_window_s)), *self.working.open_incidents):
            self.clocks.see(incident, self.register, now)
        self.spare_guard.takeovers = takeovers(self.store.engine)
        self.believed.load()
        self.store.restored()

    def _lay_corrections(self) -> None:
        """What people corrected before the start comes into force with it."""
        register = self.corrections.lay(corrections.load(self.store.engine), self.working.register.version)
        if register is not None:
            self.working.travel = self.roads.take(*self.roads.of(self.config, register))
            self.working.use(register)
            self.metrics.config_version(register.version)

    def _told_before(self) -> dict[str, list[Before]]:
        """What devices said shortly before we were started, by line. What is of later than now is left out: the clock was set back."""
        found: dict[str, list[Before]] = {}
        now, at = utc_now(), monotonic()
        for event in self.store.told(now - BEFORE):
            if event.received_at <= now:
                found.setdefault(event.line, []).append(Before(at - (now - event.received_at).total_seconds(), event))
        return found

    async def run(self, stop: asyncio.Event) -> None:
        """Restore, run until `stop`, stop in order. An exception from pipeline or console ends the house."""
        began = monotonic()
        notifier = Notifier() if self.part.is_alone else None
        try:
            await asyncio.to_thread(self.restore)
            gc.collect()
            gc.set_threshold(*GARBAGE)
            gc.freeze()  # register and working set live for ever: the collector need not walk them (up to 80 ms with 100,000 persons)
            async with asyncio.TaskGroup() as house:
                core = house.create_task(self.pipeline.run(), name="core")
                self.pipeline.resume()
                await self.pipeline.note(
                    Kind.STARTED, register=self.register.version, district=self.register.district, takeovers=self.spare_guard.takeovers
                )
                await self._tell_gaps()
                aside: dict[str, Callable[[], Awaitable[None]]] = {f"channel {name}": channel.run for name, channel in self.channels.items()}
                aside |= {"hand_overs": self.hand_overs.run, "upwards": self.upwards.run, "retention": self.retention.run, "roads": self.roads.run}
                aside["saturation"] = Saturation(self.working, self.config.aid, self.rule).run
                aside |= {"ranking": self.ranker.run, "auditor": self.auditor.run}
                # Of several, edges test their lines; what was told of points that are no more is ended by the shard that has it.
                aside["self_test"] = self.self_test.run if self.part.is_alone else self.self_test.end_gone
                aside["risks"] = self.risks.run
                if self.part.is_alone:
                    aside |= {"believed": self.believed.run, "tidying": tidy}
                    aside["spare"] = partial(self.spare_guard.run, stop)
                    aside["flood"] = self.flood.run  # of several machines the consoles see it, who see all shards
                if self.config.console.enabled:
                    aside["ears"] = self.ears.run
                if self.tracing is not None:
                    aside["tracing"] = self.tracing.run
                if self.page is not None and self.part.is_alone:  # of several, consoles serve it; a core only makes the links
                    aside["responder_page"] = partial(self._responder_page, self.page)
                rest = [house.create_task(beside(name, run), name=name) for name, run in aside.items()]
                lines = [
                    house.create_task(self._line(index), name=line.name) for index, line in enumerate(self.config.line) if line.name in self.lines
                ]
                rest += lines
                listens = asyncio.Event()
                if self.config.console.enabled:
                    rest.append(house.create_task(self._console(listens.set), name="console"))
                else:
                    listens.set()
                if notifier is not None:
                    rest.append(house.create_task(notifier.watch(self._is_well), name="watchdog"))
                rest.append(began_all := house.create_task(self._begun(listens), name="begin"))
                await _first(stop.wait(), core, began_all)
                if began_all.done():
                    mine = {} if self.part.is_alone else {"shard": self.part.shard.number}
                    log.info("ready", **mine, took_s=round(monotonic() - began, 2), lines=len(lines), persons=len(self.register.persons))
                    if notifier is not None:
                        notifier.ready(f"{len(lines)} lines, {len(self.register.persons)} persons")
                    self.is_ready.set()
                    await _first(stop.wait(), core)
                self.is_ready.clear()
                if notifier is not None:
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
            self.is_ready.clear()
            try:
                await self.pipeline.close()
            finally:
                self.store.close()

    async def _begun(self, listens: asyncio.Event) -> None:
        """Whoever was told that we are ready finds a page that answers, and lines that can be dialled."""
        await listens.wait()
        await begun(self.lines.values())

    async def _tell_gaps(self) -> None:
        """We were away: what a line without a memory of its own sent meanwhile is lost, and the journal says from when to when."""
        now = utc_now()
        for name, status in self.lines.items():
            incident = Draft(self.working).incident_of_key(f"line:{name}")
            if incident is not None and incident.is_open and Flag.ENDED not in incident.flags:
                status.lost_since = incident.last_event_at
        known = {line.name for line in self.config.line}  # wherever they run
        ended = [call for call in self.working.calls.values() if call.line not in known]
        facts: dict[str, object] = {"inferred": True, "reason": "line_removed"}
        await self.pipeline.receive(
            [Event(kind=Kind.CALL_ENDED, line=c.line, received_at=now, occurred_at=now, detail={**c.detail, **facts}) for c in ended]
        )
        if self._stopped_at is not None:
            detail: dict[str, object] = {"from": self._stopped_at.isoformat(), "to": now.isoformat(), "reason": "gateway_down"}
            gaps = [Event(kind=Kind.GAP, phase=Phase.STATE, line=name, received_at=now, occurred_at=now, detail=detail) for name in self.lines]
            await self.pipeline.receive(gaps)

    def _forget_person(self, person: str) -> None:
        """They were erased."""
        self.corrections.forget_person(person)
        self._forget_closed()

    def _forget_closed(self) -> None:
        """Somebody was erased: what memory keeps of closed incidents may be theirs."""
        self.risks.forget()
        for name in [one.id for one in self.working.incidents.values() if not one.is_open]:
            self.working.forget(name)
        persons = self.register.persons
        for key, one in list(self.working.standings.items()):
            matter, _, subject = key.partition(":")
            warned = person_of(key)
            if (
                (warned and warned not in persons)
                or (matter == "family_link" and subject.partition(":")[0] not in persons)
                or (matter == platforms.PERSON and one.value not in persons)
            ):
                del self.working.standings[key]

    def reload(self) -> None:
        """SIGHUP: read everything again, in a thread, as a large register takes seconds."""
        self._keep(self._reload())

    async def _reload(self) -> None:
        """Registers, calls and policy anew. A bad file leaves the old configuration in force and says so in a metric."""
        async with self.corrections.lock:
            standing = self.corrections.standing
            try:
                config, overlaid = await asyncio.to_thread(register_files.reload_overlaid, self.config.path, self.config, standing)
            except ConfigError as error:
                self.metrics.config_reload.labels("failed").inc()
                for problem in error.problems:
                    log.error("configuration refused; the old one stays in force", problem=problem)
                return
            self.corrections.take(overlaid)
            await self.take(overlaid.register, config)
        self.metrics.config_reload.labels("ok").inc()
        log.info("configuration in force", register=overlaid.register.version, waiting_for_restart=list(config.waiting))

    async def take(self, register: Register, config: Config | None = None) -> None:
        """A register that was read whole, and the configuration of now if none is given."""
        config, register = config or self.config, await asyncio.to_thread(self.part.narrow, register)  # of a province, seconds
        await asyncio.to_thread(self._keep_routing_data, Router(register, config.routing), register)  # before the first decision by it
        found, travel = await asyncio.to_thread(self.roads.of, config, register)
        self.metrics.config_version(register.version)
        self.config = config
        self.working.routing, self.working.travel = config.routing, self.roads.take(found, travel)
        self.working.policy, self.working.call_rules = config.policy, config.calls
        follow(self.working, config)
        self.pipeline.use(register)

    async def _is_test(self, line: str, device: str) -> bool:
        return is_marked(self.working.test_devices, self.working.register, line, device)

    async def _amend(self, register: Register, persons: Sequence[str], devices: Sequence[tuple[str | None, str]]) -> None:
        self.pipeline.amend(register, persons, devices)

    def _keep_routing_data(self, router: Router, register: Register) -> None:
        """So that decisions can be made again later. Without it help is sent all the same."""
        try:
            routing_data.keep(self.store.engine, router, register, utc_now())
        except SQLAlchemyError as error:
            log.error("routing data not kept: decisions by it cannot be replayed", register=register.version, error=reason_of(error))

    async def _line(self, index: int) -> None:
        config = self.config.line[index]
        name = config.name
        live = [call.detail for call in self.working.calls.values() if call.line == name]
        recent = RecentKeys()
        recent.restore(known.removeprefix(f"{name}|") for known in self.working.known if known.startswith(f"{name}|"))
        before = self._before.pop(name, ())
        place = Surroundings(line=name, recent=recent, before=before, knows=lambda address: self.register.device(name, address) is not None)
        line = self.built[name] = build_line(config, self.config.calls, live, place)
        self.believed.given(name, line)
        await keep_running(line, self.self_test.around(name, self._emit_of(name)), self.lines[name])

    def _emit_of(self, name: str) -> Emit:
        """Where a line's events go: straight into the pipeline, or past the one who knows texts that are answers to orders."""
        dispatch = self.config.dispatch
        for channel, way in (("sip", dispatch.sip), ("modem", dispatch.modem)):
            if way is not None and way.line == name:
                answers = self._text_answers[channel]
                return lambda events: answers.receive(events, self.pipeline.receive)
        return self.pipeline.receive

    def _answers_over(self, channel: str) -> TextAnswers:
        """Reads the texts of one channel for answers."""
        return TextAnswers(
            lambda: self.working.register,
            lambda: self.working.incidents.values(),
            lambda address, text: self._say(channel, address, text),
            channel=channel,
            language=lambda: "zh-CN" if channel == "sip" else self.config.gateway.language,
        )

    def _exchange(self) -> Exchange | None:
        """The line that can dial, while it is live."""
        name = self.config.telephone.line
        line = self.built.get(name)
        return line if isinstance(line, Exchange) and self.lines[name].is_live else None

    def _downlink(self, name: str) -> Downlink | None:
        """The line that tells its devices, while it is live."""
        if not self.part.is_alone:
            return self.part.downlink(name)
        line = self.built.get(name)
        return line if isinstance(line, Downlink) and self.lines[name].is_live else None

    def _texter(self) -> Texter | None:
        line = self.built.get(self.config.dispatch.sip.line) if self.config.dispatch.sip is not None else None
        return line if isinstance(line, Texter) else None

    def _short_texter(self) -> ShortTexter | None:
        modem = self.config.dispatch.modem
        line = self.built.get(modem.line) if modem is not None else None
        return line if isinstance(line, ShortTexter) else None

    def _area_of(self, order: Order) -> str:
        """The name of the area of an order's incident."""
        incident = self.working.incidents.get(order.incident)
        area = self.working.register.areas.get(incident.area) if incident is not None and incident.area else None
        return area.name if area is not None else ""

    def _undelivered(self, order: Order, reason: str) -> None:
        """An order that was taken does not arrive: its leg has failed, as if it had been refused at once."""
        self.pipeline.delivered((order.delivery, order.repeat, "order"), reason)

    async def short_message(self, headers: Mapping[str, str], content_type: str, body: bytes) -> tuple[int, str]:
        """What the SMS provider posts: (status, what it wants to read)."""
        channel = self.channels.get("sms")
        callback = channel.callback if isinstance(channel, SmsChannel) else None

        async def report(said: Report) -> None:
            self.text_report(said.id, failed=said.failed)

        return await take_text(callback, self._text_answers.get("sms"), self.pipeline.receive, report, headers, content_type, body, self.now())

    def text_report(self, name: str, *, failed: bool) -> bool:
        """What became of one of our short messages, by the provider's id; False: it is none of ours."""
        channel = self.channels.get("sms")
        return isinstance(channel, SmsChannel) and channel.report(name, failed=failed)

    def _say(self, channel: str, address: str, text: str) -> None:
        """A short text to a responder; whether it arrives decides nothing."""
        way = self.channels.get(channel)
        if isinstance(way, SmsChannel | ModemChannel):
            self._keep(way.say(address, text))
            return
        texter = self._texter()
        if texter is not None:
            self._keep(texter.send_text(address, text.encode(), MEDIA_TYPE))

    async def _console(self, listens: Callable[[], None]) -> None:
        console = self.config.console
        host, port = listen_address(console.listen, accounts=console.accounts)
        certificate = self.config.console_certificate
        tls = Certificate(certificate, self.config.folder / console.tls_key) if certificate is not None else None
        token = await asyncio.to_thread(make_token, self.config.data_folder)
        app = make_app(
            self,
            static_dir=STATIC,
            metrics_registry=self.metrics.registry,
            count_consoles=self.metrics.consoles.set,
            own_token=token,
            standing=self.spare_guard.answer,
        )
        try:
            await serve(app, host, port, tls, listens=listens)
        except ConfigError as error:  # the port is taken: serve knows the key, we know the file
            raise ConfigError([f"{self.config.path}: {problem}" for problem in error.problems]) from error

    async def _responder_page(self, page: ResponderPage) -> None:
        try:
            await page.run()
        except ConfigError as error:  # the port is taken: the page knows the key, we know the file
            raise ConfigError([f"{self.config.path}: {problem}" for problem in error.problems]) from error

    def _is_well(self) -> bool:
        if self.config.heartbeat.systemd and self.auditor.is_late and not self.pipeline.is_store_down:
            return False
        return monotonic() - self.pipeline.beat < HANGING_S or self.pipeline.is_store_down

    def _line_changed(self, status: LineStatus) -> None:
        self.metrics.books(status.name).state = status.state.value
        self._tell(Changes(lines=frozenset((status.name,))))

    def _tell(self, changes: Changes) -> None:
        now = utc_now()
        for name in changes.incidents:
            incident = self.working.incidents.get(name)
            if incident is not None:
                self.clocks.see(incident, self.register, now)
        for callback in self._callbacks:
            callback(changes)

    def _answered(self, responder: str, body: bytes) -> None:
        """A web station answered in the body of its 2xx, or somebody pressed a key: the same as a message on its reply topic."""
        self._keep(until_stored(self.pipeline.receive, read_reply(responder, body, utc_now())))

    def _keep(self, work: Coroutine[Any, Any, object]) -> None:
        """Do it beside everything else."""
        task = asyncio.get_running_loop().create_task(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)


def candidates(working: WorkingSet, incident: Incident) -> Decision:
    """What routing would do at this moment; responders already asked are named as such."""
    draft, now = Draft(working), utc_now()
    if is_request(incident):
        return providers_for(draft, incident, now, {leg.responder for leg in incident.legs}, SHOWN)
    need = need_of(draft, incident, Role.SOCIAL, now, asked_of(incident, Role.SOCIAL))
    return working.router.choose(need, around(draft, now), SHOWN)


def follow(working: WorkingSet, config: Config) -> None:
    """What decisions take from the configuration, at the start and at each reload."""
    working.teams, working.visiting_km, working.plans = config.team, config.visiting.km, config.plan
    working.chains, working.desk, working.shelving = config.chains, config.desk, config.shelving


class _IncidentCollector(Collector):
    """Counts incidents when somebody scrapes (invariant 2: opened = open + closed)."""

    def __init__(self, house: House) -> None:
        self._house = house

    def collect(self) -> Any:
        working = self._house.working
        counts = dict.fromkeys(State, 0)
        requests = dict.fromkeys(State, 0)  # are counted by themselves: an alarm that waits must not be hidden among them (gateway_requests)
        now = utc_now()
        chattering = 0
        waits_since = pending_since = now  # of the alarm that nobody has taken, of the order that no channel has taken
        for incident in working.incidents.values():
            counts[incident.state] += 1
            if incident.service:
                requests[incident.state] += 1
                continue
            chattering += Flag.CHATTERING in incident.flags
            if incident.state is State.RAISED and incident.severity.rank <= Severity.MAJOR.rank and Flag.MAINTENANCE not in incident.flags:
                waits_since = min(waits_since, incident.opened_at)
            pending_since = min(pending_since, *(leg.ordered_at for leg in incident.legs if leg.pending == "order"), now)
        family = GaugeMetricFamily("gateway_incidents", "Incidents not closed, without ordinary service requests, by state", labels=["state"])
        for state in (State.RAISED, State.ACKNOWLEDGED, State.RESOLVED):
            family.add_metric([state.value], counts[state] - requests[state])
        yield family
        opened = sum(counts.values()) - counts[State.CLOSED]
        yield _gauge("gateway_incidents_unaccounted", "Opened less open and closed: always 0", working.opened - opened - working.closed)
        yield _gauge("gateway_incidents_chattering", "Incidents whose device cries on and on: cries are counted, and ring together", chattering)
        longest_waiting = (now - waits_since).total_seconds()
        text = "How long the critical or major alarm that waits longest has waited for a person"
        yield _gauge("gateway_incident_longest_waiting_seconds", text, longest_waiting)
        yield _gauge("gateway_orders_pending", "Orders that no channel has confirmed yet", self._house.pipeline.outbox.under_way)
        oldest_order = (now - pending_since).total_seconds()
        yield _gauge("gateway_orders_oldest_pending_seconds", "How long the oldest order that no channel took has waited", oldest_order)
        ears = GaugeMetricFamily("gateway_ears", "Consoles on duty with their sound running, by area that must have one", labels=["area"])
        for area, count in self._house.ears.heard().items():
            ears.add_metric([area or "all"], count)
        yield ears
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
        working = self._house.working
        devices = GaugeMetricFamily("gateway_devices", "Supervised devices, by class and state", labels=["class", "state"])
        for name, condition, count in working.supervision.counts(working.silent):
            devices.add_metric([name, condition], count)
        yield devices
        longest = working.supervision.longest(working.silent, utc_now())
        yield _gauge("gateway_device_longest_overdue_seconds", "How long the device that is overdue longest has been", longest)
        watched = GaugeMetricFamily("gateway_watch_persons", "Persons whose signs of life are watched, by state", labels=["state"])
        for state_of, count in watch_counts(working).items():
            watched.add_metric([state_of], count)
        steps = CounterMetricFamily("gateway_watch_steps", "Steps after missed check-ins, by what came of them", labels=["step", "result"])
        for (step, result), count in working.watch.counts.items():
            steps.add_metric([step, result], count)
        missed = CounterMetricFamily("gateway_watch_missed", "Missed check-ins", value=working.watch.missed)
        yield from (watched, steps, missed)
        yield _gauge("gateway_strangers", "Addresses heard that are on no register, the latest", len(working.unregistered()))
        nodes = CounterMetricFamily("gateway_loop_nodes_missed", "Key nodes of the closed loop that passed in vain, by reason", labels=["reason"])
        for node in NODES.values():
            nodes.add_metric([node.reason], working.nodes[node.reason])
        yield nodes
        yield from dial_metrics(self._house.telephone)
        yield from (restarts, *families.values())


def _waiting(call: Call) -> tuple[str, str, datetime | None]:
    """Line, hotline, and since when it waits for a person (None: it does not)."""
    return call.line, str(call.detail.get("hotline") or ""), call.at if call.state in (Kind.CALL_OFFERED, Kind.CALL_RINGING) else None


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def entry_of(row: Row) -> Entry:
    """A row of the journal as the console shows it."""
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
    """Run on uvloop, with Twisted's reactor on the same loop. Must come before anything imports twisted.internet.reactor.

    Of a group of errors that are all ours (a part could not start, such as the console whose port is taken) the first is raised.
    """
    import uvloop
    from twisted.internet import asyncioreactor

    sys.setswitchinterval(SWITCH_S)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    asyncioreactor.install(loop)  # type: ignore[no-untyped-call]
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(main())
    except ExceptionGroup as group:
        ours, others = group.split(GatewayError)
        if ours is None or others is not None:
            raise
        raise first_of(ours) from None


def first_of(error: BaseException) -> BaseException:
    """The first error of a group, however deep."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


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
        if house.spare_guard.gave_way:
            raise GaveWay(house.spare_guard.gave_way)

    run_loop(main)
