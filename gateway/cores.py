"""`gateway run --role core`: owns as many shards of persons as nobody else does, each a House of its own over its part of the register.

Every core asks every second for the shards that have no owner; the lock in PostgreSQL decides who gets one. Who owns more waits longer, so they
spread by themselves. A core that dies loses its locks with its sessions, and the others have its shards within ten seconds: 1 s to ask, up to 5 s
until the server notices a machine that vanished, and the time to read the shard's working set.
"""

import asyncio
import gc
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import msgspec
import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from drivers.downlink import Downlink, Tell
from gateway import register_files
from gateway.app import House, Part, first_of
from gateway.bus.contract import UNREADABLE, Bus, BusDown, MadeAnew, Shorter
from gateway.bus.follower import KEEP_S, Follower
from gateway.bus.heard import Heard
from gateway.bus.together import Stuck, together
from gateway.clock import monotonic, utc_now
from gateway.config import Config
from gateway.config.console import ConsoleConfig
from gateway.config.heartbeat import of_part
from gateway.config.upward import of_shard
from gateway.core.corrections import CorrectionWrite
from gateway.core.register import Register
from gateway.core.shards import CATCH_ALL, Shards
from gateway.core.state import Record, Shard
from gateway.correcting import Corrections
from gateway.errors import GatewayError, StoreDown
from gateway.event import Event, Kind, Phase
from gateway.far_orders import far_channels
from gateway.shard_requests import serve
from gateway.shared_corrections import Following, tell
from gateway.store import corrections
from gateway.store.ownership import InUse, Sight, owned
from gateway.store.store import Store, reason_of

log = structlog.get_logger("core")

ASK_S = 1.0  # how often a shard without an owner is asked for
MORE_S = 0.4  # … and so much later for each shard that we have already: the others come first
BEGIN_AGAIN_S = 2.0  # after a shard fell: its owner elsewhere, or its database, needs a moment
SILENT_S = 3.0  # a core that has not told for so long does not count
UNEVEN_TURNS = 10  # so many seconds in a row another has at least two shards fewer: it was not only slower at the start
ENDS_S = 30.0  # a shard that was lost and does not let go after the longest drain (gateway.drain_s) is a bug; the process is no loss
LONGEST_PAUSE_S = 2.0
BLIND_TURNS = 5  # seconds without the bus: a server that is restarted is back by then, or another of the three answers
LEFT_TO_OTHERS_S = 8.0  # a shard that was given back: whoever has fewer has asked for it by then
LOADS_KEPT_S = 30.0  # what a shard's responders carried counts so long after its owner fell silent: it moves within ten
TELL_S = 32.0  # a device is told within 30 s or not at all (drivers.downlink)


