"""Runs the points in turn, keeps what came of them, and tells the edges: two misses in a row, and that it works again.

Misses raise an incident on books of our own (kind `self_test_missed`), which ends by itself; and the auditor withholds the heartbeat meanwhile.
Only edges and one summary a day are journalled (docs/decisions/0029).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from drivers.contract import Emit, Rejected, Verdict
from gateway.clock import monotonic, utc_now
from gateway.config import Config
from gateway.core.incident import Flag, Incident
from gateway.core.self_test import LINE, is_press, row_of, told_lines
from gateway.core.state import Seen
from gateway.dispatch.contract import Channel
from gateway.errors import GatewayError, Refused
from gateway.event import Event, Kind, Phase
from gateway.metrics import MACHINE
from gateway.self_test.points import PATH, PRESS, WIRE, Point, points_of
from gateway.self_test.result import LINE_DOWN, NOT_COMMITTED, NOT_MARKED, STAGES, History, Result
from gateway.self_test.trial import Far, Trial

LEAST_STALLED_S = 30.0  # a busy machine may be late with a probe of every few seconds
log = structlog.get_logger("self_test")

GATEWAY = "gateway"
CHINA = timezone(timedelta(hours=8))  # one zone since 1949, no summer time since 1991; days are local ones
IsTest = Callable[[str, str], Awaitable[bool]]
"""Would what this device says on this line be a test, and nobody's cry? Whoever asks bounds the time."""
LOOK_S = 5.0  # at presses, at a new day, and at what could not be told
AT_ONCE = 16  # asked for by hand, in one go: more than a house has lines


class LineState(Protocol):
    """As much of a line's status as a path needs."""

    @property
    def is_live(self) -> bool: ...

    @property
    def reason(self) -> str: ...


class Remembered(Protocol):
    """The last signs of life, by row."""

    @property
    def seen(self) -> Mapping[str, Seen]: ...


class Note(Protocol):
    """Journals a fact that concerns no incident."""

    def __call__(self, kind: Kind, actor: str, **facts: object) -> Awaitable[None]: ...


class _Place:
    """One point, and what is known of it."""

    def __init__(self, point: Point) -> None:
        self.point = point
        self.history = History()
        self.lock = asyncio.Lock()
        self.trial: Trial | None = None
        self.is_told = False
        self.is_shut = False  # its test device is a person's: nothing is sent any more
        self.pressed_at: datetime | None = None
        self.waits_since: datetime | None = None  # the last press, else when we began to wait for one
        self.number = int(utc_now().timestamp()) % 1_000_000  # not again from 1 after a restart: a panel's memory would take it for a repeat


def _is_stalled(place: "_Place", misses: int) -> bool:
    """It was seen back, and then no result came at all, good or bad: the last one says nothing any more."""
    added, point = place.history.added, place.point
    return added is not None and monotonic() - added > max(point.every_s, LEAST_STALLED_S) * (misses + 2) + point.within_s


