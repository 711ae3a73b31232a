"""SIP message parser (RFC 3261): bytes in, a Message or MalformedMessage out; headers are read only when asked for.

Nothing here answers or sends. `parse_message` is lenient, as a copied message (HEP, mirror port) must be: a body cut short or a
flawed header that nobody needs does not cost a call. `check_strictly` adds what a user agent must refuse (RFC 3261, RFC 4475).
"""

import re
from urllib.parse import unquote_to_bytes

# sip-ua.md, section 1: far above any real message, far below what would hurt.
MAX_HEAD = 64 * 1024
MAX_HEADER_LINES = 256
MAX_BODY = 1024 * 1024
MAX_CSEQ = 2**31  # RFC 3261, 8.1.1.5

# RFC 3261 7.3.3, RFC 3265, 3515, 3892, 4028, 4474, 3841
COMPACT = {
    "i": "call-id",
    "m": "contact",
    "e": "content-encoding",
    "l": "content-length",
    "c": "content-type",
    "f": "from",
    "s": "subject",
    "k": "supported",
    "t": "to",
    "v": "via",
    "o": "event",
    "u": "allow-events",
    "r": "refer-to",
    "b": "referred-by",
    "x": "session-expires",
    "y": "identity",
    "a": "accept-contact",
    "d": "request-disposition",
    "j": "reject-contact",
}
_USUAL = (
    "Via From To Call-ID CSeq Contact Max-Forwards Content-Length Content-Type Allow Supported User-Agent Server Route Record-Route Expires Accept"
    " Require Date Event Reason P-Asserted-Identity P-Preferred-Identity Remote-Party-ID Privacy Diversion History-Info Session-Expires Min-SE"
    " Refer-To Referred-By Replaces Organization Subject Authorization Proxy-Authorization WWW-Authenticate Proxy-Authenticate Allow-Events"
)
_CANONICAL = {name: name.lower() for name in _USUAL.split()} | COMPACT
_SINGLE = ("call-id", "cseq", "from", "to", "content-length", "max-forwards")
_METHOD = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_FOLD = re.compile(r"\r\n[ \t]+")  # blanks before it stay: to match them too would cost the square of a long run
_QUOTED = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
# In GBK the second octet of a character may look like a backslash: an undecoded octet takes its neighbour with it.
_QUOTED_GBK = re.compile('"((?:[^"\\\\\udc80-\udcff]|[\udc80-\udcff].|\\\\.)*)"', re.DOTALL)
_VIA = re.compile(
    r"\s*SIP\s*/\s*[0-9.]+\s*/\s*[\w\-.!%*+`'~]+\s+[^\s;,]+(?:\s*:\s*\d+)?"
    r"(?:\s*;\s*[\w\-.!%*+`'~]+(?:\s*=\s*(?:\"(?:[^\"\\]|\\.)*\"|[^\s;,\"]+))?)*\s*",
    re.IGNORECASE | re.DOTALL,
)
_SURROGATE = re.compile("[\udc80-\udcff]")
_MARKS = {separator: re.compile(rf'["<>\\{separator}]') for separator in ",;"}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class MalformedMessage(Exception):
    """The bytes are no SIP message. `reason` is a lower_snake word; the text never repeats the message.

    message: what could be read all the same when only its required headers are at fault, so that a user agent can answer 400 or 501.
    """

    def __init__(self, reason: str, message: "Message | None" = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.message = message


class Uri:
    """A SIP, SIPS or TEL URI taken apart; any other scheme keeps its text in `host`. `user` is unescaped, its parameters gone."""

    __slots__ = ("host", "params", "port", "scheme", "user")

    def __init__(self, text: str) -> None:
        scheme, colon, rest = text.partition(":")
        self.scheme = scheme.strip().lower() if colon else ""
        self.user = self.host = self.params = ""
        self.port: int | None = None
        if self.scheme == "tel":
            self.user, _, self.params = rest.partition(";")
        elif self.scheme in ("sip", "sips"):
            user, at, host = rest.rpartition("@")
            if at:
                # the user part may hold telephone parameters and a password: 13800000000;phone-context=+86:secret
                self.user = _unescape(user.partition(";")[0].partition(":")[0])
            host, _, self.params = host.partition("?")[0].partition(";")
            self._read_host(host.strip())
        else:
            self.host = rest

    def _read_host(self, host: str) -> None:
        if host.startswith("["):  # IPv6 reference
            name, _, after = host[1:].partition("]")
            port = after[1:] if after.startswith(":") else ""
        else:
            name, _, port = host.partition(":")
        self.host = name.lower()
        if port.isascii() and port.isdigit() and len(port) <= 5:
            self.port = int(port)


class NameAddr:
    """`"Display" <uri>;params` or `uri;params`. `flawed`: what is wrong with it, as `check_strictly` names it; what could be read was."""

    __slots__ = ("_display", "_parsed", "flawed", "params", "uri")

    def __init__(self, value: str) -> None:
        self.flawed = ""
        self._display = ""
        self._parsed: Uri | None = None
        rest = value.strip()
        if rest.startswith('"'):
            found = _quoted(rest)
            if found is None:
                self.flawed = "unbalanced_quotes"
                rest = rest[rest.rfind("<") :] if "<" in rest else rest[1:]
            else:
                self._display = found.group(1)
                rest = rest[found.end() :]
        opening = rest.find("<")
        if opening >= 0:
            closing = rest.find(">", opening)
            if closing < 0:
                self.flawed = "unbalanced_quotes"
                closing = len(rest)
            if not self._display:
                self._display = rest[:opening].strip()
            self.uri = rest[opening + 1 : closing].strip()
            self.params = parse_params(rest[closing + 1 :])
        else:  # without brackets the parameters belong to the header (RFC 3261, 20)
            uri, _, params = rest.partition(";")
            self.uri = uri.strip()
            self.params = parse_params(params)
            if "?" in self.uri.rpartition("@")[2]:  # headers of a URI need brackets, too
                self.flawed = "bad_uri"

    @property
    def parsed(self) -> Uri:
        if self._parsed is None:
            self._parsed = Uri(self.uri)
        return self._parsed

    @property
    def user(self) -> str:
        return self.parsed.user

    @property
    def display(self) -> str:
        """The display name; GBK of old gateways is understood; "" when there is none or nobody can read it."""
        return _ESCAPED.sub(r"\1", readable_text(self._display))


class Message:
    """One SIP request (`method`, `uri`) or response (`code`, `reason`). Header names are lower case, compact forms spelt out.

    headers: every value as it came, in order; use `values` for comma-joined lists. truncated: the body is shorter than promised.
    """

    __slots__ = ("_contents", "body", "code", "cseq", "cseq_method", "flawed", "headers", "method", "reason", "truncated", "uri")

    def __init__(self, method: str, uri: str, code: int, reason: str, headers: dict[str, list[str]], body: bytes) -> None:
        self.method = method
        self.uri = uri
        self.code = code
        self.reason = reason
        self.headers = headers
        self.body = body
        self.truncated = False
        self.flawed = ""
        self.cseq = 0
        self.cseq_method = ""
        self._contents: dict[str, NameAddr] = {}

    @property
    def is_request(self) -> bool:
        return self.code == 0

    @property
    def call_id(self) -> str:
        return self.headers["call-id"][0]

    @property
    def from_(self) -> NameAddr:
        return self._name_addr("from")

    @property
    def to(self) -> NameAddr:
        return self._name_addr("to")

    @property
    def from_tag(self) -> str:
        return self.from_.params.get("tag", "")

    @property
    def to_tag(self) -> str:
        return self.to.params.get("tag", "")

    @property
    def branch(self) -> str:
        """Branch of the top Via; "" when there is none."""
        values = self.headers.get("via")
        if not values:
            return ""
        top = values[0]
        start = top.find(";branch=")  # the usual spelling; anything else the long way
        if start >= 0 and '"' not in top and "," not in top:
            return top[start + 8 :].partition(";")[0].strip()
        joined = split_list(top)
        return parse_params(joined[0].partition(";")[2]).get("branch", "") if joined else ""

    @property
    def via_count(self) -> int:
        return len(self.values("via"))

    def header(self, name: str) -> str:
        """First value of a header (lower-case name), "" when absent."""
        values = self.headers.get(name)
        return values[0] if values else ""

    def values(self, name: str) -> list[str]:
        """All values of a list header: repeated and comma-joined forms mean the same."""
        found = self.headers.get(name)
        if not found:
            return []
        return [item for value in found for item in (split_list(value) if "," in value else (value,))]

    def name_addrs(self, name: str) -> list[NameAddr]:
        return [NameAddr(value) for value in self.values(name)]

    def _name_addr(self, name: str) -> NameAddr:
        found = self._contents.get(name)
        if found is None:
            found = self._contents[name] = NameAddr(self.headers[name][0])
        return found


def parse_message(data: bytes) -> Message:
    """Read one datagram's worth of SIP.

    Wire: start line CRLF, header lines CRLF, CRLF, body. CRLFs in front are skipped, folded lines joined, LF alone is taken for CRLF.
    Errors: MalformedMessage with one of keepalive, not_sip, bad_start_line, bad_version, bad_status_code, too_long, too_many_headers,
    missing_call_id, missing_cseq, missing_from, missing_to, missing_via, repeated_header, bad_cseq, cseq_method_mismatch.
    Source: RFC 3261, 7 and 25; linear in the size of the message.
    """
    if data[:1] in (b"\r", b"\n", b"\0"):
        data = data.lstrip(b"\r\n\0")
    if not data:
        raise MalformedMessage("keepalive")
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD + 4)
    if end >= 0:
        head, body, cut = data[:end], data[end + 4 :], False
    else:
        head, body, cut = _split_unusual(data)
    text = head.decode("utf-8", "surrogateescape")
    if "\r\n " in text or "\r\n\t" in text:
        text = _FOLD.sub(" ", text)
    lines = text.split("\r\n")
    if len(lines) - 1 > MAX_HEADER_LINES:
        raise MalformedMessage("too_many_headers")
    message = _start_line(lines[0])
    headers = message.headers
    canonical = _CANONICAL.get
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            message.flawed = message.flawed or "bad_header"
            continue
        key = canonical(name) or _canonical_name(name)
        held = headers.get(key)
        if held is None:
            headers[key] = [value.strip()]
        else:
            held.append(value.strip())
    message.body = body
    message.truncated = cut
    _cut_body(message)
    _require(message)
    return message


