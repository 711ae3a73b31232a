"""Runs a part that alarms can do without: a bug in it ends neither gateway nor edge nor console (invariant 9)."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from gateway.errors import ConfigError

log = structlog.get_logger("gateway")

BEGIN_AGAIN_S = 10.0  # after a bug


async def beside(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Until it ends by itself, or we are cancelled: a bug is logged, and it begins again. Raises ConfigError as it did: it cannot begin at all."""
    while True:
        try:
            return await run()
        except ConfigError:
            raise
        except Exception:
            log.exception("part_bug", part=name)
            await asyncio.sleep(BEGIN_AGAIN_S)
