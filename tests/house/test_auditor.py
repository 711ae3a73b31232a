"""The auditor and the dead man's switch: it beats, stops when a deadline is late, beats again; a real HTTP server and a real journal listen."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import uvicorn
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from test_pipeline import Running, cry, running
from waiting import free_port, wait_until

from gateway.auditor import Auditor, late_deadlines
from gateway.config import HeartbeatConfig
from gateway.core.incident import Incident, State
from gateway.event import Kind, Severity
from gateway.store.store import StoreDown

NOW = datetime(2026, 3, 14, 3, 0, tzinfo=UTC)


class Switch:
    """A dead man's switch of the world outside: counts who called, and may be in a bad mood."""

    def __init__(self) -> None:
        self.port = free_port()
        self.calls: list[str] = []
        self.status = 200
        app = Starlette(routes=[Route("/ping/{token}", self._ping, methods=["GET", "POST"])])
        self._server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=self.port, log_config=None, access_log=False, lifespan="off"))

    async def _ping(self, request: Request) -> Response:
        self.calls.append(request.method)
        return Response(status_code=self.status)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/ping/a-secret"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Switch"]:
        task = asyncio.create_task(self._server.serve())
        try:
            await wait_until(lambda: self._server.started, "the switch listens")
            yield self
        finally:
            self._server.should_exit = True
            await task


class Line:
    """A line as its supervisor shows it."""

    def __init__(self, state: str = "live", *, mandatory: bool = True) -> None:
        self.state = state
        self.mandatory = mandatory


class Sleeper:
    """In place of sleeping: the auditor looks when the test says so."""

    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(0)
        self.looks = 0

    async def __call__(self, _: float) -> None:
        self.looks += 1
        await self.turns.acquire()

    async def look(self) -> None:
        before = self.looks
        self.turns.release()
        await wait_until(lambda: self.looks > before, "the auditor has looked")


@contextlib.asynccontextmanager
async def auditing(
    path: Running, folder: Path, config: HeartbeatConfig, lines: dict[str, Line] | None = None
) -> AsyncIterator[tuple[Auditor, Sleeper, CollectorRegistry]]:
    registry, sleeper = CollectorRegistry(), Sleeper()
    auditor = Auditor(config, path.working, path.pipeline, lines or {}, folder, registry)
    task = asyncio.create_task(auditor.run(sleeper))
    await wait_until(lambda: sleeper.looks == 1)
    try:
        yield auditor, sleeper, registry
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def audits(path: Running) -> list[dict[str, object]]:
    return [json.loads(row.facts) for row in path.store.journal() if row.kind == "audit"]


def is_quiet(path: Running) -> bool:
    return all(not leg.pending for incident in path.working.open_incidents for leg in incident.legs)


async def test_it_beats_stops_when_late_and_beats_again(tmp_path: Path) -> None:
    async with Switch().running() as switch, running(tmp_path) as path:
        config = HeartbeatConfig(url=switch.url, late_s=30)
        async with auditing(path, tmp_path, config) as (auditor, sleeper, registry):
            await path.pipeline.receive([cry()])
            await wait_until(lambda: is_quiet(path), "its order has left: nothing else will write the incident")
            await sleeper.look()
            assert switch.calls == ["GET"]
            (incident,) = path.working.open_incidents
            # a timer that was lost: the deadline is long past, and nobody looks at it
            late = msgspec.structs.replace(incident, deadlines={"acknowledge": datetime.now(UTC) - timedelta(minutes=5)})
            path.working.incidents[incident.id] = late
            await sleeper.look()
            await sleeper.look()
            assert switch.calls == ["GET"], "withheld: whoever listens outside comes and looks"
            assert auditor.is_late
            assert registry.get_sample_value("gateway_deadlines_late_total", {"deadline": "acknowledge"}) == 1, "counted once, not at each look"
            assert registry.get_sample_value("gateway_heartbeats_withheld_total", {"reason": "late"}) == 2
            assert registry.get_sample_value("gateway_audit_oldest_overdue_seconds") == pytest.approx(300, abs=10)
            path.working.incidents[incident.id] = incident
            await sleeper.look()
            assert switch.calls == ["GET", "GET"]
            assert not auditor.is_late
        found = audits(path)
        assert [(one["late"], one.get("incidents")) for one in found] == [(1, [f"{incident.id} acknowledge"]), (0, None)], "the edge, not the level"


