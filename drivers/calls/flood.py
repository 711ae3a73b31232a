"""How many new calls one source may offer a second: a token bucket each, so that a flood from one costs another nothing."""

import re
from collections import OrderedDict

from drivers.token_bucket import MAX_SOURCES, TokenBuckets

BURST_S = 2.0  # so many seconds' worth may come at once
CALM_S = 60.0  # refused nothing for so long: the next refusal is news again

_CALL_ID = re.compile(rb"\r?\n(?:Call-ID|i)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE)


class CallFlood:
    """`now` is whatever clock the caller counts in. per_s 0: no limit."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._buckets = TokenBuckets(per_s, max(1.0, per_s * BURST_S))
        self._refused: OrderedDict[tuple[str, str], float] = OrderedDict()  # (source, reason) → when last

    def admits(self, source: str, now: float) -> bool:
        """Take one new call of this source, if there is room for it."""
        return not self._per_s or self._buckets.admits(source, now)

    def is_over(self, source: str, now: float) -> bool:
        """Would `admits` refuse? Takes nothing."""
        return bool(self._per_s) and self._buckets.is_over(source, now)

    def is_news(self, source: str, reason: str, now: float) -> bool:
        """A refusal has to be told once, and again only after some calm: a flood must not become a flood of reports."""
        key = (source, reason)
        last = self._refused.pop(key, None)
        self._refused[key] = now
        if len(self._refused) > MAX_SOURCES:
            self._refused.popitem(last=False)
        return last is None or now - last > CALM_S


def peek_call_id(message: bytes) -> str:
    """The Call-ID of a message that has not been parsed; "" when it is not plain to see."""
    found = _CALL_ID.search(message, 0, 8192)
    return found.group(1).decode("utf-8", "surrogateescape").strip() if found is not None else ""
