"""What may stand in one cell of the register: ids, numbers, closed words, telephone numbers, hours; and names that look damaged."""

import math
import re
import unicodedata
from collections.abc import Callable
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar

import phonenumbers

from gateway.coordinates import Datum
from gateway.csv_file import CellFault

Word = TypeVar("Word", bound=StrEnum)

SEPARATOR = ";"  # between several values in one cell
EMERGENCY = re.compile(r"1\d\d")  # 110, 119, 120: no subscriber's number, and the only thing that may stand in place of one

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # part of a topic and of a URL: no / + # and no space
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")  # as the configuration has names
_MAX_ADDRESS = 128  # characters, as of an MQTT device: a friendly name may be 厨房 or "floor 2/room 7/cord"
_HOURS = re.compile(r"([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)")
_DAY = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
_DAYS = re.compile(r"[1-7](-[1-7])?")
NUMBER_LIKE = re.compile(r"[+(]?[0-9][0-9 ()\u3000-]*")
_SIP = re.compile(r"sips?:[0-9A-Za-z_.!~*'()&=+$,;?/%-]{1,64}@[0-9A-Za-z.:\[\]-]{1,128}(;[0-9A-Za-z=_.-]+)*")
_URL = re.compile(r"https?://[!-~]+")
MAIL = re.compile(r"[0-9A-Za-z.!#$%&'*+/=?^_`{|}~-]{1,64}@[0-9A-Za-z][0-9A-Za-z.-]{0,252}")
ROBOT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")  # gateway.config.words.Name
_HAN_NAME = re.compile(r"[㐀-䶿一-鿿\U00020000-\U0003ffff·]+")
_PHONE_NOISE = str.maketrans("", "", " -()\u3000\u2010\u2011\u2012\u2013")
_LOCAL = re.compile(r"[2-8]\d{6,7}")

# Validity is the library's own data, asked directly: its parser needs 50 µs a number, its patterns 1 µs.
_CHINA: Any = phonenumbers.PhoneMetadata.metadata_for_region("CN")
_MOBILE = re.compile(rf"(?:\+86|0086|86)?({_CHINA.mobile.national_number_pattern})")
_LANDLINE = re.compile(rf"(?:\+86|0086|0)({_CHINA.fixed_line.national_number_pattern})")


def identifier(text: str) -> str:
    """The id of a person, area, responder or home."""
    if not _ID.fullmatch(text):
        raise CellFault("is no id", "use up to 64 letters, digits, - _ . and begin with a letter or digit")
    return text


def section(text: str) -> str:
    """The name of a [[device_class]] or [[watch]] of the configuration."""
    if not _NAME.fullmatch(text):
        raise CellFault("is no name of a section", "write the name of a [[device_class]] or [[watch]]: lower case, digits, - and _")
    return text


def address(text: str) -> str:
    """A device's address on its line."""
    if len(text) > _MAX_ADDRESS or not text.isprintable():
        raise CellFault("is no address of a device", f"use up to {_MAX_ADDRESS} printable characters, as the protocol has it")
    return text


def number(low: float, high: float) -> Callable[[str], float]:
    """A decimal number between two bounds, both allowed."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise CellFault("is no number in range", f"write a number from {low:g} to {high:g}")
        return value

    return parse


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number between two bounds, both allowed; equal cells share one object."""

    @lru_cache(maxsize=1024)
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and low <= int(text) <= high):
            raise CellFault("is no whole number in range", f"write a whole number from {low} to {high}")
        return int(text)

    return parse


def word(kind: type[Word]) -> Callable[[str], Word]:
    """One of a closed list."""

    def parse(text: str) -> Word:
        try:
            return kind(text)
        except ValueError:
            raise CellFault("is not a word of the list", f"write one of {', '.join(kind)}") from None

    return parse


def datum(text: str) -> Datum:
    """In which system a home's coordinates are written: as its geocoder has them."""
    if text not in (Datum.WGS84, Datum.GCJ02, Datum.BD09):
        raise CellFault("is not a word of the list", "write wgs84, gcj02 (Amap, Tencent) or bd09 (Baidu)")
    return Datum(text)


def several(parse: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """Values separated by SEPARATOR; equal cells share one tuple (a hundred thousand persons have a dozen different ones)."""

    @lru_cache(maxsize=4096)
    def split(text: str) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(parse(part.strip()) for part in text.split(SEPARATOR) if part.strip()))

    return split


