"""SIP: INVITEs a second on one core, parsed and the seven routing fields read (target 40,000). Needs nothing installed:

    python bench/micro/sip_parse.py

The yardsticks are what anybody would write first: the standard library's header parser, and the bare splitting of lines.
"""
import email.parser
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from common import median, table  # noqa: E402
from drivers.sip.message import Uri, parse_message  # noqa: E402

BODY = (
    b"v=0\r\no=- 3890211 3890211 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\nm=audio 4012 RTP/AVP 8 0 101\r\n"
    b"a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=sendrecv\r\n"
)
# Sixteen headers and SDP, as a session border controller sends them; the numbers are nobody's.
INVITE = (
    b"INVITE sip:12349@192.0.2.10:5060 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.20:5060;rport;branch=z9hG4bKPj8f3a1c2e-7b4d-4c1e-9d2f-1a2b3c4d5e6f\r\n"
    b"Max-Forwards: 70\r\n"
    b'From: "Li Na" <sip:017400000101@192.0.2.20>;tag=5f2c1b7a-0d3e\r\n'
    b"To: <sip:12349@192.0.2.10>\r\n"
    b"Contact: <sip:017400000101@192.0.2.20:5060>\r\n"
    b"Call-ID: 3c1f7a52-9e8d-4b6a-8f10-2d4e6a8c0b1d\r\n"
    b"CSeq: 24817 INVITE\r\n"
    b"Allow: PRACK, INVITE, ACK, BYE, CANCEL, UPDATE, INFO, SUBSCRIBE, NOTIFY, REFER, MESSAGE, OPTIONS\r\n"
    b"Supported: replaces, 100rel, timer, norefersub\r\n"
    b"Session-Expires: 1800\r\nMin-SE: 90\r\n"
    b"P-Asserted-Identity: <sip:+8617400000101@192.0.2.20>\r\n"
    b"User-Agent: Example-SBC/7.2\r\n"
    b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n" % len(BODY)
) + BODY
# Proxied twice, with quotes, escapes and folds: the slow way through every field.
HARD = INVITE.replace(b"Via: ", b"Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK2,SIP/2.0/UDP 192.0.2.8;branch=z9hG4bK3\r\nVia: ").replace(
    b'"Li Na"', b'"Li, \\"Na\\""').replace(b"P-Asserted-Identity: ", b"P-Asserted-Identity:\r\n <tel:+86-174-0000-0101>,\r\n ")


def ours(data):
    """Request-URI user, From user and tag, To user and tag, Call-ID, CSeq, top Via branch, P-Asserted-Identity."""
    message = parse_message(data)
    asserted = message.name_addrs("p-asserted-identity")
    return (Uri(message.uri).user, message.from_.user, message.from_tag, message.to.user, message.to_tag, message.call_id,
            message.cseq, message.branch, asserted[0].user)


def standard_library(data):
    """Headers only: none of the fields is taken apart, none is checked."""
    start, _, rest = data.partition(b"\r\n")
    message = email.parser.BytesHeaderParser().parsebytes(rest)
    return start, [message[name] for name in ("From", "To", "Call-ID", "CSeq", "Via", "P-Asserted-Identity")]


def split_only(data):
    """The least that any parser in Python must do."""
    lines = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    return dict(line.split(":", 1) for line in lines[1:])


def per_second(read, data):
    n = 10_000
    rates = []
    for _ in range(5):
        start = time.process_time()
        for _ in range(n):
            read(data)
        rates.append(n / (time.process_time() - start))
    return median(rates)


def main():
    assert ours(INVITE)[1::7] == ("017400000101", "+8617400000101"), ours(INVITE)
    rows = []
    floor = per_second(split_only, INVITE)
    for how, read, data in (("ours, seven routing fields", ours, INVITE), ("ours, an awkward INVITE", ours, HARD),
                            ("email.parser, headers only", standard_library, INVITE), ("split lines, nothing else", split_only, INVITE)):
        rate = per_second(read, data)
        rows.append([how, f"{rate:,.0f}", f"{1e6 / rate:.1f}", f"{rate / floor:.2f}"])
    table(f"SIP INVITE of {len(INVITE)} octets, one core (CPU time)", ["how", "a second", "µs", "of the floor"], rows)


if __name__ == "__main__":
    main()
