"""Those who are sent: subscribes `stations/+/dispatch`, keeps a record of every order and answers as the scenario says.

An order is a promise under one delivery id: the same id with a higher `repeat` is a second cry, the same id and repeat a
duplicate. Answers go to `stations/<responder>/reply`.
"""

import asyncio
import contextlib
import json
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiomqtt

from simulators.mqtt_link import BrokerAddress, Link, together

SUBSCRIPTION = "stations/+/dispatch"
REPLY = "stations/{responder}/reply"
MAX_ORDERS = 50_000  # kept for comparison; more than a day of a district
LATE_BY_S = 3.0  # how long after `reply_by` a late station wakes up


@dataclass(frozen=True, slots=True)
class Order:
    """One order as it arrived. `arrived` is monotonic seconds, `ts` what came on the wire; person is only the id."""

    responder: str
    delivery: str
    incident: str
    kind: str
    device: str | None
    ts: int | None
    repeat: int
    person: str | None
    severity: str
    reply_by: datetime | None
    arrived: float


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a responder answers. Seconds after the order (for `late`: after `reply_by`); each drawn between the two numbers.

    manner: helpful (accept, en_route, arrived, done), declines, late (accepts after its time is over), silent,
    never_arrives (accepts, sets out, and is not heard of again).
    """

    manner: str = "helpful"
    answer_after: tuple[float, float] = (0.5, 2.0)
    travel: tuple[float, float] = (4.0, 8.0)
    work: tuple[float, float] = (4.0, 8.0)


Choose = Callable[[Order, int], Behaviour]
"""The behaviour for an order; the number says how many responders of this incident were asked before (0: the first)."""


@dataclass(slots=True)
class Counts:
    """What the stations saw and said."""

    orders: int = 0
    repeats: int = 0
    duplicates: int = 0
    withdrawn: int = 0
    taken_by_other: int = 0
    unreadable: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    per_responder: dict[str, int] = field(default_factory=dict)


def be_helpful(_order: Order, _before: int) -> Behaviour:
    """What everybody does when nothing else is said."""
    return Behaviour()


class Stations:
    """All responders of a district that listen to the broker, played by one connection with a kept session."""

    def __init__(
        self, broker: BrokerAddress, *, choose: Choose | None = None, seed: object = 0, identifier: str = "simulated-stations", keep: int = MAX_ORDERS
    ) -> None:
        self.link = Link(broker, identifier, keep_session=True)
        self.orders: deque[Order] = deque(maxlen=keep)
        self.counts = Counts()
        self.answered: dict[str, list[tuple[str, float]]] = {}
        self.ready = asyncio.Event()
        self._choose = choose or be_helpful
        self._seed = seed
        self._seen: dict[tuple[str, int, int | None], None] = {}
        self._asked: dict[str, list[str]] = {}
        self._plays: dict[str, asyncio.Task[None]] = {}
        self._outgoing: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(MAX_ORDERS)

    async def run(self) -> None:
        """Listen and answer until cancelled; then forget the session on the broker."""
        try:
            await self.link.run(self._use)
        finally:
            for play in list(self._plays.values()):
                play.cancel()
            await asyncio.gather(*self._plays.values(), return_exceptions=True)

    async def _use(self, client: aiomqtt.Client) -> None:
        await client.subscribe(SUBSCRIPTION, qos=1)
        self.ready.set()
        await together(self._send_answers(client), self._listen(client))

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            self.receive(str(message.topic), message.payload if isinstance(message.payload, bytes) else b"")

    async def _send_answers(self, client: aiomqtt.Client) -> None:
        while True:
            topic, payload = await self._outgoing.get()
            try:
                await client.publish(topic, payload, qos=1)
            except aiomqtt.MqttError:
                with contextlib.suppress(asyncio.QueueFull):
                    self._outgoing.put_nowait((topic, payload))  # said again on the next connection
                raise

    def receive(self, topic: str, payload: bytes) -> None:
        """Take one message of the dispatch topic: an order, a withdrawal or the news that another one goes."""
        responder = topic.split("/")[1]
        try:
            body = json.loads(payload)
            delivery = str(body["delivery"])
        except (ValueError, KeyError, TypeError):
            self.counts.unreadable += 1
            return
        if body.get("withdrawn"):
            self.counts.withdrawn += 1
            self._stop(delivery)
        elif "taken_by" in body:
            self.counts.taken_by_other += 1
            self._stop(delivery)
        else:
            self._take(responder, delivery, body)

    def _take(self, responder: str, delivery: str, body: Mapping[str, object]) -> None:
        order = read_order(responder, delivery, body)
        if order is None:
            self.counts.unreadable += 1
            return
        identity = (delivery, order.repeat, order.ts)
        if identity in self._seen:
            self.counts.duplicates += 1
            return
        self._seen[identity] = None
        if len(self._seen) > MAX_ORDERS:
            self._seen.pop(next(iter(self._seen)))
        self.orders.append(order)
        if order.repeat:
            self.counts.repeats += 1
        if delivery in self.answered:
            return
        self.answered[delivery] = []
        self.counts.orders += 1
        self.counts.per_responder[responder] = self.counts.per_responder.get(responder, 0) + 1
        if len(self.answered) > MAX_ORDERS:
            self.answered.pop(next(iter(self.answered)))
        asked = self._asked.setdefault(order.incident, [])
        if len(self._asked) > MAX_ORDERS:
            self._asked.pop(next(iter(self._asked)))
        behaviour = self._choose(order, len(asked))
        asked.append(responder)
        play = asyncio.create_task(self._play(order, behaviour), name=f"station {responder}")
        self._plays[delivery] = play
        play.add_done_callback(lambda _: self._plays.pop(delivery, None))

    def _stop(self, delivery: str) -> None:
        play = self._plays.get(delivery)
        if play is not None:
            play.cancel()

    async def _play(self, order: Order, behaviour: Behaviour) -> None:
        seeded = random.Random(f"{self._seed}:{order.responder}:{order.device}")
        if behaviour.manner == "silent":
            return
        if behaviour.manner == "late" and order.reply_by is not None:
            await asyncio.sleep(max(0.0, (order.reply_by - datetime.now(UTC)).total_seconds()) + LATE_BY_S)
        await asyncio.sleep(seeded.uniform(*behaviour.answer_after))
        if behaviour.manner == "declines":
            self._answer(order, "decline", note="no_hands_free")
            return
        self._answer(order, "accept")
        await asyncio.sleep(seeded.uniform(0.2, 1.0))
        self._answer(order, "en_route")
        if behaviour.manner == "never_arrives":
            return
        await asyncio.sleep(seeded.uniform(*behaviour.travel))
        self._answer(order, "arrived")
        await asyncio.sleep(seeded.uniform(*behaviour.work))
        self._answer(order, "done")

    def _answer(self, order: Order, answer: str, note: str = "") -> None:
        body = {"delivery": order.delivery, "answer": answer, "by": f"duty-{order.responder}"}
        if note:
            body["note"] = note
        self.counts.answers[answer] = self.counts.answers.get(answer, 0) + 1
        self.answered.setdefault(order.delivery, []).append((answer, time.monotonic()))
        self._outgoing.put_nowait((REPLY.format(responder=order.responder), json.dumps(body).encode()))


def read_order(responder: str, delivery: str, body: Mapping[str, object]) -> Order | None:
    """The order of a message body, or None when it lacks what every order must have. Keeps ids only, never names or addresses."""
    person = body.get("person")
    reply_by = body.get("reply_by")
    ts, repeat = body.get("ts"), body.get("repeat", 0)
    if "incident" not in body or not isinstance(repeat, int) or not (ts is None or isinstance(ts, int)):
        return None
    try:
        deadline = datetime.fromisoformat(str(reply_by)) if reply_by else None
    except ValueError:
        return None
    return Order(
        responder,
        delivery,
        str(body["incident"]),
        str(body.get("kind", "")),
        None if body.get("device") is None else str(body["device"]),
        ts,
        repeat,
        str(person["id"]) if isinstance(person, dict) and person.get("id") else None,
        str(body.get("severity", "")),
        deadline.replace(tzinfo=UTC) if deadline is not None and deadline.tzinfo is None else deadline,
        time.monotonic(),
    )
