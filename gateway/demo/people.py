"""Who may log in to the demo's console: one person of every role, all of them invented, all with one password that is no secret."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from gateway import passwords
from gateway.clock import utc_now
from gateway.config import read_config
from gateway.core.account import AccessWrite, Account, AccountRole
from gateway.core.state import Record
from gateway.event import Kind, Phase
from gateway.store.store import Batch, Store

PASSWORD = "seven-lamps-at-dusk"  # printed by the demo, which listens on this machine alone
OPERATOR = "lina"  # whom the simulators play
# login → name, role, areas of Honggu. The first that the reader may be has the whole district.
PEOPLE: Mapping[str, tuple[str, AccountRole, tuple[str, ...]]] = {
    OPERATOR: ("李娜", AccountRole.SUPERVISOR, ()),  # she leads the shift: it is she who says that a station is full
    "wangfang": ("王芳", AccountRole.SUPERVISOR, ()),
    "zhangmin": ("张敏", AccountRole.OPERATOR, ()),
    "liuyang": ("刘洋", AccountRole.OPS, ()),
    "chenjing": ("陈静", AccountRole.ADMIN, ()),
    "zhaolei": ("赵磊", AccountRole.AUDITOR, ()),
    "wall": ("大屏", AccountRole.WALL, ()),
    "citizen": ("虚构社会监督员", AccountRole.CITIZEN, ()),
}
YOURS = ("wangfang", "zhangmin", "liuyang", "chenjing", "zhaolei", "wall", "citizen")


def write_accounts(file: Path, folder: Path) -> Path:
    """Into the store of that configuration, before its gateway starts; gives the file with the password, for the simulated operator."""
    config = read_config(file)
    hash_, now = passwords.hashed(PASSWORD), utc_now()
    accounts = [
        Account(login=login, name=name, role=role, areas=areas, password=hash_, changed_at=now) for login, (name, role, areas) in PEOPLE.items()
    ]
    facts = [{"what": "created", "login": one.login, "name": one.name, "role": one.role, "areas": one.areas, "by": "demo"} for one in accounts]
    records = [Record(kind=Kind.ACCOUNT, phase=Phase.STATE, at=now, facts=msgspec.json.encode(one), actor="demo") for one in facts]
    store = Store(config.store.url, config.data_folder)
    store.open()
    try:
        store.write(Batch(records=records, access=[AccessWrite(accounts=tuple(accounts))]))
    finally:
        store.close()
    password = folder / "operator.password"
    password.touch(0o600)
    password.write_text(PASSWORD, encoding="utf-8")
    return password
