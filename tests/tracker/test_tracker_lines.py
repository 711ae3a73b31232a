"""gt06 and jt808 as whole lines on real sockets: dialogues over TCP and UDP, receipts after the commit, links that end, and telling."""

import asyncio
import socket
import tomllib
from collections.abc import AsyncIterator, Callable
from functools import reduce
from operator import xor
from pathlib import Path
from typing import Any

import pytest
from waiting import WAIT_S, free_port, wait_until

from drivers.contract import Rejected
from drivers.downlink import Tell, Word
from drivers.registry import build_line
from drivers.supervisor import LineStatus, keep_running
from drivers.tracker import gt06
from drivers.tracker.gt06_frame import crc
from drivers.tracker.jt808_terminal import code_for
from gateway.config import CallsConfig, LineConfig
from gateway.event import Event, Kind
from tests.lines.tiny import STORE_DOWN, Link, Store

VECTORS = {
    f"{codec} {row['id'].split()[0]}": row
    for codec in ("gt06", "jt808")
    for row in tomllib.loads((Path(__file__).parent.parent / "vectors" / "tracker" / f"{codec}.toml").read_text("utf-8"))["frame"]
}
IMEI, PHONE = "123456789012345", "13800138000"


def hexed(name: str) -> bytes:
    return bytes.fromhex(VECTORS[name]["hex"])


def reply(name: str) -> bytes:
    return bytes.fromhex(VECTORS[name]["reply"])


def frame(message: int, body: bytes, serial: int) -> bytes:
    """Of 13800138000, in the edition of 2013, without anything to escape."""
    data = message.to_bytes(2) + len(body).to_bytes(2) + bytes.fromhex("013800138000") + serial.to_bytes(2) + body
    return b"\x7e" + data + bytes([reduce(xor, data)]) + b"\x7e"


AUTHENTICATE = frame(0x0102, b"0", 0)


class House:
    """One supervised line in front of a store."""

    def __init__(self, codec: str, listen: str, options: dict[str, object] | None = None) -> None:
        self.store = Store()
        self.status = LineStatus("trackers")
        config = LineConfig(name="trackers", codec=codec, listen=listen, options=options or {})
        self.line: Any = build_line(config, CallsConfig())
        self.task = asyncio.create_task(keep_running(self.line, self.store.emit, self.status))

    def kinds(self) -> list[Kind]:
        return [one.kind for one in self.store.kept if isinstance(one, Event)]


@pytest.fixture
async def a_house() -> AsyncIterator[Callable[..., Any]]:
    houses: list[House] = []

    async def build(codec: str, word: str = "tcp", options: dict[str, object] | None = None) -> House:
        port = free_port() if word == "tcp" else free_port(socket.SOCK_DGRAM)
        houses.append(House(codec, f"{word}:{port}:interface=127.0.0.1", options))
        await wait_until(lambda: houses[-1].status.is_live, "live")
        return houses[-1]

    yield build
    for house in houses:
        house.task.cancel()
        await asyncio.gather(house.task, return_exceptions=True)


async def ask(link: Link, data: bytes, answer: bytes) -> None:
    link.writer.write(data)
    assert await asyncio.wait_for(link.reader.readexactly(len(answer)), WAIT_S) == answer


async def test_a_pendant_over_tcp(a_house: Callable[..., Any]) -> None:
    house = await a_house("gt06")
    link = await Link.to(house.line.port)
    await ask(link, hexed("gt06 G1"), reply("gt06 G1"))
    await ask(link, hexed("gt06 G3"), reply("gt06 G3"))
    house.store.verdict = STORE_DOWN
    link.writer.write(hexed("gt06 G6"))
    asked = house.store.asked
    await wait_until(lambda: house.store.asked > asked)
    house.store.verdict = type(STORE_DOWN)("stored")
    await ask(link, hexed("gt06 G6"), reply("gt06 G6"))  # its repetition; had the first been answered, this would be the wrong bytes
    assert [kind for kind in house.kinds() if kind is not Kind.TELEMETRY] == [Kind.JOIN, Kind.HEARTBEAT, Kind.SOS]
    [alarm] = [one for one in house.store.kept if isinstance(one, Event) and one.kind is Kind.SOS]
    assert (alarm.device, alarm.phase, alarm.integrity) == (IMEI, "raise", "verified")
    await link.hang_up()


async def test_a_new_login_of_the_same_pendant_ends_the_older_link(a_house: Callable[..., Any]) -> None:
    house = await a_house("gt06")
    older, newer = await Link.to(house.line.port), await Link.to(house.line.port)
    await ask(older, hexed("gt06 G1"), reply("gt06 G1"))
    await ask(newer, hexed("gt06 G1"), reply("gt06 G1"))
    await older.is_closed()
    await ask(newer, hexed("gt06 G3"), reply("gt06 G3"))
    await newer.hang_up()


