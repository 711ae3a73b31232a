"""The listening socket: scapy's, with a filter that libpcap compiles and the kernel carries out."""

import errno
import logging
import struct
import time
from collections import Counter
from collections.abc import Collection, Iterator

from scapy.arch.linux import L2ListenSocket
from scapy.config import conf
from scapy.error import Scapy_Exception

from drivers.capture.file import Frame
from drivers.capture.link import ETHERNET, RAW

logging.getLogger("scapy.runtime").setLevel(logging.ERROR)  # it warns of the loopback's hardware type, which we know

SNAP = 65_535
RECEIVE_BUFFER = 8 * 1024 * 1024  # bytes; some thousand large INVITEs. The kernel gives at most net.core.rmem_max
BURST = 256  # frames read before anything else has its turn

_SOL_PACKET, _PACKET_STATISTICS = 263, 6  # linux/if_packet.h; the socket module names neither
_OUTGOING = 4
# Hardware types of linux/if_arp.h: Ethernet and loopback frames look alike; tunnels and modems give bare IP
_ETHERNET, _LOOPBACK, _BARE_IP = 1, 772, (65_534, 519, 778, 768, 769, 776)


class NoCapture(Exception):
    """The interface cannot be listened to; the text says why and what to do."""


def filter_for(ports: Collection[int], *, tunnels: bool, tags: bool = True) -> str:
    """The expression in libpcap's language (pcap-filter(7)): SIP ports, and what `port` can never match but may belong to them.

    Later fragments have no ports; an IPv6 extension header hides them; behind a tag (in the frame: the kernel has usually taken the outer
    one off) everything stands four octets further. tunnels: all mirrored traffic in GRE, VXLAN, TZSP, PPPoE and MPLS, since a filter cannot
    look into it.
    """
    ours = " or ".join(f"port {port}" for port in sorted(ports))
    ours += " or ip[6:2] & 0x1fff != 0 or ip6[6] = 44 or ip6[6] = 0 or ip6[6] = 43 or ip6[6] = 60"
    if tunnels:
        ours += " or ip proto 47 or ip6 proto 47 or udp dst port 4789 or udp dst port 8472 or udp dst port 37008"
        ours += " or ether proto 0x8864 or ether proto 0x8847" if tags else ""
    # the word vlan moves everything behind it by four octets: each level is the rest of the expression
    return f"({ours}) or (vlan and (({ours}) or (vlan and ({ours}))))" if tags else ours


class Live:
    """Frames of one interface in promiscuous mode. counts: kernel_packets, kernel_drops, outgoing."""

    def __init__(self, interface: str, ports: Collection[int], *, tunnels: bool = False, promiscuous: bool = True) -> None:
        """Raises NoCapture."""
        self.counts: Counter[str] = Counter()
        self.filtered_by = "the kernel, with a filter compiled by libpcap"
        conf.bufsize = RECEIVE_BUFFER
        hardware = _hardware(interface)
        self._link = RAW if hardware in _BARE_IP else ETHERNET
        self._is_loopback = hardware == _LOOPBACK
        if self._link == ETHERNET and hardware not in (_ETHERNET, _LOOPBACK):
            raise NoCapture(f"{interface}: frames of hardware type {hardware} are not known; name an Ethernet interface")
        wanted = filter_for(ports, tunnels=tunnels, tags=self._link == ETHERNET)
        try:
            try:
                self._socket = _Listening(iface=interface, promisc=promiscuous, filter=wanted)
            except Scapy_Exception as error:
                if "libpcap is not available" not in str(error):
                    raise NoCapture(f"{interface}: the filter does not compile: {error}") from error
                self.filtered_by = "Python, which is slower, because libpcap is not installed (apt-get install libpcap0.8)"
                self._socket = _Listening(iface=interface, promisc=promiscuous)
        except PermissionError as error:
            raise NoCapture(
                f"{interface}: listening needs the capability CAP_NET_RAW; start it as systemd/gateway-sniffer.service does, or as root"
            ) from error
        except OSError as error:
            raise NoCapture(f"{interface}: cannot be listened to: {(error.strerror or str(error)).lower()}") from error
        self._socket.ins.setblocking(False)
        self._statistics()  # what was dropped before the filter stood was not for us

    def fileno(self) -> int:
        """To wait on."""
        number: int = self._socket.ins.fileno()
        return number

    def read(self) -> Iterator[Frame]:
        """What has arrived, at most BURST frames. Raises NoCapture when the interface is gone."""
        for _ in range(BURST):
            try:
                data, kind, seen_at = self._socket.recv_typed(SNAP)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.EINTR:
                    continue
                raise NoCapture(f"the interface is lost: {(error.strerror or str(error)).lower()}") from error
            if kind == _OUTGOING and self._is_loopback:  # each frame on the loopback goes out and comes in
                self.counts["outgoing"] += 1
                continue
            yield Frame(seen_at, self._link, data)

    def count_drops(self) -> None:
        """Ask the kernel what it had to throw away since the last time (it counts from 0 after each question)."""
        packets, drops = self._statistics()
        self.counts["kernel_packets"] += packets
        self.counts["kernel_drops"] += drops

    def _statistics(self) -> tuple[int, int]:
        packets, drops = struct.unpack("II", self._socket.ins.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        return packets, drops

    def close(self) -> None:
        """Leave promiscuous mode."""
        self._socket.close()


class _Listening(L2ListenSocket):
    """Scapy puts a VLAN tag that the kernel took off back into the frame, but keeps the direction to itself."""

    def recv_typed(self, size: int) -> tuple[bytes, int, float]:
        """(frame, packet type of linux/if_packet.h, seconds since 1970)."""
        data, address, stamp = self._recv_raw(self.ins, size)
        return data, address[2], time.time() if stamp is None else float(stamp)


def _hardware(interface: str) -> int:
    known = conf.ifaces.data.get(interface)
    if known is None:
        raise NoCapture(f"{interface}: there is no such interface; `ip link` lists those of this machine")
    return int(known.type)
