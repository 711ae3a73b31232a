"""What the lines of stream codecs have in common: their conversations, who speaks on which, and telling devices something.

`stream` listens for connections, `serial_port` holds a port, `stream_client` dials, `datagram_peers` hears peers over UDP.
"""

import asyncio
import itertools
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog

from drivers.contract import Codec, Emit, Report
from drivers.downlink import Tell
from drivers.lines.conversation import Conversation, Held, Wire
from drivers.lines.silence import SilenceWatch
from drivers.token_bucket import Bucket, TokenBuckets
from gateway.clock import monotonic
from gateway.config import LineConfig

# What one source may say: a connection (600 messages), a host over UDP (600 datagrams). A serial wire of 115,200 baud full of the
# shortest frames (20 octets) brings 576 a second, so that no receiver behind a serial bridge gets there, and no single device by far.
SOURCE_PER_S = 600.0
SOURCE_BURST = 5 * SOURCE_PER_S  # five seconds' worth at once: a site whose link is back tells what it has kept
NEWS_PER_S = 1 / 60  # a flood is told once a minute and source: it must not become a flood of reports
LOOK_AT = 64  # conversations looked at for one that may go: that many with unanswered work, all silent longer than others, and the store is slow
STORE_S = 5.0  # after the one connection of a line is lost: so long may the store take for what was read before

log = structlog.get_logger()


