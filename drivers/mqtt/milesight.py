"""Milesight's channels (LoRaWAN port 85): WS101 button, VS373 fall radar, VS370 occupancy sensor; of others what they have in common.

Wire: repeating channel(1) type(1) value, little-endian; the value's length follows from both, so an unknown pair ends the reading.
Source: Milesight's user guides and their public decoders (SensorDecoders: WS101, VS370, VS373); tests/mqtt/test_byte_codecs.py.
"""

PORT = 85
BUTTON = {1: "short", 2: "long", 3: "double"}
DETECTION = {0: "normal", 1: "vacant", 2: "in_bed", 3: "out_of_bed", 4: "fall"}
TARGET = {0: "normal", 1: "motionless", 2: "abnormal"}
ALARM = {0: "fall", 1: "motionless", 2: "dwell", 3: "out_of_bed", 4: "occupied", 5: "vacant"}
ALARM_STATUS = {1: "triggered", 2: "deactivated", 3: "ignored"}

_LENGTHS = {
    (0xFF, 0x01): 1, (0xFF, 0x09): 2, (0xFF, 0x0A): 2, (0xFF, 0x0B): 1, (0xFF, 0x0F): 1, (0xFF, 0x16): 8, (0xFF, 0xFF): 2, (0xFF, 0xFE): 1,
    (0x01, 0x75): 1, (0xFF, 0x2E): 1, (0x03, 0x00): 1, (0x04, 0x00): 1, (0x03, 0xF8): 6, (0x04, 0xF9): 4, (0x05, 0xFA): 8, (0x06, 0xFB): 5,
}  # fmt: skip
_HISTORY = (0x20, 0xCE)


def read(data: bytes, port: int) -> dict[str, object] | None:
    """What the channels say; None when the first one is none that is known, or the port is another.

    battery         %
    button          short, long, double, or the number
    detection       of a VS373: normal, vacant, in_bed, out_of_bed, fall, or the number; target, used_now, used_today stand beside it
    alarms          of a VS373: list of {id, type, status, region}; type and status are words, or the number where there is none
    occupied        of a VS370: 1 or 0; bright: 1, 0, or 254 when the light is not measured
    regions         of a VS373: four numbers as sent, because occupied and vacant are swapped between its firmwares
    history         True: what follows is the past (its layout differs between firmwares, and it is no live alarm)
    started         True: the device was switched on
    firmware        such as "1.1"; told when it joins the network
    """
    if port not in (0, PORT):
        return None
    found: dict[str, object] = {}
    alarms: list[dict[str, object]] = []
    at = 0
    while at + 2 <= len(data):
        channel = (data[at], data[at + 1])
        if channel == _HISTORY:
            found["history"] = True
            break
        length = _LENGTHS.get(channel)
        value = data[at + 2 : at + 2 + (length or 0)]
        if length is None or len(value) < length:
            break
        at += 2 + length
        if channel == (0x01, 0x75):
            found["battery"] = value[0]
        elif channel == (0xFF, 0x2E):
            found["button"] = BUTTON.get(value[0], value[0])
        elif channel == (0x03, 0x00):
            found["occupied"] = value[0]
        elif channel == (0x04, 0x00):
            found["bright"] = value[0]
        elif channel == (0x03, 0xF8):
            found["detection"] = DETECTION.get(value[0], value[0])
            found["target"] = TARGET.get(value[1], value[1])
            found["used_now"] = int.from_bytes(value[2:4], "little")
            found["used_today"] = int.from_bytes(value[4:6], "little")
        elif channel == (0x04, 0xF9):
            found["regions"] = list(value)
        elif channel == (0x06, 0xFB):
            alarms.append(
                {
                    "id": int.from_bytes(value[:2], "little"),
                    "type": ALARM.get(value[2], value[2]),
                    "status": ALARM_STATUS.get(value[3], value[3]),
                    "region": value[4],
                }
            )
        elif channel == (0xFF, 0x0B):
            found["started"] = True
        elif channel == (0xFF, 0x0A):
            found["firmware"] = f"{value[0]}.{value[1]}"
    if alarms:
        found["alarms"] = alarms
    return found if found or at else None
