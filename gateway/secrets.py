"""Secrets lie in files, or are handed over by systemd: never in the environment, on a command line or in the configuration itself.

Wherever the configuration names a file, `credential:NAME` means the one that the unit's `LoadCredential=NAME:/path` hands over: readable by this
process alone, in memory, gone when it ends (systemd.exec, "Credentials").
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import msgspec

from gateway.errors import ConfigError

CREDENTIAL = "credential:"
# Of a command beside the running unit, such as `gateway check` by root: what systemd handed to the service.
OF_THE_UNIT = "/run/credentials/gateway.service"
PATHS = ("tls_key", "tls_certificate")  # keys that name a file and do not end in _file
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,255}")

# Keys whose value would be a secret if it stood there, and their likes that are none.
_SECRET = re.compile(r"(^|[_-])(secret|password|passwd|passphrase|token|pin|key|keys|credential|authorization)(_text)?$", re.IGNORECASE)
NO_SECRETS = frozenset(("accept_key", "decline_key", "tls_key"))
_PLACE = re.compile(r"\{[a-z_]+\}")
# What a file with secrets is called; certificates and authorities are for everybody to see.
_SECRET_FILE = re.compile(r"(secret|password|key|token|pin|credentials|accounts|url|creds)_file$|^tls_key$")


def read_secret(file: str | Path, least: int = 1) -> bytes:
    """The file's content without white space around it. Raises ValueError with what is wrong and the remedy; never shows a byte of it."""
    remedy = "write it" if least <= 1 else f"write a secret of at least {least} bytes into it"
    try:
        secret = Path(file).read_bytes().strip()
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}; {remedy}") from error
    if len(secret) < least:
        raise ValueError(f"{file} holds {len(secret)} bytes; {remedy}")
    return secret


def secret_of(key: str, file: str | Path, least: int = 1) -> bytes:
    """As `read_secret`; raises ConfigError naming the configuration's key."""
    try:
        return read_secret(file, least)
    except ValueError as error:
        raise ConfigError([f"{key}: {error}"]) from error


def with_credentials(tables: dict[str, Any], add: Callable[[str, str, str], None], environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The configuration's tables with `credential:NAME` as a path. add: told (key, what is wrong, remedy) of each that is not there."""
    folders = [folder for folder in ((os.environ if environ is None else environ).get("CREDENTIALS_DIRECTORY"), OF_THE_UNIT) if folder]

    def place(key: str, name: str) -> str:
        if not _NAME.fullmatch(name):
            add(key, f"{CREDENTIAL}{name[:40]!r} is no name", "write credential:NAME as LoadCredential= has it")
            return ""
        for folder in folders:
            if os.path.exists(f"{folder}/{name}"):  # noqa: PTH110 - Path.exists raises where the folder may not be read
                return f"{folder}/{name}"
        add(
            key,
            f"there is no credential {name!r}",
            f"write LoadCredential={name}:/path/of/the/file into the unit (systemctl edit gateway), or name a file",
        )
        return ""

    def walk(value: Any, key: str, last: str) -> Any:
        if isinstance(value, dict):
            return {name: walk(inner, f"{key}.{name}" if key else name, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner, f"{key}[{number}]", last) for number, inner in enumerate(value, 1)]
        is_path = isinstance(value, str) and (last.endswith("_file") or last in PATHS)
        return place(key, value.removeprefix(CREDENTIAL)) if is_path and value.startswith(CREDENTIAL) else value

    found: dict[str, Any] = walk(tables, "", "")
    return found


def written_out(value: object, key: str = "") -> Iterator[str]:
    """Dotted keys of secrets that stand in the configuration itself, where whoever reads it, or its backup, reads them."""
    last = key.rpartition(".")[2].partition("[")[0]
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from written_out(getattr(value, name), f"{key}.{name}" if key else name)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if is_secret(last):
                yield from [f"{key}.{name}"] if isinstance(inner, str) and inner else []
            else:
                yield from written_out(inner, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value, 1):
            yield from written_out(inner, f"{key}[{number}]")
    elif isinstance(value, str) and value and (has_password(value) or (is_secret(last) and not _PLACE.search(value))):
        yield key


def is_secret(name: str) -> bool:
    """Would the value of a key so named be a secret?"""
    return bool(_SECRET.search(name)) and name not in NO_SECRETS


def is_secret_file(name: str) -> bool:
    """Does a key so named name a file that nobody else may read?"""
    return bool(_SECRET_FILE.search(name))


def has_password(text: str) -> bool:
    """Is it an address with a password in it?"""
    if "://" not in text:
        return False
    try:
        return bool(urlsplit(text).password)
    except ValueError:
        return False


def open_to_others(value: object, folder: Path, key: str = "") -> Iterator[str]:
    """Dotted keys of files with secrets that everybody on this machine may read."""
    last = key.rpartition(".")[2]
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from open_to_others(getattr(value, name), folder, f"{key}.{name}" if key else name)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from open_to_others(inner, folder, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value, 1):
            yield from open_to_others(inner, folder, f"{key}[{number}]")
    elif isinstance(value, str) and value and is_secret_file(last):
        try:
            if (folder / value).stat().st_mode & 0o004:
                yield key
        except (OSError, ValueError):
            return  # told elsewhere


def database_url(url: str) -> str:
    """The address of a database with the password out of the file that its query names (`password_file`). Raises ConfigError."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    file = query.pop("password_file", "")
    if not file:
        return url
    password = quote(secret_of("store.password_file", file).decode("utf-8", "replace"), safe="")
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit((parts.scheme, f"{user}:{password}{at}{host}" if at else host, parts.path, urlencode(query), parts.fragment))


def with_password_file(url: str, file: str | Path) -> str:
    """The address of a database that names where its password lies; what `database_url` reads. Fit to be shown."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'password_file': str(file)})}"
