"""Who is sent or told beside the station, and which responder that is: the roles of the parallel legs (domain 1.10, 2.11, 3.10, 4.10, 4.11).

The station (Role.SOCIAL) is always ordered first and waits for nobody; what is decided here stands beside it.
"""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

from gateway.config.teams import SEVERAL, TeamConfig
from gateway.core.capability import PARTNER, skills_of
from gateway.core.incident import OPEN_LEG, Incident, LegState, Role
from gateway.core.need import Around, Need
from gateway.core.register import Responder, ResponderKind, Risk
from gateway.core.routing import Decision
from gateway.core.state import Draft
from gateway.event import Kind, Severity

# What a responder of a kind does when nobody says otherwise; every other kind is SOCIAL.
USUAL_ROLE = {
    ResponderKind.NEIGHBOUR: Role.NEIGHBOUR,
    ResponderKind.PROPERTY: Role.NEIGHBOUR,
    ResponderKind.HEALTH_STATION: Role.MEDICAL,
    ResponderKind.DOCTOR: Role.DOCTOR,
    ResponderKind.HEALTH_CENTRE: Role.DOCTOR,
    ResponderKind.HOSPITAL: Role.HOSPITAL,
    ResponderKind.EMERGENCY: Role.EMERGENCY,
}
# Nobody of these roles is to be had: the operator must see to it. Of the others it is only noted.
MUST_BE_ARRANGED = frozenset((Role.MEDICAL, Role.HOSPITAL))

NOT_COMING = frozenset((LegState.DECLINED, LegState.EXPIRED, LegState.FAILED))


class Who(StrEnum):
    """Words of `[[team]]` roles."""

    MEDICAL = "medical"
    NEIGHBOUR = "neighbour"
    PROPERTY = "property"
    DOCTOR = "doctor"

    @property
    def role(self) -> Role:
        """The role of the leg."""
        return Role.NEIGHBOUR if self is Who.PROPERTY else Role(self.value)


def team_of(draft: Draft, incident: Incident) -> tuple[dict[Who, None], tuple[str, ...]]:
    """(whom the teams send or tell beside the station, tasks for the operator). The station must be ordered already: how far it is counts."""
    wanted: dict[Who, None] = {}
    tasks: list[str] = []
    for team in _fitting(draft.base.teams, incident.kind, incident.severity):
        if not team.when or any(_holds(draft, incident, word) for word in team.when):
            wanted |= dict.fromkeys(Who(role) for role in team.roles)
            tasks += [f"call_{team.call}"] if team.call else []
    if not wanted:
        return wanted, tuple(dict.fromkeys(tasks))
    person = draft.register.persons.get(incident.person or "")
    if Who.DOCTOR in wanted and not (person is not None and person.doctor):
        del wanted[Who.DOCTOR]  # has signed with none: no other learns of anybody's health
    return wanted, tuple(dict.fromkeys(tasks))


@lru_cache(maxsize=256)  # kinds of alarm and severities, of the teams in force and those before a reload
def _fitting(all_of: tuple[TeamConfig, ...], kind: Kind, severity: Severity) -> tuple[TeamConfig, ...]:
    """Those of them that such an alarm concerns, whoever has it."""
    named = [team for team in all_of if any(kind in SEVERAL.get(word, ()) or kind.value == word for word in team.kinds)]
    return tuple(team for team in named if not team.severities or severity in team.severities)


def _holds(draft: Draft, incident: Incident, word: str) -> bool:
    if word == "living_alone":
        person = draft.register.persons.get(incident.person or "")
        return person is not None and (Risk.LIVING_ALONE in person.risks or Risk.NO_KIN in person.risks)
    station = next((leg for leg in reversed(incident.legs) if leg.role is Role.SOCIAL), None)
    return station is None or station.travel_min is None or station.travel_min > draft.router.config.circle_min


def usual_role(responder: Responder) -> Role:
    """What this responder does when nobody says otherwise."""
    return USUAL_ROLE.get(responder.kind, Role.SOCIAL)


def need_of(draft: Draft, incident: Incident, role: Role, now: datetime, asked: Collection[str] = (), skill: str = "") -> Need:
    """What is asked of routing for one role of this incident. asked: who is passed over; skill: that the responder must have."""
    person = draft.register.persons.get(incident.person or "")
    goes = _fitting(draft.base.teams, incident.kind, incident.severity) if role is Role.SOCIAL else ()
    return Need(
        kind=incident.kind,
        severity=incident.severity,
        at=now,
        role=role,
        position=incident.position,
        area=incident.area,
        home=incident.visiting,
        service=incident.service if role is Role.SERVICE else "",
        skills=(skill,) if skill else (),
        language=person.language if person is not None else "",
        asked=tuple(sorted(asked)),
        shared=any(Who.MEDICAL.value in team.roles for team in goes) and Who.MEDICAL in team_of(draft, incident)[0],
    )


def around(draft: Draft, now: datetime) -> Around:
    """The moment, as this draft knows it."""
    return Around(draft.carries, lambda key: draft.standing(key, now))


def asked_of(incident: Incident, role: Role) -> set[str]:
    """Who is passed over for this role: who was asked for it, and who has an order of whatever role in hand; beside the station also who has
    just said, by whatever order, that it does not come. Who was there and is done may be asked again to look or to treat; a station has its own
    rule for that (gateway.core.orders.order_anew)."""
    is_again = role not in (Role.SOCIAL, Role.SERVICE)
    mine = {leg.responder for leg in incident.legs if leg.role is role and not (is_again and leg.state is LegState.DONE)}
    busy = OPEN_LEG | NOT_COMING if is_again else OPEN_LEG
    return mine | {leg.responder for leg in incident.legs if leg.state in busy}


def choose(draft: Draft, incident: Incident, who: Role | Who, now: datetime, choices: int = 1) -> Decision:
    """Who is asked for this role and was not asked yet, with the reasons; its responder is the desk when there is nobody.

    The doctor and the hospital are those of the person; who is off duty or absent is stood in for by the health centre, the nearest hospital.
    """
    role = who.role if isinstance(who, Who) else who
    person = draft.register.persons.get(incident.person or "")
    need = need_of(draft, incident, role, now, asked_of(incident, role))
    own = "" if person is None else {Role.DOCTOR: person.doctor, Role.HOSPITAL: person.hospital}.get(role, "")
    if own:
        return draft.router.named(own, need, around(draft, now))
    return draft.router.choose(need, around(draft, now), choices)


def is_medical(responder: Responder | None) -> bool:
    """Can it do what a medical leg is for?"""
    return responder is not None and any(skill.startswith("medical-") for skill in skills_of(responder) - {PARTNER})
