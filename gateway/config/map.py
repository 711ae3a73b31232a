"""`[map]`: what lies under the operators' map. Without any of it there is a grid with a scale: nobody needs a base map to send somebody."""

from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from gateway.config.words import Name, Seconds
from gateway.coordinates import is_reversed
from gateway.toml_file import Fault

Zoom = Annotated[int, msgspec.Meta(ge=0, le=22)]  # 22: four centimetres a pixel; nobody has more
Degrees = Annotated[float, msgspec.Meta(ge=-180, le=180)]
LAYERS_LIMIT = 4  # a base, its labels, and two more; each is fetched for every square on the screen
WORDS = ("{z}", "{x}", "{y}")


class MapLayerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[map.layer]]`; several lie one above the other in this order.

    kind        xyz: fetched by the gateway from `url`, with {z} {x} {y} and, if key_file is there, {key}; mbtiles: pictures out of `file`
    crs         of the pictures: wgs84 (OpenStreetMap), cgcs2000 (Tianditu; here the same), gcj02 (Amap, Tencent)
    """

    name: Name
    kind: Literal["xyz", "mbtiles"]
    url: Annotated[str, msgspec.Meta(max_length=1024)] = ""
    key_file: str = ""
    file: Annotated[str, msgspec.Meta(max_length=1024)] = ""
    crs: Literal["wgs84", "cgcs2000", "gcj02"] = "wgs84"
    min_zoom: Zoom = 3
    max_zoom: Zoom = 18
    opacity: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0


class MapConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[map]`. Paths are relative to the configuration file; what cannot be read is told and left out, for no map is worth a gateway that stands.

    center       [latitude, longitude], WGS-84; [] = that of the district
    attribution  shown in the corner, required with a base layer; approval: the number under which its publication was approved (审图号)
    boundary     as `gateway map import` wrote it
    timeout_s    a square that has not come from its source by then stays empty; cache_mb: memory for those that came (0 = none)
    """

    center: Annotated[tuple[Degrees, ...], msgspec.Meta(max_length=2)] = ()
    zoom: Zoom = 12
    attribution: Annotated[str, msgspec.Meta(max_length=200)] = ""
    approval: Annotated[str, msgspec.Meta(max_length=100)] = ""
    boundary: Annotated[str, msgspec.Meta(max_length=1024)] = ""
    timeout_s: Seconds = 5
    cache_mb: Annotated[int, msgspec.Meta(ge=0, le=4096)] = 64
    layer: tuple[MapLayerConfig, ...] = ()


def layer_faults(layer: MapLayerConfig) -> Iterator[Fault]:
    """What is wrong with a layer that has the right types."""
    wanted, other = ("url", "file") if layer.kind == "xyz" else ("file", "url")
    if not getattr(layer, wanted):
        yield (wanted, "kind"), f"is missing: a layer of kind {layer.kind} needs it", f"write {wanted} = …"
    if getattr(layer, other):
        yield (
            (other, "kind"),
            f"says nothing for a layer of kind {layer.kind}",
            f"leave it out, or write kind = {'mbtiles' if other == 'file' else 'xyz'!r}",
        )
    if layer.kind == "xyz" and layer.url:
        yield from _url_faults(layer)
    if layer.min_zoom > layer.max_zoom:
        yield ("min_zoom", "max_zoom"), f"is more than max_zoom, {layer.max_zoom}", "exchange them"


def _url_faults(layer: MapLayerConfig) -> Iterator[Fault]:
    try:
        url = urlsplit(layer.url)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0) and "{" not in url.netloc
    except ValueError:
        usable = False
    if not usable:
        yield ("url",), "is no web address", "write http://HOST/{z}/{x}/{y}.png; the host stands there in full"
    missing = [word for word in WORDS if word not in layer.url]
    if missing:
        yield ("url",), f"lacks {' and '.join(missing)}", "write the number of the square into it, as in http://HOST/{z}/{x}/{y}.png"
    if ("{key}" in layer.url) != bool(layer.key_file):
        yield ("key_file", "url"), "and {key} in url go together", "write both, or neither"


def map_faults(config: MapConfig) -> Iterator[Fault]:
    """What is wrong with one that has the right types."""
    if len(config.center) == 1 or (len(config.center) == 2 and not -85 <= config.center[0] <= 85):
        what = "looks exchanged" if len(config.center) == 2 and is_reversed(*config.center) else "is no place on a map"
        yield ("center",), what, "write [latitude, longitude], as in [36.345, 102.86]"
    if config.layer and not config.attribution:
        yield (
            ("attribution", "layer"),
            "is missing: who made a base map is named beside it",
            'write attribution = "…", as the licence of the map asks',
        )
    if len(config.layer) > LAYERS_LIMIT:
        yield ("layer",), f"has more than {LAYERS_LIMIT} layers", "leave out what nobody looks at"
    names = [layer.name for layer in config.layer]
    if len(set(names)) < len(names):
        yield ("layer",), "has two layers of one name", "give each a name of its own"
    if len({layer.crs == "gcj02" for layer in config.layer}) > 1:
        yield ("layer",), "mixes gcj02 with others: they would lie some hundred metres apart", "use layers of one system"
