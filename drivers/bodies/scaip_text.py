"""The XML of SCAIP: `<mrq>` read against its patterns, `<mrs>` written. Knows no meaning. Source: scaip.md, "Request", "Response"."""

import re
from xml.sax.saxutils import escape

import msgspec

from drivers.bodies.scaip_codes import STATUS_NUMBERS
from drivers.sip.xml_body import Element, MalformedXml, read_xml

MAX_REQUEST = 4 * 1024  # scaip.md, "bad input"; all fields at their longest are about 1 100 bytes
MAX_SHOWN = 256  # characters kept of a value that keeps to no pattern
MAX_UNKNOWN = 16  # tags named in the detail
TOO_LONG, INVALID, WRONG_DATA, MISSING = 1, 2, 3, 7

ROOTS = ("mrq", "scaip")
CONTENT_TYPE = "application/scaip+xml"

PATTERNS: dict[str, str] = {
    "ref": "[0-9a-zA-Z]{1,16}",
    "ver": r"[0-9]{2}\.[0-9]{2}",
    "sco": "[0-3]",
    "cha": "[0-9]",
    "mty": "ME|RE|IN|PI",
    "hbo": "[0-3]",
    "cid": "[0-9]{1,16}",
    "dty": "[0-9]{1,4}",
    "did": ".{1,8}",
    "dco": "[0-9]{1,3}",
    "dte": ".{1,32}",
    "crd": ".{1,256}",
    "stc": "[0-9]{1,4}",
    "stt": ".{1,32}",
    "pri": "[0-9]",
    "lco": "[0-9]{1,3}",
    "lva": ".{1,2}",
    "lte": ".{1,32}",
    "ico": "[0-9]{1,3}",
    "ite": ".{1,128}",
    "ame": "[01]",
    # inside lge; the minus sign is ours, for west and south
    "geo": "[-0-9.,]{1,23}",
    "tim": "[-0-9:+TZ.]{1,32}",
    "gga": ".{1,81}",
}
# The variant with root <scaip> that a proxy was seen to send.
VARIANT: dict[str, str] = {**PATTERNS, "cid": r"\+?[0-9]{1,16}", "did": ".{1,12}"}
_COMPILED = {root: {tag: re.compile(pattern, re.DOTALL) for tag, pattern in table.items()} for root, table in (("mrq", PATTERNS), ("scaip", VARIANT))}
_INSIDE = ("geo", "tim", "gga")
_FOUND = {tag: re.compile(rf"<(?:[A-Za-z_][\w.\-]{{0,32}}:)?{tag}>\s{{0,16}}([0-9a-zA-Z]{{1,16}})\s{{0,16}}</".encode()) for tag in ("ref", "cid")}
_ROOT = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,64}(?:<\?[^>]{0,128}\?>\s{0,64})?<(?:[A-Za-z_][\w.\-]{0,32}:)?(mrq|scaip|mrs)(?=[\s/>])")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What was readable, also where it breaks a pattern. values: tag → text, absent ones left out (their defaults are the caller's).

    wrong: tags outside their pattern or given twice; missing: of ref and cid; unknown: tags that nobody knows, ignored.
    """

    root: str
    values: dict[str, str]
    wrong: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def value(self, tag: str) -> str:
        return self.values.get(tag, "")

    def number(self, tag: str) -> int | None:
        """A code as a number, for 3, 03 and 0003 are one (and 00003 too, though faulty); None when absent or no code."""
        text = self.values.get(tag, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 8 else None

    @property
    def snu(self) -> int:
        """0, or why it is faulty: 7 before 3."""
        return MISSING if self.missing else WRONG_DATA if self.wrong else 0

    @property
    def fault(self) -> str:
        """The words beside snu: which tags."""
        return ", ".join(self.missing or self.wrong)


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """No request could be read. reason: too_long, bad_xml, too_deep, forbidden_xml, not_mrq, is_mrs; ref, cid: "" when not found."""

    snu: int
    reason: str
    ref: str = ""
    cid: str = ""


def root_of(body: bytes) -> str:
    """mrq, scaip or mrs by a glance at the first bytes; "" for anything else. Whether the XML is sound is not asked."""
    found = _ROOT.match(body)
    return found.group(1).decode() if found else ""


def read_request(body: bytes) -> Request | Unreadable:
    """One `<mrq>` (or `<scaip>`): any order of elements, no namespace needed. Never raises."""
    try:
        root = read_xml(body, MAX_REQUEST)
    except MalformedXml as fault:
        return _unreadable(TOO_LONG if fault.reason == "too_long" else INVALID, fault.reason, body)
    if root.name not in ROOTS:
        return _unreadable(INVALID, "is_mrs" if root.name == "mrs" else "not_mrq", body)
    return _request(root)


def _unreadable(snu: int, reason: str, body: bytes) -> Unreadable:
    """With what stands in the first bytes in plain sight, so that the sender knows which message it was."""
    ref, cid = (found.group(1).decode() if (found := _FOUND[tag].search(body[:MAX_REQUEST])) else "" for tag in ("ref", "cid"))
    return Unreadable(snu=snu, reason=reason, ref=ref, cid=cid)


def _request(root: Element) -> Request:
    patterns = _COMPILED[root.name]
    values: dict[str, str] = {}
    wrong: list[str] = []
    unknown: list[str] = []
    found = [(element, False) for element in root.children if element.name != "lge"]
    found += [(child, True) for element in root.children if element.name == "lge" for child in element.children]
    for element, is_inside in found:
        tag = element.name
        if tag not in patterns or (tag in _INSIDE) != is_inside:
            unknown.append(tag[:MAX_SHOWN])
        elif not element.text:
            continue  # an empty tag is an absent one
        elif tag in values:
            wrong.append(tag)
        else:
            values[tag] = element.text[:MAX_SHOWN]
            if patterns[tag].fullmatch(element.text) is None:
                wrong.append(tag)
    return Request(
        root=root.name,
        values=values,
        wrong=tuple(dict.fromkeys(wrong)),
        missing=tuple(tag for tag in ("ref", "cid") if tag not in values),
        unknown=tuple(dict.fromkeys(unknown))[:MAX_UNKNOWN],
    )


def reply(ref: str, snu: int, *, text: str = "", mre: str = "", cre: str = "", tnu: str = "", hbi: int | None = None, root: str = "mrs") -> bytes:
    """`<mrs>`. Empty fields are left out; words stand beside every snu but 0."""
    said = f"{STATUS_NUMBERS[snu]}: {text}" if text else STATUS_NUMBERS[snu]
    fields = (
        ("ref", ref),
        ("snu", str(snu)),
        ("ste", said[:128] if snu else ""),
        ("mre", mre),
        ("cre", cre),
        ("tnu", tnu),
        ("hbi", "" if hbi is None else str(hbi)),
    )
    inner = "".join(f"<{tag}>{escape(value)}</{tag}>" for tag, value in fields if value)
    return f"<{root}>{inner}</{root}>".encode()
