"""Who can give an ordinary service: what routing is asked for a request, and what is said when nobody can (domain 5.10).

An ordinary service has hours. At night nobody is asked, and nothing about it is due: what would be, is in the morning.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

import msgspec

from gateway.core.incident import Flag, Incident, Role, with_flags
from gateway.core.need import Around, Need
from gateway.core.routing import CHINA, Decision
from gateway.core.state import Draft
from gateway.core.travel import is_within
from gateway.event import Kind

LONGEST_AHEAD = timedelta(days=366)  # that a service can be wanted or promised
ORDER = "order"  # the deadline at which a provider is looked for (again)


def is_request(incident: Incident) -> bool:
    """Is it an ordinary service that is wanted, and no alarm?"""
    return incident.kind is Kind.SERVICE_REQUEST


def providers_for(draft: Draft, incident: Incident, now: datetime, asked: Collection[str] = (), choices: int = 1) -> Decision:
    """Whom routing would ask. Its rule is `desk` when nobody can give this service now; each candidate says why not."""
    person = draft.register.persons.get(incident.person or "")
    need = Need(
        kind=incident.kind,
        severity=incident.severity,
        at=now,
        role=Role.SERVICE,
        position=incident.position,
        area=incident.area,
        service=incident.service,
        language=person.language if person is not None else "",
        asked=tuple(asked),
    )
    return draft.router.choose(need, Around(draft.carries, lambda key: draft.standing(key, now)), choices)


def unmatched(draft: Draft, incident: Incident, decision: Decision, now: datetime) -> Incident:
    """Nobody can give it: flagged, counted by service and area, journalled with the reasons, and looked for again."""
    draft.record(Kind.REMIND, now, incident, reason="unmatched", service=incident.service, area=incident.area, decision=decision)
    again = out_of_quiet(now + timedelta(seconds=draft.policy.service.repeat_s), draft.policy.service_quiet)
    flags = with_flags(incident.flags, add=(Flag.UNMATCHED,))
    deadlines = {**incident.deadlines, ORDER: again}
    return msgspec.structs.replace(incident, flags=flags, deadlines=deadlines, version=incident.version + 1, changed_at=now)


def is_quiet(now: datetime, quiet: str) -> bool:
    """Is it night for ordinary services?"""
    return bool(quiet) and is_within(quiet, now)


def out_of_quiet(at: datetime, quiet: str) -> datetime:
    """That time, or the end of the quiet hours it falls into."""
    if not is_quiet(at, quiet):
        return at
    ends = quiet.partition("-")[2]
    local = at.astimezone(CHINA)
    morning = local.replace(hour=int(ends[:2]), minute=int(ends[3:5]), second=0, microsecond=0)
    return (morning if morning > local else morning + timedelta(days=1)).astimezone(at.tzinfo)


def in_the_morning(draft: Draft, incident: Incident, now: datetime) -> Incident:
    """Providers are asked when the quiet hours are over."""
    return msgspec.structs.replace(incident, deadlines={**incident.deadlines, ORDER: out_of_quiet(now, draft.policy.service_quiet)})


def promise_of(incident: Incident, promised: object, now: datetime) -> datetime | None:
    """When a provider says that it will come, as its answer has it; without a word of theirs that can be meant, when it was wanted."""
    if isinstance(promised, str):
        try:
            at = datetime.fromisoformat(promised)
            if at.tzinfo is not None and at <= now + LONGEST_AHEAD:
                return at
        except ValueError:
            pass
    return incident.wanted_at
