"""The one path on a real SQLite store, with faults that no real part produces on demand."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from servers import until
from sqlalchemy.exc import DataError
from waiting import WAIT_S

from drivers.contract import DUPLICATE, STORED, Rejected, Signal, Verdict, to_event
from gateway import pipeline as pipeline_module
from gateway.core import decide, state
from gateway.core.command import Command
from gateway.core.incident import Action
from gateway.core.register import Device, Person, Register, Responder, ResponderKind
from gateway.core.state import WorkingSet
from gateway.dispatch.contract import DeliveryError, Order
from gateway.event import Event, Kind, Phase
from gateway.metrics import Metrics
from gateway.pipeline import Pipeline
from gateway.store.store import Batch, Store

STORE_DOWN = Verdict("refused", "store_down", retry=True)
REGISTER = Register(
    district="invented",
    persons=[Person(id=f"p-{n}", name="某人", lat=36.34, lon=102.86) for n in range(2000)],
    devices=[Device(id=f"w-{n}", person=f"p-{n}") for n in range(2000)],
    responders=[
        Responder(id="desk", name="desk", kind=ResponderKind.DESK, channel="console", capacity=100_000),
        Responder(id="station-1", name="one", kind=ResponderKind.STATION, parent="desk", lat=36.35, lon=102.87, capacity=100_000),
    ],
    version="test",
)


class FaultyStore(Store):
    """A real store with a switch in front: `fault(batch)` may raise before anything is written."""

    def __init__(self, folder: Path) -> None:
        super().__init__("sqlite:///gateway.db", folder)
        self.fault: Callable[[Batch], None] = lambda _: None
        self.is_probe_refused = False
        self.batches: list[Batch] = []

    def write(self, batch: Batch) -> None:
        self.fault(batch)
        super().write(batch)
        self.batches.append(batch)

    def probe(self) -> None:
        if self.is_probe_refused:
            raise pipeline_module.StoreDown("the test says so")
        super().probe()


class Stations:
    """A channel that remembers what it delivered; `fault` may raise DeliveryError."""

    name = "mqtt"

    def __init__(self) -> None:
        self.delivered: list[Order] = []
        self.fault: Callable[[Order], None] = lambda _: None

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def deliver(self, order: Order) -> None:
        self.fault(order)
        self.delivered.append(order)


class Running:
    """Store, working set and pipeline, running."""

    def __init__(self, folder: Path) -> None:
        self.store = FaultyStore(folder)
        self.working = WorkingSet(REGISTER)
        self.metrics = Metrics()
        self.stations = Stations()
        self.pipeline = Pipeline(self.store, self.working, self.metrics, {"mqtt": self.stations})

    def unaccounted(self) -> float:
        return self.metrics.books("wearables").unaccounted

    def rejected(self) -> list[tuple[str, bytes]]:
        with self.store.engine.connect() as connection:
            return [(row.reason, bytes(row.raw)) for row in connection.exec_driver_sql("SELECT reason, raw FROM rejected ORDER BY id")]

    def stored(self, kind: str = "sos") -> list[str]:
        return [str(row.device) for row in self.store.journal() if row.kind == kind]


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Running]:
    """Everything as `House.run` puts it together; at the end the books balance and the chain is whole."""
    path = Running(folder)
    path.store.open()
    found = path.store.load()
    path.working.restore(found.incidents, found.calls, found.known, found.seen, found.standings)
    path.working.next_number, path.working.opened, path.working.closed = found.next_number, found.opened, found.closed
    core = asyncio.create_task(path.pipeline.run())
    path.pipeline.resume()
    try:
        yield path
        path.pipeline.finish()
        await core
        assert path.unaccounted() == 0
        assert path.metrics.books("wearables").in_flight == 0
        assert path.store.verify()[1] is None
    finally:
        core.cancel()
        await asyncio.gather(core, return_exceptions=True)
        await path.pipeline.close()
        path.store.close()


_numbers = itertools.count()


def cry(device: str = "w-0", *, dedup: str | None = None, kind: Kind = Kind.SOS, detail: dict[str, object] | None = None) -> Event:
    """A new message, unless `dedup` says that it is an old one."""
    identity = dedup or f"{device}:{next(_numbers)}"
    at = datetime.now(UTC)
    phase = Phase.RAISE if kind is Kind.SOS else Phase.STATE
    return Event(
        kind=kind,
        phase=phase,
        line="wearables",
        device=device,
        dedup=identity,
        received_at=at,
        occurred_at=at,
        detail=detail or {},
        raw=device.encode(),
    )


def once(error: Exception) -> Callable[[Batch], None]:
    errors = iter([error])

    def fault(_: Batch) -> None:
        for one in errors:
            raise one

    return fault


def poisoned(device: str) -> Callable[[Batch], None]:
    """What a database says to a value that it can never take."""

    def fault(batch: Batch) -> None:
        if any(record.device == device for record in batch.records):
            raise DataError("INSERT", {}, Exception("value out of range"))

    return fault


async def test_what_a_closed_incident_still_has_to_say_leaves_after_a_restart(tmp_path: Path) -> None:
    """The station hears that nobody waits for it, although the house fell right after the incident was closed."""

    def no_broker(_: Order) -> None:
        raise DeliveryError("no_broker", retry=True)

    async with running(tmp_path) as path:
        await path.pipeline.receive([cry()])
        await until(lambda: path.stations.delivered, "an order")
        path.stations.fault = no_broker
        (name,) = path.working.incidents
        for action, facts in ((Action.ACKNOWLEDGE, {}), (Action.RESOLVE, {"outcome": "helped"}), (Action.CALL_BACK, {})):
            await path.pipeline.command(Command(action=action, actor="Li Na", incident=name, facts=dict(facts)))
        assert path.working.incidents[name].is_leaving
    async with running(tmp_path) as path:
        await until(lambda: path.stations.delivered, "an order")
        assert b'"withdrawn":true' in path.stations.delivered[0].body
        await until(lambda: not path.working.incidents[name].is_leaving, "it has left")
        assert (path.working.opened, path.working.closed, list(path.working.open_incidents)) == (1, 1, [])
    async with running(tmp_path) as path:
        assert path.working.incidents == {}, "said once"


async def test_store_refuses_once(tmp_path: Path) -> None:
    """It could be the batch: it is divided, and all of it is stored."""
    async with running(tmp_path) as path:
        path.store.fault = once(DataError("INSERT", {}, Exception("odd")))
        assert await path.pipeline.receive([cry(f"w-{n}") for n in range(10)]) == [STORED] * 10
        assert sorted(path.stored()) == sorted(f"w-{n}" for n in range(10))
        assert path.rejected() == []


async def test_an_alarm_whose_sender_has_no_readable_name_is_stored(tmp_path: Path) -> None:
    """Octets that are no UTF-8 come as lone surrogates out of the text protocols; JSON has none."""
    signal = Signal(
        kind=Kind.SOS, kind_raw="a\udcff", device="1\udcff\udc81", dedup="d\udcff", detail={"from": "sip:\udcff@x", "legs": [{"user": "\udc80"}, 7]}
    )
    async with running(tmp_path) as path:
        assert await path.pipeline.receive([to_event(signal, "wearables", datetime.now(UTC))]) == [STORED]
        assert path.stored() == ["1??"]
        assert path.rejected() == []


async def test_one_culprit_harms_nobody_else(tmp_path: Path) -> None:
    async with running(tmp_path) as path:
        path.store.fault = poisoned("w-13")
        verdicts = await path.pipeline.receive([cry(f"w-{n}") for n in range(40)])
        assert [index for index, verdict in enumerate(verdicts) if verdict != STORED] == [13]
        assert verdicts[13] == Verdict("refused", "unstorable")
        assert path.rejected() == [("unstorable", b"w-13")]
        assert sorted(path.stored()) == sorted(f"w-{n}" for n in range(40) if n != 13)
        assert path.metrics.books("wearables").rejected == {"unstorable": 1}
        await until(lambda: len(path.stations.delivered) == 39, "the others are ordered")


async def test_culprit_that_cannot_even_be_rejected(tmp_path: Path) -> None:
    """Its line hears all the same, and goes on."""
    async with running(tmp_path) as path:

        def fault(batch: Batch) -> None:
            if any(item.device == "w-13" for item in (*batch.records, *batch.refusals)):
                raise DataError("INSERT", {}, Exception("value out of range"))

        path.store.fault = fault
        async with asyncio.timeout(WAIT_S):
            verdicts = await path.pipeline.receive([cry("w-12"), cry("w-13"), cry("w-14")])
        assert verdicts == [STORED, Verdict("refused", "unstorable"), STORED]


async def test_no_room_is_nobodys_fault(tmp_path: Path) -> None:
    """Even while the small row of the probe still fits."""
    async with running(tmp_path) as path:
        path.store.fault = no_room
        events = [cry(f"w-{n}") for n in range(5)]
        assert await path.pipeline.receive(events) == [STORE_DOWN] * 5
        assert path.pipeline.is_store_down
        path.store.fault = lambda _: None
        assert await path.pipeline.receive(events) == [STORED] * 5
        assert not path.pipeline.is_store_down
        assert path.rejected() == []


def no_room(batch: Batch) -> None:
    """`Store.write` tells a full disk as StoreDown (tests/store proves it on a full one)."""
    if batch.records:
        raise pipeline_module.StoreDown("OperationalError: database or disk is full")


async def test_full_disk_is_told_as_such(tmp_path: Path) -> None:
    """The real store on a database that may not grow: SQLite's own word for a full disk."""
    async with running(tmp_path) as path:
        assert await path.pipeline.receive([cry("w-0")]) == [STORED]
        connection = path.store._writing()
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        connection.rollback()
        big = [cry(f"w-{n}", detail={"padding": "x" * 4000}) for n in range(20)]
        assert await path.pipeline.receive(big) == [STORE_DOWN] * 20
        assert await path.pipeline.receive(big) == [STORED] * 20  # a new connection knows nothing of the limit


