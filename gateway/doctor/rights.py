"""Rights of files: the data folder is the gateway's alone, secrets are read by it and by nobody else."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from gateway.doctor.finding import Finding, bad, good
from gateway.doctor.machine import mode_of
from gateway.doctor.patient import Patient

TOPIC = "rights"
SECRET_WORDS = ("secret", "password", "key", "token", "pin", "credentials", "accounts", "url")
OTHERS = 0o007


def look(patient: Patient) -> Iterator[Finding]:
    """The data folder, then every file that holds a secret."""
    yield from _data(patient)
    user = patient.user
    seen = 0
    for key, file in secret_files(patient):
        try:
            mode = mode_of(file)
        except OSError:
            if file.parent.is_dir():
                yield bad(TOPIC, key, "secret_missing", file=file)
            continue
        seen += 1
        if mode & OTHERS:
            yield bad(TOPIC, key, "secret_open", file=file, mode=f"{mode:04o}")
        elif not user.may(file, 4):
            yield bad(TOPIC, key, "secret_unreadable", file=file, user=user.name)
    if seen:
        yield good(TOPIC, "secrets", "secrets_looked_at", count=seen)


def _data(patient: Patient) -> Iterator[Finding]:
    folder, user = patient.data, patient.user
    if not folder.exists():
        yield good(TOPIC, "gateway.data", "data_to_be_made", folder=folder)
        return
    if not folder.is_dir():
        yield bad(TOPIC, "gateway.data", "data_no_folder", folder=folder)
        return
    mode = mode_of(folder)
    if not user.may(folder, 7):
        yield bad(TOPIC, "gateway.data", "data_not_ours", folder=folder, user=user.name)
    elif mode & OTHERS:
        yield bad(TOPIC, "gateway.data", "data_open", folder=folder, mode=f"{mode:04o}")
    else:
        foreign = [one for one in sorted(folder.glob("gateway.*")) if not user.may(one, 6)]
        if foreign:
            yield bad(TOPIC, "gateway.data", "data_file_not_ours", file=foreign[0], user=user.name, folder=folder)
        else:
            yield good(TOPIC, "gateway.data", "data_ours", folder=folder, user=user.name)


def secret_files(patient: Patient) -> Iterator[tuple[str, Path]]:
    """(key, file) of each file in the configuration that holds a secret; each file once."""
    config, found = patient.config, set()
    for key, name in _named("", msgspec.to_builtins(config)):
        file = config.folder / name
        if file not in found:
            found.add(file)
            yield key, file


def _named(key: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            word = str(name)
            is_secret = word == "tls_key" or (word.endswith("_file") and any(one in word.split("_") for one in SECRET_WORDS))
            if is_secret and isinstance(inner, str) and inner:
                yield f"{key}{word}", inner
            else:
                yield from _named(f"{key}{word}.", inner)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value, 1):
            yield from _named(f"{key.removesuffix('.')}[{number}].", inner)
