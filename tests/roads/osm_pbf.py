"""Writes OpenStreetMap's PBF by hand (wiki.openstreetmap.org/wiki/PBF_Format), as much as Valhalla reads: nodes and ways with tags, uncompressed."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class Road(NamedTuple):
    """nodes: names of places it passes, in order; tags: OpenStreetMap's."""

    nodes: Sequence[str]
    tags: Mapping[str, str]


def pbf(places: Mapping[str, tuple[float, float]], roads: Iterable[Road]) -> bytes:
    """places: name → latitude, longitude in degrees."""
    ids = {name: number for number, name in enumerate(places, 1)}
    strings: dict[str, int] = {"": 0}

    def at(text: str) -> int:
        return strings.setdefault(text, len(strings))

    # Node: id=1 sint64, lat=8 sint64, lon=9 sint64 in units of granularity (100 nanodegrees). Group: nodes=1.
    nodes = b"".join(
        _field(1, _number(1, _zigzag(ids[name])) + _number(8, _zigzag(round(lat * 1e7))) + _number(9, _zigzag(round(lon * 1e7))))
        for name, (lat, lon) in places.items()
    )
    ways = b""
    for number, road in enumerate(roads, 1):
        refs = [ids[name] for name in road.nodes]
        steps = [after - before for before, after in zip([0, *refs], refs, strict=False)]
        # Way: id=1, keys=2 packed, vals=3 packed, refs=8 packed sint64, each the difference to the one before. Group: ways=3.
        body = _number(1, number) + _field(2, b"".join(_varint(at(key)) for key in road.tags))
        body += _field(3, b"".join(_varint(at(value)) for value in road.tags.values())) + _field(8, b"".join(_varint(_zigzag(one)) for one in steps))
        ways += _field(3, body)
    table = b"".join(_field(1, text.encode()) for text in strings)
    # HeaderBlock: required_features=4. PrimitiveBlock: stringtable=1, primitivegroup=2; nodes and ways in groups of their own.
    block = _field(1, table) + _field(2, nodes) + _field(2, ways)
    return _blob("OSMHeader", _field(4, b"OsmSchema-V0.6")) + _blob("OSMData", block)


def _blob(kind: str, content: bytes) -> bytes:
    """Blob: raw=1. BlobHeader: type=1, datasize=3. Before it its length, four bytes."""
    blob = _field(1, content)
    header = _field(1, kind.encode()) + _number(3, len(blob))
    return struct.pack(">I", len(header)) + header + blob


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return found + bytes((value,))


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1
