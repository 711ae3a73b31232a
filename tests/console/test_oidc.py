"""Logging in at an OpenID provider: a real one in a process of its own, and what a forged return gets."""

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry
from servers import free_port

from gateway.config import ConsoleConfig
from gateway.config.oidc import OidcConfig
from gateway.console.http import make_app
from gateway.console.oidc import BEGUN_S, Identity, OpenId
from gateway.console.oidc_routes import OidcRoutes
from gateway.errors import Refused
from gateway.event import Kind
from tests.console.accounts_house import with_accounts
from tests.console.fake_house import STATIC, FakeHouse

SUBJECT = "u-4711"


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """The address of an OpenID provider that knows one person."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port), "--user", SUBJECT]
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    address = f"http://localhost:{port}"
    try:
        with httpx.Client(trust_env=False) as client:
            for _ in range(400):
                try:
                    client.get(f"{address}/.well-known/openid-configuration").raise_for_status()
                    break
                except httpx.HTTPError:
                    assert process.poll() is None, "the OpenID provider ended by itself"
                    time.sleep(0.05)  # between two looks at a process that is starting
            told = client.put(f"{address}/users/{SUBJECT}", json={"preferred_username": "lina", "name": "李娜"})
            assert told.status_code == 204, told.text
        yield address
    finally:
        process.terminate()
        process.wait(10)


def our_side(provider: str, tmp_path: Path, **more: object) -> OpenId:
    (tmp_path / "client.secret").write_text("an invented secret of a client\n")
    config = OidcConfig(
        issuer=provider, client_id="gateway", client_secret_file="client.secret", callback="https://12349.example", login_claim="preferred_username"
    )
    return OpenId(msgspec.structs.replace(config, **more), tmp_path)


async def consents(where: str, subject: str = SUBJECT) -> tuple[str, str]:
    """What the person does at the provider's page; gives state and code of the way back."""
    async with httpx.AsyncClient(trust_env=False) as browser:
        answer = await browser.post(where, data={"sub": subject})
    assert answer.status_code == 302, answer.text
    back = urlsplit(answer.headers["location"])
    assert (back.scheme, back.netloc, back.path) == ("https", "12349.example", "/api/v1/oidc/return")
    query = parse_qs(back.query)
    return query["state"][0], query["code"][0]


async def test_the_whole_way(provider: str, tmp_path: Path) -> None:
    ours = our_side(provider, tmp_path)
    where, browser = await ours.begin()
    query = parse_qs(urlsplit(where).query)
    assert query["code_challenge_method"] == ["S256"]
    assert query["client_id"] == ["gateway"]
    state, code = await consents(where)
    identity = await ours.end(state, code, browser)
    assert (identity.external, identity.login) == (f"{provider}#{SUBJECT}", "lina")


async def refused(ours: OpenId, state: str, code: str, browser: str) -> str:
    with pytest.raises(Refused) as told:
        await ours.end(state, code, browser)
    return told.value.reason


async def test_a_return_counts_once_and_in_the_browser_that_began_it(provider: str, tmp_path: Path) -> None:
    ours = our_side(provider, tmp_path)
    where, browser = await ours.begin()
    state, code = await consents(where)
    assert await refused(ours, state, code, "another browser") == "oidc_stale"
    assert await refused(ours, state, code, browser) == "oidc_stale"  # and by that it is used up
    assert await refused(ours, "never begun", code, browser) == "oidc_stale"


async def test_who_takes_too_long_begins_again(provider: str, tmp_path: Path) -> None:
    now = [0.0]
    ours = OpenId(our_side(provider, tmp_path)._config, tmp_path, lambda: now[0])
    where, browser = await ours.begin()
    state, code = await consents(where)
    now[0] = BEGUN_S + 1
    assert await refused(ours, state, code, browser) == "oidc_stale"


async def test_a_code_of_another_log_in_is_worth_nothing(provider: str, tmp_path: Path) -> None:
    """Somebody slips in the code of his own log-in: it was made for another nonce and another verifier."""
    ours = our_side(provider, tmp_path)
    mine, my_browser = await ours.begin()
    his, _ = await ours.begin()
    my_state, _ = await consents(mine)
    _, his_code = await consents(his)
    assert await refused(ours, my_state, his_code, my_browser) == "oidc_refused"


async def test_a_code_is_worth_nothing_twice(provider: str, tmp_path: Path) -> None:
    ours = our_side(provider, tmp_path)
    where, browser = await ours.begin()
    state, code = await consents(where)
    await ours.end(state, code, browser)
    again, browser_again = await ours.begin()
    state_again, _ = await consents(again)
    assert await refused(ours, state_again, code, browser_again) == "oidc_refused"


