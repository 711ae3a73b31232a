"""Orders as texts: a SIP MESSAGE (RFC 3428) to the responder's address, short enough for one datagram. Answers: gateway.dispatch.text_answers."""

import re
from collections.abc import Callable

from drivers.telephone import Texter
from gateway.dispatch.contract import DeliveryError, Order
from gateway.dispatch.order_words import WORDS, read_order, short_text

MEDIA_TYPE = "text/plain;charset=utf-8"
MAX_TEXT = 800  # octets; with 500 for the headers it is under the 1300 of one datagram (RFC 3428, 8)
HOW_TO_ANSWER = WORDS["zh-CN"].answer
# Refusals that may pass: time-out, too large for now, too many, not there at the moment, busy (RFC 3261, 21.4; RFC 6585, 4).
PASSING = frozenset((408, 413, 429, 480, 486, 491))
_STATUS = re.compile(r"sip_([3-6]\d\d)")


class SipChannel:
    """`deliver` returns at a 2xx: the far end has the text. A withdrawal, and that somebody else goes, is told in the same way.

    4xx and 6xx are final, so that the next one up the tree is asked at once, except those in PASSING; 5xx, time-outs and failures of the
    network are worth trying again. texter: the line that sends, or None while it does not run.
    """

    name = "sip"

    def __init__(self, texter: Callable[[], Texter | None]) -> None:
        self._texter = texter

    async def run(self) -> None:
        """The sockets are the line's."""

    async def deliver(self, order: Order) -> None:
        """Send once. Cancelling: it may or may not arrive."""
        if not order.address:
            raise DeliveryError("no_address", retry=False)
        texter = self._texter()
        if texter is None:
            raise DeliveryError("line_down")
        reason = await texter.send_text(order.address, order_text(order.body), MEDIA_TYPE)
        if reason:
            raise DeliveryError(reason, retry=_is_passing(reason))


def order_text(body: bytes) -> bytes:
    """What the responder reads, from the JSON of the order: what, who, where, and how to answer. Least data, at most MAX_TEXT octets."""
    return short_text(read_order(body), limit=MAX_TEXT).encode()


def _is_passing(reason: str) -> bool:
    status = _STATUS.fullmatch(reason)
    if status is None:
        return True  # no answer at all: timeout, unreachable, line_down …
    code = int(status[1])
    return code in PASSING or 500 <= code < 600
