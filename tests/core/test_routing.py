"""Who is sent, case by case: each test is a sentence that a supervisor would say."""

from datetime import UTC, date, datetime

import msgspec
import pytest

from gateway.config.routing import RoutingConfig
from gateway.core.incident import Role
from gateway.core.need import Around, Need
from gateway.core.register import Area, AreaKind, Register, Responder, ResponderKind
from gateway.core.routing import VERDICTS, Decision, Router
from gateway.core.routing.data import pack, unpack
from gateway.core.territory import AidAgreement, DayKind, Provider, ProviderState, Shift, Standing
from gateway.core.travel import Starts, StraightLine
from gateway.event import Kind, Position, Severity

K = ResponderKind
NOON = datetime(2026, 3, 14, 4, 0, tzinfo=UTC)  # a Saturday, 12:00 local
NIGHT = datetime(2026, 3, 14, 17, 0, tzinfo=UTC)  # 01:00 on Sunday
HERE = Position(lat=36.0, lon=103.0, source="home")
KM = 1 / 111.195  # degrees of latitude
DAY = date(2026, 3, 14)

AREAS = (
    Area(id="city", name="", kind=AreaKind.CITY),
    Area(id="west", name="", kind=AreaKind.DISTRICT, parent="city"),
    Area(id="east", name="", kind=AreaKind.DISTRICT, parent="city"),
    Area(id="south", name="", kind=AreaKind.DISTRICT, parent="city"),
    Area(id="mill", name="", kind=AreaKind.STREET, parent="west"),
)


def one(name: str, kind: ResponderKind, km: float | None, **more: object) -> Responder:
    """So many kilometres north of HERE, at 15.6 km/h: with the detour of 1.3 five minutes a kilometre."""
    place = {"lat": 36.0 + km * KM, "lon": 103.0} if km is not None else {}
    return Responder(id=name, name="", kind=kind, **{"speed_kmh": 15.6, **place, **more})  # type: ignore[arg-type]


def router(*responders: Responder, rules: RoutingConfig | None = None, **more: object) -> Router:
    return Router(Register(responders=responders, areas=AREAS, version="v", **more), rules)  # type: ignore[arg-type]


def need(role: Role = Role.SOCIAL, kind: Kind = Kind.FALL, at: datetime = NOON, **more: object) -> Need:
    return Need(**{"kind": kind, "severity": Severity.CRITICAL, "at": at, "role": role, "position": HERE, "area": "mill", **more})  # type: ignore[arg-type]


def around(loads: dict[str, int] | None = None, **ruled: str) -> Around:
    standings = {key.replace("__", ":").replace("_", "-"): value for key, value in ruled.items()}
    made = {key: Standing(key=key, value=value, at=NOON, actor="somebody") for key, value in standings.items()}
    return Around(lambda name, pool: (loads or {}).get(f"{name}|{pool}" if pool else name, 0), made.get)


def verdicts(decision: Decision) -> dict[str, str]:
    assert {candidate.verdict for candidate in decision.candidates} | set(decision.farther) <= set(VERDICTS)
    return {candidate.responder: candidate.verdict for candidate in decision.candidates}


# --- 助急: time and capability alone -----------------------------------------------------------------------------------


def last_place() -> Router:
    """Scenario 7: the best-rated provider is 22 minutes away, the worst-rated one 4."""
    services = ("housekeeping",)
    rows = (Provider(id="best", urgent=True, services=services, grade=5.0), Provider(id="worst", urgent=True, services=services, grade=1.0))
    return router(one("best", K.PROVIDER, 4.4), one("worst", K.PROVIDER, 0.8), providers=rows)


def test_an_emergency_goes_to_the_worst_rated_four_minutes_away_and_housekeeping_to_the_best_rated_twenty_two_away() -> None:
    emergency = last_place().choose(need(), around())
    assert (emergency.responder, emergency.travel_min, emergency.beyond) == ("worst", 4.0, False)
    service = last_place().choose(need(Role.SERVICE, Kind.SERVICE_REQUEST, service="housekeeping"), around())
    assert (service.responder, service.rule, service.travel_min) == ("best", "score", 22.0)
    chosen, near = sorted(service.candidates, key=lambda candidate: candidate.verdict)
    assert (chosen.score, chosen.weight, chosen.effect) == (1.0, round(0.7 + 0.3 * (1 - 22 / 60), 4), "score")
    assert (near.verdict, near.score, near.weight) == ("fits", 0.2, round(0.7 * 0.2 + 0.3 * (1 - 4 / 60), 4))


