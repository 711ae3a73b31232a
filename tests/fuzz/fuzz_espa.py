"""Coverage-guided fuzzing of the ESPA codec: `python tests/fuzz/fuzz_espa.py -runs=1000000 [CORPUS]` (libFuzzer's options).

The first byte chooses options, the rest is a dialogue in which byte 0xFE lets time pass. Never an exception, never a
signal with other bytes than were sent, never an endless timer.
"""

import sys

import atheris

with atheris.instrument_imports(include=["drivers.panel"]):
    from drivers.contract import Rejected, Signal
    from drivers.panel.espa444 import EspaOptions, EspaStation

SEEDS = (
    b"\x00\x041\x052\x05\x011\x021\x1fA\x03\x5f\x04",
    b"\x01\x011\x021\x1f201\x1e2\x1fRoom 12 call\x1e3\x1f2\x1e4\x1f3\x1e5\x1f1\x1e6\x1f1\x03%",
    b"\x02\x041\x052\x05\x011\x021\x1f201\x1e4\x1f1\x03)\xfe\x042\x05",
)


def test_one_input(data: bytes) -> None:
    """One dialogue."""
    if not data:
        return
    station = EspaStation(EspaOptions(lenient=bool(data[0] & 1), data_bits=7 if data[0] & 2 else 8), session="f")
    now = 0.0
    for piece in data[1:].split(b"\xfe"):
        for one in station.receive_data(piece, now):
            assert isinstance(one, Signal | Rejected)
            assert one.raw in data.replace(b"\xfe", b"")
            if data[0] & 4:
                station.refuse(one, "store_down")
            else:
                station.confirm(one)
        assert len(station.data_to_send()) <= 3 * len(piece) + 3
        deadline = station.deadline()
        assert deadline is None or deadline <= now + 15
        now += 3.0 if data[0] & 8 else 0.1


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    for seed in SEEDS:
        test_one_input(seed)
    atheris.Fuzz()
