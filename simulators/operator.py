"""A person at the console's HTTP API: goes on duty, follows the changes, takes incidents, orders, notes, resolves and calls back.

Nothing here knows more than a page would: the list rows of `GET /api/v1/changes`, and commands with the CSRF token of the session.
"""

import asyncio
import contextlib
import random
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

RANK = {"critical": 0, "major": 1, "minor": 2, "warning": 3}
POLL_S = 1.0
ORDER_KINDS = frozenset(
    {"help", "call_answered", "call_abandoned", "call_missed", "general", "fall_suspected", "inactivity", "bed_exit", "wandering", "missed_checkin"}
)
NO_VISIT = frozenset({"low_battery", "tamper", "fault", "offline", "device_removed", "call_failed"})
MAX_ROWS = 20_000
BOOKS = ("gateway_unaccounted", "gateway_incidents_unaccounted")


@dataclass(frozen=True, slots=True)
class Habits:
    """How this operator works. Seconds; each pause is drawn between the two numbers."""

    name: str = "李娜"
    acknowledge_after: tuple[float, float] = (1.0, 3.0)
    act_after: tuple[float, float] = (0.5, 1.5)
    works: bool = True
    resolves: bool = True


@dataclass(slots=True)
class OperatorCounts:
    acknowledged: int = 0
    dispatched: int = 0
    noted: int = 0
    resolved: int = 0
    closed: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    unreachable: int = 0