def test_a_score_counts_only_between_those_who_are_there_at_the_same_time() -> None:
    rows = tuple(Provider(id=name, urgent=True, grade=grade) for name, grade in (("a", 1.0), ("b", 5.0)))
    equal = router(one("a", K.PROVIDER, 1.0), one("b", K.PROVIDER, 1.09), providers=rows).choose(need(), around())
    assert equal.responder == "b"
    assert next(candidate.effect for candidate in equal.candidates if candidate.responder == "b") == "score"
    later = router(one("a", K.PROVIDER, 1.0), one("b", K.PROVIDER, 1.13), providers=rows).choose(need(), around())
    assert later.responder == "a"
    late = router(one("a", K.PROVIDER, 4.0), one("b", K.PROVIDER, 4.05), providers=rows).choose(need(), around())
    assert (late.responder, late.beyond) == ("a", True), "outside the circle nothing but time counts"
    across = router(one("a", K.PROVIDER, 2.98), one("b", K.PROVIDER, 3.04), providers=rows).choose(need(), around())
    assert across.responder == "a", "14.9 and 15.2 minutes: the one is in time, the other is not"


def test_the_language_is_asked_before_the_score_and_after_the_time() -> None:
    rows = tuple(Provider(id=name, urgent=True, grade=grade) for name, grade in (("a", 1.0), ("b", 5.0), ("c", 1.0)))
    three = (one("a", K.PROVIDER, 1.0), one("b", K.PROVIDER, 1.05), one("c", K.PROVIDER, 1.09, skills=("tibetan",)))
    decision = router(*three, providers=rows).choose(need(language="tibetan"), around())
    assert decision.responder == "c"
    assert next(candidate.effect for candidate in decision.candidates if candidate.responder == "c") == "language"


def test_whose_grid_cell_it_is_goes_before_the_better_score_and_never_before_the_nearer() -> None:
    """A supervisor sees the cell's own station sent where two are there at the same time, and the other one where it is sooner."""
    cell = Area(id="mill-g1", name="", kind=AreaKind.GRID, parent="mill")
    rows = tuple(Provider(id=name, urgent=True, grade=grade) for name, grade in (("any", 5.0), ("own", 1.0)))

    def sent(own_km: float, area: str = "mill-g1", **more: object) -> Decision:
        two = (one("any", K.PROVIDER, 1.0, areas=("mill",)), one("own", K.PROVIDER, own_km, areas=("mill", "mill-g1")))
        register = Register(responders=two, areas=(*AREAS, cell), version="v", providers=rows)
        return Router(register).choose(need(area=area, **more), around())

    decision = sent(1.05)
    assert decision.responder == "own"
    assert next(candidate.effect for candidate in decision.candidates if candidate.responder == "own") == "grid"
    assert sent(1.2).responder == "any", "a minute later is later, whoever's cell it is"
    assert sent(1.05, area="mill").responder == "any", "where nobody knows the cell it counts for nothing"
    assert sent(1.05, kind=Kind.SMOKE).responder == "own"


