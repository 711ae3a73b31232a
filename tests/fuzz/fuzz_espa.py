"""Coverage-guided fuzzing of the ESPA codec: `python tests/fuzz/fuzz_espa.py -runs=1000000 [CORPUS]` (libFuzzer's options).

The first byte chooses role and options, the rest is a dialogue; byte 0xFE lets time pass, and then something is to be told. Never an
exception, never a signal with other bytes than were sent, never an endless timer, one result for each tell.
"""

import sys

import atheris

with atheris.instrument_imports(include=["drivers.panel"]):
    from drivers.contract import Rejected, Signal, Surroundings
    from drivers.downlink import Tell, Word
    from drivers.panel.espa444 import EspaOptions, espa_end
    from drivers.panel.espa_calls import CallBook

SEEDS = (
    b"\x00\x041\x052\x05\x011\x021\x1fA\x03\x5f\x04",
    b"\x01\x011\x021\x1f201\x1e2\x1fRoom 12 call\x1e3\x1f2\x1e4\x1f3\x1e5\x1f1\x1e6\x1f1\x03%",
    b"\x31\x06\x06\xfe1\x05\x011\x021\x1fA\x03\x5f\x04\xfe\x06\x06",
    b"\x20\x042\x05\xfe\x042\x05\x06\x06\xfe\x042\x052\x15",
    b"\x02\x041\x052\x05\x011\x021\x1f201\x1e4\x1f1\x03)\xfe\x042\x05",
)


def test_one_input(data: bytes) -> None:
    """One dialogue."""
    if not data:
        return
    options = EspaOptions(role="control" if data[0] & 16 else "station", lenient=bool(data[0] & 1), data_bits=7 if data[0] & 2 else 8, tell="text")
    station = espa_end(options, Surroundings(line="f", session="f", memory=CallBook()))
    station.connected(0.0)
    now, told, tells = 0.0, 0, 0
    for piece in data[1:].split(b"\xfe"):
        for one in station.receive_data(piece, now):
            assert isinstance(one, Signal | Rejected)
            assert one.raw in data.replace(b"\xfe", b"")
            if data[0] & 4:
                station.refuse(one, "store_down")
            else:
                station.confirm(one)
        assert len(station.data_to_send()) <= 30 * len(piece) + 40  # each byte may make us say a short text again
        deadline = station.deadline()
        assert deadline is None or deadline <= now + 60
        told += len(station.told())
        if data[0] & 32:
            station.tell(Tell(id="t", device="201", word=Word.TAKEN), tells, now)
            tells += 1
        now += 3.0 if data[0] & 8 else 0.1
    for _ in range(200):  # every tell has its one result in the end
        now = max(now + 0.01, min(station.deadline() or now, now + 60))
        station.handle_deadline(now)
        told += len(station.told())
    assert told == tells


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    for seed in SEEDS:
        test_one_input(seed)
    atheris.Fuzz()
