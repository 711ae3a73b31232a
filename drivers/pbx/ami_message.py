"""Messages of the Asterisk Manager Interface: found in a stream of bytes, read into fields, and written without room for injection.

Wire: lines `Key: Value` ended by CRLF (LF alone is read too), an empty line after each message; before the first one a banner line.
Source: asterisk-ami, section 1; observed on Asterisk 22.10.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

from drivers.contract import Rejected
from drivers.sip.charset import read_text

MAX_MESSAGE = 64 * 1024  # the longest observed is a VarSet of some kilobytes; Asterisk's own line buffer for actions is 1 KiB
MAX_BANNER = 256
MAX_FIELDS = 512  # no event of Asterisk 22 has more than a hundred
MAX_KEPT = 4096  # octets of what could not be read that are kept for inspection
NOTHING = frozenset({"", "<unknown>", "unknown", "anonymous", "restricted", "unavailable", "private", "<null>", "(null)", "(none)"})

_END = re.compile(rb"\r?\n\r?\n")
_LINE = re.compile(rb"\r?\n")


class Message(msgspec.Struct, frozen=True):
    """kind: event or response; name: `Hangup`, `Success`; fields: the first value of each key; lists: all values of keys that repeat."""

    kind: str
    name: str
    fields: dict[str, str]
    lists: dict[str, list[str]]
    raw: bytes

    def __getitem__(self, key: str) -> str:
        """ "" when the key is absent."""
        return self.fields.get(key, "")

    def told(self, key: str) -> str:
        """The value, or "" when it is one of the words by which Asterisk says that there is none."""
        value = self.fields.get(key, "")
        return "" if value.lower() in NOTHING else value


class Framer:
    """Cuts the stream into messages. `banner`: the server's first line, None until it has come."""

    def __init__(self, wanted: frozenset[str] | None = None) -> None:
        """wanted: names of the events to read; others are counted in `skipped` and cost next to nothing. None: all."""
        self.banner: str | None = None
        self.skipped = 0
        self._wanted = None if wanted is None else frozenset(name.encode() for name in wanted)
        self._buffer = bytearray()
        self._seen = 0  # so far no end of a message was found
        self._is_skipping = False  # within a message that is too long

    def feed(self, data: bytes) -> list[Message | Rejected]:
        """Take any fragment; give what it completed, in order."""
        self._buffer += data
        found: list[Message | Rejected] = []
        if self.banner is None and not self._read_banner(found):
            return found
        start = 0
        while (end := _END.search(self._buffer, max(start, self._seen))) is not None:
            self._take(bytes(self._buffer[start : end.start()]), found)
            start = self._seen = end.end()
        del self._buffer[:start]
        self._seen = max(0, len(self._buffer) - 3)  # an end may be cut in the middle
        if len(self._buffer) > MAX_MESSAGE:
            if not self._is_skipping:
                found.append(Rejected(reason="too_long", raw=bytes(self._buffer[:MAX_KEPT])))
            self._is_skipping = True
            del self._buffer[:-3]
            self._seen = 0
        return found

    def _read_banner(self, found: list[Message | Rejected]) -> bool:
        """The first line, when it is no field. A recording may begin after it. False: wait for more."""
        line, end, _ = self._buffer.partition(b"\n")
        if not end and len(line) <= MAX_BANNER:
            return False
        if b": " in line or not line.strip():
            self.banner = ""
        else:
            self.banner = bytes(line[:MAX_BANNER]).decode("utf-8", "replace").strip()
            if b"call manager" not in line.lower():
                found.append(Rejected(reason="no_ami", raw=bytes(line[:MAX_KEPT])))
            del self._buffer[: len(line) + len(end)]
        return True

    def _take(self, raw: bytes, found: list[Message | Rejected]) -> None:
        if self._is_skipping:  # the rest of the one that was too long
            self._is_skipping = False
            return
        raw = raw.lstrip(b"\r\n")
        if not raw:
            return
        if len(raw) > MAX_MESSAGE:
            found.append(Rejected(reason="too_long", raw=raw[:MAX_KEPT]))
            return
        if self._wanted is not None and raw[:7].lower() == b"event: ":
            end = raw.find(b"\n")
            if raw[7 : end if end >= 0 else None].strip() not in self._wanted:
                self.skipped += 1
                return
        message = read_message(raw)
        found.append(message if message is not None else Rejected(reason="unparsable", raw=raw[:MAX_KEPT]))


def read_message(raw: bytes) -> Message | None:
    """One message without its end. None: its first line is neither `Event:` nor `Response:` nor (in recordings) `Action:`."""
    fields: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    for line in _LINE.split(raw)[:MAX_FIELDS]:
        name, colon, rest = line.partition(b":")
        if not colon:
            continue  # a value with a line end in it: the rest of it is nobody's
        key, value = name.decode("ascii", "replace").strip(), read_text(rest.removeprefix(b" "))
        if key not in fields:
            fields[key] = value
        else:
            lists.setdefault(key, [fields[key]]).append(value)
    first = next(iter(fields), "")
    kind = first.lower()
    if kind not in ("event", "response", "action"):
        return None
    return Message(kind, fields[first].strip(), fields, lists, raw)


def write_action(name: str, fields: Mapping[str, str] | Iterable[tuple[str, str]]) -> bytes:
    """An action ready to be sent. A line end in a value raises ValueError: it would begin a field, or an action, of somebody else's."""
    pairs = [("Action", name), *(fields.items() if isinstance(fields, Mapping) else fields)]
    for key, value in pairs:
        if any(char in "\r\n\0" for char in key + value):
            raise ValueError(f"{key}: has a line end in it")
    return ("".join(f"{key}: {value}\r\n" for key, value in pairs) + "\r\n").encode()
