"""COMP2 (WaveWare and compatible): pages of nurse-call systems as plain records; as the terminal we take them, as the sender we give them.

Wire: PagerID [A-D] CR message CR; `~` may stand for both CR; DEL DEL DEL clears the parser. 9600 8N1 is usual. No checksum. An empty message is
a tone-only page: still a call. Replies: none, or in verbose mode a line of text, CR, RS after an error.
Since nothing protects the text, every record reaches an operator: one with a strange id, or without its end, as a general alarm of nobody known.
COMP1 (text only) and the "Scope" format are not read. Source: WaveWare manuals; tests/vectors/panel/.
"""

import hashlib
import re

from drivers.contract import Rejected, Signal, Surroundings
from drivers.downlink import Tell
from drivers.panel.one_way import OneWay
from drivers.panel.pager import PagerOptions, PageSender
from drivers.panel.text_rules import kind_of, phase_of
from gateway.event import Kind, Phase

MAX_RECORD = 512  # 256 by the manual; what is longer is told without its rest
INPUT_S = 10.0  # a record without its end
VERDICT_S = 2.0  # as a sender to a verbose terminal: its error comes at once, or never
SAME_S = 2.0  # the same record within this is the same message, like all payloads without an identity
LONGEST_TEXT = 253
PAGER_ID = r"[0-9]{1,10}[A-D]?"
CR, LF, RS, TILDE, DEL = 0x0D, 0x0A, 0x1E, 0x7E, 0x7F

_ID = re.compile(r" *([0-9]{1,10}) *([A-D]?) *")


class Comp2Options(PagerOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Beside those of every pager protocol:

    verbose        the terminal answers errors with a line of text
    """

    verbose: bool = False


class Comp2Terminal(OneWay):
    """One sender on one link. It hears nothing when its page is kept, so the line holds what cannot be stored."""

    def __init__(self, options: Comp2Options | None = None, place: Surroundings | None = None) -> None:
        super().__init__()
        self._options = options or Comp2Options()
        self._place = place or Surroundings()
        self._fields: list[bytes] = []
        self._field = bytearray()
        self._raw = bytearray()
        self._end = CR  # what ends the message: what ended the id
        self._is_skipping = False  # the rest of a record that was too long
        self._dels = 0
        self._due: float | None = None

    def receive_data(self, data: bytes, now: float) -> list[Signal | Rejected]:
        """Take any fragment; give the records it completed."""
        found = self.handle_deadline(now)
        for byte in data:
            found += self._take(byte, now)
        return found

    def deadline(self) -> float | None:
        return self._due

    def handle_deadline(self, now: float) -> list[Signal | Rejected]:
        """A record without its end: what has come of it is told."""
        if self._due is None or now < self._due:
            return []
        return self._end_record("cut_record")

    def _take(self, byte: int, now: float) -> list[Signal | Rejected]:
        if byte == DEL:
            self._dels += 1
            return self._cleared() if self._dels == 3 else []
        self._dels = 0
        is_end = byte in (CR, TILDE) if not self._fields else byte == self._end
        if self._is_skipping:
            if is_end:
                self._clear()
            return []
        if byte in (0, LF) or (byte == CR and not self._raw):  # padding, and CR between records
            return []
        self._raw.append(byte)
        self._due = now + INPUT_S
        if is_end:
            return self._end_field(byte)
        self._field.append(byte)
        if len(self._raw) > MAX_RECORD:
            found = self._end_record("too_long")
            self._is_skipping = True
            return found
        return []

    def _cleared(self) -> list[Signal | Rejected]:
        found = self._end_record("cleared") if self._raw else []
        self._clear()
        return found

    def _end_field(self, byte: int) -> list[Signal | Rejected]:
        self._fields.append(bytes(self._field))
        self._field.clear()
        self._end = byte
        return self._end_record("") if len(self._fields) == 2 else []

    def _end_record(self, fault: str) -> list[Signal | Rejected]:
        """fault: why the record is not whole; "" when it is."""
        fields = [*self._fields, bytes(self._field)] if fault else self._fields
        raw = bytes(self._raw)
        self._clear()
        pager, text = ([field.decode(self._options.charset) for field in fields] + [""])[:2]
        found: list[Signal | Rejected] = [Rejected(reason=fault, raw=raw)] if fault else []
        is_id = _ID.fullmatch(pager)
        if is_id is None:
            if not fault:
                found = [Rejected(reason="bad_id", raw=raw)]
            if self._options.verbose:
                self._outgoing += b"PAGER ID IS NOT 1 TO 10 DIGITS\r\x1e"
            shown = _printable(" ".join((pager, text)))
            if any(letter.isalnum() for letter in shown):
                found.append(self._signal(None, Kind.GENERAL, Phase.RAISE, "bad_id", {"unverified_text": shown}, raw))
            return found
        if fault and len(fields) < 2:  # digits alone may be half of a pager id
            return found
        kind = kind_of(text, self._options.texts) or self._options.default
        detail: dict[str, object] = {"pager_id": is_id[1], **({"function": is_id[2]} if is_id[2] else {}), "text": _printable(text)}
        if fault:
            detail["is_cut"] = True
        found.append(self._signal(is_id[1], kind, phase_of(kind), "page", detail, raw))
        return found

    def _signal(self, device: str | None, kind: Kind, phase: Phase, kind_raw: str, detail: dict[str, object], raw: bytes) -> Signal:
        digest = hashlib.sha256(raw).hexdigest()[:16]  # no text in the books of identities
        dedup = self._place.recent.key(f"page {digest}", SAME_S, self._place.utc_now())
        return Signal(kind=kind, phase=phase, kind_raw=kind_raw, device=device, dedup=dedup, detail=detail, raw=raw)

    def _clear(self) -> None:
        self._fields = []
        self._field.clear()
        self._raw.clear()
        self._end, self._is_skipping, self._due = CR, False, None


class Comp2Sender(PageSender):
    """Gives pages to a terminal. A silent terminal confirms nothing: a page is told when its bytes have left."""

    def __init__(self, options: Comp2Options | None = None) -> None:
        self._options = options or Comp2Options(role="sender")
        super().__init__(PAGER_ID, self._options.words)

    def tell(self, tell: Tell, token: int, now: float) -> None:
        self._add(tell, token)
        if self._due is None:  # no page that the terminal may still complain about
            self._send(now)

    def receive_data(self, data: bytes, now: float) -> list[Signal | Rejected]:
        """RS ends an error of a verbose terminal."""
        if self._due is not None and RS in data:
            self._done("refused")
            self._send(now)
        return self.handle_deadline(now)

    def handle_deadline(self, now: float) -> list[Signal | Rejected]:
        """No complaint: the page is with the terminal."""
        if self._due is not None and now >= self._due:
            self._done("")
            self._send(now)
        return []

    def _send(self, now: float) -> None:
        self._due = None
        while self._pages and self._due is None:
            page = self._pages[0]
            self._outgoing += b"\x7f\x7f\x7f" + f"{page.pager_id}\r{page.text[:LONGEST_TEXT]}\r".encode("ascii")
            if self._options.verbose:
                self._due = now + VERDICT_S
            else:
                self._done("")


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()