def check_strictly(message: Message) -> None:
    """Refuse what a user agent answers with 400 (sip-ua.md, section 1) but a watcher can live with.

    Errors: MalformedMessage with bad_start_line, bad_header, bad_content_length, short_body, body_too_long, bad_max_forwards, bad_via,
    unbalanced_quotes, bad_uri.
    """
    fault = _strict_fault(message)
    if fault:
        raise MalformedMessage(fault, message)


def _strict_fault(message: Message) -> str:
    if message.flawed:
        return message.flawed
    if message.truncated:
        return "short_body"
    if len(message.body) > MAX_BODY:
        return "body_too_long"
    hops = message.header("max-forwards")
    if hops and not (_is_number(hops, 16) and int(hops) <= 255):
        return "bad_max_forwards"
    if not all(_VIA.fullmatch(via) for value in message.headers["via"] for via in _split(value, ",")):
        return "bad_via"
    if message.is_request and (message.uri.startswith("<") or message.uri.endswith(">")):
        return "bad_uri"
    # RFC 3261, 19.1.1: a Request-URI has no headers; `?` in the user part is a character like others
    if message.is_request and message.uri[:4].lower() in ("sip:", "sips") and "?" in message.uri.rpartition("@")[2]:
        return "bad_uri"
    flaws = [message.from_.flawed, message.to.flawed]
    flaws += [address.flawed for name in ("contact", "route", "record-route") for address in message.name_addrs(name)]
    return next(filter(None, flaws), "")


