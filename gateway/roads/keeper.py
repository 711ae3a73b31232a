"""Reach sets in a running gateway: in force from the start, prepared beside it when they are missing or old, swapped in whole.

The preparing is a process of its own (`gateway roads prepare`): Valhalla holds the interpreter for seconds, takes memory of its own, and must not
be able to take the gateway along when it ends badly.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.config import Config
from gateway.core.register import Register
from gateway.core.travel import TravelTimes
from gateway.roads.in_use import DAMAGED, IN_USE, NOT_PREPARED, OFF, PARTLY, STALE, Found, look, tiles_folder, travel_from
from gateway.roads.network import has_library
from gateway.roads.times import RoadTimes

log = structlog.get_logger("gateway.roads")

PREPARE_S = 6 * 3600.0  # 20,000 places of one second each; then it hangs
ERRORS_LIMIT = 2000  # characters of what it says that are logged


class Roads(Collector):
    """Which travel times hold. `of` works them out (any thread), `run` has missing ones prepared."""

    def __init__(self, in_force: Callable[[], tuple[Config, Register]], use: Callable[[TravelTimes], None]) -> None:
        """in_force: configuration and register at this moment; use: take these travel times, in the loop."""
        self._in_force, self._use = in_force, use
        self.found = Found(OFF, "")
        self._travel: TravelTimes | None = None
        self._fallen_back = 0  # of travel times that are in force no more
        self._wanted = asyncio.Event()

    def of(self, config: Config, register: Register) -> tuple[Found, TravelTimes]:
        """What was prepared for these, read from disk."""
        found = look(config, register)
        return found, travel_from(found, config, register)

    def take(self, found: Found, travel: TravelTimes) -> TravelTimes:
        """They come into force now; said once. In the loop."""
        if isinstance(self._travel, RoadTimes):
            self._fallen_back += self._travel.fallen_back
        self.found, self._travel = found, travel
        if found.state != OFF:
            (log.warning if found.wants_preparing else log.info)("travel times", state=found.state, found=found.text)
        if found.wants_preparing:
            self._wanted.set()
        return travel

    async def run(self) -> None:
        """Prepare whenever something is missing. What cannot be prepared is tried again at the next reload."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            config, register = self._in_force()
            if not tiles_folder(config).is_dir() or not has_library():
                continue  # `take` has said what to do
            if not await self._prepare(config.path):
                continue
            config, register = self._in_force()
            found, travel = await asyncio.to_thread(self.of, config, register)
            if self._in_force() != (config, register):
                self._wanted.set()  # a reload came between
                continue
            self._use(self.take(found, travel))
            self._wanted.clear()  # what is missing now was just tried

    async def _prepare(self, path: str) -> bool:
        log.info("preparing travel times by road; the straight line holds meanwhile")
        command = (sys.executable, "-m", "gateway.cli", "roads", "prepare", "--config", path)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(PREPARE_S):
                told, errors = await process.communicate()
        except TimeoutError:
            log.error("travel times not prepared: it took too long", limit_s=PREPARE_S)
            return False
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode:
            log.error("travel times not prepared", code=process.returncode, error=errors.decode(errors="replace")[-ERRORS_LIMIT:].strip())
            return False
        log.info("travel times prepared", result=told.decode(errors="replace").strip())
        return True

    def collect(self) -> Iterator[Metric]:
        """What /metrics shows."""
        state = GaugeMetricFamily("gateway_roads_state", "1 for the state of travel times by road", labels=["state"])
        for word in (OFF, IN_USE, PARTLY, NOT_PREPARED, STALE, DAMAGED):
            state.add_metric([word], float(word == self.found.state))
        yield state
        unknown = GaugeMetricFamily("gateway_roads_places_unknown", "Places of responders without travel times by road, when roads are in use")
        unknown.add_metric([], self.found.unknown)
        yield unknown
        fallen_back = self._fallen_back + (self._travel.fallen_back if isinstance(self._travel, RoadTimes) else 0)
        yield CounterMetricFamily("gateway_roads_straight_lines", "Candidates named with a straight line while roads are in use", value=fallen_back)
