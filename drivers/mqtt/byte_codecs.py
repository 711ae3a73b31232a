"""Bytes inside a message: named codecs in Python, and slices that a profile describes itself. Bytes never make them raise.

To add a codec: a function (data, port) -> fields or None in a module beside this one, and a row in BYTE_CODECS.
"""

import base64
import binascii
import struct
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Literal

import msgspec

ByteCodec = Callable[[bytes, int], dict[str, object] | None]
"""(data, port) -> what it says, as JSON would have it; None when it is nothing of this codec. port: LoRaWAN fPort, 0 when unknown."""

MAX_BYTES = 4096  # a LoRaWAN uplink has at most 242, an advert 255
MAX_SLICES = 64

BYTE_CODECS: dict[str, str] = {
    "abeeway": "drivers.mqtt.abeeway:read",
    "browan": "drivers.mqtt.browan:read",
    "bthome": "drivers.mqtt.bthome:read",
    "milesight-channels": "drivers.mqtt.milesight:read",
    "minew": "drivers.mqtt.minew:read",
    "trackerd": "drivers.mqtt.trackerd:read",
}
"""Name in a profile -> "module:function"; imported only when a profile refers to it."""


def codec_named(name: str) -> ByteCodec:
    """The function. ValueError: there is none of that name."""
    if name not in BYTE_CODECS:
        raise ValueError(f"{name!r} is not known; known: {', '.join(sorted(BYTE_CODECS)) or 'none'}")
    module, _, function = BYTE_CODECS[name].partition(":")
    found: ByteCodec = getattr(import_module(module), function)
    return found


class Slice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`length` bytes from byte `at` on (negative: from the end). bcd and hex give text; float has 4 or 8 bytes, ascii stops at a 0."""

    at: int
    length: int = 1
    type: Literal["uint", "int", "float", "bcd", "hex", "ascii"] = "uint"
    endian: Literal["big", "little"] = "big"
    scale: int | float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.length <= 255 or not -MAX_BYTES <= self.at < MAX_BYTES:
            raise ValueError("length: write 1 to 255 bytes")
        if self.type in ("uint", "int") and self.length > 8:
            raise ValueError("length: numbers have at most 8 bytes")
        if self.type == "float" and self.length not in (4, 8):
            raise ValueError("length: a float has 4 or 8 bytes")
        if self.scale is not None and self.type in ("bcd", "hex", "ascii"):
            raise ValueError("scale: is for numbers")


def read_slices(slices: Mapping[str, Slice]) -> ByteCodec:
    """A codec of these slices; those beyond the end of the data are absent."""
    wanted = tuple(slices.items())

    def read(data: bytes, _port: int) -> dict[str, object] | None:
        found: dict[str, object] = {"length": len(data)}
        for name, one in wanted:
            start = one.at if one.at >= 0 else len(data) + one.at
            piece = data[start : start + one.length] if start >= 0 else b""
            if len(piece) == one.length:
                found[name] = _number(one, piece)
        return found

    return read


def _number(one: Slice, piece: bytes) -> object:
    if one.type in ("hex", "bcd"):
        return (piece if one.endian == "big" else piece[::-1]).hex()
    if one.type == "ascii":
        return piece.partition(b"\0")[0].decode("ascii", "replace")
    value: float
    if one.type == "float":
        [value] = struct.unpack(("<" if one.endian == "little" else ">") + ("f" if one.length == 4 else "d"), piece)
    else:
        value = int.from_bytes(piece, one.endian, signed=one.type == "int")
    # 8 digits are 1 mm in degrees: enough for every sensor, and no 22.706259999999997
    return round(value * one.scale, 8) if one.scale is not None else value


def to_bytes(value: object, encoding: str) -> bytes | None:
    """The bytes of a text in base64 or hex (white space, colons and dashes do not matter); None when it is none."""
    if not isinstance(value, str) or len(value) > 3 * MAX_BYTES:
        return None
    try:
        if encoding == "hex":
            return bytes.fromhex(value.replace(":", "").replace("-", ""))
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
