"""Frames in, payloads out: files, link layers, IP fragments and TCP. Frames are made by scapy, none by our own code."""

import io
import random
import struct
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP, IPOption_Router_Alert, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, fragment6
from scapy.layers.l2 import ARP, CookedLinux, CookedLinuxV2, Dot1AD, Dot1Q, Ether, Loopback
from scapy.layers.ppp import PPP, PPPoE
from scapy.packet import Packet as Layer
from scapy.packet import Raw
from scapy.utils import PcapNgWriter, PcapWriter

from drivers.capture import fragments, tcp
from drivers.capture.file import CaptureError, read_frames
from drivers.capture.fragments import Fragments
from drivers.capture.packets import Packet, Packets
from drivers.capture.pieces import Pieces
from drivers.capture.tcp import Tcp

PHONE, PBX = ("192.0.2.20", 5062), ("192.0.2.10", 5060)
PHONE6, PBX6 = ("2001:db8::20", 5062), ("2001:db8::10", 5060)
LINK = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
TEXT = b"OPTIONS sip:192.0.2.10 SIP/2.0\r\n\r\n"


def udp(payload: bytes = TEXT, source: tuple[str, int] = PHONE, destination: tuple[str, int] = PBX) -> Layer:
    ip = IPv6 if ":" in source[0] else IP
    return ip(src=source[0], dst=destination[0]) / UDP(sport=source[1], dport=destination[1]) / payload


def read(*frames: bytes | Layer, link: int = 1, ports: tuple[int, ...] | None = None, step: float = 0.001) -> list[Packet]:
    reader = Packets(Counter(), ports)
    found = []
    for number, frame in enumerate(frames):
        found += reader.take(1000.0 + number * step, link, bytes(frame))
    return found + reader.finish(1000.0 + len(frames) * step)


# --- files


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
def test_pcap_in_both_byte_orders_and_resolutions(order: str, nano: bool) -> None:
    file = io.BytesIO()
    writer = PcapWriter(file, linktype=1, endianness=order, nano=nano)
    writer.write_header(None)
    writer.write_packet(b"abcd", sec=1773480413, usec=123456789 if nano else 123456)
    writer.flush()
    file.seek(0)
    [frame] = read_frames(file)
    assert (frame.link, frame.data) == (1, b"abcd")
    assert frame.time == pytest.approx(1773480413.123456, abs=2e-6)


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack(order + "II", kind, 12 + len(body)) + body + struct.pack(order + "I", 12 + len(body))


