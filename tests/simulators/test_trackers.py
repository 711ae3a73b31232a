"""Simulated watches, pendants and terminals: bytes of the fact sheets, what they believe, when they repeat, when they start anew."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import reduce
from operator import xor

import pytest
from waiting import WAIT_S, free_port, wait_until

from simulators.cli import main
from simulators.trackers import command, gt06
from simulators.trackers.fleet import TrackerFleet, build, identity_of
from simulators.trackers.gt06 import Pendant, crc_x25
from simulators.trackers.jt808 import Terminal, escape
from simulators.trackers.tracker import Cry, Patience, Sent, Tracker
from simulators.trackers.watch3g import Watch
from simulators.wire import TcpWire
from tests.simulators.scripted_wire import Scripted, running

QUICK = Patience(0.03, alive_s=0.02, misses=3, boot_s=0.001)


def answer_gt06(data: bytes) -> bytes:
    """Every frame that owes one gets its number and serial back."""
    found = bytearray()
    while data[:2] in (b"xx", b"yy"):
        size = data[2] + 5
        found += gt06.frame(data[3], b"", int.from_bytes(data[size - 6 : size - 4]))
        data = data[size:]
    return bytes(found)


def answer_808(data: bytes, result: int = 0) -> bytes:
    """8100 with the code `c0de`, else 8001; in the terminal's edition."""
    found = b""
    for piece in data.split(b"\x7e"):
        if not piece:
            continue
        plain = piece.replace(b"\x7d\x02", b"\x7e").replace(b"\x7d\x01", b"\x7d")
        head = 17 if plain[2] & 0x40 else 12
        word, serial = plain[:2], plain[head - 2 : head]
        reply, body = (b"\x81\x00", serial + b"\0c0de") if word == b"\x01\x00" else (b"\x80\x01", serial + word + bytes([result]))
        properties = (0x4000 if head == 17 else 0) | len(body)
        data = reply + properties.to_bytes(2) + plain[4 : head - 2] + b"\0\x01" + body
        found += escape(data + bytes([reduce(xor, data)]))
    return found


def answer_3g(data: bytes) -> bytes:
    word = b"LK" if b"*LK" in data else b"AL" if b"*AL" in data else b""
    return b"[3G*" + data.split(b"*")[1] + b"*0002*" + word + b"]" if word else b""


def test_published_frames() -> None:
    assert crc_x25(bytes.fromhex("05010005")) == 0x9FF8
    assert gt06.frame(0x01, b"", 1).hex().upper() == "787805010001D9DC0D0A"
    assert gt06.frame(0x13, bytes.fromhex("4004040001"), 15).hex().upper() == "78780A134004040001000FDCEE0D0A"
    assert escape(bytes.fromhex("307E087D55")).hex().upper() == "7E307D02087D01557E"
    old = Terminal("013800138000", Scripted(), QUICK)
    assert old.frame(2, b"", 1).hex().upper() == "7E000200000138001380000001A97E"
    new = Terminal("013800138000", Scripted(), QUICK)
    new.edition = 2019
    assert new.frame(4, b"", 7).hex().upper() == "7E0004400001000000000138001380000007E87E"
    watch = Watch("8800000015", Scripted(), QUICK)
    assert watch.frame(b"LK,50,100,100") == b"[3G*8800000015*000D*LK,50,100,100]"
    watch.quirks = frozenset({"index"})
    assert watch.frame(b"LK") == b"[ZJ*8800000015*0001*0002*LK]"


@pytest.mark.parametrize(("dialect", "length"), [("26_25", 0x25), ("26_26", 0x26), ("16_25", 0x25), ("16_24", 0x24)])
def test_the_length_tells_the_dialect(dialect: str, length: int) -> None:
    pendant = Pendant("123456789012345", Scripted(), QUICK)
    pendant.dialect = dialect
    frame, key = pendant.write_alarm(Cry(Sent("x")), 0)
    assert frame[2] == length
    assert frame[3] == int(dialect[:2], 16) == key[0]
    assert (frame[-8] == 1) != (dialect == "16_24"), "an alarm byte, or only the terminal's bits"


