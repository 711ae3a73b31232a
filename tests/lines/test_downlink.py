"""Devices are told something over TCP, UDP, a pseudo-terminal, a connection of ours and a real broker; and who stands for a device."""

import asyncio
import os
import pty
import socket
import tty
from collections.abc import AsyncIterator, Callable

import pytest
from servers import Mosquitto, Outsider, mosquitto, program, until  # noqa: F401
from waiting import WAIT_S, free_port, wait_until

from drivers.contract import Rejected, Signal
from drivers.downlink import Downlink, Tell, Word
from drivers.lines.broker import BrokerLine, BrokerOptions
from drivers.supervisor import LineStatus, keep_running
from gateway.config import LineConfig
from tests.lines.tiny import House, Link, Store


def a_tell(device: str = "w1", word: Word = Word.COMING) -> Tell:
    return Tell(id="t1", device=device, word=word)


def telling(house: House, tell: Tell) -> "asyncio.Task[str]":
    assert isinstance(house.line, Downlink)
    return asyncio.create_task(house.line.tell(tell))


@pytest.fixture
async def tcp(a_house: Callable[..., House]) -> House:
    house = a_house(listen=f"tcp:{free_port()}:interface=127.0.0.1")
    await wait_until(lambda: house.status.is_live, "live")
    return house


async def link_to(house: House) -> Link:
    return await Link.to(house.line.port)  # type: ignore[attr-defined]


async def test_told_over_tcp_when_the_device_has_confirmed(tcp: House) -> None:
    link = await link_to(tcp)
    await link.asks("HELLO w1", "HI")
    told = telling(tcp, a_tell())
    await link.hears("TELL 1 coming")
    assert not told.done()
    link.say("TOLD 1")
    assert await told == ""
    told = telling(tcp, a_tell(word=Word.TAKEN))
    await link.hears("TELL 2 taken")
    link.say("TOLD 2 refused")
    assert await told == "refused"
    assert await telling(tcp, a_tell(word=Word.OVER)) == "", "the protocol has no confirmation: the bytes have left"
    await link.hears("TELL 3 over")
    await link.hang_up()


async def test_why_a_device_is_not_told(tcp: House, a_house: Callable[..., House], monkeypatch: pytest.MonkeyPatch) -> None:
    assert await telling(tcp, a_tell()) == "not_connected"
    link = await link_to(tcp)
    await link.asks("HELLO w1", "HI")
    assert await telling(tcp, a_tell("w2")) == "not_connected"
    assert await telling(tcp, a_tell(word=Word.PROMPT)) == "cannot"
    lost = telling(tcp, a_tell())
    await link.hears("TELL 1 coming")
    monkeypatch.setattr("drivers.lines.conversation.MAX_TELLS", 1)
    assert await telling(tcp, a_tell()) == "busy"
    await link.hang_up()
    assert await lost == "lost"
    mute = a_house({"tells": False}, listen=f"tcp:{free_port()}:interface=127.0.0.1")
    await wait_until(lambda: mute.status.is_live)
    link = await link_to(mute)
    await link.asks("PING", "PONG")
    assert await telling(mute, a_tell()) == "cannot"
    await link.hang_up()


