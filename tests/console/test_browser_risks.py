"""The page of risk warnings: whom they are about and what to do, for whom; somebody has seen to one; clean for axe in both languages and sizes."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.console.accounts_house import log_in_page, with_accounts
from tests.console.browser import ServedHouse
from tests.console.looks import EVERY, Look, faults, turn
from tests.console.screen_houses import WARNINGS, risks


@pytest.fixture
def served() -> Iterator[ServedHouse]:
    house = with_accounts()
    served = ServedHouse(house)
    served.do(risks(house))
    yield served
    served.stop()


def opened(browser: Browser, served: ServedHouse, login: str) -> Page:
    page = browser.new_page(viewport={"width": 1366, "height": 768}, reduced_motion="reduce")
    page.goto(served.url)
    log_in_page(page, login)
    page.locator(".link.live").first.wait_for()
    page.keyboard.press("g")
    page.keyboard.press("k")
    page.locator(".risk-rule tbody tr").first.wait_for()
    return page


def test_a_supervisor_sees_what_stands_and_says_what_was_done(browser: Browser, served: ServedHouse) -> None:
    page = opened(browser, served, "sunli")
    expect(page.locator(".risk-rule")).to_have_count(len({rule for rule, *_ in WARNINGS}))
    faller = page.locator(".risk-rule", has_text="反复跌倒")
    expect(faller).to_contain_text("7 天内跌倒 3 次，30 天内 4 次")
    expect(faller).to_contain_text("上门探访")
    expect(faller.locator("tbody tr")).to_have_count(1)  # the other one was seen to
    faller.locator("button").click()
    page.locator("form.risk textarea").fill("周二家庭医生上门")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".risk-rule", has_text="反复跌倒")).to_have_count(0)
    page.locator(".desk-tabs button").nth(1).click()
    expect(page.locator(".risk-rule", has_text="反复跌倒").locator("tbody tr").first).to_contain_text("孙丽")
    expect(page.locator(".risk-rule", has_text="反复跌倒")).to_contain_text("周二家庭医生上门")
    assert served.house.standings["risk_seen:repeat_faller:p003"].actor == "孙丽"
    page.close()


def test_a_technician_sees_machines_and_nobody(browser: Browser, served: ServedHouse) -> None:
    page = opened(browser, served, "hefan")
    found = page.locator(".ops.risks").inner_text()
    assert "wearables" in found
    assert not [word for word in ("p003", "p020", "p008", "驿站", "反复跌倒") if word in found]
    page.close()


def test_nothing_is_cut_and_axe_is_clean(browser: Browser, served: ServedHouse) -> None:
    page = opened(browser, served, "sunli")
    wrong = []
    for number, look in enumerate(EVERY):
        turn(page, look)
        wrong += [f"{look}: {one}" for one in faults(page, axe=number % 2 == 0)]
    turn(page, Look())
    assert wrong == []
    page.close()
