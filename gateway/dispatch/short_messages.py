"""What the channels of short messages have in common: how fast they may send, and which message was which order."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from drivers.token_bucket import Bucket
from gateway.clock import monotonic
from gateway.dispatch.contract import DeliveryError, Order

BURST_S = 6.0  # a tenth of a minute's allowance may leave at once
# Longest wait for one's turn: then the order goes back to the outbox, which knows whether it is still wanted.
TURN_S = 20.0
# Messages whose fate is awaited: a provider that reports nothing must not fill the memory; more than leave in an hour.
AWAITED = 10_000


class Pace:
    """So many messages a minute. Cards and accounts that send faster are blocked; who waits too long is sent back."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = monotonic) -> None:
        self._bucket = Bucket(per_minute / 60, max(1.0, per_minute / 60 * BURST_S))
        self._clock = clock

    async def turn(self, sleep: Callable[[float], object] = asyncio.sleep) -> None:
        """Wait until one may leave. Raises DeliveryError(busy) when that is too far away."""
        now = self._clock()
        if self._bucket.level(now) < 1 - TURN_S * self._rate:
            raise DeliveryError("busy")
        wait_s = self._bucket.charge(1.0, now)
        if wait_s:
            await sleep(wait_s)  # type: ignore[misc]

    @property
    def _rate(self) -> float:
        return self._bucket.per_s


class Awaited:
    """Orders that were taken and whose delivery will be reported, by the name under which the far end reports."""

    def __init__(self) -> None:
        self._orders: OrderedDict[str, Order] = OrderedDict()

    def put(self, name: str, order: Order) -> None:
        """Remember it; the oldest is forgotten first."""
        self._orders[name] = order
        if len(self._orders) > AWAITED:
            self._orders.popitem(last=False)

    def pop(self, name: str) -> Order | None:
        """The order that was sent under this name; None when nobody waits for it."""
        return self._orders.pop(name, None)
