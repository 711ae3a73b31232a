"""HEP, the Homer encapsulation: one datagram in, one captured packet out (versions 3, 2 and 1).

Reads only; nothing of HEP is ever answered, so a broken gateway cannot disturb telephony.
Source: HEP3 specification revision 37; what Kamailio and Asterisk really send: tests/vectors/sip/.
"""

import ipaddress
import struct
import zlib

import msgspec

KEEPALIVE = "keepalive"  # not a fault: a packet that only says that its sender lives
SIP = 1  # payload type (chunk 0x000b)

# The specification knows 41 chunk types; senders use 12 to 15 a packet.
MAX_CHUNKS = 128
# A datagram carries at most 64 KiB uncompressed; compression may double that, no real SIP message is larger.
MAX_INFLATED = 128 * 1024

MAGIC = (b"HEP3", b"EEP1", b"EEP3")
HEAD_SIZE = 6  # magic and the length of the whole packet
_CHUNK = struct.Struct("!HHH")
_HEAD_OLD = struct.Struct("!BBBBHH")
_TIME_OLD = struct.Struct("<IIHH")  # HEPv2: the sender's host order, little-endian wherever it was seen
_AUTO_DETECT = 47  # zlib: either a zlib or a gzip header, full window


class MalformedPacket(Exception):
    """The bytes are no HEP packet. `reason` is a lower_snake word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Packet(msgspec.Struct, frozen=True):
    """What was captured. Addresses are ("192.0.2.1", 5060); `time` is seconds since 1970 UTC, None when the sender gave none."""

    version: int
    source: tuple[str, int]
    destination: tuple[str, int]
    protocol: int
    time: float | None
    payload_type: int
    payload: bytes
    agent_id: int = 0
    agent_name: bytes = b""
    correlation_id: bytes = b""
    auth_key: bytes | None = None
    tail: int = 0


def parse_packet(data: bytes) -> Packet:
    """Read one datagram.

    Wire: "HEP3" length(2) then chunks vendor(2) type(2) length(2) payload, big-endian, lengths counting their own head.
    Errors: MalformedPacket with one of not_hep, bad_length, bad_chunk, too_many_chunks, no_payload, keepalive, bad_compression, inflated_too_long.
    A tail behind the packet is ignored (`tail` says how long); unknown vendors and types are skipped; a known type of wrong size is absent.
    """
    if data[:4] in MAGIC:
        return _parse_chunks(data)
    if data[:1] in (b"\x01", b"\x02"):
        return _parse_old(data)
    raise MalformedPacket("not_hep")


def _parse_chunks(data: bytes) -> Packet:
    if len(data) < 6:
        raise MalformedPacket("bad_length")
    total = data[4] << 8 | data[5]
    if total < 6 or total > len(data):
        raise MalformedPacket("bad_length")
    chunks: dict[int, bytes] = {}
    at = 6
    count = 0
    unpack = _CHUNK.unpack_from
    while at < total:
        if at + 6 > total:
            raise MalformedPacket("bad_chunk")
        vendor, kind, length = unpack(data, at)
        if length < 6 or at + length > total:
            raise MalformedPacket("bad_chunk")
        count += 1
        if count > MAX_CHUNKS:
            raise MalformedPacket("too_many_chunks")
        if vendor == 0:  # any other vendor has a type space of its own
            chunks[kind] = data[at + 6 : at + length]
        at += length
    payload = chunks.get(0x000F)
    if payload is None:
        compressed = chunks.get(0x0010)
        if compressed is None:
            raise MalformedPacket(KEEPALIVE if 0x000D in chunks else "no_payload")
        payload = _inflate(compressed)
    seconds = _number(chunks, 0x0009, 4)
    micros = _number(chunks, 0x000A, 4) or 0
    return Packet(
        version=3,
        source=(_address(chunks, 0x0003, 0x0005), _number(chunks, 0x0007, 2) or 0),
        destination=(_address(chunks, 0x0004, 0x0006), _number(chunks, 0x0008, 2) or 0),
        protocol=_number(chunks, 0x0002, 1) or 0,
        time=None if seconds is None else seconds + micros / 1_000_000,
        payload_type=_number(chunks, 0x000B, 1) or 0,
        payload=payload,
        agent_id=_number(chunks, 0x000C, 4) or 0,
        agent_name=chunks.get(0x0013, b""),
        correlation_id=chunks.get(0x0011, b""),
        auth_key=chunks.get(0x000E),
        tail=len(data) - total,
    )


def _parse_old(data: bytes) -> Packet:
    """HEPv1 and v2: version, header length (16 IPv4, 40 IPv6; without v2's time), family, protocol, ports, addresses."""
    if len(data) < 8:
        raise MalformedPacket("bad_length")
    version, length, _, protocol, source_port, destination_port = _HEAD_OLD.unpack_from(data)
    size = {16: 4, 40: 16}.get(length)
    body = length + (12 if version == 2 else 0)
    if size is None or len(data) < body:
        raise MalformedPacket("bad_length")
    if len(data) == body:
        raise MalformedPacket("no_payload")
    time: float | None = None
    agent_id = 0
    if version == 2:
        seconds, micros, agent_id, _ = _TIME_OLD.unpack_from(data, length)
        time = seconds + micros / 1_000_000
    return Packet(
        version=version,
        source=(_text(data[8 : 8 + size]), source_port),
        destination=(_text(data[8 + size : 8 + 2 * size]), destination_port),
        protocol=protocol,
        time=time,
        payload_type=SIP,  # these versions carry nothing else
        payload=data[body:],
        agent_id=agent_id,
    )


def _number(chunks: dict[int, bytes], kind: int, size: int) -> int | None:
    value = chunks.get(kind)
    return int.from_bytes(value) if value is not None and len(value) == size else None


def _address(chunks: dict[int, bytes], v4: int, v6: int) -> str:
    """The family is told by which chunk is there: AF numbers differ between the senders' systems."""
    value = chunks.get(v4)
    if value is not None and len(value) == 4:
        return _text(value)
    value = chunks.get(v6)
    return _text(value) if value is not None and len(value) == 16 else ""


def _text(address: bytes) -> str:
    if len(address) == 4:
        return f"{address[0]}.{address[1]}.{address[2]}.{address[3]}"
    return str(ipaddress.IPv6Address(address))


def _inflate(data: bytes) -> bytes:
    """A compressed payload (chunk 0x0010), never more than MAX_INFLATED octets of it."""
    stream = zlib.decompressobj(_AUTO_DETECT)
    try:
        inflated = stream.decompress(data, MAX_INFLATED + 1)
    except zlib.error:
        raise MalformedPacket("bad_compression") from None
    if len(inflated) > MAX_INFLATED:
        raise MalformedPacket("inflated_too_long")
    if not stream.eof:
        raise MalformedPacket("bad_compression")
    return inflated
