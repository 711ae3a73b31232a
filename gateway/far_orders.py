"""Orders that leave by a line of an edge ([dispatch.phone], .sip, .modem): a core asks `line.<line>.order`, the edge's own channel carries it out.

A question is answered within HOLD_S: with what came of the order, or that it is under way; then it is asked again, by whoever owns the shard by
then. So a core that dies while it rings leaves nothing behind: its heir asks for the same delivery and hears what came of it. What is pressed or
written travels as every station's answer does, over the stream of the shard.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import structlog
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from drivers.contract import Emit, Line, Rejected, Verdict
from drivers.telephone import Exchange, ShortTexter, Texter
from gateway.bus.contract import Bus, BusDown, Handler
from gateway.bus.shard_words import DONE, OpenMatter, answer_of, packed
from gateway.bus.together import end
from gateway.clock import monotonic, utc_now
from gateway.config import Config
from gateway.config.dispatch import DispatchConfig
from gateway.core.shards import Shards
from gateway.dispatch.contract import Channel, DeliveryError, Order
from gateway.dispatch.modem import ModemChannel
from gateway.dispatch.order_words import is_order, read_order
from gateway.dispatch.registry import build_channels
from gateway.dispatch.replies import read_reply, until_stored
from gateway.dispatch.sip import MEDIA_TYPE
from gateway.dispatch.text_answers import TextAnswers
from gateway.event import Event
from gateway.telephone import Telephone, dial_metrics

log = structlog.get_logger("line_orders")

HOLD_S = 5.0  # an edge answers a question within it …
ASK_S = 8.0  # … and one that has not answered within this was lost with its edge, or on its way
AGAIN_S = 1.0
SILENT_S = 60.0  # an edge that is started again is back within it, also with a province's register; then the order has failed
KEPT = 10_000  # orders whose end an edge remembers, or that are under way with it: as many as gateway.dispatch.phone counts
TEXT_S = 15.0  # a shard moves within ten; a telephone waits 32 s for the answer to its text (RFC 3261, 17.1.2.2)
MATTERS_S = 2.0
UNDELIVERED_S = 600.0  # so long it is tried to tell an owner of the shard; the order's own deadline has run out long before


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What came of an order. is_over: else it is under way. reason: "" = the far end has it; retry: as DeliveryError."""

    is_over: bool
    reason: str = ""
    retry: bool = False


UNDER_WAY = Outcome(False)


def subject_of(line: str) -> str:
    """Where orders by a line are asked."""
    return f"line.{line}.order"


def far_channels(config: Config, bus: Bus) -> dict[str, Channel]:
    """The channels of a core whose lines are on edges."""
    edges = {line.name: line.edge for line in config.line}
    return {channel: FarChannel(channel, line, edges.get(line, ""), bus) for channel, line in config.order_lines.items()}


class FarChannel:
    """dispatch.contract.Channel, by a line that an edge has."""

    def __init__(self, name: str, line: str, edge: str, bus: Bus) -> None:
        self.name = name
        self._line = line
        self._edge = edge
        self._bus = bus
        self._is_silent = False
        self._silent_since: OrderedDict[tuple[str, int], float] = OrderedDict()  # delivery and repeat → monotonic

    async def run(self) -> None:
        """The line is the edge's."""

    async def deliver(self, order: Order) -> None:
        """Ask until the edge says what came of it. Cancelling: the edge goes on, and whoever asks for this delivery next hears what came of it."""
        body = packed((self.name, order))
        while True:
            try:
                outcome = msgspec.msgpack.decode(await self._bus.ask(subject_of(self._line), body, ASK_S), type=Outcome)
            except (BusDown, msgspec.MsgspecError):
                raise self._silence(order) from None
            self._silent_since.pop((order.delivery, order.repeat), None)
            self._tell_silent(is_silent=False)
            if not outcome.is_over:
                continue
            if outcome.reason:
                raise DeliveryError(outcome.reason, retry=outcome.retry)
            return

    def _silence(self, order: Order) -> DeliveryError:
        """Nobody answers. The outbox looks whether the order is still wanted, and asks again; an order that waited for SILENT_S has failed."""
        self._tell_silent(is_silent=True)
        since = self._silent_since.setdefault((order.delivery, order.repeat), monotonic())
        if len(self._silent_since) > KEPT:
            self._silent_since.popitem(last=False)
        has_failed = monotonic() - since >= SILENT_S and is_order(read_order(order.body))  # what is no order is told as soon as it can be
        if has_failed:
            self._silent_since.pop((order.delivery, order.repeat), None)
        return DeliveryError(f"edge_silent: {self._edge}/{self._line}", retry=not has_failed)

    def _tell_silent(self, *, is_silent: bool) -> None:
        """Once when it is lost, once when it is back."""
        if is_silent and not self._is_silent:
            log.error("edge_silent: orders by its line wait", channel=self.name, line=self._line, edge=self._edge, fail_after_s=SILENT_S)
        elif self._is_silent and not is_silent:
            log.info("edge_answers", channel=self.name, line=self._line, edge=self._edge)
        self._is_silent = is_silent


