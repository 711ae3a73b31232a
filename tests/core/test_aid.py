"""Mutual aid: what may be ruled, by whom and until when; when the machine calls a district full; where orders then go (domain 3, scenario 5)."""

from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

from gateway.config import Chain
from gateway.config.aid import AidConfig
from gateway.config.policies import StepConfig
from gateway.core import matters
from gateway.core.aid_matters import is_shut_out
from gateway.core.incident import Incident
from gateway.core.register import Area, AreaKind, Device, Person, Register, Responder, ResponderKind
from gateway.core.standing import Ruling
from gateway.core.state import Draft, WorkingSet
from gateway.core.territory import AidAgreement, Standing
from gateway.errors import Refused
from gateway.saturation import places_of, wanted
from tests.core.room import POLICY, Room

LAST_DAY = date(2026, 3, 14)
AGREEMENT = AidAgreement(
    id="west-east",
    helper="east",
    helped="west",
    since=date(2026, 1, 1),
    until=LAST_DAY,
    kinds=("urgent",),
    duties="sends whoever is free",
    response_min=30,
)
AREAS = [Area(id=name, name=name, kind=AreaKind.DISTRICT, lat=36.0 + n, lon=102.0) for n, name in enumerate(("west", "east", "north"))]


def station(name: str, area: str, lat: float, capacity: int = 3) -> Responder:
    return Responder(
        id=name, name=name, kind=ResponderKind.STATION, parent=f"centre-{area}", areas=(area,), lat=lat, lon=102.0, capacity=capacity, speed_kmh=40
    )


def centre(area: str) -> Responder:
    return Responder(
        id=f"centre-{area}", name=area, kind=ResponderKind.DISTRICT_CENTRE, parent="desk", areas=(area,), lat=None, lon=None, capacity=100
    )


RESPONDERS = [
    *(station(f"west-{n}", "west", 36.0 + n / 1000) for n in range(2)),
    station("east-1", "east", 36.06, 50),
    station("north-1", "north", 36.04, 50),
    *map(centre, ("west", "east", "north")),
    Responder(id="desk", name="desk", kind=ResponderKind.DESK, channel="console", capacity=1_000_000),
]
PEOPLE = [Person(id=f"p{n}", name="Invented", area="west", lat=36.0, lon=102.0) for n in range(20)]


class Districts(Room):
    """West has two stations of three places each; east helps it until the end of the day; north, nearer, has agreed to nothing."""

    def __init__(self) -> None:
        super().__init__()
        devices = [Device(id=f"w{n}", person=f"p{n}") for n in range(20)]
        register = Register(
            district="west", persons=PEOPLE, devices=devices, responders=RESPONDERS, areas=AREAS, agreements=[AGREEMENT], version="three districts"
        )
        self.working = WorkingSet(register, self.working.policy)

    def rule(self, key: str, value: str, actor: str = "Li Na", reason: str = "needed", **more: object) -> Standing:
        draft = Draft(self.working)
        standing = matters.on_ruling(draft, Ruling(key=key, value=value, actor=actor, reason=reason, **more), self.now)  # type: ignore[arg-type]
        self._settle(draft)
        return standing

    def cry(self, number: int) -> Incident:
        self.press(f"w{number}")
        return next(one for one in self.working.open_incidents if one.person == f"p{number}")

    def look(self) -> list[str]:
        """The machine looks at its districts."""
        found = []
        for ruling in wanted(self.working, AidConfig(), self.now):
            self.rule(ruling.key, ruling.value, actor=ruling.actor, reason=ruling.reason, detail=ruling.detail)
            found.append(f"{ruling.key} {ruling.value}".strip())
        return found

    def refused(self, *arguments: object, **more: object) -> str:
        with pytest.raises(Refused) as refused:
            self.rule(*arguments, **more)  # type: ignore[arg-type]
        return refused.value.reason


def test_a_full_district_sends_its_partner_and_not_the_nearer_stranger() -> None:
    """A supervisor sees the district marked saturated, new orders at the partner's stations with "by agreement", and the end of it."""
    room = Districts()
    assert [room.cry(n).legs[0].responder.partition("-")[0] for n in range(6)] == ["west"] * 6
    assert room.look() == ["saturated:west saturated"]
    assert room.cry(6).legs[0].responder == "east-1"
    assert room.look() == []
    for incident in list(room.working.open_incidents)[:2]:
        leg = incident.legs[0]
        room.answer(leg.responder, "done", leg.delivery)
    assert room.look() == ["saturated:west"]
    assert room.cry(7).legs[0].responder.startswith("west-")


