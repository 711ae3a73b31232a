"""What every broker codec needs: the limits of a message, the device in its topic, and a short name for its content."""

import hashlib
import re

from drivers.contract import Rejected

# The limits of the MQTT devices sheet, rule 8. A wearable's cry is about 120 bytes; 256 KiB is the largest bridge message seen there.
MAX_PAYLOAD = 256 * 1024
MAX_TOPIC = 1024  # bytes of UTF-8
MAX_DEPTH = 64
MAX_ADDRESS = 128  # characters of a device or responder id; ours have 5 to 20
KEPT_OF_TOO_LONG = 4096  # bytes of an oversized payload that are kept for inspection

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


class Address:
    """Finds the id in topics of one subscription filter, which holds exactly one `+` and no `#`.

    Example: filter `wearables/+/event`, topic `wearables/w-000001/event`, address `w-000001`.
    """

    def __init__(self, topic_filter: str) -> None:
        prefix, plus, suffix = topic_filter.partition("+")
        whole_level = (not prefix or prefix.endswith("/")) and (not suffix or suffix.startswith("/"))
        if not plus or "+" in suffix or "#" in topic_filter or not whole_level or len(topic_filter.encode()) > MAX_TOPIC:
            raise ValueError(f"topics: {topic_filter!r} must hold exactly one + as a whole level, and no #")
        self.filter = topic_filter
        self._prefix, self._suffix = prefix, suffix

    def find(self, topic: str) -> str | None:
        """The id, or None when the topic does not fit or the id is empty, too long or unprintable."""
        if not (topic.startswith(self._prefix) and topic.endswith(self._suffix)):
            return None
        found = topic[len(self._prefix) : len(topic) - len(self._suffix)]
        return found if 0 < len(found) <= MAX_ADDRESS and "/" not in found and found.isprintable() else None


def addresses(topics: tuple[str, ...]) -> tuple[Address, ...]:
    """One per filter. ValueError names the filter that cannot be used."""
    if not topics:
        raise ValueError("topics: write at least one subscription filter")
    return tuple(Address(topic) for topic in topics)


def refuse_oversize(topic: str, payload: bytes) -> Rejected | None:
    """The rejection of a message beyond the limits, or None. Cheap for every usual message."""
    if len(payload) > MAX_PAYLOAD:
        return Rejected(reason="too_long", raw=payload[:KEPT_OF_TOO_LONG], detail=f"payload of {len(payload)} bytes")
    if len(topic) > MAX_TOPIC // 4 and len(topic.encode(errors="replace")) > MAX_TOPIC:
        return Rejected(reason="too_long", raw=payload[:KEPT_OF_TOO_LONG], detail="topic")
    if payload.count(b"{") + payload.count(b"[") > MAX_DEPTH and _is_too_deep(payload):
        return Rejected(reason="too_deep", raw=payload[:KEPT_OF_TOO_LONG])
    return None


def _is_too_deep(payload: bytes) -> bool:
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", payload)):
        depth += 1 if bracket in b"{[" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def content_name(payload: bytes) -> str:
    """16 hex digits that stand for the content: equal for a repeated delivery, different for different words."""
    return hashlib.blake2b(payload, digest_size=8).hexdigest()
