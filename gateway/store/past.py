"""What one shard remembers for the lines of an edge: a few statements, not the working set, as an edge that starts must listen soon."""

from collections.abc import Collection, Mapping, Sequence

import msgspec
from sqlalchemy import Engine, select

from gateway.core.incident import Flag, Incident, State
from gateway.core.state import Call, Seen
from gateway.event import Kind
from gateway.store.schema import call, incident, journal, last_seen

KNOWN_AT_MOST = 50_000  # identities of a shard, the newest: as a single machine reads back at its start


class ShardPast(msgspec.Struct, frozen=True):
    """calls: (line, detail) of live calls; known: identities "line|…", oldest first; seen: rows of last signs that begin as wanted;
    misses: the lines under which misses of the self-test are open."""

    calls: Sequence[tuple[str, Mapping[str, object]]]
    known: Sequence[str]
    seen: Sequence[tuple[str, Seen]]
    misses: Sequence[str]


def read(engine: Engine, lines: Collection[str], rows: str) -> ShardPast:
    """Of these lines; `rows`: how the wanted rows of last signs begin. Blocks. Raises SQLAlchemyError."""
    with engine.connect() as connection:
        calls = connection.execute(select(call.c.line, call.c.body).where(call.c.line.in_(lines))).all()
        newest = select(journal.c.dedup).where(journal.c.dedup.is_not(None), journal.c.line.in_(lines)).order_by(journal.c.seq.desc())
        known = connection.execute(newest.limit(KNOWN_AT_MOST)).scalars().all()
        signs = connection.execute(select(last_seen.c.device, last_seen.c.body).where(last_seen.c.device.startswith(rows, autoescape=True))).all()
        is_miss = (incident.c.state != State.CLOSED.value) & (incident.c.kind == Kind.SELF_TEST_MISSED.value)
        open_ones = [msgspec.json.decode(body, type=Incident) for body in connection.execute(select(incident.c.body).where(is_miss)).scalars()]
    return ShardPast(
        calls=[(line, msgspec.json.decode(body, type=Call).detail) for line, body in calls],
        known=[one for one in reversed(known) if one is not None],
        seen=[(device, msgspec.json.decode(body, type=Seen)) for device, body in signs],
        misses=[one.line for one in open_ones if Flag.ENDED not in one.flags],
    )
