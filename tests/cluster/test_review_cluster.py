"""What could lose, double or strand a cry between an edge and a core: broken connections, new streams, large and strange messages."""

import asyncio
import contextlib
import shutil
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from cluster.cluster import Cluster, Plan, Postgres, Server
from servers import START_S, Outsider, free_port, program, until
from sqlalchemy.exc import SQLAlchemyError

from drivers.contract import Rejected
from gateway import cores
from gateway.bus.contract import BusDown, MadeAnew, Message, packed
from gateway.bus.nats_bus import NatsBus
from gateway.bus.together import end
from gateway.config.bus import BusConfig
from gateway.core.register import Register
from gateway.core.state import Record, Seen, WorkingSet
from gateway.edge import Lane, Submission, _Waiting
from gateway.errors import StoreBroken, StoreDown
from gateway.event import Event, Kind
from gateway.metrics import Metrics
from gateway.pipeline import Pipeline
from gateway.store.ownership import IDLE_S
from gateway.store.store import Batch, Store

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def cry(number: int, raw: bytes = b"") -> Event:
    return Event(kind=Kind.SOS, line="wearables", device=f"w-{number}", received_at=NOW, occurred_at=NOW, dedup=str(number), raw=raw)


class Nats:
    """One real server with JetStream."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.port = free_port()
        self.folder = folder / "store"
        self.conf = folder / "nats.conf"
        self.write(more)
        self.server = Server("nats", [program("nats-server"), "-c", str(self.conf)], folder / "nats.log", self.port)

    def write(self, more: str) -> None:
        self.conf.write_text(
            f'server_name: n\nlisten: 127.0.0.1:{self.port}\njetstream {{ store_dir: "{self.folder}", max_file: 256M, max_mem: 64M }}\n{more}\n'
        )

    async def bus(self, port: int = 0, **more: object) -> NatsBus:
        config = BusConfig(servers=(f"nats://127.0.0.1:{port or self.port}",), shards=1, replicas=1, max_mib=16, **more)  # type: ignore[arg-type]
        found = NatsBus(config, self.conf.parent, "test")
        await found.connect()
        await found.see_to_streams()
        return found


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[Nats]:
    found = Nats(tmp_path)
    found.server.start()
    yield found
    found.server.kill()


class Leak:
    """A way to the server that loses what the server sends, from a moment on, and then breaks."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.loses = False
        self.lost = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers += [writer, back]
        with contextlib.suppress(OSError):
            await asyncio.gather(self._pump(reader, back, losing=False), self._pump(there, writer, losing=True))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, losing: bool) -> None:
        while data := await source.read(65536):
            if losing and self.loses:
                self.lost += len(data)
                continue
            sink.write(data)
            await sink.drain()
        sink.close()

    def break_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        self.loses = False

    async def close(self) -> None:
        self.break_all()
        if self._server is not None:
            self._server.close()


class Reading:
    """What a reader of a shard hears."""

    def __init__(self, bus: NatsBus, after: int = 0) -> None:
        self.found: list[Message] = []
        self._task = asyncio.create_task(self._read(bus, after))

    async def _read(self, bus: NatsBus, after: int) -> None:
        async for message in bus.follow(0, after, await bus.made(0)):
            self.found.append(message)

    @property
    def devices(self) -> list[str | None]:
        return [event.device for message in self.found for event in message.envelope.events]

    async def end(self) -> None:
        await end([self._task])


async def say(bus: NatsBus, number: int) -> None:
    await bus.keep(0, f"m{number}", packed("edge", 0.0, [cry(number)]))


async def test_what_a_broken_connection_swallowed_is_read_again(nats: Nats) -> None:
    leak = Leak(nats.port)
    writer = await nats.bus()
    reader = await nats.bus(await leak.listen())
    reading = Reading(reader)
    try:
        await say(writer, 1)
        await until(lambda: len(reading.found) == 1, "the first is read")
        leak.loses = True
        for number in range(2, 6):
            await say(writer, number)
        await until(lambda: leak.lost > 4 * 200, "the server has sent them: they are on the way, and never arrive")
        leak.break_all()
        await until(lambda: not reader.is_connected, "the connection is broken")
        await until(lambda: reader.is_connected, "it is there again")
        for number in range(6, 10):  # before the server has noticed that its reader was away
            await say(writer, number)
        await until(lambda: reading.found[-1].sequence == 9, "the last is read")
        assert [message.sequence for message in reading.found] == list(range(1, 10))
    finally:
        await reading.end()
        await reader.close()
        await writer.close()
        await leak.close()


