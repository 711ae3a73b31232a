"""Properties of routing, on random districts: it always answers; never with somebody who may not, cannot or is not there; no grade beats time;
and what it decided it decides again.

Who may go is stated here once more, slowly, from the words of the requirements (domain 2, 3, 5), without the gateway's code.
"""

import random
from datetime import date, datetime, timedelta
from math import asin, cos, radians, sin, sqrt

import msgspec
import pytest

from gateway.core.incident import Role
from gateway.core.need import Need
from gateway.core.register import Responder, ResponderKind
from gateway.core.routing import Decision, Router
from gateway.core.routing.data import pack, unpack
from gateway.core.territory import Standing
from gateway.event import Position
from tests.core.routing_world import World, make_need, make_register, make_world

K = ResponderKind
CIRCLE, EQUAL = 15.0, 0.5
ILLNESS = {"medical", "heart_rate_abnormal", "breathing_abnormal", "temp_abnormal"}


# --- the rules once more ----------------------------------------------------------------------------------------------


def local(at: datetime) -> datetime:
    return (at + timedelta(hours=8)).replace(tzinfo=None)


def staff_now(world: World, one: Responder, at: datetime) -> int | None:
    """How many are there; None: it is closed."""
    now = local(at)
    minute = now.hour * 60 + now.minute

    def inside(hours: str) -> bool:
        if not hours:
            return True
        start, end = (int(h) * 60 + int(m) for h, m in (part.split(":") for part in hours.split("-")))
        return start <= minute < end if start < end else minute >= start or minute < end

    rows = world.register.shifts.get(one.id, ())
    count = one.capacity
    if rows:
        (row,) = rows
        if now.isoweekday() > 5 or not inside(row.hours) or row.staff == 0:
            return None
        count = one.capacity if row.staff is None else row.staff
    elif not inside(one.hours):
        return None
    lent = False
    for loan in world.register.loans:
        if loan.since <= now.date() <= loan.until:
            if loan.borrower == one.id:
                count += loan.staff
            if loan.lender == one.id:
                count, lent = count - loan.staff, True
    return None if lent and count <= 0 else count


def skills_now(world: World, one: Responder, today: date) -> set[str]:
    """Written, of its kind, and what is lent with staff."""
    skills = {*one.skills, *(("keys", "lift") if one.kind is K.PROPERTY else ())}
    for loan in world.register.loans:
        if loan.since <= today <= loan.until and loan.borrower != loan.lender:
            skills = skills | set(loan.skills) if loan.borrower == one.id else skills - set(loan.skills) if loan.lender == one.id else skills
    return skills


def why_not(world: World, need: Need, one: Responder) -> str:
    """One reason why this responder must not be chosen, or ""."""
    ruled = {key: standing.value for key, standing in world.standings.items()}
    row = world.register.providers.get(one.id)
    today = local(need.at).date()
    if one.id in need.asked:
        return "asked"
    if f"lost:{one.id}" in ruled or f"frozen:{one.id}" in ruled:
        return "lost or frozen"
    if one.kind is K.PROVIDER and row is None:
        return "no agreement"
    if row is not None:
        if ruled.get(f"provider:{one.id}", row.state.value) not in ("admitted", "probation"):
            return "not admitted"
        if (row.since and today < row.since) or (row.until and today > row.until):
            return "agreement not in force"
        if row.blocked or f"blocked:{one.id}" in ruled:
            return "blocked"
    if need.role is Role.SERVICE:
        if row is None or need.service not in row.services:
            return "does not offer it"
        if one.kind in (K.NEIGHBOUR, K.PROPERTY):
            return "no care"
    else:
        if one.kind is K.PROVIDER and row is not None and not row.urgent:
            return "not for 助急"
        allowed = {
            Role.SOCIAL: {K.STATION, K.PROVIDER, K.CARE_CENTRE, K.STREET_CENTRE, K.DISTRICT_CENTRE, K.CITY_CENTRE},
            Role.MEDICAL: {
                K.STATION,
                K.PROVIDER,
                K.CARE_CENTRE,
                K.HEALTH_STATION,
                K.HEALTH_CENTRE,
                K.STREET_CENTRE,
                K.DISTRICT_CENTRE,
                K.CITY_CENTRE,
            },
            Role.NEIGHBOUR: {K.NEIGHBOUR, K.PROPERTY},
            Role.HOSPITAL: {K.HOSPITAL},
            Role.DOCTOR: {K.HEALTH_CENTRE},
            Role.EMERGENCY: set(),
        }[need.role] | ({K.HEALTH_STATION} if need.role is Role.SOCIAL and need.kind.value in ILLNESS else set())
        if one.kind not in allowed:
            return "other kind"
        if need.role is Role.MEDICAL:
            by_kind = one.kind in (K.HEALTH_STATION, K.HEALTH_CENTRE, K.HOSPITAL)
            if not (by_kind or (one.beds or 0) > 100 or any(s.startswith("medical-") for s in one.skills)):
                return "cannot treat"
    if not set(need.skills) <= skills_now(world, one, today):
        return "lacks a skill"
    staff = staff_now(world, one, need.at)
    if staff is None:
        return "closed"
    pool = "service" if need.role is Role.SERVICE else ""
    return "full" if world.loads.get((one.id, pool), 0) >= staff else ""


