"""A whole gateway where people log in, over TLS: accounts before the first start and while it runs, and a restart under a page that is open."""

import contextlib
import datetime
import io
import os
import ssl
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from certificates import self_signed
from house import House
from playwright.async_api import async_playwright, expect
from waiting import BEFORE_THE_SERVER

from gateway.cli import main
from tests.console.accounts_house import PASSWORD
from tests.console.browser import DEAF, SIZE, chromium_arguments

DAY = datetime.timedelta(days=1)


class Said(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


class SafeHouse(House):
    """The same house with accounts and TLS."""

    def write_config(self) -> None:
        super().write_config()
        cert, key = self_signed(self.folder, "console")
        keys = f'accounts = true\ntls_certificate = "{cert.name}"\ntls_key = "{key.name}"\nidle_lock_s = 0'
        plain = self.config.read_text()
        self.config.write_text(plain.replace("accounts = false", keys).replace("https://", ""))
        self.console = self.console.replace("http://", "https://")
        self.trust = ssl.create_default_context(cafile=cert)

    async def __aenter__(self) -> "SafeHouse":
        await super().__aenter__()
        assert self._http is not None
        await self._http.aclose()
        self._http = self.client()
        return self

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.console, timeout=30, trust_env=False, verify=self.trust, limits=BEFORE_THE_SERVER)

    def account(self, *arguments: str, typed: str = "") -> Said:
        """`gateway account …`, in this process: a new interpreter for each of them would take a minute."""
        before, sys.stdin = sys.stdin, io.StringIO(typed)
        out, err = io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main(["account", *arguments, "--config", str(self.config)])
        finally:
            sys.stdin = before
        return Said(code, out.getvalue(), err.getvalue())

    @property
    def token(self) -> Path:
        return self.folder / self.setting.data / "console.token"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[SafeHouse]:
    async with SafeHouse(tmp_path) as house:
        yield house


async def log_in(client: httpx.AsyncClient, login: str, password: str = PASSWORD) -> httpx.Response:
    client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
    reply = await client.post("/api/v1/login", json={"login": login, "password": password})
    client.headers["X-CSRF"] = reply.json().get("csrf", "")
    return reply


async def test_the_first_account_and_those_after_it(house: SafeHouse) -> None:
    said = house.account("add", "admin", "--name", "管理员", "--role", "admin", "--own", typed="short\n")
    assert (said.returncode, said.stderr) == (1, "gateway: the password needs at least 10 characters\n")
    said = house.account("add", "admin", "--name", "管理员", "--role", "admin", "--own", typed=f"{PASSWORD}\n")
    assert (said.returncode, said.stdout) == (0, "admin (管理员, admin, everywhere): may log in\n"), said.stderr
    assert PASSWORD not in said.stdout + said.stderr
    house.start()
    await house.ready()
    first = house.token.read_text()
    assert stat.S_IMODE(os.stat(house.token).st_mode) == 0o600  # noqa: PTH116
    async with house.client() as client:
        assert (await log_in(client, "admin")).status_code == 200
    said = house.account("add", "lina", "--name", "李娜", "--role", "operator", "--area", "chaos", "--own", typed=f"{PASSWORD}\n")
    assert said.returncode == 0, said.stderr
    for arguments, words in (
        (("add", "lina", "--name", "李娜二", "--role", "operator"), "the login lina is taken"),
        (("add", "other", "--name", "李娜", "--role", "operator"), "the name is that of lina"),
        (("add", "other", "--name", "别人", "--role", "operator", "--area", "nowhere"), "there is no area 'nowhere'"),
        (("disable", "nobody"), "there is no such account"),
        (("role", "admin", "ops"), "this is the last admin"),
    ):
        said = house.account(*arguments, typed=f"{PASSWORD}\n")
        assert said.returncode == 1
        assert words in said.stderr
        assert "Traceback" not in said.stderr
    assert house.account("areas", "lina").returncode == 0
    assert house.account("role", "lina", "supervisor").returncode == 0
    assert house.account("unlock", "lina").returncode == 0
    assert house.account("password", "lina", typed="another-good-password\n").returncode == 0
    assert house.account("disable", "lina").returncode == 0
    listed = house.account("list").stdout.splitlines()
    assert [line.split() for line in listed] == [
        ["login", "name", "role", "areas", "state"],
        ["admin", "管理员", "admin", "everywhere", "-"],
        ["lina", "李娜", "supervisor", "everywhere", "disabled,", "first", "password"],
    ]
    assert house.run("purge").returncode == 0, "the other commands find in, too"
    assert await house.stop() == 0
    assert house.account("list").stdout.splitlines() == listed, "the same without a gateway that runs"
    assert house.account("enable", "lina").returncode == 0
    house.start()
    await house.ready()
    assert house.token.read_text() != first, "a new one at each start"
    async with house.client() as client:
        assert (await log_in(client, "lina", "another-good-password")).json()["must_change"] is True
    everything = b"".join(file.read_bytes() for file in (house.folder / house.setting.data).iterdir() if file.suffix != ".token")
    assert b"argon2id" in everything, "the hash is on disk"
    assert PASSWORD.encode() not in everything
    journal = str(house.journal())
    assert "argon2" not in journal
    assert [what for what in ("created", "changed", "password_reset", "disabled", "enabled") if f'"what":"{what}"' not in journal] == []
    assert house.run("journal", "verify").returncode == 0
    assert PASSWORD not in house.log.read_text()


