"""Backups: is there one, is it young enough, and does it lie on another disk than what it is of?"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gateway.backup_command import PREFIX
from gateway.clock import utc_now
from gateway.doctor.finding import Finding, bad, good, note, unknown
from gateway.doctor.gateway_itself import program
from gateway.doctor.patient import Patient
from gateway.store.before import FOLDER

TOPIC = "backups"
OLD = timedelta(hours=50)  # one a night: two nights in which it did not come about
NAME = re.compile(re.escape(PREFIX) + r".*\.tar")


def look(patient: Patient) -> Iterator[Finding]:
    """The newest in the folders named by --backups, or in that of the data folder."""
    folders = patient.backups or (patient.data / FOLDER,)
    if patient.engine is None:
        yield unknown(TOPIC, TOPIC, "backups_of_nothing")
        return
    try:
        files = [one for folder in folders if folder.is_dir() for one in folder.iterdir() if NAME.fullmatch(one.name)]
        newest = max(files, key=lambda one: one.stat().st_mtime, default=None)
    except OSError as error:
        yield unknown(TOPIC, TOPIC, "backups_unreadable", folder=folders[0], reason=error.strerror or error)
        return
    command = f"{program()} backup --to {folders[0]} --config {patient.config.path}"
    if newest is None:
        # Where they are taken elsewhere this machine does not know of it.
        word, level = ("backups_none_there", bad) if patient.backups else ("backups_none", note)
        yield level(TOPIC, TOPIC, word, folder=", ".join(map(str, folders)), command=command)
        return
    made = datetime.fromtimestamp(newest.stat().st_mtime, UTC)
    facts = {"file": newest, "made": made.astimezone().strftime("%Y-%m-%d %H:%M"), "command": command, "folder": newest.parent}
    if made < utc_now() - OLD:
        yield bad(TOPIC, TOPIC, "backups_old", hours=f"{(utc_now() - made) / timedelta(hours=1):.0f}", **facts)
    elif _same_disk(newest, patient.data):
        yield note(TOPIC, TOPIC, "backups_beside", **facts)
    else:
        yield good(TOPIC, TOPIC, "backups_good", **facts)


def _same_disk(file: Path, data: Path) -> bool:
    return file.stat().st_dev == data.stat().st_dev
