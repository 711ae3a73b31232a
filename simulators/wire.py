"""The wires of simulated devices: a pseudo-terminal, a TCP connection that we dial or are dialled on, a UDP socket. All have one face."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any, Protocol

from simulators.noise import Noise
from simulators.pseudo_terminal import PseudoTerminal

MAX_UNREAD = 65_536  # bytes kept for a device that does not read; the oldest go
DIAL_S = 10.0
AGAIN_S = 0.2  # until a panel dials again; real ones take longer, and the play would only be slower


class Wire(Protocol):
    """What a device talks over. `plugged`: somebody is at the other end, as far as can be known."""

    noise: Noise

    @property
    def plugged(self) -> bool: ...
    async def open(self) -> None:
        """One try. OSError when nobody is there."""

    def close(self) -> None: ...
    def write(self, data: bytes) -> None: ...
    async def read_byte(self, timeout_s: float) -> int | None:
        """None: nothing came in time, or the wire is cut."""

    def discard_input(self) -> None: ...
    def forget_unread(self) -> None: ...


class SerialWire(PseudoTerminal):
    """A pseudo-terminal under a path."""

    def __init__(self, link: Path) -> None:
        super().__init__(link)
        self.noise = Noise()

    async def open(self) -> None:
        self.plug()

    def close(self) -> None:
        self.unplug()

    def write(self, data: bytes) -> None:
        super().write(self.noise.damage(data))


class _Inbox:
    """Bytes that have arrived, and who waits for them."""

    def __init__(self) -> None:
        self.noise = Noise()
        self._arrived = bytearray()
        self._news = asyncio.Event()

    @property
    def plugged(self) -> bool:
        raise NotImplementedError

    def discard_input(self) -> None:
        self._arrived.clear()

    def forget_unread(self) -> None:
        """Nothing lies about on a network."""

    async def read_byte(self, timeout_s: float) -> int | None:
        if not self._arrived:
            await self._wait(timeout_s)
        return self._arrived.pop(0) if self._arrived else None

    async def read_some(self, timeout_s: float) -> bytes:
        """Everything that is there; b"" when nothing came in time or the wire is cut."""
        if not self._arrived:
            await self._wait(timeout_s)
        found = bytes(self._arrived)
        self._arrived.clear()
        return found

    async def _wait(self, timeout_s: float) -> None:
        self._news.clear()
        if self.plugged:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, timeout_s)):
                    await self._news.wait()

    def data_received(self, data: bytes) -> None:
        self._arrived += data
        del self._arrived[:-MAX_UNREAD]
        self._news.set()


class TcpWire(_Inbox, asyncio.Protocol):
    """A connection that we dial."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self.host, self.port = host, port
        self._transport: asyncio.Transport | None = None

    @property
    def plugged(self) -> bool:
        return self._transport is not None

    async def open(self) -> None:
        """OSError (also when it takes too long)."""
        self.close()
        self._arrived.clear()
        async with asyncio.timeout(DIAL_S):
            await asyncio.get_running_loop().create_connection(lambda: self, self.host, self.port)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(self.noise.damage(data))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._news.set()


class UdpWire(_Inbox, asyncio.DatagramProtocol):
    """A connected socket: answers from another address or port never reach us, as with real diallers."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self.host, self.port = host, port
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def plugged(self) -> bool:
        return self._transport is not None

    async def open(self) -> None:
        self.close()
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, remote_addr=(self.host, self.port))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.sendto(self.noise.damage(data))

    def datagram_received(self, data: bytes, _address: Any) -> None:
        self.data_received(data)

    def error_received(self, _error: Exception) -> None:
        """Nobody listens there just now (ICMP); the answer stays away and the device tries again."""

    def connection_lost(self, _error: Exception | None) -> None:
        self._news.set()


class ServedWire(_Inbox):
    """A port on which the other side dials us, as serial device servers and IP modules of panels offer; the newest caller has the line."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self.host, self.port = host, port
        self._server: asyncio.Server | None = None
        self._caller: asyncio.Transport | None = None

    @property
    def plugged(self) -> bool:
        return self._caller is not None

    async def open(self) -> None:
        if self._server is None:
            self._server = await asyncio.get_running_loop().create_server(lambda: _Caller(self), self.host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        if self._caller is not None:
            self._caller.abort()
            self._caller = None
        if self._server is not None:
            self._server.close()
            self._server = None

    def write(self, data: bytes) -> None:
        if self._caller is not None:
            self._caller.write(self.noise.damage(data))

    def called(self, transport: asyncio.Transport) -> None:
        if self._caller is not None:
            self._caller.abort()
        self._arrived.clear()
        self._caller = transport

    def hung_up(self, transport: asyncio.Transport) -> None:
        if self._caller is transport:
            self._caller = None
            self._news.set()


class _Caller(asyncio.Protocol):
    def __init__(self, wire: ServedWire) -> None:
        self._wire = wire
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._wire.called(transport)

    def data_received(self, data: bytes) -> None:
        self._wire.data_received(data)

    def connection_lost(self, _error: Exception | None) -> None:
        assert self._transport is not None
        self._wire.hung_up(self._transport)


def read_wire(text: str) -> SerialWire | TcpWire | UdpWire | ServedWire:
    """`serial:PATH` (made there), `tcp:HOST:PORT` or `udp:HOST:PORT` (dialled), `serve:HOST:PORT` (waits there). ValueError when it is none."""
    word, _, rest = text.partition(":")
    if word == "serial" and rest:
        return SerialWire(Path(rest))
    host, _, port = rest.rpartition(":")
    if word in ("tcp", "udp", "serve") and host and port.isdigit():
        kinds: dict[str, type[TcpWire | UdpWire | ServedWire]] = {"tcp": TcpWire, "udp": UdpWire, "serve": ServedWire}
        return kinds[word](host.strip("[]"), int(port))
    raise ValueError(f"{text!r} is not like serial:/tmp/panel0, tcp:127.0.0.1:9100, udp:127.0.0.1:9100 or serve:127.0.0.1:9100")


async def keep_open(wire: Wire) -> None:
    """Open it, and again whenever it is cut, until cancelled."""
    try:
        while True:
            if not wire.plugged:
                with contextlib.suppress(OSError):
                    await wire.open()
            await asyncio.sleep(AGAIN_S)
    finally:
        wire.close()
