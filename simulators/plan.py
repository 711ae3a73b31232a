"""From a scenario, a register and a seed to a plan: who plays which part, and every step with its time. Pure; the same seed, the same plan."""

import random
from dataclasses import dataclass

from simulators.district import District, Member
from simulators.scenario import Cast, Do, Scenario, ScenarioError

STRANGER_NUMBER = "+86174009{:05d}"  # a block that the invented districts do not use


@dataclass(frozen=True, slots=True)
class Step:
    """One thing somebody does. `at` in seconds from the beginning of the run, scaled."""

    at: float
    number: int
    do: Do
    member: Member
    label: str
    stays: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts and the steps in order of time."""

    parts: dict[str, tuple[Member, ...]]
    steps: tuple[Step, ...]


def choose_cast(scenario: Scenario, district: District, seed: str, used: dict[int, None]) -> dict[str, tuple[Member, ...]]:
    """Who plays what. Nobody plays twice; those in `used` (by place in the register, the longest ago first) only when nobody else is left.

    Whoever has played most recently comes last: an incident goes on for a while, and what is pressed into it is no new one."""
    chance = random.Random(f"cast:{seed}")
    parts: dict[str, tuple[Member, ...]] = {}
    taken: set[int] = set()
    numbers: set[str] = set()
    for cast in scenario.cast:
        fitting = [
            place
            for place, member in enumerate(district.members)
            if place not in taken
            and _fits(cast, member)
            and _lives_where(cast, member, district)
            and not (member.phone and "phone" in cast.has and member.phone in numbers)
        ]
        fresh = [place for place in fitting if place not in used]
        pool = fresh if len(fresh) >= cast.count else [*fresh, *(place for place in used if place in fitting)][: cast.count]
        if len(pool) < cast.count:
            raise ScenarioError([f"cast {cast.name!r}: the register has {len(pool)} with {', '.join(cast.has)}, {cast.count} are needed"])
        chosen = chance.sample(pool, cast.count)
        taken.update(chosen)
        numbers.update(district.members[place].phone for place in chosen)
        parts[cast.name] = tuple(district.members[place] for place in chosen)
    for place in sorted(taken):
        used.pop(place, None)
        used[place] = None
    return parts


def _fits(cast: Cast, member: Member) -> bool:
    if cast.person:
        return member.person == cast.person
    if (cast.area and cast.area not in member.areas) or not member.risks.issuperset(cast.risks):
        return False
    if "phone" in cast.has and (member.sharing > 1) != cast.shares_phone:
        return False
    if "wearable" in cast.has and member.panel and "panel" not in cast.has:
        return False
    return all(member.has(means) for means in cast.has)


def _lives_where(cast: Cast, member: Member, district: District) -> bool:
    """In a town whose stations are rung; or else in one that is helped by no such town, either."""
    if cast.rung or not district.rung_towns:
        return not district.rung_towns or member.town in district.rung_towns
    return member.town not in district.rung_towns | district.beside_rung


def make_plan(scenario: Scenario, district: District, *, seed: int, turn: int = 0, scale: float = 1.0, used: dict[int, None] | None = None) -> Plan:
    """All steps of one turn. With `scale` the file's times are stretched; `within` and what people do with their hands are not."""
    parts = choose_cast(scenario, district, f"{seed}:{turn}", used if used is not None else {})
    chance = random.Random(f"plan:{seed}:{turn}")
    steps: list[tuple[float, int, Do, Member]] = []
    for number, do in enumerate(scenario.do, 1):
        for turn_of, at in enumerate(_times(do, scenario, chance)):
            steps.append((at * scale, number, do, _member(do, parts, chance, turn_of)))
    stays = {cast.name: cast.stays for cast in scenario.cast}
    ordered = sorted(steps, key=lambda step: (step[0], step[1]))
    return Plan(
        parts,
        tuple(
            Step(at, place, do, member, f"{do.who} {do.via} {do.what} {turn}.{place}", stays.get(do.who, ""))
            for place, (at, _, do, member) in enumerate(ordered, 1)
        ),
    )


def _times(do: Do, scenario: Scenario, chance: random.Random) -> list[float]:
    if do.at is not None:
        return [do.at]
    if do.between is not None:
        return sorted(chance.uniform(*do.between) for _ in range(do.count))
    end = scenario.seconds * (scenario.plan_share if do.expect else 1.0)
    if do.mean is not None:
        times, at = [], chance.expovariate(1 / do.mean)
        while at < end:
            times.append(at)
            at += chance.expovariate(1 / do.mean)
        return times
    assert do.every is not None
    first = chance.uniform(0, do.every)
    return [first + do.every * number for number in range(int(max(0.0, end - first) / do.every) + 1) if first < end]


def _member(do: Do, parts: dict[str, tuple[Member, ...]], chance: random.Random, turn_of: int) -> Member:
    if do.who == "anonymous":
        return Member(None, phone="")
    if do.who == "stranger":
        return Member(None, phone=STRANGER_NUMBER.format(chance.randrange(100_000)))
    players = parts[do.who]
    return players[turn_of % len(players)]
