"""What a report of a period reads: journal entries in order, and of incidents what never changes. A connection of its own, any thread."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

import msgspec
from sqlalchemy import Engine, func, select

from gateway.clock import from_micros, micros
from gateway.core.incident import Incident
from gateway.event import Kind
from gateway.store.schema import incident, journal

READ_AT_ONCE = 2000
ASKED_AT_ONCE = 400  # SQLite's oldest bound on variables in a statement is 999


class Step(msgspec.Struct, frozen=True, gc=False):
    """One journal entry, as much of it as reports count."""

    at: datetime
    kind: Kind
    phase: str
    incident: str | None
    device: str | None
    facts: Mapping[str, object]


class Opened(msgspec.Struct, frozen=True, gc=False):
    """One incident: what it is about, and since when."""

    id: str
    kind: Kind
    severity: str
    opened_at: datetime
    area: str | None
    service: str


def steps(engine: Engine, since: datetime, until: datetime) -> Iterator[Step]:
    """Journal entries of a period, in order, without loading them whole."""
    kinds = {kind.value: kind for kind in Kind}
    columns = (journal.c.seq, journal.c.at, journal.c.kind, journal.c.phase, journal.c.incident, journal.c.device, journal.c.facts)
    with engine.connect() as connection:
        after = (connection.scalar(select(func.min(journal.c.seq)).where(journal.c.at >= micros(since))) or 1) - 1
        while True:
            chosen = select(*columns).where(journal.c.seq > after).order_by(journal.c.seq).limit(READ_AT_ONCE)
            rows = connection.execute(chosen).all()
            if not rows:
                return
            for row in rows:
                if micros(since) <= row.at < micros(until) and row.kind in kinds:
                    yield Step(from_micros(row.at), kinds[row.kind], row.phase, row.incident, row.device, _facts(row.facts))
            if rows[-1].at >= micros(until) and rows[0].at >= micros(until):
                return
            after = rows[-1].seq


def opened(engine: Engine, since: datetime, until: datetime) -> dict[str, Opened]:
    """Incidents that were opened in the period, or that something happened to in it."""
    with engine.connect() as connection:
        numbers = set(
            connection.execute(select(incident.c.number).where(incident.c.opened_at >= micros(since), incident.c.opened_at < micros(until))).scalars()
        )
        touched = select(journal.c.incident).where(journal.c.at >= micros(since), journal.c.at < micros(until), journal.c.incident.is_not(None))
        numbers |= {int(name[1:]) for name in connection.execute(touched.distinct()).scalars() if name[1:].isdecimal()}
        found: dict[str, Opened] = {}
        ordered = sorted(numbers)
        for start in range(0, len(ordered), ASKED_AT_ONCE):
            part = ordered[start : start + ASKED_AT_ONCE]
            for body in connection.execute(select(incident.c.body).where(incident.c.number.in_(part))).scalars():
                one = msgspec.json.decode(body, type=Incident)
                found[one.id] = Opened(one.id, one.kind, one.severity.value, one.opened_at, one.area, one.service)
        return found


def steps_before(engine: Engine, names: Collection[str], kinds: Collection[Kind], before: datetime) -> Iterator[Step]:
    """Entries of these kinds that these incidents had before a time; of each incident in order."""
    ordered = sorted(names)
    columns = (journal.c.at, journal.c.kind, journal.c.phase, journal.c.incident, journal.c.device, journal.c.facts)
    with engine.connect() as connection:
        for start in range(0, len(ordered), ASKED_AT_ONCE):
            part = ordered[start : start + ASKED_AT_ONCE]
            chosen = select(*columns).where(
                journal.c.incident.in_(part), journal.c.at < micros(before), journal.c.kind.in_([one.value for one in kinds])
            )
            for row in connection.execute(chosen.order_by(journal.c.seq)):
                yield Step(from_micros(row.at), Kind(row.kind), row.phase, row.incident, row.device, _facts(row.facts))


def _facts(text: str) -> Mapping[str, object]:
    facts = msgspec.json.decode(text)
    return facts if isinstance(facts, dict) else {}
