"""Who is to be looked at when: a hundred thousand names, each with one time that nearly always moves later."""

import heapq
from datetime import datetime, timedelta

LOOKS = 1000  # entries of the heap looked at in one go, 3 ms: after a start all of them come up at one moment, and nearly all have moved later


class DueTimes:
    """Moving a time later is one write to a dict; the heap learns of it when the earlier time comes up."""

    def __init__(self) -> None:
        self._due: dict[str, datetime] = {}
        self._heap: list[tuple[datetime, str]] = []
        self._queued: dict[str, datetime] = {}  # the earliest time at which the heap will bring up a name

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, name: str) -> bool:
        return name in self._due

    def get(self, name: str) -> datetime | None:
        """When it is due; None: never."""
        return self._due.get(name)

    def put(self, name: str, at: datetime) -> None:
        """It is due then, and not when it was due before."""
        self._due[name] = at
        queued = self._queued.get(name)
        if queued is None or at < queued:
            self._queued[name] = at
            heapq.heappush(self._heap, (at, name))

    def drop(self, name: str) -> None:
        """It is never due."""
        self._due.pop(name, None)

    def next(self) -> datetime | None:
        """No name is due before this; None: nothing is waited for."""
        return self._heap[0][0] if self._heap else None

    def take(self, now: datetime, most: int) -> list[str]:
        """At most so many names whose time has come, earliest first. They are waited for no more. While `next` is past, there may be others."""
        taken: list[str] = []
        looks = LOOKS
        while looks and self._heap and self._heap[0][0] <= now and len(taken) < most:
            looks -= 1
            at, name = heapq.heappop(self._heap)
            if self._queued.get(name) != at:
                continue  # a later entry of the same name, left over from before it moved nearer
            del self._queued[name]
            due = self._due.get(name)
            if due is None:
                continue
            if due <= now:
                del self._due[name]
                taken.append(name)
            else:
                self._queued[name] = due
                heapq.heappush(self._heap, (due, name))
        return taken

    def shift(self, by: timedelta) -> None:
        """The wall clock stepped: every time moves with it."""
        self._due = {name: at + by for name, at in self._due.items()}
        self._queued = dict(self._due)
        self._heap = [(at, name) for name, at in self._due.items()]
        heapq.heapify(self._heap)
