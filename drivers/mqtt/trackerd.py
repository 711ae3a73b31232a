"""Dragino TrackerD and LGT-92: place, alarm bit and battery.

Wire, big-endian: latitude(4) longitude(4), both x 1e-6, then 2 bytes: bit 14 alarm, bits 13-0 battery in mV (ports 2 and 3). Other ports put
the same two bytes elsewhere, or carry the past. Source: Dragino's user manuals and the decoders of the public LoRaWAN device repository.
"""

import struct

# Where the two bytes of alarm and battery stand on each port: full uplink, without sensor, beacon seen, alarm without place, WiFi seen.
_STATUS_AT = {2: 8, 3: 8, 6: 24, 7: 0, 8: 7}
_HISTORY = 4


def read(data: bytes, port: int) -> dict[str, object] | None:
    """{lat, lon, alarm, battery_mv}, of port 4 {lat, lon, time, history}; None on other ports and of what is too short.

    lat and lon are absent when they are out of range, as without a fix (0F FF FF FF); 0, 0 is left to the profile.
    """
    if port == _HISTORY:
        if len(data) < 15:
            return None
        year, month, day, hour, minute, second = struct.unpack(">HBBBBB", data[8:15])
        time = f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        return {**_place(data), "time": time, "history": True}
    at = _STATUS_AT.get(port)
    if at is None or len(data) < at + 2:
        return None
    status = int.from_bytes(data[at : at + 2], "big")
    found: dict[str, object] = {"alarm": bool(status >> 14 & 1), "battery_mv": status & 0x3FFF}
    return {**_place(data), **found} if at == 8 else found


def _place(data: bytes) -> dict[str, object]:
    lat, lon = struct.unpack(">ii", data[:8])
    if abs(lat) > 90_000_000 or abs(lon) > 180_000_000:
        return {}
    return {"lat": round(lat / 1e6, 6), "lon": round(lon / 1e6, 6)}
