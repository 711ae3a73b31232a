"""Alarm management of a period, and outcomes without anybody's name: from incidents as they stand, counted once. Pure.

The figures are those of EEMUA 191 and ISA-18.2 (rate per operator, share per priority, floods, worst actors, stale, shelved), with the answering
times of service-levels: 15 s (GB/T 33358), 60 and 180 s (TSA).
"""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from gateway.console.device_views import ref_of
from gateway.console.views import Json, shown_device
from gateway.core.duty import CHINA
from gateway.core.incident import Flag, Incident, Outcome, State
from gateway.core.register import Register
from gateway.core.service_need import is_request
from gateway.event import KINDS, Group, Severity
from gateway.incident_clocks import ARRIVE, TAKE, is_measured, stopped, street_of

TEN_MIN = timedelta(minutes=10)
STALE = timedelta(hours=24)  # ISA-18.2: an alarm that stands for a day says nothing any more
WITHIN = (15, 60, 180)
AIMS = {Severity.CRITICAL: None, Severity.MAJOR: 0.05, Severity.MINOR: 0.15, Severity.WARNING: 0.80}  # 1 and 2 together: 5 %
LEVELS = (Severity.CRITICAL, Severity.MAJOR, Severity.MINOR, Severity.WARNING)
LEAST = 5  # counts below it could point at somebody (domain 6.5)
CIRCLE_S = 900.0  # the fifteen-minute circle (domain 2.5)


def kpi(
    incidents: Sequence[Incident], since: datetime, until: datetime, now: datetime, operators: int, floods: Sequence[tuple[datetime, bool]]
) -> Json:
    """Of incidents opened in the period. operators: people on duty, at least 1 is reckoned with; floods: (when, begins) in order."""
    alarms = [one for one in incidents if not is_request(one) and one.merged_into is None and Flag.MAINTENANCE not in one.flags]
    tens = max(1.0, (min(until, now) - since) / TEN_MIN)
    levels = Counter(one.severity for one in alarms)
    urgent = levels[Severity.CRITICAL] + levels[Severity.MAJOR]
    per_ten = Counter((one.opened_at - since) // TEN_MIN for one in alarms)
    busiest = max(per_ten.items(), key=lambda item: (item[1], -item[0]), default=None)
    taken = sorted((one.acknowledged_at - one.opened_at).total_seconds() for one in alarms if one.acknowledged_at is not None)
    waits = [(min(now, until) - one.opened_at).total_seconds() for one in alarms if one.state is State.RAISED and one.shelf is None]
    return {
        "since": since,
        "until": until,
        "incidents": len(alarms),
        "alarms": sum(one.entries for one in alarms),
        "operators": operators,
        "alarms_10min_operator": round(len(alarms) / tens / max(1, operators), 2),
        "busiest_10min": {"at": since + busiest[0] * TEN_MIN, "count": busiest[1]} if busiest is not None else None,
        "levels": {level.value: {"count": levels[level], "share": _share(levels[level], len(alarms)), "aim": AIMS[level]} for level in LEVELS},
        "urgent_share": _share(urgent, len(alarms)),
        "flood": flood_of(floods, since, min(until, now)),
        "worst": list(worst(alarms)),
        "repeats": {"incidents": sum(one.cries > 1 for one in alarms), "entries": sum(one.entries - 1 for one in alarms)},
        "oldest_waiting_s": round(max([*taken, *waits], default=0.0)),
        "answer": {
            "count": len(taken),
            **{f"within_{limit}": _share(sum(one <= limit for one in taken), len(taken)) for limit in WITHIN},
            "median_s": round(statistics.median(taken), 1) if taken else None,
            "longest_s": round(taken[-1], 1) if taken else None,
        },
        "stale": sum(one.is_open and now - one.opened_at > STALE for one in alarms),
        "shelved": sum(one.shelf is not None for one in alarms),
    }


def worst(alarms: Iterable[Incident], most: int = 10) -> Iterator[Json]:
    """Devices and kinds with most entries: the bad actors."""
    counted: Counter[tuple[str, str, str]] = Counter()
    for one in alarms:
        if one.device is not None:
            counted[one.line, one.device, one.kind.value] += one.entries
    for (line, device, kind), count in sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:most]:
        yield {"line": line, "device": shown_device(device), "ref": ref_of(line, device), "kind": kind, "count": count}


def flood_of(edges: Sequence[tuple[datetime, bool]], since: datetime, until: datetime) -> Json:
    """Minutes in flood and how often it began. A flood that was on at `since` begins with an edge that says it is over."""
    seconds, times = 0.0, 0
    began = since if edges and not edges[0][1] else None
    for at, begins in edges:
        if begins and began is None:
            began, times = at, times + 1
        elif not begins and began is not None:
            seconds += (at - began).total_seconds()
            began = None
    if began is not None:
        seconds += max(0.0, (until - began).total_seconds())
    return {"minutes": round(seconds / 60, 1), "times": times}


def outcomes(register: Register, incidents: Iterable[Incident]) -> list[Json]:
    """Per month and street or town: closed alarms of people and homes by outcome, how fast, and how people judged. Small numbers are withheld."""
    found: defaultdict[tuple[str, str], list[Incident]] = defaultdict(list)
    for one in incidents:
        if one.state is State.CLOSED and one.merged_into is None and KINDS[one.kind].group in (Group.PERSON, Group.ENVIRONMENT, Group.TELEPHONE):
            found[one.opened_at.astimezone(CHINA).strftime("%Y-%m"), street_of(register, one.area)].append(one)
    return [_outcome_row(month, area, several) for (month, area), several in sorted(found.items())]


def _outcome_row(month: str, area: str, several: Sequence[Incident]) -> Json:
    counted = Counter(one.outcome for one in several if one.outcome is not None)
    clocks: dict[str, list[float]] = {TAKE: [], ARRIVE: []}
    for one in several:
        for clock, seconds in stopped(one) if is_measured(one) else ():
            if clock in clocks and seconds is not None:
                clocks[clock].append(seconds)
    rated = [one.satisfaction for one in several if one.satisfaction is not None]
    in_circle = sum(one <= CIRCLE_S for one in clocks[ARRIVE])
    hidden = [name for name in Outcome if 0 < counted[name] < LEAST]
    if len(hidden) == 1:  # the rest would say what it is
        hidden += sorted((name for name in Outcome if counted[name] >= LEAST), key=lambda name: (counted[name], name))[:1]
    return {
        "month": month,
        "area": area,
        "incidents": len(several) if len(several) >= LEAST else None,
        "outcomes": {name.value: None if name in hidden else counted[name] for name in Outcome if counted[name]},
        "arrived_15min": _share(in_circle, len(clocks[ARRIVE])) if len(clocks[ARRIVE]) >= LEAST else None,
        "take_median_s": round(statistics.median(clocks[TAKE])) if len(clocks[TAKE]) >= LEAST else None,
        "satisfaction": round(statistics.mean(rated), 1) if len(rated) >= LEAST else None,
        "rated": len(rated) if len(rated) >= LEAST else None,
    }


def _share(count: int, of: int) -> float | None:
    return round(count / of, 3) if of else None