async def test_large_alarms_leave_in_smaller_messages(nats: Nats) -> None:
    bus = await nats.bus()
    lane = Lane(0, "edge", bus)
    metrics = Metrics()
    answer: asyncio.Future[list[object]] = asyncio.get_running_loop().create_future()
    submission = Submission(8, answer)  # type: ignore[arg-type]
    for number in range(8):
        assert lane.put(_Waiting(cry(number, b"\xff" * 250_000), submission, number, metrics.books("wearables")))
    running = asyncio.create_task(lane.run())
    reading = Reading(bus)
    try:
        async with asyncio.timeout(START_S):
            await answer
        await until(lambda: len(reading.devices) == 8, "all are read")
        assert reading.devices == [f"w-{number}" for number in range(8)]
    finally:
        await end([running])
        await reading.end()
        await bus.close()


async def test_a_message_that_cannot_be_written_does_not_end_the_edge(nats: Nats) -> None:
    bus = await nats.bus()
    lane = Lane(0, "edge", bus)
    metrics = Metrics()
    answer: asyncio.Future[list[object]] = asyncio.get_running_loop().create_future()
    submission = Submission(3, answer)  # type: ignore[arg-type]
    strange = Rejected(reason="bad_field", raw=b"?", line="wearables", device="\ud800", detail="\udfff")
    for index, event in enumerate((cry(1), strange, cry(2))):
        assert lane.put(_Waiting(event, submission, index, metrics.books("wearables")))
    running = asyncio.create_task(lane.run())
    reading = Reading(bus)
    try:
        async with asyncio.timeout(START_S):
            await answer
        await until(lambda: len(reading.devices) == 2, "the others are read")
        assert not running.done()
        assert [one.raw for message in reading.found for one in message.envelope.refused] == [b"?"]
    finally:
        await end([running])
        await reading.end()
        await bus.close()


async def test_a_stream_that_was_made_anew_is_not_waited_for_in_vain(nats: Nats) -> None:
    bus = await nats.bus()
    for number in range(5):
        await say(bus, number)
    first, made = Reading(bus), await bus.made(0)
    await until(lambda: len(first.found) == 5, "all are read")
    await first.end()
    await bus._js.delete_stream(bus._stream(0))
    await bus.see_to_streams()
    await bus.keep(0, "new", packed("edge", 0.0, [cry(99)]))
    try:
        with pytest.raises(MadeAnew):
            await asyncio.wait_for(anext(bus.follow(0, 5, made)), 5)
    finally:
        await bus.close()


async def test_what_comes_after_the_streams_were_lost_is_an_order(tmp_path: Path) -> None:
    """With the disks of all NATS servers: a new stream counts from 1 again, and cores have read to 24."""
    async with Cluster(tmp_path, Plan(servers=1, shards=1, wearables=24, edges=1, cores=1)) as cluster:
        await cluster.start_all()
        witness = await Outsider(cluster.broker.port, "stations/+/dispatch").ready()
        for number in range(24):
            await witness.publish(cluster.plan.topic(number), '{"kind": "sos", "seq": 1}')
        await until(lambda: len(witness.received) == 24, "every cry is an order at a station")
        cluster.kill("nats0")
        shutil.rmtree(tmp_path / "nats0")
        cluster.start("nats0")
        cluster.kill("e0")
        cluster.start("e0")  # it makes the streams that are missing
        await cluster.stands()
        await witness.publish(cluster.plan.topic(0), '{"kind": "sos", "seq": 2}')
        sql = "SELECT count(*) FROM shard_0.journal WHERE kind = 'sos'"

        async def written() -> bool:
            return cluster.postgres.rows(sql) == [(25,)]

        await cluster.sees(written, "the next cry is written")
        witness.close()


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[Postgres]:
    found = Postgres(tmp_path)
    found.start()
    await until(found.answers, "PostgreSQL answers")
    yield found
    found.kill(signal.SIGINT)


