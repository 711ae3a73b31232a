"""TAP 1.8 as the paging terminal: a nurse-call system logs on and sends its pages to us; each is answered after the commit.

Dialogue: CR -> `ID=`; ESC PG1 password CR -> ACK CR, ESC [p CR; block -> ACK CR (kept), NAK CR (again), RS CR (give this one up),
ESC EOT CR (dropped, log on again); EOT CR -> ESC EOT CR. What a block says stands in `tap_block`; we as a sender in `tap_sender`.
The dialogue by hand (`M` after `ID=`) is for people at a keyboard: it is refused like any wrong logon.
"""

import hashlib

import msgspec

from drivers.contract import Rejected, Signal, Surroundings
from drivers.panel.tap_block import (
    ACKNOWLEDGED,
    CR,
    DROPPED,
    END_MARKS,
    EOT,
    ETX,
    GIVEN_UP,
    GO_AHEAD,
    ID,
    LF,
    REPEAT,
    STX,
    US,
    TapOptions,
    checksum,
    read_page,
)
from drivers.panel.text_rules import kind_of, phase_of
from gateway.event import Kind, Phase

__all__ = ["TapOptions", "TapTerminal"]

MAX_BLOCK = 1024  # the standard allows 256; older units send longer ones
MAX_COMMAND = 64  # ESC PG1 and a password of 6
MAX_TEXT = 4096  # of a message in many blocks
BLOCK_S = 6.0  # without a byte the block will not end (Zetron)
TRIES = 3  # wrong checks, wrong logons, failures of the store: the sender tries so often
SAME_S = 2.0  # the same page from the same sender within this is the same message, like all payloads without an identity


class Open(msgspec.Struct, frozen=True):
    """A message whose next block is to come."""

    pager_id: str
    text: str
    kind: Kind


class Token(msgspec.Struct, frozen=True):
    """Where confirm() and refuse() find the block again. `answer` is what to send once it is kept."""

    block: int
    answer: bytes


