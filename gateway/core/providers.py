"""Providers: their life as one table, and the one question that routing asks of it: may this one work now, and if not, why not?

What the file says (providers.csv) counts until people rule otherwise (gateway.core.provider_matters): the life cycle under "provider:<id>",
a freeze for new orders under "frozen:<id>", a block from outside (credit, prepaid funds) under "blocked:<id>", stars under "grade:<id>".
Orders that are under way go on: nobody is called back from a door.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta

from gateway.core.register import Register, Responder, ResponderKind
from gateway.core.territory import Provider, ProviderState, Standing

CHINA_AHEAD = timedelta(hours=8)  # one zone, no summer time since 1991
LookUp = Callable[[str], Standing | None]  # what is ruled about a key and holds now

_STATES = ProviderState
# The whole life of a provider (domain 5.1). Easily in, strictly kept (宽进严管): every way out leads through a reason, and none is for ever.
MOVES: dict[ProviderState, frozenset[ProviderState]] = {
    _STATES.APPLIED: frozenset((_STATES.ADMITTED, _STATES.PROBATION, _STATES.EXITED)),
    _STATES.PROBATION: frozenset((_STATES.ADMITTED, _STATES.SUSPENDED, _STATES.EXITED)),
    _STATES.ADMITTED: frozenset((_STATES.PROBATION, _STATES.SUSPENDED, _STATES.EXITED)),
    _STATES.SUSPENDED: frozenset((_STATES.PROBATION, _STATES.ADMITTED, _STATES.EXITED)),
    _STATES.EXITED: frozenset((_STATES.APPLIED,)),
}
WORKING = frozenset((ProviderState.ADMITTED, ProviderState.PROBATION))

# Why somebody may not work, in the order in which it is looked at; the reason that routing names.
REASONS = (
    "no_agreement",  # a provider without a row in providers.csv, or a service asked of who has none
    *("applied", "suspended", "exited"),
    *("agreement_not_begun", "agreement_expired"),
    *("blocked", "frozen"),
    *("service_not_agreed", "not_for_urgent"),
)


def look_up(standings: Mapping[str, Standing], now: datetime) -> LookUp:
    """What is ruled about a key and holds now."""

    def find(key: str) -> Standing | None:
        standing = standings.get(key)
        return standing if standing is not None and standing.holds(now) else None

    return find


def state_of(register: Register, standing: LookUp, provider: str) -> ProviderState | None:
    """Where in its life a provider is; None: there is no agreement with anybody of this id."""
    row = register.providers.get(provider)
    if row is None:
        return None
    ruled = standing(f"provider:{provider}")
    return ProviderState(ruled.value) if ruled is not None else row.state


def may_work(register: Register, standing: LookUp, responder: Responder, now: datetime, service: str = "") -> str:
    """ "" = may be sent now, else the reason (REASONS) why not. service: code of an ordinary service, "" = an alarm.

    A station or centre needs no agreement for alarms; with one it is bound by it. Whether it may be sent to alarms is asked of providers alone.
    """
    row = register.providers.get(responder.id)
    if row is None:
        if service or responder.kind is ResponderKind.PROVIDER:
            return "no_agreement"
        return "frozen" if standing(f"frozen:{responder.id}") is not None else ""
    ruled = standing(f"provider:{responder.id}")
    state = ProviderState(ruled.value) if ruled is not None else row.state
    if state not in WORKING:
        return state.value
    if row.since is not None or row.until is not None:
        today = local_day(now)
        if row.since is not None and today < row.since:
            return "agreement_not_begun"
        if row.until is not None and today > row.until:
            return "agreement_expired"
    if row.blocked or standing(f"blocked:{responder.id}") is not None:
        return "blocked"
    if standing(f"frozen:{responder.id}") is not None:
        return "frozen"
    if service:
        return "" if service in row.services else "service_not_agreed"
    return "not_for_urgent" if responder.kind is ResponderKind.PROVIDER and not row.urgent else ""


def score_of(standing: LookUp, provider: str) -> float | None:
    """0 to 1 from measured behaviour, as last counted (gateway.core.score); None: not known. For the order among those who fit."""
    ruled = standing(f"score:{provider}")
    return float(ruled.value) if ruled is not None else None


def grade_of(register: Register, standing: LookUp, provider: str, today: date) -> float | None:
    """Stars as a share of the highest there is (2/3 and 5 stars exist, domain 5.8), while they are valid; None: none."""
    ruled = standing(f"grade:{provider}")
    if ruled is not None:
        scale = ruled.detail.get("scale")
        return float(ruled.value) / scale if isinstance(scale, int | float) and scale > 0 else None
    row = register.providers.get(provider)
    if row is None or row.grade is None or row.scale <= 0 or (row.grade_until is not None and today > row.grade_until):
        return None
    return row.grade / row.scale


def expiring(register: Register, standing: LookUp, now: datetime, within_days: int) -> Iterator[tuple[Provider, int]]:
    """Agreements of who may work that end within so many days, each with the days left (0: today is the last); negative: ended."""
    today = local_day(now)
    for row in register.providers.values():
        if row.until is not None and (row.until - today).days <= within_days and state_of(register, standing, row.id) in WORKING:
            yield row, (row.until - today).days


def local_day(now: datetime) -> date:
    """The day in China."""
    return (now.astimezone(UTC) + CHINA_AHEAD).date()


def covers(register: Register, responder: Responder, area: str) -> bool:
    """Does it serve this area, or one above it? Who names no area serves everywhere."""
    if not responder.areas:
        return True
    seen: set[str] = set()
    node: str | None = area
    while node is not None and node not in seen:
        if node in responder.areas:
            return True
        seen.add(node)
        known = register.areas.get(node)
        node = known.parent if known is not None else None
    return False


def bare_without(register: Register, standing: LookUp, provider: str, now: datetime, gone: frozenset[str] = frozenset()) -> tuple[str, str] | None:
    """(area, what) that nobody could serve any more if this provider (and those in `gone`) did not work; None: nothing would be bare.

    what: the code of a service, "urgent", or a skill such as medical-basic. Who cannot work now leaves nothing bare.
    """
    mine = register.responders.get(provider)
    row = register.providers.get(provider)
    if mine is None or row is None:
        return None
    others = [one for one in register.responders.values() if one.id != provider and one.id not in gone]
    for what in (*row.services, *(("urgent",) if row.urgent else ()), *(mine.skills if row.urgent else ())):
        service = what if what in row.services else ""
        if may_work(register, standing, mine, now, service):
            continue
        able = [one for one in others if _is_able(register, standing, one, now, what, service)]
        for area in mine.areas or tuple(register.areas) or ("",):
            if not any(covers(register, one, area) for one in able):
                return area, what
    return None


def _is_able(register: Register, standing: LookUp, one: Responder, now: datetime, what: str, service: str) -> bool:
    if one.kind in (ResponderKind.DESK, ResponderKind.NEIGHBOUR, ResponderKind.PROPERTY, ResponderKind.EMERGENCY, ResponderKind.HOSPITAL):
        return False
    if not service and what != "urgent" and what not in one.skills:
        return False
    return not may_work(register, standing, one, now, service)
