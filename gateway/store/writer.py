"""The writer thread: blocking store calls, one after the other, awaited from the loop.

A `ThreadPoolExecutor` would do; it takes some 30 µs more for each hand-over, which at a thousand alarms a second is a tenth of the budget.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any


class Writer:
    """One thread, started at once; `close` ends it after what was asked of it."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...], asyncio.Future[Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    async def run(self, call: Callable[..., Any], *args: Any) -> Any:
        """Run it in the thread and give what it gives or raises. Cancelling: it is done all the same."""
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked.put((call, args, done))
        return await done

    def close(self) -> None:
        """Finish what was asked and end the thread."""
        self._asked.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            call, args, done = asked
            try:
                result = call(*args)
            except Exception as error:
                _tell(done, _fail, error)
            else:
                _tell(done, _succeed, result)


def _tell(done: asyncio.Future[Any], how: Callable[[asyncio.Future[Any], Any], None], what: Any) -> None:
    try:
        done.get_loop().call_soon_threadsafe(how, done, what)
    except RuntimeError:
        pass  # the loop is closed: nobody waits any more


def _succeed(done: asyncio.Future[Any], result: Any) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[Any], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
