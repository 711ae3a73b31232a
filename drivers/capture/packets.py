"""Frames in, payloads out: UDP datagrams, and TCP in its order. Link layers, IP fragments and tunnels are taken off on the way.

Checksums are not looked at: on the sending host they are often left to the network card. Bytes never make it raise.
"""

import ipaddress
from collections import Counter
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple, Protocol

from drivers.capture.fragments import Fragments
from drivers.capture.link import ETHERNET, NO_IP, find_ip
from drivers.capture.tcp import Stretch, Tcp

TCP, UDP = 6, 17
GRE = 47
# VXLAN (RFC 7348, and Linux before it), TZSP
TUNNEL_PORTS = frozenset((4789, 8472, 37008))
_EXTENSIONS = (0, 43, 60)  # hop by hop, routing, destination: each says its length in units of 8 octets less one
_FRAGMENT = 44
MAX_EXTENSIONS = 8  # RFC 8200 wants each at most once, destination options twice

Address = tuple[str, int]


class Packet(NamedTuple):
    """protocol: TCP or UDP. gap: these do not follow on from the last ones of this TCP direction (lost bytes, new connection)."""

    time: float
    source: Address
    destination: Address
    protocol: int
    payload: bytes
    gap: bool = False


class Unwrap(Protocol):
    """Takes off what this package does not know; gives an IP packet, or None."""

    def frame(self, link: int, data: bytes) -> bytes | None:
        """A frame of an unusual link type or Ethernet type."""
        ...

    def tunnel(self, protocol: int, data: bytes) -> bytes | None:
        """The payload of an IP packet that may carry a mirrored frame: GRE, or UDP to one of TUNNEL_PORTS."""
        ...


NOTHING: list[Packet] = []