def test_one_place_more_or_less_does_not_call_and_recall() -> None:
    room = Districts()
    for n in range(6):
        room.cry(n)
    room.look()
    leg = next(iter(room.working.open_incidents)).legs[0]
    room.answer(leg.responder, "done", leg.delivery)
    assert places_of(room.working, room.now)["west"].taken == 5
    assert room.look() == []


def test_the_agreement_ends_at_midnight() -> None:
    """Scenario 5: it expires during the test. Before midnight the partner is asked, after it is not; the explanation says why."""
    room = Districts()
    room.rule("saturated:west", "saturated")
    room.now = datetime(2026, 3, 14, 15, 59, 59, tzinfo=UTC)  # 23:59:59 in Lanzhou
    assert room.cry(0).legs[0].responder == "east-1"
    room.now += timedelta(seconds=1)
    after = room.cry(1)
    assert after.legs[0].responder.startswith("west-")


def test_a_lost_centre_is_passed_over() -> None:
    room = Districts()
    room.rule("lost:centre-west", "lost")
    for n in range(6):
        room.cry(n)
    assert room.cry(6).legs[0].responder == "east-1", "its stations are full, its centre is lost: the partner"
    room.rule("lost:centre-west", "")
    assert room.refused("lost:centre-west", "") == "does_not_stand"


def test_what_a_person_has_said_the_machine_leaves() -> None:
    room = Districts()
    for n in range(6):
        room.cry(n)
    room.rule("saturated:west", "", until=room.now + timedelta(hours=1))
    assert room.look() == [], "a person wants no help for an hour"
    assert room.refused("saturated:west", "saturated", actor="gateway") == "by_a_person"
    room.now += timedelta(minutes=61)
    assert room.look() == ["saturated:west saturated"]


@pytest.mark.parametrize(
    ("key", "value", "more", "reason"),
    [
        ("lost:nobody", "lost", {}, "unknown_responder"),
        ("lost:west-1", "gone", {}, "bad_value"),
        ("lost:west-1", "lost", {"reason": " "}, "missing_reason"),
        ("saturated:nowhere", "saturated", {}, "unknown_area"),
        ("aid:nothing", "closed", {}, "unknown_agreement"),
        ("guest:Zhao", "west", {}, "unknown_agreement"),
        ("guest:Zhao", "west", {"detail": {"agreement": "west-east"}}, "bad_until"),
        ("guest:Zhao", "north", {"detail": {"agreement": "west-east"}}, "not_of_agreement"),
        ("guest:Zhao", "west", {"detail": {"agreement": "west-east"}, "until": datetime(2026, 3, 14, 16, 0, 1, tzinfo=UTC)}, "bad_until"),
        ("something:else", "x", {}, "unknown_matter"),
    ],
)
def test_what_may_not_be_ruled(key: str, value: str, more: dict[str, object], reason: str) -> None:
    assert Districts().refused(key, value, **more) == reason


def test_a_closed_agreement_helps_nobody() -> None:
    room = Districts()
    room.rule("aid:west-east", "closed")
    room.rule("saturated:west", "saturated")
    assert room.cry(0).legs[0].responder.startswith("west-")
    room.rule("aid:west-east", "")
    assert room.cry(1).legs[0].responder == "east-1"


def test_a_guest_works_until_the_day_and_is_then_shut_out() -> None:
    room = Districts()
    until = room.now + timedelta(hours=2)
    room.rule("guest:Zhao", "west", detail={"agreement": "west-east"}, until=until)
    assert not is_shut_out(room.working.standings, "Zhao", room.now)
    incident = room.cry(0)
    room.do("acknowledge", incident.id, actor="Zhao")
    room.now = until
    assert is_shut_out(room.working.standings, "Zhao", room.now)
    assert not is_shut_out(room.working.standings, "Li Na", room.now), "who never was a guest works as ever"
    with pytest.raises(Refused, match="guest_no_more"):
        room.do("note", incident.id, actor="Zhao", text="still here")


