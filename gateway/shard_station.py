"""The last stage of an edge's probe: the owner of its shard sends a test order by its own channel to the test station, and says when that has it.

Nothing of it is stored, and nothing waits for it: what is under way when a core ends is a miss, and the next probe is the next owner's.
"""

import asyncio
from collections.abc import Callable, Mapping

from gateway.bus.shard_words import ProbeOrder, Reached
from gateway.bus.together import end
from gateway.clock import monotonic
from gateway.config import Config
from gateway.config.self_test import DAY_S
from gateway.dispatch.contract import Channel, DeliveryError
from gateway.errors import GatewayError
from gateway.self_test.station import Ear, listen, reach, test_order

UNDER_WAY = 64  # test orders of one shard at once, each with a connection: hundredths of a second each, unless the station is silent anyway


class ShardStation:
    """The test station as one shard's owner reaches it. config, channels: those of now."""

    def __init__(self, shard: int, config: Callable[[], Config], channels: Callable[[], Mapping[str, Channel]]) -> None:
        self._shard = shard
        self._config = config
        self._channels = channels
        self._under_way = 0
        self._leaving: set[asyncio.Task[None]] = set()

    async def reach(self, asked: ProbeOrder, device: str) -> Reached:
        """Answers when the station has it, or cannot; at the latest when the edge has given up."""
        test = self._config().self_test
        channel = self._channels().get(test.channel)
        if not test.station:
            return Reached(False, f"the core of shard {self._shard} has no self_test.station: write it as here, and restart that core")
        if (test.station, test.channel) != (asked.station, asked.channel):
            theirs = f"{test.station} ({test.channel}) at the core of shard {self._shard}"
            return Reached(False, f"self_test.station is {theirs} and {asked.station} ({asked.channel}) here: write the same on every machine")
        if channel is None:
            return Reached(False, f"the core of shard {self._shard} has no channel {test.channel}")
        if self._under_way + len(self._leaving) >= UNDER_WAY:
            return Reached(False, f"{UNDER_WAY} test orders of shard {self._shard} are under way: the test station does not answer")
        self._under_way += 1
        try:
            async with asyncio.timeout(min(asked.within_s, DAY_S)):
                return await self._send(channel, asked, device)
        except TimeoutError:
            return Reached(False)
        except DeliveryError as error:
            return Reached(False, error.reason)
        except (GatewayError, OSError, ValueError) as error:
            return Reached(False, str(error))
        finally:
            self._under_way -= 1

    async def _send(self, channel: Channel, asked: ProbeOrder, device: str) -> Reached:
        began, config = monotonic(), self._config()
        ear = await listen(config, asked.point, asked.within_s)
        try:
            listened_s = monotonic() - began
            await reach(channel, ear, test_order(config.self_test, asked.delivery, device, asked.at))
        finally:
            if ear is not None:
                self._leave(ear)
        return Reached(True, listened_s=listened_s)

    def _leave(self, ear: Ear) -> None:
        """Beside: the answer does not wait for goodbyes."""
        leaving = asyncio.create_task(ear.leave(), name="test-station")
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Say no more goodbyes."""
        await end(list(self._leaving))
