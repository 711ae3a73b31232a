"""What became of one probe, and what is kept of those before: the last, the misses in a row, and a day's times."""

from collections import Counter, deque
from datetime import datetime

import msgspec

from gateway.clock import monotonic

CONNECT, RECEIPT, BUS, COMMITTED, STATION = STAGES = ("connect", "receipt", "bus", "committed", "station")  # bus: of several machines

# What is missing, one word each; the page and the command have the sentence.
NO_CONNECTION = "no_connection"  # the far end could not be reached
NOT_TAKEN = "not_taken"  # nobody took it: no receipt, and it was never seen
NOT_SEEN = "not_seen"  # taken on the way (by the broker, or nothing ever answers); the gateway never saw it
REFUSED = "refused"  # the gateway read it and refused it
NOT_KEPT = "not_kept"  # … and the bus did not keep it
NOT_COMMITTED = "not_committed"  # … and could not store it; of several machines: its shard did not
NO_RECEIPT = "no_receipt"  # it is on disk, and the device never heard so
NOT_AT_STATION = "not_at_station"  # … and the test order did not reach the test station
LINE_DOWN = "line_down"  # of a path: its connection does not stand
NOT_MARKED = "not_marked"  # the register gives the test device to a person: nothing is sent any more
FAULT = "fault"  # our own
MISSING = (NO_CONNECTION, NOT_TAKEN, NOT_SEEN, REFUSED, NOT_KEPT, NOT_COMMITTED, NO_RECEIPT, NOT_AT_STATION, LINE_DOWN, NOT_MARKED, FAULT)

KEPT = 1440  # results by which the shares are reckoned: a day of one a minute


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One probe. stages: seconds since its first byte left (connect: what came before); missing: "" = seen back; detail: what the system said."""

    at: datetime
    stages: dict[str, float] = {}
    missing: str = ""
    detail: str = ""

    @property
    def seconds(self) -> float | None:
        """When it was seen back as a whole."""
        if self.missing:
            return None
        return max((self.stages[stage] for stage in (RECEIPT, COMMITTED, STATION) if stage in self.stages), default=None)


class History:
    """Of one point, since the start."""

    def __init__(self) -> None:
        self.last: Result | None = None
        self.since: datetime | None = None  # seen back without a miss, or missed without interruption
        self.in_a_row = 0  # misses
        self.added: float | None = None  # monotonic; when the last one came
        self.sent = 0
        self.missed: Counter[str] = Counter()
        self.today: Counter[str] = Counter()  # "" = seen back; since the last summary
        self._times: deque[float] = deque(maxlen=KEPT)

    def add(self, result: Result) -> None:
        """One more."""
        was_missed = self.last is not None and bool(self.last.missing)
        if self.last is None or was_missed != bool(result.missing):
            self.since = result.at
        self.last = result
        self.added = monotonic()
        self.sent += 1
        self.today[result.missing] += 1
        if result.missing:
            self.in_a_row += 1
            self.missed[result.missing] += 1
            return
        self.in_a_row = 0
        if result.seconds is not None:
            self._times.append(result.seconds)

    def share(self, part: float) -> float | None:
        """Within so many seconds so large a part of the kept ones was seen back."""
        if not self._times:
            return None
        ordered = sorted(self._times)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
