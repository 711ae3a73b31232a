"""`policies/*.toml` beside gateway.toml: chains of escalation, step by step. `[policy.<severity>] steps = "<name>"` chooses one.

A chain says who hears of an incident that nobody has taken, and when. Whatever it says, it ends with the desk, which is rung for ever.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec

from gateway.toml_file import Checks, Fault, TomlReader

FOLDER = "policies"
WEEK_S = 7 * 86_400  # a chain that waits longer is a calendar, not an escalation
TOLD_AT_MOST = 500  # times that one chain tells somebody; a chain is a page that a supervisor can read
FILES_AT_MOST = 50

Target = Literal["desk", "owner", "supervisor", "own", "parent", "street_centre", "district_centre", "city_centre", "partner", "emergency"]
How = Literal["ring", "order", "notify"]
# Who can be ordered: responders. The machine calls no emergency service (event model, "Who orders"): that step tells the operator to.
ORDERED = frozenset(("own", "parent", "street_centre", "district_centre", "city_centre", "partner"))
RUNG = frozenset(get_args(Target)) - ORDERED


class StepConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[step]]`. Seconds are counted from the moment at which the incident began to ring, never from the step before.

    to      desk, owner (who had it last), supervisor; own (the responder that was ordered, else the one that serves the area), parent (the one
            above it), street_centre, district_centre, city_centre (the nearest above it of that kind), partner (by an agreement of mutual aid),
            emergency (the desk: call 120, 110 or 119 now)
    how     ring (the console sounds), order (the responder is asked to come), notify (it is told)
    times   how often, repeat_every_s apart
    quiet   local time HH:MM-HH:MM at which it waits; alarms of people and homes know no quiet hours
    """

    after_s: Annotated[float, msgspec.Meta(ge=0, le=WEEK_S, examples=[180])]
    to: Target
    how: How
    repeat_every_s: Annotated[float, msgspec.Meta(gt=0, le=WEEK_S)] | None = None
    times: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    quiet: Annotated[str, msgspec.Meta(pattern=r"^((?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-3]):[0-5]\d)?$", examples=["22:00-07:00"])] = ""


class Chain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file. `name` is the file's, without .toml."""

    step: tuple[StepConfig, ...] = ()
    name: str = ""


def read_chains(folder: Path) -> tuple[dict[str, Chain], list[str]]:
    """Name → chain of every file there, and what is wrong with them. No such folder: no chains."""
    chains: dict[str, Chain] = {}
    problems: list[str] = []
    files = sorted(folder.glob("*.toml")) if folder.is_dir() else []
    if len(files) > FILES_AT_MOST:
        problems.append(f"{folder}: holds {len(files)} files; {FILES_AT_MOST} are read at most: put the others elsewhere")
    for path in files[:FILES_AT_MOST]:
        reader = TomlReader(path, _CHECKS, hidden=("name",))
        tables = reader.load()
        if not reader.problems:
            chain = reader.table(Chain, tables)
            if not reader.problems:
                chains[path.stem] = msgspec.structs.replace(chain, name=path.stem)
        problems += reader.problems
    return chains, problems


def _chain_faults(chain: Chain) -> Iterator[Fault]:
    if not chain.step:
        yield ("step",), "has no step", "write [[step]] with after_s, to and how"
    told = sum(step.times for step in chain.step)
    if told > TOLD_AT_MOST:
        yield ("step",), f"tells somebody {told} times", f"write at most {TOLD_AT_MOST} in all; the end repeats by itself"


def _step_faults(step: StepConfig) -> Iterator[Fault]:
    if step.how == "order" and step.to not in ORDERED:
        yield ("how", "to"), f"{step.to!r} cannot be ordered", f"write ring or notify, or to = one of {', '.join(sorted(ORDERED))}"
    if step.how == "ring" and step.to not in RUNG:
        yield ("how", "to"), f"{step.to!r} has no console that could sound", f"write order or notify, or to = one of {', '.join(sorted(RUNG))}"
    if step.times > 1 and step.repeat_every_s is None:
        yield ("repeat_every_s", "times"), "is missing beside times", "write how many seconds lie between two times"
    begins, _, ends = step.quiet.partition("-")
    if step.quiet and begins == ends:
        yield ("quiet",), f"{step.quiet!r} is the whole day: the step would never be taken", 'write 22:00-07:00, or "" for none'


_CHECKS: Checks = {Chain: _chain_faults, StepConfig: _step_faults}
