"""Plays a scenario against any gateway: builds the witnesses, performs the steps, judges the expectations, writes the report."""

import asyncio
import contextlib
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

from simulators.district import CALLS, FILED, District, Member, read_district
from simulators.expectations import Pending, World, judge
from simulators.faults import play_fault
from simulators.filing import file_matter, ruling_of, said
from simulators.neighbourhood import CRIES
from simulators.pbx import LOST, Outcome, PlacedCall
from simulators.plan import Plan, Step, make_plan
from simulators.report import Judged, Report, summary_of
from simulators.scenario import Behaves, Fault, Rule, Scenario
from simulators.stations import Behaviour, Order
from simulators.witnesses import BUTTON_PORT, PANEL_PORT, MissingTarget, Targets, build_witnesses, check_targets, wait_until

SETTLE_S = 10.0  # at the end: receipts still on their way, books still being written
TICK_S = 0.2
ON_THE_WIRE_S = 0.05  # a cry takes the way over the broker: a request filed within it may be with the gateway first
MAX_JUDGED = 10_000  # expectations kept for the report; failures are never the ones dropped
BY_HAND = frozenset({"help"})  # an operator orders these: their time is a person's, not the machine's


async def run_scenario(
    scenario: Scenario,
    targets: Targets,
    on_progress: Callable[[dict[str, Any]], None] | None = None,
    *,
    seed: int | None = None,
    seconds: float | None = None,
    stop: asyncio.Event | None = None,
) -> Report:
    """Play it and report. `seconds`: be finished by then; None and an endless scenario: until `stop` is set.

    Raises MissingTarget before anything is sent when a needed target is not given. Cancelling ends all witnesses.
    """
    check_targets(scenario, targets)
    return await _Run(scenario, targets, on_progress, scenario.seed if seed is None else seed, seconds, stop or asyncio.Event()).play()


