"""The parts of a SIP body: `body_parts` takes multipart/* apart (RFC 2046, 5.1; RFC 5621); any other body is one part. Never raises."""

import base64
import re

import msgspec

from drivers.sip.message import Message, parse_params

# An INVITE with SDP and a location has two, three with a certificate; the depth is that of mixed around alternative around related.
MAX_PARTS = 16
MAX_DEPTH = 3
MAX_PART_HEAD = 8 * 1024
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_HEADER = re.compile(rb"^([!-9;-~]+)[ \t]*:[ \t]*((?:[^\r\n]|\r?\n[ \t])*)", re.MULTILINE)
_FOLD = re.compile(r"\r?\n[ \t]+")


class BodyPart(msgspec.Struct, frozen=True):
    """content_type: in lower case, without parameters; text/plain when a part does not say. content_id: without its brackets."""

    content_type: str
    content_id: str
    body: bytes


def body_parts(message: Message) -> list[BodyPart]:
    """All parts in order, those of nested multiparts in their place, MAX_PARTS at most; empty for a message without a body.

    A part whose end was cut off is given as far as it came. base64 is undone, other encodings are left as they are.
    """
    if not message.body:
        return []
    encoding = message.header("content-transfer-encoding")
    found: list[BodyPart] = []
    _take(found, message.header("content-type"), message.header("content-id"), encoding, message.body, 0)
    return found


def part_with_id(message: Message, reference: str) -> BodyPart | None:
    """The part that `cid:x@y` (RFC 2392) names; None when there is none."""
    scheme, _, wanted = reference.strip().strip("<>").partition(":")
    if scheme.strip().lower() != "cid" or not wanted:
        return None
    return next((part for part in body_parts(message) if part.content_id == wanted.strip()), None)


def _take(found: list[BodyPart], content_type: str, content_id: str, encoding: str, body: bytes, depth: int) -> None:
    if len(found) >= MAX_PARTS:
        return
    media_type, _, params = content_type.partition(";")
    media_type = media_type.strip().lower() or "text/plain"
    boundary = parse_params(params).get("boundary", "") if media_type.startswith("multipart/") else ""
    if depth < MAX_DEPTH and _BOUNDARY.fullmatch(boundary):
        for piece in _pieces(body, boundary):
            headers, inner = _part(piece)
            _take(
                found,
                headers.get("content-type", ""),
                headers.get("content-id", ""),
                headers.get("content-transfer-encoding", ""),
                inner,
                depth + 1,
            )
        return
    found.append(BodyPart(media_type, content_id.strip().strip("<>"), _decoded(body, encoding)))


def _pieces(body: bytes, boundary: str) -> list[bytes]:
    """What stands between the delimiters, MAX_PARTS at most; the preamble and the epilogue are nobody's."""
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary.encode()) + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    pieces: list[bytes] = []
    start = None
    for found in delimiter.finditer(body):
        if start is not None:
            pieces.append(body[start : found.start()])
        start = found.end()
        if found.group(1) or len(pieces) >= MAX_PARTS:
            return pieces
    if start is not None:
        pieces.append(body[start:])
    return pieces


def _part(piece: bytes) -> tuple[dict[str, str], bytes]:
    """A piece begins with the end of its delimiter's line: an empty line right behind it means that there are no headers."""
    found = re.search(rb"\r?\n\r?\n", piece[:MAX_PART_HEAD])
    if found is None:
        return {}, b""
    headers: dict[str, str] = {}
    for name, value in _HEADER.findall(piece[: found.start()]):
        headers.setdefault(name.decode("latin-1").lower(), _FOLD.sub(" ", value.decode("utf-8", "replace")).strip())
    return headers, piece[found.end() :]


def _decoded(body: bytes, encoding: str) -> bytes:
    if encoding.strip().lower() != "base64":
        return body
    try:
        return base64.b64decode(body)
    except ValueError:
        return body
