"""Risk warnings beside the running gateway: looks once a minute at what it heard, and rules where a warning begins, grows worse or is over.

Of an alarm only its incident's id is noted, after the commit; all else is done here, later, the counting in a thread. What is counted is read from
the store at the start, what was warned stands there too; readings of batteries are in memory only and grow anew (their warnings stand meanwhile).
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from drivers.supervisor import LineStatus
from gateway.clock import utc_now
from gateway.config import Config
from gateway.core.duty import duty_of
from gateway.core.provider_matters import MACHINE
from gateway.core.register import ResponderKind
from gateway.core.risk import CASES_LIMIT, MONTH, Case, Scene, case_of
from gateway.core.risk_edges import RISK, USUAL, edges, gone, lifted, split, warned
from gateway.core.risk_rules import RULES
from gateway.core.risk_trends import Batteries, Habits
from gateway.core.standing import Ruling
from gateway.core.state import WorkingSet
from gateway.core.territory import Standing
from gateway.errors import GatewayError
from gateway.metrics import Metrics
from gateway.pipeline import Changes
from gateway.store.risk_cases import cases
from gateway.store.store import reason_of

log = structlog.get_logger("risks")

TURN = 100  # incidents, or last signs, looked at in one turn of the loop: half a millisecond
BATTERIES_EVERY = timedelta(hours=1)  # a battery falls in days
LEARNED_EVERY = timedelta(days=1)
LEARNED = f"{USUAL}:lines"
LOW_PCT = 20.0  # of a device without a class: as [[device_class]] has it
GOES = frozenset((ResponderKind.STATION, ResponderKind.CARE_CENTRE, ResponderKind.PROVIDER, ResponderKind.HEALTH_STATION))  # whose places count


class Judged(msgspec.Struct, frozen=True):
    """What comes of one look: what is to be ruled, and how many warnings wait to be seen, by rule."""

    rulings: list[Ruling]
    waiting: Counter[str]


class Risks:
    """Keeps looking until cancelled. `changed` is called after each commit."""

    def __init__(
        self,
        engine: Engine,
        working: Callable[[], WorkingSet],
        config: Callable[[], Config],
        lines: Mapping[str, LineStatus],
        metrics: Metrics,
        rule: Callable[[Ruling], Awaitable[Standing]],
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._engine = engine
        self._working = working
        self._config = config
        self._lines = lines
        self._metrics = metrics
        self._rule = rule
        self._cases: OrderedDict[str, Case] = OrderedDict()
        self._changed: set[str] = set()
        self._is_read = False
        self._batteries = Batteries()
        self._charges: dict[tuple[str | None, str], tuple[float, float, float | None]] = {}
        self._charged_at: datetime | None = None
        self._habits = Habits()
        text = "Risk warnings that nobody has looked at yet, by rule"
        self._gauge = Gauge("gateway_risk_warnings", text, ["risk"], registry=registry)

    def changed(self, changes: Changes) -> None:
        """In the loop after each commit: only notes what is to be looked at."""
        self._changed |= changes.incidents
        if len(self._changed) > CASES_LIMIT:  # a storm since the last look: the newest are read from the store
            self.forget()

    def forget(self) -> None:
        """Read everything anew at the next look, for instance because somebody was erased."""
        self._is_read = False
        self._changed.clear()

    async def run(self) -> None:
        """Never raises for a store that is down: the next look is soon."""
        while True:
            try:
                await self.look(utc_now())
            except (SQLAlchemyError, GatewayError) as error:
                why = reason_of(error) if isinstance(error, SQLAlchemyError) else str(error)
                log.warning("risks not looked at; trying again", reason=why)
            await asyncio.sleep(self._config().risk.look_s)

    async def look(self, now: datetime) -> None:
        """One look. Raises what the store raises."""
        if not self._config().risk.enabled:
            await self._write(Judged(list(lifted(dict(self._working().standings))), Counter()))
            return
        await self._follow(now)
        await self._read_batteries(now)
        self._hear_lines(now)
        scene = self._scene(now)
        await self._write(await asyncio.to_thread(self._judge, scene, dict(self._working().standings)))
        await self._keep_habits(now)

    async def _follow(self, now: datetime) -> None:
        """The cases as they are now."""
        if not self._is_read:
            self._is_read = True
            try:
                found = await asyncio.to_thread(lambda: list(cases(self._engine, now - MONTH, CASES_LIMIT)))
            except SQLAlchemyError:
                self._is_read = False
                raise
            self._cases = OrderedDict((case.id, case) for case in reversed(found))
            learned = self._working().standings.get(LEARNED)
            if learned is not None:
                self._habits.restore(learned.detail, self._lines)
        changed, self._changed = list(self._changed), set()
        for start in range(0, len(changed), TURN):
            for name in sorted(changed[start : start + TURN]):
                incident = self._working().incidents.get(name)
                if incident is not None:
                    self._cases[name] = case_of(incident)
            await asyncio.sleep(0)
        while self._cases and (len(self._cases) > CASES_LIMIT or next(iter(self._cases.values())).opened_at < now - MONTH):
            self._cases.popitem(last=False)

    async def _read_batteries(self, now: datetime) -> None:
        """One reading an hour of each device that tells its battery."""
        if self._charged_at is not None and timedelta(0) <= now - self._charged_at < BATTERIES_EVERY:
            return
        self._charged_at = now
        charges: dict[tuple[str | None, str], tuple[float, float, float | None]] = {}
        names = list(self._working().seen)
        for start in range(0, len(names), TURN):
            working = self._working()
            for name in names[start : start + TURN]:
                seen = working.seen.get(name)
                line, _, address = name.partition("|")
                device = working.register.device(line, address) if seen is not None and seen.battery_pct is not None else None
                if device is None or seen is None or seen.battery_pct is None:
                    continue
                key = (device.line, device.id)
                self._batteries.note(key, seen.at, seen.battery_pct)
                one = working.supervision.of(device)
                low = one.rules.battery_low_pct if one is not None else LOW_PCT
                charges[key] = (seen.battery_pct, low, self._batteries.days_left(key))
            await asyncio.sleep(0)
        self._charges = charges

    def _hear_lines(self, now: datetime) -> None:
        books = {one.line: one.heard for one in self._metrics.all_books}
        self._habits.note({name: books.get(name, 0) for name, status in self._lines.items() if status.is_live}, now)

    def _scene(self, now: datetime) -> Scene:
        working = self._working()
        register = working.register
        going = (register.responders.get(name) for name, load in working.load.items() if load)
        places = {one.id: duty_of(register, one, now).capacity for one in going if one is not None and one.kind in GOES}
        silences = ((name, self._habits.silence(name, now)) for name, status in self._lines.items() if status.is_live)
        oldest = next(iter(self._cases.values()), None)
        return Scene(
            now=now,
            config=self._config().risk,
            register=register,
            cases=tuple(self._cases.values()),
            covers=now - oldest.opened_at if oldest is not None else timedelta(0),
            places=places,
            batteries=self._charges,
            silences={name: silence for name, silence in silences if silence is not None},
        )

    def _judge(self, scene: Scene, standings: Mapping[str, Standing]) -> Judged:
        """In a thread: every rule over all cases, 0.2 s for 40,000 of them."""
        mine = {key: one for key, one in standings.items() if key.startswith((f"{RISK}:", "risk_seen:"))}
        rulings = list(gone(mine, scene.register, self._lines))
        lost = {ruling.key for ruling in rulings}
        for rule in RULES:
            rulings += (ruling for ruling in edges(rule, rule.measure(scene), mine) if ruling.key not in lost)
        return Judged(rulings, Counter(one.rule.name for one in warned(mine) if not one.seen_by))

    async def _write(self, judged: Judged) -> None:
        waiting = judged.waiting
        for ruling in judged.rulings:
            await self._rule(ruling)
            _, rule, _ = split(ruling.key)  # of whom it is stays out of the log
            log.info("risk_warning" if ruling.value else "risk_over", rule=rule, reason=ruling.reason)
        if judged.rulings:
            waiting = Counter(one.rule.name for one in warned(self._working().standings) if not one.seen_by)
        for known in RULES:
            self._gauge.labels(known.name).set(waiting[known.name])

    async def _keep_habits(self, now: datetime) -> None:
        """Once a day, so that a restart does not forget what is usual."""
        last = self._working().standings.get(LEARNED)
        if self._habits.learned and (last is None or now - last.at >= LEARNED_EVERY):
            await self._rule(Ruling(key=LEARNED, value="learned", actor=MACHINE, detail=dict(self._habits.learned)))