def minutes(one: Responder, position: Position | None, at: datetime) -> float | None:
    """Haversine × 1.3 ÷ speed."""
    if position is None or one.lat is None or one.lon is None:
        return None
    a = sin(radians(one.lat - position.lat) / 2) ** 2
    a += cos(radians(one.lat)) * cos(radians(position.lat)) * sin(radians(one.lon - position.lon) / 2) ** 2
    now = local(at)
    car = 30.0
    if now.hour >= 22 or now.hour < 6:
        car *= 1.3
    elif now.isoweekday() <= 5 and now.hour in (7, 8, 17, 18):
        car *= 0.6
    speed = {"": one.speed_kmh, "foot": 4.5, "bicycle": 14.0, "car": car}[one.mode]
    return 2 * 6371.0088 * asin(sqrt(a)) * 1.3 / speed * 60


def districts_of(world: World, one: Responder) -> set[str]:
    """Of what it serves, else of who is above it."""
    seen: set[str] = set()
    node: Responder | None = one
    while node is not None and node.id not in seen:
        seen.add(node.id)
        for area in node.areas:
            if area.startswith("d"):
                return {area.partition("-")[0]}
        node = world.register.responders.get(node.parent or "")
    return set()


# --- what must hold ---------------------------------------------------------------------------------------------------


def check(world: World, need: Need, decision: Decision) -> None:
    """Everything at once, for one decision of `choose`."""
    register = world.register
    assert decision.responder in register.responders or decision.responder == "desk"  # it always answers
    chosen = register.responders.get(decision.responder)
    fitting = [one for one in register.responders.values() if not why_not(world, need, one)]
    if decision.rule == "desk":
        assert chosen is None or chosen.kind is K.DESK
        goers = {K.STATION, K.PROVIDER} | ({K.CARE_CENTRE} if need.role is Role.SOCIAL else set())
        if need.role is Role.SOCIAL and need.position is not None:
            assert not [one.id for one in fitting if one.kind in goers and one.lat is not None], "somebody could have gone"
        return
    assert chosen is not None
    assert why_not(world, need, chosen) == "", (decision.responder, why_not(world, need, chosen))
    if decision.rule == "partner":
        agreement = register.agreements[decision.agreement]
        assert agreement.since <= local(need.at).date() <= agreement.until
        assert world.standings.get(f"aid:{agreement.id}", Standing(key="", value="", at=need.at, actor="")).value != "closed"
        assert {"all", "service" if need.role is Role.SERVICE else "urgent", need.kind.value} & set(agreement.kinds)
    if decision.position is not None:
        mine = minutes(chosen, decision.position, need.at)
        assert (mine is None) == (decision.travel_min is None)
        assert mine is None or abs(mine - (decision.travel_min or 0)) < 0.06
        if need.role in (Role.SOCIAL, Role.MEDICAL):
            assert decision.beyond == (decision.travel_min is None or decision.travel_min > CIRCLE)
    if need.role in (Role.SOCIAL, Role.MEDICAL) and decision.rule in ("nearest", "care_centre"):
        check_time(world, need, decision, chosen, fitting)
    if decision.rule == "score":
        check_score(world, need, decision, fitting)


