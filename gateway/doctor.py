"""`gateway doctor`: looks at what the gateway will stand on (disk, broker, serial ports, console's port) and says what is wrong.

Unlike `gateway check` it opens things: it writes a scratch file in the data folder and dials brokers. It changes nothing that is kept.
"""

import argparse
import os
import shutil
import socket
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from drivers.lines.mqtt_session import Broker
from drivers.lines.serial_port import read_endpoint
from gateway.config import Config, read_config
from gateway.errors import ConfigError

# A commit waits for the disk about once. Above 5 ms every receipt is late; the bench (--sync-delay-us 5000) shows what that does.
SLOW_FSYNC_MS = 5.0
WRITES = 50
# A year of a district's journal is under this; a full disk stops every receipt.
LOW_SPACE_GIB = 2.0
DIAL_S = 2.0


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at. `text` says what was found and, when it is not good, what to do."""

    what: str
    good: bool
    text: str


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `doctor` to the program's commands; its `run` is set as default."""
    parser = subparsers.add_parser("doctor", help="try the disk, the brokers, the serial ports and the console's port")
    parser.add_argument("--config", default="config/gateway.toml", metavar="FILE", help="default: config/gateway.toml")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print one line a finding. Returns 0 when all are good, else 1. ConfigError when the configuration cannot be read."""
    all_good = True
    for finding in examine(read_config(args.config)):
        print(f"{'ok ' if finding.good else 'BAD'}  {finding.what:<28} {finding.text}", flush=True)
        all_good = all_good and finding.good
    return 0 if all_good else 1


def examine(config: Config) -> Iterator[Finding]:
    """Look at everything the configuration names; a slow step yields its finding when it is done."""
    if config.store.url.startswith("sqlite"):
        yield Finding("SQLite", True, sqlite3.sqlite_version)
    yield from _disk(config.data_folder)
    for line in config.line:
        if line.broker is not None:
            yield _broker(f"line {line.name}", line.broker)
        elif (line.listen or "").startswith("serial:"):
            yield _serial_port(f"line {line.name}", line.listen or "")
    if config.dispatch.mqtt is not None:
        yield _broker("dispatch.mqtt", config.dispatch.mqtt.broker)
    if config.console.enabled:
        yield _console(config.console.listen)


def fsync_ms(folder: Path, writes: int = WRITES) -> list[float]:
    """How long each of so many small durable writes in this folder took, milliseconds, sorted. OSError when it cannot be written."""
    took = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(writes):
            began = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return sorted(took)


def _disk(folder: Path) -> Iterator[Finding]:
    nearest = next(one for one in (folder, *folder.parents) if one.is_dir())  # the data folder itself is made by the first start
    try:
        took = fsync_ms(nearest)
    except OSError as error:
        yield Finding("disk", False, f"{nearest}: {error.strerror}; let the gateway's user write there, or change gateway.data")
        return
    middle = statistics.median(took)
    advice = "" if middle <= SLOW_FSYNC_MS else "; every receipt waits for it: use a disk with a write cache that survives a power cut"
    yield Finding("disk, durable write", middle <= SLOW_FSYNC_MS, f"median {middle:.2f} ms, slowest {took[-1]:.2f} ms of {len(took)}{advice}")
    free = shutil.disk_usage(nearest).free / 2**30
    yield Finding(
        "disk, free", free >= LOW_SPACE_GIB, f"{free:.1f} GiB" + ("" if free >= LOW_SPACE_GIB else "; a full disk stops every receipt: make room")
    )


def _broker(what: str, url: str) -> Finding:
    try:
        broker = Broker.parse(url)
    except ConfigError as error:
        return Finding(what, False, "; ".join(error.problems))
    where = f"{broker.host}:{broker.port}"
    try:
        socket.create_connection((broker.host, broker.port), DIAL_S).close()
    except OSError as error:
        return Finding(what, False, f"broker {where} cannot be reached ({error.strerror or error}); start it, or correct the address")
    return Finding(what, True, f"broker {where} answers")


def _serial_port(what: str, listen: str) -> Finding:
    try:
        device, _ = read_endpoint(listen)
    except ValueError as error:
        return Finding(what, False, str(error))
    if not Path(device).exists():
        return Finding(what, False, f"there is no {device}; plug it in, or correct the address")
    if not os.access(device, os.R_OK | os.W_OK):
        return Finding(what, False, f"{device} may not be opened; put the gateway's user into the group dialout")
    return Finding(what, True, f"{device} can be opened")


def _console(listen: str) -> Finding:
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        with socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return Finding("console", True, f"{listen} is free")
    except OSError as error:
        return Finding("console", False, f"{listen}: {error.strerror}; is the gateway running already?")
