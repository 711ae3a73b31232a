"""`gateway doctor`: looks at what the gateway will stand on (store, brokers, exchanges, serial ports, console's port) and says what is wrong.

Unlike `gateway check` it opens things: it commits to a scratch database beside the real one, and dials PostgreSQL, brokers and exchanges. It changes
nothing that is kept, and disturbs no gateway that runs.
"""

import argparse
import errno
import http.client
import os
import shutil
import socket
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from drivers.lines.mqtt_session import Broker
from drivers.lines.serial_port import read_endpoint
from gateway.config import Config, read_config
from gateway.errors import ConfigError
from gateway.store.store import FAST_S, Store, reason_of

# A commit waits for the disk about once. Above 5 ms every receipt is late; the bench (--sync-delay-us 5000) shows what that does.
SLOW_COMMIT_MS = 5.0
COMMITS = 50
RECORD = "x" * 500  # an alarm's journal entry is about so long
# Writes to PostgreSQL's log and must be flushed like any commit, and leaves nothing behind: no table is needed for it.
POSTGRES_WRITE = "SELECT pg_logical_emit_message(true, 'gateway doctor', :record)"
# A year of a district's journal is under this; a full disk stops every receipt.
LOW_SPACE_GIB = 2.0
DIAL_S = 2.0
HEALTHY = b"ok"  # what the console's /healthz says


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at. `text` says what was found and, when it is not good, what to do."""

    what: str
    good: bool
    text: str


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `doctor` to the program's commands; its `run` is set as default."""
    parser = subparsers.add_parser("doctor", help="try the store, the brokers, the exchanges, the serial ports and the console's port")
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
    store = Store(config.store.url, config.data_folder)
    if store.engine.dialect.name == "sqlite":
        yield from _sqlite(Path(store.where))
    else:
        yield from _postgresql(store)
    for line in config.line:
        if line.broker is not None:
            yield _broker(f"line {line.name}", line.broker)
        elif line.connect is not None:
            yield _server(f"line {line.name}", line.connect)
        elif (line.listen or "").startswith("serial:"):
            yield _serial_port(f"line {line.name}", line.listen or "")
    if config.dispatch.mqtt is not None:
        yield _broker("dispatch.mqtt", config.dispatch.mqtt.broker)
    if config.console.enabled:
        yield _console(config.console.listen)


def _sqlite(file: Path) -> Iterator[Finding]:
    is_there = file.exists()
    if is_there and not (file.is_file() and os.access(file, os.R_OK | os.W_OK)):
        yield Finding("store", False, f"{file} may not be written; let the gateway's user write there, or change store.url or gateway.data")
        return
    folder = next(one for one in file.parents if one.is_dir())  # the data folder itself is made by the first start
    try:
        took = commit_ms(folder)
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        yield Finding("store", False, f"{folder}: {reason}; let the gateway's user write there, or change gateway.data")
        return
    yield Finding("store", True, f"SQLite {sqlite3.sqlite_version}, {file} " + ("can be written" if is_there else "will be made by the first start"))
    yield _speed(took)
    free = shutil.disk_usage(folder).free / 2**30
    yield Finding(
        "store, free space",
        free >= LOW_SPACE_GIB,
        f"{free:.1f} GiB" + ("" if free >= LOW_SPACE_GIB else "; a full disk stops every receipt: make room"),
    )


def commit_ms(folder: Path, commits: int = COMMITS) -> list[float]:
    """How long each of so many small commits to a scratch database in this folder took, milliseconds. OSError or sqlite3.Error."""
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=folder) as scratch, closing(sqlite3.connect(Path(scratch) / "scratch.db")) as database:
        database.execute("PRAGMA journal_mode=WAL")  # and FULL: as the store itself commits
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE scratch (record TEXT)")

        def commit() -> None:
            database.execute("INSERT INTO scratch VALUES (?)", (RECORD,))
            database.commit()

        return _timed(commit, commits)


def _postgresql(store: Store) -> Iterator[Finding]:
    engine = create_engine(store.engine.url, connect_args={"connect_timeout": int(DIAL_S)})
    try:
        with engine.connect() as connection:
            version = connection.scalar(text("SHOW server_version"))
            connection.commit()

            def commit() -> None:
                connection.execute(text(POSTGRES_WRITE), {"record": RECORD})
                connection.commit()

            yield Finding("store", True, f"PostgreSQL {version} at {store.where} answers")
            yield _speed(_timed(commit, COMMITS))
    except SQLAlchemyError as error:
        yield Finding("store", False, f"{store.where} cannot be reached ({reason_of(error)}); start PostgreSQL, or correct store.url")
    finally:
        engine.dispose()


def _timed(commit: Callable[[], None], commits: int) -> list[float]:
    took = []
    for _ in range(commits):
        began = time.perf_counter()
        commit()
        took.append((time.perf_counter() - began) * 1000)
    return took


def _speed(took: Sequence[float]) -> Finding:
    middle, fast_ms = statistics.median(took), FAST_S * 1000
    where = (
        f"below {fast_ms:g} ms: commits run in the loop" if middle < fast_ms else f"not below {fast_ms:g} ms: commits run in a thread of their own"
    )
    advice = "" if middle <= SLOW_COMMIT_MS else "; every receipt waits for it: use a disk with a write cache that survives a power cut"
    return Finding("store, commit", middle <= SLOW_COMMIT_MS, f"median {middle:.2f} ms, slowest {max(took):.2f} ms of {len(took)} ({where}){advice}")


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


def _server(what: str, connect: str) -> Finding:
    """Does anybody listen there? Name and password are tried by the line itself."""
    _, *parts = connect.replace("\\:", "\0").split(":")
    host, port = (part.replace("\0", ":") for part in parts[:2]) if len(parts) > 1 else ("", "")
    if not host or not port.isdecimal():
        return Finding(what, False, f"{connect} is no address; write tcp:HOST:PORT or tls:HOST:PORT under connect")
    try:
        socket.create_connection((host, int(port)), DIAL_S).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        return Finding(what, False, f"{connect} cannot be reached ({reason}); start the server there, let this machine in, or correct the address")
    return Finding(what, True, f"{connect} answers")


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
        if error.errno == errno.EADDRINUSE and _is_gateway(host, int(port)):
            return Finding("console", True, f"{listen} is in use by a running gateway")
        return Finding("console", False, f"{listen}: {error.strerror}; end what uses it, or choose another port under console.listen")


def _is_gateway(host: str, port: int) -> bool:
    """Does what listens there answer /healthz as a gateway does?"""
    connection = http.client.HTTPConnection(host, port, timeout=DIAL_S)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return answer.status == http.HTTPStatus.OK and answer.read(len(HEALTHY) + 1) == HEALTHY
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
