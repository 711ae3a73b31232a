"""The contract of a channel: how one order reaches one responder. One file a channel; a new channel is a file and a row in registry."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from gateway.core.incident import UNANSWERED


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one responder. `body` is the JSON that leaves, least data already; `repeat` counts re-sendings of one delivery."""

    delivery: str
    incident: str
    responder: str
    address: str  # webhook URL, telephone number (E.164), sip:…, mail address or name of a robot; empty for mqtt and console
    body: bytes
    repeat: int = 0


TELL_BY_VOICE = "tell_by_voice"
"""The reason of a withdrawal that no machine can tell: who was rung has heard the order and is told by a person."""
RESULTS = {TELL_BY_VOICE: "by_voice", **dict.fromkeys(UNANSWERED, "unanswered")}
"""Reasons that are no fault of a channel → how they are counted. Who does not pick up is one responder; the next one is asked."""


class DeliveryError(Exception):
    """The far end did not take the order. `retry`: worth trying again with the same delivery id (else the leg has failed)."""

    def __init__(self, reason: str, *, retry: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry = retry

    @property
    def result(self) -> str:
        """As what it is counted: retried, failed, by_voice, unanswered."""
        return "retried" if self.retry else RESULTS.get(self.reason, "failed")


Links = Callable[[Order], str]
"""The signed link by which an order is seen and answered; "" when there is none."""

Undelivered = Callable[[Order, str], None]
"""Told when an order that was taken turns out not to arrive, and why: the far end's report of delivery."""


def no_link(_order: Order) -> str:
    """There is no page for responders."""
    return ""


class Channel(Protocol):
    """A way out. `run` keeps its connection until cancelled (never raises for a lost one); `deliver` may be called many times at once."""

    name: str

    async def run(self) -> None: ...

    async def deliver(self, order: Order) -> None:
        """Return when the far end (broker, web server) has confirmed it; raise DeliveryError otherwise.

        Cancelling: nobody knows whether it was sent; it may be sent again under the same delivery id.
        """
        ...
