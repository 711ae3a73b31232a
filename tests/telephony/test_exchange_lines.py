"""One exchange, told three ways at once: over AMI, over the event socket and as mirrored SIP. Each line's calls must be the truth.

The exchange is the simulated one (simulators/exchange), an outside witness: it knows nothing of the gateway and keeps its own record.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from waiting import free_port, wait_until

from drivers.contract import STORED, Line, Rejected, Verdict
from drivers.registry import build_line
from gateway.config import CallsConfig, LineConfig
from gateway.event import Event, Kind
from simulators.exchange.ami_server import AmiServer, User
from simulators.exchange.esl_server import EslServer
from simulators.exchange.mirror import Mirror
from simulators.exchange.mix import SHARES, Mix
from simulators.exchange.model import Exchange, Settings

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
        self.events: dict[str, list[Event]] = defaultdict(list)
        self.rejected: list[Rejected] = []
        self.live = asyncio.Event()

    async def emit(self, events: Sequence[Event | Rejected]) -> list[Verdict]:
        await asyncio.sleep(0)
        for event in events:
            if isinstance(event, Rejected):
                self.rejected.append(event)
            elif event.kind.value.startswith("call_"):
                self.events[str(event.detail["call"])].append(event)
        return [STORED] * len(events)

    def of(self, truth: dict[str, Any]) -> list[Event]:
        """The events of the call that the exchange means."""
        names = truth["sip_call_ids"] if self.key == "call_id" else [truth["linkedid" if self.key == "ami" else "uuid"]]
        return next(
            (events for events in self.events.values() if events[0].detail.get("call_id", events[0].detail.get("exchange_call")) in names), []
        )


@contextlib.asynccontextmanager
async def running(line: Line, heard: Heard) -> AsyncIterator[None]:
    class Reports:
        def live(self) -> None:
            heard.live.set()

        def heard(self) -> None:
            pass

        def suspect(self, reason: str) -> None:
            pass

    task = asyncio.create_task(line.run(heard.emit, Reports()))
    try:
        await wait_until(lambda: heard.live.is_set() or task.done(), "the line is live")
        assert not task.done(), task.exception()
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def told(tmp_path):
    """(the exchange, what each way heard): all lines run until the test has ended."""
    hep = free_port()
    exchange = Exchange(Settings(agents=tuple(str(8001 + number) for number in range(40)), seed=7))
    ami, esl = AmiServer(exchange, {"gateway": User("geheim")}), EslServer(exchange, "geheim")
    mirror = Mirror(("127.0.0.1", hep), exchange.clock, seed=7)
    secret = tmp_path / "secret"
    secret.write_text("geheim\n")
    await ami.start()
    await esl.start()
    exchange.faces.append(mirror)
    configs = {
        "ami": ("ami", {"connect": f"tcp:127.0.0.1:{ami.port}"}, {"username": "gateway", "secret_file": str(secret)}),
        "esl-json": ("esl", {"connect": f"tcp:127.0.0.1:{esl.port}"}, {"password_file": str(secret)}),
        "esl-plain": ("esl", {"connect": f"tcp:127.0.0.1:{esl.port}"}, {"password_file": str(secret), "format": "plain"}),
        "hep": ("hep", {"listen": f"udp:{hep}:interface=127.0.0.1"}, {}),
    }
    heard = {name: Heard({"ami": "ami", "hep": "call_id"}.get(name, "esl")) for name in WAYS}
    try:
        async with contextlib.AsyncExitStack() as lines:
            for name, (codec, address, options) in configs.items():
                line = build_line(LineConfig(name=name, codec=codec, options=options, **address), CALLS)
                await lines.enter_async_context(running(line, heard[name]))
            yield exchange, heard
    finally:
        await exchange.stop()
        await ami.stop()
        await esl.stop()


async def test_every_call_of_a_mix_is_told_truly_on_every_wire(told) -> None:
    exchange, heard = told
    mix = Mix(7, talk_s=0.6)
    for _ in range(160):
        placed = mix.draw()
        assert exchange.offer(placed.plan, placed.caller, placed.form, placed.called) is not None
        await asyncio.sleep(0.005)
    await exchange.drained()
    truths = list(exchange.truths)
    assert {truth["scenario"] for truth in truths} > set(SHARES) - {"anonymous", "late_number", "restricted"}
    for way, line in heard.items():
        await wait_until(lambda line=line: all(_is_over(line.of(truth)) for truth in truths), f"{way} has told every end")  # type: ignore[misc]
    wrong = [fault for way, line in heard.items() for truth in truths for fault in _faults(way, line, truth)]
    assert not wrong, "\n".join(wrong[:40])
    for way, line in heard.items():
        assert len(line.events) == len(truths), f"{way} has told of calls that nobody made"
        assert not line.rejected


def _is_over(events: list[Event]) -> bool:
    return bool(events) and events[-1].detail["state"] in ("ended", "abandoned", "missed")


def _faults(way: str, line: Heard, truth: dict[str, Any]) -> list[str]:
    """Where a line's story of a call differs from what happened."""
    events = line.of(truth)
    kinds = [event.kind for event in events]
    outcome = next((OUTCOMES[kind] for kind in reversed(kinds) if kind in OUTCOMES), None)
    last = events[-1].detail
    found = []

    def compare(what: str, told: object, true: object) -> None:
        if told != true:
            found.append(f"{way}: call {truth['call']} ({truth['scenario']}): {what}: told {told!r}, true {true!r}; {[str(kind) for kind in kinds]}")

    compare("outcome", outcome, truth["outcome"])
    compare("told once", len(kinds) - kinds.count(Kind.CALL_TRANSFERRED), len(set(kinds) - {Kind.CALL_TRANSFERRED}) + _corrections(events))
    compare("hotline", last["hotline"], truth["called"])
    if truth["caller"]:
        compare("caller", last["caller_e164"], truth["caller"])
    if truth["outcome"] == "answered":
        compare("agent", last.get("agent"), truth["agent"])
    if truth["scenario"] == "restricted":
        compare("presentation", last["presentation"], "restricted")
    if truth["by"] in ("caller", "agent") and truth["outcome"] != "missed":
        compare("by", last.get("by"), truth["by"])
    if truth["times"]["answered"]:
        first = next(event.occurred_at.timestamp() for event in events if event.kind is Kind.CALL_ANSWERED)
        if abs(first - truth["times"]["answered"]) > 0.2:
            compare("answered at", first, truth["times"]["answered"])
    return found


def _corrections(events: list[Event]) -> int:
    return sum(1 for event in events if event.detail.get("correction"))
