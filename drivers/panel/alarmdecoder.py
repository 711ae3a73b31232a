"""AlarmDecoder AD2 (115200 8N1, or TCP): what stands on the keypad of an Ademco or DSC panel, and what its radio and reports say.

Wire: text lines without a checksum, so an exact pattern is required; nothing is acknowledged.
    [20 bit characters],nnn,[hex],"32 characters"   keypad          !RFX:serial,XX              radio transmitter
    !LRR:number,partition,CID_QXYZ,ff               report          !EXP:, !REL:address,channel,value   zone expander, relay
Source: alarmdecoder 1.13.14; tests/vectors/panel/.
"""

import re

import msgspec

from drivers.contract import Rejected, Signal, Surroundings
from drivers.panel.contact_id_codes import Payload
from drivers.panel.lines import MAX_HEARD, LineListener
from drivers.panel.meaning import DialectName, MeaningOptions, Meanings, check_kind
from drivers.panel.zones import KnownStates, check_numbers, numbered, phase_as, zone_name
from gateway.event import ALARM_KINDS, Kind, Phase

# Bits of !RFX, lowest is 1; loops 1 to 4 are bits 8, 6, 5, 7.
LOW_BATTERY, SUPERVISION = 0x02, 0x04
LOOPS = {1: 0x80, 2: 0x20, 3: 0x10, 4: 0x40}

_KEYPAD = re.compile(r'(?:!KPM:)?\[([0-9A-Fa-f-]{20})\],([0-9A-Fa-f]{3}),\[([0-9A-Fa-f]+)\],"([^"]{32})"')
_RFX = re.compile(r"!RFX:([0-9]{1,10}),([0-9A-Fa-f]{2})")
_LRR = re.compile(r"!LRR:([0-9]{1,3}),([0-9]{1,2}),CID_([136])([0-9A-Fa-f]{3}),([0-9A-Fa-f]{2})")
_OLD_LRR = re.compile(r"!LRR:([0-9]{1,3}),([0-9]{1,2}),([A-Z_]{1,40})")
_CHANNEL = re.compile(r"!(EXP|REL):([0-9]{1,2}),([0-9]{1,2}),([0-9]{1,3})")
_OTHER = re.compile(r"!(?!RFX|LRR|EXP|REL)[ -~]*|[ -~]*Ready[ -~]*")

# Flags of the keypad line that are states worth telling: place in the first field, kind, name. "1" is set.
FLAGS: tuple[tuple[int, str, Kind, str], ...] = (
    (10, "1", Kind.GENERAL, "alarm sounding"),
    (13, "1", Kind.FIRE, "fire alarm"),
    (11, "1", Kind.LOW_BATTERY, "battery low"),
    (7, "0", Kind.POWER_CUT, "mains"),
)
# Words of the older report form; what is not here is shown to an operator, as it may be an alarm.
OLD_EVENTS: dict[str, tuple[Kind, Phase]] = {
    "CANCEL": (Kind.CANCEL, Phase.RAISE),
    "OPEN": (Kind.TELEMETRY, Phase.STATE),
    "ARM_AWAY": (Kind.TELEMETRY, Phase.STATE),
    "ARM_STAY": (Kind.TELEMETRY, Phase.STATE),
    "ACLOSS": (Kind.POWER_CUT, Phase.RAISE),
    "AC_RESTORE": (Kind.POWER_CUT, Phase.CLEAR),
    "LOWBAT": (Kind.LOW_BATTERY, Phase.RAISE),
    "LOWBAT_RESTORE": (Kind.LOW_BATTERY, Phase.CLEAR),
    "RFLOWBAT": (Kind.LOW_BATTERY, Phase.RAISE),
    "RFLOWBAT_RESTORE": (Kind.LOW_BATTERY, Phase.CLEAR),
    "TROUBLE": (Kind.FAULT, Phase.RAISE),
    "TROUBLE_RESTORE": (Kind.FAULT, Phase.CLEAR),
    "ALARM_PANIC": (Kind.SOS, Phase.RAISE),
    "ALARM_FIRE": (Kind.FIRE, Phase.RAISE),
    "ALARM_AUDIBLE": (Kind.INTRUSION, Phase.RAISE),
    "ALARM_SILENT": (Kind.DURESS, Phase.RAISE),
    "ALARM_ENTRY": (Kind.INTRUSION, Phase.RAISE),
    "ALARM_AUX": (Kind.MEDICAL, Phase.RAISE),
    "ALARM_PERIMETER": (Kind.INTRUSION, Phase.RAISE),
    "ALARM_TRIPPED": (Kind.INTRUSION, Phase.RAISE),
}


class AlarmDecoderOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a site may differ in.

    account        what the panel is called on the register: its lines name none
    learned        {"0102532:1" = "sos"}: serial and loop of our transmitters = kind; all others are the neighbours'
    channels       {"7:1" = "water_leak"}: address and channel of expanders and relays that mean something; others are signs of life
    dialect, codes how event codes are meant, as for other carriers of Contact ID
    zones          {"5" = "fall"}: what the reports of a zone are
    """

    account: str = "alarmdecoder"
    learned: dict[str, str] = {}
    channels: dict[str, str] = {}
    dialect: DialectName = "standard"
    codes: dict[str, str] = {}
    zones: dict[str, str] = {}

    def __post_init__(self) -> None:
        for key, table, form in (("learned", self.learned, r"\d{1,10}:[1-4]"), ("channels", self.channels, r"\d{1,2}:\d{1,2}")):
            for address, kind in table.items():
                if not re.fullmatch(form, address):
                    raise ValueError(f'{key}: {address!r} is no address; write "{"SERIAL:LOOP" if key == "learned" else "ADDRESS:CHANNEL"}"')
                check_kind(f"{key}: {address!r}", kind)
        check_numbers("zones", self.zones, 999)
        self.meaning()

    def meaning(self) -> MeaningOptions:
        """As the reader of event codes wants it. Raises ValueError."""
        zones = {f"{self.account}:{zone_name(int(zone))}": kind for zone, kind in self.zones.items()}
        return MeaningOptions(dialect=self.dialect, codes=self.codes, zones=zones)


class AlarmDecoder(LineListener):
    """One adapter on one link."""

    def __init__(self, options: AlarmDecoderOptions | None = None, place: Surroundings | None = None) -> None:
        self._options = options or AlarmDecoderOptions()
        place = place or Surroundings()
        super().__init__(place.session)
        self._meanings = Meanings(self._options.meaning())
        self._zones = numbered(self._options.zones)
        self._learned = {
            (serial.lstrip("0"), int(loop)): Kind(kind) for key, kind in self._options.learned.items() for serial, loop in [key.split(":")]
        }
        self._serials = {serial for serial, _ in self._learned}
        self._channels = {tuple(int(part) for part in key.split(":")): Kind(kind) for key, kind in self._options.channels.items()}
        self._is_placed = bool(place.line)  # outside a line (`gateway decode`) nobody remembers a state
        self._known = place.memory if isinstance(place.memory, KnownStates) else KnownStates()
        self._bits: dict[str, int] = {}  # serial -> what it said last
        self._loops: dict[str, int] = {}  # serial -> loops that were open

    def read_line(self, line: bytes, now: float) -> list[Signal | Rejected]:
        text = line.decode("latin-1").strip()
        if found := _RFX.fullmatch(text):
            return list(self._radio(found[1], int(found[2], 16), line, now))
        if text.startswith("!LRR:"):
            return self._report(text, line)
        if found := _CHANNEL.fullmatch(text):
            return [self._channel(found, line)]
        if found := _KEYPAD.fullmatch(text):
            return list(self._keypad(found, line))
        if _OTHER.fullmatch(text):
            self.counts["passed_over"] += 1
            return []
        return self.bad_line("unparsable", line, now)

    def _keypad(self, found: re.Match[str], raw: bytes) -> list[Signal]:
        """The display is told again and again: only its flags are states, and the text is worth showing."""
        bits, code, _, text = found.groups()
        detail: dict[str, object] = {"text": " ".join(text.split()), "code": code}
        states = [
            self._signal(kind, Phase.RAISE if bits[at] == mark else Phase.CLEAR, "keypad", {**detail, "state": name}, raw, edge=name)
            for at, mark, kind, name in FLAGS
        ]
        return self._known.news(states, first_clears=self._is_placed) or [self._signal(Kind.HEARTBEAT, Phase.STATE, "keypad", detail, raw)]

    def _radio(self, serial: str, bits: int, raw: bytes, now: float) -> list[Signal]:
        """A transmitter: loops of ours that open are their kind; supervision is a sign of life."""
        known = serial.lstrip("0")
        if self._is_copy(known, bits, now):
            return []
        loops = [loop for loop, bit in LOOPS.items() if bits & bit]
        detail: dict[str, object] = {"serial": serial, "loops": loops, "supervision": bool(bits & SUPERVISION)}
        if known not in self._serials:
            detail |= {"low_battery": True} if bits & LOW_BATTERY else {}
            return [
                self._signal(
                    Kind.BUTTON if loops else Kind.HEARTBEAT, Phase.STATE, f"RFX {bits:02X}", {**detail, "unlearned": True}, raw, device=serial
                )
            ]
        found = []
        before = self._loops.get(known, 0)
        for loop, bit in LOOPS.items():
            kind = self._learned.get((known, loop))
            if kind is None or not (bits | before) & bit:
                continue
            phase = phase_as(kind, Phase.RAISE if bits & bit else Phase.CLEAR)
            if bits & bit and bits & SUPERVISION and before & bit:
                continue  # a check-in in which the loop is still open tells nothing new
            found.append(self._signal(kind, phase, f"RFX {bits:02X}", {**detail, "loop": loop}, raw, device=serial))
        self._loops[known] = bits
        if bits & (LOW_BATTERY | SUPERVISION):
            phase = Phase.RAISE if bits & LOW_BATTERY else Phase.CLEAR
            battery = self._signal(Kind.LOW_BATTERY, phase, f"RFX {bits:02X}", detail, raw, device=serial, edge="battery")
            found += self._known.news([battery], first_clears=self._is_placed)
        return found or [self._signal(Kind.HEARTBEAT, Phase.STATE, f"RFX {bits:02X}", detail, raw, device=serial)]

    def _is_copy(self, serial: str, bits: int, now: float) -> bool:
        """One sending is heard several times; what comes after something else was heard is a sending of its own."""
        before, self._bits[serial] = self._bits.pop(serial, None), bits
        if len(self._bits) > MAX_HEARD:
            del self._bits[next(iter(self._bits))]
        if before is not None and before != bits:
            self._heard.pop(f"{serial} {bits}", None)
        return self.is_repeat(f"{serial} {bits}", now)

    def _report(self, text: str, raw: bytes) -> list[Signal | Rejected]:
        """Contact ID as the panel would transmit it. What cannot be read may be an alarm: an operator sees it."""
        if found := _LRR.fullmatch(text):
            number, partition, qualifier, code, changed = found.groups()
            code = code[0] + changed if changed.lower() not in ("00", "ff") else code
            payload = Payload(qualifier, code.upper(), partition.zfill(2), number.zfill(3))
            meaning = self._meanings.contact_id(self._options.account, payload)
            return [self._signal(meaning.kind, meaning.phase, meaning.kind_raw, meaning.detail, raw)]
        if found := _OLD_LRR.fullmatch(text):
            number, partition, word = found.groups()
            kind, phase = OLD_EVENTS.get(word, (Kind.GENERAL, Phase.RAISE))
            kind = self._zones.get(int(number), kind) if kind in ALARM_KINDS else kind
            return [self._signal(kind, phase, word, {"zone": number.zfill(3), "group": partition.zfill(2), "event": word}, raw)]
        notice = self._signal(Kind.GENERAL, Phase.RAISE, "unreadable_report", {"text": "".join(filter(str.isprintable, text))}, raw)
        return [Rejected(reason="unreadable_report", raw=raw), notice]

    def _channel(self, found: re.Match[str], raw: bytes) -> Signal:
        word, address, channel, value = found[1], int(found[2]), int(found[3]), int(found[4])
        detail: dict[str, object] = {"address": found[2], "channel": found[3], "value": value}
        kind = self._channels.get((address, channel))
        if kind is None:
            return self._signal(Kind.TELEMETRY, Phase.STATE, word, detail, raw)
        return self._signal(kind, phase_as(kind, Phase.RAISE if value else Phase.CLEAR), word, detail, raw)

    def _signal(
        self,
        kind: Kind,
        phase: Phase,
        kind_raw: str,
        detail: dict[str, object],
        raw: bytes,
        *,
        device: str | None = None,
        edge: str | None = None,
    ) -> Signal:
        return Signal(
            kind=kind,
            phase=phase,
            kind_raw=kind_raw,
            device=device or self._options.account,
            dedup=self.identity(),
            edge=edge,
            detail=detail,
            raw=raw,
        )
