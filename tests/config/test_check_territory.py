"""What `gateway check` doubts about the responder tree, each rule at its border. The day is Wednesday 18 November 2026."""

from datetime import date, datetime, timedelta

import pytest

from gateway.check_territory import territory_doubts
from gateway.check_words import say
from gateway.core.duty import CHINA
from gateway.core.register import Area, AreaKind, Register, Responder, ResponderKind
from gateway.core.territory import AidAgreement, Provider, ProviderState, Shift

NOW = datetime(2026, 11, 18, 10, tzinfo=CHINA)
TODAY = NOW.date()
STREET = Area(id="street", name="街道", kind=AreaKind.STREET, elder_share=0.20)
COMMUNITY = Area(id="community", name="社区", kind=AreaKind.COMMUNITY, parent="street")
CENTRE = Responder(id="centre", name="中心", kind=ResponderKind.STREET_CENTRE, areas=("street",), capacity=2)


def station(name: str = "one", **more: object) -> Responder:
    return Responder(**{"id": name, "name": "站", "kind": ResponderKind.STATION, "areas": ("community",), **more})


def doubts(*responders: Responder, areas: tuple[Area, ...] = (STREET, COMMUNITY), **more: object) -> dict[str, tuple[tuple[str, ...], str]]:
    """Word → (ids, of); and each can be said in both languages."""
    found = list(territory_doubts(Register(responders=responders, areas=areas, **more), "folder", NOW))
    assert all(say(doubt, language) for doubt in found for language in ("zh-CN", "en"))
    return {doubt.what: (doubt.ids, doubt.of) for doubt in found}


def test_a_sound_tree_is_not_doubted():
    assert doubts(CENTRE, station()) == {}


def test_a_street_without_a_centre_is_told():
    assert doubts(station()) == {"no_centre": (("street",), "")}


@pytest.mark.parametrize(("share", "capacity", "told"), [(0.19, 1, False), (0.20, 1, True), (0.20, 2, False), (None, 1, False), (0.1, 0, True)])
def test_a_street_has_the_staff_of_its_elders(share, capacity, told):
    street = Area(id="street", name="街道", kind=AreaKind.STREET, elder_share=share)
    centre = Responder(id="centre", name="中心", kind=ResponderKind.STREET_CENTRE, areas=("street",), capacity=capacity)
    assert ("few_staff" in doubts(centre, areas=(street,))) is told


def test_staff_is_what_the_roster_has_at_its_best_hour():
    rows = [Shift(responder="centre", hours="08:00-20:00", staff=1), Shift(responder="centre", hours="20:00-08:00", staff=1)]
    assert doubts(CENTRE, station(), shifts=rows)["few_staff"] == (("centre",), "2")


@pytest.mark.parametrize(("elders", "people", "told"), [(99, (), False), (100, (), True), (100, ("s-1",), False), (None, (), False)])
def test_a_hundred_elders_need_a_name_on_the_roster(elders, people, told):
    assert ("unnamed" in doubts(CENTRE, station(elders=elders), shifts=[Shift(responder="one", people=people)])) is told


@pytest.mark.parametrize(
    ("row", "told"),
    [({"staff": 0}, True), ({"until": TODAY - timedelta(days=1)}, True), ({"since": TODAY + timedelta(days=7)}, True), ({"days": "2"}, False)],
)
def test_a_roster_that_is_empty_for_a_week_is_told(row, told):
    assert ("never_on_duty" in doubts(CENTRE, station(), shifts=[Shift(responder="one", **row)])) is told


def test_the_hours_at_which_nobody_is_in_a_street():
    centre = Responder(id="centre", name="中心", kind=ResponderKind.STREET_CENTRE, areas=("street",), capacity=2, hours="08:00-18:00")
    assert doubts(centre, station(hours="07:00-20:30")) == {"hours_uncovered": (("street",), "20:30-07:00")}
    assert doubts(centre, station(hours="20:00-08:00")) == {"hours_uncovered": (("street",), "18:00-20:00")}
    assert doubts(centre, station(hours="18:00-08:00")) == {}
    sundays = [Shift(responder="one", days="1-6"), Shift(responder="one", days="7", hours="08:00-24:00", staff=1)]
    assert doubts(centre, station(), shifts=sundays) == {"hours_uncovered": (("street",), "00:00-08:00")}


