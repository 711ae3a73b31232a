"""`gateway restore BACKUP`: stand up again on an empty machine; `gateway downgrade`: go back to an earlier schema without losing the journal.

Nothing is put in its place before the whole backup has been read and its chain proven; nothing that is there is overwritten without
--replace, and then it is set aside, not removed.
"""

import argparse
import fcntl
import os
import re
import shutil
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from gateway.backup_command import differences, faults_in, of_shard, read_to
from gateway.backup_files import database_of
from gateway.clock import utc_now
from gateway.config import Config, examine_config, read_config
from gateway.errors import GatewayError, StoreBroken
from gateway.journal_command import journals_of, whose
from gateway.store import backup_postgres, before, migrations
from gateway.store.backup_file import POSTGRESQL, SQLITE, Manifest, read_manifest, unpack
from gateway.store.ownership import owned
from gateway.store.schema import SCHEMA_VERSION
from gateway.store.store import Store, reason_of

OWN_FILES = ("", "-wal", "-shm", "-journal")  # what belongs to a SQLite database


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `restore` and `downgrade` to the commands."""
    parser = subparsers.add_parser("restore", help="stand up again from a backup, on an empty machine or in an empty folder")
    parser.add_argument("backup", metavar="BACKUP", help="a file that `gateway backup` wrote, or one from the folder backups of the data folder")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--config", metavar="FILE", help="where gateway.toml shall lie, as /etc/gateway/gateway.toml; the data go where it says")
    where.add_argument("--to", metavar="DIR", help="all below this folder, as for a drill: DIR/config and DIR/data")
    parser.add_argument("--database", metavar="URL", help="of PostgreSQL: an empty database, in place of the one that store.url of the backup names")
    parser.add_argument("--data-only", action="store_true", help="only the database and the data folder; the configuration that is there stays")
    parser.add_argument("--replace", action="store_true", help="set aside what is there already, and put the backup in its place")
    parser.set_defaults(run=_restore)
    parser = subparsers.add_parser("downgrade", help="before an older gateway is installed: take away what it does not know, keep the journal")
    parser.add_argument(
        "--to-schema", type=int, required=True, metavar="N", help="the schema that the older gateway knows; it says so when it refuses"
    )
    parser.add_argument("--config", default="config/gateway.toml", help="default: config/gateway.toml")
    parser.set_defaults(run=_downgrade)


class Places(msgspec.Struct, frozen=True):
    """Where things go. config: the configuration file; data: the data folder; database: SQLite's file, None: PostgreSQL.

    elsewhere: where files go that lay outside, None: to their old paths; is_bare: the configuration is left alone;
    url: the database in place of what the configuration names.
    """

    config: Path | None
    data: Path
    database: Path | None
    elsewhere: Path | None = None
    is_bare: bool = False
    words: tuple[str, ...] = ()
    url: str = ""


def _restore(args: argparse.Namespace) -> int:
    file = Path(args.backup)
    manifest = read_manifest(file)
    if manifest.schema > SCHEMA_VERSION:
        raise GatewayError(f"{file} has schema {manifest.schema}, this gateway knows {SCHEMA_VERSION}: install the gateway version that wrote it")
    _refuse_one_of_many(manifest, file)
    if args.database and manifest.store == "sqlite":
        raise GatewayError(f"{file} is of SQLite, a file below the data folder: leave out --database")
    if args.to and manifest.store == "postgresql" and not args.database:
        raise GatewayError(f"{file} is of PostgreSQL: make an empty database (createdb drill) and name it: --database postgresql://USER@HOST/drill")
    is_bare = args.data_only or not manifest.config
    top = Path(args.to) if args.to else Path(args.config).parent
    target = Path(args.to) / "config" / (manifest.config or "gateway.toml") if args.to else Path(args.config)
    with _staging(top) as staging:
        _, faults = unpack(file, lambda name: staging / name)
        if faults:
            raise GatewayError(f"{file} is damaged, nothing was restored: {'; '.join(faults)}. Take the backup before it")
        places = _places(args, manifest, staging, target, is_bare=is_bare)
        _prove(manifest, staging, file)
        with alone(places.data):
            moves = list(_moves(staging, manifest, places))
            _refuse_overwriting(moves, places, replace=args.replace)
            aside = put(moves, places)
            if places.database is None:
                _into_postgres(manifest, places, staging / POSTGRESQL)
    _say(manifest, places, aside)
    return 0


def _places(args: argparse.Namespace, manifest: Manifest, staging: Path, target: Path, *, is_bare: bool) -> Places:
    """Where this backup goes. Raises ConfigError, GatewayError."""
    if is_bare:
        if args.to:
            data = Path(args.to) / "data"
            return Places(None, data, data / "gateway.db" if manifest.store == "sqlite" else None, is_bare=True, url=args.database or "")
        config = read_config(target)
        database = database_of(config)
        if (database is None) != (manifest.store == "postgresql"):
            raise GatewayError(f"the backup is of {manifest.store}, and store.url of {target} is of the other kind: correct store.url")
        return Places(target, config.data_folder, database, is_bare=True, url=args.database or "")
    words = []
    laid = staging / "config" / manifest.config
    config, _ = examine_config(laid)  # with faults, too: a secret that was left out must not stand in the way
    data = target.parent / config.gateway.data
    if args.to:
        top = Path(args.to).resolve()
        if not data.resolve().is_relative_to(top):
            data = top / "data"
            words.append(_with(laid, "gateway", "data", "../data", "so that both can stand on one machine"))
    if args.database:
        words.append(_with(laid, "store", "url", args.database, "as --database says"))
    url = config.store.url
    database = data / url.removeprefix("sqlite:///") if manifest.store == "sqlite" else None
    if database is not None and args.to and not database.resolve().is_relative_to(Path(args.to).resolve()):
        database = data / "gateway.db"
        words.append(f"store.url of the backup is {url}: set it to sqlite:///gateway.db before you start what lies here")
    return Places(target, data, database, Path(args.to) / "elsewhere" if args.to else None, words=tuple(words))


def _with(file: Path, table: str, key: str, value: str, why: str) -> str:
    """Write another value into a gateway.toml, if that can be done without touching anything else; says what was or must be done."""
    text = file.read_text("utf-8")
    wanted = tomllib.loads(text)
    was = wanted.setdefault(table, {}).get(key)
    wanted[table][key] = value
    written = value.replace("\\", "\\\\").replace('"', '\\"')
    for found in re.finditer(rf'^\s*{key}\s*=\s*("[^"\n]*"|\'[^\'\n]*\')', text, flags=re.MULTILINE):
        changed = f'{text[: found.start(1)]}"{written}"{text[found.end(1) :]}'
        if tomllib.loads(changed) == wanted:
            file.write_text(changed, "utf-8")
            return f"{table}.{key} was {was}: it is {value} here, {why}"
    return f'write {key} = "{value}" below [{table}] in the restored {file.name}: it is {was} in the backup'


def _prove(manifest: Manifest, staging: Path, file: Path) -> None:
    raw = staging / (SQLITE if manifest.store == "sqlite" else POSTGRESQL)
    if not raw.exists():
        raise GatewayError(f"{file} has no database in it: take another backup")
    faults = faults_in(raw, manifest)
    if faults:
        raise GatewayError(f"{file} is damaged, nothing was restored: {'; '.join(faults)}. Take the backup before it")


def _refuse_one_of_many(manifest: Manifest, file: Path) -> None:
    """Of an upgrade each shard keeps a copy of itself, which is no installation. Raises GatewayError."""
    numbers = [part.shard for part in manifest.shards]
    if numbers and numbers != list(range(len(numbers))):
        way = f"tar -xf {file} {POSTGRESQL}; psql -c 'DROP SCHEMA shard_{numbers[0]} CASCADE' DATABASE; pg_restore -d DATABASE {POSTGRESQL}"
        raise GatewayError(f"{file} is of shard {numbers[0]} alone. With all cores stopped: {way}; or restore a backup of all shards")


def _moves(staging: Path, manifest: Manifest, places: Places) -> Iterator[tuple[Path, Path]]:
    """(where it lies now, where it shall lie)."""
    for member in manifest.members:
        kind, _, rest = member.name.partition("/")
        laid = staging / member.name
        if member.name == SQLITE:
            assert places.database is not None
            yield laid, places.database
        elif kind == "data":
            yield laid, places.data / rest
        elif kind == "config" and not places.is_bare and places.config is not None:
            yield laid, places.config if rest == manifest.config else places.config.parent / rest
        elif kind == "elsewhere" and not places.is_bare:
            yield laid, places.elsewhere / Path(member.path).relative_to("/") if places.elsewhere is not None else Path(member.path)


def _refuse_overwriting(moves: list[tuple[Path, Path]], places: Places, *, replace: bool) -> None:
    """What is there must be the same, or --replace was said. Raises GatewayError."""
    database = places.database
    if database is not None and database.exists() and database.stat().st_size and not replace:
        raise GatewayError(f"there is a journal at {database} already: restore elsewhere, or say --replace, which sets it aside")
    others = [target for laid, target in moves if target != database and target.exists() and not _same(laid, target)]
    if others and not replace:
        names = ", ".join(str(one) for one in others[:5])
        raise GatewayError(f"{len(others)} files are there already and differ ({names}): say --replace, which sets them aside, or --data-only")


def put(moves: list[tuple[Path, Path]], places: Places) -> list[Path]:
    """Everything in its place; gives the folders in which lies what was there."""
    mark = f"set-aside-{utc_now():%Y%m%dT%H%M%SZ}"
    aside: set[Path] = set()
    for laid, target in sorted(moves, key=lambda move: move[1] == places.database):  # the database last: with it, it is restored
        if target != places.database and target.exists() and _same(laid, target):
            continue
        _make(target.parent)
        for end in OWN_FILES if target == places.database else ("",):
            old = target.with_name(target.name + end)
            if old.exists():
                top = places.data if target.is_relative_to(places.data) else places.config.parent if places.config else target.parent
                inner = old.relative_to(top) if old.is_relative_to(top) else Path(old.name)
                kept = top / mark / inner
                kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                shutil.move(old, kept)
                aside.add(top / mark)
        _move(laid, target)
    return sorted(aside)


def _make(folder: Path) -> None:
    """Made by root, it belongs to whom the folder above belongs: the service must read, and imports replace, what lies in it."""
    if folder.exists():
        return
    _make(folder.parent)
    folder.mkdir(mode=0o750)
    _give(folder, folder.parent)


def _give(path: Path, folder: Path) -> None:
    """Only root can; settings of root's (/etc/gateway) are read by the service through their group."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
        if owner.st_uid == 0 and owner.st_gid != 0:
            path.chmod(path.stat().st_mode | 0o040)


