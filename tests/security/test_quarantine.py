"""Who tries keys or accounts at a TCP port is refused for a growing time, counted and kept for inspection; whoever is believed never is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from waiting import WAIT_S, free_port, wait_until

from drivers.contract import STORED, Rejected, Surroundings, Verdict
from drivers.lines.quarantine import FAILURES, LONGEST_S, MAX_HOSTS, SOUND_S, Quarantine
from drivers.lines.stream import StreamLine
from drivers.registry import build_line
from gateway.believed import FILE, Believed
from gateway.clock import monotonic
from gateway.config import CallsConfig, LineConfig
from gateway.event import Event, Kind
from tests.panel.test_sia_dc09 import wire

GOOD = wire('"NULL"0001L0#4711[]')
CRY = wire('"ADM-CID"0001L0#4711[#4711|1101 01 005]')
BAD = b"\n0000" + GOOD[5:]  # a check that does not fit


# --- the table


def test_five_failures_then_twice_as_long_each_time_up_to_five_minutes() -> None:
    table = Quarantine()
    assert [table.failed("a", 0.0) for _ in range(FAILURES + 10)] == [0.0] * (FAILURES - 1) + [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert table.refuses("a", LONGEST_S - 1)
    assert not table.refuses("a", LONGEST_S + 1)
    assert not table.refuses("b", 0.0)


async def test_whoever_was_believed_before_a_restart_is_never_refused_after_it(tmp_path: Path) -> None:
    """A panel behind the address of a badly set one, which begins with five failures after the restart."""
    line = LineConfig(name="panels", codec="sia_dc09", listen="tcp:0")
    before, after, later = (build_line(line, CallsConfig(), (), Surroundings()) for _ in range(3))
    assert all(isinstance(one, StreamLine) for one in (before, after, later))
    before._quarantine.sound("192.0.2.7", monotonic())
    before._quarantine.ended("192.0.2.7", monotonic())
    keeping = asyncio.create_task(Believed(tmp_path, {"panels": before}).run())
    await asyncio.sleep(0)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    kept = Believed(tmp_path, {})
    kept.load()
    kept.given("panels", after)
    assert not any(after._quarantine.failed("192.0.2.7", monotonic()) for _ in range(10 * FAILURES))
    assert not after._quarantine.refuses("192.0.2.7", monotonic())
    assert any(after._quarantine.failed("192.0.2.8", monotonic()) for _ in range(FAILURES)), "a stranger is"
    later.believe({"192.0.2.7": SOUND_S + 1})
    assert any(later._quarantine.failed("192.0.2.7", monotonic()) for _ in range(FAILURES)), "and so is who was believed long ago"


def test_what_was_kept_and_is_none_begins_anew(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("[")
    Believed(tmp_path, {}).load()


def test_one_sound_message_and_it_is_forgotten() -> None:
    table = Quarantine()
    for _ in range(FAILURES):
        table.failed("a", 0.0)
    assert table.refuses("a", 0.5)
    table.sound("a", 2.0)
    table.ended("a", 2.0)
    assert not any(table.failed("a", 3.0) for _ in range(100)), "thousands share this address: one broken device costs the others nothing"
    assert any(table.failed("a", SOUND_S + 3.0) for _ in range(FAILURES))


def test_a_panel_that_tests_once_a_day_is_heard_beside_one_that_was_set_up_wrongly() -> None:
    """One router, two panels: the one with a wrong key tries every second, and would have the host refused whenever the other one cries."""
    table, day = Quarantine(), 86_400.0
    table.sound("home", 0.0)
    table.ended("home", 1.0)
    assert not any(table.failed("home", 100.0 + second) for second in range(0, int(day), 60))
    assert not table.refuses("home", day)


def test_a_connection_that_stands_is_belief_however_old() -> None:
    table = Quarantine()
    table.sound("a", 0.0)
    assert not any(table.failed("a", 10 * SOUND_S) for _ in range(100))


def test_the_table_is_bounded() -> None:
    table = Quarantine()
    for number in range(MAX_HOSTS + 5):
        table.failed(str(number), 0.0)
        table.sound(f"s{number}", 0.0)
    assert (len(table._failed), len(table._sound)) == (MAX_HOSTS, MAX_HOSTS)


# --- a line


class Panels:
    """A DC-09 line on TCP, what it keeps, and who comes to it."""

    def __init__(self, line: StreamLine) -> None:
        self.line = line
        self.kept: list[Event | Rejected] = []

    async def emit(self, events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        self.kept += events
        return [STORED] * len(events)

    def live(self) -> None: ...

    def heard(self) -> None: ...

    def suspect(self, reason: str) -> None: ...

    async def says(self, data: bytes, host: str = "127.0.0.1") -> bytes:
        """One connection from this address of the machine: what it answers, or b"" when it was refused."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.line.port, local_addr=(host, 0))
        try:
            writer.write(data)
            return await asyncio.wait_for(reader.read(1000), WAIT_S)
        except ConnectionError:
            return b""
        finally:
            writer.close()

    async def storm(self, connections: int = FAILURES) -> None:
        """So many connections, one after the other, each with nonsense in it."""
        for _ in range(connections):
            _, writer = await asyncio.open_connection("127.0.0.1", self.line.port)
            seen = self.reasons().count("bad_crc")
            writer.write(BAD)
            await wait_until(lambda seen=seen: self.reasons().count("bad_crc") > seen, "the nonsense is kept")
            writer.close()
            await wait_until(lambda: self.line.connections == 0, "the connection is over")

    def reasons(self) -> list[str]:
        return [one.reason for one in self.kept if isinstance(one, Rejected)]


