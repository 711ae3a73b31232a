"""Packets out of a capture for `gateway decode` and `gateway calls`: everything in its order, IP fragments and TCP put together."""

from collections import Counter
from collections.abc import Iterable, Iterator
from io import BytesIO

import msgspec

from drivers.calls.hep3 import MAGIC
from drivers.calls.hep_frames import HepFrames
from drivers.capture import file, packets
from drivers.capture.sip import SipStream, is_sip
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


def sip_messages(found: Iterable[Packet]) -> Iterator[Packet]:
    """SIP and nothing else: datagrams as they are, streams cut by Content-Length."""
    streams: dict[tuple[object, object], SipStream] = {}
    for packet in found:
        if packet.is_stream:
            stream = streams.setdefault((packet.source, packet.destination), SipStream(Counter()))
            for message in stream.take(packet.payload, packet.gap):
                yield msgspec.structs.replace(packet, payload=message)
        elif is_sip(packet.payload):
            yield packet


def hep_packets(found: Iterable[Packet]) -> Iterator[Packet]:
    """HEP and nothing else: datagrams as they are, streams cut by their length field. A stream broken off begins anew after the gap."""
    streams: dict[tuple[object, object], HepFrames] = {}
    for packet in found:
        if packet.is_stream:
            key = (packet.source, packet.destination)
            if packet.gap or key not in streams:
                streams[key] = HepFrames()
            for one in streams[key].receive_data(packet.payload):
                yield msgspec.structs.replace(packet, payload=one)
        elif packet.payload[:4] in MAGIC:
            yield packet


def _packet(one: packets.Packet) -> Packet:
    return Packet(one.time, one.source, one.destination, one.payload, one.protocol == packets.TCP, one.gap)