async def test_a_restart_under_a_page_that_is_open(house: SafeHouse) -> None:
    house.account("add", "lina", "--name", "李娜", "--role", "operator", "--own", typed=f"{PASSWORD}\n")
    house.start()
    await house.ready()
    async with async_playwright() as playwright, contextlib.AsyncExitStack() as stack:
        chromium = await playwright.chromium.launch(**chromium_arguments())
        stack.push_async_callback(chromium.close)
        context = await chromium.new_context(viewport=SIZE, ignore_https_errors=True)
        await context.add_init_script(DEAF)
        page = await context.new_page()
        await page.goto(house.console)
        assert await page.evaluate("location.protocol") == "https:"
        await page.locator("#login").fill("lina")
        await page.locator("#password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await page.locator("#duty-start").click()
        await expect(page.locator(".link.live")).to_be_visible()
        (cookie,) = await context.cookies()
        assert (cookie["name"], cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == ("__Host-session", True, True, "Strict")
        for end in (house.stop, house.kill):
            done = end()
            if done is not None:
                await done
            await expect(page.locator(".link.live")).to_have_count(0)
            house.start()
            await house.ready()
            await expect(page.locator(".link.live")).to_be_visible(timeout=30_000)
            await expect(page.locator(".bar .me")).to_have_text("李娜")
            assert await page.locator("#login, #duty-start").count() == 0
        lines = (await page.evaluate("fetch('/api/v1/session').then((answer) => answer.json())"))["name"]
        assert lines == "李娜", "on duty as before, though nobody said so again"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda cert, key: cert.unlink(), "console.tls_certificate: "),
        (lambda cert, key: key.write_bytes(b"x"), "console.tls_certificate: cannot be used with tls_key"),
        (lambda cert, key: self_signed(key.parent, "other") and key.write_bytes((key.parent / "other.key").read_bytes()), "cannot be used with"),
    ],
)
async def test_check_names_what_is_wrong_with_the_certificate(house: SafeHouse, spoil: object, words: str) -> None:
    assert house.run("check").returncode == 0
    spoil(house.folder / "console.pem", house.folder / "console.key")  # type: ignore[operator]
    said = house.run("check")
    assert said.returncode == 1
    assert words in said.stdout


async def test_check_warns_of_one_that_ends(house: SafeHouse) -> None:
    cert, _ = self_signed(house.folder, "console", days=-1)
    said = house.run("check", "--lang", "en")
    assert said.returncode == 0, "alarms are seen all the same"
    assert "console.tls_certificate has expired on" in said.stdout
    assert cert.name in said.stdout
