"""Take pictures of every screen, in both languages, two sizes, light and dark, against houses in memory; and say what is wrong on any.

make screenshots [OUT=build/console]        needs Chromium; exit code 1 when something is cut off, empty, or unclean for axe
"""

import argparse
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.console.browser import chromium_arguments
from tests.console.looks import EVERY, Look, faults, picture, turn
from tests.console.screens import SCREENS, Stage, every_screen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/console"))
    parser.add_argument("--no-axe", action="store_true", help="faster: only what can be measured")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    numbers = {name: number for number, name in enumerate(SCREENS, 1)}
    wrong: list[str] = []

    def look_at(stage: Stage, name: str) -> None:
        print(name, flush=True)
        for look in EVERY:
            turn(stage.page, look)
            picture(stage.page, options.out / f"{look.language}-{look.width}-{look.theme}-{numbers[name]:02}-{name}.png")
            wrong.extend(f"{name} {look.language} {look.theme} {look.width}: {one}" for one in faults(stage.page, axe=not options.no_axe))
        turn(stage.page, Look())

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**chromium_arguments())
        every_screen(browser, look_at)
        browser.close()
    print(f"{len(list(options.out.glob('*.png')))} pictures in {options.out}")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
