"""A responder's page was opened: the first device that does so is the one the link belongs to, on record (decision 0021)."""

from datetime import datetime

import msgspec

from gateway.core.incident import with_leg
from gateway.core.state import Draft
from gateway.event import Event


def on_opened(draft: Draft, event: Event, now: datetime) -> str | None:
    """Bind the link to its first device. Gives a reason when it cannot be: it is then kept among the rejected, as evidence.

    detail: delivery; opened, the fingerprint of the device's secret; forward, True when any device may open it.
    """
    delivery = str(event.detail.get("delivery") or "")
    name = draft.by_delivery.get(delivery)
    incident = draft.incidents.get(name) if name else None
    leg = incident.leg(delivery) if incident is not None else None
    if incident is None or leg is None:
        return "unknown_delivery"
    if leg.responder != event.device:
        return "not_your_delivery"
    opened = str(event.detail.get("opened") or "")
    if leg.opened and leg.opened != opened and not event.detail.get("forward"):
        return "opened_elsewhere"
    draft.record_event(msgspec.structs.replace(event, person=incident.person), incident.id)
    if leg.opened != opened:
        draft.put(with_leg(incident, msgspec.structs.replace(leg, opened=opened), now))
    return None
