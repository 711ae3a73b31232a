"""What providers did, read from the stored incidents: as much of each as the score counts. Any thread; nothing is written."""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Engine, select

from gateway.clock import micros
from gateway.core.score import Work
from gateway.core.territory import Standing
from gateway.event import Kind
from gateway.store.schema import incident, journal, standing


class _Delivery(msgspec.Struct):
    delivery: str = ""


class _Answer(msgspec.Struct):
    """As much of a journalled answer as says to which order it belongs."""

    detail: _Delivery


READ_AT_ONCE = 500  # 1 MB
OPEN_BEFORE = timedelta(days=31)  # an order of the window may stand on an incident that was opened so long before: a request filed far ahead

_decode = msgspec.json.Decoder(Work).decode


def works(engine: Engine, since: datetime) -> Iterator[Work]:
    """All incidents that may carry an order given since then, in order, without loading them whole."""
    number = 0
    chosen = select(incident.c.number, incident.c.body).where(incident.c.opened_at >= micros(since - OPEN_BEFORE)).order_by(incident.c.number)
    with engine.connect() as connection:
        while rows := connection.execute(chosen.where(incident.c.number > number).limit(READ_AT_ONCE)).all():
            for row in rows:
                yield _decode(row.body)
            number = rows[-1].number


def hours(engine: Engine, responders: Collection[str], since: datetime, until: datetime) -> dict[str, tuple[int, timedelta]]:
    """Responder → orders it ended in this time, and how long it was there for them: from `arrived` (else `en_route`, else `accept`) to `done`.

    Read from the journal, once through. An order whose beginning is older than OPEN_BEFORE, or was never told, counts with no time.
    """
    kinds = [kind.value for kind in (Kind.ACCEPT, Kind.EN_ROUTE, Kind.ARRIVED, Kind.DONE)]
    low, high = micros(since - OPEN_BEFORE), micros(until)
    rows = select(journal.c.at, journal.c.kind, journal.c.device, journal.c.facts).where(
        journal.c.kind.in_(kinds), journal.c.at >= low, journal.c.at < high
    )
    began: dict[str, int] = {}
    ended: set[str] = set()
    found: dict[str, tuple[int, timedelta]] = {}
    with engine.connect() as connection:
        for row in connection.execute(rows.order_by(journal.c.seq)):
            delivery = msgspec.json.decode(row.facts, type=_Answer).detail.delivery if row.device in responders else ""
            if not delivery or delivery in ended:
                continue
            if row.kind != Kind.DONE:
                began[delivery] = row.at
                continue
            ended.add(delivery)
            if row.at >= micros(since):
                count, spent = found.get(row.device, (0, timedelta()))
                found[row.device] = count + 1, spent + timedelta(microseconds=row.at - began.get(delivery, row.at))
    return found


def standings(*engines: Engine) -> dict[str, Standing]:
    """What is ruled, as it is on disk. Of several shards: what was ruled last stands."""
    found: list[Standing] = []
    for engine in engines:
        with engine.connect() as connection:
            found += [msgspec.json.decode(body, type=Standing) for body in connection.execute(select(standing.c.body)).scalars()]
    return {one.key: one for one in sorted(found, key=lambda one: one.at)}