def pcapng(order: str, options: bytes, ticks: int) -> bytes:
    """One section of a file after draft-ietf-opsawg-pcapng: section header, interface, enhanced packet."""
    section = block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    interface = block(order, 1, struct.pack(order + "HHI", 1, 0, 65535) + options)
    return section + interface + block(order, 6, struct.pack(order + "IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, 4, 4) + b"abcd")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("option", "ticks"),
    [(None, 10**6), (6, 10**6), (9, 10**9), (0x80 | 20, 2**20)],
    ids=["default", "micro", "nano", "power of two"],
)
def test_pcapng_in_both_byte_orders_and_any_resolution(order: str, option: int | None, ticks: int) -> None:
    options = b"" if option is None else struct.pack(order + "HHBxxx", 9, 1, option) + bytes(4)
    written = pcapng(order, options, 1773480413 * ticks + ticks // 4)
    [frame] = read_frames(io.BytesIO(written))
    assert (frame.time, frame.link, frame.data) == (1773480413.25, 1, b"abcd")


def test_sections_of_one_file_may_differ() -> None:
    file = pcapng("<", b"", 5 * 10**6) + block("<", 99, b"unknown kinds are passed over") + pcapng(">", b"", 6 * 10**6)
    assert [frame.time for frame in read_frames(io.BytesIO(file))] == [5.0, 6.0]


def test_pcapng_offset_and_simple_packets() -> None:
    offset = struct.pack("<HHq", 14, 8, 1_773_480_000)
    assert [frame.time for frame in read_frames(io.BytesIO(pcapng("<", offset, 413 * 10**6)))] == [1773480413.0]
    simple = pcapng("<", b"", 0) + block("<", 3, struct.pack("<I", 3) + b"xyz")
    assert [frame.data for frame in read_frames(io.BytesIO(simple))] == [b"abcd", b"xyz"]


def test_a_cut_or_damaged_file_ends_with_capture_error(tmp_path: Path) -> None:
    for name, writer in (("a", PcapWriter), ("b", PcapNgWriter)):
        with writer(str(tmp_path / name)) as file:
            file.write([Ether(**LINK) / udp(), Ether(**LINK) / udp()])
        data = (tmp_path / name).read_bytes()
        for bad in [data[:end] for end in range(len(data))] + [data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :] for at in range(len(data))]:
            try:
                for frame in read_frames(io.BytesIO(bad)):
                    Packets(Counter()).take(*frame)
            except CaptureError:
                pass
    with pytest.raises(CaptureError, match="no pcap"):
        list(read_frames(io.BytesIO(b"GIF89a")))


# --- link layers

ETHER = Ether(**LINK)
LINKS = {
    "ethernet": (1, ETHER / udp()),
    "padded to the least length": (1, bytes(ETHER / udp(b"SIP/2.0 ")) + bytes(10)),
    "vlan": (1, ETHER / Dot1Q(vlan=7) / udp()),
    "provider's tag and customer's": (1, ETHER / Dot1AD(vlan=9) / Dot1Q(vlan=7) / udp()),
    "ip options": (1, ETHER / IP(src=PHONE[0], dst=PBX[0], options=[IPOption_Router_Alert()]) / UDP(sport=5062, dport=5060) / TEXT),
    "segmentation left to the card": (1, ETHER / IP(src=PHONE[0], dst=PBX[0], len=0) / UDP(sport=5062, dport=5060) / TEXT),
    "pppoe": (1, ETHER / PPPoE(sessionid=3) / PPP() / udp()),
    "cooked": (113, CookedLinux(proto=0x0800) / udp()),
    "cooked, second form": (276, CookedLinuxV2(proto=0x0800) / udp()),
    "cooked with a tag": (113, CookedLinux(proto=0x8100) / Dot1Q(vlan=7) / udp()),
    "raw": (101, udp()),
    "loopback": (0, Loopback() / udp()),
}


@pytest.mark.parametrize("name", LINKS)
def test_link_types(name: str) -> None:
    link, frame = LINKS[name]
    [packet] = read(frame, link=link)
    assert packet == (1000.0, PHONE, PBX, 17, b"SIP/2.0 " if "padded" in name else TEXT, False)


@pytest.mark.parametrize(
    "headers",
    [b"", IPv6ExtHdrHopByHop(), IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt(), IPv6ExtHdrFragment()],
    ids=["plain", "hop by hop", "two", "atomic fragment"],
)
def test_ipv6_and_its_extension_headers(headers: Layer | bytes) -> None:
    ip = IPv6(src=PHONE6[0], dst=PBX6[0])
    frame = ETHER / (ip / headers if headers else ip) / UDP(sport=5062, dport=5060) / TEXT
    assert read(frame) == [(1000.0, PHONE6, PBX6, 17, TEXT, False)]


def test_only_the_ports_asked_for() -> None:
    media = udp(b"\x80\x00", ("192.0.2.20", 16384), ("192.0.2.10", 10000))
    frames = [ETHER / media, ETHER / Dot1Q(vlan=7) / media, ETHER / udp(), ETHER / udp(TEXT, PBX, PHONE), ETHER / ARP()]
    assert [packet.source for packet in read(*frames, ports=(5060,))] == [PHONE, PBX]


@given(st.binary(max_size=120), st.sampled_from([0, 1, 12, 101, 113, 276, 9999]))
def test_no_bytes_make_it_raise(data: bytes, link: int) -> None:
    reader = Packets(Counter())
    reader.take(1.0, link, data)
    reader.take(1.0, link, bytes(ETHER)[:12] + data)
    reader.take(1.0, 101, b"\x45" + data)
    reader.take(1.0, 101, b"\x60" + data)


# --- IP fragments

LONG = TEXT + bytes(range(256)) * 20


@pytest.mark.parametrize("six", [False, True], ids=["v4", "v6"])
def test_fragments_in_any_order_and_twice(six: bool) -> None:
    if six:
        whole = IPv6(src=PHONE6[0], dst=PBX6[0]) / IPv6ExtHdrFragment(id=77) / UDP(sport=5062, dport=5060) / LONG
        parts = [ETHER / part for part in fragment6(whole, 1280)]
    else:
        parts = [ETHER / part for part in fragment(udp(LONG), 1400)]
    assert len(parts) > 3
    for seed in range(20):
        shuffled = parts + parts[1:3]
        random.Random(seed).shuffle(shuffled)
        assert [packet.payload for packet in read(*shuffled, ports=(5060,))] == [LONG]


def test_of_overlapping_fragments_the_first_copy_stands() -> None:
    ip = IP(src=PHONE[0], dst=PBX[0], id=9, proto=17)
    body = bytes(UDP(sport=5062, dport=5060, len=8 + 32)) + b"a" * 32
    forged = ip.copy()
    forged.frag, forged.flags = 1, "MF"
    first, last = ip.copy(), ip.copy()
    first.flags, last.frag = "MF", 2
    assert [packet.payload for packet in read(first / body[:16], forged / (b"X" * 16), last / body[16:], link=101)] == [
        b"a" * 8 + b"X" * 8 + b"a" * 16
    ]
    assert [packet.payload for packet in read(first / body[:16], last / body[16:], forged / (b"X" * 16), link=101)] == [b"a" * 32]


def test_fragments_are_given_up_in_time_number_and_size() -> None:
    counts: Counter[str] = Counter()
    table = Fragments(counts)
    key = (b"a" * 4, b"b" * 4, 1, 17)
    table.take(key, 17, 0, True, bytes(800), 0.0)
    assert table.take(key, 17, 800, False, bytes(8), 29.9) is not None  # within the time
    table.take(key, 17, 0, True, bytes(800), 100.0)
    assert table.take(key, 17, 800, False, bytes(8), 130.0) is None
    assert counts["fragments_expired"] == 1
    for number in range(fragments.MAX_DATAGRAMS + 10):
        table.take((b"a" * 4, b"b" * 4, number, 17), 17, 8, True, bytes(8), 131.0)
    assert len(table) == fragments.MAX_DATAGRAMS
    assert counts["fragments_evicted"] == 10  # one was there already
    assert table.take(key, 17, 65_000, False, bytes(1000), 131.0) is None  # beyond what a datagram can be
    assert counts["fragments_bad"] == 1
    for number in range(2 * fragments.MAX_BYTES // 60_000):
        table.take((b"c" * 4, b"b" * 4, number, 17), 17, 8, True, bytes(60_000), 131.0)
    assert len(table) <= fragments.MAX_BYTES // 60_000


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=30))
def test_pieces_are_a_map_of_octets_where_the_first_copy_stands(ranges: list[tuple[int, int]]) -> None:
    pieces, model = Pieces(), {}
    for number, (start, length) in enumerate(ranges):
        pieces.add(start, bytes([number]) * length)
        for at in range(start, start + length):
            model.setdefault(at, number)
    assert pieces.size == len(model)
    while pieces:
        first = pieces.first
        taken = pieces.take(first)
        assert list(taken) == [model.pop(at) for at in range(first, first + len(taken))]
    assert not model
    assert pieces.weight == 0


