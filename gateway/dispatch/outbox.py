"""The outbox: every leg with something pending is delivered, again and again under the same delivery id, until a channel took it.

What is pending stands in the incident (gateway.core.incident.Leg.pending), so the outbox itself keeps nothing that a crash
could lose. Alarms have places of their own: ordinary service requests can never fill them (invariant 8).
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from gateway.clock import utc_now
from gateway.core.incident import Incident, Leg
from gateway.core.orders import order_body
from gateway.core.register import Register
from gateway.dispatch.contract import Channel, DeliveryError, Order
from gateway.metrics import Metrics

log = structlog.get_logger("outbox")

FIRST_RETRY_S = 0.5
LAST_RETRY_S = 30.0  # a broker that comes back is noticed within half a minute at the latest; mostly at once, by its channel
AT_ONCE = 1000  # deliveries under way per lane and channel: what one MQTT connection keeps in flight

Key = tuple[str, int, str]  # delivery, repeat, what was pending


class Reports(Protocol):
    """Where results go: the pipeline, which writes them down."""

    def delivered(self, key: Key, failed: str | None) -> None: ...

    def still_pending(self, incident: str, key: Key) -> Leg | None: ...


class ConsoleChannel:
    """Orders that an operator passes on by voice, and those to the desk: shown on the console, which needs no wire."""

    name = "console"

    async def run(self) -> None:
        """Nothing to keep open."""

    async def deliver(self, order: Order) -> None:
        """Shown as soon as it is committed."""


class Outbox:
    """One task a delivery, bounded per lane. Give it each changed incident after the commit."""

    def __init__(self, channels: Mapping[str, Channel], reports: Reports, register: Callable[[], Register], metrics: Metrics) -> None:
        self._channels = dict(channels)
        self._channels.setdefault("console", ConsoleChannel())
        self._reports = reports
        self._register = register
        self._metrics = metrics
        self._under_way: dict[Key, asyncio.Task[None]] = {}
        self._lanes: dict[tuple[str, bool], asyncio.Semaphore] = {}

    def offer(self, incident: Incident) -> None:
        """Start a delivery for each leg that has something pending and no delivery of it under way."""
        for leg in incident.legs:
            if leg.pending:
                key = (leg.delivery, leg.repeat, leg.pending)
                if key not in self._under_way:
                    task = asyncio.get_running_loop().create_task(self._deliver(incident, leg, key), name=f"deliver {leg.delivery}")
                    self._under_way[key] = task
                    task.add_done_callback(lambda _, key=key: self._under_way.pop(key, None))  # type: ignore[misc]

    @property
    def under_way(self) -> int:
        """Deliveries that no channel has confirmed yet."""
        return len(self._under_way)

    async def _deliver(self, incident: Incident, leg: Leg, key: Key) -> None:
        channel = self._channels.get(leg.channel)
        if channel is None:
            log.error("no such channel", channel=leg.channel, remedy=f"configure [dispatch.{leg.channel}] or change the responder's channel")
            self._reports.delivered(key, f"no_channel_{leg.channel}")
            return
        responder = self._register().responders.get(leg.responder)
        order = Order(
            delivery=leg.delivery,
            incident=incident.id,
            responder=leg.responder,
            address=responder.address if responder else "",
            body=order_body(incident, leg, self._register()),
            repeat=leg.repeat,
        )
        lane = self._lanes.setdefault((channel.name, incident.severity.rank <= 2), asyncio.Semaphore(AT_ONCE))
        delay = FIRST_RETRY_S
        while True:
            async with lane:
                failed = await self._attempt(channel, order, incident, key)
            if failed is None:
                return
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_RETRY_S)
            if self._reports.still_pending(incident.id, key) is None:
                return  # answered, withdrawn or ordered anew meanwhile

    async def _attempt(self, channel: Channel, order: Order, incident: Incident, key: Key) -> str | None:
        """None when it is over (sent, or failed for good), else the reason to try again."""
        try:
            await channel.deliver(order)
        except DeliveryError as error:
            self._metrics.orders.labels(channel.name, "retried" if error.retry else "failed").inc()
            if error.retry:
                return error.reason
            self._reports.delivered(key, error.reason)
            return None
        self._metrics.orders.labels(channel.name, "sent").inc()
        if order.repeat == 0 and key[2] == "order":
            waited = (utc_now() - incident.opened_at).total_seconds()
            self._metrics.order_seconds.labels(channel.name).observe(max(0.0, waited))
        self._reports.delivered(key, None)
        return None

    async def close(self) -> None:
        """Cancel what is under way; after a restart it goes on under the same delivery ids."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
