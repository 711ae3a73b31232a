"""What a location report of JT/T 808 says (0200, and each point of 0704): alarm and status bits, position, time, items.

Source: JT/T 808-2013 and -2019, tables of message 0200; items E4, E7 and E8 after public decoders, read only where the options name them.
"""

from collections.abc import Mapping, Set
from datetime import UTC, datetime, timedelta, timezone

import msgspec

from gateway.coordinates import is_mainland
from gateway.event import ALARM_KINDS, Kind

FIXED = 28  # octets before the items
CHINA = timezone(timedelta(hours=8))  # dates are told in it, wherever the terminal is
MAX_SHOWN = 16  # items that nobody has a name for, kept as hex
SOS_S = 600.0  # some clones leave bit 0 set for minutes after the answer; what is set for longer is news again

ALARM_BITS: Mapping[int, Kind] = {
    0: Kind.SOS,
    1: Kind.OVERSPEED,
    3: Kind.GENERAL,
    **dict.fromkeys((4, 5, 6, 9, 10, 11, 12), Kind.FAULT),
    7: Kind.LOW_BATTERY,
    8: Kind.POWER_CUT,
    20: Kind.GEOFENCE_EXIT,
    21: Kind.GEOFENCE_EXIT,
    **dict.fromkeys((26, 27, 28), Kind.GENERAL),
    **dict.fromkeys((29, 30), Kind.COLLISION),
}
# Beside the 32 bits of the protocol we number three more: frames that are encrypted, and the sos of two vendors' items.
ENCRYPTED, SOS_E7, SOS_E8 = 32, 33, 34
EDGES: Mapping[int, str] = {ENCRYPTED: "encrypted", SOS_E7: "item E7 sos", SOS_E8: "item E8 sos"}
# These go out once the platform has answered: nobody took anything back.
ANSWERED_BITS = frozenset((0, 3, 20, 21, 27, 28, SOS_E7, SOS_E8))
# Those that 8203 can confirm.
CONFIRMABLE = frozenset((0, 3, 20, 21, 22, 27, 28))

STATUS_BITS = {
    0: "ignition",
    4: "out_of_service",
    10: "oil_cut",
    11: "circuit_cut",
    12: "doors_locked",
    18: "gps",
    19: "beidou",
    20: "glonass",
    21: "galileo",
    22: "moving",
}


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """alarms: bit → kind, sos first. What is impossible is absent."""

    alarms: dict[int, Kind]
    time: datetime | None
    lat: float | None
    lon: float | None
    fix_valid: bool
    datum: str
    battery_pct: float | None
    detail: dict[str, object]


def edge_of(bit: int) -> str:
    """The name of the thing whose state this bit tells."""
    return EDGES.get(bit) or f"alarm bit {bit}"


def read_location(body: bytes, kinds: Mapping[int, Kind], datum: str, vendor_items: Set[str]) -> Location:
    """At least FIXED octets. kinds: what each alarm bit means here. datum: "by_flag", or what is true of all points."""
    alarm, status = int.from_bytes(body[0:4]), int.from_bytes(body[4:8])
    lat, lon = int.from_bytes(body[8:12]) / 1e6, int.from_bytes(body[12:16]) / 1e6
    has_place = bool(lat or lon) and lat <= 90 and lon <= 180
    lat, lon = -lat if status & 1 << 2 else lat, -lon if status & 1 << 3 else lon
    fix_valid = bool(status & 1 << 1)
    detail: dict[str, object] = {"alarm": f"{alarm:08X}", "status": f"{status:08X}"}
    detail |= {name: True for bit, name in STATUS_BITS.items() if status & 1 << bit}
    if has_place:
        detail |= {
            "altitude_m": int.from_bytes(body[16:18], signed=True),
            "speed_kmh": int.from_bytes(body[18:20]) / 10,
            "course": int.from_bytes(body[20:22]),
        }
    alarms = {bit: kind for bit, kind in kinds.items() if alarm & 1 << bit}
    battery = _items(body[FIXED:], vendor_items, detail, alarms)
    return Location(
        alarms=dict(sorted(alarms.items(), key=lambda item: item[1] is not Kind.SOS)),
        time=time_of(body[22:28]),
        lat=lat if has_place else None,
        lon=lon if has_place else None,
        fix_valid=fix_valid,
        datum=_datum(datum, bool(status & 1 << 5), lat, lon),
        battery_pct=battery,
        detail=detail,
    )


def time_of(bcd: bytes) -> datetime | None:
    """BCD YYMMDDhhmmss in UTC+8; None when there is no such moment."""
    text = bcd.hex()
    if not text.isdecimal():
        return None
    year, month, day, hour, minute, second = (int(text[at : at + 2]) for at in range(0, 12, 2))
    try:
        return datetime(2000 + year, month, day, hour, minute, second, tzinfo=CHINA).astimezone(UTC)
    except ValueError:
        return None


def bcd_of(at: datetime) -> bytes:
    """The same six octets, in the zone of `at`."""
    return bytes.fromhex(at.strftime("%y%m%d%H%M%S"))


def is_person(kind: Kind) -> bool:
    """An alarm that somebody must look after."""
    return kind in ALARM_KINDS


def _datum(datum: str, is_shifted: bool, lat: float, lon: float) -> str:
    """Status bit 5: the secrecy plug-in has shifted it. Trackers far from China set it too, where there is nothing to shift."""
    if datum != "by_flag":
        return datum
    return "gcj02" if is_shifted and is_mainland(lat, lon) else "wgs84"


def _items(data: bytes, vendor_items: Set[str], detail: dict[str, object], alarms: dict[int, Kind]) -> float | None:
    """Reads id(1) length(1) value until one runs past the end. Gives the battery in percent, if one tells it."""
    battery: float | None = None
    unknown: dict[str, str] = {}
    at = 0
    while at + 2 <= len(data):
        item, length = data[at], data[at + 1]
        value = data[at + 2 : at + 2 + length]
        at += 2 + length
        if len(value) < length:
            detail["cut_item"] = f"{item:02X}"
            break
        number = int.from_bytes(value)
        match item, length:
            case 0x01, 4:
                detail["mileage_km"] = number / 10
            case 0x04, 2:
                detail["alarm_to_confirm"] = number
            case 0x30, 1:
                detail["signal"] = number
            case 0x31, 1:
                detail["satellites"] = number
            case 0x56, 1 | 2 if "56" in vendor_items:
                battery = min(value[0] * 10.0, 100.0)
            case 0xE4, 2 if "E4" in vendor_items:
                detail["charging"] = bool(value[0])
                battery = float(value[1]) if value[1] <= 100 else battery
            case 0xE7, 8 if "E7" in vendor_items:
                if int.from_bytes(value[:4]) & 0b1110:  # the first word only: the second one is another thing
                    alarms[SOS_E7] = Kind.SOS
            case 0xE8, _ if "E8" in vendor_items:
                if value[:2] == b"\x0c\x01":
                    alarms[SOS_E8] = Kind.SOS
            case _:
                if len(unknown) < MAX_SHOWN:
                    unknown[f"{item:02X}"] = value.hex()
    if unknown:
        detail["items"] = unknown
    return battery
