#!/usr/bin/env python3
"""What one routing decision costs: p50 and p99 and memory for a city, and how they grow with each dimension, one at a time.

    python bench/routing.py [--decisions 400] [--seed 1] [--out bench/results]

A city of its own making (no district of ours): districts on a grid, stations and providers spread over them, people everywhere, a fifth of the
capacity in use. Writes routing.md (table) and routing.svg (plot). Times are CPU of the deciding thread: a decision waits for nothing, and so a
machine shared with others does not change the figure.
"""

import argparse
import gc
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gateway.core.incident import Role
from gateway.core.need import Around, Need
from gateway.core.register import Area, AreaKind, Person, Register, Responder, ResponderKind
from gateway.core.routing import Router
from gateway.core.territory import Provider
from gateway.event import Kind, Position, Severity

BUDGET_MS = 5.0  # p99 of a decision, for CITY
SERVICES = ("meals", "housekeeping", "nursing", "assistance", "bed", "medical")
STREETS = 10  # in a district
NOON = datetime(2026, 3, 13, 4, 0, tzinfo=UTC)
SIDE_KM = 14.0  # of a district, on average; 16 of them are the plain of a large city


class City(NamedTuple):
    """How large it is."""

    districts: int = 16
    stations: int = 400
    providers: int = 4_000
    persons: int = 1_000_000
    open_orders: int = 300


CITY = City()
GROWTH: dict[str, Sequence[int]] = {
    "districts": (1, 4, 16, 64),
    "stations": (100, 400, 1_600, 6_400),
    "providers": (0, 1_000, 4_000, 16_000),
    "persons": (0, 100_000, 1_000_000),
    "open_orders": (0, 300, 3_000, 30_000),
}


class Measured(NamedTuple):
    """Milliseconds of one decision, and of a register's making ready; MiB of the router and of the register beneath."""

    alarm_p50: float
    alarm_p99: float
    service_p50: float
    service_p99: float
    ready_ms: float
    router_mib: float
    register_mib: float


