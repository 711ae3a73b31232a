"""A free port, and waiting for a condition without sleeping blindly."""

import asyncio
import socket
from collections.abc import Callable

import httpx

WAIT_S = 30.0  # far above anything a test waits for: reaching it means "never"

# The console closes a connection that says nothing for five seconds, and so does httpx: who asks in that very moment is told of a broken connection.
BEFORE_THE_SERVER = httpx.Limits(keepalive_expiry=1.0)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port on 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def wait_until(condition: Callable[[], object], what: str = "", timeout_s: float = WAIT_S, pause_s: float = 0.005) -> None:
    """Give the loop turns until `condition()` is true, a pause after each look; AssertionError naming `what` when it never is."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + timeout_s
    while not condition():
        if loop.time() > give_up:
            raise AssertionError(f"never came true: {what or condition}")
        await asyncio.sleep(pause_s)