def test_who_may_not_go_is_named_with_the_reason_even_if_it_is_next_door() -> None:
    rows = (
        Provider(id="cleaner", services=("housekeeping",)),
        Provider(id="gone", urgent=True, state=ProviderState.EXITED),
        Provider(id="over", urgent=True, until=date(2026, 3, 13)),
        Provider(id="soon", urgent=True, since=date(2026, 3, 15)),
        Provider(id="broke", urgent=True, blocked="credit"),
        Provider(id="cold", urgent=True),
        Provider(id="banned", urgent=True),
    )
    names = ("cleaner", "gone", "over", "soon", "broke", "cold", "banned", "stranger")
    firms = [one(name, K.PROVIDER, 0.1 + 0.01 * number) for number, name in enumerate(names)]
    closed = one("closed", K.STATION, 0.3, hours="20:00-08:00")
    full, asked, lost = (one(name, K.STATION, 0.4) for name in ("full", "asked", "lost"))
    decision = router(*firms, closed, full, asked, lost, one("good", K.STATION, 1.0), providers=rows).choose(
        need(asked=("asked",)), around({"full": 1}, frozen__cold="frozen", provider__banned="suspended", lost__lost="lost")
    )
    assert verdicts(decision) == {
        "cleaner": "not_for_urgent",
        "gone": "exited",
        "over": "agreement_expired",
        "soon": "agreement_not_begun",
        "broke": "blocked",
        "cold": "frozen",
        "banned": "suspended",
        "stranger": "no_agreement",
        "closed": "off_duty",
        "full": "at_capacity",
        "asked": "already_asked",
        "lost": "lost",
        "good": "chosen",
    }


def test_what_people_rule_goes_before_the_file() -> None:
    rows = (Provider(id="a", urgent=True, state=ProviderState.SUSPENDED),)
    assert router(one("a", K.PROVIDER, 1.0), providers=rows).choose(need(), around(provider__a="admitted")).responder == "a"


def test_property_and_neighbours_are_never_sent_for_care_but_asked_to_look() -> None:
    both = router(one("house", K.PROPERTY, 0.1), one("ann", K.NEIGHBOUR, 0.5), one("far", K.NEIGHBOUR, 1.2), one("station", K.STATION, 2.0))
    assert both.choose(need(), around()).responder == "station"
    looked = both.choose(need(Role.NEIGHBOUR), around())
    assert (looked.responder, looked.rule) == ("ann", "neighbour"), "a neighbour goes before the property company, however near that is"
    assert both.choose(need(Role.NEIGHBOUR), around({"ann": 1})).responder == "house"
    nobody = both.choose(need(Role.NEIGHBOUR), around({"ann": 1, "house": 1}))
    assert (nobody.rule, verdicts(nobody)["far"]) == ("desk", "too_far"), "never instead of them the station"


def test_a_medical_leg_goes_to_who_can_treat() -> None:
    everybody = router(
        one("station", K.STATION, 0.1),
        one("partnered", K.CARE_CENTRE, 0.2, beds=100),
        one("infirmary", K.CARE_CENTRE, 2.0, beds=101),
        one("health", K.HEALTH_STATION, 3.0),
    )
    decision = everybody.choose(need(Role.MEDICAL), around())
    assert decision.responder == "infirmary"
    assert verdicts(decision) == {"station": "not_capable", "partnered": "not_capable", "infirmary": "chosen"}
    assert everybody.choose(need(kind=Kind.MEDICAL), around({"station": 1, "partnered": 1, "infirmary": 1})).responder == "health"
    assert everybody.choose(need(), around({"station": 1, "partnered": 1, "infirmary": 1})).rule == "desk", (
        "a health station is not sent after a fall"
    )


def test_the_family_doctor_else_the_health_centre_else_another_one() -> None:
    doctors = router(
        one("dr-li", K.DOCTOR, 3.0, parent="centre-1", hours="08:00-18:00"),
        one("centre-1", K.HEALTH_CENTRE, 5.0),
        one("centre-2", K.HEALTH_CENTRE, 1.0),
    )
    assert doctors.named("dr-li", need(Role.DOCTOR), around()).responder == "dr-li"
    absent = doctors.named("dr-li", need(Role.DOCTOR, at=NIGHT), around())
    assert (absent.responder, absent.rule) == ("centre-1", "parent")
    assert doctors.named("dr-li", need(Role.DOCTOR, at=NIGHT), around({"centre-1": 1})).responder == "centre-2"
    assert doctors.named("nobody", need(Role.DOCTOR), around()).responder == "centre-2"


# --- up the tree, night, mutual aid ------------------------------------------------------------------------------------