def test_a_guest_touches_what_is_helped_and_nothing_else() -> None:
    """A supervisor sees the helper's operator work in the western queue; elsewhere, and in what is ruled, that name is refused."""
    room = Districts()
    elsewhere = Person(id="northern", name="Invented", area="north", lat=38.0, lon=102.0)
    room.working = WorkingSet(
        Register(
            district="west",
            persons=[*PEOPLE, elsewhere],
            devices=[Device(id="w0", person="p0"), Device(id="wn", person="northern")],
            responders=RESPONDERS,
            areas=AREAS,
            agreements=[AGREEMENT],
            version="four",
        ),
        room.working.policy,
    )
    room.rule("guest:Zhao", "west", detail={"agreement": "west-east"}, until=room.now + timedelta(hours=2))
    room.do("acknowledge", room.cry(0).id, actor="Zhao")
    room.press("wn")
    northern = next(one for one in room.working.open_incidents if one.person == "northern")
    with pytest.raises(Refused) as refused:
        room.do("acknowledge", northern.id, actor="Zhao")
    assert refused.value.reason == "guest_elsewhere"
    room.do("acknowledge", northern.id, actor="Li Na")
    assert room.refused("guest:Zhao", "west", actor="Zhao", detail={"agreement": "west-east"}) == "guest_may_not_rule"
    assert room.refused("lost:west-1", "lost", actor="Zhao") == "guest_may_not_rule"


# --- a step of a chain that goes to the partner -------------------------------------------------------------------------


class Chained(Districts):
    """The same, with a chain whose one step orders the partner; the north has agreed to help, too, after the east."""

    def __init__(self) -> None:
        super().__init__()
        north = msgspec.structs.replace(AGREEMENT, id="west-north", helper="north")
        register = Register(
            district="west",
            persons=PEOPLE,
            devices=[Device(id="w0", person="p0")],
            responders=RESPONDERS,
            areas=AREAS,
            agreements=[AGREEMENT, north],
            version="two partners",
        )
        policy = msgspec.structs.replace(POLICY, critical=msgspec.structs.replace(POLICY.critical, steps="aid"))
        self.working = WorkingSet(register, policy)
        self.working.chains = {"aid": Chain(step=(StepConfig(after_s=10, to="partner", how="order"),), name="aid")}

    def partner(self) -> str:
        """Whom the step ordered; "" for nobody."""
        self.cry(0)
        self.advance(seconds=20)
        return next((leg.responder for leg in self.only.legs if not leg.responder.startswith("west")), "")


def test_a_chain_orders_the_partner_of_the_first_agreement() -> None:
    """A supervisor sees that the eastern station was ordered at the step "partner"."""
    assert Chained().partner() == "east-1"


@pytest.mark.parametrize(
    ("key", "value"),
    [("aid:west-east", "closed"), ("lost:east-1", "lost"), ("saturated:east", "saturated"), ("saturated:east-1", "saturated")],
)
def test_a_chain_passes_over_partners_that_cannot_help_now(key: str, value: str) -> None:
    """A supervisor who closed an agreement, or saw the partner lost or full, sees the next partner ordered and not that one."""
    room = Chained()
    room.rule(key, value)
    wanted = "centre-east" if key.endswith("east-1") else "north-1"  # who leads there has others to send
    assert room.partner() == wanted


def test_a_chain_without_any_partner_left_rings_the_desk() -> None:
    """A supervisor sees the desk rung with "no partner" and nobody ordered who cannot come."""
    room = Chained()
    for agreement in ("west-east", "west-north"):
        room.rule(f"aid:{agreement}", "closed")
    assert room.partner() == ""
    assert any(msgspec.json.decode(record.facts).get("result") == "no_partner" for record in room.records)


def test_who_is_above_a_lost_centre_leads_in_its_place() -> None:
    """A supervisor sees the order of the step "parent" at the city when the district's centre is lost."""
    city = Responder(id="city", name="city", kind=ResponderKind.CITY_CENTRE, parent="desk", capacity=100)
    tree = [msgspec.structs.replace(one, parent="city") if one.id == "centre-west" else one for one in RESPONDERS]
    room = Chained()
    register = Register(
        district="west", persons=PEOPLE, devices=[Device(id="w0", person="p0")], responders=[*tree, city], areas=AREAS, version="with a city"
    )
    room.working = WorkingSet(register, room.working.policy)
    room.working.chains = {"aid": Chain(step=(StepConfig(after_s=10, to="parent", how="order"),), name="aid")}
    room.rule("lost:centre-west", "lost")
    assert room.partner() == "city"
