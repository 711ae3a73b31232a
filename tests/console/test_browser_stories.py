"""An operator's work at the page, by keyboard alone, in a real browser against a house in memory."""

import re

from playwright.sync_api import Page, WebSocketRoute, expect

from gateway.core.command import Command
from gateway.core.incident import Action, LegState, State
from gateway.event import Kind
from tests.console.browser import TAKEN, Operator, ServedHouse
from tests.console.fake_house import FakeHouse

HEARD = "window.heard.length"
TWICE_MS = 600  # F2 pressed again sooner is the same press


def row(page: Page, incident: str) -> object:
    return page.locator(f"#row-{incident}")


def test_from_the_ring_to_the_call_back(served: ServedHouse, operator: Operator) -> None:
    page = operator("李娜")
    expect(page.locator(".empty")).to_be_visible()
    served.do(served.house.calls_in("+8619900000001", Kind.CALL_RINGING))
    expect(page.locator(".ringing .call")).to_contain_text("199****0001")
    expect(page.locator(".ringing .call")).to_contain_text("12349 线")
    incident = served.do(served.house.cries(1))
    expect(page.locator(f"#row-{incident.id}")).to_contain_text("待接警")

    page.keyboard.press("F2")
    expect(page.locator(".incident-head")).to_contain_text("李娜")
    expect(page.locator(".person .name")).not_to_contain_text("*")  # the owner sees the full name
    assert served.house.incidents[incident.id].owner == "李娜"

    page.keyboard.press("d")
    choice = page.locator("form.dispatch input[type=radio]:checked")
    expect(choice).to_be_focused()
    assert page.locator("form.dispatch input[type=radio]").count() >= 3
    expect(page.locator("form.dispatch label").first).to_contain_text(re.compile(r"约 \d+ 分"))
    wanted = choice.get_attribute("value")
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.work")).to_have_count(0)
    expect(page.locator(".incident")).to_be_focused()
    assert wanted in [leg.responder for leg in served.house.incidents[incident.id].legs]

    page.keyboard.press("n")
    page.keyboard.type("女儿在路上")
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.work")).to_have_count(0)
    expect(page.locator(".timeline li.kind-note")).to_contain_text("女儿在路上")

    page.keyboard.press("c")  # required steps first
    expect(page.locator("form.resolve .error")).to_contain_text("回拨本人")
    page.keyboard.press("Escape")
    page.keyboard.press("Space")
    expect(page.locator(".plan .done").first).to_contain_text("回拨本人")

    page.keyboard.press("c")
    expect(page.locator("form.resolve input").first).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.work")).to_have_count(0)  # the feed may tell of it before the answer is here
    expect(page.locator(".incident-head .state")).to_have_text("已处置·待回访")
    page.keyboard.press("v")
    expect(page.locator("form.call_back input").first).to_be_focused()
    page.keyboard.press("4")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".incident-head .state")).to_have_text("已办结")
    closed = served.house.incidents[incident.id]
    assert (closed.state, closed.satisfaction, closed.outcome) == (State.CLOSED, 4, "helped")
    expect(page.locator(".tabs button").first).to_contain_text("全部")


def test_two_operators_one_incident(served: ServedHouse, operator: Operator) -> None:
    incident = served.do(served.house.cries(2))
    muted: list[bool] = []

    def tap(page: Page) -> None:
        def handle(route: WebSocketRoute) -> None:
            server = route.connect_to_server()
            server.on_message(lambda message: None if muted and '"hb"' not in str(message) else route.send(message))

        page.route_web_socket(re.compile("/api/v1/feed"), handle)

    first, second = operator("李娜"), operator("周敏", before=tap)
    # The second page hears of nothing before it presses: its key must lose at the server, not in the page.
    muted.append(True)
    first.keyboard.press("F2")
    expect(first.locator(f"#row-{incident.id}")).to_have_class(TAKEN)
    expect(second.locator(f"#row-{incident.id}")).to_have_class(re.compile("raised"))
    second.keyboard.press("F2")
    expect(second.locator(".notices")).to_contain_text(re.compile(r"李娜 已在 \d\d:\d\d:\d\d 接警"))
    expect(second.locator(f"#row-{incident.id} .owner")).to_have_text("李娜")
    assert served.house.incidents[incident.id].owner == "李娜"


def test_acknowledge_shows_at_once_and_z_takes_it_back(served: ServedHouse, operator: Operator) -> None:
    incident = served.do(served.house.cries(3))
    page = operator()
    line = page.locator(f"#row-{incident.id}")
    held = []
    page.context.route("**/acknowledge", lambda route: held.append(route))
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(line).to_have_class(re.compile("sending"))
    expect(line).to_contain_text("李娜")
    expect(line).to_contain_text("等待确认")  # 2 s without an answer: the row is itself again
    held[0].continue_()
    expect(line).to_have_class(TAKEN)
    page.keyboard.press("a")  # again: nothing
    page.keyboard.press("z")
    expect(line).to_have_class(re.compile("raised"))
    assert served.house.incidents[incident.id].state is State.RAISED


