"""Whether the other stations of an ESPA 4.4.4 link are there, told as the state of a device `station:DIGIT` (`station:control`).

A state that could not be stored is told again, as it then is.
"""

from drivers.contract import Signal
from gateway.event import Kind, Phase

AGAIN_S = 5.0  # after the store has refused it


class Presence:
    """Who is there and who is lost, by station name; only what has changed or was asked for is told."""

    def __init__(self) -> None:
        self._lost: dict[str, bool] = {}
        self._untold: list[str] = []
        self._not_before = 0.0

    def is_lost(self, station: str) -> bool:
        return self._lost.get(station, False)

    def note(self, station: str, *, lost: bool, again: bool = False) -> None:
        """again: tell it although it has not changed."""
        if (again or self._lost.get(station) != lost) and station not in self._untold:
            self._untold.append(station)
        self._lost[station] = lost

    def refused(self, device: str | None, now: float) -> None:
        """The store did not take it."""
        station = (device or "").removeprefix("station:")
        if station in self._lost:
            self.note(station, lost=self._lost[station], again=True)
            self._not_before = now + AGAIN_S

    def deadline(self) -> float | None:
        return self._not_before if self._untold else None

    def signals(self, now: float) -> list[Signal]:
        """What is to be told now."""
        if now < self._not_before:
            return []
        untold, self._untold = self._untold, []
        return [
            Signal(
                kind=Kind.OFFLINE,
                phase=Phase.RAISE if self._lost[station] else Phase.CLEAR,
                kind_raw="no_poll" if station == CONTROL else "no_answer",
                device=f"station:{station}",
                edge="online",
                detail={"station": station},
            )
            for station in untold
        ]


CONTROL = "control"
