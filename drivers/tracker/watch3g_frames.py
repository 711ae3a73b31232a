"""Where a frame of the watch protocol begins and ends, and how one is written.

Wire: `[VV*ID*LEN*CONTENT]`, or `[ZJ*ID*IDX*LEN*CONTENT]`; VV two characters of the vendor, LEN four hex digits, nothing between frames.
LEN is advice on receive (every third public capture has it wrong) and exact on send. CONTENT may hold brackets: names of Wi-Fi networks do.
Source: watch protocol of the Beesure / 4P-Touch family; tests/vectors/tracker/watch3g.toml.
"""

import re
from collections.abc import Callable, Iterator

import msgspec

MAX_FRAME = 64 * 1024  # bytes; the largest are voice messages
SILENCE_S = 60.0  # a half frame, or bytes outside any frame, after which nothing comes
LOOK_AHEAD_S = 1.0  # a frame that may have ended before its LEN: the rest of it is on its way or does not exist
MAX_DROPS = 2  # so many times a peer may send what never becomes a frame

_HEADER = re.compile(
    rb"\[([0-9A-Za-z]{2})\*([0-9A-Za-z_.:-]{1,20})\*(?:([^*\[\],]{0,8})\*)?([^*\[\],]{0,8})\*([^*\[\],]{0,32})(?=[,\]\[])"
)  # vendor, id, index, length, word
_HEX4 = re.compile(rb"[0-9A-Fa-f]{4}")
_BRACKET = re.compile(rb"[\[\]]")
_START = re.compile(rb"\[[0-9A-Za-z]{2}\*[0-9A-Za-z_.:-]{1,20}\*")
_START_ROOM = 25  # bytes that decide whether a frame starts here
_SPACE = b" \r\n\t\0"
_ESCAPED = {0x01: 0x7D, 0x02: 0x5B, 0x03: 0x5D, 0x04: 0x2C, 0x05: 0x2A}


class Frame(msgspec.Struct, frozen=True):
    """One frame. `index` None: this watch has none. `skipped`: bytes outside any frame that came before it."""

    vendor: str
    id: str
    index: str | None
    content: bytes
    raw: bytes
    skipped: int = 0


class Dropped(msgspec.Struct, frozen=True):
    """Bytes that are no frame: bad_header, too_long, half_frame, garbage."""

    reason: str
    raw: bytes


