"""The working set in memory, and a draft of it: decisions are made on the draft and swapped in after the commit.

`Record` is one line of the journal to be; `Draft` collects records and changes, and can be thrown away.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from gateway.config import CallsConfig, HotlineConfig, Policy, PolicyConfig
from gateway.core.incident import OPEN_LEG, Incident, State
from gateway.core.register import Register
from gateway.core.routing import Router
from gateway.event import Event, Kind, Phase, Position, Severity

# Message identities remembered in memory. 200,000 is over three minutes of the aimed 1,000 alarms a second and about
# 40 MB; older ones are still caught by the journal's unique index, only more slowly.
KNOWN_LIMIT = 200_000
# Devices whose last sign of life is remembered; the register of a large city (service levels: 100,000 devices).
SEEN_LIMIT = 200_000

FIRST_NUMBER = 100_001  # incidents are I100001 and up: six digits are easily said on the telephone

V = TypeVar("V")


def number_of(incident: str) -> int:
    """100001 of I100001; 0, which no incident has, of anything else."""
    return int(incident[1:]) if incident[:1] == "I" and incident[1:].isdecimal() and incident.isascii() else 0


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is going on. `detail` is the last record of the call state machine: enough to go on after a restart."""

    key: str
    line: str
    state: Kind
    at: datetime
    detail: dict[str, object]
    persons: tuple[str, ...] = ()
    incident: str | None = None


