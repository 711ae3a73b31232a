"""Is the desk flooded: more new incidents per operator than anybody can work on? By the figures of [desk], or because a supervisor says so.

EEMUA 191 and ISA-18.2 call more than ten alarms per operator in ten minutes a flood. It begins above one figure and is over below another, so that
one incident more or less does not switch the page to and fro.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Gauge

from gateway.clock import utc_now
from gateway.core.desk_matters import FLOOD_KEY
from gateway.core.incident import Flag
from gateway.core.state import WorkingSet
from gateway.errors import GatewayError
from gateway.event import Kind

log = structlog.get_logger("flood")

LOOK_S = 5.0  # a flood is a matter of minutes
GATEWAY = "gateway"


class Note(Protocol):
    """Journals a fact that concerns no incident."""

    def __call__(self, kind: Kind, actor: str, **facts: object) -> Awaitable[None]: ...


class FloodState(msgspec.Struct, frozen=True, kw_only=True):
    """on: flood mode; by: who switched it, "" = the figures; since: when it began; switch: on, off or auto."""

    on: bool = False
    by: str = ""
    since: datetime | None = None
    new_10min: int = 0
    operators: int = 0
    switch: str = "auto"


class Flood:
    """`state` is as of the last look; whoever shows it looks first, at most every LOOK_S."""

    def __init__(self, working: Callable[[], WorkingSet], note: Note, registry: CollectorRegistry | None = None) -> None:
        self.state = FloodState()
        self.operators: Callable[[], int] = lambda: 0  # on duty, given by the console
        self._working = working
        self._note = note
        self._looked_at: datetime | None = None
        self._told = False
        self._gauge = Gauge("gateway_flood", "1 while the desk is flooded", registry=registry) if registry is not None else None

    def look(self, now: datetime, *, anew: bool = False) -> FloodState:
        """What is true now. Counts the incidents in memory, so at most every LOOK_S: a closed one stays there for longer than the window."""
        if not anew and self._looked_at is not None and timedelta(0) <= now - self._looked_at < timedelta(seconds=LOOK_S):
            return self.state
        self._looked_at = now
        working = self._working()
        rules = working.desk
        since = now - timedelta(seconds=rules.flood_s)
        new = sum(
            one.opened_at > since and not one.service and Flag.MAINTENANCE not in one.flags and one.merged_into is None
            for one in working.incidents.values()
        )
        operators = self.operators()
        people = max(1, operators)  # whoever comes finds the work of one
        standing = working.standings.get(FLOOD_KEY)
        before = self.state
        if standing is not None and standing.holds(now):
            on, by, switch = standing.value == "on", standing.actor, standing.value
        else:
            over = new > rules.flood_over * people
            by, switch = "", "auto"
            on = over or (before.on and not before.by and new >= rules.flood_below * people)
        self.state = FloodState(
            on=on, by=by, since=(before.since if before.on else now) if on else None, new_10min=new, operators=operators, switch=switch
        )
        return self.state

    async def run(self, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        """Look until cancelled, and journal when a flood begins and when it is over."""
        while True:
            await sleep(LOOK_S)
            await self.tell(utc_now())

    async def tell(self, now: datetime) -> None:
        """One look; the edge is journalled. A store that is down hears of it at the next."""
        state = self.look(now)
        if self._gauge is not None:
            self._gauge.set(state.on)
        if state.on == self._told:
            return
        facts: dict[str, object] = {"new": state.new_10min, "operators": state.operators, "by": state.by}
        log.warning("flood_begins" if state.on else "flood_over", new=state.new_10min, operators=state.operators)
        try:
            await self._note(Kind.AUDIT, GATEWAY, flood="begins" if state.on else "over", **facts)
        except GatewayError as error:
            log.warning("flood not written down; trying again", reason=str(error))
            return
        self._told = state.on
