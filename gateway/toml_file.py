"""TOML tables into frozen types: every fault found at once, each told as "file: key: what is wrong; remedy"."""

import os
import tomllib
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from gateway.wrong_value import did_you_mean, for_example, without_none, wrong_values

# A configuration is a page, not a database: a larger file is a mistake (a log, a register) and is not read into memory.
FILE_LIMIT_BYTES = 1 << 20

T = TypeVar("T", bound=msgspec.Struct)

Fault = tuple[tuple[str, ...], str, str]
"""(keys concerned, the one to name first; what is wrong; remedy). A check is not asked about keys that are faulty already."""

Checks = Mapping[type[Any], Callable[[Any], Iterator[Fault]]]
"""What must hold inside one table beyond the types of its keys."""


class TomlReader:
    """Reads one file. `problems` collects; a table with faults is still built (from defaults), so that its neighbours are checked too.

    hidden: names of fields that we fill in ourselves and that nobody may write.
    """

    def __init__(self, path: Path, checks: Checks | None = None, hidden: tuple[str, ...] = ()) -> None:
        self.path = path
        self.problems: list[str] = []
        self._checks = checks or {}
        self._hidden = hidden

    def add(self, key: str, what: str, remedy: str) -> None:
        """Remember one fault. key: dotted, tables of a list counted from 1 as in `line[2].silence_s`; "" for the whole file."""
        where = f"{self.path}: {key}" if key else str(self.path)
        self.problems.append(f"{where}: {what}; {remedy}")

    def load(self) -> dict[str, Any]:
        """The file's tables as they stand; {} and a problem when it cannot be read at all."""
        try:
            if self.path.stat().st_size > FILE_LIMIT_BYTES:
                self.add("", f"is larger than {FILE_LIMIT_BYTES} bytes", "this cannot be the right file")
                return {}
            return tomllib.loads(self.path.read_bytes().decode())
        except OSError as error:
            self.add("", f"cannot be read ({error.strerror})", "check the path and the rights of the file")
        except UnicodeDecodeError as error:
            self.add("", f"is not UTF-8 at byte {error.start}", "save it as UTF-8")
        except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError; so are numbers of thousands of digits
            self.add("", f"is no valid TOML ({str(error)[:200]})", "correct that line")
        return {}

    def table(self, kind: type[T], given: object, key: str = "", default: T | None = None) -> T:
        """One table as a `kind`. Keys that are not written take their value from `default`, else from the type."""
        written: dict[str, Any] = given if isinstance(given, dict) else {}
        bad: set[str] = set()
        if not isinstance(given, dict):
            self.add(key, "must be a table", f"write [{key}] above its keys")
            bad.update(kind.__struct_fields__)
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind) if field.name not in self._hidden}
        for name in written:
            if name not in fields:
                self.add(_join(key, name), "is not known", did_you_mean(name, fields))
        values: dict[str, Any] = {}
        for name, field in fields.items():
            fallback = getattr(default, name) if default is not None else _default(field)
            if name in written:
                values[name] = self._value(field.type, written[name], _join(key, name), fallback, bad)
            elif fallback is msgspec.NODEFAULT:
                if name not in bad:
                    self.add(_join(key, name), "is missing", f"write it{for_example(field.type, name)}")
                bad.add(name)
                values[name] = ""
            else:
                values[name] = fallback
        built = kind(**values)
        for keys, what, remedy in self._faults(built):
            if not bad.intersection(keys):
                self.add(_join(key, keys[0]), what, remedy)
        return built

    def _value(self, kind: Any, given: object, key: str, fallback: Any, bad: set[str]) -> Any:
        """`given` as a `kind`; on a fault the fallback, and the key's name joins `bad`."""
        inner = without_none(kind)
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            return self.table(inner, given, key, fallback if isinstance(fallback, inner) else None)
        item = typing.get_args(inner)[0] if typing.get_origin(inner) is tuple else None
        if isinstance(item, type) and issubclass(item, msgspec.Struct):
            if isinstance(given, list):
                return tuple(self.table(item, one, f"{key}[{number}]") for number, one in enumerate(given, 1))
            self.add(key, "must be a list of tables", f"write [[{key}]] above each")
            return ()
        faults = wrong_values(kind, given, key)
        if not faults:
            return msgspec.convert(given, kind)
        for where, what, remedy in faults:
            example = for_example(kind, key.rpartition(".")[2], fallback) if remedy == "correct it" and where == key else ""
            self.add(where, what, f"{remedy}{example}")
        bad.add(key.rpartition(".")[2])
        return "" if fallback is msgspec.NODEFAULT else fallback

    def _faults(self, built: msgspec.Struct) -> Iterator[Fault]:
        for name in built.__struct_fields__:
            value = getattr(built, name)
            if name.endswith("_file") and isinstance(value, str) and value:
                yield from self._file_faults(name, value)
            elif name == "options" and isinstance(value, dict):
                for option, path in value.items():
                    if option.endswith("_file") and isinstance(path, str) and path:
                        yield from self._file_faults(f"options.{option}", path)
        check = self._checks.get(type(built))
        if check is not None:
            yield from check(built)

    def _file_faults(self, name: str, value: str) -> Iterator[Fault]:
        # os.path.isfile, not Path.is_file: the latter raises on a name that is too long
        if not os.path.isfile(self.path.parent / value):  # noqa: PTH113
            yield (name,), f"there is no file {value!r}", "create it or correct the path (relative to this file)"


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _default(field: Any) -> Any:
    return field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