async def test_store_down_loses_nothing(tmp_path: Path) -> None:
    """Everything that enters while nothing can be written is told to come again, or comes again by itself."""
    async with running(tmp_path) as path:
        (first,) = await path.pipeline.receive([cry("w-0")])
        assert first == STORED
        await until(lambda: path.working.incidents["I100001"].legs[0].state == "sent", "the order is sent")
        path.store.fault = once(DataError("INSERT", {}, Exception("odd")))
        path.store.is_probe_refused = True
        events = [cry(f"w-{n}") for n in range(1, 6)]
        assert await path.pipeline.receive(events) == [STORE_DOWN] * 5
        assert path.metrics.books("wearables").received == 1
        path.store.is_probe_refused = False
        assert await path.pipeline.receive(events) == [STORED] * 5
        assert path.metrics.books("wearables").accepted == 6
        await until(lambda: len(path.stations.delivered) == 6, "all are ordered")


async def test_report_of_a_channel_survives_a_store_that_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "STORE_RETRY_S", 0.05)
    async with running(tmp_path) as path:

        def no_reports(batch: Batch) -> None:
            if any(record.kind is Kind.SENT for record in batch.records):
                raise pipeline_module.StoreDown("the test says so")

        path.store.fault = no_reports
        assert await path.pipeline.receive([cry("w-0")]) == [STORED]
        await until(lambda: path.pipeline.is_store_down, "the report is refused")
        path.store.fault = lambda _: None
        await until(lambda: path.working.incidents["I100001"].legs[0].state == "sent", "the report is written after all")
        assert len(path.stations.delivered) == 1