def main() -> int:
    """Exit 1 when the city misses its budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=400, help="of each sort, measured")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    people = [Person(id=f"p{number}", name="", area="d0") for number in range(max(GROWTH["persons"]))]
    city = measure(CITY, people, args.decisions, args.seed)
    saturated = measure(CITY._replace(open_orders=100 * CITY.stations), people, args.decisions, args.seed)
    small = CITY._replace(persons=0)  # persons are no part of a decision, as their own row shows; without them a city is made in a moment
    growth = {
        name: [(size, measure((CITY if name == "persons" else small)._replace(**{name: size}), people, args.decisions, args.seed)) for size in sizes]
        for name, sizes in GROWTH.items()
    }
    args.out.mkdir(parents=True, exist_ok=True)
    text = table(city, saturated, growth, args.decisions)
    (args.out / "routing.md").write_text(text, encoding="utf-8")
    (args.out / "routing.svg").write_text(plot(growth), encoding="utf-8")
    print(text)
    return 0 if max(city.alarm_p99, city.service_p99) <= BUDGET_MS else 1


def measure(size: City, people: Sequence[Person], decisions: int, seed: int) -> Measured:
    """One city, made, measured and let go."""
    rng = random.Random(seed)
    gc.collect()
    before = rss_mib()
    register, bounds = make(size, people, rng)
    made = rss_mib()
    began = time.thread_time()
    router = Router(register)
    around = around_of(size, register, rng)
    for role in (Role.SOCIAL, Role.SERVICE):  # what a start prepares by its first decisions
        for service in SERVICES if role is Role.SERVICE else ("",):
            router.choose(need(role, service, bounds, rng), around)
    ready = (time.thread_time() - began) * 1000
    alarms = sorted(timed(router, around, lambda: need(Role.SOCIAL, "", bounds, rng), decisions))
    services = sorted(timed(router, around, lambda: need(Role.SERVICE, rng.choice(SERVICES), bounds, rng), decisions))
    return Measured(
        *(figures[int(len(figures) * part)] for figures in (alarms, services) for part in (0.5, 0.99)),
        ready,
        max(0.0, rss_mib() - made),
        max(0.0, made - before),
    )


def timed(router: Router, around: Around, wanted: Callable[[], Need], decisions: int) -> list[float]:
    """Milliseconds of so many decisions, one by one; a few before them warm the caches."""
    for _ in range(20):
        router.choose(wanted(), around)
    found = []
    for _ in range(decisions):
        asked = wanted()
        began = time.thread_time()
        router.choose(asked, around)
        found.append((time.thread_time() - began) * 1000)
    return found


def make(size: City, people: Sequence[Person], rng: random.Random) -> tuple[Register, tuple[float, float]]:
    """The register, and how far its places go (degrees north and east of a corner)."""
    side = max(1, round(size.districts**0.5))
    north, east = SIDE_KM / 111.2, SIDE_KM / 85.0
    areas = [Area(id="city", name="", kind=AreaKind.CITY)]
    responders = [
        Responder(id="desk", name="", kind=ResponderKind.DESK, channel="console", capacity=1_000_000),
        Responder(id="city-centre", name="", kind=ResponderKind.CITY_CENTRE, parent="desk", areas=("city",), capacity=500),
    ]

    def place(district: int) -> dict[str, float]:
        row, column = divmod(district, side)
        return {"lat": 39.6 + north * (row + rng.random()), "lon": 116.0 + east * (column + rng.random())}

    for number in range(size.districts):
        areas.append(Area(id=f"d{number}", name="", kind=AreaKind.DISTRICT, parent="city"))
        centre = f"d{number}-centre"
        responders.append(
            Responder(
                id=centre, name="", kind=ResponderKind.DISTRICT_CENTRE, parent="city-centre", areas=(f"d{number}",), capacity=50, **place(number)
            )
        )
        for street in range(STREETS):
            name = f"d{number}-s{street}"
            areas.append(Area(id=name, name="", kind=AreaKind.STREET, parent=f"d{number}"))
            responders.append(
                Responder(id=f"{name}-centre", name="", kind=ResponderKind.STREET_CENTRE, parent=centre, areas=(name,), capacity=10, **place(number))
            )
    for number in range(size.stations):
        district, street = number % size.districts, number // size.districts % STREETS
        name = f"d{district}-s{street}"
        hours = "" if number % 3 else "08:00-20:00"
        responders.append(
            Responder(
                id=f"station-{number}",
                name="",
                kind=ResponderKind.STATION,
                parent=f"{name}-centre",
                areas=(name,),
                capacity=4,
                hours=hours,
                mode=("", "bicycle", "car")[number % 3],
                **place(district),
            )
        )
    providers = []
    for number in range(size.providers):
        name = f"provider-{number}"
        responders.append(Responder(id=name, name="", kind=ResponderKind.PROVIDER, capacity=4, mode="car", **place(number % size.districts)))
        offered = tuple({SERVICES[number % len(SERVICES)], SERVICES[number // 7 % len(SERVICES)]})
        providers.append(Provider(id=name, services=offered, urgent=number % 10 == 0, grade=float(number % 5 + 1)))
    register = Register(responders=responders, areas=areas, providers=providers, persons=people[: size.persons], version="bench")
    return register, (north * (size.districts / side), east * side)


def around_of(size: City, register: Register, rng: random.Random) -> Around:
    """So many open orders, spread over stations and providers."""
    names = [one.id for one in register.responders.values() if one.kind in (ResponderKind.STATION, ResponderKind.PROVIDER)]
    loads: dict[str, int] = {}
    for _ in range(size.open_orders if names else 0):
        name = rng.choice(names)
        loads[name] = loads.get(name, 0) + 1
    return Around(lambda name, _pool: loads.get(name, 0), lambda _key: None)


def need(role: Role, service: str, bounds: tuple[float, float], rng: random.Random) -> Need:
    """Somebody somewhere in the city, at any hour."""
    position = Position(lat=39.6 + bounds[0] * rng.random(), lon=116.0 + bounds[1] * rng.random())
    at = NOON + timedelta(minutes=rng.randrange(7 * 1440))
    kind = Kind.SERVICE_REQUEST if role is Role.SERVICE else Kind.FALL
    return Need(kind=kind, severity=Severity.CRITICAL, at=at, role=role, position=position, service=service)


def rss_mib() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def table(city: Measured, saturated: Measured, growth: dict[str, list[tuple[int, Measured]]], decisions: int) -> str:
    """The result as Markdown."""
    words = ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in zip(City._fields, CITY, strict=True))
    head = "alarm p50 | alarm p99 | service p50 | service p99 | ready | router | register"
    lines = [
        "# One routing decision",
        "",
        f"`python bench/routing.py`: {decisions} decisions of each sort at random places and hours, CPU milliseconds of the deciding thread",
        f"(a decision waits for nothing). The budget is p99 ≤ {BUDGET_MS:g} ms.",
        f"The city: {words}.",
        "*ready*: milliseconds from a register to the first decisions, at start and reload. *router*, *register*: MiB that each adds to the",
        f"process, whose peak was {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB. Growth: one dimension at a time, the others",
        "as in the city (without persons, who are no part of a decision).",
        "",
        f"| | {head} |",
        "|---|" + "---:|" * 7,
        _row("the city", city),
        _row("the city, every station full", saturated),
    ]
    for name, rows in growth.items():
        lines += [_row(f"{size:,} {name.replace('_', ' ')}", measured) for size, measured in rows]
    return "\n".join([*lines, "", "![growth](routing.svg)", ""])


def _row(name: str, one: Measured) -> str:
    times = " | ".join(f"{value:.3f}" for value in one[:4])
    return f"| {name} | {times} | {one.ready_ms:.0f} | {one.router_mib:.1f} | {one.register_mib:.0f} |"


def plot(growth: dict[str, list[tuple[int, Measured]]]) -> str:
    """A small plot a dimension: p50 and p99 of alarms and services over its size, both axes by number of the step; plain SVG."""
    width, height, left, bottom = 250, 170, 40, 30
    lines = (("alarm_p50", "#2b6cb0", ""), ("alarm_p99", "#2b6cb0", "4 3"), ("service_p50", "#b7791f", ""), ("service_p99", "#b7791f", "4 3"))
    top = max(getattr(measured, name) for rows in growth.values() for _, measured in rows for name, _, _ in lines)
    top = max(BUDGET_MS, top) * 1.05
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width * len(growth)} {height + 30}" font-family="sans-serif" font-size="10">',
        f'<rect width="{width * len(growth)}" height="{height + 30}" fill="white"/>',
    ]
    for column, (dimension, rows) in enumerate(growth.items()):
        x0 = column * width + left
        span, rise = width - left - 28, height - bottom - 15

        def at(step: int, value: float, x0: int = x0, count: int = len(rows), span: int = span, rise: int = rise) -> str:
            return f"{x0 + span * step / max(1, count - 1):.1f},{15 + rise * (1 - value / top):.1f}"

        parts.append(f'<path d="M{x0} 15V{15 + rise}H{x0 + span}" fill="none" stroke="#444"/>')
        for value in (0.0, top / 2, BUDGET_MS):
            x, y = at(0, value).split(",")
            parts.append(f'<text x="{float(x) - 4}" y="{float(y) + 3}" text-anchor="end">{value:.1f}</text>')
        start, end = at(0, BUDGET_MS), at(len(rows) - 1, BUDGET_MS)
        parts.append(f'<path d="M{start}L{end}" stroke="#c53030" stroke-dasharray="1 3"/>')
        for step, (size, _) in enumerate(rows):
            x = at(step, 0).split(",")[0]
            parts.append(f'<text x="{x}" y="{15 + rise + 13}" text-anchor="middle">{size:,}</text>')
        title = dimension.replace("_", " ")
        parts.append(f'<text x="{x0 + span / 2}" y="{15 + rise + 28}" text-anchor="middle" font-weight="bold">{title}</text>')
        for name, colour, dash in lines:
            points = " ".join(at(step, getattr(measured, name)) for step, (_, measured) in enumerate(rows))
            style = f'fill="none" stroke="{colour}" stroke-width="1.5" stroke-dasharray="{dash}"'
            parts.append(f'<polyline points="{points}" {style}/>')
    for number, (name, colour, dash) in enumerate(lines):
        x = 60 + 120 * number
        parts.append(f'<path d="M{x} {height + 18}h20" stroke="{colour}" stroke-width="1.5" stroke-dasharray="{dash}"/>')
        parts.append(f'<text x="{x + 25}" y="{height + 21}">{name.replace("_", " ")}, ms</text>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    sys.exit(main())
