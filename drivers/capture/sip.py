"""What of a payload is SIP: start lines, and whole messages out of a TCP direction by Content-Length (RFC 3261, 18.3)."""

import re
from collections import Counter

# Only what has a start line leaves. A method is a token of RFC 3261, 25.1; the longest of RFC 4475 has 41, real ones 3 to 9.
_START = rb"(?:[A-Za-z0-9\-.!%*_+`'~]{1,64} [^\r\n ]{1,2048} (?i:SIP)/2\.0|(?i:SIP)/2\.0 [1-6]\d\d[^\r\n]{0,512})"
_START_LINE = re.compile(_START + rb"\r?\n")
# In a stream only a start line with a header behind it: bodies of NOTIFY hold bare status lines (message/sipfrag).
_MESSAGE = re.compile(_START + rb"\r\n[A-Za-z][A-Za-z0-9\-]*[ \t]*:")
_RESUME = re.compile(rb"(?:\A\n?|\r\n)(?=" + _MESSAGE.pattern + rb")")
_LENGTH = re.compile(rb"\r\n(?:content-length|l)[ \t]*:[ \t]*(\d{1,7})[ \t]*(?=\r\n|\Z)", re.IGNORECASE)
_BLANK = b"\r\n\0 \t"

MAX_HEAD = 64 * 1024  # as in the gateway's own parser
MAX_MESSAGE = 256 * 1024  # far more than HEP can carry (64 KiB): longer is no SIP of a telephone
MAX_START_LINE = 4096


def is_sip(payload: bytes) -> bool:
    """Does a datagram begin with a SIP start line? Keep-alives and media do not."""
    if payload[:1] in (b"\r", b"\n", b"\0"):
        payload = payload.lstrip(b"\r\n\0")
    return payload[:8] == b"SIP/2.0 " or _START_LINE.match(payload) is not None


class SipStream:
    """Messages of one TCP direction. counts: sip_resynchronised (bytes were skipped to the next start line)."""

    __slots__ = ("_buffer", "_counts", "_is_lost")

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._buffer = b""
        self._is_lost = False

    @property
    def waiting(self) -> int:
        """Octets of a message that is not whole yet."""
        return len(self._buffer)

    def take(self, data: bytes, gap: bool) -> list[bytes]:
        """Messages that are now whole. After a gap: what was there of a message whose headers are whole (its body is cut), then the next."""
        found = []
        if gap:
            if not self._is_lost and b"\r\n\r\n" in self._buffer and _MESSAGE.match(self._buffer):
                found.append(self._buffer)
            self._buffer, self._is_lost = b"", True
        self._buffer += data
        while (message := self._next()) is not None:
            found.append(message)
        return found

    def _next(self) -> bytes | None:
        while not self._is_lost or self._resume():
            self._buffer = self._buffer.lstrip(_BLANK)
            buffer = self._buffer
            end = buffer.find(b"\r\n\r\n", 0, MAX_HEAD)
            if end < 0:
                if not self._is_hopeless():
                    return None
            elif _START_LINE.match(buffer):
                length = _LENGTH.search(buffer, 0, end)
                size = end + 4 + (int(length[1]) if length else 0)
                if size <= len(buffer):
                    self._buffer = buffer[size:]
                    return buffer[:size]
                if size <= MAX_MESSAGE:
                    return None
            # this is no message: look for the next start line, not at the same place again
            self._buffer, self._is_lost = buffer[1:], True
            self._counts["sip_resynchronised"] += 1
        return None

    def _is_hopeless(self) -> bool:
        """There is no end of headers: can what is there still become a message?"""
        first = self._buffer.find(b"\r\n", 0, MAX_START_LINE)
        if first < 0:
            return len(self._buffer) >= MAX_START_LINE
        return len(self._buffer) >= MAX_HEAD or not _START_LINE.match(self._buffer)

    def _resume(self) -> bool:
        found = _RESUME.search(self._buffer)
        if found is None:
            # a start line may have come in part: it stands behind the last line end but one, and its header behind the last
            keep = self._buffer.rfind(b"\r\n", 0, max(self._buffer.rfind(b"\r\n"), 0))
            self._buffer = self._buffer[max(keep, len(self._buffer) - MAX_START_LINE, 0) :]
            return False
        self._buffer = self._buffer[found.end() :]
        self._is_lost = False
        return True
