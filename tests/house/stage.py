"""A scenario on stage: its district, a broker, a whole gateway and `simulate NAME`, all processes of their own, all at the hour it asks for.

The hour is libfaketime's: gateway and simulators are given the same offset to a coming Tuesday, so that no roster, night or holiday of the real
day decides what a test sees. Time itself goes on as always, unless the scenario moves it on (`pass_time`).
"""

import asyncio
import json
import os
import signal
import sys
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import httpx
from house import House
from servers import free_port, program
from waiting import BEFORE_THE_SERVER

from gateway.demo.stage import FAST
from simulators.amend import prepare
from simulators.scenario import find_scenario, load_scenario

ROOT = Path(__file__).resolve().parents[2]
CHINA = timedelta(hours=8)
TUESDAY = 1
SECRET = b"an invented secret of a stage"
PLAYED_S = 75.0  # no scenario on the fast clock is longer


class Played:
    """What `simulate` reported. failures: every expectation that did not hold, with its reason."""

    def __init__(self, report: dict[str, Any], code: int) -> None:
        self.report, self.code = report, code

    @property
    def failures(self) -> list[str]:
        return [f"{one['rule']} {one['label']}: {one['reason']}" for one in self.report["expectations"] if one["state"] not in ("held", "not_due")]

    def held(self, rule: str) -> int:
        """How many expectations of this word held."""
        return sum(one["rule"] == rule and one["state"] == "held" for one in self.report["expectations"])


class Stage(House):
    """A House whose district and configuration are the scenario's. Use as an async context manager; `play` does the rest."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder)
        self.name = name
        self.scenario = load_scenario(find_scenario(name))
        self.municipal_port = free_port()
        self.offset = folder / "offset"
        self.offset.write_text(f"{(_coming(self.scenario.clock or '10:00:00') - datetime.now(UTC)).total_seconds():+.0f}\n")
        library = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")) if program("faketime") else []
        assert library, "faketime is installed without its library"
        moves = any(fault.what == "pass_time" for fault in self.scenario.fault)
        self.setting.environment |= {
            "LD_PRELOAD": str(library[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self.offset),
            # Read again each second where it moves, else once: reading it at every look at the clock would take most of the gateway's speed.
            "FAKETIME_CACHE_DURATION": "1" if moves else "86400",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    async def __aenter__(self) -> "Stage":
        for name in ("city", "province"):
            (self.folder / f"{name}.secret").write_bytes(SECRET)
        districts = self.folder / "districts" / self.scenario.district
        prepare(self.scenario, ROOT / "config" / "districts" / self.scenario.district, districts, self.now)
        self.write_config()
        self._http = httpx.AsyncClient(base_url=self.console, timeout=30, trust_env=False, limits=BEFORE_THE_SERVER)
        await self.broker.start()
        self.start()
        try:
            await self.ready()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    @property
    def now(self) -> datetime:
        """What time it is for gateway and simulators."""
        return datetime.now(UTC) + timedelta(seconds=float(self.offset.read_text()))

    @property
    def today(self) -> str:
        """The day in China, there."""
        return (self.now + CHINA).date().isoformat()

    def write_config(self) -> None:
        wanted = self.scenario.gateway
        self.config.write_text(f"""
[gateway]
district = "{self.scenario.district}"
data = "{self.setting.data}"
[console]
accounts = false
listen = "{self.console.removeprefix("http://")}"
[self_test]
enabled = false
[log]
format = "json"
[dispatch.mqtt]
broker = "{self.broker.url}"
[calls]
area_code = "0931"
[[hotline]]
number = "12345"
supplementary = true
{self._line("wearables", "generic", f'broker = "{self.broker.url}"')}
{self._line("station-replies", "station_reply", f'broker = "{self.broker.url}"')}
{self._line("pbx", "hep", f'listen = "udp:{self.hep[1]}:interface=127.0.0.1"')}
{"" if "[policy" in wanted else FAST}
{wanted.replace("{municipal}", f"http://127.0.0.1:{self.municipal_port}")}
""")

    async def play(self, *more: str) -> Played:
        """`simulate NAME` against this gateway, to its end."""
        report = self.folder / "report.json"
        arguments = ["--district", str(self.folder / "districts" / self.scenario.district), "--broker", self.broker.url]
        arguments += ["--console", self.console, "--hep", f"127.0.0.1:{self.hep[1]}", "--report", str(report), "--progress", "none"]
        arguments += ["--clock-file", str(self.offset)]
        arguments += ["--municipal", f"{self.municipal_port}={self.folder / 'city.secret'}"]
        arguments += ["--platform", f"province={self.folder / 'province.secret'}"]
        days = [self.today, (self.now + CHINA + timedelta(days=1)).date().isoformat()]
        compare = f"{sys.executable} -m gateway.cli upward reconcile {{day}} city --config {self.config}"
        arguments += ["--reconcile", " && ".join(compare.format(day=day) for day in days)]
        environment = {**os.environ, **self.setting.environment, "PYTHONFAULTHANDLER": "1"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "simulators.cli", self.name, *arguments, *more,
            cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            said, _ = await asyncio.wait_for(process.communicate(), PLAYED_S)
        except TimeoutError:
            process.send_signal(signal.SIGABRT)  # faulthandler tells where it stood
            said, _ = await process.communicate()
            raise AssertionError(f"{self.name} did not end:\n{said.decode()}\n{self.tail()}") from None
        assert process.returncode in (0, 1), f"{said.decode()}\n{self.tail()}"
        return Played(json.loads(report.read_text("utf-8")), process.returncode or 0)

    # --- what a supervisor can ask afterwards ------------------------------------------------------------------------

    async def json(self, path: str, **parameters: object) -> Any:
        """What the console's API answers."""
        answer = await self.get(path, **parameters)
        assert answer is not None
        assert answer.status_code == 200, answer.text
        return answer.json()

    def facts(self, kind: str) -> list[dict[str, Any]]:
        """Facts of the journal's entries of one kind, oldest first, with their incident."""
        rows = [(row["incident"], row["facts"]) for row in self.journal() if row["kind"] == kind]
        return [{"incident": incident, **(json.loads(str(facts)) if isinstance(facts, str) else dict(facts))} for incident, facts in rows]  # type: ignore[call-overload]


def _coming(clock: str) -> datetime:
    """The Tuesday after next week's Monday at that time of China: no day that is worked otherwise is so near."""
    today = (datetime.now(UTC) + CHINA).date()
    day = today + timedelta(days=(TUESDAY - today.weekday()) % 7 + 7)
    return datetime.combine(day, time.fromisoformat(clock), UTC) - CHINA
