"""The incident pane and every form in it: clean by axe in both languages, nothing scrolls sideways on the smallest screen, sections fold."""

import re
from contextlib import suppress

import pytest
from playwright.sync_api import APIResponse, Error, Page, Route, expect

from gateway.core.command import Command
from gateway.core.incident import Action
from gateway.event import Kind
from tests.console.browser import TAKEN, Operator, ServedHouse, wait_for
from tests.console.fake_exchange import Pbx, dialling_house
from tests.console.test_browser_page import AXE

WITHIN = "axe.run('.incident', {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
LANGUAGES = ("zh-CN", "en")


@pytest.fixture
def house(served: ServedHouse) -> ServedHouse:
    """With a telephone, and where required steps are asked for."""
    served.stop()
    fresh = dialling_house(Pbx())
    fresh.working_set.plans = ()
    served.start(fresh)
    return served


def is_clean(page: Page, what: str) -> None:
    page.evaluate(AXE)
    found = page.evaluate(WITHIN)["violations"]
    assert [f"{what} {one['id']}: {node['html'][:120]}" for one in found for node in one["nodes"]] == []
    sideways = page.evaluate(
        "[...document.querySelectorAll('.incident, .incident *')].filter(one => one.scrollWidth > one.clientWidth + 1"
        " && ['auto', 'scroll'].includes(getComputedStyle(one).overflowX)).map(one => one.className)"
    )
    assert sideways == [], what


def in_language(language: str) -> object:
    def before(page: Page) -> None:
        page.add_init_script(f"localStorage.setItem('language', '{language}'); localStorage.setItem('duty.extension', '8001')")

    return before


def walks(page: Page) -> None:
    """The required step is ticked by Space, once it is there to be seen."""
    step = page.locator(".plan li").first
    expect(step).to_have_class("next")
    page.keyboard.press("Space")
    expect(step).to_have_class("done")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_form_of_the_work_is_clean(house: ServedHouse, operator: Operator, language: str) -> None:
    incident = house.do(house.house.cries(3))
    house.do(house.house.cries(7))
    house.do(house.house.deliver())
    leg = house.house.incidents[incident.id].legs[0]
    page = operator("李娜", before=in_language(language))
    operator("赵敏")  # somebody to whom it can be given
    line = page.locator(f"#row-{incident.id}")
    line.click()
    expect(page.locator(".incident-head .id")).to_have_text(incident.id)
    page.locator(".incident").focus()
    page.keyboard.press("a")
    expect(line).to_have_class(TAKEN)
    for word in (Kind.ACCEPT, Kind.ARRIVED):
        house.do(house.house.answers(leg.delivery, word))
    expect(page.locator(".legs .leg.arrived")).to_be_visible()
    is_clean(page, "pane")
    for key, name in (
        ("d", "dispatch"),
        ("e", "escalate"),
        ("n", "note"),
        ("t", "assign"),
        ("c", "resolve"),
        ("r", "reveal"),
        ("b", "hold"),
        ("m", "merge"),
    ):
        page.keyboard.press(key)
        expect(page.locator(f"form.{name}")).to_be_visible()
        is_clean(page, name)
        page.keyboard.press("Escape")
        expect(page.locator("form.work")).to_have_count(0)
    walks(page)
    page.keyboard.press("c")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.locator("form.work")).to_have_count(0)  # the feed may tell of it before the answer is here
    expect(page.locator(".incident-head .state.resolved")).to_be_visible()
    for key, name in (("v", "call_back"), ("w", "waive"), ("p", "complain")):
        page.keyboard.press(key)
        expect(page.locator(f"form.{name}")).to_be_visible()
        is_clean(page, name)
        page.keyboard.press("Escape")
        expect(page.locator("form.work")).to_have_count(0)


class Held:
    """Answers of the server that the page waits for until they are let go."""

    def __init__(self, page: Page, path: str) -> None:
        self.waiting: list[tuple[Route, APIResponse]] = []
        self.page, self.path = page, path
        page.route(path, self._hold)

    def _hold(self, route: Route) -> None:
        self.waiting.append((route, route.fetch()))

    def come(self) -> None:
        self.page.unroute(self.path, self._hold)
        for route, answer in self.waiting:
            with suppress(Error):  # the page has asked anew, and does not want this one any more
                route.fulfill(response=answer)