class LineOrders:
    """Of an edge: orders that leave by its lines, and texts that are answers to them.

    lines: those of this edge; built: those that run; is_live: can this one be asked now? receive: the way to the shards.
    """

    def __init__(
        self,
        config: Config,
        lines: Collection[str],
        built: Mapping[str, Line],
        is_live: Callable[[str], bool],
        receive: Emit,
        bus: Bus,
        shards: Callable[[], Shards],
    ) -> None:
        self.lines = {channel: line for channel, line in config.order_lines.items() if line in lines}
        self.counts: Counter[tuple[str, str]] = Counter()  # (channel, sent | retried | failed | known)
        self._config = config
        self._built = built
        self._is_live = is_live
        self._receive = receive
        self._bus = bus
        self._shards = shards
        self._orders: OrderedDict[tuple[str, int, bytes], asyncio.Task[Outcome]] = OrderedDict()
        self._owed: dict[str, set[asyncio.Task[None]]] = {}  # delivery → answers that the bus does not have yet
        self._aside: set[asyncio.Task[None]] = set()
        self._matters: dict[str, Sequence[OpenMatter]] = {}
        self.telephone = Telephone(config.telephone, next(iter(config.calls.hotlines), ""), self._exchange)
        self.channels = build_channels(
            DispatchConfig(**{channel: getattr(config.dispatch, channel) for channel in self.lines}),
            config.folder,
            self._answered,
            lambda: self.telephone,
            self._texter,
            short_texter=self._short_texter,
            language=lambda: config.gateway.language,
            undelivered=self._undelivered,
        )
        self._texts: dict[str, TextAnswers] = {name: self._answers_over(name) for name in ("sip", "modem") if name in self.channels}

    # --- what a core asks --------------------------------------------------------------------------------------------

    def carrying_out(self, line: str) -> Handler | None:
        """Answers the cores; None: no orders leave by this line."""
        mine = [channel for channel, its in self.lines.items() if its == line]
        return self._asked if mine else None

    async def _asked(self, body: bytes) -> bytes:
        name, order = msgspec.msgpack.decode(body, type=tuple[str, Order])
        channel = self.channels.get(name)
        if channel is None:
            return packed(Outcome(True, f"no_channel_{name}"))
        key = (order.delivery, order.repeat, b"" if is_order(read_order(order.body)) else order.body)
        task = self._orders.get(key)
        if task is None:
            if not self._has_room():
                return packed(Outcome(True, "busy", retry=True))
            task = self._orders[key] = asyncio.get_running_loop().create_task(self._carry_out(channel, order), name=order.delivery)
        elif task.done():
            self.counts[name, "known"] += 1
        await asyncio.wait((task,), timeout=HOLD_S)
        if not task.done():
            return packed(UNDER_WAY)
        outcome = task.result()
        if outcome.retry and self._orders.get(key) is task:
            del self._orders[key]  # it was told; asked again it is tried again
        return packed(outcome)

    def _has_room(self) -> bool:
        """The oldest that is over is forgotten first; what is under way never."""
        if len(self._orders) < KEPT:
            return True
        over = next((key for key, task in self._orders.items() if task.done()), None)
        if over is not None:
            del self._orders[over]
        return over is not None

    async def _carry_out(self, channel: Channel, order: Order) -> Outcome:
        """Over when the bus has the answer, too, if somebody pressed a key."""
        try:
            await channel.deliver(order)
        except DeliveryError as error:
            self.counts[channel.name, error.result] += 1
            return Outcome(True, error.reason, error.retry)
        except Exception:  # a bug of the channel, or of ours; the order must not be lost by it
            log.exception("channel_bug", channel=channel.name)
            self.counts[channel.name, "retried"] += 1
            return Outcome(True, "failed", retry=True)
        while owed := self._owed.get(order.delivery):
            await asyncio.wait(tuple(owed))
        self.counts[channel.name, "sent"] += 1
        return Outcome(True)

    def _answered(self, responder: str, body: bytes) -> None:
        """Somebody pressed a key."""
        for event in read_reply(responder, body, utc_now()):
            delivery = str(event.detail.get("delivery")) if isinstance(event, Event) else ""
            task = self._keep(until_stored(self._receive, [event]))
            self._owed.setdefault(delivery, set()).add(task)
            task.add_done_callback(partial(self._settled, delivery))

    def _settled(self, delivery: str, task: "asyncio.Task[None]") -> None:
        owed = self._owed[delivery]
        owed.discard(task)
        if not owed:
            del self._owed[delivery]

    def _undelivered(self, order: Order, reason: str) -> None:
        self._keep(self._tell_undelivered(order, reason))

    async def _tell_undelivered(self, order: Order, reason: str) -> None:
        """A text that was taken does not arrive: the owner of the order hears it."""
        subject = f"shard.{self._shards().of_delivery(order.delivery)}.undelivered"
        body, give_up = packed((order.delivery, order.repeat, reason)), monotonic() + UNDELIVERED_S
        while monotonic() < give_up:
            try:
                if answer_of(await self._bus.ask(subject, body, MATTERS_S)).outcome == DONE:
                    return
            except (BusDown, msgspec.MsgspecError):
                pass  # it moves
            await asyncio.sleep(AGAIN_S)

    # --- texts that come in ------------------------------------------------------------------------------------------

    def emit_of(self, line: str, emit: Emit) -> Emit:
        """Where the events of a line go: past whoever knows texts that are answers, if orders leave by it."""
        channel = next((channel for channel, its in self.lines.items() if its == line and channel in self._texts), None)
        return emit if channel is None else partial(self._read_texts, channel, emit)

    async def _read_texts(self, channel: str, emit: Emit, events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        """A text of a responder is held until all shards have said which orders it can mean; while one says nothing it is to be sent again."""
        answers = self._texts[channel]
        writers = [answers.writer(event) for event in events]
        names = {one.id for one in writers if one is not None}
        matters = await self._open_orders(channel, names) if names else ()
        if matters is not None:
            self._matters[channel] = matters
            return await answers.receive(events, emit)  # reads before it waits for anything
        others = [event for event, writer in zip(events, writers, strict=True) if writer is None]
        verdicts = iter(await emit(others) if others else ())
        return [next(verdicts) if writer is None else Verdict("refused", "busy", retry=True) for writer in writers]

    async def _open_orders(self, channel: str, responders: Collection[str]) -> Sequence[OpenMatter] | None:
        """What is open with these responders in all shards; None: a shard does not say."""
        body = packed((channel, sorted(responders)))

        async def of_shard(shard: int) -> list[OpenMatter]:
            while True:
                try:
                    answer = answer_of(await self._bus.ask(f"shard.{shard}.open_orders", body, MATTERS_S))
                    if answer.outcome == DONE:
                        return msgspec.msgpack.decode(answer.body, type=list[OpenMatter])
                except (BusDown, msgspec.MsgspecError):
                    pass  # it moves
                await asyncio.sleep(AGAIN_S)

        try:
            async with asyncio.timeout(TEXT_S):
                found = await asyncio.gather(*(of_shard(shard) for shard in range(self._shards().count)))
        except TimeoutError:
            log.warning("answers_wait: a shard does not say what is open", channel=channel)
            return None
        return [matter for of_one in found for matter in of_one]

    def _answers_over(self, channel: str) -> TextAnswers:
        return TextAnswers(
            lambda: self._shards().register,
            lambda: self._matters.get(channel, ()),
            lambda address, text: self._say(channel, address, text),
            channel=channel,
            language=lambda: "zh-CN" if channel == "sip" else self._config.gateway.language,
        )

    def _say(self, channel: str, address: str, text: str) -> None:
        way, texter = self.channels.get(channel), self._texter()
        if isinstance(way, ModemChannel):
            self._keep(way.say(address, text))
        elif texter is not None:
            self._keep(_sent(texter, address, text))

    # --- lines -------------------------------------------------------------------------------------------------------

    def _exchange(self) -> Exchange | None:
        name = self.lines.get("phone", "")
        line = self._built.get(name)
        return line if isinstance(line, Exchange) and self._is_live(name) else None

    def _texter(self) -> Texter | None:
        line = self._built.get(self.lines.get("sip", ""))
        return line if isinstance(line, Texter) else None

    def _short_texter(self) -> ShortTexter | None:
        line = self._built.get(self.lines.get("modem", ""))
        return line if isinstance(line, ShortTexter) else None

    # --- the rest ----------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Whoever asks for what was under way begins again, with the edge that comes."""
        await end([*self._orders.values(), *self._aside])

    def _keep(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)
        return task


async def _sent(texter: Texter, address: str, text: str) -> None:
    await texter.send_text(address, text.encode(), MEDIA_TYPE)


class LineOrderCollector(Collector):
    """What the edge was asked for, and what came of it: no number, no name."""

    def __init__(self, orders: LineOrders) -> None:
        self._orders = orders

    def collect(self) -> Iterator[Metric]:
        asked = CounterMetricFamily(
            "gateway_line_orders", "Orders that cores asked this edge to carry out, by outcome", labels=["channel", "outcome"]
        )
        for channel in self._orders.lines:
            for outcome in ("sent", "retried", "failed", "known"):
                asked.add_metric([channel, outcome], self._orders.counts[channel, outcome])
        yield asked
        if "phone" in self._orders.lines:
            yield from dial_metrics(self._orders.telephone)
