"""SIP and nothing else: messages out of TCP streams, copies passed once, tunnels opened. Frames are made by scapy."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.contrib.erspan import ERSPAN_II, ERSPAN_III
from scapy.contrib.mpls import MPLS
from scapy.contrib.tzsp import TZSP, TZSPTagEnd
from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.l2 import GRE, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from drivers.capture.sip import MAX_MESSAGE, SipStream, is_sip
from drivers.sniffer.sieve import Sieve
from drivers.sniffer.unusual import ScapyUnwrap

PHONE, PBX = ("192.0.2.20", 5062), ("192.0.2.10", 5060)
LINK = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}


def sip(start: str = "INVITE sip:12349@192.0.2.10 SIP/2.0", body: bytes = b"", number: int = 1, length: str = "Content-Length") -> bytes:
    head = f"{start}\r\nVia: SIP/2.0/TCP 192.0.2.20:5062;branch=z9hG4bK-{number}\r\nCSeq: {number} INVITE\r\n{length}: {len(body)}\r\n\r\n"
    return head.encode() + body


SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\n"
SIPFRAG = b"SIP/2.0 200 OK\r\n"
MESSAGES = [
    sip(body=SDP),
    sip("SIP/2.0 180 Ringing"),
    sip("NOTIFY sip:a@b SIP/2.0", body=SIPFRAG, length="l"),
    sip("MESSAGE sip:a@b SIP/2.0", body="助急\r\n\r\nINVITE sip:nobody SIP/2.0\r\nnot: a message".encode()),
    sip("SIP/2.0 200 OK", body=SDP, number=2),
]


# --- start lines


@pytest.mark.parametrize("payload", [*MESSAGES, b"\r\n\r\n" + MESSAGES[0], b"!interesting-Method0123456789_*+`.%indeed'~ sip:a@b SIP/2.0\r\n"])
def test_sip_is_known_by_its_start_line(payload: bytes) -> None:
    assert is_sip(payload)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\r\n\r\n", b"\0\0\0\0", b"\x80\x00\x12\x34" + bytes(160), b"\x16\x03\x01\x02", b"GET / HTTP/1.1\r\n", b"INVITE sip:a@b", b"HEP3\0\x20"],
)
def test_all_else_stays(payload: bytes) -> None:
    assert not is_sip(payload)


# --- streams


def test_stream_cut_anywhere() -> None:
    stream = b"\r\n\r\n".join(MESSAGES)  # keep-alives of RFC 5626 stand between
    for cut in range(1, len(stream)):
        reader = SipStream(counts := Counter())
        assert reader.take(stream[:cut], True) + reader.take(stream[cut:], False) == MESSAGES
        assert not counts
    reader = SipStream(Counter())
    assert [message for at in range(len(stream)) for message in reader.take(stream[at : at + 1], at == 0)] == MESSAGES


def test_joined_in_the_middle_it_begins_with_the_next_message() -> None:
    messages = [message for message in MESSAGES if not message.startswith(b"MESSAGE")]  # its body looks like one more message
    stream = b"".join(messages)
    starts = [stream.find(message) for message in messages]
    for cut in range(1, len(stream)):
        found = SipStream(Counter()).take(stream[cut:], True)
        whole = [message for message, start in zip(messages, starts, strict=True) if start >= cut]
        # "VITE sip:… SIP/2.0" may be a method too: such a message is refused by whoever parses it
        assert found[-len(whole) :] == whole if whole else len(found) < 2, cut
        assert len(found) <= len(whole) + 1


def test_after_a_lost_segment_the_headers_still_count() -> None:
    reader = SipStream(Counter())
    head = MESSAGES[0][: -len(SDP)]
    assert reader.take(head + SDP[:5], True) == []
    assert reader.take(b"ost end of the body\r\n" + MESSAGES[1], True) == [head + SDP[:5], MESSAGES[1]]


def test_garbage_between_is_passed_over_and_counted() -> None:
    reader = SipStream(counts := Counter())
    assert reader.take(MESSAGES[0] + b"\x16\x03\x01 garbage\r\n" + MESSAGES[1], True) == MESSAGES[:2]
    assert counts["sip_resynchronised"] == 1
    assert reader.take(sip(length="Content-Length: 9999999\r\nx") + MESSAGES[1], False) == [MESSAGES[1]]


@given(
    st.lists(
        st.sampled_from([*MESSAGES, b"\r\n", b"INVITE sip:a SIP/2.0\r\na:", b"x" * 5000, b"l: 99999\r\n\r\n", b"SIP/2.0 200\r\nl: 70000\r\n\r\n"]),
        max_size=40,
    )
)
def test_a_stream_never_raises_nor_grows(parts: list[bytes]) -> None:
    reader = SipStream(Counter())
    for part in parts:
        reader.take(part, False)
        assert len(reader._buffer) <= MAX_MESSAGE


def test_many_hopeless_heads_take_no_stack() -> None:
    reader = SipStream(counts := Counter())
    reader.take(b"SIP/2.0 200\r\na: b\r\nl: 9999999\r\n\r\n" * 3000, True)
    assert counts["sip_resynchronised"] >= 3000


# --- the sieve


def udp(payload: bytes, source: tuple[str, int] = PHONE, destination: tuple[str, int] = PBX, **ip: int) -> Packet:
    return IP(src=source[0], dst=destination[0], **ip) / UDP(sport=source[1], dport=destination[1]) / payload


def sieved(*frames: tuple[float, Packet]) -> tuple[list[tuple[float, bytes]], Counter[str]]:
    sieve = Sieve((5060,), ScapyUnwrap())
    found = [message for time, frame in frames for message in sieve.take(time, 1, bytes(Ether(**LINK) / frame))]
    found += sieve.finish(frames[-1][0])
    return [(message.time, message.payload) for message in found], sieve.counts


def test_a_frame_seen_twice_is_passed_once_and_a_retransmission_twice() -> None:
    first, behind_router = udp(MESSAGES[0], id=1, ttl=64), udp(MESSAGES[0], id=1, ttl=63)
    found, counts = sieved((0.0, first), (0.0004, behind_router), (0.5, udp(MESSAGES[0], id=2)), (0.51, udp(MESSAGES[0], PBX, PHONE)))
    assert [time for time, _ in found] == [0.0, 0.5, 0.51]
    assert counts["copies"] == 1


def test_keepalives_and_media_on_the_port_stay() -> None:
    found, counts = sieved((0.0, udp(b"\r\n\r\n")), (0.1, udp(bytes(4))), (0.2, udp(b"\r\n" + MESSAGES[0])))
    assert (len(found), counts["not_sip"], counts["messages"]) == (1, 2, 1)


def test_both_views_of_fragments_and_of_segments() -> None:
    long = sip(body=b"a=candidate\r\n" * 300)
    parts = fragment(udp(long), 1400)
    found, _ = sieved(*((number / 10000, part) for number, part in enumerate([part for part in parts for _ in range(2)])))
    assert [payload for _, payload in found] == [long]
    stream, rows = b"".join(MESSAGES), []
    for at in range(0, len(stream), 100):
        one = IP(src=PHONE[0], dst=PBX[0]) / TCP(sport=PHONE[1], dport=PBX[1], seq=1 + at, flags="A") / Raw(stream[at : at + 100])
        rows += [one, one]
    random.Random(1).shuffle(rows)
    syn = IP(src=PHONE[0], dst=PBX[0]) / TCP(sport=PHONE[1], dport=PBX[1], seq=0, flags="S")
    found, _ = sieved((0.0, syn), *((0.001 * number, row) for number, row in enumerate(rows)))
    assert [payload for _, payload in found] == MESSAGES


def test_a_lost_segment_costs_its_message_only() -> None:
    rows, at = [(0.0, IP(src=PHONE[0], dst=PBX[0]) / TCP(sport=PHONE[1], dport=PBX[1], seq=0, flags="S"))], 1
    for number in range(5):
        message = sip(number=number)
        half = len(message) // 2
        for piece in (message[:half], message[half:]):
            if (number, piece) != (2, message[half:]):
                rows.append((number * 1.0, IP(src=PHONE[0], dst=PBX[0]) / TCP(sport=PHONE[1], dport=PBX[1], seq=at, flags="PA") / Raw(piece)))
            at += len(piece)
    found, counts = sieved(*rows)
    assert [payload for _, payload in found] == [sip(number=number) for number in (0, 1, 3, 4)]
    assert counts["tcp_gaps"] == 1


def test_what_waits_in_all_streams_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.sniffer.sieve.MAX_WAITING", 20_000)
    begun = b"INVITE sip:a SIP/2.0\r\nContent-Length: 100000\r\n\r\n" + bytes(900)
    sieve = Sieve((5060,))
    for number in range(100):
        frame = Ether(**LINK) / IP(src=PHONE[0], dst=PBX[0]) / TCP(sport=1024 + number, dport=5060, seq=1, flags="PA") / Raw(begun)
        assert sieve.take(0.0, 1, bytes(frame)) == []
    assert sieve.counts["streams_evicted"] == 100 - 20_000 // len(begun)
    frame = Ether(**LINK) / IP(src=PHONE[0], dst=PBX[0]) / TCP(sport=9000, dport=5060, seq=1, flags="PA") / Raw(MESSAGES[0])
    assert [message.payload for message in sieve.take(0.0, 1, bytes(frame))] == [MESSAGES[0]]


MIRRORED = Ether(**LINK) / udp(MESSAGES[0])
SWITCH = IP(src="198.51.100.1", dst="198.51.100.2")


@pytest.mark.parametrize(
    "frame",
    [
        SWITCH / GRE(proto=0x0800) / MIRRORED[IP],
        SWITCH / GRE(proto=0x6558, key_present=1, key=7) / MIRRORED,
        SWITCH / GRE(proto=0x88BE) / MIRRORED,
        SWITCH / GRE(proto=0x88BE, seqnum_present=1, sequence_number=5) / ERSPAN_II(session_id=3) / MIRRORED,
        SWITCH / GRE(proto=0x22EB, seqnum_present=1, sequence_number=5) / ERSPAN_III(session_id=3) / MIRRORED,
        SWITCH / UDP(sport=40000, dport=4789) / VXLAN(vni=7) / MIRRORED,
        SWITCH / UDP(sport=40000, dport=8472) / VXLAN(vni=7) / MIRRORED,
        SWITCH / UDP(sport=40000, dport=37008) / TZSP(encapsulated_protocol=1) / TZSPTagEnd() / MIRRORED,
        MPLS(label=3, s=1) / MIRRORED[IP],
    ],
    ids=["gre", "gre with ethernet", "erspan I", "erspan II", "erspan III", "vxlan", "vxlan of linux", "tzsp", "mpls"],
)  # fmt: skip
def test_mirrors_that_come_through_a_tunnel(frame: Packet) -> None:
    assert sieved((1.0, frame))[0] == [(1.0, MESSAGES[0])]


def test_a_tunnelled_frame_in_fragments() -> None:
    long = Ether(**LINK) / udp(sip(body=b"a" * 1350))
    parts = fragment(SWITCH / GRE(proto=0x88BE) / long, 1400)
    assert len(parts) == 2
    assert [payload for _, payload in sieved(*((0.0, part) for part in reversed(parts)))[0]] == [sip(body=b"a" * 1350)]


@given(st.binary(max_size=80))
def test_hostile_tunnels_do_no_harm(data: bytes) -> None:
    unwrap = ScapyUnwrap()
    for protocol in (17, 47):
        unwrap.tunnel(protocol, data)
    unwrap.tunnel(17, bytes((0x9C, 0x40, 0x90, 0x90)) + data)
    unwrap.frame(105, data)
    unwrap.frame(9999, data)
