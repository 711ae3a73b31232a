"""What decisions were made from and the journal does not hold: routing data of each register, and each [routing]; content-addressed, written once.

A decision names both by digest (gateway.core.routing.data); `gateway replay` makes it again from them.
"""

from datetime import datetime

import msgspec
from sqlalchemy import BigInteger, Column, Engine, LargeBinary, Table, Text, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from gateway.clock import micros
from gateway.config.routing import RoutingConfig
from gateway.core.register import Register
from gateway.core.routing import Router
from gateway.core.routing.data import pack, unpack
from gateway.store.schema import metadata

# One row a version that was ever in force: a district's is some 5 KB, that of a city of 4,400 responders 150 KB.
routing_data = Table(
    "routing_data",
    metadata,
    Column("version", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)


def keep(engine: Engine, router: Router, register: Register, now: datetime) -> None:
    """Write what is not there yet. Any thread. Raises SQLAlchemyError."""
    packed = pack(register)
    for version, body in ((packed.digest, packed.body), (router.rules, msgspec.json.encode(router.config))):
        with engine.connect() as connection:
            if connection.scalar(select(routing_data.c.version).where(routing_data.c.version == version)) is not None:
                continue
        try:
            with engine.begin() as connection:
                connection.execute(routing_data.insert(), [{"version": version, "at": micros(now), "body": body}])
        except IntegrityError:
            pass  # somebody was quicker, and it is the same


def read_register(engine: Engine, digest: str, version: str) -> Register | None:
    """The register as routing saw it; None: nobody kept it. Raises ValueError when it is damaged."""
    body = _read(engine, digest)
    return unpack(body, version) if body is not None else None


def read_rules(engine: Engine, version: str) -> RoutingConfig | None:
    """[routing] as it was; None: nobody kept it. Raises ValueError when this program cannot read it."""
    body = _read(engine, version)
    try:
        return msgspec.json.decode(body, type=RoutingConfig) if body is not None else None
    except msgspec.MsgspecError as error:
        raise ValueError(f"[routing] {version}: {error}") from error


def _read(engine: Engine, version: str) -> bytes | None:
    try:
        with engine.connect() as connection:
            body = connection.scalar(select(routing_data.c.body).where(routing_data.c.version == version))
    except SQLAlchemyError as error:
        if "routing_data" in str(error):  # a journal of a gateway that kept none
            return None
        raise
    return bytes(body) if body is not None else None
