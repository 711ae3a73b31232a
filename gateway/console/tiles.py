"""Squares of the base map: out of an MBTiles file, or fetched from where they are, so that no browser asks anybody but us and the key stays here.

A square that does not come is an empty picture: the map goes on without it, its grid and its scale are there all the same.
"""

import asyncio
import logging
import ssl
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import httpx
from prometheus_client import CollectorRegistry, Counter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.clock import monotonic
from gateway.config.map import MapLayerConfig
from gateway.console.seam import House
from gateway.dispatch.outgoing_http import PLAIN, is_packed
from gateway.errors import Refused
from gateway.maps.mbtiles import TILE_LIMIT, NotUsed, picture_type, tile
from gateway.maps.state import address
from gateway.metrics import own_version

PATH = "/tiles/{layer}/{z}/{x}/{y}"
ZOOM_LIMIT = 22
# A picture of one transparent point (PNG, ISO 15948).
BLANK = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000b4944415478da636000020000050001e9fadcd80000000049454e44ae426082"
)
KEPT_S = 86_400.0  # by us and by the browser; streets change slower
ABSENT_KEPT_S = 600.0  # … a square that the source does not have
ABSENT_BYTES = 200  # what remembering one costs
AT_ONCE = 8  # requests to one source; browsers have six a host, and public servers ask for no more
IN_FLIGHT_LIMIT = 400  # squares that wait for them: twenty screens
GIVEN_UP_AFTER = 3  # failures one after the other; then nobody is asked for …
PAUSE_S = 15.0  # … so long, in place of a time-out for every square of every screen
IDLE_S = 60.0  # without a square connections are closed

Key = tuple[str, int, int, int]


class _Failed(Exception):
    """`str()` is a word: timeout, unreachable, http_500, redirected, too_large, no_picture, busy."""


class _Kept(NamedTuple):
    data: bytes  # b"" = the source has none
    until: float

    @property
    def size(self) -> int:
        return len(self.data) + ABSENT_BYTES


