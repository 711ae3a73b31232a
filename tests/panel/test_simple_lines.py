"""Panels and pagers over real wires: pseudo-terminals, and a TCP bridge that we dial."""

import asyncio
import os
import pty
import tty
from collections.abc import AsyncIterator, Callable

import pytest
from waiting import WAIT_S, wait_until

from drivers.contract import STORED, Rejected, Verdict
from drivers.downlink import Tell, Word
from drivers.lines.measures import measures
from drivers.registry import build_line
from drivers.supervisor import LineStatus, keep_running
from gateway.config import CallsConfig, LineConfig
from tests.lines.tiny import Store

STORE_DOWN = Verdict("refused", "store_down", retry=True)
NESS_ASK = b"8300360S13E5\r\n8300360S05E4\r\n"
NESS_ALARM = b"87000361020101260201120000d6\r\n"
ELK_ASK = b"06az005F\r\n06as0066\r\n06zs004D\r\n"
TAP_LOGON, TAP_GO = b"\x1bPG1\r", b"\x06\r\x1b[p\r"
TAP_ABC = bytes.fromhex("02 31 32 33 0d 41 42 43 0d 03 31 37 3b 0d")


class House(Store):
    """One supervised line in front of a store that does what the test says."""

    def __init__(self, codec: str, options: dict[str, object] | None = None, **config: object) -> None:
        super().__init__()
        self.line = build_line(LineConfig(name="panel", codec=codec, options=options or {}, **config), CallsConfig())  # type: ignore[arg-type]
        self._task = asyncio.create_task(keep_running(self.line, self.emit, LineStatus("panel")))

    @property
    def seen(self) -> list[str]:
        """What panels said; the supervisor's own words about the line are left out."""
        told = [one for one in self.kept if isinstance(one, Rejected) or one.device is not None]
        return [f"rejected {one.reason}" if isinstance(one, Rejected) else f"{one.device} {one.kind} {one.phase}" for one in told]

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Cable:
    """The panel's end of a pseudo-terminal."""

    def __init__(self) -> None:
        self._ours, self._theirs = pty.openpty()
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        self.name = os.ttyname(self._theirs)
        self._heard = b""

    def say(self, wire: bytes) -> None:
        os.write(self._ours, wire)

    async def hears(self, wire: bytes) -> None:
        """Exactly this next."""
        await wait_until(lambda: len(self._read()) >= len(wire), f"{wire!r}")
        assert self._heard == wire
        self._heard = b""

    def is_silent(self) -> bool:
        return self._read() == b""

    def _read(self) -> bytes:
        try:
            self._heard += os.read(self._ours, 4096)
        except BlockingIOError:
            pass
        return self._heard

    def close(self) -> None:
        os.close(self._ours)
        os.close(self._theirs)


@pytest.fixture
def cable() -> object:
    cable = Cable()
    yield cable
    cable.close()


@pytest.fixture
async def build() -> AsyncIterator[Callable[..., House]]:
    houses: list[House] = []

    def make(codec: str, options: dict[str, object] | None = None, **config: object) -> House:
        houses.append(House(codec, options, **config))
        return houses[-1]

    yield make
    for house in houses:
        await house.stop()


