"""The AMI line against the simulated exchange: what is asked of it happens there, and faults of its manager cost no call its end."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from waiting import wait_until

from drivers.contract import STORED, Rejected, Verdict
from drivers.lines.client import ClientLine
from drivers.registry import build_line
from drivers.supervisor import LineState, LineStatus, keep_running
from drivers.telephone import Dial, HangUp, Ring, Told, Transfer
from gateway.config import CallsConfig, LineConfig
from gateway.event import Event, Kind
from simulators.exchange.ami_server import AmiServer, User
from simulators.exchange.desk import Answerer
from simulators.exchange.model import Exchange
from tests.simulators.exchange_wires import QUICK, exchange, over, place

CALLS = CallsConfig(hotlines=("12349",), area_code="0931", agents={"8001": "Li", "8002": "Ma", "8003": "Xu"})
NUMBER = "17400000005"  # no subscriber
LONG = replace(QUICK, talk_s=math.inf)


class Heard:
    """A supervised line to the exchange, and what it told."""

    def __init__(self, line: ClientLine) -> None:
        self.line = line
        self.status = LineStatus(line.name)
        self.events: list[Event] = []
        self.task = asyncio.create_task(keep_running(line, self.emit, self.status))

    async def emit(self, events: Sequence[Event | Rejected]) -> list[Verdict]:
        assert not [one for one in events if isinstance(one, Rejected)]
        self.events += [one for one in events if isinstance(one, Event)]
        return [STORED] * len(events)

    def kinds(self) -> list[Kind]:
        return [one.kind for one in self.events]

    async def sees(self, kind: Kind, times: int = 1) -> Event:
        await wait_until(lambda: self.kinds().count(kind) >= times, kind)
        return [one for one in self.events if one.kind is kind][-1]


@pytest.fixture
async def pbx() -> AsyncIterator[Exchange]:
    found = exchange(agents=("8001", "8002", "8003"))
    yield found
    await found.stop()


@pytest.fixture
async def server(pbx: Exchange) -> AsyncIterator[AmiServer]:
    found = AmiServer(pbx, {"gateway": User("secret"), "narrow": User("secret", frozenset({"system"}))})
    await found.start()
    yield found
    await found.stop()


def heard_by(server: AmiServer, folder: Path, user: str = "gateway") -> Heard:
    secret = folder / "ami.secret"
    secret.write_text("secret\n")
    options: dict[str, object] = {"username": user, "secret_file": str(secret)}
    line = build_line(LineConfig(name="pbx", codec="ami", connect=f"tcp:127.0.0.1:{server.port}", options=options), CALLS)
    assert isinstance(line, ClientLine)
    return Heard(line)


@pytest.fixture
async def heard(server: AmiServer, tmp_path: Path) -> AsyncIterator[Heard]:
    found = heard_by(server, tmp_path)
    await wait_until(lambda: found.status.is_live, "live")
    yield found
    found.task.cancel()
    await asyncio.gather(found.task, return_exceptions=True)


@pytest.mark.parametrize("key", ["1", "2"])
async def test_a_responder_is_rung_and_presses_a_key(heard: Heard, pbx: Exchange, key: str) -> None:
    pbx.answerers[NUMBER] = Answerer(after_s=0.05, key=key, key_after_s=0.05)
    assert await heard.line.ask(Ring(id="r1", number=NUMBER, say="跌倒", ring_s=30)) == Told(outcome="done", key=key)
    assert heard.events == [], "our own call is none at the hotline"


async def test_a_responder_who_presses_nothing_that_counts(heard: Heard, pbx: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.exchange.ami_server.KEY_WAIT_S", 0.2)
    pbx.answerers[NUMBER] = Answerer(after_s=0.05, key="7", key_after_s=0.05)
    assert (await heard.line.ask(Ring(id="r1", number=NUMBER, ring_s=30))).outcome == "no_key"


@pytest.mark.parametrize(("does", "outcome"), [("busy", "busy"), ("nothing", "no_answer"), ("declines", "no_answer")])
async def test_a_responder_who_is_not_to_be_had(heard: Heard, pbx: Exchange, does: str, outcome: str) -> None:
    pbx.answerers[NUMBER] = Answerer(does=does, after_s=0.05)
    assert (await heard.line.ask(Ring(id="r1", number=NUMBER, ring_s=0.2))).outcome == outcome


async def test_dialling_for_an_agent_and_hanging_up(heard: Heard, pbx: Exchange) -> None:
    pbx.answerers[NUMBER] = Answerer(after_s=0.05, talk_s=30)
    assert await heard.line.ask(Dial(id="d1", agent="8001", number=NUMBER, shown="12349", ring_s=30)) == Told(outcome="done")
    assert await heard.line.ask(HangUp(call="d1")) == Told(outcome="done")
    await wait_until(lambda: not pbx.calls, "over")
    assert heard.events == []


@pytest.mark.parametrize(("does", "outcome"), [("nothing", "no_answer"), ("busy", "busy"), ("answers", "done")])
async def test_a_dial_is_done_when_both_talk_and_not_when_it_rings(heard: Heard, pbx: Exchange, does: str, outcome: str) -> None:
    pbx.answerers |= {"8001": Answerer(after_s=0.05, key=""), NUMBER: Answerer(does=does, after_s=0.05, key="", talk_s=5)}
    ring_s = 1 if outcome == "no_answer" else 30
    assert (await heard.line.ask(Dial(id="d1", agent="8001", number=NUMBER, ring_s=ring_s))).outcome == outcome


async def test_an_agent_who_does_not_pick_up(heard: Heard, pbx: Exchange) -> None:
    pbx.answerers["8001"] = Answerer(does="nothing")
    assert await heard.line.ask(Dial(id="d1", agent="8001", number=NUMBER, ring_s=0.2)) == Told(outcome="no_answer", reason="agent")


async def test_a_caller_is_transferred_and_then_hung_up(heard: Heard, pbx: Exchange) -> None:
    placed = place(pbx, LONG)
    answered = await heard.sees(Kind.CALL_ANSWERED)
    call = str(answered.detail["call"])
    assert await heard.line.ask(Transfer(call=call, to="8003")) == Told(outcome="done")
    transferred = await heard.sees(Kind.CALL_TRANSFERRED)
    assert (transferred.detail["agent"], transferred.detail["agent_name"], transferred.detail["call"]) == ("8003", "Xu", call)
    assert await heard.line.ask(HangUp(call=call)) == Told(outcome="done")
    await over(placed)
    ended = await heard.sees(Kind.CALL_ENDED)
    assert ended.detail["by"] == "exchange"
    assert (await heard.line.ask(HangUp(call=call))).outcome == "unknown_call"


async def test_a_restart_of_the_exchange_ends_every_call_and_is_told(heard: Heard, pbx: Exchange, server: AmiServer) -> None:
    place(pbx, LONG)
    place(pbx, LONG)
    await heard.sees(Kind.CALL_ANSWERED, 2)
    await pbx.restart()
    server.shut_down(restart=True)
    ended = await heard.sees(Kind.CALL_ENDED, 2)
    assert ended.detail["inferred"] is True
    await heard.sees(Kind.GAP)
    assert heard.status.is_live


async def test_a_flood_of_events_delays_nobody(heard: Heard, pbx: Exchange, server: AmiServer) -> None:
    flood = asyncio.create_task(server.flood(5000))
    placed = place(pbx, QUICK)
    await over(placed)
    await flood
    await heard.sees(Kind.CALL_ENDED)
    assert heard.kinds() == [Kind.CALL_OFFERED, Kind.CALL_RINGING, Kind.CALL_ANSWERED, Kind.CALL_ENDED]


async def test_a_user_without_read_class_call_is_found_out(pbx: Exchange, server: AmiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.pbx.ami.CHECK_S", 0.1)
    monkeypatch.setattr("drivers.pbx.ami_calls.LATE_S", 0.0)
    heard = heard_by(server, tmp_path, "narrow")
    await wait_until(lambda: heard.status.is_live, "live")
    place(pbx, LONG)
    await wait_until(lambda: heard.status.state is LineState.SUSPECT, "suspect")
    assert "add call to read of user 'narrow'" in heard.status.reason
    assert heard.line.codec.counts["no_call_events"] >= 1
    heard.task.cancel()
    await asyncio.gather(heard.task, return_exceptions=True)