async def test_event_that_cannot_be_decided(tmp_path: Path) -> None:
    async with running(tmp_path) as path:
        odd = cry("w-1", detail={"odd": object()})  # cannot be written as JSON: a bug of a codec
        verdicts = await path.pipeline.receive([cry("w-0"), odd, cry("w-2")])
        assert verdicts == [STORED, Verdict("refused", "undecidable"), STORED]
        assert path.rejected() == [("undecidable", b"w-1")]
        assert path.stored() == ["w-0", "w-2"]
        assert path.stored("general") == ["w-1"]
        [told] = [incident for incident in path.working.incidents.values() if incident.device == "w-1"]
        assert told.kind is Kind.GENERAL  # a person must look: an alarm that our own fault keeps out is not silently put aside
        assert await path.pipeline.receive([odd]) == [Verdict("refused", "undecidable")]
        assert path.stored("general") == ["w-1"], "a device that repeats it, or a shard that reads it again, is no second cry"


async def test_alarm_that_cannot_even_be_told_in_few_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path) as path:
        decided = decide.on_event

        def broken(draft: state.Draft, event: Event, now: datetime) -> str:
            if event.device == "w-1":
                raise KeyError(event.kind)
            return decided(draft, event, now)

        monkeypatch.setattr(decide, "on_event", broken)
        verdicts = await path.pipeline.receive([cry("w-0"), cry("w-1"), cry("w-2")])
        assert verdicts == [STORED, Verdict("refused", "undecidable"), STORED]
        assert path.rejected() == [("undecidable", b"w-1")]
        assert path.stored() == ["w-0", "w-2"]


