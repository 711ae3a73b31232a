"""Frames of the GT06 protocol: finding them in a stream, their check, and building ours.

Wire: 78 78 | len(1) | protocol(1) | content | serial(2) | crc(2) | 0D 0A, or 79 79 with len(2); big-endian; len = content + 5.
Check: CRC-16/X-25 over len to serial. Source: Concox GT06 documents; frames of Traccar's tests.
"""

from collections.abc import Iterator

import msgspec

SHORT, LONG = b"\x78\x78", b"\x79\x79"
STOP = b"\x0d\x0a"
OVERHEAD = 5  # protocol, serial and crc
MAX_LONG = 8 * 1024 + OVERHEAD  # bytes of a 79 79 frame; the biggest known ones hold some hundred
INCOMPLETE_S = 30.0  # a frame that stays unfinished for so long
MAX_SKIPPED = 1024  # bytes told as one rejection


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x8408 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_TABLE = _crc_table()


def crc(data: bytes) -> int:
    """CRC-16/X-25: polynomial 1021 reflected, start FFFF, final XOR FFFF. 05 01 00 05 gives 9FF8."""
    check = 0xFFFF
    for byte in data:
        check = check >> 8 ^ _TABLE[(check ^ byte) & 0xFF]
    return check ^ 0xFFFF


class Frame(msgspec.Struct, frozen=True):
    """One whole frame. `length` is the number that it tells; it says the dialect. `is_sound`: the check fits."""

    raw: bytes
    length: int
    protocol: int
    content: bytes
    serial: int
    is_sound: bool
    is_long: bool = False


class Unreadable(msgspec.Struct, frozen=True):
    """Bytes that began like a frame and are none."""

    raw: bytes


def build(protocol: int, content: bytes, serial: int) -> bytes:
    """A frame of ours."""
    body = bytes([len(content) + OVERHEAD, protocol]) + content + serial.to_bytes(2)
    return SHORT + body + crc(body).to_bytes(2) + STOP


class Frames:
    """Finds frames whatever the fragments. Where a length does not lead to 0D 0A it moves on by one byte, so no frame behind it is lost."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skipped = bytearray()
        self._since: float | None = None  # when the oldest unfinished frame began

    def feed(self, data: bytes, now: float) -> list[Frame | Unreadable]:
        """What these bytes completed, in order."""
        self._buffer += data
        found = list(self._scan())
        if not self._buffer and not self._skipped:
            self._since = None
        elif self._since is None or found:
            self._since = now
        return found

    def deadline(self) -> float | None:
        return None if self._since is None else self._since + INCOMPLETE_S

    def expire(self, now: float) -> list[Frame | Unreadable]:
        """Give up the unfinished frame; whole ones that it hid are found all the same."""
        due = self.deadline()
        if due is None or now < due:
            return []
        found = []
        while self._buffer:
            self._skip()
            found += list(self._scan())
        self._since = None
        return found + self._told()

    def _scan(self) -> Iterator[Frame | Unreadable]:
        while self._buffer:
            size = self._size()
            if size == 0 or (size is not None and self._buffer[size - 2 : size] != STOP):
                self._skip()
                if self._skipped.endswith(STOP) or len(self._skipped) >= MAX_SKIPPED:
                    yield from self._told()
            elif size is None:
                return
            else:
                yield from self._told()
                yield self._cut(size)

    def _size(self) -> int | None:
        """Bytes of the frame that begins here; 0: none does; None: more must come."""
        buffer = self._buffer
        if buffer[0] not in (0x78, 0x79) or (len(buffer) > 1 and buffer[1] != buffer[0]):
            return 0
        is_long = buffer[0] == 0x79
        if len(buffer) < (4 if is_long else 3):
            return None
        length = int.from_bytes(buffer[2:4]) if is_long else buffer[2]
        if not OVERHEAD <= length <= MAX_LONG:
            return 0
        size = length + (6 if is_long else 5)
        return size if len(buffer) >= size else None

    def _cut(self, size: int) -> Frame:
        raw = bytes(self._buffer[:size])
        del self._buffer[:size]
        at = 3 if raw[0] == 0x78 else 4
        return Frame(
            raw=raw,
            length=int.from_bytes(raw[2:at]),
            protocol=raw[at],
            content=raw[at + 1 : -6],
            serial=int.from_bytes(raw[-6:-4]),
            is_sound=crc(raw[2:-4]) == int.from_bytes(raw[-4:-2]),
            is_long=at == 4,
        )

    def _skip(self) -> None:
        self._skipped.append(self._buffer[0])
        del self._buffer[0]

    def _told(self) -> list[Frame | Unreadable]:
        """What was skipped, if a frame seemed to begin in it; noise between frames is not worth a word."""
        skipped = bytes(self._skipped)
        self._skipped.clear()
        return [Unreadable(skipped)] if SHORT in skipped or LONG in skipped else []