ANSWERS: dict[str, Callable[[bytes], bytes]] = {"watch3g": answer_3g, "gt06": answer_gt06, "jt808": answer_808}


@pytest.mark.parametrize("family", ANSWERS)
async def test_an_alarm_is_said_until_it_is_answered_over_as_many_links_as_it_takes(family: str) -> None:
    talks = ANSWERS[family]
    dumb = {"on": True}

    def answer(data: bytes) -> bytes:
        is_alarm = b"*AL" in data or data[3:4] in (b"\x26", b"\x16") or data[1:3] == b"\x02\x00"
        return b"" if dumb["on"] and is_alarm else talks(data)

    device = build(family, identity_of(family, 7), Scripted(answer), QUICK, dialect="26_25")
    async with running(device.run()):
        sent = device.press()
        await wait_until(lambda: device.links > 2 and sent.tries > 3)
        assert sent.confirmed is None
        dumb["on"] = False
        await wait_until(lambda: sent.confirmed is not None and device.alive_answered > 0)


@pytest.mark.parametrize("family", ANSWERS)
async def test_nobody_answers_signs_of_life(family: str) -> None:
    silent = {"watch3g": lambda _data: b"", "gt06": lambda data: answer_gt06(data) if data[3] == 1 else b""}
    silent["jt808"] = lambda data: b"" if data[1:3] == b"\x00\x02" else answer_808(data)
    device = build(family, identity_of(family, 1), Scripted(silent[family]), QUICK)
    async with running(device.run()):
        await wait_until(lambda: device.reboots >= 2)
    assert device.alive_answered == 0
    assert device.alive_sent >= 2 * QUICK.misses


async def test_a_watch_ignores_an_answer_that_counts_wrongly_or_is_for_another() -> None:
    wrong = iter([b"[3G*8800000015*0073*AL]", b"[3G*8800000016*0002*AL]", b"[3G*8800000015*0002*LK]"])

    def answer(data: bytes) -> bytes:
        return next(wrong, b"[3G*8800000015*0002*AL]") if b"*AL," in data else answer_3g(data)

    watch = Watch("8800000015", Scripted(answer), QUICK)
    watch.quirks = frozenset({"no_fix_first", "bits_stay", "wrong_length"})
    async with running(watch.run()):
        sent = watch.press()
        await wait_until(lambda: sent.confirmed is not None)
    assert sent.tries == 4
    assert isinstance(watch.wire, Scripted)
    alarms = [data for data in watch.wire.written if b"*AL," in data]
    assert b",V,0.0," in alarms[0]
    assert b",A,36.36" in alarms[1]
    assert int(alarms[0].split(b"*")[2], 16) == len(alarms[0].split(b"*", 3)[3]) - 1 + 7


async def test_a_pendant_that_talks_before_its_login() -> None:
    device = build("gt06", identity_of("gt06", 0), Scripted(answer_gt06), QUICK, quirks=frozenset({"reversed_login"}))
    sent = device.press()
    async with running(device.run()):
        await wait_until(lambda: sent.confirmed is not None)
    assert isinstance(device.wire, Scripted)
    assert [frame[3] for frame in (device.wire.written[0], device.wire.written[0][0x2A:])] == [0x26, 0x01]


@pytest.mark.parametrize("edition", [2011, 2013, 2019])
async def test_a_terminal_registers_authenticates_and_sends_what_it_kept_first(edition: int) -> None:
    terminal = build("jt808", identity_of("jt808", 1), Scripted(answer_808), QUICK, edition=edition)
    assert isinstance(terminal, Terminal)
    for number in range(12):
        terminal.store("sos" if number == 3 else "")
    sent = terminal.press()
    async with running(terminal.run()):
        await wait_until(lambda: sent.confirmed is not None)
        assert isinstance(terminal.wire, Scripted)
        words = [data[1:3].hex() for data in terminal.wire.written]
        assert words[:5] == ["0100", "0102", "0704", "0704", "0200"], "ten stored locations a message"
        terminal.cut()
        terminal.wire.answer = lambda data: answer_808(data, result=1 if data[1:3] == b"\x01\x02" else 0)
        await wait_until(lambda: terminal.refusals > 0)
    assert terminal.wire.written[len(words) :][0][1:3] in (b"\x02\x00", b"\x00\x02", b"\x01\x02")


