"""When the last backup was made: noted by `gateway backup` in the data folder, told by the running gateway's metrics."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import msgspec
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.clock import utc_now

FILE = "backup.json"


class LastBackup(msgspec.Struct, frozen=True):
    """When it was complete and proven, and the journal's last entry in it."""

    at: datetime
    seq: int


def note(folder: Path, seq: int) -> None:
    """A backup is complete. Raises OSError."""
    new = folder / f"{FILE}.new"
    new.write_bytes(msgspec.json.encode(LastBackup(utc_now(), seq)))
    new.replace(folder / FILE)


def last(folder: Path) -> LastBackup | None:
    """The last one; None: there was none, or what is noted cannot be read."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=LastBackup)
    except (OSError, msgspec.MsgspecError):
        return None


class BackupAge(Collector):
    """No sample as long as no backup was ever made: the doctor tells of that."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        found = last(self._folder)
        if found is not None:
            age = (utc_now() - found.at).total_seconds()
            yield GaugeMetricFamily("gateway_backup_age_seconds", "How old the last backup is that was complete and proven", value=age)
