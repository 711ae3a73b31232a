"""Take pictures of every screen, in both languages and two sizes, against a house in memory.

python -m tests.console.screenshots [--out build/console] [--url http://127.0.0.1:12349/]      needs Chromium
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.console.browser import chromium_arguments, served_house

SIZES = {"1366": (1366, 768), "1920": (1920, 1080)}
NAMES = {"zh-CN": "李娜", "en": "Li Na"}


@contextmanager
def address(url: str | None) -> Iterator[str]:
    """The address to look at: the one given, or that of a house of our own."""
    if url:
        yield url
        return
    with served_house("--quiet") as own:
        yield own


def take(page: Page, out: Path, name: str) -> None:
    page.wait_for_timeout(350)  # a picture wants things settled; nothing is asserted here
    page.screenshot(path=out / f"{name}.png")


def walk(page: Page, out: Path, prefix: str, name: str) -> None:
    """One operator's way through every screen."""
    take(page, out, f"{prefix}-01-duty")
    page.get_by_label("姓名").or_(page.get_by_label("Your name")).fill(name)
    page.keyboard.press("Enter")
    page.locator(".grid-row[data-id]").first.wait_for()
    take(page, out, f"{prefix}-02-queue")
    page.keyboard.press("F2")
    page.locator(".timeline li").first.wait_for()
    take(page, out, f"{prefix}-03-incident")
    for step, (key, form) in enumerate((("d", "dispatch"), ("n", "note"), ("e", "escalate"))):
        page.keyboard.press(key)
        page.locator(f"form.work.{form}").wait_for()
        take(page, out, f"{prefix}-{step + 4:02}-{form}")
        page.keyboard.press("Escape")
    page.keyboard.press("r")
    page.keyboard.press("Control+Enter")
    page.locator(".person dd.full").wait_for()
    take(page, out, f"{prefix}-14-numbers")
    page.keyboard.press("d")
    page.locator("form.work.dispatch input:checked").wait_for()
    page.keyboard.press("Control+Enter")
    page.locator("form.work").wait_for(state="detached")
    for _ in range(3):
        page.keyboard.press("Space")
        page.wait_for_timeout(250)
    page.keyboard.press("c")
    page.locator("form.work.resolve").wait_for()
    take(page, out, f"{prefix}-07-resolve")
    page.keyboard.press("Space")
    page.keyboard.press("Control+Enter")
    page.locator("form.work").wait_for(state="detached")
    page.keyboard.press("v")
    page.locator("form.work.call_back").wait_for()
    take(page, out, f"{prefix}-08-call-back")
    page.keyboard.press("Escape")
    page.keyboard.press("Shift+Slash")
    take(page, out, f"{prefix}-09-keys")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.keyboard.press("Home")
    page.keyboard.press("/")
    page.keyboard.type("平安镇")
    page.keyboard.press("Escape")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    take(page, out, f"{prefix}-10-search")
    page.locator("#search").fill("")
    page.locator(".grid-row", has_text=re.compile("来电放弃|Lost call")).click()
    page.locator(".shared").wait_for()
    take(page, out, f"{prefix}-11-shared-number")
    page.locator(".grid-row", has_text=re.compile("线路中断|Line lost")).click()
    page.locator(".timeline .kind-line_lost").wait_for()
    take(page, out, f"{prefix}-15-lost-line")
    page.context.set_offline(True)
    page.clock.run_for(15_000)
    take(page, out, f"{prefix}-12-link-lost")
    page.context.set_offline(False)
    page.clock.run_for(12_000)
    page.locator(".link.live, .link.polling").wait_for()
    page.reload()
    page.locator(".grid-row[data-id]").first.wait_for()
    take(page, out, f"{prefix}-13-reloaded")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/console"))
    parser.add_argument("--url")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**chromium_arguments())
        for language, name in NAMES.items():
            for size, (width, height) in SIZES.items():
                with address(options.url) as url:
                    context = browser.new_context(viewport={"width": width, "height": height})
                    page = context.new_page()
                    page.on("console", lambda message: print(message.type, message.text, file=sys.stderr))
                    page.on("pageerror", lambda error: print(error, file=sys.stderr))
                    page.add_init_script(f"localStorage.setItem('language', {language!r})")
                    page.clock.install()
                    page.goto(url)
                    walk(page, options.out, f"{language}-{size}", name)
                    context.close()
        browser.close()
    print(f"{len(list(options.out.glob('*.png')))} pictures in {options.out}")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(str(error))
