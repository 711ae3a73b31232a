"""Requests for ordinary services (the N of 1+N): filed, agreed, served, called back, complained about; never among the alarms.

A request is an incident of its own key, "request:<id>", so that no alarm ever joins it nor it an alarm. It enters by the routine lane, leaves by
the routine lane, and its orders fill a capacity of their own (SERVICE_POOL).
"""

from datetime import UTC, datetime, timedelta

import msgspec

from gateway.core import orders, watch
from gateway.core.correlation import Subject, position_of
from gateway.core.escalation import rearm
from gateway.core.incident import Action, Flag, Incident, Outcome, Source, State, apply
from gateway.core.joining import open_incident
from gateway.core.service_need import LONGEST_AHEAD, is_request
from gateway.core.state import Draft
from gateway.errors import Refused
from gateway.event import Event, Kind, Phase, Position, Severity, new_id

LINE = "requests"  # under which they are booked
WISH_LIMIT = 500  # characters: what, how many, where the key is
LATE_AT_MOST = timedelta(days=1)  # wanted so long ago it is a mistake; a moment ago it is now
NOT_TAKEN = "not_taken"  # what a deliverer says of a meal that nobody took in (domain 5.12)
MEALS = "meals"


def request_event(
    *,
    person: str,
    service: str,
    by: str,
    now: datetime,
    wanted_at: datetime | None = None,
    wish: str = "",
    identity: str | None = None,
    platform: str = "",
    external: str = "",
) -> Event:
    """The event by which anybody files a request: operator, API, another platform. identity: the same again files nothing.

    by: who files it; platform and external: which platform, and its number there. wish is journalled: nothing about health belongs in it.
    """
    facts = {"service": service, "wanted_at": wanted_at and wanted_at.isoformat(), "wish": wish, "by": by, "platform": platform, "external": external}
    return Event(
        kind=Kind.SERVICE_REQUEST,
        line=LINE,
        person=person,
        dedup=identity or new_id(),
        received_at=now,
        occurred_at=now,
        phase=Phase.RAISE,
        time_source="received",
        detail={name: value for name, value in facts.items() if value},
    )


def key_of(event: Event) -> str:
    """The joining key of the request that this event files."""
    return f"request:{event.dedup}"


def on_request(draft: Draft, event: Event, now: datetime) -> str:
    """File it: "stored", or the reason why not: unknown_person, unknown_service, bad_wanted_at, wish_too_long."""
    person = draft.register.persons.get(event.person or "")
    if person is None:
        return "unknown_person"
    service = draft.base.services.code_of(str(event.detail.get("service") or ""))
    if not service:
        return "unknown_service"
    wish = str(event.detail.get("wish") or "")
    if len(wish) > WISH_LIMIT:
        return "wish_too_long"
    try:
        wanted_at = _wanted_at(event.detail.get("wanted_at"), now)
    except ValueError:
        return "bad_wanted_at"
    platform, external = str(event.detail.get("platform") or ""), str(event.detail.get("external") or "")
    subject = Subject(key_of(event), person, (), None, person.area)
    at_home = Position(lat=person.lat, lon=person.lon, source="home") if person.lat is not None and person.lon is not None else None
    request = open_incident(draft, event, subject, Severity.WARNING, now, service=service, wanted_at=wanted_at, wish=wish)
    source = Source(way="platform" if platform else "operator", of=platform or LINE, ref=external, at=now)
    request = msgspec.structs.replace(
        request,
        position=at_home or position_of(draft, subject, event, now),
        sources=(source,),
        externals=(f"{platform}:{external}",) if platform and external else (),
    )
    draft.record_event(event, request.id)
    if draft.policy.service.order == "at_once":
        request = orders.order_nearest(draft, request, now)
    draft.put(rearm(draft, request, now))
    return "stored"


def _wanted_at(given: object, now: datetime) -> datetime:
    """Aware UTC. Raises ValueError."""
    if given is None or given == "":
        return now
    at = datetime.fromisoformat(given) if isinstance(given, str) else None
    if at is None or at.tzinfo is None or not now - LATE_AT_MOST <= at <= now + LONGEST_AHEAD:
        raise ValueError("no time that can be meant")
    return max(at.astimezone(UTC), now)


def answered(draft: Draft, request: Incident, event: Event, now: datetime) -> Incident:
    """What a provider's answer means for the request beyond its order: done is served, and then the person is to be called back."""
    if not is_request(request) or event.kind is not Kind.DONE or request.state not in (State.RAISED, State.ACKNOWLEDGED):
        return request
    if orders.is_somebody_open(request) or Flag.COMPLAINT in request.flags:  # after a complaint a person says when it is over
        return request
    owner = request.owner or str(event.detail.get("by") or event.device or "")
    if request.state is State.RAISED:
        request = apply(request, Action.ACKNOWLEDGE, now, owner=owner, acknowledged_at=now)
    result = str(event.detail.get("outcome") or "")
    outcome = Outcome.NOT_FOUND if result == NOT_TAKEN else Outcome.HELPED
    request = apply(request, Action.RESOLVE, now, outcome=outcome, resolved_at=now)
    draft.record(Kind.RESOLVE, now, request, None, outcome=outcome.value, reason=result or "served")
    if result == NOT_TAKEN and request.service == MEALS:
        watch.not_taken(draft, request.person or "", now)
    return request


def cancel(request: Incident, now: datetime, reason: str = "cancelled") -> Incident:
    """It is not wanted any more; whoever was ordered is told. Raises Refused: only_requests, and what its state does not allow."""
    if not is_request(request):
        raise Refused("only_requests")
    withdrawn = orders.withdraw_open(request, now, reason)
    return apply(withdrawn, Action.CANCEL, now, outcome=Outcome.CANCELLED, closed_at=now, deadlines={})
