"""The desk on the page: supervisor, shifts, wallboard, machinery, outcomes, notices; by role and keyboard, in both languages and themes."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import msgspec
import pytest
from playwright.sync_api import Page, expect

from gateway.core.command import Command
from gateway.core.incident import Action, Flag, Incident
from gateway.core.state import Draft
from gateway.event import Kind
from tests.console.accounts_house import log_in_page, with_accounts
from tests.console.browser import Operator, ServedHouse
from tests.console.test_browser_devices import LANGUAGES, go
from tests.console.test_browser_page import violations

LOOKS = [("zh-CN", "light"), ("en", "dark"), ("en", "light"), ("zh-CN", "dark")]
Comes = Callable[..., Page]


@pytest.fixture
def served() -> Iterator[ServedHouse]:
    house = ServedHouse(with_accounts())
    yield house
    house.stop()


@pytest.fixture
def comes(operator: Operator) -> Comes:
    """comes(login, language, theme): somebody's page, logged in and, who has a desk, on duty."""

    def one(login: str, language: str = "zh-CN", theme: str = "light", **options: object) -> Page:
        def remember(page: Page) -> None:
            page.add_init_script(f"localStorage.setItem('language', {language!r})")

        page = operator(None, before=remember, reduced_motion="reduce", color_scheme=theme, **options)
        log_in_page(page, login)
        return page

    return one


def stands_still(served: ServedHouse, person: int, owner: str) -> Incident:
    """Somebody has taken it, and nothing follows."""
    house = served.house
    incident = served.do(house.cries(person))
    served.do(house.command(Command(action=Action.ACKNOWLEDGE, actor=owner, incident=incident.id)))

    def mark() -> None:
        draft = Draft(house.working_set)
        mine = house.incidents[incident.id]
        draft.put(msgspec.structs.replace(mine, flags=(*mine.flags, Flag.STALLED), version=mine.version + 1))
        house.settle(draft)

    served.call(mark)
    return house.incidents[incident.id]


def submit(page: Page) -> None:
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.ask")).to_have_count(0)


# --- supervisor ------------------------------------------------------------------------------------------------------


def test_a_supervisor_takes_over_and_reassigns_by_keys(served: ServedHouse, comes: Comes) -> None:
    first, second, third = (stands_still(served, person, "李娜") for person in (0, 2, 4))  # all in the area of 赵敏
    comes("zhaomin")
    page = comes("sunli")
    go(page, "s")
    rows = page.locator(".stalled tbody tr")
    expect(rows).to_have_count(3)
    row = page.locator(f".stalled tr[data-id={first.id}]")
    row.locator("button.row").focus()
    page.keyboard.press("a")
    expect(page.locator(".notices")).to_contain_text(f"已接管 {first.id}")
    expect(row).to_have_count(0)  # something follows again
    assert served.house.incidents[first.id].owner == "孙丽"
    for one in (second, third):
        page.locator(f".stalled tr[data-id={one.id}] button.row").focus()
        page.keyboard.press("x")
    page.keyboard.press("t")
    expect(page.locator("form.reassign select")).to_be_focused()
    served.do(served.house.cries(8))  # the page is drawn anew: whoever chooses goes on choosing
    expect(page.locator(".counter.critical")).to_contain_text("4")
    expect(page.locator("form.reassign select")).to_be_focused()
    page.locator("form.reassign select").select_option("赵敏")
    submit(page)
    expect(page.locator(".notices")).to_contain_text("已转给 赵敏: 2 / 2")
    assert {served.house.incidents[one.id].owner for one in (second, third)} == {"赵敏"}


def test_a_letter_after_g_goes_to_a_page_and_takes_nothing_over(served: ServedHouse, comes: Comes) -> None:
    incident = stands_still(served, 0, "李娜")
    page = comes("sunli")
    go(page, "s")
    page.locator(".stalled button.row").focus()
    go(page, "a")
    expect(page.locator(".ops.aid")).to_be_visible()
    assert served.house.incidents[incident.id].owner == "李娜"


