"""The page in a real Chromium as small as an old telephone: with and without JavaScript, in both languages, clean for axe, thumbs find everything."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Page, async_playwright, expect

from tests.console.browser import chromium_arguments
from tests.responder_page.page_house import PageHouse, page_house

AXE = (Path(__file__).parents[1] / "console" / "axe" / "axe.min.js").read_text()
AXE_RULES = "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
SMALL = {"width": 360, "height": 640}
PICTURES = os.environ.get("PICTURES", "")  # a folder: screenshots of every page are put there, to be looked at


@asynccontextmanager
async def telephone(place: PageHouse, language: str, *, javascript: bool = True) -> AsyncIterator[Page]:
    """A browser of its own. An error on the page, a request to anywhere else or a breach of the policy fails the test."""
    faults: list[str] = []
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(**chromium_arguments())
        context = await chromium.new_context(
            viewport=SMALL,
            has_touch=True,
            is_mobile=True,
            locale=language,
            ignore_https_errors=True,
            java_script_enabled=javascript,  # type: ignore[arg-type]
        )
        page = await context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith((place.url, "data:")) else faults.append(request.url))
        page.on("console", lambda message: faults.append(message.text) if "Content Security Policy" in message.text else None)
        try:
            yield page
        finally:
            await chromium.close()
    assert not faults


async def look(page: Page, name: str) -> None:
    """Nothing to the side of the screen, every target large enough for a thumb, axe content."""
    if PICTURES:
        await page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)
    await page.evaluate(AXE)
    found = (await page.evaluate(AXE_RULES))["violations"]
    assert [f"{one['id']}: {one['help']}: {node['html'][:120]}" for one in found for node in one["nodes"]] == []
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    small = await page.evaluate(
        "[...document.querySelectorAll('button, .button, summary, label.choice, header a, footer a')]"
        ".filter(one => one.offsetParent && Math.min(one.getBoundingClientRect().height, one.getBoundingClientRect().width) < 48)"
        ".map(one => one.outerHTML)"
    )
    assert small == []


async def test_from_the_link_to_done_in_english(tmp_path: Path) -> None:
    async with page_house(tmp_path) as place:
        order = await place.ordered()
        async with telephone(place, "en-GB") as page:
            await page.goto(order["page"])
            await look(page, "en-1-cover")
            await page.get_by_role("button", name="Open the order").tap()
            await expect(page.get_by_text("Please answer by")).to_be_visible()
            await look(page, "en-2-asked")
            await page.get_by_text("I cannot go…").tap()
            await look(page, "en-3-decline")
            await page.get_by_role("button", name="Accept", exact=True).tap()
            await expect(page.get_by_text("You have accepted")).to_be_visible()
            await look(page, "en-4-accepted")
            await page.get_by_role("button", name="On the way").tap()
            await page.get_by_role("button", name="Arrived").tap()
            await expect(page.get_by_text("You have arrived")).to_be_visible()
            await page.get_by_label("Note").fill("helped up")
            await look(page, "en-5-arrived")
            await page.get_by_role("button", name="Done").tap()
            await expect(page.get_by_text("reported it done")).to_be_visible()
            await look(page, "en-6-done")
        assert await place.leg(order) == "done"


async def test_without_javascript_in_chinese(tmp_path: Path) -> None:
    async with page_house(tmp_path) as place:
        order = await place.ordered()
        async with telephone(place, "zh-CN", javascript=False) as page:
            await page.goto(order["page"])
            await page.get_by_role("button", name="打开派单").tap()
            await expect(page.get_by_role("heading", name="SOS 求助")).to_be_visible()
            await page.get_by_role("link", name="English").tap()
            await expect(page.get_by_role("button", name="Accept", exact=True)).to_be_visible()
            await page.get_by_role("link", name="中文").tap()
            await page.get_by_role("button", name="接单").tap()
            await expect(page.get_by_text("您已接单，请尽快出发")).to_be_visible()
            await page.go_back()  # … and pressing again does no harm
            await page.goto(order["page"])
            await expect(page.get_by_role("button", name="已出发")).to_be_visible()
        assert await place.leg(order) == "accepted"


async def test_every_page_in_chinese_and_elsewhere(tmp_path: Path) -> None:
    async with page_house(tmp_path) as place:
        order = await place.ordered()
        async with telephone(place, "zh-CN") as page:
            await page.goto(order["page"])
            await look(page, "zh-1-cover")
            await page.get_by_role("button", name="打开派单").tap()
            await expect(page.get_by_text("前答复")).to_be_visible()
            await look(page, "zh-2-asked")
            await page.get_by_text("不能去…").tap()
            await look(page, "zh-3-decline")
            async with telephone(place, "zh-CN") as other:
                await other.goto(order["page"])
                await expect(other.get_by_role("heading", name="另一部设备")).to_be_visible()
                await look(other, "zh-4-elsewhere")
            await place.command(order["incident"], "acknowledge")
            await place.command(order["incident"], "withdraw", delivery=order["delivery"])
            await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # the page asks by itself, and shows what has changed
            await expect(page.get_by_text("此单已撤回")).to_be_visible()
            await look(page, "zh-5-withdrawn")
            place.house.kill()
            await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
            await expect(page.locator("#offline")).to_be_visible()  # what was shown stays
            await look(page, "zh-6-offline")
            await asyncio.sleep(0)