@pytest.fixture
async def panels() -> AsyncIterator[Panels]:
    config = LineConfig(name="panels", codec="sia_dc09", listen=f"tcp:{free_port()}:interface=127.0.0.1")
    line = build_line(config, CallsConfig(), (), Surroundings(line="panels"))
    assert isinstance(line, StreamLine)
    found = Panels(line)
    task = asyncio.create_task(line.run(found.emit, found))
    await wait_until(lambda: line.port is not None, "it listens")
    yield found
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_storm_of_nonsense_is_refused_counted_and_kept(panels: Panels, monkeypatch: pytest.MonkeyPatch) -> None:
    now = monotonic()
    monkeypatch.setattr("drivers.lines.stream.monotonic", lambda: now)  # the first quarantine lasts a second
    await panels.storm()
    await wait_until(lambda: "quarantined" in panels.reasons(), "it is put into quarantine")
    assert await panels.says(CRY) == b""
    assert panels.line.counts["quarantined"] == 1
    assert panels.reasons().count("bad_crc") == FAILURES
    [told] = [one for one in panels.kept if isinstance(one, Rejected) and one.reason == "quarantined"]
    assert told.detail.startswith("127.0.0.1: ")


async def test_another_host_is_heard_meanwhile(panels: Panels) -> None:
    await panels.storm()
    await wait_until(lambda: "quarantined" in panels.reasons(), "it is put into quarantine")
    assert b'"ACK"' in await panels.says(CRY, "127.0.0.2")
    assert [one.kind for one in panels.kept if isinstance(one, Event)] == [Kind.SOS]


async def test_a_host_with_a_sound_device_is_never_refused(panels: Panels) -> None:
    assert b'"ACK"' in await panels.says(GOOD)
    await panels.storm(3 * FAILURES)
    assert b'"ACK"' in await panels.says(CRY)
    assert panels.line.counts["quarantined"] == 0


async def test_it_is_heard_again_when_its_time_is_over(panels: Panels, monkeypatch: pytest.MonkeyPatch) -> None:
    await panels.storm()
    await wait_until(lambda: "quarantined" in panels.reasons(), "it is put into quarantine")
    ahead = asyncio.get_running_loop().time() + 10
    monkeypatch.setattr("drivers.lines.stream.monotonic", lambda: ahead)
    assert b'"ACK"' in await panels.says(CRY)
