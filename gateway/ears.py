"""Ears: is there, for each area that accounts are limited to and for the whole, a console on duty whose sound is running?

If not for `console.no_ears_s`, nobody would hear an alarm: an incident says so, on books of our own, and presses those who can still be reached
(the chain `no_ears`: supervisors, centres). It ends by itself when somebody hears again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import structlog

from drivers.contract import Rejected, Verdict
from gateway.accounts import Accounts
from gateway.clock import monotonic, utc_now
from gateway.config import ConsoleConfig
from gateway.core.account import AccountRole
from gateway.core.policy import EARS_LINE
from gateway.core.register import Register
from gateway.event import Event, Kind, Phase

log = structlog.get_logger("ears")

LINE = EARS_LINE  # of one area: console:<area>
LOOK_S = 2.0
EARS = (AccountRole.OPERATOR, AccountRole.SUPERVISOR)
WHOLE = ""


class Listening(NamedTuple):
    """One console on duty. areas: of whoever sits there, empty: everywhere; sound: is it running?"""

    areas: frozenset[str]
    sound: bool


class Ears:
    """`consoles` is given by the console; before that nobody hears."""

    def __init__(
        self,
        config: ConsoleConfig,
        accounts: Callable[[], Accounts],
        register: Callable[[], Register],
        receive: Callable[[Sequence[Event | Rejected]], Awaitable[Sequence[Verdict]]],
    ) -> None:
        self.consoles: Callable[[], Iterable[Listening]] = tuple
        self._config = config
        self._accounts = accounts
        self._register = register
        self._receive = receive
        self._deaf_since: dict[str, float] = {}
        self._told: set[str] = set()

    def wanted(self) -> list[str]:
        """For which areas somebody must hear; "" = the whole. Nobody has to before there is an account that could."""
        mine = [one for one in self._accounts().all() if not one.disabled and one.role in EARS]
        return [WHOLE, *sorted({area for one in mine for area in one.areas})] if mine else []

    def heard(self) -> dict[str, int]:
        """Area → consoles on duty with sound that cover it."""
        sounding = [one for one in self.consoles() if one.sound]
        above = {area: set(self._register().areas_above(area)) for area in self.wanted()}
        return {area: sum(not area or not one.areas or not one.areas.isdisjoint(above[area]) for one in sounding) for area in above}

    def restore(self, lines: Iterable[str]) -> None:
        """Lines of our books whose incident was open when we were stopped: they end when somebody hears."""
        self._told = {line.partition(":")[2] for line in lines if line == LINE or line.startswith(f"{LINE}:")}

    async def run(self, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        """Look until cancelled."""
        while self._config.accounts and self._config.no_ears_s:
            await sleep(LOOK_S)
            await self.look(monotonic(), utc_now())

    async def look(self, at: float, now: datetime) -> None:
        """One look; `at` in seconds of a clock that never steps."""
        heard = self.heard()
        for area in [area for area in self._deaf_since if area not in heard or heard[area]]:
            del self._deaf_since[area]
        for area, count in heard.items():
            if count:
                continue
            since = self._deaf_since.setdefault(area, at)
            if at - since >= self._config.no_ears_s and area not in self._told and await self._tell(area, Kind.LINE_LOST, now, heard):
                log.error("no_ears", area=area or "all", for_s=round(at - since))
                self._told.add(area)
        for area in [area for area in self._told if area not in heard or heard[area]]:
            if await self._tell(area, Kind.LINE_RESTORED, now, heard):
                log.info("ears_again", area=area or "all")
                self._told.discard(area)

    async def _tell(self, area: str, kind: Kind, now: datetime, heard: Mapping[str, int]) -> bool:
        detail: dict[str, object] = {"reason": "no_ears", "mandatory": True, "consoles": sum(heard.values())}
        if area:
            detail["area"] = area
        event = Event(
            kind=kind,
            phase=Phase.RAISE if kind is Kind.LINE_LOST else Phase.STATE,
            line=f"{LINE}:{area}" if area else LINE,
            received_at=now,
            occurred_at=now,
            detail=detail,
        )
        (verdict,) = await self._receive([event])
        return verdict.kept