def test_who_would_be_sent_is_proposed_only_by_the_newest_that_is_known(house: ServedHouse, operator: Operator) -> None:
    """D and Enter right after somebody was identified: nobody is sent who was near to nowhere."""
    house.do(house.house.calls_in("+8619900000003", Kind.CALL_ABANDONED))
    (incident,) = house.house.incidents
    page = operator("李娜")
    line = page.locator(f"#row-{incident}")
    page.keyboard.press("F2")
    expect(line).to_have_class(TAKEN)
    expect(page.locator(".timeline li.kind-acknowledge")).to_be_visible()
    held = Held(page, f"**/api/v1/incidents/{incident}")
    page.locator(".shared li button").first.press("Enter")
    expect(line.locator(".name")).to_contain_text("**")
    expect(line).to_have_class(TAKEN)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.url.endswith("/dispatch") else None)
    page.locator(".incident").focus()
    page.keyboard.press("d")
    form = page.locator("form.dispatch")
    expect(form).to_contain_text("读取中")
    page.keyboard.press("Enter")  # known by heart, but nobody has seen whom it would send
    held.come()
    expect(form.locator("input:checked")).to_be_focused()
    newest = page.evaluate("async (id) => (await (await fetch(`/api/v1/incidents/${id}`)).json()).candidates_now", incident)
    expect(form.locator("input:checked")).to_have_value(next(one["responder"] for one in newest if one["verdict"] in ("chosen", "fits")))
    assert sent == []


def test_what_was_chosen_before_the_detail_came_is_done_when_it_comes(house: ServedHouse, operator: Operator) -> None:
    incident = house.do(house.house.cries(3))
    page = operator("李娜")
    line = page.locator(f"#row-{incident.id}")
    page.keyboard.press("F2")
    expect(line).to_have_class(TAKEN)
    expect(page.locator(".plan li.next")).to_be_visible()
    held = Held(page, f"**/api/v1/incidents/{incident.id}")
    page.keyboard.press("Space")
    wait_for(page, lambda: house.house.incidents[incident.id].steps, "the step is ticked")
    expect(page.locator(".spinner")).to_have_count(0)
    page.keyboard.press("c")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.locator("form.resolve input[value=helped]")).to_be_checked()
    held.come()
    expect(page.locator("form.work")).to_have_count(0)
    expect(page.locator(".incident-head .state.resolved")).to_be_visible()


