"""Packets out of a capture for `gateway decode` and `gateway calls`: everything in its order, IP fragments and TCP put together."""

from collections import Counter
from collections.abc import Iterator
from io import BytesIO

import msgspec

from drivers.capture import file, packets
from gateway.errors import GatewayError


class CaptureError(GatewayError):
    """The file is no capture, or is cut or damaged."""


class Packet(msgspec.Struct, frozen=True):
    """One UDP datagram, or bytes of one TCP direction in their order. `time` is seconds since 1970, 0.0 when nobody knows.

    gap: the bytes do not follow on from the last ones of this direction: some are lost, or the connection is new.
    """

    time: float
    source: tuple[str, int]
    destination: tuple[str, int]
    payload: bytes
    is_stream: bool = False
    gap: bool = False


def read_capture(data: bytes) -> Iterator[Packet]:
    """Packets with a payload, in file order. Raises CaptureError at the point where the file cannot be read on."""
    reader = packets.Packets(Counter())
    now = 0.0
    try:
        for time, link, frame in file.read_frames(BytesIO(data)):
            now = max(now, time)
            yield from map(_packet, reader.take(time, link, frame))
    except file.CaptureError as error:
        raise CaptureError(str(error)) from error
    yield from map(_packet, reader.finish(now))


def _packet(one: packets.Packet) -> Packet:
    return Packet(one.time, one.source, one.destination, one.payload, one.protocol == packets.TCP, one.gap)
