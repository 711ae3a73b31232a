"""What the console sees of the house: one protocol, so that pages can be built and tested against a house in memory."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from drivers.contract import Rejected, Verdict
from gateway.config import Config
from gateway.core.command import Command
from gateway.core.incident import Incident
from gateway.core.register import Register
from gateway.core.routing import Decision
from gateway.core.state import Call
from gateway.event import Event, Kind
from gateway.pipeline import Changes
from gateway.telephone import Telephone


class LineStatus(Protocol):
    """A line as its supervisor keeps it. `state`: connecting, live, suspect or lost; `since` aware UTC, None before the first."""

    @property
    def codec(self) -> str: ...

    @property
    def mandatory(self) -> bool: ...

    @property
    def state(self) -> str: ...

    @property
    def since(self) -> datetime | None: ...

    @property
    def reason(self) -> str: ...


class JournalRow(Protocol):
    """One entry of an incident's timeline. `facts` is what its record says: an event of the field, or facts of an action."""

    @property
    def seq(self) -> int: ...

    @property
    def at(self) -> datetime: ...

    @property
    def kind(self) -> str: ...

    @property
    def phase(self) -> str: ...

    @property
    def actor(self) -> str | None: ...

    @property
    def facts(self) -> Mapping[str, object]: ...


class House(Protocol):
    """The running gateway, seen from the console. Read always through it: register and configuration are swapped on reload."""

    @property
    def incidents(self) -> Mapping[str, Incident]: ...

    @property
    def calls(self) -> Mapping[str, Call]: ...

    @property
    def register(self) -> Register: ...

    @property
    def lines(self) -> Mapping[str, LineStatus]: ...

    @property
    def config(self) -> Config: ...

    @property
    def telephone(self) -> Telephone: ...

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    def candidates(self, incident: Incident) -> Decision:
        """What routing would do at this moment, at least three candidates where there are three."""
        ...

    async def command(self, command: Command) -> Incident | None:
        """Do it and return when it is on disk. Raises Refused or StoreDown. Cancelling: it may or may not have been done."""
        ...

    async def note(self, kind: Kind, actor: str, **facts: object) -> None:
        """Journal what people did that changes no incident (came on duty, saw a record). Raises StoreDown."""
        ...

    async def recall(self, incident_id: str) -> None:
        """See to it that a closed incident is among `incidents` for a while, if there is one of this id. Raises StoreDown."""
        ...

    async def timeline(self, incident_id: str) -> Sequence[JournalRow]:
        """Journal entries of the incident, oldest first."""
        ...

    def watch(self, callback: Callable[[Changes], None]) -> None:
        """Call back in the loop after each commit."""
        ...

    def receive(self, events: Sequence[Event | Rejected]) -> Awaitable[Sequence[Verdict]]:
        """Give events to the pipeline, as a line does."""
        ...