class Keeper:
    """One shard, owned or wanted."""

    def __init__(self, core: "Core", number: int) -> None:
        self.number = number
        self.house: House | None = None
        self.follower: Follower | None = None
        self.forgotten: dict[str, int] = {}  # which gap → messages that the bus had and lost; some in the life of a process
        self._core = core
        self._given_back = asyncio.Event()

    @property
    def is_owned(self) -> bool:
        """Its working set is there, and it decides."""
        return self.house is not None and self.house.is_ready.is_set()

    def give_back(self) -> None:
        """Another core has fewer."""
        self._given_back.set()

    async def own(self) -> None:
        """Own it until it is lost, or given back; at once done when another has it."""
        self._given_back.clear()
        try:
            await self._own()
        except* InUse:
            pass
        except* (GatewayError, OSError) as group:
            log.error("shard_lost", shard=self.number, reason=str(first_of(group)))
            await asyncio.sleep(BEGIN_AGAIN_S)
        except* Exception as group:  # the database went while it was read, or a bug: the other shards must not fall with this one
            log.error("shard_fell", shard=self.number, exc_info=first_of(group))
            await asyncio.sleep(BEGIN_AGAIN_S)
        finally:
            if self.follower is not None:
                gc.unfreeze()  # a house is frozen when it is ready (gateway.app): one that is gone must not stay for ever
            self.house = self.follower = None

    async def _own(self) -> None:
        core = self._core
        part = Part(
            Shard(self.number, core.shards.count),
            False,
            lambda register: core.shards_of(register).part(self.number),
            core.downlink,
            core.corrections,
            core.channels,
        )
        self.house = house = House(core.config_of(self.number), await asyncio.to_thread(core.shards.part, self.number), part)
        try:
            await together(house.run(self._given_back), self._beside(house), self._speak(house), within_s=ENDS_S)
        except Stuck:
            log.critical("shard_hangs: the core ends itself, and is started again", shard=self.number)
            os._exit(os.EX_TEMPFAIL)

    async def _speak(self, house: House) -> None:
        """The database ends a session that is silent (gateway.store.ownership), whatever else we wait for: the bus, a register."""
        await house.is_ready.wait()
        while True:
            await asyncio.sleep(KEEP_S)
            await house.pipeline.keep_position(is_new=False)

    async def _beside(self, house: House) -> None:
        """What ends before the house may; a fault of it is the end of the house as well."""
        await self._read(house)
        await asyncio.Event().wait()

    async def _read(self, house: House) -> None:
        """As soon as the working set is there: the bus, and the questions of consoles."""
        await house.is_ready.wait()
        core = self._core
        if self.number == CATCH_ALL:  # whose tables have the corrections: from now on we write them
            rows = await asyncio.to_thread(corrections.load, house.store.engine)
            if not await core.corrections.inherit(rows):  # alarms do not wait for that
                log.error("corrections_wait: the files of the register have faults here; correct them and reload", register=house.register.version)
        async with core.swapping:
            if house.register.version != core.shards.register.version:  # read again while it read its working set
                await house.take(core.shards.register, core.config_of(self.number))
        ownership = house.store.ownership
        log.info("shard_owned", shard=self.number, epoch=ownership.epoch, position=ownership.position)

        def note(position: int) -> None:
            ownership.position, ownership.heard = position, follower.heard.text()

        async def keep(is_new: bool) -> bool:
            return not is_new or await house.pipeline.keep_position(is_new=True)

        async def lost(position: int, messages: int) -> None:
            await self._tell_lost(house, f"{ownership.stream}:{position}", messages)

        heard = Heard.of_text(ownership.heard)
        follower = Follower(self.number, self._core.bus, house.pipeline.receive, note, keep, self._core.config.bus.keep_s, lost, heard)
        self.follower = follower
        await together(
            self._follow(house, follower),
            serve(self._core.bus, self.number, house, self._core.name, lambda: follower.lag_s),
            *((tell(core.bus, core.corrections),) if self.number == CATCH_ALL else ()),
            self._until_given_back(),  # nothing new is read while the house writes down what it has
        )

    async def _follow(self, house: House, follower: Follower) -> None:
        """From where its last owner was; a stream that was made anew since then, or put back, from its begin."""
        ownership = house.store.ownership
        while True:
            made, first = await self._stream()
            position = ownership.position
            facts: dict[str, object] = {"shard": self.number, "position": position}
            if ownership.stream != made:
                if ownership.stream:
                    log.error("stream_made_anew: what it held unread is lost", **facts)
                    await self._tell_lost(house, f"{made}:anew")
                    follower.heard = Heard()  # told already: nobody is missed in it
                ownership.position, ownership.stream = max(0, first - 1), made
            elif position < first - 1:  # a database put back to a time that the stream does not reach: backup.md
                log.error("bus_forgot: the messages between are not there any more", **facts, first=first)
                await self._tell_lost(house, f"{made}:{position}", first - 1 - position)
                follower.heard = Heard()
            try:
                await follower.run(ownership.position, made)
            except MadeAnew:
                log.info("stream_is_another", shard=self.number)
            except Shorter as shorter:  # what was kept since then bears numbers that were read already
                position = ownership.position
                log.error("stream_shorter: read from its begin; what is known is folded", shard=self.number, position=position, reason=str(shorter))
                await self._tell_lost(house, f"{made}:{position}:shorter")
                ownership.position = max(0, (await self._stream())[1] - 1)

    async def _stream(self) -> tuple[int, int]:
        """When it was made, and its first message. Without the bus deadlines and stations go on."""
        while True:
            try:
                return await self._core.bus.made(self.number), (await self._core.bus.span(self.number))[0]
            except BusDown:
                await asyncio.sleep(ASK_S)

    async def _tell_lost(self, house: House, which: str, messages: int | None = None) -> None:
        """The journal says from when to when nothing of the bus is known. Told twice of the same position it is one entry."""
        self.forgotten[which] = messages or 0
        now = utc_now()
        since = house.retention.stopped_at or now
        detail: dict[str, object] = {"from": since.isoformat(), "to": now.isoformat(), "reason": "bus_forgot", "messages": messages}
        dedup = f"bus_forgot:{self.number}:{which}"
        gap = Event(kind=Kind.GAP, phase=Phase.STATE, line=UNREADABLE, dedup=dedup, received_at=now, occurred_at=now, detail=detail)
        await house.pipeline.receive([gap])

    async def _until_given_back(self) -> None:
        await self._given_back.wait()