def test_a_supervisor_switches_flood_mode_and_speaks_to_all(served: ServedHouse, comes: Comes) -> None:
    lina = comes("lina")
    lina.get_by_role("grid").focus()
    page = comes("sunli")
    go(page, "s")
    flood = page.locator("section.flood")
    flood.get_by_role("button", name="开", exact=True).press("Enter")
    page.keyboard.type("演练")
    submit(page)
    expect(flood.locator("h3")).to_contain_text("开")
    assert served.house.flood.state.on
    page.get_by_role("button", name="发布通知").press("Enter")
    page.keyboard.type("今夜大风, 留意停电")
    submit(page)
    card = lina.locator(".announced .notice")
    expect(card).to_contain_text("今夜大风, 留意停电")
    expect(lina.get_by_role("grid")).to_be_focused()  # nothing was taken from whoever works
    assert violations(lina) == []
    go(lina, "n")
    lina.keyboard.press("Enter")
    expect(card).to_have_count(0)
    assert ["李娜"] in [one.detail.get("acknowledged") for one in served.house.standings.values()]
    expect(page.locator(".announced .notice")).to_have_count(0)  # not to who said it


def test_who_looked_where_it_was_not_their_part_is_shown_to_supervisors_at_once(served: ServedHouse, comes: Comes) -> None:
    incident = stands_still(served, 1, "王强")  # in pingan
    lina, page = comes("lina"), comes("sunli")
    zhaomin = comes("zhaomin")  # of haishiwan
    reply = zhaomin.evaluate(
        """async (id) => {
          const {csrf} = await (await fetch('/api/v1/session')).json();
          const body = JSON.stringify({reason: 'emergency_service', emergency: true, text: '急救车找不到门'});
          const headers = {'X-CSRF': csrf, 'Content-Type': 'application/json'};
          return (await fetch(`/api/v1/incidents/${id}/reveal`, {method: 'POST', headers, body})).status;
        }""",
        incident.id,
    )
    assert reply == 200
    card = page.locator(".announced .emergency")
    expect(card).to_contain_text("急救车找不到门")
    expect(card).to_contain_text("赵敏")
    assert violations(page) == []
    expect(lina.locator(".announced .notice")).to_have_count(0)
    go(page, "s")
    page.locator(".desk-tabs button").nth(2).press("Enter")
    expect(page.locator(".supervisor tbody tr", has_text="赵敏")).to_contain_text("紧急越区")
    go(page, "n")
    page.keyboard.press("Enter")
    expect(card).to_have_count(0)


@pytest.mark.parametrize(("language", "theme"), LOOKS)
def test_every_part_of_the_supervisors_desk_is_clean(served: ServedHouse, comes: Comes, language: str, theme: str) -> None:
    stands_still(served, 0, "李娜")
    page = comes("sunli", language, theme)
    go(page, "s")
    expect(page.locator(".stalled tbody tr")).to_have_count(1)
    tabs = page.locator(".desk-tabs button")
    expect(tabs).to_have_count(4)
    for number in range(4):
        tabs.nth(number).press("Enter")
        expect(tabs.nth(number)).to_have_attribute("aria-pressed", "true")
        if number == 3:
            expect(page.locator(".desk-figures svg").first).to_be_visible()
        assert violations(page) == []
    assert "undefined" not in page.locator(".ops").inner_text()


def test_an_operator_has_no_supervisors_desk(comes: Comes) -> None:
    page = comes("lina")
    go(page, "s")
    expect(page.get_by_role("grid")).to_be_visible()
    expect(page.locator(".ops")).to_have_count(0)


