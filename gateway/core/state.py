"""The working set in memory, and a draft of it: decisions are made on the draft and swapped in after the commit.

`Record` is one line of the journal to be; `Draft` collects records and changes, and can be thrown away.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2s
from typing import Generic, TypeVar

import msgspec

from gateway.config import CallsConfig, Chain, DeviceClassConfig, HotlineConfig, Policy, PolicyConfig, SupervisionConfig, WatchConfig
from gateway.config.desk import DeskConfig, ShelvingConfig
from gateway.config.plans import PlanConfig
from gateway.config.routing import RoutingConfig
from gateway.config.teams import DEFAULT_TEAMS, TeamConfig, VisitingConfig
from gateway.core.account import AccessWrite
from gateway.core.corrections import CorrectionWrite
from gateway.core.due import DueTimes
from gateway.core.incident import INFORMED, OPEN_LEG, Incident, Leg, Role, State
from gateway.core.notices import with_notices
from gateway.core.register import Person, Register
from gateway.core.reported import ReportWrite
from gateway.core.routing import Router
from gateway.core.senders import Key, Senders
from gateway.core.services import Services
from gateway.core.stages import with_stages
from gateway.core.supervised import Silence, Supervised, Supervision
from gateway.core.telling import with_tellings
from gateway.core.territory import Standing
from gateway.core.travel import TravelTimes
from gateway.core.watched import START_GRACE, UNKNOWN, Watch, Watched, Watching, is_worth_keeping, resumed
from gateway.event import KINDS, Event, Group, Kind, Phase, Position, Severity, new_id

# Message identities remembered in memory. 200,000 is over three minutes of the aimed 1,000 alarms a second and about
# 40 MB; older ones are still caught by the journal's unique index, only more slowly.
KNOWN_LIMIT = 200_000
# Devices whose last sign of life is remembered; the register of a large city (service levels: 100,000 devices).
SEEN_LIMIT = 200_000
STRANGERS_LIMIT = 5_000  # addresses that nobody registered, the latest; enough to find the new ones among the neighbours' sensors
PROFILES = "profile:"  # begins what a line says of its mapping profiles, where other events have an address

MOVED = 0.0005  # degrees, about 50 m: a fix nearer than that to the one on disk need not follow at once

INFORMED_POOL = "informed"  # who is only told has not less time by it
SERVICE_POOL = "service"  # orders of ordinary services fill a capacity of their own (domain 1.5)

FIRST_NUMBER = 100_001  # incidents are I100001 and up: six digits are easily said on the telephone
SHARD_DIGITS = 2  # hexadecimal, at the end of a delivery id

V = TypeVar("V")


def number_of(incident: str) -> int:
    """100001 of I100001; 0, which no incident has, of anything else."""
    return int(incident[1:]) if incident[:1] == "I" and incident[1:].isdecimal() and incident.isascii() else 0


class Shard(msgspec.Struct, frozen=True):
    """One share of the persons (gateway.core.shards): its number, counted from 0, of how many. Alone, it is everybody."""

    number: int = 0
    count: int = 1

    def next_number(self, least: int) -> int:
        """The first number of an incident of this shard that is not below `least`."""
        return least + (self.number - (least - FIRST_NUMBER)) % self.count

    def new_delivery(self, *of: object) -> str:
        """An id for an order or a hand-over that tells its shard.

        of: what makes the order the one it is. The bus may be read again from an earlier place (docs/guide/backup.md): the same order then has
        the same id, its station knows it, and the answer that it gave finds it.
        """
        if self.count == 1:
            return new_id()
        identity = blake2s(repr(of).encode("utf-8", "replace"), digest_size=16).hexdigest() if of else new_id()
        return f"{identity[:-SHARD_DIGITS]}{self.number:0{SHARD_DIGITS}x}"


class TestMark(StrEnum):
    """Who makes a test device speak: we ourselves, or a person."""

    PROBE = "probe"
    PRESS = "press"


class Call(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A call that is going on. `detail` is the last record of the call state machine: enough to go on after a restart."""

    key: str
    line: str
    state: Kind
    at: datetime
    detail: dict[str, object]
    persons: tuple[str, ...] = ()
    incident: str | None = None


