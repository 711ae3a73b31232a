"""The MQTT line: a kept session, receipts after the commit and in order of arrival, and no reading beyond what we can hold."""

import asyncio
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog

from drivers.contract import Emit, Rejected, Report, Signal, Verdict, to_event
from drivers.downlink import Tell
from drivers.lines.conversation import TELL_S
from drivers.lines.mqtt_session import KEEPALIVE_S, Broker, MqttSession
from drivers.mqtt.message import addresses
from drivers.mqtt.wire import Arrived
from gateway import clock
from gateway.config import LineConfig
from gateway.errors import ConfigError, LineError
from gateway.event import KINDS, Event

# Messages we hold unacknowledged; then we stop reading. A commit of 1,000 takes 6 ms (docs/performance.md), so a larger window buys no speed; it
# is also the broker's window in config/mosquitto/gateway.conf. Reading goes on when half of them are acknowledged.
RECEIVE_MAXIMUM = 1000
# The same in bytes: 64 of the largest messages that are read at all.
MAX_HELD_BYTES = 16 * 1024 * 1024
# Signs of life wait so long for others to share their way: nobody waits for one, and each group costs 50 µs of its own. Whatever else comes takes
# them along.
LINGER_S = 0.005
# Between two tries to store a group that was refused for a fault of ours: doubling from the first to the last.
FIRST_RETRY_S = 0.2
LAST_RETRY_S = 5.0
# Publishes under way at once: a street's sirens. The broker confirms one within milliseconds.
MAX_TELLS = 1000

# Of a profile's fault: where it is (file, line and key; or the expression that fails, and how). What follows may quote a message, and is not logged.
_PLACES = {
    "profile_refused": re.compile(r".+?:\d+(?:: [\w.\[\]-]+)?(?=: )"),
    "profile_off": re.compile(r".+?: \w+(?=: )"),
    "profile_on": re.compile(""),
}
MAX_TOLD = 64  # profiles of which something is logged: as many as a line may have (drivers.mappings)

log = structlog.get_logger()


class BrokerCodec(Protocol):
    """A sans-I/O decoder of published messages. Bytes never make it raise."""

    topics: tuple[str, ...]

    def receive_message(self, topic: str, payload: bytes, retain: bool, dup: bool, now: float, received_at: datetime) -> Sequence[Signal | Rejected]:
        """What one publish says; `retain` and `dup` are the flags of the broker's packet."""
        ...


class PublishingCodec(BrokerCodec, Protocol):
    """A codec whose devices listen to topics of their own, so that they can be told something."""

    def publish_for(self, tell: Tell) -> tuple[str, bytes] | None:
        """(topic, payload) that tells this device so; None when it has no word for it, or is not known to listen."""
        ...


class BrokerOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `[line.options]` may hold for every broker line.

    topics           subscription filters; empty for the codec's own
    client_id        stable name of our session at the broker; empty for gateway-<line>
    password_file    holds the password and nothing else; ca_file: who signed the broker's certificate (mqtts)
    certificate_file, key_file  by which the broker knows us (require_certificate); PEM, read again at each connection
    receive_maximum  messages held unacknowledged before reading stops
    """

    topics: tuple[str, ...] = ()
    client_id: str = ""
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    keepalive_s: int = KEEPALIVE_S
    receive_maximum: int = RECEIVE_MAXIMUM

    def __post_init__(self) -> None:
        if not 5 <= self.keepalive_s <= 3600:
            raise ValueError("keepalive_s: write 5 to 3600 seconds")
        if not 1 <= self.receive_maximum <= 65535:  # the packet identifiers of MQTT 3.1.1
            raise ValueError("receive_maximum: write 1 to 65535 messages")


def check_options(config: LineConfig, options: BrokerOptions) -> list[str]:
    """What is wrong beyond types: the broker's address, a filter that cannot be used, a file that is not there."""
    problems: list[str] = []
    try:
        _broker_of(config, options)
    except ConfigError as error:
        problems += [problem if problem.startswith("broker:") else f"options.{problem}" for problem in error.problems]
    try:
        if options.topics:
            addresses(options.topics)
    except ValueError as error:
        problems.append(f"options.{error}")
    if options.password_file and not Path(options.password_file).is_file():
        problems.append(f"options.password_file: {options.password_file} does not exist; write it or correct the path")
    return problems


def _broker_of(config: LineConfig, options: BrokerOptions) -> Broker:
    return Broker.parse(
        config.broker or "",
        username=options.username,
        password_file=options.password_file,
        ca_file=options.ca_file,
        certificate_file=options.certificate_file,
        key_file=options.key_file,
    )


class _Held(msgspec.Struct, gc=False):
    """Messages that wait for one commit: their events, and the receipts owed for them in order of arrival."""

    events: list[Event | Rejected] = []
    receipts: list[tuple[int, int]] = []
    size: int = 0


