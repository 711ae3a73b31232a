"""Pictures for the tests of the map: a PNG made by hand, an MBTiles file made with SQLite, a server that gives both as XYZ."""

import http.server
import socketserver
import sqlite3
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

Colour = tuple[int, int, int]
Answer = tuple[int, dict[str, str], bytes]


def png(colour: Colour = (200, 220, 200), size: int = 256) -> bytes:
    """A square of one colour with a darker edge (PNG, ISO 15948)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    dark = bytes(max(0, part - 50) for part in colour)
    edge, row = b"\0" + dark * size, b"\0" + dark + bytes(colour) * (size - 1)
    head = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(edge + row * (size - 1))) + chunk(b"IEND", b"")


def mbtiles(file: Path, tiles: Mapping[tuple[int, int, int], bytes], **metadata: str) -> Path:
    """MBTiles 1.3; keys are (zoom, column, TMS row: from the south), as they stand in the file."""
    with closing(sqlite3.connect(file)) as made, made:
        made.execute("CREATE TABLE metadata (name TEXT, value TEXT)")
        made.execute("CREATE TABLE tiles (zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, tile_data BLOB)")
        made.executemany("INSERT INTO metadata VALUES (?, ?)", {"format": "png", "name": "invented", **metadata}.items())
        made.executemany("INSERT INTO tiles VALUES (?, ?, ?, ?)", [(*place, data) for place, data in tiles.items()])
    return file


class TileServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Notes every path; `answer` says what is given for one."""

    daemon_threads = True

    def __init__(self, answer: Callable[[str], Answer]) -> None:
        self.asked: list[str] = []
        self.answer = answer
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: TileServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        status, headers, body = self.server.answer(self.path)
        self.send_response(status)
        for name, value in {"content-type": "image/png", "content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing on the terminal."""


@contextmanager
def tile_server(answer: Callable[[str], Answer] = lambda _: (200, {}, png())) -> Iterator[TileServer]:
    server = TileServer(answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
