"""Stream codecs over TCP: one codec a connection, back-pressure, bounded connections, and errors of ours that reach the supervisor."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

import pytest
import structlog
from waiting import WAIT_S, free_port, wait_until

from drivers.contract import STORED, Rejected, Verdict
from drivers.lines import stream
from drivers.lines.conversation import HIGH_WATER
from drivers.lines.measures import measures
from drivers.lines.stream import StreamLine
from drivers.registry import build_line
from drivers.supervisor import LineState, LineStatus, keep_running
from gateway.config import CallsConfig, LineConfig
from gateway.event import Event
from tests.lines import tiny as tiny_codec
from tests.lines.tiny import Link

SELECT = bytes.fromhex("04 31 05 32 05")
CALL = bytes.fromhex("01 31 02 31 1f 41 03 5f")
EOT, ACK = b"\x04", b"\x06"


class House:
    """One supervised TCP line, and a store that can be held."""

    def __init__(self, codec: str = "espa444", **settings: object) -> None:
        self.port = free_port()
        config = LineConfig(name="bridge", codec=codec, listen=f"tcp:{self.port}:interface=127.0.0.1", **settings)  # type: ignore[arg-type]
        line = build_line(config, CallsConfig())
        assert isinstance(line, StreamLine)
        self.line = line
        self.status = LineStatus("bridge")
        self.kept: list[Event | Rejected] = []
        self.batches: list[int] = []
        self.open = asyncio.Event()
        self.open.set()
        self._task = asyncio.create_task(keep_running(line, self.emit, self.status))

    async def emit(self, events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        self.batches.append(len(events))
        await self.open.wait()
        self.kept += events
        return [STORED] * len(events)

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        await wait_until(lambda: self.status.is_live, "live")
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
async def espa() -> AsyncIterator[House]:
    house = House()
    yield house
    await house.stop()


async def ask(link: tuple[asyncio.StreamReader, asyncio.StreamWriter], data: bytes, answer: bytes) -> None:
    link[1].write(data)
    assert await asyncio.wait_for(link[0].readexactly(len(answer)), WAIT_S) == answer


async def hang_up(link: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    link[1].close()
    with suppress(ConnectionResetError):
        await link[1].wait_closed()


async def test_two_connections_do_not_share_a_codec(espa: House) -> None:
    one, two = await espa.dial(), await espa.dial()
    await ask(one, SELECT, ACK)
    await ask(two, EOT + b"2\x05", EOT)
    await ask(one, CALL, ACK)
    assert len(espa.kept) == 1
    await hang_up(one)
    await ask(two, SELECT, ACK)
    await hang_up(two)


async def test_what_was_read_before_a_hang_up_is_stored(espa: House) -> None:
    link = await espa.dial()
    espa.open.clear()
    link[1].write(SELECT + CALL)
    await wait_until(lambda: espa.batches)
    await hang_up(link)
    espa.open.set()
    await wait_until(lambda: len(espa.kept) == 1)


async def test_reading_pauses_while_the_store_is_slow_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.lines.conversing.SOURCE_BURST", 1e9)  # what one source may say is not tried here
    house = House("ascii_button")
    link = await house.dial()
    house.open.clear()
    lines = [f"{number}\n".encode() for number in range(1_000_000, 1_050_000)]
    wire = b"".join(lines)
    sender = asyncio.create_task(_send(link[1], wire))
    await wait_until(lambda: house.batches)
    [conversation] = house.line._conversations
    await wait_until(lambda: conversation.is_paused, "paused")
    assert conversation.waiting * 8 <= HIGH_WATER + 2 * 65536, "bounded"
    house.open.set()
    await sender
    await wait_until(lambda: len(house.kept) == len(lines), "everything arrives", 4 * WAIT_S)
    assert [one.device for one in house.kept if isinstance(one, Event)] == [line.decode().strip() for line in lines]
    assert max(house.batches) <= 256
    await hang_up(link)
    await house.stop()


async def _send(writer: asyncio.StreamWriter, wire: bytes) -> None:
    writer.write(wire)
    await writer.drain()


async def test_connections_are_bounded(espa: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_CONNECTIONS", 2)
    monkeypatch.setattr(stream, "HOST_SHARE", 1.0)
    links = [await espa.dial(), await espa.dial()]
    for link in links:
        await ask(link, EOT + b"2\x05", EOT)
    third = await espa.dial()
    assert await asyncio.wait_for(third[0].read(), WAIT_S) == b""
    await hang_up(third)
    await hang_up(links[0])
    for _ in range(1000):
        links[0] = await espa.dial()
        links[0][1].write(EOT + b"2\x05")
        if await links[0][0].read(1) == EOT:
            break
        await hang_up(links[0])
    for link in links:
        await ask(link, EOT + b"2\x05", EOT)
        await hang_up(link)


async def test_port_in_use_is_a_lost_line(espa: House) -> None:
    await hang_up(await espa.dial())
    second = LineStatus("second")
    config = LineConfig(name="second", codec="espa444", listen=f"tcp:{espa.port}:interface=127.0.0.1")
    task = asyncio.create_task(keep_running(build_line(config, CallsConfig()), espa.emit, second))
    await wait_until(lambda: second.state is LineState.LOST)
    assert "cannot listen" in second.reason
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def tiny(a_house: Callable[..., tiny_codec.House]) -> tiny_codec.House:
    house = a_house(listen=f"tcp:{free_port()}:interface=127.0.0.1")
    await wait_until(lambda: house.status.is_live, "live")
    return house


async def link_to(house: tiny_codec.House, source: str = "127.0.0.1") -> Link:
    assert isinstance(house.line, StreamLine)
    return await Link.to(house.line.port or 0, source)


async def test_codec_deadlines_run_while_the_store_is_slow(tiny: tiny_codec.House) -> None:
    link = await link_to(tiny)
    tiny.store.may_commit.clear()
    link.say("ALARM a 1")
    link.writer.write(b"ALARM a")
    await wait_until(lambda: tiny.store.asked)
    [conversation] = tiny.line._conversations  # type: ignore[attr-defined]
    await wait_until(lambda: conversation.waiting == 2, "the half line was given up")
    tiny.store.may_commit.set()
    await wait_until(lambda: tiny.store.rejected == ["cut"])
    await link.hang_up()


async def test_a_bug_in_a_codec_restarts_the_line(tiny: tiny_codec.House) -> None:
    link = await link_to(tiny)
    link.writer.write(b"\xff\n")
    await wait_until(lambda: tiny.status.reason == "internal error (UnicodeDecodeError)")
    await link.is_closed()
    await wait_until(lambda: tiny.status.is_live)
    link = await link_to(tiny)
    await link.asks("ALARM a 1", "OK 1")
    await link.hang_up()
    assert tiny.status.restarts == 1


async def test_a_codec_may_speak_first(a_house: Callable[..., tiny_codec.House]) -> None:
    house = a_house({"greets": True}, listen=f"tcp:{free_port()}:interface=127.0.0.1")
    await wait_until(lambda: house.status.is_live)
    link = await link_to(house)
    await link.hears("WHO")
    await link.hang_up()


async def test_a_flood_waits_with_its_sender_and_another_devices_alarm_passes(
    a_house: Callable[..., tiny_codec.House], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.lines.conversing.SOURCE_BURST", 50.0)
    monkeypatch.setattr("drivers.lines.conversing.SOURCE_PER_S", 500.0)
    house = a_house(listen=f"tcp:{free_port()}:interface=127.0.0.1")
    await wait_until(lambda: house.status.is_live)
    flooder, other = await link_to(house), await link_to(house)
    await other.asks("PING", "PONG")
    flooded = next(iter(house.line._conversations))  # type: ignore[attr-defined]
    with structlog.testing.capture_logs() as logged:
        flooder.say(*(f"ALARM flood {number}" for number in range(300)))
        await wait_until(lambda: flooded.is_paused, "not read for a moment")
    assert [(one["line"], one["host"]) for one in logged if one["event"] == "source_flooding"] == [(house.line.name, "127.0.0.1")]
    flooder.say("ALARM flood 300")
    await other.asks("ALARM quiet 1", "OK 1")
    assert house.store.cries[-1] == "quiet 1"
    assert "flood 300" not in house.store.cries, "what came while it was paused was not read"
    for number in range(301):
        await flooder.hears(f"OK {number}")
    assert len(house.store.cries) == 302, "nothing is lost"
    assert house.line.counts["flooding"] >= 1  # type: ignore[attr-defined]
    await flooder.hang_up()
    await other.hang_up()


async def test_rubbish_costs_too(a_house: Callable[..., tiny_codec.House], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.lines.conversing.SOURCE_BURST", 100.0)
    monkeypatch.setattr("drivers.lines.conversing.SOURCE_PER_S", 500.0)
    house = a_house(listen=f"tcp:{free_port()}:interface=127.0.0.1")
    await wait_until(lambda: house.status.is_live)
    link = await link_to(house)
    link.writer.write(b"x" * 60_000)  # no message: 234 tokens
    await wait_until(lambda: house.line.counts["flooding"] == 1)  # type: ignore[attr-defined]
    await link.hang_up()


async def test_one_host_never_takes_every_place(tiny: tiny_codec.House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_CONNECTIONS", 4)
    links = [await link_to(tiny), await link_to(tiny)]
    for link in links:
        await link.asks("PING", "PONG")
    await (await link_to(tiny)).is_closed()
    other = await link_to(tiny, "127.0.0.2")
    await other.asks("PING", "PONG")
    assert tiny.line.counts["connections_refused"] == 1  # type: ignore[attr-defined]
    await links[0].hang_up()
    await wait_until(lambda: tiny.line.connections == 2)  # type: ignore[attr-defined]
    links[0] = await link_to(tiny)
    await links[0].asks("PING", "PONG")
    for link in (*links, other):
        await link.hang_up()


async def test_a_link_silent_for_long_makes_room(tiny: tiny_codec.House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_CONNECTIONS", 2)
    monkeypatch.setattr(stream, "HOST_SHARE", 1.0)
    monkeypatch.setattr(stream, "IDLE_S", 0.0)
    waits, silent = await link_to(tiny), await link_to(tiny)
    tiny.store.may_commit.clear()
    waits.say("ALARM a 1")
    await wait_until(lambda: tiny.store.asked)
    await silent.asks("PING", "PONG")
    new = await link_to(tiny)
    await silent.is_closed()
    tiny.store.may_commit.set()
    await waits.hears("OK 1")
    await new.asks("ALARM b 2", "OK 2")
    assert tiny.line.counts["forgotten"] == 1  # type: ignore[attr-defined]
    await waits.hang_up()
    await new.hang_up()


async def test_a_line_says_of_itself_how_it_fares(tiny: tiny_codec.House) -> None:
    link = await link_to(tiny)
    tiny.store.may_commit.clear()
    link.say("ALARM a 1", "ALARM a 2")
    await wait_until(lambda: tiny.store.asked)
    told = {(one.name, one.labels.get("what")): one.value for one in measures(tiny.line)}
    assert told == {("dropped", None): 0, ("held", None): 2, ("connections", None): 1, ("counted", "connections"): 1}
    tiny.store.may_commit.set()
    await link.hears("OK 1")
    await link.hears("OK 2")
    assert {one.value for one in measures(tiny.line) if one.name == "held"} == {0}
    await link.hang_up()
