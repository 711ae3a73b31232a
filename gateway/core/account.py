"""Accounts of the console: who somebody is, what they do here, and for which areas. Passwords are kept as argon2id hashes only."""

from datetime import datetime
from enum import StrEnum

import msgspec


class AccountRole(StrEnum):
    """What somebody does at the console (console design, 8). `citizen` is the public's supervisor (domain 6.5); `local` has no account.

    local: whoever can read the gateway's data folder (commands on this machine), and everybody while `console.accounts` is false.
    """

    OPERATOR = "operator"
    SUPERVISOR = "supervisor"
    OPS = "ops"
    ADMIN = "admin"
    AUDITOR = "auditor"
    WALL = "wall"
    CITIZEN = "citizen"
    LOCAL = "local"


ASSIGNABLE = tuple(role for role in AccountRole if role is not AccountRole.LOCAL)


class Account(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One person who may log in. Secrets in it never leave the store's table and this type.

    login     typed at the log-in, unique; name: shown and journalled as the actor, unique too
    areas     ids of areas of the register, each with all below it; empty: everywhere
    password, pin  argon2id hashes; pin "" = none: the screen is unlocked by the password
    must_change  the password was given by somebody else: it must be changed first
    totp      secret of the second factor (RFC 6238), base32; "" = none; totp_used: the time step of the last code, none counts twice
    external  issuer and subject at an OpenID provider, "<issuer>#<subject>"; "" = logs in here
    disabled  may not log in any more; an account is never deleted, as the journal names it
    """

    login: str
    name: str
    role: AccountRole
    areas: tuple[str, ...] = ()
    password: str = ""
    pin: str = ""
    must_change: bool = False
    totp: str = ""
    totp_used: int = 0
    external: str = ""
    disabled: bool = False
    language: str = ""
    changed_at: datetime | None = None


class AccountSession(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One browser in which somebody has logged in, as it outlives a restart of the gateway. id: SHA-256 of its cookie, hex.

    name: who is on duty there, None while nobody; extension: the telephone at that desk.
    """

    id: str
    login: str
    opened_at: datetime
    until: datetime
    address: str = ""
    name: str | None = None
    extension: str | None = None
    locked: bool = False


class AccessWrite(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that are written in one transaction with the journal entry that tells of them. ended: ids of sessions that are no more."""

    accounts: tuple[Account, ...] = ()
    sessions: tuple[AccountSession, ...] = ()
    ended: tuple[str, ...] = ()


NO_ROWS = AccessWrite()
