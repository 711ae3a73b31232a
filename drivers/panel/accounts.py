"""Accounts of transmitters: what each has of its own beside the options of its line, from a TOML file or an inline table.

    [8A8A]
    key = "000102030405060708090a0b0c0d0e0f"   # or key_text = "16 characters…"
    must_encrypt = true
    since = 2026-02-01                         # since when the key is in use
    key_next = "0f0e0d0c0b0a09080706050403020100"   # the one that takes its place: both count until a message comes with it

Keys stay out of every repr and every error text.
"""

import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import msgspec

from drivers.panel.meaning import DialectName, MeaningOptions
from gateway.wrong_value import did_you_mean, wrong_values

HEX_DIGITS = (32, 48, 64)
TEXT_CHARACTERS = (16, 24, 32)
MAX_ACCOUNTS = 100_000  # a receiver of a whole city has fewer
MAX_WINDOW_S = 86_400.0

Window = tuple[float, float]


class AccountOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account as it is written.

    key             32, 48 or 64 hex digits (AES-128, -192, -256); key_text: the key as 16, 24 or 32 characters instead
    key_next        the next key, while a device is being changed over; key_next_text: as characters. since: the day from which `key` is in use
    must_encrypt    a plain frame from it is answered DUH and told as a matter of security
    window_s        [-40, 20]: device time minus ours, for encrypted frames
    decimal_length  it writes the length of a frame in decimal digits
    dialect, codes, zones   as for a line; zones without the account: {"005" = "fall", "*" = "sos"}
    """

    key: str = ""
    key_text: str = ""
    key_next: str = ""
    key_next_text: str = ""
    since: date | None = None
    must_encrypt: bool = False
    window_s: Window | None = None
    decimal_length: bool = False
    dialect: DialectName = "standard"
    codes: dict[str, str] = {}
    zones: dict[str, str] = {}

    def __repr__(self) -> str:
        return "AccountOptions(…)"


@dataclass(frozen=True, slots=True)
class Account:
    """One account, checked. `key` is None where it has none; `meaning` where it has no rules of its own.

    is_old: `key` is the one that the account has given up (set by the codec for one message).
    """

    key: bytes | None = field(default=None, repr=False)
    key_next: bytes | None = field(default=None, repr=False)
    since: date | None = None
    is_old: bool = False
    must_encrypt: bool = False
    window_s: Window | None = None
    decimal_length: bool = False
    meaning: MeaningOptions | None = None


Accounts = dict[str, Account]
"""By account in capital letters."""


def read_accounts_file(text: str, name: str) -> tuple[Accounts, list[str]]:
    """(accounts, problems) of the text of a file; problems name file, account and key."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        return {}, [f"{name}: is no valid TOML ({_place(str(error))}); correct that line"]
    return read_accounts(tables, f"{name}: ")


def read_accounts(tables: Mapping[str, object], where: str = "") -> tuple[Accounts, list[str]]:
    """(accounts, problems). where: what every problem begins with."""
    accounts: Accounts = {}
    problems: list[str] = []
    if len(tables) > MAX_ACCOUNTS:
        return {}, [f"{where}has {len(tables)} accounts; write at most {MAX_ACCOUNTS}, others into another line's"]
    for name, table in tables.items():
        account, faults = _account(name, table)
        if name.upper() in accounts:
            faults.append("stands twice, in capital and in small letters; keep one")
        problems += [f"{where}{name}{' ' if fault.startswith('stands') else '.'}{fault}" for fault in faults]
        accounts[name.upper()] = account
    return accounts, problems


def _account(name: str, table: object) -> tuple[Account, list[str]]:
    if not (name.isascii() and name.isalnum() and len(name) <= 16):
        return Account(), ["name: is no account; write 1 to 16 letters and digits above its keys, as in [8A8A]"]
    if not isinstance(table, Mapping):
        return Account(), [f"name: is no table; write [{name}] above its keys"]
    fields = {one.name: one.type for one in msgspec.structs.fields(AccountOptions)}
    faults = [f"{key}: is not known; {did_you_mean(key, fields)}" for key in table if key not in fields]
    for key, kind in fields.items():
        if key in table:
            faults += [f"{where}: {what}; {remedy}" for where, what, remedy in wrong_values(kind, table[key], key)]
    if faults:
        return Account(), faults
    written = msgspec.convert(dict(table), AccountOptions)
    secret, faults = _key("key", written.key, written.key_text)
    following, more = _key("key_next", written.key_next, written.key_next_text)
    faults += more
    if written.must_encrypt and secret is None and not faults:
        faults.append("key: is missing beside must_encrypt; write it, or key_text")
    if following is not None and secret is None and not faults:
        faults.append("key_next: stands without a key; call it key")
    if following is not None and following == secret:
        faults.append("key_next: is the key itself; make a new one with gateway panel-keys new")
    if written.window_s is not None and not -MAX_WINDOW_S <= written.window_s[0] <= 0 <= written.window_s[1] <= MAX_WINDOW_S:
        faults.append("window_s: does not hold our own time; write seconds as in [-40, 20]")
    meaning: MeaningOptions | None = None
    if written.dialect != "standard" or written.codes or written.zones:
        rules: dict[str, Any] = {"dialect": written.dialect, "codes": written.codes}
        rules["zones"] = {f"{name.upper()}:{zone}": kind for zone, kind in written.zones.items()}
        try:
            meaning = msgspec.convert(rules, MeaningOptions)
        except msgspec.ValidationError as error:
            faults.append(str(error))
    return Account(
        key=secret,
        key_next=following,
        since=written.since,
        must_encrypt=written.must_encrypt,
        window_s=written.window_s,
        decimal_length=written.decimal_length,
        meaning=meaning,
    ), faults


def _key(name: str, hexadecimal: str, text: str) -> tuple[bytes | None, list[str]]:
    """(the key's bytes, faults); the faults say how long it is, never what it is."""
    if hexadecimal and text:
        return None, [f"{name}: stands beside {name}_text; keep one of them"]
    if hexadecimal:
        digits = "".join(hexadecimal.split())
        if not set(digits) <= set(string.hexdigits):
            return None, [f"{name}: holds other characters than hex digits; write 32, 48 or 64 of them, or {name}_text"]
        if len(digits) not in HEX_DIGITS:
            return None, [f"{name}: has {len(digits)} hex digits; write 32, 48 or 64"]
        return bytes.fromhex(digits), []
    if text:
        key = text.encode()
        if not text.isascii() or len(key) not in TEXT_CHARACTERS:
            return None, [f"{name}_text: has {len(text)} characters; write 16, 24 or 32, of ASCII only"]
        return key, []
    return None, []


def _place(error: str) -> str:
    """Where a TOML file is wrong, without the words of that line: they may be a key."""
    at = error.rfind("(at ")
    return error[at + 1 : -1] if at >= 0 else "see its syntax"
