"""What the district writes down about its responders beyond who they are: rosters, loans, providers' standing, agreements, the calendar.

Read from the district's folder like the register they belong to; frozen, swapped whole. Days are local days (China has one zone).
"""

from datetime import date, datetime
from enum import StrEnum

import msgspec


class DayKind(StrEnum):
    """A day that is not what its weekday says (国务院 announces both each year). `workday`: a weekend day that is worked."""

    HOLIDAY = "holiday"
    WORKDAY = "workday"


class Shift(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of rosters.csv: at these hours of these days a responder has so many people on duty.

    days    "1".."7" (Monday first) or "1-5", several with ";"; "holiday", "workday" (any day worked); "" = every day
    hours   local HH:MM-HH:MM, past midnight allowed; "" = all day. A shift past midnight belongs to the day on which it begins
    since, until  first and last day; None = no bound. Of rows for one moment the narrowest counts: dated before holiday before weekday
    staff   how many are on duty; 0 = closed. It is the responder's capacity while the row counts; None = as in responders.csv
    people  ids of who is on duty, for the record; never personal data
    """

    responder: str
    days: str = ""
    hours: str = ""
    since: date | None = None
    until: date | None = None
    staff: int | None = None
    people: tuple[str, ...] = ()


class Loan(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Staff lent from one responder to another for some days (domain 2.15): capacity and skills move with them."""

    id: str
    lender: str
    borrower: str
    since: date
    until: date
    staff: int = 1
    skills: tuple[str, ...] = ()


class ProviderState(StrEnum):
    """The life of a provider (domain 5.1). Only admitted and probation receive work."""

    APPLIED = "applied"
    ADMITTED = "admitted"
    PROBATION = "probation"
    SUSPENDED = "suspended"
    EXITED = "exited"


class Provider(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A row of providers.csv: what is agreed with the responder of the same id, of whatever kind. A provider without a row gets no work.

    state          as the file has it; what people rule later (gateway.core.standing) goes before it
    since, until   first and last day of the agreement; until None = without end
    services       codes of ordinary services (the N), empty = none; urgent: may be sent to 助急
    response_min   promised minutes to arrive; None = nothing promised
    grade, scale   stars given and the highest there is (2/3 and 5 stars exist, domain 5.8); assessor, graded_on, grade_until: by whom, when
    points         of the points system of social organisations (domain 5.7)
    blocked        why no new order may go there (credit, prepaid funds: domain 5.9, 6.14); "" = nothing
    """

    id: str
    state: ProviderState = ProviderState.ADMITTED
    since: date | None = None
    until: date | None = None
    services: tuple[str, ...] = ()
    urgent: bool = False
    response_min: float | None = None
    grade: float | None = None
    scale: int = 5
    assessor: str = ""
    graded_on: date | None = None
    grade_until: date | None = None
    points: float = 0.0
    blocked: str = ""


class AidAgreement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A row of agreements.csv: who helps whom when it cannot (domain 3.1, 3.9).

    helper, helped  ids of responders or of areas (then: every responder serving it)
    both            either helps the other; else only helper → helped
    kinds           incident kinds, "urgent" (all alarms), "service", or "all"
    duties          what is promised, in words; response_min: measurable. An agreement without content, days and duty is refused
    model           the helper is a model county or institution, for which pairing rules hold (domain 3.2, 3.4)
    """

    id: str
    helper: str
    helped: str
    since: date
    until: date
    kinds: tuple[str, ...]
    duties: str
    response_min: float
    both: bool = False
    model: bool = False


class Standing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What people (or the machine) have ruled about a subject that is no incident, until it is ruled otherwise: one row, journalled.

    key      "<matter>:<subject>", e.g. provider:clean-home, frozen:station-7, aid:west-east, lost:district-centre
    value    the word that counts, e.g. suspended; "" = lifted
    until    when it lapses by itself; None = never
    detail   what the matter needs beyond it; JSON values, never personal data
    """

    key: str
    value: str
    at: datetime
    actor: str
    reason: str = ""
    until: datetime | None = None
    detail: dict[str, object] = {}

    def holds(self, now: datetime) -> bool:
        """Does it still count?"""
        return bool(self.value) and (self.until is None or now < self.until)
