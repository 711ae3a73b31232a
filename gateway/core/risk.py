"""What risk warnings are computed from, and what a rule says: cases (incidents as far as rules count them), and one measure for each subject.

Pure. The rules are gateway.core.risk_rules, what becomes of their measures gateway.core.risk_edges.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from math import sqrt

import msgspec

from gateway.config.risk import RiskConfig
from gateway.core.incident import Flag, Incident, Outcome, Role
from gateway.core.register import Device, Register
from gateway.core.score import WorkLeg
from gateway.event import KINDS, Group, Kind, Severity

MONTH, WEEK, DAY = timedelta(days=30), timedelta(days=7), timedelta(days=1)
# 1,300 alarms a day for 30 days (a large district has 200), 30 MB. Of more the oldest are left out, and the windows are shorter.
CASES_LIMIT = 40_000
ALARMS = frozenset((Group.PERSON, Group.ENVIRONMENT))
NOT_REAL = frozenset((Outcome.FALSE_ALARM, Outcome.TEST, Outcome.MERGED, Outcome.CANCELLED))
CERTAIN = 1.96  # standard deviations: 95 %


class Case(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """As much of an incident as rules count. Read from its stored body, too."""

    id: str
    kind: Kind
    severity: Severity
    opened_at: datetime
    person: str | None = None
    line: str = ""
    device: str | None = None
    cries: int = 1
    also: tuple[Kind, ...] = ()
    flags: tuple[Flag, ...] = ()
    outcome: Outcome | None = None
    service: str = ""
    merged_into: str | None = None
    acknowledged_at: datetime | None = None
    closed_at: datetime | None = None
    legs: tuple[WorkLeg, ...] = ()

    @property
    def counts(self) -> bool:
        """Is it one of its own, and no work on the device?"""
        return self.merged_into is None and Flag.MAINTENANCE not in self.flags

    @property
    def is_alarm(self) -> bool:
        return self.counts and not self.service and KINDS[self.kind].group in ALARMS


def case_of(incident: Incident) -> Case:
    """The case of an incident in memory."""
    legs = tuple(
        WorkLeg(leg.responder, leg.state, leg.ordered_at, leg.answered_at, leg.arrived_at, leg.promised_at, leg.role, leg.reason)
        for leg in incident.legs
    )
    same = {name: getattr(incident, name) for name in Case.__struct_fields__ if name != "legs"}
    return Case(legs=legs, **same)


class Concern(StrEnum):
    """What a warning is about. Of a person only those hear who handle incidents."""

    PERSON = "person"
    DEVICE = "device"
    MODEL = "model"
    RESPONDER = "responder"
    LINE = "line"
    DESK = "desk"


class Measured(msgspec.Struct, frozen=True, gc=False):
    """How it stands with one subject: from 1 on it is a warning. facts: numbers to show beside it, never personal data."""

    subject: str
    value: float
    facts: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class Scene:
    """What rules look at. Everything is read only.

    cases      of the last 30 days, oldest first; covers: how far back they reach
    places     responder → orders it can carry now, 0 while closed
    batteries  (line, address) → (percent now, its low limit, days until empty or None: not known)
    silences   line → (messages that its silence usually would have held, seconds silent); only lines whose habit is known
    """

    now: datetime
    config: RiskConfig
    register: Register
    cases: Sequence[Case] = ()
    covers: timedelta = MONTH
    places: Mapping[str, int] = field(default_factory=dict)
    batteries: Mapping[tuple[str | None, str], tuple[float, float, float | None]] = field(default_factory=dict)
    silences: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def since(self, span: timedelta) -> Iterator[Case]:
        """Cases opened in this last time."""
        begin = self.now - span
        return (case for case in self.cases if case.opened_at > begin)

    def device_of(self, case: Case) -> Device | None:
        return self.register.device(case.line, case.device)


class Rule(msgspec.Struct, frozen=True):
    """One rule. over: below this measure its warning is over (it was raised at 1), so that it does not flap.

    keeps: a subject that is not measured stays as it is (what is known of it is in memory only, and grows anew after a start)
    """

    name: str
    concern: Concern
    over: float
    measure: Callable[[Scene], Iterator[Measured]]
    keeps: bool = False


HELPERS = frozenset((Role.SOCIAL, Role.MEDICAL, Role.NEIGHBOUR, Role.SERVICE))


def at_least(hits: int, count: int) -> float:
    """The share that there surely is: the lower end of Wilson's 95 % interval. 3 of 3 are 0.44, 30 of 30 are 0.89."""
    if not count:
        return 0.0
    share, square = hits / count, CERTAIN * CERTAIN
    middle = share + square / (2 * count)
    return max(0.0, (middle - CERTAIN * sqrt((share * (1 - share) + square / (4 * count)) / count)) / (1 + square / count))
