"""How the captures in this folder were made: SIPp and plain sockets talk on the loopback, dumpcap writes what it sees. Run as root, by hand.

    python tests/vectors/captures/make.py

Numbers are from +8617400… (no subscribers). Nothing of ours takes part, so the captures are witnesses.
"""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
SCENARIOS = HERE.parents[1] / "telephony" / "scenarios"
AMI = HERE.parent / "pbx" / "ami" / "queue_ring_all.txt"
PHONE, CALLER, MANAGER = 5060, 5070, 5038
MRQ = (
    b"<mrq><ref>demo0001</ref><ver>01.00</ver><mty>ME</mty><cid>1234567890</cid><dty>0003</dty><did>00A1B2C3</did>"
    b"<crd>sip:1234567890@example.net</crd><stc>0010</stc><lco>043</lco></mrq>"
)


@contextlib.contextmanager
def captured(name: str, kind: str, ports: str) -> Iterator[None]:
    """Everything on these ports into a file of this kind (editcap -F)."""
    raw = Path("/tmp/captures-raw.pcapng")
    dumpcap = subprocess.Popen(["dumpcap", "-q", "-i", "lo", "-f", ports, "-w", raw], stderr=subprocess.DEVNULL)
    time.sleep(2.0)
    yield
    time.sleep(2.0)
    dumpcap.send_signal(signal.SIGINT)
    dumpcap.wait()
    (HERE / name).unlink(missing_ok=True)
    plain = raw.with_suffix(".pcap")  # by way of the old form, which knows nothing of the machine
    subprocess.run(["editcap", "-F", "nsecpcap", raw, plain], check=True)
    subprocess.run(["editcap", "-F", kind, plain, HERE / name], check=True)
    (HERE / name).chmod(0o644)


def call(caller: str, phone: str, talk_ms: int, ring_ms: int, transport: str = "u1", host: str = "127.0.0.1") -> None:
    """One call of SIPp to SIPp."""
    common = ["-i", host, "-t", transport, "-nostdin", "-m", "1"]
    numbers = Path("/tmp/captures-numbers.csv")
    numbers.write_text("SEQUENTIAL\n17400000001\n")
    where = f"[{host}]:{PHONE}" if ":" in host else f"{host}:{PHONE}"
    uas = subprocess.Popen(["sipp", "-sf", SCENARIOS / f"{phone}.xml", "-p", str(PHONE), "-d", str(ring_ms), *common], stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    subprocess.run(
        ["sipp", "-sf", SCENARIOS / f"{caller}.xml", "-inf", numbers, "-s", "12349", "-p", str(CALLER), "-d", str(talk_ms), *common, where],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    uas.kill()
    uas.wait()


def manager() -> None:
    """The observed sequence, told as Asterisk tells it: in its time (up to a second), in pieces that end anywhere; a login before it."""
    text = AMI.read_text("utf-8")
    events = text[text.index("Asterisk Call Manager") :].replace("\n", "\r\n").encode()
    banner, _, rest = events.partition(b"\r\n")
    with socket.create_server(("127.0.0.1", MANAGER)) as server, socket.create_connection(("127.0.0.1", MANAGER)) as client:
        peer, _ = server.accept()
        with peer:
            peer.sendall(banner + b"\r\n")
            client.sendall(b"Action: Login\r\nActionID: 1\r\nUsername: gateway\r\nSecret: no-secret\r\n\r\n")
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer.recv(4096)
            peer.sendall(b"Response: Success\r\nActionID: 1\r\nMessage: Authentication accepted\r\n\r\n")
            for at in range(0, len(rest), 700):
                peer.sendall(rest[at : at + 700])
                client.recv(4096)
                time.sleep(0.02)


def home_unit() -> None:
    """A SCAIP alarm, sent three times as RFC 3261 repeats it, and the plain 200 of a proxy."""
    head = (
        f"MESSAGE sip:arc@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{CALLER};branch=z9hG4bKdemo1\r\n"
        "From: <sip:1234567890@example.net>;tag=d1\r\nTo: <sip:arc@127.0.0.1>\r\nCall-ID: demo1@127.0.0.1\r\nCSeq: 1 MESSAGE\r\n"
        f"Max-Forwards: 70\r\nContent-Type: application/scaip+xml\r\nContent-Length: {len(MRQ)}\r\n\r\n"
    )
    answer = head.replace("MESSAGE sip:arc@127.0.0.1 SIP/2.0", "SIP/2.0 200 OK").split("Max-Forwards")[0] + "Content-Length: 0\r\n\r\n"
    with socket.socket(type=socket.SOCK_DGRAM) as arc, socket.socket(type=socket.SOCK_DGRAM) as unit:
        arc.bind(("127.0.0.1", PHONE))
        unit.bind(("127.0.0.1", CALLER))
        for pause in (0.5, 1.0, 0.1):
            unit.sendto(head.encode() + MRQ, ("127.0.0.1", PHONE))
            time.sleep(pause)
        arc.sendto(answer.encode(), ("127.0.0.1", CALLER))


def main() -> int:
    """Make all of them."""
    sip = f"port {PHONE}"
    with captured("answered_udp.pcapng", "pcapng", sip):
        call("caller", "phone", 1500, 700)
    with captured("cancelled_udp.pcap", "pcap", sip):
        call("caller_cancels", "phone_cancelled", 800, 0)
    with captured("busy_tcp.pcapng", "pcapng", sip):
        call("caller_refused", "phone_busy", 0, 0, "t1")
    with captured("answered_ipv6.nsec.pcap", "nsecpcap", sip):
        call("caller", "phone", 600, 300, "u1", "::1")
    with captured("ami_queue.pcapng", "pcapng", f"port {MANAGER}"):
        manager()
    with captured("scaip.pcapng", "pcapng", sip):
        home_unit()
    return 0


if __name__ == "__main__":
    sys.exit(main())
