"""Many trackers from one process: built from a seed, run together, cut together."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

from simulators.sent import Sent
from simulators.trackers.gt06 import DIALECTS, Pendant
from simulators.trackers.jt808 import Terminal
from simulators.trackers.tracker import Patience, Tracker
from simulators.trackers.watch3g import Watch
from simulators.wire import TcpWire, UdpWire

FAMILIES: dict[str, type[Tracker]] = {"watch3g": Watch, "gt06": Pendant, "jt808": Terminal}
EDITIONS = (2011, 2013, 2019)
START_PAUSE_S = 0.001  # between two dials: a thousand devices dial within a second


def identity_of(family: str, number: int) -> str:
    """Invented: ten digits of a watch, an IMEI of a test range, a phone number as 808 packs it."""
    return {"watch3g": f"88{number:08}", "gt06": f"00101234{number:07}", "jt808": f"0174{number:08}"}[family]


def build(
    family: str,
    identity: str,
    wire: TcpWire | UdpWire,
    patience: Patience,
    *,
    quirks: frozenset[str] = frozenset(),
    dialect: str = "",
    edition: int = 0,
    seed: object = 0,
) -> Tracker:
    """One device. dialect (gt06), edition (jt808): empty for the one that the number of the identity says, so that a fleet has them all."""
    device = FAMILIES[family](identity, wire, patience, seed)
    number = int(identity[-4:])
    if isinstance(device, Pendant):
        device.dialect = dialect or DIALECTS[number % len(DIALECTS)]
        device.quirks = quirks
    elif isinstance(device, Terminal):
        device.edition = edition or EDITIONS[number % len(EDITIONS)]
        device.quirks = quirks
    elif isinstance(device, Watch):
        device.quirks = quirks
    return device


class TrackerFleet:
    """Devices that run together."""

    def __init__(self, devices: Iterable[Tracker]) -> None:
        self.devices = list(devices)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["TrackerFleet"]:
        tasks: list[asyncio.Task[Any]] = []
        try:
            for device in self.devices:
                tasks.append(asyncio.create_task(device.run()))
                await asyncio.sleep(START_PAUSE_S)
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def storm(self) -> None:
        """Every link is cut at once; all dial again."""
        for device in self.devices:
            device.cut()

    @property
    def sent(self) -> list[Sent]:
        return [sent for device in self.devices for sent in device.sent]

    @property
    def on_line(self) -> int:
        return sum(device.is_greeted.is_set() for device in self.devices)
