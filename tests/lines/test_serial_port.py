"""Serial lines on real pseudo-terminals: receipt after the store, unplugging and plugging in again, silence."""

import asyncio
import errno
import gc
import os
import pty
import termios
import tty
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from waiting import wait_until

from drivers.contract import STORED, Rejected, Verdict
from drivers.lines.serial_port import ExclusivePort, check_endpoint, read_endpoint
from drivers.registry import build_line
from drivers.supervisor import LineState, LineStatus, keep_running
from gateway.config import CallsConfig, LineConfig
from gateway.event import Event, Kind, Phase

SELECT = bytes.fromhex("04 31 05 32 05")
CALL = bytes.fromhex("01 31 02 31 1f 41 03 5f")
EOT, ACK = b"\x04", b"\x06"


class Cable:
    """A pseudo-terminal under a fixed name, so that it can be unplugged and plugged in again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.received = b""
        self._ends: tuple[int, int] | None = None
        self.plug()

    def plug(self) -> None:
        master, slave = pty.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        self.path.symlink_to(os.ttyname(slave))
        self._ends = (master, slave)

    def unplug(self) -> None:
        if self._ends is not None:
            self.path.unlink()
            for end in self._ends:
                os.close(end)
            self._ends = None

    def send(self, data: bytes) -> None:
        assert self._ends is not None
        self.received = b""
        os.write(self._ends[0], data)

    def read(self) -> bytes:
        assert self._ends is not None
        try:
            self.received += os.read(self._ends[0], 4096)
        except BlockingIOError:
            pass
        return self.received

    async def asks(self, data: bytes, answer: bytes) -> None:
        """Send, and wait for exactly this answer."""
        self.send(data)
        await wait_until(lambda: self.read() == answer, f"{answer!r} after {data!r}")


class Store:
    """Stands for the pipeline: keeps what is emitted, and answers what the test says, when the test says."""

    def __init__(self) -> None:
        self.kept: list[Event | Rejected] = []
        self.asked = 0
        self.verdict = STORED
        self.open = asyncio.Event()
        self.open.set()

    async def emit(self, events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        return await self.emit_now(events)

    async def emit_now(self, events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        self.asked += 1
        await self.open.wait()
        if self.verdict.kept:
            self.kept += events
        return [self.verdict] * len(events)

    @property
    def kinds(self) -> list[str]:
        return [f"rejected {one.reason}" if isinstance(one, Rejected) else str(one.kind) for one in self.kept]


class House:
    """One supervised line."""

    def __init__(self, codec: str, **settings: object) -> None:
        config = LineConfig(name="panel", codec=codec, **settings)  # type: ignore[arg-type]
        self.store = Store()
        self.status = LineStatus("panel")
        self._task = asyncio.create_task(keep_running(build_line(config, CallsConfig()), self.store.emit, self.status))

    async def is_live(self) -> None:
        await wait_until(lambda: self.status.is_live, "live")

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class SerialHouse(House):
    """... on one cable."""

    def __init__(self, cable: Cable, codec: str, **settings: object) -> None:
        super().__init__(codec, listen=f"serial:{cable.path}:baudrate=9600", **settings)
        self.cable = cable


@pytest.fixture
async def cable(tmp_path: Path) -> AsyncIterator[Cable]:
    cable = Cable(tmp_path / "panel0")
    yield cable
    cable.unplug()


@pytest.fixture
async def espa(cable: Cable) -> AsyncIterator[SerialHouse]:
    house = SerialHouse(cable, "espa444")
    await house.is_live()
    yield house
    await house.stop()


@pytest.fixture
async def buttons(cable: Cable) -> AsyncIterator[SerialHouse]:
    house = SerialHouse(cable, "ascii_button", options={"learned": {"5393": ""}})
    await house.is_live()
    yield house
    await house.stop()


async def test_receipt_after_the_store_and_polls_answered_meanwhile(espa: SerialHouse) -> None:
    await espa.cable.asks(SELECT, ACK)
    espa.store.open.clear()
    espa.cable.send(CALL)
    await wait_until(lambda: espa.store.asked == 1, "the call is emitted")
    assert espa.cable.read() == b"", "no receipt before the commit"
    espa.store.open.set()
    await wait_until(lambda: espa.cable.read() == ACK, "the receipt")
    assert espa.store.kinds == ["sos"]
    await espa.cable.asks(EOT + b"2\x05", EOT)


async def test_polls_do_not_wait_for_the_disk(espa: SerialHouse) -> None:
    await espa.cable.asks(SELECT, ACK)
    espa.store.open.clear()
    espa.cable.send(CALL)
    await wait_until(lambda: espa.store.asked == 1)
    await espa.cable.asks(EOT + b"2\x05", EOT)
    espa.store.open.set()
    await wait_until(lambda: espa.store.kinds == ["sos"])
    await espa.cable.asks(EOT + b"2\x05", EOT)  # and the late receipt was not sent into this dialogue


async def test_store_down_asks_the_panel_to_repeat(espa: SerialHouse) -> None:
    await espa.cable.asks(SELECT, ACK)
    espa.store.verdict = Verdict("refused", "store_down", retry=True)
    await espa.cable.asks(CALL, b"2\x15")
    espa.store.verdict = STORED
    await espa.cable.asks(CALL, ACK)
    assert espa.store.kinds == ["sos"]


async def test_bad_check_is_refused_and_kept(espa: SerialHouse) -> None:
    await espa.cable.asks(SELECT, ACK)
    await espa.cable.asks(CALL[:-1] + b"\x00", b"1\x15")
    await wait_until(lambda: espa.store.kinds == ["rejected bad_bcc"])
    assert isinstance(espa.store.kept[0], Rejected)
    assert espa.store.kept[0].line == "panel"


async def test_unplugged_and_plugged_in_again(espa: SerialHouse) -> None:
    espa.cable.unplug()
    await wait_until(lambda: espa.store.kinds == ["line_lost"], "line_lost")
    assert espa.status.state is LineState.LOST
    espa.cable.plug()
    await wait_until(lambda: espa.store.kinds == ["line_lost", "line_restored", "gap"], "line_restored and gap")
    await espa.cable.asks(SELECT, ACK)
    await espa.cable.asks(CALL, ACK)
    assert espa.store.kinds[3:] == ["sos"]


async def test_notices_wait_for_the_store(espa: SerialHouse) -> None:
    espa.store.verdict = Verdict("refused", "store_down", retry=True)
    espa.cable.unplug()
    await wait_until(lambda: espa.store.asked >= 2, "the notice is tried again")
    espa.cable.plug()
    espa.store.verdict = STORED
    await wait_until(lambda: espa.store.kinds == ["line_lost", "line_restored", "gap"])


async def test_port_is_closed_before_the_loss_is_told(espa: SerialHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    from twisted.internet import reactor

    [port] = [reader for reader in reactor.getReaders() if isinstance(reader, ExclusivePort)]
    was_open: list[bool] = []

    async def emit(events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        was_open.append(port._serial.is_open)
        return [STORED] * len(events)

    monkeypatch.setattr(espa.store, "emit_now", emit)
    assert port._serial.is_open
    espa.cable.unplug()
    await wait_until(lambda: was_open)
    assert was_open == [False]


async def test_port_is_ours_alone(espa: SerialHouse, cable: Cable) -> None:
    second = SerialHouse(cable, "espa444")
    await wait_until(lambda: second.status.state is LineState.LOST)
    assert second.status.reason == f"cannot open {cable.path}: another program has it open"
    await second.stop()


async def test_a_port_that_fails_while_it_is_opened_is_left_for_the_next_try(cable: Cable, monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapter that is pulled out in this very moment: the lock must not stay with what never became a line."""
    flush = termios.tcflush
    failed: list[int] = []

    def once(port: int, queue: int) -> None:
        if queue == termios.TCOFLUSH and not failed:  # pyserial flushes what came, Twisted then both
            failed.append(port)
            raise termios.error(errno.EIO, "Input/output error")
        flush(port, queue)

    monkeypatch.setattr(termios, "tcflush", once)
    gc.disable()  # nobody may depend on the collector
    try:
        house = SerialHouse(cable, "espa444")
        await house.is_live()
    finally:
        gc.enable()
    assert failed
    assert house.status.restarts == 1
    await house.stop()