def tree(*more: Responder) -> tuple[Responder, ...]:
    return (
        one("station", K.STATION, 1.0, parent="street", areas=("mill",), hours="08:00-18:00"),
        one("street", K.STREET_CENTRE, 2.0, parent="district", areas=("mill",)),
        one("district", K.DISTRICT_CENTRE, 3.0, parent="city-centre", areas=("west",)),
        one("city-centre", K.CITY_CENTRE, 9.0, parent="desk", areas=("city",)),
        one("desk", K.DESK, None, channel="console"),
        *more,
    )


def test_at_night_the_care_centre_with_night_staff_goes() -> None:
    decision = router(*tree(one("care", K.CARE_CENTRE, 2.5, areas=("west",)))).choose(need(at=NIGHT), around())
    assert (decision.responder, decision.rule) == ("care", "care_centre")
    assert router(*tree(one("care", K.CARE_CENTRE, 0.5, areas=("west",)))).choose(need(), around()).responder == "station"


@pytest.mark.parametrize(
    ("full", "responder", "rule"),
    [
        (("station",), "street", "parent"),
        (("station", "street"), "district", "parent"),
        (("station", "street", "district"), "city-centre", "city"),
        (("station", "street", "district", "city-centre"), "desk", "desk"),
    ],
)
def test_up_the_tree_in_the_end_the_desk(full: tuple[str, ...], responder: str, rule: str) -> None:
    loads = dict.fromkeys(full, 1)
    assert router(*tree()).choose(need(), around(loads)).responder == responder
    silent = router(*tree()).above("station", need(asked=("station",)), around(loads))
    assert (silent.responder, silent.rule) == (responder, rule)
    nowhere = router(*tree()).choose(need(position=None), around(loads))
    assert (nowhere.responder, nowhere.rule, nowhere.beyond) == (responder, rule, False)


def test_a_street_without_a_centre_is_skipped() -> None:
    missing = tuple(responder for responder in tree() if responder.id != "street")
    assert router(*missing).choose(need(), around({"station": 1})).responder == "district"


def test_nobody_at_all_is_the_desk() -> None:
    assert router().choose(need(position=None, area=None), around()).responder == "desk"


def neighbours(**agreement: object) -> Router:
    """West has a partner in the south, an hour away; the east, which agreed to nothing, is nearer."""
    aid = AidAgreement(
        **{  # type: ignore[arg-type]
            **{
                "id": "aid",
                "helper": "south",
                "helped": "west",
                "since": DAY,
                "until": DAY,
                "kinds": ("urgent",),
                "duties": "beds",
                "response_min": 60.0,
            },
            **agreement,
        }
    )
    others = (
        one("south-station", K.STATION, 12.0, areas=("south",)),
        one("east-station", K.STATION, 2.2, areas=("east",), parent="east-centre"),
        one("east-centre", K.DISTRICT_CENTRE, 20.0, areas=("east",)),
    )
    return router(*tree(*others), agreements=(aid,))


WEST_FULL = {"station": 1, "street": 1, "district": 1}


def test_the_partner_goes_before_the_nearer_stranger() -> None:
    decision = neighbours().choose(need(), around(WEST_FULL))
    assert (decision.responder, decision.rule, decision.agreement) == ("south-station", "partner", "aid")
    assert decision.beyond


@pytest.mark.parametrize(
    ("agreement", "ruled", "why"),
    [
        ({"until": date(2026, 3, 13)}, {}, "agreement_expired"),
        ({"since": date(2026, 3, 15)}, {}, "agreement_not_begun"),
        ({}, {"aid__aid": "closed"}, "agreement_closed"),
        ({"kinds": ("service",)}, {}, ""),
        ({"helper": "west", "helped": "south"}, {}, ""),
    ],
)
def test_without_an_agreement_that_holds_the_stranger_in_time_goes(agreement: dict[str, object], ruled: dict[str, str], why: str) -> None:
    decision = neighbours(**agreement).choose(need(), around(WEST_FULL, **ruled))
    assert (decision.responder, decision.rule) == ("east-station", "stranger")
    assert [candidate.verdict for candidate in decision.candidates if candidate.agreement] == ([why] if why else [])


def test_an_agreement_of_both_sides_helps_both() -> None:
    assert neighbours(helper="west", helped="south", both=True).choose(need(), around(WEST_FULL)).rule == "partner"


