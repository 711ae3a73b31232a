"""Dialling at the page, by keyboard, in a real browser: what rings, what came of it, and no number anywhere."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from waiting import WAIT_S

from drivers.telephone import Dial
from gateway.event import Kind
from tests.console.browser import Operator, ServedHouse
from tests.console.fake_exchange import Pbx, dialling_house


class Served:
    """A served house with a telephone."""

    def __init__(self, served: ServedHouse) -> None:
        self.pbx = Pbx()
        self.served = served
        served.stop()
        served.start(dialling_house(self.pbx))

    def rings(self, page: Page, count: int = 1) -> Dial:
        """Wait until so many have been dialled; the newest."""
        for _ in range(int(WAIT_S / 0.02)):
            dials = [wish for wish in self.served.call(lambda: list(self.pbx.wishes)) if isinstance(wish, Dial)]
            if len(dials) >= count:
                return dials[-1]
            page.wait_for_timeout(20)
        raise AssertionError("nothing was dialled")

    def ends(self, outcome: str) -> None:
        self.served.call(self.pbx.ends, outcome)


@pytest.fixture
def telephone(served: ServedHouse) -> Served:
    return Served(served)


def at_desk(extension: str = "8001") -> Callable[[Page], None]:
    """On duty with this telephone at hand: the browser remembers it."""
    return lambda page: page.add_init_script(f"localStorage.setItem('duty.extension', '{extension}')")


def take_first(page: Page) -> None:
    expect(page.locator(".grid-row[data-id]")).to_have_count(1)
    page.keyboard.press("F2")


def test_dialling_by_keyboard_and_what_came_of_it(telephone: Served, operator: Operator) -> None:
    page = operator("李娜", before=at_desk())
    telephone.served.do(telephone.served.house.cries(3))
    take_first(page)
    dials = page.locator(".dials li")
    expect(dials).to_have_count(5)
    expect(dials.nth(0)).to_contain_text("本人")
    expect(dials.nth(0)).to_contain_text("199****0003")
    expect(dials.nth(2)).to_contain_text("女儿 王小红")

    page.keyboard.press("3")
    wish = telephone.rings(page)
    assert (wish.agent, wish.number) == ("8001", "19800000003")
    expect(dials.nth(2).locator(".dial-state")).to_have_text("振铃中…")
    expect(dials.nth(2).locator(".dial")).to_be_disabled()
    page.keyboard.press("1")  # the desk's telephone is ringing: one call at a time
    expect(page.locator("body")).to_contain_text("您的话机正在呼叫")
    telephone.ends("busy")
    expect(dials.nth(2).locator(".dial-state")).to_have_text("占线")
    expect(page.locator(".timeline li.kind-dial").first).to_contain_text("女儿 王小红")
    expect(page.locator(".timeline li.kind-dial").first).to_contain_text("占线")

    page.keyboard.press("1")
    telephone.rings(page, 2)
    telephone.ends("done")
    expect(dials.nth(0).locator(".dial-state")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d 接通$"))  # when: whether they still talk nobody tells us
    page.keyboard.press("0")
    expect(page.locator("body")).to_contain_text("通话已结束")
    expect(page.locator(".hang-up")).to_have_count(0)  # the exchange knows no such call any more
    expect(dials.nth(0).locator(".dial-state")).to_contain_text("接通")
    if "SCREENSHOTS" in os.environ:
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / "dial.png")
    assert not re.search("1(99|98)00000003|174000000(99|77)", page.content())


def test_axe_is_clean_while_somebody_is_rung(telephone: Served, operator: Operator) -> None:
    page = operator("李娜", before=at_desk())
    telephone.served.do(telephone.served.house.calls_in("+8617400000055", Kind.CALL_ABANDONED))
    take_first(page)
    expect(page.locator(".dials li")).to_have_count(1)
    for outcome in ("no_answer", "done"):
        page.keyboard.press("1")
        expect(page.locator(".dial-state")).to_have_class(re.compile("ringing"))
        telephone.rings(page)
        assert axe_faults(page) == []
        telephone.ends(outcome)
        expect(page.locator(".dial-state")).to_have_class(re.compile(outcome))
        assert axe_faults(page) == []


def axe_faults(page: Page) -> list[str]:
    page.evaluate((Path(__file__).with_name("axe") / "axe.min.js").read_text())
    found = page.evaluate("axe.run('.dials', {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']})")
    return [f"{fault['id']}: {node['html']}" for fault in found["violations"] for node in fault["nodes"]]


def test_hanging_up_while_it_rings(telephone: Served, operator: Operator) -> None:
    page = operator("李娜", before=at_desk())
    telephone.served.do(telephone.served.house.cries(3))
    take_first(page)
    expect(page.locator(".dials li")).to_have_count(5)
    page.keyboard.press("2")
    wish = telephone.rings(page)
    assert wish.number == "17400000099"  # operator and device are connected
    expect(page.locator(".dials li").nth(1).locator(".hang-up")).to_be_visible()
    page.keyboard.press("0")
    expect(page.locator(".dials li").nth(1).locator(".dial-state")).to_have_text("已挂断")
    expect(page.locator(".timeline li.kind-hang_up").first).to_contain_text("已执行")
    expect(page.locator(".hang-up")).to_have_count(0)


def test_a_reached_caller_is_called_back_with_one_key_more(telephone: Served, operator: Operator) -> None:
    page = operator("李娜", before=at_desk())
    telephone.served.do(telephone.served.house.calls_in("+8617400000055", Kind.CALL_ABANDONED))
    take_first(page)
    expect(page.locator(".dials li")).to_have_count(1)
    expect(page.locator(".called-back")).to_have_count(0)
    page.keyboard.press("1")
    telephone.rings(page)
    telephone.ends("done")
    expect(page.locator(".called-back")).to_contain_text("已回拨")
    incident = next(iter(telephone.served.house.incidents.values())).id
    assert "call_due" in telephone.served.house.incidents[incident].flags  # nothing was closed silently
    page.keyboard.press("v")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".called-back")).to_have_count(0)
    expect(page.locator(".incident-head")).not_to_contain_text("待回拨")
    assert "call_due" not in telephone.served.house.incidents[incident].flags


def test_somebody_elses_incident_offers_no_dialling(telephone: Served, operator: Operator) -> None:
    mine, other = operator("李娜", before=at_desk()), operator("赵敏", before=at_desk("8002"))
    incident = telephone.served.do(telephone.served.house.cries(3))
    take_first(mine)
    expect(mine.locator(".dials li")).to_have_count(5)
    other.locator(f"#row-{incident.id}").click()
    other.keyboard.press("Enter")
    expect(other.locator(".incident-head")).to_contain_text("李娜")
    expect(other.locator(".timeline li").first).to_be_visible()
    expect(other.locator(".dials")).to_have_count(0)


def test_without_an_extension_the_page_says_what_is_missing_in_english_too(telephone: Served, operator: Operator) -> None:
    page = operator("李娜", before=lambda page: page.add_init_script("localStorage.setItem('language', 'en')"))
    telephone.served.do(telephone.served.house.cries(3))
    take_first(page)
    expect(page.locator(".dials")).to_contain_text("say at duty which telephone is yours")
    page.keyboard.press("1")
    expect(page.locator("body")).to_contain_text("say at duty which telephone is yours")
    assert telephone.pbx.wishes == []
    if "SCREENSHOTS" in os.environ:
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / "dial-en.png")
