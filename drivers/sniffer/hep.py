"""The HEPv3 packet around one captured SIP message (HEP3 specification revision 37): big-endian, vendor 0 chunks."""

import ipaddress
import struct
from dataclasses import dataclass

from drivers.capture.packets import Packet

SIP = 1
MAX_PACKET = 65_507  # what one UDP datagram carries over IPv4
_CHUNK = struct.Struct("!HHH")


@dataclass(frozen=True, slots=True)
class Agent:
    """Who captures. number: capture agent id; name: chunk 0x0013; key: chunk 0x000e, plain text."""

    number: int = 0
    name: bytes = b""
    key: bytes = b""


def encode(packet: Packet, agent: Agent) -> bytes:
    """Chunks in the order in which Kamailio sends them: 1, 2, 3, 4, 7, 8, 9, a, b, c, [13], [e], f.

    The time is the packet's. A message that does not fit is cut at its end: its headers are what matters.
    """
    source, destination = ipaddress.ip_address(packet.source[0]).packed, ipaddress.ip_address(packet.destination[0]).packed
    six = len(source) == 16
    seconds, micros = divmod(round(packet.time * 1_000_000), 1_000_000)
    body = b"".join(
        (
            _chunk(0x0001, b"\x0a" if six else b"\x02"),
            _chunk(0x0002, bytes([packet.protocol])),
            _chunk(0x0005 if six else 0x0003, source),
            _chunk(0x0006 if six else 0x0004, destination),
            _chunk(0x0007, packet.source[1].to_bytes(2)),
            _chunk(0x0008, packet.destination[1].to_bytes(2)),
            _chunk(0x0009, (seconds % 2**32).to_bytes(4)),
            _chunk(0x000A, micros.to_bytes(4)),
            _chunk(0x000B, bytes([SIP])),
            _chunk(0x000C, agent.number.to_bytes(4)),
            _chunk(0x0013, agent.name) if agent.name else b"",
            _chunk(0x000E, agent.key) if agent.key else b"",
        )
    )
    body += _chunk(0x000F, packet.payload[: MAX_PACKET - 12 - len(body)])
    return b"HEP3" + (6 + len(body)).to_bytes(2) + body


def _chunk(kind: int, data: bytes) -> bytes:
    return _CHUNK.pack(0, kind, 6 + len(data)) + data
