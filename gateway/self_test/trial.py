"""One probe under way: sent from outside, looked for inside, until all its stages are there or the time is up."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from drivers.contract import TESTED, Rejected, Verdict
from drivers.probe.contract import Moment, Probe, Unsayable
from gateway.clock import monotonic
from gateway.config import Config
from gateway.dispatch.contract import Channel, DeliveryError
from gateway.errors import GatewayError
from gateway.event import Event, new_id
from gateway.self_test import result as words
from gateway.self_test.points import Point
from gateway.self_test.result import BUS, COMMITTED, CONNECT, RECEIPT, STATION, Result
from gateway.self_test.station import CLOSE_S, Ear, listen, reach, test_order
from gateway.self_test.wires import NoWire, Wire, open_wire


class Far(Protocol):
    """The shard of a probe's event, which the bus has kept. Both wait for ever: whoever asks bounds the time."""

    async def committed(self, event: Event) -> Verdict:
        """What became of it; asked until it is on disk there."""
        ...

    async def reach(self, event: Event, delivery: str, point: str, at: datetime, within_s: float) -> float:
        """Have its owner send the test order, until the test station has it. Raises DeliveryError.

        Returns how long the owner took until it listened there, in seconds: before it sent anything.
        """
        ...


class Trial:
    """`read` and `settled` are called by whoever stands between line and pipeline; `run` gives the result. far: the pipeline is elsewhere."""

    def __init__(self, point: Point, number: int, config: Config, channels: Callable[[], dict[str, Channel]], far: Far | None = None) -> None:
        self._point = point
        self._number = number
        self._config = config
        self._channels = channels
        self._far = far
        self._on_the_bus: Event | None = None
        self._is_on_the_bus = asyncio.Event()
        self._probe: Probe | None = None
        self._began = 0.0
        self._is_read = False
        self._refusal = ""
        self.is_unmarked = False
        self._is_committed = asyncio.Event()
        self.stages: dict[str, float] = {}

    # --- inside ------------------------------------------------------------------------------------------------------

    def is_mine(self, event: Event | Rejected) -> bool:
        """Is it this very probe's?"""
        probe = self._probe
        return probe is not None and event.device == probe.device and (not probe.token or probe.token in event.raw)

    def read(self) -> None:
        """The codec has read it."""
        self._is_read = True

    def taken(self, event: Event | Rejected, verdict: Verdict) -> None:
        """What was next after the line has taken it: the pipeline, or the bus."""
        if self._far is None:
            self.settled(verdict)
        elif isinstance(event, Rejected):
            self._refusal = event.reason
        elif verdict.kept:
            self.stages.setdefault(BUS, monotonic() - self._began)
            self._on_the_bus = event
            self._is_on_the_bus.set()

    def settled(self, verdict: Verdict) -> None:
        """The pipeline has decided."""
        if verdict is TESTED:
            self.stages.setdefault(COMMITTED, monotonic() - self._began)
            self._is_committed.set()
        elif verdict.kept and verdict.outcome == "stored":
            self.is_unmarked = True
        elif not verdict.kept and not verdict.retry:
            self._refusal = verdict.reason

    # --- outside -----------------------------------------------------------------------------------------------------

    async def run(self, at: datetime, folder: Path) -> Result:
        """Send it and wait for its stages, `within_s` at most."""
        point, wire, ear = self._point, None, None
        asked = monotonic()
        try:
            async with asyncio.timeout(point.within_s):
                wire = await open_wire(point, folder)
        except NoWire as error:
            return Result(at=at, missing=words.NO_CONNECTION, detail=str(error))
        except TimeoutError:
            return Result(at=at, missing=words.NO_CONNECTION, detail=f"no answer within {point.within_s:g} s")
        self.stages[CONNECT] = monotonic() - asked
        detail = ""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(point.within_s):
                    ear, detail = await self._listen()
                    moment = Moment(number=self._number, at=at, source=wire.source, target=wire.target, is_stream=wire.is_stream)
                    self._probe = point.probe(moment)
                    self._began = monotonic()
                    sending = asyncio.create_task(self._send(wire, self._probe))
                    try:
                        await self._until_committed()
                        detail = await self._station(at, ear) or detail
                        await sending
                    finally:
                        sending.cancel()
                        await asyncio.gather(sending, return_exceptions=True)
            missing = self._missing()
        except (Unsayable, OSError, ValueError, GatewayError) as error:
            return Result(at=at, stages=self.stages, missing=words.FAULT, detail=str(error))
        finally:
            await _close(wire, ear, self._probe)
            self._probe = None
        return Result(at=at, stages=self.stages, missing=missing, detail=(self._refusal or detail) if missing else "")

    async def _until_committed(self) -> None:
        if self._far is not None:
            await self._is_on_the_bus.wait()
            assert self._on_the_bus is not None
            self.settled(await self._far.committed(self._on_the_bus))
            if self.is_unmarked:
                return
        await self._is_committed.wait()

    async def _listen(self) -> tuple[Ear | None, str]:
        """At the test station, before anything is sent; of several machines whoever sends the order does."""
        if self._far is not None:
            return None, ""
        try:
            return await listen(self._config, self._point.name, self._point.within_s), ""
        except DeliveryError as error:
            return None, error.reason

    async def _send(self, wire: Wire, probe: Probe) -> None:
        """All steps; the receipt that counts is the last one's."""
        wants = any(step.receipt is not None for step in probe.steps) or bool(probe.topic)
        for step in probe.steps:
            if not await wire.say(step.data, step.receipt, probe.topic):
                return
        if wants:
            self.stages[RECEIPT] = monotonic() - self._began

    async def _station(self, at: datetime, ear: Ear | None) -> str:
        """Why the test order did not arrive; "": it did, or none was to be sent."""
        test, delivery, listened_s = self._config.self_test, new_id(), 0.0
        if not test.station or self.is_unmarked:
            return ""
        try:
            if self._far is not None:
                assert self._on_the_bus is not None
                left_s = self._point.within_s - (monotonic() - self._began)
                listened_s = await self._far.reach(self._on_the_bus, delivery, self._point.name, at, left_s)
            else:
                channel = self._channels().get(test.channel)
                if channel is None or (test.channel == "mqtt" and ear is None):
                    return ""
                await reach(channel, ear, test_order(test, delivery, self._point.device, at))
        except DeliveryError as error:
            return error.reason
        self.stages[STATION] = monotonic() - self._began - listened_s  # in one process it listened before the alarm left
        return ""

    def _missing(self) -> str:
        """The first stage that is not there, said as what it means."""
        probe = self._probe
        assert probe is not None
        wants = any(step.receipt is not None for step in probe.steps) or bool(probe.topic)
        if self.is_unmarked:
            return words.NOT_MARKED
        if COMMITTED in self.stages:
            if wants and RECEIPT not in self.stages:
                return words.NO_RECEIPT
            return words.NOT_AT_STATION if self._config.self_test.station and STATION not in self.stages else ""
        if self._refusal:
            return words.REFUSED
        if self._is_read:
            return words.NOT_COMMITTED if self._far is None or BUS in self.stages else words.NOT_KEPT
        return words.NOT_TAKEN if wants and RECEIPT not in self.stages else words.NOT_SEEN


async def _close(wire: Wire, ear: Ear | None, probe: Probe | None) -> None:
    """Hang up. Nothing of it changes the result."""
    parts: Sequence[Wire | Ear] = [part for part in (wire, ear) if part is not None]
    with contextlib.suppress(TimeoutError, OSError, GatewayError, ValueError):
        async with asyncio.timeout(CLOSE_S):
            for data in probe.after if probe is not None else ():
                await wire.say(data, None, "")
            for part in parts:
                await part.close()
