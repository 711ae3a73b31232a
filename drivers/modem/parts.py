"""Long messages put together again from their parts, which come in any order, twice, or not all."""

from collections import OrderedDict

import msgspec

from drivers.modem.tpdu import Deliver

WAIT_S = 600.0  # for a part that is missing: networks repeat for minutes; then what is there is shown
MAX_WAITING = 50  # unfinished messages; beyond it the oldest is shown as it is


class Message(msgspec.Struct, frozen=True):
    """A whole message, or what came of it. indices: where its parts lie in the modem, to be deleted once it is stored."""

    first: Deliver
    text: str
    indices: tuple[int, ...]
    is_whole: bool


class _Waiting:
    __slots__ = ("indices", "parts", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.parts: dict[int, Deliver] = {}
        self.indices: list[int] = []


class Parts:
    """Unfinished messages by sender, reference and number of parts."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[tuple[str, int, int], _Waiting] = OrderedDict()

    def add(self, deliver: Deliver, index: int | None, now: float) -> list[Message]:
        """What this part completes, or pushes out."""
        if deliver.parts == 1:
            return [Message(deliver, deliver.text or "", () if index is None else (index,), True)]
        key = (deliver.sender, deliver.reference, deliver.parts)
        waiting = self._waiting.setdefault(key, _Waiting(now))
        waiting.parts[deliver.part] = deliver
        if index is not None and index not in waiting.indices:
            waiting.indices.append(index)
        if len(waiting.parts) == deliver.parts:
            return [self._take(key)]
        return [self._take(next(iter(self._waiting)))] if len(self._waiting) > MAX_WAITING else []

    def deadline(self) -> float | None:
        """When the oldest is given up."""
        return next((waiting.since + WAIT_S for waiting in self._waiting.values()), None)

    def expire(self, now: float) -> list[Message]:
        """Those whose missing parts do not come any more."""
        return [self._take(key) for key in [key for key, waiting in self._waiting.items() if now >= waiting.since + WAIT_S]]

    def _take(self, key: tuple[str, int, int]) -> Message:
        waiting = self._waiting.pop(key)
        parts = waiting.parts
        text = "".join((parts[number].text or "") if number in parts else "…" for number in range(1, key[2] + 1))
        return Message(next(iter(parts.values())), text, tuple(waiting.indices), len(parts) == key[2])