def opened(postgres: Postgres, folder: Path) -> Store:
    store = Store(postgres.url, folder, 3)
    store.open()
    return store


def sessions_of(postgres: Postgres) -> list[int]:
    return [int(str(pid)) for (pid,) in postgres.rows("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 3")]


def cut(postgres: Postgres) -> None:
    """End the session that holds the lock of the shard; it has let go when this returns."""
    postgres.rows("SELECT pg_terminate_backend(pid, 30000) FROM pg_locks WHERE locktype = 'advisory' AND objid = 3")


async def test_a_session_that_fell_while_signs_of_life_were_saved_comes_back_with_the_lock(postgres: Postgres, tmp_path: Path) -> None:
    store = opened(postgres, tmp_path)
    cut(postgres)
    with pytest.raises(StoreDown):
        store.checkpoint([("w", Seen(at=NOW))])
    store.checkpoint([("w", Seen(at=NOW))])
    assert len(sessions_of(postgres)) == 1
    store.close()


async def test_who_lost_the_shard_writes_not_even_signs_of_life(postgres: Postgres, tmp_path: Path) -> None:
    old = opened(postgres, tmp_path)
    cut(postgres)
    new = opened(postgres, tmp_path)
    new.checkpoint([("w", Seen(at=NOW, battery_pct=1.0))])
    for _ in range(2):
        with pytest.raises((StoreDown, StoreBroken)):
            old.checkpoint([("w", Seen(at=NOW, battery_pct=99.0))])
    assert dict(new.load().seen)["w"].battery_pct == 1.0
    old.close()
    new.close()


async def test_who_had_another_owner_between_two_sessions_begins_again(postgres: Postgres, tmp_path: Path) -> None:
    old = opened(postgres, tmp_path)
    cut(postgres)
    between = opened(postgres, tmp_path)
    between.ownership.position = 7
    between.probe()
    between.close()
    await until(lambda: not sessions_of(postgres), "its session has let go")
    with pytest.raises(StoreDown):
        old.touch()
    with pytest.raises(StoreBroken, match="another owner"):
        old.probe()
    old.close()
    await until(lambda: not sessions_of(postgres), "nobody has the shard")
    last = opened(postgres, tmp_path)
    assert last.ownership.position == 7
    last.close()


async def test_a_long_reading_of_the_working_set_does_not_cost_the_shard(postgres: Postgres, tmp_path: Path) -> None:
    """A session that says nothing for seven seconds is ended: two cores would take a large shard from each other for ever."""
    store = opened(postgres, tmp_path)
    assert store._writing().exec_driver_sql("SHOW idle_session_timeout").scalar() == "10min"
    store._writing().rollback()
    store.restored()
    assert store._writing().exec_driver_sql("SHOW idle_session_timeout").scalar() == f"{IDLE_S}s"
    store.close()


async def test_a_store_that_comes_back_between_two_questions_condemns_nothing(postgres: Postgres, tmp_path: Path) -> None:
    """No connection to be had is the store's fault, also when the next one can be had at once."""
    store = opened(postgres, tmp_path)
    cut(postgres)
    with pytest.raises(StoreDown):
        store.touch()
    postgres.kill(signal.SIGINT)
    with pytest.raises(StoreDown):
        store.write(Batch(records=[Record(kind=Kind.STARTED, at=NOW, facts=b"{}")]))
    store.close()
    postgres.start()


