"""The position fields of the watch protocol: what UD, AL and WT frames say, with the quirks seen in the field.

Wire, after the word: ddmmyy, hhmmss, A|V, latitude, N|S, longitude, E|W, speed km/h, course, altitude m, satellites, GSM 0-100, battery %, steps,
rolls, status (4 or 8 hex digits), cells n, TA, MCC, MNC, n times (LAC, cell, signal), Wi-Fi m, m times (SSID, MAC, RSSI), accuracy m.
From the cells on everything is optional as one block. Numbers may have a space before them, hemispheres may be missing or doubled by a sign.
"""

import re
from datetime import UTC, datetime, tzinfo
from typing import Any

import msgspec

MAX_NETWORKS = 64  # cells or Wi-Fi networks in one frame; those of the field are below 10

_NUMBER = re.compile(r"\s*[+-]?\d{1,10}(\.\d{0,12})?\s*", re.ASCII)
_WHOLE = re.compile(r"\d{0,10}", re.ASCII)
_STATUS = re.compile(r"[0-9A-Fa-f]{4}(?:[0-9A-Fa-f]{4})?")
_CELL = re.compile(r"[0-9A-Fa-f]{1,10}")  # decimal, on some models hex: kept as text
_WIFI = re.compile(r"(.*?),((?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}|0),\s*(-?\d{1,3})(?:,|$)", re.DOTALL)


class Fields(msgspec.Struct):
    """What the fields say; None and absent where they say nothing, or something impossible, which `ignored` then names."""

    time: datetime | None = None
    fix_valid: bool | None = None
    lat: float | None = None
    lon: float | None = None
    accuracy_m: float | None = None
    battery_pct: float | None = None
    status: int | None = None
    detail: dict[str, Any] = {}
    ignored: list[str] = []


def read_fields(content: bytes, zone: tzinfo = UTC) -> Fields:
    """The fields of one content, word included. Never raises: an alarm is not lost for a broken number."""
    parts = content.decode("utf-8", "replace").split(",")[1:]
    out = Fields(detail={}, ignored=[])
    parts += [""] * (16 - len(parts))
    out.time = _time(parts[0], parts[1], zone)
    if out.time is None and (parts[0] or parts[1]):
        out.ignored.append("time")
    out.fix_valid = {"A": True, "V": False}.get(parts[2].strip().upper())
    _read_place(parts, out)
    for name, text in zip(("speed_kmh", "course", "altitude_m", "satellites", "gsm_signal"), parts[7:12], strict=True):
        if (value := number(text)) is not None:
            out.detail[name] = value
        elif text.strip():
            out.ignored.append(name)
    battery = number(parts[12])
    if battery is not None and 0 <= battery <= 100:
        out.battery_pct = battery
    elif parts[12].strip():
        out.ignored.append("battery")
    for name, text in zip(("steps", "rolls"), parts[13:15], strict=True):
        if (value := number(text)) is not None and value >= 0:
            out.detail[name] = value
    status = parts[15].strip()
    if _STATUS.fullmatch(status):
        out.status = int(status, 16)
        out.detail["status"] = status
        if out.status & 1:
            out.detail["battery_low"] = True
    elif status:
        out.ignored.append("status")
    if len(parts) > 16:
        networks = read_networks(parts[16:])
        if networks is None:
            out.ignored.append("networks")
        else:
            accuracy = networks.pop("accuracy_m", None)
            out.detail |= networks
            if accuracy and out.lat is not None:
                out.accuracy_m = accuracy
    return out


def number(text: str) -> float | None:
    """A plain decimal number (whole ones as int); NaN, 1e999 and words are none."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return int(value) if value.is_integer() else value


def read_networks(tail: list[str]) -> dict[str, Any] | None:
    """The block of cells, Wi-Fi and accuracy; None when it cannot be understood as a whole."""
    count = _whole(tail[0])
    if count is None or count > MAX_NETWORKS:
        return None
    with_operator = _read_block(tail[1:], count)
    if with_operator is None and count == 0:  # some leave out TA, MCC and MNC where there is no cell
        return _read_wifi(tail[1:])
    return with_operator


def _read_block(rest: list[str], count: int) -> dict[str, Any] | None:
    if len(rest) < 3 + 3 * count or not all(_WHOLE.fullmatch(text.strip()) for text in rest[:3]):
        return None
    cells = [rest[at : at + 3] for at in range(3, 3 + 3 * count, 3)]
    for lac, cell, signal in cells:
        if not (_CELL.fullmatch(lac.strip()) and _CELL.fullmatch(cell.strip()) and (not signal.strip() or _NUMBER.fullmatch(signal))):
            return None
    found = _read_wifi(rest[3 + 3 * count :])
    if found is not None and cells:
        named = [{"lac": lac.strip(), "cell": cell.strip(), "signal": number(signal)} for lac, cell, signal in cells]
        found = {"mcc": rest[1].strip(), "mnc": rest[2].strip(), "cells": named, **found}
    return found


def _read_wifi(rest: list[str]) -> dict[str, Any] | None:
    """SSIDs may hold commas: it is the MAC address that ends them."""
    count = _whole(rest[0]) if rest else 0
    if count is None or count > MAX_NETWORKS:
        return None
    text, position = ",".join(rest[1:]), 0
    wifi = []
    for _ in range(count):
        one = _WIFI.match(text, position)
        if one is None:
            return None
        wifi.append({"ssid": one[1], "mac": one[2], "rssi": int(one[3])})
        position = one.end()
    left = text[position:]
    found: dict[str, Any] = {"wifi": wifi} if wifi else {}
    if left.strip():
        accuracy = number(left)
        if accuracy is None or accuracy < 0:
            return None
        found["accuracy_m"] = accuracy
    return found


def _read_place(parts: list[str], out: Fields) -> None:
    lat, lon = number(parts[3]), number(parts[5])
    if lat is None or lon is None or not (abs(lat) <= 90 and abs(lon) <= 180):
        if parts[3].strip() or parts[5].strip():
            out.ignored.append("position")
        return
    if lat == 0 and lon == 0:
        return
    # S and W make it negative, whatever its sign was; N and E keep the sign
    out.lat = -abs(lat) if parts[4].strip().upper() == "S" else float(lat)
    out.lon = -abs(lon) if parts[6].strip().upper() == "W" else float(lon)


def _whole(text: str) -> int | None:
    text = text.strip()
    return int(text or 0) if _WHOLE.fullmatch(text) else None


def _time(day: str, clock: str, zone: tzinfo) -> datetime | None:
    day, clock = day.strip(), clock.strip()
    if not (len(day) == len(clock) == 6 and (day + clock).isascii() and (day + clock).isdigit()):
        return None
    try:
        local = datetime(2000 + int(day[4:]), int(day[2:4]), int(day[:2]), int(clock[:2]), int(clock[2:4]), int(clock[4:]), tzinfo=zone)
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
