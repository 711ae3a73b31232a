"""The page itself: feed guard, keys with an input method, languages, the virtual grid, motion, masking, accessibility."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from gateway.event import Kind
from tests.console.browser import TAKEN, Operator, ServedHouse
from tests.console.fake_house import Line

ROWS = 2000
NODES_LIMIT = 700  # console design, 12

MANY = """async (count) => {
  const store = await import('/static/store.js');
  const severities = ['critical', 'major', 'minor', 'warning'];
  const items = [];
  for (let i = 0; i < count; i += 1) items.push({type: 'incident', id: 'X' + (200000 + i), version: 1,
    state: i % 3 ? 'acknowledged' : 'raised',
    kind: 'help', severity: severities[i % 4], flags: [], cries: 1, entries: 1, name: 'N**', age: 80, risks: ['living_alone'], place: 'somewhere',
    hotline: null, caller: null, candidates: 0, opened_at: '2026-01-01T00:00:00Z',
    due: {name: 'acknowledge', at: new Date(Date.now() + i * 1000).toISOString()},
    owner: null, leg: null, leg_responder: null});
  store.receive({items});
}"""

ONE = """async (row) => { const store = await import('/static/store.js'); store.receive({items: [row]}); }"""


def test_nothing_is_said_of_what_waits_before_it_is_known(served: ServedHouse, operator: Operator) -> None:
    held: list[tuple[WebSocketRoute, str | bytes]] = []
    holds = [True]

    def tap(page: Page) -> None:
        def handle(route: WebSocketRoute) -> None:
            server = route.connect_to_server()
            server.on_message(lambda message: held.append((route, message)) if holds else route.send(message))

        page.route_web_socket(re.compile("/api/v1/feed"), handle)
        page.route("**/api/v1/changes*", lambda route: route.abort() if holds else route.continue_())

    incident = served.do(served.house.cries(1))
    page = operator(None, before=tap)
    page.locator("#duty-name").fill("李娜")
    page.keyboard.press("Enter")
    expect(page.locator(".queue")).to_have_attribute("aria-busy", "true")
    expect(page.locator(".empty")).to_have_text("加载中…")
    page.keyboard.press("F2")
    expect(page.locator(".notices")).to_contain_text("加载中…")
    holds.clear()
    for route, message in held:
        route.send(message)
    expect(page.locator(f"#row-{incident.id}")).to_be_visible()
    expect(page.locator(".queue")).to_have_attribute("aria-busy", "false")


def test_a_silent_link_is_noticed(served: ServedHouse, operator: Operator) -> None:
    """The socket stays open and nothing comes: only frames are proof of life."""
    muted: list[bool] = []

    def tap(page: Page) -> None:
        def handle(route: WebSocketRoute) -> None:
            server = route.connect_to_server()
            server.on_message(lambda message: None if muted else route.send(message))

        page.route_web_socket(re.compile("/api/v1/feed"), handle)
        page.route("**/api/v1/changes*", lambda route: route.abort() if muted else route.continue_())
        page.clock.install()

    served.do(served.house.cries(1))
    page = operator(before=tap)
    expect(page.locator(".link")).to_have_class(re.compile("live"))
    page.clock.run_for(4000)
    expect(page.locator(".queue")).not_to_have_class(re.compile("stale"))
    muted.append(True)
    page.clock.run_for(14000)
    expect(page.locator(".ringing")).to_contain_text("连接中断")
    expect(page.locator(".as-of")).to_contain_text(re.compile(r"截至 \d\d:\d\d:\d\d"))
    expect(page.locator(".queue")).to_have_class(re.compile("stale"))
    page.wait_for_function("() => window.heard.includes(392) && window.heard.includes(262)")  # the falling pair
    muted.clear()
    page.clock.run_for(12000)
    expect(page.locator(".link")).to_have_class(re.compile("live|polling"))
    expect(page.locator(".queue")).not_to_have_class(re.compile("stale"))


def test_a_cut_link_is_amber_at_once_and_lost_after_two_attempts(served: ServedHouse, operator: Operator) -> None:
    sockets: list[WebSocketRoute] = []
    cut: list[bool] = []

    def tap(page: Page) -> None:
        def handle(route: WebSocketRoute) -> None:
            if cut:
                route.close()
                return
            sockets.append(route)
            route.connect_to_server()

        page.route_web_socket(re.compile("/api/v1/feed"), handle)
        page.route("**/api/v1/changes*", lambda route: route.abort() if cut else route.continue_())

    page = operator(before=tap)
    link = page.locator(".link")
    expect(link).to_have_class(re.compile("live"))
    page.evaluate(
        "() => { window.states = []; const link = document.querySelector('.link');"
        " new MutationObserver(() => window.states.push([link.className.slice(5), window.heard.includes(392)]))"
        ".observe(link, {attributes: true, attributeFilter: ['class']}); }"
    )
    cut.append(True)
    sockets[0].close()
    expect(link).to_have_class(re.compile("lost"))
    expect(page.locator(".ringing")).to_contain_text("连接中断")
    states = page.evaluate("window.states")
    assert [name for name, _ in states] == ["reconnecting", "lost"]
    assert not states[0][1]
    page.wait_for_function("() => window.heard.includes(392)")  # only now the falling pair
    cut.clear()
    expect(link).to_have_class(re.compile("live|polling"))


def test_a_line_that_is_not_live_is_never_cut_off(served: ServedHouse, operator: Operator) -> None:
    """At 1366 pixels: first the lost, mandatory before others; the live ones become a count."""
    for name, mandatory in (("zigbee-gateway-haishiwan", True), ("smoke-detectors-pingan", False), ("a-wearables-second-broker", True)):
        served.house.lines[name] = Line("generic", mandatory, "live", served.house.now())
    page = operator()
    lines = page.locator(".bar .line")
    expect(lines).to_have_count(1)
    expect(page.locator(".line.folded")).to_contain_text("6/6")
    served.call(served.house.change_line, "smoke-detectors-pingan", "lost", "port_closed")
    served.call(served.house.change_line, "zigbee-gateway-haishiwan", "suspect", "silent for 60 s")
    expect(page.locator(".line.folded")).to_contain_text("4/6")
    assert [line.split("\n")[0][1:25] for line in lines.all_inner_texts()[:2]] == ["zigbee-gateway-haishiwan", "smoke-detectors-pingan"[:24]]
    for name in [*served.house.lines][1:]:
        served.call(served.house.change_line, name, "lost", "port_closed")
    expect(page.locator(".line.lost")).to_have_count(5)
    bar = page.locator(".bar").bounding_box()
    assert bar is not None
    for line in page.locator(".line.lost").all():
        box = line.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 1366
        assert bar["y"] <= box["y"] <= bar["y"] + bar["height"] - box["height"]
    served.call(served.house.change_line, "hotline", "lost", "port_closed")
    expect(page.locator(".line.lost")).to_have_count(6)
    expect(page.locator(".line.folded")).to_have_count(0)


def test_live_lines_are_named_where_there_is_room(served: ServedHouse, operator: Operator) -> None:
    served.house.lines["smoke-detectors-pingan"] = Line("generic", False, "live", served.house.now())
    page = operator(viewport={"width": 1920, "height": 1080})
    expect(page.locator(".bar .line")).to_have_count(4)
    expect(page.locator(".bar .lines")).to_contain_text("wearables")
    page.set_viewport_size({"width": 1100, "height": 768})
    expect(page.locator(".line.folded")).to_contain_text("4/4")
    page.set_viewport_size({"width": 1920, "height": 1080})
    expect(page.locator(".bar .line")).to_have_count(4)


def test_a_lost_line_says_which_and_why(served: ServedHouse, operator: Operator) -> None:
    house = served.house
    reason = "/dev/panel0: Connection was closed cleanly."
    served.do(house.receive([house.event(Kind.LINE_LOST, None, "corridor", detail={"reason": reason, "mandatory": True})]))
    served.do(house.receive([house.event(Kind.OFFLINE, "lobby-1", "corridor")]))
    page = operator()
    rows = page.locator(".grid-row[data-id]")
    expect(rows.first.locator(".name")).to_have_text("corridor")
    expect(rows.first.locator(".place")).to_contain_text("线路 espa444")
    expect(rows.nth(1).locator(".name")).to_have_text("lobby-1")
    page.keyboard.press("F2")
    expect(page.locator(".incident-head")).to_contain_text("corridor")
    expect(page.locator(".person .name")).to_have_text("corridor")
    expect(page.locator(".person dl")).to_contain_text("串口已断开")
    expect(page.locator(".person dl .small")).to_have_text(reason)
    expect(page.locator(".timeline li.kind-line_lost")).to_contain_text("串口已断开")
    page.get_by_role("button", name="English").click()
    expect(page.locator(".timeline li.kind-line_lost")).to_contain_text("serial port closed")
    expect(rows.first.locator(".place")).to_contain_text("line espa444")
    assert "未知" not in page.content()


def test_what_the_gateway_says_of_itself_is_no_line(served: ServedHouse, operator: Operator) -> None:
    """Nobody on duty has sound, of all and of one area; its own alarms of one point do not come back."""
    house = served.house
    deaf = {"reason": "no_ears", "mandatory": True}
    served.do(house.receive([house.event(Kind.LINE_LOST, None, "console", detail=deaf)]))
    page = operator()
    row = page.locator(".grid-row[data-id]")
    expect(row.locator(".name")).to_have_text("无有声席位")
    expect(row.locator(".place")).to_have_text("全区")
    served.do(house.receive([house.event(Kind.LINE_LOST, None, "console:haishiwan", detail=deaf)]))
    served.do(house.receive([house.event(Kind.SELF_TEST_MISSED, None, "self_test:lobby", detail={"reason": "silent", "misses": 2})]))
    page.get_by_role("button", name="English").click()
    rows = page.locator(".grid-row[data-id]")
    expect(rows).to_have_count(3)
    expect(rows.filter(has_text="haishiwan").locator(".name")).to_have_text("no console with sound")
    expect(rows.filter(has_text="lobby").locator(".name")).to_have_text("the gateway's self-test")
    assert "undefined" not in page.content()


def test_keys_work_with_an_input_method_on(served: ServedHouse, operator: Operator) -> None:
    incident = served.do(served.house.cries(1))
    page = operator()
    expect(page.locator(f"#row-{incident.id}")).to_be_visible()
    page.get_by_role("grid").focus()
    wire = page.context.new_cdp_session(page)

    def press(code: str) -> None:
        wire.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", "key": "Process", "code": code, "windowsVirtualKeyCode": 229})
        wire.send("Input.dispatchKeyEvent", {"type": "keyUp", "key": "Process", "code": code, "windowsVirtualKeyCode": 229})

    press("KeyJ")
    press("KeyA")
    expect(page.locator(f"#row-{incident.id}")).to_have_class(TAKEN)
    press("KeyN")
    expect(page.locator("form.note textarea")).to_be_focused()
    wire.send("Input.imeSetComposition", {"text": "nv", "selectionStart": 2, "selectionEnd": 2})
    press("KeyC")  # belongs to the input method
    expect(page.locator("form.note")).to_be_visible()
    wire.send("Input.insertText", {"text": "女儿"})
    expect(page.locator("form.note textarea")).to_have_value("女儿")


def test_language_is_switched_and_remembered(served: ServedHouse, operator: Operator) -> None:
    served.do(served.house.cries(1))
    page = operator()
    expect(page).to_have_title("12349 接警台 · 红古区")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.get_by_role("button", name="English").click()
    expect(page.locator(".tabs")).to_contain_text("Waiting 1")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.reload()
    expect(page.locator(".tabs")).to_contain_text("Waiting 1")
    page.get_by_role("button", name="中文").click()
    expect(page.locator(".tabs")).to_contain_text("未接 1")


def test_a_notice_speaks_the_language_shown_beside_the_keys(served: ServedHouse, operator: Operator) -> None:
    page = operator(before=lambda page: page.clock.install())
    notices = page.locator(".notices")
    before = page.get_by_role("grid").bounding_box()
    page.keyboard.press("F2")
    expect(notices).to_contain_text("没有待接的警情")
    expect(notices).to_contain_text("F2 接最急")
    page.get_by_role("button", name="English").click()
    expect(notices).to_contain_text("Nothing is waiting")
    expect(notices).to_contain_text("F2 take next")
    assert page.get_by_role("grid").bounding_box() == before  # nothing moves for it
    page.clock.run_for(10_500)
    expect(notices).not_to_contain_text("Nothing is waiting")
    expect(notices).to_contain_text("F2 take next")


def test_key_list_and_search(served: ServedHouse, operator: Operator) -> None:
    served.do(served.house.cries(1))
    served.do(served.house.cries(2, Kind.HELP))
    page = operator()
    expect(page.locator(".grid-row[data-id]")).to_have_count(2)
    page.keyboard.press("Shift+Slash")
    dialog = page.get_by_role("dialog")
    for key in ("F2", "Z", "Space", "Ctrl+Enter", "PgDn"):
        expect(dialog).to_contain_text(key)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.keyboard.press("F1")
    expect(dialog).to_be_visible()
    page.keyboard.press("F1")
    page.keyboard.press("/")
    page.keyboard.type("服务请求")
    expect(page.locator(".grid-row[data-id]")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.get_by_role("grid")).to_be_focused()


def test_two_thousand_rows_are_few_nodes(operator: Operator) -> None:
    page = operator()
    page.evaluate(MANY, ROWS)
    grid = page.get_by_role("grid")
    expect(grid).to_have_attribute("aria-rowcount", str(ROWS + 1))
    count = "() => document.querySelectorAll('.queue *').length"
    assert page.evaluate(count) <= NODES_LIMIT
    page.keyboard.press("End")
    expect(page.locator(f'[aria-rowindex="{ROWS + 1}"]')).to_have_attribute("aria-selected", "true")
    page.keyboard.press("PageUp")
    page.keyboard.press("k")
    active = grid.get_attribute("aria-activedescendant")
    expect(page.locator(f"#{active}")).to_be_in_viewport()
    assert page.evaluate(count) <= NODES_LIMIT
    page.keyboard.press("Home")
    grid.evaluate("grid => { grid.scrollTop = 30000; }")
    expect(page.locator('[aria-rowindex="840"]')).to_be_visible()
    active = grid.get_attribute("aria-activedescendant")
    expect(page.locator(f"#{active}")).to_have_count(1)  # the active row is always in the page
    assert page.evaluate(count) <= NODES_LIMIT
    counters = page.locator(".counter")
    assert [counters.nth(i).inner_text()[-3:] for i in range(4)] == ["500"] * 4  # one store: counters, tabs and list agree


@pytest.mark.parametrize("cursor", [0, 3])
def test_row_under_the_cursor_keeps_its_place(operator: Operator, cursor: int) -> None:
    page = operator()
    page.evaluate(MANY, 40)
    rows = page.locator(".grid-row[data-id]")
    expect(rows.first).to_be_visible()
    page.keyboard.press("Home")
    for _ in range(cursor):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Escape")
    active = page.locator(".grid-row[aria-selected=true]")
    before = active.bounding_box()
    name = active.get_attribute("id")
    new: dict[str, Any] = {
        "type": "incident",
        "version": 1,
        "state": "raised",
        "kind": "sos",
        "severity": "critical",
        "flags": [],
        "cries": 1,
        "risks": [],
    }
    for i in range(3):
        page.evaluate(ONE, {**new, "id": f"A{i}", "opened_at": "2026-01-01T00:00:00Z", "due": {"name": "acknowledge", "at": "2020-01-01T00:00:00Z"}})
    expect(page.locator(".above")).to_contain_text("3")
    pill, heading, field = (page.locator(one).bounding_box() for one in (".above", ".grid-head", "#search"))
    assert pill is not None
    assert heading is not None
    assert field is not None
    assert pill["y"] + pill["height"] <= heading["y"], "it covers the names of the columns"
    assert pill["x"] >= field["x"] + field["width"]
    assert (active.get_attribute("id"), active.bounding_box()) == (name, before)
    page.keyboard.press("Home")
    expect(page.locator("#row-A0")).to_be_in_viewport()
    expect(page.locator(".above")).to_have_count(0)


def test_rows_that_leave_above_the_cursor_leave_no_gap(operator: Operator) -> None:
    """Just pressed: one row of empty space at most holds the place; five seconds later, or with nobody at the keys, none."""
    page = operator(before=lambda page: page.clock.install())
    page.evaluate(MANY, 40)
    first = page.locator(".grid-row[data-id]").first
    expect(first).to_be_visible()
    page.clock.pause_at(page.evaluate("Date.now()") + 1000)  # what was just pressed stays just pressed, on any machine
    page.keyboard.press("Home")
    for _ in range(6):
        page.keyboard.press("ArrowDown")
    top = "() => Math.min(...[...document.querySelectorAll('.grid-row[data-id]')].map((row) => row.getBoundingClientRect().top))"
    gone = "async (ids) => { const store = await import('/static/store.js'); store.receive({gone: ids}); }"
    at_rest = page.evaluate(top)
    page.evaluate(gone, ["incident:X200000", "incident:X200004", "incident:X200008"])
    expect(page.locator("#row-X200000")).to_have_count(0)
    assert page.evaluate(top) == at_rest + 36
    page.clock.run_for(5500)
    page.wait_for_function(f"(wanted) => ({top})() === wanted", arg=at_rest)
    page.evaluate(gone, ["incident:X200012"])
    expect(page.locator("#row-X200012")).to_have_count(0)
    assert page.evaluate(top) == at_rest


def test_reduced_motion(served: ServedHouse, operator: Operator) -> None:
    incident = served.do(served.house.cries(1))
    moving = "row => getComputedStyle(row, '::before').animationName"
    page = operator()
    assert page.locator(f"#row-{incident.id}").evaluate(moving) == "pulse"
    still = operator("周敏", reduced_motion="reduce")
    assert still.locator(f"#row-{incident.id}").evaluate(moving) == "none"


def test_masked_until_taken_and_lines_in_the_bar(served: ServedHouse, operator: Operator) -> None:
    incident = served.do(served.house.cries(1))
    page = operator()
    expect(page.locator(f"#row-{incident.id}")).to_be_visible()  # before it there is nothing that a key could open
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator(".incident")).to_be_focused()
    expect(page.locator(".person .name")).to_have_text(re.compile(r"^.\*\*$"))
    person = served.house.register.persons[str(incident.person)]
    assert person.name not in page.content()
    assert person.phones[0][3:] not in page.content()
    page.keyboard.press("a")
    expect(page.locator(".person .name")).to_have_text(person.name)
    served.call(served.house.change_line, "corridor", "lost", "port_closed")
    expect(page.locator(".line", has_text="corridor")).to_have_class(re.compile("lost"))


AXE = (Path(__file__).with_name("axe") / "axe.min.js").read_text()
AXE_RULES = "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong on the page as it stands."""
    page.evaluate(AXE)
    found = page.evaluate(AXE_RULES)["violations"]
    return [f"{one['id']}: {one['help']}: {node['html'][:120]}" for one in found for node in one["nodes"]]


