"""`gateway spare`: follow another machine's gateway, to take over when it is gone. `gateway spare --status` says how far it is."""

import argparse
import fcntl
import os
import shutil
import signal
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.clock import utc_now
from gateway.config.words import MIN_SECRET
from gateway.errors import GatewayError
from gateway.spare_copy import Away, SpareCopy, read_state
from gateway.store.schema import SCHEMA_VERSION
from gateway.systemd import Notifier

FOLDER = "/var/lib/gateway-spare"
ASK_S = 0.2  # between two questions when there is nothing new: five small answers a second
AGAIN_S = 2.0  # … when nobody answers
TELL_S = 60.0  # how often the log says that all is well
TAKEN_OVER = "taken-over"  # in the folder: this machine is the gateway now, and follows nobody
LOCK = "spare.lock"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `spare` to the commands."""
    parser = subparsers.add_parser("spare", help="on a second machine: follow a gateway commit by commit, ready to take over")
    parser.add_argument("--from", dest="source", metavar="URL", help="the other machine's console, as https://first:12349")
    parser.add_argument("--token-file", metavar="FILE", help="the same line as in its spare.token_file")
    parser.add_argument("--ca-file", metavar="FILE", help="whose certificates count, or the other's own; default: those of the system")
    parser.add_argument("--folder", default=FOLDER, metavar="DIR", help=f"where the copy lies; default: {FOLDER}")
    parser.add_argument("--status", action="store_true", help="say how far it is; exit 0 when it had everything within the last 10 s, else 1")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Follow until SIGTERM. Raises GatewayError."""
    folder = Path(args.folder)
    if args.status:
        return _status(folder)
    if not args.source or not args.token_file:
        raise GatewayError("give --from https://HOST:12349 and --token-file FILE, or --status")
    if (folder / TAKEN_OVER).exists():
        print(f"this machine has taken over ({folder / TAKEN_OVER}); remove that file to make it a spare again")
        return 0
    token, context = read_token(Path(args.token_file)), context_of(args.ca_file)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with alone(folder):
        copy = SpareCopy(folder, args.source, token, context)
        try:
            follow(copy, stop)
        finally:
            copy.close()
    return 0


def follow(copy: SpareCopy, stop: threading.Event) -> None:
    """Until told to stop. What goes wrong is said once when it begins and once when it is over."""
    notifier = Notifier()
    if not copy.begin():
        _log(f"nothing here yet: a first copy of {copy.source} is taken")
    trouble, told, is_ready = "", float("-inf"), False
    while not stop.is_set():
        try:
            is_more = copy.step()
        except GatewayError as error:
            if not trouble:
                copy.note()
                _log(f"{error}; tried again every {AGAIN_S:.0f} s, the copy stays as it is")
            trouble = str(error)
            notifier.status(trouble[:200])
            stop.wait(AGAIN_S if isinstance(error, Away) else 5 * AGAIN_S)
            continue
        if trouble:
            _log(f"{copy.source} is followed again")
            trouble = ""
        if is_more:
            continue
        if not is_ready:
            if copy.schema > SCHEMA_VERSION:
                _log(f"{copy.source} has schema {copy.schema}, this version knows {SCHEMA_VERSION}: install that version here, or nothing starts")
            notifier.ready()
            is_ready = True
        if copy.state is not None and time.monotonic() - told > TELL_S:
            _log(f"has everything: entry {copy.state.had.seq}, head {copy.state.had.chain}")
            notifier.status(f"has everything, entry {copy.state.had.seq}")
            told = time.monotonic()
        stop.wait(ASK_S)


def _status(folder: Path) -> int:
    state = read_state(folder)
    if state is None or state.complete_at is None:
        print(f"{folder}: no copy is complete yet", file=sys.stderr)
        return 1
    age = (utc_now() - state.complete_at).total_seconds()
    size = sum(file.stat().st_size for file in (folder / "copy").iterdir())
    print(f"of {state.source}: entry {state.had.seq} (there: {state.theirs}), head {state.had.chain}")
    print(f"it had everything {age:.0f} s ago; {size / 1e6:.1f} MB; {shutil.disk_usage(folder).free / 1e9:.1f} GB free")
    return 0 if age <= 10 else 1


def read_token(file: Path) -> str:
    """The first line. Raises GatewayError."""
    try:
        token = file.read_text("utf-8").split("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        remedy = "write the line of the other's spare.token_file into it, readable by this user alone"
        raise GatewayError(f"cannot read {file} ({error}): {remedy}") from error
    if len(token.encode()) < MIN_SECRET:
        raise GatewayError(f"{file} holds {len(token.encode())} bytes: the token has at least {MIN_SECRET}; make one with: openssl rand -hex 32")
    return token


def context_of(ca_file: str | None) -> ssl.SSLContext:
    """Whom to believe. Raises GatewayError."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise GatewayError(f"--ca-file {ca_file} cannot be used ({error.strerror or error}): give certificates in PEM") from error
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # the other's own certificate is enough
    return context


@contextmanager
def alone(folder: Path, wait_s: float = 0.0) -> Iterator[None]:
    """One program a folder. Raises GatewayError."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (folder / LOCK).open("a+")
    except OSError as error:
        raise GatewayError(f"cannot write in {folder} ({error.strerror}): run it as the user of the spare, or give --folder") from error
    give_up = time.monotonic() + wait_s
    with lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() >= give_up:
                    raise GatewayError(f"a spare is running in {folder}: stop it first (systemctl stop gateway-spare)") from None
                time.sleep(0.1)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _log(words: str) -> None:
    print(words, flush=True)
