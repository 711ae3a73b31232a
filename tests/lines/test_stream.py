"""Stream codecs over TCP: one codec a connection, back-pressure, bounded connections, and errors of ours that reach the supervisor."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import pytest
from waiting import free_port, wait_until

from drivers.contract import STORED, Rejected, Verdict
from drivers.lines import stream
from drivers.lines.conversation import HIGH_WATER
from drivers.lines.stream import StreamLine
from drivers.registry import build_line
from drivers.supervisor import LineState, LineStatus, keep_running
from gateway.config import CallsConfig, LineConfig
from gateway.event import Event

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
    assert await asyncio.wait_for(link[0].readexactly(len(answer)), 5) == answer


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


async def test_reading_pauses_while_the_store_is_slow_and_nothing_is_lost() -> None:
    house = House("ascii_button")
    link = await house.dial()
    house.open.clear()
    lines = [f"{number}\n".encode() for number in range(1_000_000, 1_200_000)]
    wire = b"".join(lines)
    sender = asyncio.create_task(_send(link[1], wire))
    await wait_until(lambda: house.batches)
    [conversation] = await _conversations(house)
    await wait_until(lambda: conversation._paused, "paused")
    assert len(conversation._waiting) * 8 <= HIGH_WATER + 2 * 65536, "bounded"
    house.open.set()
    await sender
    await wait_until(lambda: len(house.kept) == len(lines), "everything arrives", 30)
    assert [one.device for one in house.kept if isinstance(one, Event)] == [line.decode().strip() for line in lines]
    assert max(house.batches) <= 256
    await hang_up(link)
    await house.stop()


async def _send(writer: asyncio.StreamWriter, wire: bytes) -> None:
    writer.write(wire)
    await writer.drain()


async def _conversations(house: House) -> list[stream.Conversation]:
    from twisted.internet import reactor

    found = [getattr(reader, "protocol", None) for reader in reactor.getReaders()]
    return [one for one in found if isinstance(one, stream.Conversation)]


async def test_connections_are_bounded(espa: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_CONNECTIONS", 2)
    links = [await espa.dial(), await espa.dial()]
    for link in links:
        await ask(link, EOT + b"2\x05", EOT)
    third = await espa.dial()
    assert await asyncio.wait_for(third[0].read(), 5) == b""
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


async def test_codec_deadlines_run_while_the_store_is_slow(espa: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.panel.espa444.BCC_S", 0.05)
    link = await espa.dial()
    espa.open.clear()
    link[1].write(SELECT + CALL + CALL[:-1])
    await wait_until(lambda: espa.batches)
    await asyncio.sleep(0)
    espa.open.set()
    await wait_until(lambda: [one.reason for one in espa.kept if isinstance(one, Rejected)] == ["bcc_missing"])
    await hang_up(link)


async def test_a_bug_in_a_codec_restarts_the_line(espa: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object) -> list[object]:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("drivers.panel.espa444.EspaStation.receive_data", explode)
        link = await espa.dial()
        link[1].write(b"x")
        await wait_until(lambda: espa.status.reason == "internal error (ZeroDivisionError)")
        await hang_up(link)
    await wait_until(lambda: espa.status.is_live)
    link = await espa.dial()
    await ask(link, SELECT, ACK)
    await hang_up(link)
    assert espa.status.restarts == 1
