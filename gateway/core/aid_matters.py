"""What is ruled about mutual aid: each matter and its check (domain 2.8, 3.1, 3.5, 3.8). Every change has a reason and an actor.

lost:<responder>       cannot be reached or work at all; a centre: its subtree is led by those above or by a partner
saturated:<area or responder>  takes no more: partners go first, it stays behind them. By the machine (gateway.saturation) or a person
aid:<agreement>        "closed": the agreement is not used for now; "" opens it again. "called": somebody has told the partner to be ready
guest:<name>           an operator of a helper let into a district's queue, until a day within the agreement
"""

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta

import msgspec

from gateway.core.duty import CHINA
from gateway.core.incident import Incident
from gateway.core.provider_matters import MACHINE
from gateway.core.standing import Ruling, plain, reasoned, switched
from gateway.core.state import Draft, Overlay
from gateway.core.territory import AidAgreement, Standing
from gateway.errors import Refused

LOST, SATURATED, CLOSED, CALLED, GUEST = "lost", "saturated", "closed", "called", "guest"
NAME_LIMIT = 80  # characters of a guest's name, as on duty (gateway.console.http)
LONGEST_GUEST = timedelta(days=92)  # a quarter; who stays longer is asked about again


def on_lost(draft: Draft, ruling: Ruling, before: Standing | None, now: datetime) -> Standing:
    """value "lost", or "". Raises Refused: unknown_responder, bad_value, missing_reason, bad_until, does_not_stand."""
    if _subject(ruling) not in draft.register.responders:
        raise Refused("unknown_responder", 404)
    return _switched(ruling, before, now, LOST)


def on_saturated(draft: Draft, ruling: Ruling, before: Standing | None, now: datetime) -> Standing:
    """value "saturated", or "". What a person has said the machine leaves until it lapses. Raises Refused as on_lost, unknown_area, by_a_person."""
    name = _subject(ruling)
    if name not in draft.register.areas and name not in draft.register.responders:
        raise Refused("unknown_area", 404)
    if ruling.actor == MACHINE and is_held_by_a_person(before, now):
        raise Refused("by_a_person", by=before.actor if before is not None else "")
    return _switched(ruling, before, now, SATURATED, lifts_nothing=ruling.until is not None)


def on_aid(draft: Draft, ruling: Ruling, before: Standing | None, now: datetime) -> Standing:
    """value "closed", "called", or "". Raises Refused: unknown_agreement, not_in_force, and as on_lost."""
    agreement = draft.register.agreements.get(_subject(ruling))
    if agreement is None:
        raise Refused("unknown_agreement", 404)
    if ruling.value == CALLED and not in_force(agreement, now):
        raise Refused("not_in_force", since=agreement.since, until=agreement.until)
    return _switched(ruling, before, now, CLOSED, CALLED)


def on_guest(draft: Draft, ruling: Ruling, before: Standing | None, now: datetime) -> Standing:
    """value: the district (area) or responder that is helped; detail {"agreement"}; until is wanted. "" takes the right back.

    Raises Refused: bad_name, unknown_agreement, not_in_force, not_of_agreement, bad_until (beyond the agreement or a quarter), missing_reason.
    """
    if not 1 <= len(_subject(ruling).strip()) <= NAME_LIMIT or not _subject(ruling).isprintable():
        raise Refused("bad_name", 400, limit=NAME_LIMIT)
    if not ruling.value:
        return _switched(ruling, before, now)
    agreement = draft.register.agreements.get(str(ruling.detail.get("agreement") or ""))
    if agreement is None:
        raise Refused("unknown_agreement", 404)
    if not in_force(agreement, now):
        raise Refused("not_in_force", since=agreement.since, until=agreement.until)
    if ruling.value not in (agreement.helped, *((agreement.helper,) if agreement.both else ())):
        raise Refused("not_of_agreement", agreement=agreement.id)
    ends = datetime.combine(agreement.until, time(), CHINA).astimezone(UTC) + timedelta(days=1)
    if ruling.until is None or not now < ruling.until <= min(ends, now + LONGEST_GUEST):
        raise Refused("bad_until", 400, latest=min(ends, now + LONGEST_GUEST))
    reasoned(ruling)
    return plain(ruling, now)


def is_shut_out(standings: Overlay[Standing] | Mapping[str, Standing], actor: str, now: datetime) -> bool:
    """Was this operator a helper's guest whose time is over, or whose right was taken back? Nobody else is."""
    standing = standings.get(f"{GUEST}:{actor}")
    return standing is not None and not standing.holds(now)


def is_guest(draft: Draft, actor: str) -> bool:
    """Is or was this name let in by an agreement?"""
    return f"{GUEST}:{actor}" in draft.standings


def is_elsewhere(draft: Draft, actor: str, incident: Incident, now: datetime) -> bool:
    """Is this operator a guest, and the incident outside what is helped? What nobody knows the place of lies in the queue of whoever is helped."""
    standing = draft.standing(f"{GUEST}:{actor}", now)
    if standing is None or incident.area is None:
        return False
    responder = draft.register.responders.get(standing.value)
    helped = set(responder.areas) if responder is not None else {standing.value}
    if not helped.isdisjoint(draft.register.areas_above(incident.area)):
        return False
    return all(leg.responder != standing.value for leg in incident.legs)


def in_force(agreement: AidAgreement, now: datetime) -> bool:
    """Is today within its days?"""
    return agreement.since <= now.astimezone(CHINA).date() <= agreement.until


def is_held_by_a_person(standing: Standing | None, now: datetime) -> bool:
    """Did a person say so, either way, and does that still count?"""
    if standing is None or standing.actor == MACHINE:
        return False
    return standing.holds(now) or (standing.until is not None and now < standing.until)


def _subject(ruling: Ruling) -> str:
    return ruling.key.partition(":")[2]


def _switched(ruling: Ruling, before: Standing | None, now: datetime, *values: str, lifts_nothing: bool = False) -> Standing:
    """One of the values until then, or "": lifted, without its detail. lifts_nothing: "" itself says something."""
    reasoned(ruling)
    if ruling.value not in ("", *values):
        raise Refused("bad_value", 400, allowed=[*values, ""])
    standing = switched(ruling, before, now, says_something=lifts_nothing)
    return standing if ruling.value else msgspec.structs.replace(standing, detail={})
