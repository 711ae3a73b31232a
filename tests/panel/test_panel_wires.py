"""The main dialogues of ESPA and Sur-Gard over what they really run over: a pseudo-terminal and TCP, both ways of connecting."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from panel.espa_link import block
from waiting import WAIT_S, free_port, wait_until

from drivers.contract import STORED, Verdict
from drivers.downlink import Downlink, Tell, Word
from drivers.registry import build_line
from drivers.supervisor import LineStatus, keep_running
from gateway.config import CallsConfig, LineConfig
from gateway.event import Event
from tests.lines.test_serial_port import Cable, House, SerialHouse, Store

EOT, ACK, NAK = b"\x04", b"\x06", b"\x15"
CALL = bytes.fromhex("01 31 02 31 1f 41 03 5f")
ALARM = b"5000 184321E10100005\x14"
HEARTBEAT = b"1011" + b" " * 11 + b"@" + b" " * 4 + b"\x14"


@pytest.fixture
async def cable(tmp_path: Path) -> AsyncIterator[Cable]:
    cable = Cable(tmp_path / "panel0")
    yield cable
    cable.unplug()


async def test_the_control_station_speaks_first_and_takes_a_call(cable: Cable) -> None:
    house = SerialHouse(cable, "espa444", options={"role": "control", "poll_s": 0.2})
    await wait_until(lambda: cable.read() == EOT + b"2\x05", "the first poll")
    cable.send(EOT)
    await wait_until(lambda: cable.read() == EOT + b"2\x05", "the next poll")
    await cable.asks(b"1\x05", ACK)
    house.store.open.clear()
    cable.send(CALL)
    await wait_until(lambda: house.store.asked >= 2, "the call is emitted")
    assert cable.read() == b"", "no receipt before the commit"
    house.store.open.set()
    await wait_until(lambda: cable.read() == ACK, "the receipt")
    assert house.store.kinds == ["offline", "sos"]
    await cable.asks(EOT, EOT + b"2\x05")
    await house.stop()


async def test_a_caller_is_told_over_the_line() -> None:
    port = free_port()
    config = LineConfig(name="ward", codec="espa444", listen=f"tcp:{port}:interface=127.0.0.1", options={"tell": "status"})
    store, status, line = Store(), LineStatus("ward"), build_line(config, CallsConfig())
    assert isinstance(line, Downlink)
    task = asyncio.create_task(keep_running(line, store.emit, status))
    await wait_until(lambda: status.is_live, "live")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def asks(data: bytes, answer: bytes) -> None:
        writer.write(data)
        assert await asyncio.wait_for(reader.readexactly(len(answer)), WAIT_S) == answer

    await asks(EOT + b"1\x052\x05", ACK)
    await asks(CALL, ACK)
    await asks(EOT + b"2\x05", EOT)
    told = asyncio.create_task(line.tell(Tell(id="t", device="A", word=Word.TAKEN)))
    await asyncio.sleep(0)
    await asks(EOT + b"2\x05", b"1\x05")
    await asks(ACK, block("2", "1A", "76"))
    await asks(ACK, EOT)
    assert await asyncio.wait_for(told, WAIT_S) == ""
    assert await line.tell(Tell(id="u", device="nobody", word=Word.TAKEN)) != ""
    writer.close()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_receiver_on_a_serial_line(cable: Cable) -> None:
    house = SerialHouse(cable, "surgard")
    await house.is_live()
    await cable.asks(HEARTBEAT, ACK)
    house.store.verdict = Verdict("refused", "store_down", retry=True)
    asked = house.store.asked
    cable.send(ALARM)
    await wait_until(lambda: house.store.asked > asked, "the alarm is emitted")
    assert cable.read() == b"", "no answer: the receiver repeats"
    house.store.verdict = STORED
    await cable.asks(ALARM, ACK)
    await cable.asks(b"5000 184321X10100005\x14", NAK)
    await wait_until(lambda: house.store.kinds == ["heartbeat", "sos", "rejected unreadable"])
    await house.stop()


@pytest.mark.parametrize("way", ["listen", "connect"])
async def test_a_receiver_over_tcp(way: str) -> None:
    port = free_port()
    links: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    if way == "connect":  # a System III serves its automation port
        server = await asyncio.start_server(lambda reader, writer: links.put_nowait((reader, writer)), "127.0.0.1", port)
        house = House("surgard", connect=f"tcp:127.0.0.1:{port}")
    else:
        house = House("surgard", listen=f"tcp:{port}:interface=127.0.0.1")
        await wait_until(lambda: house.status.is_live, "live")
        links.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    reader, writer = await asyncio.wait_for(links.get(), WAIT_S)
    for data in (HEARTBEAT, ALARM):
        writer.write(data)
        assert await asyncio.wait_for(reader.readexactly(1), WAIT_S) == ACK
    heartbeat, alarm = house.store.kept
    assert isinstance(heartbeat, Event)
    assert isinstance(alarm, Event)
    assert (heartbeat.kind, alarm.kind, alarm.device, alarm.detail["zone"]) == ("heartbeat", "sos", "4321", "005")
    await house.stop()
    writer.close()
    if way == "connect":
        server.close()
        await server.wait_closed()
