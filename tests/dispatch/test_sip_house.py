"""A whole gateway that texts its stations: the order as a SIP MESSAGE over a real socket, the answer as a MESSAGE back (RFC 3428)."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from waiting import free_port, wait_until

from gateway.app import House
from gateway.config import read_config
from gateway.core.incident import Incident
from gateway.event import Event, Kind
from gateway.register_files import read_register
from tests.dispatch.test_phone_house import FILES


class Telephone(asyncio.DatagramProtocol):
    """A SIP telephone that shows texts and writes some: a socket and this, nothing of ours. code: what it answers to a text."""

    def __init__(self, user: str, code: str = "200 OK") -> None:
        self.user, self.code = user, code
        self.texts: list[str] = []
        self.answers: list[str] = []
        self.transport: Any
        self.count = 0
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        self.closed.set()

    @property
    def port(self) -> int:
        port: int = self.transport.get_extra_info("sockname")[1]
        return port

    @property
    def address(self) -> str:
        return f"sip:{self.user}@127.0.0.1:{self.port}"

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        assert len(data) <= 1300
        head, _, body = data.decode().partition("\r\n\r\n")
        if head.startswith("SIP/2.0"):
            self.answers.append(head.splitlines()[0])
            return
        assert head.startswith("MESSAGE sip:")
        assert re.search(r"(?im)^content-type: text/plain;charset=utf-8\r?$", head)
        kept = re.findall(r"(?im)^(?:via|from|call-id|cseq): .*$", head)
        to = re.search(r"(?im)^to: (.*)$", head)
        assert to is not None
        lines = [f"SIP/2.0 {self.code}", *(line.strip() for line in kept), f"To: {to[1].strip()};tag=t{self.user}", "Content-Length: 0"]
        if body not in self.texts:
            self.texts.append(body)
        self.transport.sendto(("\r\n".join(lines) + "\r\n\r\n").encode(), address)

    async def writes(self, text: str, port: int) -> str:
        """Send a text to the gateway and wait for its answer."""
        self.count += 1
        body = text.encode()
        head = (
            f"MESSAGE sip:12349@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK{self.user}{self.count};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <{self.address}>;tag=f{self.count}\r\nTo: <sip:12349@127.0.0.1>\r\n"
            f"Call-ID: {self.user}{self.count}@127.0.0.1\r\nCSeq: 1 MESSAGE\r\n"
            f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.transport.sendto(head.encode() + body, ("127.0.0.1", port))
        wanted = self.count
        await wait_until(lambda: len(self.answers) >= wanted, "an answer to the text")
        return self.answers[-1]


@contextlib.asynccontextmanager
async def telephone(user: str, code: str = "200 OK") -> AsyncIterator[Telephone]:
    _, found = await asyncio.get_running_loop().create_datagram_endpoint(lambda: Telephone(user, code), local_addr=("127.0.0.1", 0))
    try:
        yield found
    finally:
        found.transport.close()
        await found.closed.wait()


@contextlib.asynccontextmanager
async def gateway(folder: Path, station: Telephone, centre: Telephone) -> AsyncIterator[tuple[House, int]]:
    """A gateway whose station and centre are texted; gives it and the port of its SIP line."""
    district = folder / "districts" / "small"
    district.mkdir(parents=True)
    (folder / "var").mkdir()
    files = FILES | {
        "responders.csv": "id,name,kind,parent,lat,lon,capacity,channel,address\n"
        f"desk,坐席,desk,,,,1000,console,\ncentre,中心,district_centre,desk,36.35,102.87,9,sip,{centre.address}\n"
        f"station,驿站,station,centre,36.34,102.86,9,sip,{station.address}\n"
    }
    for name, text in files.items():
        (district / name).write_text(text, encoding="utf-8")
    port = free_port(socket.SOCK_DGRAM)
    config_file = folder / "gateway.toml"
    config_file.write_text(
        '[gateway]\ndistrict = "small"\ndata = "var"\n[console]\nenabled = false\n[dispatch.sip]\nline = "texts"\n'
        '[policy.critical]\nacknowledge_s = 600\nreply_s = 600\norder = "at_once"\n'
        f'[[line]]\nname = "texts"\ncodec = "sip"\nlisten = "udp:{port}:interface=127.0.0.1"\n'
    )
    config = read_config(config_file)
    house = House(config, read_register(config.district_folder, config.channels))
    stop = asyncio.Event()
    running = asyncio.create_task(house.run(stop))
    try:
        await wait_until(lambda: running.done() or house.lines["texts"].is_live, "the line listens")
        assert not running.done(), running.exception()
        yield house, port
    finally:
        stop.set()
        await running


async def cries(house: House) -> None:
    now = house.now()
    await house.receive([Event(kind=Kind.SOS, line="buttons", device="A00001:1", received_at=now, occurred_at=now)])


def elders(house: House) -> Incident:
    (incident,) = [one for one in house.incidents.values() if one.person == "p1"]
    return incident


def legs(house: House) -> list[tuple[str, str]]:
    return [(leg.responder, leg.state.value) for leg in elders(house).legs]


async def test_from_the_order_to_done_by_text(tmp_path: Path) -> None:
    async with telephone("station-7") as station, telephone("centre") as centre, gateway(tmp_path, station, centre) as (house, port):
        await cries(house)
        await wait_until(lambda: legs(house) == [("station", "sent")], "the station has the text")
        incident = elders(house)
        age = incident.legs[0].ordered_at.year - 1940
        assert station.texts == [f"【12349】SOS 求助 {incident.id}：王秀兰，{age}岁，红古路12号。回复：1 接受，2 拒绝，3 到达，4 完成"]
        for text, state in (("1", "accepted"), ("到达", "arrived"), ("完成", "done")):
            assert await station.writes(text, port) == "SIP/2.0 200 OK"
            assert legs(house) == [("station", state)], "stored before it was answered"
        assert centre.texts == []
        assert len(house.incidents) == 1  # answers are no calls for help


async def test_a_refusal_by_text_asks_the_next_one_up(tmp_path: Path) -> None:
    async with telephone("station-7") as station, telephone("centre") as centre, gateway(tmp_path, station, centre) as (house, port):
        await cries(house)
        await wait_until(lambda: station.texts, "the station has the text")
        await station.writes("拒绝", port)
        await wait_until(lambda: legs(house) == [("station", "declined"), ("centre", "sent")], "the centre has it")
        await centre.writes("1", port)
        assert legs(house) == [("station", "declined"), ("centre", "accepted")]
        await station.writes("1", port)  # too late: somebody else goes
        await wait_until(lambda: len(station.texts) == 2, "and is told so")
        assert "已有人前往" in station.texts[1]


async def test_a_telephone_that_nobody_knows_fails_at_once_and_a_busy_one_is_tried_again(tmp_path: Path) -> None:
    async with (
        telephone("station-7", "404 Not Found") as station,
        telephone("centre", "480 Temporarily Unavailable") as centre,
        gateway(tmp_path, station, centre) as (house, _),
    ):
        await cries(house)
        await wait_until(lambda: legs(house) == [("station", "failed"), ("centre", "queued")] and centre.texts, "the centre is asked")
        assert elders(house).legs[0].reason == "sip_404"
        centre.code = "202 Accepted"
        await wait_until(lambda: legs(house) == [("station", "failed"), ("centre", "sent")], "tried again")


async def test_what_is_no_answer_is_shown_to_a_person_and_the_sender_told_how_to_answer(tmp_path: Path) -> None:
    async with telephone("station-7") as station, telephone("centre") as centre, gateway(tmp_path, station, centre) as (house, port):
        await cries(house)
        await wait_until(lambda: station.texts, "the station has the text")
        assert await station.writes("门锁着", port) == "SIP/2.0 200 OK"
        await wait_until(lambda: len(station.texts) == 2, "an explanation")
        assert "1 接受" in station.texts[1]
        assert any(one.kind is Kind.HELP for one in house.incidents.values())
        await wait_until(lambda: legs(house) == [("station", "sent")], "the order stays open")
