"""The outside end of a line, for one probe: a socket dialled as a panel dials, a client at the broker as a device is, a second serial port."""

import asyncio
import contextlib
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import serial

from drivers.lines.mqtt_session import Broker, MqttSession
from drivers.lines.serial_port import read_endpoint
from drivers.probe.contract import Receipt
from drivers.registry import Transport, driver_for
from gateway.errors import ConfigError, LineError
from gateway.own_api import near_address
from gateway.self_test.points import Point

READ = 4096
MAX_ANSWER = 64 * 1024  # bytes of an answer that are looked at: a receipt has a few hundred
FILES = ("password_file", "ca_file", "certificate_file", "key_file")


class NoWire(Exception):
    """The far end could not be reached; the text says what the system said."""


class Wire(Protocol):
    """Open. source, target: of a socket."""

    source: tuple[str, int]
    target: tuple[str, int]
    is_stream: bool

    async def say(self, data: bytes, receipt: Receipt | None, topic: str) -> bool:
        """Send; True: the receipt was read, False: the peer has closed without one. Waits for ever: whoever asks bounds the time."""
        ...

    async def close(self) -> None: ...


async def open_wire(point: Point, folder: Path) -> Wire:
    """Dial, connect or open. Raises NoWire. folder: that of the configuration file."""
    try:
        if driver_for(point.line.codec).transport is Transport.BROKER:
            return await _Client.open(point, folder)
        if point.asked.port:
            return _Serial(point.asked.port)
        word, host, port = address_of(point)
        if word == "udp":
            return await _Datagrams.open(host, port)
        return await _Stream.open(host, port, is_tls=word == "ssl")
    except (OSError, ValueError, LineError, ConfigError, serial.SerialException) as error:
        raise NoWire(str(error)) from error


def address_of(point: Point) -> tuple[str, str, int]:
    """(tcp, ssl or udp; host; port) at which this machine reaches the line. Raises ValueError."""
    word, *rest = [part.replace("\\:", ":") for part in re.split(r"(?<!\\):", point.line.listen or "")]
    if point.asked.to:
        host, _, port = point.asked.to.rpartition(":")
        return ("udp" if word == "udp" else "ssl" if word == "ssl" else "tcp"), host.strip("[]"), int(port)
    port = rest[0] if rest and rest[0].isdecimal() else next((part[5:] for part in rest if part.startswith("port=")), "")
    interface = next((part[10:] for part in rest if part.startswith("interface=")), "")
    host = near_address(f"[{interface}]:{port}" if ":" in interface else f"{interface or '0.0.0.0'}:{port}").rpartition(":")[0].strip("[]")
    return word, host, int(port)


class _Stream:
    is_stream = True

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.source, self.target = writer.get_extra_info("sockname")[:2], writer.get_extra_info("peername")[:2]

    @classmethod
    async def open(cls, host: str, port: int, *, is_tls: bool) -> "_Stream":
        context = None
        if is_tls:  # who we talk to is ourselves: what is tested is that the line takes TLS, its certificate is gateway doctor's matter
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return cls(*await asyncio.open_connection(host, port, ssl=context))

    async def say(self, data: bytes, receipt: Receipt | None, topic: str) -> bool:  # noqa: ARG002  one signature for all
        self._writer.write(data)
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()
        if receipt is None:
            return True
        answer = b""
        while not receipt(answer):
            try:
                piece = await self._reader.read(READ)
            except ConnectionError:
                return False
            if not piece or len(answer) > MAX_ANSWER:
                return False
            answer += piece
        return True

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await self._writer.wait_closed()


