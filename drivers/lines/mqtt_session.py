"""One MQTT connection, as the line and the channel both need it: aiomqtt connects, subscribes and parts; paho is driven by us in between.

Only this module knows aiomqtt and paho. Four of their habits are replaced, each because it was measured:

- paho reads one packet a wake-up; here whatever has arrived is read at once (bounded, so that others get their turn);
- paho takes a packet apart in 20 µs; messages and receipts that lie whole in the buffer are read by `drivers.mqtt.wire`, the rest by paho (0030);
- a write costs a turn of the selector per packet; here all that was queued in one turn of the loop leaves in the next;
- receipts, and messages of our own, cost one system call each; here those of one turn leave as one block of bytes.
"""

import asyncio
import contextlib
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import IPPROTO_TCP, TCP_NODELAY
from socket import socket as Socket
from typing import Any
from urllib.parse import unquote, urlsplit

import aiomqtt
import paho.mqtt.client as paho

from drivers.lines.broker_tls import TlsFiles, client_context, faults, refusal
from drivers.mqtt import wire
from drivers.mqtt.wire import Arrived
from gateway.errors import ConfigError, LineError

RECEIPT_BYTES = 4  # a PUBACK, the shortest packet that we read ourselves
RECEIVE_BYTES = 64 * 1024  # asked of the socket at once: more than it mostly holds
READ_AT_ONCE = 100  # packets read before the rest of the house gets its turn: about 5 ms of work
# Half a minute: a broker that vanished without a word is noticed within 30 to 60 s; on a mobile uplink it keeps NAT mappings open.
KEEPALIVE_S = 30
# How long a CONNACK or SUBACK may take, and how long we try to say goodbye to a broker that does not read.
ANSWER_S = 10.0
GOODBYE_S = 1.0
FORGOTTEN_A_TURN = 16  # pieces of RECEIVE_BYTES, a megabyte: some tenths of a millisecond


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker is and who we are there. `password` is never printed."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password_file: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""

    @property
    def files(self) -> TlsFiles:
        return TlsFiles(self.ca_file, self.certificate_file, self.key_file)

    @staticmethod
    def parse(
        url: str, *, username: str = "", password_file: str = "", ca_file: str = "", certificate_file: str = "", key_file: str = ""
    ) -> "Broker":
        """Read `mqtt://[user@]host[:port]` or `mqtts://…` (ports 1883 and 8883). Passwords stand in a file, never in the URL: ConfigError."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or port == -1 or parts.path not in ("", "/") or parts.query or parts.fragment:
            shown = url.rpartition("@")[2]  # what stands before may hold a password
            raise ConfigError([f"broker: {shown!r} cannot be used; write mqtt://[user@]host[:port] or mqtts://…"])
        if parts.password is not None:
            raise ConfigError(["broker: holds a password; put it into a file and write password_file"])
        tls = parts.scheme == "mqtts"
        files = TlsFiles(ca_file, certificate_file, key_file)
        if found := [f"{key}: {what}" for key, what in faults(files, is_tls=tls)]:
            raise ConfigError(found)
        name = username or unquote(parts.username or "")
        if password_file and not name:
            raise ConfigError(["password_file: needs a username"])
        return Broker(parts.hostname, port or (8883 if tls else 1883), tls, name or None, password_file, ca_file, certificate_file, key_file)


class MqttSession:
    """A connection from `connect` to `close`; used once. All callbacks run in the event loop.

    room          how many messages may still be read; the owner lowers and raises it
    on_arrived    called after each round of reading with what it brought, in order; must not raise
    on_published  called with the message id when the broker has confirmed a publish of ours (PUBACK)
    lost          a future that gets the reason (text) as its result when the connection is gone
    """

    def __init__(
        self,
        broker: Broker,
        *,
        client_id: str,
        kept: bool,
        keepalive_s: int = KEEPALIVE_S,
        on_arrived: Callable[[list[Arrived]], None] | None = None,
        on_published: Callable[[int], None] | None = None,
    ) -> None:
        self._broker = broker
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self.room = READ_AT_ONCE
        self._on_arrived = on_arrived
        self._on_published = on_published
        self._round: list[Arrived] = []
        self._confirmed: list[int] = []
        self._queued: list[bytes] = []
        self._received = b""
        self._read_at = 0
        self._fd = -1
        self._refused: ssl.SSLError | None = None
        self._is_paused = False
        self._is_writing = False
        self._is_dropped = False
        self._no_ping_timeout: asyncio.TimerHandle | None = None
        try:
            password = Path(broker.password_file).read_text(encoding="utf-8").strip() if broker.password_file else None
        except (OSError, ValueError) as error:
            raise LineError(f"password_file: {broker.password_file} cannot be read ({error}); write the password into it as UTF-8") from error
        tls = client_context(broker.files) if broker.tls else None
        self._client = aiomqtt.Client(
            broker.host,
            broker.port,
            username=broker.username,
            password=password,
            identifier=client_id,
            clean_session=not kept,
            keepalive=keepalive_s,
            timeout=ANSWER_S,
            tls_context=tls,
            max_inflight_messages=0,  # the channel bounds itself; paho's 20 would queue where nobody sees it
            socket_options=((IPPROTO_TCP, TCP_NODELAY, 1),),
        )
        self._client._wait_for = _wait_for  # type: ignore[method-assign, assignment]
        self._paho = self._client._client
        self._paho.disable_logger()  # it formats six lines a message for nobody
        # Before connecting: set later it is without effect for what the broker redelivers at once, and messages are lost when we are killed.
        self._paho.manual_ack_set(True)
        self._paho._ssl_wrap_socket = self._wrap_closing  # type: ignore[method-assign, assignment]
        self._paho.on_message = self._take
        self._granted = self._paho.on_subscribe
        self._paho.on_subscribe = self._grant
        self._receive = self._paho._sock_recv
        self._paho._sock_recv = self._receive_buffered  # type: ignore[method-assign, assignment]
        self._part = self._paho.on_disconnect
        self._paho.on_disconnect = self._parted
        self._paho.on_socket_register_write = self._wants_to_write
        self._paho.on_socket_unregister_write = self._has_written

    async def connect(self) -> None:
        """Connect and log in. LineError when that fails. Cancelling leaves a thread that ends by itself."""
        try:
            await self._client.__aenter__()
        except aiomqtt.MqttError as error:
            self._drop()
            cause = error.__context__ if isinstance(error.__context__, ssl.SSLError) else self._refused
            why = refusal(cause or error, self._broker.files, self._broker.host) if self._broker.tls else str(error)
            raise LineError(f"broker {self._broker.host}:{self._broker.port}: {why}") from error
        except (OSError, ValueError) as error:  # TLS refused, name unknown
            self._drop()
            why = refusal(error, self._broker.files, self._broker.host) if self._broker.tls else f"{type(error).__name__}: {error}"
            raise LineError(f"broker {self._broker.host}:{self._broker.port}: {why}") from error
        except BaseException:
            self._drop()
            raise
        socket = self._paho.socket()
        if socket is None:
            raise LineError("the broker closed the connection at once")
        self._fd = socket.fileno()
        self._loop.add_reader(self._fd, self._read)  # takes the place of aiomqtt's
        self._loop.call_soon(self._read)

    def _grant(self, client: Any, userdata: Any, mid: int, *more: Any) -> None:
        """aiomqtt logs a traceback of an answer that nobody waits for any more: who subscribed was told to stop meanwhile."""
        if mid in self._client._pending_subscribes and self._granted is not None:
            self._granted(client, userdata, mid, *more)

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Subscribe to all filters with QoS 1. LineError when one is refused."""
        try:
            granted = await self._client.subscribe([(topic, 1) for topic in topics])
        except aiomqtt.MqttError as error:
            raise LineError(f"cannot subscribe: {error}") from error
        for topic, code in zip(topics, granted, strict=True):
            if getattr(code, "is_failure", False):
                raise LineError(f"the broker refuses the subscription to {topic}")

    async def close(self) -> None:
        """Say goodbye if there is somebody to say it to; afterwards the socket is closed."""
        self._cancel_ping_guard()
        try:
            if self._fd >= 0 and self._paho.socket() is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GOODBYE_S):
                        await self._say_goodbye()
        finally:
            self._drop()

    async def _say_goodbye(self) -> None:
        """DISCONNECT, and until the broker hangs up what it still sends is read and forgotten.

        It sends on with every receipt that it takes. Closed at once, our end would answer that with a reset, and the receipts that the broker
        has not read yet would be lost: it would send all of theirs again.
        """
        gone = asyncio.Event()
        self._loop.remove_reader(self._fd)
        self._is_paused = True
        self._loop.add_reader(self._fd, self._forget, gone)
        self._queue(wire.DISCONNECT)
        self._forget(gone)  # what TLS has decrypted already
        await gone.wait()

    def _forget(self, gone: asyncio.Event) -> None:
        try:
            for _ in range(FORGOTTEN_A_TURN):
                if not self._receive(RECEIVE_BYTES):
                    break
            else:
                return  # the rest in a later turn: others wait for theirs, and the goodbye has its time
        except BlockingIOError:
            return
        except OSError:
            pass  # it hung up without ceremony
        self._loop.remove_reader(self._fd)
        gone.set()

    def publish(self, topic: str, payload: bytes) -> int:
        """Queue one publish with QoS 1; the message id that `on_published` will bring. LineError when it cannot be queued. ValueError: bad topic."""
        if self._fd < 0:
            raise LineError("not connected")
        mid = self._paho._mid_generate()
        self._queue(wire.publish(topic, payload, mid))
        return mid

    def acknowledge(self, receipts: Sequence[tuple[int, int]]) -> None:
        """Queue the receipts of (mid, qos), in this order: PUBACK of MQTT 3.1.1, 3.4; messages of QoS 0 want none."""
        if self._fd < 0:
            return
        pubacks = b"".join([wire.puback(mid) for mid, qos in receipts if qos == 1])
        if pubacks:
            self._queue(pubacks)
        for mid, qos in receipts:
            if qos == 2:  # left over from a session that somebody else opened
                self._paho.ack(mid, qos)

    def _queue(self, packets: bytes) -> None:
        """What is queued in one turn of the loop leaves in the next, in order."""
        if not self._queued:
            self._loop.call_soon(self._write)
        self._queued.append(packets)

    def pause_reading(self) -> None:
        """Stop reading; the broker and TCP hold back the rest. Keep-alive goes on: we ping, and do not judge answers that we do not read."""
        if not self._is_paused and self._fd >= 0:
            self._is_paused = True
            self._loop.remove_reader(self._fd)
            self._forgive_ping()

    def resume_reading(self) -> None:
        """Read again, first of all what waits."""
        if self._is_paused and self._fd >= 0:
            self._is_paused = False
            self._cancel_ping_guard()
            self._paho._ping_t = 0.0
            self._loop.add_reader(self._fd, self._read)
            self._loop.call_soon(self._read)

    def _forgive_ping(self) -> None:
        """While nothing is read no PINGRESP is seen: let paho forget that it waits for one, so that it goes on pinging and does not hang up."""
        self._paho._ping_t = 0.0
        self._no_ping_timeout = self._loop.call_later(0.5, self._forgive_ping)  # twice in each second of paho's own check

    def _cancel_ping_guard(self) -> None:
        if self._no_ping_timeout is not None:
            self._no_ping_timeout.cancel()
            self._no_ping_timeout = None

    def _read(self) -> None:
        """Read what has arrived, to the end or to READ_AT_ONCE, and hand it over in one piece."""
        if self._is_paused or self._fd < 0:
            return
        client, left = self._paho, min(READ_AT_ONCE, self.room)
        try:
            while left > 0:
                took = self._take_whole(left)
                if took is None:
                    break
                if not took:
                    took = 1
                    if client.loop_read() != paho.MQTT_ERR_SUCCESS:
                        break
                left -= took
                if not self._has_pending():
                    break
            else:
                self._loop.call_soon(self._read)
        except Exception as error:  # paho lets OSError and, on odd packets, others through; for us all mean: connect again
            self._fail(f"{type(error).__name__}: {error}")
        confirmed, self._confirmed = self._confirmed, []
        if self._on_published is not None:
            for mid in confirmed:
                self._on_published(mid)
        if self._round and self._on_arrived is not None:
            arrived, self._round = self._round, []
            self._on_arrived(arrived)

    def _take_whole(self, most: int) -> int | None:
        """Read messages and receipts that are whole: how many. 0: what comes next is paho's. None: nothing has come."""
        if self._paho._in_packet["command"]:
            return 0  # paho has begun a packet, and gets its rest
        if len(self._received) - self._read_at < RECEIPT_BYTES:
            rest = self._received[self._read_at :]
            if not rest or rest[0] == wire.PUBACK:  # paho, which knows nothing of what we publish, would not tell of its receipt
                self._received, self._read_at = b"", 0
                try:
                    self._receive_buffered(0)
                except BlockingIOError:
                    self._received = rest
                    return None
                except OSError:
                    pass  # paho meets it again, and says what it is
                has_ended, self._received = not self._received, rest + self._received
                if not has_ended and self._received[0] == wire.PUBACK and len(self._received) < RECEIPT_BYTES:
                    return None
        self._read_at, took = wire.take(self._received, self._read_at, most, self._round, self._confirmed)
        if took:
            self._paho._last_bytes_received = time.monotonic()  # its keep-alive goes by it
        return took

    def _wrap_closing(self, plain: Socket) -> ssl.SSLSocket:
        """In place of paho's, which leaves the socket of a refused handshake open. Runs in the thread that connects; the context checks the name."""
        context = self._paho._ssl_context
        assert context is not None
        wrapped = context.wrap_socket(plain, server_hostname=self._broker.host, do_handshake_on_connect=False)
        try:
            wrapped.settimeout(ANSWER_S)
            wrapped.do_handshake()
        except BaseException:
            wrapped.close()
            raise
        return wrapped

    def _receive_buffered(self, size: int) -> bytes:
        """paho asks for a packet byte by byte, a system call each; we ask the socket once for whatever is there."""
        if self._read_at >= len(self._received):
            try:
                self._received, self._read_at = self._receive(RECEIVE_BYTES), 0
            except ssl.SSLError as error:  # TLS 1.3: that a broker does not want our certificate comes after the handshake
                self._refused = error
                if not self._client._connected.done():
                    self._client._connected.set_exception(aiomqtt.MqttError(str(error)))  # else it is waited for until ANSWER_S are over
                raise
        piece = self._received[self._read_at : self._read_at + size]
        self._read_at += len(piece)
        return piece

    def _has_pending(self) -> bool:
        """Is there more to read that the selector cannot see: in our buffer, or decrypted and kept by TLS?"""
        socket = self._paho.socket()
        return self._read_at < len(self._received) or (isinstance(socket, ssl.SSLSocket) and socket.pending() > 0)

    def _take(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        try:
            topic: str | None = message.topic
        except UnicodeDecodeError:
            topic = None
        self._round.append(Arrived(topic, bytes(message.payload), message.mid, message.qos, message.retain, message.dup))

    def _wants_to_write(self, *_arguments: object) -> None:
        if threading.get_ident() != self._thread:  # CONNECT is queued in the thread that connects
            self._loop.call_soon_threadsafe(self._write)
        elif not self._is_writing:
            self._loop.call_soon(self._write)

    def _has_written(self, _client: object, _data: object, socket: Any) -> None:
        if self._is_writing:
            self._is_writing = False
            self._loop.remove_writer(socket.fileno())

    def _write(self) -> None:
        client = self._paho
        if self._is_dropped:  # cancelled while the thread was still connecting
            client._sock_close()
            return
        if self._queued:
            packets, self._queued = b"".join(self._queued), []
            client._out_packet.append(_packet(packets))
        try:
            client.loop_write()
        except Exception as error:
            self._fail(f"{type(error).__name__}: {error}")
            return
        socket = client.socket()
        if socket is not None and client.want_write() and not self._is_writing:
            self._is_writing = True
            self._loop.add_writer(socket.fileno(), self._write)

    def _parted(self, *arguments: object) -> None:
        self._part(*arguments)  # type: ignore[misc, arg-type]
        self._fd = -1
        entered = self._client._connected
        if not entered.done() and threading.get_ident() == self._thread:  # hung up on before CONNACK: aiomqtt would wait ANSWER_S for it
            entered.set_exception(aiomqtt.MqttError("the broker hung up without a word"))
        if not self.lost.done():
            self.lost.set_result(str(arguments[3]))

    def _fail(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)
        self._drop()

    def _drop(self) -> None:
        """Close the socket without ceremony, if it is still open, and let nobody complain of futures that were not awaited."""
        self._cancel_ping_guard()
        self._fd = -1
        self._is_dropped = True
        self._paho._sock_close()
        for future in (self._client._connected, self._client._disconnected):
            if future.done() and not future.cancelled():
                future.exception()


async def _wait_for(answer: Awaitable[Any], timeout: float | None) -> Any:  # noqa: ASYNC109  # aiomqtt's signature
    """Takes aiomqtt's place: `asyncio.wait_for` of Python 3.11 swallows a cancellation that comes together with the answer, and the task lives on."""
    try:
        async with asyncio.timeout(ANSWER_S if timeout is None else timeout):
            return await answer
    except TimeoutError:
        raise aiomqtt.MqttError("Operation timed out") from None


def _packet(packets: bytes) -> Any:
    """Bytes in the queue of paho, which sends them in as many pieces as the socket wants; to it they are one receipt."""
    return {"command": paho.PUBACK, "mid": 0, "qos": 1, "pos": 0, "to_process": len(packets), "packet": packets, "info": None}
