"""The program as it is typed: files replayed over UDP and TCP, in their time or at once; wrong use and what it says then."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap, wrpcapng
from servers import START_S, until
from waiting import free_port

from drivers.calls.hep3 import parse_packet
from drivers.capture.packets import Packet as Captured
from drivers.sniffer.hep import MAX_PACKET, Agent, encode
from drivers.sniffer.program import main
from drivers.sniffer.sender import MAX_WAITING, TcpSender, UdpSender, parse_target
from tests.sip.sip_wire import Dialog
from tests.sniffer.ear import ROOT, Ear, Sniffer, calls_of
from tests.telephony.peers import listening

PHONE, PBX = ("192.0.2.20", 5060), ("192.0.2.10", 5060)
START = 1773480413.5
DIALOG = Dialog()
CALL = [
    (0.0, PHONE, PBX, DIALOG.request()),
    (0.4, PBX, PHONE, DIALOG.response(180, "Ringing")),
    (1.0, PBX, PHONE, DIALOG.response(200, "OK")),
    (1.1, PHONE, PBX, DIALOG.request("ACK", tagged=True)),
    (3.0, PHONE, PBX, DIALOG.request("BYE", tagged=True, cseq=2)),
    (3.1, PBX, PHONE, DIALOG.response(200, "OK", method="BYE", cseq=2)),
]
ENDED = ["offered", "ringing", "answered", "ended"]


def over_udp() -> list[Packet]:
    found = []
    for at, source, destination, payload in CALL:
        frame = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src=source[0], dst=destination[0])
        found.append(frame / UDP(sport=source[1], dport=destination[1]) / payload)
        found[-1].time = START + at
    return found


def over_tcp(size: int = 200) -> list[Packet]:
    """The same call over one connection over IPv6, in small segments, each seen twice."""
    found, sequence = [], {PHONE: 100, PBX: 2**32 - 50}
    for at, source, destination, payload in CALL:
        for start in range(0, len(payload), size):
            piece = payload[start : start + size]
            ip = IPv6(src=f"2001:db8::{source[0][-2:]}", dst=f"2001:db8::{destination[0][-2:]}")
            frame = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / ip
            frame /= TCP(sport=source[1], dport=destination[1], seq=sequence[source] % 2**32, flags="PA") / Raw(piece)
            frame.time = START + at
            sequence[source] += len(piece)
            found += [frame, frame]
    return found


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    wrpcap(str(tmp_path / "call.pcap"), over_udp())
    return tmp_path / "call.pcap"


# --- replay


@pytest.mark.parametrize("write", [wrpcap, wrpcapng], ids=["pcap", "pcapng"])
@pytest.mark.parametrize("frames", [over_udp, over_tcp], ids=["udp", "tcp"])
def test_a_file_becomes_the_call_it_holds(tmp_path: Path, ear: Ear, write: object, frames: object, capfd: pytest.CaptureFixture[str]) -> None:
    write(str(tmp_path / "c"), frames())  # type: ignore[operator]
    assert main(["--read", str(tmp_path / "c"), "--to", ear.target]) == 0
    packets = ear.listen()
    assert [packet.payload for packet in packets] == [payload for *_, payload in CALL]
    assert [packet.time for packet in packets] == pytest.approx([START + at for at, *_ in CALL], abs=2e-6)  # the packet's time, not ours
    assert list(calls_of(ear.datagrams).values()) == [ENDED]
    assert "messages 6, hep_sent 6, hep_dropped 0" in capfd.readouterr().err


def test_key_agent_and_standard_input(capture: Path, tmp_path: Path, ear: Ear) -> None:
    (tmp_path / "key").write_text("s3cret\nmore\n")
    argv = [sys.executable, "-m", "drivers.sniffer.program", "--read", "-", "--to", ear.target, "--auth-key-file", str(tmp_path / "key")]
    with capture.open("rb") as file:
        done = subprocess.run([*argv, "--agent-id", "42", "--agent-name", "镜像口"], stdin=file, capture_output=True, timeout=60, check=True)
    assert b"s3cret" not in done.stderr + done.stdout
    assert {(one.auth_key, one.agent_id, one.agent_name.decode(), one.version) for one in ear.listen()} == {(b"s3cret", 42, "镜像口", 3)}
    assert list(calls_of(ear.datagrams, auth_key="s3cret").values()) == [ENDED]


async def test_tcp_takes_everything_at_once(tmp_path: Path) -> None:
    """Far more than fits into a socket's buffers, to a reader that begins late: nothing is lost."""
    number, body = 3000, b"a=" + b"x" * 998
    many = []
    for index in range(number):
        payload = f"MESSAGE sip:{index} SIP/2.0\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        many.append(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src=PHONE[0], dst=PBX[0]) / UDP(sport=5060, dport=5060) / payload)
    wrpcap(str(tmp_path / "many"), many)
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = Sniffer(tmp_path, "--read", str(tmp_path / "many"), "--to", f"tcp:127.0.0.1:{server.getsockname()[1]}")
        try:
            server.settimeout(START_S)
            peer, _ = server.accept()
            got = bytearray()
            with peer:
                while piece := peer.recv(65_536):
                    got += piece
            assert await process.ended() == 0, process.said
        finally:
            process.kill()
    assert f"hep_sent {number}, hep_dropped 0" in process.said
    starts, at = [], 0
    while at < len(got):
        length = int.from_bytes(got[at + 4 : at + 6])
        starts.append(parse_packet(bytes(got[at : at + length])).payload[:20])
        at += length
    assert [int(start.split(b":")[1].split()[0]) for start in starts] == list(range(number))


