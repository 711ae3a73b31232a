"""What the content of a GT06 frame says: location block, cells, status block, alarm codes. The length of a frame tells its dialect.

Source: Concox GT06 documents; the dialects by length from frames of Traccar's tests.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from gateway.event import Kind

BLOCK = 18  # bytes of the location block
STATUS = 5
CELLS = 8  # MCC(2) MNC(1) LAC(2) cell(3)
SCALE = 1_800_000  # per degree

ALARM_CODES: Mapping[int, Kind] = {
    0x01: Kind.SOS,
    0x02: Kind.POWER_CUT,
    0x03: Kind.VIBRATION,
    0x04: Kind.GEOFENCE_ENTER,
    0x05: Kind.GEOFENCE_EXIT,
    0x06: Kind.OVERSPEED,
    0x09: Kind.VIBRATION,
    0x0C: Kind.TAMPER,
    0x0E: Kind.LOW_BATTERY,
    0x0F: Kind.LOW_BATTERY,
    0x11: Kind.FAULT,  # it is being switched off: nobody can call for help with it now
    0x13: Kind.TAMPER,
    0x14: Kind.CONTACT_OPEN,
    0x18: Kind.DEVICE_REMOVED,
    0x19: Kind.LOW_BATTERY,
    0x23: Kind.FALL,
    0x25: Kind.TAMPER,
    0x2C: Kind.COLLISION,
    0x32: Kind.TAMPER,
}
# Bits 5 to 3 of the terminal byte. 110 does not say whether the fence was entered or left: leaving is what matters.
TERMINAL_ALARMS: Mapping[int, Kind] = {
    0b001: Kind.VIBRATION,
    0b010: Kind.POWER_CUT,
    0b011: Kind.LOW_BATTERY,
    0b100: Kind.SOS,
    0b110: Kind.GEOFENCE_EXIT,
    0b111: Kind.DEVICE_REMOVED,
}
FENCES = frozenset((Kind.GEOFENCE_ENTER, Kind.GEOFENCE_EXIT))


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The location block. What is impossible is absent; lat and lon of a block without a fix are the last known ones."""

    time: datetime | None = None
    lat: float | None = None
    lon: float | None = None
    fix_valid: bool = False
    detail: dict[str, object] = {}


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The status block. alarm: None where the dialect has no such byte."""

    terminal: int
    alarm: int | None = None
    battery_pct: float | None = None
    battery_mv: int | None = None
    detail: dict[str, object] = {}


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """What an alarm frame says. status: None when the block is too short. code: of the camera dialect, which has no status block."""

    place: Place | None = None
    cells: dict[str, object] = {}
    status: Status | None = None
    code: int | None = None
    is_camera: bool = False


def digits(data: bytes) -> str:
    """BCD without leading zeros; the hex text when it is no decimal."""
    text = data.hex().upper()
    return text.lstrip("0") or "0" if text.isdecimal() else text


def imei_of(data: bytes) -> str:
    """Eight BCD bytes: 15 digits behind a 0."""
    text = data.hex().upper()
    return text[1:] if text.startswith("0") else text


def zone_of(data: bytes) -> timedelta | None:
    """Zone and language of a login: the upper 12 bits are hours x 100 + minutes, bit 3 means west. None when it is no zone."""
    word = int.from_bytes(data)
    hours, minutes = divmod(word >> 4, 100)
    if hours > 14 or minutes > 59:
        return None
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if word & 0b1000 else offset


def time_of(data: bytes, zone: timedelta | None = None) -> datetime | None:
    """YY MM DD HH MM SS, plain bytes; None when no such moment exists (all zero: not set)."""
    year, month, day, hour, minute, second = data
    try:
        return datetime(2000 + year, month, day, hour, minute, second, tzinfo=UTC) - (zone or timedelta())
    except (ValueError, OverflowError):
        return None


def read_place(block: bytes, zone: timedelta | None = None) -> Place:
    """The 18 bytes. `zone`: the date is told in it; None for UTC."""
    lat, lon = int.from_bytes(block[7:11]) / SCALE, int.from_bytes(block[11:15]) / SCALE
    flags = int.from_bytes(block[16:18])
    has_place = (lat or lon) and lat <= 90 and lon <= 180
    south, west = not flags & 1 << 10, flags & 1 << 11
    return Place(
        time=time_of(block[:6], zone),
        lat=round(-lat if south else lat, 6) if has_place else None,
        lon=round(-lon if west else lon, 6) if has_place else None,
        fix_valid=bool(flags & 1 << 12),
        detail={"satellites": block[6] & 0x0F, "speed_kmh": block[15], "course": flags & 0x3FF},
    )


def read_cells(data: bytes, cell: int = 3) -> tuple[dict[str, object], int]:
    """(MCC, MNC, LAC and cell, how many bytes they are). Nothing when they are cut off, or when there is no MCC."""
    mnc = 2 if data[:1] and data[0] & 0x80 else 1  # bit 15 of MCC: MNC has two bytes
    size = 4 + mnc + cell
    mcc = int.from_bytes(data[:2]) & 0x7FFF
    if len(data) < size or not mcc:
        return {}, size
    lac_at = 2 + mnc
    return {
        "mcc": mcc,
        "mnc": int.from_bytes(data[2:lac_at]),
        "lac": int.from_bytes(data[lac_at : lac_at + 2]),
        "cell": int.from_bytes(data[lac_at + 2 : size]),
    }, size


def read_status(data: bytes) -> Status:
    """terminal, voltage, gsm, alarm, language."""
    return Status(terminal=data[0], alarm=data[3], **_power(data[1]), detail=_shown(data[0], data[1], data[2]) | {"alarm": f"{data[3]:02X}"})


def read_heartbeat(content: bytes) -> Status | None:
    """terminal, voltage, gsm and two bytes more (language, or an external voltage); None when it is too short."""
    if len(content) < 3:
        return None
    more: dict[str, object] = {"more": content[3:].hex()} if content[3:] else {}
    return Status(terminal=content[0], **_power(content[1]), detail=_shown(*content[:3]) | more)


def read_alarm(protocol: int, length: int, content: bytes, zone: timedelta | None) -> Alarm:
    """An alarm frame of any dialect."""
    if protocol == 0x19:
        cells, size = read_cells(content)
        return Alarm(cells=cells, status=_status(content[size : size + STATUS]))
    if protocol == 0x95:
        return _camera(content)
    if len(content) < BLOCK:
        return Alarm()
    place = read_place(content[:BLOCK], zone if protocol == 0x16 else None)
    rest = content[BLOCK:]
    fence: dict[str, object] = {}
    if protocol in (0x27, 0xA4) and rest:
        fence = {"fence": rest[-1]}
        rest, length = rest[:-1], length - 1
    if protocol == 0xA4:
        cells, status = _lte_cells(rest[1:-STATUS]), rest[-STATUS:]
    elif length == 0x24:
        return Alarm(place=place, cells=read_cells(rest)[0], status=_short_status(rest[CELLS:]))
    elif length in (0x25, 0x26):  # the length of the cells says 8, 9 or 0 without rule: the status stands at the end
        has_long_cell = length == 0x26 and not rest[1] & 0x80  # a two-byte MNC explains the longer frame as well
        cells, status = read_cells(rest[1:], cell=4 if has_long_cell else 3)[0], rest[-STATUS:]
    else:
        size = rest[0] if rest else 0
        cells, at = read_cells(rest[1:])[0] if size else {}, size if size >= 9 else size + 1  # some count the length byte itself
        status = rest[at : at + STATUS]
    found = _status(status)
    if found is not None and fence:
        found = msgspec.structs.replace(found, detail=found.detail | fence)
    return Alarm(place=place, cells=cells, status=found)


def kinds_of(alarm: Alarm) -> dict[Kind, str]:
    """kind → the vendor's code. Terminal bits and alarm byte are both read; sos comes first."""
    found: dict[Kind, str] = {}
    code = alarm.code if alarm.status is None else alarm.status.alarm
    if code:
        kind = ALARM_CODES.get(code, Kind.GENERAL)
        found[Kind.GENERAL if alarm.is_camera and alarm.place is None else kind] = f"{code:02X}"
    if alarm.status is not None:
        bits = terminal_alarm(alarm.status.terminal)
        told = TERMINAL_ALARMS.get(bits)
        if told is not None and not (told in FENCES and FENCES & found.keys()):
            found.setdefault(told, f"terminal {bits:03b}")
    return dict(sorted(found.items(), key=lambda item: item[0] is not Kind.SOS))


