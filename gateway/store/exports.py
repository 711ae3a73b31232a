"""What exports read: incidents that were opened in a period, and when orders were done. A connection of its own, a page at a time."""

from collections.abc import Iterator
from datetime import datetime

import msgspec
from sqlalchemy import Engine, select

from gateway.clock import from_micros, micros
from gateway.core.incident import Incident
from gateway.event import Event, Kind
from gateway.store.schema import incident, journal

READ_AT_ONCE = 500


def incidents_of(engine: Engine, since: datetime, until: datetime) -> Iterator[Incident]:
    """Incidents opened since <= at < until, oldest number first, as they stand."""
    after = 0
    mine = (incident.c.opened_at >= micros(since)) & (incident.c.opened_at < micros(until))
    while True:
        with engine.connect() as connection:
            chosen = select(incident.c.number, incident.c.body).where(mine, incident.c.number > after).order_by(incident.c.number)
            rows = connection.execute(chosen.limit(READ_AT_ONCE)).all()
        if not rows:
            return
        yield from (msgspec.json.decode(row.body, type=Incident) for row in rows)
        after = rows[-1].number


def done_of(engine: Engine, incident_id: str) -> dict[str, datetime]:
    """Delivery → when its responder said that it is done."""
    with engine.connect() as connection:
        mine = (journal.c.incident == incident_id) & (journal.c.kind == Kind.DONE.value)
        rows = connection.execute(select(journal.c.at, journal.c.facts).where(mine)).all()
    found: dict[str, datetime] = {}
    for row in rows:
        try:
            delivery = msgspec.json.decode(row.facts, type=Event).detail.get("delivery")
        except msgspec.MsgspecError:
            continue  # erased: nobody knows any more which order it was
        if isinstance(delivery, str):
            found[delivery] = from_micros(row.at)
    return found
