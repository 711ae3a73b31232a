"""The figures of one month, counted from the journal: what happened in it, whatever happened since. Incidents give only what never changes of them.

A fact counts in the month in which it happened: an alarm raised at the end of a month and answered in the next one is an alarm of the first
and an answer of the second. Erased entries still count by what stays of them (kind, time, incident).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from statistics import median

import msgspec

from gateway.config import ProfileConfig
from gateway.core.duty import CHINA
from gateway.core.register import Register
from gateway.event import ALARM_KINDS, KINDS, Group, Kind
from gateway.incident_clocks import ARRIVE, CALL_BACK, INFORM, TAKE, street_of
from gateway.store.months import Opened, Step

NONE = "-"  # of no area, no hotline
UNMATCHED = "unmatched"  # the reason of a reminder that nobody can give a service (gateway.core.service_need)
TAKES = frozenset((Kind.ACKNOWLEDGE, Kind.ACCEPT))
ANSWERS = (Kind.ACCEPT, Kind.DECLINE, Kind.EXPIRED, Kind.FAILED, Kind.ARRIVED, Kind.DONE)
LOOP = (Kind.RESOLVE, Kind.CALL_BACK, Kind.WAIVE, Kind.COMPLAIN, Kind.HANDLE)
KINDS_BEFORE = (Kind.DISPATCH, Kind.SENT, Kind.ARRIVED, Kind.RESOLVE, Kind.CALL_BACK, *TAKES)
DEVICES = frozenset((Group.DEVICE, Group.LINE))


class Clock(msgspec.Struct):
    """How long something took, of all that stopped in the month: seconds, in no order."""

    seconds: list[float] = msgspec.field(default_factory=list)

    def within(self, bound: float) -> int:
        """How many took no longer."""
        return sum(one <= bound for one in self.seconds)

    @property
    def median_s(self) -> float | None:
        return median(self.seconds) if self.seconds else None

    @property
    def p90_s(self) -> float | None:
        """The smallest that nine of ten did not exceed."""
        ordered = sorted(self.seconds)
        return ordered[-(-9 * len(ordered) // 10) - 1] if ordered else None


class Provider(msgspec.Struct):
    """What one responder did: orders answered, by answer; arrivals, and how many within the circle."""

    answers: Counter[str] = msgspec.field(default_factory=Counter)
    arrived: int = 0
    in_circle: int = 0


class Month(msgspec.Struct):
    """All figures of one period. Keys of counters are words of the gateway; days and hours are local.

    area: the one whose figures these are, with all below it; "" = everywhere
    unmatched: (service, street) → requests for which nobody could be found at some time in the period (domain 5.10)
    """

    since: datetime
    until: datetime
    circle_s: float = 900.0
    area: str = ""
    alarms: int = 0
    by_kind: Counter[str] = msgspec.field(default_factory=Counter)
    by_severity: Counter[str] = msgspec.field(default_factory=Counter)
    by_day: Counter[int] = msgspec.field(default_factory=Counter)
    by_hour: Counter[int] = msgspec.field(default_factory=Counter)
    by_area: Counter[str] = msgspec.field(default_factory=Counter)
    cries: int = 0
    calls_opened: int = 0
    services: Counter[str] = msgspec.field(default_factory=Counter)
    unmatched: dict[tuple[str, str], set[str]] = msgspec.field(default_factory=dict)
    devices: Counter[str] = msgspec.field(default_factory=Counter)
    outcomes: Counter[str] = msgspec.field(default_factory=Counter)
    clocks: dict[str, Clock] = msgspec.field(default_factory=lambda: {name: Clock() for name in (TAKE, INFORM, ARRIVE, CALL_BACK)})
    arrivals_by_area: dict[str, Clock] = msgspec.field(default_factory=dict)
    beyond: int = 0
    ordered: int = 0
    travel_error_min: list[float] = msgspec.field(default_factory=list)
    loop: Counter[str] = msgspec.field(default_factory=Counter)
    satisfaction: Counter[int] = msgspec.field(default_factory=Counter)
    escalations: Counter[str] = msgspec.field(default_factory=Counter)
    responders: dict[str, Provider] = msgspec.field(default_factory=dict)

    @property
    def mean_satisfaction(self) -> float | None:
        """Mean of the marks given at call-backs, 1 to 5."""
        marks = sum(self.satisfaction.values())
        return sum(mark * count for mark, count in self.satisfaction.items()) / marks if marks else None

    def share(self, profile: ProfileConfig, within_s: float) -> float | None:
        """Share of what stopped in the month within a bound."""
        clock = self.clocks[profile.clock]
        return clock.within(within_s) / len(clock.seconds) if clock.seconds else None


def count(steps: Iterable[Step], opened: Mapping[str, Opened], before: Iterable[Step], register: Register, month: Month) -> Month:
    """Fill the month. steps: its journal entries, in order; before: those that incidents opened earlier had before it, of KINDS_BEFORE.

    Of a month of one area (`month.area`) only what happened to the incidents of `opened` counts, which are those of the area.
    """
    for incident in opened.values():
        if month.since <= incident.opened_at < month.until:
            _opened(month, incident, street_of(register, incident.area) or NONE)
    course = _Course(register)
    unseen = Month(month.since, month.until)
    for step in before:
        if (one := opened.get(step.incident or "")) is not None:
            course.pass_(step, one, unseen)
    for step in steps:
        one = opened.get(step.incident or "")
        if one is None and month.area:
            continue
        _count_anything(month, step, one)
        if one is not None and step.kind is Kind.REMIND and step.facts.get("reason") == UNMATCHED:
            month.unmatched.setdefault((one.service or NONE, street_of(register, one.area) or NONE), set()).add(one.id)
        if one is not None and one.kind in ALARM_KINDS:
            course.pass_(step, one, month)
    return month


class _Course:
    """What has happened to each alarm so far, so that each clock counts once and from where it began."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._had: dict[str, set[str]] = {}
        self._informed: dict[str, datetime] = {}  # delivery → when
        self._predicted: dict[str, float] = {}  # delivery → minutes
        self._resolved: dict[str, datetime] = {}

    def pass_(self, step: Step, one: Opened, month: Month) -> None:
        """One entry of this incident; counted in `month`."""
        kind, facts = step.kind, step.facts
        had = self._had.setdefault(one.id, set())
        delivery = _text(facts.get("delivery"))
        if kind is Kind.DISPATCH:
            minutes = _travel(facts)
            if minutes is not None:
                self._predicted[delivery] = minutes
            if kind not in had:
                month.ordered += 1
                month.beyond += minutes is None or minutes * 60 > month.circle_s
            had.add(kind)
        elif kind in TAKES and TAKE not in had:
            had.add(TAKE)
            month.clocks[TAKE].seconds.append(_since(one.opened_at, step.at))
        elif kind is Kind.SENT and _is_order(facts):
            self._informed.setdefault(delivery, step.at)
            if INFORM not in had:
                had.add(INFORM)
                month.clocks[INFORM].seconds.append(_since(one.opened_at, step.at))
        elif kind is Kind.ARRIVED:
            self._arrived(step, one, had, month)
        elif kind is Kind.RESOLVE:
            self._resolved[one.id] = step.at
        elif kind is Kind.CALL_BACK and (resolved := self._resolved.pop(one.id, None)) is not None:
            month.clocks[CALL_BACK].seconds.append(_since(resolved, step.at))

    def _arrived(self, step: Step, one: Opened, had: set[str], month: Month) -> None:
        detail = step.facts.get("detail")
        delivery = _text(detail.get("delivery")) if isinstance(detail, dict) else ""
        informed = self._informed.get(delivery)
        if informed is None:
            return  # erased since
        took = _since(informed, step.at)
        if delivery in self._predicted:
            month.travel_error_min.append(took / 60 - self._predicted[delivery])
        if step.device:
            responder = month.responders.setdefault(step.device, Provider())
            responder.arrived += 1
            responder.in_circle += took <= month.circle_s
        if ARRIVE not in had:
            had.add(ARRIVE)
            area = street_of(self._register, one.area) or NONE
            month.clocks[ARRIVE].seconds.append(took)
            month.arrivals_by_area.setdefault(area, Clock()).seconds.append(took)