async def test_rejected_messages_are_kept_and_told(tmp_path: Path) -> None:
    async with running(tmp_path) as path:
        bad = Rejected(reason="bad_json", raw=b"\xff\x00", line="wearables", device="w\ud800", detail="a\x00b")
        assert await path.pipeline.receive([bad]) == [Verdict("refused", "bad_json")]
        assert path.rejected() == [("bad_json", b"\xff\x00")]


async def test_redelivery_older_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What memory has forgotten the journal's unique index still knows."""
    monkeypatch.setattr(state, "KNOWN_LIMIT", 5)
    async with running(tmp_path) as path:
        old = [cry(f"w-{n}") for n in range(10)]
        await path.pipeline.receive(old)
        await path.pipeline.receive([cry(f"w-{n}") for n in range(10, 30)])
        await until(lambda: len(path.stations.delivered) == 30, "all are ordered")
        assert not path.working.known.keys() & {f"wearables|{event.dedup}" for event in old}
        mixed = [old[3], cry("w-40"), old[7]]
        assert await path.pipeline.receive(mixed) == [DUPLICATE, STORED, DUPLICATE]
        assert len(path.stored()) == 31
        await until(lambda: len(path.stations.delivered) == 31, "only the new one is ordered")
        assert path.working.incidents["I100004"].cries == 1


async def test_redelivery_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [cry(f"w-{n}") for n in range(10)]
    async with running(tmp_path) as path:
        await path.pipeline.receive(events)
    monkeypatch.setattr("gateway.store.store.KNOWN_AT_START", 3)
    async with running(tmp_path) as path:
        assert await path.pipeline.receive(events) == [DUPLICATE] * 10


async def test_the_same_message_twice_in_one_batch(tmp_path: Path) -> None:
    async with running(tmp_path) as path:
        first = cry("w-0")
        assert await path.pipeline.receive([first, first]) == [STORED, DUPLICATE]


