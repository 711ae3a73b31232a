"""The functions that mapping profiles have beside those of JMESPath; all pure, cheap and forgiving: what does not fit gives null."""

import base64
import binascii
from typing import Any

from jmespath import functions
from jmespath.visitor import Options, TreeInterpreter

MAX_TEXT = 64 * 1024  # characters that are lowered or converted; a result may not be longer
WORDS = {"true": True, "1": True, "on": True, "yes": True, "false": False, "0": False, "off": False, "no": False}
"""What counts as true and as false when a profile does not say otherwise; case and white space around do not matter."""


def canonical(value: object) -> str | None:
    """A value as the word that tables of words and maps look up: true, 5, 5.5, on. None for lists, objects, null and endless text."""
    if isinstance(value, str):
        return value.strip() if len(value) <= 1024 else None
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if -(2**63) <= value < 2**64 else None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return None


def whole(value: object) -> int | None:
    """A number as a whole one: 5, 5.0, "5", "0x1F"."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str) and 0 < len(value) <= 40 and value.isascii():
        try:
            return int(value, 16) if value[:2] in ("0x", "0X") else int(value)
        except ValueError:
            return None
    return None


def word(value: object) -> bool | None:
    """True or False for the usual words, else None."""
    found = canonical(value)
    return WORDS.get(found.lower()) if found is not None else None


class ProfileFunctions(functions.Functions):  # type: ignore[misc]
    """bit, mul, hex, lower, b64hex, word; the docstrings are the reference of docs/guide/mappings.md."""

    @functions.signature({"types": []}, {"types": ["number"]})  # type: ignore[untyped-decorator]
    def _func_bit(self, value: object, number: float) -> bool | None:
        """Is bit `number` (0 = least) of a number, or of its text, set?"""
        found = whole(value)
        return None if found is None or not 0 <= number < 64 else bool(found >> int(number) & 1)

    @functions.signature({"types": []}, {"types": ["number"]})  # type: ignore[untyped-decorator]
    def _func_mul(self, value: object, factor: float) -> float | None:
        """A number, or its text, times a factor."""
        if isinstance(value, bool) or not isinstance(value, int | float | str) or (isinstance(value, str) and len(value) > 40):
            return None
        try:
            return float(value) * factor
        except (ValueError, OverflowError):
            return None

    @functions.signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_hex(self, value: object) -> int | None:
        """The number that a text of hex digits says, 1A is 26; at most 16 digits."""
        if not isinstance(value, str) or not 0 < len(value) <= 18 or not value.isascii() or "_" in value:
            return None
        try:
            return int(value, 16)
        except ValueError:
            return None

    @functions.signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_lower(self, value: object) -> str | None:
        """A text in small letters."""
        return value.lower() if isinstance(value, str) and len(value) <= MAX_TEXT else None

    @functions.signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_b64hex(self, value: object) -> str | None:
        """Base64 as text of hex digits."""
        if not isinstance(value, str) or len(value) > MAX_TEXT // 2:
            return None
        try:
            return base64.b64decode(value, validate=True).hex()
        except (binascii.Error, ValueError):
            return None

    @functions.signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_word(self, value: object) -> bool | None:
        """True for true, 1, on, yes; false for false, 0, off, no; else null."""
        return word(value)


FUNCTIONS = ProfileFunctions()
INTERPRETER: Any = TreeInterpreter(Options(custom_functions=FUNCTIONS))
