"""What a responder answers by the way that the order came, the body of a 2xx or a key: the same as a message on its reply topic."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import msgspec

from drivers.contract import Emit, Rejected, to_event
from drivers.mqtt.station_reply import TOPICS, StationReply
from gateway.clock import monotonic
from gateway.event import Event

REPLIES = "replies"  # the books of such answers
AGAIN_S = 1.0
_REPLY = StationReply(TOPICS)


def read_reply(responder: str, body: bytes, now: datetime) -> list[Event | Rejected]:
    """body: as on `stations/<responder>/reply`."""
    signals = _REPLY.receive_message(f"stations/{responder}/reply", body, False, False, monotonic(), now)
    return [msgspec.structs.replace(one, line=REPLIES) if isinstance(one, Rejected) else to_event(one, REPLIES, now) for one in signals]


async def until_stored(emit: Emit, events: Sequence[Event | Rejected]) -> None:
    """Hold the answer while it cannot be stored. Cancelling: it may or may not be."""
    verdicts = await emit(events)
    while any(verdict.retry for verdict in verdicts):
        await asyncio.sleep(AGAIN_S)
        verdicts = await emit(events)