def parse_params(text: str) -> dict[str, str]:
    """`;name=value;flag;name="quoted"` as a dictionary: names in lower case, values without their quotes, the first one wins."""
    params: dict[str, str] = {}
    if not text or text.isspace():
        return params
    for part in text.split(";") if '"' not in text else _split(text, ";"):
        name, _, value = part.partition("=")
        key = name.strip().lower()
        if key and key not in params:
            value = value.strip()
            if value.startswith('"'):
                value = _ESCAPED.sub(r"\1", value.strip('"'))
            params[key] = value
    return params


def split_list(value: str) -> list[str]:
    """Split a header at the commas outside quotes and angle brackets; empty items are dropped."""
    if "," not in value:
        return [value] if value else []
    parts = value.split(",") if '"' not in value and "<" not in value else _split(value, ",")
    return [part.strip() for part in parts if part and not part.isspace()]


def readable_text(text: str) -> str:
    """UTF-8 text as it is; octets that were no UTF-8 are tried as GB18030, as old Chinese gateways send them; else ""."""
    if not _SURROGATE.search(text):
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("gb18030")
    except UnicodeError:
        return ""


def _split_unusual(data: bytes) -> tuple[bytes, bytes, bool]:
    """No CRLFCRLF within the limit: too long, cut off in the headers, or lines that end in LF alone."""
    if b"\r\n" not in data[:MAX_HEAD] and b"\n" in data[:MAX_HEAD]:
        head, empty, body = data.replace(b"\n", b"\r\n").partition(b"\r\n\r\n")
        body = body.replace(b"\r\n", b"\n")
        if not empty:
            head = head.removesuffix(b"\r\n")
        cut = not empty
    else:
        # the line that was cut may say anything: only whole lines count
        head, body, cut = data.rpartition(b"\r\n")[0], b"", True
    if len(head) > MAX_HEAD:
        raise MalformedMessage("too_long")
    if not head:
        raise MalformedMessage("not_sip")
    return head, body, cut


