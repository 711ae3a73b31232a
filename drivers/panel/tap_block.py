"""A TAP 1.8 block and its parts: checksum, escaped control characters, fields; reading and writing.

Wire: STX pager-id CR message CR ETX c1 c2 c3 CR. In place of ETX: ETB (the message ends, more follow) or US (it goes on in the next block).
The checksum adds the 7-bit values from STX to the end mark and keeps 12 bits: three characters, high nibble first, each nibble + 0x30.
Source: TAP 1.8 (1997); Zetron and WaveWare manuals; tests/vectors/panel/.
"""

from typing import Literal, NamedTuple

from drivers.panel.pager import PagerOptions

STX, ETX, EOT, LF, CR, ETB, SUB, ESC, US = 0x02, 0x03, 0x04, 0x0A, 0x0D, 0x17, 0x1A, 0x1B, 0x1F
ACKNOWLEDGED, REPEAT, GIVEN_UP, DROPPED = b"\x06\r", b"\x15\r", b"\x1e\r", b"\x1b\x04\r"
ID, GO_AHEAD = b"ID=", b"\x1b[p\r"
END_MARKS = (ETX, ETB, US)
STANDARD_BLOCK = 256  # STX, text, end mark and checksum


class TapOptions(PagerOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Beside those of every pager protocol:

    password_file  of the logon, up to 6 characters; a terminal without one accepts any
    without_logon  the sender's blocks come straight after CR (automatic mode of some nurse-call units)
    data_bits      7: bit 7 is parity or rubbish, and is cleared; 8: it belongs to the text
    """

    password_file: str = ""
    without_logon: bool = False
    data_bits: Literal[7, 8] = 7


class Page(NamedTuple):
    """What stands between STX and the end mark. Of a block that continues a message, pager_id is empty and all is text."""

    pager_id: str
    text: str


def checksum(block: bytes, mask: int = 0x7F) -> bytes:
    """The three characters after `block`, which begins with STX and ends with its end mark. mask: the bits of each that count."""
    total = sum(octet & mask for octet in block)
    return bytes(0x30 + (total >> shift & 0xF) for shift in (8, 4, 0))


def read_page(inner: bytes, charset: str, *, is_continuation: bool) -> Page:
    """Fields end with CR; more than two are one text, with spaces between."""
    fields = [_unescape(field).decode(charset) for field in inner.removesuffix(b"\r").split(b"\r")]
    if is_continuation:
        return Page("", " ".join(fields))
    return Page(fields[0].strip(), " ".join(fields[1:]))


def write_page(pager_id: str, text: str) -> bytes:
    """One whole message as a block; text beyond what the standard allows in one block is left off."""
    block = bytearray([STX, *pager_id.encode("ascii"), CR])
    for octet in text.encode("ascii", "replace"):
        octets = [SUB, octet + 0x40] if octet < 0x20 else [octet]
        if len(block) + len(octets) + 5 > STANDARD_BLOCK:
            break
        block += bytes(octets)
    block += bytes([CR, ETX])
    return bytes(block) + checksum(bytes(block)) + b"\r"


def _unescape(field: bytes) -> bytes:
    out = bytearray()
    is_escaped = False
    for octet in field:
        if octet == SUB and not is_escaped:
            is_escaped = True
            continue
        out.append((octet - 0x40) % 256 if is_escaped and 0x40 <= octet < 0x60 else octet)
        is_escaped = False
    return bytes(out)


def logon_before(message: bytes) -> bytes:
    """A block pasted alone was sent after a logon."""
    return b"\x1bPG1\r" if message[:1] == b"\x02" else b""
