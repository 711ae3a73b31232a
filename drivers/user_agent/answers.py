"""What a request is refused with before anybody looks at its meaning: the table of sip-ua.md, section 3 (RFC 3261, 8.2 and 21.4)."""

import msgspec

from drivers.sip.message import MalformedMessage, Message, check_strictly
from drivers.user_agent.compose import ALLOW

KNOWN = frozenset("INVITE ACK BYE CANCEL REGISTER OPTIONS PRACK SUBSCRIBE NOTIFY PUBLISH INFO REFER MESSAGE UPDATE".split())
IN_DIALOG = frozenset({"BYE", "UPDATE", "INFO", "PRACK"})
SERVED = frozenset({"MESSAGE", "OPTIONS", "NOTIFY"})
SCHEMES = frozenset({"sip", "sips", "tel"})
_CORE = ("via", "from", "to", "call-id", "cseq")
_WORDS = {
    "bad_start_line": "Bad Start Line", "too_many_headers": "Too Many Header Lines", "repeated_header": "Repeated Header", "bad_cseq": "Bad CSeq",
    "cseq_method_mismatch": "CSeq Method Differs", "bad_header": "Header Without Colon", "bad_content_length": "Bad Content-Length",
    "short_body": "Body Shorter Than Content-Length", "bad_max_forwards": "Bad Max-Forwards", "unbalanced_quotes": "Unbalanced Quotes",
    "bad_uri": "Bad Request-URI", "bad_via": "Bad Via", "missing_cseq": "Missing CSeq", "missing_from": "Missing From", "missing_to": "Missing To",
}  # fmt: skip


class Refusal(msgspec.Struct, frozen=True):
    """code, its words ("" = the usual ones), and the headers that go with it."""

    code: int
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()


def refusal_of(request: Message, invite: int) -> Refusal | None:
    """None for what is served: OPTIONS, MESSAGE, NOTIFY. ACK never comes here; nothing is said to one."""
    allow = (("Allow", ALLOW),)
    method = request.method
    if method not in KNOWN:
        return Refusal(501, headers=allow)
    if method == "CANCEL":  # no INVITE of theirs is ever pending here
        return Refusal(481)
    try:
        check_strictly(request)
    except MalformedMessage as fault:
        return refusal_for(fault.reason)
    if request.uri.partition(":")[0].lower() not in SCHEMES:
        return Refusal(416)
    if method in IN_DIALOG or (method == "INVITE" and request.to_tag):
        return Refusal(481)
    if method == "INVITE":
        return Refusal(invite, headers=allow)
    if method not in SERVED:
        return Refusal(405, headers=allow)
    unsupported = request.values("require")
    if unsupported:
        return Refusal(420, headers=(("Unsupported", ", ".join(unsupported)),))
    encoding = request.header("content-encoding").lower()
    if request.body and encoding not in ("", "identity"):
        return Refusal(415, headers=(("Accept-Encoding", "identity"),))
    return None


def refusal_for(reason: str) -> Refusal:
    """For what the parser found wrong; the words say what."""
    if reason == "bad_version":
        return Refusal(505)
    if reason == "body_too_long":
        return Refusal(513)
    words = _WORDS.get(reason, "")
    return Refusal(400, f"Bad Request ({words})" if words else "")


def salvage(data: bytes) -> Message | None:
    """Enough of a malformed request to answer it: Via, From, To, Call-ID and CSeq. None when that is not to be had, or it was a response."""
    head = data.lstrip(b"\r\n\0")[: 16 * 1024].partition(b"\r\n\r\n")[0].decode("utf-8", "surrogateescape")
    lines = head.replace("\r\n ", " ").replace("\r\n\t", " ").split("\r\n")
    method, _, rest = lines[0].partition(" ")
    if not rest or method.upper().startswith("SIP/") or "SIP/" not in rest.upper() or method == "ACK":
        return None
    headers: dict[str, list[str]] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        key = name.strip().lower()
        key = _COMPACT.get(key, key)
        if colon and value.strip() and key in _CORE and (key == "via" or key not in headers):
            headers.setdefault(key, []).append(value.strip())
    if len(headers) < len(_CORE):
        return None
    return Message(method, rest, 0, "", headers, b"")


_COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id"}
