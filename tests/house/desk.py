"""A person at the console, through several lives of one gateway: remembers the furthest that was ever shown, and what was ever answered "done"."""

import asyncio
import random
from typing import Any

from house import House

POLL_S = 0.1


class Desk:
    """Follows the feed and takes charge now and then. What it has once seen may never be undone.

    rows     the list as the running gateway shows it; empty after a restart until it shows it again
    seen     incident → the highest version ever shown or answered
    calls    live calls as shown now; ever_called: every call ever shown
    taken    incidents whose acknowledgement was answered "done"
    """

    def __init__(self, house: House, *, name: str = "Li Na", seed: object = 0) -> None:
        self.name = name
        self.rows: dict[str, dict[str, Any]] = {}
        self.seen: dict[str, int] = {}
        self.calls: dict[str, dict[str, Any]] = {}
        self.ever_called: set[str] = set()
        self.taken: set[str] = set()
        self.works = True
        self._house = house
        self._random = random.Random(f"desk:{seed}")
        self._csrf = ""
        self._at = (0, "")

    async def run(self) -> None:
        """Until cancelled; a console that is away is asked again."""
        while True:
            await self._follow()
            if self.works:
                await self._take_one()
            await asyncio.sleep(POLL_S)

    def forgotten(self, seen: dict[str, int]) -> list[str]:
        """Incidents of `seen` that are not shown at all, or in an older version."""
        return [name for name, version in seen.items() if self.rows.get(name, {}).get("version", -1) < version]

    def undone(self) -> list[str]:
        """Incidents that were taken and are not any more; a second cry may take them back."""
        rows = ((name, self.rows.get(name, {})) for name in self.taken)
        return [name for name, row in rows if row.get("owner") != self.name and "second_cry" not in row.get("flags", ())]

    async def _follow(self) -> None:
        since, epoch = self._at
        answer = await self._house.get("/api/v1/changes", since=since, epoch=epoch)
        if answer is None or answer.status_code != 200:
            return
        frame = answer.json()
        if frame.get("reset"):
            self.rows.clear()
            self.calls.clear()
            self._csrf = ""
        for item in frame["items"]:
            if item["type"] == "incident":
                self._note(item)
            elif item["type"] == "call":
                self.calls[item["id"]] = item
                self.ever_called.add(item["id"])
        for gone in frame["gone"]:
            kind, _, name = gone.partition(":")
            (self.rows if kind == "incident" else self.calls).pop(name, None)
        self._at = (frame["rev"], frame["epoch"])

    def _note(self, row: dict[str, Any]) -> None:
        name, version = row["id"], row["version"]
        if version >= self.rows.get(name, {}).get("version", 0):
            self.rows[name] = row
        self.seen[name] = max(self.seen.get(name, 0), version)

    async def _take_one(self) -> None:
        waiting = [name for name, row in self.rows.items() if row["state"] == "raised"]
        if not waiting or not (self._csrf or await self._begin()):
            return
        name = self._random.choice(waiting)
        answer = await self._house.post(f"/api/v1/incidents/{name}/acknowledge", {}, self._csrf)
        if answer is None or answer.status_code == 403:
            self._csrf = ""
        elif answer.status_code == 200:
            self.taken.add(name)
            self._note(answer.json()["incident"])

    async def _begin(self) -> bool:
        answer = await self._house.get("/api/v1/session")
        if answer is None or answer.status_code != 200:
            return False
        self._csrf = answer.json()["csrf"]
        answer = await self._house.post("/api/v1/duty", {"name": self.name}, self._csrf)
        if answer is None or answer.status_code != 200:
            self._csrf = ""
        return bool(self._csrf)