class Cache:
    """The squares that came last, within a limit of bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self.size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key, now: float) -> bytes | None:
        """b"" = known to be absent; None = not known."""
        found = self._kept.get(key)
        if found is None:
            return None
        if found.until <= now:
            self.drop(key)
            return None
        self._kept.move_to_end(key)
        return found.data

    def put(self, key: Key, data: bytes, until: float) -> None:
        self.drop(key)
        kept = _Kept(data, until)
        self._kept[key] = kept
        self.size += kept.size
        while self.size > self._limit:
            self.drop(next(iter(self._kept)))

    def drop(self, key: Key) -> None:
        found = self._kept.pop(key, None)
        self.size -= found.size if found is not None else 0


class Tiles:
    """GET /tiles/<layer>/<zoom>/<column>/<row>, rows counted from the north. What the page may know of a layer: `trouble`."""

    def __init__(self, house: House, registry: CollectorRegistry, clock: Callable[[], float] = monotonic) -> None:
        self._house = house
        self._clock = clock
        self._layers = {layer.name: layer for layer in house.config.map.layer}
        self.cache = Cache(house.config.map.cache_mb * 1024 * 1024)
        self._flying: dict[Key, asyncio.Task[bytes]] = {}
        self._slots = {name: asyncio.Semaphore(AT_ONCE) for name in self._layers}
        self._failures: dict[str, tuple[int, str, float]] = {}  # layer → how many in a row, the last one's word, until when nobody asks
        self._client: httpx.AsyncClient | None = None
        self._opening: asyncio.Task[None] | None = None
        self._used = 0.0
        self._count = Counter(
            "gateway_map_tiles", "Squares of the base map, by where they came from", ("layer", "result"), registry=registry if self._layers else None
        )

    @property
    def routes(self) -> list[Route]:
        return [Route(PATH, self.tile)]

    def trouble(self, layer: str) -> str:
        """Why squares of this layer do not come at present, in a word; "" = they do."""
        count, why, _ = self._failures.get(layer, (0, "", 0.0))
        return why if count >= GIVEN_UP_AFTER else ""

    async def tile(self, request: Request) -> Response:
        """A picture, always, for a square that can exist. Raises Refused: unknown_layer, bad_tile, and what cannot be shown at all."""
        layer = self._layers.get(request.path_params["layer"])
        if layer is None:
            raise Refused("unknown_layer", 404)
        z, x, y = (_number(request.path_params[name]) for name in ("z", "x", "y"))
        if z > ZOOM_LIMIT or max(x, y) >= 1 << z:
            raise Refused("bad_tile", 400)
        if not layer.min_zoom <= z <= layer.max_zoom:
            return self._answer(layer, "absent", b"")
        key = (layer.name, z, x, y)
        if layer.kind == "mbtiles":
            return await self._from_file(layer, key)
        kept = self.cache.get(key, self._clock())
        if kept is not None:
            return self._answer(layer, "cached" if kept else "absent", kept)
        try:
            data = await self._once(layer, key)
        except _Failed:
            return self._answer(layer, "failed", b"")
        return self._answer(layer, "fetched" if data else "absent", data)

    async def _from_file(self, layer: MapLayerConfig, key: Key) -> Response:
        try:
            data = await run_in_threadpool(tile, self._house.config.folder / layer.file, *key[1:])
        except NotUsed as error:
            self._fail(layer, error.reason)
            return self._answer(layer, "failed", b"")
        if data and not picture_type(data):
            reason = "vector_tiles" if data.startswith(b"\x1f\x8b") else "no_pictures"
            self._count.labels(layer.name, "failed").inc()
            raise Refused(reason, 415)
        self._failures.pop(layer.name, None)
        return self._answer(layer, "file" if data else "absent", data or b"")

    def _answer(self, layer: MapLayerConfig, result: str, data: bytes) -> Response:
        self._count.labels(layer.name, result).inc()
        caching = "no-store" if result == "failed" else f"private, max-age={int(KEPT_S if data else ABSENT_KEPT_S)}"
        return Response(data or BLANK, media_type=picture_type(data) or "image/png", headers={"cache-control": caching, "x-tile": result})

    async def _once(self, layer: MapLayerConfig, key: Key) -> bytes:
        """Fetched once, however many screens ask at the same time. A screen that goes away does not stop it for the others."""
        task = self._flying.get(key)
        if task is None:
            count, why, until = self._failures.get(layer.name, (0, "", 0.0))
            if count >= GIVEN_UP_AFTER and self._clock() < until:
                raise _Failed(why)
            if len(self._flying) >= IN_FLIGHT_LIMIT:
                raise _Failed("busy")
            task = self._flying[key] = asyncio.create_task(self._fetch(layer, key), name="map-tile")
            task.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(task)

    def _landed(self, key: Key, done: "asyncio.Task[bytes]") -> None:
        self._flying.pop(key, None)
        if not done.cancelled():
            done.exception()  # whoever waited for it has it; nobody may be left

    async def _fetch(self, layer: MapLayerConfig, key: Key) -> bytes:
        limit_s = self._house.config.map.timeout_s
        try:
            async with asyncio.timeout(limit_s), self._slots[layer.name]:
                data = await self._get(layer, key, limit_s)
        except (httpx.TimeoutException, TimeoutError) as error:
            raise self._fail(layer, "timeout") from error
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, OSError) as error:  # its text may hold the key
            raise self._fail(layer, "unreachable") from error
        except NotUsed as error:
            raise self._fail(layer, error.reason) from error
        self._failures.pop(layer.name, None)
        self.cache.put(key, data, self._clock() + (KEPT_S if data else ABSENT_KEPT_S))
        return data

    async def _get(self, layer: MapLayerConfig, key: Key, limit_s: float) -> bytes:
        """The picture; b"" where the source has none. Raises _Failed and what httpx raises."""
        _, z, x, y = key
        template = await run_in_threadpool(address, self._house.config.folder, layer)
        url = template.replace("{z}", str(z)).replace("{x}", str(x)).replace("{y}", str(y))
        client = await self._connected(limit_s)
        async with client.stream("GET", url) as answer:
            if answer.status_code in (204, 404, 410):
                return b""
            if answer.has_redirect_location:
                raise self._fail(layer, "redirected")  # it would be asked whom nobody has named
            if answer.status_code != 200:
                raise self._fail(layer, f"http_{answer.status_code}")
            if is_packed(answer):
                raise self._fail(layer, "no_picture")
            data = b""
            async for part in answer.aiter_raw():
                data += part
                if len(data) > TILE_LIMIT:
                    raise self._fail(layer, "too_large")
        if not picture_type(data):
            raise self._fail(layer, "vector_tiles" if data.startswith(b"\x1f\x8b") else "no_picture")
        return data

    def _fail(self, layer: MapLayerConfig, why: str) -> _Failed:
        count = self._failures.get(layer.name, (0, "", 0.0))[0] + 1
        self._failures[layer.name] = count, why, self._clock() + PAUSE_S
        return _Failed(why)

    async def _connected(self, limit_s: float) -> httpx.AsyncClient:
        self._used = self._clock()
        if self._client is None:
            if self._opening is None or self._opening.done():
                self._opened = asyncio.Event()
                self._opening = asyncio.create_task(self._hold(limit_s), name="map-tiles")
            await self._opened.wait()
        assert self._client is not None
        return self._client

    async def _hold(self, limit_s: float) -> None:
        """Keep connections while squares are asked for; closed after IDLE_S, and when the house ends."""
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs addresses, and those may hold a key
        trusted = await asyncio.to_thread(ssl.create_default_context)
        async with httpx.AsyncClient(
            timeout=limit_s,
            verify=trusted,
            follow_redirects=False,
            trust_env=False,
            limits=httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE),
            headers={**PLAIN, "User-Agent": f"gateway-12349/{own_version()}"},
        ) as self._client:
            self._opened.set()
            try:
                while True:
                    await asyncio.sleep(IDLE_S)
                    if not self._flying and self._clock() - self._used >= IDLE_S:
                        return
            finally:
                self._client = None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 8):
        raise Refused("bad_tile", 400)
    return int(text)