class _Run:
    """One run; made once, played once."""

    def __init__(
        self,
        scenario: Scenario,
        targets: Targets,
        on_progress: Callable[[dict[str, Any]], None] | None,
        seed: int,
        seconds: float | None,
        stop: asyncio.Event,
    ) -> None:
        self.scenario = scenario
        self.targets = targets
        self.on_progress = on_progress
        self.seed = seed
        self.seconds = seconds
        self.stop = stop
        self.district: District = read_district(targets.district)
        self.seen = build_witnesses(scenario, targets, self.district, seed, self._behave)
        self.world = World(self.seen.stations, self.seen.operator, self.district.parents, self.district.kinds, self.district.areas, self.seen.rung)
        self.pending: list[Pending] = []
        self.judged: deque[Pending] = deque()
        self.parts: dict[str, set[str]] = {}
        self.latencies: dict[str, deque[float]] = {}
        self.notes: list[str] = []
        self.surprises: list[str] = []
        self.began = time.monotonic()
        self.began_ms = 0

    async def play(self) -> Report:
        seen = self.seen
        for terminal in seen.terminals():
            terminal.plug()
        async with contextlib.AsyncExitStack() as stack:
            if seen.pbx is not None:
                await stack.enter_async_context(seen.pbx)
            if seen.municipal is not None and self.targets.municipal is not None:
                await seen.municipal.start("127.0.0.1", self.targets.municipal[0])
                stack.push_async_callback(seen.municipal.stop)
            if seen.homes is not None:
                await stack.enter_async_context(seen.homes)
            background = [asyncio.create_task(part.run()) for part in seen.running()]
            background.append(asyncio.create_task(self._tell()))
            drama = asyncio.create_task(self._drama())
            try:
                done, _ = await asyncio.wait([drama, *background], return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()  # a witness that stops by itself is a fault of ours: say so
                return self._report()
            finally:
                tasks = [drama, *background, *seen.calls]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                if seen.stations is not None:
                    await seen.stations.link.forget_session()
                for terminal in seen.terminals():
                    terminal.unplug()

    async def _drama(self) -> None:
        missing = await self.seen.wait_until_ready(self.targets.console, self.targets.ready_s)
        if missing:
            self.notes.append(f"not ready after {self.targets.ready_s:g} s: " + ", ".join(missing))
        if self.seen.receiver is not None:
            self.seen.receiver.greet()
        self.began = time.monotonic()
        self.began_ms = time.time_ns() // 1_000_000
        nominal = self.scenario.seconds
        endless = self.scenario.endless and self.seconds is None
        turns = max(1, int(self.seconds // nominal)) if self.scenario.endless and self.seconds else 1
        scale = (self.seconds or nominal) / nominal / turns
        used: dict[int, None] = {}
        turn = 0
        while not self.stop.is_set() and (endless or turn < turns):
            plan = make_plan(self.scenario, self.district, seed=self.seed, turn=turn, scale=scale, used=used)
            self.parts = {name: {device for member in members for device in devices_of(member)} for name, members in plan.parts.items()}
            last = not endless and turn == turns - 1
            await self._turn(plan, turn, nominal * scale, scale, last=last)
            turn += 1
        await self._settle()

    async def _turn(self, plan: Plan, turn: int, length: float, scale: float, *, last: bool) -> None:
        """Perform the steps of one turn and wait for its end; the last turn ends as soon as everything is judged."""
        start = self.began + turn * length
        faults = [asyncio.create_task(self._fault(fault, start, length, scale)) for fault in self.scenario.fault]
        rulings = [asyncio.create_task(self._rule(rule, start + rule.at * scale)) for rule in self.scenario.rule]
        try:
            awaited = max((number for number, step in enumerate(plan.steps) if step.do.expect), default=-1)
            early = last and self.seconds is None  # the run has no length of its own: it ends when everything is judged
            for number, step in enumerate(plan.steps):
                if await self._pause_until(start + step.at):
                    return
                if early and number > awaited and self._is_over(faults):
                    return
                self._perform(step)
            while time.monotonic() < start + length or (early and self.pending):
                if self.stop.is_set() or (last and self._is_over(faults)):
                    return
                await asyncio.sleep(TICK_S)
        finally:
            for task in (*faults, *rulings):
                task.cancel()
            for outcome in await asyncio.gather(*faults, *rulings, return_exceptions=True):
                if isinstance(outcome, Exception):
                    raise outcome

    def _is_over(self, faults: list[asyncio.Task[None]]) -> bool:
        """Nothing is waited for any more, and whatever was to go wrong for a time is right again."""
        return not self.pending and all(task.done() for task, fault in zip(faults, self.scenario.fault, strict=True) if fault.lasts)

    async def _fault(self, fault: Fault, start: float, length: float, scale: float) -> None:
        note = await play_fault(fault, self.seen, self.targets, self._pause_until, start=start, end=start + length, scale=scale)
        if note:
            self.notes.append(note)

    async def _rule(self, rule: Rule, at: float) -> None:
        """A supervisor rules; that it was done, or refused as it must be, is an expectation of its own."""
        if self.seen.operator is None or await self._pause_until(at):
            return
        _, refused = await self.seen.operator.ask(*ruling_of(rule.matter, rule.subject, rule.value, rule.reason))
        what = f"{rule.matter} {rule.subject} {rule.value or '-'}"
        self._whole(f"ruled: {what}", refused == rule.refused, f"{what}: {refused or 'done'}, not {rule.refused or 'done'}")

    async def _pause_until(self, at: float) -> bool:
        """Wait for a moment; True when the run is to stop instead."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, at - time.monotonic())):
                await self.stop.wait()
        return self.stop.is_set()

    # ---- steps ----------------------------------------------------------------------------------

    def _perform(self, step: Step) -> None:
        """Do one thing now and begin to expect what must come of it."""
        do, member, seen = step.do, step.member, self.seen
        now_ms = time.time_ns() // 1_000_000
        if do.via == "wearable" and seen.fleet is not None:
            chance = random.Random(f"{self.seed}:{step.label}")
            place = self.district.middles.get(step.stays) or (member.lat, member.lon)
            located = place[0] is not None and place[1] is not None and (do.what != "heartbeat" or bool(step.stays))
            lat, lon = (around(place[0] or 0, chance), around(place[1] or 0, chance)) if located else (None, None)
            battery = float(chance.randint(4, 12) if do.what == "low_battery" else chance.randint(30, 100))
            message = seen.fleet.send(
                member.wearable, do.what, battery=battery, phase=do.phase or None, lost=do.lost, copies=do.copies, lat=lat, lon=lon
            )
            lacks = seen.neighbourhood.untold(member.watch) if do.expect == "ladder" and seen.neighbourhood is not None else lambda: ""
            self._expect(step, member.wearable, message.ts, exact=True, sent_at=lambda: message.sent, lacks=lacks)
        elif do.via == "panel" and seen.panel is not None:
            room = f"Room {member.panel}"
            call = seen.panel.press(
                member.panel,
                f"{room} call",
                call_type="3" if do.what == "call" else "1",
                priority="1" if do.what == "call" else "3",
                again=do.copies > 1,
            )
            self._expect(step, member.panel, call.pressed_at, exact=False, sent_at=lambda: call.first_sent)
        elif do.via == "button" and seen.receiver is not None:
            self._keep(seen.receiver.press(member.button))
            self._expect(step, member.button, now_ms, exact=False)
        elif do.via == "home_unit" and seen.homes is not None:
            pressed = seen.homes.press(member.home_unit, do.what, do.talk if do.voice else 0)
            self._keep(seen.homes.play(pressed))
            self._expect(step, member.home_unit, now_ms, exact=False, lacks=pressed.lacks)
        elif do.via in CRIES and seen.neighbourhood is not None:
            device = str(getattr(member, do.via))
            lacks = seen.neighbourhood.untold(device) if do.expect == "told" else lambda: ""
            named = seen.neighbourhood.act(do.via, device, do.what)
            self._expect(step, named, now_ms, exact=False, lacks=lacks)
        elif do.via in CALLS and seen.pbx is not None:
            display = member.name if do.gbk_name else ""
            number = member.phone if do.via == "phone" else member.contact
            self._keep(seen.pbx.call(step.label, number, Outcome(do.what), called=do.called, ring_s=do.ring, talk_s=do.talk, display=display))
            self._expect(step, None, now_ms, exact=False)
        elif do.via in FILED and seen.operator is not None:
            self._keep(self._file_step(step, self._expect(step, None, now_ms, exact=False)))

    async def _file_step(self, step: Step, pending: Pending | None) -> None:
        """Ask for a service, file a matter as a platform, say something about somebody's newest incident; the answer is kept with the expectation."""
        do, member, operator = step.do, step.member, self.seen.operator
        assert operator is not None
        if do.via == "request":
            told, refused = await operator.ask("/api/v1/requests", {"person": member.person or "", "service": do.what, "wish": do.text})
            incident = str((told.get("request") or {}).get("id") or "")
        elif do.via == "platform":
            record = {
                "id": f"{self.scenario.seed}-{self.began_ms}-{step.number}",
                "kind": do.what,
                "person": {"register": member.person},
                "note": do.text,
            }
            incident, refused = await file_matter(self.targets.console or "", do.called, self.targets.platforms.get(do.called, b""), record)
        else:
            incident = next((order.incident for order in reversed(self.world.orders()) if order.device in member.devices), "")
            for word in await operator.open_steps(incident) if do.what == "resolve" else ():
                await operator.ask(f"/api/v1/incidents/{incident}/step", {"step": word})
            _, refused = await operator.ask(f"/api/v1/incidents/{incident}/{do.what}", said(do.what, do.text))
        if pending is not None:
            pending.incident, pending.refused = incident, refused
        elif refused:
            self._whole(step.label, False, f"refused: {refused}")

    def _keep(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self.seen.calls.add(task)
        task.add_done_callback(self.seen.calls.discard)

    def _expect(
        self,
        step: Step,
        device: str | None,
        ts: int,
        *,
        exact: bool,
        sent_at: Callable[[], float | None] = lambda: None,
        lacks: Callable[[], str] = lambda: "",
    ) -> Pending | None:
        """Begin to expect what the step says; None: nothing."""
        if step.do.expect:
            now = time.monotonic()
            do = step.do
            within = do.within + (do.ring + do.talk if do.via in CALLS else do.talk if do.voice else 0)
            self.pending.append(
                Pending(
                    f"{step.label} {device or ''}".strip(),
                    do.expect,
                    do.via,
                    do.what,
                    step.member,
                    device,
                    ts,
                    exact,
                    now,
                    now + within,
                    do.within,
                    sent_at=sent_at,
                    lacks=lacks,
                    see=do.see,
                    wanted=do.reason,
                )
            )
            return self.pending[-1]
        return None

    def _behave(self, order: Order, before: int) -> Behaviour:
        """The first entry of the scenario that fits the order."""
        for entry in self.scenario.behaviour:
            if self._fits(entry, order, before):
                return Behaviour(entry.manner, entry.answer_after, entry.travel, entry.work)
        return Behaviour()

    def _fits(self, entry: Behaves, order: Order, before: int) -> bool:
        return (
            (not entry.who or order.device in self.parts.get(entry.who, ()) or order.person in self.parts.get(entry.who, ()))
            and (not entry.responder or entry.responder == order.responder)
            and (not entry.kind or entry.kind == self.district.kinds.get(order.responder))
            and (not entry.nth or entry.nth == before + 1)
            and (entry.share >= 1 or random.Random(f"share:{self.seed}:{order.responder}:{order.device}").random() < entry.share)
        )

    # ---- judging --------------------------------------------------------------------------------

    async def _tell(self) -> None:
        """Judge what is pending five times a second; tell the progress once a second."""
        next_word = time.monotonic()
        while True:
            await self._judge_all()
            if self.on_progress is not None and time.monotonic() >= next_word:
                next_word += 1.0
                self.on_progress(self.progress())
            await asyncio.sleep(TICK_S)

    async def _judge_all(self) -> None:
        for pending in list(self.pending):
            await judge(pending, self.world)
            if pending.state == "waiting" or pending not in self.pending:
                continue
            self.pending.remove(pending)
            self._file(pending)

    def _file(self, pending: Pending) -> None:
        self.judged.append(pending)
        if pending.latency_ms is not None:
            group = "by operator" if pending.via in CALLS or pending.what in BY_HAND else pending.via
            self.latencies.setdefault(group, deque(maxlen=MAX_JUDGED)).append(pending.latency_ms)
        if len(self.judged) > MAX_JUDGED:
            old = next((kept for kept in self.judged if kept.state != "failed"), self.judged[0])
            self.judged.remove(old)

    async def _settle(self) -> None:
        """The end: give receipts and books a moment, then call what is still open not due."""
        deadline = time.monotonic() + (0.0 if self.stop.is_set() else SETTLE_S)
        await wait_until(lambda: not self.seen.unconfirmed() and not self.seen.calls, deadline)
        await self._judge_all()
        for pending in self.pending:
            pending.state = "not_due"
            self._file(pending)
        self.pending.clear()
        await self._judge_whole(deadline)

    async def _judge_whole(self, deadline: float) -> None:
        """The expectations of the whole run."""
        expect, seen = self.scenario.expect, self.seen
        if expect.all_confirmed:
            late = self.seen.unconfirmed()
            self._whole("every message confirmed", not late, f"{len(late)} alarm(s) or call(s) without a receipt")
        if expect.no_surprises and seen.stations is not None:
            found = seen.surprises(self.district, self.began_ms)
            self._whole("no order that nobody asked for", not found, "; ".join(found[:5]))
        if expect.outages and seen.stations is not None:
            self._whole(
                "outage lived through", seen.stations.link.outages >= expect.outages, f"{seen.stations.link.outages} outage(s) of the broker seen"
            )
        if self.scenario.operator.calls_back and seen.operator is not None:
            wrong = seen.operator.disorder + (wrong_turns(seen.pbx.calls, list(seen.operator.called_back.values())) if seen.pbx is not None else [])
            self._whole("call-backs in order", not wrong, "; ".join(wrong[:5]))
        if expect.refused_blocks and seen.panel is not None:
            refused = sum(len(call.refusals) for call in seen.panel.calls)
            self._whole("damaged blocks refused", refused >= expect.refused_blocks, f"{refused} block(s) refused")
        if expect.alarms_first:
            behind = overtaken([*self.judged])
            self._whole("alarms before services", not behind, "; ".join(behind[:5]))
        for kind, least in expect.kinds.items():
            went = sum(self.district.kinds.get(order.responder) == kind for order in self.world.orders())
            self._whole(f"orders to {kind}", went >= least, f"{went} went there, not {least}")
        if expect.reconciled and seen.municipal is not None and not self.stop.is_set():  # who breaks off does not wait for the last report
            wrong_there = await self._unreported()
            while wrong_there and time.monotonic() < deadline:
                await asyncio.sleep(TICK_S)
                wrong_there = await self._unreported()
            self._whole("the city has everything", not wrong_there, wrong_there)
            if self.targets.reconcile is not None:
                differ = await self._differ()
                while differ and time.monotonic() < deadline + SETTLE_S:  # something was reported while they counted
                    differ = await self._differ()
                self._whole("both sides count the same", not differ, differ)
        if expect.books_balanced and seen.operator is not None:
            unaccounted = await seen.operator.unaccounted()
            while unaccounted and time.monotonic() < deadline:
                await asyncio.sleep(TICK_S)
                unaccounted = await seen.operator.unaccounted()
            self._whole(
                "books balanced", unaccounted == 0, "gateway_unaccounted cannot be read" if unaccounted is None else f"{unaccounted:g} unaccounted"
            )

    async def _differ(self) -> str:
        """ "" = both sides count the same; else what the comparison said."""
        assert self.targets.reconcile is not None
        try:
            await self.targets.reconcile()
        except OSError as error:
            return str(error)
        return ""

    async def _unreported(self) -> str:
        """ "" = the municipal system has every report, gapless and once, of every incident that was ordered for, and nothing waits."""
        municipal, operator = self.seen.municipal, self.seen.operator
        assert municipal is not None
        sent = [sorted(copies) for copies in municipal.senders.values()]
        missing = {order.incident for order in self.world.orders()} - {str(report.get("incident")) for report in municipal.reports}
        waits = await operator.metric("gateway_upward_lag_entries") if operator is not None else None
        if missing or waits != 0:
            return f"{len(missing)} incident(s) that it never heard of; {waits} entries wait"
        if any(numbers != list(range(1, len(numbers) + 1)) for numbers in sent) or municipal.conflicts or municipal.unsigned:
            ends = [(len(numbers), *numbers[-1:]) for numbers in sent]
            return f"report(s) and the last number: {ends}; {len(municipal.conflicts)} conflict(s), {municipal.unsigned} unsigned"
        return ""

    def _whole(self, label: str, held: bool, reason: str) -> None:
        pending = Pending(label, "whole run", "", "", Member(None), None, 0, False, 0, 0, 0)
        pending.state, pending.reason = ("held", "") if held else ("failed", reason)
        self.judged.append(pending)

    # ---- telling --------------------------------------------------------------------------------

    def progress(self) -> dict[str, Any]:
        """Counters of this moment: one JSON object."""
        counts = {"waiting": len(self.pending), "held": 0, "failed": 0}
        for judged in self.judged:
            counts[judged.state] = counts.get(judged.state, 0) + 1
        return {
            "seconds": round(time.monotonic() - self.began, 1) if self.began_ms else 0.0,
            "ready": bool(self.began_ms),
            "sources": self.seen.sources(),
            "stations": self._stations(),
            "operator": self._operator(),
            "latency_ms": {group: summary_of(list(values)) for group, values in self.latencies.items()},
            "expectations": counts,
        }

    def _stations(self) -> dict[str, Any]:
        counts = self.seen.stations.counts if self.seen.stations is not None else None
        if counts is None:
            return {}
        rung = {"rung": len(self.seen.rung.rings), "keys": self.seen.rung.keys} if self.seen.rung is not None else {}
        return {name: getattr(counts, name) for name in counts.__slots__} | rung

    def _operator(self) -> dict[str, Any]:
        counts = self.seen.operator.counts if self.seen.operator is not None else None
        return {} if counts is None else {name: getattr(counts, name) for name in counts.__slots__}

    def _report(self) -> Report:
        return Report(
            self.scenario.name,
            self.seed,
            round(time.monotonic() - self.began, 1),
            self.seen.sources(),
            self._stations(),
            self._operator(),
            {group: summary_of(list(values)) for group, values in self.latencies.items()},
            [Judged(found.label, found.rule, found.state, found.reason, found.latency_ms) for found in self.judged],
            self.notes,
        )


def wrong_turns(calls: Sequence[PlacedCall], called_back: Sequence[str]) -> list[str]:
    """Of callers who rang once and in vain, those who were called back before somebody who had given up earlier. Labels only."""
    times = Counter(call.caller for call in calls)
    lost = [call for call in calls if call.outcome in LOST and call.finished and call.caller and times[call.caller] == 1]
    by_tail = {call.caller[-4:]: call.label for call in sorted(lost, key=lambda call: call.finished or 0)}
    turns = [by_tail[shown[-4:]] for shown in called_back if shown[-4:] in by_tail]
    right = [label for label in by_tail.values() if label in turns]
    return [f"{turn} was called back when it was {due}'s turn" for turn, due in zip(turns, right, strict=False) if turn != due]


def overtaken(judged: Sequence[Pending]) -> list[str]:
    """Alarms whose order came after that of an ordinary service which was filed later, by more than the way to the gateway takes."""
    services = [one for one in judged if one.via == "request" and one.arrived is not None]
    alarms = [one for one in judged if one.via not in ("", "request", "desk") and one.arrived is not None]
    return [
        f"{alarm.label} came after {service.label}"
        for alarm in alarms
        for service in services
        if service.sent > alarm.sent + ON_THE_WIRE_S and (service.arrived or 0) < (alarm.arrived or 0)
    ]


def devices_of(member: Member) -> set[str]:
    """All by which an order about this one can be known: its devices and, for calls, the person."""
    return {name for name in (*member.devices, member.person) if name}


def around(degrees: float, chance: random.Random) -> float:
    """Some metres from home: within about a hundred."""
    return round(degrees + chance.uniform(-0.001, 0.001), 6)


__all__ = ["BUTTON_PORT", "PANEL_PORT", "MissingTarget", "Targets", "check_targets", "run_scenario"]
