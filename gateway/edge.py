"""`gateway run --role edge`: owns lines, hands what they hear to the shards over the bus, and says "received" when the bus has it safe.

A lane a shard: what waits leaves as one message, the next leaves when that is kept. So the order of what a person's devices said is kept over
every fault, and load makes messages larger, not more. A message is tried with the same identity until it is kept; meanwhile the devices hear
nothing, and beyond LANE_LIMIT "busy". The edge has no state but its lines.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import structlog

from drivers.contract import STORED, Before, Leaver, Line, Rejected, Surroundings, Verdict
from drivers.downlink import Downlink, Tell
from drivers.mqtt.mapping import profiles_of
from drivers.recent import RecentKeys
from drivers.registry import build_line
from drivers.supervisor import LineStatus, keep_running
from drivers.telephone import Exchange
from gateway import far_orders, register_files
from gateway.beside import beside
from gateway.bus.contract import GROUP_LIMIT, LARGEST, Bus, BusDown, Handler, packed
from gateway.bus.together import end
from gateway.clock import monotonic, utc_now
from gateway.config import Config
from gateway.core.corrections import Correction, CorrectionWrite
from gateway.core.register import Register
from gateway.core.shards import CATCH_ALL, Shards
from gateway.core.state import Record, Seen
from gateway.correcting import Corrections
from gateway.edge_watch import EdgeWatch, word_of
from gateway.errors import Refused
from gateway.event import KINDS, Event, Kind, Phase, new_id
from gateway.far_exchange import carrying_out, subject_of
from gateway.far_orders import LineOrderCollector, LineOrders
from gateway.inbox import Submission
from gateway.metrics import Books, Metrics
from gateway.shared_corrections import Following

log = structlog.get_logger("edge")

LANE_LIMIT = 20_000  # events waiting for one shard: four seconds of the fastest storm; beyond it devices hear "busy"
AGAIN_S = 0.1
LONGEST_AGAIN_S = 2.0
CERTAIN_RAW = 4096  # bytes kept of what cannot leave whole
BUSY = Verdict("refused", "busy", retry=True)
ALIVE_FILE = "edge-{name}.alive"  # its time of change tells after a start since when nobody listened
ALIVE_S = 5.0
MARKS_S = (5.0, 30.0, 120.0)  # after the last message of a lane, so that one that is missed is missed soon: gateway.bus.heard
NEWS_S = 1.0  # how often the state of the lines is told to the consoles


class _Waiting:
    """One event of a submission."""

    __slots__ = ("books", "event", "index", "submission")

    def __init__(self, event: Event | Rejected, submission: Submission, index: int, books: Books) -> None:
        self.event = event
        self.submission = submission
        self.index = index
        self.books = books


class Lane:
    """What goes to one shard, in order, one message at a time."""

    def __init__(self, shard: int, name: str, bus: Bus) -> None:
        self.shard = shard
        self.is_stuck = False
        self._name = name
        self._bus = bus
        self._life, self._number = new_id(), 0
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Events not yet kept."""
        return len(self._waiting)

    def put(self, waiting: _Waiting) -> bool:
        """False: there is no room."""
        if len(self._waiting) >= LANE_LIMIT:
            return False
        self._waiting.append(waiting)
        self._wake.set()
        return True

    async def run(self) -> None:
        """Until cancelled; what is under way may or may not be kept then, and no receipt has left for it."""
        while True:
            await self._until_waiting()
            self._number += 1
            group, data = self._next()
            await self._keep(new_id(), data)
            for _ in group:
                self._waiting.popleft()
            oldest: dict[str, _Waiting] = {}
            for one in group:
                one.books.accept()
                oldest.setdefault(one.books.line, one)
                one.submission.settle(one.index, STORED)
            now = monotonic()
            for one in oldest.values():
                one.books.accept_seconds.observe(now - one.submission.received)

    async def _until_waiting(self) -> None:
        """Somebody is; until then the end of what was said is said again a few times, as one of its messages may be missing where it is read."""
        for pause in (*(MARKS_S if self._number else ()), None):
            self._wake.clear()
            if self._waiting:
                return
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                self._number += 1
                await self._keep(new_id(), packed(self._name, utc_now().timestamp(), [], self._life, self._number))

    def _next(self) -> tuple[list[_Waiting], bytes]:
        """What leaves next: as many as one message takes. One that cannot leave as it is goes as what is certain of it; it must not stop the rest."""
        count = min(GROUP_LIMIT, len(self._waiting))
        while True:
            group = [self._waiting[at] for at in range(count)]
            try:
                data = packed(self._name, utc_now().timestamp(), [one.event for one in group], self._life, self._number)
            except (UnicodeError, TypeError, ValueError, OverflowError) as error:
                log.error("cannot be written down", shard=self.shard, count=count, reason=type(error).__name__)
            else:
                if len(data) <= LARGEST:
                    return group, data
            if count == 1:
                group[0].event = _certain(group[0].event)
            count = max(1, count // 2)

    async def _keep(self, identity: str, data: bytes) -> None:
        pause = AGAIN_S
        while True:
            try:
                await self._bus.keep(self.shard, identity, data)
            except BusDown as down:
                if not self.is_stuck:
                    log.error("the bus keeps nothing; receipts are held back until it does", shard=self.shard, reason=str(down))
                self.is_stuck = True
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_AGAIN_S)
            else:
                if self.is_stuck:
                    log.info("the bus keeps again", shard=self.shard)
                self.is_stuck = False
                return


