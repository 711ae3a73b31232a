"""ESPA 4.4.4 (1984) as paging equipment: a nurse-call system or PABX calls us over a serial link and waits for our receipt.

This is the station role: we are polled and selected, by default as address 2. The control-station role (polling others,
and sending call status back) is not here yet.
Control bytes after ISO 1745; check character (BCC) after ISO 1155. What the bytes of a block say stands in `espa_block`.
"""

from enum import Enum

import msgspec

from drivers.contract import Rejected, Signal
from drivers.panel.espa_block import BlockError, EspaOptions, Meaning, read_block
from gateway.event import Kind, Phase

__all__ = ["EspaOptions", "EspaStation"]

SOH, STX, ETX, EOT, ENQ, ACK, NAK, RS, US = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x15, 0x1E, 0x1F
TRANSMISSION_ERROR, BUSY, INVALID = b"1\x15", b"2\x15", b"3\x15"

SELECTION_S = 2.5  # `1 ENQ` and `2 ENQ` belong together within this time (digimat)
BLOCK_S = 15.0  # SOH to ETX (digimat)
BCC_S = 2.0  # ETX to BCC: the usual answer time
SELECTED_S = 15.0  # without a byte the selection is over
MAX_BLOCK = 1024  # the standard allows about 200; more without ETX is no block
RETRANSMIT_S = 10.0  # the control station takes the line back after 10 s: the same block within it is a lost ACK
UNSELECTED_RETRANSMIT_S = 2.0  # without a selection around it: the rule for payloads without any identity
BAD_IN_A_ROW = 3  # so many blocks with a wrong check in a row are a notice about the line
MAX_OPEN_CALLS = 1000  # a building has fewer rooms; the oldest is forgotten, and its repeat is then a new raise


class State(Enum):
    IDLE = "idle"
    SELECTED = "selected"


class Token(msgspec.Struct, frozen=True):
    """Where confirm() and refuse() find the block again. `answer` is what to send once it is kept."""

    block: int
    answer: bytes
    call: tuple[str, str] | None = None


