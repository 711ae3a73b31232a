"""SIA DC-05 Contact ID as 16-digit blocks, as receivers, DTMF adapters and SIP gateways print them: one a line, or back to back.

Wire: account(4) type(2: 18 or 98) qualifier(1) event(3) group(2) zone or user(3) checksum(1); digits 0-9 and B-F, there is no A.
Checksum: the sum of all 16, 0 counting as 10, is a multiple of 15. It cannot see digits that changed places.
A serial link has no kiss-off of its own: `kiss_off` is what this adapter takes for one, sent once the block is kept.
Source: SIA DC-05-1999.09, clauses 3 and 4; digit weights as in Asterisk's app_alarmreceiver.
"""

import re
from typing import Annotated, Literal

import msgspec

from drivers.contract import Rejected, Signal, Surroundings
from drivers.panel.contact_id_codes import read_payload
from drivers.panel.meaning import MeaningOptions, Meanings
from gateway.event import Kind

REASONS = ("bad_checksum", "bad_length", "bad_digit", "bad_qualifier", "unknown_type", "too_long")
DIGITS = 16
TYPES = ("18", "98")  # equivalent; 17, 27, 55 and 56 are other formats of the same maker
PAUSE_S = 0.3  # digits come at most 200 ms apart: after whole blocks and this pause no digit belongs to them
CUT_S = 3.0  # a block that has begun does not go on: the caller hung up
CALL_S = 30.0  # a caller has tried four times by then; a call in which nothing could be read is told after so long without a digit
NOTICE_S = 600.0  # ... and told at most this often: an adapter on a bad line must not fill the desk
SHOWN = 160  # characters of such a call
MAX_RUN = 64 * DIGITS  # digits without an end of line; a caller waits for the kiss-off after each block
_TONES = str.maketrans("*#ABC", "BCDEF")
_NOTATIONS = {"hex": re.compile(r"[0-9B-F]*"), "dtmf": re.compile(r"[0-9*#ABC]*")}
_LIKE_A_BLOCK = re.compile(rb"[0-9A-Fa-f*# \t-]{8,}")  # so much of one that no other print of the adapter is taken for it
_BLANK = b" \t-"  # between digits, for reading


