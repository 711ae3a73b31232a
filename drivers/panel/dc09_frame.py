"""Frames of SIA DC-09 in a stream of bytes: found, measured, checked; and made.

Wire: LF CRC(4 hex) LEN(4: `0` and 3 hex digits) BODY(LEN bytes) CR. CRC-16/ARC over BODY as sent.
Source: ANSI/SIA DC-09-2013, clause 5; CRC: reflected polynomial 0xA001, start 0, no final XOR ("123456789" gives BB3D).
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

LF, CR = 0x0A, 0x0D
MAX_BODY = 0xFFF  # three hex digits of LEN
MAX_FRAME = MAX_BODY + 10  # LF, CRC, LEN, CR
HEAD = 9  # LF, CRC, LEN
FRAME_S = 10.0  # a frame that has begun ends within this time: devices repeat after 5 to 60 s

_HEX = re.compile(rb"[0-9A-Fa-f]{8}")
_END = re.compile(rb"[\r\n]")
_BLANK = b"\0\r\n \t"  # between frames: some panels append NULs, some end with CR LF


class Frame(NamedTuple):
    """A frame whose check is right. length: as LEN says, or "decimal": the number of bytes is right only if read as decimal digits."""

    body: bytes
    raw: bytes
    length: str = ""


class Bad(NamedTuple):
    """Bytes that are no frame. reason: bad_crc, bad_length, no_cr, too_long, unparsable."""

    reason: str
    raw: bytes


def _table() -> tuple[int, ...]:
    rows = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
        rows.append(value)
    return tuple(rows)


_CRC = _table()


def crc16(data: bytes | bytearray, crc: int = 0) -> int:
    """CRC-16/ARC, of these bytes behind others whose CRC is given."""
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc


def make_frame(body: bytes) -> bytes:
    """The frame of a body."""
    return b"\n%04X%04X%b\r" % (crc16(body), len(body), body)


class Frames:
    """Cuts a stream into frames. What is no frame comes out as Bad, and reading goes on at the next LF."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._looked = 0  # no end of the frame that has begun is before this
        self._crc = 0  # of its body up to there

    @property
    def has_begun(self) -> bool:
        """Is something there that waits for its end?"""
        return bool(self._bytes)

    def receive_data(self, data: bytes) -> Iterator[Frame | Bad]:
        """Take any fragment; give what it completed. Every byte belongs to exactly one result, or is blank between two."""
        self._bytes += data
        while (found := self._next()) is not None:
            yield found

    def give_up(self) -> Iterator[Frame | Bad]:
        """What has begun does not end: drop it; a frame that began behind its LF is read all the same."""
        while len(self._bytes) > 1:
            cut = self._bytes.find(LF, 1)
            yield self._take(cut if cut > 0 else len(self._bytes), "no_cr" if _begins(self._bytes) else "unparsable")
            if cut > 0:
                while (found := self._next()) is not None:
                    yield found
        self._bytes.clear()

    def _next(self) -> Frame | Bad | None:
        while self._bytes and self._bytes[0] in _BLANK and self._bytes[:1] != b"\n":
            del self._bytes[0]
        while len(self._bytes) > 1 and self._bytes[0] == LF and self._bytes[1] in _BLANK:
            del self._bytes[0]
        if not self._bytes:
            return None
        head = bytes(self._bytes[:HEAD])
        if not _begins(head):
            cut = self._bytes.find(LF, 1)
            if cut > 0 or len(self._bytes) > MAX_FRAME:
                return self._take(cut if 0 < cut <= MAX_FRAME else MAX_FRAME, "unparsable")
            return None
        if len(head) < HEAD:
            return None
        return self._end(head)

    def _end(self, head: bytes) -> Frame | Bad | None:
        """The frame that begins here, once its end is there. LF is an end too, and the start of the next: so are lines that were pasted."""
        length = int(head[5:], 16)
        while True:
            begin = max(self._looked, HEAD)
            end = _END.search(self._bytes, begin, MAX_FRAME)
            at = end.start() if end else -1
            stop = at if end else min(len(self._bytes), MAX_FRAME)
            self._crc = crc16(self._bytes[begin:stop], self._crc)  # each byte once, however many ends a body pretends to have
            self._looked = stop
            if at < 0:
                return self._take(MAX_FRAME, "too_long") if stop == MAX_FRAME else None
            found = self._ends_at(at, head, length)
            if found is not None:
                return found
            self._crc = crc16(self._bytes[at : at + 1], self._crc)
            self._looked = at + 1

    def _ends_at(self, at: int, head: bytes, length: int) -> Frame | Bad | None:
        """Does the frame end with the CR or LF at this place? None: it may go on."""
        size = at - HEAD
        is_sound = self._crc == int(head[1:5], 16)
        is_end = self._bytes[at] == CR
        if is_sound and size and (size == length or self._bytes[HEAD] == 0x22):  # whole, if perhaps wrongly measured
            measured = "" if size == length else "decimal" if head[5:].isdigit() and int(head[5:]) == size else "wrong"
            raw = self._cut(at + is_end)
            return Frame(raw[HEAD:at], raw, measured)
        if not is_end:
            return None
        inner = self._bytes.rfind(LF, HEAD, at)
        if inner > 0 and _is_whole(bytes(self._bytes[inner : at + 1])):
            return self._take(inner, "no_cr")  # a frame without an end, and a sound one behind it
        if size == length:
            return self._take(at + 1, "bad_crc")
        return self._take(at + 1 if inner < 0 else inner, "bad_length") if size > length else None

    def _take(self, size: int, reason: str) -> Bad:
        return Bad(reason, self._cut(size))

    def _cut(self, size: int) -> bytes:
        raw = bytes(self._bytes[:size])
        del self._bytes[:size]
        self._looked = self._crc = 0
        return raw


def _begins(head: bytes | bytearray) -> bool:
    """May a frame begin like this? LF and up to eight hex digits."""
    return head[0] == LF and bool(_HEX.match((head[1:HEAD] + b"00000000")[:8]))


def _is_whole(frame: bytes) -> bool:
    """LF … CR: are its length and check right?"""
    body = frame[HEAD:-1]
    return bool(_HEX.match(frame[1:HEAD])) and int(frame[5:HEAD], 16) == len(body) and int(frame[1:5], 16) == crc16(body)