async def test_a_port_that_is_not_there_is_told_once(cable: Cable) -> None:
    cable.unplug()
    house = SerialHouse(cable, "espa444")
    await wait_until(lambda: house.status.state is LineState.LOST)
    assert house.status.reason == f"cannot open {cable.path}: No such file or directory"
    await house.stop()


async def test_silence_is_suspect_until_heard(cable: Cable) -> None:
    house = SerialHouse(cable, "espa444", silence_s=0.1)
    await wait_until(lambda: house.store.kinds == ["line_lost"])
    assert (house.status.state, house.status.reason) == (LineState.SUSPECT, "silent for 0.1 s")
    assert isinstance(house.store.kept[0], Event)
    assert house.store.kept[0].phase is Phase.RAISE
    house.cable.send(EOT)
    await wait_until(lambda: house.store.kinds[:3] == ["line_lost", "line_restored", "gap"])
    await house.stop()


async def test_buttons_are_held_while_the_store_is_down(buttons: SerialHouse) -> None:
    buttons.store.verdict = Verdict("refused", "store_down", retry=True)
    buttons.cable.send(b"5393\r\n5393\r\n17\r\n")
    await wait_until(lambda: buttons.store.asked >= 2, "emitted again: nobody else will repeat it")
    assert buttons.store.kept == []
    buttons.store.verdict = STORED
    await wait_until(lambda: buttons.store.kinds == ["sos", "button"], "in order, once each")
    assert buttons.cable.read() == b""


async def test_buttons_read_before_unplugging_are_stored_after_it(buttons: SerialHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.lines.conversing.STORE_S", 0.05)
    buttons.store.verdict = Verdict("refused", "store_down", retry=True)
    buttons.cable.send(b"5393\r\n")
    await wait_until(lambda: buttons.store.asked >= 1)
    buttons.cable.unplug()
    await wait_until(lambda: buttons.status.state is LineState.LOST)
    buttons.store.verdict = STORED
    buttons.cable.plug()
    await wait_until(lambda: Kind.SOS in buttons.store.kinds, "the press outlives the cable")
    assert buttons.store.kinds.count("sos") == 1


def test_endpoint_strings() -> None:
    device, settings = read_endpoint(r"serial:/dev/serial/by-path/pci-0000\:00:baudrate=1200:bytesize=7:parity=E:stopbits=2")
    assert device == "/dev/serial/by-path/pci-0000:00"
    assert (settings.baudrate, settings.bytesize, settings.parity, settings.stopbits) == (1200, 7, "E", 2)


@pytest.mark.parametrize(
    ("listen", "names"),
    [
        ("serial:/dev/x:baud=9600", "baud"),
        ("serial:/dev/x:baudrate=fast", "baudrate"),
        ("serial:/dev/x:parity=Q", "parity=Q"),
        ("serial:/dev/x:bytesize=9", "bytesize=9"),
        ("serial:/dev/x:stopbits=3", "stopbits=3"),
        ("serial:/dev/x:9600", "9600"),
        ("serial::baudrate=9600", "no device"),
    ],
)
def test_endpoint_faults_name_the_word(listen: str, names: str) -> None:
    [problem] = check_endpoint(listen)
    assert names in problem
