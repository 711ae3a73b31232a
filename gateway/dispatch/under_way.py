"""What leaves one task at a time for each name: begun once, known until it is written down, cancelled together."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger("under_way")


class UnderWay:
    """Names whose work is under way or not yet on disk. What is pending stands in the incidents, so nothing is lost with it."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin it, unless it is under way already."""
        if name in self._known:
            return
        self._known.add(name)
        task = asyncio.get_running_loop().create_task(work(), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            log.error("under_way_bug", exc_info=bug)
            self._known.discard(task.get_name())  # the incident's next change begins it again

    @property
    def under_way(self) -> int:
        """How many have not left, or are not yet written down."""
        return len(self._known)

    def reported(self, name: str) -> None:
        """What became of it is on disk, or it is not wanted any more."""
        self._known.discard(name)

    async def close(self) -> None:
        """Cancel what is under way; after a restart it goes on under the same names."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
