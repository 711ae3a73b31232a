"""Token buckets: how much one source may ask for, so that a flood from one costs another nothing."""

from collections import OrderedDict

MAX_SOURCES = 10_000  # beyond it the one that was quiet longest is forgotten: its bucket was full again anyway


class Bucket:
    """One source's. `per_s` tokens come back each second, up to `burst`; the level may fall below 0 only by `charge`."""

    __slots__ = ("_burst", "_level", "_since", "per_s")

    def __init__(self, per_s: float, burst: float) -> None:
        self.per_s = per_s
        self._burst = burst
        self._level = burst
        self._since: float | None = None

    def level(self, now: float) -> float:
        """How many tokens there are. `now` is whatever clock the caller counts in, seconds."""
        since = now if self._since is None else self._since
        self._level = min(self._burst, self._level + max(0.0, now - since) * self.per_s)
        self._since = now
        return self._level

    def charge(self, cost: float, now: float) -> float:
        """Take the cost, whether it is there or not; gives the seconds until the debt is paid, 0 without one."""
        self._level = self.level(now) - cost
        return -self._level / self.per_s if self._level < 0 else 0.0


class TokenBuckets:
    """One bucket for each source, bounded by number."""

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def admits(self, source: str, now: float, *, keep: float = 0.0) -> bool:
        """Take one token of this source, if `keep` are left then."""
        bucket = self._buckets.pop(source, None) or Bucket(self._per_s, self._burst)
        self._buckets[source] = bucket
        if len(self._buckets) > MAX_SOURCES:
            self._buckets.popitem(last=False)
        if bucket.level(now) < 1.0 + keep:
            return False
        bucket.charge(1.0, now)
        return True

    def is_over(self, source: str, now: float) -> bool:
        """Would `admits` refuse? Takes nothing."""
        bucket = self._buckets.get(source)
        return (self._burst if bucket is None else bucket.level(now)) < 1.0
