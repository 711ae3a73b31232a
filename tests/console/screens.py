"""Every screen of the console and the way to it: one table, and one walk for each of those who look.

A walk is a generator: it yields the name of a screen when that screen stands. SCREENS says which view of app.js (VIEWS) or which gate (GATES)
it shows; a view or gate without a screen fails tests/console/test_screens.py. Walks run in Chinese; whoever looks may change language, theme
and size at each stop (tests/console/looks.py).
"""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, WebSocketRoute, expect

from gateway.core.incident import State
from gateway.event import Kind
from tests.console import street
from tests.console.accounts_house import log_in_page
from tests.console.browser import DEAF, SIZE, ServedHouse
from tests.console.fake_house import FakeHouse
from tests.console.screen_houses import a_day, access_house, after_the_night, desk_house, of_kind
from tests.maps.tiles import tile_server

# name of a picture → the view (app.js, VIEWS) or gate (GATES) it shows
SCREENS = {
    "log-in": "Login",
    "first-password": "FirstPassword",
    "duty": "Duty",
    "queue-empty": "queue",
    "lock": "Lock",
    "own-settings": "queue",
    "queue": "queue",
    "help": "queue",
    "menu": "queue",
    "bulk": "queue",
    "incident-cry": "queue",
    "form-reveal": "queue",
    "numbers-shown": "queue",
    "form-dispatch": "queue",
    "form-note": "queue",
    "form-escalate": "queue",
    "form-assign": "queue",
    "form-hold": "queue",
    "form-resolve": "queue",
    "form-call-back": "queue",
    "form-waive": "queue",
    "form-complain": "queue",
    "form-handle": "queue",
    "decisions": "queue",
    "form-merge": "queue",
    "form-shelve": "queue",
    "incident-line": "queue",
    "incident-lost-call": "queue",
    "card": "queue",
    "card-several": "queue",
    "quick-record": "queue",
    "form-hand-over": "queue",
    "recording": "queue",
    "map-window": "queue",
    "requests": "requests",
    "request-filed": "requests",
    "shift-goes": "shift",
    "shift-comes": "shift",
    "shift-done": "shift",
    "history": "history",
    "history-incident": "history",
    "print": "history",
    "exports": "history",
    "supervisor-now": "supervisor",
    "supervisor-aside": "supervisor",
    "supervisor-reveals": "supervisor",
    "supervisor-figures": "supervisor",
    "providers": "providers",
    "aid": "aid",
    "risks": "risks",
    "risk-seen": "risks",
    "levels": "levels",
    "register-person": "register",
    "register-edit": "register",
    "register-responders": "register",
    "register-week": "register",
    "register-providers": "register",
    "register-agreements": "register",
    "register-loans": "register",
    "register-quality": "register",
    "register-facets": "register",
    "register-import": "register",
    "register-conflicts": "register",
    "machinery": "devices",
    "maintenance": "devices",
    "audit": "audit",
    "accounts": "accounts",
    "account-new": "accounts",
    "outcomes": "outcomes",
    "outcomes-complaint": "outcomes",
    "wall": "wall",
    "devices": "devices",
    "devices-behind": "devices",
    "watch": "watch",
    "incident-outage": "queue",
    "incident-missed": "queue",
    "queue-flood": "queue",
    "link-lost": "queue",
}
MAP_WINDOW = "map-window"
FLOOD = {"type": "state", "id": "flood", "on": True, "by": "figures", "since": "2026-01-01T00:00:00Z", "new_10min": 32, "operators": 1}
GIVE = "async (items) => { const store = await import('/static/store.js'); store.receive({items}); }"


