"""Says of a value what does not fit its type: which key exactly, what is wrong, and what may be written instead."""

import difflib
import enum
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

WrongValue = tuple[str, str, str]
"""(key, dotted; what is wrong; remedy)."""

_WORDS = {"float": "a number", "int": "a whole number", "str": "text in quotes", "bool": "true or false", "array": "a list", "object": "a table"}


def wrong_values(kind: Any, given: object, key: str) -> list[WrongValue]:
    """Every fault of `given` as a `kind`, found inside tables and lists too; empty when it fits."""
    try:
        msgspec.convert(given, kind)
    except (msgspec.ValidationError, OverflowError) as error:
        inside = list(_inside(kind, given, key))
        if inside:
            return inside
        if "matching regex" in str(error) and (example := _example(kind)) is not None:
            return [(key, "is not written as it must be", f"write it like {example}")]
        return [(key, plain(str(error)), f"correct it{for_example(kind, key.rpartition('.')[2])}")]
    return []


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The remedy for a name that is not known: the one that was meant, or all."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"


def _inside(kind: Any, given: object, key: str) -> Iterator[WrongValue]:
    """The faults of the parts; none when the value itself is what is wrong."""
    inner = _bare(kind)
    parts = typing.get_args(inner)
    if isinstance(inner, type) and issubclass(inner, msgspec.Struct) and isinstance(given, dict):
        fields = {field.encode_name: field for field in msgspec.structs.fields(inner)}
        for name, value in given.items():
            if name in fields:
                yield from wrong_values(fields[name].type, value, f"{key}.{name}")
            else:
                yield f"{key}.{name}", "is not known", did_you_mean(name, fields)
        yield from ((f"{key}.{name}", "is missing", "write it") for name, field in fields.items() if field.required and name not in given)
    elif typing.get_origin(inner) is dict and isinstance(given, dict):
        for name, value in given.items():
            yield from wrong_values(parts[1], value, f"{key}.{name}")
    elif typing.get_origin(inner) in (tuple, list) and isinstance(given, list):
        kinds = parts[:1] * len(given) if parts[-1] is Ellipsis or typing.get_origin(inner) is list else parts
        for number, (part, value) in enumerate(zip(kinds, given, strict=False), 1):
            yield from wrong_values(part, value, f"{key}[{number}]")
    elif words := closed_list(inner):
        yield key, f"{given!r} is not possible", f"correct it: one of {', '.join(words)}"


def closed_list(kind: Any) -> list[str]:
    """The words of a closed list; empty for any other type."""
    kind = _bare(kind)
    if typing.get_origin(kind) is typing.Literal:
        return [str(word) for word in typing.get_args(kind)]
    return [str(one.value) for one in kind] if isinstance(kind, type) and issubclass(kind, enum.Enum) else []


def without_none(kind: Any) -> Any:
    """X of `X | None`."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return next(one for one in typing.get_args(kind) if one is not type(None))
    return kind


def _bare(kind: Any) -> Any:
    kind = without_none(kind)
    return typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind


def plain(text: str) -> str:
    """A message of msgspec in words: "Expected `float`, got `str`" becomes "expected a number, got text in quotes"."""
    for word, said in _WORDS.items():
        text = text.replace(f"`{word}`", said).replace(f"`{word} | null`", said)
    return text[:1].lower() + text[1:]


def for_example(kind: Any, name: str, fallback: Any = None) -> str:
    """What may be written: the words of a closed list, the example that the type carries, or the default."""
    kind = without_none(kind)
    if words := closed_list(kind):
        return ": one of " + ", ".join(words)
    if (example := _example(kind)) is not None:
        return f", for example {name} = {example!r}".replace("'", '"')
    if isinstance(fallback, (str, int, float)) and fallback != "":
        return f", for example {name} = {fallback!r}".replace("'", '"').replace("True", "true").replace("False", "false")
    return ""


def _example(kind: Any) -> Any:
    """The example that the type carries, if it does."""
    metas = getattr(without_none(kind), "__metadata__", ())
    return next((meta.examples[0] for meta in metas if getattr(meta, "examples", None)), None)
