"""Random districts, people in need and moments, from a seed: what routing is tried on. All invented."""

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from gateway.core.incident import Role
from gateway.core.need import Around, Need
from gateway.core.register import Area, AreaKind, Register, Responder, ResponderKind
from gateway.core.territory import AidAgreement, Loan, Provider, ProviderState, Shift, Standing
from gateway.event import KINDS, Group, Kind, Position

DAY = date(2026, 3, 14)
SERVICES = ("meals", "housekeeping", "nursing")
ALARMS = [kind for kind, facts in KINDS.items() if facts.group in (Group.PERSON, Group.ENVIRONMENT)]
K = ResponderKind


@dataclass
class World:
    """A register and what holds at a moment."""

    register: Register
    loads: dict[tuple[str, str], int]
    standings: dict[str, Standing]

    @property
    def around(self) -> Around:
        return Around(lambda name, pool: self.loads.get((name, pool), 0), self.standings.get)


def make_register(rng: random.Random) -> Register:
    """One to four districts of a few streets, with everybody who can be sent; now and then somebody has no place, no parent, no row."""
    areas = [Area(id="city", name="", kind=AreaKind.CITY, lat=36.3, lon=102.9)]
    responders: list[Responder] = [
        Responder(id="city-centre", name="", kind=K.CITY_CENTRE, parent="desk", areas=("city",), capacity=rng.choice((1, 3, 50)))
    ]
    providers: list[Provider] = []
    shifts: list[Shift] = []

    def near(lat: float, lon: float, by: float) -> tuple[float, float]:
        return round(lat + rng.uniform(-by, by), 5), round(lon + rng.uniform(-by, by), 5)

    def add(kind: K, name: str, parent: str | None, served: tuple[str, ...], lat: float, lon: float, **more: object) -> None:
        at = near(lat, lon, 0.05)
        place = {"lat": at[0], "lon": at[1]} if rng.random() < 0.95 else {}
        responders.append(
            Responder(
                id=name,
                name="",
                kind=kind,
                parent=parent if rng.random() < 0.95 else None,
                areas=served,
                hours=rng.choice(("", "", "08:00-18:00", "20:00-08:00")),
                capacity=rng.choice((0, 1, 1, 2, 5)),
                mode=rng.choice(("", "", "foot", "bicycle", "car")),
                **{**place, **more},  # type: ignore[arg-type]
            )
        )
        if rng.random() < 0.2:
            shifts.append(Shift(responder=name, days="1-5", hours=rng.choice(("", "07:00-19:00")), staff=rng.choice((None, 0, 1, 3))))

    for d in range(rng.randint(1, 4)):
        lat, lon = 36.2 + 0.15 * d, 102.8 + 0.1 * d
        district = f"d{d}"
        areas.append(Area(id=district, name="", kind=AreaKind.DISTRICT, parent="city", lat=lat, lon=lon))
        add(K.DISTRICT_CENTRE, f"{district}-centre", "city-centre", (district,), lat, lon)
        for s in range(rng.randint(1, 3)):
            street = f"{district}-s{s}"
            areas.append(Area(id=street, name="", kind=AreaKind.STREET, parent=district))
            above = f"{street}-centre" if rng.random() < 0.7 else f"{district}-centre"
            if above.startswith(street):
                add(K.STREET_CENTRE, above, f"{district}-centre", (street,), lat, lon)
            for n in range(rng.randint(0, 3)):
                skills = rng.choice(((), (), ("medical-basic",), ("tibetan",), ("keys",)))
                add(K.STATION, f"{street}-station-{n}", above, (street,) if n == 0 else (), lat, lon, skills=skills)
            for kind, word in (
                (K.CARE_CENTRE, "care"),
                (K.HEALTH_STATION, "health"),
                (K.PROVIDER, "firm"),
                (K.PROVIDER, "shop"),
                (K.NEIGHBOUR, "neighbour"),
            ):
                if rng.random() < 0.6:
                    served = rng.choice(((), (street,), (district,)))
                    add(kind, f"{street}-{word}", above, served, lat, lon, beds=rng.choice((None, 40, 300)) if kind is K.CARE_CENTRE else None)
        add(K.PROPERTY, f"{district}-property", None, (district,), lat, lon)
        if rng.random() < 0.5:
            add(K.HOSPITAL, f"{district}-hospital", None, (), lat, lon)
    if rng.random() < 0.9:
        responders.append(Responder(id="desk", name="", kind=K.DESK, channel="console", capacity=1000))
    for one in responders:
        if (one.kind is K.PROVIDER and rng.random() < 0.9) or rng.random() < 0.1:
            row = Provider(
                id=one.id,
                state=rng.choice((ProviderState.ADMITTED,) * 6 + tuple(ProviderState)),
                since=rng.choice((None, None, DAY - timedelta(days=9), DAY + timedelta(days=9))),
                until=rng.choice((None, None, DAY + timedelta(days=9), DAY - timedelta(days=1), DAY)),
                services=tuple(rng.sample(SERVICES, rng.randint(0, 3))),
                urgent=rng.random() < 0.6,
                grade=rng.choice((None, 1.0, 2.0, 3.0)),
                scale=rng.choice((3, 5)),
                grade_until=rng.choice((None, DAY - timedelta(days=1))),
                blocked="credit" if rng.random() < 0.05 else "",
            )
            providers.append(row)
    ids = [one.id for one in responders]
    sides = [area.id for area in areas if area.kind is AreaKind.DISTRICT] * 6 + [area.id for area in areas[1:]] + ids
    agreements = [
        AidAgreement(
            id=f"aid-{n}",
            helper=rng.choice(sides),
            helped=rng.choice(sides),
            since=DAY - timedelta(days=rng.choice((30, 30, -1))),
            until=DAY + timedelta(days=rng.choice((30, 0, -1))),
            kinds=rng.choice((("urgent",), ("service",), ("all",), ("fall",))),
            duties="invented",
            response_min=30.0,
            both=rng.random() < 0.5,
        )
        for n in range(rng.randint(0, 6))
    ]
    loans = [
        Loan(
            id="l1",
            lender=rng.choice(ids),
            borrower=rng.choice(ids),
            since=DAY - timedelta(days=2),
            until=DAY,
            staff=1,
            skills=rng.choice(((), ("keys",))),
        )
    ]
    return Register(
        district="city",
        responders=responders,
        areas=areas,
        shifts=shifts,
        providers=providers,
        agreements=agreements,
        loans=loans,
        version=f"v{rng.randrange(10**6)}",
    )


