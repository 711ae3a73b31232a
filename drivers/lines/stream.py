"""A line that listens for TCP or TLS connections (Twisted endpoint strings `tcp:`, `ssl:`, `systemd:`), one codec for each."""

import asyncio
from collections.abc import Callable

import structlog
from twisted.internet import protocol
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress

from drivers.contract import Codec, Emit, Report
from drivers.lines.conversation import Conversation, Held
from drivers.lines.silence import SilenceWatch
from gateway.config import LineConfig
from gateway.errors import LineError

MAX_CONNECTIONS = 256  # an alarm receiver or terminal server needs a handful; far below the usual limit of 1024 open files

log = structlog.get_logger()


class StreamLine:
    """One listening socket. A connection that ends is no fault of the line; a port that cannot be opened is."""

    def __init__(self, config: LineConfig, new_codec: Callable[[], Codec]) -> None:
        self.name = config.name
        self.codec_name = config.codec
        self.mandatory = config.mandatory
        self._listen = config.listen or ""
        self._silence_s = config.silence_s
        self._new_codec = new_codec
        self._held: list[Held] = []
        self.port: int | None = None  # where it listens, once it does

    async def run(self, emit: Emit, report: Report) -> None:
        """Listen until cancelled. Raises LineError when the port is not to be had, and whatever a codec raised (our bug)."""
        from twisted.internet import reactor

        loop = asyncio.get_running_loop()
        watch = SilenceWatch(report, self._silence_s)

        def converse() -> Conversation:
            held, self._held = self._held, []
            return Conversation(self.name, self._new_codec(), watch.heard, held)

        connections = _Connections(self.name, converse, emit)
        try:
            endpoint = serverFromString(reactor, self._listen)  # type: ignore[no-untyped-call]
            listening = await endpoint.listen(connections).asFuture(loop)
        except (CannotListenError, OSError, ValueError) as error:
            raise LineError(f"cannot listen on {self._listen}: {error}") from error
        self.port = getattr(listening.getHost(), "port", None)
        report.live()
        silence = asyncio.create_task(watch.run(), name=f"{self.name} silence")
        try:
            await asyncio.gather(silence, connections.bug)  # neither ever ends but by an error
        finally:
            silence.cancel()
            await maybeDeferred(listening.stopListening).asFuture(loop)
            self._held = await connections.close()


class _Connections(protocol.Factory):
    """The conversations of one line, bounded. `bug` is done when one of them has met an error of ours."""

    noisy = False

    def __init__(self, name: str, converse: Callable[[], Conversation], emit: Emit) -> None:
        self._name = name
        self._converse = converse
        self._emit = emit
        self._running: dict[asyncio.Task[None], Conversation] = {}
        self._is_full = False
        self.bug: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def buildProtocol(self, _address: IAddress | None) -> Conversation | None:
        """Twisted asks for each connection; None closes it at once."""
        is_full = len(self._running) >= MAX_CONNECTIONS
        if is_full != self._is_full:
            self._is_full = is_full
            log.warning("connections_full" if is_full else "connections_free", line=self._name, limit=MAX_CONNECTIONS)
        if is_full:
            return None
        conversation = self._converse()
        task = asyncio.create_task(conversation.deliver(self._emit), name=f"{self._name} connection")
        self._running[task] = conversation
        task.add_done_callback(self._ended)
        return conversation

    def _ended(self, task: asyncio.Task[None]) -> None:
        conversation = self._running.pop(task, None)
        if conversation is not None:
            conversation.hang_up()
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.bug.done():
            self.bug.set_exception(error)

    async def close(self) -> list[Held]:
        """Hang up on everybody. Gives what was read, is not stored and will not be repeated."""
        running = dict(self._running)
        held = []
        for task, conversation in running.items():
            conversation.hang_up()
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for conversation in running.values():
            held += conversation.held()
        if not self.bug.done():
            self.bug.cancel()
        return held