async def test_a_cry_overtakes_a_flood_of_telemetry(tmp_path: Path) -> None:
    flood = [cry(f"w-{n % 2000}", kind=Kind.LOW_BATTERY) for n in range(25_000)] + [cry(f"w-{n % 2000}", kind=Kind.HEARTBEAT) for n in range(25_000)]
    async with running(tmp_path) as path:
        answered: list[str] = []

        async def send(name: str, events: Sequence[Event]) -> None:
            await path.pipeline.receive(events)
            answered.append(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(send("flood", flood))
            await asyncio.sleep(0)  # the flood stands in the queue
            group.create_task(send("cry", [cry("w-5")]))
        assert answered == ["cry", "flood"]
        (batch,) = [index for index, batch in enumerate(path.store.batches) if any(record.kind is Kind.SOS for record in batch.records)]
        assert batch <= 1, "at most the batch that was under way goes before"


async def test_an_order_is_tried_again_under_the_same_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.dispatch.outbox.FIRST_RETRY_S", 0.01)
    async with running(tmp_path) as path:
        tried: list[str] = []

        def fault(order: Order) -> None:
            tried.append(order.delivery)
            if len(tried) < 4:
                raise DeliveryError("connection_lost")

        path.stations.fault = fault
        await path.pipeline.receive([cry("w-0")])
        await until(lambda: path.stations.delivered, "it is delivered")
        assert len(tried) == 4
        assert len(set(tried)) == 1


async def test_deadlines_wait_for_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadline that passes while nothing can be written is handled once it can."""
    monkeypatch.setattr(pipeline_module, "STORE_RETRY_S", 0.05)
    async with running(tmp_path) as path:
        await path.pipeline.receive([cry("w-0")])
        await until(lambda: path.working.incidents["I100001"].legs[0].state == "sent", "the order is sent")

        def down(_: Batch) -> None:
            raise pipeline_module.StoreDown("the test says so")

        path.store.fault = down
        monkeypatch.setattr(pipeline_module, "utc_now", lambda: datetime.now(UTC) + timedelta(minutes=2))
        monkeypatch.setattr(pipeline_module, "CLOCK_STEP_S", 1e9)  # not a step: two minutes have passed
        path.pipeline._wake.set()
        await until(lambda: path.pipeline.is_store_down, "the deadline was tried")
        path.store.fault = lambda _: None
        await until(lambda: "escalate" in [row.kind for row in path.store.journal()], "it is handled")


async def test_that_a_press_is_over_is_on_disk_when_its_report_is_answered(tmp_path: Path) -> None:
    """Told as no journalled kind, and nothing else in its batch. Killed now, the next press must be news."""
    at = datetime.now(UTC)
    pressed = Event(kind=Kind.SOS, line="wearables", device="w-0", received_at=at, occurred_at=at, edge="bit 0", dedup="1")
    over = Event(kind=Kind.TELEMETRY, phase=Phase.CLEAR, line="wearables", device="w-0", received_at=at, occurred_at=at, edge="bit 0")
    async with running(tmp_path) as path:
        for event, is_set in ((pressed, True), (over, False)):
            assert await path.pipeline.receive([event]) == [STORED]
            seen = dict(path.store.load().seen)["wearables|w-0"]
            assert {edge.name: edge.is_set for edge in seen.edges}["bit 0"] is is_set


async def test_what_is_over_leaves_no_deadline_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step of an incident sets another deadline, hours ahead for some: those of closed ones do not wait in memory until then."""
    monkeypatch.setattr(pipeline_module, "CLOSED_KEPT", timedelta(0))
    monkeypatch.setattr(pipeline_module, "TIMERS_SPARE", 0)
    async with running(tmp_path) as path:
        for number in range(5):
            await path.pipeline.receive([cry(f"w-{number}")])
        await until(lambda: len(path.stations.delivered) == 5, "the orders")
        first, *others = sorted(path.working.incidents)
        for name in others:
            for action, facts in ((Action.ACKNOWLEDGE, {}), (Action.RESOLVE, {"outcome": "helped"}), (Action.CALL_BACK, {})):
                await path.pipeline.command(Command(action=action, actor="Li Na", incident=name, facts=dict(facts)))
        await until(lambda: list(path.working.incidents) == [first], "the closed ones are let go of")
        await until(lambda: len(path.pipeline._timers) <= 2, "and so are their deadlines")
        assert set(path.pipeline._armed) == {first}
        assert path.pipeline._armed[first] == path.working.incidents[first].next_deadline[1]  # type: ignore[index]
