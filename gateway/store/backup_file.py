"""The file that a backup is: a tar archive whose first member, manifest.json, says what the others must be.

manifest.json        Manifest
database/gateway.db  the copy of a SQLite database; or database/postgresql.dump, what pg_dump -Fc wrote
config/…             configuration, registers, mappings, policies, as they lay beside gateway.toml
data/…               what else lies in the data folder and is needed
elsewhere/N/…        files that the configuration names and that lie outside both; `path` says where
Personal data are in it, and secrets if somebody asked for them: its owner alone may read it.
"""

import hashlib
import os
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal

import msgspec

from gateway import __version__
from gateway.clock import utc_now
from gateway.errors import GatewayError
from gateway.store.backup import Head, Part

FORMAT = 2  # 2: of several shards
MANIFEST = "manifest.json"
MANIFEST_LIMIT = 16 << 20  # bytes; a member takes some 200, and there are at most MEMBERS of them
MEMBERS = 50_000
SQLITE, POSTGRESQL = "database/gateway.db", "database/postgresql.dump"
CHUNK = 1 << 20
SYNC_EVERY = 8  # chunks, as in gateway.store.backup
TRIES = 3  # to read a file while nobody writes it; then it is one that is always written, and goes in as it was read last
SUFFIX = ".backup.tar"


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One file of it. path: where it lay, of those that lay elsewhere."""

    name: str
    size: int
    sha256: str
    mode: int = 0o600
    path: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds. left_out: files that a start needs and that are not in it, with why.

    shards: with [bus] each of them; head, counts and open_incidents are then of all together, and their chain has no one link.
    """

    made_at: datetime
    schema: int
    store: Literal["sqlite", "postgresql"]
    head: Head
    counts: dict[str, int]
    open_incidents: int
    members: tuple[Member, ...]
    config: str = ""  # the name of the configuration file in config/; "" = the database alone
    data: str = ""  # the data folder as the configuration names it
    secrets: bool = False
    left_out: dict[str, str] = {}
    gateway: str = __version__
    format: int = 1
    shards: tuple[Part, ...] = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """Each journal in it: of every shard, else the one."""
        return self.shards or (Part(head=self.head, counts=self.counts, open_incidents=self.open_incidents),)


def manifest_of(name: str, parts: Sequence[Part], schema: int) -> Manifest:
    """What a backup says of the database copied just now; `name`: SQLITE or POSTGRESQL, under which it lies in it."""
    is_of_shards = parts[0].shard is not None
    counts: dict[str, int] = {}
    for part in parts:
        for table, count in part.counts.items():
            counts[table] = counts.get(table, 0) + count
    return Manifest(
        made_at=utc_now(),
        schema=schema,
        store="sqlite" if name == SQLITE else "postgresql",
        head=Head(sum(part.head.seq for part in parts), "") if is_of_shards else parts[0].head,
        counts=counts,
        open_incidents=sum(part.open_incidents for part in parts),
        members=(),
        format=FORMAT if is_of_shards else 1,
        shards=tuple(parts) if is_of_shards else (),
    )


class Source(msgspec.Struct, frozen=True):
    """A file that goes in: its name in the archive, where it lies, and where it belongs if that is elsewhere.

    is_still: made for this backup, nobody else writes it
    """

    name: str
    file: Path
    path: str = ""
    is_still: bool = False

    def size(self) -> int:
        """Bytes at this moment; 0: it has been removed meanwhile."""
        try:
            return self.file.stat().st_size
        except FileNotFoundError:
            return 0


