"""Telephone numbers as they are seen in China: any usual form in, E.164 out, or None when it is no subscriber's number.

Rules 1 to 9 of the fact sheet. Every result is proved with `phonenumbers.is_valid_number`: without that, extension 8200 would
become +868200 and the hotline +8612349.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Protocol
from urllib.parse import unquote

import phonenumbers

from gateway.config import CallsConfig

# Every caller, agent and trunk of a district fits; beyond it the oldest is worked out anew (about 50 microseconds).
CACHE = 65_536
# E.164 allows 15 digits; prefixes and a trunk's own digits come on top. Longer text is no number.
MAX_LENGTH = 32
MAX_TEXT = 4 * MAX_LENGTH  # with separators, escapes and parameters; keeps the cache small too

OPERATOR_PREFIXES = ("17951", "17911", "17909", "12593", "11808", "10193")
_SEPARATORS = str.maketrans("", "", "-.() \t\u3000\u2010\u2011\u2012\u2013\u2212")
_MOBILE = re.compile(r"1[3-9]\d{9}")
_LANDLINE = re.compile(r"(?:10|2\d)[2-8]\d{7}|[3-9]\d\d[2-8]\d{6,7}")  # area without its 0, then the subscriber
_LOCAL = re.compile(r"[2-8]\d{6,7}")
_AREA = re.compile(r"0?(?:10|2\d|[3-9]\d\d)")


class PlanOptions(Protocol):
    """What a telephone line may set for itself; None: as `[calls]` has it."""

    @property
    def hotlines(self) -> tuple[str, ...] | None: ...

    @property
    def area_code(self) -> str | None: ...

    @property
    def strip(self) -> tuple[str, ...]: ...


class NumberPlan:
    """How numbers look at one place. `area_code` as dialled ("0931"), `strip` prefixes a PBX adds, `hotlines` as people know them."""

    def __init__(self, *, hotlines: Iterable[str] = (), area_code: str = "", strip: Iterable[str] = ()) -> None:
        self._area = area_code.lstrip("0")
        self._strip = tuple(strip)
        self._known_e164 = lru_cache(CACHE)(self._e164)
        self._known_hotline = lru_cache(CACHE)(self._hotline)
        self._hotlines: dict[str, str] = {}
        for number in hotlines:
            self._hotlines[tidy(number).lstrip("+")] = number
            full = self.e164(number)
            if full is not None:
                self._hotlines[full] = number

    @classmethod
    def of_line(cls, options: PlanOptions, calls: CallsConfig) -> "NumberPlan":
        """The plan of one line: its own options before those of the place."""
        return cls(
            hotlines=calls.hotlines if options.hotlines is None else options.hotlines,
            area_code=calls.area_code if options.area_code is None else options.area_code,
            strip=options.strip,
        )

    def e164(self, raw: str) -> str | None:
        """`013893112345`, `+86-138 9311 2345`, `0931 8412345`, `8412345` (with an area code) … as +86…; None: keep it raw."""
        return self._known_e164(raw) if len(raw) <= MAX_TEXT else None

    def _e164(self, raw: str) -> str | None:
        for digits in self._stripped(tidy(raw)):
            found = _first_valid(_candidates(digits, self._area))
            if found is not None:
                return found
        return None

    def hotline(self, raw: str) -> str | None:
        """The configured hotline this called number means, or None: 12349, +8612349, 093112349, +8693112349, a trunk's own number."""
        return self._known_hotline(raw) if len(raw) <= MAX_TEXT else None

    def _hotline(self, raw: str) -> str | None:
        for digits in self._stripped(tidy(raw)):
            national = _national(digits)
            for form in (digits.lstrip("+"), national, national.removeprefix("0")):
                found = self._hotlines.get(form)
                if found is not None:
                    return found
            short = self._without_area(national)
            if short in self._hotlines:
                return self._hotlines[short]
        full = self.e164(raw)
        return self._hotlines.get(full) if full is not None else None

    def _without_area(self, national: str) -> str:
        """Ours if we know it; else any area: a call that reaches this exchange as 0xxx-12349 was meant for it."""
        if self._area:
            return national.removeprefix("0").removeprefix(self._area)
        found = _AREA.match(national)
        return national[found.end() :] if found else national

    def _stripped(self, digits: str) -> Iterator[str]:
        """The number without a prefix its PBX adds, first; then as it came, for the day the PBX adds none."""
        for prefix in self._strip:
            if prefix and digits.startswith(prefix) and len(digits) > len(prefix):
                yield digits[len(prefix) :]
        yield digits


def tidy(raw: str) -> str:
    """Digits, with a leading + if there was one, out of a URI's user part; "" when it is no number at all."""
    text = raw.partition(";")[0]
    text = unicodedata.normalize("NFKC", unquote(text, errors="replace")).translate(_SEPARATORS)
    digits = text[1:] if text.startswith("+") else text
    return text if len(text) <= MAX_LENGTH and digits.isascii() and digits.isdigit() else ""


def _candidates(digits: str, area: str) -> Iterator[str]:
    """International forms worth proving, the likeliest reading first."""
    if not digits:
        return
    national = _national(digits)
    if digits[0] == "+" or digits.startswith("00"):
        foreign = digits.removeprefix("+") if digits[0] == "+" else digits[2:]
        yield from _national_candidates(national) if foreign.startswith("86") else iter(("+" + foreign,))
        return
    yield from _national_candidates(digits)
    if national != digits:  # 86 without a plus
        yield from _national_candidates(national)
    if area and _LOCAL.fullmatch(digits):
        yield "+86" + area + digits
    for prefix in OPERATOR_PREFIXES:
        if digits.startswith(prefix):
            yield from _national_candidates(digits[len(prefix) :])


def _national_candidates(digits: str) -> Iterator[str]:
    """A number inside China, with or without the trunk 0. 010 + 8 digits is Beijing, 01[3-9] + 9 digits a mobile with a 0."""
    if digits.startswith("0"):
        bare = digits[1:]
        if _MOBILE.fullmatch(bare) or _LANDLINE.fullmatch(bare):
            yield "+86" + bare
    elif _MOBILE.fullmatch(digits):
        yield "+86" + digits


def _national(digits: str) -> str:
    """Without +86, 0086 or 86; a subscriber's number of another place gets its trunk 0 back so that it reads as dialled here."""
    bare = digits.removeprefix("+") if digits.startswith("+") else digits.removeprefix("00") if digits.startswith("00") else digits
    if not bare.startswith("86"):
        return digits.removeprefix("+")
    rest = bare[2:]
    return "0" + rest if _LANDLINE.fullmatch(rest) else rest


def _first_valid(candidates: Iterable[str]) -> str | None:
    for candidate in candidates:
        try:
            number = phonenumbers.parse(candidate, "CN")
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return None