def _start_line(line: str) -> Message:
    if line[:4].upper() == "SIP/":
        parts = line.split(" ", 2)
        if parts[0].upper() != "SIP/2.0":
            raise MalformedMessage("bad_version")
        if len(parts) < 2 or not (len(parts[1]) == 3 and parts[1].isascii() and parts[1].isdigit() and "100" <= parts[1] <= "699"):
            raise MalformedMessage("bad_status_code")
        return Message("", "", int(parts[1]), parts[2] if len(parts) == 3 else "", {}, b"")
    parts = line.split(" ")
    is_sound = len(parts) == 3 and bool(parts[1])
    if not is_sound:  # RFC 4475, 3.1.2.8 to 10: blanks too many may be passed over, where they leave no doubt
        words = line.split()
        parts = [words[0], "".join(words[1:-1]), words[-1]] if len(words) > 2 else words
    if not parts or parts[-1][:4].upper() != "SIP/":
        raise MalformedMessage("bad_start_line" if " SIP/" in line.upper() else "not_sip")
    if len(parts) != 3 or not _METHOD.fullmatch(parts[0]):
        raise MalformedMessage("bad_start_line")
    if parts[2].upper() != "SIP/2.0":
        raise MalformedMessage("bad_version")
    message = Message(parts[0], parts[1], 0, "", {}, b"")
    if not is_sound:
        message.flawed = "bad_start_line"
    return message


def _canonical_name(name: str) -> str:
    lower = name.strip().lower()
    return COMPACT.get(lower, lower)


def _require(message: Message) -> None:
    headers = message.headers
    for name, reason in _REQUIRED:
        held = headers.get(name)
        if held is None or not held[0]:
            raise MalformedMessage(reason, message)
    for name in _SINGLE:
        held = headers.get(name)
        if held is not None and len(held) > 1 and any(value != held[0] for value in held):
            raise MalformedMessage("repeated_header", message)
    number = headers["cseq"][0].split()
    if len(number) != 2 or not _is_number(number[0], 16) or int(number[0]) >= MAX_CSEQ:
        raise MalformedMessage("bad_cseq", message)
    message.cseq = int(number[0])
    message.cseq_method = number[1]
    if message.code == 0 and number[1] != message.method:
        raise MalformedMessage("cseq_method_mismatch", message)


_REQUIRED = (
    ("call-id", "missing_call_id"),
    ("cseq", "missing_cseq"),
    ("from", "missing_from"),
    ("to", "missing_to"),
    ("via", "missing_via"),
)


def _cut_body(message: Message) -> None:
    """What follows Content-Length octets is no second message (RFC 3261, 18.3); fewer octets mean a copy cut short."""
    length = message.header("content-length")
    if not length:
        return
    if not _is_number(length, 16):
        message.flawed = message.flawed or "bad_content_length"
        return
    size = int(length)
    if size > len(message.body):
        message.truncated = True
    elif size < len(message.body):
        message.body = message.body[:size]


def _is_number(text: str, digits: int) -> bool:
    """Decimal digits of ASCII only, no more than so many: no sign, no overflow, no other script's digits."""
    return len(text) <= digits and text.isascii() and text.isdigit()


def _quoted(text: str) -> re.Match[str] | None:
    if _SURROGATE.search(text):
        return _QUOTED_GBK.match(text) or _QUOTED.match(text)
    return _QUOTED.match(text)


def _unescape(text: str) -> str:
    if "%" not in text:
        return text
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _split(text: str, separator: str) -> list[str]:
    """Split outside quotes and angle brackets; an unclosed quote or bracket runs to the end."""
    parts: list[str] = []
    start = 0
    escaped = -1  # where the character stands that a backslash has made harmless
    quoted = bracketed = False
    for found in _MARKS[separator].finditer(text):
        at, char = found.start(), found.group()
        if at == escaped:
            continue
        if quoted:
            if char == "\\":
                escaped = at + 1
            elif char == '"':
                quoted = False
        elif char == '"':
            quoted = True
        elif char == "<":
            bracketed = True
        elif char == ">":
            bracketed = False
        elif char == separator and not bracketed:
            parts.append(text[start:at])
            start = at + 1
    parts.append(text[start:])
    return parts
