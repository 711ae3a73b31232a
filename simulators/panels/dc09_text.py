"""DC-09 frames as a dialler writes and reads them: CRC, padding and AES of our own, from the SIA DC-09 facts."""

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

LINE_FEED, RETURN = b"\n", b"\r"
BLOCK = 16  # of AES
TIME = "_%H:%M:%S,%m-%d-%Y"  # UTC, month before day
QUIRKS = ("decimal_length", "lower_hex", "no_line", "nul_after_cr")
_REPLY = re.compile(rb'"(\*?)([A-Z]{3})"(\d{4})(?:R[0-9A-F]*)?(?:L[0-9A-F]*)?(?:#([0-9A-Za-z]+)|A0)?\[(.*)$', re.DOTALL)
_TIME = re.compile(rb"_(\d\d:\d\d:\d\d,\d\d-\d\d-\d{4})")


def crc_arc(data: bytes) -> int:
    """CRC-16/ARC: reflected polynomial A001, start 0. "123456789" gives BB3D."""
    value = 0
    for octet in data:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value


def frame(body: bytes, quirks: frozenset[str] = frozenset()) -> bytes:
    """LF, CRC, length, body, CR. Quirks: length in decimal digits, hex in lower case, a NUL behind."""
    length = f"{len(body):04d}" if "decimal_length" in quirks else f"{len(body):04X}"
    head = f"{crc_arc(body):04X}{length}"
    head = head.lower() if "lower_hex" in quirks else head
    return LINE_FEED + head.encode() + body + RETURN + (b"\0" if "nul_after_cr" in quirks else b"")


def encipher(key: bytes, clear: bytes) -> str:
    """AES-CBC, IV of zeros, upper-case hex. 1 to 16 bytes of padding stand in front; they hold none of | [ ]."""
    pad = bytearray()
    while len(pad) < BLOCK - len(clear) % BLOCK:
        octet = secrets.randbelow(256)
        if octet not in b"|[]":
            pad.append(octet)
    encryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(BLOCK))).encryptor()
    return (encryptor.update(bytes(pad) + clear) + encryptor.finalize()).hex().upper()


def decipher(key: bytes, text: bytes) -> bytes:
    """The clear text behind its padding. ValueError when it is none."""
    cipher = bytes.fromhex(text.decode("ascii"))
    decryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(BLOCK))).decryptor()
    clear = decryptor.update(cipher) + decryptor.finalize()
    for mark in (b"|", b"]"):
        if mark in clear:
            return clear[clear.index(mark) :]
    raise ValueError("no mark in the deciphered text")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a receiver said. sound: CRC and length fit, and an encrypted one could be read. at: its clock, when it told."""

    word: str = ""
    sequence: str = ""
    account: str = ""
    encrypted: bool = False
    sound: bool = False
    at: datetime | None = None


def read_reply(raw: bytes, key: bytes) -> Reply:
    """One frame between LF and CR, without them."""
    try:
        check, length, body = int(raw[:4], 16), int(raw[4:8], 16), raw[8:]
    except ValueError:
        return Reply()
    found = _REPLY.match(body)
    if found is None or check != crc_arc(body) or length != len(body):
        return Reply()
    star, word, sequence, account, rest = found.groups()
    clear, sound = rest, True
    if star:
        try:
            clear = decipher(key, rest) if key else b""
        except ValueError:
            clear = b""
        sound = bool(clear) and _TIME.search(clear) is not None
    stamp = _TIME.search(clear)
    at = datetime.strptime(stamp[1].decode(), TIME[1:]).replace(tzinfo=UTC) if stamp else None
    return Reply(word.decode(), sequence.decode(), (account or b"").decode(), bool(star), sound, at)
