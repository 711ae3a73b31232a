"""The key that pseudonyms of persons are made with: whose it is, and whether it is still the one of before.

With another key a person who is known to a counterpart becomes a new one, and nobody would notice: on several machines the file might differ, a data
folder might be lost. So what was reported before is the proof.
"""

import os
import secrets
from pathlib import Path

import msgspec

from gateway.config import MIN_SECRET, Config
from gateway.config.upward import TELLS_OF_PERSONS, CounterpartConfig, SubscriberConfig
from gateway.errors import ConfigError
from gateway.secrets import read_secret, secret_of
from gateway.store.reports import ReportBooks
from gateway.upward.adapters import pseudonym
from gateway.upward.feed import lines_of

KEY_FILE = "pseudonym.key"
LOOKED_AT = 5  # batches that were prepared last: one alone may have told of unknown persons, or of incidents that have gone on since


class _Report(msgspec.Struct):
    incident: str = ""
    version: int = 0
    person: str | None = None


def key_of(one: CounterpartConfig | SubscriberConfig, config: Config) -> bytes:
    """What the pseudonyms of one destination are made with: out of its file, else our own; b"" where no person is told of. Raises ConfigError."""
    if not isinstance(one, CounterpartConfig) or one.kind not in TELLS_OF_PERSONS:
        return b""
    if not one.pseudonym_key_file:
        return _own_key(config.data_folder)
    return secret_of(f"{config.path}: counterpart {one.name}: pseudonym_key_file", config.folder / one.pseudonym_key_file, MIN_SECRET)


def _own_key(folder: Path) -> bytes:
    """The key of pseudonyms, made at the first start and ours alone. Whoever loses it reports known persons as new ones."""
    file = folder / KEY_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
                made.write(secrets.token_hex(32))
        except FileExistsError:
            pass
        return read_secret(file, MIN_SECRET)
    except (OSError, ValueError) as error:
        raise ConfigError([f"the key of pseudonyms {file} cannot be read or made ({error}): correct gateway.data, or the rights of it"]) from error


def is_other_key(books: ReportBooks, name: str, key: bytes) -> bool:
    """Were the pseudonyms in the last reports made with another one? False where nothing tells. Blocks; raises SQLAlchemyError."""
    reports = [msgspec.json.decode(line, type=_Report) for batch in books.newest(name, LOOKED_AT) for _, line in lines_of(batch)]
    told = [report for report in reports if report.person is not None]
    incidents = books.incidents({report.incident for report in told})
    # As it stands in the report, and no later: who it is about may have been put right since.
    proofs = [
        report.person == pseudonym(key, name, incident.person)
        for report in told
        if (incident := incidents.get(report.incident)) is not None and incident.version == report.version and incident.person is not None
    ]
    return bool(proofs) and not any(proofs)
