"""Hand-overs to other hotlines by web hook: signed POST of the record, again and again under the same delivery id, until they answer.

What is pending stands in the incident (gateway.core.incident.HandOver.state), so nothing is kept here that a crash could lose. The
request and its signature are those of an order (gateway.dispatch.webhook); a 2xx means that they have it, its body says under which number.
"""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from gateway.config import HotlineConfig, WebhookChannelConfig
from gateway.core.hand_over import Taken, record_of
from gateway.core.incident import Incident
from gateway.core.register import Register
from gateway.dispatch.contract import DeliveryError, Order
from gateway.dispatch.under_way import UnderWay
from gateway.dispatch.webhook import WebhookChannel
from gateway.errors import ConfigError
from gateway.metrics import Metrics

log = structlog.get_logger("hand_over")

FIRST_RETRY_S = 0.5
LAST_RETRY_S = 30.0  # a neighbour that comes back is noticed within half a minute, as in the outbox
TIMEOUT_S = 5.0  # a neighbour answers after its own commit; our outbox waits as long


class Reports(Protocol):
    """Where results go: the pipeline, which writes them down."""

    def handed_over(self, incident: str, delivery: str, taken: Taken | None, reason: str) -> None: ...

    def still_handing(self, incident: str, delivery: str) -> Incident | None: ...


class HandOvers(UnderWay):
    """One task a pending hand-over; an operator makes each, so they are few. Raises ConfigError for a secret that cannot be read."""

    def __init__(self, hotlines: Iterable[HotlineConfig], folder: Path, reports: Reports, register: Callable[[], Register], metrics: Metrics) -> None:
        super().__init__()
        self._reports = reports
        self._register = register
        self._metrics = metrics
        self._answers: dict[str, bytes] = {}
        self._neighbours = {one.number: (one.hand_over, self._channel(one, folder)) for one in hotlines if one.hand_over}

    def _channel(self, hotline: HotlineConfig, folder: Path) -> WebhookChannel:
        try:
            config = WebhookChannelConfig(secret_file=str(folder / hotline.secret_file), timeout_s=TIMEOUT_S)
            return WebhookChannel(config, self._answers.__setitem__)
        except ConfigError as error:
            problems = [problem.replace("dispatch.webhook.", f"hotline {hotline.number}: ", 1) for problem in error.problems]
            raise ConfigError(problems) from error

    async def run(self) -> None:
        """Hold the connections until cancelled."""
        async with asyncio.TaskGroup() as channels:
            for number, (_, channel) in self._neighbours.items():
                channels.create_task(channel.run(), name=f"neighbour {number}")

    def offer(self, incident: Incident) -> None:
        """Send its record, if it is to be handed over and is not on its way already."""
        handed = incident.handed
        if handed is not None and handed.state == "pending":
            self.begin(handed.delivery, partial(self._deliver, incident.id, handed.delivery))

    async def _deliver(self, name: str, delivery: str) -> None:
        delay = FIRST_RETRY_S
        while (incident := self._reports.still_handing(name, delivery)) is not None:
            if await self._attempt(incident, delivery):
                return
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_RETRY_S)
        self.reported(delivery)

    async def _attempt(self, incident: Incident, delivery: str) -> bool:
        """Is it decided? False: try again."""
        assert incident.handed is not None
        hotline = incident.handed.hotline
        address, channel = self._neighbours.get(hotline, ("", None))
        if channel is None:  # it was taken out of the configuration
            self._metrics.hand_overs.labels(hotline, "failed").inc()
            self._reports.handed_over(incident.id, delivery, None, "no_such_neighbour")
            return True
        order = Order(delivery=delivery, incident=incident.id, responder=delivery, address=address, body=record_of(incident, self._register()))
        try:
            await channel.deliver(order)
        except DeliveryError as error:
            self._metrics.hand_overs.labels(hotline, "retried" if error.retry else "failed").inc()
            if error.retry:
                return False
            self._reports.handed_over(incident.id, delivery, None, error.reason)
            return True
        except Exception:  # a bug of ours; the matter must not be lost by it
            log.exception("hand_over_bug", hotline=hotline)
            return False
        self._metrics.hand_overs.labels(hotline, "accepted").inc()
        self._reports.handed_over(incident.id, delivery, _taken(self._answers.pop(delivery, b"")), "")
        return True


def _taken(body: bytes) -> Taken:
    """What they say of it; a 2xx without words is an acceptance all the same."""
    try:
        return msgspec.json.decode(body, type=Taken)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Taken()
