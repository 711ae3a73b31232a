"""A `wait_for` for nats-py that hears a cancellation: Python 3.11's forgets one that comes in the same turn as the answer (mended in 3.12)."""

import asyncio
import sys
from collections.abc import Awaitable
from types import ModuleType
from typing import Any

from nats.aio import client, subscription, transport
from nats.js import client as stream_client

USERS = (client, subscription, transport, stream_client)


async def wait_for(awaited: Awaitable[Any], timeout: float | None) -> Any:  # noqa: ASYNC109  # asyncio's signature
    """As asyncio.wait_for, without its fault. Raises TimeoutError."""
    async with asyncio.timeout(timeout):
        return await awaited


class _Asyncio(ModuleType):
    """What nats-py sees of asyncio: all of it, and our `wait_for`."""

    wait_for = staticmethod(wait_for)

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)


def mend() -> None:
    """Once a process; nothing from Python 3.12 on."""
    if sys.version_info < (3, 12):
        for user in USERS:
            setattr(user, "asyncio", _Asyncio("asyncio"))  # noqa: B010  # mypy knows no such attribute of a module
