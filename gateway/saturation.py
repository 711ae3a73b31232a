"""Looks every few seconds whether a district takes no more, and rules it so: its partners go first until it has room again (domain 3.5).

A district's places are those of its stations on duty. One ruling when it is full, one when it has room; between the two shares nothing changes,
so that one order more or less does not call a partner and send it home again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime

import msgspec
import structlog

from gateway.clock import utc_now
from gateway.config.aid import AidConfig
from gateway.core.aid_matters import SATURATED, is_held_by_a_person
from gateway.core.duty import duty_of
from gateway.core.provider_matters import MACHINE
from gateway.core.register import AreaKind, Register, ResponderKind
from gateway.core.standing import Ruling
from gateway.core.state import WorkingSet
from gateway.core.territory import Standing
from gateway.errors import GatewayError

log = structlog.get_logger("saturation")

GOES = frozenset((ResponderKind.STATION, ResponderKind.CARE_CENTRE))  # whose places count: those who go


class Places(msgspec.Struct):
    """Of one district: how many orders its people on duty can carry, and how many they carry now."""

    all: int = 0
    taken: int = 0

    @property
    def free_share(self) -> float:
        return (self.all - self.taken) / self.all if self.all else 0.0


def places_of(working: WorkingSet, now: datetime) -> dict[str, Places]:
    """District (the area at the top of the responder's own, of kind district; else its topmost) → its places."""
    found: dict[str, Places] = {}
    register = working.register
    for responder in register.responders.values():
        district = district_of(register, responder.areas) if responder.kind in GOES else None
        if district is None:
            continue
        capacity = duty_of(register, responder, now).capacity
        places = found.setdefault(district, Places())
        places.all += capacity
        places.taken += min(capacity, working.load.get(responder.id, 0))
    return found


def district_of(register: Register, areas: tuple[str, ...]) -> str | None:
    """The district in which the first of these areas lies."""
    above = register.areas_above(areas[0] if areas else None)
    return next((name for name in above if register.areas[name].kind is AreaKind.DISTRICT), None)


def wanted(working: WorkingSet, config: AidConfig, now: datetime) -> Iterator[Ruling]:
    """What the machine would rule now. Nothing of districts of which a person has spoken."""
    for district, places in places_of(working, now).items():
        key = f"{SATURATED}:{district}"
        standing = working.standings.get(key)
        if places.all < config.least or is_held_by_a_person(standing, now):
            continue
        is_saturated = standing is not None and standing.holds(now)
        detail: dict[str, object] = {"places": places.all, "taken": places.taken}
        if not is_saturated and places.free_share <= config.saturated_at:
            yield Ruling(key=key, value=SATURATED, actor=MACHINE, reason="no_places_left", detail=detail)
        elif is_saturated and places.free_share >= config.relieved_at:
            yield Ruling(key=key, value="", actor=MACHINE, reason="places_again", detail=detail)


class Saturation:
    """Keeps looking until cancelled."""

    def __init__(self, working: WorkingSet, config: AidConfig, rule: Callable[[Ruling], Awaitable[Standing]]) -> None:
        self._working = working
        self._config = config
        self._rule = rule

    async def run(self) -> None:
        """Never raises for a store that is down: the next look is soon."""
        while self._config.saturated_at or self._config.relieved_at:
            await asyncio.sleep(self._config.watch_s)
            for ruling in list(wanted(self._working, self._config, utc_now())):
                try:
                    await self._rule(ruling)
                    log.warning("district_saturated" if ruling.value else "district_relieved", district=ruling.key.partition(":")[2], **ruling.detail)
                except GatewayError as error:
                    log.warning("saturation not written down; trying again", reason=str(error))
