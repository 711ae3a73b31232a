"""What must not go wrong at a desk: an alarm that nobody sounds, a key that takes what nobody has seen, a text that is lost."""

import json
import re
from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from playwright.sync_api import Page, Route, WebSocket, expect

from gateway.core.incident import State
from gateway.event import Kind
from tests.console.accounts_house import log_in_page, with_accounts
from tests.console.browser import Operator, ServedHouse

TWICE_MS = 600  # F2 pressed again sooner is the same press
LEVEL_2 = 523  # hertz
HAISHIWAN, PINGAN = 0, 1  # people who live there
MODULES = "async () => { window.hush = await import('/static/hush.js'); window.store = await import('/static/store.js'); }"
IS_SILENT = "() => hush.hearNow().want.level === 0"  # a promise that is waited for would be true before it is kept
DRAFTS = "Object.keys(sessionStorage).filter((key) => key.startsWith('draft'))"
HAS_SOUND = "(name) => store.operators.value.some((one) => one.name === name && one.sound)"


@pytest.fixture
def served() -> Iterator[ServedHouse]:
    """A house where people log in."""
    house = ServedHouse(with_accounts())
    yield house
    house.stop()


def come(operator: Operator, login: str) -> Page:
    page = operator(None)
    log_in_page(page, login)
    expect(page.locator(".link.live")).to_be_visible()
    return page


def test_a_supervisor_sounds_at_once_what_no_operator_there_can_hear(served: ServedHouse, operator: Operator) -> None:
    """Operators who listen to a part of the supervisor's areas do not stand in for the rest; those who hear all of it do."""
    lead, part = come(operator, "sunli"), come(operator, "zhaomin")
    expect(part.locator(".bar .me")).to_have_text("赵敏")
    lead.evaluate(MODULES)
    lead.wait_for_function(HAS_SOUND, arg="赵敏")
    lead.evaluate("window.heard.length = 0")
    served.do(served.house.cries(PINGAN, Kind.FALL_SUSPECTED))  # of level 2
    lead.wait_for_function(f"() => window.heard.includes({LEVEL_2})")
    come(operator, "lina")  # everywhere
    lead.wait_for_function(HAS_SOUND, arg="李娜")
    lead.wait_for_function(IS_SILENT)


def test_a_hidden_page_says_that_it_sounds_before_it_is_forgotten(served: ServedHouse, operator: Operator) -> None:
    """Its timers come once a minute, and the server forgets ears after 45 s: frames of the feed have to do."""
    sent: list[dict[str, object]] = []

    def listen(socket: WebSocket) -> None:
        socket.on("framesent", lambda frame: sent.append(json.loads(frame)))

    def before(page: Page) -> None:
        page.on("websocket", listen)
        page.add_init_script(
            "window.setInterval = () => 0; window.skipped = 0; const now = performance.now.bind(performance);"
            " performance.now = () => now() + window.skipped;"
        )

    page = operator(None, before=before)
    log_in_page(page, "lina")
    expect(page.locator(".link.live")).to_be_visible()
    page.evaluate("window.skipped = 21000")
    sent.clear()
    served.do(served.house.cries(3))
    expect(page.locator(".grid-row[data-id]")).to_have_count(1)
    for _ in range(100):
        if {"ears": True} in sent:
            break
        page.wait_for_timeout(50)
    assert {"ears": True} in sent
    assert any("view" in one for one in sent)


def test_f2_pressed_twice_takes_one(served: ServedHouse, operator: Operator) -> None:
    incidents = [served.do(served.house.cries(person)) for person in (2, 3)]
    page = come(operator, "lina")
    expect(page.locator(".grid-row[data-id]")).to_have_count(2)
    page.evaluate("() => { const at = performance.now(); window.goesOn = performance.now.bind(performance); performance.now = () => at + 200; }")
    page.keyboard.press("F2")
    expect(page.locator(".tabs button").nth(1)).to_contain_text("1")  # mine: it is confirmed already
    page.keyboard.press("F2")  # of a hand that trembles
    with page.expect_response("**/incidents/*"):  # whatever it did
        page.keyboard.press("Escape")
        page.locator(".grid-row.raised").click()
    page.evaluate("() => { performance.now = window.goesOn; }")
    assert sorted(served.house.incidents[one.id].state for one in incidents) == [State.ACKNOWLEDGED, State.RAISED]
    page.wait_for_timeout(TWICE_MS)
    page.keyboard.press("F2")  # of somebody who has seen what is next
    expect(page.locator(".tabs button").nth(1)).to_contain_text("2")


def test_a_form_that_is_asked_for_again_takes_what_is_typed(served: ServedHouse, operator: Operator) -> None:
    """Open already, and the hand was in the queue: the words that follow must not be taken for commands."""
    incident = served.do(served.house.cries(2))
    page = come(operator, "lina")
    page.locator(f"#row-{incident.id}").click()
    page.keyboard.press("n")
    expect(page.locator("form.note textarea")).to_be_focused()
    page.locator(f"#row-{incident.id}").click()
    page.get_by_role("grid").focus()
    page.keyboard.press("n")
    page.keyboard.type("a daughter")
    expect(page.locator("form.note textarea")).to_have_value("a daughter")
    assert served.house.incidents[incident.id].state is State.RAISED