class BrokerLine:
    """Subscribes, decodes, emits and acknowledges.

    Whatever has arrived is emitted as one group; while it is being stored the next one collects. Only when every event of a group is stored, known
    or rejected for good do its receipts leave. A group refused for a fault of ours is held and emitted again; nothing after it is acknowledged
    before it. When the connection goes, what is unacknowledged is forgotten here: the broker kept it, and delivers it again.

    There is no limit for each device here: one connection carries them all, so that holding back one would hold back all, and a message
    dropped unread could be an alarm. A device that floods is slowed by the broker's own limits, and costs as much as its messages cost.
    """

    def __init__(self, config: LineConfig, options: BrokerOptions, codec: BrokerCodec, codec_name: str | None = None) -> None:
        self.name = config.name
        self.codec_name = codec_name or config.codec
        self.mandatory = config.mandatory
        self.silence_s = config.silence_s
        self.codec = codec
        self.options = options
        self.client_id = options.client_id or f"gateway-{config.name}"
        self.broker = _broker_of(config, options)
        self._connection: _Connection | None = None
        self._profiles_told: dict[str, str] = {}  # profile → what was logged of it last

    async def run(self, emit: Emit, report: Report) -> None:
        """Hold one connection; LineError when it is lost or refused. Cancelling loses nothing: the broker delivers again what has no receipt."""
        self._connection = _Connection(self, emit, report)
        try:
            await self._connection.run()
        finally:
            self._connection = None

    async def leave(self) -> None:
        """drivers.contract.Leaver: the session stays at the broker, which keeps what comes until it is taken up again."""
        if self._connection is not None:
            await self._connection.leave()

    def log_profile(self, signal: Signal) -> None:
        """A profile was refused, shut off, or reads again: once for each change, so that a connection that comes and goes repeats nothing."""
        reason = str(signal.detail.get("reason"))
        profile = str(signal.device).removeprefix("profile:")
        if reason not in _PLACES or self._profiles_told.get(profile, "profile_on") == reason:
            return
        if profile in self._profiles_told or len(self._profiles_told) < MAX_TOLD:
            self._profiles_told[profile] = reason
            place = _PLACES[reason].match(str(signal.detail.get("fault", "")))
            facts = {"fault": place[0] if place else None, "file": signal.detail.get("file")}
            log.warning(reason, line=self.name, profile=profile, **{name: fact for name, fact in facts.items() if fact})

    async def tell(self, tell: Tell) -> str:
        """drivers.downlink.Downlink: what the broker has confirmed is told; whether the device listens nobody knows."""
        publish_for = getattr(self.codec, "publish_for", None)
        if publish_for is None:
            return "cannot"
        if self._connection is None:
            return "not_connected"
        message = publish_for(tell)
        return "cannot" if message is None else await self._connection.publish(*message)