def make_world(rng: random.Random, register: Register) -> World:
    """How full everybody is, and what is ruled."""
    fullness = rng.choice((0.1, 0.5, 0.95))
    loads = {(name, pool): rng.randint(1, 5) for name in register.responders for pool in ("", "service") if rng.random() < fullness}
    standings: dict[str, Standing] = {}

    def rule(key: str, value: str, **detail: object) -> None:
        standings[key] = Standing(key=key, value=value, at=datetime(2026, 3, 1, tzinfo=UTC), actor="somebody", detail=detail)

    for name in register.responders:
        if rng.random() < 0.05:
            rule(f"frozen:{name}", "frozen")
        if rng.random() < 0.05:
            rule(f"lost:{name}", "lost")
        if rng.random() < 0.02:
            rule(f"saturated:{name}", "saturated")
    for name in register.providers:
        if rng.random() < 0.2:
            rule(f"provider:{name}", rng.choice(tuple(ProviderState)).value)
        if rng.random() < 0.1:
            rule(f"blocked:{name}", "credit")
        if rng.random() < 0.5:
            rule(f"score:{name}", f"{rng.random():.4f}")
        if rng.random() < 0.2:
            rule(f"grade:{name}", str(rng.randint(0, 5)), scale=5)
    for name in register.agreements:
        if rng.random() < 0.2:
            rule(f"aid:{name}", rng.choice(("closed", "called")))
    return World(register, loads, standings)


def make_need(rng: random.Random, register: Register) -> Need:
    """Somebody needs something somewhere."""
    area = rng.choice([*register.areas, None, "nowhere"])
    position = None
    if rng.random() < 0.85:
        lat, lon = 36.2 + rng.uniform(-0.1, 0.7), 102.8 + rng.uniform(-0.1, 0.5)
        position = Position(lat=round(lat, 5), lon=round(lon, 5), source=rng.choice(("gnss", "home", "area")))
    role = rng.choice(
        (Role.SOCIAL, Role.SOCIAL, Role.SOCIAL, Role.SERVICE, Role.SERVICE, Role.MEDICAL, Role.NEIGHBOUR, Role.HOSPITAL, Role.DOCTOR, Role.EMERGENCY)
    )
    kind = Kind.SERVICE_REQUEST if role is Role.SERVICE else rng.choice(ALARMS)
    at = datetime(2026, 3, 13, 16, tzinfo=UTC) + timedelta(minutes=rng.randrange(3 * 24 * 60), days=-1)
    return Need(
        kind=kind,
        severity=KINDS[kind].severity,
        at=at,
        role=role,
        position=position,
        area=area,
        service=rng.choice(SERVICES) if role is Role.SERVICE else "",
        skills=("keys",) if rng.random() < 0.05 else (),
        language="tibetan" if rng.random() < 0.1 else "",
        asked=tuple(rng.sample(list(register.responders), rng.choice((0, 0, 0, 3)))),
    )