def _opened(month: Month, incident: Opened, area: str) -> None:
    group = KINDS[incident.kind].group
    if group is Group.SERVICE:
        month.services[incident.service or NONE] += 1
    elif group in DEVICES:
        month.devices[incident.kind] += 1
    elif group is Group.TELEPHONE:
        month.calls_opened += 1
    elif incident.kind in ALARM_KINDS:
        local = incident.opened_at.astimezone(CHINA)
        month.alarms += 1
        month.by_kind[incident.kind] += 1
        month.by_severity[incident.severity] += 1
        month.by_day[local.day] += 1
        month.by_hour[local.hour] += 1
        month.by_area[area] += 1


def _count_anything(month: Month, step: Step, one: Opened | None) -> None:
    kind = step.kind
    if kind in ALARM_KINDS and step.phase == "raise":
        month.cries += 1
    if kind in LOOP:
        month.loop[kind] += 1
    if kind is Kind.RESOLVE:
        month.outcomes[_text(step.facts.get("outcome")) or NONE] += 1
    elif kind is Kind.CALL_BACK and isinstance(mark := step.facts.get("satisfaction"), int):
        month.satisfaction[mark] += 1
    elif kind is Kind.ESCALATE:
        month.escalations[_text(step.facts.get("reason")) or NONE] += 1
    responder = step.device or _text(step.facts.get("responder"))
    if kind in ANSWERS and one is not None and responder and not _text(step.facts.get("notice")):
        provider = month.responders.setdefault(responder, Provider())
        provider.answers[kind] += 1


