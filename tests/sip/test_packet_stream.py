"""HEP over TCP and TLS on real sockets: framing, one codec for all connections, and what a hostile peer must not gain."""

import asyncio
import contextlib
import ssl
import struct
import zlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from certificates import self_signed
from waiting import WAIT_S, wait_until

from drivers.calls.hep import HepCodec, HepOptions
from drivers.calls.hep_frames import HepFrames
from drivers.lines import packet_stream
from drivers.lines.packet_stream import PacketStreamLine, parse_listen
from drivers.registry import build_line, check_line
from gateway.config import CallsConfig, LineConfig
from gateway.errors import LineError
from tests.sip.sip_wire import Dialog, hep3
from tests.sip.test_datagram import Pipeline, Told, now_packet

CALL = Dialog()
Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def a_line(restore: Iterable[dict[str, object]] = (), *, listen: str = "tcp:0:interface=127.0.0.1", **options: object) -> PacketStreamLine:
    codec = HepCodec(HepOptions(**options), CallsConfig(hotlines=("12349",)))  # type: ignore[arg-type]
    return PacketStreamLine(LineConfig(name="pbx", codec="hep", listen=listen), codec, HepFrames, lambda: restore, codec.accepts_from)


@contextlib.asynccontextmanager
async def running(line: PacketStreamLine, pipeline: Pipeline) -> AsyncIterator[None]:
    told = Told()
    task = asyncio.create_task(line.run(pipeline.emit, told))
    await wait_until(lambda: told.states or task.done(), "the line is live")
    if task.done():
        task.result()
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def connect(line: PacketStreamLine, context: ssl.SSLContext | None = None) -> Peer:
    return await asyncio.open_connection("127.0.0.1", line.port, ssl=context, server_hostname="localhost" if context else None)


async def is_closed(peer: Peer) -> bool:
    """The line hung up: it never writes, so all that can be read is the end."""
    try:
        return await asyncio.wait_for(peer[0].read(), WAIT_S) == b""
    except ConnectionError:
        return True


async def hang_up(peer: Peer) -> None:
    peer[1].close()
    with contextlib.suppress(OSError, ssl.SSLError):
        await peer[1].wait_closed()


# ---- framing, without a socket


def test_packets_are_cut_at_every_index() -> None:
    wire = hep3(CALL.request()) + hep3(CALL.response(180), kind=1) + b"EEP1\x00\x06"
    whole = HepFrames().receive_data(wire)
    assert [len(packet) for packet in whole] == [len(hep3(CALL.request())), len(hep3(CALL.response(180))), 6]
    for at in range(len(wire) + 1):
        frames = HepFrames()
        assert frames.receive_data(wire[:at]) + frames.receive_data(wire[at:]) == whole
        assert frames.is_between
    frames = HepFrames()
    assert [packet for at in range(len(wire)) for packet in frames.receive_data(wire[at : at + 1])] == whole


@pytest.mark.parametrize(
    ("data", "fault"), [(b"GET / HTTP/1.1", "not_hep"), (b"H", ""), (b"HE", ""), (b"HX", "not_hep"), (b"HEP3\x00\x05", "bad_length")]
)
def test_what_is_no_packet_is_a_fault(data: bytes, fault: str) -> None:
    frames = HepFrames()
    assert frames.receive_data(data) == []
    assert frames.fault == fault
    if fault:
        assert frames.receive_data(hep3(CALL.request())) == []  # there is nothing to find the next packet by


# ---- the line


async def test_the_legs_of_one_call_over_two_connections() -> None:
    line, pipeline = a_line(), Pipeline()
    async with running(line, pipeline):
        first, second = await connect(line), await connect(line)
        first[1].write(now_packet(CALL.request()) + now_packet(CALL.response(180)))
        await wait_until(lambda: len(pipeline.kept) == 2, "offered and ringing")
        await hang_up(first)
        second[1].write(now_packet(CALL.response(200)))
        await wait_until(lambda: len(pipeline.kept) == 3, "answered")
        await hang_up(second)
        third = await connect(line)  # the proxy connects anew: the call is still known
        third[1].write(now_packet(CALL.request("BYE", tagged=True, cseq=2)))
        await wait_until(lambda: len(pipeline.kept) == 4, "ended")
        assert pipeline.kinds == ["call_offered", "call_ringing", "call_answered", "call_ended"]
        assert (line.counts["connections"], line.counts["packets"]) == (3, 4)
        await hang_up(third)
        await wait_until(lambda: line.connections == 0, "nobody is connected")


