"""A hotline's hour: ten thousand calls an hour through three gateways at once, which hear the same exchange by AMI, event socket and HEP.

Each gateway's journal is compared with what the exchange says has happened. The long form lasts ten minutes (`make campaign`).
"""

import asyncio
import json
import os
import subprocess
import sys
from collections import defaultdict
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from house import LONGER_THAN_ANY_TEST_S, START_S, House
from waiting import BEFORE_THE_SERVER, free_port

PER_HOUR = 10_000
SECRET = "geheim"
LOST = {"call_abandoned": "abandoned", "call_missed": "missed", "call_failed": "missed"}


class Ear(House):
    """A gateway that has nothing but one line to an exchange."""

    def __init__(self, folder: Path, codec: str, where: str, options: str = "") -> None:
        folder.mkdir()
        super().__init__(folder)
        self.codec = codec
        self._where = where
        self._options = options

    async def __aenter__(self) -> "Ear":
        self.district.write(self.folder / "districts" / "chaos")
        (self.folder / "secret").write_text(SECRET)
        self.config.write_text(f"""
[gateway]
district = "chaos"
data = "data"
[console]
accounts = false
listen = "{self.console.removeprefix("http://")}"
[calls]
area_code = "0931"
trusted = ["198.51.100.20"]
call_back_s = {LONGER_THAN_ANY_TEST_S}
[[line]]
name = "pbx"
codec = "{self.codec}"
{self._where}
mandatory = true
[line.options]
{self._options}
""")
        self._http = httpx.AsyncClient(base_url=self.console, timeout=30, trust_env=False, limits=BEFORE_THE_SERVER)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kill()
        assert self._http is not None
        await self._http.aclose()

    def cpu_s(self) -> float:
        """Processor time of the gateway so far, seconds (proc(5), fields 14 and 15)."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stories(self) -> dict[str, list[dict[str, Any]]]:
        """The calls of its journal: what the exchange calls each, and its events in order."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in self.journal():
            event = json.loads(str(row["facts"]))
            if str(row["kind"]).startswith("call_") and (detail := event.get("detail")) is not None:
                found[detail.get("exchange_call") or detail["call_id"]].append(event)
        return dict(found)


@dataclass
class Exchange:
    """`simulate exchange` as a process of its own; its first line says where it listens."""

    process: asyncio.subprocess.Process
    ami: int
    esl: int
    truth: Path

    @classmethod
    async def start(cls, folder: Path, hep: int, seconds: float, per_hour: float, talk_s: float) -> "Exchange":
        truth = folder / "truth.jsonl"
        words = ["--ami-port", "0", "--ami-user", f"gateway:{SECRET}", "--esl-port", "0", "--esl-password", SECRET, "--hep", f"127.0.0.1:{hep}"]
        words += ["--calls-per-hour", str(per_hour), "--seconds", str(seconds), "--talk", str(talk_s), "--seed", "3", "--truth", str(truth), "--wait"]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "simulators.cli", "exchange", *words, stdout=subprocess.PIPE, stdin=subprocess.PIPE
        )
        assert process.stdout is not None
        ready = json.loads(await process.stdout.readline())
        return cls(process, ready["ami"], ready["esl"], truth)

    async def __aenter__(self) -> "Exchange":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def done(self) -> list[dict[str, Any]]:
        """Let it place its calls, and wait until the last one is over; the truth about them."""
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        self.process.stdin.write(b"begin\n")
        last = (await self.process.stdout.read()).splitlines()[-1]
        assert await self.process.wait() == 0
        truths = [json.loads(line) for line in self.truth.read_text().splitlines()]
        assert json.loads(last)["calls"] == len(truths)
        return truths


