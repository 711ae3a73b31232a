"""Writes SIP messages: responses out of their requests, and requests of our own (RFC 3261, 8.1.1 and 8.2.6)."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime

from drivers.bodies.handler import Part
from drivers.sip.hop import Hop, answered_vias, host_port
from drivers.sip.message import Message

SERVER = "gateway-12349"
ALLOW = "MESSAGE, OPTIONS, NOTIFY"
REASONS = {
    100: "Trying", 200: "OK", 202: "Accepted", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 405: "Method Not Allowed",
    413: "Request Entity Too Large", 415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 420: "Bad Extension",
    481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 486: "Busy Here", 488: "Not Acceptable Here", 489: "Bad Event",
    500: "Server Internal Error", 501: "Not Implemented", 503: "Service Unavailable", 505: "Version Not Supported", 513: "Message Too Large",
}  # fmt: skip

Headers = Sequence[tuple[str, str]]


def compose_response(
    request: Message, hop: Hop, code: int, tag: str, headers: Headers = (), reason: str = "", body: Part | None = None, at: datetime | None = None
) -> bytes:
    """tag: for a To that has none yet; "" for 100. What is copied keeps its octets; a line end inside becomes a blank."""
    to = request.header("to")
    if tag and not request.to_tag:
        to += f";tag={tag}"
    lines = [f"SIP/2.0 {code} {reason or REASONS.get(code, '')}"]
    lines += [f"Via: {via}" for via in answered_vias(request, hop)]
    lines += [f"From: {request.header('from')}", f"To: {to}", f"Call-ID: {request.header('call-id')}", f"CSeq: {request.header('cseq')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if code >= 200:
        lines.append(f"Server: {SERVER}")
    if at is not None:
        lines.append(f"Date: {format_datetime(at, usegmt=True)}")
    return _joined(lines, body)


def compose_request(
    method: str, uri: str, hop: Hop, branch: str, from_: str, to: str, call_id: str, cseq: int, headers: Headers, body: Part | None
) -> bytes:
    """from_ with its tag; rport is always asked for (RFC 3581, 3)."""
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/{hop.transport.upper()} {host_port(hop.local)};branch={branch};rport",
        f"From: {from_}",
        f"To: {to}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {method}",
        "Max-Forwards: 70",
        f"User-Agent: {SERVER}",
    ]
    lines += [f"{name}: {value}" for name, value in headers]
    return _joined(lines, body)


def stateless_tag(request: Message) -> str:
    """The same for every retransmission, so that a refusal needs no memory (RFC 3261, 8.2.7)."""
    told = f"{request.header('call-id')}\0{request.from_tag}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(told, digest_size=8).hexdigest()


def _joined(lines: list[str], body: Part | None) -> bytes:
    if body is not None:
        lines.append(f"Content-Type: {body.content_type}")
    lines.append(f"Content-Length: {len(body.body) if body else 0}")
    head = "\r\n".join(line.replace("\r", " ").replace("\n", " ") for line in lines)
    return head.encode("utf-8", "surrogateescape") + b"\r\n\r\n" + (body.body if body else b"")
