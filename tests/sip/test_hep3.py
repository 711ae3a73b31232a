"""HEP packets: the specification's own example, what Kamailio sends in versions 1 and 2, and everything that is wrong with a packet."""

import gzip
import struct
import zlib

import pytest

from drivers.calls.hep import HepCodec, HepOptions
from drivers.calls.hep3 import MAX_INFLATED, MalformedPacket, parse_packet
from drivers.contract import Rejected
from tests.sip.sip_wire import AGENT_ADDRESS, START, Dialog, Exchange, hep3

# HEP3 specification revision 37, worked example: 113 octets
EXAMPLE = bytes.fromhex(
    "48455033 0071 0000 0001 0007 02 0000 0002 0007 11 0000 0003 000a d4ca0001 0000 0004 000a 527400d3 0000 0007 0008 2eea"
    "0000 0008 0008 13c4 0000 0009 000a 4e4982cb 0000 000a 000a 0001d4c0 0000 000b 0007 01 0000 000c 000a 000000e4"
    "0000 000f 0014 494e56495445207369703a626f62".replace(" ", "")
)


def chunk(kind: int, body: bytes, vendor: int = 0) -> bytes:
    return struct.pack("!HHH", vendor, kind, 6 + len(body)) + body


def packet(*chunks: bytes) -> bytes:
    body = b"".join(chunks)
    return b"HEP3" + struct.pack("!H", 6 + len(body)) + body


def reason(data: bytes) -> str:
    with pytest.raises(MalformedPacket) as fault:
        parse_packet(data)
    return fault.value.reason


def test_the_specifications_example() -> None:
    assert len(EXAMPLE) == 113
    found = parse_packet(EXAMPLE)
    assert found.source == ("212.202.0.1", 12010)
    assert found.destination == ("82.116.0.211", 5060)
    assert found.time == 1313440459.12
    assert (found.protocol, found.payload_type, found.agent_id, found.payload) == (17, 1, 228, b"INVITE sip:bob")


@pytest.mark.parametrize("magic", [b"EEP1", b"EEP3"])
def test_other_names_of_the_same_layout(magic: bytes) -> None:
    assert parse_packet(magic + EXAMPLE[4:]) == parse_packet(EXAMPLE)


def test_ipv6_is_told_by_its_chunks() -> None:
    found = parse_packet(packet(chunk(1, b"\x1c"), chunk(5, b"\x20\x01\x0d\xb8" + b"\0" * 11 + b"\x01"), chunk(15, b"x")))
    assert found.source[0] == "2001:db8::1"


def test_any_order_unknown_chunks_wrong_sizes_and_repeats() -> None:
    found = parse_packet(
        packet(
            chunk(15, b"first"),
            chunk(15, b"not ours", vendor=3),
            chunk(0x7777, b"?"),
            chunk(9, b"\0"),
            chunk(3, b"\x01\x02"),
            chunk(15, b"last"),
            chunk(0x13, b"edge-1"),
        )
    )
    assert (found.payload, found.time, found.source, found.agent_name) == (b"last", None, ("", 0), b"edge-1")


def test_a_tail_is_ignored_and_told() -> None:
    assert parse_packet(EXAMPLE + b"???").tail == 3


@pytest.mark.parametrize("pack", [zlib.compress, gzip.compress])
def test_compressed_payload(pack: object) -> None:
    assert parse_packet(packet(chunk(16, pack(b"OPTIONS")))).payload == b"OPTIONS"  # type: ignore[operator]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "not_hep"),
        (b"INVITE sip:x SIP/2.0\r\n\r\n", "not_hep"),
        (b"HEP3", "bad_length"),
        (b"HEP3\0\x05", "bad_length"),
        (EXAMPLE[:-1], "bad_length"),
        (packet(), "no_payload"),
        (packet(chunk(11, b"\x01")), "no_payload"),
        (packet(b"\0\0\0\x0f\0\x05"), "bad_chunk"),
        (packet(b"\0\0\0\x0f\0\xff"), "bad_chunk"),
        (packet(b"\0\0\0"), "bad_chunk"),
        (packet(*(chunk(0x99, b"") for _ in range(129))), "too_many_chunks"),
        (packet(chunk(16, b"not zlib")), "bad_compression"),
        (packet(chunk(16, zlib.compress(b"x" * 100)[:-6])), "bad_compression"),
        (packet(chunk(16, zlib.compress(bytes(MAX_INFLATED + 1)))), "inflated_too_long"),
        (b"\x01\x10\x02\x11", "bad_length"),
        (b"\x02\x11" + b"\0" * 60, "bad_length"),
    ],
)
def test_no_packet(data: bytes, expected: str) -> None:
    assert reason(data) == expected


