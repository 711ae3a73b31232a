"""The four moves of a stream codec: feed it, emit what it found, confirm or refuse, write. One conversation per connection or UDP peer.

How bytes arrive and leave is its wire's matter: a connection (`connection`, `stream_client`) or a peer of a UDP port (`datagram_peers`).
"""

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from drivers.contract import Codec, Emit, Rejected, Signal, to_event
from drivers.downlink import Tell, Word
from drivers.telephone import ShortText
from drivers.token_bucket import Bucket
from gateway.clock import monotonic, utc_now
from gateway.event import Event

HIGH_WATER = 64 * 1024  # bytes read while the store is slow: hundreds of blocks or thousands of lines; then reading pauses
MAX_BATCH = 256  # signals in one emit, so that one noisy line cannot fill a whole transaction
MAX_WAITING = 20_000  # signals of one line that wait for the store: as many as other lines hold (drivers.lines.hold); about 50 MB
HOLD_S = 0.5  # pause before a held signal is emitted again
OCTETS_A_TOKEN = 256  # bytes that make no message cost too: so many as much as one message
MAX_TELLS = 64  # under way at once; one device is told a handful of things, a panel the zones of a building
CLOSE_S = 5.0  # a peer that does not take our last bytes within it, or does not say goodbye (TLS), is dropped
TELL_S = 30.0  # drivers.downlink

# The codec's own signal (None: a note of the line, of which the codec knows nothing) and its form for the pipeline.
Held = tuple[Signal | Rejected | None, Event | Rejected]


class Wire(Protocol):
    """What a conversation asks of its connection. All but `abort` are called only while it stands. host: of the peer, where there is one."""

    host: str

    def write(self, data: bytes) -> None: ...

    def pause(self) -> None:
        """Read nothing more for now."""
        ...

    def resume(self) -> None: ...

    def close(self) -> None:
        """End it after what was written."""
        ...

    def abort(self) -> None:
        """End it now; the conversation hears of it through `end` before this returns, or soon after."""
        ...


class Owner(Protocol):
    """What a conversation tells its line. waiting: signals that its conversations have read and not stored."""

    name: str
    counts: Counter[str]
    waiting: int

    def heard(self, conversation: "Conversation") -> None:
        """Bytes have arrived."""
        ...

    def flooded(self, host: str) -> None:
        """The peer says more than it may."""
        ...

    def sound(self, conversation: "Conversation") -> None:
        """The first message that could be read and was not refused."""
        ...

    def claim(self, conversation: "Conversation", addresses: frozenset[str]) -> None:
        """These devices speak on this conversation now, in place of its `addresses`."""
        ...


