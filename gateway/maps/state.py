"""What of `[map]` can be used at this moment, and why the rest cannot: for the page, for `gateway check` and for `gateway map show`."""

from pathlib import Path
from typing import NamedTuple

from gateway.config import Config, MapConfig
from gateway.config.map import MapLayerConfig
from gateway.errors import GatewayError
from gateway.maps import boundary, mbtiles
from gateway.maps.boundary import Boundary

KEY_LIMIT = 4096  # bytes of key_file


class LayerState(NamedTuple):
    """A layer, what its file says of itself, and why it cannot be used ("" = it can): for people who run the gateway, and in a word for the page."""

    layer: MapLayerConfig
    tiles: mbtiles.TileSet | None = None
    fault: str = ""
    reason: str = ""


def layers(config: Config) -> list[LayerState]:
    """In the order of the file. Reads the head of each MBTiles file; asks nobody else. Never raises."""
    return [_layer(config.folder, layer) for layer in config.map.layer]


def _layer(folder: Path, layer: MapLayerConfig) -> LayerState:
    try:
        if layer.kind == "mbtiles":
            return LayerState(layer, mbtiles.look(folder / layer.file))
        address(folder, layer)
    except mbtiles.NotUsed as error:
        return LayerState(layer, fault=str(error), reason=error.reason)
    return LayerState(layer)


def address(folder: Path, layer: MapLayerConfig) -> str:
    """The template of an xyz layer with its key in it: a secret from here on. Raises NotUsed."""
    if not layer.key_file:
        return layer.url
    try:
        key = (folder / layer.key_file).read_bytes()[:KEY_LIMIT].decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise mbtiles.NotUsed("no_key", f"{layer.key_file} cannot be read as a key; write the key into it, alone") from error
    if not key or not key.isprintable() or " " in key:
        raise mbtiles.NotUsed("no_key", f"{layer.key_file} holds no key; write the key into it, alone")
    return layer.url.replace("{key}", key)


def boundary_of(config: Config) -> tuple[Boundary | None, str]:
    """The boundary, and why there is none although one is named. Never raises."""
    if not config.map.boundary:
        return None, ""
    try:
        return boundary.read(config.folder / config.map.boundary), ""
    except GatewayError as error:
        return None, str(error)


def lacks_approval(given: MapConfig) -> bool:
    """A base map that is shown in China carries the number under which it was approved (地图管理条例)."""
    return bool(given.layer) and not given.approval