@dataclass
class Stage:
    """Where a walk happens: a house that is served, and the pages of those who look."""

    browser: Browser
    served: ServedHouse
    errors: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)
    shown: Page | None = None  # what is to be looked at when the walk yields

    @property
    def house(self) -> FakeHouse:
        return self.served.house

    @property
    def page(self) -> Page:
        assert self.shown is not None
        return self.shown

    def comes(self, login: str | None = None, *, extension: str = "", before: Callable[[Page], None] = lambda _: None) -> Page:
        """A new page, and who is logged in there; "": comes on duty in a house without accounts; None: nobody."""
        context = self.browser.new_context(viewport=SIZE, reduced_motion="reduce")
        self.contexts.append(context)
        context.add_init_script(DEAF + f"sessionStorage.clear(); localStorage.setItem('duty.extension', {extension!r});")
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        before(page)
        page.goto(self.served.url)
        self.shown = page
        if login == "":
            page.locator("#duty-name").fill("李娜")
            page.keyboard.press("Enter")
            expect(page.get_by_role("grid")).to_be_visible()
        elif login:
            log_in_page(page, login)
            page.locator(".link.live, .wall-link.live").first.wait_for()
        return page

    def leaves(self) -> None:
        """Everybody goes, nobody's drafts stay."""
        for context in self.contexts:
            context.close()
        self.contexts.clear()

    def go(self, key: str, wanted: str) -> None:
        """G and then this key, until `wanted` stands."""
        self.page.evaluate("document.activeElement?.blur()")
        self.page.keyboard.press("g")
        self.page.keyboard.press(key)
        self.page.locator(wanted).first.wait_for()

    def looks_at(self, incident: str) -> None:
        """Open this incident from the queue, by its number if it is not in sight."""
        page = self.page
        page.locator(f"#row-{incident}").scroll_into_view_if_needed()
        page.locator(f"#row-{incident}").click()
        page.locator(".incident-head .id", has_text=incident).wait_for()
        page.locator(".timeline li").first.wait_for()
        page.locator(".incident").focus()

    def form(self, key: str, name: str) -> None:
        """Open a form of the incident by its key."""
        page = self.page
        if name != "reveal":  # its button stands beside the number
            page.locator(".incident .actions button:enabled", has=page.locator("kbd", has_text=re.compile(f"^{key.upper()}$"))).wait_for()
        page.locator(".incident").focus()
        page.keyboard.press(key)
        page.locator(f"form.{name}").first.wait_for()

    def reads(self) -> None:
        """A record that has come by itself stands long enough that a key means it."""
        self.page.evaluate("async () => { window.answering = await import('/static/answering.js'); }")
        self.page.wait_for_function("() => !answering.isJustSwapped()")

    def shut(self) -> None:
        """Esc: the form goes, its draft stays."""
        self.page.keyboard.press("Escape")
        expect(self.page.locator("form.work")).to_have_count(0)


Walk = Callable[[Stage], Iterator[str]]


def walk_access(stage: Stage) -> Iterator[str]:
    page = stage.comes()
    page.locator("#login").wait_for()
    yield "log-in"
    log_in_page(page, "zhaomin", duty=False)
    page.locator("#old").wait_for()
    yield "first-password"
    page = stage.comes()
    log_in_page(page, "lina", duty=False)
    page.locator("#duty-start").wait_for()
    yield "duty"
    page.locator("#duty-start").click()
    page.get_by_role("grid").wait_for()
    yield "queue-empty"
    page.locator(".bar .me").click()
    page.locator("#own-pin").wait_for()
    yield "own-settings"
    page.keyboard.press("Escape")
    stage.served.do(stage.house.cries(0))
    stage.served.do(stage.house.cries(1, Kind.FALL_SUSPECTED))
    page.locator(".grid-row[data-id]").first.wait_for()
    stage.go("l", "#secret")
    expect(page.locator(".lock-level.critical b")).to_have_text("1")
    yield "lock"


