"""The supervisor: growing pauses with jitter, edges told once, our bugs never stop the house."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from waiting import wait_until

from drivers.contract import STORED, Emit, Rejected, Report, Verdict
from drivers.supervisor import FIRST_PAUSE_S, JITTER, LONGEST_PAUSE_S, MAX_NOTICES, LineState, LineStatus, keep_running
from gateway.errors import LineError
from gateway.event import Event


class FakeClock:
    """Time passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def utc_now(self) -> datetime:
        return datetime(2026, 3, 14, tzinfo=UTC) + timedelta(seconds=self.now)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class PlayedLine:
    """A line whose runs are played from a list; after the last it stays up."""

    name, codec_name, mandatory = "played", "none", True

    def __init__(self, *runs: Callable[[Report], None]) -> None:
        self._runs = list(runs)
        self.cancelled = False

    async def run(self, emit: Emit, report: Report) -> None:
        if self._runs:
            self._runs.pop(0)(report)
            return
        report.live()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


def fails(error: Exception) -> Callable[[Report], None]:
    def run(report: Report) -> None:
        raise error

    return run


def drops(clock: FakeClock, after_s: float) -> Callable[[Report], None]:
    def run(report: Report) -> None:
        report.live()
        report.heard()
        clock.now += after_s
        raise LineError("cable out")

    return run


class Told:
    def __init__(self, *verdicts: Verdict) -> None:
        self.events: list[Event] = []
        self._verdicts = list(verdicts)

    async def emit(self, events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        verdict = self._verdicts.pop(0) if self._verdicts else STORED
        if verdict.kept:
            self.events += [event for event in events if isinstance(event, Event)]
        return [verdict] * len(events)

    @property
    def kinds(self) -> list[str]:
        return [str(event.kind) for event in self.events]


async def supervise(line: PlayedLine, told: Told, clock: FakeClock, until: Callable[[], object]) -> LineStatus:
    status = LineStatus(line.name)
    task = asyncio.create_task(keep_running(line, told.emit, status, clock, clock.sleep))
    await wait_until(until)
    seen = LineStatus(**{name: getattr(status, name) for name in status.__slots__})
    task.cancel()
    assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
    return seen


async def test_pauses_double_to_the_longest_with_jitter_and_are_the_same_each_time() -> None:
    played = []
    for _ in range(2):
        clock, told = FakeClock(), Told()
        await supervise(PlayedLine(*[fails(LineError("no such port"))] * 9), told, clock, lambda told=told: told.kinds[-1:] == ["gap"])
        played.append(clock.pauses)
        assert told.kinds == ["line_lost", "line_restored", "gap"], "one edge, however often it is tried"
    assert played[0] == played[1]
    for pause, plain in zip(played[0], (0.5, 1, 2, 4, 8, 16, 30, 30, 30), strict=True):
        assert plain * (1 - JITTER) <= pause <= plain * (1 + JITTER)
    assert FIRST_PAUSE_S == 0.5
    assert LONGEST_PAUSE_S == 30


async def test_a_line_that_was_steady_starts_again_with_the_first_pause() -> None:
    clock, told = FakeClock(), Told()
    fault = fails(LineError("x"))
    await supervise(PlayedLine(fault, fault, fault, drops(clock, 60.0)), told, clock, lambda: told.kinds.count("gap") == 2)
    assert clock.pauses[3] < 1


async def test_edges_say_what_was_missed() -> None:
    clock, told = FakeClock(), Told()
    status = await supervise(PlayedLine(drops(clock, 10.0)), told, clock, lambda: len(told.events) == 3)
    lost, restored, gap = told.events
    assert lost.detail == {"reason": "cable out", "silent_s": 10.0, "mandatory": True}
    assert (lost.line, lost.device) == ("played", None)
    assert restored.detail == {"silent_s": round(10.0 + clock.pauses[0], 3)}
    assert gap.detail["from"] == "2026-03-14T00:00:00+00:00"
    assert (status.state, status.restarts, status.mandatory) == (LineState.LIVE, 1, True)


async def test_a_first_start_without_trouble_tells_nothing() -> None:
    line, told, clock = PlayedLine(), Told(), FakeClock()
    status = LineStatus("played")
    task = asyncio.create_task(keep_running(line, told.emit, status, clock, clock.sleep))
    await wait_until(lambda: status.is_live)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert told.events == []
    assert line.cancelled


async def test_a_line_still_lost_after_a_restart_is_logged_once_and_again_when_the_reason_changes() -> None:
    clock, told = FakeClock(), Told()
    wrong = fails(LineError("login refused; correct secret_file"))
    line = PlayedLine(wrong, wrong, fails(LineError("cannot connect; start the exchange")), wrong)
    status = LineStatus("played", lost_since=clock.utc_now())  # it was lost when the gateway last stopped
    with structlog.testing.capture_logs() as logged:
        task = asyncio.create_task(keep_running(line, told.emit, status, clock, clock.sleep))
        await wait_until(lambda: told.kinds[-1:] == ["gap"])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    still = [(entry["log_level"], entry["reason"]) for entry in logged if entry["event"] == "line_still_lost"]
    assert still == [
        ("warning", "login refused; correct secret_file"),
        ("warning", "cannot connect; start the exchange"),
        ("warning", "login refused; correct secret_file"),
    ]
    assert told.kinds == ["line_restored", "gap"], "no second loss in the journal"
    assert [entry["event"] for entry in logged if entry["event"] == "line_lost"] == []


async def test_suspect_then_lost_is_one_edge_and_heard_ends_it() -> None:
    clock, told = FakeClock(), Told()

    def goes_quiet(report: Report) -> None:
        report.live()
        report.suspect("silent for 60 s")
        report.suspect("silent for 60 s")
        report.heard()
        report.suspect("silent for 60 s")
        raise LineError("cable out")

    await supervise(PlayedLine(goes_quiet), told, clock, lambda: len(told.events) == 6)
    assert told.kinds == ["line_lost", "line_restored", "gap"] * 2


async def test_our_bugs_and_lines_that_end_are_restarted() -> None:
    clock, told = FakeClock(), Told()
    group = ExceptionGroup("two", [LineError("a"), ExceptionGroup("inner", [LineError("b")])])
    runs = [fails(ZeroDivisionError()), lambda report: None, fails(group)]
    await supervise(PlayedLine(*runs), told, clock, lambda: told.kinds == ["line_lost", "line_restored", "gap"])
    assert told.events[0].detail["reason"] == "internal error (ZeroDivisionError)"
    assert len(clock.pauses) == 3


async def test_notices_survive_a_store_that_is_down() -> None:
    clock = FakeClock()
    told = Told(*[Verdict("refused", "store_down", retry=True)] * 5)
    await supervise(PlayedLine(drops(clock, 1.0)), told, clock, lambda: len(told.events) == 3)
    assert told.kinds == ["line_lost", "line_restored", "gap"]


async def test_notices_are_bounded() -> None:
    clock = FakeClock()
    told = Told(*[Verdict("refused", "busy", retry=True)] * 1000)
    status = await supervise(PlayedLine(*[drops(clock, 1.0)] * 50), told, clock, lambda: told.kinds[-1:] == ["gap"])
    assert status.notices_dropped + len(told.events) == 150
    assert len(told.events) <= MAX_NOTICES + 1
