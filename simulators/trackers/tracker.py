"""What all simulated trackers share: one link at a time, one alarm in flight, repeats until answered, a reboot when nobody answers."""

import asyncio
import contextlib
import random
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from simulators.sent import Sent, new_record
from simulators.wire import TcpWire, UdpWire

MAX_BUFFER = 65_536


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. answer_s: until an alarm is said again; growth: each further wait is so much longer at each repetition (JT/T 808: T x (n + 1));
    misses: unanswered keep-alives or logins in a row before the device starts anew; boot_s: how long that takes.
    """

    answer_s: float = 5.0
    tries: int = 3
    alive_s: float = 60.0
    misses: int = 5
    boot_s: float = 1.0
    is_growing: bool = False


@dataclass(slots=True)
class Cry:
    """One alarm on its way. kind: the protocol's word; facts: what its frame needs beside."""

    sent: Sent
    kind: str = "sos"
    facts: dict[str, Any] = field(default_factory=dict)
    serial: int = 0


class Rebooted(Exception):
    """The device has given this link up."""


class Tracker:
    """One device. Subclasses know the bytes: `greet`, `write_alarm`, `write_alive`, `read`."""

    def __init__(self, identity: str, wire: TcpWire | UdpWire, patience: Patience, seed: object = 0) -> None:
        self.identity = identity
        self.wire = wire
        self.patience = patience
        self.sent = new_record()
        self.reboots = 0
        self.links = 0
        self.alive_sent = 0
        self.alive_answered = 0
        self.texts = 0  # what its wearer was told
        self.is_greeted = asyncio.Event()
        self.random = random.Random(f"{seed}:{identity}")
        self._waiting: deque[Cry] = deque()
        self._wake = asyncio.Event()
        self._buffer = bytearray()
        self._heard: deque[tuple[object, ...]] = deque(maxlen=100)
        self._serial = 0

    def press(self, kind: str = "sos", **facts: Any) -> Sent:
        """The wearer presses, falls …: said until answered."""
        sent = Sent(self.identity, "press" if kind in ("sos", "fall") else kind)
        self.sent.append(sent)
        self._waiting.append(Cry(sent, kind, facts))
        self._wake.set()
        return sent

    def cut(self) -> None:
        """The mobile network drops the link."""
        self.wire.close()
        self.wire.connection_lost(None)

    async def run(self) -> None:
        """Dial, greet, talk, and again, until cancelled."""
        try:
            while True:
                try:
                    await self.wire.open()
                    self.links += 1
                    await self._session()
                except (OSError, Rebooted):
                    self.reboots += 1
                self.is_greeted.clear()
                self.wire.close()
                self._buffer.clear()
                await asyncio.sleep(self.patience.boot_s * self.random.uniform(0.5, 1.5))
        finally:
            self.wire.close()

    async def _session(self) -> None:
        self._heard.clear()
        await self.greet()
        self.is_greeted.set()
        await self.first_things()
        misses, due = 0, time.monotonic()
        while self.wire.plugged:
            if self._waiting:
                await self._deliver(self._waiting[0])
                self._waiting.popleft()
            elif time.monotonic() >= due:
                due = time.monotonic() + self.patience.alive_s
                frame, key = self.write_alive()
                self.alive_sent += 1
                if await self.ask(frame, key, self.patience.answer_s):
                    misses = 0
                    self.alive_answered += 1
                else:
                    misses, due = misses + 1, 0.0
                    if misses >= self.patience.misses:
                        raise Rebooted
            else:
                await self._rest(due - time.monotonic())

    async def _rest(self, seconds: float) -> None:
        """Until there is something to say; what comes meanwhile is read."""
        self._wake.clear()
        if self._waiting:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                waker, reader = asyncio.create_task(self._wake.wait()), asyncio.create_task(self._take(seconds))
                try:
                    await asyncio.wait((waker, reader), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waker.cancel()
                    reader.cancel()
                    await asyncio.gather(waker, reader, return_exceptions=True)

    async def _deliver(self, cry: Cry) -> None:
        """Said until answered; a link that gives no answer is given up, and the alarm goes first over the next one."""
        wait_s = self.patience.answer_s
        for turn in range(self.patience.tries):
            frame, key = self.write_alarm(cry, turn)
            cry.sent.tries += 1
            if await self.ask(frame, key, wait_s):
                cry.sent.confirm(str(key[0]))
                await self.after_alarm(cry)
                return
            if not self.wire.plugged:
                raise Rebooted
            wait_s *= turn + 2 if self.patience.is_growing else 1
        cry.sent.answers.append("none")
        raise Rebooted

    async def ask(self, frame: bytes, key: tuple[object, ...], within_s: float) -> bool:
        """Send, and read until the answer that `key` names is there."""
        self.wire.write(frame)
        deadline = time.monotonic() + within_s
        while key not in self._heard:
            left = deadline - time.monotonic()
            if left <= 0 or not self.wire.plugged:
                return False
            await self._take(left)
        self._heard.remove(key)
        return True

    async def _take(self, within_s: float) -> None:
        self._buffer += await self.wire.read_some(within_s)
        del self._buffer[:-MAX_BUFFER]
        self._heard.extend(self.read(self._buffer))

    def next_serial(self) -> int:
        self._serial = self._serial % 0xFFFF + 1
        return self._serial

    async def greet(self) -> None:
        """Log in, or whatever comes first. Raises Rebooted when nobody answers."""

    async def first_things(self) -> None:
        """What goes out before anything else on a new link."""

    async def after_alarm(self, cry: Cry) -> None:
        """What follows an alarm that was answered."""

    def write_alarm(self, cry: Cry, _turn: int) -> tuple[bytes, tuple[object, ...]]:
        """The frame of this turn, and the answer that confirms it."""
        raise NotImplementedError

    def write_alive(self) -> tuple[bytes, tuple[object, ...]]:
        """A keep-alive, and its answer."""
        raise NotImplementedError

    def read(self, buffer: bytearray) -> list[tuple[object, ...]]:
        """Cut whole frames off the buffer; give the answers in them. Commands are obeyed here."""
        raise NotImplementedError