class Packets:
    """Put frames in, in the order of their times. counts: frames, not_ip, unusual, tunnelled, cut, and those of Fragments and Tcp."""

    def __init__(self, counts: Counter[str], ports: Collection[int] | None = None, unwrap: Unwrap | None = None) -> None:
        """ports: only what goes to or comes from one of them; None for everything. unwrap: None gives up what is unusual."""
        self.fragments = Fragments(counts)
        self.tcp = Tcp(counts)
        self._counts = counts
        self._ports = None if ports is None else frozenset(ports)
        self._unwrap = unwrap

    def take(self, time: float, link: int, frame: bytes) -> list[Packet]:
        """One frame; what it completed."""
        self._counts["frames"] += 1
        # The ordinary frame, without a step more: Ethernet, IPv4 without options or fragments, UDP
        if link == ETHERNET and frame[12:15] == b"\x08\x00\x45" and frame[23:24] == b"\x11" and not frame[20] & 0x3F and not frame[21]:
            if len(frame) < 42:
                return NOTHING
            ports = frame[34] << 8 | frame[35], frame[36] << 8 | frame[37]
            wanted = self._ports
            if wanted is None or ports[0] in wanted or ports[1] in wanted:
                payload = frame[42 : 34 + (frame[38] << 8 | frame[39])]
                if payload and ports[1] not in TUNNEL_PORTS:
                    return [Packet(time, (_text(frame[26:30]), ports[0]), (_text(frame[30:34]), ports[1]), UDP, payload)]
            elif ports[1] not in TUNNEL_PORTS:
                return NOTHING
        at = find_ip(link, frame)
        if at >= 0:
            return self._ip(time, frame[at:], inside=False)
        if at == NO_IP or self._unwrap is None:
            self._counts["not_ip" if at == NO_IP else "unusual"] += 1
            return NOTHING
        self._counts["unusual"] += 1
        inner = self._unwrap.frame(link, frame)
        return NOTHING if inner is None else self._ip(time, inner, inside=True)

    def deadline(self) -> float | None:
        """When expire wants to be called, in the time of the frames."""
        return self.tcp.deadline()

    def expire(self, now: float) -> list[Packet]:
        """Time has passed without frames."""
        return _packets(now, self.tcp.expire(now))

    def finish(self, now: float) -> list[Packet]:
        """There are no more frames."""
        return _packets(now, self.tcp.finish())

    def _ip(self, time: float, data: bytes, *, inside: bool) -> list[Packet]:
        if len(data) < 20:
            return NOTHING
        version = data[0] >> 4
        if version == 4:
            header, total = (data[0] & 0x0F) * 4, data[2] << 8 | data[3]
            if header < 20:
                return NOTHING
            protocol, source, destination = data[9], data[12:16], data[16:20]
            end = total or len(data)  # 0: the network card was to cut it into segments
            place = (data[6] << 8 | data[7]) & 0x3FFF
            body = data[header:end]
            if place:
                offset, more, number = (place & 0x1FFF) * 8, bool(place & 0x2000), data[4] << 8 | data[5]
                return self._fragment(time, source, destination, number, protocol, offset, more, body, len(data) < end, inside)
        elif version == 6 and len(data) >= 40:
            protocol, at, end, source, destination = data[6], 40, 40 + (data[4] << 8 | data[5]), data[8:24], data[24:40]
            end = end if end > 40 else len(data)
            for _ in range(MAX_EXTENSIONS):
                if protocol == _FRAGMENT and len(data) >= at + 8:
                    place, number = data[at + 2] << 8 | data[at + 3], int.from_bytes(data[at + 4 : at + 8])
                    body = data[at + 8 : end]
                    return self._fragment(time, source, destination, number, data[at], place & 0xFFF8, bool(place & 1), body, len(data) < end, inside)
                if protocol not in _EXTENSIONS or len(data) < at + 8:
                    break
                protocol, at = data[at], at + (data[at + 1] + 1) * 8
            body = data[at:end]
        else:
            return NOTHING
        return self._transport(time, protocol, source, destination, body, inside)

    def _fragment(
        self,
        time: float,
        source: bytes,
        destination: bytes,
        number: int,
        protocol: int,
        offset: int,
        more: bool,
        body: bytes,
        is_cut: bool,
        inside: bool,
    ) -> list[Packet]:
        if is_cut:
            self._counts["cut"] += 1
            return NOTHING
        # IPv6 names the protocol in each fragment, but only the first one's counts (RFC 8200, 4.5): it is no part of the key there
        key = (source, destination, number, protocol if len(source) == 4 else 0)
        whole = self.fragments.take(key, protocol, offset, more, body, time)
        if whole is None:
            return NOTHING
        return self._transport(time, whole[0], source, destination, whole[1], inside)

    def _transport(self, time: float, protocol: int, source: bytes, destination: bytes, body: bytes, inside: bool) -> list[Packet]:
        if protocol == GRE:
            return self._tunnelled(time, protocol, body, inside)
        if len(body) < 8 or protocol not in (TCP, UDP):
            return NOTHING
        ports = body[0] << 8 | body[1], body[2] << 8 | body[3]
        if protocol == UDP and ports[1] in TUNNEL_PORTS and self._unwrap is not None:
            return self._tunnelled(time, protocol, body, inside)
        if self._ports is not None and ports[0] not in self._ports and ports[1] not in self._ports:
            return NOTHING
        near, far = (_text(source), ports[0]), (_text(destination), ports[1])
        if protocol == UDP:
            # a frame cut by the snap length is passed as far as it goes: the headers of a SIP message are usually whole
            payload = body[8 : max(body[4] << 8 | body[5], 8)]
            return [Packet(time, near, far, UDP, payload)] if payload else NOTHING
        if len(body) < 20:
            return NOTHING
        sequence, header = int.from_bytes(body[4:8]), (body[12] >> 4) * 4
        return _packets(time, self.tcp.take(near, far, sequence, body[13], body[header:], time))

    def _tunnelled(self, time: float, protocol: int, body: bytes, inside: bool) -> list[Packet]:
        if inside or self._unwrap is None:  # a tunnel in a tunnel is nobody's mirror
            return NOTHING
        self._counts["tunnelled"] += 1
        inner = self._unwrap.tunnel(protocol, body)
        return NOTHING if inner is None else self._ip(time, inner, inside=True)


def _packets(time: float, stretches: list[Stretch]) -> list[Packet]:
    return [Packet(time, one.source, one.destination, TCP, one.data, one.gap) for one in stretches]


@lru_cache(maxsize=16_384)  # the telephones and trunks of an exchange, some thousands
def _text(address: bytes) -> str:
    return str(ipaddress.ip_address(address))
