"""Watches on a real TCP port, with the real core and a real store behind it: what a watch hears, and what becomes of its cry."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from waiting import WAIT_S, free_port, wait_until

from drivers.contract import Surroundings
from drivers.downlink import Tell, Word
from drivers.registry import build_line
from drivers.supervisor import LineStatus, keep_running
from drivers.tracker.watch3g_frames import write_frame
from gateway.config import CallsConfig, LineConfig
from gateway.core.register import Device, Person, Register, Responder, ResponderKind
from gateway.core.state import WorkingSet
from gateway.metrics import Metrics
from gateway.pipeline import Pipeline, StoreDown
from gateway.store.store import Batch, Store

ID = "8800000015"
REGISTER = Register(
    district="invented",
    persons=[Person(id="p-1", name="某人", lat=22.54, lon=114.05)],
    devices=[Device(id=ID, person="p-1")],
    responders=[Responder(id="desk", name="desk", kind=ResponderKind.DESK, channel="console", capacity=100)],
    version="test",
)


class FaultyStore(Store):
    """A real store that can be down."""

    is_down = False

    def write(self, batch: Batch) -> None:
        if self.is_down:
            raise StoreDown("the test says so")
        super().write(batch)


class House:
    """One line of watches and all that is behind it."""

    def __init__(self, folder: Path, **options: object) -> None:
        self.port = free_port()
        self.store = FaultyStore("sqlite:///gateway.db", folder)
        self.working = WorkingSet(REGISTER)
        self.metrics = Metrics()
        self.pipeline = Pipeline(self.store, self.working, self.metrics, {})
        config = LineConfig(name="watches", codec="watch3g", listen=f"tcp:{self.port}:interface=127.0.0.1", options=options)
        place = Surroundings(line="watches", knows=lambda address: REGISTER.device("watches", address) is not None)
        self.line = build_line(config, CallsConfig(), place=place)
        self.status = LineStatus("watches")
        self.watches: list[Watch] = []

    async def dial(self) -> "Watch":
        await wait_until(lambda: self.status.is_live, "live")
        self.watches.append(Watch(*await asyncio.open_connection("127.0.0.1", self.port)))
        return self.watches[-1]

    async def run(self) -> AsyncIterator["House"]:
        self.store.open()
        core = asyncio.create_task(self.pipeline.run())
        line = asyncio.create_task(keep_running(self.line, self.pipeline.receive, self.status))
        try:
            yield self
            for watch in self.watches:
                watch.writer.close()
            await asyncio.gather(*(watch.writer.wait_closed() for watch in self.watches), return_exceptions=True)
            line.cancel()
            await asyncio.gather(line, return_exceptions=True)
            self.pipeline.finish()
            await core
            assert self.metrics.books("watches").unaccounted == 0
            assert self.store.verify()[1] is None
        finally:
            line.cancel()
            core.cancel()
            await asyncio.gather(core, line, return_exceptions=True)
            await self.pipeline.close()
            self.store.close()
            for watch in self.watches:
                watch.writer.close()


class Watch:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def hears(self, expected: bytes) -> None:
        assert await asyncio.wait_for(self.reader.readexactly(len(expected)), WAIT_S) == expected

    async def is_hung_up_on(self) -> None:
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(self.reader.read(), WAIT_S) == b""

    def says(self, wire: bytes) -> None:
        self.writer.write(wire)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async for house in House(tmp_path, locate_on_sos=False).run():
        yield house


def press(fix: str = "V", place: str = "0.0,N,0.0,E", status: str = "00010000", device: str = ID) -> bytes:
    now = datetime.now(UTC)
    content = f"AL,{now:%d%m%y,%H%M%S},{fix},{place},0.00,0.0,12.0,9,80,64,0,0,{status},0,0,0"
    return write_frame("ZJ", device, "0007", content.encode())


AL = b"[ZJ*8800000015*0007*0002*AL]"
LK = b"[3G*8800000015*0002*LK]"


async def test_w22_one_press_is_one_incident_and_its_position_follows(house: House) -> None:
    watch = await house.dial()
    watch.says(press())
    await watch.hears(AL)
    [incident] = house.working.open_incidents
    assert incident.position is not None
    assert incident.position.source == "home"
    watch.says(press("A", "22.543096,N,114.057865,E"))
    await watch.hears(AL)
    [incident] = house.working.open_incidents
    assert incident.position is not None
    assert (incident.position.lat, incident.position.lon) == (22.543096, 114.057865)
    assert (incident.cries, incident.entries, incident.person) == (1, 2, "p-1")


async def test_every_bit_is_an_event_and_the_frame_has_one_answer(house: House) -> None:
    watch = await house.dial()
    watch.says(press(status="00030000") + LK)
    await watch.hears(AL + LK)
    assert [row.kind for row in house.store.journal() if row.kind in ("sos", "low_battery")] == ["sos", "low_battery"]


async def test_while_the_store_is_down_there_is_no_answer_and_the_repeat_makes_one_incident(house: House) -> None:
    watch = await house.dial()
    house.store.is_down = True
    watch.says(press())
    await wait_until(lambda: house.pipeline.is_store_down, "the store is down")
    house.store.is_down = False
    again = press("A", "22.543096,N,114.057865,E")

    async def until_answered() -> None:
        while True:
            watch.says(again)
            try:
                assert await asyncio.wait_for(watch.reader.readexactly(len(AL)), 1) == AL
                return
            except TimeoutError:
                continue

    await asyncio.wait_for(until_answered(), WAIT_S)
    assert len(list(house.working.open_incidents)) == 1


async def test_a_newer_link_of_the_same_watch_ends_the_older(house: House) -> None:
    older = await house.dial()
    older.says(LK)
    await older.hears(LK)
    newer = await house.dial()
    newer.says(LK)
    await newer.hears(LK)
    await older.is_hung_up_on()
    newer.says(press())
    await newer.hears(AL)


async def test_a_stranger_is_answered_marked_and_nobodys(house: House) -> None:
    watch = await house.dial()
    watch.says(press(device="7700000001"))
    await watch.hears(AL.replace(ID.encode(), b"7700000001"))
    [incident] = house.working.open_incidents
    assert incident.person is None
    [row] = [row for row in house.store.journal() if row.kind == "sos"]
    assert "unknown_device" in row.facts
    assert "unauthenticated" in row.facts


async def test_bad_bytes_cost_their_own_link_only(house: House) -> None:
    bad, good = await house.dial(), await house.dial()
    for _ in range(2):
        bad.says(b"[3G*7700000001*0002*TK," + b"x" * 70_000)
    await bad.is_hung_up_on()
    good.says(press())
    await good.hears(AL)


async def test_the_wearer_is_told_that_help_comes(house: House) -> None:
    watch = await house.dial()
    watch.says(LK)
    await watch.hears(LK)
    assert hasattr(house.line, "tell")
    telling = asyncio.create_task(house.line.tell(Tell(id="1", device=ID, word=Word.COMING, text="在路上")))
    await watch.hears(b"[3G*8800000015*0014*MESSAGE,57288DEF4E0A]")
    watch.says(b"[3G*8800000015*0007*MESSAGE]")
    assert await asyncio.wait_for(telling, WAIT_S) == ""


async def test_it_is_asked_where_it_is(tmp_path: Path) -> None:
    async for house in House(tmp_path).run():
        watch = await house.dial()
        watch.says(press())
        await watch.hears(AL + b"[ZJ*8800000015*0007*0002*CR]")
