"""Which files, beside the database, a gateway needs to stand up again on an empty machine; and which of them are secrets.

All that lies beside gateway.toml (registers, mappings, policies, certificates), what it names elsewhere, and what the data folder holds
beside the database. Not what a start makes anew: locks, the token of commands, logs of SQLite, earlier backups.
"""

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gateway import backup_age
from gateway.config import Config
from gateway.errors import GatewayError
from gateway.own_api import TOKEN_FILE
from gateway.store import before
from gateway.store.backup_file import Source

FILES_AT_MOST = 20_000  # a city has some hundred; more, and gateway.toml lies in somebody's home
LARGE = 64 << 20  # bytes; such a file is a map, which can be fetched again
MADE_ANEW = frozenset(("gateway.lock", TOKEN_FILE, f"{TOKEN_FILE}.new", backup_age.FILE, f"{backup_age.FILE}.new"))
OUR_FOLDERS = frozenset((before.FOLDER, "spare"))  # of the data folder: copies of what is in a backup anyway
SECRET_KEY = re.compile(r"(secret|password|token|credentials|accounts|pin|url|(?<!public_)key)_file$|^tls_key$")  # of gateway.toml
SECRET_NAME = re.compile(r"\.(secret|password|token|key|pin|psk)$|(^|[-_.])(secrets?|passwords?|credentials)([-_.]|$)", re.IGNORECASE)
SECRET_CONTENT = b"PRIVATE KEY-----"
SECRET_WITHIN = 1 << 18  # bytes of a file that are looked at: a key may stand behind its chain of certificates, some 2 kB each
NO_SECRETS = "a secret; --with-secrets takes it in"
NO_MAPS = f"larger than {LARGE >> 20} MB; --with-maps takes it in"
KEYS = re.compile(r":(privateKey|certKey|extraCertChain)=((?:\\:|[^:])+)")  # of a Twisted endpoint string


class Found(msgspec.Struct, frozen=True):
    """What goes in, and what does not with why."""

    sources: list[Source]
    left_out: dict[str, str]


def files_of(config: Config, *, secrets: bool, maps: bool) -> Found:
    """The files of this configuration. Raises GatewayError when there are too many to be a configuration."""
    sources: list[Source] = []
    left_out: dict[str, str] = {}
    folder, data = config.folder.resolve(), config.data_folder.resolve()
    named = named_files(config)
    secret_files = {path.resolve() for path, is_secret in named.items() if is_secret}

    def take(name: str, file: Path, path: str = "") -> None:
        shown = path or name
        try:
            if not os.access(file, os.R_OK) and file.exists():
                left_out[shown] = "this user may not read it"
            elif not secrets and (file.resolve() in secret_files or _is_secret(file)):
                left_out[shown] = NO_SECRETS
            elif not maps and file.stat().st_size > LARGE:
                left_out[shown] = NO_MAPS
            else:
                sources.append(Source(name, file, path))
        except FileNotFoundError:
            return  # removed since it was listed
        if len(sources) > FILES_AT_MOST:
            raise GatewayError(f"more than {FILES_AT_MOST} files lie below {folder}: give gateway.toml a folder of its own")

    known = set()
    for file in _below(folder, without={data}):
        known.add(file.resolve())
        take(f"config/{file.relative_to(folder)}", file)
    skip = {data / name for name in OUR_FOLDERS}
    for file in _below(data, without=skip) if data.is_dir() else ():
        if file.name not in MADE_ANEW and not _is_database(config, file) and file != data / (config.heartbeat.file or " "):
            known.add(file.resolve())
            take(f"data/{file.relative_to(data)}", file)
    places = [path for path in (*named, config.district_folder) if path.exists() and path.resolve() not in known]
    for number, place in enumerate(places):
        for file in _below(place, without={folder, data}) if place.is_dir() else (place,):
            if file.resolve() not in known:
                known.add(file.resolve())
                inner = file.relative_to(place) if place.is_dir() else Path(file.name)
                take(f"elsewhere/{number}/{inner}", file, str(file.absolute()))
    return Found(sources, left_out)


def named_files(config: Config) -> dict[Path, bool]:
    """Every file that gateway.toml names → is it a secret?"""
    try:
        tables = tomllib.loads(Path(config.path).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    found: dict[Path, bool] = {}
    for key, text in _strings(tables):
        if key in ("listen", "connect"):
            for what, path in KEYS.findall(text):
                found[config.folder / path.replace("\\:", ":")] = what == "privateKey"
        elif text and (key.endswith("_file") or key in ("tls_key", "tls_certificate", "boundary")):
            found[config.folder / text] = SECRET_KEY.search(key) is not None
    return found


def database_of(config: Config) -> Path | None:
    """The file of a SQLite store; None: it is another one."""
    url = config.store.url
    return config.data_folder / url.removeprefix("sqlite:///") if url.startswith("sqlite:///") else None


def _is_database(config: Config, file: Path) -> bool:
    database = database_of(config)
    name = database.name if database is not None else "gateway.db"
    return file.name in (name, f"{name}-wal", f"{name}-shm", f"{name}-journal")


def _is_secret(file: Path) -> bool:
    if SECRET_NAME.search(file.name):
        return True
    with file.open("rb") as content:
        return SECRET_CONTENT in content.read(SECRET_WITHIN)


def _below(folder: Path, without: set[Path]) -> Iterator[Path]:
    """Plain files below a folder, in order; nothing hidden, no links that lead away from it. Others may remove some meanwhile."""
    try:
        listed = sorted(folder.iterdir())
    except FileNotFoundError:
        return
    for path in listed:
        if (
            path.name.startswith(".")
            or path.name == "__pycache__"
            or path.suffix == ".log"
            or path.resolve() in without
            or path.name.startswith("set-aside-")
        ):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _below(path, without)
        elif path.is_file():  # a link to one, too
            yield path


def _strings(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _strings(one, name)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one, key)
    elif isinstance(value, str):
        yield key, value
