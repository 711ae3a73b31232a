"""The register's page: found, opened for a reason, corrected by the keyboard; conflicts and a file looked at before it is taken."""

import pytest
from playwright.sync_api import Page, expect

from tests.console.browser import Operator, ServedHouse
from tests.console.test_browser_page import violations

LANGUAGES = ("zh-CN", "en")
TABS = ("find", "responders", "providers", "agreements", "loans", "conflicts", "quality", "facets", "import")


def comes(operator: Operator, served: ServedHouse, language: str = "zh-CN") -> Page:
    served.call(lambda: served.house.corrections)  # its files are written before anybody looks
    page: Page = operator(before=lambda page: page.add_init_script(f"localStorage.setItem('language', '{language}')"))
    page.keyboard.press("g")
    page.keyboard.press("e")
    expect(page.locator(".register-find input")).to_be_focused()
    return page


def finds(page: Page, wanted: str = "p001") -> None:
    page.locator(".register-find input").fill(wanted)
    page.keyboard.press("Enter")
    expect(page.locator(".register-fields")).to_be_visible()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_number_is_corrected_by_the_keyboard(served: ServedHouse, operator: Operator, language: str) -> None:
    page, person = comes(operator, served, language), served.house.register.persons["p001"]
    finds(page)
    record = page.locator(".register-record")
    expect(record).not_to_contain_text(person.name)
    assert person.phones[0][3:] not in page.content()
    assert violations(page) == []
    record.locator(".filters button").nth(1).press("Enter")  # correct: it is opened for a reason first
    page.keyboard.type("call back")
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.register-edit")).to_be_visible()
    expect(record).to_contain_text(person.name)
    assert violations(page) == []
    page.locator("#cell-phones").fill("12")
    page.locator("form.register-edit textarea[name=reason]").fill("the caller said so")
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.register-edit .error")).to_be_visible()
    page.locator("#cell-phones").fill("17400000077")
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.register-edit")).to_have_count(0)
    expect(record.locator(".register-fields .said")).to_contain_text("李娜")
    assert served.house.register.persons["p001"].phones == ("+8617400000077",)
    expect(record.locator(".register-history summary")).to_contain_text("1")
    assert violations(page) == []


def test_contacts_change_places_and_a_draft_can_be_left(served: ServedHouse, operator: Operator) -> None:
    page = comes(operator, served)
    finds(page)
    before = [one.name for one in served.house.register.persons["p001"].contacts]
    page.locator(".register-record section button").first.click()
    page.keyboard.type("核对")
    page.keyboard.press("Control+Enter")
    rows = page.locator(".rows-editor li")
    expect(rows).to_have_count(2)
    page.keyboard.press("Escape")
    expect(rows).to_have_count(0)
    page.locator(".register-record section button").first.click()
    rows.nth(1).locator("button").first.press("Enter")
    page.locator("form.register-edit textarea[name=reason]").fill("先打邻居")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".contacts-order li").first).to_contain_text(before[1])
    assert [one.name for one in served.house.register.persons["p001"].contacts] == before[::-1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_tab_is_clean_and_nothing_is_cut_off(served: ServedHouse, operator: Operator, language: str) -> None:
    page = comes(operator, served, language)
    for number, name in enumerate(TABS):
        page.locator(".desk-tabs button").nth(number).click()
        expect(page.locator(".desk-tabs button").nth(number)).to_have_attribute("aria-pressed", "true")
        if name in ("quality", "facets", "conflicts"):
            expect(page.locator(".ops-body p.quiet").first).to_be_visible()
        assert violations(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    page.locator(".desk-tabs button").nth(1).click()
    page.locator(".register-rows button").nth(2).click()
    expect(page.locator(".register-fields")).to_be_visible()
    assert violations(page) == []


def test_a_file_is_looked_at_taken_and_its_contradiction_decided(served: ServedHouse, operator: Operator) -> None:
    page = comes(operator, served)
    finds(page)
    page.locator(".register-record .filters button").nth(1).click()
    page.keyboard.type("核对")
    page.keyboard.press("Control+Enter")
    page.locator("#cell-phones").fill("17400000077")
    page.locator("form.register-edit textarea[name=reason]").fill("本人来电")
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.register-edit")).to_have_count(0)
    file = (served.house.corrections._folder() / "persons.csv").read_text(encoding="utf-8").replace("+8619900000001", "+8617400555001")
    page.locator(".desk-tabs button").nth(TABS.index("import")).click()
    page.locator("input[type=file]").set_input_files({"name": "new.csv", "mimeType": "text/csv", "buffer": file.encode()})
    expect(page.locator(".counts")).to_be_visible()
    expect(page.locator(".change")).to_contain_text("174****5001")
    assert violations(page) == []
    assert served.house.register.persons["p001"].phones == ("+8617400000077",)
    page.locator("button.primary", has_text="导入此文件").click()
    page.keyboard.type("月度名册")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".counts")).to_have_count(0)
    assert served.house.register.persons["p001"].phones == ("+8617400555001",)  # nobody logs in here: a caller's word gives way to the district's
    page.locator(".desk-tabs button").nth(TABS.index("conflicts")).click()
    page.locator(".register-conflicts td button.small").first.click()
    assert violations(page) == []
    page.keyboard.type("再次核实")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".register-conflicts")).to_have_count(0)
    assert served.house.register.persons["p001"].phones == ("+8617400000077",)