# --- handing a shift over --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "theme"), LOOKS[:2])
def test_a_shift_goes_from_one_to_the_next_by_keys(served: ServedHouse, comes: Comes, language: str, theme: str) -> None:
    incident = stands_still(served, 0, "李娜")
    served.do(served.house.cries(1, Kind.HELP))
    lina, zhaomin = comes("lina", language, theme), comes("zhaomin", language, theme)
    go(lina, "h")
    note = lina.locator("form.handover tbody input")
    expect(note).to_have_count(1)  # the critical one; what is less is counted
    assert violations(lina) == []
    note.fill("女儿 15:00 到")
    lina.locator("form.handover textarea").fill("电梯维修")
    lina.locator("form.handover select").select_option("赵敏")
    lina.keyboard.press("Control+Enter")
    expect(lina.locator(".flag-line")).to_contain_text("赵敏")
    card = zhaomin.locator(".announced .offered")
    expect(card).to_contain_text("李娜")
    assert violations(zhaomin) == []
    go(zhaomin, "n")
    zhaomin.keyboard.press("Enter")
    form = zhaomin.locator("form.takeover")
    expect(form).to_contain_text("女儿 15:00 到")
    expect(form).to_contain_text("电梯维修")
    expect(card).to_have_count(0)
    form.locator("button").focus()
    zhaomin.keyboard.press("Control+Enter")
    expect(form.locator(".error")).to_be_visible()
    tick = form.locator("input[type=checkbox]")
    expect(tick).to_be_focused()  # where it is missing
    zhaomin.keyboard.press("Space")
    assert violations(zhaomin) == []
    zhaomin.keyboard.press("Control+Enter")
    expect(form).to_have_count(0)
    said = zhaomin.locator(".shift")
    expect(said).to_contain_text({"zh-CN": "交接完成: 李娜 → 赵敏", "en": "Handed over: 李娜 → 赵敏"}[language])
    assert served.house.incidents[incident.id].owner == "赵敏"


def test_a_shift_that_nobody_took_can_be_taken_back_and_its_draft_survives(served: ServedHouse, comes: Comes) -> None:
    page = comes("lina")
    go(page, "h")
    page.locator("form.handover textarea").fill("未写完")
    page.keyboard.press("Escape")
    expect(page.get_by_role("grid")).to_be_visible()
    go(page, "h")
    expect(page.locator("form.handover textarea")).to_have_value("未写完")
    page.locator("form.handover textarea").press("Control+Enter")
    expect(page.locator(".flag-line")).to_be_visible()
    page.locator(".flag-line button").press("Enter")
    expect(page.locator(".flag-line")).to_have_count(0)


# --- wallboard -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_wallboard_counts_sounds_and_names_nobody(served: ServedHouse, comes: Comes, language: str) -> None:
    served.do(served.house.cries(0))
    served.do(served.house.calls_in("+8619900000003", Kind.CALL_RINGING, "c1"))
    page = comes("wall", language)
    critical = page.locator(".wall-level.critical")
    expect(critical.locator(".figure")).to_have_text("1")
    expect(page.locator(".wall-fact.calls .figure")).to_have_text("1")
    expect(page.locator(".wall-fact.operators")).to_have_class("wall-fact operators bad")  # nobody is there to hear
    assert violations(page) == []
    text = page.locator("body").inner_text()
    for person in served.house.register.persons.values():
        assert person.name[0] + "**" not in text
    assert "I1000" not in text
    page.locator(".wall-sound").click()
    expect(page.locator(".wall-sound")).to_have_count(0)
    page.wait_for_function("() => window.heard.filter(hz => hz === 660).length >= 10")  # a level 1, of counts alone
    served.do(served.house.command(Command(action=Action.ACKNOWLEDGE, actor="李娜", incident="I100001")))
    expect(critical.locator(".figure")).to_have_text("0")
    expect(critical).to_contain_text({"zh-CN": "未结 1", "en": "1 open"}[language])


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_lost_link_covers_the_wallboard(served: ServedHouse, comes: Comes, language: str) -> None:
    served.do(served.house.cries(0))
    page = comes("wall", language)
    expect(page.locator(".wall-levels")).to_be_visible()
    served.stop()
    expect(page.locator(".wall-cover")).to_be_visible(timeout=30_000)
    expect(page.locator(".wall-levels")).to_have_count(0)
    expect(page.locator(".wall-cover")).to_contain_text({"zh-CN": "最后数据", "en": "Last figures at"}[language])
    assert violations(page) == []
    served.start(served.house)
    expect(page.locator(".wall-cover")).to_have_count(0, timeout=30_000)


