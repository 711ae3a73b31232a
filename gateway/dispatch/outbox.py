"""The outbox: every leg with something pending is delivered, again and again under the same delivery id, until a channel took it.

What is pending stands in the incident (gateway.core.incident.Leg.pending), so the outbox itself keeps nothing that a crash
could lose. Alarms have places of their own: ordinary service requests can never fill them (invariant 8).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from functools import cache
from typing import Protocol

import msgspec
import structlog

from gateway.clock import utc_now
from gateway.core.incident import Incident, Leg, Role
from gateway.core.least_data import order_body
from gateway.core.register import Register, Responder
from gateway.dispatch.contract import Channel, DeliveryError, Links, Order, no_link
from gateway.event import Severity
from gateway.metrics import Metrics
from gateway.tracing import Tracing

log = structlog.get_logger("outbox")

FIRST_RETRY_S = 0.5
LAST_RETRY_S = 30.0  # a broker that comes back is noticed within half a minute at the latest; mostly at once, by its channel
AT_ONCE = 1000  # alarms under way per channel: what one MQTT connection keeps in flight
ROUTINE_AT_ONCE = 20  # others under way per channel: less than half of a web hook's 50 connections, the rest is for alarms

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


class _Lane:
    """Deliveries of one channel and one urgency: so many under way, the rest in a row."""

    __slots__ = ("running", "waiting")

    def __init__(self) -> None:
        self.running = 0
        self.waiting: deque[tuple[Incident, Leg]] = deque()


class Outbox:
    """One task a delivery, bounded per lane. Give it each changed incident after the commit."""

    def __init__(self, channels: Mapping[str, Channel], reports: Reports, register: Callable[[], Register], metrics: Metrics) -> None:
        self._channels = dict(channels)
        self._channels.setdefault("console", ConsoleChannel())
        self._reports = reports
        self._register = register
        self._metrics = metrics
        self.links: Links = no_link  # given by the app, as it needs the configuration
        self.tracing: Tracing | None = None  # … and this, when [tracing] is on
        self._known: set[Key] = set()  # offered and not yet reported
        self._lanes: dict[tuple[str, bool], _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sent = cache(lambda channel: metrics.orders.labels(channel, "sent"))  # looking a label up costs a lock
        self._seconds = cache(lambda channel: metrics.order_seconds.labels(channel))

    def offer(self, incident: Incident) -> None:
        """Deliver each leg that has something pending, unless it is being delivered already."""
        for leg in incident.legs:
            if leg.pending and (key := _key(leg)) not in self._known:
                self._known.add(key)
                self._enter(incident, leg)

    def reported(self, key: Key) -> None:
        """Its report is on disk. Until then it counts as known, else a change of the incident would send it again."""
        self._known.discard(key)

    @property
    def under_way(self) -> int:
        """Messages that are not yet confirmed by a channel and written down."""
        return len(self._known)

    async def close(self) -> None:
        """Cancel what is under way; after a restart it goes on under the same delivery ids."""
        for lane in self._lanes.values():
            lane.waiting.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _enter(self, incident: Incident, leg: Leg) -> None:
        urgency = incident.severity.rank <= Severity.MAJOR.rank and leg.role is not Role.SERVICE
        lane = self._lanes.setdefault((leg.channel, urgency), _Lane())
        if lane.running >= (AT_ONCE if urgency else ROUTINE_AT_ONCE):
            lane.waiting.append((incident, leg))
        else:
            self._start(lane, incident, leg)

    def _start(self, lane: _Lane, incident: Incident, leg: Leg) -> None:
        lane.running += 1
        task = asyncio.get_running_loop().create_task(self._deliver(lane, incident, leg), name=leg.delivery)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, lane: _Lane, incident: Incident, leg: Leg) -> None:
        """Hold a place in the lane while the channel works, and give it to the next one while waiting to try again."""
        key = _key(leg)
        delay = FIRST_RETRY_S
        again = True
        while again:
            try:
                if self._reports.still_pending(incident.id, key) is None:  # answered, withdrawn or ordered anew while it waited
                    self._known.discard(key)
                    return
                again = await self._attempt(incident, leg)
            finally:
                lane.running -= 1
                if lane.waiting:
                    self._start(lane, *lane.waiting.popleft())
            if again:
                await asyncio.sleep(delay)
                delay = min(delay * 2, LAST_RETRY_S)
                lane.running += 1  # one above the bound at worst for each that comes back; they are few, or the channel is down

    async def _attempt(self, incident: Incident, leg: Leg) -> bool:
        """True: try again. The report of success or final failure is on its way to the journal otherwise."""
        key = _key(leg)
        channel = self._channels.get(leg.channel)
        if channel is None:
            log.error("no such channel", channel=leg.channel, remedy=f"configure [dispatch.{leg.channel}] or change the responder's channel")
            self._metrics.orders.labels(leg.channel, "failed").inc()
            self._reports.delivered(key, f"no_channel_{leg.channel}")
            return False
        try:
            await channel.deliver(self._order(incident, leg))
        except DeliveryError as error:
            self._metrics.orders.labels(channel.name, error.result).inc()
            if error.retry:
                return True
            self._reports.delivered(key, error.reason)
            return False
        except Exception:  # a bug of the channel, or of ours; the order must not be lost by it
            log.exception("channel_bug", channel=channel.name)
            self._metrics.orders.labels(channel.name, "retried").inc()
            return True
        self._sent(channel.name).inc()
        if leg.repeat == 0 and leg.pending == "order":
            waited = (utc_now() - leg.ordered_at).total_seconds()
            self._seconds(channel.name).observe(max(0.0, waited))
        if self.tracing is not None:
            self.tracing.dispatched(incident, leg, channel.name)
        self._reports.delivered(key, None)
        return False

    def _order(self, incident: Incident, leg: Leg) -> Order:
        register = self._register()
        responder = register.responders.get(leg.responder)
        order = Order(
            delivery=leg.delivery,
            incident=incident.id,
            responder=leg.responder,
            address=address_of(responder) if responder else "",
            body=order_body(incident, leg, register),
            repeat=leg.repeat,
        )
        if leg.pending == "order" and (page := self.links(order)):
            return msgspec.structs.replace(order, body=_with_page(order.body, page))
        return order


def address_of(responder: Responder) -> str:
    """Where a channel reaches it: its address, else, for what rings or texts, its number."""
    return responder.address or (responder.phone if responder.channel in ("phone", "sms", "modem") else "")


def _with_page(body: bytes, page: str) -> bytes:
    """The order with the link by which it can be answered; only where there is a page for responders."""
    return body[:-1] + b',"page":' + msgspec.json.encode(page) + b"}"


def _key(leg: Leg) -> Key:
    return leg.delivery, leg.repeat, leg.pending
