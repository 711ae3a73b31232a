"""How a screen is looked at: in this language, theme and size; and what must not be seen on any."""

from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Page

from tests.console.browser import SIZE
from tests.console.test_browser_page import AXE

LARGE = {"width": 1920, "height": 1080}
LANGUAGES = ("zh-CN", "en")
SETTLE_MS = 120  # pictures only: what fades or is measured anew has come to rest


class Look(NamedTuple):
    """One way to see a screen."""

    language: str = "zh-CN"
    theme: str = "light"
    width: int = SIZE["width"]

    @property
    def size(self) -> dict[str, int]:
        return LARGE if self.width == LARGE["width"] else SIZE


QUICK = [Look(language, theme) for language in LANGUAGES for theme in ("light", "dark")]
EVERY = [Look(language, theme, size["width"]) for size in (SIZE, LARGE) for language in LANGUAGES for theme in ("light", "dark")]

# Sideways: the page or a pane has to be scrolled to be read. Cut: text that ends at an edge, with no dots and no title to say so.
# Empty: a pane without a word.
FAULTS = r"""() => {
  const faults = [];
  const say = (what, one) => {
    const name = `${one.tagName.toLowerCase()}.${String(one.className).replaceAll(' ', '.')}`;
    faults.push(`${what}: ${name} "${(one.innerText ?? '').slice(0, 60)}"`);
  };
  const isSeen = (one) => one.checkVisibility?.() !== false && one.clientWidth > 1;
  const hasTitle = (one) => one.closest('[title]') || one.querySelector('[title]');
  const ofText = (one) => one.childElementCount === 0 && one.textContent.trim() !== '' && !one.closest('.unseen') && !one.closest('[title]');
  const small = ['BUTTON', 'TD', 'P', 'SPAN', 'H1', 'H2', 'H3', 'H4', 'LI'];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) faults.push(`sideways: the page, ${root.scrollWidth} > ${root.clientWidth}`);
  for (const one of document.body.querySelectorAll('*')) {
    if (!isSeen(one) || one.closest('svg, .leaflet-container, .unseen, [aria-hidden=true]')) continue;
    const { overflowX, overflowY, textOverflow, display } = getComputedStyle(one);
    const isWider = one.scrollWidth > one.clientWidth + 1;
    if (isWider && ['auto', 'scroll'].includes(overflowX) && !['TEXTAREA', 'SELECT'].includes(one.tagName)) say('sideways', one);
    const isHidden = ['hidden', 'clip'].includes(overflowX);
    if (isWider && isHidden && one.textContent.trim() !== '' && !(textOverflow === 'ellipsis' && hasTitle(one))) {
      const edge = one.getBoundingClientRect().right + 1;
      const beyond = [...one.querySelectorAll('*')].filter((child) => child.getBoundingClientRect().right > edge);
      if (beyond.length === 0 || beyond.some(ofText)) say('cut', one);
    }
    if (isWider && overflowX === 'visible' && display !== 'inline' && ['BUTTON', 'TH', 'TD', 'SUMMARY'].includes(one.tagName)) say('outgrown', one);
    const isLower = isHidden && !['auto', 'scroll'].includes(overflowY) && one.scrollHeight > one.clientHeight + 3;
    if (isLower && small.includes(one.tagName)) say('cut below', one);
  }
  for (const pane of document.querySelectorAll('main, section, aside, nav, form, dialog, [role=dialog], [role=region], .pane')) {
    if (isSeen(pane) && pane.clientHeight >= 20 && pane.innerText.trim() === '' && !pane.querySelector('svg, canvas, input')) say('empty', pane);
  }
  const text = document.body.innerText;
  const wrong = text.match(/.{0,40}(undefined|NaN|\[object|null).{0,20}/) ?? text.match(
    /\b(action|state|field|view|kind|form|tab|label|reason|notice|bar|help|register|audit|shift|desk|wall|map|export)\.[a-z_]+\b/);
  if (wrong) faults.push(`wrong word: ${wrong[0]}`);
  return faults;
}"""


def turn(page: Page, look: Look) -> None:
    """The page as somebody with these settings has it."""
    page.set_viewport_size(look.size)  # type: ignore[arg-type]
    page.emulate_media(color_scheme=look.theme, reduced_motion="reduce")  # type: ignore[arg-type]
    if page.evaluate("document.documentElement.lang") != look.language:
        page.evaluate("async (name) => { const words = await import('/static/i18n.js'); await words.useLanguage(name); }", look.language)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


# What lies over the page is looked at alone: axe counts what it half covers as too small to be hit.
AXE_RULES = """() => axe.run(document.querySelector('.menu nav, [role=dialog], .paper') ?? document,
  {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"""


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong on the page as it stands."""
    page.evaluate(AXE)
    found = page.evaluate(AXE_RULES)["violations"]
    wrong = [(one, node["html"]) for one in found for node in one["nodes"]]
    # Signs of one place lie over each other; whatever is on the map is also in its list (WCAG 2.5.8, equivalent).
    seen = [(one, html) for one, html in wrong if one["id"] != "target-size" or "leaflet-marker" not in html]
    return [f"{one['id']}: {one['help']}: {html[:120]}" for one, html in seen]


def faults(page: Page, *, axe: bool = True) -> list[str]:
    """What is wrong with the page as it stands."""
    found: list[str] = page.evaluate(FAULTS)
    return found + (violations(page) if axe else [])


def picture(page: Page, file: Path) -> None:
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=file)
