"""What every reader of a district's folder needs: rows with their faults, doubts, references, and strings that are one object."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from gateway import register_cells as cells
from gateway.coordinates import Datum, Place, is_reversed
from gateway.core.register import Area, Doubt, Responder
from gateway.csv_file import Column, FileFaults, Laid, parse_cells, read_bytes, read_rows

NAMED = 10  # ids named in one line of a fault; nobody reads a longer one

T = TypeVar("T", bound=msgspec.Struct)
Rows = list[tuple[int, T]]
Node = TypeVar("Node", Area, Responder)
Share = Callable[[Any], Any]  # as Reading.share


class Reading:
    """One pass over the folder; lives no longer than read_register.

    laid: file → what people corrected of it. instead: file → bytes that are looked at in place of those in the folder.
    """

    def __init__(self, folder: Path, laid: Mapping[str, Laid] | None = None, instead: Mapping[str, bytes] | None = None) -> None:
        self.folder = folder
        self.laid = laid or {}
        self.instead = instead or {}
        self.responders: set[str] = set()  # all ids of the file
        self.missing: set[tuple[str, str]] = set()  # (file, id): somebody refers to it, and it is not there
        self.faults: list[FileFaults] = []
        self.warnings: list[Doubt] = []
        self.digest = hashlib.sha256()
        self._strings: dict[str, str] = {}

    def rows(self, name: str, columns: Mapping[str, Column], required: bool = True) -> tuple[FileFaults, Iterable[tuple[int, dict[str, Any]]]]:
        faults = FileFaults(self.folder / name)
        self.faults.append(faults)
        laid = self.laid.get(name)
        data = self.instead.get(name)
        if data is None:
            if not required and not faults.path.exists():
                return faults, _without_file(laid, columns, faults)
            data = read_bytes(faults.path, faults)
        self.digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
        return faults, read_rows(data, columns, faults, laid)

    def lacks(self, file: str, known: Collection[str], name: str) -> bool:
        """Is there no such id? While the file itself cannot be read nobody knows, and its own fault is the one to correct."""
        if name in known or any(one.is_unread for one in self.faults if one.path == self.folder / file):
            return False
        self.missing.add((file, name))
        return True

    def blame(self, file: str, name: str) -> None:
        """Somebody refers to this id, and it is not there."""
        self.missing.add((file, name))

    def share(self, parse: Any) -> Any:
        """A parser whose equal results are one object: a person's id stands in three files."""
        strings = self._strings

        def shared(text: str) -> str:
            value: str = parse(text)
            return strings.setdefault(value, value)

        return shared

    def warn(self, what: str, faults: FileFaults, ids: Iterable[str], of: str = "") -> None:
        """One warning a subject."""
        named = tuple(ids)
        if named:
            self.warnings.append(Doubt(what, str(faults.path), named, of))


def _without_file(laid: Laid | None, columns: Mapping[str, Column], faults: FileFaults) -> Iterable[tuple[int, dict[str, Any]]]:
    """The file may be absent: then there is what people wrote."""
    if laid is not None:
        for line, cells_ in laid.rest():
            yield line, parse_cells(line, cells_, columns, faults)


POSITION = {"lat": Column(cells.number(-90, 180)), "lon": Column(cells.number(-180, 180))}  # lat: beyond 90 is told as "exchanged"
HOME = {**POSITION, "datum": Column(cells.datum)}  # addresses come from geocoders, each with a datum of its own


def in_wgs84(row: dict[str, Any]) -> dict[str, Any]:
    """The row without its datum, its coordinates converted."""
    datum, lat, lon = row.pop("datum", Datum.WGS84), row.get("lat"), row.get("lon")
    if lat is not None and lon is not None and datum is not Datum.WGS84:
        place = Place(lat, lon, datum).into(Datum.WGS84)
        row |= {"lat": place.lat, "lon": place.lon}
    return row


def build(kind: type[T], rows: Iterable[tuple[int, dict[str, Any]]], faults: FileFaults, fallback: Mapping[str, object]) -> "Rows[T]":
    """Rows as structs with unique ids; a row with faults still becomes one, so that references to it are not faults too."""
    built: Rows[T] = []
    lines: dict[str, int] = {}
    for line, row in rows:
        for name, value in fallback.items():
            row.setdefault(name, value)
        one: Any = kind(**row)
        check_position(line, one, faults)
        first = lines.setdefault(one.id, line)
        if first != line and one.id:
            faults.add(line, "id", f"stands in line {first} too", "give each an id of its own, or remove one")
        built.append((line, one))
    return built


def check_position(line: int, one: Any, faults: FileFaults) -> None:
    """Both or neither; and not exchanged, which in China (latitude 3 to 54, longitude 73 to 136) is plain to see."""
    lat, lon = one.lat, one.lon
    if lat is None and lon is None:
        return
    if lat is None or lon is None:
        missing = "lat" if lat is None else "lon"
        faults.add(line, missing, "is empty or faulty while the other coordinate is there", "write both or neither")
    elif is_reversed(lat, lon):
        faults.add(line, "lat", "latitude and longitude are exchanged", "write the latitude (3 to 54 in China) under lat")
    elif lat > 90:
        faults.add(line, "lat", "is no number in range", "write a number from -90 to 90")


def check_parents(rows: "Sequence[tuple[int, Node]]", faults: FileFaults, what: str, blame: Callable[[str, str], None] | None = None) -> None:
    """Every parent exists and no chain of parents comes back to itself; a circle is told once, at its first row."""
    parents = {node.id: node.parent for _, node in rows}
    ends: set[str] = set()  # nodes whose chain is known to end, or whose circle has been told
    for line, node in rows:
        if node.parent is not None and node.parent not in parents and not faults.is_unread:
            faults.add(line, "parent", f"there is no {what} with this id", "add it or correct the id")
            if blame is not None:
                blame(faults.path.name, node.parent)
        chain: dict[str, None] = {}
        name: str | None = node.id
        while name is not None and name not in ends and name not in chain:
            chain[name] = None
            name = parents.get(name)
        if name in chain:
            faults.add(line, "parent", f"goes round in a circle: {_circle(list(chain), str(name))}", "let one of them have no parent or another one")
        ends.update(chain)


def _circle(chain: list[str], name: str) -> str:
    return " → ".join([*chain[chain.index(name) :][:NAMED], name])