def _move(laid: Path, target: Path) -> None:
    """At once or not at all, also from another disk; on the disk when this returns."""
    part = target.with_name(f".{target.name}.part")
    shutil.move(laid, part)
    _give(part, target.parent)
    for path in (part, target.parent):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        if path is part:
            part.replace(target)


def _same(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()


def _into_postgres(manifest: Manifest, places: Places, dumped: Path) -> None:
    """The dump into its database; then every chain is proven there, and every table counted. Raises GatewayError."""
    config = examine_config(places.config)[0] if places.config is not None else None
    url = places.url if config is None or (places.url and places.is_bare) else config.store.url
    if url.startswith("sqlite"):
        raise GatewayError(f"the backup is of PostgreSQL: name an empty database in store.url of {places.config}, or say --database")
    if manifest.shards and config is not None and config.bus.shards != len(manifest.shards):
        raise GatewayError(f"the backup has {len(manifest.shards)} shards: write bus.shards = {len(manifest.shards)} in {places.config}")
    shards = [part.shard for part in manifest.shards]
    stores = [Store(url, places.data, shard, writes=False) for shard in shards or (None,)]
    faults = []
    try:
        backup_postgres.restore(stores[0].engine, dumped)
        for store, told in zip(stores, manifest.parts, strict=True):
            proven, broken = store.verify()
            if broken is not None:
                faults.append(f"{whose(store)}entry {broken.seq} does not hold ({broken.reason}), {proven} before it do")
            faults += [f"{whose(store)}{fault}" for fault in differences(told, backup_postgres.part_of(store.engine, told.shard))]
    except SQLAlchemyError as error:
        raise GatewayError(f"cannot restore into {stores[0].where} ({reason_of(error)}): start the database, or correct store.url") from error
    finally:
        for store in stores:
            store.close()
    if faults:
        raise GatewayError(f"restored, and it is not what the backup says: {'; '.join(faults)}. Do not start on it")


def _say(manifest: Manifest, places: Places, aside: list[Path]) -> None:
    count = manifest.counts.get("incident", 0)
    for part in manifest.parts:
        print(f"restored: {of_shard(part.shard)}{part.head.seq} journal entries, chain whole; head {part.head.chain}{read_to(part)}")
    print(f"{count} incidents, {manifest.open_incidents} of them open, as they were at {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC")
    print(f"  database       {places.database.resolve() if places.database else 'PostgreSQL, ' + (places.url or 'as store.url says')}")
    print(f"  data folder    {places.data.resolve()}")
    if places.config is not None:
        print(f"  configuration  {places.config}")
    for folder in aside:
        print(f"  set aside      {folder}")
    for words in places.words:
        print(f"note: {words}")
    if places.elsewhere is not None and places.elsewhere.exists():
        print(f"note: files that lay elsewhere are below {places.elsewhere}, under their old paths: lay them there before you start")
    print("before you start:")
    for name, why in manifest.left_out.items():
        if not _place_of(name, places).exists():
            print(f"  put back {_place_of(name, places)} ({why})")
    config = places.config or "gateway.toml"
    print(f"  gateway check --config {config}, then gateway doctor: brokers, exchange and ports of this machine")
    print("  see that the gateway of which this is a copy is off: two of them would both send help")
    if manifest.shards:
        print("  every core and every console must have been off, and every machine's store.url must name this database; then start a core")
        print("  what edges gave to the bus since is read again from those messages on, as far as its streams keep it (bus.keep_s);")
        print("  a core says `bus_forgot` for what they do not have any more, and journals a gap. What operators did since is lost")
        return
    print("  what was heard after the time above is not in it: look at stations, call lists and brokers for the time between")


def _place_of(name: str, places: Places) -> Path:
    """Where a file belongs that was left out: its name in the archive, or the path of one that lay elsewhere."""
    kind, _, rest = name.partition("/")
    top = {"config": places.config.parent if places.config else Path("config"), "data": places.data}.get(kind)
    return (top / rest).resolve() if top is not None else Path(name)


def _downgrade(args: argparse.Namespace) -> int:
    config = read_config(args.config)
    with journals_of(config) as stores, alone(config.data_folder):
        try:
            _refuse_owned(config, stores)
            changing = [store for store in stores if migrations.version_of(store.engine) != args.to_schema]
            if not changing:
                print(f"the database has schema {args.to_schema} already; nothing was changed")
                return 0
            kept = before.keep(stores[0].engine, config.data_folder, before.DOWNGRADE, _numbers(stores))
            for store in changing:
                _go_back(store, args.to_schema)
        except SQLAlchemyError as error:
            raise StoreBroken(f"{stores[0].where} cannot be changed ({reason_of(error)}): stop what else uses it, and try again") from error
    print(f"kept as it was: {kept}")
    print("now install the older gateway and start it; a later upgrade brings the tables back, accounts only by `gateway restore` of the file above")
    return 0


def _numbers(stores: Sequence[Store]) -> list[int]:
    return [store.ownership.shard for store in stores if store.ownership.shard is not None]


def _go_back(store: Store, to: int) -> None:
    version, lost, head = migrations.version_of(store.engine), migrations.lost_by_downgrade(store.engine, to), store.head()
    migrations.downgrade(store.engine, to)
    print(f"{whose(store)}schema {version} is now {to}; the journal is as it was (head {head})")
    for name, count in lost.items():
        if count:
            print(f"  taken away: {name}, {count} rows, which the older gateway does not know")


def _refuse_owned(config: Config, stores: Sequence[Store]) -> None:
    """The lock of the data folder tells of a gateway on this machine; cores may be elsewhere. Raises StoreBroken."""
    if config.bus.servers and (taken := owned(stores[0].engine)):
        names = ", ".join(map(str, sorted(taken)))
        raise StoreBroken(f"cores own shards {names}: stop every core first (systemctl stop gateway-core on each machine)")


@contextmanager
def alone(data: Path) -> Iterator[None]:
    """No gateway uses this data folder, and none can start. Raises GatewayError."""
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (data / "gateway.lock").open("w")
    except OSError as error:
        raise GatewayError(f"cannot write in the folder {data} ({error.strerror}): run it as the user of the gateway") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise GatewayError(f"a gateway is using {data}: stop it first (systemctl stop gateway)") from None
        yield


@contextmanager
def _staging(top: Path) -> Iterator[Path]:
    """A folder on the disk of the target, gone afterwards whatever happens."""
    folder = top / f".restore-{os.getpid()}"
    try:
        top.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise GatewayError(f"cannot write in {top} ({error.strerror}): run it as the user of the gateway, or choose another folder") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
