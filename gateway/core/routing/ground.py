"""The ground of one register, prepared once: who can be sent for what, where they start, to which district they belong, who helps whom.

Everything here follows from the register alone and never changes; who is free at a moment is asked in `gateway.core.routing.search`.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.core.capability import PARTNER, skills_of
from gateway.core.incident import Role
from gateway.core.need import Need
from gateway.core.register import AreaKind, Register, Responder, ResponderKind
from gateway.core.travel import Starts
from gateway.event import KINDS, Group, Kind, Position

Rows = NDArray[np.intp]

ILLNESS = frozenset((Kind.MEDICAL, Kind.HEART_RATE_ABNORMAL, Kind.BREATHING_ABNORMAL, Kind.TEMP_ABNORMAL))
MUTUAL_HELP = frozenset((ResponderKind.NEIGHBOUR, ResponderKind.PROPERTY))  # look, open the door; never care (domain 2.11, 3.10)
CENTRES = frozenset((ResponderKind.STREET_CENTRE, ResponderKind.DISTRICT_CENTRE, ResponderKind.CITY_CENTRE))
LED = frozenset((Role.SOCIAL, Role.MEDICAL))  # roles for which the centres up the tree are asked
_LEADING = CENTRES | {ResponderKind.DESK}
_FIRST_TO_GO = frozenset((ResponderKind.STATION, ResponderKind.PROVIDER))
_MEDICAL = frozenset((ResponderKind.STATION, ResponderKind.PROVIDER, ResponderKind.HEALTH_STATION, ResponderKind.CARE_CENTRE))
INSTITUTIONS = _MEDICAL | {ResponderKind.HEALTH_CENTRE, ResponderKind.HOSPITAL}

# Role → kinds that go first, and kinds that go when none of those is there in time (domain 2.12: open at night).
_KINDS: dict[Role, tuple[frozenset[ResponderKind], frozenset[ResponderKind]]] = {
    Role.SOCIAL: (_FIRST_TO_GO, frozenset((ResponderKind.CARE_CENTRE,))),
    Role.MEDICAL: (_MEDICAL, frozenset((ResponderKind.HEALTH_CENTRE,))),
    Role.NEIGHBOUR: (frozenset((ResponderKind.NEIGHBOUR,)), frozenset((ResponderKind.PROPERTY,))),
    Role.DOCTOR: (frozenset((ResponderKind.HEALTH_CENTRE,)), frozenset()),
    Role.HOSPITAL: (frozenset((ResponderKind.HOSPITAL,)), frozenset()),
}
NEVER = ("no_agreement", "service_not_agreed", "not_for_urgent", "not_for_care", "not_capable")  # what `Who.reasons` counts
_NOBODY: tuple[frozenset[ResponderKind], frozenset[ResponderKind]] = (frozenset(), frozenset())

_PREPARED = "ground"
KEPT = 64  # sorts of need whose candidates are kept ready: some ten roles and kinds of alarm, the services and the skills asked for with them


class Sort(NamedTuple):
    """What about a need decides who may go at all, whatever the moment."""

    role: Role
    is_illness: bool
    service: str
    skills: tuple[str, ...]
    is_danger: bool = False  # of the home: nobody's neighbour is sent into a fire, the property company is


class Who(NamedTuple):
    """Rows of one field, by sort of need: those to be looked at, first and second, and those who may never go; reasons: places in NEVER."""

    first: Rows
    second: Rows
    never: Rows
    reasons: Rows


class Field:
    """Responders of some kinds, ordered by district and id. Of a district it is known from where to where its rows go."""

    def __init__(self, responders: Iterable[Responder], district_of: dict[str, str]) -> None:
        self.responders = tuple(sorted(responders, key=lambda one: (district_of.get(one.id, ""), one.id)))
        self.row_of = {one.id: row for row, one in enumerate(self.responders)}
        bounds: dict[str, list[int]] = {}
        for row, one in enumerate(self.responders):
            bounds.setdefault(district_of.get(one.id, ""), []).append(row)
        self.whole = Starts(self.responders)
        self.parts = {name: (rows[0], Starts(self.responders[rows[0] : rows[-1] + 1])) for name, rows in bounds.items()}


def sort_of(need: Need) -> Sort:
    """The sort of this need."""
    is_alarm = need.role is not Role.SERVICE
    is_danger = need.role is Role.NEIGHBOUR and KINDS[need.kind].group is Group.ENVIRONMENT
    return Sort(need.role, is_alarm and need.kind in ILLNESS and not need.shared, "" if is_alarm else need.service, need.skills, is_danger)


def never_for(sort: Sort, responder: Responder, skills: frozenset[str], register: Register) -> str:
    """ "" = of this kind and able, whatever the moment; else the verdict why never. skills: that it has, written or derived or borrowed."""
    kind = responder.kind
    if sort.role is Role.SERVICE:
        if kind in MUTUAL_HELP:
            return "not_for_care"
        row = register.providers.get(responder.id)
        if row is None:
            return "no_agreement"
        if sort.service not in row.services:
            return "service_not_agreed"
    else:
        if sort.role is not Role.NEIGHBOUR and kind in MUTUAL_HELP:
            return "not_for_care"
        if sort.is_danger and kind is ResponderKind.NEIGHBOUR:
            return "not_this_kind"
        if kind is ResponderKind.PROVIDER and responder.id not in register.providers:
            return "no_agreement"
        if kind is ResponderKind.PROVIDER and not register.providers[responder.id].urgent:
            return "not_for_urgent"
        first, second = _KINDS.get(sort.role, _NOBODY)
        goes_for_illness = sort.is_illness and sort.role is Role.SOCIAL and kind is ResponderKind.HEALTH_STATION
        if kind not in first and kind not in second and not goes_for_illness and not (kind in _LEADING and sort.role in LED):
            return "not_this_kind"
        if sort.role is Role.MEDICAL and not any(skill.startswith("medical-") for skill in skills - {PARTNER}):
            return "not_capable"
    return "" if skills.issuperset(sort.skills) else "not_capable"


class Ground:
    """Who can be sent, of one register."""

    def __init__(self, register: Register) -> None:
        self.register = register
        self.serving = _serving(register)
        self.district_of_area = {name: self._district(name) for name in register.areas}
        self.district_of = self._districts()
        everyone = register.responders.values()
        located = [one for one in everyone if one.kind in INSTITUTIONS and one.lat is not None and one.lon is not None]
        self.institutions = Field(located, self.district_of)
        self.neighbours = Field([one for one in everyone if one.kind in MUTUAL_HELP], self.district_of)
        self.providers = Field([one for one in everyone if one.id in register.providers], {})
        self.above = {one.id: tuple(other.id for other in self.line_of(one.id)) for one in everyone}  # itself first
        self.lent_skills = {one.id for one in everyone} & {name for loan in register.loans if loan.skills for name in (loan.lender, loan.borrower)}
        self._who: OrderedDict[tuple[Sort, str | None], Who] = OrderedDict()
        self._helpers: dict[str, frozenset[str]] = {}  # by names in agreements
        self._starts: dict[str, Starts] = {}  # of those asked for one by one: centres, mostly
        self.agreements = tuple(sorted(register.agreements.values(), key=lambda one: one.id))
        centres = [one.id for one in everyone if one.kind is ResponderKind.DISTRICT_CENTRE]
        self.only_centre = centres[0] if len(centres) == 1 else None  # leads everything whose area nobody knows

    def field_for(self, role: Role) -> Field:
        """Among whom a role looks."""
        if role is Role.SERVICE:
            return self.providers
        return self.neighbours if role is Role.NEIGHBOUR else self.institutions

    def who(self, sort: Sort, district: str | None) -> Who:
        """Rows of `field_for(role)`; district None: the whole field, "": those who belong to none."""
        known = self._who.get((sort, district))
        if known is not None:
            return known
        field = self.field_for(sort.role)
        start, end = 0, len(field.responders)
        if district is not None:
            start, part = field.parts.get(district, (0, None))
            end = start + (len(part) if part is not None else 0)
        first: list[int] = []
        second: list[int] = []
        never: list[int] = []
        reasons: list[int] = []
        for row in range(start, end):
            responder = field.responders[row]
            why = never_for(sort, responder, skills_of(responder), self.register)
            if why == "not_capable" and responder.id in self.lent_skills:
                why = ""  # somebody who can may be lent to it; the day decides
            if not why:
                goes_second = sort.role is not Role.SERVICE and responder.kind in _KINDS.get(sort.role, _NOBODY)[1]
                (second if goes_second else first).append(row)
            elif why != "not_this_kind":
                never.append(row)
                reasons.append(NEVER.index(why))
        made = Who(*(np.array(rows, dtype=np.intp) for rows in (first, second, never, reasons)))
        self._who[(sort, district)] = made
        while len(self._who) > KEPT * (1 + len(self.institutions.parts)):
            self._who.popitem(last=False)
        return made

    # --- the tree of places and of responders --------------------------------------------------------------------------

    def district_at(self, areas: list[str], position: Position | None) -> str | None:
        """The district of a place; None: there is but one, or nobody knows. Where no area tells, that of the nearest institution."""
        if not self.district_of:
            return None
        district = next((found for area in areas if (found := self.district_of_area[area])), "")
        if not district and position is not None and len(self.institutions.whole):
            nearest = self.institutions.responders[int(self.institutions.whole.km(position.lat, position.lon).argmin())]
            district = self.district_of.get(nearest.id, "")
        return district or None

    def line_of(self, responder: str | None) -> list[Responder]:
        """A responder and those above it, without the desk."""
        found: list[Responder] = []
        seen: set[str] = set()
        while responder is not None and responder not in seen:
            seen.add(responder)
            one = self.register.responders.get(responder)
            if one is None or one.kind is ResponderKind.DESK:
                break
            found.append(one)
            responder = one.parent
        return found

    def start_of(self, responder: Responder) -> Starts:
        """One alone, to be measured like all the others."""
        start = self._starts.get(responder.id)
        if start is None:
            start = self._starts[responder.id] = Starts((responder,))
        return start

    def helpers(self, name: str) -> frozenset[str]:
        """Who helps under an agreement of this responder or area: it, whoever is below it, whoever serves it."""
        known = self._helpers.get(name)
        if known is None:
            members = {one.id for one in self.register.responders.values() if name in self._belongs_to(one)}
            known = self._helpers[name] = frozenset(members)
        return known

    def _belongs_to(self, responder: Responder) -> set[str]:
        names = {one.id for one in self.line_of(responder.id)}
        for area in responder.areas:
            names.update(self.register.areas_above(area))
        return names

    def _district(self, area: str) -> str:
        return next((name for name in self.register.areas_above(area) if self.register.areas[name].kind is AreaKind.DISTRICT), "")

    def _districts(self) -> dict[str, str]:
        """Responder → area of its district: of what it serves, else of who is above it. "": it belongs to none, and helps everywhere."""
        found: dict[str, str] = {}
        for responder in self.register.responders.values():
            for one in self.line_of(responder.id):
                district = next((self.district_of_area.get(area, "") for area in one.areas if self.district_of_area.get(area)), "")
                if district:
                    found[responder.id] = district
                    break
        return found if len(set(found.values())) > 1 else {}


def prepare(register: Register) -> Ground:
    """The ground of this register, made at the first call: where it is read, not while somebody waits for help."""
    ground = register.prepared.get(_PREPARED)
    if ground is None:
        ground = register.prepared[_PREPARED] = Ground(register)
    made: Ground = ground
    return made


def _serving(register: Register) -> dict[str, str]:
    """Area → the responder that serves it, stations before centres."""
    serving: dict[str, str] = {}
    for kind in (ResponderKind.STATION, ResponderKind.STREET_CENTRE, ResponderKind.DISTRICT_CENTRE, ResponderKind.CITY_CENTRE):
        for responder in register.responders.values():
            if responder.kind is kind:
                for area in responder.areas:
                    serving.setdefault(area, responder.id)
    return serving
