"""BTHome version 2, the open format of BLE sensors and buttons (Shelly BLU and others); what is not encrypted.

Wire: information(1: bit 0 encrypted, bits 5-7 version), then repeating object(1) value, little-endian; the object gives the length, so an
unknown one ends the reading. Source: bthome.io, format of version 2; lengths held against the package bthome-ble.
"""

PRESS = {1: "single", 2: "double", 3: "triple", 4: "long", 5: "long_double", 6: "long_triple", 0x80: "hold", 0xFE: "hold"}
"""Object 3A. FE is what older Shelly firmware says for hold; 81, let go after holding, is no press."""

_TRUTHS = {
    0x11: "opening", 0x15: "battery_low", 0x17: "carbon_monoxide", 0x1A: "door", 0x1C: "gas", 0x20: "moisture", 0x21: "motion", 0x23: "occupancy",
    0x25: "presence", 0x26: "problem", 0x28: "safety", 0x29: "smoke", 0x2B: "tamper", 0x2C: "vibration", 0x2D: "window",
}  # fmt: skip
_NUMBERS = {
    0x00: ("packet", 1, False), 0x01: ("battery", 1, False), 0x02: ("temperature", 0.01, True), 0x03: ("humidity", 0.01, False),
    0x05: ("illuminance", 0.01, False), 0x0C: ("voltage", 0.001, False), 0x2E: ("humidity", 1, False), 0x3F: ("rotation", 0.1, True),
    0x45: ("temperature", 0.1, True), 0x4A: ("voltage", 0.1, False), 0x57: ("temperature", 1, True), 0x58: ("temperature", 0.35, True),
}  # fmt: skip
# Bytes of each object. All from 0F to 2D but 12 to 14 are truths of one byte.
_LENGTHS = dict.fromkeys(range(0x0F, 0x30), 1) | {
    **dict.fromkeys((0x00, 0x01, 0x09, 0x3A, 0x3B, 0x46, 0x57, 0x58, 0x59, 0x60, 0x64, 0x65), 1),
    **dict.fromkeys((0x02, 0x03, 0x06, 0x07, 0x08, 0x0C, 0x0D, 0x0E, 0x12, 0x13, 0x14, 0x3C, 0x3D, 0x3F, 0x40, 0x41), 2),
    **dict.fromkeys((0x43, 0x44, 0x45, 0x47, 0x48, 0x49, 0x4A, 0x51, 0x52, 0x56, 0x5A, 0x5D, 0x5E, 0x5F, 0x61, 0xF0), 2),
    **dict.fromkeys((0x04, 0x05, 0x0A, 0x0B, 0x42, 0x4B, 0xF2), 3),
    **dict.fromkeys((0x3E, 0x4C, 0x4D, 0x4E, 0x4F, 0x50, 0x55, 0x5B, 0x5C, 0x62, 0x63, 0xF1), 4),
}
_COUNTED = (0x53, 0x54)  # text and raw: one byte of length, then so many


def read(data: bytes, _port: int = 0) -> dict[str, object] | None:
    """What the service data of FCD2 says (with or without those two bytes before it); None when it is not version 2.

    packet, battery, temperature, humidity, voltage …: numbers. door, motion, smoke …: truths. presses: list of {button, press}, button being 1
    for the first object 3A of the advert, 2 for the second. Encrypted data gives {encrypted: True} and nothing else: its key is the owner's.
    """
    if data[:2] == b"\xd2\xfc":
        data = data[2:]
    if not data or data[0] >> 5 != 2:
        return None
    if data[0] & 1:
        return {"encrypted": True}
    found: dict[str, object] = {}
    presses: list[dict[str, object]] = []
    buttons = 0
    at = 1
    while at < len(data):
        which = data[at]
        at += 1
        if which in _COUNTED:
            at += 1 + data[at] if at < len(data) else 1
            continue
        length = _LENGTHS.get(which)
        if length is None or at + length > len(data):
            break
        value = data[at : at + length]
        at += length
        if which == 0x3A:
            buttons += 1
            if value[0] in PRESS:
                presses.append({"button": buttons, "press": PRESS[value[0]]})
        elif which in _TRUTHS:
            found[_TRUTHS[which]] = bool(value[0])
        elif which in _NUMBERS:
            name, factor, is_signed = _NUMBERS[which]
            found[name] = round(int.from_bytes(value, "little", signed=is_signed) * factor, 3)
    if presses:
        found["presses"] = presses
    return found
