"""Who sits at the other consoles: told every second, so that each console shows everybody on duty and knows whether anybody hears."""

from collections.abc import Callable

import msgspec

from gateway.bus.contract import Bus, BusDown
from gateway.bus.shard_words import packed, sitting_of
from gateway.clock import monotonic
from gateway.console.sessions import Sessions

SILENT_S = 5.0  # a console that has not told for so long is gone


class Peers:
    """keeps_names: without accounts a browser is known here only because another console tells of it."""

    def __init__(self, name: str, bus: Bus, sessions: Callable[[], Sessions | None], *, keeps_names: bool) -> None:
        self.name = name
        self._bus = bus
        self._sessions = sessions
        self._keeps_names = keeps_names
        self._heard_at: dict[str, float] = {}

    @property
    def is_first(self) -> bool:
        """Is what only one console has to do ours to do?"""
        now = monotonic()
        return all(self.name <= name for name, at in self._heard_at.items() if now - at < SILENT_S)

    async def tell(self) -> None:
        """Once a second."""
        sessions = self._sessions()
        try:
            await self._bus.tell(f"consoles.{self.name}", packed(sessions.sitting_here() if sessions is not None else []))
        except BusDown:
            pass  # the next one tells the same

    def heard(self, subject: str, body: bytes) -> None:
        """Another console has told."""
        name, sessions = subject.rpartition(".")[2], self._sessions()
        if name == self.name:
            return
        now = monotonic()
        self._heard_at = {one: at for one, at in self._heard_at.items() if now - at < SILENT_S} | {name: now}
        try:
            sitting = sitting_of(body)
        except msgspec.MsgspecError:
            return  # of another version
        if sessions is not None:
            for one in sitting:
                sessions.sits_elsewhere(one, keep=self._keeps_names)
