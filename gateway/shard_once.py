"""What is asked of a shard under a key is done once: who asks again, as it takes long or the answer was lost, hears of the same.

A shard that moves meanwhile has forgotten it, and its new owner does it again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.bus.together import end
from gateway.mirror_asking import Asking

WAIT_S = 1.0  # so long an answer waits for the end: below mirror_asking.ONCE_S
KEPT = 256  # done, of which may still be asked: some seconds of a storm


class Once:
    """Of the owner of a shard."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[Any]] = {}

    async def do(self, key: str, work: Callable[[], Awaitable[Any]]) -> list[Any]:
        """[what came of it], or [] while it is still being done. What has failed is done anew when it is asked again. key: "" = another each time."""
        task = self._tasks.get(key) if key else None
        if task is None:
            task = asyncio.create_task(_run(work))
            task.add_done_callback(lambda one: one.cancelled() or one.exception())  # perhaps nobody asks any more: that is no complaint
            self._tasks[key or task.get_name()] = task
            for old in [name for name, one in self._tasks.items() if one.done()][:-KEPT]:
                del self._tasks[old]
        done, _ = await asyncio.wait((task,), timeout=WAIT_S)
        if not done:
            return []
        if task.cancelled() or task.exception() is not None:
            self._tasks.pop(key, None)
        return [task.result()]

    async def close(self) -> None:
        """The shard goes."""
        await end(list(self._tasks.values()))


async def _run(work: Callable[[], Awaitable[Any]]) -> Any:
    return await work()


async def until_done(asking: Asking, shard: int, verb: str, wanted: object, kind: Any) -> Any:
    """Ask until it is done, however long that takes. Raises Refused, StoreDown as soon as nobody answers."""
    while not (found := await asking.ask(shard, verb, wanted, list[kind])):
        pass
    return found[0]