class Frames:
    """Finds the frames of one connection. The same bytes give the same frames, however they were cut.

    is_whole: does this content, which its brackets end before its LEN does, make sense as it stands?
    """

    def __init__(self, is_whole: Callable[[bytes], bool]) -> None:
        self.drops = 0
        self._is_whole = is_whole
        self._buffer = bytearray()
        self._skipped = bytearray()
        self._due: float | None = None
        self._restart()

    def feed(self, data: bytes, now: float) -> Iterator[Frame | Dropped]:
        """What these bytes complete, in order."""
        while data:  # never more than one frame's worth, so that the limits fall on the same byte however it was cut
            room = MAX_FRAME + 1 - len(self._buffer)
            self._buffer += data[:room]
            data = data[room:]
            yield from self._read(now)

    def deadline(self) -> float | None:
        return self._due

    def handle_deadline(self, now: float) -> Iterator[Frame | Dropped]:
        """Nothing came for a while: end the frame that may have ended, or give up what never will."""
        if self._due is None or now < self._due:
            return
        if self._early is not None and self._buffer:
            yield self._cut(self._early)
            yield from self._read(now)
        elif self._buffer or self._skipped:
            yield self._drop("half_frame" if self._buffer else "garbage")
        else:
            self._due = None

    def _restart(self) -> None:
        self._scanned = 0
        self._depth = 0
        self._content = 0  # where the content begins; 0 while the header is not known
        self._promised: int | None = None  # where LEN says that the closing bracket is
        self._early: int | None = None  # where the brackets end the frame before LEN does

    def _read(self, now: float) -> Iterator[Frame | Dropped]:
        while self._buffer:
            if self._buffer[0] != 0x5B:
                self._skip()
                if len(self._skipped) >= MAX_FRAME:
                    yield self._drop("garbage")
                continue
            end = self._end()
            if end is not None:
                yield self._cut(end)
            elif len(self._buffer) > MAX_FRAME:
                yield self._drop("too_long")
            else:
                break
        waits = bool(self._buffer or self._skipped)
        self._due = None if not waits else now + (LOOK_AHEAD_S if self._early is not None else SILENCE_S)

    def _skip(self) -> None:
        """Pass over what is outside any frame; white space there means nothing."""
        at = self._buffer.find(b"[")
        end = min(len(self._buffer) if at < 0 else at, MAX_FRAME - len(self._skipped))
        lost = self._buffer[:end]
        self._skipped += lost if self._skipped else lost.lstrip(_SPACE)
        del self._buffer[:end]

    def _end(self) -> int | None:
        """The closing bracket of the frame at the head of the buffer; None: not there yet."""
        if not self._content and (head := _HEADER.match(self._buffer)):
            self._content = head.start(5)
            if _HEX4.fullmatch(head[4]):
                self._promised = self._content + int(head[4], 16)
        if self._early is None:
            end = self._scan()
            if end is not None:
                return end
        if self._promised is not None and self._promised < len(self._buffer):
            if self._buffer[self._promised] == 0x5D:
                return self._promised
            return self._early
        if self._early is not None and self._buffer[self._early + 1 : self._early + 2] == b"[":
            return self._early
        return None

    def _scan(self) -> int | None:
        """Count brackets on from where it stopped. The frame ends at zero, if LEN agrees, or says less, or what we have makes sense."""
        position = self._scanned
        while (found := _BRACKET.search(self._buffer, position)) is not None:
            at = found.start()
            if self._content and self._promised == at and self._buffer[at] == 0x5D:
                return at
            if self._buffer[at] == 0x5B:
                if self._depth and self._buffer[at - 1] == 0x5D:
                    if len(self._buffer) - at < _START_ROOM and not _START.match(self._buffer, at):
                        self._scanned = at  # another frame may begin here
                        return None
                    if _START.match(self._buffer, at):
                        return at - 1
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth == 0:
                    if self._promised is None or self._promised < at or self._is_whole(bytes(self._buffer[self._content : at])):
                        return at
                    self._early = at
                    return None
            position = at + 1
        self._scanned = len(self._buffer)
        return None

    def _cut(self, end: int) -> Frame | Dropped:
        raw = bytes(self._buffer[: end + 1])
        head = _HEADER.match(raw)
        skipped = len(self._skipped.rstrip(_SPACE))
        del self._buffer[: end + 1]
        self._skipped.clear()
        self._restart()
        if head is None:
            return Dropped("bad_header", raw)
        index = head[3].decode("latin-1") if head[3] is not None else None
        return Frame(head[1].decode(), head[2].decode(), index, raw[head.start(5) : -1], raw, skipped)

    def _drop(self, reason: str) -> Dropped:
        raw = bytes(self._skipped + self._buffer)
        self._skipped.clear()
        self._buffer.clear()
        self._restart()
        self._due = None
        self.drops += 1
        return Dropped(reason, raw)


def write_frame(vendor: str, device: str, index: str | None, content: bytes) -> bytes:
    """A frame of ours, with the exact LEN: a watch ignores any other."""
    middle = b"" if index is None else index.encode("latin-1") + b"*"
    return b"[%s*%s*%s%04X*%s]" % (vendor.encode(), device.encode(), middle, len(content), content)


def unescape(data: bytes) -> bytes | None:
    """Binary content as it was before it was escaped; None when it is none."""
    out = bytearray()
    rest = iter(data)
    for byte in rest:
        if byte == 0x7D:
            plain = _ESCAPED.get(next(rest, -1))
            if plain is None:
                return None
            out.append(plain)
        else:
            out.append(byte)
    return bytes(out)
