"""Every screen stands, in both languages, light and dark: nothing scrolls sideways, nothing is cut off, no pane is empty, axe is clean.

The pictures of the same walk, in two sizes, are taken by `make screenshots`.
"""

import re

import pytest
from playwright.sync_api import Browser

from tests.console.fake_house import STATIC
from tests.console.looks import QUICK, Look, faults, turn
from tests.console.screens import SCREENS, WALKS, Stage, walk_through

SEEN: dict[str, list[str]] = {}  # by the tests that ran


@pytest.mark.parametrize("house", WALKS)
def test_every_screen_in_both_languages_light_and_dark(browser: Browser, house: str) -> None:
    wrong: list[str] = []

    def look_at(stage: Stage, name: str) -> None:
        number = list(SCREENS).index(name)  # what is cut does not hang on the theme: each language in one, changing from screen to screen
        for turned, look in enumerate((QUICK[0], QUICK[3]) if number % 2 else (QUICK[1], QUICK[2])):
            turn(stage.page, look)
            axe = turned == number // 2 % 2  # it takes half a second: each screen once
            wrong.extend(f"{name} {look.language} {look.theme}: {one}" for one in faults(stage.page, axe=axe))
        turn(stage.page, Look())

    SEEN[house] = walk_through(house, browser, look_at)
    assert wrong == [], "\n".join(wrong)


def test_the_table_and_the_walks_name_the_same_screens() -> None:
    if set(SEEN) != set(WALKS):
        pytest.skip("not every walk was made in this run")
    assert sorted(name for names in SEEN.values() for name in names) == sorted(SCREENS)


def test_every_view_and_gate_has_a_screen() -> None:
    app = (STATIC / "app.js").read_text(encoding="utf-8")
    views = re.search(r"^const VIEWS = \{\n(.*?)^\};", app, re.DOTALL | re.MULTILINE)
    gates = re.search(r"^const GATES = \[\n(.*?)^\];", app, re.DOTALL | re.MULTILINE)
    assert views
    assert gates
    names = set(re.findall(r"^  (\w+): ", views[1], re.MULTILINE)) | set(re.findall(r", (?:lazy\()?(\w+)\)?\],?$", gates[1], re.MULTILINE))
    assert {"queue", "wall", "Login", "Duty"} <= names
    assert names - set(SCREENS.values()) == set(), "a screen for each in tests/console/screens.py"
