"""`gateway run --role console`: the house as a console sees it when the deciding is done elsewhere, by the cores that own the shards.

What is true is read from the shards' tables and followed by what they tell (gateway.mirror_shards); what people want is asked of the owner
(gateway.mirror_asking). It writes nothing itself, so there may be as many consoles as there are rooms.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from drivers.contract import Rejected, Verdict
from drivers.telephone import Exchange
from gateway import register_files
from gateway.accounts import Accounts
from gateway.app import STATIC, Entry, candidates, entry_of, follow
from gateway.beside import beside
from gateway.bus.contract import Bus, packed
from gateway.bus.shard_words import Noted, Notice, Told, told_of
from gateway.clock import monotonic, utc_now
from gateway.config import Config
from gateway.config.dispatch import DispatchConfig
from gateway.console.http import make_app
from gateway.console.seam import ProfileState
from gateway.console.server import Certificate, listen_address, serve
from gateway.console.sessions import Sessions
from gateway.core import platforms, requests
from gateway.core.absence import Wish
from gateway.core.account import NO_ROWS, AccessWrite, AccountSession
from gateway.core.command import Command
from gateway.core.incident import Action, Flag, Incident
from gateway.core.maintenance import MATTER as MAINTENANCE
from gateway.core.register import Register, Responder
from gateway.core.routing import Decision
from gateway.core.services import Services
from gateway.core.shards import CATCH_ALL, Shards
from gateway.core.standing import Ruling
from gateway.core.state import Call, WorkingSet, number_of
from gateway.core.territory import Standing
from gateway.dispatch.registry import build_channels
from gateway.dispatch.sms import Report, SmsChannel
from gateway.dispatch.text_answers import TextAnswers
from gateway.dispatch.text_callback import take_text
from gateway.ears import LINE as EARS_LINE
from gateway.ears import Ears
from gateway.edge import Edge, LineNews
from gateway.errors import ConfigError, GatewayError, Refused, StoreDown
from gateway.event import KINDS, Event, Kind, new_id
from gateway.far_exchange import FarExchange
from gateway.flood import Flood
from gateway.incident_clocks import ClockCollector, IncidentClocks
from gateway.metrics import Metrics
from gateway.mirror_archive import ArchiveOfShards
from gateway.mirror_asking import Asking
from gateway.mirror_corrections import FarCorrections
from gateway.mirror_lines import Lines
from gateway.mirror_model import Found, Model, lately, read
from gateway.mirror_peers import Peers
from gateway.mirror_self_test import FarSelfTest
from gateway.mirror_shards import Replica
from gateway.own_api import make_token
from gateway.pipeline import Changes
from gateway.responder_page.service import ResponderPage
from gateway.retention import Counts, Retention
from gateway.roads.keeper import Roads
from gateway.service_level import ServiceLevels, steps_of
from gateway.shard_once import until_done
from gateway.shard_purge import purge_all
from gateway.shared_corrections import Following
from gateway.store import corrections
from gateway.store.archive import Archive
from gateway.store.reports import ReportBooks
from gateway.store.store import Store, reason_of
from gateway.telephone import Telephone, dial_metrics
from gateway.upward.upwards import event_stream, without_core

log = structlog.get_logger("console")

T = TypeVar("T")

TICK_S = 1.0
ROOM_S = 2.0  # a flood is a matter of minutes, and nobody hearing one of seconds
READY_S = 10.0  # so long the page waits for shards that cannot be read; the one with the accounts it waits for as long as it takes
# What is ruled about these, every shard decides by; all else stands in the shard that keeps the accounts.
GENERAL = frozenset(("provider", "frozen", "blocked", "grade", "proposal", "lost", "saturated", "aid", "guest", "risk_seen"))
_NEWS = msgspec.msgpack.Decoder(list[LineNews])


class Mirror:
    """The house of consoles (gateway.console.seam.House)."""

    def __init__(self, config: Config, register: Register, name: str, bus: Bus) -> None:
        self.config = config
        self.name = name
        self.metrics = Metrics()
        registry = self.metrics.registry
        self.roads = Roads(lambda: (self.config, self.working.register), lambda travel: self.working.travel_by(travel))
        registry.register(self.roads)
        travel = self.roads.take(*self.roads.of(config, register))
        self.working = WorkingSet(register, config.policy, config.calls, config.hotline, config.routing, travel)
        self.working.services = Services(config.service)
        follow(self.working, config)
        self.working.supervise(config.device_class, {line.name: line.device_class for line in config.line}, config.supervision, utc_now())
        self.working.watch_over(config.watch, None, utc_now())
        self.shards = Shards(register, config.bus.shards, config.calls)
        self.model = Model(self.working, self.shards)
        self.accounts = Accounts()
        self.stores = [Store(config.store.url, config.data_folder, shard, writes=False) for shard in range(self.shards.count)]
        self.replicas = [Replica(shard, self, self._shard_changed) for shard in range(self.shards.count)]
        self.far_lines = Lines(config, utc_now(), lambda names: self._tell(Changes(lines=frozenset(names))))
        self._bus = bus
        self._asking = Asking(bus, self._reached)
        self._door = Edge(config, register, f"console-{name}", bus)  # for what nobody answers: without lines, but with the ways to the shards
        self._peers = Peers(name, bus, lambda: self._sessions, keeps_names=not config.console.accounts)
        self._sessions: Sessions | None = None
        self._sessions_kept: list[AccountSession] = []
        self._callbacks: list[Callable[[Changes], None]] = []
        self._aside: set[asyncio.Task[Any]] = set()
        self.clocks = IncidentClocks(config.profile)
        self.call_levels = ServiceLevels(config.calls.hotlines, config.hotline, config.profile)
        self.flood = Flood(lambda: self.working, self.note, registry)
        self.ears = Ears(config.console, lambda: self.accounts, lambda: self.working.register, self.receive)
        self.telephone = Telephone(config.telephone, next(iter(config.calls.hotlines), ""), self._exchange)
        self.retention: Retention = _FarRetention(self._asking, self.shards.count)
        self.self_test = FarSelfTest(config, self.working, bus, self.receive, self.note, registry)
        self.corrections = FarCorrections(
            self._asking,
            lambda: self.config.district_folder,
            lambda: self.config.channels,
            lambda: self.working.register,
            self._amend,
            self._use,
        )
        self._following = Following(bus, self.corrections)
        self.page = ResponderPage(self, config, registry) if config.responder_page.is_on else None
        texts = build_channels(DispatchConfig(sms=config.dispatch.sms), config.folder, language=lambda: self.config.gateway.language).get("sms")
        self._texts = texts if isinstance(texts, SmsChannel) else None
        self._text_answers = TextAnswers(
            lambda: self.working.register,
            lambda: self.working.incidents.values(),
            lambda address, text: self._keep(self._texts.say(address, text)) if self._texts is not None else None,
            channel="sms",
            language=lambda: self.config.gateway.language,
        )
        self.metrics.config_version(register.version)
        registry.register(ClockCollector(self.clocks))
        registry.register(_MirrorCollector(self))

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

    @property
    def lines(self) -> Mapping[str, Any]:
        return self.far_lines.by_name

    @property
    def standings(self) -> Mapping[str, Standing]:
        return self.working.standings

    def profiles(self, line: str) -> Sequence[ProfileState]:
        """As its edge told them last."""
        known = self.far_lines.by_name.get(line)
        return known.profiles if known is not None else ()

    def _exchange(self) -> Exchange | None:
        """The line that can dial, wherever it runs, while it is live."""
        name = self.config.telephone.line
        known = self.far_lines.by_name.get(name)
        return FarExchange(name, self._bus) if known is not None and known.is_live else None

    def now(self) -> datetime:
        """Aware UTC."""
        return utc_now()

    def candidates(self, incident: Incident) -> Decision:
        """What routing would do at this moment, by what this console knows of all shards."""
        return candidates(self.working, incident)

    @property
    def archive(self) -> Archive:
        """What was, of all shards."""
        return ArchiveOfShards([Archive(store.engine, store.journal) for store in self.stores], self.shards.of_incident)

    def sessions_kept(self) -> Sequence[AccountSession]:
        """The log-ins that are open, as the start has found them."""
        return self._sessions_kept

    def machinery(self) -> dict[str, object]:
        """As House.machinery, of all shards together."""
        rejected: dict[tuple[str, str], int] = {}
        queues: dict[str, int] = {}
        for replica in self.replicas:
            if replica.beat is not None and not replica.is_missing:
                for line, reason, count in replica.beat.rejected:
                    rejected[line, reason] = rejected.get((line, reason), 0) + count
                for name, count in replica.beat.queues.items():
                    queues[name] = queues.get(name, 0) + count
        rows = [{"line": line, "reason": reason, "count": count} for (line, reason), count in sorted(rejected.items())]
        return {"rejected": rows, "queues": queues}

    def shard_states(self) -> list[dict[str, object]]:
        """Each shard: {shard, owner or null, epoch, since, lag_s of its reading from the bus, as_of, mirror_lag_s}."""
        return [
            {
                "shard": one.shard,
                "owner": one.beat.core if one.beat is not None and not one.is_missing else None,
                "epoch": one.epoch,
                "since": one.beat.since if one.beat is not None and not one.is_missing else None,
                "lag_s": round(one.beat.lag_s, 3) if one.beat is not None and not one.is_missing else None,
                "as_of": one.as_of,
                "mirror_lag_s": round(one.lag_s, 3),
            }
            for one in self.replicas
        ]

    def watch(self, callback: Callable[[Changes], None]) -> None:
        """Call back in the loop after each change."""
        self._callbacks.append(callback)

    # --- what people want --------------------------------------------------------------------------------------------

    async def command(self, command: Command) -> Incident | None:
        """Asked of the incident's shard. Raises Refused, StoreDown."""
        shard = self.shards.of_incident(command.incident)
        person = self.register.persons.get(str(command.facts.get("person") or ""))
        into = command.facts.get("into")
        if command.action is Action.MERGE and isinstance(into, str) and number_of(into) and self.shards.of_incident(into) != shard:
            raise Refused("other_shard", 409)
        if command.action in (Action.IDENTIFY, Action.SPLIT) and person is not None and shard not in (CATCH_ALL, self.shards.of_person(person)):
            raise Refused("other_shard", 409)  # the shard of unknown callers knows everybody
        if command.key is None:
            command = msgspec.structs.replace(command, key=new_id())
        done: Incident | None = await self._asking.ask(shard, "command", command, Incident | None)
        return self.incidents.get(command.incident, done)

    async def absence(self, wish: Wish) -> None:
        """Asked of the person's shard. Raises Refused, StoreDown."""
        shard = self.shards.of_person(self.register.persons.get(wish.person))
        await self._asking.ask(shard, "absence", wish if wish.key is not None else msgspec.structs.replace(wish, key=new_id()), Any)

    async def rule(self, ruling: Ruling) -> Standing:
        """Asked of all shards that decide by it: all must be there, one must agree. Raises Refused, StoreDown."""
        if ruling.identity is None:
            ruling = msgspec.structs.replace(ruling, identity=new_id())
        asked = [self._asking.ask(shard, "rule", ruling, Standing) for shard in self._ruled_by(ruling)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for kind in (StoreDown, Standing, Refused):
            for answer in answers:
                if isinstance(answer, kind):
                    if isinstance(answer, Standing):
                        return answer
                    raise answer
        raise next(one for one in answers if isinstance(one, BaseException))

    def _ruled_by(self, ruling: Ruling) -> Sequence[int]:
        matter, _, subject = ruling.key.partition(":")
        if matter == MAINTENANCE:
            line, _, address = subject.partition("|")
            return (self.shards.of_device(self.register.device(line, address)),)
        return range(self.shards.count) if matter in GENERAL else (CATCH_ALL,)

    async def note(self, kind: Kind, actor: str, **facts: object) -> None:
        """Journalled where it belongs. Raises StoreDown."""
        incident, person = facts.get("incident"), self.register.persons.get(str(facts.get("person") or ""))
        shard = self.shards.of_incident(incident) if isinstance(incident, str) else self.shards.of_person(person)
        await self._asking.ask(shard, "note", Noted(kind.value, actor, msgspec.json.encode(facts), key=new_id()), Any)

    async def access(self, kind: Kind, actor: str | None, write: AccessWrite = NO_ROWS, **facts: object) -> None:
        """Accounts and sessions are of one shard, and every console follows it. Raises StoreDown."""
        await self._asking.ask(CATCH_ALL, "note", Noted(kind.value, actor, msgspec.json.encode(facts), write, new_id()), Any)
        self.accounts.take(write.accounts)

    async def receive(self, events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        """Asked of the shards that decide about them. If nobody answers they go the way of an edge's events: safe, and decided later."""
        verdicts: list[Verdict | None] = [None] * len(events)
        by_shard: dict[int, list[int]] = {}
        known = [_named(event) for event in events]
        for index, event in enumerate(known):
            by_shard.setdefault(self.shards.of_event(event) if isinstance(event, Event) else CATCH_ALL, []).append(index)
        for shard, mine in by_shard.items():
            some = [known[index] for index in mine]
            try:
                data = packed(f"console-{self.name}", utc_now().timestamp(), some)
                found: list[Verdict] = await self._asking.ask(shard, "receive", data, list[Verdict])
            except StoreDown:
                found = list(await self._door.receive(some))
            for index, verdict in zip(mine, found, strict=True):
                verdicts[index] = verdict
        return [verdict for verdict in verdicts if verdict is not None]

    async def short_message(self, headers: Mapping[str, str], content_type: str, body: bytes) -> tuple[int, str]:
        """What the SMS provider posts: an answer goes to the shard of its order; the core that sent a text is told its fate."""
        channel = self._texts

        async def report(said: Report) -> None:
            asked = [self._asking.ask(shard, "text_report", (said.id, said.failed), bool) for shard in range(self.shards.count)]
            await asyncio.gather(*asked)

        callback = channel.callback if channel is not None else None
        return await take_text(callback, self._text_answers, self.receive, report, headers, content_type, body, self.now())

    async def tell_stations(self, notice: str, text: str, responders: Sequence[Responder]) -> dict[str, int]:
        """By the channels of a core."""
        wanted = Notice(notice, text, tuple(one.id for one in responders))
        told: dict[str, int] = await until_done(self._asking, CATCH_ALL, "tell_stations", wanted, dict[str, int])
        return told

    # --- what was ----------------------------------------------------------------------------------------------------

    async def recall(self, incident_id: str) -> None:
        """See to it that a closed incident is among `incidents` for a while. Raises StoreDown."""
        if incident_id in self.incidents or not number_of(incident_id):
            return
        found = await self._looked_up(self.stores[self.shards.of_incident(incident_id)].incident, incident_id)
        if found is not None and incident_id not in self.incidents:
            self.model.adopt(found, utc_now())

    async def timeline(self, incident_id: str) -> Sequence[Entry]:
        """Journal entries of the incident, oldest first. Raises StoreDown."""
        rows = await self._looked_up(self.stores[self.shards.of_incident(incident_id)].timeline, incident_id)
        return [entry_of(row) for row in rows]

    async def incident_filed(self, platform: str, external: str) -> str | None:
        """The newest incident that this platform filed under this id, also a closed one. Raises StoreDown."""

        def find(name: str) -> str | None:
            books = [ReportBooks(store.engine) for store in self.stores]
            found = [one for book in books if (one := book.incident_of_identity(f"{platforms.LINE}|{name}:"))]
            found = found or [one for book in books if (one := book.incident_of_identity(f"{requests.LINE}|{name}"))]
            return max(found, key=number_of, default=None)

        return await self._looked_up(find, f"{platform}:{external}")

    async def upward(self) -> list[dict[str, object]]:
        """How far each destination of reports has been told, by every shard for itself. Raises StoreDown."""
        if not self.config.subscriber and not self.config.counterpart:
            return []
        told = await asyncio.gather(*(self._upward_of(shard) for shard in range(self.shards.count)))
        return [row | {"name": f"{row['name']} · {shard}", "shard": shard} for shard, rows in enumerate(told) for row in rows]

    async def _upward_of(self, shard: int) -> list[dict[str, object]]:
        """As its owner says; while it has none, as its tables do. Raises StoreDown."""
        if not self.replicas[shard].is_missing:
            try:
                rows: list[dict[str, object]] = await self._asking.ask(shard, "upward", b"", list[dict[str, object]])
                return rows
            except StoreDown:
                pass  # it has just lost its owner, or the database is away: then the tables say that
        return await self._looked_up(lambda _: without_core(self.config, ReportBooks(self.stores[shard].engine), self.now()), "")

    async def journal_feed(self, after: int, shard: int | None = None) -> tuple[bytes, int]:
        """Of one shard's journal, out of its table, whether it has an owner or not. Raises Refused, StoreDown."""
        shards = list(range(self.shards.count))
        if shard is None:  # one number cannot tell where eight journals stand
            raise Refused("missing_shard", 400, shards=shards)
        if shard not in shards:
            raise Refused("unknown_shard", 404, shards=shards)
        return await self._looked_up(lambda _: event_stream(ReportBooks(self.stores[shard].engine), after, shard), "")

    async def _looked_up(self, look: Callable[[str], T], name: str) -> T:
        try:
            return await asyncio.to_thread(look, name)
        except SQLAlchemyError as error:
            raise StoreDown("the database cannot be read at the moment; try again") from error

    # --- following the shards ----------------------------------------------------------------------------------------

    def read(self, shard: int) -> Found:
        """The tables of a shard. Blocks; raises SQLAlchemyError."""
        now = utc_now()
        before = self.replicas[shard].as_of  # the steps of calls up to then are counted already
        steps_since = before or now - timedelta(seconds=self.call_levels.longest_window_s)
        return read(self.stores[shard], shard, lately(now, self.clocks.longest_window_s), steps_since)

    def take(self, shard: int, found: Found) -> None:
        """A shard was read whole."""
        now = utc_now()
        changes = self.model.take(shard, found, now)
        for incident in (*found.closed, *found.incidents):
            self.clocks.see(incident, self.register, now)
        for step in steps_of(found.steps):
            self.call_levels.see(step, now)
        if shard == CATCH_ALL:
            self.accounts.take(found.accounts)
            self._sessions_kept = found.sessions
            if self._sessions is not None:
                self._sessions.follow(found.sessions, (), now)
                self._sessions.keep_only({one.id for one in found.sessions}, now - timedelta(seconds=READY_S))
        self._tell(changes)

    def apply(self, shard: int, told: Told) -> None:
        """A shard has told what is otherwise."""
        now = utc_now()
        changes = self.model.apply(shard, told, now)
        for step in steps_of(told.steps):
            self.call_levels.see(step, now)
        for write in told.access:
            self.accounts.take(write.accounts)
            if self._sessions is not None:
                self._sessions.follow(write.sessions, write.ended, now)
        self._tell(changes)

    def _tell(self, changes: Changes) -> None:
        now = utc_now()
        for name in changes.incidents:
            incident = self.incidents.get(name)
            if incident is not None:
                self.clocks.see(incident, self.register, now)
        for callback in self._callbacks:
            callback(changes)

    def _shard_changed(self, shard: int) -> None:
        replica = self.replicas[shard]
        self.far_lines.shard(shard, replica.as_of, is_missing=replica.is_missing)

    async def _reached(self, shard: int, epoch: int, number: int, timeout_s: float) -> None:
        await self.replicas[shard].reached(epoch, number, timeout_s)

    def _heard(self, subject: str, body: bytes) -> None:
        try:
            number = int(subject.rpartition(".")[2])
            told = told_of(body)
        except (ValueError, msgspec.MsgspecError) as error:
            log.warning("unreadable_news", subject=subject, reason=str(error))
            return
        if number < len(self.replicas):
            self.replicas[number].heard(told)

    def _heard_edge(self, subject: str, body: bytes) -> None:
        try:
            self.far_lines.heard(_NEWS.decode(body))
        except msgspec.MsgspecError as error:
            log.warning("unreadable_news", subject=subject, reason=str(error))

    def _heard_self_test(self, subject: str, body: bytes) -> None:
        try:
            self.self_test.heard(subject, body)
        except msgspec.MsgspecError as error:
            log.warning("unreadable_news", subject=subject, reason=str(error))

    # --- run ---------------------------------------------------------------------------------------------------------

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Until cancelled. Raises ConfigError when the port is taken."""
        ends = [
            await self._bus.listen("changes.*", self._heard),
            await self._bus.listen("news.*", self._heard_edge),
            await self._bus.listen("consoles.*", self._peers.heard),
            await self._bus.listen("self_test.*", self._heard_self_test),
        ]
        try:
            await self._lay_corrections()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._following.run(), name="corrections")
                for replica in self.replicas:
                    group.create_task(replica.run(), name=f"shard {replica.shard}")
                for lane in self._door.lanes:
                    group.create_task(lane.run(), name=f"lane {lane.shard}")
                group.create_task(beside("roads", self.roads.run), name="roads")
                await self.replicas[CATCH_ALL].is_read.wait()
                await _at_most(READY_S, [replica.is_read.wait() for replica in self.replicas])
                group.create_task(beside("tick", self._tick), name="tick")
                group.create_task(beside("room", self._speak_for_the_room), name="room")
                if self._texts is not None:
                    group.create_task(beside("texts", self._texts.run), name="texts")
                if self.page is not None:
                    group.create_task(beside("responder_page", self.page.run), name="responder_page")
                group.create_task(self._console(ready), name="console")
        finally:
            for end in ends:
                await end()
            for store in self.stores:
                store.close()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now = utc_now()
            self.model.tick(now)
            self.far_lines.look(now)
            for replica in self.replicas:
                replica.look()
            await self._peers.tell()

    async def _speak_for_the_room(self) -> None:
        """What one console says for all: is the desk flooded, does nobody hear?"""
        was_first = False
        while True:
            await asyncio.sleep(ROOM_S)
            is_first = self._peers.is_first
            if is_first and not was_first:
                mine = (one.line for one in self.working.open_incidents if one.line.partition(":")[0] == EARS_LINE and Flag.ENDED not in one.flags)
                self.ears.restore(mine)
            was_first = is_first
            if not is_first:
                continue
            try:
                await self.flood.tell(utc_now())
                if self.config.console.accounts and self.config.console.no_ears_s:
                    await self.ears.look(monotonic(), utc_now())
            except GatewayError as error:
                log.warning("not written down; trying again", reason=str(error))

    async def _console(self, ready: Callable[[], None]) -> None:
        console = self.config.console
        host, port = listen_address(console.listen, accounts=console.accounts)
        certificate = self.config.console_certificate
        tls = Certificate(certificate, self.config.folder / console.tls_key) if certificate is not None else None
        await asyncio.to_thread(self.config.data_folder.mkdir, parents=True, exist_ok=True)
        token = await asyncio.to_thread(make_token, self.config.data_folder)
        app = make_app(self, static_dir=STATIC, metrics_registry=self.metrics.registry, count_consoles=self.metrics.consoles.set, own_token=token)
        self._sessions = app.state.console.sessions
        log.info("ready", shards=len(self.replicas), persons=len(self.register.persons))
        try:
            await serve(app, host, port, tls, listens=ready)
        except ConfigError as error:
            raise ConfigError([f"{self.config.path}: {problem}" for problem in error.problems]) from error

    async def reload(self) -> None:
        """The files again. Raises ConfigError: the old ones stay in force."""
        async with self.corrections.lock:
            standing = self.corrections.standing
            config, overlaid = await asyncio.to_thread(register_files.reload_overlaid, self.config.path, self.config, standing)
            self.corrections.take(overlaid)
            await self._use(overlaid.register, config)

    async def _use(self, register: Register, config: Config | None = None) -> None:
        """A register that was read whole, and the configuration of now if none is given."""
        config = config or self.config
        found, travel = await asyncio.to_thread(self.roads.of, config, register)
        self.config = config
        self.working.routing, self.working.travel = config.routing, self.roads.take(found, travel)
        self.working.policy, self.working.call_rules = config.policy, config.calls
        follow(self.working, config)
        self.working.use(register, utc_now())
        self._belong(Shards(register, config.bus.shards, config.calls, self.shards))

    async def _amend(self, register: Register, persons: Sequence[str], devices: Sequence[tuple[str | None, str]]) -> None:
        """Somebody has corrected these."""
        self.working.amend(register, persons, devices, utc_now())
        self._belong(self.shards.amended(register, persons))

    def _belong(self, shards: Shards) -> None:
        self.shards = self.model.shards = self._door.shards = shards
        self.metrics.config_version(shards.register.version)
        self._tell(Changes(incidents=frozenset(self.incidents)))

    async def _lay_corrections(self) -> None:
        """What was corrected before the start: as long as the database does not say it, there is nothing to show."""
        while True:
            try:
                rows = await asyncio.to_thread(corrections.load, self.stores[CATCH_ALL].engine)
                break
            except SQLAlchemyError as error:
                log.warning("the database does not say what was corrected", reason=reason_of(error))
                await asyncio.sleep(TICK_S)
        async with self.corrections.lock:
            register = await asyncio.to_thread(self.corrections.lay, rows, self.working.register.version)
            if register is not None:
                await self._use(register)

    def _keep(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)


class _FarRetention(Retention):
    """Erasing is done by the owners of the shards."""

    def __init__(self, asking: Asking, shards: int) -> None:
        self._asking = asking
        self._shards = shards

    async def old(self, actor: str) -> Counts:
        return await purge_all(self._asking, self._shards, actor)

    async def person(self, person: str, register: Register, actor: str, reason: str) -> Counts:  # noqa: ARG002  owners have their own
        if not reason.strip():
            raise Refused("missing_reason", 400)
        return await purge_all(self._asking, self._shards, actor, person, reason)


class _MirrorCollector(Collector):
    """How well this console knows the shards."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror

    def collect(self) -> Iterator[Metric]:
        missing = GaugeMetricFamily("gateway_shard_missing", "1 while a shard has no core that this console hears", labels=["shard"])
        lag = GaugeMetricFamily("gateway_mirror_lag_seconds", "How old the latest change of a shard was when this console had it", labels=["shard"])
        reads = GaugeMetricFamily(
            "gateway_mirror_reads", "How often a shard was read whole, as a number was missing or its owner is new", labels=["shard"]
        )
        for one in self._mirror.replicas:
            name = [str(one.shard)]
            missing.add_metric(name, float(one.is_missing))
            lag.add_metric(name, one.lag_s)
            reads.add_metric(name, one.reads)
        yield from (missing, lag, reads, *dial_metrics(self._mirror.telephone))


def _named(event: Event | Rejected) -> Event | Rejected:
    """With an identity, so that it may be asked twice."""
    if isinstance(event, Event) and event.dedup is None and KINDS[event.kind].journalled:
        return msgspec.structs.replace(event, dedup=f"bus:{new_id()}")
    return event


async def _at_most(seconds: float, waiting: Sequence[Coroutine[Any, Any, object]]) -> None:
    try:
        async with asyncio.timeout(seconds):
            await asyncio.gather(*waiting)
    except TimeoutError:
        pass
