"""Radio buttons through a 433 MHz receiver that prints lines: RFLink style, or a bare 24-bit number as rc-switch boards do.

Wire: `20;SS;PROTOCOL;ID=hex;SWITCH=x;CMD=ON;` CR LF, or `^\\d{1,10}$` CR LF. SS is a hex counter that wraps at FF.
No checksum, so an exact pattern is required; no receipts, so nothing can be refused. Source: RFLink reference; tests/vectors/panel/.
Such buttons are one-way, unsupervised and easily copied, and neighbours' remotes are heard too: only learned ones raise an alarm.
"""

import re

import msgspec

from drivers.contract import Rejected, Signal
from gateway.event import Kind, Phase

MAX_LINE = 512  # the receivers' own lines stay below 200
FOLD_S = 2.0  # one press is sent several times
MAX_PRESSES = 1024  # transmitters remembered for folding; a neighbourhood has fewer
GAP_NOTICE_S = 60.0  # lost lines are told at most this often, added up

_NUMBER = re.compile(r"\d{1,10}")
_RFLINK = re.compile(r"20;([0-9A-Fa-f]{2});([^;=]+);((?:[A-Z0-9_]+=[^;]*;)*)")
_ID = re.compile(r"[0-9A-Fa-f]{1,8}")
_PRINTABLE = re.compile(rb"[\x20-\x7e]*")
_BUTTON_FIELDS = ("ID", "SWITCH", "CMD")


class AsciiButtonOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`learned`: {"ID:SWITCH" or bare number = kind}; an empty kind means sos. Every command of a learned button is a press.

    off_clears: OFF and ALLOFF of a learned button say that its subject is over, for contacts and detectors that send both.
    """

    learned: dict[str, str] = {}
    off_clears: bool = False

    def __post_init__(self) -> None:
        for address, kind in self.learned.items():
            if not re.fullmatch(r"\d{1,10}|[0-9A-Fa-f]{1,8}(:\w{1,8})?", address):
                raise ValueError(f'learned: {address!r} is no address; write "ID:SWITCH" or a bare number')
            if kind and kind not in Kind.__members__.values():
                raise ValueError(f"learned: {address!r}: {kind!r} is not a kind; write sos, help, fall, medical, smoke, … or nothing for sos")

    def kinds(self) -> dict[str, Kind]:
        return {address.upper(): Kind(kind or "sos") for address, kind in self.learned.items()}


class AsciiButtons:
    """One receiver. Every complete line is a signal, a rejection, or the repeat of a press that was told already."""

    peer_repeats = False

    def __init__(self, options: AsciiButtonOptions | None = None, session: str = "") -> None:
        """`session` makes message identities unique over restarts; any text."""
        self._options = options or AsciiButtonOptions()
        self._learned = self._options.kinds()
        self._session = session
        self._line = bytearray()
        self._skipping = False  # the rest of a line that was too long
        self._pressed_at: dict[str, float] = {}
        self._presses = 0
        self._counter: int | None = None
        self._lost = 0
        self._gap_told_at: float | None = None

    def receive_data(self, data: bytes, now: float) -> list[Signal | Rejected]:
        """Take any fragment; give the lines it completed."""
        found: list[Signal | Rejected] = []
        *ends, rest = data.split(b"\n")
        for end in ends:
            found += self._collect(end)
            if not self._skipping:
                found += self._read_line(bytes(self._line).replace(b"\0", b"").removesuffix(b"\r"), now)
            self._line.clear()
            self._skipping = False
        return found + self._collect(rest)

    def confirm(self, signal: Signal | Rejected) -> None:
        """No receipts in this protocol."""

    def refuse(self, signal: Signal | Rejected, reason: str) -> None:
        """Nothing can be refused in this protocol: the line holds the signal."""

    def data_to_send(self) -> bytes:
        return b""

    def deadline(self) -> float | None:
        return None

    def handle_deadline(self, now: float) -> list[Signal | Rejected]:  # noqa: ARG002 - the contract's name
        return []

    def _collect(self, part: bytes) -> list[Signal | Rejected]:
        if self._skipping:
            return []
        self._line += part
        if len(self._line) <= MAX_LINE:
            return []
        raw = bytes(self._line[:MAX_LINE])
        self._line.clear()
        self._skipping = True
        return [Rejected(reason="too_long", raw=raw)]

    def _read_line(self, line: bytes, now: float) -> list[Signal | Rejected]:
        if not line.strip():
            return []
        if not _PRINTABLE.fullmatch(line):
            return [Rejected(reason="unparsable", raw=line)]
        text = line.decode("ascii").strip()
        if _NUMBER.fullmatch(text):
            return self._press(text, {"code": text}, "ON", line, now)
        rflink = _RFLINK.fullmatch(text)
        if rflink is None:
            return [Rejected(reason="cut_line" if text.startswith("20;") and not text.endswith(";") else "unparsable", raw=line)]
        return self._read_rflink(int(rflink[1], 16), rflink[2], rflink[3], line, now)

    def _read_rflink(self, counter: int, protocol: str, rest: str, raw: bytes, now: float) -> list[Signal | Rejected]:
        fields = dict(field.split("=", 1) for field in rest.split(";") if field)
        if "ID" in fields and not _ID.fullmatch(fields["ID"]):
            return [Rejected(reason="bad_id", raw=raw)]
        found: list[Signal | Rejected] = []
        found += self._count(counter, protocol, now)
        if "ID" not in fields:  # version line, PONG, OK: the receiver itself speaks
            return [*found, Signal(kind=Kind.HEARTBEAT, phase=Phase.STATE, detail={"text": protocol}, raw=raw)]
        address = fields["ID"].upper() + (f":{fields['SWITCH'].upper()}" if "SWITCH" in fields else "")
        detail: dict[str, object] = {"protocol": protocol, "id": fields["ID"]}
        detail |= {name.lower(): value for name, value in fields.items() if name not in _BUTTON_FIELDS}
        if "SWITCH" in fields:
            detail["switch"] = fields["SWITCH"]
        if "CMD" in fields:
            detail["cmd"] = fields["CMD"]
            found += self._press(address, detail, fields["CMD"], raw, now)
        elif not self._is_repeat(f"{address} {rest}", now):
            found.append(Signal(kind=Kind.TELEMETRY, phase=Phase.STATE, device=address, dedup=self._identity(), detail=detail, raw=raw))
        if fields.get("BAT") == "LOW" and address in self._learned and not self._is_repeat(f"{address} BAT", now):
            found.append(Signal(kind=Kind.LOW_BATTERY, kind_raw="BAT=LOW", device=address, dedup=self._identity(), detail=detail, raw=raw))
        return found

    def _press(self, address: str, detail: dict[str, object], command: str, raw: bytes, now: float) -> list[Signal | Rejected]:
        """The first of a press; a transmitter that nobody has learned is a sign of life, listed for learning."""
        if self._is_repeat(f"{address} {command}", now):
            return []
        kind = self._learned.get(address)
        if kind is None:
            kind, phase, detail = Kind.BUTTON, Phase.STATE, {**detail, "unlearned": True}
        else:
            phase = Phase.CLEAR if self._options.off_clears and command in ("OFF", "ALLOFF") else Phase.RAISE
        return [Signal(kind=kind, phase=phase, kind_raw=command, device=address, dedup=self._identity(), detail=detail, raw=raw)]

    def _is_repeat(self, what: str, now: float) -> bool:
        """Was the same heard less than FOLD_S after its first? Counted from the first, so that a held button cries on."""
        first = self._pressed_at.get(what)
        if first is not None and now - first < FOLD_S:
            return True
        self._pressed_at.pop(what, None)
        self._pressed_at[what] = now
        if len(self._pressed_at) > MAX_PRESSES:
            del self._pressed_at[next(iter(self._pressed_at))]
        return False

    def _identity(self) -> str:
        """A number per press: a later press is a new cry, never a duplicate."""
        self._presses += 1
        return f"{self._session}-{self._presses}" if self._session else str(self._presses)

    def _count(self, counter: int, protocol: str, now: float) -> list[Signal | Rejected]:
        """A gap in the receiver's counter: lines were lost, and one of them may have been an alarm."""
        before, self._counter = self._counter, counter
        if before is None or counter in (before, (before + 1) % 256) or protocol.startswith("Nodo "):  # the version line starts it anew
            return []
        expected = (before + 1) % 256
        self._lost += (counter - expected) % 256
        if self._gap_told_at is not None and now - self._gap_told_at < GAP_NOTICE_S:
            return []
        lost, self._lost, self._gap_told_at = self._lost, 0, now
        return [Signal(kind=Kind.GAP, phase=Phase.STATE, kind_raw="counter_gap", detail={"lost_lines": lost})]