async def test_bit_0_stands_in_a_clone_until_it_falls() -> None:
    terminal = build("jt808", identity_of("jt808", 1), Scripted(answer_808), QUICK, quirks=frozenset({"bit_stays"}), edition=2013)
    sent = terminal.press()
    async with running(terminal.run()):
        await wait_until(lambda: sent.confirmed is not None and terminal.alive_answered > 2)
        assert isinstance(terminal, Terminal)
        assert isinstance(terminal.wire, Scripted)
        assert terminal.wire.written[-1][1:3] == b"\x02\x00"
        assert terminal.wire.written[-1][13 + 3] & 1
        terminal.release()
        await wait_until(lambda: terminal.wire.written[-1][1:3] == b"\x00\x02")


@asynccontextmanager
async def server(answer: Callable[[bytes], bytes]) -> AsyncIterator[tuple[int, dict[str, int]]]:
    """A real port; counts connections."""
    counts = {"connections": 0}

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        counts["connections"] += 1
        try:
            while data := await reader.read(4096):
                writer.write(answer(data))
        except ConnectionError:
            pass
        finally:
            writer.close()

    port = free_port()
    running_server = await asyncio.start_server(talk, "127.0.0.1", port, backlog=1000)
    try:
        yield port, counts
    finally:
        running_server.close()


async def test_a_thousand_pendants_and_a_storm() -> None:
    async with server(answer_gt06) as (port, counts):
        patience = Patience(5.0, alive_s=30.0, boot_s=0.05)
        devices: list[Tracker] = [build("gt06", identity_of("gt06", n), TcpWire("127.0.0.1", port), patience) for n in range(1000)]
        fleet = TrackerFleet(devices)
        async with fleet.running():
            await wait_until(lambda: fleet.on_line == 1000, "all are logged in", 4 * WAIT_S)
            fleet.storm()
            for device in devices:
                device.press()
            await wait_until(lambda: all(sent.confirmed is not None for sent in fleet.sent), "all are answered after the storm", 4 * WAIT_S)
    assert counts["connections"] >= 2000


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tracker", "gt06", "--to", "nowhere"]) == 2
    assert main(["tracker", "gt06", "--to", "127.0.0.1:1", "--udp"]) == 2
    assert main(["tracker", "watch3g", "--to", "127.0.0.1:1", "--quirk", "bit_stays"]) == 2
    assert "no_fix_first" in capsys.readouterr().err
    assert main(["tracker", "watch3g", "--to", f"127.0.0.1:{free_port()}", "--devices", "2", "--seconds", "0.2"]) == 1
    *presses, fleet = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["outcome"] for one in presses] == ["unanswered"] * 2
    assert fleet["devices"] == 2
    assert fleet["on_line"] == 0


async def test_command_with_storms_twins_and_stored_locations(capsys: pytest.CaptureFixture[str]) -> None:
    async with server(answer_808) as (port, _counts):
        words = ["--devices", "5", "--presses", "2", "--every", "0.1", "--storms", "1", "--twins", "2", "--stored", "3", "--answer", "0.3"]
        assert await command._play(command.parser().parse_args(["jt808", "--to", "x", *words]), "127.0.0.1", port) == 0
    told = capsys.readouterr()
    assert told.err == "simulate tracker: logged in: 7\n"
    *presses, fleet = [json.loads(line) for line in told.out.splitlines()]
    assert [one["outcome"] for one in presses] == ["confirmed"] * 10
    assert (fleet["devices"], fleet["sent"], fleet["confirmed"]) == (7, 10, 10)
    assert fleet["links"] > 7
