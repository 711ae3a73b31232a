"""What stands before IP in a frame: Ethernet with its tags, PPPoE, Linux cooked, loopback and raw. Numbers after tcpdump's list of link types."""

ETHERNET, COOKED, COOKED2, RAW = 1, 113, 276, 101
_LOOPBACK = (0, 108)
_RAW = (12, 14, RAW, 228, 229)

_IP = (0x0800, 0x86DD)
_TAGS = (0x8100, 0x88A8, 0x9100)  # customer, provider (IEEE 802.1ad), and what switches used before it was a standard
_PPPOE = 0x8864
_PPP_IP = (0x0021, 0x0057)
MAX_TAGS = 4  # two are QinQ; more than that is a switch gone wrong

NO_IP = -1  # ARP, LLDP and the like
UNUSUAL = -2  # a link type or tag that this file does not know: perhaps scapy does


def find_ip(link: int, frame: bytes) -> int:
    """Where the IP header begins in the frame, or NO_IP or UNUSUAL. Never looks behind the end."""
    if link == ETHERNET:
        return _behind(frame, 12)
    if link == COOKED:
        return _behind(frame, 14)
    if link == COOKED2:  # the protocol stands first, 18 other octets behind it
        return 20 if int.from_bytes(frame[:2]) in _IP else NO_IP if len(frame) < 20 else UNUSUAL
    if link in _LOOPBACK:  # the family's number differs between systems, and so does its byte order: the IP header will tell
        return 4
    return 0 if link in _RAW else UNUSUAL


def _behind(frame: bytes, at: int) -> int:
    """Follow tags from the Ethernet type at `at`."""
    for _ in range(MAX_TAGS + 1):
        if len(frame) < at + 2:
            return NO_IP
        kind = frame[at] << 8 | frame[at + 1]
        if kind in _IP:
            return at + 2
        if kind in _TAGS:
            at += 4
        elif kind == _PPPOE:  # version and type, code, session(2), length(2), then PPP's own protocol number (RFC 2516)
            return at + 10 if int.from_bytes(frame[at + 8 : at + 10]) in _PPP_IP else NO_IP
        else:
            return NO_IP if kind in (0x0806, 0x88CC, 0x8863) or kind < 0x0600 else UNUSUAL
    return NO_IP
