"""A house with a past: incidents of some weeks that were closed, with notes, complaints, calls and orders; and people who log in with a role."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import msgspec
from prometheus_client import CollectorRegistry

from gateway.accounts import Accounts
from gateway.config import Config, ConsoleConfig
from gateway.console.http import make_app
from gateway.core.account import Account, AccountRole
from gateway.core.command import Command
from gateway.core.incident import Action, Incident
from gateway.event import Kind
from tests.console.fake_house import CONFIG, STATIC, FakeHouse

BASE = "http://127.0.0.1:12349"
ACCOUNTS = {
    "lina": Account(login="lina", name="李娜", role=AccountRole.OPERATOR, areas=("haishiwan",)),
    "zhao": Account(login="zhao", name="赵敏", role=AccountRole.SUPERVISOR, areas=("haishiwan",)),
    "chief": Account(login="chief", name="周主任", role=AccountRole.SUPERVISOR),
    "audit": Account(login="audit", name="吴审计", role=AccountRole.AUDITOR),
    "tech": Account(login="tech", name="陈工", role=AccountRole.OPS),
}


def house_with(config: Config = CONFIG, *, accounts: bool = False, **more: object) -> FakeHouse:
    """accounts: people log in, with the accounts above."""
    wanted = msgspec.structs.replace(config, console=ConsoleConfig(accounts=accounts), **more)
    house = FakeHouse(config=wanted)
    if accounts:
        house.accounts = Accounts(ACCOUNTS.values())
    return house


async def does(house: FakeHouse, action: Action, incident: Incident, actor: str = "李娜", **facts: object) -> Incident:
    done = await house.command(Command(action=action, actor=actor, incident=incident.id, facts=facts))
    assert done is not None
    return done


async def closes(
    house: FakeHouse, person: int, kind: Kind = Kind.SOS, *, actor: str = "李娜", outcome: str = "helped", note: str = "", days: int = 0
) -> Incident:
    """A whole incident, `days` ago: cried, taken, ordered, there, resolved, called back."""
    house.offset = -timedelta(days=days, minutes=10)  # the journal is in order of time
    one = await house.cries(person, kind)
    one = await does(house, Action.ACKNOWLEDGE, one, actor)
    if note:
        one = await does(house, Action.NOTE, one, actor, text=note)
    if not any(leg.responder == "station-2" for leg in one.legs):
        await does(house, Action.DISPATCH, one, actor, responder="station-2")
    await house.deliver()
    delivery = next(leg.delivery for leg in house.incidents[one.id].legs if leg.responder == "station-2")
    house.offset += timedelta(minutes=9)
    for answer in (Kind.ACCEPT, Kind.EN_ROUTE, Kind.ARRIVED, Kind.DONE):
        await house.answers(delivery, answer)
    for step in ("call_person",):
        one = await does(house, Action.STEP, one, actor, step=step)
    one = await does(house, Action.RESOLVE, house.incidents[one.id], actor, outcome=outcome, note="老人已安好")
    one = await does(house, Action.CALL_BACK, one, actor, satisfaction=5)
    house.offset = timedelta()
    return house.incidents[one.id]


async def a_past(house: FakeHouse) -> list[Incident]:
    """Nine incidents of some weeks, persons 0 to 5; odd ones live in another town than even ones."""
    return [
        await closes(house, 0, Kind.FALL, days=60, note="钥匙在邻居家"),
        await closes(house, 1, Kind.SOS, days=50, actor="周敏"),
        await closes(house, 0, Kind.SOS, days=40, outcome="false_alarm"),
        await closes(house, 2, Kind.HELP, days=30),
        await closes(house, 0, Kind.FALL_SUSPECTED, days=20, note="女儿电话 13800001111 打不通"),
        await closes(house, 3, Kind.SOS, days=10, outcome="hospital"),
        await closes(house, 4, Kind.BED_EXIT, days=5, actor="周敏"),
    ]


@asynccontextmanager
async def client_of(house: FakeHouse, login: str | None = None, name: str = "李娜") -> AsyncIterator[httpx.AsyncClient]:
    """A browser: logged in under an account of the house, or on duty under a typed name."""
    app = make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry())
    console = app.state.console
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
        if login is None:
            assert (await client.post("/api/v1/duty", json={"name": name})).status_code == 200
        else:
            session = console.sessions.find(client.cookies["session"])
            session.login = login
        client.app = app  # type: ignore[attr-defined]
        yield client


def recordings_in(folder: Path) -> dict[str, Path]:
    """Sound files of an exchange, by the calls' names; silence of a few bytes."""
    found = {}
    for name in ("c1", "c2"):
        found[name] = folder / f"20261122-{name}.wav"
        found[name].write_bytes(b"RIFF" + bytes(range(256)) * 8)
    return found
