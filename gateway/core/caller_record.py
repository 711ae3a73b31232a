"""The record of a caller whom the register does not have: it stays with its incident, and whoever goes is told where."""

from datetime import datetime
from typing import Any

from gateway.core.incident import Action, CallerRecord, Incident, apply
from gateway.core.orders import repeat_all
from gateway.core.state import Draft
from gateway.errors import Refused
from gateway.event import Position

LIMIT = 120  # characters of name and address: what an order and the screen of a telephone have room for


def recorded(draft: Draft, incident: Incident, actor: str, now: datetime, *, name: str, address: str, what: str, area: str) -> Incident:
    """The incident with it. area: id of where it is, "" when nobody knows. Raises Refused."""
    if not (name or address or what):
        raise Refused("missing_address", 400)
    if max(len(name), len(address)) > LIMIT:
        raise Refused("record_too_long", 400, limit=LIMIT)
    if incident.person is not None:
        raise Refused("is_identified")
    if area and area not in draft.register.areas:
        raise Refused("unknown_area", 400)
    changes: dict[str, Any] = {"record": CallerRecord(name=name, address=address, what=what, by=actor, at=now)}
    if area:
        changes["area"] = area
        middle = draft.register.area_position(area)
        if middle is not None and (incident.position is None or incident.position.source == "area"):
            changes["position"] = Position(lat=middle[0], lon=middle[1], source="area")
    return repeat_all(apply(incident, Action.RECORD, now, **changes), now, is_news=True)
