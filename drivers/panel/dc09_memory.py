"""What all connections of one DC-09 line remember together: accounts, refusals in a row, and which notices people have had."""

from datetime import datetime
from typing import Any

from drivers.panel.accounts import Accounts

NOTICE_S = 600.0  # one account is told about for one reason at most so often: devices repeat every 5 to 60 s
MAX_NOTICES = 20  # … and so many of a line in that time: whoever invents accounts must not fill the desk
NAKS_IN_A_ROW = 3  # a device whose clock has been set comes back right; one that does not has another trouble, or is a replay
MAX_REMEMBERED = 4096  # accounts in trouble at once; the oldest is forgotten


class Dc09Memory:
    """Bounded, and lost with the process: after a restart a notice may be told once more."""

    def __init__(self, accounts: Accounts | None = None, stamp: tuple[int, int] = (0, 0)) -> None:
        self.accounts = accounts or {}
        self.stamp = stamp  # of their file, as it was read
        self._changed: dict[str, bytes] = {}  # account → the next key, which it speaks with by now
        self._told: dict[tuple[str, str], float] = {}
        self._naks: dict[str, int] = {}

    def has_changed(self, account: str, key_next: bytes | None) -> bool:
        """Has it spoken with its next key?"""
        return key_next is not None and self._changed.get(account) == key_next

    def change(self, account: str, key_next: bytes) -> None:
        """From now on it speaks with its next key. (Lost with the process; the first message after it tells again.)"""
        self._changed.pop(account, None)
        self._changed[account] = key_next
        _forget_oldest(self._changed)

    def may_tell(self, account: str, reason: str, at: datetime) -> bool:
        """May people be told this now? True counts as told."""
        now = at.timestamp()
        told = self._told.get((account, reason))
        if told is not None and 0 <= now - told < NOTICE_S:
            return False
        recent = sum(1 for before in self._told.values() if 0 <= now - before < NOTICE_S)
        if recent >= MAX_NOTICES:
            return False
        self._told.pop((account, reason), None)
        self._told[account, reason] = now
        _forget_oldest(self._told)
        return True

    def not_told(self, account: str, reason: str) -> None:
        """It could not be stored: the next time it may be told again."""
        self._told.pop((account, reason), None)

    def refused_for_time(self, account: str) -> int:
        """How often in a row now, this time included."""
        count = self._naks.pop(account, 0) + 1
        self._naks[account] = count
        _forget_oldest(self._naks)
        return count

    def came_in_time(self, account: str) -> None:
        self._naks.pop(account, None)


def _forget_oldest(table: dict[Any, Any]) -> None:
    while len(table) > MAX_REMEMBERED:
        del table[next(iter(table))]