def plain(text: str) -> str:
    """Any text of one line's length."""
    if len(text) > 500:
        raise CellFault("is longer than 500 characters", "shorten it")
    return text


def hours(text: str) -> str:
    """Local time HH:MM-HH:MM, past midnight allowed."""
    if not _HOURS.fullmatch(text) or text[:5] == text[6:]:
        raise CellFault("is no time of duty", "write HH:MM-HH:MM, for example 08:00-20:00; leave it empty for always")
    return text


def day(text: str) -> str:
    """A date as YYYY-MM-DD."""
    if not _DAY.fullmatch(text):
        raise CellFault("is no date", "write YYYY-MM-DD")
    return text


def date_of(text: str) -> date:
    """A day that exists, as YYYY-MM-DD."""
    try:
        return date.fromisoformat(day(text))
    except ValueError as error:
        if isinstance(error, CellFault):
            raise
        raise CellFault("is no day of the calendar", "write YYYY-MM-DD") from None


def yes_or_no(text: str) -> bool:
    """A mark: yes or no."""
    if text not in ("yes", "no"):
        raise CellFault("is neither yes nor no", "write yes or no; empty means no")
    return text == "yes"


def days(text: str) -> str:
    """Days of a roster: 1 to 7 (Monday first), 1-5, holiday, workday; several separated by ;. Without repetition, as written."""
    words = tuple(dict.fromkeys(word.strip() for word in text.split(SEPARATOR) if word.strip()))
    for word in words:
        if word not in ("holiday", "workday") and not (_DAYS.fullmatch(word) and word[0] <= word[-1]):
            raise CellFault("is no day of a roster", "write 1 to 7 (Monday first), 1-5, holiday or workday; several are separated by ;")
    return SEPARATOR.join(words)


def url(text: str) -> str:
    """Where a webhook is."""
    if not _URL.fullmatch(text):
        raise CellFault("is no web address", "write http:// or https:// and the rest")
    return text


def web_or_sip(text: str) -> str:
    """Where orders go that are not rung: a web address, or a SIP address that takes texts."""
    return text if _SIP.fullmatch(text) else url(text)


def way(text: str) -> str:
    """Where orders go: a web, SIP or mail address, or the name of a robot of the configuration."""
    return text if MAIL.fullmatch(text) or ROBOT.fullmatch(text) else web_or_sip(text)


def phone(area_code: str) -> Callable[[str], str]:
    """A Chinese subscriber's number in any usual form, or a foreign one with +, as E.164. `area_code` (with its 0) completes local numbers."""

    def parse(text: str) -> str:
        digits = text.translate(_PHONE_NOISE)
        plain_number = _MOBILE.fullmatch(digits) or _LANDLINE.fullmatch(digits)
        if plain_number:
            return "+86" + plain_number[1]
        if area_code and _LOCAL.fullmatch(digits):
            digits = area_code + digits
        try:
            parsed = phonenumbers.parse(digits, "CN")
        except phonenumbers.NumberParseException:
            parsed = None
        if parsed is None or not phonenumbers.is_valid_number(parsed):
            raise CellFault("is no valid telephone number", "write 138… (11 digits), 0931-… or +countrycode…; several are separated by ;")
        return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))

    return parse


def is_name_damaged(name: str) -> bool:
    """Does a name look like broken encoding (`養(yǎng)老`, `å¼ ä¼Ÿ`, `张?`) or mix scripts, Simplified with Traditional included?"""
    if _HAN_NAME.fullmatch(name):
        return _mixes_forms(name.replace("·", ""))
    scripts = set()
    for character in name:
        category = unicodedata.category(character)
        if category in ("Cc", "Co", "Cn", "Cs", "So") or character in "?？\ufffd":
            return True
        if category[0] == "L":
            scripts.add(unicodedata.name(character, "?").partition(" ")[0])
    return len(scripts) > 1 or any("\x80" <= character <= "\u00ff" for character in name)


def _mixes_forms(name: str) -> bool:
    """GB 2312 has no purely Traditional character, Big5 no purely Simplified one: a name that needs both is mixed.

    A character in neither (rare names) proves nothing.
    """
    if _encodes(name, "gb2312"):
        return False
    only = {(_encodes(character, "gb2312"), _encodes(character, "big5")) for character in name}
    return (True, False) in only and (False, True) in only


def _encodes(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
