"""De-identified figures (domain 6.12): counts by area and kind in which nobody can be found again.

A cell that fewer than `k` persons are in is put together with others: of the same kind in other areas first, then of all kinds of its period.
What is left is told together with the smallest cell of the period, so that it cannot be worked out from a total; a period with fewer than `k`
persons in all is not told.
"""

from collections.abc import Iterable, Iterator
from statistics import fmean, median

import msgspec

K = 5  # persons a cell; the usual least size in official statistics of small areas is three to ten
OTHERS = "*"


class Fact(msgspec.Struct, frozen=True):
    """One incident, without anything that tells whose it is but `who`, which only counts. Minutes from the cry to somebody there."""

    period: str
    area: str
    kind: str
    who: str
    minutes: float | None = None
    outcome: str = ""
    satisfaction: int | None = None


class Cell(msgspec.Struct, frozen=True):
    """A line of the export. Figures of fewer than `k` incidents are None."""

    period: str
    area: str
    kind: str
    incidents: int
    persons: int
    median_minutes: float | None
    within_15: float | None
    helped: float | None
    satisfaction: float | None


Key = tuple[str, str]


def cells(facts: Iterable[Fact], k: int = K) -> Iterator[Cell]:
    """The cells of all periods, in order."""
    by_period: dict[str, list[Fact]] = {}
    for fact in facts:
        by_period.setdefault(fact.period, []).append(fact)
    for period in sorted(by_period):
        yield from (_cell(period, key, group, k) for key, group in sorted(_told(by_period[period], k).items()))


def _told(facts: list[Fact], k: int) -> dict[Key, list[Fact]]:
    """Groups large enough, by area and kind."""
    groups: dict[Key, list[Fact]] = {}
    for fact in facts:
        groups.setdefault((fact.area, fact.kind), []).append(fact)
    for widen in (lambda key: (OTHERS, key[1]), lambda _: (OTHERS, OTHERS)):
        small = [key for key, group in groups.items() if _persons(group) < k]
        for key in small:
            group = groups.pop(key)
            groups.setdefault(widen(key), []).extend(group)
    rest = groups.get((OTHERS, OTHERS))
    while rest is not None and _persons(rest) < k:
        others = [key for key in groups if key != (OTHERS, OTHERS)]
        if not others:
            return {}
        rest.extend(groups.pop(min(others, key=lambda key: (_persons(groups[key]), key))))
    return groups


def _persons(group: list[Fact]) -> int:
    return len({fact.who for fact in group})


def _cell(period: str, key: Key, group: list[Fact], k: int) -> Cell:
    minutes = [fact.minutes for fact in group if fact.minutes is not None]
    outcomes = [fact.outcome for fact in group if fact.outcome]
    content = [fact.satisfaction for fact in group if fact.satisfaction is not None]
    return Cell(
        period,
        *key,
        incidents=len(group),
        persons=_persons(group),
        median_minutes=round(median(minutes), 1) if len(minutes) >= k else None,
        within_15=round(sum(one <= 15 for one in minutes) / len(minutes), 3) if len(minutes) >= k else None,
        helped=round(sum(one in ("helped", "hospital") for one in outcomes) / len(outcomes), 3) if len(outcomes) >= k else None,
        satisfaction=round(fmean(content), 2) if len(content) >= k else None,
    )
