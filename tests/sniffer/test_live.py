"""Listening on a real interface (the loopback): SIPp and plain sockets talk, the gateway's own codec hears the calls."""

import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, fragment6
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import Packet
from servers import program, until
from waiting import free_port

from drivers.sniffer.live import Live, filter_for
from drivers.sniffer.sieve import Sieve
from tests.sniffer.ear import DEBIAN_PYTHON, Ear, Sniffer, calls_of, path_of_packages

pytestmark = pytest.mark.usefixtures("may_capture")
ENDED = ["offered", "ringing", "answered", "ended"]


def message(number: int, body: bytes = b"") -> bytes:
    return f"OPTIONS sip:{number}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def is_open(port: int) -> bool:
    """Somebody listens at it (asking by a connection would be heard too)."""
    tables = "".join(Path(f"/proc/net/{name}").read_text() for name in ("tcp", "udp", "tcp6", "udp6"))
    return f":{port:04X} " in tables


async def start(sniffers: list[Sniffer], tmp_path: Path, ear: Ear, *ports: int, more: tuple[str, ...] = ()) -> Sniffer:
    sniffers.append(Sniffer(tmp_path, "--interface", "lo", "--to", ear.target, "--ports", ",".join(map(str, ports)), *more))
    return await sniffers[-1].listening()


@pytest.mark.parametrize(("transport", "host"), [("u1", "127.0.0.1"), ("t1", "127.0.0.1"), ("u1", "[::1]")], ids=["udp", "tcp", "ipv6"])
async def test_calls_of_sipp(sniffers: list[Sniffer], tmp_path: Path, ear: Ear, transport: str, host: str) -> None:
    sipp = program("sipp")
    agent, caller = free_port(), free_port()
    sniffer = await start(sniffers, tmp_path, ear, agent, more=("--agent-name", "mirror", "--agent-id", "7"))
    # -nr: nothing is lost on the loopback, and what waits for a slow machine is not said twice
    common = ["-t", transport, "-i", host, "-nostdin", "-m", "3", "-deadcall_wait", "0", "-nr"]
    uas = subprocess.Popen([sipp, "-sn", "uas", *common, "-p", str(agent)], stdout=subprocess.DEVNULL, cwd=tmp_path)  # noqa: ASYNC220
    try:
        await until(lambda: is_open(agent), "the agent's SIPp listens")
        uac_args = [sipp, "-sn", "uac", *common, "-p", str(caller), "-s", "12349", "-d", "200", "-r", "20", f"{host}:{agent}"]
        uac = subprocess.Popen(uac_args, stdout=subprocess.DEVNULL, cwd=tmp_path)  # noqa: ASYNC220
        await until(lambda: uac.poll() is not None and uas.poll() is not None, "both SIPp have ended")
        assert uac.returncode == 0
    finally:
        uas.kill()
        uas.wait()
    # INVITE, 180, 200, ACK, BYE, 200: each once, although the loopback shows each frame twice
    await until(lambda: len(ear.listen()) >= 18, "all messages arrived")
    said = await sniffer.stop()
    packets = ear.listen()
    assert len(packets) == 18, said
    assert list(calls_of(ear.datagrams).values()) == [ENDED] * 3
    assert {packet.protocol for packet in packets} == {6 if transport == "t1" else 17}
    assert {(packet.agent_id, packet.agent_name) for packet in packets} == {(7, b"mirror")}
    assert {packet.source for packet in packets} | {packet.destination for packet in packets} >= {(host.strip("[]"), agent)}
    assert re.search(r"messages 18, hep_sent 18, hep_dropped 0,.* kernel_drops 0", said)
    assert "outgoing" in said


