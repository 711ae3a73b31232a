"""What the words of the watch protocol mean: signals without their frame, and the answer that each word wants."""

import re
from collections.abc import Callable, Iterator
from datetime import tzinfo
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from drivers.contract import Signal
from drivers.tracker.watch3g_frames import unescape
from drivers.tracker.watch3g_position import Fields, number, read_fields, read_networks
from gateway.event import Kind, Phase

MAX_TEXT = 500  # characters of an unknown word's text that are shown; `raw` has all of it

_ALARM = re.compile(r"AL(?:_[A-Z0-9]+|CUSTOMER\d*)?")
_HISTORY = re.compile(r"UD2(?:_[A-Z0-9]+)?")
_LOCATION = re.compile(r"UD3?(?:_[A-Z0-9]+)?|WT(?:_[A-Z0-9]+)?")
_VOICE = {"TK": b"TK,1", "JXTK": b"JXTKR,1"}
_BINARY = frozenset((*_VOICE, "IMG"))

# Upper half of the status word, worst first: the order in which one frame's alarms are told.
_BITS = {
    16: Kind.SOS,
    21: Kind.FALL,
    22: Kind.HEART_RATE_ABNORMAL,
    20: Kind.DEVICE_REMOVED,
    18: Kind.GEOFENCE_EXIT,
    19: Kind.GEOFENCE_ENTER,
    17: Kind.LOW_BATTERY,
}
# Lower half: states, which count as alarms in an AL frame that has no upper bit.
_STATES = {1: Kind.GEOFENCE_EXIT, 2: Kind.GEOFENCE_ENTER, 0: Kind.LOW_BATTERY}
_UPPER = range(16, 32)

# vital: (unit, lowest, highest believable). 0 is "no reading"; what lies outside is a fault of the sensor.
VITALS = {
    "heart_rate": ("bpm", 20, 300),
    "systolic": ("mmHg", 40, 300),
    "diastolic": ("mmHg", 20, 200),
    "spo2": ("%", 30, 100),
    "temperature": ("°C", 20, 45),
}


class WatchOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[line.options]` of a line with watches.

    zone                in which the watches tell the time: UTC by the document; "Asia/Shanghai" for firmware that sends local time
    datum               of their positions: wgs84 (GNSS), gcj02, bd09, unknown
    bit_22              what bit 22 means: heart_rate_abnormal (the vendor's list) or fall
    alarms_in_locations do alarm bits in UD frames alarm too? Watches repeat them there for minutes
    alarm_answer        to AL_LTE and its like: both (AL; to a repeat the exact word too), AL, or same (the exact word)
    locate_on_sos       ask a watch that cried sos for its position at once
    voice               what a voice message is: telemetry, or help (somebody must listen to it)
    """

    zone: str = "UTC"
    datum: Literal["wgs84", "gcj02", "bd09", "unknown"] = "wgs84"
    bit_22: Literal["heart_rate_abnormal", "fall"] = "heart_rate_abnormal"
    alarms_in_locations: bool = False
    alarm_answer: Literal["both", "AL", "same"] = "both"
    locate_on_sos: bool = True
    voice: Literal["telemetry", "help"] = "telemetry"

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError):
            raise ValueError(f'zone: {self.zone!r} is no time zone; write "UTC" or "Asia/Shanghai"') from None


class Meaning(msgspec.Struct, frozen=True):
    """What one content says. `bits`: the alarms of one press, None when it is no alarm; `answer` None: nothing is answered."""

    word: str
    signals: list[Signal]
    answer: bytes | None = None
    bits: frozenset[str] | None = None
    is_position: bool = False


class BadContent(Exception):
    """Binary content that was not escaped as it must be."""


def is_whole(content: bytes) -> bool:
    """Does this content make sense as it stands? Only position frames can tell: they count their own fields."""
    parts = content.decode("utf-8", "replace").split(",")
    word = parts[0].upper()
    if not (_ALARM.fullmatch(word) or _HISTORY.fullmatch(word) or _LOCATION.fullmatch(word)):
        return True
    return len(parts) <= 17 or read_networks(parts[17:]) is not None


def read_content(content: bytes, options: WatchOptions) -> Meaning:
    """The meaning of one frame's content. Raises BadContent; nothing else."""
    head, _, rest = content.partition(b",")
    word = head.decode("utf-8", "replace")
    name = word.upper()
    if name in _BINARY:
        return _voice(name, rest, options)
    if _ALARM.fullmatch(name):
        return _alarm(word, content, options)
    if _HISTORY.fullmatch(name) or _LOCATION.fullmatch(name):
        return _location(word, content, options, is_history=bool(_HISTORY.fullmatch(name)))
    parts = [part.strip() for part in rest.decode("utf-8", "replace").split(",")]
    if name in _WORDS:
        return _WORDS[name](word, parts)
    text = rest.decode("utf-8", "replace")[:MAX_TEXT]
    answer = {"TKQ": content, "TKQ2": content, "INIT": b"INIT,1", "CONFIG": b"CONFIG,1"}.get(name)
    if name.startswith("FALLDOWN"):
        answer = content
    return Meaning(word, [_telemetry(word, {}, {"text": text} if text else {})], answer)


def _alarm(word: str, content: bytes, options: WatchOptions) -> Meaning:
    """An alarm is never dropped: without any bit it is `general`, for some firmware presses SOS this way."""
    fields = read_fields(content, _zone(options.zone))
    found = list(_alarm_bits(fields.status or 0, options)) or [(str(bit), kind) for bit, kind in _STATES.items() if (fields.status or 0) >> bit & 1]
    signals = [_placed(kind, Phase.RAISE, f"{word} bit {bit}", fields, options) for bit, kind in found]
    signals = signals or [_placed(Kind.GENERAL, Phase.RAISE, word, fields, options)]
    answer = word.encode() if options.alarm_answer == "same" else b"AL"
    return Meaning(word, signals, answer, frozenset(bit for bit, _ in found), is_position=True)


def _location(word: str, content: bytes, options: WatchOptions, *, is_history: bool) -> Meaning:
    fields = read_fields(content, _zone(options.zone))
    location = _placed(Kind.LOCATION, Phase.STATE, word, fields, options, late="backfill" if is_history else None)
    alarms = []
    if options.alarms_in_locations and not is_history:
        alarms = list(_alarm_bits(fields.status or 0, options))
    signals = [_placed(kind, Phase.RAISE, f"{word} bit {bit}", fields, options) for bit, kind in alarms]
    bits = frozenset(bit for bit, _ in alarms) if alarms else None
    return Meaning(word, [*signals, location], None, bits, is_position=True)


def _alarm_bits(status: int, options: WatchOptions) -> Iterator[tuple[str, Kind]]:
    """Every alarm bit that is set; those that no document names are one `general`."""
    for bit, kind in _BITS.items():
        if status >> bit & 1:
            yield str(bit), Kind(options.bit_22) if bit == 22 else kind
    unknown = [str(bit) for bit in _UPPER if bit not in _BITS and status >> bit & 1]
    if unknown:
        yield "+".join(unknown), Kind.GENERAL


def _placed(kind: Kind, phase: Phase, raw_kind: str, fields: Fields, options: WatchOptions, late: str | None = None) -> Signal:
    detail = dict(fields.detail)
    if fields.ignored:
        detail["ignored"] = fields.ignored
    return Signal(
        kind=kind,
        phase=phase,
        kind_raw=raw_kind,
        time=fields.time,
        lat=fields.lat,
        lon=fields.lon,
        datum=options.datum,
        fix_valid=fields.fix_valid,
        accuracy_m=fields.accuracy_m,
        battery_pct=fields.battery_pct,
        late=late,
        detail=detail,
    )


def _voice(name: str, rest: bytes, options: WatchOptions) -> Meaning:
    """A voice message or a picture: escaped bytes. `TK` alone asks for nothing that we have."""
    data = unescape(rest)
    if data is None:
        raise BadContent
    detail: dict[str, Any] = {"octets": len(data), "hex": data[:MAX_TEXT].hex()}
    kind = Kind.HELP if options.voice == "help" and name in _VOICE else Kind.TELEMETRY
    phase = Phase.RAISE if kind is Kind.HELP else Phase.STATE
    return Meaning(name, [Signal(kind=kind, phase=phase, kind_raw=name, detail=detail)], _VOICE.get(name))


def _telemetry(word: str, vitals: dict[str, str], detail: dict[str, Any]) -> Signal:
    read = {}
    ignored = []
    for name, text in vitals.items():
        value = number(text)
        _, low, high = VITALS[name]
        if value is not None and low <= value <= high:
            read[name] = float(value)
        elif text and value != 0:
            ignored.append(name)
    if ignored:
        detail["ignored"] = ignored
    return Signal(kind=Kind.TELEMETRY, phase=Phase.STATE, kind_raw=word, vitals=read, detail=detail)


def _keep_alive(word: str, parts: list[str]) -> Meaning:
    """`LK`, `LK,steps,rolls,battery` or `LK,x,battery`."""
    names = {3: ("steps", "rolls", "battery"), 2: ("", "battery")}.get(len(parts), ())
    found = {name: value for name, text in zip(names, parts, strict=False) if name and (value := number(text)) is not None and value >= 0}
    battery = found.pop("battery", None)
    ignored = {"ignored": ["battery"]} if battery is not None and battery > 100 else {}
    if battery is not None and battery > 100:
        battery = None
    signal = Signal(kind=Kind.HEARTBEAT, phase=Phase.STATE, kind_raw=word, battery_pct=battery, detail={**found, **ignored})
    return Meaning(word, [signal], b"LK")


def _pressure_and_pulse(word: str, parts: list[str]) -> Meaning:
    vitals = dict(zip(("systolic", "diastolic", "heart_rate"), parts, strict=False))
    return Meaning(word, [_telemetry(word, vitals, {})], word.encode())


def _pressure(word: str, parts: list[str]) -> Meaning:
    return Meaning(word, [_telemetry(word, dict(zip(("systolic", "diastolic"), parts, strict=False)), {})])


def _pulse(word: str, parts: list[str]) -> Meaning:
    return Meaning(word, [_telemetry(word, {"heart_rate": parts[0]}, {})])


def _oxygen(word: str, parts: list[str]) -> Meaning:
    detail: dict[str, Any] = {"type": parts[0]} if parts[0] else {}
    return Meaning(word, [_telemetry(word, {"spo2": parts[1] if len(parts) > 1 else ""}, detail)], b"oxygen,1")


def _skin_temperature(word: str, parts: list[str]) -> Meaning:
    """Site 0 forehead, 1 wrist; a temperature of 0 or 1 is an error code."""
    value = parts[1] if len(parts) > 1 else ""
    detail: dict[str, Any] = {}
    if site := {"0": "forehead", "1": "wrist"}.get(parts[0]):
        detail["site"] = site
    if number(value) in (0, 1):
        detail["error"] = number(value)
        value = ""
    return Meaning(word, [_telemetry(word, {"temperature": value}, detail)], word.encode())


def _temperature(word: str, parts: list[str]) -> Meaning:
    return Meaning(word, [_telemetry(word, {"temperature": parts[0]}, {})])


_WORDS: dict[str, Callable[[str, list[str]], Meaning]] = {
    "LK": _keep_alive,
    "BPHRT": _pressure_and_pulse,
    "BLOOD": _pressure,
    "HEART": _pulse,
    "PULSE": _pulse,
    "OXYGEN": _oxygen,
    "BTEMP2": _skin_temperature,
    "TEMP": _temperature,
}


def _zone(name: str) -> tzinfo:
    return ZoneInfo(name)  # kept by the library: no file is read twice