def test_no_key_means_a_row_that_is_out_of_sight(served: ServedHouse, operator: Operator) -> None:
    seen, hidden = (served.do(served.house.cries(person)) for person in (2, 3))
    page = come(operator, "lina")
    page.locator(f"#row-{seen.id}").click()
    page.get_by_role("grid").focus()
    page.evaluate("async (id) => { (await import('/static/work.js')).cursor.value = id; }", hidden.id)
    page.locator("#search").fill(seen.id)
    expect(page.locator(f"#row-{hidden.id}")).to_have_count(0)
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    expect(page.locator(".incident-head")).to_contain_text(seen.id)
    page.keyboard.press("ArrowDown")  # comes back to what is there
    page.keyboard.press("a")
    expect(page.locator(f"#row-{seen.id}")).to_have_class(re.compile("acknowledged"))
    assert served.house.incidents[hidden.id].state is State.RAISED


def test_other_words_after_a_lost_answer_are_not_swallowed(served: ServedHouse, operator: Operator) -> None:
    """The first text is on record, its answer was lost: what is written then is another wish."""
    incident = served.do(served.house.cries(2))
    page = come(operator, "lina")

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    page.locator(f"#row-{incident.id}").click()
    page.keyboard.press("n")
    page.keyboard.type("she is awake")
    page.route("**/note", lose)
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.note [role=alert]")).to_be_visible()
    page.unroute("**/note")
    page.locator("form.note textarea").fill("she is awake and bleeds")
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.note")).to_have_count(0)
    expect(page.locator(".timeline")).to_contain_text("she is awake and bleeds")


def test_what_was_sent_again_from_the_row_is_not_sent_twice(served: ServedHouse, operator: Operator) -> None:
    incident = served.do(served.house.cries(2))
    page = come(operator, "lina")
    page.locator(f"#row-{incident.id}").click()
    page.keyboard.press("n")
    page.keyboard.type("the door is open")
    page.route("**/note", lambda route: route.abort())
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.note [role=alert]")).to_be_visible()
    page.unroute("**/note")
    page.locator(f"#row-{incident.id} .retry").click()
    expect(page.locator(".timeline")).to_contain_text("the door is open")
    expect(page.locator("form.note")).to_have_count(0)
    page.keyboard.press("n")
    expect(page.locator("form.note textarea")).to_have_value("")


def test_a_draft_outlives_the_end_of_a_session_for_its_writer_alone(served: ServedHouse, operator: Operator) -> None:
    incident = served.do(served.house.cries(HAISHIWAN))
    page = come(operator, "lina")
    house = served.house

    def ends(login: str) -> None:
        account = house.accounts.known(login)
        served.call(lambda: house.accounts.take([replace(account, disabled=True)]))
        expect(page.locator("#login")).to_be_visible(timeout=10_000)
        served.call(lambda: house.accounts.take([replace(account, disabled=False)]))

    def note() -> None:
        page.locator(f"#row-{incident.id}").click()
        page.keyboard.press("n")
        expect(page.locator("form.note textarea")).to_be_focused()

    note()
    page.keyboard.type("half a sentence")
    ends("lina")
    log_in_page(page, "lina")
    note()
    expect(page.locator("form.note textarea")).to_have_value("half a sentence")
    ends("lina")
    log_in_page(page, "zhaomin")
    note()
    expect(page.locator("form.note textarea")).to_have_value("")


def test_whoever_another_window_logs_in_begins_with_an_empty_desk(served: ServedHouse, operator: Operator) -> None:
    incident = served.do(served.house.cries(HAISHIWAN))
    page = come(operator, "lina")
    page.locator(f"#row-{incident.id}").click()
    page.keyboard.press("n")
    page.keyboard.type("for my eyes")
    expect(page.locator("form.note textarea")).to_have_value("for my eyes")
    page.wait_for_function(f"() => ({DRAFTS}).length === 1")
    page.evaluate(
        "async () => { const {session} = await import('/static/store.js'); const {account} = session.value;"
        " session.value = {...session.value, name: '赵敏', account: {...account, login: 'zhaomin'}}; }"
    )
    expect(page.locator("form.note")).to_have_count(0)
    page.wait_for_function(f"() => ({DRAFTS}).length === 0")


def test_two_keys_of_one_hand_belong_together_however_slow_the_page(served: ServedHouse, operator: Operator) -> None:
    """What counts is when they were pressed, not when the page came to them."""
    page = come(operator, "lina")
    press = """([code, late, slow]) => {
      const event = new KeyboardEvent('keydown', {code, key: code.slice(3).toLowerCase(), bubbles: true});
      Object.defineProperty(event, 'timeStamp', {value: event.timeStamp + late});
      const now = performance.now.bind(performance);
      performance.now = () => now() + slow;
      document.body.dispatchEvent(event);
      performance.now = now;
    }"""
    page.evaluate("document.activeElement.blur()")
    page.evaluate(press, ["KeyG", 0, 0])
    page.evaluate(press, ["KeyD", 100, 5000])
    expect(page.locator(".ops.devices")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("grid")).to_be_focused()
    page.evaluate(press, ["KeyG", 0, 0])
    page.evaluate(press, ["KeyD", 60_000, 0])  # another thought
    expect(page.locator(".ops")).to_have_count(0)
