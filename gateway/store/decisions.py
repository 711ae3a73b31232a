"""Decisions of routing as the journal has them, to be made again or explained."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy import Engine, select

from gateway.clock import from_micros, micros
from gateway.core.routing import Decision
from gateway.event import Kind
from gateway.store.schema import journal

READ_AT_ONCE = 1000
# The kinds of entry that may hold one: orders, and what says that nobody was found.
HOLDING = (Kind.DISPATCH, Kind.ESCALATE, Kind.REMIND)


class Taken(NamedTuple):
    """One decision and where it stands. decision None: this program cannot read it (an entry that was purged, or an older form)."""

    seq: int
    at: datetime
    incident: str
    actor: str
    decision: Decision | None


class _Facts(msgspec.Struct):
    decision: Decision | None = None


_decoder = msgspec.json.Decoder(_Facts)


def decisions(engine: Engine, since: datetime | None = None, until: datetime | None = None, incident: str | None = None) -> Iterator[Taken]:
    """All of a period or an incident, oldest first, without loading the journal whole. Raises SQLAlchemyError."""
    chosen = select(journal.c.seq, journal.c.at, journal.c.incident, journal.c.actor, journal.c.facts)
    chosen = chosen.where(journal.c.kind.in_([kind.value for kind in HOLDING]), journal.c.facts.contains('"decision":{', autoescape=True))
    if since is not None:
        chosen = chosen.where(journal.c.at >= micros(since))
    if until is not None:
        chosen = chosen.where(journal.c.at < micros(until))
    if incident is not None:
        chosen = chosen.where(journal.c.incident == incident)
    start = 0
    with engine.connect() as connection:
        while rows := connection.execute(chosen.where(journal.c.seq > start).order_by(journal.c.seq).limit(READ_AT_ONCE)).all():
            for row in rows:
                yield Taken(row.seq, from_micros(row.at), row.incident or "", row.actor or "", read(row.facts))
            start = rows[-1].seq


def read(facts: str | bytes) -> Decision | None:
    """The decision in the facts of a journal entry; None: there is none that this program can read."""
    try:
        return _decoder.decode(facts).decision
    except msgspec.MsgspecError:
        return None