async def test_a_device_that_does_not_answer_is_given_up(tcp: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.lines.conversation.TELL_S", 0.05)
    link = await link_to(tcp)
    await link.asks("HELLO w1", "HI")
    assert await telling(tcp, a_tell()) == "timeout"
    await link.hang_up()


async def test_a_newer_link_of_the_same_device_ends_the_older_one(tcp: House) -> None:
    older, other = await link_to(tcp), await link_to(tcp)
    await older.asks("HELLO w1", "HI")
    await other.asks("HELLO w2", "HI")
    lost = telling(tcp, a_tell())
    await older.hears("TELL 1 coming")
    newer = await link_to(tcp)
    await newer.asks("HELLO w1", "HI")
    await older.is_closed()
    assert await lost == "lost"
    told = telling(tcp, a_tell())
    await newer.hears("TELL 1 coming")
    newer.say("TOLD 1")
    assert await told == ""
    await other.asks("PING", "PONG")
    assert tcp.line.counts["replaced"] == 1  # type: ignore[attr-defined]
    assert [event for event in tcp.store.kept if not isinstance(event, Rejected)] == [], "no device and no line is told to be offline"
    await newer.hang_up()
    await other.hang_up()


async def test_what_the_older_link_had_read_is_stored(tcp: House) -> None:
    older = await link_to(tcp)
    tcp.store.may_commit.clear()
    older.say("HELLO w1", "ALARM w1 1")
    await wait_until(lambda: tcp.store.asked)
    newer = await link_to(tcp)
    await newer.asks("HELLO w1", "HI")
    tcp.store.may_commit.set()
    await wait_until(lambda: tcp.store.cries == ["w1 1"])
    await newer.asks("ALARM w1 2", "OK 2")
    await newer.hang_up()
    older.writer.close()


async def test_told_over_udp(a_house: Callable[..., House]) -> None:
    house = a_house(listen=f"udp:{free_port(socket.SOCK_DGRAM)}:interface=127.0.0.1")
    await wait_until(lambda: house.status.is_live)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        device.setblocking(False)
        device.connect(("127.0.0.1", house.line.port))  # type: ignore[attr-defined]
        device.send(b"HELLO w1\n")
        assert await asyncio.wait_for(loop.sock_recv(device, 100), WAIT_S) == b"HI\n"
        told = telling(house, a_tell())
        assert await asyncio.wait_for(loop.sock_recv(device, 100), WAIT_S) == b"TELL 1 coming\n"
        device.send(b"TOLD 1\n")
        assert await told == ""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rebound:  # the same device behind a new translation of its address
            rebound.setblocking(False)
            rebound.connect(("127.0.0.1", house.line.port))  # type: ignore[attr-defined]
            rebound.send(b"HELLO w1\n")
            assert await asyncio.wait_for(loop.sock_recv(rebound, 100), WAIT_S) == b"HI\n"
            assert await telling(house, a_tell(word=Word.OVER)) == ""
            assert await asyncio.wait_for(loop.sock_recv(rebound, 100), WAIT_S) == b"TELL 1 over\n"
    assert house.line.connections == 1  # type: ignore[attr-defined]


async def test_told_over_a_serial_port(a_house: Callable[..., House]) -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    house = a_house({"greets": True}, listen=f"serial:{os.ttyname(slave)}:baudrate=9600")
    heard = b""

    def hears(data: bytes) -> bool:
        nonlocal heard
        try:
            heard += os.read(master, 4096)
        except BlockingIOError:
            pass
        return heard == data

    await wait_until(lambda: hears(b"WHO\n"), "the codec speaks first")
    os.write(master, b"HELLO w1\n")
    await wait_until(lambda: hears(b"WHO\nHI\n"))
    told = telling(house, a_tell())
    await wait_until(lambda: hears(b"WHO\nHI\nTELL 1 coming\n"))
    os.write(master, b"TOLD 1\n")
    assert await told == ""
    await house.stop()
    assert await telling(house, a_tell()) == "not_connected"
    os.close(master)
    os.close(slave)


async def test_told_over_a_connection_of_ours(a_house: Callable[..., House]) -> None:
    links: list[Link] = []
    port = free_port()
    server = await asyncio.start_server(lambda reader, writer: links.append(Link(reader, writer)), "127.0.0.1", port)
    house = a_house(connect=f"tcp:127.0.0.1:{port}")
    await wait_until(lambda: links)
    await links[0].asks("HELLO w1", "HI")
    told = telling(house, a_tell())
    await links[0].hears("TELL 1 coming")
    links[0].say("TOLD 1")
    assert await told == ""
    await house.stop()
    server.close()
    await links[0].hang_up()
    await server.wait_closed()


class Sirens:
    """A broker codec whose devices listen."""

    topics = ("sirens/+/event",)

    def receive_message(self, *_message: object) -> list[Signal | Rejected]:
        return []

    def publish_for(self, tell: Tell) -> tuple[str, bytes] | None:
        return (f"sirens/{tell.device}/set", tell.word.value.encode()) if tell.word is not Word.PROMPT else None


class Deaf:
    topics = ("sirens/+/event",)

    def receive_message(self, *_message: object) -> list[Signal | Rejected]:
        return []


@pytest.fixture
async def sirens(mosquitto: Mosquitto) -> AsyncIterator[BrokerLine]:  # noqa: F811
    line = BrokerLine(LineConfig(name="sirens", codec="sirens", broker=mosquitto.url), BrokerOptions(), Sirens())
    assert await line.tell(a_tell()) == "not_connected"
    status = LineStatus("sirens")
    task = asyncio.create_task(keep_running(line, Store().emit, status))
    await until(lambda: status.is_live, "live")
    yield line
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_told_over_a_broker_when_it_has_confirmed(sirens: BrokerLine, mosquitto: Mosquitto) -> None:  # noqa: F811
    siren = await Outsider(mosquitto.port, "sirens/s1/set").ready()
    assert isinstance(sirens, Downlink)
    assert await sirens.tell(a_tell("s1", Word.OVER)) == ""
    assert mosquitto.said("PUBACK to gateway-sirens") == 1, mosquitto.log.read_text()
    await until(lambda: siren.received == [("sirens/s1/set", b"over")], "the siren hears it")
    assert await sirens.tell(a_tell("s1", Word.PROMPT)) == "cannot"
    assert await sirens.tell(a_tell("a#b")) == "cannot", "no topic to publish to"
    siren.close()


async def test_a_broker_that_goes_while_it_is_told(sirens: BrokerLine, mosquitto: Mosquitto) -> None:  # noqa: F811
    await mosquitto.stop()
    assert await sirens.tell(a_tell("s1")) in ("lost", "not_connected")
    await until(lambda: sirens._connection is None, "the loss is noticed")
    assert await sirens.tell(a_tell("s1")) == "not_connected"


async def test_a_broker_codec_without_words_cannot(mosquitto: Mosquitto) -> None:  # noqa: F811
    line = BrokerLine(LineConfig(name="sirens", codec="sirens", broker=mosquitto.url), BrokerOptions(), Deaf())
    assert await line.tell(a_tell()) == "cannot"
