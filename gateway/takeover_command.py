"""`gateway takeover`: this machine, which has followed another one as its spare, becomes the gateway. One command, for the night."""

import argparse
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from gateway.backup_files import database_of
from gateway.clock import utc_now
from gateway.config import examine_config
from gateway.errors import GatewayError
from gateway.restore_command import Places, put
from gateway.restore_command import alone as alone_in_data
from gateway.spare_command import FOLDER, LOCK, TAKEN_OVER, alone
from gateway.spare_copy import DATABASE, State, fold, read_state
from gateway.spare_guard import GAVE_WAY, runs
from gateway.store import backup
from gateway.store.backup_file import Manifest, unpack
from gateway.store.takeovers import count_takeover

STOP_S = 15.0  # a spare ends within a question and its answer


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `takeover` to the commands."""
    parser = subparsers.add_parser("takeover", help="on the spare machine, when the other one is gone: prove the copy and become the gateway")
    parser.add_argument("--old-is-off", action="store_true", help="you have seen to it that the old machine is off, or its gateway stopped for good")
    parser.add_argument("--folder", default=FOLDER, metavar="DIR", help=f"where `gateway spare` keeps its copy; default: {FOLDER}")
    parser.add_argument("--config", default="/etc/gateway/gateway.toml", help="default: /etc/gateway/gateway.toml; one that is there stays as it is")
    parser.add_argument("--start", action="store_true", help="then let systemd start the gateway, now and after every boot")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Say what was had and what may be lost, in numbers. Raises GatewayError; the copy then still lies where it was."""
    folder, config = Path(args.folder), Path(args.config).resolve()
    if (folder / TAKEN_OVER).exists():
        when = (folder / TAKEN_OVER).read_text("utf-8").strip()
        raise GatewayError(f"this machine has taken over already ({when}): start the gateway; to make it a spare again, remove {folder / TAKEN_OVER}")
    state = read_state(folder)
    if state is None or not (folder / "copy" / DATABASE).exists():
        cut = " If a take-over here was cut short, the database may be in its place: gateway verify --config FILE, and if it is whole, start it"
        raise GatewayError(f"{folder} holds no copy of a gateway: give the --folder of `gateway spare`, or restore a backup.{cut}")
    _fence(state.source, is_off=args.old_is_off)
    _stop_spare(folder)
    with alone(folder, STOP_S):
        fold(folder / "copy")
        proof = backup.prove(folder / "copy" / DATABASE, quick=True)
        if proof.faults:
            raise GatewayError(f"the copy does not hold: {'; '.join(proof.faults)}. Restore the last backup instead; this copy stays in {folder}")
        at = _last_at(folder / "copy" / DATABASE)
        places, moves = _places(folder, config)
        with alone_in_data(places.data):
            number = count_takeover(folder / "copy" / DATABASE)  # first: in its place it must never be the equal of the other one
            aside = put(moves, places)
            (places.data / GAVE_WAY).unlink(missing_ok=True)
        (folder / TAKEN_OVER).write_text(f"{utc_now():%Y-%m-%dT%H:%M:%SZ} entry {proof.head.seq} head {proof.head.chain}\n")
    print(f"the copy is whole: {proof.head.seq} journal entries, chain proven from the first to the last; head {proof.head.chain}")
    print(f"{proof.counts.get('incident', 0)} incidents, {proof.open_incidents} of them open")
    _tell_loss(state, proof.head.seq, at)
    print(f"in its place: {places.database}, configuration {places.config}")
    shutil.rmtree(folder / "unpacked", ignore_errors=True)
    for one in aside:
        print(f"set aside: {one}")
    print(f"take-over {number} of this journal: if the old machine runs after all, and can reach this one, its gateway gives way")
    print("the old machine must stay off until it is made the spare of this one (docs/guide/backup.md)")
    return _start(config) if args.start else _tell_start(config)


def _fence(source: str, *, is_off: bool) -> None:
    """The old gateway must be off. Raises GatewayError."""
    if runs(source):
        raise GatewayError(f"the gateway at {source} still answers: stop it first (systemctl disable --now gateway there), two would both send help")
    if not is_off:
        raise GatewayError(
            f"{source} does not answer, but it may still run and only be out of reach: switch that machine off or pull its network,"
            " then say the same command with --old-is-off"
        )


