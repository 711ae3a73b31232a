"""Where a message came from and where one goes: addresses, our side of them, and the Via header that records both (RFC 3261, 18; RFC 3581)."""

import ipaddress
import re

import msgspec

from drivers.sip.message import MalformedMessage, Message, parse_params, split_list

PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}
_VIA = re.compile(r"SIP\s*/\s*2\.0\s*/\s*([A-Za-z0-9\-]+)\s+(\[[^\]]*\]|[^\s:;\[\]]+)(?:\s*:\s*(\d{1,5}))?\s*", re.IGNORECASE)
_RECEIVED = re.compile(r";\s*received\s*=[^;]*", re.IGNORECASE)
_RPORT = re.compile(r";\s*rport\s*(?:=[^;]*)?(?=;|$)", re.IGNORECASE)


class Hop(msgspec.Struct, frozen=True):
    """One way to a peer. transport: udp, tcp or tls. peer, local: (address, port); local is what the peer can reach us at.

    socket: the line's own number of the socket or connection, None where one has yet to be found or opened. name: the host as it was
    asked for, which a TLS certificate must show.
    """

    transport: str
    peer: tuple[str, int]
    local: tuple[str, int] = ("", 0)
    socket: int | None = None
    name: str = ""

    @property
    def is_stream(self) -> bool:
        return self.transport != "udp"


class Via(msgspec.Struct, frozen=True):
    """The top Via, taken apart. host: lower case, brackets of IPv6 removed."""

    transport: str
    host: str
    port: int | None
    params: dict[str, str]


def top_via(message: Message) -> Via:
    """Raises MalformedMessage `bad_via`."""
    values = split_list(message.header("via"))
    head, _, params = values[0].partition(";") if values else ("", "", "")
    found = _VIA.fullmatch(head.strip())
    if found is None or (found.group(3) and int(found.group(3)) > 65_535):
        raise MalformedMessage("bad_via")
    port = int(found.group(3)) if found.group(3) else None
    return Via(found.group(1).lower(), found.group(2).strip("[]").lower(), port, parse_params(params))


def answered_vias(message: Message, hop: Hop) -> list[str]:
    """The Vias of a response: the request's own in their order, the top one with what we saw of the sender.

    RFC 3581, 4: where rport was asked for it is filled in and `received` always added; else `received` when sent-by is not the source.
    """
    values = message.values("via")
    try:
        via = top_via(message)
    except MalformedMessage:
        return values
    top = _RECEIVED.sub("", values[0])
    if "rport" in via.params:
        top = _RPORT.sub(f";rport={hop.peer[1]}", top, count=1) + f";received={hop.peer[0]}"
    elif not same_address(via.host, hop.peer[0]):
        top += f";received={hop.peer[0]}"
    return [top, *values[1:]]


def answer_port(via: Via, hop: Hop) -> int:
    """Where the response goes at the source address: rport, else the Via's port, else the usual one (RFC 3261, 18.2.2)."""
    if "rport" in via.params:
        return hop.peer[1]
    return via.port or PORTS[hop.transport]


def same_address(one: str, other: str) -> bool:
    """The same numeric address, however it is written."""
    if one == other:
        return True
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return False


def is_numeric(host: str) -> bool:
    """An IPv4 or IPv6 address, no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def host_port(address: tuple[str, int]) -> str:
    """As it stands in Via and Contact: IPv6 in brackets."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
