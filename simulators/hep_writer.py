"""HEP version 3 packets, as a PBX mirrors them (HEP3 specification revision 37; big-endian, vendor 0 chunks only)."""

import socket
import struct
from dataclasses import dataclass

UDP = 17
TCP = 6
SIP_PAYLOAD = 1


@dataclass(frozen=True, slots=True)
class Agent:
    """Who captures: number and, if set, name and password, as configured in the PBX."""

    number: int = 2001
    name: str = ""
    password: str = ""


def chunk(kind: int, payload: bytes) -> bytes:
    """uint16 vendor (0), uint16 type, uint16 length counting these 6 octets, payload."""
    return struct.pack("!HHH", 0, kind, 6 + len(payload)) + payload


def packet(
    message: bytes,
    source: tuple[str, int],
    destination: tuple[str, int],
    at: float,
    *,
    agent: Agent = Agent(),
    correlation: str = "",
    protocol: int = UDP,
) -> bytes:
    """One HEPv3 packet around one SIP message. Chunks in the order Asterisk sends them; `at` in seconds since 1970."""
    seconds = int(at)
    six = ":" in source[0]
    family = socket.AF_INET6 if six else socket.AF_INET
    chunks = [
        chunk(0x0001, bytes([10 if six else 2])),
        chunk(0x0002, bytes([protocol])),
        chunk(0x0007, struct.pack("!H", source[1])),
        chunk(0x0008, struct.pack("!H", destination[1])),
        chunk(0x0009, struct.pack("!I", seconds)),
        chunk(0x000A, struct.pack("!I", int((at - seconds) * 1_000_000))),
        chunk(0x000B, bytes([SIP_PAYLOAD])),
        chunk(0x000C, struct.pack("!I", agent.number)),
        chunk(0x0005 if six else 0x0003, socket.inet_pton(family, source[0])),
        chunk(0x0006 if six else 0x0004, socket.inet_pton(family, destination[0])),
    ]
    if agent.password:
        chunks.append(chunk(0x000E, agent.password.encode()))
    if correlation:
        chunks.append(chunk(0x0011, correlation.encode()))
    if agent.name:
        chunks.append(chunk(0x0013, agent.name.encode()))
    chunks.append(chunk(0x000F, message))
    body = b"".join(chunks)
    return b"HEP3" + struct.pack("!H", 6 + len(body)) + body
