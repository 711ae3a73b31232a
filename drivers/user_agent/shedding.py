"""How much one source may ask: a token bucket each, of which half is kept for alarms."""

from collections import OrderedDict

from drivers.token_bucket import MAX_SOURCES, TokenBuckets

BURST_S = 2.0  # so many seconds' worth may come at once: a site whose power is back
CALM_S = 60.0  # nothing refused for so long: it is over


class Shedding:
    """admits() for each new request; `edges` says since when a source is over its limit, and when it is calm again."""

    def __init__(self, per_s: float) -> None:
        burst = max(2.0, per_s * BURST_S)
        self._kept_for_alarms = burst / 2
        self._buckets = TokenBuckets(per_s, burst)
        self._excessive: OrderedDict[str, float] = OrderedDict()  # source → when it was last refused, in that order
        self._edges: list[tuple[str, bool]] = []

    def admits(self, source: str, is_alarm: bool, now: float) -> bool:
        """Alarms may use the whole bucket; everything else only its upper half."""
        is_admitted = self._buckets.admits(source, now, keep=0.0 if is_alarm else self._kept_for_alarms)
        if not is_admitted:
            if source not in self._excessive:
                self._edges.append((source, True))
            self._excessive[source] = now
            self._excessive.move_to_end(source)
            if len(self._excessive) > MAX_SOURCES:
                self._edges.append((self._excessive.popitem(last=False)[0], False))
        return is_admitted

    def edges(self) -> list[tuple[str, bool]]:
        """Drain (source, True: it began, False: it is over)."""
        edges, self._edges = self._edges, []
        return edges

    def deadline(self) -> float | None:
        return next(iter(self._excessive.values())) + CALM_S if self._excessive else None

    def handle_deadline(self, now: float) -> None:
        """Who was refused nothing for a while is calm."""
        while (deadline := self.deadline()) is not None and deadline <= now:
            self._edges.append((self._excessive.popitem(last=False)[0], False))