class Operator:
    """Follows the feed always; works on incidents when its habits say so. `rows` is the list as the page would show it, by incident id."""

    def __init__(self, console: str, habits: Habits = Habits(), *, seed: object = 0) -> None:
        self.console = console.rstrip("/")
        self.habits = habits
        self.counts = OperatorCounts()
        self.rows: dict[str, dict[str, Any]] = {}
        self.first_seen: dict[str, float] = {}
        self.kinds_seen: dict[str, set[str]] = {}
        self.lines: dict[str, dict[str, Any]] = {}
        self.on_duty = asyncio.Event()
        self._random = random.Random(f"operator:{seed}")
        self._csrf = ""
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._tried: dict[tuple[str, str], int] = {}
        self._client: httpx.AsyncClient | None = None

    async def run(self) -> None:
        """Work until cancelled; a console that is away is asked again every second."""
        async with httpx.AsyncClient(base_url=self.console, timeout=10, trust_env=False) as client:
            self._client = client
            since, epoch = 0, ""
            try:
                while True:
                    try:
                        if not self.on_duty.is_set():
                            await self._begin()
                        since, epoch = await self._follow(since, epoch)
                    except (httpx.HTTPError, ValueError, KeyError):
                        self.counts.unreachable += self.on_duty.is_set()  # before the first answer the gateway is only starting
                        self.on_duty.clear()
                        await asyncio.sleep(POLL_S)
                        continue
                    if self.habits.works:
                        self._pick_up()
                    await asyncio.sleep(POLL_S / 2)
            finally:
                for task in list(self._busy.values()):
                    task.cancel()
                await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def detail(self, incident: str) -> dict[str, Any] | None:
        """The whole incident with its timeline and legs, or None when the console does not answer."""
        if self._client is None:
            return None
        with contextlib.suppress(httpx.HTTPError, ValueError):
            answer = await self._client.get(f"/api/v1/incidents/{incident}")
            if answer.status_code == 200:
                found = answer.json()
                return found if isinstance(found, dict) else None
        return None

    async def unaccounted(self) -> float | None:
        """What the gateway's books lack: the gauges of BOOKS, summed over their labels; None when they cannot be read."""
        if self._client is None:
            return None
        with contextlib.suppress(httpx.HTTPError, ValueError):
            answer = await self._client.get("/metrics")
            lines = [line for line in answer.text.splitlines() if line.startswith(BOOKS)]
            return sum(abs(float(line.rsplit(" ", 1)[1])) for line in lines) if lines else None
        return None

    async def _begin(self) -> None:
        assert self._client is not None
        session = (await self._client.get("/api/v1/session")).raise_for_status().json()
        self._csrf = str(session["csrf"])
        answer = await self._client.post("/api/v1/duty", json={"name": self.habits.name}, headers=self._headers())
        session = answer.raise_for_status().json()
        self._csrf = str(session.get("csrf", self._csrf))
        self.on_duty.set()

    def _headers(self) -> dict[str, str]:
        return {"X-CSRF": self._csrf, "Idempotency-Key": secrets.token_hex(16)}

    async def _follow(self, since: int, epoch: str) -> tuple[int, str]:
        """One step of the feed: rows since `since`; a reset or another epoch begins anew."""
        assert self._client is not None
        answer = await self._client.get("/api/v1/changes", params={"since": since, "epoch": epoch})
        frame = answer.raise_for_status().json()
        if frame.get("reset"):
            self.rows.clear()
        for item in frame.get("items", ()):
            if item.get("type") == "incident":
                self._note_row(item)
            elif item.get("type") == "line":
                self.lines[str(item["id"])] = item
        for gone in frame.get("gone", ()):
            self.rows.pop(str(gone).removeprefix("incident:"), None)
        return int(frame.get("rev", since)), str(frame.get("epoch", epoch))

    def _note_row(self, row: dict[str, Any]) -> None:
        incident = str(row["id"])
        self.rows[incident] = row
        self.first_seen.setdefault(incident, time.monotonic())
        self.kinds_seen.setdefault(incident, set()).add(str(row.get("kind")))
        for kept in (self.first_seen, self.kinds_seen):
            if len(kept) > MAX_ROWS:
                kept.pop(next(iter(kept)))

    def _pick_up(self) -> None:
        """Begin what the rows ask for, worst first; one thing at a time per incident."""
        for row in sorted(self.rows.values(), key=lambda row: (RANK.get(str(row.get("severity")), 9), str(row["id"]))):
            incident = str(row["id"])
            if incident in self._busy:
                continue
            step = self._next_step(row)
            if step is None or self._tried.get((incident, step), 0) >= (20 if step == "acknowledge" else 5):
                continue
            self._tried[incident, step] = self._tried.get((incident, step), 0) + 1
            if len(self._tried) > MAX_ROWS:
                self._tried.pop(next(iter(self._tried)))
            task = asyncio.create_task(self._do(incident, step), name=incident)
            self._busy[incident] = task
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._busy.pop(task.get_name(), None)

    def _next_step(self, row: dict[str, Any]) -> str | None:
        """What a careful operator does next with an incident, or None: nothing for now."""
        state, kind, leg = row.get("state"), str(row.get("kind")), row.get("leg")
        if state == "raised":
            return "acknowledge"
        if state == "acknowledged" and row.get("owner") in (None, self.habits.name):
            if leg in (None, "declined", "expired", "failed", "withdrawn") and kind in ORDER_KINDS:
                return "dispatch"
            if self.habits.resolves and (leg == "done" or (leg is None and kind in NO_VISIT)):
                return "resolve"
        if state == "resolved" and self.habits.resolves:
            return "call_back"
        return None

    async def _do(self, incident: str, step: str) -> None:
        pause = self.habits.acknowledge_after if step == "acknowledge" else self.habits.act_after
        await asyncio.sleep(self._random.uniform(*pause))
        if step == "acknowledge" and await self._command(incident, "acknowledge", {}):
            self.counts.acknowledged += 1
        elif step == "dispatch" and await self._command(incident, "dispatch", {}):
            self.counts.dispatched += 1
        elif step == "resolve":
            if await self._command(incident, "note", {"text": "已电话确认 (simulated)"}):
                self.counts.noted += 1
            if await self._command(incident, "resolve", {"outcome": "helped", "note": "simulated"}):
                self.counts.resolved += 1
        elif step == "call_back" and await self._command(incident, "call_back", {"satisfaction": 5}):
            self.counts.closed += 1

    async def _command(self, incident: str, action: str, body: dict[str, object]) -> bool:
        """POST one command; a refusal is counted by its reason, never raised."""
        assert self._client is not None
        try:
            answer = await self._client.post(f"/api/v1/incidents/{incident}/{action}", json=body, headers=self._headers())
        except httpx.HTTPError:
            self.counts.unreachable += 1
            return False
        if answer.status_code == 200:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self._note_row(answer.json()["incident"])
            return True
        reason = "unreadable"
        with contextlib.suppress(ValueError, AttributeError):
            reason = str(answer.json().get("reason", answer.status_code))
        label = f"{action}:{reason}"
        self.counts.refused[label] = self.counts.refused.get(label, 0) + 1
        return False
