"""One end of an ESPA 4.4.4 link, alike in both roles: blocks that come in, what is answered and when, and what we have to tell.

A role (station, control station) adds whose turn it is: what enquiries mean, and when the line is ours.
"""

from abc import ABC, abstractmethod
from enum import Enum

import msgspec

from drivers.contract import Rejected, Signal, Surroundings
from drivers.downlink import Tell, Word
from drivers.panel.espa_block import BlockError, Meaning, read_block
from drivers.panel.espa_calls import Call, CallBook
from drivers.panel.espa_link import ACK, BUSY, EOT, INVALID, SOH, TRANSMISSION_ERROR, BlockReader, Broken, is_sound
from drivers.panel.espa_options import EspaOptions
from drivers.panel.espa_sender import Sender
from drivers.panel.espa_supervision import Presence
from drivers.panel.espa_words import STATUS, can_say, status_of, words
from gateway.event import Kind, Phase

RETRANSMIT_S = 10.0  # the control station takes the line back after 10 s: the same block within it is a lost ACK
UNSELECTED_RETRANSMIT_S = 2.0  # without a selection around it: the rule for payloads without any identity
BAD_IN_A_ROW = 3  # so many blocks with a wrong check in a row are a notice about the line

Found = list[Signal | Rejected]


class Hearing(Enum):
    """For whom a block is."""

    SELECTED = "selected"
    ANYWAY = "anyway"  # not selected, but lenient
    NOT_SELECTED = "not_selected"
    ELSEWHERE = "elsewhere"  # for another station: nothing of it is ours


class Token(msgspec.Struct, frozen=True):
    """Where confirm() and refuse() find the block again. `answer` is what to send once it is kept; `by`: the station that sent it."""

    block: int
    answer: bytes
    call: Call | None = None
    asks_status: bool = False
    by: int | None = None


