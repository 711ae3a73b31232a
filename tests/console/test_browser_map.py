"""The map in a real Chromium: its arithmetic, with and without tiles, in a pane and in a window of its own; nobody else is ever asked."""

import math
import random
import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Page, expect
from waiting import WAIT_S

from gateway.config.map import MapConfig, MapLayerConfig
from gateway.coordinates import Datum, Place, is_mainland
from gateway.event import Kind, Position
from gateway.maps.boundary import convert
from tests.console.browser import Operator, ServedHouse
from tests.console.fake_house import CONFIG, FakeHouse
from tests.console.test_browser_page import violations
from tests.maps.tiles import TileServer, mbtiles, png, tile_server

CENTIMETRE = 0.01 / 111_195  # degrees of latitude
RING = [[102.82, 36.31], [102.91, 36.31], [102.91, 36.38], [102.82, 36.38], [102.82, 36.31]]

# The fact sheet's: published by eviltransform and coordtransform, six digits and more. (WGS-84, GCJ-02), (lat, lon).
VECTORS = [
    ((31.1774276, 121.5272106), (31.17530398364597, 121.531541859215)),
    ((22.543847, 113.912316), (22.540796131694766, 113.9171764808363)),
    ((39.911954, 116.377817), (39.91334545536069, 116.38404722455657)),
    ((39.915, 116.404), (39.91640428150164, 116.41024449916938)),
]
CITIES = [
    ((39.90872, 116.39748), (39.910123, 116.403724)),
    ((30.57281, 104.06680), (30.570356, 104.069305)),
    ((43.82560, 87.61685), (43.826805, 87.619700)),
    ((29.65249, 91.17211), (29.649701, 91.173577)),
]
UNMOVED = [(51.5072, -0.1276), (35.6895, 139.6917), (22.3, 114.17), (25.03, 121.56), (37.5665, 126.978), (21.03, 105.85)]


@pytest.fixture
def given() -> MapConfig:
    """[map] of the house; classes below have their own."""
    return MapConfig()


@pytest.fixture
def served(given: MapConfig, tmp_path: Path) -> Iterator[ServedHouse]:
    config = msgspec.structs.replace(CONFIG, map=given, path=str(tmp_path / "gateway.toml"))
    house = ServedHouse(FakeHouse(config=config))
    yield house
    house.stop()


async def cry(house: FakeHouse, person: int = 0, age_min: float = 2) -> None:
    home = house.register.persons[f"p{person:03}"]
    fixed_at = house.now() - timedelta(minutes=age_min)
    place = Position(lat=home.lat + 0.004, lon=home.lon - 0.003, source="gnss", accuracy_m=60.0, fixed_at=fixed_at)
    await house.cries(person, Kind.SOS, position=place)
    await house.deliver()


def opens(page: Page) -> None:
    page.locator(".grid-row[data-id]").first.click()
    expect(page.locator(".map-sign.person")).to_be_visible()


def takes(page: Page) -> None:
    page.locator(".incident").focus()
    page.keyboard.press("a")
    expect(page.locator(".map-pane")).not_to_contain_text("1 公里范围")
    expect(page.locator(".map-sign.person .age")).to_contain_text("分前")


# the arithmetic


def test_gcj_is_that_of_the_gateway(operator: Operator) -> None:
    page = operator(None)
    chance = random.Random(7)
    points = [(chance.uniform(1, 55), chance.uniform(72.5, 137)) for _ in range(3000)] + UNMOVED + [one for one, _ in VECTORS + CITIES]
    script = """async (points) => {
      const {fromGcj, isMainland, toGcj} = await import('/static/gcj.js');
      return points.map(([lat, lon]) => [isMainland(lat, lon), toGcj(lat, lon), fromGcj(...toGcj(lat, lon)), fromGcj(lat, lon)]);
    }"""
    for (lat, lon), (mainland, there, back, before) in zip(points, page.evaluate(script, points), strict=True):
        assert mainland == is_mainland(lat, lon)
        ours = Place(lat, lon).into(Datum.GCJ02)
        inverse = Place(lat, lon, Datum.GCJ02).into(Datum.WGS84)
        assert there == pytest.approx((ours.lat, ours.lon), abs=CENTIMETRE)
        assert before == pytest.approx((inverse.lat, inverse.lon), abs=CENTIMETRE)
        if is_mainland(*back) == mainland:
            assert back == pytest.approx((lat, lon), abs=CENTIMETRE)


