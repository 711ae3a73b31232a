"""Frames of JT/T 808: cutting them out of a stream, escapes, check, the headers of 2011, 2013 and 2019, and building ours.

Wire: 7E | header | body | check(1) | 7E; between the two 7E stand 7D 02 for 7E and 7D 01 for 7D. Check: XOR of header and body, before escaping.
Source: JT/T 808-2011, -2013 and -2019, chapter 4.4.
"""

from functools import reduce
from operator import xor

import msgspec

MARK, ESCAPE = 0x7E, 0x7D
MAX_FRAME = 2048  # octets after unescaping; a body has at most 1,023
MAX_PIECE = 2 * MAX_FRAME  # every octet may be escaped
INCOMPLETE_S = 30.0
MAX_BODY = 1023


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """identity: the 6 (2019: 10) octets as sent. parts: (how many, which one from 1) of a message in sub-packages."""

    message: int
    is_2019: bool
    version: int
    identity: bytes
    serial: int
    is_encrypted: bool = False
    parts: tuple[int, int] | None = None

    @property
    def device(self) -> str:
        """Decimal without leading zeros, the same in every edition; some trackers pack another number: then the hex text."""
        text = self.identity.hex().upper()
        return text.lstrip("0") or "0" if text.isdecimal() else text


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One whole frame whose check fits. raw: as it was sent."""

    header: Header
    body: bytes
    raw: bytes


class Bad(msgspec.Struct, frozen=True):
    """bad_escape, bad_check, bad_length or too_long."""

    reason: str
    raw: bytes


class Frames:
    """Cuts a stream at 7E; frames may share one, and nothing between two is nothing."""

    def __init__(self) -> None:
        self._piece: bytearray | None = None  # since the last 7E; None: before the first one
        self._is_too_long = False
        self._since: float | None = None

    def feed(self, data: bytes, now: float) -> list[Message | Bad]:
        """What these octets completed, in order."""
        found: list[Message | Bad] = []
        first, *others = data.split(b"\x7e")
        self._take(first, found)
        for other in others:
            if self._piece and not self._is_too_long:
                found.append(parse(bytes(self._piece)))
            self._piece, self._is_too_long = bytearray(), False
            self._take(other, found)
        if not self._piece:
            self._since = None
        elif others or self._since is None:
            self._since = now
        return found

    def deadline(self) -> float | None:
        return None if self._since is None else self._since + INCOMPLETE_S

    def expire(self, now: float) -> list[Message | Bad]:
        """Drop a frame that does not end."""
        due = self.deadline()
        if due is None or now < due or self._piece is None:
            return []
        raw, self._piece, self._since = bytes([MARK, *self._piece]), None, None
        return [Bad("incomplete", raw)]

    def _take(self, data: bytes, found: list[Message | Bad]) -> None:
        if self._piece is None or self._is_too_long or not data:
            return
        self._piece += data[: MAX_PIECE + 1 - len(self._piece)]
        if len(self._piece) > MAX_PIECE:
            found.append(Bad("too_long", bytes([MARK, *self._piece[:MAX_PIECE]])))
            self._piece, self._is_too_long = bytearray(), True


def parse(piece: bytes) -> Message | Bad:
    """What stands between two 7E."""
    raw = bytes([MARK]) + piece + bytes([MARK])
    data = unescape(piece)
    if data is None:
        return Bad("bad_escape", raw)
    if len(data) > MAX_FRAME:
        return Bad("too_long", raw)
    if reduce(xor, data, 0) != 0:  # the check octet itself included
        return Bad("bad_check", raw)
    properties = int.from_bytes(data[2:4])
    is_2019, has_parts = bool(properties & 1 << 14), bool(properties & 1 << 13)
    at = 5 if is_2019 else 4
    end = at + (10 if is_2019 else 6)
    start = end + 2 + (4 if has_parts else 0)
    body = data[start:-1]
    if len(data) < start + 1 or len(body) != properties & 0x3FF:
        return Bad("bad_length", raw)
    header = Header(
        message=int.from_bytes(data[:2]),
        is_2019=is_2019,
        version=data[4] if is_2019 else 0,
        identity=data[at:end],
        serial=int.from_bytes(data[end : end + 2]),
        is_encrypted=bool(properties & 0b111 << 10),
        parts=(int.from_bytes(data[end + 2 : end + 4]), int.from_bytes(data[end + 4 : start])) if has_parts else None,
    )
    return Message(header=header, body=body, raw=raw)


def build(to: Header, message: int, body: bytes, serial: int) -> bytes:
    """A frame of ours, in the edition and with the identity of the terminal that it goes to."""
    properties = len(body[:MAX_BODY]) | (1 << 14 if to.is_2019 else 0)
    version = bytes([to.version]) if to.is_2019 else b""
    data = message.to_bytes(2) + properties.to_bytes(2) + version + to.identity + serial.to_bytes(2) + body[:MAX_BODY]
    return bytes([MARK]) + escape(data + bytes([reduce(xor, data)])) + bytes([MARK])


def escape(data: bytes) -> bytes:
    """30 7E 08 7D 55 travels as 30 7D 02 08 7D 01 55 (the standard's example)."""
    return data.replace(b"\x7d", b"\x7d\x01").replace(b"\x7e", b"\x7d\x02")


def unescape(data: bytes) -> bytes | None:
    """None when 7D is followed by anything but 01 or 02."""
    first, *others = data.split(b"\x7d")
    out = bytearray(first)
    for other in others:
        if other[:1] not in (b"\x01", b"\x02"):
            return None
        out.append(ESCAPE if other[0] == 1 else MARK)
        out += other[1:]
    return bytes(out)
