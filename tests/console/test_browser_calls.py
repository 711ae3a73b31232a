"""Calls at the page, in a real browser: the record opens at one's own desk, call-backs stand in order, a matter is handed over by keyboard."""

from playwright.sync_api import Page, expect

from gateway.console.views import mask_name
from gateway.core.incident import State
from gateway.event import Kind, Phase
from tests.console.browser import Operator, ServedHouse

FIRST, SECOND = "+8617400000011", "+8617400000012"


def at_desk(extension: str) -> object:
    """Before the page is opened: this browser's desk has this telephone."""
    return lambda page: page.add_init_script(f"localStorage.setItem('duty.extension', '{extension}')")


async def loses(served: ServedHouse, caller: str, key: str, **more: object) -> None:
    detail = {"call": key, "hotline": "12349", "caller_e164": caller, "caller": caller, **more}
    await served.house.receive([served.house.event(Kind.CALL_ABANDONED, caller, line="hotline", phase=Phase.STATE, detail=detail)])


def test_a_call_answered_at_ones_own_desk_opens_its_record_and_at_anothers_does_not(served: ServedHouse, operator: Operator) -> None:
    mine: Page = operator("李娜", before=at_desk("8001"))
    other: Page = operator("周敏", before=at_desk("8002"))
    served.do(served.house.calls_in("+8619900000001", Kind.CALL_RINGING))
    expect(mine.locator(".ringing .call")).to_be_visible()
    assert mine.locator(".incident-head").count() == 0, "a ringing call opens nothing"
    served.do(served.house.calls_in("+8619900000001", Kind.CALL_ANSWERED, agent="8001"))
    (incident,) = served.house.incidents
    expect(mine.locator(".incident-head .id")).to_have_text(incident)
    expect(mine.locator(".ringing .call.mine")).to_be_visible()
    expect(other.locator(".ringing .call")).to_be_visible()
    assert other.locator(".incident-head").count() == 0
    other.locator(".ringing .call button").click()
    expect(other.locator(".incident-head .id")).to_have_text(incident)


# As soon as another record stands in the pane, the key that was meant for the one before it.
KEY_AT_THE_SWAP = """(before) => new MutationObserver((_, watch) => {
  const id = document.querySelector(".incident-head .id")?.textContent;
  if (!id || id === before) return;
  watch.disconnect();
  document.querySelector(".incident").dispatchEvent(new KeyboardEvent("keydown", { code: "KeyN", key: "n", bubbles: true }));
  document.body.dataset.pressed = "yes";
}).observe(document.body, { childList: true, subtree: true, characterData: true })"""


def test_a_key_meant_for_the_incident_that_was_open_does_nothing_to_the_call_that_came(served: ServedHouse, operator: Operator) -> None:
    page = operator("李娜", before=at_desk("8001"))
    alarm = served.do(served.house.cries(5))
    expect(page.locator(f"#row-{alarm.id}")).to_be_visible()
    page.keyboard.press("F2")
    expect(page.locator(".incident-head .id")).to_have_text(alarm.id)
    page.evaluate(KEY_AT_THE_SWAP, alarm.id)
    served.do(served.house.calls_in("+8619900000001", Kind.CALL_RINGING))
    served.do(served.house.calls_in("+8619900000001", Kind.CALL_ANSWERED, agent="8001"))
    call = next(one for one in served.house.incidents.values() if one.id != alarm.id)
    expect(page.locator("body[data-pressed]")).to_have_count(1)
    expect(page.locator(".incident-head .id")).to_have_text(call.id)
    expect(page.locator(".notices")).to_contain_text(alarm.id)  # says what was open before
    assert page.locator("form.note").count() == 0


def test_a_call_of_a_home_unit_has_the_name_of_its_alarm(served: ServedHouse, operator: Operator) -> None:
    alarm = served.do(served.house.cries(3, detail={"voice": FIRST}))
    served.do(served.house.calls_in(FIRST, Kind.CALL_RINGING))
    assert not next(iter(served.house.calls.values())).persons, "by the number alone nobody is known"
    call = operator("李娜").locator(".ringing .call")
    expect(call).to_contain_text(alarm.id)
    name = mask_name(served.house.register.persons["p003"].name)
    expect(call).to_contain_text(f"174****0011 → {name}")
    expect(call).not_to_contain_text("身份未知")


