"""Orders by telephone: the responder is rung, hears that help is wanted, and presses a key. The key is the answer."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, Protocol

import msgspec

from drivers.telephone import Told
from gateway.config import PhoneChannelConfig
from gateway.dispatch.contract import TELL_BY_VOICE, DeliveryError, Order
from gateway.dispatch.webhook import Answered
from gateway.event import new_id

# Deliveries whose attempts are counted: more than can be under way (outbox, AT_ONCE); the oldest is forgotten first.
COUNTED = 10_000
WORTH_TRYING = frozenset(("busy", "no_answer", "no_key", "lost", "failed"))
NOT_RUNG = frozenset(("no_telephone", "not_connected"))  # the exchange was away: no attempt was made; the order's own deadline goes on
SAY = {"critical": "12349紧急求助，请马上前往。", "major": "12349求助，请前往。"}


class Ringer(Protocol):
    """What the channel needs of the telephone (`gateway.telephone.Telephone`)."""

    async def ring(self, number: str, say: str, keys: tuple[str, ...], wish_id: str = "", is_urgent: bool = True) -> Told:
        """Ring, say, take one of the keys. wish_id: under which it can be hung up."""
        ...

    async def hang_up(self, call: str) -> Told:
        """End it."""
        ...


class _Ringing(NamedTuple):
    """An order that rings, or waits for its turn to."""

    id: str
    told: asyncio.Future[Told]


class PhoneChannel:
    """`deliver` returns when a key was pressed: accept and decline go the way of every answer. Nobody is rung for a withdrawal."""

    name = "phone"

    def __init__(self, config: PhoneChannelConfig, ringer: Callable[[], Ringer], answered: Answered) -> None:
        self._config = config
        self._ringer = ringer
        self._answered = answered
        self._attempts: OrderedDict[str, int] = OrderedDict()
        self._ringing: dict[str, _Ringing] = {}  # by delivery

    async def run(self) -> None:
        """The connection is the exchange line's."""

    async def deliver(self, order: Order) -> None:
        """Ring once; the outbox rings again. After so many attempts the order has failed, and the next one up the tree is asked."""
        body = msgspec.json.decode(order.body)
        if "kind" not in body:
            await self._recall(order.delivery)
            return
        config = self._config
        if not order.address:
            raise DeliveryError("no_number", retry=False)
        say = f"{SAY.get(body['severity'], SAY['major'])}接受请按{config.accept_key}，不能去请按{config.decline_key}。"
        told = await self._rung(order, say, body["severity"] in SAY)
        if told.is_done:
            self._attempts.pop(order.delivery, None)
            answer = "accept" if told.key == config.accept_key else "decline"
            self._answered(order.responder, msgspec.json.encode({"delivery": order.delivery, "answer": answer}))
            return
        if told.outcome == "lost" and told.reason in NOT_RUNG:
            raise DeliveryError(told.reason)
        tried = self._attempts.pop(order.delivery, 0) + 1
        self._attempts[order.delivery] = tried
        if len(self._attempts) > COUNTED:
            self._attempts.popitem(last=False)
        raise DeliveryError(
            told.outcome if told.outcome != "refused" else told.reason, retry=told.outcome in WORTH_TRYING and tried < config.attempts
        )

    async def _rung(self, order: Order, say: str, is_urgent: bool) -> Told:
        """Ring, unless this very order is ringing already: a second cry must not find the telephone engaged by the first."""
        ringing = self._ringing.get(order.delivery)
        if ringing is None:
            keys, name = (self._config.accept_key, self._config.decline_key), new_id()
            told = asyncio.ensure_future(self._ringer().ring(order.address, say, keys, name, is_urgent))
            ringing = self._ringing[order.delivery] = _Ringing(name, told)
            ringing.told.add_done_callback(lambda _: self._ringing.pop(order.delivery, None))
        try:
            return await asyncio.shield(ringing.told)
        except asyncio.CancelledError:
            if ringing.told.cancelled():
                return Told(outcome="failed", reason="withdrawn")
            ringing.told.cancel()
            raise

    async def _recall(self, delivery: str) -> None:
        """Withdrawn, or somebody else goes: what rings falls silent. Who has heard the order must be told by a person; the journal says so."""
        ringing = self._ringing.get(delivery)
        if ringing is None:
            raise DeliveryError(TELL_BY_VOICE, retry=False)
        await self._ringer().hang_up(ringing.id)
        ringing.told.cancel()
