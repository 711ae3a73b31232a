"""`gateway account …`: who may log in to the console. Asked of the gateway that runs, over its own API; before the first start written by itself.

With [bus] accounts are in the shard CATCH_ALL: where no console runs on this machine its owner writes them, asked over the bus.

Passwords come from a prompt or from standard input, never from the command line, where everybody on the machine can read them.
"""

import argparse
import asyncio
import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway import passwords, register_files
from gateway.accounts import Accounts
from gateway.bus.shard_words import Noted
from gateway.clock import utc_now
from gateway.config import Config
from gateway.core.account import ASSIGNABLE, AccessWrite, Account
from gateway.core.register import Register
from gateway.core.shards import CATCH_ALL
from gateway.core.state import Record
from gateway.errors import GatewayError, Refused, StoreBroken
from gateway.event import Kind, Phase, new_id
from gateway.mirror_asking import asking
from gateway.own_api import OwnApi
from gateway.store import accounts as tables
from gateway.store.ownership import InUse
from gateway.store.store import Batch, Store

COLUMNS = ("login", "name", "role", "areas", "state")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `account` to the commands."""
    parser = subparsers.add_parser("account", help="who may log in to the console: add, list, role, areas, disable, enable, password, unlock")
    words = parser.add_subparsers(dest="what", required=True, metavar="WHAT")

    def add(word: str, text: str, run: Callable[[argparse.Namespace], int], *, named: bool = True) -> argparse.ArgumentParser:
        one = words.add_parser(word, help=text)
        if named:
            one.add_argument("login", metavar="LOGIN")
        one.add_argument("--config", default="config/gateway.toml", help="default: config/gateway.toml")
        one.set_defaults(run=run)
        return one

    made = add("add", "a new account; asks for a first password, which is changed at the first log-in", _add)
    made.add_argument("--name", required=True, help="shown to others and written into the journal")
    made.add_argument("--role", required=True, choices=list(ASSIGNABLE))
    made.add_argument(
        "--area", action="append", default=[], metavar="ID", help="of the register, with all below it; may be repeated; none: everywhere"
    )
    add("list", "every account", _list, named=False)
    role = add("role", "another role; the account's sessions end", _change)
    role.add_argument("role", choices=list(ASSIGNABLE))
    areas = add("areas", "other areas; none: everywhere", _change)
    areas.add_argument("areas", nargs="*", metavar="AREA")
    add("disable", "may not log in any more; every session ends at once", _change)
    add("enable", "may log in again", _change)
    password = add("password", "a new password; every session ends, and what locked the account out is forgotten", _change)
    add("unlock", "after too many wrong tries", _change)
    for one in (made, password):
        one.add_argument("--own", action="store_true", help="typed by its owner: it need not be changed at the first log-in")


def _add(args: argparse.Namespace) -> int:
    config, register = _read(args)
    password = _password(args.login, args.name)  # before anything is opened: whoever types may be called away
    with _desk(config, register) as desk:
        wish = {"login": args.login, "name": args.name, "role": args.role, "areas": args.area, "password": password, "own": args.own}
        account = desk.do("", wish)
    _told(account, "may log in" if args.own else "may log in; the page asks for a password of their own first")
    return 0


def _list(args: argparse.Namespace) -> int:
    with _desk(*_read(args)) as desk:
        rows = desk.all()
    if not rows:
        print("no account yet; add one with: gateway account add LOGIN --name NAME --role admin")
        return 0
    table = [COLUMNS, *((one["login"], one["name"], one["role"], " ".join(one["areas"]) or "everywhere", _state(one)) for one in rows)]
    widths = [max(_width(row[i]) for row in table) for i in range(len(COLUMNS))]
    for row in table:
        print("  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _state(one: dict[str, Any]) -> str:
    words = [word for word, key in (("disabled", "disabled"), ("locked out", "locked_out"), ("first password", "must_change")) if one.get(key)]
    return ", ".join([*words, *(["second factor"] if one.get("totp") else [])]) or "-"


def _change(args: argparse.Namespace) -> int:
    config, register = _read(args)
    password = _password(args.login) if args.what == "password" else ""
    with _desk(config, register) as desk:
        what = args.what
        wish: dict[str, object] = {"login": args.login}
        if what == "role":
            what, wish = "change", wish | {"role": args.role}
        elif what == "areas":
            what, wish = "change", wish | {"areas": args.areas}
        elif what == "password":
            what, wish = "set_password", wish | {"password": password, "own": args.own}
        account = desk.do(what, wish)
    _told(account, {"password": "has a new password", "unlock": "is not locked out"}.get(args.what, _state(account)))
    return 0


def _told(account: dict[str, Any], what: str) -> None:
    where = " ".join(account["areas"]) or "everywhere"
    print(f"{account['login']} ({account['name']}, {account['role']}, {where}): {what}")


def _password(login: str, name: str = "") -> str:
    """From a prompt, twice, or the first line of standard input. Raises GatewayError."""
    if sys.stdin.isatty():
        password = getpass.getpass(f"password for {login}: ")
        if password != getpass.getpass("once more: "):
            raise GatewayError("the two are not the same; nothing was changed")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    fault = passwords.fault_of_password(password, login, name)
    if fault is not None:
        raise GatewayError(_in_words(Refused(fault)))
    return password


class _Running:
    """The gateway runs: it alone writes."""

    def __init__(self, api: OwnApi) -> None:
        self._api = api

    def all(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._api.get("/api/v1/accounts")["accounts"]
        return found

    def do(self, what: str, wish: dict[str, object]) -> dict[str, Any]:
        account: dict[str, Any] = self._api.post(f"/api/v1/accounts/{what}".rstrip("/"), wish)["account"]
        return account


Write = Callable[[Record, AccessWrite], None]


class _Alone:
    """No console runs here. write: we are the one writer ourselves, or the owner of the shard is asked."""

    def __init__(self, store: Store, register: Register, write: Write) -> None:
        self._store = store
        self._register = register
        self._to_disk = write
        self._accounts = Accounts(tables.accounts(store.engine))

    def all(self) -> list[dict[str, Any]]:
        return [_plain(one) for one in self._accounts.all()]

    def do(self, what: str, wish: dict[str, Any]) -> dict[str, Any]:
        now, areas, known = utc_now(), self._register.areas, self._accounts
        if what == "":
            account = known.new(wish["login"], wish["name"], wish["role"], wish["areas"], areas, now)
            account = replace(account, password=passwords.hashed(wish["password"]), must_change=not wish["own"])
            return self._write("created", account)
        account = known.known(wish["login"].lower())
        if what == "change":
            return self._write("changed", known.changed(account, now, areas, role=wish.get("role"), areas=wish.get("areas")), ends=True)
        if what in ("disable", "enable"):
            return self._write(f"{what}d", known.changed(account, now, areas, disabled=what == "disable"), ends=what == "disable")
        if what == "set_password":
            hash_ = passwords.hashed(wish["password"])
            return self._write("password_reset", replace(account, password=hash_, must_change=not wish["own"], changed_at=now), ends=True)
        return _plain(account)  # unlock: what locks out is in the memory of a running gateway alone

    def _write(self, what: str, account: Account, *, ends: bool = False) -> dict[str, Any]:
        actor = getpass.getuser()
        facts = {"what": what, "login": account.login, "name": account.name, "role": account.role, "areas": account.areas, "by": actor}
        record = Record(kind=Kind.ACCOUNT, phase=Phase.STATE, at=utc_now(), facts=msgspec.json.encode(facts), actor=actor)
        ended = tuple(one.id for one in tables.sessions(self._store.engine) if one.login == account.login) if ends else ()
        self._to_disk(record, AccessWrite(accounts=(account,), ended=ended))
        return _plain(account)


def _read(args: argparse.Namespace) -> tuple[Config, Register]:
    config, register = register_files.read_all(args.config)
    if not config.console.accounts:
        raise GatewayError(f"{config.path}: console.accounts is false, nobody logs in; write accounts = true and start the gateway again")
    return config, register


@contextmanager
def _desk(config: Config, register: Register) -> Iterator[_Running | _Alone]:
    """Who does it: the gateway that runs, or we ourselves. Raises GatewayError in words."""
    try:
        yield from _who(config, register)
    except Refused as refused:
        raise GatewayError(_in_words(refused)) from None


def _who(config: Config, register: Register) -> Iterator[_Running | _Alone]:
    api = OwnApi(config.console.listen, config.data_folder, config.console_certificate)
    if config.console.enabled and api.is_there():
        try:
            yield _Running(api)
        finally:
            api.close()
        return
    is_part = bool(config.bus.servers)
    store = Store(config.store.url, config.data_folder, CATCH_ALL if is_part else None, config.bus.shards if is_part else 1)
    try:
        store.open()
        write: Write = lambda record, access: store.write(Batch(records=[record], access=[access]))  # noqa: E731
    except StoreBroken as error:
        if not (is_part and isinstance(error, InUse)):
            store.close()
            raise GatewayError(f"{error}; if it is this gateway, and it runs: its console does not answer at {config.console.listen}") from error
        write = partial(_by_owner, config)
    try:
        yield _Alone(store, register, write)
    finally:
        store.close()


def _by_owner(config: Config, record: Record, access: AccessWrite) -> None:
    """A core has the shard: it writes, and tells the consoles. Raises StoreDown, BusDown."""

    async def ask() -> None:
        async with asking(config, "gateway account") as owners:
            await owners.ask(CATCH_ALL, "note", Noted(record.kind.value, record.actor, record.facts, access, new_id()), Any)

    asyncio.run(ask())


def _plain(account: Account) -> dict[str, Any]:
    names = ("login", "name", "role", "areas", "disabled", "must_change")
    return {**{name: getattr(account, name) for name in names}, "totp": bool(account.totp)}


def _in_words(refused: Refused) -> str:
    """What was refused, and the remedy."""
    facts = refused.facts
    words = {
        "bad_login": "the login must be 1 to 32 of a-z, 0-9 and . _ @ -, beginning with a letter or digit",
        "login_taken": f"the login {facts.get('login')} is taken; choose another, or see `gateway account list`",
        "bad_name": "the name must have 1 to 32 characters",
        "name_taken": f"the name is that of {facts.get('login')}; the journal tells people apart by their names, so add a word to it",
        "unknown_area": f"there is no area {facts.get('area')!r} in the register; areas.csv names them",
        "unknown_account": "there is no such account; `gateway account list` names them",
        "last_admin": "this is the last admin: make another one first, or nobody could manage accounts",
        "external_account": "this account logs in elsewhere (OpenID); its password is changed there",
        "password_short": f"the password needs at least {passwords.PASSWORD_LEAST} characters",
        "password_long": f"the password may have {passwords.PASSWORD_MOST} characters at most",
        "password_login": "the password must not be the login or the name",
        "password_common": "the password is among the first that anybody tries; choose another, for instance four words",
        "busy": "too many are logging in at this moment; try again",
        "store_down": "the gateway cannot write at the moment (is the disk full?); nothing was changed",
    }
    more = ", ".join(f"{name} {value}" for name, value in facts.items())
    return words.get(refused.reason, f"refused: {refused.reason}" + (f" ({more})" if more else ""))


def _width(text: str) -> int:
    """Columns on a terminal: Han characters take two."""
    return sum(2 if ord(letter) > 0x2E7F else 1 for letter in text)
