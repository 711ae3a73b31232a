"""What exchanges and home units say: a SIP MESSAGE, and an INVITE as a capture agent mirrors it. User agent and text say that it is a test."""

import struct
from typing import Any

from drivers.probe.contract import Moment, Probe, Step, Unsayable

AGENT = "12349 self-test"
UDP, SIP = 17, 1


def sip(device: str, moment: Moment, options: Any, hotline: str) -> Probe:
    """A MESSAGE (RFC 3428): plain text, or SCAIP where the line reads nothing else; answered by a 2xx.

    Device: the unit's controller id, or SIP user."""
    if options.authentication == "required":
        raise Unsayable("authentication required: the probe has no password")
    if options.sources:
        raise Unsayable("sources: only they are heard")
    bodies = options.bodies if options.bodies is not None else ("text",)
    if "text" in bodies:
        body, media = f"TEST {moment.number} {moment.ms}".encode(), "text/plain"
    elif "scaip" in bodies:  # status 0102: test over the primary path
        text = f"<ref>{moment.number}</ref><ver>1</ver><mty>ME</mty><cid>{device}</cid><dty>0002</dty><stc>0102</stc><pri>9</pri>"
        body, media = f'<?xml version="1.0" encoding="UTF-8"?><mrq>{text}</mrq>'.encode(), "application/scaip+xml"
    else:
        raise Unsayable("bodies: neither text nor scaip")
    return _message(device, moment, body, media, hotline)


def _message(device: str, moment: Moment, body: bytes, media: str, hotline: str) -> Probe:
    host, port = moment.source
    shown = f"[{host}]" if ":" in host else host
    to, at = moment.target
    call = f"self-test-{moment.number}-{moment.ms}"
    target = f"sip:{hotline}@{f'[{to}]' if ':' in to else to}:{at}"
    head = (
        f"MESSAGE {target} SIP/2.0\r\nVia: SIP/2.0/{'TCP' if moment.is_stream else 'UDP'} {shown}:{port};branch=z9hG4bK{call};rport\r\n"
        f"Max-Forwards: 5\r\nFrom: <sip:{device}@self-test.invalid>;tag={moment.ms:x}\r\nTo: <sip:{hotline}@self-test.invalid>\r\n"
        f"Call-ID: {call}@self-test.invalid\r\nCSeq: {moment.number % 30_000 + 1} MESSAGE\r\nUser-Agent: {AGENT}\r\n"
        f"Content-Type: {media}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()

    def taken(answer: bytes) -> bool:
        return b"SIP/2.0 2" in answer and call.encode() in answer

    return Probe(device=device, steps=(Step(head + body, taken),), token=call.encode())


def hep(device: str, moment: Moment, options: Any, hotline: str) -> Probe:
    """An INVITE to a hotline from the test number, then its CANCEL, in HEPv3 (revision 37). Nothing answers. Device: the caller, E.164."""
    if options.sources:
        raise Unsayable("sources: only they are heard")
    if options.auth_keys:
        raise Unsayable("auth_keys: the probe has none of an agent's")
    call = f"self-test-{moment.number}-{moment.ms}@self-test.invalid"
    via = f"Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK{moment.ms:x}{moment.number:x}"
    ends = f"From: <sip:{device}@self-test.invalid>;tag={moment.ms:x}\r\nTo: <sip:{hotline}@self-test.invalid>"

    def request(method: str) -> bytes:
        text = (
            f"{method} sip:{hotline}@127.0.0.1 SIP/2.0\r\n{via}\r\nMax-Forwards: 5\r\n{ends}\r\nCall-ID: {call}\r\nCSeq: 1 {method}\r\n"
            f"User-Agent: {AGENT}\r\nContent-Length: 0\r\n\r\n"
        )
        return _packet(text.encode(), moment, options.auth_key)

    ended = f"SIP/2.0 487 Request Terminated\r\n{via}\r\n{ends};tag=1\r\nCall-ID: {call}\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    after = (request("CANCEL"), _packet(ended.encode(), moment, options.auth_key, back=True))
    return Probe(device=device, steps=(Step(request("INVITE")),), token=call.encode(), after=after)


def _packet(message: bytes, moment: Moment, key: str, *, back: bool = False) -> bytes:
    """One HEPv3 packet: uint16 vendor 0, type, length with these six octets; big-endian."""
    address = bytes((127, 0, 0, 1))
    ports = (5062, 5060) if back else (5060, 5062)

    def chunk(kind: int, payload: bytes) -> bytes:
        return struct.pack("!HHH", 0, kind, 6 + len(payload)) + payload

    seconds = int(moment.at.timestamp())
    chunks = [
        chunk(1, bytes([2])),
        chunk(2, bytes([UDP])),
        chunk(3, address),
        chunk(4, address),
        chunk(7, struct.pack("!H", ports[0])),
        chunk(8, struct.pack("!H", ports[1])),
        chunk(9, struct.pack("!I", seconds)),
        chunk(10, struct.pack("!I", moment.at.microsecond)),
        chunk(11, bytes([SIP])),
        chunk(12, struct.pack("!I", 0)),
        *([chunk(14, key.encode())] if key else []),
        chunk(19, b"self-test"),  # an agent of its own: it must not hide that the exchange's has fallen silent
        chunk(15, message),
    ]
    body = b"".join(chunks)
    return b"HEP3" + struct.pack("!H", 6 + len(body)) + body
