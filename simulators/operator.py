"""A person at the console's HTTP API: goes on duty, follows the changes, takes incidents, says who calls, orders, resolves and rings back.

Nothing here knows more than a page would: the list rows of `GET /api/v1/changes`, and commands with the CSRF token of the session.
"""

import asyncio
import contextlib
import random
import secrets
import time
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import httpx

RANK = {"critical": 0, "major": 1, "minor": 2, "warning": 3}
POLL_S = 1.0
ORDER_KINDS = frozenset(
    {"help", "call_answered", "call_abandoned", "call_missed", "general", "fall_suspected", "inactivity", "bed_exit", "wandering", "missed_checkin"}
)
UNDER_WAY = frozenset({"accepted", "en_route", "arrived"})
NO_VISIT = frozenset({"low_battery", "tamper", "fault", "offline", "device_removed", "call_failed"})
MAX_ROWS = 20_000
EXTENSION = "8001"  # the telephone at this desk
VISIT_S = (8.0, 12.0)  # whoever was rung tells by telephone when it is done: about as long as stations take that say so themselves
ALONE_S = 30.0  # an operator who can send nobody talks with the person about so long
RINGING_S = 20.0  # then nobody is waited for any more: 30 s is how long a telephone rings at most
BOOKS = ("gateway_unaccounted", "gateway_incidents_unaccounted")


@dataclass(frozen=True, slots=True)
class Habits:
    """How this operator works. Seconds; each pause is drawn between the two numbers. lets_climb: before taking a missed check-in."""

    name: str = "李娜"
    acknowledge_after: tuple[float, float] = (1.0, 3.0)
    act_after: tuple[float, float] = (0.5, 1.5)
    works: bool = True
    resolves: bool = True
    calls_back: bool = False
    lets_climb: float = 0.0


@dataclass(slots=True)
class OperatorCounts:
    acknowledged: int = 0
    identified: int = 0
    called_back: int = 0
    dispatched: int = 0
    noted: int = 0
    resolved: int = 0
    closed: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    unreachable: int = 0


