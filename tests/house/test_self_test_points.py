"""Test devices and their points, on a real store: what they say is never a cry, a person's press is noted, an overdue one becomes a task."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import OperationalError
from test_pipeline import REGISTER, Running, running
from waiting import free_port

from drivers.contract import STORED, TESTED, Rejected, Surroundings, Verdict, to_event
from drivers.registry import codec_for
from gateway.config import Config, LineConfig
from gateway.config.self_test import SelfTestConfig, SelfTestPoint
from gateway.core.incident import Flag
from gateway.core.register import Device, Register
from gateway.core.self_test import is_marked, never_pressed
from gateway.event import Event, Kind, Phase, Severity
from gateway.self_test.points import marks_of
from gateway.self_test.self_test import SelfTest
from gateway.store.store import Batch

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
BUTTON = SelfTestPoint(name="hall", line="buttons", how="press", device="B1", sentinel=True, press_every_days=7)


def event(kind: Kind = Kind.SOS, line: str = "wearables", device: str = "self-test", phase: Phase = Phase.RAISE, **more: object) -> Event:
    at = more.pop("at", NOW)
    assert isinstance(at, datetime)
    return Event(kind=kind, line=line, device=device, phase=phase, received_at=at, occurred_at=at, **more)  # type: ignore[arg-type]


def config_of(*points: SelfTestPoint, port: int = 1, **more: object) -> Config:
    lines = (
        LineConfig(name="wearables", codec="generic", broker="mqtt://127.0.0.1:1"),
        LineConfig(name="buttons", codec="ascii_button", listen="serial:/dev/none"),
        LineConfig(name="receiver", codec="surgard", listen=f"tcp:{port}:interface=127.0.0.1", mandatory=True),
    )
    return Config(line=lines, self_test=SelfTestConfig(point=points, within_s=0.3, every_s=0.3, **more))  # type: ignore[arg-type]


def under_test(path: Running, config: Config) -> SelfTest:
    """As the house puts it together."""
    path.working.test_devices = marks_of(config)
    path.working.seen.update(never_pressed(path.working.seen, path.working.test_devices, NOW))

    async def is_test(line: str, device: str) -> bool:
        return is_marked(path.working.test_devices, path.working.register, line, device)

    test = SelfTest(config, path.working, {}, dict, path.pipeline.receive, path.pipeline.note, CollectorRegistry(), is_test=is_test)
    test.restore(path.working.open_incidents)
    return test


@pytest.mark.parametrize("kind", [Kind.SOS, Kind.FIRE, Kind.TEST, Kind.HEARTBEAT, Kind.LOW_BATTERY, Kind.CALL_OFFERED, Kind.ACCEPT, Kind.CANCEL])
async def test_whatever_a_test_device_says_is_on_disk_as_one_row_and_is_nothing_else(tmp_path: Path, kind: Kind) -> None:
    async with running(tmp_path) as path:
        under_test(path, config_of())
        for number in range(3):
            verdicts = await path.pipeline.receive([event(kind, at=NOW + timedelta(minutes=number), dedup=f"d{number}")])
            assert verdicts == [TESTED]
        assert (list(path.store.journal()), path.working.incidents, path.working.calls, path.working.strangers) == ([], {}, {}, {})
        assert path.stations.delivered == []
        assert [batch.seen[0][0] for batch in path.store.batches] == ["test:wearables:self-test"] * 3, "each went through the store"
        books = path.metrics.books("wearables")
        assert (books.received, books.accepted, books.in_flight) == (3, 3, 0)
        assert path.working.senders.worst(NOW, path.working.desk) == []


async def test_a_device_that_somebody_in_the_register_has_is_no_test_device_whatever_is_configured(tmp_path: Path) -> None:
    async with running(tmp_path) as path:
        under_test(
            path,
            config_of(SelfTestPoint(name="a", line="wearables", device="w-1"), SelfTestPoint(name="b", line="wearables", device="w-2", how="press")),
        )
        for device in ("w-1", "w-2"):
            assert await path.pipeline.receive([event(device=device)]) == [STORED]
        assert [(one.person, one.severity) for one in path.working.open_incidents] == [("p-1", Severity.CRITICAL), ("p-2", Severity.CRITICAL)]


async def test_a_press_is_journalled_as_a_test_and_ends_the_task_that_said_it_was_overdue(tmp_path: Path) -> None:
    async with running(tmp_path) as path:
        register = Register(district="x", persons=(), devices=[Device(id="B1", line="buttons", area=None)], responders=REGISTER.responders.values())
        path.pipeline.use(register)
        test = under_test(path, config_of(BUTTON))
        row = next(row for row in test.view()["points"] if row["name"] == "hall")  # type: ignore[index]
        assert (row["state"], row["pressed_at"], row["due"]) == ("waiting", None, NOW + timedelta(days=7)), "nobody has pressed it yet"
        await test.look(NOW + timedelta(days=7))
        assert path.working.incidents == {}, "seven days from the start on are still good"
        await test.look(NOW + timedelta(days=7, seconds=1))
        await test.look(NOW + timedelta(days=7, seconds=9))
        (task,) = path.working.open_incidents
        assert (task.kind, task.line, task.severity, task.legs) == (Kind.PRESS_DUE, "self_test:hall", Severity.WARNING, ())
        pressed = test.around("buttons", path.pipeline.receive)
        at = NOW + timedelta(days=8)
        assert await pressed([event(Kind.SOS, "buttons", "B1", at=at, edge="pressed")]) == [STORED]
        await test.look(at)
        (task,) = path.working.open_incidents
        assert Flag.ENDED in task.flags
        assert [(row.kind, row.phase) for row in path.store.journal()] == [("press_due", "raise"), ("sos", "test"), ("press_due", "clear")]
        assert path.stations.delivered == []
        (row,) = [row for row in test.view()["points"] if row["name"] == "hall"]  # type: ignore[index]
        assert (row["state"], row["pressed_at"], row["due"]) == ("good", at, at + timedelta(days=7))


async def test_a_bare_button_counts_as_a_press_and_what_a_device_says_of_itself_stays_what_it_is(tmp_path: Path) -> None:
    async with running(tmp_path) as path:
        test = under_test(path, config_of(BUTTON))
        pressed = test.around("buttons", path.pipeline.receive)
        await pressed([event(Kind.LOW_BATTERY, "buttons", "B1"), event(Kind.HEARTBEAT, "buttons", "B1", Phase.STATE)])
        assert [one.kind for one in path.working.open_incidents] == [Kind.LOW_BATTERY], "a sentinel with a flat battery is a task"
        await pressed([event(Kind.BUTTON, "buttons", "B1", Phase.STATE, at=NOW + timedelta(hours=1))])
        assert [(row.kind, row.phase) for row in path.store.journal()][-1] == ("test", "test")
        assert path.working.seen["test:buttons:B1"].at == NOW + timedelta(hours=1)


async def test_the_last_press_is_known_after_a_restart(tmp_path: Path) -> None:
    at = datetime.now(UTC) - timedelta(days=3)
    async with running(tmp_path) as path:
        test = under_test(path, config_of(BUTTON))
        await test.around("buttons", path.pipeline.receive)([event(Kind.SOS, "buttons", "B1", at=at)])
    async with running(tmp_path) as path:
        test = under_test(path, config_of(BUTTON))
        assert next(row for row in test.view()["points"] if row["name"] == "hall")["pressed_at"] == at  # type: ignore[index]
        assert path.working.strangers == {}


# --- a line played by the test, so that each of its stages can fail ------------------------------------------------------


class Player:
    """A socket where the receiver's line should be: reads Sur-Gard, gives what it says to `emit`, answers as it is told."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.emit = self.unheard
        self.answers = True
        self._talks: set[asyncio.Task[None]] = set()

    async def unheard(self, _events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        await asyncio.Event().wait()
        return []

    @contextlib.asynccontextmanager
    async def playing(self) -> AsyncIterator["Player"]:
        server = await asyncio.start_server(self._talk, "127.0.0.1", self.port)
        try:
            yield self
        finally:
            server.close()
            for talk in self._talks:
                talk.cancel()
            await asyncio.gather(*self._talks, return_exceptions=True)

    def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talks.add(asyncio.get_running_loop().create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        finally:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        codec = codec_for("surgard", {}, None, Surroundings(line="receiver", session="s"))
        while data := await reader.read(1000):
            signals = codec.receive_data(data, 1.0)
            verdicts = await self.emit([to_event(one, "receiver", NOW) for one in signals])
            for signal, verdict in zip(signals, verdicts, strict=True):
                if verdict.kept and self.answers:
                    codec.confirm(signal)
            writer.write(codec.data_to_send())


@contextlib.asynccontextmanager
async def played(tmp_path: Path) -> AsyncIterator[tuple[Running, SelfTest, Player]]:
    port = free_port()
    async with running(tmp_path) as path, Player(port).playing() as player:
        test = under_test(path, config_of(port=port))
        player.emit = test.around("receiver", path.pipeline.receive)  # type: ignore[assignment]
        yield path, test, player


async def test_each_stage_that_fails_is_named(tmp_path: Path) -> None:
    async with played(tmp_path) as (path, test, player):
        good = await test.once("receiver")
        assert (good.missing, set(good.stages)) == ("", {"connect", "receipt", "committed"})
        player.answers = False
        assert (await test.once("receiver")).missing == "no_receipt"
        player.answers = True
        through, player.emit = player.emit, player.unheard
        assert (await test.once("receiver")).missing == "not_taken"
        player.emit = through

        def down(_: Batch) -> None:
            raise OperationalError("INSERT", {}, Exception("disk full"))

        path.store.fault, path.store.is_probe_refused = down, True
        assert (await test.once("receiver")).missing == "not_committed"
        path.store.fault, path.store.is_probe_refused = (lambda _: None), False
        assert (await test.once("receiver")).missing == ""
        assert test.withholding() == []


async def test_a_pipeline_that_hangs_is_found_by_two_misses_and_tells_when_it_can(tmp_path: Path) -> None:
    async with played(tmp_path) as (path, test, player):
        through = player.emit

        async def hanging(events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
            return await test.around("receiver", player.unheard)(events)

        player.emit = hanging  # type: ignore[method-assign]
        assert [(await test.once("receiver")).missing for _ in range(2)] == ["not_committed"] * 2
        assert test.withholding() == ["receiver"]
        (incident,) = path.working.open_incidents
        assert (incident.kind, incident.line, incident.severity) == (Kind.SELF_TEST_MISSED, "self_test:receiver", Severity.CRITICAL), (
            "a mandatory line"
        )
        player.emit = through
        await test.once("receiver")
        assert test.withholding() == []
        (incident,) = path.working.open_incidents
        assert Flag.ENDED in incident.flags
        rows = [(row.kind, row.phase, json.loads(row.facts)["detail"]) for row in path.store.journal()]
        assert [(kind, phase) for kind, phase, _ in rows] == [("self_test_missed", "raise"), ("self_test_missed", "clear")]
        assert rows[0][2]["reason"] == "self_test_not_committed"


async def test_a_self_test_that_has_stalled_vouches_for_nothing(tmp_path: Path) -> None:
    async with played(tmp_path) as (_, test, _player):
        assert (await test.once("receiver")).missing == ""
        assert test.withholding() == []
        history = test._places["receiver"].history
        assert history.added is not None
        history.added -= 1000.0  # the last result is old: good or bad, none came since
        assert test.withholding() == ["receiver"]
        await test.once("receiver")
        assert test.withholding() == []


async def test_an_edge_that_the_store_did_not_take_is_told_later(tmp_path: Path) -> None:
    async with played(tmp_path) as (path, test, player):
        player.emit = player.unheard  # type: ignore[method-assign]

        def down(_: Batch) -> None:
            raise OperationalError("INSERT", {}, Exception("disk full"))

        path.store.fault, path.store.is_probe_refused = down, True
        for _ in range(2):
            await test.once("receiver")
        assert test.withholding() == ["receiver"], "whoever waits outside is not told that all is well"
        assert path.working.incidents == {}
        path.store.fault, path.store.is_probe_refused = (lambda _: None), False
        await test.look(NOW)
        assert [one.kind for one in path.working.open_incidents] == [Kind.SELF_TEST_MISSED]


async def test_a_test_device_that_becomes_somebodys_is_not_used_any_more(tmp_path: Path) -> None:
    async with played(tmp_path) as (path, test, _):
        assert (await test.once("receiver")).missing == ""
        device = Device(id="FEFE", line="receiver", person="p-1")
        path.pipeline.use(Register(district="x", persons=REGISTER.persons.values(), devices=[device], responders=REGISTER.responders.values()))
        before = len(list(path.store.journal()))
        for _ in range(2):
            assert (await test.once("receiver")).missing == "not_marked"
        assert [row for row in path.store.journal() if row.kind == "test"] == [], "nothing is sent in a person's name, not even once"
        assert before <= len(list(path.store.journal()))


async def test_a_day_is_one_entry(tmp_path: Path) -> None:
    async with played(tmp_path) as (path, test, player):
        task = asyncio.create_task(test.run(_never))
        try:
            await asyncio.sleep(0)
            for _ in range(3):
                await test.once("receiver")
            player.answers = False
            await test.once("receiver")
            tomorrow = datetime.now(UTC) + timedelta(days=1)
            await test.look(tomorrow)
            await test.look(tomorrow)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        (row,) = [row for row in path.store.journal() if row.kind == "audit"]
        facts = json.loads(row.facts)
        assert facts["self_test"] == "day"
        assert facts["points"] == [{"point": "receiver", "sent": 4, "seen_back": 3, "missed": {"no_receipt": 1}}]


async def _never(_: float) -> None:
    await asyncio.Event().wait()


def test_a_line_with_silence_s_is_not_probed_unasked() -> None:
    from gateway.self_test.points import points_of

    config = config_of()
    quiet = msgspec.structs.replace(config, line=tuple(msgspec.structs.replace(line, silence_s=60) for line in config.line))
    assert [(point.name, point.how, point.why) for point in points_of(quiet)] == [
        ("wearables", "path", "silence"),
        ("buttons", "path", "silence"),
        ("receiver", "path", "silence"),
    ], "a probe would be heard as its peer, and hide that it is silent"
    asked = msgspec.structs.replace(quiet, self_test=SelfTestConfig(point=(SelfTestPoint(name="receiver", line="receiver"),)))
    assert points_of(asked)[0].how == "wire", "unless somebody asks for it"
