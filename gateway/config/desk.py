"""`[desk]` and `[shelving]`: when a desk is flooded, when a sender runs away, and what may be put aside for how long."""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from gateway.config.words import Seconds
from gateway.event import KINDS, Group
from gateway.toml_file import Fault

SHELVABLE = (Group.DEVICE, Group.LINE)  # a thing is in trouble; whatever may be a person's cry is never put aside, whatever a file says
SHELVABLE_KINDS = tuple(kind.value for kind, facts in KINDS.items() if facts.group in SHELVABLE and facts.severity.rank < 5)
SHIFT_S = 8 * 3600.0

Count = Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class DeskConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[desk]`. The figures of flood are those of EEMUA 191 and ISA-18.2: more than ten alarms per operator in ten minutes cannot be worked on.

    flood_over, flood_below  new incidents per operator on duty within flood_s: flood begins above the one and is over below the other
    runaway            so many alarms of one kind from one device within flood_s stand in one row with a counter (console design, 5)
    chatter_over       so many cries of one device and kind within a minute ring each; more are counted at their incident, which rings again once a
                       minute. Ten: nobody presses a button that often to say something new; a key that is stuck does, or somebody who floods us
    runaway_streak     so many, each within runaway_gap_s of the one before: maintenance of the device is offered
    """

    flood_over: Count = 10
    flood_below: Count = 5
    flood_s: Seconds = 600
    runaway: Annotated[int, msgspec.Meta(ge=2, le=60)] = 5
    runaway_streak: Annotated[int, msgspec.Meta(ge=2, le=10_000)] = 30
    runaway_gap_s: Seconds = 1800
    chatter_over: Annotated[int, msgspec.Meta(ge=2, le=50)] = 10


class ShelvingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[shelving]`: kinds that may be put aside, and how long at most. Never a kind of a person, a home or a call."""

    kinds: tuple[str, ...] = SHELVABLE_KINDS
    longest_s: Annotated[float, msgspec.Meta(gt=0, le=SHIFT_S)] = SHIFT_S  # no longer than a shift


def desk_faults(desk: DeskConfig) -> Iterator[Fault]:
    """A flood that ends where it begins would come and go with every incident."""
    if desk.flood_below > desk.flood_over:
        yield ("flood_below", "flood_over"), "is above flood_over: a flood would begin and be over at once", "write a smaller one"


def shelving_faults(shelving: ShelvingConfig) -> Iterator[Fault]:
    """Only things, and only what becomes an incident."""
    for kind in shelving.kinds:
        if kind not in SHELVABLE_KINDS:
            what = "may be a person's cry and is never put aside" if kind in {one.value for one in KINDS} else "is no kind"
            yield ("kinds",), f"{kind!r} {what}", f"write kinds of {', '.join(SHELVABLE_KINDS)}"
            return