async def test_a_provider_that_is_away_or_calls_itself_otherwise(provider: str, tmp_path: Path) -> None:
    for issuer in (f"http://localhost:{free_port()}", f"{provider}/"):
        with pytest.raises(Refused) as told:
            await our_side(provider, tmp_path, issuer=issuer).begin()
        assert (told.value.reason, told.value.status) == ("no_provider", 503)


@pytest.fixture(params=[""])
async def browser(provider: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody before the log-in page of a house that has this provider."""
    (tmp_path / "client.secret").write_text("an invented secret of a client\n")
    config = OidcConfig(
        issuer=provider,
        client_id="gateway",
        client_secret_file="client.secret",
        callback="https://12349.example",
        name="政务认证",
        login_claim=request.param,
    )
    house = with_accounts(oidc=config, path=str(tmp_path / "gateway.toml"), console=ConsoleConfig(names=("12349.example",)))
    app = make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://12349.example") as client:
        client.house, client.console = house, app.state.console  # type: ignore[attr-defined]
        yield client


async def comes_back(browser: httpx.AsyncClient) -> httpx.Response:
    where = (await browser.get("/api/v1/oidc/start")).headers["location"]
    state, code = await consents(where)
    return await browser.get("/api/v1/oidc/return", params={"state": state, "code": code})


def connect(house: FakeHouse, login: str, external: str) -> None:
    house.accounts.take([msgspec.structs.replace(house.accounts.known(login), external=external)])


async def test_a_connected_account_is_logged_in(browser: httpx.AsyncClient, provider: str) -> None:
    house: FakeHouse = browser.house  # type: ignore[attr-defined]
    connect(house, "lina", f"{provider}#{SUBJECT}")
    before = (await browser.get("/api/v1/session")).json()
    assert (before["oidc"], before["log_in"]) == ("政务认证", True)
    cookie = browser.cookies["__Host-session"]
    answer = await comes_back(browser)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert browser.cookies["__Host-session"] != cookie  # a new token: nobody waits with the old one
    assert (await browser.get("/api/v1/session")).json()["account"]["login"] == "lina"
    facts = next(facts for kind, _, facts in house.notes if kind is Kind.ACCESS)
    assert (facts["what"], facts["way"], facts["result"]) == ("log_in", "oidc", "ok")


async def test_an_identity_that_nobody_connected_is_refused_and_kept_for_the_administrator(browser: httpx.AsyncClient, provider: str) -> None:
    house: FakeHouse = browser.house  # type: ignore[attr-defined]
    answer = await comes_back(browser)
    assert answer.headers["location"] == "/#log-in=oidc_unknown"
    assert (await browser.get("/api/v1/changes")).status_code == 401
    facts = next(facts for kind, _, facts in house.notes if kind is Kind.ACCESS)
    assert (facts["external"], facts["reason"]) == (f"{provider}#{SUBJECT}", "oidc_unknown")


@pytest.mark.parametrize("browser", ["preferred_username"], indirect=True)
async def test_an_account_found_by_its_login_is_connected_from_then_on(browser: httpx.AsyncClient, provider: str) -> None:
    house: FakeHouse = browser.house  # type: ignore[attr-defined]
    routes = OidcRoutes(house, browser.console.access, browser.console.sessions)  # type: ignore[attr-defined]
    assert (await comes_back(browser)).headers["location"] == "/"
    assert house.accounts.known("lina").external == f"{provider}#{SUBJECT}"
    with pytest.raises(Refused, match="oidc_unknown"):
        await routes._account(Identity(f"{provider}#another", "lina"), "192.0.2.7")


async def test_a_disabled_account_stays_outside(browser: httpx.AsyncClient, provider: str) -> None:
    house: FakeHouse = browser.house  # type: ignore[attr-defined]
    connect(house, "lina", f"{provider}#{SUBJECT}")
    house.accounts.take([msgspec.structs.replace(house.accounts.known("lina"), disabled=True)])
    assert (await comes_back(browser)).headers["location"] == "/#log-in=oidc_unknown"


async def test_a_link_of_somebody_else_logs_nobody_in(browser: httpx.AsyncClient, provider: str) -> None:
    """Log-in CSRF: the way back of the attacker's log-in, opened in the victim's browser."""
    connect(browser.house, "lina", f"{provider}#{SUBJECT}")  # type: ignore[attr-defined]
    where = (await browser.get("/api/v1/oidc/start")).headers["location"]
    state, code = await consents(where)
    browser.cookies.delete("oidc")
    answer = await browser.get("/api/v1/oidc/return", params={"state": state, "code": code})
    assert answer.headers["location"] == "/#log-in=oidc_stale"


async def test_who_says_no_at_the_provider_is_told_so(browser: httpx.AsyncClient) -> None:
    await browser.get("/api/v1/oidc/start")
    answer = await browser.get("/api/v1/oidc/return", params={"state": "x", "error": "access_denied"})
    assert answer.headers["location"] == "/#log-in=oidc_refused"
