"""The incidents of the last month as far as risk warnings count them, read from the store. Any thread; nothing is written."""

from collections.abc import Iterator
from datetime import datetime

import msgspec
from sqlalchemy import Engine, select

from gateway.clock import micros
from gateway.core.risk import Case
from gateway.store.schema import incident

READ_AT_ONCE = 500  # 1 MB

_decode = msgspec.json.Decoder(Case).decode


def cases(engine: Engine, since: datetime, most: int) -> Iterator[Case]:
    """Those opened since then, newest first, the newest `most` of them, without loading them whole."""
    chosen = select(incident.c.number, incident.c.body).where(incident.c.opened_at >= micros(since)).order_by(incident.c.number.desc())
    number, left = None, most
    with engine.connect() as connection:
        while left > 0:
            piece = chosen if number is None else chosen.where(incident.c.number < number)
            rows = connection.execute(piece.limit(min(READ_AT_ONCE, left))).all()
            if not rows:
                return
            for row in rows:
                yield _decode(row.body)
            number, left = rows[-1].number, left - len(rows)
