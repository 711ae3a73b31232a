"""One exchange, told three ways at once: over AMI, over the event socket and as mirrored SIP. Each line's calls must be the truth.

The exchange is the simulated one (simulators/exchange), an outside witness: it knows nothing of the gateway and keeps its own record.
"""

import asyncio
import contextlib
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from waiting import WAIT_S, free_port, wait_until

from drivers.contract import STORED, Line, Rejected, Verdict
from drivers.registry import build_line
from drivers.supervisor import LineStatus, keep_running
from gateway.config import CallsConfig, LineConfig
from gateway.event import Event, Kind
from simulators.exchange.ami_server import AmiServer, User
from simulators.exchange.call import Call, Plan, Said
from simulators.exchange.esl_server import EslServer
from simulators.exchange.happening import Happening, What
from simulators.exchange.mirror import Mirror
from simulators.exchange.mix import SHARES, Mix
from simulators.exchange.model import Exchange, Settings
from simulators.exchange.virtual import People

CALLS = CallsConfig(area_code="0931", trusted=("198.51.100.20",), agents={"8001": "坐席一"})
OUTCOMES = {
    Kind.CALL_ANSWERED: "answered",
    Kind.CALL_TRANSFERRED: "answered",
    Kind.CALL_ABANDONED: "abandoned",
    Kind.CALL_MISSED: "missed",
    Kind.CALL_FAILED: "missed",
}
WAYS = ("ami", "esl-json", "esl-plain", "hep")


