"""How far behind a shard is, what it says of what the bus lost, and that its reader ends when it is told to."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from types import ModuleType

import pytest
from waiting import wait_until

from drivers.contract import STORED, Rejected, Verdict
from gateway.bus.contract import Envelope, MadeAnew, Message, Refusal
from gateway.bus.follower import Follower
from gateway.bus.nats_wait import USERS, mend, wait_for
from gateway.bus.together import end
from gateway.event import Event

mend()
REFUSED = (Refusal("frame", b"?", "north", None, ""),)


class _Bus:
    """One message that an edge had a minute ago, and then silence."""

    async def follow(self, shard: int, after: int, made: int) -> AsyncIterator[Message]:
        yield Message(1, Envelope("north", time.time() - 60.0, (), REFUSED))
        await asyncio.Event().wait()


async def test_the_lag_is_the_age_of_the_oldest_message_that_is_not_on_disk() -> None:
    is_up = asyncio.Event()

    async def receive(events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        await is_up.wait()
        return [STORED for _ in events]

    async def keep(_: bool) -> bool:
        return True

    follower = Follower(0, _Bus(), receive, lambda _: None, keep, 60.0)  # type: ignore[arg-type]
    assert follower.lag_s == 0
    reading = asyncio.create_task(follower.run(0, 0))
    try:
        await wait_until(lambda: follower.under_way == 1, "it is read")
        assert 60 <= follower.lag_s < 70
        is_up.set()
        await wait_until(lambda: follower.position == 1, "it is on disk")
        assert follower.lag_s == 0
    finally:
        await end([reading])


class _Hole(_Bus):
    """Its next leader did not have the messages 4 to 6."""

    async def follow(self, shard: int, after: int, made: int) -> AsyncIterator[Message]:
        for sequence in (3, 7, 8):
            yield Message(sequence, Envelope("north", time.time(), (), REFUSED))
        await asyncio.Event().wait()


async def test_what_the_bus_lost_is_told_before_what_follows_it_is_read() -> None:
    told: list[object] = []

    async def receive(events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        told.append("read")
        return [STORED for _ in events]

    async def keep(_: bool) -> bool:
        return True

    async def lost(position: int, messages: int) -> None:
        await wait_until(lambda: told == ["read"], "what came before is read")
        told.append((position, messages))

    follower = Follower(0, _Hole(), receive, lambda _: None, keep, 60.0, lost)  # type: ignore[arg-type]
    reading = asyncio.create_task(follower.run(2, 0))
    try:
        await wait_until(lambda: follower.position == 8, "all that is there is on disk")
        assert told == ["read", (3, 3), "read", "read"]
    finally:
        await end([reading])


class _Gone(_Bus):
    """Its stream is taken away, and another one is made, while what was read of it waits for the disk."""

    async def follow(self, shard: int, after: int, made: int) -> AsyncIterator[Message]:
        yield Message(1, Envelope("north", time.time(), (), REFUSED))
        raise MadeAnew("another one")


async def test_what_was_read_of_a_stream_that_is_gone_is_on_disk_before_the_next_one_is_read() -> None:
    is_up, stored = asyncio.Event(), []

    async def receive(events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        await is_up.wait()
        stored.append(len(events))
        return [STORED for _ in events]

    async def keep(_: bool) -> bool:
        return True

    follower = Follower(0, _Gone(), receive, lambda _: None, keep, 60.0)  # type: ignore[arg-type]
    reading = asyncio.create_task(follower.run(0, 0))
    try:
        await wait_until(lambda: follower.under_way == 1, "it is read")
        for _ in range(20):
            await asyncio.sleep(0)
        assert not reading.done(), "nobody else has it any more"
        is_up.set()
        with pytest.raises(MadeAnew):
            await asyncio.wait_for(reading, 30)
        assert (stored, follower.position) == ([1], 1)
    finally:
        await end([reading])


@pytest.mark.parametrize("user", USERS)
async def test_a_cancellation_is_heard_that_comes_with_the_answer(user: ModuleType) -> None:
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(user.asyncio.wait_for(answer, 60))
    await asyncio.sleep(0)
    answer.set_result(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_who_waits_in_vain_is_told() -> None:
    with pytest.raises(TimeoutError):
        await wait_for(asyncio.Event().wait(), 0.01)
