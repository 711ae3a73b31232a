"""Shelving: an incident is put aside until a time, for a reason. Allowed for things only, never for a press for help or a person's call.

On the shelf it neither sounds nor presses: the one deadline that counts is `shelf`. It comes back by itself, when somebody takes it, and at once
when it cries again, becomes worse, or another kind joins.
"""

from datetime import datetime, timedelta

import msgspec

from gateway.config.desk import SHELVABLE, ShelvingConfig
from gateway.core.incident import Action, Incident, Shelf, State
from gateway.core.policy import is_deaf
from gateway.core.state import Draft
from gateway.errors import Refused
from gateway.event import KINDS, Kind

REASON_LIMIT = 200  # characters
DEFAULT = ShelvingConfig()
# What presses an incident that nobody takes or touches. It begins anew when the incident comes back.
PRESSES = ("acknowledge", "order", "idle", "idle_escalate", "policy", "ladder")
# Whoever does this wants it now. To give it to somebody else says nothing about when it is looked at: a handover leaves the shelf as it is.
TAKES = frozenset((Action.ACKNOWLEDGE, Action.DISPATCH, Action.ESCALATE, Action.RESOLVE, Action.HAND_OVER, Action.MERGE))


def shelved(incident: Incident, until: datetime, reason: str, actor: str, now: datetime, rules: ShelvingConfig = DEFAULT) -> Incident:
    """Put aside. Raises Refused: not_shelvable, bad_until, missing_reason, wrong_state."""
    if not is_shelvable(incident, rules):
        raise Refused("not_shelvable", kind=incident.kind)
    if incident.state not in (State.RAISED, State.ACKNOWLEDGED):
        raise Refused("wrong_state", state=incident.state)
    latest = now + timedelta(seconds=rules.longest_s)
    if not now < until <= latest:
        raise Refused("bad_until", 400, latest=latest)
    if not 1 <= len(reason.strip()) <= REASON_LIMIT:
        raise Refused("missing_reason", 400, limit=REASON_LIMIT)
    return on_shelf(incident, Shelf(until=until, by=actor, at=now, reason=reason.strip()))


def on_shelf(incident: Incident, shelf: Shelf) -> Incident:
    """Put aside, whoever decided so: nothing presses until then."""
    return msgspec.structs.replace(incident, shelf=shelf, deadlines=quiet(incident, shelf), rung_at=None, step=0)


def quiet(incident: Incident, shelf: Shelf) -> dict[str, datetime]:
    """Its deadlines without what presses whoever does not take it."""
    kept = {name: at for name, at in incident.deadlines.items() if name.partition(":")[0] not in PRESSES}
    return {**kept, "shelf": shelf.until}


def is_shelvable(incident: Incident, rules: ShelvingConfig) -> bool:
    """May it be put aside at all: is all of it a thing, of a kind that policy names, does nobody wait for a call, and can the desk hear?"""
    kinds = (incident.kind, *incident.also)
    return incident.call is None and not is_deaf(incident) and all(KINDS[kind].group in SHELVABLE and kind in rules.kinds for kind in kinds)


def off_shelf(draft: Draft, incident: Incident, now: datetime, reason: str) -> Incident:
    """Back from the shelf, and the journal says why: until, cried_again, worse, another_kind. One that is on none is given as it is."""
    if incident.shelf is None:
        return incident
    draft.record(Kind.UNSHELVE, now, incident, reason=reason)
    return msgspec.structs.replace(taken_back(incident), version=incident.version + 1, changed_at=now)


def taken_back(incident: Incident) -> Incident:
    """From the shelf again, without a word in the journal: what is done to it says so."""
    if incident.shelf is None:
        return incident
    deadlines = {name: at for name, at in incident.deadlines.items() if name != "shelf"}
    return msgspec.structs.replace(incident, shelf=None, deadlines=deadlines)
