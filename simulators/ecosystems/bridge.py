"""Keeps one ecosystem on a broker, says what it says, and remembers every press. Its cable can be pulled: then the broker tells its last will."""

import asyncio
import contextlib
import socket
import time
from collections import deque
from dataclasses import dataclass, field

import aiomqtt

from simulators.ecosystems.said import Ecosystem, Said
from simulators.mqtt_link import BrokerAddress, Link, together

MAX_PRESSES = 20_000  # remembered for the judgement
MAX_WAITING = 20_000  # publishes on their way out
NOTICE_S = 0.02


@dataclass(frozen=True, slots=True)
class Press:
    """Somebody cried once. at: seconds since 1970; lost: the bridge was away, and nobody could hear it."""

    device: str
    kind: str = "sos"
    at: float = field(default_factory=time.time)
    lost: bool = False


class Bridge:
    """One connection of one ecosystem. `presses` is the truth of what people did, whatever became of it on the way."""

    def __init__(self, ecosystem: Ecosystem, broker: BrokerAddress, identifier: str = "") -> None:
        will = ecosystem.will
        self.ecosystem = ecosystem
        self.link = Link(
            broker,
            identifier or f"simulated-{ecosystem.name}",
            will=aiomqtt.Will(will.topic, will.payload, will.qos, will.retain) if will is not None else None,
        )
        self.presses: deque[Press] = deque(maxlen=MAX_PRESSES)
        self.sent = 0
        self.lost = 0
        self._waiting: asyncio.Queue[Said] = asyncio.Queue(MAX_WAITING)
        self._later = 0
        self._socket: socket.socket | None = None
        self._plugged = asyncio.Event()
        self._plugged.set()
        self._pulled = asyncio.Event()

    @property
    def is_up(self) -> bool:
        """Can anybody hear it? From the moment at which the cable is pulled: no, though the socket may not know yet."""
        return self.link.up.is_set() and self._plugged.is_set()

    @property
    def is_done(self) -> bool:
        """Has everything been said that was to be said?"""
        return self.is_up and not self._later and self._waiting.empty()

    def press(self, device: str, kind: str = "sos") -> Press:
        """Somebody presses, pulls or falls: one cry, however many messages it makes. KeyError: this device cannot say that."""
        now = time.time()
        said = self.ecosystem.press(device, kind, now)
        press = Press(device, kind, now, lost=not self.is_up)
        self.presses.append(press)
        self.say(said)
        return press

    def chatter(self, *devices: str) -> None:
        """What these (or all) devices say by themselves, once."""
        for device in devices or self.ecosystem.devices:
            self.say(self.ecosystem.routine(device, time.time()))

    def say(self, said: list[Said]) -> None:
        """Publish these, each at its time. What cannot go out is lost and counted, as with QoS 0."""
        loop = asyncio.get_running_loop()
        for one in said:
            if one.after_s > 0:
                self._later += 1
                loop.call_later(one.after_s, self._put_late, one)
            else:
                self._put(one)

    def cut(self) -> None:
        """Pull the cable: no goodbye, so that the broker tells the will. Stays away until `plug`."""
        self._plugged.clear()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self._pulled.set()

    def plug(self) -> None:
        self._plugged.set()

    async def run(self) -> None:
        """Stay connected until cancelled, except while the cable is pulled."""
        while True:
            await self._plugged.wait()
            self._pulled.clear()
            tasks = [asyncio.create_task(self.link.run(self._use)), asyncio.create_task(self._pulled.wait())]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                while self.link.up.is_set():  # noqa: ASYNC110 until the cut is noticed: to cancel before would say goodbye
                    await asyncio.sleep(NOTICE_S)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _use(self, client: aiomqtt.Client) -> None:
        self._socket = client._client.socket()  # type: ignore[assignment]  # only to be able to break it
        for said in self.ecosystem.greeting(time.time()):
            await self._publish(client, said)
        await together(self._send(client), _notice_loss(client))

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            await self._publish(client, await self._waiting.get())

    async def _publish(self, client: aiomqtt.Client, said: Said) -> None:
        await client.publish(said.topic, said.payload, qos=said.qos, retain=said.retain)
        self.sent += 1

    def _put_late(self, said: Said) -> None:
        self._later -= 1
        self._put(said)

    def _put(self, said: Said) -> None:
        if not self.is_up or self._waiting.full():
            self.lost += 1
        else:
            self._waiting.put_nowait(said)


async def _notice_loss(client: aiomqtt.Client) -> None:
    async for _ in client.messages:
        pass