def test_a_supervisor_sees_the_wallboard_and_comes_back(comes: Comes) -> None:
    page = comes("sunli")
    go(page, "b")
    expect(page.locator(".wall")).to_be_visible()
    expect(page.locator(".bar")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.get_by_role("grid")).to_be_visible()


# --- machinery, outcomes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "theme"), LOOKS)
def test_the_machinery_is_shown_without_anybodys_name_and_a_sender_is_put_in_maintenance(
    served: ServedHouse, comes: Comes, language: str, theme: str
) -> None:
    for _ in range(3):
        served.house.offset += timedelta(seconds=40)
        served.do(served.house.cries(4, Kind.FALL_SUSPECTED))
    served.call(served.house.change_line, "corridor", "lost", "/dev/panel0: Connection was closed cleanly.")
    page = comes("hefan", language, theme)
    expect(page.locator(".machinery")).to_be_visible()
    expect(page.locator(".bar .counters")).to_have_count(0)  # a zero would say that nobody waits
    expect(page.locator(".no-sound")).to_have_count(0)
    expect(page.locator(".machinery .line-state.lost")).to_be_visible()
    expect(page.locator(".ops-figures")).to_contain_text({"zh-CN": "自检 尚未检测", "en": "Self-test not tested yet"}[language])
    expect(page.locator(".self-test")).to_have_count(2)  # the lines, and the sentinels apart
    expect(page.locator(".self-test").nth(1)).to_contain_text("幸福小区大厅")
    tested = page.locator(".self-test tr", has_text="corridor")
    tested.locator("button").press("Enter")
    expect(tested).to_contain_text({"zh-CN": "连接未建立", "en": "its connection does not stand"}[language])
    expect(page.locator(".ops-figures")).to_contain_text({"zh-CN": "漏检一次", "en": "missed once"}[language])
    assert violations(page) == []
    sender = page.locator("tr", has_text="w004").first
    sender.locator("button").press("Enter")
    expect(page.locator("form.put")).to_be_visible()
    assert violations(page) == []
    page.locator("form.put textarea").fill("传感器误报")
    submit(page)
    expect(sender.locator(".flag")).to_be_visible()
    assert any(key.startswith("maintenance:") for key in served.house.standings)
    page.locator(".desk-tabs button").nth(1).press("Enter")
    page.locator(".device-list .filters button").first.press("Enter")
    expect(page.locator(".device-rows tbody tr").first).to_be_visible()
    assert violations(page) == []
    text = page.locator("body").inner_text()
    for person in served.house.register.persons.values():
        assert person.name not in text
        assert person.name[0] + "**" not in text


@pytest.mark.parametrize(("language", "theme"), LOOKS[:2])
def test_the_publics_supervisor_sees_outcomes_and_complains_and_the_desk_answers(
    served: ServedHouse, comes: Comes, language: str, theme: str
) -> None:
    page = comes("citizen", language, theme)
    expect(page.locator(".ops.outcomes")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name={"zh-CN": "投诉", "en": "Complain"}[language]).press("Enter")
    page.locator("form.complaint textarea").fill("夜间响应太慢")
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.complaint .error, .notices .warning").first).to_be_visible()  # about which area?
    page.locator("form.complaint select").select_option("pingan")
    assert violations(page) == []
    page.locator("form.complaint textarea").focus()
    submit(page)
    desk = comes("sunli", language, theme)
    go(desk, "s")
    one = desk.locator("li", has_text="夜间响应太慢")
    expect(one).to_be_visible()
    one.locator("button").last.press("Enter")
    desk.keyboard.type("已增加夜班")
    submit(desk)
    expect(desk.locator("li", has_text="夜间响应太慢")).to_have_count(0)