def walk_desk(stage: Stage) -> Iterator[str]:
    house, served = stage.house, stage.served
    stage.comes("zhaomin")  # somebody to whom things can be given
    page = stage.comes("lina", extension="8001")
    page.locator(".grid-row[data-id]").nth(4).wait_for()
    yield "queue"
    page.keyboard.press("F1")
    page.get_by_role("dialog").wait_for()
    yield "help"
    page.keyboard.press("Escape")
    page.locator(".menu > button").click()
    page.locator(".menu nav").wait_for()
    yield "menu"
    page.keyboard.press("Escape")
    page.get_by_role("grid").focus()
    page.keyboard.press("Home")
    for _ in range(2):
        page.keyboard.press("x")
        page.keyboard.press("ArrowDown")
    page.keyboard.press("m")
    page.locator("form.bulk.merge").wait_for()
    yield "bulk"
    page.keyboard.press("Escape")
    page.get_by_role("grid").focus()
    page.keyboard.press("Shift+X")
    cry = of_kind(house, Kind.SOS, person="p000")
    stage.looks_at(cry.id)
    page.keyboard.press("a")
    page.locator(".incident-head .state.acknowledged").wait_for()
    served.do(house.deliver())
    page.locator(".person .health").wait_for()
    page.locator(".map-sign.person").wait_for()
    yield "incident-cry"
    stage.form("r", "reveal")
    yield "form-reveal"
    page.keyboard.press("Control+Enter")
    page.locator(".person dd.full").first.wait_for()
    yield "numbers-shown"
    for key, name in (("d", "dispatch"), ("n", "note"), ("e", "escalate"), ("t", "assign"), ("b", "hold"), ("o", "hand_over"), ("m", "merge")):
        if name == "hand_over":
            continue
        stage.form(key, name)
        yield f"form-{name}"
        stage.shut()
    stage.form("c", "resolve")
    yield "form-resolve"
    stage.shut()
    resolved = next(one for one in house.incidents.values() if one.state is State.RESOLVED)
    stage.looks_at(resolved.id)
    for key, name in (("v", "call_back"), ("p", "complain")):
        stage.form(key, name)
        yield f"form-{name.replace('_', '-')}"
        stage.shut()
    stage.looks_at(of_kind(house, Kind.LINE_LOST).id)
    yield "incident-line"
    stage.form("s", "shelve")
    yield "form-shelve"
    stage.shut()
    stage.looks_at(of_kind(house, Kind.CALL_ABANDONED).id)
    yield "incident-lost-call"
    served.do(house.calls_in(house.register.persons["p015"].phones[0], Kind.CALL_ANSWERED, "c15", "8001"))
    page.locator(".incident-head", has_text="来电接听").wait_for()
    yield "card"
    stage.reads()
    page.locator(".incident").focus()
    page.keyboard.press("a")
    page.locator(".incident-head .state.acknowledged").wait_for()
    stage.form("o", "hand_over")
    yield "form-hand-over"
    stage.shut()
    served.do(house.calls_in(house.register.persons["p015"].phones[0], Kind.CALL_ENDED, "c15"))
    served.do(house.calls_in("+8619900000003", Kind.CALL_ENDED, "c-couple"))
    served.do(house.calls_in("+8619900000003", Kind.CALL_ANSWERED, "c16", "8001"))
    page.locator("form.identify").wait_for()
    yield "card-several"
    page.keyboard.press("Escape")
    served.do(house.calls_in("+8617400000021", Kind.CALL_ANSWERED, "c17", "8001"))
    page.locator("form.record").wait_for()
    yield "quick-record"
    for caller, call in (("+8619900000003", "c16"), ("+8617400000021", "c17")):
        served.do(house.calls_in(caller, Kind.CALL_ENDED, call))
    page.keyboard.press("Escape")
    stage.looks_at(next(one.id for one in house.incidents.values() if one.person == "p030"))
    stage.reads()
    page.keyboard.press("a")
    page.locator(".recordings button").first.scroll_into_view_if_needed()
    page.locator(".recordings button").first.click()
    yield "recording"
    page.keyboard.press("Escape")
    stage.looks_at(cry.id)
    with page.context.expect_page() as popped:
        page.keyboard.press("g")
        page.keyboard.press("m")
    stage.shown = popped.value
    stage.shown.locator(".map-sign.person").wait_for()
    yield MAP_WINDOW
    stage.shown.close()
    stage.shown = page
    stage.go("r", ".request-list button.row")
    page.locator(".request-list button.row").first.click()
    page.locator(".wish").wait_for()
    yield "requests"
    page.locator(".request-list .filters .primary").click()
    page.locator("form.filing input").first.fill("19900000003")
    page.keyboard.press("Enter")
    page.locator(".found label").first.wait_for()
    yield "request-filed"
    page.keyboard.press("Escape")
    stage.go("f", ".history-box input")
    page.locator(".history-box input").fill("p000")
    page.keyboard.press("Enter")
    page.locator(".history-list .story").wait_for()
    yield "history"
    page.locator(".history-list button.row").last.click()
    page.locator(".ops.history .incident .story").wait_for()
    yield "history-incident"
    page.locator(".ops.history .incident .actions button").first.click()
    page.locator(".paper").wait_for()
    yield "print"
    page.keyboard.press("Escape")
    stage.go("q", "[role=grid]")
    yield from _a_shift(stage, page)


