"""What the page sees of the house: read in the loop, changed only through the doors that everybody uses."""

from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from drivers.contract import Rejected, Verdict
from gateway.core.absence import Wish
from gateway.core.incident import Incident
from gateway.core.register import Register
from gateway.core.standing import Ruling
from gateway.core.state import WorkingSet
from gateway.core.territory import Standing
from gateway.event import Event


class House(Protocol):
    """The running gateway."""

    @property
    def incidents(self) -> Mapping[str, Incident]: ...

    @property
    def register(self) -> Register: ...

    @property
    def working(self) -> WorkingSet: ...

    def now(self) -> datetime: ...

    def receive(self, events: Sequence[Event | Rejected]) -> Awaitable[Sequence[Verdict]]: ...

    async def absence(self, wish: Wish) -> None: ...

    async def rule(self, ruling: Ruling) -> Standing: ...