def test_every_prefix_is_refused() -> None:
    for length in range(len(EXAMPLE)):
        assert reason(EXAMPLE[:length]) in ("not_hep", "bad_length")


def test_versions_1_and_2() -> None:
    head = bytes([16, 2, 17]) + struct.pack("!HH", 5060, 5062) + bytes([192, 0, 2, 1, 192, 0, 2, 2])
    first = parse_packet(b"\x01" + head + b"OPTIONS")
    assert (first.source, first.destination, first.time, first.payload) == (("192.0.2.1", 5060), ("192.0.2.2", 5062), None, b"OPTIONS")
    second = parse_packet(b"\x02" + head + struct.pack("<IIHH", 1313440459, 120000, 228, 0) + b"OPTIONS")
    assert (second.time, second.agent_id, second.payload, second.payload_type) == (1313440459.12, 228, b"OPTIONS", 1)


# ---- the codec around it


def hear(codec: HepCodec, data: bytes, source: tuple[str, int] = AGENT_ADDRESS) -> list[str]:
    return [item.reason if isinstance(item, Rejected) else item.kind.value for item in codec.receive_message(source, data, 1.0, START)]


def test_the_key_is_asked_for() -> None:
    codec = HepCodec(HepOptions(auth_key="s3cret", auth_keys={"192.0.2.77": "other"}))
    assert hear(codec, hep3(Dialog().request())) == ["missing_key"]
    assert hear(codec, hep3(Dialog().request(), key=b"wrong")) == ["wrong_key"]
    assert hear(codec, hep3(Dialog().request(), key=b"s3cret"), ("192.0.2.77", 9)) == ["wrong_key"]
    assert hear(codec, hep3(Dialog().request(), key=b"s3cret")) == ["call_offered"]
    assert hear(codec, hep3(Dialog(call_id="2").request(), key=b"other"), ("192.0.2.77", 9)) == ["call_offered"]


def test_sources_are_allow_listed() -> None:
    codec = HepCodec(HepOptions(sources=("192.0.2.0/28",)))
    assert hear(codec, hep3(Dialog().request()), ("198.51.100.1", 1)) == ["unknown_source"]
    assert hear(codec, hep3(Dialog().request())) == ["call_offered"]


def test_what_is_no_sip_is_counted_and_dropped() -> None:
    codec = HepCodec(HepOptions())
    assert hear(codec, hep3(b"{}", kind=5)) + hear(codec, hep3(b"log", kind=100)) + hear(codec, hep3(b"\r\n\r\n")) == []
    assert dict(codec.counts) == {"type_5": 1, "type_100": 1, "keepalive": 1}
    assert hear(codec, hep3(b"log line")) == ["not_sip"]


def test_the_senders_clock_is_believed_within_limits() -> None:
    pbx = Exchange()
    pbx.say(("192.0.2.20", 5060), ("192.0.2.10", 5060), Dialog().request())
    assert pbx.signals[0].time == pbx.time
    [late] = pbx.codec.receive_message(AGENT_ADDRESS, hep3(Dialog(call_id="2").request(), at=START.timestamp() - 60), 1.0, START)
    assert not isinstance(late, Rejected)
    assert late.time is None
    assert pbx.codec.counts["clock_disagrees"] == 1


def test_the_keys_do_not_stand_in_the_raw_bytes_of_a_signal() -> None:
    codec = HepCodec(HepOptions(auth_key="s3cret"))
    [signal] = codec.receive_message(AGENT_ADDRESS, hep3(Dialog().request(), key=b"s3cret"), 1.0, START)
    assert b"s3cret" not in signal.raw
