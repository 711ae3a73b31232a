"""What travels over the bus, and what a bus can do: streams that keep (one a shard), and questions that are answered or not."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from drivers.contract import Rejected, storable
from gateway.errors import GatewayError
from gateway.event import Event, Kind

GROUP_LIMIT = 500  # events of one message: about 300 KiB of alarms …
UNREADABLE = "bus"  # the line of what names none
LARGEST = 1_000_000  # … and bytes: a NATS server takes 1 MiB with all headers


class BusDown(GatewayError):
    """No server of the bus can be reached, or it does not answer in time. Try again."""


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    """A rejected message on its way to be kept for inspection: `drivers.contract.Rejected` without its token."""

    reason: str
    raw: bytes
    line: str
    device: str | None
    detail: str


class MadeAnew(GatewayError):
    """The stream of a shard is not the one that was read before: it counts from 1 again."""


class Shorter(GatewayError):
    """It is the stream that was read before, without its newest: what is kept now bears numbers that were read already."""


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """What one edge handed over in one go for one shard, in order. at: seconds since 1970, when.

    life, number: of all that it hands to this shard from its start (a UUIDv7) to its end, counted from 1 without gaps; 0: not counted
    """

    edge: str
    at: float
    events: tuple[Event, ...] = ()
    refused: tuple[Refusal, ...] = ()
    life: str = ""
    number: int = 0

    @property
    def content(self) -> list[Event | Rejected]:
        """As a line would hand it to the pipeline."""
        rejected = [Rejected(reason=r.reason, raw=r.raw, line=r.line, device=r.device, detail=r.detail) for r in self.refused]
        return [*self.events, *rejected]


class Message(msgspec.Struct, frozen=True):
    """An envelope and its place in the stream of its shard, counted from 1 without gaps."""

    sequence: int
    envelope: Envelope


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Envelope)


def packed(edge: str, at: float, content: Sequence[Event | Rejected], life: str = "", number: int = 0) -> bytes:
    """The bytes of an envelope. Raises UnicodeError, TypeError or ValueError for an event that cannot be written down."""
    refused = tuple(
        Refusal(one.reason, one.raw, one.line, one.device and str(storable(one.device)), str(storable(one.detail)))
        for one in content
        if isinstance(one, Rejected)
    )
    return _encoder.encode(Envelope(edge, at, tuple(one for one in content if isinstance(one, Event)), refused, life, number))


def unpacked(data: bytes) -> Envelope:
    """Raises msgspec.MsgspecError for what no edge of this version wrote."""
    return _decoder.decode(data)


def salvaged(data: bytes, sequence: int) -> Envelope:
    """What can be read of an envelope of another version. What cannot is kept among the rejected, and a person must look: it may have been a cry."""
    try:
        edge, at, parts, *_ = msgspec.msgpack.decode(data)
        edge, when, parts = str(edge), float(at), list(parts)
        datetime.fromtimestamp(when, UTC)
    except (msgspec.MsgspecError, UnicodeError, TypeError, ValueError, OverflowError, OSError, RecursionError):
        edge, when, parts = UNREADABLE, time.time(), [data]
    events: list[Event] = []
    refused: list[Refusal] = []
    for index, part in enumerate(parts):
        try:
            events.append(msgspec.convert(part, Event))
        except msgspec.MsgspecError as error:
            facts = part if isinstance(part, dict) else {}
            line, device = str(facts.get("line", UNREADABLE)), facts.get("device")
            device = device if isinstance(device, str) else None
            now = datetime.fromtimestamp(when, UTC)
            detail: dict[str, object] = {"reason": "unstorable", "kind": str(facts.get("kind", ""))}
            dedup = f"bus:{UNREADABLE}:{sequence}:{index}"
            events.append(Event(kind=Kind.GENERAL, line=line, device=device, dedup=dedup, received_at=now, occurred_at=now, detail=detail))
            refused.append(Refusal("unstorable", part if isinstance(part, bytes) else _encoder.encode(part), line, device, str(error)))
    return Envelope(edge, when, tuple(events), tuple(refused))


Handler = Callable[[bytes], Awaitable[bytes]]


class Bus(Protocol):
    """A connection to the bus. Everything but `connect` and `close` may raise BusDown."""

    @property
    def is_connected(self) -> bool:
        """Does a server answer that serves the streams?"""
        ...

    async def keep(self, shard: int, identity: str, data: bytes) -> None:
        """Returns when the stream of the shard has it safe. The same identity again within two minutes is kept once."""
        ...

    async def made(self, shard: int) -> int:
        """When the stream of the shard was made, microseconds since 1970: another number is another stream, and counts from 1 again."""
        ...

    async def span(self, shard: int) -> tuple[int, int]:
        """The first message that the stream of the shard still has, and the last one that it ever had; without any the first is behind the last."""
        ...

    def follow(self, shard: int, after: int, made: int) -> AsyncIterator[Message]:
        """Every message of the shard with a sequence above `after`, in order, for ever; waits for those to come. Raises MadeAnew, Shorter."""
        ...

    async def fill(self, shard: int) -> float:
        """How full its stream is, 0 to 1."""
        ...

    async def forget(self, shard: int, upto: int) -> None:
        """Messages up to and including this one are not needed any more."""
        ...

    async def ask(self, subject: str, body: bytes, timeout_s: float) -> bytes:
        """Ask whoever answers under this subject."""
        ...

    async def answer(self, subject: str, handler: Handler) -> Callable[[], Awaitable[None]]:
        """Answer under this subject from now on; what is returned ends it. An exception of the handler leaves the asker without an answer."""
        ...

    async def tell(self, subject: str, body: bytes) -> None:
        """Say something to whoever listens; nobody may."""
        ...

    async def listen(self, subject: str, heard: Callable[[str, bytes], None]) -> Callable[[], Awaitable[None]]:
        """Be called with (subject, body) for what is told; `*` stands for one word of the subject. What is returned ends it."""
        ...