def _certain(event: Event | Rejected) -> Event | Rejected:
    """What is left of an event that is too large for the bus, or that cannot be written down: who, what, when, and the begin of its bytes."""
    raw = event.raw[:CERTAIN_RAW]
    if isinstance(event, Rejected):
        return Rejected(reason=event.reason, raw=raw, line=event.line)
    device = event.device if event.device is not None and event.device.isprintable() else None
    dedup = event.dedup if event.dedup is not None and event.dedup.isprintable() else None
    return Event(
        kind=event.kind,
        phase=event.phase,
        line=event.line,
        device=device,
        dedup=dedup,
        received_at=event.received_at,
        occurred_at=event.occurred_at,
        late=event.late,
        detail={"reason": "unstorable"},
        raw=raw,
    )


class ProfileNews(msgspec.Struct, frozen=True, array_like=True):
    """A profile of a mapping line (gateway.console.seam.ProfileState)."""

    name: str
    state: str
    fault: str = ""


class LineNews(msgspec.Struct, frozen=True, array_like=True):
    """How a line is, as an edge tells it to the consoles."""

    line: str
    edge: str
    state: str
    reason: str
    since: datetime | None
    last_heard: datetime | None
    restarts: int
    profiles: tuple[ProfileNews, ...] = ()


class Edge:
    """The lines of one edge, and their way to the shards."""

    def __init__(self, config: Config, register: Register, name: str, bus: Bus, past: "Past | None" = None) -> None:
        self.config = config
        self.name = name
        self.metrics = Metrics()
        self.shards = Shards(register, config.bus.shards, config.calls)
        self.lines = {
            line.name: LineStatus(line.name, line.codec, line.mandatory, since=utc_now(), on_change=self._line_changed)
            for line in config.line
            if line.edge == name
        }
        self.built: dict[str, Line] = {}
        self.lanes = [Lane(shard, name, bus) for shard in range(config.bus.shards)]
        self._bus = bus
        self._past = past or Past()
        self.corrections = Corrections(
            lambda: self.config.district_folder, lambda: self.config.channels, lambda: self.shards.register, _unwritten, self._amend, self._use
        )
        self._following = Following(bus, self.corrections)
        self._is_news = asyncio.Event()
        self._answers: set[asyncio.Future[list[Verdict]]] = set()  # owed to the lines
        self.watch = EdgeWatch(
            config,
            name,
            self.lines,
            self.receive,
            bus,
            lambda event: self.shards.of_event(event),
            lambda: any(lane.is_stuck for lane in self.lanes),
            self._past.seen,
            self.metrics.registry,
        )
        self.watch.resume(self._past.missed)
        self.orders = LineOrders(config, self.lines, self.built, lambda line: self.lines[line].is_live, self.receive, bus, lambda: self.shards)
        self.metrics.registry.register(LineOrderCollector(self.orders))

    async def reload(self) -> None:
        """SIGHUP: the register's files again. Raises ConfigError: then nothing has changed."""
        async with self.corrections.lock:
            standing = self.corrections.standing
            _, overlaid = await asyncio.to_thread(register_files.reload_overlaid, self.config.path, self.config, standing)
            self.corrections.take(overlaid)
            await self._use(overlaid.register)

    async def _use(self, register: Register) -> None:
        """From now on this register says what belongs where."""
        self._belong(Shards(register, self.config.bus.shards, self.config.calls, self.shards))

    async def _amend(self, register: Register, persons: Sequence[str], _devices: Sequence[tuple[str | None, str]]) -> None:
        self._belong(self.shards.amended(register, persons))

    def _belong(self, shards: Shards) -> None:
        self.shards = shards
        self.metrics.config_version(shards.register.version)

    async def _lay_corrections(self) -> None:
        """What was corrected before the start: by whoever writes it, else by the database. Without either the files count until one answers."""
        rows = self._past.corrections
        async with self.corrections.lock:
            register = await asyncio.to_thread(self.corrections.lay, rows or (), self.shards.register.version)
            if register is not None:
                await self._use(register)
        if rows is None and not await self._following.asked():
            log.warning("nobody says what was corrected: the register's files count until the bus does")

    async def receive(self, events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        """As `Pipeline.receive`: answers when the bus has all of them safe. Cancelling: they may or may not be kept."""
        if not events:
            return []
        answer: asyncio.Future[list[Verdict]] = asyncio.get_running_loop().create_future()
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)
        submission = Submission(len(events), answer)
        for index, event in enumerate(events):
            books = self.metrics.books(event.line)
            books.receive()
            shard = CATCH_ALL
            if isinstance(event, Event):
                shard = self.shards.of_event(event)
                if event.dedup is None and KINDS[event.kind].journalled:  # so that what comes twice over the bus is one entry all the same
                    event = msgspec.structs.replace(event, dedup=f"bus:{new_id()}")
            if not self.lanes[shard].put(_Waiting(event, submission, index, books)):
                books.give_back()
                submission.settle(index, BUSY)
        return await answer

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, and then until what was read is with the bus and its senders know."""
        await self._lay_corrections()
        asleep_since = await asyncio.to_thread(self._asleep_since)
        async with asyncio.TaskGroup() as edge:
            rest = [edge.create_task(lane.run(), name=f"lane {lane.shard}") for lane in self.lanes]
            aside = {"corrections": self._following.run, "alive": self._alive, "news": self._tell_news, "watch": self.watch.run}
            rest += [edge.create_task(beside(name, run), name=name) for name, run in aside.items()]
            rest.append(edge.create_task(self._tell_gap(asleep_since), name="gap"))
            lines = [edge.create_task(self._line(index), name=line.name) for index, line in enumerate(self.config.line) if line.name in self.lines]
            await stop.wait()
            await self._part()
            for tasks in (lines, rest):  # a line says goodbye while the lanes still run
                await end(tasks)
            await self.orders.close()

    async def _part(self) -> None:
        """Read nothing more where the other end keeps it for us; whatever was read gets its receipt as soon as the bus has it."""
        try:
            async with asyncio.timeout(self.config.gateway.drain_s):
                await asyncio.gather(*(line.leave() for line in self.built.values() if isinstance(line, Leaver)))
                if owed := tuple(self._answers):  # of the lines that go on reading until they end, only these
                    await asyncio.wait(owed)
        except TimeoutError:
            log.warning("stopped before everything had its receipt; it is sent again", drain_s=self.config.gateway.drain_s)
        else:
            await asyncio.sleep(0)  # who waits for an answer writes its receipt now
            log.info("parted: what was read has its receipt")

    async def _line(self, index: int) -> None:
        config = self.config.line[index]
        name = config.name
        recent = RecentKeys()
        recent.restore(self._past.known.get(name, ()))
        place = Surroundings(
            line=name,
            recent=recent,
            before=self._past.before.get(name, ()),
            knows=lambda address: self.shards.register.device(name, address) is not None,
        )
        line = self.built[name] = build_line(config, self.config.calls, self._past.calls.get(name, ()), place)
        ends = []
        if isinstance(line, Downlink):
            ends.append(await self._bus.answer(f"line.{name}.tell", self._teller(line)))
        if isinstance(line, Exchange):
            ends.append(await self._bus.answer(subject_of(name), carrying_out(line)))
        if (ordered := self.orders.carrying_out(name)) is not None:
            ends.append(await self._bus.answer(far_orders.subject_of(name), ordered))
        try:
            await keep_running(line, self.watch.self_test.around(name, self.orders.emit_of(name, self.receive)), self.lines[name])
        finally:
            for end in ends:
                await end()

    def _teller(self, line: Downlink) -> Handler:
        async def tell(body: bytes) -> bytes:
            wanted = msgspec.msgpack.decode(body, type=Tell)
            if not self.lines[line.name].is_live:
                return b"not_connected"
            return (await line.tell(wanted)).encode()

        return tell

    # --- what others hear of us --------------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Do all mandatory lines live, does the bus keep, and does the self-test come back?"""
        lines = all(status.is_live for status in self.lines.values() if status.mandatory)
        return lines and not any(lane.is_stuck for lane in self.lanes) and not self.watch.self_test.withholding()

    def news(self) -> list[LineNews]:
        """How every line is."""
        return [
            LineNews(one.name, self.name, one.state.value, one.reason, one.since, one.last_heard, one.restarts, self._profiles(one.name))
            for one in self.lines.values()
        ]

    def _profiles(self, line: str) -> tuple[ProfileNews, ...]:
        return tuple(ProfileNews(one.name, one.state, one.fault) for one in profiles_of(self.built.get(line), monotonic()))

    def _line_changed(self, status: LineStatus) -> None:
        self.metrics.books(status.name).state = status.state.value
        self._is_news.set()

    async def _tell_news(self) -> None:
        while True:
            try:
                await self._bus.tell(f"news.{word_of(self.name)}", msgspec.msgpack.encode(self.news()))
            except BusDown:
                pass  # the next one tells the same
            try:
                async with asyncio.timeout(NEWS_S):
                    await self._is_news.wait()
            except TimeoutError:
                pass
            self._is_news.clear()

    # --- when nobody listened ----------------------------------------------------------------------------------------

    @property
    def _alive_file(self) -> Path:
        return self.config.data_folder / ALIVE_FILE.format(name=self.name or "edge")

    def _asleep_since(self) -> datetime | None:
        try:
            return datetime.fromtimestamp(self._alive_file.stat().st_mtime, tz=utc_now().tzinfo)
        except OSError:
            return None

    async def _alive(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._touch)
            except OSError as error:
                log.warning("alive_file", reason=error.strerror)
            await asyncio.sleep(ALIVE_S)

    def _touch(self) -> None:
        self._alive_file.parent.mkdir(parents=True, exist_ok=True)
        self._alive_file.touch()

    async def _tell_gap(self, since: datetime | None) -> None:
        """What a line without a memory of its own sent while we were away is lost, and the journal says from when to when."""
        if since is None:
            return
        now = utc_now()
        detail: dict[str, object] = {"from": since.isoformat(), "to": now.isoformat(), "reason": "gateway_down"}
        gaps = [Event(kind=Kind.GAP, phase=Phase.STATE, line=name, received_at=now, occurred_at=now, detail=detail) for name in self.lines]
        await self.receive(gaps)


async def _unwritten(_entry: Record, _write: CorrectionWrite) -> None:
    """Nobody corrects anything at an edge."""
    raise Refused("not_in_cluster", 409)


class Past(msgspec.Struct, frozen=True):
    """What the shards remember for lines that start again, by line: live calls, latest identities, what devices said before.

    corrections: of the register, oldest first; None: the database does not answer
    seen: the last signs of test devices, by row; missed: points of the self-test whose misses were told and not yet ended.
    """

    calls: Mapping[str, Sequence[Mapping[str, object]]] = {}
    known: Mapping[str, Sequence[str]] = {}
    before: Mapping[str, Sequence[Before]] = {}
    seen: Mapping[str, Seen] = {}
    missed: frozenset[str] = frozenset()
    corrections: Sequence[Correction] | None = None
