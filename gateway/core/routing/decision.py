"""A routing decision by value: whom it chose, what it saw of everybody it looked at, and all it was made from.

What stands here, the register's routing data and the rules give the same decision again (gateway.replay): nothing else decided.
"""

from datetime import datetime

import msgspec

from gateway.core.need import Need
from gateway.event import Position

NAMED = 50  # candidates that a decision names one by one; of the others it counts how many were passed over for which reason
UNFIT_NAMED = 5  # of those nearer than the chosen one that may never go to this, so many are named: "why not the one next door?"
SHOWN = 3  # fitting candidates kept in a decision (console design, rule 7)

# How a decision came about, in the order in which it is tried.
RULES = ("operator", "policy", "named", "nearest", "care_centre", "neighbour", "score", "parent", "partner", "stranger", "city", "desk")

# Why a candidate was not taken, or was. The words of gateway.core.providers.REASONS are among them.
VERDICTS = (
    *("chosen", "fits", "already_asked", "lost"),
    *("no_agreement", "applied", "suspended", "exited", "agreement_not_begun", "agreement_expired", "agreement_closed", "blocked", "frozen"),
    *("service_not_agreed", "not_for_urgent", "not_for_care", "not_this_kind", "not_capable"),
    *("other_area", "too_far", "off_duty", "at_capacity", "not_looked_at"),
)


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One responder looked at.

    verdict     one of VERDICTS
    km          straight line; travel_min: the estimate that was compared, to a tenth of a minute
    score       0 to 1: measured behaviour, else stars as a share of the highest there is; None: none
    weight      of an ordinary service: what score and nearness gave together, by which they were ordered
    effect      why it was taken before one that is nearer: score, language, grid; "" = it was not
    agreement   the aid agreement under which it was looked at
    travel      "straight_line" where the decision's travel times come from elsewhere and did not know this one; "" = as the decision's
    """

    responder: str
    verdict: str
    km: float | None = None
    travel_min: float | None = None
    load: int = 0
    capacity: int = 0
    score: float | None = None
    weight: float | None = None
    effect: str = ""
    agreement: str = ""
    travel: str = ""


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Who is sent and why.

    rule        one of RULES
    register    version of the register; data, rules: digests of its routing data and of [routing], both kept in the store
    travel      whose travel times: gateway.core.travel
    at, position  when, and from where it was measured: of an area its middle; None = nowhere known
    area        in which area that is, as it was worked out
    beyond      nobody who fits is there within the fifteen-minute circle
    agreement   under which the chosen one helps
    farther     verdict → how many more were passed over for it, not named
    need, choices, above, named, wanted   what was asked: `choose(need, choices)`, `above`, `named` or `wanted` somebody
    loads       open orders of those looked at and not named; ruled: what was ruled of those looked at, key → word
    """

    responder: str
    rule: str
    register: str
    at: datetime
    position: Position | None = None
    travel_min: float | None = None
    candidates: tuple[Candidate, ...] = ()
    farther: dict[str, int] = {}
    data: str = ""
    rules: str = ""
    travel: str = ""
    area: str | None = None
    beyond: bool = False
    agreement: str = ""
    need: Need | None = None
    choices: int = 1
    above: str = ""
    named: str = ""
    wanted: str = ""
    loads: dict[str, int] = {}
    ruled: dict[str, str] = {}