class ContactIdOptions(MeaningOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Beside dialect, codes and zones (see `meaning`):

    notation  hex: digits and B to F, as receivers print them; dtmf: the keys that were heard, * # A B C
    kiss_off  hex digits of the bytes to send once a block is kept; "06" (ACK); "" when the adapter gives the kiss-off by itself: what cannot be
              stored at once is then held here, as nobody repeats it
    repeat_s  the same block again within this time is a repetition of one call: a caller repeats up to four times within it
    """

    notation: Literal["hex", "dtmf"] = "hex"
    kiss_off: Annotated[str, msgspec.Meta(pattern=r"^([0-9A-Fa-f]{2}){0,16}$", examples=["06"])] = "06"
    repeat_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 20.0


class Token(msgspec.Struct, frozen=True):
    """Of a block; what has none has no kiss-off."""

    block: int


class ContactIdReceiver:
    """One adapter or receiver on one connection."""

    def __init__(self, options: ContactIdOptions | None = None, place: Surroundings | None = None) -> None:
        self._options = options or ContactIdOptions()
        self._place = place or Surroundings()
        self._meanings = Meanings(self._options)
        self._kiss_off = bytes.fromhex(self._options.kiss_off)
        self._digits = _NOTATIONS[self._options.notation]
        self._run = bytearray()
        self._size = 0  # of the run, without what is blank
        self._until: float | None = None
        self._skipping = False  # the rest of a run that was too long
        self._outgoing = bytearray()
        self._unread = ""  # digits of a call in which there was no good block yet
        self._unread_until: float | None = None
        self._told_at: float | None = None
        self._now = 0.0
        self._blocks_read = 0
        self._due: set[int] = set()  # blocks whose kiss-off is waited for, read at the same moment
        self._due_since = 0.0

    @property
    def peer_repeats(self) -> bool:
        """Only where the kiss-off is ours to withhold."""
        return bool(self._kiss_off)

    def receive_data(self, data: bytes, now: float) -> list[Signal | Rejected]:
        """Take any fragment; give the blocks of the lines it completed. Blocks without an end of line are complete after a pause."""
        found = self.handle_deadline(now)
        self._now = now
        for byte in data:
            if byte < 0x20 and byte not in _BLANK:
                found += self._end(now)
            elif not self._skipping:
                found += self._collect(byte)
        if self._run:
            self._until = now + (PAUSE_S if self._size % DIGITS == 0 else CUT_S)
        return found

    def confirm(self, signal: Signal | Rejected) -> None:
        """It is kept: queue the kiss-off. A block that cannot be read gets none, so that it comes again.

        A late one would answer the block after it, perhaps another caller's: then there is none either, and the block comes again.
        """
        if isinstance(signal.token, Token) and signal.token.block in self._due:
            self._due.remove(signal.token.block)
            self._outgoing += self._kiss_off

    def refuse(self, signal: Signal | Rejected, reason: str) -> None:
        """No kiss-off: the caller repeats. What nobody could read is told again later."""
        if isinstance(signal.token, Token):
            self._due.discard(signal.token.block)
        elif isinstance(signal, Signal) and reason in ("store_down", "busy"):
            self._unread, self._unread_until, self._told_at = str(signal.detail["text"]), self._now + CALL_S, None

    def disconnected(self, now: float) -> list[Signal | Rejected]:
        """Nobody calls over this connection any more."""
        return self._unread_call(now) if self._unread else []

    def data_to_send(self) -> bytes:
        out = bytes(self._outgoing)
        self._outgoing.clear()
        return out

    def deadline(self) -> float | None:
        return min((due for due in (self._until, self._unread_until) if due is not None), default=None)

    def handle_deadline(self, now: float) -> list[Signal | Rejected]:
        """The digits have stopped; or the call is over."""
        self._now = now
        found = self._end(now) if self._until is not None and now >= self._until else []
        return found + (self._unread_call(now) if self._unread_until is not None and now >= self._unread_until else [])

    def _collect(self, byte: int) -> list[Signal | Rejected]:
        self._run.append(byte)
        self._size += byte not in _BLANK
        if len(self._run) <= MAX_RUN:
            return []
        raw = bytes(self._run[:MAX_RUN])
        self._end_run()
        self._skipping = True
        return [Rejected(reason="too_long", raw=raw)]

    def _end_run(self) -> None:
        self._run.clear()
        self._size = 0
        self._until = None
        self._skipping = False

    def _end(self, now: float) -> list[Signal | Rejected]:
        raw = bytes(self._run)
        self._end_run()
        found = self._blocks(raw)
        if any(isinstance(one, Signal) for one in found):
            self._unread, self._unread_until = "", None
        elif self._place.line and _LIKE_A_BLOCK.fullmatch(raw):
            self._unread = f"{self._unread} {raw.decode('ascii').strip()}"[-SHOWN:].strip()
            self._unread_until = now + CALL_S
        return found

    def _unread_call(self, now: float) -> list[Signal | Rejected]:
        """Somebody called and could not be understood; who, only the exchange knows."""
        text, self._unread, self._unread_until = self._unread, "", None
        if self._told_at is not None and now - self._told_at < NOTICE_S:
            return []
        self._told_at = now
        what = "call_without_readable_alarm"
        dedup = self._place.recent.key(f"unread {text}", self._options.repeat_s, self._place.utc_now())
        return [Signal(kind=Kind.GENERAL, kind_raw=what, dedup=dedup, detail={"notice": what, "text": text}, raw=text.encode())]

    def _blocks(self, raw: bytes) -> list[Signal | Rejected]:
        """What the digits between two ends say."""
        text = raw.translate(None, _BLANK).decode("latin-1").upper()
        if not text:
            return []
        if not self._digits.fullmatch(text):
            return [Rejected(reason="bad_digit", raw=raw)]
        if len(text) % DIGITS:
            return [Rejected(reason="bad_length", raw=raw, detail=f"{len(text)} digits")]
        blocks = [text[at : at + DIGITS] for at in range(0, len(text), DIGITS)]
        is_dtmf = self._options.notation == "dtmf"
        return [self._read(block.translate(_TONES) if is_dtmf else block, block.encode()) for block in blocks]

    def _read(self, block: str, raw: bytes) -> Signal | Rejected:
        """One block in hex notation."""
        if sum(weight(digit) for digit in block) % 15:
            return Rejected(reason="bad_checksum", raw=raw)
        account, kind_of_message = block[:4], block[4:6]
        if kind_of_message not in TYPES:
            return Rejected(reason="unknown_type", raw=raw, device=account, detail=f"message type {kind_of_message}")
        payload = read_payload(block[6:15]) if block[6] in "136" else None
        if payload is None:
            return Rejected(reason="bad_qualifier", raw=raw, device=account, detail=f"qualifier {block[6]}")
        meaning = self._meanings.contact_id(account, payload)
        known = self._place.knows(account) or self._place.knows(f"{account}:{payload.number}")
        return Signal(
            kind=meaning.kind,
            phase=meaning.phase,
            kind_raw=meaning.kind_raw,
            device=account,
            dedup=self._place.recent.key(block, self._options.repeat_s, self._place.utc_now()),
            integrity="verified",
            detail={"message_type": kind_of_message, **meaning.detail, **({} if known else {"unknown_account": True})},
            raw=raw,
            token=self._token(),
        )

    def _token(self) -> Token:
        if self._due_since != self._now:
            self._due.clear()
            self._due_since = self._now
        self._blocks_read += 1
        self._due.add(self._blocks_read)
        return Token(self._blocks_read)


def weight(digit: str) -> int:
    """What a digit counts in the checksum: 0 is ten, as telephones dial it with ten pulses."""
    return 10 if digit == "0" else int(digit, 16)
