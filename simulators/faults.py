"""What goes wrong on purpose: noise on a line, a pulled cable, packets lost on the way; a broker or a city goes away, hours pass."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from simulators.scenario import Fault
from simulators.witnesses import Targets, Witnesses, wait_until

Pause = Callable[[float], Awaitable[bool]]
"""Wait until a monotonic moment; True when the run is to stop instead."""


async def play_fault(fault: Fault, seen: Witnesses, targets: Targets, pause_until: Pause, *, start: float, end: float, scale: float) -> str:
    """Let one thing go wrong for its time, then be right again. Gives a note for the report, or ""."""
    if await pause_until(start + fault.at * scale):
        return ""
    until = time.monotonic() + fault.lasts * scale if fault.lasts else end
    source = seen.panel if fault.line == "panel" else seen.receiver
    if fault.what == "line_noise" and source is not None:
        source.noise.flip, source.noise.garbage = fault.flip, fault.garbage
        await pause_until(until)
        source.noise.flip = source.noise.garbage = 0
    elif fault.what == "unplug" and source is not None:
        source.terminal.unplug()
        await pause_until(until)
        source.terminal.plug()
        if seen.receiver is source:
            seen.receiver.greet()
    elif fault.what == "call_noise" and seen.pbx is not None:
        seen.pbx.lose, seen.pbx.double = fault.lose, fault.double
        await pause_until(until)
        seen.pbx.lose = seen.pbx.double = 0
    elif fault.what == "municipal_down" and seen.municipal is not None:
        await seen.municipal.stop()
        await pause_until(until)
        await seen.municipal.start()
    elif fault.what == "pass_time" and targets.clock_file is not None:
        start = time.monotonic()
        pause = (until - start) / fault.times if fault.lasts else 0.0
        for number in range(1, fault.times + 1):
            pass_time(targets.clock_file, fault.skips)
            await pause_until(start + number * pause)
    elif fault.what == "broker_restart":
        return await _restart_broker(seen, targets, pause_until, until)
    return ""


def pass_time(clock: Path, seconds: float) -> None:
    """Move a clock file of libfaketime's ("+3600": an hour ahead) on, in one step: a reader sees the old offset or the new."""
    offset = float(clock.read_text()) + seconds
    new = clock.with_suffix(".new")
    new.write_text(f"{offset:+.0f}\n")
    new.replace(clock)


async def _restart_broker(seen: Witnesses, targets: Targets, pause_until: Pause, until: float) -> str:
    """By the caller's hooks, or by waiting until somebody else takes the broker away."""
    if targets.stop_broker is not None and targets.start_broker is not None:
        await targets.stop_broker()
        await pause_until(until)
        await targets.start_broker()
        return ""
    stations = seen.stations
    if stations is not None:
        await wait_until(lambda: not stations.link.up.is_set(), max(until, time.monotonic() + targets.ready_s))
    return "no hook to restart the broker was given: waited for an outage from outside"
