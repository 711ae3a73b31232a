"""Frames that only scapy knows: mirrors that a switch sends through a tunnel (GRE, ERSPAN, VXLAN, TZSP), MPLS, other link types.

Slow (some thousand frames a second), so only what drivers.capture cannot read comes here.
"""

from scapy.config import conf
from scapy.contrib.erspan import ERSPAN  # noqa: F401 - importing binds it to GRE
from scapy.contrib.mpls import MPLS  # noqa: F401 - to Ethernet and GRE
from scapy.contrib.tzsp import TZSP, TZSP_PORT_DEFAULT
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE
from scapy.layers.vxlan import VXLAN  # noqa: F401 - to its UDP ports
from scapy.packet import Packet, bind_bottom_up

from drivers.capture.packets import GRE as GRE_PROTOCOL

bind_bottom_up(UDP, TZSP, dport=TZSP_PORT_DEFAULT)  # scapy itself wants both ports to be this one; senders choose their own


class ScapyUnwrap:
    """Gives the outermost IP packet inside as bytes. Whatever scapy stumbles over is no packet."""

    def frame(self, link: int, data: bytes) -> bytes | None:
        """A frame whose link type or Ethernet type drivers.capture does not know."""
        layer = conf.l2types.num2layer.get(link)
        return None if layer is None else _ip_inside(layer, data)

    def tunnel(self, protocol: int, data: bytes) -> bytes | None:
        """The payload of an IP packet that may carry a mirrored frame."""
        return _ip_inside(GRE if protocol == GRE_PROTOCOL else UDP, data)


def _ip_inside(layer: type[Packet], data: bytes) -> bytes | None:
    try:
        packet = layer(data)
        while packet and not isinstance(packet, IP | IPv6):
            packet = packet.payload
        return bytes(packet.original) if packet else None
    except Exception:  # a dissector that stumbles over hostile bytes, in whatever way
        return None
