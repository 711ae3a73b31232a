"""Who asks: the person behind a request, what they do here, and for which areas."""

import msgspec

from gateway.core.account import AccountRole
from gateway.core.incident import Incident
from gateway.core.register import Register

ANYWHERE: frozenset[str] = frozenset()


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is the actor of the journal, None while nobody has said who they are; is_on_duty: sits at this console as an operator.

    areas: as in Account. is_locked: the screen hides everything but counts. is_verified: they logged in; else the name is what was typed.
    address: of the browser, for the audit.
    """

    name: str | None
    role: AccountRole
    areas: frozenset[str] = ANYWHERE
    login: str = ""
    is_on_duty: bool = False
    is_locked: bool = False
    is_verified: bool = False
    address: str = ""

    @property
    def sees_people(self) -> bool:
        """May rows with (masked) people be shown to this role at all?"""
        return self.role in (AccountRole.OPERATOR, AccountRole.SUPERVISOR, AccountRole.LOCAL)

    def covers(self, register: Register, area: str | None) -> bool:
        """Does an area lie in theirs? What nobody knows the place of is everybody's, so that somebody takes it."""
        return not self.areas or area is None or not self.areas.isdisjoint(register.areas_above(area)) or area not in register.areas

    def serves(self, register: Register, subject: str) -> bool:
        """Does an area lie in theirs, or does a responder work for one of them? Whoever is bound to no area is everybody's."""
        responder = register.responders.get(subject)
        if not self.areas or responder is None:
            return self.covers(register, subject)
        above = {name for area in self.areas for name in register.areas_above(area)}
        return not responder.areas or any(area in above or self.covers(register, area) for area in responder.areas)

    def sees(self, register: Register, incident: Incident) -> bool:
        """Is an incident in their areas, or in their hands?"""
        return self.covers(register, area_of(register, incident)) or (self.name is not None and incident.owner == self.name)


def area_of(register: Register, incident: Incident) -> str | None:
    """Where an incident belongs to: the place of the incident, else of its person, else of its device."""
    if incident.area is not None:
        return incident.area
    person = register.persons.get(incident.person or "")
    if person is not None:
        return person.area
    device = register.device(incident.line, incident.device)
    return device.area if device is not None else None