def test_a_second_cry_raises_again_and_an_answer_is_seen(served: ServedHouse, operator: Operator) -> None:
    incident = served.do(served.house.cries(4))
    page = operator()
    page.keyboard.press("F2")
    line = page.locator(f"#row-{incident.id}")
    expect(line).to_have_class(TAKEN)
    served.do(served.house.deliver())
    leg = served.house.incidents[incident.id].legs[0]
    served.do(served.house.answers(leg.delivery, Kind.ACCEPT))
    expect(page.locator(".legs tbody tr").first).to_contain_text("已接单")
    expect(page.locator(".timeline")).to_contain_text("张站长")
    assert served.house.incidents[incident.id].legs[0].state is LegState.ACCEPTED
    served.do(served.house.cries(4))
    expect(line).to_have_class(re.compile("raised"))
    expect(line).to_contain_text("×2")
    expect(page.locator(".incident-head")).to_contain_text("再次呼救")


def test_numbers_are_shown_for_a_minute_to_the_one_in_charge(served: ServedHouse, operator: Operator) -> None:
    incident = served.do(served.house.cries(5))
    person = served.house.register.persons["p005"]
    number, family = person.phones[0][3:], person.contacts[0].phone[3:]
    page = operator(before=lambda page: page.clock.install())
    expect(page.locator(f"#row-{incident.id}")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("button.reveal")).to_be_disabled()
    page.keyboard.press("r")
    expect(page.locator(".notices")).to_contain_text("显示号码")
    expect(page.locator("form.work")).to_have_count(0)
    page.keyboard.press("a")
    expect(page.locator(".person .name")).to_have_text(person.name)  # confirmed, not only hoped for
    expect(page.locator("button.reveal")).to_be_enabled()
    served.house.store_down = True
    page.keyboard.press("r")
    expect(page.locator("form.reveal input:checked")).to_be_focused()
    page.keyboard.press("Control+Enter")
    expect(page.locator(".notices")).to_contain_text("暂时无法保存")
    assert number not in page.content()
    served.house.store_down = False
    page.keyboard.press("Control+Enter")
    expect(page.locator(".person dd.full")).to_contain_text(number)
    expect(page.locator(".contacts")).to_contain_text(family)
    expect(page.locator(".contacts")).to_contain_text("09315550000")
    assert [facts["reason"] for kind, _, facts in served.house.notes if kind is Kind.REVEAL] == ["call_back"]
    page.clock.run_for(61_000)
    expect(page.locator("button.reveal")).to_be_visible()
    assert number not in page.content()
    assert family not in page.content()
    page.keyboard.press("r")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".person dd.full")).to_contain_text(number)
    served.do(served.house.cries(5))  # raised again: in nobody's hands
    expect(page.locator(f"#row-{incident.id}")).to_have_class(re.compile("raised"))
    expect(page.locator(".person dd.full")).to_have_count(0)
    assert number not in page.content()


def test_a_withdrawal_that_left_is_no_second_order(served: ServedHouse, operator: Operator) -> None:
    incident = served.do(served.house.cries(6))
    page = operator()
    page.keyboard.press("F2")
    served.do(served.house.deliver())
    page.get_by_role("button", name="撤回").click()
    expect(page.locator(".legs .leg.withdrawn")).to_be_visible()
    served.do(served.house.deliver())
    sent = page.locator(".timeline li.kind-sent b")
    expect(sent).to_have_text(["撤回通知已送达", "派单已送达"])
    page.get_by_role("button", name="English").click()
    expect(sent).to_have_text(["Withdrawal delivered", "Order delivered"])
    assert served.house.incidents[incident.id].legs[0].state is LegState.WITHDRAWN


def test_whoever_was_rung_is_told_by_voice_which_is_no_failure(served: ServedHouse, operator: Operator) -> None:
    incident = served.do(served.house.cries(6))
    served.do(served.house.deliver())
    leg = served.house.incidents[incident.id].legs[0]
    served.do(served.house.answers(leg.delivery, Kind.ACCEPT, by="duty-station-u14"))
    page = operator()
    page.keyboard.press("F2")
    page.get_by_role("button", name="English").click()
    expect(page.locator(f"#row-{incident.id}")).to_have_class(TAKEN)
    answered = page.locator(".legs .by")
    expect(answered).to_have_text("duty-station-u14")
    assert (answered.bounding_box() or {})["height"] < 26, "on one line"
    for facts in ({"action": Action.STEP, "facts": {"step": "call_person"}}, {"action": Action.RESOLVE, "facts": {"outcome": "helped"}}):
        served.do(served.house.command(Command(actor="李娜", incident=incident.id, **facts)))
    served.do(served.house.deliver("tell_by_voice"))
    expect(page.locator(".legs tbody tr")).to_contain_text("Over · resolved")
    told = page.locator(".timeline li").first
    expect(told).to_contain_text("Tell by telephone: it is over")
    expect(told).to_have_class("kind-by_voice")
    expect(page.locator(".timeline li.kind-failed")).to_have_count(0)
    page.get_by_role("button", name="中文").click()
    expect(told).to_contain_text("请电话告知：无需再前往")