class Core:
    """All shards as one process sees them."""

    def __init__(self, config: Config, register: Register, name: str, bus: Bus) -> None:
        self.config = config
        self.name = name
        self.bus = bus
        self.shards = Shards(register, config.bus.shards, config.calls)
        self.channels = far_channels(config, bus)
        self.keepers = [Keeper(self, number) for number in range(config.bus.shards)]
        self.corrections = Corrections(
            lambda: self.config.district_folder,
            lambda: self.config.channels,
            lambda: self.shards.register,
            self._write_correction,
            self._amend,
            self._take,
        )
        self.swapping = (
            asyncio.Lock()
        )  # a register comes into force in one shard after the other; within corrections.lock, under which it is read, too
        self._following = Following(bus, self.corrections, lambda: self.keepers[CATCH_ALL].is_owned)
        self._asks = True
        self._is_cut_off = False
        self._others_first: dict[int, float] = {}  # shards that we gave back, and until when we leave them to others

    @property
    def owned(self) -> int:
        """How many shards are ours."""
        return sum(keeper.is_owned for keeper in self.keepers)

    @property
    def is_well(self) -> bool:
        """Does the database answer, and is every shard that we own at work?"""
        return self._asks and all(keeper.is_owned for keeper in self.keepers if keeper.house is not None)

    @property
    def houses(self) -> Iterator[tuple[int, House]]:
        """Those at work: of one that still reads its working set, in a thread, nothing may be asked."""
        for keeper in self.keepers:
            if keeper.house is not None and keeper.is_owned:
                yield keeper.number, keeper.house

    def config_of(self, number: int) -> Config:
        """The configuration of one shard's house: nothing of the console, and names at the broker of its own."""
        config = self.config
        mqtt = config.dispatch.mqtt
        dispatch = msgspec.structs.replace(config.dispatch, phone=None, sip=None, modem=None)  # by lines of edges (gateway.far_orders)
        if mqtt is not None:
            dispatch = msgspec.structs.replace(dispatch, mqtt=msgspec.structs.replace(mqtt, client_id=f"{mqtt.client_id}-{number}"))
        heartbeat = of_part(config.heartbeat, f"shard-{number}")
        return msgspec.structs.replace(
            config,
            console=ConsoleConfig(enabled=False),
            self_test=msgspec.structs.replace(config.self_test, enabled=False),
            dispatch=dispatch,
            heartbeat=heartbeat,
            counterpart=tuple(of_shard(one, number) for one in config.counterpart),
            subscriber=tuple(of_shard(one, number) for one in config.subscriber),
        )

    def shards_of(self, register: Register) -> Shards:
        """The division of a register that was read anew."""
        if register is not self.shards.register:
            self.shards = Shards(register, self.config.bus.shards, self.config.calls)
        return self.shards

    def downlink(self, line: str) -> Downlink:
        """The way to tell the devices of a line, wherever it runs."""
        return _FarDownlink(line, self.bus)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, and then until everything handed over is on disk."""
        engine = Store(self.config.store.url, self.config.data_folder, CATCH_ALL, writes=False).engine  # one that notices a server that vanished
        working: dict[int, asyncio.Task[None]] = {}
        try:
            async with asyncio.TaskGroup() as group:
                told = group.create_task(together(self._balance(), Loads(self).run(), self._look_for_the_bus(), self._following.run()))
                await self._lay_corrections(engine, stop)  # before anything is decided
                while not stop.is_set():
                    await _pause(stop, min(ASK_S + MORE_S * self.owned, LONGEST_PAUSE_S))
                    if self._is_cut_off:
                        continue
                    for number in await self._free(engine):
                        is_idle = number not in working or working[number].done()
                        if not stop.is_set() and is_idle and monotonic() >= self._others_first.get(number, 0.0):
                            working[number] = group.create_task(self.keepers[number].own(), name=f"shard {number}")
                            await _pause(stop, min(MORE_S * self.owned, LONGEST_PAUSE_S))
                told.cancel()
                for keeper in self.keepers:
                    keeper.give_back()
        finally:
            engine.dispose()

    async def _free(self, engine: Engine) -> list[int]:
        """The shards that nobody owns; none while the database does not say."""
        try:
            taken = await asyncio.to_thread(owned, engine)
        except SQLAlchemyError as error:
            if self._asks:
                log.error("the database does not say who owns which shard", reason=reason_of(error))
            self._asks = False
            return []
        self._asks = True
        return [number for number in range(self.shards.count) if number not in taken]

    async def _look_for_the_bus(self) -> None:
        """Cut off from the bus while others are not, we leave the shards to them: they hear what we cannot. When nobody sees it, everybody
        stays: deadlines and escalations go on."""
        engine = Store(self.config.store.url, self.config.data_folder, CATCH_ALL).engine  # its sessions end when we fall silent
        sight, blind = Sight(engine), 0
        try:
            while True:
                await asyncio.sleep(ASK_S)
                sees = self.bus.is_connected
                try:
                    others = await asyncio.to_thread(partial(sight.tell, sees=sees))
                except SQLAlchemyError:
                    continue  # then nobody can own anything either
                blind = 0 if sees or not others else blind + 1
                if blind == BLIND_TURNS:
                    log.error("cut off from the bus, and others are not: the shards are left to them", shards=self.owned)
                    for keeper in self.keepers:
                        keeper.give_back()
                self._is_cut_off = blind >= BLIND_TURNS
        finally:
            await asyncio.to_thread(sight.close)
            engine.dispose()

    async def _balance(self) -> None:
        """Tell the other cores how many shards we have; give one back to one that has at least two fewer, for a while."""
        others: dict[str, tuple[float, int]] = {}

        def heard(subject: str, body: bytes) -> None:
            name = subject.rpartition(".")[2]
            if name != self.name:
                others[name] = monotonic(), int(body)

        end = await self.bus.listen("cores.*", heard)
        uneven = 0
        try:
            while True:
                try:
                    await self.bus.tell(f"cores.{self.name}", str(self.owned).encode())
                except BusDown:
                    pass
                await asyncio.sleep(ASK_S)
                alive = [count for at, count in others.values() if monotonic() - at < SILENT_S]
                uneven = uneven + 1 if alive and self.owned - min(alive) >= 2 else 0
                if uneven >= UNEVEN_TURNS:
                    uneven = 0
                    last = max(keeper.number for keeper in self.keepers if keeper.is_owned)
                    log.info("shard_given_back", shard=last)
                    self._others_first[last] = monotonic() + LEFT_TO_OTHERS_S
                    self.keepers[last].give_back()
        finally:
            await end()

    async def reload(self) -> None:
        """SIGHUP: everything is read again, once, and is in force in every shard. Raises ConfigError: then nothing has changed."""
        async with self.corrections.lock:
            standing = self.corrections.standing
            config, overlaid = await asyncio.to_thread(register_files.reload_overlaid, self.config.path, self.config, standing)
            self.corrections.take(overlaid)
            self.config = config
            await self._take(overlaid.register)

    # --- what people correct -----------------------------------------------------------------------------------------

    async def _lay_corrections(self, engine: Engine, stop: asyncio.Event) -> None:
        """What was corrected before the start: nothing is owned before the database has said it."""
        while not stop.is_set():
            try:
                rows = await asyncio.to_thread(corrections.load, engine)
            except SQLAlchemyError as error:
                if self._asks:
                    log.error("the database does not say what was corrected", reason=reason_of(error))
                self._asks = False
                await _pause(stop, ASK_S)
                continue
            self._asks = True
            async with self.corrections.lock:
                register = await asyncio.to_thread(self.corrections.lay, rows, self.shards.register.version)
            if register is not None:
                self.shards = Shards(register, self.config.bus.shards, self.config.calls)
            return

    async def _write_correction(self, entry: Record, write: CorrectionWrite) -> None:
        """In the journal of the shard that has what is nobody's: one writer, one numbering. Raises StoreDown."""
        house = dict(self.houses).get(CATCH_ALL)
        if house is None:
            raise StoreDown(f"shard {CATCH_ALL} has another core by now; try again")
        writing = asyncio.ensure_future(house.pipeline.corrected(entry, write))
        while not writing.done():
            await asyncio.wait((writing,), timeout=ASK_S)
            if (
                not writing.done() and dict(self.houses).get(CATCH_ALL) is not house
            ):  # lost with its shard; whoever owns that next reads what is on disk
                writing.cancel()
                raise StoreDown(f"shard {CATCH_ALL} has another core by now; try again")
        await writing

    async def _amend(self, register: Register, persons: Sequence[str], devices: Sequence[tuple[str | None, str]]) -> None:
        """In every shard that is concerned; who has moved to another street is in another shard from now on."""
        async with self.swapping:
            before, self.shards = self.shards, self.shards.amended(register, persons)
            touched = await asyncio.to_thread(self.shards.touched, before, persons, devices)
            for number, house in list(self.houses):
                amended = await asyncio.to_thread(self.shards.part_amended, number, house.register, persons, touched)
                house.pipeline.amend(*amended)
                house.metrics.config_version(register.version)

    async def _take(self, register: Register) -> None:
        async with self.swapping:
            self.shards = Shards(register, self.config.bus.shards, self.config.calls)
            for number, house in list(self.houses):
                await house.take(register, self.config_of(number))