def test_axe_is_clean_on_every_screen(served: ServedHouse, operator: Operator) -> None:
    served.do(served.house.cries(1))
    served.do(served.house.cries(2, Kind.HELP))
    served.do(served.house.calls_in("+8619900000003", Kind.CALL_ABANDONED))
    served.do(served.house.calls_in("+8619900000005", Kind.CALL_RINGING, "c2"))
    nobody = operator(None, reduced_motion="reduce")
    expect(nobody.locator("#duty-name")).to_be_focused()
    assert violations(nobody) == []
    page = operator(reduced_motion="reduce")
    expect(page.locator(".call")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("F2")
    page.keyboard.press("d")
    expect(page.locator("form.dispatch input:checked")).to_be_focused()
    assert violations(page) == []
    for key, form in (("c", "resolve"), ("n", "note")):
        page.keyboard.press("Escape")
        page.keyboard.press(key)
        expect(page.locator(f"form.{form}")).to_be_visible()
        assert violations(page) == []
    page.keyboard.press("F1")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page) == []


def test_twice_as_large_on_the_smallest_screen(served: ServedHouse, operator: Operator) -> None:
    """1366 pixels at 200 % are 683: nothing is cut off sideways, every pane can be scrolled to."""
    served.do(served.house.cries(2, Kind.HELP))
    page = operator(viewport={"width": 683, "height": 384}, device_scale_factor=2)
    page.keyboard.press("F2")
    entry = page.locator(".timeline li.kind-help")
    expect(entry).to_be_attached()
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    for name in ("queue", "incident", "responders"):
        pane = page.locator(f"section.{name}")
        pane.scroll_into_view_if_needed()
        box = pane.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 683
    inside, pane = entry.bounding_box(), page.locator("section.incident").bounding_box()
    assert inside is not None
    assert pane is not None
    assert inside["x"] >= pane["x"]
    assert inside["width"] <= pane["width"]