async def test_a_packet_in_many_segments_does_not_hold_up_others() -> None:
    line, pipeline = a_line(), Pipeline()
    slow_packet = now_packet(Dialog(call_id="slow").request())
    async with running(line, pipeline):
        slow, quick = await connect(line), await connect(line)
        slow[1].write(slow_packet[:20])
        await slow[1].drain()
        quick[1].write(now_packet(CALL.request()))
        await wait_until(lambda: len(pipeline.kept) == 1, "the quick one")
        slow[1].write(slow_packet[20:])
        await wait_until(lambda: len(pipeline.kept) == 2, "the slow one")
        await hang_up(slow)
        await hang_up(quick)


async def test_what_is_no_hep_is_hung_up_on_and_kept_for_inspection() -> None:
    line, pipeline = a_line(), Pipeline()
    async with running(line, pipeline):
        peer = await connect(line)
        peer[1].write(now_packet(CALL.request()) + b"GET / HTTP/1.1\r\n" + b"x" * 200)
        assert await is_closed(peer)
        await wait_until(lambda: len(pipeline.kept) == 2, "the call and the rubbish")
        assert pipeline.kinds == ["call_offered", "not_hep"]
        assert len(pipeline.kept[1].raw) <= packet_stream.KEPT_OCTETS
        assert line.counts["connections_broken"] == 1
        await hang_up(peer)


async def test_connections_are_bounded_per_address_and_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet_stream, "MAX_PER_ADDRESS", 2)
    line, pipeline = a_line(), Pipeline()
    async with running(line, pipeline):
        peers = [await connect(line) for _ in range(2)]
        await wait_until(lambda: line.connections == 2, "two are in")
        refused = await connect(line)
        assert await is_closed(refused)
        assert line.counts["connections_refused"] == 1
        await hang_up(peers[0])
        await wait_until(lambda: line.connections == 1, "one has left")
        again = await connect(line)
        again[1].write(now_packet(CALL.request()))
        await wait_until(lambda: pipeline.kept, "there is room again")
        monkeypatch.setattr(packet_stream, "MAX_PER_ADDRESS", 99)
        monkeypatch.setattr(packet_stream, "MAX_CONNECTIONS", 2)
        other = await connect(line)
        assert await is_closed(other)
        for peer in (*peers, refused, again, other):
            await hang_up(peer)


async def test_only_known_sources_may_connect() -> None:
    line, pipeline = a_line(sources=("192.0.2.0/24",)), Pipeline()
    async with running(line, pipeline):
        peer = await connect(line)
        assert await is_closed(peer)
        assert line.counts["connections_refused"] == 1
        await hang_up(peer)


@pytest.mark.parametrize(
    ("limit", "sent"), [("FIRST_S", b""), ("PACKET_S", now_packet(CALL.request()) + b"HEP3"), ("IDLE_S", now_packet(CALL.request()))]
)
async def test_peers_that_say_nothing_more_are_hung_up_on(monkeypatch: pytest.MonkeyPatch, limit: str, sent: bytes) -> None:
    monkeypatch.setattr(packet_stream, limit, 0.05)
    line, pipeline = a_line(), Pipeline()
    async with running(line, pipeline):
        peer = await connect(line)
        peer[1].write(sent)
        assert await is_closed(peer)
        await wait_until(lambda: line.connections == 0, "the line has forgotten it")
        assert line.counts["connections_idle"] == 1
        assert len(pipeline.kept) == (1 if sent else 0)
        await hang_up(peer)


