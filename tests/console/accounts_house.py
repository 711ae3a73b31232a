"""A house in memory with invented accounts of every role, for tests over HTTP and in a browser.

    house = with_accounts()                      # FakeHouse, console.accounts = true
    await log_in(client, "lina")                 # an httpx client, logged in; duty=True: and on duty
    page = operator(None); log_in_page(page, "lina")   # a browser page, logged in and on duty

Everybody's password is PASSWORD.  python -m tests.console.accounts_house --port 12349 serves it.
"""

import asyncio
import contextlib
import functools

import httpx
import msgspec
from argon2 import PasswordHasher
from playwright.sync_api import Page, expect

from gateway import passwords
from gateway.accounts import Accounts
from gateway.config import ConsoleConfig
from gateway.core.account import Account, AccountRole
from gateway.core.register import Register
from tests.console import fake_house
from tests.console.browser import at_work
from tests.console.fake_house import CONFIG, FakeHouse

PASSWORD = "seven-lamps-at-dusk"
# login → name, role, areas. Invented, as everybody.
PEOPLE: dict[str, tuple[str, AccountRole, tuple[str, ...]]] = {
    "lina": ("李娜", AccountRole.OPERATOR, ()),
    "zhaomin": ("赵敏", AccountRole.OPERATOR, ("haishiwan",)),
    "wangqiang": ("王强", AccountRole.OPERATOR, ("pingan",)),
    "sunli": ("孙丽", AccountRole.SUPERVISOR, ()),
    "zhoujie": ("周洁", AccountRole.SUPERVISOR, ("pingan",)),
    "hefan": ("何帆", AccountRole.OPS, ()),
    "admin": ("管理员", AccountRole.ADMIN, ()),
    "gaoyan": ("高岩", AccountRole.AUDITOR, ()),
    "wall": ("大屏", AccountRole.WALL, ()),
    "citizen": ("社会监督员", AccountRole.CITIZEN, ()),
}
BY_ROLE = {role: next(login for login, (_, its, _) in PEOPLE.items() if its is role) for role in AccountRole if role is not AccountRole.LOCAL}


REAL_HASHER, REAL_NOBODY = passwords._hasher, passwords.NOBODY
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@functools.cache
def hash_of(password: str) -> str:
    """With cheap parameters: dozens of tests log in hundreds of times, a real one takes 60 ms and 64 MiB."""
    return CHEAP.hash(password)


def invented_accounts() -> list[Account]:
    """One of every role and some of areas; all with PASSWORD."""
    return [Account(login=login, name=name, role=role, areas=areas, password=hash_of(PASSWORD)) for login, (name, role, areas) in PEOPLE.items()]


def with_accounts(register: Register | None = None, *, console: ConsoleConfig | None = None, **more: object) -> FakeHouse:
    """A FakeHouse where people log in. `more`: fields of its Config otherwise."""
    passwords._hasher, passwords.NOBODY = CHEAP, hash_of("nobody has this")
    console = console or ConsoleConfig(idle_lock_s=0)
    house = FakeHouse(register, msgspec.structs.replace(CONFIG, console=console, **more))
    house.accounts = Accounts(invented_accounts())
    return house


async def log_in(client: httpx.AsyncClient, login: str, password: str = PASSWORD, *, duty: bool = True) -> dict:
    """Log in and (duty) come on duty; the client then sends its CSRF token by itself. Gives the session's view."""
    client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
    reply = await client.post("/api/v1/login", json={"login": login, "password": password})
    assert reply.status_code == 200, reply.text
    client.headers["X-CSRF"] = reply.json()["csrf"]
    if duty:
        reply = await client.post("/api/v1/duty", json={"name": reply.json()["account"]["name"]})
        assert reply.status_code == 200, reply.text
    return reply.json()


def log_in_page(page: Page, login: str, password: str = PASSWORD, *, duty: bool = True, wait: bool = True) -> None:
    """In a browser: log in, and (duty, for those who have a desk) the click that begins the duty. wait=False: it will not be let in."""
    page.locator("#login").fill(login)
    page.locator("#password").fill(password)
    page.keyboard.press("Enter")
    if not wait:
        return
    expect(page.locator("#login")).to_have_count(0)
    if duty and page.locator("#duty-start").count():
        page.locator("#duty-start").click()
        at_work(page)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(fake_house.main(with_accounts()))