async def hear(tmp_path: Path, seconds: float, per_hour: float, talk_s: float) -> str:
    """Run it; gives the figures in words."""
    hep = free_port()
    exchange = await Exchange.start(tmp_path, hep, seconds, per_hour, talk_s)
    ears = [
        Ear(tmp_path / "ami", "ami", f'connect = "tcp:127.0.0.1:{exchange.ami}"', 'username = "gateway"\nsecret_file = "secret"'),
        Ear(tmp_path / "esl", "esl", f'connect = "tcp:127.0.0.1:{exchange.esl}"', 'password_file = "secret"'),
        Ear(tmp_path / "hep", "hep", f'listen = "udp:{hep}:interface=127.0.0.1"'),
    ]
    figures = []
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(exchange)
        for ear in ears:
            await stack.enter_async_context(ear)
            ear.start()
        for ear in ears:
            await ear.ready()
        before = [ear.cpu_s() for ear in ears]
        truths = await exchange.done()
        for ear, used_s in zip(ears, before, strict=True):
            with suppress(AssertionError):  # what is missing is told below
                await ear.sees(lambda ear=ear: _has_told_all(ear, truths), f"{ear.codec}: every call is over", START_S)  # type: ignore[misc]
            spent_s = ear.cpu_s() - used_s
            figures.append(f"{ear.codec} {1000 * spent_s / len(truths):.1f} ms CPU a call ({1e6 * spent_s / _events(ear):.0f} µs an event)")
            assert await ear.unbalanced() == {}
            assert await ear.stop() == 0
            assert _faults(ear, truths) == []
    return f"{len(truths)} calls in {seconds:.0f} s: " + ", ".join(figures)


async def _has_told_all(ear: Ear, truths: list[dict[str, Any]]) -> bool:
    """Nothing is under way, nor waits to be read."""
    return await _is_idle(ear) and _faults(ear, truths) == []


async def _is_idle(ear: Ear) -> bool:
    return await ear.metric("gateway_calls_live", line="pbx") == 0 and await ear.metric("gateway_in_flight", line="pbx") == 0


def _events(ear: Ear) -> int:
    return sum(len(events) for events in ear.stories().values())


def _faults(ear: Ear, truths: list[dict[str, Any]]) -> list[str]:
    """Where a journal tells a call otherwise than it went."""
    told = ear.stories()
    faults = []
    for truth in truths:
        names = {"ami": [truth["linkedid"]], "esl": [truth["uuid"]], "hep": truth["sip_call_ids"]}[ear.codec]
        events = next((told.pop(name) for name in names if name in told), None)
        if events is None:
            faults.append(f"{ear.codec}: call {truth['call']} ({truth['scenario']}) is missing")
            continue
        if ear.codec == "hep" and truth["scenario"] in ("anonymous", "late_number"):
            continue  # their two SIP legs have nothing in common but their time
        kinds = [event["kind"] for event in events if not event["detail"].get("correction")]
        outcome = next((LOST[kind] for kind in kinds if kind in LOST), "answered" if "call_answered" in kinds else "?")
        once = [kind for kind in kinds if kind != "call_transferred"]
        ends = [kind for kind in kinds if kind in LOST or kind == "call_ended"]
        agent = events[-1]["detail"].get("agent")
        true_agent = truth["agent"] if truth["outcome"] == "answered" else agent
        if outcome != truth["outcome"] or len(once) != len(set(once)) or len(ends) != 1 or kinds[0] != "call_offered" or agent != true_agent:
            faults.append(f"{ear.codec}: call {truth['call']} ({truth['scenario']}, {truth['outcome']} {truth['agent']}): {agent} {kinds}")
    return faults + [f"{ear.codec}: {name}: a call that nobody made" for name in told]


async def test_a_minute_of_calls_is_told_whole_on_every_wire(tmp_path: Path) -> None:
    """The short form."""
    print(await hear(tmp_path, 10, 4 * PER_HOUR, 2.5))


@pytest.mark.campaign
async def test_ten_thousand_calls_an_hour_for_ten_minutes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = await hear(tmp_path, 600, PER_HOUR, 30)
    with capsys.disabled():
        print(f"\n{told}")
