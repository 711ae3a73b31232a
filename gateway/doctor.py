"""`gateway doctor`: looks at what the gateway will stand on (store, brokers, exchanges, serial ports, listening ports) and says what is wrong.

Unlike `gateway check` it opens things: it commits to a scratch database beside the real one, dials PostgreSQL, brokers and exchanges, and takes
the ports on which lines listen for a moment. It changes nothing that is kept, and disturbs no gateway that runs: that one is asked instead.
"""

import argparse
import contextlib
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
from drivers.supervisor import LineState
from gateway.config import Config, LineConfig, read_config
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
LINES_LIMIT = 1 << 20  # bytes of what a running gateway says of its lines: thousands of them
LISTENS = ("udp:", "tcp:", "ssl:")
BIND_REMEDIES = {
    errno.EADDRINUSE: "end what uses it (ss -lnp shows what), or choose another port",
    errno.EADDRNOTAVAIL: "it is no address of this machine: write one that `ip address` shows as interface=",
    errno.EACCES: "ports below 1024 need the capability CAP_NET_BIND_SERVICE (AmbientCapabilities= of the unit): give it, or choose a higher port",
}
HEALTHY = b"ok"  # what the console's /healthz says


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at. `text` says what was found and, when it is not good, what to do."""

    what: str
    good: bool
    text: str


class _Line(msgspec.Struct, frozen=True):
    id: str
    state: str
    reason: str = ""


class _Told(msgspec.Struct, frozen=True):
    """As much of GET /api/v1/lines as is needed."""

    lines: tuple[_Line, ...]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `doctor` to the program's commands; its `run` is set as default."""
    parser = subparsers.add_parser("doctor", help="try the store, the brokers, the exchanges, the serial ports and the ports to listen on")
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
    running = _lines_of_running(config)
    with contextlib.ExitStack() as held:  # each port until the end: two lines on one port are found as well
        for number, line in enumerate(config.line, 1):
            yield from _listens(f"{config.path}: line[{number}]", line, running.get(line.name), held)
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
    return Finding(what, True, f"{connect} answers; only the address was tried, not name and password: the line logs in when the gateway runs")


def _listens(where: str, line: LineConfig, state: str | None, held: contextlib.ExitStack) -> Iterator[Finding]:
    """Can the line listen on `listen`, and on `options.also` of a sip line? state: what a running gateway says of this line, "" when it is live."""
    others = line.options.get("also", ())
    addresses = [(f"line {line.name}", f"{where}.listen", line.listen or "")]
    addresses += [
        (f"line {line.name}, also {number}", f"{where}.options.also", one)
        for number, one in enumerate(others if isinstance(others, list | tuple) else (), 1)
        if isinstance(one, str)
    ]
    for what, key, address in addresses:
        if not address.startswith(LISTENS):
            continue
        if state is None:
            fault = _bind(address, held)
            yield Finding(what, not fault, f"{key}: {address} {fault}" if fault else f"{address} is free")
        elif state:
            yield Finding(what, False, f"{key}: {address}: the running gateway says: {state}")
        else:
            yield Finding(what, True, f"{address} is in use by the running gateway")


def _bind(address: str, held: contextlib.ExitStack) -> str:
    """What keeps us from listening there, with the remedy; "" when nothing does."""
    word, port, *others = [*address.replace("\\:", "\0").split(":"), ""]
    port = port.removeprefix("port=")
    interface = next((one.removeprefix("interface=").replace("\0", ":") for one in others if one.startswith("interface=")), "")
    if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        return "is no address to listen on; write udp:PORT, tcp:PORT or ssl:PORT, then :interface=ADDRESS"
    kind = socket.SOCK_DGRAM if word == "udp" else socket.SOCK_STREAM
    opened = held.enter_context(socket.socket(socket.AF_INET6 if ":" in interface else socket.AF_INET, kind))
    if kind == socket.SOCK_STREAM:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the line does: connections just ended are in nobody's way
    try:
        opened.bind((interface, int(port)))
        if kind == socket.SOCK_STREAM:
            opened.listen(1)
    except OSError as error:
        remedy = BIND_REMEDIES.get(error.errno or 0, "correct the address")
        return f"cannot be listened on ({error.strerror or error}); {remedy}"
    return ""


def _lines_of_running(config: Config) -> dict[str, str]:
    """Of each line of the gateway that runs here: why it is not live, "" when it is. Empty when none runs, or its console is off."""
    if not config.console.enabled:
        return {}
    host, port = _console_address(config.console.listen)
    if not _is_gateway(host, port):
        return {}
    connection = http.client.HTTPConnection(host, port, timeout=DIAL_S)
    try:
        connection.request("GET", "/api/v1/lines")
        told = msgspec.json.decode(connection.getresponse().read(LINES_LIMIT), type=_Told)
    except (OSError, http.client.HTTPException, msgspec.MsgspecError):
        return {}
    finally:
        connection.close()
    return {one.id: "" if one.state == LineState.LIVE else one.reason or one.state for one in told.lines}


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
    host, port = _console_address(listen)
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return Finding("console", True, f"{listen} is free")
    except OSError as error:
        if error.errno == errno.EADDRINUSE and _is_gateway(host, port):
            return Finding("console", True, f"{listen} is in use by a running gateway")
        return Finding("console", False, f"{listen}: {error.strerror}; end what uses it, or choose another port under console.listen")


def _console_address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


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