class Seen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Last sign of life of a device."""

    at: datetime
    position: Position | None = None
    battery_pct: float | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One journal entry to be. `facts` is its JSON; `raw` the bytes as they came."""

    kind: Kind
    at: datetime
    facts: bytes
    phase: Phase = Phase.RAISE
    line: str | None = None
    device: str | None = None
    dedup: str | None = None
    person: str | None = None
    incident: str | None = None
    actor: str | None = None
    raw: bytes = b""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A rejected message, kept for inspection."""

    at: datetime
    line: str
    reason: str
    device: str | None = None
    detail: str = ""
    raw: bytes = b""


class Overlay(Generic[V]):
    """A dict seen through a sheet of tracing paper: reads fall through, writes stay on the paper until `settle`."""

    __slots__ = ("base", "written")

    def __init__(self, base: dict[str, V]) -> None:
        self.base = base
        self.written: dict[str, V | None] = {}

    def get(self, key: str) -> V | None:
        """The value, or None."""
        if key in self.written:
            return self.written[key]
        return self.base.get(key)

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    def __setitem__(self, key: str, value: V) -> None:
        self.written[key] = value

    def __delitem__(self, key: str) -> None:
        self.written[key] = None

    def settle(self) -> None:
        """Make what was written the truth."""
        for key, value in self.written.items():
            if value is None:
                self.base.pop(key, None)
            else:
                self.base[key] = value


class WorkingSet:
    """Everything a decision needs, in memory. Only the pipeline changes it, only after a commit."""

    def __init__(
        self, register: Register, policy: PolicyConfig | None = None, calls: CallsConfig | None = None, hotlines: Iterable[HotlineConfig] = ()
    ) -> None:
        self.policy = policy or PolicyConfig()
        self.call_rules = calls or CallsConfig()
        self.hotlines = {hotline.number: hotline for hotline in hotlines}
        self.incidents: dict[str, Incident] = {}
        self.by_key: dict[str, tuple[str, ...]] = {}  # all open incidents of a key, nearly always one
        self.by_alias: dict[str, tuple[str, ...]] = {}  # open incidents by the numbers that may call about them, and by tracking id
        self.by_delivery: dict[str, str] = {}
        self.calls: dict[str, Call] = {}
        self.load: dict[str, int] = {}
        self.seen: OrderedDict[str, Seen] = OrderedDict()
        self.known: OrderedDict[str, None] = OrderedDict()
        self.next_number = FIRST_NUMBER
        self.opened = 0
        self.closed = 0
        self.use(register)

    def use(self, register: Register) -> None:
        """Take a new register as a whole."""
        self.register = register
        self.router = Router(register)

    def restore(self, incidents: Iterable[Incident], calls: Iterable[Call], known: Iterable[str], seen: Iterable[tuple[str, Seen]]) -> None:
        """Rebuild from the store at start."""
        draft = Draft(self)
        for incident in incidents:
            draft.put(incident)
        for call in calls:
            draft.calls[call.key] = call
        draft.settle()
        self.known.update(dict.fromkeys(known))
        self.seen.update(seen)

    def adopt(self, incident: Incident) -> None:
        """Take a closed incident in again."""
        self.incidents[incident.id] = incident
        for leg in incident.legs:
            self.by_delivery[leg.delivery] = incident.id

    def forget(self, name: str) -> None:
        """Let go of a closed incident; one that was re-opened meanwhile stays."""
        incident = self.incidents.get(name)
        if incident is not None and not incident.is_open:
            for leg in incident.legs:
                self.by_delivery.pop(leg.delivery, None)
            del self.incidents[name]

    @property
    def open_incidents(self) -> Iterator[Incident]:
        return (incident for incident in self.incidents.values() if incident.is_open)


class Draft:
    """A batch of decisions in the making. `records`, `incidents`, `calls` and `seen` are what the store must write."""

    def __init__(self, base: WorkingSet) -> None:
        self.base = base
        self.register = base.register
        self.router = base.router
        self.policy = base.policy
        self.call_rules = base.call_rules
        self.incidents: Overlay[Incident] = Overlay(base.incidents)
        self.by_key: Overlay[tuple[str, ...]] = Overlay(base.by_key)
        self.by_alias: Overlay[tuple[str, ...]] = Overlay(base.by_alias)
        self.by_delivery: Overlay[str] = Overlay(base.by_delivery)
        self.calls: Overlay[Call] = Overlay(base.calls)
        self._load: Overlay[int] = Overlay(base.load)
        self.seen: dict[str, Seen] = {}
        self.known: dict[str, None] = {}
        self.records: list[Record] = []
        self.refusals: list[Refusal] = []
        self.next_number = base.next_number
        self.opened = 0
        self.closed = 0

    def policy_for(self, severity: Severity) -> Policy:
        """How an incident of this severity is pressed."""
        policy: Policy = getattr(self.policy, "warning" if severity is Severity.NONE else severity.value)
        return policy

    def new_incident_id(self) -> str:
        """I100001, I100002, …: short enough to be said on the telephone."""
        number, self.next_number = self.next_number, self.next_number + 1
        return f"I{number}"

    def is_known(self, identity: str) -> bool:
        """Was a message with this identity seen, in this batch or before?"""
        return identity in self.known or identity in self.base.known

    def load(self, responder: str) -> int:
        """Open orders that this responder carries."""
        return self._load.get(responder) or 0

    def last_seen(self, device: str) -> Seen | None:
        """Last sign of life of a device."""
        return self.seen.get(device) or self.base.seen.get(device)

    def incident_of_key(self, key: str) -> Incident | None:
        """The open incident that events of this key join: one that is worked on before one that awaits its call-back, then the newest."""
        return max(self._named(self.by_key, key), key=_joined_last, default=None)

    def incident_of_alias(self, *aliases: str | None) -> Incident | None:
        """The open incident that is found under one of these other names; of several as above."""
        mine = [incident for alias in aliases if alias for incident in self._named(self.by_alias, alias)]
        return max(mine, key=_joined_last, default=None)

    def _named(self, index: Overlay[tuple[str, ...]], name: str) -> list[Incident]:
        return [incident for one in index.get(name) or () if (incident := self.incidents.get(one)) is not None]

    def hotline(self, number: str | None) -> HotlineConfig:
        """What this hotline means beyond being ours; of one without a section, and of none, the defaults."""
        known = self.base.hotlines.get(number or "")
        return known if known is not None else HotlineConfig(number=number or "")

    def put(self, incident: Incident) -> None:
        """Write an incident, and keep the indexes over keys and legs true."""
        before = self.incidents.get(incident.id)
        self.incidents[incident.id] = incident
        was_open = before if before is not None and before.is_open else None
        is_open = incident if incident.is_open else None
        _move(self.by_key, incident.id, (was_open.key,) if was_open else (), (is_open.key,) if is_open else ())
        _move(self.by_alias, incident.id, was_open.aliases if was_open else (), is_open.aliases if is_open else ())
        if before is None or before.legs is not incident.legs:
            was = {leg.delivery: leg.responder for leg in before.legs if leg.state in OPEN_LEG} if before else {}
            for leg in incident.legs:
                if leg.delivery not in self.by_delivery:
                    self.by_delivery[leg.delivery] = incident.id
                if leg.state in OPEN_LEG and was.pop(leg.delivery, None) is None:
                    self._load[leg.responder] = self.load(leg.responder) + 1
            for responder in was.values():
                self._load[responder] = max(0, self.load(responder) - 1)
        if before is not None and before.is_open and not incident.is_open:
            self.closed += 1
        elif before is not None and not before.is_open and incident.is_open:
            self.closed -= 1

    def record_event(self, event: Event, incident: str | None = None) -> None:
        """Journal a field event."""
        self.records.append(
            Record(
                kind=event.kind,
                phase=event.phase,
                at=event.received_at,
                facts=_encode(event),
                line=event.line,
                device=event.device,
                dedup=event.dedup and f"{event.line}|{event.dedup}",
                person=event.person,
                incident=incident,
                raw=event.raw,
            )
        )

    def record(
        self, kind: Kind, at: datetime, incident: Incident | None = None, actor: str | None = None, dedup: str | None = None, **facts: object
    ) -> None:
        """Journal something people or the machine did."""
        self.records.append(
            Record(
                kind=kind,
                phase=Phase.STATE,
                at=at,
                facts=_encode(facts),
                incident=incident.id if incident else None,
                person=incident.person if incident else None,
                actor=actor,
                dedup=dedup,
            )
        )

    def settle(self) -> None:
        """The batch is on disk: make it the truth."""
        base = self.base
        for overlay in (self.incidents, self.by_key, self.by_alias, self.by_delivery, self.calls, self._load):
            overlay.settle()
        for memory, news, limit in ((base.known, self.known, KNOWN_LIMIT), (base.seen, self.seen, SEEN_LIMIT)):
            memory.update(news)  # type: ignore[arg-type]
            for key in news:
                memory.move_to_end(key)
            while len(memory) > limit:
                memory.popitem(last=False)
        base.next_number = self.next_number
        base.opened += self.opened
        base.closed += self.closed


def _move(index: Overlay[tuple[str, ...]], name: str, before: tuple[str, ...], after: tuple[str, ...]) -> None:
    """Let an index find `name` under the words of `after`, and under none other of `before`."""
    if before == after:
        return
    for word in before:
        if word not in after:
            others = tuple(other for other in index.get(word) or () if other != name)
            if others:
                index[word] = others
            else:
                del index[word]
    for word in after:
        if word not in before:
            index[word] = (*(index.get(word) or ()), name)


def _joined_last(incident: Incident) -> tuple[bool, datetime, str]:
    """The last in this order is joined."""
    return incident.state is not State.RESOLVED, incident.opened_at, incident.id


_encoder = msgspec.json.Encoder()


def _encode(value: object) -> bytes:
    """JSON; an event without its raw bytes, which have a column of their own (msgspec leaves out what is default)."""
    if isinstance(value, Event) and value.raw:
        value = msgspec.structs.replace(value, raw=b"")
    return _encoder.encode(value)