class Operator:
    """Follows the feed always; works on incidents when its habits say so. `rows` is the list as the page would show it, by incident id.

    rung: names of responders who get orders by telephone: all they say is yes. called_back: incident → its caller as shown, in order;
    disorder: what was wrong with the order of the call-back list. log_in: login and password, where the console asks for them.
    """

    def __init__(
        self, console: str, habits: Habits = Habits(), *, seed: object = 0, rung: Collection[str] = (), log_in: tuple[str, str] | None = None
    ) -> None:
        self.console = console.rstrip("/")
        self.habits = habits
        self.counts = OperatorCounts()
        self.rows: dict[str, dict[str, Any]] = {}
        self.first_seen: dict[str, float] = {}
        self.kinds_seen: dict[str, set[str]] = {}
        self.lines: dict[str, dict[str, Any]] = {}
        self.called_back: OrderedDict[str, str] = OrderedDict()
        self.disorder: list[str] = []
        self.on_duty = asyncio.Event()
        self._rung = frozenset(rung)
        self._log_in = log_in
        self._ringing_back: asyncio.Task[None] | None = None
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
                    if self.habits.calls_back and (self._ringing_back is None or self._ringing_back.done()):
                        self._ringing_back = asyncio.create_task(self._ring_back(), name="ring back")
                    await asyncio.sleep(POLL_S / 2)
            finally:
                tasks = [*self._busy.values(), *([self._ringing_back] if self._ringing_back is not None else [])]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

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

    async def decisions(self, incident: str) -> list[dict[str, Any]]:
        """Every routing decision of an incident, oldest first; [] when the console does not answer."""
        if self._client is not None:
            with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):
                answer = await self._client.get(f"/api/v1/incidents/{incident}/decisions")
                if answer.status_code == 200:
                    return list(answer.json()["decisions"])
        return []

    async def metric(self, name: str) -> float | None:
        """The sum of all samples of a metric; None when the console does not answer."""
        if self._client is not None:
            with contextlib.suppress(httpx.HTTPError, ValueError):
                lines = (await self._client.get("/metrics")).raise_for_status().text.splitlines()
                return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.partition(" ")[0].partition("{")[0] == name)
        return None

    async def ask(self, path: str, body: dict[str, object]) -> tuple[dict[str, Any], str]:
        """POST anything at this desk: (answer, why refused); the second is "" when it was done."""
        if self._client is None:
            return {}, "unreachable"
        try:
            answer = await self._client.post(path, json=body, headers=self._headers())
            told = answer.json()
        except (httpx.HTTPError, ValueError):
            return {}, "unreachable"
        found = told if isinstance(told, dict) else {}
        return (found, "") if answer.is_success else ({}, str(found.get("reason", answer.status_code)))

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
        if self._log_in is not None and session.get("log_in"):
            login, password = self._log_in
            answer = await self._client.post("/api/v1/login", json={"login": login, "password": password}, headers=self._headers())
            self._csrf = str(answer.raise_for_status().json()["csrf"])
        answer = await self._client.post("/api/v1/duty", json={"name": self.habits.name, "extension": EXTENSION}, headers=self._headers())
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
            if kind.startswith("call_") and not row.get("name") and not row.get("candidates") and (str(row["id"]), "identify") not in self._tried:
                return "identify"
            if self.habits.calls_back and "call_due" in (row.get("flags") or ()):
                return None  # has its turn in the list
            if self.habits.resolves and (str(row["id"]) in self.called_back or (leg == "accepted" and row.get("leg_responder") in self._rung)):
                return "resolve"
            if leg in (None, "declined", "expired", "failed", "withdrawn") and kind in ORDER_KINDS:
                return "dispatch"
            if kind == "offline" and "ended" not in (row.get("flags") or ()):
                return None  # is over when the devices are back, not when somebody says so
            if self.habits.resolves and (leg == "done" or (leg is None and kind in NO_VISIT) or (leg == "sent" and self._is_old(row))):
                return "resolve"
        if state == "resolved" and self.habits.resolves:
            return "call_back"
        return None

    def _is_old(self, row: dict[str, Any]) -> bool:
        """Has it waited at this desk for so long that a telephone call has settled it, if nobody was left to be sent?"""
        return time.monotonic() - self.first_seen[str(row["id"])] > ALONE_S

    async def _do(self, incident: str, step: str) -> None:
        pause = self.habits.acknowledge_after if step == "acknowledge" else self.habits.act_after
        if step == "resolve" and self.rows.get(incident, {}).get("leg") == "accepted":
            pause = VISIT_S
        if step == "acknowledge" and self._is_left_alone(incident):
            await asyncio.sleep(self.habits.lets_climb)
        await asyncio.sleep(self._random.uniform(*pause))
        if step == "resolve" and not await self._may_end(incident):
            self._tried.pop((incident, step), None)  # nothing was tried
            return
        if step == "acknowledge" and await self._command(incident, "acknowledge", {}):
            self.counts.acknowledged += 1
        elif step == "identify":
            await self._identify(incident)
        elif step == "dispatch" and await self._command(incident, "dispatch", {}):
            self.counts.dispatched += 1
        elif step == "resolve":
            if await self._command(incident, "note", {"text": "已电话确认 (simulated)"}):
                self.counts.noted += 1
            for word in await self.open_steps(incident):
                await self._command(incident, "step", {"step": word})
            if await self._command(incident, "resolve", {"outcome": "helped", "note": "simulated"}):
                self.counts.resolved += 1
        elif step == "call_back" and await self._command(incident, "call_back", {"satisfaction": 5}):
            self.counts.closed += 1

    async def _may_end(self, incident: str) -> bool:
        """Nobody is still to tell that it is done (the row has only the leg that is farthest; those who are rung are asked by telephone when it is
        time). Where nobody was left to be sent and the order came back to the desk, the operator has seen to it alone."""
        legs = (await self.detail(incident) or {}).get("legs", ())
        if any(leg.get("state") in UNDER_WAY and leg.get("name") not in self._rung for leg in legs):
            return False
        return self.rows.get(incident, {}).get("leg") != "sent" or any(leg.get("kind") == "desk" and leg.get("state") == "sent" for leg in legs)

    async def _identify(self, incident: str) -> None:
        """Who calls is nobody's number, but somebody's contact: it is about them."""
        detail = await self.detail(incident) or {}
        hints = [hint for hint in (detail.get("incident") or {}).get("hints", ()) if hint.get("why") == "contact"]
        if len(hints) == 1 and await self._command(incident, "identify", {"person": hints[0]["id"]}):
            self.counts.identified += 1

    async def _ring_back(self) -> None:
        """Ring the first of the call-back list, tell what came of it, and take the task off."""
        assert self._client is not None
        with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):
            waiting = (await self._client.get("/api/v1/call-backs")).raise_for_status().json()["call_backs"]
            keys = [(RANK.get(str(row["severity"]), 9), str(row["first_attempt_at"] or row.get("opened_at"))) for row in waiting]
            if keys != sorted(keys):
                self.disorder.append(f"the list has {' '.join(str(row['id']) for row in waiting)}")
            mine = [row for row in waiting if row.get("owner") in (None, self.habits.name) and not self._is_left_alone(str(row["id"]))]
            if not mine:
                return
            incident = str(mine[0]["id"])
            await asyncio.sleep(self._random.uniform(*self.habits.act_after))
            if mine[0].get("state") == "raised" and await self._command(incident, "acknowledge", {}):
                self.counts.acknowledged += 1
            ref = await self._caller_of(incident)
            if ref and await self._command(incident, "dial", {"contact": ref}, done=202):
                await self._talked(incident)
            if await self._command(incident, "call_back", {}):
                self.counts.called_back += 1
                self.called_back[incident] = str(mine[0].get("caller") or "")
                if len(self.called_back) > MAX_ROWS:
                    self.called_back.popitem(last=False)

    def _is_left_alone(self, incident: str) -> bool:
        """Does the machine climb its ladder, and nobody has taken it yet?"""
        row = self.rows.get(incident, {})
        return self.habits.lets_climb > 0 and row.get("kind") == "missed_checkin" and row.get("state") == "raised"

    async def _caller_of(self, incident: str) -> str:
        """Under which reference the caller can be rung, "" when nobody knows: their number may be the person's own."""
        detail = await self.detail(incident) or {}
        numbers = {str(one["ref"]): one["phone"] for one in detail.get("dial", ())}
        caller = (detail.get("incident") or {}).get("caller")
        return "caller" if "caller" in numbers else next((ref for ref, phone in numbers.items() if phone == caller), "")

    async def _talked(self, incident: str) -> None:
        """Until the timeline tells what came of the newest dial; who does not answer is not waited for longer than RINGING_S."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RINGING_S):
                while True:
                    timeline = (await self.detail(incident) or {}).get("timeline", ())
                    dials = [entry for entry in timeline if entry.get("kind") == "dial"]
                    if dials and (dials[-1].get("detail") or {}).get("outcome"):
                        return
                    await asyncio.sleep(POLL_S)

    async def open_steps(self, incident: str) -> list[str]:
        """Required steps of its action plan that nobody has ticked; none where they cannot be read."""
        assert self._client is not None
        with contextlib.suppress(httpx.HTTPError, ValueError, KeyError, TypeError):
            plan = (await self._client.get(f"/api/v1/incidents/{incident}")).json()["plan"]
            return [str(step["id"]) for step in plan if step["required"] and not step["done"]]
        return []

    async def _command(self, incident: str, action: str, body: dict[str, object], done: int = 200) -> bool:
        """POST one command; a refusal is counted by its reason, never raised."""
        assert self._client is not None
        try:
            answer = await self._client.post(f"/api/v1/incidents/{incident}/{action}", json=body, headers=self._headers())
        except httpx.HTTPError:
            self.counts.unreachable += 1
            return False
        if answer.status_code == done:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self._note_row(answer.json()["incident"])
            return True
        reason = "unreadable"
        with contextlib.suppress(ValueError, AttributeError):
            reason = str(answer.json().get("reason", answer.status_code))
        if reason in ("csrf", "not_on_duty"):
            self.on_duty.clear()  # the session is over: begin anew
        label = f"{action}:{reason}"
        self.counts.refused[label] = self.counts.refused.get(label, 0) + 1
        return False
