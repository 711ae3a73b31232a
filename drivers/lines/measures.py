"""What a line has to say of itself on /metrics: counters and gauges as plain values, whatever kind of line it is."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Measure(NamedTuple):
    """name without its gateway_line_ prefix; labels beside `line`, the same for all measures of a name. Labels come from bounded tables."""

    name: str
    text: str
    value: float
    labels: Mapping[str, str] = {}
    is_counter: bool = True


def measures(line: object) -> Iterator[Measure]:
    """Reads `counts`, `lost()`, `held`, `connections` of a line and `counts`, `live_calls`, `agents` of its codec, where there are such.

    Names of capture agents are the peers' own text: only what is plain ASCII of them is shown, and their number is bounded by the codec.
    """
    codec = getattr(line, "codec", None)
    counts = getattr(line, "counts", None)
    if counts is not None:
        lost = line.lost() if hasattr(line, "lost") else counts["dropped"]
        yield Measure("dropped", "What was heard and lost for want of room", lost)
    counted: Counter[str] = Counter(counts or {}) + Counter(getattr(codec, "counts", None) or {})
    for what, count in counted.items():
        yield Measure("counted", "What a line, and its codec, count: received, passed over, refused", count, {"what": what})
    for name, text, value in (
        ("held", "Events read and not yet stored", getattr(line, "held", None)),
        ("connections", "Connections that stand", getattr(line, "connections", None)),
        ("live_calls", "Calls in progress", getattr(codec, "live_calls", None)),
    ):
        if isinstance(value, int | float):
            yield Measure(name, text, value, is_counter=False)
    for (number, name), heard_at in list(getattr(codec, "agents", {}).items()):
        agent = f"{number} {_plain(name)}".strip() if number >= 0 else "others"
        yield Measure("agent_heard", "When a capture agent's last packet came, seconds since 1970 UTC", heard_at, {"agent": agent}, is_counter=False)


def _plain(name: bytes) -> str:
    return "".join(chr(octet) for octet in name[:32] if 0x20 < octet < 0x7F)
