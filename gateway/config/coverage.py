"""`[coverage]`: against which targets the fifteen-minute circle is reported. Two wordings stand in one document (domain 7), so they are data."""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from gateway.config.words import Name
from gateway.toml_file import Fault

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Clock = Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", examples=["10:00"])]


class CoverageTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[coverage.target]]`: so large a share of the areas of these kinds is to be served. area_kinds: words of areas.csv."""

    name: Name
    area_kinds: tuple[str, ...]
    share: Share


# Honggu's plan of 2017 says it twice with the percentages exchanged: under its goals (a) and under its tasks (b).
TARGETS = (
    CoverageTarget(name="goals_communities", area_kinds=("community",), share=1.0),
    CoverageTarget(name="goals_streets", area_kinds=("street", "town"), share=0.9),
    CoverageTarget(name="goals_villages", area_kinds=("village",), share=0.6),
    CoverageTarget(name="tasks_streets", area_kinds=("street", "town"), share=1.0),
    CoverageTarget(name="tasks_communities", area_kinds=("community",), share=0.9),
    CoverageTarget(name="tasks_villages", area_kinds=("village",), share=0.6),
)


class CoverageConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[coverage]`.

    times         local times at which it is looked at, on a weekday that is worked: by day and by night other stations are open
    area_share    an area counts as served when so large a share of its people is within the circle
    cell_deg      side of the squares of the map, degrees: 0.005 is about 500 m, so that nobody's home is shown
    cell_least    squares with fewer people are shown without a colour
    """

    times: tuple[Clock, ...] = ("10:00", "03:00")
    area_share: Share = 0.5
    cell_deg: Annotated[float, msgspec.Meta(ge=0.001, le=0.5)] = 0.005
    cell_least: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3
    target: tuple[CoverageTarget, ...] = TARGETS


def coverage_faults(coverage: CoverageConfig) -> Iterator[Fault]:
    """What the types do not see."""
    if not coverage.times:
        yield ("times",), "is empty", 'write ["10:00", "03:00"]'
