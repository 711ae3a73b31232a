"""Ordinary service requests and providers with a whole gateway: five thousand of them stand in no alarm's way; rulings, rankings and restarts."""

import asyncio
import contextlib
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec
import pytest
from waiting import free_port, wait_until

from gateway.app import House
from gateway.config import Policy, PolicyConfig, read_config
from gateway.core.incident import Flag, Incident, LegState, State
from gateway.core.register import Device, Person, Register, Responder, ResponderKind
from gateway.core.requests import request_event
from gateway.core.standing import Ruling
from gateway.core.state import SERVICE_POOL, Record, WorkingSet
from gateway.core.territory import Provider
from gateway.dispatch.contract import Order
from gateway.dispatch.outbox import ROUTINE_AT_ONCE
from gateway.event import Event, Kind, Phase
from gateway.metrics import Metrics
from gateway.pipeline import ROUTINE_LIMIT, Pipeline
from gateway.ranking import PROPOSALS, SCORES
from gateway.register_files import read_all
from gateway.store.provider_work import hours
from gateway.store.store import Batch, Store

REQUESTS = 5000
ALARMS = 20
CAPACITY = 300


class Doors:
    """A channel whose providers are slow: orders for services stay in its hands until the test lets them go; alarms pass at once."""

    name = "mqtt"

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.held = 0
        self.most_held = 0
        self.delivered: list[str] = []

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def deliver(self, order: Order) -> None:
        if b'"service_request"' in order.body:
            self.held += 1
            self.most_held = max(self.most_held, self.held)
            await self.let_go.wait()
            self.held -= 1
        self.delivered.append(order.responder)


def city() -> Register:
    responders = [
        Responder(id="desk", name="desk", kind=ResponderKind.DESK, channel="console", capacity=100_000),
        Responder(id="both", name="both", kind=ResponderKind.PROVIDER, lat=36.341, lon=102.861, capacity=CAPACITY),
    ]
    persons = [Person(id=f"p-{n}", name="某人", lat=36.34, lon=102.86) for n in range(200)]
    devices = [Device(id=f"w-{n}", person=f"p-{n}") for n in range(ALARMS)]
    provider = Provider(id="both", services=("housekeeping",), urgent=True)
    return Register(district="invented", persons=persons, devices=devices, responders=responders, providers=[provider], version="test")


