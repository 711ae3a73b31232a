"""`gateway backup`: one file from which a gateway stands up again on an empty machine, made beside the one that runs. `gateway verify` proves it."""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from gateway import backup_age
from gateway.backup_files import Found, database_of, files_of
from gateway.config import Config, read_config
from gateway.errors import GatewayError, StoreBroken
from gateway.journal_command import journals_of, whose
from gateway.store import backup, backup_postgres, before
from gateway.store.backup import Head, Part
from gateway.store.backup_file import POSTGRESQL, SQLITE, Manifest, Source, manifest_of, name_of, read_manifest, rotate, unpack, write
from gateway.store.chain import GENESIS
from gateway.store.store import Store, reason_of

PREFIX = "gateway-"
KEEP = 14  # two weeks of nights
FREE = 256 << 20  # bytes that must be left on the disk beside the backup: the gateway itself needs some
NICE = 10  # alarms go before


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `backup` and `verify` to the commands."""
    parser = subparsers.add_parser("backup", help="all that is needed to stand up again, in one file; the gateway may go on running")
    parser.add_argument("--to", metavar="DIR|FILE", help="where to; a name that ends with .tar is a file. Default: backups in the data folder")
    parser.add_argument(
        "--keep", type=_count, default=KEEP, metavar="N", help=f"of the backups in DIR the newest so many stay; 0 = all. Default: {KEEP}"
    )
    parser.add_argument("--with-secrets", action="store_true", help="also passwords, keys and tokens: then keep it as you keep those")
    parser.add_argument("--with-maps", action="store_true", help="also files above 64 MB, such as maps")
    parser.add_argument("--config", default="config/gateway.toml", help="default: config/gateway.toml")
    parser.set_defaults(run=_backup)
    parser = subparsers.add_parser("verify", help="prove a backup, or the database in use: every page, every entry of the chain, every file")
    parser.add_argument("backup", nargs="?", metavar="BACKUP", help="a file that `gateway backup` wrote; default: the database of --config")
    parser.add_argument("--head", metavar="HEX", help="the chain's head as it was noted elsewhere: it must be in it")
    parser.add_argument("--config", default="config/gateway.toml", help="default: config/gateway.toml")
    parser.set_defaults(run=_verify)


def _count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of backups: write 0 or more")
    return number


def _backup(args: argparse.Namespace) -> int:
    config = read_config(args.config)
    target = _target(args.to, config)
    began = time.monotonic()
    os.setpriority(os.PRIO_PROCESS, 0, NICE)
    found = files_of(config, secrets=args.with_secrets, maps=args.with_maps)
    with journals_of(config) as stores:
        manifest = make(config, stores, target, found, secrets=args.with_secrets)
    for part in manifest.parts:
        print(f"{of_shard(part.shard)}{part.head.seq} journal entries, chain whole; head {part.head.chain}{read_to(part)}")
    count = manifest.counts.get("incident", 0)
    print(f"{count} incidents, {manifest.open_incidents} of them open; {len(manifest.members) - 1} files beside the database")
    _tell_left_out(manifest)
    print(f"written: {target}, {_size(target.stat().st_size)} in {time.monotonic() - began:.1f} s; its owner alone may read it")
    _note(config, manifest)
    if target.resolve().is_relative_to(config.data_folder.resolve()):
        where = "of this machine: copy it" if manifest.shards else "of the database itself: copy it"
        print(f"it lies on the disk {where} to another machine, or give --to")
    if args.keep and not _is_file(args.to):
        for old in rotate(target.parent, PREFIX, args.keep):
            print(f"removed: {old.name} (--keep {args.keep})")
    return 0


def of_shard(shard: int | None) -> str:
    """`shard 3: `, or nothing where there is only one journal."""
    return f"shard {shard}: " if shard is not None else ""


def read_to(part: Part) -> str:
    """Up to where a shard had read the bus."""
    return f"; the bus read up to message {part.position}" if part.shard is not None else ""


def _note(config: Config, manifest: Manifest) -> None:
    try:
        backup_age.note(config.data_folder, manifest.head.seq)
    except OSError as error:
        print(f"the gateway's metrics will not know of it: {config.data_folder} cannot be written ({error.strerror}); run it as its user")


def make(config: Config, stores: Sequence[Store], target: Path, found: Found, *, secrets: bool) -> Manifest:
    """Write one backup beside whoever writes the stores; their chains are proven before it gets its name. Raises GatewayError with the remedy.

    stores: the one, or of every shard: schemas of one PostgreSQL
    """
    database = database_of(config)
    raw = target.with_name(f".{target.name}.{os.getpid()}.database")
    sizes = _database_size(database) + sum(source.size() for source in found.sources)
    _check_room(target.parent, 2 * sizes)  # the archive, and copies that hold still
    try:
        if database is not None:
            backup.copy(database, raw)
            proof = backup.prove(raw)
            copied = manifest_of(SQLITE, [proof.part], proof.schema or 0)
            _refuse_damaged(proof.faults, f"gateway verify --config {config.path}")
        else:
            shards = [store.ownership.shard for store in stores if store.ownership.shard is not None]
            try:
                copied = manifest_of(POSTGRESQL, *backup_postgres.dump(stores[0].engine, raw, shards))
            except SQLAlchemyError as error:
                raise StoreBroken(f"{stores[0].where} cannot be read ({reason_of(error)}): start the database, or correct store.url") from error
            _refuse_damaged(faults_in(raw, copied), "gateway journal verify")
        manifest = msgspec.structs.replace(copied, config=Path(config.path).name, data=config.gateway.data, secrets=secrets, left_out=found.left_out)
        return write(target, manifest, [Source(POSTGRESQL if database is None else SQLITE, raw, is_still=True), *found.sources])
    finally:
        raw.unlink(missing_ok=True)


def examine(file: Path, head: str | None = None) -> tuple[Manifest, list[str]]:
    """Read a whole backup and prove it: (what it says of itself, faults in words). Raises GatewayError when it is no backup."""
    with _room_for(file) as folder:
        raw = folder / "database"
        manifest, faults = unpack(file, lambda name: raw if name in (SQLITE, POSTGRESQL) else None)
        if not raw.exists():
            return manifest, [*faults, "there is no database in it"]
        try:
            faults += faults_in(raw, manifest)
        except GatewayError as error:
            return manifest, [*faults, str(error).replace(str(raw), "the database in it")]
        if head is not None and not _is_in(raw, manifest, _link(head)):
            faults.append(f"the head {head} is nowhere in its journal: it is of before that head, or of another gateway")
        return manifest, faults


def faults_in(raw: Path, manifest: Manifest) -> list[str]:
    """Prove the database of a backup: what is broken, and what it has otherwise than the manifest says. Raises GatewayError."""
    shards = [part.shard for part in manifest.shards if part.shard is not None]
    proofs = [backup.prove(raw)] if manifest.store == "sqlite" else backup_postgres.prove_dump(raw, shards)
    pairs = zip(manifest.parts, proofs, strict=True)
    return [f"{of_shard(part.shard)}{fault}" for part, proof in pairs for fault in (*proof.faults, *differences(part, proof.part))]


def _is_in(raw: Path, manifest: Manifest, link: bytes) -> bool:
    if manifest.store == "sqlite":
        return _has_link(raw, link)
    return link == GENESIS or link in backup_postgres.links_in(raw, [part.shard for part in manifest.shards if part.shard is not None])


def differences(told: Part, there: Part) -> list[str]:
    """What a database has otherwise than the manifest says, in words."""
    found = []
    if there.head != told.head:
        found.append(f"the journal ends with entry {there.head.seq}, the manifest says {told.head.seq} ({told.head.chain})")
    for name, count in there.counts.items():
        if told.counts.get(name, count) != count:
            found.append(f"table {name} has {count} rows, the manifest says {told.counts[name]}")
    return found


def _verify(args: argparse.Namespace) -> int:
    if args.backup is None:
        return _verify_store(read_config(args.config), args.head)
    file = Path(args.backup)
    manifest, faults = examine(file, args.head)
    print(f"{file}: made {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC by gateway {manifest.gateway}, schema {manifest.schema}, {manifest.store}")
    code = _say(faults, manifest.parts, manifest.counts.get("incident", 0), manifest.open_incidents, f"{len(manifest.members)} files as they were")
    if not code:
        _tell_left_out(manifest)
    return code


def _verify_store(config: Config, head: str | None) -> int:
    link = _link(head) if head is not None else None
    absent = f"the head {head} is nowhere in the journal: what was journalled up to it has been cut off, or it is of another gateway"
    with journals_of(config) as stores:
        database = database_of(config)
        if database is None:
            return _verify_postgres(stores, link, absent)
        print(f"{database.resolve()}:")
        proof = backup.prove(database)
        faults = [*proof.faults, *([absent] if link is not None and not _has_link(database, link) else [])]
        return _say(faults, [proof.part], proof.counts.get("incident", 0), proof.open_incidents, "pages and indexes whole")


def _verify_postgres(stores: Sequence[Store], link: bytes | None, absent: str) -> int:
    parts, faults = [], []
    for store in stores:
        proven, broken = store.verify()
        if broken is not None:
            faults.append(f"{whose(store)}journal entry {broken.seq} does not hold ({broken.reason}); {proven} entries before it do")
        parts.append(Part(head=Head(proven, store.head()), counts={}, open_incidents=0, shard=store.ownership.shard))
    if link not in (None, GENESIS) and not any(store.has_link(link) for store in stores):
        faults.append(absent)
    return _say(faults, parts, -1, -1, "pages and indexes are PostgreSQL's matter: pg_amcheck")


def _say(faults: Sequence[str], parts: Sequence[Part], incidents: int, still_open: int, beside: str) -> int:
    for fault in faults:
        print(f"broken: {fault}", file=sys.stderr)
    if faults:
        print("do not rely on it: take the backup before it, or `gateway journal verify` where it was made", file=sys.stderr)
        return 1
    for part in parts:
        print(f"{of_shard(part.shard)}{part.head.seq} journal entries, chain whole from the first to the last; head {part.head.chain}")
    print((f"{incidents} incidents, {still_open} of them open; " if incidents >= 0 else "") + beside)
    return 0


def _tell_left_out(manifest: Manifest) -> None:
    if manifest.left_out:
        print(f"not in it, and needed for a start ({len(manifest.left_out)}):")
        for name, why in manifest.left_out.items():
            print(f"  {name}: {why}")


def _link(head: str) -> bytes:
    try:
        return bytes.fromhex(head)
    except ValueError:
        raise GatewayError(f"--head {head!r} is no head: give the 64 hex digits that `gateway journal verify` or `gateway backup` printed") from None


def _has_link(database: Path, link: bytes) -> bool:
    with backup.reading(database) as connection:
        return link == GENESIS or connection.execute("SELECT 1 FROM journal WHERE chain = ? LIMIT 1", (link,)).fetchone() is not None


def _refuse_damaged(faults: Sequence[str], command: str) -> None:
    if faults:
        raise StoreBroken(
            f"nothing was backed up, the database is damaged: {'; '.join(faults)}. Keep the backups that there are, and see `{command}`"
        )


def _target(to: str | None, config: Config) -> Path:
    """The file to be written. Raises GatewayError."""
    if to is not None and _is_file(to):
        target = Path(to)
        if target.exists():
            raise GatewayError(f"{target} is there already: give another name, or a folder")
        folder = target.parent
    else:
        folder = Path(to) if to is not None else config.data_folder / before.FOLDER
        target = folder / name_of(PREFIX)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise GatewayError(f"cannot make the folder {folder} ({error.strerror}): give another one with --to") from error
    return target


def _is_file(to: str | None) -> bool:
    return to is not None and to.endswith(".tar") and not Path(to).is_dir()


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + FREE:
        raise GatewayError(f"{folder} has {_size(free)} free, a backup needs {_size(needed + FREE)} for a moment: make room, or give --to")


def _database_size(database: Path | None) -> int:
    if database is None:
        return 0
    return sum(file.stat().st_size for file in (database, database.with_name(f"{database.name}-wal")) if file.exists())


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


@contextmanager
def _room_for(file: Path) -> Iterator[Path]:
    """A folder for a copy of what is in the backup: where there is room, as a rule beside it."""
    read_manifest(file)
    where = file.parent if os.access(file.parent, os.W_OK) else Path(tempfile.gettempdir())
    _check_room(where, file.stat().st_size)
    with tempfile.TemporaryDirectory(prefix=".gateway-verify-", dir=where) as folder:
        yield Path(folder)