class EspaEnd(ABC):
    """Receipts go out only through confirm(); a block with a wrong BCC needs no store and is refused at once."""

    peer_repeats = True

    def __init__(self, options: EspaOptions, place: Surroundings, before_enquiry: bytes) -> None:
        self._options = options
        self._address = options.own_address
        self._session = place.session  # makes message identities unique over restarts
        self._is_placed = bool(place.line)  # outside a line (`gateway decode`) nobody is polled or missed
        self._book: CallBook = place.memory or CallBook()
        self._reader = BlockReader()
        self._sender = Sender(before_enquiry)
        self._presence = Presence()
        self._outgoing = bytearray()
        self._digit: int | None = None  # the byte just before this one, when it was a digit
        self._caller: int | None = None  # who has selected us
        self._blocks = 0
        self._answer_due: int | None = None  # the block whose answer the sender is waiting for now
        self._last: tuple[bytes, float, str] | None = None  # block, when, identity: to know a retransmission
        self._bad = 0
        self._now = 0.0

    # --- what a role adds

    @abstractmethod
    def _hearing(self) -> Hearing:
        """For whom would a block be now?"""

    @abstractmethod
    def _enquiry(self, digit: int | None, now: float) -> None:
        """ENQ, after this digit."""

    @abstractmethod
    def _idle(self, now: float) -> None:
        """The line is free: EOT, a block that broke off, an errand that is done."""

    @abstractmethod
    def _role_deadline(self) -> float | None: ...

    @abstractmethod
    def _handle_role_deadline(self, now: float) -> None: ...

    @abstractmethod
    def _heard(self, now: float) -> None:
        """A sound block was for us."""

    # --- the contract of a codec

    def connected(self, now: float) -> None:
        """The link stands: the control station polls, a station begins to miss its polls."""
        self._now = now
        self._handle_role_deadline(now)

    def receive_data(self, data: bytes, now: float) -> Found:
        """Take any fragment; give the blocks it completed. Poll and selection replies are queued at once."""
        found = self.handle_deadline(now)
        for byte in data:
            found += self._take_block_byte(byte, now) if self._reader.is_open else self._take_control(byte, now)
        return found + self._presence.signals(now)

    def confirm(self, signal: Signal | Rejected) -> None:
        """It is kept: queue ACK, or `3` NAK for a block that we could not use."""
        token = signal.token
        if not isinstance(token, Token):
            return
        if isinstance(signal, Signal) and token.call is not None:
            self._book.keep(token.call, signal.kind, signal.phase, token.by, self._now)
        if self._answer(token, token.answer) and token.asks_status and signal.device is not None:
            station = token.by if token.by is not None else self._options.usual_peer
            self._sender.add(station, status_of(signal.device, self._book.status(signal.device), self._options), None, self._now)

    def refuse(self, signal: Signal | Rejected, reason: str) -> None:
        """It could not be kept: queue `2` NAK, the sender repeats; `3` NAK when repeating would not help."""
        token = signal.token
        if isinstance(token, Token):
            self._answer(token, BUSY if reason in ("store_down", "busy") else INVALID)
        elif isinstance(signal, Signal) and signal.kind is Kind.OFFLINE:
            self._presence.refused(signal.device, self._now)

    def data_to_send(self) -> bytes:
        out = bytes(self._outgoing) + self._sender.data_to_send()
        self._outgoing.clear()
        return out

    def deadline(self) -> float | None:
        times = (self._reader.deadline(), self._sender.deadline(), self._presence.deadline(), self._role_deadline())
        return min((time for time in times if time is not None), default=None)

    def handle_deadline(self, now: float) -> Found:
        """Drop a block that does not end; repeat what was not answered; take or give back the line."""
        self._now = now
        found: Found = []
        broken = self._reader.expire(now)
        if broken is not None:
            found += self._note(broken)
            self._forget(now)
        was_busy = self._sender.is_busy
        self._sender.expire(now)
        if was_busy and not self._sender.is_busy:
            self._forget(now)
        self._handle_role_deadline(now)
        return found + self._presence.signals(now)

    # --- the contract of a teller

    def can_tell(self, device: str, word: Word) -> bool:
        """Has this address called over this line, and is there a word for it?"""
        return can_say(word, self._options) and self._book.knows(device)

    def tell(self, tell: Tell, token: int, now: float) -> None:
        """Queue it until the line is ours: as station when we are polled next, as control station after the present dialogue."""
        self._now = now
        if tell.word in STATUS:
            self._book.stands(tell.device, STATUS[tell.word])
        station = self._book.brought_by(tell.device)
        self._sender.add(station if station is not None else self._options.usual_peer, words(tell, self._options), token, now)

    def told(self) -> list[tuple[int, str]]:
        return self._sender.told()

    # --- bytes

    def _take_control(self, byte: int, now: float) -> Found:
        digit, self._digit = self._digit, byte if 0x30 <= byte <= 0x39 else None
        if self._digit is not None:
            return []
        if self._sender.is_busy and self._sender.take(byte, digit, now):
            if not self._sender.is_busy:
                self._forget(now)
            return []
        if byte == EOT:
            self._forget(now)
        elif byte == 0x05:
            self._answer_due = None
            self._enquiry(digit, now)
        elif byte == SOH:
            self._answer_due = None
            self._reader.begin(now)
        return []

    def _forget(self, now: float) -> None:
        """The dialogue is over: nobody waits for an answer, and the same block is a new message in the next."""
        self._reader.close()
        self._digit = self._answer_due = self._last = self._caller = None
        self._idle(now)

    def _take_block_byte(self, byte: int, now: float) -> Found:
        read = self._reader.take(byte, now)
        if isinstance(read, bytes):
            return self._end_block(read, now)
        if read is None:
            return []
        found = self._note(read)
        if not self._reader.is_open:
            self._forget(now)
        return found

    def _note(self, broken: Broken) -> Found:
        """Nothing when it was meant for another station."""
        return [] if self._hearing() is Hearing.ELSEWHERE else [Rejected(reason=broken.reason, raw=broken.raw)]

    def _end_block(self, raw: bytes, now: float) -> Found:
        hearing = self._hearing()
        if hearing is Hearing.ELSEWHERE:
            return []
        if hearing is Hearing.NOT_SELECTED:
            return [Rejected(reason="not_selected", raw=raw)]
        if not is_sound(raw, self._options.data_bits):
            return self._bad_block(raw)
        self._heard(now)
        found = self._good_line()
        self._blocks += 1
        self._answer_due = self._blocks
        try:
            meaning = read_block(raw[1:-1], self._options)
        except BlockError as error:
            rejected = Rejected(reason=error.reason, raw=raw, device=error.address, detail=error.text, token=Token(self._blocks, INVALID))
            return [*found, *self._notice(error, raw, now), rejected]  # the refusal last: the sender gives up once it has heard it
        return [*found, self._signal(meaning, raw, now)]

    def _notice(self, error: BlockError, raw: bytes, now: float) -> Found:
        """A sound block that says something, only not what we understand: it may be a call, so people see its text. Nothing outside a line."""
        said = raw[1:-2].decode(self._options.charset) if error.reason in ("unknown_header", "bad_format") else error.text
        text = "".join(letter if letter.isprintable() else " " for letter in said).strip()
        if not self._is_placed or not text:
            return []
        return [
            Signal(
                kind=Kind.GENERAL,
                kind_raw=error.reason,
                device=error.address,
                dedup=self._identity(raw, now),
                integrity="verified",
                detail={"notice": error.reason, "text": text},
                raw=raw,
            )
        ]

    def _signal(self, meaning: Meaning, raw: bytes, now: float) -> Signal:
        kind, phase, call = meaning.kind, meaning.phase, None
        if meaning.is_call:
            call = (meaning.address or "", meaning.text)
            heard = self._book.heard(call, is_cancel=phase is Phase.CLEAR)
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
            token=Token(self._blocks, bytes([ACK]), call, meaning.asks_status, self._caller),
        )

    def _identity(self, raw: bytes, now: float) -> str:
        """The same block again in one selection is a retransmission; in another, or later, a new message."""
        window = RETRANSMIT_S if self._hearing() is Hearing.SELECTED else UNSELECTED_RETRANSMIT_S
        if self._last is None or self._last[0] != raw or now - self._last[1] > window:
            name = f"{self._session}-{self._blocks}" if self._session else str(self._blocks)
            self._last = (raw, now, name)
        return self._last[2]

    def _answer(self, token: Token, answer: bytes) -> bool:
        """Only while the sender still waits for this very block: a late ACK would be taken for the answer to something else."""
        if self._answer_due != token.block:
            return False
        self._outgoing += answer
        self._answer_due = None
        return True

    def _bad_block(self, raw: bytes) -> Found:
        self._outgoing += TRANSMISSION_ERROR
        self._bad += 1
        found: Found = [Rejected(reason="bad_bcc", raw=raw)]
        if self._bad == BAD_IN_A_ROW:
            found.append(_line_quality(Phase.RAISE, raw))
        return found

    def _good_line(self) -> Found:
        bad, self._bad = self._bad, 0
        return [_line_quality(Phase.CLEAR, b"")] if bad >= BAD_IN_A_ROW else []


def _line_quality(phase: Phase, raw: bytes) -> Signal:
    return Signal(kind=Kind.FAULT, phase=phase, kind_raw="line_quality", detail={"bad_blocks_in_a_row": BAD_IN_A_ROW}, raw=raw)
