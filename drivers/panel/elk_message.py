"""A message of an Elk-M1: one line with its length and checksum, the tables of its classes, and the code that nobody may keep.

Wire: LL MM data 00 CC. LL counts (hex) the characters after it, MM names the message, CC makes the sum of all characters before it zero mod 256.
Source: elkm1-lib 2.2.15; Elk-M1 RS-232 ASCII protocol.
"""

import re
from typing import NamedTuple

from gateway.event import Kind

ZONES, AREAS = 208, 8
NORMAL, TROUBLE, VIOLATED, BYPASSED = range(4)  # the high two bits of a zone's status
PHYSICAL = ("unconfigured", "open", "end of line", "short")  # the low two

ZONE_ALARMS: dict[str, tuple[Kind, str]] = {
    "0": (Kind.GENERAL, "none"),
    **dict.fromkeys("12345678", (Kind.INTRUSION, "burglar")),
    "9": (Kind.TAMPER, "burglar box tamper"),
    ":": (Kind.FIRE, "fire"),
    ";": (Kind.FIRE, "verified fire"),
    "<": (Kind.FAULT, "fire supervisory"),
    "=": (Kind.GENERAL, "auxiliary 1"),
    ">": (Kind.GENERAL, "auxiliary 2"),
    "A": (Kind.CO, "carbon monoxide"),
    "B": (Kind.SOS, "emergency"),
    "C": (Kind.TEMPERATURE, "freeze"),
    "D": (Kind.GAS, "gas"),
    "E": (Kind.FIRE, "heat"),
    "F": (Kind.MEDICAL, "medical"),
    "G": (Kind.SOS, "police"),
    "H": (Kind.SOS, "police, no indication"),
    "I": (Kind.WATER_LEAK, "water"),
}
AREA_ALARMS: dict[str, tuple[Kind, str]] = {
    "0": (Kind.GENERAL, "none"),
    "1": (Kind.GENERAL, "entrance delay"),
    "2": (Kind.GENERAL, "abort delay"),
    "3": (Kind.FIRE, "fire"),
    "4": (Kind.MEDICAL, "medical"),
    "5": (Kind.SOS, "police"),
    "6": (Kind.INTRUSION, "burglar"),
    "7": (Kind.GENERAL, "auxiliary 1"),
    "8": (Kind.GENERAL, "auxiliary 2"),
    "9": (Kind.GENERAL, "auxiliary 3"),
    ":": (Kind.GENERAL, "auxiliary 4"),
    ";": (Kind.CO, "carbon monoxide"),
    "<": (Kind.SOS, "emergency"),
    "=": (Kind.TEMPERATURE, "freeze"),
    ">": (Kind.GAS, "gas"),
    "?": (Kind.FIRE, "heat"),
    "@": (Kind.WATER_LEAK, "water"),
    "A": (Kind.FAULT, "fire supervisory"),
    "B": (Kind.FIRE, "verified fire"),
    "U": (Kind.FAULT, "unsupervised zone trouble"),
}

# What the data of a message must look like; a panel may add to it in later versions.
_FORMS = {
    "ZC": re.compile(r"(?!000)\d{3}[0-9A-F]"),
    "ZS": re.compile(r"[0-9A-F]{208}"),
    "AZ": re.compile(r"[0-Z]{208}"),
    "AS": re.compile(r"[0-Z]{24}"),
    "AM": re.compile(r"[0-9]{8}"),
    "IC": re.compile(r".{12}\d{5}"),
    "XK": re.compile(r"\d{16}"),
    "LD": re.compile(r"\d{22}"),
}
_SECRET = re.compile(rb"(?<=IC|UA)[^\r\n]{1,12}")  # a user's code, wherever a broken line has it


class Message(NamedTuple):
    """raw is without any code."""

    name: str
    data: str
    raw: bytes


class MessageError(Exception):
    """The line is no sound message; its text is a reason in lower_snake."""


def read_message(line: bytes) -> Message:
    """Read one line without its end. Raises MessageError, nothing else."""
    try:
        text = line.decode("ascii").strip()
        length, check = int(text[:2], 16), int(text[-2:], 16)
    except ValueError:
        raise MessageError("unparsable") from None
    if length != len(text) - 2 or len(text) < 6:
        raise MessageError("bad_length")
    if (sum(text[:-2].encode("ascii")) + check) % 256:
        raise MessageError("bad_checksum")
    name, data = text[2:4], text[4:-2]
    if name in _FORMS:
        found = _FORMS[name].match(data)
        if found is None:
            raise MessageError("bad_data")
        data = found[0]  # without the reserved characters, which AM does not have
    return Message(name, data, masked(line) if name in ("IC", "UA") else line)


def masked(line: bytes) -> bytes:
    """The same with a user's code made unreadable."""
    return _SECRET.sub(lambda found: b"*" * len(found[0]), line)


def write_message(name: str, data: str = "") -> bytes:
    """A message to the panel, as a line."""
    body = f"{len(data) + 6:02X}{name}{data}00".encode("ascii")
    return body + f"{-sum(body) % 256:02X}\r\n".encode("ascii")
