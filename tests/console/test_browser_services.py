"""The closed loop, requests, providers, mutual aid and levels on the page: each form by the keyboard, in both languages, clean for axe."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec
import pytest
from playwright.sync_api import Page, expect

from gateway.core.incident import Action, Flag, Notice, Role, Source, State
from gateway.core.routing import CHINA
from gateway.core.state import Draft
from gateway.event import Kind
from tests.console import service_house
from tests.console.browser import Operator, ServedHouse
from tests.console.fake_house import FakeHouse
from tests.console.test_browser_devices import LANGUAGES, go, speaking
from tests.console.test_browser_page import violations


@pytest.fixture
def served() -> Iterator[ServedHouse]:
    house = ServedHouse(service_house.service_house())
    yield house
    house.stop()


def looks_at(page: Page, incident: str) -> None:
    page.locator(f"#row-{incident}").click()
    expect(page.locator(".incident-head .id")).to_have_text(incident)
    expect(page.locator(".loop li").first).to_be_visible()
    page.locator(".incident").focus()


def written(at: datetime) -> str:
    """As a field for a local time takes it."""
    return f"{at.astimezone(CHINA):%Y-%m-%dT%H:%M}"


def submit(page: Page) -> None:
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.work")).to_have_count(0)


def test_a_resolved_incident_waits_goes_on_and_is_closed_without_a_call_back(served: ServedHouse, operator: Operator) -> None:
    incident = served.do(service_house.goes_round(served.house, 5))
    page = operator()
    looks_at(page, incident.id)
    strip = page.locator(".loop li")
    expect(strip).to_have_count(4)
    expect(strip.nth(2)).to_contain_text("张站长")
    expect(strip.nth(3)).to_have_class("waits")
    page.keyboard.press("b")
    expect(page.locator("form.hold input")).to_be_focused()
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.hold .error")).to_contain_text("请选择时间")
    page.locator("form.hold input").fill(written(served.house.now() + timedelta(days=2)))
    page.locator("form.hold textarea").fill("家属周末才在家")
    submit(page)
    expect(page.locator(".held")).to_contain_text("暂缓至")
    assert served.house.incidents[incident.id].held_until is not None
    page.keyboard.press("b")
    expect(page.locator(".held")).to_have_count(0)
    assert served.house.incidents[incident.id].held_until is None
    page.keyboard.press("w")
    page.keyboard.type("太短")
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.waive .error")).to_be_visible()
    page.keyboard.type(", 老人已随女儿去外地长住")
    submit(page)
    expect(page.locator(".incident-head .state")).to_have_text("已办结")
    closed = served.house.incidents[incident.id]
    assert (closed.state, closed.waived) == (State.CLOSED, "李娜: 太短, 老人已随女儿去外地长住")
    expect(page.locator(".loop")).to_contain_text("老人已随女儿去外地长住")


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_overdue_stands_out_and_a_complaint_is_handled(served: ServedHouse, operator: Operator, language: str) -> None:
    incident = served.do(service_house.goes_round(served.house, 4))
    responder = incident.legs[0].responder
    served.do(service_house.does(served.house, incident.id, Action.CALL_BACK, complaint=True, note="来得太晚", about=responder))
    page = operator(**speaking(language))
    looks_at(page, incident.id)
    strip = page.locator(".loop li")
    expect(strip).to_have_count(6)
    expect(strip.nth(4)).to_contain_text(served.house.register.responders[responder].name)
    expect(strip.nth(5)).to_have_class("waits")
    assert violations(page) == []
    page.keyboard.press("l")
    expect(page.locator("form.handle input").first).to_be_focused()
    page.keyboard.press("Space")
    page.locator("form.handle textarea").fill("绕路, 已向站点说明")
    assert violations(page) == []
    submit(page)
    expect(strip.nth(5)).to_have_class("passed")
    expect(strip.nth(5)).to_contain_text({"zh-CN": "属实", "en": "justified"}[language])
    assert Flag.COMPLAINT not in served.house.incidents[incident.id].flags


def test_two_become_one_and_two_again_and_one_is_split(served: ServedHouse, operator: Operator) -> None:
    first, second = served.do(served.house.cries(1, Kind.HELP)), served.do(served.house.cries(2, Kind.HELP))
    page = operator()
    expect(page.locator(f"#row-{second.id}")).to_be_visible()
    page.locator(f"#row-{first.id}").click()
    page.locator(".incident").focus()
    page.keyboard.press("m")
    page.keyboard.type(second.id)
    expect(page.locator("form.merge .merge-into label")).to_have_count(1)
    page.locator("form.merge input[type=radio]").press("Space")
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.merge .error")).to_be_visible()  # two people: only if somebody says so
    page.locator("form.merge input[name=different]").check()
    submit(page)
    expect(page.locator(".loop")).to_contain_text(f"已并入 {second.id}")
    assert served.house.incidents[first.id].merged_into == second.id
    page.keyboard.press("u")
    expect(page.locator(".incident-head .state")).to_have_text("待接警")
    assert served.house.incidents[first.id].merged_into is None
    served.do(served.house.cries(1, Kind.HELP))
    expect(page.locator(".actions .split")).to_be_visible()
    page.keyboard.press("y")
    expect(page.locator("form.split")).to_contain_text("设备 w001")
    page.keyboard.press("Space")
    submit(page)
    (split,) = [one for one in served.house.incidents.values() if one.id not in (first.id, second.id)]
    assert split.device == "w001"
    expect(page.locator(f"#row-{split.id}")).to_be_visible()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_request_is_filed_for_a_person_agreed_and_cancelled_and_never_among_the_alarms(
    served: ServedHouse, operator: Operator, language: str
) -> None:
    served.do(service_house.ranks(served.house))
    page = operator(**speaking(language))
    go(page, "r")
    expect(page.locator(".nothing-here")).to_be_visible()
    page.locator(".request-list .filters .primary").press("Enter")
    form = page.locator("form.filing")
    expect(form.locator("input").first).to_be_focused()
    page.keyboard.type("199 0000 0003")
    page.keyboard.press("Enter")
    people = form.locator(".found label")
    expect(people).to_have_count(3)  # one number, three people: nobody is chosen by itself
    page.keyboard.press("Control+Enter")
    expect(form.locator(".error")).to_be_visible()
    people.first.locator("input").press("Space")
    form.locator("select").select_option("housekeeping")
    form.locator("input[type=datetime-local]").fill(written(served.house.now() + timedelta(hours=20)))
    form.locator("textarea").fill("两室")
    assert violations(page) == []
    submit(page)
    (request,) = served.house.incidents.values()
    assert (request.service, request.person, request.wish) == ("housekeeping", "p003", "两室")
    row = page.locator(".request-list tbody tr")
    expect(row).to_contain_text({"zh-CN": "家政", "en": "housekeeping"}[language])
    expect(page.locator(".wish")).to_contain_text("两室")
    served.do(served.house.deliver())
    served.do(served.house.answers(request.legs[0].delivery, Kind.ACCEPT))
    expect(row).to_contain_text({"zh-CN": "已接单", "en": "Accepted"}[language])
    expect(page.locator(".loop li.passed")).to_have_count(2)
    expect(page.locator(".counter.requests")).to_contain_text("1")
    assert violations(page) == []
    why = page.locator(".why")  # the better one is preferred, and it is said so
    expect(why).to_contain_text({"zh-CN": "评分", "en": "score"}[language])
    expect(why.locator("tr.chosen")).to_contain_text(served.house.register.responders[request.legs[0].responder].name)
    page.locator(".incident").focus()
    page.keyboard.press("n")
    page.keyboard.type("grxa")  # letters, in a text
    page.keyboard.press("Escape")
    expect(page.locator("form.work")).to_have_count(0)
    expect(page.locator(".ops.requests")).to_be_visible()
    page.keyboard.press("q")
    expect(page.locator("form.cancel")).to_be_visible()
    submit(page)
    expect(page.locator(".nothing-here")).to_be_visible()
    assert served.house.incidents[request.id].state is State.CLOSED
    page.keyboard.press("Escape")
    expect(page.get_by_role("grid")).to_be_focused()
    expect(page.locator(".grid-row[data-id]")).to_have_count(0)
    person = served.house.register.persons["p003"]
    assert person.name not in page.content()


@pytest.mark.parametrize("language", LANGUAGES)
def test_providers_are_ruled_about_with_a_reason(served: ServedHouse, operator: Operator, language: str) -> None:
    served.do(service_house.ranks(served.house))
    page = operator(**speaking(language))
    go(page, "p")
    rows = page.locator(".device-rows tbody tr")
    expect(rows).to_have_count(5)
    expect(rows.nth(1)).to_contain_text({"zh-CN": "剩 12 天", "en": "12 days left"}[language])
    expect(rows.first).to_contain_text({"zh-CN": "加盟服务商", "en": "member provider"}[language])  # as this place calls the kind
    page.locator(".filters button").nth(1).press("Enter")
    expect(rows).to_have_count(1)
    rows.locator("button.row").press("Enter")
    detail = page.locator(".provider-detail")
    expect(detail).to_contain_text("0.41 (38)")
    detail.get_by_role("button", name=re.compile("^(确认停用|Confirm suspension)$")).press("Enter")
    page.keyboard.press("Control+Enter")
    expect(detail.locator("form .error")).to_be_visible()  # never without a reason
    page.keyboard.type("投诉十一件")
    assert violations(page) == []
    page.keyboard.press("Control+Enter")
    expect(page.locator(".notices .warning")).to_be_visible()  # nobody else gives daily living
    assert served.house.standings["proposal:clean-home"].value == "proposed"
    page.keyboard.press("Escape")
    expect(page.locator("form.work")).to_have_count(0)
    expect(page.locator(".ops.providers")).to_be_visible()  # Esc closed the form and no more
    for name, key, value in (
        ("^(不同意停用|Reject suspension)$", "proposal:clean-home", "rejected"),
        ("^(冻结|Freeze)$", "frozen:clean-home", "frozen"),
        ("^(停用|Suspend)$", "provider:clean-home", "suspended"),
    ):
        detail.get_by_role("button", name=re.compile(name)).press("Enter")
        page.keyboard.type("核实过了")
        submit(page)
        standing = served.house.standings[key]
        assert (standing.value, standing.reason, standing.actor) == (value, "核实过了", "李娜")
    expect(detail.locator(".provider-state")).to_have_class(re.compile("suspended"))
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("grid")).to_be_focused()


@pytest.mark.parametrize("language", LANGUAGES)
def test_aid_is_lifted_closed_and_declared(served: ServedHouse, operator: Operator, language: str) -> None:
    served.do(service_house.day(served.house))
    page = operator(**speaking(language))
    go(page, "a")
    expect(page.locator(".agreements tbody tr")).to_have_count(2)
    expect(page.locator(".districts tbody tr")).to_have_count(2)
    assert violations(page) == []
    page.locator(".ruled").first.locator("button").press("Enter")
    page.keyboard.type("又有人手")
    assert violations(page) == []
    submit(page)
    assert served.house.standings["saturated:honggu"].value == ""
    expect(page.locator(".ruled")).to_have_count(1)
    page.get_by_role("button", name=re.compile("^(宣布失联|Declare lost)")).press("Enter")
    page.keyboard.type("station-3")
    page.locator("form.aid textarea").fill("电话打不通")
    page.locator("form.aid input[type=datetime-local]").fill(written(served.house.now() + timedelta(hours=3)))
    submit(page)
    lost = served.house.standings["lost:station-3"]
    assert (lost.value, lost.reason, lost.until is not None) == ("lost", "电话打不通", True)
    expect(page.locator(".ruled li")).to_have_count(2)
    page.locator(".agreements").get_by_role("button", name=re.compile("^(暂停|Close)")).press("Enter")
    page.keyboard.type("对方停电")
    submit(page)
    assert served.house.standings["aid:east-west"].value == "closed"
    expect(page.locator(".agreements .aid-state").first).to_have_text({"zh-CN": "已暂停", "en": "closed for now"}[language])


@pytest.mark.parametrize("language", LANGUAGES)
def test_levels_and_why_this_one(served: ServedHouse, operator: Operator, language: str) -> None:
    served.do(service_house.day(served.house))
    page = operator(**speaking(language))
    go(page, "v")
    expect(page.locator(".clock").first).to_be_visible()
    expect(page.locator(".running")).to_contain_text("2")
    assert violations(page) == []
    page.locator(".filters button").nth(1).press("Enter")
    expect(page.locator(".clock td", has_text=re.compile("海石湾镇|平安镇")).first).to_be_visible()
    page.keyboard.press("Escape")
    incident = next(one for one in served.house.incidents.values() if one.kind is Kind.FALL and Flag.COMPLAINT in one.flags)
    looks_at(page, incident.id)
    why = page.locator(".decisions")
    why.locator("button").press("Enter")
    expect(why.locator("section").first).to_contain_text({"zh-CN": "邻里驿站", "en": "neighbourhood post"}[language])
    expect(why).to_contain_text({"zh-CN": "就近", "en": "nearest"}[language])
    expect(why).to_contain_text({"zh-CN": "约", "en": "≈"}[language])
    expect(page.locator(".responders .beyond").first).to_be_visible()
    assert violations(page) == []
    for pane in (".incident", ".responders-body"):
        assert page.locator(pane).evaluate("one => one.scrollWidth <= one.clientWidth"), f"{pane} is cut off sideways"


async def is_told_and_helped_by_several(house: FakeHouse, incident: str) -> None:
    """The incident of somebody who is away from home, with orders of three roles, two ways in and a contact who was told."""
    one, now = house.incidents[incident], house.now()
    (station,) = one.legs
    more = [
        msgspec.structs.replace(station, delivery=f"{station.delivery}-{role}", responder=responder, role=role, pending="")
        for role, responder in ((Role.NEIGHBOUR, "station-2"), (Role.MEDICAL, "care-plus"))
    ]
    draft = Draft(house.working_set)
    draft.put(
        msgspec.structs.replace(
            one,
            version=one.version + 1,
            visiting="xigu",
            legs=(station, *more),
            sources=(*one.sources, Source(way="call", of="12349", at=now)),
            notices=(Notice(id="n1", to=f"contact:{one.person}:0", moment="alarm", channel="sms", at=now, state="sent"),),
        )
    )
    house.settle(draft)


@pytest.mark.parametrize("language", LANGUAGES)
def test_orders_by_role_who_was_told_and_who_is_away_from_home(served: ServedHouse, operator: Operator, language: str) -> None:
    incident = served.do(served.house.cries(0))
    served.do(is_told_and_helped_by_several(served.house, incident.id))
    page = operator(**speaking(language))
    looks_at(page, incident.id)
    roles = {"zh-CN": ["社会救助 1", "医疗 1", "邻里 1"], "en": ["social 1", "medical 1", "neighbour 1"]}[language]
    expect(page.locator(".legs tr.role th")).to_have_text(roles)
    expect(page.locator(".legs tbody tr:not(.role)")).to_have_count(3)
    expect(page.locator(".flag.visiting")).to_contain_text("西固区")
    expect(page.locator(".beside li").first).to_contain_text({"zh-CN": "女儿", "en": "Family"}[language])
    expect(page.locator(".beside li").nth(1)).to_contain_text({"zh-CN": "户籍", "en": "Home district"}[language])  # by the core itself
    expect(page.locator(".beside")).to_contain_text("12349")
    assert violations(page) == []


@pytest.mark.parametrize("key", ["r", "p", "a", "v"])
def test_nothing_is_cut_off_on_the_smallest_screen_nor_twice_as_large(served: ServedHouse, operator: Operator, key: str) -> None:
    served.do(service_house.day(served.house))
    for options in ({}, {"viewport": {"width": 683, "height": 384}, "device_scale_factor": 2}):
        page = operator(**speaking("en"), **options)
        go(page, key)
        expect(page.locator(".ops table").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        wide = page.locator(".ops-body").evaluate("one => one.scrollWidth - one.clientWidth")
        assert wide <= 0, f"{wide} px are cut off at {options}"
