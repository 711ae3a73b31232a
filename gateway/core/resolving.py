"""Before an incident is resolved: the required steps of its plan, and the time at which help was really there."""

from datetime import datetime

import msgspec

from gateway.core import plans
from gateway.core.incident import COMING, HELPS, Incident, LegState, apply_leg, with_leg
from gateway.core.stages import SERVE, has_passed, passed
from gateway.core.state import Draft
from gateway.errors import Refused

REASON_LEAST = 8  # characters; "ok" is no reason, 老人已住院无法联系 is one


def walked(draft: Draft, incident: Incident, override: object) -> None:
    """Required steps stand before the end, unless somebody who may (gateway.console.rights) says why not. Raises Refused."""
    own = draft.base.plans
    missing = plans.missing(own, incident, draft.register) if own is not None else []
    if missing and override is None:
        raise Refused("steps_missing", steps=missing)
    if missing and len(str(override).strip()) < REASON_LEAST:
        raise Refused("reason_too_short", 400, least=REASON_LEAST)


def corrected(incident: Incident, at: datetime, why: str, now: datetime) -> Incident:
    """With the time at which help arrived, where nobody told it, or (with a reason) told it wrongly. Raises Refused."""
    helping = [leg for leg in incident.legs if leg.role in HELPS and (leg.state in COMING or leg.state is LegState.DONE)]
    leg = max(helping, key=lambda one: (one.arrived_at is not None, one.answered_at or one.ordered_at), default=None)
    if leg is None:
        raise Refused("nobody_went")
    if not leg.ordered_at.replace(second=0, microsecond=0) <= at <= now:  # a person says minutes
        raise Refused("bad_arrived", 400, earliest=leg.ordered_at, latest=now)
    if leg.arrived_at is not None and len(why.strip()) < REASON_LEAST:
        raise Refused("reason_too_short", 400, least=REASON_LEAST)
    if leg.state in COMING and leg.state is not LegState.ARRIVED:
        incident = apply_leg(incident, leg, "arrived", now, arrived_at=at)
    else:
        incident = with_leg(incident, msgspec.structs.replace(leg, arrived_at=at), now)
    if has_passed(incident, SERVE):
        return incident
    return passed(incident, SERVE, at, leg.by or leg.responder, incident.deadlines.get(f"arrive:{leg.delivery}"), leg.delivery)
