"""What a step of an escalation chain does: who a word like `parent` means for this incident, and how they are rung, ordered or told."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from gateway.config.policies import RUNG
from gateway.core import orders, teams
from gateway.core.aid_matters import CLOSED, LOST, SATURATED
from gateway.core.duty import CHINA
from gateway.core.incident import COMING, HELPS, OPEN_LEG, Incident, Notice, Role
from gateway.core.loop import SUPERVISOR, press
from gateway.core.policy import Time
from gateway.core.register import Responder, ResponderKind
from gateway.core.service_need import is_request
from gateway.core.stages import GIVEN_BACK
from gateway.core.state import Draft
from gateway.event import KINDS, Group, Kind, new_id

NOTICES_KEPT = 50  # of one incident; older ones that have left give way


def take(draft: Draft, incident: Incident, time: Time, now: datetime) -> Incident:
    """Take the step: the record says what came of it. One that cannot be taken rings the desk all the same, so that no step is silent."""
    step = time.step
    named: dict[str, Any] = {"step": time.number, "how": step.how, **({"turn": time.turn} if step.times > 1 else {})}
    if step.to in RUNG:
        to = _at_the_console(draft, incident, step.to)
        if step.how == "notify":
            draft.record(Kind.REMIND, now, incident, reason="policy_notify", to=to, **named)
            return msgspec.structs.replace(incident, version=incident.version + 1, changed_at=now)
        return press(draft, incident, now, "policy_emergency" if step.to == "emergency" else "policy_ring", to=to, **named)
    responder = _RESPONDERS[step.to](draft, incident, now)
    if responder is None:
        return press(draft, incident, now, "policy_nobody", result=f"no_{step.to}", **named)
    if step.how == "notify" and incident.silent:  # under duress nobody is told by text (gateway.core.notices): the desk rings somebody by voice
        return press(draft, incident, now, "policy_held", result="duress", responder=responder.id, **named)
    if step.how == "notify":
        incident = _notified(incident, responder, now)
        draft.record(Kind.REMIND, now, incident, reason="policy_notify", to=responder.id, **named)
        return incident
    return _ordered(draft, incident, responder, now, named)


def _ordered(draft: Draft, incident: Incident, responder: Responder, now: datetime, named: dict[str, Any]) -> Incident:
    if any(leg.state in COMING and leg.role in HELPS for leg in incident.legs):
        return press(draft, incident, now, "policy_held", result="somebody_coming", **named)
    standing = next((leg for leg in incident.legs if leg.responder == responder.id and leg.state in OPEN_LEG), None)
    if standing is not None:
        incident = orders.repeat(draft, incident, standing, now)
        return press(draft, incident, now, "policy_order", result="repeated", responder=responder.id, **named)
    role = Role.SERVICE if is_request(incident) else Role.SOCIAL  # nobody gives a service that was not agreed with them
    need, moment = teams.need_of(draft, incident, role, now), teams.around(draft, now)
    candidate = draft.router.look_at(responder, need, moment)
    if candidate.verdict != "fits":
        return press(draft, incident, now, "policy_nobody", result=candidate.verdict, responder=responder.id, **named)
    decision = draft.router.wanted(responder.id, need, moment, rule="policy")
    incident = orders.order(draft, incident, decision, now)
    return press(draft, incident, now, "policy_order", result="ordered", responder=responder.id, **named)


def _notified(incident: Incident, responder: Responder, now: datetime) -> Incident:
    """A notice to a responder stands in the incident until a channel has taken it: the outbox."""
    notice = Notice(id=new_id(), to=f"responder:{responder.id}", moment="alarm", channel=responder.channel, at=now)
    waiting = [one for one in incident.notices if one.state == "pending"]
    settled = [one for one in incident.notices if one.state != "pending"]
    mine = [one for one in settled if one.to.startswith("responder:")][-max(0, NOTICES_KEPT - 1 - len(waiting)) :]
    family = [one for one in settled if not one.to.startswith("responder:")]  # what the family was told is remembered, else it is told again
    kept = (*family, *mine, *waiting, notice)
    return msgspec.structs.replace(incident, notices=kept, version=incident.version + 1, changed_at=now)


# --- who is meant ----------------------------------------------------------------------------------------------------


def _at_the_console(draft: Draft, incident: Incident, word: str) -> str:
    """Whom the console calls by this word: a name on duty, `supervisor`, or the desk."""
    if word == SUPERVISOR:
        return SUPERVISOR
    last = next((stage.actor for stage in reversed(incident.stages) if stage.name == GIVEN_BACK), "")
    return (incident.owner or last or draft.router.desk.id) if word == "owner" else draft.router.desk.id


def own(draft: Draft, incident: Incident, now: datetime) -> Responder | None:
    """The responder that was ordered first; with none, the one that serves the area of the incident, or the nearest area above it."""
    del now
    desk = draft.router.desk.id
    for leg in incident.legs:
        if leg.responder != desk and leg.role is Role.SOCIAL:
            return draft.router.responder(leg.responder)
    return next(_serving(draft, incident.area), None)


def _parent(draft: Draft, incident: Incident, now: datetime) -> Responder | None:
    return next(_above(draft, own(draft, incident, now), now), None)


def _centre(kind: ResponderKind) -> Callable[[Draft, Incident, datetime], Responder | None]:
    def found(draft: Draft, incident: Incident, now: datetime) -> Responder | None:
        mine = own(draft, incident, now)
        above = [*([mine] if mine is not None else []), *_above(draft, mine, now), *_serving(draft, incident.area)]
        return next((one for one in above if one.kind is kind), None)

    return found


def _partner(draft: Draft, incident: Incident, now: datetime) -> Responder | None:
    """Who helps by an agreement that holds today and names this kind of matter: the responder itself, or the one that serves the helping area.

    Agreements that are closed for now, and helpers that are lost or take no more, are passed over: the next agreement counts.
    """
    today = now.astimezone(CHINA).date()
    mine = own(draft, incident, now)
    helped = {one.id for one in (mine, *_above(draft, mine, now)) if one is not None} | set(draft.register.areas_above(incident.area))
    word = "service" if KINDS[incident.kind].group is Group.SERVICE else "urgent"
    for agreement in draft.register.agreements.values():
        if not agreement.since <= today <= agreement.until or not {incident.kind.value, word, "all"} & set(agreement.kinds):
            continue
        ruled = draft.standing(f"aid:{agreement.id}", now)
        if ruled is not None and ruled.value == CLOSED:
            continue
        for helper, other in ((agreement.helper, agreement.helped), *(((agreement.helped, agreement.helper),) if agreement.both else ())):
            if other in helped and helper not in helped and draft.standing(f"{SATURATED}:{helper}", now) is None:
                named = draft.router.responder(helper)
                able = (one for one in ([named] if named is not None else _serving(draft, helper)) if one.id not in helped)
                found = next((one for one in able if not _takes_no_more(draft, one, now)), None)
                if found is not None:
                    return found
    return None


def _takes_no_more(draft: Draft, responder: Responder, now: datetime) -> bool:
    return any(draft.standing(f"{matter}:{responder.id}", now) is not None for matter in (LOST, SATURATED))


_RESPONDERS: dict[str, Callable[[Draft, Incident, datetime], Responder | None]] = {
    "own": own,
    "parent": _parent,
    "street_centre": _centre(ResponderKind.STREET_CENTRE),
    "district_centre": _centre(ResponderKind.DISTRICT_CENTRE),
    "city_centre": _centre(ResponderKind.CITY_CENTRE),
    "partner": _partner,
}


def _above(draft: Draft, responder: Responder | None, now: datetime) -> Iterator[Responder]:
    """Those above it in the tree, nearest first, without the desk and without who is lost: what it led is led by the next (domain 2.8)."""
    passed: set[str] = set()
    name = responder.parent if responder is not None else None
    while name is not None and name not in passed:
        passed.add(name)
        one = draft.router.responder(name)
        if one is None or one.kind is ResponderKind.DESK:
            return
        if draft.standing(f"{LOST}:{one.id}", now) is None:
            yield one
        name = one.parent


def _serving(draft: Draft, area: str | None) -> Iterator[Responder]:
    """Stations and centres that serve the area, then those of the areas above it; last the district centre, where there is but one.

    Walks the register: few steps ask.
    """
    kinds = (ResponderKind.STATION, ResponderKind.STREET_CENTRE, ResponderKind.DISTRICT_CENTRE, ResponderKind.CITY_CENTRE)
    all_of = [one for kind in kinds for one in draft.register.responders.values() if one.kind is kind]
    for name in draft.register.areas_above(area):
        yield from (one for one in all_of if name in one.areas)
    centres = [one for one in all_of if one.kind is ResponderKind.DISTRICT_CENTRE]
    if len(centres) == 1:  # of several nobody knows which, and a stranger's leads nothing here
        yield centres[0]