def inject(*frames: Packet) -> None:
    """Onto the loopback as they are."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("lo", 0))
        for frame in frames:
            raw.send(bytes(frame))


async def test_fragments_tags_and_ipv6_extensions(sniffers: list[Sniffer], tmp_path: Path, ear: Ear) -> None:
    port = free_port()
    sniffer = await start(sniffers, tmp_path, ear, port)
    link = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    # 192.0.2.0/24 and 2001:db8::/32 are for documentation: nobody answers
    four, six = IP(src="192.0.2.20", dst="192.0.2.10"), IPv6(src="2001:db8::20", dst="2001:db8::10")
    ports = UDP(sport=5062, dport=port)
    long = bytes(range(256)) * 12
    sent = [message(1), message(2), message(3), message(4, long), message(5, long), message(6, long), message(7)]
    media = UDP(sport=port + 1, dport=port + 1) / bytes(160)
    inject(
        link / four / ports / sent[0],
        link / Dot1Q(vlan=7) / four / ports / sent[1],
        link / Dot1AD(vlan=9) / Dot1Q(vlan=7) / six / ports / sent[2],
        *(link / part for part in reversed(fragment(four / ports / sent[3], 1400))),
        *(link / Dot1Q(vlan=7) / part for part in fragment(four / ports / sent[4], 1400)),
        *(link / part for part in fragment6(six / IPv6ExtHdrFragment(id=5) / ports / sent[5], 1280)),
        link / six / IPv6ExtHdrHopByHop() / ports / sent[6],
        *([link / four / media, link / Dot1Q(vlan=7) / four / media] * 200),
    )
    await until(lambda: len(ear.listen()) >= len(sent), "all arrived")
    said = await sniffer.stop()
    assert sorted(packet.payload for packet in ear.listen()) == sorted(sent)
    # media never left the kernel: what was passed is ours, and a fragment or two of somebody else on this machine
    frames = re.search(r"frames (\d+),", said)
    assert frames is not None
    assert int(frames[1]) < 100


async def test_a_lost_segment_does_not_stall_a_quiet_line(sniffers: list[Sniffer], tmp_path: Path, ear: Ear) -> None:
    """Nothing more comes after the hole: the time alone makes the sniffer go on."""
    from scapy.layers.inet import TCP

    port = free_port()
    await start(sniffers, tmp_path, ear, port)
    head = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="192.0.2.20", dst="192.0.2.10")
    inject(head / TCP(sport=5062, dport=port, seq=1, flags="A") / message(1), head / TCP(sport=5062, dport=port, seq=5000, flags="A") / message(2))
    await until(lambda: len(ear.listen()) == 2, "the message behind the hole arrived")
    assert [packet.payload for packet in ear.listen()] == [message(1), message(2)]


async def test_what_the_kernel_drops_is_counted(sniffers: list[Sniffer], tmp_path: Path, ear: Ear) -> None:
    port = free_port()
    metrics = tmp_path / "sniffer.prom"
    sniffer = await start(sniffers, tmp_path, ear, port, more=("--metrics", str(metrics)))
    sniffer.process.send_signal(signal.SIGSTOP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for number in range(3000):
            sock.sendto(message(number, bytes(8000)), ("127.0.0.1", port))
    sniffer.process.send_signal(signal.SIGCONT)
    said = await sniffer.stop()
    dropped = re.search(r"kernel_drops (\d+)", said)
    assert dropped is not None
    assert int(dropped[1]) > 0, said
    written = dict(line.split(" ") for line in metrics.read_text().splitlines() if not line.startswith("#"))
    assert written["gateway_sniffer_kernel_drops_total"] == dropped[1]
    assert int(written["gateway_sniffer_messages_total"]) == len(ear.listen()) > 0
    assert float(written["gateway_sniffer_last_message_timestamp_seconds"]) > 1.7e9
    promtool = shutil.which("promtool")
    if promtool is not None:
        subprocess.run([promtool, "check", "metrics"], input=metrics.read_bytes(), check=True, timeout=60)  # noqa: ASYNC221


# --- who may


def as_nobody(*capabilities: str) -> list[str]:
    """Run as a user who owns nothing, with these capabilities alone: what the systemd unit gives. On Debian's Python, which everybody can read."""
    if os.geteuid() or not Path(DEBIAN_PYTHON).exists():
        pytest.skip("only root can take capabilities away, and Debian's Python is needed")
    given = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    words = [program("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups"]
    words += [f"--inh-caps={given}", f"--ambient-caps={given}", f"--bounding-set={given}"]
    words += ["env", f"PYTHONPATH={path_of_packages()}", "PYTHONDONTWRITEBYTECODE=1"]
    tried = subprocess.run([*words, DEBIAN_PYTHON, "-c", "import drivers.sniffer.program"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"another user cannot run it: {tried.stderr[-300:]}")
    return words


async def test_the_one_capability_is_enough(sniffers: list[Sniffer], tmp_path: Path, ear: Ear) -> None:
    port = free_port()
    argv = ["--interface", "lo", "--to", ear.target, "--ports", str(port)]
    sniffers.append(Sniffer(tmp_path, *argv, before=as_nobody("net_raw"), python=DEBIAN_PYTHON))
    await sniffers[-1].listening()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(message(1), ("127.0.0.1", port))
    await until(lambda: len(ear.listen()) == 1, "it was heard")
    await sniffers[-1].stop()


async def test_without_it_the_remedy_is_told(sniffers: list[Sniffer], tmp_path: Path) -> None:
    sniffers.append(Sniffer(tmp_path, "--interface", "lo", "--to", "udp:127.0.0.1:9", before=as_nobody(), python=DEBIAN_PYTHON))
    assert await sniffers[-1].ended() == 1
    assert sniffers[-1].said == (
        "gateway-sniffer: lo: listening needs the capability CAP_NET_RAW; start it as systemd/gateway-sniffer.service does, or as root\n"
    )


async def test_an_interface_that_is_not_there(sniffers: list[Sniffer], tmp_path: Path) -> None:
    sniffers.append(Sniffer(tmp_path, "--interface", "mirror9", "--to", "udp:127.0.0.1:9"))
    assert await sniffers[-1].ended() == 1
    assert "mirror9: there is no such interface" in sniffers[-1].said


async def test_without_libpcap_everything_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def attach(*_: object) -> None:
        raise ImportError("libpcap is not available. Cannot compile filter !")  # scapy's own words

    monkeypatch.setattr("scapy.arch.linux.attach_filter", attach)
    port = free_port()
    live = Live("lo", (port,))
    try:
        assert live.filtered_by.startswith("Python, which is slower, because libpcap is not installed")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(message(1), ("127.0.0.1", port))
            sock.sendto(bytes(160), ("127.0.0.1", port + 1))
        sieve = Sieve((port,))
        found: list[bytes] = []

        def heard() -> bool:  # among everything else on this loopback
            found.extend(packet.payload for frame in live.read() for packet in sieve.take(*frame))
            return bool(found)

        await until(heard, "the message is found")
        assert found == [message(1)]
        assert sieve.counts["frames"] >= 2
    finally:
        live.close()


def test_the_filter_compiles_for_every_kind_of_interface() -> None:
    from scapy.arch.common import compile_filter, free_filter

    for tunnels in (False, True):
        for linktype, tags in ((1, True), (101, False)):
            compiled = compile_filter(filter_for((5060, 5080), tunnels=tunnels, tags=tags), linktype=linktype)
            assert 20 < compiled.bf_len < 4096  # what the kernel takes
            free_filter(compiled)
