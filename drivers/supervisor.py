"""Keeps one line running: restarts it with growing pauses, and tells the edges (lost, restored) to log, journal and page."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import structlog

import gateway.clock
from drivers.contract import Emit, Line
from gateway.errors import LineError
from gateway.event import Event, Kind, Phase

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0  # an unplugged cable is noticed as replaced within half a minute
JITTER = 0.2  # of the pause, so that many lines to one host do not come back in step
STEADY_S = 30.0  # live so long: the next loss starts again with the first pause
NOTICE_PAUSE_S = 0.5  # before a notice that could not be stored is emitted again
BEGIN_S = 3.0  # a listening line stands at once, a broker in the same room answers within a second
LOOK_S = 0.02
MAX_NOTICES = 64  # edges waiting for the store: half an hour of a line that comes and goes at the longest pause

log = structlog.get_logger()


class LineState(StrEnum):
    CONNECTING = "connecting"
    LIVE = "live"
    SUSPECT = "suspect"
    LOST = "lost"


class Clock(Protocol):
    """The two questions that the supervisor asks of `gateway.clock`."""

    def utc_now(self) -> datetime: ...

    def monotonic(self) -> float: ...


@dataclass(slots=True)
class LineStatus:
    """What console, metrics and /readyz read about a line. Written by its supervisor only. Times are aware UTC."""

    name: str
    codec: str = ""
    mandatory: bool = False
    state: LineState = LineState.CONNECTING
    since: datetime | None = None
    last_heard: datetime | None = None
    reason: str = ""
    restarts: int = 0
    notices_dropped: int = 0
    lost_since: datetime | None = None  # set before the start: it was lost when the gateway last stopped, its return will be news
    on_change: Callable[["LineStatus"], None] | None = None

    @property
    def is_live(self) -> bool:
        return self.state is LineState.LIVE


async def keep_running(
    line: Line,
    emit: Emit,
    status: LineStatus,
    clock: Clock = gateway.clock,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    seed: str | None = None,
) -> None:
    """Run the line until cancelled. Cancelling loses only notices that are not stored yet.

    LineError means "try again". Any other exception is our bug: its traceback is logged, the line restarted all the same.
    """
    watch = _Watch(line, status, clock)
    notices = asyncio.create_task(watch.tell(emit, sleep), name=f"{line.name} notices")
    jitter = random.Random(seed if seed is not None else line.name)
    pause_s = FIRST_PAUSE_S
    try:
        while True:
            watch.connecting()
            try:
                await line.run(emit, watch)
                reason = "ended"
            except Exception as error:
                reason = _reason(error, line.name)
            if watch.lost(reason) >= STEADY_S:
                pause_s = FIRST_PAUSE_S
            await sleep(pause_s * (1 + JITTER * jitter.uniform(-1, 1)))
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            status.restarts += 1
    finally:
        notices.cancel()
        await asyncio.gather(notices, return_exceptions=True)


async def begun(lines: Collection[LineStatus], within_s: float = BEGIN_S, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
    """Returns when each line has stood or been lost for the first time; after `within_s` at the latest: a far end that is silent holds nobody up."""
    left = within_s
    while left > 0 and any(line.state is LineState.CONNECTING and not line.restarts for line in lines):
        await sleep(LOOK_S)
        left -= LOOK_S


def _reason(error: Exception, name: str) -> str:
    """The words for a loss; a bug of ours is logged with its traceback."""
    faults = [error]
    while any(isinstance(fault, ExceptionGroup) for fault in faults):
        faults = [inner for fault in faults for inner in (fault.exceptions if isinstance(fault, ExceptionGroup) else (fault,))]
    if all(isinstance(fault, LineError) for fault in faults):
        return "; ".join(str(fault) for fault in faults)
    log.error("line_bug", line=name, exc_info=error)
    return f"internal error ({type(error).__name__})"


class _Watch:
    """The report of one line, and the queue of its notices. Logs and tells the edge, not the level."""

    def __init__(self, line: Line, status: LineStatus, clock: Clock) -> None:
        self._name = line.name
        self._status = status
        self._clock = clock
        self._live_since: float | None = None
        self._quiet_since = status.lost_since  # set while the line counts as lost
        self._logged = ""  # the reason of the loss that the log has; none after a start, whatever was lost before it
        self._notices: deque[Event] = deque()
        self._something = asyncio.Event()
        status.codec = line.codec_name
        status.mandatory = line.mandatory
        self._enter(LineState.CONNECTING, "")

    def connecting(self) -> None:
        if self._status.state is not LineState.LOST:  # a lost line that tries again is still lost
            self._enter(LineState.CONNECTING, "")

    def live(self) -> None:
        if self._status.state is LineState.LIVE:
            return
        self._live_since = self._clock.monotonic()
        self._enter(LineState.LIVE, "")
        if self._quiet_since is None:
            return
        now, since, self._quiet_since, self._logged = self._clock.utc_now(), self._quiet_since, None, ""
        silent_s = round(max(0.0, (now - since).total_seconds()), 3)
        log.info("line_restored", line=self._name, silent_s=silent_s)
        self._notice(Kind.LINE_RESTORED, Phase.STATE, {"silent_s": silent_s})
        self._notice(Kind.GAP, Phase.STATE, {"from": since.isoformat(), "to": now.isoformat(), "silent_s": silent_s})

    def heard(self) -> None:
        self._status.last_heard = self._clock.utc_now()
        if self._status.state is LineState.SUSPECT:
            self.live()

    def suspect(self, reason: str) -> None:
        if self._status.state in (LineState.LIVE, LineState.CONNECTING):
            self._enter(LineState.SUSPECT, reason)
            self._tell_lost(reason)

    def lost(self, reason: str) -> float:
        """Gives how long the line had been live, in seconds."""
        live_s = 0.0 if self._live_since is None else self._clock.monotonic() - self._live_since
        self._live_since = None
        if self._status.state is LineState.LOST:
            self._status.reason = reason
        else:
            self._enter(LineState.LOST, reason)
        self._tell_lost(reason)
        return live_s

    async def tell(self, emit: Emit, sleep: Callable[[float], Awaitable[object]]) -> None:
        """Emit notices in order; one that cannot be stored is held and emitted again."""
        while True:
            while not self._notices:
                self._something.clear()
                await self._something.wait()
            notice = self._notices[0]
            try:
                [verdict] = await emit([notice])
                is_done = not verdict.retry
            except Exception as error:
                log.error("notice_not_emitted", line=self._name, exc_info=error)
                is_done = False
            if not is_done:
                await sleep(NOTICE_PAUSE_S)
            elif self._notices and self._notices[0] is notice:
                self._notices.popleft()

    def _tell_lost(self, reason: str) -> None:
        is_news, self._logged = reason != self._logged, reason
        if self._quiet_since is not None:
            if is_news:
                log.warning("line_still_lost", line=self._name, reason=reason, lost_since=self._quiet_since.isoformat())
            return
        now = self._clock.utc_now()
        self._quiet_since = self._status.last_heard or now
        silent_s = round(max(0.0, (now - self._quiet_since).total_seconds()), 3)
        log.warning("line_lost", line=self._name, reason=reason, silent_s=silent_s)
        self._notice(Kind.LINE_LOST, Phase.RAISE, {"reason": reason, "silent_s": silent_s, "mandatory": self._status.mandatory})

    def _enter(self, state: LineState, reason: str) -> None:
        self._status.state = state
        self._status.since = self._clock.utc_now()
        self._status.reason = reason
        if self._status.on_change is not None:
            self._status.on_change(self._status)

    def _notice(self, kind: Kind, phase: Phase, detail: dict[str, object]) -> None:
        if len(self._notices) >= MAX_NOTICES:  # the oldest tells least about how things stand now
            self._notices.popleft()
            self._status.notices_dropped += 1
        now = self._clock.utc_now()
        self._notices.append(Event(kind=kind, phase=phase, line=self._name, received_at=now, occurred_at=now, detail=detail))
        self._something.set()
