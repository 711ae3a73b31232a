"""One MQTT connection of a simulator: opened again when it breaks, and honest about when it was down."""

import asyncio
import random
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiomqtt

RECONNECT_FIRST_S = 0.2
RECONNECT_MOST_S = 2.0
NODELAY = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)  # without it a lone message may wait 40 ms for nothing


class Client(aiomqtt.Client):
    """aiomqtt's, which hears a cancellation: `asyncio.wait_for` of Python 3.11 swallows one that comes together with the broker's answer."""

    async def _wait_for(self, fut: Awaitable[Any], timeout: float | None) -> Any:  # noqa: ASYNC109  # aiomqtt's signature
        try:
            async with asyncio.timeout(self.timeout if timeout is None else timeout):
                return await fut
        except TimeoutError:
            raise aiomqtt.MqttError("Operation timed out") from None


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """`mqtt://[user[:password]@]host[:port]`."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None

    @classmethod
    def parse(cls, url: str) -> "BrokerAddress":
        parts = urlsplit(url)
        if parts.scheme != "mqtt" or not parts.hostname:
            raise ValueError(f"broker: {url!r} is not like mqtt://127.0.0.1:1883")
        return cls(parts.hostname, parts.port or 1883, parts.username, parts.password)


@dataclass(slots=True)
class Link:
    """`use(client)` runs on every fresh connection until it breaks; `outages` counts breaks after the first success."""

    broker: BrokerAddress
    identifier: str
    keep_session: bool = False
    will: aiomqtt.Will | None = None
    outages: int = 0
    up: asyncio.Event = field(default_factory=asyncio.Event)
    down_since: float | None = None

    def client(self, *, clean: bool | None = None) -> Client:
        return Client(
            self.broker.host,
            self.broker.port,
            username=self.broker.username,
            password=self.broker.password,
            identifier=self.identifier,
            will=self.will,
            clean_session=not self.keep_session if clean is None else clean,
            keepalive=10,
            timeout=5,
            max_inflight_messages=20,
            socket_options=NODELAY,
        )

    async def run(self, use: Callable[[aiomqtt.Client], Awaitable[None]]) -> None:
        """Connect, use, and again after a break, until cancelled. Cancelling closes the connection."""
        pause = RECONNECT_FIRST_S
        while True:
            try:
                async with self.client() as client:
                    pause = RECONNECT_FIRST_S
                    self.up.set()
                    self.down_since = None
                    try:
                        await use(client)
                    finally:
                        if self.up.is_set():
                            self.up.clear()
                            self.down_since = time.monotonic()
            except aiomqtt.MqttError:
                if self.down_since is not None and pause == RECONNECT_FIRST_S:
                    self.outages += 1
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))
                pause = min(pause * 2, RECONNECT_MOST_S)

    async def forget_session(self) -> None:
        """Leave nothing behind on the broker: connect once with a clean session."""
        if self.keep_session:
            try:
                async with asyncio.timeout(2), self.client(clean=True):
                    pass
            except (aiomqtt.MqttError, TimeoutError):
                pass


async def together(*parts: Coroutine[object, object, object]) -> None:
    """Run parts that share one connection; the first broken connection ends all of them with a plain MqttError."""
    lost = False
    try:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(part)
    except* aiomqtt.MqttError:
        lost = True
    if lost:
        raise aiomqtt.MqttError("connection lost")