def check_time(world: World, need: Need, decision: Decision, chosen: Responder, fitting: list[Responder]) -> None:
    """Nobody of the same district who goes first was there sooner: no grade, no point, no preference beats time."""
    many = len({name for one in world.register.responders.values() for name in districts_of(world, one)}) > 1
    later = K.CARE_CENTRE if need.role is Role.SOCIAL else K.HEALTH_CENTRE
    district = {decision.area.partition("-")[0]} if decision.area and decision.area.startswith("d") else None
    mine = decision.travel_min
    assert mine is not None
    for other in fitting:
        if other.kind in (K.STREET_CENTRE, K.DISTRICT_CENTRE, K.CITY_CENTRE) or other.lat is None:
            continue
        if many and (district is None or not districts_of(world, other) <= district):
            continue
        theirs = round(minutes(other, decision.position, need.at) or 0.0, 1)
        if other.kind is not later:
            if theirs <= CIRCLE:
                assert chosen.kind is not later
                assert mine <= min(CIRCLE, theirs + EQUAL) + 0.1
            elif chosen.kind is not later:
                assert mine <= theirs + 0.1
        elif theirs <= CIRCLE:
            assert mine <= CIRCLE


def check_score(world: World, need: Need, decision: Decision, fitting: list[Responder]) -> None:
    """Nobody who serves the place and can come in time has more weight."""
    areas = set()
    area = decision.area
    while area is not None:
        areas.add(area)
        area = world.register.areas[area].parent

    chosen = world.register.responders[decision.responder]
    assert not chosen.areas or not areas or areas & set(chosen.areas)

    def weight(one: Responder) -> float:
        row = world.register.providers[one.id]
        score = 0.5
        grade = world.standings.get(f"grade:{one.id}")
        if f"score:{one.id}" in world.standings:
            score = float(world.standings[f"score:{one.id}"].value)
        elif grade is not None:
            score = float(grade.value) / 5
        elif row.grade is not None and (row.grade_until is None or row.grade_until >= local(need.at).date()):
            score = row.grade / row.scale
        took = minutes(one, decision.position, need.at)
        return 0.7 * score + 0.3 * (0.0 if took is None else 1 - took / 60)

    best = weight(chosen)
    for other in fitting:
        serves = not other.areas or not areas or areas & set(other.areas)
        took = minutes(other, decision.position, need.at)
        if serves and (took is None or took < 59.9):
            assert weight(other) <= best + 0.001


def play(worlds: int, decisions: int, seed: int) -> dict[str, int]:
    """So many worlds, so many decisions in each; how often each rule decided."""
    rules: dict[str, int] = {}
    for number in range(worlds):
        rng = random.Random(seed + number)
        register = make_register(rng)
        router = Router(register)
        packed = pack(register)
        later = Router(unpack(packed.body, register.version))
        for _ in range(decisions):
            world, need = make_world(rng, register), make_need(rng, register)
            decision = router.choose(need, world.around, rng.choice((1, 1, 3)))
            rules[decision.rule] = rules.get(decision.rule, 0) + 1
            try:
                check(world, need, decision)
                again_equals(later, decision)
                if rng.random() < 0.2:
                    name = rng.choice(list(register.responders))
                    for other in (
                        router.above(name, need, world.around),
                        router.named(name, need, world.around),
                        router.wanted(name, need, world.around),
                    ):
                        again_equals(later, other)
            except AssertionError as error:
                error.add_note(f"world {seed + number}\n{need}\n{decision}")
                raise
    return rules


def again_equals(later: Router, decision: Decision) -> None:
    """Written to the journal, read from it, asked again from the kept data: the same, bit for bit."""
    text = msgspec.json.encode(decision)
    read = msgspec.json.decode(text, type=Decision)
    assert read == decision
    assert msgspec.json.encode(later.again(read)) == text


def test_on_two_thousand_random_decisions() -> None:
    rules = play(worlds=100, decisions=20, seed=1)
    assert {"nearest", "care_centre", "parent", "partner", "stranger", "city", "desk", "score", "neighbour"} <= rules.keys()  # all of it was tried


@pytest.mark.campaign
def test_on_ten_thousand_random_decisions() -> None:
    play(worlds=200, decisions=50, seed=1000)