class _Datagrams(asyncio.DatagramProtocol):
    is_stream = False

    def __init__(self) -> None:
        self._answers: asyncio.Queue[bytes] = asyncio.Queue(64)
        self._transport: asyncio.DatagramTransport
        self.source = self.target = ("", 0)

    @classmethod
    async def open(cls, host: str, port: int) -> "_Datagrams":
        loop = asyncio.get_running_loop()
        transport, wire = await loop.create_datagram_endpoint(cls, remote_addr=(host, port))
        wire._transport = transport
        wire.source, wire.target = transport.get_extra_info("sockname")[:2], (host, port)
        return wire

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002
        with contextlib.suppress(asyncio.QueueFull):
            self._answers.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there (ICMP): no answer comes, and that is told."""

    async def say(self, data: bytes, receipt: Receipt | None, topic: str) -> bool:  # noqa: ARG002
        self._transport.sendto(data)
        while receipt is not None and not receipt(await self._answers.get()):
            pass
        return True

    async def close(self) -> None:
        self._transport.close()


class _Serial:
    """A port wired to the line's input. Read and written in the loop."""

    is_stream = True
    source = target = ("", 0)

    def __init__(self, port: str) -> None:
        device, settings = read_endpoint(f"serial:{port}")
        self._port = serial.Serial(
            device,
            baudrate=settings.baudrate,
            bytesize=settings.bytesize,
            parity=settings.parity,
            stopbits=settings.stopbits,
            rtscts=settings.rtscts,
            timeout=0,
            write_timeout=0,
        )
        self._read: Callable[[], None] | None = None

    async def say(self, data: bytes, receipt: Receipt | None, topic: str) -> bool:  # noqa: ARG002
        loop = asyncio.get_running_loop()
        self._port.reset_input_buffer()
        self._port.write(data)
        if receipt is None:
            return True
        answer, done = bytearray(), loop.create_future()

        def read() -> None:
            try:
                answer.extend(self._port.read(READ))
            except (OSError, serial.SerialException):
                loop.remove_reader(self._port.fileno())
                if not done.done():
                    done.set_result(False)
                return
            if not done.done() and receipt(bytes(answer[:MAX_ANSWER])):
                done.set_result(True)

        loop.add_reader(self._port.fileno(), read)
        try:
            found: bool = await done
            return found
        finally:
            if self._port.is_open:
                loop.remove_reader(self._port.fileno())

    async def close(self) -> None:
        self._port.close()


class _Client:
    """A client of its own at the line's broker, with the device's account if it has one."""

    is_stream = True
    source = target = ("", 0)

    def __init__(self, broker: Broker, client_id: str) -> None:
        self._taken: dict[int, asyncio.Future[bool]] = {}
        self._session = MqttSession(broker, client_id=client_id, kept=False, on_published=self._confirmed)

    @classmethod
    async def open(cls, point: Point, folder: Path) -> "_Client":
        wire = cls(broker_of(point, folder), f"gateway-self-test-{point.name}")
        await wire._session.connect()
        return wire

    def _confirmed(self, mid: int) -> None:
        future = self._taken.get(mid)
        if future is not None and not future.done():
            future.set_result(True)

    async def say(self, data: bytes, receipt: Receipt | None, topic: str) -> bool:  # noqa: ARG002  the broker's PUBACK is the receipt
        mid = self._session.publish(topic, data)
        taken = self._taken[mid] = asyncio.get_running_loop().create_future()
        await asyncio.wait([taken, self._session.lost], return_when=asyncio.FIRST_COMPLETED)
        return taken.done()

    async def close(self) -> None:
        await self._session.close()


def broker_of(point: Point, folder: Path) -> Broker:
    """The line's broker, with what the point says of its account in place of the line's. Raises ConfigError."""
    asked, options = point.asked, point.line.options
    own = bool(asked.username or asked.certificate_file)

    def value(key: str) -> str:
        given = getattr(asked, key)
        if given:
            return str(folder / given) if key in FILES else str(given)
        return "" if own and key != "ca_file" else str(options.get(key, ""))

    return Broker.parse(
        point.line.broker or "",
        username=value("username"),
        password_file=value("password_file"),
        ca_file=value("ca_file"),
        certificate_file=value("certificate_file"),
        key_file=value("key_file"),
    )
