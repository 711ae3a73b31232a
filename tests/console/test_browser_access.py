"""Log-in, the first password, the lock screen, the second factor and the end of a session, in a real browser."""

import base64
from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace
from playwright.sync_api import APIResponse, Page, Route, expect
from waiting import WAIT_S

from gateway import totp
from gateway.accounts import Accounts
from gateway.event import Kind
from tests.console.accounts_house import PASSWORD, log_in_page, with_accounts
from tests.console.browser import ServedHouse
from tests.console.test_browser_page import violations

LANGUAGES = ("zh-CN", "en")
OWN = "four-words-of-her-own"
ROW = ".grid-row[data-id]"


@pytest.fixture
def served() -> Iterator[ServedHouse]:
    house = ServedHouse(with_accounts())
    yield house
    house.stop()


def speak(page: Page, language: str) -> None:
    """The page in this language."""
    if page.evaluate("document.documentElement.lang") != language:
        page.locator("button.language").first.click()
    expect(page.locator(f"html[lang={language}]")).to_have_count(1)


def is_clean(page: Page) -> None:
    """For axe, in both languages."""
    for language in LANGUAGES:
        speak(page, language)
        assert violations(page) == []
    speak(page, "zh-CN")


def lock(page: Page) -> None:
    page.get_by_role("grid").focus()
    page.keyboard.press("g")
    page.keyboard.press("l")
    expect(page.locator("#secret")).to_be_focused()


def heard(page: Page) -> int:
    """Tones since the last time we asked."""
    count: int = page.evaluate("window.heard.splice(0).length")
    return count


def code_of(served: ServedHouse, secret: str, ahead: int = 0) -> str:
    return totp.code_at(base64.b32decode(secret), int(served.house.now().timestamp()) // totp.STEP_S + ahead)


def test_somebody_logs_in_and_comes_on_duty(served: ServedHouse, operator: Callable[..., Page]) -> None:
    served.do(served.house.cries(0))
    page = operator(None)
    expect(page.locator("#login")).to_be_focused()
    expect(page.locator(".district")).to_contain_text("红古区")
    is_clean(page)
    log_in_page(page, "lina", "wrong-wrong-wrong", wait=False)
    expect(page.get_by_role("alert").filter(has_text="账号或密码不正确")).to_be_visible()
    log_in_page(page, "lina", duty=False)
    expect(page.locator("#duty-start")).to_be_focused()
    is_clean(page)
    page.locator("#duty-start").click()
    expect(page.locator(ROW)).to_have_count(1)
    expect(page.locator(".bar .me")).to_have_text("李娜")
    page.reload()
    expect(page.locator(ROW)).to_have_count(1)
    expect(page.locator("#duty-start")).to_have_count(0)


def test_a_first_password_is_changed_before_anything_else(served: ServedHouse, operator: Callable[..., Page]) -> None:
    house = served.house
    house.accounts.take([replace(house.accounts.known("lina"), must_change=True)])
    page = operator(None)
    log_in_page(page, "lina", duty=False)
    expect(page.locator("#old")).to_be_focused()
    is_clean(page)
    page.locator("#old").fill(PASSWORD)
    page.locator("#new").fill(OWN)
    page.locator("#again").fill(f"{OWN}!")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="两次输入的新密码不一致")).to_be_visible()
    page.locator("#new").fill("1234567890")
    page.locator("#again").fill("1234567890")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="过于常见")).to_be_visible()
    page.locator("#new").fill(OWN)
    page.locator("#again").fill(OWN)
    page.keyboard.press("Enter")
    expect(page.locator("#duty-start")).to_be_visible()


def test_a_locked_screen_hides_everything_and_goes_on_sounding(served: ServedHouse, operator: Callable[..., Page]) -> None:
    page = operator(None)
    log_in_page(page, "lina")
    served.do(served.house.cries(0))
    name = served.house.register.persons["p000"].name[0]
    expect(page.locator(ROW)).to_contain_text(f"{name}**")
    lock(page)
    assert f"{name}**" not in page.content()
    level = page.locator(".lock-level.critical")
    expect(level).to_contain_text("1")
    expect(page.locator(".lock-link")).to_contain_text("●")
    is_clean(page)
    heard(page)
    page.wait_for_function("() => window.heard.length > 0", timeout=8000)
    served.do(served.house.cries(1))
    expect(level.locator("b")).to_have_text("2")
    page.locator("#secret").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="不正确")).to_be_visible()
    page.reload()
    expect(level.locator("b")).to_have_text("2")
    heard(page)
    page.locator("#secret").press_sequentially(PASSWORD)  # any key lets a reloaded page sound again
    page.wait_for_function("() => window.heard.length > 0", timeout=8000)
    page.keyboard.press("Enter")
    expect(page.locator(ROW)).to_have_count(2)
    assert [facts["what"] for kind, _, facts in served.house.notes if kind is Kind.ACCESS] == ["log_in", "lock", "unlock", "unlock"]


