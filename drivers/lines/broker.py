"""The MQTT line: a kept session, receipts after the commit and in order of arrival, and no reading beyond what we can hold."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from drivers.contract import Emit, Rejected, Report, Signal, Verdict, to_event
from drivers.lines.mqtt_session import KEEPALIVE_S, Arrived, Broker, MqttSession
from drivers.mqtt.message import addresses
from gateway import clock
from gateway.config import LineConfig
from gateway.errors import ConfigError, LineError
from gateway.event import Event

# Messages we hold unacknowledged; then we stop reading. A commit of 1,000 takes 6 ms (docs/performance.md), so a larger window buys no speed; it
# is also the broker's window in config/mosquitto/gateway.conf. Reading goes on when half of them are acknowledged.
RECEIVE_MAXIMUM = 1000
# The same in bytes: 64 of the largest messages that are read at all.
MAX_HELD_BYTES = 16 * 1024 * 1024
# Between two tries to store a group that was refused for a fault of ours: doubling from the first to the last.
FIRST_RETRY_S = 0.2
LAST_RETRY_S = 5.0


class BrokerCodec(Protocol):
    """A sans-I/O decoder of published messages. Bytes never make it raise."""

    topics: tuple[str, ...]

    def receive_message(self, topic: str, payload: bytes, retain: bool, dup: bool, now: float, received_at: datetime) -> Sequence[Signal | Rejected]:
        """What one publish says; `retain` and `dup` are the flags of the broker's packet."""
        ...


class BrokerOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `[line.options]` may hold for every broker line.

    topics           subscription filters; empty for the codec's own
    client_id        stable name of our session at the broker; empty for gateway-<line>
    password_file    holds the password and nothing else; ca_file: who signed the broker's certificate (mqtts)
    receive_maximum  messages held unacknowledged before reading stops
    """

    topics: tuple[str, ...] = ()
    client_id: str = ""
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
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
        Broker.parse(config.broker or "", username=options.username, password_file=options.password_file, ca_file=options.ca_file)
    except ConfigError as error:
        problems += error.problems
    try:
        if options.topics:
            addresses(options.topics)
    except ValueError as error:
        problems.append(f"options.{error}")
    problems += [
        f"options.{key}: {path} does not exist; write it or correct the path"
        for key, path in (("password_file", options.password_file), ("ca_file", options.ca_file))
        if path and not Path(path).is_file()
    ]
    return problems


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
    """

    def __init__(self, config: LineConfig, options: BrokerOptions, codec: BrokerCodec, codec_name: str | None = None) -> None:
        self.name = config.name
        self.codec_name = codec_name or config.codec
        self.mandatory = config.mandatory
        self.silence_s = config.silence_s
        self.codec = codec
        self.options = options
        self.client_id = options.client_id or f"gateway-{config.name}"
        self.broker = Broker.parse(config.broker or "", username=options.username, password_file=options.password_file, ca_file=options.ca_file)

    async def run(self, emit: Emit, report: Report) -> None:
        """Hold one connection; LineError when it is lost or refused. Cancelling loses nothing: the broker delivers again what has no receipt."""
        await _Connection(self, emit, report).run()


class _Connection:
    """What lives as long as one connection."""

    def __init__(self, line: BrokerLine, emit: Emit, report: Report) -> None:
        self._name = line.name
        self._codec = line.codec
        self._silence_s = line.silence_s
        self._emit = emit
        self._report = report
        self._most = line.options.receive_maximum
        self._session = MqttSession(line.broker, client_id=line.client_id, kept=True, keepalive_s=line.options.keepalive_s, on_arrived=self._arrived)
        self._session.room = self._most
        self._waiting = _Held()
        self._has_waiting = asyncio.Event()
        self._held = 0  # messages unacknowledged, waiting or being stored
        self._held_bytes = 0
        self._is_paused = False
        self._heard_at = clock.monotonic()

    async def run(self) -> None:
        session = self._session
        tasks: list[asyncio.Task[None]] = []
        try:
            await session.connect()
            # Before subscribing: what the broker kept for us comes at once, and its receipts must flow for the answer behind it to reach us.
            tasks.append(asyncio.create_task(self._store_groups(), name=f"{self._name}-store"))
            await session.subscribe(self._codec.topics)
            self._report.live()
            if self._silence_s is not None:
                tasks.append(asyncio.create_task(self._watch_silence(self._silence_s), name=f"{self._name}-silence"))
            ends: list[asyncio.Future[Any]] = [session.lost, *tasks]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()  # our bug: let the supervisor see it
            raise LineError(f"connection to the broker lost: {session.lost.result()}")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await session.close()

    def _arrived(self, messages: list[Arrived]) -> None:
        """Decode at once, so that the time of receipt is that of arrival and not that of a stalled disk."""
        now, received_at = clock.monotonic(), clock.utc_now()
        self._heard_at = now
        self._report.heard()
        events, receipts, size = self._waiting.events, self._waiting.receipts, 0
        for message in messages:
            for signal in self._signals(message, now, received_at):
                if isinstance(signal, Signal):
                    events.append(to_event(signal, self._name, received_at))
                else:
                    events.append(msgspec.structs.replace(signal, line=self._name))
            receipts.append((message.mid, message.qos))
            size += len(message.payload)
        self._waiting.size += size
        self._held += len(messages)
        self._held_bytes += size
        self._session.room = self._most - self._held
        self._has_waiting.set()
        if not self._is_paused and (self._held >= self._most or self._held_bytes >= MAX_HELD_BYTES):
            self._is_paused = True
            self._session.pause_reading()

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
            if self._is_paused and self._held * 2 <= self._most and self._held_bytes * 2 <= MAX_HELD_BYTES:
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
