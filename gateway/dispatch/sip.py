"""Orders as texts: a SIP MESSAGE (RFC 3428) to the responder's address, short enough for one datagram. Answers: gateway.dispatch.text_answers."""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from drivers.telephone import Texter
from gateway.dispatch.contract import DeliveryError, Order
from gateway.dispatch.words import kind_said

MEDIA_TYPE = "text/plain;charset=utf-8"
MAX_TEXT = 800  # octets; with 500 for the headers it is under the 1300 of one datagram (RFC 3428, 8)
MAX_NAME, MAX_ADDRESS = 30, 160  # characters of a name and of an address
HOW_TO_ANSWER = "回复：1 接受，2 拒绝，3 到达，4 完成"
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
    said = msgspec.json.decode(body, type=dict[str, Any])
    incident = said["incident"]
    if "taken_by" in said:
        return f"【12349】{incident} 已有人前往，您不必再去。".encode()
    if "withdrawn" in said:
        return f"【12349】{incident} 已撤回，您不必前往。".encode()
    again = "再次呼叫，" if said.get("repeat") else ""
    head = f"【12349】{again}{kind_said(said['kind'])} {incident}："
    tail = f"。{HOW_TO_ANSWER}"
    return head.encode() + _cut(_where(said), MAX_TEXT - len(head.encode()) - len(tail.encode())) + tail.encode()


def _where(said: dict[str, Any]) -> str:
    person = said.get("person")
    if person is not None:
        age = f"{person['age']}岁" if person.get("age") else ""
        parts = [str(person.get("name") or "")[:MAX_NAME], age, str(person.get("address") or "")[:MAX_ADDRESS]]
        if parts[-1]:
            return "，".join(part for part in parts if part)
    else:
        parts = [f"设备 {said['device']}" if said.get("device") else ""]
    position = said.get("position")
    if position is not None:
        parts.append(f"位置 {position['lat']:.5f},{position['lon']:.5f}")
    return "，".join(part for part in parts if part) or "地点请问 12349"


def _cut(text: str, limit: int) -> bytes:
    """The text in UTF-8, at most so many octets and no half character."""
    return text.encode()[:limit].decode("utf-8", "ignore").encode()


def _is_passing(reason: str) -> bool:
    status = _STATUS.fullmatch(reason)
    if status is None:
        return True  # no answer at all: timeout, unreachable, line_down …
    code = int(status[1])
    return code in PASSING or 500 <= code < 600
