"""Keys of transmitters (SIA DC-09): how old each is, a new one beside it, and the old one given up, written into the accounts file itself.

The file is edited line by line, so that comments and order stay; what comes out is read again before it takes the old one's place.
"""

import re
import secrets
from datetime import date
from pathlib import Path

import msgspec

from drivers.panel.accounts import Account, Accounts, read_accounts_file
from gateway.errors import GatewayError

OLD_DAYS = 730  # two years: what NIST SP 800-57 part 1, 5.3.6 allows a symmetric key for data at most
KEY_BYTES = 16  # AES-128: every panel that encrypts has it; an account that has a longer one gets as long a one again
# The keys of one table, as they are written.
_KEYS = ("key", "key_text")
_NEXT = ("key_next", "key_next_text")


class KeyAge(msgspec.Struct, frozen=True):
    """One account with a key. days: since when it is in use, None where the file does not say; is_changing: a next key waits."""

    account: str
    days: int | None
    is_changing: bool

    @property
    def is_old(self) -> bool:
        return self.days is None or self.days > OLD_DAYS


def ages(accounts: Accounts, today: date) -> list[KeyAge]:
    """Of all accounts that have a key: those of unknown age first, then the oldest."""
    found = [KeyAge(name, _days(one, today), one.key_next is not None) for name, one in accounts.items() if one.key is not None]
    return sorted(found, key=lambda one: (one.days is not None, -(one.days or 0), one.account))


def _days(account: Account, today: date) -> int | None:
    return (today - account.since).days if account.since is not None else None


def read_file(file: Path) -> tuple[str, Accounts]:
    """Text and accounts. Raises GatewayError naming the file; no word of a key."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GatewayError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'}); run this as who may read it") from error
    accounts, problems = read_accounts_file(text, str(file))
    if problems:
        raise GatewayError("; ".join(problems))
    return text, accounts


def with_next_key(text: str, accounts: Accounts, account: str) -> str:
    """The file with a new key beside the one in use, which goes on counting. Raises GatewayError."""
    known = _known(accounts, account)
    if known.key_next is not None:
        raise GatewayError(f"{account} has a next key already; settle it, or take it out of the file")
    name = "key" if known.key is None else "key_next"
    return _edited(text, account, add=[f'{name} = "{secrets.token_hex(len(known.key or bytes(KEY_BYTES)))}"'])


def settled(text: str, accounts: Accounts, account: str, today: date) -> str:
    """The file with the next key in place of the old one, which counts no more. Raises GatewayError."""
    known = _known(accounts, account)
    if known.key_next is None:
        raise GatewayError(f"{account} has no next key; make one with gateway panel-keys new {account}")
    return _edited(text, account, drop=(*_KEYS, "since"), rename=dict(zip(_NEXT, _KEYS, strict=True)), add=[f"since = {today.isoformat()}"])


def _known(accounts: Accounts, account: str) -> Account:
    found = accounts.get(account.upper())
    if found is None:
        raise GatewayError(f"there is no account {account!r} in the file; write [{account.upper()}] into it first")
    return found


def _edited(text: str, account: str, *, add: list[str], drop: tuple[str, ...] = (), rename: dict[str, str] | None = None) -> str:
    lines = text.splitlines()
    header = re.compile(rf'\s*\[\s*(?:{re.escape(account)}|"{re.escape(account)}")\s*\]\s*(#.*)?', re.IGNORECASE)
    starts = [number for number, line in enumerate(lines) if header.fullmatch(line)]
    if len(starts) != 1:
        raise GatewayError(f"the account {account} is not written as a table of its own; write [{account}] on a line by itself, its keys below it")
    start = starts[0] + 1
    end = next((number for number, line in enumerate(lines[start:], start) if line.lstrip().startswith("[")), len(lines))
    kept = []
    for line in lines[start:end]:
        name = line.partition("=")[0].strip()
        if name in drop:
            continue
        kept.append(line.replace(name, (rename or {})[name], 1) if name in (rename or {}) else line)
    return "\n".join([*lines[:start], *add, *kept, *lines[end:]]) + "\n"
