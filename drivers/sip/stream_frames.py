"""Cuts a TCP or TLS byte stream into SIP messages (RFC 3261, 18.3; keepalives of RFC 5626, 4.4.1). No socket, no clock."""

import re

import msgspec

from drivers.sip.message import MAX_BODY, MAX_HEAD, MAX_HEADER_LINES

MESSAGE_S = 5.0  # sip-ua.md, section 1: from its first octet to its last
FIRST_S = 60.0  # ... and before the first message of a connection; afterwards a device may be silent for days
_LENGTH = re.compile(rb"\r\n(?:content-length|l)[ \t]*:[ \t\r\n]*([^\r\n]*)", re.IGNORECASE)
_DIGITS = re.compile(rb"[0-9]{1,16}")
_END = b"\r\n\r\n"


class Frame(msgspec.Struct, frozen=True):
    """One message. too_long: only its head; the body was never read, and the connection must be closed after the answer."""

    data: bytes
    too_long: bool = False


class StreamFrames:
    """One connection. fault: why it must be closed ("" = go on), a lower_snake word. pings: keepalives to be answered with one CRLF each."""

    def __init__(self, now: float, max_body: int = MAX_BODY) -> None:
        self._buffer = bytearray()
        self._searched = 0  # octets in which the head does not end
        self._wanted: int | None = None  # size of the message in the buffer, once its head is there
        self._max_body = max_body
        self._first_deadline: float | None = now + FIRST_S
        self._message_deadline: float | None = None
        self.fault = ""
        self.pings = 0

    def receive_data(self, data: bytes, now: float) -> list[Frame]:
        """Any fragment; the messages that it completed, in order."""
        found: list[Frame] = []
        self._buffer += data
        while not self.fault:
            if self._wanted is None:
                self._skip_blank()
                if not self._buffer or self._buffer[0] in b"\r\n":
                    self._message_deadline = None
                    break
                if self._message_deadline is None:
                    self._message_deadline = now + MESSAGE_S
                self._find_head(found)
            if self._wanted is None or len(self._buffer) < self._wanted:
                break
            found.append(Frame(bytes(self._buffer[: self._wanted])))
            del self._buffer[: self._wanted]
            self._wanted, self._searched = None, 0
            self._first_deadline = self._message_deadline = None
        return found

    def deadline(self) -> float | None:
        """When this connection has been waited for long enough."""
        waiting = [one for one in (self._first_deadline, self._message_deadline) if one is not None]
        return min(waiting) if waiting and not self.fault else None

    def handle_deadline(self, now: float) -> None:
        """Sets the fault when the time has come."""
        deadline = self.deadline()
        if deadline is not None and now >= deadline:
            self.fault = "slow_message" if self._message_deadline is not None else "silent"

    def _skip_blank(self) -> None:
        """CRLFCRLF is a ping; single line ends and NULs between messages mean nothing."""
        at = 0
        buffer = self._buffer
        while at < len(buffer) and buffer[at] in b"\r\n\0":
            if buffer[at : at + 4] == _END:
                self.pings += 1
                at += 4
            elif _END.startswith(bytes(buffer[at : at + 4])):  # the rest of a ping may follow
                break
            else:
                at += 1
        del buffer[:at]

    def _find_head(self, found: list[Frame]) -> None:
        end = self._buffer.find(_END, max(0, self._searched - 3), MAX_HEAD + 4)
        self._searched = len(self._buffer)
        if end < 0:
            self.fault = "too_long" if len(self._buffer) > MAX_HEAD else ""
            return
        head = bytes(self._buffer[: end + 2])
        lengths = {value.strip() for value in _LENGTH.findall(head)}
        if head.count(b"\r\n") > MAX_HEADER_LINES + 1:
            self.fault = "too_many_headers"
        elif len(lengths) != 1:
            self.fault = "two_content_lengths" if lengths else "no_content_length"
        elif not _DIGITS.fullmatch(length := lengths.pop()):
            self.fault = "bad_content_length"
        elif int(length) > self._max_body:
            self.fault = "body_too_long"
            found.append(Frame(head + b"\r\n", too_long=True))
        else:
            self._wanted = end + 4 + int(length)
