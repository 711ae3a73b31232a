"""A correction counts for the next alarm, and after a restart, and after a reload; a file that says otherwise is a conflict, never silent."""

import asyncio
import json
from pathlib import Path
from typing import Any

from simulators.mqtt_link import Client
from tests.house.house import House


class Office:
    """A desk with a session of its own, in a house that runs."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.csrf = ""

    async def sit_down(self) -> None:
        """After each start anew: sessions of a house without accounts end with it."""
        await self.house.ready()
        await self.house.lines_live("wearables")
        session = await self.house.get("/api/v1/session")
        assert session is not None
        self.csrf = session.json()["csrf"]
        await self.asks("/api/v1/duty", {"name": "Li Na"})

    async def asks(self, path: str, body: dict[str, object]) -> dict[str, Any]:
        answer = await self.house.post(path, body, self.csrf)
        assert answer is not None
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def corrects(self, kind: str, key: str, **cells: str) -> None:
        await self.asks(
            "/api/v1/register/correct", {"kind": kind, "key": key, "cells": cells, "reason": "called: the bracelet is the neighbour's now"}
        )

    async def person_of_next_cry(self, device: str) -> str:
        """Press the button of a wearable; who is shown for it."""
        before = await self._people()
        async with Client(self.house.address.host, self.house.address.port) as client:
            await client.publish(f"wearables/{device}/event", json.dumps({"kind": "sos"}), qos=1)
        await self.house.sees(lambda: self._new(before), "an incident for the press")
        (name,) = await self._people() - before
        answer = await self.house.get(f"/api/v1/incidents/{name}")
        assert answer is not None
        person: str = answer.json()["person"]["id"]
        return person

    async def _new(self, before: set[str]) -> bool:
        return bool(await self._people() - before)

    async def _people(self) -> set[str]:
        answer = await self.house.get("/api/v1/changes", since=0)
        return set() if answer is None else {item["id"].removeprefix("incident:") for item in answer.json()["items"] if item["type"] == "incident"}


async def test_it_counts_for_the_next_alarm_and_survives_restart_reload_and_import(tmp_path: Path) -> None:
    async with House(tmp_path) as house:
        district, desk = house.district, Office(house)
        house.start()
        await desk.sit_down()
        assert await desk.person_of_next_cry(district.wearable(0)) == "pw-0"
        await desk.corrects("devices", f"wearables|{district.wearable(1)}", person="pr-5")
        assert await desk.person_of_next_cry(district.wearable(1)) == "pr-5"

        assert await house.stop() == 0, house.tail()
        house.start()
        await desk.sit_down()
        await desk.corrects("devices", f"wearables|{district.wearable(2)}", person="pr-6")
        house.hang_up()
        await house.sees(lambda: _said(house, "configuration in force"), "the register was read anew")
        assert await desk.person_of_next_cry(district.wearable(2)) == "pr-6"

        file = tmp_path / "districts" / "chaos" / "devices.csv"
        text = file.read_text().replace(f"{district.wearable(3)},wearables,pw-3", f"{district.wearable(3)},wearables,pr-9")
        text = text.replace(f"{district.wearable(1)},wearables,pw-1", f"{district.wearable(1)},wearables,pr-7")
        (tmp_path / "new.csv").write_text(text)
        seen = await asyncio.to_thread(house.run, "register", "import", str(tmp_path / "new.csv"), "--kind", "devices")
        assert seen.returncode == 0, seen.stderr
        assert "2 changed" in seen.stdout
        assert "conflict devices" in seen.stdout
        assert "wearables,pr-9" not in file.read_text()
        taken = await asyncio.to_thread(
            house.run, "register", "import", str(tmp_path / "new.csv"), "--kind", "devices", "--take", "--reason", "monthly list"
        )
        assert taken.returncode == 0, taken.stderr
        assert await desk.person_of_next_cry(district.wearable(3)) == "pr-9"
        answer = await house.get("/api/v1/register/conflicts")
        assert answer is not None
        (conflict,) = answer.json()["rows"]
        assert (conflict["field"], conflict["ours"], conflict["file"], conflict["in_force"]) == ("person", "pr-5", "pr-7", False)
        await desk.asks("/api/v1/register/decide", {"correction": conflict["number"], "decision": "keep", "reason": "asked again"})
        answer = await house.get("/api/v1/register/records/devices/wearables%7C" + district.wearable(1))
        assert answer is not None
        fields = {field["name"]: field for field in answer.json()["record"]["fields"]}
        assert (fields["person"]["value"], fields["person"]["source"]["by"]) == ("pr-5", "Li Na")

        listed = await asyncio.to_thread(house.run, "register", "corrections")
        assert "corrections: 3" in listed.stdout, listed.stdout
        checked = await asyncio.to_thread(house.run, "check")
        assert checked.returncode == 0, checked.stdout
        exported = await asyncio.to_thread(house.run, "register", "export", "--kind", "devices")
        assert f"{district.wearable(1)},wearables,pr-5" in exported.stdout
        assert [json.loads(str(row["facts"]))["what"] for row in house.journal() if row["kind"] == "corrected"] == [
            "changed",
            "changed",
            "import",
            "decided",
        ]
        assert await house.stop() == 0, house.tail()
        proof = await asyncio.to_thread(house.run, "journal", "verify")
        assert "chain whole" in proof.stdout


async def _said(house: House, words: str) -> bool:
    return house.said(words) > 0
