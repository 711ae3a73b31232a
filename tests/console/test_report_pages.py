"""Reports in a real Chromium, both languages: tables, map and charts stand whole on the page. Pictures: build/reports."""

import re
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from gateway.cli import main
from gateway.config import ProfileConfig
from gateway.core.duty import CHINA
from gateway.core.register import Register
from gateway.event import Kind
from gateway.incident_clocks import IncidentClocks
from gateway.register_files import read_register
from gateway.report.figures import Clock, Month, Provider
from gateway.report.month_page import page as month_page
from gateway.service_level import ServiceLevels, report

ROOT = Path(__file__).parents[2]
OUT = ROOT / "build" / "reports"
HAN = re.compile(r"[\u4e00-\u9fff]")
PROFILES: tuple[ProfileConfig, ...] = tuple(IncidentClocks().profiles)

# What a reader would miss: (what is wrong, of what). Charts are whole when all that is drawn lies in their frame and the frame on the page.
INCOMPLETE = """() => {
  const wrong = [];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) wrong.push(["wider than the screen", root.scrollWidth]);
  for (const chart of document.querySelectorAll("svg")) {
    const name = chart.getAttribute("aria-label"), frame = chart.viewBox.baseVal, drawn = chart.getBBox(), shown = chart.getBoundingClientRect();
    if (!name) wrong.push(["chart without a name", chart.outerHTML.slice(0, 80)]);
    if (shown.width < 20 || shown.height < 5 || shown.right > root.clientWidth) wrong.push(["chart not on the page", name]);
    if (drawn.x < -1 || drawn.y < -1 || drawn.x + drawn.width > frame.width + 1 || drawn.y + drawn.height > frame.height + 1)
      wrong.push(["drawn outside its frame", name]);
  }
  for (const table of document.querySelectorAll("table")) {
    const heads = table.querySelectorAll("thead th").length, rows = [...table.querySelectorAll("tbody tr")];
    if (!rows.length) wrong.push(["empty table", table.innerText]);
    for (const row of rows) {
      if (row.cells.length !== heads) wrong.push(["row of another width", row.innerText]);
      if (!row.cells[0].innerText.trim()) wrong.push(["row without a name", row.innerText]);
    }
    for (const cell of table.querySelectorAll("td, th")) if (cell.scrollWidth > cell.clientWidth + 1) wrong.push(["cut off", cell.innerText]);
  }
  return wrong;
}"""


@pytest.fixture(scope="module")
def honggu() -> Register:
    return read_register(ROOT / "config" / "districts" / "honggu")


def a_month(register: Register) -> Month:
    """A month of invented figures in which nothing is empty and names are as long as they come."""
    areas = [one.id for one in register.areas.values() if one.kind in ("street", "town")]
    month = Month(datetime(2026, 10, 1, tzinfo=CHINA), datetime(2026, 11, 1, tzinfo=CHINA))
    month.alarms, month.cries, month.calls_opened, month.ordered, month.beyond = 12345, 23456, 345, 12000, 1200
    month.by_day = Counter({day: day * 13 % 700 for day in range(1, 32)})
    month.by_hour = Counter({hour: hour * 31 % 900 for hour in range(24)})
    month.by_kind = Counter({kind.value: 7 for kind in (Kind.SOS, Kind.FALL, Kind.SMOKE, Kind.MEDICAL)})
    month.by_severity = Counter(critical=9000, major=3345)
    month.by_area = Counter({**dict.fromkeys(areas, 1000), "-": 3})
    month.services = Counter(meals=900, housekeeping=80)
    month.unmatched = {("meals", areas[0]): {"I1", "I2"}, ("housekeeping", "-"): {"I3"}}
    month.devices = Counter(low_battery=31, offline=4)
    month.outcomes = Counter(helped=1000, hospital=20, false_alarm=3)
    for clock in month.clocks.values():
        clock.seconds = [5.0, 61.0, 700.0, 90_000.0]
    month.arrivals_by_area = {area: Clock([300.0, 1200.0]) for area in areas}
    month.travel_error_min = [1.5, 2.0]
    month.loop = Counter(resolve=1023, call_back=1000, waive=3, complain=9, handle=8)
    month.satisfaction = Counter({1: 3, 4: 100, 5: 800})
    month.escalations = Counter(not_acknowledged=40, not_answered=3)
    month.responders = {
        one: Provider(Counter(accept=500, decline=3, expired=2, arrived=480, done=470), 480, 401) for one in list(register.responders)[:60]
    }
    return month


def look(browser: Browser, file: Path, name: str) -> str:
    """Open it as a reader does, without a network; gives what can be read on it."""
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    strange: list[str] = []
    page = context.new_page()
    page.on("request", lambda request: None if request.url.startswith("file:") else strange.append(request.url))
    page.goto(file.as_uri())
    OUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUT / f"{name}.png", full_page=True)
    assert page.evaluate(INCOMPLETE) == [], name
    read: str = page.locator("body").inner_text()
    context.close()
    assert strange == [], "a report loads nothing from anywhere"
    keys = set(re.findall(r"\b[a-z]+_[a-z_]+\b", read)) - {one.name for one in PROFILES}  # profiles are called as in the configuration
    assert not keys, "every word is said, none is a key"
    return read


def headings(text: str) -> list[str]:
    return re.findall(r"<h2>([^<]+)", text)


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_the_month_stands_whole_on_the_page(browser: Browser, honggu: Register, tmp_path: Path, language: str) -> None:
    """A supervisor sees every chart with all its bars, every table with all its rows, in words of the language and none of ours."""
    month = a_month(honggu)
    calls = report((), month.since, month.until, ServiceLevels((), ()))
    file = tmp_path / "month.html"
    file.write_text(month_page(month, calls, honggu, PROFILES, {}, language), encoding="utf-8")
    read = look(browser, file, f"month-{language}")
    assert "12,345" in read
    text = file.read_text("utf-8")
    by_day, by_hour = re.findall(r'<svg class="columns".*?</svg>', text, re.DOTALL)[:2]
    assert (by_day.count("<rect"), by_hour.count("<rect")) == (31, 24)
    said = headings(text)
    assert len(said) == len(headings(month_page(month, calls, honggu, PROFILES, {}, "en")))
    assert all(bool(HAN.search(one)) is (language == "zh-CN") for one in said), said


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_the_circle_stands_whole_on_the_page(
    browser: Browser, honggu: Register, tmp_path: Path, capsys: pytest.CaptureFixture[str], language: str
) -> None:
    """A planner sees the map with every station on duty, its squares and the table of every area."""
    config, file = ROOT / "config" / "gateway.toml", tmp_path / "coverage.html"
    assert main(["report", "coverage", "--html", str(file), "--on", "2026-11-23", "--language", language, "--config", str(config)]) == 0
    capsys.readouterr()
    read = look(browser, file, f"coverage-{language}")
    text = file.read_text("utf-8")
    told = [int(number) for number in re.findall(r"<h3>\d\d:\d\d · \D*(\d+)", text)]
    maps = re.findall(r'<svg class="map".*?</svg>', text, re.DOTALL)
    assert [one.count("<circle") for one in maps] == told, "a point for each who is on duty"
    assert max(told) >= 40
    assert all(one.count("<rect") > 20 for one in maps), "the squares in which people live"
    assert all(bool(HAN.search(one)) is (language == "zh-CN") for one in headings(text)), headings(text)
    for area in honggu.areas.values():
        if area.kind in ("street", "town"):
            assert area.name in read