@pytest.mark.parametrize("speed", [1, 10])
def test_each_message_leaves_when_it_did_at_that_speed(capture: Path, ear: Ear, speed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of the test's own, which goes on while the sniffer waits."""
    now, left = 1000.0, []
    send = UdpSender.send

    def wait(_: UdpSender, seconds: float) -> None:
        nonlocal now
        now += seconds

    def sent(sender: UdpSender, packet: bytes, at: float) -> None:
        left.append(at - 1000.0)
        send(sender, packet, at)

    monkeypatch.setattr("drivers.sniffer.program.time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(UdpSender, "wait", wait)
    monkeypatch.setattr(UdpSender, "send", sent)
    assert main(["-r", str(capture), "-t", ear.target, "--speed", str(speed)]) == 0
    assert left == pytest.approx([at / speed for at, *_ in CALL], abs=1e-5)
    assert len(ear.listen()) == 6


async def test_sigterm_ends_a_replay_in_the_middle(tmp_path: Path, ear: Ear, sniffers: list[Sniffer]) -> None:
    """What would come next is not sent before its time."""
    frames = over_udp()
    for frame in frames[4:]:
        frame.time += 3600
    wrpcap(str(tmp_path / "long.pcap"), frames)
    sniffers.append(Sniffer(tmp_path, "-r", str(tmp_path / "long.pcap"), "-t", ear.target, "--speed", "1"))
    await until(lambda: len(ear.listen()) == 4, "the talk is heard")
    await sniffers[0].stop()
    assert len(ear.listen()) == 4


def test_only_the_ports_asked_for(capture: Path, ear: Ear) -> None:
    assert main(["-r", str(capture), "-t", ear.target, "--ports", "5080,5090"]) == 0
    assert ear.listen() == []


# --- wrong use


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["-t", "udp:127.0.0.1:9"], "one of the arguments --interface/-i --read/-r is required"),
        (["-r", "x"], "required: --to/-t"),
        (["-r", "x", "-t", "udp:127.0.0.1:9", "--ports", "0"], "write up to 32, such as 5060,5080"),
        (["-r", "x", "-t", "udp:127.0.0.1:9", "--ports", "a"], "write up to 32, such as 5060,5080"),
        (["-r", "x", "-t", "udp:127.0.0.1:9", "--speed", "-1"], "write 1, a factor, or 0"),
        (["-r", "x", "-t", "udp:127.0.0.1:9", "--speed", "nan"], "write 1, a factor, or 0"),
        (["-r", "x", "-t", "udp:127.0.0.1:9", "--agent-id", "4294967296"], "write a number below"),
    ],
)
def test_wrong_use(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["-t", "127.0.0.1:9060"], "--to: '127.0.0.1:9060' is no target; write udp:HOST:PORT or tcp:HOST:PORT"),
        (["-t", "udp:127.0.0.1:99999"], "is no target"),
        (["-t", "udp:127.0.0.1:9", "--auth-key-file", "KEY"], "KEY: no such file or directory; write the key into it"),
        (["-t", "udp:127.0.0.1:9", "--auth-key-file", "EMPTY"], "EMPTY: its first line is empty; write the key there"),
        (["-t", "udp:127.0.0.1:9", "-r", "NOWHERE"], "NOWHERE: no such file or directory"),
        (["-t", "udp:127.0.0.1:9", "-r", "EMPTY"], "EMPTY: this is no pcap or pcapng file"),
        (["-t", "udp:127.0.0.1:9", "-r", "CUT"], "CUT: the capture is cut or damaged"),
    ],
)
def test_what_cannot_be_is_told_with_its_remedy(
    argv: list[str], says: str, capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("EMPTY").write_bytes(b"")
    Path("CUT").write_bytes(capture.read_bytes()[:-5])
    assert main([*argv, *([] if "-r" in argv else ["-r", str(capture)])]) == 1
    said = capsys.readouterr().err
    assert f"gateway-sniffer: {says}" in said or says in said
    assert "Traceback" not in said


def test_a_file_that_nobody_takes_ends_with_1(capture: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["-r", str(capture), "-t", f"udp:127.0.0.1:{free_port()}"]) == 1
    assert "hep_refused" in capsys.readouterr().err
    monkeypatch.setattr("drivers.sniffer.program.LEAVE_S", 0.3)
    assert main(["-r", str(capture), "-t", f"tcp:127.0.0.1:{free_port()}"]) == 1
    assert "is the gateway running?" in capsys.readouterr().err


# --- the packet and its way


def test_the_packet_of_the_specification() -> None:
    """The worked example of HEP3 revision 37 (113 octets), whose chunks stand in another order."""
    ours = encode(Captured(1313440459.12, ("212.202.0.1", 12010), ("82.116.0.211", 5060), 17, b"INVITE sip:bob"), Agent(228))
    example = bytes.fromhex(
        "48455033007100000001000702000000020007110000000300 0ad4ca000100000004000a527400d3000000070008 2eea00000008000813c4"
        "00000009000a4e4982cb0000000a000a0001d4c00000000b0007010000000c000a000000e40000000f0014494e56495445207369703a626f62"
    )
    assert len(ours) == len(example) == 113
    assert parse_packet(ours) == parse_packet(example)
    assert ours == example


def test_a_message_longer_than_a_packet_keeps_its_headers() -> None:
    packet = encode(Captured(1.0, PHONE, PBX, 6, b"INVITE sip:a SIP/2.0\r\n" + bytes(200_000)), Agent(1, b"name", b"key"))
    assert len(packet) == MAX_PACKET
    assert parse_packet(packet).payload.startswith(b"INVITE sip:a SIP/2.0\r\n\0")


def test_tcp_comes_back_and_begins_with_a_whole_packet() -> None:
    packet = encode(Captured(1.0, PHONE, PBX, 17, b"INVITE sip:a SIP/2.0\r\n" + bytes(40_000)), Agent(1))
    with socket.create_server(("127.0.0.1", 0)) as server:
        told: list[str] = []
        sender = TcpSender(parse_target(f"tcp:127.0.0.1:{server.getsockname()[1]}"), told.append)
        sender.send(packet, 0.0)
        first, _ = server.accept()
        for _ in range(400):  # more than the buffers of an unread connection hold
            sender.send(packet, 0.0)
        assert 0 < sender.waiting <= MAX_WAITING
        assert sender.counts["hep_dropped"] > 0
        first.close()
        waited = 0.0
        second: socket.socket | None = None
        got = bytearray()

        def read() -> None:
            nonlocal second
            second, _ = server.accept()
            with second:
                while piece := second.recv(1 << 16):
                    got.extend(piece)

        reader = threading.Thread(target=read)
        reader.start()
        while sender.waiting:
            waited += 1.0  # the sender's clock, not ours
            sender.work(waited)
            sender.wait(0.01)
        sender.close()
        reader.join()
    assert len(got) % len(packet) == 0
    assert bytes(got) == packet * (len(got) // len(packet))
    assert sender.counts["hep_connections_lost"] >= 1
    assert ["cannot be reached" in line for line in told] == [True, False], told
    assert "takes packets again" in told[1]


def test_a_tcp_target_where_nobody_listens_is_told_once_and_once_when_it_is_back() -> None:
    packet = encode(Captured(1.0, PHONE, PBX, 17, b"INVITE sip:a SIP/2.0\r\n"), Agent(1))
    told: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind(("127.0.0.1", 0))  # bound, not listening: nobody answers there
        where = f"tcp:127.0.0.1:{server.getsockname()[1]}"
        sender = TcpSender(parse_target(where), told.append)
        now = 0.0
        while sender.counts["hep_connections_lost"] < 3 and now < 1000:
            now += 40.0  # the sender's clock: longer than its longest pause
            sender.send(packet, now)
            sender.wait(0.01)
            sender.work(now)
        assert told == [f"{where} cannot be reached (connection refused); trying again and again: is the gateway running, and --to its hep line?"]
        server.listen(1)
        while sender.waiting and now < 10_000:
            now += 40.0
            sender.work(now)
            sender.wait(0.01)
            sender.work(now)
        assert sender.waiting == 0
        sender.close()
    assert told[1:] == [f"{where} takes packets again; 0 were dropped so far"]


def test_metrics_that_cannot_be_written_stop_nothing(capture: Path, ear: Ear, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-r", str(capture), "-t", ear.target, "--metrics", "/proc/nowhere/sniffer.prom"]) == 0
    assert len(ear.listen()) == 6
    assert "--metrics: /proc/nowhere/sniffer.prom: " in capsys.readouterr().err


def test_without_scapy_the_remedy_is_told() -> None:
    code = "import sys; sys.modules['scapy'] = None; from drivers.sniffer import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr.endswith("is not installed; install it with: pip install 'gateway-12349[capture]'\n")
    assert "Traceback" not in done.stderr


def test_a_cut_file_is_played_to_its_end(capture: Path, ear: Ear, capsys: pytest.CaptureFixture[str]) -> None:
    capture.write_bytes(capture.read_bytes()[:-5])
    assert main(["-r", str(capture), "-t", ear.target]) == 1
    assert "is cut or damaged" in capsys.readouterr().err
    assert len(ear.listen()) == 5


def test_the_script_is_installed() -> None:
    script = Path(sys.executable).with_name("gateway-sniffer")
    done = subprocess.run([script, "--help"], capture_output=True, text=True, timeout=60, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0
    assert "--interface" in done.stdout


# --- into a gateway's own line


@pytest.mark.parametrize("kind", ["udp", "tcp"])
async def test_into_the_hep_line_of_a_gateway(capture: Path, tmp_path: Path, kind: str, sniffers: list[Sniffer]) -> None:
    """Over real sockets, key and all: the line's events are the call that the file holds."""
    (tmp_path / "key").write_text("s3cret\n")
    async with listening(f"{kind}:0:interface=127.0.0.1", auth_key="s3cret") as line:
        argv = ["--read", str(capture), "--to", f"{kind}:127.0.0.1:{line.port}", "--auth-key-file", str(tmp_path / "key")]
        sniffers.append(Sniffer(tmp_path, *argv))
        assert await sniffers[-1].ended() == 0, sniffers[-1].said
        await until(lambda: list(line.kinds().values()) == [ENDED], "the call was heard")
