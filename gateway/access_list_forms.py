"""An access list in the broker's own words: Mosquitto's acl_file, its password_file and the state of its dynamic security plugin."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from gateway.access_list import AccessList, Account

# As mosquitto_passwd writes them: PBKDF2 with SHA-512, 101 turns, salts of 12 bytes. So few turns are enough here: our passwords are 160 random
# bits and no words. A password of fewer that somebody writes into accounts.secret is as weak as its words.
TURNS = 101
SALT_BYTES = 12
HASH_BYTES = 64
PASSWORD_BYTES = 20
# In a list with what people entered at desks: the next one must have read the same, or their devices would lose accounts and passwords for good.
DESK = "# With what was entered at desks, out of the database."
HEAD = "Written by `gateway access-list` from configuration and register. Do not edit: the next run would undo it."


def acl_file(accounts: Iterable[Account], *, desk: bool = False) -> str:
    """Mosquitto's acl_file. Who has no rule here may nothing; before the first `user` nothing stands, so that nobody may without a name.

    desk: corrections of the register are in it.
    """
    lines = [f"# {HEAD}", "# A refused message of MQTT 3.1.1 gets its PUBACK all the same: the broker's log says Denied PUBLISH."]
    lines += [DESK] if desk else []
    for account in accounts:
        lines += ["", f"# {account.what}", f"user {account.name}", *(f"topic {rule.access} {rule.topic}" for rule in account.rules)]
    return "\n".join(lines) + "\n"


def password_file(passwords: Mapping[str, str], before: str = "") -> str:
    """Mosquitto's password_file. before: the file as it is; a line of it that fits its password stays, so that nothing changes without need."""
    known = dict(line.split(":", 1) for line in before.splitlines() if ":" in line and not line.startswith("#"))
    return "".join(f"{name}:{_kept(known.get(name, ''), password)}\n" for name, password in sorted(passwords.items()))


def fits(hashed: str, password: str) -> bool:
    """Is this Mosquitto's hash (`$7$turns$salt$hash`) of the password?"""
    try:
        _, number, turns, salt, digest = hashed.split("$")
        made = hashlib.pbkdf2_hmac("sha512", password.encode(), base64.b64decode(salt, validate=True), int(turns), HASH_BYTES)
        return number == "7" and hmac.compare_digest(made, base64.b64decode(digest, validate=True))
    except (ValueError, OverflowError):
        return False


def dynamic_security(found: AccessList, passwords: Mapping[str, str], before: str = "") -> str:
    """The plugin's state file: one client and one role for each account, everything else refused. before: as for `password_file`."""
    known = _salts(before)
    roles, clients = [], []
    for account in found.accounts:
        roles.append({"rolename": account.name, "textname": account.what, "acls": _rights(account)})
        client = known.get(account.name, "")
        hashed = _kept(client, passwords[account.name]).split("$")
        clients.append(
            {
                "username": account.name,
                "textname": account.what,
                "roles": [{"rolename": account.name}],
                "password": hashed[4],
                "salt": hashed[3],
                "iterations": int(hashed[2]),
            }
        )
    default = {"publishClientSend": False, "publishClientReceive": True, "subscribe": False, "unsubscribe": True}
    state = {"defaultACLAccess": default, "clients": clients, "groups": [], "roles": roles}
    return msgspec.json.format(msgspec.json.encode(state), indent=1).decode() + "\n"


def new_password() -> str:
    """160 random bits, in letters and digits that can be typed."""
    return base64.b32encode(secrets.token_bytes(PASSWORD_BYTES)).decode().lower()


def read_passwords(text: str) -> dict[str, str]:
    """Of accounts.secret: a line for each account, name and password with a tab between."""
    found = (line.split("\t") for line in text.splitlines() if line and not line.startswith("#"))
    return {parts[0]: parts[1] for parts in found if len(parts) == 2 and parts[1]}


def passwords_text(passwords: Mapping[str, str], *, desk: bool = False) -> str:
    """What `read_passwords` reads. desk: corrections of the register are in it."""
    head = "# The broker's accounts and their passwords, for whoever sets devices up. Keep this file where nobody else reads it.\n"
    return head + (f"{DESK}\n" if desk else "") + "".join(f"{name}\t{password}\n" for name, password in sorted(passwords.items()))


def _kept(hashed: str, password: str) -> str:
    if hashed and fits(hashed, password):
        return hashed
    salt = secrets.token_bytes(SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, TURNS, HASH_BYTES)
    return f"$7${TURNS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def _rights(account: Account) -> list[dict[str, Any]]:
    """publishClientReceive is allowed to all: what nobody may subscribe to nobody receives."""
    kinds = {"write": "publishClientSend", "read": "subscribePattern"}
    return [{"acltype": kinds[rule.access], "topic": rule.topic, "priority": 0, "allow": True} for rule in account.rules]


def _salts(before: str) -> dict[str, str]:
    """Name → hash as in a password file, of a state that was written before."""
    try:
        clients = msgspec.json.decode(before.encode())["clients"]
        return {one["username"]: f"$7${one['iterations']}${one['salt']}${one['password']}" for one in clients if "password" in one}
    except (msgspec.DecodeError, KeyError, TypeError):
        return {}
