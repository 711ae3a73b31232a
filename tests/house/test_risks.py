"""Risk warnings of a whole gateway: a person falls again and again, stations refuse, a model cries all night; all of it stands after `kill -9`."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from house import District, House
from servers import until

from simulators.masses.firmware import FirmwareBug
from simulators.stations import Behaviour, Stations
from simulators.wearables import Fleet

# Falls within one hour are one fall told twice (tests/core/test_risks.py); here hours last milliseconds.
AT_ONCE = "import datetime, gateway.core.risk_rules as rules; rules.APART = datetime.timedelta(0); from gateway.cli import main; main()"
DISTRICT = District(wearables=30, rooms=1, buttons=1, callers=1)


class Watched(House):
    """A gateway that looks for risks five times a second."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, DISTRICT)
        self._csrf = ""

    def write_config(self) -> None:
        super().write_config()
        self.config.write_text(self.config.read_text() + "[risk]\nlook_s = 0.2\n")

    def start(self) -> None:
        assert self.process is None
        with self.log.open("ab") as log:
            command = [sys.executable, "-c", AT_ONCE, "run", "--config", str(self.config)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(os.environ))

    async def risks(self, rule: str) -> dict[str, dict[str, Any]]:
        """Subject → row, of one rule."""
        answer = await self.get("/api/v1/risks")
        if answer is None or answer.status_code != 200:
            return {}
        return {row["id"]: row for row in answer.json()["risks"] if row["rule"] == rule}

    async def warns(self, rule: str, subject: str) -> None:
        async def stands() -> bool:
            return subject in await self.risks(rule)

        await self.sees(stands, f"{rule} of {subject}")

    async def comes_on_duty(self) -> None:
        answer = await self.get("/api/v1/session")
        assert answer is not None
        self._csrf = answer.json()["csrf"]
        await self.acts("duty", name="Li Na")

    async def acts(self, what: str, **body: object) -> dict[str, Any]:
        answer = await self.post(f"/api/v1/{what}", body, self._csrf)
        assert answer is not None
        assert answer.status_code == 200, (what, answer.text)
        found: dict[str, Any] = answer.json()
        return found

    async def falls_and_is_helped(self, fleet: Fleet, device: str) -> None:
        """A fall, taken, resolved and closed by a person."""
        known = set(await self._falls())
        fleet.send(device, "fall")
        found: set[str] = set()

        async def raised() -> bool:
            found.update(set(await self._falls()) - known)
            return bool(found)

        await self.sees(raised, "the fall is an incident")
        (incident,) = found
        await self.acts(f"incidents/{incident}/acknowledge")
        for step in ("arrange_medical", "call_person"):
            await self.acts(f"incidents/{incident}/step", step=step)
        await self.acts(f"incidents/{incident}/resolve", outcome="helped")
        await self.acts(f"incidents/{incident}/waive", reason="the family is there and has spoken with us")

    async def _falls(self) -> list[str]:
        answer = await self.get("/api/v1/changes", since=0, epoch="")
        assert answer is not None
        return [item["id"] for item in answer.json()["items"] if item["type"] == "incident" and item["kind"] == "fall"]


@contextlib.asynccontextmanager
async def playing(house: Watched, *parts: Any) -> AsyncIterator[None]:
    async with house:
        house.start()
        await house.ready()
        tasks = [asyncio.create_task(part.run()) for part in parts]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_falls_refuses_and_cries_is_told_once_and_stands_after_a_kill(tmp_path: Path) -> None:
    house = Watched(tmp_path)
    fleet = Fleet(house.address)
    stations = Stations(house.address, choose=lambda _order, _before: Behaviour("declines", answer_after=(0, 0.01)))
    bug = FirmwareBug(fleet, [DISTRICT.wearable(n) for n in range(20, 26)], [], 0.3)
    async with playing(house, fleet, stations):
        await house.lines_live("wearables", "station-replies")
        await until(stations.ready.is_set, "the stations listen")
        await house.comes_on_duty()
        for _ in range(3):
            await house.falls_and_is_helped(fleet, DISTRICT.wearable(0))
        await house.warns("repeat_faller", "pw-0")
        await bug.play(2)  # each of six cries again and again; their stations all refuse
        await house.warns("model_flood", "invented")

        async def refused() -> bool:
            return len(await house.risks("refuses")) >= 2

        await house.sees(refused, "stations refuse")
        assert set(await house.risks("repeat_faller")) == {"pw-0"}, "six who cried once and again are no repeat fallers: one incident each"
        assert await house.metric("gateway_risk_warnings", risk="repeat_faller") == 1
        assert await house.metric("gateway_risk_warnings", risk="battery_dying") == 0

        await house.acts("risks/seen", rule="repeat_faller", id="pw-0", note="visit tomorrow")
        faller = (await house.risks("repeat_faller"))["pw-0"]
        assert (faller["seen_by"], faller["note"]) == ("Li Na", "visit tomorrow")
        answer = await house.post("/api/v1/risks/seen", {"rule": "repeat_faller", "id": "pw-1"}, house._csrf)
        assert answer is not None
        assert (answer.status_code, answer.json()["reason"]) == (404, "unknown_risk")

        await until_quiet(house)
        before = {rule: await house.risks(rule) for rule in ("repeat_faller", "model_flood", "refuses")}
        told = [
            row for row in house.journal() if row["kind"] == "ruling" and str(json.loads(str(row["facts"]))["key"]).startswith("risk:repeat_faller:")
        ]
        assert [json.loads(str(row["facts"]))["value"] for row in told] == ["raised"] or len(told) == 2  # 2: the third fall made it worse
        assert "pw-0" not in house.log.read_text("utf-8")

        house.kill()
        house.start()
        await house.ready()
        await house.sees(lambda: _looked(house), "it has looked after the start")
        for rule, rows in before.items():
            after = await house.risks(rule)
            assert after.keys() == rows.keys(), rule
        assert (await house.risks("repeat_faller"))["pw-0"] == faller
        assert await house.unbalanced() == {}
        report = house.run("report", "risks")
        assert report.returncode == 0, report.stderr
        assert "repeat_faller" in report.stdout
        assert "pw-0" in report.stdout


async def until_quiet(house: Watched) -> None:
    """Nothing more begins or grows worse: the last answer of a station is looked at."""
    last = -1

    async def same() -> bool:
        nonlocal last
        await asyncio.sleep(0.5)  # two looks
        before, last = last, house.said('"risk_')
        return before == last

    await house.sees(same, "warnings stand still")


async def _looked(house: Watched) -> bool:
    """The gauge is set by a look; the seen one does not wait."""
    found = await house.metrics()
    return 'gateway_risk_warnings{risk="repeat_faller"}' in found and await house.metric("gateway_risk_warnings", risk="refuses") >= 2
