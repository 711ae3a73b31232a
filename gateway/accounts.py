"""The accounts of the console in memory, as the store has them, and what may become of one."""

import re
from collections.abc import Collection, Iterable
from datetime import datetime

import msgspec

from gateway.core.account import ASSIGNABLE, Account, AccountRole
from gateway.errors import Refused

LOGIN = re.compile(r"[a-z0-9][a-z0-9._@-]{0,31}")
EXTERNAL = re.compile(r"https?://[!-~]{1,200}#[!-~]{1,255}")
NAME_LIMIT = 32  # characters, as that of a name on duty
ACCOUNTS_LIMIT = 5_000  # a province has hundreds


class Accounts:
    """Read by every request, so kept in memory; a city has hundreds."""

    def __init__(self, accounts: Iterable[Account] = ()) -> None:
        self._by_login: dict[str, Account] = {}
        self.take(accounts)

    def take(self, accounts: Iterable[Account]) -> None:
        """They are on disk like this now."""
        self._by_login.update((account.login, account) for account in accounts)

    def find(self, login: str) -> Account | None:
        """The account with this login, also a disabled one."""
        return self._by_login.get(login)

    def all(self) -> list[Account]:
        """Every account, by login."""
        return sorted(self._by_login.values(), key=lambda one: one.login)

    def named(self, name: str) -> Account | None:
        """The account of this name, also a disabled one."""
        return next((one for one in self._by_login.values() if one.name == name), None)

    def known(self, login: str) -> Account:
        """The account with this login. Raises Refused: unknown_account."""
        account = self.find(login)
        if account is None:
            raise Refused("unknown_account", 404)
        return account

    @property
    def is_empty(self) -> bool:
        """Is this a first start?"""
        return not self._by_login

    def new(self, login: str, name: str, role: str, areas: Collection[str], known_areas: Collection[str], now: datetime) -> Account:
        """An account that is none yet, without a password. Raises Refused: bad_login, login_taken, bad_name, name_taken, bad_role, unknown_area."""
        login = login.strip().lower()
        if not LOGIN.fullmatch(login):
            raise Refused("bad_login", 400)
        if login in self._by_login:
            raise Refused("login_taken", login=login)
        if len(self._by_login) >= ACCOUNTS_LIMIT:
            raise Refused("too_many_accounts", limit=ACCOUNTS_LIMIT)
        account = Account(login=login, name="", role=AccountRole.WALL, changed_at=now)
        return self.changed(account, now, known_areas, name=name, role=role, areas=areas)

    def changed(
        self,
        account: Account,
        now: datetime,
        known_areas: Collection[str],
        *,
        name: str | None = None,
        role: str | None = None,
        areas: Collection[str] | None = None,
        disabled: bool | None = None,
        external: str | None = None,
    ) -> Account:
        """The account as it will be. Raises Refused: bad_name, name_taken, bad_role, unknown_area, bad_external, external_taken, last_admin."""
        made = account
        if name is not None:
            made = msgspec.structs.replace(made, name=self._name(account, name.strip()))
        if role is not None:
            if role not in ASSIGNABLE:
                raise Refused("bad_role", 400, allowed=ASSIGNABLE)
            made = msgspec.structs.replace(made, role=AccountRole(role))
        if areas is not None:
            unknown = sorted(set(areas) - set(known_areas))
            if unknown:
                raise Refused("unknown_area", 400, area=unknown[0])
            made = msgspec.structs.replace(made, areas=tuple(sorted(set(areas))))
        if external is not None:
            made = msgspec.structs.replace(made, external=self._identity(account, external.strip()))
        if disabled is not None:
            made = msgspec.structs.replace(made, disabled=disabled)
        if self.is_last_admin(account) and (made.disabled or made.role is not AccountRole.ADMIN):
            raise Refused("last_admin")
        return msgspec.structs.replace(made, changed_at=now)

    def is_last_admin(self, account: Account) -> bool:
        """Would nobody be left who may make accounts?"""
        admins = [one.login for one in self._by_login.values() if one.role is AccountRole.ADMIN and not one.disabled]
        return admins == [account.login]

    def _identity(self, account: Account, external: str) -> str:
        """ "<issuer>#<subject>" at an OpenID provider; "" = logs in here."""
        if external and not EXTERNAL.fullmatch(external):
            raise Refused("bad_external", 400)
        other = next((one for one in self._by_login.values() if external and one.external == external), None)
        if other is not None and other.login != account.login:
            raise Refused("external_taken", login=other.login)
        return external

    def _name(self, account: Account, name: str) -> str:
        if not (1 <= len(name) <= NAME_LIMIT and name.isprintable()):
            raise Refused("bad_name", 400, limit=NAME_LIMIT)
        other = self.named(name)
        if other is not None and other.login != account.login:
            raise Refused("name_taken", login=other.login)
        return name
