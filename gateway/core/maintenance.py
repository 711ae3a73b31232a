"""Maintenance: somebody works on a device, or tries it. What it sends is marked and put on the shelf at once; a press for help never is.

maintenance:<line>|<device>  "maintenance" (a shift at most) or "test" (a day at most), until then; "" lifts it.
"""

from datetime import datetime, timedelta

import msgspec

from gateway.config.desk import SHIFT_S
from gateway.core.incident import Action, Flag, Incident, Shelf, apply, with_flags
from gateway.core.shelving import on_shelf
from gateway.core.standing import Ruling, reasoned, switched
from gateway.core.state import Draft
from gateway.core.territory import Standing
from gateway.errors import Refused
from gateway.event import KINDS, Event, Group, Kind, Phase

MATTER = "maintenance"
LONGEST = {"maintenance": timedelta(hours=8), "test": timedelta(hours=24)}
SHELF_LONGEST = timedelta(seconds=SHIFT_S)  # an incident of a longer test comes back once in between: somebody looks at it
# Somebody presses, or nobody can know that nobody did: these raise as ever.
PRESSES = frozenset((Kind.SOS, Kind.MEDICAL, Kind.DURESS, Kind.HELP, Kind.GENERAL, Kind.MISSED_CHECKIN))
SILENCED = frozenset((Group.PERSON, Group.ENVIRONMENT, Group.DEVICE))
TOLD = (Phase.RAISE, Phase.REPEAT)
ADDRESS_LIMIT = 200  # characters of line and address


def key_of(line: str, device: str | None) -> str:
    """The matter of one device."""
    return f"{MATTER}:{line}|{device}"


def on_maintenance(draft: Draft, ruling: Ruling, before: Standing | None, now: datetime) -> Standing:
    """Raises Refused: unknown_device, bad_value, bad_until, missing_reason, does_not_stand."""
    reasoned(ruling)
    line, bar, device = ruling.key.partition(":")[2].partition("|")
    if not bar or not device or len(ruling.key) > ADDRESS_LIMIT:
        raise Refused("unknown_device", 404)
    if ruling.value:
        if ruling.value not in LONGEST:
            raise Refused("bad_value", 400, allowed=[*LONGEST, ""])
        if draft.register.device(line, device) is None and draft.last_seen(f"{line}|{device}") is None:
            raise Refused("unknown_device", 404)
        latest = now + LONGEST[ruling.value]
        if ruling.until is None or not now < ruling.until <= latest:
            raise Refused("bad_until", 400, latest=latest)
    return switched(ruling, before, now)


def holds(draft: Draft, event: Event, now: datetime) -> Standing | None:
    """What is ruled about the device of this event, as far as it concerns this event."""
    if event.device is None or event.kind in PRESSES or event.phase not in TOLD or KINDS[event.kind].group not in SILENCED:
        return None
    return draft.standing(key_of(event.line, event.device), now)


def put_aside(incident: Incident, standing: Standing, now: datetime) -> Incident:
    """A new incident of a device in maintenance: marked, and on the shelf."""
    until = min(standing.until or now + SHELF_LONGEST, now + SHELF_LONGEST)
    shelf = Shelf(until=until, by=standing.actor, at=now, reason=standing.value)
    return on_shelf(msgspec.structs.replace(incident, flags=with_flags(incident.flags, add=(Flag.MAINTENANCE,))), shelf)


def counted(incident: Incident, event: Event, now: datetime) -> Incident:
    """One entry more of an incident that is there; nothing else changes, whatever it is about."""
    return apply(incident, Action.JOIN, now, entries=incident.entries + 1, last_event_at=event.received_at)
