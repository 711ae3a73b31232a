"""Asks the owner of a shard. While it moves to another core a question waits for the new owner; everything is asked so that twice is once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from gateway.bus.contract import Bus, BusDown
from gateway.bus.nats_bus import NatsBus
from gateway.bus.shard_words import DONE, REFUSED, answer_of, packed
from gateway.clock import monotonic
from gateway.config import Config
from gateway.errors import Refused, StoreDown

PATIENCE_S = 10.0  # a shard whose owner died has another by then (architecture, section 7)
ONCE_S = 3.0  # an owner that died with the question does not answer: then it is asked again, under the same identity
AGAIN_S = 0.2
SEEN_S = 1.0  # so long an answer waits at most until what it changed is seen here, too


class Asking:
    """reached: (shard, epoch, number, most seconds) returns when that is known here."""

    def __init__(self, bus: Bus, reached: Callable[[int, int, int, float], Awaitable[None]]) -> None:
        self._bus = bus
        self._reached = reached

    async def ask(self, shard: int, verb: str, wanted: object, kind: Any, *, patience_s: float = PATIENCE_S) -> Any:
        """What came of it, of this kind. wanted: what is asked, or its bytes. Raises Refused as the owner did, StoreDown when nobody could do it."""
        body = wanted if isinstance(wanted, bytes) else packed(wanted)
        give_up = monotonic() + patience_s
        while True:
            left = give_up - monotonic()
            why = f"shard {shard} has no core at the moment; try again"
            try:
                answer = answer_of(await self._bus.ask(f"shard.{shard}.{verb}", body, max(0.1, min(ONCE_S, left))))
            except BusDown:
                pass
            else:
                if answer.outcome in (DONE, REFUSED):
                    await self._reached(shard, answer.epoch, answer.number, SEEN_S)
                    if answer.outcome == REFUSED:
                        raise Refused(answer.reason, answer.status, **answer.facts)
                    return msgspec.msgpack.decode(answer.body, type=kind)
                why = answer.reason
            if monotonic() + AGAIN_S >= give_up:
                raise StoreDown(why)
            await asyncio.sleep(AGAIN_S)


@asynccontextmanager
async def asking(config: Config, who: str) -> AsyncIterator[Asking]:
    """A command's way to the owners of the shards: over the bus, from any machine that has its password. Raises ConfigError, BusDown."""

    async def is_here(_shard: int, _epoch: int, _number: int, _most_s: float) -> None:
        """A command shows nothing that it would have to wait for."""

    bus = NatsBus(config.bus, config.folder, who)
    try:
        await bus.connect()
        yield Asking(bus, is_here)
    finally:
        await bus.close()