# --- TCP


def segment(sequence: int, data: bytes = b"", flags: str = "PA", source: tuple[str, int] = PHONE, destination: tuple[str, int] = PBX) -> Layer:
    return ETHER / IP(src=source[0], dst=destination[0]) / TCP(sport=source[1], dport=destination[1], seq=sequence % 2**32, flags=flags) / Raw(data)


def test_tcp_whatever_order_repetition_and_overlap() -> None:
    data = bytes(range(200)) * 3
    start = 2**32 - 100  # runs round
    cuts = [(at, min(at + 37, len(data))) for at in range(0, len(data), 30)]  # each overlaps the next by seven octets
    for seed in range(20):
        rest = cuts + cuts[3:6]
        random.Random(seed).shuffle(rest)
        segments = [segment(start - 1, flags="S"), *(segment(start + a, data[a:b]) for a, b in rest)]
        assert b"".join(packet.payload for packet in read(*segments)) == data


def test_directions_and_connections_are_kept_apart() -> None:
    packets = read(
        segment(10, b"a"), segment(900, b"x", source=PBX, destination=PHONE), segment(11, b"b"), segment(5000, flags="S"), segment(5001, b"new")
    )  # fmt: skip
    assert [(packet.source, packet.payload, packet.gap) for packet in packets] == [
        (PHONE, b"a", True), (PBX, b"x", True), (PHONE, b"b", False), (PHONE, b"new", True),
    ]  # fmt: skip
    # the same SYN again after data is no new connection; a far number without SYN is one
    packets = read(segment(9, flags="S"), segment(10, b"a"), segment(9, flags="S"), segment(10, b"a"), segment(11, b"b"), segment(10 + 2**31, b"z"))
    assert [(packet.payload, packet.gap) for packet in packets] == [(b"a", True), (b"b", False), (b"z", True)]


