"""PUBLISH, PUBACK and DISCONNECT of MQTT 3.1.1 in bytes: whatever of the first two lies whole in a buffer is read at once. The rest is a library's.

A library reads packet by packet, some twenty microseconds each; at 20,000 heartbeats a second that is half a core (docs/decisions/0030).
Source: MQTT 3.1.1, sections 2.2.3 (remaining length), 3.3 (PUBLISH), 3.4 (PUBACK), 3.14 (DISCONNECT).
"""

import struct

import msgspec

PUBLISH, PUBACK = 0x30, 0x40
DISCONNECT = bytes((0xE0, 0))
MAX_REMAINING = 268_435_455  # four digits to the base of 128
MAX_TOPIC = 65_535

_QOS_1 = PUBLISH | 0x02
_puback = struct.Struct("!BBH").pack


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """One publish as it came. `mid` and `qos` are what its receipt wants back; `topic` is None when it is no UTF-8."""

    topic: str | None
    payload: bytes
    mid: int
    qos: int
    retain: bool
    dup: bool


def take(data: bytes, at: int, most: int, arrived: list[Arrived], confirmed: list[int]) -> tuple[int, int]:
    """Read up to `most` whole packets from `at` on: (where the next begins, how many were read).

    Stops before a packet that is not whole, of another kind, of QoS 2, or broken: those are somebody else's. Never raises.
    """
    end, count = len(data), 0
    while count < most and at + 4 <= end:
        first, length, body = data[at], data[at + 1], at + 2
        if length & 0x80:
            length, body = _length(data, at + 1)
        behind = body + length
        if length < 2 or behind > end:
            break
        if first & 0xF0 == PUBLISH and first & 0x04 == 0:
            here = body + 2 + (data[body] << 8 | data[body + 1])
            qos = first >> 1 & 1
            mid = 0
            if qos:
                if here + 2 > behind:
                    break
                mid = data[here] << 8 | data[here + 1]
            words = data[body + 2 : here]
            payload_at = here + 2 if qos else here
            if payload_at > behind or not words or (qos and not mid):
                break
            try:
                topic: str | None = words.decode()
            except UnicodeDecodeError:
                topic = None
            arrived.append(Arrived(topic, data[payload_at:behind], mid, qos, bool(first & 0x01), bool(first & 0x08)))
        elif first == PUBACK and length == 2:
            confirmed.append(data[body] << 8 | data[body + 1])
        else:
            break
        at = behind
        count += 1
    return at, count


def _length(data: bytes, at: int) -> tuple[int, int]:
    """(remaining length, where the rest begins); (0, at) when it is not whole, or has more than four bytes."""
    length, shift = 0, 0
    for place in range(at, min(at + 4, len(data))):
        length |= (data[place] & 0x7F) << shift
        if data[place] < 0x80:
            return length, place + 1
        shift += 7
    return 0, at


def publish(topic: str, payload: bytes, mid: int) -> bytes:
    """A PUBLISH of QoS 1. ValueError for a topic or payload that MQTT cannot carry."""
    words = topic.encode()
    if not 0 < len(words) <= MAX_TOPIC or "+" in topic or "#" in topic or "\0" in topic:
        raise ValueError(f"no topic to publish to: {topic[:100]!r}")
    length = 4 + len(words) + len(payload)
    if length > MAX_REMAINING:
        raise ValueError("payload too large")
    head = bytearray((_QOS_1,))
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return b"".join((head, len(words).to_bytes(2), words, mid.to_bytes(2), payload))


def puback(mid: int) -> bytes:
    """The receipt of a PUBLISH of QoS 1."""
    return _puback(PUBACK, 2, mid)