def _a_shift(stage: Stage, lina: Page) -> Iterator[str]:
    stage.go("h", "form.handover")
    lina.locator("form.handover tbody input").first.fill("女儿 15:00 到")
    lina.locator("form.handover textarea").fill("3 号电梯维修，来电转 2 号门")
    lina.locator("form.handover select").select_option("赵敏")
    yield "shift-goes"
    lina.keyboard.press("Control+Enter")
    lina.locator(".flag-line").wait_for()
    other = stage.contexts[0].pages[0]
    stage.shown = other
    other.locator(".announced .offered").wait_for()
    stage.go("h", "form.takeover")
    yield "shift-comes"
    for tick in other.locator("form.takeover input[type=checkbox]").all():
        tick.check()
    other.keyboard.press("Control+Enter")
    other.locator(".shift", has_text="交接完成").wait_for()
    yield "shift-done"


def walk_supervisor(stage: Stage) -> Iterator[str]:
    house, served = stage.house, stage.served
    served.call(lambda: house.corrections)  # its files are written before anybody looks
    page = stage.comes("sunli")
    page.locator(".grid-row[data-id]").first.wait_for()
    resolved = next(one for one in house.incidents.values() if one.state is State.RESOLVED)
    stage.looks_at(resolved.id)
    stage.form("w", "waive")
    yield "form-waive"
    stage.shut()
    stage.looks_at(next(one.id for one in house.incidents.values() if one.is_open and "complaint" in one.flags))
    page.keyboard.press("a")  # the evening's second cry has put it back to those who wait
    page.locator(".person .health").wait_for()
    stage.form("l", "handle")
    yield "form-handle"
    stage.shut()
    page.locator(".decisions button").click()
    page.locator(".decisions section").first.scroll_into_view_if_needed()
    yield "decisions"
    stage.go("s", ".areas tbody tr")
    for number, part in enumerate(("now", "aside", "reveals", "figures")):
        page.locator(".desk-tabs button").nth(number).press("Enter")
        if part == "figures":
            page.locator(".desk-figures svg").first.wait_for()
        yield f"supervisor-{part}"
    stage.go("p", ".device-rows button.row")
    page.locator(".device-rows button.row").nth(1).click()
    page.locator(".provider-detail .filters button").first.click()
    yield "providers"
    page.keyboard.press("Escape")
    stage.go("a", ".agreements tbody tr")
    page.locator(".ruled button").first.click()
    yield "aid"
    page.keyboard.press("Escape")
    stage.go("k", ".risk-rule tbody tr")
    yield "risks"
    page.locator(".desk-tabs button").nth(1).press("Enter")
    page.locator(".risk-rule button").first.click()
    page.locator("form.risk").wait_for()
    yield "risk-seen"
    page.keyboard.press("Escape")
    stage.go("v", ".clock")
    yield "levels"
    stage.go("f", ".to-export")
    page.locator(".to-export").click()
    page.locator("form.export").wait_for()
    yield "exports"
    yield from _register(stage, page)


