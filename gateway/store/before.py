"""The backup that is made by itself before the schema of a database changes; restored with `gateway restore`."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Engine

from gateway.errors import StoreBroken
from gateway.store import backup, backup_postgres
from gateway.store.backup_file import POSTGRESQL, SQLITE, Source, manifest_of, name_of, rotate, write

FOLDER = "backups"  # in the data folder
KEPT = 3  # of each kind: the last upgrades of a year; each is as large as the database was
UPGRADE, DOWNGRADE = "before-upgrade-", "before-downgrade-"


def keep(engine: Engine, data: Path, prefix: str, shards: Sequence[int] = ()) -> Path:
    """Copy the database as it is into the data folder, the oldest give way; gives the file. Nobody writes meanwhile.

    shards: those of which it holds the tables. Raises GatewayError.
    """
    folder = data / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StoreBroken(f"cannot make {folder} for the backup before the change ({error.strerror}): correct the rights of {data}") from error
    if len(shards) == 1:
        prefix += f"shard-{shards[0]}-"  # several shards of one core come up in the same second
    target = folder / name_of(prefix)
    raw = target.with_name(f"{target.name}.database")
    raw.unlink(missing_ok=True)
    try:
        if engine.dialect.name == "sqlite":
            backup.copy(Path(engine.url.database or ""), raw, rest=lambda _: None)
            proof = backup.prove(raw, quick=True)
            if proof.faults:
                raise StoreBroken(f"the database is damaged ({proof.faults[0]}): restore a backup before its schema is changed")
            name, manifest = SQLITE, manifest_of(SQLITE, [proof.part], proof.schema or 0)
        else:
            name, manifest = POSTGRESQL, manifest_of(POSTGRESQL, *backup_postgres.dump(engine, raw, shards))
        write(target, manifest, [Source(name, raw, is_still=True)], rest=lambda _: None)
    finally:
        raw.unlink(missing_ok=True)
    rotate(folder, prefix, KEPT)
    return target
