"""Abeeway trackers and badges: the SOS flag, battery and GNSS places of firmware AT2 (port 18) and AT3 (port 19).

Wire of AT2: type(1) status(1: bit 4 SOS) battery(1) temperature(1) acknowledgement and option(1) …; of AT3: flags(1: bit 7 several frames, bit 6
SOS, bits 5-3 type) battery(1: bit 7 kept for later, then a time of 4 bytes in place of 2) seconds(2) …
Source: Abeeway's reference guides, and their drivers in the public LoRaWAN device repository (asset-tracker-2, asset-tracker-3).
"""

import struct

AT2, AT3 = 18, 19
# Of AT2; of those left out (frame pending, proximity, text message, debug) the second byte says something else, or it is not sure.
_AT2_TYPES = {3: "position", 4: "health", 5: "heartbeat", 7: "activity", 9: "shutdown", 10: "event", 11: "scan", 14: "extended_position"}
_AT2_EVENTS = {0: "geoloc_start", 1: "motion_start", 2: "motion_end", 5: "temperature_alert", 7: "sos_start", 8: "sos_end", 10: "geofencing"}
_AT3_TYPES = {1: "notification", 2: "position", 3: "query", 4: "response", 5: "telemetry"}
_AT3_SOS = {0x10: "sos_start", 0x11: "sos_end"}
_AT3_GNSS = 10


def read(data: bytes, port: int) -> dict[str, object] | None:
    """{message, sos, event, battery, charging, temperature, lat, lon, accuracy_m, fix_age_s, time, buffered}; None on other ports.

    battery is absent while charging, unknown, or above 100 (old firmware says volts there). buffered: kept by the tracker until it had a network;
    time is then its own, as seconds since 1970.
    """
    if port == AT2:
        return _at2(data)
    return _at3(data) if port == AT3 else None


def _at2(data: bytes) -> dict[str, object] | None:
    if len(data) < 5 or data[0] not in _AT2_TYPES:
        return None
    found: dict[str, object] = {"message": _AT2_TYPES[data[0]], "sos": bool(data[1] >> 4 & 1)}
    found.update(_battery(data[2], 255))
    found["temperature"] = round(data[3] * 129 / 255 - 44, 1)
    is_gnss = data[4] & 0x0F == 0
    if data[0] == 10 and len(data) >= 6:
        found["event"] = _AT2_EVENTS.get(data[5], data[5])
        if found["event"] in ("sos_start", "sos_end"):
            found["sos"] = found["event"] == "sos_start"
    elif data[0] == 3 and is_gnss and len(data) >= 13:
        found["fix_age_s"] = data[5] * 8
        found.update(_place(data[6:9] + b"\0", data[9:12] + b"\0"))
        found["accuracy_m"] = round(data[12] * 1000 / 255, 2)
    elif data[0] == 14 and is_gnss and len(data) >= 19:
        found["fix_age_s"] = int.from_bytes(data[5:7], "big")
        found.update(_place(data[8:12], data[12:16]))
        if not data[7] & 2:
            found["accuracy_m"] = round(data[18] * 1000 / 255, 2)
        elif data[18] <= 250:
            found["accuracy_m"] = data[18]
    return found


def _at3(data: bytes) -> dict[str, object] | None:
    if len(data) < 4 or (data[0] >> 3 & 7) not in _AT3_TYPES:
        return None
    message = _AT3_TYPES[data[0] >> 3 & 7]
    found: dict[str, object] = {"message": message, "sos": bool(data[0] >> 6 & 1)}
    found.update(_battery(data[1] & 0x7F, 127))
    at = 4
    if data[1] & 0x80:
        if len(data) < 6:
            return None
        found.update(buffered=True, time=int.from_bytes(data[2:6], "big"))
        at = 6
    if data[0] & 0x80:
        at += 1  # extended header: which frame of how many
    if message == "notification" and len(data) > at and data[at] in _AT3_SOS:
        found["event"] = _AT3_SOS[data[at]]
        found["sos"] = found["event"] == "sos_start"
    elif message == "position" and len(data) >= at + 12 and data[at] & 0x6F == _AT3_GNSS:  # bits 6 and 5: success
        found.update(_place(data[at + 4 : at + 8], data[at + 8 : at + 12]))
    return found


def _battery(value: int, unknown: int) -> dict[str, object]:
    if value == 0:
        return {"charging": True}
    return {"battery": value} if value != unknown and value <= 100 else {}


def _place(lat: bytes, lon: bytes) -> dict[str, object]:
    place = struct.unpack(">ii", lat + lon)
    if abs(place[0]) > 900_000_000 or abs(place[1]) > 1_800_000_000:
        return {}
    return {"lat": round(place[0] / 1e7, 7), "lon": round(place[1] / 1e7, 7)}
