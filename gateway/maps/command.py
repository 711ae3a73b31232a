"""`gateway map import | show`: take over a boundary with where it comes from, or say what lies under the operators' map."""

import argparse
import os
from pathlib import Path

from gateway.clock import utc_now
from gateway.config import Config, read_config
from gateway.core.duty import CHINA
from gateway.errors import GatewayError
from gateway.maps import boundary, state

FOLDER = "map"  # below the data folder, where no other file is named


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `map` to the commands."""
    parser = subparsers.add_parser("map", help="the operators' map: import a boundary, or say what lies under the map")
    commands = parser.add_subparsers(dest="map", required=True, metavar="COMMAND")
    one = commands.add_parser(
        "import", help="GeoJSON with the border of the district -> the file that the page shows, in WGS-84, its origin written into it"
    )
    one.add_argument("file", metavar="FILE")
    one.add_argument("--crs", required=True, choices=sorted(boundary.DATUMS), help="of the file: wgs84, gcj02 (Amap, Tencent), bd09 (Baidu)")
    one.add_argument("--source", default="", help="whose data they are, and from when")
    one.add_argument("--licence", default="", help="what may be done with them, or by what right you have them")
    one.set_defaults(run=_import)
    other = commands.add_parser("show", help="say what lies under the map, and what of it cannot be used")
    other.set_defaults(run=_show)
    for command in (one, other):
        command.add_argument("--config", default="config/gateway.toml", metavar="FILE", help="default: config/gateway.toml")


def _import(args: argparse.Namespace) -> int:
    """Writes map.boundary; a file is exchanged whole or not at all. Raises GatewayError with the remedy."""
    config = read_config(args.config)
    given = Path(args.file)
    try:
        if given.stat().st_size > boundary.FILE_LIMIT:
            raise GatewayError(f"{given} has more than {boundary.FILE_LIMIT // 1024 // 1024} MB; simplify the border, 20 m are exact enough")
        data = given.read_bytes()
    except OSError as error:
        raise GatewayError(f"{given} cannot be read ({error.strerror}); check the path") from error
    try:
        made = boundary.convert(data, args.crs, args.source, args.licence, utc_now().astimezone(CHINA).date())
    except GatewayError as error:
        raise GatewayError(f"{given}: {error}") from error
    file = config.folder / config.map.boundary if config.map.boundary else config.data_folder / FOLDER / f"{config.gateway.district}.geojson"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(f".{file.name}.{os.getpid()}")
        new.write_bytes(made)
        new.replace(file)
    except OSError as error:
        raise GatewayError(f"{file} cannot be written ({error.strerror}); correct map.boundary, or the rights of the folder") from error
    print(f"{file}: {_told(boundary.read(file))}")
    if not config.map.boundary:
        print(f'write into {config.path}, under [map]: boundary = "{os.path.relpath(file, config.folder)}"')
    return 0


def _show(args: argparse.Namespace) -> int:
    """Exit 0 when everything that the configuration names can be used."""
    config = read_config(args.config)
    whole = True
    for one in state.layers(config):
        kind = f"{one.layer.name}: {one.layer.kind}, {one.layer.crs}"
        if one.fault:
            whole = False
            print(f"{kind}: NOT USED: {one.fault}")
        elif one.tiles is not None:
            print(
                f"{kind}, {one.tiles.format}, zoom {one.tiles.min_zoom} to {one.tiles.max_zoom}"
                + (f", {one.tiles.bounds}" if one.tiles.bounds else "")
            )
        else:
            print(f"{kind}, zoom {one.layer.min_zoom} to {one.layer.max_zoom}, {one.layer.url}")  # its key is not in it
    if not config.map.layer:
        print("no base map: a grid with a scale")
    whole &= _show_boundary(config)
    if state.lacks_approval(config.map):
        print("no approval number: write map.approval, or do not show this base map in China")
    return 0 if whole else 1


def _show_boundary(config: Config) -> bool:
    found, fault = state.boundary_of(config)
    if found is not None:
        print(f"boundary: {_told(found)}")
    else:
        print(f"boundary: NOT USED: {fault}" if fault else "no boundary: see gateway map import --help")
    return not fault


def _told(found: boundary.Boundary) -> str:
    south, west, north, east = found.bounds
    place = f"{south:.4f}, {west:.4f} to {north:.4f}, {east:.4f}"
    return (
        f"{len(found.polygons)} polygons, {found.points} points, {place}; from {found.from_crs}, {found.imported_on}; {found.source}; {found.licence}"
    )