class TapTerminal:
    """One sender on one link."""

    peer_repeats = True

    def __init__(self, options: TapOptions | None = None, place: Surroundings | None = None, password: str = "") -> None:
        self._options = options or TapOptions()
        self._place = place or Surroundings()
        self._password = password.encode("ascii", "replace")
        self._outgoing = bytearray()
        self._is_logged_on = self._options.without_logon
        self._wrong_logons = 0
        self._command = bytearray()
        self._block: bytearray | None = None
        self._tail: bytearray | None = None  # what follows the end mark: the checksum
        self._heard_at = 0.0
        self._blocks = 0
        self._answer_due: int | None = None  # the block whose answer the sender waits for
        self._is_impatient = False  # the block at hand began before the one before it was answered
        self._bad = 0
        self._refused = 0
        self._open: Open | None = None
        self._last: tuple[bytes, Open | None] = (b"", None)  # the last good block, and what was open before it: to know it again

    def receive_data(self, data: bytes, now: float) -> list[Signal | Rejected]:
        """Take any fragment; give the blocks it completed. The dialogue around them is answered at once."""
        found = self.handle_deadline(now)
        for octet in data:
            byte = octet & 0x7F if self._options.data_bits == 7 else octet
            if byte == STX:
                found += self._restart()
            elif self._tail is not None:
                found += self._take_tail(byte)
            elif self._block is not None:
                found += self._take_block(byte)
            elif byte == CR:
                found += self._end_command()
            elif byte != LF and len(self._command) < MAX_COMMAND:
                self._command.append(byte)
        if data:
            self._heard_at = now
        return found

    def confirm(self, signal: Signal | Rejected) -> None:
        """It is kept: queue ACK CR, or RS CR for a page that never came whole."""
        token = signal.token
        if isinstance(token, Token):
            self._refused = 0
            self._answer(token, token.answer)

    def refuse(self, signal: Signal | Rejected, reason: str) -> None:
        """It could not be kept: NAK CR, the sender repeats; at its third try ESC EOT CR. RS CR when repeating would not help."""
        token = signal.token
        if not isinstance(token, Token):
            return
        if reason not in ("store_down", "busy"):
            self._answer(token, GIVEN_UP)
            return
        self._refused += 1
        if self._refused < TRIES:
            self._answer(token, REPEAT)
        else:
            self._answer(token, DROPPED)
            self._log_off()

    def data_to_send(self) -> bytes:
        out = bytes(self._outgoing)
        self._outgoing.clear()
        return out

    def deadline(self) -> float | None:
        return None if self._block is None else self._heard_at + BLOCK_S

    def handle_deadline(self, now: float) -> list[Signal | Rejected]:
        """A block that does not end is wrong; only the CR after its checksum may be missing."""
        due = self.deadline()
        if due is None or now < due:
            return []
        return self._end_block() if self._tail is not None and len(self._tail) == 3 else self._bad_block("cut_block")

    def _restart(self) -> list[Signal | Rejected]:
        """STX: a block begins, perhaps in the middle of another that the sender gave up."""
        found: list[Signal | Rejected] = [Rejected(reason="restarted", raw=self._raw())] if self._block is not None else []
        self._block, self._tail = bytearray([STX]), None
        self._command.clear()
        self._is_impatient, self._answer_due = self._answer_due is not None, None
        return found

    def _take_block(self, byte: int) -> list[Signal | Rejected]:
        assert self._block is not None
        if byte == EOT:
            found: list[Signal | Rejected] = [Rejected(reason="eot_in_block", raw=self._raw())]
            self._block = None
            self._command.append(EOT)
            return found
        self._block.append(byte)
        if byte in END_MARKS:
            self._tail = bytearray()
        return self._bad_block("too_long") if len(self._block) > MAX_BLOCK else []

    def _take_tail(self, byte: int) -> list[Signal | Rejected]:
        assert self._tail is not None
        if byte == CR:
            return self._end_block()
        self._tail.append(byte)
        return self._bad_block("bad_checksum") if len(self._tail) > 3 else []

    def _end_command(self) -> list[Signal | Rejected]:
        command = bytes(self._command)
        self._command.clear()
        self._answer_due = None
        if not command:
            self._outgoing += ID
        elif command[-1] == EOT:
            self._outgoing += DROPPED
            self._log_off()
        elif command.startswith(b"\x1bPG1") and command[4:] == (self._password or command[4:]):
            self._outgoing += ACKNOWLEDGED + GO_AHEAD
            self._is_logged_on, self._wrong_logons, self._bad, self._refused = True, 0, 0, 0
        else:
            self._wrong_logons += 1
            self._outgoing += REPEAT if self._wrong_logons < TRIES else DROPPED
            self._wrong_logons %= TRIES
            return [Rejected(reason="bad_logon", raw=command[:4] if command[:1] == b"\x1b" else command)]  # no password in the journal
        return []

    def _log_off(self) -> None:
        self._is_logged_on = self._options.without_logon
        self._bad = self._refused = 0
        self._open, self._last = None, (b"", None)

    def _raw(self) -> bytes:
        return bytes(self._block or b"") + bytes(self._tail or b"")

    def _end_block(self) -> list[Signal | Rejected]:
        assert self._block is not None
        assert self._tail is not None
        block, tail, raw = bytes(self._block), bytes(self._tail), self._raw()
        if not self._is_logged_on:
            self._block = self._tail = None
            self._outgoing += DROPPED
            return [Rejected(reason="not_logged_on", raw=raw)]
        if tail not in (checksum(block), checksum(block, 0xFF if self._options.data_bits == 8 else 0x7F)):  # some add all eight bits
            return self._bad_block("bad_checksum")
        self._block = self._tail = None
        self._bad = 0
        is_waited_for = self._is_impatient or self._refused > 0  # nobody told the sender that it was kept
        if raw == self._last[0] and self._open_after(block):
            self._open = self._last[1]  # the same part of a message again
            is_waited_for = True
        return [self._signal(block, raw, is_again=is_waited_for and raw == self._last[0])]

    def _open_after(self, block: bytes) -> bool:
        return block[-1] == US or self._last[1] is not None

    def _signal(self, block: bytes, raw: bytes, *, is_again: bool) -> Signal:
        before = self._open
        page = read_page(block[1:-1], self._options.charset, is_continuation=before is not None)
        pager_id, text = (before.pager_id, (before.text + page.text)[:MAX_TEXT]) if before is not None else page
        kind = kind_of(text, self._options.texts) or self._options.default
        phase = Phase.REPEAT if before is not None and before.kind is kind and phase_of(kind) is Phase.RAISE else phase_of(kind)
        self._last = (raw, before)
        self._open = Open(pager_id, text, kind) if block[-1] == US else None
        detail: dict[str, object] = {"pager_id": pager_id, "text": text}
        if self._open is not None:
            detail["is_continued"] = True
        return Signal(
            kind=kind,
            phase=phase,
            kind_raw="page",
            device=pager_id or None,
            dedup=self._identity(f"{pager_id}\r{text}\r{block[-1]}", is_again=is_again),
            integrity="verified",
            detail=detail,
            raw=raw,
            token=self._token(ACKNOWLEDGED),
        )

    def _bad_block(self, reason: str) -> list[Signal | Rejected]:
        """NAK CR at once: bytes that are wrong need no store. The third time an operator sees what could be read, and the sender goes on."""
        raw = self._raw()
        self._block = self._tail = None
        if not self._is_logged_on:
            self._outgoing += DROPPED
            return [Rejected(reason="not_logged_on", raw=raw)]
        self._bad += 1
        found: list[Signal | Rejected] = [Rejected(reason=reason, raw=raw)]
        if self._bad < TRIES:
            self._outgoing += REPEAT
            return found
        self._bad = 0
        text = raw.strip(bytes([STX, ETX])).decode(self._options.charset, "replace")
        detail: dict[str, object] = {"unverified_text": "".join(letter if letter.isprintable() else " " for letter in text), "reason": reason}
        notice = Signal(kind=Kind.GENERAL, kind_raw="unverified_page", dedup=self._identity(text, is_again=False), detail=detail, raw=raw)
        return [*found, msgspec.structs.replace(notice, token=self._token(GIVEN_UP))]

    def _token(self, answer: bytes) -> Token:
        self._blocks += 1
        self._answer_due = self._blocks
        return Token(self._blocks, answer)

    def _answer(self, token: Token, answer: bytes) -> None:
        """Only while the sender still waits for this very block: a late ACK would be taken for the answer to something else."""
        if self._answer_due == token.block:
            self._outgoing += answer
            self._answer_due = None

    def _identity(self, message: str, *, is_again: bool) -> str:
        digest = hashlib.sha256(message.encode()).hexdigest()[:16]  # no text in the books of identities
        return self._place.recent.key(f"page {digest}", SAME_S, self._place.utc_now(), dup=is_again)
