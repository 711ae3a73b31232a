"""The next hop of a SIP URI: transport, port, numeric addresses (RFC 3263, without NAPTR and SRV). Names are asked off the loop."""

import asyncio
import socket
from collections.abc import Callable

from drivers.sip.hop import PORTS, Hop, is_numeric
from drivers.sip.message import Uri, parse_params

LOOK_UP_S = 5.0  # a resolver's own time-out; the other side of a name that nobody knows is no route
MAX_ADDRESSES = 8

Local = Callable[[str, str], tuple[str, int] | None]
"""(transport, peer's address) → our address and port towards it; None when no socket of ours can reach that family."""


async def find_hops(uri: str, local: Local) -> list[Hop]:
    """Best first; empty when there is no way."""
    parsed = Uri(uri)
    if parsed.scheme not in ("sip", "sips") or not parsed.host:
        return []
    told = parse_params(parsed.params).get("transport", "").lower()
    transport = "tls" if parsed.scheme == "sips" else told if told in PORTS else "udp"
    port = parsed.port or PORTS[transport]
    hops = []
    for address in [parsed.host] if is_numeric(parsed.host) else await _addresses(parsed.host):
        ours = local(transport, address)
        if ours is not None:
            hops.append(Hop(transport, (address, port), ours, None, parsed.host))
    return hops[:MAX_ADDRESSES]


async def _addresses(host: str) -> list[str]:
    try:
        async with asyncio.timeout(LOOK_UP_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        return []
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def address_towards(peer: str) -> str:
    """The address of ours from which the kernel would send to `peer`; nothing is sent."""
    with socket.socket(socket.AF_INET6 if ":" in peer else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((peer, 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "::1" if ":" in peer else "127.0.0.1"
