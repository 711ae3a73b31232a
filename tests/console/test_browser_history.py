"""The past on the page: found by the keyboard, read beside the list, the document and its PDF, exports, the log, a recording heard."""

import json
import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from servers import program

from gateway.event import Kind
from tests.console.browser import Operator, ServedHouse
from tests.console.past import a_past, house_with
from tests.console.test_browser_devices import LANGUAGES, go, speaking
from tests.console.test_browser_page import violations
from tests.console.test_history_out import a_call, noted, with_recordings

HOURS = 8000  # samples a second


def a_sound(file: Path, seconds: int = 30) -> None:
    """A WAV of silence that a browser plays (RIFF, PCM, 8 bit, mono)."""
    samples = bytes([128]) * (HOURS * seconds)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, HOURS, HOURS, 1, 8)
    data = struct.pack("<4sI", b"data", len(samples)) + samples
    file.write_bytes(struct.pack("<4sI4s", b"RIFF", 4 + len(form) + len(data), b"WAVE") + form + data)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedHouse]:
    a_sound(tmp_path / "20261122-c1.wav")
    house = ServedHouse(house_with(with_recordings(tmp_path)))
    house.do(a_past(house.house))
    yield house
    house.stop()


def rows(page: Page) -> list[str]:
    return page.locator(".history-list button.row").all_inner_texts()


def test_found_by_the_keyboard_and_read_beside_the_list(served: ServedHouse, operator: Operator) -> None:
    page = operator()
    go(page, "f")
    expect(page.locator(".history-box input")).to_be_focused()
    expect(page.locator(".history-list tbody tr")).to_have_count(7)
    page.keyboard.type("钥匙")
    page.keyboard.press("Enter")
    expect(page.locator(".history-list tbody tr")).to_have_count(1)
    expect(page.locator(".history-list")).to_contain_text("按“备注中的字”查找")
    expect(page.locator(".history-list button.row")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".ops.history .incident-head .id")).to_have_text("I100001")
    expect(page.locator(".ops.history .incident .actions button")).to_have_count(2)  # read-only: paper, and the way to the queue
    expect(page.locator(".incident .story")).to_contain_text("平均到场")
    page.locator(".history-fields [name=person]").fill("p000")
    page.locator(".history-fields [name=kind]").select_option("sos")
    page.locator(".history-fields [name=person]").press("Enter")
    expect(page.locator(".history-list button.row")).to_have_text(["I100003"])
    expect(page.locator(".history-list .story")).to_contain_text("跌倒2")
    assert [facts["fields"] for facts in noted(served.house, Kind.SEARCHED)][-2:] == [["text"], ["kind", "person"]]


def test_from_the_search_of_the_queue_with_enter(served: ServedHouse, operator: Operator) -> None:
    page = operator()
    page.keyboard.press("/")
    page.keyboard.type("I100004")
    expect(page.locator(".queue .empty")).to_contain_text("按回车在历史中查找")
    page.keyboard.press("Enter")
    expect(page.locator(".history-list tbody tr")).to_have_count(1)
    assert rows(page) == ["I100004"]
    page.keyboard.press("Escape")
    expect(page.locator("#search")).to_have_value("")


def test_what_is_looked_for_at_once_is_what_is_found(served: ServedHouse, operator: Operator) -> None:
    """The list that is there without a question does not come in its place."""
    page = operator()
    page.evaluate(
        "async () => { await import('/static/views/history.js'); new MutationObserver((_, watcher) => {"
        " const box = document.querySelector('.history-box input'); if (!box) return; watcher.disconnect();"
        " box.value = 'I100004'; box.dispatchEvent(new Event('input', {bubbles: true})); box.form.requestSubmit();"
        " }).observe(document.body, {childList: true, subtree: true}); }"
    )
    go(page, "f")
    expect(page.locator(".history-list button.row")).to_have_text(["I100004"])
    page.wait_for_load_state("networkidle")
    assert rows(page) == ["I100004"]


