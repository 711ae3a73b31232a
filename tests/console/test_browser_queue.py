"""The queue as several people work on it: marks, bulk commands, floods, the shelf, presence, sound, roles, and a server that is gone."""

import re
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Browser, Page, Route, WebSocketRoute, expect

from gateway.core.command import Command
from gateway.core.incident import Action, State
from gateway.core.register import ResponderKind
from gateway.core.routing import CHINA
from gateway.event import Kind
from tests.console import service_house
from tests.console.browser import DEAF, LOSE_PATIENCE, SIZE, TAKEN, Operator, ServedHouse, at_work
from tests.console.fake_house import FakeHouse, invented_register
from tests.console.test_browser_devices import LANGUAGES, speaking
from tests.console.test_browser_page import violations

GIVE = "async (items) => { const store = await import('/static/store.js'); store.receive({items}); }"

# The page takes in a frame 250 ms after it came at the latest: what came before is in when a longer timer has fired.
FLUSHED = "() => new Promise((done) => setTimeout(done, 300))"


def row_of(name: str, severity: str = "minor", **more: object) -> dict[str, Any]:
    """A row as the feed has it."""
    return {
        **{"type": "incident", "id": name, "version": 1, "state": "raised", "kind": "smoke", "severity": severity, "flags": [], "cries": 1},
        **{"risks": [], "name": "N**", "age": 80, "place": "海石湾镇 红古路", "owner": None, "candidates": 0, "opened_at": "2026-01-01T00:00:00Z"},
        **{"due": None, "leg": None, "leg_responder": None, **more},
    }


def ids(page: Page) -> list[str]:
    return [str(one.get_attribute("data-id")) for one in page.locator(".grid-row[data-id]").all()]


