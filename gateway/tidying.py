"""Gives memory back in quiet moments: circles of objects that nobody reaches any more, and what the C library keeps of freed memory.

The collector is set to walk all objects seldom (gateway.app.GARBAGE): what it has passed over twice would wait for hours. glibc keeps what is freed
between pieces in use: after an hour and a half of mixed load a quarter of the heap, and every table that grew left its last sizes there.
"""

import asyncio
import ctypes
import gc

EVERY_S = 600.0  # at one alarm and two thirds of a console a second 12 to 16 MiB come together in it (docs/guide/capacity.md, Soak)
LOOK_S = 0.05
CALM_S = 0.005  # a timer that is not later than this (uvloop counts whole milliseconds) finds the loop with nothing to do
LOOKS = 1200  # a minute: in a storm alarms go first, and the next time will do


async def tidy() -> None:
    """Until cancelled."""
    while True:
        await asyncio.sleep(EVERY_S)
        if await _is_calm():
            gc.collect()
            await asyncio.to_thread(_trim)


async def _is_calm() -> bool:
    loop = asyncio.get_running_loop()
    for _ in range(LOOKS):
        due = loop.time() + LOOK_S
        await asyncio.sleep(LOOK_S)
        if loop.time() - due <= CALM_S:
            return True
    return False


def _trim() -> None:
    """malloc_trim(3) of glibc; another C library has none, and needs none."""
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)
