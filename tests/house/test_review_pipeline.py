"""What a second pair of eyes found in the path from queue to disk to order, on a real SQLite store: races, starvation, what hangs, what dies."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from servers import until
from waiting import WAIT_S

from drivers.contract import STORED
from gateway import pipeline as pipeline_module
from gateway.app import House
from gateway.config import Config, ConsoleConfig, GatewayConfig
from gateway.core.command import Command
from gateway.core.incident import Action
from gateway.core.register import Device, Person, Register, Responder, ResponderKind
from gateway.core.state import Seen, WorkingSet
from gateway.dispatch.contract import Order
from gateway.errors import Refused, StoreBroken
from gateway.event import Event, Kind, Phase
from gateway.inbox import Due, Incoming
from gateway.metrics import Metrics
from gateway.pipeline import Pipeline
from gateway.store.store import Batch, Store

REGISTER = Register(
    district="invented",
    persons=[Person(id=f"p-{n}", name="某人", lat=36.34, lon=102.86) for n in range(20)],
    devices=[Device(id=f"w-{n}", person=f"p-{n}") for n in range(20)],
    responders=[
        Responder(id="desk", name="desk", kind=ResponderKind.DESK, channel="console", capacity=100_000),
        Responder(id="station-1", name="one", kind=ResponderKind.STATION, parent="desk", lat=36.35, lon=102.87, capacity=100_000),
    ],
    version="test",
)


class SlowStore(Store):
    """A real store whose writing may be held: `hold(batch)` runs in the writer's thread before anything is written."""

    def __init__(self, folder: Path) -> None:
        super().__init__("sqlite:///gateway.db", folder)
        self.hold: Callable[[Batch], None] = lambda _: None
        self.saved: list[str] = []

    @property
    def is_fast(self) -> bool:
        """Never: writing belongs in the thread, so that the test may go on beside it."""
        return False

    def write(self, batch: Batch) -> None:
        self.hold(batch)
        super().write(batch)

    def checkpoint(self, seen: list[tuple[str, Seen]]) -> None:  # type: ignore[override]
        super().checkpoint(seen)
        self.saved += [device for device, _ in seen]


class Station:
    """A channel that notes what left; it may be made to wait or to break."""

    name = "mqtt"

    def __init__(self) -> None:
        self.left: list[Order] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.bugs: list[Exception] = []

    async def run(self) -> None:
        """Nothing to keep open."""

    async def deliver(self, order: Order) -> None:
        if self.bugs:
            raise self.bugs.pop()
        await self.gate.wait()
        self.left.append(order)


class Path_:
    """Store, working set and pipeline."""

    def __init__(self, folder: Path) -> None:
        self.store = SlowStore(folder)
        self.store.open()
        self.station = Station()
        self.pipeline = Pipeline(self.store, WorkingSet(REGISTER), Metrics(), {"mqtt": self.station})

    async def command(self, action: Action, incident: str, **facts: object) -> None:
        await self.pipeline.command(Command(action=action, actor="Li Na", incident=incident, facts=facts))


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Path_]:
    path = Path_(folder)
    core = asyncio.create_task(path.pipeline.run())
    try:
        yield path
        path.pipeline.finish()
        await core
    finally:
        core.cancel()
        await asyncio.gather(core, return_exceptions=True)
        await path.pipeline.close()
        path.store.close()


def event(kind: Kind, device: str, phase: Phase = Phase.RAISE) -> Event:
    at = datetime.now(UTC)
    return Event(kind=kind, phase=phase, line="wearables", device=device, received_at=at, occurred_at=at)


async def test_a_deadline_found_not_yet_due_is_armed_again(tmp_path: Path) -> None:
    """The wall clock may step back a little (under what counts as a step) between timer and decision."""
    async with running(tmp_path) as path:
        await path.pipeline.receive([event(Kind.SOS, "w-1")])
        await until(lambda: path.pipeline.outbox.under_way == 0, "the order is reported")
        path.pipeline._armed.clear()
        path.pipeline._timers.clear()
        path.pipeline._put(Due("I100001", path.pipeline))
        await until(lambda: path.pipeline._armed, "it is armed again")


async def test_an_order_whose_report_is_not_yet_written_is_not_sent_twice(tmp_path: Path) -> None:
    async with running(tmp_path) as path:
        path.station.gate.clear()
        await path.pipeline.receive([event(Kind.SOS, "w-1")])
        writing, go_on = threading.Event(), threading.Event()

        def hold(_: Batch) -> None:
            writing.set()
            go_on.wait(10)

        path.store.hold = hold
        joined = asyncio.create_task(path.pipeline.receive([event(Kind.SOS, "w-1", Phase.REPEAT)]))
        await until(writing.is_set, "the repeat is being written")
        path.station.gate.set()
        await until(lambda: path.station.left, "the order has left meanwhile")
        path.store.hold = lambda _: None
        go_on.set()
        await joined
        await until(lambda: path.pipeline.outbox.under_way == 0, "the report is written")
        assert len(path.station.left) == 1