def still(page: Page) -> None:
    """The server is heard until the page stands, then only its heartbeat: rows that a test gives stay as they were given."""

    def handle(route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        server.on_message(lambda message: None if "frozen" in page.__dict__ and '"hb"' not in str(message) else route.send(message))

    page.route_web_socket(re.compile("/api/v1/feed"), handle)


def give(page: Page, items: list[dict[str, Any]]) -> None:
    if "frozen" not in page.__dict__:
        page.__dict__["frozen"] = True
        page.evaluate(FLUSHED)
    page.evaluate(GIVE, items)


def has_rows(page: Page, count: int) -> None:
    expect(page.locator(".grid-row[data-id]")).to_have_count(count)


def mark_first(page: Page, count: int) -> None:
    """Mark the first rows by the keyboard."""
    page.keyboard.press("Home")
    for number in range(count):
        if number:
            page.keyboard.press("j")
        page.keyboard.press("x")


def test_marked_rows_are_taken_at_once_each_with_its_own_answer(served: ServedHouse, operator: Operator) -> None:
    incidents = [served.do(served.house.cries(i)) for i in range(1, 6)]
    page = operator()
    has_rows(page, 5)
    page.keyboard.press("Home")
    for _ in incidents:
        page.keyboard.press("x")
        page.keyboard.press("ArrowDown")
    expect(page.locator(".marks")).to_contain_text("已标记 5 条")
    page.keyboard.press("x")
    expect(page.locator(".marks")).to_contain_text("已标记 4 条")  # X once more takes the mark away
    page.keyboard.press("x")
    lost = incidents[2].id
    page.context.route(f"**/{lost}/acknowledge", lambda route: (took(served, lost), route.continue_()))
    page.keyboard.press("Shift+A")
    bulk = page.locator("section.bulk")
    expect(bulk).to_contain_text("共 5 条，完成 4 条")
    expect(bulk.locator(".results .ok")).to_have_count(4)
    expect(bulk.locator(".results .not")).to_contain_text(re.compile(f"{lost}.*周敏 已在"))
    expect(page.locator(".grid-row.marked")).to_have_count(1)  # what was not done is still marked
    owners = [served.house.incidents[one.id].owner for one in incidents]
    assert owners == ["李娜", "李娜", "周敏", "李娜", "李娜"]
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(bulk).to_have_count(0)
    page.keyboard.press("Shift+X")
    expect(page.locator(".marks")).to_have_count(0)


def took(served: ServedHouse, incident: str, name: str = "周敏") -> None:
    served.do(served.house.command(Command(action=Action.ACKNOWLEDGE, actor=name, incident=incident, facts={})))


def test_marked_rows_are_given_to_somebody_on_duty(served: ServedHouse, operator: Operator) -> None:
    first, second = served.do(served.house.cries(1)), served.do(served.house.cries(2, Kind.HELP))
    other = operator("周敏")
    page = operator()
    has_rows(page, 2)
    mark_first(page, 2)
    page.keyboard.press("Shift+T")
    form = page.locator("form.bulk.assign")
    expect(form.locator("input[value=周敏]")).to_be_visible()
    page.keyboard.press("Control+Enter")
    expect(form.locator(".error")).to_contain_text("请选择转给谁")
    form.locator("input[value=周敏]").check()
    assert violations(page) == []
    page.keyboard.press("Control+Enter")
    expect(page.locator("section.bulk")).to_contain_text("共 2 条，完成 2 条")
    assert {served.house.incidents[one.id].owner for one in (first, second)} == {"周敏"}
    expect(other.locator(".tabs")).to_contain_text("我的 2")


def test_marked_rows_of_two_people_are_merged_only_when_somebody_says_so_and_u_undoes_it(served: ServedHouse, operator: Operator) -> None:
    first, second = served.do(served.house.cries(1, Kind.HELP)), served.do(served.house.cries(2, Kind.SOS))
    page = operator()
    has_rows(page, 2)
    mark_first(page, 2)
    page.keyboard.press("m")
    form = page.locator("form.bulk.merge")
    expect(form.locator("input[type=radio]:checked")).to_have_value(second.id)  # into the worse one
    expect(form).to_contain_text("不是同一人")
    page.keyboard.press("Control+Enter")
    expect(form.locator(".error[role=alert]")).to_contain_text("勾选")
    form.locator("input[name=different]").check()
    page.keyboard.press("Control+Enter")
    expect(page.locator("section.bulk .results")).to_contain_text(first.id)
    assert served.house.incidents[first.id].merged_into == second.id
    page.keyboard.press("Escape")
    expect(page.locator(f"#row-{first.id}")).to_contain_text("已合并")
    page.locator(f"#row-{second.id}").click()
    page.locator(".incident").focus()
    page.keyboard.press("u")
    expect(page.locator(f"#row-{first.id}")).to_contain_text("待接警")
    assert served.house.incidents[first.id].merged_into is None


def test_one_person_is_merged_without_a_word_more(served: ServedHouse, operator: Operator) -> None:
    house = served.house
    first = served.do(house.cries(1, Kind.HELP))
    served.do(house.receive([house.event(Kind.SOS, "unknown-77", "corridor")]))
    second = next(one for one in house.incidents.values() if one.id != first.id)
    served.do(house.command(Command(action=Action.IDENTIFY, actor="周敏", incident=second.id, facts={"person": "p001"})))
    page = operator()
    has_rows(page, 2)
    mark_first(page, 2)
    page.keyboard.press("m")
    expect(page.locator("form.bulk.merge .good")).to_be_visible()
    page.keyboard.press("Control+Enter")
    expect(page.locator("section.bulk .results .ok")).to_have_count(1)
    assert house.incidents[first.id].merged_into == second.id


@pytest.mark.parametrize("language", LANGUAGES)
def test_in_a_flood_only_the_lesser_levels_are_grouped(operator: Operator, language: str) -> None:
    options = speaking(language)
    remember = options.pop("before")
    page = operator(before=lambda page: (remember(page), still(page)), **options)
    rows = [row_of("A1", "critical", kind="sos"), row_of("A2", "major", kind="fall"), row_of("A3", "major", kind="fall")]
    rows += [row_of(f"B{i}") for i in range(20)] + [row_of(f"C{i}", "warning", kind="low_battery", place="平安镇 花牌路") for i in range(9)]
    give(page, rows)
    expect(page.locator(".grid-row.group")).to_have_count(0)
    grid = page.get_by_role("grid")
    place = grid.bounding_box()
    flood = {"type": "state", "id": "flood", "on": True, "by": "figures", "since": "2026-01-01T00:00:00Z", "new_10min": 32, "operators": 1}
    give(page, [flood])
    expect(page.locator(".below.flooded")).to_contain_text("32")
    assert page.get_by_role("grid").bounding_box() == place, "nothing moves when a flood begins"
    assert ids(page) == ["A1", "A2", "A3", "flood:minor:海石湾镇:smoke", "flood:warning:平安镇:low_battery"]
    expect(page.locator(".tabs")).to_contain_text("32")  # the counter counts what is in the groups
    assert violations(page) == []
    for _ in range(4):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(grid).to_have_attribute("aria-rowcount", "26")
    page.keyboard.press("Enter")
    has_rows(page, 5)
    page.locator(".grid-row.group").last.click()
    expect(grid).to_have_attribute("aria-rowcount", "15")
    give(page, [{**flood, "on": False}])
    expect(page.locator(".grid-row.group")).to_have_count(0)


def test_who_runs_away_is_folded_and_maintenance_is_offered(operator: Operator) -> None:
    page = operator()
    rows = [row_of(f"R{i}", runaway=37, offer_maintenance=True, state="raised" if i else "acknowledged") for i in range(4)]
    page.evaluate(GIVE, [*rows, row_of("S1", "critical", kind="sos", runaway=6, cries=3)])
    assert ids(page) == ["S1", "runaway:N**|80|海石湾镇 红古路:smoke"]
    expect(page.locator("#row-S1")).to_contain_text("×3")
    expect(page.locator(".grid-row.runaway")).to_contain_text("10 分钟内 37 次")
    page.locator(".grid-row.runaway button").click()
    form = page.locator("form.maintenance")
    page.keyboard.press("Control+Enter")
    expect(form.locator(".error")).to_be_visible()
    form.locator("input[value=maintenance]").check()
    form.locator("input[value='4']").check()
    form.locator("textarea").fill("探测器误报，已报修")
    sent: list[dict[str, Any]] = []

    def answer(route: Route) -> None:
        sent.append(route.request.post_data_json)
        route.fulfill(status=200, json={"maintenance": {}})

    page.route("**/api/v1/maintenance", answer)
    assert violations(page) == []
    page.keyboard.press("Control+Enter")
    expect(form).to_have_count(0)
    assert (sent[0]["incident"], sent[0]["value"], sent[0]["reason"]) == ("R0", "maintenance", "探测器误报，已报修")


def test_what_is_put_aside_stands_in_its_own_tab_and_is_silent(served: ServedHouse, operator: Operator) -> None:
    house = served.house
    served.do(house.receive([house.event(Kind.OFFLINE, "lobby-1", "corridor")]))
    cry = served.do(house.cries(1, Kind.FALL_SUSPECTED))
    page = operator()
    thing = next(one for one in house.incidents.values() if one.kind is Kind.OFFLINE)
    page.locator(f"#row-{thing.id}").click()
    page.keyboard.press("s")
    form = page.locator("form.shelve")
    page.keyboard.press("Control+Enter")
    expect(form.locator(".error")).to_be_visible()
    form.locator("input[value='2']").check()
    form.locator("textarea").fill("电工正在检修")
    page.keyboard.press("Control+Enter")
    expect(form).to_have_count(0)
    assert ids(page) == [cry.id]
    expect(page.locator(".tabs")).to_contain_text("全部 1")
    page.get_by_role("button", name="搁置 1").first.click()
    expect(page.locator(f"#row-{thing.id}")).to_contain_text("电工正在检修")
    expect(page.locator(f"#row-{thing.id} .cell.due")).to_contain_text(re.compile("1h59|2h00"))
    expect(page.locator(f"#row-{thing.id} .owner")).to_contain_text("李娜")
    assert violations(page) == []
    page.locator(f"#row-{thing.id}").click()
    page.keyboard.press("s")
    has_rows(page, 0)
    assert house.incidents[thing.id].shelf is None
    page.get_by_role("button", name=re.compile("^全部")).click()
    page.locator(f"#row-{cry.id}").click()
    page.keyboard.press("s")  # a person's alarm: never
    expect(page.locator(".notices .warning")).to_be_visible()
    assert house.incidents[cry.id].shelf is None


def test_counters_and_list_agree_in_every_tab(operator: Operator) -> None:
    page = operator()
    states, flags = ("raised", "acknowledged", "resolved", "closed"), ([], ["complaint"], ["call_due"], ["second_cry"])
    rows = [
        row_of(
            f"M{i}",
            ("critical", "major", "minor", "warning")[i % 4],
            state=states[i % 4 if i % 3 else 0],
            owner="李娜" if i % 5 == 0 else None,
            flags=flags[i % 4],
            shelf={"until": "2026-01-01T08:00:00Z", "by": "李娜", "reason": "r"} if i % 7 == 0 else None,
        )
        for i in range(60)
    ]
    page.evaluate(GIVE, rows)
    tabs = page.locator(".tabs button[aria-pressed]")
    expect(tabs).to_have_count(6)
    over = sum(row["state"] == "closed" and row["shelf"] is None for row in rows)
    for i in range(6):
        tabs.nth(i).click()
        counted = int(tabs.nth(i).locator("span").inner_text())
        apart = over + 1 if i == 0 else 0  # under a heading of their own
        assert page.get_by_role("grid").get_attribute("aria-rowcount") == str(counted + apart + 1), tabs.nth(i).inner_text()


def test_who_looks_and_who_edits_is_seen_by_the_others(served: ServedHouse, operator: Operator) -> None:
    incident = served.do(served.house.cries(1))
    first, second = operator("李娜"), operator("周敏")
    cell = first.locator(f"#row-{incident.id} .presence")
    second.locator(f"#row-{incident.id}").click()
    expect(cell).to_contain_text("◎周")
    expect(cell).to_have_attribute("title", "周敏 正在查看")
    second.keyboard.press("n")
    expect(cell).to_contain_text("✎周")
    second.keyboard.press("Escape")
    expect(cell).to_contain_text("◎周")
    second.get_by_role("button", name="离岗").click()
    expect(cell).to_have_count(0)


def test_an_answer_that_never_comes_is_said_and_asked_for_again_once(served: ServedHouse, operator: Operator) -> None:
    incident = served.do(served.house.cries(3))
    page = operator()
    line = page.locator(f"#row-{incident.id}")
    keys: list[str] = []

    def hold(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) > 1:
            route.continue_()

    page.context.route("**/acknowledge", hold)
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(line).to_contain_text("等待确认")
    page.evaluate(LOSE_PATIENCE)
    retry = line.locator("button.retry")
    expect(retry).to_contain_text("未确认")
    assert served.house.incidents[incident.id].state is State.RAISED
    page.keyboard.press("a")
    expect(line).to_have_class(TAKEN)
    assert keys[0] == keys[1], "one wish, whatever the network did"
    expect(retry).to_have_count(0)


def test_somebody_else_was_faster_while_the_answer_was_lost(served: ServedHouse, operator: Operator) -> None:
    incident = served.do(served.house.cries(3))
    page = operator()
    line = page.locator(f"#row-{incident.id}")
    expect(line).to_be_visible()
    page.context.route("**/acknowledge", lambda route: route.abort())
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(line.locator("button.retry")).to_be_visible()
    took(served, incident.id)
    expect(line.locator("button.retry")).to_have_count(0)
    expect(line.locator(".owner")).to_contain_text("周敏")
    expect(page.locator(".notices")).to_contain_text("周敏")


def test_the_server_dies_under_an_open_console(served: ServedHouse, operator: Operator) -> None:
    """No click is lost in silence, nothing that is over stays, and it goes on sounding."""
    stays, over = served.do(served.house.cries(4)), served.do(served.house.cries(5))
    page = operator()
    has_rows(page, 2)
    page.locator(f"#row-{stays.id}").click()
    served.stop()
    page.keyboard.press("a")
    line = page.locator(f"#row-{stays.id}")
    expect(line.locator("button.retry")).to_contain_text("未确认")
    page.evaluate("window.heard.length = 0")
    page.wait_for_function("() => window.heard.includes(660)")  # nobody has it in hand, so it sounds
    house: FakeHouse = served.house
    del house.incidents[over.id]
    served.start(house)
    expect(page.locator(f"#row-{over.id}")).to_have_count(0)
    expect(line.locator("button.retry")).to_be_visible()
    line.locator("button.retry").click()
    expect(line).to_have_class(TAKEN)
    assert house.incidents[stays.id].owner == "李娜"


def test_an_alarm_is_heard_while_the_timers_of_the_page_stand_still(served: ServedHouse, operator: Operator) -> None:
    """A hidden page's timers come once a minute, and it gets no animation frames; what the server says comes at once."""
    still = "window.setInterval = () => 0; window.requestAnimationFrame = () => 0;"
    page = operator(None, before=lambda page: page.add_init_script(still))
    page.locator("#duty-name").fill("李娜")
    page.keyboard.press("Enter")
    page.wait_for_function("() => window.heard.length > 0", polling=50)  # the test tone
    page.evaluate("window.heard.length = 0")
    served.do(served.house.cries(6))
    page.wait_for_function("() => window.heard.includes(660)", polling=50)


def test_sound_that_is_blocked_is_red_over_the_whole_line(served: ServedHouse, operator: Operator) -> None:
    served.do(served.house.cries(1))
    page = operator(before=lambda page: page.add_init_script("window.blocked = true"))
    expect(page.locator(".ringing.silent .no-sound")).to_be_visible()
    expect(page.locator(".sound")).to_contain_text("✕")
    assert violations(page) == []


def test_what_is_read_out_is_true_and_in_the_language_shown(served: ServedHouse, operator: Operator) -> None:
    served.do(served.house.cries(1))
    page = operator()
    status = page.locator("#status")
    expect(status).to_have_text("未结 1，待接 1")
    page.get_by_role("button", name="English").click()
    expect(status).to_have_text("1 open, 1 waiting")
    expect(page.locator("#alert")).to_have_text("1 critical waiting")
    served.do(served.house.cries(2))
    expect(status).to_have_text("2 open, 2 waiting")


def as_role(role: str, name: str | None) -> Any:
    """The page as the server would give it to somebody of this role."""

    def before(page: Page) -> None:
        def handle(route: Route) -> None:
            answer = route.fetch()
            body = answer.json()
            body |= {"account": {"login": role, "name": "李娜", "role": role, "areas": []}, "name": name, "log_in": False}
            route.fulfill(response=answer, json=body)

        page.route("**/api/v1/session", handle)

    return before


@pytest.mark.parametrize(
    ("role", "name", "start", "others"),
    [("ops", None, "devices", {"queue", "supervisor", "requests"}), ("operator", "李娜", "queue", {"supervisor"})],
)
def test_a_role_begins_at_its_own_view_and_has_no_other_than_its_own(
    operator: Operator, role: str, name: str | None, start: str, others: set[str]
) -> None:
    page = operator(None, before=as_role(role, name))
    expect(page.locator(".bar")).to_be_visible()
    store = "async (what) => { const work = await import('/static/work.js'); return work[what].value; }"
    assert page.evaluate(store, "view") == start
    assert not others & set(page.evaluate(store, "reachable"))
    page.wait_for_load_state("networkidle")  # a view that comes late takes the focus, and that closes the menu
    page.locator(".menu > button").click()
    expect(page.locator(".menu nav button").first).to_be_visible()
    assert page.locator(".menu nav button").count() == len(page.evaluate(store, "reachable"))
    page.keyboard.press("Escape")
    page.locator("main, .queue [role=grid]").first.focus()
    page.keyboard.press("g")
    page.keyboard.press("s")
    assert page.evaluate(store, "view") == start


def test_letters_can_be_switched_off_and_what_one_has_set_is_ones_own(served: ServedHouse, operator: Operator) -> None:
    incident = served.do(served.house.cries(1))
    page = operator()
    has_rows(page, 1)
    page.keyboard.press("F1")
    page.locator(".help .setting input").uncheck()
    page.keyboard.press("F1")
    page.get_by_role("grid").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("a")
    page.keyboard.press("?")
    expect(page.locator(".help")).to_have_count(0)
    assert served.house.incidents[incident.id].state is State.RAISED
    border = page.get_by_role("separator").first
    border.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    wide = border.get_attribute("aria-valuenow")
    page.locator(".menu > button").click()
    page.locator(".menu select").select_option("dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(border).to_have_attribute("aria-valuenow", str(wide))
    page.get_by_role("button", name="离岗").click()
    page.locator("#duty-name").fill("周敏")
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    expect(border).not_to_have_attribute("aria-valuenow", str(wide))
    at_work(page)
    page.get_by_role("grid").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("a")
    expect(page.locator(f"#row-{incident.id}")).to_have_class(TAKEN)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_dark_page_is_clean_with_everything_on_it(served: ServedHouse, operator: Operator, language: str) -> None:
    served.do(served.house.cries(1))
    served.do(served.house.cries(2, Kind.HELP))
    served.do(served.house.calls_in("+8619900000005", Kind.CALL_RINGING, "c2"))
    page = operator(color_scheme="dark", **speaking(language))
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator(".call")).to_be_visible()
    shelf = {"until": "2026-01-01T08:00:00Z", "by": "李娜", "reason": "r"}
    page.evaluate(
        GIVE, [row_of("W1", runaway=7, flags=["beyond_circle", "second_cry"], cries=3), row_of("W2", shelf=shelf), row_of("W3", state="closed")]
    )
    page.keyboard.press("F2")
    expect(page.locator(".timeline li").first).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("d")
    expect(page.locator("form.dispatch input:checked")).to_be_focused()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("F1")
    assert violations(page) == []
    page.keyboard.press("F1")
    page.locator(".menu > button").click()
    assert violations(page) == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", [1366, 1920])
def test_the_bar_is_one_line_with_nothing_cut_off(served: ServedHouse, operator: Operator, language: str, width: int) -> None:
    served.call(served.house.change_line, "corridor", "lost", "port_closed")
    page = operator("欧阳娜娜", viewport={"width": width, "height": 768}, **speaking(language))
    page.evaluate(GIVE, [row_of(f"X{i}", ("critical", "major", "minor", "warning")[i % 4]) for i in range(400)])
    page.keyboard.press("h")
    expect(page.locator(".counter.critical")).to_contain_text("100")
    expect(page.locator(".line.lost")).to_be_visible()
    bar = page.locator(".bar")
    page.wait_for_function(
        "() => { const bar = document.querySelector('.bar'); return bar.scrollWidth <= bar.clientWidth; }"
    )  # lines are folded once measured
    assert (bar.bounding_box() or {})["height"] <= 44
    outside = """bar => [...bar.querySelectorAll('button, .counter, .line, .me, time')].filter((one) => {
      const box = one.getBoundingClientRect();
      const isCut = getComputedStyle(one).display !== 'inline' && one.scrollWidth > one.clientWidth + 1;
      return isCut || box.right > innerWidth || box.left < 0 || box.bottom > 44;
    }).map((one) => one.outerHTML.slice(0, 80))"""
    assert bar.evaluate(outside) == []


def test_the_watermark_says_who_and_when_and_is_not_in_the_way(served: ServedHouse, operator: Operator) -> None:
    incident = served.do(served.house.cries(1))
    page = operator()
    expect(page.locator(".watermark")).to_have_attribute("data-words", re.compile(r"^李娜 \d\d:\d\d$"))
    page.locator(f"#row-{incident.id}").click()
    expect(page.locator(".incident-head .id")).to_have_text(incident.id)


def test_a_second_cry_of_what_was_taken_is_seen_and_heard_again(served: ServedHouse, operator: Operator) -> None:
    incident = served.do(served.house.cries(4))
    page = operator()
    has_rows(page, 1)
    page.keyboard.press("F2")
    line = page.locator(f"#row-{incident.id}")
    expect(line).to_have_class(TAKEN)
    page.evaluate("window.heard.length = 0")
    served.do(served.house.cries(4))
    expect(line).to_have_class(re.compile("again"))
    expect(line).to_contain_text("再次")
    page.wait_for_function("() => window.heard.includes(660)")


@pytest.mark.parametrize("language", LANGUAGES)
def test_stations_that_are_closed_cut_nothing_off_in_the_pane_of_responders(browser: Browser, monkeypatch: pytest.MonkeyPatch, language: str) -> None:
    """At any hour: each station opens in two hours, for one."""
    opens = datetime.now(CHINA) + timedelta(hours=2)
    hours = f"{opens:%H:%M}-{opens + timedelta(hours=1):%H:%M}"
    plain = invented_register()
    stations = [one for one in plain.responders.values() if one.kind is ResponderKind.STATION]
    plain.responders.update({one.id: msgspec.structs.replace(one, hours=hours) for one in stations})
    monkeypatch.setattr(service_house, "invented_register", lambda: plain)
    house = service_house.service_house()
    served = ServedHouse(house)
    try:
        incident = served.do(house.cries(2, Kind.FALL))
        options: dict[str, Any] = speaking(language)
        remember = options.pop("before")
        page = browser.new_page(viewport=SIZE, **options)
        page.add_init_script(DEAF)
        remember(page)
        page.goto(served.url)
        page.locator("#duty-name").fill("李娜")
        page.keyboard.press("Enter")
        page.locator(f"#row-{incident.id}").click()
        expect(page.locator(".responders .candidate.off_duty").first).to_be_visible()
        for pane in (".incident", ".responders-body"):
            assert page.locator(pane).evaluate("one => one.scrollWidth <= one.clientWidth"), f"{pane} is cut off sideways"
        page.close()
    finally:
        served.stop()
