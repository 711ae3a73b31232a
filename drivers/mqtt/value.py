"""One value of a profile: where it is found in a message (JMESPath), and the small table of what is done to it until it may be used.

`battery_pct = "battery"` is short for `battery_pct = { path = "battery" }`. The steps always run in this order, whatever order they are written in:
path, default, map | words | bits, number, scale, offset, round, range, zero_is_absent, time. What does not survive a step is absent, never 0.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from drivers.mqtt.functions import WORDS, canonical, whole
from drivers.mqtt.profile_expression import Expression, compile_expression

MAX_RESULT = 64 * 1024  # bytes of one result (mapping.md)
_LAST_SECOND = 253_402_300_799  # the end of the year 9999, the last that datetime can say
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AUTO_MS = 100_000_000_000  # beyond it an epoch is in ms: as seconds it would be the year 5138, as ms it is 1973

TimeFormat = Literal["iso", "epoch-s", "epoch-ms", "epoch-auto", "iso-or-epoch-s", "iso-or-epoch-ms", "ddmmyy-hhmmss", "yymmdd-hhmmss", "bcd"]
Step = Callable[[Any], Any]
Sort = Literal["number", "whole", "text", "truth", "time", "any"]
"""What a place wants: the last step makes it so, or the value is absent."""


class WordTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"yes": "true", "no": "false"}):
    """Words that mean true and words that mean false; case does not matter."""

    yes: tuple[str | bool | int | float, ...] = ()
    no: tuple[str | bool | int | float, ...] = ()


class ValueTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"otherwise": "else", "outside": "range", "nearest": "round"}):
    """The words of docs/guide/mappings.md for one value."""

    path: str
    default: str | bool | int | float | None = None
    map: dict[str, str | bool | int | float] | None = None
    otherwise: str | bool | int | float | None = None
    words: WordTable | None = None
    bits: dict[str, str] | None = None
    scale: int | float | None = None
    offset: int | float | None = None
    nearest: int | None = None
    outside: tuple[int | float, int | float] | None = None
    zero_is_absent: bool = False
    format: TimeFormat | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """A compiled value. `read` never raises: what its expression raises joins `faults` and the value is absent."""

    expression: Expression
    default: object
    steps: tuple[tuple[str, Step], ...]

    def read(self, context: Mapping[str, Any], faults: list[str]) -> Any:
        """The value, or None when it is absent."""
        try:
            value = self.expression.search(context)
            if value is None:
                value = self.default
            for _, step in self.steps:
                if value is None:
                    return None
                value = step(value)
            return value
        except Exception as error:
            faults.append(f"{self.expression.text}: {type(error).__name__}: {error}"[:200])
            return None

    def explain(self, context: Mapping[str, Any]) -> tuple[object, Any, str]:
        """(what the path found, the value, why it is absent or ""), for `gateway mapping try`."""
        try:
            found = self.expression.search(context)
            value = self.default if found is None else found
            if value is None:
                return None, None, "not_there"
            for name, step in self.steps:
                value = step(value)
                if value is None:
                    return found, None, name
            return found, value, ""
        except Exception as error:
            return None, None, f"{type(error).__name__}: {error}"[:200]


@dataclass(frozen=True, slots=True)
class Setting:
    """What a place in a profile gives to the values that stand there: what sort it wants, and its usual range."""

    sort: Sort
    outside: tuple[float, float] | None = None
    zero_is_absent: bool = False
    zone: tzinfo = UTC


def compile_value(given: ValueTable, setting: Setting) -> Value:
    """Compile. ValueError says `key: what is wrong; remedy`."""
    try:
        expression = compile_expression(given.path)
    except ValueError as error:
        raise ValueError(f"path: {error}") from error
    steps: list[tuple[str, Step]] = []
    tables = [name for name, table in (("map", given.map), ("words", given.words), ("bits", given.bits)) if table is not None]
    if len(tables) > 1:
        raise ValueError(f"{tables[1]}: cannot stand beside {tables[0]}; keep one")
    if given.otherwise is not None and given.map is None:
        raise ValueError("else: belongs to map; write map, or default for a value that is not there")
    if given.map is not None:
        steps.append(("map", _mapped(given.map, given.otherwise)))
    if given.words is not None:
        steps.append(("words", truth(given.words)))
    if given.bits is not None:
        steps.append(("bits", _bits(given.bits)))
    numeric = [name for name, told in _numeric(given) if told]
    if setting.sort not in ("number", "whole", "any") and numeric:
        raise ValueError(f"{numeric[0]}: is for numbers; this is no number")
    if (given.format is not None or given.zone is not None) and setting.sort != "time":
        raise ValueError("format: is for time; this is no time")
    if setting.sort in ("number", "whole") or numeric:
        steps.append(("number", number))
        steps += _arithmetic(given, setting)
        if setting.sort == "whole":
            steps.append(("number", _whole_step))
    elif setting.sort == "text":
        steps.append(("text", _text))
    elif setting.sort == "truth" and given.words is None:
        steps.append(("words", truth(None)))
    elif setting.sort == "time":
        steps.append(("time", _time(given.format or "iso-or-epoch-s", read_zone(given.zone) if given.zone else setting.zone)))
    else:
        steps.append(("result", bounded))
    return Value(expression, given.default, tuple(steps))


def _numeric(given: ValueTable) -> tuple[tuple[str, bool], ...]:
    return (
        ("scale", given.scale is not None),
        ("offset", given.offset is not None),
        ("round", given.nearest is not None),
        ("range", given.outside is not None),
        ("zero_is_absent", given.zero_is_absent),
    )


def _arithmetic(given: ValueTable, setting: Setting) -> list[tuple[str, Step]]:
    steps: list[tuple[str, Step]] = []
    if given.scale is not None:
        scale = given.scale
        steps.append(("scale", lambda value: value * scale))
    if given.offset is not None:
        offset = given.offset
        steps.append(("offset", lambda value: value + offset))
    if given.nearest is not None:
        digits = given.nearest
        if not 0 <= digits <= 12:
            raise ValueError("round: write 0 to 12 digits")
        steps.append(("round", lambda value: round(value, digits)))
    if given.outside is not None and given.outside[0] >= given.outside[1]:
        raise ValueError(f"range: {list(given.outside)} holds nothing; write the smaller number first")
    limits = given.outside or setting.outside
    if limits is not None:
        low, high = limits
        steps.append(("range", lambda value: value if low <= value <= high else None))
    if given.zero_is_absent or setting.zero_is_absent:
        steps.append(("zero_is_absent", lambda value: value or None))
    return steps


# --- steps


def number(value: object) -> float | None:
    """A finite number, also when it came as text; a boolean is none."""
    kind = type(value)
    if kind is int:
        return value if abs(value) < 2**63 else None  # type: ignore[arg-type, return-value]
    if kind is float:
        return value if math.isfinite(value) else None  # type: ignore[arg-type, return-value]
    if kind is str and len(value) <= 40 and "_" not in value:  # type: ignore[arg-type, operator]
        try:
            read = float(value)  # type: ignore[arg-type]
        except ValueError:
            return None
        return (int(read) if read.is_integer() and abs(read) < 2**53 else read) if math.isfinite(read) else None
    return None


def _whole_step(value: float) -> int | None:
    found = whole(value)
    return found if found is not None and abs(found) < 2**63 else None


def _text(value: object) -> str | None:
    found = canonical(value)
    return found or None


def bounded(value: Any) -> Any:
    """A result that may be kept: not above MAX_RESULT, and without numbers that JSON or a store cannot hold."""
    if isinstance(value, str):
        return value if len(value) <= MAX_RESULT // 4 or len(value.encode(errors="replace")) <= MAX_RESULT else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    if isinstance(value, list | dict):
        try:
            return value if len(msgspec.json.encode(value)) <= MAX_RESULT else None
        except (msgspec.MsgspecError, OverflowError, ValueError, TypeError, RecursionError):
            return None
    return None


def _mapped(table: Mapping[str, object], otherwise: object) -> Step:
    def look_up(value: object) -> object:
        word = canonical(value)
        return otherwise if word is None else table.get(word, otherwise)

    return look_up


def truth(given: WordTable | None) -> Step:
    """The step that makes a boolean of the words; what is neither is absent."""
    table: dict[str, bool] = dict(WORDS)
    if given is not None:
        table = {}
        for words, meaning in ((given.yes, True), (given.no, False)):
            for one in words:
                table[(canonical(one) or "").lower()] = meaning
        if given.yes and not given.no:  # a state that only knows its bad words: all else is the good state
            return lambda value: None if (word := canonical(value)) is None else table.get(word.lower(), False)
        if given.no and not given.yes:
            return lambda value: None if (word := canonical(value)) is None else table.get(word.lower(), True)

    def judge(value: object) -> bool | None:
        if value is True or value is False:
            return table.get("true" if value else "false")
        word = canonical(value)
        return None if word is None else table.get(word.lower())

    return judge


def _bits(table: Mapping[str, str]) -> Step:
    bits: list[tuple[int, str]] = []
    for key, name in table.items():
        if not (key.isascii() and key.isdigit() and int(key) < 64):
            raise ValueError(f"bits: {key!r} is no bit; write 0 to 63")
        bits.append((int(key), name))

    def names(value: object) -> list[str] | None:
        """Of a number, or of a text of hex digits."""
        found = whole(value) if not isinstance(value, str) else _hex(value)
        return None if found is None else [name for bit, name in bits if found >> bit & 1]

    return names


def _hex(text: str) -> int | None:
    try:
        return int(text, 16) if 0 < len(text) <= 18 and text.isascii() and "_" not in text else None
    except ValueError:
        return None


# --- time


def read_zone(text: str) -> tzinfo:
    """`UTC`, `+08:00` or a name such as Asia/Shanghai. ValueError: no such zone."""
    if text == "UTC":
        return UTC
    if len(text) == 6 and text[0] in "+-" and text[3] == ":" and text[1:3].isdigit() and text[4:].isdigit() and int(text[1:3]) < 24:
        away = timedelta(hours=int(text[1:3]), minutes=int(text[4:]) % 60)
        return timezone(away if text[0] == "+" else -away)
    try:
        return ZoneInfo(text)
    except Exception as error:  # unknown, no zone data on this machine, or a path
        raise ValueError(f"zone: {text!r} is not known here; write UTC, +08:00 or a name such as Asia/Shanghai") from error


def _time(form: TimeFormat, zone: tzinfo) -> Step:
    """The step that makes an aware UTC time. A time without a zone is in `zone`."""
    if form == "iso":
        return lambda value: _iso(value, zone)
    if form == "epoch-s":
        return lambda value: _epoch(value, 1)
    if form == "epoch-ms":
        return lambda value: _epoch(value, 1000)
    if form == "epoch-auto":
        return _epoch_auto
    if form in ("iso-or-epoch-s", "iso-or-epoch-ms"):
        per_second = 1 if form == "iso-or-epoch-s" else 1000
        return lambda value: _epoch(value, per_second) if number(value) is not None else _iso(value, zone)
    order = "ddmmyy" if form == "ddmmyy-hhmmss" else "yymmdd"
    return lambda value: _digits(value, order, zone)


def _iso(value: object, zone: tzinfo) -> datetime | None:
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        found = datetime.fromisoformat(value.strip())
        return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _epoch(value: object, per_second: int) -> datetime | None:
    found = number(value)
    if found is None or not 0 < found / per_second <= _LAST_SECOND:
        return None
    return _EPOCH + timedelta(milliseconds=found * 1000 / per_second)


def _epoch_auto(value: object) -> datetime | None:
    found = number(value)
    return None if found is None else _epoch(found, 1000 if found >= _AUTO_MS else 1)


def _digits(value: object, order: str, zone: tzinfo) -> datetime | None:
    """Twelve digits, whatever stands between them; years are 2000 to 2099."""
    text = "".join(one for one in (canonical(value) or "") if one in "0123456789")
    if len(text) != 12:
        return None
    first, month, third, hour, minute, second = (int(text[at : at + 2]) for at in range(0, 12, 2))
    year, day = (third, first) if order == "ddmmyy" else (first, third)
    try:
        return datetime(2000 + year, month, day, hour, minute, second, tzinfo=zone).astimezone(UTC)
    except ValueError:
        return None