async def test_an_order_withdrawn_while_it_waits_for_a_place_does_not_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.dispatch.outbox.AT_ONCE", 1)
    async with running(tmp_path) as path:
        path.station.gate.clear()
        await path.pipeline.receive([event(Kind.SOS, "w-1"), event(Kind.SOS, "w-2")])
        await path.command(Action.ACKNOWLEDGE, "I100002")
        await path.command(Action.RESOLVE, "I100002", outcome="false_alarm")
        path.station.gate.set()
        await until(lambda: path.pipeline.outbox.under_way == 0, "all has left")
        assert [b"withdrawn" in order.body for order in path.station.left if order.incident == "I100002"] == [True]


async def test_a_bug_in_a_channel_does_not_lose_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.dispatch.outbox.FIRST_RETRY_S", 0.01)
    async with running(tmp_path) as path:
        path.station.bugs = [RuntimeError("a bug")]
        await path.pipeline.receive([event(Kind.SOS, "w-1")])
        await until(lambda: path.station.left, "it was tried again")


async def test_signs_of_life_are_saved_under_load_and_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "CHECKPOINT_S", 0.05)
    monkeypatch.setattr(pipeline_module, "BATCH_LIMIT", 5)
    async with running(tmp_path) as path:
        assert set(await path.pipeline.receive([event(Kind.HEARTBEAT, f"w-{n}", Phase.STATE) for n in range(12)])) == {STORED}

        async def press() -> None:
            while True:
                await path.pipeline.receive([event(Kind.SOS, "w-1", Phase.REPEAT)])

        busy = [asyncio.create_task(press()) for _ in range(3)]  # one waits while another is written: never idle
        try:
            await until(lambda: len(path.store.saved) >= 12, "they are saved")
        finally:
            for task in busy:
                task.cancel()
            await asyncio.gather(*busy, return_exceptions=True)


async def test_an_address_that_no_database_takes_does_not_end_the_house(tmp_path: Path) -> None:
    async with running(tmp_path) as path:
        await path.pipeline.receive([event(Kind.HEARTBEAT, "w\ud800\x00", Phase.STATE), event(Kind.HEARTBEAT, "w-1", Phase.STATE)])
    assert len(path.store.saved) == 1  # an address on no register leaves no row


async def test_a_fact_that_cannot_be_stored_is_refused_not_left_hanging(tmp_path: Path) -> None:
    async with running(tmp_path) as path, asyncio.timeout(WAIT_S):
        with pytest.raises(Refused):
            await path.pipeline.note(Kind.DUTY, "Li\ud800")


async def test_a_cancel_before_a_cry_does_not_cancel_the_cry(tmp_path: Path) -> None:
    async with running(tmp_path) as path:
        await path.pipeline.receive([event(Kind.CANCEL, "w-1"), event(Kind.SOS, "w-1")])
        assert path.pipeline.working.incidents["I100001"].flags == ()


async def test_a_cry_after_a_long_downtime_does_not_wait_behind_every_deadline_that_passed(tmp_path: Path) -> None:
    path = Path_(tmp_path)
    past = datetime.now(UTC) - timedelta(hours=1)
    path.pipeline._timers = [(past, f"I{n}") for n in range(50_000)]
    path.pipeline._armed = {name: at for at, name in path.pipeline._timers}
    path.pipeline._tick()
    cry = asyncio.create_task(path.pipeline.receive([event(Kind.SOS, "w-1")]))
    await asyncio.sleep(0)
    assert any(isinstance(item, Incoming) for item in path.pipeline._take())
    cry.cancel()
    await path.pipeline.close()
    path.store.close()


def test_a_store_that_went_ahead_of_us_ends_the_house_instead_of_refusing_everything(tmp_path: Path) -> None:
    """The server broke while it answered a commit: nobody here knows that it is on disk. A restart reads what is."""
    path = SlowStore(tmp_path)
    path.open()
    path._drop_connection()
    path.write(Batch())
    with path._writing().begin() as transaction:
        path._writing().exec_driver_sql(
            "INSERT INTO journal (seq, at, kind, phase, facts, raw, digest, chain) VALUES (1, 0, 'started', 'state', '{}', x'', x'', x'')"
        )
        transaction.commit()
    path._drop_connection()
    with pytest.raises(StoreBroken, match="start it again"):
        path.write(Batch())
    path.close()


async def test_what_is_not_on_disk_in_time_does_not_end_the_house_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "is_fast", False)
    config = Config(gateway=GatewayConfig(data="data", drain_s=0.2), console=ConsoleConfig(enabled=False), path=str(tmp_path / "gateway.toml"))
    house = House(config, REGISTER)
    stop, go_on, writing = asyncio.Event(), threading.Event(), threading.Event()
    write = house.store.write

    def slow(batch: Batch) -> None:
        if any(record.kind is Kind.SOS for record in batch.records):
            writing.set()
            go_on.wait(10)
        write(batch)

    house.store.write = slow  # type: ignore[method-assign]
    life = asyncio.create_task(house.run(stop))
    await until(lambda: house.pipeline.beat and house.working.router and house.store._sql, "it stands")
    cry = asyncio.create_task(house.pipeline.receive([event(Kind.SOS, "w-1")]))
    await until(writing.is_set, "the cry is being written")
    stop.set()
    await asyncio.sleep(0.5)
    go_on.set()
    await life
    cry.cancel()