async def test_an_alarm_of_a_pendant_that_hangs_up_without_a_login(a_house: Callable[..., Any]) -> None:
    house = await a_house("gt06")
    link = await Link.to(house.line.port)
    link.writer.write(hexed("gt06 G6"))
    await link.writer.drain()
    await link.hang_up()
    await wait_until(lambda: house.store.kept)
    [alarm, quarantined] = house.store.kept
    assert isinstance(alarm, Event)
    assert isinstance(quarantined, Rejected)
    assert (alarm.kind, alarm.device, alarm.integrity) == (Kind.SOS, "unidentified 127.0.0.1", "unauthenticated")


async def test_a_link_without_a_login_is_closed(a_house: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gt06, "LOGIN_S", 0.05)
    house = await a_house("gt06")
    link = await Link.to(house.line.port)
    link.writer.write(hexed("gt06 G6"))
    await link.is_closed()
    assert house.kinds() == [Kind.SOS]


async def test_a_command_is_told_when_the_pendant_answers(a_house: Callable[..., Any]) -> None:
    house = await a_house("gt06", options={"command_for": {"prompt": "BEEP#"}})
    link = await Link.to(house.line.port)
    await ask(link, hexed("gt06 G1"), reply("gt06 G1"))
    telling = asyncio.create_task(house.line.tell(Tell(id="t", device=IMEI, word=Word.PROMPT)))
    command = await asyncio.wait_for(link.reader.readexactly(5 + 5 + 12), WAIT_S)
    assert command[4:14] == bytes.fromhex("09 00000001") + b"BEEP#"
    link.writer.write(hexed("gt06 T8"))  # an answer to another command
    answer = bytes.fromhex("0E15 06 00000001 4F4B 0002 0009")
    link.writer.write(b"\x78\x78" + answer + crc(answer).to_bytes(2) + b"\r\n")
    assert await asyncio.wait_for(telling, WAIT_S) == ""
    assert await house.line.tell(Tell(id="u", device=IMEI, word=Word.TAKEN)) == "cannot"
    await link.hang_up()


async def test_a_terminal_over_tcp(a_house: Callable[..., Any]) -> None:
    house = await a_house("jt808")
    link = await Link.to(house.line.port)
    await ask(link, hexed("jt808 J2"), frame(0x8001, bytes.fromhex("0002020001"), 0x0100))  # not authenticated
    await ask(link, AUTHENTICATE, frame(0x8001, bytes.fromhex("0000010200"), 0x0101))
    await ask(link, hexed("jt808 J2"), frame(0x8001, bytes.fromhex("0002020000"), 0x0102))
    alarms = [one for one in house.store.kept if isinstance(one, Event) and one.kind is Kind.SOS]
    assert [one.integrity for one in alarms] == ["unauthenticated", "unverified"]
    assert len({one.dedup for one in alarms}) == 1, "the store knows the second one"
    telling = asyncio.create_task(house.line.tell(Tell(id="t", device=PHONE, word=Word.TAKEN)))
    confirmation = await asyncio.wait_for(link.reader.readexactly(21), WAIT_S)
    assert confirmation == frame(0x8203, bytes.fromhex("000200000001"), 0x0103)
    link.writer.write(frame(0x0001, bytes.fromhex("0103820300"), 3))
    assert await asyncio.wait_for(telling, WAIT_S) == ""
    await link.hang_up()


async def test_a_terminal_over_udp(a_house: Callable[..., Any]) -> None:
    house = await a_house("jt808", "udp")
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.setblocking(False)
    peer.connect(("127.0.0.1", house.line.port))
    loop = asyncio.get_running_loop()
    heard: list[bytes] = []
    try:
        for data in (AUTHENTICATE, hexed("jt808 J1"), hexed("jt808 J3")):
            peer.send(data)
            heard.append(await asyncio.wait_for(loop.sock_recv(peer, 2048), WAIT_S))
    finally:
        peer.close()
    bodies = ("0000010200", "0001000200", "0003020000")
    assert heard == [frame(0x8001, bytes.fromhex(body), 0x0100 + number) for number, body in enumerate(bodies)]
    assert house.kinds()[:3] == [Kind.JOIN, Kind.HEARTBEAT, Kind.SOS]


async def test_a_secret_makes_codes_that_survive_a_restart(a_house: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a long random word\n")
    options = {"auth_secret_file": str(tmp_path / "secret"), "authentication": "strict"}
    house = await a_house("jt808", options=options)
    link = await Link.to(house.line.port)
    link.writer.write(AUTHENTICATE)
    refused = await asyncio.wait_for(link.reader.readexactly(20), WAIT_S)
    assert refused == frame(0x8001, bytes.fromhex("0000010201"), 0x0100)
    await link.hang_up()
    assert house.store.rejected == ["wrong_code"]
    code = code_for(PHONE, b"a long random word").encode()
    later = await a_house("jt808", options=options)
    link = await Link.to(later.line.port)
    await ask(link, frame(0x0102, code, 1), frame(0x8001, bytes.fromhex("0001010200"), 0x0100))
    await link.hang_up()
