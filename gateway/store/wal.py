"""SQLite's write-ahead log as bytes: which of them are whole transactions. Pure: no file is opened here.

Layout (sqlite.org/fileformat2.html, 4): a header of 32 bytes, then frames of 24 bytes and one page each. A frame carries the salts of its
generation and a checksum over all frames before it; the last frame of a transaction has the size of the database in it. When everything has
been folded into the database the log begins anew from its start, with the first salt one higher: a new generation.
"""

from array import array
from struct import Struct
from sys import byteorder

import msgspec

HEADER, FRAME = 32, 24
MAGIC = (0x377F0682, 0x377F0683)  # checksums over little-endian, big-endian words
VERSION = 3007000
SMALLEST, LARGEST = 512, 65536  # bytes of a page
_HEADER = Struct(">8I")
_FRAME = Struct(">6I")
_MASK = 0xFFFFFFFF

Check = tuple[int, int]


class Position(msgspec.Struct, frozen=True):
    """How far a log has been followed: its generation's salts, how many of its bytes are had, and the checksum over them."""

    salts: tuple[int, int]
    offset: int
    check: Check
    page: int
    is_big: bool

    @property
    def frame(self) -> int:
        """Bytes of a frame with its page."""
        return FRAME + self.page

    @property
    def name(self) -> str:
        """The generation, in hex."""
        return f"{self.salts[0]:08x}{self.salts[1]:08x}"


def begin(header: bytes) -> Position | None:
    """The begin of the log with this header; None: it is none."""
    if len(header) < HEADER:
        return None
    magic, version, page, _, salt1, salt2, check1, check2 = _HEADER.unpack(header[:HEADER])
    is_big = magic == MAGIC[1]
    if magic not in MAGIC or version != VERSION or not SMALLEST <= page <= LARGEST or page & (page - 1):
        return None
    if checksum((0, 0), header[:24], is_big=is_big) != (check1, check2):
        return None
    return Position((salt1, salt2), HEADER, (check1, check2), page, is_big)


def accept(at: Position, data: bytes) -> Position:
    """The position after the last whole transaction in `data`, which comes right after `at`. What follows it is torn, or not there yet."""
    found, check, offset = at, at.check, 0
    while offset + at.frame <= len(data):
        _, commit, salt1, salt2, check1, check2 = _FRAME.unpack_from(data, offset)
        if (salt1, salt2) != at.salts:
            break
        check = checksum(check, data[offset : offset + 8], is_big=at.is_big)
        check = checksum(check, data[offset + FRAME : offset + at.frame], is_big=at.is_big)
        if check != (check1, check2):
            break
        offset += at.frame
        if commit:
            found = Position(at.salts, at.offset + offset, check, at.page, at.is_big)
    return found


def is_next(old: tuple[int, int], new: tuple[int, int]) -> bool:
    """Is this the generation right after that one?"""
    return new[0] == (old[0] + 1) & _MASK


def frame_head(frame: bytes) -> tuple[tuple[int, int], bool, Check]:
    """(salts, does it end a transaction, checksum) of a frame's first 24 bytes."""
    _, commit, salt1, salt2, check1, check2 = _FRAME.unpack(frame[:FRAME])
    return (salt1, salt2), bool(commit), (check1, check2)


def checksum(start: Check, data: bytes, *, is_big: bool) -> Check:
    """SQLite's checksum over 32-bit words, taken in pairs."""
    words = array("I", data)
    if is_big == (byteorder == "little"):
        words.byteswap()
    first, second = start
    pairs = iter(words)
    for one, other in zip(pairs, pairs, strict=True):
        first = (first + one + second) & _MASK
        second = (second + other + first) & _MASK
    return first, second
