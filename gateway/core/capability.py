"""What a responder can do: the skills that are written, those that follow from what it is, and those that it never has.

Pure rules of the documents; `gateway.core.duty` asks them once a responder, when the register is built.
"""

from gateway.core.register import Responder, ResponderKind

PARTNER = "medical-partner"  # a contract with a hospital: it can call one, not treat
BASIC = "medical-basic"
INFIRMARY = "medical-infirmary"
FULL = "medical-full"
CARE = "care"

# domain 2.17: up to 100 beds (含) a contract, above an infirmary, above 500 a medical institution of its own. The more includes the less.
PARTNER_BEDS = 100
INFIRMARY_BEDS = 500

TWO_FROM = 0.20  # domain 2.13: from this share of elders on a street must have two on its staff
NAMED_FROM = 100  # domain 2.14: from so many elders with purchased services on a station has a named person

_BY_KIND: dict[ResponderKind, frozenset[str]] = {
    ResponderKind.HEALTH_STATION: frozenset((BASIC,)),  # domain 2.16
    ResponderKind.DOCTOR: frozenset((BASIC,)),
    ResponderKind.HEALTH_CENTRE: frozenset((BASIC, INFIRMARY)),
    ResponderKind.HOSPITAL: frozenset((BASIC, INFIRMARY, FULL)),
    ResponderKind.EMERGENCY: frozenset((BASIC, INFIRMARY, FULL)),
    ResponderKind.PROPERTY: frozenset(("keys", "lift")),  # domain 2.11
}
_MEDICAL = frozenset((PARTNER, BASIC, INFIRMARY, FULL))
_NEVER: dict[ResponderKind, frozenset[str]] = {
    ResponderKind.PROPERTY: _MEDICAL | {CARE},  # "go and look, open the door", no care training (domain 2.11)
    ResponderKind.NEIGHBOUR: _MEDICAL,  # low entry cost (domain 3.10): medical help is never theirs
    ResponderKind.DESK: _MEDICAL | {CARE},
}
_WITHOUT_BEDS = frozenset(_NEVER) | {ResponderKind.EMERGENCY, ResponderKind.DOCTOR}


def skills_of_beds(beds: int | None) -> frozenset[str]:
    """What an institution must be able to do medically, from the number of its beds (domain 2.17)."""
    if not beds:
        return frozenset()
    if beds <= PARTNER_BEDS:
        return frozenset((PARTNER,))
    if beds <= INFIRMARY_BEDS:
        return frozenset((BASIC, INFIRMARY))
    return frozenset((BASIC, INFIRMARY, FULL))


def skills_of(responder: Responder) -> frozenset[str]:
    """All skills that count: written or derived, without those its kind never has."""
    skills = _BY_KIND.get(responder.kind, frozenset()).union(responder.skills)
    if responder.beds and responder.kind not in _WITHOUT_BEDS:
        skills |= skills_of_beds(responder.beds)
    return skills - never(responder.kind)


def never(kind: ResponderKind) -> frozenset[str]:
    """Skills that a responder of this kind does not have, whatever is written."""
    return _NEVER.get(kind, frozenset())


def staff_of_street(elder_share: float | None) -> int:
    """How many a street must have on its staff (domain 2.13): one, from 20 % elders on two. Not known counts as fewer."""
    return 2 if elder_share is not None and elder_share >= TWO_FROM else 1