def test_a_lost_district_centre_is_led_by_the_partner_then_by_the_city() -> None:
    loads = {"station": 1, "street": 1}
    assert neighbours().above("street", need(), around(loads, lost__district="lost")).responder == "south-station"
    city = neighbours(until=date(2026, 3, 13)).above("street", need(), around(loads, lost__district="lost"))
    assert (city.responder, city.rule, verdicts(city)["district"]) == ("city-centre", "city", "lost")


def test_our_own_station_in_time_goes_before_any_partner_and_a_stranger_in_time_before_our_own_that_is_late() -> None:
    assert neighbours().choose(need(), around()).responder == "station"
    far = tuple(msgspec.structs.replace(r, lat=36.0 + 8 * KM) if r.id == "station" else r for r in neighbours()._register.responders.values())
    assert router(*far).choose(need(), around()).responder == "east-station"


def test_a_district_ruled_saturated_lets_its_partner_in_time_go_first() -> None:
    near = tuple(msgspec.structs.replace(r, lat=36.0 + 2 * KM) if r.id == "south-station" else r for r in neighbours()._register.responders.values())
    saturated = router(*near, agreements=tuple(neighbours()._register.agreements.values()))
    assert saturated.choose(need(), around()).responder == "station"
    assert saturated.choose(need(), around(saturated__west="saturated")).responder == "south-station"
    both = saturated.choose(need(), around(saturated__west="saturated", saturated__south="saturated"))
    assert both.responder == "station", "two that are full do not send each other's people the longer way"
    assert saturated.again(both) == both
    assert saturated.choose(need(), around(WEST_FULL, saturated__west="saturated", saturated__south="saturated")).responder == "south-station"


def test_a_visitor_is_routed_by_where_the_fix_is() -> None:
    square = ((35.99, 102.99), (35.99, 103.01), (36.01, 103.01), (36.01, 102.99), (35.99, 102.99))
    away = router(one("a", K.STATION, 2.0, areas=("west",)), one("b", K.STATION, 2.1, areas=("east",)), polygons={"east": ((square,),)})
    fix = Position(lat=36.0, lon=103.0)
    decision = away.choose(need(position=fix, home="west", area="west"), around())
    assert (decision.responder, decision.area) == ("b", "east")
    later = Router(unpack(pack(away._register).body, "v"))
    assert later.again(decision) == decision, "the borders of then are not kept: where it lay stands in the decision"
    assert away.choose(need(area="west"), around()).responder == "a", "of a home the register says in which area it lies"


# --- ordinary services -------------------------------------------------------------------------------------------------


def test_a_service_goes_to_who_offers_it_serves_the_place_and_can_come() -> None:
    rows = [*(Provider(id=name, services=("meals",)) for name in ("a", "b", "c", "d")), Provider(id="e", services=("nursing",))]
    firms = (
        one("a", K.PROVIDER, 0.1, areas=("east",)),
        one("b", K.PROVIDER, 0.2),
        one("c", K.PROVIDER, 12.5),
        one("d", K.PROVIDER, 5.0, areas=("west",)),
        one("e", K.PROVIDER, 0.3),
    )
    decision = router(*firms, providers=rows).choose(need(Role.SERVICE, Kind.SERVICE_REQUEST, service="meals"), around({"b|service": 1, "d": 9}))
    assert decision.responder == "d", "alarms that it carries fill another pool"
    assert verdicts(decision) == {"a": "other_area", "b": "at_capacity", "d": "chosen", "e": "service_not_agreed"}
    assert decision.farther == {"too_far": 1}


def test_a_service_that_nobody_offers_is_left_to_the_desk() -> None:
    assert last_place().choose(need(Role.SERVICE, Kind.SERVICE_REQUEST, service="nursing"), around()).rule == "desk"


# --- reach -------------------------------------------------------------------------------------------------------------


