"""Service levels of alarms: how fast somebody took them, informed a responder, was there, rang back; per hotline and area, against profiles.

The clocks (service levels, section 1): `take` raised → an operator or responder has it; `inform` raised → the first order is with a responder;
`arrive` informed → on site; `call_back` resolved → rung back. Each clock of an incident counts once, when it stops; one that can never stop
(accepted, and over without an arrival) counts as missed. What came out of a device's store and tests count nowhere. How calls are answered is
measured by gateway.service_level; the counting itself is the same.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

import msgspec
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.clock import utc_now
from gateway.config import AnswerTarget, ProfileConfig
from gateway.core.incident import COMING, OPEN_LEG, Flag, Incident, Leg, LegState, Outcome, Role, State
from gateway.core.register import AreaKind, Register
from gateway.event import KINDS, Group
from gateway.service_level import DAY_S, Fate, Tally, Window, bounds_of
from gateway.service_level import Outcome as Fated

TAKE: Final = "take"
INFORM: Final = "inform"
ARRIVE: Final = "arrive"
CALL_BACK: Final = "call_back"
CLOCKS = (TAKE, INFORM, ARRIVE, CALL_BACK)

# NFPA 1221 (2013, 2016) and 1225 (2022): alarm to the first responder informed. TSA: alarm calls. UK practice of responders (MASCOT, Camden).
# The fifteen-minute circle is the district's own promise (domain 2.5); that nine of ten are enough is ours, as none of the documents says.
BUILT_IN = (
    ProfileConfig(
        name="tsa_alarm", clock=TAKE, target=(AnswerTarget(within_s=60, share=0.975), AnswerTarget(within_s=180, share=0.99)), list_beyond_s=180
    ),
    ProfileConfig(name="nfpa2013", clock=INFORM, target=(AnswerTarget(within_s=60, share=0.80), AnswerTarget(within_s=106, share=0.95))),
    ProfileConfig(name="nfpa2016", clock=INFORM, target=(AnswerTarget(within_s=64, share=0.90), AnswerTarget(within_s=106, share=0.95))),
    ProfileConfig(name="nfpa2022", clock=INFORM, target=(AnswerTarget(within_s=60, share=0.90),)),
    ProfileConfig(name="circle15", clock=ARRIVE, target=(AnswerTarget(within_s=900, share=0.90),), list_beyond_s=900),
    ProfileConfig(name="uk_responder", clock=ARRIVE, target=(AnswerTarget(within_s=2700, share=0.90), AnswerTarget(within_s=3600, share=1.0))),
    ProfileConfig(name="day_call_back", clock=CALL_BACK, target=(AnswerTarget(within_s=86_400, share=0.95),)),
)
KNOWN_LIMIT = 100_000  # incidents whose stopped clocks are remembered: a day of a province (40,000 alarms) with a storm on top
STREETS = frozenset((AreaKind.STREET, AreaKind.TOWN))  # by which areas are compared: communities are too small for a share
GOING = frozenset((Role.SOCIAL, Role.MEDICAL, Role.EMERGENCY))
NEVER = float("inf")
EVERY = ""  # all hotlines, all areas

Key = tuple[str, str, str]  # hotline, area, clock


class Level(msgspec.Struct, frozen=True):
    """One profile over its window, of one hotline and area ("" = all)."""

    hotline: str
    area: str
    profile: ProfileConfig
    tally: Tally


class IncidentClocks:
    """Give it each changed incident; ask for the levels. `now` is always an argument."""

    def __init__(self, profiles: Iterable[ProfileConfig] = ()) -> None:
        chosen = {profile.name: profile for profile in (*BUILT_IN, *profiles) if profile.clock in CLOCKS}
        self.profiles = tuple(chosen.values())
        self._bounds = {clock: bounds_of(one for one in self.profiles if one.clock == clock) for clock in CLOCKS}
        self._lengths = {clock: {one.window_s for one in self.profiles if one.clock == clock} for clock in CLOCKS}
        self._windows: dict[tuple[Key, float], Window] = {}
        self._counted_in: dict[Key, list[Window]] = {}
        self._stopped: OrderedDict[str, tuple[str, ...]] = OrderedDict()  # incident → its clocks that are counted

    @property
    def longest_window_s(self) -> float:
        """How far back incidents must be read after a start."""
        return max((profile.window_s for profile in self.profiles), default=DAY_S)

    def see(self, incident: Incident, register: Register, now: datetime) -> list[tuple[str, float | None]]:
        """Count the clocks that have stopped by now; gives them with their seconds, None: missed for ever."""
        if not has_begun(incident) or not is_measured(incident):
            return []
        counted = self._stopped.get(incident.id, ())
        news = [(clock, seconds) for clock, seconds in stopped(incident) if clock not in counted]
        if not news:
            return []
        self._stopped[incident.id] = (*counted, *(clock for clock, _ in news))
        while len(self._stopped) > KNOWN_LIMIT:
            self._stopped.popitem(last=False)
        hotline, area = incident.hotline or EVERY, street_of(register, incident.area)
        for clock, seconds in news:
            at = min(now, _stopped_at(incident, clock))
            outcome, waited_s = (Fated.MISSED, NEVER) if seconds is None else (Fated.ANSWERED, seconds)
            fate = Fate(incident.id, hotline, outcome, at, waited_s)
            for window in self._windows_of(hotline, area, clock):
                window.add(fate, at)
        return news

    def _windows_of(self, hotline: str, area: str, clock: str) -> list[Window]:
        """Where such an alarm is counted: of all, of its hotline, of its area, of both."""
        found = self._counted_in.get((hotline, area, clock))
        if found is None:
            found = self._counted_in[hotline, area, clock] = []
            for key in dict.fromkeys(((EVERY, EVERY, clock), (hotline, EVERY, clock), (EVERY, area, clock), (hotline, area, clock))):
                for window_s in self._lengths[clock]:
                    found.append(self._windows.setdefault((key, window_s), Window(window_s, self._bounds[clock])))
        return found

    def levels(self, now: datetime, hotline: str | None = None, area: str | None = None) -> Iterator[Level]:
        """What is measured at present; with hotline or area only that one."""
        for profile in self.profiles:
            for (one, place, clock), window_s in sorted(self._windows):
                if clock != profile.clock or window_s != profile.window_s:
                    continue
                if (hotline is None or one == hotline) and (area is None or place == area):
                    tally = self._windows[(one, place, clock), window_s].sum(now)
                    if tally.counted:
                        yield Level(one, place, profile, tally)


def is_measured(incident: Incident) -> bool:
    """An alarm of a person or home, cried now, no test."""
    is_alarm = KINDS[incident.kind].group in (Group.PERSON, Group.ENVIRONMENT)
    return is_alarm and Flag.LATE not in incident.flags and Flag.MAINTENANCE not in incident.flags and incident.outcome is not Outcome.TEST


def has_begun(incident: Incident) -> bool:
    """Can any of its clocks have stopped? Not while it is as it was opened, as most are that are looked at."""
    return incident.acknowledged_at is not None or incident.closed_at is not None or any(map(_is_told, incident.legs))


def stopped(incident: Incident) -> Iterator[tuple[str, float | None]]:
    """(clock, seconds) of those that have stopped; None: they never will in time."""
    taken, informed, arrived, has_said_yes = incident.acknowledged_at, None, None, False
    for leg in incident.legs:
        if leg.role in GOING:
            informed, arrived = _earlier(informed, leg.sent_at), _earlier(arrived, leg.arrived_at)
            if leg.answered_at is not None:
                taken = _earlier(taken, leg.answered_at) if leg.state in COMING or leg.arrived_at is not None else taken
                has_said_yes = has_said_yes or leg.state is not LegState.DECLINED
    if taken is not None:
        yield TAKE, max(0.0, (taken - incident.opened_at).total_seconds())
    if informed is not None:
        yield INFORM, max(0.0, (informed - incident.opened_at).total_seconds())
    if informed is not None and arrived is not None:
        yield ARRIVE, max(0.0, (arrived - informed).total_seconds())
    elif has_said_yes and arrived is None and incident.state in (State.RESOLVED, State.CLOSED):
        yield ARRIVE, None
    if incident.state is State.CLOSED and incident.resolved_at is not None and incident.closed_at is not None:
        yield CALL_BACK, None if incident.waived else max(0.0, (incident.closed_at - incident.resolved_at).total_seconds())


def street_of(register: Register, area: str | None) -> str:
    """The street or town in which an area lies; the area itself above that; "" when nobody knows."""
    above = register.areas_above(area)
    return next((name for name in above if register.areas[name].kind in STREETS), above[0] if above else EVERY)


def waiting(incidents: Iterable[Incident], now: datetime) -> dict[str, tuple[int, float]]:
    """Clock → (alarms for which it runs now, seconds of the longest)."""
    found: dict[str, list[float]] = {TAKE: [], INFORM: [], ARRIVE: []}
    for incident in incidents:
        if not incident.is_open or not is_measured(incident) or incident.state is State.RESOLVED:
            continue
        done = {clock for clock, _ in stopped(incident)}
        asked = [leg for leg in incident.legs if leg.state in OPEN_LEG]
        since = {TAKE: incident.opened_at, INFORM: incident.opened_at, ARRIVE: min((leg.sent_at for leg in asked if leg.sent_at), default=None)}
        for clock, at in since.items():
            if clock not in done and at is not None:
                found[clock].append(max(0.0, (now - at).total_seconds()))
    return {clock: (len(times), max(times, default=0.0)) for clock, times in found.items()}


class ClockCollector(Collector):
    """Levels as metrics, when somebody scrapes. Labels "" stand for all hotlines or areas; no series for a pair of both."""

    def __init__(self, clocks: IncidentClocks) -> None:
        self._clocks = clocks

    def collect(self) -> Iterator[Metric]:
        labels = ("clock", "profile", "hotline", "area")
        share = GaugeMetricFamily(
            "gateway_clock_share", "Share of alarms within so many seconds, in the profile's window", labels=(*labels, "within")
        )
        met = GaugeMetricFamily("gateway_clock_profile_met", "1 while all that the profile asks is reached, in its window", labels=labels)
        for level in self._clocks.levels(utc_now()):
            if level.hotline and level.area:
                continue
            names = [level.profile.clock, level.profile.name, level.hotline, level.area]
            met.add_metric(names, float(bool(level.tally.meets(level.profile))))
            for target in level.profile.target:
                share.add_metric([*names, f"{target.within_s:g}"], level.tally.share_within(target.within_s) or 0.0)
        yield from (share, met)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return one if other is None or (one is not None and one <= other) else other


def _is_told(leg: Leg) -> bool:
    return leg.sent_at is not None or leg.answered_at is not None or leg.arrived_at is not None


def _stopped_at(incident: Incident, clock: str) -> datetime:
    if clock == CALL_BACK:
        return incident.closed_at or incident.changed_at
    if clock == TAKE:
        times = (incident.acknowledged_at, *(leg.answered_at for leg in incident.legs))
    elif clock == INFORM:
        times = tuple(leg.sent_at for leg in incident.legs)
    else:
        times = tuple(leg.arrived_at for leg in incident.legs)
    return min((at for at in times if at is not None), default=incident.changed_at)