def test_gcj_is_that_of_the_fact_sheet(operator: Operator) -> None:
    page = operator(None)
    ask = "async (points) => { const {toGcj} = await import('/static/gcj.js'); return points.map(([lat, lon]) => toGcj(lat, lon)); }"
    for table, exact in ((VECTORS, 1e-9), (CITIES, 2e-6)):
        for found, (_, wanted) in zip(page.evaluate(ask, [one for one, _ in table]), table, strict=True):
            assert found == pytest.approx(wanted, abs=exact)
    assert [tuple(one) for one in page.evaluate(ask, UNMOVED)] == UNMOVED


def test_leaflet_draws_gcj_where_amap_has_it(operator: Operator) -> None:
    page = operator(None)
    script = """async ([lat, lon]) => {
      await import('leaflet');
      const L = globalThis.leaflet;
      const {gcjCrs} = await import('/static/gcj.js');
      const crs = gcjCrs(L);
      const drawn = crs.latLngToPoint(L.latLng(lat, lon), 18);
      const back = crs.pointToLatLng(drawn, 18);
      return [[drawn.x, drawn.y], [back.lat, back.lng], crs.code];
    }"""
    (x, y), back, code = page.evaluate(script, list(VECTORS[3][0]))
    lat, lon = VECTORS[3][1]
    world = 256 * 2**18
    assert x == pytest.approx((lon + 180) / 360 * world, abs=0.01)
    assert y == pytest.approx((0.5 - math.log(math.tan(math.pi / 4 + math.radians(lat) / 2)) / (2 * math.pi)) * world, abs=0.01)
    assert back == pytest.approx(VECTORS[3][0], abs=CENTIMETRE)
    assert code == "GCJ-02"


# without a base map


def test_leaflet_comes_when_a_map_is_shown_and_not_before(operator: Operator) -> None:
    asked: list[str] = []

    def watched(page: Page) -> None:
        page.add_init_script("localStorage.setItem('map.folded', 'yes')")
        page.on("request", lambda request: asked.append(request.url))

    page = operator(before=watched)
    expect(page.locator(".map-pane.folded")).to_be_visible()
    assert not [url for url in asked if "leaflet" in url or "/api/v1/map" in url]
    page.get_by_role("button", name="展开").click()
    expect(page.locator(".map-picture.leaflet-container")).to_be_visible()
    assert len([url for url in asked if url.endswith("leaflet.js")]) == 1
    assert not [url for url in asked if "/images/" in url], "none of Leaflet's own pictures"
    page.get_by_role("button", name="收起").click()
    expect(page.locator(".map-picture")).to_have_count(0)
    assert page.evaluate("localStorage.getItem('map.folded')") == "yes"


def test_a_square_before_it_is_taken_the_place_after(served: ServedHouse, operator: Operator) -> None:
    served.do(cry(served.house))
    page = operator()
    opens(page)
    pane = page.locator(".map-pane")
    expect(pane).to_contain_text("仅显示约 1 公里范围")
    expect(pane.locator(".map-circle.coarse")).to_have_count(1)
    expect(pane.locator(".map-circle.radius")).to_have_count(0)
    expect(pane.locator(".map-grid").first).to_be_attached()
    expect(pane.locator(".map-ring")).to_have_count(3)
    expect(pane.locator(".leaflet-control-scale-line")).to_be_visible()
    expect(pane.locator(".map-foot")).to_contain_text("示意图")
    expect(pane.locator(".map-foot")).to_contain_text("约 15 分钟可达（按直线距离估算）")
    takes(page)
    expect(pane.locator(".map-circle.coarse")).to_have_count(0)
    expect(pane.locator(".map-circle.radius")).to_have_count(1)
    expect(pane.locator(".map-sign.responder.leg .travel")).to_contain_text(re.compile("约 \\d+ 分"))
    assert page.locator("img").count() == 0, "no picture file is shown without a base map"


