"""The table of corrections of the register: one row a statement of one person (gateway.core.corrections). Reading takes a connection of its own."""

import msgspec
from sqlalchemy import BigInteger, Column, Engine, Index, Integer, Table, Text, select

from gateway.clock import micros
from gateway.core.corrections import Correction
from gateway.store.schema import metadata

correction = Table(
    "correction",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("person", Text),
    Column("at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("body", Text, nullable=False),
    Index("correction_record", "kind", "key"),
)


def row_of_correction(one: Correction) -> tuple[object, ...]:
    """The columns of one."""
    ended_at = micros(one.ended_at) if one.ended_at is not None else None
    return one.number, one.kind.value, one.key, one.person or None, micros(one.at), ended_at, msgspec.json.encode(one).decode()


def load(engine: Engine) -> list[Correction]:
    """All of them, oldest first. A journal of a gateway that knew none has none. Any thread. Raises SQLAlchemyError."""
    with engine.connect() as connection:
        if not engine.dialect.has_table(connection, correction.name):
            return []
        bodies = connection.execute(select(correction.c.body).order_by(correction.c.number)).scalars()
        return [msgspec.json.decode(body, type=Correction) for body in bodies]
