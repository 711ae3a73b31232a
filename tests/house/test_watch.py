"""The watch over people on a whole gateway with a real broker: killed in the middle of the ladder it goes on; an absence outlives a kill."""

import asyncio
import json
from pathlib import Path
from typing import Any

from house import District, House

from simulators.mqtt_link import Client

WATCH = """
[[watch]]
name = "alone"
within_s = {within_s}
quiet = ""
grace_s = 0.5
steps = ["call", "station", "emergency"]
step_s = {step_s}
"""


class Alone(House):
    """Everybody with a wearable lives alone and is watched over; they have a telephone."""

    def __init__(self, folder: Path, wearables: int = 2, within_s: float = 2.5, step_s: float = 4.0) -> None:
        super().__init__(folder, District(wearables=wearables, rooms=1, buttons=1, callers=1))
        self.within_s = within_s
        self.step_s = step_s
        self.csrf = ""

    def write_config(self) -> None:
        super().write_config()
        self.config.write_text(self.config.read_text() + WATCH.format(within_s=self.within_s, step_s=self.step_s))
        path = self.folder / "districts" / "chaos" / "persons.csv"
        header, *rows = path.read_text().splitlines()
        rows = [f"{row},{'alone' if row.startswith('pw-') else ''}" for row in rows]
        rows = [row.replace(",self_caring", f"1740055{n:04},self_caring", 1) if row.startswith("pw-") else row for n, row in enumerate(rows)]
        path.write_text("\n".join([f"{header},watch", *rows]) + "\n")

    async def sign(self, number: int) -> None:
        """The wearable's button without a role, confirmed by the broker."""
        async with Client(self.address.host, self.address.port) as client:
            await client.publish(f"wearables/{self.district.wearable(number)}/event", json.dumps({"kind": "button"}), qos=1)

    def steps(self, person: str) -> list[str]:
        """Steps of the ladder in the journal, for the incidents of this person, oldest first."""
        rows = [(row, json.loads(str(row["facts"]))) for row in self.journal()]
        mine = {row["incident"] for row, facts in rows if row["kind"] == "missed_checkin" and facts.get("person") == person}
        return [facts["reason"] for row, facts in rows if row["kind"] == "escalate" and row["incident"] in mine and "result" in facts]

    def count(self, kind: str, incident: object) -> int:
        return sum(row["kind"] == kind and row["incident"] == incident for row in self.journal())

    async def has_taken(self, steps: int, person: str = "pw-0") -> None:
        """Wait until the ladder of this person has so many steps behind it."""

        async def has() -> bool:
            await asyncio.sleep(0)
            return len(self.steps(person)) >= steps

        await self.sees(has, f"{steps} steps for {person}")

    async def watched(self) -> dict[str, dict[str, Any]]:
        """Rows of the list by person."""
        answer = await self.get("/api/v1/watch")
        assert answer is not None
        assert answer.status_code == 200
        return {row["person"]["id"]: row for row in answer.json()["watched"]}

    async def wish(self, path: str, **body: object) -> None:
        """As an operator on duty."""
        session = await self.get("/api/v1/session")
        assert session is not None
        csrf = session.json()["csrf"]
        for target, sent in (("/api/v1/duty", {"name": "Li Na"}), (f"/api/v1/watch/{path}", body)):
            answer = await self.post(target, dict(sent), csrf)
            assert answer is not None
            assert answer.status_code == 200, answer.text


async def test_a_ladder_goes_on_through_kills_and_orders_once(tmp_path: Path) -> None:
    async with Alone(tmp_path, wearables=1) as house:
        house.start()
        await house.ready()
        await house.has_taken(1)
        (incident,) = {str(row["incident"]) for row in house.journal() if row["kind"] == "missed_checkin"}
        house.kill()

        house.start()
        await house.ready()
        await house.has_taken(2)
        assert house.count("dispatch", incident) == 1
        house.kill()

        house.start()
        await house.ready()
        await house.has_taken(3)
        assert house.steps("pw-0") == ["ladder_call", "ladder_station", "ladder_emergency"]
        assert house.count("dispatch", incident) == 1
        row = (await house.watched())["pw-0"]
        assert (row["state"], row["incident"]) == ("missed", incident)
        detail = await house.get(f"/api/v1/incidents/{incident}")
        assert detail is not None
        assert [step["state"] for step in detail.json()["watch"]["ladder"]["steps"]] == ["done", "done", "done"]
        assert detail.json()["incident"]["severity"] == "critical"

        await house.lines_live("wearables")
        await house.sign(0)

        async def is_over() -> bool:
            return (await house.watched())["pw-0"]["last_sign"] == "button"

        await house.sees(is_over, "the sign is known")
        told = [json.loads(str(row["facts"])) for row in house.journal() if row["kind"] == "missed_checkin" and row["incident"] == incident]
        assert [facts.get("phase", "raise") for facts in told] == ["raise", "clear"]
        await house.counts("gateway_watch_steps_total", 1, step="emergency", result="desk")
        assert await house.unbalanced() == {}


async def test_an_absence_outlives_a_kill_and_ends_when_it_is_cancelled(tmp_path: Path) -> None:
    async with Alone(tmp_path, within_s=6.0, step_s=3600.0) as house:
        house.start()
        await house.ready()
        await house.wish("pw-0/absence", by="family", name="Invented", note="with her daughter")
        house.kill()

        house.start()
        await house.ready()
        row = (await house.watched())["pw-0"]
        assert (row["state"], row["absent"]["by"], row["absent"]["until"]) == ("absent", "family", None)
        await house.has_taken(1, "pw-1")
        assert house.steps("pw-0") == []
        await house.counts("gateway_watch_persons", 1, state="absent")
        await house.counts("gateway_watch_persons", 1, state="missed")
        await house.wish("pw-0/absence_over")
        house.kill()

        house.start()
        await house.ready()
        await house.has_taken(1, "pw-0")
        assert [row["kind"] for row in house.journal() if str(row["kind"]).startswith("absence")] == ["absence", "absence_over"]
        assert await house.unbalanced() == {}
