"""Bodies with several parts: RFC 4475's own, and what a telephone network sends with an emergency call (RFC 6442)."""

import base64

import pytest

from drivers.sip.message import Message, parse_message
from drivers.sip.multipart import MAX_DEPTH, MAX_PARTS, body_parts, part_with_id
from tests.sip.rfc4475 import torture

HEAD = (
    b"INVITE sip:12349@192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=a\r\nTo: <sip:12349@x>\r\n"
    b"Call-ID: x\r\nCSeq: 1 INVITE\r\nGeolocation: <cid:alice123@atlanta.example.com>\r\n"
)


def invite(body: bytes, content_type: str = 'multipart/mixed; boundary="boundary1"', more: str = "") -> Message:
    return parse_message(HEAD + f"Content-Type: {content_type}\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body)


def test_rfc4475_mpart01() -> None:
    text, binary = body_parts(parse_message(torture("mpart01")))
    assert (text.content_type, text.body) == ("text/plain", b"Hello")
    assert binary.content_type == "application/octet-stream"
    assert len(binary.body) == 342
    assert binary.body[:4] == bytes.fromhex("30820152")  # a DER sequence of 338 octets: it is whole
    assert b"\r\n" not in binary.body


def test_sdp_and_a_location() -> None:
    """As RFC 6442, 5.1 has it."""
    body = (
        b"--boundary1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--boundary1\r\nContent-Type: application/pidf+xml\r\n"
        b"Content-ID: <alice123@atlanta.example.com>\r\n\r\n<presence/>\r\n--boundary1--\r\nepilogue"
    )
    message = invite(body)
    assert [(part.content_type, part.body) for part in body_parts(message)] == [
        ("application/sdp", b"v=0\r\n"),
        ("application/pidf+xml", b"<presence/>"),
    ]
    found = part_with_id(message, message.header("geolocation"))
    assert found is not None
    assert found.body == b"<presence/>"
    assert part_with_id(message, "<cid:bob@x>") is None
    assert part_with_id(message, "<https://192.0.2.1/location>") is None


def test_one_part_none_and_a_reference_to_the_whole_body() -> None:
    assert body_parts(invite(b"", "text/plain")) == []
    (part,) = body_parts(invite(b"<presence/>", "Application/PIDF+xml; charset=UTF-8", "Content-ID: <me>\r\n"))
    assert (part.content_type, part.content_id, part.body) == ("application/pidf+xml", "me", b"<presence/>")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"--b\r\n\r\nno headers\r\n--b--", [b"no headers"]),
        (b"preamble\r\n--b  \r\nX: y\r\n\r\na\r\n--b\r\n\r\nb", [b"a", b"b"]),  # the end was cut off
        (b"--b\n\nonly line feeds\n--b--\n", [b"only line feeds"]),
        (b"--b\r\n\r\na --b not at the start\r\n--bc\r\nlonger\r\n--b--", [b"a --b not at the start\r\n--bc\r\nlonger"]),
        (b"--b\r\nContent-Transfer-Encoding: BASE64\r\n\r\n" + base64.encodebytes(b"\0\1\2") + b"\r\n--b--", [b"\0\1\2"]),
        (b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\n*\r\n--b--", [b""]),
        (b"--b\r\nno end of headers", [b""]),
        (b"nothing at all", []),
    ],
)
def test_odd_shapes(body: bytes, expected: list[bytes]) -> None:
    assert [part.body for part in body_parts(invite(body, "multipart/mixed;boundary=b"))] == expected


def test_nested_parts_are_found_and_bounded() -> None:
    inner = b"--c\r\nContent-ID: <deep>\r\n\r\nx\r\n--c--"
    outer = b"--b\r\nContent-Type: multipart/related; boundary=c\r\n\r\n" + inner + b"\r\n--b--"
    assert [(part.content_id, part.body) for part in body_parts(invite(outer, "multipart/mixed;boundary=b"))] == [("deep", b"x")]
    many = b"".join(b"--b\r\n\r\n%d\r\n" % number for number in range(1000))
    assert len(body_parts(invite(many, "multipart/mixed;boundary=b"))) == MAX_PARTS
    nest = b"x"
    for level in range(MAX_DEPTH + 2):
        nest = b"--l%d\r\nContent-Type: multipart/mixed; boundary=l%d\r\n\r\n" % (level, level - 1) + nest + b"\r\n--l%d--" % level
    (part,) = body_parts(invite(nest, f"multipart/mixed;boundary=l{MAX_DEPTH + 1}"))
    assert part.content_type == "multipart/mixed"  # deeper than anybody needs: left as it came


@pytest.mark.parametrize("boundary", ["", '""', "x" * 71, '"a\\"b"', "é"])
def test_a_boundary_that_is_none_leaves_the_body_whole(boundary: str) -> None:
    (part,) = body_parts(invite(b"--x\r\n\r\na\r\n--x--", f"multipart/mixed;boundary={boundary}"))
    assert part.content_type == "multipart/mixed"
