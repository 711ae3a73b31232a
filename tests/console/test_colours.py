"""Text can be read in both themes: the contrast of every pair of variables of app.css that stand on one another (WCAG 2.2, 1.4.3 and 1.4.11)."""

import re

import pytest

from tests.console.fake_house import STATIC

TEXT = 4.5  # 1.4.3
GRAPHIC = 3.0  # 1.4.11: bars of rows, borders of fields, the focus
SHEET = (STATIC / "app.css").read_text()
GROUNDS = ("ground", "soft", "page", "form", "warm", "row-critical", "row-opened", "row-marked", "chosen")
PAIRS = [
    *((f"l{n}-text", f"l{n}-ground") for n in (1, 2, 3, 4)),
    *(("text", ground) for ground in (*GROUNDS, "ring", "row-pulse")),
    *(("muted", ground) for ground in ("ground", "soft", "page", "form", "warm", "row-critical", "row-opened", "ring")),
    *((word, ground) for word in ("good", "warn", "bad") for ground in ("ground", "soft", "form", "warm", "row-opened")),
    *(("bad", ground) for ground in ("row-critical", "row-marked")),
    ("primary-text", "primary"),
    ("danger-text", "danger"),
    ("focus", "ground"),
    ("l3-text", "l3-ground"),
    *((word, "bar") for word in ("bar-text", "bar-muted", "good-on-dark", "warn-on-dark", "bad-on-dark")),
]
EDGES = [
    *((f"l{n}-bar", ground) for n in (1, 2, 3, 4) for ground in ("ground", "soft")),
    ("l1-bar", "row-critical"),
    ("l1-bar", "row-pulse"),
    ("field-edge", "ground"),
    ("focus", "row-opened"),
]


def block(selector: str) -> dict[str, str]:
    found = re.search(re.escape(selector) + r" \{(.*?)\n\}", SHEET, re.DOTALL)
    assert found is not None, f"{selector} is not in app.css"
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,8})", found[1]))


LIGHT = block(":root")
THEMES = {"light": LIGHT, "dark": LIGHT | block(":root[data-theme=dark]")}


def luminance(colour: str) -> float:
    """Relative luminance of #rgb or #rrggbb (WCAG 2.2)."""
    digits = colour[1:]
    if len(digits) == 3:
        digits = "".join(2 * one for one in digits)
    assert len(digits) == 6, f"{colour} is not opaque"
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_the_formula_is_that_of_the_standard() -> None:
    assert contrast("#fff", "#000") == pytest.approx(21)
    assert contrast("#ffffff", "#b3001b") == pytest.approx(7.2, abs=0.1)  # console design, 9
    assert contrast("#57606a", "#fff") == pytest.approx(6.4, abs=0.1)


@pytest.mark.parametrize("theme", THEMES)
def test_every_text_stands_out_from_its_ground(theme: str) -> None:
    colours = THEMES[theme]
    weak = {f"{text} on {ground}": round(contrast(colours[text], colours[ground]), 2) for text, ground in PAIRS}
    assert {pair: value for pair, value in weak.items() if value < TEXT} == {}


@pytest.mark.parametrize("theme", THEMES)
def test_every_bar_and_border_stands_out(theme: str) -> None:
    colours = THEMES[theme]
    weak = {f"{edge} on {ground}": round(contrast(colours[edge], colours[ground]), 2) for edge, ground in EDGES}
    assert {pair: value for pair, value in weak.items() if value < GRAPHIC} == {}


def test_both_themes_have_the_same_colours_and_no_rule_has_one_of_its_own() -> None:
    dark = block(":root[data-theme=dark]")
    assert not dark.keys() - LIGHT.keys()
    rules = SHEET.split("* { box-sizing", 1)[1]
    allowed = re.compile(r"\.bar |\.counter\.none|\.primary kbd")  # the bar is dark in both themes
    own = [line for line in rules.splitlines() if re.search(r"#[0-9a-fA-F]{3,8}\b", line) and not allowed.search(line)]
    assert own == []
