"""Ordinary service requests → what anybody may see of them, as plain JSON values: masked. A queue of their own, never among the alarms."""

from collections import Counter
from collections.abc import Iterable
from itertools import islice

from gateway.console.views import Json, leg_view, mask_numbers, short_person, to_second, town_of
from gateway.core.incident import Flag, Incident, State
from gateway.core.register import Register
from gateway.core.service_need import is_request
from gateway.core.services import Services

PAGE = 100  # rows of one answer, about 60 KB
UNMATCHED = "unmatched"
STATES = (*(state.value for state in State), UNMATCHED)  # what may be asked for


def requests_of(incidents: Iterable[Incident], state: str = "", service: str = "", person: str = "") -> list[Incident]:
    """Those asked for, in the order in which they are wanted. Closed ones only while they are remembered, and when they are asked for."""
    found = [
        one for one in incidents if is_request(one) and _is_asked_for(one, state) and service in ("", one.service) and person in ("", one.person)
    ]
    return sorted(found, key=lambda one: (one.wanted_at or one.opened_at, one.id))


def _is_asked_for(request: Incident, state: str) -> bool:
    if state == UNMATCHED:
        return request.is_open and Flag.UNMATCHED in request.flags
    return request.state.value == state if state else request.is_open


def page_of(register: Register, services: Services, found: list[Incident], start: int, hotlines: Iterable[str] = ()) -> tuple[list[Json], int | None]:
    """One page and where the next begins."""
    rows = [request_row(register, services, one, hotlines) for one in islice(found, start, start + PAGE)]
    return rows, start + PAGE if len(found) > start + PAGE else None


def request_row(register: Register, services: Services, request: Incident, hotlines: Iterable[str] = ()) -> Json:
    """One request. entitled: the government buys it (domain 4.14); shown, and asked of nobody's alarm."""
    person = register.persons.get(request.person or "")
    leg = request.leading_leg
    due = request.next_deadline
    return {
        "type": "request",
        "id": request.id,
        "version": request.version,
        "state": request.state,
        "flags": request.flags,
        "service": request.service,
        "service_name": services.name_of(request.service),
        "person": short_person(register, person, request.opened_at) if person is not None else None,
        "entitled": person.entitled if person is not None else False,
        "area": request.area,
        "place": town_of(register, request.area) or None,
        "wanted_at": request.wanted_at,
        "wish": mask_numbers(request.wish, hotlines),
        "filed_at": to_second(request.opened_at),
        "source": request.sources[0].way if request.sources else "operator",
        "owner": request.owner,
        "provider": leg_view(register, leg) | {"promised_at": leg.promised_at} if leg is not None else None,
        "due": {"name": due[0].partition(":")[0], "at": to_second(due[1])} if due is not None else None,
        "outcome": request.outcome,
        "satisfaction": request.satisfaction,
    }


def counts_of(register: Register, incidents: Iterable[Incident]) -> Json:
    """How many there are of each state, and the demand that nobody can meet at present, by service and place (domain 5.10)."""
    states: Counter[str] = Counter()
    for one in (one for one in incidents if is_request(one) and one.is_open):
        states[one.state.value] += 1
    rows = [{"service": service, "place": place, "count": count} for (service, place), count in sorted(unmatched_of(register, incidents).items())]
    return {**{state.value: states[state.value] for state in State if state is not State.CLOSED}, "unmatched": rows}


def unmatched_of(register: Register, incidents: Iterable[Incident]) -> Counter[tuple[str, str]]:
    """(service, town or street) → open requests that nobody can give."""
    return Counter((one.service, town_of(register, one.area)) for one in requests_of(incidents, UNMATCHED))