class ConversingLine:
    """Conversations in the order of who was heard last, one task each.

    counts: hung_up (as a codec wished), replaced (an older connection of the same device), flooding, and what the way of listening adds.
    """

    def __init__(self, config: LineConfig, new_codec: Callable[[], Codec]) -> None:
        self.name = config.name
        self.codec_name = config.codec
        self.mandatory = config.mandatory
        self.counts: Counter[str] = Counter()
        self.waiting = 0
        self._silence_s = config.silence_s
        self._new_codec = new_codec
        self._conversations: OrderedDict[Conversation, asyncio.Task[None]] = OrderedDict()
        self._speakers: dict[str, Conversation] = {}  # device → the conversation that it alone speaks on
        self._held: list[Held] = []
        self._news = TokenBuckets(NEWS_PER_S, 1.0)
        self._warnings = Bucket(NEWS_PER_S, 1.0)
        self._emit: Emit | None = None
        self._watch: SilenceWatch | None = None
        self._bug: asyncio.Future[None] | None = None

    @property
    def held(self) -> int:
        """Events read and not yet stored."""
        return self.waiting + len(self._held)

    @property
    def connections(self) -> int:
        """Connections that stand, or UDP peers that are remembered."""
        return len(self._conversations)

    async def tell(self, tell: Tell) -> str:
        """drivers.downlink.Downlink: on the newest conversation that can."""
        standing = [one for one in self._conversations if not one.lost.is_set()]
        able = [one for one in standing if one.can_tell(tell.device, tell.word)]
        if able:
            return await max(able, key=lambda one: one.opened_at).tell(tell)
        if standing and not any(one.can_tell_anybody for one in standing):
            return "cannot"
        return "cannot" if tell.device in self._speakers else "not_connected"

    def heard(self, conversation: Conversation) -> None:
        """Bytes have arrived on this conversation."""
        if conversation in self._conversations:
            self._conversations.move_to_end(conversation)
        if self._watch is not None:
            self._watch.heard()

    def flooded(self, host: str) -> None:
        """A source says more than it may: counted each time, warned of once a minute."""
        self.counts["flooding"] += 1
        now = monotonic()
        if self._warnings.level(now) >= 1.0:
            self._warnings.charge(1.0, now)
            log.warning("source_flooding", line=self.name, host=host, limit_per_s=SOURCE_PER_S)

    def sound(self, conversation: Conversation) -> None:
        """A conversation has brought its first message that was not refused."""

    def claim(self, conversation: Conversation, addresses: frozenset[str]) -> None:
        """These devices speak here now: where they spoke before, the connection is dead, and is closed without a word about its devices."""
        self._forget_speaker(conversation, conversation.addresses - addresses)
        for address in addresses:
            older = self._speakers.get(address)
            self._speakers[address] = conversation
            if older is not None and older is not conversation:
                self.counts["replaced"] += 1
                older.abort()

    def _begin(self, emit: Emit, report: Report) -> None:
        """A new run."""
        self._emit = emit
        self._watch = SilenceWatch(report, self._silence_s)
        self._bug = asyncio.get_running_loop().create_future()

    def _converse(self, wire: Wire, held: Sequence[Held] = (), *, is_stream: bool = True) -> Conversation:
        """A new conversation with a codec of its own, and its delivery. The caller begins it."""
        assert self._emit is not None
        bucket = Bucket(SOURCE_PER_S, SOURCE_BURST) if is_stream else None
        codec: Any = self._new_codec()
        if isinstance(getattr(codec, "counts", None), Counter):
            codec.counts = self.counts  # conversations come and go: what their codecs count is their line's to tell
        conversation = Conversation(self, codec, wire, bucket, held)
        task = asyncio.create_task(conversation.deliver(self._emit), name=f"{self.name} conversation")
        self._conversations[conversation] = task
        task.add_done_callback(lambda task: self._ended(conversation, task))
        return conversation

    def _deliver_apart(self, held: Sequence[Held]) -> None:
        """Store what belongs to no connection that stands."""
        if held:
            self._converse(_NO_WIRE, held).end("no connection")

    def _take_held(self) -> list[Held]:
        held, self._held = self._held, []
        return held

    def _ended(self, conversation: Conversation, task: asyncio.Task[None]) -> None:
        self._conversations.pop(conversation, None)
        self._forget_speaker(conversation, conversation.addresses)
        conversation.abort()
        error = None if task.cancelled() else task.exception()
        if error is not None and self._bug is not None and not self._bug.done():
            self._bug.set_exception(error)

    def _forget_speaker(self, conversation: Conversation, addresses: frozenset[str]) -> None:
        for address in addresses:
            if self._speakers.get(address) is conversation:
                del self._speakers[address]

    def _make_room(self, among: Iterable[Conversation], silent_s: float) -> bool:
        """Forget the one of these that was silent longest, if for so long, and nobody waits for anything on it. `among`: that order."""
        now = monotonic()
        found = next((one for one in among if not one.is_busy and now - one.heard_at >= silent_s), None)
        if found is None:
            return False
        self.counts["forgotten"] += 1
        self._conversations.pop(found).cancel()
        found.abort()
        return True

    async def _serve(self) -> None:
        """While many conversations come and go: until cancelled; raises what a codec raised (our bug)."""
        assert self._watch is not None
        assert self._bug is not None
        self._deliver_apart(self._take_held())
        silence = asyncio.create_task(self._watch.run(), name=f"{self.name} silence")
        try:
            await asyncio.gather(silence, self._bug)  # neither ever ends but by an error
        finally:
            silence.cancel()

    async def _hold(self, conversation: Conversation) -> str:
        """While there is one conversation: gives why it was lost, once what was read before is stored or STORE_S are over."""
        assert self._watch is not None
        delivery = self._conversations[conversation]
        silence = asyncio.create_task(self._watch.run(), name=f"{self.name} silence")
        lost = asyncio.create_task(conversation.lost.wait(), name=f"{self.name} connection")
        try:
            await asyncio.wait({delivery, silence, lost}, return_when=asyncio.FIRST_COMPLETED)
            conversation.abort()
            await asyncio.wait({delivery}, timeout=STORE_S)
            for ended in (silence, delivery):
                if ended.done():
                    ended.result()
            return conversation.lost_reason
        finally:
            for task in (silence, lost):
                task.cancel()
            await asyncio.gather(silence, lost, return_exceptions=True)

    async def _close(self) -> None:
        """Hang up on everybody. What was read, is not stored and will not be repeated is held for the next run."""
        running = dict(self._conversations)
        for conversation, task in running.items():
            conversation.abort()
            task.cancel()
        await asyncio.gather(*running.values(), return_exceptions=True)
        self._held += itertools.chain.from_iterable(conversation.held() for conversation in running)
        self.waiting = 0
        self._conversations.clear()
        self._speakers.clear()
        if self._bug is not None and not self._bug.cancel():
            self._bug.exception()  # told already


class _NoWire:
    """Of a conversation that is over before it began."""

    host = ""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


_NO_WIRE: Any = _NoWire()
