"""The guarded door: a listener that the whole internet may knock at, and that can cost the house only so much.

Every accepted socket is counted before its TLS begins, so a flood fills our few places and never the process's file descriptors,
which lines and consoles need (invariant 9). Nothing lives longer than LIFE_S, whatever it does or does not send.
"""

import asyncio
import ipaddress
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from drivers.token_bucket import Bucket, TokenBuckets
from gateway.clock import monotonic
from gateway.config.responder_page import ResponderPageConfig, host_port, tls_context
from gateway.errors import ConfigError

log = structlog.get_logger("responder_page")

PLACES = 200  # connections at one time: a district has tens of responders awake, and a page is one request
PLACES_OF_ONE = 20  # of one source address; a browser opens up to six, several telephones may share an address
ACCEPTS_PER_S, ACCEPTS_AT_ONCE = 50.0, 100.0  # a handshake costs the loop up to 2 ms: a tenth of its time at most, alarms have the rest
REFUSAL = 0.1  # … and turning one away a tenth of that, and less
LIFE_S = 20.0  # from the first byte of TLS to the last of the answer; a page is 8 KB, on the slowest mobile network 2 s
HANDSHAKE_S = 8.0
KEEP_ALIVE_S = 5
HEAD_LIMIT = 16 * 1024  # bytes of a request's line and headers
BACKLOG = 128
LOOK_AGAIN_S = 60.0  # a renewed certificate is in use a minute later
STUCK_MS = 20_000
_quiet = logging.getLogger("gateway.responder_page.http")  # uvicorn's own words about bad requests: anybody may provoke them, a thousand a second
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False


class _Connection(H11Protocol):
    """uvicorn's HTTP/1.1 over one socket; `gone` is done when the socket is."""

    def __init__(self, config: uvicorn.Config, state: ServerState) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(config, state, {}, loop)
        self.logger = _quiet
        self.gone: asyncio.Future[None] = loop.create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.gone.done():
            self.gone.set_result(None)


class Certificate:
    """The TLS context, read again when its files have changed. A new one that cannot be used leaves the old one in force."""

    def __init__(self, cert: Path, key: Path) -> None:
        self._files = (cert, key)
        self.context = tls_context(cert, key)
        self._times = self._look()
        self._looked_at = monotonic()

    def _look(self) -> tuple[float, ...]:
        try:
            return tuple(file.stat().st_mtime for file in self._files)
        except OSError:
            return ()

    def current(self) -> ssl.SSLContext:
        """Looks at the files once in LOOK_AGAIN_S."""
        now = monotonic()
        if now - self._looked_at >= LOOK_AGAIN_S:
            self._looked_at = now
            times = self._look()
            if times and times != self._times:
                self._times = times
                try:
                    self.context = tls_context(*self._files)
                    log.info("certificate_renewed")
                except (OSError, ValueError) as error:
                    log.error("the new certificate cannot be used; the old one stays in force", reason=type(error).__name__)
        return self.context


class Listener:
    """Accepts, counts, serves. refused: told of each connection for which there was no place."""

    def __init__(self, page: ResponderPageConfig, folder: Path, app: ASGIApp, refused: Callable[[], None] = lambda: None) -> None:
        where = host_port(page.listen)
        if where is None:
            raise ConfigError([f"responder_page.listen: {page.listen!r} is not HOST:PORT; write 127.0.0.1:12350"])
        self._host, self._port = where
        self._certificate = Certificate(folder / page.cert_file, folder / page.key_file) if page.cert_file else None
        self._proxies = frozenset(page.proxies)
        self._refused = refused
        self._config = uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=bool(page.proxies),
            forwarded_allow_ips=list(page.proxies),
            timeout_keep_alive=KEEP_ALIVE_S,
            h11_max_incomplete_event_size=HEAD_LIMIT,
        )
        self._state = ServerState()
        self._of_one: Counter[str] = Counter()
        self._pace = Bucket(ACCEPTS_PER_S, ACCEPTS_AT_ONCE)
        self._paces = TokenBuckets(page.per_minute / 60, burst=page.per_minute / 4)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        """Sockets that have a place now."""
        return len(self._tasks)

    async def run(self) -> None:
        """Until cancelled; open answers are then cut off, the telephone asks again. Raises ConfigError for an address that cannot be used."""
        self._config.load()
        with self._listen() as listener:
            loop = asyncio.get_running_loop()
            log.info("listening", port=self._port, tls=self._certificate is not None)
            try:
                while True:
                    try:
                        connection, address = await loop.sock_accept(listener)
                    except OSError:  # it gave up before we took it, or the process has no descriptor left
                        await asyncio.sleep(0.05)
                        continue
                    cost = 1.0 if self._admit(connection, str(address[0])) else REFUSAL
                    if (debt_s := self._pace.charge(cost, monotonic())) > 0:
                        await asyncio.sleep(debt_s)  # the rest waits in the kernel, or is dropped there
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def _admit(self, connection: socket.socket, host: str) -> bool:
        source = source_of(host)
        is_one = host not in self._proxies  # … whom limits of one address count
        crowded = len(self._tasks) >= PLACES or (is_one and self._of_one[source] >= PLACES_OF_ONE)
        if crowded or (is_one and not self._paces.admits(source, monotonic())):
            connection.close()
            self._refused()
            return False
        self._of_one[source] += 1
        task = asyncio.get_running_loop().create_task(self._serve(connection, source), name="responder page connection")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _serve(self, connection: socket.socket, source: str) -> None:
        """One socket, to its end. What goes wrong on it is its peer's affair."""
        protocol = _Connection(self._config, self._state)
        try:
            connection.setblocking(False)
            async with asyncio.timeout(LIFE_S):
                context = self._certificate.current() if self._certificate is not None else None
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: protocol,  # not what the call returns: uvloop gives its own of TLS
                    connection,
                    ssl=context,
                    ssl_handshake_timeout=HANDSHAKE_S if context is not None else None,
                )
                await protocol.gone
        except (OSError, TimeoutError):  # ssl.SSLError is an OSError
            pass
        finally:
            if protocol.transport is not None:
                protocol.transport.abort()
            else:
                connection.close()
            self._of_one[source] -= 1
            if not self._of_one[source]:
                del self._of_one[source]

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit both
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STUCK_MS)
            listener.bind((self._host, self._port))
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            where = f"{self._host}:{self._port}"
            remedy = "a port below 1024 needs CAP_NET_BIND_SERVICE: docs/guide/responder-page.md" if self._port < 1024 else "choose another port"
            raise ConfigError([f"responder_page.listen: cannot listen on {where} ({error.strerror}); {remedy}"]) from error
        listener.setblocking(False)
        return listener


def source_of(host: str) -> str:
    """Whom a limit counts: an IPv4 address, or the /64 of IPv6, which one customer has."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address, 64), strict=False).network_address)
    return host
