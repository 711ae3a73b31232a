"""The administrator's page: a new account, its one-time password, another role, and switched off, in a real browser."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from gateway.core.account import AccountRole
from tests.console.accounts_house import log_in_page, with_accounts
from tests.console.browser import ServedHouse
from tests.console.test_browser_access import LANGUAGES, speak
from tests.console.test_browser_page import violations

Operator = Callable[..., Page]


@pytest.fixture
def served() -> Iterator[ServedHouse]:
    house = ServedHouse(with_accounts())
    yield house
    house.stop()


def admin(operator: Operator) -> Page:
    page = operator(None)
    log_in_page(page, "admin")
    expect(page.locator(".accounts-list")).to_be_visible()
    return page


def chooses(page: Page, name: str) -> None:
    page.locator(".accounts-list").get_by_role("button", name=name, exact=True).click()
    expect(page.locator(".accounts-one h3").first).to_contain_text(name)


def test_a_new_account_logs_in_with_its_one_time_password_and_must_change_it(served: ServedHouse, operator: Operator) -> None:
    page = admin(operator)
    page.get_by_role("button", name="新建账号").click()
    page.locator("[name=account_login]").fill("xinlai")
    page.locator("[name=account_name]").fill("新来的")
    page.get_by_label("平安镇").check()
    page.keyboard.press("Enter")
    told = page.locator(".one-time code")
    expect(told).to_be_visible()
    password = told.inner_text()
    account = served.house.accounts.known("xinlai")
    assert (account.role, account.areas, account.must_change) == (AccountRole.OPERATOR, ("pingan",), True)
    chooses(page, "李娜")
    expect(told).to_have_count(0)  # shown once
    newcomer = operator(None)
    log_in_page(newcomer, "xinlai", password, duty=False)
    expect(newcomer.locator("#new")).to_be_visible()


def test_who_is_switched_off_is_out_at_once(served: ServedHouse, operator: Operator) -> None:
    desk = operator(None)
    log_in_page(desk, "lina")
    page = admin(operator)
    chooses(page, "李娜")
    expect(page.locator(".accounts-sessions li")).to_have_count(1)
    page.get_by_role("button", name="停用").click()
    expect(page.locator(".accounts-list tr.off")).to_have_count(1)
    expect(desk.locator("#login")).to_be_visible(timeout=15_000)


def test_an_answer_about_another_account_is_not_shown_with_this_one(served: ServedHouse, operator: Operator) -> None:
    log_in_page(operator(None), "lina")
    page = admin(operator)
    held: list[Route] = []
    page.route("**/api/v1/accounts/sessions", lambda route: held.append(route))
    with page.expect_request("**/api/v1/accounts/sessions"):
        chooses(page, "李娜")
    chooses(page, "赵敏")
    with page.expect_response("**/api/v1/accounts/sessions"):
        held[0].continue_()
    page.evaluate("() => new Promise(requestAnimationFrame)")
    expect(page.locator(".accounts-sessions li")).to_have_count(0)


def test_the_last_administrator_stays(served: ServedHouse, operator: Operator) -> None:
    page = admin(operator)
    chooses(page, "管理员")
    page.get_by_role("button", name="停用").click()
    expect(page.locator(".accounts-one .error")).to_be_visible()
    assert not served.house.accounts.known("admin").disabled


@pytest.mark.parametrize("language", LANGUAGES)
def test_everybody_can_read_it(served: ServedHouse, operator: Operator, language: str) -> None:
    page = admin(operator)
    speak(page, language)
    chooses(page, "赵敏")
    assert violations(page) == []
    page.set_viewport_size({"width": 1366, "height": 768})
    assert page.locator(".ops-body").evaluate("one => one.scrollWidth <= one.clientWidth")
