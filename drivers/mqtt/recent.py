"""A bounded memory of identities, for messages that bring none of their own."""

from typing import NamedTuple

# What 5,000 messages a second can say in 2 s (the window of plain messages); the oldest go first: a cry too many, never one too few.
MAX_REMEMBERED = 10_000


class _Seen(NamedTuple):
    key: str
    at: float


class RecentKeys:
    """Gives the same key to the same message within its window, or when the broker says that it delivers again (DUP)."""

    def __init__(self, most: int = MAX_REMEMBERED) -> None:
        self._most = most
        self._seen: dict[str, _Seen] = {}

    def key(self, message: str, fresh: str, window_s: float, dup: bool, now: float) -> str:
        """The key of an equal message seen less than `window_s` before `now`, else `fresh`. The window begins with the first and is not moved."""
        seen = self._seen.get(message)
        if seen is not None and (dup or now - seen.at <= window_s):
            return seen.key
        self._seen.pop(message, None)  # so that it becomes the youngest
        if len(self._seen) >= self._most:
            del self._seen[next(iter(self._seen))]
        self._seen[message] = _Seen(fresh, now)
        return fresh