def test_the_screen_locks_by_itself_and_a_pin_returns(operator: Callable[..., Page], served: ServedHouse) -> None:
    served.house.config = replace(served.house.config, console=replace(served.house.config.console, idle_lock_s=60))

    def stop_the_clock(page: Page) -> None:
        page.clock.install()

    page = operator(None, before=stop_the_clock)
    log_in_page(page, "lina")
    page.locator(".bar .me").click()
    page.locator("#pin").fill("2580")
    page.locator("#pin-password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("#own-pin-drop")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".own")).to_have_count(0)
    page.clock.pause_at((page.evaluate("Date.now()") + 20_000) / 1000)  # from here a slow machine's own seconds do not count
    page.keyboard.press("Shift")
    page.clock.run_for(58_000)
    expect(page.locator("#secret")).to_have_count(0)
    page.keyboard.press("Shift")
    page.clock.run_for(58_000)
    expect(page.locator("#secret")).to_have_count(0)
    page.clock.run_for(4_000)
    expect(page.locator("#secret")).to_be_visible()
    page.clock.resume()
    page.locator("#secret").fill("2580")
    page.keyboard.press("Enter")
    expect(page.get_by_role("grid")).to_be_visible()


def test_a_second_factor_is_enrolled_and_asked_for(served: ServedHouse, operator: Callable[..., Page]) -> None:
    page = operator(None)
    log_in_page(page, "lina")
    page.locator(".bar .me").click()
    is_clean(page)
    page.locator("#totp-password").fill(PASSWORD)
    page.keyboard.press("Enter")
    secret = page.locator(".secret").inner_text().replace(" ", "")
    expect(page.locator("#totp-code")).to_be_focused()
    is_clean(page)
    page.locator("#totp-code").fill(code_of(served, secret))
    page.keyboard.press("Enter")
    expect(page.locator("#own-totp-drop")).to_be_visible()
    page.locator("#log-out").click()
    log_in_page(page, "lina", wait=False)
    expect(page.locator("#code")).to_be_focused()
    is_clean(page)
    page.locator("#code").fill(code_of(served, secret, 1))  # of the next half minute: a step counts once, and may end while it is typed
    page.keyboard.press("Enter")
    expect(page.locator("#duty-start")).to_be_visible()


def test_a_session_that_ends_says_so_and_sounds(served: ServedHouse, operator: Callable[..., Page]) -> None:
    served.do(served.house.cries(0))
    page = operator(None)
    log_in_page(page, "lina")
    expect(page.locator(ROW)).to_have_count(1)
    house = served.house
    served.call(lambda: house.accounts.take([replace(house.accounts.known("lina"), disabled=True)]))
    ended = page.get_by_role("alert").filter(has_text="登录已失效")
    expect(ended).to_be_visible(timeout=10_000)
    name = house.register.persons["p000"].name[0]
    assert f"{name}**" not in page.content()
    is_clean(page)
    heard(page)
    page.wait_for_function("() => window.heard.length > 0", timeout=15_000)
    log_in_page(page, "zhaomin")
    expect(ended).to_have_count(0)
    expect(page.locator(".bar .me")).to_have_text("赵敏")


def test_another_window_of_the_browser_locks_and_logs_out_with_it(served: ServedHouse, operator: Callable[..., Page]) -> None:
    first = operator(None)
    log_in_page(first, "lina")
    second = first.context.new_page()
    second.goto(served.url)
    expect(second.get_by_role("grid")).to_be_visible()
    second.evaluate("sessionStorage.setItem('draft:I1:note', 'what somebody has told')")
    lock(first)
    expect(second.locator("#secret")).to_be_visible()
    assert second.evaluate("sessionStorage.getItem('draft:I1:note')") is not None, "the same person comes back to it"
    first.get_by_role("button", name="退出，换人登录").click()
    expect(first.locator("#login")).to_be_visible()
    expect(second.locator("#login")).to_be_visible()
    assert second.evaluate("sessionStorage.getItem('draft:I1:note')") is None, "nobody else finds it"
    expect(second.locator(".ended")).to_have_count(0)


def test_the_next_person_sees_nothing_of_the_one_before(served: ServedHouse, operator: Callable[..., Page]) -> None:
    served.do(served.house.cries(1))  # in Ping'an
    page = operator(None)
    log_in_page(page, "wangqiang")
    expect(page.locator(ROW)).to_have_count(1)
    page.locator(".bar .me").click()
    page.locator("#log-out").click()
    log_in_page(page, "zhaomin")  # of Haishiwan
    expect(page.locator(".link.live")).to_be_visible()
    expect(page.locator(ROW)).to_have_count(0)


def holds_the_session(page: Page) -> Callable[[], None]:
    """The session is asked for, and its answer is on the way until the function that this gives is called; then it is asked for again."""
    held: list[tuple[Route, APIResponse]] = []

    def hold(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append((route, route.fetch()))

    def arrives() -> None:
        (route, answer) = held[0]
        with page.expect_response(lambda one: one.url.endswith("/api/v1/session") and one.request != route.request):
            route.fulfill(response=answer)
        page.evaluate("async () => { await (await import('/static/commands.js')).readSession(); }")  # and it has been heard

    page.route("**/api/v1/session", hold)
    with page.expect_request("**/api/v1/session"):
        page.evaluate("new BroadcastChannel('access').postMessage('session')")  # of another window: what is true now?
    for _ in range(int(WAIT_S / 0.02)):
        if held:
            return arrives
        page.wait_for_timeout(20)
    raise AssertionError("the session was not asked for")


def test_an_answer_on_its_way_does_not_undo_a_log_in(served: ServedHouse, operator: Callable[..., Page]) -> None:
    """It says what was true when it left."""
    page = operator(None)
    expect(page.locator("#login")).to_be_focused()
    arrives = holds_the_session(page)
    log_in_page(page, "lina", duty=False)
    expect(page.locator("#duty-start")).to_be_focused()
    arrives()
    expect(page.locator("#login")).to_have_count(0)
    page.locator("#duty-start").click()
    expect(page.locator(".bar .me")).to_have_text("李娜")


def test_who_logs_out_is_not_told_that_the_log_in_has_ended(served: ServedHouse, operator: Callable[..., Page]) -> None:
    """Nor does it sound: though the socket may close, and the server be asked why, before the answer is there."""
    page = operator(None)
    log_in_page(page, "lina")
    arrives = holds_the_session(page)
    page.locator(".bar .me").click()
    page.locator("#log-out").click()
    expect(page.locator("#login")).to_be_visible()
    arrives()
    expect(page.locator(".ended")).to_have_count(0)
    expect(page.locator("#login")).to_be_visible()


def test_a_field_that_was_chosen_keeps_the_focus(served: ServedHouse, operator: Callable[..., Page]) -> None:
    """One's own settings take the focus when they open, and never after."""
    page = operator(None)
    log_in_page(page, "lina")
    page.evaluate(
        "() => new MutationObserver((_, watcher) => { const field = document.getElementById('pin'); if (!field) return;"
        " watcher.disconnect(); field.focus(); }).observe(document.body, {childList: true, subtree: true})"
    )
    page.locator(".bar .me").click()
    expect(page.locator("#pin")).to_be_focused()
    page.evaluate("async () => { for (let frame = 0; frame < 5; frame += 1) await new Promise(requestAnimationFrame); }")
    expect(page.locator("#pin")).to_be_focused()


def test_in_an_emergency_a_record_of_elsewhere(served: ServedHouse, operator: Callable[..., Page]) -> None:
    incident = served.do(served.house.cries(1))
    page, lead = operator(None), operator(None)
    log_in_page(lead, "zhoujie")
    log_in_page(page, "zhaomin")
    page.locator(".bar .me").click()
    page.locator("#emergency-incident").fill(incident.id)
    page.locator("#emergency-text").fill("120 在线等地址")
    page.keyboard.press("Enter")
    person = served.house.register.persons["p001"]
    expect(page.locator(".found")).to_contain_text(person.name)
    expect(page.locator(".found")).to_contain_text(person.address)
    expect(lead.locator(".announced")).to_contain_text(incident.id, timeout=10_000)
    is_clean(page)


def test_a_supervisor_reveals_with_a_reason(served: ServedHouse, operator: Callable[..., Page]) -> None:
    incident = served.do(served.house.cries(1))
    person = served.house.register.persons["p001"]
    page = operator(None)
    log_in_page(page, "sunli")
    page.locator(ROW).click()
    expect(page.locator("section.person")).to_contain_text(f"{person.name[0]}**")
    page.locator("button.reveal").click()
    page.locator("form.reveal").get_by_role("button").first.click()
    expect(page.locator("section.person")).to_contain_text(person.name)
    expect(page.locator("section.person")).to_contain_text(person.address)
    assert [facts["incident"] for kind, _, facts in served.house.notes if kind is Kind.REVEAL] == [incident.id]


def test_a_first_start_says_which_command_to_type(served: ServedHouse, operator: Callable[..., Page]) -> None:
    served.house.accounts = Accounts()
    page = operator(None)
    expect(page.locator(".command")).to_contain_text("gateway account add")
    is_clean(page)
