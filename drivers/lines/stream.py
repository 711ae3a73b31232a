"""A line that listens for TCP or TLS connections (Twisted endpoint strings `tcp:`, `ssl:`, `systemd:`), one codec for each."""

import asyncio
import itertools
import resource
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from twisted.internet import protocol
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress

from drivers.contract import Codec, Emit, Rejected, Report
from drivers.lines.connection import Connection
from drivers.lines.conversation import Conversation
from drivers.lines.conversing import LOOK_AT, ConversingLine
from drivers.lines.quarantine import MAX_HOSTS, Quarantine
from gateway.clock import monotonic
from gateway.config import LineConfig
from gateway.errors import LineError

# A watch for nearly each of the 22,000 people living alone in Gongshu (10 KB each with its codec: 200 MB). The system may allow fewer:
# half of our open files.
MAX_CONNECTIONS = 20_000
# Hundreds of watches share one address behind a mobile operator's address translation, all of them behind a relay of ours;
# yet one host may never take everybody's place.
HOST_SHARE = 0.5
# Once all places are taken, a connection that was silent for so long makes room: longer than trackers are silent (8 minutes).
IDLE_S = 600.0

log = structlog.get_logger()


class StreamLine(ConversingLine):
    """One listening socket. A connection that ends is no fault of the line; a port that cannot be opened is.

    counts: beside those of all conversing lines connections, connections_refused (no place left), forgotten (silent, made room), quarantined
    (refused, as their host brought nothing but refused messages).
    """

    def __init__(self, config: LineConfig, new_codec: Callable[[], Codec]) -> None:
        super().__init__(config, new_codec)
        self._listen = config.listen or ""
        self._is_full = False
        self._quarantine = Quarantine()
        self._told_s: dict[str, float] = {}
        self.port: int | None = None  # where it listens, once it does

    async def run(self, emit: Emit, report: Report) -> None:
        """Listen until cancelled. Raises LineError when the port is not to be had, and whatever a codec raised (our bug)."""
        from twisted.internet import reactor

        loop = asyncio.get_running_loop()
        self._begin(emit, report)
        try:
            endpoint = serverFromString(reactor, self._listen)  # type: ignore[no-untyped-call]
            listening = await endpoint.listen(_Factory(self._welcome)).asFuture(loop)
        except (CannotListenError, OSError, ValueError) as error:
            await self._close()
            raise LineError(f"cannot listen on {self._listen}: {error}") from error
        self.port = getattr(listening.getHost(), "port", None)
        report.live()
        try:
            await self._serve()
        finally:
            await maybeDeferred(listening.stopListening).asFuture(loop)
            await self._close()

    def believed(self) -> dict[str, float]:
        """As `Quarantine.believed`."""
        return self._quarantine.believed(monotonic())

    def believe(self, hosts: Mapping[str, float]) -> None:
        """As `Quarantine.believe`."""
        self._quarantine.believe(hosts, monotonic())

    def sound(self, conversation: Conversation) -> None:
        """Its host is believed."""
        self._quarantine.sound(conversation.wire.host, monotonic())

    def _ended(self, conversation: Conversation, task: asyncio.Task[None]) -> None:
        super()._ended(conversation, task)
        host, now = conversation.wire.host, monotonic()
        if conversation.is_sound:
            self._quarantine.ended(host, now)
        elif conversation.is_doubtful and host:
            self._tell_quarantine(host, self._quarantine.failed(host, now))

    def _tell_quarantine(self, host: str, refused_s: float) -> None:
        """Told at the first time of each, then with each that is twice as long: nine times until it is as long as it gets."""
        if not refused_s or refused_s == self._told_s.get(host):
            return
        self._told_s.pop(host, None)
        self._told_s[host] = refused_s
        while len(self._told_s) > MAX_HOSTS:
            del self._told_s[next(iter(self._told_s))]
        detail = f"{host}: connections in a row brought nothing but refused messages; refused for {refused_s:g} s"
        log.warning("source_quarantined", line=self.name, host=host, refused_s=refused_s)
        if self._emit is not None and self._bug is not None and not self._bug.done():
            self._deliver_apart([(None, Rejected(reason="quarantined", raw=b"", line=self.name, detail=detail))])

    def _has_place_for(self, host: str, most: int) -> bool:
        """May one more connection of this host stand? A millisecond where very many do, so nobody is counted before."""
        if len(self._conversations) < most:
            return True
        from_host = [one for one in self._conversations if one.wire.host == host]
        return len(from_host) < most or self._make_room(from_host, IDLE_S)

    def _welcome(self, address: Any) -> Connection | None:
        """Twisted asks for each connection; None closes it at once."""
        host = getattr(address, "host", "")
        if self._quarantine.refuses(host, monotonic()):
            self.counts["quarantined"] += 1
            return None
        most = min(MAX_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
        is_full = len(self._conversations) >= most and not self._make_room(itertools.islice(self._conversations, LOOK_AT), IDLE_S)
        if is_full != self._is_full:
            self._is_full = is_full
            log.warning("connections_full" if is_full else "connections_free", line=self.name, limit=most)
        if is_full or not self._has_place_for(host, max(1, int(most * HOST_SHARE))):
            self.counts["connections_refused"] += 1
            return None
        self.counts["connections"] += 1
        return Connection(self._converse, host)


class _Factory(protocol.Factory):
    noisy = False

    def __init__(self, welcome: Callable[[Any], Connection | None]) -> None:
        self._welcome = welcome

    def buildProtocol(self, address: IAddress | None) -> Connection | None:
        """Twisted asks for each connection."""
        return self._welcome(address)
