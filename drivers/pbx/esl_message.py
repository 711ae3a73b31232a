"""The framing of FreeSWITCH's event socket: header blocks and bodies out of a stream, events out of plain or JSON bodies. Bytes never raise.

Source: freeswitch-esl, sections 1 and 2; mod_event_socket and the event serialiser of FreeSWITCH.
"""

import json
from urllib.parse import unquote_to_bytes

import msgspec

from drivers.sip.charset import read_text

MAX_HEADERS = 64 * 1024  # a verbose event in plain form is below 20 KiB
MAX_BODY = 16 * 1024 * 1024  # what the server itself allows; `show channels as json` of 5,000 channels is 5 MiB
UNDEFINED = "_undef_"  # how an empty value is written in plain form

# Fields of an event, names as FreeSWITCH writes them; all values are strings, also in JSON.
Fields = dict[str, str]


class Unframed(Exception):
    """The stream cannot be read on; the connection must be closed. `reason` is lower_snake."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Frame(msgspec.Struct, frozen=True):
    """One message of the server. `kind` is its Content-Type; headers by lower-case name."""

    kind: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def reply(self) -> str:
        """`+OK …` or `-ERR …` of a command/reply; of an api/response the first line of its body."""
        text = self.headers.get("reply-text", "")
        return text or self.body.partition(b"\n")[0].decode("utf-8", "replace").strip()


class Framer:
    """Takes any fragment; gives whole frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._headers: dict[str, str] | None = None
        self._wanted = 0

    def feed(self, data: bytes) -> list[Frame]:
        """Frames completed by this fragment. Raises Unframed: headers_too_long, bad_content_length, body_too_long."""
        self._buffer += data
        frames = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return frames

    def _next(self) -> Frame | None:
        buffer = self._buffer
        if self._headers is None:
            start = 0
            while start < len(buffer) and buffer[start] in b"\r\n":  # empty lines between messages
                start += 1
            if start:
                del buffer[:start]
            end, skip = _end_of_headers(buffer)
            if end < 0:
                if len(buffer) > MAX_HEADERS:
                    raise Unframed("headers_too_long")
                return None
            if end > MAX_HEADERS:
                raise Unframed("headers_too_long")
            self._headers = {name.lower(): value for name, value in read_headers(bytes(buffer[:end])).items()}
            del buffer[: end + skip]
            length = self._headers.get("content-length", "0")
            if not (length.isascii() and length.isdigit() and len(length) <= 9):
                raise Unframed("bad_content_length")
            self._wanted = int(length)
            if self._wanted > MAX_BODY:
                raise Unframed("body_too_long")
        if len(buffer) < self._wanted:
            return None
        headers, self._headers = self._headers, None
        body = bytes(buffer[: self._wanted])
        del buffer[: self._wanted]
        return Frame(headers.get("content-type", ""), headers, body)


def _end_of_headers(buffer: bytearray) -> tuple[int, int]:
    """(where the header block ends, length of the empty line): LF is what FreeSWITCH writes, CRLF is taken too."""
    line_feed, carriage = buffer.find(b"\n\n"), buffer.find(b"\r\n\r\n")
    if carriage >= 0 and (line_feed < 0 or carriage < line_feed):
        return carriage, 4
    return line_feed, 2


def read_headers(block: bytes, *, encoded: bool = False) -> Fields:
    """`Name: value` lines; `encoded`: values are URL-encoded and `_undef_` stands for nothing (plain events). The first of a name wins."""
    fields: Fields = {}
    for line in block.decode("utf-8", "surrogateescape").splitlines():
        name, colon, value = line.partition(":")
        if colon and name:
            fields.setdefault(name.strip(), _decoded(value.strip()) if encoded else readable(value.strip()))
    return fields


def read_event(frame: Frame) -> Fields | None:
    """The fields of a text/event-plain or text/event-json frame, `_body` among them; None when it is no event or cannot be read."""
    if frame.kind == "text/event-json":
        return _read_json(frame.body)
    if frame.kind == "text/event-plain":
        end, skip = _end_of_headers(bytearray(frame.body))
        head, body = (frame.body, b"") if end < 0 else (frame.body[:end], frame.body[end + skip :])
        fields = read_headers(head, encoded=True)
        length = fields.get("Content-Length", "")
        if length.isascii() and length.isdigit() and len(length) <= 9:  # an event with a body of its own: nested framing
            fields["_body"] = readable(body[: int(length)].decode("utf-8", "surrogateescape"))
        return fields if "Event-Name" in fields else None
    return None


def read_rows(body: bytes) -> list[Fields] | None:
    """`show … as json`: {"row_count": n, "rows": […]}, without rows when there are none. None when this is something else."""
    try:
        told = json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or "row_count" not in told:
        return None
    rows = told.get("rows", [])
    return [_texts(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else None


def readable(text: str) -> str:
    """The text that octets kept as surrogates stand for."""
    return text if text.isascii() else read_text(text.encode("utf-8", "surrogateescape"))


def _decoded(value: str) -> str:
    if value == UNDEFINED:
        return ""
    if "%" not in value:
        return readable(value)
    return readable(unquote_to_bytes(value.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape"))


def _read_json(body: bytes) -> Fields | None:
    try:
        told = json.loads(read_text(body), strict=False)  # one bad display name must not cost the event
    except (ValueError, RecursionError):
        return None
    return _texts(told) if isinstance(told, dict) and isinstance(told.get("Event-Name"), str) else None


def _texts(told: dict[str, object]) -> Fields:
    """Every value as text; arrays (Variable-like) by their first element, the rest is of no use to us."""
    fields: Fields = {}
    for name, value in told.items():
        if isinstance(value, list):
            value = value[0] if value else ""
        if isinstance(value, (str, int, float)):
            fields[name] = str(value)
    return fields
