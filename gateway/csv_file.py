"""CSV tables of the register: typed cells, every fault told with file, line, column and remedy, and no more than a page of them."""

import csv
import difflib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Somebody repairs them by hand: fifty fit on a page, and the rest are usually the same fault again. They are counted.
FAULTS_SHOWN = 50

# Ten times a district of 100,000 persons (15 MB); a larger file is not a register.
FILE_LIMIT_BYTES = 256 << 20

_WORD = re.compile("[a-z_]{1,40}")


class CellFault(ValueError):
    """One cell cannot be used. Never holds the cell's text: with a comma too many any cell may hold something personal, and this is logged."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Column:
    """How a cell is read. An empty cell is never given to `parse`: it means "not known", which `required` forbids."""

    parse: Callable[[str], object]
    required: bool = False


@dataclass(slots=True)
class FileFaults:
    """The faults of one file: the first FAULTS_SHOWN in words, the others as a number.

    is_unread: the file could not be read (to its end), so that nobody knows which ids stand in it.
    """

    path: Path
    _shown: list[str] = field(default_factory=list)
    count: int = 0
    is_unread: bool = False

    def add(self, line: int, column: str, what: str, remedy: str) -> None:
        """line: as an editor counts, from 1; 0 for the whole file. column: "" for the whole line."""
        self.count += 1
        if len(self._shown) < FAULTS_SHOWN:
            where = (f" line {line}:" if line else "") + (f" {column}:" if column else "")
            self._shown.append(f"{self.path}:{where} {what}; {remedy}")

    @property
    def problems(self) -> list[str]:
        hidden = self.count - len(self._shown)
        return self._shown + ([f"{self.path}: {hidden} more fault{'s' if hidden > 1 else ''}; correct those above first"] if hidden else [])


def read_bytes(path: Path, faults: FileFaults) -> bytes:
    """The file as it is; empty and a fault when it cannot be read."""
    try:
        if path.stat().st_size > FILE_LIMIT_BYTES:
            faults.add(0, "", f"is larger than {FILE_LIMIT_BYTES} bytes", "this cannot be the right file")
            faults.is_unread = True
            return b""
        return path.read_bytes()
    except OSError as error:
        faults.is_unread = True
        faults.add(0, "", f"cannot be read ({error.strerror})", "create the file (config/districts/README.md) or correct its rights")
        return b""


def read_rows(data: bytes, columns: Mapping[str, Column], faults: FileFaults) -> Iterator[tuple[int, dict[str, object]]]:
    """(line, cells) of each row, cells without the empty and the faulty ones. UTF-8 with or without BOM, comma, header first."""
    text = _decode(data, faults)
    if text is None:
        faults.is_unread = True
        return
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, None)
        if header is None:
            if data or not faults.count:
                faults.add(1, "", "has no header", f"begin with {','.join(columns)}")
            faults.is_unread = True
            return
        if not _is_header_usable([name.strip() for name in header], columns, faults):
            faults.is_unread = True
            return
        yield from _rows(reader, [(name.strip(), columns[name.strip()]) for name in header], faults)
    except csv.Error as error:
        faults.is_unread = True
        faults.add(reader.line_num, "", f"is no CSV ({error})", "correct the quotes of that line; what follows was not read")


def _rows(reader: Any, cells: list[tuple[str, Column]], faults: FileFaults) -> Iterator[tuple[int, dict[str, object]]]:
    parsers = [(name, column.parse) for name, column in cells]
    required = [name for name, column in cells if column.required]
    for row in reader:
        if not row:
            continue
        line = reader.line_num
        if len(row) != len(parsers):
            faults.add(line, "", f"has {len(row)} cells, the header {len(parsers)}", "correct the commas, or put text with a comma in quotes")
            continue
        values: dict[str, object] = {}
        bad = set()
        for (name, parse), cell in zip(parsers, row, strict=True):
            text = cell.strip()
            if not text:
                continue
            try:
                values[name] = parse(text)
            except CellFault as fault:
                faults.add(line, name, fault.what, fault.remedy)
                bad.add(name)
        for name in required:
            if name not in values and name not in bad:
                faults.add(line, name, "is empty", "write it")
        yield line, values


def _decode(data: bytes, faults: FileFaults) -> str | None:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        faults.add(line, "", "is not UTF-8", "save the file as “CSV UTF-8” (spreadsheets write GBK unless told so)")
        return None


def _is_header_usable(header: list[str], columns: Mapping[str, Column], faults: FileFaults) -> bool:
    before = faults.count
    for position, name in enumerate(header):
        if name not in columns:
            near = difflib.get_close_matches(name, columns, n=1)
            # without a header the first row stands here, and a person's name must not be repeated
            shown = name if _WORD.fullmatch(name) else f"column {position + 1}"
            faults.add(1, shown, "is no column we know", f"did you mean {near[0]}?" if near else f"columns: {', '.join(columns)}")
        elif name in header[:position]:
            faults.add(1, name, "stands twice in the header", "remove one")
    for name, column in columns.items():
        if column.required and name not in header:
            faults.add(1, name, "is missing in the header", "add the column")
    return faults.count == before