class EspaStation:
    """One station on one link. Receipts go out only through confirm(); a block with a wrong BCC needs no store and is refused at once."""

    peer_repeats = True

    def __init__(self, options: EspaOptions | None = None, session: str = "") -> None:
        """`session` makes message identities unique over restarts; any text."""
        self._options = options or EspaOptions()
        self._address = ord(self._options.address)
        self._session = session
        self._outgoing = bytearray()
        self._state = State.IDLE
        self._selected_until = 0.0
        self._digit: int | None = None  # the byte just before this one, when it was a digit
        self._pair_until: float | None = None  # an address other than ours was followed by ENQ
        self._elsewhere = False  # somebody else is selected: blocks are not for us
        self._block: bytearray | None = None
        self._block_until = 0.0
        self._bcc_until: float | None = None
        self._blocks = 0
        self._answer_due: int | None = None  # the block whose answer the sender is waiting for now
        self._last: tuple[bytes, float, str] | None = None  # block, when, identity: to know a retransmission
        self._bad = 0
        self._open: dict[tuple[str, str], tuple[Kind, float]] = {}  # (address, text) -> kind, when heard last
        self._now = 0.0

    def receive_data(self, data: bytes, now: float) -> list[Signal | Rejected]:
        """Take any fragment; give the blocks it completed. Poll and selection replies are queued at once."""
        found = self.handle_deadline(now)
        for byte in data:
            if self._block is None:
                self._take_control(byte, now)
            elif self._bcc_until is not None:  # whatever its value: EOT or ETX here is a check character
                found += self._end_block(byte, now)
            else:
                found += self._take_block_byte(byte, now)
        if self._state is State.SELECTED and data:
            self._selected_until = now + SELECTED_S
        return found

    def confirm(self, signal: Signal | Rejected) -> None:
        """It is kept: queue ACK, or `3` NAK for a block that we could not use."""
        token = signal.token
        if not isinstance(token, Token):
            return
        if isinstance(signal, Signal) and token.call is not None:
            self._remember(signal, token.call)
        self._answer(token, token.answer)

    def refuse(self, signal: Signal | Rejected, reason: str) -> None:
        """It could not be kept: queue `2` NAK, the sender repeats; `3` NAK when repeating would not help."""
        token = signal.token
        if isinstance(token, Token):
            self._answer(token, BUSY if reason in ("store_down", "busy") else INVALID)

    def data_to_send(self) -> bytes:
        out = bytes(self._outgoing)
        self._outgoing.clear()
        return out

    def deadline(self) -> float | None:
        if self._bcc_until is not None:
            return self._bcc_until
        if self._block is not None:
            return self._block_until
        return self._selected_until if self._state is State.SELECTED else None

    def handle_deadline(self, now: float) -> list[Signal | Rejected]:
        """Drop a block that does not end, and a selection in which nothing is said."""
        self._now = now
        due = self.deadline()
        if due is None or now < due:
            return []
        reason = "bcc_missing" if self._bcc_until is not None else "no_etx"
        return self._drop_block(reason)

    def _take_control(self, byte: int, now: float) -> None:
        digit, self._digit = self._digit, None
        if byte == EOT:
            self._idle()
        elif byte == ENQ:
            self._enquiry(digit, now)
        elif byte == SOH:
            self._start_block(now)
        elif 0x30 <= byte <= 0x39:
            self._digit = byte

    def _enquiry(self, digit: int | None, now: float) -> None:
        """`2 ENQ` alone is a poll; after `x ENQ` with no EOT between it is a selection."""
        self._answer_due = None
        if digit is None and not self._options.lenient:
            return
        paired = self._pair_until is not None and now <= self._pair_until
        if digit is not None and digit != self._address:
            self._elsewhere = paired and not self._options.lenient
            self._state = State.IDLE
            self._pair_until = now + SELECTION_S
        elif paired or self._options.lenient or self._state is State.SELECTED:
            self._idle()
            self._state = State.SELECTED
            self._selected_until = now + SELECTED_S
            self._outgoing.append(ACK)
        else:
            self._outgoing.append(EOT)

    def _idle(self) -> None:
        self._state = State.IDLE
        self._block = self._bcc_until = self._digit = self._pair_until = self._answer_due = self._last = None
        self._elsewhere = False

    def _start_block(self, now: float) -> None:
        self._block = bytearray()
        self._block_until = now + BLOCK_S
        self._answer_due = None

    def _take_block_byte(self, byte: int, now: float) -> list[Signal | Rejected]:
        assert self._block is not None
        if byte == EOT:
            return self._drop_block("eot_in_block")
        if byte == SOH:  # the sender began again
            found = self._note("restarted")
            self._start_block(now)
            return found
        self._block.append(byte)
        if byte == ETX:
            self._bcc_until = now + BCC_S
        elif len(self._block) > MAX_BLOCK:
            return self._drop_block("too_long")
        return []

    def _drop_block(self, reason: str) -> list[Signal | Rejected]:
        found = self._note(reason)
        self._idle()
        return found

    def _note(self, reason: str) -> list[Signal | Rejected]:
        """A Rejected for the unfinished block; nothing when there is none, or when it was meant for another station."""
        if self._block is None or self._elsewhere:
            return []
        return [Rejected(reason=reason, raw=bytes([SOH, *self._block]))]

    def _end_block(self, bcc: int, now: float) -> list[Signal | Rejected]:
        assert self._block is not None
        body = bytes(self._block)
        self._block = self._bcc_until = None
        if self._elsewhere:
            return []
        raw = bytes([SOH, *body, bcc])
        if self._state is State.IDLE and not self._options.lenient:
            return [Rejected(reason="not_selected", raw=raw)]
        if not _check_fits(body, bcc) or not _only_text(body, self._options.data_bits):
            return self._bad_block(raw)
        found = self._good_line()
        self._blocks += 1
        self._answer_due = self._blocks
        try:
            meaning = read_block(body, self._options)
        except BlockError as error:
            token = Token(self._blocks, INVALID)
            return [*found, Rejected(reason=error.reason, raw=raw, device=error.address, detail=error.text, token=token)]
        return [*found, self._signal(meaning, raw, now)]

    def _signal(self, meaning: Meaning, raw: bytes, now: float) -> Signal:
        kind, phase, call = meaning.kind, meaning.phase, None
        if meaning.is_call:
            call = (meaning.address or "", meaning.text)
            heard = self._heard(call) if phase is Phase.CLEAR else self._open.get(call)
            if heard is not None and phase is Phase.CLEAR:
                kind = heard[0]
            elif heard is not None and now - heard[1] <= self._options.repeat_within_s:
                phase = Phase.REPEAT
        return Signal(
            kind=kind,
            phase=phase,
            kind_raw=meaning.kind_raw,
            device=meaning.address,
            dedup=self._identity(raw, now),
            integrity="verified",
            detail=meaning.detail,
            raw=raw,
            token=Token(self._blocks, bytes([ACK]), call),
        )

    def _identity(self, raw: bytes, now: float) -> str:
        """The same block again in one selection is a retransmission; in another, or later, a new message."""
        window = RETRANSMIT_S if self._state is State.SELECTED else UNSELECTED_RETRANSMIT_S
        if self._last is None or self._last[0] != raw or now - self._last[1] > window:
            name = f"{self._session}-{self._blocks}" if self._session else str(self._blocks)
            self._last = (raw, now, name)
        return self._last[2]

    def _heard(self, call: tuple[str, str]) -> tuple[Kind, float] | None:
        """The open call that a cancel means: same address, and same text if the cancel has one."""
        return next((heard for key, heard in reversed(self._open.items()) if _cancels(call, key)), None)

    def _remember(self, signal: Signal, call: tuple[str, str]) -> None:
        if signal.phase is Phase.CLEAR:
            self._open = {key: heard for key, heard in self._open.items() if not _cancels(call, key)}
            return
        self._open.pop(call, None)
        self._open[call] = (signal.kind, self._now)
        if len(self._open) > MAX_OPEN_CALLS:
            del self._open[next(iter(self._open))]

    def _answer(self, token: Token, answer: bytes) -> None:
        """Only while the sender still waits for this very block: a late ACK would be taken for the answer to something else."""
        if self._answer_due == token.block:
            self._outgoing += answer
            self._answer_due = None

    def _bad_block(self, raw: bytes) -> list[Signal | Rejected]:
        self._outgoing += TRANSMISSION_ERROR
        self._bad += 1
        found: list[Signal | Rejected] = [Rejected(reason="bad_bcc", raw=raw)]
        if self._bad == BAD_IN_A_ROW:
            found.append(_line_quality(Phase.RAISE, raw))
        return found

    def _good_line(self) -> list[Signal | Rejected]:
        bad, self._bad = self._bad, 0
        return [_line_quality(Phase.CLEAR, b"")] if bad >= BAD_IN_A_ROW else []


def selection_before(message: bytes) -> bytes:
    """A block pasted alone was sent within a selection of whichever station: select us as the default address."""
    return b"\x041\x052\x05" if message[:1] == b"\x01" else b""


def _check_fits(body: bytes, bcc: int) -> bool:
    """XOR of all bytes after SOH up to and including ETX. On 8-bit links some senders keep bit 7 of the result, some clear it."""
    check = 0
    for byte in body:
        check ^= byte
    return bcc in (check, check & 0x7F)


def _only_text(body: bytes, data_bits: int) -> bool:
    """No character outside the set: only the four separators below 0x20, and no bit 7 on a 7-bit link."""
    return all(byte >= 0x20 or byte in (STX, ETX, RS, US) for byte in body) and (data_bits == 8 or body.isascii())


def _cancels(cancel: tuple[str, str], call: tuple[str, str]) -> bool:
    return cancel[0] == call[0] and cancel[1] in ("", call[1])


def _line_quality(phase: Phase, raw: bytes) -> Signal:
    return Signal(kind=Kind.FAULT, phase=phase, kind_raw="line_quality", detail={"bad_blocks_in_a_row": BAD_IN_A_ROW}, raw=raw)
