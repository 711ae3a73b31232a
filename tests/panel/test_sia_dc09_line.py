"""DC-09 and Contact ID over real sockets: alarm stored then answered; store failing, nothing said, and the device's retry is one incident."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence

import pytest
from waiting import WAIT_S, free_port, wait_until

from drivers.contract import STORED, Rejected, Verdict
from drivers.registry import build_line
from drivers.supervisor import LineStatus, keep_running
from gateway.config import CallsConfig, LineConfig
from gateway.event import Event, Kind

ALARM = b'\n133B0029"ADM-CID"0001R1L2#4711[#4711|1101 01 005]\r'  # dc09_spt's
HEARTBEAT = b'\nEDCF0013"NULL"0006L0#4711[]\r'
HEARTBEAT_ANSWER = b'\n2DAD0012"ACK"0006L0#4711[]\r'
DOWN = Verdict("refused", "store_down", retry=True)


class House:
    """One supervised line in front of a store that can be down."""

    def __init__(self, codec: str, listen: str) -> None:
        self.kept: list[Event | Rejected] = []
        self.asked = 0
        self.is_down = False
        self.status = LineStatus("panels")
        line = build_line(LineConfig(name="panels", codec=codec, listen=listen), CallsConfig())
        self._task = asyncio.create_task(keep_running(line, self.emit, self.status))

    async def emit(self, events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        self.asked += 1
        if self.is_down:
            return [DOWN] * len(events)
        self.kept += events
        return [STORED] * len(events)

    @property
    def cries(self) -> set[str | None]:
        """By their identities: what the store would keep of them."""
        return {one.dedup for one in self.kept if isinstance(one, Event) and one.kind is Kind.SOS}

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
async def houses() -> AsyncIterator[list[House]]:
    built: list[House] = []
    yield built
    for house in built:
        await house.stop()


async def test_tcp(houses: list[House]) -> None:
    port = free_port()
    house = House("sia_dc09", f"tcp:{port}:interface=127.0.0.1")
    houses.append(house)
    await wait_until(lambda: house.status.is_live, "live")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    house.is_down = True
    writer.write(ALARM)
    await wait_until(lambda: house.asked, "asked")
    house.is_down = False
    writer.write(HEARTBEAT)
    assert await asyncio.wait_for(reader.readuntil(b"\r"), WAIT_S) == HEARTBEAT_ANSWER, "and nothing before it"
    writer.write(ALARM + ALARM[:20])
    answer = await asyncio.wait_for(reader.readuntil(b"\r"), WAIT_S)
    assert answer[9:] == b'"ACK"0001R1L2#4711[]\r'
    writer.write(ALARM[20:])  # it had not heard that; again on the same connection
    assert await asyncio.wait_for(reader.readuntil(b"\r"), WAIT_S) == answer
    assert len(house.cries) == 1
    writer.close()


async def test_udp(houses: list[House]) -> None:
    port = free_port(socket.SOCK_DGRAM)
    house = House("sia_dc09", f"udp:{port}:interface=127.0.0.1")
    houses.append(house)
    await wait_until(lambda: house.status.is_live, "live")
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        for one in (device, other):
            one.setblocking(False)
            one.connect(("127.0.0.1", port))  # so it hears only what comes from the port it wrote to
        device.send(ALARM[:30])  # a cut datagram hurts nobody else
        other.send(HEARTBEAT)
        assert await asyncio.wait_for(loop.sock_recv(other, 4200), WAIT_S) == HEARTBEAT_ANSWER
        device.send(ALARM)
        answer = await asyncio.wait_for(loop.sock_recv(device, 4200), WAIT_S)
        assert answer[9:] == b'"ACK"0001R1L2#4711[]\r'
        device.send(ALARM)
        assert await asyncio.wait_for(loop.sock_recv(device, 4200), WAIT_S) == answer
    assert len(house.cries) == 1
    assert [one.reason for one in house.kept if isinstance(one, Rejected)] == ["no_cr"]


async def test_contact_id_over_tcp(houses: list[House]) -> None:
    port = free_port()
    house = House("contact_id", f"tcp:{port}:interface=127.0.0.1")
    houses.append(house)
    await wait_until(lambda: house.status.is_live, "live")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"1234181131010159\r\n123418110100005D")  # one wrong, one without an end of line
    assert await asyncio.wait_for(reader.readexactly(1), WAIT_S) == b"\x06"
    writer.write(b"123418110100005D\r\n")
    assert await asyncio.wait_for(reader.readexactly(1), WAIT_S) == b"\x06"
    assert len(house.cries) == 1
    writer.close()