def terminal_alarm(terminal: int) -> int:
    """Bits 5 to 3 of the terminal byte."""
    return terminal >> 3 & 0b111


def read_information(content: bytes) -> dict[str, object]:
    """A frame 94: an external voltage, a text, or the identities of device and card."""
    what, rest = content[:1], content[1:]
    if what == b"\x00" and len(rest) >= 2:
        return {"external_voltage_v": int.from_bytes(rest[:2]) / 100}
    if what == b"\x04":
        return {"status": rest.decode("ascii", "replace")}
    if what == b"\x0a" and len(rest) >= 26:
        return {"imei": imei_of(rest[:8]), "imsi": digits(rest[8:16]), "iccid": digits(rest[16:26])}
    return {"information": content.hex()}


def _status(data: bytes) -> Status | None:
    return read_status(data) if len(data) >= STATUS else None


def _short_status(data: bytes) -> Status | None:
    """The dialect of length 24: terminal(1), voltage in 1/100 V (2), gsm(1), reserved(1); no alarm byte."""
    if len(data) < STATUS:
        return None
    volt = int.from_bytes(data[1:3])
    return Status(terminal=data[0], battery_mv=volt * 10 or None, detail=_shown(data[0], volt, data[3]))


def _camera(content: bytes) -> Alarm:
    """Protocol 95: [FFFF] location block, code; the short form is a date and a code, whose meaning no document tells."""
    start = 2 if content[:2] == b"\xff\xff" else 0
    body = content[start:]
    if len(body) > BLOCK:
        return Alarm(place=read_place(body[:BLOCK]), code=body[BLOCK], is_camera=True)
    return Alarm(code=body[-1] if len(body) >= 7 else None, is_camera=True)


def _lte_cells(data: bytes) -> dict[str, object]:
    """MCC(2) MNC(1 or 2) LAC(4) cell(8)."""
    mnc = 2 if data[:1] and data[0] & 0x80 else 1
    if len(data) < 14 + mnc:
        return {}
    lac_at = 2 + mnc
    return {
        "mcc": int.from_bytes(data[:2]) & 0x7FFF,
        "mnc": int.from_bytes(data[2:lac_at]),
        "lac": int.from_bytes(data[lac_at : lac_at + 4]),
        "cell": int.from_bytes(data[lac_at + 4 : lac_at + 12]),
    }


def _power(voltage: int) -> dict[str, Any]:
    """0 to 6 is a level, 7 to 100 a percentage; more is neither."""
    if voltage > 100:
        return {}
    return {"battery_pct": float(voltage) if voltage > 6 else round(voltage * 100 / 6, 1)}


def _shown(terminal: int, voltage: int, gsm: int) -> dict[str, object]:
    return {"terminal": f"{terminal:02X}", "voltage": voltage, "gsm": gsm, "gsm_unit": "bars" if gsm <= 4 else "percent_or_csq"}