async def test_ness_is_asked_at_once_and_after_a_lost_line(cable: Cable, build: Callable[..., House], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.panel.lines.ASK_AGAIN_S", 0.05)
    house = build("ness", listen=f"serial:{cable.name}:baudrate=9600")
    await cable.hears(NESS_ASK)
    cable.say(NESS_ALARM)
    await wait_until(lambda: house.seen == ["0 general raise"], "the alarm")
    cable.say(NESS_ALARM.replace(b"d6", b"d7"))
    await cable.hears(NESS_ASK)
    cable.say(b"8300660A1234E49\r\n")
    counted = lambda: [one.value for one in measures(house.line) if one.labels.get("what") == "passed_over"]  # noqa: E731
    await wait_until(lambda: counted() == [1], "what was passed over is on the metrics")


async def test_what_a_ness_tells_is_held_while_the_store_is_down(cable: Cable, build: Callable[..., House]) -> None:
    house = build("ness", listen=f"serial:{cable.name}:baudrate=9600")
    await cable.hears(NESS_ASK)
    house.verdict = STORE_DOWN
    cable.say(NESS_ALARM)
    await wait_until(lambda: house.asked > 1, "emitted again")
    house.verdict = STORED
    await wait_until(lambda: house.seen == ["0 general raise"], "stored once")


async def test_tap_receipt_after_the_commit_and_never_without(cable: Cable, build: Callable[..., House]) -> None:
    house = build("tap", listen=f"serial:{cable.name}:baudrate=1200:bytesize=7:parity=E")
    await wait_until(lambda: getattr(house.line, "connections", 0) == 1, "open")
    cable.say(b"\r")
    await cable.hears(b"ID=")
    cable.say(TAP_LOGON)
    await cable.hears(TAP_GO)
    house.may_commit.clear()
    cable.say(TAP_ABC)
    await wait_until(lambda: house.asked == 1, "emitted")
    assert cable.is_silent()
    house.may_commit.set()
    await cable.hears(b"\x06\r")
    house.verdict = STORE_DOWN
    for answer in (b"\x15\r", b"\x15\r", b"\x1b\x04\r"):
        cable.say(TAP_ABC)
        await cable.hears(answer)
    house.verdict = STORED
    cable.say(TAP_LOGON)
    await cable.hears(TAP_GO)
    cable.say(TAP_ABC)
    await cable.hears(b"\x06\r")
    cable.say(b"\x04\r")
    await cable.hears(b"\x1b\x04\r")
    assert house.seen == ["123 general raise"] * 2


@pytest.mark.parametrize(
    ("codec", "options", "wire", "seen"),
    [
        ("alarmdecoder", {"learned": {"102532:1": "sos"}}, b"!RFX:0102532,80\r\n", "0102532 sos raise"),
        ("comp2", {}, b"1234\rCall 5\r", "1234 general raise"),
        ("ascii_button", {"learned": {"1BB4": "help"}}, b"20;AF;SelectPlus;ID=1bb4;CHIME=01;\r\n", "1BB4 help raise"),
    ],
)
async def test_codecs_without_receipts_are_held_over_serial(
    cable: Cable, build: Callable[..., House], codec: str, options: dict[str, object], wire: bytes, seen: str
) -> None:
    house = build(codec, options, listen=f"serial:{cable.name}:baudrate=9600")
    await wait_until(lambda: getattr(house.line, "connections", 0) == 1, "open")
    house.verdict = STORE_DOWN
    cable.say(wire)
    await wait_until(lambda: house.asked > 1, "emitted again")
    house.verdict = STORED
    await wait_until(lambda: house.seen == [seen], "stored once")
    assert cable.is_silent()


async def test_elk_over_a_dialled_connection_is_asked_on_each_one(build: Callable[..., House]) -> None:
    links: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    server = await asyncio.start_server(lambda reader, writer: links.append((reader, writer)), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    house = build("elk", connect=f"tcp:127.0.0.1:{port}")
    for number in range(2):
        await wait_until(lambda number=number: len(links) > number, "dialled")  # type: ignore[misc]
        reader, writer = links[number]
        assert await asyncio.wait_for(reader.readexactly(len(ELK_ASK)), WAIT_S) == ELK_ASK
        writer.write(b"0AZC002900C7\r\n")
        await wait_until(lambda number=number: len(house.seen) == number + 1, "heard")  # type: ignore[misc]
        writer.close()
    assert house.seen == ["elk contact_open state"] * 2
    await house.stop()
    server.close()


async def test_a_page_goes_out_to_a_pager(cable: Cable, build: Callable[..., House]) -> None:
    house = build("tap", {"role": "sender"}, listen=f"serial:{cable.name}:baudrate=1200")
    await wait_until(lambda: getattr(house.line, "connections", 0) == 1, "open")
    telling = asyncio.create_task(house.line.tell(Tell(id="t", device="123", word=Word.COMING, text="ABC")))  # type: ignore[attr-defined]
    await cable.hears(b"\r")
    cable.say(b"ID=")
    await cable.hears(TAP_LOGON)
    cable.say(TAP_GO)
    await cable.hears(TAP_ABC)
    cable.say(b"\x06\r")
    assert await asyncio.wait_for(telling, WAIT_S) == ""
    await cable.hears(b"\x04\r")
