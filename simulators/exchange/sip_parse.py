"""SIP messages as they arrive, read just far enough to answer a well-behaved peer such as SIPp (RFC 3261)."""

import re
from dataclasses import dataclass

COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length", "c": "content-type", "k": "supported"}
MAX_MESSAGE = 65_536
URI = re.compile(r"(?:sip|tel):([^@;>\s]+)(?:@([^;>\s:]+)(?::(\d+))?)?")


@dataclass(frozen=True, slots=True)
class Message:
    """One message. start: its three words; headers: (lower-case name, value) in wire order; text keeps odd octets as surrogates."""

    start: tuple[str, str, str]
    headers: tuple[tuple[str, str], ...]
    body: bytes
    raw: bytes

    @property
    def code(self) -> int:
        """Of a response; 0: a request."""
        return int(self.start[1]) if self.start[0] == "SIP/2.0" else 0

    @property
    def method(self) -> str:
        """Of a request, or of the request that a response answers."""
        return self.get("cseq").partition(" ")[2].strip() if self.code else self.start[0]

    @property
    def sequence(self) -> int:
        digits = self.get("cseq").partition(" ")[0]
        return int(digits) if digits.isdigit() else 0

    @property
    def call_id(self) -> str:
        return self.get("call-id")

    @property
    def branch(self) -> str:
        return parameter(self.get("via"), "branch")

    def get(self, name: str) -> str:
        """The first header of that name, "" when there is none."""
        return next((value for key, value in self.headers if key == name), "")

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


def parse(data: bytes) -> Message | None:
    """One whole message; None when it is none."""
    head, _, body = data.partition(b"\r\n\r\n")
    lines = re.sub(rb"\r\n[ \t]+", b" ", head).decode("utf-8", "surrogateescape").split("\r\n")
    words = lines[0].split(" ", 2)
    if len(words) < 3 or (not (words[0] == "SIP/2.0" and words[1].isdigit()) and words[2] != "SIP/2.0"):
        return None
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            key = name.strip().lower()
            headers.append((COMPACT.get(key, key), value.strip()))
    return Message((words[0], words[1], words[2]), tuple(headers), body, data)


def whole_message(buffer: bytearray) -> bytes | None:
    """Take one message off a stream's buffer: header block and Content-Length octets. ValueError: too long."""
    while buffer[:2] == b"\r\n":  # keepalives
        del buffer[:2]
    end = buffer.find(b"\r\n\r\n")
    if end < 0 or len(buffer) > MAX_MESSAGE:
        if len(buffer) > MAX_MESSAGE:
            raise ValueError("SIP message too long")
        return None
    found = re.search(rb"\r\n(?:content-length|l)[ \t]*:[ \t]*(\d{1,6})", bytes(buffer[:end]), re.IGNORECASE)
    size = end + 4 + (int(found[1]) if found else 0)
    if len(buffer) < size:
        return None
    message = bytes(buffer[:size])
    del buffer[:size]
    return message


def parameter(value: str, name: str) -> str:
    """A `;name=…` behind a header value."""
    found = re.search(rf";\s*{name}=([^;,>\s]+)", value)
    return found[1] if found else ""


def user_of(value: str) -> str:
    """The user part of the first URI in a header or of a request line."""
    found = URI.search(value)
    return found[1] if found else ""


def display_of(value: str) -> str:
    """The display name in front of `<`."""
    return value.partition("<")[0].strip().strip('"') if "<" in value else ""
