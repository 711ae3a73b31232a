"""A fleet of wearables on a real broker: JSON to `wearables/<device>/event`, QoS 1, kept and sent again until the broker's PUBACK.

Payload: {"kind", "ts" (ms since 1970), "seq"?, "lat"?, "lon"?, "battery"?, "phase"?}; a heartbeat has "firmware" too.
"""

import asyncio
import json
import math
import time
from collections import deque
from dataclasses import dataclass, field

import aiomqtt

from simulators.mqtt_link import BrokerAddress, Link, together

TOPIC = "wearables/{device}/event"
CONNECTIONS = 4  # wearables share connections, as behind the cloud of one maker
IN_FLIGHT = 20  # the usual receive maximum of small devices
MAX_WAITING = 20_000  # messages kept while the broker is away: a fleet of 10,000 for two heartbeats
FIRMWARE = ("1.4.2", "1.4.2", "1.4.2", "1.3.0")  # a quarter of them was never updated
LIFE = frozenset({"heartbeat", "location", "telemetry", "motion"})


@dataclass(slots=True)
class Message:
    """One message and its fate. `ts` is the device's clock in ms; times are monotonic seconds."""

    device: str
    kind: str
    ts: int
    payload: bytes
    sent: float | None = None
    confirmed: float | None = None
    tries: int = 0
    copies: int = 1
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Fleet:
    """All wearables of a scenario. `alarms` keeps every message that is more than a sign of life."""

    def __init__(self, broker: BrokerAddress, *, prefix: str = "simulated-wearables", connections: int = CONNECTIONS) -> None:
        self.links = [Link(broker, f"{prefix}-{number}") for number in range(connections)]
        self.alarms: deque[Message] = deque(maxlen=MAX_WAITING)
        self.sent = 0
        self.confirmed = 0
        self.lost = 0
        self.duplicates = 0
        self._queues: list[asyncio.Queue[Message]] = [asyncio.Queue(MAX_WAITING) for _ in self.links]
        self._sequence: dict[str, int] = {}
        self._last_ts: dict[str, int] = {}

    @property
    def outages(self) -> int:
        return sum(link.outages for link in self.links)

    def send(
        self,
        device: str,
        kind: str,
        *,
        lat: float | None = None,
        lon: float | None = None,
        battery: float | None = None,
        phase: str | None = None,
        numbered: bool = True,
        lost: bool = False,
        copies: int = 1,
    ) -> Message:
        """Let a wearable say something now. `lost`: it never leaves; `copies`: the same message that many times (radio repeats)."""
        ts = max(time.time_ns() // 1_000_000, self._last_ts.get(device, 0) + 1)  # two cries of one device never share a ts
        self._last_ts[device] = ts
        sequence = self._sequence[device] = self._sequence.get(device, ts % 1_000_000) + 1
        body: dict[str, object] = {"kind": kind, "ts": ts}
        if numbered:
            body["seq"] = sequence
        for name, value in (("lat", lat), ("lon", lon), ("battery", battery), ("phase", phase)):
            if value is not None:
                body[name] = value
        if kind == "heartbeat":
            body["firmware"] = FIRMWARE[hash_of(device) % len(FIRMWARE)]
        message = Message(device, kind, ts, json.dumps(body).encode(), copies=copies)
        if lost:
            self.lost += 1
            return message
        if kind not in LIFE:
            self.alarms.append(message)
        self.sent += 1
        self.duplicates += copies - 1
        self._queues[hash_of(device) % len(self._queues)].put_nowait(message)
        return message

    async def run(self) -> None:
        """Keep all connections until cancelled; what has no PUBACK yet is then given up."""
        async with asyncio.TaskGroup() as group:
            for link, queue in zip(self.links, self._queues, strict=True):
                group.create_task(self._keep(link, queue), name=link.identifier)

    async def _keep(self, link: Link, queue: asyncio.Queue[Message]) -> None:
        unconfirmed: deque[Message] = deque()

        async def use(client: aiomqtt.Client) -> None:
            room = asyncio.Semaphore(IN_FLIGHT)
            async with asyncio.TaskGroup() as group:
                for message in list(unconfirmed):  # sent before the break and never confirmed: the same message again, first
                    await room.acquire()
                    group.create_task(deliver(client, message, room))
                while True:
                    await room.acquire()
                    message = await queue.get()
                    unconfirmed.append(message)
                    group.create_task(deliver(client, message, room))

        async def deliver(client: aiomqtt.Client, message: Message, room: asyncio.Semaphore) -> None:
            for _ in range(message.copies):
                message.tries += 1
                message.sent = message.sent or time.monotonic()
                await client.publish(TOPIC.format(device=message.device), message.payload, qos=1, timeout=math.inf)
            message.confirmed = time.monotonic()
            self.confirmed += 1
            unconfirmed.remove(message)
            message.done.set()
            room.release()

        async def until_broken(client: aiomqtt.Client) -> None:
            await together(use(client), notice_loss(client))

        await link.run(until_broken)


async def notice_loss(client: aiomqtt.Client) -> None:
    """Nothing is subscribed: the stream of messages only ends, with an error, when the connection does."""
    async for _ in client.messages:
        pass


def hash_of(text: str) -> int:
    """The same in every process, unlike hash()."""
    value = 0
    for letter in text.encode():
        value = value * 31 + letter & 0xFFFF_FFFF
    return value