def test_the_timeline_says_the_callers_number_once_and_the_agents_name(served: ServedHouse, operator: Operator) -> None:
    answered = served.house.event(
        Kind.CALL_ANSWERED,
        FIRST,
        line="hotline",
        phase=Phase.STATE,
        detail={"call": "a", "hotline": "12349", "caller_e164": FIRST, "caller": FIRST, "agent": "8002", "agent_name": "赵敏"},
    )
    served.do(served.house.receive([answered]))
    page = operator("李娜")
    page.keyboard.press("F2")
    said = page.locator(".timeline li.kind-call_answered")
    expect(said).to_contain_text("赵敏")
    assert said.inner_text().count("174****0011") == 1
    assert "8002" not in said.inner_text()
    said.locator("time").evaluate("(one) => { one.textContent = '12:00:00'; }")  # around midnight the day stands before it, and takes a line more
    assert (said.bounding_box() or {})["height"] < 30, "on one line"


def test_who_is_writing_is_not_disturbed_by_a_call(served: ServedHouse, operator: Operator) -> None:
    alarm = served.do(served.house.cries(1))
    page = operator("李娜", before=at_desk("8001"))
    page.keyboard.press("F2")
    expect(page.locator(".incident-head .id")).to_have_text(alarm.id)
    page.keyboard.press("n")
    page.keyboard.type("正在通话")
    served.do(served.house.calls_in(SECOND, Kind.CALL_ANSWERED, agent="8001"))
    expect(page.locator(".ringing .call.mine")).to_be_visible()
    expect(page.locator(".incident-head .id")).to_have_text(alarm.id)
    expect(page.locator("form.note textarea")).to_have_value("正在通话")


def test_call_backs_stand_urgent_first_then_who_tried_first(served: ServedHouse, operator: Operator) -> None:
    for caller, key in [(FIRST, "a"), (SECOND, "b"), (SECOND, "c"), (SECOND, "d"), ("+8617400000013", "e")]:
        served.do(loses(served, caller, key))
    page = operator("李娜")
    page.locator(".tabs button", has_text="回访").click()
    rows = page.locator("[role=row][id^=row-]")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("174****0012")
    expect(rows.nth(0)).to_contain_text("☎×3")
    expect(rows.nth(1)).to_contain_text("174****0011")
    expect(rows.nth(2)).to_contain_text("174****0013")


def test_a_restricted_number_is_a_word_on_the_page(served: ServedHouse, operator: Operator) -> None:
    served.do(loses(served, FIRST, "a", presentation="restricted"))
    page = operator("李娜")
    page.keyboard.press("F2")
    expect(page.locator(".person")).to_contain_text("号码保密")
    expect(page.locator("body")).not_to_contain_text("0011")


def test_a_matter_is_handed_over_by_keyboard(served: ServedHouse, operator: Operator) -> None:
    served.do(served.house.calls_in(FIRST, Kind.CALL_ANSWERED))
    (incident,) = served.house.incidents
    page = operator("李娜")
    page.keyboard.press("F2")
    expect(page.locator(".timeline li.kind-acknowledge")).to_be_visible()  # heard from the server: only what is taken can be handed over
    page.keyboard.press("o")
    expect(page.locator("form.hand_over input").first).to_be_focused()
    assert page.locator("form.hand_over input[type=radio]").count() == 2, "not to where it is"
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.hand_over .error")).to_contain_text("请选择热线")
    page.keyboard.press("Space")
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.work")).to_have_count(0)
    moved = served.house.incidents[incident]
    assert (moved.hotline, moved.state, moved.owner) == ("12345", State.RAISED, None)


def test_a_hint_is_taken_with_one_click(served: ServedHouse, operator: Operator) -> None:
    number = served.house.register.persons["p001"].phones[0]
    served.do(loses(served, FIRST, "a", redirecting=number))
    (incident,) = served.house.incidents
    page = operator("李娜")
    page.keyboard.press("F2")
    expect(page.locator(".hints")).to_contain_text("由其电话转来")
    page.locator(".hints button").click()
    expect(page.locator(".hints")).to_be_visible()
    expect(page.locator(".timeline li.kind-identify")).to_be_visible()
    assert served.house.incidents[incident].person == "p001"
