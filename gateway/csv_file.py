"""CSV tables of the register: typed cells, every fault told with file, line, column and remedy, and no more than a page of them."""

import csv
import difflib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

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
    lines: set[int] = field(default_factory=set)

    def add(self, line: int, column: str, what: str, remedy: str) -> None:
        """line: as an editor counts, from 1; 0 for the whole file; below 0 what people corrected, by its number. column: "" for the whole line."""
        self.count += 1
        self.lines.add(line)
        if len(self._shown) < FAULTS_SHOWN:
            where = (f" line {line}:" if line > 0 else f" correction {-line}:" if line else "") + (f" {column}:" if column else "")
            self._shown.append(f"{self.path}:{where} {what}; {remedy}")

    @property
    def problems(self) -> list[str]:
        hidden = self.count - len(self._shown)
        return self._shown + ([f"{self.path}: {hidden} more fault{'s' if hidden > 1 else ''}; correct those above first"] if hidden else [])


class Laid(Protocol):
    """What people corrected of this table, laid over its rows (gateway.core.corrections.Sheet)."""

    def find(self, header: list[str]) -> Callable[[list[str]], str | None]:
        """Gives the key of a row that is touched by a correction, None of any other; what `lay` must be asked about."""
        ...

    def lay(self, line: int, key: str, cells: dict[str, str]) -> dict[str, str] | None:
        """The row as it is to be read; None: it is left out (removed, or it comes with the rest)."""
        ...

    def rest(self) -> Iterator[tuple[int, dict[str, str]]]:
        """The rows that the file does not have."""
        ...


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


def read_rows(data: bytes, columns: Mapping[str, Column], faults: FileFaults, laid: Laid | None = None) -> Iterator[tuple[int, dict[str, object]]]:
    """(line, cells) of each row, cells without the empty and the faulty ones. UTF-8 with or without BOM, comma, header first."""
    if not _is_utf8(data, faults):
        faults.is_unread = True
        return
    # decoded piece by piece: a text of 100 million characters would need four times the file while its rows are built
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline=""), strict=True)
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
        yield from _rows(reader, [(name.strip(), columns[name.strip()]) for name in header], columns, faults, laid)
        if laid is not None:
            for line, cells in laid.rest():
                yield line, parse_cells(line, cells, columns, faults)
    except csv.Error as error:
        faults.is_unread = True
        faults.add(reader.line_num, "", f"is no CSV ({error})", "correct the quotes of that line; what follows was not read")


def parse_cells(line: int, cells: Mapping[str, str], columns: Mapping[str, Column], faults: FileFaults) -> dict[str, object]:
    """One row by the names of its cells. An unknown column is a fault."""
    values: dict[str, object] = {}
    for name, text in cells.items():
        column = columns.get(name)
        if column is None:
            faults.add(line, name if _WORD.fullmatch(name) else "", "is no column we know", f"columns: {', '.join(columns)}")
        elif text:
            try:
                values[name] = column.parse(text)
            except CellFault as fault:
                faults.add(line, name, fault.what, fault.remedy)
                continue
        if column is not None and column.required and not text:
            faults.add(line, name, "is empty", "write it")
    for name, column in columns.items():
        if column.required and name not in cells:
            faults.add(line, name, "is empty", "write it")
    return values


def _rows(
    reader: Any, cells: list[tuple[str, Column]], known: Mapping[str, Column], faults: FileFaults, laid: Laid | None
) -> Iterator[tuple[int, dict[str, object]]]:
    parsers = [(name, column.parse) for name, column in cells]
    required = [name for name, column in cells if column.required]
    find = laid.find([name for name, _ in cells]) if laid is not None else None
    for row in reader:
        if not row:
            continue
        line = reader.line_num
        if len(row) != len(parsers):
            faults.add(line, "", f"has {len(row)} cells, the header {len(parsers)}", "correct the commas, or put text with a comma in quotes")
            continue
        if find is not None and (key := find(row)) is not None:
            assert laid is not None
            found = laid.lay(line, key, {name: cell.strip() for (name, _), cell in zip(parsers, row, strict=True)})
            if found is not None:
                yield line, parse_cells(line, found, known, faults)
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


def _is_utf8(data: bytes, faults: FileFaults) -> bool:
    try:
        data.decode()
        return True
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        faults.add(line, "", "is not UTF-8", "save the file as “CSV UTF-8” (spreadsheets write GBK unless told so)")
        return False


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