class Loads:
    """What responders carry in all shards together: who serves the streets of several is full in none of them alone."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._far: dict[int, tuple[float, dict[str, int]]] = {}  # shard → when its owner said so, and what

    async def run(self) -> None:
        """Every second; a shard that says nothing more counts as before for LOADS_KEPT_S, while it moves."""
        end = await self._core.bus.listen("loads.*", self._heard)
        try:
            while True:
                for number, house in self._core.houses:
                    mine = {key: count for key, count in house.working.load.items() if count}
                    self._far.pop(number, None)
                    others = [load for at, load in self._far.values() if monotonic() - at < LOADS_KEPT_S]
                    others += [one.working.load for other, one in self._core.houses if other != number]
                    house.working.load_elsewhere = dict(sum((Counter(load) for load in others), Counter()))
                    try:
                        await self._core.bus.tell(f"loads.{number}", msgspec.msgpack.encode(mine))
                    except BusDown:
                        pass
                await asyncio.sleep(ASK_S)
        finally:
            await end()

    def _heard(self, subject: str, body: bytes) -> None:
        number = int(subject.rpartition(".")[2])
        if number not in dict(self._core.houses):
            self._far[number] = monotonic(), msgspec.msgpack.decode(body, type=dict[str, int])


class _FarDownlink:
    """A line on an edge."""

    def __init__(self, name: str, bus: Bus) -> None:
        self.name = name
        self._bus = bus

    async def tell(self, tell: Tell) -> str:
        try:
            return (await self._bus.ask(f"line.{self.name}.tell", msgspec.msgpack.encode(tell), TELL_S)).decode()
        except BusDown:
            return "not_connected"


class CoreCollector(Collector):
    """The metrics of all shards of a process, each with its shard, and whose they are."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def collect(self) -> Iterator[Metric]:
        owned = GaugeMetricFamily("gateway_shard_owned", "1 while this core owns the shard", labels=["shard"])
        epoch = GaugeMetricFamily("gateway_shard_epoch", "The shard's epoch: one more with each owner", labels=["shard"])
        position = GaugeMetricFamily("gateway_shard_position", "Up to which message of the bus everything is on disk", labels=["shard"])
        lag = GaugeMetricFamily("gateway_bus_lag_seconds", "Age of the oldest message that was read and is not on disk; 0: none", labels=["shard"])
        under_way = GaugeMetricFamily("gateway_bus_under_way", "Events read from the bus and not yet on disk", labels=["shard"])
        reread = CounterMetricFamily(
            "gateway_bus_rereads", "Times that all was read again because a reader skipped messages that the bus had confirmed", labels=["shard"]
        )
        forgotten = GaugeMetricFamily("gateway_bus_forgotten", "Messages that the bus lost before this core could read them", labels=["shard"])
        for keeper in self._core.keepers:
            name = [str(keeper.number)]
            owned.add_metric(name, float(keeper.is_owned))
            forgotten.add_metric(name, sum(keeper.forgotten.values()))
            if keeper.house is not None and keeper.follower is not None:
                epoch.add_metric(name, keeper.house.store.ownership.epoch)
                position.add_metric(name, keeper.follower.position)
                lag.add_metric(name, keeper.follower.lag_s)
                under_way.add_metric(name, keeper.follower.under_way)
                reread.add_metric(name, keeper.follower.reread)
        yield from (owned, epoch, position, lag, under_way, forgotten, reread)
        yield from _labelled((str(number), house.metrics.registry.collect()) for number, house in list(self._core.houses))


def _labelled(found: Iterable[tuple[str, Iterable[Metric]]]) -> Iterator[Metric]:
    families: dict[str, Metric] = {}
    for shard, metrics in found:
        for metric in metrics:
            if metric.name.startswith(("process_", "python_")) and metric.name in families:
                continue  # of the process, told once
            family = families.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
            own = {} if metric.name.startswith(("process_", "python_")) else {"shard": shard}
            family.samples += [sample._replace(labels={**sample.labels, **own}) for sample in metric.samples]
    yield from families.values()


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