async def test_a_store_that_is_down_and_a_lost_mandatory_line_withhold_it(tmp_path: Path) -> None:
    lines = {"wearables": Line(), "spare": Line("lost", mandatory=False)}
    async with Switch().running() as switch, running(tmp_path) as path:
        config = HeartbeatConfig(url=switch.url, method="POST")
        async with auditing(path, tmp_path, config, lines) as (auditor, sleeper, _):
            await sleeper.look()
            assert switch.calls == ["POST"]
            lines["wearables"].state = "lost"
            assert auditor.look(datetime.now(UTC)).reasons == ("line_lost:wearables",)
            await sleeper.look()
            lines["wearables"].state = "live"
            path.pipeline.is_store_down = True
            await sleeper.look()
            assert switch.calls == ["POST"]
            path.pipeline.is_store_down = False
            await sleeper.look()
            assert switch.calls == ["POST", "POST"]


async def test_what_withholds_it_is_ours_to_say(tmp_path: Path) -> None:
    async with Switch().running() as switch, running(tmp_path) as path:
        config = HeartbeatConfig(url=switch.url, withhold=("late",))
        async with auditing(path, tmp_path, config, {"wearables": Line("lost")}) as (_, sleeper, _registry):
            await sleeper.look()
            assert switch.calls == ["GET"]


async def test_a_pipeline_that_stands_still_gives_no_sign_of_life(tmp_path: Path) -> None:
    async with Switch().running() as switch, running(tmp_path) as path:
        config = HeartbeatConfig(url=switch.url, withhold=())
        async with auditing(path, tmp_path, config) as (auditor, _, _registry):
            path.pipeline.beat -= 60
            assert auditor.look(datetime.now(UTC)).reasons == ("pipeline_hangs",)


async def test_the_file_has_the_time_of_the_last_beat(tmp_path: Path) -> None:
    async with running(tmp_path) as path, auditing(path, tmp_path, HeartbeatConfig(file="alive")) as (_, sleeper, registry):
        await sleeper.look()
        written = await asyncio.to_thread((tmp_path / "alive").read_text)
        assert datetime.now(UTC) - datetime.fromisoformat(written.strip()) < timedelta(seconds=10)
        assert registry.get_sample_value("gateway_heartbeats_total", {"way": "file", "outcome": "sent"}) == 1


async def test_a_switch_that_refuses_or_is_away_does_no_harm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with Switch().running() as switch, running(tmp_path) as path:
        switch.status = 503
        async with auditing(path, tmp_path, HeartbeatConfig(url=switch.url)) as (_, sleeper, registry):
            await sleeper.look()
            assert registry.get_sample_value("gateway_heartbeats_total", {"way": "url", "outcome": "http_5xx"}) == 1
        away = f"http://127.0.0.1:{free_port()}/ping/a-secret"
        async with auditing(path, tmp_path, HeartbeatConfig(url=away)) as (_, sleeper, registry):
            await sleeper.look()
            assert registry.get_sample_value("gateway_heartbeats_total", {"way": "url", "outcome": "failed"}) == 1
    assert "a-secret" not in caplog.text, "the address is a secret"


async def test_a_finding_that_cannot_be_written_is_written_later(tmp_path: Path) -> None:
    async with running(tmp_path) as path, auditing(path, tmp_path, HeartbeatConfig()) as (_, sleeper, _registry):
        await path.pipeline.receive([cry()])
        (incident,) = path.working.open_incidents
        path.working.incidents[incident.id] = msgspec.structs.replace(incident, deadlines={"acknowledge": datetime.now(UTC) - timedelta(minutes=5)})

        def refuse(_: object) -> None:
            raise StoreDown("no room")

        path.store.fault = refuse
        await sleeper.look()
        assert audits(path) == []
        path.store.fault = lambda _: None
        await sleeper.look()
        assert [one["late"] for one in audits(path)] == [1]
        path.working.incidents[incident.id] = incident


def test_what_is_on_hold_or_within_the_bound_is_not_late() -> None:
    def one(name: str, **deadlines: timedelta) -> Incident:
        due = {word: NOW + by for word, by in deadlines.items()}
        at = {"opened_at": NOW, "changed_at": NOW, "last_event_at": NOW}
        return Incident(id=name, key=name, kind=Kind.SOS, severity=Severity.CRITICAL, state=State.RAISED, ts=0, deadlines=due, **at)

    incidents = [
        one("I1", acknowledge=timedelta(seconds=-29)),
        one("I2", call_back=timedelta(hours=-2), hold=timedelta(hours=1)),
        one("I3", acknowledge=timedelta(seconds=-31)),
        one("I4", **{"reply:x": timedelta(minutes=-10)}),
    ]
    found = late_deadlines(incidents, NOW - timedelta(seconds=45), NOW, timedelta(seconds=30))
    assert [(late.incident, late.name, late.late_s) for late in found] == [("I4", "reply", 600.0), ("", "due", 45.0), ("I3", "acknowledge", 31.0)]
