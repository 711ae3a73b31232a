"""Operators at a console that may die: what was confirmed to them, so that the journals can be judged by it; and a page that is open all the time."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import httpx

AGAIN_S = 0.3
AT_ONCE = 5  # incidents between two looks
ANSWER_S = 20.0  # a console waits ten seconds for the next owner of a shard


@dataclass(slots=True)
class Operator:
    """Acknowledges whatever she sees, oldest first, and so does her neighbour: they meet at every incident.

    confirmed: (incident, after how many of its cries, is it hers then) as a console has said yes to her: who cries again rings again, and the answer
    shows what the console knows when it answers, which may be a cry later and not hers any more. Asked again of what is hers, a console says yes and
    nothing is written. refused: how often another was first."""

    name: str
    url: str
    confirmed: set[tuple[str, int, bool]] = field(default_factory=set)
    refused: int = 0
    shown: dict[str, dict[str, Any]] = field(default_factory=dict)
    breaks: int = 0
    _since: tuple[int, str] = (0, "")

    async def work(self) -> None:
        """Until cancelled, over every end of the console."""
        async with httpx.AsyncClient(base_url=self.url, timeout=ANSWER_S, trust_env=False) as http:
            while True:
                try:
                    csrf = {"x-csrf": (await http.get("/api/v1/session")).json()["csrf"]}
                    (await http.post("/api/v1/duty", json={"name": self.name}, headers=csrf)).raise_for_status()
                    while True:
                        await self.look(http)
                        await self._acknowledge(http, csrf)
                        await asyncio.sleep(AGAIN_S)
                except (httpx.HTTPError, ValueError, KeyError):
                    self.breaks += 1
                    await asyncio.sleep(AGAIN_S)

    async def look(self, http: httpx.AsyncClient) -> None:
        """What changed since she last looked. Raises httpx.HTTPError, ValueError."""
        number, epoch = self._since
        answer = await http.get("/api/v1/changes", params={"since": number, "epoch": epoch})
        frame = answer.raise_for_status().json()
        if frame.get("reset"):
            self.shown.clear()
        self._since = frame["rev"], frame["epoch"]
        for row in frame["items"]:
            if row["type"] == "incident":
                self.shown[row["id"]] = row
        for gone in frame["gone"]:
            self.shown.pop(str(gone).rpartition(":")[2], None)

    async def _acknowledge(self, http: httpx.AsyncClient, csrf: Mapping[str, str]) -> None:
        for incident in sorted(name for name, row in self.shown.items() if row["state"] == "raised")[:AT_ONCE]:
            answer = await http.post(f"/api/v1/incidents/{incident}/acknowledge", json={}, headers=csrf)
            if answer.status_code == 200:
                row = answer.json()["incident"]
                self.confirmed.add((incident, row["cries"], row["state"] == "acknowledged" and row["owner"] == self.name))
            elif answer.status_code == 409 and answer.json()["reason"] == "already_acknowledged":
                self.refused += 1
            elif answer.status_code in (401, 403):
                raise ValueError("the console is another one")


def disagreements(operators: Sequence[Operator], journal: Mapping[str, Sequence[str]], owners: Mapping[str, str | None]) -> list[str]:
    """What the operators were told against the journals (incident → who acknowledged it, "" for a cry, in order) and the tables (incident → owner).

    One acknowledgement for each cry at most; each that was confirmed is written, and the last one counts."""
    faults: list[str] = []
    for incident, entries in journal.items():
        faults += [f"{incident} is {a}'s and {b}'s" for a, b in pairwise(entries) if a and b]
        last = entries[-1]
        if last and owners.get(incident) != last:
            faults.append(f"{incident} is {last}'s by the journal, {owners.get(incident)}'s by the table")
    for operator in operators:
        for incident, cries, is_hers in sorted(operator.confirmed):
            holders = _holders(journal.get(incident, ()), cries)
            if operator.name not in (holders[-1:] if is_hers else holders):
                faults.append(
                    f"lost: {incident} was confirmed to {operator.name} after {cries} cries, and is {', then '.join(holders) or 'nobody'}'s"
                )
    return faults


def _holders(entries: Sequence[str], cries: int) -> list[str]:
    """Who acknowledged it before the cry after so many, in order."""
    holders = []
    for entry in entries:
        cries -= not entry
        if cries < 0:
            break
        holders += [entry] if entry else []
    return holders


def differences(operator: Operator, owners: Mapping[str, str | None]) -> list[str]:
    """Where her page shows another owner than the tables."""
    shown = ((incident, row.get("owner")) for incident, row in operator.shown.items())
    return [f"{incident}: {owner} on the page" for incident, owner in shown if owner != owners.get(incident)]
