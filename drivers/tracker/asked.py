"""What we have asked of a device and wait for, bounded: the waiting half of a `Teller` (drivers.downlink)."""

from collections.abc import Iterable

ANSWER_S = 25.0  # a device on a mobile network answers in a few; the line itself gives up after 30
MAX_ASKED = 16  # at once on one connection; one incident tells a device three things


class Asked:
    """Each asking has a token and one or more messages (by number) that the device must each confirm."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[set[int], float]] = {}
        self._told: list[tuple[int, str]] = []

    @property
    def is_full(self) -> bool:
        return len(self._open) >= MAX_ASKED

    def settle(self, token: int, reason: str) -> None:
        """It is over: "" for well."""
        self._open.pop(token, None)
        self._told.append((token, reason))

    def wait(self, token: int, numbers: Iterable[int], now: float) -> None:
        """These have been sent; none of them: there is nothing to wait for."""
        waiting = set(numbers)
        if waiting:
            self._open[token] = (waiting, now + ANSWER_S)
        else:
            self.settle(token, "")

    def answered(self, number: int, reason: str = "") -> bool:
        """The device has answered this message. False: nobody asked."""
        for token, (waiting, _) in self._open.items():
            if number in waiting:
                waiting.discard(number)
                if reason or not waiting:
                    self.settle(token, reason)
                return True
        return False

    def deadline(self) -> float | None:
        return min((until for _, until in self._open.values()), default=None)

    def expire(self, now: float) -> None:
        """Nobody waits longer."""
        for token in [token for token, (_, until) in self._open.items() if until <= now]:
            self.settle(token, "timeout")

    def told(self) -> list[tuple[int, str]]:
        """Drain what is settled: (token, reason)."""
        told, self._told = self._told, []
        return told
