"""What the body of a DC-09 frame says: header, data, extended data and time; nothing of what it means.

Shape: `"id"seq[Rrcv]Lpref#acct[data][xdata…][timestamp]`; encrypted: everything behind the first `[` is hex digits.
Source: ANSI/SIA DC-09-2013, clause 5.5; lengths and names of extended data as in the fact sheet.
"""

import re
from datetime import UTC, datetime
from typing import NamedTuple

_HEADER = re.compile(rb'"(\*?)([A-Z0-9-]{1,16})"([0-9A-Fa-f]{4})(R[0-9A-Fa-f]{1,6})?(L[0-9A-Fa-f]{0,6})(?:#([0-9A-Za-z]{1,16}))?\[', re.ASCII)
_DATA = re.compile(r"\|?(?:#([0-9A-Za-z]{1,16})(?:\||$))?\|?(.*)", re.S)
_EXTENDED = re.compile(r"\[([^\]]*)\]")
_TIME = re.compile(r"_?(\d\d):(\d\d):(\d\d),(\d\d)-(\d\d)-(\d{4})", re.ASCII)
_LONGITUDE = re.compile(r"(\d{3})([EW])(\d\d(?:\.\d+)?)", re.ASCII)
_LATITUDE = re.compile(r"(\d{2})([NS])(\d\d(?:\.\d+)?)", re.ASCII)
_ALTITUDE = re.compile(r"([+-]?\d+(?:\.\d+)?)M?", re.ASCII)
_DEGREES = re.compile(r"[+-]?\d{1,3}\.\d+", re.ASCII)

# Extended data under the names the standard uses. Keys (K) and programming (P) are not for showing.
_NAMES = {
    "A": "authentication_hash",
    "C": "supervision_category",
    "I": "text",
    "J": "network_path",
    "L": "location",
    "M": "mac",
    "N": "network_address",
    "O": "building",
    "R": "room",
    "S": "site",
    "T": "trigger",
    "V": "verification",
}
_SECRET = {"K": "key_request", "P": "programming"}


class Header(NamedTuple):
    """Up to and with the first `[`. echo: seq, R, L and #acct as sent, to be given back; account in capitals, None where there is none.

    sequence: decimal digits by the standard; dc09_spt counts in hex digits, and a number that has any is read so.
    """

    is_encrypted: bool
    token: str
    sequence: int
    receiver: str
    prefix: str
    account: str | None
    echo: bytes
    rest: bytes


class Content(NamedTuple):
    """Behind the first `[`, in clear. time: of the message, UTC; time_text: what stands where only a time should."""

    account: str | None
    data: str
    extended: tuple[str, ...]
    time: datetime | None
    time_text: str


class Extras(NamedTuple):
    """What the extended data say. time: of the occurrence."""

    time: datetime | None
    lat: float | None
    lon: float | None
    detail: dict[str, object]


def read_header(body: bytes) -> Header | None:
    """The header, or None when the body does not begin with one."""
    found = _HEADER.match(body)
    if found is None:
        return None
    star, token, sequence, receiver, prefix, account = found.groups()
    echo = body[found.start(3) : found.end() - 1]
    return Header(
        bool(star),
        token.decode(),
        int(sequence, 10 if sequence.isdigit() else 16),
        (receiver or b"")[1:].decode(),
        prefix[1:].decode(),
        account.decode().upper() if account else None,
        echo,
        body[found.end() :],
    )


def read_content(rest: bytes) -> Content | None:
    """`data][xdata…][timestamp]` in clear, or None when the data have no end. What follows the data may be anything: an alarm is not lost for it."""
    text = read_text(rest)
    data, bracket, behind = text.partition("]")
    if not bracket:
        return None
    found = _DATA.fullmatch(data)
    assert found is not None  # every part of it may be empty
    extended = []
    at = 0
    while (one := _EXTENDED.match(behind, at)) is not None:
        extended.append(one[1])
        at = one.end()
    tail = behind[at:]
    stamp = max(tail.rfind("_"), 0)  # a text with a bracket in it ends the data early; what ends like a time is one all the same
    time = read_time(tail[stamp:])
    return Content(found[1].upper() if found[1] else None, found[2], tuple(extended), time, tail[:stamp] if time else tail)


def is_sensible(content: Content) -> bool:
    """May this have come out of a right key? Only that gives a time; without one, text throughout and nothing behind data and extended data."""
    return content.time is not None or (not content.time_text and all(text.isprintable() for text in (content.data, *content.extended)))


def read_text(octets: bytes) -> str:
    """UTF-8 where it is that, else Windows-1252."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("cp1252", "replace")


def read_time(text: str) -> datetime | None:
    """`_HH:MM:SS,MM-DD-YYYY`, UTC."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    hour, minute, second, month, day, year = map(int, found.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


def write_time(at: datetime) -> bytes:
    """The same, of an aware time."""
    return f"_{at.astimezone(UTC):%H:%M:%S,%m-%d-%Y}".encode()


def read_extended(extended: tuple[str, ...]) -> Extras:
    """Extended data: a letter and a value each. What is not of the expected shape, or comes twice, stays as it is in `extended`."""
    first: dict[str, str] = {}
    other: list[str] = []
    for one in extended:
        letter, value = one[:1], one[1:]
        known = letter in _NAMES or letter in _SECRET or letter in ("H", "X", "Y", "Z")
        if not known or letter in first:
            other.append(one)
        else:
            first[letter] = value
    detail: dict[str, object] = {_NAMES[letter]: value for letter, value in first.items() if letter in _NAMES}
    detail |= {_SECRET[letter]: True for letter in first if letter in _SECRET}
    time = read_time(first["H"]) if "H" in first else None
    lat, lon = _coordinate(first.get("Y", ""), _LATITUDE, 90.0), _coordinate(first.get("X", ""), _LONGITUDE, 180.0)
    has_place = lat is not None and lon is not None and not any(one[:1] in ("X", "Y") for one in other)
    altitude = _ALTITUDE.fullmatch(first["Z"]) if "Z" in first and has_place else None
    if altitude is not None:
        detail["altitude_m"] = float(altitude[1])
    other += [letter + first[letter] for letter in ("X", "Y") if letter in first and not has_place]
    other += ["Z" + first["Z"]] if "Z" in first and altitude is None else []
    other += ["H" + first["H"]] if "H" in first and time is None else []
    if other:
        detail["extended"] = sorted(other, key=extended.index)
    return Extras(time, lat if has_place else None, lon if has_place else None, detail)


def _coordinate(text: str, shape: re.Pattern[str], most: float) -> float | None:
    """Degrees, a letter and minutes (`093W23.456`, the standard's), or degrees with a decimal point; anything else is no coordinate."""
    found = shape.fullmatch(text)
    if found is not None and float(found[3]) < 60:
        value = (int(found[1]) + float(found[3]) / 60) * (-1 if found[2] in "SW" else 1)
    elif _DEGREES.fullmatch(text):
        value = float(text)
    else:
        return None
    return round(value, 7) if abs(value) <= most else None