def rows(month: Month, profiles: Iterable[ProfileConfig]) -> Iterator[tuple[str, str, str]]:
    """Every figure as (section, key, value), for CSV and for who compares two months."""
    yield "alarms", "opened", str(month.alarms)
    yield "alarms", "cries", str(month.cries)
    for section, counter in (
        ("alarms_by_kind", month.by_kind),
        ("alarms_by_severity", month.by_severity),
        ("alarms_by_day", month.by_day),
        ("alarms_by_hour", month.by_hour),
        ("alarms_by_area", month.by_area),
        ("services", month.services),
        ("devices", month.devices),
        ("outcomes", month.outcomes),
        ("loop", month.loop),
        ("satisfaction", month.satisfaction),
        ("escalations", month.escalations),
    ):
        yield from ((section, str(key), str(number)) for key, number in sorted(counter.items()))
    for (service, area), requests in sorted(month.unmatched.items()):
        yield f"unmatched_{service}", area, str(len(requests))
    yield "calls", "incidents", str(month.calls_opened)
    for name, clock in month.clocks.items():
        yield f"clock_{name}", "counted", str(len(clock.seconds))
        yield f"clock_{name}", "median_s", _number(clock.median_s)
        yield f"clock_{name}", "p90_s", _number(clock.p90_s)
    for profile in profiles:
        for target in profile.target:
            yield f"profile_{profile.name}", f"within_{target.within_s:g}_s", _number(month.share(profile, target.within_s))
    yield "circle", "first_orders", str(month.ordered)
    yield "circle", "first_orders_beyond", str(month.beyond)
    yield "circle", "arrivals", str(len(month.clocks[ARRIVE].seconds))
    yield "circle", "arrivals_within", str(month.clocks[ARRIVE].within(month.circle_s))
    yield "circle", "estimate_error_min", _number(median(month.travel_error_min) if month.travel_error_min else None)
    for area, clock in sorted(month.arrivals_by_area.items()):
        yield "circle_by_area", area, f"{clock.within(month.circle_s)}/{len(clock.seconds)}"
    yield "satisfaction", "mean", _number(month.mean_satisfaction)
    for name, provider in sorted(month.responders.items()):
        for kind in ANSWERS:
            if provider.answers[kind]:
                yield f"responder_{name}", kind, str(provider.answers[kind])
        yield f"responder_{name}", "within_circle", f"{provider.in_circle}/{provider.arrived}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _since(began: datetime, ended: datetime) -> float:
    return max(0.0, (ended - began).total_seconds())


def _is_order(facts: Mapping[str, object]) -> bool:
    return "delivery" in facts and "notice" not in facts and "told" not in facts


def _travel(facts: Mapping[str, object]) -> float | None:
    decision = facts.get("decision")
    minutes = decision.get("travel_min") if isinstance(decision, dict) else None
    return float(minutes) if isinstance(minutes, int | float) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