def test_an_old_fix_is_hollow(served: ServedHouse, operator: Operator) -> None:
    served.do(cry(served.house, age_min=9.9))
    served.house.offset = timedelta(minutes=1)
    page = operator()
    opens(page)
    takes(page)
    expect(page.locator(".map-sign.person.old .mark")).to_have_text("○")
    expect(page.locator(".map-circle.radius.old")).to_have_count(1)
    page.get_by_role("button", name="列表").click()
    expect(page.locator(".map-list")).to_contain_text("位置已过时")


def test_the_list_says_what_the_map_shows(served: ServedHouse, operator: Operator) -> None:
    served.do(cry(served.house))
    page = operator()
    opens(page)
    takes(page)
    drawn = page.locator(".map-sign[data-map-key^='responder:']").evaluate_all("signs => signs.map(one => one.title)")
    page.get_by_role("button", name="列表").click()
    expect(page.locator(".map-list tbody tr")).to_have_count(len(drawn) + 2)  # the person and the home
    rows = page.locator(".map-list tbody tr").all_inner_texts()
    person = served.house.incidents["I100001"].position
    assert person
    assert f"{round(person.lat, 6)}, {round(person.lon, 6)}" in rows[0]
    assert "±60 m" in rows[0]
    for title in drawn:
        seen, _, km, where, *_ = title.split(" · ")
        name, _, time = seen.partition(" ")
        (row,) = [row for row in rows if name in row]
        assert all(part in row for part in (time, km, where))
    names = page.locator(".responders tbody tr.candidate").all_inner_texts()
    for title in drawn:
        seen, _, km, *_ = title.split(" · ")
        name, _, time = seen.partition(" ")
        (row,) = [row for row in names[: len(drawn)] if name in row]
        assert time in row
        assert km in row


def test_everything_is_reached_by_keys(served: ServedHouse, operator: Operator) -> None:
    served.do(cry(served.house))
    page = operator()
    opens(page)
    page.locator(".map-picture").focus()
    seen = []
    for _ in range(9):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.dataset.mapKey ?? document.activeElement.getAttribute('aria-label') ?? ''"))
    assert "person" in seen
    assert sum(key.startswith("responder:") for key in seen) >= 3
    assert {"放大", "缩小"} <= set(seen)
    page.locator(".map-sign.person").focus()
    page.keyboard.press("a")  # letters act on the incident that is shown
    expect(page.locator(".incident-head")).to_contain_text("接警 李娜")
    expect(page.locator(".map-sign.person")).to_be_focused()


def test_the_overview_opens_incidents(served: ServedHouse, operator: Operator) -> None:
    for person in range(4):
        served.do(cry(served.house, person))
    page = operator()
    expect(page.locator(".map-sign.spot").first).to_be_visible()
    assert sum(int(one) for one in page.locator(".map-sign.spot .count").all_inner_texts()) == 4
    spot = page.locator(".map-sign.spot").last
    spot.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".incident-head .id")).to_have_text(re.compile("I10000[1-4]"))
    expect(page.locator(".map-sign.person")).to_be_visible()
    page.get_by_role("button", name="总览").click()
    page.get_by_role("button", name="列表").click()
    page.locator(".map-spots").get_by_role("button", name="I100003").click()
    expect(page.locator(".incident-head .id")).to_have_text("I100003")


def test_whoever_wants_calm_gets_it(served: ServedHouse, operator: Operator) -> None:
    served.do(cry(served.house))
    page = operator(reduced_motion="reduce")
    opens(page)
    expect(page.locator(".leaflet-zoom-anim")).to_have_count(0)
    expect(page.locator(".leaflet-fade-anim")).to_have_count(0)


