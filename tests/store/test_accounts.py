"""Accounts and sessions in the store, on both databases: written with the journal entry that tells of them, or not at all."""

import json
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from gateway.clock import utc_now
from gateway.core.account import AccessWrite, Account, AccountRole, AccountSession
from gateway.core.state import Record
from gateway.event import Kind, Phase
from gateway.store import accounts as tables
from gateway.store.schema import SCHEMA_VERSION
from gateway.store.store import Batch, Store

LINA = Account(login="lina", name="李娜", role=AccountRole.OPERATOR, areas=("pingan",), password="$argon2id$…", totp="JBSWY3DPEHPK3PXP", totp_used=7)


def row(name: str, left: timedelta = timedelta(hours=1)) -> AccountSession:
    now = utc_now()
    return AccountSession(id=name, login="lina", opened_at=now, until=now + left, name="李娜", extension="8001", locked=True)


def wrote(what: str, **rows: tuple[object, ...]) -> Batch:
    record = Record(kind=Kind.ACCESS, phase=Phase.STATE, at=utc_now(), facts=msgspec.json.encode({"what": what}), actor="李娜")
    return Batch(records=[record], access=[AccessWrite(**rows)])  # type: ignore[arg-type]


def test_accounts_and_sessions_are_read_back(store: Store) -> None:
    one, other = row("a" * 64), row("b" * 64)
    store.write(wrote("log_in", accounts=(LINA,), sessions=(one, other)))
    store.write(wrote("changed", accounts=(msgspec.structs.replace(LINA, disabled=True),), ended=(one.id,)))
    assert tables.accounts(store.engine) == [msgspec.structs.replace(LINA, disabled=True)]
    assert tables.sessions(store.engine) == [other]
    assert [json.loads(entry.facts) for entry in store.journal()] == [{"what": "log_in"}, {"what": "changed"}], "no secret in the journal"
    assert store.verify() == (2, None)


def test_two_of_one_name_are_not_written_and_nothing_with_them(store: Store) -> None:
    store.write(wrote("created", accounts=(LINA,)))
    with pytest.raises(IntegrityError):
        store.write(wrote("created", accounts=(msgspec.structs.replace(LINA, login="other"),)))
    assert [one.login for one in tables.accounts(store.engine)] == ["lina"]
    assert store.verify() == (1, None)


def test_a_start_forgets_sessions_that_are_over(store: Store, url: str, tmp_path: Path) -> None:
    store.write(wrote("log_in", accounts=(LINA,), sessions=(row("a" * 64, -timedelta(seconds=1)), row("b" * 64))))
    store.close()
    again = Store(url, tmp_path)
    again.open()
    assert [one.id for one in tables.sessions(again.engine)] == ["b" * 64]
    again.close()


def test_a_database_from_before_accounts_is_brought_up(store: Store, url: str, tmp_path: Path) -> None:
    store.close()
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in ("drop table account", "drop table session", "update meta set value = '2' where name = 'schema'"):
            connection.execute(text(statement))
    again = Store(url, tmp_path)
    again.open()
    again.write(wrote("created", accounts=(LINA,)))
    assert tables.accounts(again.engine) == [LINA]
    with engine.connect() as connection:
        assert connection.scalar(text("select value from meta where name = 'schema'")) == str(SCHEMA_VERSION)
    engine.dispose()
    again.close()
