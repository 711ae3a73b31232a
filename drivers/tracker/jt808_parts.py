"""Messages of JT/T 808 that come in sub-packages, put together again; bounded in number, size and time."""

import msgspec

from drivers.tracker.jt808_frame import Header, Message

MAX_PARTS = 64
MAX_OCTETS = 64 * 1024
MAX_OPEN = 4  # of one connection; a terminal sends one after the other
PARTS_S = 60.0


class Whole(msgspec.Struct, frozen=True):
    """All parts in order. raw: the frames, one after the other."""

    body: bytes
    raw: bytes


Key = tuple[bytes, int, int]
"""Of a message: identity, its id, serial of its first part."""


def _key(header: Header) -> Key:
    number = header.parts[1] if header.parts is not None else 1
    return header.identity, header.message, (header.serial - number + 1) & 0xFFFF


class Parts:
    """Unfinished messages: (identity, message, serial of the first part) → number → part."""

    def __init__(self) -> None:
        self._open: dict[Key, tuple[float, dict[int, Message]]] = {}
        self._whole: dict[Key, dict[int, Message]] = {}  # not kept yet: only the last part is unanswered, and only it would come again

    def take(self, message: Message, now: float) -> tuple[Whole | None, str]:
        """(the whole if this was the last one missing, why it cannot be taken)."""
        header = message.header
        total, number = header.parts or (0, 0)
        if not 1 <= number <= total <= MAX_PARTS:
            return None, "bad_parts"
        key = _key(header)
        if key not in self._open and len(self._open) >= MAX_OPEN:
            return None, "too_many_parts"
        until, parts = self._open.pop(key, (now + PARTS_S, {}))
        parts[number] = message
        if sum(len(part.body) for part in parts.values()) > MAX_OCTETS:
            return None, "too_long"
        if len(parts) == total:
            if len(self._whole) >= MAX_OPEN:
                del self._whole[next(iter(self._whole))]
            self._whole[key] = parts
            ordered = [parts[at] for at in sorted(parts)]
            return Whole(b"".join(part.body for part in ordered), b"".join(part.raw for part in ordered)), ""
        self._open[key] = (until, parts)
        return None, ""

    def is_waiting(self, header: Header) -> bool:
        """Is the message of this part complete, and nobody knows yet whether it is kept?"""
        return header.parts is not None and _key(header) in self._whole

    def kept(self, header: Header) -> None:
        """The message that this part completed is on disk."""
        if header.parts is not None:
            self._whole.pop(_key(header), None)

    def reopen(self, header: Header, now: float) -> None:
        """The message that this part completed could not be stored: the part comes again, those before it were answered and do not."""
        parts = self._whole.pop(_key(header), None) if header.parts is not None else None
        if parts is not None and header.parts is not None:
            self._open[_key(header)] = (now + PARTS_S, {number: part for number, part in parts.items() if number != header.parts[1]})

    def deadline(self) -> float | None:
        return min((until for until, _ in self._open.values()), default=None)

    def expire(self, now: float) -> list[bytes]:
        """The raw parts of each message whose rest has not come in time."""
        late = [key for key, (until, _) in self._open.items() if until <= now]
        return [b"".join(part.raw for part in self._open.pop(key)[1].values()) for key in late]
