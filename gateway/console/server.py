"""Serving the console in the gateway's own loop: with TLS where a certificate is named, no signal handlers, no access log."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog
import uvicorn
from starlette.types import ASGIApp
from websockets.exceptions import InvalidState

from gateway.config.responder_page import tls_context
from gateway.console.connections import Connection
from gateway.errors import ConfigError

log = structlog.get_logger("console")

BODY_LIMIT = 64 * 1024  # bytes; the longest command is a note of 2,000 characters, 8 KB
LOOK_AGAIN_S = 60.0  # a renewed certificate is in use a minute later
GRACE_S = 1.0  # at the end sockets are told, requests may finish; a long poll is then cut off and comes back
ACCEPTED = 3  # turns of the loop in which a connection that is accepted gets its transport; asyncio leaves it open when its server is closed before
STUCK_MS = 20_000  # the kernel gives up a peer that takes nothing for this long, so that a closed socket does not linger


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, listens: Callable[[], None]) -> None:
        super().__init__(config)
        self._listens = listens

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell when it listens."""
        await super().startup(sockets)
        if self.started:
            self._listens()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the house."""
        yield


def listen_address(listen: str, *, accounts: bool = False) -> tuple[str, int]:
    """Host and port of `console.listen`; ConfigError when it is no such thing, or not the loopback interface and nobody has to log in."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or not int(port) < 65536:
        raise ConfigError([f"console.listen: {listen!r} is not HOST:PORT; write 127.0.0.1:12349"])
    host = host.strip("[]")
    if not accounts:
        check_loopback(host)
    return host, int(port)


def check_loopback(host: str) -> None:
    """Without accounts nobody but this machine may see people's names."""
    try:
        fine = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        fine = False
    if not fine:
        problem = f"console.listen: {host!r} is not a loopback address, and console.accounts is false"
        raise ConfigError([f"{problem}; write accounts = true, or 127.0.0.1:12349"])


class Certificate:
    """The TLS context of the page; files that were renewed are in use for new connections a minute later, without a restart."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = certificate, key
        try:
            self.context = tls_context(certificate, key)
        except (OSError, ValueError) as error:
            raise ConfigError([f"console.tls_certificate: {certificate} cannot be used ({error}); correct it, or tls_key"]) from error
        self._times = self._look()

    def _look(self) -> tuple[float, ...]:
        try:
            return tuple(file.stat().st_mtime for file in self._files)
        except OSError:
            return ()

    def renew(self) -> bool:
        """Take the files again if they have changed. Ones that do not fit leave the old ones in force."""
        times = self._look()
        if not times or times == self._times:
            return False
        self._times = times
        try:
            tls_context(*self._files)  # first for itself: a context that took the one and not the other would serve nobody
            self.context.load_cert_chain(*self._files, password=lambda: b"")
        except (OSError, ValueError) as error:
            log.error("the console's new certificate cannot be used; the old one stays in force", reason=type(error).__name__)
            return False
        log.info("certificate_renewed")
        return True

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_AGAIN_S)
            self.renew()


async def serve(
    app: ASGIApp,
    host: str,
    port: int,
    certificate: Certificate | None = None,
    key: str = "console.listen",
    listens: Callable[[], None] = lambda: None,
) -> None:
    """Serve until cancelled; sockets are then told (1012), requests may finish. Raises ConfigError for an address that cannot be used.

    listens: called once, when whoever dials is answered
    """
    listener = _listen(host, port, key)
    keeping = asyncio.create_task(certificate.keep(), name="console certificate") if certificate is not None else None
    config = uvicorn.Config(
        app,
        ssl_context_factory=(lambda _config, _default: certificate.context) if certificate is not None else None,
        http=Connection,
        ws="websockets-sansio",
        ws_max_size=BODY_LIMIT,
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    server = _Server(config, listens)
    try:
        await server.serve(sockets=[listener])
    finally:
        server.force_exit = True
        if keeping is not None:
            keeping.cancel()
        if server.started:
            asyncio.get_running_loop().remove_reader(listener)
            for _ in range(ACCEPTED):
                await asyncio.sleep(0)
            for asyncio_server in server.servers:
                asyncio_server.close()
            for connection in list(server.server_state.connections):
                with suppress(InvalidState):  # it was closing already
                    connection.shutdown()
            if server.server_state.tasks:
                await asyncio.wait(server.server_state.tasks, timeout=GRACE_S)
            for task in server.server_state.tasks:
                task.cancel()
            for connection in list(server.server_state.connections):  # also those that had stopped reading, which nothing else holds any more
                if connection.transport is not None:
                    connection.transport.close()
        listener.close()


def _listen(host: str, port: int, key: str) -> socket.socket:
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
        raise ConfigError([f"{key}: cannot listen on {host}:{port} ({error.strerror}); choose another port"]) from error
    listener.setblocking(False)
    return listener
