"""The same command sent again within ten minutes gets the first answer again, and is not done twice."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

MEMORY_S = 600.0  # a page gives up and reloads long before (console design, 7)
MEMORY_LIMIT = 10_000  # answers of about 1 KB: 10 MB; one operator sends a few a minute


class Answer(NamedTuple):
    """Status and JSON body of a reply."""

    status: int
    body: bytes


class Answers:
    """Answers by key, oldest first. A key in work is waited for; an answer that is our own fault (5xx) is not kept."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: OrderedDict[object, tuple[float, asyncio.Future[Answer]]] = OrderedDict()

    async def once(self, key: object, work: Callable[[], Awaitable[Answer]]) -> Answer:
        """Do `work`, or give the answer that it gave before. Cancelling the first leaves the others to try for themselves."""
        self._forget()
        while (known := self._kept.get(key)) is not None:
            try:
                return await asyncio.shield(known[1])
            except asyncio.CancelledError:
                if not known[1].cancelled():
                    raise  # we are cancelled, not the first
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._kept[key] = (self._clock(), future)
        try:
            answer = await work()
        except BaseException:
            self._drop(key, future)
            future.cancel()
            raise
        if answer.status >= 500:
            self._drop(key, future)
        future.set_result(answer)
        return answer

    def _drop(self, key: object, future: asyncio.Future[Answer]) -> None:
        if (known := self._kept.get(key)) is not None and known[1] is future:
            del self._kept[key]

    def _forget(self) -> None:
        limit = self._clock() - MEMORY_S
        while self._kept:
            key, (at, _) = next(iter(self._kept.items()))
            if at > limit and len(self._kept) < MEMORY_LIMIT:
                return
            del self._kept[key]
