"""A bounded memory of identities, for messages that bring none of their own: the same message within a window is the same."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

# What 5,000 messages a second can say in 2 s (the window of plain messages); the oldest go first: a cry too many, never one too few.
MAX_REMEMBERED = 10_000
# What a sender marks as delivered again was sent before the connection went, or we were killed: minutes ago. A longer reach would take a press
# whose first delivery never reached us for the one of yesterday.
REDELIVERED_S = 600.0


class _Seen(NamedTuple):
    key: str
    at: float  # seconds since 1970


class RecentKeys:
    """Gives the same key to the same message within its window, or when the sender says that it delivers again.

    The key is `message@MS`, MS being when its window began: what the journal remembers of it brings the window back after a restart.
    """

    def __init__(self, most: int = MAX_REMEMBERED) -> None:
        self._most = most
        self._seen: dict[str, _Seen] = {}

    def key(self, message: str, window_s: float, at: datetime, *, dup: bool = False) -> str:
        """The key of an equal message heard at most `window_s` (with `dup`: REDELIVERED_S) before `at`, else a fresh one.

        The window begins with the first and is not moved.
        """
        now = at.timestamp()
        seen = self._seen.get(message)
        if seen is not None and (0 <= now - seen.at <= window_s or (dup and abs(now - seen.at) <= REDELIVERED_S)):
            return seen.key
        return self._remember(message, now).key

    def restore(self, keys: Iterable[str]) -> None:
        """Take up keys given before a restart, oldest first; what is no such key is left alone."""
        for key in keys:
            message, at, ms = key.rpartition("@")
            if at and ms.isascii() and ms.isdigit() and len(ms) < 16:
                self._remember(message, int(ms) / 1000)

    def _remember(self, message: str, at: float) -> _Seen:
        self._seen.pop(message, None)  # so that it becomes the youngest
        if len(self._seen) >= self._most:
            del self._seen[next(iter(self._seen))]
        seen = _Seen(f"{message}@{int(at * 1000)}", at)
        self._seen[message] = seen
        return seen