@pytest.mark.parametrize("language", ["zh-CN", "en"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_anybody_can_use_it(served: ServedHouse, operator: Operator, language: str, scheme: str) -> None:
    served.do(cry(served.house))
    page = operator(before=lambda page: page.add_init_script(f"localStorage.setItem('language', '{language}')"), color_scheme=scheme)
    expect(page.locator(".map-sign.spot")).to_be_visible()
    assert violations(page) == []
    opens(page)
    assert violations(page) == []
    page.locator(".map-pane").get_by_role("button", name=re.compile("列表|List")).click()
    assert violations(page) == []
    with page.context.expect_page() as popped:
        page.locator(".map-pane").get_by_role("button", name=re.compile("弹出|Pop out")).click()
    window = popped.value
    expect(window.locator(".map-sign.person")).to_be_visible()
    expect(window.locator("html")).to_have_attribute("data-theme", scheme)
    assert violations(window) == []


# screen two


def test_screen_two_follows_the_desk(served: ServedHouse, operator: Operator) -> None:
    for person in range(2):
        served.do(cry(served.house, person))
    page = operator()
    page.locator("#row-I100001").click()
    page.locator(".incident").focus()
    with page.context.expect_page() as popped:
        page.keyboard.press("g")
        page.keyboard.press("m")
    window = popped.value
    faults: list[str] = []
    window.on("pageerror", lambda error: faults.append(str(error)))
    window.on("request", lambda request: None if request.url.startswith(served.url) else faults.append(request.url))
    assert re.fullmatch(re.escape(served.url) + r"\?view=map&of=[0-9a-f]{12}", window.url)
    expect(window.locator(".map-window header")).to_contain_text("I100001")
    expect(window.locator(".map-words")).to_contain_text("约 1 公里范围")
    page.locator("#row-I100002").click()
    expect(window.locator(".map-window header")).to_contain_text("I100002")
    page.locator(".incident").focus()
    page.keyboard.press("a")
    place = served.house.incidents["I100002"].position
    assert place
    expect(window.locator(".map-words")).to_contain_text(str(round(place.lat, 6)))
    window.get_by_role("button", name="总览").click()
    window.locator(".map-spots").get_by_role("button", name="I100001").click()
    expect(page.locator(".incident-head .id")).to_have_text("I100001")
    page.reload()
    window.reload()
    window.get_by_text("I100001").first.wait_for()
    page.get_by_role("button", name="离岗").click()
    expect(window.locator(".map-window")).to_contain_text("请在接警台窗口登录并上岗")
    expect(window.locator(".map-sign")).to_have_count(0)
    assert not faults


# with base maps


class TestTilesInGcj:
    @pytest.fixture
    def server(self) -> Iterator[TileServer]:
        with ExitStack() as stack:
            yield stack.enter_context(tile_server())

    @pytest.fixture
    def given(self, server: TileServer, tmp_path: Path) -> MapConfig:
        (tmp_path / "key").write_text("tk-4711")
        (tmp_path / "own.geojson").write_bytes(
            convert(msgspec.json.encode({"type": "Polygon", "coordinates": [RING]}), "wgs84", "Invented for a test", "CC0", FakeHouse().now().date())
        )
        layer = MapLayerConfig(name="amap", kind="xyz", url=server.url + "/{z}/{x}/{y}?k={key}", key_file="key", crs="gcj02")
        return MapConfig(attribution="© Invented <b>map</b>", approval="GS(2026)0001号", boundary="own.geojson", layer=(layer,))

    def test_squares_come_through_us_alone(self, served: ServedHouse, operator: Operator, server: TileServer) -> None:
        served.do(cry(served.house))
        page = operator()
        opens(page)
        expect(page.locator(".map-tile img.leaflet-tile-loaded").first).to_be_visible()
        assert page.locator(".map-tile img").first.get_attribute("src").startswith("/tiles/amap/")
        takes(page)
        foot = page.locator(".map-foot")
        expect(foot).to_contain_text("© Invented <b>map</b> · GS(2026)0001号 · 边界：Invented for a test")
        expect(foot).not_to_contain_text("示意图")
        expect(page.locator(".map-area.boundary")).to_have_count(1)
        page.wait_for_function("() => [...document.querySelectorAll('.map-tile img')].every(one => one.complete)")
        place = served.house.incidents["I100001"].position
        assert place
        shifted = Place(place.lat, place.lon).into(Datum.GCJ02)
        at_z = page.evaluate(
            """() => { const near = document.querySelector('.map-sign.person').getBoundingClientRect();
            const x = near.x + near.width / 2, y = near.y + near.height / 2;
            for (const one of document.querySelectorAll('.map-tile img')) { const box = one.getBoundingClientRect();
              if (x >= box.x && x < box.right && y >= box.y && y < box.bottom)
                return [one.getAttribute('src'), (x - box.x) / box.width, (y - box.y) / box.height]; } }"""
        )
        z, x, y = map(int, at_z[0].split("/")[3:])
        column = (shifted.lon + 180) / 360 * 2**z
        row = (0.5 - math.log(math.tan(math.pi / 4 + math.radians(shifted.lat) / 2)) / (2 * math.pi)) * 2**z
        assert (x + at_z[1], y + at_z[2]) == pytest.approx((column, row), abs=2 / 256), "the pin stands where the shifted map has the place"
        assert all(path.endswith("?k=tk-4711") for path in server.asked)

    def test_without_them_the_map_goes_on(self, served: ServedHouse, operator: Operator, server: TileServer) -> None:
        server.answer = lambda _: (503, {}, b"")
        served.do(cry(served.house))
        page = operator()
        opens(page)
        expect(page.locator(".map-grid").first).to_be_attached()
        trouble = "async () => (await (await fetch('/api/v1/map')).json()).layers[0].trouble"
        for _ in range(int(WAIT_S / 0.05)):
            if page.evaluate(trouble) == "http_503":
                break
            page.wait_for_timeout(50)
        assert page.evaluate(trouble) == "http_503"
        page.get_by_role("button", name="收起").click()
        page.get_by_role("button", name="展开").click()
        expect(page.locator(".map-foot .warning")).to_contain_text("底图 amap 未显示")
        expect(page.locator(".map-sign.person")).to_be_visible()


class TestTilesOfAFile:
    @pytest.fixture
    def given(self, tmp_path: Path) -> MapConfig:
        z = 11
        tiles = {(z, x, 2**z - 1 - y): png((220, 225, 205)) for x in range(1600, 1620) for y in range(795, 815)}
        mbtiles(tmp_path / "own.mbtiles", tiles)
        mbtiles(tmp_path / "vector.mbtiles", {(0, 0, 0): b"\x1f\x8b vector"}, format="pbf")
        own = MapLayerConfig(name="own", kind="mbtiles", file="own.mbtiles", min_zoom=11, max_zoom=11, opacity=0.8)
        return MapConfig(attribution="Invented", layer=(own, MapLayerConfig(name="vector", kind="mbtiles", file="vector.mbtiles")))

    def test_a_file_is_shown_and_vectors_are_refused(self, served: ServedHouse, operator: Operator) -> None:
        asked: list[str] = []
        served.do(cry(served.house))
        page = operator(before=lambda page: page.on("request", lambda request: asked.append(request.url)))
        opens(page)
        expect(page.locator(".map-tile img.leaflet-tile-loaded").first).to_be_visible()
        assert page.evaluate("document.querySelector('.map-tile img').naturalWidth") == 256
        expect(page.locator(".map-foot .warning")).to_contain_text("底图 vector 未显示：矢量瓦片")
        expect(page.locator(".map-foot")).to_contain_text("示意图")
        assert not [url for url in asked if "/tiles/vector/" in url]
        assert {url.split("/tiles/own/")[1].split("/")[0] for url in asked if "/tiles/own/" in url} == {"11"}
