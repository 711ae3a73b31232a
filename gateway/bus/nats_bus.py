"""The bus on NATS JetStream. Only this module and nats_probe know nats-py.

One stream a shard, so that its leaders spread over the servers and its sequence has no gaps of others. Messages are read by position, not by
acknowledgements: the position is committed together with what followed from the message (gateway.store.ownership), so a shard that moves begins
exactly behind what is on disk, in order. A server that is lost takes its reader with it; a new one begins at the same place.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError, ServiceUnavailableError

from gateway.bus.contract import BusDown, Handler, MadeAnew, Message, Shorter, salvaged, unpacked
from gateway.bus.login import in_words, login_of, trouble
from gateway.bus.nats_serving import Serving
from gateway.bus.nats_wait import mend
from gateway.bus.together import end
from gateway.config import BusConfig

log = structlog.get_logger("bus")
mend()

PUBLISH_S = 2.0  # a stream whose leader died has a new one within one to three seconds
READ_AT_ONCE = 100  # messages asked for in one go, each of up to 500 events: what may lie in our memory unread
BEATS_S = 0.5  # so often the server says that it still waits with us …
LOST_S = 2.0  # … and after so long without a word the reader is lost
_NEXT = msgspec.json.encode({"batch": READ_AT_ONCE, "expires": 5_000_000_000, "idle_heartbeat": int(BEATS_S * 1e9)})
BEAT, ENDED = "100", ("404", "408")  # what the server says in place of a message
AGAIN_S = 0.2
LOOK_S, LOOKS = 1.0, 3  # before a stream counts as gone, or as shorter than it was
SAME_S = 0.001  # between two roundings of one time
DUPLICATE_WINDOW_S = 120.0
READER_LEFT_S = 30.0  # a reader that nobody asks any more is taken away by the server
PING_S = 1  # a server that vanished without a word is noticed after two pings
HEARD_NS = 5_000_000_000  # the others speak to a leader every second (Raft's heartbeat in nats-server)
FAULTS = (NatsError, APIError, TimeoutError, asyncio.TimeoutError, OSError, ConnectionError)


class _Client(Client):
    """Where TLS is wanted nothing leaves in clear, also not to one who says that he does not speak TLS."""

    def _connect_command(self) -> bytes:
        if "tls" in self.options and not self._server_info.get("tls_required"):
            raise NatsError("the server does not speak TLS")
        return bytes(super()._connect_command())

    async def _attempt_reconnect(self) -> None:
        """At once: whoever closes politely over a cut wire waits for what cannot be said any more, with TLS for half a minute."""
        self.abort()
        await super()._attempt_reconnect()

    def abort(self) -> None:
        """Drop the connection without a word."""
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()


def is_led(info: StreamInfo) -> bool:
    """Whether the leader hears a majority. A server that led and was cut off goes on to tell of its streams: as their leader, then without any."""
    if info.cluster is None or (info.config.num_replicas or 1) == 1:
        return info.cluster is None or bool(info.cluster.leader)
    others = info.cluster.replicas or []  # of a leader all but itself
    heard = sum(not peer.offline and 0 < (peer.active or 0) < HEARD_NS for peer in others)
    return bool(info.cluster.leader) and heard >= (len(others) + 1) // 2


def client_of() -> _Client:
    """A client that is not connected."""
    return _Client()


class NatsBus:
    """One connection. `connect` it first; it reconnects by itself for ever."""

    def __init__(self, config: BusConfig, folder: Path, who: str) -> None:
        self._config = config
        self._folder = folder
        self._who = who
        self._nc: Any = None
        self._js: Any = None
        self._is_leaving = False
        self._is_served = False
        self.streams_made = 0  # that were there, and gone
        self._making = asyncio.Lock()
        self._serving: Serving | None = None
        self._watching: asyncio.Task[None] | None = None
        self._answering: set[asyncio.Task[None]] = set()
        self._told: set[str] = set()  # kinds of trouble that were told since a server served us last

    @property
    def is_connected(self) -> bool:
        return self._nc is not None and self._nc.is_connected and self._serving is not None and not self._serving.is_deaf

    @property
    def servers_left(self) -> int:
        """How often a server was left because it serves no stream."""
        return self._serving.left if self._serving is not None else 0

    async def connect(self) -> None:
        """Waits until a server lets us in, and says once what is in the way. Raises ConfigError for a file that cannot be used, BusDown."""
        config = self._config
        options: dict[str, Any] = {"reconnect_time_wait": AGAIN_S, **await asyncio.to_thread(login_of, config, self._folder)}
        client = client_of()
        try:
            await client.connect(
                list(config.servers),
                name=self._who,
                max_reconnect_attempts=-1,
                connect_timeout=2,
                ping_interval=PING_S,
                max_outstanding_pings=2,
                allow_reconnect=True,
                error_cb=self._told_of,
                disconnected_cb=self._lost,
                reconnected_cb=self._found,
                closed_cb=self._closed,
                **options,
            )
        except FAULTS as error:
            raise BusDown(f"no server of bus.servers answers ({error or type(error).__name__}): start them, or correct bus.servers") from error
        finally:
            if not client.is_connected:
                client.abort()  # whoever was called away while it connected leaves nothing open
        self._nc = client
        self._js = client.jetstream(timeout=PUBLISH_S)
        self._is_served = True
        self._serving = Serving(client, config.shards, self._is_spoken_for, PUBLISH_S)
        self._watching = asyncio.create_task(self._serving.run(), name="bus serving")
        if self._told:
            log.info("bus_found", server=self._server)
            self._told.clear()

    async def see_to_streams(self) -> None:
        """Make the streams that are missing, and give those that are there the replicas and the room of the configuration. Raises BusDown."""
        for shard in range(self._config.shards):
            try:
                info = await self._js.stream_info(self._stream(shard))
                await self._bring_up(info.config)
            except NotFoundError:
                await self._make_stream(shard)
            except FAULTS as error:
                raise BusDown(f"stream {self._stream(shard)}: {error or type(error).__name__}") from error

    async def _bring_up(self, there: StreamConfig) -> None:
        wanted = {"num_replicas": self._config.replicas, "max_bytes": self._config.max_mib * 1024 * 1024}
        if all(getattr(there, key) == value for key, value in wanted.items()):
            return
        try:
            await self._js.update_stream(there.evolve(**wanted))
            log.info("stream_changed", stream=there.name, **wanted)
        except FAULTS as error:  # it works as it is
            log.warning("stream_unchanged", stream=there.name, reason=str(error) or type(error).__name__, **wanted)

    async def _make_stream(self, shard: int) -> None:
        wanted = StreamConfig(
            name=self._stream(shard),
            subjects=[self._subject(shard)],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            discard=DiscardPolicy.NEW,  # full, it refuses: what was receipted is never pushed out
            max_bytes=self._config.max_mib * 1024 * 1024,
            num_replicas=self._config.replicas,
            duplicate_window=DUPLICATE_WINDOW_S,
        )
        try:
            await self._js.add_stream(wanted)
        except FAULTS as error:  # another process made it at the same moment, or there are fewer servers than replicas
            try:
                await self._js.stream_info(self._stream(shard))
            except FAULTS:
                room = f"{self._config.shards * self._config.max_mib} MiB of files (max_file; bus.shards times bus.max_mib)"
                remedy = f"each server needs JetStream with {room}, and bus.replicas = {self._config.replicas} as many servers that know one another"
                raise BusDown(f"stream {self._stream(shard)} cannot be made ({error or type(error).__name__}): {remedy}") from error

    async def _make_anew(self, shard: int) -> None:
        """A stream that somebody took away while we run. Two looks, as one that nobody leads at this moment is not gone."""
        name = self._stream(shard)
        async with self._making:
            for pause in (LOOK_S, 0.0):
                try:
                    await self._js.stream_info(name)
                    return
                except NotFoundError:
                    await asyncio.sleep(pause)
                except FAULTS:
                    return
            try:
                await self._make_stream(shard)
            except BusDown as down:
                log.warning("stream_gone", stream=name, reason=str(down))
                return
            self.streams_made += 1
            log.error("stream_gone: somebody took it away; it is made anew, and what it held unread is lost", stream=name)

    async def _is_spoken_for(self, shard: int) -> bool:
        """Does somebody speak for the shard's stream, or for all of them that it is not there?"""
        try:
            return is_led(await self._js.stream_info(self._stream(shard)))
        except NotFoundError:
            await self._make_anew(shard)  # before anybody needs it
        except FAULTS as error:
            return isinstance(error, APIError) and not isinstance(error, ServiceUnavailableError)
        return True

    async def close(self) -> None:
        """Leave."""
        self._is_leaving = True
        if self._watching is not None:
            await end([self._watching])
        if self._nc is not None:
            await self._nc.close()

    # --- streams -----------------------------------------------------------------------------------------------------

    async def keep(self, shard: int, identity: str, data: bytes) -> None:
        """Returns when a majority of the replicas has it. Raises BusDown: it may be there all the same, so try with the same identity."""
        try:
            await self._js.publish(self._subject(shard), data, timeout=PUBLISH_S, headers={"Nats-Msg-Id": identity})
        except FAULTS as error:
            if isinstance(error, NoStreamResponseError):
                await self._make_anew(shard)
            raise BusDown(f"stream {self._stream(shard)} did not confirm: {error or type(error).__name__}") from error
        if self._serving is not None:
            self._serving.proven()

    async def made(self, shard: int) -> int:
        """When the stream was made. Raises BusDown."""
        try:
            created = (await self._js.stream_info(self._stream(shard))).created
        except FAULTS as error:
            raise BusDown(f"stream {self._stream(shard)}: {error or type(error).__name__}") from error
        return int(created.timestamp() * 1_000_000)

    async def follow(self, shard: int, after: int, made: int) -> AsyncIterator[Message]:
        """Every message above `after`, in order; over lost servers and lost readers. Raises MadeAnew, Shorter."""
        kept_at: datetime | None = None  # when the message at `after` was, as the servers say
        while True:
            try:
                await self._same(shard, after, kept_at, made)
                async for message, at in self._read(shard, after):
                    after, kept_at = message.sequence, at
                    yield message
            except (*FAULTS, BusDown) as error:
                log.info("reader_lost", shard=shard, reason=str(error) or type(error).__name__)
                if isinstance(error, NotFoundError):
                    await self._make_anew(shard)
            await asyncio.sleep(AGAIN_S)

    async def _same(self, shard: int, after: int, kept_at: datetime | None, made: int) -> None:
        """Is it still the stream of which everything up to `after` was read? Raises MadeAnew, Shorter, and BusDown or FAULTS while nobody says."""
        name, reached = self._stream(shard), -1
        for _ in range(LOOKS):  # a leader of this moment may know of its newest a little later
            info = await self._js.stream_info(name)
            if not is_led(info):
                raise BusDown(f"stream {name} has no leader: what this server tells of it may be long past")
            if int(info.created.timestamp() * 1_000_000) != made:
                raise MadeAnew(f"stream {name} was made anew: it is read from its begin")
            reached = int(info.state.last_seq)
            if reached >= after:
                break
            await asyncio.sleep(LOOK_S)
        else:
            raise Shorter(f"stream {name} ends with {reached}, and {after} was read: its servers lost their newest, or it was put back")
        if kept_at is None or not int(info.state.first_seq) <= after:
            return
        try:
            there = (await self._js.get_msg(name, seq=after)).time
        except NotFoundError:  # taken away in this moment
            return
        if there is not None and abs((there - kept_at).total_seconds()) > SAME_S:
            raise Shorter(f"stream {name} has another message as {after} than was read: its servers lost their newest, or it was put back")

    async def _read(self, shard: int, after: int) -> AsyncIterator[tuple[Message, datetime]]:
        """With the time when each was kept, by one reader of the server, until it is lost."""
        wanted = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=after + 1,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=READER_LEFT_S,
            mem_storage=True,
            num_replicas=1,
        )
        stream = self._stream(shard)
        reader = await self._js.add_consumer(stream, wanted)
        log.info("reader", shard=shard, server=reader.cluster.leader if reader.cluster is not None else self._server)  # whose copy it reads
        ask = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{reader.name}"
        inbox = self._nc.new_inbox()
        arriving = await self._nc.subscribe(inbox)
        to_come = 0  # of what was asked for last
        delivered = 0  # what was on its way when a connection broke is not said again: the reader's own count tells
        try:
            while True:
                if to_come == 0:
                    to_come = READ_AT_ONCE
                    await self._nc.publish(ask, _NEXT, reply=inbox)
                one = await arriving.next_msg(timeout=LOST_S)
                status = (one.headers or {}).get("Status")
                if status in ENDED:  # the question has run out: ask anew
                    to_come = 0
                elif status is None:
                    to_come -= 1
                    delivered += 1
                    if one.metadata.sequence.consumer != delivered:
                        raise BusDown(f"messages for the reader of {stream} are lost on the way")
                    sequence = one.metadata.sequence.stream
                    try:
                        envelope = unpacked(one.data)
                    except (msgspec.MsgspecError, RecursionError) as error:  # receipted, by an edge of another version
                        log.error("unreadable_message", shard=shard, sequence=sequence, reason=str(error))
                        envelope = salvaged(one.data, sequence)
                    yield Message(sequence, envelope), one.metadata.timestamp
                elif status != BEAT:
                    raise BusDown(f"the reader of {stream} ended ({status})")
        finally:
            try:
                await arriving.unsubscribe()
            except FAULTS:
                pass

    async def fill(self, shard: int) -> float:
        """Raises BusDown."""
        try:
            info = await self._js.stream_info(self._stream(shard))
        except FAULTS as error:
            raise BusDown(f"stream {self._stream(shard)}: {error or type(error).__name__}") from error
        return float(info.state.bytes) / (info.config.max_bytes or 1)

    async def forget(self, shard: int, upto: int) -> None:
        """Take away what is on disk elsewhere. Raises BusDown."""
        try:
            await self._js.purge_stream(self._stream(shard), seq=upto + 1)
        except FAULTS as error:
            raise BusDown(f"stream {self._stream(shard)}: {error or type(error).__name__}") from error

    async def span(self, shard: int) -> tuple[int, int]:
        """Raises BusDown."""
        try:
            state = (await self._js.stream_info(self._stream(shard))).state
        except FAULTS as error:
            raise BusDown(f"stream {self._stream(shard)}: {error or type(error).__name__}") from error
        return int(state.first_seq), int(state.last_seq)

    async def last(self, shard: int) -> int:
        """The last sequence of a stream. Raises BusDown."""
        return (await self.span(shard))[1]

    # --- questions and news ------------------------------------------------------------------------------------------

    async def ask(self, subject: str, body: bytes, timeout_s: float) -> bytes:
        """Raises BusDown when nobody answers."""
        if not self._nc.is_connected:  # it would wait in the client, and be done after who asks was told that nothing was
            raise BusDown(f"nobody answers {subject}: no server of the bus does")
        try:
            answer = await self._nc.request(f"{self._config.name}.{subject}", body, timeout=timeout_s)
        except FAULTS as error:
            raise BusDown(f"nobody answers {subject}: {error or type(error).__name__}") from error
        return bytes(answer.data)

    async def answer(self, subject: str, handler: Handler) -> Callable[[], Awaitable[None]]:
        """Each question is answered in a task of its own."""

        async def asked(message: Any) -> None:
            task = asyncio.get_running_loop().create_task(respond(message))
            self._answering.add(task)  # a task that nobody holds may be taken away in the middle
            task.add_done_callback(self._answering.discard)

        async def respond(message: Any) -> None:
            try:
                await message.respond(await handler(bytes(message.data)))
            except FAULTS as error:
                log.warning("answer_lost", subject=subject, reason=str(error) or type(error).__name__)
            except Exception:
                log.exception("answer_bug", subject=subject)

        return self._ending(await self._nc.subscribe(f"{self._config.name}.{subject}", cb=asked))

    async def tell(self, subject: str, body: bytes) -> None:
        """Raises BusDown when it cannot even leave."""
        try:
            await self._nc.publish(f"{self._config.name}.{subject}", body)
        except FAULTS as error:
            raise BusDown(f"{subject}: {error or type(error).__name__}") from error

    async def listen(self, subject: str, heard: Callable[[str, bytes], None]) -> Callable[[], Awaitable[None]]:
        """Also after a lost connection; what was told meanwhile is not heard."""
        prefix = len(self._config.name) + 1

        async def take(message: Any) -> None:
            heard(message.subject[prefix:], bytes(message.data))

        return self._ending(await self._nc.subscribe(f"{self._config.name}.{subject}", cb=take))

    @staticmethod
    def _ending(subscription: Any) -> Callable[[], Awaitable[None]]:
        async def end() -> None:
            try:
                await subscription.unsubscribe()
            except FAULTS:
                pass

        return end

    # --- the rest ----------------------------------------------------------------------------------------------------

    @staticmethod
    def stream_of(config: BusConfig, shard: int) -> str:
        """The name of a shard's stream."""
        return f"{config.name}-{shard}"

    def _stream(self, shard: int) -> str:
        return self.stream_of(self._config, shard)

    def _subject(self, shard: int) -> str:
        return f"{self._config.name}.events.{shard}"

    @property
    def _server(self) -> str:
        return self._nc.connected_url.netloc if self._nc is not None and self._nc.connected_url else ""

    async def _told_of(self, error: Exception) -> None:
        """What is wrong with a connection: a warning once for each kind of trouble until a server serves us again; other matters to the log."""
        is_connected = self._nc is not None and self._nc.is_connected
        kind = trouble(error)
        if is_connected or self._is_leaving or kind in self._told:
            log.debug("bus_error", reason=str(error) or type(error).__name__)
            return
        self._told.add(kind)
        log.warning("bus_trouble", reason=in_words(error, self._config))

    async def _lost(self) -> None:
        if not self._is_leaving and self._is_served:
            log.warning("bus_lost")

    async def _found(self) -> None:
        self._told.clear()
        if self._serving is not None:
            self._serving.connected()
        log.info("bus_found", server=self._server)

    async def _closed(self) -> None:
        """A server that takes our rights away while we are connected makes the client close for ever: only a new process logs in anew."""
        if self._is_leaving or not self._is_served:
            return
        error = self._nc.last_error
        reason = in_words(error, self._config) if error is not None else "closed"
        log.critical("bus_closed: this process ends itself, and is started again", reason=reason)
        os._exit(os.EX_TEMPFAIL)
