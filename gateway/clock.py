"""The one source of time. Core and codecs take `now` as an argument; only lines, pipeline and console ask here."""

import time
from datetime import UTC, datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_now() -> datetime:
    """Wall clock, aware UTC. Incident times and deadlines use it, because they must survive a restart."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds that never step. Line timers and codec deadlines use it."""
    return time.monotonic()


def micros(at: datetime) -> int:
    """Microseconds since 1970 UTC, the form in which the store keeps a time."""
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_micros(value: int) -> datetime:
    """Inverse of `micros`."""
    seconds, micro = divmod(value, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micro)
