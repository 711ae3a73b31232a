"""What a SCAIP request says: kind and phase, facts in words, where from a call will come, where somebody is. Pure functions.

Source: scaip.md, "Rule of thumb for category" and the tables in `scaip_codes`. When in doubt it is an emergency.
"""

from datetime import datetime, timedelta
from urllib.parse import unquote

from drivers.bodies.pidf import read_time
from drivers.bodies.scaip_codes import DEVICE_TYPES, GPS_ATTACHED, LOCATIONS, STATUSES, DeviceType, Effect
from drivers.bodies.scaip_text import Request
from drivers.sip.message import Uri
from drivers.sip.number import tidy
from gateway.event import KINDS, Group, Kind, Phase

FIX_FRESH = timedelta(minutes=10)  # an older position is told in words, not drawn as where somebody is

_MANUAL = frozenset({10, 11, 110})  # somebody pressed or asked: never only a fault
_TOLD = (
    "ref",
    "sco",
    "cha",
    "mty",
    "hbo",
    "cid",
    "dty",
    "did",
    "dco",
    "dte",
    "crd",
    "stc",
    "stt",
    "pri",
    "lco",
    "lva",
    "lte",
    "ico",
    "ite",
    "ame",
    "tim",
)


def meaning(request: Request) -> tuple[Kind, Phase]:
    """Kind and phase of a request: message type, then status, then device type; what is absent or broken counts as an alarm."""
    mty = request.value("mty") if "mty" not in request.wrong else "ME"
    if mty == "PI":
        return Kind.HEARTBEAT, Phase.STATE
    device = DEVICE_TYPES.get(request.number("dty") or 0, DeviceType("", ""))
    code = request.number("stc")
    status = STATUSES.get(code) if code is not None else None
    if mty == "RE":
        return _ended(device, status.kind if status is not None else None)
    match status.effect if status is not None else Effect.DOUBT:
        case Effect.ALARM:
            return _cry(device, code), Phase.RAISE
        case Effect.RAISE if status is not None and status.kind is not None:
            return status.kind, Phase.RAISE
        case Effect.CLEAR:
            return _ended(device, status.kind if status is not None else None)
        case Effect.TEST:
            return Kind.TEST, Phase.TEST
        case Effect.NOTE:
            return (status.kind if status is not None and status.kind is not None else Kind.GENERAL), Phase.STATE
    if mty != "IN":
        return _cry(device, code), Phase.RAISE
    return (device.kind, Phase.RAISE) if KINDS[device.kind].group is Group.DEVICE else (Kind.GENERAL, Phase.STATE)


def _cry(device: DeviceType, code: int | None) -> Kind:
    """The kind of an alarm. A press is an emergency whatever pressed it; without a known type it is general."""
    if code in _MANUAL and (device.kind is Kind.GENERAL or KINDS[device.kind].group is Group.DEVICE):
        return Kind.SOS
    return device.kind


def _ended(device: DeviceType, kind: Kind | None) -> tuple[Kind, Phase]:
    """A reset, a restoral, a cancel: of that kind if it is known, else of whatever stands open for this unit."""
    if kind is None and not device.is_unit and device.kind is not Kind.GENERAL:
        kind = device.kind
    return kind or Kind.CANCEL, Phase.CLEAR


def is_alarm(kind: Kind, phase: Phase) -> bool:
    """Somebody needs help, or something burns: only then is there a call."""
    return phase is Phase.RAISE and KINDS[kind].group in (Group.PERSON, Group.ENVIRONMENT)


def detail_of(request: Request, kind: Kind, phase: Phase, received_at: datetime) -> dict[str, object]:
    """Fields as they came under their own names, codes in words beside them, and what is odd about the message."""
    detail: dict[str, object] = {tag: request.values[tag] for tag in _TOLD if tag in request.values}
    device = DEVICE_TYPES.get(code) if (code := request.number("dty")) is not None else None
    status = STATUSES.get(code) if (code := request.number("stc")) is not None else None
    place = LOCATIONS.get(code) if (code := request.number("lco")) is not None else None
    if device is not None:
        detail |= {"device_type": device.en, "device_type_zh": device.zh}
    if status is not None:
        detail |= {"status": status.en, "status_zh": status.zh}
    more = [request.value(tag) for tag in ("lva", "lte") if request.value(tag)]
    if place is not None or more:
        detail |= {"location": " ".join([place[0], *more] if place else more), "location_zh": " ".join([place[1], *more] if place else more)}
    if is_alarm(kind, phase) and (voice := caller_of(request)):
        detail["voice"] = voice
    odd: dict[str, object] = {
        "wrong": list(request.wrong),
        "missing": list(request.missing),
        "unknown_tags": list(request.unknown),
        "old_position": request.value("geo") or request.value("gga") if _is_old_fix(request, received_at) else "",
    }
    return detail | {name: value for name, value in odd.items() if value}


def caller_of(request: Request) -> str:
    """From where the unit's call will come: number or user of `crd`, else its cid."""
    crd = request.value("crd")
    user = Uri(crd).user if ":" in crd else crd
    return tidy(user) or unquote(user) or request.value("cid")


def _is_old_fix(request: Request, received_at: datetime) -> bool:
    fixed_at = read_time(request.value("tim"))
    return fixed_at is not None and received_at - fixed_at > FIX_FRESH


def position_of(request: Request, received_at: datetime) -> tuple[float, float, str] | None:
    """(lat, lon, source: gnss or reported) out of `gga` or `geo`; None also for an old fix."""
    if _is_old_fix(request, received_at):
        return None
    found = _from_gga(request.value("gga"))
    if found is not None:
        return *found, "gnss"
    words = request.value("geo").split(",")
    found = _degrees(words[0], words[1]) if len(words) == 2 else None
    return None if found is None else (*found, "gnss" if request.number("lco") == GPS_ATTACHED else "reported")


def _from_gga(sentence: str) -> tuple[float, float] | None:
    """NMEA 0183 GGA: `$GPGGA,time,ddmm.mm,N,dddmm.mm,E,quality,…`; quality 0 is no fix. A checksum that is there must be right."""
    text, star, check = sentence.strip().removeprefix("$").partition("*")
    words = text.split(",")
    if len(words) < 7 or not words[0].endswith("GGA") or words[6] in ("", "0"):
        return None
    if star and f"{_xor(text):02X}" != check.strip().upper():
        return None
    lat, lon = _from_minutes(words[2], 2), _from_minutes(words[4], 3)
    if lat is None or lon is None:
        return None
    return _degrees(f"{-lat if words[3] == 'S' else lat}", f"{-lon if words[5] == 'W' else lon}")


def _xor(text: str) -> int:
    value = 0
    for octet in text.encode("utf-8", "replace"):
        value ^= octet
    return value


def _from_minutes(text: str, digits: int) -> float | None:
    whole, _, fraction = text.partition(".")
    if not (whole.isascii() and whole.isdigit() and len(whole) == digits + 2 and (not fraction or (fraction.isascii() and fraction.isdigit()))):
        return None
    minutes = float(text[digits:])
    return int(text[:digits]) + minutes / 60 if minutes < 60 else None


def _degrees(lat: str, lon: str) -> tuple[float, float] | None:
    """In range and not 0, 0, which is sent while there is no fix."""
    try:
        y, x = float(lat), float(lon)
    except ValueError:
        return None
    return (y, x) if -90 <= y <= 90 and -180 <= x <= 180 and (y or x) else None