def test_nothing_of_what_is_looked_for_stands_in_an_address(served: ServedHouse, operator: Operator) -> None:
    asked: list[str] = []
    page = operator(before=lambda page: page.on("request", lambda request: asked.append(request.url)))
    go(page, "f")
    page.locator(".history-box input").fill(served.house.register.persons["p000"].name)
    page.keyboard.press("Enter")
    expect(page.locator(".history-list .story")).to_be_visible()
    assert not [url for url in asked if "%" in url or served.house.register.persons["p000"].name in url]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_document_and_its_pdf(served: ServedHouse, operator: Operator, tmp_path: Path, language: str) -> None:
    page = operator(**speaking(language))
    go(page, "f")
    page.locator(".history-list button.row", has_text="I100001").click()
    page.locator(".ops.history .incident .actions button").first.click()
    paper = page.locator(".paper")
    expect(paper).to_contain_text({"zh-CN": "警情记录 I100001", "en": "Record of incident I100001"}[language])
    person = served.house.register.persons["p000"]
    assert person.name not in paper.inner_text()
    assert violations(page) == []
    page.locator(".print-tools button").nth(1).click()
    page.locator("[name=print_reason]").press("Enter")
    expect(page.locator(".print-tools .error")).to_be_visible()
    page.locator("[name=print_reason]").fill("法院调取")
    page.keyboard.press("Enter")
    expect(page.locator(".full-data")).to_contain_text("法院调取")
    expect(paper).to_contain_text(person.name)
    expect(paper).to_contain_text(person.address)
    assert [facts["masked"] for facts in noted(served.house, Kind.EXPORTED)] == [True, False]
    expect(paper.locator("footer")).to_contain_text({"zh-CN": "完整", "en": "in full"}[language])
    file = tmp_path / "incident.pdf"
    page.pdf(path=file, prefer_css_page_size=True)
    page.emulate_media(media="print")
    expect(page.locator(".print-tools")).to_be_hidden()
    expect(page.locator("#app")).to_be_hidden()
    page.emulate_media(media="screen")
    text = subprocess.run([program("pdftotext", "poppler-utils"), "-layout", str(file), "-"], capture_output=True, text=True, check=True).stdout
    pages = text.split("\f")[:-1]
    for number, one in enumerate(pages, 1):
        assert re.search(rf"\b{number} ?/ ?{len(pages)}\b", one), "a page without its number"
        last = one.strip().splitlines()[-1]
        assert "李娜" in last, "a page that does not say who printed it"
        assert {"zh-CN": "完整", "en": "in full"}[language] in last
    assert ("返回警情" if language == "zh-CN" else "Back to incidents") not in text
    page.keyboard.press("Escape")
    expect(paper).to_have_count(0)


def test_an_export_is_fetched_and_listed(served: ServedHouse, operator: Operator) -> None:
    page = operator()
    go(page, "f")
    page.locator(".to-export").click()
    form = page.locator("form.export")
    form.locator("button.primary").click()
    expect(form.locator("[role=status]")).to_have_class("error")
    now = served.house.now()
    form.locator("[name=export_from]").fill(f"{now.year - 1}-{now.month:02}-28")
    form.locator("[name=export_to]").fill(f"{now:%Y-%m-%d}")
    form.locator("[name=export_reason]").fill("年度报告")
    with page.expect_download() as download:
        form.locator("[name=export_reason]").press("Control+Enter")
    content = Path(str(download.value.path())).read_text(encoding="utf-8-sig")
    assert len(content.splitlines()) == 8
    assert re.fullmatch(r"12349-incidents-\d{8}-\d{8}\.csv", download.value.suggested_filename)
    expect(page.locator(".exports tbody tr").first).to_contain_text("年度报告")


def test_a_recording_is_heard_with_a_reason_by_the_keyboard(served: ServedHouse, operator: Operator) -> None:
    one = served.do(a_call(served.house, "c1", 5))
    page = operator()
    page.locator(f"#row-{one.id}").click()
    listen = page.locator(".recordings button", has_text="收听")
    expect(page.locator(".recordings .recording")).to_have_text("有录音")
    listen.focus()
    page.keyboard.press("Enter")
    expect(page.locator("[name=listen_reason]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".recordings .error")).to_have_text("请写明理由")
    assert not noted(served.house, Kind.LISTENED)
    page.keyboard.type("核对门牌")
    page.keyboard.press("Enter")
    sound = page.locator("audio")
    expect(sound).to_be_focused()
    assert [facts["reason"] for facts in noted(served.house, Kind.LISTENED)] == ["核对门牌"]
    page.wait_for_function("() => document.querySelector('audio').duration === 30")
    page.locator(".player button", has_text="前进").click()
    page.wait_for_function("() => document.querySelector('audio').currentTime >= 10")
    expect(page.locator(".recordings .error")).to_have_count(0)
    assert not [one for one in violations(page) if "leaflet" not in one]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_screen_is_clean_for_axe(served: ServedHouse, operator: Operator, language: str) -> None:
    page = operator(**speaking(language))
    go(page, "f")
    page.locator(".history-box input").fill("p000")
    page.keyboard.press("Enter")
    expect(page.locator(".history-list .story")).to_be_visible()
    page.locator(".history-list button.row").first.click()
    expect(page.locator(".incident .story")).to_be_visible()
    assert violations(page) == []
    page.locator(".to-export").click()
    expect(page.locator("form.export")).to_be_visible()
    assert violations(page) == []
    go(page, "u")
    expect(page.locator(".ops.audit tbody tr").first).to_be_visible()
    page.locator(".proof button").click()
    expect(page.locator(".proof p")).to_contain_text("✓")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_the_log_is_filtered_and_a_forgery_is_told(served: ServedHouse, operator: Operator) -> None:
    page = operator()
    go(page, "f")
    page.locator(".history-list button.row").first.click()
    go(page, "u")
    expect(page.locator(".ops.audit tbody tr").first).to_be_visible()
    page.locator("[name=audit_kind]").select_option("exported")
    expect(page.locator(".ops.audit .nothing-here")).to_be_visible()
    page.locator("[name=audit_kind]").select_option("searched")
    expect(page.locator(".ops.audit tbody tr").first).to_contain_text("检索")
    archive = served.call(lambda: served.house.archive)
    with archive._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE journal SET facts = ? WHERE seq = 2", (json.dumps({"a": 1}),))
    page.locator(".proof button").click()
    expect(page.locator(".proof")).to_have_class(re.compile("broken"))
    expect(page.locator(".proof p")).to_contain_text("第 2 条")
