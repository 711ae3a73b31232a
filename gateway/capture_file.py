"""Reads packets out of capture files: pcap and pcapng, the usual link types, IPv4 and IPv6, UDP and TCP payloads.

Layouts: pcap after draft-ietf-opsawg-pcap, pcapng after draft-ietf-opsawg-pcapng, link types after tcpdump's list. IP fragments
and cut packets are skipped. Damaged files end the reading with CaptureError, never with anything else.
"""

import ipaddress
import struct
from collections.abc import Iterator

import msgspec

from gateway.errors import GatewayError

MAX_PACKET = 262_144  # the snap length that capture programs use for "everything"

_PCAP = {
    b"\xd4\xc3\xb2\xa1": ("<", 1e6),
    b"\xa1\xb2\xc3\xd4": (">", 1e6),
    b"\x4d\x3c\xb2\xa1": ("<", 1e9),
    b"\xa1\xb2\x3c\x4d": (">", 1e9),
}
_SECTION = b"\x0a\x0d\x0d\x0a"
_IPV4, _IPV6, _VLANS = 0x0800, 0x86DD, (0x8100, 0x88A8)
_TCP, _UDP = 6, 17


class CaptureError(GatewayError):
    """The file is no capture, or is cut or damaged."""


class Packet(msgspec.Struct, frozen=True):
    """One UDP datagram or TCP segment. `time` is seconds since 1970; `sequence` is TCP's, None for UDP."""

    time: float
    source: tuple[str, int]
    destination: tuple[str, int]
    payload: bytes
    sequence: int | None = None


def read_capture(data: bytes) -> Iterator[Packet]:
    """Packets with a payload, in file order. Raises CaptureError at the point where the file cannot be read on."""
    try:
        if data[:4] == _SECTION:
            frames = _read_pcapng(data)
        elif data[:4] in _PCAP:
            frames = _read_pcap(data, *_PCAP[data[:4]])
        else:
            raise CaptureError("this is no pcap or pcapng file")
        for time, link, frame in frames:
            packet = _read_frame(time, link, frame)
            if packet is not None and packet.payload:
                yield packet
    except (struct.error, IndexError, ZeroDivisionError, OverflowError) as error:
        raise CaptureError("the capture is cut or damaged") from error


def _read_pcap(data: bytes, order: str, ticks: float) -> Iterator[tuple[float, int, bytes]]:
    link = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF
    at = 24
    while at < len(data):
        seconds, fraction, length, _ = struct.unpack_from(order + "IIII", data, at)
        if length > MAX_PACKET or at + 16 + length > len(data):
            raise CaptureError("the capture is cut or damaged")
        yield seconds + fraction / ticks, link, data[at + 16 : at + 16 + length]
        at += 16 + length


def _read_pcapng(data: bytes) -> Iterator[tuple[float, int, bytes]]:
    order, at = "<", 0
    interfaces: list[tuple[int, float]] = []  # link type, ticks a second
    while at < len(data):
        if data[at : at + 4] == _SECTION:
            order = "<" if data[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            interfaces = []
        kind, length = struct.unpack_from(order + "II", data, at)
        if length < 12 or length % 4 or at + length > len(data):
            raise CaptureError("the capture is cut or damaged")
        block = data[at + 8 : at + length - 4]
        if kind == 1:
            interfaces.append((struct.unpack_from(order + "H", block)[0], _ticks(block[8:], order)))
        elif kind == 6:
            interface, high, low, captured = struct.unpack_from(order + "IIII", block)
            link, ticks = interfaces[interface]
            yield (high << 32 | low) / ticks, link, block[20 : 20 + captured]
        elif kind == 3:
            yield 0.0, interfaces[0][0], block[4 : 4 + struct.unpack_from(order + "I", block)[0]]
        at += length


def _ticks(options: bytes, order: str) -> float:
    """Option if_tsresol (9): a power of ten, or of two with bit 7; microseconds without it."""
    at = 0
    while at + 4 <= len(options):
        code, length = struct.unpack_from(order + "HH", options, at)
        if code == 9 and length == 1:
            exponent = options[at + 4]
            return float(2 ** (exponent & 0x7F) if exponent & 0x80 else 10**exponent)
        if code == 0:
            break
        at += 4 + (length + 3) // 4 * 4
    return 1e6


def _read_frame(time: float, link: int, frame: bytes) -> Packet | None:
    """Take off the link layer: Ethernet 1, loopback 0 and 108, raw IP 12, 14, 101, 228, 229, Linux cooked 113 and 276."""
    if link == 1 and len(frame) >= 14:
        kind, at = int.from_bytes(frame[12:14]), 14
        while kind in _VLANS and len(frame) >= at + 4:
            kind, at = int.from_bytes(frame[at + 2 : at + 4]), at + 4
        return _read_ip(time, frame[at:]) if kind in (_IPV4, _IPV6) else None
    if link == 113:
        return _read_ip(time, frame[16:])
    if link == 276:
        return _read_ip(time, frame[20:])
    if link in (0, 108):
        return _read_ip(time, frame[4:])
    return _read_ip(time, frame) if link in (12, 14, 101, 228, 229) else None


def _read_ip(time: float, data: bytes) -> Packet | None:
    if len(data) < 20:
        return None
    version = data[0] >> 4
    if version == 4:
        header, total = (data[0] & 0x0F) * 4, int.from_bytes(data[2:4])
        is_fragment = int.from_bytes(data[6:8]) & 0x3FFF != 0
        if header < 20 or is_fragment:
            return None
        source, destination = (str(ipaddress.IPv4Address(data[at : at + 4])) for at in (12, 16))
        return _read_transport(time, data[9], source, destination, data[header : total or None], total - header if total else None)
    if version == 6 and len(data) >= 40:
        protocol, at, end = data[6], 40, 40 + int.from_bytes(data[4:6])
        while protocol in (0, 43, 60) and len(data) >= at + 8:  # extension headers
            protocol, at = data[at], at + (data[at + 1] + 1) * 8
        source, destination = (str(ipaddress.IPv6Address(data[start : start + 16])) for start in (8, 24))
        return _read_transport(time, protocol, source, destination, data[at:end], end - at)
    return None


def _read_transport(time: float, protocol: int, source: str, destination: str, data: bytes, whole: int | None) -> Packet | None:
    if len(data) < 8 or (whole is not None and len(data) < whole):
        return None  # cut by the capture's snap length
    ports = struct.unpack_from(">HH", data)
    if protocol == _UDP:
        return Packet(time, (source, ports[0]), (destination, ports[1]), data[8 : int.from_bytes(data[4:6]) or None])
    if protocol == _TCP and len(data) >= 20:
        return Packet(time, (source, ports[0]), (destination, ports[1]), data[(data[12] >> 4) * 4 :], int.from_bytes(data[4:8]))
    return None
