"""Coverage-guided fuzzing of the SIP and HEP readers (atheris, libFuzzer): `python tests/fuzz/fuzz_sip.py -runs=1000000 [corpus]`.

Anything but a signal or a named rejection ends the run with the input that did it. Without a corpus it starts from the vectors.
"""

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["drivers.sip"]):
    from drivers.calls.hep import HepCodec, HepOptions
    from drivers.calls.hep_frames import HepFrames
    from drivers.sip.digest import DigestServer
    from drivers.sip.message import MalformedMessage, check_strictly, parse_message
    from drivers.sip.multipart import body_parts

from drivers.contract import Rejected

AT = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
VECTORS = Path(__file__).parent.parent / "vectors" / "sip" / "rfc4475"
OPTIONS = HepOptions(hotlines=("12349",), trusted=("192.0.2.0/24",), max_calls=100, max_calls_per_source=90)
DIGEST = DigestServer("12349.example", bytes(32), {"a": "b"})
HEAD = bytes.fromhex("0000000300 0ac0000214 00000004000ac000020a 0000000b000701".replace(" ", ""))  # from 192.0.2.20 to 192.0.2.10, SIP


class Table:
    """One codec for many inputs, renewed now and then so that a finding can be repeated from few of them."""

    codec = HepCodec(OPTIONS)
    now = 0.0
    inputs = 0


def as_packet(payload: bytes) -> bytes:
    payload = payload[:60_000]
    body = HEAD + b"\0\0\0\x0f" + (6 + len(payload)).to_bytes(2) + payload
    return b"HEP3" + (6 + len(body)).to_bytes(2) + body


def one_input(data: bytes) -> None:
    Table.inputs += 1
    if Table.inputs % 200 == 0:
        Table.codec = HepCodec(OPTIONS)
    Table.now += 1.0
    try:
        message = parse_message(data)
        for name in message.headers:
            for address in message.name_addrs(name):
                _ = address.display, address.user
        body_parts(message)
        check_strictly(message)
    except MalformedMessage:
        pass
    for datagram in (data, as_packet(data)):
        for item in Table.codec.receive_message(("192.0.2.10", 9060), datagram, Table.now, AT):
            assert not isinstance(item, Rejected) or item.reason.replace("_", "").isalnum()
    Table.codec.handle_deadline(Table.now, AT)
    DIGEST.check("MESSAGE", ["Digest " + data.decode("utf-8", "surrogateescape")], Table.now)
    frames = HepFrames()
    for octets in (data[: len(data) // 2], data[len(data) // 2 :]):
        for packet in frames.receive_data(octets):
            assert len(packet) == int.from_bytes(packet[4:6])


def main() -> None:
    arguments = list(sys.argv)
    with tempfile.TemporaryDirectory() as seeds:
        if not any(Path(argument).is_dir() for argument in arguments[1:]):
            for wire in VECTORS.glob("*.dat"):
                (Path(seeds) / wire.name).write_bytes(wire.read_bytes())
            arguments.append(seeds)
        atheris.Setup(arguments, one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
