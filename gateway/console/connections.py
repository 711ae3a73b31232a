"""One browser's connection: it has a place among a bounded number, and says what it wants soon. Every socket is one that devices cannot have."""

import asyncio

import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

log = structlog.get_logger("console")

CONNECTIONS_LIMIT = 600  # 50 consoles with two screens, each with six connections (as many as a browser opens); of 1,024 sockets of a process
HEAD_S = 10.0  # a request line and its headers are one packet; a connection without any is given up after one to two times this
_BUSY = object()


class Connection(H11Protocol):
    """As uvicorn's, but nobody holds it open by saying nothing, half a request, or a body that nobody reads any more (slow loris)."""

    _seen: RequestResponseCycle | object | None = _BUSY
    _looking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place, if there is one."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_LIMIT:
            log.warning("too many connections to the console; this one is closed", limit=CONNECTIONS_LIMIT)
            transport.abort()
            return
        self._looking = self.loop.call_later(HEAD_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give it back."""
        super().connection_lost(exc)
        if self._looking is not None:
            self._looking.cancel()

    def _look(self) -> None:
        """Twice the same between two requests: nothing comes. What has become a WebSocket is not ours any more."""
        if self not in self.connections:
            return
        is_between = self.cycle is None or self.cycle.response_complete
        if is_between and self._seen is self.cycle:
            self.transport.abort()
            return
        self._seen = self.cycle if is_between else _BUSY
        self._looking = self.loop.call_later(HEAD_S, self._look)