def test_shared_number_asks_who_it_is(served: ServedHouse, operator: Operator) -> None:
    served.do(served.house.calls_in("+8619900000003", Kind.CALL_ABANDONED))
    page = operator()
    page.keyboard.press("F2")
    people = page.locator(".shared li")
    expect(people.first).to_be_visible()
    assert people.count() >= 2
    people.first.get_by_role("button").press("Enter")
    expect(page.locator(".shared")).to_have_count(0)
    expect(page.locator(".person .name")).not_to_contain_text("人共用")


def test_drafts_survive_escape_reload_and_a_conflict(served: ServedHouse, operator: Operator) -> None:
    incident = served.do(served.house.cries(5))
    page = operator()
    page.keyboard.press("F2")
    expect(page.locator(f"#row-{incident.id}")).to_have_class(TAKEN)  # a reload would cut the wish off
    page.keyboard.press("n")
    page.keyboard.type("half a sentence")
    page.keyboard.press("Escape")
    expect(page.locator("form.work")).to_have_count(0)
    page.keyboard.press("n")
    expect(page.locator("textarea")).to_have_value("half a sentence")
    page.reload()
    expect(page.locator("textarea")).to_have_value("half a sentence")
    page.keyboard.press("Escape")
    expect(page.locator("form.work")).to_have_count(0)

    expect(page.locator(f"#row-{incident.id}")).to_have_class(TAKEN)  # the page has its data again after the reload
    expect(page.locator(".plan")).to_contain_text("回拨本人")
    page.keyboard.press("Space")
    expect(page.locator(".plan .done").first).to_contain_text("回拨本人")
    page.keyboard.press("c")
    page.keyboard.press("Space")
    page.locator("form.resolve textarea").fill("went well")
    served.do(served.house.cries(5))  # raised again meanwhile: resolving is no longer possible
    expect(page.locator(f"#row-{incident.id}")).to_have_class(re.compile("raised"))
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.resolve .error[role=alert]")).to_contain_text("草稿已保留")
    expect(page.locator(".notices")).to_contain_text("警情状态已变为“待接警”")
    expect(page.locator("form.resolve textarea")).to_have_value("went well")


def test_store_down_claims_nothing(served: ServedHouse, operator: Operator) -> None:
    incident = served.do(served.house.cries(6))
    page = operator()
    expect(page.locator(f"#row-{incident.id}")).to_be_visible()
    served.house.store_down = True
    page.keyboard.press("F2")
    expect(page.locator(".notices")).to_contain_text("暂时无法保存")
    expect(page.locator(f"#row-{incident.id}")).to_have_class(re.compile("raised"))
    served.house.store_down = False
    page.wait_for_timeout(TWICE_MS)
    page.keyboard.press("F2")
    expect(page.locator(f"#row-{incident.id}")).to_have_class(TAKEN)


def test_reload_in_mid_alarm_goes_on_sounding(served: ServedHouse, operator: Operator) -> None:
    served.do(served.house.cries(7))
    page = operator()
    expect(page.locator(".sound")).to_contain_text("✓")
    page.wait_for_function("() => window.heard.filter(hz => hz === 660).length >= 12")  # two test tones, ten pulses
    page.reload()
    expect(page.locator(".ringing .no-sound")).to_be_visible()  # says that it cannot sound yet
    assert page.evaluate(HEARD) == 0
    page.keyboard.press("ArrowDown")
    page.wait_for_function("() => window.heard.filter(hz => hz === 660).length >= 10")
    page.keyboard.press("h")
    expect(page.locator(".sound")).to_contain_text("静音")


def test_server_started_again_under_the_page(served: ServedHouse, operator: Operator) -> None:
    old = served.do(served.house.cries(8))
    page = operator()
    expect(page.locator(f"#row-{old.id}")).to_be_visible()
    served.stop()
    served.start(FakeHouse())
    served.do(served.house.cries(9))
    fresh = served.do(served.house.cries(10))
    expect(page.locator(f"#row-{fresh.id}")).to_be_visible()
    expect(page.locator(".me")).to_have_text("李娜")
    page.keyboard.press("F2")
    expect(page.locator(".incident-head")).to_contain_text("李娜")
