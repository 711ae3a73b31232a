"""Reads MBTiles 1.3: a SQLite file with the pictures of a base map. Opened for reading alone and for each question, so that it can be exchanged."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec

from gateway.errors import GatewayError

TILE_LIMIT = 1024 * 1024  # bytes; a square of 512 pixels in PNG has 300 KB at most
BUSY_S = 1.0  # somebody is writing into it
PICTURES = frozenset(("png", "jpg", "jpeg", "webp"))
_GZIP = b"\x1f\x8b"
_SIGNS = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"))


class NotUsed(GatewayError):
    """A layer that cannot be shown; `reason` is a word for the page: vector_tiles, no_pictures, unreadable, no_key."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class TileSet(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says of itself. bounds: west, south, east, north as its metadata have it, "" = nothing."""

    format: str
    min_zoom: int
    max_zoom: int
    name: str = ""
    bounds: str = ""


def look(file: Path) -> TileSet:
    """What is in a file. Raises NotUsed with the remedy, above all for vector tiles, which this map cannot draw."""
    with _opened(file) as tiles:
        said = {str(name): str(value) for name, value in tiles.execute("SELECT name, value FROM metadata LIMIT 100")}
        zooms = tiles.execute("SELECT MIN(zoom_level), MAX(zoom_level) FROM tiles").fetchone()
        if zooms[0] is None:
            raise NotUsed("unreadable", f"{file} holds no tile; make it again")
        first = tiles.execute("SELECT tile_data FROM tiles LIMIT 1").fetchone()
    kind = said.get("format", "").lower()
    if kind in ("pbf", "mvt") or bytes(first[0]).startswith(_GZIP):
        raise NotUsed("vector_tiles", f"{file} holds vector tiles (format {kind or 'pbf'}); this map draws pictures: export it as PNG, JPEG or WebP")
    if kind not in PICTURES and not picture_type(bytes(first[0])):
        raise NotUsed("no_pictures", f"{file} holds {kind or 'something'} that is no picture; export it as PNG, JPEG or WebP")
    return TileSet(format=kind, min_zoom=int(zooms[0]), max_zoom=int(zooms[1]), name=said.get("name", ""), bounds=said.get("bounds", ""))


def tile(file: Path, z: int, x: int, y: int) -> bytes | None:
    """One square, y counted from the north (XYZ); None where the file has none. Its rows are counted from the south (TMS). Raises NotUsed."""
    row = (1 << z) - 1 - y
    with _opened(file) as tiles:
        found = tiles.execute(
            "SELECT tile_data FROM tiles WHERE zoom_level = ? AND tile_column = ? AND tile_row = ? AND length(tile_data) <= ?",
            (z, x, row, TILE_LIMIT),
        ).fetchone()
    return None if found is None else bytes(found[0])


def picture_type(data: bytes) -> str:
    """Media type by its first bytes, whatever anybody says it is; "" of what is no picture that we show (SVG could carry a script)."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((media for sign, media in _SIGNS if data.startswith(sign)), "")


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=BUSY_S)) as tiles:
            yield tiles
    except (sqlite3.Error, TypeError, ValueError) as error:  # the latter two: what stands there is no blob, no number
        raise NotUsed("unreadable", f"{file} is no MBTiles file that can be read ({error}); correct map.layer.file, or make it again") from error
