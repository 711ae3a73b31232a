"""What `gateway check` doubts about the responder tree: staff, rosters, providers and agreements against what the documents ask.

Nothing here keeps a district from being used; each doubt names ids. Days are those of the caller's `now`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

from gateway.core.capability import NAMED_FROM, never, staff_of_street
from gateway.core.duty import CHINA, prepare
from gateway.core.register import AreaKind, Doubt, Register, Responder, ResponderKind
from gateway.core.services import Services
from gateway.core.territory import AidAgreement, ProviderState

SOON = timedelta(days=30)  # time to talk about a new agreement, and to have it assessed
LOOKED_AHEAD = 7  # days of a roster that are looked at: every weekday once
STEP = timedelta(minutes=30)  # shifts begin and end at full or half hours; a hole that is shorter than this is a hand-over
MODEL_SUPPORTS = 2  # domain 3.2: a model county supports one or two
GO_OUT = (ResponderKind.STATION, ResponderKind.STREET_CENTRE, ResponderKind.CARE_CENTRE)  # who must be there for an area
WORKING = (ProviderState.ADMITTED, ProviderState.PROBATION)  # whose end would be felt
STREETS = (AreaKind.STREET, AreaKind.TOWN)


def territory_doubts(register: Register, folder: str | Path, now: datetime, services: Services | None = None) -> Iterator[Doubt]:
    """Every doubt about the tree, in the order of the files. services: those of the configuration; None: ours alone."""
    folder, today = Path(folder), now.astimezone(CHINA).date()
    busy = _Week(register, today)
    yield from _tree(register, folder, busy)
    yield from _rosters(register, folder, busy)
    yield from _providers(register, folder, today, services or Services())
    yield from _aid(register, folder, today)


class _Week:
    """Who is on duty at every step of the coming days: responder → the greatest capacity, and the minutes of a day at which somebody always is."""

    def __init__(self, register: Register, first: date) -> None:
        start = datetime(first.year, first.month, first.day, tzinfo=CHINA)
        steps = [start + STEP * number for number in range(LOOKED_AHEAD * (timedelta(days=1) // STEP))]
        duties = prepare(register)
        self.capacity: dict[str, int] = {}
        self.closed: dict[str, frozenset[int]] = {}  # responder → numbers of the steps at which nobody is there
        self.steps = len(steps)
        for one in register.responders.values():
            found = [duties.of(one, step) for step in steps] if duties.plans[one.id].always is None else [duties.of(one, start)] * len(steps)
            self.capacity[one.id] = max(duty.capacity for duty in found)
            self.closed[one.id] = frozenset(number for number, duty in enumerate(found) if not duty.is_open)

    def holes(self, responders: Iterable[Responder]) -> str:
        """Hours of the day at which none of them is there on some day, as "20:00-08:00"; "" for none."""
        closed = frozenset.intersection(*(self.closed[one.id] for one in responders))
        of_day = timedelta(days=1) // STEP
        empty = sorted({number % of_day for number in closed})
        if len(empty) == of_day:
            return "00:00-24:00"
        starts = [number for number in empty if (number - 1) % of_day not in empty]
        return ", ".join(f"{_clock(start)}-{_clock(_end(start, empty, of_day))}" for start in starts)


def _end(start: int, empty: list[int], of_day: int) -> int:
    while start % of_day in empty:
        start += 1
    return start


def _clock(step: int) -> str:
    return f"{datetime(2000, 1, 1) + STEP * step:%H:%M}"


def _tree(register: Register, folder: Path, week: _Week) -> Iterator[Doubt]:
    """Streets without a centre, centres with too few (domain 2.13), skills that a kind never has (2.11)."""
    file = str(folder / "responders.csv")
    centres = [one for one in register.responders.values() if one.kind is ResponderKind.STREET_CENTRE]
    served = {area for one in centres for area in one.areas}
    yield from _doubt("no_centre", file, (area.id for area in register.areas.values() if area.kind in STREETS and area.id not in served))
    few = defaultdict(list)
    for one in centres:
        needed = max((staff_of_street(register.areas[area].elder_share) for area in one.areas if area in register.areas), default=1)
        if week.capacity[one.id] < needed:
            few[str(needed)].append(one.id)
    for of, ids in few.items():
        yield from _doubt("few_staff", file, ids, of)
    idle = defaultdict(list)
    for one in register.responders.values():
        for skill in never(one.kind).intersection(one.skills):
            idle[skill].append(one.id)
    for of, ids in sorted(idle.items()):
        yield from _doubt("skill_not_counted", file, ids, of)


def _rosters(register: Register, folder: Path, week: _Week) -> Iterator[Doubt]:
    """Nobody named where somebody must be (domain 2.14), nobody on duty, and the hours of an area that nobody covers."""
    file = str(folder / "rosters.csv")
    large = (one for one in register.responders.values() if one.kind is ResponderKind.STATION and (one.elders or 0) >= NAMED_FROM)
    yield from _doubt("unnamed", file, (one.id for one in large if not any(shift.people for shift in register.shifts.get(one.id, ()))))
    yield from _doubt("never_on_duty", file, (name for name, closed in week.closed.items() if len(closed) == week.steps))
    serving = defaultdict(list)
    for one in register.responders.values():
        if one.kind in GO_OUT:
            for area in one.areas:
                serving[_street_of(register, area)].append(one)
    holes = defaultdict(list)
    for street, responders in serving.items():
        if street:
            holes[week.holes(responders)].append(street)
    for of, ids in sorted(holes.items()):
        if of:
            yield from _doubt("hours_uncovered", file, ids, of)


def _street_of(register: Register, area: str) -> str:
    """The street or town of a place; "" above the streets."""
    name: str | None = area
    while name is not None and name in register.areas:
        if register.areas[name].kind in STREETS:
            return name
        name = register.areas[name].parent
    return ""


def _providers(register: Register, folder: Path, today: date, services: Services) -> Iterator[Doubt]:
    """Without a row no work; agreements and grades that end (domain 5.2, 5.5)."""
    file = str(folder / "providers.csv")
    kind = ResponderKind.PROVIDER
    yield from _doubt(
        "no_provider_row", file, (one.id for one in register.responders.values() if one.kind is kind and one.id not in register.providers)
    )
    working = [one for one in register.providers.values() if one.state in WORKING]
    ended, soon = _ending(((one.id, one.until) for one in working), today)
    yield from _doubt("agreement_ended", file, ended)
    yield from _doubt("agreement_ends", file, soon)
    ended, soon = _ending(((one.id, one.grade_until) for one in working), today)
    yield from _doubt("grade_ended", file, ended)
    strange = defaultdict(list)
    for row in register.providers.values():
        for code in row.services:
            if code not in services.by_code:
                strange[code].append(row.id)
    for code, ids in sorted(strange.items()):
        yield from _doubt("unknown_service", file, ids, code)
    yield from _doubt("grade_ends", file, soon)


def _aid(register: Register, folder: Path, today: date) -> Iterator[Doubt]:
    """Agreements that end, circles of one-way help, and models that help too many or nobody (domain 3.2, 3.4)."""
    file = str(folder / "agreements.csv")
    agreements = list(register.agreements.values())
    ended, soon = _ending(((one.id, one.until) for one in agreements), today)
    yield from _doubt("aid_ended", file, ended)
    yield from _doubt("aid_ends", file, soon)
    in_force = [one for one in agreements if one.since <= today <= one.until]
    for circle in _circles(in_force):
        yield from _doubt("aid_circle", file, circle)
    supported: dict[str, set[str]] = {one.helper: set() for one in agreements if one.model}
    for one in in_force:
        if one.model:
            supported[one.helper].add(one.helped)
    one_way = [one.id for one in in_force if not one.both]
    yield from _doubt("no_model", file, one_way if not supported else ())  # domain 3.2: each region names a model; pairs of equals are none
    yield from _doubt("model_too_many", file, (helper for helper, helped in supported.items() if len(helped) > MODEL_SUPPORTS))
    yield from _doubt("model_alone", file, (helper for helper, helped in supported.items() if not helped))


def _circles(agreements: list[AidAgreement]) -> list[tuple[str, ...]]:
    """Circles with at least one one-way agreement in them: who helps is helped in the end, and not both agreed. Each once."""
    helps: dict[str, set[str]] = defaultdict(set)
    for one in agreements:
        helps[one.helper].add(one.helped)
        if one.both:
            helps[one.helped].add(one.helper)
    found: dict[frozenset[str], tuple[str, ...]] = {}
    for one in agreements:
        if not one.both:
            way = _way(helps, one.helped, one.helper)
            if way:
                found.setdefault(frozenset(way), way)
    return list(found.values())


def _way(helps: dict[str, set[str]], start: str, goal: str) -> tuple[str, ...]:
    """The shortest chain of help from one to another; () if there is none."""
    chains: list[tuple[str, ...]] = [(start,)]
    seen = {start}
    for chain in chains:  # grows while it is walked: breadth first
        if chain[-1] == goal:
            return chain
        for name in sorted(helps[chain[-1]] - seen):
            seen.add(name)
            chains.append((*chain, name))
    return ()


def _ending(dated: Iterable[tuple[str, date | None]], today: date) -> tuple[list[str], list[str]]:
    """What has ended, and what ends within SOON."""
    known = [(name, until) for name, until in dated if until is not None]
    return [name for name, until in known if until < today], [name for name, until in known if today <= until <= today + SOON]


def _doubt(what: str, file: str, ids: Iterable[str], of: str = "") -> Iterator[Doubt]:
    named = tuple(ids)
    if named:
        yield Doubt(what, file, named, of)
