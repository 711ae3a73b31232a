"""Who is watched over, by which rules, and what is known of each: the last sign of life, the waking time that counts, an absence.

The objects here are changed only when a draft settles. A sign costs one look-up and one small object; when somebody is due is worked out anew
only when the time that was known comes up (gateway.core.due).
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import msgspec

from gateway.config import WatchConfig
from gateway.core.register import Device, Person, Register
from gateway.core.watch_clock import WakingClock
from gateway.event import KINDS, Group, Kind

# After a start nobody is missed sooner: a watch comes back every five to eight minutes (watch sheet, section 4), a broker with what it kept at
# once. It does not add up: who restarts the gateway every hour delays a missed check-in by this, once.
START_GRACE = timedelta(minutes=10)
# Without an end an absence is looked at so often: only so that its row on disk never seems to be of somebody who is gone.
LOOK = timedelta(days=30)
KEPT_S = 600  # a sign that is newer than that on disk by so much is worth a row: 37 a second for 22,000 persons

# Kinds that a person alone can cause. Not: what a device does by itself, on a charger too (heartbeats, positions, charges, tests, the wandering
# of a fix over a fence), nor what happens to a home (smoke, water, a power cut). A panel's test and a call told afterwards are no signs either.
SIGNS = frozenset(
    (
        *(Kind.MOTION, Kind.CONTACT_OPEN, Kind.CONTACT_CLOSED, Kind.BUTTON, Kind.CHECKIN, Kind.VIBRATION, Kind.CANCEL),
        *(Kind.CALL_OFFERED, Kind.CALL_ANSWERED, Kind.CALL_ABANDONED, Kind.CALL_MISSED),
        *(kind for kind, facts in KINDS.items() if facts.group is Group.PERSON),
    )
)


class Absence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Somebody is away, so that no sign is expected. until: None = until cancelled; by: operator or family; name: of the relative."""

    since: datetime
    until: datetime | None = None
    by: str = "operator"
    actor: str = ""
    name: str = ""
    note: str = ""


class Watching(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What is known of one watched person.

    since, counted_s  waking time counts from `since` on, beside what had counted before: time in which we were down is left out
    sign_at, sign     the newest sign of life and its kind
    """

    since: datetime
    counted_s: float = 0.0
    sign_at: datetime | None = None
    sign: str = ""
    absence: Absence | None = None


UNKNOWN = Watching(since=datetime.min)


class Watched:
    """One person. name: under which they are due; devices: theirs, and those of a home in which nobody else is registered; signs: what counts."""

    __slots__ = ("clock", "devices", "name", "person", "rules", "signs", "state")

    def __init__(self, person: Person, rules: WatchConfig, clock: WakingClock, signs: frozenset[Kind], state: Watching) -> None:
        self.person = person
        self.name = f"watch:{person.id}"
        self.rules = rules
        self.clock = clock
        self.signs = signs
        self.state = state
        self.devices: tuple[Device, ...] = ()

    @property
    def interval(self) -> timedelta:
        """Waking time without a sign after which a check-in is missed."""
        return timedelta(seconds=self.rules.within_s + self.rules.grace_s)

    def due(self, state: Watching) -> datetime:
        """When the check-in is missed, or the absence is to be looked at."""
        if state.absence is not None:
            return state.absence.until or state.since + LOOK
        return self.clock.after(state.since, self.interval - timedelta(seconds=state.counted_s))


class Watch:
    """The watched persons of one register. What is known of a person moves over from the watch by the register before."""

    def __init__(self, register: Register | None = None, rules: Iterable[WatchConfig] = (), before: "Watch | None" = None) -> None:
        self.by_person: dict[str, Watched] = {}
        self.rules = {one.name: one for one in rules}
        self.counts: Counter[tuple[str, str]] = before.counts if before is not None else Counter()  # (step of a ladder, result)
        self.missed: int = before.missed if before is not None else 0
        self._alone: dict[str, Watched] = {}  # home → who lives there, if nobody else is registered in it
        if register is None or not self.rules:
            return
        clocks = {name: WakingClock(one.quiet) for name, one in self.rules.items()}
        signs = {name: frozenset(map(Kind, one.signs)) or SIGNS for name, one in self.rules.items()}
        homes = Counter(person.home for person in register.persons.values() if person.home)
        for person in register.persons.values():
            one = self.rules.get(person.watch) if person.watch else None
            if one is None:
                continue
            known = before.by_person.get(person.id) if before is not None else None
            watched = Watched(person, one, clocks[one.name], signs[one.name], known.state if known is not None else UNKNOWN)
            self.by_person[person.id] = watched
            if person.home and homes[person.home] == 1:
                self._alone[person.home] = watched
        found: dict[str, list[Device]] = {}
        for device in register.devices:
            owner = self.of(device)
            if owner is not None:
                found.setdefault(owner.person.id, []).append(device)
        for name, devices in found.items():
            self.by_person[name].devices = tuple(devices)

    def of(self, device: Device | None) -> Watched | None:
        """Of whom this device tells a sign of life: its person, or the only one who lives in its home."""
        if device is None:
            return None
        return self.by_person.get(device.person) if device.person is not None else self._alone.get(device.home or "")

    def amend(self, register: Register, persons: Iterable[str]) -> None:
        """The devices of these persons are others."""
        for name in persons:
            if name in self.by_person:
                mine = (device for device in register.devices if (owner := self.of(device)) is not None and owner.person.id == name)
                self.by_person[name].devices = tuple(mine)

    def new(self) -> Iterator[Watched]:
        """Those of whom nothing is known yet."""
        return (one for one in self.by_person.values() if one.state is UNKNOWN)

    def shift(self, by: timedelta) -> None:
        """The wall clock stepped: what has counted stays what it was. The end of an absence is a date that somebody has said, and stays."""
        for one in self.by_person.values():
            state = one.state
            sign_at = state.sign_at + by if state.sign_at is not None else None
            one.state = msgspec.structs.replace(state, since=state.since + by, sign_at=sign_at)


def is_worth_keeping(before: Watching | None, now: Watching) -> bool:
    """Must it be on disk soon, so that a kill forgets no more than the last ten minutes of it?"""
    if before is None or before.absence != now.absence or before.since == UNKNOWN.since:
        return True
    return int(before.since.timestamp()) // KEPT_S != int(now.since.timestamp()) // KEPT_S


def resumed(one: Watched, state: Watching, alive_until: datetime, now: datetime) -> Watching:
    """After a start: what had counted until we went down still counts, the time in which we heard nothing does not."""
    if state.sign_at is not None and state.sign_at > now:  # the clock was set back: else each sign would be older than the last
        state = msgspec.structs.replace(state, sign_at=now)
    if state.absence is not None:
        return msgspec.structs.replace(state, since=now)
    counted = one.clock.between(state.since, min(alive_until, now)).total_seconds()
    return msgspec.structs.replace(state, since=now, counted_s=state.counted_s + counted)
