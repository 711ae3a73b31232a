"""Parts that live and die together, though a cancellation is lost on the way.

`asyncio.wait_for` of Python 3.11 forgets a cancellation that comes in the same turn as what it waits for. The libraries that we know to use it are
mended (nats_wait, drivers.lines.mqtt_session); should another swallow one, a task group would wait for ever. Here whoever does not end is told again.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

AGAIN_S = 0.5


class Stuck(Exception):
    """It does not end."""


async def together(*parts: Coroutine[Any, Any, None], within_s: float | None = None) -> None:
    """Run all until one ends, or we are cancelled; then end the others. Raises what the first one raised, or Stuck after `within_s`."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        first = next((task for task in tasks if task.done() and not task.cancelled() and task.exception() is not None), None)
    finally:
        await end(tasks, within_s)
    if first is not None:
        first.result()


async def end(tasks: list["asyncio.Task[Any]"], within_s: float | None = None) -> None:
    """Cancel until all are gone; also when we are cancelled meanwhile. Raises Stuck."""
    left = within_s
    pending = {task for task in tasks if not task.done()}
    is_cancelled = False
    while pending:
        for task in pending:
            task.cancel()
        try:
            _, pending = await asyncio.wait(pending, timeout=AGAIN_S)
        except asyncio.CancelledError:
            is_cancelled = True
            pending = {task for task in pending if not task.done()}
        if left is not None:
            left -= AGAIN_S
            if pending and left <= 0:
                raise Stuck(f"{len(pending)} tasks do not end")
    for task in tasks:
        if not task.cancelled():
            task.exception()  # looked at, so that nobody complains; the first one is told
    if is_cancelled:
        raise asyncio.CancelledError