class Conversation:
    """Bytes in and out of one codec. Protocol chatter (poll replies) and codec deadlines do not wait for the disk.

    bucket: what this peer may say; beyond it reading pauses until it has calmed down. None: somebody else sees to that.
    held: what an earlier conversation of a protocol without repeats read but could not store.
    """

    def __init__(self, owner: Owner, codec: Codec, wire: Wire, bucket: Bucket | None = None, held: Sequence[Held] = ()) -> None:
        self.codec = codec
        self.wire = wire
        self.addresses: frozenset[str] = frozenset()  # devices that speak here and nowhere else
        self.opened_at = self.heard_at = monotonic()
        self.is_paused = False
        self.is_sound = False  # something was read that its codec did not refuse
        self.is_doubtful = False  # something was refused
        self.lost = asyncio.Event()
        self.lost_reason = ""
        self._owner = owner
        self._bucket = bucket
        self._waiting: deque[Held] = deque(held)
        owner.waiting += len(held)
        self._waiting_bytes = 0
        self._is_leaving = False  # the codec wants to be rid of its peer
        self._closing: asyncio.TimerHandle | None = None
        self._calm: asyncio.TimerHandle | None = None  # set while the peer says more than it may
        self._timer: asyncio.TimerHandle | None = None
        self._something = asyncio.Event()
        self._bug: Exception | None = None
        self._teller: Any = codec if hasattr(codec, "can_tell") else None
        self._tells: dict[int, asyncio.Future[str]] = {}
        self._tokens = itertools.count(1)
        if hasattr(codec, "peer"):
            codec.peer = wire.host

    @property
    def waiting(self) -> int:
        """Signals read and not yet stored."""
        return len(self._waiting)

    @property
    def is_busy(self) -> bool:
        """Does somebody wait: the peer for a receipt, the store's turn for a signal, or we for the device's answer?"""
        return bool(self._waiting or self._tells)

    @property
    def can_tell_anybody(self) -> bool:
        """Has its protocol words for devices at all?"""
        return self._teller is not None

    def begin(self) -> None:
        """The connection stands."""
        connected: Callable[[float], None] | None = getattr(self.codec, "connected", None)
        if connected is not None:
            self._guard(lambda: connected(monotonic()))

    def receive(self, data: bytes) -> None:
        """Take any fragment, or a datagram."""
        if self._is_leaving or self.lost.is_set():
            return
        self.heard_at = now = monotonic()
        self._owner.heard(self)
        if self._waiting:
            self._waiting_bytes += len(data)
        found = self._guard(lambda: self.codec.receive_data(data, now))
        if self._bucket is not None:
            self._charge(self._bucket, len(found) + len(data) / OCTETS_A_TOKEN, now)
        self._regulate()

    def note(self, rejected: Rejected) -> None:
        """A rejection of the line's own, kept for inspection behind what waits."""
        self._waiting.append((None, rejected))
        self._owner.waiting += 1
        self._something.set()

    def end(self, reason: str) -> None:
        """The connection is gone. What was read is still delivered."""
        if self.lost.is_set():
            return
        self.lost_reason = reason
        self.lost.set()
        self._something.set()
        for timer in (self._timer, self._calm, self._closing):
            self._stop(timer)
        self._drain_told()
        for future in self._tells.values():
            if not future.done():
                future.set_result("lost")
        disconnected: Callable[[float], list[Signal | Rejected]] | None = getattr(self.codec, "disconnected", None)
        if disconnected is not None:
            self._guard(lambda: disconnected(monotonic()))

    def abort(self) -> None:
        """Close the connection now, whatever is still to be written."""
        if not self.lost.is_set():
            self.wire.abort()

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
        return [] if self.codec.peer_repeats else list(self._waiting)

    def can_tell(self, device: str, word: Word) -> bool:
        """Is the device on this connection, with a protocol that has this word?"""
        return self._teller is not None and not self.lost.is_set() and bool(self._teller.can_tell(device, word))

    async def tell(self, tell: Tell | ShortText, wait_s: float = TELL_S) -> str:
        """Tell it and wait for what comes of it: "" or refused, timeout, busy, lost. Cancelling: it may still be told."""
        if len(self._tells) >= MAX_TELLS:
            return "busy"
        token = next(self._tokens)
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._tells[token] = future
        try:
            self._guard(lambda: self._teller.tell(tell, token, monotonic()))
            async with asyncio.timeout(wait_s):
                return await future
        except TimeoutError:
            return "timeout"
        finally:
            self._tells.pop(token, None)

    def _judge(self, found: list[Signal | Rejected]) -> None:
        """What came with a refusal (a notice of it) says nothing for the peer."""
        if any(isinstance(one, Rejected) for one in found):
            self.is_doubtful = True
        elif not self.is_sound:
            self.is_sound = True
            self._owner.sound(self)

    def _guard(self, move: Callable[[], list[Signal | Rejected] | None]) -> list[Signal | Rejected]:
        """Run the codec; its exception is our bug and must reach the supervisor, not Twisted's log."""
        if self._bug is not None:
            return []
        try:
            found = move() or []
            self._see()
        except Exception as bug:
            self._bug = bug
            found = []
        received_at = utc_now()
        if found:
            self._judge(found)
        for signal in found:
            self._waiting.append((signal, _told(signal, self._owner.name, received_at)))
        self._owner.waiting += len(found)
        if found or self._bug:
            self._something.set()
        self._leave()
        return found

    def _see(self) -> None:
        """After anything that may have changed the codec: its bytes leave, its results are told, who speaks here is known."""
        self._write()
        self._drain_told()
        addresses = getattr(self.codec, "addresses", ())
        if len(addresses) != len(self.addresses) or not self.addresses.issuperset(addresses):
            claimed = frozenset(addresses)
            self._owner.claim(self, claimed)
            self.addresses = claimed
        if getattr(self.codec, "hang_up", False):
            self._is_leaving = True
        self._set_timer()

    def _write(self) -> None:
        data = self.codec.data_to_send()
        if data and not self.lost.is_set():
            self.wire.write(data)

    def _drain_told(self) -> None:
        if self._teller is not None:
            for token, reason in self._teller.told():
                future = self._tells.get(token)
                if future is not None and not future.done():
                    future.set_result(reason)

    def _set_timer(self) -> None:
        self._stop(self._timer)
        self._timer = None
        deadline = self.codec.deadline()
        if deadline is not None and not self.lost.is_set():
            self._timer = asyncio.get_running_loop().call_later(max(0.0, deadline - monotonic()), self._on_deadline)

    def _on_deadline(self) -> None:
        self._timer = None
        self._guard(lambda: self.codec.handle_deadline(monotonic()))

    def _leave(self) -> None:
        """Close as the codec wishes, once nobody waits for a receipt."""
        if self._is_leaving and not self._waiting and self._closing is None and not self.lost.is_set():
            self._owner.counts["hung_up"] += 1
            self._closing = asyncio.get_running_loop().call_later(CLOSE_S, self.abort)
            self.wire.close()

    def _charge(self, bucket: Bucket, cost: float, now: float) -> None:
        """Nothing is lost: what is not read waits with the peer, and only with this one."""
        debt_s = bucket.charge(cost, now)
        if debt_s and self._calm is None and not self.lost.is_set():
            self._owner.flooded(self.wire.host)
            self._calm = asyncio.get_running_loop().call_later(debt_s, self._calmed)

    def _calmed(self) -> None:
        self._calm = None
        self._regulate()

    def _regulate(self) -> None:
        """Read or do not read: the store may be slow, the peer too fast, or we about to leave."""
        is_full = self._waiting_bytes > HIGH_WATER or (bool(self._waiting) and self._owner.waiting >= MAX_WAITING)
        is_paused = is_full or self._calm is not None or self._is_leaving
        if is_paused != self.is_paused and not self.lost.is_set():
            self.is_paused = is_paused
            if is_paused:
                self.wire.pause()
            else:
                self.wire.resume()

    async def _emit_some(self, emit: Emit) -> None:
        """One commit for what waits. Signals leave the queue only with their verdict; those to be held stay, in order."""
        batch = [self._waiting[index] for index in range(min(MAX_BATCH, len(self._waiting)))]
        verdicts = await emit([event for _, event in batch])
        keep: list[Held] = []
        for held, verdict in zip(batch, verdicts, strict=True):
            self._waiting.popleft()
            if held[0] is None:
                continue
            if verdict.kept:
                self.codec.confirm(held[0])
            elif verdict.retry and not self.codec.peer_repeats:
                keep.append(held)
            else:
                self.codec.refuse(held[0], verdict.reason)
            self._write()  # one receipt at a time: over UDP each is a datagram of its own
        self._waiting.extendleft(reversed(keep))
        self._owner.waiting -= len(batch) - len(keep)
        self._see()
        if keep:
            await asyncio.sleep(HOLD_S)
        elif not self._waiting:
            self._waiting_bytes = 0
            self._leave()
            self._regulate()

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()


def _told(signal: Signal | Rejected, line: str, received_at: datetime) -> Event | Rejected:
    """The form that the pipeline takes: both know their line."""
    if isinstance(signal, Signal):
        return to_event(signal, line, received_at)
    return msgspec.structs.replace(signal, line=line)
