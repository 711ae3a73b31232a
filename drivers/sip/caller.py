"""Who is calling and who is called: which header of a SIP message may say it, and how far it is believed.

Source: sip-call-state, section 5; RFC 3325 (P-Asserted-Identity), RFC 3323 (Privacy), RFC 5806 (Diversion), RFC 7044 (History-Info).
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from drivers.sip.message import Message, NameAddr, parse_params
from drivers.sip.number import NumberPlan

NOBODY = frozenset({"", "anonymous", "unavailable", "unknown", "restricted", "private", "asterisk"})
_RESTRICTED = frozenset({"id", "user", "full", "critical", "header", "session"})
MAX_NAME = 128  # a display name is a line on a screen


class Caller(msgspec.Struct, frozen=True):
    """raw: the number as it came ("" = nobody told); source: which header; presentation: allowed or restricted."""

    raw: str
    e164: str | None
    name: str
    source: str
    verified: bool
    presentation: str
    redirecting: str = ""

    @property
    def number(self) -> str | None:
        return self.e164 or self.raw or None


class Trust:
    """The peers (addresses or networks) whose identity headers count. Configured; nobody else is believed."""

    def __init__(self, peers: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(peer, strict=False) for peer in peers]
        self.covers = lru_cache(4096)(self._covers)

    def _covers(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None)  # how a socket open to both families shows an IPv4 peer
        return any((mapped or parsed) in network for network in self._networks)


def identify(message: Message, trusted: bool, plan: NumberPlan, headers: tuple[str, ...] = (), contact: bool = False) -> Caller:
    """The caller of an INVITE. `headers`: names the site's gateway puts the real number in; `contact`: its user counts as last resort."""
    restricted = not _RESTRICTED.isdisjoint(token.strip().lower() for token in message.header("privacy").split(";"))
    redirecting = ""
    source, raw, name = "", "", ""
    if trusted:
        redirecting = _redirecting(message)
        source, raw, name, hidden = _asserted(message, plan)
        restricted = restricted or hidden
    if not source:
        from_ = message.from_
        if _tells(from_):
            source, raw, name = "from", from_.user, from_.display
        else:
            restricted = restricted or from_.user.lower() in ("anonymous", "restricted")
    if not source:
        source, raw = _site_header(message, headers)
    if not source and trusted:
        for preferred in message.name_addrs("p-preferred-identity"):
            if _tells(preferred):
                source, raw, name = "p_preferred_identity", preferred.user, preferred.display
                break
    if not source and contact:
        for address in message.name_addrs("contact")[:1]:
            if _tells(address):
                source, raw = "contact", address.user
    return Caller(
        raw=raw[:MAX_NAME],
        e164=plan.e164(raw) if raw else None,
        name=name[:MAX_NAME],
        source=source or "none",
        verified=source in ("p_asserted_identity", "remote_party_id"),
        presentation="restricted" if restricted else "allowed",
        redirecting=redirecting[:MAX_NAME],
    )


def _asserted(message: Message, plan: NumberPlan) -> tuple[str, str, str, bool]:
    """(source, number, name, restricted) out of the headers only a trusted peer may set."""
    told = [address for address in message.name_addrs("p-asserted-identity") if _tells(address)]
    if told:  # RFC 3325: one sip: and one tel: value may stand there; the first that is a real number
        best = next((address for address in told if plan.e164(address.user)), told[0])
        name = best.display or next((address.display for address in told if address.display), "")
        return "p_asserted_identity", best.user, name, False
    parties = [address for address in message.name_addrs("remote-party-id") if _tells(address)]
    parties = [address for address in parties if address.params.get("party", "calling").lower() == "calling"]
    if parties:
        best = next((address for address in parties if address.params.get("screen", "").lower() == "yes"), parties[0])
        return "remote_party_id", best.user, best.display, best.params.get("privacy", "off").lower() not in ("off", "")
    return "", "", "", False


def _redirecting(message: Message) -> str:
    """Whose phone forwarded the call: top Diversion entry, else the History-Info entry before the last one with a cause."""
    for diversion in message.name_addrs("diversion")[:1]:
        return diversion.user
    entries = message.name_addrs("history-info")
    for at in range(len(entries) - 1, 0, -1):
        if "cause" in parse_params(entries[at].parsed.params) or "cause=" in entries[at].uri:
            return entries[at - 1].user
    return ""


def _site_header(message: Message, headers: tuple[str, ...]) -> tuple[str, str]:
    for name in headers:
        value = message.header(name.lower())
        if value:
            address = NameAddr(value)
            number = address.user if ":" in address.uri else address.uri
            if number:
                return name.lower().replace("-", "_"), number
    return "", ""


def _tells(address: NameAddr) -> bool:
    return address.user.lower() not in NOBODY and not address.parsed.host.endswith("anonymous.invalid")
