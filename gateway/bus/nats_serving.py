"""Does the server that we hang on serve our streams? One that is cut off from the other servers answers every ping, and keeps nothing: leave it.

Proof is what only a majority can say, or a leader who hears one: a message is kept, this is the stream. A reader's beats are none: the server that
is cut off may have the reader itself, and beat to it for ever; nor is what a leader tells who hears nobody any more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from gateway.clock import monotonic

log = structlog.get_logger("bus")

LOOK_S = 1.0  # so often one stream after the other is asked for
DEAF_S = 5.0  # without proof: a stream whose leader died has a new one within one to three seconds …
DEAF_LOOKS = 3  # … and so many looks in vain
LATE_S = 0.5  # woken so late we have been busy ourselves, and a look in vain says nothing about the server …
LATE_DEAF_S = 20.0  # … until none had proof for so long: who is always late may hang on a deaf server as well
RESTS_S = 30.0  # none of them serves: changing helps nobody then, and questions that are under way get lost by it


class Connection(Protocol):
    """As much of a client as this wants."""

    @property
    def is_connected(self) -> bool: ...

    @property
    def servers(self) -> Sequence[object]: ...

    async def force_reconnect(self) -> None: ...


class Serving:
    """`is_deaf`: connected, and not served. `left`: how often a server was left for another, since the start."""

    def __init__(self, client: Connection, shards: int, look: Callable[[int], Awaitable[bool]], longest_s: float) -> None:
        """look: is this shard's stream spoken for? It says so within longest_s."""
        self.is_deaf = False
        self.left = 0
        self._client = client
        self._shards = shards
        self._look = look
        self._longest_s = longest_s
        self._proven_at = monotonic()
        self._in_vain = 0
        self._tried = 0  # servers since one has served us
        self._rests_until = 0.0

    def proven(self) -> None:
        """A stream was spoken for."""
        self._proven_at = monotonic()
        if self.is_deaf:
            log.info("bus_serves_again")
        self.is_deaf, self._tried, self._in_vain = False, 0, 0

    def connected(self) -> None:
        """To a server that has yet to prove anything."""
        self._proven_at, self._in_vain = monotonic(), 0

    async def run(self) -> None:
        """Until cancelled."""
        shard = 0
        while True:
            began = monotonic()
            await asyncio.sleep(LOOK_S)
            asked = monotonic()
            shard = (shard + 1) % self._shards
            if not self._client.is_connected:
                continue
            try:
                if await self._look(shard):
                    self.proven()
                elif self._client.is_connected:
                    await self._unproven(was_late=asked - began >= LOOK_S + LATE_S or monotonic() - asked >= self._longest_s + LATE_S)
            except Exception:
                log.exception("bus_serving_bug")

    async def _unproven(self, was_late: bool) -> None:
        now = monotonic()
        if was_late and now - self._proven_at < LATE_DEAF_S:
            return
        self._in_vain += 1
        if not self.is_deaf and (now - self._proven_at < DEAF_S or self._in_vain < DEAF_LOOKS):
            return
        if not self.is_deaf:
            log.error("bus_deaf: this server answers, and no stream is served through it: it is left for another", for_s=round(now - self._proven_at))
        self.is_deaf = True
        if now < self._rests_until:
            return
        self._tried += 1
        if self._tried > len(self._client.servers):
            self._tried, self._rests_until = 0, now + RESTS_S
            log.error("no server of the bus serves the streams", again_s=RESTS_S)
            return
        self.left += 1
        await self._client.force_reconnect()
