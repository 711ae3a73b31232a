"""What the console sees of the house: one protocol, so that pages can be built and tested against a house in memory."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from drivers.contract import Rejected, Verdict
from gateway.accounts import Accounts
from gateway.config import Config
from gateway.core.absence import Wish
from gateway.core.account import NO_ROWS, AccessWrite, AccountSession
from gateway.core.command import Command
from gateway.core.incident import Incident
from gateway.core.register import Person, Register, Responder
from gateway.core.routing import Decision
from gateway.core.standing import Ruling
from gateway.core.state import Call, WorkingSet
from gateway.core.territory import Standing
from gateway.correcting import Corrections
from gateway.ears import Ears
from gateway.event import Event, Kind
from gateway.flood import Flood
from gateway.incident_clocks import IncidentClocks
from gateway.pipeline import Changes
from gateway.retention import Retention
from gateway.self_test.self_test import SelfTest
from gateway.service_level import ServiceLevels
from gateway.store.archive import Archive
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


class ProfileState(Protocol):
    """A mapping profile of a line. `state`: running, refused (at the start) or shut_off (for a while); `fault`: why, in English."""

    @property
    def name(self) -> str: ...

    @property
    def state(self) -> str: ...

    @property
    def fault(self) -> str: ...


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


class FamilyPage(Protocol):
    """The page that families open by their links."""

    def family_link(self, person: Person, place: int) -> tuple[str, datetime] | None:
        """The link of this contact (in the person's list, from 0), and until when it is good."""
        ...


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
    def working(self) -> WorkingSet:
        """What is expected of devices and persons, and known of them. For reading only."""
        ...

    def profiles(self, line: str) -> Sequence[ProfileState]:
        """The mapping profiles of a line; none of one that has no such thing."""
        ...

    @property
    def config(self) -> Config: ...

    @property
    def accounts(self) -> Accounts:
        """Who may log in."""
        ...

    @property
    def telephone(self) -> Telephone: ...

    @property
    def page(self) -> FamilyPage | None:
        """The responder page, if there is one."""
        ...

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    def candidates(self, incident: Incident) -> Decision:
        """What routing would do at this moment, at least three candidates where there are three."""
        ...

    async def command(self, command: Command) -> Incident | None:
        """Do it and return when it is on disk. Raises Refused or StoreDown. Cancelling: it may or may not have been done."""
        ...

    async def absence(self, wish: Wish) -> None:
        """Announce that a watched person is away, or back; returns when it is on disk. Raises Refused or StoreDown."""
        ...

    async def rule(self, ruling: Ruling) -> Standing:
        """Decide about something that is no incident; returns when it is on disk. Raises Refused or StoreDown."""
        ...

    @property
    def standings(self) -> Mapping[str, Standing]:
        """What is ruled, by "<matter>:<subject>"; see whether it still holds."""
        ...

    async def note(self, kind: Kind, actor: str, **facts: object) -> None:
        """Journal what people did that changes no incident (came on duty, saw a record). Raises StoreDown."""
        ...

    async def access(self, kind: Kind, actor: str | None, write: AccessWrite = NO_ROWS, **facts: object) -> None:
        """Journal what was done with accounts and sessions and write their rows, in one transaction; `accounts` follows. Raises StoreDown."""
        ...

    def sessions_kept(self) -> Sequence[AccountSession]:
        """Sessions that outlived the restart, as the start has found them."""
        ...

    @property
    def clocks(self) -> IncidentClocks:
        """How fast alarms are taken, responders informed and there."""
        ...

    @property
    def call_levels(self) -> ServiceLevels:
        """How calls are answered."""
        ...

    @property
    def flood(self) -> Flood:
        """Is the desk flooded?"""
        ...

    @property
    def ears(self) -> Ears:
        """Does somebody hear, in each area?"""
        ...

    @property
    def self_test(self) -> SelfTest:
        """Do synthetic alarms come back, over every line?"""
        ...

    def machinery(self) -> dict[str, object]:
        """rejected: [{line, reason, count}] since the start; queues: name → how much waits to leave or to be written."""
        ...

    def shard_states(self) -> list[dict[str, object]]:
        """Of several machines each shard: {shard, owner, epoch, since, lag_s, as_of, mirror_lag_s}; of one machine none."""
        ...

    async def tell_stations(self, notice: str, text: str, responders: Sequence[Responder]) -> dict[str, int]:
        """A notice to stations by their own channels: how many were told, how many failed, how many have none that carries a text (silent)."""
        ...

    @property
    def retention(self) -> Retention:
        """What erases what was kept long enough."""
        ...

    @property
    def corrections(self) -> Corrections:
        """What people corrected of the register, and correcting it."""
        ...

    async def incident_filed(self, platform: str, external: str) -> str | None:
        """The newest incident that this platform filed under this id, also a closed one. Raises StoreDown."""
        ...

    async def upward(self) -> list[dict[str, object]]:
        """How far each destination of reports has been told. Raises StoreDown."""
        ...

    async def journal_feed(self, after: int, shard: int | None = None) -> tuple[bytes, int]:
        """Lines of JSON about what came after an entry of the journal, and the entry from which to go on. shard: whose journal, of several.

        Raises Refused (missing_shard, unknown_shard), StoreDown."""
        ...

    async def recall(self, incident_id: str) -> None:
        """See to it that a closed incident is among `incidents` for a while, if there is one of this id. Raises StoreDown."""
        ...

    @property
    def archive(self) -> Archive:
        """What was: to be read in a thread."""
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

    async def short_message(self, headers: Mapping[str, str], content_type: str, body: bytes) -> tuple[int, str]:
        """What an SMS provider posts (headers: names in lower case): HTTP status, and what it wants to read."""
        ...