def test_a_property_company_with_care_is_told():
    keeper = Responder(id="keeper", name="物业", kind=ResponderKind.PROPERTY, skills=("care", "keys"))
    assert doubts(CENTRE, station(), keeper) == {"skill_not_counted": (("keeper",), "care")}


CLEANER = Responder(id="cleaner", name="家政", kind=ResponderKind.PROVIDER)


def test_a_provider_without_a_row_is_told():
    assert doubts(CENTRE, station(), CLEANER) == {"no_provider_row": (("cleaner",), "")}
    assert doubts(CENTRE, station(), CLEANER, providers=[Provider(id="cleaner")]) == {}


ENDINGS = [(-1, "ended"), (0, "ends"), (30, "ends"), (31, "")]


@pytest.mark.parametrize(("days", "how"), ENDINGS)
def test_agreements_and_grades_that_end_are_told(days, how):
    until = TODAY + timedelta(days=days)
    told = doubts(CENTRE, station(), CLEANER, providers=[Provider(id="cleaner", until=until, grade_until=until)])
    assert set(told) == ({f"agreement_{how}", f"grade_{how}"} if how else set())
    assert doubts(CENTRE, station(), CLEANER, providers=[Provider(id="cleaner", until=until, state=ProviderState.EXITED)]) == {}


def aid(helper: str, helped: str, **more: object) -> AidAgreement:
    given = {"since": date(2026, 1, 1), "until": date(2027, 12, 31), "kinds": ("all",), "duties": "x", "response_min": 30.0}
    return AidAgreement(**{"id": f"{helper}-{helped}", "helper": helper, "helped": helped, **given, **more})


@pytest.mark.parametrize(("days", "how"), ENDINGS)
def test_aid_that_ends_is_told(days, how):
    told = doubts(CENTRE, station(), agreements=[aid("a", "b", both=True, until=TODAY + timedelta(days=days))])
    assert set(told) == ({f"aid_{how}"} if how else set())


@pytest.mark.parametrize(
    ("agreements", "circle"),
    [
        ([aid("a", "b"), aid("b", "c")], ()),
        ([aid("a", "b"), aid("b", "a")], ("b", "a")),
        ([aid("a", "b"), aid("b", "c"), aid("c", "a")], ("b", "c", "a")),
        ([aid("a", "b", both=True)], ()),
        ([aid("a", "b", both=True), aid("b", "c", both=True), aid("c", "a", both=True)], ()),
        ([aid("a", "b"), aid("b", "a", until=date(2026, 11, 17))], ()),  # over: nobody goes round any more
    ],
)
def test_one_way_help_goes_round_in_no_circle(agreements, circle):
    told = doubts(CENTRE, station(), agreements=agreements)
    assert told.get("aid_circle", ((), ""))[0] == circle


def test_a_model_supports_one_or_two_and_has_a_partner():
    two = [aid("a", "b", model=True), aid("a", "c", model=True)]
    assert doubts(CENTRE, station(), agreements=two) == {}
    assert doubts(CENTRE, station(), agreements=[*two, aid("a", "d", model=True)]) == {"model_too_many": (("a",), "")}
    over = aid("a", "b", model=True, until=date(2026, 11, 17))
    assert set(doubts(CENTRE, station(), agreements=[over])) == {"aid_ended", "model_alone"}


def test_a_region_whose_support_goes_one_way_names_a_model():
    told = doubts(CENTRE, station(), agreements=[aid("a", "b"), aid("c", "d", both=True)])
    assert told == {"no_model": (("a-b",), "")}
    assert "no_model" not in doubts(CENTRE, station(), agreements=[aid("a", "b"), aid("c", "d", model=True)])
    assert "no_model" not in doubts(CENTRE, station(), agreements=[aid("c", "d", both=True)]), "equals support one another"