def test_the_focus_goes_with_what_is_proposed(house: ServedHouse, operator: Operator) -> None:
    """Or Enter would send somebody else than the one that has the focus."""
    incident = house.do(house.house.cries(3))
    page = operator("李娜")
    page.keyboard.press("F2")
    expect(page.locator(".timeline li.kind-acknowledge")).to_be_visible()
    page.keyboard.press("d")
    proposed = page.locator("form.dispatch input:checked")
    expect(proposed).to_be_focused()
    first = str(proposed.get_attribute("value"))

    def is_full(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        for one in body["candidates_now"]:
            if one["responder"] == first:
                one["verdict"] = "at_capacity"
        route.fulfill(response=answer, json=body)

    page.route(f"**/api/v1/incidents/{incident.id}", is_full)
    house.do(house.house.command(Command(action=Action.NOTE, actor="周敏", incident=incident.id, facts={"text": "x"})))
    expect(proposed).not_to_have_value(first)
    expect(proposed).to_be_focused()


def test_what_is_taken_on_the_screen_can_be_worked_on_and_given_back(house: ServedHouse, operator: Operator) -> None:
    """While the answer to the taking is under way, the keys do what the buttons say."""
    incident = house.do(house.house.cries(3))
    page = operator("李娜")
    line = page.locator(f"#row-{incident.id}")
    held = Held(page, "**/acknowledge")
    page.keyboard.press("F2")
    expect(page.locator(".timeline li.kind-acknowledge")).to_be_visible()  # the feed tells of it
    expect(page.locator("button.resolve")).to_be_enabled()
    page.keyboard.press("c")
    expect(page.locator("form.resolve")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("z")
    held.come()
    expect(line).to_have_class(re.compile("raised"))
    expect(page.locator(".notices .warning")).to_have_count(0)


@pytest.mark.parametrize("language", LANGUAGES)
def test_who_is_it_is_clean(house: ServedHouse, operator: Operator, language: str) -> None:
    page = operator("李娜", before=in_language(language))
    house.do(house.house.calls_in("+8619900000003", Kind.CALL_ANSWERED, agent="8001"))
    expect(page.locator("form.identify")).to_be_visible()
    is_clean(page, "identify")
    page.keyboard.press("Escape")
    is_clean(page, "several people")
    house.do(house.house.calls_in("+8617400000021", Kind.CALL_ANSWERED, "c2", agent="8001"))
    expect(page.locator("form.record")).to_be_visible()
    is_clean(page, "record")


def test_a_complaint_at_the_call_back_re_opens_and_is_handled(house: ServedHouse, operator: Operator) -> None:
    incident = house.do(house.house.cries(3))
    page = operator("李娜")
    page.keyboard.press("F2")
    expect(page.locator(".incident-head .state.acknowledged")).to_be_visible()
    walks(page)
    page.keyboard.press("c")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.locator("form.work")).to_have_count(0)  # the feed may tell of it before the answer is here
    expect(page.locator(".incident-head .state.resolved")).to_be_visible()
    page.keyboard.press("v")
    page.keyboard.press("2")
    page.locator("form.call_back input[name=complaint]").check()
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.call_back [role=alert]")).to_contain_text("说明")  # what it is about must be said
    page.locator("form.call_back textarea").fill("等了很久没有人来")
    page.locator("form.call_back select[name=about]").select_option(index=1)
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.work")).to_have_count(0)
    expect(page.locator(".incident-head .flag", has_text="投诉")).to_be_visible()
    again = house.house.incidents[incident.id]
    assert (again.state, again.satisfaction) == ("acknowledged", None)
    page.keyboard.press("l")
    page.keyboard.press("1")
    page.locator("form.handle textarea").fill("已向老人致歉")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".incident-head .flag", has_text="投诉")).to_have_count(0)


def test_two_people_are_merged_only_with_the_tick(house: ServedHouse, operator: Operator) -> None:
    first, second = (house.do(house.house.cries(person, Kind.HELP)) for person in (1, 2))
    page = operator("李娜")
    expect(page.locator(f"#row-{second.id}")).to_be_visible()
    page.keyboard.press("F2")
    expect(page.locator(".incident-head .state.acknowledged")).to_be_visible()
    mine = page.locator(".incident-head .id").inner_text()
    other = second.id if mine == first.id else first.id
    page.keyboard.press("m")
    page.locator(f"form.merge input[value={other}]").check()
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.merge [role=alert]")).to_contain_text("不同的人")
    page.locator("form.merge input[name=different]").check()
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.merge")).to_have_count(0)
    assert house.house.incidents[mine].merged_into == other


def test_a_role_is_asked_for_instead_of_a_responder(house: ServedHouse, operator: Operator) -> None:
    house.do(house.house.cries(3))
    page = operator("李娜")
    page.keyboard.press("F2")
    page.keyboard.press("d")
    expect(page.locator("form.dispatch input:checked")).to_be_focused()
    page.locator("form.dispatch select[name=role]").select_option("neighbour")
    expect(page.locator("form.dispatch input:checked")).to_have_count(0)
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.dispatch [role=alert]")).to_be_visible()  # there is no neighbour here: said in the form, the draft is kept
    expect(page.locator("form.dispatch select[name=role]")).to_have_value("neighbour")


def test_a_section_that_was_folded_stays_so(house: ServedHouse, operator: Operator) -> None:
    house.do(house.house.cries(3))
    page = operator("李娜")
    page.keyboard.press("F2")
    expect(page.locator(".timeline li").first).to_be_visible()
    turn = page.locator(".timeline .turn")
    expect(turn).to_have_attribute("aria-expanded", "true")
    turn.click()
    expect(page.locator(".timeline li")).to_have_count(0)
    page.reload()
    expect(page.locator(".timeline .turn")).to_have_attribute("aria-expanded", "false")
    expect(page.locator(".timeline .turn")).to_contain_text(re.compile(r"\d"))  # how much is in it is still said
