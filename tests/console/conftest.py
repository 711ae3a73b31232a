"""Operators' pages in a real Chromium (synchronous Playwright) before a house in memory."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.console.browser import DEAF, PATIENT, SIZE, Operator, ServedHouse, at_work, chromium_arguments


@pytest.fixture
def served() -> Iterator[ServedHouse]:
    house = ServedHouse()
    yield house
    house.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium a module. Not the plugin's, which lives for the session: while Playwright's loop lives, no other test can run one."""
    arguments = chromium_arguments()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(**arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def operator(browser: Browser, served: ServedHouse) -> Iterator[Operator]:
    """operator(name) opens a page in a browser context of its own and comes on duty, what waits in sight. Errors on any page fail the test."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def come(name: str | None = "李娜", *, before: Callable[[Page], None] = lambda _: None, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": SIZE, **options})
        contexts.append(context)
        context.add_init_script(DEAF)
        context.add_init_script(PATIENT)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith((served.url, "data:")) else faults.append(request.url))
        page.on("console", lambda message: faults.append(message.text) if "Content Security Policy" in message.text else None)
        # Interception begun on an open page can let a request of the same moment past: Chromium tells its renderer later than it tells us.
        page.context.route("**/intercepted-from-the-start", lambda route: route.abort())
        before(page)
        page.goto(served.url)
        if name is not None:
            page.locator("#duty-name").fill(name)
            page.keyboard.press("Enter")
            at_work(page)
        return page

    yield come
    for context in contexts:
        context.close()
    assert not faults
