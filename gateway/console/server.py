"""Serving the console in the gateway's own loop: loopback only, no signal handlers, no access log."""

import asyncio
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn
from starlette.types import ASGIApp
from websockets.exceptions import InvalidState

from gateway.errors import ConfigError

BODY_LIMIT = 64 * 1024  # bytes; the longest command is a note of 2,000 characters, 8 KB
GRACE_S = 1.0  # at the end sockets are told, requests may finish; a long poll is then cut off and comes back
STUCK_MS = 20_000  # the kernel gives up a peer that takes nothing for this long, so that a closed socket does not linger


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the house."""
        yield


def listen_address(listen: str) -> tuple[str, int]:
    """Host and port of `console.listen`; ConfigError when it is no such thing, or not the loopback interface."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or not int(port) < 65536:
        raise ConfigError([f"console.listen: {listen!r} is not HOST:PORT; write 127.0.0.1:12349"])
    host = host.strip("[]")
    check_loopback(host)
    return host, int(port)


def check_loopback(host: str) -> None:
    """Until there are accounts nobody but this machine may see people's names."""
    try:
        fine = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        fine = False
    if not fine:
        problem = f"console.listen: {host!r} is not a loopback address, and the console has no accounts yet"
        raise ConfigError([f"{problem}; write 127.0.0.1:12349 and reach it from elsewhere through `ssh -L`"])


async def serve(app: ASGIApp, host: str, port: int) -> None:
    """Serve until cancelled; sockets are then told (1012), requests may finish. Raises ConfigError for an address that cannot be used."""
    check_loopback(host)
    listener = _listen(host, port)
    config = uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_max_size=BODY_LIMIT,
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    server = _Server(config)
    try:
        await server.serve(sockets=[listener])
    finally:
        server.force_exit = True
        if server.started:
            for asyncio_server in server.servers:
                asyncio_server.close()
            for connection in list(server.server_state.connections):
                with suppress(InvalidState):  # it was closing already
                    connection.shutdown()
            if server.server_state.tasks:
                await asyncio.wait(server.server_state.tasks, timeout=GRACE_S)
            for task in server.server_state.tasks:
                task.cancel()
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit both
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STUCK_MS)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError([f"console.listen: cannot listen on {host}:{port} ({error.strerror}); choose another port"]) from error
    listener.setblocking(False)
    return listener
