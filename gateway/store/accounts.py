"""The tables of accounts and of the browsers in which somebody has logged in, and reading them. Any thread; written by the store alone.

Hashes of passwords and secrets of second factors are in `body` and nowhere else: never in the journal, a log or an export.
"""

import msgspec
from sqlalchemy import BigInteger, Column, Engine, Table, Text, select

from gateway.core.account import Account, AccountSession
from gateway.store.schema import metadata

account = Table(
    "account",
    metadata,
    Column("login", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("body", Text, nullable=False),
)
session = Table(
    "session",
    metadata,
    Column("id", Text, primary_key=True),
    Column("login", Text, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)


def accounts(engine: Engine) -> list[Account]:
    """Every account, also disabled ones."""
    with engine.connect() as connection:
        return [msgspec.json.decode(body, type=Account) for body in connection.execute(select(account.c.body)).scalars()]


def sessions(engine: Engine) -> list[AccountSession]:
    """Every session that has not ended by being left; whoever opened one first comes first."""
    with engine.connect() as connection:
        found = [msgspec.json.decode(body, type=AccountSession) for body in connection.execute(select(session.c.body)).scalars()]
    return sorted(found, key=lambda one: one.opened_at)
