"""Radio buttons through a 433 MHz receiver that prints lines: RFLink style, or a bare 24-bit number as rc-switch boards do.

Wire: `20;SS;PROTOCOL;ID=hex;SWITCH=x;CMD=ON;` CR LF, or `^\\d{1,10}$` CR LF. SS is a hex counter that wraps at FF.
No checksum, so an exact pattern is required; no receipts, so nothing can be refused. Source: RFLink reference; tests/vectors/panel/.
Such buttons are one-way, unsupervised and easily copied, and neighbours' remotes are heard too: only learned ones raise an alarm.
"""

import re
from collections import deque

import msgspec

from drivers.contract import Rejected, Signal
from drivers.panel.lines import LineListener
from gateway.event import Kind, Phase

GAP_NOTICE_S = 60.0  # lost lines are told at most this often, added up
GAPS, GAPS_S = 3, 600.0  # so many gaps in so long are a notice about the receiver; so long without one ends it

_NUMBER = re.compile(r"\d{1,10}")
_RFLINK = re.compile(r"20;([0-9A-Fa-f]{2});([^;=]+);((?:[A-Za-z0-9_]+=[^;]*;)*)")
_RECEIVER = re.compile(r"20;([0-9A-Fa-f]{2});((?!.*\bID=)[^;]+(?:;[^;]*)*);")  # it speaks of itself: version, settings, PONG, OK
_ID = re.compile(r"[0-9A-Fa-f]{1,8}")
_PRINTABLE = re.compile(rb"[\x20-\x7e]*")
_BUTTON_FIELDS = ("ID", "SWITCH", "CMD")
_OFF = ("OFF", "ALLOFF", "SMOKEALERT=OFF", "PIR=OFF")
_PRESS_FIELDS = ("CHIME", "SMOKEALERT", "PIR")  # what bell buttons, smoke and motion detectors say in place of CMD


class AsciiButtonOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`learned`: {"ID:SWITCH" or bare number = kind}; an empty kind means sos. Every command of a learned button is a press.

    off_clears: OFF, ALLOFF and the OFF of a detector say that its subject is over, for contacts and detectors that send both.
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


class AsciiButtons(LineListener):
    """One receiver. Every complete line is a signal, a rejection, or the repeat of a press that was told already."""

    def __init__(self, options: AsciiButtonOptions | None = None, session: str = "") -> None:
        """`session` makes message identities unique over restarts; any text."""
        super().__init__(session)
        self._options = options or AsciiButtonOptions()
        self._learned = self._options.kinds()
        self._counter: int | None = None
        self._lost = 0
        self._gap_told_at: float | None = None
        self._gaps_at: deque[float] = deque(maxlen=GAPS)
        self._is_lossy = False

    def read_line(self, line: bytes, now: float) -> list[Signal | Rejected]:
        if not _PRINTABLE.fullmatch(line):
            return [Rejected(reason="unparsable", raw=line)]
        text = line.decode("ascii").strip()
        if _NUMBER.fullmatch(text):
            return self._press(text, {"code": text}, "ON", line, now)
        receiver, rflink = _RECEIVER.fullmatch(text), _RFLINK.fullmatch(text)
        if receiver is not None:
            gap = self._count(int(receiver[1], 16), receiver[2], now)
            return [*gap, Signal(kind=Kind.HEARTBEAT, phase=Phase.STATE, detail={"text": receiver[2]}, raw=line)]
        if rflink is None:
            return [Rejected(reason="cut_line" if text.startswith("20;") and not text.endswith(";") else "unparsable", raw=line)]
        return self._read_rflink(int(rflink[1], 16), rflink[2], rflink[3], line, now)

    def _read_rflink(self, counter: int, protocol: str, rest: str, raw: bytes, now: float) -> list[Signal | Rejected]:
        fields = dict(field.split("=", 1) for field in rest.split(";") if field)
        if not _ID.fullmatch(fields.get("ID", "")):
            return self.bad_line("bad_id", raw, now)
        found = self._count(counter, protocol, now)
        address = fields["ID"].upper() + (f":{fields['SWITCH'].upper()}" if "SWITCH" in fields else "")
        detail: dict[str, object] = {"protocol": protocol, "id": fields["ID"]}
        detail |= {name.lower(): value for name, value in fields.items() if name not in _BUTTON_FIELDS}
        if "SWITCH" in fields:
            detail["switch"] = fields["SWITCH"]
        said = [f"{name}={fields[name]}" for name in _PRESS_FIELDS if name in fields]
        if "CMD" in fields:
            detail["cmd"] = fields["CMD"]
            found += self._press(address, detail, fields["CMD"], raw, now)
        elif said:
            found += self._press(address, detail, said[0], raw, now)
        elif not self.is_repeat(f"{address} {rest}", now):
            found.append(Signal(kind=Kind.TELEMETRY, phase=Phase.STATE, device=address, dedup=self.identity(), detail=detail, raw=raw))
        if fields.get("BAT") == "LOW" and address in self._learned and not self.is_repeat(f"{address} BAT", now):
            found.append(Signal(kind=Kind.LOW_BATTERY, kind_raw="BAT=LOW", device=address, dedup=self.identity(), detail=detail, raw=raw))
        return found

    def _press(self, address: str, detail: dict[str, object], command: str, raw: bytes, now: float) -> list[Signal | Rejected]:
        """The first of a press; a transmitter that nobody has learned is a sign of life, listed for learning."""
        if self.is_repeat(f"{address} {command}", now):
            return []
        kind = self._learned.get(address)
        if kind is None:
            kind, phase, detail = Kind.BUTTON, Phase.STATE, {**detail, "unlearned": True}
        else:
            phase = Phase.CLEAR if self._options.off_clears and command in _OFF else Phase.RAISE
        return [Signal(kind=kind, phase=phase, kind_raw=command, device=address, dedup=self.identity(), detail=detail, raw=raw)]

    def _count(self, counter: int, protocol: str, now: float) -> list[Signal | Rejected]:
        """A gap in the receiver's counter: lines were lost, and one of them may have been an alarm."""
        before, self._counter = self._counter, counter
        if before is None or counter in (before, (before + 1) % 256) or protocol.startswith("Nodo "):  # the version line starts it anew
            return []
        expected = (before + 1) % 256
        self._lost += (counter - expected) % 256
        self._gaps_at.append(now)
        found: list[Signal | Rejected] = []
        if self._gap_told_at is None or now - self._gap_told_at >= GAP_NOTICE_S:
            lost, self._lost, self._gap_told_at = self._lost, 0, now
            found.append(Signal(kind=Kind.GAP, phase=Phase.STATE, kind_raw="counter_gap", detail={"lost_lines": lost}))
        if not self._is_lossy and len(self._gaps_at) == GAPS and now - self._gaps_at[0] <= GAPS_S:
            self._is_lossy = True
            found.append(self._quality(Phase.RAISE))
        return found

    def deadline(self) -> float | None:
        return self._gaps_at[-1] + GAPS_S if self._is_lossy else None

    def handle_deadline(self, now: float) -> list[Signal | Rejected]:
        """No gap for so long: the receiver hears everything again."""
        if not self._is_lossy or now < self._gaps_at[-1] + GAPS_S:
            return []
        self._is_lossy = False
        return [self._quality(Phase.CLEAR)]

    def _quality(self, phase: Phase) -> Signal:
        return Signal(kind=Kind.FAULT, phase=phase, kind_raw="line_quality", dedup=self.identity(), detail={"gaps_in_ten_minutes": GAPS})
