"""The lines of all edges as a console shows them, and shards without a core among them: whoever looks at the lines must see those."""

from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec

from drivers.supervisor import LineState
from gateway.clock import monotonic
from gateway.config import Config
from gateway.edge import LineNews, ProfileNews

SILENT_S = 5.0  # an edge tells every second; one that has not for so long does not answer
CODEC_OF_SHARDS = "core"


class FarLine(msgspec.Struct, frozen=True):
    """One line, as its edge told it last (gateway.console.seam.LineStatus)."""

    name: str
    codec: str
    mandatory: bool
    edge: str
    state: str = LineState.CONNECTING.value
    since: datetime | None = None
    reason: str = ""
    profiles: tuple[ProfileNews, ...] = ()

    @property
    def is_live(self) -> bool:
        return self.state == LineState.LIVE.value


class Lines:
    """`by_name` is what the console reads; `changed` hears which are otherwise."""

    def __init__(self, config: Config, now: datetime, changed: Callable[[Iterable[str]], None]) -> None:
        self.by_name: dict[str, FarLine] = {line.name: FarLine(line.name, line.codec, line.mandatory, line.edge, since=now) for line in config.line}
        self._changed = changed
        self._heard_at = {line.edge: monotonic() for line in config.line}

    def heard(self, news: Iterable[LineNews]) -> None:
        """An edge has told how its lines are."""
        changed = []
        for one in news:
            known = self.by_name.get(one.line)
            if known is None or known.edge != one.edge:
                continue  # it runs by another configuration
            self._heard_at[one.edge] = monotonic()
            now_is = msgspec.structs.replace(known, state=one.state, since=one.since, reason=one.reason, profiles=one.profiles)
            if now_is != known:
                self.by_name[one.line] = now_is
                changed.append(one.line)
        if changed:
            self._changed(changed)

    def look(self, now: datetime) -> None:
        """Once a second: which edges do not answer?"""
        changed = []
        for name, known in self.by_name.items():
            is_silent = monotonic() - self._heard_at.get(known.edge, monotonic()) > SILENT_S
            if is_silent and known.codec != CODEC_OF_SHARDS and known.reason != _silent(known.edge):
                self.by_name[name] = msgspec.structs.replace(known, state=LineState.LOST.value, since=now, reason=_silent(known.edge))
                changed.append(name)
        if changed:
            self._changed(changed)

    def shard(self, number: int, as_of: datetime | None, *, is_missing: bool) -> None:
        """A shard has lost its core, or has one again."""
        name = f"shard-{number}"
        if is_missing:
            self.by_name[name] = FarLine(name, CODEC_OF_SHARDS, True, "", LineState.LOST.value, as_of, f"shard {number} has no core")
        else:
            self.by_name.pop(name, None)
        self._changed([name])


def _silent(edge: str) -> str:
    return f"edge {edge} does not answer" if edge else "edge does not answer"