def _register(stage: Stage, page: Page) -> Iterator[str]:
    tab = page.locator(".desk-tabs button")
    stage.go("e", ".register-find input")
    page.locator(".register-find input").fill("p001")
    page.keyboard.press("Enter")
    page.locator(".register-fields").wait_for()
    yield "register-person"
    page.locator(".register-record .filters button").nth(1).press("Enter")
    page.keyboard.type("本人来电核对")
    page.keyboard.press("Control+Enter")
    page.locator("form.register-edit").wait_for()
    page.locator("#cell-phones").fill("17400000077")
    yield "register-edit"
    page.locator("form.register-edit textarea[name=reason]").fill("本人来电")
    page.keyboard.press("Control+Enter")
    expect(page.locator("form.register-edit")).to_have_count(0)
    tab.nth(1).click()
    page.locator(".register-rows button").first.wait_for()
    yield "register-responders"
    page.locator(".register-rows button", has_text="海石湾驿站").click()
    page.locator("table.week").wait_for()
    yield "register-week"
    for number, part in enumerate(("providers", "agreements", "loans"), 2):
        tab.nth(number).click()
        expect(tab.nth(number)).to_have_attribute("aria-pressed", "true")
        yield f"register-{part}"
    for number, part in ((6, "quality"), (7, "facets")):
        tab.nth(number).click()
        page.locator(".ops-body p.quiet").first.wait_for()
        yield f"register-{part}"
    folder = stage.house.corrections._folder()
    assert folder is not None
    file = (folder / "persons.csv").read_text(encoding="utf-8").replace("+8619900000001", "+8617400555001")
    tab.nth(8).click()
    page.locator("input[type=file]").set_input_files({"name": "persons-2026.csv", "mimeType": "text/csv", "buffer": file.encode()})
    page.locator(".change").first.wait_for()
    yield "register-import"
    page.locator("button.primary", has_text="导入此文件").click()
    page.keyboard.type("月度名册")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".counts")).to_have_count(0)
    tab.nth(5).click()
    page.locator(".register-conflicts tbody tr").first.wait_for()
    yield "register-conflicts"


def walk_roles(stage: Stage) -> Iterator[str]:
    page = stage.comes("hefan")
    page.locator(".machinery").wait_for()
    yield "machinery"
    page.locator(".machinery tr", has_text="w020").first.locator("button").press("Enter")
    page.locator("form.put").wait_for()
    yield "maintenance"
    page = stage.comes("gaoyan")
    page.locator(".ops.audit tbody tr").first.wait_for()
    page.locator(".proof button").click()
    expect(page.locator(".proof p")).to_contain_text("✓")
    yield "audit"
    page = stage.comes("admin")
    page.locator(".accounts-list").wait_for()
    page.locator(".accounts-list").get_by_role("button", name="赵敏", exact=True).click()
    page.locator(".accounts-one").wait_for()
    yield "accounts"
    page.locator(".accounts-list, .accounts").locator("button.primary").first.click()
    yield "account-new"
    page = stage.comes("citizen")
    page.locator(".ops.outcomes").wait_for()
    yield "outcomes"
    page.get_by_role("button", name="投诉").press("Enter")
    page.locator("form.complaint").wait_for()
    yield "outcomes-complaint"
    stage.comes("lina")
    page = stage.comes("wall")
    page.locator(".wall-levels").wait_for()
    yield "wall"