def test_the_rush_slows_a_car_on_days_worked_and_the_night_speeds_it_up() -> None:
    calendar = {date(2026, 3, 16): DayKind.HOLIDAY, date(2026, 3, 14): DayKind.WORKDAY}
    line = StraightLine(RoutingConfig(), calendar)
    starts = Starts((one("car", K.STATION, 3.0, mode="car"), one("foot", K.STATION, 3.0, mode="foot"), one("own", K.STATION, 3.0)))

    def took(day: int, hour: int) -> list[float]:
        at = datetime(2026, 3, day, hour, tzinfo=UTC)
        return [round(float(minutes), 1) for minutes in line.minutes(starts, starts.km(36.0, 103.0), 36.0, 103.0, at)]

    assert took(13, 4) == [7.8, 52.0, 15.0]  # Friday noon
    assert took(13, 0) == [13.0, 52.0, 15.0]  # 08:00
    assert took(14, 0) == [13.0, 52.0, 15.0], "a Saturday that is worked"
    assert took(15, 0) == [7.8, 52.0, 15.0], "Sunday"
    assert took(16, 0) == [7.8, 52.0, 15.0], "a holiday"
    assert took(13, 14) == [6.0, 52.0, 15.0]  # 22:00


def test_other_travel_times_may_stand_in_their_place() -> None:
    class Roads:
        name, is_estimate = "roads:test", True

        def minutes(self, starts: Starts, km: object, lat: float, lon: float, at: datetime) -> object:
            import numpy as np

            return np.array([{"a": 20.0, "b": 3.0}.get(r.id, float("nan")) for r in starts.responders])

        def source(self, responder: Responder, lat: float, lon: float) -> str:
            return "straight_line" if responder.id == "a" else ""

    register = Register(responders=(one("a", K.STATION, 0.5), one("b", K.STATION, 2.0), one("c", K.STATION, 0.1)), areas=AREAS, version="v")
    decision = Router(register, None, Roads()).choose(need(), around())  # type: ignore[arg-type]
    assert (decision.responder, decision.travel, decision.travel_min) == ("b", "roads:test", 3.0)
    assert {one.responder: one.travel for one in decision.candidates if one.travel_min is not None} == {"b": ""}


def test_a_roster_is_the_capacity() -> None:
    shifts = (Shift(responder="a", staff=2),)
    assert router(one("a", K.STATION, 1.0), one("b", K.STATION, 2.0), shifts=shifts).choose(need(), around({"a": 1})).responder == "a"
    assert router(one("a", K.STATION, 1.0), one("b", K.STATION, 2.0), shifts=shifts).choose(need(), around({"a": 2})).responder == "b"


# --- the decision by value ---------------------------------------------------------------------------------------------


def test_a_decision_of_a_full_city_names_fifty_counts_the_rest_and_is_made_again() -> None:
    stations = [one(f"s{number:03}", K.STATION, 0.01 * number) for number in range(200)]
    full = Router(Register(responders=stations, areas=AREAS, version="v"))
    decision = full.choose(need(), around({station.id: 1 for station in stations[:-1]}))
    assert (decision.responder, len(decision.candidates), decision.farther) == ("s199", 51, {"at_capacity": 149})
    assert decision.loads == {station.id: 1 for station in stations[50:-1]}
    read = msgspec.json.decode(msgspec.json.encode(decision), type=Decision)
    packed = pack(full._register)
    assert Router(unpack(packed.body, "v")).again(read) == decision


def test_other_rules_are_other_decisions() -> None:
    slow = router(*tree(), rules=RoutingConfig(circle_min=4))
    decision = router(*tree()).choose(need(), around())
    again = slow.again(decision)
    assert (again.responder, again.beyond, decision.beyond) == ("station", True, False)
    assert again.rules != decision.rules


def test_routing_data_hold_no_name_and_no_number() -> None:
    register = Register(responders=(one("a", K.NEIGHBOUR, 1.0, phone="+8617400000001", address="x@y", label="Aunt"),), version="v")
    kept = unpack(pack(register).body, "v").responders["a"]
    assert (kept.phone, kept.address, kept.label, kept.name) == ("", "", "", "")


def test_what_an_operator_wants_is_done_and_what_spoke_against_it_is_beside_it() -> None:
    decision = router(*tree()).wanted("street", need(), around())
    assert (decision.responder, decision.rule) == ("street", "operator")
    assert verdicts(decision)["station"] == "fits"