class Edge(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A state that a device tells again and again (gateway.core.edges): what it is, and when it was last news."""

    name: str
    is_set: bool
    at: datetime


class Seen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Last sign of life of a device, and what it told of itself. watching: of a row "watch:PERSON", what is known of that person."""

    at: datetime
    position: Position | None = None
    battery_pct: float | None = None
    firmware: str | None = None
    edges: tuple[Edge, ...] = ()
    watching: Watching | None = None


def is_news(before: Seen | None, now: Seen) -> bool:
    """Is there more to it than that the device spoke: a state, a charge, a place farther away than a fix is wrong?"""
    if now.watching is not None:
        return is_worth_keeping(before.watching if before is not None else None, now.watching)
    if before is None or before.edges is not now.edges or before.battery_pct != now.battery_pct or before.firmware != now.firmware:
        return True
    was, is_ = before.position, now.position
    if was is None or is_ is None:
        return was is not is_
    return was is not is_ and (abs(was.lat - is_.lat) > MOVED or abs(was.lon - is_.lon) > MOVED)


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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


class Refusal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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
        self,
        register: Register,
        policy: PolicyConfig | None = None,
        calls: CallsConfig | None = None,
        hotlines: Iterable[HotlineConfig] = (),
        routing: RoutingConfig | None = None,
        travel: TravelTimes | None = None,
    ) -> None:
        self.policy = policy or PolicyConfig()
        self.call_rules = calls or CallsConfig()
        self.hotlines = {hotline.number: hotline for hotline in hotlines}
        self.chains: Mapping[str, Chain] = {}  # of escalation, by name (gateway.core.policy); given by the app, and again at each reload
        self.nodes: Counter[str] = Counter()  # key nodes of the closed loop that passed without what they wait for, by reason
        self.tell_lines: frozenset[str] = frozenset()  # those that can tell their devices something; given by the app, as it knows the drivers
        self.teams: tuple[TeamConfig, ...] = DEFAULT_TEAMS  # who goes, or is told, beside the station; given by the app, and again at each reload
        self.plans: tuple[PlanConfig, ...] | None = None  # the district's own action plans, given by the app; None: nothing must be done first
        self.visiting_km = VisitingConfig().km
        self.shelving = ShelvingConfig()  # what may be put aside; given by the app, and again at each reload, as is
        self.desk = DeskConfig()  # what counts as a flood and as a sender that runs away
        self.senders = Senders()
        self.test_devices: Mapping[tuple[str, str], TestMark] = {}  # by line and address (gateway.core.self_test); given by the app
        self.services = Services()  # what ordinary services are called; the district's own are given by the app
        self.incidents: dict[str, Incident] = {}
        self.by_key: dict[str, tuple[str, ...]] = {}  # all open incidents of a key, nearly always one
        self.by_alias: dict[str, tuple[str, ...]] = {}  # open incidents by the numbers that may call about them, and by tracking id
        self.by_delivery: dict[str, str] = {}
        self.calls: dict[str, Call] = {}
        self.load: dict[str, int] = {}
        self.load_elsewhere: Mapping[str, int] = {}  # the same, of the other shards: of who serves the streets of several, a second old
        self.standings: dict[str, Standing] = {}  # what people have ruled, by "<matter>:<subject>" (gateway.core.standing)
        self.seen: OrderedDict[str, Seen] = OrderedDict()
        self.strangers: OrderedDict[str, Seen] = OrderedDict()  # as `seen`, of addresses on no register
        self.due = DueTimes()  # names with a first word: device:, held:, watch: (gateway.core.decide.on_due)
        self.silent: dict[str, Silence] = {}
        self.silent_behind: dict[str, int] = {}  # path → how many of its devices
        self.supervision = Supervision()
        self.supervision_rules = SupervisionConfig()
        self.classes: tuple[DeviceClassConfig, ...] = ()
        self.line_classes: dict[str, str] = {}
        self.watch = Watch()
        self.started_at: datetime | None = None
        self.known: OrderedDict[str, None] = OrderedDict()
        self.shard = Shard()
        self.next_number = FIRST_NUMBER
        self.opened = 0
        self.closed = 0
        self.routing = routing or RoutingConfig()
        self.travel = travel  # None: the straight line
        self.use(register)

    def use(self, register: Register, now: datetime | None = None) -> None:
        """Take a new register as a whole. Devices that are new have a full window from now on."""
        self.register = register
        self.router = Router(register, self.routing, self.travel)
        if self.started_at is not None:
            self._supervise(now or self.started_at)
        if self.watch.rules:
            self._watch(now)

    def amend(self, register: Register, persons: Iterable[str], devices: Iterable[tuple[str | None, str]], now: datetime) -> None:
        """As `use`, for a register in which only these are otherwise: what is expected of all others stays, and nothing is built anew for them."""
        before, some = self.register, list(persons)
        if any(self._bears_on_watch(before.persons.get(name), register.persons.get(name)) for name in some):
            return self.use(register, now)
        for key in devices:
            if not self._amend_device(before, register, key, now):
                return self.use(register, now)
        self.register = register
        self.router = Router(register, self.routing, self.travel)
        for name in some:
            if name in self.watch.by_person:
                self.watch.by_person[name].person = register.persons[name]
        return None

    def _amend_device(self, before: Register, register: Register, key: tuple[str | None, str], now: datetime) -> bool:
        was, now_is = before.device_of(*key), register.device_of(*key)
        if self.watch.rules and any(device is not None and device.home for device in (was, now_is)):
            return False  # it may tell of whoever lives there alone
        if self.started_at is not None:
            known = self.supervision.of(was)
            if not self.supervision.amend(register, key, self.classes, self.line_classes):
                return False
            one = self.supervision.of(now_is)
            if known is not None and (one is None or one.name != known.name):
                self.due.drop(known.name)
                self.silent.pop(known.name, None)
            elif known is None and one is not None:
                self.due.put(one.name, now + one.window)
            self.silent_behind.clear()
            self.silent_behind.update(self.supervision.silent_behind(self.silent))
        self.watch.amend(register, {device.person for device in (was, now_is) if device is not None and device.person})
        return True

    def _bears_on_watch(self, one: Person | None, other: Person | None) -> bool:
        """Is anything otherwise by which signs of life are expected of a person, or the silence of their devices is put in order?"""
        if one is None or other is None:
            there = one or other
            return bool(self.watch.rules) and there is not None and bool(there.watch or there.home)
        names = ("home", "watch") if not self.supervision.by_name else ("home", "watch", "risks", "ability", "born")
        return any(getattr(one, name) != getattr(other, name) for name in names)

    def travel_by(self, travel: TravelTimes) -> None:
        """From now on other travel times hold; decisions taken name those of then."""
        self.travel = travel
        self.router = Router(self.register, self.routing, travel)

    def watch_over(self, rules: Iterable[WatchConfig], alive_until: datetime | None, now: datetime) -> list[tuple[str, Seen]]:
        """Expect signs of life of people from now on. Once, after `restore`; gives the rows that must be on disk before anything is decided.

        alive_until: when we are known to have listened last. What had counted until then still counts; the time since then does not.
        """
        self.watch = Watch(self.register, rules)
        for one in self.watch.by_person.values():
            known = self.seen.get(one.name)
            state = known.watching if known is not None else None
            one.state = Watching(since=now) if state is None else resumed(one, state, alive_until or now, now)
            self.due.put(one.name, max(one.due(one.state), now + min(START_GRACE, one.interval)))
        rows = [(one.name, Seen(at=now, watching=one.state)) for one in self.watch.by_person.values()]
        self.seen.update(rows)
        return rows

    def _watch(self, now: datetime | None) -> None:
        """With the new register: who is new has a full interval, of the others is known what was known."""
        before, self.watch = self.watch, Watch(self.register, self.watch.rules.values(), self.watch)
        for name in before.by_person.keys() - self.watch.by_person.keys():
            self.due.drop(f"watch:{name}")
        for one in self.watch.by_person.values():
            known = before.by_person.get(one.person.id)
            if now is not None and one.state is UNKNOWN:
                one.state = Watching(since=now)
            if now is not None and (known is None or known.rules is not one.rules):
                self.due.put(one.name, now)  # looked at, it is put down when it will be missed

    def shift(self, by: timedelta) -> None:
        """The wall clock stepped: times that wait move with it."""
        self.due.shift(by)
        self.supervision.shift(by)
        self.watch.shift(by)
        for one in self.watch.by_person.values():
            if one.name in self.due:  # quiet hours stay where they are
                self.due.put(one.name, one.due(one.state))

    def supervise(self, classes: Iterable[DeviceClassConfig], line_classes: dict[str, str], rules: SupervisionConfig, now: datetime) -> None:
        """Expect signs of life from now on: after a start everybody has a full window. Once, after `restore`."""
        self.classes, self.line_classes, self.supervision_rules, self.started_at = tuple(classes), line_classes, rules, now
        self._supervise(now)
        for name, seen in self.seen.items():
            line, _, address = name.partition("|")
            one = self.supervision.of(self.register.device(line, address))
            if one is not None:
                self.supervision.heard(one, min(seen.at, now), line)  # the clock may have been set back: nobody is heard in the future

    def _supervise(self, now: datetime) -> None:
        before, self.supervision = self.supervision, Supervision(self.register, self.classes, self.line_classes)
        self.supervision.take_over(before)
        for name in before.by_name:
            if name not in self.supervision.by_name:
                self.due.drop(name)
                self.silent.pop(name, None)
        for name, one in self.supervision.by_name.items():
            if name not in before.by_name:
                self.due.put(name, now + one.window)
        self.silent_behind.clear()  # some are gone, others speak through another gateway now
        self.silent_behind.update(self.supervision.silent_behind(self.silent))

    def restore(
        self,
        incidents: Iterable[Incident],
        calls: Iterable[Call],
        known: Iterable[str],
        seen: Iterable[tuple[str, Seen]],
        standings: Iterable[Standing] = (),
    ) -> None:
        """Rebuild from the store at start."""
        self.standings.update((standing.key, standing) for standing in standings)
        draft = Draft(self)
        for incident in incidents:
            draft.put(incident)
        for call in calls:
            draft.calls[call.key] = call
        draft.settle()
        self.known.update(dict.fromkeys(known))
        for name, last in seen:
            line, _, address = name.partition("|")
            is_known = line.startswith(("person:", "watch:", "test:")) or self.register.device(line, address) is not None
            (self.seen if is_known else self.strangers)[name] = last

    def unregistered(self) -> list[tuple[str, Seen]]:
        """Addresses heard that are on no register. What a line says of its own mapping profiles has the form of a device and is none."""
        return [(key, seen) for key, seen in self.strangers.items() if not key.partition("|")[2].startswith(PROFILES)]

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
        self.standings: Overlay[Standing] = Overlay(base.standings)
        self.supervision = base.supervision
        self.silent: Overlay[Silence] = Overlay(base.silent)
        self.silent_behind: Overlay[int] = Overlay(base.silent_behind)
        self.alive: dict[str, tuple[Supervised, datetime, str]] = {}  # who gave a sign of life: when, on which line
        self.due: dict[str, datetime | None] = {}  # what is due when, None: never
        self.watch = base.watch
        self.watching: dict[str, Watching] = {}  # what is known of watched persons from now on
        self.steps: list[tuple[str, str]] = []  # of ladders, each with what came of it
        self.missed = 0
        self.sent: list[tuple[Key, datetime]] = []  # alarms and faults that devices raised
        self.nodes: list[str] = []  # key nodes that passed in vain, by reason
        self.strangers: set[str] = set()  # keys of `seen` that are on no register
        self.seen: dict[str, Seen] = {}
        self.changed: set[str] = set()  # keys of `seen` that must be on disk together with the records: their edges were news
        self.known: dict[str, None] = {}
        self.records: list[Record] = []
        self.refusals: list[Refusal] = []
        self.reports: list[ReportWrite] = []
        self.corrections: list[CorrectionWrite] = []
        self.access: list[AccessWrite] = []
        self.next_number = base.next_number
        self.opened = 0
        self.closed = 0

    def policy_of(self, incident: Incident) -> Policy:
        """How an incident is pressed. Troubles of one device are tasks for a technician: they have hours, and do not ring the desk every minute."""
        if incident.kind is Kind.SERVICE_REQUEST:
            return self.policy.service
        is_task = KINDS[incident.kind].group is Group.DEVICE and not incident.path
        if is_task and (incident.kind is Kind.OFFLINE or incident.severity.rank >= Severity.MINOR.rank):
            return self.policy.warning
        return self.policy_for(incident.severity)

    def policy_for(self, severity: Severity) -> Policy:
        """How an incident of this severity is pressed."""
        policy: Policy = getattr(self.policy, "warning" if severity is Severity.NONE else severity.value)
        return policy

    def new_incident_id(self) -> str:
        """I100001, I100002, …: short enough to be said on the telephone."""
        number, self.next_number = self.next_number, self.next_number + self.base.shard.count
        return f"I{number}"

    def is_known(self, identity: str) -> bool:
        """Was a message with this identity seen, in this batch or before?"""
        return identity in self.known or identity in self.base.known

    def load(self, responder: str, pool: str = "") -> int:
        """Open orders that this responder carries; ordinary services have a pool of their own, SERVICE_POOL."""
        return self._load.get(f"{responder}|{pool}" if pool else responder) or 0

    def carries(self, responder: str, pool: str = "") -> int:
        """As `load`, with what other shards have given them."""
        return self.load(responder, pool) + self.base.load_elsewhere.get(f"{responder}|{pool}" if pool else responder, 0)

    def standing(self, key: str, now: datetime) -> Standing | None:
        """What is ruled about this, as long as it holds."""
        standing = self.standings.get(key)
        return standing if standing is not None and standing.holds(now) else None

    def last_seen(self, device: str) -> Seen | None:
        """Last sign of life of a device."""
        return self.seen.get(device) or self.base.seen.get(device) or self.base.strangers.get(device)

    def see(self, device: str, seen: Seen) -> None:
        """What is known of a device from now on."""
        self.seen[device] = seen

    def watching_of(self, one: Watched) -> Watching:
        """What is known of a watched person."""
        return self.watching.get(one.person.id) or one.state

    def keep_watching(self, one: Watched, state: Watching, now: datetime, *, is_changed: bool = False) -> None:
        """What is known of a watched person from now on. is_changed: it must be on disk together with the records."""
        self.watching[one.person.id] = state
        self.see(one.name, Seen(at=now, watching=state))
        if is_changed:
            self.changed.add(one.name)

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
        """Write an incident with what its devices are now to be told, and keep the indexes over keys and legs true."""
        if self.base.tell_lines:
            incident = with_tellings(incident, self.base.tell_lines)
        if incident.person is not None or incident.silent:
            incident = with_notices(incident, self.register)
        before = self.incidents.get(incident.id)
        has_moved = before is None or before.legs is not incident.legs
        if not incident.stages or has_moved:
            incident = with_stages(before, incident)
        self.incidents[incident.id] = incident
        was_open, is_open = before is not None and before.is_open, incident.is_open
        _move(self.by_key, incident.id, (before.key,) if before and was_open else (), (incident.key,) if is_open else ())
        _move(self.by_alias, incident.id, before.aliases if before and was_open else (), incident.aliases if is_open else ())
        if has_moved:
            was = {leg.delivery: _carried(leg) for leg in before.legs if leg.state in OPEN_LEG} if before else {}
            for leg in incident.legs:
                if leg.delivery not in self.by_delivery:
                    self.by_delivery[leg.delivery] = incident.id
                if leg.state in OPEN_LEG and was.pop(leg.delivery, None) is None:
                    self._load[_carried(leg)] = self.load(_carried(leg)) + 1
            for carried in was.values():
                self._load[carried] = max(0, self.load(carried) - 1)
        if before is not None and was_open is not is_open:
            self.closed += 1 if was_open else -1

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
        for overlay in (
            self.incidents,
            self.by_key,
            self.by_alias,
            self.by_delivery,
            self.calls,
            self._load,
            self.standings,
            self.silent,
            self.silent_behind,
        ):
            if overlay.written:
                overlay.settle()
        strangers = {key: self.seen[key] for key in self.strangers} if self.strangers else {}
        mine = {key: seen for key, seen in self.seen.items() if key not in strangers} if strangers else self.seen
        for memory, news, limit in (
            (base.known, self.known, KNOWN_LIMIT),
            (base.seen, mine, SEEN_LIMIT),
            (base.strangers, strangers, STRANGERS_LIMIT),
        ):
            if news:
                memory.update(news)  # type: ignore[arg-type]
                for key in news:
                    memory.move_to_end(key)
                while len(memory) > limit:
                    memory.popitem(last=False)
        for name, (_, at, line) in self.alive.items():
            one = base.supervision.by_name.get(name)
            if one is not None:  # the register may have been read again while the batch was written
                base.supervision.heard(one, at, line)
                base.due.put(name, at + one.window)
        for name, due in self.due.items():
            if due is None:
                base.due.drop(name)
            else:
                base.due.put(name, due)
        for person, state in self.watching.items():
            watched = base.watch.by_person.get(person)
            if watched is not None:  # else a register without this watch came in between
                watched.state = state
        base.watch.counts.update(self.steps)
        base.watch.missed += self.missed
        base.nodes.update(self.nodes)
        for sender, sent_at in self.sent:
            base.senders.note(sender, sent_at, base.desk)
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


def _carried(leg: Leg) -> str:
    if leg.role in INFORMED:
        return f"{leg.responder}|{INFORMED_POOL}"
    return f"{leg.responder}|{SERVICE_POOL}" if leg.role is Role.SERVICE else leg.responder


def _joined_last(incident: Incident) -> tuple[bool, datetime, str]:
    """The last in this order is joined."""
    return incident.state is not State.RESOLVED, incident.opened_at, incident.id


_encoder = msgspec.json.Encoder()


def _encode(value: object) -> bytes:
    """JSON; an event without its raw bytes, which have a column of their own (msgspec leaves out what is default)."""
    if isinstance(value, Event) and value.raw:
        value = msgspec.structs.replace(value, raw=b"")
    return _encoder.encode(value)