def test_a_lost_segment_holds_up_for_a_second_and_a_half() -> None:
    table, counts = Tcp(counts := Counter()), counts
    table.take(PHONE, PBX, 0, 0, b"abc", 0.0)
    assert table.take(PHONE, PBX, 6, 0, b"ghi", 0.1) == []
    assert table.deadline() == pytest.approx(1.6)
    assert table.expire(1.5) == []
    assert [(one.data, one.gap) for one in table.expire(1.6)] == [(b"ghi", True)]
    assert (table.deadline(), counts["tcp_gaps"]) == (None, 1)
    assert [one.data for one in table.take(PHONE, PBX, 9, 0, b"jkl", 1.7)] == [b"jkl"]
    assert table.take(PHONE, PBX, 3, 0, b"def", 1.8) == []  # too late
    # one that comes in time holds up nobody
    table.take(PHONE, PBX, 15, 0, b"pqr", 2.0)
    assert [one.data for one in table.take(PHONE, PBX, 12, 0, b"mno", 2.2)] == [b"mnopqr"]
    assert table.deadline() is None


def test_tcp_tables_are_bounded() -> None:
    table, counts = Tcp(counts := Counter()), counts
    for number in range(tcp.MAX_DIRECTIONS + 5):
        table.take((f"h{number}", 1), PBX, 0, 0, b"x", float(number) / 1000)
    assert (len(table), counts["tcp_evicted"]) == (tcp.MAX_DIRECTIONS, 5)
    table.expire(20.0 + tcp.IDLE_S)
    assert len(table) == 0
    # a hole with too much behind it is passed over at once
    table.take(PHONE, PBX, 0, 0, b"x", 0.0)
    got = [one for at in range(300) for one in table.take(PHONE, PBX, 10 + at * 1000, 0, bytes(1000), 0.0)]
    assert got[0].gap
    assert 0.8 * tcp.MAX_WAITING < len(got[0].data) <= tcp.MAX_WAITING
    # nor can many single octets get round the limit
    table = Tcp(Counter())
    got = [one for at in range(4000) for one in table.take(PHONE, PBX, 10 + 2 * at, 0, b"x", 0.0)]
    assert len(got) > 1000
