"""The table of calls: bounded, found by dialog, with one timer each. Calls in progress are never given up for new ones."""

import heapq
from collections import Counter, OrderedDict
from collections.abc import Iterator

from drivers.calls.call import Call, Leg, Timer
from drivers.sip.message import Message

FINAL_S = 40.0  # stragglers of a final call: retransmissions end after 32 s
MAX_STALE = 1_024  # timer entries, beside two for each call, that mean nothing any more: a call that is over must not stay in memory for them


class NoRoom(Exception):
    """A new call was not taken. `reason`: table_full, too_many_calls (of one source at a time), flood (of one source a second), or
    too_long for identifiers nobody uses."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CallTable:
    """Calls by key, legs by (Call-ID, From tag). `now` is whatever clock the caller counts in."""

    def __init__(self, max_calls: int, max_calls_per_source: int) -> None:
        self._max_calls = max_calls
        self._max_calls_per_source = max_calls_per_source
        self._calls: dict[str, Call] = {}
        self._legs: dict[tuple[str, str], Leg] = {}
        self._call_ids: Counter[str] = Counter()  # of the legs
        self._finals: OrderedDict[str, None] = OrderedDict()
        self._live_from: Counter[str] = Counter()
        self._timers: list[tuple[float, int, Call]] = []
        self._timer_count = 0

    def __len__(self) -> int:
        """Calls in progress."""
        return len(self._calls) - len(self._finals)

    def __contains__(self, key: str) -> bool:
        return key in self._calls

    def find(self, message: Message) -> tuple[Leg | None, bool]:
        """(leg, was it sent by the callee?): in-dialog requests of the callee have the tags the other way round."""
        leg = self._legs.get((message.call_id, message.from_tag))
        if leg is not None or not message.to_tag:
            return leg, False
        leg = self._legs.get((message.call_id, message.to_tag))
        return leg, leg is not None

    def leg(self, call_id: str, from_tag: str) -> Leg | None:
        return self._legs.get((call_id, from_tag))

    def knows(self, call_id: str) -> bool:
        """Is there a leg of this Call-ID?"""
        return call_id in self._call_ids

    def is_full_for(self, host: str) -> bool:
        return self._live_from[host] >= self._max_calls_per_source

    def admit(self, host: str) -> None:
        """Room for one more? Finals are given up first; a flood from one source finds its own limit. Raises NoRoom."""
        if self.is_full_for(host):
            raise NoRoom("too_many_calls")
        if len(self._calls) >= self._max_calls:
            if not self._finals:
                raise NoRoom("table_full")
            self.forget(self._calls[next(iter(self._finals))])

    def keep(self, call: Call, host: str) -> None:
        """Take it up. `host`: who is charged for it."""
        call.source_host = host
        self._live_from[host] += 1
        self._calls[call.key] = call

    def keep_leg(self, leg: Leg) -> None:
        key = (leg.call_id, leg.from_tag)
        if key not in self._legs:
            self._call_ids[leg.call_id] += 1
        self._legs[key] = leg

    def finish(self, call: Call, now: float) -> None:
        """It is final: kept a little for stragglers, and first to go when room is needed."""
        self._live_from[call.source_host] -= 1
        if self._live_from[call.source_host] <= 0:
            del self._live_from[call.source_host]
        self._finals[call.key] = None
        self.wait(call, Timer.FORGET, now + FINAL_S)

    def forget(self, call: Call) -> None:
        self._calls.pop(call.key, None)
        self._finals.pop(call.key, None)
        for leg in call.legs:
            if self._legs.get((leg.call_id, leg.from_tag)) is leg:
                del self._legs[(leg.call_id, leg.from_tag)]
                self._call_ids[leg.call_id] -= 1
                if not self._call_ids[leg.call_id]:
                    del self._call_ids[leg.call_id]

    def wait(self, call: Call, timer: Timer, until: float) -> None:
        """Set the call's one timer."""
        call.timer = timer
        call.deadline = until
        if until < call.scheduled:
            self._schedule(call)

    def deadline(self) -> float | None:
        """When the earliest timer ends; never later than that, sometimes earlier (a call has meanwhile moved on)."""
        return self._timers[0][0] if self._timers else None

    def due(self, now: float) -> Iterator[Call]:
        """Calls whose timer has ended by now."""
        while self._timers and self._timers[0][0] <= now:
            scheduled, _, call = heapq.heappop(self._timers)
            if scheduled != call.scheduled:
                continue  # moved to an earlier time since
            call.scheduled = float("inf")
            if self._calls.get(call.key) is not call:
                continue
            if call.deadline > now:
                self._schedule(call)
            else:
                yield call

    def _schedule(self, call: Call) -> None:
        """One live entry a call: a later deadline is found out when the earlier entry comes up."""
        call.scheduled = call.deadline
        self._timer_count += 1
        heapq.heappush(self._timers, (call.deadline, self._timer_count, call))
        if len(self._timers) > 2 * len(self._calls) + MAX_STALE:
            self._timers = [entry for entry in self._timers if entry[0] == entry[2].scheduled and self._calls.get(entry[2].key) is entry[2]]
            heapq.heapify(self._timers)
