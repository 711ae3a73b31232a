"""Random and mutated messages into both codecs: never an exception, always a signal or a rejection with a reason from the closed list."""

import random
from collections import Counter
from datetime import UTC, datetime

import msgspec
import pytest

from drivers.contract import Rejected, to_event
from drivers.mqtt import generic, station_reply

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
SEEDS = [
    b'{"kind":"sos","ts":1773480413000,"seq":7,"lat":36.342,"lon":102.861,"battery":81,"device":"w-1","phase":"raise"}',
    b'{"kind":"heartbeat","battery":null,"lat":"36.5","lon":NaN,"x":{"y":[1,2,{"z":"\\u5f20"}]}}',
    b'{"delivery":"0190f5c0b7a47c3e8d2a","answer":"accept","by":"\xe8\xb5\xb5","note":"ok"}',
    b'{"kind":"fall","ts":-1e999,"seq":true}',
]
WORDS = [
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\\ud800",
    b"\\u0000",
    b"\x00",
    b"\xff",
    b"\xc3",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"null",
    b"true",
]
WORDS += [b"9" * 400, b"[" * 80, b'"kind":', b'"ts":', b'"lat":', b"-0", b"1.5", b"\xef\xbb\xbf", b"\xed\xa0\x80", b'{"a":' * 70]
TOPICS = ["wearables/w-1/event", "wearables/\u5f20/event", "wearables//event", "\x00", "stations/s/reply", "x" * 2000, "wearables/\ufffe/event"]


def mutate(chance: random.Random) -> bytes:
    if chance.random() < 0.05:
        return chance.randbytes(chance.randrange(200))
    message = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(message) + 1)
        match chance.randrange(4):
            case 0:
                message[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                message[at:at] = chance.choice(WORDS)
            case 2:
                del message[at : at + chance.randrange(1, 12)]
            case _:
                message[at:] = chance.choice(SEEDS)[chance.randrange(40) :]
    return bytes(message)


def attack(count: int, seed: int) -> Counter[str]:
    chance = random.Random(seed)
    codecs = [(generic.GenericWearable(), generic.REASONS), (station_reply.StationReply(), station_reply.REASONS)]
    seen: Counter[str] = Counter()
    for number in range(count):
        codec, reasons = codecs[number % 2]
        own = TOPICS[0] if number % 2 == 0 else TOPICS[4]
        topic = own if chance.random() < 0.9 else chance.choice(TOPICS)
        results = codec.receive_message(topic, mutate(chance), chance.random() < 0.1, chance.random() < 0.1, number / 100, NOW)
        assert len(results) == 1
        for result in results:
            if isinstance(result, Rejected):
                assert result.reason in reasons
                seen[result.reason] += 1
            else:
                event = to_event(result, "line", NOW)  # what is stored must be JSON that a store takes
                msgspec.json.encode(event)
                assert event.dedup
                seen["signal"] += 1
    return seen


def test_ten_thousand() -> None:
    seen = attack(10_000, seed=12349)
    assert seen["signal"] > 100
    assert len(seen) > 6


@pytest.mark.campaign
def test_a_million() -> None:
    attack(1_000_000, seed=1)


@pytest.mark.parametrize("seed", SEEDS, ids=range(len(SEEDS)))
def test_every_beginning_and_every_flipped_bit(seed: bytes) -> None:
    codec, replies = generic.GenericWearable(), station_reply.StationReply()
    broken = [seed[:end] for end in range(len(seed))]
    broken += [seed[:at] + bytes([seed[at] ^ 1 << bit]) + seed[at + 1 :] for at in range(len(seed)) for bit in range(8)]
    for message in broken:
        for one, topic in ((codec, TOPICS[0]), (replies, TOPICS[4])):
            assert len(one.receive_message(topic, message, False, False, 0.0, NOW)) == 1