async def test_five_thousand_requests_stand_in_no_alarms_way(tmp_path: Path) -> None:
    """A supervisor sees: a queue of five thousand housekeeping orders, and twenty alarms that went before all of them, to the same provider."""
    doors = Doors()
    working = WorkingSet(city(), PolicyConfig(critical=Policy(order="at_once", reply_s=3600, acknowledge_s=3600), service_quiet=""))
    store = Store("sqlite:///gateway.db", tmp_path)
    store.open()
    pipeline = Pipeline(store, working, Metrics(), {"mqtt": doors})
    core = asyncio.create_task(pipeline.run())
    try:
        now = datetime.now(UTC)
        events = [request_event(person=f"p-{n % 200}", service="housekeeping", by="portal", now=now) for n in range(REQUESTS)]
        filing = asyncio.ensure_future(pipeline.receive(events))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the first of them are being decided
        cries = [
            Event(kind=Kind.SOS, line="wearables", device=f"w-{n}", dedup=f"w-{n}", person=None, received_at=now, occurred_at=now)
            for n in range(ALARMS)
        ]
        verdicts = [await pipeline.receive([cry]) for cry in cries[: ALARMS // 2]]
        assert not filing.done()
        verdicts += [await pipeline.receive([cry]) for cry in cries[ALARMS // 2 :]]
        assert all(verdict.kept for (verdict,) in verdicts)
        assert all(verdict.kept for verdict in await filing)
        rows = [row for row in store.journal() if row.kind in ("service_request", "sos")]
        assert Counter(row.kind for row in rows) == {"service_request": REQUESTS, "sos": ALARMS}
        first = next(place for place, row in enumerate(rows) if row.kind == "sos")
        last = max(place for place, row in enumerate(rows) if row.kind == "sos")
        assert first <= 2 * ROUTINE_LIMIT  # what was being written, and what was decided beside it
        assert last <= (ALARMS + 2) * ROUTINE_LIMIT  # each waits for one batch at most, however many there are
        alarms = [one for one in working.incidents.values() if one.kind is Kind.SOS]
        await wait_until(lambda: doors.held == ROUTINE_AT_ONCE and not any(leg.pending for one in alarms for leg in now_of(working, one).legs))
        assert doors.delivered == ["both"] * ALARMS  # though its doors are full of housekeeping
        assert doors.most_held == ROUTINE_AT_ONCE  # the rest waits in a row of its own
        requests = [one for one in working.incidents.values() if one.kind is Kind.SERVICE_REQUEST]
        assert working.load.get(f"both|{SERVICE_POOL}") == CAPACITY == sum(bool(one.legs) for one in requests)
        assert working.load.get("both") == ALARMS  # the pool of alarms has never seen a request
        assert sum(Flag.UNMATCHED in one.flags for one in requests) == REQUESTS - CAPACITY
        doors.let_go.set()
        await wait_until(lambda: not pipeline.outbox.under_way)
    finally:
        pipeline.finish()
        await core
        await pipeline.close()
        store.close()


def now_of(working: WorkingSet, incident: Incident) -> Incident:
    return working.incidents[incident.id]


class District:
    """The folder of one gateway whose district has two providers; orders go to the console, so that no wire is needed."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        register = folder / "districts" / "honggu"
        register.mkdir(parents=True)
        (register / "district.toml").write_text('name = "honggu"\narea_code = "0931"\nlat = 36.36\nlon = 102.88\n')
        for name, rows in {
            "areas": ["id,name,kind,parent,lat,lon", "honggu,honggu,district,,36.36,102.88"],
            "persons": [
                "id,name,born,area,home,address,lat,lon,phones,ability,categories,risks,health_note,confirmed_on",
                "p-1,某人,1940,honggu,h-1,,36.36,102.88,17400000001,self_caring,general,,,",
            ],
            "contacts": ["person,name,relation,phone"],
            "devices": ["id,line,person,home,area,place,lat,lon,model"],
            "responders": [
                "id,name,kind,parent,areas,lat,lon,skills,hours,capacity,channel,address,phone,speed_kmh",
                "desk,desk,desk,,,,,,,100000,console,,,",
                "clean-home,clean,provider,desk,,36.361,102.881,,,5,console,,,15",
                "aunt-zhou,zhou,neighbour,desk,,36.361,102.881,,,1,console,,,5",
                "good-care,good,provider,desk,,36.362,102.882,,,5,console,,,15",
            ],
            "providers": [
                "id,state,services,grade,scale,assessor,graded_on",
                "clean-home,admitted,housekeeping;meals,5,5,third-party-1,2026-01-05",
                "good-care,applied,housekeeping,1,5,third-party-1,2026-01-05",
            ],
        }.items():
            (register / f"{name}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        self.config = folder / "gateway.toml"
        self.config.write_text(
            f'[gateway]\ndata = "var"\n[console]\naccounts = false\nlisten = "127.0.0.1:{self.port}"\n[policy]\nservice_quiet = ""\n'
            '[providers]\nleast_sample = 1\nprior = 0\n[[service]]\ncode = "housekeeping"\nname = "家政"\n'
        )
        (folder / "var").mkdir()

    @contextlib.asynccontextmanager
    async def runs(self) -> AsyncIterator[House]:
        house = House(*read_all(self.config))
        stop = asyncio.Event()
        running = asyncio.create_task(house.run(stop))
        try:
            await wait_until(lambda: running.done() or PROPOSALS in house.standings)  # written after the scores
            assert not running.done(), running.exception()
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", trust_env=False) as client:
                for _ in range(500):
                    with contextlib.suppress(httpx.HTTPError):
                        await client.get("/healthz")
                        break
                    await asyncio.sleep(0.01)
            yield house
        finally:
            stop.set()
            await running

    async def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """`gateway providers …` as an operations person types it."""
        command = [sys.executable, "-m", "gateway.cli", "providers", *words, "--config", str(self.config)]
        return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def district(tmp_path: Path) -> District:
    return District(tmp_path)


async def answer(house: House, leg_of: Incident, kind: Kind, **more: object) -> None:
    leg = house.incidents[leg_of.id].legs[-1]
    now = house.now()
    detail: dict[str, object] = {"delivery": leg.delivery, "by": "Ms Zhou", **more}
    event = Event(kind=kind, phase=Phase.STATE, line="replies", device=leg.responder, received_at=now, occurred_at=now, detail=detail)
    (verdict,) = await house.receive([event])
    assert verdict.kept


async def test_a_request_lives_through_restarts_from_filing_to_the_call_back(district: District) -> None:
    """A supervisor sees: filed on Monday, agreed, the gateway restarted in between, served, called back; and then the provider has a record."""
    async with district.runs() as house, httpx.AsyncClient(base_url=f"http://127.0.0.1:{district.port}", trust_env=False) as client:
        client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
        await client.post("/api/v1/duty", json={"name": "Li Na"})
        body = {"person": "p-1", "service": "家政", "wish": "two rooms"}
        filed = (await client.post("/api/v1/requests", json=body, headers={"Idempotency-Key": "k1"})).json()
        name = filed["request"]["id"]
        assert (filed["request"]["service_name"], filed["request"]["provider"]["responder"]) == ("家政", "clean-home")
        promised = house.now() + timedelta(hours=1)
        await answer(house, house.incidents[name], Kind.ACCEPT, promised_at=promised.isoformat())
    async with district.runs() as house, httpx.AsyncClient(base_url=f"http://127.0.0.1:{district.port}", trust_env=False) as client:
        request = house.incidents[name]
        assert (request.state, request.legs[0].promised_at, request.wish) == (State.ACKNOWLEDGED, promised, "two rooms")
        assert house.working.load.get(f"clean-home|{SERVICE_POOL}") == 1
        client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
        await client.post("/api/v1/duty", json={"name": "Li Na"})
        again = (await client.post("/api/v1/requests", json=body, headers={"Idempotency-Key": "k1"})).json()
        assert (again["outcome"], again["request"]["id"]) == ("known", name)
        await answer(house, request, Kind.ARRIVED)
        await answer(house, request, Kind.DONE)
        assert house.incidents[name].state is State.RESOLVED
        reply = await client.post(f"/api/v1/incidents/{name}/call_back", json={"satisfaction": 5})
        assert reply.json()["incident"]["state"] == "closed"
        samples = (await client.get("/metrics")).text.splitlines()
        assert {'gateway_requests{state="raised"} 0.0', 'gateway_providers{state="applied"} 1.0', "gateway_incidents_unaccounted 0.0"} <= set(samples)
        assert house.incidents[name].legs[0].state is LegState.DONE
        shown = await district.command("show", "clean-home", "--json")
        score = msgspec.json.decode(shown.stdout)["score"]
        counted = {measure: (facts["raw"], facts["count"]) for measure, facts in score["measures"].items()}
        assert counted == dict.fromkeys(("accept", "punctual", "satisfaction", "complaints", "grade"), (1.0, 1))
        assert (score["place"], score["value"]) == (1, 1.0)
        evidence = (await district.command("evidence", "clean-home")).stdout.splitlines()
        row = dict(zip(evidence[0].split(","), evidence[1].split(","), strict=True))
        assert len(evidence) == 2
        assert (row["incident"], row["service"], row["state"], row["satisfaction"], row["complaint"]) == (name, "housekeeping", "done", "5", "no")
        assert "某人" not in "".join(evidence)


async def test_providers_are_ruled_about_from_the_command_line(district: District) -> None:
    missing = await district.command("suspend", "clean-home", "--by", "Li Na", "--reason", "x")
    assert missing.returncode == 1
    assert "no gateway answers" in missing.stderr
    async with district.runs() as house:
        listed = await district.command("list", "--json")
        rows = {row["id"]: (row["state"], row["why_not"]) for row in msgspec.json.decode(listed.stdout)}
        assert rows == {"clean-home": ("admitted", ""), "good-care": ("applied", "applied")}
        done = await district.command("suspend", "clean-home", "--by", "Li Na", "--reason", "two complaints a day")
        assert (done.returncode, done.stdout) == (0, "clean-home: suspended, may not work: suspended\n")
        refused = await district.command("suspend", "clean-home", "--by", "Li Na", "--reason", "once more")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "not_from_suspended" in refused.stderr
        now = house.now()
        await house.receive([request_event(person="p-1", service="meals", by="Li Na", now=now)])
        (request,) = house.incidents.values()
        assert (request.legs, Flag.UNMATCHED in request.flags) == ((), True)
    async with district.runs() as house:  # it stands after a restart
        assert house.standings["provider:clean-home"].reason == "two complaints a day"
        done = await district.command("admit", "good-care", "--by", "Li Na", "--reason", "papers are complete")
        assert done.stdout == "good-care: admitted\n"
        table = await district.command("list")
        assert "clean-home  suspended  suspended" in table.stdout
        ranked = await district.command("rank")
        assert ranked.returncode == 0
        assert "least_sample" in ranked.stdout


async def test_the_ranking_proposes_after_its_time_and_not_before(district: District) -> None:
    async with district.runs() as house:
        first = house.standings[PROPOSALS].at
        assert await house.ranker.look(first + timedelta(hours=23)) is None
        assert await house.ranker.look(first + timedelta(days=1, minutes=1)) is not None
        assert house.standings[PROPOSALS].at == first  # scores are counted daily, proposals monthly
        scores = house.standings[SCORES].at
        assert scores > first
        with pytest.raises(Exception, match="not_the_machine"):
            await house.rule(Ruling(key=PROPOSALS, value="ranked", actor="Li Na"))
    async with district.runs() as house:  # a restart ranks nobody anew
        assert (house.standings[PROPOSALS].at, house.standings[SCORES].at) == (first, scores)


async def test_volunteers_hours_are_counted_from_arrival_to_the_end(district: District) -> None:
    async with district.runs() as house, httpx.AsyncClient(base_url=f"http://127.0.0.1:{district.port}", trust_env=False) as client:
        client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
        await client.post("/api/v1/duty", json={"name": "Li Na"})
        now = house.now()
        await house.receive([Event(kind=Kind.SOS, line="wearables", device="w-1", dedup="1", received_at=now, occurred_at=now)])
        (alarm,) = house.incidents.values()
        reply = await client.post(f"/api/v1/incidents/{alarm.id}/dispatch", json={"responder": "aunt-zhou"})
        assert reply.status_code == 200, reply.text
        for kind in (Kind.ACCEPT, Kind.ARRIVED, Kind.DONE):
            await answer(house, alarm, kind)
    counted = await district.command("hours")
    assert counted.stdout.splitlines() == ["responder,orders,hours", "aunt-zhou,1,0.00"]
    before = await district.command("hours", "--until", "2026-01-01")
    assert before.stdout.splitlines() == ["responder,orders,hours"]


def test_time_is_counted_from_the_last_word_before_the_end(tmp_path: Path) -> None:
    store = Store("sqlite:///gateway.db", tmp_path)
    store.open()
    start = datetime(2026, 3, 14, 3, 0, tzinfo=UTC)

    def record(minute: int, kind: Kind, responder: str, delivery: str) -> Record:
        at = start + timedelta(minutes=minute)
        event = Event(kind=kind, line="replies", device=responder, received_at=at, occurred_at=at, detail={"delivery": delivery})
        return Record(kind=kind, at=at, facts=msgspec.json.encode(event), device=responder)

    told = [
        *(record(0, Kind.ACCEPT, "a", "d1"), record(10, Kind.ARRIVED, "a", "d1"), record(55, Kind.DONE, "a", "d1")),
        record(60, Kind.DONE, "a", "d1"),  # said again
        *(record(0, Kind.ACCEPT, "b", "d2"), record(30, Kind.DONE, "b", "d2")),
        *(record(0, Kind.ACCEPT, "station", "d3"), record(30, Kind.DONE, "station", "d3")),
    ]
    store.write(Batch(records=told))
    found = hours(store.engine, {"a", "b"}, start, start + timedelta(days=1))
    assert found == {"a": (1, timedelta(minutes=45)), "b": (1, timedelta(minutes=30))}
    assert hours(store.engine, {"a", "b"}, start + timedelta(minutes=40), start + timedelta(days=1)) == {"a": (1, timedelta(minutes=45))}
    store.close()


def test_the_configuration_is_what_the_guide_says(district: District) -> None:
    assert read_config(district.config).service[0].name == "家政"
