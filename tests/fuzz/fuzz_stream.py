"""Coverage-guided fuzzing of any stream codec: `python tests/fuzz/fuzz_stream.py CODEC -runs=1000000 [CORPUS]` (libFuzzer's options).

Begins with the bytes of the codec's vectors. The first byte of an input chooses what becomes of signals; byte 0xFE lets time pass. Never an
exception, never anything but signals and rejections, never an endless timer, never more to send than was received many times over.
"""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["drivers"]):
    from drivers.contract import Rejected, Signal
    from drivers.registry import codec_for

    CODEC = sys.argv.pop(1)
    codec_for(CODEC)  # its modules are imported here, under the instruments

VECTORS = Path(__file__).parent.parent / "vectors"
LONGEST_TIMER_S = 3600


def wires(value: object, key: str = "") -> Iterator[bytes]:
    """Every `hex`, `text`, `frame` and `digits` of a file of vectors."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from wires(part, name)
    elif isinstance(value, list):
        for part in value:
            yield from wires(part, key)
    elif isinstance(value, str) and key == "hex":
        yield bytes.fromhex(value)
    elif isinstance(value, str) and key == "text":
        yield value.encode()
        yield value.encode() + b"\r\n"  # of codecs that read lines
    elif isinstance(value, str) and key in ("frame", "digits"):  # without the control characters around it
        yield b"\n" + value.encode() + b"\r"


def test_one_input(data: bytes) -> None:
    """One dialogue."""
    if not data:
        return
    codec, now = codec_for(CODEC), 0.0
    received = 0
    sent = 0
    for piece in data[1:].split(b"\xfe"):
        received += len(piece)
        for one in [*codec.receive_data(piece, now), *codec.handle_deadline(now)]:
            assert isinstance(one, Signal | Rejected)
            if data[0] & 1:
                codec.refuse(one, "store_down")
            else:
                codec.confirm(one)
        sent += len(codec.data_to_send())
        deadline = codec.deadline()
        assert deadline is None or deadline <= now + LONGEST_TIMER_S
        now += 30.0 if data[0] & 2 else 0.1
    assert sent <= 1000 + 20 * received


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    for file in VECTORS.glob(f"*/{CODEC}.toml"):
        for wire in wires(tomllib.loads(file.read_text())):
            test_one_input(b"\0" + wire)
    atheris.Fuzz()
