"""How SIP reaches the simulated exchange: one UDP socket and one TCP listener on the same port, IPv4 or IPv6."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulators.exchange.sip_parse import Message, parse, whole_message
from simulators.sip_text import Address

PORT_TRIES = 20  # a free UDP port whose TCP twin is taken: try another


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a message came from, and the way back to it. writer: its TCP connection, None over UDP."""

    address: Address
    writer: asyncio.StreamWriter | None = None

    @property
    def is_stream(self) -> bool:
        return self.writer is not None


Receive = Callable[[Message, Peer], None]
Witness = Callable[[bytes, Address, Address, str, bool], None]  # message, from, to, Call-ID, over TCP


class SipTransport:
    """Listens, parses, sends. `witness` is shown every message that comes or goes. unreadable: what was no SIP."""

    def __init__(self, receive: Receive, witness: Witness | None = None) -> None:
        self.address: Address = ("127.0.0.1", 0)
        self.unreadable = 0
        self._receive = receive
        self._witness = witness
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._streams: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Bind UDP and TCP to one port; 0: any free one."""
        loop = asyncio.get_running_loop()
        for turn in range(PORT_TRIES):
            self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self._datagram), local_addr=(host, port))
            self.address = self._udp.get_extra_info("sockname")[:2]
            try:
                self._tcp = await asyncio.start_server(self._stream, host, self.address[1])
            except OSError:
                self._udp.close()
                if port or turn == PORT_TRIES - 1:
                    raise
            else:
                return

    async def stop(self) -> None:
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        serving = [task for task in self._streams.values() if task is not None]
        for writer in list(self._streams):
            writer.transport.abort()
        await asyncio.gather(*serving, return_exceptions=True)

    def send(self, data: bytes, peer: Peer, call_id: str) -> None:
        """Send one message; a peer that is gone is not told."""
        if self._witness is not None:
            self._witness(data, self.address, peer.address, call_id, peer.is_stream)
        if peer.writer is not None:
            if not peer.writer.is_closing():
                peer.writer.write(data)
        elif self._udp is not None and not self._udp.is_closing():
            self._udp.sendto(data, peer.address)

    def _datagram(self, data: bytes, address: Address) -> None:
        self._take(data, Peer(address))

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(writer.get_extra_info("peername")[:2], writer)
        self._streams[writer] = asyncio.current_task()
        buffer = bytearray()
        try:
            while data := await reader.read(65_536):
                buffer += data
                while (whole := whole_message(buffer)) is not None:
                    self._take(whole, peer)
        except (OSError, ValueError):
            return
        finally:
            del self._streams[writer]
            writer.close()

    def _take(self, data: bytes, peer: Peer) -> None:
        if not data.strip(b"\r\n\0"):
            return
        message = parse(data)
        if message is None:
            self.unreadable += 1
            return
        if self._witness is not None:
            self._witness(data, peer.address, self.address, message.call_id, peer.is_stream)
        self._receive(message, peer)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, receive: Callable[[bytes, Address], None]) -> None:
        self._receive = receive

    def datagram_received(self, data: bytes, address: tuple[str | Any, int]) -> None:
        self._receive(data, (address[0], address[1]))

    def error_received(self, exc: Exception) -> None:
        """ICMP "port unreachable": the peer has gone; its transactions run out."""
