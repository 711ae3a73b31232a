"""The calls that an ESPA 4.4.4 line remembers: which are open, how they stand, and which station brought them.

All connections of a line share one book, so that a terminal server which dials anew finds its calls as they were.
"""

from collections.abc import Iterable
from typing import Any

from drivers.contract import Before
from drivers.panel.espa_block import RECORDS
from gateway.event import Kind, Phase

MAX_OPEN_CALLS = 1000  # a building has fewer rooms; the oldest is forgotten, and its repeat is then a new raise
CALLS = ("header_1", "header_4")  # to a pager, to a subscriber line: kind_raw of what raises, repeats or cancels a call
PAGED, TERMINATED, ACKNOWLEDGED = "3", "5", "6"  # record 7, call status

Call = tuple[str, str]
"""(call address, text)"""


class CallBook:
    """Open calls by (address, text); for each address how its last call stands and who brought it."""

    def __init__(self) -> None:
        self._open: dict[Call, tuple[Kind, float]] = {}  # kind, when heard last (monotonic seconds)
        self._status: dict[str, str] = {}
        self._brought_by: dict[str, int] = {}

    def restore(self, before: Iterable[Before]) -> None:
        """Take up the calls of before a restart: one that is repeated is no new one, and a cancel finds its call."""
        for at, event in before:
            if event.kind_raw in CALLS:
                self.keep((event.device or "", str(event.detail.get(RECORDS["2"], ""))), event.kind, event.phase, None, at)

    def heard(self, call: Call, *, is_cancel: bool) -> tuple[Kind, float] | None:
        """The open call that this one repeats; of a cancel the one it means: same address, and same text if it has one."""
        if not is_cancel:
            return self._open.get(call)
        return next((heard for key, heard in reversed(self._open.items()) if _cancels(call, key)), None)

    def keep(self, call: Call, kind: Kind, phase: Phase, brought_by: int | None, now: float) -> None:
        """A call is on disk. `brought_by`: the address digit of the station, if known."""
        address = call[0]
        if phase is Phase.CLEAR:
            self._open = {key: heard for key, heard in self._open.items() if not _cancels(call, key)}
        else:
            self._open.pop(call, None)
            _add(self._open, call, (kind, now))
        if phase is not Phase.REPEAT:  # a repeat does not undo that somebody has taken the call
            self.stands(address, TERMINATED if phase is Phase.CLEAR else PAGED)
        if brought_by is not None:
            self._brought_by.pop(address, None)
            _add(self._brought_by, address, brought_by)

    def stands(self, address: str, status: str) -> None:
        """How the last call of this address stands (record 7)."""
        self._status.pop(address, None)
        _add(self._status, address, status)

    def status(self, address: str) -> str:
        """An address that never called has no call: terminated."""
        return self._status.get(address, TERMINATED)

    def knows(self, address: str) -> bool:
        """Has this address called?"""
        return address in self._status

    def brought_by(self, address: str) -> int | None:
        return self._brought_by.get(address)


def _cancels(cancel: Call, call: Call) -> bool:
    return cancel[0] == call[0] and cancel[1] in ("", call[1])


def _add(table: dict[Any, Any], key: object, value: object) -> None:
    table[key] = value
    if len(table) > MAX_OPEN_CALLS:
        del table[next(iter(table))]