async def test_what_was_asked_in_vain_is_not_done_when_the_bus_is_back(nats: Nats) -> None:
    """Who asks has long been told that nothing was: a call must not ring, nor an incident be closed, when nobody wants it any more."""
    console, core = await nats.bus(), await nats.bus()
    asked: list[bytes] = []

    async def do(body: bytes) -> bytes:
        asked.append(body)
        return body

    await core.answer("shard.0.command", do)
    await answered(console, b"first")
    nats.server.kill()
    await until(lambda: not console.is_connected and not core.is_connected, "the bus is lost")
    with pytest.raises(BusDown):
        await console.ask("shard.0.command", b"in vain", 0.5)
    nats.server.start()
    await until(lambda: console.is_connected and core.is_connected, "the bus is found")
    await answered(console, b"last")
    assert set(asked) == {b"first", b"last"}
    await console.close()
    await core.close()


async def answered(bus: NatsBus, body: bytes) -> None:
    async with asyncio.timeout(START_S):
        while True:
            with contextlib.suppress(BusDown):  # the server knows a moment later who answers
                assert await bus.ask("shard.0.command", body, 1.0) == body
                return
            await asyncio.sleep(0.1)


class _Flapping(Store):
    """Takes nothing with a certain device in it, and is away for a moment when it is asked for the first half."""

    sizes: list[int]

    def write(self, batch: Batch) -> None:
        self.sizes.append(len(batch.records))
        if len(self.sizes) == 1:
            raise ValueError("not as one")
        if len(self.sizes) == 2:
            raise StoreDown("away for a moment")
        super().write(batch)


async def test_what_came_later_does_not_overtake_while_the_store_comes_and_goes(tmp_path: Path) -> None:
    store = _Flapping("sqlite:///gateway.db", tmp_path)
    store.sizes = []
    store.open()
    pipeline = Pipeline(store, WorkingSet(Register()), Metrics())
    pipeline.holds = True
    running = asyncio.create_task(pipeline.run())
    await pipeline.receive([cry(number) for number in range(4)])
    pipeline.finish()
    await running
    assert [row.device for row in store.journal() if row.kind == "sos"] == [f"w-{number}" for number in range(4)]
    await pipeline.close()
    store.close()


async def test_a_bug_in_one_shard_is_not_the_end_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database goes while a working set is read: what SQLAlchemy then says is none of our errors."""
    monkeypatch.setattr(cores, "BEGIN_AGAIN_S", 0.0)
    for fault in (SQLAlchemyError("gone"), KeyError("bug"), ExceptionGroup("both", [RuntimeError("a"), StoreBroken("b")])):

        async def fall(self: cores.Keeper, fault: Exception = fault) -> None:
            raise fault

        monkeypatch.setattr(cores.Keeper, "_own", fall)
        await cores.Keeper(None, 0).own()  # type: ignore[arg-type]


async def test_what_an_edge_of_another_version_receipted_ends_with_a_person(nats: Nats) -> None:
    """One event with a kind that we do not know spoils nothing of the others; and what is no envelope at all is told, too."""
    plain = msgspec.msgpack.decode(packed("edge", 1_795_000_000.0, [cry(1, b"one"), cry(2, b"two"), cry(3)]))
    plain[2][1]["kind"] = "of_next_year"
    bus = await nats.bus()
    reading = Reading(bus)
    try:
        await bus.keep(0, "new", msgspec.msgpack.encode([*plain, "more"]))
        await bus.keep(0, "none", b"\xc1")
        await bus.keep(0, "ms", msgspec.msgpack.encode(["edge", 1.795e12, [{"kind": "sos"}]]))
        await bus.keep(0, "deep", b"\x91" * 5_000 + b"\x90")
        await say(bus, 4)
        await until(lambda: len(reading.found) == 5, "all are read")
        assert reading.devices == ["w-1", "w-2", "w-3", None, None, None, "w-4"]
        events = [event for message in reading.found for event in message.envelope.events]
        assert [event.kind for event in events] == [Kind.SOS, Kind.GENERAL, Kind.SOS, Kind.GENERAL, Kind.GENERAL, Kind.GENERAL, Kind.SOS]
        assert events[0] == cry(1, b"one")
        assert [len(message.envelope.refused) for message in reading.found] == [1, 1, 1, 1, 0]
        assert all(event.is_alarm and event.dedup for event in events)
    finally:
        await reading.end()
        await bus.close()
