"""What follows from beds, from the kind of a responder and from the share of elders: the borders of the documents."""

import pytest

from gateway.core.capability import NAMED_FROM, skills_of, skills_of_beds, staff_of_street
from gateway.core.register import Responder, ResponderKind

BASIC, INFIRMARY, FULL = "medical-basic", "medical-infirmary", "medical-full"


def skills(kind: ResponderKind, *written: str, beds: int | None = None) -> set[str]:
    return set(skills_of(Responder(id="one", name="一", kind=kind, skills=written, beds=beds)))


@pytest.mark.parametrize(
    ("beds", "expected"),
    [
        (None, set()),
        (0, set()),
        (1, {"medical-partner"}),
        (100, {"medical-partner"}),
        (101, {BASIC, INFIRMARY}),
        (500, {BASIC, INFIRMARY}),
        (501, {BASIC, INFIRMARY, FULL}),
    ],
)
def test_beds_decide_what_an_institution_can_do(beds, expected):
    assert skills_of_beds(beds) == expected
    assert skills(ResponderKind.CARE_CENTRE, beds=beds) == expected


def test_what_is_written_counts_beside_what_follows():
    assert skills(ResponderKind.CARE_CENTRE, "care", BASIC, beds=100) == {"care", BASIC, "medical-partner"}


@pytest.mark.parametrize("kind", [ResponderKind.HEALTH_STATION, ResponderKind.DOCTOR, ResponderKind.HEALTH_CENTRE, ResponderKind.HOSPITAL])
def test_who_is_medical_by_kind_needs_no_word(kind):
    assert BASIC in skills(kind)


def test_a_property_company_has_keys_and_lifts_and_never_care():
    assert skills(ResponderKind.PROPERTY, "care", BASIC, "tibetan", beds=600) == {"keys", "lift", "tibetan"}


def test_a_neighbour_is_never_medical():
    assert skills(ResponderKind.NEIGHBOUR, "care", FULL) == {"care"}


@pytest.mark.parametrize("kind", list(ResponderKind))
def test_beds_make_nobody_medical_who_is_no_institution(kind):
    institutions = {ResponderKind.STATION, ResponderKind.STREET_CENTRE, ResponderKind.DISTRICT_CENTRE, ResponderKind.CITY_CENTRE}
    institutions |= {ResponderKind.CARE_CENTRE, ResponderKind.HOSPITAL, ResponderKind.HEALTH_CENTRE, ResponderKind.PROVIDER}
    institutions |= {ResponderKind.HEALTH_STATION}
    assert (skills(kind, beds=501) != skills(kind)) is (kind in institutions - {ResponderKind.HOSPITAL})


@pytest.mark.parametrize(("share", "staff"), [(None, 1), (0.0, 1), (0.199, 1), (0.20, 2), (0.35, 2)])
def test_a_street_of_a_fifth_elders_has_two(share, staff):
    assert staff_of_street(share) == staff


def test_a_hundred_elders_have_a_name():
    assert NAMED_FROM == 100  # 达到100人 (domain 2.14)