class Heard:
    """What one line told, call by call; `key` is the truth's name of the call on that wire."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.status = LineStatus(key)
        self.notices: list[Event] = []
        self.events: dict[str, list[Event]] = defaultdict(list)
        self.rejected: list[Rejected] = []

    async def emit(self, events: Sequence[Event | Rejected]) -> list[Verdict]:
        await asyncio.sleep(0)
        for event in events:
            if isinstance(event, Rejected):
                self.rejected.append(event)
            elif event.kind.value.startswith("call_"):
                self.events[str(event.detail["call"])].append(event)
            else:
                self.notices.append(event)
        return [STORED] * len(events)

    def of(self, truth: dict[str, Any]) -> list[Event]:
        """The events of the call that the exchange means."""
        names = truth["sip_call_ids"] if self.key == "call_id" else [truth["linkedid" if self.key == "ami" else "uuid"]]
        return next(
            (events for events in self.events.values() if events[0].detail.get("call_id", events[0].detail.get("exchange_call")) in names), []
        )


@contextlib.asynccontextmanager
async def running(line: Line, heard: Heard) -> AsyncIterator[None]:
    """Under its supervisor, as in the house."""
    task = asyncio.create_task(keep_running(line, heard.emit, heard.status))
    try:
        await wait_until(lambda: heard.status.is_live, "the line is live")
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def told(tmp_path):
    """(the exchange, what each way heard, its AMI, its event socket, call → when all had been told that it was taken): all lines run until the test
    has ended."""
    hep = free_port()
    exchange = Exchange(Settings(agents=tuple(str(8001 + number) for number in range(150)), seed=7))
    ami, esl = AmiServer(exchange, {"gateway": User("geheim")}), EslServer(exchange, "geheim")
    mirror = Mirror(("127.0.0.1", hep), exchange.clock, seed=7)
    secret = tmp_path / "secret"
    secret.write_text("geheim\n")
    await ami.start()
    await esl.start()
    bridged: dict[int, float] = {}

    def witness(happening: Happening) -> None:
        """The last to hear: what the others were told before bears an earlier time."""
        if happening.what is What.BRIDGED:
            bridged.setdefault(happening.call.number, exchange.clock())

    exchange.faces += [mirror, People(exchange), witness]
    configs = {
        "ami": ("ami", {"connect": f"tcp:127.0.0.1:{ami.port}"}, {"username": "gateway", "secret_file": str(secret)}),
        "esl-json": ("esl", {"connect": f"tcp:127.0.0.1:{esl.port}"}, {"password_file": str(secret)}),
        "esl-plain": ("esl", {"connect": f"tcp:127.0.0.1:{esl.port}"}, {"password_file": str(secret), "format": "plain"}),
        "hep": ("hep", {"listen": f"udp:{hep}:interface=127.0.0.1"}, {"max_new_calls_per_s": 0}),
    }
    heard = {name: Heard({"ami": "ami", "hep": "call_id"}.get(name, "esl")) for name in WAYS}
    try:
        async with contextlib.AsyncExitStack() as lines:
            for name, (codec, address, options) in configs.items():
                line = build_line(LineConfig(name=name, codec=codec, options=options, **address), CALLS)
                await lines.enter_async_context(running(line, heard[name]))
            yield exchange, heard, ami, esl, bridged
    finally:
        await exchange.stop()
        mirror.close()
        await ami.stop()
        await esl.stop()


async def test_every_call_of_a_mix_is_told_truly_on_every_wire(told) -> None:
    exchange, heard, _, _, bridged = told
    mix = Mix(7, talk_s=0.4)
    for _ in range(160):
        placed = mix.draw()
        assert exchange.offer(placed.plan, placed.caller, placed.form, placed.called) is not None
        await asyncio.sleep(0.005)
    async with asyncio.timeout(2 * WAIT_S):  # a call that the exchange never ends is its own fault
        await exchange.drained()
    truths = list(exchange.truths)
    assert {truth["scenario"] for truth in truths} > set(SHARES) - {"anonymous", "late_number", "restricted"}
    assert {truth["outcome"] for truth in truths} == {"answered", "abandoned", "missed"}
    for way, line in heard.items():
        await wait_until(lambda line=line: all(_is_over(line.of(truth)) for truth in truths), f"{way} has told every end")  # type: ignore[misc]
    wrong = [fault for way, line in heard.items() for truth in truths for fault in _faults(way, line, truth, bridged)]
    assert not wrong, "\n".join(wrong[:40])
    for way, line in heard.items():
        assert len(line.events) == len(truths), f"{way} has told of calls that nobody made"
        assert not line.rejected


async def test_a_connection_cut_in_mid_call_costs_no_call_its_end(told) -> None:
    """Some calls go on over the gap, some end in it, some begin in it: each is told to its end, and the gap from when to when."""
    exchange, heard, ami, esl, _ = told
    plan = Plan(ring_s=0.05, talk_s=math.inf)

    def offered(group: int, count: int) -> list[Call]:
        numbers = [f"17400{group:03}{number:03}" for number in range(count)]
        calls = [exchange.offer(plan, f"+86{number}", f"0{number}", "12349") for number in numbers]
        return [call for call in calls if call is not None]

    def hang_up(calls: list[Call]) -> None:
        for call in calls:
            call.say(Said.GONE, call.incoming)

    going_on, ending = offered(0, 10), offered(1, 10)
    ways = [heard[way] for way in WAYS if way != "hep"]
    await wait_until(lambda: all(_answered(way) == 20 for way in ways), "all are answered")
    ami.reset()
    esl.reset()
    hang_up(ending)
    going_on += offered(2, 5)
    for way in ways:
        await wait_until(lambda way=way: Kind.GAP in [event.kind for event in way.notices], "the gap is told")  # type: ignore[misc]
    await wait_until(lambda: all(_answered(way) == 25 for way in ways), "those that began in it are told")
    hang_up(going_on)
    async with asyncio.timeout(2 * WAIT_S):  # a call that the exchange never ends is its own fault
        await exchange.drained()
    truths = list(exchange.truths)
    assert len(truths) == 25
    for way in ways:
        await wait_until(lambda way=way: all(_is_over(way.of(truth)) for truth in truths), "every end is told")  # type: ignore[misc]
        assert {event.kind for event in way.notices} == {Kind.LINE_LOST, Kind.LINE_RESTORED, Kind.GAP}
        gap = next(event for event in way.notices if event.kind is Kind.GAP)
        assert gap.detail["from"] < gap.detail["to"]
        for truth in truths:
            kinds = [event.kind for event in way.of(truth)]
            assert kinds.count(Kind.CALL_OFFERED) == 1
            assert kinds.count(Kind.CALL_ENDED) == 1


def _answered(way: Heard) -> int:
    return sum(any(event.kind is Kind.CALL_ANSWERED for event in events) for events in way.events.values())


def _is_over(events: list[Event]) -> bool:
    return bool(events) and events[-1].detail["state"] in ("ended", "abandoned", "missed")


def _faults(way: str, line: Heard, truth: dict[str, Any], bridged: dict[int, float]) -> list[str]:
    """Where a line's story of a call differs from what happened, as far as its wire tells: Asterisk's manager does not say that a number
    is withheld, and two SIP legs without a number, or with different ones, have nothing in common but their time."""
    events = line.of(truth)
    kinds = [event.kind for event in events]
    if way == "hep" and truth["scenario"] in ("anonymous", "late_number"):
        return []
    outcome = next((OUTCOMES[kind] for kind in reversed(kinds) if kind in OUTCOMES), None)
    last = events[-1].detail
    found = []

    def compare(what: str, told: object, true: object) -> None:
        if told != true:
            found.append(f"{way}: call {truth['call']} ({truth['scenario']}): {what}: told {told!r}, true {true!r}; {[str(kind) for kind in kinds]}")

    compare("outcome", outcome, truth["outcome"])
    compare("told once", len(kinds) - kinds.count(Kind.CALL_TRANSFERRED), len(set(kinds) - {Kind.CALL_TRANSFERRED}) + _corrections(events))
    compare("hotline", last["hotline"], truth["called"])
    if truth["caller"] and not (truth["scenario"] == "late_number" and truth["outcome"] != "answered"):  # then nobody ever learns it
        compare("caller", last["caller_e164"], truth["caller"])
    if truth["outcome"] == "answered":
        compare("agent", last.get("agent"), truth["agent"])
    if truth["scenario"] == "restricted" and way != "ami":
        compare("presentation", last["presentation"], "restricted")
    if truth["by"] in ("caller", "agent") and truth["outcome"] != "missed":
        compare("by", last.get("by"), truth["by"])
    if truth["times"]["answered"]:
        since, until = truth["times"]["answered"], bridged[truth["call"]]
        at = next((event.occurred_at.timestamp() for event in reversed(events) if event.kind is Kind.CALL_ANSWERED), 0.0)
        if not since - 0.2 < at < until + 0.2:
            compare("answered at", at, (since, until))
    return found


def _corrections(events: list[Event]) -> int:
    return sum(1 for event in events if event.detail.get("correction"))