def write(target: Path, manifest: Manifest, sources: Iterable[Source], rest: Callable[[float], None] = time.sleep) -> Manifest:
    """Write the archive; it has its name only when it is whole and on the disk. `members` of the manifest is filled in here. Raises GatewayError.

    The manifest stands first, so every file is read before it is written: what others may change between the two goes in from a copy. What has
    been removed since it was listed is not in it.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        with tempfile.TemporaryDirectory(prefix=".gateway-backup-", dir=target.parent) as folder:
            copied = (_still(source, Path(folder, str(number)), rest) for number, source in enumerate(sources))
            stills = [one for one in copied if one is not None]
            manifest = msgspec.structs.replace(manifest, members=tuple(member for member, _ in stills))
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                paced: Any = _Paced(out, rest)
                with tarfile.open(fileobj=paced, mode="w|", format=tarfile.PAX_FORMAT, bufsize=CHUNK) as tar:
                    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
                    tar.addfile(_header(MANIFEST, len(text), manifest.made_at), BytesIO(text))
                    for member, still in stills:
                        with still.open("rb") as file:
                            tar.addfile(_header(member.name, member.size, manifest.made_at), file)
                out.flush()
                os.fsync(out.fileno())
        part.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise GatewayError(f"cannot write the backup {target} ({error.strerror or error}): make room, or choose another place with --to") from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return manifest


def read_manifest(file: Path) -> Manifest:
    """What the archive says that it holds. Raises GatewayError with the remedy."""
    with opened(file) as tar:
        return _manifest(file, tar)


def unpack(file: Path, place_of: Callable[[str], Path | None]) -> tuple[Manifest, list[str]]:
    """Read the whole archive, compare every member with the manifest, and lay each where `place_of` says. (manifest, faults in words).

    place_of: the member's name → a file that is not there yet; None: it is only looked at. Links, names that lead elsewhere and members that
    the manifest does not know are faults and are laid nowhere. Raises GatewayError.
    """
    faults: list[str] = []
    with opened(file) as tar:
        manifest = _manifest(file, tar)
        wanted = {member.name: member for member in manifest.members}
        try:
            while (item := tar.next()) is not None:
                member = wanted.pop(item.name, None)
                if member is None or not item.isreg() or not is_safe(item.name):
                    faults.append(f"{item.name!r} is not in the manifest")
                    continue
                content = tar.extractfile(item)
                assert content is not None
                digest, size = _lay(content, place_of(item.name), member.mode)
                if (digest, size) != (member.sha256, member.size):
                    faults.append(f"{item.name} is damaged: its content is not what the manifest says")
        except (tarfile.TarError, OSError, EOFError) as error:
            faults.append(f"the archive breaks off ({error})")
    faults += [f"{name} is missing" for name in wanted]
    return manifest, faults


def rotate(folder: Path, prefix: str, keep: int) -> list[Path]:
    """Remove the oldest of the backups whose names begin so; gives those that went. Names carry their time: they sort by it."""
    there = sorted(folder.glob(f"{prefix}*{SUFFIX}"))
    gone = there[:-keep] if keep else []
    for old in gone:
        old.unlink(missing_ok=True)
    return gone


def name_of(prefix: str, at: datetime | None = None) -> str:
    """A name that sorts by time."""
    return f"{prefix}{at or utc_now():%Y%m%dT%H%M%SZ}{SUFFIX}"


def is_safe(name: str) -> bool:
    """Does it stay in the folder that it is unpacked in?"""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and "\0" not in name and path.parts != ()


@contextmanager
def opened(file: Path) -> Iterator[tarfile.TarFile]:
    """The archive, to be read once from its begin. Raises GatewayError."""
    try:
        with tarfile.open(file, "r|", bufsize=CHUNK) as tar:
            yield tar
    except (OSError, tarfile.TarError, EOFError) as error:
        raise GatewayError(
            f"{file} cannot be read as a backup ({getattr(error, 'strerror', None) or error}): give a file that `gateway backup` wrote"
        ) from error


def _manifest(file: Path, tar: tarfile.TarFile) -> Manifest:
    first = tar.next()
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > MANIFEST_LIMIT:
        raise GatewayError(f"{file} is no backup of a gateway: it does not begin with {MANIFEST}")
    content = tar.extractfile(first)
    assert content is not None
    text = content.read()
    try:
        form = msgspec.json.decode(text, type=_Form).format
        if form > FORMAT:
            raise GatewayError(f"{file} has format {form}, this gateway knows {FORMAT}: use the gateway version that wrote it")
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError as error:
        raise GatewayError(f"{file}: its {MANIFEST} cannot be read ({error}): the file is damaged; take another backup") from error
    if len(manifest.members) > MEMBERS or not all(is_safe(member.name) for member in manifest.members):
        raise GatewayError(f"{file}: its {MANIFEST} names files that cannot be: the file is damaged, or not ours; take another backup")
    return manifest


class _Form(msgspec.Struct):
    format: int = 0


class _Paced:
    """Writes what tar gives it, in chunks, resting as long as each took."""

    def __init__(self, out: IO[bytes], rest: Callable[[float], None]) -> None:
        self._out, self._rest, self._count = out, rest, 0

    def write(self, data: bytes) -> int:
        began = time.monotonic()
        self._out.write(data)
        self._count += 1
        if self._count % SYNC_EVERY == 0:
            self._out.flush()
            os.fsync(self._out.fileno())
        self._rest(time.monotonic() - began)
        return len(data)


def _still(source: Source, place: Path, rest: Callable[[float], None]) -> tuple[Member, Path] | None:
    """What the manifest says of a file, and where just that lies until it is written. None: the file is there no more."""
    if source.is_still:
        with source.file.open("rb") as file:
            return _read(source, file, None, rest), source.file
    try:
        with source.file.open("rb") as file:
            for _ in range(TRIES):
                before = os.fstat(file.fileno())
                with place.open("wb") as copy:
                    member = _read(source, file, copy, rest)
                after = os.fstat(file.fileno())
                if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                    break
            return member, place
    except FileNotFoundError:
        return None


def _read(source: Source, file: IO[bytes], copy: IO[bytes] | None, rest: Callable[[float], None]) -> Member:
    """From its begin to where it ends now: who writes to it faster than this reads does not hold up a backup."""
    digest, size, now = hashlib.sha256(), 0, os.fstat(file.fileno())
    file.seek(0)
    while part := file.read(min(CHUNK, now.st_size - size)):
        began = time.monotonic()
        digest.update(part)
        size += len(part)
        if copy is not None:
            copy.write(part)
        rest(time.monotonic() - began)
    return Member(name=source.name, size=size, sha256=digest.hexdigest(), mode=now.st_mode & 0o777, path=source.path)


def _lay(content: IO[bytes], place: Path | None, mode: int) -> tuple[str, int]:
    """Read it to its end, and write it where it shall lie."""
    digest, size = hashlib.sha256(), 0
    out: IO[bytes] | None = None
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        out = os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    try:
        while part := content.read(CHUNK):
            digest.update(part)
            size += len(part)
            if out is not None:
                out.write(part)
        if out is not None:
            os.fchmod(out.fileno(), mode & 0o777)
            out.flush()
            os.fsync(out.fileno())
    finally:
        if out is not None:
            out.close()
    return digest.hexdigest(), size


def _header(name: str, size: int, at: datetime) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mode, header.mtime = size, 0o600, int(at.timestamp())
    return header


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
