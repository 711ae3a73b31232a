"""Squares of the base map: from a file, from a server; limits, failures, and that nobody else is asked."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry
from starlette.requests import Request

from gateway.config import Config, ConsoleConfig
from gateway.config.map import MapConfig, MapLayerConfig
from gateway.console.http import make_app
from gateway.console.rights import DESK, RULES
from gateway.console.tiles import BLANK, GIVEN_UP_AFTER, PATH, PAUSE_S, Cache, Tiles
from gateway.core.account import AccountRole
from tests.console.fake_house import CONFIG, STATIC, Clock, FakeHouse
from tests.maps.tiles import Answer, mbtiles, png, tile_server

BASE = "http://127.0.0.1:12349"
PLACE = (12, 3217, 1609)  # zoom, column, row from the north


class Served:
    """A house with layers, its page, and what was counted."""

    def __init__(self, folder: Path, *layers: MapLayerConfig, accounts: bool = False, **more: object) -> None:
        config = msgspec.structs.replace(
            CONFIG,
            map=MapConfig(attribution="invented", layer=layers, **more),
            path=str(folder / "gateway.toml"),
            console=ConsoleConfig(accounts=accounts),
        )
        self.registry = CollectorRegistry()
        self.house = FakeHouse(config=config)
        app = make_app(self.house, static_dir=STATIC, metrics_registry=self.registry)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE)

    async def tile(self, layer: str = "base", place: tuple[int, int, int] = PLACE) -> httpx.Response:
        return await self.client.get(f"/tiles/{layer}/{place[0]}/{place[1]}/{place[2]}")

    def counted(self, result: str, layer: str = "base") -> float:
        return self.registry.get_sample_value("gateway_map_tiles_total", {"layer": layer, "result": result}) or 0.0


def xyz(url: str, **more: object) -> MapLayerConfig:
    return MapLayerConfig(name="base", kind="xyz", url=url + "/{z}/{x}/{y}.png", **more)  # type: ignore[arg-type]


def file_layer(file: str = "own.mbtiles") -> MapLayerConfig:
    return MapLayerConfig(name="base", kind="mbtiles", file=file)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


async def test_a_square_of_a_file_stands_upside_down_in_it(tmp_path: Path) -> None:
    z, x, y = PLACE
    mine, above = png((1, 2, 3)), png((9, 9, 9))
    mbtiles(tmp_path / "own.mbtiles", {(z, x, 2**z - 1 - y): mine, (z, x, y): above})
    served = Served(tmp_path, file_layer())
    answer = await served.tile()
    assert answer.content == mine
    assert (answer.headers["content-type"], answer.headers["cache-control"], answer.headers["x-tile"]) == (
        "image/png",
        "private, max-age=86400",
        "file",
    )
    empty = await served.tile(place=(z, x + 1, y))
    assert (empty.status_code, empty.content, empty.headers["x-tile"]) == (200, BLANK, "absent")
    assert (await served.tile(place=(2, 1, 1))).headers["x-tile"] == "absent", "below min_zoom"
    assert served.counted("file") == 1


async def test_vector_tiles_are_refused_in_words(tmp_path: Path) -> None:
    mbtiles(tmp_path / "own.mbtiles", {(0, 0, 0): b"\x1f\x8b\x08 a vector tile", (12, 3217, 2486): b"\x1f\x8b\x08"}, format="pbf")
    served = Served(tmp_path, file_layer())
    answer = await served.tile()
    assert (answer.status_code, answer.json()) == (415, {"reason": "vector_tiles"})
    (layer,) = (await served.client.get("/api/v1/map")).json()["layers"]
    assert layer["refused"] == "vector_tiles"


async def test_a_file_that_goes_and_comes_back(tmp_path: Path) -> None:
    served = Served(tmp_path, file_layer())
    for _ in range(GIVEN_UP_AFTER):
        answer = await served.tile()
        assert (answer.status_code, answer.content, answer.headers["cache-control"]) == (200, BLANK, "no-store")
    (layer,) = (await served.client.get("/api/v1/map")).json()["layers"]
    assert layer["trouble"] == "unreadable"
    mbtiles(tmp_path / "own.mbtiles", {(12, 3217, 2486): png()})
    assert (await served.tile()).headers["x-tile"] == "file"


async def test_fetched_once_and_then_kept(tmp_path: Path, stack: ExitStack) -> None:
    server = stack.enter_context(tile_server())
    served = Served(tmp_path, xyz(server.url))
    answers = await asyncio.gather(*(served.tile() for _ in range(5)))
    assert {answer.content for answer in answers} == {png()}
    assert server.asked == ["/12/3217/1609.png"]
    assert (await served.tile()).headers["x-tile"] == "cached"
    assert (served.counted("fetched"), served.counted("cached")) == (5, 1)


async def test_the_key_goes_out_and_never_in(tmp_path: Path, stack: ExitStack) -> None:
    (tmp_path / "key").write_text("tk-4711\n")
    server = stack.enter_context(tile_server())
    layer = MapLayerConfig(name="base", kind="xyz", url=server.url + "/wmts?z={z}&x={x}&y={y}&tk={key}", key_file="key")
    served = Served(tmp_path, layer)
    answer = await served.tile()
    assert answer.content == png()
    assert server.asked == ["/wmts?z=12&x=3217&y=1609&tk=tk-4711"]
    told = (await served.client.get("/api/v1/map")).text
    assert "4711" not in told
    assert server.url not in told


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((500, {}, b""), "http_500"),
        ((302, {"location": "http://127.0.0.1:9/elsewhere"}, b""), "redirected"),
        ((200, {}, b"<html>please log in</html>"), "no_picture"),
        ((200, {"content-type": "image/svg+xml"}, b"<svg onload='alert(1)'/>"), "no_picture"),
        ((200, {}, b"\x1f\x8b a vector tile"), "vector_tiles"),
        ((200, {"content-encoding": "gzip"}, png()), "no_picture"),
        ((200, {}, png()[:8] + b"0" * 1_100_000), "too_large"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
async def test_whatever_is_wrong_the_map_goes_on(tmp_path: Path, stack: ExitStack, answer: Answer, why: str) -> None:
    server = stack.enter_context(tile_server(lambda _: answer))
    served = Served(tmp_path, xyz(server.url))
    for column in range(GIVEN_UP_AFTER):
        blank = await served.tile(place=(12, column, 7))
        assert (blank.status_code, blank.content, blank.headers["x-tile"]) == (200, BLANK, "failed")
    assert served.counted("failed") == GIVEN_UP_AFTER
    (layer,) = (await served.client.get("/api/v1/map")).json()["layers"]
    assert layer["trouble"] == why
    asked = len(server.asked)
    await served.tile(place=(12, 100, 7))
    assert len(server.asked) == asked, "nobody is asked for a while"


async def test_nobody_there_and_one_who_is_slow(tmp_path: Path, stack: ExitStack) -> None:
    served = Served(tmp_path, xyz("http://127.0.0.1:9"))
    assert (await served.tile()).content == BLANK
    (layer,) = (await served.client.get("/api/v1/map")).json()["layers"]
    assert layer["trouble"] == "", "one failure says nothing"

    silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))  # takes connections and says nothing
    slow = Served(tmp_path, xyz(f"http://127.0.0.1:{silent.getsockname()[1]}"), timeout_s=0.3)
    assert (await slow.tile()).content == BLANK
    assert slow.counted("failed") == 1


async def test_asked_again_after_a_pause(tmp_path: Path, stack: ExitStack) -> None:
    good: list[bool] = []
    server = stack.enter_context(tile_server(lambda _: (200, {}, png()) if good else (503, {}, b"")))
    house = FakeHouse(config=msgspec.structs.replace(CONFIG, map=MapConfig(attribution="x", layer=(xyz(server.url),))))
    clock = Clock(1000.0)
    tiles = Tiles(house, CollectorRegistry(), clock)

    async def ask(column: int) -> str:
        scope = {"type": "http", "path_params": {"layer": "base", "z": "12", "x": str(column), "y": "7"}, "headers": []}
        return (await tiles.tile(Request(scope))).headers["x-tile"]

    assert [await ask(column) for column in range(4)] == ["failed"] * 4
    assert len(server.asked) == GIVEN_UP_AFTER
    good.append(True)
    assert await ask(5) == "failed"
    clock.now += PAUSE_S
    assert await ask(5) == "fetched"
    assert tiles.trouble("base") == ""
    assert await ask(5) == "cached"


async def test_a_square_that_the_source_does_not_have_is_no_failure(tmp_path: Path, stack: ExitStack) -> None:
    server = stack.enter_context(tile_server(lambda _: (404, {}, b"")))
    served = Served(tmp_path, xyz(server.url))
    for _ in range(2):
        assert (await served.tile()).headers["x-tile"] == "absent"
    assert len(server.asked) == 1
    assert served.counted("failed") == 0


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/tiles/other/1/0/0", 404),
        ("/tiles/base/23/0/0", 400),
        ("/tiles/base/3/8/0", 400),
        ("/tiles/base/-1/0/0", 400),
        ("/tiles/base/3/0/x", 400),
        ("/tiles/base/3/0/999999999999", 400),
        ("/tiles/base/3/0/٣", 400),
    ],
)
async def test_squares_that_cannot_exist(tmp_path: Path, path: str, status: int) -> None:
    served = Served(tmp_path, xyz("http://127.0.0.1:9"))
    assert (await served.client.get(path)).status_code == status


async def test_nobody_without_a_log_in_sees_a_square(tmp_path: Path) -> None:
    served = Served(tmp_path, xyz("http://127.0.0.1:9"), accounts=True)
    for path in ("/tiles/base/12/3217/1609", "/api/v1/map", "/api/v1/map/incidents", "/api/v1/incidents/I1/map"):
        answer = await served.client.get(path)
        assert (answer.status_code, answer.json()["reason"]) == (401, "log_in")
    assert RULES[f"GET {PATH}"].roles == DESK
    assert not DESK & {AccountRole.WALL, AccountRole.CITIZEN, AccountRole.AUDITOR, AccountRole.ADMIN}


def test_the_cache_holds_no_more_than_it_may() -> None:
    cache = Cache(10_000)
    for column in range(100):
        cache.put(("base", 9, column, 0), bytes(800), until=10.0)
        cache.get(("base", 9, 0, 0), 0.0)  # used again and again, so it stays
        assert cache.size <= 10_000
    assert len(cache) == 10
    assert cache.get(("base", 9, 0, 0), 0.0) is not None
    assert cache.get(("base", 9, 1, 0), 0.0) is None
    assert cache.get(("base", 9, 99, 0), 10.0) is None, "its time is over"
    none = Cache(0)
    none.put(("base", 9, 0, 0), b"x", 10.0)
    assert (len(none), none.size) == (0, 0)


def test_a_house_without_layers_has_no_map_metric() -> None:
    registry = CollectorRegistry()
    Tiles(FakeHouse(config=Config(console=ConsoleConfig(accounts=False))), registry)
    assert "gateway_map" not in str([family.name for family in registry.collect()])
