"""Devices, silence, tellings and the watch on the page: by the keyboard, in both languages, masked, clean for axe, no raw word of the core."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from gateway.core.absence import Wish
from gateway.event import Kind, Phase
from tests.console import street
from tests.console.browser import Operator, ServedHouse
from tests.console.test_browser_page import violations

LANGUAGES = ("zh-CN", "en")


@pytest.fixture
def served() -> Iterator[ServedHouse]:
    house = ServedHouse(street.supervised_house())
    yield house
    house.stop()


def speaking(language: str) -> dict[str, object]:
    def remember(page: Page) -> None:
        page.add_init_script(f"localStorage.setItem('language', {language!r})")

    return {"before": remember, "reduced_motion": "reduce"}


def shown(page: Page, selector: str) -> str:
    return " ".join(page.locator(selector).inner_text().split())


def go(page: Page, key: str) -> None:
    page.keyboard.press("g")
    page.keyboard.press(key)


@pytest.mark.parametrize("language", LANGUAGES)
def test_devices_are_reached_by_two_keys_filtered_and_looked_at_without_a_mouse(served: ServedHouse, operator: Operator, language: str) -> None:
    served.call(street.map_profiles, served.house)
    incident = served.do(street.street_gateway_dies(served.house))
    served.do(served.house.receive([served.house.event(Kind.HEARTBEAT, "+8617400000099")]))
    page = operator(**speaking(language))
    go(page, "d")
    rows = page.locator(".device-rows tbody tr")
    expect(rows).to_have_count(1)  # overdue: the gateway
    expect(page.locator(".ops")).to_be_focused()
    assert violations(page) == []
    button = page.locator(".counts").get_by_role("button", name=re.compile(r"^button (通路中断|path out) 14$"))
    button.focus()
    page.keyboard.press("Enter")
    expect(rows).to_have_count(street.BUTTONS)
    order = [item.device for item in incident.affected]
    assert [row.split()[0] for row in rows.all_inner_texts()] == order
    rows.first.locator("button").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(".device-detail h3")).to_have_text(order[1])
    expect(page.locator(".device-detail")).to_contain_text({"zh-CN": "其网关或线路中断", "en": "Its gateway or line is out"}[language])
    assert violations(page) == []
    text = page.locator("body").inner_text()
    for person in served.house.register.persons.values():
        assert person.name not in text
        assert person.phones[0][-8:] not in text
    if language == "zh-CN":
        assert not re.search(r"path_out|overdue|low_battery|unsupervised|refused|shut_off", text)
    page.locator(".filters").get_by_role("button", name=re.compile("未登记|not registered")).press("Enter")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("174****0099")
    rows.locator("button").press("Enter")
    expect(page.locator(".device-detail h3")).to_have_text("174****0099")
    profiles = page.locator(".profiles")
    expect(profiles.locator("li")).to_have_count(3)
    refused = {"zh-CN": ("未启用", "其他配置不受影响"), "en": ("refused", "the others are not affected")}[language]
    for word in (*refused, "unknown_button.toml:14"):
        expect(profiles.locator(".refused")).to_contain_text(word)
    expect(profiles.locator(".shut_off")).to_contain_text({"zh-CN": "已暂停", "en": "shut off"}[language])
    page.keyboard.press("Escape")
    expect(page.get_by_role("grid")).to_be_focused()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_count_of_a_version_leads_to_those_devices_and_back(served: ServedHouse, operator: Operator, language: str) -> None:
    house = served.house
    for number, version in enumerate(("1.2", "1.2", "1.1")):
        served.do(house.receive([house.event(Kind.TELEMETRY, f"b{number:03}", "street", phase=Phase.STATE, firmware=version)]))
    page = operator(**speaking(language))
    go(page, "d")
    page.locator(".desk-tabs button").first.press("Enter")
    section = page.locator("section", has=page.get_by_role("heading", name=re.compile("^(固件版本|Firmware)")))
    expect(section.locator("li")).to_have_count(2)
    assert violations(page) == []
    section.locator("li button").first.press("Enter")
    rows = page.locator(".device-rows tbody tr")
    expect(rows).to_have_count(2)
    assert [row.split()[0] for row in rows.all_inner_texts()] == ["b000", "b001"]
    rows.first.locator("button").press("Enter")
    expect(page.locator(".device-detail dl")).to_contain_text("1.2")
    assert violations(page) == []
    page.locator(".filters").get_by_role("button", name=re.compile("(显示全部版本|Show every version)")).press("Enter")
    expect(rows.nth(2)).to_be_visible()


def test_nothing_is_done_to_an_incident_that_is_out_of_sight_but_the_next_is_taken(served: ServedHouse, operator: Operator) -> None:
    low = served.do(served.house.cries(3, Kind.LOW_BATTERY))
    page = operator()
    page.locator(".grid-row[data-id]").first.click()
    go(page, "d")
    expect(page.locator(".ops")).to_be_focused()
    for key in ("a", "d", "Space"):
        page.keyboard.press(key)
    expect(page.locator("form.work")).to_have_count(0)
    cry = served.do(served.house.cries(5))
    expect(page.locator(".counter.critical")).to_contain_text("1")
    page.keyboard.press("F2")
    expect(page.locator(".incident-head .id")).to_have_text(cry.id)
    expect(page.locator(".incident-head")).to_contain_text("接警 李娜")
    assert served.house.incidents[low.id].owner is None
    page.keyboard.press("n")
    expect(page.locator("form.note textarea")).to_be_focused()
    page.keyboard.type("gd")  # in a text they are letters
    expect(page.locator("form.note textarea")).to_have_value("gd")


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_outage_names_those_at_risk_first_and_its_end_is_one_entry(served: ServedHouse, operator: Operator, language: str) -> None:
    incident = served.do(street.street_gateway_dies(served.house))
    page = operator(**speaking(language))
    row = page.locator(".grid-row", has_text=street.GATEWAY)
    expect(row).to_contain_text(f"{street.BUTTONS} {'台' if language == 'zh-CN' else 'dev.'}")
    row.click()
    affected = page.locator(".affected")
    expect(affected.locator("h3")).to_contain_text(str(street.BUTTONS))
    rows = affected.locator("tbody tr")
    expect(rows).to_have_count(8)
    for row, item in zip(rows.all_inner_texts(), incident.affected, strict=False):
        name = served.house.register.persons[item.person or ""].name
        assert row.split()[:2] == [name[0] + "**", item.device]
    expect(affected).to_contain_text({"zh-CN": f"另有 {street.BUTTONS - 8} 台", "en": f"{street.BUTTONS - 8} more"}[language])
    assert violations(page) == []
    if language == "zh-CN":
        assert not re.search(r"overdue|path_silent|path_back|offline", page.locator(".incident").inner_text())
    affected.get_by_role("button", name=re.compile("在设备页查看|Show in devices")).click()
    expect(page.locator(".device-rows tbody tr")).to_have_count(street.BUTTONS)
    page.keyboard.press("Escape")
    served.do(street.street_gateway_returns(served.house))
    expect(affected.locator(".restored")).to_contain_text({"zh-CN": "已恢复", "en": "Restored"}[language])
    back = page.locator(".timeline .kind-online")
    expect(back).to_have_count(1)
    for word in {"zh-CN": ("设备上线", "通路恢复", f"涉及 {street.BUTTONS} 台设备"), "en": ("path back", f"{street.BUTTONS} devices")}[language]:
        expect(back).to_contain_text(word)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("reason", ["", "not_connected"])
def test_what_the_watch_was_told_is_said_in_words(served: ServedHouse, operator: Operator, language: str, reason: str) -> None:
    served.call(street.tell_devices, served.house, "wearables")
    cry = served.do(served.house.cries(20))
    page = operator(**speaking(language))
    page.set_viewport_size({"width": 1366, "height": 768})
    page.keyboard.press("F2")
    told = page.locator(".tellings li")
    telling = {"zh-CN": "正在告知：警情已接", "en": "Telling: taken in hand"}[language]
    expect(told).to_contain_text(telling)
    in_head = page.locator(".incident-head .last-told")
    expect(in_head).to_contain_text(telling)
    served.do(street.told(served.house, cry.id, reason))
    words = {
        ("zh-CN", ""): ("已告知：警情已接",),
        ("en", ""): ("Told: taken in hand",),
        ("zh-CN", "not_connected"): ("未能告知：警情已接", "设备或线路未连接"),
        ("en", "not_connected"): ("Not told: taken in hand", "device or line not connected"),
    }[language, reason]
    entry = page.locator(".timeline li").first
    for word in (*words, "w020"):
        expect(told).to_contain_text(word)
        expect(entry).to_contain_text(word)
    expect(in_head).to_contain_text(words[0])
    tops = page.evaluate("['state', 'last-told'].map((name) => document.querySelector(`.incident-head .${name}`).getBoundingClientRect().top)")
    assert abs(tops[0] - tops[1]) < 4  # in the same line: the buttons below do not move
    assert violations(page) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_all_clear_is_not_called_like_the_alarm(served: ServedHouse, operator: Operator, language: str) -> None:
    """Neither where it ends the alarm, nor where it is the sign by which a silent device is back."""
    house = served.house
    served.do(house.receive([house.event(Kind.WATER_LEAK, "b003", "street")]))
    served.do(house.receive([house.event(Kind.OFFLINE, "b003", "street")]))
    by_kind = {incident.kind: incident.id for incident in house.incidents.values()}
    served.do(house.receive([house.event(Kind.WATER_LEAK, "b003", "street", phase=Phase.CLEAR)]))
    page = operator(**speaking(language))
    over, back, online = {"zh-CN": ("漏水解除", "设备恢复", "设备上线"), "en": ("Water leak over", "Device back", "Device online")}[language]
    page.locator(f".grid-row[data-id={by_kind[Kind.WATER_LEAK]}]").click()
    expect(page.locator(".timeline .kind-water_leak b").first).to_have_text(over)
    page.locator(f".grid-row[data-id={by_kind[Kind.OFFLINE]}]").click()
    entry = page.locator(".timeline .kind-online")
    expect(entry.locator("b")).to_have_text(back)
    expect(entry).to_contain_text({"zh-CN": f"信号：{over}", "en": f"by: {over}"}[language])
    expect(entry).not_to_contain_text(online)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_no_code_says_is_on_the_timeline(served: ServedHouse, operator: Operator, language: str) -> None:
    """People are told to look at it: then they must see why a dialler cannot be read, and what a record said."""
    sentence = "a device is trying and cannot be read: its key does not fit"
    served.do(served.house.receive([served.house.event(Kind.FAULT, "8A8A", "panels", detail={"notice": "wrong_key", "text": sentence})]))
    said = {"notice": "unreadable_record", "text": "5011 <b>18XX"}
    served.do(served.house.receive([served.house.event(Kind.GENERAL, "4711", "panels", detail=said)]))
    page = operator(**speaking(language))
    words = {"zh-CN": ("密钥缺失或不符", "记录无法解读"), "en": ("key missing or wrong", "record cannot be read")}[language]
    by_kind = {incident.kind: incident.id for incident in served.house.incidents.values()}
    page.locator(f".grid-row[data-id={by_kind[Kind.FAULT]}]").click()
    fault = page.locator(".timeline li.kind-fault")
    expect(fault).to_contain_text(words[0])
    expect(fault).not_to_contain_text("a device is trying")
    page.locator(f".grid-row[data-id={by_kind[Kind.GENERAL]}]").click()
    for word in (words[1], "“5011 <b>18XX”"):
        expect(page.locator(".timeline li.kind-general")).to_contain_text(word)


def test_under_duress_the_page_says_that_nothing_may_light_up(served: ServedHouse, operator: Operator) -> None:
    served.call(street.tell_devices, served.house, "wearables")
    served.do(served.house.cries(20, Kind.DURESS))
    page = operator()
    page.keyboard.press("F2")
    expect(page.locator(".tellings")).to_contain_text("不向设备显示任何信息")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_missed_check_in_shows_its_ladder_and_the_last_sign(served: ServedHouse, operator: Operator, language: str) -> None:
    house = served.house
    served.call(street.tell_devices, house, "wearables")
    served.do(street.give_sign(house, 17))
    served.do(street.miss_check_in(house))
    served.call(lambda: setattr(house, "offset", house.offset + timedelta(minutes=11)))
    for _ in range(4):  # one deadline each
        served.do(house.pass_time())
    incident = street.missed(house)
    page = operator(**speaking(language))
    page.locator(".grid-row", has_text=re.compile("未报平安|Missed check-in")).click()
    steps = page.locator(".ladder li")
    expect(steps).to_have_count(5)
    expect(page.locator(".ladder .next")).to_have_count(1)
    marks = [text.split()[0] for text in steps.all_inner_texts()]
    taken = house.incidents[incident.id].ladder
    assert taken >= 2
    assert all(mark in "✓–" for mark in marks[:taken])
    assert marks[taken:] == ["▸", *["□"] * (4 - taken)]
    words = {
        "zh-CN": ("最近平安信号", "按键", "设备询问", "致电本人", "自动进行"),
        "en": ("Last sign of life", "Button", "device asks", "by itself at"),
    }
    for word in words[language]:
        expect(page.locator(".watch-of")).to_contain_text(word)
    if language == "zh-CN":
        text = page.locator(".incident").inner_text().replace("wearables", "").replace("alone", "").replace("Space", "")
        assert not re.search(r"[a-z]{4,}", text), re.findall(r"[a-z_]{4,}", text)
    assert violations(page) == []
    page.keyboard.press("a")
    expect(page.locator(".watch-of")).to_contain_text({"zh-CN": "不再自动进行", "en": "no more steps by themselves"}[language])


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_family_announces_an_absence_and_it_is_cancelled(served: ServedHouse, operator: Operator, language: str) -> None:
    house = served.house
    page = operator(**speaking(language))
    go(page, "w")
    rows = page.locator(".watch-list tbody tr")
    expect(rows).to_have_count(4)
    assert violations(page) == []
    row = rows.filter(has_text=house.register.persons["p017"].name[0] + "**").first
    row.get_by_role("button").first.press("Enter")
    form = page.locator("form.absence")
    expect(form.locator("input").first).to_be_focused()
    page.keyboard.press("ArrowRight")
    form.locator("input[name=name]").fill("王小红")
    form.locator("input[name=until]").fill("2099-01-02T08:30")
    assert violations(page) == []
    page.keyboard.press("Control+Enter")
    expect(form).to_be_visible()  # nobody is away for seventy years
    expect(page.locator(".ops .notices")).to_contain_text({"zh-CN": "须在今后一年内", "en": "within a year"}[language])
    until = (house.now() + timedelta(days=3)).strftime("%Y-%m-%dT08:30")
    form.locator("input[name=until]").fill(until)
    form.locator("input[name=until]").press("Control+Enter")
    expect(form).to_have_count(0)
    away = page.locator(".watch-list tr.absent")
    expect(away).to_have_count(1)
    expect(away).to_contain_text({"zh-CN": "家属报备", "en": "by the family"}[language])
    expect(away).to_contain_text("王**")
    states = [one.state.absence for one in house.working.watch.by_person.values() if one.state.absence is not None]
    assert [(one.by, one.name, one.until and one.until.strftime("%Y-%m-%dT%H:%M")) for one in states] == [("family", "王小红", until[:11] + "00:30")]
    away.get_by_role("button").last.press("Enter")
    expect(away).to_have_count(0)
    assert not any(one.state.absence for one in house.working.watch.by_person.values())


def test_an_absence_is_announced_from_the_incident_of_that_person(served: ServedHouse, operator: Operator) -> None:
    house = served.house
    served.do(street.miss_check_in(house))
    page = operator()
    page.locator(".grid-row", has_text="未报平安").click()
    watch = page.locator(".watch-of")
    expect(watch).to_contain_text("未报备外出")
    watch.get_by_role("button", name="外出报备").press("Enter")
    expect(watch.locator("form input").first).to_be_focused()
    page.keyboard.press("Control+Enter")
    expect(watch.locator(".away")).to_contain_text("至取消为止 坐席报备")
    expect(page.locator(".incident-head")).to_contain_text("未接先止")
    assert street.missed(house).id in house.incidents


def test_who_is_not_on_duty_announces_nothing(served: ServedHouse, operator: Operator) -> None:
    served.do(served.house.absence(Wish(person="p018", actor="赵敏", by="family", name="王小红")))
    page = operator(None)
    answer = page.evaluate("async () => (await (await fetch('/api/v1/watch/p018/absence_over', {method: 'POST', body: '{}'})).json())")
    assert answer["reason"] in ("csrf", "not_on_duty")
    assert served.house.working.watch.by_person["p018"].state.absence is not None


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_list_after_an_outage_says_how_many_are_back_and_is_walked_by_keys(served: ServedHouse, operator: Operator, language: str) -> None:
    served.do(street.street_gateway_dies(served.house))
    left = served.do(street.list_after_outage(served.house))
    page = operator(**speaking(language))
    page.locator(f"#row-{left.id}").click()
    rows = page.locator(".affected tbody button")
    expect(rows).to_have_text([item.device for item in left.affected])  # those at risk first, as the core has them
    rows.first.focus()
    page.keyboard.press("ArrowDown")
    expect(rows.nth(1)).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(rows.first).to_be_focused()
    expect(page.locator(".affected progress")).to_have_count(0)
    served.do(street.buttons_speak(served.house, 4, 5, 6))
    expect(rows).to_have_count(5)
    expect(page.locator(".affected .heard-again")).to_contain_text({"zh-CN": "8 台中 3 台已恢复", "en": "3 of 8 heard again"}[language])
