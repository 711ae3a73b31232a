"""Checks that every stream codec must pass: fragments are normal, a cut message waits, and no byte makes it raise."""

import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from drivers.contract import Before, Codec, Rejected, Signal, to_event
from gateway.event import KINDS, Phase

Seen = list[tuple[object, ...]]


def look(found: Iterable[Signal | Rejected]) -> Seen:
    """What matters of signals and rejections, comparable."""
    return [
        ("rejected", one.reason, one.raw)
        if isinstance(one, Rejected)
        else (one.kind, one.phase, one.device, one.kind_raw, tuple(one.detail.items()), one.raw)
        for one in found
    ]


def talk(codec: Codec, pieces: Iterable[bytes], now: float = 1.0) -> tuple[Seen, bytes]:
    """Feed pieces at one moment, confirm everything as a line does; what was seen and what was answered."""
    seen: Seen = []
    answered = bytearray()
    for piece in pieces:
        found = codec.receive_data(piece, now)
        answered += codec.data_to_send()
        for one in found:
            codec.confirm(one)
        answered += codec.data_to_send()
        seen += look(found)
    return seen, bytes(answered)


def journalled(signals: Iterable[Signal | Rejected], at: float) -> list[Before]:
    """What a codec finds of its signals after a restart; `at`: monotonic seconds of then."""
    now = datetime(2026, 8, 2, 3, 4, 5, tzinfo=UTC)
    said = [one for one in signals if isinstance(one, Signal) and KINDS[one.kind].journalled and one.phase is not Phase.STATE]
    return [Before(at, to_event(one, "line", now)) for one in said]


def hear(codec: Codec, wire: bytes, now: float = 1.0, *, keep: bool = True) -> list[Signal]:
    """Feed, and keep everything or nothing as a line does; what was signalled."""
    found = codec.receive_data(wire, now)
    for one in found:
        if keep:
            codec.confirm(one)
        else:
            codec.refuse(one, "store_down")
    return [one for one in found if isinstance(one, Signal)]


def read(codec: Codec, wire: bytes, now: float = 0.0) -> list[Signal]:
    """Feed what must all be signals."""
    found = codec.receive_data(wire, now)
    assert all(isinstance(one, Signal) for one in found), found
    return [one for one in found if isinstance(one, Signal)]


def check_fragments(new_codec: Callable[[], Codec], wire: bytes, *, answers: bool = True) -> Seen:
    """Whole, byte by byte, and split at every index: the same signals each time.

    answers: compare the bytes sent too. Not for a dialogue in one piece, where the peer did not wait for its answers.
    """
    whole, sent = talk(new_codec(), [wire])
    ways = [[bytes([byte]) for byte in wire]] + [[wire[:index], wire[index:]] for index in range(1, len(wire))]
    for pieces in ways:
        seen, answered = talk(new_codec(), pieces)
        assert seen == whole, pieces
        assert not answers or answered == sent, pieces
    return whole


def check_prefixes_wait(new_codec: Callable[[], Codec], before: bytes, message: bytes) -> None:
    """After `before`, every truncated prefix of one message gives nothing: no signal, no rejection, no answer."""
    for length in range(len(message)):
        codec = new_codec()
        talk(codec, [before])
        assert talk(codec, [message[:length]]) == ([], b""), message[:length]


def check_flips(new_codec: Callable[[], Codec], wire: bytes) -> None:
    """No flipped bit raises, now or when its timers run out, and the books hold: whatever comes out is a Signal or a Rejected."""
    for index in range(len(wire)):
        for bit in range(8):
            codec = new_codec()
            talk(codec, [wire[:index], bytes([wire[index] ^ 1 << bit]), wire[index + 1 :]])
            run_out(codec, 1.0)


def run_out(codec: Codec, now: float) -> None:
    """Let every timer run out; a codec that still waits after a hundred of them never ends."""
    for _ in range(100):
        deadline = codec.deadline()
        if deadline is None:
            return
        now = max(now, deadline)
        look(codec.handle_deadline(now))
    raise AssertionError("timers without end")


def mutate(wires: list[bytes], rng: random.Random) -> bytes:
    """A random splice of known messages with bytes changed, lost, doubled or invented."""
    data = bytearray(b"".join(rng.choice(wires) for _ in range(rng.randint(1, 3))))
    for _ in range(rng.randint(0, 6)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at : at + rng.randint(1, 8)]
            case 2:
                data[at:at] = data[at : at + rng.randint(1, 16)]
            case 3:
                data[at:at] = rng.randbytes(rng.randint(1, 8))
            case _:
                data[at:at] = bytes([rng.choice((0, 1, 2, 3, 4, 5, 6, 10, 13, 0x15, 0x1E, 0x1F, 0x7F, 0xFF))])
    return bytes(data)


def fuzz(new_codec: Callable[[], Codec], wires: list[bytes], messages: int, seed: int, longest_s: float = 60) -> dict[str, int]:
    """Seeded mutations through long-lived codecs. Gives how often each outcome was seen. longest_s: no timer of the codec is longer."""
    rng = random.Random(seed)
    seen: dict[str, int] = {}
    codec, now = new_codec(), 0.0
    for count in range(messages):
        if count % 500 == 0:
            codec = new_codec()
        now += rng.choice((0.0, 0.01, 0.5, 3.0, 20.0))
        data = mutate(wires, rng)
        cut = rng.randrange(len(data) + 1)
        for piece in (data[:cut], data[cut:]):
            for one in codec.receive_data(piece, now):
                if rng.random() < 0.8:
                    codec.confirm(one)
                else:
                    codec.refuse(one, "store_down")
                outcome = one.reason if isinstance(one, Rejected) else str(one.kind)
                seen[outcome] = seen.get(outcome, 0) + 1
            codec.data_to_send()
        deadline = codec.deadline()
        assert deadline is None or deadline <= now + longest_s, "a timer that never runs out"
    return seen
