"""Raw BLE adverts as gateways hand them on (Minew's G1: rawData): Minew's own frames, iBeacon, Eddystone-UID, BTHome, names.

Wire: repeating length(1) type(1) data (Bluetooth Core, advertising data). Minew's: service data 16, E1 FF A1 frame(1) battery(1) …, MAC
little-endian; numbers 8.8 fixed point, big-endian. Source: Minew's gateway format, and adverts published by others (tests/mqtt/test_byte_codecs.py).
"""

from drivers.mqtt import bthome

TEMPERATURE, LIGHT, MOVEMENT, NAME = 1, 2, 3, 8
_SERVICE_DATA, _MAKER_DATA, _NAMES = 0x16, 0xFF, (0x08, 0x09)


def read(data: bytes, _port: int = 0) -> dict[str, object] | None:
    """What the advert says; None when it holds no part that can be read.

    frame, battery (%), temperature, humidity, light, acceleration ([x, y, z] in g), mac (as hex digits), name: of Minew's own frames
    uuid, major, minor: of an iBeacon. uid: namespace and instance of an Eddystone, hex digits. packet, presses, …: as bthome.read has them
    """
    found: dict[str, object] = {}
    at = 0
    while at + 1 < len(data) and data[at]:
        kind, part = data[at + 1], data[at + 2 : at + 1 + data[at]]
        if len(part) != data[at] - 1:  # cut off
            break
        at += 1 + data[at]
        if kind in _NAMES and part:
            found["name"] = part.decode("utf-8", "replace")
        elif kind == _MAKER_DATA and part[:4] == b"\x4c\x00\x02\x15" and len(part) >= 24:
            found.update(uuid=part[4:20].hex(), major=int.from_bytes(part[20:22], "big"), minor=int.from_bytes(part[22:24], "big"))
        elif kind == _SERVICE_DATA and part[:3] == b"\xaa\xfe\x00" and len(part) >= 20:
            found["uid"] = part[4:20].hex()
        elif kind == _SERVICE_DATA and part[:2] == b"\xd2\xfc":
            found.update(bthome.read(part) or {})
        elif kind == _SERVICE_DATA and part[:3] == b"\xe1\xff\xa1" and len(part) >= 5:
            found.update(_minew(part[3], part[4], part[5:]))
    return found or None


def _minew(frame: int, battery: int, rest: bytes) -> dict[str, object]:
    found: dict[str, object] = {"frame": frame}
    if frame not in (TEMPERATURE, LIGHT, MOVEMENT, NAME):  # where its battery stands is not known
        return found
    if battery <= 100:
        found["battery"] = battery
    if frame == NAME and len(rest) >= 6:
        found.update(mac=rest[5::-1].hex(), name=rest[6:].decode("utf-8", "replace"))
        return found
    if frame == TEMPERATURE and len(rest) >= 4:
        found.update(temperature=_fixed(rest[:2]), humidity=_fixed(rest[2:4]))
    elif frame == LIGHT and rest:
        found["light"] = rest[0]
    elif frame == MOVEMENT and len(rest) >= 6:
        found["acceleration"] = [_fixed(rest[:2]), _fixed(rest[2:4]), _fixed(rest[4:6])]
    if len(rest) == {TEMPERATURE: 10, LIGHT: 7, MOVEMENT: 12}.get(frame) and any(rest[-6:]):
        found["mac"] = rest[:-7:-1].hex()
    return found


def _fixed(two: bytes) -> float:
    return round(int.from_bytes(two, "big", signed=True) / 256, 3)
