"""Capture files: pcap and pcapng as a stream of frames, both byte orders, micro- and nanoseconds.

Layouts: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. A damaged file ends the reading with CaptureError, never with anything else.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

# The snap length that capture programs use for "everything"; a block of pcapng adds its options.
MAX_FRAME = 262_144
MAX_BLOCK = 4 * 1024 * 1024  # longest seen: name resolution and TLS secrets, some 100 KiB
MAX_INTERFACES = 1024  # of one section: a capture on "any" names each of a machine's

_PCAP = {
    b"\xd4\xc3\xb2\xa1": ("<", 10**6),
    b"\xa1\xb2\xc3\xd4": (">", 10**6),
    b"\x4d\x3c\xb2\xa1": ("<", 10**9),
    b"\xa1\xb2\x3c\x4d": (">", 10**9),
}
_SECTION = b"\x0a\x0d\x0d\x0a"
_LITTLE = b"\x4d\x3c\x2b\x1a"
_INTERFACE, _OLD, _SIMPLE, _ENHANCED = 1, 2, 3, 6


class CaptureError(Exception):
    """The file is no capture, or is cut or damaged."""


class Frame(NamedTuple):
    """time: seconds since 1970, 0.0 where the file has none; link: number of tcpdump's list of link types."""

    time: float
    link: int
    data: bytes


def read_frames(file: BinaryIO) -> Iterator[Frame]:
    """Frames in file order. Raises CaptureError at the point where the file cannot be read on."""
    magic = file.read(4)
    try:
        if magic == _SECTION:
            yield from _read_pcapng(file, magic)
        elif magic in _PCAP:
            yield from _read_pcap(file, *_PCAP[magic])
        else:
            raise CaptureError("this is no pcap or pcapng file")
    except (struct.error, IndexError, OverflowError) as error:
        raise CaptureError("the capture is cut or damaged") from error


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise CaptureError("the capture is cut or damaged")
    return data


def _read_pcap(file: BinaryIO, order: str, ticks: int) -> Iterator[Frame]:
    # the upper half of the word has flags: length of the checksum, and whether it is there
    link = struct.unpack_from(order + "I", _exactly(file, 20), 16)[0] & 0xFFFF
    record = struct.Struct(order + "IIII")
    while head := file.read(16):
        seconds, fraction, length, _ = record.unpack(head)
        if length > MAX_FRAME:
            raise CaptureError("the capture is cut or damaged")
        yield Frame(seconds + fraction / ticks, link, _exactly(file, length))


def _read_pcapng(file: BinaryIO, magic: bytes) -> Iterator[Frame]:
    order = "<"
    interfaces: list[tuple[int, int, int]] = []  # link type, ticks a second, seconds to add
    head = magic + _exactly(file, 4)
    while head:
        if len(head) != 8:
            raise CaptureError("the capture is cut or damaged")
        start = b""
        if head[:4] == _SECTION:  # a section may have another byte order, and says so behind its length
            start = _exactly(file, 4)
            order = "<" if start == _LITTLE else ">"
            interfaces = []
        kind, length = struct.unpack(order + "II", head)
        if length < 12 or length % 4 or length > MAX_BLOCK:
            raise CaptureError("the capture is cut or damaged")
        block = (start + _exactly(file, length - 8 - len(start)))[:-4]
        if kind == _INTERFACE and len(interfaces) < MAX_INTERFACES:
            interfaces.append((struct.unpack_from(order + "H", block)[0], *_clock(block[8:], order)))
        elif kind in (_ENHANCED, _OLD):
            # the old packet block has a drop count beside a short interface number; everything behind stands in the same place
            number = struct.unpack_from(order + ("I" if kind == _ENHANCED else "H"), block)[0]
            high, low, captured = struct.unpack_from(order + "III", block, 4)
            link, ticks, offset = interfaces[number]
            seconds, fraction = divmod(high << 32 | low, ticks)  # in whole numbers: nanoseconds since 1970 are more than a float holds
            yield Frame(seconds + offset + fraction / ticks, link, block[20 : 20 + captured])
        elif kind == _SIMPLE:
            yield Frame(0.0, interfaces[0][0], block[4 : 4 + struct.unpack_from(order + "I", block)[0]])
        head = file.read(8)


def _clock(options: bytes, order: str) -> tuple[int, int]:
    """(ticks a second, seconds to add): if_tsresol (9) is a power of ten, or of two with bit 7, else microseconds; if_tsoffset (14)."""
    at, ticks, offset = 0, 10**6, 0
    while at + 4 <= len(options):
        code, length = struct.unpack_from(order + "HH", options, at)
        if code == 0:
            break
        if code == 9 and length == 1:
            exponent = options[at + 4]
            ticks = 2 ** (exponent & 0x7F) if exponent & 0x80 else 10**exponent
        elif code == 14 and length == 8:
            offset = struct.unpack_from(order + "q", options, at + 4)[0]
        at += 4 + (length + 3) // 4 * 4
    return ticks, offset
