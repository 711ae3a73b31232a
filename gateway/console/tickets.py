"""Tickets: a file is asked for by POST, journalled, and fetched by GET under a name nobody can guess, by the same browser, for a short time."""

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from gateway.errors import Refused

Thing = TypeVar("Thing")
AT_MOST = 200  # of a room of fifty consoles; the oldest gives way


class Tickets(Generic[Thing]):
    """For one kind of thing. `dropped` hears of each thing that nobody can fetch any more."""

    def __init__(self, clock: Callable[[], float], life_s: float, dropped: Callable[[Thing], None] = lambda _: None) -> None:
        self._clock = clock
        self._life_s = life_s
        self._dropped = dropped
        self._open: OrderedDict[str, tuple[float, str, Thing]] = OrderedDict()

    def give(self, session: str, thing: Thing) -> str:
        """256 random bits for who has this session's cookie."""
        self.sweep()
        while len(self._open) >= AT_MOST:
            _, (_, _, old) = self._open.popitem(last=False)
            self._dropped(old)
        ticket = secrets.token_urlsafe(32)
        self._open[ticket] = (self._clock() + self._life_s, session, thing)
        return ticket

    def see(self, ticket: str, session: str) -> Thing:
        """What it is for. Raises Refused 404: unknown_ticket, whether it is over, used or somebody else's."""
        self.sweep()
        found = self._open.get(ticket)
        if found is None or not session or not hmac.compare_digest(found[1], session):
            raise Refused("unknown_ticket", 404)
        return found[2]

    def take(self, ticket: str, session: str) -> Thing:
        """As `see`, for the only time."""
        thing = self.see(ticket, session)
        del self._open[ticket]
        return thing

    def clear(self) -> None:
        """Drop all."""
        while self._open:
            _, (_, _, old) = self._open.popitem()
            self._dropped(old)

    def sweep(self) -> None:
        """Drop those whose time is over."""
        now = self._clock()
        while self._open and next(iter(self._open.values()))[0] <= now:
            _, (_, _, old) = self._open.popitem(last=False)
            self._dropped(old)