def _stop_spare(folder: Path) -> None:
    """Whoever follows in this folder is asked to end; who holds its lock is known by the lock's own content."""
    try:
        with alone(folder):
            return
    except GatewayError:
        pass
    with suppress(OSError, ValueError):
        os.kill(int((folder / LOCK).read_text()), signal.SIGTERM)


def _places(folder: Path, config: Path) -> tuple[Places, list[tuple[Path, Path]]]:
    """Where everything goes: the files of the other machine, but a gateway.toml that is here stays."""
    laid = folder / "unpacked"
    shutil.rmtree(laid, ignore_errors=True)
    moves: list[tuple[Path, Path]] = []
    manifest: Manifest | None = None
    if (folder / "files.tar").exists():
        laid.mkdir(mode=0o700)
        manifest, faults = unpack(folder / "files.tar", lambda name: laid / name)
        if faults:
            raise GatewayError(f"{folder / 'files.tar'} is damaged ({faults[0]}): lay configuration and registers in {config.parent} from a backup")
    elif not config.exists():
        raise GatewayError(f"there are no configuration files in {folder}, and none at {config}: lay them there from a backup, then again")
    main = config if config.exists() else laid / "config" / (manifest.config if manifest is not None else "")
    read, _ = examine_config(main)
    if config.exists() and manifest is not None:
        theirs, _ = examine_config(laid / "config" / manifest.config)
        if theirs.gateway.district != read.gateway.district:
            was = theirs.gateway.district
            remedy = f"move {config} away, so that the other machine's takes its place"
            raise GatewayError(f"{config} is of the district {read.gateway.district!r}, the other machine was of {was!r}: {remedy}")
        print(f"kept as it is: {config}")
    data = (config.parent / read.gateway.data).resolve()
    if database_of(read) is None:
        raise GatewayError(f"store.url of {config} is no SQLite database: the spare's copy is one; correct store.url")
    database = data / read.store.url.removeprefix("sqlite:///")
    for member in manifest.members if manifest is not None else ():
        kind, _, rest = member.name.partition("/")
        if kind == "config" and not (manifest is not None and rest == manifest.config and config.exists()):
            moves.append((laid / member.name, config if manifest is not None and rest == manifest.config else config.parent / rest))
        elif kind == "data":
            moves.append((laid / member.name, data / rest))
        elif kind == "elsewhere":
            moves.append((laid / member.name, Path(member.path)))
    moves.append((folder / "copy" / DATABASE, database))
    return Places(config, data, database), moves


def _last_at(database: Path) -> datetime | None:
    with backup.reading(database) as connection:
        found = connection.execute("SELECT at FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
    return datetime.fromtimestamp(found[0] / 1e6).astimezone() if found else None


def _tell_loss(state: State, had: int, at: datetime | None) -> None:
    print(f"the last entry that is here: {had}" + (f", of {at:%Y-%m-%d %H:%M:%S}" if at is not None else ""))
    if state.complete_at is not None:
        away = (utc_now() - state.complete_at).total_seconds()
        print(f"the spare last had everything at {state.complete_at.astimezone():%Y-%m-%d %H:%M:%S}, {away:.0f} s ago")
    lacking = max(state.theirs - had, 0)
    print(
        f"lost: {lacking} entries that the old machine was known to have, and whatever it still took after that time"
        if lacking
        else "lost: nothing that is known of; but whatever the old machine still took after that time is not here"
    )
    print("devices had their receipt for it and will not send it again: ask the stations, look at the exchange's list of calls")


def _start(config: Path) -> int:
    done = subprocess.run(["systemctl", "enable", "--now", "gateway"], check=False, capture_output=True, text=True)
    if done.returncode:
        raise GatewayError(f"systemctl cannot start the gateway ({' '.join(done.stderr.split())}): start it with: gateway run --config {config}")
    print("systemd has started the gateway: gateway doctor says whether all lines are live")
    return 0


def _tell_start(config: Path) -> int:
    print(f"now start it: systemctl enable --now gateway    (or: gateway run --config {config})")
    return 0