def walk_street(stage: Stage) -> Iterator[str]:
    page = stage.comes("")
    page.locator(".grid-row[data-id]").first.wait_for()
    stage.go("d", ".ops")
    page.locator(".desk-tabs button").nth(1).press("Enter")
    page.locator(".device-rows tbody tr").first.wait_for()
    yield "devices"
    page.locator(".counts .path_out button").click()
    page.locator(".device-rows button.row").nth(2).click()
    page.locator(".device-detail dl").wait_for()
    yield "devices-behind"
    stage.go("w", ".watch-list tr.well button")
    page.locator(".watch-list tr.well button").first.click()
    page.locator("form.absence").wait_for()
    yield "watch"
    page.keyboard.press("Escape")
    stage.go("q", "[role=grid]")
    page.locator(".grid-row", has_text=street.GATEWAY).click()
    page.locator(".affected").wait_for()
    yield "incident-outage"
    page.locator(".grid-row", has_text="未报平安").click()
    page.locator(".ladder").wait_for()
    page.keyboard.press("a")
    page.locator(".incident-head .state.acknowledged").wait_for()
    yield "incident-missed"


def walk_flood(stage: Stage) -> Iterator[str]:
    """The feed falls silent when asked to: what a test gives stays, and then the link counts as lost."""
    frozen: list[str] = []

    def handle(route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        server.on_message(lambda message: None if "all" in frozen or (frozen and '"hb"' not in str(message)) else route.send(message))

    async def much() -> None:
        for person in range(30):
            kind = (Kind.HELP, Kind.LOW_BATTERY, Kind.FALL, Kind.BED_EXIT)[person % 4]
            await stage.house.cries(person, kind)
        await stage.house.cries(31)

    def before(page: Page) -> None:
        page.route_web_socket(re.compile("/api/v1/feed"), handle)
        page.clock.install()

    stage.served.do(much())
    page = stage.comes("", before=before)
    expect(page.locator(".grid-row[data-id]").nth(5)).to_be_visible()
    frozen.append("but the heartbeat")
    page.evaluate(GIVE, [FLOOD])
    page.locator(".below.flooded").wait_for()
    page.locator(".grid-row.group").first.wait_for()
    yield "queue-flood"
    frozen.append("all")
    page.route("**/api/**", lambda route: route.abort())
    page.clock.run_for(timedelta(seconds=30).seconds * 1000)
    page.locator(".ringing.lost").wait_for()
    yield "link-lost"


def _house(stack: ExitStack, house: FakeHouse) -> ServedHouse:
    served = ServedHouse(house)
    stack.callback(served.stop)
    return served


def _desk(stack: ExitStack) -> ServedHouse:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="screens-")))
    served = _house(stack, desk_house(folder, stack.enter_context(tile_server()).url))
    served.do(a_day(served.house))
    return served


def _street(stack: ExitStack) -> ServedHouse:
    served = _house(stack, street.supervised_house())
    served.do(after_the_night(served.house))
    return served


# name → the house, and who walks through it, one after the other
WALKS: dict[str, tuple[Callable[[ExitStack], ServedHouse], list[Walk]]] = {
    "access": (lambda stack: _house(stack, access_house()), [walk_access]),
    "desk": (_desk, [walk_desk, walk_supervisor, walk_roles]),
    "street": (_street, [walk_street]),
    "flood": (lambda stack: _house(stack, FakeHouse()), [walk_flood]),
}


def walk_through(name: str, browser: Browser, look: Callable[[Stage, str], None]) -> list[str]:
    """Look at each screen of one house when it stands; their names in the order seen. Errors of any page are raised."""
    seen = []
    make, walks = WALKS[name]
    with ExitStack() as stack:
        served = make(stack)
        for walk in walks:
            stage = Stage(browser, served)
            try:
                for screen in walk(stage):
                    look(stage, screen)
                    seen.append(screen)
            finally:
                stage.leaves()
            assert not stage.errors, stage.errors
    return seen


def every_screen(browser: Browser, look: Callable[[Stage, str], None]) -> list[str]:
    """All houses in their turn."""
    return [screen for name in WALKS for screen in walk_through(name, browser, look)]