class SelfTest:
    """`around` stands between lines and pipeline; `run` beside the alarms; console and command ask `view` and `at_once`."""

    def __init__(
        self,
        config: Config,
        working: Remembered,
        lines: Mapping[str, LineState],
        channels: Callable[[], dict[str, Channel]],
        receive: Emit,
        note: Note,
        registry: CollectorRegistry,
        far: Far | None = None,
        is_test: IsTest | None = None,
    ) -> None:
        """far: of an edge, whose pipeline is elsewhere."""
        self._config = config
        self._far = far
        self._is_test = is_test
        self._working = working
        self._lines = lines
        self._channels = channels
        self._receive = receive
        self._note = note
        self._places = {point.name: _Place(point) for point in points_of(config)}
        self._gone: set[str] = set()  # points whose incident is open and that the configuration does not name any more
        self._day = ""
        labels = ["point", "line"]
        self._seconds = Histogram(
            "gateway_self_test_seconds",
            "From the first byte of a synthetic alarm until it was seen back, by stage",
            [*labels, "stage"],
            buckets=MACHINE,
            registry=registry,
        )
        self._missed = Counter(
            "gateway_self_test_missed", "Synthetic alarms that were not seen back, by what was missing", [*labels, "reason"], registry=registry
        )
        self._up = Gauge("gateway_self_test_up", "1 if the last synthetic alarm of a point was seen back", labels, registry=registry)

    # --- between line and pipeline -----------------------------------------------------------------------------------

    def around(self, line: str, emit: Emit) -> Emit:
        """The same, seeing what the test devices of this line say; `emit` itself where there are none."""
        places = {one.point.device: one for one in self._places.values() if one.point.line.name == line and one.point.mark is not None}
        if not places:
            return emit

        async def seeing(events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
            mine = [(index, places[event.device]) for index, event in enumerate(events) if event.device in places]
            if not mine:
                return await emit(events)
            trials = [(index, place.trial) for index, place in mine if place.trial is not None and place.trial.is_mine(events[index])]
            for _, trial in trials:
                trial.read()
            verdicts = await emit(events)
            for index, trial in trials:
                trial.taken(events[index], verdicts[index])
            for index, place in mine:
                self._maybe_pressed(place, events[index], verdicts[index])
            return verdicts

        return seeing

    def _maybe_pressed(self, place: _Place, event: Event | Rejected, verdict: Verdict) -> None:
        if place.point.how == PRESS and isinstance(event, Event) and verdict.outcome == "stored" and is_press(event):
            place.pressed_at = place.waits_since = event.received_at
            log.info("test_press", point=place.point.name)

    # --- beside the alarms -------------------------------------------------------------------------------------------

    def restore(self, incidents: Iterable[Incident]) -> None:
        """Open incidents of ours go on; a point of them that exists counts as missed until it is seen back."""
        told = told_lines(one.line for one in incidents if one.is_open and Flag.ENDED not in one.flags)
        self._gone = {name for name in told if name not in self._places or self._places[name].point.how == PATH}
        self.resume(told)

    def resume(self, told: Iterable[str]) -> None:
        """Points that exist, and of which misses were told before the start; since when devices that people press were not pressed."""
        for name in told:
            place = self._places.get(name)
            if place is not None and place.point.how != PATH:
                place.is_told = True
                place.history.in_a_row = self._config.self_test.misses if place.point.how == WIRE else 0
        for place in self._places.values():
            if place.point.how == PRESS:
                seen: Seen | None = self._working.seen.get(row_of(place.point.line.name, place.point.device))
                place.waits_since = seen.at if seen is not None else None
                place.pressed_at = seen.at if seen is not None and not seen.edges else None

    async def run(self, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        """Until cancelled. The points take their turns spread over the interval, so that no two of twenty lines are tested in one moment."""
        self._day = _day(utc_now())
        tested = [one for one in self._places.values() if one.point.how != PRESS] if self._config.self_test.enabled else []
        async with asyncio.TaskGroup() as group:
            for index, place in enumerate(tested, 1):
                group.create_task(self._again_and_again(place, place.point.every_s * index / len(tested), sleep))
            group.create_task(self._look_again_and_again(sleep))

    async def _again_and_again(self, place: _Place, first_s: float, sleep: Callable[[float], Awaitable[object]]) -> None:
        await sleep(first_s)
        while True:
            began = monotonic()
            await self.once(place.point.name)
            await sleep(max(0.0, place.point.every_s - (monotonic() - began)))

    async def _look_again_and_again(self, sleep: Callable[[float], Awaitable[object]]) -> None:
        while True:
            await self.look(utc_now())
            await sleep(LOOK_S)

    async def once(self, name: str) -> Result:
        """One probe of one point, now. Never two of a point at a time."""
        place = self._places[name]
        async with place.lock:
            result = await self._try(place)
            self._keep(place, result)
            await self._tell(place)
            return result

    async def _try(self, place: _Place) -> Result:
        now, point = utc_now(), place.point
        if point.how == PATH:
            status = self._lines.get(point.line.name)
            is_live = status is not None and status.is_live
            return Result(at=now, missing="" if is_live else LINE_DOWN, detail="" if is_live or status is None else status.reason)
        if not place.is_shut and self._is_test is not None:  # before anything is sent: it would be a real cry
            try:
                async with asyncio.timeout(point.within_s):  # as long as it would have had to come through
                    is_test = await self._is_test(point.line.name, point.device)
            except TimeoutError:
                return Result(at=now, missing=NOT_COMMITTED, detail="its shard does not answer: nothing was sent")
            if not is_test:
                self._shut(place)
        if place.is_shut:
            return Result(at=now, missing=NOT_MARKED)
        place.number += 1
        place.trial = Trial(point, place.number, self._config, self._channels, self._far)
        try:
            result = await place.trial.run(now, self._config.folder)
        finally:
            place.trial = None
        if result.missing == NOT_MARKED:
            self._shut(place)
        return result

    def _shut(self, place: _Place) -> None:
        place.is_shut = True
        log.error("self_test_shut: the test device is a person's in the register; give the point another device", point=place.point.name)

    def _keep(self, place: _Place, result: Result) -> None:
        point = place.point
        labels = (point.name, point.line.name)
        place.history.add(result)
        self._up.labels(*labels).set(not result.missing)
        if result.missing:
            self._missed.labels(*labels, result.missing).inc()
            log.warning("self_test_missed", point=point.name, missing=result.missing, in_a_row=place.history.in_a_row, reason=result.detail)
        for stage in STAGES:
            if stage in result.stages:
                self._seconds.labels(*labels, stage).observe(result.stages[stage])

    async def end_gone(self, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        """End the incidents of points that are no more; done when all are."""
        while self._gone:
            await self._end_gone()
            await sleep(LOOK_S)

    async def _end_gone(self) -> None:
        for name in list(self._gone):
            if await self._say(name, Kind.SELF_TEST_MISSED, Phase.CLEAR, {"reason": "self_test_gone"}):
                self._gone.discard(name)

    async def look(self, now: datetime) -> None:
        """What is no probe's: presses that are overdue, edges that could not be told, and the summary of a day that is over."""
        await self._end_gone()
        for place in self._places.values():
            if place.point.how == PRESS:
                await self._tell_press(place, now)
            elif place.history.last is not None:
                await self._tell(place)
        if self._day and _day(now) != self._day:
            await self._summary(now)

    # --- the edges ---------------------------------------------------------------------------------------------------

    async def _tell(self, place: _Place) -> None:
        """A path tells nothing: the loss of its line is an incident already."""
        point, history = place.point, place.history
        if point.how != WIRE or history.last is None:
            return
        if history.in_a_row >= self._config.self_test.misses and not place.is_told:
            facts = self._facts(point) | {"reason": f"self_test_{history.last.missing}", "misses": history.in_a_row}
            place.is_told = await self._say(point.name, Kind.SELF_TEST_MISSED, Phase.RAISE, facts)
        elif not history.in_a_row and place.is_told:
            facts = self._facts(point) | {"seconds": round(history.last.seconds or 0.0, 3)}
            place.is_told = not await self._say(point.name, Kind.SELF_TEST_MISSED, Phase.CLEAR, facts)

    async def _tell_press(self, place: _Place, now: datetime) -> None:
        point = place.point
        is_due = place.waits_since is not None and now - place.waits_since > timedelta(days=point.asked.press_every_days)
        if is_due == place.is_told or place.waits_since is None:
            return
        facts = self._facts(point) | {"reason": "press_overdue", "since": place.waits_since.isoformat(), "every_days": point.asked.press_every_days}
        if await self._say(point.name, Kind.PRESS_DUE, Phase.RAISE if is_due else Phase.CLEAR, facts):
            place.is_told = is_due

    def _facts(self, point: Point) -> dict[str, object]:
        facts: dict[str, object] = {"point": point.name, "probed": point.line.name, "mandatory": point.line.mandatory}
        if point.asked.sentinel:
            facts["sentinel"] = True
        if point.asked.place:
            facts["place"] = point.asked.place
        if point.asked.area:
            facts["area"] = point.asked.area
        return facts

    async def _say(self, name: str, kind: Kind, phase: Phase, detail: dict[str, object]) -> bool:
        now = utc_now()
        event = Event(kind=kind, phase=phase, line=f"{LINE}:{name}", received_at=now, occurred_at=now, detail=detail)
        (verdict,) = await self._receive([event])
        if verdict.kept:
            (log.error if phase is Phase.RAISE else log.info)(f"{kind.value}_{phase.value}", point=name, reason=detail.get("reason"))
        return verdict.kept

    async def _summary(self, now: datetime) -> None:
        """One entry a day, for all points."""
        day, self._day = self._day, _day(now)
        points = []
        for name, place in self._places.items():
            today, place.history.today = place.history.today, type(place.history.today)()
            if sum(today.values()):
                missed = {word: count for word, count in sorted(today.items()) if word}
                points.append({"point": name, "sent": sum(today.values()), "seen_back": today[""], "missed": missed})
        if points:
            with contextlib.suppress(GatewayError):  # the store is down: the day's figures are in the metrics
                await self._note(Kind.AUDIT, GATEWAY, self_test="day", day=day, points=points)

    # --- what is asked -----------------------------------------------------------------------------------------------

    def withholding(self) -> list[str]:
        """Points that keep the heartbeat from being given."""
        misses = self._config.self_test.misses
        return [
            name
            for name, one in self._places.items()
            if one.point.how == WIRE and one.point.asked.withhold and self._config.self_test.enabled
            if one.history.in_a_row >= misses or _is_stalled(one, misses)
        ]

    async def at_once(self, name: str = "", line: str = "") -> list[dict[str, object]]:
        """Probe this point, or all of a line, or all. Raises Refused unknown_point, unknown_line, nothing_to_test."""
        return [await self.probe(one) for one in self._wanted(name, line)]

    async def probe(self, point: Point) -> dict[str, object]:
        """One of our points, and its row then."""
        await self.once(point.name)
        return self._row(self._places[point.name])

    def _wanted(self, name: str, line: str) -> list[Point]:
        """As at_once raises."""
        if name and name not in self._places:
            raise Refused("unknown_point", 404)
        chosen = [one for one in self._places.values() if (not name or one.point.name == name) and (not line or one.point.line.name == line)]
        if line and not chosen:
            raise Refused("unknown_line", 404)
        wanted = [one.point for one in chosen if one.point.how != PRESS][:AT_ONCE]
        if not wanted:
            raise Refused("nothing_to_test", 409)
        return wanted

    def view(self) -> dict[str, Any] | None:
        """{state: off | waiting | good | missed | failing, at, every_s, misses, station, points: [row]}; None: there is nothing to test."""
        rows = self.rows()
        if not rows:
            return None
        config = self._config.self_test
        states = {str(row["state"]) for row in rows}
        if not config.enabled:
            state = "off"
        else:
            state = next((one for one in ("failing", "missed", "good") if one in states), "waiting")
        return {
            "state": state,
            "at": max((row["at"] for row in rows if row.get("at") is not None), default=None),
            "every_s": config.every_s,
            "misses": config.misses,
            "station": config.station or None,
            "points": rows,
        }

    def rows(self) -> list[dict[str, Any]]:
        """How each point is."""
        return [self._row(one) for one in self._places.values()]

    def _row(self, place: _Place) -> dict[str, Any]:
        point, history = place.point, place.history
        last = history.last
        row: dict[str, Any] = {
            "name": point.name,
            "line": point.line.name,
            "codec": point.line.codec,
            "how": point.how,
            "why": point.why,
            "sentinel": point.asked.sentinel,
            "place": point.asked.place,
            "area": point.asked.area,
            "state": self._state(place),
            "withholds": point.name in self.withholding(),
        }
        if point.how == PRESS:
            due = place.waits_since + timedelta(days=point.asked.press_every_days) if place.waits_since is not None else None
            return row | {"pressed_at": place.pressed_at, "due": due, "every_days": point.asked.press_every_days}
        return row | {
            "every_s": point.every_s,
            "within_s": point.within_s,
            "at": last.at if last is not None else None,
            "since": history.since,
            "missing": last.missing if last is not None else "",
            "detail": last.detail if last is not None else "",
            "stages": {stage: round(last.stages[stage], 6) for stage in STAGES if stage in last.stages} if last is not None else {},
            "seconds": last.seconds if last is not None else None,
            "p50": history.share(0.5),
            "p99": history.share(0.99),
            "sent": history.sent,
            "missed": sum(history.missed.values()),
            "in_a_row": history.in_a_row,
        }

    def _state(self, place: _Place) -> str:
        if place.point.how == PRESS:
            return "failing" if place.is_told else "good" if place.pressed_at is not None else "waiting"
        if place.history.last is None:
            return "failing" if place.is_told else "waiting"
        if not place.history.in_a_row:
            return "good"
        return "failing" if place.history.in_a_row >= self._config.self_test.misses else "missed"


def _day(now: datetime) -> str:
    return now.astimezone(CHINA).date().isoformat()