class _Connection:
    """What lives as long as one connection."""

    def __init__(self, line: BrokerLine, emit: Emit, report: Report) -> None:
        self._line = line
        self._name = line.name
        self._codec = line.codec
        self._silence_s = line.silence_s
        self._emit = emit
        self._report = report
        self._most = line.options.receive_maximum
        self._session = MqttSession(
            line.broker,
            client_id=line.client_id,
            kept=True,
            keepalive_s=line.options.keepalive_s,
            on_arrived=self._arrived,
            on_published=self._published,
        )
        self._session.room = self._most
        self._waiting = _Held()
        self._has_waiting = asyncio.Event()
        self._lingering: asyncio.TimerHandle | None = None
        self._held = 0  # messages unacknowledged, waiting or being stored
        self._held_bytes = 0
        self._is_paused = False
        self._is_leaving = False
        self._settled = asyncio.Event()  # we are leaving, and nothing is unacknowledged any more
        self._heard_at = clock.monotonic()
        self._is_live = False
        self._tells: dict[int, asyncio.Future[str]] = {}  # message id → what became of our publish

    async def run(self) -> None:
        session = self._session
        tasks: list[asyncio.Task[None]] = []
        try:
            await session.connect()
            # Before subscribing: what the broker kept for us comes at once, and its receipts must flow for the answer behind it to reach us.
            tasks.append(asyncio.create_task(self._store_groups(), name=f"{self._name}-store"))
            if self._codec.topics:
                await session.subscribe(self._codec.topics)
            self._is_live = True
            self._report.live()
            self._tell_news()
            if self._silence_s is not None:
                tasks.append(asyncio.create_task(self._watch_silence(self._silence_s), name=f"{self._name}-silence"))
            ends: list[asyncio.Future[Any]] = [session.lost, *tasks]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()  # our bug: let the supervisor see it
            raise LineError(f"connection to the broker lost: {session.lost.result()}")
        finally:
            self._is_live = False
            self._settled.set()
            for future in self._tells.values():
                if not future.done():
                    future.set_result("lost")
            if self._lingering is not None:
                self._lingering.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await session.close()

    async def leave(self) -> None:
        """Read nothing more, and wait until what was read has its receipts."""
        self._is_leaving = self._is_paused = True
        self._session.pause_reading()
        self._emit_waiting()
        await self._settled.wait()

    def _tell_news(self) -> None:
        """What the codec has to say of itself, if it does: which of its parts cannot work."""
        news: Callable[[], Sequence[Signal]] | None = getattr(self._codec, "news", None)
        signals = news() if news is not None else ()
        if signals:
            received_at = clock.utc_now()
            for signal in signals:
                self._line.log_profile(signal)
            self._waiting.events.extend(to_event(signal, self._name, received_at) for signal in signals)
            self._has_waiting.set()

    async def publish(self, topic: str, payload: bytes) -> str:
        """Publish with QoS 1 and wait for the broker's PUBACK: "", or why not."""
        if not self._is_live:
            return "not_connected"
        if len(self._tells) >= MAX_TELLS:
            return "busy"
        try:
            number = self._session.publish(topic, payload)
        except LineError:
            return "lost"
        except ValueError:  # no topic to publish to
            return "cannot"
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._tells[number] = future
        try:
            async with asyncio.timeout(TELL_S):
                return await future
        except TimeoutError:
            return "timeout"
        finally:
            del self._tells[number]

    def _published(self, number: int) -> None:
        future = self._tells.get(number)
        if future is not None and not future.done():
            future.set_result("")

    def _arrived(self, messages: list[Arrived]) -> None:
        """Decode at once, so that the time of receipt is that of arrival and not that of a stalled disk."""
        now, received_at = clock.monotonic(), clock.utc_now()
        self._heard_at = now
        self._report.heard()
        events, receipts, size = self._waiting.events, self._waiting.receipts, 0
        is_pressing = False
        for message in messages:
            for signal in self._signals(message, now, received_at):
                if isinstance(signal, Signal):
                    if signal.edge == "profile":
                        self._line.log_profile(signal)
                    events.append(to_event(signal, self._name, received_at))
                    is_pressing = is_pressing or KINDS[signal.kind].journalled
                else:
                    events.append(msgspec.structs.replace(signal, line=self._name))
            receipts.append((message.mid, message.qos))
            size += len(message.payload)
        self._waiting.size += size
        self._held += len(messages)
        self._held_bytes += size
        self._session.room = self._most - self._held
        if is_pressing or self._held * 2 > self._most:
            self._emit_waiting()
        elif self._lingering is None:
            self._lingering = asyncio.get_running_loop().call_later(LINGER_S, self._emit_waiting)
        if not self._is_paused and (self._held >= self._most or self._held_bytes >= MAX_HELD_BYTES):
            self._is_paused = True
            self._session.pause_reading()

    def _emit_waiting(self) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        self._has_waiting.set()

    def _signals(self, message: Arrived, now: float, received_at: datetime) -> Sequence[Signal | Rejected]:
        if message.topic is None:
            return (Rejected(reason="bad_topic", raw=message.payload[:4096]),)
        return self._codec.receive_message(message.topic, message.payload, message.retain, message.dup, now, received_at)

    async def _store_groups(self) -> None:
        """Emit what waits, again and again; a group's receipts follow its commit."""
        while True:
            await self._has_waiting.wait()
            self._has_waiting.clear()
            group, self._waiting = self._waiting, _Held()
            if group.events:
                await self._store(group.events)
            self._session.acknowledge(group.receipts)
            self._held -= len(group.receipts)
            self._held_bytes -= group.size
            self._session.room = self._most - self._held
            if self._is_leaving and not self._held:
                self._settled.set()
            elif self._is_leaving:
                self._emit_waiting()
            elif self._is_paused and self._held * 2 <= self._most and self._held_bytes * 2 <= MAX_HELD_BYTES:
                self._is_paused = False
                self._heard_at = clock.monotonic()  # we did not listen: that was not silence
                self._session.resume_reading()

    async def _store(self, events: Sequence[Event | Rejected]) -> None:
        """Return when each event has a verdict that is final. Those refused for a fault of ours are emitted again, in their order."""
        pause_s = FIRST_RETRY_S
        while True:
            verdicts: Sequence[Verdict] = await self._emit(events)
            events = [event for event, verdict in zip(events, verdicts, strict=True) if verdict.retry]
            if not events:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LAST_RETRY_S)

    async def _watch_silence(self, silence_s: float) -> None:
        """Report once per silence; the next message ends it. While we do not read, nobody is silent."""
        told_of = -1.0
        while True:
            silent_s = clock.monotonic() - self._heard_at
            if silent_s >= silence_s and not self._is_paused and told_of != self._heard_at:
                told_of = self._heard_at
                self._report.suspect(f"nothing heard for {silent_s:.0f} s")
            await asyncio.sleep(silence_s - silent_s if silent_s < silence_s else silence_s)