async def test_packets_that_inflate_without_end_are_refused_and_the_connection_goes_on() -> None:
    bomb = zlib.compress(b"\0" * 50_000_000)
    body = struct.pack("!HHHB", 0, 11, 7, 1) + struct.pack("!HHH", 0, 0x10, 6 + len(bomb)) + bomb
    line, pipeline = a_line(), Pipeline()
    async with running(line, pipeline):
        peer = await connect(line)
        peer[1].write(b"HEP3" + struct.pack("!H", 6 + len(body)) + body + now_packet(CALL.request()))
        await wait_until(lambda: len(pipeline.kept) == 2, "the bomb and the call")
        assert pipeline.kinds == ["inflated_too_long", "call_offered"]
        await hang_up(peer)


async def test_a_restart_of_the_line_keeps_calls_and_hangs_up_on_all() -> None:
    line, pipeline = a_line(), Pipeline()
    async with running(line, pipeline):
        peer = await connect(line)
        peer[1].write(now_packet(CALL.request()))
        await wait_until(lambda: pipeline.kept, "offered")
    assert await is_closed(peer)
    assert line.connections == 0
    async with running(line, pipeline):
        again = await connect(line)
        again[1].write(now_packet(CALL.response(200)))
        await wait_until(lambda: len(pipeline.kept) == 2, "answered")
        assert pipeline.kinds == ["call_offered", "call_answered"]
        await hang_up(again)
    await hang_up(peer)


async def test_a_port_that_is_taken_is_a_line_error() -> None:
    line = a_line()
    async with running(line, Pipeline()):
        other = a_line(listen=f"tcp:{line.port}:interface=127.0.0.1")
        with pytest.raises(LineError, match="cannot listen"):
            await other.run(Pipeline().emit, Told())


# ---- TLS

# Twisted still hands its own certificates to pyOpenSSL in the old way.
OLD_WAY = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return self_signed(tmp_path_factory.mktemp("tls"))


def tls_line(certificate: tuple[Path, Path]) -> PacketStreamLine:
    cert, key = certificate
    listen = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={cert}"
    parse_listen(listen)
    return a_line(listen=listen)


@OLD_WAY
async def test_a_call_over_tls(certificate: tuple[Path, Path]) -> None:
    line, pipeline = tls_line(certificate), Pipeline()
    async with running(line, pipeline):
        peer = await connect(line, ssl.create_default_context(cafile=certificate[0]))
        peer[1].write(now_packet(CALL.request()))
        await wait_until(lambda: pipeline.kept, "offered")
        assert peer[1].get_extra_info("ssl_object").version() in ("TLSv1.2", "TLSv1.3")
        await hang_up(peer)


@OLD_WAY
async def test_tls_below_1_2_is_refused(certificate: tuple[Path, Path]) -> None:
    line = tls_line(certificate)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    async with running(line, Pipeline()):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await connect(line, old)
        good = await connect(line, ssl.create_default_context(cafile=certificate[0]))  # and the line goes on
        await hang_up(good)


# ---- configuration


def test_the_registry_builds_the_line_that_listen_asks_for(tmp_path: Path) -> None:
    for listen, wanted in (("tcp:9060:interface=127.0.0.1", "PacketStreamLine"), ("udp:9060", "DatagramLine")):
        assert type(build_line(LineConfig(name="pbx", codec="hep", listen=listen), CallsConfig())).__name__ == wanted
    [problem] = check_line(LineConfig(name="pbx", codec="hep", listen="serial:/dev/ttyS0"))
    assert "udp: or tcp: or ssl:" in problem
    [problem] = check_line(LineConfig(name="pbx", codec="hep", listen=f"ssl:9061:privateKey={tmp_path}/none.pem:certKey={tmp_path}/none.pem"))
    assert "privateKey" in problem
    assert "PEM" in problem


@pytest.mark.parametrize("listen", ["tcp:", "tcp:x", "tcp:70000", "ssl:9061", "tcp:9060:certKey=x", "tcp:9060:what=x", "udp:9060"])
def test_addresses_that_cannot_be_listened_on(listen: str) -> None:
    with pytest.raises(ValueError, match=r"write|use"):
        parse_listen(listen)
