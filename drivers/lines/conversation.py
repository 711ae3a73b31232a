"""The four moves of a stream line: feed the codec, emit what it found, confirm or refuse, write. One conversation per connection."""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from twisted.internet import protocol
from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure

from drivers.contract import Codec, Emit, Rejected, Signal, to_event
from gateway.clock import monotonic, utc_now
from gateway.event import Event

HIGH_WATER = 64 * 1024  # bytes read while the store is slow: hundreds of blocks or thousands of lines; then reading pauses
MAX_BATCH = 256  # signals in one emit, so that one noisy line cannot fill a whole transaction
HOLD_S = 0.5  # pause before a held signal is emitted again

Held = tuple[Signal | Rejected, Event | Rejected]


class Conversation(protocol.Protocol):
    """Bytes in and out of one connection. Protocol chatter (poll replies) and codec deadlines do not wait for the disk."""

    transport: Any  # a socket or a serial port; Twisted's interfaces do not name what both can do

    def __init__(self, line: str, codec: Codec, heard: Callable[[], None], held: list[Held] | None = None) -> None:
        """`held`: what an earlier conversation of a protocol without repeats read but could not store."""
        self._line = line
        self._codec = codec
        self._heard = heard
        self._waiting: deque[Held] = deque(held or ())
        self._waiting_bytes = 0
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._something = asyncio.Event()
        self.lost = asyncio.Event()
        self._lost_reason = ""
        self._bug: Exception | None = None

    @property
    def lost_reason(self) -> str:
        """Why the connection ended, once `lost` is set."""
        return self._lost_reason

    async def deliver(self, emit: Emit) -> None:
        """Emit until the connection is lost and everything read before is stored.

        Cancelled: the peer repeats what was not confirmed; what it would not repeat stays in `held()`. Raises what the codec raised (our bug).
        """
        while True:
            if self._waiting:
                await self._emit_some(emit)
            elif self._bug is not None:
                raise self._bug
            elif self.lost.is_set():
                return
            else:
                self._something.clear()
                await self._something.wait()

    def held(self) -> list[Held]:
        """What a later conversation must emit: only where the peer does not send again by itself."""
        return [] if self._codec.peer_repeats else list(self._waiting)

    def hang_up(self) -> None:
        """Close the connection now, whatever is still to be written."""
        if not self.lost.is_set() and self.transport is not None:
            if hasattr(self.transport, "abortConnection"):
                self.transport.abortConnection()
            else:  # a serial port
                self.transport.connectionLost(Failure(ConnectionAborted()))  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        """Twisted calls this with any fragment."""
        self._heard()
        if self._waiting:
            self._waiting_bytes += len(data)
        self._guard(lambda: self._codec.receive_data(data, monotonic()))
        if self._waiting_bytes > HIGH_WATER and not self._paused:
            self._paused = True
            self.transport.pauseProducing()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """Twisted calls this once; the port or socket is closed by then."""
        self._lost_reason = reason.getErrorMessage()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.lost.set()
        self._something.set()

    def _guard(self, read: Callable[[], list[Signal | Rejected]]) -> None:
        """Run the codec; its exception is our bug and must reach the supervisor, not Twisted's log."""
        if self._bug is not None:
            return
        try:
            found = read()
            self._write()
        except Exception as bug:
            self._bug = bug
            found = []
        received_at = utc_now()
        for signal in found:
            self._waiting.append((signal, _told(signal, self._line, received_at)))
        if found or self._bug:
            self._something.set()

    def _write(self) -> None:
        data = self._codec.data_to_send()
        if data and not self.lost.is_set():
            self.transport.write(data)
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._codec.deadline()
        if deadline is not None and not self.lost.is_set():
            self._timer = asyncio.get_running_loop().call_later(max(0.0, deadline - monotonic()), self._on_deadline)

    def _on_deadline(self) -> None:
        self._timer = None
        self._guard(lambda: self._codec.handle_deadline(monotonic()))

    async def _emit_some(self, emit: Emit) -> None:
        """One commit for what waits. Signals leave the queue only with their verdict; those to be held stay, in order."""
        batch = [self._waiting[index] for index in range(min(MAX_BATCH, len(self._waiting)))]
        verdicts = await emit([event for _, event in batch])
        keep: list[Held] = []
        for held, verdict in zip(batch, verdicts, strict=True):
            self._waiting.popleft()
            if verdict.kept:
                self._codec.confirm(held[0])
            elif verdict.retry and not self._codec.peer_repeats:
                keep.append(held)
            else:
                self._codec.refuse(held[0], verdict.reason)
        self._waiting.extendleft(reversed(keep))
        self._write()
        if keep:
            await asyncio.sleep(HOLD_S)
        elif not self._waiting:
            self._waiting_bytes = 0
            if self._paused and not self.lost.is_set():
                self._paused = False
                self.transport.resumeProducing()


def _told(signal: Signal | Rejected, line: str, received_at: datetime) -> Event | Rejected:
    """The form that the pipeline takes: both know their line."""
    if isinstance(signal, Signal):
        return to_event(signal, line, received_at)
    return msgspec.structs.replace(signal, line=line)
