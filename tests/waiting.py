"""A free port, and waiting for a condition without sleeping blindly."""

import asyncio
import os
import random
import socket
from collections.abc import Callable, Iterator
from itertools import cycle

import httpx

WAIT_S = 60.0  # far above anything a test waits for, on a machine that does ten things at once, too: reaching it means "never"

# The console closes a connection that says nothing for five seconds, and so does httpx: who asks in that very moment is told of a broken connection.
BEFORE_THE_SERVER = httpx.Limits(keepalive_expiry=1.0)


# A port that is asked of the system is anybody's again until a server binds it, and the system gives it to the next connection that goes out, even
# to one that dials this very port: it then talks to itself (RFC 9293, 3.5). So each process takes a block of its own, outside of what the system
# gives (32768 to 60999), and goes round in it.
PORTS = range(13_000, 32_768)
BLOCK = 256


def _ports_of_this_process() -> Iterator[int]:
    """A name in the network's namespace says that the block is taken; the system frees it with the process."""
    blocks = [PORTS[at : at + BLOCK] for at in range(0, len(PORTS), BLOCK)]
    random.SystemRandom().shuffle(blocks)
    for block in blocks:
        taken = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            taken.bind(f"\0gateway-tests-{block.start}")
        except OSError:
            taken.close()
            continue
        _kept.append(taken)
        return cycle(block)
    raise RuntimeError("every block of ports is taken")


_kept: list[socket.socket] = []
_ports: dict[int, Iterator[int]] = {}  # by process: a forked child takes a block of its own


def free_port(*kinds: socket.SocketKind, host: str = "127.0.0.1") -> int:
    """A port that nobody listens on (over TCP, or over all of these kinds), and nobody else is given."""
    if (here := os.getpid()) not in _ports:
        _ports[here] = _ports_of_this_process()
    return next(port for port in _ports[here] if all(_is_free(kind, host, port) for kind in kinds or (socket.SOCK_STREAM,)))


def _is_free(kind: socket.SocketKind, host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


async def wait_until(condition: Callable[[], object], what: str = "", timeout_s: float = WAIT_S, pause_s: float = 0.005) -> None:
    """Give the loop turns until `condition()` is true, a pause after each look; AssertionError naming `what` when it never is."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + timeout_s
    while not condition():
        if loop.time() > give_up:
            raise AssertionError(f"never came true: {what or condition}")
        await asyncio.sleep(pause_s)
