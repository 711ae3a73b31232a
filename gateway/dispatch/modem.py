"""Orders as short messages through a serial GSM modem of our own: no provider, no internet. The modem is a line (drivers.modem)."""

import asyncio
from collections.abc import Callable

import structlog

from drivers.telephone import ShortText, ShortTexter
from gateway.config.dispatch import ModemChannelConfig
from gateway.dispatch.contract import DeliveryError, Order, Undelivered
from gateway.dispatch.order_words import coded_answers, read_order, short_text
from gateway.dispatch.short_messages import Awaited, Pace

MAX_TEXT = 600  # octets of UTF-8: 200 Chinese characters, three parts of 67 (3GPP TS 23.040, 9.2.3.24.1)
# What the network says of the number itself (3GPP TS 24.011, annex E): unassigned, barred, unidentified and unknown subscriber, facility rejected,
# not subscribed; and of what was handed to the modem: invalid parameter (3GPP TS 27.005, 3.2.5).
FINAL = frozenset(("bad_number", *(f"cms_{code}" for code in (1, 8, 10, 21, 28, 29, 30, 50, 304))))

log = structlog.get_logger("modem")


class ModemChannel:
    """`deliver` returns when the network has taken every part; a later report that it will not arrive makes the order fail after all."""

    name = "modem"

    def __init__(
        self,
        config: ModemChannelConfig,
        texter: Callable[[], ShortTexter | None],
        language: Callable[[], str] = lambda: "zh-CN",
        undelivered: Undelivered = lambda _order, _reason: None,
    ) -> None:
        self._texter = texter
        self._language = language
        self._undelivered = undelivered
        self._pace = Pace(config.per_minute)
        self._awaited = Awaited()

    async def run(self) -> None:
        """The port is the line's."""
        await asyncio.get_running_loop().create_future()

    async def deliver(self, order: Order) -> None:
        """Send once. Cancelling: it may still leave."""
        if not order.address:
            raise DeliveryError("no_number", retry=False)
        language = self._language()
        how = coded_answers(order.delivery, language)
        text = short_text(read_order(order.body), language, how=how, limit=MAX_TEXT)
        name = f"{order.delivery}.{order.repeat}"
        self._awaited.put(name, order)  # a report may come before the answer of the modem was read
        reason = await self._send(ShortText(id=name, number=order.address, text=text))
        if reason:
            self._awaited.pop(name)
            raise DeliveryError(reason, retry=reason not in FINAL)

    async def say(self, number: str, text: str) -> None:
        """A short text that is no order; whether it arrives decides nothing."""
        try:
            reason = await self._send(ShortText(id="", number=number, text=text))
        except DeliveryError as error:
            reason = error.reason
        if reason:
            log.warning("text_not_sent", channel=self.name, reason=reason)

    def _send_fate(self, name: str) -> None:
        order = self._awaited.pop(name)
        if order is not None:
            self._undelivered(order, "undelivered")

    async def _send(self, text: ShortText) -> str:
        texter = self._texter()
        if texter is None:
            return "line_down"
        texter.on_fate = self._send_fate
        await self._pace.turn()
        return await texter.send_short(text)
