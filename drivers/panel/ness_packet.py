"""A packet of a Ness D8x/D16x panel: one line of ASCII hex with its checksum.

Wire: start(2) address(2; 1 in an 83 request) length(2) command(2) data timestamp(12) checksum(2). start: 82 response, 83 request, 86/87 status;
bit 0: an address follows, bit 2: a timestamp is there. length: low 7 bits count the data, bit 7 alternates.
Source: nessclient 1.3.1; Ness D8x/D16x serial interface; the rules of both checksums hold for 151 recorded lines.
"""

import re
from typing import NamedTuple

RESPONSE, REQUEST = 0x82, 0x83
EVENT, USER_INTERFACE = 0x61, 0x60

_HEX = re.compile(r"[0-9A-Fa-f]+")
_REQUEST = re.compile(r"83[0-9A-Fa-f][0-9A-Fa-f]{2}60[ -~]*[0-9A-Fa-f]{2}")


class Packet(NamedTuple):
    """address None: not told. data in hex digits (of a request: characters). clock: year to second as digits say, minute 60 and all."""

    start: int
    address: int | None
    command: int
    data: str
    clock: tuple[int, ...] | None


class PacketError(Exception):
    """The line is no sound packet; its text is a reason in lower_snake."""


def read_packet(line: str) -> Packet:
    """Read one line without its end. Raises PacketError, nothing else."""
    if line.startswith("83"):
        return _read_request(line)
    if not _HEX.fullmatch(line) or len(line) < 10 or len(line) % 2:
        raise PacketError("unparsable")
    octets = bytes.fromhex(line)
    if sum(octets) % 256:
        raise PacketError("bad_checksum")
    start = octets[0]
    if start not in (RESPONSE, 0x86, 0x87):
        raise PacketError("unknown_start")
    at = 1
    address = None
    if start & 1 or start & 4 == 0 or _fits(octets, at + 1, start):
        address, at = octets[at], at + 1
    if start == RESPONSE and not _fits(octets, at, start):  # a response without an address, as bit 0 says
        address, at = None, 1
    if not _fits(octets, at, start):
        raise PacketError("bad_length")
    length = octets[at] & 0x7F
    data = octets[at + 2 : at + 2 + length]
    stamp = octets[at + 2 + length : -1].hex()
    return Packet(start, address, octets[at + 1], data.hex(), _clock(stamp) if stamp else None)


def write_request(data: str, address: int = 0) -> bytes:
    """A user-interface request, for instance `S13`, as a line."""
    body = f"83{address:X}{len(data):02x}60{data}".encode("ascii")
    return body + f"{-sum(body) % 256:02X}\r\n".encode("ascii")


def _read_request(line: str) -> Packet:
    """What somebody else on the same bus asks the panel."""
    if not _REQUEST.fullmatch(line):
        raise PacketError("unparsable")
    if (sum(line[:-2].encode("ascii")) + int(line[-2:], 16)) % 256:
        raise PacketError("bad_checksum")
    data = line[7:-2]
    if int(line[3:5], 16) & 0x7F != len(data):
        raise PacketError("bad_length")
    return Packet(REQUEST, int(line[2], 16), USER_INTERFACE, data, None)


def _fits(octets: bytes, at: int, start: int) -> bool:
    """Does the length at this place account for the whole line?"""
    return at < len(octets) and len(octets) == at + 2 + (octets[at] & 0x7F) + (6 if start & 4 else 0) + 1


def _clock(stamp: str) -> tuple[int, ...] | None:
    """YYMMDDhhmmss; None when it is not in decimal digits."""
    if not stamp.isdigit():
        return None
    year, *rest = (int(stamp[at : at + 2]) for at in range(0, 12, 2))
    return (2000 + year, *rest)
