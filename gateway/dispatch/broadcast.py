"""A notice to many stations at once, by the channel of each that carries a text. Told once; who could not be told is counted, nothing is kept."""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
import structlog

from gateway.clock import utc_now
from gateway.core.register import Responder
from gateway.dispatch.contract import Channel, DeliveryError, Order
from gateway.dispatch.outbox import address_of

log = structlog.get_logger("broadcast")

TEXTS = ("mqtt", "webhook", "sms", "modem", "sip", "email")  # the others ring people, who would have to answer a machine
AT_ONCE = 10  # of all channels together: orders share them
WAIT_S = 15.0  # for one station: the broker answers in milliseconds, a text message in seconds


async def tell(channels: Mapping[str, Channel], notice: str, text: str, responders: Sequence[Responder]) -> dict[str, int]:
    """told: the channel has it; failed: it did not take it in time; silent: the station has no channel that carries a text."""
    counts = {"told": 0, "failed": 0, "silent": 0}
    room = asyncio.Semaphore(AT_ONCE)
    body = msgspec.json.encode({"notice": notice, "moment": "broadcast", "at": utc_now(), "text": text})

    async def one(responder: Responder) -> str:
        channel = channels.get(responder.channel) if responder.channel in TEXTS else None
        if channel is None:
            return "silent"
        order = Order(delivery=f"{notice}-{responder.id}", incident="", responder=responder.id, address=address_of(responder), body=body)
        try:
            async with room, asyncio.timeout(WAIT_S):
                await channel.deliver(order)
        except (DeliveryError, TimeoutError) as error:
            log.warning("station_not_told", responder=responder.id, reason=getattr(error, "reason", "timeout"))
            return "failed"
        except Exception:  # a bug of a channel: the others must be told all the same
            log.exception("broadcast_bug", responder=responder.id)
            return "failed"
        return "told"

    for outcome in await asyncio.gather(*(one(responder) for responder in responders)):
        counts[outcome] += 1
    return counts
