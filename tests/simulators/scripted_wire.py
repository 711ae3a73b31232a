"""The other end of a simulated device's wire, written by hand: it says what a test wants it to say."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from simulators.wire import TcpWire


class Scripted(TcpWire):
    """`answer(data)` gives what comes back for each write. `written`: everything that was said, one entry a write; `refuses`: nobody listens."""

    def __init__(self, answer: Callable[[bytes], bytes] = lambda _data: b"", *, refuses: bool = False) -> None:
        super().__init__("", 0)
        self.answer = answer
        self.refuses = refuses
        self.written: list[bytes] = []
        self.opened = 0
        self._stands = True

    @property
    def plugged(self) -> bool:
        return self._stands and not self.refuses

    async def open(self) -> None:
        if self.refuses:
            raise ConnectionRefusedError
        self.opened += 1
        self._stands = True
        self._arrived.clear()

    def close(self) -> None:
        self._stands = False
        self._news.set()

    def write(self, data: bytes) -> None:
        self.written.append(data)
        self.data_received(self.answer(data))


@contextlib.asynccontextmanager
async def running(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """They run meanwhile; what they raise is raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
