"""SIP messages as text (RFC 3261), written by hand for the simulated exchange; callers in the forms Chinese trunks really send."""

import random
from dataclasses import dataclass, field

SDP = (
    "v=0\r\no=- {session} 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=sendrecv\r\n"
)
REASONS = {
    100: "Trying",
    180: "Ringing",
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    486: "Busy Here",
    487: "Request Terminated",
    500: "Server Internal Error",
    503: "Service Unavailable",
    603: "Decline",
}

Address = tuple[str, int]


def chinese_forms(e164: str, area_code: str = "") -> list[str]:
    """The ways a Chinese trunk presents one +86 number to a PBX; the local form only for numbers of `area_code` ("0931")."""
    national = e164.removeprefix("+86")
    if not e164.startswith("+86"):
        return [e164]
    if national.startswith("1") and len(national) == 11:
        return [e164, national, "0" + national, "86" + national, "0086" + national, f"+86-{national[:3]}-{national[3:7]}-{national[7:]}"]
    forms = [e164, "0" + national, "0086" + national, "86" + national, "+860" + national]
    if area_code and national.startswith(area_code.removeprefix("0")):
        forms += [national.removeprefix(area_code.removeprefix("0")), f"{area_code}-{national.removeprefix(area_code.removeprefix('0'))}"]
    return forms


@dataclass(slots=True)
class Dialog:
    """One call leg: who with whom, and the numbers that must stay the same through it.

    `display` is bytes: some Chinese systems put GBK there, which is not UTF-8.
    """

    caller: str
    called: str
    source: Address
    target: Address
    random: random.Random
    display: bytes = b""
    asserted: str = ""
    extra: tuple[str, ...] = ()
    call_id: str = ""
    from_tag: str = ""
    to_tag: str = ""
    branch: str = ""
    sequence: int = 0
    answered: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.sequence = self.sequence or self.random.randint(1, 30_000)
        self.call_id = self.call_id or f"{self.random.getrandbits(64):016x}@{self.source[0]}"
        self.from_tag = self.from_tag or f"{self.random.getrandbits(40):010x}"
        self.to_tag = self.to_tag or f"{self.random.getrandbits(40):010x}"
        self.branch = self.branch or f"z9hG4bK{self.random.getrandbits(48):012x}"

    def request(self, method: str, *, sdp: bool = False, tagged: bool = False, by_called: bool = False, headers: tuple[str, ...] = ()) -> bytes:
        """One request. `tagged`: inside the dialog; `by_called`: the called side sends it (From and To change places); `headers`: whole lines."""
        sender, receiver = (self.target, self.source) if by_called else (self.source, self.target)
        near = self._from_header() if not by_called else self._to_header(tagged=True)
        far = self._to_header(tagged=tagged) if not by_called else self._from_header()
        if method == "BYE" or (method == "ACK" and self.answered):  # transactions of their own (RFC 3261, 17.1.1.3)
            branch = f"z9hG4bK{self.random.getrandbits(48):012x}"
        else:
            branch = self.branch
        if method == "BYE":
            self.branch = branch
        number = self.sequence + (1 if method == "BYE" else 0)
        user = self.called if not by_called else self.caller
        uri = f"sip:{user.replace('anonymous', 'trunk')}@{receiver[0]}:{receiver[1]}"
        lines = [
            f"{method} {uri} SIP/2.0".encode(),
            f"Via: SIP/2.0/UDP {sender[0]}:{sender[1]};branch={branch};rport".encode(),
            b"Max-Forwards: 70",
            b"From: " + near,
            b"To: " + far,
            f"Call-ID: {self.call_id}".encode(),
            f"CSeq: {number} {method}".encode(),
            f"Contact: <sip:{self.caller if not by_called else self.called}@{sender[0]}:{sender[1]}>".encode(),
        ]
        lines += [line.encode() for line in headers]
        if self.asserted and method == "INVITE":
            lines.append(f"P-Asserted-Identity: <sip:{self.asserted}@{sender[0]}>".encode())
        if method == "INVITE":
            lines += [line.encode() for line in self.extra]
            lines += [b"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS", b"User-Agent: Hotline PBX (simulated)"]
        return self._finish(lines, sender[0] if sdp else None)

    def next_request(self) -> None:
        """The next request inside the dialog is a new transaction: next CSeq, new branch."""
        self.sequence += 1
        self.branch = f"z9hG4bK{self.random.getrandbits(48):012x}"

    def response(self, code: int, method: str = "INVITE", *, sdp: bool = False, by_caller: bool = False) -> bytes:
        """One answer to the request `method` of this dialog; `by_caller` when the caller answers (a BYE of the called side)."""
        number = self.sequence + (1 if method == "BYE" else 0)
        self.answered = self.answered or (method == "INVITE" and 200 <= code < 300)
        sender = self.target if not by_caller else self.source
        asker = self.source if not by_caller else self.target
        near = self._from_header() if not by_caller else self._to_header(tagged=True)
        far = self._to_header(tagged=code > 100) if not by_caller else self._from_header()
        lines = [
            f"SIP/2.0 {code} {REASONS.get(code, 'Status')}".encode(),
            f"Via: SIP/2.0/UDP {asker[0]}:{asker[1]};branch={self.branch};rport={asker[1]}".encode(),
            b"From: " + near,
            b"To: " + far,
            f"Call-ID: {self.call_id}".encode(),
            f"CSeq: {number} {method}".encode(),
        ]
        if 180 <= code < 300:
            lines.append(f"Contact: <sip:{self.called}@{sender[0]}:{sender[1]}>".encode())
        return self._finish(lines, sender[0] if sdp else None)

    def _from_header(self) -> bytes:
        host = "anonymous.invalid" if self.caller == "anonymous" else self.source[0]
        name = b'"' + self.display + b'" ' if self.display else b""
        return name + f"<sip:{self.caller}@{host}>;tag={self.from_tag}".encode()

    def _to_header(self, *, tagged: bool) -> bytes:
        return f"<sip:{self.called}@{self.target[0]}>{f';tag={self.to_tag}' if tagged else ''}".encode()

    def _finish(self, lines: list[bytes], media_host: str | None) -> bytes:
        body = b""
        if media_host is not None:
            body = SDP.format(session=self.random.randint(10**6, 10**9), host=media_host, port=self.random.randrange(10_000, 20_000, 2)).encode()
            lines.append(b"Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body)}".encode())
        return b"\r\n".join(lines) + b"\r\n\r\n" + body
