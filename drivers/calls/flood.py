"""How many new calls one source may offer a second: a token bucket each, so that a flood from one costs another nothing."""

import re
from collections import OrderedDict

MAX_SOURCES = 10_000  # beyond it the one that was quiet longest is forgotten: its bucket was full again anyway
BURST_S = 2.0  # so many seconds' worth may come at once
CALM_S = 60.0  # refused nothing for so long: the next refusal is news again

_CALL_ID = re.compile(rb"\r?\n(?:Call-ID|i)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE)


class CallFlood:
    """`now` is whatever clock the caller counts in. per_s 0: no limit."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._burst = max(1.0, per_s * BURST_S)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # source → tokens, when
        self._refused: OrderedDict[tuple[str, str], float] = OrderedDict()  # (source, reason) → when last

    def admits(self, source: str, now: float) -> bool:
        """Take one new call of this source, if there is room for it."""
        if not self._per_s:
            return True
        tokens = self._tokens(source, now)
        is_admitted = tokens >= 1.0
        self._buckets[source] = (tokens - 1.0 if is_admitted else tokens, now)
        self._buckets.move_to_end(source)
        if len(self._buckets) > MAX_SOURCES:
            self._buckets.popitem(last=False)
        return is_admitted

    def is_over(self, source: str, now: float) -> bool:
        """Would `admits` refuse? Takes nothing."""
        return bool(self._per_s) and self._tokens(source, now) < 1.0

    def is_news(self, source: str, reason: str, now: float) -> bool:
        """A refusal has to be told once, and again only after some calm: a flood must not become a flood of reports."""
        key = (source, reason)
        last = self._refused.pop(key, None)
        self._refused[key] = now
        if len(self._refused) > MAX_SOURCES:
            self._refused.popitem(last=False)
        return last is None or now - last > CALM_S

    def _tokens(self, source: str, now: float) -> float:
        tokens, since = self._buckets.get(source, (self._burst, now))
        return min(self._burst, tokens + max(0.0, now - since) * self._per_s)


def peek_call_id(message: bytes) -> str:
    """The Call-ID of a message that has not been parsed; "" when it is not plain to see."""
    found = _CALL_ID.search(message, 0, 8192)
    return found.group(1).decode("utf-8", "surrogateescape").strip() if found is not None else ""
