"""SIP and nothing else: frames in, each SIP message out once, with its addresses and the time of its last frame."""

from collections import Counter, OrderedDict
from collections.abc import Collection

from drivers.capture.packets import TCP, Address, Packet, Packets, Unwrap
from drivers.capture.sip import SipStream, is_sip

# A port mirrored in both directions shows a frame twice within some milliseconds; SIP's own first repetition comes after 500 ms (RFC 3261, T1).
COPY_S = 0.1
MAX_COPIES = 8192  # messages remembered: a tenth of a second at eighty thousand a second
MAX_STREAMS = 10_000  # as many as TCP directions
MAX_WAITING = 32 * 1024 * 1024  # octets of messages that are not whole, of all streams


class Sieve:
    """counts: those of Packets and SipStream, and messages, not_sip, copies, streams_evicted."""

    def __init__(self, ports: Collection[int], unwrap: Unwrap | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._packets = Packets(self.counts, ports, unwrap)
        self._streams: OrderedDict[tuple[Address, Address], SipStream] = OrderedDict()
        self._waiting = 0
        self._seen: OrderedDict[tuple[Address, Address, bytes], float] = OrderedDict()

    def take(self, time: float, link: int, frame: bytes) -> list[Packet]:
        """One frame; the messages that it completed."""
        return self._messages(self._packets.take(time, link, frame))

    def deadline(self) -> float | None:
        """When expire wants to be called, in the time of the frames."""
        return self._packets.deadline()

    def expire(self, now: float) -> list[Packet]:
        """Time has passed without frames: messages behind a lost segment."""
        return self._messages(self._packets.expire(now))

    def finish(self, now: float) -> list[Packet]:
        """There are no more frames."""
        return self._messages(self._packets.finish(now))

    def _messages(self, packets: list[Packet]) -> list[Packet]:
        found = []
        for packet in packets:
            if packet.protocol == TCP:
                found += [packet._replace(payload=message, gap=False) for message in self._read_stream(packet)]
            elif not is_sip(packet.payload):
                self.counts["not_sip"] += 1
            elif self._is_copy(packet):
                self.counts["copies"] += 1
            else:
                found.append(packet)
        self.counts["messages"] += len(found)
        return found

    def _read_stream(self, packet: Packet) -> list[bytes]:
        key = (packet.source, packet.destination)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = SipStream(self.counts)
        else:
            self._streams.move_to_end(key)
        before = stream.waiting
        messages = stream.take(packet.payload, packet.gap)
        self._waiting += stream.waiting - before
        while len(self._streams) > MAX_STREAMS or self._waiting > MAX_WAITING:
            self._waiting -= self._streams.popitem(last=False)[1].waiting
            self.counts["streams_evicted"] += 1
        return messages

    def _is_copy(self, packet: Packet) -> bool:
        """The same datagram between the same two a moment ago: IP's own id and hop count differ when a router stands between both views."""
        seen, now = self._seen, packet.time
        while seen and now - next(iter(seen.values())) > COPY_S:
            seen.popitem(last=False)
        key = (packet.source, packet.destination, packet.payload)
        if key in seen:
            return True
        seen[key] = now
        if len(seen) > MAX_COPIES:
            seen.popitem(last=False)
        return False
