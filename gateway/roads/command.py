"""`gateway roads`: prepare travel times by the road network, or say which hold."""

import argparse
import contextlib
import os
import sys
from time import monotonic

from gateway import register_files
from gateway.errors import GatewayError
from gateway.roads.in_use import OFF, look, roads_folder, tiles_folder
from gateway.roads.prepare import prepare

NICE = 15  # nobody waits for it, and a gateway may run beside it
TELL_EVERY_S = 10.0


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `roads` to the commands."""
    parser = subparsers.add_parser("roads", help="travel times by a road network: prepare them, or say which hold")
    commands = parser.add_subparsers(dest="roads", required=True, metavar="COMMAND")
    for name, run, text in (
        ("prepare", _prepare, "compute the reach sets of every responder from Valhalla's tiles; what is there already is kept"),
        ("show", _show, "say which travel times hold, and why"),
    ):
        one = commands.add_parser(name, help=text)
        one.add_argument("--config", default="config/gateway.toml", metavar="FILE", help="default: config/gateway.toml")
        one.set_defaults(run=run)


def _prepare(args: argparse.Namespace) -> int:
    """Raises GatewayError with the remedy."""
    config, register = register_files.read_all(args.config)
    if not config.routing.roads.tiles:
        raise GatewayError("routing.roads.tiles is not set: name the folder of the tiles in the configuration")
    with contextlib.suppress(OSError):  # systemd/gateway.service forbids it: then it prepares all the same
        os.nice(NICE)
    told = monotonic()

    def tell(done: int, everybody: int) -> None:
        nonlocal told
        if monotonic() - told >= TELL_EVERY_S:
            told = monotonic()
            print(f"{done} of {everybody} places", file=sys.stderr, flush=True)

    made = prepare(register, config.routing, tiles_folder(config), roads_folder(config), tell)
    print(
        f"roads:{made.sets.digest}: {len(made.sets.ways)} places, {made.computed} of them computed in {made.took_s:.0f} s;"
        f" {made.file} ({made.file.stat().st_size / 1e6:.1f} MB, {made.sets.cells.nbytes / 1e6:.1f} MB in memory)"
    )
    if made.cut_off:
        print(f"{made.cut_off} places have no road within 500 m: the straight line holds for them", file=sys.stderr)
    return 0


def _show(args: argparse.Namespace) -> int:
    """Exit 0 when what the configuration asks for is in use."""
    found = look(*register_files.read_all(args.config))
    print("straight line: routing.roads.tiles is not set" if found.state == OFF else found.text)
    return 1 if found.wants_preparing else 0
