"""ESPA 4.4.4 on the wire, alike in both roles: control bytes, times, and the reader of one block.

Control bytes after ISO 1745, check character (BCC) after ISO 1155: XOR of all bytes after SOH up to and including ETX. The byte after
ETX is always the BCC, whatever its value: nothing here ever acts on it.
"""

from functools import reduce
from operator import xor

import msgspec

SOH, STX, ETX, EOT, ENQ, ACK, NAK, RS, US = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x15, 0x1E, 0x1F
TRANSMISSION_ERROR, BUSY, INVALID = b"1\x15", b"2\x15", b"3\x15"

SELECTION_S = 2.5  # `1 ENQ` and `2 ENQ` belong together within this time (digimat)
BLOCK_S = 15.0  # SOH to ETX (digimat)
BCC_S = 2.0  # ETX to BCC: the usual answer time
SELECTED_S = 15.0  # without a byte the selection is over
ANSWER_S = 2.0  # the other end answers an enquiry or a block within 1 to 2 s
TAKE_BACK_S = 10.0  # the control station takes the line back when nothing valid is said for so long
REPEATS = 2  # after NAK or no answer; then EOT
MAX_BLOCK = 1024  # the standard allows about 200; more without ETX is no block


class Broken(msgspec.Struct, frozen=True):
    """A block that did not end. The reader is closed, but for `restarted`: then the next one has begun."""

    reason: str
    raw: bytes


class BlockReader:
    """Collects one block, byte by byte. Closed until `begin`."""

    def __init__(self) -> None:
        self._block: bytearray | None = None
        self._until = 0.0
        self._bcc_until: float | None = None

    @property
    def is_open(self) -> bool:
        return self._block is not None

    def begin(self, now: float) -> None:
        """SOH was read."""
        self._block = bytearray()
        self._until, self._bcc_until = now + BLOCK_S, None

    def close(self) -> None:
        self._block = self._bcc_until = None

    def take(self, byte: int, now: float) -> bytes | Broken | None:
        """The next byte: the whole block from SOH to BCC, not yet checked; or why it is none; or None: it goes on."""
        assert self._block is not None
        if self._bcc_until is not None:
            raw = bytes([SOH, *self._block, byte])
            self.close()
            return raw
        if byte == EOT:
            return self._broken("eot_in_block")
        if byte == SOH:  # the sender began again
            broken = self._broken("restarted")
            self.begin(now)
            return broken
        self._block.append(byte)
        if byte == ETX:
            self._bcc_until = now + BCC_S
        elif len(self._block) > MAX_BLOCK:
            return self._broken("too_long")
        return None

    def deadline(self) -> float | None:
        if self._bcc_until is not None:
            return self._bcc_until
        return self._until if self._block is not None else None

    def expire(self, now: float) -> Broken | None:
        """The block that did not end in time."""
        due = self.deadline()
        if due is None or now < due:
            return None
        return self._broken("bcc_missing" if self._bcc_until is not None else "no_etx")

    def _broken(self, reason: str) -> Broken:
        broken = Broken(reason, bytes([SOH, *(self._block or b"")]))
        self.close()
        return broken


def is_sound(raw: bytes, data_bits: int) -> bool:
    """Is this block, SOH to BCC, as it was sent?

    On 8-bit links some senders keep bit 7 of the check, some clear it. No character outside the set: below 0x20 only the four
    separators, and no bit 7 on a 7-bit link.
    """
    body, bcc = raw[1:-1], raw[-1]
    check = reduce(xor, body, 0)
    if bcc not in (check, check & 0x7F):
        return False
    return all(byte >= 0x20 or byte in (STX, ETX, RS, US) for byte in body) and (data_bits == 8 or body.isascii())


def compose(header: str, records: dict[str, bytes]) -> bytes:
    """A block to send, SOH to BCC. The data of records hold no control characters; BCC has 7 bits where they have."""
    body = bytes([RS]).join(key.encode() + bytes([US]) + data for key, data in records.items())
    checked = header.encode() + bytes([STX]) + body + bytes([ETX])
    return bytes([SOH]) + checked + bytes([reduce(xor, checked)])
